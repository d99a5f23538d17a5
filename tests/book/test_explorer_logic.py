"""The arithmetic of the explorers: every threshold, distance and sign, and every number as it is written.

One bare page holds the scripts as they are, without the book around them, so that what one of them computes is asked
for by itself. It is compared with the package, NumPy and SciPy, or with a case small enough to be done by hand.
"""

import base64
import math
import re
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from driving import FOLDER, NAMES, alive, close, curve, explorer, move, number, painted, rows, values
from playwright.sync_api import Locator, Page
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import kstest, norm
from test_explorers import MEANS, check_numbers, code, draws_its_code, draws_shown, estimates, log_joint
from torch import nn
from torch.distributions import MultivariateNormal

from vae_tutorial import checkpoints
from vae_tutorial.bounds import elbo_terms
from vae_tutorial.gaussian import kl_standard_normal, log_normal, log_standard_normal, reparameterize
from vae_tutorial.likelihoods import normal_diag
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.reference import kl_quadrature, log_marginal_quadrature


@pytest.fixture(scope="module")
def tab(tmp_path_factory, browser) -> Iterator[Page]:
    """A page with nothing but the explorers, high enough for all of them to be near its window."""
    with alive(browser, tmp_path_factory.mktemp("bare"), *NAMES) as tab:
        yield tab


@pytest.fixture(scope="module")
def model() -> VAE:
    return checkpoints.load(FOLDER / "model.safetensors").double()


# network.js


def test_the_gaussians_are_the_packages(tab):
    generator = torch.Generator().manual_seed(0)
    z, mu, log_var = (4 * torch.randn(200, generator=generator).double() for _ in range(3))
    names = {"logNormal": log_normal, "reparameterize": lambda eps, m, s: reparameterize(m, s, eps)}
    for name, exact in names.items():
        order = "[z, m, s]" if name == "logNormal" else "[m, s, z]"
        script = f"all => all.map(([z, m, s]) => Explorers.network.{name}(...{order}))"
        shown = rows(tab, script, torch.stack([z, mu, log_var], -1).tolist())
        assert torch.allclose(shown, exact(*(part[:, None] for part in (z, mu, log_var))).reshape(200), rtol=1e-13)
    assert tab.evaluate("Explorers.network.LOG_2PI") == pytest.approx(math.log(2 * math.pi), rel=1e-15)


@pytest.mark.parametrize("mu, log_var", [(0.3, -1.2), (-2.0, 0.8), (0.0, 1e-9), (0.0, -1e-9), (1e-9, 0.0), (0.0, 0.0)])
def test_the_divergence_is_the_packages_near_zero_too(tab, mu, log_var):
    shown = tab.evaluate("q => Explorers.network.klStandardNormal(...q)", [mu, log_var])
    exact = kl_standard_normal(*(torch.tensor([[value]], dtype=torch.float64) for value in (mu, log_var)))
    assert shown == pytest.approx(exact.item(), rel=1e-13, abs=1e-24) and shown >= 0


def test_far_out_the_logarithm_of_the_sigmoid_is_finite(tab):
    logits = [-800.0, -40.0, -1.5, -1e-3, 0.0, 1e-3, 1.5, 40.0, 800.0]
    exact = torch.tensor(logits, dtype=torch.float64)
    log_sigmoid = rows(tab, "all => all.map(Explorers.network.logSigmoid)", logits)
    assert torch.allclose(log_sigmoid, torch.nn.functional.logsigmoid(exact), rtol=1e-14, atol=0)
    sigmoid = rows(tab, "all => all.map(Explorers.network.sigmoid)", logits)
    assert torch.allclose(sigmoid, torch.sigmoid(exact), rtol=1e-14, atol=1e-300)


def test_the_noise_is_mulberry32s_by_box_and_muller(tab):
    for seed in (1, 7, 2**31 - 1):
        uniform = mulberry32(seed)
        radius, angle = np.array([next(uniform) for _ in range(200)]).reshape(100, 2).T
        shown = rows(tab, "seed => Explorers.network.standardNoise(100, seed)", seed)
        assert close(shown, np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * angle), 1e-12)


def mulberry32(state: int) -> Iterator[float]:
    """Its definition in whole numbers, with the middle of each of the 2³² cells of (0, 1)."""
    whole = 2**32
    while True:
        state = (state + 0x6D2B79F5) % whole
        t = (state ^ state >> 15) * (state | 1) % whole
        t ^= (t + (t ^ t >> 7) * (t | 61)) % whole
        yield ((t ^ t >> 14) + 0.5) / whole


def test_a_pixel_is_black_where_the_uniform_number_lies_below_its_gray(tab):
    script = "([gray, uniform]) => Array.from(Explorers.network.binarize(gray, uniform))"
    assert tab.evaluate(script, [[0, 0.5, 0.5, 0.5, 1], [0, 0.25, 0.5, 0.75, 0.999]]) == [0, 1, 0, 0, 1]


def test_packed_numbers_are_read_as_numpy_reads_them(tab):
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    script = "([kind, text]) => Array.from(Explorers.network[kind](text))"
    assert np.array_equal(tab.evaluate(script, ["float16", packed(halves)]), halves.astype(float))
    levels = np.arange(-128, 128, dtype=np.int8)
    scales = np.array([0.5, 0.25], dtype=np.float64)
    by_row = "([text, scales]) => Array.from(Explorers.network.int8(text, scales))"
    shown = tab.evaluate(by_row, [packed(levels), scales.tolist()])
    assert np.array_equal(shown, levels * scales.repeat(128))
    singles = np.array([-1.5, 0.1, 3e38, 1e-45], dtype=np.float32)
    assert np.array_equal(tab.evaluate(script, ["float32", packed(singles)]), singles.astype(float))


def packed(numbers: np.ndarray) -> str:
    return base64.b64encode(numbers.tobytes()).decode()


def test_encoder_decoder_and_both_terms_are_pytorchs(tab, model):
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(3, 784, generator=generator) < 0.2).double()
    eps = torch.randn(4, 1, 2, generator=generator).double()
    for image in x:
        mu, log_var = (part.detach()[0] for part in model.encode(image[None]))
        terms = elbo_terms(model, image[None], eps=eps)
        shown = tab.evaluate("""([x, eps]) => {
            const { mu, logVar } = Explorers.network.encode(x);
            return { mu: [...mu], logVar: [...logVar], ...Explorers.network.elboTerms(x, eps) };
        }""", [image.tolist(), eps[:, 0].tolist()])  # fmt: skip
        assert close(shown["mu"], mu, 1e-9) and close(shown["logVar"], log_var, 1e-9)
        assert shown["kl"] == pytest.approx(terms.kl.item(), rel=1e-9)
        assert shown["logLikelihood"] == pytest.approx(terms.log_likelihood.item(), rel=1e-9)
    z = torch.tensor([[3.0, -4.0], [0.1, 0.2]], dtype=torch.float64)
    means = rows(tab, "all => all.map(z => [...Explorers.network.decodeMean(z)])", z.tolist())
    assert close(means, torch.sigmoid(model.decode(z)).detach(), 1e-9)


# panel.js


@pytest.mark.parametrize("value, digits, text", [
    (1.005, 1, "1.0"), (-1.25, 2, "−1.25"), (-0.004, 2, "0.00"), (-0.006, 2, "−0.01"), (0.004, 2, "0.00"),
    (-0.0, 2, "0.00"), (-0.0004, 3, "0.000"), (-140.31, 1, "−140.3"), (12, 0, "12"),
])  # fmt: skip
def test_a_number_is_written_with_its_sign_unless_it_is_zero(tab, value, digits, text):
    assert tab.evaluate("([value, digits]) => Explorers.panel.format(value, digits)", [value, digits]) == text


def test_what_is_not_finite_shows_as_a_dash(tab):
    script = """() => {
        const { node, show } = Explorers.panel.readout(2);
        const texts = [node.textContent];
        for (const value of [NaN, Infinity, -Infinity, -2.345678]) { show(value); texts.push(node.textContent); }
        return [...texts, node.dataset.value];
    }"""
    assert tab.evaluate(script) == ["–", "–", "–", "–", "−2.35", "-2.345678"]


@pytest.mark.parametrize("ticks, edges", [
    (dict(), [10, 350, 240, 10]), (dict(xTicks=[-2, 0, 3], yTicks=[0, 4]), [38, 350, 210, 10]),
])  # fmt: skip
def test_axes_reach_from_edge_to_edge_and_y_points_upwards(tab, ticks, edges):
    script = """ticks => {
        const on = Explorers.panel.axes("", { x: [-2, 3], y: [0, 4], height: 250, ...ticks });
        const all = selector => [...on.node.querySelectorAll(selector)];
        const at = (node, ...names) => names.map(name => Number(node.getAttribute(name)));
        return {
            corners: [on.x(-2), on.x(3), on.y(0), on.y(4)], middle: [on.x(0.5), on.y(2)],
            box: on.node.getAttribute("viewBox"),
            grid: all(".grid").map(node => node.getAttribute("d")),
            labels: all("text").filter(node => node.textContent).map(node => [node.textContent, ...at(node, "x", "y")]),
            path: Explorers.panel.path(on, [-2, 3], [4, 0]),
        };
    }"""
    found = tab.evaluate(script, ticks)
    left, right, bottom, top = edges
    assert found["corners"] == edges and found["box"] == "0 0 360 250"
    assert found["middle"] == [(left + right) / 2, (bottom + top) / 2]
    assert found["path"] == f"M{left:.2f} {top:.2f}L{right:.2f} {bottom:.2f}"
    if ticks:
        zero = left + 0.4 * (right - left)
        assert found["grid"][:3] == [f"M{x:g} {bottom}V{top}" for x in (left, zero, right)]
        assert found["grid"][3:] == [f"M{left} {y}H{right}" for y in (bottom, top)]
        assert found["labels"] == [["−2", left, 226], ["0", pytest.approx(zero), 226], ["3", right, 226],
                                   ["0", 32, bottom + 4], ["4", 32, top + 4]]  # fmt: skip


def test_a_tick_shows_its_name_where_it_has_one(tab):
    script = """names => {
        const on = Explorers.panel.axes("", { x: [-1, 1], y: [-1, 1], xTicks: [-1, 1], yTicks: [-1, 1], ...names });
        return [...on.node.querySelectorAll("text")].map(node => node.textContent).filter(text => text);
    }"""
    assert tab.evaluate(script, {}) == ["−1", "1", "−1", "1"]
    assert tab.evaluate(script, dict(xNames=["a", 10])) == ["a", "10", "−1", "1"]
    assert tab.evaluate(script, dict(yNames=[0.1, 10])) == ["−1", "1", "0.1", "10"]


def test_a_slider_says_where_it_is_and_keeps_to_its_ends(tab):
    script = """() => {
        let n = 0;
        const range = { low: -2, high: 1, step: 0.01, start: 0.7, digits: 2 };
        const self = Explorers.panel.slider("μ", "Mean", range, () => n++);
        const said = () => [self.value, self.node.querySelector(".explorer-number").textContent, n];
        const before = said();
        self.set(-0.5);
        const after = said();
        self.set(7);
        return [before, after, said()];
    }"""
    assert tab.evaluate(script) == [[0.7, "0.70", 0], [-0.5, "−0.50", 1], [1, "1.00", 2]]


def test_a_bet_is_one_of_its_answers_and_can_be_changed(tab):
    script = """() => {
        let n = 0;
        const self = Explorers.panel.bet("Which?", ["a", "b"], () => n++);
        const [a, b] = self.node.querySelectorAll("button");
        const said = () => [self.value, a.ariaPressed, b.ariaPressed, n];
        const states = [said()];
        for (const node of [b, a]) { node.click(); states.push(said()); }
        return states;
    }"""
    assert tab.evaluate(script) == [[None, "false", "false", 0], ["b", "false", "true", 1], ["a", "true", "false", 2]]


def test_ink_is_as_opaque_as_its_value(tab):
    script = "() => [...Explorers.panel.ink([0, 0.25, 0.5, 1]).data.slice(0, 16)]"
    assert tab.evaluate(script) == [0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 128, 0, 0, 0, 255]


def test_the_plane_shows_each_code_in_the_color_of_its_class(tab):
    codes = np.array(tab.evaluate("Explorers.examples.codes.map(z => [...z])"))
    labels = np.array(tab.evaluate("Explorers.examples.labels"))
    names = np.array(tab.evaluate("Explorers.examples.names"))
    found = explorer(tab, "latent")
    across, down = (350 - 38) / 8, (320 - 10) / 8  # of the plane's eight units
    for digit in range(10):
        places = codes[labels == digit] * [across, -down] + [194, 165]
        d = found.locator(f".codes.class-{digit}").get_attribute("d")
        assert np.abs(np.array(re.findall(r"M(-?[\d.]+) (-?[\d.]+)h0", d), dtype=float) - places).max() < 0.0501
        name = found.locator("text.name").nth(digit)
        assert name.text_content() == str(digit)
        place = names[digit] * [across, -down] + [194, 165]
        assert close([number(name, "x"), number(name, "y") - 5], place, 1e-9)
        circle = found.locator("circle.name").nth(digit)
        assert close([number(circle, "cx"), number(circle, "cy")], place, 1e-9)


# latent.js


@pytest.mark.parametrize("codes, label", [
    ([[3, 0], [2.2, 2.2]], 0),  # at 3 and 3.11; by the sum of distances 3 and 4.4, by the larger one 3 and 2.2
    ([[3, 0], [2, 2]], 1),  # at 3 and 2.83; by the sum of distances 3 and 4
    ([[-1, -1], [2, 0], [0, 1.5]], 0),  # where signs count, -1 is the least
    ([[0, 3], [0, -2.5]], 1), ([[-2.5, 0], [3, 0]], 0),
])  # fmt: skip
def test_the_nearest_code_is_so_as_the_crow_flies(tab, codes, label):
    script = "([z, codes]) => Explorers.neighbors.around(z, { codes, labels: codes.map((_, i) => i) })"
    for z in ([0, 0], [0.7, -1.9]):
        found = tab.evaluate(script, [z, (np.array(codes) + z).tolist()])
        assert found["nearest"] == label and found["distance"] == pytest.approx(math.hypot(*codes[label]))


def neighbors(z: list[float], codes: torch.Tensor, labels: list[int]) -> tuple[float, list[tuple[int, int]]]:
    """The distance of the nearest code, and of the twenty nearest the classes with their counts, in falling order."""
    distances, which = torch.cdist(torch.tensor([z], dtype=torch.float64), codes)[0].sort()
    counts = Counter(labels[i] for i in which[:20])
    return distances[0].item(), sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def test_on_the_way_is_the_middle_of_the_straight_line(tab):
    script = "z => Explorers.latent.between(z, [0, 2], [0, -2])"
    for z, on in [([0, 0], True), ([0.29, 1.1], True), ([0.31, 0], False), ([0, 1.3], False), ([0, -1.3], False)]:
        assert tab.evaluate(script, z) is on


def test_on_the_way_from_1_to_0_most_neighbors_are_other_digits(tab):
    codes = torch.tensor(tab.evaluate("Explorers.examples.codes.map(z => [...z])"), dtype=torch.float64)
    labels = tab.evaluate("Explorers.examples.labels")
    zero, one = np.array(tab.evaluate("Explorers.examples.names")[:2])
    for t in np.linspace(0.2, 0.8, 13):
        assert neighbors([*(one + t * (zero - one))], codes, labels)[1][0][0] > 1


def test_the_sentence_tells_of_the_neighbors_and_of_the_bet(tab):
    say = lambda *how: tab.evaluate("how => Explorers.latent.told(...how)", list(how))  # noqa: E731
    alone = dict(distance=0.1, nearest=7, classes=[[7, 20]])
    mixed = dict(distance=0.1, nearest=4, classes=[[6, 11], [4, 5], [5, 3], [1, 1]])
    far = dict(distance=0.62, nearest=3, classes=[[3, 20]])
    of_mixed = "Of the 20 nearest codes 11 are of 6s, 5 of 4s, 3 of 5s: one mean image for them all."
    assert say([0, 0], alone, True, None) == "All of the 20 nearest codes are of 7s: the decoder need not hesitate."
    assert say([0, 0], mixed, True, None) == of_mixed
    assert say([3, -2], far, False, None) == (
        "The nearest code, of a 3, is 0.6 away. The prior comes so far out once in 670 draws; "
        "the decoder draws all the same."
    )
    assert math.exp(6.5) == pytest.approx(670, abs=5)
    assert say([0, 0], mixed, False, "nothing") == f"{of_mixed} Walk from 1 to 0."
    assert say([0, 0], mixed, True, "nothing") == f"Not as you bet: other digits, here a 6. {of_mixed}"
    assert say([0, 0], mixed, True, "other digits").startswith("You were right: other digits")
    ones = dict(distance=0.1, nearest=1, classes=[[1, 15], [7, 5]])
    assert say([0, 0], ones, True, "nothing").endswith("Walk from 1 to 0.")


@pytest.mark.parametrize("z, inside", [
    ([5, -5], [4, -4]), ([-4.01, 4.01], [-4, 4]), ([3.99, -3.99], [3.99, -3.99]), ([0, 7], [0, 4]),
])  # fmt: skip
def test_the_point_stays_in_the_plane(tab, z, inside):
    assert tab.evaluate("z => Explorers.handle.within(z, [[-4, 4], [-4, 4]])", z) == inside


@pytest.mark.parametrize("key, short, long", [
    ("ArrowLeft", [0.95, 2], [0.5, 2]), ("ArrowRight", [1.05, 2], [1.5, 2]), ("ArrowUp", [1, 2.05], [1, 2.5]),
    ("ArrowDown", [1, 1.95], [1, 1.5]), ("Home", [0, 0], [0, 0]), ("End", None, None), ("Tab", None, None),
])  # fmt: skip
def test_where_a_key_takes_the_point(tab, key, short, long):
    for step, expected in ((False, short), (True, long)):
        assert tab.evaluate("([key, long]) => Explorers.handle.keyed([1, 2], key, long)", [key, step]) == expected


def test_the_explorer_says_the_nearest_images_and_draws_the_point(tab, model):
    found = explorer(tab, "latent")
    codes = torch.tensor(tab.evaluate("Explorers.examples.codes.map(z => [...z])"), dtype=torch.float64)
    labels = tab.evaluate("Explorers.examples.labels")
    found.locator(".handle").press("Home")
    for key in ["ArrowUp", "Shift+ArrowLeft", "Shift+ArrowUp", "ArrowRight", *["Shift+ArrowRight"] * 5]:
        found.locator(".handle").press(key)
        z = code(found)
        distance, [(first, most), *others] = neighbors(z, codes, labels)
        if distance > 0.5:
            begins = f"The nearest code, of a {first}, is {distance:.1f} away."
        else:
            begins = f"Of the 20 nearest codes {most} are of {first}s, {others[0][1]} of {others[0][0]}s"
        assert found.get_by_role("status").inner_text().startswith(begins)
        place = [194 + z[0] * 312 / 8, 165 - z[1] * 310 / 8]
        transform = found.locator(".handle").get_attribute("transform")
        assert close([float(part) for part in re.findall(r"-?[\d.]+", transform)], place, 1e-9)
    assert draws_its_code(found, model)


def test_a_class_is_shown_alone_and_no_longer(tab):
    found = explorer(tab, "latent")
    state = """node => [node.querySelector('svg').hasAttribute('data-only'),
        [...node.querySelectorAll('.codes')].flatMap((codes, i) => codes.classList.contains('only') ? [i] : []),
        [...node.querySelectorAll('button')].flatMap((button, i) => button.ariaPressed === 'true' ? [i] : [])]"""
    for digit, alone in ((8, [8]), (3, [3, 8]), (8, [3]), (3, [])):
        found.get_by_role("button", name=f"Show the codes of {digit} alone").click()
        assert found.evaluate(state) == [bool(alone), alone, alone]


def test_steps_back_to_the_origin_leave_no_minus(tab):
    found = explorer(tab, "latent")
    handle = found.locator(".handle")
    handle.press("Home")
    for key in ["ArrowLeft"] * 3 + ["ArrowRight"] * 3:
        handle.press(key)
    assert -1e-9 < code(found)[0] < 0  # what rounding leaves
    assert handle.get_attribute("aria-valuenow") == "0.00"
    assert handle.get_attribute("aria-valuetext") == "z1 0.00, z2 0.00"
    handle.press("ArrowLeft")
    assert handle.get_attribute("aria-valuenow") == "-0.05"


def test_where_the_pointer_is_there_is_the_point(tab):
    found = explorer(tab, "latent")
    box = found.locator(".wide > svg").bounding_box()
    scale = box["width"] / 360
    for z in ([1.5, -2.5], [-3.2, 0.7]):
        tab.mouse.click(box["x"] + scale * (194 + z[0] * 39), box["y"] + scale * (165 - z[1] * 38.75))
        assert close(code(found), z, 0.03)


# paper.js, draw.js


def normalized(tab: Page, *boxes: tuple[int, int, int, int], opacity: int = 255) -> np.ndarray:
    """The image that is made of a paper with these boxes of ink: top, bottom, left, right."""
    script = """([boxes, opacity]) => {
        const data = new Uint8ClampedArray(4 * 280 * 280);
        for (const [top, bottom, left, right] of boxes)
            for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) data[4 * (280 * y + x) + 3] = opacity;
        return Array.from(Explorers.paper.normalized({ data }));
    }"""
    return np.array(tab.evaluate(script, [boxes, opacity])).reshape(28, 28)


def test_a_blank_paper_gives_a_blank_image(tab):
    assert not normalized(tab).any()
    script = "grays => grays.map(Explorers.paper.isBlank)"
    assert tab.evaluate(script, [[0, 0, 0], [0, 0.01, 0], [0, 0, 1]]) == [True, False, False]


def test_no_pixel_is_blacker_than_black(tab):
    image = normalized(tab, (0, 150, 0, 150))  # 7.5 points to a pixel: in some rows and columns 8
    assert image.max() == 1


@pytest.mark.parametrize("box, size", [
    ((20, 120, 50, 250), (10, 20)),  # 100 × 200 points, by 20/200
    ((0, 280, 100, 240), (20, 10)),  # 280 high, by 20/280
    ((30, 110, 7, 87), (20, 20)),  # 80 points: no smaller drawing is fitted
    ((100, 140, 100, 140), (10, 10)),  # 40 points, by a quarter: a dot stays small
    ((3, 11, 200, 208), (2, 2)),
])  # fmt: skip
def test_a_box_is_fitted_into_twenty_pixeland_put_into_the_middle(tab, box, size):
    expected = np.zeros((28, 28))
    down, across = size
    expected[14 - down // 2 : 14 + down // 2, 14 - across // 2 : 14 + across // 2] = 1
    assert close(normalized(tab, box), expected, 1e-5)
    assert close(normalized(tab, box, opacity=51), expected / 5, 1e-5)


def test_the_middle_is_where_the_ink_is_and_what_reaches_out_is_cut(tab):
    """A heavy box, and beside it a thin line that leads out of the image: to the right, to the left, down and up."""
    for first, last in (((20, 70), (70, 220)), ((210, 260), (60, 210))):
        places = np.array([*range(*first)] * 50 + [*range(*last)] * 2) + 0.5
        pixel = np.floor((places - places.mean()) * 0.1 + 14).astype(int)
        inside = np.array([(pixel == i).sum() for i in range(28)]) * 0.1**2
        assert pixel.max() > 28 or pixel.min() < -1
        image = normalized(tab, (100, 150, *first), (124, 126, *last))
        assert close(image.sum(0), inside, 1e-5)
        assert close(normalized(tab, (*first, 100, 150), (*last, 124, 126)), image.T, 1e-5)


def test_the_ellipse_has_two_standard_deviations(tab):
    script = """() => {
        const on = Explorers.panel.axes("", { x: [-4, 4], y: [-4, 4], width: 340, height: 180 });
        return Explorers.draw.radii(on, [0.5, 0.25]);
    }"""
    assert close(tab.evaluate(script), [2 * 0.5 * 320 / 8, 2 * 0.25 * 160 / 8], 1e-9)


@pytest.fixture(scope="module")
def model20() -> VAE:
    return checkpoints.load(FOLDER / "model20.safetensors").double()


def test_the_numbers_of_a_digit_are_pytorchs_and_the_sentence_has_both_sides(tab, model, model20):
    found = explorer(tab, "draw")
    assert tab.evaluate("[Explorers.examples.meanElbo, Explorers.examples.meanElbo20]") == [-140.90, -104.88]
    codes = torch.tensor(tab.evaluate("Explorers.examples.codes.map(z => [...z])"), dtype=torch.float64)
    for digit in (4, 8):
        found.get_by_role("button", name=f"Take our {digit}").click()
        check_numbers(found, model, model20)
        fits, costs, elbos = torch.tensor(values(found)[-6:]).view(3, 2).tolist()
        [(name, _), *_] = neighbors(values(found)[:4:2], codes, tab.evaluate("Explorers.examples.labels"))[1]
        assert found.get_by_role("status").inner_text() == (
            f"Two numbers put it among the {name}s. Eighteen more explain {fits[1] - fits[0]:.1f} nats more and cost "
            f"{costs[1] - costs[0]:.1f} nats more of KL: a gain of {elbos[1] - elbos[0]:.1f}. The ELBO with twenty is "
            f"−{-elbos[1]:.1f}; test images have −104.9 on average."
        )
        shown = [text.strip() for text in found.locator("td .explorer-number").all_inner_texts()]
        digits = [3] * 4 + [2] * 6
        written = [f"{v:.{d}f}".replace("-", "−") for v, d in zip(values(found), digits, strict=True)]
        assert shown == written


def test_where_eighteen_numbers_more_cost_more_than_they_explain_it_is_said(tab):
    two, twenty = dict(logLikelihood=-34.4, kl=6.7), dict(logLikelihood=-36.5, kl=5.9)
    assert tab.evaluate("how => Explorers.draw.verdict(...how)", [1, two, twenty, -105]) == (
        "Two numbers put it among the 1s. Eighteen more explain 2.1 nats less and cost 0.8 nats less of KL: "
        "a loss of 1.3. The ELBO with twenty is −42.4; test images have −105.0 on average."
    )


def test_a_bet_is_judged_by_where_two_numbers_put_our_digits(tab, model):
    found = explorer(tab, "draw")
    read = lambda name: torch.tensor(tab.evaluate(f"Explorers.examples.{name}.map(row => [...row])")).double()  # noqa: E731
    uniform = torch.tensor(tab.evaluate("[...Explorers.examples.uniform]")).double()
    codes, labels = read("codes"), tab.evaluate("Explorers.examples.labels")
    mu, _ = model.encode((uniform < read("digits")).double())
    among = [neighbors(code, codes, labels)[1][0][0] for code in mu.tolist()]
    own = sum(name == digit for digit, name in enumerate(among))
    assert own == 6
    for bet, start in (("six", "You were right"), ("ten", "Not as you bet")):
        found.get_by_role("button", name=bet, exact=True).click()
        said = found.get_by_role("status").inner_text()
        assert said.startswith(f"{start}: 6 of the ten. ")
        strays = [f"{digit} among the {name}s" for digit, name in enumerate(among) if name != digit]
        assert f"{', '.join(strays)}: such shapes" in said and said.count("among the") == 4


def test_the_pen_is_round_and_draws_under_the_pointer_on_a_paper_of_any_size(tab):
    found = explorer(tab, "draw")
    sheet = found.locator(".paper")
    sheet.evaluate("node => { node.style.width = '140px'; node.style.height = '140px'; }")
    found.get_by_role("button", name="Clear").click()
    assert found.get_by_role("status").inner_text().startswith("The paper is blank.")
    assert found.locator("ellipse").get_attribute("visibility") == "hidden"
    box = sheet.bounding_box()
    tab.mouse.move(box["x"] + 30, box["y"] + 50)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 100, box["y"] + 50)
    tab.mouse.up()
    painted(tab)
    opacity = """node => [...node.getContext('2d').getImageData(0, 0, 280, 280).data].filter((_, i) => i % 4 === 3)"""
    ink = np.array(sheet.evaluate(opacity)).reshape(280, 280) / 255
    sheet.evaluate("node => node.removeAttribute('style')")
    assert ink.sum() == pytest.approx(22 * 140 + math.pi * 11**2, rel=0.01)  # with half a disk at each end
    down, across = np.indices(ink.shape) + 0.5
    assert close([(ink * down).sum() / ink.sum(), (ink * across).sum() / ink.sum()], [100, 130], 0.6)
    assert found.locator("ellipse").get_attribute("visibility") == "visible"


# elbo.js


def test_the_sliders_begin_and_end_where_they_should(tab):
    script = """all => all.map(node => ["min", "max", "step"].map(name => Number(node[name])))"""
    found = {name: explorer(tab, name).locator("input[type=range]").evaluate_all(script) for name in NAMES}
    expected = {
        "elbo": [[-2, 2, 0.05], [-5, 1, 0.1]],
        "reparameterization": [[-2, 2, 0.05], [-4, 1, 0.1]],
        "smallest": [[1, 2.5, 0.1], [1, 20, 1]],
    }
    assert {name: found[name] for name in expected} == expected
    assert all((high - low) / step <= 100 for sliders in found.values() for low, high, step in sliders)  # for a hand


Q = [(0.3, -1.5), (-1.7, 0.6), (0.82, -2.1), (1.9, -4.5)]


@pytest.mark.parametrize("decoder", MEANS)
def test_bound_gap_and_evidence_are_those_of_quadrature(tab, decoder):
    exact = log_marginal_quadrature(lambda z: log_joint(decoder, z), [-8.0], [8.0], 2001).item()
    assert tab.evaluate("d => Explorers.elbo.logEvidence(d)", decoder) == pytest.approx(exact, abs=1e-12)
    for mu, log_var in Q:
        q = torch.distributions.Normal(*torch.tensor([mu, math.exp(log_var / 2)], dtype=torch.float64))
        reach = 12 * math.exp(log_var / 2)
        gap = kl_quadrature(lambda z, q=q: q.log_prob(z[:, 0]), lambda z: log_joint(decoder, z) - exact,
                            [mu - reach], [mu + reach], 4001).item()  # fmt: skip
        script = "([d, ...q]) => ['bound', 'gap'].map(name => Explorers.elbo[name](d, ...q))"
        shown = tab.evaluate(script, [decoder, mu, log_var])
        assert close(shown, [exact - gap, gap], 1e-9 * max(1, gap))


def least_gap(decoder: str) -> float:
    """The smallest gap of a Gaussian, by SciPy from quadrature."""
    exact = log_marginal_quadrature(lambda z: log_joint(decoder, z), [-8.0], [8.0], 2001).item()
    eps = torch.linspace(-12, 12, 801, dtype=torch.float64)[:, None]
    weights = torch.exp(-0.5 * eps[:, 0] ** 2) / math.sqrt(2 * math.pi) * 0.03

    def gap(q: np.ndarray) -> float:
        mu, log_var = q
        z = mu + math.exp(log_var / 2) * eps
        log_q = torch.distributions.Normal(mu, math.exp(log_var / 2)).log_prob(z[:, 0])
        return (weights @ (log_q - log_joint(decoder, z) + exact)).item()

    return minimize(gap, [0.8, -2.0], method="Nelder-Mead", options=dict(xatol=1e-7, fatol=1e-12)).fun


@pytest.mark.parametrize("decoder", MEANS)
def test_the_smallest_gap_is_the_smallest(tab, decoder):
    found = tab.evaluate("d => Explorers.elbo.nearest(d).gap", decoder)
    assert -1e-9 < found - least_gap(decoder) < 1e-5  # a fiftieth of what three decimals show


@pytest.mark.parametrize("decoder", MEANS)
@pytest.mark.parametrize("mu, log_var", [(-1.5, -2.1), (1.6, -2.7), (0.8, 0.5), (0.65, -4.8), (0.0, 0.0)])
def test_what_one_slider_alone_would_gain_is_what_a_search_finds(tab, decoder, mu, log_var):
    exact = log_marginal_quadrature(lambda z: log_joint(decoder, z), [-8.0], [8.0], 2001).item()

    def gap(m: float, v: float) -> float:
        q = torch.distributions.Normal(*torch.tensor([m, math.exp(v / 2)], dtype=torch.float64))
        ends = [m - 12 * math.exp(v / 2)], [m + 12 * math.exp(v / 2)]
        return kl_quadrature(lambda z: q.log_prob(z[:, 0]), lambda z: log_joint(decoder, z) - exact, *ends, 801).item()

    found = tab.evaluate("q => Explorers.elbo.alone(...q)", [decoder, mu, log_var])
    by_mu = {m: gap(m, log_var) for m in np.arange(-40, 41) / 20}
    by_log_var = {v: gap(mu, v) for v in np.arange(-50, 11) / 10}
    for name, gaps in (("mu", by_mu), ("logVar", by_log_var)):
        best = min(gaps, key=gaps.get)
        assert found[name]["to"] == pytest.approx(best, abs=1e-9)
        assert found[name]["gain"] == pytest.approx(gap(mu, log_var) - gaps[best], abs=1e-7)


@pytest.mark.parametrize("decoder, mu, log_var, bet, said", [
    ("curved", -1.5, -2.1, None,
     "5.27 nats worse than the best Gaussian. q lies too far left: mending that alone gains 5.27."),
    ("straight", 1.6, -2.7, None, "q lies too far right: mending that alone gains 6.9"),
    ("straight", 0.65, 0.5, "no", "q is too wide: mending that alone gains 10."),
    ("straight", 0.65, -4.8, None, "q is too narrow: mending that alone gains 0.6"),
    ("curved", -0.9, -2.0, None, "q lies too far left"),  # on the lower peak
    ("curved", 0.8, -2.1, None, "0.381 nats remain, and no Gaussian leaves less than 0.379, for the posterior has two"),
    ("curved", 0.8, -2.1, "no", "You were right. 0.381 nats remain"),
    ("curved", 0.8, -2.1, "yes", "Not as you bet. 0.381 nats remain"),
    ("straight", 0.65, -2.7, "yes", "0.002 nats remain, and this posterior is a Gaussian, and q is it"),
])  # fmt: skip
def test_what_is_said_of_q(tab, decoder, mu, log_var, bet, said):
    found = tab.evaluate("q => Explorers.elbo.verdict(...q)", [decoder, mu, log_var, bet])
    assert said in found and (said[:3] not in ("You", "Not") or found.startswith(said))


def test_everywhere_something_is_said_and_the_best_is_within_reach(tab):
    """At every setting of the sliders: a gain is named, or q is as near as can be; and that is so somewhere."""
    script = """decoder => {
        const settings = ({ low, high, step }) =>
            Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => low + i * step);
        const { MU, LOG_VAR, verdict } = Explorers.elbo;
        const every = settings(MU).filter((_, i) => i % 4 === 0 || i === 53 || i === 56);
        return every.flatMap(m => settings(LOG_VAR).filter((_, i) => i % 3 === 2).map(v => verdict(decoder, m, v)));
    }"""
    for decoder in MEANS:
        said = tab.evaluate(script, decoder)
        assert {bool(re.search("gains|gain|remain", text)) for text in said} == {True}
        assert any("remain" in text for text in said) and len(set(said)) > 200


@pytest.mark.parametrize("low, high, shown", [
    (-3, -1, [-3, -1]), (-9, -1, [-8, -1]), (-12, -9, [-8, -8]), (-8, 0, [-8, 0]), (-7.99, 0, [-7.99, 0]),
])  # fmt: skip
def test_a_bar_is_cut_where_its_axis_ends(tab, low, high, shown):
    assert tab.evaluate("([low, high]) => Explorers.elbo.cut(low, high)", [low, high]) == shown


def bar(found: Locator, name: str) -> list[float]:
    """Where a bar begins and ends, in nats."""
    rectangle = found.locator(f"rect.{name}")
    left, width = number(rectangle, "x"), number(rectangle, "width")
    return [(end - 350) * 8 / 340 for end in (left, left + width)]


@pytest.mark.parametrize("mu, log_var", [(0.7, -1.5), (-2.0, 1.0), (0.5, -0.2)])
def test_bars_and_curves_are_drawn_where_the_numbers_say(tab, mu, log_var):
    found = explorer(tab, "elbo")
    found.get_by_role("combobox").select_option("curved")
    move(found, "Mean of q", mu)
    move(found, "Log-variance of q", log_var)
    bound, gap, total, evidence = values(found.locator("table"))
    assert total == bound + gap and bound == pytest.approx(
        tab.evaluate("q => Explorers.elbo.bound('curved', ...q)", [mu, log_var])
    )
    assert close(bar(found, "evidence"), [evidence, 0], 1e-9)
    assert close(bar(found, "gap"), [max(evidence - gap, -8), evidence], 1e-9)
    assert close(bar(found, "bound"), [max(bound, -8), 0], 1e-9)
    upper, lower = ({number(found.locator(f"rect.{name}"), "y") for name in names}
                    for names in (("evidence", "gap"), ("bound",)))  # fmt: skip
    assert len(upper) == 1 and len(lower) == 1 and upper.pop() + 30 < lower.pop()
    z = np.linspace(-2.5, 2.5, 401)
    across = 38 + (z + 2.5) * (350 - 38) / 5
    height = lambda density: 220 - density * (220 - 10) / 2  # noqa: E731
    q = curve(found.locator(".curve.q"))
    assert np.abs(q - np.stack([across, height(norm.pdf(z, mu, math.exp(log_var / 2)))], -1)).max() < 0.00501
    posterior = np.exp(log_joint("curved", torch.tensor(z)[:, None]).numpy() - evidence)
    area = curve(found.locator(".area"))
    assert np.abs(area[1:-1] - np.stack([across, height(posterior)], -1)).max() < 0.00501
    assert close(area[[0, -1]], [[38, 220], [350, 220]], 0)


def test_what_is_said_is_of_the_decoder_chosen(tab):
    found = explorer(tab, "elbo")
    move(found, "Mean of q", 0.8)
    move(found, "Log-variance of q", -2.1)
    for decoder, said in {"curved": "0.381 nats remain", "straight": "q lies too far right"}.items():
        found.get_by_role("combobox").select_option(decoder)
        assert said in found.get_by_role("status").inner_text()


def test_a_bar_that_is_cut_says_how_far_it_reaches_and_the_gap_has_its_name_at_its_end(tab):
    found = explorer(tab, "elbo")
    found.get_by_role("combobox").select_option("curved")
    for mu, log_var, is_cut in ((0.7, -1.5, False), (-2.0, 1.0, True)):
        move(found, "Mean of q", mu)
        move(found, "Log-variance of q", log_var)
        bound, _, _, evidence = values(found.locator("table"))
        texts = found.locator(".wide > svg").nth(1).locator("g text")
        farther = f"◂ to {bound:.1f}".replace("-", "−") if is_cut else ""
        assert texts.all_text_contents() == ["log p(x)", "ELBO", "KL", farther]
        assert number(texts.nth(2), "x") == pytest.approx(350 + evidence * 340 / 8)


# reparameterization.js


@pytest.mark.parametrize("mu, log_var", [(0.7, -0.6), (-1.9, 0.8), (-0.5, 0.2)])
def test_estimates_are_those_of_autograd_and_the_exact_ones_those_of_moments(tab, mu, log_var):
    noise = torch.randn(50, generator=torch.Generator().manual_seed(0)).double()
    exact = tab.evaluate("q => Explorers.reparameterization.exact(...q)", [mu, log_var])
    eps, weights = np.polynomial.hermite_e.hermegauss(60)  # exact for the polynomials that these are
    weights = weights / weights.sum()
    for name, draws in estimates(mu, log_var, noise).items():
        script = "([name, q, noise]) => Explorers.reparameterization.estimate(name, ...q, noise)"
        assert close(tab.evaluate(script, [name, [mu, log_var], noise.tolist()]), draws.mean(), 1e-11)
        everywhere = estimates(mu, log_var, torch.tensor(eps))[name].numpy()
        mean = weights @ everywhere
        assert close([exact["gradient"], exact[name]], [mean, math.sqrt(weights @ (everywhere - mean) ** 2)], 1e-9)


def test_a_slide_goes_to_the_other_side_and_arrives(tab):
    across = tab.evaluate("[0.7, 0.01, 0, -0.01, -2, 2].map(Explorers.reparameterization.across)")
    assert across == [-2, -2, 2, 2, 2, -2]
    script = "times => times.map(time => Explorers.reparameterization.during(0.7, -2, time))"
    assert tab.evaluate(script, [0, 1000, 2000, 4000, 9000]) == pytest.approx([0.7, 0.025, -0.65, -2, -2])
    ends = [round(-2 + i / 100, 2) for i in range(401)]
    script = "ends => ends.map(from => Explorers.reparameterization.during(from, -2, 4000))"
    assert tab.evaluate(script, ends) == [-2] * 401  # to the last bit, or the slide would never end


def test_the_places_passed_lead_from_one_to_another(tab):
    ways = [[0.7, 0.7], [-2, -1.8], [0.1, -0.05], [1.95, 2]]
    found = tab.evaluate("ways => ways.map(way => Explorers.reparameterization.passed(...way))", ways)
    assert found == [[], [1, 2, 3, 4], [41, 40, 39], [80]]
    places = tab.evaluate("Explorers.reparameterization.PLACES")
    assert close(places, np.arange(-40, 41) / 20, 1e-12)


def test_straying_is_the_root_of_the_mean_square_over_the_places_passed(tab):
    script = """() => {
        const trace = [];
        trace[10] = 2 * (-1.5 + 0.5) + 3;
        trace[60] = 2 * (1 + 0.5) - 4;
        return Explorers.reparameterization.straying(trace);
    }"""
    assert tab.evaluate(script) == pytest.approx(math.sqrt((9 + 16) / 2))


def test_a_narrower_q_makes_the_score_function_worse_below_the_turning_point(tab):
    """There the least variance lies, by SciPy, of the variance that is tested against autograd elsewhere."""
    script = "([mu, logVar]) => Explorers.reparameterization.exact(mu, logVar).score"
    for mu in (-2, 0.7, 2):
        best = minimize_scalar(lambda v, mu=mu: tab.evaluate(script, [mu, v]), bounds=(-6, 4), method="bounded")
        assert tab.evaluate("mu => Explorers.reparameterization.turning(mu)", mu) == pytest.approx(best.x, abs=1e-3)
    assert rows(tab, "() => [-0.5].map(mu => Explorers.reparameterization.exact(mu, -9).score)") < 0.1


def test_the_verdict_says_what_a_narrower_q_does_here(tab):
    say = lambda *how: tab.evaluate("how => Explorers.reparameterization.verdict(...how)", list(how))  # noqa: E731
    far = dict(pathwise=0.5, score=1.62)
    assert say(far, 81, 0.7, -0.6, None).startswith("The exact gradient here is 2.40. Bet,")
    times = lambda m, v: math.sqrt((m**4 / v + 14 * m**2 + 15 * v) / (4 * v))  # noqa: E731
    wide, narrow = times(1.2, math.exp(-0.6)), times(1.2, math.exp(-4))
    assert say(far, 40, 0.7, -0.6, "score function") == (
        "You were right: the score function divides by σ. Here both still gain, down to log σ² = −1.0: one draw strays "
        f"{wide:.1f} times as far as a pathwise one, and {wide**2:.0f} draws are worth one."
    )
    for bet in ("pathwise", "neither"):
        assert say(far, 41, 0.7, -4, bet) == (
            "Not as you bet: the score function divides by σ. Here a narrower q makes it worse: one draw strays "
            f"{narrow:.1f} times as far as a pathwise one, and {narrow**2:.0f} draws are worth one. "
            "Over 41 places: 1.62 off against 0.50."
        )
    assert "Only here, at gradient 0, both gain from a narrower q" in say(far, 1, -0.5, -4, "neither")


def test_density_draws_and_ends_are_where_the_numbers_say(tab):
    found = explorer(tab, "reparameterization")
    move(found, "Mean", 1.1)
    move(found, "Log-variance", -1.3)
    noise = rows(tab, "() => Explorers.network.standardNoise(10, 1)")
    z = reparameterize(*(torch.full((10, 1), value).double() for value in (1.1, -1.3)), noise[:, None])[:, 0]
    assert close(draws_shown(found, 0), z, 1e-3)
    left = found.locator(".halves > div").first
    density = curve(left.locator(".curve.q"))
    x = np.linspace(-5, 5, 201)
    y = 50 - (0.2 + 0.35 * np.exp(-0.5 * ((x - 1.1) / math.exp(-0.65)) ** 2)) * 40 / 0.6  # equally high at every σ
    assert np.abs(density - np.stack([10 + (x + 5) * 34, y], -1)).max() < 0.00501
    shown = torch.tensor(values(found.locator("table"))).view(4, 2)
    for column, name in enumerate(("pathwise", "score")):
        end = left.locator(f".end-of.{name}")
        place = [38 + 3.1 * 312 / 4, 190 - (shown[0, column].item() + 8) * 180 / 20]
        assert close([number(end, "cx"), number(end, "cy")], place, 1e-5)


# gradients.js, smallest.js: the smallest VAE


TRUTH = MultivariateNormal(torch.tensor([1.0, 0.5]).double(), torch.tensor([[1.0, 0.5], [0.5, 1.0]]).double())
TO_LAYERS = """([encoder, decoder]) => {
    const layers = all => all.map(([weight, bias]) => (
        {weight: Float64Array.from(weight), bias: Float64Array.from(bias)}
    ));
    globalThis.smallest = {encoder: layers(encoder), decoder: layers(decoder)};
}"""


def smallest(seed: int) -> VAE:
    return mlp_vae(2, 16, 1, normal_diag, seed=seed, activation=nn.Tanh).double()


def hand_over(tab: Page, model: VAE) -> None:
    """The same network in the page, as `smallest`."""
    networks = [[layer for layer in part if isinstance(layer, nn.Linear)] for part in (model.encoder, model.decoder)]
    tab.evaluate(
        TO_LAYERS, [[[p.flatten().tolist() for p in layer.parameters()] for layer in part] for part in networks]
    )


def batch_loss(model: VAE, x: torch.Tensor, eps: torch.Tensor, beta: float) -> torch.Tensor:
    terms = elbo_terms(model, x, eps=eps[None, :, None])
    return (beta * terms.kl - terms.log_likelihood).mean()


def examples(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return TRUTH.loc + noise @ TRUTH.scale_tril.T, torch.randn(n, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("beta", [1.0, 1.7])
def test_the_gradient_is_autograds(tab, beta):
    model, (x, eps) = smallest(3), examples(7, 0)
    loss = batch_loss(model, x, eps, beta)
    loss.backward()
    hand_over(tab, model)
    script = """([xs, eps, beta]) => {
        const {parameters, zeros} = Explorers.gradients;
        const gradient = {encoder: zeros(smallest.encoder), decoder: zeros(smallest.decoder)};
        const losses = xs.map((x, i) => Explorers.smallVae.loss(smallest, x, eps[i], beta, gradient));
        const all = parameters([...gradient.encoder, ...gradient.decoder]);
        return [losses.reduce((a, b) => a + b), ...all.flatMap(list => [...list])];
    }"""
    shown = rows(tab, script, [x.tolist(), eps.tolist(), beta]) / len(x)
    exact = torch.cat([loss.detach()[None], *(p.grad.flatten() for p in model.parameters())])
    assert torch.allclose(shown, exact, rtol=1e-11, atol=1e-13)


def expected(model: VAE) -> tuple[float, float]:
    """-ELBO and KL averaged over the truth, by the rule of Gauss and Hermite."""
    nodes, weights = (torch.tensor(part) for part in np.polynomial.hermite_e.hermegauss(60))
    weights = weights / weights.sum()
    x = TRUTH.loc + torch.cartesian_prod(nodes, nodes) @ TRUTH.scale_tril.T
    over_x = torch.cartesian_prod(weights, weights).prod(-1)
    with torch.no_grad():
        (mu, log_var), eps = model.encode(x), nodes[:, None, None].expand(-1, len(x), 1)
        log_likelihood = weights @ model.log_likelihood(x, reparameterize(mu, log_var, eps))
        kl = kl_standard_normal(mu, log_var)
    return (over_x @ (kl - log_likelihood)).item(), (over_x @ kl).item()


@pytest.mark.parametrize("beta, learning_rate", [(1.0, 0.003), (2.0, 0.003)])
def test_a_run_ends_where_pytorchs_ends(tab, beta, learning_rate):
    """The book's settings: 2,000 steps of 100 examples; the same weights, examples and noise on both sides."""
    model, (x, eps) = smallest(1), examples(200_000, 0)
    hand_over(tab, model)
    script = """([beta, lr]) => { globalThis.step = Explorers.smallVae.run(smallest, {beta, lr}); }"""
    tab.evaluate(script, [beta, learning_rate])
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    for xs, noises in zip(x.split(10_000), eps.split(10_000), strict=True):
        script = """([xs, eps]) => {
            for (let i = 0; i < xs.length; i += 100) step(xs.slice(i, i + 100), eps.slice(i, i + 100));
        }"""
        tab.evaluate(script, [xs.tolist(), noises.tolist()])
        for some, noise in zip(xs.split(100), noises.split(100), strict=True):
            optimizer.zero_grad()
            batch_loss(model, some, noise, beta).backward()
            optimizer.step()
    loss, kl = expected(model)
    measured = tab.evaluate("() => Explorers.smallVae.measure(smallest)")
    assert measured["loss"] == pytest.approx(loss, abs=1e-3) and measured["rate"] == pytest.approx(kl, abs=1e-3)
    floor, collapsed = TRUTH.entropy().item(), math.log(2 * math.pi) + 1
    assert loss - (floor if beta == 1 else collapsed) < 0.02


def test_what_is_measured_adds_up_and_is_that_of_quadrature(tab):
    model = smallest(5)
    hand_over(tab, model)
    shown = tab.evaluate("() => Explorers.smallVae.measure(smallest)")
    loss, kl = expected(model)
    assert shown["loss"] == pytest.approx(loss, abs=1e-7) and shown["rate"] == pytest.approx(kl, abs=1e-7)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    x = TRUTH.loc + torch.cartesian_prod(*[torch.tensor(nodes)] * 2) @ TRUTH.scale_tril.T
    over_x = torch.cartesian_prod(*[torch.tensor(weights / weights.sum())] * 2).prod(-1)
    log_joint = lambda z, row: log_standard_normal(z) + model.log_likelihood(row.expand(len(z), 2), z)  # noqa: E731
    with torch.no_grad():
        log_p = torch.stack([
            log_marginal_quadrature(lambda z, row=row: log_joint(z, row), [-9.0], [9.0], 801) for row in x
        ])  # fmt: skip
    assert shown["ofModel"] == pytest.approx(-(over_x @ log_p).item() - TRUTH.entropy().item(), abs=1e-6)
    assert shown["ofQ"] == pytest.approx(loss + (over_x @ log_p).item(), abs=1e-6)


@pytest.mark.parametrize("beta", [1.0, 1.2, 1.4, 1.6, 2.5])
def test_the_marks_are_the_best_of_linear_models(tab, beta):
    """By SciPy: a decoder w z + b with noise S, and q = N(a · (x - b), v), all of them free."""
    covariance = TRUTH.covariance_matrix.numpy()

    def terms(numbers: np.ndarray) -> tuple[float, float]:
        w, log_noise, a, log_v = numbers[:2], numbers[2:4], numbers[4:6], numbers[6]
        rest = np.eye(2) - np.outer(w, a)  # x - b - w (a · (x - b)) = rest (x - b)
        errors = np.diag(rest @ covariance @ rest.T) + w**2 * np.exp(log_v)
        distortion = 0.5 * np.sum(np.log(2 * np.pi) + log_noise + errors * np.exp(-log_noise))
        return distortion, 0.5 * (a @ covariance @ a + np.exp(log_v) - 1 - log_v)

    starts = [np.array([0.8, 0.6, -0.5, -0.4, 0.4, 0.5, -1.0]), np.array([0.3, 0.2, -0.1, 0.1, 0.1, 0.2, -0.2])]
    best = min((minimize(lambda n: terms(n)[0] + beta * terms(n)[1], start, tol=1e-12) for start in starts),
               key=lambda found: found.fun)  # fmt: skip
    assert tab.evaluate("beta => Explorers.smallVae.limit(beta)", beta) == pytest.approx(sum(terms(best.x)), abs=1e-4)


def test_the_examples_are_draws_from_the_truth(tab):
    x = rows(tab, "() => Explorers.smallVae.source(7, 20000)()[0]")
    apart = torch.linalg.solve_triangular(TRUTH.scale_tril, (x - TRUTH.loc).T, upper=False)
    for noise in apart:
        assert kstest(noise, norm.cdf).pvalue > 1e-6
    assert abs(np.corrcoef(apart)[0, 1]) < 5 / math.sqrt(20_000)


@pytest.mark.parametrize("above, rate, found", [
    (0.019, 0.5, "floor"), (0.021, 0.5, "between"), (0.1, 0.021, "between"), (0.15, 0.019, "collapsed"),
    (8.0, 0.5, "broken"), (math.nan, 0.5, "broken"), (math.inf, 0.0, "broken"),
])  # fmt: skip
def test_the_end_of_a_run_has_its_name(tab, above, rate, found):
    script = "([above, rate]) => Explorers.smallest.end({loss: Explorers.smallVae.FLOOR + Number(above), rate})"
    assert tab.evaluate(script, [str(above).replace("inf", "Infinity"), rate]) == found


def seen(*quarters: list[float]) -> list[list[float]]:
    """Losses of the last two quarters of a run, with their steps, after a first half that does not count."""
    return [[500, 99], [1000, 99], *([1000 + 500 * i + 100 * (j + 1), loss] for i, quarter in enumerate(quarters)
            for j, loss in enumerate(quarter))]  # fmt: skip


def test_the_course_of_a_loss_is_its_fall_and_its_swing(tab):
    found = tab.evaluate("seen => Explorers.smallest.course(seen)", seen([5, 3], [4, 1, 1, 2]))
    assert found["fall"] == pytest.approx(2) and found["swing"] == pytest.approx(np.std([4, 1, 1, 2]))


def test_the_verdict_compares_bet_end_and_linear_algebra_and_names_the_cause(tab):
    script = """([above, rate, bet, beta, seen]) => {
        return Explorers.smallest.verdict({loss: Explorers.smallVae.FLOOR + above, rate}, bet, beta, seen);
    }"""
    calm, jumping, falling = seen([3, 3], [3, 3]), seen([3, 3], [3.1, 2.9]), seen([3, 3], [2.8, 2.79])
    say = lambda *how: tab.evaluate(script, list(how))  # noqa: E731
    assert say(0.0123, 0.5, "floor", 1, jumping) == (
        "You were right: on the floor, 0.012 nats above the floor, with a code of 0.50 nats. "
        "Linear algebra allows 0.000."
    )
    assert say(0.1501, 0.0, "between", 2, calm) == (
        "Not as you bet: collapsed, 0.150 nats above the floor, with a code of 0.00 nats. Linear algebra allows 0.144."
    )
    assert say(0.031, 0.5, "between", 1, jumping).endswith(
        "allows 0.000. The loss jumps by ±0.100: take smaller steps, or more examples."
    )
    assert say(0.1, 0.5, "between", 1, falling).endswith(
        "allows 0.000. The loss was still falling: at this learning rate 2000 steps are too few."
    )
    assert say(0.14, 0.01, "collapsed", 1.4, falling).endswith(
        "allows 0.087, with a code: from here it has not been found."
    )
    assert say(99, 0.5, "between", 1, calm).startswith("The loss has exploded")
