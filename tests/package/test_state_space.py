"""Latents in time: the linear model by dense matrices and SciPy, the chain factor by factor, files, errors."""

import math
import sys
import types
from functools import partial
from pathlib import Path

import fixed
import numpy as np
import pytest
import torch
from fixed import values
from scipy import stats
from torch import nn

from vae_tutorial import state_space
from vae_tutorial.bounds import elbo, elbo_terms
from vae_tutorial.checkpoints import load, save
from vae_tutorial.hierarchical import HierarchicalPrior, merge
from vae_tutorial.likelihoods import bernoulli, normal, normal_diag
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.posteriors import diagonal
from vae_tutorial.reference import monte_carlo
from vae_tutorial.state_space import ForwardInTime, MarkovPrior
from vae_tutorial.training import fit

moved = partial(fixed.moved, seed=3, scale=0.3)
KINDS = ("smoothing", "filtering", "factorized")


def a_cov(n, seed, floor=0.2):
    root = values(n, n, seed=seed, scale=0.6)
    return root @ root.T + floor * torch.eye(n, dtype=torch.float64)


def a_system(L, D):
    return {
        "A": values(L, L, seed=1, scale=0.6),
        "C": values(D, L, seed=2),
        "Q": a_cov(L, 3),
        "R": a_cov(D, 4),
        "m0": values(L, seed=5),
        "P0": a_cov(L, 6),
    }


def dense(T, A, C, Q, R, m0, P0):
    """Mean and covariance of all z, then of all x, side by side: the precision of z is a band, inverted whole."""
    L = len(A)
    whiten = torch.eye(T * L, dtype=torch.float64)  # e_t = z_t − A z_{t−1}
    for t in range(1, T):
        whiten[t * L : (t + 1) * L, (t - 1) * L : t * L] = -A
    e = torch.block_diag(P0, *[Q] * (T - 1))
    precision = whiten.T @ torch.linalg.inv(e) @ whiten
    mean = torch.linalg.solve(whiten, torch.cat([m0, torch.zeros((T - 1) * L).double()]))
    cov, H = torch.linalg.inv(precision), torch.block_diag(*[C] * T)
    return mean, cov, H @ mean, H @ cov @ H.T + torch.block_diag(*[R] * T), H


SIZES = [(1, 1, 1), (5, 1, 1), (6, 2, 3), (4, 3, 2), (1, 3, 2), (7, 2, 1)]
each_size = pytest.mark.parametrize("T, L, D", SIZES)


def of_the_filter(module, T, L, D):
    system = a_system(L, D)
    x = values(3, T, D, seed=7)
    found = module.kalman_filter(x, **system)
    mean_z, cov_z, mean_x, cov_x, H = dense(T, **system)
    exact = stats.multivariate_normal(mean_x.numpy(), cov_x.numpy()).logpdf(x.flatten(1).numpy())
    torch.testing.assert_close(found.log_likelihood, torch.as_tensor(exact), rtol=0, atol=1e-10)
    cross = H @ cov_z
    for t in range(T):
        seen, here = slice(0, (t + 1) * D), slice(t * L, (t + 1) * L)
        weights = torch.linalg.solve(cov_x[seen, seen], cross[seen, here]).T
        mean = mean_z[here] + (x.flatten(1) - mean_x)[:, seen] @ weights.T
        torch.testing.assert_close(found.mean[:, t], mean, rtol=0, atol=1e-10)
        cov = cov_z[here, here] - weights @ cross[seen, here]
        torch.testing.assert_close(found.cov[t], cov, rtol=0, atol=1e-10)


def of_the_smoother(module, T, L, D):
    system = a_system(L, D)
    x = values(3, T, D, seed=7)
    found = module.rts_smoother(x, **system)
    mean_z, cov_z, mean_x, cov_x, H = dense(T, **system)
    weights = torch.linalg.solve(cov_x, H @ cov_z).T
    mean = mean_z + (x.flatten(1) - mean_x) @ weights.T
    cov = cov_z - weights @ H @ cov_z
    torch.testing.assert_close(found.mean.flatten(1), mean, rtol=0, atol=1e-10)
    for t in range(T):
        here = slice(t * L, (t + 1) * L)
        torch.testing.assert_close(found.cov[t], cov[here, here], rtol=0, atol=1e-10)


def of_the_messages(module, T, L, D):
    """log p(x_{t:T} | z_t) is a quadratic of z_t: its second and first derivatives, by autograd, are −J and h."""
    system = a_system(L, D)
    x = values(2, T, D, seed=7)
    found = module.backward_messages(x, **{name: system[name] for name in "ACQR"})

    def log_p(z, t):  # of the first sequence; z_t is known: m0 = z, P0 almost 0
        ahead, shift = T - t, torch.block_diag(*[system["C"]] * (T - t))
        known = {**system, "m0": torch.zeros(L).double(), "P0": torch.eye(L).double()}
        _, cov_z, _, _, _ = dense(ahead, **known)
        power = torch.cat([torch.linalg.matrix_power(system["A"], k) for k in range(ahead)])
        cov_of_noise = cov_z - power @ power.T
        cov = shift @ cov_of_noise @ shift.T + torch.block_diag(*[system["R"]] * ahead)
        return torch.distributions.MultivariateNormal(shift @ power @ z, cov).log_prob(x[0, t:].flatten())

    for t in range(T):
        zero = torch.zeros(L, dtype=torch.float64, requires_grad=True)
        h = torch.autograd.grad(log_p(zero, t), zero)[0]
        J = -torch.autograd.functional.hessian(lambda z, t=t: log_p(z, t), zero)
        torch.testing.assert_close(found.h[0, t], h, rtol=0, atol=1e-9)
        torch.testing.assert_close(found.precision[t], J, rtol=0, atol=1e-9)


@each_size
def test_the_filter_is_the_joint_gaussian_conditioned(T, L, D):
    of_the_filter(state_space, T, L, D)


@each_size
def test_the_smoother_is_the_joint_gaussian_conditioned(T, L, D):
    of_the_smoother(state_space, T, L, D)


@each_size
def test_messages_are_derivatives_of_the_density_of_what_is_to_come(T, L, D):
    of_the_messages(state_space, T, L, D)


def test_a_sequence_alone_and_many_axes_of_them_are_as_rows():
    system, x = a_system(2, 3), values(2, 4, 5, 3, seed=8)
    many = state_space.kalman_filter(x, **system)
    one = state_space.kalman_filter(x[1, 2], **system)
    assert many.mean.shape == (2, 4, 5, 2) and many.cov.shape == (5, 2, 2) and many.log_likelihood.shape == (2, 4)
    torch.testing.assert_close(many.mean[1, 2], one.mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(many.log_likelihood[1, 2], one.log_likelihood, rtol=0, atol=1e-12)
    assert state_space.rts_smoother(x, **system).mean.shape == (2, 4, 5, 2)


def test_the_filter_s_gradient_is_that_of_differences():
    system = {name: part.requires_grad_() for name, part in a_system(2, 1).items() if name in ("A", "C", "m0")}
    rest = {name: part for name, part in a_system(2, 1).items() if name not in system}
    x = values(3, 1, seed=7)

    def log_p(A, C, m0):
        return state_space.kalman_filter(x, A=A, C=C, m0=m0, **rest).log_likelihood

    assert torch.autograd.gradcheck(log_p, tuple(system.values()))


def test_nearly_exact_observations_of_an_unknown_state_keep_the_covariance_positive():
    eye = torch.eye(2)
    system = dict(A=eye, C=eye, Q=1e-6 * eye, R=1e-6 * eye, m0=torch.zeros(2), P0=1e6 * eye)  # float32
    found = state_space.kalman_filter(torch.ones(50, 2), **system)
    assert (torch.linalg.eigvalsh(found.cov) > 0).all()
    torch.testing.assert_close(found.cov, found.cov.mT, rtol=1e-5, atol=0)


def test_a_state_without_noise_and_an_exact_x_are_allowed():
    """z_t = (h, x): what is seen moves h; Q and R are singular, S is not."""
    A, C = torch.tensor([[0.5, 0.3], [0.6, 0.2]]).double(), torch.tensor([[0.0, 1.0]]).double()
    B = torch.tensor([[0.0], [0.7]]).double()
    system = dict(
        A=A, C=C, Q=B @ B.T, R=torch.zeros(1, 1).double(), m0=torch.zeros(2).double(), P0=torch.eye(2).double()
    )
    x = values(4, 1, seed=2)
    power = [torch.linalg.matrix_power(A, k) for k in range(4)]
    to_x = torch.stack([
        torch.cat([(C @ power[t])[0], *((C @ power[t - s] @ B)[0] if s <= t else B.new_zeros(1) for s in range(1, 4))])
        for t in range(4)
    ])  # fmt: skip
    exact = stats.multivariate_normal(np.zeros(4), (to_x @ to_x.T).numpy()).logpdf(x.flatten().numpy())
    assert state_space.kalman_filter(x, **system).log_likelihood.item() == pytest.approx(exact, abs=1e-10)


# The chain


def a_prior(L=2, T=4, module=state_space):
    return moved(module.MarkovPrior(T, L, nn.Sequential(nn.Linear(L, 5), nn.Tanh(), nn.Linear(5, 2 * L))))


def of_the_chain(module):
    prior, z = a_prior(module=module), values(3, 5, 8, seed=4)
    total = 0.0
    for t in range(4):
        here = z[..., 2 * t : 2 * t + 2].numpy()
        mean, sd = np.zeros(2), np.ones(2)
        if t:
            with torch.no_grad():
                output = prior.transition(z[..., 2 * t - 2 : 2 * t].reshape(-1, 2)).reshape(3, 5, 4).numpy()
            mean, sd = output[..., :2], np.exp(0.5 * output[..., 2:])
        total = total + stats.norm.logpdf(here, mean, sd).sum(-1)
    torch.testing.assert_close(prior.log_prob(z), torch.as_tensor(total), rtol=0, atol=1e-10)


def test_the_chain_s_density_is_a_product_of_factors():
    of_the_chain(state_space)


def test_the_chain_is_a_hierarchy_with_the_first_step_on_top():
    prior, z = a_prior(), values(3, 8, seed=4)
    layers = HierarchicalPrior((2,) * 4, [prior.transition] * 3)
    reverse = z.unflatten(-1, (4, 2)).flip(-2).flatten(-2)
    torch.testing.assert_close(prior.log_prob(z), layers.log_prob(reverse), rtol=0, atol=1e-12)


def of_the_draws(module):
    """A linear transition: mean and covariance of 200,000 draws are those of dense matrices."""
    A, log_q = torch.tensor([[0.7, 0.4], [-0.5, 0.6]]).double(), torch.tensor([-1.0, 0.3]).double()
    transition = nn.Linear(2, 4).double()
    with torch.no_grad():
        transition.weight.copy_(torch.cat([A, torch.zeros(2, 2)]))
        transition.bias.copy_(torch.cat([torch.tensor([0.3, -0.2]), log_q]))
    prior, generator = module.MarkovPrior(3, 2, transition), torch.Generator().manual_seed(0)
    with torch.no_grad():
        z = prior.sample((200_000, 6), like=A, generator=generator)
    eye = torch.eye(2).double()
    _, cov, _, _, _ = dense(3, A, eye, log_q.exp().diag(), eye, torch.zeros(2).double(), eye)
    b = transition.bias[:2].detach()
    mean = torch.cat([0 * b, b, A @ b + b])
    assert (monte_carlo(z).z_score(mean).abs() < 5).all()
    assert (monte_carlo((z - mean)[:, :, None] * (z - mean)[:, None]).z_score(cov).abs() < 5).all()


def test_draws_of_the_chain_have_its_moments():
    of_the_draws(state_space)


def test_what_goes_on_from_the_last_step_is_what_a_longer_chain_draws():
    prior, eps = a_prior(), values(3, 8, seed=4)
    z = prior.sample((3, 8), like=eps, generator=torch.Generator().manual_seed(1))
    assert z.shape == (3, 8)
    first = prior.go_on(z[:, :2], eps[:, 2:])
    again = prior.go_on(prior.go_on(z[:, :2], eps[:, 2:6])[:, 2:], eps[:, 6:])
    torch.testing.assert_close(first[:, 4:], again, rtol=0, atol=1e-12)


def of_q(module):
    prior = a_prior(module=module)
    q = module.ForwardInTime(prior)
    mu, log_var, eps = values(5, 8, seed=5), values(5, 8, seed=6), values(3, 5, 8, seed=7)
    with torch.no_grad():
        z, log_q = q.sample((mu, log_var), eps)
        total = 0.0
        for t in range(4):
            here = slice(2 * t, 2 * t + 2)
            mean, var = torch.zeros(2).double(), torch.ones(2).double()
            if t:
                output = prior.transition(z[..., 2 * t - 2 : 2 * t].reshape(-1, 2)).reshape(3, 5, 4)
                mean, var = output[..., :2], output[..., 2:].exp()
            precision = 1 / var + torch.exp(-log_var[:, here])
            mean = (mean / var + mu[:, here] * torch.exp(-log_var[:, here])) / precision
            torch.testing.assert_close(z[..., here], mean + eps[..., here] / precision.sqrt(), rtol=0, atol=1e-10)
            total = total + torch.distributions.Normal(mean, precision**-0.5).log_prob(z[..., here]).sum(-1)
    torch.testing.assert_close(log_q, total, rtol=0, atol=1e-10)
    torch.testing.assert_close(q.log_prob_by_layer((mu, log_var), z).sum(-1), log_q, rtol=0, atol=1e-10)


def test_each_step_of_q_merges_what_x_says_with_the_step_before():
    of_q(state_space)


def linear_chain(T=6, a=0.9, noise=0.4, posterior=None):
    """The chain of one number with z_t ~ N(0, 1), as a VAE whose encoder says what `backward_messages` do."""
    transition = nn.Linear(1, 2).double()
    with torch.no_grad():
        transition.weight.copy_(torch.tensor([[a], [0.0]], dtype=torch.float64))
        transition.bias.copy_(torch.tensor([0.0, math.log(1 - a**2)], dtype=torch.float64))
    one = torch.ones(1, 1).double()
    system = dict(A=a * one, C=one, Q=(1 - a**2) * one, R=noise * one)

    class Encoder(nn.Module):
        def forward(self, x):
            said = state_space.backward_messages(x[..., None], **system)
            precision = said.precision[:, 0, 0].expand(x.shape)
            return torch.cat([said.h[..., 0] / precision, -precision.log()], -1)

    prior = MarkovPrior(T, 1, transition)
    decoder = state_space.EachStep(nn.Identity(), 1)
    model = VAE(Encoder(), decoder, T, normal(math.log(noise)), prior, ForwardInTime(prior))
    return model, {**system, "m0": torch.zeros(1).double(), "P0": one}


def test_with_messages_the_bound_is_log_p_for_every_draw():
    model, system = linear_chain()
    x = values(4, 6, seed=3)
    exact = state_space.kalman_filter(x[..., None], **system).log_likelihood
    for n_samples in (1, 7):
        terms = elbo_terms(model, x, n_samples, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(terms.elbo, exact, rtol=0, atol=1e-10)


# The factory


@pytest.mark.parametrize("inference", KINDS)
@pytest.mark.parametrize("likelihood", [normal(-1.0), normal_diag, bernoulli], ids=str)
def test_a_model_trains_measures_and_comes_back_from_a_file(inference, likelihood, tmp_path):
    model = state_space.deep_markov_model(2, 5, 6, 3, likelihood, seed=3, inference=inference)
    x = (values(40, 10, seed=1) > 0).float()
    fit(model, x, epochs=1, seed=0, batch_size=20, progress=False)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    eps = values(2, 4, 15, seed=2).float()
    assert torch.equal(elbo(model, x[:4], eps=eps), elbo(again, x[:4], eps=eps))
    assert model.sample(3).shape == (3, 10) and model.reconstruct(x).shape == x.shape


def test_all_kinds_have_one_p_and_the_same_weights():
    models = [state_space.deep_markov_model(2, 5, 6, 3, normal(0.0), seed=3, inference=kind) for kind in KINDS]
    for model in models[1:]:
        for (name, a), (other, b) in zip(models[0].named_parameters(), model.named_parameters(), strict=True):
            assert name == other and torch.equal(a, b)


@pytest.mark.parametrize("inference", KINDS)
def test_what_the_encoder_says_of_a_step_has_seen_the_right_steps(inference):
    model = moved(state_space.deep_markov_model(2, 5, 6, 3, normal(0.0), seed=3, inference=inference))
    x = values(1, 10, seed=1)
    slopes = torch.autograd.functional.jacobian(lambda x: torch.stack(model.encode(x)).sum(0)[0], x)[:, 0]  # (15, 10)
    seen = slopes.reshape(5, 3, 5, 2).abs().amax((1, 3)) > 0  # which step of x moves which step of z
    everything = torch.ones(5, 5, dtype=torch.bool)
    assert torch.equal(seen, everything.tril() if inference == "filtering" else everything.triu())


def of_the_decoder(module):
    network = moved(nn.Linear(2, 6))
    decoder, z = module.EachStep(network, 2, 2), values(4, 10, seed=1)
    out = decoder(z)  # 5 steps of 3 numbers, two parameters each: means of all steps, then log-variances of all
    for t in range(5):
        one = network(z[:, 2 * t : 2 * t + 2])
        torch.testing.assert_close(out[:, 3 * t : 3 * t + 3], one[:, :3], rtol=0, atol=1e-12)
        torch.testing.assert_close(out[:, 15 + 3 * t : 15 + 3 * t + 3], one[:, 3:], rtol=0, atol=1e-12)


def test_each_step_is_decoded_by_itself_and_parameters_stand_apart():
    of_the_decoder(state_space)


def of_the_length(module):
    model = moved(module.deep_markov_model(2, 5, 6, 3, normal(0.0), seed=3))
    longer = module.of_length(model, 7)
    x, eps = values(4, 14, seed=1), values(2, 4, 21, seed=2)
    as_built = moved(module.deep_markov_model(2, 7, 6, 3, normal(0.0), seed=3))
    assert torch.equal(elbo(longer, x, eps=eps), elbo(as_built, x, eps=eps))
    assert all(a is b for a, b in zip(longer.parameters(), model.parameters(), strict=True))


def test_a_model_of_another_length_has_the_same_weights():
    of_the_length(state_space)


def test_a_factorized_model_of_another_length_stays_factorized():
    model = state_space.deep_markov_model(2, 5, 6, 3, normal(0.0), seed=3, inference="factorized")
    assert state_space.of_length(model, 3).posterior is diagonal


def of_the_forecast(module):
    """On the linear chain, with exact messages, the forecast's moments are those of dense conditioning."""
    model, system = linear_chain(T=5)
    x = values(2, 3, seed=3)
    generator = torch.Generator().manual_seed(0)
    draws = module.forecast(_as(module, model), x, 2, 100_000, generator=generator)
    _, _, _, cov, _ = dense(5, **system)
    weights = torch.linalg.solve(cov[:3, :3], cov[:3, 3:]).T
    mean, rest = x @ weights.T, cov[3:, 3:] - weights @ cov[:3, 3:]
    assert draws.shape == (100_000, 2, 2)
    assert (monte_carlo(draws).z_score(mean).abs() < 5).all()
    off = draws - mean
    assert (monte_carlo(off[..., :, None] * off[..., None, :]).z_score(rest).abs() < 5).all()


def _as(module, model):
    """The model, of another copy of the module's classes."""
    if module is state_space:
        return model
    prior = module.MarkovPrior(model.prior.n_steps, 1, model.prior.transition)
    decoder = module.EachStep(nn.Identity(), 1)
    return VAE(model.encoder, decoder, model.latent_dim, model.likelihood, prior, module.ForwardInTime(prior))


def test_a_forecast_is_the_conditional_of_what_was_seen():
    of_the_forecast(state_space)


def test_the_same_generator_gives_the_same_forecast_and_the_global_one_is_left_alone():
    model = state_space.deep_markov_model(2, 5, 6, 3, normal(0.0), seed=3)
    before = torch.random.get_rng_state()
    one, two = (
        state_space.forecast(model, torch.zeros(3, 8), 4, 6, generator=torch.Generator().manual_seed(0)) for _ in "ab"
    )
    assert torch.equal(one, two) and not one.requires_grad
    assert torch.equal(before, torch.random.get_rng_state())


# Errors

SYSTEM = a_system(2, 3)
X = values(4, 5, 3)


@pytest.mark.parametrize(
    "changed, error, words",
    [
        (dict(x=[1.0]), TypeError, "x must be a torch.Tensor"),
        (dict(x=X.float()), TypeError, "must have the same dtype"),
        (
            dict(x=X[0, 0]),
            ValueError,
            r"x must have shape \(\.\.\., T, D\).*give one number a step as x\[\.\.\., None\]",
        ),
        (dict(x=X * math.nan), ValueError, "x must be finite"),
        (dict(A=SYSTEM["A"][:1]), ValueError, r"A \(L, L\)"),
        (dict(C=SYSTEM["C"].T), ValueError, r"C must have shape \(3, 2\) for D=3 and L=2, got \(2, 3\)"),
        (dict(m0=SYSTEM["m0"][:1]), ValueError, r"m0 must have shape \(2,\)"),
        (dict(P0=SYSTEM["P0"][:1]), ValueError, r"P0 must have shape \(2, 2\)"),
        (dict(Q=SYSTEM["A"]), ValueError, r"Q must be symmetric, a covariance; give \(Q \+ Q.mT\) / 2"),
        (dict(R=-9 * SYSTEM["R"]), ValueError, "S = C P Cᵀ \\+ R is not positive definite at step 1"),
    ],
)
def test_what_does_not_fit_is_named(changed, error, words):
    for function in (state_space.kalman_filter, state_space.rts_smoother):
        with pytest.raises(error, match=words):
            function(**{"x": X, **SYSTEM, **changed})


def test_messages_name_what_does_not_fit():
    with pytest.raises(ValueError, match=r"R must have shape \(3, 3\)"):
        state_space.backward_messages(X, *(SYSTEM[name] for name in "ACQ"), SYSTEM["Q"])


@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda: MarkovPrior(1, 2, nn.Linear(2, 4)), ValueError, "n_steps must be at least 2.*use mlp_vae"),
        (lambda: MarkovPrior(3, 0, nn.Linear(2, 4)), ValueError, "step_dim must be an integer of at least 1"),
        (
            lambda: MarkovPrior(3, 2, nn.Linear(2, 3)).log_prob(torch.zeros(1, 6)),
            ValueError,
            "transition must give 2 means",
        ),
        (lambda: MarkovPrior(3, 2, nn.Linear(2, 4)).log_prob(torch.zeros(1, 5)), ValueError, "6 latent dimensions"),
        (lambda: ForwardInTime(nn.Linear(2, 4)), TypeError, "prior must be a MarkovPrior"),
        (
            lambda: state_space.deep_markov_model(2, 5, 6, 3, normal(0.0), seed=0, inference="past"),
            ValueError,
            "inference must be one of",
        ),
        (lambda: state_space.deep_markov_model(2, 5, 6, 3, None, seed=0), TypeError, "likelihood must be a Likelihood"),
        (
            lambda: state_space.deep_markov_model(2, 1, 6, 3, normal(0.0), seed=0),
            ValueError,
            "n_steps must be at least 2",
        ),
        (lambda: state_space.of_length(mlp_vae(3, 2, 2, bernoulli, seed=0), 4), TypeError, "must have a MarkovPrior"),
        (lambda: state_space.of_length(nn.Linear(2, 2), 4), TypeError, "model must be a VAE"),
        (
            lambda: state_space.forecast(
                state_space.deep_markov_model(2, 5, 6, 3, normal(0.0), seed=0), torch.zeros(1, 8), 0, 3
            ),
            ValueError,
            "n_ahead must be an integer of at least 1",
        ),
    ],
)
def test_what_cannot_be_built_is_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_the_posterior_of_another_prior_is_refused():
    model = state_space.deep_markov_model(2, 5, 6, 3, normal(0.0), seed=0)
    with pytest.raises(ValueError, match="ForwardInTime of another prior"):
        model.prior = MarkovPrior(5, 3, nn.Linear(3, 6))


# Planted mistakes: the module's source with one of its lines changed


def broken(old, new):
    source = Path(state_space.__file__).read_text()
    assert source.count(old) >= 1, f"{old!r} is not in the module"
    module = types.ModuleType("broken")
    sys.modules["broken"] = module
    exec(compile(source.replace(old, new), "broken", "exec"), module.__dict__)
    return module


def judge(module):
    for sizes in ((1, 3, 2), (5, 2, 3)):
        of_the_filter(module, *sizes)
        of_the_smoother(module, *sizes)
        of_the_messages(module, *sizes)
    of_the_chain(module)
    of_the_draws(module)
    of_q(module)
    of_the_decoder(module)
    of_the_length(module)
    of_the_forecast(module)


PLANTED = {
    "predicts before the first x": (
        "        if t:\n            m, P = m @",
        "        if True:\n            m, P = m @",
    ),
    "the mean by A transposed": (
        "m, P = m @ A.mT, A @",
        "m, P = m @ A, A @",
    ),
    "the covariance without Q": (
        "A @ P @ A.mT + Q  #",
        "A @ P @ A.mT  #",
    ),
    "S without R": (
        "C @ P @ C.mT + R)",
        "C @ P @ C.mT + 1e-9 * R)",
    ),
    "the innovation's sign": (
        "m + innovation @ G.mT",
        "m - innovation @ G.mT",
    ),
    "the gain without the root's transpose": (
        "torch.cholesky_solve(C @ P, root).mT",
        "torch.linalg.solve(root, C @ P).mT",
    ),
    "Joseph without R": (
        "keep @ P @ keep.mT + G @ R @ G.mT",
        "keep @ P @ keep.mT",
    ),
    "the likelihood of the last step": (
        "log_likelihood = log_likelihood + _log",
        "log_likelihood = 0 * log_likelihood + _log",
    ),
    "twice the log-determinant": (
        "- root.diagonal().log().sum()",
        "- 2 * root.diagonal().log().sum()",
    ),
    "the smoother without the step back": (
        "(m - means[..., t, :] @ A.mT) @ G.mT",
        "(m - means[..., t, :]) @ G.mT",
    ),
    "the smoother's covariance without Q": (
        "ahead = A @ covs[t] @ A.mT + Q",
        "ahead = A @ covs[t] @ A.mT + 2 * Q",
    ),
    "the smoother's sign": (
        "covs[t] + G @ (P - ahead)",
        "covs[t] - G @ (P - ahead)",
    ),
    "messages without Q": (
        "eye + Q @ J, A).mT",
        "eye + 0 * Q @ J, A).mT",
    ),
    "messages by A": (
        "@ of_x + h @ back.mT",
        "@ of_x + h @ back",
    ),
    "messages without x": (
        "x_t @ of_x + h",
        "h",
    ),
    "messages of the future alone": (
        "J, h = C.mT @ of_x + back",
        "J, h = back",
    ),
    "the chain's first step twice": (
        "before, after = steps[..., 0, :], steps[..., :-1, :]",
        "before, after = 2 * steps[..., 0, :], steps[..., :-1, :]",
    ),
    "the chain given itself": (
        "*self.given_before(before)).sum(-1)",
        "*self.given_before(after)).sum(-1)",
    ),
    "the mean of the steps": (
        "*self.given_before(before)).sum(-1)",
        "*self.given_before(before)).mean(-1)",
    ),
    "draws that do not go on": (
        "            before = formulas.reparameterize(*self.given_before(before), noise)\n"
        "            steps.append(before)",
        "            steps.append(formulas.reparameterize(*self.given_before(before), noise))",
    ),
    "q without the prior": (
        "return merge(mu, log_var, *self._prior[0].given_before(z[layer - 1]))",
        "return mu, log_var",
    ),
    "q without x": (
        "return merge(mu, log_var, *self._prior[0].given_before(z[layer - 1]))",
        "return self._prior[0].given_before(z[layer - 1])",
    ),
    "q's first step not merged": (
        "return merge(mu, log_var, torch.zeros_like(mu), torch.zeros_like(log_var))",
        "return mu, log_var",
    ),
    "parameters mixed": (
        "parts.transpose(1, 2).flatten(1)",
        "parts.flatten(1)",
    ),
    "another length's networks are new": (
        "model.prior.step_dim, model.prior.transition)",
        "model.prior.step_dim, Step(model.prior.step_dim, 6).double())",
    ),
    "a forecast from the first step": (
        "prior.go_on(z[..., -L:], eps)",
        "prior.go_on(z[..., :L], eps)",
    ),
    "a forecast of means": (
        "return model.likelihood.sample(params, generator=generator)",
        "return model.likelihood.mean(params)",
    ),
}


@pytest.mark.parametrize("old, new", PLANTED.values(), ids=PLANTED)
def test_a_planted_mistake_is_caught(old, new):
    module = broken(old, new)
    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        judge(module)


def test_the_module_rebuilt_without_a_mistake_passes():
    judge(broken("Shapes: K", "Shapes: K"))


def test_the_merge_is_that_of_hierarchies():
    assert state_space.merge is merge
