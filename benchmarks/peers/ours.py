"""This package: `fit` and `marginal_log_likelihood`, as its readers call them."""

from functools import cache

import torch
from torch import nn

from vae_tutorial.architectures import conv_vae
from vae_tutorial.evaluation import marginal_log_likelihood
from vae_tutorial.likelihoods import bernoulli
from vae_tutorial.models import mlp_vae
from vae_tutorial.training import evaluate, fit

BATCH_SIZE = {"mlp": 128, "compiled": 128, "conv": 100, "nll": 10}


def mlp(images):
    return _fit(mlp_vae(784, 400, 20, bernoulli, seed=0), images, BATCH_SIZE["mlp"])


@cache
def _to_be_compiled():
    return mlp_vae(784, 400, 20, bernoulli, seed=0)  # one object: a graph is made for a model


def compiled(images):
    """The same, compiled. The warm-up makes the graph; every training begins with the same weights."""
    model = _to_be_compiled()
    model.load_state_dict(mlp_vae(784, 400, 20, bernoulli, seed=0).state_dict())
    return _fit(model, images, BATCH_SIZE["compiled"], compile=True)


def conv(images):
    return _fit(conv_vae((28, 28), 20, bernoulli, seed=0), images, BATCH_SIZE["conv"])


def _fit(model, images, batch_size, **how):
    x = torch.from_numpy(images).float()

    def train():
        fit(model, x, epochs=1, seed=1, batch_size=batch_size, progress=False, **how)

    def loss(images):
        log_likelihood, kl = evaluate(model, torch.from_numpy(images).float(), seed=2)
        return kl - log_likelihood

    return train, loss


def nll(images):
    model = mlp_vae(784, (200, 200), 50, bernoulli, seed=0, activation=nn.Tanh)
    x, estimates = torch.from_numpy(images).float(), []

    def measure():
        estimates.append(marginal_log_likelihood(model, x, 5000, seed=1, progress=False))

    return measure, lambda images: -estimates[-1].mean().item()
