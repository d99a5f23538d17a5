"""The explorer of the two gaps: its numbers are divergences of full Gaussians and what a search finds."""

import math

import pytest
import torch
from driving import close, curve, explorer, move, number, rows, values
from scipy.optimize import minimize
from torch import tensor
from torch.distributions import MultivariateNormal, kl_divergence

PLACES = [(0.5, 1.0, 0.5), (-0.8, 0.3, -1.0), (0.9, -1.2, 0.0), (0.0, 0.0, 0.7), (0.0, 0.0, 0.0)]


def posterior(rho: float) -> MultivariateNormal:
    return MultivariateNormal(torch.zeros(2).double(), tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64))


def divergence(rho: float, mean: list[float], log_var: list[float]) -> float:
    q = MultivariateNormal(tensor(mean, dtype=torch.float64), tensor(log_var, dtype=torch.float64).exp().diag())
    return kl_divergence(q, posterior(rho)).item()


@pytest.mark.parametrize("rho, shift, error", PLACES)
def test_both_gaps_add_up_to_the_divergence_and_the_first_is_the_smallest(tab, rho, shift, error):
    family = tab.evaluate("Explorers.gaps.approximation", rho)
    network = tab.evaluate("q => Explorers.gaps.amortization(...q)", [rho, shift, error])
    log_var = math.log(tab.evaluate("Explorers.gaps.bestVariance", rho)) + error
    assert family + network == pytest.approx(divergence(rho, [shift] * 2, [log_var] * 2), abs=1e-10)
    found = minimize(lambda q: divergence(rho, [*q[:2]], [*q[2:]]), [0.2, -0.1, -0.5, 0.3], tol=1e-12)
    assert family == pytest.approx(found.fun, abs=1e-8)


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.6])
def test_the_ellipse_has_two_standard_deviations_everywhere(tab, rho):
    points = rows(tab, "rho => Explorers.network.ellipse([[0.5, 0.5 * rho], [0.5 * rho, 0.5]], 2, [1, -2])", rho)
    off = (points - tensor([1.0, -2.0])) / math.sqrt(0.5)
    squares = torch.einsum("ni,ij,nj->n", off, posterior(rho).precision_matrix, off)
    assert close(squares, torch.full((65,), 4.0), 1e-9)
    assert off[:, 0].abs().max() == pytest.approx(2) and close(points[0], points[-1], 1e-12)


@pytest.mark.parametrize("place, bet, words", [
    ((0.0, 0.0, 0.0), None, "Nothing is lost"),
    ((0.5, 0.0, 0.0), None, "The encoder is perfect, and 0.14 nats are lost"),
    ((0.5, 1.0, 0.0), None, "The network lost 82 % of the gap, most of it by its means; the family lost 0.14 nats."),
    ((0.5, 0.0, 2.0), None, "The network lost 97 % of the gap, most of it by its variances"),
    ((0.9, 0.0, 0.0), "0.8 nats", "You were right: a perfect encoder would still lack 0.83 nats. The enc"),
    ((0.9, 0.0, 0.0), "nothing", "Not as you bet: a perfect encoder would still lack 0.83 nats."),
])  # fmt: skip
def test_what_is_said(tab, place, bet, words):
    assert words in tab.evaluate("([place, bet]) => Explorers.gaps.verdict(...place, bet)", [place, bet])


def test_a_bet_turns_the_posterior_and_the_numbers_follow(tab):
    found = explorer(tab, "gaps")
    said = found.get_by_role("status")
    found.get_by_role("button", name="0.8 nats").click()
    assert said.inner_text().startswith("You were right")
    slider = found.get_by_role("slider", name="Correlation of the posterior")
    for _ in range(4):
        slider.press("ArrowLeft")
    assert float(slider.input_value()) == pytest.approx(0.7)
    move(found, "Error of the encoder's means", 0)
    move(found, "Error of the encoder's log-variances", 0)
    family, network, gap = values(found.locator("table"))
    assert network == 0 and gap == family == pytest.approx(divergence(0.7, [0, 0], [math.log(1 - 0.49)] * 2))


def test_only_one_answer_is_right_and_it_is_the_familys_loss(tab):
    assert f"{divergence(0.9, [0, 0], [math.log(1 - 0.81)] * 2):.1f} nats" == tab.evaluate("Explorers.gaps.ANSWERS[2]")


def test_a_bar_that_leaves_the_drawing_says_so(tab):
    found = explorer(tab, "gaps")
    names = lambda: [text for text in found.locator(".on-bar, .on-gap").all_text_contents() if text]  # noqa: E731
    for rho, shift, words in ((0.5, 1.0, []), (0.9, 2.0, ["network"]), (0.95, 2.0, ["family", "network"]),
                              (-0.95, 0.5, ["family", "network, and farther →"])):  # fmt: skip
        move(found, "Correlation of the posterior", rho)
        move(found, "Error of the encoder's means", shift)
        move(found, "Error of the encoder's log-variances", 0)
        assert names() == words


def test_the_drawing_is_where_the_numbers_say(tab):
    found = explorer(tab, "gaps")
    move(found, "Correlation of the posterior", 0.6)
    move(found, "Error of the encoder's means", 0.5)
    move(found, "Error of the encoder's log-variances", -0.4)
    family, network, _ = values(found.locator("table"))
    nat = 340 / 6
    blue, vermilion = found.locator("rect.bound"), found.locator("rect.gap")
    assert close([number(blue, "x"), number(blue, "width")], [10, nat * family], 1e-9)
    assert close([number(vermilion, "x"), number(vermilion, "width")], [10 + nat * family, nat * network], 1e-9)
    points = curve(found.locator(".curve.each"))
    across, down = 312 / 9, 310 / 9
    sd = 2 * math.sqrt((1 - 0.36) * math.exp(-0.4))
    assert points[:, 0].max() == pytest.approx(38 + across * (4.5 + 0.5 + sd), abs=0.006)
    assert points[:, 1].min() == pytest.approx(320 - down * (4.5 + 0.5 + sd), abs=0.006)
