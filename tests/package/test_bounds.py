"""The ELBO and the importance-weighted bound on models where log p(x) and the posterior are known exactly."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from vae_tutorial import _validation
from vae_tutorial.bounds import (
    ElboTerms,
    effective_sample_size,
    elbo,
    elbo_terms,
    iwae_bound,
    iwae_terms,
    log_weights,
)
from vae_tutorial.gaussian import kl_standard_normal, log_normal, log_standard_normal
from vae_tutorial.likelihoods import bernoulli, normal, normal_diag
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.reference import LinearGaussian, monte_carlo

DIMENSIONS = [
    pytest.param(4, 3, 2, id="B4-D3-L2"),
    pytest.param(3, 2, 1, id="B3-D2-L1"),
    pytest.param(2, 5, 3, id="L3"),
]


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(B, D, L):
    """A solvable model, the same model as a VAE with an encoder that is wrong on purpose, and examples."""
    exact = LinearGaussian(random(D, L, seed=0), 0.4, random(D, seed=1))
    encoder = torch.nn.Linear(D, 2 * L, dtype=torch.float64)
    encoder.load_state_dict({"weight": 0.3 * random(2 * L, D, seed=2), "bias": random(2 * L, seed=3)})
    return exact, VAE(encoder, exact.decoder(), L, normal(math.log(0.4))), 2 * random(B, D, seed=4)


def cubature(B, L):
    """Noise at ± sqrt(L) e_l, K = 2L: the average over it of a quadratic in eps is its exact Gaussian expectation."""
    corners = math.sqrt(L) * torch.cat([torch.eye(L), -torch.eye(L)]).double()
    return corners[:, None, :].expand(2 * L, B, L)


def exactly(actual, expected, rtol=0.0, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("B, D, L", DIMENSIONS)
@pytest.mark.parametrize("analytic_kl", [True, False], ids=["estimator B", "estimator A"])
def test_elbo_plus_its_gap_is_the_evidence(B, D, L, analytic_kl):
    exact, model, x = problem(B, D, L)
    mu, log_var = model.encode(x)
    gap = exact.kl_to_posterior(x, mu, log_var)
    assert (gap > 0.1).all()
    exactly(exact.elbo(x, mu, log_var) + gap, exact.log_marginal(x))
    bound = elbo(model, x, analytic_kl=analytic_kl, eps=cubature(B, L))
    assert bound.shape == (B,)
    exactly(bound + gap, exact.log_marginal(x))


def assert_elbo(terms_of):
    """ELBO + KL(q ‖ posterior) = log p(x), and each term by itself."""
    for B, D, L in (point.values for point in DIMENSIONS):
        exact, model, x = problem(B, D, L)
        mu, log_var = model.encode(x)
        terms = terms_of(model, x, cubature(B, L))
        exactly(terms.log_likelihood - terms.kl + exact.kl_to_posterior(x, mu, log_var), exact.log_marginal(x))
        exactly(terms.elbo, terms.log_likelihood - terms.kl)
        q = torch.distributions.Normal(mu, torch.exp(log_var / 2))
        exactly(terms.kl, torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(-1))


def assembled(
    log_likelihood=lambda ll, x: ll.mean(0), kl=lambda kl: kl, sd=lambda lv: torch.exp(lv / 2), noise=lambda e: e
):
    """The ELBO with one of its parts replaced."""

    def terms_of(model, x, eps):
        mu, log_var = model.encode(x)
        z = mu + sd(log_var) * noise(eps)
        return ElboTerms(log_likelihood(model.log_likelihood(x, z), x), kl(kl_standard_normal(mu, log_var)))

    return terms_of


def test_both_estimators_are_the_elbo():
    assert_elbo(lambda model, x, eps: elbo_terms(model, x, eps=eps))
    assert_elbo(lambda model, x, eps: elbo_terms(model, x, eps=eps, analytic_kl=False))
    assert_elbo(assembled())


WRONG_ELBO = {
    "KL added": assembled(kl=lambda kl: -kl),
    "KL doubled": assembled(kl=lambda kl: 2 * kl),
    "KL weighted by 0.00025": assembled(kl=lambda kl: 0.00025 * kl),
    "KL averaged over the batch": assembled(kl=lambda kl: kl.mean().expand_as(kl)),
    "log-likelihood averaged over pixels": assembled(lambda ll, x: ll.mean(0) / x.shape[1]),
    "log-likelihood summed over samples": assembled(lambda ll, x: ll.sum(0)),
    "log-likelihood averaged over the batch": assembled(lambda ll, x: ll.mean().expand(len(x))),
    "log-likelihood is the importance-weighted one": assembled(
        lambda ll, x: torch.logsumexp(ll, 0) - math.log(len(ll))
    ),
    "constant dropped": assembled(lambda ll, x: ll.mean(0) + 0.5 * x.shape[1] * math.log(2 * math.pi)),
    "decoder given the mean": assembled(noise=lambda e: 0 * e),
    "variance for standard deviation": assembled(sd=torch.exp),
    "noise without its sign": assembled(noise=lambda e: e.abs()),
}


@pytest.mark.parametrize("wrong", WRONG_ELBO.values(), ids=WRONG_ELBO.keys())
def test_the_identity_catches_a_wrong_elbo(wrong):
    with pytest.raises(AssertionError):
        assert_elbo(wrong)


@pytest.mark.parametrize("B, D, L", DIMENSIONS)
def test_gradient_of_the_bound_is_the_gradient_of_the_exact_bound(B, D, L):
    exact, model, x = problem(B, D, L)
    parameters = list(model.encoder.parameters())
    expected = torch.autograd.grad(exact.elbo(x, *model.encode(x)).sum(), parameters)
    for analytic_kl in (True, False):
        bound = elbo(model, x, analytic_kl=analytic_kl, eps=cubature(B, L)).sum()
        for got, want in zip(torch.autograd.grad(bound, parameters), expected, strict=True):
            exactly(got, want, rtol=1e-10)


def test_the_bound_is_tight_at_the_posterior_of_a_one_dimensional_code():
    # One latent dimension: the posterior is a diagonal Gaussian, linear in x, and estimator A has no variance at all.
    exact, model, x = problem(3, 4, 1)
    w = exact.W[:, 0]
    scale = 0.4 + w @ w
    with torch.no_grad():
        model.encoder.weight.copy_(torch.stack([w / scale, 0 * w]))
        model.encoder.bias.copy_(torch.stack([-(w @ exact.b) / scale, torch.log(0.4 / scale)]))
    for seed in range(3):
        one_sample = elbo(model, x, analytic_kl=False, generator=torch.Generator().manual_seed(seed))
        exactly(one_sample, exact.log_marginal(x))


@pytest.mark.parametrize("analytic_kl", [True, False], ids=["estimator B", "estimator A"])
def test_one_sample_estimates_average_to_the_exact_bound(analytic_kl):
    exact, model, x = problem(4, 3, 2)
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        draws = torch.stack([elbo(model, x, analytic_kl=analytic_kl, generator=generator) for _ in range(4000)])
        target = exact.elbo(x, *model.encode(x))
    assert monte_carlo(draws).z_score(target).abs().max() < 6  # four tests, each false once in 5e8
    assert monte_carlo(draws).z_score(exact.log_marginal(x)).abs().min() > 6  # and with power: log p(x) is told apart


def test_k_samples_are_the_mean_of_one_sample_at_a_time():
    model, eps = mlp_vae(3, 6, 2, bernoulli, seed=0).double(), random(5, 4, 2, seed=1)
    x = (random(4, 3, seed=2) > 0).double()
    for analytic_kl in (True, False):
        together = elbo_terms(model, x, eps=eps, analytic_kl=analytic_kl)
        one_by_one = [elbo_terms(model, x, eps=e[None], analytic_kl=analytic_kl) for e in eps]
        exactly(together.log_likelihood, torch.stack([t.log_likelihood for t in one_by_one]).mean(0), atol=1e-13)
        exactly(together.kl, torch.stack([t.kl for t in one_by_one]).mean(0), atol=1e-13)


def test_estimator_a_averages_log_q_minus_log_p_of_its_own_samples():
    _, model, x = problem(4, 3, 2)
    eps, (mu, log_var) = random(5, 4, 2, seed=1), model.encode(x)
    z = mu + torch.exp(log_var / 2) * eps
    expected = (log_normal(z, mu, log_var) - log_standard_normal(z)).mean(0)
    exactly(elbo_terms(model, x, eps=eps, analytic_kl=False).kl, expected)
    assert (elbo_terms(model, x, eps=eps).kl - expected).abs().min() > 1e-3


def test_drawn_noise_has_n_samples_and_comes_from_the_generator_alone():
    _, model, x = problem(4, 3, 2)
    seeded = lambda seed: torch.Generator().manual_seed(seed)  # noqa: E731
    before = torch.get_rng_state()
    draws = [elbo(model, x, 5, generator=seeded(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), before)
    eps = torch.randn(5, 4, 2, generator=seeded(0), dtype=torch.float64)
    assert torch.equal(draws[0], elbo(model, x, eps=eps)) and torch.equal(draws[0], elbo_terms(model, x, eps=eps).elbo)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert torch.equal(elbo(model, x, 5), draws[0])


def test_one_sample_is_drawn_where_no_number_is_given():
    _, model, x = problem(4, 3, 2)
    eps = torch.randn(1, 4, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for estimate in (elbo, lambda *a, **how: elbo_terms(*a, **how).elbo):
        assert torch.equal(estimate(model, x, generator=torch.Generator().manual_seed(3)), estimate(model, x, eps=eps))


def test_elbo_passes_on_all_its_arguments():
    _, model, x = problem(4, 3, 2)
    for how in [dict(eps=random(5, 4, 2, seed=1), analytic_kl=a) for a in (True, False)]:
        assert torch.equal(elbo(model, x, **how), elbo_terms(model, x, **how).elbo)


def test_terms_have_the_dtype_of_the_model():
    for dtype in (torch.float32, torch.float64):
        terms = elbo_terms(mlp_vae(3, 6, 2, bernoulli, seed=0).to(dtype), torch.ones(4, 3, dtype=dtype))
        assert terms.log_likelihood.dtype == terms.kl.dtype == dtype


def test_noise_goes_to_the_device_of_the_model(monkeypatch):
    # On the meta device tensors have no values, so the checks of values are taken out; noise left on the CPU raises.
    monkeypatch.setattr(_validation, "_all_finite", lambda value: True)
    model = mlp_vae(3, 6, 2, normal(0.0), seed=0).to("meta")
    for analytic_kl in (True, False):
        terms = elbo_terms(model, torch.zeros(4, 3, device="meta"), 5, analytic_kl=analytic_kl)
        assert terms.elbo.device.type == "meta" and terms.elbo.shape == (4,)
    assert model.sample(4).device.type == "meta"


@pytest.mark.parametrize("likelihood", [bernoulli, normal_diag], ids=["bernoulli", "normal_diag"])
@pytest.mark.parametrize(
    "of",
    [
        lambda model, x, eps: elbo(model, x, eps=eps),
        lambda model, x, eps: elbo(model, x, eps=eps, analytic_kl=False),
        lambda model, x, eps: log_weights(model, x, eps=eps),
        lambda model, x, eps: iwae_bound(log_weights(model, x, eps=eps)),
        lambda model, x, eps: tuple(iwae_terms(model, x, eps=eps)),
        lambda model, x, eps: effective_sample_size(log_weights(model, x, eps=eps)),
    ],
    ids=["estimator B", "estimator A", "log_weights", "iwae_bound", "iwae_terms", "effective_sample_size"],
)
def test_first_and_second_derivatives(of, likelihood):
    x, eps = (random(2, 3, seed=0) > 0).double(), random(3, 2, 1, seed=1)
    weights = [random(2, 3, seed=2), random(2, seed=3), random(3 * likelihood.n_params, 1, seed=4)]

    def result(encoder_weight, encoder_bias, decoder_weight):
        model = VAE(
            lambda x: F.linear(x, encoder_weight, encoder_bias),
            lambda z: torch.tanh(z @ decoder_weight.T),
            1,
            likelihood,
        )
        return of(model, x, eps)

    weights = [weight.requires_grad_() for weight in weights]
    assert gradcheck(result, weights)
    assert gradgradcheck(result, weights)


# Importance weights


def widened(exact, x):
    """A VAE whose q(z | x) is beside the posterior and wider, so that the weights vary and have all their moments."""
    posterior = exact.posterior(x)
    L = exact.W.shape[1]

    def encoder(rows):
        which = (rows[:, None] == x).all(-1).double()  # (rows, B): which of the examples a row is
        return which @ torch.cat([posterior.mean + 0.1, posterior.variance.log() + 0.4], -1)

    return VAE(encoder, exact.decoder(), L, normal(math.log(exact.noise_var)))


def small_problem(B=3, D=3, L=2):
    exact = LinearGaussian(random(D, L, seed=0), 0.4, random(D, seed=1))
    x = 2 * random(B, D, seed=4)
    return exact, widened(exact, x), x


@pytest.mark.parametrize("B, D", [(4, 3), (3, 2), (2, 5)])
def test_with_the_posterior_as_proposal_every_weight_is_the_evidence(B, D):
    exact, model, x = problem(B, D, 1)  # one latent dimension: the posterior is in the family
    q = exact.posterior(x)
    model = VAE(lambda rows: torch.cat([q.mean, q.variance.log()], -1), exact.decoder(), 1, model.likelihood)
    log_w = log_weights(model, x, 500, generator=torch.Generator().manual_seed(0))
    assert log_w.shape == (500, B)
    exactly(log_w, exact.log_marginal(x).expand(500, B), atol=1e-12)
    exactly(effective_sample_size(log_w), torch.full((B,), 500.0).double(), atol=1e-9)
    exactly(iwae_terms(model, x, 500).elbo, exact.log_marginal(x), atol=1e-12)


def test_weights_are_joint_density_over_proposal():
    exact, model, x = problem(4, 3, 2)
    eps = random(5, 4, 2, seed=1)
    mu, log_var = model.encode(x)
    sd = torch.exp(log_var / 2)
    z = mu + sd * eps
    log_joint = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    log_joint = log_joint + torch.distributions.Normal(z @ exact.W.T + exact.b, 0.4**0.5).log_prob(x).sum(-1)
    exactly(
        log_weights(model, x, eps=eps), log_joint - torch.distributions.Normal(mu, sd).log_prob(z).sum(-1), atol=1e-12
    )
    exactly(log_weights(model, x, eps=eps).mean(0), elbo(model, x, eps=eps, analytic_kl=False), atol=1e-12)


def assert_unbiased(log_p_hat):
    """E[p_hat(x) / p(x)] = 1, at five standard errors, for functions of a model, x and noise that give log p_hat(x)."""
    exact, model, x = small_problem()
    x = x.repeat(4000, 1)
    eps = torch.randn(8, *x.shape[:1], 2, generator=torch.Generator().manual_seed(11), dtype=torch.float64)
    ratio = monte_carlo(torch.exp(log_p_hat(model, x, eps) - exact.log_marginal(x)).view(4000, -1))
    assert ratio.stderr.max() < 0.02
    assert ratio.z_score(1.0).abs().max() < 5  # three tests, each false once in two million


def weighted(join=iwae_bound, prior=1.0, q=1.0, density=log_normal, z_of=lambda mu, sd, eps: mu + sd * eps):
    """The estimate of log p(x) with one of its parts replaced."""

    def log_p_hat(model, x, eps):
        mu, log_var = model.encode(x)
        z = z_of(mu, torch.exp(log_var / 2), eps)
        return join(model.log_likelihood(x, z) + prior * log_standard_normal(z) - q * density(z, mu, log_var))

    return log_p_hat


def tiled(model, x, eps):
    """The K·B rows of x.repeat(K, 1), taken for K rows of each example."""
    K, B = eps.shape[:2]
    log_w = log_weights(model, x.repeat(K, 1), eps=eps.reshape(1, K * B, -1))
    return iwae_bound(log_w.view(B, K).T)


def test_the_mean_weight_is_unbiased():
    assert_unbiased(lambda model, x, eps: iwae_bound(log_weights(model, x, eps=eps)))
    assert_unbiased(lambda model, x, eps: iwae_terms(model, x, eps=eps).elbo)
    assert_unbiased(weighted())


WRONG_WEIGHTS = {
    "log K forgotten": weighted(lambda log_w: torch.logsumexp(log_w, 0)),
    "mean outside the logarithm": weighted(lambda log_w: log_w.mean(0)),
    "largest weight": weighted(lambda log_w: log_w.amax(0)),
    "weights averaged by their softmax": weighted(lambda log_w: (log_w.softmax(0) * log_w).sum(0)),
    "averaged over the examples": weighted(lambda log_w: iwae_bound(log_w.T).mean().expand(log_w.shape[1])),
    "log q forgotten": weighted(q=0.0),
    "log q added": weighted(q=-1.0),
    "prior forgotten": weighted(prior=0.0),
    "prior twice": weighted(prior=2.0),
    "density of the noise for log q": weighted(
        density=lambda z, mu, log_var: log_standard_normal((z - mu) * torch.exp(-log_var / 2))
    ),
    "variance for standard deviation": weighted(z_of=lambda mu, sd, eps: mu + sd**2 * eps),
    "samples of the prior": weighted(z_of=lambda mu, sd, eps: eps),
    "one noise for all examples": weighted(z_of=lambda mu, sd, eps: mu[:1] + sd * eps),
    "tiled samples": tiled,
}


@pytest.mark.parametrize("wrong", WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS.keys())
def test_unbiasedness_catches_wrong_weights(wrong):
    with pytest.raises(AssertionError):
        assert_unbiased(wrong)


def test_the_bound_rises_with_k_from_the_elbo_and_stays_below_the_evidence():
    exact, model, x = small_problem()
    log_w = log_weights(model, x.repeat(20_000, 1), 16, generator=torch.Generator().manual_seed(3))
    log_w = log_w.view(16, 20_000, -1)
    means = [iwae_bound(log_w[:K]) for K in (1, 2, 4, 8, 16)]  # (20_000, B) each
    exactly(means[0], log_w[0])
    mu, log_var = model.encode(x)
    assert monte_carlo(means[0]).z_score(exact.elbo(x, mu, log_var)).abs().max() < 5
    for fewer, more in zip(means, means[1:], strict=False):
        assert monte_carlo(more - fewer).z_score(0.0).min() > 5
    assert monte_carlo(means[-1]).z_score(exact.log_marginal(x)).max() < -5


def test_k_weights_give_no_less_than_their_subsets_do_on_average():
    log_w = 3 * random(7, 1000, seed=5)
    for size in (1, 6):
        subsets = torch.combinations(torch.arange(7), size)
        on_average = torch.stack([iwae_bound(log_w[subset]) for subset in subsets]).mean(0)
        assert (iwae_bound(log_w) >= on_average).all() and (iwae_bound(log_w) - on_average).max() > 0.1


def test_terms_are_the_bound_and_the_weighted_log_likelihood():
    _, model, x = small_problem()
    eps = random(6, 3, 2, seed=2)
    terms, log_w = iwae_terms(model, x, eps=eps), log_weights(model, x, eps=eps)
    exactly(terms.elbo, iwae_bound(log_w), atol=1e-12)
    mu, log_var = model.encode(x)
    log_likelihood = model.log_likelihood(x, mu + torch.exp(log_var / 2) * eps)
    share = torch.exp(log_w) / torch.exp(log_w).sum(0)
    exactly(terms.log_likelihood, (share * log_likelihood).sum(0))
    one, elbo_a = iwae_terms(model, x, eps=eps[:1]), elbo_terms(model, x, eps=eps[:1], analytic_kl=False)
    exactly(one.log_likelihood, elbo_a.log_likelihood)
    exactly(one.kl, elbo_a.kl)


def test_terms_tend_to_those_of_the_posterior():
    exact, model, x = small_problem()
    with torch.no_grad():
        draws = [iwae_terms(model, x, 2000, generator=torch.Generator().manual_seed(seed)) for seed in range(100)]
    prior = torch.distributions.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    kl = torch.distributions.kl_divergence(exact.posterior(x), prior)
    # The bias of the weighted mean is of order 1/2000, its standard error over 100 times of order 1/450.
    assert monte_carlo(torch.stack([t.kl for t in draws])).z_score(kl).abs().max() < 5
    log_likelihood = monte_carlo(torch.stack([t.log_likelihood for t in draws]))
    assert log_likelihood.z_score(exact.log_marginal(x) + kl).abs().max() < 5


def test_gradient_of_the_bound_is_that_of_the_weights_averaged():
    _, model, x = problem(4, 3, 2)
    eps, parameters = random(5, 4, 2, seed=1), [*model.encoder.parameters(), *model.decoder.parameters()]
    log_w = log_weights(model, x, eps=eps)
    share = (torch.exp(log_w) / torch.exp(log_w).sum(0)).detach()
    expected = torch.autograd.grad((share * log_w).sum(), parameters)
    for bound in (iwae_bound(log_weights(model, x, eps=eps)), iwae_terms(model, x, eps=eps).elbo):
        for got, want in zip(torch.autograd.grad(bound.sum(), parameters), expected, strict=True):
            exactly(got, want, rtol=1e-10)


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 3, 2), (1, 4)])
def test_the_bound_of_given_weights(shape):
    log_w = 2 * random(*shape, seed=6)
    expected = torch.log(torch.exp(log_w).sum(0) / len(log_w))
    exactly(iwae_bound(log_w), expected, atol=1e-12)
    exactly(iwae_bound(log_w - 1e5) + 1e5, expected, atol=1e-10)
    exactly(iwae_bound(log_w + 1e5) - 1e5, expected, atol=1e-10)
    assert (iwae_bound(log_w) >= log_w.mean(0) - 1e-15).all() and (iwae_bound(log_w) <= log_w.amax(0) + 1e-15).all()


def test_float32_weights_that_vanish_have_a_bound_and_gradients():
    log_w = (random(5000, seed=7).float() - 2000).requires_grad_()
    bound = iwae_bound(log_w)
    assert bound.dtype == torch.float32
    assert abs(bound.item() - iwae_bound(log_w.double()).item()) < 2e-4  # numbers near 2,000 are 1.2e-4 apart
    (slopes,) = torch.autograd.grad(bound, log_w)
    assert (
        slopes.isfinite().all() and abs(slopes.sum().item() - 1) < 1.2e-4
    )  # as exact as the bound they are taken from


def test_effective_sample_size_of_given_weights():
    weights = [[1.0, 1.0, 1.0, 5.0], [1.0, 1.0, 2.0, 1e-300], [1.0, 1e-300, 3.0, 1e-300]]
    weights = torch.tensor(weights, dtype=torch.float64)
    expected = torch.tensor([3.0, 2.0, 36 / 14, 1.0], dtype=torch.float64)
    for shift in (0.0, -1e4, 1e4):
        exactly(effective_sample_size(weights.log() + shift), expected, atol=1e-9)
    assert effective_sample_size(random(5, 3, 2, seed=8)).shape == (3, 2)
    assert effective_sample_size(random(1, 3, seed=8)).tolist() == [1.0] * 3


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_effective_sample_size_lies_between_1_and_k(scale):
    size = effective_sample_size(scale * random(9, 10_000, seed=9))
    assert (size >= 1 - 1e-12).all() and (size <= 9 + 1e-12).all()
    assert size.max() - size.min() > 1e-7


def test_weights_come_from_the_generator_alone():
    _, model, x = problem(4, 3, 2)
    before = torch.get_rng_state()
    draws = [log_weights(model, x, 5, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    terms = iwae_terms(model, x, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert draws[0].shape == (5, 4) and torch.equal(terms.elbo, terms.log_likelihood - terms.kl)
    exactly(terms.elbo, iwae_bound(draws[0]), atol=1e-12)
    one = log_weights(model, x, generator=torch.Generator().manual_seed(0))
    assert one.shape == (1, 4)


@pytest.mark.parametrize("of_weights", [iwae_bound, effective_sample_size])
def test_log_weights_that_are_none(of_weights):
    with pytest.raises(TypeError, match="log_w must be a torch.Tensor, got list"):
        of_weights([0.0, 1.0])
    with pytest.raises(TypeError, match="log_w must hold floating-point numbers"):
        of_weights(torch.tensor([0, 1]))
    for shape in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="log_w must have at least one axis and no empty one"):
            of_weights(torch.zeros(*shape))
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="log_w"):
            of_weights(torch.tensor([0.0, bad]))


@pytest.mark.parametrize("of_model", [log_weights, iwae_terms])
def test_arguments_of_importance_weights(of_model):
    _, model, x = problem(4, 3, 2)
    for n in (0, -1, 2.5, None):
        with pytest.raises(ValueError, match="n_samples"):
            of_model(model, x, n)
    with pytest.raises(ValueError, match=r"eps must have shape \(K, B, L\) = \(K, 4, 2\), got \(4, 2\)"):
        of_model(model, x, eps=random(4, 2, seed=0))
    with pytest.raises(ValueError, match="eps must have shape"):
        of_model(model, x, eps=random(5, 3, 2, seed=0))
    with pytest.raises(TypeError, match="generator"):
        of_model(model, x, 2, generator=0)
    with pytest.raises(TypeError, match="x must"):
        of_model(model, x.tolist(), 2)
    with pytest.raises(ValueError, match="x"):
        of_model(model, torch.full_like(x, math.nan), 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_takes_more_samples_than_it_can_count(dtype):
    log_w = torch.zeros(70_000, 2, dtype=dtype)
    assert iwae_bound(log_w).tolist() == [0.0, 0.0] and iwae_bound(log_w).dtype == dtype
    assert effective_sample_size(log_w).tolist() == pytest.approx([70_000, 70_000], rel=1e-5)
    log_w = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    for function in (iwae_bound, effective_sample_size):
        torch.testing.assert_close(function(log_w).double(), function(log_w.double()), rtol=1e-2, atol=1e-2)
