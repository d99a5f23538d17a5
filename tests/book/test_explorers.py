"""The explorers of the book, driven in a real browser: what a reader sees is what PyTorch and quadrature say.

A page with all of them is built with the book's theme, style sheet and extension. It is opened from the disk and from a
folder of a web site, with mouse, keys and fingers, and without scripts. In the page every number is shown with few
digits and kept with all of them in `data-value`.
"""

import base64
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from axe import violations
from driving import (
    FOLDER,
    NAMES,
    build_page,
    close,
    curve,
    drag,
    explorer,
    finger,
    middle,
    move,
    opened,
    painted,
    pixels,
    rows,
    values,
)
from playwright.sync_api import Locator, Page
from scipy.stats import kstest
from sites import listen, serving
from torch.distributions import Normal

from vae_tutorial import checkpoints
from vae_tutorial.bounds import elbo_terms
from vae_tutorial.datasets import binarize
from vae_tutorial.gaussian import log_normal, log_standard_normal, reparameterize
from vae_tutorial.likelihoods import normal
from vae_tutorial.models import VAE
from vae_tutorial.reference import LinearGaussian, grid, kl_quadrature, log_marginal_quadrature

SCREENS = [("light", 1350), ("dark", 1350), ("light", 390), ("dark", 390)]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder `book` of built pages: index.html with all explorers, plain.html with none."""
    target = tmp_path_factory.mktemp("site")
    build_page(tmp_path_factory.mktemp("explorers"), target / "book")
    return target


@pytest.fixture(scope="module")
def address(site) -> Iterator[str]:
    with serving(site) as address:
        yield address


@pytest.fixture(scope="module")
def tab(site, browser) -> Page:
    """The page, from the disk, with all explorers at work; tests say from where they start."""
    with browser.new_context(viewport={"width": 1350, "height": 900}) as context:
        yield opened(context, (site / "book" / "index.html").as_uri())


@pytest.fixture(scope="module")
def model() -> VAE:
    return checkpoints.load(FOLDER / "model.safetensors").double()


# The files


@pytest.fixture(scope="module")
def model20() -> VAE:
    return checkpoints.load(FOLDER / "model20.safetensors").double()


@pytest.mark.parametrize("count, name, n_layers", [
    ("", "encoder", 3), ("", "decoder", 3), ("20", "encoder", 2), ("20", "decoder", 2),
])  # fmt: skip
def test_the_script_holds_the_weights_of_the_checkpoint(model, model20, count, name, n_layers):
    text = (FOLDER / f"{name}{count}.js").read_text("utf-8")
    layers = json.loads(re.search(r"= (\[.*\]);", text, re.DOTALL)[1])
    network = getattr(model20 if count else model, name)
    linear = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
    assert len(layers) == len(linear) == n_layers
    for packed, layer in zip(layers, linear, strict=True):
        whole = unpacked(packed["weight"], torch.int8).double().reshape(layer.weight.shape)
        assert torch.equal(whole * unpacked(packed["scale"], torch.float16).double()[:, None], layer.weight)
        assert torch.equal(unpacked(packed["bias"], torch.float16).double(), layer.bias)


def unpacked(text: str, dtype: torch.dtype) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=dtype)


def test_the_files_of_the_explorers_are_small():
    """A picture and a script for each, and four networks; no page loads them all."""
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir() if path.suffix != ".safetensors"}
    networks = [size for name, size in sizes.items() if re.fullmatch(r"(en|de)coder(20)?\.js", name)]
    assert len(networks) == 4 and sum(networks) < 550_000
    assert all((FOLDER / f"{name}.png").stat().st_size < 75_000 for name in NAMES)
    assert all((FOLDER / f"{name}.js").stat().st_size < 15_000 for name in NAMES)
    assert sum(sizes.values()) < 550_000 + 100_000 + len(NAMES) * 60_000


def test_a_page_without_an_explorer_loads_nothing_of_them(site):
    assert "explorers/" in (site / "book" / "index.html").read_text("utf-8")
    assert "explorers/" not in (site / "book" / "plain.html").read_text("utf-8")


# The page


@pytest.mark.parametrize("theme, width, source", [
    ("light", 1350, "http"), ("dark", 390, "http"), ("light", 390, "file"), ("dark", 1350, "file"),
])  # fmt: skip
def test_the_page_opens_without_a_flaw(site, address, browser, theme, width, source):
    base = f"{address}book/" if source == "http" else (site / "book").as_uri() + "/"
    with browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900}) as context:
        said, requests = listen(context)
        tab = opened(context, base + "index.html")
        assert said == []
        assert requests and [url for url in requests if not url.startswith((base, "data:"))] == []
        assert tab.evaluate("document.documentElement.dataset.theme") == theme
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        outside = """width => [...document.querySelectorAll('.explorer-live *')].filter(node => {
            const box = node.getBoundingClientRect();
            return box.width && (box.left < 0 || box.right > width);
        }).map(node => node.outerHTML.slice(0, 99))"""
        assert tab.evaluate(outside, width) == []
        assert tab.locator(".explorer img:visible").count() == 0


def test_without_scripts_the_picture_stands_with_its_caption(site, browser):
    with browser.new_context(java_script_enabled=False) as context:
        tab = context.new_page()
        tab.goto((site / "book" / "index.html").as_uri())
        for name in NAMES:
            found = explorer(tab, name)
            assert found.locator("img").is_visible() and len(found.locator("img").get_attribute("alt")) > 60
            assert found.locator("figcaption").inner_text().count("This caption.") == 1
            assert found.locator(".explorer-noscript").is_visible()
            assert found.locator(".explorer-live").count() == 0


def test_where_the_weights_are_missing_the_picture_stays(site, browser):
    with browser.new_context() as context:
        context.route("**/decoder.js", lambda route: route.abort())
        with context.expect_event("requestfailed"):
            tab = opened(context, (site / "book" / "index.html").as_uri(), "elbo")
        assert explorer(tab, "latent").locator("img").is_visible()
        assert tab.locator(".explorer-latent .explorer-live").count() == 0


@pytest.mark.parametrize("theme, width", SCREENS)
def test_axe_finds_no_violation(site, browser, theme, width):
    with browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900}) as context:
        tab = opened(context, (site / "book" / "index.html").as_uri())
        assert violations(tab, ".explorer") == []


# The network


def test_the_decoder_is_pytorchs(tab, model):
    z = 2 * torch.randn(100, 2, generator=torch.Generator().manual_seed(0)).double()
    shown = rows(tab, "all => all.map(z => Array.from(Explorers.network.decodeMean(z)))", z.tolist())
    exact = torch.sigmoid(model.decode(z)).detach()
    assert close(shown, exact, 1e-9)
    assert close(
        shown, torch.sigmoid(checkpoints.load(FOLDER / "model.safetensors").float().decode(z.float())).detach(), 1e-5
    )


def test_the_digits_and_the_noise_are_what_the_caption_says(tab):
    digits, uniform, eps = (
        rows(tab, f"() => [...Explorers.examples.{name}].map(row => row.length ? [...row] : row)")
        for name in ("digits", "uniform", "eps")
    )
    eps20 = rows(tab, "() => Explorers.examples.eps20.map(row => [...row])")
    assert torch.equal(eps20[:, None], torch.randn(64, 1, 20, generator=torch.Generator().manual_seed(0)).double())
    assert torch.equal(eps[:, None], torch.randn(64, 1, 2, generator=torch.Generator().manual_seed(0)).double())
    assert torch.equal(uniform, torch.rand(784, generator=torch.Generator().manual_seed(0)).double())
    x = rows(
        tab,
        "() => { const { digits, uniform } = Explorers.examples;"
        "return digits.map(gray => Array.from(Explorers.network.binarize(gray, uniform))); }",
    )
    for gray, black in zip(digits, x, strict=True):
        assert torch.equal(binarize(gray.float(), torch.Generator().manual_seed(0)).double(), black)


def test_the_codes_lie_in_the_plane_and_the_classes_gather(tab):
    codes = rows(tab, "() => Explorers.examples.codes.map(z => Array.from(z))")
    labels = rows(tab, "() => Explorers.examples.labels").long()
    assert codes.shape == (2000, 2) and labels.shape == (2000,) and codes.abs().max() < 4
    distances = torch.cdist(codes, codes).fill_diagonal_(math.inf)
    assert (labels[distances.argmin(1)] == labels).double().mean() > 0.5  # by chance, a tenth


def test_the_noise_is_standard_normal(tab):
    draws = rows(tab, "() => Explorers.network.standardNoise(100000, 7)")
    assert kstest(draws.numpy(), "norm").pvalue > 1e-6
    assert not torch.equal(draws[:1000], rows(tab, "() => Explorers.network.standardNoise(1000, 8)"))


# The latent explorer


def code(found: Locator) -> list[float]:
    return values(found.locator(".narrow"))


def draws_its_code(found: Locator, model: VAE) -> bool:
    exact = torch.sigmoid(model.decode(torch.tensor([code(found)], dtype=torch.float64)))[0].detach()
    return close(pixels(found.locator("canvas")), 255 * exact, 0.5 + 1e-9)


def test_the_point_is_dragged(tab, model):
    found = explorer(tab, "latent")
    found.locator(".handle").press("Home")
    assert code(found) == [0, 0] and draws_its_code(found, model)
    grip = found.locator(".grip")
    x, y = middle(grip)
    side = (
        tab.evaluate("() => Number(document.querySelector('.explorer-latent svg').getScreenCTM().a)") * (360 - 48) / 8
    )
    drag(tab, (x, y), (x + side, y - 0.5 * side))
    assert close(code(found), [1, 0.5], 0.03) and draws_its_code(found, model)
    assert close(middle(grip), (x + side, y - 0.5 * side), 1.5)
    drag(tab, middle(grip), (x + 3000, y))
    assert code(found)[0] == 4


def test_the_point_follows_the_keys(tab, model):
    found = explorer(tab, "latent")
    handle = found.locator(".handle")
    handle.focus()
    for key in ["Home", "ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowLeft", "Shift+ArrowDown"]:
        tab.keyboard.press(key)
    assert close(code(found), [-0.4, -0.45], 1e-12) and draws_its_code(found, model)
    assert handle.get_attribute("aria-valuetext") == "z1 -0.40, z2 -0.45"
    scrolled = tab.evaluate("scrollY")
    tab.keyboard.press("Home")
    assert code(found) == [0, 0] and tab.evaluate("scrollY") == scrolled
    tab.keyboard.press("Tab")
    assert not handle.evaluate("node => node === document.activeElement")  # no trap


def test_one_class_alone(tab):
    found = explorer(tab, "latent")
    seven = found.get_by_role("button", name="Show the codes of 7 alone")
    opacity = "all => all.map(node => Number(getComputedStyle(node).strokeOpacity))"
    before = found.locator(".codes").evaluate_all(opacity)
    seven.click()
    shown = found.locator(".codes").evaluate_all(opacity)
    assert [i for i, value in enumerate(shown) if value > 0.5] == [7] and seven.get_attribute("aria-pressed") == "true"
    seven.click()
    assert found.locator(".codes").evaluate_all(opacity) == before


def test_fingers_move_the_point(site, browser, model):
    with browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True) as context:
        tab = opened(context, (site / "book" / "index.html").as_uri(), "latent")
        found = explorer(tab, "latent")
        found.locator(".handle").press("Home")
        x, y = middle(found.locator(".grip"))
        scrolled = tab.evaluate("scrollY")
        finger(tab, [(x, y), (x + 20, y + 20), (x + 60, y + 80)])
        after = code(found)
        assert after[0] > 1 and after[1] < -1.5 and draws_its_code(found, model)
        assert tab.evaluate("scrollY") == scrolled
        tab.touchscreen.tap(x - 40, y - 40)
        assert code(found)[0] < 0 < code(found)[1]


def test_a_finger_beside_the_point_scrolls_the_page_and_leaves_the_point(site, browser):
    with browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True) as context:
        tab = opened(context, (site / "book" / "index.html").as_uri(), "latent")
        found = explorer(tab, "latent")
        found.locator(".handle").press("Home")
        scrolled = tab.evaluate("scrollY")
        x, y = middle(found.locator(".grip"))
        finger(tab, [(x - 90, y + 50 - 10 * i) for i in range(12)])
        tab.wait_for_function("y => scrollY > y + 50", arg=scrolled)
        assert code(found) == [0, 0]


# Draw a digit


def check_numbers(found: Locator, *models: VAE) -> torch.Tensor:
    """The numbers and images shown are PyTorch's for the black and white image shown; gives that image."""
    x = (pixels(found.locator(".pair canvas").nth(0)) / 255).reshape(1, 784)
    assert set(x.unique().tolist()) == {0, 1}
    columns = []
    for i, model in enumerate(models):
        noise = torch.randn(64, 1, model.latent_dim, generator=torch.Generator().manual_seed(0)).double()
        terms = elbo_terms(model, x, eps=noise)
        columns.append(torch.stack([terms.log_likelihood, terms.kl, terms.elbo]))
        mean = torch.sigmoid(model.decode(model.encode(x)[0]))[0].detach()
        assert close(pixels(found.locator(".pair canvas").nth(1 + i)), 255 * mean, 0.5 + 1e-9)
    mu, log_var = models[0].encode(x)
    sigma = torch.exp(0.5 * log_var)
    expected = [*torch.stack([mu, sigma], -1).flatten(), *torch.cat(columns, -1).flatten()]
    assert close(values(found), [number.item() for number in expected], 1e-9)
    shape = found.locator("ellipse").evaluate("e => ['cx', 'cy', 'rx', 'ry'].map(name => Number(e.getAttribute(name)))")
    scale = (350 - 38) / 8  # of the plane's 8 units
    places = [194 + scale * mu[0, 0], 165 - 310 / 8 * mu[0, 1], 2 * scale * sigma[0, 0], 2 * 310 / 8 * sigma[0, 1]]
    assert close(shape, [place.item() for place in places], 1e-9)
    return x.reshape(28, 28)


def test_the_ten_digits(tab, model, model20):
    found = explorer(tab, "draw")
    images = []
    for digit in range(10):
        found.get_by_role("button", name=f"Take our {digit}").click()
        images.append(check_numbers(found, model, model20))
        gray = rows(tab, "i => Array.from(Explorers.examples.digits[i])", digit)
        assert torch.equal(binarize(gray.float(), torch.Generator().manual_seed(0)).double().view(28, 28), images[-1])
    assert len({tuple(image.flatten().tolist()) for image in images}) == 10


STROKE = [(0.2, 0.15), (0.6, 0.1), (0.35, 0.45), (0.6, 0.7), (0.2, 0.85)]  # a three


def places(paper: Locator, *, size: float = 1.0, shift: float = 0.0) -> list[tuple[float, float]]:
    box = paper.bounding_box()
    return [
        (box["x"] + (size * x + shift) * box["width"], box["y"] + (size * y + shift) * box["height"]) for x, y in STROKE
    ]


def drawn(tab: Page, found: Locator, **how: float) -> None:
    found.get_by_role("button", name="Clear").click()
    found.locator(".paper").scroll_into_view_if_needed()
    first, *others = places(found.locator(".paper"), **how)
    tab.mouse.move(*first)
    tab.mouse.down()
    for place in others:
        tab.mouse.move(*place, steps=4)
    tab.mouse.up()
    painted(tab)


def test_a_drawn_stroke(tab, model, model20):
    found = explorer(tab, "draw")
    drawn(tab, found)
    x = check_numbers(found, model, model20)
    down, across = (x.any(axis).nonzero()[:, 0] for axis in (1, 0))
    assert 18 <= max(extent.max() - extent.min() + 1 for extent in (down, across)) <= 21  # as MNIST: 20 pixels
    place = torch.arange(28, dtype=torch.float64) + 0.5
    assert close([(x.sum(axis) @ place / x.sum()).item() for axis in (0, 1)], [14, 14], 0.6)
    assert 1.5 < x.sum() / torch.stack([down.max() - down.min(), across.max() - across.min()]).max() < 12


def test_a_drawing_is_centered_and_scaled(tab, model, model20):
    found = explorer(tab, "draw")
    images = []
    for how in (dict(), dict(shift=0.1), dict(size=0.99, shift=0.05)):
        drawn(tab, found, **how)
        images.append(check_numbers(found, model, model20))
    assert torch.equal(images[0], images[1])  # 28 points of the paper, a whole number
    assert (images[0] != images[2]).double().mean() < 0.06


def test_a_digit_is_drawn_with_a_finger_and_cleared(site, browser, model, model20):
    with browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True) as context:
        tab = opened(context, (site / "book" / "index.html").as_uri(), "draw")
        found = explorer(tab, "draw")
        found.locator(".paper").scroll_into_view_if_needed()
        scrolled = tab.evaluate("scrollY")
        found.get_by_role("button", name="Clear").tap()
        assert all(math.isnan(value) for value in values(found)) and found.locator("ellipse").is_hidden()
        assert set(found.locator("td .explorer-number").all_inner_texts()) == {"–"}
        finger(tab, places(found.locator(".paper")))
        tab.wait_for_function("() => document.querySelector('.explorer-draw [data-value]').dataset.value !== 'NaN'")
        by_finger = check_numbers(found, model, model20)
        assert tab.evaluate("scrollY") == scrolled
        assert found.locator("ellipse").is_visible()
        drawn(tab, found)
        by_mouse = check_numbers(found, model, model20)
        assert (by_finger != by_mouse).double().mean() < 0.02  # the whole stroke


# The ELBO by hand

NOISE_VAR = 0.09
X = torch.tensor([[0.1, 0.8]], dtype=torch.float64)
MEANS: dict[str, Callable] = {
    "curved": lambda z: torch.cat([z / 2, z**2 / 2], -1),
    "straight": lambda z: torch.cat([z / 2, z], -1),
}


def log_joint(decoder: str, z: torch.Tensor) -> torch.Tensor:
    return log_standard_normal(z) + normal(math.log(NOISE_VAR)).log_prob(X.expand(len(z), 2), MEANS[decoder](z))


@pytest.mark.parametrize("decoder", MEANS)
def test_elbo_and_gap_add_up_and_are_those_of_quadrature(tab, decoder):
    generator = torch.Generator().manual_seed(0)
    mu = torch.rand(60, generator=generator).double() * 4 - 2
    log_var = torch.rand(60, generator=generator).double() * 6 - 5
    q = torch.stack([mu, log_var], -1)
    bound, gap = (rows(tab, f"([d, all]) => all.map(q => Explorers.elbo.{name}(d, ...q))", [decoder, q.tolist()])
                  for name in ("bound", "gap"))  # fmt: skip
    evidence = tab.evaluate("d => Explorers.elbo.logEvidence(d)", decoder)
    exact = log_marginal_quadrature(lambda z: log_joint(decoder, z), [-8.0], [8.0], 2001)
    assert close(evidence, exact, 1e-12)
    assert close(bound + gap, exact.expand(60), 1e-9)

    def log_posterior(z):
        return log_joint(decoder, z) - exact

    for (m, s), divergence in zip(q.tolist(), gap, strict=True):
        reach = 12 * math.exp(s / 2)
        q = Normal(*torch.tensor([m, math.exp(s / 2)], dtype=torch.float64))
        divided = kl_quadrature(lambda z, q=q: q.log_prob(z[:, 0]), log_posterior, [m - reach], [m + reach], 2001)
        assert close(divergence, divided, 1e-9 * max(1, divided.item()))


def test_the_straight_decoder_is_linear_gaussian(tab):
    solved = LinearGaussian(torch.tensor([[0.5], [1.0]], dtype=torch.float64), NOISE_VAR)
    bound = tab.evaluate("() => Explorers.elbo.bound('straight', 0.3, -1.5)")
    q = torch.tensor([[0.3]], dtype=torch.float64), torch.tensor([[-1.5]], dtype=torch.float64)
    assert close(bound, solved.elbo(X, *q)[0], 1e-12)
    assert close(
        tab.evaluate("() => Explorers.elbo.gap('straight', 0.3, -1.5)"), solved.kl_to_posterior(X, *q)[0], 1e-12
    )
    assert close(tab.evaluate("() => Explorers.elbo.logEvidence('straight')"), solved.log_marginal(X)[0], 1e-12)


def test_the_gap_is_closed_by_hand(tab):
    found = explorer(tab, "elbo")
    said = found.get_by_role("status")
    table = found.locator("table")
    move(found, "Mean of q", 0)
    move(found, "Log-variance of q", 0)
    assert "nats worse than the best Gaussian. q is too wide" in said.inner_text()
    move(found, "Mean of q", 0.8)
    move(found, "Log-variance of q", -2.1)
    bound, gap, total, evidence = values(table)
    assert close(bound + gap, evidence, 1e-9) and total == bound + gap and 0.37 < gap < 0.4
    assert "no Gaussian leaves less than 0.379, for the posterior has two peaks" in said.inner_text()
    found.get_by_role("combobox").select_option("straight")
    assert "lies too far right" in said.inner_text()
    precision = 1 + (0.25 + 1) / NOISE_VAR
    move(found, "Mean of q", (0.1 * 0.5 + 0.8) / NOISE_VAR / precision)
    move(found, "Log-variance of q", -math.log(precision))
    assert "this posterior is a Gaussian, and q is it" in said.inner_text() and values(table)[1] < 0.003


def test_the_bars_add_up_and_the_keys_move_the_sliders(tab):
    found = explorer(tab, "elbo")
    found.get_by_role("combobox").select_option("curved")
    slider = found.get_by_role("slider", name="Mean of q", exact=True)
    slider.fill("0")
    for _ in range(7):
        slider.press("ArrowRight")
    assert values(found)[0] == pytest.approx(0.35)
    move(found, "Log-variance of q", -0.5)
    bound, gap, _, evidence = values(found.locator("table"))
    length = lambda name: float(found.locator(f"rect.{name}").get_attribute("width")) / (340 / 8)  # noqa: E731
    assert close([length("bound"), length("gap"), length("evidence")], [-bound, gap, -evidence], 1e-9)
    assert close(length("bound"), length("gap") + length("evidence"), 1e-9)
    shown = [text.strip() for text in found.locator("table td").all_inner_texts()]
    assert shown == [f"{value:.3f}".replace("-", "−") for value in (bound, gap, bound + gap, evidence)]


# Reparameterization


def estimates(mu: float, log_var: float, noise: torch.Tensor) -> dict[str, torch.Tensor]:
    """Contributions of the draws to the derivative with respect to μ, by autograd."""

    def f(z):
        return ((z + 0.5) ** 2).sum(-1)

    mus = torch.full((len(noise), 1), mu, dtype=torch.float64, requires_grad=True)
    log_vars = torch.full_like(mus, log_var)
    (pathwise,) = torch.autograd.grad(f(reparameterize(mus, log_vars, noise[:, None])).sum(), mus)
    z = reparameterize(mus, log_vars, noise[:, None]).detach()
    (score,) = torch.autograd.grad((f(z) * log_normal(z, mus, log_vars)).sum(), mus)
    return dict(pathwise=pathwise[:, 0], score=score[:, 0])


@pytest.mark.parametrize("mu, log_var", [(0.7, -0.6), (-1.9, 0.8), (1.3, -3.5), (-0.5, 0.2)])
def test_both_estimates_are_those_of_autograd_and_their_spread_that_of_quadrature(tab, mu, log_var):
    noise = rows(tab, "() => Explorers.network.standardNoise(1000, 5)")
    nodes, cell = grid([-12.0], [12.0], 2401)
    weights = Normal(0.0, 1.0).log_prob(nodes[:, 0]).exp() * cell
    exact = tab.evaluate("q => Explorers.reparameterization.exact(...q)", [mu, log_var])
    for name, draws in estimates(mu, log_var, noise).items():
        script = "([name, q, noise]) => Explorers.reparameterization.estimate(name, ...q, noise)"
        assert close(tab.evaluate(script, [name, [mu, log_var], noise.tolist()]), draws.mean(), 1e-9)
        everywhere = estimates(mu, log_var, nodes[:, 0])[name]
        mean = weights @ everywhere
        assert close(exact["gradient"], mean, 1e-9)
        assert close(exact[name], (weights @ (everywhere - mean) ** 2).sqrt(), 1e-9)


def draws_shown(found: Locator, panel: int) -> torch.Tensor:
    """The coordinates z of the draws of a panel."""
    d = found.locator(".halves > div").nth(panel).locator(".draws").get_attribute("d")
    x = torch.tensor([float(place) for place in re.findall(r"M([\d.-]+) ", d)], dtype=torch.float64)
    return (x - 10) / 340 * 10 - 5


def test_the_same_noise_moves_its_draws_and_fresh_noise_does_not(tab):
    found = explorer(tab, "reparameterization")
    move(found, "Mean", 0.7)
    move(found, "Log-variance", -0.6)
    before = [draws_shown(found, panel) for panel in (0, 1)]
    assert len(before[0]) == len(before[1]) == 10
    move(found, "Mean", 1.2)
    same, fresh = (draws_shown(found, panel) for panel in (0, 1))
    assert close(same, before[0] + 0.5, 1e-3)
    assert (fresh - before[1] - 0.5).abs().median() > 0.2
    noise = rows(tab, "() => Explorers.network.standardNoise(10, 1)")
    move(found, "Log-variance", -2)
    q = torch.full((10,), 1.2).double(), torch.full((10,), -2.0).double()
    assert close(draws_shown(found, 0), reparameterize(*q, noise), 1e-3)


def traces(found: Locator, panel: int) -> torch.Tensor:
    """Of a panel the estimates over μ that its two curves show, from the lowest place passed to the highest."""
    half = found.locator(".halves > div").nth(panel)
    heights = [curve(half.locator(f".curve.{name}"))[:, 1] for name in ("pathwise", "score")]
    return -8 + (190 - torch.tensor(np.stack(heights))) / 180 * 20


def test_the_curves_are_the_estimates_smooth_with_the_same_noise_and_jittering_with_fresh(tab):
    found = explorer(tab, "reparameterization")
    move(found, "Log-variance", -1.5)
    for mu in (2, -2, 0.3):
        move(found, "Mean", mu)
    noise = rows(tab, "() => Explorers.network.standardNoise(10, 1)")
    places = [-2 + i / 20 for i in range(81)]
    smooth = [[draws.mean().item() for draws in estimates(mu, -1.5, noise).values()] for mu in places]
    same, fresh = (traces(found, panel) for panel in (0, 1))
    assert same.shape == fresh.shape == (2, 81)
    assert close(same, torch.tensor(smooth).T, 1e-3)
    bends = lambda curves: (curves[:, 2:] - 2 * curves[:, 1:-1] + curves[:, :-2]).abs().mean(1)  # noqa: E731
    assert (bends(same) < 0.01).all() and (bends(fresh) > 0.1).all()  # one is straight, the other a parabola


def test_the_numbers_shown_are_those_of_the_draws(tab):
    found = explorer(tab, "reparameterization")
    found.get_by_label("Draws for each estimate").select_option("1000")
    move(found, "Mean", -1.2)
    move(found, "Log-variance", -1.5)
    shown = torch.tensor(values(found.locator("table"))).view(4, 2)  # same, fresh, exact, usual error
    noise = rows(tab, "() => Explorers.network.standardNoise(1000, 1)")
    for column, draws in enumerate(estimates(-1.2, -1.5, noise).values()):
        assert close(shown[0, column], draws.mean(), 1e-5)
        assert shown[3, column] == pytest.approx(draws.std().item() / math.sqrt(1000), rel=0.1)
    assert shown[2, 0] == shown[2, 1] == pytest.approx(-1.4)
    assert ((shown[1] - shown[2]).abs() < 5 * shown[3]).all()
    found.get_by_role("button", name="Draw again").click()
    again = torch.tensor(values(found.locator("table"))).view(4, 2)
    assert torch.equal(again[[0, 2, 3]], shown[[0, 2, 3]]) and (again[1] != shown[1]).all()
    found.get_by_label("Draws for each estimate").select_option("10")


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_the_slide_respects_who_wants_no_motion(site, browser, motion):
    with browser.new_context(reduced_motion=motion) as context:
        tab = opened(context, (site / "book" / "index.html").as_uri(), "reparameterization")
        found = explorer(tab, "reparameterization")
        slider = found.get_by_role("slider", name="Mean", exact=True)
        found.get_by_role("button", name="Slide μ across").click()
        if motion == "reduce":
            assert slider.input_value() == "-2"
            return
        tab.wait_for_function("node => node.value > -1.5 && node.value < 0.6", arg=slider.element_handle())
        tab.wait_for_function("node => node.value === '-2'", arg=slider.element_handle())


# Wherever the sliders stand


@pytest.mark.parametrize("width", [390, 1350])
@pytest.mark.parametrize("name", NAMES)
def test_at_the_ends_of_its_sliders_an_explorer_stays_in_its_card(site, browser, name, width):
    outside = """live => {
        const card = live.getBoundingClientRect();
        const leaves = ({ left, right, top, bottom }) =>
            Math.max(card.left - left, right - card.right, card.top - top, bottom - card.bottom) > 1;
        const seen = node => node.getBoundingClientRect().width && !node.closest('.inside');
        return [...live.querySelectorAll('*')].filter(node => seen(node) && leaves(node.getBoundingClientRect()))
            .map(node => node.outerHTML.slice(0, 200));
    }"""
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        said, _ = listen(context)
        found = explorer(opened(context, (site / "book" / "index.html").as_uri(), name), name)
        live, sliders = found.locator(".explorer-live"), found.locator("input[type=range]").all()
        height = live.evaluate("live => live.offsetHeight")
        for ends in itertools.product(("Home", "End"), repeat=len(sliders)):
            for slider, end in zip(sliders, ends, strict=True):
                slider.press(end)
            assert live.evaluate(outside) == [] and "NaN" not in found.inner_text(), ends
            assert live.evaluate("live => live.offsetHeight") == height, ends
        assert said == []


# Nothing moves that is not moved


@pytest.mark.parametrize("width", [1350, 390])
def test_nothing_is_shifted_by_what_changes(site, browser, width):
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        tab = opened(context, (site / "book" / "index.html").as_uri())
        layout = """() => [...document.querySelectorAll('.explorer-live, .explorer-live *')].map(node => {
            if (node.closest('option, g, .inside')) return [];
            const box = node.getBoundingClientRect();
            return [box.left + scrollX, box.top + scrollY, box.width, box.height].map(Math.round);
        })"""
        before = tab.evaluate(layout)
        for name in ("elbo", "reparameterization"):
            for slider in explorer(tab, name).get_by_role("slider").all():
                for end in ("Home", "End"):
                    slider.press(end)
                    assert tab.evaluate(layout) == before, (name, end)
        move(explorer(tab, "elbo"), "Mean of q", 0.82)
        move(explorer(tab, "elbo"), "Log-variance of q", -2.1)
        tab.locator(".explorer-latent .handle").focus()
        for _ in range(9):
            tab.keyboard.press("Shift+ArrowLeft")
        explorer(tab, "draw").get_by_role("button", name="Clear").click()
        assert tab.evaluate(layout) == before


# The smallest VAE


@pytest.mark.parametrize("beta, learning_rate, bet, said", [
    (1.0, "0.003", "floor", "You were right: on the floor, 0.0"),
    (2.0, "0.003", "floor", "Not as you bet: collapsed, 0.14"),
    (1.0, "3", "floor", "The loss has exploded: lower the learning rate"),
])  # fmt: skip
def test_the_smallest_vae_is_trained_and_ends_where_it_should(site, browser, beta, learning_rate, bet, said):
    with browser.new_context(reduced_motion="reduce") as context:
        tab = opened(context, (site / "book" / "index.html").as_uri(), "smallest")
        found = explorer(tab, "smallest")
        move(found, "Weight of the KL divergence", beta)
        found.get_by_label("Learning rate").select_option(learning_rate)
        found.locator(f"[data-bet={bet}]").click()
        tab.wait_for_selector(".explorer-smallest [data-state=over]")
        assert found.get_by_role("status").inner_text().startswith(said)
        floor, of_model, of_q, loss, _, _ = values(found.locator("table"))
        assert floor == pytest.approx(0.5 * math.log((2 * math.pi) ** 2 * 0.75) + 1, abs=1e-12)
        assert learning_rate == "3" or floor + of_model + of_q == pytest.approx(loss, abs=1e-9)


def test_a_run_can_be_stopped_and_begins_anew(site, browser):
    with browser.new_context() as context:
        tab = opened(context, (site / "book" / "index.html").as_uri(), "smallest")
        found = explorer(tab, "smallest")
        steps = lambda: values(found.locator("table"))[-1]  # noqa: E731
        found.locator("[data-bet=floor]").click()
        tab.wait_for_function(
            "node => Number(node.dataset.value) >= 40", arg=found.locator("td span").last.element_handle()
        )
        found.get_by_role("button", name="stop").click()
        stopped = steps()
        painted(tab)
        assert steps() == stopped < 2000
        found.locator("[data-bet=floor]").click()
        assert steps() < stopped
