"""The explorer of the Gaussian KL: its landscape, its pull, and what is said of both."""

import math
import re

import numpy as np
import pytest
import torch
from driving import close, curve, drag, explorer, middle, painted, rows, values
from playwright.sync_api import Locator
from scipy.stats import norm
from torch.distributions import Normal

from vae_tutorial.gaussian import kl_standard_normal
from vae_tutorial.reference import kl_quadrature

PLACES = [(2.0, -4.0), (-1.3, 0.9), (0.4, -0.2), (-3.1, 2.4), (0.0, -5.0)]
SCALE = 48.75  # points of the drawing to a unit, on both axes


@pytest.fixture
def found(tab) -> Locator:
    return explorer(tab, "kl")


def divergence(mu: torch.Tensor, log_var: torch.Tensor) -> torch.Tensor:
    """By quadrature, differentiable."""
    q, p = Normal(mu, torch.exp(0.5 * log_var)), Normal(0.0, 1.0)
    reach = 12 * q.stddev.item()
    return kl_quadrature(lambda z: q.log_prob(z[:, 0]), lambda z: p.log_prob(z[:, 0]),
                         [mu.item() - reach], [mu.item() + reach], 2001)  # fmt: skip


def put(found: Locator, mu: float, log_var: float) -> None:
    """Take the point there by the keys: multiples of 0.5 and of 0.05 from the prior."""
    handle = found.locator(".handle")
    handle.press("Home")
    for value, low, high in ((mu, "ArrowLeft", "ArrowRight"), (log_var, "ArrowDown", "ArrowUp")):
        long, short = divmod(round(abs(value) / 0.05), 10)
        for key, times in ((f"Shift+{low if value < 0 else high}", long), (low if value < 0 else high, short)):
            for _ in range(times):
                handle.press(key)


def said(found: Locator) -> str:
    return found.get_by_role("status").inner_text()


def onto(points: np.ndarray) -> np.ndarray:
    """From the drawing to μ and log σ²."""
    return np.stack([(points[:, 0] - 194) / SCALE, 2.5 - (points[:, 1] - 10) / SCALE], -1)


@pytest.mark.parametrize("mu, log_var", PLACES)
def test_the_parts_add_up_to_the_quadrature_and_the_pull_is_minus_its_derivative(tab, mu, log_var):
    q = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (mu, log_var)]
    exact = divergence(*q)
    slope = torch.autograd.grad(exact, q)
    part = tab.evaluate("q => Explorers.kl.parts(...q)", [mu, log_var])
    assert close(sum(part.values()), exact.detach(), 1e-10)
    zero = torch.zeros((), dtype=torch.float64)
    assert close(part["mean"], divergence(q[0].detach(), zero), 1e-10)
    assert close(part["variance"], divergence(zero, q[1].detach()), 1e-10)
    assert close(tab.evaluate("q => Explorers.kl.pull(...q)", [mu, log_var]), [-part.item() for part in slope], 1e-9)


@pytest.mark.parametrize("nats", [0.1, 1.0, 5.0])
def test_a_line_goes_once_around_the_prior_at_its_level(tab, nats):
    points = rows(tab, "nats => Explorers.kl.contour(nats)", nats)
    assert close(kl_standard_normal(points[:, :1], points[:, 1:]), torch.full((242,), nats, dtype=torch.float64), 1e-9)
    angles = np.unwrap(np.arctan2(*points.numpy().T[::-1]))
    assert (np.diff(angles) <= 1e-12).all() and angles[0] - angles[-1] == pytest.approx(2 * math.pi)
    assert np.abs(np.diff(angles)).max() < 0.2


def test_the_lines_are_drawn_and_named_where_they_are(tab, found):
    lines, names = found.locator(".contour"), found.locator("svg").first.locator(".note")
    levels = [0.1, 0.5, 1, 2, 3, 4, 5]
    assert names.all_text_contents() == ["0.1", "0.5", "1 nat", "2", "3", "4", "5"]
    assert ["one" in line.get_attribute("class") for line in lines.all()] == [level == 1 for level in levels]
    for level, line, name in zip(levels, lines.all(), names.all(), strict=True):
        places = torch.tensor(onto(curve(line)))
        heights = kl_standard_normal(places[:, :1], places[:, 1:])
        assert close(heights, torch.full((242,), level, dtype=torch.float64), 2e-3)
        x, y = (float(name.get_attribute(axis)) for axis in "xy")
        (mu, log_var) = onto(np.array([[x, y - 4]]))[0]
        at_name = kl_standard_normal(*(torch.tensor([[value]], dtype=torch.float64) for value in (mu, log_var)))
        assert mu < 0 and at_name.item() == pytest.approx(level)


@pytest.mark.parametrize("mu, log_var", [(2.0, -4.0), (-2.9, 2.4), (0.5, 0.7)])
def test_the_descent_is_that_of_gradient_steps_on_the_quadrature(tab, mu, log_var):
    places = rows(tab, "q => Explorers.kl.descent(q)", [mu, log_var])
    q = torch.tensor([mu, log_var], dtype=torch.float64)
    for place in places[:25]:
        assert close(place, q, 1e-9)
        leaf = q.clone().requires_grad_()
        (slope,) = torch.autograd.grad(divergence(leaf[0], leaf[1]), leaf)
        q = q - 0.1 * slope
    left = kl_standard_normal(places[:, :1], places[:, 1:])
    assert left[-1] < 0.0005 <= left[-2] and (left.diff() < 0).all()


def test_the_small_steps_follow_the_flow(tab):
    """In continuous time μ decays like exp(−s), and 1/σ² − 1 like exp(−s/2)."""
    places = rows(tab, "() => Explorers.kl.descent([2, -4])")
    s = 0.1 * torch.arange(len(places), dtype=torch.float64)
    flow = torch.stack([2 * torch.exp(-s), -torch.log1p((math.exp(4) - 1) * torch.exp(-s / 2))], -1)
    assert (places - flow).abs().max() < 0.06
    mean, variance = tab.evaluate("Explorers.kl.arrivals(Explorers.kl.descent([2, -4]))")
    assert mean * 0.1 == pytest.approx(math.log(2 / 0.1), rel=0.06)
    assert variance * 0.1 == pytest.approx(2 * math.log((math.exp(4) - 1) / math.expm1(0.1)), rel=0.06)


@pytest.mark.parametrize("mu, log_var, sentence", [
    (0.0, 0.0, "q is the prior: nothing pulls, and z says nothing about x."),
    (1.5, 0.0, "σ² is right: only the spring of the mean is left, with a pull of 1.50."),
    (0.0, -0.7, "σ² is 2.0 times too small, and pulled up with 0.25, never with more than 0.5. "
     "As many times too large, it would be pulled down 2.0 times as hard."),
    (1.0, -4.5, "σ² is 90 times too small, and pulled up with 0.49, never with more than 0.5. "
     "As many times too large, it would be pulled down 90 times as hard. "
     "Here the larger part of the KL has the weaker pull."),
    (0.5, 2.0, "σ² is 7.4 times too large, and pulled down with 3.19. "
     "As many times too small, it would be pulled up, but 7.4 times less."),
])  # fmt: skip
def test_what_is_said_of_a_place(found, mu, log_var, sentence):
    put(found, mu, log_var)
    assert said(found) == sentence
    up, down = (0.5 * math.expm1(side * abs(log_var)) for side in (-1, 1))
    assert log_var == 0 or -down / up == pytest.approx(math.exp(abs(log_var)))  # as many times as hard


@pytest.mark.parametrize("mu, log_var", [(2.0, -4.0), (-1.5, 1.2), (0.35, -0.4)])
def test_numbers_arrows_and_bell_are_those_of_the_place(found, mu, log_var):
    put(found, mu, log_var)
    one = [torch.tensor([[value]], dtype=torch.float64) for value in (mu, log_var)]
    kl = [kl_standard_normal(one[0], 0 * one[1]), kl_standard_normal(0 * one[0], one[1]), kl_standard_normal(*one)]
    force = [-mu, 0.5 * (1 - math.exp(log_var))]
    assert close(values(found), [kl[0].item(), force[0], kl[1].item(), force[1], kl[2].item()], 1e-12)
    ends = [[mu + force[0], log_var], [mu, log_var + force[1]], [mu + force[0], log_var + force[1]]]
    for node, end in zip(found.locator(".pull").all(), ends, strict=True):
        places = onto(curve(node))
        assert close(places[:2], [[mu, log_var], end], 1e-3)
        assert close(places[3], end, 1e-3)  # where both barbs meet
        for barb in places[[2, 4]]:  # behind the head
            assert np.dot(barb - end, np.subtract(end, places[0])) < 0
    handle = found.locator(".handle").get_attribute("transform")
    assert close(onto(np.array([re.findall(r"-?[\d.]+", handle)], dtype=float)), [[mu, log_var]], 1e-9)
    z = np.linspace(-5, 5, 401)
    bell = np.stack([38 + (z + 5) * 31.2, 110 - 100 * norm.pdf(z, mu, math.exp(log_var / 2))], -1)
    assert np.abs(curve(found.locator(".curve.q")) - bell).max() < 0.00501
    assert np.abs(curve(found.locator(".area"))[:, 1] - (110 - 100 * norm.pdf(z))).max() < 0.00501


@pytest.mark.parametrize("mu, log_var, bet, beginning, ending", [
    (2.0, -4.0, "μ", "You were right: μ came near 0 after 29 steps, log σ² after 124.", "far it has to go."),
    (2.0, -4.0, "log σ²", "Not as you bet: μ came near 0 after 29", "far it has to go."),
    (1.0, 2.0, "log σ²", "Not as you bet:", "log σ² is pulled half as hard as μ."),
    (3.0, -0.3, "log σ²", "You were right:", "as far from the prior, μ is pulled twice as hard."),
    (0.05, 0.08, "μ", "A tie: both came near 0 after 0 steps.", ""),
])  # fmt: skip
def test_the_verdict_says_which_came_first_and_why(tab, mu, log_var, bet, beginning, ending):
    script = "([q, bet]) => Explorers.kl.verdict(Explorers.kl.descent(q), bet)"
    verdict = tab.evaluate(script, [[mu, log_var], bet])
    assert verdict.startswith(beginning) and verdict.endswith(ending)


def test_who_bets_sees_the_pull_act_and_can_go_back(tab, found):
    put(found, 2.0, -4.0)
    act = found.get_by_role("button", name="Let it pull")
    act.click()
    assert said(found).startswith("First bet") and values(found)[0] == pytest.approx(2.0)
    found.get_by_role("button", name="log σ²", exact=True).click()
    act.click()
    tab.locator("[data-state=over]").wait_for()
    steps = rows(tab, "() => Explorers.kl.descent([2, -4])")
    assert said(found).startswith("Not as you bet: μ came near 0 after 29 steps")
    dots = re.findall(r"M(-?[\d.]+) (-?[\d.]+)h0", found.locator(".trail").get_attribute("d"))
    assert close(onto(np.array(dots, dtype=float)), steps, 2e-4)
    assert values(found)[4] < 0.0005
    act.click()
    assert said(found) == "q is the prior already: take the point elsewhere."
    found.get_by_role("button", name="Back").click()
    assert values(found)[0] == pytest.approx(2.0) and said(found).startswith("σ² is 55 times too small")


def test_a_hand_stops_the_pull_and_takes_the_point(tab, found):
    put(found, 2.0, -4.0)
    found.get_by_role("button", name="log σ²", exact=True).click()
    found.get_by_role("button", name="Let it pull").click()
    found.locator(".handle").press("Home")
    painted(tab)
    assert found.locator(".explorer-live").get_attribute("data-state") == "still"
    assert close(values(found), [0.0] * 5, 1e-12)
    x, y = middle(found.locator(".grip"))
    scale = found.locator("svg").first.evaluate("node => node.getScreenCTM().a") * SCALE
    drag(tab, (x, y), (x - scale, y + 2 * scale))
    assert close([values(found)[1], math.log(1 - 2 * values(found)[3])], [1.0, -2.0], 0.03)
    assert found.locator(".trail").get_attribute("d") == ""  # it was another point's
    spoken = found.locator(".handle").get_attribute("aria-valuetext")
    assert re.fullmatch(r"μ -(1\.0\d|0\.9\d), log σ² -(2\.0\d|1\.9\d)", spoken)


def test_without_motion_the_pull_arrives_at_once(tab, browser):
    with browser.new_context(reduced_motion="reduce") as context:
        still = context.new_page()
        still.goto(tab.url)
        found = explorer(still, "kl")
        found.get_by_role("button", name="μ", exact=True).click()
        found.get_by_role("button", name="Let it pull").click()
        painted(still)
        assert still.locator("[data-state=over]").count() == 1 and said(found).startswith("You were right")
