"""The file of the chapter on JAX is short, as the chapter shows it, and PyTorch's model in every number."""

import ast
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from vae_tutorial.bounds import elbo
from vae_tutorial.checks import check_reparameterize, from_jax
from vae_tutorial.datasets import binarize, digits
from vae_tutorial.likelihoods import bernoulli
from vae_tutorial.models import mlp_vae

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "book"))
FILE = (ROOT / "book" / "jax_vae.py").read_text(encoding="utf-8")

jax = pytest.importorskip("jax", reason='no JAX: book/jax_vae.py was NOT tested; pip install "vae_tutorial[jax]"')
REMEDY = 'no {}: book/jax_vae.py was NOT tested; pip install "vae_tutorial[jax]"'
nnx = pytest.importorskip("flax.nnx", reason=REMEDY.format("Flax"))
optax = pytest.importorskip("optax", reason=REMEDY.format("Optax"))
jax_vae = pytest.importorskip("jax_vae")
jnp = jax.numpy

M, D, HIDDEN, L = 12, 64, 64, 32  # three square matrices of four: turned the wrong way, they still fit
EXACT, SINGLE = 1e-12, 1e-5


@pytest.fixture(autouse=True)
def double_precision():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def to_tensor(array):
    return torch.tensor(np.asarray(array))


def noise_of(key, n, dtype=None):
    """What `elbos` draws from a key, for n examples."""
    return to_tensor(jax.vmap(lambda own: jax.random.normal(own, (L,), dtype))(jax.random.split(key, n)))


def data(n=M, dtype=torch.float64):
    return binarize(digits().x_train[:n], torch.Generator().manual_seed(0)).to(dtype)


def model_in_torch(dtype=torch.float64):
    return mlp_vae(D, HIDDEN, L, bernoulli, seed=0).to(dtype)


def model_in_jax(model, file=jax_vae):
    return file.from_torch(file.VAE(D, HIDDEN, L, seed=1), model.state_dict())


def gaps(file=jax_vae, dtype=torch.float64):
    """How far the file lies from PyTorch, weights and noise being the same: in the ELBO, relative, and its gradient."""
    model, x, key = model_in_torch(dtype), data(dtype=dtype), jax.random.key(3)
    eps = noise_of(key, M, jnp.float32 if dtype == torch.float32 else jnp.float64)
    bounds = elbo(model, x, eps=eps[None])
    bounds.mean().backward()
    structure, weights = nnx.split(model_in_jax(model, file))

    def mean_elbo(weights):
        values = file.elbos(nnx.merge(structure, weights), jnp.array(x), key)
        return values.mean(), values

    gradient, values = jax.jit(jax.grad(mean_elbo, has_aux=True))(weights)
    named = jax_vae.to_torch(nnx.merge(structure, gradient))
    if values.shape != (M,):
        return np.inf, np.inf
    in_bound = (to_tensor(values) - bounds.detach()).abs().max() / bounds.detach().abs().max()
    pairs = [(torch.tensor(named[name]), parameter.grad) for name, parameter in model.named_parameters()]
    if any(mine.shape != theirs.shape for mine, theirs in pairs):
        return float(in_bound), np.inf
    return float(in_bound), max(float((mine - theirs).abs().max()) for mine, theirs in pairs)


# The file


def test_it_is_one_file_of_at_most_150_lines_that_needs_jax_flax_and_optax_alone():
    assert len(FILE.splitlines()) <= 150
    modules = {getattr(node, "module", None) or node.names[0].name for node in ast.walk(ast.parse(FILE))
               if isinstance(node, (ast.Import, ast.ImportFrom))}  # fmt: skip
    assert modules == {"functools", "typing", "jax", "jax.numpy", "numpy", "optax", "flax"}


def test_what_the_chapter_shows_of_it_is_its_text():
    notebook = json.loads((ROOT / "book" / "jax.ipynb").read_text(encoding="utf-8"))
    in_file = {node.name: ast.unparse(node) for node in ast.parse(FILE).body if hasattr(node, "name")}
    shown = {
        node.name: ast.unparse(node)
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
        for node in ast.parse("".join(cell["source"])).body
        if getattr(node, "name", None) in in_file
    }
    assert (
        len(shown) >= 9 and {"kl_divergence", "reparameterize", "elbo", "step", "epoch", "from_torch"} <= shown.keys()
    )
    assert shown == {name: in_file[name] for name in shown}


# PyTorch's numbers


def test_elbo_and_every_gradient_are_those_of_pytorch_in_double_precision():
    in_bound, in_gradient = gaps()
    assert in_bound < EXACT and in_gradient < EXACT


def test_and_in_single_precision():
    in_bound, in_gradient = gaps(dtype=torch.float32)
    assert EXACT < in_bound < SINGLE and in_gradient < SINGLE


def test_weights_go_to_jax_and_back_bit_by_bit():
    model = model_in_torch()
    back = jax_vae.to_torch(model_in_jax(model))
    assert list(back) == list(model.state_dict())
    assert all(torch.equal(torch.tensor(back[name]), value) for name, value in model.state_dict().items())


def test_a_model_made_in_jax_can_be_carried_to_pytorch():
    made = jax_vae.VAE(D, HIDDEN, L, seed=3)
    model = model_in_torch(torch.float32)
    model.load_state_dict({name: torch.tensor(value) for name, value in jax_vae.to_torch(made).items()})
    x, key = data(dtype=torch.float32), jax.random.key(4)
    in_torch = elbo(model, x, eps=noise_of(key, M, jnp.float32)[None])
    assert torch.allclose(to_tensor(jax_vae.elbos(made, jnp.array(x), key)), in_torch, rtol=SINGLE)


def test_reparameterize_is_the_draw_for_any_noise(monkeypatch):
    """Its noise exchanged for the one of the check."""

    def given(mu, log_var, eps):
        monkeypatch.setattr(jax.random, "normal", lambda key, shape, dtype: eps)
        return jax_vae.reparameterize(None, mu, log_var)

    assert check_reparameterize(from_jax(jax.jit(given))).passed


# Training


def curves(file=jax_vae, n_epochs=2, n=1024):
    """The ELBO of each step, in JAX and in PyTorch, where the latter takes rows and noise from the same keys."""
    model, x = model_in_torch(), data(n)
    structure, state = file.start(model_in_jax(model), adam := optax.adam(3e-3))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    in_jax, in_torch = [], []
    for key in jax.random.split(jax.random.key(5), n_epochs):
        state, by_step = file.epoch(structure, adam, state, jnp.array(x), key)
        in_jax += by_step.tolist()
        for rows, own in zip(*jax_vae.order_and_keys(key, n, 128), strict=True):
            bound = elbo(model, x[to_tensor(rows)], eps=noise_of(own, 128)[None]).mean()
            optimizer.zero_grad()
            (-bound).backward()
            optimizer.step()
            in_torch.append(bound.item())
    return np.array(in_jax), np.array(in_torch)


def test_the_training_curves_are_one():
    in_jax, in_torch = curves()
    assert in_jax.shape == in_torch.shape == (16,) and in_jax[-1] > in_jax[0] + 5
    assert np.abs(in_jax - in_torch).max() < 1e-11


def test_an_epoch_is_its_steps_one_by_one():
    structure, state = jax_vae.start(jax_vae.VAE(D, HIDDEN, L, seed=1), adam := optax.adam(3e-3))
    x, key = jnp.array(data(300, torch.float32)), jax.random.key(0)
    after, by_step = jax_vae.epoch(structure, adam, state, x, key, batch_size=100)
    for n, (rows, own) in enumerate(zip(*jax_vae.order_and_keys(key, 300, 100), strict=True)):
        state, value = jax_vae.step(structure, adam, state, x[rows], own)
        assert abs(float(value) - float(by_step[n])) < 1e-3
    for one, other in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        assert np.allclose(one, other, atol=1e-4)


def test_an_epoch_sees_every_row_once_and_its_keys_are_all_different():
    rows, keys = jax_vae.order_and_keys(jax.random.key(2), 1000, 128)
    assert rows.shape == (7, 128) and len(np.unique(rows)) == 7 * 128 and not np.array_equal(np.sort(rows), rows)
    assert len(np.unique(jax.random.key_data(keys), axis=0)) == 7
    own = jax.random.key_data(jax.random.key(2))
    assert not (jax.random.key_data(keys) == own).all(-1).any()


# Planted mistakes: the file with one line changed


MISTAKES = {
    "a standard deviation for the variance": ("jnp.exp(log_var) - 1", "jnp.exp(0.5 * log_var) - 1"),
    "the log-variance taken for log σ": ("jnp.exp(0.5 * log_var) * eps", "jnp.exp(log_var) * eps"),
    "the log-variance taken for σ": ("jnp.exp(0.5 * log_var) * eps", "log_var * eps"),
    "the KL's half forgotten": ("return 0.5 * jnp.sum(mu**2", "return jnp.sum(mu**2"),
    "the KL averaged over latents": ("0.5 * jnp.sum(mu**2", "0.5 * jnp.mean(mu**2"),
    "the pixels averaged": ("jnp.sum(x * logits", "jnp.mean(x * logits"),
    "the KL added": ("model.decoder(z)) - kl", "model.decoder(z)) + kl"),
    "one key for all examples": ("jax.vmap(partial(elbo, model))(x, keys)",
                                 "jax.vmap(partial(elbo, model), (0, None))(x, key)"),
    "square kernels not turned": ("    return model\n", "        if layer.in_features == layer.out_features:\n"
                                  "            layer.kernel = nnx.Param(layer.kernel[...].T)\n    return model\n"),
    "the heads exchanged": ("    mu, log_var = model.encoder(x)", "    log_var, mu = model.encoder(x)"),
    "the mean decoded": ("    z = reparameterize(key, mu, log_var)", "    z = mu"),
    "no gradient through the draw": ("    z = reparameterize(key, mu, log_var)",
                                     "    z = jax.lax.stop_gradient(reparameterize(key, mu, log_var))"),
    "a sigmoid before the likelihood": ("return self.pixels(nnx.relu(self.hidden(z)))",
                                        "return nnx.sigmoid(self.pixels(nnx.relu(self.hidden(z))))"),
    "another activation": ("nnx.relu(self.hidden(x))", "nnx.gelu(self.hidden(x))"),
    "a bias left behind": ("    return model\n",
                           "        layer.bias = nnx.Param(0 * layer.bias[...])\n    return model\n"),
    "a batch total": ("jax.vmap(partial(elbo, model))(x, keys)", "jax.vmap(partial(elbo, model))(x, keys).sum()"),
    "half precision in the draw": ("mu.shape, mu.dtype)", "mu.shape, jnp.float16)"),
}  # fmt: skip

IN_TRAINING = {
    "the key used again at every step": ("jax.random.split(noise, S)", "jnp.stack([noise] * S)"),
    "the noise's key not split from the shuffle's": ("jax.random.split(noise, S)", "jax.random.split(key, S)"),
    "up the loss": ("return -elbos(", "return elbos("),
    "a sum where the mean belongs": ("x, key).mean()", "x, key).sum()"),
    "the optimizer's memory dropped": (", memory), -value", ", state.optimizer), -value"),
    "rows in their order": ("jax.random.permutation(shuffle, n)", "jnp.arange(n)"),
}


def broken(old, new):
    """The file as a module, with one text exchanged for another."""
    assert old in FILE and old != new
    module = type(jax_vae)("broken_jax_vae")
    exec(compile(FILE.replace(old, new), "broken_jax_vae", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_told_by_the_comparison(mistake):
    in_bound, in_gradient = gaps(broken(*MISTAKES[mistake]))
    assert max(in_bound, in_gradient) > SINGLE  # far beyond either tolerance


@pytest.mark.parametrize("mistake", IN_TRAINING)
def test_a_planted_mistake_in_training_is_told_by_the_curves(mistake):
    in_jax, in_torch = curves(broken(*IN_TRAINING[mistake]), n_epochs=1)
    assert np.abs(in_jax - in_torch).max() > 1e-3


def test_the_draws_of_a_batch_are_independent():
    """No two alike, uncorrelated within five standard errors."""
    draw = partial(jax_vae.reparameterize, mu=jnp.zeros(2), log_var=jnp.zeros(2))
    z = np.asarray(jax.vmap(lambda key: draw(key))(jax.random.split(jax.random.key(0), 4000)))
    assert len(np.unique(z[:, 0])) == 4000
    assert abs((z[1:] * z[:-1]).mean()) < 5 / np.sqrt(2 * 3999)
    assert abs(z.mean()) < 5 / np.sqrt(8000) and abs((z**2).mean() - 1) < 5 * np.sqrt(2 / 8000)
