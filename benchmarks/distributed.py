"""What several processes cost and gain on this machine: ``python benchmarks/distributed.py``; a minute or two.

Writes ``results/distributed.json``: seconds of an epoch of `fit` alone and in two processes, and what the model of cost
in the chapter "More than one machine" takes: how long a step computes as the batch grows, and how long PyTorch's
all-reduce takes as the bytes grow. The least of several repetitions counts, since other programs only add time.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from recording import ROOT, provenance, store

from vae_tutorial.bounds import elbo_terms
from vae_tutorial.likelihoods import bernoulli
from vae_tutorial.models import mlp_vae
from vae_tutorial.training import fit, take_step

RESULTS = ROOT / "benchmarks" / "results" / "distributed.json"
HIDDEN = {"small": 100, "large": 400}  # units of the hidden layers
BATCHES = [64, 128, 256, 512]
FLOATS = [2**n for n in range(4, 21, 2)]
N_STEPS = 20
REPEATS = 5


def network(hidden):
    return mlp_vae(784, hidden, 20, bernoulli, seed=0)


def images(n):
    return (torch.rand(n, 784, generator=torch.Generator().manual_seed(0)) > 0.87).float()


def least(measure, repeats=REPEATS):
    return min(measure() for _ in range(repeats))


def seconds_of_a_step(hidden, batch):
    """Wall seconds of Algorithm 1 in one process."""
    model, x, generator = network(hidden), images(batch), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def measured():
        start = time.perf_counter()
        for _ in range(N_STEPS):
            take_step(model, optimizer, x, generator=generator, objective=elbo_terms)
        return (time.perf_counter() - start) / N_STEPS

    measured()
    return least(measured)


def seconds_of_all_reduce(n_floats):
    values = torch.zeros(n_floats)

    def measured():
        dist.barrier()
        start = time.perf_counter()
        for _ in range(N_STEPS):
            dist.all_reduce(values)
        return (time.perf_counter() - start) / N_STEPS

    measured()
    return least(measured)


def seconds_of_an_epoch(hidden, batch):
    """Of N_STEPS steps of `fit`, per step: the second of two epochs, in which nothing is imported any more."""
    x = images(N_STEPS * batch)

    def measured():
        history = fit(network(hidden), x, epochs=2, seed=0, batch_size=batch, device="cpu", progress=False)
        return (history.seconds[1] - history.seconds[0]) / N_STEPS

    return least(measured)


def measured():
    """All that this process can measure: alone, or as one of several."""
    torch.set_num_threads(1)
    rows = {}
    for name, hidden in HIDDEN.items():
        n_weights = sum(weight.numel() for weight in network(hidden).parameters())
        rows[name] = {"parameters": n_weights}
        rows[name]["epoch"] = {batch: seconds_of_an_epoch(hidden, batch) for batch in BATCHES}
        if not dist.is_initialized():
            rows[name]["step"] = {batch: seconds_of_a_step(hidden, batch) for batch in (16, 32, *BATCHES)}
    if dist.is_initialized():
        rows["all_reduce"] = {n: seconds_of_all_reduce(n) for n in FLOATS}
    return rows


def main():
    if "RANK" in os.environ:
        rows = measured()
        if dist.get_rank() == 0:
            Path(sys.argv[1]).write_text(json.dumps(rows), encoding="utf-8")
        return
    record = {"repeats": REPEATS, "n_steps": N_STEPS, "alone": json.loads(json.dumps(measured()))}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        subprocess.run([*command, __file__, path], check=True)
        record["two"] = json.loads(path.read_text(encoding="utf-8"))
    record["load"] = os.getloadavg()[0]
    store(RESULTS, "gloo, one machine", record | provenance(), ["gloo, one machine"])


if __name__ == "__main__":
    main()
