"""Wrong versions of the log-density of a Gaussian and the log-probability of Bernoulli dimensions."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_tutorial.checks.mistakes.ways import FLOORS, activated
from vae_tutorial.formulas import LOG_2PI

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
    "divides log σ² by σ², too: the bracket is closed too late": (
        lambda x, mu, log_var: -0.5 * (LOG_2PI + (log_var + (x - mu) ** 2) / log_var.exp())
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
LOG_NORMAL |= activated(LOG_NORMAL[""], at=2)


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
} | {clause: wrong for low in FLOORS for clause, wrong in _clamped(low).items()}
