"""The likelihood of x that is 0 or 1."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_tutorial._random import uniform_noise
from vae_tutorial.likelihoods.likelihood import likelihood, outside


def _bernoulli_log_prob(x: Tensor, params: Tensor) -> Tensor:
    # x - x² is 0 at 0 and 1 alone, also when rounded. Its extremes are found faster than two comparisons.
    if any(extreme != 0 for extreme in torch.addcmul(x, x, x, value=-1).detach().aminmax()):
        raise outside(x, "hold only 0 and 1 for a Bernoulli", "draw them with datasets.binarize")
    # x log s(l) + (1 - x) log s(-l), with s the sigmoid: the logits l never pass through a saturating sigmoid.
    logits, target = torch.broadcast_tensors(params.squeeze(-2), x)
    return -F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)


def _bernoulli_sample(params: Tensor, generator: torch.Generator | None) -> Tensor:
    probability = torch.sigmoid(params.squeeze(-2))
    return (uniform_noise(probability.shape, like=probability, generator=generator) < probability).to(params.dtype)


bernoulli = likelihood(1, _bernoulli_log_prob, lambda params: torch.sigmoid(params.squeeze(-2)), _bernoulli_sample)
r"""Independent Bernoulli dimensions, ``params`` the logits :math:`\ell`:

.. math:: \log p(x \mid z) = \sum_{d=1}^{D} \bigl( x_d \log s(\ell_d) + (1 - x_d) \log s(-\ell_d) \bigr),
    \qquad s(\ell) = \frac{1}{1 + e^{-\ell}}

``x`` must hold only 0 and 1: for gray values in between this expression is not the logarithm of a probability; see
`continuous_bernoulli`.
"""
