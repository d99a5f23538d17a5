"""The explorer of importance weighting: the exact bound for every K, its draws, and what is said of both."""

import math
import re

import numpy as np
import pytest
import torch
from driving import close, curve, explorer, move, number, rows, values
from playwright.sync_api import Locator, Page
from scipy.stats import norm
from torch import nn
from torch.distributions import Normal, kl_divergence

from vae_tutorial.bounds import effective_sample_size, iwae_bound, log_weights
from vae_tutorial.likelihoods import normal
from vae_tutorial.models import VAE
from vae_tutorial.reference import LinearGaussian, grid, monte_carlo

X = torch.tensor([[1.5]], dtype=torch.float64)
EXACT = LinearGaussian(torch.tensor([[1.2]], dtype=torch.float64), 0.5)
CHAPTER = (0.5, -0.5)
QS = [CHAPTER, (2.0, -1.0), (0.5, -3.0), (0.0, 1.0), (-1.0, -4.0)]
LOG_PX = EXACT.log_marginal(X).item()
POSTERIOR = EXACT.posterior(X)


@pytest.fixture
def found(tab) -> Locator:
    return explorer(tab, "weights")


def model(mu: float, log_var: float) -> VAE:
    """The chapter's, with an encoder that answers with this q."""
    encoder = nn.Linear(1, 2).double()
    bias = torch.tensor([mu, log_var], dtype=torch.float64)
    encoder.load_state_dict({"weight": torch.zeros(2, 1, dtype=torch.float64), "bias": bias})
    return VAE(encoder, EXACT.decoder(), 1, normal(math.log(0.5))).double()


def log_w(q: tuple[float, float], eps: torch.Tensor) -> torch.Tensor:
    """log p(x, z) - log q(z) at z = μ + σ eps, by torch.distributions."""
    proposal = Normal(*torch.tensor([q[0], math.exp(q[1] / 2)], dtype=torch.float64))
    z = proposal.mean + proposal.stddev * eps
    return Normal(1.2 * z, 0.5**0.5).log_prob(X[0, 0]) + Normal(0.0, 1.0).log_prob(z) - proposal.log_prob(z)


def moment(q: tuple[float, float], power: int) -> float:
    """Central moment of w / p(x), by quadrature."""
    nodes, cell = grid([-25.0], [25.0], 20_001)
    mass = Normal(0.0, 1.0).log_prob(nodes[:, 0]).exp() * cell
    return (mass @ (torch.exp(log_w(q, nodes[:, 0]) - LOG_PX) - 1) ** power).item()


def shortfall(tab: Page, q: tuple[float, float], *numbers: int) -> torch.Tensor:
    return rows(tab, "([q, numbers]) => numbers.map(Explorers.weights.shortfall(q))", [q, numbers])


def settle(found: Locator, q: tuple[float, float], doublings: int) -> None:
    move(found, "Mean of q", q[0])
    move(found, "Log-variance of q", q[1])
    found.get_by_role("slider", name="Number of draws").fill(str(doublings))


def test_the_model_is_the_chapters(tab):
    assert tab.evaluate("Explorers.weights.logEvidence") == pytest.approx(LOG_PX, abs=1e-12)
    expected = [POSTERIOR.mean.item(), math.log(POSTERIOR.covariance_matrix.item())]
    assert close(tab.evaluate("Explorers.weights.POSTERIOR"), expected, 1e-12)


@pytest.mark.parametrize("q", QS)
def test_one_draw_lacks_the_divergence_in_closed_form(tab, q):
    mu, log_var = (torch.tensor([[value]], dtype=torch.float64) for value in q)
    assert close(shortfall(tab, q, 1), -EXACT.kl_to_posterior(X, mu, log_var), 1e-10)


@pytest.mark.parametrize("q", QS)
def test_two_draws_lack_what_quadrature_in_the_plane_says(tab, q):
    eps, cell = grid([-12.0], [12.0], 2401)
    mass = Normal(0.0, 1.0).log_prob(eps[:, 0]).exp() * cell
    one = log_w(q, eps[:, 0]) - LOG_PX
    both = torch.logaddexp(one[:, None], one) - math.log(2)
    assert close(shortfall(tab, q, 2)[0], mass @ both @ mass, 1e-6)


@pytest.mark.parametrize("q", QS[:2])
def test_a_thousand_draws_lack_the_variance_and_the_next_term(tab, q):
    k2, k3 = moment(q, 2), moment(q, 3)
    expansion = k2 / 2000 + (3 * k2**2 / 4 - k3 / 3) / 1000**2
    assert close(-shortfall(tab, q, 1000)[0] / expansion, 1.0, 1e-2 if k2 > 1 else 1e-5)


@pytest.mark.parametrize("q", [CHAPTER, (2.0, -1.0), (0.5, -3.0)])
def test_the_bound_is_the_mean_of_the_packages(tab, q):
    draws = log_weights(model(*q), X.expand(20_000, 1), 64, generator=torch.Generator().manual_seed(0)).detach()
    for K in (3, 16, 64):
        estimate = monte_carlo(iwae_bound(draws[:K]))
        assert abs(estimate.mean - LOG_PX - shortfall(tab, q, K)[0]) < 5 * estimate.stderr < 0.1


def test_the_gaps_are_those_of_doublings_and_fall(tab):
    for q in QS:
        gaps = tab.evaluate("q => Explorers.weights.gaps(q)", q)
        exact = -shortfall(tab, q, *(2**i for i in range(11)))
        assert close(gaps["first"] * np.array(gaps["left"]), exact, 1e-12) and (exact.diff() < 0).all()


@pytest.mark.parametrize("q", [CHAPTER, (2.0, -1.0), (0.0, 1.0), (0.9, -1.95)])
def test_the_variance_is_that_of_quadrature(tab, q):
    assert tab.evaluate("q => Explorers.weights.variance(q)", q) == pytest.approx(moment(q, 2), rel=1e-9)


def test_half_the_posteriors_variance_is_too_little(tab):
    half = POSTERIOR.covariance_matrix.item() / 2
    script = "all => all.map(v => Number.isFinite(Explorers.weights.variance([0.5, Math.log(v)])))"
    assert tab.evaluate(script, [half * 0.99, half * 1.01]) == [False, True]


@pytest.mark.parametrize("K", [1, 16])
def test_the_draws_are_weighed_as_by_the_package(tab, K):
    script = "([q, K, seed]) => Explorers.weights.drawn(q, K, seed)"
    shown = tab.evaluate(script, [CHAPTER, K, 3])
    eps = rows(tab, "K => Explorers.network.standardNoise(K, 3)", K)
    exact = log_w(CHAPTER, eps)
    assert close(shown["zs"], 0.5 + math.exp(-0.25) * eps, 1e-12)
    assert close(shown["shares"], torch.softmax(exact, 0), 1e-12)
    assert shown["estimate"] == pytest.approx(iwae_bound(exact[:, None]).item(), abs=1e-12)
    assert shown["ess"] == pytest.approx(effective_sample_size(exact[:, None]).item(), rel=1e-12)


@pytest.mark.parametrize("doublings, bet", [(1, 0), (2, 1), (4, 1), (5, 2), (10, 2), (-1, 2)])
def test_which_bet_is_right(tab, doublings, bet):
    assert tab.evaluate("n => Explorers.weights.BETS.indexOf(Explorers.weights.answer(n))", doublings) == bet


@pytest.mark.parametrize("q, doublings, sentence", [
    (CHAPTER, 0, "One draw: this is the ELBO, 0.604 nats too low. Now raise K."),
    ((0.5, -3.0), 0, "One draw: this is the ELBO, {first:.3f} nats too low. q is too narrow: "
     "more draws will help little. Now raise K."),
    (CHAPTER, 10, "Not as you bet. Half is closed with 2 draws. 1024 draws leave less than 0.1 % of the gap. "
     "In the long run they are worth {worth:.1f} equal ones."),
    (CHAPTER, 1, "Not as you bet. Half is closed with 2 draws. 2 draws leave 33.2 % of the gap. "
     "In the long run they are worth 1.4 equal ones."),
    ((2.0, -1.0), 1, "2 draws leave 60.2 % of the gap. In the long run they are worth {worth:.1f} equal ones."),
    ((2.0, -1.0), 2, "You were right. Half is closed with 4 draws. 4 draws leave 35.6 % of the gap. "
     "In the long run they are worth {worth:.1f} equal ones."),
    ((0.5, -3.0), 5, "Not as you bet. Half is closed with 32 draws. 32 draws leave 48.1 % of the gap. q is too narrow: "
     "the weights have no variance. The last doubling left 86 %, where 1/K would leave half."),
    ((-1.0, -4.0), 10, "Not as you bet. Half is not closed yet. 1024 draws leave 73.2 % of the gap. q is too narrow: "
     "the weights have no variance. The last doubling left 97 %, where 1/K would leave half."),
    ((0.95, -1.35), 3, "q is the posterior but for 0.001 nats: all weights are nearly equal, and one draw is enough."),
])  # fmt: skip
def test_what_is_said_of_q_and_k(found, q, doublings, sentence):
    found.get_by_role("button", name="4 to 16").click()
    settle(found, q, doublings)
    worth = 2**doublings / (1 + moment(q, 2)) if "{worth" in sentence else 0.0
    first = kl_divergence(
        Normal(q[0], math.exp(q[1] / 2)), Normal(POSTERIOR.mean, POSTERIOR.covariance_matrix[0].sqrt())
    )
    assert found.get_by_role("status").inner_text() == sentence.format(worth=worth, first=first.item())


def test_without_a_bet_it_asks_for_one(tab):
    gaps = tab.evaluate("q => Explorers.weights.gaps(q)", CHAPTER)
    said = tab.evaluate("([q, gaps]) => Explorers.weights.told(q, gaps, 0, null)", [CHAPTER, gaps])
    assert said.endswith("Bet, then raise K.")


@pytest.mark.parametrize("q, doublings", [(CHAPTER, 4), ((0.5, -3.0), 6)])
def test_what_is_drawn_is_where_the_numbers_say(tab, found, q, doublings):
    settle(found, q, doublings)
    K = 2**doublings
    elbo, bound, evidence, estimate, effective = values(found.locator("table"))
    first, here = -shortfall(tab, q, 1, K)
    assert close([elbo, bound, evidence], [LOG_PX - first, LOG_PX - here, LOG_PX], 1e-9)
    draws = tab.evaluate("([q, K]) => Explorers.weights.drawn(q, K, 1)", [q, K])
    assert close([estimate, effective], [draws["estimate"], draws["ess"]], 1e-12)
    across = lambda z: 38 + (np.asarray(z) + 3) * 312 / 7  # noqa: E731
    stems = re.findall(r"M([\d.-]+) ([\d.]+)V([\d.]+)", found.locator(".stems").get_attribute("d"))
    x, foot, head = np.array(stems, dtype=float).T
    shares = np.array(draws["shares"])
    assert np.abs(x - across(draws["zs"])).max() < 0.00501 and (foot == 110).all()
    assert np.abs(head - (110 - 100 * shares / shares.max())).max() < 0.00501
    z = np.linspace(-3, 4, 281)
    bell = curve(found.locator(".curve.q").first)
    height = 140 - 130 / 1.2 * norm.pdf(z, q[0], math.exp(q[1] / 2))
    assert np.abs(bell - np.stack([across(z), height], -1)).max() < 0.00501
    posterior = 140 - 130 / 1.2 * norm.pdf(z, POSTERIOR.mean.item(), POSTERIOR.covariance_matrix.item() ** 0.5)
    assert np.abs(curve(found.locator(".area"))[:, 1] - posterior).max() < 0.00501
    left = -shortfall(tab, q, *(2**i for i in range(doublings + 1))).numpy() / first.item()
    places = np.stack([38 + 31.2 * np.arange(doublings + 1), 160 - 150 * left], -1)
    assert np.abs(curve(found.locator(".curve.q").last) - places).max() < 0.00501
    dot = found.locator(".here")
    assert close([number(dot, "cx"), number(dot, "cy")], places[-1], 1e-6)


def test_fresh_draws_change_the_estimate_and_no_bound(found):
    settle(found, CHAPTER, 3)
    before = values(found.locator("table"))
    found.get_by_role("button", name="Draw again").click()
    after = values(found.locator("table"))
    assert [i for i in range(5) if before[i] != after[i]] == [3, 4]


def test_the_keys_double_the_draws(found):
    settle(found, CHAPTER, 0)
    slider = found.get_by_role("slider", name="Number of draws")
    for key in ("ArrowRight", "ArrowRight", "End", "ArrowLeft"):
        slider.press(key)
    assert slider.get_attribute("aria-valuetext") == "512"
