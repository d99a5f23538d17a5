"""A variational autoencoder in JAX: this file is all of it, and yours to take away.

    structure, state = start(VAE(784, 400, 20, seed=0), adam := optax.adam(1e-3))
    state, elbo_by_step = epoch(structure, adam, state, x, jax.random.key(1))

Terms are of one example, in nats, and jax.vmap makes a batch: x has D dimensions,
z has L, a batch M rows, an epoch S steps. It needs jax, flax and optax.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx


class Encoder(nnx.Module):
    """q(z|x) = N(mu, diag exp(log_var)): x, (D,), to mu and log_var, (L,) each."""

    def __init__(self, x_dim, hidden_dim, latent_dim, rngs):
        self.hidden = nnx.Linear(x_dim, hidden_dim, rngs=rngs)
        self.head = nnx.Linear(hidden_dim, 2 * latent_dim, rngs=rngs)

    def __call__(self, x):
        return jnp.split(self.head(nnx.relu(self.hidden(x))), 2, axis=-1)


class Decoder(nnx.Module):
    """p(x|z): z, (L,), to the logits of D pixels."""

    def __init__(self, x_dim, hidden_dim, latent_dim, rngs):
        self.hidden = nnx.Linear(latent_dim, hidden_dim, rngs=rngs)
        self.pixels = nnx.Linear(hidden_dim, x_dim, rngs=rngs)

    def __call__(self, z):
        return self.pixels(nnx.relu(self.hidden(z)))


class VAE(nnx.Module):
    """Encoder and decoder; the prior is N(0, I), the likelihood Bernoulli."""

    def __init__(self, x_dim, hidden_dim, latent_dim, *, seed):
        rngs = nnx.Rngs(seed)
        self.encoder = Encoder(x_dim, hidden_dim, latent_dim, rngs)
        self.decoder = Decoder(x_dim, hidden_dim, latent_dim, rngs)


def reparameterize(key, mu, log_var):
    """z = mu + sigma eps, with the noise eps that belongs to the key."""
    eps = jax.random.normal(key, mu.shape, mu.dtype)
    return mu + jnp.exp(0.5 * log_var) * eps


def kl_divergence(mu, log_var):
    """KL(N(mu, diag exp(log_var)) || N(0, I)) of one example: a number."""
    return 0.5 * jnp.sum(mu**2 + jnp.exp(log_var) - 1 - log_var)


def log_bernoulli(x, logits):
    """log p(x|z) of one example with independent pixels, given logits: a number."""
    return jnp.sum(x * logits - jax.nn.softplus(logits))


def elbo(model, x, key):
    """The evidence lower bound of one example, estimated with one draw: a number."""
    mu, log_var = model.encoder(x)
    z = reparameterize(key, mu, log_var)
    return log_bernoulli(x, model.decoder(z)) - kl_divergence(mu, log_var)


def elbos(model, x, key):
    """The same for a batch, (M, D) to (M,): the key is split, one per example."""
    keys = jax.random.split(key, len(x))
    return jax.vmap(partial(elbo, model))(x, keys)


class State(NamedTuple):
    """What training changes: the weights, and what the optimizer remembers."""

    weights: nnx.State
    optimizer: optax.OptState


def start(model, adam):
    """A model as its structure, which stays, and the `State` to begin with."""
    structure, weights = nnx.split(model)
    return structure, State(weights, adam.init(weights))


@partial(jax.jit, static_argnames=("structure", "adam"))
def step(structure, adam, state, x, key):
    """Noise, estimate, gradient, update: the new state, and the ELBO before it."""

    def loss(weights):
        return -elbos(nnx.merge(structure, weights), x, key).mean()

    value, gradient = jax.value_and_grad(loss)(state.weights)
    update, memory = adam.update(gradient, state.optimizer, state.weights)
    return State(optax.apply_updates(state.weights, update), memory), -value


def order_and_keys(key, n, batch_size):
    """What an epoch draws: rows of each batch, (S, M), and a key for each, (S,)."""
    shuffle, noise = jax.random.split(key)
    S = n // batch_size  # batches have one shape: the last few rows sit out
    rows = jax.random.permutation(shuffle, n)[: S * batch_size]
    return rows.reshape(S, batch_size), jax.random.split(noise, S)


@partial(jax.jit, static_argnames=("structure", "adam", "batch_size"))
def epoch(structure, adam, state, x, key, *, batch_size=128):
    """One pass over x, a single compiled program: the state, the ELBO by step."""

    def one(state, drawn):
        rows, key = drawn
        return step(structure, adam, state, x[rows], key)

    return jax.lax.scan(one, state, order_and_keys(key, len(x), batch_size))


def layers(model):
    """The four linear layers, by the names that the PyTorch model gives them."""
    return {
        "encoder.0": model.encoder.hidden,
        "encoder.2": model.encoder.head,
        "decoder.0": model.decoder.hidden,
        "decoder.2": model.decoder.pixels,
    }


def from_torch(model, state_dict):
    """The model with PyTorch's weights, whose kernels lie the other way round."""
    for name, layer in layers(model).items():
        layer.kernel = nnx.Param(
            jnp.array(np.asarray(state_dict[f"{name}.weight"]).T)
        )
        layer.bias = nnx.Param(jnp.array(np.asarray(state_dict[f"{name}.bias"])))
    return model


def to_torch(model):
    """The weights as NumPy arrays under PyTorch's names, kernels turned back."""
    named = {}
    for name, layer in layers(model).items():
        named[f"{name}.weight"] = np.asarray(layer.kernel[...]).T
        named[f"{name}.bias"] = np.asarray(layer.bias[...])
    return named
