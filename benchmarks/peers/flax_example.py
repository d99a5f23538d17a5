"""The Flax project's VAE example, written after its public description: one jitted step a batch, optax's Adam.

Since May 2023 (commit db97574b) the example calls its step op by op, without `jax.jit`, which makes it many times as
slow (`jax_speed.py` has both). Its hidden layers have 500 units; here 400, for equal work. Its batches come from
TensorFlow's data pipeline; here from an array in memory, shuffled by NumPy, which costs less.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.training.train_state import TrainState

BATCH_SIZE = {"mlp": 128}


class VAE(nn.Module):
    @nn.compact
    def __call__(self, x, key):
        h = nn.relu(nn.Dense(400)(x))
        mu, log_var = nn.Dense(20)(h), nn.Dense(20)(h)
        z = mu + jnp.exp(0.5 * log_var) * jax.random.normal(key, mu.shape)
        return nn.Dense(784)(nn.relu(nn.Dense(400)(z))), mu, log_var


@jax.vmap
def cross_entropy(logits, x):
    log_p = nn.log_sigmoid(logits)
    return -jnp.sum(x * log_p + (1.0 - x) * jnp.log(-jnp.expm1(log_p)))


@jax.vmap
def kl_divergence(mu, log_var):
    return -0.5 * jnp.sum(1 + log_var - mu**2 - jnp.exp(log_var))


def loss_function(params, x, key):
    logits, mu, log_var = VAE().apply({"params": params}, x, key)
    return cross_entropy(logits, x).mean() + kl_divergence(mu, log_var).mean()


@jax.jit
def step(state, x, key):
    return state.apply_gradients(grads=jax.grad(loss_function)(state.params, x, key))


ADAM = optax.adam(1e-3)  # one object, so that the step compiled in the warm-up is the step that is timed


def fresh(x):
    """The state that training begins with."""
    key = jax.random.key(0)
    return TrainState.create(apply_fn=APPLY, params=VAE().init(key, x, key)["params"], tx=ADAM)


def mlp(images):
    x, shuffle = images.astype(np.float32), np.random.default_rng(0)
    states = [fresh(x[: BATCH_SIZE["mlp"]])]

    def train():
        state, keys = states[-1], jax.random.key(1)
        for rows in shuffle.permutation(len(x)).reshape(-1, BATCH_SIZE["mlp"]):
            keys, key = jax.random.split(keys)
            state = step(state, x[rows], key)
        states[-1] = jax.block_until_ready(state)

    def loss(images):
        return float(loss_function(states[-1].params, images.astype(np.float32), jax.random.key(2)))

    return train, loss


APPLY = VAE().apply
