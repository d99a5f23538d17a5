"""What grad, vmap, jit and scan buy, and how long an epoch in JAX takes beside Flax's example and `fit`: `make bench`.

    .venv-bench/bin/python benchmarks/jax_speed.py --rounds 3 --out benchmarks/results/jax.json

The epochs are contestants as those of `training.py`, on one core, each in a process of its own. The four
transformations are timed in one process a round: the least of some repetitions, in milliseconds of processor time.
(The file isn't called jax.py: beside the others it would stand in the way of `import jax`.)
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import training
from machine import versions
from recording import provenance

HERE = Path(__file__).parent
SCENARIO = "one core"
TIMES = ("one value", "value and gradient", "128 values, one by one", "128 values by vmap", "step, op by op")
TIMES += ("step, compiled", "compiling the step", "Flax example's step, op by op")  # what `transforms` measures


def transforms() -> dict[str, float]:
    """Milliseconds of each; a model of 784-400-20-400-784 units and a batch of 128."""
    import jax
    import jax.numpy as jnp
    import optax
    from peers import flax_example
    from peers.jax_file import jax_vae

    adam, key = optax.adam(1e-3), jax.random.key(0)
    structure, state = jax_vae.start(jax_vae.VAE(784, 400, 20, seed=0), adam)
    x = (jax.random.uniform(key, (128, 784)) > 0.8).astype(jnp.float32)

    def loss(weights: Any) -> Any:
        return -jax_vae.elbos(jax_vae.nnx.merge(structure, weights), x, key).mean()

    def one_elbo(weights: Any, x: Any, key: Any) -> Any:
        return jax_vae.elbo(jax_vae.nnx.merge(structure, weights), x, key)

    value, gradient = jax.jit(loss), jax.jit(jax.value_and_grad(loss))
    single, batch = jax.jit(one_elbo), jax.jit(jax.vmap(one_elbo, (None, 0, 0)))
    keys = jax.random.split(key, len(x))
    examples = [*zip(x, keys, strict=True)]
    step, op_by_op = jax_vae.step, jax_vae.step.__wrapped__
    started = time.process_time()
    step.lower(structure, adam, state, x, key).compile()
    compiling = time.process_time() - started
    found = (
        _least(value, state.weights),
        _least(gradient, state.weights),
        _least(lambda: [single(state.weights, *example) for example in examples]),
        _least(batch, state.weights, x, keys),
        _least(op_by_op, structure, adam, state, x, key),
        _least(step, structure, adam, state, x, key),
        1e3 * compiling,
        _least(flax_example.step.__wrapped__, flax_example.fresh(x), x, key),
    )
    return dict(zip(TIMES, found, strict=True))


def _least(function: Callable[..., Any], *args: Any, repetitions: int = 20) -> float:
    """Milliseconds of processor time; the first call, which compiles, is not counted."""
    import jax

    jax.block_until_ready(function(*args))
    taken = []
    for _ in range(repetitions):
        started = time.process_time()
        jax.block_until_ready(function(*args))
        taken.append(1e3 * (time.process_time() - started))
    return min(taken)


def in_a_process() -> dict[str, float]:
    """`transforms`, pinned to one core as the contestants are."""
    with training.conditions(training.SCENARIOS[SCENARIO]) as environment:
        command = [sys.executable, "-c", "import json, jax_speed; print(json.dumps(jax_speed.transforms()))"]
        done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the transformations failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def transforms_text(rounds: list[dict[str, float]]) -> str:
    """Medians over the rounds."""
    lines = [f"  {name:28}{median(taken[name] for taken in rounds):10.2f} ms" for name in TIMES]
    return "\n".join(["Transformations, one core: processor time", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description="What JAX's transformations buy, and an epoch beside its peers.")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every contestant (%(default)s)")
    parser.add_argument("--examples", type=int, default=60_000, help="training examples of an epoch (%(default)s)")
    parser.add_argument("--out", type=Path, help="store every run here, as JSON")
    arguments = parser.parse_args()
    taken, records = [], []
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        training.save_images(images, arguments.examples)
        for turn in range(arguments.rounds):
            taken.append(in_a_process())
            records += [record | dict(round=turn) for record in training.bench(["jax"], 1, images)]
            if arguments.out:  # after each round, so that an interrupted run leaves whole ones
                kept = dict(examples=arguments.examples, transforms=taken, records=records)
                kept = dict(machine=provenance() | versions("numpy", "jax", "flax", "optax")) | kept
                arguments.out.write_text(json.dumps(kept, indent=1) + "\n")
    print(transforms_text(taken), training.table_text(records, "jax", SCENARIO), sep="\n\n", end="\n\n")
    print(training.goals_text(records))


if __name__ == "__main__":
    main()
