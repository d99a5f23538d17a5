"""The explorer of hours: it shows the recorded histories, and what it says of them is what the record says."""

import bisect
import json
import math

import numpy as np
import pytest
from driving import ROOT, close, curve, explorer, number, values

from vae_tutorial.history import History

RECORD = json.loads((ROOT / "benchmarks/results/full_length.json").read_text("utf-8"))["rows"]
NAMES = [name for name, row in RECORD.items() if row["pixels"] == "binary"]
ELBO = {name: History(**RECORD[name]["history"]).val_elbo for name in NAMES}
EACH = {name: RECORD[name]["cpu_seconds"] / 60 / len(ELBO[name]) for name in NAMES}
END = RECORD["convolutions"]["cpu_seconds"] / 60
TIMES = [END * 2 ** (-6.75 + i / 4) for i in range(28)]


def reached(name: str, time: float) -> float:
    """The last value whose epoch has ended, by looking the time up among the ends of the epochs."""
    ends = np.cumsum(np.full(len(ELBO[name]), EACH[name])).tolist()
    finished = bisect.bisect_right(ends, time + 1e-6)
    return ELBO[name][finished - 1] if finished else math.nan


def bought(name: str, time: float) -> float:
    ended = time / 2 > EACH[name] * len(ELBO[name])
    return math.nan if ended else reached(name, time) - reached(name, time / 2)


def same(shown: list, expected: list[float]) -> bool:
    """Rounded to a thousandth; what is not finite comes as None, or as nan."""
    return np.allclose(np.array(shown, dtype=float), expected, rtol=0, atol=0.0011, equal_nan=True)


def test_the_page_has_the_record(tab):
    shown = tab.evaluate("Explorers.records.hours")
    assert [*shown] == NAMES and len(NAMES) == 4
    for name, run in shown.items():
        assert len(run["elbo"]) == RECORD[name]["epochs"] and close(run["elbo"], ELBO[name], 0.00051)
        assert run["minutes"] == pytest.approx(EACH[name], abs=5.1e-7)
    assert tab.evaluate("Explorers.hours.minutes('convolutions')") == pytest.approx(END, abs=2e-4)
    meanings = [tab.evaluate("Explorers.hours.TIME.meaning", -6.75 + i / 4) for i in range(28)]
    assert close(meanings, TIMES, 2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_reached_and_bought_at_every_time(tab, name):
    script = """([name, places]) => places.map(Explorers.hours.TIME.meaning).map(time =>
        [Explorers.hours.reached(name, time), Explorers.hours.bought(name, time), Explorers.hours.next(name, time)]
            .map(value => (Number.isFinite(value) ? value : null)))"""
    shown = np.array(tab.evaluate(script, [name, [-6.75 + i / 4 for i in range(28)]]), dtype=float).T
    assert same(shown[0], [reached(name, time) for time in TIMES])
    assert same(shown[1], [bought(name, time) for time in TIMES])
    later = [bought(name, 2 * time) if 2 * time < END + 1e-6 else math.nan for time in TIMES]
    assert same(shown[2], later)


def test_the_chapters_numbers(tab):
    """What its cells print: −97.11 at epoch 100, −96.39 at 200; 24 of the last 50 steps go down."""
    assert tab.evaluate("Explorers.hours.reached('convolutions', Explorers.hours.TIME.meaning(-1))") == pytest.approx(
        ELBO["convolutions"][99], abs=0.00051)  # fmt: skip
    assert (
        tab.evaluate("Explorers.hours.answers()")[0]
        == f"{ELBO['convolutions'][199] - ELBO['convolutions'][99]:.1f} nats"
    )
    for place, name in ((0, "convolutions"), (-1, "convolutions"), (-3, "best"), (-5, "best")):
        time = END * 2**place
        done = ELBO[name][: bisect.bisect_right([EACH[name] * (i + 1) for i in range(len(ELBO[name]))], time + 1e-6)]
        falls = np.diff(done[-21:]) < 0
        found = tab.evaluate("([name, time]) => Explorers.hours.wandering(name, time)", [name, time])
        assert found == {"down": falls.sum(), "of": len(falls)}, (place, name)


def test_an_epoch_counts_from_its_end_on_whatever_rounding_does_to_it(tab):
    script = "share => Explorers.hours.epochs('best', share * Explorers.records.hours.best.minutes)"
    for share, finished in ((0.999, 0), (1 - 1e-12, 1), (1, 1), (6.999, 6), (7 - 1e-12, 7), (60, 60), (99, 60)):
        assert tab.evaluate(script, share) == finished


def sentence(tab, i: int, bet: str | None = None) -> str:
    script = "([place, bet]) => Explorers.hours.verdict(Explorers.hours.TIME.meaning(place), bet)"
    return tab.evaluate(script, [-6.75 + i / 4, bet])


def lead(one: str, other: str, i: int) -> str:
    return f"{reached(one, TIMES[i]) - reached(other, TIMES[i]):.1f} nats"


FAST, SLOW = "mlp-bernoulli", "mlp-bernoulli-0.001"


def test_what_is_said_of_the_two_rates(tab):
    assert f"0.01 leads, by {lead(FAST, SLOW, 0)} (1 and 1 epochs)" in sentence(tab, 0)
    assert f"0.01 leads, by {lead(FAST, SLOW, 1)} (2 and 1 epochs)" in sentence(tab, 1)
    assert f"overtaken the larger one, by {lead(SLOW, FAST, 2)} (2 and 2 epochs)" in sentence(tab, 2)
    said = sentence(tab, 5)
    assert f"{lead(SLOW, FAST, 5)} better at the smaller rate" in said
    led = [f"{ELBO[name][2]:.1f}".replace("-", "−") for name in (SLOW, "convolutions")]
    assert f"led it to {led[0]}, and the convolutions to {led[1]}" in said
    assert f"these are {lead('convolutions', SLOW, 5)} ahead" in said


def price(i: int) -> str:
    minutes = TIMES[i] / 2 / bought("convolutions", TIMES[i])
    return f"{60 * minutes:.0f} seconds a nat" if minutes < 1 else f"{minutes:.1f} minutes a nat"


def test_what_is_said_of_the_two_long_runs(tab):
    for i in range(7, 28):
        assert price(i) in sentence(tab, i, "0.7 nats"), i
    said = sentence(tab, 10)
    assert f"is {lead('convolutions', 'best', 10)} behind" in said
    gains = [bought(name, TIMES[10]) for name in ("best", "convolutions")]
    assert "the last doubling brought it {:.1f} nats, and them {:.1f}.".format(*gains) in said
    assert 2.5 < EACH["best"] / EACH["convolutions"] < 3.5  # "three times as slow"
    behind = [i for i in range(7, 28) if reached("best", TIMES[i]) < reached("convolutions", TIMES[i])]
    assert behind == [*range(7, 14)] and TIMES[13] == pytest.approx(2.5, abs=0.05)  # "at two and a half minutes"
    assert [i for i in range(28) if "behind: a trial" in sentence(tab, i)] == behind
    assert f"is {lead('best', 'convolutions', 15)} ahead, and was behind at two and a half" in sentence(tab, 15)
    assert "next doubling" not in sentence(tab, 15)
    assert f"the next doubling will bring {bought('convolutions', 2 * TIMES[15]):.1f} nats" in sentence(tab, 15, "x")
    assert "next doubling" not in sentence(tab, 25, "x")  # the record ends before
    assert "Of their last 20 epochs 8 went down, at a constant rate; of the residual network's 0" in sentence(tab, 20)
    won = f"0.72 nats, at {price(27)}. Twice the time buys the convolutions less than another recipe: the residual"
    for bet, begins in (("0.7 nats", "You were right: "), ("2.9 nats", "Not as you bet: ")):
        said = sentence(tab, 27, bet)
        assert said.startswith(f"{begins}{won} network is {lead('best', 'convolutions', 27)} ahead") and said.endswith(
            "one run."
        )


def test_no_sentence_is_said_twice(tab):
    for bet in (None, "0.7 nats"):
        said = [sentence(tab, i, bet) for i in range(28)]
        assert len({*said}) == 28


def test_a_bet_goes_to_the_end_and_the_keys_lead_back(tab):
    found = explorer(tab, "hours")
    said, slider = found.get_by_role("status"), found.get_by_role("slider")
    slider.press("End")
    assert said.inner_text().startswith("Bet first")
    slider.fill("-3")
    epochs = lambda: len(curve(found.locator("svg[role=img]").first.locator(".curve:not(.exact, .all, .mean)")))  # noqa: E731
    assert epochs() == int(TIMES[15] / EACH["convolutions"])  # what lies ahead would tell
    assert same(values(found.locator("table")), [bought("convolutions", TIMES[15]), math.nan,
                                                 bought("best", TIMES[15]), math.nan])  # fmt: skip
    found.get_by_role("button", name="0.7 nats").click()
    assert said.inner_text().startswith("You were right") and float(slider.input_value()) == 0
    for _ in range(4):
        slider.press("ArrowLeft")
    assert epochs() == 200 and slider.get_attribute("aria-valuetext") == f"{END / 2:.2f}"
    expected = [bought(name, time) for name in ("convolutions", "best") for time in (END / 2, END)]
    assert same(values(found.locator("table")), expected)


def test_the_drawing_is_where_the_numbers_say(tab):
    found = explorer(tab, "hours")
    found.get_by_role("button", name="0.7 nats").click()
    low, high = math.log2(0.13), 5

    def across(time: float) -> float:
        return 38 + 312 * (math.log2(time) - low) / (high - low)

    upper, lower = found.locator("svg[role=img]").all()
    looks = dict(zip(NAMES, (".exact", ".all", ":not(.exact, .all, .mean)", ".mean"), strict=True))
    for name, look in looks.items():
        line = curve(upper.locator(f".curve{look}"))
        assert len(line) == len(ELBO[name])
        assert close(line[:, 0], [across(EACH[name] * (i + 1)) for i in range(len(line))], 0.01)
        assert close(line[:, 1], [10 + 240 * (-88 - elbo) / 42 for elbo in ELBO[name]], 0.01)
    for name in ("convolutions", "best"):
        line = curve(lower.locator(f".curve{looks[name]}"))
        known = [time for time in TIMES if math.isfinite(bought(name, time))]
        assert close(line[:, 0], [across(time) for time in known], 0.01)
        assert close(line[:, 1], [150 - 140 * bought(name, time) / 12 for time in known], 0.02)
    found.get_by_role("slider").fill("-2")
    for field in (upper, lower):
        assert field.locator(".mark").get_attribute("d").startswith(f"M{across(END / 4):.2f}"[:6])
        ticks = field.locator("text.middle").all()[:4]
        assert [tick.text_content() for tick in ticks] == ["0.25", "1", "4", "16"]
        assert close([number(tick, "x") for tick in ticks], [across(time) for time in (0.25, 1, 4, 16)], 1e-9)
