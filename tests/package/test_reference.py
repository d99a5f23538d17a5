"""The oracles themselves, against closed forms, SciPy and plain NumPy linear algebra."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Laplace, Normal

from vae_tutorial.reference import (
    Estimate,
    LinearGaussian,
    grid,
    kl_quadrature,
    log_marginal_quadrature,
    monte_carlo,
)

B, D, L = 4, 3, 2
W = torch.tensor([[1.0, -0.4], [0.3, 0.8], [-1.2, 0.5]], dtype=torch.float64)
BIAS = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
EXACT = LinearGaussian(W, 0.3, BIAS)
X = 2 * torch.randn(B, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def exactly(actual, expected, rtol=1e-12, atol=1e-13):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=torch.float64), rtol=rtol, atol=atol)


# Quadrature


@pytest.mark.parametrize("low, high", [([-1.0], [2.0]), ([-1.0, 0.0], [2.0, 4.0]), ([-1.0, 0.0, 3.0], [2.0, 4.0, 3.5])])
def test_grid_is_every_combination_of_the_nodes(low, high):
    z, cell = grid(low, high, 5)
    axes = [np.linspace(a, b, 5) for a, b in zip(low, high, strict=True)]
    exactly(z, np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], 1))
    assert cell == pytest.approx(math.prod((b - a) / 4 for a, b in zip(low, high, strict=True)), rel=1e-14)


def test_two_nodes_a_dimension_are_the_corners():
    z, cell = grid([-1.0, 0.5], [2.0, 4.5], 2)
    exactly(z, [[-1.0, 0.5], [-1.0, 4.5], [2.0, 0.5], [2.0, 4.5]])
    assert cell == 12.0


def summed(distribution):
    return lambda z: distribution.log_prob(z).sum(-1)


def test_kl_quadrature_equals_the_closed_form_in_each_dimension():
    # KL(N(m, s^2) ‖ N(0, 1)) with m = 1, s = 2 is log(1/2) + (4 + 1) / 2 - 1/2; dimensions add.
    one = math.log(0.5) + 2.0
    for dims in (1, 2, 3):
        q, p = summed(Normal(*torch.tensor([1.0, 2.0]).double())), summed(Normal(*torch.tensor([0.0, 1.0]).double()))
        exactly(kl_quadrature(q, p, [-19.0] * dims, [21.0] * dims, n_nodes=61), dims * one)


def test_kl_quadrature_equals_scipy_where_nothing_is_gaussian():
    log_q, log_p = (lambda z: stats.logistic.logpdf(z.numpy()[:, 0])), (lambda z: stats.t.logpdf(z.numpy()[:, 0], 3))
    got = kl_quadrature(*(lambda z, f=f: torch.from_numpy(f(z)) for f in (log_q, log_p)), [-40.0], [40.0], n_nodes=801)
    integrand = lambda z: stats.logistic.pdf(z) * (stats.logistic.logpdf(z) - stats.t.logpdf(z, 3))  # noqa: E731
    exactly(got, integrate.quad(integrand, -40, 40, epsabs=1e-12, limit=200)[0], rtol=1e-9)


def test_kl_quadrature_takes_zero_log_zero_for_zero():
    def uniform(z):  # on the open interval (0, 1): the density is 0 outside
        return torch.where((z[:, 0] > 0) & (z[:, 0] < 1), 0.0, -math.inf).double()

    exactly(kl_quadrature(uniform, uniform, [-0.5 - 0.5e-6], [1.5 + 0.5e-6], n_nodes=2_000_002), 0.0)
    assert kl_quadrature(summed(Normal(0.5, 0.1)), uniform, [-1.0], [2.0]) == math.inf  # p = 0 where q > 0


@pytest.mark.parametrize(
    "low, high, n_nodes",
    [([-3.0], [12.0], 201), ([-12.0], [1.0], 201), ([-12.0], [12.0], 9)],
    ids=["low", "high", "coarse"],
)
def test_kl_quadrature_refuses_a_box_that_loses_q(low, high, n_nodes):
    q = summed(Normal(0.0, 1.0))
    with pytest.raises(
        ValueError, match="log_q integrates to 0.*widen low and high|log_q integrates to 1.*raise n_nodes"
    ):
        kl_quadrature(q, q, low, high, n_nodes)


@pytest.mark.parametrize("dims, n_nodes", [(1, 401), (2, 161)])
def test_log_marginal_quadrature_equals_the_exact_evidence(dims, n_nodes):
    exact = LinearGaussian(W[:, :dims], 0.3, BIAS)

    def log_joint(z):  # (N, L) to (N, B)
        log_x = stats.norm.logpdf(X.numpy(), (z @ exact.W.T + BIAS).numpy()[:, None], 0.3**0.5).sum(-1)
        return torch.from_numpy(stats.norm.logpdf(z.numpy()).sum(-1)[:, None] + log_x)

    quadrature = log_marginal_quadrature(log_joint, [-9.0] * dims, [9.0] * dims, n_nodes)
    exactly(quadrature, exact.log_marginal(X), rtol=1e-11)
    exactly(log_marginal_quadrature(lambda z: log_joint(z)[:, 1], [-9.0] * dims, [9.0] * dims, n_nodes), quadrature[1])


def test_log_marginal_quadrature_holds_far_below_the_range_of_exp():
    normal = summed(Normal(torch.tensor(0.0).double(), 1.0))
    exactly(log_marginal_quadrature(lambda z: normal(z) - 5000, [-12.0], [12.0]), -5000.0)


@pytest.mark.parametrize("low, high", [([-3.1], [12.3]), ([-12.3], [3.1])], ids=["low", "high"])  # not in float32
def test_log_marginal_quadrature_refuses_a_box_that_is_too_small(low, high):
    with pytest.raises(ValueError, match="not died out at the border.*widen the box"):
        log_marginal_quadrature(summed(Normal(0.0, 1.0)), low, high)
    with pytest.raises(ValueError, match="widen the box"):  # one example of two is enough
        both = lambda z: torch.stack([Normal(0.0, 0.1).log_prob(z[:, 0]), Normal(0.0, 1.0).log_prob(z[:, 0])], 1)  # noqa: E731
        log_marginal_quadrature(both, low, high)


@pytest.mark.parametrize("log_evidence", [-5000.0, 0.0, 5000.0])
@pytest.mark.parametrize("low, high, n_nodes, step", [(-3.1, 12.4, 156, 0.1), (-12.4, 3.1, 32, 0.5)])
def test_what_lies_at_the_border_is_a_share_of_the_evidence(low, high, n_nodes, step, log_evidence):
    share = f"{stats.norm.pdf(3.1) * step:.1e}"
    with pytest.raises(ValueError, match=rf"\({share} of it lies there\): widen the box"):
        log_marginal_quadrature(
            lambda z: torch.from_numpy(stats.norm.logpdf(z.numpy()).sum(-1)) + log_evidence, [low], [high], n_nodes
        )


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: grid([0.0], [1.0, 2.0], 5), "low and high"),
        (lambda: grid([], [], 5), "box"),
        (lambda: grid([1.0], [1.0], 5), "box"),
        (lambda: grid([0.0, 2.0], [1.0, 1.0], 5), "box"),
        (lambda: grid([0.0], [math.inf], 5), "box"),
        (lambda: grid([math.nan], [1.0], 5), "box"),
        (lambda: grid([0.0], [1.0], 1), "n_nodes"),
        (lambda: grid([0.0], [1.0], 2.5), "n_nodes"),
        (lambda: kl_quadrature(Normal(0.0, 1.0).log_prob, summed(Normal(0.0, 1.0)), [-9.0], [9.0]), "log_q must map"),
        (lambda: kl_quadrature(summed(Normal(0.0, 1.0)), Normal(0.0, 1.0).log_prob, [-9.0], [9.0]), "log_p must map"),
        (
            lambda: kl_quadrature(lambda z: z.sum(-1) * math.nan, summed(Normal(0.0, 1.0)), [-9.0], [9.0]),
            "log_q gives NaN",
        ),
        (
            lambda: kl_quadrature(summed(Normal(0.0, 1.0)), lambda z: z.sum(-1) * math.nan, [-9.0], [9.0]),
            "log_p gives NaN",
        ),
        (lambda: log_marginal_quadrature(lambda z: z.sum(-1) * math.nan, [-9.0], [9.0]), "border"),
        (lambda: log_marginal_quadrature(lambda z: z.sum(), [-9.0], [9.0]), "log_joint must map"),
    ],
)
def test_what_cannot_be_integrated_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Monte Carlo


@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 3, 2)], ids=str)
def test_monte_carlo_equals_numpy(shape):
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(3))
    estimate, array = monte_carlo(values), values.numpy().astype(np.float64)
    exactly(estimate.mean, array.mean(0), rtol=1e-14)
    exactly(estimate.stderr, stats.sem(array, axis=0))
    exactly(estimate.z_score(0.25), (array.mean(0) - 0.25) / stats.sem(array, axis=0))


def test_two_draws_are_enough_for_an_error():
    estimate = monte_carlo(torch.tensor([1.0, 4.0]))  # standard deviation 3 / sqrt(2), divided by sqrt(2)
    exactly(estimate.mean, 2.5)
    exactly(estimate.stderr, 1.5)


def assert_calibrated(estimate_of):
    """z-scores of a fair test are standard normal: 2000 of them, of skewed draws, by Kolmogorov and Smirnov."""
    draws = torch.empty(400, 2000).exponential_(generator=torch.Generator().manual_seed(6))
    assert stats.kstest(estimate_of(draws).z_score(1.0).numpy(), stats.t(399).cdf).pvalue > 1e-6


def test_z_scores_are_calibrated():
    assert_calibrated(monte_carlo)


WRONG_ESTIMATES = {
    "standard deviation for standard error": lambda v: Estimate(v.mean(0), v.std(0)),
    "variance for standard error": lambda v: Estimate(v.mean(0), v.var(0) / len(v)),
    "divided by 2 K": lambda v: Estimate(v.mean(0), v.std(0) / math.sqrt(2 * len(v))),
    "median for mean": lambda v: Estimate(v.median(0).values, v.std(0) / math.sqrt(len(v))),
}


@pytest.mark.parametrize("wrong", WRONG_ESTIMATES.values(), ids=WRONG_ESTIMATES.keys())
def test_the_calibration_catches_a_wrong_standard_error(wrong):
    with pytest.raises(AssertionError):
        assert_calibrated(wrong)


# The linear-Gaussian model: everything again by conditioning the joint Gaussian of (z, x), in NumPy alone


def joint(exact):
    """Mean and covariance of (z, x), written down from z ~ N(0, I), x = W z + b + noise."""
    w, b = exact.W.numpy(), exact.b.numpy()
    d, n_latent = w.shape
    A = np.block([[np.eye(n_latent), np.zeros((n_latent, d))], [w, math.sqrt(exact.noise_var) * np.eye(d)]])
    return np.concatenate([np.zeros(n_latent), b]), A @ A.T


MODELS = [
    pytest.param(W[:, :1], 0.7, BIAS, id="D3-L1"),
    pytest.param(W, 0.3, BIAS, id="D3-L2"),
    pytest.param(W.T, 0.3, None, id="D2-L3"),
]


@pytest.mark.parametrize("w, noise_var, b", MODELS)
def test_evidence_posterior_and_bound_equal_conditioning_of_the_joint(w, noise_var, b):
    exact = LinearGaussian(w, noise_var, b)
    d, n_latent = w.shape
    x = X[:, :d]
    mean, cov = joint(exact)
    evidence = stats.multivariate_normal(mean[n_latent:], cov[n_latent:, n_latent:]).logpdf(x.numpy())
    exactly(exact.log_marginal(x), evidence)

    gain = cov[:n_latent, n_latent:] @ np.linalg.inv(cov[n_latent:, n_latent:])
    posterior_cov = cov[:n_latent, :n_latent] - gain @ cov[n_latent:, :n_latent]
    posterior_mean = (x.numpy() - mean[n_latent:]) @ gain.T
    exactly(exact.posterior(x).mean, posterior_mean, rtol=1e-11)
    exactly(exact.posterior(x).covariance_matrix, np.tile(posterior_cov, (B, 1, 1)), rtol=1e-11)

    mu = torch.tensor([[0.8, -1.7, 0.2], [1.1, 0.4, -0.9], [0.0, 0.3, 1.4], [-2.0, 0.1, 0.6]]).double()[:, :n_latent]
    log_var = mu.flip(0) - 0.5
    variance = torch.exp(log_var).numpy()
    difference = mu.numpy() - posterior_mean
    kl = 0.5 * (
        variance @ np.diag(np.linalg.inv(posterior_cov))
        + np.einsum("bi,ij,bj->b", difference, np.linalg.inv(posterior_cov), difference)
        - n_latent
        + np.linalg.slogdet(posterior_cov)[1]
        - np.log(variance).sum(-1)
    )
    exactly(exact.kl_to_posterior(x, mu, log_var), kl, rtol=1e-11)
    exactly(exact.elbo(x, mu, log_var), evidence - kl, rtol=1e-11)


def test_samples_have_the_mean_and_covariance_of_the_model():
    x = EXACT.sample(20_000, generator=torch.Generator().manual_seed(5)) - BIAS
    rows, columns = torch.triu_indices(D, D)
    covariance = torch.from_numpy(joint(EXACT)[1][L:, L:])[rows, columns]
    assert monte_carlo(x).z_score(0.0).abs().max() < 6  # false alarm of all nine together: 2e-8
    assert monte_carlo(x[:, rows] * x[:, columns]).z_score(covariance).abs().max() < 6
    assert monte_carlo(x[:, rows] * x[:, columns]).z_score(1.2 * covariance).abs().max() > 6  # and with power


def test_samples_repeat_with_the_seed():
    before = torch.get_rng_state()
    draws = [EXACT.sample(5, generator=torch.Generator().manual_seed(s)) for s in (5, 5, 6)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert draws[0].shape == (5, D) and torch.equal(torch.get_rng_state(), before)


def test_decoder_is_the_mean_of_x_given_z():
    z = torch.randn(5, B, L, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    exactly(EXACT.decoder()(z), z.numpy() @ W.numpy().T + BIAS.numpy())


def test_float32_input_is_taken_to_float64():
    exact = LinearGaussian(W.float(), 0.3, BIAS.float())
    assert exact.log_marginal(X.float()).dtype == torch.float64
    exactly(
        exact.log_marginal(X.float()), LinearGaussian(W.float().double(), 0.3, BIAS).log_marginal(X.float().double())
    )


def test_laplace_has_a_larger_kl_than_the_matched_gaussian():
    # Not a Gaussian: E|z|, E z^2 of a Laplace by hand. KL(Laplace(0, 1) ‖ N(0, 1)) = log sqrt(2 pi) - log 2 - 1 + 1.
    q, p = summed(Laplace(torch.tensor(0.0).double(), 1.0)), summed(Normal(torch.tensor(0.0).double(), 1.0))
    exactly(kl_quadrature(q, p, [-40.0], [40.0], 80_001), 0.5 * math.log(2 * math.pi) - math.log(2), rtol=1e-6)


def test_the_model_keeps_its_numbers_when_its_arguments_change():
    w, b = W.clone(), BIAS.clone()
    exact = LinearGaussian(w, 0.3, b)
    before = exact.log_marginal(X)
    w.zero_(), b.zero_()
    assert torch.equal(exact.log_marginal(X), before)


@pytest.mark.parametrize("log_var", [1000.0, -1000.0])
def test_a_variance_that_no_float_holds_is_named(log_var):
    mu = torch.zeros(len(X), W.shape[1], dtype=torch.float64)
    for bound in (EXACT.elbo, EXACT.kl_to_posterior):
        with pytest.raises(
            ValueError, match=rf"^log_var must have variances in float64, got \[{log_var:g}, {log_var:g}\]"
        ):
            bound(X, mu, torch.full_like(mu, log_var))
