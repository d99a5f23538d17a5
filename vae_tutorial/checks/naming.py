"""The name of a mistake: from a catalogue of known ones, or read off the answers; else the evidence."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import torch
from torch import Tensor

from vae_tutorial.checks.answers import (
    TOLERANCE,
    Answer,
    Arguments,
    Function,
    evaluate,
    same,
    same_answer,
    same_value,
)
from vae_tutorial.checks.claims import told_apart

Terms = Mapping[str, tuple[float, Function]]
"""Where the exact answer is a weighted sum: for each term the weight it should have, and the function that gives it."""


def catalogue(
    formulas: Mapping[str, Function],
    reductions: Mapping[str, Callable[[Tensor], Tensor]],
    factors: Mapping[str, float],
) -> dict[str, Function]:
    """Every combination of a formula, a reduction and a factor but the right one, which stands under "" in each table.

    Combinations with fewer mistakes come first: the simplest explanation is found first.
    """
    clauses = sorted(product(formulas, reductions, factors), key=lambda names: sum(map(bool, names)))

    def combined(formula: str, reduction: str, factor: str) -> Function:
        return lambda *arguments: factors[factor] * reductions[reduction](formulas[formula](*arguments))

    return {"; it ".join(filter(None, names)): combined(*names) for names in clauses[1:]}


def name_of(
    came: Sequence[Answer],
    expected: Sequence[Answer],
    fixtures: Sequence[Arguments],
    mistakes: Mapping[str, Function],
    weights: Callable[[], str],
    clue: Callable[[], str],
) -> str:
    """The mistake in one or two sentences, or the evidence where none is known."""
    values_are_right = all(map(same_value, came, expected))
    # Where nothing but NaN came, every mistake that gives NaN would match.
    explicable = not all(answer.value.isnan().all() for answer in came)
    for clause, wrong in mistakes.items() if explicable else ():
        if all(_explains(wrong, a, given, values_are_right) for a, given in zip(came, fixtures, strict=True)):
            return f"It {clause}."
    if values_are_right:
        return name_gradient(came, expected)
    for i, (a, b) in enumerate(zip(came, expected, strict=True)):
        if a.value.shape != b.value.shape:
            place = f"For {shapes(fixtures[i])} it" if i else "It"
            return f"{place} {wrong_shape(a.value, b.value)} {clue()}".rstrip()
    if not any(answer.value.any() for answer in came):
        return "It returned 0 for every example."
    return weights() or clue() or f"No known mistake matches. {evidence(came, expected, fixtures)}"


def _explains(wrong: Function, came: Answer, arguments: Arguments, values_are_right: bool) -> bool:
    """Whether a known mistake gives what came. Right values leave only the gradients to tell a mistake by."""
    with torch.no_grad():
        if not same(came.value, wrong(*arguments.values()).double()):
            return False
    return not values_are_right or same_answer(came, evaluate(wrong, arguments))


def wrong_shape(came: Tensor, expected: Tensor) -> str:
    squeezed = came.shape == expected.squeeze().shape != expected.shape
    return (
        f"returned shape {tuple(came.shape)}, where {tuple(expected.shape)} is expected."
        + " An axis of length 1 is squeezed away: say which axis is meant, as in squeeze(-1)." * squeezed
    )


def name_gradient(came: Sequence[Answer], expected: Sequence[Answer]) -> str:
    """What is wrong with gradients where the values are right."""
    first, exact = next(
        ((a.gradients, b.gradients) for a, b in zip(came, expected, strict=True) if not same_answer(a, b)),
        (came[0].gradients, expected[0].gradients),
    )
    dead = [name for name, gradient in first.items() if not gradient.any() and exact[name].any()]
    if len(dead) == len(first):
        return (
            "Its values are right, but it carries no gradient: detach(), .data, .item(), NumPy or torch.no_grad() "
            "cut it off."
        )
    if dead:
        return f"Its values are right, but no gradient reaches {' and '.join(dead)}: detached on the way."
    pairs = [
        (name, a.gradients[name], b.gradients[name]) for a, b in zip(came, expected, strict=True) for name in first
    ]
    name, a, b = max(pairs, key=lambda pair: (pair[1] - pair[2]).abs().nan_to_num(nan=math.inf).max().item())
    worst = (a - b).abs().nan_to_num(nan=math.inf).argmax()
    shown, right = told_apart(*(t.flatten()[worst : worst + 1] for t in (a, b)), show=numbers)
    return (
        f"Its values are right, its gradient is not, and no known mistake matches: with respect to {name} an entry is "
        f"{shown}, where {right} is expected."
    )


def weights_of(
    fn: Function, came: Sequence[Answer], fixtures: Sequence[Arguments], terms: Terms, beyond: Sequence[Arguments]
) -> str:
    """The terms that enter with a wrong weight, where the answers are a weighted sum of the right terms everywhere."""

    def columns(arguments: Arguments) -> Tensor:
        return torch.stack([evaluate(term, arguments).value.flatten() for _, term in terms.values()], -1)

    target = torch.cat([answer.value.flatten() for answer in came])
    if not torch.isfinite(target).all():
        return ""
    matrix = torch.cat([columns(arguments) for arguments in fixtures])
    weights = torch.linalg.lstsq(matrix, target).solution
    if not same(matrix @ weights, target):
        return ""
    for arguments in beyond:
        value = evaluate(fn, arguments).value.flatten()
        if not torch.allclose(columns(arguments) @ weights, value, rtol=1e-4, atol=1e-4):
            return ""
    wrong = [
        f"{name} enters with weight {signed(weight)}, where {signed(right)} belongs"
        for (name, (right, _)), weight in zip(terms.items(), weights.tolist(), strict=True)
        if abs(weight - right) > TOLERANCE
    ]
    return f"Its terms are right, their weights are not: {'; '.join(wrong)}." if wrong else ""


def evidence(came: Sequence[Answer], expected: Sequence[Answer], fixtures: Sequence[Arguments]) -> str:
    """What came and what was expected, for the arguments where they differ first beyond the tolerance."""
    different = [not same_value(a, b) for a, b in zip(came, expected, strict=True)]
    i = different.index(True) if any(different) else 0
    a, b = came[i].value, expected[i].value
    row, number = _first_difference(a, b)
    pair = (t[row] if t.ndim > 1 else t[row : row + 1] if row else t for t in (a, b))
    shown, right = told_apart(*(t[..., number:] if number else t for t in pair), show=numbers)
    begin = row_of(fixtures[i], row) if row else f"arguments that begin {row_of(fixtures[i], 0)}"
    return f"For {begin} it gave {shown}{f' from number {number + 1} on' * bool(number)}, where {right} is expected."


def _first_difference(a: Tensor, b: Tensor) -> tuple[int, int]:
    """The example whose values differ first, and from which of its numbers on, where the first four hide it.

    Of more than two axes, or where the first is not that of the examples, 0 and 0.
    """
    if a.ndim not in (1, 2):
        return 0, 0
    wrong = ~torch.isclose(a, b, rtol=0.0, atol=TOLERANCE, equal_nan=True)
    first = wrong.nonzero()[0].tolist() if wrong.any() else [0, 0]
    if a.ndim == 1:
        return first[0] if first[0] >= 4 else 0, 0  # the first four are shown anyway
    return first[0], first[1] if first[1] >= 4 else 0


def shapes(arguments: Arguments) -> str:
    found = {name: tuple(value.shape) for name, value in arguments.items() if isinstance(value, Tensor)}
    return ", ".join(f"{name} {shape}" for name, shape in found.items())


def row_of(arguments: Arguments, row: int) -> str:
    """One example of the arguments; how they begin where they have a single axis."""
    tensors = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
    batches = {name: value for name, value in tensors.items() if value.ndim > 1}
    if not batches:
        return ", ".join(f"{name} = {numbers(value)}" for name, value in tensors.items())
    tensors = {name: value.flatten(0, -2) for name, value in batches.items()}
    return ", ".join(f"{name} = {numbers(rows[min(row, len(rows) - 1)])}" for name, rows in tensors.items())


def numbers(values: Tensor, digits: int = 4) -> str:
    shown = ", ".join(f"{value:.{digits}f}" for value in values.flatten()[:4].tolist())
    return f"[{shown}{', …' if values.numel() > 4 else ''}]"


def signed(weight: float) -> str:
    return f"{round(weight, 6) + 0.0:g}".replace("-", "−")  # + 0.0 turns -0.0 into 0
