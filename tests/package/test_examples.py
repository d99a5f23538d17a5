"""What `fit` and `evaluate` take as examples: whatever they come as, the same examples give the same bits."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from vae_tutorial.bounds import ElboTerms, elbo, elbo_terms
from vae_tutorial.checkpoints import CheckpointError
from vae_tutorial.likelihoods import bernoulli, normal, normal_diag
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.training import evaluate, fit, take_step

N, D, L = 70, 3, 2
X = torch.randn(N, D, generator=torch.Generator().manual_seed(0))
X_VAL = torch.randn(30, D, generator=torch.Generator().manual_seed(1))
Y = torch.arange(N) % 3
HOW = dict(epochs=3, seed=5, batch_size=16, lr=0.01, progress=False)  # 70 = 4 · 16 + 6: the last one is ragged


class Own(Dataset):
    """The rows of a tensor, one at a time, and nothing else: no tensor to get hold of."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i].clone()


def mapped(folder, x, mode="r"):
    np.save(folder / "x.npy", x.numpy())
    return np.load(folder / "x.npy", mmap_mode=mode)


FORMS = {
    "NumPy array": lambda x, folder: x.numpy().copy(),
    "array that nobody may write to": lambda x, folder: np.broadcast_to(x.numpy()[None], (1, *x.shape))[0],
    "array that lies backwards": lambda x, folder: x.numpy()[::-1].copy()[::-1],
    "file mapped into memory": lambda x, folder: mapped(folder, x),
    "file mapped into memory to write": lambda x, folder: mapped(folder, x, "r+"),
    "tuple of one": lambda x, folder: (x,),
    "TensorDataset": lambda x, folder: TensorDataset(x),
    "Dataset of one's own": lambda x, folder: Own(x),
}


def trained(x, x_val=None, **how):
    model = mlp_vae(D, 6, L, normal(0.0), seed=0)
    history = fit(model, x, x_val, **{**HOW, **how})
    return model, history


def same(one, other):
    (model, history), (again, its_history) = one, other
    assert all(map(torch.equal, model.parameters(), again.parameters()))
    assert (history.elbo, history.kl, history.val_elbo) == (its_history.elbo, its_history.kl, its_history.val_elbo)
    assert len(history.val_elbo) == HOW["epochs"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_the_same_examples_give_the_same_bits_whatever_they_come_as(form, tmp_path):
    (tmp_path / "val").mkdir()
    same(trained(form(X, tmp_path), form(X_VAL, tmp_path / "val")), trained(X, X_VAL))
    model = mlp_vae(D, 6, L, normal(0.0), seed=0)
    assert evaluate(model, form(X_VAL, tmp_path / "val"), seed=3) == evaluate(model, X_VAL, seed=3)


def test_the_examples_are_left_as_they_were(tmp_path):
    x, array = X.clone(), mapped(tmp_path, X, "r+")
    trained(x)
    trained(array)
    assert torch.equal(x, X) and np.array_equal(array, X.numpy())


def by_class(model, x, y, n_samples, *, generator):
    """An objective with a second part: only examples of class 1 count."""
    terms = elbo_terms(model, x, n_samples, generator=generator)
    count = (y == 1).to(x.dtype)
    return ElboTerms(terms.log_likelihood * count, terms.kl * count)


@pytest.mark.parametrize("form", ["tuple of tensors", "tuple with an array", "TensorDataset"])
def test_what_comes_with_x_reaches_the_objective_in_its_row(form):
    data = {
        "tuple of tensors": (X, Y),
        "tuple with an array": (X.numpy().copy(), Y.numpy()),
        "TensorDataset": TensorDataset(X, Y),
    }[form]
    seen = []

    def watching(model, x, y, n_samples, *, generator):
        seen.append((x, y))
        return by_class(model, x, y, n_samples, generator=generator)

    _, history = trained(data, objective=watching, epochs=1)
    x, y = (torch.cat(part) for part in zip(*seen, strict=True))
    assert y.dtype == torch.int64 and sorted(map(tuple, x.tolist())) == sorted(map(tuple, X.tolist()))
    for row, label in zip(x, y, strict=True):
        assert Y[(X == row).all(1)].item() == label
    assert math.isfinite(history.elbo[0])


def test_evaluate_weighs_every_example_alike():
    model = mlp_vae(D, 6, L, normal(0.0), seed=0)
    parts = [evaluate(model, (X, Y), seed=3, objective=by_class, batch_size=size) for size in (N, 16)]
    assert parts[0] == pytest.approx(parts[1], abs=0.1) and parts[0] != parts[1]  # other noise, the same average


def test_memory_mapped_files_are_read_by_the_row(tmp_path, monkeypatch):
    array, asked = mapped(tmp_path, X), []

    class Watched(np.memmap):
        def __getitem__(self, rows):
            asked.append(rows)
            return np.asarray(super().__getitem__(rows))

    trained(array.view(Watched), epochs=1)
    assert max(len(rows) for rows in asked if isinstance(rows, np.ndarray)) == 16


def test_a_resumed_run_knows_its_data_again(tmp_path):
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    for name, data, other in (
        ("file", mapped(tmp_path / "one", X), mapped(tmp_path / "other", 2 * X)),
        ("dataset", Own(X), Own(X + 1)),
        ("tuple", (X, Y), (X, 2 - Y)),
    ):
        objective = by_class if name == "tuple" else elbo_terms
        how = dict(checkpoint=tmp_path / name, objective=objective)
        trained(data, epochs=1, **how)
        with pytest.raises(CheckpointError, match="x_train"):
            trained(other, epochs=2, resume=True, **how)
        model, history = trained(data, epochs=3, resume=True, **how)
        straight, its_history = trained(data, epochs=3, objective=objective)
        assert history.elbo == its_history.elbo
        assert all(map(torch.equal, model.parameters(), straight.parameters()))


class Endless(IterableDataset):
    def __iter__(self):
        yield from X


@pytest.mark.parametrize(
    "data, error, message",
    [
        (
            [[0.0, 1.0]],
            TypeError,
            r"x_train must be a torch.Tensor, a NumPy array or a torch.utils.data.Dataset, got list",
        ),
        (Endless(), TypeError, "x_train must have a length, Endless has none"),
        (X.double().numpy().astype("f8").astype(">f4"), TypeError, r"got >f4; convert it with .astype\(np.float32\)"),
        (np.zeros((4, 3), dtype=np.uint8), TypeError, r"got uint8; convert it with .astype\(np.float32\)"),
        (np.zeros((4, 1, 3), dtype=np.float32), ValueError, r"x_train must have shape \(N, D\).*got \(4, 1, 3\)"),
        (np.zeros((0, 3), dtype=np.float32), ValueError, r"x_train must have shape \(N, D\).*got \(0, 3\)"),
        (np.full((4, 3), np.nan, dtype=np.float32), ValueError, "x_train must be finite, got 12 NaN"),
        (Own(torch.zeros(4, 1, 3)), ValueError, r"x_train\[0:1\] must have shape \(B, D\)"),
        (Own(torch.zeros(4, 3, dtype=torch.uint8)), TypeError, r"x_train\[0:1\] must hold floating-point numbers"),
        ((X, Y[:5]), ValueError, r"x_train\[1\] must hold 70 examples, as x_train\[0\], got \(5,\)"),
        ((X, torch.tensor(1.0)), ValueError, r"x_train\[1\] must hold 70 examples"),
        ((X, "y"), TypeError, r"x_train\[1\] must be a torch.Tensor, a NumPy array"),
        ((X, Y), TypeError, "x_train has 2 parts.*give x alone"),
        (TensorDataset(X, Y), TypeError, "x_train has 2 parts.*give x alone"),
        (X.double(), ValueError, r"torch.float64 does not fit the network.*convert it with x.to\(torch.float32\)"),
    ],
)
def test_what_is_no_set_of_examples_is_refused_with_the_remedy(data, error, message):
    with pytest.raises(error, match=message):
        trained(data)


def test_parts_of_validation_are_those_of_training():
    with pytest.raises(TypeError, match="x_val must have as many parts as x_train, 2, got 1"):
        trained((X, Y), X_VAL, objective=by_class)
    with pytest.raises(ValueError, match=r"x_val must have the 3 columns of x_train, got \(30, 2\)"):
        trained(X, X_VAL[:, :2])


def test_a_value_of_a_file_that_is_not_finite_is_named_with_its_batch(tmp_path):
    x = X.clone()
    x[40, 1] = math.nan
    with pytest.raises(ValueError, match=r"epoch 1, batch \d: x must be finite, got 1 NaN"):
        trained(mapped(tmp_path, x))


# A log of one's own


def test_a_callback_sees_every_epoch_once_it_is_over(tmp_path):
    seen = []
    _, history = trained(X, X_VAL, callback=lambda history: seen.append((len(history.elbo), history.val_elbo[-1])))
    assert seen == [(i + 1, value) for i, value in enumerate(history.val_elbo)]
    with open(tmp_path / "log.csv", "w") as log:
        trained(X, callback=lambda history: print(history.elbo[-1], file=log))
    assert len((tmp_path / "log.csv").read_text().split()) == HOW["epochs"]


def test_what_a_callback_raises_ends_training_after_that_epoch(tmp_path):
    def stop(history):
        if len(history.elbo) == 2:
            raise RuntimeError("enough")

    how = dict(checkpoint=tmp_path / "run")
    with pytest.raises(RuntimeError, match="enough"):
        trained(X, callback=stop, **how)
    same(trained(X, X_VAL), trained(X, X_VAL))
    _, history = trained(X, resume=True, **how)
    assert len(history.elbo) == 3 and history.elbo == trained(X)[1].elbo


# One step, and decoders that are images


def test_algorithm_1_by_hand_is_what_fit_does():
    model, _ = trained(X, epochs=1)
    again = mlp_vae(D, 6, L, normal(0.0), seed=0)
    optimizer = torch.optim.Adam(again.parameters(), lr=0.01, fused=True)
    generator = torch.Generator().manual_seed(5)
    for rows in torch.randperm(N, generator=generator).split(16):
        take_step(again, optimizer, X[rows], generator=generator)
    assert all(map(torch.equal, model.parameters(), again.parameters()))


def test_a_step_gives_both_terms_summed():
    model = mlp_vae(D, 6, L, normal(0.0), seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    sums = take_step(model, optimizer, X, generator=torch.Generator().manual_seed(1), n_samples=3)
    terms = elbo_terms(model, X, 3, generator=torch.Generator().manual_seed(1))
    assert sums == [terms.log_likelihood.sum().item(), terms.kl.sum().item()]


class ImageDecoder(nn.Module):
    """Knows rows only, and would mix samples with examples if it were given both."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(L, 16), nn.BatchNorm1d(16), nn.Unflatten(1, (4, 2, 2)), nn.Conv2d(4, 3, 1)
        )

    def forward(self, z):
        assert z.ndim == 2
        return self.layers(z).flatten(1)


@pytest.mark.parametrize("likelihood, x_dim", [(bernoulli, 12), (normal_diag, 6)])
def test_a_decoder_sees_rows_whatever_the_axes_of_z(likelihood, x_dim):
    model = VAE(nn.Linear(x_dim, 2 * L), ImageDecoder(), L, likelihood).eval()
    z = torch.randn(5, 4, L, generator=torch.Generator().manual_seed(2))
    x = (torch.rand(4, x_dim, generator=torch.Generator().manual_seed(3)) < 0.5).float()
    assert model.decode(z).shape == (5, 4, 12) and model.decode(z[0, 0]).shape == (12,)
    by_sample = torch.stack([model.log_likelihood(x, z[k]) for k in range(5)])
    torch.testing.assert_close(model.log_likelihood(x, z), by_sample, rtol=1e-5, atol=1e-5)
    history = fit(model, x, epochs=2, seed=0, batch_size=2, n_samples=3, progress=False)
    assert len(history.elbo) == 2 and elbo(model, x, 7).shape == (4,)


def test_a_decoder_that_gives_no_rows_is_told_how_to():
    model = VAE(nn.Linear(D, 2 * L), nn.Sequential(nn.Linear(L, D), nn.Unflatten(1, (1, D))), L, normal(0.0))
    with pytest.raises(ValueError, match=r"one flat row of parameters for each of the 12 rows.*nn.Flatten\(\)"):
        model.decode(torch.zeros(3, 4, L))


def test_a_decoder_without_parameters_samples_in_the_dtype_of_the_encoder():
    model = VAE(nn.Linear(D, 2 * L, dtype=torch.float64), nn.Identity(), L, normal(0.0))
    assert model.sample(4).dtype == torch.float64
    assert VAE(nn.Identity(), nn.Identity(), L, normal(0.0)).sample(4).dtype == torch.get_default_dtype()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own parts, when the compiler is loaded
@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler: torch.compile needs one")
def test_a_compiled_run_ends_where_the_other_ends():
    whole = dict(epochs=2, batch_size=35)  # every minibatch has one size: one graph
    plain, compiled = trained(X, X_VAL, **whole), trained(X, X_VAL, compile=True, **whole)
    assert compiled[1].elbo == pytest.approx(plain[1].elbo, abs=1e-4)
    for one, other in zip(plain[0].parameters(), compiled[0].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_what_cannot_be_compiled_is_refused():
    with pytest.raises(TypeError, match=r"compile needs an objective that takes its noise.*objective\(…, eps=…\)"):
        trained((X, Y), objective=by_class, compile=True)
    with pytest.raises(ValueError, match="compile and bfloat16 exclude each other"):
        trained(X, compile=True, bfloat16=True)


# More data than memory


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone limits private memory by RLIMIT_DATA")
@pytest.mark.parametrize("form", ["mapped", "copy"])
def test_a_file_of_fifty_times_the_memory_is_trained_on_measured_and_known_again(tmp_path, form):
    memory = 16  # MiB on top of what Python and PyTorch have taken
    path = tmp_path / "x.npy"
    # Of zeros: the file system stores none of them, and they are read all the same.
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(50 * memory * 2**20 // 1600 + 1, 400))
    script = Path(__file__).parents[2] / "benchmarks" / "larger_than_memory.py"
    done = subprocess.run(
        [sys.executable, script, path, str(memory), form], capture_output=True, text=True, check=False
    )
    if form == "copy":
        assert done.returncode != 0 and "MemoryError" in done.stderr
    else:
        assert done.returncode == 0 and "800.0 MiB of data, 16 MiB of memory" in done.stdout, done.stderr
