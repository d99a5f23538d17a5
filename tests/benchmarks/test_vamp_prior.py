"""The script on the VampPrior trains what it says, goes on where it was interrupted, and records all of it."""

import json
import sys

import pytest
import torch
import vamp_prior

from vae_tutorial import datasets
from vae_tutorial.datasets import Dataset

FIELDS = dict(
    prior=str, seed=int, epochs=int, n_train=int, n_test=int, n_samples=int, nll=float, stderr=float, active_units=int,
    weights=str, device=str, cpu_seconds=float, wall_seconds=float, measuring_cpu_seconds=float, date=str, package=str,
    commit=str, torch=str, threads=int,
)  # fmt: skip


@pytest.fixture
def small(monkeypatch):
    """Images that are not MNIST's, and a small network."""
    noise = torch.rand(300, 784, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(300, dtype=torch.long)
    data = Dataset("mnist", noise, labels, noise[:20], labels[:20], (28, 28))
    monkeypatch.setattr(datasets, "mnist", lambda: data)
    for name, value in dict(HIDDEN_DIM=8, LATENT_DIM=3, N_COMPONENTS=5).items():
        monkeypatch.setattr(vamp_prior, name, value)


def call(monkeypatch, folder, *arguments):
    given = ["--epochs", "2", "--samples", "20", "--device", "cpu", "--runs", str(folder / "runs")]
    monkeypatch.setattr(sys, "argv", ["vamp_prior.py", *arguments, *given, "--results", str(folder / "results.json")])
    vamp_prior.main()


def test_both_priors_begin_with_the_same_network():
    one, other = (vamp_prior.new_model(prior, 1) for prior in vamp_prior.PRIORS)
    assert all(map(torch.equal, [*one.encoder.parameters()], [*other.encoder.parameters()]))
    assert [m.value.out_features for m in other.encoder[:2]] == [300, 300] and other.latent_dim == 40
    mu, log_var = other.encode(100 * torch.randn(5, 784, generator=torch.Generator().manual_seed(0)))
    assert log_var.min() == -6 and log_var.max() == 2 and mu.abs().max() > 6
    assert other.prior.pseudo_inputs().shape == (500, 784)


def test_runs_are_recorded_once_and_with_their_provenance(small, monkeypatch, tmp_path, capsys):
    call(monkeypatch, tmp_path, "VampPrior", "--seed", "0")
    call(monkeypatch, tmp_path, "--seed", "0")
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert list(rows) == ["standard normal, seed 0", "VampPrior, seed 0"]
    for row in rows.values():
        assert all(isinstance(row[name], kind) for name, kind in FIELDS.items())
        assert row["n_test"] == 20 and row["nll"] > 0
    assert "VampPrior, seed 0: finished before" in capsys.readouterr().out


def test_an_interrupted_run_goes_on_and_ends_where_an_undisturbed_one_ends(small, monkeypatch, tmp_path):
    call(monkeypatch, tmp_path, "VampPrior", "--seed", "1")
    whole = json.loads((tmp_path / "results.json").read_text())["rows"]["VampPrior, seed 1"]
    (again := tmp_path / "again").mkdir()
    monkeypatch.setattr(vamp_prior, "fit", interrupted_once(vamp_prior.fit))
    with pytest.raises(SystemExit, match="VampPrior, seed 1: interrupted; the same command goes on"):
        call(monkeypatch, again, "VampPrior", "--seed", "1")
    call(monkeypatch, again, "VampPrior", "--seed", "1")
    resumed = json.loads((again / "results.json").read_text())["rows"]["VampPrior, seed 1"]
    assert resumed["weights"] == whole["weights"] and resumed["nll"] == whole["nll"]


def interrupted_once(fit):
    state = {"interrupted": False}

    def wrapped(model, x, **how):
        if state["interrupted"]:
            return fit(model, x, **how)
        state["interrupted"] = True

        def stop(*given):
            raise KeyboardInterrupt

        return fit(model, x, callback=stop, **how)

    return wrapped


def test_another_prior_is_refused(small, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, tmp_path, "flow")
    assert "priors must be of standard normal, VampPrior, got flow" in capsys.readouterr().err
