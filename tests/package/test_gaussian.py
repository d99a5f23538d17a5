"""Densities and divergences against quadrature, SciPy, torch.distributions and 50-digit integration."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch
from scipy import stats
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import Normal, kl_divergence

from vae_tutorial._random import draw
from vae_tutorial.gaussian import (
    kl_normal,
    kl_standard_normal,
    log_normal,
    log_standard_normal,
    reparameterize,
    standard_noise,
)
from vae_tutorial.reference import grid, kl_quadrature

# Asymmetric points in 1, 2 and 3 dimensions: at mu = 0, log_var = 0 most mistakes are invisible.
POINTS = [
    pytest.param([[0.8], [-1.7], [0.0], [2.1]], [[0.6], [-1.3], [1.9], [0.0]], id="B4-L1"),
    pytest.param([[0.8, -1.7], [1.1, 0.4], [-0.3, 2.0]], [[0.6, -1.3], [-0.4, 0.9], [1.7, 0.2]], id="B3-L2"),
    pytest.param([[0.8, -1.7, 0.3], [1.1, 0.4, -2.2]], [[0.6, -1.3, 1.1], [-0.4, 0.9, -2.0]], id="B2-L3"),
]
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def tensors(*lists):
    return [torch.tensor(values, dtype=torch.float64) for values in lists]


def exactly(actual, expected, rtol=1e-12, atol=0.0):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=rtol, atol=atol)


# Oracles. Each takes the function under test, so the same assertion judges the package and the planted mistakes.


def gaussian(mu, log_var):
    """log N(z; mu, diag(exp(log_var))) from torch.distributions, summed over the last axis."""
    return lambda z: Normal(mu, torch.sqrt(torch.exp(log_var))).log_prob(z).sum(-1)


def quadrature(mu_q, log_var_q, mu_p, log_var_p):
    """KL(q ‖ p) of each row by the trapezoidal rule, ten standard deviations on either side."""
    rows = []
    for mq, lq, mp_, lp in zip(mu_q, log_var_q, mu_p, log_var_p, strict=True):
        reach = 10 * torch.sqrt(torch.exp(lq))
        box = (mq - reach).tolist(), (mq + reach).tolist()
        rows.append(kl_quadrature(gaussian(mq, lq), gaussian(mp_, lp), *box, n_nodes=49))
    return torch.stack(rows)


def assert_kl_standard_normal(kl):
    for mu, log_var in (tensors(*point.values) for point in POINTS):
        zero = torch.zeros_like(mu)
        exactly(kl(mu, log_var), quadrature(mu, log_var, zero, zero))


def other(mu, log_var):
    """A second Gaussian, with nothing in common with the first."""
    return 0.7 - 0.5 * mu.flip(-1), 0.3 + 0.6 * log_var.flip(0)


def assert_kl_normal(kl):
    for mu, log_var in (tensors(*point.values) for point in POINTS):
        exactly(kl(mu, log_var, *other(mu, log_var)), quadrature(mu, log_var, *other(mu, log_var)))


def assert_log_normal(log_density):
    for mu, log_var in (tensors(*point.values) for point in POINTS):
        x = 0.4 - 1.5 * mu
        expected = stats.norm.logpdf(x.numpy(), mu.numpy(), np.sqrt(np.exp(log_var.numpy()))).sum(-1)
        exactly(log_density(x, mu, log_var), expected)


# The Kullback-Leibler divergence from the standard Gaussian


def test_kl_standard_normal_equals_quadrature():
    assert_kl_standard_normal(kl_standard_normal)


WRONG_KL = {
    "half forgotten": lambda mu, lv: (mu**2 + lv.exp() - 1 - lv).sum(-1),
    "standard deviation for variance": lambda mu, lv: 0.5 * (mu**2 + (lv / 2).exp() - 1 - lv).sum(-1),
    "log standard deviation for log-variance": lambda mu, lv: 0.5 * (mu**2 + lv.exp() - 1 - lv / 2).sum(-1),
    "sign": lambda mu, lv: -kl_standard_normal(mu, lv),
    "sign of the log-variance": lambda mu, lv: 0.5 * (mu**2 + lv.exp() - 1 + lv).sum(-1),
    "mu not squared": lambda mu, lv: 0.5 * (mu.abs() + lv.exp() - 1 - lv).sum(-1),
    "mean over dimensions": lambda mu, lv: 0.5 * (mu**2 + lv.exp() - 1 - lv).mean(-1),
    "one subtracted once, not per dimension": lambda mu, lv: 0.5 * ((mu**2 + lv.exp() - lv).sum(-1) - 1),
    "direction turned": lambda mu, lv: kl_normal(0 * mu, 0 * lv, mu, lv),
    "averaged over the batch": lambda mu, lv: kl_standard_normal(mu, lv).mean(),
    "off by one part in a billion": lambda mu, lv: kl_standard_normal(mu, lv) * (1 + 1e-9),
}


@pytest.mark.parametrize("wrong", WRONG_KL.values(), ids=WRONG_KL.keys())
def test_the_quadrature_catches_a_wrong_kl(wrong):
    with pytest.raises(AssertionError):
        assert_kl_standard_normal(wrong)


mp.mp.dps = 50
NODES = [mp.mpf(i) / 4 for i in range(-72, 73)]  # eighteen standard deviations, in quarters of one
WEIGHTS = [mp.npdf(node) / 4 for node in NODES]


def integral(mu, log_var):
    """∫ q(z) (log q(z) − log p(z)) dz in 50 digits by the trapezoidal rule in (z − mu) / sigma."""
    mu, log_var = mp.mpf(mu), mp.mpf(log_var)
    sigma = mp.sqrt(mp.exp(log_var))
    total = mp.mpf(0)
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        log_q = -mp.log(sigma) - node**2 / 2  # log 2π / 2 is in both densities
        log_p = -((mu + sigma * node) ** 2) / 2
        total += weight * (log_q - log_p)
    return total


HARD_LOG_VARS = [
    sign * 10.0**exponent for exponent in np.linspace(-8, math.log10(80), 45).tolist() for sign in (1, -1)
] + [0.4999, 0.5, 0.5001, 0.513, -0.4999, -0.5, -0.5001, 88.0]  # the seam of series and expm1, and the far end


@pytest.mark.parametrize("mu", [0.0, 1e-5, -0.3, 3.7])
@pytest.mark.parametrize("dtype, largest", [(torch.float64, 1e-12), (torch.float32, 5e-7)], ids=["f64", "f32"])
def test_kl_keeps_its_relative_precision(dtype, largest, mu):
    log_var = torch.tensor(HARD_LOG_VARS, dtype=dtype)
    mean = torch.full_like(log_var, mu)
    kl = kl_standard_normal(mean[:, None], log_var[:, None])
    for got, m, lv in zip(kl.tolist(), mean.tolist(), log_var.tolist(), strict=True):  # exact binary numbers
        assert abs(mp.mpf(got) / integral(m, lv) - 1) <= largest, (m, lv)


@pytest.mark.parametrize("dtype, largest", [(torch.float64, 1e-12), (torch.float32, 5e-7)], ids=["f64", "f32"])
def test_kl_gradient_keeps_its_relative_precision(dtype, largest):
    log_var = torch.tensor([1e-8, -1e-8, 1e-4, -1e-4, 0.03, -0.2, 0.4999, 0.6, -3.0, 20.0, -80.0], dtype=dtype)
    log_var.requires_grad_()
    (gradient,) = torch.autograd.grad(
        kl_standard_normal(torch.ones(11, 1, dtype=dtype), log_var[:, None]).sum(), log_var
    )
    for got, lv in zip(gradient.tolist(), log_var.tolist(), strict=True):
        assert abs(mp.mpf(got) / mp.diff(lambda t: integral(1, t), mp.mpf(lv)) - 1) <= largest, lv


def test_kl_gradient_is_finite_where_the_series_would_overflow():
    log_var = torch.tensor([[-1e4], [88.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(kl_standard_normal(torch.zeros(2, 1), log_var).sum(), log_var)
    exactly(gradient, [[-0.5], [0.5 * math.exp(88)]], rtol=1e-6)


def test_textbook_kl_loses_its_digits_and_its_sign():
    log_var = torch.tensor(HARD_LOG_VARS, dtype=torch.float32)[:, None]
    mu = torch.zeros_like(log_var)
    textbook = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
    assert (textbook < 0).any() and not torch.allclose(textbook, kl_standard_normal(mu, log_var), rtol=1e-2, atol=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_kl_is_never_negative_in_any_dtype(dtype):
    # Half precision is promised the sign alone. Log-variances of every size up to 10: exp(11.09) overflows float16.
    g = torch.Generator().manual_seed(3)
    size = 10 ** torch.linspace(-9, 1, 100_000, dtype=torch.float64)[:, None]
    draw = lambda scale: ((2 * torch.rand(100_000, 2, generator=g) - 1) * scale).to(dtype)  # noqa: E731
    mu, log_var = draw(size), draw(size)
    assert (kl_standard_normal(mu, log_var) >= 0).all()
    assert (kl_standard_normal(0 * mu, log_var) >= 0).all()
    assert (kl_normal(mu, log_var / 2, mu + draw(size / 10), log_var / 2 + draw(size / 10)) >= 0).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_kl_of_a_gaussian_from_itself_is_exactly_zero(dtype):
    mu, log_var = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert (kl_normal(mu, log_var, mu, log_var) == 0).all()
    assert (kl_standard_normal(0 * mu, 0 * log_var) == 0).all()


# The divergence between two diagonal Gaussians


def test_kl_normal_equals_quadrature():
    assert_kl_normal(kl_normal)


WRONG_KL_NORMAL = {
    "q and p exchanged": lambda mq, lq, mp_, lp: kl_normal(mp_, lp, mq, lq),
    "half forgotten": lambda mq, lq, mp_, lp: 2 * kl_normal(mq, lq, mp_, lp),
    "means scaled by q": lambda mq, lq, mp_, lp: (
        0.5 * ((mq - mp_) ** 2 / lq.exp() + (lq - lp).exp() - 1 - lq + lp).sum(-1)
    ),
    "means scaled by sigma": lambda mq, lq, mp_, lp: (
        0.5 * ((mq - mp_) ** 2 / (lp / 2).exp() + (lq - lp).exp() - 1 - lq + lp).sum(-1)
    ),
    "sign of the log-ratio": lambda mq, lq, mp_, lp: (
        0.5 * ((mq - mp_) ** 2 / lp.exp() + (lq - lp).exp() - 1 + lq - lp).sum(-1)
    ),
    "mean over dimensions": lambda mq, lq, mp_, lp: kl_normal(mq, lq, mp_, lp) / mq.shape[-1],
    "means added": lambda mq, lq, mp_, lp: kl_normal(mq, lq, -mp_, lp),
}


@pytest.mark.parametrize("wrong", WRONG_KL_NORMAL.values(), ids=WRONG_KL_NORMAL.keys())
def test_the_quadrature_catches_a_wrong_kl_normal(wrong):
    with pytest.raises(AssertionError):
        assert_kl_normal(wrong)


@pytest.mark.parametrize("mu, log_var", POINTS)
def test_kl_normal_equals_torch_distributions(mu, log_var):
    mu, log_var = tensors(mu, log_var)
    mu_p, log_var_p = other(mu, log_var)
    q, p = Normal(mu, torch.exp(log_var / 2)), Normal(mu_p, torch.exp(log_var_p / 2))
    exactly(kl_normal(mu, log_var, mu_p, log_var_p), kl_divergence(q, p).sum(-1))
    exactly(kl_normal(mu, log_var, 0 * mu, 0 * mu), kl_standard_normal(mu, log_var))


def test_divergences_and_densities_add_over_dimensions():
    mu, log_var = tensors([[0.8, -1.7, 0.3], [1.1, 0.4, -2.2]], [[0.6, -1.3, 1.1], [-0.4, 0.9, -2.0]])
    mu_p, log_var_p = other(mu, log_var)
    columns = [slice(0, 1), slice(1, 2), slice(2, 3)]
    for f, arguments in [
        (kl_standard_normal, (mu, log_var)),
        (kl_normal, (mu, log_var, mu_p, log_var_p)),
        (log_normal, (mu_p, mu, log_var)),
        (log_standard_normal, (mu,)),
    ]:
        exactly(f(*arguments), sum(f(*(a[:, c] for a in arguments)) for c in columns), rtol=1e-14)


def test_only_the_last_axis_is_summed():
    # One example by itself, a batch, and samples of a batch: (L,), (B, L) and (K, B, L), all of different lengths.
    generator = torch.Generator().manual_seed(5)
    for f, n_arguments in [(log_normal, 3), (log_standard_normal, 1), (kl_standard_normal, 2), (kl_normal, 4)]:
        arguments = torch.randn(n_arguments, 5, 4, 3, generator=generator, dtype=torch.float64)
        together = f(*arguments)
        assert together.shape == (5, 4)
        for k in range(5):
            exactly(together[k], f(*arguments[:, k]), rtol=1e-14)
            exactly(together[k], torch.stack([f(*arguments[:, k, b]) for b in range(4)]), rtol=1e-14)


# Log-densities


def test_log_normal_equals_scipy():
    assert_log_normal(log_normal)
    (z,) = tensors([[0.8, -1.7, 0.3], [1.1, 0.4, -2.2]])
    exactly(log_standard_normal(z), stats.norm.logpdf(z.numpy()).sum(-1))


WRONG_LOG_NORMAL = {
    "log 2π missing": lambda x, mu, lv: -0.5 * (lv + (x - mu) ** 2 / lv.exp()).sum(-1),
    "log 2π once, not per dimension": lambda x, mu, lv: (
        -0.5 * (math.log(2 * math.pi) + (lv + (x - mu) ** 2 / lv.exp()).sum(-1))
    ),
    "log 2π for half of it": lambda x, mu, lv: (-math.log(2 * math.pi) - 0.5 * (lv + (x - mu) ** 2 / lv.exp())).sum(-1),
    "log-variance missing": lambda x, mu, lv: -0.5 * (math.log(2 * math.pi) + (x - mu) ** 2 / lv.exp()).sum(-1),
    "sigma for variance": lambda x, mu, lv: log_normal(x, mu, lv / 2),
    "variance for log-variance": lambda x, mu, lv: log_normal(x, mu, lv.exp()),
    "half forgotten": lambda x, mu, lv: 2 * log_normal(x, mu, lv),
    "mean over dimensions": lambda x, mu, lv: log_normal(x, mu, lv) / x.shape[-1],
    "sign": lambda x, mu, lv: -log_normal(x, mu, lv),
}


@pytest.mark.parametrize("wrong", WRONG_LOG_NORMAL.values(), ids=WRONG_LOG_NORMAL.keys())
def test_scipy_catches_a_wrong_log_normal(wrong):
    with pytest.raises(AssertionError):
        assert_log_normal(wrong)


@pytest.mark.parametrize("mu, log_var", POINTS)
def test_densities_integrate_to_one(mu, log_var):
    mu, log_var = (t[0] for t in tensors(mu, log_var))
    reach = 10 * torch.exp(log_var / 2)
    x, cell = grid((mu - reach).tolist(), (mu + reach).tolist(), 49)
    exactly(log_normal(x, mu.expand_as(x), log_var.expand_as(x)).exp().sum() * cell, 1.0)
    z, cell = grid([-10.0] * len(mu), [10.0] * len(mu), 49)
    exactly(log_standard_normal(z).exp().sum() * cell, 1.0)


def test_log_normal_takes_a_sample_axis_on_either_side():
    generator = torch.Generator().manual_seed(1)
    samples = torch.randn(5, 4, 3, generator=generator, dtype=torch.float64)  # K, B, D all different
    x, log_var = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    one_by_one = torch.stack([log_normal(x, mu, log_var) for mu in samples])
    exactly(log_normal(x, samples, log_var.expand_as(samples)), one_by_one, rtol=1e-14)
    assert log_normal(samples, x, log_var).shape == (5, 4)
    exactly(log_normal(samples, x, log_var)[2], log_normal(samples[2], x, log_var), rtol=1e-14)


@pytest.mark.parametrize("log_var", [-80.0, -44.0, 0.0, 44.0, 80.0])
def test_float32_log_normal_holds_its_value_and_gradient_at_extreme_variances(log_var):
    x = torch.tensor([[1.5 * math.exp(log_var / 2)]], requires_grad=True)
    spread = torch.tensor([[log_var]], requires_grad=True)
    value = log_normal(x, torch.zeros(1, 1), spread)
    sd = np.sqrt(np.exp(log_var))
    exactly(value.double(), [stats.norm.logpdf(x.item(), scale=sd)], rtol=1e-6)
    gradients = torch.autograd.grad(value.sum(), [x, spread])
    exactly(gradients[0].double(), [[-x.item() / sd**2]], rtol=1e-6)
    exactly(gradients[1].double(), [[((x.item() / sd) ** 2 - 1) / 2]], rtol=1e-6)


def test_log_normal_keeps_its_gradient_many_deviations_from_the_mean():
    # One unit away at sigma^2 = e^-60: the square divided by the variance would overflow on its way back.
    log_var = torch.tensor([[-60.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(log_normal(torch.ones(1, 1), torch.zeros(1, 1), log_var).sum(), log_var)
    exactly(gradient, [[0.5 * math.exp(60)]], rtol=1e-5)


# The reparameterization trick


@pytest.mark.parametrize("mu, log_var", POINTS)
@pytest.mark.parametrize("leading", [(), (5,)], ids=["one sample", "five samples"])
def test_injected_noise_gives_the_exact_sample(mu, log_var, leading):
    mu, log_var = tensors(mu, log_var)
    eps = torch.randn(*leading, *mu.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    z = reparameterize(mu, log_var, eps)
    exactly(z, mu.numpy() + np.sqrt(np.exp(log_var.numpy())) * eps.numpy(), rtol=1e-14, atol=1e-15)
    assert torch.equal(reparameterize(mu, log_var, torch.zeros_like(mu)), mu)


MU, LOG_VAR = torch.tensor([[0.8, -1.7, 0.3], [1.1, 0.4, -2.2]]), torch.tensor([[0.6, -1.3, 1.1], [-0.4, 0.9, -2.0]])


def assert_samples(draw, n=2000):
    """Means, variances, shapes and independence of two rows of three dimensions: 6 + 6 + 6 + 15 tests.

    False alarms: 1e-6 for all of them together (Bonferroni); with the seed fixed, once and for all.
    """
    rows = lambda t: t.repeat(n, 1)  # noqa: E731
    z = draw(rows(MU), rows(LOG_VAR), torch.Generator().manual_seed(7)).reshape(n, 6).double().numpy()
    mean, sd = MU.flatten().double().numpy(), np.exp(LOG_VAR.flatten().double().numpy() / 2)
    unit = (z - mean) / sd
    chi2 = (unit**2).sum(0)
    correlation = np.corrcoef(unit.T)[np.triu_indices(6, 1)]
    p_values = np.concatenate(
        [
            2 * stats.norm.sf(abs(unit.mean(0)) * np.sqrt(n)),
            2 * np.minimum(stats.chi2.cdf(chi2, n), stats.chi2.sf(chi2, n)),
            [stats.kstest(column, "norm").pvalue for column in unit.T],
            2 * stats.norm.sf(abs(np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12))) * np.sqrt(n - 3)),
        ]
    )
    assert p_values.min() > 1e-6 / len(p_values)


def test_samples_have_the_right_distribution():
    assert_samples(lambda mu, log_var, generator: reparameterize(mu, log_var, generator=generator))


def noisy(f):
    """A sampler from a formula of (mu, log_var, eps)."""
    return lambda mu, log_var, g: f(mu, log_var, torch.randn(mu.shape, generator=g))


WRONG_SAMPLERS = {
    "variance for standard deviation": noisy(lambda mu, lv, eps: mu + lv.exp() * eps),
    "log-variance for standard deviation": noisy(lambda mu, lv, eps: mu + lv * eps),
    "half of the half": noisy(lambda mu, lv, eps: mu + (lv / 4).exp() * eps),
    "noise of standard deviation 0.01": noisy(lambda mu, lv, eps: mu + 0.01 * (lv / 2).exp() * eps),
    "mean left out": noisy(lambda mu, lv, eps: (lv / 2).exp() * eps),
    "sign of the mean": noisy(lambda mu, lv, eps: -mu + (lv / 2).exp() * eps),
    "no noise": noisy(lambda mu, lv, eps: mu + (lv / 2).exp()),
    "absolute noise": noisy(lambda mu, lv, eps: mu + (lv / 2).exp() * eps.abs()),
    "rand for randn": lambda mu, lv, g: mu + (lv / 2).exp() * torch.rand(mu.shape, generator=g),
    "uniform of the right variance": lambda mu, lv, g: (
        mu + (lv / 2).exp() * math.sqrt(12) * (torch.rand(mu.shape, generator=g) - 0.5)
    ),
    "signs for noise": noisy(lambda mu, lv, eps: mu + (lv / 2).exp() * eps.sign()),
    "noise shared by the dimensions": lambda mu, lv, g: mu + (lv / 2).exp() * torch.randn(len(mu), 1, generator=g),
    "noise shared by the batch": lambda mu, lv, g: mu + (lv / 2).exp() * torch.randn(1, 3, generator=g),
    "noise shared by neighbors": lambda mu, lv, g: (
        mu + (lv / 2).exp() * torch.randn(len(mu) // 2, 3, generator=g).repeat_interleave(2, 0)
    ),
    "repeat for repeat_interleave": noisy(lambda mu, lv, eps: mu.flip(0) + (lv / 2).exp() * eps),
}


@pytest.mark.parametrize("wrong", WRONG_SAMPLERS.values(), ids=WRONG_SAMPLERS.keys())
def test_the_statistics_catch_a_wrong_sampler(wrong):
    with pytest.raises(AssertionError):
        assert_samples(wrong)


def assert_pathwise_gradient(sampler):
    """d/dmu and d/dlog_var of E[sin z] = sin(mu) exp(-sigma^2 / 2), the expectation by Gauss-Hermite quadrature."""
    nodes, weights = (torch.from_numpy(t) for t in np.polynomial.hermite_e.hermegauss(60))
    weights = weights / math.sqrt(2 * math.pi)
    mu, log_var = MU.double().requires_grad_(), LOG_VAR.double().requires_grad_()
    z = sampler(mu, log_var, nodes[:, None, None].expand(60, 2, 3))
    expectation = torch.einsum("k,kbl->", weights, torch.sin(z))
    gradients = torch.autograd.grad(expectation, [mu, log_var])
    m, variance = mu.detach(), log_var.detach().exp()
    exactly(gradients[0], torch.cos(m) * torch.exp(-variance / 2), rtol=1e-11)
    exactly(gradients[1], -torch.sin(m) * torch.exp(-variance / 2) * variance / 2, rtol=1e-11)


def test_gradient_of_an_expectation_is_exact():
    assert_pathwise_gradient(reparameterize)


WRONG_GRADIENTS = {
    "standard deviation detached": lambda mu, lv, eps: mu + 0 * lv + (lv / 2).exp().detach() * eps,
    "mean detached": lambda mu, lv, eps: 0 * mu + mu.detach() + (lv / 2).exp() * eps,
    "variance for standard deviation": lambda mu, lv, eps: mu + lv.exp() * eps,
}


@pytest.mark.parametrize("wrong", WRONG_GRADIENTS.values(), ids=WRONG_GRADIENTS.keys())
def test_the_expectation_catches_a_wrong_gradient(wrong):
    with pytest.raises(AssertionError):
        assert_pathwise_gradient(wrong)


def test_noise_comes_from_the_generator_alone():
    before = torch.get_rng_state()
    draws = [reparameterize(MU, LOG_VAR, generator=torch.Generator().manual_seed(s)) for s in (5, 5, 6)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_comes_from_the_global_state_without_a_generator():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        z = reparameterize(MU, LOG_VAR)
        torch.manual_seed(5)
        assert torch.equal(z, reparameterize(MU, LOG_VAR, torch.randn(2, 3)))


def test_noise_is_drawn_on_the_cpu_whatever_the_default_device():
    expected = standard_noise((4, 3), like=MU, generator=torch.Generator().manual_seed(5))
    with torch.device("meta"):  # where random numbers have no values
        assert torch.equal(standard_noise((4, 3), like=MU, generator=torch.Generator("cpu").manual_seed(5)), expected)
        assert standard_noise((4, 3), like=MU).device.type == "cpu"


def test_noise_is_drawn_on_the_device_of_the_generator():
    class Elsewhere(torch.Generator):
        device = torch.device("meta")

    def sampler(shape, *, device, **how):
        devices.append(device)
        return torch.empty(shape, device=device)

    devices = []
    assert draw(sampler, (4, 3), like=torch.empty(1, device="meta"), generator=Elsewhere()).shape == (4, 3)
    assert devices == [torch.device("meta")]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_noise_has_the_dtype_and_device_asked_for(dtype):
    noise = standard_noise((4, 2, 3), like=torch.empty(1, dtype=dtype, device="meta"))
    assert (noise.shape, noise.dtype, noise.device.type) == ((4, 2, 3), dtype, "meta")
    assert reparameterize(MU.to(dtype), LOG_VAR.to(dtype)).dtype == dtype


@pytest.mark.parametrize(
    "f, n_arguments",
    [
        (log_normal, 3),
        (lambda x, mu, log_var: log_normal(torch.stack([x, 2 * x, x - 1]), mu, log_var), 3),
        (log_standard_normal, 1),
        (kl_standard_normal, 2),
        (kl_normal, 4),
        (reparameterize, 3),
        (lambda mu, log_var: kl_standard_normal(mu, 1e-3 * log_var), 2),
    ],
    ids=[
        "log_normal",
        "K samples",
        "log_standard_normal",
        "kl_standard_normal",
        "kl_normal",
        "reparameterize",
        "series",
    ],
)
def test_first_and_second_derivatives(f, n_arguments):
    generator = torch.Generator().manual_seed(4)
    arguments = tuple(torch.randn(n_arguments, 2, 3, generator=generator, dtype=torch.float64).requires_grad_())
    assert gradcheck(f, arguments)
    assert gradgradcheck(f, arguments)
