"""The likelihood of x that is a number between 0 and 1."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_tutorial._random import uniform_noise
from vae_tutorial._validation import values_count
from vae_tutorial.likelihoods.likelihood import likelihood, outside, widened


def _langevin(t: Tensor) -> Tensor:
    """coth t - 1/t, to full precision, with its derivatives: Lambert's continued fraction where it would cancel."""
    near_zero = t.abs() < 1
    small = torch.where(near_zero, t, 0.0)  # the branch not taken stays finite, and so do its gradients
    large = torch.where(near_zero, 1.0, t)
    square, fraction = small**2, torch.full_like(t, 19.0)
    for odd in range(17, 1, -2):  # t / (3 + t² / (5 + t² / (7 + ...)))
        fraction = odd + square / fraction
    return torch.where(near_zero, small / fraction, 1 / torch.tanh(large) - 1 / large)


def _log_prob(x: Tensor, params: Tensor) -> Tensor:
    low, high = x.detach().aminmax()
    if values_count() and not (low >= 0 and high <= 1):
        raise outside(x, "lie in [0, 1] for a continuous Bernoulli")
    logits, target = torch.broadcast_tensors(params.squeeze(-2), widened(x))
    half = logits / 2
    log_normalizer = math.log(2) + torch.log1p(half * _langevin(half))
    return (log_normalizer - F.binary_cross_entropy_with_logits(logits, target, reduction="none")).sum(-1)


def _mean(params: Tensor) -> Tensor:
    return (1 + _langevin(params.squeeze(-2) / 2)) / 2


def _sample(params: Tensor, generator: torch.Generator | None) -> Tensor:
    logits = params.squeeze(-2)
    # The distribution function (1 - e^(-t x)) / (1 - e^-t) is inverted for t = |l|; the other sign is its mirror image.
    t = logits.abs().clamp(min=torch.finfo(logits.dtype).tiny)
    uniform = uniform_noise(logits.shape, like=logits, generator=generator)
    x = (-torch.log1p(uniform * torch.expm1(-t)) / t).clamp(max=1)  # however it is rounded
    return torch.where(logits < 0, x, 1 - x)


continuous_bernoulli = likelihood("continuous_bernoulli", 1, _log_prob, _mean, _sample)
r"""Independent dimensions in [0, 1] whose density is the Bernoulli expression, normalized; ``params`` the logits
:math:`\ell`:

.. math:: \log p(x \mid z)
    = \sum_{d=1}^{D} \bigl( x_d \log s(\ell_d) + (1 - x_d) \log s(-\ell_d) + \log C(\ell_d) \bigr),
    \qquad C(\ell) = \frac{\ell}{\tanh(\ell / 2)}, \quad C(0) = 2

(Loaiza-Ganem and Cunningham, *The Continuous Bernoulli*, 2019, here in logits.) The mean is not
:math:`s(\ell)` but :math:`\tfrac12 + \tfrac12 \coth(\ell / 2) - 1 / \ell`, nearer to one half.
"""
