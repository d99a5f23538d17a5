"""The benchmark's harness, at a tiny size: contestants run, the floor is the right one, ratios are ratios."""

import json
from pathlib import Path

import contestant
import numpy as np
import pytest
import training
from peers import floor, ladder, ours, pytorch_example
from torch.utils.flop_counter import FlopCounterMode

from vae_tutorial.training.hints import Hints

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

IMAGES = (np.random.default_rng(0).random((256, 784)) > 0.8).astype(np.uint8)
ONE_CORE = training.SCENARIOS["one core"]


@pytest.fixture
def images(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, IMAGES)
    return path


# The contestants that need no package of a peer


@pytest.mark.parametrize("scenario", training.SCENARIOS)
def test_run_measures_an_epoch_in_a_process_of_its_own(images, scenario):
    measured = training.run(training.Contestant("ours", "ours", "mlp"), training.SCENARIOS[scenario], images)
    assert measured["wall"] > 0 and measured["cpu"] > 0
    assert 50 < measured["peak_mb"] < 5_000
    assert 0 < measured["loss"] < 784 * np.log(2) + 10


def test_run_names_the_contestant_that_failed(images):
    with pytest.raises(RuntimeError, match="(?s)nobody.*No module named 'peers.nobody'"):
        training.run(training.Contestant("nobody", "nobody", "mlp"), ONE_CORE, images)


@pytest.mark.parametrize("module, models", [(floor, ["mlp", "conv"]), (ours, ["mlp", "conv"])])
def test_measure_takes_whole_batches(module, models):
    for model in models:
        measured = contestant.measure(module.__name__.split(".")[1], model, IMAGES[:201])
        assert (measured["loss"] is None) == (module is floor)


def test_every_rung_learns_as_much(capsys):
    losses = [contestant.measure("ladder", rung, IMAGES)["loss"] for rung in ladder.BATCH_SIZE]
    untrained = [getattr(ladder, rung)(IMAGES)[1](IMAGES) for rung in ladder.BATCH_SIZE]
    assert max(losses) < min(untrained) - 5
    assert max(losses) - min(losses) < training.LOSS_MARGIN
    assert len(ladder.CHANGES) + 1 == len(losses)


@pytest.mark.parametrize("model", ["mlp", "conv"])
def test_the_floor_has_the_products_of_an_epoch(model, capsys, monkeypatch):
    """Floating-point operations of matrix products and convolutions, counted by PyTorch: the same to the last one.

    What `fit` looks at once a run, to hint at likely mistakes, does not count.
    """
    monkeypatch.setattr(Hints, "before", lambda self, x: None)
    images = np.tile(IMAGES, (5, 1))[: 10 * floor.BATCH_SIZE[model]]
    counts = []
    for peer in (floor, pytorch_example, ours):
        train, _ = getattr(peer, model)(images)
        with FlopCounterMode(display=False) as counter:
            train()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] == counts[2] > 0


# Ratios and tables, of made-up records


def record(label, turn, cpu, scenario="one core", **more):
    return dict(
        table="mlp", scenario=scenario, round=turn, contestant=label, wall=2 * cpu, cpu=cpu, peak_mb=100.0, loss=120.0
    ) | dict(more)


RECORDS = [record("floor", 0, 1.0, loss=None), record("floor", 1, 2.0, loss=None)] + [
    record("ours", 0, 1.5),
    record("ours", 1, 2.0),
]


def test_ratios_are_taken_within_a_round():
    # By medians over rounds it would be 1.75 / 1.5; the second round was slow for both.
    assert training.ratios(RECORDS, "mlp", "one core", "ours", "floor") == [1.5, 1.0]
    assert training.spread([1.5, 1.0]) == "1.25 (1.00–1.50)"


def test_ratios_use_the_clock_of_the_scenario():
    records = [record("floor", 0, 1.0, "two cores"), record("ours", 0, 1.0, "two cores", wall=8.0)]
    assert training.ratios(records, "mlp", "two cores", "ours", "floor") == [4.0]


def test_table_says_when_contestants_did_not_learn_the_same():
    assert "NOT COMPARABLE" not in training.table_text(RECORDS, "mlp", "one core")
    worse = [*RECORDS, record("pythae", 0, 1.0, loss=131.0), record("pythae", 1, 1.0, loss=131.0)]
    assert "NOT COMPARABLE" in training.table_text(worse, "mlp", "one core")


def test_goals_are_met_or_missed():
    times = {"floor": 1.0, "ours": 1.2, "PyTorch example": 6.0, "pythae": 2.0, "Flax example": 1.3}
    records = [record(label, 0, seconds) for label, seconds in times.items()]
    records.append(record("ours", 0, 1.2, "two cores, one of them busy", wall=3.0))  # 2.4 alone on one core
    verdicts = [line.split()[-1] for line in training.goals_text(records).splitlines()[1:]]
    assert verdicts == ["met", "MISSED", "met", "MISSED"]


def test_recorded_results_are_of_this_benchmark():
    for path in (BENCHMARKS / "results").glob("training*.json"):
        recorded = json.loads(path.read_text())
        for scenario in training.SCENARIOS:
            assert {
                r["contestant"] for r in recorded["records"] if (r["table"], r["scenario"]) == ("mlp", scenario)
            } == {contestant.label for contestant in training.MLP}
