"""Categorical latents: enumeration, quadrature, finite differences and SciPy against every function."""

import copy
import itertools
import math
import pickle
from functools import partial

import fixed
import numpy as np
import pytest
import torch
from fixed import values
from scipy import integrate, special, stats
from torch import nn

from vae_tutorial import categorical
from vae_tutorial.bounds import elbo_terms, log_weights
from vae_tutorial.categorical import (
    AutoregressiveCodes,
    OneHot,
    UniformCodes,
    all_codes,
    exact_log_marginal,
    exact_terms,
    gumbel_noise,
    gumbel_softmax,
    kl_uniform,
    leave_one_out,
    leave_one_out_terms,
    score_function,
    straight_through,
)
from vae_tutorial.checkpoints import load, save
from vae_tutorial.evaluation import marginal_log_likelihood
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.reference import monte_carlo
from vae_tutorial.training import fit

moved = partial(fixed.moved, seed=7, scale=0.8)
L, C, D, B = 2, 3, 4, 5


def model_with(prior=None, posterior=None, seed=0):
    prior = moved(AutoregressiveCodes(L, C)) if prior is None else prior
    model = mlp_vae(D, 6, L * C, bernoulli, seed=seed, prior=prior, posterior=posterior or OneHot(C)).double()
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(3)
    return model


X = (values(B, D, seed=3) > 0).double()


def by_loops(model, x):
    """log p(x) and ELBO of each example, every code by itself, probabilities added up as such."""
    log_px, bound = [], []
    with torch.no_grad():
        for row in x:
            logits = model.encode(row[None])[0].reshape(L, C).numpy()
            p = q_sum = 0.0
            for code in itertools.product(range(C), repeat=L):
                z = torch.zeros(1, L * C).double()
                for i, c in enumerate(code):
                    z[0, i * C + c] = 1.0
                probability = torch.sigmoid(model.decoder(z))[0].numpy()
                joint = (
                    np.where(row.numpy() == 1, probability, 1 - probability).prod()
                    * model.prior.log_prob(z).exp().item()
                )
                q = math.prod(special.softmax(logits[i])[c] for i, c in enumerate(code))
                p += joint
                q_sum += q * (math.log(joint) - math.log(q))
            log_px.append(math.log(p))
            bound.append(q_sum)
    return torch.tensor(log_px, dtype=X.dtype), torch.tensor(bound, dtype=X.dtype)


def test_log_p_and_elbo_equal_loops_over_every_code():
    model = model_with()
    log_px, bound = by_loops(model, X)
    torch.testing.assert_close(exact_log_marginal(model, X).detach(), log_px, rtol=0, atol=1e-12)
    torch.testing.assert_close(exact_terms(model, X).elbo.detach(), bound, rtol=0, atol=1e-12)
    assert (bound < log_px).all()


def test_the_sum_over_codes_stands_probabilities_below_the_smallest_number():
    """Bernoulli logits of -3000 where x is 1: with a decoder that takes no notice of z, log p(x) is its sum."""
    model = model_with()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
        list(model.decoder.parameters())[-1].fill_(-3000.0)
        found = exact_log_marginal(model, torch.ones(1, D).double())
    assert found.item() == pytest.approx(-3000.0 * D)


def test_the_gap_is_the_divergence_from_the_posterior():
    model = model_with()
    with torch.no_grad():
        z = all_codes(L, C).double()[:, None].expand(-1, B, -1)
        log_joint = model.log_likelihood(X, z) + model.log_prior(z)
        posterior = special.softmax(log_joint.numpy(), axis=0)
        q = model.posterior.log_prob(model.encode(X), z).exp().numpy()
        gap = exact_log_marginal(model, X) - exact_terms(model, X).elbo
    assert gap.numpy() == pytest.approx(stats.entropy(q, posterior, axis=0), abs=1e-12)


def finite_differences(fn, parameter, h=1e-5):
    slopes = torch.zeros_like(parameter)
    with torch.no_grad():
        flat, found = parameter.view(-1), slopes.view(-1)
        for i in range(len(flat)):
            at = flat[i].item()
            ends = []
            for step in (h, -h):
                flat[i] = at + step
                ends.append(fn().item())
            flat[i] = at
            found[i] = (ends[0] - ends[1]) / (2 * h)
    return slopes


@pytest.mark.parametrize("part", ["encoder", "decoder", "prior"])
def test_the_exact_gradient_is_that_of_finite_differences(part):
    model = model_with()
    parameter = list(getattr(model, part).parameters())[-1]
    loss = exact_terms(model, X).elbo.sum()
    (found,) = torch.autograd.grad(loss, parameter)
    expected = finite_differences(lambda: by_loops(model, X)[1].sum(), parameter)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


# Priors


@pytest.mark.parametrize(
    "prior", [UniformCodes(C), moved(AutoregressiveCodes(L, C))], ids=["uniform", "autoregressive"]
)
def test_a_prior_sums_to_one_and_draws_what_it_says(prior):
    states = all_codes(L, C).double()
    with torch.no_grad():
        p = prior.log_prob(states).exp()
        z = prior.sample((60_000, L * C), like=states, generator=torch.Generator().manual_seed(1))
    assert p.sum().item() == pytest.approx(1, abs=1e-12)
    assert z.reshape(-1, L, C).sum(-1).eq(1).all() and set(z.unique().tolist()) == {0.0, 1.0}
    came = (z[:, None] == states).all(-1).double().sum(0).numpy()
    assert stats.chisquare(came, p.numpy() * len(z)).pvalue > 1e-6


@pytest.mark.parametrize("prior", [UniformCodes(C), AutoregressiveCodes(L, C)])
def test_the_draws_of_a_prior_are_those_of_the_generator(prior):
    def draws(seed):
        with torch.no_grad():
            return prior.sample((50, L * C), like=T(1), generator=torch.Generator().manual_seed(seed))

    assert torch.equal(draws(0), draws(0)) and not torch.equal(draws(0), draws(1))


def test_the_autoregressive_prior_is_a_product_of_conditionals():
    prior = moved(AutoregressiveCodes(3, 2))
    b, A = prior.bias.detach().numpy(), prior.weight.detach().numpy()
    for z in all_codes(3, 2).double():
        hot, log_p = z.reshape(3, 2).numpy(), 0.0
        for i in range(3):
            logits = b[i] + sum((A[i, :, m] @ hot[m] for m in range(i)), np.zeros(2))
            log_p += special.log_softmax(logits)[hot[i].argmax()]
        assert prior.log_prob(z).item() == pytest.approx(log_p, abs=1e-12)


def test_what_is_not_earlier_is_not_used():
    prior = moved(AutoregressiveCodes(3, 2))
    prior.log_prob(all_codes(3, 2).double()).sum().backward()
    for i, m in itertools.product(range(3), repeat=2):
        assert bool(prior.weight.grad[i, :, m].any()) == (m < i)


def test_the_priors_begin_equal():
    z = all_codes(L, C)
    torch.testing.assert_close(AutoregressiveCodes(L, C).log_prob(z), UniformCodes(C).log_prob(z))
    assert UniformCodes(C).log_prob(z)[0].item() == pytest.approx(-L * math.log(C))


# Noise, relaxation, posterior


def test_gumbel_noise_has_the_gumbel_distribution():
    eps = torch.linspace(-8, 8, 65, dtype=torch.float64)
    expected = stats.gumbel_r.ppf(stats.norm.cdf(eps.numpy()))[eps.numpy() < 5]
    assert gumbel_noise(eps)[eps < 5].numpy() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    above = -np.log(-np.log1p(-stats.norm.sf(eps[eps >= 5].numpy())))
    assert gumbel_noise(eps)[eps >= 5].numpy() == pytest.approx(above, rel=1e-9)
    assert gumbel_noise(torch.tensor([6.0])).isfinite().all()  # in float32 Φ rounds to 1


def test_the_largest_logit_plus_gumbel_noise_has_the_softmax_probabilities():
    logits = torch.tensor([0.3, -1.2, 1.1]).double()
    eps = values(80_000, 3, seed=5)
    soft = gumbel_softmax(logits, gumbel_noise(eps), 0.7)
    came = np.bincount(soft.argmax(-1).numpy(), minlength=3)
    assert stats.chisquare(came, special.softmax(logits.numpy()) * len(eps)).pvalue > 1e-6


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_the_mean_of_a_relaxed_choice_of_two_equals_quadrature_over_logistic_noise(temperature):
    """Of two, the difference of Gumbels is logistic: E[s((l + a) / τ)], 200,000 draws, five standard errors."""
    logits = torch.tensor([0.8, -0.4]).double()
    soft = gumbel_softmax(logits, gumbel_noise(values(200_000, 2, seed=6)), temperature)
    expected, _ = integrate.quad(
        lambda a: special.expit((1.2 + a) / temperature) * stats.logistic.pdf(a), -60, 60, epsabs=1e-10
    )
    assert abs(monte_carlo(soft[:, 0]).z_score(expected)) < 5


def test_one_hot_draws_its_codes_and_knows_their_probability():
    logits = values(1, L * C, seed=2)
    posterior = OneHot(C, 0.5)
    z, log_q = posterior.sample((logits,), values(50_000, 1, L * C, seed=8))
    states = all_codes(L, C).double()
    p = np.array([math.prod(special.softmax(logits.reshape(L, C).numpy(), -1)[i, c] for i, c in enumerate(code))
                  for code in itertools.product(range(C), repeat=L)])  # fmt: skip
    came = (z == states).all(-1).double().sum(0).numpy()
    assert came.sum() == 50_000  # exactly one-hot, to the last bit
    assert stats.chisquare(came, p * 50_000).pvalue > 1e-6
    index = (z == states).all(-1).double().argmax(-1)
    torch.testing.assert_close(log_q[:, 0], torch.from_numpy(np.log(p))[index], rtol=0, atol=1e-12)
    torch.testing.assert_close(posterior.mean((logits,))[0], torch.from_numpy(p) @ states, rtol=0, atol=1e-12)
    torch.testing.assert_close(posterior.log_prob((logits,), states)[:, None], torch.from_numpy(np.log(p))[:, None])


def test_the_gradient_of_a_draw_is_that_of_the_relaxation():
    logits, eps = values(B, L * C, seed=2).requires_grad_(), values(6, B, L * C, seed=9)
    weights = values(6, B, L * C, seed=10)
    z, _ = OneHot(C, 0.7).sample((logits,), eps)
    (found,) = torch.autograd.grad((weights * z).sum(), logits)
    noise = -np.log(-np.log(stats.norm.cdf(eps.numpy())))
    soft = special.softmax((logits.detach().numpy() + noise).reshape(6, B, L, C) / 0.7, -1)
    w = weights.numpy().reshape(6, B, L, C)
    expected = (soft * (w - (w * soft).sum(-1, keepdims=True)) / 0.7).sum(0).reshape(B, L * C)
    assert found.numpy() == pytest.approx(expected, abs=1e-9)


def test_the_temperature_is_one_unless_told():
    assert OneHot(3).temperature == 1.0 and OneHot(3, 0.5).temperature == 0.5


def test_the_gradient_of_log_q_at_a_draw_passes_through_the_draw_too():
    """Of Σ z log π: (z − π) where z is held, and the relaxation's slope of z times log π where it is not."""
    logits, eps = values(B, L * C, seed=2).requires_grad_(), values(6, B, L * C, seed=9)
    _, log_q = OneHot(C, 0.7).sample((logits,), eps)
    (found,) = torch.autograd.grad(log_q.sum(), logits)
    scores = (logits.detach().numpy() - np.log(-np.log(stats.norm.cdf(eps.numpy())))).reshape(6, B, L, C)
    soft, z = special.softmax(scores / 0.7, -1), np.eye(C)[scores.argmax(-1)]
    log_p = special.log_softmax(logits.detach().numpy().reshape(B, L, C), -1)
    through = soft * (log_p - (log_p * soft).sum(-1, keepdims=True)) / 0.7
    expected = (z - np.exp(log_p) + through).sum(0).reshape(B, L * C)
    assert found.numpy() == pytest.approx(expected, abs=1e-9)


# Estimators of a gradient: exact means and variances by enumeration


PHI, F_OF = torch.tensor([0.4, -0.9, 0.2]).double(), torch.tensor([-1.0, 2.5, 0.7]).double()
EXACT = torch.autograd.functional.jacobian(lambda phi: torch.softmax(phi, 0) @ F_OF, PHI)


def gradient(estimate, draws):
    """Of the mean over the draws, shape (K,), in the logits."""
    phi = PHI.clone().requires_grad_()
    log_q = torch.log_softmax(phi, 0)[draws]
    (found,) = torch.autograd.grad(estimate(F_OF[draws], log_q).mean(), phi)
    return found


def expectation(estimate, n_draws):
    """Over all draws, by enumeration."""
    q = torch.softmax(PHI, 0)
    every = [torch.tensor(draws) for draws in itertools.product(range(3), repeat=n_draws)]
    return sum(q[draws].prod() * gradient(estimate, draws) for draws in every)


def baselined(f, log_q):
    return score_function(f, log_q, 1.3)


ESTIMATORS = {"score": (score_function, 1), "baseline": (baselined, 1), "leave one out": (leave_one_out, 3)}


@pytest.mark.parametrize("estimate, n_draws", ESTIMATORS.values(), ids=ESTIMATORS.keys())
def test_the_score_function_is_unbiased_by_enumeration(estimate, n_draws):
    torch.testing.assert_close(expectation(estimate, n_draws), EXACT, rtol=0, atol=1e-12)


def test_values_stay_and_gradients_of_f_itself_are_added():
    theta = torch.tensor(2.0, requires_grad=True).double()
    f = theta * F_OF
    for estimate in (score_function, leave_one_out):
        out = estimate(f, torch.log_softmax(PHI, 0))
        assert torch.equal(out.detach(), f.detach())
        (slope,) = torch.autograd.grad(out.sum(), theta, retain_graph=True)
        assert slope.item() == pytest.approx(F_OF.sum().item())


def test_leave_one_out_is_the_sample_covariance_of_f_and_the_score():
    draws = torch.tensor([0, 1, 1, 2, 0])
    score = np.eye(3)[draws.numpy()] - special.softmax(PHI.numpy())
    expected = [np.cov(F_OF[draws].numpy(), score[:, i])[0, 1] for i in range(3)]
    assert gradient(leave_one_out, draws).numpy() == pytest.approx(expected, abs=1e-12)


def test_a_baseline_gets_no_gradient():
    b = torch.tensor(1.0, requires_grad=True).double()
    out = score_function(F_OF, torch.log_softmax(PHI.clone().requires_grad_(), 0), b)
    assert torch.autograd.grad(out.sum(), b, allow_unused=True)[0] is None


def test_leave_one_out_terms_are_unbiased_for_every_parameter():
    """Of two draws on L = 1: the mean over all 9 pairs of noise that draw each code, weighted by their probability."""
    model = mlp_vae(D, (), C, bernoulli, seed=1, prior=moved(AutoregressiveCodes(1, C)), posterior=OneHot(C)).double()
    x = X[:1]
    exact = torch.autograd.grad(exact_terms(model, x).elbo.sum(), list(model.parameters()), allow_unused=True)
    with torch.no_grad():
        q = torch.softmax(model.encode(x)[0][0], -1)
    total = [torch.zeros_like(p) for p in model.parameters()]
    for pair in itertools.product(range(C), repeat=2):
        eps = torch.full((2, 1, C), -8.0).double()
        for k, c in enumerate(pair):
            eps[k, 0, c] = 8.0  # whose Gumbel noise decides
        terms = leave_one_out_terms(model, x, eps=eps)
        found = torch.autograd.grad(terms.elbo.sum(), list(model.parameters()), allow_unused=True)
        total = [t + q[list(pair)].prod() * f if f is not None else t for t, f in zip(total, found, strict=True)]
    for t, e in zip(total, exact, strict=True):
        torch.testing.assert_close(t, torch.zeros_like(t) if e is None else e, rtol=0, atol=1e-11)


def test_leave_one_out_terms_take_no_path_through_the_draws():
    """The last bias of the encoder moves the logits alone: (f - mean of the others - 1) (z - π), whatever the noise."""
    model, eps = model_with(), values(4, 1, L * C, seed=4)
    with torch.no_grad():
        logits = model.encode(X[:1])[0]
        z = model.posterior.sample((logits,), eps)[0]
        f = model.log_likelihood(X[:1], z) - model.posterior.log_prob((logits,), z) + model.log_prior(z)
        pi = special.softmax(logits.numpy().reshape(L, C), -1).reshape(L * C)
        f, score = f.numpy(), z[:, 0].numpy() - pi
    expected = sum((f[k] - np.delete(f, k).mean() - 1) * score[k] for k in range(4)) / 4
    terms = leave_one_out_terms(model, X[:1], eps=eps)
    (found,) = torch.autograd.grad(terms.elbo.sum(), list(model.encoder.parameters())[-1])
    assert found.numpy() == pytest.approx(expected, abs=1e-10)


def test_leave_one_out_terms_have_the_values_of_sampled_terms():
    model, eps = model_with(), values(6, B, L * C, seed=4)
    sampled, found = elbo_terms(model, X, eps=eps), leave_one_out_terms(model, X, eps=eps)
    torch.testing.assert_close(found.log_likelihood, sampled.log_likelihood)
    torch.testing.assert_close(found.kl, sampled.kl)


def test_kl_from_the_uniform_distribution_equals_scipy():
    logits = values(B, C, seed=1, scale=3.0)
    expected = stats.entropy(special.softmax(logits.numpy(), -1), np.full((B, C), 1 / C), axis=-1)
    assert kl_uniform(logits).numpy() == pytest.approx(expected, abs=1e-12)
    assert kl_uniform(torch.tensor([1e4, 0.0, 0.0])).item() == pytest.approx(math.log(3))


def test_straight_through_is_the_value_to_the_last_bit():
    value, soft = torch.tensor([0.1, 1e-8]), torch.tensor([1e8, 0.3], requires_grad=True)
    out = straight_through(value.requires_grad_(), soft)
    assert torch.equal(out.detach(), value.detach())
    grads = torch.autograd.grad((torch.tensor([2.0, 3.0]) * out).sum(), (soft, value), allow_unused=True)
    assert grads[0].tolist() == [2.0, 3.0] and grads[1] is None


# In the package: trained, measured, saved


def test_importance_sampling_agrees_with_enumeration():
    model = model_with()
    estimate = marginal_log_likelihood(model, X, 40_000, seed=0, progress=False)
    assert (estimate - exact_log_marginal(model, X).detach()).abs().max() < 0.15
    weights = log_weights(model, X, 40_000, generator=torch.Generator().manual_seed(1)).detach()
    assert monte_carlo((weights - exact_log_marginal(model, X).detach()).exp()).z_score(1.0).abs().max() < 5


@pytest.mark.parametrize("objective", [elbo_terms, exact_terms, leave_one_out_terms])
def test_every_objective_trains(objective):
    x = (torch.arange(64)[:, None] % 4 == torch.arange(4)).float()  # four patterns: two bits
    model = mlp_vae(4, 16, L * C, bernoulli, seed=0, prior=UniformCodes(C), posterior=OneHot(C))
    how = dict(epochs=40, batch_size=16, lr=0.02, seed=0, n_samples=4, progress=False, device="cpu")
    fit(model, x, objective=objective, **how)
    before = mlp_vae(4, 16, L * C, bernoulli, seed=0, prior=UniformCodes(C), posterior=OneHot(C))
    with torch.no_grad():
        assert exact_terms(model, x).elbo.mean() > exact_terms(before, x).elbo.mean() + 0.3
        assert (exact_terms(model, x).elbo <= exact_log_marginal(model, x) + 1e-6).all()


@pytest.mark.parametrize("prior", [UniformCodes(C), AutoregressiveCodes(L, C)])
def test_a_model_comes_back_from_a_file_a_copy_and_a_pickle(prior, tmp_path):
    model = mlp_vae(D, 6, L * C, normal(0.3), seed=0, prior=prior, posterior=OneHot(C, 0.6))
    with torch.no_grad():
        for parameter in model.prior.parameters():
            parameter.add_(0.1)
    save(model, tmp_path / "m.safetensors")
    x, eps = values(B, D).float(), values(3, B, L * C).float()
    expected = log_weights(model.eval(), x, eps=eps)
    for again in (load(tmp_path / "m.safetensors"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(log_weights(again, x, eps=eps), expected)
        assert again.posterior.temperature == 0.6
    assert model.sample(7).shape == (7, D) and model.reconstruct(x).shape == (B, D)


# Wrong input

T = torch.zeros


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: straight_through(T(3), T(2)), ValueError, "same shape"),
        (lambda: straight_through(T(3), T(3).double()), TypeError, "same dtype"),
        (lambda: gumbel_noise(torch.arange(3)), TypeError, "eps must hold floating-point"),
        (lambda: gumbel_noise(torch.tensor([math.nan])), ValueError, "eps must be finite"),
        (lambda: gumbel_softmax(T(3), T(3), 0.0), ValueError, "temperature must be above 0"),
        (lambda: gumbel_softmax(T(3), T(3), "cold"), TypeError, "temperature must be one finite number"),
        (lambda: gumbel_softmax(T(3), T(2, 4), 1.0), ValueError, r"gumbel must have the codes of logits \(3,\)"),
        (lambda: score_function(T(3), T(1, 3)), ValueError, "same shape"),
        (lambda: score_function(T(3), T(3), T(2, 3)), ValueError, "baseline must broadcast to the shape of f"),
        (lambda: leave_one_out(T(1, 3), T(1, 3)), ValueError, "at least 2 draws"),
        (lambda: kl_uniform(torch.tensor([math.inf, 0.0])), ValueError, "logits must be finite"),
        (lambda: OneHot(0), ValueError, "n_codes must be an integer"),
        (lambda: OneHot(3, -1.0), ValueError, "temperature must be above 0"),
        (lambda: OneHot(3).sample((T(1, 4),), T(1, 1, 4)), ValueError, "L times the 3 codes"),
        (lambda: UniformCodes(3).log_prob(T(2, 4)), ValueError, "L times the 3 codes"),
        (lambda: AutoregressiveCodes(2, 3).log_prob(T(1, 4)), ValueError, "2 x 3 latent dimensions"),
        (lambda: AutoregressiveCodes(2, True), ValueError, "n_codes must be an integer"),
        (lambda: all_codes(40, 8), ValueError, "too many to enumerate"),
        (lambda: all_codes(21, 2), ValueError, "too many to enumerate, at most 1048576"),
        (lambda: exact_terms(mlp_vae(D, 3, 2, bernoulli, seed=0), X.float()), TypeError, "posterior must be OneHot"),
        (lambda: exact_log_marginal(mlp_vae(D, 3, 2, bernoulli, seed=0), X.float()), TypeError, "one over codes"),
        (lambda: exact_terms(nn.Linear(4, 2), X), TypeError, "model must be a VAE"),
        (lambda: exact_log_marginal(nn.Linear(4, 2), X), TypeError, "model must be a VAE"),
        (lambda: leave_one_out_terms(model_with(), X, 1), ValueError, "n_samples=2 or more"),
    ],
)  # fmt: skip
def test_wrong_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_prior_of_another_number_of_latents_is_refused_where_it_is_used():
    model = VAE(
        nn.Linear(D, L * C).double(),
        nn.Linear(L * C, D).double(),
        L * C,
        bernoulli,
        AutoregressiveCodes(3, C),
        OneHot(C),
    )
    with pytest.raises(ValueError, match="3 x 3 latent dimensions"):
        exact_log_marginal(model, X)


# Planted mistakes: each must be caught by a test above


def _soft(scores):
    return torch.softmax(scores.detach(), -1)


def _no_mask(self):
    return self.weight.flatten(2).flatten(0, 1)


def _later(self):
    return (self.weight * torch.ones(self.n_latents, self.n_latents).triu(1)[:, None, :, None]).flatten(2).flatten(0, 1)


def loo_of_all(f, log_q):
    return score_function(f, log_q, f.mean(0))


def loo_undetached(f, log_q):
    return f + (f - (f.sum(0) - f) / (len(f) - 1)) * log_q


MISTAKES = {
    "gumbel without the outer minus": (
        "gumbel_noise", lambda eps: torch.log(-torch.special.log_ndtr(eps)),
        test_gumbel_noise_has_the_gumbel_distribution, ()),
    "exponential noise": (
        "gumbel_noise", lambda eps: -torch.special.log_ndtr(eps), test_gumbel_noise_has_the_gumbel_distribution, ()),
    "clamped uniform": (
        "gumbel_noise", lambda eps: -torch.log(-torch.log(torch.special.ndtr(eps).clamp(1e-3, 1 - 1e-3))),
        test_gumbel_noise_has_the_gumbel_distribution, ()),
    "Gaussian noise in the place of Gumbel": (
        "gumbel_noise", lambda eps: eps, test_one_hot_draws_its_codes_and_knows_their_probability, ()),
    "temperature on the logits alone": (
        "gumbel_softmax", lambda logits, g, t: torch.softmax(logits / t + g, -1),
        test_one_hot_draws_its_codes_and_knows_their_probability, ()),
    "temperature multiplied": (
        "gumbel_softmax", lambda logits, g, t: torch.softmax((logits + g) * t, -1),
        test_the_mean_of_a_relaxed_choice_of_two_equals_quadrature_over_logistic_noise, (0.3,)),
    "draws that are not one-hot": ("largest", _soft, test_one_hot_draws_its_codes_and_knows_their_probability, ()),
    "straight-through as v + s − s": (
        "straight_through", lambda v, s: v.detach() + s - s.detach(),
        test_straight_through_is_the_value_to_the_last_bit, ()),
    "no gradient": (
        "straight_through", lambda v, s: v.detach() + 0 * s, test_the_gradient_of_a_draw_is_that_of_the_relaxation, ()),
    "a draw in its own baseline": (
        "leave_one_out", loo_of_all, test_the_score_function_is_unbiased_by_enumeration, (None, 3)),
    "others divided by K": (
        "leave_one_out", lambda f, q: score_function(f, q, (f.sum(0) - f) / len(f)),
        test_leave_one_out_is_the_sample_covariance_of_f_and_the_score, ()),
    "log q in the value": (
        "leave_one_out", loo_undetached, test_values_stay_and_gradients_of_f_itself_are_added, ()),
    "score without f": (
        "score_function", lambda f, q, b=0.0: f + (q - q.detach()),
        test_the_score_function_is_unbiased_by_enumeration, (None, 1)),
    "score with the opposite sign": (
        "score_function", lambda f, q, b=0.0: f - (f.detach() - b) * (q - q.detach()),
        test_the_score_function_is_unbiased_by_enumeration, (None, 1)),
    "KL without log C": (
        "kl_uniform", lambda t: (t.softmax(-1) * t.log_softmax(-1)).sum(-1),
        test_kl_from_the_uniform_distribution_equals_scipy, ()),
    "KL with 1/C for its logarithm": (
        "kl_uniform", lambda t: (t.softmax(-1) * (t.log_softmax(-1) - 1 / t.shape[-1])).sum(-1),
        test_kl_from_the_uniform_distribution_equals_scipy, ()),
    "a code too few": (
        "all_codes", lambda n, c, right=all_codes: right(n, c)[1:],
        test_log_p_and_elbo_equal_loops_over_every_code, ()),
    "mean in the place of a sum over codes": (
        "exact_log_marginal",
        lambda m, x, right=exact_log_marginal: right(m, x) - L * math.log(C),
        test_log_p_and_elbo_equal_loops_over_every_code, ()),
}  # fmt: skip


@pytest.mark.parametrize("name, wrong, test, arguments", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_planted_mistake_is_caught(name, wrong, test, arguments, monkeypatch):
    if arguments[:1] == (None,):
        arguments = (wrong, *arguments[1:])
    monkeypatch.setattr(categorical, name, wrong)
    monkeypatch.setitem(globals(), name, wrong)
    with pytest.raises((AssertionError, ValueError)):
        test(*arguments)


@pytest.mark.parametrize("mask", [_no_mask, _later])
def test_a_wrong_mask_is_caught(mask, monkeypatch):
    monkeypatch.setattr(AutoregressiveCodes, "_earlier", mask)
    with pytest.raises(AssertionError):
        test_the_autoregressive_prior_is_a_product_of_conditionals()
