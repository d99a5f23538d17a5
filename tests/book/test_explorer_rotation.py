"""The explorer of a turned code: its covariances, gaps and informations against the package and joint Gaussians."""

import math
import re

import numpy as np
import pytest
import torch
from driving import close, curve, explorer, move, number, values
from playwright.sync_api import Page
from torch.distributions import MultivariateNormal

from vae_tutorial.reference import LinearGaussian, kl_quadrature

KNOBS = {
    "not orthogonal": [[1.2, 0.5], [0.0, 1.0], [0.3, 0.0]],
    "orthogonal, equally strong": [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]],
}
SKEW, EQUAL = KNOBS
CASES = [(SKEW, 0), (SKEW, 17), (SKEW, 38), (SKEW, 71), (EQUAL, 25), (EQUAL, 90)]


def turn(degrees: float) -> np.ndarray:
    a = math.radians(degrees)
    return np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])


def solved(name: str, degrees: float) -> LinearGaussian:
    return LinearGaussian(torch.tensor(KNOBS[name], dtype=torch.float64) @ torch.tensor(turn(degrees)), 0.5)


def asked(tab: Page, what: str, name: str, degrees: float):
    script = f"""([name, degrees]) => {{
        const {{ bound, information, informationGap, model, principal }} = Explorers.rotation;
        const {{ inverse }} = Explorers.network;
        const found = model(name, degrees);
        return {what};
    }}"""
    return tab.evaluate(script, [name, degrees])


@pytest.mark.parametrize("name, degrees", CASES)
def test_p_of_x_stays_and_the_posterior_turns(tab, name, degrees):
    found, exact = asked(tab, "found", name, degrees), solved(name, degrees)
    x = torch.tensor([[0.4, -0.7, 0.2], [1.3, 0.1, -0.5]], dtype=torch.float64)
    shown = MultivariateNormal(torch.zeros(3).double(), torch.tensor(found["covariance"], dtype=torch.float64))
    assert close(shown.log_prob(x), exact.log_marginal(x), 1e-12)
    assert close(shown.log_prob(x), solved(name, 0).log_marginal(x), 1e-12)
    posterior = exact.posterior(x[:1]).covariance_matrix.reshape(2, 2)
    assert close(asked(tab, "inverse(found.precision)", name, degrees), posterior, 1e-12)
    assert close(found["W"], np.array(KNOBS[name]) @ turn(degrees), 1e-14)


@pytest.mark.parametrize("name, degrees", CASES)
def test_the_bound_is_that_of_the_package_and_of_quadrature(tab, name, degrees):
    found, exact = asked(tab, "bound(found)", name, degrees), solved(name, degrees)
    W = torch.tensor(KNOBS[name], dtype=torch.float64)
    p_x = MultivariateNormal(torch.zeros(3).double(), W @ W.T + 0.5 * torch.eye(3).double())
    assert found["logEvidence"] == pytest.approx(-p_x.entropy().item(), abs=1e-12)
    posterior = exact.posterior(torch.zeros(1, 3).double())
    variances = 1 / posterior.precision_matrix.reshape(2, 2).diagonal()
    q = MultivariateNormal(torch.zeros(2).double(), torch.diag(variances))
    joint = MultivariateNormal(torch.zeros(2).double(), posterior.covariance_matrix.reshape(2, 2))
    gap = kl_quadrature(q.log_prob, joint.log_prob, [-6.0] * 2, [6.0] * 2, 241)
    assert found["gap"] == pytest.approx(gap.item(), abs=1e-9)
    x = torch.tensor([[0.4, -0.7, 0.2]], dtype=torch.float64)
    best = exact.elbo(x, exact.posterior(x).mean.reshape(1, 2), variances.log()[None])
    assert found["gap"] == pytest.approx((exact.log_marginal(x) - best).item(), abs=1e-11)
    assert found["elbo"] == pytest.approx(found["logEvidence"] - found["gap"], abs=1e-14)


def joint_covariance(name: str, degrees: float) -> np.ndarray:
    """Of knobs and latents together: z = gain (W v + noise) + noise of q, all of them rows of one linear map."""
    W, W_turned = np.array(KNOBS[name]), np.array(KNOBS[name]) @ turn(degrees)
    C = W_turned @ W_turned.T + 0.5 * np.eye(3)
    gain = W_turned.T @ np.linalg.inv(C)  # the other formula of the posterior's mean
    precision = np.linalg.inv(np.eye(2) - gain @ W_turned)
    ofz = np.hstack([gain @ W, math.sqrt(0.5) * gain, np.diag(1 / np.sqrt(np.diag(precision)))])
    rows = np.vstack([np.hstack([np.eye(2), np.zeros((2, 5))]), ofz])
    return rows @ rows.T


@pytest.mark.parametrize("name, degrees", CASES)
def test_the_information_is_that_of_the_joint_gaussian(tab, name, degrees):
    found = asked(tab, "information(name, found)", name, degrees)
    cov = joint_covariance(name, degrees)
    for latent in (0, 1):
        for k in (0, 1):
            pair = cov[np.ix_([k, 2 + latent], [k, 2 + latent])]
            exact = 0.5 * math.log(pair[0, 0] * pair[1, 1] / np.linalg.det(pair))
            assert found[latent][k] == pytest.approx(exact, abs=1e-11)
    each = np.sort(np.array(found), 0)
    gap = asked(tab, "informationGap(information(name, found))", name, degrees)
    assert gap == pytest.approx((each[1] - each[0]).mean(), abs=1e-14)


def test_the_bound_is_best_at_the_principal_axes_and_nowhere_for_equal_knobs(tab):
    W = np.array(KNOBS[SKEW])
    first = np.linalg.eigh(W.T @ W)[1][:, 1]
    angle = asked(tab, "principal(name)", SKEW, 0)
    assert angle == pytest.approx(math.degrees(math.atan2(first[1], first[0])) % 90, abs=1e-9)
    assert asked(tab, "bound(found).gap", SKEW, angle) == pytest.approx(0, abs=1e-12)
    gaps = [asked(tab, "bound(found).gap", SKEW, a) for a in range(0, 91, 5)]
    assert np.argmin(gaps) == 8 and gaps[0] == pytest.approx(0.0534, abs=5e-5)  # 40°; what the chapter prints
    assert max(abs(asked(tab, "bound(found).gap", EQUAL, a)) for a in (0, 20, 45, 77)) < 1e-12


def test_what_is_said_at_each_kind_of_position(tab):
    say = lambda *a: tab.evaluate("a => Explorers.rotation.verdict(...a)", a)  # noqa: E731
    table = lambda degrees: asked(tab, "information(name, found)", SKEW, degrees)  # noqa: E731
    gap_at = lambda a: asked(tab, "informationGap(information(name, found))", SKEW, a)  # noqa: E731
    assert say(SKEW, 0, None) == (
        f"A latent for each knob: the information gap is {gap_at(0):.2f} nats. The bound lacks 0.053 nats of log p(x)."
    )
    (own, other), _ = table(20)
    assert say(SKEW, 20, None) == (
        "log p(x) is as before, and the bound lacks 0.021 nats. "
        f"z₁ tells {own:.2f} nats of knob 1, {other:.2f} of knob 2."
    )
    best = (
        "The bound is best near 38°, at the principal axes, and there the latents are mixtures: "
        f"the information gap is {gap_at(38):.2f} nats, at 0° {gap_at(0):.2f}."
    )
    assert say(SKEW, 38, None) == best and say(SKEW, 38, "yes, best elsewhere") == "You were right. " + best
    assert say(SKEW, 38, "no, like p(x)") == say(SKEW, 38, "yes, best at 0°") == "Not as you bet. " + best
    assert say(SKEW, 45, None).startswith("log p(x) is as before") and say(SKEW, 90, None) == say(SKEW, 0, None)
    for degrees in (0, 25):
        assert say(EQUAL, degrees, "no, like p(x)").startswith("Every angle is as good for the bound")


def plane(point, limit: float, left: int = 38, low: int = 160) -> np.ndarray:
    """Where a point of the square axes is drawn."""
    x, y = np.asarray(point, dtype=float).T
    return np.stack([left + (x + limit) * (190 - left) / (2 * limit), low - (y + limit) * (low - 10) / (2 * limit)], -1)


def unplane(places: np.ndarray, limit: float) -> np.ndarray:
    x, y = places.T
    return np.stack([(x - 38) * 2 * limit / 152 - limit, (160 - y) * 2 * limit / 150 - limit], -1)


def test_the_drawing_stands_where_the_numbers_say(tab):
    found = explorer(tab, "rotation")
    found.get_by_role("combobox").select_option(EQUAL)  # and back: the curves begin anew
    for degrees in (0, 30):
        move(found, "Angle in degrees", degrees)
    found.get_by_role("combobox").select_option(SKEW)
    for degrees in (0, 20):
        move(found, "Angle in degrees", degrees)
    W = np.array(KNOBS[SKEW]) @ turn(20)
    seen, latent = (found.locator(f"svg[aria-label^='{name}']") for name in ("p(x)", "The posterior"))
    for node, column in ((seen.locator(".curve.q"), 0), (seen.locator(".curve.all"), 1)):
        assert np.abs(curve(node) - plane([[0, 0], 2 * W[:2, column]], 3.4)).max() < 0.0051
    covariance = (W @ W.T + 0.5 * np.eye(3))[:2, :2]
    precision = np.eye(2) + W.T @ W / 0.5
    shapes = [(seen, ".area", covariance, 3.4), (latent, ".area", np.linalg.inv(precision), 1.5),
              (latent, ".curve.q", np.diag(1 / np.diag(precision)), 1.5)]  # fmt: skip
    for on, selector, spread, limit in shapes:
        for i, scale in enumerate((2, 1)):
            points = unplane(curve(on.locator(selector).nth(i)), limit)
            distances = np.sqrt(np.einsum("ni,ij,nj->n", points, np.linalg.inv(spread), points))
            assert np.abs(distances - scale).max() < 2e-3
            assert np.ptp(points, 0) == pytest.approx(2 * scale * np.sqrt(np.diag(spread)), rel=5e-3)
    gap, told = (found.locator(f"svg[aria-label^='{name}']") for name in ("The gap", "The information"))
    for k, text in enumerate(("knob 1", "knob 2")):  # under the end of its dashed line
        named = seen.get_by_text(text)
        assert close([number(named, at) for at in "xy"], plane(-2 * np.array(KNOBS[SKEW])[:2, k], 3.4) + [0, 17], 1e-9)
    for graph, what, high in ((gap, "bound(found).gap", 0.08), (told, "informationGap(information(name, found))", 0.5)):
        y = [asked(tab, what, SKEW, a) for a in range(31)]
        places = np.stack([38 + np.arange(31) * 312 / 90, 120 - np.array(y) * 110 / high], -1)
        assert np.abs(curve(graph.locator(".curve.q")) - places).max() < 0.0051
        assert close([number(graph.locator(".grip"), at) for at in ("cx", "cy")], places[20], 1e-9)


def test_the_numbers_shown_the_bet_and_the_keys(tab):
    found = explorer(tab, "rotation")
    found.get_by_role("combobox").select_option(SKEW)
    found.get_by_role("button", name="no, like p(x)").press("Enter")
    slider = found.get_by_role("slider", name="Angle in degrees")
    move(found, "Angle in degrees", 36)
    for _ in range(2):
        slider.press("ArrowRight")
    assert found.get_by_role("status").inner_text().startswith("Not as you bet. The bound is best near 38°")
    first, *_ = values(found.locator("table").first)
    move(found, "Angle in degrees", 71)
    evidence, gap, elbo = values(found.locator("table").first)
    assert evidence == pytest.approx(first, abs=1e-12) and elbo == evidence - gap and gap > 0.04
    cov = joint_covariance(SKEW, 71)
    rho = cov[2:, :2] / np.sqrt(np.outer(np.diag(cov)[2:], np.diag(cov)[:2]))
    assert close(np.reshape(values(found.locator("table").nth(1)), (2, 2)), -0.5 * np.log1p(-(rho**2)), 1e-10)
    found.get_by_role("combobox").select_option(EQUAL)
    assert values(found.locator("table").first)[1] == pytest.approx(0, abs=1e-12)
    assert re.search(r"The information gap is 0\.\d\d nats, at 0° 0\.29\.", found.get_by_role("status").inner_text())
