"""The ELBO on models where log p(x), the posterior and the best bound are known exactly."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from vae_tutorial import gaussian, likelihoods, models
from vae_tutorial.bounds import ElboTerms, elbo, elbo_terms
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
    for module in (gaussian, likelihoods, models):
        monkeypatch.setattr(module, "require_finite", lambda **tensors: None)
    for module in (gaussian, likelihoods):
        monkeypatch.setattr(module, "require_finite_result", lambda result, **tensors: result)
    model = mlp_vae(3, 6, 2, normal(0.0), seed=0).to("meta")
    for analytic_kl in (True, False):
        terms = elbo_terms(model, torch.zeros(4, 3, device="meta"), 5, analytic_kl=analytic_kl)
        assert terms.elbo.device.type == "meta" and terms.elbo.shape == (4,)
    assert model.sample(4).device.type == "meta"


@pytest.mark.parametrize("analytic_kl", [True, False], ids=["estimator B", "estimator A"])
@pytest.mark.parametrize("likelihood", [bernoulli, normal_diag], ids=["bernoulli", "normal_diag"])
def test_first_and_second_derivatives_of_the_bound(likelihood, analytic_kl):
    x, eps = (random(2, 3, seed=0) > 0).double(), random(2, 2, 1, seed=1)
    weights = [random(2, 3, seed=2), random(2, seed=3), random(3 * likelihood.n_params, 1, seed=4)]

    def bound(encoder_weight, encoder_bias, decoder_weight):
        model = VAE(
            lambda x: F.linear(x, encoder_weight, encoder_bias),
            lambda z: torch.tanh(z @ decoder_weight.T),
            1,
            likelihood,
        )
        return elbo(model, x, eps=eps, analytic_kl=analytic_kl)

    weights = [weight.requires_grad_() for weight in weights]
    assert gradcheck(bound, weights)
    assert gradgradcheck(bound, weights)
