"""What a learner's function does to other arguments, as a clue to its mistake: experiments, each with its sentence."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from vae_tutorial.checks.answers import Answer, Arguments, Function, evaluate, same
from vae_tutorial.checks.naming import signed

# clue(fn, fixtures, answers) tells what the answers show beyond the catalogue; no answers: the function raised.
Clue = Callable[[Function, Sequence[Arguments], Sequence[Answer]], str]

# knob(t) gives arguments of which one number is t.
Knob = Callable[[float], Arguments]


def no_clue(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
    return ""


def first_of(*clues: Clue) -> Clue:
    """The first that has something to say."""

    def clue(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
        return next(filter(None, (said(one, fn, fixtures, came) for one in clues)), "")

    return clue


def said(clue: Clue, fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
    """What a clue says; nothing where the function fails under its experiment, as it may in any way."""
    try:
        return clue(fn, fixtures, came)
    except Exception:
        return ""


def nan_cured_by(mend: Callable[[Arguments], Arguments], sentence: str) -> Clue:
    """The clue ``sentence`` where NaN came, and none comes from the arguments that ``mend`` makes of the fixed ones."""

    def clue(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
        if came and not any(answer.value.isnan().any() for answer in came):
            return ""
        mended = [evaluate(fn, mend(arguments)).value for arguments in fixtures]
        if any(value.isnan().any() for value in mended):
            return ""
        return sentence if came else sentence.replace("It returned NaN where", "It fails where")

    return clue


def infinite(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
    """The clue that an infinite number came: all right answers are finite."""
    if not any(answer.value.isinf().any() for answer in came):
        return ""
    return f"It returned an infinite number: {OVERFLOW}."


OVERFLOW = (
    "an exponential overflows, or the logarithm of a number that rounded to 0 is taken; "
    "logsigmoid, softplus, logsumexp and expm1 do neither"
)


def unused_noise(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
    """The clue that a sampler takes no notice of the noise it is given, ``eps``."""

    def called(eps: Tensor) -> Answer:
        torch.default_generator.manual_seed(
            0
        )  # so numbers of its own repeat; the caller's random state is out of reach here
        return evaluate(fn, {**fixtures[0], "eps": eps})

    one, other = called(fixtures[0]["eps"]), called(1 - fixtures[0]["eps"])
    if not same(one.value, other.value):
        return ""
    if any(gradient.any() for gradient in one.gradients.values()):
        return "The noise eps is not used: z is to be μ + σε."
    return "No gradient reaches mu or log_var, and eps is not used: sample() where rsample() or μ + σε belongs."


def clamped(exact: Function, knobs: Mapping[str, tuple[Knob, float]]) -> Clue:
    """The clue that an argument is clamped: beyond some number the value stays what it is, where it should go on.

    Args:
        exact: the right answer.
        knobs: for each argument its knob, and how far it is turned, up and down.
    """

    def clue(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
        found = []
        for name, (knob, far) in knobs.items():
            ends = [_clamp(_turned(fn, knob), _turned(exact, knob), sign * far) for sign in (-1, 1)]
            where = []
            for word, sign, end in zip(("below", "above"), (-1, 1), ends, strict=True):
                if end is None:
                    continue
                if (limit := _limit(fn, knob, sign * far)) is not None:
                    return f"Its result is clamped at {_short(limit)}, whatever the arguments are."
                where.append(f"{word} {_short(end)}")
            if where:
                found.append(f"{name} is clamped {' and '.join(where)}")
        return f"Inside it {' and '.join(found)}." if found else ""

    return clue


def _turned(fn: Function, knob: Knob) -> Callable[[float], Tensor]:
    return lambda t: evaluate(fn, knob(t)).value


def _clamp(fn: Callable[[float], Tensor], exact: Callable[[float], Tensor], far: float) -> float | None:
    """From where on to ``far`` the function is constant, where it is right near 0 and should not be constant."""
    last, before, start = fn(far), fn(0.9 * far), 0.04 * math.copysign(1, far)
    if (
        not last.isfinite().all()
        or not _equal(last, before)
        or _equal(exact(far), exact(0.9 * far))
        or not _equal(fn(start), exact(start))
    ):
        return None
    inside, outside = start, 0.9 * far
    for _ in range(40):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if torch.equal(fn(middle), last) else (middle, outside)
    return outside


def _limit(fn: Function, knob: Knob, far: float) -> float | None:
    """The number that the result stays at although the arguments that the knob leaves alone are moved, too."""
    here, there = knob(far), knob(0.9 * far)
    moved = {
        name: torch.where(value == there[name], value + 0.1, value) if value.is_floating_point() else value
        for name, value in here.items()
        if isinstance(value, Tensor)
    }
    if all(torch.equal(value, here[name]) for name, value in moved.items()):
        return None
    came, other = (evaluate(fn, arguments).value for arguments in (here, {**here, **moved}))
    return came.flatten()[0].item() if torch.equal(came, other) else None


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-6, atol=1e-6)


AXES = {
    **dict.fromkeys(("mu", "log_var", "x", "logits"), {"example": -2, "dimension": -1}),
    "eps": {"draw": -3, "example": -2, "dimension": -1},
    "log_w": {"draw": -2, "example": -1},
}
ALONE = {
    "example": "It is right for one example at a time, but not for several: the value of an example depends on the "
    "others. An axis is broadcast, or something is taken over the whole batch.",
    "draw": "It is right for one draw at a time, but not for several: the draws are mixed, or some are left out.",
    "dimension": "It is right in one dimension, but not in several: its dimensions are mixed, or some are left out.",
}


def right_alone(exact: Function, *kinds: str) -> Clue:
    """The clue that a function is right for one example, draw or dimension at a time, and not for several."""

    def clue(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
        arguments = next(
            given for given, a in zip(fixtures, came, strict=True) if not _equal(a.value, evaluate(exact, given).value)
        )
        for kind in kinds:
            parts = list(_one_by_one(arguments, kind))
            if len(parts) > 1 and all(_equal(evaluate(fn, one).value, evaluate(exact, one).value) for one in parts):
                return ALONE[kind]
        return ""

    return clue


def _one_by_one(arguments: Arguments, kind: str) -> Iterator[Arguments]:
    axes = {
        name: AXES[name][kind]
        for name, value in arguments.items()
        if kind in AXES.get(name, {}) and value.ndim >= -AXES[name][kind]
    }
    n = min((arguments[name].shape[axis] for name, axis in axes.items()), default=0)
    for i in range(n):
        yield {
            name: value.detach().narrow(axes[name], i, 1) if name in axes else value
            for name, value in arguments.items()
        }


def rounded(exact: Function) -> Clue:
    """The clue that an argument is rounded on its way, a neighbouring one gives the very same answer; or not used."""

    def clue(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
        for name, value in fixtures[0].items():
            if not isinstance(value, Tensor) or _same_bits(exact, fixtures[0], name):
                continue
            if torch.allclose(*_scaled(fn, fixtures[0], name, 1.5), rtol=1e-9, atol=1e-9):  # but for rounding
                return f"It gives the same answers where {name} is multiplied by 1.5: it cancels, or is not used."
            if _same_bits(fn, fixtures[0], name):
                return (
                    f"Inside it {name} is rounded: numbers that differ by 4e-6 of their size give the same answer. "
                    "float16 and bfloat16 are too coarse, and integers all the more."
                )
        return ""

    return clue


def _same_bits(fn: Function, arguments: Arguments, name: str) -> bool:
    """Whether most values stay the same for an argument that is a little larger."""
    value, other = _scaled(fn, arguments, name, 1 + 2**-18)
    return bool((value == other).double().mean() > 0.5)


def _scaled(fn: Function, arguments: Arguments, name: str, factor: float) -> tuple[Tensor, Tensor]:
    """What comes of an argument as it is, and multiplied by a factor."""
    given = arguments[name].detach()
    return evaluate(fn, {**arguments, name: given}).value, evaluate(fn, {**arguments, name: factor * given}).value


def saturated(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
    """The clue that one number came for several examples: below it, the logarithm of a sum goes no further."""
    *_, last = came
    number = last.value.flatten()[0]
    if len(last.value) < 2 or not number.isfinite() or not _equal(last.value, number.expand_as(last.value)):
        return ""
    return f"It saturates at {_short(number.item())} nats: {number.exp():.3g} is added inside the logarithm."


def floored(exact: Function) -> Clue:
    """The clue that a divergence of Gaussians has a floor: where both are the same it is not 0."""

    def at_zero(fn: Function, n_dims: int) -> float:
        zeros = torch.zeros(2, n_dims, dtype=torch.float64)
        return evaluate(fn, {"mu": zeros, "log_var": zeros}).value[0].item()

    def clue(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
        one, three = at_zero(fn, 1), at_zero(fn, 3)
        if not 0 < one < math.inf:
            return ""
        for unit, floor in {
            "a dimension": lambda mu, log_var: _per_dimension(exact, mu, log_var).clamp(min=one).sum(-1),
            "an example": lambda mu, log_var: exact(mu, log_var).clamp(min=three),
        }.items():
            right = [evaluate(floor, arguments).value for arguments in fixtures]
            if all(same(answer.value, value) for answer, value in zip(came, right, strict=True)):
                size = _short(one if unit == "a dimension" else three)
                return f"It has a floor of {size} nats {unit}: free bits are an objective, not a divergence."
        return ""

    return clue


def added_to_spread(mistakes: Mapping[str, Function]) -> Clue:
    """The clue that a small number is added to σ or σ²: it shows where these are small."""

    def clue(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
        log_var = torch.tensor([[-3.0], [-9.0], [-14.0]], dtype=torch.float64)
        mu = torch.full_like(log_var, 0.5)
        narrow = {"mu": mu, "log_var": log_var}
        if "x" in fixtures[0]:
            narrow = {"x": mu + 1.5 * (0.5 * log_var).exp(), **narrow}
        fixtures, came = [*fixtures, narrow], [*came, evaluate(fn, narrow)]
        for clause, wrong in mistakes.items():
            if all(_equal(a.value, evaluate(wrong, given).value) for a, given in zip(came, fixtures, strict=True)):
                return f"It {clause}: where σ is small, it is another function."
        return ""

    return clue


def _per_dimension(fn: Function, mu: Tensor, log_var: Tensor) -> Tensor:
    return fn(mu.reshape(-1, 1), log_var.reshape(-1, 1)).reshape(mu.shape)


def _short(number: float) -> str:
    return signed(round(number, 4))
