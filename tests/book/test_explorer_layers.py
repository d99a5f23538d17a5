"""The explorer of two layers: its losses are the least divergences of dense Gaussians, made from the draws."""

import math

import numpy as np
import pytest
import torch
from driving import close, curve, explorer, move, number, rows, values
from scipy.optimize import minimize
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

W = torch.tensor([[1.0, 0.4], [0.3, 1.0], [0.5, 0.8]], dtype=torch.float64)
G = torch.tensor([[1.5], [-1.0]], dtype=torch.float64)
S = torch.tensor([0.4, 0.3], dtype=torch.float64)
PLACES = [(0.0, 1.0, 0.5), (1.0, 1.0, 0.5), (0.4, 1.5, 0.1), (0.7, 0.3, 2.0), (0.2, 0.0, 0.8)]


def turned(turn: float) -> Tensor:
    a, b = W.T
    return torch.stack([a, b - turn * (a @ b) / (a @ a) * a], 1)


def covariance(turn: float, pull: float, noise: float) -> Tensor:
    """Of (z₁, z₂) given x, by conditioning the covariance of all six numbers."""
    mix = torch.zeros(6, 6, dtype=torch.float64)  # of the independent draws: z₂, noise of z₁, noise of x
    mix[2, 0] = 1.0
    mix[:2, 0], mix[:2, 1:3] = pull * G[:, 0], S.sqrt().diag()
    mix[3:] = turned(turn) @ mix[:2]
    mix[3:, 3:] = math.sqrt(noise) * torch.eye(3).double()
    C = mix @ mix.T
    return C[:3, :3] - C[:3, 3:] @ torch.linalg.solve(C[3:, 3:], C[3:, :3])


def least(cov: Tensor) -> float:
    """The smallest divergence of a diagonal Gaussian from this one, by search."""
    p = MultivariateNormal(torch.zeros(len(cov)).double(), cov)

    def divergence(log_var: np.ndarray) -> float:
        q = MultivariateNormal(p.mean, torch.tensor(log_var).exp().diag())
        return kl_divergence(q, p).item()

    return minimize(divergence, np.zeros(len(cov)), tol=1e-12).fun


@pytest.mark.parametrize("place", PLACES)
def test_the_losses_are_the_least_divergences_of_dense_gaussians(tab, place):
    cov = covariance(*place)
    given = cov[:2, :2] - cov[:2, 2:] @ cov[2:, :2] / cov[2, 2]  # of z₁, where z₂ is known
    shown = tab.evaluate("place => Explorers.layers.losses(...place)", place)
    expected = {"factorized": cov, "bottomUp": cov[:2, :2], "topDown": given}
    assert shown == pytest.approx({name: least(C) for name, C in expected.items()}, abs=1e-7)
    found = tab.evaluate("place => Explorers.layers.precisions(...place)", place)
    for name, C in (("unknown", cov[:2, :2]), ("known", given)):
        assert close(found[name], torch.linalg.inv(C), 1e-8)
        correlation = C[0, 1] / (C[0, 0] * C[1, 1]).sqrt()
        assert close(tab.evaluate("P => Explorers.layers.correlation(P)", found[name]), correlation, 1e-10)


def test_the_chapters_numbers(tab):
    shown = tab.evaluate("Explorers.layers.losses(0, 1, 0.5)")
    assert {name: round(loss, 4) for name, loss in shown.items()} == {
        "factorized": 0.6402,
        "bottomUp": 0.3933,
        "topDown": 0.0724,
    }


def test_turned_columns_are_orthogonal_at_one(tab):
    for turn in (0.0, 0.3, 1.0):
        assert close(rows(tab, "turn => Explorers.layers.columns(turn)", turn), turned(turn).T, 1e-12)
    a, b = rows(tab, "Explorers.layers.columns(1)")
    assert abs(a @ b) < 1e-12


def test_the_ellipse_has_two_standard_deviations_everywhere(tab):
    P = torch.tensor([[2.0, -0.7], [-0.7, 0.9]], dtype=torch.float64)
    points = rows(tab, "P => Explorers.network.ellipse(Explorers.network.inverse(P))", P.tolist())
    assert close(torch.einsum("ni,ij,nj->n", points, P, points), torch.full((65,), 4.0), 1e-9)
    assert points[:, 0].max().item() == pytest.approx(2 * torch.linalg.inv(P)[0, 0].sqrt().item())


@pytest.mark.parametrize("place, bet, words", [
    ((1, 1, 0.5), "only top-down", "You were right: only top-down loses nothing. Given z₂ the two numbers of z₁ are"),
    ((1, 1, 0.5), "bottom-up too", "Not as you bet: only top-down loses nothing."),
    ((0, 0, 0.5), None, "all three lose the same 0.07 nats"),
    ((0, 1, 0.5), None, "by −0.74 while z₂ is unknown, by −0.37 given it: top-down loses 0.07 nats, bottom-up 0.39."),
])  # fmt: skip
def test_what_is_said(tab, place, bet, words):
    assert words in tab.evaluate("([place, bet]) => Explorers.layers.verdict(...place, bet)", [place, bet])


def test_a_bet_turns_the_columns_and_the_keys_turn_them_back(tab):
    found = explorer(tab, "layers")
    move(found, "How far the columns of W are turned", 0.25)
    green = found.locator(".wide svg").last.locator(".curve.all")
    assert len(curve(green)) == 11  # what lies ahead would tell
    found.get_by_role("button", name="bottom-up too").click()
    said = found.get_by_role("status")
    assert said.inner_text().startswith("Not as you bet") and len(curve(green)) == 41
    slider = found.get_by_role("slider", name="How far the columns of W are turned")
    for _ in range(5):
        slider.press("ArrowLeft")
    assert float(slider.input_value()) == pytest.approx(0.75)
    move(found, "Factor of the upper layer's gain", 0.5)
    losses = tab.evaluate("Explorers.layers.losses(0.75, 0.5, 0.5)")
    assert close(values(found.locator("table")), [*losses.values()], 1e-12)


def test_the_drawing_is_where_the_numbers_say(tab):
    found = explorer(tab, "layers")
    for name, value in (("How far the columns of W are turned", 0.5), ("Factor of the upper layer's gain", 1),
                        ("Variance of the noise", 1)):  # fmt: skip
        move(found, name, value)
    cov = covariance(0.5, 1, 1)
    across, up = (350 - 38) / 5, (260 - 10) / 5
    gray = curve(found.locator(".area"))
    assert gray[:, 0].max() == pytest.approx(38 + across * (2.5 + 2 * cov[0, 0].sqrt().item()), abs=0.006)
    assert gray[:, 1].min() == pytest.approx(260 - up * (2.5 + 2 * cov[1, 1].sqrt().item()), abs=0.2)  # of 64 points
    blue = curve(found.locator(".curve.q"))
    loss = tab.evaluate("Explorers.layers.losses(0.5, 1, 1)")["bottomUp"]
    assert close(blue[20], [38 + 312 / 2, 170 - 160 / 1.5 * loss], 0.006)
    for name, end in zip(("factorized", "bottomUp", "topDown"), found.locator(".dot").all(), strict=True):
        loss = tab.evaluate("Explorers.layers.losses(0.5, 1, 1)")[name]
        assert close([number(end, "cx"), number(end, "cy")], [38 + 312 / 2, 170 - 160 / 1.5 * loss], 1e-9)
