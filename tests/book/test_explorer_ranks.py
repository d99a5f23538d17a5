"""The explorer of ranks: its gradients are autograd's of each share, its variance that of the noise that seeds give."""

import math

import numpy as np
import pytest
import torch
from driving import close, curve, explorer, move, number, values
from playwright.sync_api import Locator
from torch import Tensor
from torch.distributions import Normal

X = torch.tensor([-0.4, -1.5, 0.6, -0.9, -0.2, -1.8, 0.3, -1.1, 0.5, -1.2, -0.1, 2.2], dtype=torch.float64)
M = len(X)
PLAIN, WEIGHTED = ENGINES = ["plain", "each times P m / M"]
ROWS, SEED = NOISES = ["its rows of one noise", "drawn from one seed"]
SHARES = [(P, last) for P in (2, 3, 4) for last in range(1, 10)]


def shares(P: int, last: int) -> list[int]:
    """The last rank's share, and the others by the chapter's rule."""
    rest = M - last
    return [rest * (r + 1) // (P - 1) - rest * r // (P - 1) for r in range(P - 1)] + [last]


def gradient(x: Tensor, eps: Tensor) -> Tensor:
    """Of the mean loss of some examples, in the decoder's offset, at 0."""
    offset = torch.zeros((), dtype=torch.float64, requires_grad=True)
    loss = -Normal(eps + offset, 1.0).log_prob(x).mean()  # and a KL that knows no offset
    return torch.autograd.grad(loss, offset, create_graph=True)[0]


def of_ranks(sizes: list[int], engine: str, eps: Tensor) -> Tensor:
    """What the engine makes of the gradients of the ranks."""
    each = torch.stack([gradient(x, own) for x, own in zip(X.split(sizes), eps.split(sizes), strict=True)])
    if engine == WEIGHTED:
        each = torch.tensor(sizes, dtype=torch.float64) * len(sizes) / M * each
    return each.mean()


def drawn(sizes: list[int], noise: str) -> Tensor:
    """The noise of all ranks, one after the other."""
    of = lambda m: torch.randn(m, generator=torch.Generator().manual_seed(0), dtype=torch.float64)  # noqa: E731
    return of(M) if noise == ROWS else torch.cat([of(m) for m in sizes])


def moments(sizes: list[int], engine: str, noise: str) -> tuple[float, float]:
    """Mean and variance of the gradient over the noise, in which it is linear; what is equal moves together."""
    mean = of_ranks(sizes, engine, torch.zeros(M, dtype=torch.float64))
    _, which = drawn(sizes, noise).unique(return_inverse=True)
    independent = torch.zeros(int(which.max()) + 1, dtype=torch.float64)
    slopes = torch.autograd.functional.jacobian(lambda numbers: of_ranks(sizes, engine, numbers[which]), independent)
    return mean.item(), slopes.square().sum().item()


def test_the_estimate_is_autograds_at_all_shares(tab):
    found = tab.evaluate(
        "([shares, engines, noises]) => shares.map(place => engines.map(engine => noises.map(noise => {"
        "const { mean, variance } = Explorers.ranks.estimate(Explorers.ranks.shares(...place), engine, noise);"
        "return [mean, variance]; })))",
        [SHARES, ENGINES, NOISES],
    )
    expected = [
        [[moments(shares(*place), engine, noise) for noise in NOISES] for engine in ENGINES] for place in SHARES
    ]
    assert close(found, expected, 1e-14)


def test_shares_and_their_gradients(tab):
    zero = torch.zeros(M, dtype=torch.float64)
    for place in SHARES:
        sizes = tab.evaluate("place => Explorers.ranks.shares(...place)", place)
        assert sizes == shares(*place) and sum(sizes) == M and min(sizes) > 0
        own = [gradient(x, eps) for x, eps in zip(X.split(sizes), zero.split(sizes), strict=True)]
        assert close(tab.evaluate("sizes => Explorers.ranks.gradients(sizes)", sizes), torch.stack(own).detach(), 1e-14)
    assert tab.evaluate("Explorers.ranks.shares(4, 1)") == [3, 4, 4, 1]


def test_the_plain_mean_is_right_where_shares_are_equal_and_the_weighted_one_everywhere(tab):
    script = "([place, engine]) => Explorers.ranks.estimate(Explorers.ranks.shares(...place), engine).mean"
    whole = gradient(X, torch.zeros(M, dtype=torch.float64)).item()
    assert tab.evaluate("Explorers.ranks.WHOLE") == {"mean": pytest.approx(whole), "variance": pytest.approx(1 / M)}
    for place in SHARES:
        plain, weighted = (tab.evaluate(script, [place, engine]) for engine in ENGINES)
        assert weighted == pytest.approx(whole, abs=1e-14)
        assert (abs(plain - whole) < 1e-3) == (len(set(shares(*place))) == 1)


@pytest.mark.parametrize("P, m", [(2, 6), (3, 4), (4, 3)])
def test_one_seed_makes_equal_ranks_as_noisy_as_one_of_them(tab, P, m):
    for engine in ENGINES:
        script = "([sizes, engine]) => Explorers.ranks.estimate(sizes, engine, 'drawn from one seed').variance"
        assert tab.evaluate(script, [[m] * P, engine]) == pytest.approx(1 / m, abs=1e-15)


@pytest.mark.parametrize("place, engine, noise, bet, words", [
    ((4, 3), PLAIN, ROWS, None, "All shares are 3: the plain mean is the gradient. The noise is that of one process."),
    ((4, 3), PLAIN, SEED, None, "All shares are 3: the plain mean is the gradient. Rows of equal number share their "
     "noise: as noisy as a batch of 3.0."),
    ((2, 1), PLAIN, ROWS, "1/2", "You were right: one half. An example of rank 1 counts 6.0 times its due. Mean −0.84 "
     "for 0.30: the step goes the wrong way. The noise, too, is that of a batch of 3.7."),
    ((2, 1), PLAIN, ROWS, "1/12", "Not as you bet: one half. An example of rank 1"),
    ((2, 2), PLAIN, ROWS, "1/12", "An example of rank 1 counts 3.0 times its due. Mean −0.24 for 0.30: the step goes"),
    ((2, 1), WEIGHTED, ROWS, "1/2", "Rank 1 is weighted by 0.17: every example counts 1/12, and the mean is right. The "
     "noise is that of one process."),
    ((3, 9), PLAIN, ROWS, None, "An example of rank 2 counts only 0.44 of its due. Mean 0.37 for 0.30. The noise, too, "
     "is that of a batch of 5.6."),
])  # fmt: skip
def test_what_is_said(tab, place, engine, noise, bet, words):
    script = "([place, ...rest]) => Explorers.ranks.verdict(Explorers.ranks.shares(...place), ...rest)"
    assert tab.evaluate(script, [place, engine, noise, bet]).startswith(words)


def test_the_single_example_makes_one_half_of_the_plain_mean(tab):
    """The bet's answer, by autograd: what the mean gains where the last example's gradient gains 1."""
    sizes = shares(2, 1)
    eps = torch.zeros(M, dtype=torch.float64)
    moved = of_ranks(sizes, PLAIN, eps + torch.eye(M, dtype=torch.float64)[-1]) - of_ranks(sizes, PLAIN, eps)
    assert moved.item() == pytest.approx(0.5)
    assert tab.evaluate("Explorers.ranks.counts([11, 1], 'plain')") == pytest.approx([1 / 22, moved.item()])
    assert tab.evaluate("Explorers.ranks.ANSWERS") == ["1/12", "1/11", "1/2"]


# The page


def place(found: Locator, P: int, last: int, engine: str, noise: str) -> None:
    move(found, "Number of ranks", P)
    move(found, "Share of the last rank", last)
    for name in (engine, noise):
        found.get_by_role("button", name=name, exact=True).click()


def test_a_bet_sets_the_shares_and_the_keys_move_them(tab):
    found = explorer(tab, "ranks")
    said, table = found.get_by_role("status"), found.locator("table")
    assert said.inner_text().startswith("All shares are 3")
    place(found, 2, 1, PLAIN, ROWS)
    assert said.inner_text().startswith("Bet first") and found.locator(".curve.mean").get_attribute("d") == ""
    assert all(math.isnan(value) for value in values(table)[1::2])
    assert len({dot.get_attribute("r") for dot in found.locator(".dot").all()}) == 1  # else they would tell
    place(found, 4, 5, WEIGHTED, ROWS)
    found.get_by_role("button", name="1/11").click()
    assert said.inner_text().startswith("Not as you bet: one half.")
    assert found.get_by_role("button", name=PLAIN, exact=True).get_attribute("aria-pressed") == "true"
    slider = found.get_by_role("slider", name="Share of the last rank")
    for _ in range(3):
        slider.press("ArrowRight")
    assert said.inner_text().startswith("An example of rank 1 counts 1.5 times its due.")
    for engine in ENGINES:
        for noise in NOISES:
            place(found, 3, 2, engine, noise)
            mean, variance = moments(shares(3, 2), engine, noise)
            expected = [0.3, mean, 12**-0.5, variance**0.5, 12, 1 / variance]
            assert close(values(table), expected, 1e-12)


def test_the_drawing_is_where_the_numbers_say(tab):
    found = explorer(tab, "ranks")
    if found.get_by_role("button", name="1/2", exact=True).get_attribute("aria-pressed") == "false":
        found.get_by_role("button", name="1/2", exact=True).click()
    place(found, 3, 1, PLAIN, SEED)
    sizes = shares(3, 1)
    assert sizes == [5, 6, 1]
    across = lambda value: 38 + 312 / 6 * (np.asarray(value) + 3)  # noqa: E731
    down = lambda row: 10 + 240 / 12.4 * (np.asarray(row) - 0.3)  # noqa: E731
    dots = found.locator(".dot").all()
    assert close([number(dot, "cx") for dot in dots], across(-X), 1e-9)
    assert close([number(dot, "cy") for dot in dots], down(np.arange(1, 13)), 1e-9)
    areas = np.array([number(dot, "r") ** 2 for dot in dots]) / 4.5**2 / M
    assert close(areas, np.repeat(1 / np.array([15, 18, 3]), sizes), 1e-12)
    own = [-X[:5].mean(), -X[5:11].mean(), -X[11]]
    bars = curve(found.locator(".curve.leap"))
    assert close(bars[::2, 0], across(own), 0.006) and close(bars[1::2, 0], across(own), 0.006)
    assert close(bars[:, 1], down([0.6, 5.4, 5.6, 11.4, 11.6, 12.4]), 0.006)
    cuts = found.locator(".mark").get_attribute("d").split("M")[1:]
    assert close([float(cut.split(" ")[1].split("H")[0]) for cut in cuts], down([5.5, 11.5]), 1e-9)
    names = found.locator(".inside .note")
    assert names.all_text_contents() == ["rank 0", "rank 1", "rank 2", ""]
    assert close([number(names.nth(r), "y") - 4 for r in range(3)], down([3, 8.5, 12]), 1e-9)
    mean, variance = moments(sizes, PLAIN, SEED)
    xs = torch.arange(-3, 3.01, 1 / 40, dtype=torch.float64)
    for name, hill in ((".curve.mean", Normal(mean, variance**0.5)), (".area", Normal(0.3, 12**-0.5))):
        heights = hill.log_prob(xs).exp().numpy()
        expected = np.stack([across(xs.numpy()), 140 - 130 / 1.5 * heights], 1)
        assert close(curve(found.locator(name)), expected, 0.006)
