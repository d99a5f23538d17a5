"""The explorer of uniform images: its numbers are those of PyTorch's transposed convolutions, far from the border."""

import pytest
import torch
import torch.nn.functional as F
from driving import close, explorer, move, number, pixels, rows, values
from playwright.sync_api import Page
from scipy.signal import convolve

LAYERS = [(2, 1, 0), (2, 4, 0), (3, 2, 0), (3, 2, 1), (4, 2, 0.3), (5, 3, 0), (5, 3, 1), (5, 4, 0.6), (8, 3, 1)]
OUTPUT = """([n, m, a, tent]) => {
  const { counts, kernel, matrix, output } = Explorers.convolutions;
  const C = matrix(kernel(m, a, tent), a, n);
  return [output(C), counts(C)];
}"""


def kernel(m: int, a: int, tent: float) -> torch.Tensor:
    """Equal weights and a tent, which is a box convolved with a box."""
    tall = torch.tensor(convolve([1.0] * ((m + 1) // 2), [1.0] * (m // 2 + 1)), dtype=torch.float64)
    return a * ((1 - tent) / m + tent * tall / tall.sum())


def spread(weights: torch.Tensor, a: int, n: int) -> torch.Tensor:
    """What n pixels of a long line of ones get; the first one lies under the last weight of a window."""
    ones = torch.ones(1, 1, 60, dtype=torch.float64)
    return F.conv_transpose1d(ones, weights[None, None], stride=a)[0, 0, 8 * a + len(weights) - 1 :][:n]


@pytest.mark.parametrize("m, a, tent", LAYERS)
@pytest.mark.parametrize("n", [16, 28])
def test_what_each_pixel_gets_and_how_many_weights_reach_it(tab, m, a, tent, n):
    got, count = rows(tab, OUTPUT, [n, m, a, tent])
    weights = kernel(m, a, tent)
    assert close(got, spread(weights, a, n), 1e-12)
    assert close(count, spread(torch.ones_like(weights), a, n), 0)
    assert weights.sum().item() == pytest.approx(a)


@pytest.mark.parametrize("m, a, tent", LAYERS)
def test_the_matrix_is_that_of_the_convolution(tab, m, a, tent):
    script = "([m, a, w]) => Explorers.convolutions.matrix(w, a, 16)"
    weights = kernel(m, a, tent) + torch.arange(m) / 9  # not symmetric
    x = torch.eye(16, dtype=torch.float64)[:, None]
    by_torch = F.conv1d(x, weights[None, None], stride=a, padding=m - 1)[:, 0].T
    assert close(rows(tab, script, [m, a, weights.tolist()]), by_torch, 1e-12)


def test_equal_weights_are_uniform_where_the_stride_divides_their_number(tab):
    uniform = {(m, a) for m in range(2, 9) for a in range(1, 5) if said(tab, m, a, 0).startswith("Uniform")}
    assert uniform == {(m, a) for m in range(2, 9) for a in range(1, 5) if m % a == 0}


def said(tab: Page, *place, bet: str | None = None) -> str:
    return tab.evaluate("place => Explorers.convolutions.verdict(...place)", [*place, bet])


@pytest.mark.parametrize("place, bet, words", [
    ((3, 1, 0), None, "Uniform: at stride 1 every pixel meets all of the weights, whatever they are."),
    ((5, 1, 0.3), "all", "Uniform: at stride 1 every pixel meets all of the weights, whatever they are."),
    ((2, 2, 0), None, "Uniform: every pixel lies under 1 window."),
    ((4, 2, 1), None, "Uniform: every pixel lies under 2 windows, and its weights add up to 1."),
    ((3, 2, 0), None, "Striped, 0.67 to 1.33: pixels lie under 1 or 2 windows, in turns that repeat after 2"),
    ((3, 2, 1), None, "Uniform, though pixels lie under 1 or 2 windows: a strong weight alone is worth as much as 2"),
    ((3, 3, 1), None, "Striped, 0.75 to 1.50, though every pixel lies under 1 window: what it gets depends"),
    ((2, 4, 0), None, "Gaps: the window is shorter than the stride, and 2 of 4 pixels lie under none."),
    ((2, 3, 0), None, "Gaps: the window is shorter than the stride, and 1 of 3 pixels lie under none."),
    ((3, 2, 0), "even ones", "You were right: even ones, with m/2 windows over each pixel. Striped"),
    ((4, 2, 0), "all", "Not as you bet: even ones, with m/2 windows over each pixel. Uniform: every"),
    ((4, 2, 0.5), "all", "Uniform: every"),
    ((6, 3, 0), "all", "Uniform: every"),
])  # fmt: skip
def test_what_is_said(tab, place, bet, words):
    assert said(tab, *place, bet=bet).startswith(words)


def test_a_bet_sets_stride_two_and_the_keys_find_a_uniform_image(tab):
    found = explorer(tab, "convolutions")
    status = found.get_by_role("status")
    move(found, "Stride", 2)
    assert status.inner_text().startswith("Bet first")
    move(found, "Stride", 3)
    move(found, "From equal weights to a tent", 0.5)
    found.get_by_role("button", name="odd ones").click()
    assert [float(s.input_value()) for s in found.get_by_role("slider").all()] == [3, 2, 0]
    assert status.inner_text().startswith("Not as you bet")
    assert values(found.locator("table")) == pytest.approx([1, 2, 2 / 3, 4 / 3])
    found.get_by_role("slider", name="Kernel size").press("ArrowRight")
    assert "Uniform: every pixel lies under 2 windows" in status.inner_text()
    assert values(found.locator("table")) == pytest.approx([2, 2, 1, 1])


def test_the_drawing_is_where_the_numbers_say(tab):
    found = explorer(tab, "convolutions")
    move(found, "Kernel size", 5)
    move(found, "Stride", 3)
    move(found, "From equal weights to a tent", 0.4)
    got, count = spread(kernel(5, 3, 0.4), 3, 16), spread(torch.ones(5).double(), 3, 16)
    bars = found.locator("rect.bound").all()
    assert close([number(bar, "height") for bar in bars], 310 / 6.7 * got, 1e-9)
    assert close([number(bar, "y") + number(bar, "height") for bar in bars], [320] * 16, 1e-9)
    places = [38 + 312 / 16 * (j + 0.5) for j in range(16)]
    assert close([number(bar, "x") + 8 for bar in bars], places, 1e-9)
    dots = torch.tensor([number(dot, "cx") for dot in found.locator("circle.frame").all()], dtype=torch.float64)
    assert close([(dots - place).abs().lt(1e-6).sum() for place in places], count, 0)
    sizes = torch.tensor([number(dot, "r") for dot in found.locator("circle.frame").all()]) ** 2 / 3.9**2
    assert close(sizes.double().unique(), (kernel(5, 3, 0.4) / kernel(5, 3, 0.4).max()).float().double().unique(), 1e-6)
    line = spread(kernel(5, 3, 0.4), 3, 28)
    ink = (torch.outer(line, line) / 2).clamp(max=1)
    assert close(pixels(found.locator("canvas")), 255 * ink.flatten(), 0.501)
