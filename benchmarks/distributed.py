"""What several processes cost and gain on this machine: ``python benchmarks/distributed.py``; a minute or two.

Writes ``results/distributed.json``: seconds of a step of `fit` alone, beside a second process that trains for itself,
and in two that train one model; and of PyTorch's all-reduce as the numbers grow. From the others the chapter "More than
one machine" predicts the third. Other programs only add time, so that of many steps, one after the other, the tenth
part that was fastest tells most: its end is what is recorded.
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

from vae_tutorial.likelihoods import bernoulli
from vae_tutorial.models import mlp_vae
from vae_tutorial.training import fit

RESULTS = ROOT / "benchmarks" / "results" / "distributed.json"
HIDDEN = {"small": 100, "large": 400}  # units of the hidden layers
BATCHES = [32, 64, 128, 256, 512]
FLOATS = [2**n for n in range(4, 21, 2)]
N_STEPS = 80


def network(hidden):
    return mlp_vae(784, hidden, 20, bernoulli, seed=0)


def images(n):
    return (torch.rand(n, 784, generator=torch.Generator().manual_seed(0)) > 0.87).float()


def fastest_tenth(times):
    """The first decile of the seconds from each time to the next."""
    seconds = torch.tensor(times, dtype=torch.float64).diff()
    return seconds.quantile(0.1).item()


def seconds_of_a_step(hidden, batch):
    """Of `fit`: a schedule is asked for the rate once a step, and looks at the clock."""
    times = []

    def rate(step):
        times.append(time.perf_counter())
        return 1e-3

    # Rows repeat, so that many steps need few images.
    x = images(batch).repeat(N_STEPS, 1)
    fit(network(hidden), x, epochs=1, seed=0, batch_size=batch, lr=rate, device="cpu", progress=False)
    return fastest_tenth(times[-N_STEPS + 5 :])


def seconds_of_all_reduce(n_floats):
    values, times = torch.zeros(n_floats), []
    dist.barrier()
    for _ in range(N_STEPS):
        dist.all_reduce(values)
        times.append(time.perf_counter())
    return fastest_tenth(times)


def measured():
    """All that this process can measure: alone, or as one of several."""
    rows = {}
    for name, hidden in HIDDEN.items():
        n_weights = sum(weight.numel() for weight in network(hidden).parameters())
        rows[name] = {"parameters": n_weights, "step": {M: seconds_of_a_step(hidden, M) for M in BATCHES}}
    if dist.is_initialized():
        torch.set_num_threads(1)
        rows["all_reduce"] = {n: seconds_of_all_reduce(n) for n in FLOATS}
    return rows


def main():
    if sys.argv[1:]:
        rows = measured()
        if not dist.is_initialized() or dist.get_rank() == 0:
            Path(sys.argv[1]).write_text(json.dumps(rows), encoding="utf-8")
        return
    record = {"n_steps": N_STEPS, "alone": json.loads(json.dumps(measured()))}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.json" for number in (0, 1)]
        neighbours = [subprocess.Popen([sys.executable, __file__, path]) for path in paths]
        if any([neighbour.wait() for neighbour in neighbours]):
            raise SystemExit("one of two processes that know nothing of each other has failed")
        record["beside"] = json.loads(paths[0].read_text(encoding="utf-8"))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        subprocess.run([*command, __file__, paths[0]], check=True)
        record["two"] = json.loads(paths[0].read_text(encoding="utf-8"))
    record["load"] = os.getloadavg()[0]
    store(RESULTS, "gloo, one machine", record | provenance(), ["gloo, one machine"])


if __name__ == "__main__":
    main()
