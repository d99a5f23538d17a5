"""Tables of mixed columns against quadrature, enumeration, SciPy, moments, and models that are saved and trained."""

import math
import pickle
import re

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.autograd import gradcheck
from torch.func import vmap

from vae_tutorial.bounds import elbo, log_weights
from vae_tutorial.checkpoints import load, save
from vae_tutorial.checks import check_log_prob
from vae_tutorial.evaluation import marginal_log_likelihood
from vae_tutorial.likelihoods import columns, mark_missing, normal
from vae_tutorial.likelihoods.columns import MIN_LOG_VAR
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.reference import LinearGaussian, log_marginal_quadrature, monte_carlo
from vae_tutorial.training import evaluate, fit

KINDS = {
    "score": "real",
    "age": ("count", 10),
    "height": "positive",
    "smokes": "binary",
    "eyes": ("categorical", 3),
    "visits": "count",
    "change": ("real", -0.7),
    "weight": "positive",
}
D = len(KINDS)
TABLE, WITH_GAPS = columns(KINDS), columns(KINDS, missing=True)
# Two rows that differ in every column.
X = torch.tensor(
    [[-0.8, 2.3, 1.7, 1, 2, 4, 0.4, 0.3], [1.3, 5.1, 0.6, 0, 0, 0, -2.1, 2.2]],
    dtype=torch.float64,
)
NAN = math.nan


def some_params(*leading, width=D, seed=0, scale=1.2):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*leading, 3 * width, generator=generator, dtype=torch.float64)


def softplus(t):
    return np.logaddexp(0.0, t)


def sd(raw):
    return math.exp((MIN_LOG_VAR + softplus(raw - MIN_LOG_VAR)) / 2)


def by_scipy(x, params):
    """One term a column, for one row."""
    p = params.reshape(3, -1).numpy()
    x = x.numpy()

    def negative_binomial(j, unit):
        m, r = unit * math.exp(p[0, j]), math.exp(p[1, j])
        return stats.nbinom(r, r / (r + m)).logpmf(round(x[j] * unit))

    codes = np.exp(p[:, 4]) / np.exp(p[:, 4]).sum()
    return np.array([
        stats.norm(p[0, 0], sd(p[1, 0])).logpdf(x[0]),
        negative_binomial(1, 10),
        stats.lognorm(sd(p[1, 2]), scale=math.exp(p[0, 2])).logpdf(x[2]),
        stats.bernoulli(1 / (1 + math.exp(-p[0, 3]))).logpmf(x[3]),
        math.log(codes[int(x[4])]),
        negative_binomial(5, 1),
        stats.norm(p[0, 6], math.exp(-0.35)).logpdf(x[6]),
        stats.lognorm(sd(p[1, 7]), scale=math.exp(p[0, 7])).logpdf(x[7]),
    ])  # fmt: skip


# Values


def test_a_row_is_the_sum_of_scipys_log_probabilities():
    params = some_params(2)
    expected = [by_scipy(x, p).sum() for x, p in zip(X, params, strict=True)]
    np.testing.assert_allclose(TABLE.log_prob(X, params).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_missing_entries_are_left_out_of_the_sum(seed):
    seen = torch.rand(2, D, generator=torch.Generator().manual_seed(seed)) < 0.6
    x = mark_missing(torch.where(seen, X, NAN))
    params = some_params(2, width=2 * D, seed=seed)
    used = params.reshape(2, 3, 2 * D)[..., :D].reshape(2, -1)
    expected = [by_scipy(row, p)[s.numpy()].sum() for row, p, s in zip(X, used, seen, strict=True)]
    np.testing.assert_allclose(WITH_GAPS.log_prob(x, params).numpy(), expected, rtol=1e-12)


def test_a_row_of_which_nothing_was_observed_has_log_probability_0_without_gradient():
    params = some_params(1, width=2 * D).requires_grad_()
    value = WITH_GAPS.log_prob(mark_missing(torch.full((1, D), NAN, dtype=torch.float64)), params)
    value.sum().backward()
    assert value.item() == 0 and not params.grad.any()


@pytest.mark.parametrize("kind, raw", [("real", (0.3, -1.0)), ("positive", (-0.4, -0.6)), (("real", 0.8), (0.3, 9.0))])
def test_densities_integrate_to_1_and_have_that_mean(kind, raw):
    one = columns({"x": kind})
    params = torch.tensor([raw[: one.n_params]], dtype=torch.float64)

    def density(x):
        return one.log_prob(torch.tensor([[x]], dtype=torch.float64), params).exp().item()

    low = 0 if kind == "positive" else -30
    mass, mean = (
        integrate.quad(lambda x, k=k: x**k * density(x), low, 300, points=[0.1, 1, 20], limit=500)[0] for k in (0, 1)
    )
    assert abs(mass - 1) < 1e-7 and abs(mean - one.mean(params).item()) < 1e-6


@pytest.mark.parametrize("kind, values, raw", [
    ("binary", [0, 1], (0.7,)),
    (("categorical", 4), [0, 1, 2, 3], (0.7, -1.1, 0.2, 1.0)),
    ("count", range(4000), (1.1, -0.4)),
    (("count", 10), [n / 10 for n in range(4000)], (-0.8, 0.9)),
    (("count", 0.5), [2.0 * n for n in range(4000)], (0.8, 2.0)),
])  # fmt: skip
def test_masses_sum_to_1_and_have_that_mean(kind, values, raw):
    one = columns({"x": kind})
    x = torch.tensor(list(values), dtype=torch.float64)[:, None]
    params = torch.tensor([raw], dtype=torch.float64)
    mass = one.log_prob(x, params.expand(len(x), -1)).exp()
    assert abs(mass.sum().item() - 1) < 1e-12
    assert abs((mass * x[:, 0]).sum().item() - one.mean(params).item()) < 1e-12


def test_codes_and_bits_together_sum_to_1():
    two = columns({"a": ("categorical", 3), "b": "binary"})
    x = torch.cartesian_prod(torch.arange(3.0), torch.arange(2.0)).double()
    assert abs(two.log_prob(x, some_params(1, width=2).expand(6, -1)).exp().sum().item() - 1) < 1e-14


def test_counts_become_poisson_as_the_size_grows():
    one = columns({"n": "count"})
    n = torch.arange(30, dtype=torch.float64)[:, None]
    value = one.log_prob(n, torch.tensor([[1.3, 40.0]], dtype=torch.float64).expand(30, -1))
    np.testing.assert_allclose(value, stats.poisson(math.exp(1.3)).logpmf(n[:, 0]), atol=1e-4)


def test_counts_are_accurate_in_float32():
    one, x = columns({"n": ("count", 100)}), torch.tensor([[7.46], [0.0], [16.8]])
    params = torch.tensor([[2.0, 9.0], [-3.0, -2.0], [2.5, 5.0]])
    m, r = (100 * params[:, 0].double().exp()).numpy(), params[:, 1].double().exp().numpy()
    expected = stats.nbinom(r, r / (r + m)).logpmf([746, 0, 1680])
    value = one.log_prob(x, params)
    assert value.dtype == torch.float32
    np.testing.assert_allclose(value.numpy(), expected, rtol=2e-7)


def test_the_density_of_a_positive_column_follows_its_unit():
    one, params = columns({"x": "positive"}), torch.tensor([[0.4, -0.3]], dtype=torch.float64)
    shifted = params + torch.tensor([[math.log(100), 0.0]])
    x = torch.tensor([[1.7]], dtype=torch.float64)
    assert one.log_prob(100 * x, shifted).item() == pytest.approx(one.log_prob(x, params).item() - math.log(100))


def test_the_learners_check_passes():
    two, three = columns({"a": ("categorical", 3), "b": "binary"}), columns({c: "binary" for c in "abc"})
    points = torch.cartesian_prod(torch.arange(3.0), torch.arange(2.0))
    assert (check := check_log_prob(two, points, 1.0)).passed, str(check)
    assert (check := check_log_prob(three, torch.cartesian_prod(*[torch.arange(2.0)] * 3), 1.0)).passed, str(check)


# Means and samples


def test_samples_have_the_moments_of_their_columns():
    n, params = 40_000, some_params(1, seed=3, scale=0.6)
    x = TABLE.sample(params.expand(n, -1), generator=torch.Generator().manual_seed(0))
    p = params.reshape(3, -1).numpy()
    codes = np.exp(p[:, 4]) / np.exp(p[:, 4]).sum()

    def count(j, unit):
        m, r = unit * math.exp(p[0, j]), math.exp(p[1, j])
        return m / unit, (m + m * m / r) / unit**2

    expected = [
        (p[0, 0], sd(p[1, 0]) ** 2),
        count(1, 10),
        stats.lognorm(sd(p[1, 2]), scale=math.exp(p[0, 2])).stats("mv"),
        stats.bernoulli(1 / (1 + math.exp(-p[0, 3]))).stats("mv"),
        (codes @ np.arange(3), codes @ np.arange(3) ** 2 - (codes @ np.arange(3)) ** 2),
        count(5, 1),
        (p[0, 6], math.exp(-0.7)),
        stats.lognorm(sd(p[1, 7]), scale=math.exp(p[0, 7])).stats("mv"),
    ]
    means, variances = (torch.tensor([float(e[i]) for e in expected], dtype=torch.float64) for i in (0, 1))
    assert monte_carlo(x).z_score(means).abs().max() < 5
    assert monte_carlo((x - means) ** 2).z_score(variances).abs().max() < 5
    np.testing.assert_allclose(TABLE.mean(params)[0], means, rtol=1e-12)


def test_columns_are_sampled_independently_of_each_other():
    x = TABLE.sample(some_params(1, scale=0.6).expand(20_000, -1), generator=torch.Generator().manual_seed(1))
    off = torch.corrcoef(x.T) - torch.eye(D)
    assert off.abs().max() < 5 / math.sqrt(20_000)


def test_what_is_sampled_can_occur_and_one_seed_gives_one_sample():
    for likelihood, width in ((TABLE, D), (WITH_GAPS, 2 * D)):
        params = some_params(5, 4, width=width)
        x, again = (likelihood.sample(params, generator=torch.Generator().manual_seed(7)) for _ in range(2))
        assert torch.equal(x, again) and x.shape == likelihood.mean(params).shape == (5, 4, width)
        assert likelihood.log_prob(x, params).shape == (5, 4)
        assert (x[..., D:] == 1).all() and (likelihood.mean(params)[..., D:] == 1).all()


def test_the_global_generator_is_used_when_none_is_given():
    torch.manual_seed(0)
    first = TABLE.sample(some_params(4))
    assert not torch.equal(first, TABLE.sample(some_params(4)))
    torch.manual_seed(0)
    assert torch.equal(first, TABLE.sample(some_params(4)))


# Gradients


@pytest.mark.parametrize("likelihood", [TABLE, WITH_GAPS], ids=["whole", "gaps"])
def test_gradients_are_those_of_finite_differences(likelihood):
    x = X.clone()
    if likelihood is WITH_GAPS:
        x[0, [0, 2, 5]], x[1, [1, 3, 4, 6]] = NAN, NAN
        x = mark_missing(x)
    params = some_params(2, width=x.shape[1]).requires_grad_()
    assert gradcheck(lambda p: likelihood.log_prob(x, torch.stack([p, 2 * p])), params)
    assert gradcheck(likelihood.mean, params)


def test_what_the_decoder_says_of_a_missing_entry_has_no_effect():
    x = X.clone()
    x[:, 2] = NAN
    params = some_params(2, width=2 * D).requires_grad_()
    WITH_GAPS.log_prob(mark_missing(x), params).sum().backward()
    grad = params.grad.reshape(2, 3, 2 * D)
    assert not grad[..., 2].any() and not grad[..., D:].any() and grad[:, 0, [0, 1, 7]].all()


# Shapes and dtypes


def test_samples_of_z_come_first():
    params = some_params(4, 2)
    value = TABLE.log_prob(X, params)
    assert value.shape == (4, 2)
    torch.testing.assert_close(value, torch.stack([TABLE.log_prob(X, p) for p in params]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision_keeps_its_dtype(dtype):
    x, params = TABLE.sample(some_params(3).to(dtype), generator=torch.Generator()), some_params(3).to(dtype)
    assert x.dtype == TABLE.mean(params).dtype == dtype
    x = X[:, :1].to(dtype)
    value = columns({"score": "real"}).log_prob(x, params[:2, :2])
    assert value.dtype == dtype and value.isfinite().all()


def test_it_goes_through_vmap():
    params = some_params(2)
    each = vmap(lambda x, p: TABLE.log_prob(x[None], p[None])[0])(X, params)
    torch.testing.assert_close(each, TABLE.log_prob(X, params))


def test_it_goes_through_compile_as_one_graph():
    params, x = some_params(2, width=2 * D), mark_missing(X)
    compiled = torch.compile(WITH_GAPS.log_prob, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, params), WITH_GAPS.log_prob(x, params))


def test_two_of_the_same_kinds_are_equal_and_survive_pickling():
    assert columns(dict(KINDS)) == TABLE == pickle.loads(pickle.dumps(TABLE)) != WITH_GAPS
    assert columns({**KINDS, "age": ("count", 5)}) != TABLE
    assert TABLE.name == repr(TABLE) and "'age': ('count', 10.0)" in TABLE.name


# Errors


def changed(column, value, row=1):
    x = X.clone()
    x[row, column] = value
    return x


@pytest.mark.parametrize("x, message", [
    (changed(1, -1), "x column 1 ('age'): got -1, a count is at least 0, and whole once multiplied by the unit 10"),
    (changed(1, 0.55), "x column 1 ('age'): got 0.55, a count is at least 0"),
    (changed(2, 0), "x column 2 ('height'): got 0, a positive value is above 0: take 'real'"),
    (changed(7, -0.2, 0), "x column 7 ('weight'): got -0.2, a positive"),
    (changed(3, 2), "x column 3 ('smokes'): got 2, a binary value is 0 or 1"),
    (changed(4, 3), "x column 4 ('eyes'): got 3, a code is one of 0, 1, ... below 3"),
    (changed(4, -1), "x column 4 ('eyes'): got -1, a code"),
    (changed(4, 0.5), "x column 4 ('eyes'): got 0.5, a code"),
    (changed(5, 1.5), "x column 5 ('visits'): got 1.5, a count"),
    (changed(0, NAN), "x column 0 ('score'): got nan, a missing entry: columns(kinds, missing=True)"),
    (changed(2, math.inf), "x column 2 ('height'): got inf, a positive"),
    (changed(6, math.inf), "x column 6 ('change'): got inf, a number is finite"),
])  # fmt: skip
def test_an_impossible_value_is_named_with_its_column(x, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        TABLE.log_prob(x, some_params(2))


def test_flags_are_checked():
    params = some_params(2, width=2 * D)
    x = mark_missing(X)
    stale, half = x.clone(), x.clone()
    stale[0, D + 1] = 0
    half[0, D + 1] = 0.5
    nan = x.clone()
    nan[1, 0] = NAN
    for bad, message in (
        (stale, r"x column 1 ('age'): got 2.3 under the flag 0, a missing entry holds 0: x = mark_missing(x)"),
        (half, "the flags of x must be 0 or 1, got [0.5, 1]"),
        (nan, "x column 0 ('score'): got nan, a number is finite"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            WITH_GAPS.log_prob(bad, params)


@pytest.mark.parametrize("likelihood, width, message", [
    (TABLE, D - 1, "x must have, for the 8 columns 'score', 'age', 'height', ..., 8; got 7"),
    (TABLE, 2 * D, "8; with flags for missing entries, columns(kinds, missing=True); got 16"),
    (WITH_GAPS, D, "16, their values and as many flags: x = mark_missing(x); got 8"),
])  # fmt: skip
def test_the_number_of_columns_is_checked(likelihood, width, message):
    params = some_params(2, width=width)
    for call in (
        lambda: likelihood.log_prob(torch.ones(2, width).double(), params),
        lambda: likelihood.mean(params),
        lambda: likelihood.sample(params),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            call()


@pytest.mark.parametrize("kinds, error, message", [
    ([("a", "real")], TypeError, "kinds must be a dict"),
    ({}, ValueError, "at least one column"),
    ({"a": "int"}, ValueError, "kinds['a'] must be 'real'"),
    ({3: "real"}, ValueError, "a name that is a string"),
    ({"a": ("count", 1, 2)}, ValueError, "kinds['a'] must be"),
    ({"a": "categorical"}, ValueError, "an integer of at least 2, got None"),
    ({"a": ("categorical", 1)}, ValueError, "at least 2, got 1"),
    ({"a": ("categorical", 3.0)}, ValueError, "at least 2, got 3.0"),
    ({"a": ("categorical", True)}, ValueError, "at least 2, got True"),
    ({"a": ("count", 0)}, ValueError, "unit must be above 0"),
    ({"a": ("positive", 2)}, ValueError, "go without a number, got 2"),
    ({"a": ("real", "big")}, TypeError, "log_var must be one finite number"),
])  # fmt: skip
def test_kinds_are_checked(kinds, error, message):
    with pytest.raises(error, match=re.escape(message)):
        columns(kinds)


def test_a_generator_is_no_seed():
    with pytest.raises(TypeError, match="generator must be a torch.Generator"):
        columns({"n": "count"}).sample(torch.zeros(1, 2), generator=0)


def test_mark_missing_puts_flags_beside_values():
    x = torch.tensor([[1.5, NAN, -2.0], [NAN, NAN, 0.0]])
    expected = torch.tensor([[1.5, 0, -2, 1, 0, 1], [0, 0, 0, 0, 0, 1]])
    assert torch.equal(mark_missing(x), expected)
    for bad, error, message in (
        (torch.ones(3), ValueError, "x must have shape (B, D)"),
        (torch.tensor([[math.inf]]), ValueError, "x holds 1 infinite values; a missing entry is NaN"),
        (torch.ones(1, 2, dtype=torch.int64), TypeError, "floating-point"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            mark_missing(bad)


# In a model


def small_model(likelihood=WITH_GAPS, width=2 * D, latent_dim=1, seed=0):
    return mlp_vae(width, 8, latent_dim, likelihood, seed=seed)


def rows_with_gaps(n=60):
    x = TABLE.sample(some_params(1, scale=1.2).expand(n, -1), generator=torch.Generator().manual_seed(2))
    x[torch.rand(n, D, generator=torch.Generator().manual_seed(3)) < 0.2] = NAN
    return mark_missing(x.float())


def test_it_is_trained_evaluated_saved_and_loaded(tmp_path):
    x = rows_with_gaps()
    model = small_model()
    before = elbo(model, x, eps=torch.zeros(1, 60, 1)).mean().item()
    fit(model, x[:40], x[40:], epochs=60, batch_size=10, seed=0, lr=1e-2, progress=False)
    assert elbo(model, x, eps=torch.zeros(1, 60, 1)).mean().item() > before + 1
    assert -20 < evaluate(model, x[40:], seed=0)[0] < 0
    save(model, tmp_path / "table.safetensors")
    again = load(tmp_path / "table.safetensors")
    assert again.likelihood == model.likelihood and list(again.likelihood.log_prob.formula.args[0][1]) == [
        "age",
        "count",
        10.0,
    ]
    eps = torch.randn(3, 60, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(elbo(again, x, eps=eps), elbo(model, x, eps=eps))


def test_log_p_of_a_mixed_table_is_its_quadrature():
    x, model = rows_with_gaps(3).double(), small_model().double()

    def log_joint(z):  # (N, 1) -> (N, B)
        log_prior = stats.norm.logpdf(z[:, 0])
        params = model.decode(z).detach().reshape(len(z), 3, -1)[..., :D].reshape(len(z), -1)
        rows = [np.array([by_scipy(row[:D], p)[row[D:].numpy() == 1].sum() for row in x]) for p in params]
        return torch.tensor(np.stack(rows) + log_prior[:, None])

    exact = log_marginal_quadrature(log_joint, [-8.0], [8.0], 65)
    estimate = marginal_log_likelihood(model, x, 20_000, seed=0, progress=False)
    log_w = log_weights(model, x, 20_000, generator=torch.Generator().manual_seed(1)).detach()
    relative = torch.softmax(log_w, 0) * len(log_w)
    stderr = relative.std(0) / math.sqrt(len(log_w))
    assert ((estimate - exact).abs() < 5 * stderr).all() and stderr.max() < 0.05


def test_what_is_observed_has_the_exact_marginal_of_a_linear_gaussian_model():
    W = torch.tensor([[1.0, 0.2], [0.5, -1.0], [-0.8, 0.7], [0.3, 0.9]], dtype=torch.float64)
    b = torch.tensor([0.2, -0.4, 1.0, 0.1], dtype=torch.float64)
    exact = LinearGaussian(W, 0.5, b)
    kinds = {str(j): ("real", math.log(0.5)) for j in range(4)}
    decoder = torch.nn.Sequential(exact.decoder(), torch.nn.ConstantPad1d((0, 4), 0.0))
    encoder = torch.nn.Linear(8, 4, dtype=torch.float64)
    with torch.no_grad():
        encoder.weight.mul_(0.1)
        encoder.bias[2:].zero_()
    model = VAE(encoder, decoder, 2, columns(kinds, missing=True))
    x = exact.sample(1, generator=torch.Generator().manual_seed(0))
    x[0, [0, 2]] = NAN
    covariance = W @ W.T + 0.5 * torch.eye(4)
    seen = [1, 3]
    marginal = torch.distributions.MultivariateNormal(b[seen], covariance[seen][:, seen]).log_prob(x[:, seen])
    log_w = log_weights(model, mark_missing(x), 50_000, generator=torch.Generator().manual_seed(1)).detach()
    estimate = monte_carlo(torch.exp(log_w - marginal))
    assert estimate.z_score(1.0).abs().max() < 5 and estimate.stderr.max() < 0.02


def test_one_fixed_column_each_is_the_gaussian_of_the_package():
    x, params = some_params(5)[:, :4], some_params(5)[:, 4:8]
    same = columns({str(j): ("real", 0.3) for j in range(4)})
    torch.testing.assert_close(same.log_prob(x, params), normal(0.3).log_prob(x, params))
