"""Files of weights: what is written comes back bit for bit, and what is not whole is not read."""

import errno
import os
import re
from functools import partial
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

import vae_tutorial
from vae_tutorial import checkpoints
from vae_tutorial.architectures import conv1d_vae, conv_vae, resnet_vae
from vae_tutorial.checkpoints import CheckpointError, files, load, save
from vae_tutorial.checkpoints.files import read, sha256, write, write_whole
from vae_tutorial.likelihoods import (
    bernoulli,
    categorical,
    continuous_bernoulli,
    discretized_logistic,
    normal,
    normal_diag,
    normal_diag_above,
    sigma_normal,
)
from vae_tutorial.models import VAE, mlp_vae

BFLOAT = torch.tensor([1.5, -2.0, torch.inf], dtype=torch.bfloat16)
TENSORS = {
    "double": torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "shared": BFLOAT,
    "shared too": BFLOAT[1:],
    "scalar": torch.tensor(7),
    "empty": torch.zeros(0, 4),
    "bytes": torch.arange(256, dtype=torch.uint8),
    "truth": torch.tensor([True, False]),
}
CONTENT = {"kind": "test", "numbers": [0.1, -1e-300, 3], "text": "Σ ε ≥ 0", "none": None}


def same_bits(a, b):
    return a.keys() == b.keys() and all(a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a)


# Files of tensors


def test_what_is_written_comes_back(tmp_path):
    write(tmp_path / "file", TENSORS, CONTENT)
    tensors, content = read(tmp_path / "file")
    assert same_bits(tensors, TENSORS) and content == CONTENT
    assert os.listdir(tmp_path) == ["file"]
    write(tmp_path / "file", {"a": torch.zeros(1)}, {})
    assert read(tmp_path / "file") == ({"a": torch.zeros(1)}, {})


def test_any_safetensors_reader_reads_it(tmp_path):
    write(tmp_path / "file", TENSORS, CONTENT)
    assert CONTENT["text"].encode() in (tmp_path / "file").read_bytes()
    assert same_bits(safetensors.torch.load_file(tmp_path / "file"), TENSORS)


def test_no_byte_with_a_flipped_bit_passes(tmp_path):
    path, tensors = tmp_path / "file", {"a": torch.tensor([0.1, -3.0]), "b": torch.tensor([[2]])}
    write(path, tensors, CONTENT)
    data, undetected = path.read_bytes(), 0
    for place in range(len(data)):
        flipped = data[place] ^ 1 << place % 8
        path.write_bytes(data[:place] + bytes([flipped]) + data[place + 1 :])
        try:
            found, content = read(path)
        except CheckpointError as error:
            assert str(path) in str(error)
        else:  # such as a blank of the header's padding that became another one
            undetected += 1
            assert same_bits(found, tensors) and content == CONTENT
    assert undetected < 10 < len(data)


def test_safetensors_alone_lets_a_flipped_bit_pass(tmp_path):
    path = tmp_path / "file"
    write(path, {"a": torch.ones(2)}, {})
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert safetensors.torch.load_file(path)["a"].tolist() != [1, 1]
    with pytest.raises(CheckpointError, match=r"file is damaged: its SHA-256 should be .*… and is .*…: use a copy, or"):
        read(path)


def test_no_truncated_file_passes(tmp_path):
    path = tmp_path / "file"
    write(path, TENSORS, CONTENT)
    data = path.read_bytes()
    for length in range(0, len(data), 5):
        path.write_bytes(data[:length])
        with pytest.raises(
            CheckpointError, match="not a whole safetensors file: .* It was cut short, damaged, or never"
        ):
            read(path)
    path.write_bytes(data + b"more")
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        read(path)


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        b"PK\x03\x04" + bytes(200),
        b"\x80\x04\x95" * 50,
        b"{}",
    ],
    ids=["web page", "zip", "pickle", "JSON"],
)
def test_foreign_files_are_named(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    for reader in (read, load):
        with pytest.raises(CheckpointError, match="file is not a whole safetensors file"):
            reader(tmp_path / "file")


def test_safetensors_of_others_folders_and_missing_files_are_named(tmp_path):
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "file")
    with pytest.raises(CheckpointError, match="was not written by this package"):
        read(tmp_path / "file")
    with pytest.raises(CheckpointError, match="there is no such file"):
        read(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="cannot be read|not a whole"):
        read(tmp_path)
    with pytest.raises(CheckpointError, match="nowhere/file cannot be written: .*No such file"):
        write(tmp_path / "nowhere" / "file", {}, {})


@pytest.mark.parametrize("when", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, when):
    path = tmp_path / "file"
    write(path, TENSORS, CONTENT)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class FullFile:
        def __init__(self, file, *_):
            self.file = open(file, "wb")
            self.file.write(b"the first half")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        write = full

    if when == "write":
        monkeypatch.setattr(files, "open", FullFile, raising=False)
    else:
        monkeypatch.setattr(os, when, full)
    with pytest.raises(
        CheckpointError, match="file cannot be written: .*No space left.* What it held before is as it w"
    ):
        write(path, {"other": torch.ones(1000)}, {})
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="a system that does not open folders")
def test_the_data_are_on_the_disk_before_the_name_points_to_them_and_the_name_is_afterwards(tmp_path, monkeypatch):
    events, replace = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda file: events.append(os.fstat(file).st_ino))
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("named"), replace(*paths)))
    write_whole(tmp_path / "file", b"whole")
    assert events == [(tmp_path / "file").stat().st_ino, "named", tmp_path.stat().st_ino]


def test_what_a_killed_process_left_does_no_harm(tmp_path):
    (tmp_path / "file.part").write_bytes(b"half a checkpoint, longer than what comes now" * 100)
    write_whole(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole" and os.listdir(tmp_path) == ["file"]


def test_the_checksum_covers_all_there_is():
    base = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0])}
    variants = [
        (base, "text"),
        (base, ""),
        ({"a": base["a"], "c": base["b"]}, ""),
        ({"a": base["b"], "b": base["a"]}, ""),
        ({"a": base["a"][None], "b": base["b"]}, ""),
        ({"a": base["a"].view(torch.int32), "b": base["b"]}, ""),
        ({"a": torch.tensor([1.0, -2.0]), "b": base["b"]}, ""),
    ]
    assert len({sha256(*variant) for variant in variants}) == len(variants)
    assert sha256(base) == sha256(base, "")
    assert sha256(dict(reversed(base.items()))) == sha256(base)  # not the order in which they were given


# Models


MODELS = {
    "mlp": lambda: mlp_vae(5, 7, 2, bernoulli, seed=3, activation=nn.Tanh),
    "deep": lambda: mlp_vae(5, (7, 6), 2, bernoulli, seed=3),
    "double": lambda: mlp_vae(5, 7, 2, normal_diag, seed=3).double(),
    "conv": lambda: conv_vae((8, 12), 3, bernoulli, seed=3),
    "conv1d": lambda: conv1d_vae(8, 3, bernoulli, seed=3),
    "resnet": lambda: resnet_vae((8, 8), 3, normal_diag, seed=3),
}


LIKELIHOODS = {
    "normal": normal(-1.5),
    "normal_diag_above": normal_diag_above(-3.0),
    "sigma_normal": sigma_normal,
    "continuous_bernoulli": continuous_bernoulli,
    "discretized_logistic": discretized_logistic(4),
    "categorical": categorical(3),
}
MODELS |= {name: partial(mlp_vae, 5, 7, 2, value, seed=3) for name, value in LIKELIHOODS.items()}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_a_saved_model_comes_back(tmp_path, make):
    model = make()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert same_bits(model.state_dict(), again.state_dict())
    assert not again.training and all(p.requires_grad and p.is_leaf for p in again.parameters())
    z = torch.randn(
        4, model.latent_dim, dtype=next(model.parameters()).dtype, generator=torch.Generator().manual_seed(0)
    )
    x = again.likelihood.mean(again.decode(z)).round().clamp(0, 1)
    with torch.no_grad():
        assert torch.equal(model.log_likelihood(x, z), again.log_likelihood(x, z))
        assert all(map(torch.equal, model.encode(x), again.encode(x)))


def test_a_saved_model_trains_on(tmp_path):
    from vae_tutorial.training import fit

    save(mlp_vae(3, 4, 2, bernoulli, seed=0), tmp_path / "model")
    model, x = load(tmp_path / "model"), torch.ones(8, 3)
    history = fit(model, x, epochs=20, lr=0.05, seed=0, progress=False, device="cpu")
    assert history.elbo[-1] > history.elbo[0] + 0.1


def test_a_model_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    save(mlp_vae(3, 4, 2, bernoulli, seed=0), tmp_path / "best.safetensors")
    assert load("best").latent_dim == 2
    with pytest.raises(CheckpointError, match="^worst: there is no such file, and no model of that name"):
        load("worst")


def test_models_that_cannot_be_described_are_named(tmp_path):
    own = VAE(nn.Linear(3, 4), nn.Linear(2, 3), 2, bernoulli)
    with pytest.raises(CheckpointError, match="only a model that mlp_vae .* keep model.state_dict"):
        save(own, tmp_path / "model")
    nobody = mlp_vae(3, 4, 2, bernoulli._replace(mean=lambda params: params), seed=0)
    nobody.description["arguments"]["likelihood"] = None
    with pytest.raises(CheckpointError, match="does not say how to build it again"):
        save(nobody, tmp_path / "model")
    spoiled = mlp_vae(3, 4, 2, bernoulli, seed=0)
    with torch.no_grad():
        spoiled.decoder[2].bias[1] = torch.nan
    with pytest.raises(ValueError, match="decoder.2.bias must be finite, got 1 NaN"):
        save(spoiled, tmp_path / "model")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(factory="lstm_vae"), "this version of the package cannot build"),
        (dict(factory="os.system"), "this version of the package cannot build"),
        (dict(arguments={}), "this version of the package cannot build"),
        (dict(likelihood={"name": "poisson", "arguments": {}}), "this version of the package cannot build"),
        (dict(likelihood={"name": "torch", "arguments": {}}), "this version of the package cannot build"),
        (dict(activation="Linear"), "this version of the package cannot build"),
        (dict(surprise=1), "this version of the package cannot build"),
        (dict(hidden_dim=5), "weights do not fit the model it describes"),
    ],
    ids=str,
)
def test_a_description_of_something_else_is_named(tmp_path, change, message):
    model = mlp_vae(3, 4, 2, bernoulli, seed=0)
    save(model, tmp_path / "model")
    description = read(tmp_path / "model")[1]["description"]
    for name, value in change.items():
        (description if name in description else description["arguments"])[name] = value
    write(tmp_path / "model", model.state_dict(), {"kind": "model", "description": description})
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "model")


def test_weights_are_compared_by_name(tmp_path):
    save(mlp_vae(3, 4, 2, bernoulli, seed=0), tmp_path / "model")
    tensors, content = read(tmp_path / "model")
    tensors["encoder.0.wait"] = tensors.pop("encoder.0.weight")
    write(tmp_path / "model", tensors, content)
    with pytest.raises(CheckpointError, match="weights do not fit(.|\n)*encoder.0.weight"):
        load(tmp_path / "model")


def test_there_is_no_pickle_anywhere():
    for path in Path(vae_tutorial.__file__).parent.rglob("*.py"):
        assert not re.search(
            r"import pickle|allow_pickle=True|(?<!safetensors\.)torch\.(save|load)\b|shelve|marshal|joblib",
            path.read_text("utf-8"),
        ), path
