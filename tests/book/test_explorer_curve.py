"""Gaussians along the curve: the densities are SciPy's, sticks and circles stand where they should."""

import base64
import io
import math
import re

import numpy as np
import pytest
import torch
from driving import close, curve, drag, explorer, middle, move, number, rows, values
from PIL import Image
from playwright.sync_api import Locator, Page
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from vae_tutorial.likelihoods import normal

PLACES = [([0.1, 0.8], 0.3), ([0.1, 0.8], 0.1), ([1.0, 2.0], 0.2), ([0.0, -0.6], 0.6), ([-2.0, 3.2], 0.1)]
each_place = pytest.mark.parametrize("x, noise", PLACES)


@pytest.fixture
def found(tab) -> Locator:
    """The explorer, as it is met; a bet once made stays."""
    found = explorer(tab, "curve")
    found.get_by_role("button", name="spread evenly").click()
    move(found, "Number of Gaussians", 3)
    move(found, "Standard deviation of the noise", 0.3)
    place(found, 0.1, 0.8)
    return found


def place(found: Locator, x1: float, x2: float) -> None:
    """By the keys: to the origin, and from there in steps of 0.05."""
    handle = found.get_by_role("slider", name="The point x", exact=True)
    handle.press("Home")
    for value, keys in ((x1, ("ArrowLeft", "ArrowRight")), (x2, ("ArrowDown", "ArrowUp"))):
        for _ in range(round(abs(value) / 0.05)):
            handle.press(keys[value > 0])


def ask(tab: Page, name: str, *arguments):
    return tab.evaluate(f"all => Explorers.curve.{name}(...all)", list(arguments))


def evenly(K: int) -> np.ndarray:
    return norm.ppf((np.arange(K) + 0.5) / K)


def log_likelihood(x: list[float], z: np.ndarray, noise: float) -> np.ndarray:
    means = torch.tensor(np.stack([z / 2, z**2 / 2], -1))
    return normal(2 * math.log(noise)).log_prob(torch.tensor([x], dtype=torch.float64).expand_as(means), means).numpy()


def log_mixture(x: list[float], z: np.ndarray, noise: float) -> float:
    return logsumexp(log_likelihood(x, z, noise)) - math.log(len(z))


def moment(x: list[float], noise: float, power: int) -> float:
    """log E[p(x | z)^power] under the prior, by SciPy's adaptive quadrature."""
    z = np.linspace(-8, 8, 4001)
    logs = norm.logpdf(z) + power * log_likelihood(x, z, noise)
    top, peak = logs.max(), z[logs.argmax()]

    def integrand(z: float) -> float:
        squares = (x[0] - z / 2) ** 2 + (x[1] - z**2 / 2) ** 2
        log_p = -squares / (2 * noise**2) - math.log(2 * math.pi * noise**2)
        return math.exp(-0.5 * z * z + power * log_p - top) / math.sqrt(2 * math.pi)

    total, _ = quad(integrand, -8, 8, points=sorted({peak, -peak, 0.0}), epsabs=1e-14, epsrel=1e-13, limit=500)
    return math.log(total) + top


# What is computed


def test_quantiles_are_scipys(tab):
    u = [0.005, 0.1, 0.4999, 0.5, 0.7, 0.995]
    assert close(rows(tab, "all => all.map(Explorers.curve.quantile)", u), norm.ppf(u), 1e-12)
    z = [-4.0, -1.3, 0.0, 1e-9, 2.2]
    assert close(rows(tab, "all => all.map(Explorers.curve.cdf)", z), norm.cdf(z), 1e-14)
    assert all(close(ask(tab, "even", K), evenly(K), 1e-11) for K in (1, 2, 9, 100))


def test_more_draws_begin_with_the_same(tab):
    five, nine, other = ask(tab, "drawn", 5, 2), ask(tab, "drawn", 9, 2), ask(tab, "drawn", 9, 3)
    assert five == nine[:5] and len(nine) == 9 and not set(nine) & set(other)
    assert nine == tab.evaluate("Explorers.network.standardNoise(100, 2)")[:9]


@each_place
@pytest.mark.parametrize("K", [1, 7, 100])
def test_the_mixture_is_the_packages(tab, x, noise, K):
    for z in (evenly(K), np.array(ask(tab, "drawn", K, 4))):
        assert ask(tab, "logMixture", x, z.tolist(), noise) == pytest.approx(log_mixture(x, z, noise), abs=1e-9)


def test_the_lattice_is_the_mixture_of_scipys_gaussians(tab):
    x1, x2, z, noise = [-2.0, 0.0, 0.7], [-1.0, 0.4, 1.9, 3.2], evenly(5), 0.4
    exact = [[np.mean([multivariate_normal([a / 2, a * a / 2], noise**2).pdf([one, two]) for a in z]) for one in x1]
             for two in x2]  # fmt: skip
    assert close(ask(tab, "lattice", x1, x2, z.tolist(), noise), exact, 1e-12)


@each_place
def test_evidence_posterior_and_variance_are_adaptive_quadratures(tab, x, noise):
    exact = moment(x, noise, 1)
    assert ask(tab, "logEvidence", x, noise) == pytest.approx(exact, abs=1e-9)
    for z in (-1.1, 0.3, 1.9):
        density = math.exp(norm.logpdf(z) + log_likelihood(x, np.array([z]), noise)[0] - exact)
        assert ask(tab, "posterior", x, z, noise, exact) == pytest.approx(density, rel=1e-9, abs=1e-300)
    excess = math.expm1(moment(x, noise, 2) - 2 * exact)
    assert ask(tab, "variance", x, noise) == pytest.approx(excess, rel=1e-9)


def test_at_the_star_the_rule_is_the_chapters(tab):
    assert round(100 * ask(tab, "variance", [0.1, 0.8], 0.3)) == 95  # it prints "K = V / 0.01 = 95 draws"


def test_the_shares_are_the_softmax_of_the_log_likelihoods(tab):
    z = evenly(9)
    shares = torch.softmax(torch.tensor(log_likelihood([0.1, 0.8], z, 0.3)), 0)
    log_p = log_mixture([0.1, 0.8], z, 0.3)
    assert close(ask(tab, "shares", [0.1, 0.8], z.tolist(), 0.3, log_p), shares, 1e-12)


@each_place
def test_from_the_number_needed_on_all_are_near(tab, x, noise):
    exact = moment(x, noise, 1)
    far = [K for K in range(1, 101) if abs(log_mixture(x, evenly(K), noise) - exact) > 0.1]
    needed = tab.evaluate("all => String(Explorers.curve.needed(...all))", [x, noise])
    assert needed == ("Infinity" if 100 in far else str(max(far) + 1))


HIGH = "0.52 nats too high, the sticks end below the gray curve."
LOW = "2.00 nats too low, the sticks end above the gray curve."
RIGHT = "Right to 0.1 nats: the sticks end on the gray curve."
NEAR, FAR = "Near x the circles soon overlap.", "Near x the prior sets few, far apart."


@pytest.mark.parametrize("gap, n, random, bet, said", [
    (0.517, 9, False, None, f"{HIGH} How many does it take? Bet, then add some."),
    (-0.0999, 9, False, "about 10", f"{RIGHT} Here it takes 9: you were right. {NEAR}"),
    (-2, 31, False, "about 10", f"{LOW} Here it takes 31: you were right. {NEAR}"),
    (-2, 32, False, "about 100", f"{LOW} Here it takes 32: you were right. {FAR}"),
    (-2, 100, False, "about 10", f"{LOW} Here it takes 100: not “about 10”, as you bet. {FAR}"),
    (-2, None, False, "more", f"{LOW} Here it takes more than 100: you were right. {FAR}"),
    (0.0999, 9, True, "about 10", f"{RIGHT} At random it takes about V / 0.1² = 95 for 0.1 nats; evenly spread 9."),
])  # fmt: skip
def test_what_is_said(tab, gap, n, random, bet, said):
    script = "here => Explorers.curve.reading({...here, n: here.n ?? Infinity})"
    assert tab.evaluate(script, dict(gap=gap, n=n, draws=95.2, random=random, bet=bet)) == said


# What is drawn


def circles(found: Locator) -> np.ndarray:
    names = ["cx", "cy", "rx", "ry", "fill-opacity"]
    script = "(all, names) => all.map(node => names.map(name => Number(node.getAttribute(name))))"
    return np.array(found.locator("ellipse").evaluate_all(script, names))


def across(x):
    return 38 + (np.asarray(x) + 2) * 312 / 4


def down(y):
    return 338 - (np.asarray(y) + 1) * 328 / 4.2


def test_each_z_has_its_circle_filled_by_its_share(tab, found):
    move(found, "Number of Gaussians", 9)
    z = evenly(9)
    shares = ask(tab, "shares", [0.1, 0.8], z.tolist(), 0.3, log_mixture([0.1, 0.8], z, 0.3))
    sizes = np.full(9, 0.3 * 312 / 4), np.full(9, 0.3 * 328 / 4.2)
    assert np.abs(circles(found) - np.stack([across(z / 2), down(z**2 / 2), *sizes, shares], -1)).max() < 1e-9
    grip = re.findall(r"-?[\d.]+", found.locator(".handle").get_attribute("transform"))
    assert close([float(part) for part in grip], [across(0.1).item(), down(0.8).item()], 1e-6)


def test_the_ink_is_as_dense_as_the_mixture(tab, found):
    move(found, "Number of Gaussians", 2)
    address = found.locator("svg image").get_attribute("href")
    picture = np.array(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))
    x1, x2 = np.linspace(-2, 2, 81), np.linspace(-1, 3.2, 85)
    dense = np.array(ask(tab, "lattice", x1.tolist(), x2.tolist(), evenly(2).tolist(), 0.3))[::-1]  # the top row first
    assert picture.shape == (85, 81, 4)
    assert np.abs(picture[..., 3] - 230 * dense / dense.max()).max() <= 1
    image = found.locator("svg image")
    step = 4 / 80, 4.2 / 84
    box = [number(image, name) for name in ("x", "y", "width", "height")]
    left, top = across(-2 - step[0] / 2).item(), down(3.2 + step[1] / 2).item()
    assert close(box, [left, top, 81 * step[0] * 78, 85 * step[1] * 328 / 4.2], 1e-6)


def sticks(found: Locator) -> np.ndarray:
    """z and height of each."""
    ends = re.findall(r"M(-?[\d.]+) (-?[\d.]+)L(-?[\d.]+) (-?[\d.]+)", found.locator(".stick").get_attribute("d"))
    foot, low, head, high = np.array(ends, dtype=float).T
    assert (foot == head).all() and (low == 150).all()
    return np.stack([(foot - 38) * 6 / 312 - 3, (150 - high) * 1.6 / 140], -1)


@pytest.mark.parametrize("K", [3, 40])
def test_all_sticks_miss_the_posterior_by_the_error_of_the_evidence(found, K):
    move(found, "Number of Gaussians", K)
    area = curve(found.locator(".area"))[1:-1]
    z, height = (area[:, 0] - 38) * 6 / 312 - 3, (150 - area[:, 1]) * 1.6 / 140
    exact = np.exp(norm.logpdf(z) + log_likelihood([0.1, 0.8], z, 0.3))
    assert np.abs(height - exact / exact.max()).max() < 1e-3
    _, _, _, _, gap = values(found)
    at, tall = sticks(found).T
    posterior = np.exp(norm.logpdf(at) + log_likelihood([0.1, 0.8], at, 0.3)) / exact.max()
    assert np.abs(at - evenly(K)).max() < 2e-4 and np.abs(tall - posterior * math.exp(-gap)).max() < 2e-3


def test_the_table_has_both_numbers_and_their_difference(found):
    place(found, 1.0, 2.0)
    move(found, "Number of Gaussians", 12)
    _, _, mixture, exact, gap = values(found)
    assert mixture == pytest.approx(log_mixture([1.0, 2.0], evenly(12), 0.3), abs=1e-9)
    assert exact == pytest.approx(moment([1.0, 2.0], 0.3, 1), abs=1e-9) and gap == mixture - exact


def test_a_bet_draws_and_a_way_back(tab, found):
    said = found.get_by_role("status")
    assert said.inner_text().endswith("Bet, then add some.")
    found.get_by_role("button", name="about 100", exact=True).click()
    assert said.inner_text() == f"{HIGH} Here it takes 9: not “about 100”, as you bet. Near x the circles soon overlap."
    pressed = lambda: [found.get_by_role("button", name=name).get_attribute("aria-pressed")  # noqa: E731
                       for name in ("spread evenly", "draw z at random")]  # fmt: skip
    assert pressed() == ["true", "false"]
    found.get_by_role("button", name="draw z at random").click()
    first, words = circles(found), said.inner_text()
    assert pressed() == ["false", "true"] and words.endswith("V / 0.1² = 95 for 0.1 nats; evenly spread 9.")
    found.get_by_role("button", name="draw z at random").click()
    assert not np.allclose(first, circles(found))
    found.get_by_role("button", name="spread evenly").click()
    assert np.abs(circles(found)[:, 0] - across(evenly(3) / 2)).max() < 1e-9


def test_the_point_is_dragged_and_the_sliders_have_keys(tab, found):
    before = values(found)[3]
    x, y = middle(found.locator(".grip"))
    side = found.locator("svg").first.evaluate("node => node.getScreenCTM().a") * 78
    drag(tab, (x, y), (x + 0.9 * side, y - side))
    assert before != values(found)[3]
    spoken = found.locator(".handle").get_attribute("aria-valuetext")
    assert [float(part) for part in re.findall(r"-?\d\.\d+", spoken)] == pytest.approx([1.0, 1.8], abs=0.05)
    count = found.get_by_role("slider", name="Number of Gaussians", exact=True)
    count.press("ArrowRight")
    assert values(found)[0] == 4 and len(circles(found)) == 4
    count.press("End")
    assert values(found)[0] == 100 and len(circles(found)) == 100
