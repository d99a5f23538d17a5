"""Noise comes from the generator given, with the shape, dtype and device asked for."""

import threading

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from vae_tutorial._random import draw, initial_weights, standard_noise, uniform_noise
from vae_tutorial.architectures import conv1d_vae, conv_vae, resnet_vae
from vae_tutorial.likelihoods import bernoulli
from vae_tutorial.models import mlp_vae
from vae_tutorial.priors import Mixture

NOISE = pytest.mark.parametrize(
    "noise, distribution", [(standard_noise, stats.norm()), (uniform_noise, stats.uniform())], ids=["normal", "uniform"]
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@NOISE
def test_noise_has_its_distribution(noise, distribution):
    numbers = noise((200, 100), like=torch.zeros(1, dtype=torch.float64), generator=generator()).flatten()
    assert stats.kstest(numbers.numpy(), distribution.cdf).pvalue > 1e-6


@NOISE
def test_noise_is_that_of_the_generator(noise, distribution):
    state = torch.get_rng_state()
    like = torch.zeros(1)
    first, again, other = (noise((2, 3), like=like, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@NOISE
def test_noise_without_a_generator_is_that_of_the_global_one(noise, distribution):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        numbers = noise((4,), like=torch.zeros(1))
    assert torch.equal(numbers, noise((4,), like=torch.zeros(1), generator=generator(3)))


@NOISE
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_noise_has_the_shape_dtype_and_device_asked_for(noise, distribution, dtype):
    numbers = noise((4, 2, 3), like=torch.empty(1, dtype=dtype, device="meta"), generator=generator())
    assert (numbers.shape, numbers.dtype, numbers.device.type) == ((4, 2, 3), dtype, "meta")


@NOISE
def test_what_is_no_generator_is_named(noise, distribution):
    with pytest.raises(TypeError, match="generator"):
        noise((2,), like=torch.zeros(1), generator=5)


class Elsewhere(torch.Generator):
    device = torch.device("meta")


@pytest.mark.parametrize("given, place", [(None, "cpu"), (generator(), "cpu"), (Elsewhere(), "meta")])
def test_numbers_are_drawn_on_the_generators_device_whatever_the_default(given, place):
    drawn = []

    def sampler(shape, *, generator, dtype, device):
        assert generator is given
        drawn.append(torch.empty(shape, dtype=dtype, device=device))
        return drawn[0]

    with torch.device("meta"):
        numbers = draw(sampler, (2,), like=torch.zeros(1, device=place), generator=given)
    assert numbers is drawn[0] and numbers.device.type == place


def test_weights_of_a_seed_are_the_same_in_threads_and_touch_no_other_generator(monkeypatch):
    def build(seed):
        return [
            mlp_vae(3, 6, 2, bernoulli, seed=seed),
            conv_vae((4, 4), 2, bernoulli, seed=seed),
            resnet_vae((4, 4), 2, bernoulli, seed=seed),
            Mixture(2, 3, seed=seed),
        ]

    def weights(seed):
        return torch.cat([nn.utils.parameters_to_vector(model.parameters()).detach() for model in build(seed)])

    seeded, found, state = [], [], torch.get_rng_state()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    expected = [weights(seed) for seed in range(4)]
    threads = [
        threading.Thread(target=lambda seed=seed: found.extend((seed, weights(seed)) for _ in range(10)))
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40 and all(torch.equal(value, expected[seed]) for seed, value in found)
    assert seeded == [] and torch.equal(torch.get_rng_state(), state)


def test_weights_are_those_that_torch_manual_seed_gives():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        expected = nn.Linear(3, 2)
    with initial_weights(7):
        assert torch.equal(nn.Linear(3, 2).weight, expected.weight)


def test_an_error_while_weights_are_drawn_leaves_the_random_state():
    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), initial_weights(7):
        nn.Linear(3, 2)
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("seed", [1.5, "7", None, True, torch.tensor(7)])
@pytest.mark.parametrize(
    "build",
    [
        lambda seed: mlp_vae(3, 6, 2, bernoulli, seed=seed),
        lambda seed: conv_vae((4, 4), 2, bernoulli, seed=seed),
        lambda seed: conv1d_vae(4, 2, bernoulli, seed=seed),
        lambda seed: resnet_vae((4, 4), 2, bernoulli, seed=seed),
        lambda seed: Mixture(2, 3, seed=seed),
    ],
)
def test_what_is_no_seed_is_named(build, seed):
    with pytest.raises(TypeError, match="^seed must be an integer, such as seed=0, got "):
        build(seed)


def test_a_seed_of_numpy_is_a_seed():
    one, other = (mlp_vae(3, 6, 2, bernoulli, seed=seed) for seed in (3, np.int64(3)))
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    assert type(other.description["arguments"]["seed"]) is int
