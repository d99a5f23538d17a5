"""Noise comes from the generator given, with the shape, dtype and device asked for."""

import pytest
import torch
from scipy import stats

from vae_tutorial._random import draw, standard_noise, uniform_noise

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
