"""# Likelihoods

Write the functions below with PyTorch. Each gives one value per example, in nats; B is the number of examples, D that
of dimensions. Gradients count: build each value from its arguments.
"""

import torch

from vae_tutorial.checks import check_log_bernoulli, check_log_normal, check_numerics, check_reduction, extreme_logits
from vae_tutorial.grade import question


@question(check_log_bernoulli, points=3)
def log_prob(x, logits):
    """log p(x) of independent binary dimensions, given their logits, which reach ±90: (B, D), (B, D) -> (B,)."""
    return (x * logits - torch.nn.functional.softplus(logits)).sum(-1)


@question(check_log_normal, points=3)
def log_prob(x, mu, log_var):  # noqa: F811
    """log p(x) of independent Gaussian dimensions: three times (B, D) -> (B,)."""
    return torch.distributions.Normal(mu, (0.5 * log_var).exp()).log_prob(x).sum(-1)


@question(check_reduction, points=1)
def squared_error(x, x_hat):
    """Half the squared distance of each example from its reconstruction: (B, D), (B, D) -> (B,)."""
    return 0.5 * ((x - x_hat) ** 2).sum(-1)


def check_stable(fn):
    return check_numerics(fn, *extreme_logits())


@question(check_stable, points=2)
def cross_entropy(x, logits):
    """−log p(x) of binary dimensions, in float32 as good as in float64, for logits to ±100: (B, D), (B, D) -> (B,)."""
    return (torch.nn.functional.softplus(logits) - x * logits).sum(-1)
