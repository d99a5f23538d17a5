"""Layers of latent variables: densities by SciPy and autograd, a linear hierarchy by dense matrices, files, errors."""

import copy
import itertools
import math
import pickle
import sys
from functools import partial

import fixed
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fixed import values
from scipy import stats
from torch import nn

from vae_tutorial import formulas, hierarchical
from vae_tutorial.ais import ais
from vae_tutorial.bounds import elbo, elbo_terms, iwae_bound, iwae_terms, log_weights
from vae_tutorial.checkpoints import CheckpointError, load, save
from vae_tutorial.evaluation import active_units, marginal_log_likelihood, unit_activity
from vae_tutorial.hierarchical import (
    BottomUp,
    HierarchicalPrior,
    Layered,
    TopDown,
    hierarchical_vae,
    kl_by_layer,
    merge,
)
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.posteriors import diagonal
from vae_tutorial.priors import standard_normal
from vae_tutorial.reference import monte_carlo
from vae_tutorial.training import fit

moved = partial(fixed.moved, seed=3, scale=0.15)
B, K = 4, 6
DIMS = (3, 2, 1)
D = 5


def model_of(inference, seed=0, likelihood=None, dims=DIMS, hidden=(6, (4, 5), 3)):
    """Both kinds, with weights away from where they begin; x is a number."""
    return moved(hierarchical_vae(D, hidden, dims, likelihood or normal(-1.0), seed=seed, inference=inference))


KINDS = ("bottom_up", "top_down")
each = pytest.mark.parametrize("inference", KINDS)


def scipy_log_normal(x, mu, log_var):
    sd = torch.exp(0.5 * log_var).detach().numpy()
    return torch.from_numpy(stats.norm.logpdf(x.detach().numpy(), mu.detach().numpy(), sd).sum(-1))


# Densities, factor by factor


def test_the_prior_is_the_product_of_its_layers():
    prior = model_of("bottom_up").prior
    z = values(K, B, 6, seed=1)
    z1, z2, z3 = z[..., :3], z[..., 3:5], z[..., 5:]
    down1, down2 = (network.double() for network in prior.networks)
    of_1 = scipy_log_normal(z1, down1(z2)[..., :3], down1(z2)[..., 3:])
    of_2 = scipy_log_normal(z2, down2(z3)[..., :2], down2(z3)[..., 2:])
    of_3 = torch.from_numpy(stats.norm.logpdf(z3.numpy()).sum(-1))
    expected = torch.stack([of_1, of_2, of_3], -1)
    torch.testing.assert_close(prior.log_prob_by_layer(z).detach(), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(prior.log_prob(z).detach(), expected.sum(-1), rtol=0, atol=1e-12)


def test_draws_of_the_prior_follow_its_density():
    """The noise that a draw was made of has, by the change of volume, the density of the draw."""
    prior = model_of("bottom_up").prior
    with torch.no_grad():
        z = prior.sample((7, 6), like=values(1), generator=torch.Generator().manual_seed(5))
        eps = torch.randn(7, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        assert torch.equal(z[:, 5:], eps[:, 5:])
        (mu_2, log_var_2), (mu_1, log_var_1) = prior.given_above(1, z[:, 5:]), prior.given_above(0, z[:, 3:5])
        torch.testing.assert_close(z[:, 3:5], mu_2 + torch.exp(log_var_2 / 2) * eps[:, 3:5], rtol=0, atol=1e-12)
        torch.testing.assert_close(z[:, :3], mu_1 + torch.exp(log_var_1 / 2) * eps[:, :3], rtol=0, atol=1e-12)
        log_volume = 0.5 * (log_var_1.sum(-1) + log_var_2.sum(-1))
        log_p = torch.from_numpy(stats.norm.logpdf(eps.numpy()).sum(-1)) - log_volume
        torch.testing.assert_close(prior.log_prob(z), log_p, rtol=0, atol=1e-11)


@each
def test_log_q_is_the_density_of_the_draws_by_the_full_jacobian(inference):
    """z is a smooth map of the noise; log q(z) = log N(eps) − log|det ∂z/∂eps|, of autograd's whole matrix."""
    model = model_of(inference)
    params = model.encode(values(1, D, seed=2))
    for seed in range(4):
        eps = values(6, seed=10 + seed)
        z, log_q = model.posterior.sample(params, eps[None, None])
        jacobian = torch.autograd.functional.jacobian(
            lambda e: model.posterior.sample(params, e[None, None])[0][0, 0], eps
        )
        expected = stats.norm.logpdf(eps.numpy()).sum() - torch.linalg.slogdet(jacobian).logabsdet
        assert log_q.item() == pytest.approx(expected.item(), abs=1e-11)
        by_layer = model.posterior.log_prob_by_layer(params, z)
        assert by_layer.shape == (1, 1, 3)
        assert by_layer.sum().item() == pytest.approx(log_q.item(), abs=1e-11)


@each
def test_a_layer_depends_on_those_drawn_before_and_on_its_neighbour_only(inference):
    """Which noise reaches which layer, and by whom: the triangle of the Jacobian turns with the order."""
    model = model_of(inference)
    params = model.encode(values(1, D, seed=2))
    eps = values(6, seed=1)
    jacobian = torch.autograd.functional.jacobian(lambda e: model.posterior.sample(params, e[None, None])[0][0, 0], eps)
    blocks = [slice(0, 3), slice(3, 5), slice(5, 6)]
    reached = torch.tensor([[jacobian[i, j].abs().max() > 1e-9 for j in blocks] for i in blocks])
    whole = torch.ones(3, 3, dtype=torch.bool)
    assert torch.equal(reached, whole.tril() if inference == "bottom_up" else whole.triu())
    z = values(1, 1, 6, seed=7)

    def of_layers(z):
        return model.posterior.log_prob_by_layer(params, z)[0, 0]

    slopes = torch.autograd.functional.jacobian(of_layers, z)[:, 0, 0]
    sees = torch.tensor([[slopes[i, j].abs().max() > 1e-9 for j in blocks] for i in range(3)])
    neighbours = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1]]).bool()
    assert torch.equal(sees, neighbours if inference == "bottom_up" else neighbours.flip(0, 1))


def test_bottom_up_upper_layers_see_x_through_the_layer_below_only():
    model = model_of("bottom_up")
    mu, log_var = model.encode(values(B, D))
    assert mu[:, 3:].abs().max() == 0 and log_var[:, 3:].abs().max() == 0
    assert (mu[:, :3].std(0) > 0).all() and (log_var[:, :3].std(0) > 0).all()
    z = values(K, B, 6, seed=4)
    z1, z2 = z[..., :3], z[..., 3:5]
    up1, up2 = model.posterior.networks
    expected = [
        scipy_log_normal(z1, mu[:, :3], log_var[:, :3]),
        scipy_log_normal(z2, up1(z1)[..., :2], up1(z1)[..., 2:]),
        scipy_log_normal(z[..., 5:], up2(z2)[..., :1], up2(z2)[..., 1:]),
    ]
    found = model.posterior.log_prob_by_layer((mu, log_var), z)
    torch.testing.assert_close(found.detach(), torch.stack(expected, -1), rtol=0, atol=1e-12)


def test_bottom_up_adds_what_the_encoder_says_of_an_upper_layer():
    networks = [nn.Linear(3, 4).double(), nn.Linear(2, 2).double()]
    q, params = BottomUp(DIMS, networks), (values(B, 6, seed=1), values(B, 6, seed=2))
    z = values(K, B, 6, seed=4)
    m, s = networks[1](z[..., 3:5]).chunk(2, -1)
    expected = scipy_log_normal(z[..., 5:], params[0][:, 5:] + m, params[1][:, 5:] + s)
    torch.testing.assert_close(q.log_prob_by_layer(params, z)[..., 2].detach(), expected, rtol=0, atol=1e-12)


def test_with_networks_of_zeros_bottom_up_is_the_diagonal_gaussian():
    networks = [nn.Linear(3, 4).double(), nn.Linear(2, 2).double()]
    for network in networks:
        nn.init.zeros_(network.weight), nn.init.zeros_(network.bias)
    params, eps = (values(B, 6, seed=1), values(B, 6, seed=2)), values(K, B, 6, seed=3)
    for came, right in zip(BottomUp(DIMS, networks).sample(params, eps), diagonal.sample(params, eps), strict=True):
        torch.testing.assert_close(came, right, rtol=0, atol=1e-12)


def test_top_down_multiplies_what_x_says_with_what_the_prior_says():
    """The density of a lower layer is, up to a constant, the product of the two; its top is the encoder's alone."""
    model = model_of("top_down")
    mu, log_var = model.encode(values(1, D, seed=2))
    z2 = values(1, 1, 2, seed=1)
    z1 = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None, None].expand(-1, 1, 3).clone()
    z1[..., 1] *= -0.3
    z = torch.cat([z1, z2.expand(5, 1, 2), values(5, 1, 1, seed=8)], -1)
    found = model.posterior.log_prob_by_layer((mu, log_var), z).detach()
    product = scipy_log_normal(z1, mu[:, :3], log_var[:, :3])
    product = product + scipy_log_normal(z1, *(part.detach() for part in model.prior.given_above(0, z2)))
    difference = found[..., 0] - product
    torch.testing.assert_close(difference, difference[:1].expand(5, 1), rtol=0, atol=1e-11)
    of_top = scipy_log_normal(z[..., 5:], mu[:, 5:], log_var[:, 5:])
    torch.testing.assert_close(found[..., 2], of_top, rtol=0, atol=1e-12)


def test_precisions_add_up_in_a_merge():
    mu_a, log_var_a, mu_b, log_var_b = (values(50, 3, seed=i) for i in range(4))
    mu, log_var = merge(mu_a, log_var_a, mu_b, log_var_b)
    a, b = 1 / log_var_a.exp().numpy(), 1 / log_var_b.exp().numpy()
    np.testing.assert_allclose(log_var.numpy(), np.log(1 / (a + b)), atol=1e-13)
    np.testing.assert_allclose(mu.numpy(), (a * mu_a.numpy() + b * mu_b.numpy()) / (a + b), atol=1e-13)
    for given, expected in (
        ((-400.0, 0.0), (1.0, -400.0)),
        ((0.0, -400.0), (-1.0, -400.0)),
        ((900.0, 0.0), (-1.0, 0.0)),
    ):
        sure = [torch.full((1,), v) for v in given]
        mu, log_var = merge(torch.ones(1), sure[0], -torch.ones(1), sure[1])
        assert (mu.item(), log_var.item()) == pytest.approx(expected)


def test_a_merge_has_the_right_gradients():
    assert torch.autograd.gradcheck(merge, [values(3, seed=i).requires_grad_() for i in range(4)])


@each
def test_the_mean_is_each_layer_at_its_mean(inference):
    model = model_of(inference)
    mu, log_var = model.encode(values(B, D, seed=2))
    m1, m2, m3 = model.posterior.mean((mu, log_var)).split(DIMS, -1)
    if inference == "bottom_up":
        up1, up2 = model.posterior.networks
        expected = (mu[:, :3], up1(m1)[:, :2], up2(m2)[:, :1])
    else:
        by_hand = [merge(mu[:, 3:5], log_var[:, 3:5], *model.prior.given_above(1, m3))[0]]
        by_hand.insert(0, merge(mu[:, :3], log_var[:, :3], *model.prior.given_above(0, m2))[0])
        expected = (*by_hand, mu[:, 5:])
    for came, right in zip((m1, m2, m3), expected, strict=True):
        torch.testing.assert_close(came, right, rtol=0, atol=1e-12)


# The linear hierarchy: everything is one Gaussian over (z, x), of dense matrices


GAINS = [values(3, 2, seed=31, scale=0.8), values(2, 1, seed=32)]  # of z_1 from z_2, of z_2 from z_3
LOG_VARS = [values(3, seed=33, scale=0.3) - 0.5, values(2, seed=34, scale=0.3) - 0.7]
W, OFFSETS, NOISE = values(D, 3, seed=35), [values(3, seed=36), values(2, seed=37)], 0.4


def linear(gain, offset, log_var):
    layer = nn.Linear(gain.shape[1], 2 * len(gain)).double()
    with torch.no_grad():
        layer.weight.copy_(torch.cat([gain, torch.zeros_like(gain)]))
        layer.bias.copy_(torch.cat([offset, log_var]))
    return layer


def prior_of_the_oracle():
    return HierarchicalPrior(DIMS, [linear(*parts) for parts in zip(GAINS, OFFSETS, LOG_VARS, strict=True)])


class SeesLowest(nn.Module):
    def forward(self, z):
        return z[..., :3] @ W.T


def oracle():
    """Mean and covariance of z, and of x, by simulating the generative equations with dense matrices."""
    mean, cov = torch.zeros(1).double(), torch.eye(1).double()  # of z_3; then of all of them, the lowest first
    for gain, offset, log_var in list(zip(GAINS, OFFSETS, LOG_VARS, strict=True))[::-1]:
        n_above = gain.shape[1]
        to = torch.cat([gain, torch.zeros(len(gain), len(mean) - n_above).double()], 1)
        new_cov = to @ cov @ to.T + torch.diag(log_var.exp())
        cross = to @ cov
        cov = torch.cat([torch.cat([new_cov, cross], 1), torch.cat([cross.T, cov], 1)])
        mean = torch.cat([to @ mean + offset, mean])
    return mean, cov


Z_MEAN, Z_COV = oracle()
X_MEAN = W @ Z_MEAN[:3]
X_COV = W @ Z_COV[:3, :3] @ W.T + NOISE * torch.eye(D).double()
EVIDENCE = torch.distributions.MultivariateNormal(X_MEAN, X_COV)


def linear_model(inference, seed=0, scale=0.3):
    """The right p, and any q of the kind."""
    prior = prior_of_the_oracle()
    encoder = nn.Linear(D, 12).double()
    with torch.no_grad():
        encoder.weight.copy_(values(12, D, seed=seed, scale=scale / 3))
        encoder.bias.copy_(values(12, seed=seed + 1, scale=scale))
        encoder.bias[6:] += 0.7  # q wide enough for weights of a finite variance
    posterior = TopDown(prior)
    if inference == "bottom_up":
        networks = [nn.Linear(3, 4).double(), nn.Linear(2, 2).double()]
        for i, parameter in enumerate(p for network in networks for p in network.parameters()):
            with torch.no_grad():
                parameter.copy_(values(*parameter.shape, seed=40 + i, scale=scale))
        posterior = BottomUp(DIMS, networks)
    if inference == "diagonal":
        posterior = diagonal
    return VAE(encoder, SeesLowest(), 6, normal(math.log(NOISE)), prior, posterior)


def test_the_prior_of_the_oracle_is_its_dense_gaussian():
    z = values(20, 6, seed=3)
    expected = torch.distributions.MultivariateNormal(Z_MEAN, Z_COV).log_prob(z)
    torch.testing.assert_close(prior_of_the_oracle().log_prob(z).detach(), expected, rtol=0, atol=1e-11)
    with torch.no_grad():
        draws = prior_of_the_oracle().sample((40_000, 6), like=z, generator=torch.Generator().manual_seed(0))
    centred = draws - Z_MEAN
    assert monte_carlo(draws).z_score(Z_MEAN).abs().max() < 5
    assert monte_carlo(centred[:, :, None] * centred[:, None, :]).z_score(Z_COV).abs().max() < 5


@pytest.mark.parametrize("inference", (*KINDS, "diagonal"))
def test_weights_average_to_the_evidence(inference):
    """E[w] = p(x) if each log-density is right: z-tests at five standard errors."""
    model, x = linear_model(inference), X_MEAN + values(B, D, seed=8, scale=0.5)
    with torch.no_grad():
        log_w = log_weights(model, x, 60_000, generator=torch.Generator().manual_seed(2))
    assert monte_carlo(torch.exp(log_w - EVIDENCE.log_prob(x))).z_score(1.0).abs().max() < 5


@each
def test_every_estimate_of_the_evidence_takes_a_hierarchy(inference):
    model, x = linear_model(inference, scale=0.1), X_MEAN + values(B, D, seed=8, scale=0.5)
    with torch.no_grad():
        model.encoder.bias.copy_(torch.cat([Z_MEAN, -0.5 * torch.ones(6)]))  # near the posterior: many weights count
        seeded = [torch.Generator().manual_seed(i) for i in range(3)]
        for estimate in (
            iwae_bound(log_weights(model, x, 20_000, generator=seeded[0])),
            iwae_terms(model, x, 20_000, generator=seeded[1]).elbo,
            marginal_log_likelihood(model, x, 20_000, seed=2, progress=False),
        ):
            assert (estimate - EVIDENCE.log_prob(x)).abs().max() < 0.1
        log_w = ais(model, x, 200, n_steps=20, generator=seeded[2])
    assert monte_carlo(torch.exp(log_w - EVIDENCE.log_prob(x))).z_score(1.0).abs().max() < 5


@each
def test_the_layers_share_the_kl_and_the_bound_lies_below_the_evidence(inference):
    model, x = linear_model(inference), X_MEAN + values(B, D, seed=8)
    eps = values(4000, B, 6, seed=5)
    with torch.no_grad():
        layers, terms = kl_by_layer(model, x, eps=eps), elbo_terms(model, x, eps=eps)
        assert layers.shape == (B, 3)
        torch.testing.assert_close(layers.sum(-1), terms.kl, rtol=0, atol=1e-9)
        assert (terms.elbo < EVIDENCE.log_prob(x)).all()
        if inference == "top_down":
            assert (layers > 0).all()
        drawn = [kl_by_layer(model, x, 3, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
        of_three = elbo_terms(model, x, 3, generator=torch.Generator().manual_seed(1)).kl
        torch.testing.assert_close(drawn[0].sum(-1), of_three, rtol=0, atol=1e-12)
        assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_bottom_up_a_lower_layer_may_have_a_negative_share():
    """The prior of the lower layer is given the upper one, which q draws later: it may know the lower better than q."""
    networks = [linear(torch.ones(1, 1).double() * 5, torch.zeros(1).double(), torch.full((1,), -6.0).double())]
    prior = HierarchicalPrior((1, 1), [linear(torch.ones(1, 1).double() / 5, torch.zeros(1), torch.full((1,), -6.0))])
    encoder = nn.Linear(1, 4).double()
    nn.init.zeros_(encoder.weight), nn.init.zeros_(encoder.bias)
    model = VAE(encoder, nn.Linear(2, 1).double(), 2, normal(0.0), prior, BottomUp((1, 1), networks))
    low, high = kl_by_layer(model, torch.zeros(1, 1).double(), 2000, generator=torch.Generator().manual_seed(0))[
        0
    ].tolist()
    assert low < -1 and high > 1 and low + high > 0


# The model that the package builds


@each
def test_p_is_the_same_whatever_the_inference_but_for_its_weights(inference):
    model = hierarchical_vae(D, (6, (4, 5), 3), DIMS, bernoulli, seed=0, inference=inference)
    assert model.latent_dim == 6 and isinstance(model.posterior, Layered)
    other = hierarchical_vae(D, (6, (4, 5), 3), DIMS, bernoulli, seed=0)
    for part in ("decoder", "prior"):
        weights, others = (getattr(m, part).state_dict() for m in (model, other))
        assert weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)


@each
def test_the_widths_are_those_asked_for(inference):
    model = hierarchical_vae(D, (6, (4, 5), 3), DIMS, normal(0.0), seed=0, inference=inference)

    def sizes(module):
        return [(m.in_features, m.out_features) for m in module.modules() if isinstance(m, nn.Linear)]

    assert sizes(model.decoder) == [(3, 6), (6, D)]
    assert [sizes(network) for network in model.prior.networks] == [[(2, 5), (5, 4), (4, 6)], [(1, 3), (3, 4)]]
    if inference == "bottom_up":
        assert sizes(model.encoder) == [(D, 6), (6, 6)]
        assert [sizes(network) for network in model.posterior.networks] == [[(3, 4), (4, 5), (5, 4)], [(2, 3), (3, 2)]]
    else:
        assert [sizes(level) for level in model.encoder.levels] == [[(D, 6)], [(6, 4), (4, 5)], [(5, 3)]]
        assert sizes(model.encoder.heads) == [(6, 6), (5, 4), (3, 2)]
        assert all(isinstance(level[-1], nn.Tanh) for level in model.encoder.levels)
    assert isinstance(model.decoder[2], nn.Tanh) and not isinstance(model.decoder[-1], nn.Tanh)


@each
def test_every_hidden_layer_has_the_activation_asked_for(inference):
    model = hierarchical_vae(D, (6, (4, 5)), (3, 2), bernoulli, seed=0, inference=inference, activation=nn.SiLU)
    assert {type(m) for m in model.modules() if m.__module__ == nn.SiLU.__module__} == {nn.SiLU}


def test_the_upward_pass_says_all_means_and_then_all_log_variances():
    model = model_of("top_down")
    x = values(B, D, seed=2)
    heads, h = [], x
    for level, head in zip(model.encoder.levels, model.encoder.heads, strict=True):
        h = level(h)
        heads.append(head(h))
    mu, log_var = model.encode(x)
    torch.testing.assert_close(mu, torch.cat([heads[0][:, :3], heads[1][:, :2], heads[2][:, :1]], -1))
    torch.testing.assert_close(log_var, torch.cat([heads[0][:, 3:], heads[1][:, 2:], heads[2][:, 1:]], -1))


@each
def test_the_decoder_sees_the_lowest_layer_alone(inference):
    model, z = model_of(inference), values(B, 6)
    other = torch.cat([z[:, :3], values(B, 3, seed=9)], -1)
    assert torch.equal(model.decode(z), model.decode(other))
    assert (model.decode(z) != model.decode(torch.cat([z[:, :2], other[:, 2:3] + 1, z[:, 3:]], -1))).any()


@each
@pytest.mark.parametrize("objective", [elbo_terms, iwae_terms])
def test_it_learns_by_fit_and_every_part_moves(inference, objective):
    x = torch.tanh(values(200, D, seed=1) @ values(D, D, seed=2)).float()
    model = hierarchical_vae(D, (12, 8), (3, 2), normal(-2.0), seed=0, inference=inference)
    before = copy.deepcopy(model.state_dict())
    start = elbo(model, x, 50, generator=torch.Generator().manual_seed(0)).mean().item()
    fit(model, x, epochs=30, seed=0, batch_size=50, lr=5e-3, n_samples=4, objective=objective, progress=False)
    assert elbo(model, x, 50, generator=torch.Generator().manual_seed(0)).mean().item() > start + 5
    assert not [name for name, value in model.state_dict().items() if torch.equal(value, before[name])]


@each
def test_it_is_measured_sampled_and_reconstructs(inference):
    model, x = model_of(inference, likelihood=bernoulli), (values(B, D) > 0).double()
    assert model.sample(3, generator=torch.Generator().manual_seed(0)).shape == (3, D)
    assert model.reconstruct(x).shape == (B, D)
    assert unit_activity(model, x).shape == (6,) and active_units(model, x).dtype == torch.bool
    log_px = marginal_log_likelihood(model, x, 400, seed=0, progress=False)
    everything = torch.tensor(list(itertools.product([0.0, 1.0], repeat=D))).double()
    total = marginal_log_likelihood(model, everything, 400, seed=0, progress=False).exp().sum()
    assert log_px.shape == (B,) and total.item() == pytest.approx(1, abs=0.05)


@each
def test_a_model_comes_back_bit_for_bit(inference, tmp_path):
    model = hierarchical_vae(D, (6, (4, 5), 3), DIMS, normal(-1.0), seed=2, inference=inference, activation=nn.SiLU)
    x = values(20, D).float()
    fit(model, x, epochs=2, seed=0, progress=False)
    path = tmp_path / "model.safetensors"
    save(model, path)
    again = load(path)
    eps = values(3, 20, 6, seed=1).float()
    for clone in (again, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(elbo(clone, x, eps=eps), elbo(model, x, eps=eps))
        with torch.no_grad():
            for parameter in clone.prior.parameters():
                parameter.add_(0.5)
        changed = clone.posterior.sample(clone.encode(x), eps)[0]
        same = torch.equal(changed, model.posterior.sample(model.encode(x), eps)[0])
        assert same is (inference == "bottom_up")  # top-down, q of the copy uses the networks of the copy's prior
    model.posterior = diagonal
    model.prior = standard_normal
    with pytest.raises(CheckpointError):
        save(model, path)


def test_top_down_inference_and_the_model_have_one_prior():
    """With another, q would have networks that the model neither trains nor moves nor keeps."""
    model, other = (hierarchical_vae(D, (6, 4), (3, 2), bernoulli, seed=s, inference="top_down") for s in (0, 1))
    with pytest.raises(ValueError, match="the posterior is the TopDown of another prior"):
        model.prior = other.prior
    for posterior in (other.posterior, copy.deepcopy(model.posterior)):
        with pytest.raises(ValueError, match="the posterior is the TopDown of another prior"):
            model.posterior = posterior
    with pytest.raises(ValueError, match="the posterior is the TopDown of another prior"):
        VAE(model.encoder, model.decoder, 5, bernoulli, model.prior, other.posterior)
    with pytest.raises(ValueError, match="the posterior is the TopDown of another prior"):
        VAE(model.encoder, model.decoder, 5, bernoulli, posterior=model.posterior)
    assert model.posterior._prior[0] is model.prior is not other.prior
    x, eps = (values(B, D) > 0).double(), values(K, B, 5)
    assert torch.equal(elbo(model.double(), x, eps=eps), elbo(copy.deepcopy(model), x, eps=eps))
    model.posterior = TopDown(model.prior)
    bottom_up = hierarchical_vae(D, (6, 4), (3, 2), bernoulli, seed=0)
    bottom_up.prior = other.prior  # bottom-up, q computes with no prior: any will do


def test_the_weights_of_the_prior_are_counted_and_kept_once():
    model = hierarchical_vae(D, (6, 4), (3, 2), bernoulli, seed=0, inference="top_down")
    assert not list(model.posterior.parameters()) and not [n for n in model.state_dict() if n.startswith("posterior")]
    assert len({id(p) for p in model.parameters()}) == len(list(model.parameters())) == len(model.state_dict())


def test_weights_have_the_seed():
    first, same, other = (hierarchical_vae(D, (6, 4), (3, 2), bernoulli, seed=s).state_dict() for s in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    state = torch.get_rng_state()
    hierarchical_vae(D, (6, 4), (3, 2), bernoulli, seed=0)
    assert torch.equal(state, torch.get_rng_state())


# What is wrong is said


@pytest.mark.parametrize(
    "change, error, words",
    [
        (dict(latent_dims=(3,)), ValueError, r"latent_dims must name two layers or more, the lowest first, got \(3,\)"),
        (dict(latent_dims=(3, 0)), ValueError, "latent_dims must be an integer of at least 1, got 0"),
        (dict(latent_dims=3), ValueError, "latent_dims must name two layers or more, the lowest first, got 3"),
        (dict(hidden_dims=6), ValueError, "one width, or a sequence of them, for each of the 2 layers, got 6"),
        (dict(hidden_dims=(6,)), ValueError, r"one width, or a sequence of them, for each of the 2 layers, got \(6,\)"),
        (dict(hidden_dims=(6, ())), ValueError, r"for each of the 2 layers, got \(6, \(\)\)"),
        (dict(hidden_dims=(6, 0)), ValueError, "hidden_dims must be an integer of at least 1, got 0"),
        (dict(x_dim=0), ValueError, "x_dim must be an integer of at least 1, got 0"),
        (
            dict(inference="sideways"),
            ValueError,
            r"inference must be one of \('bottom_up', 'top_down'\), got 'sideways'",
        ),
        (dict(likelihood=nn.ReLU), TypeError, "likelihood must be a Likelihood, such as likelihoods.bernoulli"),
        (dict(seed=0.5), TypeError, "seed must be an integer"),
    ],
)
def test_wrong_arguments_are_named(change, error, words):
    how = dict(x_dim=D, hidden_dims=(6, 4), latent_dims=(3, 2), likelihood=bernoulli, seed=0) | change
    with pytest.raises(error, match=words):
        hierarchical_vae(**how)


def test_parts_that_do_not_fit_are_named():
    prior = HierarchicalPrior((3, 2), [nn.Linear(2, 6)])
    for build in (HierarchicalPrior, BottomUp):
        with pytest.raises(ValueError, match="networks must be 2, one between each two layers, got 1"):
            build((3, 2, 1), [nn.Linear(2, 6)])
    for n_out in (2, 3, 4, 7):
        with pytest.raises(ValueError, match=f"must give 3 means and 3 log-variances, got {n_out} numbers"):
            HierarchicalPrior((3, 2), [nn.Linear(2, n_out)]).log_prob(torch.zeros(1, 5))
    with pytest.raises(ValueError, match="must give 2 means and 2 log-variances, got 2 numbers"):
        BottomUp((3, 2), [nn.Linear(3, 2)]).sample((torch.zeros(1, 5),) * 2, torch.zeros(1, 1, 5))
    with pytest.raises(TypeError, match="prior must be a HierarchicalPrior, that of the model, got StandardNormal"):
        TopDown(standard_normal)
    with pytest.raises(ValueError, match=r"latent_dims=\(3, 2\), together 5, the model has latent_dim=4"):
        TopDown(prior).sample((values(B, 4), values(B, 4)), values(1, B, 4))
    for z in (torch.zeros(1, 4), torch.zeros(1, 6)):
        with pytest.raises(ValueError, match="z must have the 5 latent dimensions of the prior"):
            prior.log_prob(z)
    with pytest.raises(ValueError, match="must have the 5 latent dimensions of the prior"):
        prior.sample((2, 4), like=torch.zeros(1))
    with pytest.raises(TypeError, match="got StandardNormal and Diagonal"):
        kl_by_layer(mlp_vae(D, 4, 2, bernoulli, seed=0), torch.zeros(1, D))
    with pytest.raises(TypeError, match="model must be a VAE"):
        kl_by_layer(nn.Linear(1, 1), torch.zeros(1, D))
    with pytest.raises(NotImplementedError, match="Layered must have a method order"):
        Layered((1, 1)).sample((torch.zeros(1, 2),) * 2, torch.zeros(1, 1, 2))
    with pytest.raises(NotImplementedError, match="must have a method conditional"):
        Layered((1, 1)).log_prob_by_layer((torch.zeros(1, 2),) * 2, torch.zeros(1, 1, 2))
    with pytest.raises(ValueError, match="overflows"):
        prior.log_prob(torch.full((1, 5), 1e30))
    assert "latent_dims=(3, 2)" in repr(prior) and "latent_dims=(3, 2)" in repr(TopDown(prior))


# Planted mistakes: each is caught by the test beside it


def layers_of(prior, z):
    return z.split(prior.latent_dims, -1)


def prior_with(change):
    """A prior whose log-densities of the layers are changed: ``change(right, prior, z)``."""
    right = HierarchicalPrior.log_prob_by_layer
    return HierarchicalPrior, "log_prob_by_layer", lambda prior, z: change(right(prior, z), prior, z)


def given_itself(right, prior, z):
    """The middle layer is given the one below, in place of the one above."""
    z1, z2, z3 = layers_of(prior, z)
    wrong = formulas.log_normal(z1, *prior.given_above(0, z1[..., :2]))
    return torch.stack([wrong, right[..., 1], right[..., 2]], -1)


def of_a_fresh_draw(right, prior, z):
    z1, z2, z3 = layers_of(prior, z)
    fresh = formulas.log_normal(z1, *prior.given_above(0, values(*z2.shape, seed=99)))
    return torch.stack([fresh, right[..., 1], right[..., 2]], -1)


def squared_error_turned(right, prior, z):
    """−½ Σ (1 + log σ² − (z − μ)² − σ²), as a public implementation has it."""
    z1, z2, _ = layers_of(prior, z)
    mu, log_var = prior.given_above(0, z2)
    wrong = -0.5 * (1 + log_var - (z1 - mu) ** 2 - log_var.exp()).sum(-1)
    return torch.stack([wrong, right[..., 1], right[..., 2]], -1)


def standard_for_every_layer(right, prior, z):
    return torch.stack([formulas.log_standard_normal(layer) for layer in layers_of(prior, z)], -1)


def merge_with(mean, log_var):
    return hierarchical, "merge", lambda a, log_a, b, log_b: (mean(a, log_a, b, log_b), log_var(log_a, log_b))


def right_log_var(log_a, log_b):
    return -torch.logaddexp(-log_a, -log_b)


def right_mean(a, log_a, b, log_b):
    return merge(a, log_a, b, log_b)[0]


def by_variance(a, log_a, b, log_b):
    return merge(a, log_b, b, log_a)[0]


def sample_with(change):
    right = Layered.sample

    def sample(posterior, params, eps):
        z, log_q = right(posterior, params, eps)
        return z, change(posterior, params, z, log_q)

    return Layered, "sample", sample


def top_down_with(conditional):
    right = TopDown.conditional

    def changed(posterior, layer, mu, log_var, z):
        return conditional(right, posterior, layer, mu, log_var, z)

    return TopDown, "conditional", changed


def merged_at_the_top_too(right, posterior, layer, mu, log_var, z):
    return merge(mu, log_var, 0 * mu, 0 * log_var) if layer == 2 else right(posterior, layer, mu, log_var, z)


def conditional_without_x(posterior, layer, mu, log_var, z):
    if layer == 0:
        return mu, log_var
    m, log_s2 = posterior.networks[layer - 1](z[layer - 1]).chunk(2, -1)
    return m, log_s2


def shares_with(change):
    def wrong(model, x, n_samples=1, *, eps=None, generator=None):
        params = model.encode(x)
        z, _ = model.posterior.sample(params, eps)
        q, p = model.posterior.log_prob_by_layer(params, z), model.prior.log_prob_by_layer(z)
        return change(model, q, p, z).mean(0)

    return hierarchical_tests, "kl_by_layer", wrong


hierarchical_tests = sys.modules[__name__]
of_the_prior = test_the_prior_is_the_product_of_its_layers
of_q = test_log_q_is_the_density_of_the_draws_by_the_full_jacobian
of_the_merge, of_the_kl = (
    test_top_down_multiplies_what_x_says_with_what_the_prior_says,
    test_the_layers_share_the_kl_and_the_bound_lies_below_the_evidence,
)
PLANTED = {
    "the prior's layer given the wrong one": (prior_with(given_itself), of_the_prior),
    "the prior given a fresh draw": (prior_with(of_a_fresh_draw), of_the_prior),
    "a squared error with its sign turned": (prior_with(squared_error_turned), of_the_prior),
    "N(0, I) for every layer": (prior_with(standard_for_every_layer), of_the_prior),
    "the top's prior left out": (prior_with(lambda right, *_: right * torch.tensor([1, 1, 0])), of_the_prior),
    "the top's prior twice": (prior_with(lambda right, *_: right * torch.tensor([1, 1, 2])), of_the_prior),
    "the middle layer left out": (prior_with(lambda right, *_: right * torch.tensor([1, 0, 1])), of_the_prior),
    "means weighted by variances": (merge_with(by_variance, right_log_var), of_the_merge),
    "means averaged": (merge_with(lambda a, _, b, __: (a + b) / 2, right_log_var), of_the_merge),
    "variances added": (merge_with(right_mean, torch.logaddexp), of_the_merge),
    "log-variances averaged": (merge_with(right_mean, lambda a, b: (a + b) / 2), of_the_merge),
    "a softplus on log-variances": (
        (hierarchical, "merge", lambda a, log_a, b, log_b: merge(a, F.softplus(log_a), b, F.softplus(log_b))),
        of_the_merge,
    ),
    "the top merged, too": (top_down_with(merged_at_the_top_too), of_the_merge),
    "top-down without the prior": (top_down_with(lambda _, __, ___, mu, log_var, z: (mu, log_var)), of_the_merge),
    "top-down without x": (
        top_down_with(lambda right, q, i, mu, v, z: q._prior[0].given_above(i, z[i + 1]) if i < 2 else (mu, v)),
        of_the_merge,
    ),
    "bottom-up without what x says above": (
        (BottomUp, "conditional", conditional_without_x),
        test_bottom_up_adds_what_the_encoder_says_of_an_upper_layer,
    ),
    "log q of one layer only": (
        sample_with(lambda q, params, z, _: q.log_prob_by_layer(params, z)[..., -1]),
        partial(of_q, "bottom_up"),
    ),
    "log q with the wrong sign": (sample_with(lambda q, params, z, log_q: -log_q), partial(of_q, "top_down")),
    "a share without the prior of a lower layer": (
        shares_with(lambda model, q, p, z: q - p * torch.tensor([0, 0, 1])),
        partial(of_the_kl, "top_down"),
    ),
    "a share of the top only": (
        shares_with(lambda model, q, p, z: (q - p) * torch.tensor([0, 0, 1])),
        partial(of_the_kl, "bottom_up"),
    ),
    "the decoder sees the top": (
        (hierarchical.Lowest, "forward", lambda module, z: z[..., -module.n :]),
        partial(test_the_decoder_sees_the_lowest_layer_alone, "bottom_up"),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_caught(name, monkeypatch):
    (place, attribute, wrong), test = PLANTED[name]
    test()
    monkeypatch.setattr(place, attribute, wrong)
    with pytest.raises(AssertionError):
        test()


def test_a_prior_that_draws_each_layer_from_nothing_is_caught(monkeypatch):
    def independent(prior, shape, *, like, generator=None):
        return torch.randn(shape, generator=generator, dtype=like.dtype)

    monkeypatch.setattr(HierarchicalPrior, "sample", independent)
    with pytest.raises(AssertionError):
        test_draws_of_the_prior_follow_its_density()
