"""A likelihood that sees a window of the dimensions before: by dense Gaussians, at every window, and in a model."""

import math

import pytest
import torch
from fixed import values
from torch import nn
from torch.distributions import MultivariateNormal

from vae_tutorial.bounds import log_weights
from vae_tutorial.checkpoints import load, save
from vae_tutorial.evaluation import marginal_log_likelihood
from vae_tutorial.likelihoods import autoregressive_normal, normal_diag
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.reference import monte_carlo
from vae_tutorial.training import fit

D, B, K = 4, 3, 5
windows = pytest.mark.parametrize("window", range(6))  # wider than x, too


def dense(row, window):
    """The Gaussian of x that solves x = A x + m + e, one row of params."""
    m, log_var, *a = row.reshape(2 + window, D)
    A = torch.zeros(D, D, dtype=torch.float64)
    for j in range(min(window, D - 1)):
        for d in range(j + 1, D):
            A[d, d - j - 1] = a[j][d]
    solve = torch.linalg.inv(torch.eye(D).double() - A)
    return MultivariateNormal(solve @ m, solve @ torch.diag(log_var.exp()) @ solve.T)


@windows
def test_the_log_probability_is_that_of_the_dense_gaussian(window):
    likelihood, x = autoregressive_normal(window), values(B, D, seed=1)
    params = values(K, B, (2 + window) * D, seed=2, scale=0.6)
    found = likelihood.log_prob(x, params)
    assert found.shape == (K, B) and likelihood.n_params == 2 + window
    for k in range(K):
        for b in range(B):
            assert found[k, b].item() == pytest.approx(dense(params[k, b], window).log_prob(x[b]).item(), abs=1e-11)
    torch.testing.assert_close(likelihood.log_prob(x, params[0]), found[0], rtol=0, atol=1e-12)


@windows
def test_mean_and_draws_are_those_of_the_dense_gaussian(window):
    likelihood, params = autoregressive_normal(window), values((2 + window) * D, seed=3, scale=0.6)
    exact = dense(params, window)
    torch.testing.assert_close(
        likelihood.mean(params.expand(2, B, -1)), exact.mean.expand(2, B, -1), rtol=0, atol=1e-12
    )
    x = likelihood.sample(params.expand(40_000, -1), torch.Generator().manual_seed(0))
    centred = x - exact.mean
    assert monte_carlo(x).z_score(exact.mean).abs().max() < 5
    assert monte_carlo(centred[:, :, None] * centred[:, None, :]).z_score(exact.covariance_matrix).abs().max() < 5


def test_draws_take_their_noise_from_the_generator_and_keep_the_dtype():
    likelihood, params = autoregressive_normal(2), values(B, 4 * D, seed=3)
    a, b, c = (likelihood.sample(params, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c) and a.dtype == torch.float64
    half = likelihood.sample(params.half(), torch.Generator().manual_seed(0))
    assert half.dtype == torch.float16
    torch.testing.assert_close(likelihood.mean(params.half()).double(), likelihood.mean(params), rtol=1e-2, atol=1e-2)


def test_without_a_window_it_is_the_diagonal_gaussian():
    x, params = values(B, D), values(K, B, 2 * D, seed=1)
    assert torch.equal(autoregressive_normal(0).log_prob(x, params), normal_diag.log_prob(x, params))
    assert torch.equal(autoregressive_normal(0).mean(params), normal_diag.mean(params))


def test_a_window_that_is_none_is_named_and_likelihoods_are_equal_where_they_are():
    for wrong in (-1, 0.0, 1.5, True, False, "1", None):
        with pytest.raises(ValueError, match=f"window must be an integer of at least 0, got {wrong!r}"):
            autoregressive_normal(wrong)
    assert autoregressive_normal(2) == autoregressive_normal(2) != autoregressive_normal(1)
    assert autoregressive_normal(2).name == "autoregressive_normal(window=2)"
    with pytest.raises(ValueError, match="params must hold 3 numbers for each dimension of x"):
        autoregressive_normal(1).mean(torch.zeros(1, 4))


def test_a_model_with_it_is_trained_measured_and_kept(tmp_path):
    x = values(200, D, seed=5).cumsum(-1).float()
    model = mlp_vae(D, 8, 2, autoregressive_normal(1), seed=0)
    before = marginal_log_likelihood(model, x[:5], 500, seed=0, progress=False).mean()
    fit(model, x, epochs=30, seed=0, lr=5e-3, progress=False)
    assert marginal_log_likelihood(model, x[:5], 500, seed=0, progress=False).mean() > before + 2
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    measured = [marginal_log_likelihood(m, x[:5], 500, seed=0, progress=False) for m in (model, again)]
    assert torch.equal(*measured) and again.likelihood == autoregressive_normal(1)


class Decoder(nn.Module):
    """A linear offset; variances and coefficients that are the same for every z."""

    def __init__(self, gain, rest):
        super().__init__()
        self.gain, self.rest = gain, rest

    def forward(self, z):
        return torch.cat([z @ self.gain.T, self.rest.expand(len(z), -1)], -1)


def test_in_a_linear_model_weights_average_to_the_evidence():
    gain, rest = values(D, 1, seed=6), values(2 * D, seed=7, scale=0.4)
    decoder = Decoder(gain, rest)
    given_0 = dense(torch.cat([torch.zeros(D).double(), rest]), 1)
    pushed = dense(torch.cat([gain[:, 0], rest]), 1).mean
    evidence = MultivariateNormal(torch.zeros(D).double(), given_0.covariance_matrix + torch.outer(pushed, pushed))
    encoder = nn.Linear(D, 2).double()
    with torch.no_grad():
        encoder.weight.mul_(0.2)
        model, x = VAE(encoder, decoder, 1, autoregressive_normal(1)), values(B, D, seed=9)
        log_w = log_weights(model, x, 40_000, generator=torch.Generator().manual_seed(0))
    assert monte_carlo(torch.exp(log_w - evidence.log_prob(x))).z_score(1.0).abs().max() < 5
    assert math.isfinite(log_w.sum())
