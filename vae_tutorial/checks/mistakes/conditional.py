"""Wrong versions of the bound of a model with labels, some of them unknown, and with missing entries."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_tutorial.checks.mistakes.ways import BATCH_REDUCTIONS
from vae_tutorial.formulas import kl_normal, kl_standard_normal, log_normal

Bound = Callable[[Any, Tensor, Tensor, Tensor, Tensor], Tensor]
Beside = Callable[[Tensor, Tensor], Tensor]


class Parts(NamedTuple):
    """What the bound is made of: per entry, per class, and whether the class is known."""

    entries: Tensor  # log p(x_d | z, y), (C, B, D)
    seen: Tensor  # (B, D)
    kl: Tensor  # (C, B)
    log_q: Tensor  # log q(y | x), (C, B)
    y: Tensor  # (C, B)
    known: Tensor  # (B,), True or False


def after(rows: Tensor, y: Tensor) -> Tensor:
    """As the networks take it: the label behind."""
    return torch.cat([rows, y], -1)


def _before(rows: Tensor, y: Tensor) -> Tensor:
    return torch.cat([y, rows], -1)


def _hidden(rows: Tensor, y: Tensor) -> Tensor:
    return torch.cat([rows, torch.zeros_like(y)], -1)


def _next(rows: Tensor, y: Tensor) -> Tensor:
    return torch.cat([rows, y.roll(1, -1)], -1)


def _kl_of_the_prior(mu: Tensor, log_var: Tensor, prior: Tensor) -> Tensor:
    return kl_normal(mu, log_var, *prior.chunk(2, -1))


def parts(
    model: Any,
    x: Tensor,
    seen: Tensor,
    y: Tensor,
    eps: Tensor,
    encoder: Beside = after,
    decoder: Beside = after,
    prior: Beside = lambda rows, y: y,
    kl: Callable[[Tensor, Tensor, Tensor], Tensor] = _kl_of_the_prior,
    scale: Callable[[Tensor], Tensor] = lambda log_var: (0.5 * log_var).exp(),
    center: float = 1.0,
    heads: Callable[[Tensor], tuple[Tensor, ...]] = lambda output: output.chunk(2, -1),
    log_q: Callable[[Tensor], Tensor] = lambda logits: torch.log_softmax(logits, -1),
) -> Parts:
    """The parts, one class after the other, with one way exchanged."""
    entries, kls = [], []
    for label in torch.eye(y.shape[1], dtype=x.dtype):
        labels = label.expand(len(x), -1)
        mu, log_var = heads(model.encode(encoder(x, labels)))
        z = center * mu + scale(log_var) * eps
        entries.append(-F.binary_cross_entropy_with_logits(model.decode(decoder(z, labels)), x, reduction="none"))
        kls.append(kl(mu, log_var, model.prior(prior(labels, labels))))
    return Parts(torch.stack(entries), seen, torch.stack(kls), log_q(model.classify(x)).T, y.T, y.sum(-1) == 1)


def _observed(p: Parts) -> Tensor:
    return (p.seen * p.entries).sum(-1)


def _weights(p: Parts) -> Tensor:
    return torch.where(p.known, p.y, p.log_q.exp())


def _entropy(p: Parts) -> Tensor:
    return -(p.log_q.exp() * p.log_q).sum(0)


def _log_n(p: Parts) -> float:
    return math.log(len(p.kl))


def compose(
    p: Parts,
    log_likelihood: Callable[[Parts], Tensor] = _observed,
    weights: Callable[[Parts], Tensor] = _weights,
    entropy: Callable[[Parts], Tensor] = lambda p: torch.where(p.known, 0.0, _entropy(p)),
    log_prior: Callable[[Parts], float] = lambda p: -_log_n(p),
    kl_weight: float = 1.0,
) -> Tensor:
    """The bound of its parts, with one way exchanged, shape (B,)."""
    each = log_likelihood(p) - kl_weight * p.kl  # L(x | y), (C, B)
    return (weights(p) * (each + log_prior(p))).sum(0) + entropy(p)


def _made(formula: Callable[[Parts], Tensor], **ways: Any) -> Bound:
    return lambda *given: formula(parts(*given, **ways))


def _ways(**ways: Any) -> Bound:
    return _made(compose, **ways)


def _composed(**ways: Any) -> Bound:
    return _made(lambda p: compose(p, **ways))


def _reduced(reduction: Callable[[Tensor], Tensor]) -> Bound:
    return _made(lambda p: reduction(compose(p)))


def _folded(p: Parts) -> Parts:
    """Classes and examples exchanged: (C·B) numbers, class by class, are read as (B, C)."""
    C, B = p.kl.shape
    entries, kl = (t.reshape(B, C).T for t in (_observed(p), p.kl))
    return p._replace(entries=entries[..., None], seen=torch.ones_like(p.seen[:, :1]), kl=kl)


def _known_elsewhere(p: Parts, formula: Callable[[Parts], Tensor]) -> Tensor:
    """The right answer where the label is known; the formula's where it is not."""
    return torch.where(p.known, compose(p), formula(p))


def _largest(p: Parts) -> Tensor:
    chosen = F.one_hot(p.log_q.argmax(0), len(p.log_q)).T.to(p.kl)
    return (chosen * (_observed(p) - p.kl)).sum(0) - _log_n(p)


def _unlabelled(model: Any, x: Tensor, seen: Tensor, y: Tensor, eps: Tensor) -> Tensor:
    return compose(parts(model, x, seen, torch.zeros_like(y), eps))


def _one_sample_of_the_kl(model: Any, x: Tensor, seen: Tensor, y: Tensor, eps: Tensor) -> Tensor:
    def log_ratio(mu: Tensor, log_var: Tensor, prior: Tensor) -> Tensor:
        z = mu + (0.5 * log_var).exp() * eps
        return log_normal(z, mu, log_var) - log_normal(z, *prior.chunk(2, -1))

    return compose(parts(model, x, seen, y, eps, kl=log_ratio))


def _as_it_came(*networks: str) -> Bound:
    """In these networks y, a row of zeros where the label is not known, in the place of each class."""

    def bound(model: Any, x: Tensor, seen: Tensor, y: Tensor, eps: Tensor) -> Tensor:
        ways: dict[str, Any] = {"encoder": lambda rows, _: after(rows, y), "decoder": lambda rows, _: after(rows, y)}
        ways["prior"] = lambda rows, _: y
        return compose(parts(model, x, seen, y, eps, **{name: ways[name] for name in networks}))

    return bound


def _soft(model: Any, x: Tensor, seen: Tensor, y: Tensor, eps: Tensor) -> Tensor:
    known = y.any(-1)
    q = torch.softmax(model.classify(x), -1)
    entropy = torch.special.entr(q).sum(-1)
    bound = _one_call(model, x, seen, torch.where(known[:, None], y, q), eps)
    return bound + torch.where(known, 0.0, entropy)


def _one_call(model: Any, x: Tensor, seen: Tensor, y: Tensor, eps: Tensor) -> Tensor:
    """Each row under its own y, which is a row of zeros where the label is not known."""
    mu, log_var = model.encode(after(x, y)).chunk(2, -1)
    z = mu + (0.5 * log_var).exp() * eps
    entries = -F.binary_cross_entropy_with_logits(model.decode(after(z, y)), x, reduction="none")
    kl = kl_normal(mu, log_var, *model.prior(y).chunk(2, -1))
    return (seen * entries).sum(-1) - kl - math.log(y.shape[1])


CONDITIONAL: dict[str, Bound] = {
    "": _ways(),
    # What sees the label.
    "does not give the label to the decoder: it is decode([z, y])": _ways(decoder=_hidden),
    "does not give the label to the encoder: it is encode([x, y])": _ways(encoder=_hidden),
    "gives the label neither to the encoder nor to the decoder": _ways(encoder=_hidden, decoder=_hidden),
    "does not give the label to the prior: it is prior(y)": _ways(prior=lambda rows, y: torch.zeros_like(y)),
    "takes the KL from N(0, I), where the prior is p(z | y): its mean and log-variance are prior(y)": _ways(
        kl=lambda mu, log_var, prior: kl_standard_normal(mu, log_var)
    ),
    "puts the label before x, where the encoder takes it after": _ways(encoder=_before),
    "puts the label before z, where the decoder takes it after": _ways(decoder=_before),
    "puts the label first in both networks, where they take it last": _ways(encoder=_before, decoder=_before),
    "gives the networks the one-hot of another class, one place farther: classes count from 0": _ways(
        encoder=_next, decoder=_next, prior=lambda rows, y: y.roll(1, -1)
    ),
    "gives the encoder y as it came, a row of zeros where it is not known: each class has its turn": _as_it_came(
        "encoder"
    ),
    "gives the decoder y as it came, a row of zeros where it is not known: each class has its turn": _as_it_came(
        "decoder"
    ),
    "gives the prior y as it came, a row of zeros where it is not known: each class has its turn": _as_it_came("prior"),
    "gives the decoder the one-hot of another class, one place farther": _ways(decoder=_next),
    "gives the encoder the one-hot of another class, one place farther": _ways(encoder=_next),
    # The sum over classes.
    "lacks the entropy of q(y | x) where the label is not known: −log q(y | x) stands under the sum, too": _composed(
        entropy=lambda p: torch.zeros_like(p.kl[0])
    ),
    "subtracts the entropy of q(y | x), where it should be added": _composed(
        entropy=lambda p: torch.where(p.known, 0.0, -_entropy(p))
    ),
    "adds the entropy of q(y | x) where the label is known as well: then it is not in doubt": _composed(
        entropy=_entropy
    ),
    "lacks log p(y) = −log C": _composed(log_prior=lambda p: 0.0),
    "adds log C, where log p(y) = −log C belongs": _composed(log_prior=_log_n),
    "lacks log p(y) where the label is not known": _made(
        lambda p: _known_elsewhere(p, lambda p: compose(p) + _log_n(p))
    ),
    "lacks log p(y) where the label is known": _made(lambda p: compose(p) + p.known * _log_n(p)),
    "subtracts log C once for each class, where the average of −log C is meant": _composed(
        log_prior=lambda p: -len(p.kl) * _log_n(p)
    ),
    "lacks both log p(y) and the entropy of q(y | x): the label is latent, and has a KL of its own": _composed(
        log_prior=lambda p: 0.0, entropy=lambda p: torch.zeros_like(p.kl[0])
    ),
    "averages over classes with p(y) = 1/C, where q(y | x) belongs": _composed(
        weights=lambda p: torch.where(p.known, p.y, 1 / len(p.kl))
    ),
    "averages over classes with p(y) = 1/C and takes no entropy: q(y | x) is the distribution of y": _composed(
        weights=lambda p: torch.where(p.known, p.y, 1 / len(p.kl)), entropy=lambda p: torch.zeros_like(p.kl[0])
    ),
    "sums over the classes without the weights q(y | x)": _composed(
        weights=lambda p: torch.where(p.known, p.y, torch.ones_like(p.y))
    ),
    "weights the classes with log q(y | x), where q(y | x) belongs": _composed(
        weights=lambda p: torch.where(p.known, p.y, p.log_q)
    ),
    "takes the softmax over the batch: q(y | x) sums to 1 over the classes": _made(
        lambda p: compose(p._replace(log_q=torch.log_softmax(p.log_q, -1)))
    ),
    "takes what classify(x) gives for log q(y | x): these are logits, and a log-softmax makes probabilities of them": (
        _ways(log_q=lambda logits: logits)
    ),
    "takes a sigmoid of each logit, where a softmax over the classes makes q(y | x)": _ways(log_q=F.logsigmoid),
    "detaches the weights q(y | x): then the entropy alone teaches the classifier": _composed(
        weights=lambda p: _weights(p).detach()
    ),
    "takes log Σ q(y | x) exp L(x, y), a logarithm of a mean: q(y | x) averages L(x, y) itself": _made(
        lambda p: _known_elsewhere(p, lambda p: torch.logsumexp(_observed(p) - p.kl + p.log_q, 0) - _log_n(p))
    ),
    "gives the networks the probabilities q(y | x) as a label: each class is decoded, then averaged": _soft,
    "takes only the most probable class where the label is not known: the sum runs over all": _made(
        lambda p: _known_elsewhere(p, _largest)
    ),
    "takes log Σ exp L(x, y) over the classes: that is the bound of the best q(y | x), not of the classifier's": _made(
        lambda p: _known_elsewhere(p, lambda p: torch.logsumexp(_observed(p) - p.kl, 0) - _log_n(p))
    ),
    "reads the classes of one example out of those of others: numbers that lie class by class, (C·B), are (C, B), and "
    "(B, C) only transposed": _made(lambda p: compose(_folded(p))),
    "takes no notice of known labels: it sums over all classes in every row": _unlabelled,
    "takes a row of zeros for a label where none is known: the sum over the classes is missing": _one_call,
    # What is no part of the bound.
    "counts log q(y | x) of known labels: the classifier's loss trains it, and is no part of the bound": _made(
        lambda p: compose(p) + (p.y * p.log_q).sum(0)
    ),
    "subtracts log q(y | x) of known labels: the classifier's loss is no part of the bound": _made(
        lambda p: compose(p) - (p.y * p.log_q).sum(0)
    ),
    # Missing entries.
    "sums over missing entries, too: only what was seen counts": _composed(log_likelihood=lambda p: p.entries.sum(-1)),
    "sums over the missing entries alone": _composed(log_likelihood=lambda p: ((1 - p.seen) * p.entries).sum(-1)),
    "multiplies the logits by seen: a missing entry then counts log ½, where it should not count": _composed(
        log_likelihood=lambda p: _observed(p) - math.log(2) * (1 - p.seen).sum(-1)
    ),
    "averages over the entries that were seen, where they are summed": _composed(
        log_likelihood=lambda p: _observed(p) / p.seen.sum(-1).clamp(min=1)
    ),
    "divides log p(x | z, y) by the number of dimensions: sum over them": _composed(
        log_likelihood=lambda p: _observed(p) / p.seen.shape[-1]
    ),
    "scales what was seen up to all D entries: a row with gaps says less": _composed(
        log_likelihood=lambda p: _observed(p) * p.seen.shape[-1] / p.seen.sum(-1).clamp(min=1)
    ),
    # Those of any ELBO.
    "adds the KL, where it should be subtracted": _composed(kl_weight=-1.0),
    "is without the KL of z": _composed(kl_weight=0.0),
    "takes the KL the wrong way round: it is KL(q ‖ p)": _ways(
        kl=lambda mu, log_var, prior: kl_normal(prior.chunk(2, -1)[0], prior.chunk(2, -1)[1], mu, log_var)
    ),
    "samples the KL by log q(z) − log p(z) at the one z, where the closed form is asked for": _one_sample_of_the_kl,
    "averages the KL over the latent dimensions: it is their sum": _ways(
        kl=lambda mu, log_var, prior: _kl_of_the_prior(mu, log_var, prior) / mu.shape[-1]
    ),
    "takes the encoder's first half for the log-variance: the means come first": _ways(
        heads=lambda output: output.chunk(2, -1)[::-1]
    ),
    "takes the prior's first half for the log-variance: the means come first": _ways(
        kl=lambda mu, log_var, prior: kl_normal(mu, log_var, *prior.chunk(2, -1)[::-1])
    ),
    "samples z = μ + σ²ε: the variance stands where the standard deviation belongs": _ways(
        scale=lambda log_var: log_var.exp()
    ),
    "decodes the mean of q(z | x, y), without noise": _ways(scale=torch.zeros_like),
    "samples z = ε: from N(0, I), not from q(z | x, y)": _ways(scale=torch.ones_like, center=0.0),
    "has the opposite sign: it is the loss": _made(lambda p: -compose(p)),
} | {clause: _reduced(reduction) for clause, reduction in BATCH_REDUCTIONS.items() if clause}
