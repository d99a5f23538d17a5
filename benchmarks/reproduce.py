"""Rows of Table 1 of Burda, Grosse and Salakhutdinov (2016), trained and measured again.

    .venv/bin/python benchmarks/reproduce.py                          # every one-layer row and budget, if not finished
    .venv/bin/python benchmarks/reproduce.py VAE-1 --budget full      # this one
    .venv/bin/python benchmarks/reproduce.py two-VAE-1 two-IWAE-5     # rows with two layers, which must be named
    .venv/bin/python benchmarks/reproduce.py --choose                 # the recipes that were compared

What is theirs, by their paper and their code (github.com/yburda/iwae): MNIST, black and white drawn anew from the gray
levels each time an image is shown, the test set drawn once; 784-200-200-50-200-200-784 with tanh, the last bias at the
logits of the mean training image when training starts; the objectives; -log p(x) by 5,000 samples of the encoder. With
two layers, by their code: 784-200-200-100 and 100-100-100-50 upwards, the same downwards.

What differs, stated openly. We train on all 60,000 images (theirs: 59,600), and draw the test set by PyTorch (theirs:
Theano's MRG_RandomStreams, seed 123), so it is another draw. We count active units over the 10,000 test images
(theirs: 500 training images), those of the upper layer at the mean of the lower one (theirs: at a draw). The KL of the
one-layer VAE rows is in closed form (theirs: by the same samples). Batches of 250
(theirs: 20), Adam with one cosine instead of eight constant learning rates, a KL term that is annealed, and so fewer
epochs (3,280). The recipe was chosen for one layer, on the last 5,000 training images (--choose); the test set is
measured once a row. What the paper reports of two layers is taken from a reproduction that quotes it (README of
github.com/nbip/IWAE, whose one-layer values are those of the paper); active units of two layers are not quoted there.

An interrupted run goes on where it was when the command is given again. Finished rows are written to
benchmarks/results/reproduce.json, checkpoints to the folder of --runs. Needs MNIST.
"""

import argparse
import json
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from objectives import binarized_elbo_terms, binarized_iwae_terms
from recording import ROOT, provenance, rows_of, store
from torch import Tensor, nn
from tqdm import tqdm

from vae_tutorial import checkpoints, datasets
from vae_tutorial.checkpoints.files import sha256
from vae_tutorial.evaluation import active_units, marginal_log_likelihood, unit_activity
from vae_tutorial.hierarchical import hierarchical_vae
from vae_tutorial.likelihoods import bernoulli
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.schedules import linear, warmup_cosine
from vae_tutorial.training import best_device, fit

RESULTS = Path(__file__).parent / "results" / "reproduce.json"
CHOICE = RESULTS.with_name("reproduce_choice.json")
N_VAL = 5000  # the last images of the training set, held out while a recipe is chosen
N_SAMPLES = 5000  # for -log p(x), as in the paper
SEED = 0  # of initial weights, order and noise
SEED_TEST = 3  # of the black-and-white test set
SEED_VAL = 2
SEED_NOISE = 4  # of the samples of -log p(x)
PIECE = 250  # test images measured between two saves
KEPT = 100  # test images whose own -log p(x) is recorded


class Row(NamedTuple):
    """A line of the table: how it is trained, for how long, and what the paper reports; None: we do not know it."""

    objective: str
    k: int
    nll: float
    active_units: int | None
    epochs: dict[str, int]  # by budget
    latent_dims: tuple[int, ...] = (50,)


ROWS = {
    "VAE-1": Row("VAE", 1, 86.76, 19, {"5 min": 90, "30 min": 540, "full": 1500}),
    "VAE-5": Row("VAE", 5, 86.47, 20, {"5 min": 36, "30 min": 220, "full": 600}),
    "IWAE-5": Row("IWAE", 5, 85.54, 22, {"5 min": 36, "30 min": 220, "full": 600}),
    "VAE-50": Row("VAE", 50, 86.35, 20, {"full": 600}),  # for a GPU
    "IWAE-50": Row("IWAE", 50, 84.78, 25, {"full": 600}),
}
TWO_LAYERS = {
    "two-VAE-1": Row("VAE", 1, 85.33, None, {"5 min": 55, "30 min": 330, "full": 1500}, (100, 50)),
    "two-IWAE-5": Row("IWAE", 5, 83.89, None, {"5 min": 25, "30 min": 150, "full": 600}, (100, 50)),
    "two-IWAE-50": Row("IWAE", 50, 82.90, None, {"full": 600}, (100, 50)),  # for a GPU
}
ALL = ROWS | TWO_LAYERS
RUNS = [f"{name}, {budget}" for name, row in ALL.items() for budget in row.epochs]


class Recipe(NamedTuple):
    """How a row is trained: Adam, its learning rate warmed up over 500 steps and then a cosine down to 0."""

    batch_size: int
    lr: float
    anneal: float  # the part of the steps over which the weight of the KL term rises from 0 to 1

    def __str__(self) -> str:
        annealed = f", KL annealed over {self.anneal:.0%} of the steps" if self.anneal else ""
        return f"batches of {self.batch_size}, Adam {self.lr:g}{annealed}"


RECIPE = Recipe(250, 5e-3, 0.05)
RECIPES = [  # compared on held-out images, by --choose
    Recipe(100, 1e-3, 0.0),
    Recipe(100, 3e-3, 0.0),
    Recipe(250, 4e-3, 0.0),
    Recipe(250, 8e-3, 0.0),
    Recipe(250, 8e-3, 0.15),
    Recipe(250, 5e-3, 0.15),
    RECIPE,
]


OBJECTIVES = dict(VAE=binarized_elbo_terms, IWAE=binarized_iwae_terms)


def new_model(x_train: Tensor, latent_dims: tuple[int, ...] = (50,)) -> VAE:
    """The paper's model; with z = 0 and no hidden layers it starts at the average image."""
    if len(latent_dims) == 1:
        model = mlp_vae(784, (200, 200), latent_dims[0], bernoulli, seed=SEED, activation=nn.Tanh)
    else:
        model = hierarchical_vae(784, [(200, 200), (100, 100)], latent_dims, bernoulli, seed=SEED)
    with torch.no_grad():
        model.decoder[-1].bias.copy_(torch.logit(x_train.mean(0).clamp(0.001, 0.999)))
    return model


def train(
    x_train: Tensor,
    objective: str,
    k: int,
    epochs: int,
    recipe: Recipe = RECIPE,
    latent_dims: tuple[int, ...] = (50,),
    **where: Any,
) -> tuple[VAE, bool]:
    """The trained model, and whether it was trained to the end."""
    n_steps = epochs * math.ceil(len(x_train) / recipe.batch_size)
    model = new_model(x_train, latent_dims)
    history = fit(
        model, x_train, epochs=epochs, seed=SEED, batch_size=recipe.batch_size, n_samples=k,
        lr=warmup_cosine(recipe.lr, n_steps, warmup=500),
        beta=linear(0.0, 1.0, round(recipe.anneal * n_steps)) if recipe.anneal else 1.0,
        objective=OBJECTIVES[objective], **where,
    )  # fmt: skip
    return model.eval(), not history.interrupted


def negative_log_likelihood(model: VAE, x: Tensor, path: Path, n_samples: int) -> Tensor:
    """-log p(x) of each image; ``path`` keeps what has been measured when the run is interrupted."""
    done = json.loads(path.read_text()) if path.exists() else []
    with tqdm(total=len(x), initial=len(done), unit="image") as bar:
        while len(done) < len(x):
            rows = x[len(done) : len(done) + PIECE]
            log_px = marginal_log_likelihood(model, rows, n_samples, seed=SEED_NOISE + len(done), progress=False)
            done += (-log_px).tolist()
            path.write_text(json.dumps(done))
            bar.update(len(rows))
    return torch.tensor(done, dtype=torch.float64)


@contextmanager
def clock(path: Path) -> Iterator[list[float]]:
    """CPU and wall seconds of what runs inside, those of interrupted runs included; known when it is left."""
    seconds = json.loads(path.read_text()) if path.exists() else [0.0, 0.0]
    cpu, wall = time.process_time(), time.monotonic()
    try:
        yield seconds
    finally:
        seconds[:] = seconds[0] + time.process_time() - cpu, seconds[1] + time.monotonic() - wall
        path.write_text(json.dumps(seconds))


def run(name: str, budget: str, runs: Path, device: torch.device) -> dict[str, Any] | None:
    """Train a row, or go on with it, and measure it; None where training was interrupted."""
    row, stem = ALL[name], f"{name}-{budget.replace(' ', '')}"
    data = datasets.mnist()
    with clock(runs / f"{stem}.seconds.json") as training:
        model, finished = train(
            data.x_train, row.objective, row.k, row.epochs[budget], latent_dims=row.latent_dims,
            checkpoint=runs / f"{stem}.run.safetensors", resume=True, device=device,
        )  # fmt: skip
    if not finished:
        return None
    checkpoints.save(model, runs / f"{stem}.safetensors")
    x_test = datasets.binarize(data.x_test, torch.Generator().manual_seed(SEED_TEST))
    weights = sha256(model.state_dict())[:12]  # in the name: nothing that was measured of another model is taken over
    with clock(runs / f"{stem}.{weights}.seconds.json") as measuring:
        nll = negative_log_likelihood(model, x_test, runs / f"{stem}.{weights}.nll.json", N_SAMPLES)
    return dict(
        row=name, budget=budget, objective=row.objective, k=row.k, epochs=row.epochs[budget],
        recipe=str(RECIPE), seed=SEED, device=str(device),
        n_train=len(data.x_train), n_test=len(x_test), n_samples=N_SAMPLES,
        nll=nll.mean().item(), stderr=(nll.std() / math.sqrt(len(nll))).item(), first_nll=nll[:KEPT].tolist(),
        active_units=int(active_units(model, x_test).sum()),
        unit_activity=unit_activity(model, x_test).sort(descending=True).values.tolist(),
        **of_layers(model, x_test, row.latent_dims),
        cpu_seconds=training[0], wall_seconds=training[1], measuring_cpu_seconds=measuring[0], **provenance(),
    )  # fmt: skip


def of_layers(model: VAE, x: Tensor, latent_dims: tuple[int, ...]) -> dict[str, Any]:
    """How many units of each layer are active, the lowest first; of one layer nothing that the row does not say."""
    if len(latent_dims) == 1:
        return {}
    return dict(active_by_layer=[int(layer.sum()) for layer in active_units(model, x).split(latent_dims)])


def choose(epochs: int) -> None:
    """Train by each recipe on the first 55,000 training images and measure it on the other 5,000."""
    x_train = datasets.mnist().x_train
    x_val = datasets.binarize(x_train[-N_VAL:], torch.Generator().manual_seed(SEED_VAL))
    for recipe in RECIPES:
        if rows_of(CHOICE).get(str(recipe), {}).get("epochs") == epochs:
            print(f"{recipe}: finished before")
            continue
        start = time.process_time()
        model, finished = train(x_train[:-N_VAL], "VAE", 1, epochs, recipe, device="cpu")
        if not finished:
            raise SystemExit("interrupted")
        cpu_seconds = time.process_time() - start
        nll = -marginal_log_likelihood(model, x_val[:1000], 500, seed=SEED_NOISE)
        record = dict(
            epochs=epochs, nll=nll.mean().item(), stderr=(nll.std() / math.sqrt(len(nll))).item(),
            cpu_seconds=cpu_seconds, **provenance(),
        )  # fmt: skip
        store(CHOICE, str(recipe), record, map(str, RECIPES))
        print(f"{recipe}: {record['nll']:.2f} nats on held-out training images")


def main() -> None:
    parser = argparse.ArgumentParser(description="Rows of Table 1 of Burda et al. (2016), again.")
    parser.add_argument(
        "rows", nargs="*", help=f"of {', '.join(ALL)}; the one-layer ones when left out (k = 50 only on a GPU)"
    )
    parser.add_argument("--budget", choices=["5 min", "30 min", "full"], help="all of them when left out")
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / "reproduce", help="folder of checkpoints")
    parser.add_argument("--device", type=torch.device, default=best_device(), help="where to train (%(default)s)")
    parser.add_argument("--choose", type=int, nargs="?", const=38, metavar="EPOCHS", help="compare recipes instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # `fit` sets it for itself
    if arguments.choose is not None:
        return choose(arguments.choose)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `fit` ends cleanly then, as by Ctrl-C
    arguments.runs.mkdir(parents=True, exist_ok=True)
    names = arguments.rows or [name for name, row in ROWS.items() if row.k < 50 or arguments.device.type == "cuda"]
    if unknown := [name for name in names if name not in ALL]:
        parser.error(f"rows must be of {', '.join(ALL)}, got {', '.join(unknown)}")
    for name in names:
        for budget in [arguments.budget] if arguments.budget else ALL[name].epochs:
            if budget not in ALL[name].epochs:
                print(f"{name}: not trained for {budget}")
                continue
            if f"{name}, {budget}" in rows_of(RESULTS):
                print(f"{name}, {budget}: finished before")
                continue
            print(f"{name}, {budget}: {ALL[name].epochs[budget]} epochs")
            record = run(name, budget, arguments.runs, arguments.device)
            if record is None:
                raise SystemExit(f"{name}, {budget}: interrupted; the same command goes on")
            store(RESULTS, f"{name}, {budget}", record, RUNS)
            print(f"{name}, {budget}: {record['nll']:.2f} nats (published: {ALL[name].nll})")


if __name__ == "__main__":
    main()
