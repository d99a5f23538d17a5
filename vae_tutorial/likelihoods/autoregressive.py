"""A likelihood of x that is any number, and depends on the numbers before it as well as on z."""

from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_tutorial import formulas
from vae_tutorial._random import standard_noise
from vae_tutorial.likelihoods.likelihood import Given, Likelihood, likelihood


def autoregressive_normal(window: int) -> Likelihood:
    r"""Gaussian dimensions that see z and a window of the dimensions before: with it a decoder may model x alone.

    .. math:: p(x \mid z) = \prod_{d=1}^{D} \mathcal{N}\Bigl(x_d; \; m_d + \sum_{j=1}^{w} a_{j,d} \, x_{d-j}, \;
        \sigma_d^2\Bigr), \qquad x_d = 0 \text{ for } d \le 0

    ``params`` holds D numbers m, D log-variances :math:`\log \sigma^2`, then D coefficients :math:`a_1`, those of the
    dimension just before, and so on to :math:`a_w`. The coefficients form a matrix that is masked but for w diagonals
    below the main one. The window decides what is left for z to say (Chen et al., *Variational Lossy Autoencoder*,
    2017): with w = 0 it is `normal_diag`, with w = D - 1 any Gaussian can be modelled without z.

    Args:
        window: w, at least 0.

    Returns:
        The `Likelihood`, with 2 + w parameters a dimension.

    Raises:
        ValueError: ``window`` is not an integer of at least 0.

    Example:
        >>> walk = autoregressive_normal(window=1)
        >>> m, log_var, a = torch.zeros(3), torch.zeros(3), torch.ones(3)
        >>> x, params = torch.tensor([[1.0, 2.0, 2.0]]), torch.cat([m, log_var, a])[None]
        >>> steps = torch.tensor([[1.0, 1.0, 0.0]])
        >>> bool(walk.log_prob(x, params) == formulas.log_standard_normal(steps))
        True
    """
    if isinstance(window, bool) or not isinstance(window, Integral) or window < 0:
        raise ValueError(f"window must be an integer of at least 0, got {window!r}")
    functions = (Given(f, int(window)) for f in (_log_prob, _mean, _sample))
    return likelihood(f"autoregressive_normal(window={int(window)})", 2 + int(window), *functions)


def _log_prob(window: int, x: Tensor, params: Tensor) -> Tensor:
    m, log_var, *a = params.unbind(-2)
    seen = (a[j] * F.pad(x, (j + 1, 0))[..., : x.shape[-1]] for j in range(window))
    return formulas.log_normal(x, sum(seen, m), log_var)


def _mean(window: int, params: Tensor) -> Tensor:
    return _one_after_the_other(params, torch.zeros_like(params[..., 0, :]))


def _sample(window: int, params: Tensor, generator: torch.Generator | None) -> Tensor:
    return _one_after_the_other(params, standard_noise(params[..., 0, :].shape, like=params, generator=generator))


def _one_after_the_other(params: Tensor, eps: Tensor) -> Tensor:
    """x, each dimension from those before; with noise 0 it is the mean, since x is linear in the noise."""
    m, log_var, *a = params.unbind(-2)
    x: list[Tensor] = []
    for d, alone in enumerate(formulas.reparameterize(m, log_var, eps).unbind(-1)):
        before = (a[j][..., d] * x[d - 1 - j] for j in range(min(len(a), d)))
        x.append(sum(before, alone))
    return torch.stack(x, -1)
