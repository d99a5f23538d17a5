"""The explorer of filled-in values: its numbers are those of full Gaussians, by PyTorch and by quadrature."""

import math

import pytest
import torch
from driving import close, curve, explorer, move, number, rows, values
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_tutorial.reference import LinearGaussian

PLACES = [(0.6, 2.0, 1, 0.0), (0.9, -1.5, 32, -1.35), (0.3, 0.5, 8, 2.0), (0.0, 1.0, 4, 1.0), (0.5, 2.5, 2, 1.0)]


def posterior(rho: float, row: list[float]) -> Normal:
    """Of z, by the package, for a row with these entries."""
    model = LinearGaussian(torch.full((len(row), 1), math.sqrt(rho), dtype=torch.float64), 1 - rho)
    exact = model.posterior(torch.tensor([row], dtype=torch.float64))
    return Normal(exact.mean.squeeze(), exact.covariance_matrix.squeeze().sqrt())


@pytest.mark.parametrize("rho, seen, n, guess", PLACES)
def test_q_is_the_posterior_of_the_filled_row(tab, rho, seen, n, guess):
    found = tab.evaluate("place => Explorers.conditions.posterior(...place)", [rho, seen, n, guess])
    exact = posterior(rho, [seen] + [guess] * n)
    assert found["mean"] == pytest.approx(exact.mean.item(), abs=1e-10)
    assert found["variance"] == pytest.approx(exact.variance.item(), abs=1e-10)


@pytest.mark.parametrize("rho, seen, n, guess", PLACES)
def test_the_bound_is_an_elbo_of_what_was_seen(tab, rho, seen, n, guess):
    terms = tab.evaluate("place => Explorers.conditions.terms(...place)", [rho, seen, n, guess])
    q = posterior(rho, [seen] + [guess] * n)
    z = q.mean + q.stddev * torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    log_joint = Normal(0.0, 1.0).log_prob(z) + Normal(math.sqrt(rho) * z, math.sqrt(1 - rho)).log_prob(
        torch.tensor(seen)
    )
    elbo = torch.trapezoid(q.log_prob(z).exp() * (log_joint - q.log_prob(z)), z).item()
    assert terms["bound"] == pytest.approx(elbo, abs=1e-9)
    assert terms["logP"] - terms["bound"] == pytest.approx(terms["mean"] + terms["variance"], abs=1e-12)
    recentered = Normal(posterior(rho, [seen]).mean, q.stddev)
    assert terms["variance"] == pytest.approx(kl_divergence(recentered, posterior(rho, [seen])).item(), abs=1e-9)


@pytest.mark.parametrize("rho, seen", [(0.6, 2.0), (0.9, -2.5), (0.1, 1.5)])
def test_the_best_guess_is_the_conditional_mean_and_costs_nothing_in_the_mean(tab, rho, seen):
    guess = tab.evaluate("place => Explorers.conditions.bestGuess(...place)", [rho, seen])
    x2 = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    pair = torch.stack([torch.full_like(x2, seen), x2], -1)
    cov = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64)
    density = MultivariateNormal(torch.zeros(2).double(), cov).log_prob(pair).exp()
    assert guess == pytest.approx(((density * x2).sum() / density.sum()).item(), abs=1e-7)
    for n in (1, 32):
        terms = tab.evaluate("place => Explorers.conditions.terms(...place)", [rho, seen, n, guess])
        assert terms["mean"] == pytest.approx(0, abs=1e-12) and terms["variance"] > 0


@pytest.mark.parametrize("place, bet, words", [
    ((0.0, 1.0, 4, 1.0), None, "no guess can do harm"),
    ((0.6, 2.0, 1, 0.0), None, "The guess is 1.5 standard deviations of p(x₂ | x₁) off. It pulls the mean of q along"),
    ((0.6, 2.0, 8, 1.15), None, "Near enough: the wrong mean costs 0.00 nats, being too sure 0.47."),
    ((0.6, 2.0, 8, 1.2), "nothing", "The best guess: the mean of q is right. But q counts guesses as seen: its "
     "variance is 5.8 times too small, for 0.47 nats."),
    ((0.6, 2.0, 32, 1.2), "nothing", "Not as you bet. The best guess"),
    ((0.6, 2.0, 32, 1.2), "more than half a nat", "You were right."),
    ((0.1, 2.0, 32, 0.2), "less than half a nat", "You were right."),
    ((0.1, 2.0, 32, 0.2), "more than half a nat", "Not as you bet."),
])  # fmt: skip
def test_what_is_said(tab, place, bet, words):
    said = tab.evaluate("([place, bet]) => Explorers.conditions.verdict(...place, bet)", [place, bet])
    assert words in said and (words[:3] in ("You", "Not")) == (said[:3] in ("You", "Not"))


def test_before_the_bet_its_place_gives_nothing_away_and_the_bet_goes_there(tab):
    tab.reload()
    found = explorer(tab, "conditions")
    said = found.get_by_role("status")
    move(found, "Number of missing entries", 5)
    found.get_by_role("button", name="Best guess").click()
    assert said.inner_text().startswith("Bet first")
    found.get_by_role("button", name="Zero").click()
    assert "It pulls the mean" in said.inner_text()
    found.get_by_role("button", name="more than half a nat").click()
    assert said.inner_text().startswith("You were right.")
    assert float(found.get_by_role("slider", name="Guess for what is missing").input_value()) == pytest.approx(1.2)
    log_p, mean, variance, bound = values(found.locator("table"))
    assert mean == pytest.approx(0, abs=1e-12) and variance > 0.5 and bound == pytest.approx(log_p - variance)
    for _ in range(2):
        found.get_by_role("slider", name="Guess for what is missing").press("ArrowLeft")
    assert "standard deviations" in said.inner_text()


def test_the_best_guess_lies_on_the_slider_at_every_place(tab):
    found = explorer(tab, "conditions")
    move(found, "Number of missing entries", 1)
    for rho in range(1, 10):
        for seen in (-2.5, -1.5, 0.5, 2.5):
            move(found, "Correlation of the entries", rho / 10)
            move(found, "Entry that is seen", seen)
            found.get_by_role("button", name="Best guess").click()
            assert "The best guess" in found.get_by_role("status").inner_text()


def test_the_drawing_is_where_the_numbers_say(tab):
    found = explorer(tab, "conditions")
    place = (0.5, 1.5, 4, -1.0)
    sliders = {"Correlation of the entries": 0.5, "Entry that is seen": 1.5, "Guess for what is missing": -1.0,
               "Number of missing entries": 2}  # fmt: skip
    for name, value in sliders.items():
        move(found, name, value)

    def across(x1):
        return 38 + (x1 + 3) * 312 / 6

    def down(x2):
        return 260 - (x2 + 3) * 250 / 6

    dot = found.locator("circle.frame")
    assert close([number(dot, "cx"), number(dot, "cy")], [across(1.5), down(-1.0)], 1e-9)
    sd = math.sqrt(0.75)
    ends = [[across(1.5), down(0.75 - 2 * sd)], [across(1.5), down(0.75 + 2 * sd)]]
    assert close(curve(found.locator(".curve.all")), ends, 0.006)
    ellipse = curve(found.locator(".area").first)
    off = torch.tensor([[(x - 38) * 6 / 312 - 3, (260 - y) * 6 / 250 - 3] for x, y in ellipse])
    precision = torch.linalg.inv(torch.tensor([[1.0, 0.5], [0.5, 1.0]]).double())
    assert close(torch.einsum("ni,ij,nj->n", off.double(), precision, off.double()), [4.0] * len(off), 0.01)
    for path, exact in ((found.locator(".area").nth(1), posterior(0.5, [1.5])),
                        (found.locator(".curve.q"), posterior(0.5, [1.5] + [-1.0] * 4))):  # fmt: skip
        points = rows(tab, "d => d", curve(path).tolist())
        z = (points[:, 0] - 38) * 8 / 312 - 4
        height = (150 - points[:, 1]) * 1.3 / 140
        assert close(height, (exact.log_prob(z) - exact.log_prob(exact.mean)).exp(), 2e-3)
    assert close(values(found.locator("table"))[3:], [
        tab.evaluate("place => Explorers.conditions.terms(...place).bound", place)], 1e-12)  # fmt: skip
