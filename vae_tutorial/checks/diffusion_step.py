"""The check of a step back of a diffusion: mean and log-variance of q(z_s | z_t, x)."""

from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.answers import Arguments, Function, Unusable, as_numbers, several
from vae_tutorial.checks.arguments import uniform
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.clues import infinite
from vae_tutorial.checks.compare import compare
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import values
from vae_tutorial.checks.further import At


@public
def check_posterior_step(
    fn: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]], *, seed: int = 0
) -> Check:
    r"""Check your step back of a diffusion that preserves variance: :math:`q(z_s \mid z_t, x)`, s before t.

    .. math:: z_t = \alpha_t x + \sigma_t \varepsilon, \qquad \alpha_t^2 = 1 / (1 + e^{-\lambda_t}), \quad
        \sigma_t^2 = 1 - \alpha_t^2

    and from s to t the chain keeps :math:`\alpha_t / \alpha_s` of :math:`z_s` and adds the variance that is missing.
    The exact answer is the conditional of a Gaussian pair, its covariance in decimals of fifty digits. A function that
    passes there is also called with one row and with 33, with one dimension, with small steps and large ones, and where
    nearly all is signal, or noise.

    Args:
        fn: ``fn(z_t, x, log_snr_s, log_snr_t)`` gives two tensors, mean and log-variance, each of shape (B, L), for
            ``z_t`` and ``x`` of that shape and two numbers, :math:`\lambda_s > \lambda_t`, which are tensors without
            axes.
        seed: of the further arguments; the first ones are the same for every seed.

    Returns:
        The `Check`, of values and of gradients with respect to ``z_t`` and ``x``.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> from vae_tutorial.diffusion import posterior_step
        >>> check_posterior_step(posterior_step).passed
        True
        >>> def variance(*given):
        ...     mean, log_var = posterior_step(*given)
        ...     return mean, log_var.exp()
        >>> check_posterior_step(variance).mistake
        'It gives the variance, where its logarithm is expected.'
    """
    return compare(
        "a step back of a diffusion, values and gradients",
        ("your function", "conditional of a Gaussian pair in decimals"),
        joined(fn),
        pair_in_decimals,
        [points(*sizes) for sizes in ((5, 3, 1.3, -0.6), (4, 2, -0.9, -2.2), (3, 1, 4.0, 2.5))],
        {clause: joined(wrong) for clause, wrong in known.POSTERIOR_STEP.items() if clause},
        unit="",
        clue=infinite,
        trials=lambda: _trials(torch.Generator().manual_seed(seed)),
    )


def joined(fn: Callable[..., Any]) -> Function:
    """Mean and log-variance as one tensor, (B, 2 L)."""
    if not callable(fn):
        return fn

    @wraps(fn)
    def both(z_t: Tensor, x: Tensor, log_snr_s: Tensor, log_snr_t: Tensor) -> Tensor:
        found = several(fn(z_t, x, log_snr_s, log_snr_t), "a pair (mean, log_var) is", 2)
        mean, log_var = map(as_numbers, found)
        if mean.shape != x.shape:
            raise Unusable(
                f"returned a mean of shape {tuple(mean.shape)}, where that of x, {tuple(x.shape)}, is expected."
            )
        if log_var.ndim > x.ndim or any(
            n not in (1, m) for n, m in zip(log_var.shape[::-1], x.shape[::-1], strict=False)
        ):
            raise Unusable(
                f"returned a log-variance of shape {tuple(log_var.shape)}, where that of x, {tuple(x.shape)}, is "
                "expected."
            )
        return torch.cat([mean, log_var.expand_as(x)], -1)

    return both


def pair_in_decimals(z_t: Tensor, x: Tensor, log_snr_s: Tensor, log_snr_t: Tensor) -> Tensor:
    """z_s and z_t given x: means, variances and covariance, and from these the conditional."""
    with localcontext() as context:
        context.prec = 50
        one, at = Decimal(1), [Decimal(number.item()) for number in (log_snr_s, log_snr_t)]
        (signal_s, noise_s), (signal_t, noise_t) = [(one / (one + (-v).exp()), one / (one + v.exp())) for v in at]
        kept = (signal_t / signal_s).sqrt()
        covariance = kept * noise_s
        gain = float(covariance / noise_t)
        left = noise_s - covariance**2 / noise_t
        mean_s, mean_t, log_var = float(signal_s.sqrt()), float(signal_t.sqrt()), float(left.ln())
    mean = mean_s * x + gain * (z_t - mean_t * x)
    return torch.cat([mean, torch.full_like(x, log_var)], -1)


def points(n: int, dim: int, log_snr_s: float, log_snr_t: float) -> Arguments:
    """Fixed points, differentiable, and two log-SNRs."""
    z_t, x = values(n, dim, low=-2.0, high=1.5, seed=41), values(n, dim, low=-1.0, high=2.5, seed=42)
    return _arguments(z_t, x, log_snr_s, log_snr_t)


def _arguments(z_t: Tensor, x: Tensor, log_snr_s: float, log_snr_t: float) -> Arguments:
    return {
        "z_t": z_t.requires_grad_(),
        "x": x.requires_grad_(),
        "log_snr_s": torch.tensor(log_snr_s, dtype=torch.float64),
        "log_snr_t": torch.tensor(log_snr_t, dtype=torch.float64),
    }


def _trials(generator: torch.Generator) -> list[At]:
    s, t = sorted(uniform((2,), -3.0, 3.0, generator).tolist(), reverse=True)
    sizes = {
        "For one row": (1, 3, s, t),
        "For 33 rows": (33, 2, s, t),
        "For one dimension": (6, 1, s, t),
        "For a small step": (5, 2, s, s - 1e-3),
        "For a large step": (5, 2, 11.0, -10.0),
        "Where nearly all is signal": (5, 2, 14.0, 12.5),
        "Where nearly all is noise": (5, 2, -12.0, -13.0),
    }
    drawn = {
        place: [*(uniform((n, dim), -2.0, 2.0, generator) for _ in range(2)), *log_snrs]
        for place, (n, dim, *log_snrs) in sizes.items()
    }
    return [At(place, _arguments(*given), pair_in_decimals) for place, given in drawn.items()]
