"""Whatever tensors come, of whatever dtype, shape, layout and device: the right value, or an error that names one.

hypothesis makes them, the same ones in every run. The right value is that of float64 copies, one row at a time.
"""

import inspect
import math
import warnings

import pytest
import torch

from vae_tutorial import bounds, gaussian
from vae_tutorial.ais import ais
from vae_tutorial.checks import agree
from vae_tutorial.datasets import binarize
from vae_tutorial.evaluation import bits_per_dim, marginal_log_likelihood
from vae_tutorial.history import History
from vae_tutorial.likelihoods import (
    autoregressive_normal,
    bernoulli,
    categorical,
    continuous_bernoulli,
    discretized_logistic,
    normal,
    normal_diag,
    normal_diag_above,
    sigma_normal,
)
from vae_tutorial.models import mlp_vae
from vae_tutorial.training import evaluate, fit

hypothesis = pytest.importorskip("hypothesis", reason="no hypothesis: properties were NOT tested")
st = hypothesis.strategies

settings = hypothesis.settings(
    max_examples=120,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
OTHERS = [torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn]
SHAPES = [(), (0,), (3,), (2, 0), (2, 3), (2, 6), (4, 2, 3), (4, 2, 6), (1, 1), (5, 4, 2, 3)]
LAYOUTS = ["plain", "transposed", "expanded", "strided", "sliced"]
LIKELIHOODS = {
    "bernoulli": bernoulli,
    "continuous_bernoulli": continuous_bernoulli,
    "normal": normal(-0.7),
    "normal_diag": normal_diag,
    "normal_diag_above": normal_diag_above(-1.5),
    "sigma_normal": sigma_normal,
    "autoregressive_normal": autoregressive_normal(1),
    "discretized_logistic": discretized_logistic(3),
    "categorical": categorical(3),
}


def laid_out(values, layout):
    """The same values elsewhere in memory: not contiguous, shared, or with a stride."""
    if layout == "transposed" and values.ndim > 1:
        return values.mT.contiguous().mT
    if layout == "expanded" and values.ndim > 0 and len(values):
        return values[:1].expand(values.shape)
    if layout == "strided" and values.ndim > 0:
        return values.repeat_interleave(2, -1)[..., ::2]
    if layout == "sliced" and values.ndim > 0:
        return torch.cat([values, values])[len(values) :]
    return values


@st.composite
def tensors(draw, shapes=SHAPES, support=None):
    """A tensor, mostly of real numbers; now and then of what is none, with a value that is none, or of another kind."""
    shape = draw(st.sampled_from(shapes))
    seed = draw(st.integers(0, 10**6))
    values = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    values = values * draw(st.sampled_from([1.0, 1.0, 1e-4, 8.0]))
    if support is not None:
        values = support(values)
    kind = draw(st.sampled_from(["float"] * 12 + ["other", "nan", "inf", "sparse", "meta", "list"]))
    if kind == "nan" or kind == "inf":
        values = values.clone()
        values.view(-1)[:1] = float(kind)
    dtype = draw(st.sampled_from(OTHERS if kind == "other" else FLOATS))
    result = laid_out(values.to(dtype), draw(st.sampled_from(LAYOUTS)))
    if kind == "list":
        return result.tolist()
    if kind == "sparse":
        return result.to_sparse()
    return result.to("meta") if kind == "meta" else result


def kept(argument):
    return argument.clone() if isinstance(argument, torch.Tensor) else argument


def call(function, names, arguments):
    """What the function gives, or None after an error that names an argument, tells what came, and is one of two."""
    before = [kept(argument) for argument in arguments]
    try:
        result = function(*arguments)
    except (TypeError, ValueError) as error:
        said = str(error)
        assert "overflows" in said or any(name in said for name in names), said
        assert "overflows" in said or "got" in said or "does not fit" in said, said
        result = None
    for argument, copy in zip(arguments, before, strict=True):
        if isinstance(argument, torch.Tensor) and not argument.is_meta and argument.layout == torch.strided:
            assert torch.equal(argument.to(torch.complex128).nan_to_num(7.5), copy.to(torch.complex128).nan_to_num(7.5))
    return result


def good(*arguments):
    """Whether all of them are tensors of finite real numbers, and not empty."""
    return all(
        isinstance(a, torch.Tensor)
        and a.dtype in FLOATS
        and a.layout == torch.strided
        and not a.is_meta
        and a.ndim > 0
        and a.numel() > 0
        and bool(a.isfinite().all())
        for a in arguments
    )


def alike(*arguments):
    return len({(a.shape, a.dtype) for a in arguments}) == 1


def close(result, expected, *arguments):
    """To the rounding of the coarsest dtype, with room for terms of up to a thousand that cancel."""
    eps = max(torch.finfo(a.dtype).eps for a in arguments)
    largest = max([1.0, *(a.double().abs().max().item() for a in arguments)])
    assert result.shape == expected.shape
    torch.testing.assert_close(result.double(), expected, rtol=200 * eps * largest, atol=200 * eps * largest)


def log_density(x, mu, log_var):
    return torch.distributions.Normal(mu, (log_var / 2).exp()).log_prob(x).sum(-1)


def kl(mu_q, log_var_q, mu_p, log_var_p):
    q, p = (torch.distributions.Normal(m, (v / 2).exp()) for m, v in ((mu_q, log_var_q), (mu_p, log_var_p)))
    return torch.distributions.kl_divergence(q, p).sum(-1)


ZERO = torch.zeros((), dtype=torch.float64)
GAUSSIAN = {
    gaussian.log_normal: log_density,
    gaussian.log_standard_normal: lambda z: log_density(z, ZERO, ZERO),
    gaussian.kl_standard_normal: lambda mu, log_var: kl(mu, log_var, ZERO, ZERO),
    gaussian.kl_normal: kl,
}


def names_of(function):
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("function", GAUSSIAN, ids=lambda function: function.__name__)
def test_densities_and_divergences_are_right_or_name_the_argument(function):
    names = names_of(function)

    @settings
    @hypothesis.given(st.data())
    def of(data):
        shapes = data.draw(st.sampled_from([SHAPES, *([shape] for shape in SHAPES[4:])]))
        arguments = [data.draw(tensors(shapes)) for _ in names]
        if data.draw(st.booleans()) and good(*arguments):
            arguments = [a.to(arguments[0].dtype) for a in arguments]
        result = call(function, names, arguments)
        if good(*arguments) and alike(*arguments):
            expected = GAUSSIAN[function](*(a.double() for a in arguments))
            if result is None:
                assert expected.abs().max() > torch.finfo(arguments[0].dtype).max / 100
            else:
                assert result.dtype == arguments[0].dtype
                if expected.abs().max() < 1000:
                    close(result, expected, *arguments)
        elif result is not None:  # with one more axis for samples
            assert function is gaussian.log_normal and good(*arguments) and alike(*arguments[1:])

    of()


@settings
@hypothesis.given(tensors(), tensors(), tensors())
def test_reparameterization_is_right_or_names_the_argument(mu, log_var, eps):
    result = call(gaussian.reparameterize, names_of(gaussian.reparameterize), (mu, log_var, eps))
    if result is not None:
        assert good(mu, log_var, eps) and alike(mu, log_var) and result.shape == eps.shape
        close(result, mu.double() + (log_var.double() / 2).exp() * eps.double(), mu, log_var, eps)


SUPPORT = {
    "bernoulli": lambda t: (t > 0).double(),
    "continuous_bernoulli": torch.sigmoid,
    "discretized_logistic": lambda t: (t.sigmoid() * 3).floor() / 2,
    "categorical": lambda t: (t.sigmoid() * 3).floor() / 2,
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods_are_right_or_name_the_argument(name):
    likelihood = LIKELIHOODS[name]
    n = likelihood.n_params
    dims = [((2, 3), (2, 3 * n)), ((2, 3), (4, 2, 3 * n)), ((4, 2, 3), (2, 3 * n)), ((1, 1), (1, n)), ((3,), (3 * n,))]

    @settings
    @hypothesis.given(st.data())
    def of(data):
        fitting = data.draw(st.sampled_from([True, True, False]))
        x_shape, params_shape = data.draw(st.sampled_from(dims)) if fitting else (None, None)
        x = data.draw(tensors([x_shape] if fitting else SHAPES, SUPPORT.get(name)))
        params = data.draw(tensors([params_shape] if fitting else SHAPES))
        result = call(likelihood.log_prob, ("x", "params"), (x, params))
        if fitting and good(x, params):
            wide = likelihood.log_prob(x.double(), params.double())
            if result is None:
                assert wide.abs().max() > torch.finfo(torch.promote_types(x.dtype, params.dtype)).max / 100
            elif wide.abs().max() < 1000:
                close(result, wide, x, params)
        elif result is not None:
            assert good(x, params)
        for function in (likelihood.mean, lambda p: likelihood.sample(p, torch.Generator().manual_seed(0))):
            result = call(function, ("params",), (params,))
            if result is not None:
                assert good(params) and result.dtype == params.dtype and result.isfinite().all()
                assert result.shape == (*params.shape[:-1], params.shape[-1] // n)

    of()


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_rows_do_not_mix(name):
    """The value of a row is what it is by itself, wherever it lies in memory."""
    likelihood = LIKELIHOODS[name]

    @settings
    @hypothesis.given(st.integers(0, 10**6), st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS), st.integers(0, 3))
    def of(seed, layout, other, row):
        generator = torch.Generator().manual_seed(seed)
        x = SUPPORT.get(name, torch.clone)(torch.randn(4, 3, dtype=torch.float64, generator=generator))
        params = torch.randn(4, 3 * likelihood.n_params, dtype=torch.float64, generator=generator)
        x, params = laid_out(x, layout), laid_out(params, other)
        alone = likelihood.log_prob(x[row].clone(), params[row].clone())
        torch.testing.assert_close(likelihood.log_prob(x, params)[row], alone, rtol=1e-13, atol=1e-13)

    of()


@pytest.mark.parametrize("function", [bounds.iwae_bound, bounds.effective_sample_size], ids=lambda f: f.__name__)
def test_functions_of_log_weights_are_right_or_name_them(function):
    @settings
    @hypothesis.given(tensors())
    def of(log_w):
        result = call(function, ("log_w",), (log_w,))
        if not good(log_w):
            assert result is None
            return
        wide = log_w.double()
        bound = wide.logsumexp(0) - math.log(len(wide))
        size = (2 * wide.logsumexp(0) - (2 * wide).logsumexp(0)).exp()
        close(result, bound if function is bounds.iwae_bound else size, log_w)

    of()


@pytest.mark.parametrize(
    "function", [bounds.elbo, bounds.elbo_terms, bounds.log_weights, bounds.iwae_terms], ids=lambda f: f.__name__
)
def test_bounds_are_finite_or_name_the_argument(function):
    model = mlp_vae(3, 4, 2, normal(0.0), seed=0)

    @settings
    @hypothesis.given(tensors(), st.sampled_from([1, 3, 0, -1, 1.5, None]), st.sampled_from([None, *SHAPES, (3, 2, 2)]))
    def of(x, n_samples, shape):
        eps = None if shape is None else torch.zeros(shape)
        names = ("x", "n_samples", "eps", "z")
        result = call(lambda x: function(model, x, n_samples, eps=eps), names, (x,))
        if result is not None:
            assert good(x) and x.shape[1:] == (3,) and x.dtype == torch.float32
            leading = (len(eps) if eps is not None else n_samples,) if function is bounds.log_weights else ()
            for value in result if isinstance(result, tuple) else [result]:
                assert value.shape == (*leading, len(x)) and value.isfinite().all()

    of()


MODEL = mlp_vae(3, 4, 2, normal(-0.7), seed=0)
TRAINED_ON = torch.rand(8, 3, generator=torch.Generator().manual_seed(0))
ROWS = [(2, 3), (1, 3), (4, 2, 3), (3,), (0, 3), (2, 2), ()]
MEASURING = {
    "evaluate": (lambda x: evaluate(MODEL, x, seed=0), ("x",)),
    "marginal_log_likelihood": (
        lambda x: marginal_log_likelihood(MODEL, x, 4, seed=0, progress=False),
        ("x",),
    ),
    "ais": (lambda x: ais(MODEL, x, 2, n_steps=2, generator=torch.Generator().manual_seed(0)), ("x",)),
    "fit": (
        lambda x: fit(mlp_vae(3, 4, 2, normal(-0.7), seed=0), x, epochs=1, seed=0, device="cpu", progress=False),
        ("x_train", "x"),
    ),
    "validation": (
        lambda x: fit(
            mlp_vae(3, 4, 2, normal(-0.7), seed=0), TRAINED_ON, x, epochs=1, seed=0, device="cpu", progress=False
        ),
        ("x_val", "x"),
    ),
}


@pytest.mark.parametrize("name", MEASURING)
@hypothesis.settings(settings, max_examples=40)
@hypothesis.given(x=tensors(ROWS))
def test_measuring_and_training_give_finite_numbers_or_name_the_argument(name, x):
    function, names = MEASURING[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hints
        result = call(function, names, [x])
    if result is not None:
        numbers = torch.as_tensor(result.elbo if isinstance(result, History) else result)
        assert numbers.isfinite().all()


VALUES = {
    "binarize": (lambda x: binarize(x, torch.Generator().manual_seed(0)), lambda t: t.sigmoid()),
    "bits_per_dim": (lambda bound: bits_per_dim(bound, 3), None),
    "agree": (lambda left: agree("", left, 0.0, tolerance=1.0, routes=("", "")).gap, None),
}


@pytest.mark.parametrize("name", VALUES)
@hypothesis.settings(settings, max_examples=60)
@hypothesis.given(data=st.data())
def test_functions_of_one_tensor_give_numbers_or_name_it(name, data):
    function, support = VALUES[name]
    given = data.draw(tensors([(), (3,), (2, 3), (0,)], support))
    call(function, ("x", "left", "bound", "shape"), [given])
