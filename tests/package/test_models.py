"""The VAE's distributions, on models whose answers are known."""

import pytest
import torch
from scipy import stats
from torch import nn

from vae_tutorial.likelihoods import bernoulli, normal, normal_diag
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.reference import LinearGaussian, monte_carlo

D, L, B, K = 3, 2, 4, 5  # all different
X = torch.randn(B, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
W = torch.tensor([[1.0, -0.4], [0.3, 0.8], [-1.2, 0.5]], dtype=torch.float64)
BIAS = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
EXACT = LinearGaussian(W, 0.3, BIAS)


def linear_vae(likelihood=None):
    encoder = nn.Linear(D, 2 * L, dtype=torch.float64)
    return VAE(encoder, EXACT.decoder(), L, likelihood or normal(torch.tensor(0.3).log().item()))


def test_encoder_output_is_means_then_log_variances():
    model = linear_vae()
    mu, log_var = model.encode(X)
    out = X @ model.encoder.weight.T + model.encoder.bias
    torch.testing.assert_close(mu, out[:, :L])
    torch.testing.assert_close(log_var, out[:, L:])


def test_log_prior_and_log_likelihood_equal_scipy():
    model = linear_vae()
    z = torch.randn(K, B, L, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(model.log_prior(z), torch.as_tensor(stats.norm.logpdf(z).sum(-1)), rtol=1e-12, atol=0)
    expected = stats.norm.logpdf(X.numpy(), z.numpy() @ W.numpy().T + BIAS.numpy(), 0.3**0.5).sum(-1)
    got = model.log_likelihood(X, z)
    assert got.shape == (K, B)
    torch.testing.assert_close(got, torch.as_tensor(expected), rtol=1e-6, atol=0)  # log 0.3 came from float32
    torch.testing.assert_close(model.log_likelihood(X, z[1]), got[1])


def assert_samples(sample):
    """Mean and covariance of p(x) = N(b, W W^T + 0.3 I), nine z-tests; false alarm beyond six standard errors 2e-9."""
    x = sample(20_000) - BIAS
    rows, columns = torch.triu_indices(D, D)
    covariance = (W @ W.T + 0.3 * torch.eye(D, dtype=torch.float64))[rows, columns]
    assert monte_carlo(x).z_score(0).abs().max() < 6
    assert monte_carlo(x[:, rows] * x[:, columns]).z_score(covariance).abs().max() < 6


def test_samples_have_the_mean_and_covariance_of_the_model():
    model = linear_vae()
    assert_samples(lambda n: model.sample(n, generator=torch.Generator().manual_seed(4)))


WRONG_SAMPLES = {
    "the mean, without noise": lambda m, g, n: m.likelihood.mean(m.decode(noise(g, n, L))),
    "noise of variance 1": lambda m, g, n: m.decode(noise(g, n, L)) + noise(g, n, D),
    "z of half the width": lambda m, g, n: m.likelihood.sample(m.decode(noise(g, n, L) / 2), generator=g),
    "one z for all": lambda m, g, n: m.likelihood.sample(m.decode(noise(g, 1, L).expand(n, L)), generator=g),
    "z uniform": lambda m, g, n: m.likelihood.sample(m.decode(torch.rand(n, L, generator=g).double()), generator=g),
}


def noise(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("wrong", WRONG_SAMPLES.values(), ids=WRONG_SAMPLES.keys())
def test_the_z_tests_catch_a_wrong_sample(wrong):
    generator = torch.Generator().manual_seed(4)
    with pytest.raises(AssertionError):
        assert_samples(lambda n: wrong(linear_vae(), generator, n).detach())


def test_sample_repeats_with_the_seed_and_needs_no_gradient():
    model, before = linear_vae(), torch.get_rng_state()
    draws = [model.sample(K, generator=torch.Generator().manual_seed(s)) for s in (5, 5, 6)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), before)
    assert draws[0].shape == (K, D) and draws[0].dtype == torch.float64 and not draws[0].requires_grad


def test_a_reconstruction_is_the_mean_at_the_mean_and_needs_no_gradient():
    """Of the linear model, W μ(x) + b: no network is called, and no noise is drawn."""
    model, before = linear_vae(), torch.get_rng_state()
    mu = X @ model.encoder.weight[:L].T + model.encoder.bias[:L]
    expected = mu @ model.decoder.weight.T + model.decoder.bias
    given = model.reconstruct(X)
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-14)
    assert given.shape == X.shape and not given.requires_grad
    assert torch.equal(torch.get_rng_state(), before)


def test_a_reconstruction_is_measured_in_evaluation_mode():
    model = mlp_vae(D, 7, L, bernoulli, seed=0).double()
    model.encoder.append(nn.Dropout(0.5))
    model.train()
    assert torch.equal(model.reconstruct(X), model.reconstruct(X))
    assert model.training


def test_a_vae_that_is_called_says_what_to_call():
    with pytest.raises(TypeError, match=r"^a VAE is not called: model.encode\(x\) gives .*bounds.elbo\(model, x\)"):
        linear_vae()(X)


@pytest.mark.parametrize("likelihood", [bernoulli, normal_diag], ids=["one parameter", "two parameters"])
def test_mlp_vae_has_the_widths_asked_for(likelihood):
    model = mlp_vae(D, 7, L, likelihood, seed=0, activation=nn.Tanh)
    shapes = [tuple(parameter.shape) for parameter in model.parameters()]
    out = D * likelihood.n_params
    assert shapes == [(7, D), (7,), (2 * L, 7), (2 * L,), (7, L), (7,), (out, 7), (out,)]
    assert all(isinstance(network[1], nn.Tanh) for network in (model.encoder, model.decoder))
    assert isinstance(mlp_vae(D, 7, L, likelihood, seed=0).encoder[1], nn.ReLU)
    assert model.sample(4).shape == (4, D) and model.latent_dim == L and model.likelihood is likelihood


def test_mlp_vae_has_the_layers_asked_for():
    model = mlp_vae(D, (7, 5), L, bernoulli, seed=0, activation=nn.Tanh)
    shapes = [[tuple(p.shape) for p in network.parameters()][::2] for network in (model.encoder, model.decoder)]
    assert shapes == [[(7, D), (5, 7), (2 * L, 5)], [(5, L), (7, 5), (D, 7)]]
    assert [type(layer) for layer in model.decoder] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]


def test_mlp_vae_without_hidden_layers_is_linear():
    model = mlp_vae(D, (), L, normal(0.0), seed=0)
    z, shift = torch.randn(4, L), torch.randn(4, L)
    curvature = model.decode(z + shift) + model.decode(z - shift) - 2 * model.decode(z)
    assert curvature.abs().max() < 1e-6 and len(model.encoder) == 1


def test_one_width_in_a_sequence_is_the_same_model():
    one, same = (mlp_vae(D, width, L, bernoulli, seed=0) for width in (7, [7]))
    assert all(map(torch.equal, one.parameters(), same.parameters()))


@pytest.mark.parametrize("hidden_dim", [0, 2.5, (7, 0), (7, -1), "7", None])
def test_mlp_vae_refuses_widths_that_are_none(hidden_dim):
    with pytest.raises(ValueError, match="hidden_dim must be an integer of at least 1"):
        mlp_vae(D, hidden_dim, L, bernoulli, seed=0)


def test_mlp_vae_has_the_weights_of_its_seed():
    def weights(seed):
        return nn.utils.parameters_to_vector(mlp_vae(D, 7, L, bernoulli, seed=seed).parameters())

    before = torch.get_rng_state()
    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_encoder_and_decoder_of_the_wrong_width_are_refused():
    with pytest.raises(ValueError, match=r"encoder must give mu and log_var, shape \(4, 4\).*got \(4, 2\)"):
        VAE(nn.Linear(D, L).double(), EXACT.decoder(), L, normal(0.0)).encode(X)
    with pytest.raises(ValueError, match="params"):
        linear_vae(normal_diag).log_likelihood(X, torch.zeros(B, L, dtype=torch.float64))


def test_running_out_of_memory_is_not_taken_for_bad_input():
    class Full(nn.Module):
        def forward(self, x):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        VAE(Full(), EXACT.decoder(), L, normal(0.0)).encode(X)


def test_input_that_does_not_fit_the_network_is_named():
    with pytest.raises(ValueError, match=r"^x of shape \(4, 3\) and torch.float32 does not fit"):
        linear_vae().encode(X.float())
    with pytest.raises(ValueError, match=r"^x of shape \(4, 2\) and torch.float64 does not fit"):
        linear_vae().encode(X[:, :2])
    with pytest.raises(ValueError, match=r"^z of shape \(5, 2\) and torch.float32 does not fit"):
        linear_vae().decode(torch.zeros(5, 2))
