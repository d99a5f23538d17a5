"""How `checks` compares a learner's function with the exact answer and, where they differ, names the mistake.

The learner's function, the exact route and every known mistake have one signature and go through `evaluate`, so they
are compared alike: in values and in gradients, on the same fixed arguments.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial.checks.claims import Check

Function = Callable[..., Tensor]
Arguments = Mapping[str, Any]  # tensors and modules in the order of the call; gradients are taken where required

TOLERANCE = 1e-5
"""The largest gap allowed, in values and gradients. The fixed arguments are in float64 and the exact answers good to
1e-10; the tolerance leaves room for a correct function that computes in float32, and no known mistake comes near it."""


class Answer(NamedTuple):
    """What a function gave: its value, and the gradients of a fixed weighted sum of it."""

    value: Tensor
    gradients: dict[str, Tensor]


# clue(fn, fixtures, answers) tells what the answers show beyond the catalogue.
Clue = Callable[[Function, Sequence[Arguments], Sequence[Answer]], str]


class Unusable(Exception):
    """The function returned something that cannot be compared with numbers."""


def evaluate(fn: Function, arguments: Arguments) -> Answer:
    """Call ``fn`` with copies of the arguments: it cannot change them, nor leave gradients in them."""
    arguments = copy.deepcopy(dict(arguments))
    value = fn(*arguments.values())
    if not isinstance(value, Tensor):
        raise Unusable(f"{type(value).__name__}, where a torch.Tensor is expected.")
    if not value.is_floating_point():
        raise Unusable(f"{value.dtype} numbers, where floating-point numbers are expected.")
    leaves: dict[str, Tensor] = {}
    for name, argument in arguments.items():
        if isinstance(argument, nn.Module):
            leaves |= dict(argument.named_parameters())
        elif argument.requires_grad:
            leaves[name] = argument
    if value.requires_grad:  # unequal weights: with equal ones, mistakes of opposite sign could cancel
        weights = torch.linspace(1, 2, value.numel()).reshape(value.shape)
        inputs = tuple(leaves.values())
        found = torch.autograd.grad((weights * value).sum(), inputs, materialize_grads=True)
    else:
        found = tuple(torch.zeros_like(leaf) for leaf in leaves.values())
    return Answer(value.detach().double(), dict(zip(leaves, found, strict=True)))


@contextmanager
def quarantine(own: torch.dtype = torch.float64) -> Iterator[None]:
    """The learner's own tensors are in the dtype of the arguments, and the random state is left as it was."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(own)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)


def compare(
    claim: str,
    routes: tuple[str, str],
    fn: Function,
    exact: Function,
    fixtures: Sequence[Arguments],
    mistakes: Mapping[str, Function],
    terms: Mapping[str, tuple[float, Function]] | None = None,
    unit: str = "nats",
    clue: Clue = lambda fn, fixtures, came: "",
) -> Check:
    """Compare ``fn`` with ``exact`` on every fixture, in values and gradients, and name the mistake on failure.

    Args:
        claim, routes, unit: as for `Check`.
        fn: the learner's function.
        exact: the same function by an independent route.
        fixtures: fixed arguments. A mistake is named only where it explains the answers to all of them.
        mistakes: known wrong versions, each under the clause that names it.
        terms: where the exact answer is a weighted sum of terms: for each its weight and the function that gives it.
        clue: what it can say in a sentence of answers that no known mistake explains; "" where it has nothing to say.

    Raises:
        TypeError: ``fn`` cannot be called.
    """
    if not callable(fn):
        raise TypeError(f"the first argument must be the function to check, got {type(fn).__name__}")
    with quarantine():
        check = Check(titled(claim, fn), routes, math.nan, TOLERANCE, unit, dtype="float64")
        came = []
        for arguments in [*fixtures, fixtures[0]]:
            try:
                came.append(evaluate(fn, arguments))
            except Unusable as error:
                return replace(check, mistake=f"Called with {_shapes(arguments)}, it returned {error}")
            except Exception as error:  # a learner's function may fail in any way
                problem = f"{type(error).__name__}: {error}"
                return replace(check, mistake=f"Called with {_shapes(arguments)}, it raised {problem}")
        *came, again = came
        expected = [evaluate(exact, arguments) for arguments in fixtures]
        check = replace(check, gap=max_gap([*map(_gap, came, expected)]))
        if check.passed:
            return check

        def further() -> str:
            try:
                return clue(fn, fixtures, came)
            except Exception:  # called with other arguments, it may fail in any way
                return ""

        if not _same(again.value, came[0].value):
            mistake = "Two calls with the same arguments gave different answers: it draws random numbers of its own."
            return replace(check, mistake=f"{mistake} {further()}".rstrip())
        if _values_are_right(came, expected):
            check = replace(check, unit="in its gradients")
        mistake = _name(came, expected, fixtures, mistakes, terms, further)
        return replace(check, mistake=mistake)


def titled(claim: str, fn: Function) -> str:
    """The claim, begun with the function's name where it has one."""
    name = getattr(fn, "__name__", "<lambda>")
    return claim if name == "<lambda>" else f"{name}: {claim}"


def max_gap(gaps: Sequence[float]) -> float:
    """The largest; NaN where one of them is."""
    return torch.tensor(gaps, dtype=torch.float64).max().item()


def catalogue(
    formulas: Mapping[str, Function],
    reductions: Mapping[str, Callable[[Tensor], Tensor]],
    signs: Mapping[str, float],
) -> dict[str, Function]:
    """Every combination of a formula, a reduction and a sign but the right one, which stands under "" in each table.

    Combinations with fewer mistakes come first: the simplest explanation is found first.
    """
    clauses = sorted(product(formulas, reductions, signs), key=lambda names: sum(map(bool, names)))

    def combined(formula: str, reduction: str, sign: str) -> Function:
        return lambda *arguments: signs[sign] * reductions[reduction](formulas[formula](*arguments))

    return {"; it ".join(filter(None, names)): combined(*names) for names in clauses[1:]}


def _name(
    came: Sequence[Answer],
    expected: Sequence[Answer],
    fixtures: Sequence[Arguments],
    mistakes: Mapping[str, Function],
    terms: Mapping[str, tuple[float, Function]] | None,
    clue: Callable[[], str],
) -> str:
    """The mistake in one or two sentences, or the evidence where none is known."""
    values_are_right = _values_are_right(came, expected)
    # Where nothing but NaN came, every mistake that gives NaN would match.
    explicable = not all(answer.value.isnan().all() for answer in came)
    for clause, wrong in mistakes.items() if explicable else ():
        # Right values leave only the gradients to tell a mistake by.
        match = _same_answer if values_are_right else _same_value
        if all(match(a, evaluate(wrong, arguments)) for a, arguments in zip(came, fixtures, strict=True)):
            return f"It {clause}."
    if values_are_right:
        return _name_gradient(came, expected)
    first, exact = came[0].value, expected[0].value
    if first.shape != exact.shape:
        return f"It returned shape {tuple(first.shape)}, where {tuple(exact.shape)} is expected. {clue()}".rstrip()
    evidence = f"For {_first_row(fixtures[0])} it gave {_numbers(first)}, where {_numbers(exact)} is expected."
    return _name_weights(came, fixtures, terms) or clue() or f"No known mistake matches. {evidence}"


def nan_cured_by(mend: Callable[[Arguments], Arguments], sentence: str) -> Clue:
    """The clue ``sentence`` where NaN came, and none comes from the arguments that ``mend`` makes of the fixed ones."""

    def clue(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
        if not any(answer.value.isnan().any() for answer in came):
            return ""
        mended = [evaluate(fn, mend(arguments)).value for arguments in fixtures]
        return "" if any(value.isnan().any() for value in mended) else sentence

    return clue


def unused_noise(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
    """The clue that a sampler takes no notice of the noise it is given, ``eps``."""

    def called(eps: Tensor) -> Answer:
        torch.manual_seed(0)  # so numbers of its own repeat; the caller's random state is out of reach here
        return evaluate(fn, {**fixtures[0], "eps": eps})

    one, other = called(fixtures[0]["eps"]), called(1 - fixtures[0]["eps"])
    if not _same(one.value, other.value):
        return ""
    if any(gradient.any() for gradient in one.gradients.values()):
        return "The noise eps is not used: z is to be μ + σε."
    return "No gradient reaches mu or log_var, and eps is not used: sample() where rsample() or μ + σε belongs."


def _name_gradient(came: Sequence[Answer], expected: Sequence[Answer]) -> str:
    first, exact = came[0].gradients, expected[0].gradients
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
    worst = (a - b).abs().argmax()
    return (
        f"Its values are right, its gradient is not, and no known mistake matches: with respect to {name} an entry is "
        f"{_numbers(a.flatten()[worst])}, where {_numbers(b.flatten()[worst])} is expected."
    )


def _name_weights(
    came: Sequence[Answer], fixtures: Sequence[Arguments], terms: Mapping[str, tuple[float, Function]] | None
) -> str:
    """The terms that enter with a wrong weight, where the answers are a weighted sum of the right terms."""
    if not terms:
        return ""
    rows = [torch.stack([evaluate(term, arguments).value for _, term in terms.values()], -1) for arguments in fixtures]
    columns, target = torch.cat(rows), torch.cat([answer.value for answer in came])
    if not torch.isfinite(target).all():
        return ""
    weights = torch.linalg.lstsq(columns, target).solution
    if not _same(columns @ weights, target):
        return ""
    wrong = [
        f"{name} enters with weight {_signed(weight)}, where {_signed(right)} belongs"
        for (name, (right, _)), weight in zip(terms.items(), weights.tolist(), strict=True)
        if abs(weight - right) > TOLERANCE
    ]
    return f"Its terms are right, their weights are not: {'; '.join(wrong)}."


def _gap(came: Answer, expected: Answer) -> float:
    """The largest difference in values and gradients; NaN where the shapes differ, infinite where a value is."""
    if came.value.shape != expected.value.shape:
        return math.nan
    pairs = [(came.value, expected.value)] + [(came.gradients[k], expected.gradients[k]) for k in expected.gradients]
    gaps = [(a - b).abs().max().item() for a, b in pairs]
    return math.inf if gaps[0] == math.inf else max_gap(gaps)  # the gradients of an infinite value are NaN


def _values_are_right(came: Sequence[Answer], expected: Sequence[Answer]) -> bool:
    return all(map(_same_value, came, expected))


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0.0, atol=TOLERANCE, equal_nan=True)


def _same_value(a: Answer, b: Answer) -> bool:
    return _same(a.value, b.value)


def _same_answer(a: Answer, b: Answer) -> bool:
    return _same_value(a, b) and all(_same(a.gradients[name], b.gradients[name]) for name in a.gradients)


def _signed(weight: float) -> str:
    return f"{round(weight, 6) + 0.0:g}".replace("-", "−")  # + 0.0 turns -0.0 into 0


def _numbers(values: Tensor) -> str:
    shown = ", ".join(f"{value:.4f}" for value in values.flatten()[:4].tolist())
    return f"[{shown}{', …' if values.numel() > 4 else ''}]"


def _shapes(arguments: Arguments) -> str:
    shapes = {name: tuple(value.shape) for name, value in arguments.items() if isinstance(value, Tensor)}
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def _first_row(arguments: Arguments) -> str:
    tensors = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
    rows = ", ".join(f"{name} = {_numbers(value.flatten(0, -2)[0])}" for name, value in tensors.items())
    return f"arguments that begin {rows}"
