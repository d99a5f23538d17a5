"""What a likelihood is, whatever x can be; and how one is made of three functions."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from vae_tutorial._validation import (
    aligned,
    require_finite,
    require_finite_result,
    require_float,
)


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


def likelihood(
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


def spec(name: str, **arguments: float) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def outside(x: Tensor, expected: str, hint: str = "") -> ValueError:
    """The error for values of ``x`` that cannot occur; below 0 or above 1, pixels have not been scaled."""
    require_finite(x=x)
    low, high = x.min().item(), x.max().item()
    if low < 0 or high > 1:
        hint = "scale pixels to [0, 1] first"
    return ValueError(f"x must {expected}, got values in [{low:g}, {high:g}]; {hint}")
