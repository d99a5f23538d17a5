"""What a function must stand that is right on the fixed arguments: other sizes, far arguments, fresh ones.

Answers are compared relative to 1 + |exact|, since far out they are large.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from vae_tutorial.checks.answers import (
    RELATIVE,
    TOLERANCE,
    Answer,
    Arguments,
    Function,
    evaluate,
    gap,
    relative_gap,
)
from vae_tutorial.checks.claims import told_apart
from vae_tutorial.checks.clues import Clue, said
from vae_tutorial.checks.naming import name_gradient, row_of, wrong_shape


class Failure(NamedTuple):
    """How far off, in which unit, and the sentence."""

    gap: float
    unit: str
    mistake: str


class Trial(Protocol):
    """Further calls; what came of them where it is not right. ``place`` begins the sentence: "For one example"."""

    @property
    def place(self) -> str: ...

    def __call__(self, fn: Function, clue: Clue) -> Failure | None: ...


@dataclass(frozen=True)
class At:
    """A call with other arguments, beside the exact answer."""

    place: str
    arguments: Arguments
    exact: Function

    def __call__(self, fn: Function, clue: Clue) -> Failure | None:
        arguments = self.arguments
        came, expected = evaluate(fn, arguments), evaluate(self.exact, arguments)
        distance = gap(came, expected, relative=True)
        if distance <= TOLERANCE:
            return None
        return Failure(
            distance, RELATIVE, self._mistake(said(clue, fn, [arguments], [came]), arguments, came, expected)
        )

    def _mistake(self, clue: str, arguments: Arguments, came: Answer, expected: Answer) -> str:
        a, b = came.value, expected.value
        if a.shape != b.shape:
            return f"{self.place}, it {wrong_shape(a, b)}"
        if clue:
            return clue
        off = relative_gap(a, b).nan_to_num(nan=math.inf)
        if off.max() <= TOLERANCE:
            return f"{self.place}: {name_gradient([came], [expected])}"
        worst = int(off.argmax())
        one, other = told_apart(a.flatten()[worst].item(), b.flatten()[worst].item())
        if not b.ndim:  # one number for all examples
            return f"It is right for the first arguments. {self.place}, it gave {one}, where {other} is expected."
        row = worst if b.ndim == 1 else worst // b.shape[-1]
        return (
            f"It is right for the first arguments. {self.place}, {row_of(arguments, row)}, it gave {one}, where "
            f"{other} is expected."
        )
