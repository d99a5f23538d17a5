"""`check_log_mixture` and `check_prior` pass what is right, catch what is wrong, and call it by its name."""

import math

import pytest
import torch
from planted import CORRECT_PRIORS, LINE, PLANE, WRONG_PRIORS, a_mixture, a_vamp, is_caught_and_named, passes

from vae_tutorial.checks import check_log_mixture, check_prior
from vae_tutorial.priors import Mixture, VampPrior
from vae_tutorial.priors.gaussians import StandardNormal


@pytest.mark.parametrize("case", CORRECT_PRIORS, ids=lambda case: case.name)
def test_right_priors_pass(case):
    check = passes(case)
    assert not check.mistake and check.gap < 1e-9


@pytest.mark.parametrize("case", WRONG_PRIORS, ids=lambda case: case.name)
def test_wrong_priors_are_caught_and_named(case):
    is_caught_and_named(case)


def test_enough_mistakes_are_planted():
    for kind in ("mixture: ", "prior: "):
        assert sum(case.name.startswith(kind) for case in WRONG_PRIORS) >= 12


def test_a_prior_is_left_as_it_is():
    prior = a_vamp()
    before = [parameter.clone() for parameter in prior.belongs_to().parameters()]
    state = torch.get_rng_state()
    assert check_prior(prior, *PLANE)
    assert torch.equal(state, torch.get_rng_state())
    assert all(map(torch.equal, before, prior.belongs_to().parameters()))
    assert all(parameter.grad is None for parameter in prior.belongs_to().parameters())


def test_what_is_no_prior_and_no_grid_is_refused():
    with pytest.raises(TypeError, match="prior must be a Prior, such as priors.standard_normal, got 'normal'"):
        check_prior("normal", *LINE)
    with pytest.raises(TypeError, match="points must be a torch.Tensor"):
        check_prior(a_mixture(), [0.0], 1.0)
    with pytest.raises(ValueError, match=r"points must have shape \(N, L\), got \(3,\)"):
        check_prior(a_mixture(), torch.zeros(3), 1.0)
    with pytest.raises(ValueError, match="points must be finite"):
        check_prior(a_mixture(), torch.full((3, 2), math.nan), 1.0)
    with pytest.raises(TypeError, match="the first argument must be the function to check"):
        check_log_mixture(0.5)


def test_a_stub_is_the_learners_to_write():
    assert check_prior(a_mixture(log_prob=lambda s, z: ...), *PLANE).unwritten
    assert check_prior(a_mixture(sample=lambda s, shape, *, like, generator=None: ...), *PLANE).unwritten
    assert check_log_mixture(lambda z, logits, mu, log_var: ...).unwritten


def test_a_prior_of_no_model_says_what_it_lacks():
    assert (
        "a VampPrior has no encoder before it belongs to a model"
        in check_prior(VampPrior(5, 3, seed=0), *PLANE).mistake
    )


def test_a_grid_that_misses_the_prior_is_no_proof():
    assert "the points do not cover the prior" in check_prior(a_mixture(), PLANE[0] + 20, PLANE[1]).mistake


def test_one_dimension_is_no_cause_for_a_mixture_of_each_dimension_by_itself():
    mistake = check_prior(Mixture(1, 3, seed=0), LINE[0] / 3, LINE[1] / 3).mistake
    assert "the points do not cover the prior" in mistake and "by itself" not in mistake


class Drawn(StandardNormal):
    """Said to be standard normal; the draws are made of uniform and of Gaussian noise."""

    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def sample(self, shape, *, like, generator=None):
        how = dict(dtype=like.dtype, generator=generator)
        return self.draw(torch.rand(shape, **how), torch.randn(shape, **how))


def mirrored_together(uniform, normal):
    """Uncorrelated, each dimension Gaussian, yet their sizes are one."""
    return torch.stack([normal[..., 0], normal[..., 0] * (uniform[..., 0] - 0.5).sign()], -1)


def test_samples_of_the_right_mean_and_variance_are_told_apart():
    assert check_prior(Drawn(lambda uniform, normal: normal), *LINE)
    for draw in (
        lambda uniform, normal: math.sqrt(12) * (uniform - 0.5),
        lambda uniform, normal: (uniform - 0.5).sign() * math.sqrt(0.5) + math.sqrt(0.5) * normal,
        lambda uniform, normal: -1 - torch.log1p(-uniform),
    ):
        assert "averages lies" in check_prior(Drawn(draw), *LINE).mistake
    assert "averages lies" in check_prior(Drawn(mirrored_together), *PLANE).mistake
