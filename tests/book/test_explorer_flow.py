"""The explorer of a flow: its numbers against the package's layer, SciPy, and a divergence through the inverse."""

import math
import re

import numpy as np
import pytest
import torch
from driving import close, curve, explorer, move, rows, values
from playwright.sync_api import Page
from scipy.integrate import quad
from scipy.optimize import brentq, minimize
from scipy.stats import norm
from torch.nn.functional import softplus

from vae_tutorial.flows import Planar
from vae_tutorial.gaussian import log_standard_normal
from vae_tutorial.likelihoods import normal
from vae_tutorial.reference import log_marginal_quadrature

PLACES = [(0.82, -2.1, 0.0, 2.0), (0.14, -2.5, 0.72, 7.2), (-0.4, -0.7, -0.3, 2.5), (0.5, -3.0, 1.1, 0.6)]
NAMES = ("Mean of the Gaussian", "Log-variance of the Gaussian", "Push", "Sharpness")
FOLDED = (0.3, -1.0, -0.4, 3.0)


def log_joint(z: np.ndarray) -> np.ndarray:
    z = torch.as_tensor(z, dtype=torch.float64).reshape(-1, 1)
    x = torch.tensor([[0.1, 0.8]], dtype=torch.float64).expand(len(z), 2)
    return (log_standard_normal(z) + normal(math.log(0.09)).log_prob(x, torch.cat([z / 2, z**2 / 2], -1))).numpy()


LOG_PX = log_marginal_quadrature(lambda z: torch.tensor(log_joint(z)), [-8.0], [8.0], 4001).item()


def log_posterior(z: float) -> float:
    return log_joint(np.array([z])).item() - LOG_PX


def layer(u_hat: float, v: float) -> Planar:
    """The package's layer with this push; its free u is found from it."""
    found = Planar(1, seed=0).double()
    m = lambda t: softplus(torch.tensor(t, dtype=torch.float64)).item() - 1  # noqa: E731
    with torch.no_grad():
        u = brentq(lambda t: m(t) - u_hat * v, -40, 40, xtol=1e-14) / v
        found.weight.copy_(torch.tensor([u, v, 0], dtype=torch.float64))
    return found


def package(q: tuple[float, ...], eps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z and the logarithm of the slope."""
    mu, log_var, *bend = q
    with torch.no_grad():
        z, log_det = layer(*bend)(mu + math.exp(0.5 * log_var) * torch.as_tensor(eps)[:, None])
    return z[:, 0].numpy(), log_det.numpy() + 0.5 * log_var


def divergence(q: tuple[float, ...]) -> float:
    """KL(q ‖ posterior) over z, through the layer's inverse."""
    mu, log_var, *bend = q
    nodes, step = np.linspace(-7, 7, 14_001, retstep=True)
    with torch.no_grad():
        z_0, log_det = layer(*bend).inverse(torch.tensor(nodes)[:, None])
    log_q = norm.logpdf(z_0[:, 0], mu, math.exp(0.5 * log_var)) + log_det.numpy()
    return (np.exp(log_q) * (log_q - log_joint(nodes) + LOG_PX)).sum() * step


def terms(tab: Page, q) -> dict[str, float]:
    return tab.evaluate("q => Explorers.flow.terms(q)", q)


@pytest.mark.parametrize("q", PLACES)
def test_the_bend_is_the_packages_planar_layer(tab, q):
    eps = np.linspace(-4, 4, 33)
    shown = rows(tab, "([q, all]) => all.map(e => Object.values(Explorers.flow.bend(q, e)))", [q, eps.tolist()])
    z, log_slope = package(q, eps)
    assert close(shown[:, 0], z, 1e-12) and close(shown[:, 1].log(), log_slope, 1e-11)


@pytest.mark.parametrize("q", PLACES)
def test_the_terms_are_those_of_quadrature_and_the_gap_is_the_divergence(tab, q):
    found = terms(tab, q)
    eps, weights = np.polynomial.legendre.leggauss(600)
    weights = 9 * weights * norm.pdf(9 * eps)
    z, log_slope = package(q, 9 * eps)
    assert found["joint"] == pytest.approx(weights @ log_joint(z), abs=1e-9)
    assert found["logDet"] == pytest.approx(weights @ log_slope - q[1] / 2, abs=1e-9)
    assert found["entropy"] == pytest.approx(norm(0, math.exp(q[1] / 2)).entropy(), abs=1e-12)
    assert found["elbo"] == pytest.approx(found["joint"] + found["entropy"] + found["logDet"], abs=1e-12)
    assert found["elbo"] + found["gap"] == pytest.approx(LOG_PX, abs=1e-10)
    assert found["gap"] == pytest.approx(divergence(q), abs=1e-9)


def test_the_exact_map_keeps_shares(tab):
    for z in (-1.4, -0.06, 0.0, 0.9):
        share = quad(lambda t: math.exp(log_posterior(t)), -7, z, epsabs=1e-12)[0]
        found = tab.evaluate("z => Explorers.flow.exact(z)", z)
        assert found["eps"] == pytest.approx(norm.ppf(share), abs=1e-8)
        assert found["slope"] == pytest.approx(norm.pdf(found["eps"]) / math.exp(log_posterior(z)), rel=1e-9)
        assert tab.evaluate("z => Explorers.flow.below(z)", z) == pytest.approx(norm.cdf(z), abs=1e-10)


@pytest.mark.parametrize("q", PLACES)
def test_the_shares_and_their_price(tab, q):
    draws = package(q, norm.ppf((np.arange(20_000) + 0.5) / 20_000))[0]
    found = tab.evaluate("q => Explorers.flow.shares(q)", q)
    assert found["left"] == pytest.approx((draws < 0).mean(), abs=1e-4)
    share = quad(lambda t: math.exp(log_posterior(t)), -7, 0, epsabs=1e-12)[0]
    p = np.array([found["left"], 1 - found["left"]])
    assert found["cost"] == pytest.approx((p * np.log(p / [share, 1 - share])).sum(), abs=1e-8)
    assert 0 <= found["cost"] <= terms(tab, q)["gap"]


def test_the_search_arrives_where_scipys_does_but_for_a_notch(tab):
    script = "([q, ...free]) => Explorers.flow.search(q, ...free)"
    gap = lambda p: terms(tab, list(p))["gap"]  # noqa: E731
    start = [0.2, -2.4, 0.7, 7.0]
    best = minimize(lambda p: gap(p) if p[2] * p[3] > -1 else 9, start, method="Nelder-Mead", options=dict(fatol=1e-7))
    for begin in (start, PLACES[0], PLACES[3]):
        assert tab.evaluate(script, [begin])["gap"] == pytest.approx(best.fun, abs=5e-4)
    assert 0.014 < best.fun < 0.02
    gaussian = minimize(lambda p: gap([*p, 0, 2]), [0.7, -2.0], method="Nelder-Mead")
    assert tab.evaluate(script, [[0.5, -1.0, 0, 2], [0, 1]])["gap"] == pytest.approx(gaussian.fun, abs=2e-4)
    assert tab.evaluate(script, [[0.5, 0, 1, 1]])["gap"] > 0.37  # from there it ends at the best Gaussian, unbent


def test_what_is_said_at_each_kind_of_position(tab):
    say = lambda q, bet=None: tab.evaluate("a => Explorers.flow.verdict(...a)", [q, 0.3792, bet])  # noqa: E731
    assert say(PLACES[0]).startswith("No push, no bend: q is a Gaussian, and leaves 0.379 nats.")
    assert say([*PLACES[0][:2], 0.5, 0]).startswith("No sharpness, no bend")
    assert say(FOLDED) == "ûv = −1.20, not above −1: the line folds, and two noises have one image."
    near = "0.015 nats remain of 0.379: a narrow bell, pulled apart where it is steepest."
    assert say(PLACES[1]) == near
    assert say(PLACES[1], "under 0.02") == "You were right. " + near
    assert say(PLACES[1], "0.1 nats") == "Not as you bet. " + near
    q = PLACES[3]
    left, slope = 100 * norm.cdf(-0.5 / math.exp(-1.5)), math.exp(-1.5) * (1 + 1.1 * 0.6)
    numbers = [float(n) for n in re.findall(r"\d+\.?\d*", say(q))]
    assert numbers[:3] == [0, round(left), 29] and numbers[4] == pytest.approx(terms(tab, q)["gap"], abs=5e-4)
    assert numbers[6] == pytest.approx(slope, abs=0.05) and numbers[7] == pytest.approx(2.2, abs=0.1)


def test_the_drawing_stands_where_the_numbers_say(tab):
    found = explorer(tab, "flow")
    q = PLACES[1]
    for name, value in zip(NAMES, q, strict=True):
        move(found, name, value)
    e = np.linspace(-3.2, 3.2, 641)
    z, log_slope = package(q, e)
    across = lambda x: 38 + (x + 3.2) * 312 / 9.4  # noqa: E731
    up = lambda y: 290 - (y + 2.9) * 280 / 4.9  # noqa: E731
    map_, density, slope = (curve(found.locator(".curve.q").nth(i)) for i in range(3))
    assert np.abs(map_ - np.stack([across(e), up(z)], -1)).max() < 0.00501
    bent = 3.3 + 2 * norm.pdf(e) / np.exp(log_slope)
    assert np.abs(density - np.stack([across(bent), up(z)], -1)).max() < 0.00501
    assert np.abs(slope - np.stack([across(e), 130 - (log_slope + 3) * 120 / 6], -1)).max() < 0.00501
    threads = found.locator(".threads").get_attribute("d")
    at = np.array([[float(n) for n in thread] for thread in re.findall(r"M([\d.]+) [\d.]+V(-?[\d.]+)H", threads)])
    shares = norm.cdf((at[:, 0] - 38) * 9.4 / 312 - 3.2)
    assert np.abs(shares - np.linspace(1 / 40, 39 / 40, 20)).max() < 0.01
    assert np.abs(at[:, 1] - np.interp(at[:, 0], map_[:, 0], map_[:, 1])).max() < 0.02


def test_the_table_adds_up_and_a_fold_has_no_number(tab):
    found = explorer(tab, "flow")
    for name, value in zip(NAMES, PLACES[2], strict=True):
        move(found, name, value)
    joint, entropy, log_det, elbo, evidence, gap = values(found.locator("table"))
    assert elbo == pytest.approx(joint + entropy + log_det, abs=1e-12)
    assert gap == pytest.approx(evidence - elbo, abs=1e-12)
    for name, value in zip(NAMES, FOLDED, strict=True):
        move(found, name, value)
    assert found.locator("table td").last.inner_text().strip() == "–"
    assert [found.locator(".curve.q").nth(i).get_attribute("d") for i in (1, 2)] == ["", ""]


def test_a_bet_by_keyboard_and_the_search(tab):
    found = explorer(tab, "flow")
    for name, value in zip(NAMES, PLACES[0], strict=True):
        move(found, name, value)
    slider = found.get_by_role("slider", name="Push", exact=True)
    slider.press("ArrowRight")
    assert slider.input_value() == "0.02" and "Left of 0" in found.get_by_role("status").inner_text()
    found.get_by_role("button", name="under 0.02").press("Enter")
    found.get_by_role("button", name="Search from here").press("Enter")
    assert found.get_by_role("status").inner_text().startswith("You were right. 0.01")
    assert values(found.locator("table"))[-1] < 0.02
