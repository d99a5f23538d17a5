"""Objectives beyond the ELBO against loops over units and examples, their gradients, and where they lead on a model
whose optimum is known."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from vae_tutorial.bounds import ElboTerms, elbo_terms, posterior_samples
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.objectives import capacity, free_bits, kl_by_unit
from vae_tutorial.posteriors import Posterior
from vae_tutorial.priors import Gaussian, Mixture
from vae_tutorial.rate_distortion import linear_frontier
from vae_tutorial.schedules import warmup_cosine
from vae_tutorial.training import fit
from vae_tutorial.training.identity import identity

K, B, D, L = 2, 5, 4, 3
FLOOR, TARGETS = 0.3, (0.5, 1.4)  # on either side of the mean KL


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def vae(prior=None):
    """Its units say much, something and nearly nothing, and each example's KL is on either side of the floor."""
    how = {} if prior is None else dict(prior=prior)
    model = mlp_vae(D, 6, L, bernoulli, seed=3, **how).double()
    with torch.no_grad():
        head = model.encoder[-1]
        scale = torch.tensor([1.2, 1.0, 0.05, 1.2, 0.5, 0.05], dtype=torch.float64)
        head.weight.copy_(scale[:, None] * random(*head.weight.shape, seed=4))
        head.bias.copy_(torch.tensor([0.4, -0.5, 0.03, -0.8, 0.3, 0.04]))
        for i, parameter in enumerate(model.prior.parameters()):
            parameter.add_(0.3 * random(*parameter.shape, seed=20 + i))
    return model


X = (random(B, D, seed=1) > 0).double()
EPS = random(K, B, L, seed=2)


def unit_kls(model):
    """Each KL by torch.distributions, example by example and unit by unit."""
    mu, log_var = model.encode(X)
    gaussian = isinstance(model.prior, Gaussian)
    rows = []
    for i in range(B):
        row = []
        for u in range(L):
            q = Normal(mu[i, u], torch.exp(0.5 * log_var[i, u]))
            mean, sd = (model.prior.mu[u], torch.exp(0.5 * model.prior.log_var[u])) if gaussian else (0.0, 1.0)
            row.append(kl_divergence(q, Normal(mean, sd)))
        rows.append(row)
    return rows


def floored(model):
    rows = unit_kls(model)
    means = [sum(row[u] for row in rows) / B for u in range(L)]
    assert min(means) < FLOOR < sorted(means)[1]  # one unit below the floor, the others above
    assert any(row[u] < FLOOR < means[u] for row in rows for u in range(L))  # an example that differs from its mean
    return sum(m if m > FLOOR else torch.tensor(FLOOR, dtype=torch.float64) for m in means)


def off_target(target):
    def price(model):
        mean = sum(sum(row) for row in unit_kls(model)) / B
        return mean - target if mean > target else target - mean

    return price


def gradient(value, model):
    slopes = torch.autograd.grad(value, list(model.parameters()), materialize_grads=True)
    return torch.cat([slope.flatten() for slope in slopes])


def judged(objective, price, prior=None):
    """Whether the terms have the right shape and values, and the loss the right gradient."""
    model = vae(prior)
    terms = objective(model, X, eps=EPS)
    if terms.log_likelihood.shape != (B,) or terms.kl.shape != (B,):
        return False
    z, _ = posterior_samples(model, model.encode(X), eps=EPS)
    log_likelihood = torch.stack([model.log_likelihood(X, z[k]) for k in range(K)]).mean(0)
    right = log_likelihood.mean() - price(model)
    same = (terms.log_likelihood - log_likelihood).abs().max() < 1e-12 and (terms.elbo.mean() - right).abs() < 1e-12
    if not terms.elbo.requires_grad:
        return False
    return bool(same and (gradient(terms.elbo.mean(), model) - gradient(right, model)).abs().max() < 1e-12)


PRIORS = {"standard normal": lambda: None, "Gaussian": lambda: Gaussian(L)}
every_prior = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)


@every_prior
def test_free_bits_charge_each_unit_its_mean_kl_but_no_less_than_the_floor(prior):
    assert judged(free_bits(FLOOR), floored, prior())


@every_prior
def test_capacity_charges_the_distance_of_the_mean_kl_from_the_target(prior):
    assert all(judged(capacity(c), off_target(c), prior()) for c in TARGETS)


def test_above_and_below_its_target_capacity_pulls_in_opposite_directions():
    model = vae()
    mean = elbo_terms(model, X, eps=EPS).kl.mean()
    pull = {c: gradient(capacity(c)(model, X, eps=EPS).kl.mean(), model) for c in (0.5, 50.0)}
    assert 0.5 < mean < 50 and torch.equal(pull[0.5], -pull[50.0]) and pull[0.5].abs().max() > 0.1


def wrong(price):
    """An objective that is right but for its price, a function of the KLs, (B, L), and of the floor or the target."""

    def objective(model, x, n_samples=1, *, eps=None, generator=None):
        kl = kl_by_unit(model, model.encode(x))
        return ElboTerms(elbo_terms(model, x, n_samples, eps=eps, generator=generator).log_likelihood, price(kl))

    return objective


WRONG_FLOORS = {
    "the floor for each example and unit": lambda kl: kl.clamp(min=FLOOR).sum(-1),
    "the floor for each example": lambda kl: kl.sum(-1).clamp(min=FLOOR),
    "the floor for all units together": lambda kl: kl.mean(0).sum().clamp(min=FLOOR).expand(B),
    "the floor shared by the units": lambda kl: kl.mean(0).clamp(min=FLOOR / L).sum().expand(B),
    "the least instead of the largest": lambda kl: kl.mean(0).clamp(max=FLOOR).sum().expand(B),
    "the floor taken off": lambda kl: (kl.mean(0) - FLOOR).clamp(min=0).sum().expand(B),
    "the floor added": lambda kl: (kl.mean(0) + FLOOR).sum().expand(B),
    "the mean over units": lambda kl: kl.mean(0).clamp(min=FLOOR).mean().expand(B),
    "the sum over examples": lambda kl: kl.sum(0).clamp(min=FLOOR).sum().expand(B),
    "the sum over examples, divided afterwards": lambda kl: (kl.sum(0).clamp(min=FLOOR).sum() / B).expand(B),
    "the floor in bits": lambda kl: kl.mean(0).clamp(min=FLOOR * math.log(2)).sum().expand(B),
    "no floor": lambda kl: kl.mean(0).sum().expand(B),
    "no gradient": lambda kl: kl.detach().mean(0).clamp(min=FLOOR).sum().expand(B),
    "the gradient of the KL below the floor, too": lambda kl: (
        kl.mean(0).clamp(min=FLOOR).detach() - kl.mean(0).detach() + kl.mean(0)
    ).sum().expand(B),
    "one number": lambda kl: kl.mean(0).clamp(min=FLOOR).sum(),
    "divided by the examples twice": lambda kl: (kl.mean(0).clamp(min=FLOOR).sum() / B).expand(B),
}  # fmt: skip

WRONG_TARGETS = {
    "the distance of each example": lambda kl, c: (kl.sum(-1) - c).abs(),
    "the distance of each unit": lambda kl, c: (kl.mean(0) - c).abs().sum().expand(B),
    "the target shared by the units": lambda kl, c: (kl.mean(0) - c / L).abs().sum().expand(B),
    "no absolute value": lambda kl, c: (c - kl.sum(-1).mean()).expand(B),
    "squared": lambda kl, c: (kl.sum(-1).mean() - c).square().expand(B),
    "the sum over examples": lambda kl, c: (kl.sum() - c).abs().expand(B),
    "the mean over units": lambda kl, c: (kl.mean() - c).abs().expand(B),
    "the target in bits": lambda kl, c: (kl.sum(-1).mean() - c * math.log(2)).abs().expand(B),
    "no target": lambda kl, c: kl.sum(-1).mean().expand(B),
    "the target added": lambda kl, c: (kl.sum(-1).mean() + c).abs().expand(B),
    "only above the target": lambda kl, c: (c - kl.sum(-1).mean()).clamp(min=0).expand(B),
    "the target as a floor": lambda kl, c: kl.sum(-1).mean().clamp(max=c).expand(B),
}


@pytest.mark.parametrize("price", WRONG_FLOORS.values(), ids=WRONG_FLOORS)
def test_wrong_free_bits_are_caught(price):
    assert not judged(wrong(price), floored)


@pytest.mark.parametrize("price", WRONG_TARGETS.values(), ids=WRONG_TARGETS)
def test_wrong_capacities_are_caught(price):
    assert not all(judged(wrong(partial(price, c=c)), off_target(c)) for c in TARGETS)


def test_free_bits_bound_the_elbo_from_below_and_equal_it_without_a_floor():
    model = vae()
    elbo = elbo_terms(model, X, eps=EPS).elbo.mean()
    assert torch.allclose(free_bits(0)(model, X, eps=EPS).elbo.mean(), elbo, atol=1e-12)
    assert free_bits(FLOOR)(model, X, eps=EPS).elbo.mean() < elbo - 0.1


@pytest.mark.parametrize("make", [free_bits, capacity])
def test_the_noise_is_that_of_elbo_terms(make):
    model = vae()
    seeded = [dict(generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    ours, theirs = make(0.1)(model, X, 3, **seeded[0]), elbo_terms(model, X, 3, **seeded[1])
    assert torch.equal(ours.log_likelihood, theirs.log_likelihood)


def test_the_kl_of_the_units_adds_up():
    for prior in (None, Gaussian(L)):
        model = vae(prior)
        torch.testing.assert_close(kl_by_unit(model, model.encode(X)).sum(-1), elbo_terms(model, X).kl)


@pytest.mark.parametrize("make", [free_bits, capacity])
def test_a_run_that_goes_on_knows_the_number(make):
    assert identity(make(0.1)) == identity(make(0.1)) != identity(make(0.2))


# Where they lead: a linear VAE whose optimum is known

LAMBDA, NOISE = torch.tensor([3.0, 1.5, 0.45, 0.2], dtype=torch.float64), 0.5


def with_covariance(lam, n=40):
    """Data of mean 0 and of exactly this covariance, in axes that are rotated."""
    x = random(n, 4, seed=7)
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / n)).T
    return white * lam.sqrt() @ torch.linalg.qr(random(4, 4, seed=8))[0].T


def exactly(objective):
    """The objective without sampling noise: in a linear decoder these points have the moments of the noise."""

    def exact(model, x, n_samples=1, *, generator=None):
        axes = math.sqrt(model.latent_dim) * torch.eye(model.latent_dim).to(x)
        return objective(model, x, eps=torch.cat([axes, -axes])[:, None].expand(-1, len(x), -1))

    return exact


def trained(objective, beta=1.0, n_steps=1500, lam=LAMBDA):
    x, model = with_covariance(lam), mlp_vae(4, (), 3, normal(math.log(NOISE)), seed=1).double()
    lr = warmup_cosine(0.05, n_steps)
    how = dict(epochs=n_steps, batch_size=40, seed=0, device="cpu", progress=False)
    fit(model, x, objective=exactly(objective), beta=beta, lr=lr, **how)
    log_likelihood, kl = (term.mean().item() for term in exactly(elbo_terms)(model, x))
    units = kl_by_unit(model, model.encode(x)).mean(0).sort(descending=True).values
    return kl, -log_likelihood, units


def test_with_free_bits_the_best_linear_vae_spends_the_floor_on_the_next_direction():
    """A direction of variance λ, of which r nats are told, keeps the error λ exp(-2r), whatever the method."""
    floor = 0.2
    rate, distortion, units = trained(free_bits(floor))
    expected = torch.tensor([0.5 * math.log(3.0 / NOISE), 0.5 * math.log(1.5 / NOISE), floor]).double()
    assert (units - expected).abs().max() < 2e-3
    errors = 2 * NOISE + 0.45 * math.exp(-2 * floor) + 0.2
    assert distortion == pytest.approx(2 * math.log(2 * math.pi * NOISE) + errors / (2 * NOISE), abs=2e-3)
    assert rate == pytest.approx(expected.sum().item(), abs=2e-3)


def test_where_the_next_direction_is_worth_little_a_free_unit_helps_with_a_living_one():
    """The living unit that is helped tells less than it would alone, and the sum is below that of the other test."""
    floor, lam = 0.2, torch.tensor([3.0, 1.5, 0.3, 0.2], dtype=torch.float64)
    rate, distortion, units = trained(free_bits(floor), lam=lam, n_steps=2000)
    apart = 0.5 * math.log(3.0 / NOISE) + 0.5 * math.log(1.5 / NOISE) + floor
    errors = 2 * NOISE + 0.3 * math.exp(-2 * floor) + 0.2
    apart += 2 * math.log(2 * math.pi * NOISE) + errors / (2 * NOISE)
    assert rate + distortion < apart - 4e-3
    assert units[1] < 0.5 * math.log(1.5 / NOISE) - 0.05


@pytest.mark.parametrize("gamma, expected", [(4.0, 0.6), (1.2, None)])
def test_capacity_ends_on_the_frontier_at_its_rate_unless_its_weight_is_too_small(gamma, expected):
    """The frontier's slope at 0.6 nats is -2.2: a weight below that cannot push the rate so low."""
    rate, distortion, _ = trained(capacity(0.6), beta=gamma)
    if expected is None:
        best = linear_frontier(LAMBDA, gamma, latent_dim=3, noise_var=NOISE)
        assert rate == pytest.approx(best.rate.item(), abs=2e-3) and rate > 0.7
        assert distortion == pytest.approx(best.distortion.item(), abs=2e-3)
    else:
        assert rate == pytest.approx(expected, abs=2e-3)
        level = math.sqrt(3.0 * 1.5) * math.exp(-expected)  # two directions share the rate
        errors = 2 * level + 0.65
        assert distortion == pytest.approx(2 * math.log(2 * math.pi * NOISE) + errors / (2 * NOISE), abs=5e-3)


# What is refused


class Uniform(Posterior):
    names = ("low",)

    def sample(self, params, eps):
        return params[0] + eps, eps.sum(-1)


@pytest.mark.parametrize("make, name", [(free_bits, "minimum"), (capacity, "target")])
@pytest.mark.parametrize("value, error, message", [
    (-0.1, ValueError, "must be at least 0 nats, got -0.1"),
    (math.nan, ValueError, "must be one finite number, got nan"),
    (math.inf, ValueError, "must be one finite number, got inf"),
    ("1", TypeError, "must be one finite number, got '1'"),
    (True, TypeError, "must be one finite number, got True"),
    (torch.ones(2), TypeError, "must be one finite number, got tensor"),
    (None, TypeError, "must be one finite number, got None"),
])  # fmt: skip
def test_a_number_that_is_none_is_refused(make, name, value, error, message):
    with pytest.raises(error, match=f"{name} {message}"):
        make(value)


@pytest.mark.parametrize("value", [0, np.float32(0.5), torch.tensor(0.5), 1e9])
def test_numbers_of_any_kind_are_taken(value):
    for make in (free_bits, capacity):
        assert make(value)(vae(), X, eps=EPS).elbo.isfinite().all()


def test_free_bits_need_units_with_a_kl_of_their_own():
    with pytest.raises(TypeError, match="needs the posterior diagonal and the prior .* got Diagonal and Mixture"):
        free_bits(0.1)(vae(Mixture(L, 2, seed=0)), X)
    model = VAE(nn.Linear(D, L).double(), nn.Linear(L, D).double(), L, bernoulli, posterior=Uniform())
    with pytest.raises(TypeError, match="got Uniform and StandardNormal"):
        free_bits(0.1)(model, X)
    assert capacity(0.1)(vae(Mixture(L, 2, seed=0)), X).elbo.isfinite().all()


@pytest.mark.parametrize("make", [free_bits, capacity])
def test_wrong_arguments_of_the_objective_are_named(make):
    with pytest.raises(ValueError, match=r"eps must have shape \(K, B, L\) = \(K, 5, 3\), got \(5, 3\)"):
        make(0.1)(vae(), X, eps=EPS[0])
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 1, got 0"):
        make(0.1)(vae(), X, 0)
