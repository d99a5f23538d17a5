"""The explorer of noise and eigenvalues: its spectrum is that of the digits, its ELBO that of solved models.

Any quadratic function has the same mean over the data as over 128 points on the axes, one pair for each eigenvalue; so
means of log p(x) and of the ELBO are those of the package's linear-Gaussian model at these points.
"""

import math
import re

import numpy as np
import pytest
import torch
from driving import close, curve, explorer, move, number, painted, values
from playwright.sync_api import Locator
from scipy.optimize import minimize_scalar

from vae_tutorial.datasets import digits
from vae_tutorial.rate_distortion import critical_betas, linear_frontier
from vae_tutorial.reference import LinearGaussian

NOISE = "Noise variance of the decoder"
LATENTS = 6


@pytest.fixture(scope="module")
def spectrum(tab) -> torch.Tensor:
    """All 64 eigenvalues: those of the script, and for the rest, which no latent follows, their mean."""
    shown = torch.tensor(tab.evaluate("Explorers.eigenvalues.EIGENVALUES"), dtype=torch.float64)
    rest = (tab.evaluate("Explorers.eigenvalues.DIGITS.variance") - shown.sum()) / (64 - len(shown))
    return torch.cat([shown, rest.expand(64 - len(shown))])


@pytest.fixture
def found(tab) -> Locator:
    """The explorer as it begins, but for a bet."""
    found = explorer(tab, "eigenvalues")
    found.get_by_role("combobox").select_option("1")
    move(found, NOISE, -2.3)
    return found


def solved(spectrum: torch.Tensor, noise_var: float, beta: float) -> tuple[LinearGaussian, torch.Tensor, torch.Tensor]:
    """The best model at a level β σ²: its decoder, and the encoder's weights and variances."""
    lam = spectrum[:LATENTS]
    told = (lam - beta * noise_var).clamp(min=0)
    W = torch.zeros(64, LATENTS, dtype=torch.float64)
    W[range(LATENTS), range(LATENTS)] = told.sqrt()
    return LinearGaussian(W, noise_var), W.T / lam[:, None], 1 - told / lam


def points(spectrum: torch.Tensor) -> torch.Tensor:
    """Mean 0, and the spectrum for variances."""
    axes = (64 * spectrum).sqrt().diag()
    return torch.cat([axes, -axes])


def exact_elbo(spectrum: torch.Tensor, noise_var: float, beta: float) -> float:
    model, encoder, variances = solved(spectrum, noise_var, beta)
    x = points(spectrum)
    return model.elbo(x, x @ encoder.T, variances.log().expand(len(x), -1)).mean().item()


def log_marginal(spectrum: torch.Tensor, noise_var: float) -> float:
    return solved(spectrum, noise_var, 1.0)[0].log_marginal(points(spectrum)).mean().item()


def test_the_eigenvalues_are_those_of_the_digits(tab):
    x = digits().x_train.double()
    lam = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(-1)
    assert close(tab.evaluate("Explorers.eigenvalues.EIGENVALUES"), lam[:8], 5.1e-7)
    data = tab.evaluate("Explorers.eigenvalues.DIGITS")
    assert close(data["leading"], lam[:LATENTS], 5.1e-7)
    assert data["dimension"] == 64 and data["variance"] == pytest.approx(lam.sum().item(), abs=5.1e-7)


@pytest.mark.parametrize("noise_var", [0.005, 0.0327, 0.1, 0.25, 0.42, 0.6, 0.7, 1.0])
def test_with_the_sum_the_elbo_is_the_evidence_of_the_best_model(tab, spectrum, noise_var):
    shown = tab.evaluate("v => Explorers.eigenvalues.elbo(v, 1)", noise_var)
    assert shown == pytest.approx(log_marginal(spectrum, noise_var), rel=1e-11)
    assert shown == pytest.approx(exact_elbo(spectrum, noise_var, 1.0), rel=1e-11)


@pytest.mark.parametrize("noise_var", [0.0051, 0.0072, 0.01, 0.02, 0.5])
def test_with_the_mean_it_is_the_elbo_of_what_this_objective_finds(tab, spectrum, noise_var):
    shown = tab.evaluate("v => Explorers.eigenvalues.elbo(v, 64)", noise_var)
    assert shown == pytest.approx(exact_elbo(spectrum, noise_var, 64.0), rel=1e-11)
    assert shown <= log_marginal(spectrum, noise_var) + 1e-9


@pytest.mark.parametrize("noise_var, beta", [(0.1, 1), (0.3, 1), (0.65, 1), (0.69, 1), (0.008, 64), (0.3, 64)])
def test_the_latents_tell_what_the_package_says(tab, spectrum, noise_var, beta):
    shown = tab.evaluate("all => Explorers.eigenvalues.solved(...all)", [noise_var, beta])
    exact = linear_frontier(spectrum, beta, latent_dim=LATENTS, noise_var=noise_var)
    assert close(shown["rates"], exact.rates, 1e-13) and shown["rate"] == pytest.approx(exact.rate.item(), abs=1e-13)
    assert shown["distortion"] == pytest.approx(exact.distortion.item(), rel=1e-12)
    deaths = critical_betas(spectrum, latent_dim=LATENTS, noise_var=noise_var)
    assert shown["living"] == (deaths > beta).sum() and shown["level"] == pytest.approx(beta * noise_var, rel=1e-15)


def test_the_best_noise_is_the_best(tab, spectrum):
    best = minimize_scalar(lambda s: -log_marginal(spectrum, math.exp(s)), bracket=(-4, -3.4, -3), tol=1e-9)
    assert tab.evaluate("Explorers.eigenvalues.BEST") == pytest.approx(math.exp(best.x), rel=1e-6)


# What is seen


def heights(found: Locator, name: str) -> np.ndarray:
    """Low and high end of each bar, on the axis of the eigenvalues."""
    bars = found.locator(f"rect.{name}").all()
    y, height = (np.array([number(bar, side) for bar in bars]) for side in ("y", "height"))
    return np.stack([210 - y - height, 210 - y], -1) / 200 * 1.1


@pytest.mark.parametrize(
    "place, error, living", [(-2.3, "1", 6), (-1.1, "1", 4), (0, "1", 0), (-5.0, "64", 3), (-1, "64", 0)]
)
def test_what_stands_above_the_level_is_told(tab, found, spectrum, place, error, living):
    move(found, NOISE, place)
    found.get_by_role("combobox").select_option(error)
    level = float(error) * math.exp(place)
    tops = spectrum[:8].numpy()
    assert close(heights(found, "area"), np.stack([0 * tops, tops], -1), 1e-9)
    lam = tops[:LATENTS]
    assert close(heights(found, "bound"), np.stack([np.minimum(level, lam), lam], -1), 1e-9)
    rates = 0.5 * np.log(np.maximum(lam / level, 1))
    texts = found.locator("svg").first.locator("g > text.middle:not(.note)").all_text_contents()
    assert texts == [f"{rate:.2f}" if rate else "dead" for rate in rates] and (rates > 0).sum() == living
    _, surface = curve_of_surface(found)
    assert surface == pytest.approx(210 - 200 / 1.1 * min(level, 1.1))
    name = "σ²" if error == "1" else "64 σ²"
    written = f"dashes: {name} = {level:.{3 if level < 1 else 2}f}" + ", far above" * (level > 1.1)
    assert found.locator(".level").first.text_content() == written
    plane = found.locator("svg.inside").last
    marks = [float(x) for x in re.findall(r"M(-?[\d.]+) ", plane.locator("path.mark").get_attribute("d"))]
    assert close(marks, place_in_plane(np.log(lam / float(error)), 0 * lam)[:, 0], 1e-9)
    ends = [(end.text_content(), number(end, "x")) for end in plane.locator(".note.middle").all()]
    assert ends == [("6", marks[5]), ("1", marks[0])]


def curve_of_surface(found: Locator) -> tuple[float, float]:
    start, y = found.locator(".mark.aim").get_attribute("d")[1:].split("H")[0].split(" ")
    return float(start), float(y)


def place_in_plane(log_noise: float | np.ndarray, elbo: float | np.ndarray) -> np.ndarray:
    return np.stack([38 + (log_noise + 5.5) / 5.7 * 312, 180 - (elbo + 100) / 120 * 170], -1)


def test_the_curve_and_the_dot_are_the_elbo(tab, found, spectrum):
    logs = np.linspace(-5.3, 0, 107)
    exact = np.array([log_marginal(spectrum, math.exp(place)) for place in logs])
    assert np.abs(curve(found.locator(".curve.q")) - place_in_plane(logs, exact)).max() < 0.00501
    move(found, NOISE, -4.1)
    found.get_by_role("combobox").select_option("64")
    dot = found.locator(".here")
    elbo = exact_elbo(spectrum, math.exp(-4.1), 64.0)
    assert close([number(dot, "cx"), number(dot, "cy")], place_in_plane(-4.1, elbo), 1e-7)
    averaged = curve(found.locator(".curve.each"))
    assert close(averaged[24], place_in_plane(-4.1, elbo), 0.00501)
    rate, shown, best, lost = values(found.locator("table"))
    assert rate == 0 and shown == pytest.approx(elbo, rel=1e-11) and best - shown == pytest.approx(lost)
    assert best == pytest.approx(max(exact), abs=0.01) and best > max(exact)
    found.get_by_role("combobox").select_option("1")
    assert found.locator(".curve.each").get_attribute("d") == ""


# What is said


@pytest.mark.parametrize("place, error, said", [
    (-5.3, "1", "All six live, but the 58 directions without a latent vary by 0.033 on average, more than σ²: "),
    (-3.4, "1", "Here maximum likelihood puts σ²: 0.033 is the mean variance of the 58 directions without a latent."),
    (-1.5, "1", "All six live, 31.0 nats below the best ELBO. The next to die is latent 6, where σ² passes 0.232; "
                "here it tells 0.02 nats."),
    (-1.4, "1", "Latent 6 is dead: σ² is above its eigenvalue, 0.232. At the best σ² it tells 0.98 nats. "),
    (-0.4, "1", "Latent 2 is dead: σ² is above its eigenvalue, 0.633. At the best σ² it tells 1.48 nats."),
    (-0.3, "1", "All six are dead: σ² is above every eigenvalue, and the mean image is all that is left, "),
    (-5.3, "64", "Latent 5 is dead: 64 σ² is above its eigenvalue, 0.276. At the best σ² it tells 1.07 nats."),
    (-1.1, "64", "All six are dead: 64 σ² is above every eigenvalue, "),
])  # fmt: skip
def test_each_place_says_what_has_happened_there(found, place, error, said):
    move(found, NOISE, place)
    found.get_by_role("combobox").select_option(error)
    sentence = found.get_by_role("status").inner_text()
    assert sentence.startswith(said)
    assert error == "1" or place < -5 or sentence.endswith("With the sum, four of six would live.")
    if "below the best" in sentence:
        assert f"{values(found.locator('table'))[3]:.1f} nats below the best ELBO" in sentence


def test_the_bet_is_answered_where_all_are_dead(tab, found):
    none, three = (found.get_by_role("button", name=name) for name in ("none", "three"))
    said = found.get_by_role("status")
    three.click()
    assert "bet" not in said.inner_text()
    move(found, NOISE, 0)
    assert said.inner_text().endswith(" Not three, as you bet: it is no accident of training.")
    none.click()
    assert said.inner_text().endswith(" As you bet: it is no accident of training.")
    assert none.get_attribute("aria-pressed") == "true" and three.get_attribute("aria-pressed") == "false"
    script = "Explorers.eigenvalues.verdict(1, 1, null)"
    assert tab.evaluate(script).endswith(" No linear decoder does better at this σ².")


def test_keys_move_the_noise_a_tenth_of_its_logarithm(tab, found):
    knob = found.get_by_role("slider", name=NOISE, exact=True)
    knob.focus()
    tab.keyboard.press("ArrowRight")
    painted(tab)
    assert values(found)[0] == pytest.approx(math.exp(-2.2)) and knob.get_attribute("aria-valuetext") == "0.111"
    tab.keyboard.press("End")
    assert values(found)[0] == 1 and knob.get_attribute("aria-valuetext") == "1.000"
    tab.keyboard.press("Home")
    assert values(found)[0] == pytest.approx(math.exp(-5.3))
