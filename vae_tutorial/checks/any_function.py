"""Checks that need no exact answer: they compare a function, whatever it computes, with itself."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vae_tutorial._validation import require_finite, require_float, require_same_shape
from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.adapt import positional, required
from vae_tutorial.checks.answers import TOLERANCE, Answer, Arguments, Function, evaluate, usable
from vae_tutorial.checks.arguments import uniform
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.compare import compare
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import (
    BINARY,
    EXTREME_LOG_VARS,
    EXTREME_LOGITS,
    EXTREME_MEANS,
    beside_a_mild_dimension,
    values,
)
from vae_tutorial.checks.further import At
from vae_tutorial.checks.naming import catalogue
from vae_tutorial.checks.precision import compare_precisions


@public
def check_reduction(fn: Callable[..., Tensor], *arguments: Tensor, seed: int = 0) -> Check:
    r"""Check that your function, whatever it computes, gives one value per example: the sum over the last axis.

    It is for functions whose dimensions are independent, such as a Kullback-Leibler divergence, a log-density or a
    squared error of diagonal Gaussians. For these no formula is needed: the value of an example must be the sum of the
    values that the same function gives to its single numbers, :math:`f(x)_i = \sum_d f(x_{id})_1`.

    Args:
        fn: your function of tensors of shape (B, D), giving shape (B,).
        arguments: what to call it with, tensors of one shape (B, D) with B > D > 1. Without them it gets fixed numbers
            between 0.2 and 1.8, two tensors for a function of two arguments.
        seed: of further numbers, of other sizes and below 0, which it gets where it passes with the first ones.

    Returns:
        The `Check`, of values and of gradients with respect to the arguments.

    Raises:
        TypeError: ``fn`` is not callable, its arguments cannot be counted where none are given, or an argument is not a
            floating-point tensor.
        ValueError: the arguments are not finite, or not of one shape (B, D) with B > D > 1.

    Example:
        >>> def squared_error(x, mu):
        ...     return ((x - mu) ** 2).sum(-1)
        >>> check_reduction(squared_error).passed
        True
        >>> check_reduction(lambda x, mu: ((x - mu) ** 2).mean()).mistake.partition(". ")[0]
        'It is averaged over all entries: sum the last axis, and keep one value per example'
    """
    names = _argument_names(fn, arguments)
    if not arguments:
        arguments = tuple(values(5, 3, low=0.2, high=1.8, seed=20 + i) for i in range(len(names)))
    batch = _named_batches(names, arguments)
    if not arguments[0].shape[0] > arguments[0].shape[1] > 1:
        raise ValueError(f"the arguments must have shape (B, D) with B > D > 1, got {tuple(arguments[0].shape)}")
    whole = {name: tensor.detach().double().requires_grad_() for name, tensor in batch.items()}
    part = {name: tensor.detach()[:-1, :-1].double().requires_grad_() for name, tensor in batch.items()}

    def entries(*tensors: Tensor) -> Tensor:  # shape (B, D)
        n_examples, n_dims = tensors[0].shape
        numbers = [[t[i : i + 1, d : d + 1] for t in tensors] for i in range(n_examples) for d in range(n_dims)]
        return torch.stack([_one_number(fn, *row) for row in numbers]).reshape(n_examples, n_dims)

    return compare(
        "One value per example, the sum over the last axis",
        ("your function", "the sum of what it gives to single numbers"),
        fn,
        lambda *tensors: entries(*tensors).sum(-1),
        [whole, part],
        catalogue({"": entries}, known.REDUCTIONS, {"": 1.0}),
        clue=_not_a_sum,
        trials=lambda: _reduction_trials(entries, names, torch.Generator().manual_seed(seed)),
    )


def _reduction_trials(entries: Function, names: list[str], generator: torch.Generator) -> list[At]:
    """Of other sizes, and below 0 where the function is defined there."""
    shapes = {"For one example": (1, 4), "For one number": (1, 1), "For 12 dimensions": (3, 12)}
    ranges = {place: (shape, 0.2, 1.8) for place, shape in shapes.items()} | {"Below 0": ((4, 3), -1.8, -0.2)}
    trials = []
    for place, (shape, low, high) in ranges.items():
        arguments = {name: uniform(shape, low, high, generator).requires_grad_() for name in names}
        if entries(*arguments.values()).isfinite().all():
            trials.append(At(place, arguments, lambda *tensors: entries(*tensors).sum(-1)))
    return trials


def _one_number(fn: Callable[..., Tensor], *numbers: Tensor) -> Tensor:
    """What ``fn`` gives to single numbers, shape (1, 1); NaN where it fails, or gives something else than a number."""
    try:
        return fn(*numbers).double().reshape(())
    except Exception:  # a learner's function may fail in any way
        return torch.tensor(math.nan)


def _not_a_sum(fn: Callable[..., Tensor], fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
    """What keeps the value of an example from being the sum over its numbers."""
    batch = {name: tensor.detach() for name, tensor in fixtures[0].items()}
    rows = [{name: tensor[i : i + 1] for name, tensor in batch.items()} for i in range(len(came[0].value))]
    alone = torch.cat([evaluate(fn, row).value for row in rows])
    if (alone - came[0].value).abs().max() > TOLERANCE:
        return "The value of an example depends on the other examples of the batch: the rows are mixed."
    return (
        "The value of an example depends on that example alone, but it is not the sum over its dimensions: a part of "
        "it, a constant perhaps, does not grow with their number as it should, or its dimensions are not independent."
    )


@public
def check_numerics(fn: Callable[..., Tensor], *arguments: Tensor, exact: Callable[..., Tensor] | None = None) -> Check:
    r"""Check that your function computes in float32 what it computes in float64, at extreme arguments too.

    Every example is handed over alone, in both precisions. The gap is :math:`|a - b| / (1 + |b|)`, a in float32 and b
    in float64, the largest over values and gradients; where one is infinite or not a number, so is the gap.

    Args:
        fn: your function of one or more tensors.
        arguments: what to call it with, tensors of shape (B, D), one example a row; `extreme_encodings` and
            `extreme_logits` give such.
        exact: what your function should equal, such as `vae_tutorial.gaussian.kl_standard_normal`, in float64; your
            function itself when left out. Without it a clamp, the same in both precisions, is not noticed.

    Returns:
        The `Check`. Its ``mistake`` says at which arguments it went wrong, and how.

    Raises:
        TypeError: ``fn`` is not callable, or an argument is not a floating-point tensor.
        ValueError: there are no arguments, or they are not finite, or not of one shape (B, D).

    Example:
        >>> def naive(x, logits):
        ...     p = logits.sigmoid()
        ...     return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)
        >>> check = check_numerics(naive, *extreme_logits())
        >>> check.gap, "-inf in float32 and -17.5" in check.mistake
        (inf, True)
    """
    names = _argument_names(fn, arguments)
    if not arguments:
        raise ValueError(
            "check_numerics needs tensors to call fn with, such as check_numerics(kl, *extreme_encodings())"
        )
    return compare_precisions(fn, exact or fn, _named_batches(names, arguments))


def extreme_encodings() -> tuple[Tensor, Tensor]:
    """Means to ±4 and log-variances to ±80, some of them near 0: arguments for `check_numerics`, shape (B, 2).

    Example:
        >>> from vae_tutorial.gaussian import kl_standard_normal
        >>> check_numerics(kl_standard_normal, *extreme_encodings()).passed
        True
    """
    return beside_a_mild_dimension(EXTREME_MEANS, EXTREME_LOG_VARS, mild=(0.5, -0.3))


def extreme_logits() -> tuple[Tensor, Tensor]:
    """Binary x and logits to ±100: arguments for `check_numerics`, two tensors of shape (B, 2).

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> check_numerics(bernoulli.log_prob, *extreme_logits()).passed
        True
    """
    return beside_a_mild_dimension(BINARY, EXTREME_LOGITS, mild=(1.0, 0.5))


def _argument_names(fn: Callable[..., Tensor], arguments: tuple[Tensor, ...]) -> list[str]:
    """The names of the positional parameters of ``fn``, as many as there are arguments or, without any, as it needs."""
    if not callable(fn):
        raise TypeError(f"the first argument must be the function to check, got {type(fn).__name__}")
    if arguments:
        names = [p.name for p in positional(fn)][: len(arguments)]
        return names + [f"argument {i + 1}" for i in range(len(names), len(arguments))]
    if needed := required(fn):
        return needed
    raise TypeError("the function does not tell how many arguments it needs: give the tensors to call it with")


def _named_batches(names: Sequence[str], arguments: Sequence[Tensor]) -> dict[str, Tensor]:
    """The arguments under their names: all finite, floating-point and of one shape (B, D)."""
    batch = dict(zip(names, arguments, strict=True))
    require_float(**batch)
    batch = {name: usable(argument) for name, argument in batch.items()}
    require_same_shape(**batch)
    require_finite(**batch)
    for name, argument in batch.items():
        if argument.ndim != 2:
            raise ValueError(f"{name} must have shape (B, D), got {tuple(argument.shape)}")
    return batch
