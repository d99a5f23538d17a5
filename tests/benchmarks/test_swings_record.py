"""The record of forecasts is complete, says where it comes from, and its functions measure what they say."""

import pytest
import swings as benchmark
import torch
from recording import rows_of

from vae_tutorial.datasets import pendulum

ROWS = rows_of(benchmark.RESULTS)


def test_every_row_is_there_and_says_where_it_comes_from():
    assert tuple(ROWS) == benchmark.ORDER
    for name, row in ROWS.items():
        assert {"cpu", "torch", "commit", "date"} <= row.keys()
        runs = row["runs"] if name in benchmark.INFERENCES else [row]
        assert len(runs) == (len(benchmark.SEEDS) if name in benchmark.INFERENCES else 1)
        for run in runs:
            assert len(run["inside"]) == len(run["width"]) == benchmark.AHEAD
            assert all(0 <= share <= 1 for share in run["inside"])


def test_who_draws_from_what_comes_is_calibrated():
    """Readings of x and of the draws are of one distribution: a band of 90 % holds 90 %, to five standard errors."""
    x = pendulum(400, 20, seed=5).x
    others = pendulum(400 * 200, 20, seed=6).x[:, 120:].reshape(200, 400, 120)
    found = benchmark.band(others, x)
    assert found["inside"] == pytest.approx([0.9] * 10, abs=5 * (0.09 / 400) ** 0.5)


def test_a_reading_is_where_the_spot_is():
    spot = torch.exp(-0.5 * ((benchmark.swings.PIXELS - 0.4) / 0.25) ** 2)
    assert benchmark.reading(spot).item() == pytest.approx(0.4, abs=0.01)


def test_particles_foresee_what_comes_better_than_a_draw_of_anything():
    x = pendulum(8, 20, seed=7).x
    draws = benchmark.by_particles(x, n_particles=500, n_draws=100)
    assert draws.shape == (100, 8, 120)
    width = benchmark.band(draws, x)["width"]
    anything = benchmark.reading(x.unflatten(-1, (20, 12)))
    assert width[0] < 0.5 * (anything.quantile(0.95) - anything.quantile(0.05))
