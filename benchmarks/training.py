"""How long an epoch takes, and log p(x) by importance sampling, side by side with public peers: `make bench`.

    .venv-bench/bin/python benchmarks/training.py --rounds 3 --out benchmarks/results/training.json

Contestants take turns, each run in a process of its own (`contestant.py`), so that a slow minute of the machine hits
all of them; ratios are taken within a round. Needs MNIST, and the packages in requirements.txt beside this file.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from contestant import N_IMAGES
from machine import machine, versions
from tqdm import tqdm

HERE = Path(__file__).parent
LOSS_MARGIN = 10.0  # nats between the contestants after one epoch: their initial weights differ, their model does not
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}  # glibc only


class Contestant(NamedTuple):
    """A line of a table: the function ``model`` of the module ``peers.module``, and what its environment has extra."""

    label: str
    module: str
    model: str
    environment: dict[str, str] = {}


class Scenario(NamedTuple):
    """How many cores there are, how many processes keep one busy, and the clock that the ratios are taken by."""

    cores: int
    busy: int
    clock: str


SCENARIOS = {
    "one core": Scenario(cores=1, busy=0, clock="cpu"),  # CPU seconds: what else the machine does disturbs them least
    "two cores": Scenario(cores=2, busy=0, clock="wall"),
    "two cores, one of them busy": Scenario(cores=2, busy=1, clock="wall"),
}
FLOOR, OURS = Contestant("floor", "floor", "mlp"), Contestant("ours", "ours", "mlp")
FLAX = Contestant("Flax example", "flax_example", "mlp")
MLP = [
    FLOOR,
    OURS,
    Contestant("PyTorch example", "pytorch_example", "mlp"),
    Contestant("pythae", "pythae_trainer", "mlp"),
    FLAX,
]
CONV = [
    Contestant("floor", "floor", "conv"),
    Contestant("ours", "ours", "conv"),
    Contestant("PyTorch example's loop", "pytorch_example", "conv"),
]
LADDER = [
    FLOOR,
    Contestant("PyTorch example", "ladder", "rung0"),
    Contestant("+ images in memory", "ladder", "rung1"),
    Contestant("+ logits, no sigmoid", "ladder", "rung2"),
    Contestant("+ fused Adam", "ladder", "rung3"),
    Contestant("+ one layer for both heads", "ladder", "rung4"),
    Contestant("+ loss read once an epoch", "ladder", "rung5"),
    Contestant("+ malloc keeps its memory", "ladder", "rung5", KEEP_MEMORY),
    OURS,
]
COMPILED = [
    FLOOR,
    OURS,
    Contestant("ours, compiled", "ours", "compiled"),
]
NLL = [
    Contestant("floor", "floor", "nll"),
    Contestant("ours", "ours", "nll"),
    Contestant("pythae", "pythae_trainer", "nll"),
]
JAX = [
    FLOOR,
    OURS,
    FLAX,
    Contestant("jax_vae, compiled step", "jax_file", "loop"),
    Contestant("jax_vae, scanned epoch", "jax_file", "scan"),
]
TABLES = {
    "mlp": (MLP, list(SCENARIOS)),
    "conv": (CONV, ["one core", "two cores"]),
    "ladder": (LADDER, ["one core"]),
    "compiled": (COMPILED, ["one core"]),
    "nll": (NLL, ["one core"]),
    "jax": (JAX, ["one core"]),
}
APART = {"jax"}  # measured and recorded by jax_speed.py


@contextlib.contextmanager
def conditions(scenario: Scenario) -> Iterator[dict[str, str]]:
    """The environment of a contestant: pinned to its cores, beside its busy neighbours, everything else by default."""
    thread_counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in thread_counts}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    if scenario.cores == 1:
        environment |= dict.fromkeys(thread_counts, "1")
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if before:
        os.sched_setaffinity(0, sorted(before)[: scenario.cores])  # children inherit it
    # A neighbour that outlives a killed benchmark would keep its core for ever: it watches its parent.
    spin = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
    neighbours = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(scenario.busy)]
    try:
        yield environment
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
        if before:
            os.sched_setaffinity(0, before)


def run(contestant: Contestant, scenario: Scenario, images: Path) -> dict[str, float]:
    """One epoch of a contestant; a RuntimeError with the end of what it said where it fails."""
    command = [sys.executable, str(HERE / "contestant.py"), contestant.module, contestant.model, str(images)]
    with conditions(scenario) as environment:
        done = subprocess.run(command, env=environment | contestant.environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{contestant.label} ({contestant.module}) failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def bench(tables: list[str], rounds: int, images: Path) -> list[dict]:
    """Every contestant of every table and scenario once a round: a list of records."""
    plan = [
        dict(table=table, scenario=scenario, round=turn, contestant=contestant)
        for turn in range(rounds)
        for table in tables
        for scenario in TABLES[table][1]
        for contestant in TABLES[table][0]
    ]
    records = []
    for entry in (bar := tqdm(plan, unit="run")):
        contestant = entry["contestant"]
        bar.set_postfix_str(f"{entry['table']}, {entry['scenario']}: {contestant.label}")
        measured = run(contestant, SCENARIOS[entry["scenario"]], images)
        records.append(entry | dict(contestant=contestant.label) | measured)
    return records


def ratios(records: list[dict], table: str, scenario: str, slow: str, fast: str) -> list[float]:
    """How many times as long ``slow`` takes as ``fast``, round by round."""
    clock = SCENARIOS[scenario].clock
    seconds = {
        (r["contestant"], r["round"]): r[clock] for r in records if (r["table"], r["scenario"]) == (table, scenario)
    }
    rounds = sorted({turn for _, turn in seconds})
    return [seconds[slow, turn] / seconds[fast, turn] for turn in rounds]


def spread(values: list[float]) -> str:
    """The median, and the range where there is one."""
    text = f"{statistics.median(values):.2f}"
    return text if len(values) == 1 else f"{text} ({min(values):.2f}–{max(values):.2f})"


def table_text(records: list[dict], table: str, scenario: str) -> str:
    """One table: medians over the rounds, ratios to the floor and to ours with their range."""
    mine = [r for r in records if (r["table"], r["scenario"]) == (table, scenario)]
    labels = list(dict.fromkeys(r["contestant"] for r in mine))
    clock = {"cpu": "CPU", "wall": "wall"}[SCENARIOS[scenario].clock]
    what, loss = (f"for {N_IMAGES[table]} images", "NLL") if table in N_IMAGES else ("an epoch", "−ELBO")
    lines = [
        f"{table}, {scenario}: seconds {what}, ratios of {clock} time",
        f"{'':28}{'wall':>7}{'CPU':>7}{'× floor':>20}{'× ours':>20}{'peak MB':>9}{loss:>8}",
    ]
    for label in labels:
        own = [r for r in mine if r["contestant"] == label]
        wall, cpu, peak = (statistics.median(r[key] for r in own) for key in ("wall", "cpu", "peak_mb"))
        to_floor, to_ours = (spread(ratios(records, table, scenario, label, other)) for other in ("floor", "ours"))
        loss = "" if own[0]["loss"] is None else f"{statistics.median(r['loss'] for r in own):.1f}"
        lines.append(f"{label:28}{wall:7.2f}{cpu:7.2f}{to_floor:>20}{to_ours:>20}{peak:9.0f}{loss:>8}")
    losses = [r["loss"] for r in mine if r["loss"] is not None]
    if max(losses) - min(losses) > LOSS_MARGIN:
        lines.append(f"NOT COMPARABLE: the losses differ by more than {LOSS_MARGIN:g} nats")
    return "\n".join(lines)


class Goal(NamedTuple):
    """What we want of ours: a ratio within a round, on one core."""

    text: str
    table: str
    sense: str
    goal: float
    slow: str
    fast: str


GOALS = [
    Goal("fit: as the PyTorch example, times as fast", "mlp", ">=", 4.0, "PyTorch example", "ours"),
    Goal("fit: as pythae, times as fast", "mlp", ">=", 2.0, "pythae", "ours"),
    Goal("fit: as the Flax example, times as fast", "mlp", ">=", 1.0, "Flax example", "ours"),
    Goal("fit: times the shortest bare loop", "ladder", "<=", 1.05, "ours", "+ one layer for both heads"),
    Goal("fit, compiled: times the floor", "compiled", "<=", 1.6, "ours, compiled", "floor"),
    Goal("fit, convolutions: times the floor", "conv", "<=", 1.05, "ours", "floor"),
    Goal("log p(x): as pythae, times as fast", "nll", ">=", 4.0, "pythae", "ours"),
    Goal("log p(x): times the floor", "nll", "<=", 1.8, "ours", "floor"),
    Goal(
        "scanned epoch: as the Flax example, times as fast", "jax", ">=", 1.0, "Flax example", "jax_vae, scanned epoch"
    ),
    Goal("scanned epoch: as fit, times as fast", "jax", ">=", 1.0, "ours", "jax_vae, scanned epoch"),
]


def goals_text(records: list[dict]) -> str:
    """What we want of our own code, and what was measured."""
    tables = {record["table"] for record in records}
    lines = ["Goals, on one core where nothing else is said:"]
    for goal in GOALS:
        if goal.table in tables:
            measured = ratios(records, goal.table, "one core", goal.slow, goal.fast)
            lines.append(_verdict(goal.text, goal.sense, goal.goal, measured))
    if "mlp" in tables:  # with two processes on two cores the share of each is one core
        alone, beside = (
            [r["wall"] for r in records if (r["table"], r["scenario"], r["contestant"]) == ("mlp", scenario, "ours")]
            for scenario in ("one core", "two cores, one of them busy")
        )
        slower = [b / a for a, b in zip(alone, beside, strict=True)]
        lines.append(_verdict("fit: times one core alone, on two with a busy one", "<=", 1.1, slower))
    return "\n".join(lines)


def _verdict(text: str, sense: str, goal: float, values: list[float]) -> str:
    median = statistics.median(values)
    met = median >= goal if sense == ">=" else median <= goal
    return f"  {text:50}{sense} {goal:.2f}: {spread(values):20}{'met' if met else 'MISSED'}"


def save_images(images: Path, n: int) -> None:
    """Store the contestants' images, in a process of its own.

    A child's peak memory counts from what its parent held when it was started.
    """
    script = "import sys, contestant; contestant.save_images(sys.argv[1], int(sys.argv[2]))"
    subprocess.run([sys.executable, "-c", script, str(images), str(n)], cwd=HERE, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="One epoch of training, side by side with public peers.")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every contestant (%(default)s)")
    parser.add_argument("--tables", nargs="+", choices=TABLES, help="what to measure (all but jax)")
    parser.add_argument("--examples", type=int, default=60_000, help="training examples of an epoch (%(default)s)")
    parser.add_argument("--out", type=Path, help="store every run here, as JSON")
    arguments = parser.parse_args()
    tables = arguments.tables or [table for table in TABLES if table not in APART]
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        save_images(images, arguments.examples)
        records = bench(tables, arguments.rounds, images)
    for table in tables:
        for scenario in TABLES[table][1]:
            print(table_text(records, table, scenario), end="\n\n")
    print(goals_text(records))
    if arguments.out:
        told = machine() | versions("torch", "numpy", "pythae", "jax", "flax", "pillow")
        arguments.out.write_text(json.dumps(dict(machine=told, records=records), indent=1) + "\n")


if __name__ == "__main__":
    main()
