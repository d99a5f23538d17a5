"""`fit` in several processes, started as torchrun starts them: they train as one does, lose nothing, stop together."""

import os
import random
import re
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from ranks import Launcher
from torch import nn
from torch.utils.data import Dataset

from vae_tutorial.bounds import ElboTerms, elbo_terms, iwae_terms
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.training import distributed, fit
from vae_tutorial.training.launch import join

pytestmark = pytest.mark.skipif(os.name == "nt" or not dist.is_gloo_available(), reason="no fork, or no gloo")
N, D, L = 45, 6, 2  # three minibatches of 16, 16 and 13 examples: uneven over 2 and 4 ranks
X = (torch.rand(N, D, generator=torch.Generator().manual_seed(0)) > 0.4).float()
X_VAL = (torch.rand(21, D, generator=torch.Generator().manual_seed(1)) > 0.4).float()


@pytest.fixture(scope="module")
def launch():
    launcher = Launcher("test_distributed")
    yield launcher
    launcher.close()


def small_vae(seed=0):
    return mlp_vae(D, (16, 8), L, bernoulli, seed=seed)


def train(model, x=X, x_val=X_VAL, **how):
    how = dict(epochs=2, seed=5, batch_size=16, device="cpu", progress=False, lr=0.01) | how
    return fit(model, x, x_val, **how)


def numbers(tensors):
    return [value.double().flatten().tolist() for value in tensors]


def told(model, history):
    """What a run leaves, without its times."""
    columns = {name: values for name, values in asdict(history).items() if name != "seconds"}
    columns |= {"elbo": history.elbo, "val_elbo": history.val_elbo}
    return {"weights": numbers(model.state_dict().values()), "history": columns}


def refusal(call):
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was raised"


def largest_gap(a, b):
    gaps = [abs(x - y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)]
    return max(gaps)


# The same as one process


def one_gradient(n, dtype):
    model = small_vae().to(getattr(torch, dtype))
    x = X[:n].to(getattr(torch, dtype))
    fit(model, x, epochs=1, seed=3, batch_size=n, n_samples=3, device="cpu", progress=False)
    return numbers(parameter.grad for parameter in model.parameters())


@pytest.mark.parametrize("n_ranks", [2, 4])
@pytest.mark.parametrize("n", [16, 13, 5])
def test_the_gradient_is_that_of_one_process(launch, n_ranks, n):
    for dtype, within in {"float32": 1e-6, "float64": 1e-14}.items():
        alone, ranks = one_gradient(n, dtype), launch(one_gradient, n_ranks, n, dtype)
        assert max(abs(value) for values in alone for value in values) > 0.05
        for gradient in ranks:
            assert largest_gap(gradient, alone) < within
            assert gradient == ranks[0]


HOWS = {
    "plain": dict(),
    "everything": dict(average=0.9, max_grad_norm=0.5, patience=1, n_samples=3, epochs=3),
    "compiled": dict(compile=True),
    "a rank without rows": dict(x=X[:34]),  # of the last minibatch, which has two for four ranks
    "terms that share a graph": dict(objective=iwae_terms, n_samples=3),
}


def whole_run(name):
    if HOWS[name].get("compile"):
        torch.compile = partial_eager
    model = small_vae(seed=int(os.environ.get("RANK", 0)))  # all start with what rank 0 has
    return told(model, train(model, **HOWS[name]))


def partial_eager(function, compile=torch.compile):
    return compile(function, backend="eager")  # dynamo's graph, without a compiler of C++


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own parts, when the compiler is loaded
@pytest.mark.parametrize(
    "name, n_ranks",
    [
        ("plain", 2),
        ("plain", 4),
        ("everything", 4),
        ("compiled", 2),
        ("a rank without rows", 4),
        ("terms that share a graph", 2),
        ("terms that share a graph", 4),
    ],
)
def test_an_epoch_is_that_of_one_process(launch, monkeypatch, n_ranks, name):
    monkeypatch.setattr(torch, "compile", torch.compile)  # put back afterwards
    alone, ranks = whole_run(name), launch(whole_run, n_ranks, name)
    assert all(rank == ranks[0] for rank in ranks)
    for column in ("elbo", "log_likelihood", "kl", "val_elbo"):
        assert ranks[0]["history"][column] == pytest.approx(alone["history"][column], abs=1e-4)
    assert largest_gap(ranks[0]["weights"], alone["weights"]) < 1e-4


# Shares and noise


class Noting:
    """An objective that keeps the rows and the noise it was given, or that it drew for itself."""

    def __init__(self):
        self.rows, self.noise = [], []

    def given(self, model, x, n_samples, *, eps=None, generator=None):
        if eps is None:
            eps = torch.randn(n_samples, len(x), L, generator=generator)
        if model.training:
            self.rows.append(x[:, 0].tolist())
            self.noise.append(eps[0].tolist())
        return elbo_terms(model, x, eps=eps)

    def drawn(self, model, x, n_samples, *, generator):
        return self.given(model, x, n_samples, generator=generator)


def marked_rows():
    """Examples of which no two begin alike."""
    return torch.arange(N * D, dtype=torch.float32).reshape(N, D) / (N * D)


def seen(how):
    noting = Noting()
    model = mlp_vae(D, 8, L, normal(0.0), seed=0)
    train(model, marked_rows(), None, objective=getattr(noting, how), epochs=1)
    return [noting.rows, noting.noise]


def test_shares_make_up_the_minibatch_in_its_order_and_so_does_their_noise(launch):
    (rows, noise), ranks = seen("given"), launch(seen, 3, "given")
    for batch in range(3):
        assert sum((rank_rows[batch] for rank_rows, _ in ranks), []) == rows[batch]
        assert sum((rank_noise[batch] for _, rank_noise in ranks), []) == noise[batch]
        lengths = [len(rank_rows[batch]) for rank_rows, _ in ranks]
        assert max(lengths) - min(lengths) <= 1


def test_an_objective_that_draws_for_itself_draws_other_noise_on_each_rank_and_at_each_step(launch):
    ranks = launch(seen, 3, "drawn")
    draws = [tuple(row) for _, noise in ranks for batch in noise for row in batch]
    assert len(set(draws)) == len(draws) == N
    assert sorted(value for rows, _ in ranks for batch in rows for value in batch) == marked_rows()[:, 0].tolist()


# Workers that are killed


class Killer:
    """Kills this process at moments of a list, each of them once in all the attempts of an elastic run.

    A moment is a rank, a number of steps since the process has started, and where in that step.
    """

    def __init__(self, folder, moments):
        n_done = len(list(folder.glob("kill-*")))
        self.moment = moments[n_done] if n_done < len(moments) else None
        self.mark, self.rank, self.n_steps = (
            folder / f"kill-{n_done}",
            dist.get_rank() if dist.is_initialized() else 0,
            0,
        )

    def kill_at(self, where):
        if self.moment == [self.rank, self.n_steps, where]:
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


KILLER = None  # a global, which is no part of what a checkpoint knows an objective by


def deadly(model, x, n_samples, *, eps=None, generator=None):
    terms = elbo_terms(model, x, n_samples, eps=eps, generator=generator)
    if model.training:
        KILLER.n_steps += 1
        KILLER.kill_at("objective")
        terms.kl.register_hook(lambda gradient: KILLER.kill_at("gradient"))  # while others wait for this one's
    return terms


def elastic(folder, moments):
    global KILLER
    replace = os.replace

    def deadly_replace(*paths):
        KILLER.kill_at("before the file has its name")
        replace(*paths)
        KILLER.kill_at("after the file has its name")

    join()
    KILLER, os.replace = Killer(Path(folder), moments), deadly_replace
    model = small_vae()
    how = dict(epochs=6, average=0.9, checkpoint=Path(folder) / "run", resume=True, lr=lambda step: 0.01 / (1 + step))
    return told(model, train(model, objective=deadly, **how)) | {"n_kills": len(list(Path(folder).glob("kill-*")))}


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_a_run_whose_workers_are_killed_ten_times_ends_with_the_bits_of_an_undisturbed_one(launch, tmp_path, n_ranks):
    random_number = random.Random(n_ranks)
    moments = [
        [random_number.randrange(n_ranks), random_number.randint(1, 5), random_number.choice(["objective", "gradient"])]
        for _ in range(8)
    ]
    moments += [[0, 3, "before the file has its name"], [0, 3, "after the file has its name"]]
    random_number.shuffle(moments)
    (tmp_path / "undisturbed").mkdir()
    (tmp_path / "disturbed").mkdir()
    undisturbed = launch(elastic, n_ranks, str(tmp_path / "undisturbed"), [])
    disturbed = launch(elastic, n_ranks, str(tmp_path / "disturbed"), moments, max_restarts=10)
    assert [rank.pop("n_kills") for rank in undisturbed + disturbed] == n_ranks * [0] + n_ranks * [10]
    assert disturbed == undisturbed


SCRIPT = """
import os, signal, torch
from vae_tutorial import fit, mlp_vae
from vae_tutorial.likelihoods import bernoulli

def stop(history):
    if len(history.elbo) == 1 and os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0":
        os.kill(os.getpid(), signal.SIGKILL)

x = (torch.rand(45, 6, generator=torch.Generator().manual_seed(0)) > 0.4).float()
model = mlp_vae(6, (16, 8), 2, bernoulli, seed=0)
how = dict(epochs=2, seed=5, batch_size=16, lr=0.01, device="cpu", checkpoint="run", resume=True)
history = fit(model, x, callback=stop, **how)
print(f"<{history.elbo!r}>", flush=True)
"""


def test_torchrun_starts_and_restarts_a_script(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*command, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    elbos = [text.partition(">")[0] for text in done.stdout.split("<")[1:]]
    alone = train(small_vae(), x_val=None).elbo
    assert len(elbos) == 2 and elbos[0] == elbos[1]
    assert [float(value) for value in elbos[0][1:-1].split(",")] == pytest.approx(alone, abs=1e-4)
    assert done.stderr.count("epoch/s") + done.stderr.count("s/epoch") > 0


# What goes wrong on one rank stops all


def not_finite_on_rank_1(model, x, n_samples, *, eps=None, generator=None):
    log_likelihood, kl = elbo_terms(model, x, n_samples, eps=eps, generator=generator)
    KILLER["steps"] += model.training
    bad = dist.get_rank() == 1 and KILLER["steps"] == 5
    return ElboTerms(log_likelihood * float("nan") if bad else log_likelihood, kl)


class FailsOnRank1(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, i):
        if dist.get_rank() == 1 and i == 7 and KILLER["armed"]:
            raise OSError("cannot read example 7")
        return X[i]


def stopping(what, folder):
    global KILLER
    join()
    KILLER = {"steps": 0, "armed": False}
    model, how = small_vae(), {}
    if what == "term":
        how = dict(objective=not_finite_on_rank_1)
    if what == "example":
        how = dict(x=FailsOnRank1(), objective=armed)
    if what == "callback":
        how = dict(callback=lambda history: 1 / 0)
    if what == "disk":
        how = dict(checkpoint=Path(folder) / "run", callback=lambda history: Path(folder, "run").unlink())
        os.replace = refuse
    if what == "validation":
        x_val = X_VAL.clone()
        x_val[2, 0] = 0.5 if what else 0
        how = dict(x_val=x_val)
    message = refusal(lambda: train(model, **how))
    return [message, numbers(model.parameters())]


def armed(model, x, n_samples, *, eps=None, generator=None):
    KILLER["armed"] = True
    return elbo_terms(model, x, n_samples, eps=eps, generator=generator)


def refuse(*_):
    raise OSError(28, "No space left on device")


STOPS = {
    "term": (1, "epoch 2, batch 2: ", "log_likelihood is not finite"),
    "example": (1, "", "cannot read example 7"),
    "callback": (0, "", "division by zero"),
    "disk": (0, "", "No space left"),
    "validation": (0, "epoch 1, validation: ", "hold only 0 and 1"),
}


@pytest.mark.parametrize("what", STOPS)
def test_what_stops_one_rank_stops_all_at_the_same_step(launch, tmp_path, what):
    source, where, message = STOPS[what]
    ranks = launch(stopping, 3, what, str(tmp_path))
    for rank, (raised, weights) in enumerate(ranks):
        assert where in raised and message in raised and (f"rank {source}: " in raised) == (rank != source), raised
        assert weights == ranks[0][1]


def interrupted(how):
    join()
    before = signal.getsignal(signal.SIGINT)

    def at_fifth_step(model, x, n_samples, *, eps=None, generator=None):
        KILLER["steps"] += model.training
        if how == "Ctrl-C" and dist.get_rank() == 1 and KILLER["steps"] == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return elbo_terms(model, x, n_samples, eps=eps, generator=generator)

    global KILLER
    KILLER = {"steps": 0}
    model = small_vae()
    history = train(model, objective=at_fifth_step, callback=stop_it if how == "callback" else None)
    return [told(model, history), KILLER["steps"], signal.getsignal(signal.SIGINT) == before]


def stop_it(history):
    raise KeyboardInterrupt


@pytest.mark.parametrize("how, n_expected", [("Ctrl-C", 5), ("callback", 3)])
def test_an_interrupt_of_one_rank_ends_all_at_the_same_step_and_fit_returns(launch, how, n_expected):
    ranks = launch(interrupted, 3, how)
    assert all(rank == ranks[0] for rank in ranks)
    left, n_steps, signal_is_back = ranks[0]
    assert (
        left["history"]["interrupted"]
        and len(left["history"]["elbo"]) == 1
        and n_steps == n_expected
        and signal_is_back
    )


# Wrong use


def with_batch_statistics():
    encoder = nn.Sequential(nn.Linear(D, 8), nn.BatchNorm1d(8), nn.Linear(8, 2 * L))
    return VAE(encoder, nn.Linear(L, D), L, bernoulli)


def misused(what, folder):
    join()
    rank = dist.get_rank()
    model, how = small_vae(), {}
    if what == "batch size":
        how = dict(batch_size=2)
    if what == "too few examples":
        how = dict(x=X[:2])
    if what == "own shards":
        how = dict(x=X[15 * rank : 15 * rank + 15])
    if what == "shards of one Dataset":
        how = dict(x=torch.utils.data.TensorDataset(X[15 * rank : 15 * rank + 15]))
    if what == "validation set":
        how = dict(x_val=X_VAL.flip(0) if rank else X_VAL)
    if what == "seed":
        how = dict(seed=rank)
    if what == "epochs":
        how = dict(epochs=1 + rank)
    if what == "learning rate":
        how = dict(lr=lambda step: 0.01 * (1 + rank))
    if what == "weight of the KL":
        how = dict(beta=1.0 + rank)
    if what == "objective":
        how = dict(objective=iwae_terms if rank else elbo_terms)
    if what == "bfloat16":
        how = dict(bfloat16=rank == 2)
    if what == "model":
        model = mlp_vae(D, 16 + rank, L, bernoulli, seed=0)
    if what == "batch statistics":
        model = with_batch_statistics()
    if what == "checkpoint of one machine alone":
        path = Path(folder) / "run"
        train(model, checkpoint=path, epochs=1)
        how = dict(checkpoint=path if rank < 2 else Path(folder) / "elsewhere", resume=True)
    before = numbers(model.parameters())
    message = refusal(lambda: train(model, **how))
    return [message, numbers(model.parameters()) == before]


MISUSES = {
    "batch size": "ValueError: .*batch_size must give each of the 3 ranks an example, got 2: .*fewer processes",
    "too few examples": "ValueError: .*x_train must give each of the 3 ranks an example, got 2",
    "own shards": "ValueError: x_train differs between ranks, .* on 0 and .* on 1: load all of the data on every rank",
    "shards of one Dataset": "ValueError: x_train differs between ranks, .*: load all of the data on every rank",
    "validation set": "ValueError: x_val differs between ranks",
    "seed": "ValueError: seed differs between ranks, 0 on 0 and 1 on 1: give all ranks one",
    "epochs": "ValueError: epochs differs between ranks, 1 on 0 and 2 on 1",
    "learning rate": "ValueError: epoch 1, batch 1: lr differs between ranks, 0.01 on 0 and 0.02 on 1: call fit",
    "weight of the KL": "ValueError: epoch 1, batch 1: beta differs between ranks, 1.0 on 0 and 2.0 on 1",
    "objective": "ValueError: objective differs between ranks, .*elbo_terms.* on 0 and .*iwae_terms.* on 1",
    "bfloat16": "ValueError: bfloat16 differs between ranks, False on 0 and True on 2",
    "model": "ValueError: .*encoder.* differs between ranks",
    "batch statistics": "ValueError: .*encoder.1 is a BatchNorm1d.*GroupNorm or LayerNorm.*convert_sync_batchnorm",
    "checkpoint of one machine alone": r"CheckpointError: .*read \[3, 3, 0\] steps: put it on a disk that all",
}


@pytest.mark.parametrize("what", MISUSES)
def test_wrong_use_is_refused_on_every_rank_with_the_remedy(launch, tmp_path, what):
    for message, is_untouched in launch(misused, 3, what, str(tmp_path)):
        assert re.match(MISUSES[what], message), message
        assert is_untouched


def test_processes_that_cannot_find_each_other_are_told_to_use_torchrun(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="WORLD_SIZE is 2, but RANK, MASTER_ADDR, MASTER_PORT is not .* torchrun"):
        train(small_vae())


def test_each_process_of_a_machine_takes_a_gpu_of_its_own_or_is_told_that_there_is_none(monkeypatch):
    ranks = object.__new__(distributed.Ranks)
    ranks.rank = 5
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert ranks.place(None) == ranks.place("cuda") == torch.device("cuda", 1)
    assert ranks.place("cpu") == torch.device("cpu") and ranks.place("cuda:0") == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(
        ValueError, match='process 3 of this machine has no GPU, there are 2: .*--nproc-per-node 2.*"cpu"'
    ):
        ranks.place(None)
    with pytest.raises(ValueError, match='several processes cannot share "mps".*"cpu"'):
        ranks.place("mps")
