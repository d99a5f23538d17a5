"""Likelihoods of x that is one of n levels between 0 and 1."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_tutorial._random import uniform_noise
from vae_tutorial._validation import require_count, values_count
from vae_tutorial.likelihoods.likelihood import Given, Likelihood, likelihood, outside, widened


def _levels(x: Tensor, n_levels: int) -> Tensor:
    """The level of every value of ``x``, a whole number from 0 to n_levels - 1, still as floating point."""
    top = n_levels - 1
    rounding = top * torch.finfo(x.dtype).eps / 4  # of a level k / (n - 1), to the nearest number of the dtype
    if rounding >= 0.5:
        raise ValueError(f"x must be of a dtype that tells {n_levels} levels apart, got {x.dtype}; make it in float32")
    scaled = widened(x.detach()) * top
    level = scaled.round()
    low, high = level.aminmax()
    # A hundredth of a level is more than what else is rounded, and less than any noise.
    if values_count() and not (low >= 0 and high <= top and (scaled - level).abs().max() < 0.01 + rounding):
        expected = f"lie on the {n_levels} levels k / {top} from 0 to 1"
        raise outside(x, expected, "give the n_levels of your data, and add no noise to it")
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
    functions = (Given(f, n_levels) for f in (_logistic_log_prob, _logistic_mean, _logistic_sample))
    return likelihood(f"discretized_logistic(n_levels={n_levels})", 2, *functions)


def _logistic_log_prob(n_levels: int, x: Tensor, params: Tensor) -> Tensor:
    level, top = _levels(x, n_levels), n_levels - 1
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


def _logistic_mean(n_levels: int, params: Tensor) -> Tensor:
    top = n_levels - 1
    mu, log_scale = params.unbind(-2)
    # Below the least scale that has an inverse the mean is a step, whose middle would be 0 times infinity.
    per_scale = torch.exp(-log_scale.clamp(min=-math.log(torch.finfo(mu.dtype).max) + 0.1))
    # The mean level is the sum over k = 1, ..., n - 1 of P(level >= k).
    reached = (torch.sigmoid((mu - (k - 0.5) / top) * per_scale) for k in range(1, n_levels))
    return sum(reached, torch.zeros_like(mu)) / top


def _logistic_sample(n_levels: int, params: Tensor, generator: torch.Generator | None) -> Tensor:
    top = n_levels - 1
    mu, log_scale = params.unbind(-2)
    uniform = uniform_noise(mu.shape, like=mu, generator=generator)
    above_0 = uniform.clamp(min=torch.finfo(mu.dtype).tiny)  # the logit of 0 is infinite
    # Its greatest scale is finite: infinity times the logit of one half would be no number.
    scale = torch.exp(log_scale).clamp(max=torch.finfo(mu.dtype).max)
    x = mu + scale * torch.logit(above_0)
    return (x * top).clamp(0, top).round() / top


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
    functions = (Given(f, n_levels) for f in (_categorical_log_prob, _categorical_mean, _categorical_sample))
    return likelihood(f"categorical(n_levels={n_levels})", n_levels, *functions)


def _categorical_log_prob(n_levels: int, x: Tensor, params: Tensor) -> Tensor:
    level, _ = torch.broadcast_tensors(_levels(x, n_levels).long().unsqueeze(-2), params[..., :1, :])
    logits = params.expand(*level.shape[:-2], n_levels, -1)
    return (logits.gather(-2, level).squeeze(-2) - params.logsumexp(-2)).sum(-1)


def _categorical_mean(n_levels: int, params: Tensor) -> Tensor:
    x = torch.linspace(0, 1, n_levels, dtype=params.dtype, device=params.device)
    return torch.einsum("...nd,n->...d", params.softmax(-2), x)


def _categorical_sample(n_levels: int, params: Tensor, generator: torch.Generator | None) -> Tensor:
    cumulative = params.softmax(-2).cumsum(-2)[..., :-1, :]  # the last is 1
    uniform = uniform_noise(params[..., :1, :].shape, like=params, generator=generator)
    return (uniform >= cumulative).sum(-2).to(params.dtype) / (n_levels - 1)
