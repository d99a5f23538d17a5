"""Priors and posteriors as values: densities by quadrature, bounds against models whose evidence is known."""

import copy
import math
import pickle
from functools import partial

import fixed
import pytest
import torch
from fixed import values
from scipy import integrate, stats
from torch import nn

from vae_tutorial.ais import ais
from vae_tutorial.bounds import elbo_terms, iwae_bound, iwae_terms, log_weights, posterior_samples
from vae_tutorial.checkpoints import CheckpointError, load, save
from vae_tutorial.evaluation import marginal_log_likelihood, unit_activity
from vae_tutorial.gaussian import kl_normal, kl_standard_normal, log_normal
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.posteriors import Posterior, diagonal
from vae_tutorial.priors import Gaussian, Mixture, Prior, StandardNormal, standard_normal
from vae_tutorial.reference import LinearGaussian, kl_quadrature, monte_carlo
from vae_tutorial.training import fit

moved = partial(fixed.moved, seed=7, scale=0.7)
L, D, B, K = 2, 3, 4, 5


PRIORS = {
    "standard normal": standard_normal,
    "Gaussian": moved(Gaussian(L)),
    "mixture": moved(Mixture(L, 3, seed=1)),
}
every_prior = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS.keys())


@every_prior
def test_the_density_integrates_to_one(prior):
    def density(z2, z1):
        return prior.log_prob(torch.tensor([z1, z2], dtype=torch.float64)).exp().item()

    mass, _ = integrate.dblquad(density, -15, 15, -15, 15, epsabs=1e-8)
    assert mass == pytest.approx(1, abs=1e-6)


def test_the_log_densities_equal_scipy():
    z = values(K, B, L, scale=3.0)
    gaussian, mixture = PRIORS["Gaussian"], PRIORS["mixture"]
    with torch.no_grad():
        for prior, logits, mu, log_var in (
            (gaussian, torch.zeros(1).double(), gaussian.mu[None], gaussian.log_var[None]),
            (mixture, mixture.logits, mixture.mu, mixture.log_var),
        ):
            weights = torch.softmax(logits, 0).numpy()
            sd = torch.exp(0.5 * log_var).numpy()
            density = sum(
                w * stats.norm.pdf(z.numpy(), m, s).prod(-1) for w, m, s in zip(weights, mu.numpy(), sd, strict=True)
            )
            expected = torch.from_numpy(density).log()
            torch.testing.assert_close(prior.log_prob(z), expected, rtol=1e-12, atol=1e-12)


def test_far_from_all_components_a_mixture_is_still_finite():
    z = torch.full((1, L), 1e4, dtype=torch.float64)
    assert -1e10 < PRIORS["mixture"].log_prob(z).item() < -1e6


@every_prior
def test_samples_have_the_moments_of_the_density(prior):
    """Mean and second moments by quadrature on a grid; five z-tests, false alarm beyond six standard errors 1e-8."""
    z = prior.sample((100_000, L), like=values(1), generator=torch.Generator().manual_seed(3)).detach()
    nodes = torch.linspace(-12, 12, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(nodes, nodes)
    with torch.no_grad():
        weights = prior.log_prob(grid).exp() * (nodes[1] - nodes[0]) ** 2
    for moment in (lambda z: z, lambda z: z**2, lambda z: z[:, :1] * z[:, 1:]):
        assert monte_carlo(moment(z)).z_score(weights @ moment(grid)).abs().max() < 6


@every_prior
def test_samples_repeat_with_the_seed_and_have_the_shape_and_dtype_asked_for(prior):
    draw = [prior.sample((K, B, L), like=values(1), generator=torch.Generator().manual_seed(s)) for s in (5, 5, 6)]
    assert torch.equal(draw[0], draw[1]) and not torch.equal(draw[0], draw[2])
    assert draw[0].shape == (K, B, L) and draw[0].dtype == torch.float64


def test_a_mixture_draws_each_component_as_often_as_its_weight_says():
    prior = Mixture(1, 3, seed=0).double()
    with torch.no_grad():
        prior.mu.copy_(torch.tensor([[-100.0], [0.0], [100.0]]))
        prior.logits.copy_(torch.tensor([0.2, 0.3, 0.5]).log())
    z = prior.sample((50_000, 1), like=values(1), generator=torch.Generator().manual_seed(0)).detach()
    came = torch.stack([(z < -50).double(), (z.abs() < 50).double(), (z > 50).double()], 1)
    expected = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)[:, None]
    assert monte_carlo(came).z_score(expected).abs().max() < 5


def test_the_closed_kl_of_a_gaussian_prior_equals_quadrature():
    prior, (mu, log_var) = PRIORS["Gaussian"], (values(B, 1, seed=1), values(B, 1, seed=2))
    one = Gaussian(1).double()
    with torch.no_grad():
        one.mu.copy_(prior.mu[:1])
        one.log_var.copy_(prior.log_var[:1])
        for i in range(B):
            by_quadrature = kl_quadrature(
                lambda z, i=i: log_normal(z, mu[i].expand_as(z), log_var[i].expand_as(z)),
                one.log_prob,
                [mu[i].item() - 12 * math.exp(0.5 * log_var[i].item())],
                [mu[i].item() + 12 * math.exp(0.5 * log_var[i].item())],
                4001,
            )
            assert one.kl(mu, log_var)[i].item() == pytest.approx(by_quadrature.item(), abs=1e-9)


def test_a_gaussian_prior_begins_as_the_standard_normal():
    mu, log_var = values(B, L).float(), values(B, L, seed=1).float()
    torch.testing.assert_close(Gaussian(L).kl(mu, log_var), kl_standard_normal(mu, log_var))
    torch.testing.assert_close(Gaussian(L).log_prob(mu), standard_normal.log_prob(mu))
    assert Mixture(L, 3, seed=0).kl(mu, log_var) is None


# A linear-Gaussian model with the prior N(m, S): with z = m + S^(1/2) u it is one with the prior N(0, I).

W, NOISE = values(D, L, seed=10), 0.4
OFFSET = values(D, seed=11)


def shifted():
    """The model as a VAE whose prior is N(m, S), the same with the prior N(0, I), and the posterior of z by it."""
    prior = moved(Gaussian(L), seed=12)
    m, sd = prior.mu.detach(), torch.exp(0.5 * prior.log_var.detach())
    whitened = LinearGaussian(W * sd, NOISE, OFFSET + W @ m)
    decoder = LinearGaussian(W, NOISE, OFFSET).decoder()
    x = whitened.sample(B, generator=torch.Generator().manual_seed(4))

    class Encoder(nn.Module):
        """An approximate posterior: the exact one's mean and variances, moved a little."""

        def forward(self, x):
            q = whitened.posterior(x)
            return torch.cat([m + sd * q.mean + 0.1, 2 * torch.log(sd) + q.variance.log() - 0.2], -1)

    return VAE(Encoder(), decoder, L, normal(math.log(NOISE)), prior), whitened, x


def test_elbo_and_gap_add_up_to_the_evidence_under_a_gaussian_prior():
    model, whitened, x = shifted()
    m, sd = model.prior.mu.detach(), torch.exp(0.5 * model.prior.log_var.detach())
    mu, log_var = model.encode(x)
    u_mu, u_log_var = (mu - m) / sd, log_var - 2 * torch.log(sd)  # q in the coordinates of the whitened model
    exact = whitened.elbo(x, u_mu, u_log_var)
    nodes = math.sqrt(L) * torch.cat([torch.eye(L), -torch.eye(L)]).double()[:, None].expand(-1, B, -1)
    terms = elbo_terms(model, x, eps=nodes)  # exact for a quadratic log-likelihood
    torch.testing.assert_close(terms.elbo.detach(), exact, rtol=0, atol=1e-10)
    gap = whitened.kl_to_posterior(x, u_mu, u_log_var)
    torch.testing.assert_close(terms.elbo.detach() + gap, whitened.log_marginal(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "estimate",
    [
        lambda model, x: iwae_bound(log_weights(model, x, 20_000, generator=torch.Generator().manual_seed(0))),
        lambda model, x: iwae_terms(model, x, 20_000, generator=torch.Generator().manual_seed(1)).elbo,
        lambda model, x: marginal_log_likelihood(model, x, 20_000, seed=2, progress=False),
        lambda model, x: iwae_bound(ais(model, x, 200, n_steps=60, generator=torch.Generator().manual_seed(3))),
    ],
    ids=["log_weights", "iwae_terms", "marginal_log_likelihood", "ais"],
)
def test_every_estimate_of_the_evidence_knows_the_prior(estimate):
    model, whitened, x = shifted()
    assert (estimate(model, x).detach() - whitened.log_marginal(x)).abs().max() < 0.05
    with pytest.raises(AssertionError):
        model.prior = standard_normal
        assert (estimate(model, x).detach() - whitened.log_marginal(x)).abs().max() < 0.05


def test_ais_weights_are_unbiased_under_a_mixture():
    """E[w] = p(x), by quadrature over z; false alarm beyond five standard errors 1e-6."""
    prior = moved(Mixture(1, 2, seed=3))
    decoder = LinearGaussian(W[:, :1], NOISE, OFFSET).decoder()
    model = VAE(nn.Identity(), decoder, 1, normal(math.log(NOISE)), prior)
    x = values(2, D, seed=5)
    nodes = torch.linspace(-12, 12, 20_001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        log_joint = model.log_likelihood(x, nodes[:, None].expand(-1, 2, -1)) + model.log_prior(nodes)[:, None]
        log_px = torch.logsumexp(log_joint, 0) + (nodes[1, 0] - nodes[0, 0]).log()
    log_w = ais(model, x, 2000, n_steps=10, n_leapfrog=4, generator=torch.Generator().manual_seed(0))
    assert monte_carlo(torch.exp(log_w - log_px)).z_score(1.0).abs().max() < 5


def test_samples_of_the_model_come_from_its_prior():
    model, whitened, _ = shifted()
    x = model.sample(20_000, generator=torch.Generator().manual_seed(6)) - whitened.b
    rows, columns = torch.triu_indices(D, D)
    covariance = (whitened.W @ whitened.W.T + NOISE * torch.eye(D).double())[rows, columns]
    assert monte_carlo(x).z_score(0).abs().max() < 6
    assert monte_carlo(x[:, rows] * x[:, columns]).z_score(covariance).abs().max() < 6


# Estimator A stands in where there is no closed form; a posterior of one's own


def test_without_a_closed_form_the_kl_is_the_mean_over_the_same_samples():
    model = mlp_vae(D, 6, L, normal(0.0), seed=0, prior=Mixture(L, 3, seed=1)).double()
    x, eps = values(B, D), values(K, B, L)
    mu, log_var = model.encode(x)
    z = mu + torch.exp(0.5 * log_var) * eps
    expected = (log_normal(z, mu, log_var) - model.prior.log_prob(z)).mean(0)
    for analytic_kl in (True, False):
        torch.testing.assert_close(elbo_terms(model, x, eps=eps, analytic_kl=analytic_kl).kl, expected)


class Shifted(Posterior):
    """A Gaussian of variance 1, whose encoder gives one number for each latent dimension."""

    names = ("mu",)

    def sample(self, params, eps):
        return params[0] + eps, log_normal(eps, torch.zeros_like(params[0]), torch.zeros_like(params[0]))

    def mean(self, params):
        return params[0]


def test_a_posterior_of_ones_own_takes_part_in_everything():
    encoder, decoder = nn.Linear(D, L).double(), nn.Linear(L, D).double()
    model = VAE(encoder, decoder, L, normal(0.0), posterior=Shifted())
    x, eps = values(B, D), values(K, B, L)
    (mu,) = model.encode(x)
    z, log_q = posterior_samples(model, (mu,), eps=eps)
    assert torch.equal(z, mu + eps)
    same = VAE(lambda x: torch.cat([encoder(x), torch.zeros(len(x), L).double()], -1), decoder, L, normal(0.0))
    torch.testing.assert_close(log_weights(model, x, eps=eps), log_weights(same, x, eps=eps))
    torch.testing.assert_close(elbo_terms(model, x, eps=eps).elbo, elbo_terms(same, x, eps=eps, analytic_kl=False).elbo)
    torch.testing.assert_close(unit_activity(model, x), mu.detach().var(0))
    with pytest.raises(ValueError, match=r"the encoder must give mu, shape \(4, 2\) for latent_dim=2, got \(4, 4\)"):
        VAE(nn.Linear(D, 2 * L).double(), decoder, L, normal(0.0), posterior=Shifted()).encode(x)


def test_what_a_prior_has_to_learn_is_learned():
    """Data around 3 with a linear model: the Gaussian prior's mean must follow, and the bound rise."""
    torch.manual_seed(0)
    model = mlp_vae(D, (), L, normal(0.0), seed=0, prior=Gaussian(L))
    before = copy.deepcopy(model.prior.state_dict())
    history = fit(model, values(256, D).float() + 3, epochs=15, seed=0, lr=0.02, progress=False)
    assert history.elbo[-1] > history.elbo[0] + 1
    assert all((model.prior.state_dict()[name] != value).any() for name, value in before.items())


# Wrong input, copies, files


class NoSample(Prior):
    def log_prob(self, z):
        return standard_normal.log_prob(z)


@pytest.mark.parametrize("prior", ["normal", StandardNormal, None, bernoulli, diagonal])
def test_a_prior_is_a_prior(prior):
    with pytest.raises(TypeError, match="prior must be a Prior, such as priors.standard_normal, got"):
        mlp_vae(D, 6, L, bernoulli, seed=0, prior=prior)


@pytest.mark.parametrize("posterior", ["diagonal", Posterior(), None, standard_normal])
def test_a_posterior_is_a_posterior(posterior):
    with pytest.raises(TypeError, match="posterior must be a Posterior with names, such as posteriors.diagonal, got"):
        mlp_vae(D, 6, L, bernoulli, seed=0, posterior=posterior)


def test_what_a_prior_lacks_is_named():
    model = VAE(nn.Linear(D, 2 * L), nn.Linear(L, D), L, normal(0.0), NoSample())
    elbo_terms(model, values(B, D).float())
    with pytest.raises(NotImplementedError, match=r"NoSample must have a method sample\(shape"):
        model.sample(3)
    with pytest.raises(NotImplementedError, match=r"Prior must have a method log_prob\(z\)"):
        Prior().log_prob(values(B, L))
    with pytest.raises(NotImplementedError, match=r"Posterior must have a method sample\(params, eps\)"):
        Posterior().sample((values(B, L),), values(K, B, L))
    with pytest.raises(NotImplementedError, match=r"Posterior must have a method mean\(params\)"):
        Posterior().mean((values(B, L),))
    assert Posterior().gaussian((values(B, L),)) is None


@pytest.mark.parametrize("prior", [Gaussian(L).double(), Mixture(L, 3, seed=0).double()])
def test_points_of_the_wrong_width_are_refused(prior):
    with pytest.raises(
        ValueError, match=r"z must have the 2 latent dimensions of the prior \(last axis\), got \(4, 3\)"
    ):
        prior.log_prob(values(B, 3))
    with pytest.raises(TypeError, match="z must hold floating-point numbers"):
        prior.log_prob(torch.zeros(B, L, dtype=torch.long))
    with pytest.raises(ValueError, match="z must be finite"):
        prior.log_prob(torch.full((B, L), math.nan, dtype=torch.float64))


@pytest.mark.parametrize("size", [0, -1, 1.5, True, None])
def test_the_sizes_of_a_prior_are_counts(size):
    for build, name in ((Gaussian, "latent_dim"), (lambda n: Mixture(L, n, seed=0), "n_components")):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1"):
            build(size)


MODELS = {
    "standard normal": lambda: mlp_vae(D, 6, L, bernoulli, seed=0),
    "Gaussian": lambda: mlp_vae(D, 6, L, normal(0.3), seed=0, prior=Gaussian(L)),
    "mixture": lambda: mlp_vae(D, (6, 5), L, normal(-0.5), seed=0, prior=Mixture(L, 4, seed=2)),
}


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS.keys())
def test_a_model_with_its_prior_comes_back_from_a_file_a_copy_and_a_pickle(build, tmp_path):
    model, x = build(), (values(B, D) > 0).float()
    with torch.no_grad():
        for parameter in model.prior.parameters():
            parameter.add_(0.1)
    save(model, tmp_path / "model.safetensors")
    eps = values(K, B, L).float()
    expected = log_weights(model.eval(), x, eps=eps)
    for again in (load(tmp_path / "model.safetensors"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(log_weights(again, x, eps=eps), expected)
        assert type(again.prior) is type(model.prior)
    save(copy.deepcopy(model), tmp_path / "again.safetensors")


@pytest.mark.parametrize("part, other", [("prior", Gaussian(L)), ("prior", NoSample()), ("likelihood", normal(0.0))])
def test_a_part_that_was_replaced_is_not_saved_as_what_it_was(part, other, tmp_path):
    model = mlp_vae(D, 6, L, bernoulli, seed=0)
    setattr(model, part, other)
    with pytest.raises(CheckpointError, match=f"its {part} is .*, and would be .* if loaded"):
        save(model, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


class Scaled(StandardNormal):
    def __init__(self, factor):
        super().__init__()


def test_a_prior_of_ones_own_builds_a_model_that_does_not_pretend_to_be_saved(tmp_path):
    model = mlp_vae(D, 6, L, bernoulli, seed=0, prior=Scaled(2.0))
    with pytest.raises(CheckpointError, match="the prior .* does not say how to build it again"):
        save(model, tmp_path / "model.safetensors")


def test_closed_kl_equals_the_formulas_of_gaussian():
    prior, mu, log_var = PRIORS["Gaussian"], values(B, L, seed=1), values(B, L, seed=2)
    expected = kl_normal(mu, log_var, prior.mu.expand(B, -1), prior.log_var.expand(B, -1))
    torch.testing.assert_close(prior.kl(mu, log_var), expected, rtol=0, atol=0)
