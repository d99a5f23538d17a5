"""What a likelihood is, whatever x can be; and how one is made of three functions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from vae_tutorial._troubleshooting import see
from vae_tutorial._validation import aligned, require_finite, require_finite_result, require_float, require_same_device

HALF = (torch.float16, torch.bfloat16)


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
        name: how it is written, such as ``"normal(log_var=0.0)"``; empty for one of your own.

    Half precision is computed in float32, its random numbers included, and rounded once, at the end.

    Each function raises TypeError where ``x`` or ``params`` is not a floating-point tensor or ``generator`` not a
    generator, and ValueError where one has the wrong shape, is empty or not finite, or where x cannot occur under the
    distribution.
    """

    n_params: int
    log_prob: Callable[[Tensor, Tensor], Tensor]
    mean: Callable[[Tensor], Tensor]
    sample: Sampler
    name: str = ""

    def __repr__(self) -> str:
        return self.name or f"Likelihood(n_params={self.n_params}, of your own)"


def likelihood(
    name: str,
    n_params: int,
    log_prob: Callable[[Tensor, Tensor], Tensor],
    mean: Callable[[Tensor], Tensor],
    sample: Callable[[Tensor, torch.Generator | None], Tensor],
) -> Likelihood:
    """The `Likelihood` of three functions that take checked ``params`` as (..., n_params, D)."""
    return Likelihood(n_params, LogProb(n_params, log_prob), Mean(n_params, mean), Sample(n_params, sample), name)


# Classes and not closures, so that a likelihood, and a model with it, can be sent to another process, and so that two
# likelihoods are equal where they are made of the same functions.


class Given(partial[Any]):
    """A function with its first arguments; equal to another one of the same."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Given) and (self.func, self.args) == (other.func, other.args)

    def __hash__(self) -> int:
        return hash((self.func, self.args))


@dataclass(frozen=True)
class LogProb:
    """``log_prob`` of a likelihood: the formula, after checks of its arguments."""

    __name__ = "log_prob"  # as a check's title has it

    n_params: int
    formula: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, x: Tensor, params: Tensor) -> Tensor:
        require_float(x=x, params=params)
        require_finite(params=params)
        require_same_device(x=x, params=params)
        parts = per_dimension(params, self.n_params)
        if not aligned(x, parts[..., 0, :]):
            raise ValueError(
                f"params must have the shape of x with {self.n_params} D on the last axis, or one more leading sample "
                f"axis; got params {tuple(params.shape)} and x {tuple(x.shape)}"
            )
        log_p = self.formula(x, widened(parts))
        return require_finite_result(_rounded(log_p, torch.promote_types(x.dtype, params.dtype)), x=x, params=params)


@dataclass(frozen=True)
class Mean:
    """``mean`` of a likelihood: the formula, after checks of its argument."""

    __name__ = "mean"  # as a check's title has it

    n_params: int
    formula: Callable[[Tensor], Tensor]

    def __call__(self, params: Tensor) -> Tensor:
        require_float(params=params)
        require_finite(params=params)
        mean = self.formula(widened(per_dimension(params, self.n_params)))
        return require_finite_result(_rounded(mean, params.dtype), params=params)


@dataclass(frozen=True)
class Sample:
    """``sample`` of a likelihood: the formula, after checks of its argument."""

    __name__ = "sample"  # as a check's title has it

    n_params: int
    formula: Callable[[Tensor, torch.Generator | None], Tensor]

    def __call__(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        require_float(params=params)
        require_finite(params=params)
        x = self.formula(widened(per_dimension(params, self.n_params)), generator)
        return require_finite_result(_rounded(x, params.dtype), params=params)


def widened(value: Tensor) -> Tensor:
    """The same numbers in float32 where they come in half precision, whose sums and uniform numbers are too coarse."""
    return value.float() if value.dtype in HALF else value


def _rounded(result: Tensor, dtype: torch.dtype) -> Tensor:
    """The result in half precision, where that is what came."""
    return result.to(dtype) if dtype in HALF else result


def per_dimension(params: Tensor, n_params: int) -> Tensor:
    """``params`` as (..., n_params, D)."""
    if params.shape[-1] % n_params:
        raise ValueError(
            f"params must hold {n_params} numbers for each dimension of x, got shape {tuple(params.shape)}"
        )
    parts: Tensor = params.unflatten(-1, (n_params, -1))
    return parts


def outside(x: Tensor, expected: str, hint: str = "") -> ValueError:
    """The error for values of ``x`` that cannot occur; below 0 or above 1, pixels have not been scaled."""
    require_finite(x=x)
    low, high = x.min().item(), x.max().item()
    if low < 0 or high > 1:
        hint = f"scale pixels to [0, 1] first. {see('own-data')}"
    return ValueError(f"x must {expected}, got values in [{low:g}, {high:g}]; {hint}")
