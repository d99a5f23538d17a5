"""How `checks` compares a learner's function with the exact answer and, where they differ, names the mistake.

The learner's function, the exact route and every known mistake have one signature and go through `evaluate`, so they
are compared alike: in values and in gradients, on the same fixed arguments. A function that passes there is called with
further ones, of all sizes and far from the bulk.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from vae_tutorial.checks.answers import (
    TOLERANCE,
    Answer,
    Arguments,
    Function,
    Unusable,
    Unwritten,
    as_numbers,
    evaluate,
    evaluate_any,
    gap,
    max_gap,
    quarantine,
    same,
    same_value,
)
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.clues import Clue, no_clue, said
from vae_tutorial.checks.further import At, Trial
from vae_tutorial.checks.naming import Terms, name_of, shapes, weights_of


def compare(
    claim: str,
    routes: tuple[str, str],
    fn: Function,
    exact: Function,
    fixtures: Sequence[Arguments],
    mistakes: Mapping[str, Function],
    terms: Sequence[Terms] = (),
    unit: str = "nats",
    clue: Clue = no_clue,
    trials: Callable[[], Sequence[Trial]] = list,
) -> Check:
    """Compare ``fn`` with ``exact`` on every fixture, in values and gradients, and name the mistake on failure.

    Args:
        claim, routes, unit: as for `Check`.
        fn: the learner's function.
        exact: the same function by an independent route.
        fixtures: fixed arguments. A mistake is named only where it explains the answers to all of them.
        mistakes: known wrong versions, each under the clause that names it.
        terms: where the exact answer is a weighted sum of terms: one decomposition, or several.
        clue: what it can say in a sentence of answers that no known mistake explains; "" where it has nothing to say.
        trials: what a function that is right on the fixtures must stand as well.

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
            except Unwritten as error:
                return replace(check, mistake=str(error))
            except Unusable as error:
                parts = _one_of_several(fn, exact, fixtures, mistakes, terms, clue)
                return replace(check, mistake=f"Called with {shapes(arguments)}, it {error}{parts}")
            except Exception as error:  # a learner's function may fail in any way
                problem = f"Called with {shapes(arguments)}, it raised {short(error)}"
                return replace(check, mistake=f"{problem} {said(clue, fn, fixtures, [])}".rstrip())
        *came, again = came
        expected = [evaluate(exact, arguments) for arguments in fixtures]
        check = replace(check, gap=max_gap([*map(gap, came, expected)]))
        if check.passed:
            return _tried(check, fn, fixtures[0], came[0], trials(), clue)

        def further() -> str:
            return said(clue, fn, fixtures, came)

        if not same(again.value, came[0].value):
            same_draws = same(*(evaluate(reseeded(fn), fixtures[0]).value for _ in range(2)))
            cause = "it draws random numbers of its own" if same_draws else OWN_STATE
            mistake = f"Two calls with the same arguments gave different answers: {cause}."
            return replace(check, mistake=f"{mistake} {further()}".rstrip())
        if all(map(same_value, came, expected)):
            check = replace(check, unit="in its gradients")

        def weights() -> str:
            beyond = [trial.arguments for trial in trials() if isinstance(trial, At)]
            return next(filter(None, (weights_of(fn, came, fixtures, group, beyond) for group in terms)), "")

        return replace(check, mistake=name_of(came, expected, fixtures, mistakes, weights, further))


def _one_of_several(fn: Function, exact: Function, fixtures: Sequence[Arguments], *names: Any) -> str:
    """Where a function returned several tensors: which of them is right, or what is to say of the first."""
    with suppress(Exception):
        several = evaluate_any(fn, fixtures[0])
        if not isinstance(several, (tuple, list, Mapping)):
            return ""
        keys = list(several) if isinstance(several, Mapping) else range(len(several))
        found = {
            key: compare("", ("", ""), lambda *given, key=key: fn(*given)[key], exact, fixtures, *names) for key in keys
        }
        for key, check in found.items():
            if check.passed:
                return f" Number {key} of them is right: return it alone."
        first = found[keys[0]].mistake
        return "" if "o known mistake" in first else f" Of the first: {first}"
    return ""


def _tried(
    check: Check, fn: Function, arguments: Arguments, first: Answer, trials: Sequence[Trial], clue: Clue
) -> Check:
    """The check after the trials, and after one more call: some functions are right for the first few calls alone."""
    outcomes = (_outcome(check, trial, fn, clue) for trial in trials)
    found = next((outcome for outcome in outcomes if outcome is not None), check)  # a failed check is false
    with suppress(Exception):
        again = evaluate(fn, arguments)
        if not same(first.value, again.value):
            mistake = f"After some calls it answers the same arguments in another way: {OWN_STATE}."
            return replace(check, gap=math.nan, mistake=mistake)
        with torch.no_grad():
            measured = as_numbers(evaluate_any(fn, arguments)).double()
        if not same(first.value, measured):
            mistake = "Under torch.no_grad(), as in a measurement, it gives other numbers."
            return replace(check, gap=math.nan, mistake=mistake)
    return found


def _outcome(check: Check, trial: Trial, fn: Function, clue: Clue) -> Check | None:
    """The failed check; None where the function stands the trial."""
    try:
        failure = trial(fn, clue)
    except Unusable as error:
        return replace(check, gap=math.nan, mistake=f"{trial.place}, it {error}")
    except Exception as error:  # a learner's function may fail in any way
        return replace(check, gap=math.nan, mistake=f"{trial.place}, it raised {short(error)}")
    return replace(check, gap=failure.gap, unit=failure.unit, mistake=failure.mistake) if failure else None


def reseeded(fn: Function) -> Function:
    """The function, all generators that it may draw from set before each call."""

    def called(*arguments: Any) -> Any:
        torch.default_generator.manual_seed(0)  # torch.manual_seed would seed the GPUs, too
        numpy_state, python_state = np.random.get_state(), random.getstate()
        np.random.seed(0)
        random.seed(0)
        try:
            return fn(*arguments)
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)

    return called


OWN_STATE = "it remembers something of earlier calls, or has a generator of its own"


def titled(claim: str, fn: Function) -> str:
    """The claim, begun with the function's name where it has one."""
    name = getattr(fn, "__name__", "<lambda>")
    return claim if name == "<lambda>" else f"{name}: {claim}"


def short(error: Exception) -> str:
    """An error without the tensors that PyTorch prints into some."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 200 else text[:160].rstrip() + ' …'}"
