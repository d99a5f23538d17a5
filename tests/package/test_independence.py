"""Objectives with a price on total correlation: against loops, gradients by finite differences, runs that go on."""

import copy
import math

import pytest
import torch
from fixed import values
from torch import nn
from torch.distributions import MultivariateNormal, Normal
from torch.nn.functional import logsigmoid

from vae_tutorial import independence as module
from vae_tutorial.bounds import ElboTerms, elbo_terms
from vae_tutorial.checkpoints import CheckpointError, load, save
from vae_tutorial.independence import add_discriminator, beta_tcvae, factor_vae
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.posteriors import CouplingFlow
from vae_tutorial.priors import Mixture
from vae_tutorial.reference import grid
from vae_tutorial.total_correlation import gaussian_total_correlation, minibatch_stratified, minibatch_weighted
from vae_tutorial.training import fit

K, B, D, L = 2, 5, 4, 3
X = (values(B, D, seed=1) > 0).double()
EPS = values(K, B, L, seed=2)


def vae(seed=3, **how):
    model = mlp_vae(D, 6, L, bernoulli, seed=seed, **how).double()
    with torch.no_grad():
        model.encoder[-1].weight.mul_(3.0)
    return model


def by_loops(model, n_data, own, other):
    """The dependence of each example's draws, one density after the other; weights for the own example and others."""
    mu, log_var = model.encode(X)
    q = [Normal(m, torch.exp(0.5 * v)) for m, v in zip(mu, log_var, strict=True)]
    found = []
    for i in range(B):
        total = 0.0
        for k in range(K):
            z = mu[i] + torch.exp(0.5 * log_var[i]) * EPS[k, i]
            each = [(own if j == i else other) * one.log_prob(z).exp() for j, one in enumerate(q)]
            joint = sum((own if j == i else other) * one.log_prob(z).sum().exp() for j, one in enumerate(q))
            total = total + joint.log() - sum(e.log() for e in torch.stack(each).sum(0))
        found.append(total / K)
    return torch.stack(found)


N_DATA = 17
ESTIMATES = {
    "stratified": (minibatch_stratified, 1 / N_DATA, (N_DATA - 1) / (N_DATA * (B - 1))),
    "weighted": (minibatch_weighted, 1 / (N_DATA * B), 1 / (N_DATA * B)),
}


@pytest.mark.parametrize("kind", ESTIMATES)
@pytest.mark.parametrize("prior", ["standard normal", "mixture"])
def test_the_price_is_kl_and_dependence_value_and_gradient(kind, prior):
    estimate, own, other = ESTIMATES[kind]
    model = vae(**({} if prior == "standard normal" else dict(prior=Mixture(L, 2, seed=1))))
    found = module.beta_tcvae(2.5, N_DATA, estimate)(model, X, eps=EPS)
    plain = elbo_terms(model, X, eps=EPS)
    right = plain.kl + 2.5 * by_loops(model, N_DATA, own, other)
    torch.testing.assert_close(found.kl, right, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.log_likelihood, plain.log_likelihood, rtol=1e-12, atol=1e-12)
    weights = [p for p in model.parameters() if p.requires_grad]
    grads = [torch.autograd.grad(t.sum(), weights, allow_unused=True) for t in (found.kl, right)]
    for a, b in zip(*grads, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


def test_the_stratified_estimate_is_the_default():
    default = module.beta_tcvae(1.0, N_DATA)(vae(), X, eps=EPS).kl
    assert torch.equal(default, module.beta_tcvae(1.0, N_DATA, minibatch_stratified)(vae(), X, eps=EPS).kl)


def test_noise_comes_from_the_generator_or_as_given():
    model = vae()
    add_discriminator(model, 8, seed=0)
    for objective in (module.beta_tcvae(2.0, N_DATA), module.factor_vae(2.0)):
        draws = [objective(model, X, 4, generator=torch.Generator().manual_seed(s)).kl for s in (0, 0, 1)]
        assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
        eps = torch.randn(4, B, L, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        assert torch.equal(objective(model, X, eps=eps).kl, draws[0])


def test_without_a_price_it_is_the_elbo():
    model = vae()
    add_discriminator(model, 8, seed=0)
    plain = elbo_terms(model, X, eps=EPS)
    for objective in (module.beta_tcvae(0.0, N_DATA), module.factor_vae(0.0)):
        terms = objective(model, X, eps=EPS)
        torch.testing.assert_close(terms.elbo, plain.elbo, rtol=1e-12, atol=1e-12)


def logits_of(model, z):
    return model.discriminator(z)[..., 0]


def test_factor_vae_charges_the_logit_and_teaches_the_discriminator():
    model = vae()
    module.add_discriminator(model, (8, 7), seed=5)
    found = module.factor_vae(1.5)(model, X, eps=EPS)
    mu, log_var = model.encode(X)
    z = mu + torch.exp(0.5 * log_var) * EPS
    plain = elbo_terms(model, X, eps=EPS)
    torch.testing.assert_close(found.kl, plain.kl + 1.5 * logits_of(model, z).mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.log_likelihood, plain.log_likelihood, rtol=1e-12, atol=1e-12)

    parts = dict(model.named_parameters())
    theirs = [n for n in parts if n.startswith("discriminator")]
    ours = [n for n in parts if n not in theirs]
    loss = -(found.log_likelihood - found.kl).mean()
    grads = dict(zip(parts, torch.autograd.grad(loss, list(parts.values())), strict=True))
    price = (plain.kl + 1.5 * logits_of(model, z).mean(0) - plain.log_likelihood).mean()
    for name, right in zip(ours, torch.autograd.grad(price, [parts[n] for n in ours]), strict=True):
        torch.testing.assert_close(grads[name], right, rtol=1e-8, atol=1e-10)
    z = z.detach()
    mixed = torch.stack([torch.stack([z[k, (i - l) % B, l] for l in range(L)]) for k in range(K) for i in range(B)])  # noqa: E741
    entropy = -0.5 * (logsigmoid(logits_of(model, z)).mean() + logsigmoid(-logits_of(model, mixed)).mean())
    for name, right in zip(theirs, torch.autograd.grad(entropy, [parts[n] for n in theirs]), strict=True):
        torch.testing.assert_close(grads[name], right, rtol=1e-8, atol=1e-10)


def test_shifted_codes_take_each_dimension_from_another_example():
    z = torch.arange(2 * 5 * 3).reshape(2, 5, 3)
    mixed = module.shifted(z)
    for k in range(2):
        for i in range(5):
            assert len({(mixed[k, i, d].item() // 3) % 5 for d in range(3)}) == 3
        for d in range(3):
            assert sorted(mixed[k, :, d].tolist()) == sorted(z[k, :, d].tolist())


def test_the_best_discriminator_is_the_log_ratio_and_its_mean_the_total_correlation():
    """By L-BFGS over quadratics, on nodes of quadrature: no sample, no density ratio is told to it."""
    cov = torch.tensor([[1.4, 0.9], [0.9, 1.1]], dtype=torch.float64)
    z, cell = grid([-9.0] * 2, [9.0] * 2, 121)
    q = MultivariateNormal(torch.zeros(2).double(), cov)
    product = Normal(0.0, cov.diagonal().sqrt())
    p_joint, p_product = (t.exp() * cell for t in (q.log_prob(z), product.log_prob(z).sum(-1)))
    features = torch.stack([torch.ones(len(z)), z[:, 0] ** 2, z[:, 0] * z[:, 1], z[:, 1] ** 2], -1)
    w = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [w], max_iter=300, tolerance_grad=1e-14, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss():
        search.zero_grad()
        logit = features.double() @ w
        value = -0.5 * (p_joint @ logsigmoid(logit) + p_product @ logsigmoid(-logit))
        value.backward()
        return value

    search.step(loss)
    found = (features.double() @ w).detach()
    assert (p_joint @ found).item() == pytest.approx(gaussian_total_correlation(cov).item(), abs=1e-6)


def dependent(n=256):
    """Two pixels that are one number, and two that are another: a code that keeps them is free to mix them."""
    a = values(n, 2, seed=8).float()
    return torch.cat([a, a], -1) @ torch.tensor([[1.0, 0.6, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.6], [0, 0, 0, 1]])


HOW = dict(epochs=3, batch_size=64, seed=2, lr=3e-3, progress=False, device="cpu")


@pytest.mark.parametrize("kind", ["tcvae", "factor"])
def test_a_run_goes_on_from_its_checkpoint_to_the_same_bits(kind, tmp_path):
    def start():
        model = mlp_vae(4, 8, 2, normal(-1.0), seed=0)
        if kind == "factor":
            add_discriminator(model, 8, seed=1)
        return model

    objective = beta_tcvae(2.0, 256) if kind == "tcvae" else factor_vae(2.0)
    whole, halved, again = start(), start(), start()
    fit(whole, dependent(), objective=objective, **HOW)
    file = tmp_path / "run.safetensors"
    fit(halved, dependent(), objective=objective, checkpoint=file, **(HOW | dict(epochs=2)))
    fit(again, dependent(), objective=objective, checkpoint=file, resume=True, **HOW)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    if kind == "factor":
        assert not torch.equal(start().discriminator[0].weight, whole.discriminator[0].weight)
        lacking = mlp_vae(4, 8, 2, normal(-1.0), seed=0)
        with pytest.raises((CheckpointError, ValueError), match="discriminator"):
            fit(lacking, dependent(), objective=objective, checkpoint=file, resume=True, **HOW)


def test_held_out_examples_may_be_more_than_the_training_set():
    x, held_out = dependent(), dependent(700)
    model = mlp_vae(4, 8, 2, normal(-1.0), seed=0)
    price = beta_tcvae(2.0, 256)
    history = fit(model, x, held_out, objective=price, **HOW)
    eps = torch.randn(1, 700, 2, generator=torch.Generator().manual_seed(HOW["seed"]))
    whole = beta_tcvae(2.0, 700)(model, held_out, eps=eps).kl.mean().item()  # all of them are the data set
    assert history.val_kl[-1] == pytest.approx(whole, rel=1e-5)
    fewer = price(model.eval(), held_out[:100], eps=eps[:, :100]).kl  # N stays, where they are fewer
    torch.testing.assert_close(fewer, price(model.train(), held_out[:100], eps=eps[:, :100]).kl)


def test_on_a_code_that_stays_the_discriminator_learns_the_total_correlation():
    """By the objective's own gradient and Adam, as in fit; the code is Gaussian, so TC is known without it."""
    cov = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    draw = torch.Generator().manual_seed(0)
    model = mlp_vae(2, (), 2, normal(0.0), seed=0)
    with torch.no_grad():  # mu(x) = x and a variance of e⁻⁴
        model.encoder[0].weight.copy_(torch.cat([torch.eye(2), torch.zeros(2, 2)]))
        model.encoder[0].bias.copy_(torch.tensor([0.0, 0.0, -4.0, -4.0]))
    discriminator = add_discriminator(model, 32, seed=0)
    search = torch.optim.Adam(discriminator.parameters(), lr=3e-3)
    root = torch.linalg.cholesky(cov - math.exp(-4) * torch.eye(2))
    for _ in range(1500):
        terms = factor_vae(4.0)(model, torch.randn(256, 2, generator=draw) @ root.T, generator=draw)
        search.zero_grad()
        (terms.kl - terms.log_likelihood).mean().backward()
        search.step()
    z = torch.randn(20_000, 2, generator=draw) @ torch.linalg.cholesky(cov).T
    assert discriminator(z).mean().item() == pytest.approx(gaussian_total_correlation(cov).item(), rel=0.15)


@pytest.mark.parametrize("z", [torch.ones(3), torch.ones(3, 0), [[1.0]]])
def test_codes_have_two_axes_to_be_shifted(z):
    with pytest.raises(ValueError, match=r"z must have shape \(..., B, L\), got"):
        module.shifted(z)


def test_a_checkpoint_belongs_to_one_price(tmp_path):
    file = tmp_path / "run.safetensors"
    model = mlp_vae(4, 8, 2, normal(-1.0), seed=0)
    fit(model, dependent(), objective=beta_tcvae(2.0, 256), checkpoint=file, **(HOW | dict(epochs=1)))
    with pytest.raises(CheckpointError, match="belongs to another run: objective"):
        fit(model, dependent(), objective=beta_tcvae(3.0, 256), checkpoint=file, resume=True, **HOW)


def test_a_model_with_a_discriminator_is_not_saved_and_one_without_is(tmp_path):
    model = mlp_vae(4, 8, 2, normal(-1.0), seed=0)
    add_discriminator(model, 8, seed=1)
    with pytest.raises(CheckpointError, match="discriminator is .*Sequential, and would be nothing"):
        save(model, tmp_path / "model.safetensors")
    del model.discriminator
    save(model, tmp_path / "model.safetensors")
    assert torch.equal(load(tmp_path / "model.safetensors").decode(torch.ones(1, 2)), model.decode(torch.ones(1, 2)))


def test_the_discriminator_is_built_by_its_seed_where_the_model_is():
    state = torch.get_rng_state()
    one, same, other = (add_discriminator(vae(), (8, 7), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one[0].weight, same[0].weight) and not torch.equal(one[0].weight, other[0].weight)
    assert [tuple(p.shape) for p in one.parameters()] == [(8, 3), (8,), (7, 8), (7,), (1, 7), (1,)]
    assert one[0].weight.dtype == torch.float64 and isinstance(one[-1], nn.Linear)
    assert isinstance(one[1], nn.LeakyReLU) and one[1].negative_slope == 0.2
    widths = [layer.out_features for layer in add_discriminator(vae(), seed=0) if isinstance(layer, nn.Linear)]
    assert widths == [64, 64, 1]


def test_both_prices_lower_the_total_correlation_of_a_linear_code():
    """Two latents that may be mixed as they like: what is left of a start that mixes them."""
    x = dependent()
    left = {}
    for kind in ("elbo", "tcvae", "factor"):
        model = mlp_vae(4, (), 2, normal(-2.0), seed=4)
        with torch.no_grad():
            model.encoder[0].weight[:2] = torch.tensor([[0.5, 0.0, 0.5, 0.0], [0.5, 0.1, 0.5, 0.1]])
        if kind == "factor":
            add_discriminator(model, 32, seed=1)
        objective = {"elbo": elbo_terms, "tcvae": beta_tcvae(10.0, 256), "factor": factor_vae(10.0)}[kind]
        fit(model, x, objective=objective, **(HOW | dict(epochs=20)))
        with torch.no_grad():
            mu, log_var = model.encode(x)
            cov = torch.cov(mu.T) + torch.diag(log_var.exp().mean(0))
        left[kind] = gaussian_total_correlation(cov.double()).item()
    assert left["tcvae"] < 0.5 * left["elbo"] and left["factor"] < 0.8 * left["elbo"], left


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: beta_tcvae(-1.0, 10), ValueError, "gamma must be at least 0, got -1.0"),
        (lambda: beta_tcvae(math.nan, 10), ValueError, "gamma must be one finite number"),
        (lambda: beta_tcvae("1", 10), TypeError, "gamma must be one finite number"),
        (lambda: beta_tcvae(1.0, 0), ValueError, "n_data must be an integer of at least 1"),
        (lambda: beta_tcvae(1.0, 10, "weighted"), TypeError, "estimate must be a function"),
        (lambda: beta_tcvae(1.0, 3)(vae(), X), ValueError, "n_data must be at least the 5 examples"),
        (lambda: factor_vae(-0.5), ValueError, "gamma must be at least 0, got -0.5"),
        (lambda: factor_vae(1.0)(vae(), X), ValueError, r"has no discriminator: add_discriminator\(model, seed=0\)"),
        (lambda: add_discriminator("model", seed=0), TypeError, "model must be a VAE"),
        (lambda: add_discriminator(vae(), 0, seed=0), ValueError, "hidden_dim must be an integer of at least 1"),
        (
            lambda: beta_tcvae(1.0, 9)(vae(posterior=CouplingFlow(L, 1, 4, seed=0)), X),
            TypeError,
            "must be the posterior diagonal, got CouplingFlow",
        ),
    ],
)
def test_what_does_not_fit_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_objectives_are_elbo_terms_of_each_example():
    model = vae()
    add_discriminator(model, 4, seed=0)
    for objective in (beta_tcvae(1.0, 9), factor_vae(1.0)):
        terms = objective(copy.deepcopy(model), X)
        assert isinstance(terms, ElboTerms) and isinstance(model, VAE)
        assert terms.kl.shape == terms.log_likelihood.shape == (B,)
