"""The explorer of two tables: its rows are the record's, and what chance may do follows from them and the chapter."""

import ast
import json
import math
import re

import numpy as np
import pytest
from driving import ROOT, close, curve, explorer, number, values

RECORD = json.loads((ROOT / "benchmarks/results/reproduce.json").read_text("utf-8"))["rows"]
CELLS = json.loads((ROOT / "book/published_table.ipynb").read_text("utf-8"))["cells"]
SOURCES = ["".join(cell["source"]) for cell in CELLS]
BUDGETS = ["5 min", "30 min", "full"]
THEIRS = "theirs"
PAIRS = [["VAE-1", THEIRS], ["VAE-5", THEIRS], ["IWAE-5", THEIRS], ["IWAE-5", "VAE-1"], ["IWAE-5", "VAE-5"],
         ["VAE-5", "VAE-1"]]  # fmt: skip
ALL = [(*pair, budget) for pair in PAIRS for budget in BUDGETS]


def published() -> dict[str, float]:
    """As the chapter has it in its first cell."""
    source = next(source for source in SOURCES if source.startswith("published = {"))
    return {name: nll for name, (nll, _) in ast.literal_eval(source[12 : source.index("}") + 1]).items()}


def binarization() -> float:
    """Nats over the binarizations of one image, as the chapter has measured and printed it."""
    printed = ["".join(output.get("text", "")) for cell in CELLS for output in cell.get("outputs", [])]
    found = [re.search(r"one image: ±([\d.]+) nats over binarizations", text) for text in printed]
    (match,) = filter(None, found)
    return float(match[1])


def difference(name: str, other: str, budget: str) -> float:
    return RECORD[f"{name}, {budget}"]["nll"] - (
        published()[name] if other == THEIRS else RECORD[f"{other}, {budget}"]["nll"]
    )


def error(name: str, other: str, budget: str) -> tuple[float, float]:
    """Standard errors of a difference over all 10,000 images: on other images, and on those that both share."""
    ours = RECORD[f"{name}, {budget}"]
    if other == THEIRS:
        return math.sqrt(2 * ours["stderr"] ** 2), math.sqrt(2 * binarization() ** 2 / 10_000)
    theirs = RECORD[f"{other}, {budget}"]
    covariances = np.cov(ours["first_nll"], theirs["first_nll"])
    paired = math.sqrt((np.trace(covariances) - 2 * covariances[0, 1]) / 10_000)
    return math.sqrt(ours["stderr"] ** 2 + theirs["stderr"] ** 2), paired


def test_the_page_has_the_record_and_the_chapters_numbers(tab):
    shown = tab.evaluate("Explorers.records.table")
    one_layer = {name: row for name, row in RECORD.items() if not name.startswith("two-")}
    assert [*shown["rows"]] == [*one_layer] and len(one_layer) == 9
    for name, row in shown["rows"].items():
        assert close([row["nll"], row["stderr"]], [RECORD[name]["nll"], RECORD[name]["stderr"]], 5.1e-5)
    assert len(shown["spreads"]) == 9
    ours = {name: published()[name] for name in ("VAE-1", "VAE-5", "IWAE-5")}
    assert tab.evaluate("Explorers.table.PUBLISHED") == ours
    assert tab.evaluate("Explorers.table.BINARIZATION") == binarization()
    assert tab.evaluate("Explorers.table.PAIRS") == PAIRS and tab.evaluate("Explorers.table.BUDGETS") == BUDGETS
    assert {len(row["first_nll"]) for row in RECORD.values()} == {100} and {row["seed"] for row in RECORD.values()} == {
        0
    }
    assert {(row["n_test"], row["n_samples"]) for row in RECORD.values()} == {(10_000, 5_000)}


@pytest.mark.parametrize("pair", ALL)
def test_differences_and_their_errors(tab, pair):
    assert tab.evaluate("pair => Explorers.table.difference(...pair)", pair) == pytest.approx(
        difference(*pair), abs=1.1e-4)  # fmt: skip
    found = tab.evaluate("pair => Explorers.table.scatter(...pair)", pair)
    for images in (100, 10_000):
        for spread, s in zip((found["apart"], found["shared"]), error(*pair), strict=True):
            two = tab.evaluate("([spread, n]) => Explorers.table.chance(spread, n)", [spread, images])
            assert two == pytest.approx(2 * s * math.sqrt(10_000 / images), rel=1e-3)


def test_so_many_images_are_needed_that_chance_does_the_difference(tab):
    for spread, lead in ((8.9, 0.56), (32.0, 2.0), (2.9, 0.05)):
        images = tab.evaluate("([spread, lead]) => Explorers.table.needed(spread, lead)", [spread, lead])
        assert 2 * np.std([-spread, spread]) / math.sqrt(images) == pytest.approx(lead)


def verdict(tab, pair: tuple[str, str, str], images: int, bet: str | None = None) -> str:
    return tab.evaluate("([pair, n, bet]) => Explorers.table.verdict(...pair, n, bet)", [pair, images, bet])


@pytest.mark.parametrize("images", [100, 1000, 10_000])
@pytest.mark.parametrize("pair", ALL)
def test_what_is_said(tab, pair, images):
    """The sentence of each place is that of its case, with the numbers of the record."""
    said, lead = verdict(tab, pair, images), abs(difference(*pair))
    apart, shared = (2 * s * math.sqrt(10_000 / images) for s in error(*pair))
    theirs = pair[1] == THEIRS
    numbers = [float(text) for text in re.findall(r"2 s = ([\d.]+)", said)]
    assert said.startswith(f"{lead:.2f} nats")
    if theirs and lead < 0.01:
        assert "is not known better" in said and numbers == pytest.approx([shared], abs=0.006)
        return
    if lead <= shared:
        assert "are within what" in said and numbers == pytest.approx([shared], abs=0.006)
        few = (shared / lead) ** 2 * images
        found = int(re.search(r"(?:takes |: )([\d,]+) images", said)[1].replace(",", ""))
        assert found == pytest.approx(few, rel=0.05 if theirs else 0.005)
        assert ("and there are 10,000" in said) == (few > 10_000)
        return
    assert ("So one file is ahead" in said) == (not theirs)
    assert ("the luck of one seed each" in said) == (theirs and pair[2] == "full")
    if lead <= apart:
        assert "other images would excuse them" in said and numbers == pytest.approx([apart, shared], abs=0.006)
        assert (f"the same {'gray' if theirs else 'binary'} ones" in said) and "takes" not in said
    else:
        assert "more than other images would do" in said and numbers == pytest.approx([apart], abs=0.006)
        both = re.search(r"takes ([\d,]+) images, or ([\d,]+) that both have", said)
        found = [int(text.replace(",", "")) for text in both.groups()]
        expected = [(chance / lead) ** 2 * images for chance in (apart, shared)]
        assert found == pytest.approx(expected, rel=0.05 if theirs else 0.025)


def test_the_bet_is_decided_where_it_was_made(tab):
    puzzle = ("IWAE-5", THEIRS, "full")
    for bet, begins in (("no", "You were right. 0.56"), ("yes", "Not as you bet. 0.56")):
        assert verdict(tab, puzzle, 10_000, bet).startswith(begins)
        assert verdict(tab, puzzle, 5623, bet).startswith("0.56")
        assert verdict(tab, ("VAE-5", *puzzle[1:]), 10_000, bet).startswith("0.01")


def test_a_bet_sets_the_rows_and_the_keys_take_images_away(tab):
    found = explorer(tab, "table")
    said, slider = found.get_by_role("status"), found.get_by_role("slider")
    found.get_by_label("Rows").select_option("IWAE-5 against theirs")
    assert said.inner_text().startswith("Bet first")
    found.get_by_label("Rows").select_option("VAE-5 against VAE-1")
    found.get_by_label("Budget").select_option("ours: 5 min")
    assert said.inner_text().startswith("1.34 nats are more")
    slider.press("Home")
    found.get_by_role("button", name="yes").click()
    assert said.inner_text().startswith("Not as you bet. 0.56") and slider.get_attribute("aria-valuetext") == "10000"
    pair = ("IWAE-5", THEIRS, "full")
    expected = [RECORD["IWAE-5, full"]["nll"], published()["IWAE-5"], difference(*pair), *(2 * np.array(error(*pair)))]
    assert close(values(found.locator("table")), expected, 2e-4)
    for _ in range(4):
        slider.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") == "1000"
    assert values(found.locator("table"))[3:] == pytest.approx(2 * np.array(error(*pair)) * math.sqrt(10), abs=1e-3)
    assert "within what another binarization does" in said.inner_text()


@pytest.mark.parametrize("pair", [("IWAE-5", THEIRS, "full"), ("IWAE-5", "VAE-1", "full"), ("VAE-1", THEIRS, "5 min"),
                                  ("VAE-1", THEIRS, "full")])  # fmt: skip
def test_the_drawing_is_where_the_numbers_say(tab, pair):
    found = explorer(tab, "table")
    found.get_by_role("button", name="no", exact=True).click()
    found.get_by_label("Rows").select_option(" against ".join(pair[:2]))
    found.get_by_label("Budget").select_option(f"ours: {pair[2]}")
    found.get_by_role("slider").fill("3.5")
    upper, bar = found.locator("svg[role=img]").all()

    def at(images: float, nats: float) -> list[float]:
        return [38 + 312 * (math.log10(images) - 1.9) / 3.4, 10 + 250 * (1 - math.log10(nats)) / 3]

    lead = abs(difference(*pair))
    for look, s in zip((".exact", ":not(.exact, .mean)"), error(*pair), strict=True):
        ends = [at(images, 2 * s * math.sqrt(10_000 / images)) for images in (100, 100_000)]
        assert close(curve(upper.locator(f".curve{look}")), ends, 0.06)
    assert close(curve(upper.locator(".curve.mean")), [at(100, lead), at(100_000, lead)], 0.06)
    dots = [[number(dot, "cx"), number(dot, "cy")] for dot in upper.locator("circle").all()]
    assert close(dots, [at(10_000 * (2 * s / lead) ** 2, lead) for s in error(*pair)], 0.06)
    seen = [10**1.9 < 10_000 * (2 * s / lead) ** 2 < 10**5.3 for s in error(*pair)]
    assert [dot.get_attribute("display") == "inline" for dot in upper.locator("circle").all()] == seen
    assert float(upper.locator(".mark").get_attribute("d")[1:].split()[0]) == pytest.approx(at(3162, 1)[0], abs=0.01)
    names = ["100", "1,000", "10,000", "100,000", "0.01", "0.1", "1", "10"]
    assert [text for text in upper.locator("text").all_text_contents() if text in names] == names
    share = (error(*pair)[1] / error(*pair)[0]) ** 2
    left, cancels = bar.locator("rect").all()
    assert close([number(left, "x"), number(left, "width")], [10, 340 * share], 0.05)
    assert close([number(cancels, "x"), number(cancels, "width")], [10 + 340 * share, 340 * (1 - share)], 0.05)
    reference = "another binarization" if pair[1] == THEIRS else "the same binary images"
    assert reference in upper.locator(".note.q").text_content()
