"""What a factory records of its call builds the same model again, by way of JSON."""

import inspect
import json
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from vae_tutorial._description import described, written
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.posteriors import Diagonal, diagonal
from vae_tutorial.priors import Mixture, standard_normal

BERNOULLI = {"name": "bernoulli", "arguments": {}}


def build(width, sizes=(3, 4), *, likelihood=bernoulli, rate=0.25, activation=nn.Tanh, name=None):
    """A model of nothing but what it was called with."""
    return SimpleNamespace(called_with=(width, sizes, likelihood, rate, activation, name), description=None)


def test_a_call_is_recorded_with_its_defaults():
    arguments = {"width": 2, "sizes": [3, 4], "likelihood": BERNOULLI}
    arguments |= {"rate": 0.25, "activation": "Tanh", "name": None}
    assert described(build)(2).description == {"factory": "build", "arguments": arguments}


def test_a_call_is_recorded_as_json_holds_it():
    sizes = [np.int64(5), (np.int32(6), 7)]
    description = described(build)(width=np.int64(2), sizes=sizes, likelihood=normal(-1.5), name="x").description
    assert json.loads(json.dumps(description)) == description
    arguments = description["arguments"]
    likelihood = {"name": "normal", "arguments": {"log_var": -1.5}}
    assert arguments | {"sizes": [5, [6, 7]], "likelihood": likelihood, "name": "x"} == arguments


def test_a_prior_is_recorded_as_its_class_is_called_and_what_is_usual_not_at_all():
    def with_parts(prior=standard_normal, posterior=diagonal):
        return SimpleNamespace()

    def with_none(prior=None, posterior=None, name=None):
        return SimpleNamespace()

    assert described(with_parts)().description["arguments"] == {}
    assert described(with_none)().description["arguments"] == {"name": None}
    arguments = described(with_parts)(Mixture(2, 3, seed=4), Diagonal()).description["arguments"]
    mixture = {"name": "Mixture", "arguments": {"latent_dim": 2, "n_components": 3, "seed": 4}}
    assert arguments == {"prior": mixture, "posterior": {"name": "Diagonal", "arguments": {}}}


def test_a_call_is_read_as_it_is_written():
    assert written("") is None and written("bernoulli") == BERNOULLI
    assert written("f(a=-1.5, b=(2, 'x'))") == {"name": "f", "arguments": {"a": -1.5, "b": (2, "x")}}
    assert written("a.f(b=1)") == {"name": "a.f(b=1)", "arguments": {}}


def test_the_factory_gets_what_it_was_called_with():
    sizes = (1, 2)
    made = described(build)(np.int64(2), sizes, activation=nn.ReLU)
    assert made.called_with == (2, sizes, bernoulli, 0.25, nn.ReLU, None) and made.called_with[1] is sizes


def test_a_described_factory_shows_as_itself():
    factory = described(build)
    assert (factory.__name__, factory.__doc__) == (build.__name__, build.__doc__)
    assert inspect.signature(factory) == inspect.signature(build)


def test_a_wrong_call_is_the_factorys_own_error():
    with pytest.raises(TypeError, match=r"build\(\) missing 1 required positional argument: 'width'"):
        described(build)()


@pytest.mark.parametrize("name", ["", "two real columns, one of bits", "made(of=something)", "a ± b"])
def test_a_name_that_is_no_call_is_recorded_as_none(name):
    assert written(name) is None
    assert described(build)(2, likelihood=bernoulli._replace(name=name)).description["arguments"]["likelihood"] is None
