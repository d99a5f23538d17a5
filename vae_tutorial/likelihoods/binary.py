"""The likelihood of x that is 0 or 1."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_tutorial._random import uniform_noise
from vae_tutorial._troubleshooting import see
from vae_tutorial._validation import values_count
from vae_tutorial.likelihoods.likelihood import likelihood, outside


def _log_prob(x: Tensor, params: Tensor) -> Tensor:
    # x - x² is 0 at 0 and 1 alone, also when rounded. Its extremes are found faster than two comparisons.
    if values_count() and any(torch.addcmul(x, x, x, value=-1).detach().aminmax()):
        raise outside(x, "hold only 0 and 1 for a Bernoulli", f"draw them with datasets.binarize. {see('gray')}")
    # log s(l) where x is 1 and log s(-l) where it is 0: the logits never pass through a saturating sigmoid.
    sign = (2 * x).sub_(1)
    return F.logsigmoid(sign * params.squeeze(-2)).sum(-1)


def _mean(params: Tensor) -> Tensor:
    return torch.sigmoid(params.squeeze(-2))


def _sample(params: Tensor, generator: torch.Generator | None) -> Tensor:
    probability = _mean(params)
    return (uniform_noise(probability.shape, like=probability, generator=generator) < probability).to(params.dtype)


bernoulli = likelihood("bernoulli", 1, _log_prob, _mean, _sample)
r"""Independent Bernoulli dimensions, ``params`` the logits :math:`\ell`:

.. math:: \log p(x \mid z) = \sum_{d=1}^{D} \bigl( x_d \log s(\ell_d) + (1 - x_d) \log s(-\ell_d) \bigr),
    \qquad s(\ell) = \frac{1}{1 + e^{-\ell}}

``x`` must hold only 0 and 1: for gray values in between this expression is not the logarithm of a probability; see
`continuous_bernoulli`.
"""
