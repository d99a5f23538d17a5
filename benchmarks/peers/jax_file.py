"""The file of the chapter "The same in JAX", book/jax_vae.py: its epoch op by op, with a compiled step, and scanned."""

import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

sys.path.append(str(Path(__file__).parents[2] / "book"))
import jax_vae  # noqa: E402

BATCH_SIZE = dict.fromkeys(("op_by_op", "loop", "scan"), 128)
ADAM = optax.adam(1e-3)  # one object, so that the step compiled in the warm-up is the step that is timed


def _fit(how, images):
    x = jnp.asarray(images, np.float32)
    structure, state = jax_vae.start(jax_vae.VAE(784, 400, 20, seed=0), ADAM)
    states, key = [state], jax.random.key(1)
    if how == "scan":  # compiled here, before the clock: its program is one for each number of steps
        compiled = jax_vae.epoch.lower(structure, ADAM, state, x, key, batch_size=128).compile()
    else:
        step = jax_vae.step if how == "loop" else jax_vae.step.__wrapped__

    def train():
        state = states[-1]
        if how == "scan":
            state, _ = compiled(state, x, key)
        else:
            for rows, own in zip(*jax_vae.order_and_keys(key, len(x), 128), strict=True):
                state, _ = step(structure, ADAM, state, x[rows], own)
        states[-1] = jax.block_until_ready(state)

    def loss(images):
        model = jax_vae.nnx.merge(structure, states[-1].weights)
        return float(-jax_vae.elbos(model, jnp.asarray(images, np.float32), jax.random.key(2)).mean())

    return train, loss


op_by_op, loop, scan = (partial(_fit, how) for how in BATCH_SIZE)
