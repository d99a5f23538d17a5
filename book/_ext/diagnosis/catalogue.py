"""What the page needs of the package's checks, taken from the checks themselves: they are called, and watched.

For each question: the fixed arguments and the exact answers to them, every known mistake as a line of Python under its
clause, which further clues are looked for and in which order, and the further arguments with which a right function is
called. Nothing here says what is right or wrong.
"""

import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from diagnosis.traced import text_of
from vae_tutorial.checks import check_kl, check_log_normal, check_reparameterize, clues, entries, estimates, formulas
from vae_tutorial.checks.answers import RELATIVE, TOLERANCE, evaluate, quarantine
from vae_tutorial.checks.claims import UNWRITTEN
from vae_tutorial.checks.spread import NAN_OF_LOG_VAR, log_variance, standard_deviation, variance
from vae_tutorial.formulas import reparameterize  # the right sampler, which stands in no table

QUESTIONS = {"kl": check_kl, "sample": check_reparameterize, "log_normal": check_log_normal}
PLAIN_CLUES = {  # those that need nothing but the function and the exact answer
    NAN_OF_LOG_VAR: "nan_of_log_var", clues.infinite: "infinite", clues.unused_noise: "unused_noise",
}  # fmt: skip


def watched(check: Callable) -> dict[str, Any]:
    """What a check hands to `compare_spread`: its tables, its clues and all the rest, instead of a verdict."""
    module = {"vae_tutorial.checks.formulas": formulas, "vae_tutorial.checks.estimates": estimates}[check.__module__]
    found: dict[str, Any] = {}

    def compare_spread(spread, position, claim, routes, fn, exact, fixtures, mistakes, terms, unit="nats", **how):
        found.update(position=position, claim=claim, routes=routes, exact=exact, fixtures=fixtures, unit=unit,
                     tables=mistakes if isinstance(mistakes, tuple) else (mistakes, {"": lambda t: t}, {"": 1.0}),
                     terms=terms[0], clues=how["clue"], trials=how["trials"]())  # fmt: skip
        return formulas.Check("", ("", ""), 0.0, 0.0)

    makers = {
        "catalogue": lambda *tables: tables,
        "first_of": lambda *all_clues: [PLAIN_CLUES.get(clue, clue) if callable(clue) else clue for clue in all_clues],
        "clamped": lambda exact, knobs: {"kind": "clamped", "knobs": {k: knob(*v) for k, v in knobs.items()}},
        "floored": lambda exact: "floored",
        "added_to_spread": lambda mistakes: {"kind": "added_to_spread", "mistakes": mistakes},
        "rounded": lambda exact: "not_used",
        "right_alone": lambda exact, *kinds: {"kind": "right_alone", "axes": {k: axes(k) for k in kinds}},
    }
    with ExitStack() as stack:
        for name, maker in {**makers, "compare_spread": compare_spread}.items():
            if hasattr(module, name):
                stack.enter_context(patch.object(module, name, maker))
        check(lambda *given: given[0])
    return found


def knob(at: Callable[[float], dict[str, Tensor]], far: float) -> dict[str, Any]:
    """The arguments of a knob, null where its number goes, and how far it is turned."""
    return {"far": far, "at": {name: packed(tensor) for name, tensor in at(math.nan).items()}}


def axes(kind: str) -> dict[str, Any]:
    """The axis of each argument along which it is taken apart, and what is said where that helps."""
    of = {name: places[kind] for name, places in clues.AXES.items() if kind in places}
    return {"of": of, "says": clues.ALONE[kind]}


def packed(tensor: Tensor) -> dict[str, Any]:
    """Shape and numbers; those that float32 holds with its digits alone."""
    exact = tensor.detach().double().flatten()
    short = [float(f"{number:.9g}") for number in exact.tolist()]
    same = torch.equal(torch.tensor(short).double(), exact)
    numbers = short if same else exact.tolist()
    return {"shape": list(tensor.shape), "data": [None if math.isnan(n) else n for n in numbers]}


def texts(table: Mapping[str, Callable], fixtures: Sequence[dict[str, Tensor]]) -> dict[str, Any]:
    return {clause: text_of(fn, fixtures) for clause, fn in table.items()}


def question(check: Callable) -> dict[str, Any]:
    found = watched(check)
    fixtures, exact = found["fixtures"], found["exact"]
    mistakes, reductions, factors = found["tables"]
    beyond = [trial.arguments for trial in found["trials"]]
    with quarantine():
        answers = [evaluate(exact, given) for given in fixtures]
    one_number_each = [{"t": torch.zeros(given["mu"].shape, dtype=torch.float64)} for given in fixtures]
    right = mistakes.get("") or reparameterize
    for clue in found["clues"]:
        if isinstance(clue, dict) and "mistakes" in clue:
            clue["mistakes"] = texts(clue["mistakes"], fixtures)
    unknown = [clue for clue in found["clues"] if callable(clue)]
    assert not unknown, f"the page does not know the clue {unknown[0].__name__}: teach clues.js, and say so here"
    return {
        "check": check.__name__,
        **{name: found[name] for name in ("claim", "routes", "unit", "position", "clues")},
        "fixtures": [{name: packed(tensor) for name, tensor in given.items()} for given in fixtures],
        "exact": [packed(answer.value) for answer in answers],
        "gradients": [{name: packed(tensor) for name, tensor in answer.gradients.items()} for answer in answers],
        "right": text_of(right, fixtures),
        "formulas": texts({clause: fn for clause, fn in mistakes.items() if clause}, fixtures),
        "reductions": texts(reductions, one_number_each),
        "factors": factors,
        "terms": {
            name: [weight, text_of(term, [*fixtures, *beyond])] for name, (weight, term) in found["terms"].items()
        },
        "trials": [
            {"place": trial.place, "arguments": {name: packed(tensor) for name, tensor in given.items()}}
            for trial, given in zip(found["trials"], beyond, strict=True)
        ],
    }


def export() -> str:
    """All questions, and what they share, as a script."""
    log_var = [{"log_var": torch.zeros(1)}]
    shared = {
        "tolerance": TOLERANCE, "relative": RELATIVE, "unwritten": UNWRITTEN, "overflow": clues.OVERFLOW,
        "nan_of_log_var": inspect.getclosurevars(NAN_OF_LOG_VAR).nonlocals["sentence"],
        "spreads": {fn.__name__: text_of(fn, log_var) for fn in (log_variance, variance, standard_deviation)},
        "entries": [[words, entries.see(key)] for words, key in entries.ENTRY_OF.items()],
        "questions": {name: question(check) for name, check in QUESTIONS.items()},
    }  # fmt: skip
    content = json.dumps(shared, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"/* Written by book/_ext/diagnosis from the package's checks. */\nExplorers.catalogue = {content};\n"
