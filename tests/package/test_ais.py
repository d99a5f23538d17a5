"""Annealed importance sampling against models whose evidence and tempered posteriors are known exactly.

The planted mistakes at the end are edits of the module's own source: each must be caught by the test that guards it.
"""

import math
import types

import pytest
import torch
from rebuilt import rebuilt
from torch import nn

from vae_tutorial import _validation
from vae_tutorial import ais as ais_module
from vae_tutorial.ais import ais, reverse_ais
from vae_tutorial.bounds import iwae_bound
from vae_tutorial.likelihoods import bernoulli, normal, normal_diag
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.reference import LinearGaussian, log_marginal_quadrature, monte_carlo

DIMENSIONS = [pytest.param(3, 2, id="D3-L2"), pytest.param(2, 1, id="D2-L1"), pytest.param(4, 3, id="D4-L3")]
FAR = 6  # standard errors; the tests below compare a few dozen numbers, each beyond once in 5e8


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


class NoEncoder(nn.Module):
    def forward(self, x):
        raise AssertionError("annealed importance sampling has no use for the encoder")


def problem(D, L, noise_var=0.4, scale=1.0):
    """A solvable model, the same as a VAE without an encoder, and two examples."""
    exact = LinearGaussian(scale * random(D, L, seed=0), noise_var, random(D, seed=1))
    x = exact.sample(2, generator=seeded(2))
    return exact, VAE(NoEncoder(), exact.decoder(), L, normal(math.log(noise_var))), x


def tempered(exact, beta):
    """p(z) p(x | z)^beta is the joint density of a model with the noise variance divided by beta."""
    return LinearGaussian(exact.W, exact.noise_var / beta, exact.b)


def samples(posterior, n):
    """Exact samples of a Gaussian, by its own Cholesky factor, shape (n, B, L)."""
    eps = random(n, *posterior.mean.shape, seed=20)
    return posterior.mean + (posterior.scale_tril @ eps.unsqueeze(-1)).squeeze(-1)


# The weights


def assert_unbiased(module, seed=3):
    """E[w] = p(x), whatever the number of steps."""
    exact, model, x = problem(3, 2)
    for n_steps, n_samples in ((1, 40_000), (3, 20_000), (20, 5_000)):
        log_w = module.ais(model, x, n_samples, n_steps=n_steps, n_leapfrog=3, generator=seeded(seed))
        ratio = monte_carlo(torch.exp(log_w - exact.log_marginal(x)))
        assert ratio.z_score(1.0).abs().max() < FAR, n_steps
    assert ratio.stderr.max() < 0.03


def test_weights_average_to_the_evidence_for_any_number_of_steps():
    assert_unbiased(ais_module)


@pytest.mark.parametrize("D, L", DIMENSIONS)
def test_weights_average_to_the_evidence_in_any_dimension(D, L):
    exact, model, x = problem(D, L)
    log_w = ais(model, x, 4_000, n_steps=10, n_leapfrog=3, generator=seeded(4))
    assert log_w.shape == (4_000, 2)
    assert monte_carlo(torch.exp(log_w - exact.log_marginal(x))).z_score(1.0).abs().max() < FAR


def test_weights_average_to_the_evidence_of_a_network_by_quadrature():
    model = mlp_vae(3, 8, 2, bernoulli, seed=0).double()
    with torch.no_grad():
        model.decoder[-1].weight *= 8
    x = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]], dtype=torch.float64)
    log_joint = lambda z: model.log_likelihood(x, z[:, None].expand(-1, 2, -1)) + model.log_prior(z)[:, None]  # noqa: E731
    with torch.no_grad():
        log_px = log_marginal_quadrature(log_joint, [-9.0] * 2, [9.0] * 2, 301)
    log_w = ais(model, x, 4_000, n_steps=10, generator=seeded(0))
    assert monte_carlo(torch.exp(log_w - log_px)).z_score(1.0).abs().max() < FAR
    assert (log_w - log_px).std() > 0.1


def test_one_step_is_importance_sampling_from_the_prior():
    _, model, x = problem(3, 2)
    z = []
    model.decoder.register_forward_hook(lambda decoder, inputs, output: z.append(inputs[0].detach()))
    log_w = ais(model, x, 7, n_steps=1, generator=seeded(0))
    assert z[-1].shape == (14, 2)  # rows
    torch.testing.assert_close(log_w, model.log_likelihood(x, z[-1].view(7, 2, 2)).detach(), rtol=0, atol=0)


def test_more_steps_make_the_weights_vary_less():
    _, model, x = problem(4, 3)
    variances = [ais(model, x, 500, n_steps=T, generator=seeded(0)).var(0).max() for T in (1, 10, 100)]
    assert variances[0] > 5 * variances[1] > 25 * variances[2]


def assert_reversed(module):
    """Where the variance is finite for any number of steps, because the likelihood says little, E[1 / w] = 1 / p(x)."""
    exact, model, x = problem(3, 2, noise_var=12.0, scale=0.8)
    assert torch.linalg.eigvalsh(exact.W.T @ exact.W).max() / exact.noise_var < 0.8  # 1 and more: infinite at T = 1
    z = samples(exact.posterior(x), 10_000)
    for n_steps in (1, 3, 10):
        log_w = module.reverse_ais(model, x, z, n_steps=n_steps, n_leapfrog=3, generator=seeded(6))
        assert monte_carlo(torch.exp(log_w + exact.log_marginal(x))).z_score(1.0).abs().max() < FAR, n_steps


def test_reverse_weights_average_to_the_inverse_evidence():
    assert_reversed(ais_module)


def assert_crooks(module):
    """Forwards and backwards one density is exp(log w - log p(x)) times the other, so these means of bounded functions
    agree for every number of steps (Crooks, 1999; Bennett, 1976): no infinite variance anywhere."""
    exact, model, x = problem(3, 2)
    log_px = exact.log_marginal(x)
    z = samples(exact.posterior(x), 10_000)
    for n_steps in (1, 3, 10):
        forward = module.ais(model, x, 10_000, n_steps=n_steps, n_leapfrog=3, generator=seeded(8)) - log_px
        backward = -module.reverse_ais(model, x, z, n_steps=n_steps, n_leapfrog=3, generator=seeded(9)) - log_px
        left, right = monte_carlo(torch.sigmoid(forward)), monte_carlo(torch.sigmoid(-backward))
        z_score = (left.mean - right.mean) / torch.hypot(left.stderr, right.stderr)
        assert z_score.abs().max() < FAR, n_steps
        if n_steps > 1:  # at one step the sum of both, and with it the test, is a question of importance sampling alone
            assert monte_carlo(forward).z_score(0.0).max() < -FAR < FAR < monte_carlo(backward).z_score(0.0).min()


def test_forward_and_reverse_weights_are_distributed_as_they_must():
    assert_crooks(ais_module)


# The moves


def assert_invariant(module, beta=0.6):
    """Chains that start as exact samples of the tempered posterior stay so, and are exchangeable in pairs."""
    exact, model, x = problem(4, 3)
    target = tempered(exact, beta).posterior(x)
    z = samples(target, 30_000)
    start = module._at(model, x, z)
    end, probability = module._move(model, x, start, beta, torch.full((2,), 0.45).double(), 3, seeded(11))

    def moments(z):
        standard = torch.linalg.solve_triangular(target.scale_tril, (z - target.mean).unsqueeze(-1), upper=False)
        standard = standard.squeeze(-1)
        return torch.cat([standard, (standard[..., None] * standard[..., None, :]).flatten(-2)], -1)

    before, after = moments(z), moments(end.z)
    exactly = torch.cat([torch.zeros(3), torch.eye(3).flatten()]).double().expand(2, -1)
    assert monte_carlo(after).z_score(exactly).abs().max() < FAR
    difference = monte_carlo(after - before)
    assert (difference.mean.abs() < FAR * difference.stderr).all()
    # f(z) g(z') and g(z) f(z') have one mean where the move satisfies detailed balance
    crossed = before[..., :3] * after[..., 3:6] - after[..., :3] * before[..., 3:6]
    assert monte_carlo(crossed).z_score(0.0).abs().max() < FAR
    return probability, (end.z != start.z).any(-1)


def test_a_move_leaves_the_tempered_posterior_invariant():
    probability, moved = assert_invariant(ais_module)
    assert 0.4 < probability.mean() < 0.7  # were rejections rare, nothing would depend on them
    assert (moved.double().mean() - probability.mean()).abs() < 0.01


def trajectory(module, n_leapfrog, step_size, beta=0.7, nonlinear=True):
    """Start, end and momenta of trajectories through a network, and the momenta that would lead back."""
    model = mlp_vae(3, 8, 2, normal(-1.0), seed=0, activation=nn.Tanh).double() if nonlinear else problem(3, 2)[1]
    x, z, momentum = random(4, 3, seed=0), random(5, 4, 2, seed=1), random(5, 4, 2, seed=2)
    start = module._at(model, x, z)
    step = torch.full((5, 4), step_size, dtype=z.dtype)
    return model, x, start, momentum, *module._leapfrog(model, x, start, momentum, beta, step, n_leapfrog), step


def assert_reversible(module):
    model, x, start, momentum, end, end_momentum, stable, step = trajectory(module, 12, 0.3)
    assert stable.all() and (end.z - start.z).abs().max() > 0.5
    back, back_momentum, _ = module._leapfrog(model, x, end, -end_momentum, 0.7, step, 12)
    torch.testing.assert_close(back.z, start.z, rtol=0, atol=1e-10)
    torch.testing.assert_close(-back_momentum, momentum, rtol=0, atol=1e-10)


def test_the_leapfrog_map_is_its_own_inverse_with_the_momentum_turned():
    assert_reversible(ais_module)


def test_the_leapfrog_map_preserves_volume():
    model = mlp_vae(3, 8, 2, normal(-1.0), seed=0, activation=nn.Tanh).double()
    x, at, h = random(1, 3, seed=0), random(4, seed=1), 1e-5

    def end(point):
        z, momentum = point.view(2, 1, 1, 2)
        step = torch.full((1, 1), 0.4, dtype=torch.float64)
        state, momentum, _ = ais_module._leapfrog(model, x, ais_module._at(model, x, z), momentum, 0.7, step, 5)
        return torch.cat([state.z.flatten(), momentum.flatten()])

    jacobian = torch.stack([(end(at + h * e) - end(at - h * e)) / (2 * h) for e in torch.eye(4).double()])
    assert (jacobian - torch.eye(4)).abs().max() > 0.1
    assert abs(torch.linalg.det(jacobian) - 1) < 1e-8


def energies(module, n_leapfrog, step_size):
    """The change of H = |z|²/2 + |m|²/2 - beta log p(x | z) along trajectories, evaluated from scratch."""
    model, x, start, momentum, end, end_momentum, _, _ = trajectory(module, n_leapfrog, step_size)

    def H(z, momentum):
        return 0.5 * (z**2).sum(-1) + 0.5 * (momentum**2).sum(-1) - 0.7 * model.log_likelihood(x, z).detach()

    return H(end.z, end_momentum) - H(start.z, momentum)


def assert_second_order(module):
    """Half the step, twice as many: a quarter of the energy's error."""
    rough, fine, finest = (energies(module, n, 1.6 / n).abs().mean() for n in (16, 32, 64))
    assert 3.8 < rough / fine < 4.2 and 3.9 < fine / finest < 4.1 and finest < 1e-3


def test_the_energy_error_is_of_second_order_in_the_step():
    assert_second_order(ais_module)


def test_acceptance_is_the_metropolis_probability():
    exact, model, x = problem(3, 2)
    start = ais_module._at(model, x, random(50, 2, 2, seed=1))
    _, probability = ais_module._move(model, x, start, 0.7, torch.full((2,), 0.4, dtype=x.dtype), 3, seeded(0))
    generator = seeded(0)
    momentum = torch.randn(50, 2, 2, generator=generator, dtype=torch.float64)
    step = 0.4 * (0.8 + 0.4 * torch.rand(50, 2, generator=generator, dtype=torch.float64))
    end, end_momentum, _ = ais_module._leapfrog(model, x, start, momentum, 0.7, step, 3)
    prior, sd = torch.distributions.Normal(torch.zeros(2).double(), 1.0), torch.tensor(0.4, dtype=torch.float64).sqrt()

    def log_density(z, momentum):
        likelihood = torch.distributions.Normal(z @ exact.W.T + exact.b, sd).log_prob(x).sum(-1)
        return prior.log_prob(z).sum(-1) + prior.log_prob(momentum).sum(-1) + 0.7 * likelihood

    ratio = torch.exp(log_density(end.z, end_momentum) - log_density(start.z, momentum))
    torch.testing.assert_close(probability, ratio.clamp(max=1), rtol=0, atol=1e-10)
    assert 0.1 < (ratio < 1).double().mean() < 1 and (step.std(0) > 0.03).all()


def test_step_sizes_give_the_acceptance_they_aim_at():
    exact, model, x = problem(4, 3)
    betas = ais_module._schedule(40)
    step_sizes = ais_module._step_sizes(model, x, betas, 5, seeded(0))
    assert step_sizes.shape == (39, 2) and (step_sizes > 0).all()
    for t in (5, 20, 39):
        beta = betas[t].item()
        start = ais_module._at(model, x, samples(tempered(exact, beta).posterior(x), 2_000))
        _, probability = ais_module._move(model, x, start, beta, step_sizes[t - 1], 5, seeded(1))
        assert ((probability.mean(0) - ais_module.TARGET).abs() < 0.2).all()


def test_pilot_chains_move_often_enough_on_a_short_path():
    """Of two inner temperatures each has a hundred moves to find its step, not one."""
    exact, model, x = problem(4, 3)
    betas = torch.tensor([0.0, 0.9, 1.0])
    (step,) = ais_module._step_sizes(model, x, betas, 5, seeded(0))
    start = ais_module._at(model, x, samples(tempered(exact, betas[1].item()).posterior(x), 2_000))
    _, probability = ais_module._move(model, x, start, betas[1].item(), step, 5, seeded(1))
    assert ((probability.mean(0) - ais_module.TARGET).abs() < 0.2).all()


def test_step_sizes_are_found_before_the_weighted_chains_and_without_them(monkeypatch):
    """The same step sizes whatever the number of chains, or whether they walk forwards or backwards."""
    _, model, x = problem(3, 2)
    found = []
    monkeypatch.setattr(
        ais_module, "_step_sizes", lambda *a, f=ais_module._step_sizes: found.append(f(*a)) or found[-1]
    )
    for run in (
        lambda: ais(model, x, 3, n_steps=5, generator=seeded(0)),
        lambda: ais(model, x, 9, n_steps=5, generator=seeded(0)),
        lambda: reverse_ais(model, x, random(4, 2, 2, seed=0), n_steps=5, generator=seeded(0)),
    ):
        run()
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_temperatures_rise_from_0_to_1():
    for n_steps in (1, 2, 50):
        betas = ais_module._schedule(n_steps)
        assert len(betas) == n_steps + 1 and betas[0] == 0 and betas[-1] == 1 and (betas.diff() > 0).all()


# Trajectories that run away


def test_a_trajectory_that_overflows_is_rejected_without_a_bias():
    """One dimension, with steps on both sides of where the leapfrog method becomes unstable: half run to infinity."""
    exact = LinearGaussian(torch.tensor([[2.0], [1.0]]), 0.5, torch.tensor([0.3, -0.2]))
    model = VAE(NoEncoder(), exact.decoder().float(), 1, normal(math.log(0.5)))
    x, beta = torch.tensor([[1.0, 0.5]]), 0.6
    target = tempered(exact, beta).posterior(x)
    z = samples(target, 1_500).float()
    start = ais_module._at(model, x, z)
    step = 2 * target.stddev[:, 0].float()  # the limit; jitter takes half of the trajectories above it
    end, probability = ais_module._move(model, x, start, beta, step, 101, seeded(0))
    lost = probability == 0
    assert 0.3 < lost.double().mean() < 0.7
    assert torch.equal(end.z[lost], start.z[lost]) and end.z.isfinite().all() and end.gradient.isfinite().all()
    standard = (end.z - target.mean) / target.stddev
    assert monte_carlo(standard).z_score(0.0).abs().max() < FAR
    assert monte_carlo(standard**2).z_score(1.0).abs().max() < FAR
    assert monte_carlo(standard**2 - ((z - target.mean) / target.stddev) ** 2).z_score(0.0).abs().max() < FAR


def test_a_likelihood_that_overflows_far_from_the_prior_stops_nothing():
    """A decoder of log-variances that fall by 12 for each unit of z: no float32 holds the likelihood at z = 8."""
    decoder = nn.Linear(1, 4)
    decoder.load_state_dict({"weight": torch.tensor([[1.0], [2], [-12], [-3]]), "bias": torch.zeros(4)})
    model = VAE(NoEncoder(), decoder, 1, normal_diag)
    x = torch.tensor([[0.4, -0.8], [0.1, 0.3]])
    with pytest.raises(ValueError, match="overflows"):
        model.log_likelihood(x, torch.full((2, 1), 8.0))
    log_w = ais(model, x, 500, n_steps=10, generator=seeded(0))
    reference = VAE(NoEncoder(), decoder.double(), 1, normal_diag)
    log_joint = lambda z: (  # noqa: E731
        reference.log_likelihood(x.double(), z[:, None].expand(-1, 2, -1)) + reference.log_prior(z)[:, None]
    )
    with torch.no_grad():
        log_px = log_marginal_quadrature(log_joint, [-9.0], [9.0], 200_001)
    assert monte_carlo(torch.exp(log_w - log_px)).z_score(1.0).abs().max() < FAR


def test_only_the_points_at_fault_have_no_likelihood():
    model = mlp_vae(3, 8, 2, bernoulli, seed=0).double()
    x, z = torch.ones(4, 3, dtype=torch.float64), random(5, 4, 2, seed=0)
    z[1, 2, 0], z[4, 0, 1] = math.nan, math.inf
    with _validation.not_finite_allowed():
        state = ais_module._at(model, x, z)
    bad = torch.zeros(5, 4, dtype=torch.bool)
    bad[1, 2] = bad[4, 0] = True
    assert torch.equal(~state.log_likelihood.isfinite(), bad)
    good = ais_module._at(model, x, z.nan_to_num(0.0, 0.0))
    torch.testing.assert_close(state.log_likelihood[~bad], good.log_likelihood[~bad], rtol=1e-12, atol=0)
    torch.testing.assert_close(state.gradient[~bad], good.gradient[~bad], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_trajectory_that_meets_a_point_without_a_gradient_is_rejected(value):
    """Its likelihood is finite; one whose last point is such a one would else have no acceptance probability."""

    def log_likelihood(x, z):
        seen = z.clone()
        seen.register_hook(lambda gradient: gradient.where(z < 1, value))
        return -0.5 * (seen**2).sum(-1)

    model = types.SimpleNamespace(log_prior=lambda z: -0.5 * (z**2).sum(-1), log_likelihood=log_likelihood)
    x, momentum = torch.zeros(1, 1), torch.tensor([[[3.0]], [[0.5]]])
    start = ais_module._at(model, x, torch.zeros(2, 1, 1))
    end, _, stable = ais_module._leapfrog(model, x, start, momentum, 0.7, torch.full((2, 1), 0.5), 1)
    assert end.z.flatten().tolist() == [1.5, 0.25] and end.log_likelihood.isfinite().all()
    assert stable.flatten().tolist() == [False, True]


# What goes in and comes out


def runs(model, x, generator):
    z = torch.full((3, len(x), model.latent_dim), 0.3, dtype=x.dtype)
    return [
        ais(model, x, 3, n_steps=6, n_leapfrog=2, generator=generator),
        reverse_ais(model, x, z, n_steps=6, n_leapfrog=2, generator=generator),
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_are_float64_without_gradient_and_the_model_is_left_alone(dtype):
    model = mlp_vae(3, 8, 2, bernoulli, seed=0).to(dtype)
    model.encoder = NoEncoder()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.ones(4, 3, dtype=dtype)
    for log_w in runs(model, x, seeded(0)):
        assert log_w.shape == (3, 4) and log_w.dtype == torch.float64 and not log_w.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(runs(model, x, seeded(0)), runs(model, x, seeded(0)), strict=True))


def test_weights_in_float32_average_to_the_evidence_too():
    exact, model, x = problem(3, 2)
    log_w = ais(model.float(), x.float(), 4_000, n_steps=10, n_leapfrog=3, generator=seeded(4))
    assert monte_carlo(torch.exp(log_w - exact.log_marginal(x.float()))).z_score(1.0).abs().max() < FAR


def test_noise_comes_from_the_generator_alone():
    model, x = mlp_vae(3, 8, 2, bernoulli, seed=0), torch.ones(4, 3)
    before = torch.get_rng_state()
    first, again, other = (runs(model, x, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert all(torch.equal(a, b) for a, b in zip(runs(model, x, None), first, strict=True))


def test_every_example_and_chain_walks_by_itself():
    log_w = ais(mlp_vae(3, 8, 2, bernoulli, seed=0), torch.ones(4, 3), 3, n_steps=2, generator=seeded(0))
    assert len(log_w.unique()) == 12


def test_noise_goes_to_the_device_of_the_model(monkeypatch):
    # On the meta device tensors have no values, so the checks of values are taken out; noise left on the CPU raises.
    monkeypatch.setattr(_validation, "_all_finite", lambda value: True)
    monkeypatch.setattr(ais_module, "N_PILOT_MOVES", 1)
    model, x = mlp_vae(3, 6, 2, normal(0.0), seed=0).to("meta"), torch.zeros(4, 3, device="meta")
    assert ais(model, x, 5, n_steps=2, n_leapfrog=1, generator=seeded(0)).shape == (5, 4)
    z = torch.zeros(5, 4, 2, device="meta")
    assert reverse_ais(model, x, z, n_steps=2, n_leapfrog=1, generator=seeded(0)).is_meta


X, Z = torch.ones(4, 3), torch.zeros(5, 4, 2)
WRONG = {
    "x is a pair": (dict(x=(X, X)), TypeError, r"x must be a torch.Tensor, got tuple"),
    "x of integers": (dict(x=X.long()), TypeError, r"x must hold floating-point numbers, got torch.int64"),
    "x with axes of an image": (dict(x=X[:, None]), ValueError, r"x must have shape \(B, D\).*\(4, 1, 3\)"),
    "x not finite": (dict(x=X * math.nan), ValueError, "x must be finite"),
    "x too wide": (dict(x=torch.ones(4, 5)), ValueError, r"params \(.*\) and x \(4, 5\)"),
    "no steps": (dict(n_steps=0), ValueError, "n_steps must be an integer of at least 1, got 0"),
    "half a step": (dict(n_steps=2.5), ValueError, "n_steps must be an integer of at least 1, got 2.5"),
    "no leapfrog steps": (dict(n_leapfrog=0), ValueError, "n_leapfrog must be an integer of at least 1, got 0"),
    "a seed for a generator": (dict(generator=0), TypeError, "generator must be a torch.Generator, got int"),
}


@pytest.mark.parametrize("reverse", [False, True], ids=["ais", "reverse_ais"])
@pytest.mark.parametrize("change, error, message", WRONG.values(), ids=WRONG.keys())
def test_bad_arguments_are_named(change, error, message, reverse):
    model, arguments = mlp_vae(3, 8, 2, bernoulli, seed=0), dict(x=X, n_steps=3, generator=seeded(0)) | change
    with pytest.raises(error, match=message):
        reverse_ais(model, z=Z, **arguments) if reverse else ais(model, n_samples=5, **arguments)


def test_no_chains_are_an_error():
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 1, got 0"):
        ais(mlp_vae(3, 8, 2, bernoulli, seed=0), X, 0, n_steps=3)


@pytest.mark.parametrize("z, error, message", [
    (Z[0], ValueError, r"z must have shape \(K, B, L\) = \(K, 4, 2\), got \(4, 2\)"),
    (Z[:, :1], ValueError, r"got \(5, 1, 2\)"),
    (Z[..., :1], ValueError, r"got \(5, 4, 1\)"),
    (Z * math.inf, ValueError, "z must be finite"),
    (Z.long(), TypeError, "z must hold floating-point numbers"),
    (Z.double(), ValueError, "z of shape .* torch.float64"),
    ([0.0], TypeError, "z must be a torch.Tensor, got list"),
])  # fmt: skip
def test_a_bad_z_is_named(z, error, message):
    with pytest.raises(error, match=message):
        reverse_ais(mlp_vae(3, 8, 2, bernoulli, seed=0), X, z, n_steps=3)


# Planted mistakes


FIRST_HALF = "        momentum = momentum + 0.5 * step * force(state)\n        z = "
LAST_HALF = "        momentum = momentum + 0.5 * step * force(state)\n    return"
MISTAKES = {
    "every trajectory accepted": ("log_ratio.clamp(max=0).exp(), 0.0", "1.0, 0.0", assert_invariant),
    "momentum left out of the energy": ("(state.z**2 + momentum**2)", "(state.z**2)", assert_invariant),
    "energy not tempered": ("return beta * state.log_likelihood", "return state.log_likelihood", assert_invariant),
    "prior left out of the energy": ("(state.z**2 + momentum**2)", "(momentum**2)", assert_invariant),
    "momentum never drawn": (
        "momentum = standard_noise(start.z.shape, like=start.z, generator=generator)",
        "momentum = torch.full_like(start.z, 0.7)",
        assert_invariant,
    ),
    "first half step left out": (FIRST_HALF, "        z = ", assert_invariant),
    "last half step left out": (LAST_HALF, "    return", assert_invariant),
    "whole steps of the momentum": (FIRST_HALF, FIRST_HALF.replace("0.5 * ", ""), assert_reversible),
    "last half step left out of the map": (LAST_HALF, "    return", assert_reversible),
    "gradient with the wrong sign": ("return beta * state.gradient - state.z", "return state.z", assert_second_order),
    "gradient not tempered": ("return beta * state.gradient", "return state.gradient", assert_second_order),
    "rejected chains keep the new likelihood": (
        "return _State(*(_where(accepted, new, old) for new, old in zip(end, start, strict=True))), probability",
        "return end._replace(z=_where(accepted, end.z, start.z)), probability",
        assert_unbiased,
    ),
    "moves one temperature too cold": ("zip(betas[1:-1].tolist()", "zip(betas[2:].tolist()", assert_unbiased),
    "moves one temperature too hot": ("zip(betas[1:-1].tolist()", "zip(betas[:-2].tolist()", assert_unbiased),
    "weights by the temperature reached": (
        "for difference in betas.diff().tolist():",
        "for difference in betas[1:].tolist():",
        assert_unbiased,
    ),
    "weights after the move": (
        "zip(betas[1:-1].tolist(), step_sizes, strict=True)\n    for difference in betas.diff().tolist():\n",
        "zip(betas[1:-1].tolist(), step_sizes, strict=True)\n    for difference in betas.diff().tolist():\n"
        "        if (move := next(inner, None)) is not None:\n"
        "            state, _ = _move(model, x, state, *move, n_leapfrog, generator)\n",
        assert_unbiased,
    ),
    "reversed with the step sizes of the way there, and the temperatures too": (
        "betas.flip(0), step_sizes.flip(0)",
        "betas, step_sizes",
        assert_crooks,
    ),
    "reversed one temperature off": (
        "z, betas.flip(0), step_sizes.flip(0)",
        "z, torch.cat([betas.flip(0)[1:], betas[:1]]), step_sizes.flip(0)",
        assert_crooks,
    ),
}


@pytest.mark.parametrize("old, new, test", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_planted_mistake_is_caught(old, new, test):
    with pytest.raises(AssertionError):
        test(rebuilt("vae_tutorial.ais", old, new))


def test_the_module_rebuilt_without_a_mistake_passes():
    module = rebuilt("vae_tutorial.ais", "TARGET = 0.65", "TARGET = 0.65")
    assert_invariant(module), assert_reversible(module), assert_second_order(module)
    x = torch.ones(4, 3)
    log_w = [
        m.ais(mlp_vae(3, 8, 2, bernoulli, seed=0), x, 3, n_steps=4, generator=seeded(0)) for m in (module, ais_module)
    ]
    assert torch.equal(*log_w) and iwae_bound(log_w[0]).shape == (4,)


# What it goes through


class Ignoring(nn.Module):
    """A decoder under a collapsed posterior."""

    def __init__(self, how):
        super().__init__()
        self.mean, self.how = nn.Parameter(torch.tensor([0.3, -0.2, 0.5])), how

    def forward(self, z):
        return {
            "constant": lambda: self.mean.expand(len(z), 3),
            "detached": lambda: self.mean + z.detach()[:, :1],
            "times zero": lambda: self.mean + 0 * z[:, :1],
        }[self.how]()


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("how", ["constant", "times zero"])
def test_a_decoder_that_ignores_z_has_one_likelihood(how, frozen):
    model = VAE(NoEncoder(), Ignoring(how).requires_grad_(not frozen), 2, normal(0.0))
    z = torch.zeros(5, 4, 2)
    expected = model.log_likelihood(X, z).detach().double()
    weights = (
        ais(model, X, 5, n_steps=4, generator=seeded(0)),
        -reverse_ais(model, X, z, n_steps=4, generator=seeded(0)),
    )
    for log_w in weights:
        torch.testing.assert_close(log_w, expected, rtol=1e-6, atol=1e-6)


def test_a_decoder_without_a_gradient_is_walked_without_a_force_and_without_a_bias():
    exact = LinearGaussian(torch.tensor([[1.0, 0.0]] * 3), 1.0, torch.tensor([0.3, -0.2, 0.5]))
    model, x = VAE(NoEncoder(), Ignoring("detached"), 2, normal(0.0)), torch.tensor([[0.5, -0.3, 0.7]])
    log_w = ais(model, x, 4_000, n_steps=5, n_leapfrog=3, generator=seeded(1))
    assert monte_carlo(torch.exp(log_w - exact.log_marginal(x))).z_score(1.0).abs().max() < FAR


def test_inside_inference_mode_it_gives_the_same():
    model, x = mlp_vae(3, 8, 2, bernoulli, seed=0), torch.ones(4, 3)
    z = random(5, 4, 2, seed=0).float()
    expected = (
        ais(model, x, 5, n_steps=4, generator=seeded(0)),
        reverse_ais(model, x, z, n_steps=4, generator=seeded(0)),
    )
    for context in (torch.inference_mode, torch.no_grad):
        with context():
            x_inside, z_inside = x + 0, z + 0
            log_w = ais(model, x_inside, 5, n_steps=4, generator=seeded(0))
            assert torch.equal(log_w, expected[0]) and not log_w.requires_grad
            assert torch.equal(reverse_ais(model, x_inside, z_inside, n_steps=4, generator=seeded(0)), expected[1])
            assert torch.is_inference_mode_enabled() == (context is torch.inference_mode)
    with torch.inference_mode():
        model = mlp_vae(3, 8, 2, bernoulli, seed=0)
        with pytest.raises(ValueError, match=r"^model was made inside torch.inference_mode\(\), .*make it outside"):
            ais(model, x, 5, n_steps=4)


def test_networks_without_parameters_are_walked_through():
    model, x = VAE(NoEncoder(), nn.Identity(), 2, normal(0.0)), torch.tensor([[0.5, -1.0]])
    exact = LinearGaussian(torch.eye(2), 1.0)
    log_w = ais(model, x, 2_000, n_steps=10, n_leapfrog=3, generator=seeded(0))
    assert monte_carlo(torch.exp(log_w - exact.log_marginal(x))).z_score(1.0).abs().max() < FAR


@pytest.mark.parametrize("call", ["ais", "reverse_ais"])
def test_it_measures_in_evaluation_mode_and_leaves_each_module_in_its_own(call):
    decoder = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    model = VAE(NoEncoder(), decoder, 2, bernoulli)
    decoder[2].eval()

    def measured():
        how = dict(n_steps=3, n_leapfrog=2, generator=seeded(0))
        return ais(model, X, 5, **how) if call == "ais" else reverse_ais(model, X, Z, **how)

    before, buffers = [m.training for m in model.modules()], [b.clone() for b in model.buffers()]
    log_w = measured()
    assert [m.training for m in model.modules()] == before and all(map(torch.equal, model.buffers(), buffers))
    model.eval()
    assert torch.equal(measured(), log_w)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_what_is_no_vae_is_named():
    for call in (lambda m: ais(m, X, 5, n_steps=3), lambda m: reverse_ais(m, X, Z, n_steps=3)):
        with pytest.raises(TypeError, match="^model must be a VAE, got Linear"):
            call(nn.Linear(3, 4))
