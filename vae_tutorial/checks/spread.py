"""What stands in the place of log_var: conventions of a learner's function, and how they are taken into account."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps

import torch
from torch import Tensor

from vae_tutorial.checks.answers import Arguments, Function
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.clues import Clue, nan_cured_by
from vae_tutorial.checks.compare import compare
from vae_tutorial.checks.further import Trial
from vae_tutorial.checks.naming import Terms


def log_variance(log_var: Tensor) -> Tensor:
    """The convention of this package, and of the checks: your function takes log-variances."""
    return log_var


def variance(log_var: Tensor) -> Tensor:
    """``spread=variance`` says that your function takes variances."""
    return log_var.exp()


def standard_deviation(log_var: Tensor) -> Tensor:
    """``spread=standard_deviation`` says that your function takes standard deviations."""
    return (0.5 * log_var).exp()


def compare_spread(
    spread: Callable[[Tensor], Tensor],
    position: int,
    claim: str,
    routes: tuple[str, str],
    fn: Function,
    exact: Function,
    fixtures: Sequence[Arguments],
    mistakes: Mapping[str, Function],
    terms: Sequence[Terms] = (),
    unit: str = "nats",
    *,
    clue: Clue,
    trials: Callable[[], Sequence[Trial]],
) -> Check:
    """Compare a function that takes a spread in the place of log_var; where another spread is right, say so."""

    def taking(convention: Callable[[Tensor], Tensor]) -> Function:
        if convention is log_variance or not callable(fn):
            return fn

        @wraps(fn)
        def converted(*given: Tensor) -> Tensor:
            arguments = list(given)
            arguments[position] = convention(arguments[position])
            return fn(*arguments)

        return converted

    check = compare(claim, routes, taking(spread), exact, fixtures, mistakes, terms, unit, clue, trials)
    if not check.passed:
        for other in (log_variance, variance, standard_deviation):
            if other is not spread and compare(claim, routes, taking(other), exact, fixtures, {}).passed:
                words = other.__name__.replace("_", "-" if other is log_variance else " ")
                hint = f"It is right where it is given the {words}: if that is meant, add spread={other.__name__}."
                return replace(check, mistake=f"{check.mistake} {hint}")
    return check


def _with_positive_log_var(arguments: Arguments) -> Arguments:
    if "log_var" in arguments:
        return {**arguments, "log_var": arguments["log_var"].detach().abs() + 0.1}
    model = copy.deepcopy(arguments["model"])
    with torch.no_grad():
        model.encoder.bias[model.latent_dim :] += 5
    return {**arguments, "model": model}


NAN_OF_LOG_VAR = nan_cured_by(
    _with_positive_log_var,
    "It returned NaN where log_var is negative: log_var is taken for a variance or standard deviation.",
)
