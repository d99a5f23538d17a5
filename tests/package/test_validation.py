"""One table: every public function against every kind of bad input; the message must name the argument."""

import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from vae_tutorial import bounds, gaussian, likelihoods, models, reference, training
from vae_tutorial._validation import require_count, require_positive

B, D, L, K = 4, 3, 2, 5


def rows(*shape):
    return torch.linspace(-1, 1, math.prod(shape)).reshape(shape)


def vae(likelihood=None):
    return models.mlp_vae(D, 6, L, likelihood or likelihoods.normal(0.0), seed=0)


EXACT = reference.LinearGaussian(rows(D, L), 0.5)
ONES = torch.ones(B, D)

# name: (function, its tensor arguments, which are all right as they stand)
FUNCTIONS = {
    "log_normal": (gaussian.log_normal, dict(x=rows(B, D), mu=rows(B, D), log_var=rows(B, D))),
    "log_standard_normal": (gaussian.log_standard_normal, dict(z=rows(B, L))),
    "kl_standard_normal": (gaussian.kl_standard_normal, dict(mu=rows(B, L), log_var=rows(B, L))),
    "kl_normal": (
        gaussian.kl_normal,
        dict(mu_q=rows(B, L), log_var_q=rows(B, L), mu_p=rows(B, L), log_var_p=rows(B, L)),
    ),
    "reparameterize": (gaussian.reparameterize, dict(mu=rows(B, L), log_var=rows(B, L), eps=rows(B, L))),
    "bernoulli.log_prob": (likelihoods.bernoulli.log_prob, dict(x=ONES, params=rows(B, D))),
    "bernoulli.mean": (likelihoods.bernoulli.mean, dict(params=rows(B, D))),
    "bernoulli.sample": (likelihoods.bernoulli.sample, dict(params=rows(B, D))),
    "normal.log_prob": (likelihoods.normal(0.5).log_prob, dict(x=rows(B, D), params=rows(B, D))),
    "normal.mean": (likelihoods.normal(0.5).mean, dict(params=rows(B, D))),
    "normal.sample": (likelihoods.normal(0.5).sample, dict(params=rows(B, D))),
    "normal_diag.log_prob": (likelihoods.normal_diag.log_prob, dict(x=rows(B, D), params=rows(B, 2 * D))),
    "normal_diag.mean": (likelihoods.normal_diag.mean, dict(params=rows(B, 2 * D))),
    "normal_diag.sample": (likelihoods.normal_diag.sample, dict(params=rows(B, 2 * D))),
    "normal_diag_above.log_prob": (
        likelihoods.normal_diag_above(-3.0).log_prob,
        dict(x=rows(B, D), params=rows(B, 2 * D)),
    ),
    "VAE.encode": (vae().encode, dict(x=rows(B, D))),
    "VAE.decode": (vae().decode, dict(z=rows(B, L))),
    "VAE.log_prior": (vae().log_prior, dict(z=rows(B, L))),
    "VAE.log_likelihood": (vae().log_likelihood, dict(x=rows(B, D), z=rows(B, L))),
    "elbo_terms": (lambda **a: bounds.elbo_terms(vae(), **a), dict(x=rows(B, D), eps=rows(K, B, L))),
    "elbo": (lambda **a: bounds.elbo(vae(), **a), dict(x=rows(B, D), eps=rows(K, B, L))),
    "elbo, estimator A": (
        lambda **a: bounds.elbo(vae(), analytic_kl=False, **a),
        dict(x=rows(B, D), eps=rows(K, B, L)),
    ),
    "fit": (
        lambda **a: training.fit(vae(), epochs=1, seed=0, progress=False, **a),
        dict(x_train=rows(B, D), x_val=rows(7, D)),
    ),
    "evaluate": (lambda **a: training.evaluate(vae(), seed=0, **a), dict(x=rows(B, D))),
    "monte_carlo": (reference.monte_carlo, dict(values=rows(K, B))),
    "LinearGaussian": (lambda **a: reference.LinearGaussian(noise_var=0.5, **a), dict(W=rows(D, L), b=rows(D))),
    "LinearGaussian.log_marginal": (EXACT.log_marginal, dict(x=rows(B, D))),
    "LinearGaussian.posterior": (EXACT.posterior, dict(x=rows(B, D))),
    "LinearGaussian.elbo": (EXACT.elbo, dict(x=rows(B, D), mu=rows(B, L), log_var=rows(B, L))),
    "LinearGaussian.kl_to_posterior": (EXACT.kl_to_posterior, dict(x=rows(B, D), mu=rows(B, L), log_var=rows(B, L))),
}


def with_one(value):
    def spoil(t):
        t = t.clone()
        t.view(-1)[1] = value
        return t

    return spoil


SPOIL = {
    "NaN": (ValueError, with_one(math.nan)),
    "inf": (ValueError, with_one(math.inf)),
    "-inf": (ValueError, with_one(-math.inf)),
    "integers": (TypeError, lambda t: t.long()),
    "uint8": (TypeError, lambda t: t.clamp(0).to(torch.uint8)),
    "booleans": (TypeError, lambda t: t > 0),
    "list": (TypeError, lambda t: t.tolist()),
    "NumPy array": (TypeError, lambda t: t.numpy()),
    "pair (x, y)": (TypeError, lambda t: (t, torch.zeros(len(t)))),
    "None": (TypeError, lambda t: None),
    "number": (TypeError, lambda t: 0.5),
    "no axis": (ValueError, lambda t: t.sum()),
    "empty batch": (ValueError, lambda t: t[..., :0, :] if t.ndim > 1 else t[:0]),
    "no dimensions": (ValueError, lambda t: t[..., :0]),
}
OPTIONAL = {("reparameterize", "eps"), ("fit", "x_val"), ("LinearGaussian", "b")} | {
    (name, "eps") for name in FUNCTIONS if name.startswith("elbo")
}
TAKE_ARRAYS = ("fit", "evaluate")
CASES = [
    pytest.param(function, arguments, argument, *SPOIL[how], id=f"{name}({argument}: {how})")
    for name, (function, arguments) in FUNCTIONS.items()
    for argument in arguments
    for how in SPOIL
    if not (how == "None" and (name, argument) in OPTIONAL) and not (how == "NumPy array" and name in TAKE_ARRAYS)
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_table_starts_from_good_arguments(name):
    function, arguments = FUNCTIONS[name]
    function(**arguments)


@pytest.mark.parametrize("function, arguments, argument, error, spoil", CASES)
def test_bad_values_are_named(function, arguments, argument, error, spoil):
    with pytest.raises(error, match=rf"(^|[^\w]){argument}\b"):
        function(**{**arguments, argument: spoil(arguments[argument])})


# Shapes that PyTorch would broadcast or that no layer takes: (function, argument, its shape, what the message holds)
SHAPES = [
    *(
        (name, argument, shape, argument)
        for name, argument in [
            *(("log_normal", argument) for argument in ("x", "mu", "log_var")),
            *(("LinearGaussian.elbo", argument) for argument in ("x", "mu", "log_var")),
            *(("LinearGaussian.kl_to_posterior", argument) for argument in ("x", "mu", "log_var")),
            ("bernoulli.log_prob", "x"),
            ("bernoulli.log_prob", "params"),
            ("normal.log_prob", "x"),
            ("normal.log_prob", "params"),
        ]
        for shape in [(3,), (4, 1), (1, 3), (1,), (4, 1, 3), (5, 3), (3, 4), (4, 5)]
    ),
    *(
        (name, argument, shape, argument)
        for name in ("kl_standard_normal", "kl_normal", "reparameterize")
        for argument in FUNCTIONS[name][1]
        for shape in [(2,), (4, 1), (1, 2), (1,), (4, 1, 2), (5, 2), (2, 4)]
    ),
    *(
        ("normal_diag.log_prob", "params", shape, "params")
        for shape in [(B, D), (B, 2 * D - 1), (B, 2), (B, 1), (B, 3 * D), (6,)]
    ),
    ("normal_diag.mean", "params", (B, 5), "params"),
    ("normal_diag.mean", "params", (K, B, 5), "params"),
    ("normal_diag.sample", "params", (B, 1), "params"),
    *(
        (name, "x", (B, 1, D), r"x must have shape \(B, D\)")
        for name in ("VAE.encode", "elbo", "elbo_terms", "evaluate")
    ),
    *((name, "x", (D,), r"x must have shape \(B, D\)") for name in ("VAE.encode", "elbo", "LinearGaussian.posterior")),
    *((name, "x", (B, D + 1), r"x of shape \(4, 4\)") for name in ("VAE.encode", "elbo", "elbo_terms", "evaluate")),
    ("LinearGaussian.log_marginal", "x", (B, D + 1), r"x must have shape \(B, D\) = \(B, 3\)"),
    ("VAE.decode", "z", (B, L + 1), "z must have 2 latent dimensions"),
    ("VAE.log_likelihood", "z", (L,), "params"),
    ("VAE.log_likelihood", "z", (B + 1, L), "params|x and mu"),
    *(
        (name, "eps", shape, r"eps must have shape \(K, B, L\) = \(K, 4, 2\)")
        for name in ("elbo", "elbo_terms", "elbo, estimator A")
        for shape in [(B, L), (1, 1, L), (1, B, 1), (K, 1, L), (K, B, L + 1), (1, K, B, L)]
    ),
    ("elbo", "eps", (0, B, L), "eps"),
    ("fit", "x_train", (D,), "x_train must have shape"),
    ("fit", "x_train", (B, 1, D), "x_train must have shape"),
    ("fit", "x_val", (B, 1, D), "x_val must have shape"),
    ("fit", "x_val", (B, D + 1), "x_val must have the 3 columns of x_train"),
    ("monte_carlo", "values", (1, 4), "values must hold at least 2 draws"),
    ("LinearGaussian", "W", (D,), "W must have shape"),
    ("LinearGaussian", "b", (L,), "b must have shape"),
    ("LinearGaussian", "b", (D, 1), "b must have shape"),
]


@pytest.mark.parametrize("name, argument, shape, message", SHAPES)
def test_shapes_are_not_broadcast_and_the_argument_is_named(name, argument, shape, message):
    function, arguments = FUNCTIONS[name]
    value = torch.ones(shape) if name.startswith("bernoulli") else rows(*shape)
    with pytest.raises(ValueError, match=rf"(^|[^\w])({message})"):
        function(**{**arguments, argument: value})


def test_noise_with_fewer_axes_than_the_mean_is_refused():
    with pytest.raises(ValueError, match=r"^eps must have at least the axes of mu, got eps \(4, 2\), mu \(5, 4, 2\)"):
        gaussian.reparameterize(rows(K, B, L), rows(K, B, L), rows(B, L))


def fit(**how):
    return training.fit(vae(), rows(B, D), **{**dict(epochs=1, seed=0, progress=False), **how})


COUNTS = [
    pytest.param(call, argument, value, id=f"{name}({argument}={value!r})")
    for name, argument, call in [
        ("VAE", "latent_dim", lambda n: models.VAE(nn.Identity(), nn.Identity(), n, likelihoods.bernoulli)),
        ("VAE.sample", "n", lambda n: vae().sample(n)),
        ("mlp_vae", "x_dim", lambda n: models.mlp_vae(n, 6, L, likelihoods.bernoulli, seed=0)),
        ("mlp_vae", "hidden_dim", lambda n: models.mlp_vae(D, n, L, likelihoods.bernoulli, seed=0)),
        ("mlp_vae", "latent_dim", lambda n: models.mlp_vae(D, 6, n, likelihoods.bernoulli, seed=0)),
        ("elbo", "n_samples", lambda n: bounds.elbo(vae(), rows(B, D), n)),
        ("elbo_terms", "n_samples", lambda n: bounds.elbo_terms(vae(), rows(B, D), n_samples=n)),
        ("fit", "epochs", lambda n: fit(epochs=n)),
        ("fit", "batch_size", lambda n: fit(batch_size=n)),
        ("fit", "n_samples", lambda n: fit(n_samples=n)),
        ("evaluate", "n_samples", lambda n: training.evaluate(vae(), rows(B, D), n, seed=0)),
        ("evaluate", "batch_size", lambda n: training.evaluate(vae(), rows(B, D), seed=0, batch_size=n)),
        ("LinearGaussian.sample", "n", EXACT.sample),
        ("grid", "n_nodes", lambda n: reference.grid([0.0], [1.0], n)),
    ]
    for value in (0, -3, 2.0, 1.5, True, "3", None, math.nan)
]


@pytest.mark.parametrize("call, argument, value", COUNTS)
def test_counts_are_whole_numbers_of_at_least_one(call, argument, value):
    with pytest.raises(ValueError, match=rf"^{argument} must be an integer of at least 1, got"):
        call(value)


@pytest.mark.parametrize(
    "call",
    [
        lambda g: gaussian.standard_noise((2, 3), like=ONES, generator=g),
        lambda g: gaussian.reparameterize(rows(B, L), rows(B, L), generator=g),
        lambda g: bounds.elbo(vae(), rows(B, D), generator=g),
        lambda g: bounds.elbo_terms(vae(), rows(B, D), generator=g),
        lambda g: vae().sample(2, generator=g),
        lambda g: likelihoods.bernoulli.sample(rows(B, D), generator=g),
        lambda g: likelihoods.normal(0.0).sample(rows(B, D), generator=g),
        lambda g: EXACT.sample(2, generator=g),
    ],
)
@pytest.mark.parametrize("generator", [0, 3.0, "cpu"])
def test_a_seed_is_no_generator(call, generator):
    with pytest.raises(TypeError, match=r"^generator must be a torch\.Generator, got \w+; make one with"):
        call(generator)


@pytest.mark.parametrize(
    "likelihood, shown", [("bernoulli", "'bernoulli'"), (likelihoods.normal, "normal"), (None, "N")]
)
@pytest.mark.parametrize(
    "build",
    [
        lambda likelihood: models.mlp_vae(D, 6, L, likelihood, seed=0),
        lambda likelihood: models.VAE(nn.Linear(D, 2 * L), nn.Linear(L, D), L, likelihood=likelihood),
    ],
    ids=["mlp_vae", "VAE"],
)
def test_a_likelihood_is_a_likelihood(build, likelihood, shown):
    message = rf"^likelihood must be a Likelihood, such as likelihoods\.bernoulli or .*\(0\.0\), got {shown}"
    with pytest.raises(TypeError, match=message):
        build(likelihood)


@pytest.mark.parametrize("value", ["x", "0.5", None, [0.0], torch.zeros(2), np.zeros(2), 1j, 10**400])
@pytest.mark.parametrize(
    "argument, build", [("log_var", likelihoods.normal), ("min_log_var", likelihoods.normal_diag_above)]
)
def test_one_number_is_wanted(argument, build, value):
    with pytest.raises(TypeError, match=f"^{argument} must be one finite number, got"):
        build(value)


@pytest.mark.parametrize("value", [1, np.float32(1), torch.tensor(1.0)])
def test_numbers_of_numpy_and_torch_are_numbers(value):
    x = rows(B, D)
    assert torch.equal(likelihoods.normal(value).log_prob(x, 0 * x), likelihoods.normal(1.0).log_prob(x, 0 * x))


@pytest.mark.parametrize(
    "name, argument",
    [
        ("log_normal", "mu"),
        ("log_normal", "log_var"),
        ("kl_standard_normal", "mu"),
        ("kl_standard_normal", "log_var"),
        *(("kl_normal", argument) for argument in FUNCTIONS["kl_normal"][1]),
        ("reparameterize", "mu"),
        ("reparameterize", "log_var"),
    ],
)
def test_a_mean_and_its_log_variance_have_one_dtype(name, argument):
    function, arguments = FUNCTIONS[name]
    function(**{key: value.double() for key, value in arguments.items()})
    with pytest.raises(TypeError, match=rf"must have the same dtype, got .*\b{argument} torch.float64"):
        function(**{**arguments, argument: arguments[argument].double()})


@pytest.mark.parametrize("value", [5e-324, 0.5, np.float32(2), torch.tensor(3)])
def test_what_is_above_zero_is_positive_and_comes_back_as_a_float(value):
    number = require_positive(rate=value)
    assert type(number) is float and number == value


@pytest.mark.parametrize("value", [0, -0.0, -5e-324])
def test_zero_and_less_are_not_positive(value):
    with pytest.raises(ValueError, match=f"^rate must be above 0, got {value}$"):
        require_positive(rate=value)


def test_counts_of_numpy_are_counts():
    require_count(n=np.int64(3))
    assert vae().sample(np.int64(3)).shape == (3, D)


@pytest.mark.parametrize(
    "call, argument",
    [
        *((lambda v=v: fit(lr=v), "lr") for v in (0, -1e-3, math.nan, math.inf)),
        *((lambda v=v: likelihoods.normal(v), "log_var") for v in (math.nan, math.inf, -math.inf)),
        *((lambda v=v: likelihoods.normal_diag_above(v), "min_log_var") for v in (math.nan, math.inf, -math.inf)),
        *((lambda v=v: reference.LinearGaussian(rows(D, L), v), "noise_var") for v in (0, -1.0, math.nan, math.inf)),
    ],
)
def test_numbers_out_of_range_are_named(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        call()


OVERFLOWS = {
    "log_var 89": (gaussian.kl_standard_normal, dict(mu=[0.5, 0.0], log_var=[-1.0, 89.0])),
    "mu 1e20": (gaussian.kl_standard_normal, dict(mu=[1e20, 0.0], log_var=[0.5, -1.0])),
    "ratio e^120": (
        gaussian.kl_normal,
        dict(mu_q=[0.5, -2.0], log_var_q=[60.0, 1.0], mu_p=[0.25, 3.0], log_var_p=[-60.0, 2.0]),
    ),
    "variance e^-100": (gaussian.log_normal, dict(x=[1.0, 2.0], mu=[0.0, 0.5], log_var=[-100.0, 0.25])),
    "z 1e20": (gaussian.log_standard_normal, dict(z=[1e20, -3.0])),
    "sigma e^100": (gaussian.reparameterize, dict(mu=[0.5, -2.0], log_var=[200.0, 1.0], eps=[1.0, -0.25])),
    "logit 2e38": (likelihoods.bernoulli.log_prob, dict(x=[0.0, 0.0], params=[2e38, 3e38])),
}


@pytest.mark.parametrize("function, values", OVERFLOWS.values(), ids=OVERFLOWS.keys())
def test_an_overflow_is_an_error_that_gives_the_range_of_each_argument(function, values):
    ranges = [f"{name} in [{min(pair):.3g}, {max(pair):.3g}]" for name, pair in values.items()]
    with pytest.raises(ValueError, match=f"^the result overflows torch.float32: {re.escape(', '.join(ranges))}$"):
        function(**{name: torch.tensor([pair]) for name, pair in values.items()})


def test_messages_say_what_to_do():
    with pytest.raises(
        TypeError, match=r"x_train must hold .* got torch.uint8; convert images with x_train.float\(\) / 255"
    ):
        training.fit(vae(), torch.zeros(B, D, dtype=torch.uint8), epochs=1, seed=0)
    message = r"x_train has 2 parts, and objective\(model, x, x_train\[1\], n_samples, generator=…\) does not take them"
    with pytest.raises(TypeError, match=message + ".*: too many .*For labels that are not needed, give x alone"):
        training.fit(vae(), (rows(B, D), torch.zeros(B)), epochs=1, seed=0)
    with pytest.raises(TypeError, match=r"x must be a torch.Tensor, got tuple \(did you unpack the pair \(x, y\)\?\)"):
        bounds.elbo(vae(), (rows(B, D), torch.zeros(B)))
    with pytest.raises(TypeError, match=r"x must be a torch.Tensor, got ndarray$"):  # no pair, no such question
        vae().encode(rows(B, D).numpy())
    with pytest.raises(ValueError, match=r"got 1 NaN or infinite values among 12, shape \(4, 3\)"):
        vae().encode(with_one(math.nan)(rows(B, D)))
    with pytest.raises(ValueError, match=r"got mu \(4, 3\), log_var \(4, 1\)"):
        gaussian.kl_standard_normal(rows(4, 3), rows(4, 1))


def test_fit_refuses_a_dtype_that_the_model_cannot_take():
    with pytest.raises(ValueError, match=r"x of shape \(4, 3\) and torch.float64 does not fit the network"):
        training.fit(vae(), rows(B, D).double(), epochs=1, seed=0, progress=False)
