"""The explorer of noise: densities by torch, the best guess by quadrature, the flow by SciPy and by shares of mass."""

import math

import numpy as np
import pytest
import torch
from driving import close, curve, explorer, move, number, rows, values
from playwright.sync_api import Page
from scipy.integrate import solve_ivp
from torch.distributions import Categorical, MixtureSameFamily, Normal

from vae_tutorial.reference import grid

DATA = {"narrow": ((0.35, 0.65), (-1.2, 0.8), (0.2, 0.3)), "wide": ((0.6, 0.4), (-1.0, 1.3), (0.5, 0.7))}
PLACES = [("narrow", -0.2, 1.0), ("narrow", 1.3, 0.05), ("wide", 0.15, 0.4), ("wide", -2.5, 2.7), ("narrow", -0.5, 0.5)]
SLIDERS = "Logarithm of the noise τ", "The noisy point"


def exactly(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def smoothed(data: str, tau: float) -> MixtureSameFamily:
    weights, means, sds = (exactly(part) for part in DATA[data])
    return MixtureSameFamily(Categorical(weights), Normal(means, (sds**2 + tau**2).sqrt()))


def slope(data: str, x, tau: float) -> torch.Tensor:
    x = torch.as_tensor(x, dtype=torch.float64).requires_grad_()
    return torch.autograd.grad(smoothed(data, tau).log_prob(x).sum(), x)[0]


def posterior(data: str, noisy: float, tau: float) -> tuple[torch.Tensor, torch.Tensor]:
    """p(x | x̃) at the points of a grid, by Bayes' theorem, and the grid."""
    x, cell = grid([-9.0], [9.0], 20_001)
    joint = (smoothed(data, 0.0).log_prob(x) + Normal(x, tau).log_prob(exactly(noisy))).exp()[:, 0]
    return joint / (joint.sum() * cell), x[:, 0]


def ask(tab: Page, call: str, data: str, *numbers: float):
    return tab.evaluate(
        f"([data, ...numbers]) => Explorers.noise.{call}(Explorers.noise.DATA[data], ...numbers)", [data, *numbers]
    )


@pytest.mark.parametrize("data, noisy, tau", PLACES)
def test_density_and_score_are_torchs(tab, data, noisy, tau):
    assert ask(tab, "density", data, noisy, tau) == pytest.approx(
        smoothed(data, tau).log_prob(exactly(noisy)).exp().item(), rel=1e-12
    )
    assert ask(tab, "score", data, noisy, tau) == pytest.approx(slope(data, noisy, tau).item(), rel=1e-10)


@pytest.mark.parametrize("data, noisy, tau", PLACES)
def test_origins_and_guess_are_those_of_quadrature(tab, data, noisy, tau):
    exact, x = posterior(data, noisy, tau)
    cell = x[1] - x[0]
    peaks = ask(tab, "origins", data, noisy, tau)
    mixed = sum(peak["weight"] * Normal(exactly(peak["mean"]), exactly(peak["sd"])).log_prob(x).exp() for peak in peaks)
    assert close(mixed, exact, 1e-9 * exact.max().item())
    assert ask(tab, "guess", data, noisy, tau) == pytest.approx((exact @ x * cell).item(), abs=1e-10)


@pytest.mark.parametrize("data, x, start, end", [
    ("narrow", -0.2, 0.0, -3.0), ("narrow", 1.2, -1.5, 1.0), ("wide", 0.15, 1.0, -3.0), ("narrow", -7.0, 1.0, -3.0),
])  # fmt: skip
def test_the_flow_is_scipys_and_keeps_the_share_on_the_left(tab, data, x, start, end):
    path = ask(tab, "flow", data, x, start, end)
    assert path[0] == [start, x] and path[-1][0] == pytest.approx(end, abs=1e-12)
    away = lambda log_tau, at: -math.exp(2 * log_tau) * slope(data, at, math.exp(log_tau)).numpy()  # noqa: E731
    times = [s for s, _ in path]
    solved = solve_ivp(away, (start, end), [x], "DOP853", t_eval=times[::20], rtol=1e-11, atol=1e-12)
    assert np.abs(solved.y[0] - [at for _, at in path][::20]).max() < 1e-8  # of Runge and Kutta, in steps of 0.02
    shares = [smoothed(data, math.exp(s)).cdf(exactly(at)).item() for s, at in path]
    assert np.ptp(shares) < 3e-9


def test_the_peaks_merge_where_the_chapter_on_diffusion_says(tab):
    at = {snr: ask(tab, "tops", "narrow", math.exp(-snr / 2)) for snr in (6, 1.2, 0.8, 0.5, 0, -2)}
    assert at == {6: 2, 1.2: 2, 0.8: 2, 0.5: 1, 0: 1, -2: 1}  # "one peak from λ = 0.6 on"


@pytest.mark.parametrize("data, halfway", [("narrow", -0.2), ("wide", 0.15)])
def test_halfway_is_halfway_and_the_data_are_dense_at_their_peaks(tab, data, halfway):
    assert ask(tab, "halfway", data) == pytest.approx(halfway, abs=1e-12)
    x = torch.linspace(-4, 4, 80_001).double()
    density = smoothed(data, 0.0).log_prob(x).exp()
    for at in (-1.2, 0.06, 0.8):
        share = smoothed(data, 0.0).log_prob(exactly(at)).exp() / density.max()
        assert ask(tab, "likeness", data, at) == pytest.approx(share.item(), rel=2e-3)


@pytest.mark.parametrize("x, place", [
    (-1.51, "between them"), (-1.49, "in the left peak"), (-0.91, "in the left peak"), (-0.89, "between them"),
    (0.34, "between them"), (0.36, "in the right peak"), (1.26, "between them"),
])  # fmt: skip
def test_a_peak_reaches_one_and_a_half_standard_deviations(tab, x, place):
    assert ask(tab, "place", "narrow", x) == place


def set_to(found, log_tau: float, point: float, data: str = "narrow") -> None:
    found.get_by_role("combobox").select_option(data)
    for name, value in zip(SLIDERS, (log_tau, point), strict=True):
        move(found, name, value)


@pytest.mark.parametrize("data, log_tau, point", [("narrow", -0.5, -0.4), ("wide", 0.0, 0.15), ("narrow", 1.0, -2.5)])
def test_the_table_and_the_sentence_between_the_peaks(tab, data, log_tau, point):
    found = explorer(tab, "noise")
    set_to(found, log_tau, point, data)
    tau = math.exp(log_tau)
    exact, x = posterior(data, point, tau)
    best = (exact @ x * (x[1] - x[0])).item()
    shown = values(found.locator("table"))
    assert shown[:2] == pytest.approx([tau, -2 * log_tau]) and shown[3:5] == pytest.approx([best, best], abs=1e-9)
    share = smoothed(data, tau).cdf(exactly(point))
    assert smoothed(data, math.exp(-3)).cdf(exactly(shown[5])) == pytest.approx(share.item(), abs=3e-9)
    first = ask(tab, "origins", data, point, tau)[0]["weight"]
    dense = ask(tab, "likeness", data, best)
    end = f"{shown[5]:.2f}".replace("-", "−")
    side = "left" if shown[5] < (DATA[data][1][0] + DATA[data][1][1]) / 2 else "right"
    assert found.get_by_role("status").inner_text() == (
        f"Of such points {100 * first:.0f} % come from the left peak (of all data {100 * DATA[data][0][0]:.0f} %). "
        f"The guess averages both origins; where it lies, data have {100 * dense:.0f} % of their highest density. "
        f"The flow ends at {end}, on the {side}."
    )


def test_the_sentence_where_the_origin_is_sure(tab):
    found = explorer(tab, "noise")
    for point, peak in ((1.2, "right"), (-1.8, "left")):
        set_to(found, -1.5, point)
        best = point + math.exp(-3) * slope("narrow", point, math.exp(-1.5)).item()
        end = values(found.locator("table"))[5]
        moved, end = (f"{value:.2f}".replace("-", "−") for value in (best - point, end))
        assert found.get_by_role("status").inner_text() == (
            f"Of such points 100.0 % come from the {peak} peak: the guess is the point moved by {moved}. "
            f"The flow ends at {end}, on the {peak}."
        )


@pytest.mark.parametrize("data, at, dense", [("narrow", "0.06", 5), ("wide", "−0.09", 26)])
def test_the_bet_goes_to_its_place_and_is_judged(tab, data, at, dense):
    found = explorer(tab, "noise")
    set_to(found, -2.0, 2.0, data)
    for answer, won in (("in the left peak", False), ("between them", True), ("in the right peak", False)):
        found.get_by_role("button", name=answer).click()
        said = found.get_by_role("status").inner_text()
        assert said.startswith(
            f"{'You were right' if won else 'Not as you bet'}: at {at}, between them, where data have {dense} % of"
        )
        assert values(found)[:2] == [0, {"narrow": -0.2, "wide": 0.15}[data]]


def test_everything_is_drawn_where_the_numbers_say(tab):
    found = explorer(tab, "noise")
    set_to(found, -0.5, -0.4)
    tau = math.exp(-0.5)
    above, below = (found.locator("svg[role=img]").nth(i) for i in (0, 1))
    across = lambda x: 38 + (np.asarray(x) + 4) * 312 / 8  # noqa: E731
    up = lambda density: 190 - np.asarray(density) * 180 / 2  # noqa: E731
    high = lambda log_tau: 330 - (np.asarray(log_tau) + 3) * 320 / 4  # noqa: E731
    x = np.linspace(-4, 4, 321)
    density = lambda t: smoothed("narrow", t).log_prob(torch.tensor(x)).exp().numpy()  # noqa: E731
    assert np.abs(curve(above.locator(".curve.q")) - np.stack([across(x), up(density(tau))], -1)).max() < 0.00501
    assert np.abs(curve(above.locator(".area"))[1:-1] - np.stack([across(x), up(density(0.0))], -1)).max() < 0.00501
    exact, at = posterior("narrow", -0.4, tau)
    there = np.interp(x, at, exact)
    assert np.abs(curve(above.locator(".posterior"))[1:-1] - np.stack([across(x), up(there)], -1)).max() < 0.0051
    best = values(found.locator("table"))[3]
    dot = above.locator(".dot")
    of_point = smoothed("narrow", tau).log_prob(exactly(-0.4)).exp().item()
    assert close([number(dot, "cx"), number(dot, "cy")], [across(-0.4), up(of_point)], 1e-9)
    for place, x_ in ((below.locator(".dot").nth(0), -0.4), (below.locator(".dot.guess"), best)):
        assert close([number(place, "cx"), number(place, "cy")], [across(x_), high(-0.5)], 1e-9)
    mine = curve(below.locator(".curve.q"))
    assert mine[0, 1] == pytest.approx(10, abs=0.01) and mine[-1, 1] == pytest.approx(330, abs=0.01)
    shares = [
        smoothed("narrow", math.exp((330 - y) * 4 / 320 - 3)).cdf(exactly((x_ - 38) * 8 / 312 - 4))
        for x_, y in mine[::25]
    ]
    assert np.ptp(shares) < 1e-3
    assert found.locator(".threads").get_attribute("d").count("M") == 9


def test_keys_move_the_point_and_other_data_begin_anew(tab):
    found = explorer(tab, "noise")
    set_to(found, 0.0, -0.2)
    threads = found.locator(".threads").get_attribute("d")
    slider = found.get_by_role("slider", name=SLIDERS[1], exact=True)
    before = values(found.locator("table"))[3]
    for _ in range(4):
        slider.press("ArrowRight")
    assert values(found)[1] == pytest.approx(0) and values(found.locator("table"))[3] > before
    found.get_by_role("combobox").select_option("wide")
    assert found.locator(".threads").get_attribute("d") != threads
    ends = rows(tab, "() => [...document.querySelectorAll('input')].map(n => [n.min, n.max, n.step].map(Number))")
    assert close(ends, [[-3, 1, 0.05], [-2.5, 2.5, 0.05]], 0)
