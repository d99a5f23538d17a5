"""The explorer of two models: its differences and verdicts are those of the record, by the chapter's own functions."""

import json
import math
from itertools import combinations

import numpy as np
import pytest
from driving import ROOT, close, explorer, number, rows, values

RECORD = json.loads((ROOT / "benchmarks/results/every_model.json").read_text("utf-8"))["rows"].values()
MODELS = list(dict.fromkeys(row["model"] for row in RECORD))
PAIRS = list(combinations(MODELS, 2))
ONLY_BOUND = {row["model"] for row in RECORD if row["by"] == "only a bound"}
BIT = 64 * math.log(2)


def column(model: str, field: str) -> np.ndarray:
    """One number for each seed."""
    by_seed = {row["seed"]: row[field] for row in RECORD if row["model"] == model}
    return np.array([by_seed[seed] for seed in range(5)])


def chapter() -> dict:
    """What the notebook's own cells compute, run as they stand."""
    cells = json.loads((ROOT / "book/every_model.ipynb").read_text("utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names = {"RESULTS": ROOT / "benchmarks/results", "rows": RECORD, "names": MODELS, "np": np, "math": math}
    wanted = [next(source for source in sources if mark in source) for mark in ("def column", "def verdict")]
    head = wanted[0][wanted[0].index("def column") :]
    exec(f"{head}\n{wanted[1]}", names)
    return names


def test_the_page_has_the_record(tab):
    shown = tab.evaluate("Explorers.records.against")
    assert list(shown) == MODELS and len(MODELS) == 28
    for model, found in shown.items():
        for field in ("log_px", "gain_stderr"):
            assert close(found[field], column(model, field), 5.1e-7), (model, field)
        assert found.get("only_bound", False) == (model in ONLY_BOUND)


def test_savings_and_errors_against_the_plain_vae_are_the_chapters(tab):
    names = chapter()
    for model in MODELS:
        pair = [model, "plain VAE"]
        assert close(rows(tab, "p => Explorers.against.savings(...p)", pair), names["saved"][model], 1e-7)
        assert close(rows(tab, "p => Explorers.against.errors(...p)", pair), [names["errors"][model]] * 2, 1e-7)
        kind = tab.evaluate("p => Explorers.against.judge(...p)", pair)
        sign = np.sign(names["saved"][model].mean())
        assert (sign if kind == "settled" else 0) == names["verdicts"][model], model
        assert kind != "unknown"


def errors(a: str, b: str) -> list[float]:
    """Standard errors by the largest and the least correlation that the gains of two models can have over digits."""
    saved = (column(a, "log_px") - column(b, "log_px")) / BIT
    one, other = (column(model, "gain_stderr") / BIT for model in (a, b))
    both = []
    for correlation in (1, -1):
        digits = np.sqrt(np.maximum(one**2 + other**2 - 2 * correlation * one * other, 0)).mean()
        both.append(math.sqrt(digits**2 + saved.var(ddof=1) / 5))
    return both


def kind(a: str, b: str) -> str:
    saved = (column(a, "log_px") - column(b, "log_px")) / BIT
    if not (all(saved > 0) or all(saved < 0)):
        return "contradicted"
    if (b if saved[0] > 0 else a) in ONLY_BOUND:
        return "bound"
    larger = tuple(abs(saved.mean()) > 5 * s for s in errors(a, b))
    return {(True, True): "settled", (False, False): "small", (True, False): "unknown"}[larger]


def test_the_errors_of_all_pairs(tab):
    shown = rows(tab, "Explorers.against.pairs().map(pair => Explorers.against.errors(...pair))")
    assert close(shown, [errors(*pair) for pair in PAIRS], 1e-7)


def test_the_verdicts_of_all_pairs(tab):
    assert tab.evaluate("Explorers.against.pairs()") == [list(pair) for pair in PAIRS]
    script = "Explorers.against.pairs().map(pair => Explorers.against.judge(...pair))"
    expected = [kind(*pair) for pair in PAIRS]
    assert tab.evaluate(script) == expected
    assert {*expected} == {"settled", "small", "bound", "unknown", "contradicted"}
    backwards = "Explorers.against.pairs().map(([a, b]) => Explorers.against.judge(b, a))"
    assert tab.evaluate(backwards) == expected
    assert tab.evaluate("Explorers.against.settled()") == expected.count("settled")


def agreeing(seeds: int) -> int:
    first = {model: column(model, "log_px")[:seeds] for model in MODELS}
    return sum(len({*(first[a] > first[b])}) == 1 for a, b in PAIRS)


def test_how_many_pairs_agree(tab):
    counts = [tab.evaluate("Explorers.against.agreeing", seeds) for seeds in range(1, 6)]
    assert counts == [agreeing(seeds) for seeds in range(1, 6)]
    assert counts[0] == len(PAIRS) == 378 and counts == sorted(counts, reverse=True)
    for savings, expected in (([1, 2], True), ([1, -2], False), ([0, 0], False)):
        assert tab.evaluate("Explorers.against.agree", savings) == expected


@pytest.mark.parametrize("pair, seeds, bet, words", [
    (("VQ codes", "plain VAE"), 1, None, "With seed 0, VQ codes is ahead of plain VAE by 0.0129 bits per pixel. Bet"),
    (("VQ codes", "plain VAE"), 1, 0, "One seed: VQ codes is ahead by 0.0129 bits per pixel. But with one seed"),
    (("VQ codes", "plain VAE"), 2, 0, "Seed 1 contradicts seed 0: VQ codes leads with every seed no longer. On"),
    (("VQ codes", "plain VAE"), 4, 0, "Seeds for VQ codes: 2, for plain VAE: 2. On average plain VAE is ahead, by 0"),
    (("VQ codes", "plain VAE"), 5, 0, "Not as you bet. Open: seed 1 contradicts seed 0. Whoever had stopped there"),
    (("plain VAE", "VQ codes"), 5, 2, "You were right. Open: seed 1 contradicts seed 0."),
    (("plain VAE", "IWAE, K = 50"), 5, 0, "You were right. Settled: IWAE, K = 50 is ahead with all five seeds, and the "
                                          "mean is 10.6 standard errors"),
    (("masked pixels", "plain VAE"), 5, 1, "You were right. Open: all five seeds are for masked pixels, but the mean "
                                           "is only 2.9 standard errors. Coins would agree in 24 of 378"),
    (("diffusion", "β = 0.5"), 5, 0, "Not as you bet. Open: all five seeds are for β = 0.5, but of diffusion only"),
    (("two latents", "WAE"), 5, 0, "Here all five seeds are for WAE, by 4.6 to 5.9 standard errors: what was recorded"),
    (("two latents", "WAE"), 5, 2, "Not as you bet. Here all five seeds are for WAE"),
    (("WAE", "WAE"), 3, 0, "One model against itself"),
])  # fmt: skip
def test_what_is_said(tab, pair, seeds, bet, words):
    script = "([pair, seeds, bet]) => Explorers.against.verdict(...pair, seeds, Explorers.against.ANSWERS[bet])"
    assert tab.evaluate(script, [pair, seeds, bet]).startswith(words)


def test_what_a_later_seed_contradicts(tab):
    said = tab.evaluate("Explorers.against.verdict('two latents', 'WAE', 3, 'settled')")
    assert f"agree in {agreeing(3)} of 378 pairs, and in {agreeing(3) - agreeing(5)} of these" in said
    said = tab.evaluate("Explorers.against.verdict('VQ codes', 'plain VAE', 3, 'settled')")
    assert f"By now {378 - agreeing(3)} of 378 pairs" in said


def test_a_bet_shows_the_second_seed_the_keys_the_others_and_a_new_pair_wants_a_new_bet(tab):
    found = explorer(tab, "against")
    said, slider = found.get_by_role("status"), found.get_by_role("slider", name="Seeds seen")
    dots = found.locator("svg").first.locator("circle:not(.here)")
    slider.press("End")
    assert dots.count() == 1 and "Bet" in said.inner_text()  # what lies ahead would tell
    slider.press("Home")
    found.get_by_role("button", name="settled").click()
    assert dots.count() == 2 and slider.input_value() == "2"
    for _ in range(3):
        slider.press("ArrowRight")
    assert dots.count() == 5 and said.inner_text().startswith("Not as you bet. Open")
    found.get_by_label("One model").select_option("IWAE, K = 5")
    assert dots.count() == 1 and said.inner_text().startswith("With seed 0, IWAE, K = 5 is ahead of plain VAE")
    assert found.locator("[aria-pressed=true]").count() == 0
    found.get_by_role("button", name="one contradicts").click()
    slider.press("End")
    mean = (column("IWAE, K = 5", "log_px") - column("plain VAE", "log_px")).mean() / BIT
    assert values(found.locator("table")) == pytest.approx([mean, agreeing(5), 378 / 16], abs=1e-7)


@pytest.mark.parametrize("pair", [("IWAE, K = 5", "plain VAE"), ("two latents", "WAE"), ("VQ codes", "β = 2")])
def test_the_drawing_is_where_the_numbers_say(tab, pair):
    found = explorer(tab, "against")
    for label, model in zip(("One model", "The other"), pair, strict=True):
        found.get_by_label(label).select_option(model)
    found.get_by_role("button", name="settled").click()
    found.get_by_role("slider", name="Seeds seen").press("End")
    field, bars = found.locator("svg[role=img]").all()
    ticks = field.locator("text.middle").all_text_contents()
    limit = float(ticks[4])
    assert ticks[:5] == [f"{share * limit:g}".replace("-", "−") for share in (-1, -0.5, 0, 0.5, 1)]

    def across(value: float) -> float:
        return 38 + 312 * (value + limit) / (2 * limit)

    saved = (column(pair[0], "log_px") - column(pair[1], "log_px")) / BIT
    dots = field.locator("circle:not(.here)").all()
    assert close([number(dot, "cx") for dot in dots], [across(value) for value in saved], 1e-3)
    assert [dot.get_attribute("class") for dot in dots] == ["bound" if value > 0 else "gap" for value in saved]
    low, high = tab.evaluate("pair => Explorers.against.errors(...pair)", pair)
    ends = [[float(part.split(" ")[0]) for part in line.get_attribute("d")[1:].split("L")]
            for line in (field.locator(".curve:not(.exact)"), field.locator(".curve.exact"))]  # fmt: skip
    assert close(ends, [[across(saved.mean() + side * 5 * s) for side in (-1, 1)] for s in (low, high)], 0.011)
    assert number(field.locator(".here"), "cx") == pytest.approx(across(saved.mean()), abs=1e-3)

    up = 150 / 520
    counts = [*map(agreeing, range(1, 6)), [kind(*pair) for pair in PAIRS].count("settled")]
    assert close([number(bar, "height") for bar in bars.locator("rect").all()], [up * n for n in counts], 1e-9)
    assert bars.locator(".count").all_text_contents() == [str(count) for count in counts]
    coins = [
        float(part.split("H")[0]) for part in bars.locator(".aim").get_attribute("d").replace("M", " ").split()[1::2]
    ]
    assert close(coins, [160 - up * 378 / 2**k for k in range(5)], 1e-9)


def test_the_axis_is_wide_enough_for_every_pair(tab):
    script = "pairs => pairs.map(pair => [Explorers.against.savings(...pair), Explorers.against.errors(...pair)])"
    for saved, (_, high) in tab.evaluate(script, PAIRS):
        assert max(*np.abs(saved), abs(np.mean(saved)) + 5 * high) < 0.4
