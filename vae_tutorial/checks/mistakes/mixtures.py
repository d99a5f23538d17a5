"""Wrong versions of the log-density of a mixture of diagonal Gaussians, and of its sampler."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_tutorial.checks.mistakes.densities import LOG_NORMAL

Mixture = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _components(z: Tensor, mu: Tensor, log_var: Tensor, of: str = "") -> Tensor:
    """log N of every point in every component, shape (B, C)."""
    return LOG_NORMAL[of](z[:, None], mu, log_var).sum(-1)


def _weighted(z: Tensor, logits: Tensor, mu: Tensor, log_var: Tensor, of: str = "") -> Tensor:
    return torch.log_softmax(logits, 0) + _components(z, mu, log_var, of)


def _each_dimension(z: Tensor, logits: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    parts = torch.log_softmax(logits, 0)[:, None] + LOG_NORMAL[""](z[:, None], mu, log_var)
    return torch.logsumexp(parts, 1).sum(-1)


def _one_gaussian(z: Tensor, logits: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    weights = torch.softmax(logits, 0)
    return LOG_NORMAL[""](z, weights @ mu, weights @ log_var).sum(-1)


LOG_MIXTURE: dict[str, Mixture] = {
    "": lambda *given: torch.logsumexp(_weighted(*given), -1),
    "is the mean of the components' logarithms, where the logarithm of their mean is expected: a lower bound of it": (
        lambda z, logits, mu, log_var: (torch.softmax(logits, 0) * _components(z, mu, log_var)).sum(-1)
    ),
    "adds up the components without weights: it integrates to C, and 1/C is missing": (
        lambda z, logits, mu, log_var: torch.logsumexp(_components(z, mu, log_var), -1)
    ),
    "gives every component the weight 1/C, whatever the logits are": (
        lambda z, logits, mu, log_var: torch.logsumexp(_components(z, mu, log_var), -1) - math.log(len(mu))
    ),
    "does not normalize the weights: log_softmax(logits) belongs where logits stands": (
        lambda z, logits, mu, log_var: torch.logsumexp(logits + _components(z, mu, log_var), -1)
    ),
    "adds the weights to the log-densities: their logarithms belong there": (
        lambda z, logits, mu, log_var: torch.logsumexp(torch.softmax(logits, 0) + _components(z, mu, log_var), -1)
    ),
    "gives the weights in reverse order to the components": (
        lambda z, logits, mu, log_var: LOG_MIXTURE[""](z, logits.flip(0), mu, log_var)
    ),
    "takes a sigmoid of each logit, where the weights must add up to 1: softmax belongs": (
        lambda z, logits, mu, log_var: torch.logsumexp(F.logsigmoid(logits) + _components(z, mu, log_var), -1)
    ),
    "subtracts the largest term before the exponentials and never adds it back": (
        lambda *given: torch.logsumexp(_weighted(*given) - _weighted(*given).amax(-1, keepdim=True), -1)
    ),
    "in each component averages over the dimensions, where they are summed": (
        lambda z, logits, mu, log_var: torch.logsumexp(
            torch.log_softmax(logits, 0) + _components(z, mu, log_var) / z.shape[-1], -1
        )
    ),
    "weights the log-densities inside the exponential: log π is to be added, not π multiplied": (
        lambda z, logits, mu, log_var: torch.logsumexp(torch.softmax(logits, 0) * _components(z, mu, log_var), -1)
    ),
    "subtracts log C although the weights add up to 1: it integrates to 1/C": (
        lambda *given: torch.logsumexp(_weighted(*given), -1) - math.log(len(given[1]))
    ),
    "takes the log-sum-exp over the points, where it belongs over the components": (
        lambda *given: torch.logsumexp(_weighted(*given), 0)
    ),
    "is not summed over the components: one value per point is expected": _weighted,
    "adds the log-densities of the components: it is their product, where their sum is expected": (
        lambda *given: _weighted(*given).sum(-1)
    ),
    "is the largest component alone: max stands where log-sum-exp belongs": lambda *given: _weighted(*given).amax(-1),
    "is the density itself, where its logarithm is expected": lambda *given: _weighted(*given).exp().sum(-1),
    "mixes each dimension by itself: one component is drawn for all dimensions of z": _each_dimension,
    "is one Gaussian with the average mean and log-variance: not the parameters are averaged, but the densities": (
        _one_gaussian
    ),
    "in each component divides log σ² by σ² too: a parenthesis is misplaced": (
        lambda z, logits, mu, log_var: torch.logsumexp(
            torch.log_softmax(logits, 0)
            - 0.5 * (math.log(2 * math.pi) + (log_var + (z[:, None] - mu) ** 2) / log_var.exp()).sum(-1),
            -1,
        )
    ),
    "in each component divides log σ² by σ² too, a parenthesis is misplaced, and lacks −½ log 2π": (
        lambda z, logits, mu, log_var: torch.logsumexp(
            torch.log_softmax(logits, 0) - 0.5 * ((log_var + (z[:, None] - mu) ** 2) / log_var.exp()).sum(-1), -1
        )
    ),
} | {
    f"in each component {clause}": (
        lambda z, logits, mu, log_var, clause=clause: torch.logsumexp(_weighted(z, logits, mu, log_var, clause), -1)
    )
    for clause in LOG_NORMAL
    if clause and "arguments exchanged" not in clause
}

# What a sampler draws from instead: the log-density of its draws, of points, logits, means and log-variances.
SAMPLED_MIXTURE: dict[str, Mixture] = {
    "draw every component as often as the others, whatever the weights are": (
        lambda z, logits, mu, log_var: LOG_MIXTURE[""](z, 0 * logits, mu, log_var)
    ),
    "scale the noise by σ², where σ belongs": (
        lambda z, logits, mu, log_var: LOG_MIXTURE[""](z, logits, mu, 2 * log_var)
    ),
    "scale the noise by √σ: the logarithm is halved twice": (
        lambda z, logits, mu, log_var: LOG_MIXTURE[""](z, logits, mu, 0.5 * log_var)
    ),
    "do not use log_var: their noise has the variance 1": (
        lambda z, logits, mu, log_var: LOG_MIXTURE[""](z, logits, mu, 0 * log_var)
    ),
    "draw a component for each dimension: one is to be drawn for all dimensions of z": _each_dimension,
    "come from one Gaussian with the average mean and log-variance": _one_gaussian,
    "come from the heaviest component alone": lambda z, logits, mu, log_var: LOG_NORMAL[""](
        z, mu[logits.argmax()], log_var[logits.argmax()]
    ).sum(-1),
}
