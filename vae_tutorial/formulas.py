r"""The equations of diagonal Gaussians, and nothing else: what `vae_tutorial.gaussian` and `vae_tutorial.diffusion`
compute once they have checked.

A mean ``mu`` and a log-variance ``log_var`` have one shape; the last axis is summed; values are in nats. Nothing is
checked here: shapes that do not fit are broadcast, and what is not finite passes.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def log_normal(x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """log N(x; mu, diag exp(log_var))."""
    # Scaled before it is squared: dividing (x - mu)**2 by the variance loses its gradient below log_var = -44.
    return -0.5 * (LOG_2PI + log_var + ((x - mu) * torch.exp(-0.5 * log_var)) ** 2).sum(-1)


def log_standard_normal(z: Tensor) -> Tensor:
    """log N(z; 0, I)."""
    return -0.5 * (LOG_2PI + z**2).sum(-1)


def kl_standard_normal(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mu, diag exp(log_var)) ‖ N(0, I))."""
    kl: Tensor = 0.5 * (mu**2 + ExpMinus1Minus.apply(log_var)).sum(-1)
    return kl


def kl_normal(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    """KL(N(mu_q, diag exp(log_var_q)) ‖ N(mu_p, diag exp(log_var_p)))."""
    standardized = (mu_q - mu_p) * torch.exp(-0.5 * log_var_p)
    kl: Tensor = 0.5 * (standardized**2 + ExpMinus1Minus.apply(log_var_q - log_var_p)).sum(-1)
    return kl


def reparameterize(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """z = mu + sigma eps, which is N(mu, diag exp(log_var)) where eps is N(0, I)."""
    return mu + torch.exp(0.5 * log_var) * eps


def alpha_sigma(log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and noise of a log-signal-to-noise ratio, whose squares add up to 1."""
    return torch.exp(0.5 * F.logsigmoid(log_snr)), torch.exp(0.5 * F.logsigmoid(-log_snr))


def half_snr_gap(log_snr_s: Tensor, log_snr_t: Tensor) -> Tensor:
    """Half of e^log_snr_s - e^log_snr_t, by a difference that does not cancel."""
    return -0.5 * log_snr_s.exp() * torch.expm1(log_snr_t - log_snr_s)


def exp_minus_1_minus(t: Tensor) -> Tensor:
    """e^t - 1 - t, to full relative precision: its Taylor series where the difference would cancel."""
    n_terms = 16 if t.dtype == torch.float64 else 10  # what is left out is less than half a unit in the last place
    series = torch.zeros_like(t)
    for k in range(n_terms, 1, -1):  # Horner: sum over k >= 2 of t^(k-2) / k!
        series.mul_(t).add_(1 / math.factorial(k))
    return torch.where(t.abs() < 0.5, t**2 * series, torch.expm1(t) - t)


class ExpMinus1Minus(torch.autograd.Function):
    """The same with its derivative, e^t - 1: autograd would take the series apart, which costs more than the rest."""

    generate_vmap_rule = True

    @staticmethod
    def forward(t: Tensor) -> Tensor:
        return exp_minus_1_minus(t)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,), (t,) = gradients, ctx.saved_tensors
        return gradient * torch.expm1(t)
