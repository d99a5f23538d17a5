"""Argument checks shared by the public functions: every message names the argument, what came, what is expected."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_values_count = ContextVar("whether a tensor that is not finite is an error", default=True)


@contextmanager
def not_finite_allowed() -> Iterator[None]:
    """For who can use a NaN or an infinity: inside, none is an error. Shapes and types count as ever."""
    token = _values_count.set(False)
    try:
        yield
    finally:
        _values_count.reset(token)


def values_count() -> bool:
    """Whether values are checked: not in a graph or vmap, which cannot depend on them, nor in `not_finite_allowed`."""
    return not torch.compiler.is_compiling() and not _in_vmap() and _values_count.get()


def _in_vmap() -> bool:
    stack = torch._C._functorch.get_interpreter_stack() or ()
    return any(level.key() == torch._C._functorch.TransformType.Vmap for level in stack)


def require_float(**tensors: Tensor) -> None:
    """Each argument is a non-empty floating-point tensor."""
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            hint = " (did you unpack the pair (x, y)?)" if isinstance(value, (tuple, list)) else ""
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}{hint}")
        if not value.is_floating_point():
            raise TypeError(
                f"{name} must hold floating-point numbers, got {value.dtype}; "
                f"convert images with {name}.float() / 255, other values with {name}.float()"
            )
        if value.dtype not in FLOATS:
            raise TypeError(f"{name} must have one of the dtypes {FLOATS}, got {value.dtype}; use {name}.float()")
        if value.layout != torch.strided:
            raise TypeError(f"{name} must be a dense tensor, got one of layout {value.layout}; use {name}.to_dense()")
        if value.ndim == 0 or value.numel() == 0:
            raise ValueError(f"{name} must have at least one axis and no empty one, got shape {tuple(value.shape)}")


def require_rows(**tensors: Tensor) -> None:
    """Each argument holds finite examples, one flat row each."""
    for name, value in tensors.items():
        require_float(**{name: value})
        require_finite(**{name: value})
        if value.ndim != 2:
            remedy = f"; give {name}[None]" if value.ndim == 1 else f"; give {name}.flatten(1)"
            raise ValueError(
                f"{name} must have shape (B, D), one flat row an example, got {tuple(value.shape)}{remedy}"
            )


def require_as_many(**pair: Tensor) -> None:
    """Both arguments have as many rows: what goes beside an example belongs to it."""
    (name_a, a), (name_b, b) = pair.items()
    if not isinstance(b, Tensor) or b.ndim == 0 or len(a) != len(b):
        came = f"{tuple(b.shape)}" if isinstance(b, Tensor) else type(b).__name__
        raise ValueError(f"{name_b} must hold a row for each of the {len(a)} rows of {name_a}, got {came}")


def require_same_shape(**tensors: Tensor) -> None:
    """All arguments have one shape: nothing is broadcast."""
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    if len(set(shapes.values())) > 1:
        came = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"these arguments must have the same shape, got {came}")


def require_same_dtype(**tensors: Tensor) -> None:
    """All arguments have one dtype: nothing is promoted, and no float32 passes for a float64."""
    require_same_device(**tensors)
    dtypes = {name: value.dtype for name, value in tensors.items()}
    if len(set(dtypes.values())) > 1:
        came = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise TypeError(f"these arguments must have the same dtype, got {came}")


def require_same_device(**tensors: Tensor) -> None:
    """All arguments are on one device: nothing is moved."""
    devices = {name: value.device for name, value in tensors.items()}
    if len(set(devices.values())) > 1:
        came = ", ".join(f"{name} {device}" for name, device in devices.items())
        raise ValueError(f"these arguments must be on the same device, got {came}; move them with .to(device)")


def require_aligned(**pair: Tensor) -> None:
    """Two arguments have one shape, or one of them has one more leading axis: (K, B, D) beside (B, D)."""
    require_same_device(**pair)
    (name_a, a), (name_b, b) = pair.items()
    if not aligned(a, b):
        raise ValueError(
            f"{name_a} and {name_b} must have the same shape, or one of them one more leading sample axis, "
            f"(K, B, D) beside (B, D); got {name_a} {tuple(a.shape)} and {name_b} {tuple(b.shape)}"
        )


def aligned(a: Tensor, b: Tensor) -> bool:
    """Whether the two have one shape, or one of them has one more leading axis: (K, B, D) beside (B, D)."""
    short, long = sorted((tuple(a.shape), tuple(b.shape)), key=len)
    return short == long or (len(short) >= 2 and short == long[1:])


def require_finite(**tensors: Tensor) -> None:
    """No argument holds NaN or an infinity."""
    for name, value in tensors.items():
        if not _all_finite(value):
            if value.is_meta:
                raise TypeError(f"{name} must hold values, got a tensor on the device meta; make it on another one")
            raise ValueError(
                f"{name} must be finite, got {int((~torch.isfinite(value)).sum())} NaN or infinite values "
                f"among {value.numel()}, shape {tuple(value.shape)}"
            )


def require_finite_result(result: Tensor, **arguments: Tensor) -> Tensor:
    """Return ``result``; where it is not finite, name the argument that made it so, or say that it overflowed."""
    if not _all_finite(result):
        require_finite(**arguments)
        ranges = ", ".join(f"{name} in [{t.min():.3g}, {t.max():.3g}]" for name, t in arguments.items())
        raise ValueError(f"the result overflows {result.dtype}: {ranges}")
    return result


def _all_finite(value: Tensor) -> bool:
    if not values_count():
        return True
    if value.is_meta:  # without values
        return False
    # A finite sum has finite terms, and is found many times faster than by isfinite; others may be overflows.
    return math.isfinite(value.detach().sum()) or bool(torch.isfinite(value).all())


def require_number(**argument: float) -> float:
    """Return the argument as a float; it must be one finite number."""
    ((name, value),) = argument.items()
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        finite = math.isfinite(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError(f"{name} must be one finite number, got {value!r}") from None
    if not finite:
        raise ValueError(f"{name} must be one finite number, got {value!r}")
    return float(value)


def require_at_least_zero(*, unit: str = "", **argument: float) -> float:
    """Return the argument as a float; it must be one finite number of at least 0."""
    ((name, value),) = argument.items()
    if (number := require_number(**argument)) < 0:
        raise ValueError(f"{name} must be at least 0{unit}, got {value!r}")
    return number


def require_widths(**argument: int | Sequence[int]) -> tuple[int, ...]:
    """Return the widths of hidden layers, given as one width or as a sequence of them, each a count."""
    ((name, value),) = argument.items()
    widths = tuple(value) if isinstance(value, Sequence) else (value,)
    for width in widths:
        require_count(**{name: width})
    return widths


def require_positive(**argument: float) -> float:
    """Return the argument as a float; it must be one finite number above 0."""
    ((name, value),) = argument.items()
    if (number := require_number(**argument)) <= 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")
    return number


def require_generator(generator: torch.Generator) -> None:
    """The argument is a generator, not the seed of one."""
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator, got {type(generator).__name__}; "
            "make one with torch.Generator().manual_seed(0)"
        )


def require_count(**counts: int) -> None:
    """Each argument is a whole number of at least one."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")


def require_seed(**argument: int) -> int:
    """Return the argument as a Python integer that every generator takes."""
    ((name, value),) = argument.items()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, such as {name}=0, got {value!r}")
    if not -(2**63) <= value < 2**64:
        raise ValueError(f"{name} must lie between -2**63 and 2**64 - 1, got {value!r}")
    return int(value)
