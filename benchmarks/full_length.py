"""Models of public tutorials on MNIST, trained as long as these train them, and the best model of the book.

    .venv/bin/python benchmarks/full_length.py                  # every row that is not finished yet
    .venv/bin/python benchmarks/full_length.py mlp-bernoulli convolutions   # these rows
    .venv/bin/python benchmarks/full_length.py --check 1        # is the first epoch of each still the same?

A row that was interrupted, by Ctrl-C, by SIGTERM or by a loss of power, goes on with the next epoch when the command is
given again. Finished rows are written to benchmarks/results/full_length.json, their models and checkpoints to the
folder of --runs. On the machine of the record --check finds the same bits, on another nearly the same. Needs MNIST.
"""

import argparse
import math
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from objectives import binarized_elbo_terms
from recording import ROOT, provenance, rows_of, store
from torch import Tensor

from vae_tutorial import checkpoints, datasets
from vae_tutorial.architectures import conv_vae, resnet_vae
from vae_tutorial.bounds import ElboTerms, elbo_terms
from vae_tutorial.checkpoints.describe import describe
from vae_tutorial.evaluation import bits_per_dim, unit_activity
from vae_tutorial.history import History
from vae_tutorial.likelihoods import Likelihood, bernoulli, normal, normal_diag, normal_diag_above
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.schedules import linear, warmup_cosine
from vae_tutorial.training import best_device, fit

RESULTS = Path(__file__).parent / "results" / "full_length.json"
CHECKS = RESULTS.with_name("full_length_check.json")
N_VAL = 5000  # the last images of the training set; the test set is measured once, when a row is finished
SEED = 0  # of initial weights, order and noise
SEEDS = dict(train=1, val=2, test=3)  # of the binarizations that are measured
SEED_NOISE = 4  # of the noise they are measured with
N_SAMPLES = 10  # noise draws per image in the final measurement


def dequantize(x: Tensor, generator: torch.Generator) -> Tensor:
    """Gray levels, stored as level / 255, with uniform noise one level wide: (level + u) / 256."""
    return (255 * x + torch.rand(x.shape, generator=generator).to(x.device)) / 256


def dequantized_elbo_terms(model: VAE, x: Tensor, n_samples: int, *, generator: torch.Generator) -> ElboTerms:
    """`elbo_terms` of stored gray images with new noise: what a density of gray levels has to be trained on."""
    return elbo_terms(model, dequantize(x, generator), n_samples, generator=generator)


OBJECTIVES = dict(stored=elbo_terms, dequantized=dequantized_elbo_terms, binary=binarized_elbo_terms)


class Row(NamedTuple):
    """A line of the table: a model, its pixels, and how `fit` trains it; ``recipe`` says the latter in words."""

    what: str
    model: Callable[[], VAE]
    pixels: str  # a key of OBJECTIVES
    epochs: int
    batch_size: int
    how: dict[str, Any]
    recipe: str


def mlp_row(what: str, likelihood: Likelihood, pixels: str, lr: float = 0.01) -> Row:
    how, recipe = dict(lr=lr, n_samples=5), f"Adam {lr:g}, 5 draws of noise"
    return Row(what, lambda: mlp_vae(784, 400, 20, likelihood, seed=SEED), pixels, 3, 128, how, recipe)


BEST_STEPS = 60 * (60_000 - N_VAL) // 100
ROWS = {
    "mlp-gaussian-free": mlp_row("Gaussian, learned variances", normal_diag, "stored"),
    "mlp-gaussian-floor": mlp_row("Gaussian, learned variances above e^-6", normal_diag_above(-6.0), "dequantized"),
    "mlp-gaussian-unit": mlp_row("Gaussian, variance 1", normal(0.0), "dequantized"),
    "mlp-bernoulli": mlp_row("Bernoulli", bernoulli, "binary"),
    "mlp-bernoulli-0.001": mlp_row("Bernoulli, at a tenth of the learning rate", bernoulli, "binary", lr=0.001),
    "convolutions": Row(
        what="convolutions, Bernoulli",
        model=lambda: conv_vae((28, 28), 20, bernoulli, seed=SEED),
        pixels="binary", epochs=200, batch_size=100, how=dict(lr=1e-3), recipe="Adam 0.001, 1 draw of noise",
    ),
    "best": Row(
        what="residual blocks, Bernoulli",
        model=lambda: resnet_vae((28, 28), 32, bernoulli, seed=SEED),
        pixels="binary", epochs=60, batch_size=100,
        how=dict(
            lr=warmup_cosine(2e-3, BEST_STEPS, warmup=500), beta=linear(0.0, 1.0, BEST_STEPS // 20), average=0.999,
        ),
        recipe="Adam 0.002 with warm-up and cosine, KL annealed over the first 3 epochs, averaged weights",
    ),
}  # fmt: skip


class Images(NamedTuple):
    """MNIST, split: what `fit` trains on, what it validates with, and what is measured in the end, drawn once."""

    train: Tensor
    val: Tensor
    measured: dict[str, Tensor]


def images(pixels: str) -> Images:
    data = datasets.mnist()
    train, val = data.x_train[:-N_VAL], data.x_train[-N_VAL:]
    measured = dict(train=train[:10_000], val=val, test=data.x_test)
    if pixels != "stored":
        draw = dict(binary=datasets.binarize, dequantized=dequantize)[pixels]
        generators = {part: torch.Generator().manual_seed(seed) for part, seed in SEEDS.items()}
        measured = {part: draw(x, generators[part]) for part, x in measured.items()}
    return Images(train, measured["val"] if pixels == "binary" else val, measured)


def train(row: Row, epochs: int, **where: Any) -> tuple[VAE, History]:
    """The model after so many epochs of its recipe."""
    model, x = row.model(), images(row.pixels)
    settings = dict(seed=SEED, batch_size=row.batch_size, objective=OBJECTIVES[row.pixels], **row.how)
    return model, fit(model, x.train, x.val, epochs=epochs, **settings, **where)


@torch.no_grad()
def measure(model: VAE, x: Tensor) -> dict[str, float]:
    """Both terms of the ELBO over a data set with fixed noise, in nats; its standard error is over the images."""
    generator = torch.Generator().manual_seed(SEED_NOISE)
    parts = [elbo_terms(model, rows, N_SAMPLES, generator=generator) for rows in x.split(1000)]
    log_likelihood, kl = (torch.cat(column).double() for column in zip(*parts, strict=True))
    elbo = log_likelihood - kl
    return dict(
        n_images=len(x), log_likelihood=log_likelihood.mean().item(), kl=kl.mean().item(), elbo=elbo.mean().item(),
        stderr=(elbo.std() / math.sqrt(len(x))).item(), median=elbo.median().item(), worst=elbo.min().item(),
        elbo_first_1000=elbo[:1000].mean().item(),
    )  # fmt: skip


def run(name: str, runs: Path, device: torch.device) -> dict[str, Any] | None:
    """Train a row, or go on with it, and measure it; None where it was interrupted."""
    row, clock = ROWS[name], runs / f"{name}.cpu_seconds"
    record = dict(
        what=row.what, recipe=row.recipe, pixels=row.pixels, epochs=row.epochs, batch_size=row.batch_size,
        n_train=60_000 - N_VAL, seed=SEED, device=str(device), **provenance(),
    )  # fmt: skip
    before, start = float(clock.read_text()) if clock.exists() else 0.0, time.process_time()
    try:
        model, history = train(row, row.epochs, checkpoint=runs / f"{name}.run.safetensors", resume=True, device=device)
    except ValueError as error:  # a term or a gradient stopped being finite: that is a result, too
        return record | dict(failure=str(error))
    finally:
        cpu_seconds = before + time.process_time() - start
        clock.write_text(str(cpu_seconds))
    if history.interrupted:
        return None
    checkpoints.save(model, runs / f"{name}.safetensors")
    x = images(row.pixels).measured
    measured = {part: measure(model, x[part]) for part in x}
    return record | dict(
        failure="", model=describe(model), n_parameters=sum(p.numel() for p in model.parameters()),
        **measured, bits_per_dim=bits_per_pixel(row.pixels, measured["test"]["elbo"]),
        unit_variances=unit_activity(model, x["test"]).sort(descending=True).values.tolist(),
        wall_seconds=history.seconds[-1], cpu_seconds=cpu_seconds, history=asdict(history),
    )  # fmt: skip


def bits_per_pixel(pixels: str, elbo: float) -> float | None:
    """What a pixel costs in bits: of black and white, or of the 256 levels; a density of bare levels has no bits."""
    if pixels == "stored":
        return None
    log_p = torch.tensor(elbo, dtype=torch.float64) - dict(binary=0.0, dequantized=784 * math.log(256))[pixels]
    return bits_per_dim(log_p, 784).item()


def check(names: list[str], epochs: int) -> None:
    """Train the first epochs of finished rows again; write how far they are from what is recorded."""
    rows = rows_of(RESULTS)
    for name in names:
        if not rows.get(name, {}).get("history"):
            continue
        history = asdict(train(ROWS[name], min(epochs, ROWS[name].epochs), device="cpu")[1])
        terms = [key for key in history if key not in ("seconds", "interrupted")]
        gap = max(abs(a - b) for key in terms for a, b in zip(history[key], rows[name]["history"][key], strict=False))
        store(CHECKS, name, dict(epochs=len(history["kl"]), gap=gap, **provenance()), ROWS)
        print(f"{name}, first {len(history['kl'])}: {gap:g} nats off" if gap else f"{name}: the same, bit for bit")


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Models of public tutorials on MNIST at full length, and the best model."
    )
    parser.add_argument("rows", nargs="*", default=list(ROWS), help=f"of {', '.join(ROWS)} (all that are not finished)")
    parser.add_argument(
        "--runs", type=Path, default=ROOT / "build" / "full_length", help="folder of models and checkpoints"
    )
    parser.add_argument("--device", type=torch.device, default=best_device(), help="where to train (%(default)s)")
    parser.add_argument("--check", type=int, metavar="EPOCHS", help="train so many epochs again and compare")
    arguments = parser.parse_args()
    if arguments.check:
        return check(arguments.rows, arguments.check)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `fit` ends cleanly then, as by Ctrl-C
    arguments.runs.mkdir(parents=True, exist_ok=True)
    for name in arguments.rows:
        if name in rows_of(RESULTS):
            print(f"{name}: finished before")
            continue
        print(f"{name}: {ROWS[name].epochs} epochs")
        record = run(name, arguments.runs, arguments.device)
        if record is None:
            raise SystemExit(f"{name}: interrupted; the same command goes on")
        store(RESULTS, name, record, ROWS)
        print(f"{name}: {record['failure'] or format(record['test']['elbo'], '.2f') + ' nats on the test set'}")


if __name__ == "__main__":
    main()
