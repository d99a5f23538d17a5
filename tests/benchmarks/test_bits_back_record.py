"""The record of archives is complete, and consistent with what it says of itself."""

import pytest

pytest.importorskip("constriction", reason="no constriction: compression was NOT tested")
import bits_back as benchmark
import torch
from recording import rows_of

ROWS = rows_of(benchmark.RESULTS)


def test_every_model_has_its_row_and_says_where_it_comes_from():
    assert ROWS.keys() == benchmark.MODELS.keys()
    for row in ROWS.values():
        assert {"cpu", "torch", "commit", "date", "seconds"} <= row.keys()
        assert row["n_images"] == 10_000 and row["general"]["packed bits"] == 980_000
        assert row["bytes"] < min(row["general"].values())


def test_archives_are_as_long_as_the_elbo_to_one_percent():
    for row in ROWS.values():
        assert 8 * row["bytes"] == pytest.approx(row["elbo_bits"], rel=0.01)
        assert row["stderr_of_one_draw_bits"] < 0.001 * row["elbo_bits"]


def test_the_sizes_of_general_compressors_are_of_all_pixels():
    x = (torch.rand(12, 64, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    sizes = benchmark.general(x, (8, 8))
    assert sizes.keys() == ROWS["mnist_resnet"]["general"].keys()
    assert sizes["packed bits"] == 96 and min(sizes.values()) >= 96  # noise can't be compressed
