"""VampPrior, flow prior and aggregated posterior: by SciPy, quadrature, autograd's Jacobian, and saved models."""

import copy
import math
import pickle

import pytest
import torch
from fixed import values
from safetensors import safe_open
from scipy import stats
from torch import nn

from vae_tutorial.bounds import elbo, log_weights
from vae_tutorial.checkpoints import CheckpointError, load, save
from vae_tutorial.evaluation import marginal_log_likelihood
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.posteriors import PlanarFlow, Posterior
from vae_tutorial.priors import FlowPrior, Gaussian, Mixture, Prior, VampPrior, aggregated_posterior, standard_normal
from vae_tutorial.reference import grid, kl_quadrature, monte_carlo
from vae_tutorial.training import fit

D, L, C, B, K = 5, 2, 3, 4, 6


def vamp_model(**how):
    how = dict(likelihood=normal(-1.0), prior=VampPrior(D, C, seed=1), activation=nn.Tanh, seed=0) | how
    return mlp_vae(D, 7, L, **how).double()


def by_scipy(z, mu, log_var):
    """The log-density of an equal mixture, from probabilities."""
    sd = torch.exp(0.5 * log_var).detach().numpy()
    parts = [stats.norm.pdf(z.numpy(), m, s).prod(-1) for m, s in zip(mu.detach().numpy(), sd, strict=True)]
    return torch.from_numpy(sum(parts) / len(parts)).log()


# The density


def test_a_vamp_prior_is_the_mean_of_the_encoders_posteriors():
    model, z = vamp_model(), values(K, B, L, scale=2.0)
    mu, log_var = model.encode(torch.sigmoid(model.prior.raw))
    torch.testing.assert_close(model.log_prior(z).detach(), by_scipy(z, mu, log_var), rtol=0, atol=1e-12)


def test_with_its_data_for_pseudo_inputs_it_is_the_aggregated_posterior():
    model, x = vamp_model(prior=VampPrior(D, 9, seed=1, interval=None)), values(9, D, seed=3)
    with torch.no_grad():
        model.prior.raw.copy_(x)
    z = values(20, L, seed=4)
    q = aggregated_posterior(model, x)
    torch.testing.assert_close(model.log_prior(z), q.log_prob(z), rtol=0, atol=1e-12)
    torch.testing.assert_close(q.log_prob(z), by_scipy(z, *model.encode(x)), rtol=0, atol=1e-12)
    like = dict(like=z, generator=torch.Generator().manual_seed(0))
    again = dict(like=z, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.prior.sample((7, L), **like), q.sample((7, L), **again), rtol=0, atol=1e-9)


@pytest.mark.parametrize("interval", [(0.0, 1.0), (-1.0, 1.0), (2, 5), None], ids=str)
def test_pseudo_inputs_stay_where_data_can_be(interval):
    prior = VampPrior(D, C, seed=0, interval=interval).double()
    with torch.no_grad():
        prior.raw.copy_(values(C, D, scale=50.0))
    u = prior.pseudo_inputs()
    if interval is None:
        assert torch.equal(u, prior.raw)
    else:
        assert interval[0] <= u.min() < u.max() <= interval[1]
        middle = VampPrior(D, C, seed=0, interval=interval)
        with torch.no_grad():
            middle.raw.zero_()
        assert middle.pseudo_inputs().mean().item() == pytest.approx(sum(interval) / 2)


@pytest.mark.parametrize("interval", [(0.0, 1.0), (-2.0, 3.0), None], ids=str)
def test_pseudo_inputs_begin_at_examples(interval):
    prior = VampPrior(D, C, seed=0, interval=interval).double()
    x = values(C, D) if interval is None else torch.tensor(interval).double()[(values(C, D) > 0).long()]
    before = prior.raw.clone()
    prior.start_at(x)
    middle = x if interval is None else sum(interval) / 2
    torch.testing.assert_close(prior.pseudo_inputs().detach(), 0.9 * x + 0.1 * middle, rtol=0, atol=1e-12)
    assert prior.raw.requires_grad and (prior.raw != before).all()
    with pytest.raises(ValueError, match=r"x must be C examples, shape \(3, 5\), got \(2, 5\)"):
        prior.start_at(x[:2])
    if interval:
        with pytest.raises(ValueError, match=r"x must lie in interval=.*, got"):
            prior.start_at(4 * x + 3)


def test_a_flow_prior_follows_its_flow_by_the_full_jacobian():
    prior = FlowPrior(3, 3, 8, seed=2).double()
    with torch.no_grad():
        for i, parameter in enumerate(prior.parameters()):
            parameter.add_(values(*parameter.shape, seed=i, scale=0.4))
    u = values(B, 3, seed=9)
    for point in u:
        z = prior.flow(point[None])[0][0]
        jacobian = torch.autograd.functional.jacobian(lambda v: prior.flow(v[None])[0][0], point)
        expected = stats.norm.logpdf(point.numpy()).sum() - torch.linalg.slogdet(jacobian).logabsdet
        assert prior.log_prob(z[None]).item() == pytest.approx(expected.item(), abs=1e-10)
    untouched = FlowPrior(3, 2, 8, seed=0).double()
    torch.testing.assert_close(untouched.log_prob(u), standard_normal.log_prob(u))


def test_a_flow_prior_has_couplings_of_their_own_with_the_dimensions_turned_in_between():
    parts = list(FlowPrior(3, 3, 8, seed=2).flow.flows)
    assert [type(part).__name__ for part in parts] == ["Coupling", "Permutation"] * 2 + ["Coupling"]
    weights = [torch.cat([p.detach().flatten() for p in part.parameters()]) for part in parts[::2]]
    assert not any(torch.equal(weights[i], weights[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    torch.testing.assert_close(parts[1](torch.tensor([[1.0, 2.0, 3.0]]))[0], torch.tensor([[3.0, 2.0, 1.0]]))


def test_samples_of_a_flow_prior_are_what_its_flow_makes_of_noise():
    prior = FlowPrior(2, 2, 8, seed=2).double()
    draw = prior.sample((5, 2), like=values(1), generator=torch.Generator().manual_seed(1))
    noise = torch.randn(5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(draw, prior.flow(noise)[0])


def test_every_component_of_a_vamp_prior_is_drawn_equally_often():
    prior = VampPrior(1, 3, seed=0, interval=None)
    VAE(nn.Linear(1, 2), nn.Linear(1, 1), 1, normal(0.0), prior=prior).double()
    with torch.no_grad():
        prior.raw.copy_(torch.tensor([[-100.0], [0.0], [100.0]]))
        encoder = prior.belongs_to().encoder
        encoder.weight.copy_(torch.tensor([[1.0], [0.0]]))
        encoder.bias.zero_()
    prior.double()
    z = prior.sample((30_000, 1), like=values(1), generator=torch.Generator().manual_seed(0)).detach()
    came = torch.stack([(z < -50).double(), (z.abs() < 50).double(), (z > 50).double()], 1)
    assert monte_carlo(came).z_score(torch.full((3, 1), 1 / 3).double()).abs().max() < 5
    assert monte_carlo((z - 100 * torch.round(z / 100)) ** 2).z_score(1.0).abs().max() < 5


# The best prior: the gain of the ELBO is KL(q(z) ‖ p(z)), by two routes that share no formula


@pytest.mark.parametrize("n_dims", [1, 2])
def test_the_aggregated_posterior_raises_the_mean_elbo_by_the_mismatch(n_dims):
    model = mlp_vae(D, 7, n_dims, normal(-1.0), seed=0, activation=nn.Tanh).double().requires_grad_(False)
    x = values(6, D, seed=5, scale=2.0)
    q = aggregated_posterior(model, x)
    mu, log_var = model.encode(x)
    nodes, _ = grid([-10.0] * n_dims, [10.0] * n_dims, 241)
    weights = torch.exp(stats_log_normal(nodes)) * (20 / 240) ** n_dims
    z = mu + torch.exp(0.5 * log_var) * nodes[:, None]  # (nodes, B, L)
    log_q = stats_log_normal(nodes)[:, None] - 0.5 * log_var.sum(-1)

    def mean_elbo():
        return (weights[:, None] * (model.log_likelihood(x, z) + model.log_prior(z) - log_q)).sum(0).mean()

    before = mean_elbo()
    model.prior = q
    gain = mean_elbo() - before
    mismatch = kl_quadrature(q.log_prob, standard_normal.log_prob, [-20.0] * n_dims, [20.0] * n_dims, 401)
    assert mismatch > 1e-3
    assert gain.item() == pytest.approx(mismatch.item(), abs=1e-10)
    for seed in range(3):  # no other prior does better
        model.prior = Mixture(n_dims, 4, seed=seed).double().requires_grad_(False)
        assert mean_elbo() < before + gain


def stats_log_normal(z):
    return torch.from_numpy(stats.norm.logpdf(z.numpy()).sum(-1))


# Gradients


def test_a_bound_teaches_encoder_and_pseudo_inputs_by_the_prior_too():
    model, x, eps = vamp_model(), values(B, D, seed=6), values(K, B, L, seed=7)
    elbo(model, x, eps=eps).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    step = 1e-6
    for parameter in (model.prior.raw, model.encoder[0].weight):
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter[1, 2] += sign * step
                sides.append(elbo(model, x, eps=eps).sum().item())
                parameter[1, 2] -= sign * step
        assert parameter.grad[1, 2].item() == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-5)


@pytest.mark.parametrize(
    "prior", [VampPrior(D, C, seed=1, interval=None), FlowPrior(L, 2, 8, seed=0)], ids=["vamp", "flow"]
)
def test_a_prior_is_trained_with_the_model(prior):
    model = mlp_vae(D, 7, L, normal(-1.0), seed=0, prior=prior)
    before = {name: value.clone() for name, value in prior.named_parameters()}
    history = fit(model, values(128, D).float(), epochs=8, seed=0, lr=0.01, device="cpu", progress=False)
    assert history.elbo[-1] > history.elbo[0] + 0.5
    assert all((value != before[name]).any() for name, value in prior.named_parameters())


# One encoder, held once


def test_the_encoder_is_registered_once():
    model = vamp_model()
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert [name for name in names if name.startswith("prior")] == ["prior.raw"]
    assert sorted(names) == sorted(model.state_dict())
    assert [name for name, _ in model.prior.named_modules()] == [""]
    assert sum(p.numel() for p in model.parameters()) == sum(v.numel() for v in model.state_dict().values())


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES.keys())
def test_a_copy_has_a_prior_of_its_own_encoder(copied):
    model, z = vamp_model(), values(B, L)
    before = model.log_prior(z)
    again = copied(model)
    assert again.prior.belongs_to() is again and model.prior.belongs_to() is model
    assert torch.equal(again.log_prior(z), before)
    with torch.no_grad():
        again.encoder[0].weight.add_(1.0)
    assert torch.equal(model.log_prior(z), before) and not torch.equal(again.log_prior(z), before)


@pytest.mark.parametrize(
    "prior",
    [
        lambda: VampPrior(D, C, seed=1),
        lambda: VampPrior(D, C, seed=1, interval=(-1, 2.5)),
        lambda: VampPrior(D, C, seed=1, interval=None),
        lambda: FlowPrior(L, 2, 4, seed=3),
    ],
)
def test_a_model_comes_back_bit_for_bit(prior, tmp_path):
    model, x = mlp_vae(D, 7, L, bernoulli, seed=0, prior=prior()), (values(B, D) > 0).float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    save(model, tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert sorted(file.keys()) == sorted(dict(model.named_parameters()))
    again, eps = load(tmp_path / "model.safetensors"), values(K, B, L).float()
    assert torch.equal(log_weights(again, x, eps=eps), log_weights(model.eval(), x, eps=eps))
    assert type(again.prior) is type(model.prior) and again.prior.extra_repr() == model.prior.extra_repr()


def test_a_run_goes_on_from_its_checkpoint_bit_for_bit(tmp_path):
    x = values(64, D).float()

    def trained(epochs, **kept):
        model = mlp_vae(D, 7, L, normal(-1.0), seed=0, prior=VampPrior(D, C, seed=1))
        fit(model, x, epochs=epochs, seed=0, device="cpu", progress=False, **kept)
        return model.state_dict()

    whole = trained(4)
    trained(2, checkpoint=tmp_path / "run")
    resumed = trained(4, checkpoint=tmp_path / "run", resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_every_estimate_knows_the_prior():
    """log p(x) under a VampPrior, by importance sampling and by quadrature over z."""
    model = vamp_model().requires_grad_(False)
    x = values(3, D, seed=8)
    nodes, cell = grid([-9.0] * 2, [9.0] * 2, 301)
    log_joint = model.log_likelihood(x, nodes[:, None].expand(-1, 3, -1)) + model.log_prior(nodes)[:, None]
    exact = torch.logsumexp(log_joint, 0) + math.log(cell)
    estimate = marginal_log_likelihood(model, x, 20_000, seed=0, progress=False)
    assert (estimate - exact).abs().max() < 0.03


# What is refused


def test_a_vamp_prior_belongs_to_one_model():
    prior = VampPrior(D, C, seed=0)
    with pytest.raises(RuntimeError, match=r"has no encoder before it belongs to a model: VAE\(…, prior=prior\)"):
        prior.log_prob(values(B, L))
    assert prior.belongs_to() is None and standard_normal.belongs_to() is None
    model = mlp_vae(D, 7, L, normal(0.0), seed=0, prior=prior)
    prior.attach(model)
    with pytest.raises(ValueError, match="belongs to another model, whose encoder makes it: make one for each model"):
        mlp_vae(D, 7, L, normal(0.0), seed=0, prior=prior)
    other = mlp_vae(D, 7, L, normal(0.0), seed=0)
    with pytest.raises(ValueError, match="belongs to another model, .* hands the pseudo-inputs over"):
        other.prior = prior
    assert other.prior is standard_normal
    other.prior = own = VampPrior(D, C, seed=0)
    assert own.belongs_to() is other and elbo(other, values(B, D).float()).shape == (B,)
    other.prior = standard_normal
    other.prior = own  # its own may go and come back


class NoDensity(Posterior):
    names = ("mu",)

    def sample(self, params, eps):
        return params[0] + eps, -0.5 * (eps**2).sum(-1)

    def mean(self, params):
        return params[0]


def test_without_a_gaussian_posterior_there_is_no_mixture():
    model = VAE(nn.Linear(D, L), nn.Linear(L, D), L, normal(0.0), VampPrior(D, C, seed=0), NoDensity())
    with pytest.raises(
        TypeError, match=r"a VampPrior needs a Gaussian posterior, such as posteriors.diagonal, got NoDensity"
    ):
        model.log_prior(torch.zeros(B, L))
    with pytest.raises(
        TypeError, match=r"the posterior must be a Gaussian, such as posteriors.diagonal, got NoDensity"
    ):
        aggregated_posterior(model, torch.zeros(B, D))
    flow = mlp_vae(D, 7, L, normal(0.0), seed=0, posterior=PlanarFlow(L, 1, seed=0))
    with pytest.raises(TypeError, match="the posterior must be a Gaussian"):
        aggregated_posterior(flow, torch.zeros(B, D))
    for wrong, name in ((lambda x: x, "function"), (nn.Linear(D, L), "Linear")):
        with pytest.raises(TypeError, match=f"model must be a VAE, got {name}"):
            aggregated_posterior(wrong, torch.zeros(B, D))
    with pytest.raises(NotImplementedError, match=r"OfNone must have a method components\(\)"):
        type("OfNone", (type(Mixture(1, 1, seed=0)).__mro__[1],), {})().log_prob(torch.zeros(B, L))


@pytest.mark.parametrize(
    "build, error, words",
    [
        (lambda: VampPrior(0, C, seed=0), ValueError, "x_dim must be an integer of at least 1"),
        (lambda: VampPrior(D, 1.5, seed=0), ValueError, "n_components must be an integer of at least 1"),
        (lambda: VampPrior(D, C, seed=0.5), TypeError, "seed must be an integer"),
        (lambda: VampPrior(D, C, seed=0, interval=(1.0, 0.0)), ValueError, r"\(a, b\) with a < b"),
        (lambda: VampPrior(D, C, seed=0, interval=(1.0, 1.0)), ValueError, r"\(a, b\) with a < b"),
        (lambda: VampPrior(D, C, seed=0, interval=(0.0,)), ValueError, "interval must be two numbers"),
        (lambda: VampPrior(D, C, seed=0, interval=1.0), ValueError, "interval must be two numbers"),
        (lambda: VampPrior(D, C, seed=0, interval="ab"), ValueError, "interval must be two numbers"),
        (lambda: VampPrior(D, C, seed=0, interval=(0.0, math.inf)), ValueError, "interval must be one finite number"),
        (lambda: VampPrior(D, C, seed=0, interval=(0.0, "1")), TypeError, "interval must be one finite number"),
        (lambda: FlowPrior(1, 2, 8, seed=0), ValueError, "latent_dim must be at least 2"),
        (lambda: FlowPrior(2, 0, 8, seed=0), ValueError, "n_layers must be an integer of at least 1"),
        (lambda: FlowPrior(2, 2, 0, seed=0), ValueError, "hidden_dim must be an integer of at least 1"),
        (lambda: FlowPrior(2, 2, 8, seed="0"), TypeError, "seed must be an integer"),
        (lambda: aggregated_posterior(vamp_model(), values(D)), ValueError, r"x must have shape \(B, D\)"),
        (lambda: aggregated_posterior(vamp_model(), values(B, D), batch_size=0), ValueError, "batch_size"),
        (lambda: vamp_model().log_prior(values(B, 3)), ValueError, "z must have the 2 latent dimensions of the prior"),
        (lambda: FlowPrior(2, 2, 8, seed=0).log_prob(torch.zeros(B, 3)), ValueError, "z must have the 2 latent dim"),
        (lambda: vamp_model().log_prior(values(B, L) * math.nan), ValueError, "z must be finite"),
        (lambda: vamp_model().prior.sample((B, 1), like=values(1)), ValueError, "z must have the 2 latent dim"),
        (lambda: Mixture(2, 3, seed=0).sample((B, 1), like=values(1)), ValueError, "z must have the 2 latent dim"),
        (lambda: Gaussian(2).sample((B, 1), like=values(1)), ValueError, "z must have the 2 latent dim"),
        (lambda: FlowPrior(2, 2, 8, seed=0).sample((B, 1), like=values(1)), ValueError, "the 2 latent dimensions"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(build, error, words):
    with pytest.raises(error, match=words):
        build()


def test_a_file_cannot_ask_for_more_than_it_holds(tmp_path):
    model = mlp_vae(D, 7, L, bernoulli, seed=0, prior=VampPrior(D, C, seed=1))
    model.description["arguments"]["prior"]["arguments"]["n_components"] = 10**9
    with pytest.raises(CheckpointError, match="a prior larger than all"):
        save(model, tmp_path / "model")


def test_measuring_an_aggregated_posterior_changes_nothing():
    model = VAE(nn.Sequential(nn.Dropout(0.5), nn.Linear(D, 2 * L)), nn.Linear(L, D), L, normal(0.0)).double()
    x = values(9, D)
    q = aggregated_posterior(model, x, batch_size=2)
    assert model.training and model.encoder[0].training
    torch.testing.assert_close(q.mu, aggregated_posterior(model, x).mu)  # without dropout, whatever the batches
    assert not any(p.requires_grad for p in q.parameters()) and q.n_components == 9 and q.mu.dtype == torch.float64


# Power: each of these wrong priors must fail the oracles above

WRONG = {
    "1/C missing": ("components", lambda s, f: (0 * f(s)[0], *f(s)[1:])),
    "variance for log-variance": ("components", lambda s, f: (f(s)[0], f(s)[1], f(s)[2].exp())),
    "standard deviation for variance": ("components", lambda s, f: (f(s)[0], f(s)[1], 0.5 * f(s)[2])),
    "means for log-variances": ("components", lambda s, f: (f(s)[0], f(s)[1], f(s)[1])),
    "log-variances for means": ("components", lambda s, f: (f(s)[0], f(s)[2], f(s)[2])),
    "the first component alone": ("components", lambda s, f: (f(s)[0][:1] * 0, f(s)[1][:1], f(s)[2][:1])),
    "components without variance": ("components", lambda s, f: (f(s)[0], f(s)[1], 0 * f(s)[2])),
    "raw parameters encoded": ("pseudo_inputs", lambda s, f: s.raw),
    "twice the logistic function": ("pseudo_inputs", lambda s, f: torch.sigmoid(f(s))),
    "clipped": ("pseudo_inputs", lambda s, f: s.raw.clamp(0, 1)),
    "mean of the logarithms": ("log_prob", lambda s, f, z: parts(s, z).mean(-1)),
    "largest component": ("log_prob", lambda s, f, z: parts(s, z).amax(-1) - math.log(C)),
    "each dimension by itself": ("log_prob", lambda s, f, z: by_dimension(s, z)),
    "the sign": ("log_prob", lambda s, f, z: -f(s, z)),
}  # fmt: skip


def parts(prior, z):
    _, mu, log_var = prior.components()
    return torch.distributions.Normal(mu, (0.5 * log_var).exp()).log_prob(z[..., None, :]).sum(-1)


def by_dimension(prior, z):
    _, mu, log_var = prior.components()
    each = torch.distributions.Normal(mu, (0.5 * log_var).exp()).log_prob(z[..., None, :])
    return (torch.logsumexp(each, -2) - math.log(C)).sum(-1)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_vamp_prior_is_noticed(name, monkeypatch):
    method, wrong = WRONG[name]
    right = getattr(VampPrior, method)
    monkeypatch.setattr(VampPrior, method, lambda s, *given: wrong(s, right, *given))
    with pytest.raises(AssertionError):
        test_a_vamp_prior_is_the_mean_of_the_encoders_posteriors()


FLOW_WRONG = {
    "no volume": lambda s, z: standard(s.flow.inverse(z)[0]),
    "volume subtracted": lambda s, z: standard(s.flow.inverse(z)[0]) - s.flow.inverse(z)[1],
    "volume once per dimension": lambda s, z: standard(s.flow.inverse(z)[0]) + z.shape[-1] * s.flow.inverse(z)[1],
    "forward for inverse": lambda s, z: standard(s.flow(z)[0]) + s.flow(z)[1],
    "density at z": lambda s, z: standard(z) + s.flow.inverse(z)[1],
    "half the volume": lambda s, z: standard(s.flow.inverse(z)[0]) + 0.5 * s.flow.inverse(z)[1],
    "volume for its logarithm": lambda s, z: standard(s.flow.inverse(z)[0]) + s.flow.inverse(z)[1].exp(),
    "absolute value of the logarithm": lambda s, z: standard(s.flow.inverse(z)[0]) - s.flow.inverse(z)[1].abs(),
    "mean over the dimensions": lambda s, z: standard(s.flow.inverse(z)[0]) / z.shape[-1] + s.flow.inverse(z)[1],
    "no constant": lambda s, z: -0.5 * (s.flow.inverse(z)[0] ** 2).sum(-1) + s.flow.inverse(z)[1],
    "squares not halved": lambda s, z: 2 * standard(s.flow.inverse(z)[0]) + s.flow.inverse(z)[1],
    "the first layer alone": lambda s, z: standard(s.flow.flows[0].inverse(z)[0]) + s.flow.flows[0].inverse(z)[1],
    "volume of the wrong point": lambda s, z: standard(s.flow.inverse(z)[0]) - s.flow(z)[1],
}


def standard(u):
    return torch.distributions.Normal(0.0, 1.0).log_prob(u).sum(-1)


@pytest.mark.parametrize("name", FLOW_WRONG)
def test_a_wrong_flow_prior_is_noticed(name, monkeypatch):
    monkeypatch.setattr(FlowPrior, "log_prob", FLOW_WRONG[name])
    with pytest.raises(AssertionError):
        test_a_flow_prior_follows_its_flow_by_the_full_jacobian()


AGGREGATED_WRONG = {
    "half of the examples": lambda q: (q.logits[:3], q.mu[:3], q.log_var[:3]),
    "one Gaussian of the average": lambda q: (q.logits[:1], q.mu.mean(0, True), q.log_var.mean(0, True)),
    "variances halved": lambda q: (q.logits, q.mu, q.log_var - math.log(2)),
    "weights": lambda q: (q.logits + torch.arange(6.0), q.mu, q.log_var),
    "means moved": lambda q: (q.logits, q.mu + 0.01, q.log_var),
    "means doubled": lambda q: (q.logits, 2 * q.mu, q.log_var),
    "the sign of the means": lambda q: (q.logits, -q.mu, q.log_var),
    "variances of another example": lambda q: (q.logits, q.mu, q.log_var.roll(1, 0)),
    "standard deviations for variances": lambda q: (q.logits, q.mu, 0.5 * q.log_var),
    "variances for log-variances": lambda q: (q.logits, q.mu, q.log_var.exp()),
    "no variances": lambda q: (q.logits, q.mu, 0 * q.log_var),
    "one example left out": lambda q: (q.logits[1:], q.mu[1:], q.log_var[1:]),
    "one example twice": lambda q: tuple(torch.cat([part, part[:1]]) for part in (q.logits, q.mu, q.log_var)),
}


@pytest.mark.parametrize("name", AGGREGATED_WRONG)
def test_a_wrong_aggregated_posterior_is_noticed(name, monkeypatch):
    right = aggregated_posterior

    def wrong(model, x):
        q = right(model, x)
        for parameter, value in zip(("logits", "mu", "log_var"), AGGREGATED_WRONG[name](q), strict=True):
            setattr(q, parameter, nn.Parameter(value.clone(), requires_grad=False))
        return q

    monkeypatch.setitem(globals(), "aggregated_posterior", wrong)
    with pytest.raises(AssertionError):
        test_the_aggregated_posterior_raises_the_mean_elbo_by_the_mismatch(1)


def test_a_prior_of_ones_own_need_not_know_of_models():
    assert Prior().belongs_to() is None
