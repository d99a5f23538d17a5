"""The explorer of annealed importance sampling: the path on a line, its weights, and what is said of them."""

import math
import re
from functools import cache

import numpy as np
import pytest
import torch
from driving import close, curve, explorer, move, rows, values
from playwright.sync_api import Locator
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from vae_tutorial.reference import kl_quadrature

BETA, TEMPERATURES = "Inverse temperature", "Number of temperatures above 0"


@pytest.fixture
def found(tab) -> Locator:
    return explorer(tab, "annealing")


def log_likelihood(z):
    return -0.5 * math.log(2 * math.pi * 0.09) - (2 - z**2 - z) ** 2 / 0.18


def log_f(z, beta: float):
    return -0.5 * math.log(2 * math.pi) - z**2 / 2 + beta * log_likelihood(z)


def f(z: float, beta: float) -> float:
    return math.exp(log_f(z, beta))


@cache
def tempered(beta: float) -> tuple[float, float, float]:
    """log Z, mean and variance of log p(x | z), by SciPy's adaptive quadrature."""

    def integral(g):
        return quad(lambda z: f(z, beta) * g(z), -9, 9, points=[-2, -0.5, 1], epsabs=1e-13, epsrel=1e-12, limit=400)[0]

    Z = integral(lambda z: 1.0)
    mean = integral(log_likelihood) / Z
    return math.log(Z), mean, integral(lambda z: (log_likelihood(z) - mean) ** 2) / Z


def schedule(T: int, spacing: str) -> np.ndarray:
    return np.linspace(0, 1, T + 1) ** {"even": 1, "cubed": 3}[spacing]


def mean_walk(betas: np.ndarray) -> np.ndarray:
    return np.cumsum([0.0, *(np.diff(betas) * [tempered(beta)[1] for beta in betas[:-1]])])


def spread(betas: np.ndarray) -> float:
    return math.sqrt(np.diff(betas) ** 2 @ [tempered(beta)[2] for beta in betas[:-1]])


@pytest.mark.parametrize("beta", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_the_path_is_that_of_adaptive_quadrature(tab, beta):
    script = "beta => ['logZ', 'mean', 'variance'].map(name => Explorers.annealing.tempered(beta)[name])"
    log_z, mean, variance = tab.evaluate(script, beta)
    exact = tempered(beta)
    assert close([log_z, mean], exact[:2], 1e-9) and variance == pytest.approx(exact[2], rel=1e-8)
    shown = rows(tab, "beta => [-2, -0.3, 1.4].map(z => Explorers.annealing.logF(z, beta))", beta)
    assert close(shown, [norm.logpdf(z) + beta * norm.logpdf(2.0, z**2 + z, 0.3) for z in (-2, -0.3, 1.4)], 1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.02, 0.03, 0.05, 1.0])
def test_the_modes_are_counted(tab, beta):
    """Where the slope of log f, -z + β (2 - z² - z)(2z + 1) / 0.09, goes from + to -: every other real root."""
    slope = np.polynomial.Polynomial([0, -1]) + beta / 0.09 * np.polynomial.Polynomial([2, -1, -1]) * [1, 2]
    real = [root for root in slope.trim().roots() if abs(root.imag) < 1e-9]
    shown = tab.evaluate("beta => Explorers.annealing.tempered(beta).modes", beta)
    assert shown == (len(real) + 1) // 2


@pytest.mark.parametrize("T, spacing", [(1, "even"), (8, "even"), (8, "cubed"), (40, "cubed")])
def test_mean_and_spread_of_the_log_weight_are_those_of_quadrature(tab, T, spacing):
    shown = rows(tab, "([T, how]) => Explorers.annealing.meanWalk(Explorers.annealing.schedule(T, how))", [T, spacing])
    betas = schedule(T, spacing)
    assert close(shown[:, 0], betas, 1e-15) and close(shown[:, 1], mean_walk(betas), 1e-8)
    sd = tab.evaluate("([T, how]) => Explorers.annealing.spread(Explorers.annealing.schedule(T, how))", [T, spacing])
    assert sd == pytest.approx(spread(betas), rel=1e-8)


@pytest.mark.parametrize("T, spacing", [(2, "even"), (8, "cubed")])
def test_what_is_lacking_is_the_divergence_of_every_step(tab, T, spacing):
    """log p(x) less the mean log-weight is the sum of KL(f at one temperature ‖ f at the next)."""

    def log_density(beta):
        return lambda z: log_f(z[:, 0], beta) - tempered(beta)[0]

    betas = schedule(T, spacing)
    steps = [kl_quadrature(log_density(before), log_density(after), [-7.0], [7.0], 2001).item()
             for before, after in zip(betas[:-1], betas[1:], strict=True)]  # fmt: skip
    shown = tab.evaluate("([T, how]) => Explorers.annealing.lacks(T, how)", [T, spacing])
    assert shown == pytest.approx(sum(steps), abs=1e-5)


def test_chains_are_unbiased_with_mean_and_spread_as_derived(tab):
    """4,000 chains, each with its own draws; within five standard errors."""
    walks = rows(tab, "() => Explorers.annealing.chains(Explorers.annealing.schedule(20, 'cubed'), 4000, 5)")
    betas = schedule(20, "cubed")
    assert close(walks[0, :, 0], betas, 1e-15) and (walks[:, 0, 1] == 0).all()
    log_w, weights = walks[:, -1, 1], torch.exp(walks[:, -1, 1] - tempered(1.0)[0])
    assert abs(weights.mean() - 1) < 5 * weights.std() / math.sqrt(4000) < 0.2
    assert abs(log_w.mean() - mean_walk(betas)[-1]) < 5 * log_w.std() / math.sqrt(4000)
    fourth = ((log_w - log_w.mean()) ** 4).mean()
    error = torch.sqrt((fourth - log_w.var() ** 2) / 4000)
    assert abs(log_w.var() - spread(betas) ** 2) < 5 * error
    steps = walks[:, :, 1].diff(dim=1)
    correlation = np.corrcoef(steps.T.numpy())[np.triu_indices(20, 1)]
    assert np.abs(correlation).max() < 6 / math.sqrt(4000)  # the largest of 190
    for t in (0, 7, 19):
        paid = steps[:, t] / (betas[t + 1] - betas[t])
        mean, variance = tempered(betas[t])[1:]
        assert abs(paid.mean() - mean) < 5 * math.sqrt(variance / 4000)


def test_a_walk_is_straight_between_temperatures(tab):
    betas, walk = schedule(5, "cubed"), mean_walk(schedule(5, "cubed"))
    for beta in (0.0, 0.004, 0.064, 0.3, 1.0):
        script = "([points, beta]) => Explorers.annealing.until(points, beta)"
        points = tab.evaluate(script, [np.stack([betas, walk], -1).tolist(), beta])
        assert close(points[-1], [beta, np.interp(beta, betas, walk)], 1e-12)
        assert [b for b, _ in points[:-1]] == [b for b in betas if b < beta - 1e-12]


def test_the_mean_of_weights_is_taken_far_below_zero_too(tab):
    logs = [-1000.0, -1001.5, -1003.0]
    exact = torch.logsumexp(torch.tensor(logs, dtype=torch.float64), 0).item() - math.log(3)
    assert tab.evaluate("logs => Explorers.network.logMean(logs)", logs) == pytest.approx(exact, abs=1e-12)


def test_half_of_the_way_is_done_in_the_first_tenth(tab):
    half = brentq(lambda beta: tempered(beta)[0] - tempered(1.0)[0] / 2, 0.01, 0.9)
    assert 0.09 < half <= 0.1
    assert tab.evaluate("[Explorers.annealing.HALF, Explorers.annealing.BETS]") == ["0.1", ["0.1", "0.3", "0.5"]]


def settle(found: Locator, beta: float, T: int, spacing: str) -> None:
    found.get_by_role("combobox").select_option(spacing)
    found.get_by_role("slider", name=TEMPERATURES).fill(str(T))
    move(found, BETA, beta)


@pytest.mark.parametrize("beta, T, spacing, bet, sentence", [
    (0, 8, "even", "0.3", "The prior. The slope of log Z is the mean of log p(x | z), −21.9 nats; "
     "the first step keeps it up to β = 0.125. Now raise β."),
    (0, 8, "cubed", "0.3", "The prior. The slope of log Z is the mean of log p(x | z), −21.9 nats; "
     "the first step keeps it up to β = 0.00195. Now raise β."),
    (0.02, 8, "even", "0.3", "14 % of the way to log p(x) is done, and f has still one mode. "
     "The slope was −21.9, is −14.4; log w lacks {0:.2f} nats so far."),
    (0.09, 8, "even", "0.1", "47 % of the way to log p(x) is done, and f has two modes. "
     "The slope was −21.9, is −7.6; log w lacks {0:.2f} nats so far."),
    (0.1, 8, "even", "0.1", "You were right, half is done at 0.1. 50 % of the way to log p(x) is done, "
     "and f has two modes. The slope was −21.9, is −6.9; log w lacks {0:.2f} nats so far."),
    (1, 8, "even", "0.5", "Not as you bet, half is done at 0.1. Here log w lacks 1.83 nats on average; "
     "with T = 16 it would be 0.86, with T = 8 cubed 0.83. A step keeps the slope of its start."),
    (1, 20, "cubed", "0.1", "You were right, half is done at 0.1. Here log w lacks {0:.2f} nats on average; "
     "with T = 40 it would be {1:.2f}, with T = 20 even {2:.2f}. A step keeps the slope of its start."),
])  # fmt: skip
def test_what_is_said_of_a_temperature(found, beta, T, spacing, bet, sentence):
    settle(found, beta, T, spacing)
    found.get_by_role("button", name=bet, exact=True).click()
    others = [(T, spacing), (2 * T, spacing), (T, "cubed" if spacing == "even" else "even")]
    walks = [(schedule(*how), mean_walk(schedule(*how))) for how in others]
    lacks = [tempered(beta)[0] - np.interp(beta, betas, walk) for betas, walk in walks]
    assert found.get_by_role("status").inner_text() == sentence.format(*lacks)


@pytest.mark.parametrize("beta, T, spacing", [(0.2, 8, "even"), (1.0, 6, "cubed"), (0.07, 3, "cubed")])
def test_what_is_drawn_is_where_the_numbers_say(tab, found, beta, T, spacing):
    settle(found, beta, T, spacing)
    betas = schedule(T, spacing)
    passed = [b for b in betas if b < beta - 1e-12] + [beta]
    average = np.interp(passed, betas, mean_walk(betas))
    log_z, mean, lack, estimate, sd = values(found.locator("table"))
    exact = tempered(beta)[0]
    assert close([log_z, mean, lack], [exact, average[-1], exact - average[-1]], 1e-7)
    assert sd == pytest.approx(spread(np.array(passed)), rel=1e-7)
    script = "([T, how]) => Explorers.annealing.chains(Explorers.annealing.schedule(T, how), 20, 1)"
    walks = rows(tab, script, [T, spacing]).numpy()
    place = lambda b, w: np.stack([38 + 312 * np.asarray(b), 10 - 230 / 8 * np.asarray(w)], -1)  # noqa: E731
    near = lambda shown, at: np.abs(shown - at).max() < 0.00502  # noqa: E731
    ends = []
    for line, walk in zip(found.locator(".curve.each").all(), walks, strict=True):
        heights = np.interp(passed, walk[:, 0], walk[:, 1])
        ends.append(heights[-1])
        assert near(curve(line), place(passed, heights))
    assert estimate == pytest.approx(np.log(np.mean(np.exp(ends))), abs=1e-9)
    assert near(curve(found.locator(".curve.mean")), place(passed, average))
    dots = re.findall(r"M([\d.-]+) ([\d.-]+)h0", found.locator(".temperatures").get_attribute("d"))
    here = [b for b in betas if b <= beta + 1e-12]
    assert near(np.array(dots, dtype=float), place(here, np.interp(here, passed, average)))
    known = curve(found.locator(".curve.q").last)
    ahead = np.arange(len(known)) / 100
    assert ahead[-1] == beta and near(known[::5], place(ahead, [tempered(b)[0] for b in ahead])[::5])
    z = np.linspace(-3.5, 3, 326)
    down = lambda b: 180 - 170 / 3.5 * np.exp(log_f(z, b) - tempered(b)[0])  # noqa: E731
    for name, b in ((".curve.q", beta), (".area", 1.0), (".mark", 0.0)):
        assert near(curve(found.locator(name).first)[:, 1], down(b))


def test_new_chains_change_their_estimate_and_nothing_else(found):
    settle(found, 1.0, 8, "even")
    before = values(found.locator("table"))
    found.get_by_role("button", name="New chains").click()
    after = values(found.locator("table"))
    assert [i for i in range(5) if before[i] != after[i]] == [3]


def test_the_keys_raise_the_temperature(found):
    settle(found, 0.0, 8, "even")
    slider = found.get_by_role("slider", name=BETA)
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft"):
        slider.press(key)
    assert values(found.locator("table"))[0] == pytest.approx(tempered(0.02)[0], abs=1e-9)
