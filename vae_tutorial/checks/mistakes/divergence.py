"""Wrong versions of the divergence KL(N(μ, σ²) ‖ N(0, I))."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_tutorial.checks.mistakes.ways import activated
from vae_tutorial.formulas import LOG_2PI

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
KL |= activated(KL[""], at=1)


# The right answer as a weighted sum: each term with its weight.
KL_TERMS: dict[str, tuple[float, Callable[..., Tensor]]] = {
    "Σμ²": (0.5, lambda mu, log_var: (mu**2).sum(-1)),
    "Σσ²": (0.5, lambda mu, log_var: log_var.exp().sum(-1)),
    "Σ1": (-0.5, lambda mu, log_var: torch.ones_like(mu).sum(-1)),
    "Σlog σ²": (-0.5, lambda mu, log_var: log_var.sum(-1)),
    "B, the number of examples,": (0.0, lambda mu, log_var: 0 * mu.sum(-1) + len(mu)),
}
