"""Wrong versions of the sampler z = μ + σε."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_tutorial import formulas
from vae_tutorial.checks.mistakes.ways import activated

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
REPARAMETERIZE |= activated(formulas.reparameterize, at=1)


def _antithetic(eps: Tensor, mu: Tensor) -> Tensor:
    half = len(eps) // 2
    return eps if eps.ndim == mu.ndim else torch.cat([eps[:half], -eps[:half], eps[2 * half :]])


REPARAMETERIZE_TERMS: dict[str, tuple[float, Callable[..., Tensor]]] = {
    "μ": (1.0, lambda mu, log_var, eps: mu.expand_as(eps)),
    "σε": (1.0, lambda mu, log_var, eps: (0.5 * log_var).exp() * eps),
    "1": (0.0, lambda mu, log_var, eps: torch.ones_like(eps)),
}
