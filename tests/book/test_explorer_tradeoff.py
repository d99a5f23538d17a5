"""The explorer of β along the rate–distortion curve: its places are those of solved models, its tangent touches."""

import math

import numpy as np
import pytest
import torch
from driving import close, curve, explorer, move, number, painted, values
from playwright.sync_api import Locator
from torch.distributions import MultivariateNormal

from vae_tutorial.gaussian import kl_standard_normal
from vae_tutorial.rate_distortion import critical_betas, linear_frontier
from vae_tutorial.reference import LinearGaussian

PRICE = "Price of the rate"
LAM = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25, 0.25], dtype=torch.float64)  # the chapter's
NOISE_VAR, LATENTS = 0.25, 4
ENTROPY = MultivariateNormal(torch.zeros(6).double(), LAM.diag()).entropy().item()


@pytest.fixture
def found(tab) -> Locator:
    """The explorer as it begins, but for a bet."""
    found = explorer(tab, "tradeoff")
    move(found, PRICE, 2)
    return found


def exact(beta: float) -> tuple[float, float]:
    """Rate and distortion of the best linear VAE, from the terms of its ELBO: means over points with the covariance."""
    told = (LAM[:LATENTS] - beta * NOISE_VAR).clamp(min=0)
    W = torch.eye(6, LATENTS, dtype=torch.float64) * told.sqrt()
    axes = (6 * LAM).sqrt().diag()
    x = torch.cat([axes, -axes])
    q = x @ (W / LAM[:, None]), torch.log(1 - told / LAM[:LATENTS]).expand(len(x), -1)
    rate = kl_standard_normal(*q).mean()
    return rate.item(), -(LinearGaussian(W, NOISE_VAR).elbo(x, *q).mean() + rate).item()


@pytest.mark.parametrize("beta", [0.25, 0.7, 1.0, 1.9, 2.0, 5.0, 11.0, 16.0, 21.0])
def test_a_place_has_the_rate_and_the_distortion_of_the_best_model(tab, beta):
    shown = tab.evaluate("beta => Explorers.tradeoff.optimum(beta)", beta)
    assert close([shown["rate"], shown["distortion"]], exact(beta), 1e-12)
    assert shown["above"] == pytest.approx(sum(exact(beta)) - ENTROPY, abs=1e-12) and shown["above"] > -1e-12
    best = linear_frontier(LAM, beta, latent_dim=LATENTS, noise_var=NOISE_VAR)
    assert close(shown["rates"], best.rates, 1e-14)
    assert shown["living"] == (critical_betas(LAM, latent_dim=LATENTS, noise_var=NOISE_VAR) > beta).sum()


def test_the_entropy_is_that_of_the_data(tab):
    assert tab.evaluate("Explorers.tradeoff.ENTROPY") == pytest.approx(ENTROPY, rel=1e-14)
    assert tab.evaluate("Explorers.tradeoff.optimum(1).above") == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, 5.0, 20.0, 40.0])
def test_half_the_price_brings_the_difference_of_two_places(tab, beta):
    (rate, distortion), (more, less) = exact(beta), exact(beta / 2)
    shown = tab.evaluate("beta => Explorers.tradeoff.halving(beta)", beta)
    gained = [more - rate, distortion - less, rate + distortion - more - less]
    assert close([shown["rate"], shown["saved"], shown["elbo"]], gained, 1e-12)


# What is seen


def in_plane(rate, distortion) -> np.ndarray:
    return np.stack([38 + np.asarray(rate) / 8 * 312, 260 - np.asarray(distortion) / 18 * 250], -1)


@pytest.mark.parametrize("place", [-2, -0.4, 0, 1.3, 3.1, 4.4])
def test_the_tangent_touches_the_curve_at_the_dot(found, place):
    move(found, PRICE, place)
    beta = 2**place
    rate, distortion = exact(beta)
    dots = [[number(dot, "cx"), number(dot, "cy")] for dot in reversed(found.locator(".here").all())]
    assert close(dots, in_plane(*np.transpose([(rate, distortion), exact(beta / 2)])), 1e-9)
    (x0, y0), (x1, y1) = curve(found.locator("svg").first.locator(".mark.aim"))
    assert (y1 - y0) / 250 * 18 / (x1 - x0) * 312 / 8 == pytest.approx(beta, abs=1e-3)  # downwards on the screen
    x, y = in_plane(rate, distortion)
    assert y0 + (y1 - y0) * (x - x0) / (x1 - x0) == pytest.approx(y, abs=0.011)
    below = np.array([exact(2.0 ** (4.4 - i / 20)) for i in range(151)])
    points = curve(found.locator(".curve.q"))
    assert np.abs(points - in_plane(*below.T)).max() < 0.00501
    assert (y0 + (y1 - y0) * (points[:, 0] - x0) / (x1 - x0) > points[:, 1] - 0.02).all()  # the curve lies above it
    step = curve(found.locator(".step"))
    assert close(step[[0, 2]], dots, 0.00501) and close(step[1], [dots[1][0], dots[0][1]], 0.00501)
    assert found.locator(".note.level").first.text_content() == f"slope −{beta:.2f}"


def test_the_line_is_where_rate_and_distortion_are_the_entropy(found):
    ends = curve(found.locator("path.mark:not(.aim)"))
    assert close(ends, in_plane(np.array([0, 8]), ENTROPY - np.array([0, 8])), 0.00501)


@pytest.mark.parametrize("place, living", [(-2, 4), (1, 3), (1.5, 3), (2, 2), (4, 0)])
def test_the_rates_stand_above_the_water(found, place, living):
    move(found, PRICE, place)
    rates = 0.5 * np.log(np.maximum(LAM[:LATENTS].numpy() / (2**place * NOISE_VAR), 1))
    lengths = [number(bar, "height") / 160 * 2.8 for bar in found.locator("rect.bound").all()]
    assert close(lengths, rates, 1e-9)
    tops = [1.3 - (number(bar, "y") - 10) / 160 * 2.8 for bar in found.locator("rect.area").all()]
    assert close(tops, 0.5 * LAM.log(), 1e-9)
    surface = float(found.locator("svg").nth(2).locator(".mark.aim").get_attribute("d").split(" ")[1].split("H")[0])
    level = 0.5 * math.log(2**place * NOISE_VAR)
    assert 1.3 - (surface - 10) / 160 * 2.8 == pytest.approx(level, abs=1e-9)
    texts = found.locator("svg").nth(2).locator("g > text.middle:not(.note)").all_text_contents()
    assert texts[:LATENTS] == [f"{rate:.2f}" if rate else "dead" for rate in rates] and (rates > 0).sum() == living
    names = (
        found.get_by_text("above the level the rate"),
        found.locator(".note.level").last,
        found.get_by_text("no latent"),
    )
    heights = [number(name.first, "y") for name in names]
    assert (np.diff(heights) > 15).all()  # nothing is written over another


def test_the_table_has_both_places(found):
    move(found, PRICE, 1.6)
    here, half = (exact(2**place) for place in (1.6, 0.6))
    rows = [[a, b] for a, b in zip(here, half, strict=True)]
    rows += [[sum(here), sum(half)], [sum(here) - ENTROPY, sum(half) - ENTROPY]]
    assert close(values(found.locator("table")), np.ravel(rows), 1e-11)


# What is said


@pytest.mark.parametrize("place, said", [
    (4.4, "No latent lives: the code is silent. Half the β wakes latent 1, adds 0.21 nats of rate and saves 2.72 of "
          "distortion: the ELBO rises by 2.51."),
    (4, "No latent lives: the code is silent. Half the β wakes latent 1, adds 0.35 nats of rate and "),
    (2, "Latent 3 is dead, from β = 4 on. One more nat of rate would save 4.00 nats of distortion. Half the β wakes"),
    (1, "Latent 4 is dead, from β = 2 on. One more nat of rate would save 2.00 nats of distortion. "),
    (0.5, "All four latents live. One more nat of rate would save 1.41 nats of distortion. Half the β adds 1.39 "
          "nats of rate and saves 1.41 of distortion: the ELBO rises by 0.03."),
    (0, "R + D is the entropy H: no model has a better ELBO. Half the β adds 1.39 nats of rate and saves 1.00 of "
        "distortion: the ELBO falls by 0.39."),
    (-0.1, "All four latents live, and tell too much: the last nat of rate saved only 0.93 nats of distortion. "),
])  # fmt: skip
def test_each_place_says_where_it_is_and_what_half_the_price_brings(found, place, said):
    move(found, PRICE, place)
    assert found.get_by_role("status").inner_text().startswith(said)


def test_the_code_stays_silent_where_half_the_price_is_too_much(tab):
    assert tab.evaluate("Explorers.tradeoff.verdict(40, null)").endswith("Half of this β is still too much.")


def test_the_bet_is_answered_after_both_halvings(tab, found):
    said, halve = found.get_by_role("status"), found.get_by_role("button", name="halve β")
    found.get_by_role("button", name="rises twice").click()
    for beta in (2, 1):
        halve.click()
        assert values(found)[0] == beta and "you bet" not in said.inner_text().lower()
    halve.click()
    assert values(found)[0] == 0.5
    told = "from 2 to 1 the ELBO rises by 0.61, from 1 to ½ it falls by 0.39. "
    told += "A nat of rate costs the ELBO one nat, and brings it β. "
    assert said.inner_text().startswith(f"Not as you bet: {told}Half the β adds")
    found.get_by_role("button", name="rises, then falls").click()
    assert said.inner_text().startswith(f"You bet right: {told}")
    found.get_by_role("button", name="double β").click()
    assert values(found)[0] == 1 and "you bet" not in said.inner_text().lower()
    assert "you bet" not in tab.evaluate("Explorers.tradeoff.verdict(0.5, null)").lower()


def test_keys_move_the_price(tab, found):
    knob = found.get_by_role("slider", name=PRICE, exact=True)
    knob.focus()
    tab.keyboard.press("ArrowLeft")
    painted(tab)
    assert values(found)[0] == pytest.approx(2**1.9) and knob.get_attribute("aria-valuetext") == "3.73"
    tab.keyboard.press("Home")
    assert values(found)[0] == 0.25
    found.get_by_role("button", name="halve β").focus()
    tab.keyboard.press("Enter")
    assert values(found)[0] == 0.25  # the end of the slider
