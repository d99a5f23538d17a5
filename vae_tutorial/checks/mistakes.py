"""The known mistakes of `checks`: wrong versions of each function, under the clause that names them after "It ...".

Each table is keyed by that clause; the right version stands under "".
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal

from vae_tutorial import formulas
from vae_tutorial.formulas import LOG_2PI
from vae_tutorial.models import VAE

# What may be done wrong with one value per example, shape (B,), and with one per example and dimension, shape (B, L).
# In these tables and those below, the right way stands under "".
BATCH_REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda t: t,
    "is averaged over the batch: one value per example is expected": lambda t: t.mean(),
    "is summed over the batch: one value per example is expected": lambda t: t.sum(),
    "is the sum over the whole batch, once for each example": lambda t: t.sum().expand(len(t)),
    "is the mean over the whole batch, once for each example": lambda t: t.mean().expand(len(t)),
    "keeps a last axis of length 1: one value per example is expected": lambda t: t[:, None],
    "is divided by the number of examples: the mean over the batch is taken later, once": lambda t: t / len(t),
}
REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    clause: lambda t, reduce=reduce: reduce(t.sum(-1)) for clause, reduce in BATCH_REDUCTIONS.items()
} | {
    "is averaged over the last axis, where it should be summed": lambda t: t.mean(-1),
    "is not summed over the last axis: one value per example is expected": lambda t: t,
    "is averaged over all entries: sum the last axis, and keep one value per example": lambda t: t.mean(),
    "is summed over the batch axis instead of the last": lambda t: t.sum(0),
}
SIGNS = {"": 1.0, "has the opposite sign": -1.0}
BITS = {"is in bits: divided by log 2, where nats are expected": 1 / math.log(2)}
NOT_A_LOGARITHM = {"is the probability or density itself, where its logarithm is expected": lambda t: t.sum(-1).exp()}

# What is put over a head that may be any number.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "softplus": F.softplus,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "abs": torch.abs,
    "elu": F.elu,
    "−relu(−·)": lambda t: -F.relu(-t),
}


def _activated(fn: Callable[..., Tensor], at: int) -> dict[str, Callable[..., Tensor]]:
    """A function of means and log-variances with an activation over log_var, argument number ``at``, or over mu."""

    def over(place: int, activation: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        return lambda *given: fn(*given[:place], activation(given[place]), *given[place + 1 :])

    log_vars = {
        f"applies {name} to log_var: a log-variance may be any number, so nothing belongs over it": over(at, activation)
        for name, activation in ACTIVATIONS.items()
    }
    means = {
        f"applies {name} to mu: a mean may be any number, so nothing belongs over it": over(at - 1, activation)
        for name, activation in ACTIVATIONS.items()
        if name != "abs"  # which squares undo
    }
    return log_vars | means


KL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "": lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 - log_var),
    "equals ½Σ(σ + μ² − 1 − log σ²): the standard deviation stands where the variance belongs": (
        lambda mu, log_var: 0.5 * (mu**2 + (0.5 * log_var).exp() - 1 - log_var)
    ),
    "equals ½Σ(σ + μ² − 1 − log σ): the standard deviation stands where the variance belongs, twice": (
        lambda mu, log_var: 0.5 * (mu**2 + (0.5 * log_var).exp() - 1 - 0.5 * log_var)
    ),
    "equals ½Σ(σ² + μ² − 1 − log σ): log σ stands where log σ² belongs": (
        lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 - 0.5 * log_var)
    ),
    "takes log_var for log σ: exp(2·log_var) stands where exp(log_var) belongs": (
        lambda mu, log_var: 0.5 * (mu**2 + (2 * log_var).exp() - 1 - 2 * log_var)
    ),
    "takes log_var for the variance itself: exp is missing": (
        lambda mu, log_var: 0.5 * (mu**2 + log_var - 1 - log_var.log())
    ),
    "takes log_var for the standard deviation: exp is missing": (
        lambda mu, log_var: 0.5 * (mu**2 + log_var**2 - 1 - (log_var**2).log())
    ),
    "equals Σ(σ² + μ² − 1 − log σ²): the factor ½ is missing": (
        lambda mu, log_var: mu**2 + log_var.exp() - 1 - log_var
    ),
    "equals ½Σ(σ² + μ² − 1 + log σ²): the sign of log σ² is wrong": (
        lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 + log_var)
    ),
    "equals ½Σ(σ² + |μ| − 1 − log σ²): μ is not squared": (
        lambda mu, log_var: 0.5 * (mu.abs() + log_var.exp() - 1 - log_var)
    ),
    "equals ½Σ(σ² + μ − 1 − log σ²): μ is not squared": lambda mu, log_var: 0.5 * (mu + log_var.exp() - 1 - log_var),
    "subtracts 1 once, where it belongs to every dimension": (
        lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 / mu.shape[-1] - log_var)
    ),
    "is KL(N(0, I) ‖ N(μ, σ²)): the two distributions are exchanged": (
        lambda mu, log_var: 0.5 * ((1 + mu**2) / log_var.exp() - 1 + log_var)
    ),
    "is the cross-entropy −E[log p(z)]: the entropy of q is missing": (
        lambda mu, log_var: 0.5 * (LOG_2PI + mu**2 + log_var.exp())
    ),
    "has its arguments exchanged: mu comes first, then log_var": (
        lambda mu, log_var: 0.5 * (log_var**2 + mu.exp() - 1 - mu)
    ),
    "squares log σ: (log σ)² stands where log σ² = 2 log σ belongs": (
        lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 - 0.25 * log_var**2)
    ),
    "squares log σ²: log_var is a logarithm already": lambda mu, log_var: (
        0.5 * (mu**2 + log_var.exp() - 1 - log_var**2)
    ),
    "subtracts σ² where log σ² belongs": lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 - log_var.exp()),
    "subtracts σ where log σ² belongs": (lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 - (0.5 * log_var).exp())),
    "adds 1, where it should subtract it": lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() + 1 - log_var),
    "takes softplus(log_var) for σ: exp(½·log_var) belongs there": (
        lambda mu, log_var: 0.5 * (mu**2 + F.softplus(log_var) ** 2 - 1 - 2 * F.softplus(log_var).log())
    ),
    "takes softplus(log_var) for σ²: exp(log_var) belongs there": (
        lambda mu, log_var: 0.5 * (mu**2 + F.softplus(log_var) - 1 - F.softplus(log_var).log())
    ),
    "has (Σμ)², where Σμ² belongs": (
        lambda mu, log_var: 0.5 * (mu.sum(-1, keepdim=True) ** 2 / mu.shape[-1] + log_var.exp() - 1 - log_var)
    ),
    "takes mu in the place of log_var: one head is used twice": lambda mu, log_var: 0.5 * (mu**2 + mu.exp() - 1 - mu),
    "takes log_var in the place of mu: one head is used twice": (
        lambda mu, log_var: 0.5 * (log_var**2 + log_var.exp() - 1 - log_var)
    ),
    "is the reverse of a Gaussian with variance exp(−log_var): the sign of log_var is turned": (
        lambda mu, log_var: 0.5 * (mu**2 + (-log_var).exp() - 1 + log_var)
    ),
}
KL |= _activated(KL[""], at=1)


# The right answer as a weighted sum: each term with its weight.
KL_TERMS: dict[str, tuple[float, Callable[..., Tensor]]] = {
    "Σμ²": (0.5, lambda mu, log_var: (mu**2).sum(-1)),
    "Σσ²": (0.5, lambda mu, log_var: log_var.exp().sum(-1)),
    "Σ1": (-0.5, lambda mu, log_var: torch.ones_like(mu).sum(-1)),
    "Σlog σ²": (-0.5, lambda mu, log_var: log_var.sum(-1)),
    "B, the number of examples,": (0.0, lambda mu, log_var: 0 * mu.sum(-1) + len(mu)),
}

LOG_NORMAL: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "": lambda x, mu, log_var: -0.5 * (LOG_2PI + log_var + (x - mu) ** 2 / log_var.exp()),
    "lacks −½ log 2π for each dimension: the density integrates to (2π)^{D/2}": (
        lambda x, mu, log_var: -0.5 * (log_var + (x - mu) ** 2 / log_var.exp())
    ),
    "counts −½ log 2π once, where it belongs to every dimension": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI / x.shape[-1] + log_var + (x - mu) ** 2 / log_var.exp())
    ),
    "counts −(D/2) log 2π once for every dimension: D² times −½ log 2π, where D times belongs": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI * x.shape[-1] + log_var + (x - mu) ** 2 / log_var.exp())
    ),
    "lacks −½ Σlog σ²: the density integrates to Πσ": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + (x - mu) ** 2 / log_var.exp())
    ),
    "is −½ Σ(x − μ)²/σ² alone: the normalizing constant is missing": (
        lambda x, mu, log_var: -0.5 * (x - mu) ** 2 / log_var.exp()
    ),
    "divides (x − μ)² by σ, where σ² belongs": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + log_var + (x - mu) ** 2 / (0.5 * log_var).exp())
    ),
    "squares (x − μ)/σ², where (x − μ)/σ is to be squared": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + log_var + ((x - mu) / log_var.exp()) ** 2)
    ),
    "has −½ log σ, where −½ log σ² belongs": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + 0.5 * log_var + (x - mu) ** 2 / log_var.exp())
    ),
    "takes exp(log_var) for the standard deviation": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + 2 * log_var + (x - mu) ** 2 / (2 * log_var).exp())
    ),
    "takes exp(½·log_var), the standard deviation, for the variance": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + 0.5 * log_var + (x - mu) ** 2 / (0.5 * log_var).exp())
    ),
    "takes log_var for the variance itself: exp is missing": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + log_var.log() + (x - mu) ** 2 / log_var)
    ),
    "takes log_var for the standard deviation: exp is missing": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + (x - mu) ** 2 / log_var**2) - log_var.log()
    ),
    "has (x − μ)²/σ² without its factor ½": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + log_var) - (x - mu) ** 2 / log_var.exp()
    ),
    "lacks the factor ½": lambda x, mu, log_var: -(LOG_2PI + log_var + (x - mu) ** 2 / log_var.exp()),
    "does not use log_var: its variance is 1": lambda x, mu, log_var: -0.5 * (LOG_2PI + (x - mu) ** 2),
    # as fn(x, log_var, mu) or fn(mu, log_var, x); fn(mu, x, log_var) is right
    "has its arguments exchanged: x comes first, then mu, then log_var": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + mu + (x - log_var) ** 2 / mu.exp())
    ),
    "subtracts σ, where its logarithm belongs": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + (x - mu) ** 2 / log_var.exp()) - (0.5 * log_var).exp()
    ),
    "subtracts ½σ², where ½ log σ² belongs": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + (x - mu) ** 2 / log_var.exp() + log_var.exp())
    ),
    "counts the constant and log σ² once for every dimension: D times too often": (
        lambda x, mu, log_var: -0.5 * (x.shape[-1] * (LOG_2PI + log_var) + (x - mu) ** 2 / log_var.exp())
    ),
    "counts log σ² once for every dimension: D times too often": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + x.shape[-1] * log_var + (x - mu) ** 2 / log_var.exp())
    ),
    "has +½ log σ², where −½ log σ² belongs": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI - log_var + (x - mu) ** 2 / log_var.exp())
    ),
    "multiplies (x − μ)² by σ², where it should divide": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + log_var + (x - mu) ** 2 * log_var.exp())
    ),
    "has (x − μ)/σ², which is not squared": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + log_var + (x - mu) / log_var.exp())
    ),
    "has |x − μ| where (x − μ)² belongs": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + log_var + (x - mu).abs() / log_var.exp())
    ),
    "has (x + μ)², where (x − μ)² belongs": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + log_var + (x + mu) ** 2 / log_var.exp())
    ),
    "does not use mu: its mean is 0": lambda x, mu, log_var: -0.5 * (LOG_2PI + log_var + x**2 / log_var.exp()),
    "takes mu in the place of log_var: one head is used twice": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + mu + (x - mu) ** 2 / mu.exp())
    ),
    "takes softplus(log_var) for σ: exp(½·log_var) belongs there": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + ((x - mu) / F.softplus(log_var)) ** 2) - F.softplus(log_var).log()
    ),
    "takes softplus(log_var) for σ²: exp(log_var) belongs there": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + F.softplus(log_var).log() + (x - mu) ** 2 / F.softplus(log_var))
    ),
    "is the density of a Laplace distribution of that scale": (
        lambda x, mu, log_var: -math.log(2) - 0.5 * log_var - (x - mu).abs() / (0.5 * log_var).exp()
    ),
}
LOG_NORMAL |= _activated(LOG_NORMAL[""], at=2)


LOG_NORMAL_TERMS: dict[str, tuple[float, Callable[..., Tensor]]] = {
    "D log 2π": (-0.5, lambda x, mu, log_var: LOG_2PI * torch.ones_like(x).sum(-1)),
    "Σlog σ²": (-0.5, lambda x, mu, log_var: log_var.sum(-1)),
    "Σ(x − μ)²/σ²": (-0.5, lambda x, mu, log_var: ((x - mu) ** 2 / log_var.exp()).sum(-1)),
}


def _bernoulli(x: Tensor, p: Tensor) -> Tensor:
    """The logarithm from probabilities: −∞ where one of them is rounded to 1 and x is 0."""
    return torch.xlogy(x, p) + torch.xlogy(1 - x, 1 - p)


def _bernoulli_from_logits(x: Tensor, logits: Tensor) -> Tensor:
    return x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)


# What a learner writes to keep a logarithm finite; torch's own distributions use the two machine epsilons.
_FLOORS = *(10.0**-k for k in range(3, 11)), 1e-12, torch.finfo(torch.float32).eps, torch.finfo(torch.float64).eps


def _clamped(low: float) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    saturates = f"saturates at −{-math.log(low):.2f} nats a dimension"
    return {
        f"{saturates}: the probabilities are clamped at {low:g}": (
            lambda x, logits: _bernoulli(x, logits.sigmoid().clamp(low, 1 - low))
        ),
        f"{saturates}: {low:g} is added inside the logarithms": (
            lambda x, logits: x * (logits.sigmoid() + low).log() + (1 - x) * (1 - logits.sigmoid() + low).log()
        ),
    }


LOG_BERNOULLI_TERMS: dict[str, tuple[float, Callable[..., Tensor]]] = {
    "Σx log p": (1.0, lambda x, logits: (x * F.logsigmoid(logits)).sum(-1)),
    "Σ(1 − x) log(1 − p)": (1.0, lambda x, logits: ((1 - x) * F.logsigmoid(-logits)).sum(-1)),
    "Σlog p, whatever x is,": (0.0, lambda x, logits: F.logsigmoid(logits).sum(-1)),
    "Σlog(1 − p), whatever x is,": (0.0, lambda x, logits: F.logsigmoid(-logits).sum(-1)),
    "D, the number of dimensions,": (0.0, lambda x, logits: 0 * logits.sum(-1) + x.shape[-1]),
}

LOG_BERNOULLI: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "": _bernoulli_from_logits,
    "saturates: log(1 − p) is computed from a sigmoid that rounds to 1; use logits and logsigmoid": (
        lambda x, logits: _bernoulli(x, logits.sigmoid())
    ),
    "saturates: log(1 − p) is computed from a float32 sigmoid that rounds to 1; use logits and logsigmoid": (
        lambda x, logits: _bernoulli(x, logits.float().sigmoid())
    ),
    "saturates at −100 nats a dimension: binary_cross_entropy takes a sigmoid that rounds to 1; give "
    "binary_cross_entropy_with_logits the logits": (
        lambda x, logits: -F.binary_cross_entropy(logits.sigmoid(), x, reduction="none")
    ),
    "saturates at −100 nats a dimension: binary_cross_entropy takes a float32 sigmoid that rounds to 1; give "
    "binary_cross_entropy_with_logits the logits": (
        lambda x, logits: -F.binary_cross_entropy(logits.float().sigmoid(), x.float(), reduction="none")
    ),
    "applies the sigmoid twice": lambda x, logits: _bernoulli(x, logits.sigmoid().sigmoid()),
    "exchanges x and 1 − x": lambda x, logits: _bernoulli_from_logits(1 - x, logits),
    "has its arguments exchanged: x comes first, then the logits": lambda x, logits: _bernoulli_from_logits(logits, x),
    "has only x log p: the term of x = 0, (1 − x) log(1 − p), is missing": (
        lambda x, logits: torch.xlogy(x, logits.sigmoid())
    ),
    "has only (1 − x) log(1 − p): the term of x = 1, x log p, is missing": (
        lambda x, logits: torch.xlogy(1 - x, (-logits).sigmoid())
    ),
    "sums probabilities, where it should sum their logarithms": (
        lambda x, logits: x * logits.sigmoid() + (1 - x) * (-logits).sigmoid()
    ),
    "is −Σ(x − p)²: a squared error, not a log-probability": lambda x, logits: -((x - logits.sigmoid()) ** 2),
    "is −½ Σ(x − p)²: a squared error, not a log-probability": lambda x, logits: -0.5 * (x - logits.sigmoid()) ** 2,
    "takes a softmax over the dimensions, where each has a sigmoid of its own": (
        lambda x, logits: _bernoulli(x, logits.softmax(-1))
    ),
    "takes a log-softmax over the dimensions, where each has a sigmoid of its own": (
        lambda x, logits: x * logits.log_softmax(-1)
    ),
    "is x·ℓ alone: the normalizing log(1 + exp ℓ) is missing": lambda x, logits: x * logits,
} | {clause: wrong for low in _FLOORS for clause, wrong in _clamped(low).items()}


_ADDED = tuple(10.0**-k for k in range(2, 11))

# What shows only far out, where σ is small.
KL_FAR: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    clause: wrong
    for c in _ADDED
    for clause, wrong in {
        f"adds {c:g} to σ² inside the logarithm": (
            lambda mu, log_var, c=c: 0.5 * (mu**2 + log_var.exp() - 1 - (log_var.exp() + c).log()).sum(-1)
        ),
        f"adds {c:g} to σ inside the logarithm": (
            lambda mu, log_var, c=c: 0.5 * (mu**2 + log_var.exp() - 1 - 2 * ((0.5 * log_var).exp() + c).log()).sum(-1)
        ),
        f"does not let σ² fall below {c:g}": lambda mu, log_var, c=c: KL[""](mu, log_var.clamp(min=math.log(c))).sum(
            -1
        ),
        f"adds {c:g} to σ²": lambda mu, log_var, c=c: KL[""](mu, (log_var.exp() + c).log()).sum(-1),
        f"adds {c:g} to σ": lambda mu, log_var, c=c: KL[""](mu, 2 * ((0.5 * log_var).exp() + c).log()).sum(-1),
    }.items()
}
LOG_NORMAL_FAR: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    clause: wrong
    for c in _ADDED
    for clause, wrong in {
        f"adds {c:g} to σ²": (lambda x, mu, log_var, c=c: LOG_NORMAL[""](x, mu, (log_var.exp() + c).log()).sum(-1)),
        f"adds {c:g} to σ": (
            lambda x, mu, log_var, c=c: LOG_NORMAL[""](x, mu, 2 * ((0.5 * log_var).exp() + c).log()).sum(-1)
        ),
        f"does not let σ² fall below {c:g}": (
            lambda x, mu, log_var, c=c: LOG_NORMAL[""](x, mu, log_var.clamp(min=math.log(c))).sum(-1)
        ),
        f"adds {c:g} to the σ² that (x − μ)² is divided by": (
            lambda x, mu, log_var, c=c: -0.5 * (LOG_2PI + log_var + (x - mu) ** 2 / (log_var.exp() + c)).sum(-1)
        ),
    }.items()
}

REPARAMETERIZE: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "equals μ + σ²ε: the variance stands where the standard deviation belongs": (
        lambda mu, log_var, eps: mu + log_var.exp() * eps
    ),
    "equals μ + log σ² · ε: exp is missing": lambda mu, log_var, eps: mu + log_var * eps,
    "equals μ + log σ · ε: exp is missing": lambda mu, log_var, eps: mu + 0.5 * log_var * eps,
    "equals μ + √(log σ²) ε: exp is missing": lambda mu, log_var, eps: mu + log_var.sqrt() * eps,
    "equals μ + exp(2·log_var) ε: the ½ became a 2": lambda mu, log_var, eps: mu + (2 * log_var).exp() * eps,
    "equals μ + ε/σ: the exponent has the wrong sign": lambda mu, log_var, eps: mu + (-0.5 * log_var).exp() * eps,
    "equals μ − σε: the same distribution, but the noise enters with the opposite sign": (
        lambda mu, log_var, eps: mu - (0.5 * log_var).exp() * eps
    ),
    "equals μ + ε: log_var is not used": lambda mu, log_var, eps: mu + eps,
    "equals σε: μ is not added": lambda mu, log_var, eps: (0.5 * log_var).exp() * eps,
    "equals μ + σ: eps is not used": lambda mu, log_var, eps: (mu + (0.5 * log_var).exp()).expand_as(eps),
    "equals μ: eps is not used": lambda mu, log_var, eps: mu.expand_as(eps),
    "equals μ, of the shape of mu: eps is not used": lambda mu, log_var, eps: mu,
    "equals ε: neither mu nor log_var is used": lambda mu, log_var, eps: eps,
    "equals σ(μ + ε): the mean is scaled with the noise": lambda mu, log_var, eps: (0.5 * log_var).exp() * (mu + eps),
    "has its arguments exchanged: mu comes first, then log_var": (
        lambda mu, log_var, eps: log_var + (0.5 * mu).exp() * eps
    ),
    "has its arguments exchanged: mu comes first, then log_var, then eps": (
        lambda mu, log_var, eps: log_var + (0.5 * eps).exp() * mu
    ),
    "shares one noise among the whole batch": (
        lambda mu, log_var, eps: mu + (0.5 * log_var).exp() * eps[..., :1, :].expand_as(eps)
    ),
    "shares one noise among all samples": (
        lambda mu, log_var, eps: mu + (0.5 * log_var).exp() * (eps[:1] if eps.ndim > mu.ndim else eps).expand_as(eps)
    ),
    "shares one noise among all latent dimensions": (
        lambda mu, log_var, eps: mu + (0.5 * log_var).exp() * eps[..., :1].expand_as(eps)
    ),
    "uses only the first of the K samples": (
        lambda mu, log_var, eps: mu + (0.5 * log_var).exp() * (eps[0] if eps.ndim > mu.ndim else eps)
    ),
    "averages the K samples: one z for each is expected": (
        lambda mu, log_var, eps: mu + (0.5 * log_var).exp() * (eps.mean(0) if eps.ndim > mu.ndim else eps)
    ),
    "takes mu in the place of log_var: one head is used twice": lambda mu, log_var, eps: mu + (0.5 * mu).exp() * eps,
    "takes log_var in the place of mu: one head is used twice": (
        lambda mu, log_var, eps: log_var + (0.5 * log_var).exp() * eps
    ),
    "equals μ + √σ ε: the logarithm is halved twice": lambda mu, log_var, eps: mu + (0.25 * log_var).exp() * eps,
    "equals μ + softplus(log_var)·ε: exp(½·log_var) belongs there": (
        lambda mu, log_var, eps: mu + F.softplus(log_var) * eps
    ),
    "equals μ + √softplus(log_var)·ε: exp(½·log_var) belongs there": (
        lambda mu, log_var, eps: mu + F.softplus(log_var).sqrt() * eps
    ),
    "equals μ + σ² + ε": lambda mu, log_var, eps: mu + log_var.exp() + eps,
    "equals μ + σ + ε: the noise is to be multiplied by σ": lambda mu, log_var, eps: mu + (0.5 * log_var).exp() + eps,
    "equals με + σ: mean and scale are exchanged": lambda mu, log_var, eps: mu * eps + (0.5 * log_var).exp(),
    "equals μ − σε for the second half of the draws: they repeat the first with the opposite sign": (
        lambda mu, log_var, eps: mu + (0.5 * log_var).exp() * _antithetic(eps, mu)
    ),
    "turns the axes of the draws and of the examples round": (
        lambda mu, log_var, eps: (
            (mu + (0.5 * log_var).exp() * eps).transpose(0, 1)
            if eps.ndim > mu.ndim
            else mu + (0.5 * log_var).exp() * eps
        )
    ),
}
REPARAMETERIZE |= _activated(formulas.reparameterize, at=1)


def _antithetic(eps: Tensor, mu: Tensor) -> Tensor:
    half = len(eps) // 2
    return eps if eps.ndim == mu.ndim else torch.cat([eps[:half], -eps[:half], eps[2 * half :]])


REPARAMETERIZE_TERMS: dict[str, tuple[float, Callable[..., Tensor]]] = {
    "μ": (1.0, lambda mu, log_var, eps: mu.expand_as(eps)),
    "σε": (1.0, lambda mu, log_var, eps: (0.5 * log_var).exp() * eps),
    "1": (0.0, lambda mu, log_var, eps: torch.ones_like(eps)),
}


class ElboParts(NamedTuple):
    """The quantities an ELBO is made of, and those it is mistakenly made of."""

    mu: Tensor
    log_var: Tensor
    z: Tensor
    log_likelihood: Tensor
    squares: Tensor
    log_prior: Tensor
    log_q: Tensor
    kl: Tensor


def elbo_parts(
    model: VAE, x: Tensor, eps: Tensor, scale: Callable[[Tensor], Tensor] = lambda t: (0.5 * t).exp()
) -> ElboParts:
    """The parts for this noise; ``scale`` turns log_var into z's scale."""
    mu, log_var = model.encode(x)
    z = mu + scale(log_var) * eps
    return ElboParts(
        mu=mu,
        log_var=log_var,
        z=z,
        log_likelihood=model.log_likelihood(x, z),
        squares=((x - model.decode(z)) ** 2).sum(-1),
        log_prior=model.log_prior(z),
        log_q=Normal(mu, (0.5 * log_var).exp()).log_prob(z).sum(-1),
        kl=KL[""](mu, log_var).sum(-1),
    )


def _from_parts(formula: Callable[..., Tensor]) -> Callable[[VAE, Tensor, Tensor], Tensor]:
    """A formula of the parts and the arguments as a function of the arguments alone."""
    return lambda model, x, eps: formula(elbo_parts(model, x, eps), model, x, eps)


def _sampled(t: ElboParts) -> Tensor:
    """The terms of estimator A, every one of them sampled, shape (K, B)."""
    return t.log_likelihood + t.log_prior - t.log_q


def _rows_mixed(t: ElboParts, model: VAE, x: Tensor, eps: Tensor) -> Tensor:
    """The K·B latent points in the order of x.repeat(K, 1), beside x.repeat_interleave(K, 0)."""
    n_samples = len(eps)
    log_likelihood = model.log_likelihood(x.repeat_interleave(n_samples, 0), t.z.flatten(0, 1))
    return log_likelihood.reshape(n_samples, len(x)).mean(0) - t.kl


ELBO: dict[str, Callable[[VAE, Tensor, Tensor], Tensor]] = (
    {
        clause: _from_parts(formula)
        for clause, formula in {
            "": lambda t, model, x, eps: t.log_likelihood.mean(0) - t.kl,
            "adds the KL, where it should be subtracted": lambda t, model, x, eps: t.log_likelihood.mean(0) + t.kl,
            "is log p(x | z) alone: the KL is missing": lambda t, model, x, eps: t.log_likelihood.mean(0),
            "is −KL alone: log p(x | z) is missing": lambda t, model, x, eps: -t.kl,
            "divides log p(x | z) by the number of dimensions of x: sum over them, never average": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) / x.shape[-1] - t.kl
            ),
            "divides the KL by the number of latent dimensions: sum over them, never average": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) - t.kl / eps.shape[-1]
            ),
            "sums log p(x | z) over the K samples, where it should average": (
                lambda t, model, x, eps: t.log_likelihood.sum(0) - t.kl
            ),
            "sums over the K samples, where it should average, in every term": (
                lambda t, model, x, eps: _sampled(t).sum(0)
            ),
            "uses only the first of the K samples": lambda t, model, x, eps: t.log_likelihood[0] - t.kl,
            "uses only the first of the K samples, in every term": (lambda t, model, x, eps: _sampled(t)[0]),
            "decodes the mean of z, where each sample is to be decoded": (
                lambda t, model, x, eps: model.log_likelihood(x, t.mu) - t.kl
            ),
            "samples z = μ + σ²ε: the variance stands where the standard deviation belongs": (
                lambda t, model, x, eps: elbo_parts(model, x, eps, torch.exp).log_likelihood.mean(0) - t.kl
            ),
            "samples z = μ + σ²ε in every term: the variance stands where the standard deviation belongs": (
                lambda t, model, x, eps: _sampled(elbo_parts(model, x, eps, torch.exp)).mean(0)
            ),
            "samples z = μ + log σ² · ε: exp is missing": (
                lambda t, model, x, eps: (
                    elbo_parts(model, x, eps, lambda log_var: log_var).log_likelihood.mean(0) - t.kl
                )
            ),
            "samples z = ε: from the prior, not from q(z | x)": (
                lambda t, model, x, eps: model.log_likelihood(x, eps).mean(0) - t.kl
            ),
            "takes −Σ(x − x̂)² for log p(x | z): the factor 1/(2σ²) and the constant are missing": (
                lambda t, model, x, eps: -t.squares.mean(0) - t.kl
            ),
            "takes −½ Σ(x − x̂)² for log p(x | z): the variance of the likelihood and the constant are missing": (
                lambda t, model, x, eps: -0.5 * t.squares.mean(0) - t.kl
            ),
            "takes minus the mean squared error for log p(x | z)": (
                lambda t, model, x, eps: -t.squares.mean(0) / x.shape[-1] - t.kl
            ),
            "drops the constant −(D/2) log(2πσ²) of log p(x | z)": (
                # what is left at a perfect fit is the constant
                lambda t, model, x, eps: t.log_likelihood.mean(0) - model.likelihood.log_prob(x, x) - t.kl
            ),
            "drops −(D/2) log 2π of log p(x | z)": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) + 0.5 * LOG_2PI * x.shape[-1] - t.kl
            ),
            "is the importance-weighted bound: the mean stands inside the logarithm": (
                lambda t, model, x, eps: _sampled(t).logsumexp(0) - math.log(len(eps))
            ),
            "averages p(x | z) inside the logarithm: log p(x | z) is to be averaged": (
                lambda t, model, x, eps: t.log_likelihood.logsumexp(0) - math.log(len(eps)) - t.kl
            ),
            "sums p(x | z) inside the logarithm: log p(x | z) is to be averaged": (
                lambda t, model, x, eps: t.log_likelihood.logsumexp(0) - t.kl
            ),
            "lacks log p(z)": lambda t, model, x, eps: (t.log_likelihood - t.log_q).mean(0),
            "subtracts the KL once for each of the K samples": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) - len(eps) * t.kl
            ),
            "subtracts the mean of the KL over the batch from every example": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) - t.kl.mean()
            ),
            "subtracts the KL of the whole batch from every example": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) - t.kl.sum()
            ),
            "adds up log p(x | z) over the whole batch for every example": (
                lambda t, model, x, eps: t.log_likelihood.mean(0).sum() - t.kl
            ),
            "samples z with the heads exchanged: the encoder gives mu first, then log_var": (
                lambda t, model, x, eps: (
                    model.log_likelihood(x, t.log_var + (0.5 * t.mu).exp() * eps).mean(0)
                    - KL[""](t.log_var, t.mu).sum(-1)
                )
            ),
            "samples z with the heads exchanged, and takes the KL of the right ones": (
                lambda t, model, x, eps: model.log_likelihood(x, t.log_var + (0.5 * t.mu).exp() * eps).mean(0) - t.kl
            ),
            "samples z = μ + exp(log_var/2)·ε with mu in the place of log_var: one head is used twice": (
                lambda t, model, x, eps: (
                    model.log_likelihood(x, t.mu + (0.5 * t.mu).exp() * eps).mean(0) - KL[""](t.mu, t.mu).sum(-1)
                )
            ),
            "samples z = μ + ε: log_var is not used": (
                lambda t, model, x, eps: model.log_likelihood(x, t.mu + eps).mean(0) - t.kl
            ),
            "samples z = σε: μ is not added": (
                lambda t, model, x, eps: model.log_likelihood(x, (0.5 * t.log_var).exp() * eps).mean(0) - t.kl
            ),
            "samples z = μ + ε/σ: the exponent has the wrong sign": (
                lambda t, model, x, eps: (
                    elbo_parts(model, x, eps, lambda v: (-0.5 * v).exp()).log_likelihood.mean(0) - t.kl
                )
            ),
            "samples z = μ + exp(2·log_var) ε: the ½ became a 2": (
                lambda t, model, x, eps: (
                    elbo_parts(model, x, eps, lambda v: (2 * v).exp()).log_likelihood.mean(0) - t.kl
                )
            ),
            "is in nats per dimension: divided by the number of dimensions of x": (
                lambda t, model, x, eps: (t.log_likelihood.mean(0) - t.kl) / x.shape[-1]
            ),
            "averages the log-weights by their softmax: neither the ELBO nor the importance-weighted bound": (
                lambda t, model, x, eps: (_sampled(t).softmax(0) * _sampled(t)).sum(0)
            ),
            "takes the best of the K samples: its mean over the noise is no bound": (
                lambda t, model, x, eps: _sampled(t).amax(0)
            ),
            "takes the best log p(x | z) of the K samples": lambda t, model, x, eps: t.log_likelihood.amax(0) - t.kl,
            "takes log_var for log σ throughout": (
                lambda t, model, x, eps: (
                    elbo_parts(model, x, eps, torch.exp).log_likelihood.mean(0) - KL[""](t.mu, 2 * t.log_var).sum(-1)
                )
            ),
            "has log q(z | x) with the variance for its standard deviation": (
                lambda t, model, x, eps: (
                    t.log_likelihood + t.log_prior - Normal(t.mu, t.log_var.exp()).log_prob(t.z).sum(-1)
                ).mean(0)
            ),
            "puts a sigmoid over the decoder's output, which the likelihood takes as it is": (
                lambda t, model, x, eps: model.likelihood.log_prob(x, model.decode(t.z).sigmoid()).mean(0) - t.kl
            ),
            "pairs each x with latent points of other examples: repeat stands beside repeat_interleave": _rows_mixed,
            "averages log p(x | z) over examples, not over samples: the flat axis is K·B, not B·K": (
                lambda t, model, x, eps: t.log_likelihood.reshape(len(x), len(eps)).mean(1) - t.kl
            ),
            "averages the bound over examples, not over samples: after x.repeat(K, 1) the flat axis is K·B, not B·K": (
                lambda t, model, x, eps: (t.log_likelihood - t.kl).reshape(len(x), len(eps)).mean(1)
            ),
            "has log q(z | x) where log p(x | z) belongs: the decoder is not used": (
                lambda t, model, x, eps: t.log_q.mean(0) - t.kl
            ),
            "has the right value, but no gradient through the sample: z is detached": (
                lambda t, model, x, eps: model.log_likelihood(x, t.z.detach()).mean(0) - t.kl
            ),
            "has the right value, but no gradient of the KL: it is detached": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) - t.kl.detach()
            ),
            "has the right value, but no gradient of log p(x | z): it is detached": (
                lambda t, model, x, eps: t.log_likelihood.mean(0).detach() - t.kl
            ),
        }.items()
    }
    | {
        f"has a wrong KL term: it {clause}"
        + ", or the KL is subtracted twice" * ("½ is missing" in clause): _from_parts(
            lambda t, model, x, eps, kl=kl: t.log_likelihood.mean(0) - kl(t.mu, t.log_var).sum(-1)
        )
        for clause, kl in KL.items()
        if clause
    }
    | {
        f"applies {name} to log_var: a log-variance may be any number, so nothing belongs over it": _from_parts(
            lambda t, model, x, eps, activation=activation: (
                model.log_likelihood(x, t.mu + (0.5 * activation(t.log_var)).exp() * eps).mean(0)
                - KL[""](t.mu, activation(t.log_var)).sum(-1)
            )
        )
        for name, activation in ACTIVATIONS.items()
    }
)

# The bound as a weighted sum, in several ways: the first that explains all answers is shown.
ELBO_TERMS: list[dict[str, tuple[float, Callable[..., Tensor]]]] = [
    {
        "log p(x | z)": (1.0, lambda model, x, eps: elbo_parts(model, x, eps).log_likelihood.mean(0)),
        "KL": (-1.0, lambda model, x, eps: elbo_parts(model, x, eps).kl),
    },
    {
        "log p(x | z)": (1.0, lambda model, x, eps: elbo_parts(model, x, eps).log_likelihood.mean(0)),
        "Σμ² of the KL": (-0.5, lambda model, x, eps: (model.encode(x)[0] ** 2).sum(-1)),
        "Σσ² of the KL": (-0.5, lambda model, x, eps: model.encode(x)[1].exp().sum(-1)),
        "Σlog σ² of the KL": (0.5, lambda model, x, eps: model.encode(x)[1].sum(-1)),
        "L, the number of latent dimensions,": (0.5, lambda model, x, eps: 0 * x.sum(-1) + model.latent_dim),
    },
    {
        "log p(x | μ)": (0.0, lambda model, x, eps: model.log_likelihood(x, model.encode(x)[0])),
        "log p(x | z)": (1.0, lambda model, x, eps: elbo_parts(model, x, eps).log_likelihood.mean(0)),
        "KL": (-1.0, lambda model, x, eps: elbo_parts(model, x, eps).kl),
    },
]


def _taking_out(log_w: Tensor, shift: Tensor) -> Tensor:
    """The logarithm of the mean weight, the exponentials taken after a subtraction."""
    return shift + (log_w - shift).exp().mean(0).log()


IWAE: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda log_w: log_w.logsumexp(0) - math.log(len(log_w)),
    "is off by log K: the weights are summed, where they should be averaged": lambda log_w: log_w.logsumexp(0),
    "subtracts log B, the number of examples, where log K belongs": (
        lambda log_w: log_w.logsumexp(0) - math.log(log_w.shape[1])
    ),
    "divides the logarithm by K, where the sum inside it is to be divided": (
        lambda log_w: log_w.logsumexp(0) / len(log_w)
    ),
    "is the ELBO: the mean is taken outside the logarithm": lambda log_w: log_w.mean(0),
    "sums the log-weights: neither their exponentials nor a mean is taken": lambda log_w: log_w.sum(0),
    "averages the log-weights by their softmax: the weights are to be averaged, then their logarithm taken": (
        lambda log_w: (log_w.softmax(0) * log_w).sum(0)
    ),
    "is the largest log-weight": lambda log_w: log_w.amax(0),
    "uses only the first of the K samples": lambda log_w: log_w[0],
    "is in bits: the logarithm has base 2, where nats are expected": (
        lambda log_w: (log_w.logsumexp(0) - math.log(len(log_w))) / math.log(2)
    ),
    "averages over the examples, not over the samples: log-sum-exp is taken along the wrong axis": (
        lambda log_w: log_w.logsumexp(1) - math.log(log_w.shape[1])
    ),
    "takes log-sum-exp along the wrong axis, over the examples, and subtracts log K": (
        lambda log_w: log_w.logsumexp(1) - math.log(len(log_w))
    ),
    "takes log-sum-exp along the wrong axis, over the examples, and subtracts nothing": lambda log_w: log_w.logsumexp(
        1
    ),
    "turns the sign of the log-weights: they are taken for losses": (
        lambda log_w: (-log_w).logsumexp(0) - math.log(len(log_w))
    ),
    "turns the sign of the log-weights, inside and outside: −log mean 1/w is no lower bound": (
        lambda log_w: math.log(len(log_w)) - (-log_w).logsumexp(0)
    ),
    "turns the sign of the log-weights, and does not subtract log K": lambda log_w: (-log_w).logsumexp(0),
    "subtracts the largest log-weight and never adds it back": (
        lambda log_w: (log_w - log_w.amax(0)).logsumexp(0) - math.log(len(log_w))
    ),
    "begins its sum with 1, the exponential of 0, where 0 belongs": (
        lambda log_w: torch.logaddexp(log_w.logsumexp(0), torch.zeros_like(log_w[0])) - math.log(len(log_w))
    ),
    "is ½ log of the mean squared weight: an upper bound": (
        lambda log_w: 0.5 * ((2 * log_w).logsumexp(0) - math.log(len(log_w)))
    ),
    "adds log K, where it should subtract it": lambda log_w: log_w.logsumexp(0) + math.log(len(log_w)),
    "subtracts K, where log K belongs": lambda log_w: log_w.logsumexp(0) - len(log_w),
    "subtracts log(K − 1), where log K belongs": lambda log_w: log_w.logsumexp(0) - math.log(max(1, len(log_w) - 1)),
    "averages over the whole batch: log-sum-exp is taken along both axes": (
        lambda log_w: (log_w.flatten().logsumexp(0) - math.log(log_w.numel())).expand(log_w.shape[1])
    ),
    "is the mean weight itself, where its logarithm is expected": lambda log_w: log_w.exp().mean(0),
    "overflows and underflows: exp(log_w) is infinite above 709 and 0 below −745 (in float32 above 88 and below −104); "
    "use torch.logsumexp": lambda log_w: log_w.exp().mean(0).log(),
    "overflows and underflows: exp(log_w) is infinite or 0; use torch.logsumexp. It is off by log K, too": (
        lambda log_w: log_w.exp().sum(0).log()
    ),
    "overflows: the mean log-weight is taken out of the exponentials, where the largest belongs": (
        lambda log_w: _taking_out(log_w, log_w.mean(0))
    ),
    "underflows: one maximum is taken out for the whole batch, where every example needs its own": (
        lambda log_w: _taking_out(log_w, log_w.max())
    ),
} | {
    f"saturates at −{-math.log(low):.2f} nats: {low:g} is added inside the logarithm; use torch.logsumexp": (
        lambda log_w, low=low: (log_w.exp().mean(0) + low).log()
    )
    for low in (*_FLOORS, 1e-20, 1e-30, 1e-38)
}
