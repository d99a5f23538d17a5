"""What a learner's function answers to given arguments: its value and its gradients, or why it has none to compare."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vae_tutorial._random import random_state_kept
from vae_tutorial.checks.claims import UNWRITTEN

Function = Callable[..., Tensor]
Arguments = Mapping[str, Any]  # tensors and modules in the order of the call; gradients are taken where required

TOLERANCE = 1e-5
"""The largest gap allowed, in values and gradients. The fixed arguments are in float64 and the exact answers good to
1e-10; the tolerance leaves room for a correct function that computes in float32, and no known mistake comes near it."""


class Answer(NamedTuple):
    """What a function gave: its value, and the gradients of a fixed weighted sum of it."""

    value: Tensor
    gradients: dict[str, Tensor]


class Unusable(Exception):
    """The function did something after which there are no numbers to compare; the message goes on after "it"."""


class Unwritten(Exception):
    """The function is a stub: it returns ``...``. The message is that of its check."""

    def __init__(self) -> None:
        super().__init__(UNWRITTEN)


def evaluate(fn: Function, arguments: Arguments) -> Answer:
    """Call ``fn`` with copies of the arguments: it cannot change them, nor leave gradients in them.

    Raises:
        Unusable: it did not give a tensor of numbers, or has changed its arguments.
        Unwritten: it is a stub.
    """
    given = copy.deepcopy(dict(arguments))
    leaves: dict[str, Tensor] = {}
    for name, argument in given.items():
        if isinstance(argument, nn.Module):
            leaves |= dict(argument.named_parameters())
        elif argument.requires_grad:
            leaves[name] = argument
    value = as_numbers(_call(fn, given))
    _require_unchanged(given, arguments)
    if value.requires_grad and leaves:  # unequal weights: with equal ones, mistakes of opposite sign could cancel
        weights = torch.linspace(1, 2, value.numel()).reshape(value.shape)
        inputs = tuple(leaves.values())
        found = torch.autograd.grad((weights * value).sum(), inputs, materialize_grads=True)
    else:
        found = tuple(torch.zeros_like(leaf) for leaf in leaves.values())
    return Answer(value.detach().double(), dict(zip(leaves, found, strict=True)))


def several(found: Any, expected: str, n: int) -> Sequence[Any]:
    """What a function gave that is to return ``n`` results, in the words of ``expected`` and its verb.

    Raises:
        Unusable: it gave something else.
        Unwritten: it is a stub.
    """
    if found is ... or isinstance(found, (tuple, list)) and any(part is ... for part in found):
        raise Unwritten
    if not isinstance(found, (tuple, list)) or len(found) != n:
        length = f" of {len(found)}" if isinstance(found, (tuple, list)) else ""
        raise Unusable(f"returned {type(found).__name__}{length}, where {expected} expected.")
    return found


def evaluate_any(fn: Function, arguments: Arguments) -> Any:
    """What ``fn`` returns for copies of the arguments, whatever it is."""
    return _call(fn, copy.deepcopy(dict(arguments)))


def _call(fn: Function, given: dict[str, Any]) -> Any:
    try:
        return fn(*given.values())
    except (RuntimeError, TypeError) as error:
        if "leaf Variable that requires grad is being used in an in-place operation" in str(error):
            raise Unusable(f"changed an argument in place: {AT_WORK}") from error
        if "numpy" not in str(error):
            raise
        # A function of NumPy arrays takes no tensors that want a gradient: its values can be judged all the same.
        return fn(*(value.detach() if isinstance(value, Tensor) else value for value in given.values()))


def as_numbers(value: Any) -> Tensor:
    """What a function returned as a tensor of numbers, a NumPy array included."""
    if value is ...:
        raise Unwritten
    if isinstance(value, (np.ndarray, np.floating)):
        value = torch.as_tensor(value)
    if not isinstance(value, Tensor):
        length = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
        raise Unusable(f"returned {type(value).__name__}{length}, where a torch.Tensor is expected.")
    if value.layout != torch.strided or value.is_nested:
        kind = "nested" if value.is_nested else str(value.layout).removeprefix("torch.").replace("_", " ")
        raise Unusable(f"returned a {kind} tensor, where a dense one is expected: call .to_dense().")
    if not value.is_floating_point():
        raise Unusable(f"returned {value.dtype} numbers, where floating-point numbers are expected.")
    if value.device.type != "cpu":
        raise Unusable(f"returned a tensor on {value.device}, where its arguments are on the CPU.")
    return value


def _require_unchanged(given: Mapping[str, Any], before: Arguments) -> None:
    """A function leaves its arguments as they were: their owner goes on with them."""
    for name, argument in given.items():
        if isinstance(argument, nn.Module):
            now, then = argument.state_dict(), before[name].state_dict()
            same = all(torch.equal(now[key], then[key]) for key in then) and argument.training == before[name].training
        else:
            same = argument.shape == before[name].shape and torch.equal(argument, before[name])
        if not same:
            raise Unusable(f"changed its argument {name} in place: {AT_WORK}")
        if isinstance(argument, Tensor) and argument.requires_grad != before[name].requires_grad:
            raise Unusable(f"changed requires_grad of its argument {name}: use {name}.detach() instead.")


AT_WORK = "who called goes on with other numbers. Work on a copy, and leave out .data, add_, clamp_ and the like."


@contextmanager
def quarantine(own: torch.dtype = torch.float64) -> Iterator[None]:
    """The learner's own tensors are in the dtype of the arguments, and the random state is left as it was.

    Both belong to the whole process: of several threads one at a time is inside. Gradients are taken whatever the mode
    outside is.
    """
    with random_state_kept():  # which lets one thread in at a time
        dtype = torch.get_default_dtype()
        torch.set_default_dtype(own)
        try:
            with torch.inference_mode(False), torch.enable_grad():
                yield
        finally:
            torch.set_default_dtype(dtype)


def usable(tensor: Tensor) -> Tensor:
    """The tensor, or a copy where it was made under ``torch.inference_mode()`` and can have no gradient."""
    return tensor.detach().clone() if tensor.is_inference() else tensor


def gap(came: Answer, expected: Answer, *, relative: bool = False) -> float:
    """The largest difference in values and gradients, of 1 + |expected| where ``relative`` is set.

    NaN where the shapes differ, infinite where a value is.
    """
    if came.value.shape != expected.value.shape:
        return math.nan
    pairs = [(came.value, expected.value)] + [(came.gradients[k], expected.gradients[k]) for k in expected.gradients]
    gaps = [(relative_gap(a, b) if relative else (a - b).abs()).max().item() for a, b in pairs]
    return math.inf if gaps[0] == math.inf else max_gap(gaps)  # the gradients of an infinite value are NaN


RELATIVE = "of 1 + |exact|"
"""The unit of `relative_gap`."""


def relative_gap(came: Tensor, exact: Tensor) -> Tensor:
    """Number by number how far the first lies from the second, of 1 + |exact|."""
    return (came - exact).abs() / (1 + exact.abs())


def max_gap(gaps: Sequence[float]) -> float:
    """The largest; NaN where one of them is."""
    return torch.tensor(gaps, dtype=torch.float64).max().item()


def same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0.0, atol=TOLERANCE, equal_nan=True)


def same_value(a: Answer, b: Answer) -> bool:
    return same(a.value, b.value)


def same_answer(a: Answer, b: Answer) -> bool:
    return same_value(a, b) and all(same(a.gradients[name], b.gradients[name]) for name in a.gradients)
