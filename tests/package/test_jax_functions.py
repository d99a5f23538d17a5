"""`from_jax`: the checks take functions of JAX arrays, values and gradients, and name their mistakes."""

import doctest
import inspect
import math
import subprocess
import sys

import pytest
import torch

from vae_tutorial.checks import (
    check_elbo,
    check_iwae_bound,
    check_kl,
    check_log_bernoulli,
    check_log_normal,
    check_reduction,
    check_reparameterize,
    from_jax,
    jax_functions,
    standard_deviation,
)
from vae_tutorial.checks.exact import NOISE_VAR

jax = pytest.importorskip("jax", reason='no JAX: from_jax was NOT tested; pip install "vae_tutorial[jax]"')
jnp = jax.numpy


def terms(mu, log_var):
    return 0.5 * (mu**2 + jnp.exp(log_var) - 1 - log_var)


def kl(mu, log_var):
    return terms(mu, log_var).sum()


def log_bernoulli(x, logits):
    return (x * logits - jax.nn.softplus(logits)).sum()


def log_normal(x, mu, log_var):
    return -0.5 * (jnp.log(2 * jnp.pi) + log_var + ((x - mu) * jnp.exp(-0.5 * log_var)) ** 2).sum()


def draw(mu, log_var, eps):
    return mu + jnp.exp(0.5 * log_var) * eps


# Right functions pass


@pytest.mark.parametrize("check, function", [
    (check_kl, jax.vmap(kl)),
    (check_kl, jax.jit(jax.vmap(kl))),
    (check_log_bernoulli, jax.jit(jax.vmap(log_bernoulli))),
    (check_log_normal, jax.jit(jax.vmap(log_normal))),
    (check_reparameterize, jax.jit(draw)),
    (check_iwae_bound, jax.jit(lambda log_w: jax.nn.logsumexp(log_w, axis=0) - jnp.log(log_w.shape[0]))),
])  # fmt: skip
def test_a_right_function_passes(check, function):
    check = check(from_jax(function))
    assert check.passed, check


def test_other_conventions_and_the_checks_without_an_exact_answer_take_them_as_well():
    by_std = from_jax(jax.jit(jax.vmap(lambda mu, std: 0.5 * (mu**2 + std**2 - 1 - 2 * jnp.log(std)).sum())))
    assert check_kl(by_std, spread=standard_deviation).passed
    mu, log_var = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert check_reduction(from_jax(jax.jit(jax.vmap(kl))), mu, log_var).passed


def loss_of_four(array, weight):
    def loss(x_hat, x, mu, log_var):
        squares = 0.5 * (math.log(2 * math.pi * NOISE_VAR) + (x - x_hat) ** 2 / NOISE_VAR).sum()
        return squares + weight * 0.5 * (mu**2 + array.exp(log_var) - 1 - log_var).sum()

    return loss


@pytest.mark.parametrize("weight", [1, 2])
def test_check_elbo_says_of_a_loss_of_four_arguments_what_it_says_in_pytorch(weight):
    in_jax, in_torch = check_elbo(from_jax(jax.jit(loss_of_four(jnp, weight)))), check_elbo(loss_of_four(torch, weight))
    assert (in_jax.passed, in_jax.mistake) == (in_torch.passed, in_torch.mistake)


# Wrong ones are named


@pytest.mark.parametrize("check, function, said", [
    (check_kl, jax.vmap(lambda m, s: 0.5 * (m**2 + jnp.exp(0.5 * s) - 1 - s).sum()), "the standard deviation stands"),
    (check_kl, jax.vmap(lambda m, s: -kl(m, s)), "sign"),
    (check_kl, jax.vmap(lambda m, s: terms(m, s).mean()), "averaged over the last axis"),
    (check_kl, lambda m, s: terms(m, s).sum(), "summed over the batch"),
    (check_kl, lambda m, s: terms(m, s).sum(-1).mean(), "averaged over the batch"),
    (check_kl, jax.vmap(lambda m, s: 2 * kl(m, s)), "½"),
    (check_kl, lambda m, s: terms(m, jax.lax.stop_gradient(s)).sum(-1), "gradient"),
    (check_reparameterize, lambda m, s, eps: m + jnp.exp(s) * eps, "variance"),
    (check_reparameterize, lambda m, s, eps: m + s * eps, "log"),
    (check_reparameterize, lambda m, s, eps: jax.lax.stop_gradient(draw(m, s, eps)), "gradient"),
    (check_log_bernoulli, jax.vmap(lambda x, t: -log_bernoulli(x, t)), "sign"),
    (check_log_bernoulli, jax.vmap(lambda x, t: jnp.sum(x * jnp.log(jax.nn.sigmoid(t)))), "x"),
    (check_log_normal, jax.vmap(lambda x, m, s: log_normal(x, m, 2 * s)), ""),
    (check_log_normal, jax.vmap(lambda x, m, s: log_normal(x, m, s) + 0.5 * s.sum()), "log σ²"),
    (check_iwae_bound, lambda log_w: log_w.mean(0), "mean"),
])  # fmt: skip
def test_a_wrong_function_fails_and_the_mistake_is_named_as_in_pytorch(check, function, said):
    found = check(from_jax(function))
    assert not found.passed and said in found.mistake, found


def test_a_stub_stays_one_also_under_vmap():
    def stub(mu, log_var):
        return ...

    for function in (stub, jax.vmap(stub), jax.jit(stub)):
        assert "Yours to write" in check_kl(from_jax(function)).mistake


def test_what_jax_raises_is_told():
    check = check_kl(from_jax(lambda mu, log_var: mu + jnp.zeros(7)))
    assert not check.passed and "it raised " in check.mistake and "ncompatible shapes" in check.mistake


def test_other_type_errors_pass_through():
    def broken(x):
        raise TypeError("of its own")

    with pytest.raises(TypeError, match="of its own"):
        from_jax(broken)(torch.ones(2))


# What goes through


def test_values_gradients_and_structure_are_those_of_pytorch():
    a = torch.tensor([0.3, -1.2], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([[0.5, 2.0], [1.5, -0.1]], dtype=torch.float64, requires_grad=True)
    came = from_jax(lambda a, *, b: {"product": b @ a, "pair": (jnp.sin(a), 2 * b)})(a, b=b)
    expected = {"product": b @ a, "pair": (torch.sin(a), 2 * b)}
    assert torch.equal(came["pair"][1], expected["pair"][1]) and isinstance(came["pair"], tuple)
    for one, other in [(came["product"], expected["product"]), (came["pair"][0], expected["pair"][0])]:
        assert torch.allclose(one, other, rtol=0, atol=1e-15)
        v, how = torch.tensor([1.0, -3.0]), dict(allow_unused=True, retain_graph=True, materialize_grads=True)
        mine, theirs = (torch.autograd.grad((value * v).sum(), (a, b), **how) for value in (one, other))
        for gradient, expected_gradient in zip(mine, theirs, strict=True):
            assert torch.allclose(gradient, expected_gradient, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("x64", [True, False])
def test_the_dtype_stays_whatever_jax_is_set_to(dtype, x64):
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", x64)
    try:
        x = torch.tensor([0.1, 0.2], dtype=dtype, requires_grad=True)
        y = from_jax(lambda x: x * 3)(x)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert y.dtype == gradient.dtype == dtype and gradient.tolist() == [3, 3]
        assert torch.equal(y.detach(), 3 * x.detach())
        assert jax.config.jax_enable_x64 == x64
    finally:
        jax.config.update("jax_enable_x64", before)


def test_without_gradients_the_function_is_called_with_numbers():
    def branches(x):  # a Python branch on a value, which JAX cannot trace under jit
        return x if float(x.sum()) > 0 else -x

    assert from_jax(branches)(torch.tensor([-2.0])).tolist() == [2.0]


def test_the_result_is_a_tensor_of_its_own():
    x = torch.ones(2, dtype=torch.float64)
    y = from_jax(lambda x: x)(x)
    y.mul_(5)
    assert x.tolist() == [1, 1] and y.tolist() == [5, 5]


def test_a_second_derivative_is_refused_not_wrong():
    x = torch.ones(2, requires_grad=True)
    (gradient,) = torch.autograd.grad((from_jax(lambda x: x**3)(x)).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad|once_differentiable"):
        torch.autograd.grad(gradient.sum(), x)


def test_keys_and_numbers_reach_the_function_as_they_are():
    key = jax.random.key(0)
    noisy = from_jax(lambda key, x, factor: x + factor * jax.random.normal(key, x.shape, x.dtype))
    x = torch.zeros(3)
    assert torch.equal(noisy(key, x, 2.0), noisy(key, x, 2.0)) and noisy(key, x, 2.0).abs().min() > 0


def test_whole_numbers_and_tensors_without_gradient_go_along():
    picked = from_jax(lambda x, rows, weight: weight * x[rows])
    x = torch.tensor([1.0, 2.0, 5.0], requires_grad=True)
    y = picked(x, torch.tensor([2, 0, 2]), torch.tensor(3.0))
    assert y.tolist() == [15, 3, 15] and torch.autograd.grad(y.sum(), x)[0].tolist() == [3, 0, 6]


def test_name_and_signature_stay():
    assert from_jax(kl).__name__ == "kl" and list(inspect.signature(from_jax(kl)).parameters) == ["mu", "log_var"]
    assert check_kl(from_jax(kl)).claim.startswith("kl: ")


# What is refused


def test_a_model_of_pytorch_is_refused_with_the_way_out():
    check = check_elbo(from_jax(lambda model, x, eps: model.encode(x)[0].sum(-1)))
    assert not check.passed and "from_jax(loss) with loss(x_hat, x, mu, log_var)" in " ".join(check.mistake.split())


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="function must be a function of JAX arrays, got float"):
        from_jax(1.0)


def test_missing_jax_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ModuleNotFoundError, match='jax.* comes with the extra "jax": pip install'):
        from_jax(kl)


def test_importing_the_checks_imports_no_jax():
    program = "import sys, vae_tutorial.checks; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_example_of_its_page_runs():
    text = inspect.getdoc(from_jax).replace("  # doctest: +SKIP", "")
    (test,) = [doctest.DocTestParser().get_doctest(text, {}, "from_jax", jax_functions.__file__, 0)]
    assert len(test.examples) == 4
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0
