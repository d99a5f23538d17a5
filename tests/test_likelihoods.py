"""Likelihoods against enumeration, quadrature, SciPy and torch.distributions."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import Bernoulli

from vae_tutorial.likelihoods import bernoulli, normal, normal_diag, normal_diag_above
from vae_tutorial.reference import grid, monte_carlo

FLOOR = -1.5
LIKELIHOODS = {
    "bernoulli": bernoulli,
    "normal": normal(-0.7),
    "normal_diag": normal_diag,
    "normal_diag_above": normal_diag_above(FLOOR),
}
GAUSSIANS = {name: likelihood for name, likelihood in LIKELIHOODS.items() if name != "bernoulli"}
every_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS.keys())


def exactly(actual, expected, rtol=1e-12, atol=0.0):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=rtol, atol=atol)


def some_params(*shape, seed=0, scale=1.5):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_x(likelihood, *shape, seed=1):
    x = some_params(*shape, seed=seed)
    return (x > 0.3).double() if likelihood is bernoulli else x


def scipy_log_prob(name, x, params):
    """The density of each row, from SciPy, with the variance of each family written out."""
    x, params = x.numpy(), params.numpy()
    D = x.shape[-1]
    if name == "bernoulli":
        return stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-params))).sum(-1)
    mean, second = params[..., :D], params[..., D:]
    variance = {
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
    exactly(likelihood.log_prob(x, params), scipy_log_prob(name, x, params))


@every_likelihood
def test_a_sample_axis_gives_what_one_sample_at_a_time_gives(likelihood):
    x, params = some_x(likelihood, 4, 3), some_params(5, 4, 3 * likelihood.n_params)  # K, B, D all different
    log_prob = likelihood.log_prob(x, params)
    assert log_prob.shape == (5, 4)
    exactly(log_prob, torch.stack([likelihood.log_prob(x, row) for row in params]), rtol=1e-14)
    assert likelihood.mean(params).shape == likelihood.sample(params).shape == (5, 4, 3)


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


def assert_sample_matches_mean(sample, mean):
    """Twelve z-tests of the mean; a false alarm beyond six standard errors: 2e-9 each, the seed fixed."""
    params = some_params(2, 6, seed=3)
    draws = torch.stack([sample(params, generator=g) for g in [torch.Generator().manual_seed(9)] for _ in range(3000)])
    assert monte_carlo(draws).z_score(mean(params)).abs().max() < 6


@every_likelihood
def test_samples_have_the_mean_of_the_likelihood(likelihood):
    assert_sample_matches_mean(likelihood.sample, likelihood.mean)


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
    params, before = some_params(3, 4), torch.get_rng_state()
    draws = [likelihood.sample(params, generator=torch.Generator().manual_seed(s)) for s in (5, 5, 6)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), before)


@every_likelihood
def test_samples_keep_the_dtype(likelihood):
    params = some_params(3, 4).float()
    assert likelihood.sample(params).dtype == likelihood.mean(params).dtype == torch.float32


def test_n_params():
    assert [likelihood.n_params for likelihood in LIKELIHOODS.values()] == [1, 1, 2, 2]


# Support and derivatives


@pytest.mark.parametrize(
    "pixel, advice",
    [(0.5, "binarize"), (1 - 1e-6, "binarize"), (255.0, "scale"), (1.5, "scale"), (-1.0, "scale")],
    ids=["gray", "almost one", "0 to 255", "standardized", "-1 to 1"],
)
def test_bernoulli_refuses_what_is_neither_zero_nor_one(pixel, advice):
    with pytest.raises(ValueError, match=f"^x must hold only 0 and 1.*{advice}"):
        bernoulli.log_prob(torch.tensor([[0.0, 1.0, pixel]]), torch.zeros(1, 3))


@every_likelihood
def test_first_and_second_derivatives(likelihood):
    x, params = some_x(likelihood, 4, 3), some_params(2, 4, 3 * likelihood.n_params).requires_grad_()
    assert gradcheck(lambda p: likelihood.log_prob(x, p), params)
    assert gradgradcheck(lambda p: likelihood.log_prob(x, p), params)
    assert gradcheck(likelihood.mean, params)


@pytest.mark.parametrize("likelihood", GAUSSIANS.values(), ids=GAUSSIANS.keys())
def test_derivatives_with_respect_to_x(likelihood):
    x, params = some_params(2, 3).requires_grad_(), some_params(2, 3 * likelihood.n_params, seed=3)
    assert gradcheck(lambda x: likelihood.log_prob(x, params), x)
