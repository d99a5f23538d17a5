"""# Gaussians

Write the functions below with PyTorch. All numbers are in nats unless a function says otherwise; B is the number of
examples, L that of dimensions, K that of draws. Gradients count: build each value from its arguments.
"""

import math
from functools import partial

import torch

from vae_tutorial.checks import check_kl, check_log_normal, check_reparameterize, standard_deviation, variance
from vae_tutorial.grade import question


@question(check_kl, points=3)
def kl(mu, log_var):
    """KL(N(mu, exp(log_var)) ‖ N(0, I)): (B, L), (B, L) -> (B,)."""
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)


@question(partial(check_kl, spread=variance), points=3)
def kl(mu, var):  # noqa: F811
    """KL(N(mu, var) ‖ N(0, I)): (B, L), (B, L) -> (B,)."""
    return 0.5 * (mu**2 + var - 1 - var.log()).sum(-1)


@question(partial(check_kl, spread=standard_deviation), points=3)
def kl(mu, sigma):  # noqa: F811
    """KL(N(mu, sigma²) ‖ N(0, I)): (B, L), (B, L) -> (B,)."""
    return 0.5 * (mu**2 + sigma**2 - 1 - 2 * sigma.log()).sum(-1)


@question(check_log_normal, points=2)
def log_normal(x, mu, log_var):
    """log N(x; mu, exp(log_var)): three times (B, L) -> (B,)."""
    return -0.5 * (math.log(2 * math.pi) + log_var + (x - mu) ** 2 / log_var.exp()).sum(-1)


@question(check_reparameterize, points=2)
def sample(mu, log_var, eps):
    """Draws from N(mu, exp(log_var)) out of noise eps of shape (B, L) or (K, B, L), which they have, too."""
    return mu + torch.exp(0.5 * log_var) * eps


def check_kl_to(fn, prior_var, seed=0):
    """In units of the prior's standard deviation it is the KL to N(0, I)."""

    def in_its_units(mu, log_var):
        return fn(mu * math.sqrt(prior_var), log_var + math.log(prior_var))

    return check_kl(in_its_units, seed=seed)


@question(check_kl_to, points=3, prior_var=(0.25, 2.25, 4.0, 6.25))
def kl_to(mu, log_var):
    """KL(N(mu, exp(log_var)) ‖ N(0, PRIOR_VAR I)): (B, L), (B, L) -> (B,)."""
    return 0.5 * ((mu**2 + log_var.exp()) / PRIOR_VAR - 1 - log_var + math.log(PRIOR_VAR)).sum(-1)  # noqa: F821
