"""Vector quantization against loops, scikit-learn's k-means, SciPy's Lloyd, finite differences and enumeration."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from fixed import values
from scipy import stats
from scipy.cluster.vq import kmeans2
from sklearn.cluster import MiniBatchKMeans
from torch import nn

from vae_tutorial import vq
from vae_tutorial.bounds import elbo_terms, log_weights
from vae_tutorial.categorical import AutoregressiveCodes, UniformCodes, all_codes, exact_log_marginal
from vae_tutorial.checkpoints import load, save
from vae_tutorial.checks import check_quantizer
from vae_tutorial.evaluation import marginal_log_likelihood
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.priors import standard_normal
from vae_tutorial.training import fit
from vae_tutorial.vq import (
    CodeAverages,
    Codebook,
    Distances,
    Nearest,
    averages_of,
    ema_update,
    finite_scalar,
    perplexity,
    quantize,
    restart_dead,
    squared_distances,
    vq_terms,
    vq_vae,
)

N, E, C, L, D = 40, 3, 5, 2, 6


Z, BOOK = values(N, E, seed=1), values(C, E, seed=2, scale=1.4)
CLUSTERS = torch.cat([values(40, 2, seed=i, scale=0.3) + 4 * torch.tensor([i % 2, i // 2]) for i in range(4)])


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_distances_and_nearest_codes_equal_loops():
    for i, z in enumerate(Z):
        gaps = [math.dist(z.tolist(), e.tolist()) ** 2 for e in BOOK]
        assert squared_distances(Z, BOOK)[i].tolist() == pytest.approx(gaps)
        q = quantize(Z, BOOK)
        assert q.codes[i].item() == int(np.argmin(gaps))
        assert torch.equal(q.z[i], BOOK[np.argmin(gaps)])
        assert q.codebook_loss[i].item() == q.commitment_loss[i].item() == pytest.approx(min(gaps))


def test_quantize_passes_the_check_of_learners():
    def quantizer(z, codebook, beta):
        q = vq.quantize(z, codebook)
        return q.z, q.codebook_loss + beta * q.commitment_loss

    assert check_quantizer(quantizer).passed


def test_vectors_may_have_any_leading_axes():
    q, flat = quantize(Z.reshape(4, 5, 2, E), BOOK), quantize(Z, BOOK)
    assert q.z.shape == (4, 5, 2, E) and q.codes.shape == q.codebook_loss.shape == (4, 5, 2)
    assert torch.equal(q.codes.flatten(), flat.codes)


def test_the_sum_as_it_is_written_finds_the_nearest_where_the_expansion_does_not():
    far = torch.full((1, E), 3000.0)
    z, book = Z.float() * 0.1 + far, BOOK.float() * 0.1 + far
    exact = quantize(z.double(), book.double()).codes
    assert torch.equal(quantize(z, book).codes, exact)
    expanded = ((z**2).sum(1, keepdim=True) - 2 * z @ book.T + (book**2).sum(1)).argmin(1)
    assert (expanded != exact).float().mean() > 0.1


@pytest.mark.parametrize("codes, expected", [([0, 1, 2, 3], 4.0), ([2, 2, 2], 1.0), ([0, 0, 0, 1], None)])
def test_perplexity_is_the_exponential_of_scipys_entropy(codes, expected):
    by_scipy = math.exp(stats.entropy(np.bincount(codes)))
    assert vq.perplexity(torch.tensor(codes), 8) == pytest.approx(expected or by_scipy)
    assert by_scipy == pytest.approx(expected or by_scipy)


# The codebook by moving averages is k-means


def test_a_step_near_zero_decay_is_lloyds():
    book, averages = CLUSTERS[::40] + 0.7, averages_of(CLUSTERS[::40] + 0.7)
    for _ in range(4):
        averages = vq.ema_update(averages, CLUSTERS, 1e-12)
        book, _ = kmeans2(CLUSTERS.numpy(), np.asarray(book), iter=1, minit="matrix")
        assert averages.codebook.numpy() == pytest.approx(book, abs=1e-8)


def test_equal_weights_are_minibatch_k_means_of_scikit_learn():
    """With γ_t = (t − 1)/t the averages are means over all steps so far: partial_fit's."""
    start = CLUSTERS[::40] + 0.7
    kmeans = MiniBatchKMeans(4, init=start.numpy(), n_init=1, reassignment_ratio=0.0, random_state=0)
    averages, order = averages_of(start, count=1e-12), torch.randperm(160, generator=seeded(0))
    for t, rows in enumerate(order.split(32), start=1):
        averages = vq.ema_update(averages, CLUSTERS[rows], max((t - 1) / t, 1e-12))
        kmeans.partial_fit(CLUSTERS[rows].numpy())
        assert averages.codebook.numpy() == pytest.approx(kmeans.cluster_centers_, abs=1e-6)


def test_many_steps_at_the_papers_decay_arrive_where_lloyd_does():
    averages = averages_of(CLUSTERS[::40] + 0.7)
    for _ in range(2500):
        averages = vq.ema_update(averages, CLUSTERS, 0.99)
    expected, _ = kmeans2(CLUSTERS.numpy(), (CLUSTERS[::40] + 0.7).numpy(), iter=100, minit="matrix")
    assert averages.codebook.numpy() == pytest.approx(expected, abs=1e-6)


def test_a_code_that_nobody_chooses_stays():
    book = torch.cat([CLUSTERS[::40], torch.full((1, 2), 99.0)])
    averages = averages_of(book)
    for _ in range(30):
        averages = vq.ema_update(averages, CLUSTERS, 0.9)
    assert averages.codebook[4].tolist() == pytest.approx([99.0, 99.0])
    assert averages.counts[4].item() == pytest.approx(0.9**30)


@pytest.mark.parametrize("dtype, steps", [(torch.float32, 1500), (torch.float64, 8000)])
def test_a_code_that_nobody_chooses_stays_beyond_the_smallest_number(dtype, steps):
    """γ to the power of the steps is below what the dtype can hold: N and m alone would end as 0 / 0."""
    averages, z = averages_of(torch.tensor([[0.0, 0.0], [99.0, -0.03]], dtype=dtype)), torch.ones(1, 2, dtype=dtype)
    assert 0.9**steps < torch.finfo(dtype).tiny
    for _ in range(steps):
        averages = vq.ema_update(averages, z, 0.9)
    assert averages.codebook.flatten().tolist() == pytest.approx([1.0, 1.0, 99.0, -0.03], rel=1e-6)
    averages = vq.ema_update(averages, torch.full((1, 2), 90.0, dtype=dtype), 0.9)  # chosen at last, it moves there
    assert averages.codebook[1].tolist() == pytest.approx([90.0, 90.0], rel=1e-6)


def test_the_averages_begin_with_the_codebook_and_hold_no_gradient():
    book = BOOK.clone().requires_grad_()
    torch.testing.assert_close(averages_of(book, 0.3).codebook, BOOK)
    assert not ema_update(averages_of(book), Z.clone().requires_grad_(), 0.5).codebook.requires_grad


def test_restarts_move_dead_codes_onto_distinct_vectors_and_no_other():
    book = torch.cat([BOOK, torch.full((3, E), 50.0).double()])
    used = quantize(Z, book).codes.unique()
    fresh = vq.restart_dead(book, Z, generator=seeded(0))
    dead = [c for c in range(len(book)) if c not in used]
    assert len(dead) >= 3
    for c in range(len(book)):
        assert torch.equal(fresh[c], book[c]) == (c not in dead)
    rows = [(Z == fresh[c]).all(-1).nonzero().item() for c in dead]
    assert len(set(rows)) == len(rows)
    assert set(dead) <= set(quantize(Z, fresh).codes.tolist())
    assert torch.equal(fresh, vq.restart_dead(book, Z, generator=seeded(0)))
    assert not torch.equal(fresh, vq.restart_dead(book, Z, generator=seeded(1)))


# Finite scalars


@pytest.mark.parametrize("levels", [[2], [3, 3], [4, 5, 2]])
def test_all_codes_of_the_grid_occur_and_no_other(levels):
    z = values(20_000, len(levels), seed=3, scale=4.0)
    q = vq.finite_scalar(z, levels)
    assert sorted(q.codes.unique().tolist()) == list(range(math.prod(levels)))
    for d, n in enumerate(levels):
        assert q.z[:, d].unique().numpy() == pytest.approx(np.linspace(-1, 1, n))
        nearest = np.abs(np.tanh(z[:, d].numpy())[:, None] - np.linspace(-1, 1, n)).argmin(-1)
        assert q.z[:, d].numpy() == pytest.approx(np.linspace(-1, 1, n)[nearest])
    index = np.ravel_multi_index([((q.z[:, d] + 1) / 2 * (n - 1)).round().long().numpy() for d, n in enumerate(levels)],
                                 levels)  # fmt: skip
    assert (q.codes.numpy() == index).all()


def test_the_gradient_of_finite_scalars_is_that_of_tanh():
    z = Z.clone().requires_grad_()
    q = vq.finite_scalar(z, [2, 3, 4])
    weights = values(N, E, seed=4)
    (found,) = torch.autograd.grad((weights * q.z).sum(), z)
    assert found.numpy() == pytest.approx(weights.numpy() / np.cosh(Z.numpy()) ** 2)
    assert not q.codebook_loss.any() and not q.commitment_loss.any()


# The VQ-VAE as a VAE


def model_of(seed=0, prior=None):
    prior = AutoregressiveCodes(L, C) if prior is None else prior
    model = vq_vae(D, 8, L, E, C, bernoulli, seed=seed, prior=prior).double()
    with torch.no_grad():
        for parameter in model.prior.parameters():
            parameter.add_(values(*parameter.shape, seed=5))
    return model


X = (values(7, D, seed=6) > 0).double()


def test_the_parts_are_those_of_a_vq_vae():
    model = model_of()
    z_e = model.encoder[:-1](X).reshape(7, L, E)
    book = model.decoder[0].vectors
    (logits,) = model.encode(X)
    for i in range(7):
        for j in range(L):
            gaps = [math.dist(z_e[i, j].tolist(), e.tolist()) for e in book]
            assert logits.reshape(7, L, C)[i, j].tolist() == pytest.approx([-(gap**2) for gap in gaps])
    z, log_q = model.posterior.sample((logits,), torch.zeros(3, 7, L * C).double())
    assert z.shape == (3, 7, L * C) and not log_q.any()
    looked_up = book[quantize(z_e, book).codes].flatten(1)
    assert torch.equal(model.decoder[0](z[1]), looked_up)


def test_deterministic_q_and_uniform_prior_have_the_divergence_log_c():
    model = model_of(prior=UniformCodes(C))
    assert elbo_terms(model, X).kl.tolist() == pytest.approx([L * math.log(C)] * 7)
    assert vq.vq_terms(model, X).kl.tolist() == pytest.approx([L * math.log(C)] * 7)


def test_the_values_are_those_of_the_elbo_and_the_gap_is_the_surprise_of_the_code():
    model = model_of()
    terms = vq.vq_terms(model, X)
    with torch.no_grad():
        z = model.posterior.mean(model.encode(X))
        torch.testing.assert_close(terms.log_likelihood, model.log_likelihood(X, z))
        torch.testing.assert_close(terms.kl, -model.log_prior(z))
        states = all_codes(L, C).double()[:, None].expand(-1, 7, -1)
        posterior = torch.softmax(model.log_likelihood(X, states) + model.log_prior(states), 0)
        at_code = (posterior * (states == z).all(-1)).sum(0)
        torch.testing.assert_close(exact_log_marginal(model, X) - terms.elbo, -at_code.log())
    torch.testing.assert_close(elbo_terms(model, X).elbo, terms.elbo)
    torch.testing.assert_close(marginal_log_likelihood(model, X, 5, seed=0, progress=False), terms.elbo.detach())


def test_the_gradient_of_the_objective_is_the_papers():
    """Per part by finite differences, with all that the paper stops held fixed."""
    model, beta = model_of(prior=UniformCodes(C)), 0.6
    book = model.decoder[0].vectors
    loss = -vq.vq_terms(model, X, commitment=beta).elbo.sum()
    weight = model.encoder[0].weight
    for_decoder, for_encoder, for_book = torch.autograd.grad(loss, (model.decoder[1].weight, weight, book))
    with torch.no_grad():
        z_e = model.encoder[:-1](X).reshape(7, L, E)
        codes = quantize(z_e, book).codes
        held = book[codes].clone()
    at = held.clone().requires_grad_()
    (slope,) = torch.autograd.grad(-model.likelihood.log_prob(X, model.decoder[1:](at.flatten(1))).sum(), at)

    def encoder_loss():
        z = model.encoder[:-1](X).reshape(7, L, E)
        return (slope * z).sum() + beta * ((z - held) ** 2).sum()

    for parameter, found, fn in (
        (weight, for_encoder, encoder_loss),
        (book, for_book, lambda: ((z_e - book[codes]) ** 2).sum()),
        (model.decoder[1].weight, for_decoder,
         lambda: -model.likelihood.log_prob(X, model.decoder[1:](held.flatten(1))).sum()),
    ):  # fmt: skip
        flat, rows = parameter.data.view(-1), found.reshape(-1)
        for i in range(0, len(flat), max(1, len(flat) // 12)):
            at_i, ends = flat[i].item(), []
            for step in (1e-6, -1e-6):
                flat[i] = at_i + step
                ends.append(fn().item())
            flat[i] = at_i
            assert rows[i].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-5)


def test_the_commitment_is_that_of_the_paper_unless_told_and_may_be_zero():
    model = model_of()
    weight = model.encoder[0].weight

    def pull(**commitment):
        return torch.autograd.grad(vq_terms(model, X, **commitment).elbo.sum(), weight)[0]

    assert torch.equal(pull(), pull(commitment=0.25)) and not torch.allclose(pull(), pull(commitment=0))
    torch.testing.assert_close(pull() - pull(commitment=0), (pull(commitment=1) - pull(commitment=0)) / 4)


def test_the_seed_fixes_weights_and_code_vectors():
    def parameters(seed):
        return nn.utils.parameters_to_vector(vq_vae(D, 8, L, E, C, bernoulli, seed=seed).parameters())

    assert torch.equal(parameters(1), parameters(1)) and not (parameters(1) == parameters(2)).any()


def test_a_learned_prior_gets_a_gradient_and_the_encoder_none_from_it():
    model = model_of()
    kl = vq_terms(model, X).kl.sum()
    found = torch.autograd.grad(kl, list(model.parameters()), allow_unused=True)
    learned = {id(p) for p in model.prior.parameters()}
    assert all((g is not None and bool(g.any())) == (id(p) in learned)
               for p, g in zip(model.parameters(), found, strict=True) if p.ndim < 4)  # fmt: skip


def test_it_trains_and_comes_back_from_a_file_a_copy_and_a_pickle(tmp_path):
    x = (torch.arange(96)[:, None] % 6 == torch.arange(6)).float()
    model = vq_vae(6, 16, L, E, C, bernoulli, seed=0, prior=AutoregressiveCodes(L, C))
    history = fit(model, x, epochs=60, batch_size=16, lr=0.02, seed=0, objective=vq_terms, progress=False, device="cpu")
    assert history.elbo[-1] > history.elbo[0] + 1
    save(model, tmp_path / "m.safetensors")
    eps = torch.zeros(1, 96, L * C)
    for again in (load(tmp_path / "m.safetensors"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(log_weights(again, x, eps=eps), log_weights(model, x, eps=eps))
        with torch.no_grad():  # the encoder measures with the decoder's own vectors
            again.decoder[0].vectors.mul_(2)
        assert not torch.equal(again.encode(x)[0], model.encode(x)[0])
    assert len(list(model.parameters())) == len({id(p) for p in model.parameters()}) == 4 + 5 + 2
    assert model.sample(3).shape == (3, 6) and model.reconstruct(x[:2]).shape == (2, 6)


def test_without_a_prior_it_is_the_uniform_one_and_saved_so(tmp_path):
    model = vq_vae(6, 4, L, E, C, normal(0.0), seed=3)
    save(model, tmp_path / "m.safetensors")
    assert isinstance(load(tmp_path / "m.safetensors").prior, UniformCodes)


# Wrong input

T = torch.zeros


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: quantize(T(4, 3), T(5, 2)), ValueError, r"z must have shape \(\.\.\., E\) for a codebook"),
        (lambda: quantize(T(4, 3), T(3)), ValueError, "codebook of shape"),
        (lambda: quantize(T(4, 3), T(5, 3).double()), TypeError, "same dtype"),
        (lambda: quantize(torch.full((1, 1), math.nan), T(5, 1)), ValueError, "z must be finite"),
        (lambda: squared_distances(torch.ones(3, 2).long(), T(5, 2)), TypeError, "z must hold floating-point"),
        (lambda: perplexity(T(3), 4), TypeError, "codes must be a tensor of integers"),
        (lambda: perplexity([0, 1], 4), TypeError, "got list"),
        (lambda: perplexity(torch.tensor([0, 4]), 4), ValueError, "from 0 to n_codes - 1 = 3"),
        (lambda: perplexity(torch.tensor([-1]), 4), ValueError, "from 0 to"),
        (lambda: perplexity(torch.tensor([0]), 0), ValueError, "n_codes must be an integer"),
        (lambda: averages_of(T(3)), ValueError, "codebook of shape"),
        (lambda: averages_of(T(3, 2), 0.0), ValueError, "count must be above 0"),
        (lambda: ema_update(averages_of(T(3, 2)), T(4, 2), 1.0), ValueError, "decay must be above 0 and below 1"),
        (lambda: ema_update(averages_of(T(3, 2)), T(4, 2), 0), ValueError, "decay must be above 0 and below 1"),
        (lambda: ema_update(averages_of(T(3, 2)), T(4, 3), 0.5), ValueError, "z must have shape"),
        (lambda: restart_dead(T(3, 2), T(1, 2), generator=seeded(0)), ValueError, "each of the 2 dead codes, got 1"),
        (lambda: restart_dead(T(3, 2), T(4, 2), generator=0), TypeError, "generator must be"),
        (lambda: averages_of(torch.full((3, 2), math.nan)), ValueError, "codebook must be finite"),
        (lambda: vq_vae(6, 4, L, E, C, bernoulli, seed=0, prior=standard_normal), TypeError, "one over codes"),
        (lambda: vq_vae(6, 4, 3, E, C, bernoulli, seed=0, prior=AutoregressiveCodes(2, C)), ValueError, "3 choices"),
        (lambda: finite_scalar(T(4, 2), 3), TypeError, "levels must be a sequence"),
        (lambda: finite_scalar(T(4, 2), [3]), ValueError, "one dimension for each of the 1 levels"),
        (lambda: finite_scalar(T(4, 1), [1]), ValueError, "levels must be at least 2"),
        (lambda: finite_scalar(T(4, 1), [2.5]), ValueError, "level must be an integer"),
        (lambda: Codebook(0, 2), ValueError, "n_codes must be an integer"),
        (lambda: Nearest(1.5), ValueError, "n_codes must be an integer"),
        (lambda: vq_vae(6, 4, L, E, C, "bernoulli", seed=0), TypeError, "likelihood must be"),
        (lambda: vq_vae(6, 4, 0, E, C, bernoulli, seed=0), ValueError, "n_latents must be an integer"),
        (lambda: vq_vae(6, 4, L, E, C, bernoulli, seed=0, prior=UniformCodes(3)), ValueError, "among the 5 codes"),
        (lambda: vq_terms(mlp_vae(6, 4, 2, bernoulli, seed=0), T(1, 6)), TypeError, "encoder must end with Distances"),
        (lambda: vq_terms(nn.Linear(6, 2), T(1, 6)), TypeError, "model must be a VAE"),
        (lambda: vq_terms(vq_vae(6, 4, L, E, C, bernoulli, seed=0), T(6)), ValueError, "one flat row an example"),
        (lambda: vq_terms(vq_vae(6, 4, L, E, C, bernoulli, seed=0), T(1, 6), commitment=-1), ValueError, "at least 0"),
    ],
)  # fmt: skip
def test_wrong_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_vq_vae_of_ones_own_is_made_of_its_layers():
    book = Codebook(C, E)
    encoder = nn.Sequential(nn.Linear(D, L * E), Distances(book))
    model = VAE(encoder, nn.Sequential(book, nn.Linear(L * E, D)), L * C, bernoulli, UniformCodes(C), Nearest(C))
    assert vq_terms(model, X.float()).elbo.shape == (7,) and model.prior is not standard_normal


# Planted mistakes: each must be caught by a test above


def _quantize(right=quantize, **changes):
    def wrong(z, codebook):
        q = right(z, codebook)
        return q._replace(**{name: change(q, z, codebook) for name, change in changes.items()})

    return wrong


def _ema(counts=lambda n: n, sums=lambda s, n: s, old=lambda t: t, decay=lambda g: g):
    def wrong(averages, z, g):
        g = decay(g)
        codes = quantize(z, averages.codebook).codes
        chosen = nn.functional.one_hot(codes, len(averages.counts)).to(z)
        n, total = chosen.sum(0), chosen.T @ z
        new = (1 - g) * counts(n), (1 - g) * sums(total, n)
        return CodeAverages(g * old(averages.counts) + new[0], g * averages.sums + new[1])

    return wrong


def _restart_all(codebook, z, *, generator):
    return z[torch.randperm(len(z), generator=generator)[: len(codebook)]]


def _restart_on_one(codebook, z, *, generator):
    dead = torch.bincount(quantize(z, codebook).codes, minlength=len(codebook)) == 0
    return torch.where(dead[:, None], z[torch.randint(len(z), (1,), generator=generator)], codebook)


def _scalar(steps):
    def wrong(z, levels, right=finite_scalar):
        top = torch.tensor(levels).to(z) - 1
        q = right(z, levels)
        return q._replace(z=(2 * steps(torch.tanh(z), top) / top - 1).detach() + z - z.detach())

    return wrong


def _terms(change):
    def wrong(model, x, n_samples=1, *, commitment=0.25, generator=None, right=vq_terms):
        return change(right(model, x, commitment=commitment), model, x, commitment)

    return wrong


def _values_of_the_loss(terms, model, x, commitment):
    q = quantize(model.encoder[:-1](x).reshape(len(x), -1, E), model.decoder[0].vectors)
    return terms._replace(log_likelihood=terms.log_likelihood - q.commitment_loss.sum(-1).detach())


def _other_beta(terms, model, x, commitment):
    return vq_terms(model, x, commitment=0.25)


LOOPS, CHECK = test_distances_and_nearest_codes_equal_loops, test_quantize_passes_the_check_of_learners
LLOYD, MINIBATCH = test_a_step_near_zero_decay_is_lloyds, test_equal_weights_are_minibatch_k_means_of_scikit_learn
PAPER, STAYS = test_many_steps_at_the_papers_decay_arrive_where_lloyd_does, test_a_code_that_nobody_chooses_stays
RESTARTS = test_restarts_move_dead_codes_onto_distinct_vectors_and_no_other
GRID, GRADIENT = test_all_codes_of_the_grid_occur_and_no_other, test_the_gradient_of_the_objective_is_the_papers
MISTAKES = {
    "both pull the codebook": ("quantize", _quantize(commitment_loss=lambda q, z, e: q.codebook_loss), CHECK, ()),
    "losses exchanged": (
        "quantize", _quantize(codebook_loss=lambda q, z, e: q.commitment_loss,
                              commitment_loss=lambda q, z, e: q.codebook_loss), CHECK, ()),
    "no straight-through": ("quantize", _quantize(z=lambda q, z, e: e[q.codes]), CHECK, ()),
    "gradient cut": ("quantize", _quantize(z=lambda q, z, e: q.z.detach()), CHECK, ()),
    "mean over dimensions": ("quantize", _quantize(codebook_loss=lambda q, z, e: q.codebook_loss / E), CHECK, ()),
    "perplexity in bits": ("perplexity", lambda c, n: 2 ** stats.entropy(np.bincount(c)),
                           test_perplexity_is_the_exponential_of_scipys_entropy, ([0, 0, 0, 1], None)),
    "perplexity as a count": ("perplexity", lambda c, n: float(len(c.unique())),
                              test_perplexity_is_the_exponential_of_scipys_entropy, ([0, 0, 0, 1], None)),
    "means in the place of sums": ("ema_update", _ema(sums=lambda s, n: s / n.clamp(min=1)[:, None]), LLOYD, ()),
    "counts as shares of the batch": ("ema_update", _ema(counts=lambda n: n / n.sum()), LLOYD, ()),
    "counts that forget nothing": ("ema_update", _ema(old=lambda t: t + 1e-3), PAPER, ()),
    "decay and 1 − decay exchanged": ("ema_update", _ema(decay=lambda g: 1 - g), MINIBATCH, ()),
    "at least one vector for each code": ("ema_update", _ema(counts=lambda n: n.clamp(min=1)), STAYS, ()),
    "restart of every code": ("restart_dead", _restart_all, RESTARTS, ()),
    "all dead codes onto one vector": ("restart_dead", _restart_on_one, RESTARTS, ()),
    "a level too many": (
        "finite_scalar", _scalar(lambda t, top: torch.round(0.5 * (top + 1) * (t + 1))), GRID, ([3, 3],)),
    "floor for round": ("finite_scalar", _scalar(lambda t, top: torch.floor(0.5 * top * (t + 1))), GRID, ([3, 3],)),
    "the gradient of z for that of tanh": (
        "finite_scalar", _scalar(lambda t, top: torch.round(0.5 * top * (t + 1))),
        test_the_gradient_of_finite_scalars_is_that_of_tanh, ()),
    "values of the loss": ("vq_terms", _terms(_values_of_the_loss),
                           test_the_values_are_those_of_the_elbo_and_the_gap_is_the_surprise_of_the_code, ()),
    "β fixed": ("vq_terms", _terms(_other_beta), GRADIENT, ()),
    "no divergence": ("vq_terms", _terms(lambda t, *_: t._replace(kl=0 * t.kl)),
                      test_deterministic_q_and_uniform_prior_have_the_divergence_log_c, ()),
}  # fmt: skip


@pytest.mark.parametrize("name, wrong, test, arguments", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_planted_mistake_is_caught(name, wrong, test, arguments, monkeypatch):
    monkeypatch.setattr(vq, name, wrong)
    with pytest.raises(AssertionError):
        test(*arguments)
