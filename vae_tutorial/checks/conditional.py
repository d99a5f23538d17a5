"""The check of a bound with conditions: labels, some of them unknown, and entries, some of them missing."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence

from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.answers import Arguments
from vae_tutorial.checks.arguments import uniform
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.clues import infinite
from vae_tutorial.checks.compare import compare
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import fixed_layer, values
from vae_tutorial.checks.further import At


class Networks(nn.Module):
    """Four linear networks: what `check_conditional_elbo` gives as its ``model``."""

    def __init__(self, x_dim: int, n_classes: int, latent_dim: int) -> None:
        super().__init__()
        self.classify = fixed_layer(x_dim, n_classes, seed=31, size=1.0)
        self.encode = fixed_layer(x_dim + n_classes, 2 * latent_dim, seed=32)
        self.decode = fixed_layer(latent_dim + n_classes, x_dim, seed=33, size=1.2)
        self.prior = fixed_layer(n_classes, 2 * latent_dim, seed=34)


@public
def check_conditional_elbo(
    fn: Callable[[nn.Module, Tensor, Tensor, Tensor, Tensor], Tensor], *, seed: int = 0
) -> Check:
    r"""Check your bound of a model whose label is a condition where it is known, and latent where it is not.

    .. math:: \mathcal{L}(x \mid y) = \sum_{d\ \text{seen}} \log p(x_d \mid z_y, y)
        - \mathrm{KL}\bigl(q(z \mid x, y) \,\|\, p(z \mid y)\bigr), \qquad z_y = \mu(x, y) + \sigma(x, y) \, \varepsilon

    It is :math:`\mathcal{L}(x \mid y) - \log C` where y is known, one of C classes, and where it is not
    :math:`\sum_y q(y \mid x) (\mathcal{L}(x \mid y) - \log C - \log q(y \mid x))`. The exact answer goes through rows
    and classes one by one, reads the label's column off each weight matrix, and takes the rest from
    `torch.distributions`. A function that passes there is also called with one row and with 33, with two classes and
    one, with all entries seen and none, and with a classifier that is certain.

    Args:
        fn: ``fn(model, x, seen, y, eps)`` gives one value for each example, shape (B,), for binary ``x`` of shape
            (B, D), 0 where an entry is missing; ``seen``, 1 where it is not, shape (B, D); ``y``, one-hot, or a row of
            zeros where the label is not known, shape (B, C); and ``eps``, shape (B, L), the same for every class. The
            model has four networks: ``classify(x)`` gives logits of q(y | x), ``encode(xy)`` and ``prior(y)`` means and
            log-variances, ``decode(zy)`` the logits of x, where xy and zy are rows with the label behind,
            ``torch.cat([x, y], -1)``.
        seed: of the further arguments; the first ones are the same for every seed.

    Returns:
        The `Check`, of values and of gradients with respect to the weights of all networks.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> from vae_tutorial.gaussian import kl_normal, reparameterize
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> def bound(model, x, seen, y, eps, entropy=1):
        ...     C, known, log_q = y.shape[1], y.sum(-1) == 1, model.classify(x).log_softmax(-1)
        ...     each = []
        ...     for label in torch.eye(C):
        ...         label = label.expand(len(x), -1)
        ...         mu, log_var = model.encode(torch.cat([x, label], -1)).chunk(2, -1)
        ...         logits = model.decode(torch.cat([reparameterize(mu, log_var, eps), label], -1))
        ...         log_p = (seen * (x * logits - torch.nn.functional.softplus(logits))).sum(-1)
        ...         each.append(log_p - kl_normal(mu, log_var, *model.prior(label).chunk(2, -1)) - math.log(C))
        ...     each = torch.stack(each, -1)
        ...     unknown = (log_q.exp() * (each - entropy * log_q)).sum(-1)
        ...     return torch.where(known, (y * each).sum(-1), unknown)
        >>> check_conditional_elbo(bound).passed
        True
        >>> check_conditional_elbo(lambda *given: bound(*given, entropy=0)).mistake.partition(":")[0]
        'It lacks the entropy of q(y | x) where the label is not known'
    """
    return compare(
        "bound with labels known or not and entries missing, values and gradients",
        ("your function", "rows and classes one by one, torch.distributions"),
        fn,
        one_by_one,
        [labelled_rows(*sizes) for sizes in ((7, 5, 3, 2), (6, 3, 4, 1))],
        {clause: wrong for clause, wrong in known.CONDITIONAL.items() if clause},
        clue=infinite,
        trials=lambda: _trials(torch.Generator().manual_seed(seed)),
    )


def one_by_one(model: Networks, x: Tensor, seen: Tensor, y: Tensor, eps: Tensor) -> Tensor:
    """The answer; no row is put beside a label: its column of the weights is added."""
    (B, D), C, L = x.shape, y.shape[1], eps.shape[1]

    def at(layer: nn.Linear, rows: Tensor, label: int) -> Tensor:
        n = layer.weight.shape[1] - C
        return layer.weight[:, :n] @ rows + layer.weight[:, n + label] + layer.bias

    def given(b: int, label: int) -> Tensor:
        heads, of_prior = at(model.encode, x[b], label), at(model.prior, x[b, :0], label)
        q = Normal(heads[:L], heads[L:].exp() ** 0.5)
        p = Normal(of_prior[:L], of_prior[L:].exp() ** 0.5)
        law = Bernoulli(logits=at(model.decode, q.loc + q.scale * eps[b], label))
        terms = [law.log_prob(x[b])[d] for d in range(D) if seen[b, d]]
        return sum(terms, x.new_zeros(())) - kl_divergence(q, p).sum() - math.log(C)

    rows = []
    for b in range(B):
        if y[b].any():
            rows.append(given(b, int(y[b].argmax())))
        else:
            q = Categorical(logits=model.classify.weight @ x[b] + model.classify.bias)
            rows.append(sum((q.probs[c] * given(b, c) for c in range(C)), q.entropy()))
    return torch.stack(rows)


def labelled_rows(n: int, x_dim: int, n_classes: int, latent_dim: int) -> Arguments:
    """Fixed rows, some with their label and some without, some entries of each missing."""
    seen = (values(n, x_dim, low=0.0, high=1.0, seed=36) > 0.35).double()
    x = (values(n, x_dim, low=0.0, high=1.0, seed=35) > 0.45).double() * seen
    y = torch.eye(n_classes, dtype=torch.float64)[(2 * torch.arange(n) + 1) % n_classes]
    y[1::2] = 0.0  # not known
    eps = values(n, latent_dim, low=-1.5, high=1.8, seed=37)
    return {"model": Networks(x_dim, n_classes, latent_dim), "x": x, "seen": seen, "y": y, "eps": eps}


def _trials(generator: torch.Generator) -> list[At]:
    sizes = {
        "For one row": (1, 3, 3, 2),
        "For 33 rows": (33, 2, 3, 2),
        "For one entry": (4, 1, 2, 3),
        "For two classes": (5, 4, 2, 3),
        "For a single class": (5, 3, 1, 2),
    }
    trials = {place: _drawn(*size, generator) for place, size in sizes.items()}
    trials["Where all entries are seen"] = _drawn(6, 4, 3, 2, generator, unseen=0.0)
    trials["Where no entry is seen"] = _drawn(6, 4, 3, 2, generator, unseen=1.0)
    trials["Where no label is known"] = _drawn(6, 4, 3, 2, generator, unknown=1.0)
    trials["For a classifier that is certain"] = certain = _drawn(6, 4, 3, 2, generator)
    with torch.no_grad():
        certain["model"].classify.bias.copy_(torch.tensor([0.0, 900.0, -300.0]))
    return [At(place, arguments, one_by_one) for place, arguments in trials.items()]


def _drawn(
    n: int,
    x_dim: int,
    n_classes: int,
    latent_dim: int,
    generator: torch.Generator,
    unseen: float = 0.3,
    unknown: float = 0.5,
) -> Arguments:
    """The same of random sizes; a share of the entries is missing, of the labels not known."""
    seen = (uniform((n, x_dim), 0.0, 1.0, generator) >= unseen).double()
    y = torch.eye(n_classes, dtype=torch.float64)[torch.randint(n_classes, (n,), generator=generator)]
    y[uniform((n,), 0.0, 1.0, generator) < unknown] = 0.0
    return {
        "model": Networks(x_dim, n_classes, latent_dim),
        "x": (uniform((n, x_dim), 0.0, 1.0, generator) > 0.5).double() * seen,
        "seen": seen,
        "y": y,
        "eps": uniform((n, latent_dim), -2.0, 2.0, generator),
    }
