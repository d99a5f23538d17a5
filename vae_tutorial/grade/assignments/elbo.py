"""# The evidence lower bound

Write the functions below with PyTorch. The model has four methods: `encode(x)` gives `mu` and `log_var`, each (B, L);
`decode(z)` the parameters of p(x | z); `log_likelihood(x, z)` log p(x | z), (K, B) for z of shape (K, B, L); and
`log_prior(z)` log p(z). Gradients count.
"""

import math

import torch

from vae_tutorial.checks import check_elbo, check_kl, check_reparameterize
from vae_tutorial.grade import question


@question(check_reparameterize, points=1)
def sample(mu, log_var, eps):
    """Draws from N(mu, exp(log_var)) out of noise eps of shape (B, L) or (K, B, L), which they have, too."""
    return mu + torch.exp(0.5 * log_var) * eps


def check_kl_in_bits(fn, seed=0):
    def in_nats(mu, log_var):
        bits = fn(mu, log_var)
        return bits if bits is ... else math.log(2) * bits

    return check_kl(in_nats, seed=seed)


@question(check_kl, points=2)
def kl(mu, log_var):
    """KL(N(mu, exp(log_var)) ‖ N(0, I)) in nats: (B, L), (B, L) -> (B,)."""
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)


@question(check_kl_in_bits, points=2)
def kl(mu, log_var):  # noqa: F811
    """KL(N(mu, exp(log_var)) ‖ N(0, I)) in bits, not nats: (B, L), (B, L) -> (B,)."""
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1) / math.log(2)


def check_loss(fn, seed=0):
    def bound(model, x, eps):
        loss = fn(model, x, eps)
        return loss if loss is ... else -loss

    return check_elbo(bound, seed=seed)


@question(check_elbo, points=4)
def objective(model, x, eps):
    """The ELBO of each example, which is maximized, from noise eps of shape (K, B, L): -> (B,)."""
    mu, log_var = model.encode(x)
    z = mu + torch.exp(0.5 * log_var) * eps
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
    return model.log_likelihood(x, z).mean(0) - kl


@question(check_loss, points=4)
def objective(model, x, eps):  # noqa: F811
    """Minus the ELBO of each example, which is minimized, from noise eps of shape (K, B, L): -> (B,)."""
    mu, log_var = model.encode(x)
    z = mu + torch.exp(0.5 * log_var) * eps
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
    return kl - model.log_likelihood(x, z).mean(0)
