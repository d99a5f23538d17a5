"""Every model of the book on the same digits: bits per pixel, parameters, seconds of training and of sampling.

    .venv/bin/python benchmarks/every_model.py                        # all models, five seeds, what is not recorded yet
    .venv/bin/python benchmarks/every_model.py "plain VAE" --seed 0   # this one; the plain VAE comes first in each seed
    .venv/bin/python benchmarks/every_model.py --epochs 2 --results try.json   # to try it out

The models stand in `models_of_the_book.py`. What is the same for all: the shipped digits, black where darker than one
half; 1,200 of them to train on, 237 that choose the epoch, 360 to test; Adam, batches of 128, a learning rate that
rises to 0.02 and falls to 0 as a cosine; and 40 epochs, of which the model keeps the one whose objective was best on
the 237; a latent diffusion has 40 for its VAE and 40 for its prior. The rate was chosen for the plain VAE, among 0.01,
0.02 and 0.03, by the 237 digits and with other seeds. Nothing is tuned for the others, and the test digits are looked
at once.

Seconds are of the processor, one thread. Written to benchmarks/results/every_model.json after each model, with the
weights of "two latents", seed 0, beside it; what is recorded is not run again. About twenty minutes on a quiet core;
needs the extra ``coding``. The rows of the WAE also keep, as "log_px_five_chains", what five chains of 40 temperatures
had said of the same weights: too little, which is why it has ten of 200 now.

To add a model: an `Entry` in `models_of_the_book.MODELS`, and the same command; then its row in the page's table of
settings, and its name in the page's text. Where log p(x) can't be had, ``measure`` is a bound of it, and ``by`` is
`ONLY_A_BOUND`: the page never calls such a model worse. A model that is no VAE needs ``measure``, ``bound`` or None, a
way through `train` where `fit` does not take it, ``eval()``, ``parameters()`` and ``sample(n, generator=…)``.
"""

import argparse
import math
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from models_of_the_book import AT_A_TIME, MODELS, REFERENCE, Entry, black_and_white
from recording import ROOT, provenance, rows_of, store
from torch import Tensor

from vae_tutorial.bounds import elbo_terms
from vae_tutorial.checkpoints import save
from vae_tutorial.coding import HEADER, compress, decompress
from vae_tutorial.schedules import warmup_cosine
from vae_tutorial.training import fit

RESULTS = Path(__file__).parent / "results" / "every_model.json"
SEEDS = range(5)
EPOCHS, BATCH_SIZE, LR, WARMUP = 40, 128, 0.02, 20
N_SAMPLES, REPEATS = 1000, 3
SEED_BOUND, SEED_MEASURE, SEED_SAMPLE = 1, 2, 3
KEPT = "two latents", 0  # whose weights are kept, for the page to measure in another way
ORDER = [f"{model}, seed {seed}" for model in MODELS for seed in SEEDS]


def train(how: dict[str, Any] | None, model: Any, seed: int, epochs: int, labels: bool = False) -> int | None:
    """Train the model; the epoch, from 1, whose weights it has, None where there is nothing to train."""
    if how is None:
        return None
    data = black_and_white()
    parts = (data.x_train, data.y_train), (data.x_val, data.y_val)
    given = parts if labels else [x for x, _ in parts]
    n_steps = epochs * math.ceil(len(data.x_train) / BATCH_SIZE)
    how = dict(batch_size=BATCH_SIZE, lr=warmup_cosine(LR, n_steps, warmup=min(WARMUP, n_steps // 2))) | how
    history = fit(model, *given, epochs=epochs, patience=epochs, seed=seed, device="cpu", progress=False, **how)
    return 1 + max(range(epochs), key=lambda epoch: history.val_elbo[epoch])


def measured(entry: Entry, model: Any, x: Tensor) -> dict[str, Any]:
    """log p(x) and its bound, means over the digits in nats, with standard errors; log p(x) of each."""
    with torch.no_grad():
        parts = [entry.measure(model, rows, SEED_MEASURE) for rows in x.split(AT_A_TIME)]
        bounds = [entry.bound(model, rows, SEED_BOUND) for rows in x.split(AT_A_TIME)] if entry.bound else []
    log_px, stderr = (torch.cat([getattr(part, name) for part in parts]) for name in ("log_px", "stderr"))
    found = dict(each=log_px, log_px=log_px.mean().item(), log_px_stderr=of_mean(stderr), by=parts[0].by)
    counted = [part.effective for part in parts if part.effective is not None]
    found |= dict(effective_draws=statistics.mean(counted) if counted else None, bound=None, bound_stderr=None)
    if entry.rate:
        with torch.no_grad():
            found["rate"] = elbo_terms(model, x, generator=torch.Generator().manual_seed(SEED_BOUND)).kl.mean().item()
    if bounds:
        values, stderr = torch.cat(bounds, 1)
        found |= dict(bound=values.mean().item(), bound_stderr=of_mean(stderr))
    return found


def of_mean(stderr: Tensor) -> float:
    """The standard error of a mean of independent estimates."""
    return stderr.square().sum().sqrt().item() / len(stderr)


def sampling_seconds(model: Any) -> float:
    """Processor seconds for so many draws of x; the median of a few trials, after one that is not counted."""
    seconds = []
    for trial in range(1 + REPEATS):
        start = time.process_time()
        model.sample(N_SAMPLES, generator=torch.Generator().manual_seed(SEED_SAMPLE + trial))
        seconds.append(time.process_time() - start)
    return statistics.median(seconds[1:])


def archive(model: Any, x: Tensor) -> dict[str, int]:
    """Bytes of the file with all test digits, and how many of them are its header and checksum; it is read again."""
    written = compress(model, x)
    if not torch.equal(decompress(model, written), x):
        raise SystemExit("the archive does not give the digits back")
    return dict(archive_bytes=len(written), archive_header_bytes=HEADER.size + HEADER.unpack_from(written)[-1] + 8)


def run(name: str, seed: int, epochs: int, n_test: int, runs: Path) -> tuple[dict[str, Any], Any]:
    """The row of one model and seed, and the model."""
    entry, x = MODELS[name], black_and_white().x_test[:n_test]
    model = entry.make(seed)
    start = time.process_time()
    best_epoch = train(entry.how, model, seed, epochs, entry.labels)
    if entry.then is not None:
        model = entry.then[0](model, seed)
        best_epoch = train(entry.then[1], model, seed, epochs)
    seconds = time.process_time() - start
    model.eval()
    found = measured(entry, model, x)
    each, kept = found.pop("each"), runs / f"reference-{seed}-{epochs}-{n_test}.pt"
    if name == REFERENCE:
        torch.save(each, kept)
    gain = each - torch.load(kept)  # over the same digits
    return dict(
        model=name, family=entry.family, seed=seed, epochs=epochs, best_epoch=best_epoch, n_test=len(x),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        train_seconds=seconds, sample_seconds=sampling_seconds(model), **found,
        digits_stderr=(each.std() / math.sqrt(len(x))).item(),
        gain=gain.mean().item(), gain_stderr=(gain.std() / math.sqrt(len(x))).item(),
        **(archive(model, x) if entry.coded else dict(archive_bytes=None, archive_header_bytes=None)),
    ), model  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Every model of the book on the same digits.")
    parser.add_argument("models", nargs="*", help=f"of {', '.join(MODELS)}; all when left out")
    parser.add_argument("--seed", type=int, choices=SEEDS, help="all five when left out")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--test", type=int, default=360, metavar="N", help="test digits that are measured")
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / "every_model", help="folder of what is kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if unknown := set(arguments.models) - MODELS.keys():
        parser.error(f"models must be of {', '.join(MODELS)}, got {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    where = provenance()  # before the first row is written
    train({}, MODELS[REFERENCE].make(0), 0, 1)  # the first one pays for what PyTorch loads; not counted
    names = sorted(arguments.models or MODELS, key=lambda name: name != REFERENCE)
    for seed in SEEDS if arguments.seed is None else (arguments.seed,):
        for name in names:
            if rows_of(arguments.results).get(f"{name}, seed {seed}", {}).get("epochs") == arguments.epochs:
                print(f"{name}, seed {seed}: recorded before")
                continue
            row, model = run(name, seed, arguments.epochs, arguments.test, arguments.runs)
            if (name, seed) == KEPT:
                save(model, arguments.results.with_name(f"{arguments.results.stem}_two_latents.safetensors"))
            store(arguments.results, f"{name}, seed {seed}", row | where, ORDER)
            bound = "no bound" if row["bound"] is None else f"bound {row['bound']:.3f}"
            print(f"{name}, seed {seed}: {row['log_px']:.3f} nats, {bound}, {row['train_seconds']:.1f} s", flush=True)


if __name__ == "__main__":
    main()
