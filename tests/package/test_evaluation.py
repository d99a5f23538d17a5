"""log p(x) by importance sampling against exact answers, how it spends memory and noise; active units; bits."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vae_tutorial import evaluation
from vae_tutorial.bounds import iwae_bound, log_weights
from vae_tutorial.evaluation import active_units, bits_per_dim, marginal_log_likelihood, unit_activity
from vae_tutorial.gaussian import log_normal
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.reference import LinearGaussian, grid, log_marginal_quadrature, monte_carlo


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def binary(*shape, seed):
    return (random(*shape, seed=seed) > 0).double()


def quietly(model, x, n_samples, seed=0, **how):
    return marginal_log_likelihood(model, x, n_samples, seed=seed, progress=False, **how)


def curved():
    """A Bernoulli model with one latent dimension, whose decoder is not linear, and four examples."""
    model = mlp_vae(5, 8, 1, bernoulli, seed=0, activation=nn.Tanh).double()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(3)  # so that z matters
    return model, binary(4, 5, seed=1)


def by_quadrature(model, x):
    z, cell = grid([-12.0], [12.0], 4001)
    with torch.no_grad():
        logits = model.decode(z)
        p_x = torch.exp(logits @ x.T - F.softplus(logits).sum(-1, keepdim=True))  # (N, B)
    return torch.log((p_x * torch.exp(-(z**2) / 2)).sum(0) * cell / math.sqrt(2 * math.pi))


# log p(x)


def test_with_the_posterior_as_proposal_the_evidence_is_exact():
    exact = LinearGaussian(random(4, 1, seed=0), 0.4, random(4, seed=1))
    x = random(3, 4, seed=2)
    precision = 1 + exact.W.T @ exact.W / 0.4
    encoder = nn.Linear(4, 2, dtype=torch.float64)
    with torch.no_grad():
        encoder.weight.copy_(torch.cat([exact.W.T / 0.4 / precision, torch.zeros(1, 4).double()]))
        encoder.bias.copy_(torch.cat([-(exact.W.T @ exact.b) / 0.4 / precision[0], -precision[0].log()]))
    model = VAE(encoder, exact.decoder(), 1, normal(math.log(0.4)))
    for n_samples in (1, 1500):
        estimate = quietly(model, x, n_samples)
        torch.testing.assert_close(estimate, exact.log_marginal(x), rtol=0, atol=1e-12)


def assert_unbiased():
    """E[p_hat(x) / p(x)] = 1 on the curved model, at five standard errors; 300 seeds."""
    model, x = curved()
    exact = by_quadrature(model, x)
    draws = torch.stack([quietly(model, x, 20, seed=seed) for seed in range(300)])
    ratio = monte_carlo(torch.exp(draws - exact))
    assert ratio.stderr.max() < 0.05
    assert ratio.z_score(1.0).abs().max() < 5


def test_the_estimate_of_the_evidence_is_unbiased():
    model, x = curved()
    summed = by_quadrature(model, x)
    with torch.no_grad():
        other = log_marginal_quadrature(
            lambda z: model.log_likelihood(x, z[:, None].expand(-1, 4, -1)) + model.log_prior(z)[:, None],
            [-12.0],
            [12.0],
            4001,
        )
    torch.testing.assert_close(summed, other, rtol=0, atol=1e-12)
    assert_unbiased()


def test_many_samples_agree_with_quadrature():
    model, x = curved()
    estimate = quietly(model, x, 50_000)
    with torch.no_grad():
        ratio = torch.exp(log_weights(model, x, 50_000, generator=torch.Generator().manual_seed(1)) - estimate)
    error = ratio.std(0) / math.sqrt(50_000)
    assert error.max() < 0.02
    assert ((estimate - by_quadrature(model, x)) / error).abs().max() < 5


def weights(prior=1.0, q=1.0, plus=0.0, wider=0.0, join=lambda log_w: log_w, columns=lambda log_px: log_px):
    """`marginal_log_likelihood` with one part of its weights replaced: by a model whose distributions are wrong."""

    def replace(monkeypatch):
        log_prior, log_likelihood = VAE.log_prior, VAE.log_likelihood

        def samples(model, params, *, eps):
            mu, log_var = params
            z = mu + torch.exp(0.5 * log_var) * eps
            return z, q * log_normal(z, mu, log_var + wider) - plus

        monkeypatch.setattr(evaluation, "posterior_samples", samples)
        monkeypatch.setattr(VAE, "log_prior", lambda model, z: prior * log_prior(model, z))
        monkeypatch.setattr(VAE, "log_likelihood", lambda model, x, z: columns(log_likelihood(model, x, z)))
        logsumexp = torch.logsumexp
        monkeypatch.setattr(torch, "logsumexp", lambda log_w, axis: logsumexp(join(log_w), axis))

    return replace


WRONG = {
    "prior forgotten": weights(prior=0.0),
    "log q forgotten": weights(q=0.0),
    "likelihood alone": weights(prior=0.0, q=0.0),
    "log q of another variance": weights(wider=1.0),
    "log K forgotten": weights(plus=math.log(20)),
    "mean outside the logarithm": weights(join=lambda log_w: log_w.mean(0).expand_as(log_w)),
    "rows of other examples": weights(columns=lambda log_px: log_px.roll(1, -1)),
}


def test_right_weights_pass_in_the_place_of_the_packages(monkeypatch):
    weights()(monkeypatch)
    assert_unbiased()


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_unbiasedness_catches_wrong_weights(monkeypatch, wrong):
    wrong(monkeypatch)
    with pytest.raises(AssertionError):
        assert_unbiased()


@pytest.mark.parametrize("n_samples", [1, 30, 1000, 2300])  # below, at and above a block of noise, and ragged
def test_the_estimate_does_not_depend_on_the_chunk(n_samples):
    assert evaluation.NOISE_BLOCK == 1000
    model = mlp_vae(6, (10, 10), 3, bernoulli, seed=0).double()
    x = binary(7, 6, seed=1)  # seven: no multiple of the examples that go together
    reference = quietly(model, x, n_samples, chunk=n_samples)
    assert reference.shape == (7,) and reference.std() > 1e-3
    for chunk in (7, 90, 250, 1000, 5000):
        torch.testing.assert_close(quietly(model, x, n_samples, chunk=chunk), reference, rtol=0, atol=1e-12)
    if n_samples <= 30:
        torch.testing.assert_close(quietly(model, x, n_samples, chunk=1), reference, rtol=0, atol=1e-12)
    torch.testing.assert_close(quietly(model, x, n_samples), reference, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk", [250, 1000, 5000])
def test_float32_agrees_with_float64_on_a_model_of_images(chunk):
    model = mlp_vae(784, (200, 200), 50, bernoulli, seed=0, activation=nn.Tanh)
    x = binary(3, 784, seed=1).float()
    single = quietly(model, x, 2500, chunk=chunk)
    double = quietly(model.double(), x.double(), 2500, chunk=chunk)
    assert single.dtype == double.dtype == torch.float64
    assert (single - double).abs().max() < 1e-4  # the numbers are near -540, and 6e-5 apart in float32
    assert (quietly(model, x.double(), 2500, seed=1) - double).abs().min() > 1e-3  # other noise is told apart


def test_weights_are_summed_in_float64_whatever_the_model():
    model = mlp_vae(3, 4, 2, bernoulli, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.decoder[-1].bias.fill_(40.0)  # x is 1 for certain, whatever z, and q is the prior: all weights are 1
    assert quietly(model, torch.ones(2, 3), 1001, chunk=77).abs().max() < 1e-12  # of log 1001, float32 has 7 digits


@pytest.mark.parametrize("n_samples, chunk", [(5, 12), (5, 3), (5, 1), (40, 100), (1200, 700), (2300, 1500)])
def test_no_more_rows_than_a_chunk_go_through_the_decoder(n_samples, chunk):
    model, rows, encoded = mlp_vae(6, 10, 3, bernoulli, seed=0), [], []
    model.decoder[0].register_forward_hook(lambda layer, inputs, output: rows.append(inputs[0].shape[:-1].numel()))
    model.encoder[0].register_forward_hook(lambda layer, inputs, output: encoded.append(len(inputs[0])))
    quietly(model, binary(11, 6, seed=1).float(), n_samples, chunk=chunk)
    assert sum(encoded) == 11
    assert max(encoded) == 1 or max(encoded) * n_samples <= chunk  # the noise of so many examples is drawn at once
    assert sum(rows) == 11 * n_samples
    assert max(rows) <= chunk
    assert max(rows) > 0.5 * min(chunk, 11 * n_samples, 1000)  # and they are filled


def test_the_noise_is_that_of_the_seed_and_the_place_in_the_batch():
    model = mlp_vae(6, 10, 3, bernoulli, seed=0).double()
    x = binary(1, 6, seed=1).repeat(5, 1)  # one example five times: only the noise differs
    before = torch.get_rng_state()
    first = quietly(model, x, 10, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, quietly(model, x, 10, seed=3))
    assert not torch.equal(first, quietly(model, x, 10, seed=4))
    assert len(set(first.tolist())) == 5  # no two rows share their noise
    # Rows in front have the noise they have without those behind; a row cut out alone has that of place 0.
    torch.testing.assert_close(quietly(model, x[:3], 10, seed=3), first[:3], rtol=0, atol=1e-12)
    torch.testing.assert_close(quietly(model, x[3:4], 10, seed=3), first[:1], rtol=0, atol=1e-12)


def test_no_two_of_many_examples_share_their_noise():
    model = mlp_vae(6, 10, 3, bernoulli, seed=0).double()
    estimates = quietly(model, binary(1, 6, seed=1).repeat(400, 1), 1)
    assert len(set(estimates.tolist())) == 400


def test_the_noise_is_that_of_the_seed_whatever_the_default_dtype():
    model, x = curved()
    expected = quietly(model, x, 7)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(quietly(model, x, 7), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_model_in_bfloat16_is_measured_too():
    model, x = curved()
    estimate = quietly(model.bfloat16(), x.bfloat16(), 200)
    assert estimate.dtype == torch.float64 and (estimate - quietly(model.double(), x, 200)).abs().max() < 0.1


def test_a_thousand_rows_at_a_time_is_the_default():
    model, rows = mlp_vae(6, 10, 3, bernoulli, seed=0), []
    model.encoder[0].register_forward_hook(lambda layer, inputs, output: rows.append(len(inputs[0])))
    x = binary(1001, 6, seed=1).float()
    quietly(model, x, 1)
    unit_activity(model, x)
    assert rows == [1000, 1, 1000, 1]


def test_more_samples_keep_the_noise_of_fewer():
    model, x = curved()
    few, many = quietly(model, x, 1000), quietly(model, x, 3000)
    rest = torch.exp(many) * 3000 - torch.exp(few) * 1000  # what the last 2,000 weights add
    assert (rest > 0).all()
    torch.testing.assert_close(torch.log(rest / 2000), by_quadrature(model, x), rtol=0, atol=0.5)


def test_it_is_the_bound_of_independent_noise_and_keeps_no_graph():
    model, x = curved()
    estimate = quietly(model, x, 200)
    assert not estimate.requires_grad and estimate.shape == (4,)
    with torch.no_grad():
        own = iwae_bound(log_weights(model, x, 200, generator=torch.Generator().manual_seed(0)))
    assert 0 < (estimate - own).abs().max() < 1.0


def test_progress_is_shown_unless_it_is_unwanted(capsys):
    model, x = curved()
    marginal_log_likelihood(model, x, 5, seed=0)
    err = capsys.readouterr().err
    assert "4/4" in err and "example/s" in err
    quietly(model, x, 5)
    assert capsys.readouterr().err == ""


def test_arguments_of_the_marginal_likelihood():
    model, x = curved()
    for n in (0, -3, 2.0, "5"):
        with pytest.raises(ValueError, match="n_samples must be an integer of at least 1"):
            quietly(model, x, n)
        with pytest.raises(ValueError, match="chunk must be an integer of at least 1"):
            quietly(model, x, 5, chunk=n)
    with pytest.raises(TypeError, match="x must be a torch.Tensor"):
        quietly(model, x.numpy(), 5)
    with pytest.raises(TypeError, match="x must hold floating-point"):
        quietly(model, x.long(), 5)
    with pytest.raises(ValueError, match="x"):
        quietly(model, x[:, :4], 5)
    with pytest.raises(ValueError, match="x must be finite"):
        quietly(model, x.log(), 5)
    with pytest.raises(TypeError, match="seed"):
        marginal_log_likelihood(model, x, 5)


# Active units


def linear_encoder(rows):
    """A VAE whose encoder has these rows of weights for the means, and constant log-variances."""
    weight = torch.tensor(rows)
    encoder = nn.Linear(weight.shape[1], 2 * len(weight))
    with torch.no_grad():
        encoder.weight.copy_(torch.cat([weight, torch.zeros_like(weight)]))
        encoder.bias.copy_(torch.linspace(-3, 2, 2 * len(weight)))
    return VAE(encoder, nn.Linear(len(weight), weight.shape[1]), len(weight), bernoulli)


def test_activity_is_the_variance_of_the_means():
    model = linear_encoder([[1.0, 0.0], [0.5, -2.0], [0.0, 0.0]])
    x = random(50, 2, seed=0).float()
    means = x.numpy() @ np.array([[1.0, 0.5, 0.0], [0.0, -2.0, 0.0]])
    activity = unit_activity(model, x)
    torch.testing.assert_close(activity, torch.tensor(means.var(0, ddof=1)).float(), rtol=1e-5, atol=1e-6)
    assert activity[2] == 0 and not activity.requires_grad
    for batch_size in (1, 7, 50, 51):
        torch.testing.assert_close(unit_activity(model, x, batch_size=batch_size), activity, rtol=1e-5, atol=1e-6)


def test_two_examples_are_enough():
    activity = unit_activity(linear_encoder([[1.0, 0.0], [0.5, -2.0]]), torch.tensor([[1.0, 3.0], [4.0, 2.0]]))
    assert activity.tolist() == pytest.approx([4.5, 6.125])  # half the squared differences, 3 and 3.5


def test_a_unit_that_is_known_exactly_has_the_activity_of_the_prior():
    x = random(20_000, 2, seed=1).float()
    activity = unit_activity(linear_encoder([[1.0, 0.0], [0.6, 0.8]]), x)
    assert ((activity - 1) / math.sqrt(2 / 20_000)).abs().max() < 5


def test_active_units_lie_above_the_threshold():
    model = linear_encoder([[0.05, 0.0], [0.2, 0.0], [0.0, 1.0], [0.0, 0.0]])
    x = random(2000, 2, seed=2).float()
    assert active_units(model, x).tolist() == [False, True, True, False]  # 0.0025, 0.04, 1, 0
    assert active_units(model, x, threshold=0.5).tolist() == [False, False, True, False]
    assert active_units(model, x, threshold=1e-4).tolist() == [True, True, True, False]
    at = unit_activity(model, x)
    assert active_units(model, x, threshold=at[1].item()).tolist() == [False, False, True, False]  # not above itself


def test_arguments_of_active_units():
    model, x = linear_encoder([[1.0, 0.0]]), random(4, 2, seed=3).float()
    for of in (unit_activity, active_units):
        with pytest.raises(ValueError, match="at least 2 examples"):
            of(model, x[:1])
        with pytest.raises(TypeError, match="x must be a torch.Tensor"):
            of(model, x.tolist())
        with pytest.raises(ValueError, match="x"):
            of(model, x[:, :1])
        with pytest.raises(ValueError, match="x must be finite"):
            of(model, x * math.inf)
    for batch_size in (0, 2.5):
        with pytest.raises(ValueError, match="batch_size"):
            unit_activity(model, x, batch_size=batch_size)
    for threshold in (0.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="threshold"):
            active_units(model, x, threshold=threshold)
    with pytest.raises(TypeError, match="threshold"):
        active_units(model, x, threshold="high")


# Bits per dimension


def test_bits_of_fair_coins_and_of_levels():
    for D in (1, 3, 784):
        coins = torch.full((2, 3), D * math.log(0.5), dtype=torch.float64)
        torch.testing.assert_close(bits_per_dim(coins, D), torch.ones(2, 3).double(), rtol=0, atol=1e-14)
    levels = torch.zeros(4).double() - 12 * math.log(256)  # a uniform density of 12 dequantized levels, less D log n
    torch.testing.assert_close(bits_per_dim(levels, 12), torch.full((4,), 8.0).double(), rtol=0, atol=1e-13)
    assert bits_per_dim(coins.mean(), D).item() == pytest.approx(1.0)  # a mean over a test set has no axes
    assert bits_per_dim(torch.tensor([-1.0]), 1).item() == pytest.approx(1 / math.log(2))
    assert bits_per_dim(torch.tensor([2.0]), 4).item() == pytest.approx(-0.5 / math.log(2))  # of a density: below 0


def test_arguments_of_bits_per_dim():
    log_px = torch.tensor([-3.0, -4.0])
    for x_dim in (0, -1, 2.5):
        with pytest.raises(ValueError, match="x_dim must be an integer of at least 1"):
            bits_per_dim(log_px, x_dim)
    with pytest.raises(TypeError, match="log_px must be a torch.Tensor"):
        bits_per_dim(-3.0, 2)
    with pytest.raises(TypeError, match="log_px must hold floating-point"):
        bits_per_dim(torch.tensor([-3]), 2)
    with pytest.raises(ValueError, match="log_px must be finite"):
        bits_per_dim(torch.tensor([-math.inf]), 2)
    with pytest.raises(ValueError, match="no empty one"):
        bits_per_dim(torch.zeros(0), 2)


# What it leaves


@pytest.mark.parametrize(
    "measure",
    [
        lambda model, x: quietly(model, x, 50),
        unit_activity,
        lambda model, x: model.sample(5, generator=torch.Generator().manual_seed(0)),
    ],
    ids=["marginal_log_likelihood", "unit_activity", "sample"],
)
def test_measuring_is_in_evaluation_mode_and_leaves_each_module_in_its_own(measure):
    def network(n_in, n_out):
        return nn.Sequential(nn.Linear(n_in, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, n_out))

    model = VAE(network(3, 4), network(2, 3), 2, normal(0.0))
    model.decoder[2].eval()
    x = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
    modes, buffers, random_state = (
        [m.training for m in model.modules()],
        [b.clone() for b in model.buffers()],
        torch.get_rng_state(),
    )
    first = measure(model, x)
    assert [m.training for m in model.modules()] == modes and all(map(torch.equal, model.buffers(), buffers))
    assert torch.equal(torch.get_rng_state(), random_state) and not first.requires_grad
    model.eval()
    assert torch.equal(measure(model, x), first)
    for module, mode in zip(model.modules(), modes, strict=True):
        module.training = mode
    model.encoder[0].in_features = model.decoder[0].in_features = 99
    for network in (model.encoder, model.decoder):
        network[0].weight = nn.Parameter(torch.ones(8, 99))
    with pytest.raises(ValueError, match="does not fit the network"):
        measure(model, x)
    assert [m.training for m in model.modules()] == modes


def test_numbers_of_numpy_are_numbers():
    model, x = curved()
    assert torch.equal(
        marginal_log_likelihood(model, x, np.int64(7), seed=np.int64(1), chunk=np.int32(3), progress=False),
        marginal_log_likelihood(model, x, 7, seed=1, chunk=3, progress=False),
    )
    assert torch.equal(unit_activity(model, x, batch_size=np.int64(2)), unit_activity(model, x, batch_size=2))


@pytest.mark.parametrize("seed", [None, 1.5, "7", True])
def test_what_is_no_seed_is_named(seed):
    with pytest.raises(TypeError, match="^seed must be an integer, such as seed=0, got"):
        quietly(*curved(), 5, seed=seed)


def test_what_is_no_vae_is_named():
    for call in (lambda m: quietly(m, torch.rand(4, 3), 5), lambda m: unit_activity(m, torch.rand(4, 3))):
        with pytest.raises(TypeError, match="^model must be a VAE, got Linear; make one of its two networks"):
            call(nn.Linear(3, 4))
