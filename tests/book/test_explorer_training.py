"""The explorer of a gradient's noise: its variance is that of all minibatches and all signs of the noise."""

import itertools
import math

import numpy as np
import pytest
from driving import close, curve, explorer, number, rows, values
from playwright.sync_api import Locator

N = 1200
PLACES = [(64, 1, 1), (64, 16, 1), (1, 4, 8), (8, 2, 0.125), (32, 16, 2.8284271247461903)]


@pytest.mark.parametrize("M, K", [(1, 1), (2, 1), (2, 3), (4, 2)])
def test_the_variance_is_that_of_all_minibatches_and_all_noises(tab, M, K):
    gradients = np.array([0.3, -1.0, 2.0, 0.7, -0.2])
    sizes = np.array([0.5, 1.0, 0.2, 1.5, 0.8])  # of the noise, by example
    between, within = gradients.var(ddof=1), np.square(sizes).mean()
    signs = np.array(list(itertools.product((-1, 1), repeat=M * K))).reshape(-1, K, M)
    batches = [list(batch) for batch in itertools.combinations(range(5), M)]
    means = [(gradients[batch] + sizes[batch] * signs).mean((1, 2)) for batch in batches]
    found = tab.evaluate("place => Explorers.training.variance(...place)", [M, K, within / between, 5])
    assert found * between == pytest.approx(np.var(means), abs=1e-12)


def variance(M: int, K: int, ratio: float) -> list[float]:
    """Between and within, by the covariance of which examples are drawn; the gradients are 1 and -1, by turns."""
    share = M / N
    gradients = np.resize([1.0, -1.0], N)
    chosen = share * (1 - share) * (np.eye(N) - (1 - np.eye(N)) / (N - 1))
    return [gradients @ chosen @ gradients / M**2 / gradients.var(ddof=1), ratio / K / M]


@pytest.mark.parametrize("place", PLACES)
def test_both_parts(tab, place):
    assert close(rows(tab, "place => Explorers.training.parts(...place)", place), variance(*place), 1e-12)


@pytest.mark.parametrize("place, bet, words", [
    ((64, 1, 1), None, "One draw each: 51.4 % of the variance is from ε."),
    ((16, 16, 1), "a half", "You were right: about a half. 16 draws leave 52.8 %, the same passes on 256 examples 5.6"),
    ((16, 16, 1), "1/16", "Not as you bet: about a half."),
    ((32, 16, 1), "1/16", "16 draws leave"),
    ((16, 16, 2), "1/16", "16 draws leave"),
    ((1, 2, 8), None, "2 draws leave 55.6 %, the same passes on 2 examples 50.0 %. Most of that is from ε: more"),
])  # fmt: skip
def test_what_is_said(tab, place, bet, words):
    assert tab.evaluate("([place, bet]) => Explorers.training.verdict(...place, bet)", [place, bet]).startswith(words)


def place(found: Locator, M: int, K: int, ratio: float) -> None:
    for name, value in zip(("batch size", "number of draws", "variance from ε"), (M, K, ratio), strict=True):
        found.get_by_role("slider", name=f"Doublings of the {name}").fill(f"{math.log2(value):g}")


def test_a_bet_sets_sixteen_draws_and_the_keys_change_them(tab):
    found = explorer(tab, "training")
    said = found.get_by_role("status")
    place(found, 8, 16, 2)
    assert said.inner_text().startswith("Bet first")
    found.get_by_role("button", name="1/16").click()
    assert said.inner_text().startswith("Not as you bet: about a half.")
    found.get_by_role("slider", name="Doublings of the number of draws").press("ArrowLeft")
    assert said.inner_text().startswith("8 draws leave")
    ways = np.array([variance(16, 8, 1), variance(128, 1, 1)])
    expected = [*ways.T.flatten(), *ways.sum(1)]
    assert values(found.locator("table")) == pytest.approx(expected, abs=1e-12)


def test_the_drawing_is_where_the_numbers_say(tab):
    found = explorer(tab, "training")
    place(found, 16, 4, 2)
    across, down = 312 / 10, 310 / 16

    def at(passes: float, value: float) -> list[float]:
        return [38 + across * math.log2(passes), 10 + down * (4 - math.log2(value))]

    more_draws, more_examples, one = (sum(variance(*way, 2)) for way in ((16, 4), (64, 1), (16, 1)))
    for name, value in (("bound", more_draws), ("whole", more_examples)):
        dot = found.locator(f"circle.{name}")
        assert close([number(dot, "cx"), number(dot, "cy")], at(64, value), 1e-9)
    draws, examples = curve(found.locator(".curve:not(.all, .exact)")), curve(found.locator(".curve.all"))
    assert close(draws[[0, 16, 32]], [at(16, one), at(64, more_draws), at(256, sum(variance(16, 16, 2)))], 0.006)
    assert close(examples[[0, 16, 32]], [at(16, one), at(64, more_examples), at(256, sum(variance(256, 1, 2)))], 0.006)
    floor = variance(16, 1, 2)[0]
    assert close(curve(found.locator(".curve.exact")), [at(16, floor), at(1024, floor)], 0.006)
    blue, red, green = (found.locator(f"rect.{name}") for name in ("bound", "gap", "whole"))
    whole = 340 / one
    assert close([number(blue, "x"), number(blue, "width")], [10, whole * variance(16, 4, 2)[0]], 1e-9)
    assert number(red, "x") == pytest.approx(10 + number(blue, "width"))
    assert number(red, "width") == pytest.approx(whole * variance(16, 4, 2)[1])
    assert close([number(green, "x"), number(green, "width")], [10, whole * more_examples], 1e-9)
