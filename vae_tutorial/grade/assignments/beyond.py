"""# Beyond the Gaussian VAE

Write the functions below with PyTorch. Gradients count.
"""

import math

import torch

from vae_tutorial.checks import check_density_ratio, check_mmd, check_quantizer, check_total_correlation
from vae_tutorial.grade import question


@question(check_quantizer, points=4)
def quantizer(z, codebook, beta):
    """The nearest codes with the straight-through gradient, (N, E), and ‖sg[z] − e‖² + beta ‖z − sg[e]‖², (N,)."""
    e = codebook[torch.cdist(z, codebook).argmin(-1)]
    loss = ((z.detach() - e) ** 2).sum(-1) + beta * ((z - e.detach()) ** 2).sum(-1)
    return z + (e - z).detach(), loss


@question(check_density_ratio, points=2)
def discriminator_loss(logits_q, logits_p):
    """The loss of a discriminator that gives draws of q label 1 and draws of p label 0: (N,), (M,) -> ()."""
    return torch.nn.functional.softplus(-logits_q).mean() + torch.nn.functional.softplus(logits_p).mean()


@question(check_total_correlation, points=4)
def dependence(z, mu, log_var, n_data):
    """log q(z) − Σ_l log q(z_l), both by minibatch weights 1 / (N M): (M, L), (M, L), (M, L), N -> (M,)."""
    each = -0.5 * (math.log(2 * math.pi) + log_var + (z[:, None] - mu) ** 2 / log_var.exp())
    log_nm = math.log(n_data * len(z))
    return torch.logsumexp(each.sum(-1), 1) - log_nm - (torch.logsumexp(each, 1) - log_nm).sum(-1)


@question(check_mmd, points=3)
def mmd(x, y, bandwidth):
    """The unbiased squared MMD of two sets of draws, kernel exp(−‖a − b‖² / (2 bandwidth²)): (N, L), (M, L) -> ()."""

    def kernel(a, b):
        return torch.exp(-((a[:, None] - b) ** 2).sum(-1) / (2 * bandwidth**2))

    def apart(a):
        return (kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))

    return apart(x) + apart(y) - 2 * kernel(x, y).mean()
