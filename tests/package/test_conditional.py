"""Conditional and semi-supervised models against exact Gaussians, quadrature, enumeration and torch.distributions."""

import copy
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from fixed import values
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_tutorial.ais import ais
from vae_tutorial.bounds import elbo, elbo_terms, iwae_terms, log_weights
from vae_tutorial.checkpoints import load, save
from vae_tutorial.checkpoints.files import CheckpointError
from vae_tutorial.checks import check_conditional_elbo
from vae_tutorial.conditional import (
    ConditionalVAE,
    SemiSupervisedVAE,
    conditional_terms,
    conditional_vae,
    semi_supervised_terms,
    semi_supervised_vae,
)
from vae_tutorial.evaluation import marginal_log_likelihood
from vae_tutorial.likelihoods import bernoulli, columns, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.reference import grid, log_marginal_quadrature
from vae_tutorial.training import evaluate, fit

B, D, C, L = 6, 4, 3, 2
X, COND, EPS = values(B, D, seed=1), values(B, C, seed=2), values(5, B, L, seed=3)
BITS = (values(B, D, seed=4) > 0).double()


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def layer(n_in, n_out, seed, size=0.6):
    made = nn.Linear(n_in, n_out, dtype=torch.float64)
    weight, bias = values(n_out, n_in, seed=seed, scale=size), values(n_out, seed=seed + 50, scale=size)
    made.load_state_dict({"weight": weight, "bias": bias})
    return made


# A linear model of x given c, solved: x | c ~ N(Wz + Ac + b, s² I), z | c ~ N(Mc + m, diag v).

W, A, OFFSET, S2 = values(D, L, seed=5), values(D, C, seed=6), values(D, seed=7), 0.4
M, SHIFT, V = values(L, C, seed=8), values(L, seed=9), torch.tensor([0.5, 1.7]).double()


class Exact(nn.Module):
    """The posterior's mean and log-variance; W has orthogonal columns here, so that it is diagonal."""

    def __init__(self, W, prior):
        super().__init__()
        self.W, self.prior = W, prior

    def forward(self, rows):
        x, c = rows.split([D, C], -1)
        mean, v = (c @ M.T + SHIFT, V) if self.prior else (torch.zeros(len(x), L).double(), torch.ones(L).double())
        precision = 1 / v + (self.W**2).sum(0) / S2
        mu = (mean / v + (x - c @ A.T - OFFSET) @ self.W / S2) / precision
        return torch.cat([mu, (-precision.log()).expand(len(x), -1)], -1)


def linear(prior=False):
    """The model whose encoder is the exact posterior, and log p(x | c) of X given COND, a Gaussian's."""
    orthogonal = torch.linalg.qr(W).Q * torch.tensor([1.3, 0.6]).double()
    decoder = nn.Linear(L + C, D, dtype=torch.float64)
    decoder.load_state_dict({"weight": torch.cat([orthogonal, A], -1), "bias": OFFSET})
    network = None
    if prior:
        network = nn.Linear(C, 2 * L, dtype=torch.float64)
        weight = torch.cat([M, torch.zeros(L, C).double()])
        network.load_state_dict({"weight": weight, "bias": torch.cat([SHIFT, V.log()])})
    model = ConditionalVAE(Exact(orthogonal, prior), decoder, L, C, normal(math.log(S2)), network)
    mean = COND @ A.T + OFFSET + (COND @ M.T + SHIFT) @ orthogonal.T * prior
    cov = orthogonal @ torch.diag(V if prior else torch.ones(L).double()) @ orthogonal.T
    exact = MultivariateNormal(mean, cov + S2 * torch.eye(D).double()).log_prob(X)
    return model, exact


@pytest.mark.parametrize("prior", [False, True])
def test_with_the_exact_posterior_every_weight_is_log_p_of_x_given_c(prior):
    model, exact = linear(prior)
    weights = log_weights(model.given(COND), X, eps=EPS)
    torch.testing.assert_close(weights, exact.expand_as(weights))
    terms = conditional_terms(model, X, COND, eps=EPS)
    # The ELBO averages over the noise: exact with sigma points, ±√L in each dimension.
    points = math.sqrt(L) * torch.cat([torch.eye(L), -torch.eye(L)]).double()[:, None].expand(-1, B, -1)
    torch.testing.assert_close(conditional_terms(model, X, COND, eps=points).elbo, exact)
    assert (terms.kl > 0).all()


@pytest.mark.parametrize("prior", [False, True])
def test_importance_sampling_takes_pairs_whatever_the_chunks(prior):
    model, exact = linear(prior)
    for chunk in (1, 7, 20, 1000):
        found = marginal_log_likelihood(model, (X, COND), 20, seed=0, chunk=chunk, progress=False)
        torch.testing.assert_close(found, exact)
    crude = ConditionalVAE(layer(D + C, 2 * L, 11), model.decoder, L, C, model.likelihood, model.prior_network)
    whole = marginal_log_likelihood(crude, (X, COND), 300, seed=3, progress=False)
    torch.testing.assert_close(marginal_log_likelihood(crude, (X, COND), 300, seed=3, chunk=7, progress=False), whole)
    far = marginal_log_likelihood(crude, (X, COND.flip(0)), 300, seed=3, progress=False)
    assert (far - whole).abs().min() > 0.01
    alone = marginal_log_likelihood(crude.given(COND), X, 300, seed=3, chunk=10**6, progress=False)
    torch.testing.assert_close(alone, whole)


def test_the_given_model_is_a_vae_with_each_examples_own_condition():
    model = ConditionalVAE(layer(D + C, 2 * L, 11), layer(L + C, D, 12), L, C, bernoulli, layer(C, 2 * L, 13))
    given = model.given(COND)
    z = values(5, B, L, seed=20)
    for b in range(B):
        mu, log_var = model.encoder(torch.cat([BITS[b], COND[b]])).split(L)
        torch.testing.assert_close(given.encode(BITS)[0][b], mu)
        torch.testing.assert_close(given.encode(BITS)[1][b], log_var)
        mean, log_v = model.prior_network(COND[b]).split(L)
        prior = Normal(mean, log_v.exp().sqrt())
        torch.testing.assert_close(given.log_prior(z)[:, b], prior.log_prob(z[:, b]).sum(-1))
        kl = kl_divergence(Normal(mu, log_var.exp().sqrt()), prior).sum()
        torch.testing.assert_close(elbo_terms(given, BITS, eps=EPS).kl[b], kl)
        for k in range(5):
            logits = model.decoder(torch.cat([z[k, b], COND[b]]))
            torch.testing.assert_close(given.decode(z)[k, b], logits)
            log_p = torch.distributions.Bernoulli(logits=logits).log_prob(BITS[b]).sum()
            torch.testing.assert_close(given.log_likelihood(BITS, z)[k, b], log_p)
    assert given.sample(B, generator=seeded(0)).shape == (B, D) == given.reconstruct(X).shape


def test_draws_of_z_have_the_moments_of_each_conditions_own_prior():
    model = ConditionalVAE(layer(D + C, 2 * L, 11), layer(L + C, D, 12), L, C, bernoulli, layer(C, 2 * L, 13))
    z = model.given(COND).prior.sample((20_000, B, L), like=COND, generator=seeded(0))
    mean, log_var = model.prior_network(COND).chunk(2, -1)
    assert ((z.mean(0) - mean) / (0.5 * log_var).exp()).abs().max() < 5 / math.sqrt(20_000)
    assert (z.var(0) / log_var.exp() - 1).abs().max() < 5 * math.sqrt(2 / 20_000)


def test_one_condition_serves_many_draws():
    """Rows that come one condition after the other, again and again, as the samples of an ELBO do."""
    model = ConditionalVAE(layer(D + C, 2 * L, 11), layer(L + C, D, 12), L, C, bernoulli, layer(C, 2 * L, 13))
    z, mean = values(2 * B, L, seed=20), values(1, C, seed=21)
    twice, once = model.given(COND), model.given(COND.repeat(2, 1))
    torch.testing.assert_close(twice.decode(z), once.decode(z))
    torch.testing.assert_close(twice.log_prior(z), once.log_prior(z))
    assert torch.equal(model.given(mean).sample(9, generator=seeded(1)),
                       model.given(mean.repeat(9, 1)).sample(9, generator=seeded(1)))  # fmt: skip


def test_without_a_network_the_prior_is_the_standard_one():
    model = conditional_vae(D, C, 8, L, bernoulli, seed=0).double()
    z = values(5, B, L, seed=20)
    torch.testing.assert_close(model.given(COND).log_prior(z), Normal(0.0, 1.0).log_prob(z).sum(-1))
    assert model.prior_network is None


def test_a_gaussian_prior_given_c_is_the_standard_one_seen_through_the_decoder():
    """z = m(c) + s(c) u: the same model, and for the same q the same ELBO, draw by draw."""
    model = ConditionalVAE(layer(D + C, 2 * L, 11), layer(L + C, D, 12), L, C, bernoulli, layer(C, 2 * L, 13))

    class Encoder(nn.Module):
        def forward(self, rows):
            (mu, log_var), (m, log_v) = model.encoder(rows).chunk(2, -1), model.prior_network(rows[:, D:]).chunk(2, -1)
            return torch.cat([(mu - m) * (-0.5 * log_v).exp(), log_var - log_v], -1)

    class Decoder(nn.Module):
        def forward(self, rows):
            m, log_v = model.prior_network(rows[:, L:]).chunk(2, -1)
            return model.decoder(torch.cat([m + (0.5 * log_v).exp() * rows[:, :L], rows[:, L:]], -1))

    absorbed = ConditionalVAE(Encoder(), Decoder(), L, C, bernoulli)
    for part, other in zip(
        conditional_terms(model, BITS, COND, eps=EPS), conditional_terms(absorbed, BITS, COND, eps=EPS), strict=True
    ):
        torch.testing.assert_close(part, other, rtol=0, atol=1e-12)


def test_what_takes_a_vae_takes_the_given_one():
    model, exact = linear()
    log_w = ais(model.given(COND), X, 2000, n_steps=60, generator=seeded(0))
    stderr = torch.exp(log_w - exact).std(0) / math.sqrt(2000)
    assert ((torch.exp(log_w - exact).mean(0) - 1).abs() < 5 * stderr).all() and stderr.max() < 0.15
    torch.testing.assert_close(iwae_terms(model.given(COND), X, eps=EPS).elbo, exact)


# M2


def m2_model(latent_dim=1):
    networks = layer(D, C, 31, size=1.2), layer(D + C, 2 * latent_dim, 32), layer(latent_dim + C, D, 33, size=1.5)
    return SemiSupervisedVAE(*networks, latent_dim, C, bernoulli)


def one_hot(*labels):
    return F.one_hot(torch.tensor(labels), C).double()


def log_joint_by_quadrature(model, x):
    """log p(x, y) of every class, shape (C, B)."""
    rows = []
    for label in torch.eye(C).double():

        def log_joint(z, label=label):
            logits = model.decoder(torch.cat([z, label.expand(len(z), -1)], -1))[:, None]
            return torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(-1) + Normal(0.0, 1.0).log_prob(z)

        rows.append(log_marginal_quadrature(log_joint, [-12.0], [12.0], 241) - math.log(C))
    return torch.stack(rows)


@torch.no_grad()
def test_the_unlabelled_bound_and_its_gap_are_an_enumeration_over_y_and_quadratures_over_z():
    model = m2_model()
    log_pxy = log_joint_by_quadrature(model, BITS)
    z, cell = grid([-60.0], [60.0], 6001)  # q has its mass far out for some
    bound, gap = torch.zeros(B).double(), torch.zeros(B).double()
    log_qy = torch.log(F.softmax(model.classifier(BITS), -1))
    for b in range(B):
        for k, label in enumerate(torch.eye(C).double()):
            mu, log_var = model.encoder(torch.cat([BITS[b], label])).split(1)
            q = Normal(mu, (0.5 * log_var).exp())
            logits = model.decoder(torch.cat([z, label.expand(len(z), -1)], -1))
            log_p = torch.distributions.Bernoulli(logits=logits).log_prob(BITS[b]).sum(-1)
            log_p = log_p + Normal(0.0, 1.0).log_prob(z[:, 0]) - math.log(C)
            log_q = q.log_prob(z[:, 0]) + log_qy[b, k]
            mass = log_q.exp() * cell
            bound[b] += (mass * (log_p - log_q)).sum()
            gap[b] += (mass * (log_q - (log_p - log_pxy[:, b].logsumexp(0)))).sum()
    eps, step = grid([-9.0], [9.0], 361)
    x, unknown = BITS.repeat(361, 1), torch.zeros(361 * B, C).double()
    each = semi_supervised_terms(model, x, unknown, eps=eps.repeat_interleave(B, 0)[None]).elbo.reshape(361, B)
    found = (step * Normal(0.0, 1.0).log_prob(eps).exp() * each).sum(0)
    torch.testing.assert_close(found, bound, rtol=0, atol=1e-8)
    torch.testing.assert_close(found + gap, log_pxy.logsumexp(0), rtol=0, atol=1e-8)
    assert (gap > 0.01).all()


def test_known_and_unknown_rows_are_what_loops_over_given_models_give():
    model, y = m2_model(2), one_hot(0, 2, 1, 0, 2, 1)
    y[[1, 4]] = 0.0
    terms = semi_supervised_terms(model, BITS, y, eps=EPS)
    for b in range(B):
        x, eps = BITS[b : b + 1], EPS[:, b : b + 1]
        rows = [elbo_terms(model.given(label[None]), x, eps=eps) for label in torch.eye(C).double()]
        q = F.softmax(model.classifier(BITS[b]), -1) if b in (1, 4) else y[b]
        kl_y = torch.special.xlogy(q, q * C).sum()
        torch.testing.assert_close(
            terms.log_likelihood[b], sum(w * r.log_likelihood[0] for w, r in zip(q, rows, strict=True))
        )
        torch.testing.assert_close(terms.kl[b], sum(w * r.kl[0] for w, r in zip(q, rows, strict=True)) + kl_y)
    torch.testing.assert_close(model.classify(BITS), F.log_softmax(model.classifier(BITS), -1))


@torch.no_grad()
def test_log_p_of_x_is_a_sum_over_the_classes_of_what_importance_sampling_gives():
    model, how = m2_model(), dict(n_samples=20_000, chunk=20_000, seed=0, progress=False)
    of_class = [marginal_log_likelihood(model, (BITS, one_hot(*[k] * B)), **how) for k in range(C)]
    found = torch.stack(of_class).logsumexp(0) - math.log(C)
    exact = log_joint_by_quadrature(model, BITS).logsumexp(0)
    torch.testing.assert_close(found, exact, rtol=0, atol=0.05)
    torch.testing.assert_close(of_class[0], log_joint_by_quadrature(model, BITS)[0] + math.log(C), rtol=0, atol=0.05)


def test_labels_in_another_dtype_change_nothing():
    model, y = m2_model(2).float(), one_hot(0, 2, 1, 0, 2, 1)
    y[[1, 4]] = 0.0
    found = [semi_supervised_terms(model, BITS.float(), labels, eps=EPS.float()).elbo for labels in (y, y.float())]
    assert found[0].dtype == torch.float32 and torch.equal(*found)


def test_where_all_labels_are_known_it_is_the_conditional_bound_with_log_p_of_y():
    model, y = m2_model(2), one_hot(0, 2, 1, 0, 2, 1)
    found, bound = semi_supervised_terms(model, BITS, y, eps=EPS), conditional_terms(model, BITS, y, eps=EPS)
    torch.testing.assert_close(found.elbo, bound.elbo - math.log(C))
    torch.testing.assert_close(found.log_likelihood, bound.log_likelihood)


def test_alpha_trains_the_classifier_and_leaves_the_values_alone():
    model, y = m2_model(2), one_hot(0, 2, 1, 0, 2, 1)
    y[3:] = 0.0
    plain, weighted = (semi_supervised_terms(model, BITS, y, eps=EPS, alpha=alpha) for alpha in (0.0, 2.5))
    torch.testing.assert_close(plain.elbo, weighted.elbo, rtol=0, atol=1e-14)
    parameters = list(model.parameters())
    of_plain, of_weighted = (torch.autograd.grad(t.elbo.sum(), parameters) for t in (plain, weighted))
    cross_entropy = -2.5 * F.cross_entropy(model.classifier(BITS[:3]), y[:3], reduction="sum")
    extra = torch.autograd.grad(cross_entropy, parameters, materialize_grads=True, allow_unused=True)
    for one, other, more in zip(of_plain, of_weighted, extra, strict=True):
        torch.testing.assert_close(one + more, other)


def test_without_alpha_known_labels_teach_the_classifier_nothing():
    model = m2_model(2)
    terms = semi_supervised_terms(model, BITS, one_hot(0, 2, 1, 0, 2, 1), eps=EPS)
    found = torch.autograd.grad(terms.elbo.sum(), list(model.classifier.parameters()), allow_unused=True)
    assert all(g is None or not g.any() for g in found)


def test_a_classifier_that_is_certain_stays_finite():
    model = m2_model(2)
    with torch.no_grad():
        model.classifier.bias[1] = 900.0
    terms = semi_supervised_terms(model, BITS, torch.zeros(B, C).double(), eps=EPS)
    certain = semi_supervised_terms(model, BITS, one_hot(*[1] * B), eps=EPS)
    torch.testing.assert_close(terms.elbo, certain.elbo)
    assert all(g.isfinite().all() for g in torch.autograd.grad(terms.elbo.sum(), list(model.parameters())))


def test_the_terms_pass_the_check_of_learners():
    """With a prior given y, and with missing entries by ``columns``: the package's parts put together."""

    class Without(nn.Module):  # a network that takes no notice of the flags
        def __init__(self, network, x_dim):
            super().__init__()
            self._network, self.x_dim = (network,), x_dim

        def forward(self, rows):
            return self._network[0](torch.cat([rows[:, : self.x_dim], rows[:, 2 * self.x_dim :]], -1))

    class Padded(nn.Module):  # parameters for the flags, which have no effect
        def __init__(self, network):
            super().__init__()
            self._network = (network,)

        def forward(self, rows):
            return F.pad(self._network[0](rows), (0, len(self._network[0].bias)))

    def bound(networks, x, seen, y, eps):
        D, C = x.shape[1], y.shape[1]
        likelihood = columns({f"{d}": "binary" for d in range(D)}, missing=True)
        parts = Without(networks.classify, D), Without(networks.encode, D), Padded(networks.decode)
        model = SemiSupervisedVAE(*parts, eps.shape[1], C, likelihood)
        model.prior_network = networks.prior
        return semi_supervised_terms(model, torch.cat([x, seen], -1), y, eps=eps[None]).elbo

    check = check_conditional_elbo(bound)
    assert check.passed, check


def test_noise_is_drawn_once_for_all_classes_and_by_the_generator():
    model, y = m2_model(2), torch.zeros(B, C).double()
    drawn = semi_supervised_terms(model, BITS, y, 4, generator=seeded(5)).elbo
    eps = torch.randn(4, B, 2, generator=seeded(5), dtype=torch.float64)
    torch.testing.assert_close(drawn, semi_supervised_terms(model, BITS, y, eps=eps).elbo)
    one = conditional_terms(model, BITS, one_hot(*[1] * B), 4, generator=seeded(5)).elbo
    torch.testing.assert_close(one, conditional_terms(model, BITS, one_hot(*[1] * B), eps=eps).elbo)


# Training, files


def factories():
    return {
        "c": lambda seed=0: conditional_vae(D, C, 8, L, bernoulli, seed=seed),
        "c, learned prior": lambda seed=0: conditional_vae(D, C, (8, 6), L, bernoulli, seed=seed, learned_prior=True),
        "y": lambda seed=0: semi_supervised_vae(D, C, 8, L, bernoulli, seed=seed, activation=nn.Tanh),
    }


@pytest.mark.parametrize("name", factories())
def test_it_trains_and_comes_back_from_a_file_a_copy_and_a_pickle(name, tmp_path):
    labels = torch.arange(96) % C
    x = F.one_hot((labels + torch.arange(96) // 48) % D, D).float()
    y = F.one_hot(labels, C).float()
    y[::3] *= 1 if name.startswith("c") else 0
    objective = conditional_terms if name.startswith("c") else semi_supervised_terms
    model = factories()[name]()
    how = dict(epochs=40, batch_size=16, lr=0.02, seed=0, objective=objective, progress=False, device="cpu")
    history = fit(model, (x, y), (x, y), **how)
    assert history.elbo[-1] > history.elbo[0] + 0.5
    log_likelihood, kl = evaluate(model, (x, y), seed=0, objective=objective)
    assert log_likelihood - kl > history.elbo[0]
    save(model, tmp_path / "m.safetensors")
    c = F.one_hot(labels, C).float()
    eps = torch.zeros(1, 96, L)
    for again in (load(tmp_path / "m.safetensors"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(again) is type(model)
        assert torch.equal(log_weights(again.given(c), x, eps=eps), log_weights(model.given(c), x, eps=eps))
        if name == "y":
            assert torch.equal(again.classify(x), model.classify(x))


@pytest.mark.parametrize("name", factories())
def test_a_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(name, tmp_path):
    x, y = (values(40, D, seed=4) > 0).float(), F.one_hot(torch.arange(40) % C, C).float()
    objective = conditional_terms if name.startswith("c") else semi_supervised_terms
    if name == "y":
        y[::3] = 0.0
    how = dict(batch_size=16, lr=0.02, seed=0, objective=objective, progress=False, device="cpu")
    whole, stopped, resumed = (factories()[name]() for _ in range(3))
    history = fit(whole, (x, y), (x[:7], y[:7]), epochs=4, **how)

    def stop(*_):
        raise KeyboardInterrupt

    file = tmp_path / "half.safetensors"
    fit(stopped, (x, y), (x[:7], y[:7]), epochs=4, checkpoint=file, callback=stop, **how)
    again = fit(resumed, (x, y), (x[:7], y[:7]), epochs=4, checkpoint=file, resume=True, **how)
    vector = nn.utils.parameters_to_vector
    assert not torch.equal(vector(stopped.parameters()), vector(whole.parameters()))
    assert torch.equal(vector(resumed.parameters()), vector(whole.parameters()))
    assert again.elbo == history.elbo and len(again.elbo) == 4


@pytest.mark.parametrize("name", factories())
def test_the_seed_fixes_the_weights(name):
    def parameters(seed):
        return nn.utils.parameters_to_vector(factories()[name](seed).parameters())

    assert torch.equal(parameters(1), parameters(1)) and not torch.equal(parameters(1), parameters(2))


def test_the_decoder_has_the_encoders_widths_the_other_way_round():
    model = factories()["c, learned prior"]()
    sizes = [[m.out_features for m in net if isinstance(m, nn.Linear)] for net in (model.encoder, model.decoder)]
    assert sizes == [[8, 6, 2 * L], [6, 8, D]]
    assert [m.out_features for m in model.prior_network if isinstance(m, nn.Linear)] == [8, 6, 2 * L]


def test_a_changed_model_is_refused_by_save(tmp_path):
    model = conditional_vae(D, C, 8, L, bernoulli, seed=0)
    model.prior_network = nn.Linear(C, 2 * L)
    with pytest.raises(CheckpointError, match="prior_network"):
        save(model, tmp_path / "m.safetensors")


def test_gradients_reach_every_weight_through_the_given_model():
    for name, make in factories().items():
        model = make().double()
        terms = (
            conditional_terms(model, BITS, COND, eps=EPS)
            if name.startswith("c")
            else semi_supervised_terms(model, BITS, torch.zeros(B, C).double(), eps=EPS)
        )
        found = torch.autograd.grad(terms.elbo.sum(), list(model.parameters()))
        assert all(g.any() for g in found)


def test_measuring_leaves_the_mode_as_it_was():
    model = conditional_vae(D, C, 8, L, bernoulli, seed=0).double().train()
    model.encoder[1].eval()
    before = [module.training for module in model.modules()]
    marginal_log_likelihood(model, (BITS, COND), 10, seed=0, progress=False)
    model.given(COND).sample(B)
    assert [module.training for module in model.modules()] == before


# Wrong input

T = torch.zeros
CVAE = conditional_vae(D, C, 8, L, bernoulli, seed=0)
TWO = nn.Linear(7, 4), nn.Linear(5, 4)
PLAIN = mlp_vae(4, 8, 2, bernoulli, seed=0)
M2 = semi_supervised_vae(D, C, 8, L, bernoulli, seed=0)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: CVAE.given(T(3)), ValueError, "c must have shape"),
        (lambda: CVAE.given(T(3, 2)), ValueError, "c must have 3 columns"),
        (lambda: CVAE.given(torch.ones(3, 3).long()), TypeError, "c must hold floating-point"),
        (lambda: CVAE.given(torch.full((1, 3), math.nan)), ValueError, "c must be finite"),
        (lambda: CVAE.given(T(2, 3)).encode(T(3, 4)), ValueError, "2 conditions, and 3 rows for them"),
        (lambda: CVAE.given(T(2, 3)).encode(T(4, 4)), ValueError, "2 conditions, and 4 rows for them"),
        (lambda: CVAE.given(T(2, 3)).decode(T(3, 2)), ValueError, "2 conditions, and 3 rows for them"),
        (lambda: factories()["c, learned prior"]().given(T(2, 3)).sample(3), ValueError, "2 conditions, and 3 rows"),
        (lambda: CVAE.given(T(3, 3).double()), ValueError, r"c must be in the model's dtype, got .*c.to\(torch"),
        (lambda: CVAE.encode(T(3, 4)), TypeError, r"needs its conditions: model.given\(c\)"),
        (lambda: CVAE.decode(T(3, 2)), TypeError, "needs its conditions"),
        (lambda: CVAE.sample(3), TypeError, "needs its conditions"),
        (lambda: CVAE.reconstruct(T(3, 4)), TypeError, "needs its conditions"),
        (lambda: CVAE.log_prior(T(3, 2)), TypeError, "needs its conditions"),
        (lambda: elbo(CVAE, T(3, 4)), TypeError, "fit.model, .x, c., objective=conditional_terms"),
        (lambda: fit(CVAE, T(3, 4), epochs=1, seed=0, progress=False), TypeError, "needs its conditions"),
        (lambda: conditional_terms(CVAE, T(3, 4), T(2, 3)), ValueError, "c must hold a row for each of the 3 rows"),
        (lambda: conditional_terms(CVAE, T(3, 4), [1, 2, 3]), ValueError, "row for each of the 3 rows of x, got list"),
        (lambda: marginal_log_likelihood(CVAE, T(3, 4), 5, seed=0), TypeError, "needs its conditions"),
        (lambda: marginal_log_likelihood(CVAE, (T(3, 4), T(2, 3)), 5, seed=0), ValueError, "c must hold a row"),
        (lambda: marginal_log_likelihood(PLAIN, (T(3, 4), T(3, 3)), 5, seed=0, progress=False),
         TypeError, "takes no conditions"),
        (lambda: PLAIN.given(T(3, 3)), TypeError, "takes no conditions"),
        (lambda: semi_supervised_terms(M2, T(3, 4), T(3, 2)), ValueError, r"y must have shape \(B, 3\)"),
        (lambda: semi_supervised_terms(M2, T(3, 4), torch.ones(3, 3)), ValueError, "each row one-hot or"),
        (lambda: semi_supervised_terms(M2, T(3, 4), 0.5 * torch.eye(3)), ValueError, "F.one_hot"),
        (lambda: semi_supervised_terms(M2, T(3, 4), 1 - torch.eye(3)), ValueError, "each row one-hot or"),
        (lambda: semi_supervised_terms(M2, T(3, 4), torch.arange(3)), TypeError, "y must hold floating-point"),
        (lambda: semi_supervised_terms(M2, T(3, 4), T(2, 3)), ValueError, "y must hold a row for each of the 3 rows"),
        (lambda: semi_supervised_terms(M2, T(4), T(3, 3)), ValueError, "x must have shape"),
        (lambda: semi_supervised_terms(M2, T(3, 4), T(3, 3), alpha=-1), ValueError, "alpha must be at least 0"),
        (lambda: semi_supervised_terms(M2, T(3, 4), T(3, 3), 0), ValueError, "n_samples must be an integer"),
        (lambda: semi_supervised_terms(M2, T(3, 4), T(3, 3), eps=T(1, 9, 2)), ValueError,
         r"eps must have shape \(K, B, L\) = \(K, 3, 2\), got \(1, 9, 2\)"),
        (lambda: semi_supervised_terms(M2, T(3, 4), T(3, 3), eps=T(3, 2)), ValueError, "eps must have shape"),
        (lambda: semi_supervised_terms(M2, T(3, 4), T(3, 3), eps=[0.0]), TypeError, "eps must be a torch.Tensor"),
        (lambda: semi_supervised_terms(CVAE, T(3, 4), T(3, 3)), TypeError, "must be a SemiSupervisedVAE, got Cond"),
        (lambda: M2.given(T(3, 3)), ValueError, "y holds rows of zeros, classes that are not known"),
        (lambda: M2.given(torch.ones(3, 3).tril(-1)), ValueError, "y holds rows of zeros"),
        (lambda: marginal_log_likelihood(CVAE, (T(3, 4),), 5, seed=0), ValueError, r"pair \(x, c\), got a tuple of 1"),
        (lambda: marginal_log_likelihood(CVAE, (T(3, 4), T(3, 3), T(3, 3)), 5, seed=0), ValueError, "tuple of 3"),
        (lambda: M2.classify(T(4)), ValueError, "x must have shape"),
        (lambda: SemiSupervisedVAE(nn.Linear(4, 2), *TWO, 2, 3, bernoulli).classify(T(1, 4)),
         ValueError, r"classifier must give logits of shape \(1, 3\), got \(1, 2\)"),
        (lambda: ConditionalVAE(*TWO, 2, 3, bernoulli, nn.Linear(3, 2)).given(T(1, 3)),
         ValueError, r"mu and log_var, shape \(B, 4\), got \(1, 2\)"),
        (lambda: ConditionalVAE(*TWO, 2, 0, bernoulli), ValueError, "condition_dim must be"),
        (lambda: ConditionalVAE(*TWO, 2, 3, "bernoulli"), TypeError, "likelihood must be"),
        (lambda: conditional_vae(4, 0, 8, 2, bernoulli, seed=0), ValueError, "condition_dim must be"),
        (lambda: conditional_vae(4, 3, (8, 0), 2, bernoulli, seed=0), ValueError, "hidden_dim must be"),
        (lambda: semi_supervised_vae(4, 0, 8, 2, bernoulli, seed=0), ValueError, "n_classes must be"),
        (lambda: semi_supervised_vae(4, 3, 8, 2, "bernoulli", seed=0), TypeError, "likelihood must be"),
    ],
)  # fmt: skip
def test_wrong_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_model_says_what_it_is():
    assert "latent_dim=2, condition_dim=3, likelihood=bernoulli" in repr(CVAE) and isinstance(CVAE, VAE)
