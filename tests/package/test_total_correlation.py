"""Total correlation against quadrature, SciPy, enumeration of every minibatch, and loops over numbers."""

import itertools
import math

import numpy as np
import pytest
import torch
from fixed import values
from scipy import stats
from torch.distributions import MultivariateNormal, Normal

from vae_tutorial import total_correlation as module
from vae_tutorial.likelihoods import normal
from vae_tutorial.models import mlp_vae
from vae_tutorial.posteriors import CouplingFlow
from vae_tutorial.reference import grid, kl_quadrature
from vae_tutorial.total_correlation import (
    aggregated,
    gaussian_total_correlation,
    kl_parts,
    minibatch_stratified,
    minibatch_weighted,
    pairwise_log_q,
)

N, L = 5, 2
MU = values(N, L, seed=1, scale=1.3)
LOG_VAR = -0.6 + values(N, L, seed=2, scale=0.5)
Z = values(7, L, seed=3, scale=1.5)
BOX = [-9.0] * L, [9.0] * L, 181
COV = torch.tensor([[2.0, 0.9, -0.4], [0.9, 1.0, 0.1], [-0.4, 0.1, 0.7]], dtype=torch.float64)


def densities(z):
    """Each q(z_l|x_n), number by number by SciPy: (S, N, L)."""
    sd = torch.exp(0.5 * LOG_VAR)
    return np.array(
        [[[stats.norm.pdf(p[d], m[d], s[d]) for d in range(L)] for m, s in zip(MU, sd, strict=True)] for p in z]
    )


def test_of_a_gaussian_it_is_the_kl_from_the_product_of_its_marginals():
    cov = COV[:2, :2]
    joint, marginals = MultivariateNormal(torch.zeros(2).double(), cov), Normal(0.0, cov.diagonal().sqrt())
    by_quadrature = kl_quadrature(joint.log_prob, lambda z: marginals.log_prob(z).sum(-1), [-14.0] * 2, [14.0] * 2, 301)
    assert module.gaussian_total_correlation(cov).item() == pytest.approx(by_quadrature.item(), abs=1e-10)


def test_in_three_dimensions_it_is_a_sum_of_entropies_and_knows_no_scale():
    entropies = [stats.norm.entropy(scale=math.sqrt(v)) for v in COV.diagonal()]
    right = sum(entropies) - stats.multivariate_normal.entropy(np.zeros(3), COV.numpy())
    assert module.gaussian_total_correlation(COV).item() == pytest.approx(right, abs=1e-12)
    scale = torch.tensor([0.1, 3.0, 20.0], dtype=torch.float64)
    scaled = module.gaussian_total_correlation(torch.stack([COV, scale[:, None] * COV * scale]))
    torch.testing.assert_close(scaled, torch.full((2,), right, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert module.gaussian_total_correlation(torch.diag(scale)).abs() < 1e-12


def test_the_matrix_holds_every_point_under_every_example():
    torch.testing.assert_close(
        module.pairwise_log_q(Z, MU, LOG_VAR).exp().numpy(), densities(Z), rtol=1e-12, atol=1e-14
    )


def test_the_aggregated_posterior_is_the_mean_of_all():
    logs = module.aggregated(module.pairwise_log_q(Z, MU, LOG_VAR))
    d = densities(Z)
    np.testing.assert_allclose(logs.joint, np.log(d.prod(-1).mean(1)), rtol=1e-12)
    np.testing.assert_allclose(logs.marginals, np.log(d.mean(1)), rtol=1e-12)
    np.testing.assert_allclose(logs.dependence, logs.joint - logs.marginals.sum(-1), rtol=1e-12)


def test_each_marginal_is_the_integral_of_the_joint():
    z, _ = grid(*BOX)
    joint = module.aggregated(module.pairwise_log_q(z, MU, LOG_VAR)).joint.exp().reshape(181, 181)
    line = torch.linspace(-9, 9, 181, dtype=torch.float64)
    marginals = module.aggregated(module.pairwise_log_q(torch.stack([line, line], -1), MU, LOG_VAR)).marginals.exp()
    torch.testing.assert_close(joint.sum(1) * 0.1, marginals[:, 0], rtol=0, atol=1e-10)
    torch.testing.assert_close(joint.sum(0) * 0.1, marginals[:, 1], rtol=0, atol=1e-10)


def test_minibatch_weighted_is_the_papers_sum():
    d = densities(MU[:3] + 0.2)[:, :3]
    logs = module.minibatch_weighted(module.pairwise_log_q(MU[:3] + 0.2, MU[:3], LOG_VAR[:3]), 11)
    np.testing.assert_allclose(logs.joint, np.log(d.prod(-1).sum(1) / (11 * 3)), rtol=1e-12)
    np.testing.assert_allclose(logs.marginals, np.log(d.sum(1) / (11 * 3)), rtol=1e-12)


@pytest.mark.parametrize("m", range(2, N + 1))
def test_stratified_is_unbiased_over_all_minibatches_and_weighted_is_not(m):
    """The z of one example, with every choice of m − 1 others; of a point far from all, and one between them."""
    exact = module.aggregated(module.pairwise_log_q(Z, MU, LOG_VAR))
    for own in range(N):
        means = {module.minibatch_stratified: 0.0, module.minibatch_weighted: 0.0}
        others = list(itertools.combinations([n for n in range(N) if n != own], m - 1))
        for chosen in others:
            rows = [own, *chosen]
            for estimate in means:
                for i, point in enumerate(Z):
                    z = torch.cat([point[None], torch.zeros(m - 1, L).double()])
                    logs = estimate(module.pairwise_log_q(z, MU[rows], LOG_VAR[rows]), N)
                    mean = torch.zeros(len(Z), 1 + L).double()
                    mean[i] = torch.cat([logs.joint[:1], logs.marginals[0]]).exp() / len(others)
                    means[estimate] = means[estimate] + mean
        right = torch.cat([exact.joint[:, None], exact.marginals], -1).exp()
        torch.testing.assert_close(means[module.minibatch_stratified], right, rtol=1e-12, atol=1e-16)
        assert (means[module.minibatch_weighted] < 0.9 * right).all()


def test_on_all_data_stratified_is_exact_and_weighted_log_n_too_small():
    log_q = module.pairwise_log_q(MU + 0.3, MU, LOG_VAR)
    exact, weighted = module.aggregated(log_q), module.minibatch_weighted(log_q, N)
    for part in range(2):
        torch.testing.assert_close(module.minibatch_stratified(log_q, N)[part], exact[part], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(weighted[part] + math.log(N), exact[part], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(weighted.dependence - exact.dependence, torch.full((N,), (L - 1) * math.log(N)).double())


def test_of_one_example_stratified_has_its_own_alone():
    logs = module.minibatch_stratified(module.pairwise_log_q(Z[:1], MU[:1], LOG_VAR[:1]), 10)
    assert logs.joint.item() == pytest.approx(math.log(densities(Z)[0, 0].prod() / 10), abs=1e-12)


def linear_code():
    """A model whose encodings are fixed and unlike each other, and its data set."""
    model = mlp_vae(3, 6, L, normal(0.0), seed=4).double()
    with torch.no_grad():
        head = model.encoder[-1]
        head.weight[:L] = 4.0 * head.weight[:1] + torch.tensor([[1.0], [0.5]]) * head.weight[:L]  # both say the same
        head.bias[L:] = torch.tensor([-1.5, -1.0])
    return model, values(6, 3, seed=5, scale=2.0)


def test_the_parts_of_the_kl_are_those_of_quadrature():
    model, x = linear_code()
    parts = module.kl_parts(model, x, 4000, seed=6)
    mu, log_var = (t.detach() for t in model.encode(x))
    q = [Normal(m, torch.exp(0.5 * v)) for m, v in zip(mu, log_var, strict=True)]

    def log_joint(z):
        return torch.logsumexp(torch.stack([one.log_prob(z).sum(-1) for one in q]), 0) - math.log(len(q))

    def log_product(z):
        return (torch.logsumexp(torch.stack([one.log_prob(z) for one in q]), 0) - math.log(len(q))).sum(-1)

    def log_prior(z):
        return Normal(0.0, 1.0).log_prob(z).sum(-1)

    box = [-11.0] * 2, [11.0] * 2, 241
    z, cell = grid(*box)
    information = sum(kl_quadrature(lambda z, one=one: one.log_prob(z).sum(-1), log_joint, *box) for one in q) / len(q)
    dependence = kl_quadrature(log_joint, log_product, *box)
    by_dimension = (log_joint(z).exp() * cell * (log_product(z) - log_prior(z))).sum()
    assert dependence > 0.05 and information > 0.3
    for part, right in zip(parts, (information, dependence, by_dimension), strict=True):
        assert abs(part.z_score(right)) < 5 and part.stderr < 0.03
    total = sum(part.mean for part in parts)
    kl = torch.stack([torch.distributions.kl_divergence(one, Normal(0.0, 1.0)).sum() for one in q]).mean()
    assert (total - kl).abs() < 0.05


def test_the_parts_are_drawn_by_the_seed_and_leave_the_model_as_it_was():
    model, x = linear_code()
    model.train()
    one, same, other = (module.kl_parts(model, x, seed=seed) for seed in (1, 1, 2))
    assert one == same and one != other and model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_more_than_a_hundred_rows_are_as_one_piece():
    model, _ = linear_code()
    x = values(230, 3, seed=7)
    parts = module.kl_parts(model, x, seed=3)
    mu, log_var = (t.detach() for t in model.encode(x))
    eps = torch.randn(1, 230, L, generator=torch.Generator().manual_seed(3), dtype=torch.float64)[0]
    logs = module.aggregated(module.pairwise_log_q(mu + torch.exp(0.5 * log_var) * eps, mu, log_var))
    assert parts.total_correlation.mean.item() == pytest.approx(logs.dependence.mean().item(), abs=1e-12)


def flow():
    return mlp_vae(3, 4, 2, normal(0.0), seed=0, posterior=CouplingFlow(2, 1, 4, seed=0))


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: gaussian_total_correlation(torch.ones(2, 3)), ValueError, r"cov must be square, .* got \(2, 3\)"),
        (lambda: gaussian_total_correlation(torch.ones(2, 2)), ValueError, "cov must be positive definite"),
        (lambda: gaussian_total_correlation(torch.ones(2)), ValueError, "cov must be square"),
        (lambda: gaussian_total_correlation(torch.full((1, 1), math.inf)), ValueError, "cov must be finite"),
        (lambda: pairwise_log_q(Z, MU, LOG_VAR[:1]), ValueError, "same shape, got mu"),
        (lambda: pairwise_log_q(Z[:, :1], MU, LOG_VAR), ValueError, r"z must have shape \(S, L\) and mu \(N, L\)"),
        (lambda: pairwise_log_q(Z[0], MU, LOG_VAR), ValueError, r"z must have shape \(S, L\)"),
        (lambda: pairwise_log_q(Z.float(), MU, LOG_VAR), TypeError, "same dtype"),
        (lambda: pairwise_log_q(Z / 0, MU, LOG_VAR), ValueError, "z must be finite"),
        (lambda: aggregated(Z), ValueError, r"log_q must have shape \(S, N, L\)"),
        (lambda: minibatch_weighted(torch.zeros(2, 3, 1), 9), ValueError, r"log_q must have shape \(M, M, L\)"),
        (lambda: minibatch_weighted(torch.zeros(3, 3, 1), 2), ValueError, "n_data must be at least the 3 examples"),
        (lambda: minibatch_stratified(torch.zeros(3, 3, 1), 2.5), ValueError, "n_data must be an integer"),
        (lambda: minibatch_stratified([1.0], 2), TypeError, "log_q must be a torch.Tensor"),
        (lambda: kl_parts(linear_code()[0], values(1, 3), 2, seed=0), ValueError, "x must hold at least 2 examples"),
        (lambda: kl_parts("model", Z, seed=0), TypeError, "model must be a VAE"),
        (lambda: kl_parts(linear_code()[0], values(4, 3), seed=0.5), TypeError, "seed must be an integer"),
        (lambda: kl_parts(linear_code()[0], values(4, 3), 0, seed=0), ValueError, "n_samples must be an integer"),
        (lambda: kl_parts(flow(), values(4, 3).float(), seed=0), TypeError, "must be the posterior diagonal, got Coup"),
    ],
)
def test_what_does_not_fit_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
