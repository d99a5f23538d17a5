"""The explorer of the prior: what a prior gains is the difference of two mean KLs, each by adaptive quadrature."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from driving import close, curve, explorer, move, number, painted, values
from playwright.sync_api import Locator
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm

from vae_tutorial.gaussian import kl_standard_normal
from vae_tutorial.priors import Mixture

MEAN, APART, LOG_VAR = "Mean of the prior", "Distance of its two peaks from the mean", "Log-variance of each peak"
STANDARD = (0.0, 0.0, 0.0)
PRIORS = [(0.5, 0.0, 0.7), (0.75, 1.35, -1.4), (-1.2, 0.4, 0.9), (-2.0, 0.0, -3.0), (1.9, 2.0, -2.0)]


@pytest.fixture(scope="module")
def codes(tab) -> list[list[float]]:
    return tab.evaluate("Explorers.prior.CODES")


@pytest.fixture
def found(tab) -> Locator:
    """The explorer as it begins, but for a bet."""
    found = explorer(tab, "prior")
    set_prior(found, STANDARD)
    return found


def set_prior(found: Locator, prior: tuple[float, float, float]) -> None:
    for name, value in zip((MEAN, APART, LOG_VAR), prior, strict=True):
        move(found, name, value)


def mixture(components: list[tuple[float, float]]) -> Callable[[float], float]:
    """The log-density of the package's mixture with equal weights, of means and log-variances."""
    prior = Mixture(1, len(components), seed=0).double().requires_grad_(False)
    mu, log_var = torch.tensor(components, dtype=torch.float64).T
    prior.logits.zero_()
    prior.mu.copy_(mu[:, None])
    prior.log_var.copy_(log_var[:, None])
    return lambda z: prior.log_prob(torch.tensor([[z]], dtype=torch.float64)).item()


def of(prior: tuple[float, float, float]) -> Callable[[float], float]:
    mean, apart, log_var = prior
    return mixture([(mean - apart, log_var), (mean + apart, log_var)])


def together(codes: list[list[float]]) -> Callable[[float], float]:
    return mixture([(mu, 2 * math.log(sd)) for mu, sd in codes])


def rate(codes: list[list[float]], log_p: Callable[[float], float]) -> float:
    """The mean of KL(q(z | x_n) ‖ p), an integral for each code around its own center."""

    def kl(mu: float, sd: float) -> float:
        contrast = lambda eps: norm.pdf(eps) * (norm.logpdf(eps) - math.log(sd) - log_p(mu + sd * eps))  # noqa: E731
        return quad(contrast, -9, 9, epsabs=1e-12, epsrel=1e-12, limit=200)[0]

    return float(np.mean([kl(*code) for code in codes]))


def js(prior: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("mean", "apart", "logVar"), prior, strict=True))


def test_the_information_is_the_mean_divergence_from_the_average(tab, codes):
    assert tab.evaluate("Explorers.prior.information()") == pytest.approx(rate(codes, together(codes)), abs=1e-10)


def test_under_the_standard_normal_the_rate_is_the_closed_form(tab, codes):
    mu, sd = torch.tensor(codes, dtype=torch.float64).T
    exact = kl_standard_normal(mu[:, None], 2 * sd.log()[:, None]).mean().item()
    shown = tab.evaluate("Explorers.prior.information() + Explorers.prior.mismatch(Explorers.prior.STANDARD)")
    assert shown == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("prior", PRIORS)
def test_information_and_mismatch_are_the_rate(tab, codes, prior):
    shown = tab.evaluate("prior => Explorers.prior.information() + Explorers.prior.mismatch(prior)", js(prior))
    assert shown == pytest.approx(rate(codes, of(prior)), rel=1e-10)


@pytest.mark.parametrize("z", [-7.9, -1.3, 0.4, 2.0, 7.0])
def test_densities_are_the_packages_far_out_too(tab, codes, z):
    for prior in PRIORS:
        shown = tab.evaluate("([z, prior]) => Explorers.prior.logPrior(z, prior)", [z, js(prior)])
        assert shown == pytest.approx(of(prior)(z), rel=1e-12)
    assert tab.evaluate("z => Explorers.prior.logCodes(z)", z) == pytest.approx(together(codes)(z), rel=1e-12)


def test_the_best_gaussian_is_the_best(tab, codes):
    nodes = np.linspace(-8, 8, 1601)
    q = np.mean([norm.pdf(nodes, mu, sd) for mu, sd in codes], axis=0) * 0.01
    cross = lambda p: -q @ norm.logpdf(nodes, p[0], math.exp(0.5 * p[1]))  # noqa: E731
    best = minimize(cross, [0.0, 0.0], tol=1e-12).x
    shown = tab.evaluate("Explorers.prior.bestGaussian()")
    assert close([shown["mean"], shown["logVar"]], best, 1e-5) and shown["apart"] == 0


@pytest.mark.parametrize("prior", [STANDARD, *PRIORS])
def test_the_worst_place_costs_most(tab, codes, prior):
    z = np.linspace(-5, 5, 501)
    log_q, log_p = (np.array([log(value) for value in z]) for log in (together(codes), of(prior)))
    assert tab.evaluate("prior => Explorers.prior.worst(prior)", js(prior)) == pytest.approx(
        z[np.argmax(np.exp(log_q) * (log_q - log_p))], abs=0.021
    )


# What is seen


def bars(found: Locator, name: str) -> np.ndarray:
    """Left and right end of the two bars, in nats."""
    boxes = [(number(bar, "x"), number(bar, "width")) for bar in found.locator(f"rect.{name}").all()]
    return np.array([[left, left + width] for left, width in boxes]) / 340 * 4 - 10 / 85


@pytest.mark.parametrize("prior", PRIORS)
def test_bars_and_curves_are_drawn_where_the_numbers_say(found, codes, prior):
    set_prior(found, prior)
    information, before, after = rate(codes, together(codes)), rate(codes, of(STANDARD)), rate(codes, of(prior))
    assert close(bars(found, "bound"), [[0, information]] * 2, 1e-9)
    assert close(bars(found, "gap"), [[information, before], [information, min(after, 4)]], 1e-9)
    told = [information, information, before - information, after - information, before, after, 0, before - after]
    assert close(values(found.locator("table")), told, 1e-9 * max(1, after))
    mark = float(found.locator(".mark.aim").get_attribute("d")[1:].split(" ")[0])
    assert (mark - 10) / 85 == pytest.approx(before, abs=1e-9)
    gaps = found.locator(".on-gap").all_text_contents()
    kl = after - information
    assert gaps == ["KL", "KL, and farther →" if after > 4 else "KL" if kl > 0.35 else ""]
    z = np.linspace(-4, 4, 201)
    place = lambda density: np.stack([38 + (z + 4) / 8 * 312, 260 - density / 0.8 * 250], -1)  # noqa: E731
    area = curve(found.locator(".area"))
    assert np.abs(area[1:-1] - place(np.exp([of(prior)(value) for value in z]))).max() < 0.0051
    shares = [norm.pdf(z, mu, sd) / 5 for mu, sd in codes]
    for line, share in zip(found.locator(".curve.each").all(), shares, strict=True):
        assert np.abs(curve(line)[1:-1] - place(share)).max() < 0.0051
    assert np.abs(curve(found.locator(".curve.all"))[1:-1] - place(sum(shares))).max() < 0.0051


def test_q_itself_takes_the_priors_place_until_a_slider_moves(found, codes):
    itself = found.get_by_role("button", name="q(z) itself")
    itself.click()
    assert found.locator(".area").get_attribute("d") == found.locator(".curve.all").get_attribute("d")
    information, before = rate(codes, together(codes)), rate(codes, of(STANDARD))
    table = values(found.locator("table"))
    assert close(table[1::2], [information, 0, information, before - information], 1e-9)
    assert itself.get_attribute("aria-pressed") == "true"
    move(found, MEAN, 0.1)
    assert itself.get_attribute("aria-pressed") == "false"
    assert values(found.locator("table"))[5] == pytest.approx(rate(codes, of((0.1, 0.0, 0.0))), abs=1e-9)
    itself.click()
    itself.click()
    assert itself.get_attribute("aria-pressed") == "false"


# What is said


@pytest.mark.parametrize("prior, said", [
    (STANDARD, "N(0, 1) is what we compare with. It fails the codes most at z = 2.4: there they are 13.4 times"),
    ((0.5, 0.0, 0.0), "It gains 0.11 of 0.66 nats. It fails the codes most at z = 2.4: there they are 4.6 times "),
    ((0.5, 0.0, 0.7), "It gains 0.27 of 0.66 nats, and no single Gaussian gains more: mean and variance "
                      "are those of the codes. Pull it apart."),
    ((0.5, 0.2, 0.7), "It gains 0.27 of 0.66 nats. It fails "),
    ((0.75, 1.35, -1.4), "It gains 0.64 of 0.66 nats, more than any single Gaussian. It fails "),
    ((-1.0, 0.0, 0.0), "It loses 0.9"),
    ((-2.0, 0.0, -3.0), "It loses 79.13 nats against N(0, 1). It fails the codes most at z = 2.4: there they are over"),
])  # fmt: skip
def test_each_prior_is_told_what_it_gains_and_where_it_fails(found, prior, said):
    set_prior(found, prior)
    assert found.get_by_role("status").inner_text().startswith(said)


def test_the_bet_is_answered_by_q_itself(tab, found):
    said = found.get_by_role("status")
    found.get_by_role("button", name="no limit").click()
    assert said.inner_text().startswith(
        "Now move the prior, or put q(z) itself in its place. It fails the codes most at"
    )
    found.get_by_role("button", name="q(z) itself").click()
    told = "q(z) as the prior gains 0.66 nats, its whole KL; and no KL is below 0, so none gains more. Left are "
    assert said.inner_text().startswith(f"Not as you bet. {told}")
    found.get_by_role("button", name="only its KL").click()
    assert said.inner_text().startswith(f"You bet right. {told}")
    assert tab.evaluate("Explorers.prior.verdict(null, null)").startswith(told)


def test_keys_move_the_prior(tab, found):
    for name, step in ((MEAN, 0.05), (APART, 0.05), (LOG_VAR, 0.1)):
        found.get_by_role("slider", name=name, exact=True).focus()
        tab.keyboard.press("ArrowRight")
        painted(tab)
        assert found.get_by_role("slider", name=name, exact=True).input_value() == f"{step}"
    shown = values(found)[:3]
    assert close(shown, [0.05, 0.05, 0.1], 1e-12)
