"""What tells one objective, or one model, from another; and what does not."""

import logging
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from vae_tutorial.bounds import elbo, elbo_terms, iwae_terms
from vae_tutorial.likelihoods import bernoulli, continuous_bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.priors import Mixture, standard_normal
from vae_tutorial.training.identity import architecture, identity


class Weighted:
    def __init__(self, weight, **more):
        self.weight = weight
        vars(self).update(more)

    def __call__(self, model, x, n_samples, *, generator):
        return elbo_terms(model, x, n_samples, generator=generator)

    def method(self):
        pass


def holding(value):
    return lambda model, x, n_samples, *, generator: (elbo_terms, value)


def of_default(value):
    def objective(model, x, n_samples=value, *, generator=value):
        pass

    return objective


LONG = torch.ones(5000)
OTHER = torch.cat([torch.ones(1000), torch.full((3000,), 9.0), torch.ones(1000)])  # prints the same, with an ellipsis
DIFFERENT = {
    "functions of the package": (elbo_terms, iwae_terms),
    "lambdas": (lambda m, x: m + x, lambda m, x: m - x),
    "constants": (lambda x: 2.0 * x, lambda x: 3.0 * x),
    "functions inside": (lambda x: [i for i in x if i > 1], lambda x: [i for i in x if i > 2]),
    "what a lambda holds": (holding(1.0), holding(5.0)),
    "tensors that a lambda holds": (holding(LONG), holding(OTHER)),
    "arrays": (holding(LONG.numpy()), holding(OTHER.numpy())),
    "defaults": (of_default(1), of_default(2)),
    "partials": (partial(elbo_terms, analytic_kl=True), partial(elbo_terms, analytic_kl=False)),
    "tensors in partials": (partial(elbo_terms, eps=LONG), partial(elbo_terms, eps=OTHER)),
    "attributes": (Weighted(1.0), Weighted(5.0)),
    "attributes of attributes": (Weighted([{"a": (1, {2})}]), Weighted([{"a": (1, {3})}])),
    "dtypes": (Weighted(torch.ones(2)), Weighted(torch.ones(2).double())),
    "methods": (Weighted(1.0).method, Weighted(2.0).method),
    "modules": (Weighted(nn.ReLU()), Weighted(nn.Tanh())),
    "weights of modules": (Weighted(nn.Linear(1, 1)), Weighted(nn.Linear(1, 1))),
    "number and text": (Weighted(1), Weighted("1")),
}


@pytest.mark.parametrize("one, other", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_differs_has_another_identity(one, other):
    assert identity(one) != identity(other)
    assert identity(one) == identity(one)


def itself(value):
    value.me = value
    return value


SAME = {
    "lambdas of one line": [holding(2.0) for _ in range(2)],
    "equal tensors": [partial(elbo_terms, eps=torch.ones(3)) for _ in range(2)],
    "equal objects": [Weighted({"a": np.ones(2), "b": torch.float32}) for _ in range(2)],
    "objects that hold themselves": [itself(Weighted(1.0)) for _ in range(2)],
    "modules of Python and loggers": [Weighted(torch, log=logging.getLogger("x")) for _ in range(2)],
    "objects without attributes": [Weighted(torch.Generator()) for _ in range(2)],
    "nothing assigned yet": [Weighted(None) for _ in range(2)],
}


@pytest.mark.parametrize("one, other", SAME.values(), ids=SAME.keys())
def test_what_is_made_alike_has_one_identity(one, other):
    assert one is not other and identity(one) == identity(other)
    assert " at 0x" not in identity(one)


def test_functions_of_the_package_are_known_by_name():
    assert identity(elbo_terms) == "vae_tutorial.bounds.elbo_terms"
    assert identity(elbo) == "vae_tutorial.bounds.elbo"


def test_the_model_that_is_trained_is_not_looked_at():
    models = [mlp_vae(3, 4, 2, bernoulli, seed=seed) for seed in (0, 1)]
    assert len({identity(holding(model), model) for model in models}) == 1
    assert len({identity(holding(model)) for model in models}) == 2


def made(likelihood=bernoulli, seed=0, **how):
    return mlp_vae(3, 4, 2, likelihood, seed=seed, **how)


def with_dropout(p):
    model = made()
    model.encoder.append(nn.Dropout(p))
    return model


class Scaled(nn.Linear):
    def __init__(self, factor):
        super().__init__(2, 3)
        self.factor = factor


MODELS = {
    "activation": (made(activation=nn.ReLU), made(activation=nn.Tanh)),
    "likelihood": (made(), made(continuous_bernoulli)),
    "its variance": (made(normal(0.0)), made(normal(-2.0))),
    "prior": (made(prior=standard_normal), made(prior=Mixture(2, 1, seed=0))),
    "widths": (made(), mlp_vae(3, 5, 2, bernoulli, seed=0)),
    "a setting of a layer": (with_dropout(0.1), with_dropout(0.2)),
    "an attribute of one's own": tuple(VAE(nn.Linear(3, 4), Scaled(f), 2, bernoulli) for f in (1.0, 2.0)),
    "a function in a layer's place": (
        VAE(lambda x: x, nn.Linear(2, 3), 2, bernoulli),
        VAE(lambda x: 2 * x, nn.Linear(2, 3), 2, bernoulli),
    ),
    "a likelihood of one's own": (made(), made(bernoulli._replace(name="", mean=lambda p: p))),
}


@pytest.mark.parametrize("one, other", MODELS.values(), ids=MODELS.keys())
def test_models_that_compute_something_else_have_another_architecture(one, other):
    assert architecture(one) != architecture(other)


def test_weights_mode_and_what_was_computed_are_no_architecture():
    one, other = made(), made(seed=1).eval()
    other.encoder.last_seen = torch.ones(3)
    assert architecture(one) == architecture(other)
    assert architecture(one)["encoder.1"] == "torch.nn.modules.activation.ReLU(inplace=False)"
