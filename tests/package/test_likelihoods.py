"""Likelihoods against enumeration, quadrature, SciPy, mpmath and torch.distributions."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import optimize, stats
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import Bernoulli, ContinuousBernoulli

from vae_tutorial.checks import check_log_prob
from vae_tutorial.likelihoods import (
    Likelihood,
    SharedLogVar,
    bernoulli,
    categorical,
    continuous_bernoulli,
    discretized_logistic,
    normal,
    normal_diag,
    normal_diag_above,
    sigma_normal,
)
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.reference import grid, monte_carlo
from vae_tutorial.training import fit

FLOOR = -1.5
FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
N_LEVELS = 5
GAUSSIANS = {
    "normal": normal(-0.7),
    "normal_diag": normal_diag,
    "normal_diag_above": normal_diag_above(FLOOR),
    "sigma_normal": sigma_normal,
}
ON_LEVELS = {"discretized_logistic": discretized_logistic(N_LEVELS), "categorical": categorical(N_LEVELS)}
LIKELIHOODS = {"bernoulli": bernoulli, "continuous_bernoulli": continuous_bernoulli, **GAUSSIANS, **ON_LEVELS}
every_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS.keys())


def exactly(actual, expected, rtol=1e-12, atol=0.0):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=rtol, atol=atol)


def some_params(*shape, seed=0, scale=1.5):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_x(likelihood, *shape, seed=1):
    x = some_params(*shape, seed=seed)
    if likelihood in GAUSSIANS.values():
        return x
    if likelihood is continuous_bernoulli:
        return x.sigmoid()
    n_levels = 2 if likelihood is bernoulli else N_LEVELS
    return (x.sigmoid() * n_levels).floor() / (n_levels - 1)


def scipy_log_prob(name, x, params):
    """The density of each row, from SciPy, with the variance of each family written out."""
    x, params = x.numpy(), params.numpy()
    D = x.shape[-1]
    if name == "bernoulli":
        return stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-params))).sum(-1)
    if name == "continuous_bernoulli":  # an exponential distribution cut off at 1, mirrored where the logit is positive
        mirrored = np.where(params > 0, 1 - x, x)
        return stats.truncexpon.logpdf(mirrored, b=np.abs(params), scale=1 / np.abs(params)).sum(-1)
    level = np.rint(x * (N_LEVELS - 1)).astype(int)
    if name == "categorical":
        weights = np.exp(params).reshape(*params.shape[:-1], N_LEVELS, D)
        chosen = np.take_along_axis(weights, level[..., None, :], -2)[..., 0, :]
        return np.log(chosen / weights.sum(-2)).sum(-1)
    mean, second = params[..., :D], params[..., D:]
    if name == "discretized_logistic":
        edges = np.concatenate([[-np.inf], (np.arange(1, N_LEVELS) - 0.5) / (N_LEVELS - 1), [np.inf]])
        lower, upper = edges[level], edges[level + 1]
        logistic = stats.logistic(mean, np.exp(second))
        below, above = logistic.cdf(upper) - logistic.cdf(lower), logistic.sf(lower) - logistic.sf(upper)
        return np.log(np.where(lower > mean, above, below)).sum(-1)  # the difference that does not cancel
    variance = {
        "sigma_normal": lambda: np.exp(second.mean(-1, keepdims=True)) * np.ones(D),
        "normal": lambda: np.full(mean.shape, np.exp(-0.7)),
        "normal_diag": lambda: np.exp(second),
        "normal_diag_above": lambda: np.exp(FLOOR) * (1 + np.exp(second - FLOOR)),
    }[name]()
    return stats.norm.logpdf(x, mean, np.sqrt(variance)).sum(-1)


@pytest.mark.parametrize("D", [1, 2, 3])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_log_prob_equals_scipy(name, D):
    likelihood = LIKELIHOODS[name]
    x, params = some_x(likelihood, 4, D), some_params(4, D * likelihood.n_params)
    exactly(likelihood.log_prob(x, params), scipy_log_prob(name, x, params), rtol=1e-11)


@every_likelihood
def test_a_sample_axis_gives_what_one_sample_at_a_time_gives(likelihood):
    x, params = some_x(likelihood, 4, 3), some_params(5, 4, 3 * likelihood.n_params)  # K, B, D all different
    log_prob = likelihood.log_prob(x, params)
    assert log_prob.shape == (5, 4)
    exactly(log_prob, torch.stack([likelihood.log_prob(x, row) for row in params]), rtol=1e-14)
    assert likelihood.mean(params).shape == likelihood.sample(params).shape == (5, 4, 3)
    many = some_x(likelihood, 5, 4, 3)  # the same with several x for each row of params
    exactly(likelihood.log_prob(many, params[0]), torch.stack([likelihood.log_prob(x, params[0]) for x in many]))


@pytest.mark.parametrize("name", sorted(LIKELIHOODS.keys() - {"sigma_normal"}))  # whose dimensions share a parameter
def test_dimensions_are_independent(name):
    likelihood = LIKELIHOODS[name]
    x, params = some_x(likelihood, 4, 3), some_params(4, 3 * likelihood.n_params)
    one_by_one = [likelihood.log_prob(x[:, [d]], params[:, d::3].contiguous()) for d in range(3)]
    exactly(likelihood.log_prob(x, params), sum(one_by_one))


# A probability sums to 1


def assert_bernoulli(log_prob):
    """Summed over all 2^D images the probability is 1; and each equals torch.distributions'."""
    for D in (1, 2, 3):
        images = torch.tensor(list(itertools.product([0.0, 1.0], repeat=D)), dtype=torch.float64)
        for logits in some_params(4, D, scale=3.0):
            rows = logits.expand_as(images)
            exactly(log_prob(images, rows).exp().sum(), 1.0)
            exactly(log_prob(images, rows), Bernoulli(logits=rows).log_prob(images).sum(-1))


def test_bernoulli_sums_to_one():
    assert_bernoulli(bernoulli.log_prob)


def bce(x, params, **how):
    return -F.binary_cross_entropy_with_logits(params, x, **how)


WRONG_BERNOULLI = {
    "sign": lambda x, logits: -bce(x, logits, reduction="none").sum(-1),
    "averaged over pixels": lambda x, logits: bce(x, logits, reduction="none").mean(-1),
    "summed over the batch": lambda x, logits: bce(x, logits, reduction="sum"),
    "sigmoid applied twice": lambda x, logits: bce(x, torch.sigmoid(logits), reduction="none").sum(-1),
    "the ones alone": lambda x, logits: (x * F.logsigmoid(logits)).sum(-1),
    "squared error": lambda x, logits: -((x - torch.sigmoid(logits)) ** 2).sum(-1),
    "zero and one exchanged": lambda x, logits: bce(1 - x, logits, reduction="none").sum(-1),
}


@pytest.mark.parametrize("wrong", WRONG_BERNOULLI.values(), ids=WRONG_BERNOULLI.keys())
def test_the_enumeration_catches_a_wrong_bernoulli(wrong):
    with pytest.raises(AssertionError):
        assert_bernoulli(wrong)


def assert_integrates_to_one(log_prob, n_params, D):
    params = some_params(D * n_params, seed=5, scale=0.6)
    box = (params[:D] - 15).tolist(), (params[:D] + 15).tolist()
    x, cell = grid(*box, {1: 201, 2: 151, 3: 81}[D])
    exactly(log_prob(x, params.expand(len(x), -1)).exp().sum() * cell, 1.0, rtol=1e-10)


@pytest.mark.parametrize("D", [1, 2, 3])
@pytest.mark.parametrize("likelihood", GAUSSIANS.values(), ids=GAUSSIANS.keys())
def test_gaussian_likelihoods_integrate_to_one(likelihood, D):
    assert_integrates_to_one(likelihood.log_prob, likelihood.n_params, D)


WRONG_NORMAL = {  # meant as normal(0.0)
    "log 2π missing": lambda x, mu: -0.5 * ((x - mu) ** 2).sum(-1),
    "log 2π once, not per dimension": lambda x, mu: -0.5 * ((x - mu) ** 2).sum(-1) - 0.5 * math.log(2 * math.pi),
    "half forgotten": lambda x, mu: -((x - mu) ** 2).sum(-1) - 0.5 * x.shape[-1] * math.log(2 * math.pi),
    "mean squared error": lambda x, mu: -0.5 * ((x - mu) ** 2).mean(-1) - 0.5 * x.shape[-1] * math.log(2 * math.pi),
    "sign": lambda x, mu: -normal(0.0).log_prob(x, mu),
}


@pytest.mark.parametrize("wrong", WRONG_NORMAL.values(), ids=WRONG_NORMAL.keys())
def test_the_integral_catches_a_wrong_normal(wrong):
    assert_integrates_to_one(normal(0.0).log_prob, 1, 2)
    with pytest.raises(AssertionError):
        assert_integrates_to_one(wrong, 1, 2)


# What sums or integrates to 1 with mean and samples to match: one check, and mistakes that it must catch


def wrong(likelihood, **parts):
    """The likelihood with a part or two replaced by planted mistakes."""
    return likelihood._replace(**parts)


def nodes(low, high, n):
    """Midpoints of a grid in one dimension, and their spacing."""
    return low + (high - low) * (torch.arange(n, dtype=torch.float64)[:, None] + 0.5) / n, (high - low) / n


UNIT = nodes(0, 1, 4000)
LINE = nodes(-15, 15, 4000)
BINARY = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)


def levels(n, D=1):
    return torch.cartesian_prod(*[torch.arange(n, dtype=torch.float64) / (n - 1)] * D).reshape(-1, D)


@pytest.mark.parametrize(
    "likelihood, points",
    [
        (bernoulli, (BINARY,)),
        (continuous_bernoulli, UNIT),
        (normal(-0.7), LINE),
        (normal_diag, LINE),
        (normal_diag_above(FLOOR), LINE),
        (sigma_normal, LINE),
        (sigma_normal, grid([-15.0] * 2, [15.0] * 2, 151)),
        *((discretized_logistic(n), (levels(n),)) for n in (2, 3, 17, 256)),
        (discretized_logistic(5), (levels(5, D=2),)),
        *((categorical(n), (levels(n),)) for n in (2, 3, 17, 256)),
        (categorical(5), (levels(5, D=2),)),
    ],
)
def test_sums_to_one_with_mean_and_samples_to_match(likelihood, points):
    assert check_log_prob(likelihood, *points)


def bernoulli_expression(x, logits):
    return bce(x, logits, reduction="none").sum(-1)


def log_mass_of_cell(x, params, n, edges=True, half=None, scale=torch.exp):
    """The discretized logistic by differences of sigmoids, with knobs to break it."""
    mu, log_scale = params.chunk(2, -1)
    half = 0.5 / (n - 1) if half is None else half
    upper, lower = (torch.sigmoid((x + side * half - mu) / scale(log_scale)) for side in (1, -1))
    if edges:
        upper, lower = upper.masked_fill(x == 1, 1.0), lower.masked_fill(x == 0, 0.0)
    return torch.log(upper - lower).sum(-1)


def logits_by_row(x, params, n, layout="...nd->...nd"):
    log_p = torch.einsum(layout, params.unflatten(-1, (n, -1))).log_softmax(-2)
    return log_p.gather(-2, (x * (n - 1)).round().long()[..., None, :]).squeeze(-2).sum(-1)


LOGISTIC, FREE = discretized_logistic(5), categorical(5)
WRONG = {
    "continuous Bernoulli, normalizer dropped": (
        wrong(continuous_bernoulli, log_prob=bernoulli_expression),
        UNIT,
        "the cross-entropy of gray values is no log-density",
    ),
    "continuous Bernoulli, normalizer of a grid of two": (
        wrong(continuous_bernoulli, log_prob=lambda x, p: bernoulli_expression(x, p) + math.log(2) * x.shape[-1]),
        UNIT,
        "not normalized",
    ),
    "continuous Bernoulli, mean of the Bernoulli": (
        wrong(continuous_bernoulli, mean=torch.sigmoid),
        UNIT,
        "not the mean",
    ),
    "continuous Bernoulli, samples of the Bernoulli": (
        wrong(continuous_bernoulli, sample=bernoulli.sample),
        UNIT,
        "samples",
    ),
    "continuous Bernoulli, mirrored samples": (
        wrong(
            continuous_bernoulli, sample=lambda p, generator: 1 - continuous_bernoulli.sample(p, generator=generator)
        ),
        UNIT,
        "samples",
    ),
    "logistic, the right one by differences": (
        wrong(LOGISTIC, log_prob=lambda x, p: log_mass_of_cell(x, p, 5)),
        levels(5),
        "",
    ),
    "logistic, no tails in the edge bins": (
        wrong(LOGISTIC, log_prob=lambda x, p: log_mass_of_cell(x, p, 5, edges=False)),
        levels(5),
        "not normalized",
    ),
    "logistic, bins of 1/n": (
        wrong(LOGISTIC, log_prob=lambda x, p: log_mass_of_cell(x, p, 5, half=0.5 / 5)),
        levels(5),
        "not normalized",
    ),
    "logistic, bins as wide as for pixels in [-1, 1]": (
        wrong(LOGISTIC, log_prob=lambda x, p: log_mass_of_cell(x, p, 5, half=1 / 4)),
        levels(5),
        "not normalized",
    ),
    "logistic, log-scale taken for the scale": (
        wrong(LOGISTIC, log_prob=lambda x, p: log_mass_of_cell(x, p, 5, scale=lambda r: r.abs())),
        levels(5),
        "not the mean",
    ),
    "logistic, the location for the mean": (wrong(LOGISTIC, mean=lambda p: p[..., :1]), levels(5), "not the mean"),
    "logistic, samples not clamped": (
        wrong(LOGISTIC, sample=lambda p, generator: LOGISTIC.sample(p + 0.1, generator=generator)),
        levels(5),
        "samples",
    ),
    "categorical, logits not normalized": (
        wrong(FREE, log_prob=lambda x, p: p.gather(-1, (x * 4).round().long()).sum(-1)),
        levels(5),
        "not normalized",
    ),
    "categorical, n logits of one dimension side by side": (
        wrong(FREE, log_prob=lambda x, p: logits_by_row(x, p.unflatten(-1, (-1, 5)).transpose(-1, -2).flatten(-2), 5)),
        levels(5, D=2),
        "not the mean",
    ),
    "categorical, mean level not scaled": (wrong(FREE, mean=lambda p: 4 * FREE.mean(p)), levels(5), "not the mean"),
    "categorical, the most probable level for a sample": (
        wrong(FREE, sample=lambda p, generator: p.unflatten(-1, (5, -1)).argmax(-2) / 4),
        levels(5),
        "samples|raised",
    ),
    "σ-VAE, one log-variance counted once": (
        wrong(sigma_normal, log_prob=lambda x, p: sigma_normal.log_prob(x, p) + p[..., 2:].mean(-1) / 2),
        grid([-15.0] * 2, [15.0] * 2, 151),
        "not normalized",
    ),
}


@pytest.mark.parametrize("likelihood, points, says", WRONG.values(), ids=WRONG.keys())
def test_the_check_catches_what_does_not_fit_together(likelihood, points, says):
    check = check_log_prob(likelihood, *(points if isinstance(points, tuple) else (points,)))
    assert bool(check) == (says == ""), check
    assert any(word in check.mistake for word in says.split("|")), check


def test_an_optimal_variance_for_each_example_is_no_density():
    """-D/2 (log 2π MSE + 1) is a training objective, not the logarithm of anything that integrates to 1."""

    def optimal(x, params):
        mse = (x - params.chunk(2, -1)[0]).square().mean(-1)
        return -0.5 * x.shape[-1] * (torch.log(2 * math.pi * mse) + 1)

    assert not check_log_prob(wrong(sigma_normal, log_prob=optimal), *nodes(-15, 15, 4001))


# The shared variance


def test_the_best_shared_variance_is_the_mean_squared_error():
    x, mu = some_x(sigma_normal, 50, 3), some_params(50, 3, seed=8)

    def loss(log_var):
        return -sigma_normal.log_prob(x, torch.cat([mu, torch.full_like(mu, log_var)], -1)).mean().item()

    best = optimize.minimize_scalar(loss, bracket=(-1.0, 1.0), tol=1e-12).x
    exactly(torch.tensor(best, dtype=torch.float64).exp(), F.mse_loss(mu, x), rtol=1e-7)


def test_the_decoder_holds_one_log_variance_that_training_moves():
    body = mlp_vae(3, 6, 2, normal(0.0), seed=0)
    model = VAE(body.encoder, nn.Sequential(body.decoder, SharedLogVar(-1.0)), 2, sigma_normal)
    params = model.decode(torch.randn(5, 4, 2))
    assert params.shape == (5, 4, 6) and params[..., 3:].eq(-1.0).all()
    assert {name: p.shape for name, p in model.named_parameters()}["decoder.1.log_var"] == ()
    fit(model, 0.1 * some_x(sigma_normal, 64, 3).float(), epochs=5, seed=0, lr=0.05, progress=False)
    assert model.state_dict()["decoder.1.log_var"] < -1.0


# The ends of the range


def assert_no_saturation(log_prob):
    """Value and gradient in float32 at logits up to ±100, right and wrong pixels: -log(1 + e^-t), t = ±logit."""
    for logit in (-100.0, -90.0, -17.0, 17.0, 90.0, 100.0):
        for x, t in ((1.0, logit), (0.0, -logit)):
            params = torch.tensor([[logit]], requires_grad=True)
            value = log_prob(torch.tensor([[x]]), params)
            expected = -math.log1p(math.exp(-t))
            exactly(value, [expected], rtol=1e-6, atol=1e-5)  # the last bit of a logit of 100 is 8e-6
            (gradient,) = torch.autograd.grad(value.sum(), params)
            exactly(gradient, [[x - 1 / (1 + math.exp(-logit))]], rtol=1e-6, atol=1e-7)


def test_float32_bernoulli_does_not_saturate():
    assert_no_saturation(bernoulli.log_prob)


def with_probabilities(probabilities):
    """The Bernoulli log-probability by way of probabilities."""

    def log_prob(x, params):
        p = probabilities(params)
        return (x * torch.log(p) + (1 - x) * torch.log(1 - p)).sum(-1)

    return log_prob


SATURATED = {
    "probabilities": with_probabilities(torch.sigmoid),
    "probabilities clamped at 1e-5": with_probabilities(lambda logits: torch.sigmoid(logits).clamp(1e-5, 1 - 1e-5)),
    "F.binary_cross_entropy": lambda x, logits: (
        -F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none").sum(-1)
    ),
    "log(1 + exp(l))": lambda x, logits: (x * logits - torch.log(1 + torch.exp(logits))).sum(-1),
}


@pytest.mark.parametrize("wrong", SATURATED.values(), ids=SATURATED.keys())
def test_saturation_is_caught(wrong):
    with pytest.raises(AssertionError):
        assert_no_saturation(wrong)


def decimal(x):
    """The value of a tensor with one entry, to compute on with as many digits as wanted."""
    return mpmath.mpf(x.item())


@pytest.fixture
def many_digits():
    with mpmath.workdps(400):
        yield


def assert_continuous_bernoulli(log_prob, mean, rtol):
    """Values and gradients against 400-digit arithmetic, from logit 0 to ±100, either side of every branch."""
    magnitudes = [
        1e-30,
        1e-12,
        1e-8,
        1e-6,
        1e-4,
        1e-3,
        0.01,
        0.1,
        0.5,
        0.99,
        1.0,
        1.99,
        2.0,
        2.01,
        3.0,
        10.0,
        30.0,
        100.0,
    ]
    for logit, x in itertools.product([0.0, *magnitudes, *(-m for m in magnitudes)], (0.0, 0.1, 0.5, 1.0)):
        for dtype in rtol:
            params, pixel = torch.tensor([[logit]], dtype=dtype, requires_grad=True), torch.tensor([[x]], dtype=dtype)
            value, average = log_prob(pixel, params), mean(params)
            t = decimal(params)
            exact_mean = 1 / (1 - mpmath.exp(-t)) - 1 / t if t else mpmath.mpf(0.5)
            slope = 1 / t**2 - 1 / (4 * mpmath.sinh(t / 2) ** 2) if t else mpmath.mpf(1) / 12
            expected = decimal(pixel) * t - (mpmath.log(mpmath.expm1(t) / t) if t else 0)
            tolerance = dict(rtol=rtol[dtype], atol=rtol[dtype])
            exactly(value, [float(expected)], **tolerance)
            exactly(average, [[float(exact_mean)]], **tolerance)
            (gradient,) = torch.autograd.grad(value.sum(), params)
            exactly(gradient, [[float(decimal(pixel) - exact_mean)]], **tolerance)
            (gradient,) = torch.autograd.grad(average.sum(), params)
            exactly(gradient, [[float(slope)]], **tolerance)


PRECISION = {torch.float32: 1e-6, torch.float64: 2e-15}


def test_continuous_bernoulli_is_accurate_at_every_logit(many_digits):
    assert_continuous_bernoulli(continuous_bernoulli.log_prob, continuous_bernoulli.mean, PRECISION)


def textbook_normalizer(x, logits, cut=0.0):
    p = torch.sigmoid(logits)
    p = torch.where((p - 0.5).abs() < cut, 0.5 + cut, p)
    return bernoulli_expression(x, logits) + torch.log(2 * torch.atanh(1 - 2 * p) / (1 - 2 * p)).sum(-1)


UNSTABLE = {
    "2 artanh(1 - 2p) / (1 - 2p)": textbook_normalizer,
    "the same, kept from one half": lambda x, logits: textbook_normalizer(x, logits, cut=1e-3),
    "log(expm1(l) / l)": lambda x, logits: (x * logits - torch.log(torch.expm1(logits) / logits)).sum(-1),
    "torch.distributions": lambda x, logits: ContinuousBernoulli(logits=logits).log_prob(x).sum(-1),
}


@pytest.mark.parametrize("unstable", UNSTABLE.values(), ids=UNSTABLE.keys())
def test_an_unstable_normalizer_is_caught(unstable, many_digits):
    with pytest.raises(AssertionError):
        assert_continuous_bernoulli(unstable, continuous_bernoulli.mean, {torch.float32: 1e-6})


def test_continuous_bernoulli_equals_torch_distributions_away_from_zero():
    x, logits = some_x(continuous_bernoulli, 50, 3), some_params(50, 3, scale=3.0)
    away = logits + 0.1 * logits.sign()
    other = ContinuousBernoulli(logits=away, lims=(0.4999, 0.5001))
    exactly(continuous_bernoulli.log_prob(x, away), other.log_prob(x).sum(-1), rtol=1e-9)
    exactly(continuous_bernoulli.mean(away), other.mean, rtol=1e-9)


@pytest.mark.parametrize("logit", [-100.0, -5.0, -0.5, 0.0, 1e-12, 0.5, 5.0, 100.0])
def test_continuous_bernoulli_samples_have_its_distribution_function(logit):
    params = torch.full((20_000, 1), logit)
    x = continuous_bernoulli.sample(params, generator=torch.Generator().manual_seed(4))
    assert x.min() >= 0 and x.max() <= 1
    mirrored, rate = (1 - x if logit > 0 else x).flatten().double().numpy(), max(abs(logit), 1e-9)
    assert stats.kstest(mirrored, stats.truncexpon(b=rate, scale=1 / rate).cdf).pvalue > 1e-7


def log_mass(level, n, mu, log_scale):
    """log P(level) of a discretized logistic, with 400 digits, from the tail in which the cell lies."""
    sigmoid = lambda t: 1 / (1 + mpmath.exp(-t))  # noqa: E731
    scale = mpmath.exp(log_scale)
    lower, upper = ((mpmath.mpf(2 * level + side) / (2 * (n - 1)) - mu) / scale for side in (-1, 1))
    if level == 0:
        return mpmath.log(sigmoid(upper))
    if level == n - 1:
        return mpmath.log(sigmoid(-lower))
    if lower > 0:
        lower, upper = -upper, -lower
    return mpmath.log(sigmoid(upper) - sigmoid(lower))


def assert_discretized_logistic(family, rtol):
    """Values, and that gradients are finite: from scales far below a level to far above the range."""
    for n, mu, log_scale in itertools.product(
        (2, 17, 256), (-0.25, 0.5, 1.5), (-8.0, -6.0, -3.0, 0.0, 4.0, 20.0, 60.0)
    ):
        for dtype in rtol:
            params = torch.tensor([[mu, log_scale]], dtype=dtype, requires_grad=True)
            for level in {0, 1, n // 3, n // 2, n - 2, n - 1}:
                value = family(n).log_prob(torch.tensor([[level / (n - 1)]], dtype=dtype), params)
                expected = log_mass(level, n, mpmath.mpf(mu), mpmath.mpf(log_scale))
                exactly(value, [float(expected)], rtol=rtol[dtype], atol=rtol[dtype])
                (gradient,) = torch.autograd.grad(value.sum(), params)
                assert gradient.isfinite().all(), (n, mu, log_scale, level)


def test_discretized_logistic_is_accurate_at_every_scale(many_digits):
    assert_discretized_logistic(discretized_logistic, {torch.float32: 2e-6, torch.float64: 4e-15})


def differences(n, least=0.0):
    """The usual code, with the difference of the sigmoids kept from zero."""

    def log_prob(x, params):
        mu, log_scale = params.chunk(2, -1)
        upper, lower = (torch.sigmoid((x + h - mu) / torch.exp(log_scale)) for h in (0.5 / (n - 1), -0.5 / (n - 1)))
        upper, lower = upper.masked_fill(x == 1, 1.0), lower.masked_fill(x == 0, 0.0)
        return torch.log((upper - lower).clamp(min=least)).sum(-1)

    return wrong(discretized_logistic(n), log_prob=log_prob)


@pytest.mark.parametrize("least", [0.0, 1e-12, 1e-7])
def test_a_difference_of_sigmoids_is_caught(least, many_digits):
    with pytest.raises(AssertionError):
        assert_discretized_logistic(lambda n: differences(n, least), {torch.float32: 2e-6})


def test_far_out_scales_give_finite_gradients_or_an_error_that_names_them():
    x = torch.tensor([[0.0, 100 / 255, 1.0]])
    for log_scale in (-80.0, 80.0):
        params = torch.tensor([[100 / 255] * 3 + [log_scale] * 3], requires_grad=True)
        value = discretized_logistic().log_prob(x[:, [1] * 3], params)
        (gradient,) = torch.autograd.grad(value.sum(), params)
        assert value.isfinite().all() and gradient.isfinite().all()
    with pytest.raises(ValueError, match=r"^the result overflows torch.float32: x in .*, params in \[-100"):
        discretized_logistic().log_prob(x, torch.tensor([[0.5] * 3 + [-100.0] * 3]))


def test_discretized_logistic_tends_to_the_density_times_the_cell():
    x, params = levels(4001)[1:-1], torch.tensor([[0.4, -2.0]], dtype=torch.float64).expand(3999, -1)
    density = torch.as_tensor(stats.logistic.logpdf(x.numpy(), 0.4, math.exp(-2.0)))
    exactly(discretized_logistic(4001).log_prob(x, params), (density - math.log(4000)).sum(-1), rtol=1e-6)


def test_categorical_is_accurate_at_extreme_logits():
    params = torch.tensor([[100.0, -100.0, 100.0, -90.0]], requires_grad=True)
    x = torch.tensor([[1 / 3]])
    value = categorical(4).log_prob(x, params)
    exactly(value, [-200.0 - math.log(2)], rtol=1e-6)
    (gradient,) = torch.autograd.grad(value.sum(), params)
    exactly(gradient, [[-0.5, 1.0, -0.5, 0.0]], rtol=1e-5)  # the last bit of a logit of 100 is 8e-6
    draws = categorical(4).sample(params.detach().expand(2000, -1), generator=torch.Generator().manual_seed(0))
    assert set(draws.flatten().tolist()) == {0.0, torch.tensor(2 / 3).item()}


def test_floor_bounds_the_log_density_of_an_exact_reproduction():
    for x in torch.tensor([[[0.3, -2.0]], [[5.0, 1.0]]]):
        floored = [normal_diag_above(-4.0).log_prob(x, torch.cat([x, r + 0 * x], -1)).item() for r in (-10, -1000)]
        assert floored == pytest.approx([2 * stats.norm.logpdf(0, scale=math.exp(-2))] * 2, abs=1e-2)
        assert floored[0] <= floored[1]
        assert normal_diag.log_prob(x, torch.cat([x, -80 + 0 * x], -1)).item() > 70


def test_floor_is_not_felt_well_above_it():
    x, params = some_params(4, 3), some_params(4, 6, seed=2)
    exactly(normal_diag_above(-60.0).log_prob(x, params), normal_diag.log_prob(x, params), rtol=1e-13)
    assert normal_diag_above(0.5).log_prob(x, params).ne(normal_diag.log_prob(x, params)).all()


# Means and samples


def assert_sample_matches_mean(sample, mean, width=6):
    """Twelve z-tests of the mean or fewer; a false alarm beyond six standard errors: 2e-9 each, the seed fixed."""
    params = some_params(2, width, seed=3)
    draws = torch.stack([sample(params, generator=g) for g in [torch.Generator().manual_seed(9)] for _ in range(3000)])
    assert monte_carlo(draws).z_score(mean(params)).abs().max() < 6


@every_likelihood
def test_samples_have_the_mean_of_the_likelihood(likelihood):
    assert_sample_matches_mean(likelihood.sample, likelihood.mean, width=30 if likelihood.n_params == N_LEVELS else 6)


WRONG_SAMPLES = {
    "bernoulli exchanged": (lambda p, generator: 1 - bernoulli.sample(p, generator=generator), bernoulli.mean),
    "sigmoid forgotten in the mean": (bernoulli.sample, lambda p: p),
    "log-variances for means": (normal_diag.sample, lambda p: p.chunk(2, -1)[1]),
    "means and log-variances interleaved": (normal_diag.sample, lambda p: p[..., ::2]),
}


@pytest.mark.parametrize("sample, mean", WRONG_SAMPLES.values(), ids=WRONG_SAMPLES.keys())
def test_the_z_test_catches_a_wrong_sample(sample, mean):
    with pytest.raises(AssertionError):
        assert_sample_matches_mean(sample, mean)


@pytest.mark.parametrize("name", GAUSSIANS)
def test_gaussian_samples_have_the_distribution_of_the_likelihood(name):
    # Under the right variance, -2 log p(x) + 2 log p(mean) is the squared distance: chi2 with D degrees of freedom.
    likelihood, params = GAUSSIANS[name], some_params(1, 3 * GAUSSIANS[name].n_params, seed=6).expand(5000, -1)
    x = likelihood.sample(params, generator=torch.Generator().manual_seed(1))
    peak = scipy_log_prob(name, likelihood.mean(params), params)
    assert stats.kstest(2 * (peak - scipy_log_prob(name, x, params)), stats.chi2(3).cdf).pvalue > 1e-7


def test_bernoulli_samples_are_zeros_and_ones_independent_of_each_other():
    params = torch.zeros(20_000, 2)
    x = bernoulli.sample(params, generator=torch.Generator().manual_seed(2))
    counts = np.bincount((x @ torch.tensor([1.0, 2.0])).int().numpy(), minlength=4)
    assert counts.sum() == 20_000 and stats.chisquare(counts).pvalue > 1e-7
    assert set(x.unique().tolist()) == {0.0, 1.0}
    extreme = bernoulli.sample(torch.tensor([[-100.0, 100.0]]).expand(1000, 2))
    assert extreme[:, 0].eq(0).all() and extreme[:, 1].eq(1).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_what_has_probability_zero_never_happens(dtype):
    # Half precision holds few numbers in [0, 1): the uniform ones are often exactly 0, the probability always.
    params = torch.full((20_000, 2), -100.0, dtype=dtype)
    assert bernoulli.mean(params).eq(0).all()
    assert bernoulli.sample(params, generator=torch.Generator().manual_seed(0)).eq(0).all()


@every_likelihood
def test_samples_repeat_with_the_seed_and_leave_the_global_state_alone(likelihood):
    params, before = some_params(3, 20), torch.get_rng_state()
    draws = [likelihood.sample(params, generator=torch.Generator().manual_seed(s)) for s in (5, 5, 6)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), before)


@every_likelihood
def test_samples_keep_the_dtype(likelihood):
    params = some_params(3, 20).float()
    assert likelihood.sample(params).dtype == likelihood.mean(params).dtype == torch.float32


@pytest.mark.parametrize("likelihood", [bernoulli, continuous_bernoulli, *ON_LEVELS.values()])
@pytest.mark.parametrize("u", [0.0, 1 - 2.0**-24])
def test_the_ends_of_the_uniform_numbers_give_samples_in_the_support(likelihood, u, monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda shape, dtype, **kwargs: torch.full(tuple(shape), u, dtype=dtype))
    extremes = [torch.full((1, 3 * likelihood.n_params), value) for value in (-200.0, -20.0, -1.0, 0.0, 1.0, 20.0)]
    for params in (*extremes, some_params(50, 3 * likelihood.n_params).float()):
        x = likelihood.sample(params)
        assert x.isfinite().all() and x.min() >= 0 and x.max() <= 1


def test_n_params():
    assert {name: likelihood.n_params for name, likelihood in LIKELIHOODS.items()} == {
        "bernoulli": 1,
        "continuous_bernoulli": 1,
        "normal": 1,
        "normal_diag": 2,
        "normal_diag_above": 2,
        "sigma_normal": 2,
        "discretized_logistic": 2,
        "categorical": N_LEVELS,
    }
    assert all(isinstance(likelihood, Likelihood) for likelihood in LIKELIHOODS.values())


# Support and derivatives


@pytest.mark.parametrize(
    "pixel, advice",
    [(0.5, "binarize"), (1 - 1e-6, "binarize"), (255.0, "scale"), (1.5, "scale"), (-1.0, "scale")],
    ids=["gray", "almost one", "0 to 255", "standardized", "-1 to 1"],
)
def test_bernoulli_refuses_what_is_neither_zero_nor_one(pixel, advice):
    with pytest.raises(ValueError, match=f"^x must hold only 0 and 1.*{advice}"):
        bernoulli.log_prob(torch.tensor([[0.0, 1.0, pixel]]), torch.zeros(1, 3))


def test_bernoulli_takes_0_and_1_and_nothing_near_them():
    """Every float16 from ½ to 2, the subnormal ones, and what is not finite. (Of all 2^32 float32, three pass.)"""
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.float16)
    size = every.abs()
    near = every[(size < 1e-4) | ((size >= 0.5) & (size <= 2)) | ~every.isfinite()]

    def passes(x):
        try:
            return bernoulli.log_prob(x.reshape(1, 1), torch.zeros(1, 1, dtype=x.dtype)).isfinite().all()
        except ValueError:
            return False

    assert [x.item() for x in near if passes(x)] == [-0.0, 0.0, 1.0]


@pytest.mark.parametrize("pixel", [-1e-6, 1 + 1e-6, 255.0])
def test_continuous_bernoulli_refuses_what_lies_outside(pixel):
    with pytest.raises(ValueError, match=r"^x must lie in \[0, 1\] for a continuous Bernoulli, got .*; scale pixels"):
        continuous_bernoulli.log_prob(torch.tensor([[0.0, 0.5, pixel]]), torch.zeros(1, 3))
    continuous_bernoulli.log_prob(torch.tensor([[0.0, 0.5, 1.0]]), torch.zeros(1, 3))


@pytest.mark.parametrize("family", [discretized_logistic, categorical])
@pytest.mark.parametrize(
    "pixel, advice",
    [(0.5, "give the n_levels"), (0.05, "give the n_levels"), (3.0, "scale pixels"), (-0.25, "scale pixels")],
)
def test_values_between_the_levels_are_refused(family, pixel, advice):
    likelihood = family(4)
    with pytest.raises(ValueError, match=rf"^x must lie on the 4 levels k / 3 from 0 to 1, got .*; {advice}"):
        likelihood.log_prob(torch.tensor([[0.0, 1 / 3, pixel]]), torch.zeros(1, 3 * likelihood.n_params))


@pytest.mark.parametrize("family", [discretized_logistic, categorical])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_levels_are_found_however_they_were_rounded(family, dtype):
    likelihood = family(256)
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, -1)
    params = some_params(1, 256 * likelihood.n_params, scale=0.3).to(dtype)
    exact = likelihood.log_prob(pixels.to(dtype) / 255, params)
    for x in (pixels.float() / 255, pixels.float() * (1 / 255), pixels.double().div(255).float()):
        exactly(likelihood.log_prob(x.to(dtype), params), exact, rtol=1e-14)


@pytest.mark.parametrize("family", [discretized_logistic, categorical])
@pytest.mark.parametrize("n_levels", [1, 0, -3, 2.0, True, "3", None])
def test_the_number_of_levels_is_a_whole_number_of_at_least_two(family, n_levels):
    with pytest.raises(ValueError, match=r"^n_levels must be an integer of at least"):
        family(n_levels)


@every_likelihood
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_params_that_are_not_finite_never_pass(likelihood, bad):
    """Not even where the value would be finite: a mean of -inf gives the edge cell the probability 1."""
    for edge in (0.0, 1.0):
        x, params = torch.full((2, 3), edge), torch.zeros(2, 3 * likelihood.n_params)
        for column in (0, -1):
            spoiled = params.clone()
            spoiled[1, column] = bad
            with pytest.raises(ValueError, match="^params must be finite"):
                likelihood.log_prob(x, spoiled)
            for function in (likelihood.mean, likelihood.sample):
                with pytest.raises(ValueError, match="^params must be finite"):
                    function(spoiled)


@every_likelihood
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_x_that_is_not_finite_is_named(likelihood, bad):
    with pytest.raises(ValueError, match="^x must be finite"):
        likelihood.log_prob(torch.tensor([[0.0, 1.0, bad]]), torch.zeros(1, 3 * likelihood.n_params))


@every_likelihood
def test_shapes_are_not_broadcast(likelihood):
    n = likelihood.n_params
    params = torch.zeros(4, 3 * n)
    for shape in [(3,), (4, 1), (1, 3), (1,), (4, 1, 3), (5, 3), (3, 4), (4, 5)]:
        with pytest.raises(ValueError, match=rf"^params must have the shape of x with {n} D.*x \({shape[0]},"):
            likelihood.log_prob(torch.zeros(shape), params)
    if n > 1:
        with pytest.raises(ValueError, match=f"^params must hold {n} numbers for each dimension of x, got shape"):
            likelihood.mean(torch.zeros(4, 3 * n + 1))


@every_likelihood
def test_first_and_second_derivatives(likelihood):
    x, params = some_x(likelihood, 4, 3), some_params(2, 4, 3 * likelihood.n_params).requires_grad_()
    assert gradcheck(lambda p: likelihood.log_prob(x, p), params)
    assert gradgradcheck(lambda p: likelihood.log_prob(x, p), params)
    assert gradcheck(likelihood.mean, params)


@pytest.mark.parametrize("logit", [0.0, 1e-9, 1.9999, 2.0001, -2.0001, 40.0])
def test_derivatives_of_the_continuous_bernoulli_at_the_seams(logit):
    x, params = torch.tensor([[0.3]]).double(), torch.tensor([[logit]], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda p: continuous_bernoulli.log_prob(x, p), params)
    assert gradgradcheck(lambda p: continuous_bernoulli.log_prob(x, p), params)


@pytest.mark.parametrize("likelihood", GAUSSIANS.values(), ids=GAUSSIANS.keys())
def test_derivatives_with_respect_to_x(likelihood):
    x, params = some_params(2, 3).requires_grad_(), some_params(2, 3 * likelihood.n_params, seed=3)
    assert gradcheck(lambda x: likelihood.log_prob(x, params), x)


# Steps, ends and half precision: where the table of test_numbers.py has no points


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("log_scale", [-60.0, -90.0, -100.0, -1e4, 1e4])
def test_the_mean_of_a_discretized_logistic_is_a_step_at_the_smallest_scales(log_scale, dtype):
    """At a border of two cells it is half-way between them, and the middle of all where nothing is known."""
    mu = torch.tensor([0.125, 0.375, 0.3, -1.0, 2.0], dtype=dtype)
    params = torch.stack([mu, torch.full_like(mu, log_scale)], -1).requires_grad_()
    mean = discretized_logistic(5).mean(params)
    expected = [0.5] * 5 if log_scale > 0 else [0.125, 0.375, 0.25, 0.0, 1.0]
    assert mean.flatten().tolist() == expected and mean.dtype == dtype
    (slope,) = torch.autograd.grad(mean[2:].sum(), params)
    assert slope.isfinite().all()
    draws = discretized_logistic(5).sample(params.expand(200, 5, 2), torch.Generator().manual_seed(0))
    assert draws.isfinite().all() and draws.min() >= 0 and draws.max() <= 1


@pytest.mark.parametrize("m", [0.0, -4.0, 3.5])
@pytest.mark.parametrize("distance", [19.0, 20.0, 21.0, 39.0, 40.0, 41.0])
def test_the_floor_of_the_log_variance_has_no_step(m, distance):
    step = 1e-9
    x, params = torch.zeros(3, 1, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64)
    params[:, 1] = m + distance + torch.tensor([-step, 0.0, step], dtype=torch.float64)
    below, at, above = normal_diag_above(m).log_prob(x, params)
    rounding = 8 * torch.finfo(torch.float64).eps * (1 + abs(at))
    assert abs((above - at) + 0.5 * step) < rounding and abs((at - below) + 0.5 * step) < rounding


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("logit", [-6.0, -4.0, 4.0])
def test_samples_in_half_precision_have_the_probability_that_was_asked(logit, dtype):
    """A million draws, five standard errors: one in two million right ones would fail, were the seed not fixed."""
    n, p = 10**6, 1 / (1 + np.exp(-logit))
    params = torch.full((n, 1), logit, dtype=dtype)
    draws = bernoulli.sample(params, torch.Generator().manual_seed(0))
    assert draws.dtype == dtype and abs(draws.double().mean().item() - p) < 5 * np.sqrt(p * (1 - p) / n)
    assert torch.equal(draws, bernoulli.sample(params.float(), torch.Generator().manual_seed(0)).to(dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_every_likelihood_draws_in_half_precision_what_it_draws_in_float32(dtype):
    for likelihood in (bernoulli, continuous_bernoulli, normal(-1.3), normal_diag, sigma_normal, categorical(3)):
        params = torch.randn(50, 4 * likelihood.n_params, generator=torch.Generator().manual_seed(1)).to(dtype)
        drawn, wide = (likelihood.sample(p, torch.Generator().manual_seed(2)) for p in (params, params.float()))
        assert drawn.dtype == dtype and torch.equal(drawn, wide.to(dtype))


@pytest.mark.parametrize("family", [discretized_logistic, categorical])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_levels_are_told_apart_in_half_precision_or_refused(family, dtype):
    most = {torch.bfloat16: 256, torch.float16: 2048}[dtype]
    for n in (2, 17, 256, most):
        x = (torch.arange(n, dtype=torch.float64) / (n - 1)).to(dtype)[:, None]
        assert x.unique().numel() == n
        params = torch.randn(1, family(n).n_params, generator=torch.Generator().manual_seed(0)).to(dtype)
        params = params.expand(n, -1)
        wide = torch.arange(n, dtype=torch.float64)[:, None] / (n - 1)
        expected = family(n).log_prob(wide, params.double())
        torch.testing.assert_close(
            family(n).log_prob(x, params), expected.to(dtype), rtol=2 * torch.finfo(dtype).eps, atol=0
        )
    with pytest.raises(ValueError, match=f"x must be of a dtype that tells {most + 1} levels apart, got {dtype}; make"):
        family(most + 1).log_prob(x, torch.zeros(most, family(most + 1).n_params, dtype=dtype))
    with pytest.raises(ValueError, match="x must lie on the 5 levels"):
        family(5).log_prob(torch.tensor([[0.3]], dtype=dtype), torch.zeros(1, family(5).n_params, dtype=dtype))


def test_what_overflows_half_precision_is_said():
    params = torch.tensor([[0.0, 30.0]], dtype=torch.float16)  # a standard deviation of three million
    with pytest.raises(ValueError, match="the result overflows torch.float16: params in"):
        normal_diag.sample(params, torch.Generator().manual_seed(0))


def test_a_value_of_float64_beside_params_of_float32_is_none_of_half_precision():
    x, params = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1)
    assert bernoulli.log_prob(x, params).dtype == torch.float64
    assert bernoulli.log_prob(x.bfloat16(), params).dtype == torch.float32
    assert bernoulli.log_prob(x.float(), params.bfloat16()).dtype == torch.float32
