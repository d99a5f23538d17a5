"""One gray pixel: losses are the package's, areas, means and best logits SciPy's, and nothing tells before the bet."""

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from driving import alive, close, curve, explorer, number, values
from playwright.sync_api import Locator, Page
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from vae_tutorial.likelihoods import continuous_bernoulli

LOGITS = [-8.0, -4.0, -0.4, 0.2, 3.0, 8.0]
GRAYS = [0.0, 1 / 16, 7 / 16, 0.8, 1.0]
BETS = ["always 1", "the same, but not 1", "it depends on ℓ"]


@pytest.fixture
def found(tab) -> Locator:
    """The explorer after a bet."""
    found = explorer(tab, "likelihoods")
    found.get_by_role("button", name=BETS[0], exact=True).click()
    put(found, -0.4, 7 / 16)
    return found


def put(found: Locator, logit: float, x: float) -> None:
    found.get_by_role("slider", name="Logit that the decoder says", exact=True).fill(f"{logit:g}")
    found.get_by_role("slider", name="Gray value of the pixel", exact=True).fill(f"{x:g}")


def ask(tab: Page, name: str, *arguments):
    return tab.evaluate(f"all => Explorers.likelihoods.{name}(...all)", list(arguments))


def cross_entropy(x, logit) -> torch.Tensor:
    x, logit = (torch.as_tensor(part, dtype=torch.float64) for part in (x, logit))
    return F.binary_cross_entropy_with_logits(*torch.broadcast_tensors(logit, x), reduction="none")


def area(logit: float) -> float:
    """Under e to the minus cross-entropy, by adaptive quadrature."""
    return quad(lambda x: math.exp(-cross_entropy(x, logit).item()), 0, 1, epsabs=1e-14, epsrel=1e-12)[0]


def log_density(x, logit: float) -> torch.Tensor:
    return -cross_entropy(x, logit) - math.log(area(logit))


# What is computed


@pytest.mark.parametrize("logit", LOGITS)
def test_the_losses_are_the_packages(tab, logit):
    x = torch.tensor(GRAYS, dtype=torch.float64)[:, None]
    density = continuous_bernoulli.log_prob(x, torch.full_like(x, logit))
    assert close([ask(tab, "crossEntropy", gray, logit) for gray in GRAYS], cross_entropy(GRAYS, logit), 1e-12)
    assert close([ask(tab, "wholeLoss", gray, logit) for gray in GRAYS], -density, 1e-12)
    assert close(density, log_density(GRAYS, logit), 1e-10)


@pytest.mark.parametrize("logit", [*LOGITS, 0.0, 1e-6])
def test_the_area_is_that_of_quadrature(tab, logit):
    assert ask(tab, "mass", logit) == pytest.approx(area(logit), rel=1e-11)


@pytest.mark.parametrize("logit", [-30.0, -8.0, -0.0101, -0.0099, 0.0, 1e-3, 1.0])
def test_the_mean_is_that_of_quadrature(tab, logit):
    exact = quad(lambda x: x * math.exp(-cross_entropy(x, logit).item()), 0, 1, epsabs=1e-14)[0] / area(logit)
    assert ask(tab, "mean", logit) == pytest.approx(exact, abs=1e-10)


@pytest.mark.parametrize("x", [1 / 16, 7 / 16, 0.5, 0.8])
def test_the_best_logits_have_the_least_loss(tab, x):
    for name, loss in (("cheapestRaw", cross_entropy), ("cheapest", lambda x, logit: -log_density(x, logit))):
        best = minimize_scalar(lambda logit: loss(x, logit).item(), bounds=(-40, 40), method="bounded")  # noqa: B023
        shown = ask(tab, name, x)
        assert shown == pytest.approx(best.x, abs=1e-3)
        assert loss(x, shown).item() <= best.fun + 1e-12
    assert ask(tab, "mean", ask(tab, "cheapest", x)) == pytest.approx(x, abs=1e-12)


def test_black_and_white_have_no_best_logit(tab):
    script = (
        "() => [0, 1].flatMap(x => ['cheapestRaw', 'cheapest'].map(name => String(Explorers.likelihoods[name](x))))"
    )
    assert tab.evaluate(script) == ["-Infinity", "-Infinity", "Infinity", "Infinity"]


DEPENDS = "As you bet, the area depends on ℓ."
TOO_MUCH = "nats too much, at every gray value alike."
CHARGES = "the cross-entropy charges"


@pytest.mark.parametrize("x, logit, bet, said", [
    (0.4375, -0.4, None, "For the decoder white has the probability 0.40. A density’s area is 1: is that of the "
     "vermilion curve? Bet."),
    (0.4375, -4, BETS[2], f"{DEPENDS} Here it is 0.24: {CHARGES} 1.42 {TOO_MUCH} For this x its best ℓ is −0.3, "
     "the density’s −0.8: it keeps a decoder timid."),
    (0.4375, 0, BETS[1], "Not “the same, but not 1”: the area depends on ℓ. Here it is 0.50: "
     f"{CHARGES} 0.69 {TOO_MUCH} The area is never more than one half."),
    (0.125, -2, BETS[2], f"{DEPENDS} Here it is 0.38: {CHARGES} 0.97 {TOO_MUCH} For this x its best ℓ is −1.9, "
     "the density’s −8.0: it keeps a decoder timid."),
    (0.5, -2, BETS[2], f"{DEPENDS} Here it is 0.38: {CHARGES} 0.97 {TOO_MUCH} For this x both have their best ℓ at 0."),
    (0, -8, BETS[2], f"{DEPENDS} Here it is 0.12: {CHARGES} 2.08 {TOO_MUCH} For black both losses want ℓ without end."),
    (1, -8, BETS[2], f"{DEPENDS} Here it is 0.12: {CHARGES} 2.08 {TOO_MUCH} For white both losses want ℓ without end."),
])  # fmt: skip
def test_what_is_said(tab, x, logit, bet, said):
    assert ask(tab, "reading", x, logit, bet) == said


# What is drawn, and what hands do


def test_nothing_tells_before_the_bet(tmp_path, browser):
    with alive(browser, tmp_path, "likelihoods") as fresh:
        found = explorer(fresh, "likelihoods")
        put(found, -3, 0.25)
        assert number(found.locator("rect.gap"), "width") == 0
        assert found.locator("svg").nth(2).locator(".note").all_text_contents() == ["cross-entropy: ?", "density"]
        shown = values(found.locator("table"))
        assert [math.isnan(value) for value in shown] == [True, False, False, True, True, True]
        found.get_by_role("button", name=BETS[2], exact=True).click()
        assert found.get_by_role("status").inner_text().startswith(DEPENDS)
        assert not any(math.isnan(value) for value in values(found.locator("table")))


@pytest.mark.parametrize("logit, x", [(-0.4, 7 / 16), (3.0, 0.75)])
def test_curves_dots_and_bars_are_where_the_numbers_say(found, logit, x):
    put(found, logit, x)
    grays = np.linspace(0, 1, 101)
    place = lambda x, height: np.stack([38 + np.asarray(x) * 312, 240 - np.asarray(height) * 230 / 3], -1)  # noqa: E731
    raw, whole = (-cross_entropy(grays, logit)).exp().numpy(), log_density(grays, logit).exp().numpy()
    area_drawn = curve(found.locator("path.posterior"))
    assert np.abs(area_drawn[1:-1] - place(grays, raw)).max() < 0.00501
    assert close(area_drawn[[0, -1]], place([0, 1], [0, 0]), 1e-9)
    assert np.abs(curve(found.locator(".curve.all")) - place(grays, whole)).max() < 0.00501
    for name, height in (("posterior", (-cross_entropy(x, logit)).exp()), ("whole", log_density(x, logit).exp())):
        dot = found.locator(f"circle.{name}")
        assert close([number(dot, "cx"), number(dot, "cy")], place(x, height.item()), 1e-6)
    at = re.match(r"M([\d.]+) ", found.locator("svg").first.locator(".mark").get_attribute("d"))[1]
    assert float(at) == pytest.approx(38 + 312 * x)
    widths = [number(found.locator(f"rect.{name}"), "width") * 1.4 / 340 for name in ("gap", "whole")]
    assert close(widths, [area(logit), 1], 1e-9)


def test_the_table_says_the_same(found, tab):
    put(found, -4, 0.25)
    expected = [
        area(-4),
        1,
        cross_entropy(0.25, -4.0),
        -log_density(0.25, -4.0),
        math.log(1 / 3),
        ask(tab, "cheapest", 0.25),
    ]
    assert close(values(found.locator("table")), [float(value) for value in expected], 1e-9)
    put(found, -4, 0)
    assert found.locator("td .explorer-number").all_inner_texts()[4:] == ["–", "–"]


def test_the_excess_is_the_same_at_every_gray_value(found):
    excess = []
    for x in (0, 0.25, 1):
        put(found, 5, x)
        shown = values(found.locator("table"))
        excess.append(shown[2] - shown[3])
    assert close(excess, [-math.log(area(5))] * 3, 1e-9)


def test_the_keys_move_a_step(found):
    found.get_by_role("slider", name="Logit that the decoder says", exact=True).press("ArrowRight")
    found.get_by_role("slider", name="Gray value of the pixel", exact=True).press("ArrowLeft")
    assert close(values(found)[:2], [-0.2, 0.375], 1e-12)
