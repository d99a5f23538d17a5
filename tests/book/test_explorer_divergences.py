"""Two divergences by hand: both are SciPy's, the walks end where descent ends, and the sentence says what is there."""

import math

import numpy as np
import pytest
from driving import alive, close, curve, explorer, move, rows, values
from playwright.sync_api import Locator, Page
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm

WEIGHTS, MEANS, SDS = (0.4, 0.6), (-2.2, 1.7), (0.6, 0.8)  # the chapter's target
PLACES = [(-3.5, -0.5), (0.1, 1.4), (4.0, 3.0), (1.7, -2.0), (-4.0, -2.0)]
FORWARD, REVERSE = "KL(p ‖ q)", "KL(q ‖ p)"
each_place = pytest.mark.parametrize("mu, log_var", PLACES)


@pytest.fixture
def found(tab) -> Locator:
    """The explorer where it begins; a bet once made stays."""
    found = explorer(tab, "divergences")
    put(found, -3.5, -0.5)
    return found


def put(found: Locator, mu: float, log_var: float) -> None:
    move(found, "Center of q", mu)
    move(found, "Log of the variance of q", log_var)


def ask(tab: Page, name: str, *arguments):
    return tab.evaluate(f"all => Explorers.divergences.{name}(...all)", list(arguments))


def log_p(x):
    parts = [math.log(w) + norm.logpdf(x, m, s) for w, m, s in zip(WEIGHTS, MEANS, SDS, strict=True)]
    return np.logaddexp(*parts)


def divergence(direction: str, mu: float, log_var: float) -> float:
    """By SciPy's adaptive quadrature."""
    log_q = norm(mu, math.exp(log_var / 2)).logpdf

    def charge(x: float) -> float:
        p, q = log_p(x), log_q(x)
        return math.exp(p) * (p - q) if direction == "forward" else math.exp(q) * (q - p)

    how = dict(epsabs=1e-13, epsrel=1e-12, limit=500)
    return quad(charge, -60, 60, points=[*MEANS, mu, mu - 1, mu + 1], **how)[0]


def by_moments() -> tuple[float, float]:
    """Mean and variance of the target, from those of its parts."""
    mean = sum(w * m for w, m in zip(WEIGHTS, MEANS, strict=True))
    squares = sum(w * (s**2 + m**2) for w, m, s in zip(WEIGHTS, MEANS, SDS, strict=True))
    return mean, squares - mean**2


# What is computed


@each_place
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_both_divergences_are_adaptive_quadratures(tab, direction, mu, log_var):
    exact = divergence(direction, mu, log_var)
    assert ask(tab, "kl", direction, [mu, log_var]) == pytest.approx(exact, rel=1e-9)


def test_the_target_is_the_chapters(tab):
    x = [-40.0, -2.2, -0.5, 1.7, 6.0]
    assert close(rows(tab, "all => all.map(Explorers.divergences.logP)", x), log_p(np.array(x)), 1e-10)


def test_the_charge_is_highest_where_it_is_said(tab):
    x = np.round(np.arange(-500, 501) * 0.1, 1)
    for mu, log_var in PLACES:
        p, q = log_p(x), norm.logpdf(x, mu, math.exp(log_var / 2))
        for direction, exact in (("forward", np.exp(p) * (p - q)), ("reverse", np.exp(q) * (q - p))):
            shown = [ask(tab, "charge", direction, at, [mu, log_var]) for at in (-2.2, 0.3)]
            assert close(shown, exact[[np.abs(x - at).argmin() for at in (-2.2, 0.3)]], 1e-9)
            assert ask(tab, "dearest", direction, [mu, log_var]) == pytest.approx(x[exact.argmax()])


def test_the_lowest_of_a_gaussian_is_that_of_moments_and_of_scipy(tab):
    mean, variance = by_moments()
    assert ask(tab, "lowest", "forward") == pytest.approx(divergence("forward", mean, math.log(variance)), abs=1e-6)
    x = np.linspace(-30, 30, 1501)

    def reverse(q: np.ndarray) -> float:
        log_q = norm.logpdf(x, q[0], math.exp(q[1] / 2))
        return (np.exp(log_q) * (log_q - log_p(x))).sum() * 0.04

    starts = [(mu, log_var) for mu in (-3, -1, 0.5, 2, 4) for log_var in (-1, 1, 2)]
    best = min(
        minimize(reverse, start, method="Nelder-Mead", options=dict(xatol=1e-8, fatol=1e-12)).fun for start in starts
    )
    assert ask(tab, "lowest", "reverse") == pytest.approx(best, abs=1e-6)


def neighbors(mu: float, log_var: float) -> list[tuple[float, float]]:
    steps = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
    moved = [(round(mu + 0.1 * a, 1), round(log_var + 0.1 * b, 1)) for a, b in steps]
    return [(m, s) for m, s in moved if -4 <= m <= 4 and -2 <= s <= 3]


@each_place
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_downhill_is_the_lowest_neighbor(tab, direction, mu, log_var):
    best = min(neighbors(mu, log_var), key=lambda q: divergence(direction, *q))
    lower = divergence(direction, *best) < divergence(direction, mu, log_var)
    assert ask(tab, "downhill", direction, [mu, log_var]) == (pytest.approx(best) if lower else None)


def test_one_direction_has_one_rest_and_the_other_three(tab):
    """All 4,131 places where the sliders can stand, by a sum of SciPy's densities."""
    x = np.arange(-500, 501) * 0.1
    p = log_p(x)
    mu, log_var = np.arange(-40, 41) * 0.1, np.arange(-20, 31) * 0.1
    table = {"forward": np.empty((81, 51)), "reverse": np.empty((81, 51))}
    for j, s in enumerate(log_var):
        q = norm.logpdf(x, mu[:, None], math.exp(s / 2))
        table["forward"][:, j] = (np.exp(p) * (p - q)).sum(1) * 0.1
        table["reverse"][:, j] = (np.exp(q) * (q - p)).sum(1) * 0.1
    for direction, value in table.items():
        padded = np.pad(value, 1, constant_values=np.inf)
        around = [padded[1 + a : 82 + a, 1 + b : 52 + b] for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
        rests = {
            (round(mu[i], 1), round(log_var[j], 1)) for i, j in zip(*np.where(value < np.min(around, 0)), strict=True)
        }
        starts = [(a, b) for a in (-4, -2, -0.5, 0.5, 2, 4) for b in (-2, 0, 2, 3)]
        reached = {tuple(ask(tab, "rest", direction, [*start])) for start in starts}
        assert reached == rests and len(rests) == {"forward": 1, "reverse": 3}[direction]


RIGHT = "As you bet: at the lowest only KL(p ‖ q) is between."
FALSE = "Not as you bet: at the lowest only KL(p ‖ q) is between."
COVERS, VALLEY = (
    "It pays wherever p is and q is not, and so covers both.",
    "It pays wherever q is and p is not, in the valley above all.",
)
CHARGES = "KL(p ‖ q) charges most at x = 1.9, where p is and q is not; KL(q ‖ p) at −4.0, where q is and p is not."


@pytest.mark.parametrize("q, at, above, bet, said", [
    ((-3.5, -0.5), [], 9, None, f"{CHARGES} Bet, then walk."),
    ((-3.5, -0.5), [], 9, "both", CHARGES),
    ((0.1, 1.4), ["forward"], 0.001, FORWARD, f"KL(p ‖ q) rests, q between the peaks: its lowest. {RIGHT} {COVERS}"),
    ((0.1, 1.4), ["forward"], 0.001, "both", f"KL(p ‖ q) rests, q between the peaks: its lowest. {FALSE} {COVERS}"),
    ((1.7, -0.4), ["reverse"], 0.001, REVERSE, f"KL(q ‖ p) rests, q on the right peak: its lowest. {FALSE} {VALLEY}"),
    ((1.7, -0.4), ["reverse"], 0.001, None, "KL(q ‖ p) rests, q on the right peak: its lowest. Bet, then walk."),
    ((-2.2, -0.9), ["reverse"], 0.404, "both", "KL(q ‖ p) rests, q on the left peak: 0.40 nats above its lowest. "
     "Every notch leads uphill. From another start it ends elsewhere."),
])  # fmt: skip
def test_what_is_said(tab, q, at, above, bet, said):
    here = dict(q=q, at=at, above={direction: above for direction in at}, bet=bet)
    assert ask(tab, "reading", here) == said


# What is drawn


def across(x):
    return 38 + (x + 7) * 312 / 14


@pytest.mark.parametrize("mu, log_var", [(-3.5, -0.5), (0.7, 1.2)])
def test_the_curves_are_where_the_numbers_say(found, mu, log_var):
    put(found, mu, log_var)
    x = np.linspace(-7, 7, 281)
    p, q = log_p(x), norm.logpdf(x, mu, math.exp(log_var / 2))
    drawn = {".area": 170 - np.exp(p) * 160 / 0.7, ".curve.all": 170 - np.exp(q) * 160 / 0.7,
             ".curve.q": 190 - (np.exp(p) * (p - q) + 0.4) * 180 / 1.6,
             ".curve.reverse": 190 - (np.exp(q) * (q - p) + 0.4) * 180 / 1.6}  # fmt: skip
    for name, height in drawn.items():
        points = curve(found.locator(name))
        points = points[1:-1] if name == ".area" else points
        assert np.abs(points - np.stack([across(x), height], -1)).max() < 0.00501, name


def test_the_table_has_both_now_and_at_their_lowest(tab, found):
    put(found, 0.7, 1.2)
    shown = np.array(values(found.locator("table"))).reshape(2, 2)
    exact = [[divergence(direction, 0.7, 1.2), ask(tab, "lowest", direction)] for direction in ("forward", "reverse")]
    assert close(shown, exact, 1e-9)


# What hands do


def walk(tab: Page, found: Locator, name: str) -> list[float]:
    found.get_by_role("button", name=f"down {name}", exact=True).click()
    tab.wait_for_selector(".explorer-divergences [data-state=over]")
    return [round(value, 1) for value in values(found)[:2]]


def test_after_the_bet_one_walks_to_every_rest_and_no_farther(tab, found):
    down = found.get_by_role("button", name=f"down {FORWARD}", exact=True)
    assert down.is_disabled() or found.locator("[aria-pressed=true]").count() == 1
    found.get_by_role("button", name="both", exact=True).click()
    assert down.is_enabled()
    assert walk(tab, found, FORWARD) == [0.1, 1.4]
    assert found.get_by_role("status").inner_text().endswith(f"{FALSE} {COVERS}")
    assert walk(tab, found, FORWARD) == [0.1, 1.4]
    for start, end in (((-3.5, -0.5), [-2.2, -0.9]), ((4, -0.5), [1.7, -0.4]), ((-1, 2), [0.5, 1.1])):
        put(found, *start)
        assert walk(tab, found, REVERSE) == end
    assert "between the peaks: 0.12 nats above its lowest" in found.get_by_role("status").inner_text()


def test_a_hand_on_a_slider_ends_the_walk(tab, found):
    found.get_by_role("button", name="both", exact=True).click()
    script = """live => {
        [...live.querySelectorAll("button")].find(node => node.textContent === "down KL(p ‖ q)").click();
        const first = live.dataset.state;
        const input = live.querySelector("input");
        input.value = 3;
        input.dispatchEvent(new Event("input", { bubbles: true }));
        return [first, live.dataset.state];
    }"""
    assert found.locator(".explorer-live").evaluate(script) == ["walking", "over"]
    tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert values(found)[0] == 3 and found.get_by_role("status").inner_text().startswith("KL(p ‖ q) charges most")


def test_who_wants_no_motion_is_there_at_once(tmp_path, browser):
    with alive(browser, tmp_path, "divergences") as other:
        other.emulate_media(reduced_motion="reduce")
        other.reload()
        found = explorer(other, "divergences")
        found.get_by_role("button", name="both", exact=True).click()
        found.get_by_role("button", name=f"down {FORWARD}", exact=True).click()
        assert [round(value, 1) for value in values(found)[:2]] == [0.1, 1.4]


def test_the_keys_move_a_notch(found):
    slider = found.get_by_role("slider", name="Center of q", exact=True)
    slider.press("ArrowRight")
    assert values(found)[0] == pytest.approx(-3.4)
    found.get_by_role("slider", name="Log of the variance of q", exact=True).press("ArrowLeft")
    assert values(found)[1] == pytest.approx(-0.6)
