"""Every entry of check_posterior_step's catalogue is told apart; learners' steps are judged in test_checks."""

import math

import pytest
import torch
from planted import STEPS_RIGHT, STEPS_WRONG
from torch.distributions import MultivariateNormal

from vae_tutorial.checks import check_posterior_step, mistakes
from vae_tutorial.checks.answers import evaluate
from vae_tutorial.checks.diffusion_step import joined, pair_in_decimals, points
from vae_tutorial.diffusion import posterior_step


def test_at_least_twelve_are_wrong_and_four_right():
    assert len(STEPS_WRONG) >= 12 and len(STEPS_RIGHT) >= 4


@pytest.mark.parametrize("clause", mistakes.POSTERIOR_STEP, ids=lambda clause: clause[:40] or "right")
def test_every_entry_of_the_catalogue_is_told_from_all_others(clause):
    check = check_posterior_step(mistakes.POSTERIOR_STEP[clause])
    assert check.passed if not clause else check.mistake.startswith(f"It {clause}.")


@pytest.mark.parametrize("seed", range(5))
def test_fresh_arguments_do_not_change_the_verdict(seed):
    assert check_posterior_step(posterior_step, seed=seed).passed


def test_the_oracle_is_bayes_theorem():
    """log q(z_s | z_t, x) is log q(z_t | z_s) + log q(z_s | x) but for a constant, and so is its slope."""
    given = points(2, 1, 1.3, -0.6)
    found = evaluate(pair_in_decimals, given).value
    z_t, x, s, t = (value.detach() for value in given.values())
    a_s, a_t = (1 / (1 + math.exp(-v.item())) for v in (s, t))
    kept = math.sqrt(a_t / a_s)
    for row in range(2):
        mean, log_var = found[row]
        z = torch.linspace(-3, 3, 7).double()
        q = MultivariateNormal(mean[None], log_var.exp()[None, None]).log_prob(z[:, None])
        below = torch.distributions.Normal(math.sqrt(a_s) * x[row], math.sqrt(1 - a_s)).log_prob(z)
        above = torch.distributions.Normal(kept * z, math.sqrt(1 - a_t - kept**2 * (1 - a_s))).log_prob(z_t[row])
        torch.testing.assert_close((below + above - q).diff(), torch.zeros(6).double(), rtol=0, atol=1e-10)


def test_the_slopes_of_the_oracle_are_finite_differences():
    given = points(3, 2, 1.3, -0.6)
    found = evaluate(pair_in_decimals, given).gradients
    weights = torch.linspace(1, 2, 12).reshape(3, 4).double()
    values = {name: value.detach() for name, value in given.items()}
    for name in ("z_t", "x"):
        for i in range(6):
            step = torch.zeros(6).double()
            step[i] = 1e-6
            ends = [
                (weights * pair_in_decimals(**values | {name: values[name] + sign * step.view(3, 2)})).sum()
                for sign in (1, -1)
            ]
            assert found[name].flatten()[i].item() == pytest.approx((ends[0] - ends[1]).item() / 2e-6, abs=1e-7)


@pytest.mark.parametrize(
    "fn, words",
    [
        (lambda *given: posterior_step(*given)[0], "returned Tensor, where a pair (mean, log_var) is expected"),
        (lambda *given: (*posterior_step(*given), 0), "returned tuple of 3, where a pair"),
        (lambda z, x, s, t: (x.sum(-1), x), "returned a mean of shape"),
        (lambda z, x, s, t: (x, x.sum(-1)), "returned a log-variance of shape"),
        (lambda *given: 1 / 0, "it raised ZeroDivisionError"),
        (lambda z, x, s, t: posterior_step(z, x, s, t if s - t > 0.01 else t - 1), "For a small step"),
        (lambda z, x, s, t: posterior_step(z, x, s, t.clamp(-9, 9)), "Where nearly all is signal"),
        (lambda z, x, s, t: posterior_step(z[:30], x[:30], s, t), "For 33 rows"),
    ],
)
def test_what_else_is_wrong_is_told(fn, words):
    check = check_posterior_step(fn)
    assert not check.passed and words in check.mistake, check.mistake


def test_what_cannot_be_called_is_the_callers_error():
    with pytest.raises(TypeError, match="must be the function to check, got Tensor"):
        check_posterior_step(torch.ones(3))


def test_a_pair_is_one_tensor():
    given = points(3, 2, 1.3, -0.6)
    both = joined(posterior_step)(*given.values())
    assert both.shape == (3, 4)
