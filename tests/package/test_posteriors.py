"""Flow posteriors: densities by quadrature through the inverse, bounds against exact ones, files, wrong input."""

import copy
import importlib
import math
import pickle
import types
from functools import partial
from pathlib import Path

import fixed
import pytest
import torch
from fixed import values
from torch import nn

from vae_tutorial.ais import ais
from vae_tutorial.bounds import elbo, elbo_terms, iwae_bound, iwae_terms, log_weights
from vae_tutorial.checkpoints import CheckpointError, load, save
from vae_tutorial.evaluation import marginal_log_likelihood, unit_activity
from vae_tutorial.flows import Flow, Permutation, Planar
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.posteriors import AutoregressiveFlow, CouplingFlow, Flowed, PlanarFlow, diagonal
from vae_tutorial.reference import LinearGaussian, grid, monte_carlo
from vae_tutorial.training import fit

moved = partial(fixed.moved, seed=0, scale=0.3)
L, D, B = 2, 3, 4


KINDS = {
    "planar": lambda: PlanarFlow(L, 3, seed=0),
    "coupling": lambda: CouplingFlow(L, 2, 6, seed=0),
    "autoregressive": lambda: AutoregressiveFlow(L, 2, 6, seed=0),
    "without context": lambda: Flowed(Planar(L, seed=2)),
}
each = pytest.mark.parametrize("build", KINDS.values(), ids=KINDS)


def parameters(posterior, n=B):
    return tuple(values(n, L, seed=i, scale=0.5) for i, _ in enumerate(posterior.names))


@each
def test_log_q_is_a_density_and_that_of_the_draws(build):
    """The density at z, by the inverse, integrates to one over a grid and has the moments of the draws."""
    posterior = moved(build())
    params = parameters(posterior, 1)
    with torch.no_grad():
        draws, log_q = posterior.sample(params, values(4000, 1, L, seed=9))
        context = params[2][0] if len(params) > 2 else None
        edge, _ = posterior.sample(params, grid([-6.5] * 2, [6.5] * 2, 41)[0][:, None])
        z, cell = grid(edge[:, 0].amin(0).tolist(), edge[:, 0].amax(0).tolist(), 401)
        back, log_det = posterior.flow.inverse(z, context)
        base = torch.distributions.Normal(params[0], torch.exp(0.5 * params[1]))
        density = (base.log_prob(back).sum(-1) + log_det).exp()
        assert density.sum().item() * cell == pytest.approx(1, abs=1e-5)
        old, log_det = posterior.flow.inverse(draws[:, 0], context)
    torch.testing.assert_close(log_q[:, 0], base.log_prob(old).sum(-1) + log_det, rtol=0, atol=1e-9)
    for moment in (lambda z: z, lambda z: z**2, lambda z: z[:, :1] * z[:, 1:]):
        assert monte_carlo(moment(draws[:, 0])).z_score(density @ moment(z) * cell).abs().max() < 6


@each
def test_the_estimated_mean_is_near_the_mean(build):
    posterior = moved(build())
    params = parameters(posterior)
    with torch.no_grad():
        draws, _ = posterior.sample(params, values(20_000, B, L, seed=5))
        estimate = posterior.mean(params)
        assert torch.equal(estimate, posterior.mean(params))
        assert ((estimate - draws.mean(0)) / draws.std(0)).abs().max() < 0.2
        tighter = ((estimate - draws.mean(0)) / draws.std(0)).pow(2).mean().sqrt()
    assert tighter < 0.06


def test_of_a_linear_flow_the_mean_is_exact():
    posterior = Flowed(Permutation([1, 0]))
    mu, log_var = values(B, L), values(B, L, seed=1)
    torch.testing.assert_close(posterior.mean((mu, log_var)), mu.flip(-1), rtol=0, atol=1e-12)
    assert posterior.gaussian((mu, log_var)) is None


# The linear model, for which log p(x) is known

W, NOISE = values(D, L, seed=10), 0.4
exact = LinearGaussian(W, NOISE)


def vae(posterior):
    torch.manual_seed(0)
    encoder = nn.Linear(D, len(posterior.names) * L).double()
    with torch.no_grad():
        encoder.weight.mul_(0.3)
    return VAE(encoder, exact.decoder(), L, normal(math.log(NOISE)), posterior=posterior)


@each
def test_weights_average_to_the_evidence(build):
    """E[w] = p(x) if log q is right; z-tests at five standard errors."""
    model, x = vae(moved(build(), scale=0.1)), exact.sample(B, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.encoder.bias[L : 2 * L] = 0.8  # q wider than the posterior, so that the weights have a variance
        log_w = log_weights(model, x, 40_000, generator=torch.Generator().manual_seed(2))
    assert monte_carlo(torch.exp(log_w - exact.log_marginal(x))).z_score(1.0).abs().max() < 5


@pytest.mark.parametrize("build", [KINDS["planar"], KINDS["autoregressive"]], ids=["planar", "autoregressive"])
def test_every_estimate_of_the_evidence_takes_a_flow(build):
    model, x = vae(moved(build(), scale=0.1)), exact.sample(B, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.encoder.bias[L : 2 * L] = 0.8
        seeded = [torch.Generator().manual_seed(i) for i in range(3)]
        for estimate in (
            iwae_bound(log_weights(model, x, 10_000, generator=seeded[0])),
            iwae_terms(model, x, 10_000, generator=seeded[1]).elbo,
            marginal_log_likelihood(model, x, 10_000, seed=2, progress=False),
        ):
            assert (estimate - exact.log_marginal(x)).abs().max() < 0.1
        log_w = ais(model, x, 100, n_steps=10, generator=seeded[2])
    assert monte_carlo(torch.exp(log_w - exact.log_marginal(x))).z_score(1.0).abs().max() < 5


@each
def test_the_bound_lies_below_the_evidence_by_the_divergence(build):
    model, x = vae(moved(build())), exact.sample(1, generator=torch.Generator().manual_seed(1))
    eps, cell = grid([-7.0] * L, [7.0] * L, 181)
    weights = torch.exp(-(eps**2).sum(-1) / 2) * cell / (2 * math.pi)
    with torch.no_grad():
        params = model.encode(x)
        z, log_q = model.posterior.sample(params, eps[:, None])
        bound = weights @ log_weights(model, x, eps=eps[:, None])
        divergence = weights @ (log_q - exact.posterior(x).log_prob(z))
    torch.testing.assert_close(bound + divergence, exact.log_marginal(x), rtol=0, atol=1e-9)


def test_before_anything_is_learned_the_affine_flows_are_the_diagonal_gaussian():
    mu, log_var, context, eps = (values(B, L, seed=i) for i in range(4))
    expected = diagonal.sample((mu, log_var), eps[None])
    for posterior in (CouplingFlow(L, 1, 6, seed=0).double(), AutoregressiveFlow(L, 1, 6, seed=0).double()):
        for came, right in zip(posterior.sample((mu, log_var, context), eps[None]), expected, strict=True):
            torch.testing.assert_close(came, right)


def test_layers_differ_and_the_seed_decides_them():
    posterior, same, other = (PlanarFlow(3, 2, seed=s) for s in (0, 0, 1))
    a, b = posterior.flow.flows
    assert not torch.equal(a.weight, b.weight)
    assert torch.equal(a.weight, same.flow.flows[0].weight) and not torch.equal(a.weight, other.flow.flows[0].weight)
    assert not torch.equal(b.weight, other.flow.flows[0].weight)


def test_every_dimension_is_moved_by_two_layers():
    for posterior in (moved(CouplingFlow(5, 2, 6, seed=0)), moved(AutoregressiveFlow(5, 2, 6, seed=0))):
        context = values(5)
        push = partial(posterior.flow.push, context=context)
        jacobian = torch.autograd.functional.jacobian(lambda z, push=push: push(z)[0], values(5, seed=3))
        undone = jacobian.flip(0)  # one reversal is left
        assert ((undone - torch.eye(5)).abs().amax(1) > 1e-3).all()


@each
def test_training_goes_through_a_flow(build):
    posterior = build()
    model = mlp_vae(D, 16, L, normal(0.0), seed=0, posterior=posterior)
    before = {name: value.clone() for name, value in posterior.state_dict().items()}
    x = values(256, D).float() * torch.tensor([2.0, 1.0, 0.5])
    history = fit(model, x, epochs=20, seed=0, lr=0.01, progress=False)
    assert history.elbo[-1] > history.elbo[0] + 0.3
    changed = [name for name, value in posterior.state_dict().items() if not torch.equal(value, before[name])]
    assert set(changed) == set(before)
    assert elbo(model, x[:4]).shape == (4,) and model.reconstruct(x[:4]).shape == (4, D)
    assert unit_activity(model, x).shape == (L,)


# Files, copies, wrong input

MODELS = {
    "planar": lambda: mlp_vae(D, 6, L, bernoulli, seed=0, posterior=PlanarFlow(L, 3, seed=4)),
    "coupling": lambda: mlp_vae(D, 6, L, bernoulli, seed=0, posterior=CouplingFlow(L, 2, 5, seed=-1)),
    "autoregressive": lambda: mlp_vae(D, 6, L, normal(0.1), seed=0, posterior=AutoregressiveFlow(L, 2, 5, seed=2)),
}


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_a_model_with_its_flow_comes_back_bit_for_bit(build, tmp_path):
    model, x = build(), (values(B, D) > 0).float()
    with torch.no_grad():
        for i, parameter in enumerate(model.posterior.parameters()):
            parameter.add_(values(*parameter.shape, seed=i, scale=0.2).float())
    save(model, tmp_path / "model.safetensors")
    eps = values(5, B, L).float()
    expected = log_weights(model.eval(), x, eps=eps)
    for again in (load(tmp_path / "model.safetensors"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(log_weights(again, x, eps=eps), expected)
        assert type(again.posterior) is type(model.posterior)
        assert torch.equal(again.reconstruct(x), model.reconstruct(x))
    save(copy.deepcopy(model), tmp_path / "again.safetensors")
    save(load(tmp_path / "model.safetensors"), tmp_path / "third.safetensors")


def test_a_flow_of_ones_own_is_not_saved_as_what_it_is_not(tmp_path):
    model = mlp_vae(D, 6, L, bernoulli, seed=0, posterior=Flowed(Planar(L, L, seed=0)))
    elbo_terms(model, (values(B, D) > 0).float())
    with pytest.raises(CheckpointError, match="(?s)the posterior .* does not say how to build it again"):
        save(model, tmp_path / "model.safetensors")
    model = mlp_vae(D, 6, L, bernoulli, seed=0, posterior=PlanarFlow(L, 2, seed=0))
    model.posterior = PlanarFlow(L, 3, seed=0)
    with pytest.raises(CheckpointError):
        save(model, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_layers, hidden_dim", [(10**9, 5), (2, 10**9), (40, 5)])
def test_a_file_that_asks_for_more_than_it_holds_is_refused(n_layers, hidden_dim, tmp_path):
    model = MODELS["coupling"]()
    arguments = model.description["arguments"]["posterior"]["arguments"]
    from vae_tutorial.checkpoints.describe import build

    arguments |= {"n_layers": n_layers, "hidden_dim": hidden_dim}
    with pytest.raises(CheckpointError):
        build(model.description, model.state_dict())


NEW = KINDS["planar"]


class NoFlow:
    latent_dim = 2


@pytest.mark.parametrize(
    "call, error, said",
    [
        (lambda: Flowed(nn.Linear(2, 2)), TypeError, "flow must be a Flow, such as flows.Planar(2, seed=0)"),
        (lambda: Flowed(NoFlow()), TypeError, "flow must be a Flow"),
        (lambda: Flowed(Planar(2, 3, seed=0)), ValueError, "the flow must have a context_dim of 0 or"),
        (lambda: PlanarFlow(0, 2, seed=0), ValueError, "latent_dim must be an integer of at least 1"),
        (lambda: PlanarFlow(2, 0, seed=0), ValueError, "n_layers must be an integer of at least 1"),
        (lambda: PlanarFlow(2, 2, seed=None), TypeError, "seed must be an integer"),
        (lambda: CouplingFlow(1, 2, 4, seed=0), ValueError, "latent_dim must be at least 2"),
        (lambda: CouplingFlow(2, 2, 0, seed=0), ValueError, "hidden_dim must be an integer of at least 1"),
        (lambda: AutoregressiveFlow(2, True, 4, seed=0), ValueError, "n_layers must be an integer of at least 1"),
        (
            lambda: elbo(mlp_vae(D, 6, 3, bernoulli, seed=0, posterior=PlanarFlow(2, 2, seed=0)), torch.ones(4, D)),
            ValueError,
            "the posterior has latent_dim=2, the model 3: they must be the same",
        ),
        (
            lambda: VAE(
                nn.Linear(D, 2 * L), nn.Linear(L, D), L, normal(0.0), posterior=PlanarFlow(L, 1, seed=0)
            ).encode(torch.ones(2, D)),
            ValueError,
            "the encoder must give mu and log_var and context, shape (2, 6) for latent_dim=2, got (2, 4)",
        ),
    ],
)
def test_wrong_input_is_named(call, error, said):
    with pytest.raises(error) as caught:
        call()
    assert said in str(caught.value)


# Planted mistakes: edits of the module's source, judged by what the tests above compare


def rebuilt(name, old, new):
    source = Path(importlib.import_module(name).__file__).read_text(encoding="utf-8")
    module = types.ModuleType(name)
    exec(compile(source.replace(old, new), name, "exec"), module.__dict__)
    return module, source.count(old)


def broken(old, new):
    """The module with an edit of its source, and with that of flows, which makes its layers, edited alike."""
    module, n = rebuilt("vae_tutorial.posteriors", old, new)
    module.flows, n_in_flows = rebuilt("vae_tutorial.flows", old, new)
    assert n + n_in_flows >= 1, old
    return module


def judge(module):
    for i, build in enumerate((module.PlanarFlow, module.CouplingFlow, module.AutoregressiveFlow)):
        posterior = moved(build(L, 3, seed=i) if i == 0 else build(L, 3, 6, seed=i))
        assert posterior.names == ("mu", "log_var", "context") and posterior.n_layers == 3 and posterior.seed == i
        assert i == 0 or posterior.hidden_dim == 6
        params, eps = parameters(posterior), values(3, B, L, seed=8)
        z, log_q = posterior.sample(params, eps)
        base = torch.distributions.Normal(params[0], torch.exp(0.5 * params[1]))
        old, log_det = posterior.flow.inverse(z, params[2])
        torch.testing.assert_close(old, params[0] + torch.exp(0.5 * params[1]) * eps, rtol=0, atol=1e-9)
        torch.testing.assert_close(log_q, base.log_prob(old).sum(-1) + log_det, rtol=0, atol=1e-9)
        draws, _ = posterior.sample(params, values(20_000, B, L, seed=5))
        assert ((posterior.mean(params) - draws.mean(0)) / draws.std(0)).pow(2).mean().sqrt() < 0.06
        assert torch.equal(posterior.mean(params), posterior.mean(params))
        assert posterior.gaussian(params) is None
        fresh = build(L, 3, seed=i) if i == 0 else build(L, 3, 6, seed=i)
        weights = [w for w in fresh.parameters() if w.ndim > 1 and w.any()]
        assert not any(torch.equal(a, b) for n, a in enumerate(weights) for b in weights[:n] if a.shape == b.shape)
        if i:
            assert [f.order for f in posterior.flow.flows if isinstance(f, module.flows.Permutation)] == [(1, 0)] * 2
            assert not isinstance(posterior.flow.flows[-1], module.flows.Permutation)
    linear = module.Flowed(module.flows.Permutation([1, 0]))
    assert linear.names == ("mu", "log_var")
    torch.testing.assert_close(linear.mean((values(B, L), values(B, L, seed=1))), values(B, L).flip(-1))


LOG_Q = "formulas.log_normal(z_0, mu, log_var) - log_det"
DRAW = "formulas.reparameterize(mu, log_var, eps)"
CONTEXT = "self.flow.push(z_0, context[0] if context else None)"
MEAN = "return self.sample(params, eps)[0].mean(0)"
SEEDED = "generator=torch.Generator().manual_seed(0), "
SEEDS = 'torch.randint(2**62, (int(n_layers),), generator=generator, device="cpu").tolist()'
NAMES = 'flow.context_dim else ("mu", "log_var")'
PLANTED = {
    "log-determinant added": (LOG_Q, LOG_Q.replace(" - ", " + ")),
    "log-determinant forgotten": (LOG_Q, LOG_Q.replace(" - log_det", "")),
    "log-determinant twice": (LOG_Q, LOG_Q.replace(" - log_det", " - 2 * log_det")),
    "log-determinant over the batch": (LOG_Q, LOG_Q + ".sum()"),
    "log q₀ at the image": (LOG_Q, LOG_Q.replace("z_0", "z")),
    "a standard Gaussian below": (LOG_Q, "formulas.log_standard_normal(eps) - log_det"),
    "the variance for the standard deviation": (DRAW, DRAW.replace("log_var", "2 * log_var")),
    "no mean": (DRAW, DRAW.replace("(mu", "(0 * mu")),
    "the context left out": (CONTEXT, CONTEXT.replace("context[0]", "0 * context[0]")),
    "mu for the context": (CONTEXT, CONTEXT.replace("context[0]", "mu")),
    "the way back for the way there": (CONTEXT, CONTEXT.replace("push", "pull")),
    "the mean of the Gaussian": (MEAN, "return mu"),
    "the image of the mean": (MEAN, MEAN.replace("eps", "0 * eps")),
    "new noise for each mean": (SEEDED, ""),
    "noise without its mirror image": ("torch.cat([noise, -noise])", "torch.cat([noise, noise])"),
    "all layers with one seed": (SEEDS, "[0] * n_layers"),
    "one layer less": (SEEDS, SEEDS.replace("(int(n_layers),)", "(int(n_layers) - 1,)")),
    "no reversal": ("layer, Permutation(turn)", "layer, Permutation(range(layers[0].latent_dim))"),
    "a reversal at the end": ("Composition(*between[:-1])", "Composition(*between)"),
    "context of no use": (NAMES, NAMES.replace("flow.context_dim", "False")),
}


@pytest.mark.parametrize("old, new", PLANTED.values(), ids=PLANTED)
def test_a_planted_mistake_is_caught(old, new):
    module = broken(old, new)
    with pytest.raises((AssertionError, RuntimeError, TypeError, IndexError, ValueError)):
        judge(module)


def test_the_module_rebuilt_without_a_mistake_passes():
    judge(broken("L latent dimensions", "L latent dimensions"))


def test_a_flow_without_a_way_back_can_be_drawn_from():
    class Doubled(Flow):
        def push(self, z, context):
            return 2 * z, z.new_full(z.shape[:-1], self.latent_dim * math.log(2))

    mu, log_var, eps = values(B, L), values(B, L, seed=1), values(3, B, L, seed=2)
    z, log_q = Flowed(Doubled(L)).sample((mu, log_var), eps)
    expected = torch.distributions.Normal(2 * mu, 2 * torch.exp(0.5 * log_var)).log_prob(z).sum(-1)
    torch.testing.assert_close(log_q, expected)
