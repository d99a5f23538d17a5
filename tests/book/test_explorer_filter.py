"""The explorer of filter and smoother: its numbers are those of dense Gaussians, its words those of its numbers."""

import math

import pytest
import torch
from driving import close, curve, explorer, move, number, rows, values
from torch.distributions import MultivariateNormal, kl_divergence

from vae_tutorial.kalman import kalman_filter, rts_smoother

T = 8
PLACES = [(0.94, 0.05), (0.5, 0.5), (0.98, 10.0), (0.0, 0.3), (0.2, 0.02)]


def chain(a: float) -> torch.Tensor:
    steps = torch.arange(T, dtype=torch.float64)
    return torch.where(steps[:, None] == steps, 1.0, a ** (steps[:, None] - steps).abs())


def system(a: float, r: float) -> dict[str, torch.Tensor]:
    one = torch.ones(1, 1, dtype=torch.float64)
    return dict(A=a * one, C=one, Q=(1 - a**2) * one, R=r * one, m0=0 * one[0], P0=one)


@pytest.mark.parametrize("a, r", PLACES)
def test_what_is_known_is_what_the_packages_filter_and_smoother_say(tab, a, r):
    x = torch.tensor(tab.evaluate("([a, r]) => Explorers.filter.film(5, a, r).x", [a, r]), dtype=torch.float64)
    script = """([x, a, r, n]) => x.map((_, t) => Explorers.filter.known(x, a, r, t, n ?? t + 1))
        .map(known => [known.mean, known.variance])"""
    for n, by_steps in ((None, kalman_filter), (T, rts_smoother)):
        found = by_steps(x[None, :, None], **system(a, r))
        covs = found.cov.reshape(-1, 1)
        expected = torch.cat([found.mean.reshape(-1, 1), covs], 1)
        assert close(rows(tab, script, [x.tolist(), a, r, n]), expected, 1e-10)


@pytest.mark.parametrize("a, r", PLACES)
def test_the_factorized_loss_is_the_smallest_divergence(tab, a, r):
    precision = torch.linalg.inv(chain(a)) + torch.eye(T).double() / r
    mean = torch.zeros(T).double()
    posterior = MultivariateNormal(mean, precision_matrix=precision)
    variances = (1 / precision.diagonal()).requires_grad_()
    divergence = kl_divergence(MultivariateNormal(mean, variances.diag()), posterior)
    assert close(tab.evaluate("q => Explorers.filter.factorizedLoss(...q)", [a, r]), divergence.detach(), 1e-9)
    (slope,) = torch.autograd.grad(divergence, variances)
    assert slope.abs().max() < 1e-9  # the divergence is convex in the variances: no other is smaller


@pytest.mark.parametrize("a, r", PLACES)
def test_the_filtering_loss_is_that_of_the_best_factors_by_conditioning(tab, a, r):
    """The best factor is p(z_t | z_{t-1}, x_{1:T}) with its mean averaged over the frames to come; it loses half the
    variance of that mean in units of the factor's own. All by conditioning one Gaussian of z and x."""
    cov = chain(a)
    joint = torch.cat([torch.cat([cov, cov], 1), torch.cat([cov, cov + r * torch.eye(T).double()], 1)])
    loss = 0.0
    for t in range(T):
        given = ([t - 1] if t else []) + [T + k for k in range(T)]
        weights = torch.linalg.solve(joint[given][:, given], joint[given, t])
        variance = joint[t, t] - joint[t, given] @ weights
        future, known = [T + k for k in range(t + 1, T)], ([t - 1] if t else []) + [T + k for k in range(t + 1)]
        known = known[1:] if t else known  # z_{t-1} as q draws it tells nothing of the frames to come
        if future:
            cross = joint[future][:, known]
            unknown = joint[future][:, future] - cross @ torch.linalg.solve(joint[known][:, known], cross.T)
            w = weights[-len(future):]  # fmt: skip
            loss += 0.5 * (w @ unknown @ w / variance).item()
    assert tab.evaluate("q => Explorers.filter.filteringLoss(...q)", [a, r]) == pytest.approx(loss, abs=1e-9)


def test_the_chapters_numbers(tab):
    shown = [tab.evaluate(f"Explorers.filter.{name}Loss(0.95, 0.5)") for name in ("filtering", "factorized")]
    assert [round(loss, 4) for loss in shown] == [1.2895, 1.4655]


def test_solve_and_log_det_are_torchs(tab):
    A = chain(0.7) + torch.eye(T).double()
    b = torch.arange(T, dtype=torch.float64)
    assert close(
        rows(tab, "q => Explorers.filter.solve(...q)", [A.tolist(), b.tolist()]), torch.linalg.solve(A, b), 1e-12
    )
    assert tab.evaluate("A => Explorers.filter.logDet(A)", A.tolist()) == pytest.approx(
        torch.logdet(A).item(), abs=1e-12
    )


def test_the_film_is_the_chain_and_its_noise(tab):
    noise = rows(tab, "Explorers.network.standardNoise(16, 5)")
    film = tab.evaluate("Explorers.filter.film(5, 0.9, 0.25)")
    z = [noise[0].item()]
    for t in range(1, T):
        z.append(0.9 * z[-1] + math.sqrt(1 - 0.81) * noise[t].item())
    assert close(film["z"], z, 1e-12) and close(film["x"], torch.tensor(z) + 0.5 * noise[8:], 1e-6)


@pytest.mark.parametrize("a, log_r, bet, words", [
    (0.94, -1.3, "blind to the future", ["You were right. Blind to the future, q loses 0.73 nats", "may look at all"]),
    (0.94, -1.3, "blind to the chain", ["Not as you bet. Blind to the future", "may look at all"]),
    (0.94, 0.7, "blind to the chain", ["Blind to the future", "only the chain holds"]),
    (0.0, -1.3, "blind to the chain", ["Blind to the future, q loses 0.00 nats", "nothing to lose"]),
])  # fmt: skip
def test_what_is_said(tab, a, log_r, bet, words):
    said = tab.evaluate("([a, r, bet]) => Explorers.filter.verdict(a, r, bet)", [a, 10**log_r, bet])
    assert said.startswith(words[0]) and words[1] in said


def test_a_bet_sets_a_sharp_camera_and_the_keys_move_on(tab):
    found = explorer(tab, "filter")
    said = found.get_by_role("status")
    slider = found.get_by_role("slider", name="Variance of the camera's noise")
    lines = found.locator(".wide svg").last.locator(".curve")
    assert said.inner_text().startswith("Blind to the future, q loses 1.23 nats")
    assert [len(curve(line)) for line in lines.all()] == [14, 14]  # of 28: what lies ahead would tell
    slider.fill("-1.3")
    assert said.inner_text().startswith("Bet first") and slider.get_attribute("aria-valuetext") == "0.05"
    slider.fill("0")
    found.get_by_role("button", name="blind to the chain").click()
    assert slider.input_value() == "-1.3" and said.inner_text().startswith("Not as you bet.")
    assert [len(curve(line)) for line in lines.all()] == [28, 28]
    move(found, "Memory of the chain", 0.5)
    for _ in range(3):
        slider.press("ArrowRight")
    r = 10 ** float(slider.input_value())
    assert float(slider.input_value()) == pytest.approx(-1.15)
    losses = [tab.evaluate(f"r => Explorers.filter.{name}Loss(0.5, r)", r) for name in ("filtering", "factorized")]
    assert close(values(found.locator("table").first), losses, 1e-12)
    before, after = values(found.locator("table").nth(1))
    covs = [
        by(torch.zeros(1, T, 1).double(), **system(0.5, r)).cov.reshape(-1)[3] for by in (kalman_filter, rts_smoother)
    ]
    assert close([before**2, after**2], torch.stack(covs), 1e-9) and after < before


def test_the_drawing_is_where_the_numbers_say(tab):
    found = explorer(tab, "filter")
    move(found, "Memory of the chain", 0.9)
    found.get_by_role("slider", name="Variance of the camera's noise").fill("0")
    x = tab.evaluate("Explorers.filter.film(3, 0.9, 1).x")
    across, up = (350 - 38) / 8, (240 - 10) / 8
    for t, dot in enumerate(found.locator(".frame").all()):
        assert number(dot, "cx") == pytest.approx(38 + across * (t + 0.5))
        assert number(dot, "cy") == pytest.approx(240 - up * (x[t] + 4))
    losses = values(found.locator("table").first)
    found.get_by_role("button", name="Another film").click()
    assert "do not depend on what is seen" in found.get_by_role("status").inner_text()
    assert values(found.locator("table").first) == losses
    assert number(found.locator(".frame").first, "cy") != pytest.approx(240 - up * (x[0] + 4))
