"""Twenty numbers, the explorer of the landing page, and the paper that it shares with "Draw a digit"."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from driving import BARE, FOLDER, alive, close, drag, explorer, finger, opened, painted, pixels, rows
from playwright.sync_api import Locator, Page
from sklearn.svm import SVC

from vae_tutorial import checkpoints
from vae_tutorial.datasets import load_images
from vae_tutorial.models import VAE

SCRIPTS = ("network", "panel", "numbers")


@pytest.fixture(scope="module")
def tab(tmp_path_factory, browser) -> Iterator[Page]:
    with alive(browser, tmp_path_factory.mktemp("bare"), "numbers", "draw") as tab:
        yield tab


@pytest.fixture(scope="module")
def model() -> VAE:
    return checkpoints.load(FOLDER / "model20.safetensors").double()


# The networks


def test_both_networks_are_pytorchs(tab, model):
    x = (torch.rand(5, 784, generator=torch.Generator().manual_seed(0)) < 0.2).double()
    tab.evaluate("() => Promise.all(['encoder20', 'decoder20'].map(Explorers.panel.load))")
    script = """x => {
        const { mu, logVar } = Explorers.network.encode(x, "encoder20");
        return [...mu, ...logVar];
    }"""
    shown = torch.stack([rows(tab, script, image.tolist()) for image in x])
    assert close(shown, torch.cat(model.encode(x), -1).detach(), 1e-9)
    single = torch.cat(checkpoints.load(FOLDER / "model20.safetensors").float().encode(x.float()), -1).detach()
    assert close(shown, single, 1e-5)
    z = 1.5 * torch.randn(5, 20, generator=torch.Generator().manual_seed(1)).double()
    means = rows(tab, "all => all.map(z => [...Explorers.network.decodeMean(z, 'decoder20')])", z.tolist())
    assert close(means, torch.sigmoid(model.decode(z)).detach(), 1e-9)


def test_each_of_the_ten_comes_back_as_itself_from_twenty_numbers_and_not_from_two(tab):
    """By the image that makes a given digit most probable; with MNIST also by a classifier that is no network."""
    script = """networks => {
        const { binarize, decodeMean, encode } = Explorers.network;
        const { digits, uniform } = Explorers.examples;
        return digits.map(gray => [...decodeMean(encode(binarize(gray, uniform), networks[0]).mu, networks[1])]);
    }"""
    two, twenty = (rows(tab, script, [f"encoder{n}", f"decoder{n}"]) for n in ("", "20"))
    given = rows(tab, "() => Explorers.examples.digits.map(gray => [...gray])")
    log_likelihood = lambda means: given @ means.log().T + (1 - given) @ torch.log1p(-means).T  # noqa: E731
    assert log_likelihood(twenty).argmax(0).tolist() == [*range(10)]
    assert log_likelihood(two).argmax(0).tolist() != [*range(10)]
    data = load_images()
    if data.name == "mnist":
        judge = SVC(C=5).fit(data.x_train[:6000].numpy(), data.y_train[:6000].numpy())
        assert judge.predict(twenty.numpy()).tolist() == [*range(10)]
        assert sum(judge.predict(two.numpy()) == range(10)) < 8


# What is computed


@pytest.mark.parametrize("chosen, key, long, to", [
    (4, "ArrowLeft", False, [3, None]), (0, "ArrowLeft", False, [0, None]), (19, "ArrowRight", True, [19, None]),
    (4, "ArrowUp", False, [4, 0.6]), (4, "ArrowDown", True, [4, -0.5]), (7, "ArrowUp", True, [7, 3]),
    (7, "ArrowDown", False, [7, 2.7]), (7, "Home", False, [7, 0]), (7, "Enter", False, None),
])  # fmt: skip
def test_where_a_key_takes_a_number(tab, chosen, key, long, to):
    script = """([chosen, key, long]) => {
        const z = Array.from({ length: 20 }, (_, l) => [0, 0, 0, 0, 0.5, 0, 0, 2.8][l] ?? 0);
        return Explorers.numbers.keyed(chosen, z, key, long);
    }"""
    found = tab.evaluate(script, [chosen, key, long])
    assert found == (to if to is None or to[1] is None else [to[0], pytest.approx(to[1])])


def test_pixels_are_counted_as_black_where_more_than_half_is_ink(tab):
    script = "pair => Explorers.numbers.compared(...pair)"
    found = tab.evaluate(script, [[0.9, 0.6, 0.5, 0.2, 1.0], [0.8, 0.4, 0.7, 0.9, 0.51]])
    assert found == dict(all=3, back=2, added=2)


def reaches(model: VAE, z: torch.Tensor) -> list[int]:
    """How many pixels each number can change by itself, at -3 or at 3."""
    black = lambda z: torch.sigmoid(model.decode(z)) > 0.5  # noqa: E731
    ends = torch.stack([z.expand(20, 20).clone().fill_diagonal_(end) for end in (-3, 3)])
    return (black(ends) != black(z)).sum(-1).amax(0).tolist()


def test_how_much_each_number_can_change_is_what_pytorch_says(tab, model):
    tab.evaluate("() => Explorers.panel.load('decoder20')")
    script = "z => Explorers.numbers.reaches(z, (z) => Explorers.network.decodeMean(z, 'decoder20'))"
    z = torch.randn(20, generator=torch.Generator().manual_seed(3)).double()
    assert tab.evaluate(script, z.tolist()) == reaches(model, z)


@pytest.mark.parametrize("number, rest", [
    (1, "can change up to 7, number 3 the most, 50."), (2, "can change up to 2, less than any other."),
    (3, "can change up to 50, more than any other."),
])  # fmt: skip
def test_a_number_has_its_rank(tab, number, rest):
    assert tab.evaluate("l => Explorers.numbers.rank([7, 2, 50, 9], l)", number - 1) == f"By itself it {rest}"


@pytest.mark.parametrize("most, right", [(31, "10"), (33, "100"), (223, "100"), (225, "500")])
def test_the_answer_of_a_bet_that_is_nearest_is_right(tab, most, right):
    script = "all => Explorers.numbers.BETS.map(bet => Explorers.numbers.judged(bet, all))"
    verdicts = tab.evaluate(script, [7, most, 2])
    end = f": number 2 can change up to {most}, number 3 no more than 2. Move both: what does each bend?"
    expected = ["You were right" if bet == right else "Not as you bet" for bet in ("10", "100", "500")]
    assert verdicts == [begin + end for begin in expected]


# What is shown


def numbers(found: Locator) -> torch.Tensor:
    """The twenty numbers that the bars show: where each begins and how tall it is, in percent."""
    script = """all => all.map(bar => ["--low", "--tall"].map(name => parseFloat(bar.style.getPropertyValue(name))))"""
    low, tall = torch.tensor(found.locator(".bars span").evaluate_all(script), dtype=torch.float64).T
    return torch.where(low < 50, -tall, tall) * 3 / 50


def wait_for(tab: Page, words: str) -> None:
    told = "words => document.querySelector('.explorer-numbers [role=status]').textContent.includes(words)"
    tab.wait_for_function(told, arg=words)


def makes_its_numbers(found: Locator, model: VAE, z: torch.Tensor) -> bool:
    mean = torch.sigmoid(model.decode(z[None]))[0].detach()
    return close(pixels(found.locator(".made canvas")), 255 * mean, 0.5 + 1e-4)


def said_of(x: torch.Tensor, mean: torch.Tensor) -> str:
    x, mean = x > 0.5, mean > 0.5
    return f"{(x & mean).sum()} of {x.sum()} black pixels come back, {(mean & ~x).sum()} are new: "


def test_it_begins_with_what_the_networks_say_before_they_have_come(browser, tmp_path, model):
    with alive(browser, tmp_path, "numbers") as tab:
        found = explorer(tab, "numbers")
        assert tab.evaluate("[Explorers.encoder20, Explorers.decoder20]") == [None, None]
        x = rows(tab, "() => [...Explorers.start.digit]")
        mu, _ = model.encode(x[None])
        assert close(numbers(found), mu[0].detach().clamp(-3, 3), 1e-5) and makes_its_numbers(found, model, mu[0])
        mean = torch.sigmoid(model.decode(mu))[0]
        assert found.get_by_role("status").inner_text().startswith(said_of(x, mean))
        assert found.locator(".invitation").is_hidden()
        found.get_by_role("button", name="Make one up").click()
        wait_for(tab, "Twenty random numbers")
        z = rows(tab, "() => Explorers.network.standardNoise(20, 1)")
        assert close(numbers(found), z.clamp(-3, 3), 1e-4) and makes_its_numbers(found, model, z)


def test_a_bet_is_judged_by_the_numbers_shown_and_new_ones_take_it_back(browser, tmp_path, model):
    with alive(browser, tmp_path, "numbers") as tab:
        found = explorer(tab, "numbers")
        answers = found.get_by_role("group", name="About how many pixels").get_by_role("button")
        answers.nth(0).click()
        wait_for(tab, "Not as you bet")
        digit = rows(tab, "() => [...Explorers.start.digit]")
        all_of_them = reaches(model, model.encode(digit[None])[0][0].detach())
        most, least = max(all_of_them), min(all_of_them)
        strong, weak = (f"number {all_of_them.index(count) + 1}" for count in (most, least))
        told = found.get_by_role("status").inner_text()
        assert f": {strong} can change up to {most}, {weak} no more than {least}." in told
        assert answers.nth(0).get_attribute("aria-pressed") == "true"
        found.get_by_role("button", name="Make one up").click()
        wait_for(tab, "Twenty random numbers")
        assert answers.nth(0).get_attribute("aria-pressed") == "false"


STROKE = [(0.3, 0.2), (0.7, 0.2), (0.45, 0.5), (0.4, 0.85)]


def stroke(tab: Page, found: Locator, points=STROKE) -> None:
    box = found.locator(".paper").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    tab.mouse.move(*places[0])
    tab.mouse.down()
    for place in places[1:]:
        tab.mouse.move(*place, steps=4)
    tab.mouse.up()
    painted(tab)


def ink(found: Locator) -> np.ndarray:
    script = "node => [...node.getContext('2d').getImageData(0, 0, 280, 280).data].filter((_, i) => i % 4 === 3)"
    return np.array(found.locator(".paper").evaluate(script)).reshape(280, 280)


def test_a_drawing_goes_through_the_numbers_and_comes_back(tab, model):
    found = explorer(tab, "numbers")
    found.get_by_role("button", name="Clear").click()
    wait_for(tab, "No ink")
    assert found.locator(".invitation").is_visible() and not numbers(found).any()
    stroke(tab, found)
    wait_for(tab, "come back")
    gray = rows(tab, """() => {
        const data = document.querySelector('.explorer-numbers .paper').getContext('2d').getImageData(0, 0, 280, 280);
        return [...Explorers.paper.normalized(data)];
    }""")  # fmt: skip
    x = (gray > 0.5).double()
    mu = model.encode(x[None])[0][0].detach()
    assert close(numbers(found), mu.clamp(-3, 3), 1e-4) and makes_its_numbers(found, model, mu)
    said = said_of(x, torch.sigmoid(model.decode(mu)))
    assert found.get_by_role("status").inner_text() == f"{said}the decoder saw the twenty numbers alone."


def test_the_keys_move_one_number(tab, model):
    found = explorer(tab, "numbers")
    found.get_by_role("button", name="Clear").click()
    wait_for(tab, "No ink")
    bars = found.locator(".bars")
    bars.focus()
    for key in ["ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp", "Shift+ArrowUp"]:
        bars.press(key)
    wait_for(tab, "Number 3 at 1.2")
    expected = torch.zeros(20, dtype=torch.float64)
    expected[2] = 1.2
    assert close(numbers(found), expected, 1e-4) and makes_its_numbers(found, model, expected)
    assert bars.get_attribute("aria-valuetext") == "number 3: 1.2"
    changed = ((torch.sigmoid(model.decode(expected)) > 0.5) != (torch.sigmoid(model.decode(0 * expected)) > 0.5)).sum()
    all_of_them = reaches(model, torch.zeros(20, dtype=torch.float64))
    assert (
        found.get_by_role("status")
        .inner_text()
        .startswith(
            f"Number 3 at 1.2: {changed} of 784 pixels changed sides. By itself it can change up to {all_of_them[2]}, "
        )
    )
    assert min(all_of_them) > 0  # none does nothing


def test_the_pointer_moves_the_number_under_it(browser, tmp_path):
    with browser.new_context(viewport={"width": 744, "height": 600}) as context:
        tab = styled(context, tmp_path)
        found = explorer(tab, "numbers")
        found.get_by_role("button", name="Clear").click()
        wait_for(tab, "No ink")
        box = found.locator(".bars").bounding_box()
        x, middle, unit = box["x"] + 4.5 * box["width"] / 20, box["y"] + box["height"] / 2, box["height"] / 6
        drag(tab, (x, middle), (x, middle - 2 * unit))
        wait_for(tab, "Number 5 at 2.0")
        assert close(numbers(found)[4], 2, 0.05) and numbers(found).count_nonzero() == 1


def styled(context, folder) -> Page:
    """A page with this explorer alone and its style sheet, and with room below to scroll."""
    scripts = [f"<script src='{(FOLDER / f'{name}.js').as_uri()}'></script>" for name in SCRIPTS]
    style = f"<link rel='stylesheet' href='{(FOLDER / 'explorers.css').as_uri()}'>"
    places = f"{style}<div class='explorer explorer-numbers'><img alt=''></div><div style='height: 2000px'></div>"
    (folder / "index.html").write_text(BARE.format(places=places, scripts="".join(scripts)), encoding="utf-8")
    return opened(context, (folder / "index.html").as_uri(), "numbers")


def test_a_finger_across_the_bars_sets_them_and_along_them_scrolls(browser, tmp_path):
    with browser.new_context(viewport={"width": 390, "height": 600}, has_touch=True) as context:
        tab = styled(context, tmp_path)
        found = explorer(tab, "numbers")
        found.get_by_role("button", name="Clear").tap()
        wait_for(tab, "No ink")
        box = found.locator(".bars").bounding_box()
        x, y = box["x"], box["y"] + box["height"] * 0.25
        finger(tab, [(x + 20 + 4 * i, y) for i in range(20)])
        wait_for(tab, "Number")
        across = numbers(found)
        assert across.count_nonzero() > 2
        finger(tab, [(x + 20, y - 8 * i) for i in range(20)])
        tab.wait_for_function("scrollY > 30")
        assert torch.equal(numbers(found)[5:], across[5:])


# The paper


def test_the_first_stroke_takes_the_place_of_a_digit_that_was_taken(tab):
    found = explorer(tab, "draw")
    found.get_by_role("button", name="Take our 8").click()
    full = ink(found)
    assert full.any() and found.locator(".invitation").is_hidden()
    stroke(tab, found, [(0.1, 0.1), (0.1, 0.2)])
    assert not ink(found)[100:].any() and ink(found).any()


def test_undo_takes_back_stroke_by_stroke_and_a_tap_is_a_dot(tab):
    found = explorer(tab, "draw")
    found.get_by_role("button", name="Clear").click()
    stroke(tab, found)
    one = ink(found)
    stroke(tab, found, [(0.9, 0.9)])  # a tap
    two = ink(found)
    dot = two[225:, 225:]
    assert dot.sum() / 255 == pytest.approx(np.pi * 11**2, rel=0.05)  # the pen's disk
    undo = found.get_by_role("button", name="Undo")
    undo.click()
    assert np.array_equal(ink(found), one) and found.locator(".invitation").is_hidden()
    undo.click()
    assert not ink(found).any() and found.locator(".invitation").is_visible()
    undo.click()
    assert "blank" in found.get_by_role("status").inner_text()
