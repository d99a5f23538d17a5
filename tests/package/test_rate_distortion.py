"""The rate–distortion plane: measured against exact terms, the frontier against searches that know no eigenvalue."""

import math

import pytest
import torch
from scipy import optimize
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_tutorial import rate_distortion as module
from vae_tutorial.bounds import elbo_terms
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.priors import Gaussian, Mixture
from vae_tutorial.rate_distortion import critical_betas, linear_frontier, rate_distortion, rates_by_unit
from vae_tutorial.reference import LinearGaussian, grid

K, B, D, L = 200, 6, 4, 2


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear_vae(noise_var=0.4):
    """A linear VAE that is no optimum, and the model that its decoder is."""
    exact = LinearGaussian(random(D, L, seed=0), noise_var, random(D, seed=1))
    encoder = nn.Linear(D, 2 * L, dtype=torch.float64)
    with torch.no_grad():
        encoder.weight.copy_(0.4 * random(2 * L, D, seed=2))
        encoder.bias.copy_(torch.tensor([0.3, -0.6, -1.0, 0.2]))
    return VAE(encoder, exact.decoder(), L, normal(math.log(noise_var))), exact


X = random(B, D, seed=3)


def kls(model, x):
    mu, log_var = (t.detach() for t in model.encode(x))
    return kl_divergence(Normal(mu, torch.exp(0.5 * log_var)), Normal(0.0, 1.0))  # (B, L)


# Where a model stands


def test_of_a_linear_vae_the_rate_is_exact_and_the_distortion_within_its_standard_errors():
    """Six distortions at once: beyond 5.5 standard errors with probability 2e-7."""
    model, exact = linear_vae()
    place = rate_distortion(model, X, 2000, seed=0)
    mu, log_var = (t.detach() for t in model.encode(X))
    torch.testing.assert_close(place.rate, kls(model, X).sum(-1), rtol=1e-12, atol=1e-12)
    right = -exact.elbo(X, mu, log_var) - kls(model, X).sum(-1)
    assert ((place.distortion - right) / place.distortion_stderr).abs().max() < 5.5
    assert place.distortion_stderr.max() < 1.5 and not place.rate_stderr.any()


def test_the_standard_errors_are_those_of_repeated_runs():
    """400 runs: their spread is known to 1/sqrt(800) = 3.5 % each; ours agrees to 20 %, six times that."""
    model, _ = linear_vae()
    runs = [rate_distortion(model, X, 50, seed=seed) for seed in range(400)]
    spread = torch.stack([run.distortion for run in runs]).std(0)
    told = torch.stack([run.distortion_stderr for run in runs]).square().mean(0).sqrt()
    assert ((told / spread).log().abs() < 0.2).all()
    means = torch.tensor([run.mean[1] for run in runs], dtype=torch.float64)
    of_mean = torch.tensor([run.mean_stderr[1] for run in runs], dtype=torch.float64).square().mean().sqrt()
    assert abs(math.log(of_mean / means.std())) < 0.2


def test_of_a_curved_model_it_agrees_with_quadrature():
    model = mlp_vae(5, 8, 1, bernoulli, seed=0, activation=nn.Tanh).double()
    x = (random(B, 5, seed=4) > 0).double()
    mu, log_var = (t.detach() for t in model.encode(x))
    z, cell = grid([-12.0], [12.0], 4001)
    weights = Normal(mu[:, 0], torch.exp(0.5 * log_var[:, 0])).log_prob(z).exp() * cell  # (n, B)
    with torch.no_grad():
        p = torch.sigmoid(model.decode(z))[:, None]
    log_likelihood = (x * p.log() + (1 - x) * torch.log1p(-p)).sum(-1)
    place = rate_distortion(model, x, 1000, seed=5)
    z_scores = (place.distortion + (weights * log_likelihood).sum(0)) / place.distortion_stderr
    assert z_scores.abs().max() < 5.5


def test_without_a_closed_form_the_rate_is_estimated_with_its_standard_error():
    model, _ = linear_vae()
    model.prior = Mixture(L, 3, seed=1).double()
    place = rate_distortion(model, X, 2000, seed=0)
    mu, log_var = (t.detach() for t in model.encode(X))
    z, cell = grid([-9.0] * L, [9.0] * L, 201)
    with torch.no_grad():
        log_p = model.prior.log_prob(z)
    for i in range(B):
        log_q = Normal(mu[i], torch.exp(0.5 * log_var[i])).log_prob(z).sum(-1)
        right = (log_q.exp() * (log_q - log_p)).sum() * cell
        assert 0 < place.rate_stderr[i] < 0.1
        assert abs(place.rate[i] - right) < 5.5 * place.rate_stderr[i]


def test_a_gaussian_prior_counts():
    model, _ = linear_vae()
    prior = model.prior = Gaussian(L).double()
    with torch.no_grad():
        prior.mu.copy_(torch.tensor([0.5, -1.0]))
        prior.log_var.copy_(torch.tensor([-0.7, 0.4]))
        mu, log_var = model.encode(X)
        units = kl_divergence(Normal(mu, (0.5 * log_var).exp()), Normal(prior.mu, (0.5 * prior.log_var).exp()))
    torch.testing.assert_close(rates_by_unit(model, X), units)
    torch.testing.assert_close(rate_distortion(model, X, 2, seed=0).rate, units.sum(-1))


def test_its_negative_sum_is_the_elbo_of_the_same_noise():
    model, _ = linear_vae()
    place = rate_distortion(model, X, 7, seed=3)
    eps = torch.randn((7, B, L), generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        torch.testing.assert_close(-(place.rate + place.distortion), elbo_terms(model, X, eps=eps).elbo)
    assert place.mean == (place.rate.mean().item(), place.distortion.mean().item())


def test_the_seed_alone_fixes_the_noise_whatever_the_dtype():
    model, _ = linear_vae()
    runs = [rate_distortion(model, X, 30, seed=seed).distortion for seed in (4, 4, 5)]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    single = rate_distortion(model.float(), X.float(), 30, seed=4)
    assert single.distortion.dtype == torch.float64 and single.rate.dtype == torch.float64
    torch.testing.assert_close(single.distortion, runs[0], rtol=1e-4, atol=1e-4)


def test_many_examples_and_draws_go_through_in_pieces(monkeypatch):
    """Pieces of three examples and of four draws, seven and ten of them: the same expectation, one value each."""
    model, exact = linear_vae()
    monkeypatch.setattr(module, "ROWS", 3)
    monkeypatch.setattr(module, "DRAWS", 40)
    x, seen = random(7, D, seed=6), []
    model.decoder.register_forward_hook(lambda network, inputs, output: seen.append(len(inputs[0])))
    place = rate_distortion(model, x, 100, seed=0)
    assert seen == [120, 120, 60] * 2 + [40, 40, 20]
    mu, log_var = (t.detach() for t in model.encode(x))
    right = -exact.elbo(x, mu, log_var) - place.rate
    assert place.distortion.shape == (7,) and ((place.distortion - right) / place.distortion_stderr).abs().max() < 5.5


def test_the_model_is_measured_in_evaluation_mode_and_left_as_it_was():
    model = mlp_vae(D, 8, L, normal(0.0), seed=0).double()
    model.encoder.insert(0, nn.Dropout(0.9))
    model.train()
    first, second = (rate_distortion(model, X, 5, seed=1) for _ in range(2))
    assert torch.equal(first.rate, second.rate) and model.encoder[0].training
    assert torch.equal(rates_by_unit(model, X), rates_by_unit(model, X)) and model.encoder[0].training
    assert not first.rate.requires_grad and not rates_by_unit(model, X).requires_grad


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_the_rates_of_the_units_are_their_kls_whatever_the_batch(batch_size):
    model, _ = linear_vae()
    torch.testing.assert_close(rates_by_unit(model, X, batch_size=batch_size), kls(model, X), rtol=1e-12, atol=1e-12)


def wrong_places(model, x, n_samples):
    """Wrong rates and distortions, each under its name, from the samples that right ones would take."""
    mu, log_var = (t.detach() for t in model.encode(x))
    eps = torch.randn((n_samples, len(x), L), generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        log_p = model.log_likelihood(x, mu + torch.exp(0.5 * log_var) * eps)
        at_mean = model.log_likelihood(x, mu)
        as_sd = model.log_likelihood(x, mu + torch.exp(log_var) * eps)
    rate, distortion = kls(model, x).sum(-1), -log_p.mean(0)
    return {
        "the log-likelihood without its sign": (rate, -distortion),
        "the distortion of the mean": (rate, -at_mean),
        "variance for standard deviation": (rate, -as_sd.mean(0)),
        "the mean over pixels": (rate, distortion / D),
        "log of the mean": (rate, -torch.logsumexp(log_p, 0) + math.log(n_samples)),
        "the sum over draws": (rate, distortion * n_samples),
        "the squared error": (rate, distortion - 0.5 * D * math.log(2 * math.pi * 0.4)),
        "half of the rate": (rate / 2, distortion),
        "the rate of the mean alone": (0.5 * mu.square().sum(-1), distortion),
        "the rate averaged over units": (rate / L, distortion),
        "the rate in bits": (rate / math.log(2), distortion),
        "the two exchanged": (distortion, rate),
        "the rate twice": (rate, distortion + rate),
    }


def test_wrong_places_are_caught():
    model, exact = linear_vae()
    mu, log_var = (t.detach() for t in model.encode(X))
    rate = kls(model, X).sum(-1)
    distortion = -exact.elbo(X, mu, log_var) - rate
    stderr = rate_distortion(model, X, 2000, seed=0).distortion_stderr
    for name, (wrong_rate, wrong_distortion) in wrong_places(model, X, 2000).items():
        off = ((wrong_distortion - distortion) / stderr).abs().max() > 5.5
        assert off or (wrong_rate - rate).abs().max() > 1e-6, name


# The frontier: a search in the expected loss, which knows the covariance and no eigenvalue

SPECTRUM = torch.tensor([3.0, 1.3, 0.6, 0.2], dtype=torch.float64)
AXES = torch.linalg.qr(random(4, 4, seed=11))[0]
S = AXES * SPECTRUM @ AXES.T


def found(beta, *, latent_dim, noise_var=None, seed=0):
    """Rate, distortion and noise variance of the best linear VAE, by L-BFGS from random weights."""
    V, W = (0.4 * random(*shape, seed=seed + i) for i, shape in enumerate([(latent_dim, D), (D, latent_dim)]))
    log_s2 = torch.zeros(latent_dim, dtype=torch.float64)
    log_v = torch.tensor(0.0 if noise_var is None else math.log(noise_var), dtype=torch.float64)
    weights = [V, W, log_s2] + ([log_v] if noise_var is None else [])
    for weight in weights:
        weight.requires_grad_()
    climber = torch.optim.LBFGS(
        weights, max_iter=2000, history_size=30, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def terms():
        lost = torch.eye(D, dtype=torch.float64) - W @ V
        error = (lost @ S @ lost.T).trace() + (W.square() * log_s2.exp()).sum()
        rate = 0.5 * ((V @ S @ V.T).diagonal() + log_s2.exp() - 1 - log_s2).sum()
        return rate, 0.5 * D * (math.log(2 * math.pi) + log_v) + 0.5 * error * torch.exp(-log_v)

    def loss():
        climber.zero_grad()
        rate, distortion = terms()
        value = distortion + beta * rate
        value.backward()
        return value

    climber.step(loss)
    rate, distortion = terms()
    return rate.item(), distortion.item(), log_v.exp().item()


CASES = [  # beta, latent_dim, noise_var: all live, some do, none does
    (0.3, 4, 0.5), (0.3, 2, 0.5), (1.0, 3, 0.5), (1.7, 3, 0.5), (3.0, 4, 0.5), (7.0, 2, 0.5), (2.0, 3, 0.08),
    (0.6, 2, None), (1.0, 3, None), (1.3, 2, None), (1.3, 4, None), (2.0, 3, None), (2.6, 3, None),
]  # fmt: skip


@pytest.fixture(scope="module")
def searched():
    return {case: found(case[0], latent_dim=case[1], noise_var=case[2]) for case in CASES}


def test_the_frontier_is_where_a_search_ends(searched):
    for (beta, latent_dim, noise_var), (rate, distortion, v) in searched.items():
        best = linear_frontier(SPECTRUM, beta, latent_dim=latent_dim, noise_var=noise_var)
        assert best.rate.item() == pytest.approx(rate, abs=1e-5)
        assert best.distortion.item() == pytest.approx(distortion, abs=1e-5)
        assert best.noise_var.item() == pytest.approx(v, rel=1e-5)
        assert best.rates.shape == (latent_dim,)


def variant(level=lambda b, v: b * v, log=torch.log, half=0.5, kept=torch.minimum, const=True, left=True, over=2.0):
    """The frontier at a given noise variance with one thing changed."""

    def frontier(beta, latent_dim, v):
        tau, v = torch.tensor(level(beta, v)).double(), torch.tensor(v).double()
        used, rest = SPECTRUM[:latent_dim], SPECTRUM[latent_dim:].sum() if left else 0.0
        rate = (half * log(used.clamp(min=tau) / tau)).sum()
        errors = kept(used, tau.expand_as(used)).sum() + rest
        return rate, (0.5 * D * torch.log(2 * math.pi * v) if const else 0.0) + errors / (over * v)

    return frontier


WRONG_FRONTIERS = {
    "β left out": variant(level=lambda b, v: v),
    "β alone": variant(level=lambda b, v: b),
    "β divides": variant(level=lambda b, v: v / b),
    "a standard deviation": variant(level=lambda b, v: b * math.sqrt(v)),
    "β squared": variant(level=lambda b, v: b * b * v),
    "a rate without ½": variant(half=1.0),
    "a rate in bits": variant(log=torch.log2),
    "nothing lost where a latent lives": variant(kept=lambda a, tau: torch.where(a > tau, 0.0, a)),
    "the larger for the smaller": variant(kept=torch.maximum),
    "all lost": variant(kept=lambda a, tau: a),
    "no normalizer": variant(const=False),
    "the dropped directions forgotten": variant(left=False),
    "σ² for 2σ²": variant(over=1.0),
    "L ignored": lambda b, n, v: variant()(b, D, v),
    "the trailing directions": lambda b, n, v: (
        (0.5 * (SPECTRUM.flip(0)[:n].clamp(min=b * v) / (b * v)).log()).sum(), variant()(b, n, v)[1]
    ),
}  # fmt: skip


def test_the_right_variant_is_the_frontier():
    """Or nothing would follow from the wrong ones."""
    rate, distortion = variant()(1.7, 3, 0.5)
    best = linear_frontier(SPECTRUM, 1.7, latent_dim=3, noise_var=0.5)
    torch.testing.assert_close(torch.stack([rate, distortion]), torch.stack([best.rate, best.distortion]))


@pytest.mark.parametrize("wrong", WRONG_FRONTIERS.values(), ids=WRONG_FRONTIERS)
def test_wrong_frontiers_are_caught(wrong, searched):
    gaps = [
        max(abs(a - b) for a, b in zip(wrong(beta, latent_dim, v), ends, strict=False))
        for (beta, latent_dim, v), ends in searched.items()
        if v is not None
    ]
    assert max(gaps) > 1e-2


WRONG_NOISE = {
    "that of probabilistic PCA, whatever β": lambda lam, n, b: lam[n:].sum() / (len(lam) - n),
    "the mean over all directions": lambda lam, n, b: lam[n:].sum() / len(lam),
    "β on the wrong side": lambda lam, n, b: lam[n:].sum() / (len(lam) - n / b),
    "one latent too many": lambda lam, n, b: lam[n + 1 :].sum() / (len(lam) - (n + 1) * b),
    "the level itself": lambda lam, n, b: b * lam[n:].sum() / (len(lam) - n * b),
}


@pytest.mark.parametrize("wrong", WRONG_NOISE.values(), ids=WRONG_NOISE)
def test_wrong_noise_variances_are_caught(wrong, searched):
    gaps = []
    for (beta, latent_dim, noise_var), (*_, v) in searched.items():
        if noise_var is None:
            n = int((critical_betas(SPECTRUM, latent_dim=latent_dim) > beta).sum())
            gaps.append(abs(wrong(SPECTRUM, n, beta) / v - 1))
    assert max(gaps) > 0.05


def test_at_beta_1_it_is_the_maximum_of_the_likelihood():
    """Probabilistic PCA, judged by a 4 × 4 covariance matrix and a sample that has the covariance exactly."""
    v, L = 0.5, 3
    model = LinearGaussian(AXES[:, :L] * (SPECTRUM[:L] - v).clamp(min=0).sqrt(), v)
    x = random(50, D, seed=9)
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / 50)).T * SPECTRUM.sqrt() @ AXES.T
    best = linear_frontier(SPECTRUM, 1.0, latent_dim=L, noise_var=v)
    torch.testing.assert_close(-(best.rate + best.distortion), model.log_marginal(x).mean())


def test_rate_plus_distortion_is_at_least_the_entropy():
    entropy = MultivariateNormal(torch.zeros(D).double(), S).entropy()
    for v in (0.1, 0.2, 0.5, None):
        for beta in (0.3, 1.0, 1.5, 4.0):
            best = linear_frontier(SPECTRUM, beta, latent_dim=2, noise_var=v)
            assert best.rate + best.distortion > entropy
    own = torch.tensor([3.0, 1.0, 0.5, 0.5], dtype=torch.float64)  # of a model with this noise
    best = linear_frontier(own, 1.0, latent_dim=2, noise_var=0.5)
    exact = MultivariateNormal(torch.zeros(D).double(), own.diag()).entropy()
    torch.testing.assert_close(best.rate + best.distortion, exact)


def test_its_slope_is_minus_beta():
    """A central difference along β; the error is of the order of the step squared."""
    for beta in (0.7, 1.9, 4.0):
        ends = [linear_frontier(SPECTRUM, beta + h, latent_dim=3, noise_var=0.4) for h in (-1e-4, 1e-4)]
        slope = (ends[1].distortion - ends[0].distortion) / (ends[1].rate - ends[0].rate)
        assert slope.item() == pytest.approx(-beta, rel=1e-6)


def test_no_encoder_of_any_shape_does_better_in_one_direction():
    """Blahut's and Arimoto's iteration on a grid: q(z|x) of any shape, and its own prior."""
    lam, v, beta = 1.3, 0.4, 1.5
    x, z = (torch.linspace(-7, 7, n, dtype=torch.float64) for n in (281, 141))
    weights = torch.exp(-(x**2) / (2 * lam))
    weights = weights / weights.sum()
    likeness = torch.exp(-((x[:, None] - z) ** 2) / (2 * beta * v))
    prior = torch.full_like(z, 1 / len(z))
    for _ in range(3000):
        prior = prior * (weights[:, None] * likeness / (likeness @ prior)[:, None]).sum(0)
    least = -beta * (weights * torch.log(likeness @ prior)).sum() + 0.5 * math.log(2 * math.pi * v)
    best = linear_frontier(torch.tensor([lam]), beta, latent_dim=1, noise_var=v)
    assert (best.distortion + beta * best.rate).item() == pytest.approx(least.item(), abs=1e-4)


def test_scaled_data_change_nothing_where_the_noise_is_learned():
    small, large = (linear_frontier(c * SPECTRUM, 1.4, latent_dim=3) for c in (1.0, 9.0))
    torch.testing.assert_close(small.rates, large.rates)
    torch.testing.assert_close(large.distortion - small.distortion, torch.tensor(0.5 * D * math.log(9.0)).double())


def test_the_order_the_dtype_and_rounding_of_the_eigenvalues_do_not_matter():
    best = linear_frontier(SPECTRUM, 1.2, latent_dim=2, noise_var=0.3)
    for lam in (SPECTRUM.flip(0), SPECTRUM.float(), SPECTRUM[[2, 0, 3, 1]]):
        for ours, theirs in zip(linear_frontier(lam, 1.2, latent_dim=2, noise_var=0.3), best, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    singular = torch.tensor([1.0, 0.5, -1e-17], dtype=torch.float64)
    assert linear_frontier(singular, 0.1, latent_dim=3, noise_var=0.3).rates[2] == 0
    assert critical_betas(singular, latent_dim=3)[2] == 0


# Where latents die


@pytest.mark.parametrize("noise_var", [0.5, None], ids=["noise given", "noise learned"])
def test_a_latent_lives_just_below_its_critical_beta_and_is_dead_at_it(noise_var):
    critical = critical_betas(SPECTRUM, latent_dim=3, noise_var=noise_var)
    for number, beta in enumerate(critical.tolist()):
        how = dict(latent_dim=3, noise_var=noise_var)
        below, above = (linear_frontier(SPECTRUM, beta * f, **how).rates for f in (0.99, 1.01))
        assert below[number] > 1e-3 and above[number] == 0
        assert (above[:number] > 1e-3).all()


@pytest.mark.parametrize("noise_var, beta", [(0.5, 2.6), (None, 4 / (2 + 0.8 / 1.3))], ids=["given", "learned"])
def test_a_search_finds_the_death_of_the_second_latent(noise_var, beta):
    """1.3 / 0.5, and D / (2 + (0.6 + 0.2) / 1.3): a rank of the decoder on either side."""
    assert critical_betas(SPECTRUM, latent_dim=2, noise_var=noise_var)[1].item() == pytest.approx(beta)
    below, above = (found(beta * f, latent_dim=2, noise_var=noise_var)[0] for f in (0.97, 1.03))
    one = [linear_frontier(SPECTRUM, beta * f, latent_dim=1, noise_var=noise_var).rate.item() for f in (0.97, 1.03)]
    assert below > one[0] + 5e-3 and above == pytest.approx(one[1], abs=1e-5)


def test_critical_betas_with_learned_noise_solve_their_equation():
    """Without counting: the level at which the gradient in log σ² vanishes, by bisection."""
    critical = critical_betas(SPECTRUM, latent_dim=3)

    def slope(log_level, beta):
        level = math.exp(log_level)
        return D / beta - sum(min(1.0, a / level) for a in SPECTRUM[:3].tolist()) - SPECTRUM[3].item() / level

    for number, beta in enumerate(critical.tolist()):
        level = math.exp(optimize.brentq(slope, -8, 5, args=(beta,), xtol=1e-12))
        assert level == pytest.approx(SPECTRUM[number].item(), rel=1e-9)


def test_with_learned_noise_no_latent_dies_below_beta_1():
    for seed in range(20):
        lam = random(5, seed=seed).exp()
        assert critical_betas(lam, latent_dim=5).min() >= 1 - 1e-12
        assert critical_betas(lam, latent_dim=5).max() <= 5


WRONG_CRITICAL = {
    "σ for σ²": lambda lam, v: lam / math.sqrt(v),
    "the square root": lambda lam, v: (lam / v).sqrt(),
    "the inverse": lambda lam, v: v / lam,
    "1 added": lambda lam, v: lam / v + 1,
    "some noise taken off": lambda lam, v: (lam - v / 4) / v,
    "noise forgotten": lambda lam, v: lam,
    "without order": lambda lam, v: lam.flip(0) / v,
}


@pytest.mark.parametrize("wrong", WRONG_CRITICAL.values(), ids=WRONG_CRITICAL)
def test_wrong_critical_betas_are_caught(wrong):
    """A rate just below the wrong value that is 0, or one at it that is not."""
    right = True
    for number, beta in enumerate(wrong(SPECTRUM, 0.5).tolist()):
        how = dict(latent_dim=4, noise_var=0.5)
        below, above = (linear_frontier(SPECTRUM, beta * f, **how).rates[number] for f in (0.99, 1.01))
        right &= bool(below > 1e-3 and above == 0)
    assert not right


# What is refused


@pytest.mark.parametrize("how, error, message", [
    (dict(model=nn.Linear(2, 2)), TypeError, "model must be a VAE, got Linear"),
    (dict(x=[1.0]), TypeError, "x must be a torch.Tensor, got list"),
    (dict(x=X.long()), TypeError, "x must hold floating-point numbers"),
    (dict(x=X[0]), ValueError, r"x must have shape \(B, D\)"),
    (dict(x=X[:, :3]), ValueError, "does not fit the network"),
    (dict(x=X * math.nan), ValueError, "x must be finite"),
    (dict(n_samples=1), ValueError, "n_samples must be at least 2, or there is no standard error, got 1"),
    (dict(n_samples=0), ValueError, "n_samples must be an integer of at least 1, got 0"),
    (dict(n_samples=2.5), ValueError, "n_samples must be an integer of at least 1, got 2.5"),
    (dict(seed=0.5), TypeError, "seed must be an integer"),
    (dict(seed=None), TypeError, "seed must be an integer"),
])  # fmt: skip
def test_wrong_arguments_of_the_measurement_are_named(how, error, message):
    how = dict(model=linear_vae()[0], x=X, n_samples=5, seed=0) | how
    with pytest.raises(error, match=message):
        rate_distortion(how.pop("model"), how.pop("x"), **how)


def test_units_without_a_kl_are_refused_by_name():
    model, _ = linear_vae()
    model.prior = Mixture(L, 2, seed=0).double()
    with pytest.raises(TypeError, match="needs the posterior diagonal and the prior .* got Diagonal and Mixture"):
        rates_by_unit(model, X)
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, got 0"):
        rates_by_unit(linear_vae()[0], X, batch_size=0)
    with pytest.raises(TypeError, match="model must be a VAE"):
        rates_by_unit(nn.Linear(2, 2), X)


@pytest.mark.parametrize("how, error, message", [
    (dict(eigenvalues=[1.0]), TypeError, "eigenvalues must be a torch.Tensor, got list"),
    (dict(eigenvalues=torch.eye(3)), ValueError, r"eigenvalues must have shape \(D,\).*got shape \(3, 3\)"),
    (dict(eigenvalues=torch.tensor([1.0, -0.5])), ValueError, r"at least 0 and not all 0, got shape \(2,\) in \[-0.5"),
    (dict(eigenvalues=torch.zeros(3)), ValueError, "not all 0"),
    (dict(eigenvalues=torch.tensor([1.0, math.inf])), ValueError, "eigenvalues must be finite"),
    (dict(latent_dim=5), ValueError, "latent_dim must be at most D = 4, got 5"),
    (dict(latent_dim=0), ValueError, "latent_dim must be an integer of at least 1, got 0"),
    (dict(latent_dim=1.5), ValueError, "latent_dim must be an integer of at least 1, got 1.5"),
    (dict(noise_var=0.0), ValueError, "noise_var must be above 0, got 0.0"),
    (dict(noise_var=-1.0), ValueError, "noise_var must be above 0, got -1.0"),
    (dict(noise_var="1"), TypeError, "noise_var must be one finite number, got '1'"),
])  # fmt: skip
def test_wrong_arguments_of_the_frontier_are_named(how, error, message):
    how = dict(eigenvalues=SPECTRUM, latent_dim=2, noise_var=0.5) | how
    eigenvalues = how.pop("eigenvalues")
    with pytest.raises(error, match=message):
        linear_frontier(eigenvalues, 1.0, **how)
    with pytest.raises(error, match=message):
        critical_betas(eigenvalues, **how)


@pytest.mark.parametrize("beta, error, message", [
    (0.0, ValueError, "beta must be above 0, got 0.0"),
    (-1.0, ValueError, "beta must be above 0, got -1.0"),
    (math.nan, ValueError, "beta must be one finite number, got nan"),
    ("1", TypeError, "beta must be one finite number, got '1'"),
])  # fmt: skip
def test_a_beta_that_is_none_is_refused(beta, error, message):
    with pytest.raises(error, match=message):
        linear_frontier(SPECTRUM, beta, latent_dim=2, noise_var=0.5)


@pytest.mark.parametrize("lam, beta", [(SPECTRUM, 0.9), (torch.tensor([1.0, 0.5, 0.0, 0.0]), 1.2)])
def test_learned_noise_that_falls_to_0_is_no_optimum(lam, beta):
    with pytest.raises(ValueError, match=r"noise_var has no optimum: \d latents explain all of the variance at beta="):
        linear_frontier(lam, beta, latent_dim=4 if lam is SPECTRUM else 2)


@pytest.mark.parametrize("extreme", [1e300, 1e-300])
def test_a_level_beyond_floating_point_is_refused(extreme):
    with pytest.raises(ValueError, match="rates must be finite"):
        linear_frontier(SPECTRUM, extreme, latent_dim=2, noise_var=extreme)


def test_where_every_small_noise_variance_is_best_the_largest_is_given():
    """At β = 1 with L = D: the least eigenvalue, whose model has the entropy; so has any smaller noise variance."""
    entropy = MultivariateNormal(torch.zeros(D).double(), S).entropy()
    best = linear_frontier(SPECTRUM, 1.0, latent_dim=D)
    torch.testing.assert_close(best.noise_var, SPECTRUM.min())
    for v in (0.2, 0.1, 0.01):
        at_v = linear_frontier(SPECTRUM, 1.0, latent_dim=D, noise_var=v)
        torch.testing.assert_close(at_v.rate + at_v.distortion, entropy)
    larger = linear_frontier(SPECTRUM, 1.0, latent_dim=D, noise_var=0.22)
    assert larger.rate + larger.distortion > entropy + 1e-3


def test_the_standard_error_of_two_draws_is_half_their_distance():
    model, _ = linear_vae()
    eps = torch.randn((2, B, L), generator=torch.Generator().manual_seed(8)).double()
    with torch.no_grad():
        first, second = (elbo_terms(model, X, eps=draw[None]).log_likelihood for draw in eps)
    place = rate_distortion(model, X, 2, seed=8)
    torch.testing.assert_close(place.distortion_stderr, (first - second).abs() / 2)
