r"""What a decoder says: the distribution :math:`p_\theta(x \mid z)`, as a value.

A `Likelihood` bundles the functions that turn a decoder's output ``params`` into a log-probability, a mean and a
sample, so nothing else in the package asks which distribution it is. Given z the dimensions of x are independent. What
x can be decides which likelihoods may describe it: 0 or 1, `bernoulli`; one of n levels, `discretized_logistic` and
`categorical`; a number between 0 and 1, `continuous_bernoulli`; any number, the Gaussians.

Shapes: K samples, B examples, D dimensions. ``params`` holds the first parameter of all D dimensions, then the second
of all, and so on.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_tutorial._noise import draw
from vae_tutorial._validation import (
    aligned,
    require_count,
    require_finite,
    require_finite_result,
    require_float,
    require_number,
)
from vae_tutorial.gaussian import log_normal, reparameterize


class Sampler(Protocol):
    """How a `Likelihood` samples: ``sample(params, generator=None)`` draws one x for each row of ``params``."""

    def __call__(self, params: Tensor, /, generator: torch.Generator | None = None) -> Tensor: ...


class Likelihood(NamedTuple):
    r"""A family of distributions over x, as functions of a decoder's output.

    Attributes:
        n_params: how many numbers the decoder gives for each of the D dimensions of x.
        log_prob: ``log_prob(x, params)``, :math:`\log p(x \mid z)` in nats. ``x`` has shape (B, D), ``params``
            (B, D·n_params) or (K, B, D·n_params); the result (B,) or (K, B).
        mean: ``mean(params)``, the mean of x, shape (..., D).
        sample: ``sample(params, generator=None)``, one draw of x for each row of ``params``, shape (..., D).
        spec: the function of this module that made it, and its arguments, as a saved model's file keeps them; None for
            the module's own values, and for one of your own.

    Each function raises TypeError where ``x`` or ``params`` is not a floating-point tensor or ``generator`` not a
    generator, and ValueError where one has the wrong shape, is empty or not finite, or where x cannot occur under the
    distribution.
    """

    n_params: int
    log_prob: Callable[[Tensor, Tensor], Tensor]
    mean: Callable[[Tensor], Tensor]
    sample: Sampler
    spec: dict[str, Any] | None = None


def _likelihood(
    n_params: int,
    log_prob: Callable[[Tensor, Tensor], Tensor],
    mean: Callable[[Tensor], Tensor],
    sample: Callable[[Tensor, torch.Generator | None], Tensor],
) -> Likelihood:
    """The `Likelihood` of three functions that take checked ``params`` as (..., n_params, D)."""

    def per_dimension(params: Tensor) -> Tensor:
        require_float(params=params)
        require_finite(params=params)
        if params.shape[-1] % n_params:
            raise ValueError(
                f"params must hold {n_params} numbers for each dimension of x, got shape {tuple(params.shape)}"
            )
        parts: Tensor = params.unflatten(-1, (n_params, -1))
        return parts

    def checked_log_prob(x: Tensor, params: Tensor) -> Tensor:
        parts = per_dimension(params)
        require_float(x=x)
        if not aligned(x, parts[..., 0, :]):
            raise ValueError(
                f"params must have the shape of x with {n_params} D on the last axis, or one more leading sample axis; "
                f"got params {tuple(params.shape)} and x {tuple(x.shape)}"
            )
        return require_finite_result(log_prob(x, parts), x=x, params=params)

    def checked_sample(params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return sample(per_dimension(params), generator)

    return Likelihood(n_params, checked_log_prob, lambda params: mean(per_dimension(params)), checked_sample)


def _spec(name: str, **arguments: float) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def _uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return draw(torch.rand, like.shape, like=like, generator=generator)


# x is 0 or 1


def _bernoulli_log_prob(x: Tensor, params: Tensor) -> Tensor:
    # x - x² is 0 at 0 and 1 alone, also when rounded. Its extremes are found faster than two comparisons.
    if any(extreme != 0 for extreme in torch.addcmul(x, x, x, value=-1).detach().aminmax()):
        raise _outside(x, "hold only 0 and 1 for a Bernoulli", "draw them with datasets.binarize")
    # x log s(l) + (1 - x) log s(-l), with s the sigmoid: the logits l never pass through a saturating sigmoid.
    logits, target = torch.broadcast_tensors(params.squeeze(-2), x)
    return -F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)


def _bernoulli_sample(params: Tensor, generator: torch.Generator | None) -> Tensor:
    probability = torch.sigmoid(params.squeeze(-2))
    return (_uniform(probability, generator) < probability).to(params.dtype)


def _outside(x: Tensor, expected: str, hint: str = "") -> ValueError:
    """The error for values of ``x`` that cannot occur; below 0 or above 1, pixels have not been scaled."""
    require_finite(x=x)
    low, high = x.min().item(), x.max().item()
    if low < 0 or high > 1:
        hint = "scale pixels to [0, 1] first"
    return ValueError(f"x must {expected}, got values in [{low:g}, {high:g}]; {hint}")


bernoulli = _likelihood(1, _bernoulli_log_prob, lambda params: torch.sigmoid(params.squeeze(-2)), _bernoulli_sample)
r"""Independent Bernoulli dimensions, ``params`` the logits :math:`\ell`:

.. math:: \log p(x \mid z) = \sum_{d=1}^{D} \bigl( x_d \log s(\ell_d) + (1 - x_d) \log s(-\ell_d) \bigr),
    \qquad s(\ell) = \frac{1}{1 + e^{-\ell}}

``x`` must hold only 0 and 1: for gray values in between this expression is not the logarithm of a probability; see
`continuous_bernoulli`.
"""


# x is one of n levels between 0 and 1


def _levels(x: Tensor, n_levels: int) -> Tensor:
    """The level of every value of ``x``, a whole number from 0 to n_levels - 1, still as floating point."""
    scaled = x.detach() * (n_levels - 1)
    level = scaled.round()
    low, high = level.aminmax()
    # Division by n_levels - 1 rounds; a hundredth of a level is more than that, and less than any noise.
    if not (low >= 0 and high <= n_levels - 1 and (scaled - level).abs().max() < 0.01):
        expected = f"lie on the {n_levels} levels k / {n_levels - 1} from 0 to 1"
        raise _outside(x, expected, "give the n_levels of your data, and add no noise to it")
    return level


def _require_levels(n_levels: int) -> None:
    require_count(n_levels=n_levels)
    if n_levels < 2:
        raise ValueError(f"n_levels must be an integer of at least 2, got {n_levels!r}")


def discretized_logistic(n_levels: int = 256) -> Likelihood:
    r"""Logistic dimensions, rounded to n levels; ``params`` holds D means, then D log-scales.

    A logistic variable with mean :math:`\mu` and scale :math:`\tau` has the distribution function
    :math:`s((x - \mu) / \tau)`, with s the sigmoid. Level k, at :math:`x = k / (n - 1)`, gets the mass of its cell,
    from half a level below to half a level above, :math:`h = \tfrac{1}{2(n - 1)}`:

    .. math:: P(x) = s\Bigl(\frac{x + h - \mu}{\tau}\Bigr) - s\Bigl(\frac{x - h - \mu}{\tau}\Bigr)
        = s(b) \, s(-a) \, \bigl(1 - e^{-(b - a)}\bigr)

    with b and a the two arguments. The cell of 0 extends to :math:`-\infty`, that of 1 to :math:`\infty`, so the
    masses sum to 1 (Kingma et al., *Improved Variational Inference with Inverse Autoregressive Flow*, 2016; Salimans
    et al., *PixelCNN++*, 2017). The product on the right never subtracts two sigmoids that have rounded to the same
    number: it is accurate for log-scales from -80 to 80 in float32.

    Args:
        n_levels: n, at least 2; ``x`` must lie on the levels k / (n - 1).

    Returns:
        The `Likelihood`, with two parameters a dimension. Its mean is a sum over the levels.

    Raises:
        ValueError: ``n_levels`` is not an integer of at least 2.

    Example:
        >>> levels = torch.arange(256.0)[:, None] / 255
        >>> params = torch.tensor([[0.3, -3.0]]).expand(256, -1)
        >>> log_prob = discretized_logistic().log_prob(levels, params)
        >>> print(f"{log_prob.exp().sum().item():.4f}")
        1.0000
    """
    _require_levels(n_levels)
    top = n_levels - 1

    def log_prob(x: Tensor, params: Tensor) -> Tensor:
        level = _levels(x, n_levels)
        mu, log_scale = params.unbind(-2)
        per_scale = torch.exp(-log_scale)
        above = ((level + 0.5) / top - mu) * per_scale  # b
        below = ((level - 0.5) / top - mu) * per_scale  # a
        log_width = torch.log(-torch.expm1(-per_scale / top))  # log(1 - e^-(b - a))
        bottom_cell, top_cell = level == 0, level == top
        return (
            F.logsigmoid(above).masked_fill(top_cell, 0.0)
            + F.logsigmoid(-below).masked_fill(bottom_cell, 0.0)
            + log_width.masked_fill(bottom_cell | top_cell, 0.0)
        ).sum(-1)

    def mean(params: Tensor) -> Tensor:
        mu, log_scale = params.unbind(-2)
        per_scale = torch.exp(-log_scale)
        # The mean level is the sum over k = 1, ..., n - 1 of P(level >= k).
        reached = (torch.sigmoid((mu - (k - 0.5) / top) * per_scale) for k in range(1, n_levels))
        return sum(reached, torch.zeros_like(mu)) / top

    def sample(params: Tensor, generator: torch.Generator | None) -> Tensor:
        mu, log_scale = params.unbind(-2)
        uniform = _uniform(mu, generator).clamp(min=torch.finfo(mu.dtype).tiny)  # a logit of 0 is infinite
        x = mu + torch.exp(log_scale) * torch.logit(uniform)
        return (x * top).clamp(0, top).round() / top

    return _likelihood(2, log_prob, mean, sample)._replace(spec=_spec("discretized_logistic", n_levels=n_levels))


def categorical(n_levels: int) -> Likelihood:
    r"""A free probability for each of n levels, ``params`` their logits: D of level 0, then D of level 1, and so on.

    .. math:: P\Bigl(x = \frac{k}{n - 1}\Bigr) = \frac{e^{\ell_k}}{\sum_{j=0}^{n-1} e^{\ell_j}}

    Any distribution of a dimension can be said so, at n numbers for each; that neighboring levels are alike has to be
    learned (van den Oord et al., *Pixel Recurrent Neural Networks*, 2016).

    Args:
        n_levels: n, at least 2; ``x`` must lie on the levels k / (n - 1).

    Returns:
        The `Likelihood`, with n parameters a dimension.

    Raises:
        ValueError: ``n_levels`` is not an integer of at least 2.

    Example:
        >>> x = torch.tensor([[0.5]])  # the middle one of three
        >>> logits = torch.tensor([[1.0, 3.0, 4.0]]).log()
        >>> print(f"{categorical(3).log_prob(x, logits).exp().item():.4f}")
        0.3750
    """
    _require_levels(n_levels)

    def log_prob(x: Tensor, params: Tensor) -> Tensor:
        level, _ = torch.broadcast_tensors(_levels(x, n_levels).long().unsqueeze(-2), params[..., :1, :])
        logits = params.expand(*level.shape[:-2], n_levels, -1)
        return (logits.gather(-2, level).squeeze(-2) - params.logsumexp(-2)).sum(-1)

    def mean(params: Tensor) -> Tensor:
        x = torch.linspace(0, 1, n_levels, dtype=params.dtype, device=params.device)
        return torch.einsum("...nd,n->...d", params.softmax(-2), x)

    def sample(params: Tensor, generator: torch.Generator | None) -> Tensor:
        cumulative = params.softmax(-2).cumsum(-2)[..., :-1, :]  # the last is 1
        uniform = _uniform(params[..., :1, :], generator)
        return (uniform >= cumulative).sum(-2).to(params.dtype) / (n_levels - 1)

    return _likelihood(n_levels, log_prob, mean, sample)._replace(spec=_spec("categorical", n_levels=n_levels))


# x is a number between 0 and 1


def _langevin(t: Tensor) -> Tensor:
    """coth t - 1/t, to full precision, with its derivatives: Lambert's continued fraction where it would cancel."""
    near_zero = t.abs() < 1
    small = torch.where(near_zero, t, 0.0)  # the branch not taken stays finite, and so do its gradients
    large = torch.where(near_zero, 1.0, t)
    square, fraction = small**2, torch.full_like(t, 19.0)
    for odd in range(17, 1, -2):  # t / (3 + t² / (5 + t² / (7 + ...)))
        fraction = odd + square / fraction
    return torch.where(near_zero, small / fraction, 1 / torch.tanh(large) - 1 / large)


def _continuous_bernoulli_log_prob(x: Tensor, params: Tensor) -> Tensor:
    low, high = x.detach().aminmax()
    if not (low >= 0 and high <= 1):
        raise _outside(x, "lie in [0, 1] for a continuous Bernoulli")
    logits, target = torch.broadcast_tensors(params.squeeze(-2), x)
    half = logits / 2
    log_normalizer = math.log(2) + torch.log1p(half * _langevin(half))
    return (log_normalizer - F.binary_cross_entropy_with_logits(logits, target, reduction="none")).sum(-1)


def _continuous_bernoulli_sample(params: Tensor, generator: torch.Generator | None) -> Tensor:
    logits = params.squeeze(-2)
    # The distribution function (1 - e^(-t x)) / (1 - e^-t) is inverted for t = |l|; the other sign is its mirror image.
    t = logits.abs().clamp(min=torch.finfo(logits.dtype).tiny)
    x = (-torch.log1p(_uniform(logits, generator) * torch.expm1(-t)) / t).clamp(max=1)  # however it is rounded
    return torch.where(logits < 0, x, 1 - x)


continuous_bernoulli = _likelihood(
    1,
    _continuous_bernoulli_log_prob,
    lambda params: (1 + _langevin(params.squeeze(-2) / 2)) / 2,
    _continuous_bernoulli_sample,
)
r"""Independent dimensions in [0, 1] whose density is the Bernoulli expression, normalized; ``params`` the logits
:math:`\ell`:

.. math:: \log p(x \mid z)
    = \sum_{d=1}^{D} \bigl( x_d \log s(\ell_d) + (1 - x_d) \log s(-\ell_d) + \log C(\ell_d) \bigr),
    \qquad C(\ell) = \frac{\ell}{\tanh(\ell / 2)}, \quad C(0) = 2

(Loaiza-Ganem and Cunningham, *The Continuous Bernoulli*, 2019, here in logits.) The mean is not
:math:`s(\ell)` but :math:`\tfrac12 + \tfrac12 \coth(\ell / 2) - 1 / \ell`, nearer to one half.
"""


# x is any number


def _gaussian(n_params: int, split: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Likelihood:
    """The Gaussian likelihood whose mean and log-variance ``split`` reads from ``params``, (..., n_params, D)."""
    return _likelihood(
        n_params,
        lambda x, params: log_normal(x, *split(params)),
        lambda params: split(params)[0],
        lambda params, generator: reparameterize(*split(params), generator=generator),
    )


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

    def split(params: Tensor) -> tuple[Tensor, Tensor]:
        mu = params.squeeze(-2)
        return mu, torch.full_like(mu, log_var)

    return _gaussian(1, split)._replace(spec=_spec("normal", log_var=log_var))


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
        mu, unconstrained = params.unbind(-2)
        return mu, min_log_var + F.softplus(unconstrained - min_log_var)

    return _gaussian(2, split)._replace(spec=_spec("normal_diag_above", min_log_var=min_log_var))


def _two_parts(params: Tensor) -> tuple[Tensor, Tensor]:
    mu, log_var = params.unbind(-2)
    return mu, log_var


normal_diag = _gaussian(2, _two_parts)
r"""Gaussian dimensions with learned variances, ``params`` D means followed by D log-variances:
:math:`p(x \mid z) = \mathcal{N}(x; \mu, \operatorname{diag} \sigma^2)`.

Its log-density grows without bound as a variance goes to 0 at a dimension that is reproduced exactly; see
`normal_diag_above` and `sigma_normal`.
"""


def _one_variance(params: Tensor) -> tuple[Tensor, Tensor]:
    mu, log_vars = params.unbind(-2)
    return mu, log_vars.mean(-1, keepdim=True).expand_as(mu)


sigma_normal = _gaussian(2, _one_variance)
r"""Gaussian dimensions that share one learned variance, ``params`` D means followed by D numbers whose average is the
log-variance: :math:`p(x \mid z) = \mathcal{N}(x; \mu, \sigma^2 I)`.

Given the means, the best :math:`\sigma^2` is the mean squared error of a dimension, so it goes to 0 only where *all*
dimensions are reproduced exactly. A decoder that ends in `SharedLogVar` gives the same number for every z
too: one variance for the whole model (Rybkin, Daniilidis and Levine, *Simple and Effective VAE Training with Calibrated
Decoders*, 2021).
"""


class SharedLogVar(nn.Module):
    r"""The last module of a decoder with one learned variance: it puts the same log-variance beside every mean.

    A `Likelihood` is a function without parameters; what is learned belongs to the decoder, where the optimizer and
    ``state_dict`` find it. So the shared log-variance is a parameter of this module, in its attribute ``log_var``.

    Args:
        log_var: the log-variance to start from, a finite number.

    Raises:
        TypeError: ``log_var`` is not a number.
        ValueError: ``log_var`` is not finite.

    Example:
        >>> means = nn.Linear(2, 784)
        >>> decoder = nn.Sequential(means, SharedLogVar())
        >>> decoder(torch.zeros(1, 2)).shape  # 784 means, 784 times log_var
        torch.Size([1, 1568])
    """

    def __init__(self, log_var: float = 0.0) -> None:
        super().__init__()
        self.log_var = nn.Parameter(torch.tensor(require_number(log_var=log_var)))

    def forward(self, mu: Tensor) -> Tensor:
        """The parameters of `sigma_normal`, shape (..., 2D), for means of shape (..., D)."""
        return torch.cat([mu, self.log_var.expand_as(mu)], -1)
