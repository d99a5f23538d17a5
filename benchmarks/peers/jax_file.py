"""The file of the chapter "The same in JAX", book/jax_vae.py: a loop of compiled steps, and a scanned epoch."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

sys.path.append(str(Path(__file__).parents[2] / "book"))
import jax_vae

BATCH_SIZE = dict.fromkeys(("loop", "scan"), 128)
ADAM = optax.adam(1e-3)  # one object, so that the step compiled in the warm-up is the step that is timed


def _start(images):
    x = images.astype(np.float32)
    structure, state = jax_vae.start(jax_vae.VAE(784, 400, 20, seed=0), ADAM)
    states = [state]

    def loss(images):
        model = jax_vae.nnx.merge(structure, states[-1].weights)
        return float(-jax_vae.elbos(model, jnp.asarray(images, np.float32), jax.random.key(2)).mean())

    return x, structure, states, loss


def loop(images):
    """As one writes it first: Python takes the rows of a batch and calls the compiled step."""
    x, structure, states, loss = _start(images)
    order = jax.jit(jax_vae.order_and_keys, static_argnums=(1, 2)).lower(jax.random.key(1), len(x), 128).compile()
    [*order(jax.random.key(1))[1]]  # compiles how a key is taken out of so many

    def train():
        state = states[-1]
        rows, keys = order(jax.random.key(1))
        for batch, key in zip(np.asarray(rows), keys, strict=True):
            state, _ = jax_vae.step(structure, ADAM, state, x[batch], key)
        states[-1] = jax.block_until_ready(state)

    return train, loss


def scan(images):
    """The file's `epoch`, compiled before the clock starts: its program is one for each number of steps."""
    x, structure, states, loss = _start(images)
    x, key = jnp.asarray(x), jax.random.key(1)
    epoch = jax_vae.epoch.lower(structure, ADAM, states[-1], x, key, batch_size=128).compile()

    def train():
        state, _ = epoch(states[-1], x, key)
        states[-1] = jax.block_until_ready(state)

    return train, loss
