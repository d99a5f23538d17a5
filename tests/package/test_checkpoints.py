"""Files of weights: what is written comes back bit for bit, and what is not whole is not read."""

import copy
import errno
import os
import pickle
import re
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
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
from vae_tutorial.checkpoints.describe import ACTIVATIONS, PARTS
from vae_tutorial.checkpoints.files import read, sha256, write, write_whole
from vae_tutorial.hierarchical import hierarchical_vae
from vae_tutorial.likelihoods import (
    autoregressive_normal,
    bernoulli,
    categorical,
    columns,
    continuous_bernoulli,
    discretized_logistic,
    normal,
    normal_diag,
    normal_diag_above,
    sigma_normal,
)
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.priors import Gaussian, Mixture
from vae_tutorial.state_space import deep_markov_model

ROOT = Path(vae_tutorial.__file__).parents[1]
needs_links = pytest.mark.skipif(os.name == "nt", reason="needs POSIX links and folders")
IMAGE = {"latent_dim": 2, "likelihood": {"name": "bernoulli", "arguments": {}}, "seed": 0}
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
    write(tmp_path / "file", {"a": torch.zeros(1)}, {"kind": ""})
    assert read(tmp_path / "file") == ({"a": torch.zeros(1)}, {"kind": ""})


def test_any_safetensors_reader_reads_it(tmp_path):
    write(tmp_path / "file", TENSORS, CONTENT)
    assert CONTENT["text"].encode() in (tmp_path / "file").read_bytes()
    assert same_bits(safetensors.torch.load_file(tmp_path / "file"), TENSORS)


@pytest.mark.parametrize("change", [1, 0x20, 0x80, 0xFF, None], ids=["bit 0", "bit 5", "bit 7", "all bits", "a tab"])
def test_no_changed_byte_passes(tmp_path, change):
    path = tmp_path / "file"
    write(path, {"a": torch.tensor([0.1, -3.0]), "b": torch.tensor([[2]])}, CONTENT | {"padding": "x"})
    data = path.read_bytes()
    assert b"} " in data, "a header that ends in blanks, which mean nothing"
    for place, byte in enumerate(data):
        other = ord("\t") if change is None else byte ^ change
        path.write_bytes(data[:place] + bytes([other]) + data[place + 1 :])
        with pytest.raises(CheckpointError, match=f"^{re.escape(str(path))}"):
            read(path)
    path.write_bytes(data)
    read(path)


def test_safetensors_alone_lets_a_flipped_bit_pass(tmp_path):
    path = tmp_path / "file"
    write(path, {"a": torch.ones(2)}, CONTENT)
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
    for reader in (read, load):
        with pytest.raises(CheckpointError, match="cannot be read: it is not a file, but a folder or a device; name a"):
            reader(tmp_path)
        with pytest.raises(CheckpointError, match="cannot be read: embedded null|not a whole .*: embedded null"):
            reader("a\0b")
    with pytest.raises(
        CheckpointError, match="nowhere/file cannot be written: No such file .*Nothing is there; make r"
    ):
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


@needs_links
def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch):
    """As on some network file systems: the file is there, and whole."""
    fsync = os.fsync

    def not_of_folders(file):
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(file)

    monkeypatch.setattr(os, "fsync", not_of_folders)
    write_whole(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole" and os.listdir(tmp_path) == ["file"]


def test_two_writers_of_one_path_do_not_meet(tmp_path, monkeypatch):
    """While the first has written and not yet renamed, a second one writes all of its own, and a third is killed."""
    fsync, parts = os.fsync, []

    def others_come(file):
        monkeypatch.setattr(os, "fsync", fsync)
        parts.extend(name for name in os.listdir(tmp_path))
        write_whole(tmp_path / "file", b"the second's")
        assert (tmp_path / "file").read_bytes() == b"the second's"
        (tmp_path / f"file.{'0' * 32}.part").write_bytes(b"the th")
        (tmp_path / "file.part").write_bytes(b"the th")
        fsync(file)

    monkeypatch.setattr(os, "fsync", others_come)
    write_whole(tmp_path / "file", b"the first's, which is longer")
    assert (tmp_path / "file").read_bytes() == b"the first's, which is longer"
    assert sorted(os.listdir(tmp_path)) == sorted(["file", f"file.{'0' * 32}.part", "file.part"])
    assert len(parts) == 1 and re.fullmatch(r"file\.[0-9a-f]{32}\.part", parts[0])


def test_many_processes_write_one_path_and_every_read_is_whole(tmp_path):
    write(path := tmp_path / "file", {"a": torch.full((20_000,), -1.0)}, CONTENT)
    program = (
        "import sys, torch\n"
        "from vae_tutorial.checkpoints.files import write\n"
        "for _ in range(12):\n"
        "    write(sys.argv[1], {'a': torch.full((20_000,), float(sys.argv[2]))}, {'kind': 'test'})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), str(i)], cwd=ROOT) for i in range(2)]
    try:
        while any(writer.poll() is None for writer in writers):
            assert read(path)[0]["a"].unique().numel() == 1
    finally:
        for writer in writers:
            writer.wait(120)
    assert [writer.returncode for writer in writers] == [0, 0] and os.listdir(tmp_path) == ["file"]


def test_what_killed_processes_left_is_removed_after_an_hour_and_nothing_else(tmp_path):
    left, fresh = (tmp_path / f"file.{digit * 32}.part" for digit in "0f")
    foreign = [tmp_path / name for name in ("file.part", "notes.part", f"file.{'g' * 32}.part", f"x.{'0' * 32}.part")]
    for path, age in ((left, 4000), (fresh, 3000), *((path, 10**6) for path in foreign)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    (tmp_path / f"file.{'e' * 32}.part").mkdir()
    os.utime(tmp_path / f"file.{'e' * 32}.part", (0, 0))
    write_whole(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert {*tmp_path.iterdir()} == {tmp_path / "file", fresh, *foreign, tmp_path / f"file.{'e' * 32}.part"}


def test_a_name_of_a_part_that_is_taken_is_neither_followed_nor_written(tmp_path, monkeypatch):
    monkeypatch.setattr(files.secrets, "token_hex", lambda n: "0" * 2 * n)
    part, victim = tmp_path / f"file.{'0' * 32}.part", tmp_path / "victim"
    victim.write_bytes(b"precious")
    part.symlink_to(victim)
    with pytest.raises(CheckpointError, match="file cannot be written: File exists. Nothing is there; make room"):
        write_whole(tmp_path / "file", b"whole")
    assert victim.read_bytes() == b"precious" and not (tmp_path / "file").exists()


@needs_links
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_written_through(tmp_path, exists):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "real", tmp_path / "link"
    if exists:
        target.write_bytes(b"before")
    link.symlink_to(target)
    write_whole(link, b"whole")
    assert link.is_symlink() and target.read_bytes() == b"whole"
    assert os.listdir(tmp_path / "elsewhere") == ["real"] and sorted(os.listdir(tmp_path)) == ["elsewhere", "link"]


@needs_links
def test_links_in_a_circle_are_no_file(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(CheckpointError, match="a cannot be written: Too many levels of symbolic links. What it held"):
        write_whole(tmp_path / "a", b"whole")
    with pytest.raises(CheckpointError, match="a cannot be read: Too many levels of symbolic links"):
        load(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize(
    "name, message",
    [
        ("a file/x", "Not a directory. Nothing is there"),
        ("a" * 256, "File name too long. Nothing is there"),
        ("a folder", "Is a directory. What it held before is as it was"),
        ("a\0b", "embedded null byte. Nothing is there"),
    ],
    ids=["parent is a file", "name too long", "a folder", "no name at all"],
)
def test_where_no_file_can_be_written_the_message_is_true(tmp_path, name, message):
    (tmp_path / "a file").write_bytes(b"here")
    (tmp_path / "a folder").mkdir()
    path = f"{tmp_path}/{name}"
    with pytest.raises(
        CheckpointError, match=rf"^{re.escape(path)} cannot be written: {message}; make room, or choose"
    ):
        write_whole(path, b"whole")
    assert sorted(os.listdir(tmp_path)) == ["a file", "a folder"] and not os.listdir(tmp_path / "a folder")


def test_the_longest_name_can_be_written(tmp_path):
    write_whole(tmp_path / ("a" * 255), b"whole")
    write_whole(tmp_path / ("ε" * 127), b"whole")
    assert sorted(os.listdir(tmp_path)) == ["a" * 255, "ε" * 127]


@contextmanager
def nobody():
    """Root may do anything: be somebody else for a moment."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_permissions_that_are_missing_are_said():
    with tempfile.TemporaryDirectory() as name:  # which others may enter, unlike those of pytest
        folder = Path(name)
        folder.chmod(0o755)
        save(mlp_vae(3, 4, 2, bernoulli, seed=0), folder / "secret")
        (folder / "secret").chmod(0)
        (folder / "closed").mkdir(mode=0o700)
        (folder / "closed").chmod(0)
        before = (folder / "secret").read_bytes() if os.geteuid() == 0 else None
        with nobody():
            for path in ("secret", "closed/file"):
                for reader in (read, load):
                    with pytest.raises(CheckpointError, match=f"{path} cannot be read: Permission denied"):
                        reader(folder / path)
            with pytest.raises(
                CheckpointError, match="closed/file cannot be written: Permission denied. Nothing is th"
            ):
                write_whole(folder / "closed" / "file", b"whole")
        (folder / "closed").chmod(0o755)
        assert before in (None, (folder / "secret").read_bytes()) and os.listdir(folder / "closed") == []


def test_a_read_only_disk_is_said(tmp_path, monkeypatch):
    def read_only(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files, "open", read_only, raising=False)
    with pytest.raises(CheckpointError, match="file cannot be written: Read-only file system. Nothing is there"):
        write_whole(tmp_path / "file", b"whole")


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
    "bottom-up": lambda: hierarchical_vae(5, (7, (6, 4)), (3, 2), bernoulli, seed=3),
    "top-down": lambda: hierarchical_vae(5, ((7, 6), 4, 3), (3, 2, 1), normal_diag, seed=3, inference="top_down"),
    "in time": lambda: deep_markov_model(2, 3, 7, 2, normal_diag, seed=3),
    "in time, factorized": lambda: deep_markov_model(2, 3, 7, 2, bernoulli, seed=3, inference="factorized"),
}


LIKELIHOODS = {
    "normal": normal(-1.5),
    "normal_diag_above": normal_diag_above(-3.0),
    "sigma_normal": sigma_normal,
    "continuous_bernoulli": continuous_bernoulli,
    "discretized_logistic": discretized_logistic(4),
    "categorical": categorical(3),
    "autoregressive_normal": autoregressive_normal(2),
    "columns": columns({"a": "binary", "b": "real", "c": "count", "d": ("categorical", 3), "e": ("count", 2)}),
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
    with pytest.raises(CheckpointError, match="^worst: there is no such file, and no model of that name$"):
        load("worst")


def test_models_that_cannot_be_described_are_named(tmp_path):
    own = VAE(nn.Linear(3, 4), nn.Linear(2, 3), 2, bernoulli)
    with pytest.raises(CheckpointError, match="only a model that mlp_vae .* keep model.state_dict"):
        save(own, tmp_path / "model")
    theirs = mlp_vae(3, 4, 2, bernoulli._replace(mean=lambda params: params, name=""), seed=0)
    with pytest.raises(CheckpointError, match="does not say how to build it again; .* keep model.state_dict"):
        save(theirs, tmp_path / "model")
    spoiled = mlp_vae(3, 4, 2, bernoulli, seed=0)
    with torch.no_grad():
        spoiled.decoder[2].bias[1] = torch.nan
    with pytest.raises(ValueError, match="decoder.2.bias must be finite, got 1 NaN"):
        save(spoiled, tmp_path / "model")
    assert os.listdir(tmp_path) == []


LIKELIHOOD_ITSELF = {"n_params": 1, "log_prob": 1, "mean": 2, "sample": 3}


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(factory="lstm_vae"), "this version of the package cannot build"),
        (dict(factory="os.system"), "this version of the package cannot build"),
        (dict(arguments={}), "this version of the package cannot build"),
        (dict(likelihood={"name": "poisson", "arguments": {}}), "this version of the package cannot build"),
        (dict(likelihood={"name": "torch", "arguments": {}}), "this version of the package cannot build"),
        (dict(likelihood={"name": "Likelihood", "arguments": LIKELIHOOD_ITSELF}), "this version of the package cannot"),
        (dict(likelihood={"name": "SharedLogVar", "arguments": {}}), "this version of the package cannot build"),
        (dict(likelihood={"name": ["normal"], "arguments": {}}), "this version of the package cannot build"),
        (dict(likelihood=None), "this version of the package cannot build"),
        (dict(prior={"name": "Prior", "arguments": {}}), "this version of the package cannot build"),
        (dict(prior={"name": "nn", "arguments": {}}), "this version of the package cannot build"),
        (dict(prior=None), "this version of the package cannot build"),
        (dict(posterior={"name": "Posterior", "arguments": {}}), "this version of the package cannot build"),
        (dict(activation="Linear"), "this version of the package cannot build"),
        (dict(activation="Module"), "this version of the package cannot build"),
        (dict(activation="Dropout"), "this version of the package cannot build"),
        (dict(activation=["ReLU"]), "this version of the package cannot build"),
        (dict(seed=2**80), "this version of the package cannot build"),
        (dict(hidden_dim=[[[5]]]), "this version of the package cannot build"),
        (dict(x_dim=-3), "this version of the package cannot build"),
        (dict(arguments=[1]), "this version of the package cannot build"),
        (dict(factory=[]), "this version of the package cannot build"),
        (dict(surprise=1), "this version of the package cannot build"),
        (dict(hidden_dim=5), "weights do not fit the model that is described"),
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


@pytest.mark.parametrize(
    "change",
    [
        dict(x_dim=10**8),
        dict(x_dim=10**12),
        dict(x_dim=10**30),
        dict(hidden_dim=[10**9] * 3),
        dict(hidden_dim=[1] * 10**6),
        dict(latent_dim=10**10),
        dict(likelihood={"name": "categorical", "arguments": {"n_levels": 10**12}}),
        dict(prior={"name": "Gaussian", "arguments": {"latent_dim": 10**10}}),
        dict(prior={"name": "Mixture", "arguments": {"latent_dim": 10**5, "n_components": 10**5, "seed": 0}}),
        dict(prior={"name": "Mixture", "arguments": {"latent_dim": [0], "n_components": 10**10, "seed": 0}}),
        dict(factory="conv_vae", arguments=IMAGE | {"image_shape": [4 * 10**8, 4 * 10**8]}),
        dict(factory="conv1d_vae", arguments=IMAGE | {"n_steps": 4 * 10**11}),
    ],
    ids=lambda change: str(change)[:60],
)
def test_a_file_takes_no_more_memory_or_time_than_its_size(tmp_path, change, monkeypatch):
    resource = pytest.importorskip("resource", reason="a system that does not count memory")
    model = mlp_vae(3, 4, 2, bernoulli, seed=0)
    save(model, tmp_path / "model")
    description = read(tmp_path / "model")[1]["description"]
    for name, value in change.items():
        (description if name in description else description["arguments"])[name] = value
    write(tmp_path / "model", model.state_dict(), {"kind": "model", "description": description})
    built = []
    init = nn.Linear.__init__
    monkeypatch.setattr(nn.Linear, "__init__", lambda self, *sizes: (built.append(sizes), init(self, *sizes))[1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="this version of the package cannot build|weights do not fit"):
        load(tmp_path / "model")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    assert len(built) <= 8, "no more layers than the file has tensors"


@pytest.mark.parametrize(
    "text, message",
    [
        ("[]", "was not written by this package: it does not say what it holds"),
        ("{}", "was not written by this package: it does not say what it holds"),
        ('"kind"', "was not written by this package: it does not say what it holds"),
        ("null", "was not written by this package: it does not say what it holds"),
        ("no JSON", "was not written by this package: it does not say what it holds"),
        ("[" * 10**5 + "]" * 10**5, "was not written by this package: it does not say what it holds"),
        ('{"kind": "run"}', r"holds an unfinished run: fit\(…, checkpoint=…, resume=True\) goes on with it"),
        ('{"kind": ["model"]}', r"holds no model, but \['model'\]"),
        ('{"kind": "model"}', "cannot build is described: None"),
        ('{"kind": "model", "description": []}', r"cannot build is described: \[\]"),
        ('{"kind": "model", "description": "mlp_vae"}', "cannot build is described: 'mlp_vae'"),
        (
            '{"kind": "model", "description": {"factory": "mlp_vae", "arguments": ' + "[" * 500 + "]" * 500 + "}}",
            "cannot b",
        ),
    ],
    ids=lambda text: text[:40],
)
def test_whatever_the_header_says_is_a_checkpoint_error(tmp_path, monkeypatch, text, message):
    monkeypatch.setattr(files.json, "dumps", lambda *_, **__: text)
    write(tmp_path / "file", {"a": torch.ones(2)}, {})
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=rf"file:? .*{message}|file {message}"):
        load(tmp_path / "file")


# What load would not give back is not saved


class GELU(nn.Module):
    """Of another function than the one of that name."""

    def forward(self, x):
        return x * torch.sigmoid(5 * x)


class MyVAE(VAE):
    pass


def changed(change, **how):
    model = mlp_vae(5, 7, 2, normal(0.0), seed=3, **how)
    change(model)
    return model


def tie(model):
    model.decoder[0].bias = model.encoder[0].bias


def resize(model):
    model.decoder[2] = nn.Linear(7, 6)


def patch(model):
    model.decoder[1].forward = torch.tanh


def hook(model):
    model.encoder.register_forward_hook(lambda network, inputs, output: output + 1)


def transient(model):
    model.register_buffer("extra", torch.zeros(2), persistent=False)


def more_slope(model):
    model.encoder[1].negative_slope = 0.2


CHANGES = {
    "a layer appended": (
        lambda m: m.decoder.append(nn.Hardtanh(-0.01, 0.01)),
        "decoder.3 is .*Hardtanh, and would be nothing",
    ),
    "a layer removed": (lambda m: m.decoder.pop(1), "decoder"),
    "an activation replaced": (
        lambda m: m.encoder.__setitem__(1, nn.Tanh()),
        "encoder.1 is .*Tanh, and would be .*ReLU",
    ),
    "an activation's function replaced": (patch, "networks give one output, and would give another"),
    "a hook": (hook, "networks give one output, and would give another"),
    "likelihood replaced": (
        lambda m: setattr(m, "likelihood", normal(-2.0)),
        r"likelihood is normal\(log_var=-2.0\), and",
    ),
    "own likelihood": (lambda m: setattr(m, "likelihood", m.likelihood._replace(mean=abs)), "likelihood is"),
    "prior replaced": (
        lambda m: setattr(m, "prior", Gaussian(2)),
        "prior is .*Gaussian, and would be .*StandardNormal",
    ),
    "latent_dim": (lambda m: setattr(m, "latent_dim", 3), "latent_dim is 3, and would be 2"),
    "weight norm": (
        lambda m: nn.utils.parametrizations.weight_norm(m.encoder[0]),
        "encoder.0 is .*, and would be .*Linear",
    ),
    "a buffer more": (lambda m: m.register_buffer("extra", torch.zeros(2)), "buffer extra is there, and would be gone"),
    "a buffer more that is not kept": (transient, "buffer extra is there, and would be gone"),
    "a compiled encoder": (
        lambda m: setattr(m, "encoder", torch.compile(m.encoder)),
        "encoder is .*, and would be .*Sequential",
    ),
    "a layer resized": (resize, "decoder.2.out_features is 6, and would be 5"),
    "tied weights": (tie, "encoder.0.bias|decoder.0.bias is one with another, and would be by itself"),
    "own class of model": (lambda m: setattr(m, "__class__", MyVAE), "class is .*MyVAE, and would be .*VAE"),
}


@pytest.mark.parametrize("change, message", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile, where it has some
def test_a_changed_model_is_not_saved(tmp_path, change, message):
    save(mlp_vae(5, 7, 2, normal(0.0), seed=3), tmp_path / "model")
    before = (tmp_path / "model").read_bytes()
    with pytest.raises(CheckpointError, match=f"(?s)^the model .*{message}.*; of your own, keep model.state_dict"):
        save(changed(change), tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == before


REFUSED_ACTIVATIONS = {
    "own class, named as one of PyTorch's": (GELU, "GELU, and would be torch.nn.modules.activation.GELU"),
    "a partial": (partial(nn.LeakyReLU, 0.2), "not JSON serializable"),
    "a module of another kind": (nn.Dropout, "cannot build is described"),
    "another argument": (nn.LeakyReLU, "encoder.1.negative_slope is 0.2, and would be 0.01"),
}


@pytest.mark.parametrize("activation, message", REFUSED_ACTIVATIONS.values(), ids=REFUSED_ACTIVATIONS.keys())
def test_an_activation_that_would_be_another_is_not_saved(tmp_path, activation, message):
    model = changed(more_slope if activation is nn.LeakyReLU else id, activation=activation)
    with pytest.raises(CheckpointError, match=f"(?s)^the model .*{message}.*; of your own, keep model.state_dict"):
        save(model, tmp_path / "model")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_of_the_list_comes_back(tmp_path, name):
    model = mlp_vae(5, 7, 2, bernoulli, seed=3, activation=ACTIVATIONS[name])
    save(model, tmp_path / "model")
    again, x = load(tmp_path / "model"), torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    assert type(again.encoder[1]) is getattr(nn, name)
    assert all(map(torch.equal, model.eval().encode(x), again.encode(x)))


def test_every_likelihood_prior_and_posterior_of_the_package_is_on_the_list():
    from vae_tutorial import categorical, likelihoods, posteriors, priors, vq

    own = {*likelihoods.__all__} - {"Likelihood", "Sampler", "SharedLogVar", "mark_missing"}
    assert PARTS["likelihood"] == {name: getattr(likelihoods, name) for name in own}
    for part, module, base in (("prior", priors, priors.Prior), ("posterior", posteriors, posteriors.Posterior)):
        named = vars(module) | vars(categorical) | vars(vq)
        classes = {name: kind for name, kind in named.items() if isinstance(kind, type) and issubclass(kind, base)}
        of_ones_own = (base, posteriors.Flowed)  # the latter holds a flow, which may be anybody's
        assert PARTS[part] == {name: kind for name, kind in classes.items() if kind not in of_ones_own}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_copies_and_pickled_models_are_saved(tmp_path, make):
    model = make()
    save(model, tmp_path / "model")
    copies = [copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))]
    torch.save(model, tmp_path / "whole.pt")
    copies.append(torch.load(tmp_path / "whole.pt", weights_only=False))
    for number, again in enumerate(copies):
        save(again, tmp_path / str(number))
        assert same_bits(model.state_dict(), load(tmp_path / str(number)).state_dict())


def test_one_activation_in_two_places_is_saved(tmp_path):
    save(changed(lambda m: m.decoder.__setitem__(1, m.encoder[1])), tmp_path / "model")
    assert len(load(tmp_path / "model").decoder) == 3


def test_saving_changes_nothing(tmp_path):
    model = mlp_vae(5, 7, 2, bernoulli, seed=3, activation=nn.RReLU)  # which draws while it is trained
    model.encoder.eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    modes = [module.training for module in model.modules()]
    save(model, tmp_path / "model")
    assert torch.equal(state, torch.get_rng_state()) and same_bits(before, model.state_dict())
    assert [module.training for module in model.modules()] == modes and {*modes} == {True, False}
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_a_model_of_any_precision_is_saved(tmp_path, dtype):
    model = conv_vae((8, 8), 2, bernoulli, seed=0, prior=Mixture(2, 3, seed=1)).to(dtype)
    model.prior.float()
    save(model, tmp_path / "model")
    assert same_bits(model.state_dict(), load(tmp_path / "model").state_dict())


def test_what_overflows_is_saved_too(tmp_path):
    model = mlp_vae(5, (7, 7, 7), 2, bernoulli, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1e30
    save(model, tmp_path / "model")
    assert same_bits(model.state_dict(), load(tmp_path / "model").state_dict())


def test_a_loaded_model_can_be_saved_again_as_the_same_file(tmp_path):
    save(mlp_vae(5, 7, 2, normal(-1.5), seed=3, prior=Gaussian(2)), tmp_path / "first")
    save(load(tmp_path / "first"), tmp_path / "second")
    assert read(tmp_path / "first")[1] == read(tmp_path / "second")[1]


def test_there_is_no_pickle_anywhere():
    """But for a model on its way from the one who grades to the child that has a student's function, never back."""
    handed_over = {Path("grade/proxy.py"), Path("grade/evaluator.py")}
    folder = Path(vae_tutorial.__file__).parent
    for path in folder.rglob("*.py"):
        if path.relative_to(folder) in handed_over:
            continue
        assert not re.search(
            r"import pickle|allow_pickle=True|(?<!safetensors\.)torch\.(save|load)\b|shelve|marshal|joblib",
            path.read_text("utf-8"),
        ), path
