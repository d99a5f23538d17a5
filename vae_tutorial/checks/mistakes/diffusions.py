"""Wrong versions of a step back of a diffusion: each gives mean and log-variance of z_s given z_t and x."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]
Step = Callable[[Tensor, Tensor, Tensor, Tensor], Pair]


class Parts(NamedTuple):
    """What a step is made of: two points, signal and noise at both places, and the share of the way to x."""

    z_t: Tensor
    x: Tensor
    alpha_s: Tensor
    sigma_s: Tensor
    alpha_t: Tensor
    sigma_t: Tensor
    share: Tensor


def _mean(p: Parts) -> Tensor:
    return p.alpha_s * ((1 - p.share) * p.z_t / p.alpha_t + p.share * p.x)


def _variance(p: Parts) -> Tensor:
    return p.share * p.sigma_s**2


def _forward_variance(p: Parts) -> Tensor:
    return p.sigma_t**2 - (p.alpha_t / p.alpha_s * p.sigma_s) ** 2


def _gain(p: Parts) -> Tensor:
    return p.alpha_t / p.alpha_s * p.sigma_s**2 / p.sigma_t**2


def _roots(log_snr: Tensor) -> Pair:
    return log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()


def _ways(
    mean: Callable[[Parts], Tensor] = _mean,
    variance: Callable[[Parts], Tensor] = _variance,
    said: Callable[[Tensor], Tensor] = torch.log,
    signal: Callable[[Tensor], Pair] = _roots,
    rate: float = 1.0,
) -> Step:
    """The step with one way exchanged."""

    def step(z_t: Tensor, x: Tensor, log_snr_s: Tensor, log_snr_t: Tensor) -> Pair:
        share = -torch.expm1(rate * (log_snr_t - log_snr_s))
        p = Parts(z_t, x, *signal(log_snr_s), *signal(log_snr_t), share)
        return mean(p), said(variance(p)).expand_as(x)

    return step


def _log_variance_first(*given: Tensor) -> Pair:
    mean, log_var = _ways()(*given)
    return log_var, mean


_remainder_for_share = _ways(
    mean=lambda p: _mean(p._replace(share=1 - p.share)), variance=lambda p: _variance(p._replace(share=1 - p.share))
)


POSTERIOR_STEP: dict[str, Step] = {
    "": _ways(),
    # What is said of the variance.
    "gives the variance, where its logarithm is expected": _ways(said=lambda variance: variance),
    "gives the standard deviation, where the logarithm of the variance is expected": _ways(said=torch.sqrt),
    "gives the logarithm of the standard deviation: that of the variance is twice as much": (
        _ways(said=lambda variance: 0.5 * variance.log())
    ),
    "has the opposite sign in its log-variance: it is the logarithm of the precision": (
        _ways(said=lambda variance: -variance.log())
    ),
    # Which variance.
    "has the variance of the step forward, from z_s to z_t, where that of the step back is meant": (
        _ways(variance=_forward_variance)
    ),
    "has the variance of z_s given x alone: z_t tells something, too": _ways(variance=lambda p: p.sigma_s**2),
    "has the variance of z_t given x": _ways(variance=lambda p: p.sigma_t**2),
    "squares the share c in the variance": _ways(variance=lambda p: p.share**2 * p.sigma_s**2),
    "takes sigma for sigma squared in the variance": _ways(variance=lambda p: p.share * p.sigma_s),
    "lacks sigma_s squared in the variance": _ways(variance=lambda p: p.share),
    # The mean.
    "exchanges the shares of z_t and of x": _ways(
        mean=lambda p: p.alpha_s * (p.share * p.z_t / p.alpha_t + (1 - p.share) * p.x)
    ),
    "does not divide z_t by alpha_t: x and z_t have different scales": (
        _ways(mean=lambda p: p.alpha_s * ((1 - p.share) * p.z_t + p.share * p.x))
    ),
    "lacks the factor alpha_s: it is the mean of z_s / alpha_s": (
        _ways(mean=lambda p: (1 - p.share) * p.z_t / p.alpha_t + p.share * p.x)
    ),
    "multiplies both by alpha_t, where alpha_s is meant": (
        _ways(mean=lambda p: (1 - p.share) * p.z_t + p.alpha_t * p.share * p.x)
    ),
    "has the mean alpha_s x, as if z_t told nothing": _ways(mean=lambda p: p.alpha_s * p.x),
    "has the mean alpha_s z_t / alpha_t, as if x told nothing": _ways(mean=lambda p: p.alpha_s * p.z_t / p.alpha_t),
    "has the mean of DDIM, alpha_s x and sigma_s times the same noise, which belongs to a step without noise": (
        _ways(mean=lambda p: p.alpha_s * p.x + p.sigma_s * (p.z_t - p.alpha_t * p.x) / p.sigma_t)
    ),
    "exchanges z_t and x": _ways(mean=lambda p: _mean(p._replace(z_t=p.x, x=p.z_t))),
    "has the opposite sign before what z_t adds to alpha_s x": _ways(mean=lambda p: 2 * p.alpha_s * p.x - _mean(p)),
    "compares z_t with x, where alpha_t x is its mean": (
        _ways(mean=lambda p: p.alpha_s * p.x + _gain(p) * (p.z_t - p.x))
    ),
    "takes sigma for sigma squared in the mean": (
        _ways(mean=lambda p: p.alpha_s * p.x + _gain(p) * p.sigma_t / p.sigma_s * (p.z_t - p.alpha_t * p.x))
    ),
    # Both.
    "gives the log-variance first, where the mean is expected first": _log_variance_first,
    "takes 1 - c for c: the share of the way to x is small where the step is": _remainder_for_share,
    # The log-SNR.
    "takes the log-SNR for log alpha / sigma: it is the logarithm of their squares": _ways(rate=0.5),
    "takes s(log-SNR) for alpha: it is alpha squared": (
        _ways(signal=lambda log_snr: (log_snr.sigmoid(), (1 - log_snr.sigmoid() ** 2).sqrt()))
    ),
    "exchanges alpha and sigma: a high log-SNR is much signal": _ways(signal=lambda log_snr: _roots(-log_snr)),
    "has no alpha: the signal shrinks, as its variance and the noise's add up to 1": (
        _ways(signal=lambda log_snr: (torch.ones_like(log_snr), (-0.5 * log_snr).exp()))
    ),
}
