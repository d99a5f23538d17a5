"""A check is a claim with its number: what two routes gave, how far apart they are, and how far they may be.

``agree`` compares two routes to the same value, ``exceeds`` a value with one it must beat. Both return a `Check`,
which shows itself in a notebook and in a terminal; the book collects every one on its page of evidence.
"""

import html
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from types import EllipsisType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_tutorial._printing import printable
from vae_tutorial._validation import require_number

UNWRITTEN = "Yours to write: put your code in place of the dots, and run the cell again."


@dataclass(frozen=True)
class Check:
    """A claim and the measurement that decides it. True in a condition exactly when it passed.

    Where standard output can't take the symbols of a claim, the printed check has words for them: "sigma^2" for "σ²".

    Attributes:
        claim: what is asserted, in one line.
        routes: the two ways by which its sides were computed, in words.
        gap: the measured number: a distance, which must not exceed ``bound``; or a margin, which must reach it.
        bound: the tolerance of a distance, or the margin required.
        unit: the unit of both: "nats", "relative", "standard errors", ...
        relation: "<=" for a distance, ">=" for a margin.
        mistake: of a check that failed, the likely mistake, or the evidence of one; "" otherwise.
        dtype: the floating-point type of both routes, "float" for plain Python numbers; "float32, float64" where the
            routes differ; "" where it is not known.

    Example:
        >>> routes = ("counting", "adding one and one")
        >>> Check("two is two", routes, gap=0.0, bound=1e-12)
        PASS  two is two
              counting against adding one and one: gap 0 <= 1e-12 nats
    """

    claim: str
    routes: tuple[str, str]
    gap: float
    bound: float
    unit: str = "nats"
    relation: str = "<="
    mistake: str = ""
    dtype: str = ""

    @property
    def passed(self) -> bool:
        """Whether the measurement supports the claim. A gap that is not a number never does."""
        if self.mistake:
            return False
        return self.gap <= self.bound if self.relation == "<=" else self.gap >= self.bound

    def __bool__(self) -> bool:
        return self.passed

    @property
    def unwritten(self) -> bool:
        """Whether the learner's part is still the three dots of a stub, so that nothing was judged, or has passed."""
        return self.mistake == UNWRITTEN

    @property
    def measured(self) -> str:
        """The measured number as it is shown; "–" where there was none to measure."""
        if math.isnan(self.gap):
            return "–"
        digits = 2 if self.relation == "<=" else 3  # of a gap the size counts, of a margin the value
        return f"{self.gap:.1f}" if 10 <= abs(self.gap) < 1e6 else f"{self.gap:.{digits}g}"

    @property
    def measurement(self) -> str:
        """The measured number beside its bound."""
        if math.isnan(self.gap):
            return "nothing could be measured"
        kind, short = ("gap", "against an allowed") if self.relation == "<=" else ("margin", "short of the required")
        relation = self.relation if self.passed else short
        return f"{kind} {self.measured} {relation} {self.bound:g} {self.unit}".rstrip()

    def __repr__(self) -> str:
        if self.unwritten:
            return printable(f"YOURS {self.claim}\n      {self.mistake}")
        lines = [
            f"{'PASS' if self.passed else 'FAIL'}  {self.claim}",
            f"{self.routes[0]} against {self.routes[1]}: {self.measurement}",
        ]
        return printable("\n      ".join(lines + ([self.mistake] if self.mistake else [])))

    def _repr_html_(self) -> str:
        if self.unwritten:
            return (
                '<div class="check check-yours"><div><span class="check-verdict">○ yours</span> '
                f'<span class="check-claim">{html.escape(self.claim)}</span></div>'
                f'<div class="check-measurement">{html.escape(self.mistake)}</div></div>'
            )
        # The data attribute is what the book's page of evidence reads.
        verdict = "pass" if self.passed else "fail"
        data = html.escape(json.dumps(self._as_json()))
        mistake = f'<div class="check-mistake">{html.escape(self.mistake)}</div>' if self.mistake else ""
        return (
            f'<div class="check check-{verdict}" data-check="{data}">'
            f'<div><span class="check-verdict">{"✓" if self.passed else "✗"} {verdict}</span> '
            f'<span class="check-claim">{html.escape(self.claim)}</span></div>'
            f'<div class="check-measurement">{html.escape(self.routes[0])} against {html.escape(self.routes[1])}: '
            f"{html.escape(self.measurement.replace('<=', '≤').replace('>=', '≥'))}</div>{mistake}</div>"
        )

    def _as_json(self) -> dict[str, object]:
        gap = self.gap if math.isfinite(self.gap) else None  # JSON has no NaN and no infinity
        return asdict(self) | {"gap": gap, "measured": self.measured, "passed": self.passed}


def agree(
    claim: str,
    left: Tensor | float | EllipsisType,
    right: Tensor | float | EllipsisType,
    *,
    tolerance: float,
    routes: tuple[str, str],
    relative: bool = False,
    stderr: Tensor | float | None = None,
    unit: str = "nats",
) -> Check:
    """Compare two routes to the same value; the largest gap over all entries counts.

    Args:
        claim: what is asserted, in one line.
        left, right: the two values, numbers or tensors of one shape; or the ``...`` of a stub, still to be written.
        tolerance: the largest gap allowed, in ``unit``; relative to ``right`` where ``relative`` is set; in standard
            errors where ``stderr`` is given.
        routes: how ``left`` and ``right`` were computed, in words.
        relative: divide the gap by the absolute value of ``right``.
        stderr: standard error of the difference, a finite number of at least 0, or a tensor of such of the same shape:
            the gap is counted in these.
        unit: the unit of the values.

    Returns:
        The `Check`, passed where the gap is at most ``tolerance``. Values that are not finite fail it.

    Raises:
        TypeError: a value is complex, or holds no numbers.
        ValueError: the shapes differ, both ``relative`` and ``stderr`` are given, ``stderr`` is negative or not finite,
            or ``tolerance`` is.

    Example:
        >>> squares = math.sin(2.0) ** 2 + math.cos(2.0) ** 2
        >>> routes = ("math.sin, math.cos", "one")
        >>> agree("sin² + cos² = 1", squares, 1.0, tolerance=1e-15,
        ...       routes=routes, unit="").passed
        True
        >>> agree("sin = sin²", math.sin(2.0), math.sin(2.0) ** 2,
        ...       tolerance=1e-15, routes=("sine", "its square")).mistake
        'The first gives 0.9093, the second 0.8268.'
    """
    if relative and stderr is not None:
        raise ValueError("a gap is counted either relative to the value or in standard errors, not both")
    if not 0 <= require_number(tolerance=tolerance):
        raise ValueError(f"tolerance must be at least 0, got {tolerance!r}")
    if left is ... or right is ...:
        return Check(claim, routes, math.nan, tolerance, unit, mistake=UNWRITTEN)
    dtype = _dtype(left, right)
    left, right = _real(left=left), _real(right=right)
    if left.shape != right.shape:
        raise ValueError(
            f"the two routes of “{claim}” must give one shape, got {tuple(left.shape)} and {tuple(right.shape)}"
        )
    gap = (left - right).abs()
    if relative:
        gap, unit = gap / right.abs(), "relative"
    elif stderr is not None:
        gap, unit = gap / _standard_error(stderr, like=gap), "standard errors"
    check = Check(claim, routes, gap.max().item(), tolerance, unit, dtype=dtype)
    if check.passed:
        return check
    gaps = gap.nan_to_num(nan=math.inf).flatten()
    worst = (gaps >= gaps.max() * (1 - 1e-4)).nonzero()[0]  # the first of equal gaps, however they were rounded
    one, other = told_apart(left.flatten()[worst].item(), right.flatten()[worst].item())
    where = "Where the gap is largest, the" if gap.numel() > 1 else "The"
    return replace(check, mistake=f"{where} first gives {one}, the second {other}.")


def _real(**argument: Tensor | float) -> Tensor:
    """The value in float64; a complex one would lose its imaginary part."""
    ((name, value),) = argument.items()
    if isinstance(value, Tensor) and (value.layout != torch.strided or value.is_meta):
        raise TypeError(f"{name} must be a dense tensor with values, got {value.layout} on {value.device}")
    tensor = value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    if tensor.is_complex():
        raise TypeError(f"{name} must be real, got {tensor.dtype}: compare real and imaginary parts, or .abs()")
    return tensor.double()


def _standard_error(stderr: Tensor | float, *, like: Tensor) -> Tensor:
    errors = _real(stderr=stderr)
    if not (torch.isfinite(errors) & (errors >= 0)).all():
        raise ValueError(f"stderr must be finite and at least 0, got {told_apart(*errors.flatten()[:4].tolist())}")
    if errors.ndim and errors.shape != like.shape:
        raise ValueError(f"stderr must be a number or have shape {tuple(like.shape)}, got {tuple(errors.shape)}")
    return errors


def told_apart(*values: Any, show: Callable[[Any, int], str] = "{:.{}g}".format) -> list[str]:
    """The numbers, with as few digits as it takes to see that they differ, and at least four."""
    shown: list[str] = []
    for digits in range(4, 18):
        shown = [show(value, digits) for value in values]
        if len(set(shown)) > 1:
            break
    return shown


def exceeds(
    claim: str,
    better: float | EllipsisType,
    worse: float | EllipsisType,
    *,
    margin: float,
    routes: tuple[str, str],
    unit: str = "nats",
) -> Check:
    """Compare a value with one that it must beat by a stated margin.

    Args:
        claim: what is asserted, in one line.
        better, worse: the two values; or the ``...`` of a stub.
        margin: the least that ``better - worse`` must reach, in ``unit``.
        routes: how ``better`` and ``worse`` were computed, in words.
        unit: the unit of the values.

    Returns:
        The `Check`, passed where ``better - worse >= margin``.

    Raises:
        TypeError: a value is not one real number.
        ValueError: ``margin`` is not finite.

    Example:
        >>> exceeds("three beats one", 3.0, 1.0, margin=1.5,
        ...         routes=("three", "one"), unit="").passed
        True
    """
    require_number(margin=margin)
    if better is ... or worse is ...:
        return Check(claim, routes, math.nan, margin, unit, relation=">=", mistake=UNWRITTEN)
    difference = float(_real(better=better)) - float(_real(worse=worse))
    return Check(claim, routes, difference, margin, unit, relation=">=", dtype=_dtype(better, worse))


def _dtype(*values: Tensor | float) -> str:
    """The types of the values, each named once; a Python number is a "float"."""
    names = [str(getattr(value, "dtype", "float")).removeprefix("torch.") for value in values]
    return ", ".join(dict.fromkeys(names))
