"""The recorded long runs are complete, and the shipped model is worth what its record says."""

import json
import math
from pathlib import Path

import full_length
import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_tutorial import datasets
from vae_tutorial.checkpoints import SHIPPED, load
from vae_tutorial.checkpoints.describe import describe
from vae_tutorial.history import History

ROOT = Path(__file__).parents[2]
ROWS = json.loads((ROOT / "benchmarks" / "results" / "full_length.json").read_text())["rows"]
BINARY = ["mlp-bernoulli", "mlp-bernoulli-0.001", "convolutions", "best"]
ROUNDING = 0.0005  # nats: float32 sums over 784 pixels, measured 1e-5


def mnist_test_images(n):
    """The first n of the binarized test images that were measured, without the code that measured them."""
    try:
        images = datasets.mnist().x_test
    except datasets.DatasetError as error:
        pytest.skip(f"MNIST can't be had, the shipped model was NOT measured again: {str(error).splitlines()[0]}")
    return datasets.binarize(images, torch.Generator().manual_seed(3))[:n]


@torch.no_grad()
def elbo_by_distributions(model, x, n_samples, seed):
    eps = torch.randn(n_samples, len(x), model.latent_dim, generator=torch.Generator().manual_seed(seed))
    mu, log_var = (part.double() for part in model.encode(x))
    q, prior = Normal(mu, log_var.exp().sqrt()), Normal(0.0, torch.ones_like(mu))
    draws = [
        Bernoulli(logits=model.decode((q.mean + q.stddev * noise).float()).double()).log_prob(x.double()).sum(-1)
        for noise in eps.double()
    ]
    return (torch.stack(draws).mean(0) - kl_divergence(q, prior).sum(-1)).mean().item()


# The record


def test_every_row_of_the_script_is_recorded_as_it_stands_there():
    module = full_length
    assert ROWS.keys() == module.ROWS.keys()
    for name, row in module.ROWS.items():
        recorded = ROWS[name]
        for key in ("what", "recipe", "pixels", "epochs", "batch_size"):
            assert recorded[key] == getattr(row, key), f"{name}: {key}"
        assert recorded["model"] == json.loads(json.dumps(describe(row.model()))), name
        assert recorded["n_parameters"] == sum(p.numel() for p in row.model().parameters()), name


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_where_it_comes_from(name):
    row = ROWS[name]
    kinds = dict(
        date=str, package=str, commit=str, python=str, torch=str, cpu=str, device=str, cores=int, threads=int, seed=int
    )
    for key, kind in kinds.items():
        assert type(row[key]) is kind and row[key] != "", f"{key}: {row[key]!r}"
    assert row["n_train"] == 55_000
    assert row["wall_seconds"] > 0 and row["cpu_seconds"] > 0
    assert row["failure"] == ""


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_consistent(name):
    row = ROWS[name]
    history = History.from_columns(row["history"])
    assert len(history.elbo) == len(history.val_elbo) == row["epochs"]
    for part, n_images in dict(train=10_000, val=5_000, test=10_000).items():
        measured = row[part]
        assert measured["n_images"] == n_images
        assert all(math.isfinite(value) for value in measured.values())
        assert measured["elbo"] == pytest.approx(measured["log_likelihood"] - measured["kl"], abs=1e-6)
        assert measured["worst"] < measured["median"] and measured["stderr"] > 0 and measured["kl"] >= 0
    D, nats = 784, -row["test"]["elbo"]
    bits = {"binary": nats / D / math.log(2), "dequantized": 8 + nats / D / math.log(2), "stored": None}[row["pixels"]]
    assert row["bits_per_dim"] == (None if bits is None else pytest.approx(bits, rel=1e-9))
    variances = row["unit_variances"]
    assert len(variances) == row["model"]["arguments"]["latent_dim"] and variances == sorted(variances, reverse=True)


@pytest.mark.parametrize("name", BINARY)
def test_the_bound_of_binary_images_is_between_the_coin_flips_and_no_model(name):
    assert -784 * math.log(2) < ROWS[name]["test"]["elbo"] < -45  # the entropy of the binarization is 45.5 nats


def test_unit_variance_stays_below_its_ceiling():
    assert ROWS["mlp-gaussian-unit"]["test"]["elbo"] < -784 / 2 * math.log(2 * math.pi)


# The script


@pytest.fixture
def small(monkeypatch):
    """The script, with sixty images in place of MNIST, and one epoch of one row."""
    module = full_length
    x = torch.rand(60, 784, generator=torch.Generator().manual_seed(0)).mul(255).round() / 255
    data = datasets.Dataset("mnist", x, None, x[:30], None, image_shape=(28, 28))
    monkeypatch.setattr(module.datasets, "mnist", lambda: data)
    monkeypatch.setattr(module, "N_VAL", 10)
    return module


def with_row(module, monkeypatch, name, **changes):
    monkeypatch.setitem(module.ROWS, name, module.ROWS[name]._replace(**changes))


@pytest.mark.parametrize("name", ["mlp-gaussian-free", "mlp-gaussian-unit", "mlp-bernoulli"])
def test_a_run_gives_a_record_like_those_stored_and_goes_on_where_it_stood(small, monkeypatch, tmp_path, name):
    with_row(small, monkeypatch, name, epochs=1)
    small.run(name, tmp_path, torch.device("cpu"))
    with_row(small, monkeypatch, name, epochs=3)
    resumed = small.run(name, tmp_path, torch.device("cpu"))
    assert resumed.keys() == ROWS[name].keys()
    _, history = small.train(small.ROWS[name], 3, device="cpu", progress=False)
    assert resumed["history"]["val_kl"] == history.val_kl


def test_a_run_that_diverges_is_a_result_too(small, monkeypatch, tmp_path):
    with_row(small, monkeypatch, "mlp-gaussian-free", how=dict(lr=1e30))
    record = small.run("mlp-gaussian-free", tmp_path, torch.device("cpu"))
    assert record["failure"].startswith("epoch 1") and "test" not in record


def test_the_pixels_of_a_row(small):
    levels = torch.arange(256.0).repeat(4) / 255
    dequantized = small.dequantize(levels, torch.Generator().manual_seed(0))
    assert torch.equal((dequantized * 256).floor(), levels * 255) and dequantized.max() < 1
    x = small.images("binary").measured["test"]
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(datasets.binarize(x, torch.Generator().manual_seed(1)), x)


# The shipped model


def test_the_shipped_model_is_the_recorded_one_and_small():
    assert (SHIPPED / "mnist_resnet.safetensors").stat().st_size < 2e6
    assert json.loads(json.dumps(describe(load("mnist_resnet")))) == ROWS["best"]["model"]


def test_the_shipped_model_is_the_best_row():
    assert ROWS["best"]["val"]["elbo"] == max(ROWS[name]["val"]["elbo"] for name in BINARY)


def test_the_shipped_model_has_its_recorded_elbo():
    """Same images, same noise, torch.distributions in float64: equal to the rounding of float32."""
    x = mnist_test_images(1000)
    again = elbo_by_distributions(load("mnist_resnet"), x, n_samples=10, seed=4)
    assert again == pytest.approx(ROWS["best"]["test"]["elbo_first_1000"], abs=ROUNDING)


def test_a_model_rounded_to_bfloat16_has_not():
    """The power of the test above."""
    model = load("mnist_resnet")
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16().float()
    again = elbo_by_distributions(model, mnist_test_images(1000), n_samples=10, seed=4)
    assert abs(again - ROWS["best"]["test"]["elbo_first_1000"]) > 2 * ROUNDING
