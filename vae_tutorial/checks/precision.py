"""How `checks.check_numerics` holds a function in float32 against itself in float64, and says what went wrong."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from vae_tutorial.checks.answers import (
    RELATIVE,
    Answer,
    Unusable,
    Unwritten,
    evaluate,
    max_gap,
    quarantine,
    relative_gap,
)
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.clues import OVERFLOW
from vae_tutorial.checks.compare import short, titled

TOLERANCE = 1e-5  # of 1 + |exact|: a hundred roundings of float32


def compare_precisions(fn: Callable[..., Tensor], exact: Callable[..., Tensor], batch: Mapping[str, Tensor]) -> Check:
    """Compare ``fn`` in float32 with ``exact`` in float64, on every row of ``batch``, in values and gradients."""
    check = Check(
        titled("float32 gives what float64 gives, values and gradients", fn),
        ("your function in float32", "the same in float64" if exact is fn else "the exact one in float64"),
        gap=math.nan,
        bound=TOLERANCE,
        unit=RELATIVE,
        dtype="float32",
    )
    gaps, problems = [], []
    for i in range(len(next(iter(batch.values())))):
        row = {name: tensor[i : i + 1].detach().float() for name, tensor in batch.items()}  # one number for both
        place = ", ".join(f"{name} = [{_numbers(tensor)}]" for name, tensor in row.items())
        try:
            single, double = _answer(fn, row, torch.float32), _answer(exact, row, torch.float64)
            own = double if exact is fn else _answer(fn, row, torch.float64)
        except Unwritten as error:
            return replace(check, mistake=str(error))
        except Unusable as error:
            return replace(check, mistake=f"At {place} it {error}")
        except Exception as error:  # a learner's function may fail in any way
            return replace(check, mistake=f"At {place} it raised {short(error)}")
        if not single.value.shape == own.value.shape == double.value.shape:
            shapes = f"{tuple(single.value.shape)} in float32 and {tuple(double.value.shape)} in float64"
            return replace(check, mistake=f"At {place} it returned shape {shapes}.")
        if not single.value.numel():
            return replace(check, mistake=f"At {place} it returned no number, shape {tuple(single.value.shape)}.")
        parts = _parts(single, double)
        gaps.append(_gap(parts))
        if not gaps[-1] <= TOLERANCE:
            problems.append(f"At {place} {_name(parts, _parts(own, double))}")
    mistake = problems[0] if problems else ""
    if len(problems) > 1:
        mistake += f" It goes wrong at {len(problems)} of {len(gaps)} examples."
    return replace(check, gap=max_gap(gaps), mistake=mistake)


def _answer(fn: Callable[..., Tensor], row: Mapping[str, Tensor], dtype: torch.dtype) -> Answer:
    with quarantine(dtype):
        return evaluate(fn, {name: tensor.detach().to(dtype).requires_grad_() for name, tensor in row.items()})


def _parts(single: Answer, double: Answer) -> dict[str, tuple[Tensor, Tensor]]:
    """What is compared, value and gradients, under its name: in float32 and in float64."""
    return {VALUE: (single.value, double.value)} | {
        f"its gradient with respect to {name}": (single.gradients[name], exact)
        for name, exact in double.gradients.items()
    }


def _gap(parts: Mapping[str, tuple[Tensor, Tensor]]) -> float:
    """The largest difference of 1 + |exact|; infinite where one of them is not finite."""
    gaps = [_distance(*pair) for pair in parts.values()]
    return max(gaps) if all(map(math.isfinite, gaps)) else math.inf


def _distance(a: Tensor, b: Tensor) -> float:
    return relative_gap(a.double(), b).max().item()


def _name(parts: Mapping[str, tuple[Tensor, Tensor]], in_float64: Mapping[str, tuple[Tensor, Tensor]]) -> str:
    """What is wrong there, with its evidence and the usual cause; or that the function is wrong in float64, too."""
    infinite = [part for part, (came, _) in parts.items() if not torch.isfinite(came).all()]
    part = infinite[0] if infinite else max(parts, key=lambda part: _distance(*parts[part]))
    came, exact = parts[part]
    own, _ = in_float64[part]
    if not infinite and not _distance(own, exact) <= TOLERANCE:
        return (
            f"{part} is {_numbers(came)} in float32 and {_numbers(own)} in float64, and {_numbers(exact)} is right: "
            "the formula is wrong, not its rounding."
        )
    if infinite:
        cause = OVERFLOW if part == VALUE else ZERO_TIMES_INFINITY
    else:
        cause = DIGITS_LOST if came.any() else "it saturates"
    return f"{part} is {_numbers(came)} in float32 and {_numbers(exact)} in float64: {cause}."


def _numbers(tensor: Tensor) -> str:
    return ", ".join(f"{number:.3g}" for number in tensor.flatten().tolist())


VALUE = "its value"
ZERO_TIMES_INFINITY = (
    "0 times infinity on the way back; where torch.where picks a branch, clamp the argument of the other one"
)
DIGITS_LOST = "digits are lost, as by subtracting numbers that are nearly equal"
