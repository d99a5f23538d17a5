r"""What a decoder says: the distribution :math:`p_\theta(x \mid z)`, as a value.

A `Likelihood` bundles the functions that turn a decoder's output ``params`` into a log-probability, a mean and a
sample, so nothing else in the package asks which distribution it is. Shapes: K samples, B examples, D dimensions.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_tutorial._noise import draw
from vae_tutorial._validation import (
    aligned,
    require_aligned,
    require_finite,
    require_finite_result,
    require_float,
    require_number,
)
from vae_tutorial.gaussian import log_normal, reparameterize


class Likelihood(NamedTuple):
    r"""A family of distributions over x, as functions of a decoder's output.

    Attributes:
        n_params: how many numbers the decoder gives for each of the D dimensions of x.
        log_prob: ``log_prob(x, params)``, :math:`\log p(x \mid z)` in nats. ``x`` has shape (B, D), ``params``
            (B, D·n_params) or (K, B, D·n_params); the result (B,) or (K, B).
        mean: ``mean(params)``, the mean of x, shape (..., D).
        sample: ``sample(params, generator=None)``, one draw of x for each row of ``params``, shape (..., D).

    Each raises TypeError where ``x`` or ``params`` is not a floating-point tensor or ``generator`` not a generator, and
    ValueError where one has the wrong shape, is empty or not finite, or where x cannot occur under the distribution.
    """

    n_params: int
    log_prob: Callable[..., Tensor]
    mean: Callable[[Tensor], Tensor]
    sample: Callable[..., Tensor]


def _bernoulli_log_prob(x: Tensor, params: Tensor) -> Tensor:
    require_float(x=x, params=params)
    require_aligned(x=x, params=params)
    if not ((x == 0) | (x == 1)).all():
        require_finite(x=x)
        low, high = x.min().item(), x.max().item()
        hint = "scale pixels to [0, 1] first" if low < 0 or high > 1 else "draw them with datasets.binarize"
        raise ValueError(f"x must hold only 0 and 1 for a Bernoulli, got values in [{low:g}, {high:g}]; {hint}")
    # x log s(l) + (1 - x) log s(-l), with s the sigmoid: the logits l never pass through a saturating sigmoid.
    logits, target = torch.broadcast_tensors(params, x)
    log_prob = -F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)
    return require_finite_result(log_prob, params=params)


def _bernoulli_mean(params: Tensor) -> Tensor:
    require_float(params=params)
    require_finite(params=params)
    return torch.sigmoid(params)


def _bernoulli_sample(params: Tensor, generator: torch.Generator | None = None) -> Tensor:
    probability = _bernoulli_mean(params)
    uniform = draw(torch.rand, params.shape, like=params, generator=generator)
    return (uniform < probability).to(params.dtype)


bernoulli = Likelihood(n_params=1, log_prob=_bernoulli_log_prob, mean=_bernoulli_mean, sample=_bernoulli_sample)
r"""Independent Bernoulli dimensions, ``params`` the logits :math:`\ell`:

.. math:: \log p(x \mid z) = \sum_{d=1}^{D} \bigl( x_d \log s(\ell_d) + (1 - x_d) \log s(-\ell_d) \bigr),
    \qquad s(\ell) = \frac{1}{1 + e^{-\ell}}

``x`` must hold only 0 and 1: for gray values in between this expression is not the logarithm of a probability.
"""


def _gaussian(n_params: int, split: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Likelihood:
    """The Gaussian likelihood whose mean and log-variance ``split`` reads from ``params``."""

    def checked_split(params: Tensor) -> tuple[Tensor, Tensor]:
        require_float(params=params)
        require_finite(params=params)
        if params.shape[-1] % n_params:
            raise ValueError(
                f"params must hold {n_params} numbers for each dimension of x, got shape {tuple(params.shape)}"
            )
        return split(params)

    def log_prob(x: Tensor, params: Tensor) -> Tensor:
        mu, log_var = checked_split(params)
        require_float(x=x)
        if not aligned(x, mu):
            raise ValueError(
                f"params must have the shape of x with {n_params} D on the last axis, or one more leading sample axis; "
                f"got params {tuple(params.shape)} and x {tuple(x.shape)}"
            )
        return log_normal(x, mu, log_var)

    def mean(params: Tensor) -> Tensor:
        return checked_split(params)[0]

    def sample(params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return reparameterize(*checked_split(params), generator=generator)

    return Likelihood(n_params, log_prob, mean, sample)


def normal(log_var: float) -> Likelihood:
    r"""Gaussian dimensions with one fixed variance, ``params`` the means:
    :math:`p(x \mid z) = \mathcal{N}(x; \text{params}, e^{\text{log\_var}} I)`.

    With ``log_var=0`` its log-density is :math:`-\tfrac12 \lVert x - \text{params} \rVert^2 - \tfrac{D}{2} \log 2\pi`:
    half the sum of squared errors, and a constant that may not be dropped where models are compared.

    Args:
        log_var: the logarithm of the variance, a finite number.

    Returns:
        The `Likelihood`, with one parameter a dimension.

    Raises:
        TypeError: ``log_var`` is not a number.
        ValueError: ``log_var`` is not finite.

    Example:
        >>> zero = torch.zeros(1, 784)
        >>> print(f"{normal(0.0).log_prob(zero, zero).item():.2f}")
        -720.45
    """
    log_var = require_number(log_var=log_var)
    return _gaussian(1, lambda params: (params, torch.full_like(params, log_var)))


def normal_diag_above(min_log_var: float) -> Likelihood:
    r"""Gaussian dimensions with learned variances that stay above a floor.

    ``params`` holds D means, then D unconstrained numbers r; the log-variance is
    :math:`\log \sigma^2 = m + \log(1 + e^{r - m})` with m = ``min_log_var``: close to r well above the floor, and
    never below it. A floor keeps the log-density bounded where x can be reproduced exactly.

    Args:
        min_log_var: the floor m of the log-variance, a finite number.

    Returns:
        The `Likelihood`, with two parameters a dimension.

    Raises:
        TypeError: ``min_log_var`` is not a number.
        ValueError: ``min_log_var`` is not finite.

    Example:
        >>> x, params = torch.zeros(1, 1), torch.tensor([[0.0, -50.0]])
        >>> without = normal_diag.log_prob(x, params)
        >>> bool(without > normal_diag_above(-4.0).log_prob(x, params))
        True
    """
    min_log_var = require_number(min_log_var=min_log_var)

    def split(params: Tensor) -> tuple[Tensor, Tensor]:
        mu, unconstrained = params.chunk(2, -1)
        return mu, min_log_var + F.softplus(unconstrained - min_log_var)

    return _gaussian(2, split)


normal_diag = _gaussian(2, lambda params: params.chunk(2, -1))
r"""Gaussian dimensions with learned variances, ``params`` D means followed by D log-variances:
:math:`p(x \mid z) = \mathcal{N}(x; \mu, \operatorname{diag} \sigma^2)`.

Its log-density grows without bound as a variance goes to 0 at a dimension that is reproduced exactly; see
`normal_diag_above`.
"""
