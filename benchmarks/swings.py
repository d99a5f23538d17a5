"""How well a deep Markov model foresees a pendulum, by its posterior: ``python benchmarks/swings.py``; four minutes.

Writes ``results/swings.json``: a row for each kind of posterior with five seeds, and one for the pendulum itself, whose
equation a particle filter knows. Held out are 500 sequences of 20 frames: the bound of all 20 frames, and after ten of
them a band of 90 % for what can be read off each of the next ten. One thread, and its processor time.
"""

import math
import time

import torch
from recording import ROOT, provenance, rows_of, store
from torch import Tensor

from vae_tutorial.bounds import elbo
from vae_tutorial.datasets import pendulum, swings
from vae_tutorial.likelihoods import normal
from vae_tutorial.schedules import warmup_cosine
from vae_tutorial.state_space import INFERENCES, deep_markov_model, forecast, of_length
from vae_tutorial.training import fit

RESULTS = ROOT / "benchmarks" / "results" / "swings.json"
SEEDS = range(5)
ORDER = (*INFERENCES, "the pendulum itself")
SEEN, AHEAD, D = 10, 10, 12
EPOCHS, BATCH = 50, 100
KNOWN = normal(2 * math.log(swings.NOISE))


def reading(frames: Tensor) -> Tensor:
    """The spot's place on a frame, noise and all: the mean of pixels weighted by their brightness."""
    return (frames * swings.PIXELS).sum(-1) / frames.sum(-1).clamp(min=0.5)


def band(draws: Tensor, x: Tensor) -> dict[str, list[float]]:
    """Share of readings inside a band of 90 %, and its width, each step ahead; draws (K, B, 10·12), x (B, 20·12)."""
    ahead = reading(draws.unflatten(-1, (AHEAD, D)))
    came = reading(x.unflatten(-1, (SEEN + AHEAD, D))[:, SEEN:])
    low, high = ahead.quantile(0.05, 0), ahead.quantile(0.95, 0)
    inside = ((low <= came) & (came <= high)).double()
    return {"inside": inside.mean(0).tolist(), "width": (high - low).double().mean(0).tolist()}


def trained(inference: str, seed: int):
    x = pendulum(1600, SEEN, seed=0).x
    model = deep_markov_model(D, SEEN, 32, 4, KNOWN, seed=seed, inference=inference)
    fit(
        model, x, epochs=EPOCHS, seed=seed, batch_size=BATCH, lr=warmup_cosine(2e-2, EPOCHS * 16, warmup=20),
        max_grad_norm=100.0, progress=False,
    )  # fmt: skip
    return model


def measured(inference: str, seed: int) -> dict[str, object]:
    start = time.process_time()
    model = trained(inference, seed)
    seconds = time.process_time() - start
    x, generator = pendulum(500, SEEN + AHEAD, seed=1).x, torch.Generator().manual_seed(seed)
    with torch.no_grad():
        bound = elbo(of_length(model, SEEN + AHEAD), x, 16, generator=generator).mean().item()
    draws = forecast(model, x[:, : SEEN * D], AHEAD, 400, generator=generator)
    return {"elbo": bound, **band(draws, x), "seconds": seconds}


def by_particles(x: Tensor, n_particles: int = 2000, n_draws: int = 400, seed: int = 0) -> Tensor:
    """Draws of the next frames by who knows the equation: particles, weighted by each frame and drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    seen, forecasts = x.unflatten(-1, (-1, D))[:, :SEEN], []
    for frames in seen:
        state = torch.stack([
            4 * torch.rand(n_particles, generator=generator) - 2, 0.8 * torch.randn(n_particles, generator=generator)
        ], -1)  # fmt: skip
        for t, frame in enumerate(frames):
            state = swings.swing_on(state, generator) if t else state
            log_w = -0.5 * ((frame - swings.frames(state)) / swings.NOISE).square().sum(-1)
            state = state[torch.multinomial(log_w.softmax(0), n_particles, replacement=True, generator=generator)]
        state, ahead = state[:n_draws], []
        for _ in range(AHEAD):
            state = swings.swing_on(state, generator)
            clean = swings.frames(state)
            ahead.append(clean + swings.NOISE * torch.randn(clean.shape, generator=generator))
        forecasts.append(torch.cat(ahead, -1))
    return torch.stack(forecasts, 1)


def main():
    torch.set_num_threads(1)
    where = provenance()  # before the first row is written
    if "the pendulum itself" not in rows_of(RESULTS):
        x = pendulum(500, SEEN + AHEAD, seed=1).x
        store(RESULTS, "the pendulum itself", band(by_particles(x), x) | where, ORDER)
    for inference in INFERENCES:
        runs = [measured(inference, seed) for seed in SEEDS]
        for run in runs:
            print(inference, run)
        store(RESULTS, inference, {"runs": runs} | where, ORDER)


if __name__ == "__main__":
    main()
