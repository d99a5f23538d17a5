"""Schedules against their equations, written once more with other means, and at their seams."""

import math

import numpy as np
import pytest

from vae_tutorial.schedules import cyclical, linear, warmup_cosine

STEPS = range(130)


def values(schedule, steps=STEPS):
    return [schedule(step) for step in steps]


def cosine_by_numpy(peak, n_steps, warmup):
    """The line and the half cosine as tables: cos x = 1 - 2 sin²(x / 2), and nothing after step T."""
    line = np.linspace(0, peak, warmup + 1)[1:]
    x = np.linspace(0, np.pi, n_steps - warmup, endpoint=False)
    return np.concatenate([line, peak * (1 - np.sin(x / 2) ** 2), np.zeros(1000)])[: len(STEPS)]


def assert_warmup_cosine(schedule):
    for peak, n_steps, warmup in [(0.1, 100, 7), (3.0, 50, 0), (1.0, 120, 119), (1.0, 1, 0)]:
        got = values(schedule(peak, n_steps, warmup))
        np.testing.assert_allclose(got, cosine_by_numpy(peak, n_steps, warmup), rtol=1e-12, atol=1e-15 * peak)


def assert_linear(schedule):
    for start, end, n_steps in [(0.0, 1.0, 100), (2.0, -0.5, 9), (0.3, 0.3, 1)]:
        expected = np.interp(STEPS, [0, n_steps], [start, end])
        np.testing.assert_allclose(values(schedule(start, end, n_steps)), expected, rtol=1e-13, atol=1e-15)


def assert_cyclical(schedule):
    for n_steps, n_cycles, rising in [(120, 4, 0.5), (100, 7, 0.3), (33, 1, 1.0), (10, 3, 0.9)]:
        starts = n_steps * np.arange(n_cycles) / n_cycles
        expected = []
        for step in STEPS:
            since = step - starts[starts <= step + 1e-9][-1]  # steps since the cycle began
            expected.append(np.interp(since, [0, rising * n_steps / n_cycles], [0, 1]) if step < n_steps else 1)
        got = values(schedule(n_steps, n_cycles, rising=rising))
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_schedules_follow_their_equations():
    assert_warmup_cosine(warmup_cosine)
    assert_linear(linear)
    assert_cyclical(cyclical)


WRONG = {
    "warm-up starts at zero": (assert_warmup_cosine, lambda p, n, w: lambda t: (
        p * t / w if t < w else warmup_cosine(p, n, w)(t))),
    "cosine from the first step": (assert_warmup_cosine, lambda p, n, w: lambda t: (
        p * (t + 1) / w if t < w else warmup_cosine(p, n)(t))),
    "a whole cosine": (assert_warmup_cosine, lambda p, n, w: lambda t: (
        p * (t + 1) / w if t < w else p / 2 * (1 + math.cos(2 * math.pi * min((t - w) / (n - w), 1))))),
    "the line goes on": (assert_linear, lambda a, b, n: lambda t: a + (b - a) * t / n),
    "one step late": (assert_linear, lambda a, b, n: lambda t: linear(a, b, n)(max(t - 1, 0))),
    "cycles go on": (assert_cyclical, lambda n, m, rising: lambda t: cyclical(n, m, rising=rising)(t % n)),
    "rising forgotten": (assert_cyclical, lambda n, m, rising: cyclical(n, m, rising=1.0)),
    "cycles forgotten": (assert_cyclical, lambda n, m, rising: cyclical(n, 1, rising=rising)),
}  # fmt: skip


@pytest.mark.parametrize("check, wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_schedule_is_caught(check, wrong):
    with pytest.raises(AssertionError):
        check(wrong)


def test_defaults_are_those_of_the_equations():
    assert values(warmup_cosine(0.1, 10)) == values(warmup_cosine(0.1, 10, warmup=0))
    assert values(cyclical(120)) == values(cyclical(120, n_cycles=4, rising=0.5))


def test_ends_are_exact():
    assert linear(1e16, 1.0, 7)(7) == 1.0  # where 1e16 + (1 - 1e16) is 0
    assert linear(0.0, 0.1, 7)(7) == linear(0.0, 0.1, 7)(10**9) == 0.1 and linear(0.3, 1.0, 7)(0) == 0.3
    assert warmup_cosine(0.1, 10, 3)(2) == warmup_cosine(0.1, 10, 3)(3) == 0.1
    assert warmup_cosine(0.1, 10, 3)(9) > 0 == warmup_cosine(0.1, 10, 3)(10) == warmup_cosine(0.1, 10)(10**9)
    assert cyclical(10, 2)(5) == 0 and cyclical(10, 2)(10) == cyclical(10, 2)(10**9) == 1
    assert all(0 <= value <= 1 for value in values(cyclical(97, 5, rising=0.37)))


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: warmup_cosine(0.0, 10), ValueError, "peak must be above 0, got 0.0"),
        (lambda: warmup_cosine(math.nan, 10), ValueError, "peak must be one finite number"),
        (lambda: warmup_cosine("fast", 10), TypeError, "peak must be one finite number, got 'fast'"),
        (lambda: warmup_cosine(0.1, 0), ValueError, "n_steps must be an integer of at least 1, got 0"),
        (lambda: warmup_cosine(0.1, 10, 10), ValueError, "warmup must be an integer from 0 to n_steps - 1 = 9, got 10"),
        (lambda: warmup_cosine(0.1, 10, -1), ValueError, "warmup must be an integer from 0 to n_steps - 1 = 9, got -1"),
        (
            lambda: warmup_cosine(0.1, 10, 2.5),
            ValueError,
            "warmup must be an integer from 0 to n_steps - 1 = 9, got 2.5",
        ),
        (lambda: linear(math.inf, 1, 10), ValueError, "start must be one finite number, got inf"),
        (lambda: linear(0, None, 10), TypeError, "end must be one finite number, got None"),
        (lambda: linear(0, 1, 0.5), ValueError, "n_steps must be an integer of at least 1, got 0.5"),
        (lambda: cyclical(10, 0), ValueError, "n_cycles must be an integer of at least 1, got 0"),
        (lambda: cyclical(0), ValueError, "n_steps must be an integer of at least 1, got 0"),
        (lambda: cyclical(10, rising=0), ValueError, "rising must be above 0, got 0"),
        (lambda: cyclical(10, rising=1.5), ValueError, "rising must be above 0 and at most 1, got 1.5"),
    ],
)
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=f"^{message}"):
        make()


@pytest.mark.parametrize("n_steps", [10**9, 10**12, 10**15])
def test_a_rate_is_positive_to_the_last_step_however_long_the_run(n_steps):
    warmup = n_steps // 2
    lr = warmup_cosine(0.1, n_steps, warmup)
    for left in (1, 2, 1000):  # the cosine near its minimum is a parabola
        expected = 0.1 * (0.5 * math.pi * left / (n_steps - warmup)) ** 2
        lost = 1 + math.cos(math.pi * ((n_steps - left - warmup) / (n_steps - warmup))) == 0  # by the half cosine
        assert lr(n_steps - left) > 0
        assert lr(n_steps - left) == pytest.approx(expected, rel=1e-6, abs=0 if lost else 2e-17)
    assert lost or n_steps < 10**12
    assert lr(n_steps) == 0


def test_rates_of_ordinary_runs_have_the_bits_they_had():
    lr = warmup_cosine(0.1, 1000, 7)
    for step in range(7, 1000):
        assert lr(step) == 0.5 * 0.1 * (1 + math.cos(math.pi * min((step - 7) / 993, 1.0)))
