"""Latents in time: the chain factor by factor, its posterior and forecasts by the linear model, files, errors."""

import math
from functools import partial

import fixed
import numpy as np
import pytest
import torch
from fixed import values
from rebuilt import rebuilt
from scipy import stats
from torch import nn

from vae_tutorial import kalman, state_space
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
    to_z = torch.eye(6).double()  # of the noise of all steps
    to_z[2:4, :2], to_z[4:, 2:4], to_z[4:, :2] = A, A, A @ A
    cov = to_z @ torch.cat([torch.ones(2).double(), log_q.exp(), log_q.exp()]).diag() @ to_z.T
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
            said = kalman.backward_messages(x[..., None], **system)
            precision = said.precision[:, 0, 0].expand(x.shape)
            return torch.cat([said.h[..., 0] / precision, -precision.log()], -1)

    prior = MarkovPrior(T, 1, transition)
    decoder = state_space.EachStep(nn.Identity(), 1)
    model = VAE(Encoder(), decoder, T, normal(math.log(noise)), prior, ForwardInTime(prior))
    return model, {**system, "m0": torch.zeros(1).double(), "P0": one}


def test_with_messages_the_bound_is_log_p_for_every_draw():
    model, system = linear_chain()
    x = values(4, 6, seed=3)
    exact = kalman.kalman_filter(x[..., None], **system).log_likelihood
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
    steps = torch.arange(5.0).double()
    cov = system["A"] ** (steps[:, None] - steps).abs() + system["R"] * torch.eye(5).double()  # each z has variance 1
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


def foreseen(x):
    return state_space.forecast(state_space.deep_markov_model(2, 5, 6, 3, normal(0.0), seed=0), x, 2, 3)


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
        (lambda: foreseen(torch.zeros(1, 7)), ValueError, r"x must have shape \(B, t·2\) with t of at least 2"),
        (lambda: foreseen(torch.zeros(1, 2)), ValueError, r"got \(1, 2\); give x.flatten\(1\)"),
        (lambda: foreseen(torch.zeros(1, 4, 2)), ValueError, r"x must have shape .*got \(1, 4, 2\)"),
        (lambda: foreseen([1.0]), TypeError, "x must be a torch.Tensor"),
        (lambda: a_prior().go_on(torch.zeros(2, 2), torch.zeros(2, 5)), ValueError, "eps .*n·2"),
        (lambda: a_prior().go_on(torch.zeros(2, 3), torch.zeros(2, 4)), ValueError, "before must have shape"),
        (lambda: state_space.EachStep(nn.Linear(3, 4), 3)(torch.zeros(2, 7)), ValueError, "steps of 3 numbers each"),
        (lambda: state_space.EachStep(nn.Linear(3, 5), 3, 2)(torch.zeros(2, 6)), ValueError, "must give 2 parameters"),
        (lambda: state_space.EachStep(nn.Linear(3, 5), 0), ValueError, "step_dim must be an integer of at least 1"),
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


def judge(module):
    of_the_chain(module)
    of_the_draws(module)
    of_q(module)
    of_the_decoder(module)
    of_the_length(module)
    of_the_forecast(module)


PLANTED = {
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
    module = rebuilt("vae_tutorial.state_space", old, new)
    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        judge(module)


def test_the_module_rebuilt_without_a_mistake_passes():
    judge(rebuilt("vae_tutorial.state_space", "Shapes: K", "Shapes: K"))


def test_the_merge_is_that_of_hierarchies():
    assert state_space.merge is merge
