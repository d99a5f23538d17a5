"""A program as users write it: what each call gives is asserted. `test_types` has mypy judge it, and runs it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import torch
from torch import Tensor, nn
from typing_extensions import assert_type

from vae_tutorial.architectures import conv1d_vae, conv_vae, resnet_vae
from vae_tutorial.bounds import ElboTerms, elbo, elbo_terms, iwae_bound, iwae_terms, log_weights
from vae_tutorial.checkpoints import load, save
from vae_tutorial.checks import Check, check_kl, check_log_prob
from vae_tutorial.datasets import binarize, digits
from vae_tutorial.evaluation import active_units, marginal_log_likelihood
from vae_tutorial.gaussian import kl_standard_normal
from vae_tutorial.history import History
from vae_tutorial.likelihoods import Likelihood, bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.schedules import Schedule, warmup_cosine
from vae_tutorial.training import Objective, evaluate, fit


class MlpFactory(Protocol):
    def __call__(
        self,
        x_dim: int,
        hidden_dim: int | Sequence[int],
        latent_dim: int,
        likelihood: Likelihood,
        *,
        seed: int,
        activation: type[nn.Module] = ...,
    ) -> VAE: ...


class ImageFactory(Protocol):
    def __call__(self, image_shape: tuple[int, int], latent_dim: int, likelihood: Likelihood, *, seed: int) -> VAE: ...


class SeriesFactory(Protocol):
    def __call__(self, n_steps: int, latent_dim: int, likelihood: Likelihood, *, seed: int) -> VAE: ...


# The factories take all that these signatures allow; test_types shows that they take nothing else.
mlp: MlpFactory = mlp_vae
images: tuple[ImageFactory, ...] = (conv_vae, resnet_vae)
series: SeriesFactory = conv1d_vae


def laplace_log_prob(x: Tensor, params: Tensor) -> Tensor:
    return -((x - params).abs() + torch.tensor(2.0).log()).sum(-1)


def laplace_sample(params: Tensor, generator: torch.Generator | None = None) -> Tensor:
    uniform = torch.rand(params.shape, generator=generator, dtype=params.dtype) - 0.5
    return params - uniform.sign() * torch.log1p(-2 * uniform.abs())


laplace = Likelihood(1, laplace_log_prob, lambda params: params, laplace_sample)


def weighted(model: VAE, x: Tensor, n_samples: int, *, generator: torch.Generator | None = None) -> ElboTerms:
    """An objective of one's own."""
    terms = elbo_terms(model, x, n_samples, generator=generator)
    return terms._replace(kl=0.5 * terms.kl)


def main(folder: Path) -> None:
    data = digits()
    x_train, x_test = (binarize(x, torch.Generator().manual_seed(0)) for x in (data.x_train, data.x_test))
    assert_type(x_train, Tensor)
    assert data.image_shape is not None  # as it is for points in the plane

    small = mlp_vae(64, (64, 32), 4, bernoulli, seed=0, activation=nn.Tanh)
    convolutional = conv_vae(data.image_shape, latent_dim=4, likelihood=bernoulli, seed=0)
    residual = resnet_vae(data.image_shape, 4, bernoulli, seed=0)
    assert_type(small, VAE)
    assert_type(convolutional, VAE)
    assert_type(residual, VAE)
    assert_type(conv1d_vae(64, 3, normal(0.0), seed=0), VAE)
    assert_type(small.encode(x_test), tuple[Tensor, ...])
    assert_type(small.decode(torch.zeros(2, 4)), Tensor)
    assert_type(small.sample(3), Tensor)

    lr = warmup_cosine(1e-3, n_steps=100, warmup=10)
    assert_type(lr, Schedule)
    history = fit(small, x_train, x_test, epochs=1, seed=0, lr=lr, checkpoint=folder / "run", progress=False)
    assert_type(history, History)
    assert_type(history.val_elbo, list[float])
    objectives: list[Objective] = [elbo_terms, iwae_terms, weighted, partial(elbo_terms, analytic_kl=False)]
    for objective in objectives:
        assert_type(evaluate(small, x_test, seed=0, objective=objective), tuple[float, float])

    assert_type(elbo_terms(small, x_test), ElboTerms)
    assert_type(elbo_terms(small, x_test).elbo, Tensor)
    assert_type(elbo(small, x_test, n_samples=2), Tensor)
    assert_type(iwae_bound(log_weights(small, x_test, 5)), Tensor)
    assert_type(marginal_log_likelihood(small, x_test, 10, seed=0, progress=False), Tensor)
    assert_type(active_units(small, x_test), Tensor)

    own = VAE(nn.Linear(64, 8), nn.Linear(4, 64), 4, laplace)
    assert_type(own.likelihood.log_prob(x_test, x_test), Tensor)
    assert_type(own.likelihood.mean(x_test), Tensor)
    assert_type(own.likelihood.sample(x_test, generator=torch.Generator()), Tensor)
    nodes = torch.linspace(-30, 30, 20_001, dtype=torch.float64)[:, None]
    assert_type(check_log_prob(laplace, nodes, cell=60 / 20_000), Check)
    assert check_log_prob(laplace, nodes, cell=60 / 20_000).passed
    assert_type(check_kl(kl_standard_normal).mistake, str)

    save(small, folder / "small.safetensors")
    assert_type(load(folder / "small.safetensors"), VAE)


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        main(Path(temporary))
