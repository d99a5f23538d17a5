"""The explorer of codes: its steps and measures against the package, SciPy's k-means and a grid of the plane."""

import math
import re

import numpy as np
import pytest
import torch
from driving import close, curve, drag, explorer, finger, middle, move, opened, rows, values
from playwright.sync_api import Page
from scipy.cluster.vq import kmeans2
from scipy.stats import kstest, norm

from vae_tutorial.vq import averages_of, ema_update, perplexity, quantize

ELSEWHERE = [[0.3, 0.9], [4.1, 2.6], [1.2, 5.0], [7.0, 1.0], [5.5, 4.0]]
AXES = "([x, y]) => [38 + (x + 2) * 312 / 14, 260 - (y + 2) * 250 / 11]"


@pytest.fixture(scope="module")
def points(tab) -> torch.Tensor:
    return rows(tab, "() => Explorers.codes.POINTS")


@pytest.fixture(scope="module")
def start(tab) -> torch.Tensor:
    return rows(tab, "() => Explorers.codes.START")


def measured(tab: Page, codebook) -> dict:
    return tab.evaluate("e => Explorers.codes.measure(e, Explorers.codes.POINTS)", codebook)


def steps(tab: Page, codebook, gamma: float, n: int) -> torch.Tensor:
    script = """([codebook, gamma, n]) => {
        const { POINTS, averagesOf, step, vector } = Explorers.codes;
        let averages = averagesOf(codebook);
        for (let i = 0; i < n; i++) averages = step(averages, POINTS, gamma);
        return averages.map(vector);
    }"""
    return rows(tab, script, [codebook, gamma, n])


def begin(found) -> None:
    found.get_by_role("button", name="Begin anew").click()
    move(found, "Share of the old averages", 0)


def codes_shown(found) -> np.ndarray:
    """Where the handles stand, in the plane's numbers."""
    places = [re.findall(r"-?[\d.]+", handle.get_attribute("transform")) for handle in found.locator(".handle").all()]
    x, y = np.array(places, dtype=float).T
    return np.stack([(x - 38) * 14 / 312 - 2, (260 - y) * 11 / 250 - 2], -1)


def test_the_points_are_draws_around_the_chapters_centers(tab, points):
    centers = torch.tensor([[0, 0], [4, 1], [1, 4], [5, 5], [8, 2]], dtype=torch.float64)
    assert points.shape == (300, 2)
    apart = (points - centers.repeat(60, 1)) / 0.6
    assert kstest(apart.flatten(), norm.cdf).pvalue > 1e-4
    assert abs(np.corrcoef(apart.T)[0, 1]) < 5 / math.sqrt(300)


def test_the_measures_are_the_packages(tab, points, start):
    for codebook in (start, torch.tensor(ELSEWHERE, dtype=torch.float64)):
        found, exact = measured(tab, codebook.tolist()), quantize(points, codebook)
        assert found["choices"] == exact.codes.tolist()
        assert found["used"] == torch.bincount(exact.codes, minlength=5).tolist()
        assert found["distortion"] == pytest.approx(exact.codebook_loss.mean().item(), rel=1e-12)
        assert 2 ** found["bits"] == pytest.approx(perplexity(exact.codes, 5), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.05, 0.5, 0.95])
def test_a_step_is_the_packages_moving_average(tab, points, start, gamma):
    averages = averages_of(start)
    for n in range(1, 9):
        averages = ema_update(averages, points, gamma)
        if n in (1, 2, 8):
            assert close(steps(tab, start.tolist(), gamma, n), averages.codebook, 1e-11)


def test_without_memory_it_is_k_means(tab, points, start):
    with pytest.warns(UserWarning, match="empty"):
        four, _ = kmeans2(points.numpy(), start.numpy(), iter=40, minit="matrix")
    assert close(steps(tab, start.tolist(), 0, 40)[:4], four[:4], 1e-10)
    five, labels = kmeans2(points.numpy(), np.array(ELSEWHERE), iter=40, minit="matrix")
    assert close(steps(tab, ELSEWHERE, 0, 40), five, 1e-10)
    least = tab.evaluate("() => Explorers.codes.best(Explorers.codes.POINTS)")
    many = [kmeans2(points.numpy(), 5, iter=40, minit="++", seed=seed) for seed in range(30)]
    exact = min(((points.numpy() - book[of]) ** 2).sum(-1).mean() for book, of in many)
    assert least == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("gamma", [0, 0.9])
def test_the_dead_code_stays_where_it_is_to_the_last_step(tab, start, gamma):
    assert close(steps(tab, start.tolist(), gamma, 20)[4], start[4], 1e-9)
    script = """gamma => {
        const { averagesOf, step, vector } = Explorers.codes;
        let averages = averagesOf([[0, 0], [50, 7]]);
        for (let i = 0; i < 10000; i++) averages = step(averages, [[1, 1]], gamma);
        return averages.map(vector);
    }"""
    assert close(rows(tab, script, gamma), [[1, 1], [50, 7]], 1e-9)


def test_a_restart_takes_points_and_leaves_the_living(tab, points, start):
    script = """([start, u]) => {
        const { POINTS, averagesOf, restart, vector } = Explorers.codes;
        return restart(averagesOf(start), POINTS, () => u).map(vector);
    }"""
    for u, i in ((0.0, 0), (0.5, 150), (0.9999, 299)):
        found = rows(tab, script, [start.tolist(), u])
        assert close(found[:4], start[:4], 1e-12) and close(found[4], points[i], 1e-12)


def test_a_cell_is_where_its_code_is_nearest(tab, start):
    box, grid = [[-2, 12], [-2, 9]], np.stack(np.meshgrid(np.linspace(-2, 12, 141), np.linspace(-2, 9, 111)), -1)
    for codebook in (start.numpy(), np.array(ELSEWHERE)):
        of = ((grid[:, :, None] - codebook) ** 2).sum(-1).argmin(-1)
        areas = []
        for c in range(5):
            corners = np.array(tab.evaluate("a => Explorers.codes.cell(...a)", [codebook.tolist(), c, box]))
            x, y = corners.T
            areas.append(0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
            assert areas[-1] == pytest.approx((of == c).mean() * 154, abs=1.5)
            middles = 0.999 * corners + 0.001 * codebook[c]
            assert (((middles[:, None] - codebook) ** 2).sum(-1).argmin(-1) == c).all()
        assert sum(areas) == pytest.approx(154, abs=1e-9)


def test_what_is_said_at_each_kind_of_position(tab):
    def say(used, distortion, moved, bet=None):
        found = dict(used=used, distortion=distortion, bits=1.937)
        return tab.evaluate("a => Explorers.codes.verdict(...a)", [found, moved, 0.7, bet])

    dead, alive_ = [60, 120, 60, 60, 0], [60] * 5
    assert say(dead, 2.4, None) == (
        "Code 5 is dead: no point lies nearest. "
        "The mean squared distance is 2.40; 0.70 is possible. Bet, then take steps."
    )
    assert say(dead, 2.4, None, "no").endswith("0.70 is possible. Take steps, or drag it.")
    assert say([0, 120, 120, 60, 0], 2.4, None).startswith("Codes 1, 5 are dead")
    assert say(alive_, 2.4, None).startswith("No code is dead; their choice takes 1.94 bits.")
    assert say(dead, 2.4, 0.5).startswith("The longest move was 0.50. Code 5 stayed: no point pulls.")
    assert say(alive_, 2.4, 0.5) == "The longest move was 0.50. The mean squared distance is 2.40; 0.70 is possible."
    assert say(dead, 2.4, 0.004, "no").startswith("You were right: no. The others have settled")
    assert say(dead, 2.4, 0.004, "yes, in the end").startswith("Not as you bet: it stays.")
    assert say(dead, 2.4, 0.004).startswith("The others have settled")
    assert say(alive_, 1.2, 0.004).startswith("Settled, all alive, and not the best")
    assert say(alive_, 0.7001, 0.004).startswith("Settled at the best that we know: 0.70")


def test_the_bet_is_decided_by_steps_and_the_drawing_follows(tab, points, start):
    found = explorer(tab, "codes")
    begin(found)
    assert close(codes_shown(found), start, 1e-9)
    found.get_by_role("button", name="no", exact=True).press("Enter")
    step = found.get_by_role("button", name="One step")
    for _ in range(12):
        step.press("Enter")
    assert found.get_by_role("status").inner_text().startswith("You were right: no.")
    shown = codes_shown(found)
    assert close(shown, steps(tab, start.tolist(), 0, 12), 1e-9) and close(shown[4], start[4], 1e-9)
    assert found.locator(".handle.dead").count() == 1
    exact = quantize(points, torch.tensor(shown))
    assert [int(text) for text in found.locator(".handle .note").all_text_contents()] == np.bincount(
        exact.codes, minlength=5
    ).tolist()
    distortion, least, bits, most, effective = values(found.locator("table"))
    assert distortion == pytest.approx(exact.codebook_loss.mean().item(), rel=1e-9) and most == math.log2(5)
    assert effective == pytest.approx(perplexity(exact.codes, 5), rel=1e-9) and least < distortion
    for c in range(5):
        dots = re.findall(r"M(-?[\d.]+) (-?[\d.]+)h0", found.locator(f".codes.class-{c}").get_attribute("d"))
        exact_places = [tab.evaluate(AXES, z) for z in points[exact.codes == c].tolist()]
        assert len(dots) == len(exact_places)
        assert not dots or np.abs(np.array(dots, dtype=float) - exact_places).max() < 0.0501
    cell = curve(found.locator(".cell.class-0"))
    corners = tab.evaluate("a => Explorers.codes.cell(...a)", [shown.tolist(), 0, [[-2, 12], [-2, 9]]])
    assert np.abs(cell - [tab.evaluate(AXES, corner) for corner in corners]).max() < 0.0051


def test_a_code_is_dragged_to_life_and_follows_keys(tab):
    found = explorer(tab, "codes")
    begin(found)
    found.get_by_role("button", name="One step").click()
    assert found.get_by_role("status").inner_text().startswith("The longest move was")
    before = codes_shown(found)
    fifth = found.get_by_role("slider", name="Code 5")
    to = middle(found.get_by_role("slider", name="Code 2").locator(".grip"))
    drag(tab, middle(fifth.locator(".grip")), (to[0], to[1] - 30))
    assert found.locator(".handle.dead").count() == 0
    assert found.get_by_role("status").inner_text().startswith("No code is dead")
    assert close(codes_shown(found)[:4], before[:4], 1e-9)
    before = codes_shown(found)[4]
    fifth.press("Shift+ArrowRight"), fifth.press("ArrowUp")
    assert close(codes_shown(found)[4] - before, [0.5, 0.05], 1e-9)
    for _ in range(15):
        found.get_by_role("button", name="One step").click()
    assert found.get_by_role("status").inner_text().startswith("Settled")


def test_a_restart_revives_and_memory_slows(tab, start):
    found = explorer(tab, "codes")
    begin(found)
    move(found, "Share of the old averages", 0.9)
    found.get_by_role("button", name="One step").click()
    assert close(codes_shown(found), steps(tab, start.tolist(), 0.9, 1), 1e-9)
    for _ in range(2):  # the second finds none
        found.get_by_role("button", name="Restart the dead").click()
        assert found.locator(".handle.dead").count() == 0
        assert found.get_by_role("status").inner_text().startswith("No code is dead")


def test_a_finger_takes_a_code_and_no_other(tmp_path, browser, tab):
    with browser.new_context(viewport={"width": 390, "height": 500}, has_touch=True) as context:
        phone = opened(context, tab.url, "codes")
        found = explorer(phone, "codes")
        grip = found.get_by_role("slider", name="Code 4").locator(".grip")
        grip.scroll_into_view_if_needed()
        before = codes_shown(found)
        x, y = middle(grip)
        finger(phone, [(x, y), (x + 10, y - 10), (x + 30, y - 40)])
        after = codes_shown(found)
        assert after[3, 0] > before[3, 0] + 0.5 and after[3, 1] > before[3, 1] + 0.5
        assert close(after[[0, 1, 2, 4]], before[[0, 1, 2, 4]], 1e-9)
