"""# Averages of weights, and mixtures

Write the functions below with PyTorch, in nats. Log-weights and log-densities reach ±1000: take no exponential that
overflows. Gradients count.
"""

import math

import torch

from vae_tutorial.checks import check_iwae_bound, check_log_mixture, check_reduction
from vae_tutorial.grade import question


@question(check_iwae_bound, points=3)
def bound(log_w):
    """The importance-weighted bound log (1/K) Σ_k w_k of log-weights: (K, B) -> (B,)."""
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))


@question(check_log_mixture, points=3)
def log_mixture(z, logits, mu, log_var):
    """log of a mixture of C diagonal Gaussians with weights softmax(logits): (B, L), (C,), (C, L), (C, L) -> (B,)."""
    each = -0.5 * (math.log(2 * math.pi) + log_var + (z[:, None] - mu) ** 2 / log_var.exp()).sum(-1)
    return torch.logsumexp(logits.log_softmax(-1) + each, -1)


@question(check_reduction, points=1)
def log_ratio(z, mu):
    """log N(z; mu, I) − log N(z; 0, I): (B, L), (B, L) -> (B,)."""
    return (mu * z - 0.5 * mu**2).sum(-1)
