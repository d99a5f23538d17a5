"""Diffusion: by dense Gaussian algebra, quadrature, SciPy's integrator, enumeration, and saved models."""

import math

import numpy as np
import pytest
import torch
from fixed import moved, values
from scipy import stats
from scipy.integrate import solve_ivp
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_tutorial.bounds import elbo_terms
from vae_tutorial.checkpoints import load, save
from vae_tutorial.diffusion import Diffused, diffuse, diffusion_elbo, diffusion_vae, posterior_step, step_kl
from vae_tutorial.likelihoods import bernoulli
from vae_tutorial.models import mlp_vae
from vae_tutorial.priors import BitDiffusion, DiffusionPrior, standard_normal
from vae_tutorial.reference import grid, monte_carlo
from vae_tutorial.training import fit

B, L = 5, 3


def signal(log_snr):
    """alpha and sigma from probabilities, which sum to 1."""
    a = 1 / (1 + math.exp(-log_snr))
    return math.sqrt(a), math.sqrt(1 - a)


def prior(**how):
    return moved(DiffusionPrior(L, 8, **({"log_snr": (6.0, -7.0), "seed": 1} | how)), scale=0.3)


# One step


@pytest.mark.parametrize("log_snr", [-30.0, -2.0, 0.7, 30.0])
def test_what_is_diffused_has_the_variances_of_its_log_snr(log_snr):
    x, eps = values(B, L), values(B, L, seed=1)
    z = diffuse(x, log_snr, eps)
    alpha, sigma = (stats.logistic.cdf(sign * log_snr) ** 0.5 for sign in (1, -1))
    torch.testing.assert_close(z, alpha * x + sigma * eps, rtol=1e-12, atol=0)


def test_each_point_may_have_a_log_snr_of_its_own():
    x, eps, at = values(B, L), values(B, L, seed=1), values(B, seed=2)
    one_by_one = torch.stack([diffuse(x[b], at[b].item(), eps[b]) for b in range(B)])
    torch.testing.assert_close(diffuse(x, at, eps), one_by_one)
    pair = posterior_step(x, eps, at + 1, at)
    for b in range(B):
        for came, expected in zip(pair, posterior_step(x[b], eps[b], at[b] + 1, at[b]), strict=True):
            torch.testing.assert_close(came[b], expected)
    rows = torch.stack([step_kl(x[b], eps[b], at[b] + 1, at[b]) for b in range(B)])
    torch.testing.assert_close(step_kl(x, eps, at + 1, at), rows)


def test_gradients_reach_a_log_snr_that_is_one_number():
    """As where the ends of a schedule are learned."""
    x, eps, at = values(B, L), values(B, L, seed=1), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    h = 1e-6
    for f in (
        lambda at: diffuse(x, at, eps).sum(),
        lambda at: posterior_step(x, eps, at, -1.0)[0].sum(),
        lambda at: step_kl(x, eps, 1.0, at).sum(),
    ):
        slope = (f(0.3 + h) - f(0.3 - h)).item() / (2 * h)
        assert torch.autograd.grad(f(at), at)[0].item() == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("s, t", [(3.0, 1.0), (0.2, -4.0), (-5.0, -5.5)])
def test_a_step_back_is_the_conditional_of_a_gaussian_pair(s, t):
    """z_s and z_t given x are jointly Gaussian, with covariance (alpha_t / alpha_s) sigma_s^2."""
    x, z_t = values(B, L), values(B, L, seed=1)
    (a_s, s_s), (a_t, s_t) = signal(s), signal(t)
    covariance = a_t / a_s * s_s**2
    mu, log_var = posterior_step(z_t, x, s, t)
    torch.testing.assert_close(mu, a_s * x + covariance / s_t**2 * (z_t - a_t * x))
    torch.testing.assert_close(log_var.exp(), torch.full_like(x, s_s**2 - covariance**2 / s_t**2))


def test_forward_steps_lead_to_the_marginal():
    draw, x, n = torch.Generator().manual_seed(0), 1.3, 200_000
    at = [5.0, 2.0, 0.5, -1.0, -3.0]
    a, s = signal(at[0])
    z = a * x + s * torch.randn(n, generator=draw).double()
    for before, after in zip(at, at[1:], strict=False):
        (a_s, s_s), (a_t, s_t) = signal(before), signal(after)
        kept = a_t / a_s
        z = kept * z + math.sqrt(s_t**2 - kept**2 * s_s**2) * torch.randn(n, generator=draw).double()
    point, one = torch.full((1, 1), x).double(), torch.ones(1, 1).double()
    mean = diffuse(point, at[-1], 0 * one).item()
    sd = diffuse(0 * point, at[-1], one).item()
    for came, expected in ((z, mean), ((z - mean) ** 2, sd**2)):
        estimate = monte_carlo(came)
        assert abs(estimate.mean - expected) < 5 * estimate.stderr


@pytest.mark.parametrize("s, t", [(3.0, 1.0), (-5.0, -5.5), (2.0, 2.0 - 1e-7)])
def test_what_a_step_costs_is_the_kl_of_two_gaussians(s, t):
    x, x_hat, z_t = (values(B, L, seed=k) for k in range(3))
    q, p = (Normal(mu, (0.5 * v).exp()) for mu, v in (posterior_step(z_t, to, s, t) for to in (x, x_hat)))
    torch.testing.assert_close(step_kl(x, x_hat, s, t), kl_divergence(q, p).sum(-1), rtol=1e-6, atol=0)


# The prior


def test_to_begin_with_it_is_the_standard_normal():
    prior, z = DiffusionPrior(L, 8, seed=0).double(), values(4, B, L, scale=2.0)
    torch.testing.assert_close(prior.log_prob(z), standard_normal.log_prob(z), rtol=0, atol=1e-12)
    points, draw = z[0, :3].expand(5000, 3, L), torch.Generator().manual_seed(0)
    with torch.no_grad():
        bound = torch.stack([prior.bound(points, generator=draw).mean(0) for _ in range(20)])
    found = monte_carlo(bound - standard_normal.log_prob(z[0, :3]))
    assert (found.mean.abs() < 0.01 + 5 * found.stderr).all() and found.stderr.max() < 0.1


def test_the_density_of_the_flow_is_that_of_scipys_integrator():
    model, z = prior(n_steps=64), values(B, L, seed=3)
    model.standardize(torch.stack([values(L, seed=k) * torch.tensor([2.0, 0.5, 1.0]) + 0.3 for k in range(9)]))
    start, end = model.log_snr

    def slope(at, state):
        u = torch.tensor(state[:-1], requires_grad=True)
        a, s = signal(at)
        x_hat = model.denoise(u[None], torch.tensor([at], dtype=torch.float64))[0]
        score = (a * x_hat - u) / s**2
        dz = 0.5 * s**2 * (u + score)
        trace = sum(torch.autograd.grad(dz[i], u, retain_graph=True)[0][i] for i in range(L))
        return np.append(dz.detach().numpy(), trace.item())

    for row, came in zip(z, model.log_prob(z), strict=True):
        u = ((row - model.shift) / model.scale).numpy()
        found = solve_ivp(slope, (start, end), np.append(u, 0.0), method="DOP853", rtol=1e-9, atol=1e-10).y[:, -1]
        expected = stats.norm.logpdf(found[:-1]).sum() + found[-1] - model.scale.log().sum().item()
        assert came.item() == pytest.approx(expected, abs=1e-5)


def test_the_density_integrates_to_one_and_samples_follow_it():
    model = moved(DiffusionPrior(2, 8, log_snr=(4.0, -6.0), n_steps=24, seed=1), scale=0.3)
    model.standardize(values(9, 2, scale=1.5) + 0.5)
    nodes, cell = grid([-14.0, -14.0], [14.0, 14.0], 121)
    with torch.no_grad():
        density = model.log_prob(nodes).exp() * cell
        z = model.sample((20_000, 2), like=nodes, generator=torch.Generator().manual_seed(0))
    assert density.sum().item() == pytest.approx(1, abs=1e-4)
    for f in (lambda z: z, lambda z: z**2, lambda z: z[:, :1] * z[:, 1:]):
        drawn = monte_carlo(f(z))
        assert ((drawn.mean - (density[:, None] * f(nodes)).sum(0)).abs() < 5 * drawn.stderr + 1e-3).all()


def test_a_sample_goes_back_to_the_noise_it_came_from():
    model = prior(n_steps=128)
    like = torch.zeros(1, dtype=torch.float64)
    eps = torch.randn((4, B, L), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    z = model.sample((4, B, L), like=like, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(model._flow(z, *model.log_snr, with_trace=False)[0], eps, rtol=0, atol=1e-5)


def dense_path_kl(model, x, n_steps):
    """KL of q and p of the whole chain for a denoiser that is linear in z, one dimension, by dense matrices."""
    start, end = model.log_snr
    at = [start + (end - start) * i / n_steps for i in range(n_steps + 1)]
    n = n_steps + 1  # z_T, ..., z_0
    step, offset, noise = torch.zeros(n, n).double(), torch.zeros(n).double(), torch.ones(n).double()
    zero, one = torch.zeros(1, 1).double(), torch.ones(1, 1).double()
    for i, t in enumerate(range(n_steps, 0, -1), start=1):
        mean = {}
        for name, z in (("0", zero), ("1", one)):
            x_hat = model.denoise(z, at[t])
            (a_s, s_s), (a_t, s_t) = signal(at[t - 1]), signal(at[t])
            c = a_t / a_s * s_s**2
            mean[name] = a_s * x_hat + c / s_t**2 * (z - a_t * x_hat)
        offset[i], step[i, i - 1] = mean["0"].item(), (mean["1"] - mean["0"]).item()
        noise[i] = s_s**2 - c**2 / s_t**2
    through = torch.linalg.inv(torch.eye(n).double() - step)
    p = MultivariateNormal(through @ offset, through @ torch.diag(noise) @ through.T)
    alphas, sds = torch.tensor([signal(v) for v in at], dtype=torch.float64).T
    i = torch.arange(n)
    first, last = torch.minimum(i[:, None], i), torch.maximum(i[:, None], i)
    q_cov = alphas[last] / alphas[first] * sds[first] ** 2
    q = MultivariateNormal((alphas * x).flip(0), q_cov.flip(0, 1))
    return kl_divergence(q, p).item()


class Linear(DiffusionPrior):
    """A denoiser that is linear in z: exact for N(0.4, 0.3)."""

    def _denoised(self, z, at):
        alpha = at.sigmoid().sqrt()
        return 0.4 + 0.3 * alpha / (0.3 * at.sigmoid() + (-at).sigmoid()) * (z - alpha * 0.4)


@pytest.mark.parametrize("n_steps, end", [(1, -3.0), (2, 1.0), (7, -3.0)])
def test_the_cost_of_the_path_is_the_kl_of_two_gaussian_chains(n_steps, end):
    model = Linear(1, 2, log_snr=(2.0, end), seed=0).double()
    x = torch.full((4000, 1), 1.1).double()
    draw = torch.Generator().manual_seed(0)
    found = monte_carlo(torch.stack([model.path_kl(x, n_steps, generator=draw).mean() for _ in range(30)]))
    assert abs(found.mean - dense_path_kl(model, 1.1, n_steps)) < 5 * found.stderr and found.stderr < 0.02


def test_for_a_batch_of_one_the_cost_is_unbiased_too():
    model, x = Linear(1, 2, log_snr=(2.0, -3.0), seed=0).double(), torch.full((1, 1), 1.1).double()
    draw = torch.Generator().manual_seed(0)
    found = monte_carlo(torch.cat([model.path_kl(x, 3, generator=draw) for _ in range(2000)]))
    assert abs(found.mean - dense_path_kl(model, 1.1, 3)) < 5 * found.stderr and found.stderr < 0.2


def test_in_the_limit_the_bound_is_log_p_where_the_denoiser_is_exact():
    model = Linear(1, 2, log_snr=(9.0, -11.0), seed=0).double()
    z = torch.tensor([0.1, 0.4, 1.5]).double()
    draw = torch.Generator().manual_seed(0)
    many = z[:, None, None].expand(3, 20_000, 1)
    found = monte_carlo(torch.stack([model.bound(many, generator=draw).mean(1) for _ in range(20)]))
    assert ((found.mean - Normal(0.4, 0.3**0.5).log_prob(z)).abs() < 5 * found.stderr + 1e-3).all()
    assert found.stderr.max() < 0.03
    few = torch.stack([model.bound(many, 100, generator=draw).mean(1) for _ in range(20)]).mean(0)
    assert (found.mean - few).min() > 0.05  # with 100 steps something is lost


def test_codes_are_seen_standardized():
    model, codes = prior(), values(50, L, scale=3.0) + 2
    before = model.log_prob((codes - codes.mean(0)) / codes.std(0))
    model.standardize(codes)
    torch.testing.assert_close(model.log_prob(codes), before - codes.std(0).log().sum())
    alike = [torch.Generator().manual_seed(3) for _ in range(2)]
    path = model.path_kl((codes - codes.mean(0)) / codes.std(0), generator=alike[0])
    reached = 0.5 * L * (6.0 - math.log(2 * math.pi) - 1)
    torch.testing.assert_close(model.bound(codes, generator=alike[1]), reached - path - codes.std(0).log().sum())
    sd = model.sample((2000, L), like=codes, generator=torch.Generator().manual_seed(0)).std(0)
    assert (sd > 1.2).all()


def test_gradients_reach_the_network_through_both_densities():
    for model in (prior(n_steps=3), moved(BitDiffusion(L, 8, log_snr=(3.0, -5.0), n_steps=3, seed=0), scale=0.3)):
        for value in (model.log_prob(values(B, L)).sum(), model.bound(values(B, L)).sum()):
            grads = torch.autograd.grad(value, list(model.parameters()))
            assert all(grad.abs().max() > 0 for grad in grads)
    leaf = values(1, L, seed=4).requires_grad_()
    model = prior(n_steps=8)
    slope = torch.autograd.grad(model.log_prob(leaf).sum(), leaf)[0]
    h = 1e-5 * torch.eye(L).double()
    with torch.no_grad():
        ends = [model.log_prob(leaf + sign * h) for sign in (1, -1)]
    torch.testing.assert_close(slope[0], (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-7)


# Bits


def test_a_bit_is_guessed_by_bayes_theorem():
    model, z, at = (
        BitDiffusion(1, 4, log_snr=(3.0, -5.0), seed=0).double(),
        torch.linspace(-2, 2, 9)[:, None].double(),
        0.6,
    )
    a, s = signal(at)
    weight = [stats.norm.pdf(z.numpy(), a * sign, s) for sign in (1, -1)]
    expected = torch.from_numpy((weight[0] - weight[1]) / (weight[0] + weight[1]))
    torch.testing.assert_close(model.denoise(z, at), expected)
    u = model._velocity(z, torch.tensor([at]).double())
    torch.testing.assert_close(a * z - s * u, expected)


def test_untrained_the_bound_is_that_of_fair_bits():
    model = diffusion_vae(L, 4, log_snr=(4.0, -12.0), seed=0).double()
    x = torch.tensor([[0.0, 1.0, 1.0]]).double().expand(4000, -1)
    draw = torch.Generator().manual_seed(0)
    found = monte_carlo(torch.stack([diffusion_elbo(model, x, generator=draw).elbo.mean() for _ in range(40)]))
    assert abs(found.mean + L * math.log(2)) < 5 * found.stderr + 1e-3 and found.stderr < 0.03


def test_the_decoder_of_a_diffusion_is_bayes_theorem_too():
    model, z = diffusion_vae(1, 4, log_snr=(0.8, -5.0), seed=0).double(), torch.linspace(-2, 2, 7)[:, None].double()
    a, s = signal(0.8)
    odds = stats.norm.logpdf(z.numpy(), a, s) - stats.norm.logpdf(z.numpy(), -a, s)
    torch.testing.assert_close(model.decode(z), torch.from_numpy(odds))


def test_the_posterior_is_the_fixed_encoder():
    x, eps = torch.tensor([[0.0, 1.0]]).double(), values(K := 6, 1, 2)
    model = diffusion_vae(2, 4, log_snr=(0.8, -5.0), seed=0).double()
    z, log_q = model.posterior.sample(model.encode(x), eps)
    a, s = signal(0.8)
    torch.testing.assert_close(z, a * torch.tensor([-1.0, 1.0]) + s * eps)
    law = Normal(torch.tensor([-a, a]).double(), s)
    torch.testing.assert_close(log_q, law.log_prob(z).sum(-1))
    assert log_q.shape == (K, 1)
    torch.testing.assert_close(model.posterior.mean(model.encode(x)), law.loc[None])
    mu, log_var = model.posterior.gaussian(model.encode(x))
    torch.testing.assert_close((mu, log_var.exp()), (law.loc[None], torch.full((1, 2), s**2).double()))


def test_a_trained_diffusion_of_bits_bounds_the_entropy_of_what_it_learned():
    """Two bits that are equal, and a third that is fair: log p(x) = -2 log 2 is reached, and not exceeded."""
    bits = torch.arange(512) % 4
    x = torch.stack([bits // 2, bits // 2, bits % 2], -1).float()
    model = diffusion_vae(3, 32, log_snr=(4.0, -8.0), seed=0)
    how = dict(objective=diffusion_elbo, batch_size=128, lr=1e-2, average=0.99, device="cpu", progress=False)
    fit(model, x, epochs=40, seed=0, **how)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        found = monte_carlo(torch.stack([diffusion_elbo(model, x, generator=draw).elbo.mean() for _ in range(50)]))
        drawn = model.sample(200, generator=draw)
    assert -2 * math.log(2) - 0.2 < found.mean < -2 * math.log(2) + 5 * found.stderr
    assert (drawn[:, 0] == drawn[:, 1]).float().mean() > 0.9


# The objective


def test_in_a_vae_the_bound_stands_for_the_log_prior():
    model = mlp_vae(4, 8, L, bernoulli, seed=0, prior=DiffusionPrior(L, 8, seed=0)).double()
    x = (values(B, 4) > 0).double()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        found = [diffusion_elbo(model, x, 500, generator=draw) for _ in range(8)]
        exact = elbo_terms(mlp_vae(4, 8, L, bernoulli, seed=0).double(), x, 4000, generator=draw)  # untrained: N(0, I)
    for name in ("log_likelihood", "kl"):
        terms = monte_carlo(torch.stack([getattr(terms, name) for terms in found]))
        assert ((terms.mean - getattr(exact, name)).abs() < 0.02 + 8 * terms.stderr).all()


def test_steps_are_fewer_where_asked_and_cost_more():
    model = diffusion_vae(L, 4, seed=0)
    x = torch.tensor([[0.0, 1.0, 1.0]]).expand(2000, -1)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        limit, few = (diffusion_elbo(model, x, 10, n_steps=n, generator=draw).kl.mean() for n in (None, 8))
    assert few > limit + 0.1


def test_saved_models_come_back(tmp_path):
    x = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    with_prior = mlp_vae(3, 8, 2, bernoulli, seed=0, prior=DiffusionPrior(2, 8, 3, (5.0, -6.0), 9, seed=4))
    with_prior.prior.standardize(values(9, 2).float() * 3)
    for model in (with_prior, diffusion_vae(3, 8, 1, (2.0, -7.0), 5, seed=1)):
        save(model, tmp_path / "model")
        again = load(tmp_path / "model")
        assert torch.equal(again.prior.log_prob(again.encode(x)[0]), model.prior.log_prob(model.encode(x)[0]))
        (tmp_path / "model").unlink()


one, two = torch.ones(3), torch.ones(2, 3)


@pytest.mark.parametrize(
    "wrong, error, words",
    [
        (lambda: diffuse(two, 0.0, one), ValueError, "must have the same shape, got x"),
        (
            lambda: diffuse(two, one, two),
            ValueError,
            r"log_snr must be one .* \(2,\)",
        ),
        (lambda: diffuse(two, "0", two), TypeError, "log_snr must be one finite num"),
        (
            lambda: diffuse(two, math.inf, two),
            ValueError,
            "log_snr must be one finite num",
        ),
        (lambda: diffuse([1.0], 0.0, torch.ones(1)), TypeError, "x must be a torch.Tensor"),
        (
            lambda: posterior_step(one, one, 0.0, 1.0),
            ValueError,
            "log_snr_s must be above log",
        ),
        (
            lambda: posterior_step(one, two, 1.0, 0.0),
            ValueError,
            "must have the same shape, got z_t",
        ),
        (lambda: posterior_step(torch.ones(2) / 0, torch.ones(2), 1.0, 0.0), ValueError, "z_t must be finite"),
        (lambda: step_kl(torch.ones(2), torch.ones(2), 1.0, 1.0), ValueError, "log_snr_s must be above log"),
        (lambda: DiffusionPrior(0, 8, seed=0), ValueError, "latent_dim must be an integer of at least 1"),
        (lambda: DiffusionPrior(2, 8, 0, seed=0), ValueError, "n_layers must be an integer"),
        (lambda: DiffusionPrior(2, 8, log_snr=(0.0, 1.0), seed=0), ValueError, "the larger one first, got"),
        (lambda: DiffusionPrior(2, 8, log_snr=3.0, seed=0), ValueError, "log_snr must be two numbers"),
        (lambda: DiffusionPrior(2, 8, seed="0"), TypeError, "seed must be an integer"),
        (lambda: prior().log_prob(values(B, 2)), ValueError, "z must have the 3 latent dimensions"),
        (lambda: prior().bound(values(B, 2)), ValueError, "z must have the 3 latent dimensions"),
        (lambda: prior().path_kl(values(B, L), 0), ValueError, "n_steps must be an integer of at least 1"),
        (lambda: prior().sample((B, 2), like=values(1)), ValueError, "the 3 latent dimensions"),
        (lambda: prior().standardize(values(1, L).expand(4, L)), ValueError, "z must vary in each dimension"),
        (lambda: prior().standardize(values(1, L)), ValueError, "at least two codes"),
        (lambda: prior().bound(values(B, L) / 0), ValueError, "z must be finite"),
        (lambda: prior().denoise(values(B, L) / 0, 0.0), ValueError, "z_t must be finite"),
        (lambda: prior().denoise(values(B, L), "a"), TypeError, "log_snr must be one finite number"),
        (lambda: prior().denoise(values(B, L), values(L)), ValueError, r"one number, or of shape \(5,\)"),
        (lambda: posterior_step(two, two, 100.0 + 1e-9, 100.0), ValueError, "got 100 and 100 in torch.float32"),
        (lambda: DiffusionPrior(2, 8, log_snr=np.ones(2), seed=0), ValueError, r"pair, such as \(8.0, -8.0\)"),
        (lambda: Diffused("3"), TypeError, "log_snr must be one finite num"),
        (lambda: diffusion_elbo(mlp_vae(3, 8, 2, bernoulli, seed=0), torch.ones(1, 3)), TypeError, "a DiffusionPrior"),
    ],
)
def test_what_cannot_be_is_refused(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong()
