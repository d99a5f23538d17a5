"""The standard prior against the VampPrior on MNIST, with the one-layer network of Tomczak and Welling (2018).

    .venv/bin/python benchmarks/vamp_prior.py                    # both priors, three seeds, what is not finished yet
    .venv/bin/python benchmarks/vamp_prior.py VampPrior --seed 0  # this one
    .venv/bin/python benchmarks/vamp_prior.py --epochs 2 --test 100 --samples 50 --results try.json   # to try it out

What is theirs, by their code (github.com/jmtomczak/vae_vampprior): 784-300-300-40-300-300-784 with gated layers,
log-variances kept between -6 and 2, 500 pseudo-inputs, batches of 100, a learning rate of 5e-4, the KL term annealed
over 100 epochs, black and white drawn anew each time an image is shown; -log p(x) by 5,000 samples of the encoder.

What differs, stated openly. Adam (theirs: Adam of normalized gradients). A fixed number of epochs, the learning rate a
cosine down to 0 (theirs: up to 2,000, stopped by a validation set). All 60,000 images (theirs: 50,000). Pseudo-inputs
are a logistic function of their parameters (theirs: clipped to [0, 1], begun at 0.05). PyTorch's initial weights
(theirs: He's). So a difference between the two priors here is one under our recipe, and no reproduction of their table.

An interrupted run goes on where it was when the command is given again. Finished runs are written to
benchmarks/results/vamp_prior.json, checkpoints to the folder of --runs. Needs MNIST; hours on a CPU.
"""

import argparse
import math
import signal
from pathlib import Path
from typing import Any

import torch
from objectives import binarized_elbo_terms
from recording import ROOT, provenance, rows_of, store
from reproduce import clock, negative_log_likelihood
from torch import Tensor, nn

from vae_tutorial import datasets
from vae_tutorial.checkpoints.files import sha256
from vae_tutorial.evaluation import active_units
from vae_tutorial.likelihoods import bernoulli
from vae_tutorial.models import VAE
from vae_tutorial.priors import Prior, VampPrior, standard_normal
from vae_tutorial.schedules import linear, warmup_cosine
from vae_tutorial.training import best_device, fit

RESULTS = Path(__file__).parent / "results" / "vamp_prior.json"
PRIORS = ("standard normal", "VampPrior")
SEEDS = (0, 1, 2)
RUNS = [f"{prior}, seed {seed}" for prior in PRIORS for seed in SEEDS]
LATENT_DIM, HIDDEN_DIM, N_COMPONENTS = 40, 300, 500
BATCH_SIZE, LR, WARMUP_EPOCHS, EPOCHS = 100, 5e-4, 100, 500
SEED_TEST = 3  # of the black-and-white test set
N_SAMPLES = 5000


class Gated(nn.Module):
    """A layer times the logistic function of another."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(n_in, n_out), nn.Linear(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x) * torch.sigmoid(self.gate(x))


class Heads(nn.Module):
    """Means, and log-variances between -6 and 2."""

    def __init__(self, n_in: int, latent_dim: int) -> None:
        super().__init__()
        self.mu, self.log_var = nn.Linear(n_in, latent_dim), nn.Linear(n_in, latent_dim)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.mu(x), self.log_var(x).clamp(-6, 2)], -1)


def new_model(prior: str, seed: int) -> VAE:
    """The network with one prior or the other; both begin with the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = nn.Sequential(Gated(784, HIDDEN_DIM), Gated(HIDDEN_DIM, HIDDEN_DIM), Heads(HIDDEN_DIM, LATENT_DIM))
        decoder = nn.Sequential(
            Gated(LATENT_DIM, HIDDEN_DIM), Gated(HIDDEN_DIM, HIDDEN_DIM), nn.Linear(HIDDEN_DIM, 784)
        )
    made: dict[str, Prior] = {
        "standard normal": standard_normal,
        "VampPrior": VampPrior(784, N_COMPONENTS, seed=seed),
    }
    return VAE(encoder, decoder, LATENT_DIM, bernoulli, made[prior])


def train(x_train: Tensor, prior: str, seed: int, epochs: int, **where: Any) -> tuple[VAE, bool]:
    """The trained model, and whether it was trained to the end."""
    steps = math.ceil(len(x_train) / BATCH_SIZE)
    n_steps = epochs * steps
    lr = warmup_cosine(LR, n_steps, warmup=min(100, n_steps // 10))
    beta = linear(0.0, 1.0, min(WARMUP_EPOCHS, max(1, epochs // 5)) * steps)
    model = new_model(prior, seed)
    history = fit(
        model, x_train, epochs=epochs, seed=seed, batch_size=BATCH_SIZE, lr=lr, beta=beta,
        objective=binarized_elbo_terms, **where,
    )  # fmt: skip
    return model.eval(), not history.interrupted


def run(
    prior: str, seed: int, epochs: int, n_test: int, n_samples: int, runs: Path, device: torch.device
) -> dict[str, Any] | None:
    """Train one model, or go on with it, and measure it; None where training was interrupted."""
    data, stem = datasets.mnist(), f"{prior.replace(' ', '-')}-{seed}-{epochs}"
    with clock(runs / f"{stem}.seconds.json") as training:
        kept = runs / f"{stem}.run.safetensors"
        model, finished = train(data.x_train, prior, seed, epochs, checkpoint=kept, resume=True, device=device)
    if not finished:
        return None
    x_test = datasets.binarize(data.x_test, torch.Generator().manual_seed(SEED_TEST))[:n_test].to(device)
    weights = sha256({name: value.cpu() for name, value in model.state_dict().items()})[:12]
    with clock(runs / f"{stem}.{weights}.{n_samples}.seconds.json") as measuring:
        kept = runs / f"{stem}.{weights}.{n_samples}.nll.json"
        nll = negative_log_likelihood(model, x_test, kept, n_samples)
    return dict(
        prior=prior, seed=seed, epochs=epochs, n_components=N_COMPONENTS if prior == "VampPrior" else None,
        n_train=len(data.x_train), n_test=len(x_test), n_samples=n_samples, device=str(device),
        nll=nll.mean().item(), stderr=(nll.std() / math.sqrt(len(nll))).item(),
        active_units=int(active_units(model, x_test).sum()), weights=weights,
        cpu_seconds=training[0], wall_seconds=training[1], measuring_cpu_seconds=measuring[0], **provenance(),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="The standard prior against the VampPrior on MNIST.")
    parser.add_argument("priors", nargs="*", help=f"of {', '.join(PRIORS)}; both when left out")
    parser.add_argument("--seed", type=int, choices=SEEDS, help="all three when left out")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--test", type=int, default=10_000, metavar="N", help="test images that are measured")
    parser.add_argument("--samples", type=int, default=N_SAMPLES, metavar="K", help="draws for each -log p(x)")
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / "vamp_prior", help="folder of checkpoints")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--device", type=torch.device, default=best_device(), help="where to train (%(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # `fit` sets it for itself
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `fit` ends cleanly then, as by Ctrl-C
    arguments.runs.mkdir(parents=True, exist_ok=True)
    if unknown := set(arguments.priors) - set(PRIORS):
        parser.error(f"priors must be of {', '.join(PRIORS)}, got {', '.join(sorted(unknown))}")
    for prior in arguments.priors or PRIORS:
        for seed in SEEDS if arguments.seed is None else (arguments.seed,):
            name = f"{prior}, seed {seed}"
            if rows_of(arguments.results).get(name, {}).get("epochs") == arguments.epochs:
                print(f"{name}: finished before")
                continue
            record = run(
                prior, seed, arguments.epochs, arguments.test, arguments.samples, arguments.runs, arguments.device
            )
            if record is None:
                raise SystemExit(f"{name}: interrupted; the same command goes on")
            store(arguments.results, name, record, RUNS)
            print(f"{name}: {record['nll']:.2f} ± {record['stderr']:.2f} nats, {record['active_units']} active units")


if __name__ == "__main__":
    main()
