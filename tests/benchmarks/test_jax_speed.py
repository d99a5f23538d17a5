"""The benchmark of JAX: what it recorded is its own, its goals are met, and both loops of the file learn the same."""

import json
from pathlib import Path

import contestant
import jax_speed
import numpy as np
import pytest
import training

RECORDED = json.loads((Path(__file__).parents[2] / "benchmarks/results/jax.json").read_text(encoding="utf-8"))


def test_the_record_is_of_this_benchmark_and_says_where_it_comes_from():
    rounds = range(len(RECORDED["transforms"]))
    assert len(rounds) >= 3 and all(tuple(turn) == jax_speed.TIMES for turn in RECORDED["transforms"])
    told = {(r["contestant"], r["round"]) for r in RECORDED["records"]}
    assert told == {(peer.label, turn) for peer in training.JAX for turn in rounds}
    assert RECORDED["examples"] == 60_000 and {"cpu", "commit", "jax", "flax", "optax", "torch"} <= {
        *RECORDED["machine"]
    }
    assert "dirty" not in RECORDED["machine"]["commit"]


def test_its_goals_are_met():
    _, *verdicts = training.goals_text(RECORDED["records"]).splitlines()
    assert len(verdicts) == 2 and all(line.endswith(" met") for line in verdicts)
    assert "NOT COMPARABLE" not in training.table_text(RECORDED["records"], "jax", "one core")


def test_the_table_of_transformations_has_medians():
    turns = [dict.fromkeys(jax_speed.TIMES, value) for value in (1.0, 7.0, 2.0)]
    lines = jax_speed.transforms_text(turns).splitlines()[1:]
    assert len(lines) == len(jax_speed.TIMES) and all(line.endswith("2.00 ms") for line in lines)


def test_a_loop_of_steps_and_a_scan_learn_the_same():
    for library in ("jax", "flax", "optax"):
        pytest.importorskip(library, reason='no JAX: its benchmark was NOT tested; pip install "vae_tutorial[jax]"')
    images = (np.random.default_rng(0).random((512, 784)) > 0.8).astype(np.uint8)
    losses = [contestant.measure("jax_file", model, images)["loss"] for model in ("loop", "scan")]
    assert abs(losses[0] - losses[1]) < 0.01 < losses[0]
