"""The explorer of the discriminator: losses by SciPy's quadrature, the least one by the package, logits by torch."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from driving import close, curve, explorer, move, values
from playwright.sync_api import Locator, Page
from scipy.integrate import quad
from scipy.optimize import brentq
from torch.distributions import Normal, kl_divergence

from vae_tutorial.reference import kl_quadrature

Q, P = (Normal(*torch.tensor(pair, dtype=torch.float64)) for pair in ((1.0, 0.6), (0.0, 1.0)))
SLIDERS = "Offset of the logit", "Slope of the logit", "Curvature of the logit"
LOGITS = [(0.3, -1.2, 0.7), (-0.9, 2.8, -0.9), (3.0, -5.0, 2.0), (-2.1, 0.4, 0.0), (0.0, 0.0, 0.0)]
START = "It says 1/2 everywhere: the loss is 2 log 2, and would be so for any two heaps."


def ratio(z) -> torch.Tensor:
    return Q.log_prob(torch.as_tensor(z)) - P.log_prob(torch.as_tensor(z))


def parabola(T, z) -> torch.Tensor:
    return torch.as_tensor(np.polyval(T[::-1], z))


def cross_entropy(logit: torch.Tensor, z) -> torch.Tensor:
    """The loss of a logit at z, for both labels, by torch."""
    both = zip((Q, P), (1.0, 0.0), strict=True)
    return sum(
        heap.log_prob(torch.as_tensor(z)).exp()
        * F.binary_cross_entropy_with_logits(logit, torch.full_like(logit, label), reduction="none")
        for heap, label in both
    )


def integral(f) -> float:
    return quad(lambda z: float(f(np.float64(z))), -9, 9, epsabs=1e-12, epsrel=1e-12, limit=400, points=[0, 1])[0]


def loss(T) -> float:
    return integral(lambda z: cross_entropy(parabola(T, z), z))


def jensen_shannon() -> float:
    mixed = lambda z: torch.stack([heap.log_prob(z[:, 0]) for heap in (Q, P)]).logsumexp(0) - math.log(2)  # noqa: E731
    halves = [kl_quadrature(lambda z, h=heap: h.log_prob(z[:, 0]), mixed, [-9.0], [9.0], 3601) for heap in (Q, P)]
    return 0.5 * sum(half.item() for half in halves)


def ask(tab: Page, call: str, *arguments):
    return tab.evaluate(f"all => Explorers.game.{call}(...all)", list(arguments))


@pytest.mark.parametrize("T", LOGITS)
def test_loss_and_mean_are_scipys(tab, T):
    assert ask(tab, "loss", T) == pytest.approx(loss(T), rel=1e-10)
    second = 1 + 0.6**2
    assert ask(tab, "meanLogit", T) == pytest.approx(T[0] + T[1] + T[2] * second, abs=1e-10)


def test_the_least_loss_is_that_of_the_log_ratio_and_leaves_the_divergences(tab):
    least = integral(lambda z: cross_entropy(ratio(z), z))
    found = tab.evaluate("() => [Explorers.game.LEAST, Explorers.game.JS, Explorers.game.KL]")
    assert found == pytest.approx([least, jensen_shannon(), kl_divergence(Q, P).item()], rel=1e-10)


def test_the_log_ratio_and_the_waste_are_torchs(tab):
    z = np.linspace(-4, 4, 33)
    script = "([T, zs]) => zs.map(z => [Explorers.game.logRatio(z), Explorers.game.excessAt(T, z)])"
    for T in LOGITS:
        found = torch.tensor(tab.evaluate(script, [T, z.tolist()]), dtype=torch.float64)
        wasted = cross_entropy(parabola(T, z), z) - cross_entropy(ratio(z), z)
        assert close(found, torch.stack([ratio(z), wasted], -1), 1e-11) and (wasted > -1e-15).all()


def test_the_densities_are_equal_at_two_places(tab):
    exact = [brentq(lambda z: ratio(z).item(), *ends) for ends in ((0, 1.5), (1.5, 4))]
    assert close(tab.evaluate("Explorers.game.equal"), exact, 0.01)  # the step of the grid
    assert [f"{z:.2f}" for z in exact] == ["0.36", "2.77"]


def set_to(found: Locator, T) -> str:
    for name, value in zip(SLIDERS, T, strict=True):
        move(found, name, value)
    return found.get_by_role("status").inner_text()


def hill(T) -> str:
    z = np.linspace(-9, 9, 1801)
    worst = z[(cross_entropy(parabola(T, z), z) - cross_entropy(ratio(z), z)).argmax()]
    given, true = (100 * torch.sigmoid(logit).item() for logit in (parabola(T, worst), ratio(worst)))
    at = f"{worst:.1f}".replace("-", "−")
    shares = f"it gives q {given:.0f} %, and q has {true:.0f} % of the draws there"
    return f"Most is lost where the hill is highest: at z = {at} {shares}."


@pytest.mark.parametrize("T", [(-0.9, 1.4, 0.0), (1.0, 1.0, -0.5), (-2.0, 2.8, -0.9)])
def test_the_sentence_above_the_least_loss(tab, T):
    above = loss(T) - 2 * math.log(2) + 2 * jensen_shannon()
    assert set_to(explorer(tab, "game"), T) == f"{above:.3f} nats above the least. {hill(T)}"


@pytest.mark.parametrize("T", [(3.0, -5.0, 2.0), (0.0, -0.5, 0.0)])
def test_the_sentence_of_who_is_worse_than_a_coin(tab, T):
    assert loss(T) > 2 * math.log(2)
    assert set_to(explorer(tab, "game"), T) == f"Worse than a coin, whose loss is 1.386. {hill(T)}"


def test_the_sentences_at_the_start_and_at_the_best(tab):
    found = explorer(tab, "game")
    assert set_to(found, (0, 0, 0)) == START
    best = (-0.9, 2.8, -0.9)
    off = abs(parabola(best, -4.0) - ratio(-4.0)).item()
    assert loss(best) - 2 * math.log(2) + 2 * jensen_shannon() < 0.001
    assert set_to(found, best) == (
        f"As good as the best to 0.001 nats. At z = −4 its logit is off by {off:.1f} nats: no draws come from there, "
        "so no loss tells."
    )
    # One step of a slider away it is no longer that good.
    assert "above the least" in set_to(found, (-0.9, 2.7, -0.9))


@pytest.mark.parametrize("T", LOGITS[:3])
def test_the_table_has_both_columns(tab, T):
    found = explorer(tab, "game")
    set_to(found, T)
    js = jensen_shannon()
    mean = T[0] + T[1] + 1.36 * T[2]
    expected = [loss(T), 2 * math.log(2) - 2 * js, math.log(2) - loss(T) / 2, js, mean, kl_divergence(Q, P).item()]
    assert values(found.locator("table")) == pytest.approx(expected, abs=1e-9)


def test_everything_is_drawn_where_the_numbers_say(tab):
    found = explorer(tab, "game")
    T = (-0.9, 1.4, 0.2)
    set_to(found, T)
    above, below = (found.locator("svg[role=img]").nth(i) for i in (0, 1))
    z = np.linspace(-4, 4, 161)
    across = 38 + (z + 4) * 312 / 8
    drawn = lambda heights: np.stack([across, heights], -1)  # noqa: E731
    up = lambda density: 200 - density.numpy() * 190 / 0.8  # noqa: E731
    high = lambda logit: 290 - (logit.numpy() + 12) * 280 / 18  # noqa: E731
    density = lambda heap: heap.log_prob(torch.tensor(z)).exp()  # noqa: E731
    wasted = cross_entropy(parabola(T, z), z) - cross_entropy(ratio(z), z)
    assert np.abs(curve(above.locator(".curve.q")) - drawn(up(density(Q)))).max() < 0.00501
    assert np.abs(curve(above.locator(".area"))[1:-1] - drawn(up(density(P)))).max() < 0.00501
    assert np.abs(curve(above.locator(".posterior"))[1:-1] - drawn(up(wasted))).max() < 0.00501
    assert np.abs(curve(below.locator(".curve.q")) - drawn(high(parabola(T, z)))).max() < 0.00501
    assert np.abs(curve(below.locator(".aim")) - drawn(high(ratio(z)))).max() < 0.00501


def test_the_best_logit_is_hidden_until_there_is_a_bet(tab):
    tab.reload()
    tab.wait_for_selector(".explorer-game .explorer-live")
    found = explorer(tab, "game")
    name = found.get_by_text("the best, dashed")
    assert found.locator(".aim").get_attribute("visibility") == name.get_attribute("visibility") == "hidden"
    for answer, won in (("at one place", False), ("at two places", True), ("nowhere", False)):
        found.get_by_role("button", name=answer).click()
        assert found.locator(".aim").get_attribute("visibility") == name.get_attribute("visibility") == "visible"
        start = "You were right" if won else "Not as you bet"
        said = found.get_by_role("status").inner_text()
        assert said.startswith(f"{start}: at z = 0.36 and 2.77 the densities are equal")


def test_the_keys_move_the_sliders(tab):
    found = explorer(tab, "game")
    set_to(found, (0, 0, 0))
    for name, key in zip(SLIDERS, ("ArrowRight", "ArrowUp", "ArrowLeft"), strict=True):
        for _ in range(3):
            found.get_by_role("slider", name=name, exact=True).press(key)
    assert values(found)[:3] == pytest.approx([0.3, 0.3, -0.3])
    ends = [[slider.get_attribute(name) for name in ("min", "max", "step")] for slider in found.locator("input").all()]
    assert ends == [["-3", "3", "0.1"], ["-5", "5", "0.1"], ["-2", "2", "0.1"]]
