"""Every entry of check_filter's catalogue is told apart; filters as learners write them are judged in test_checks."""

import pytest
import torch
from planted import FILTERS_RIGHT, FILTERS_WRONG, filter_textbook
from scipy.stats import multivariate_normal

from vae_tutorial.checks import check_filter, mistakes
from vae_tutorial.checks.filters import by_joint_covariance, joined, system


def test_at_least_twelve_are_wrong_and_four_right():
    assert len(FILTERS_WRONG) >= 12 and len(FILTERS_RIGHT) >= 4


@pytest.mark.parametrize("clause", mistakes.FILTER, ids=lambda clause: clause[:40] or "right")
def test_every_entry_of_the_catalogue_is_told_from_all_others(clause):
    check = check_filter(mistakes.FILTER[clause])
    assert check.passed if not clause else check.mistake.startswith(f"It {clause}.")


@pytest.mark.parametrize("seed", range(3))
def test_fresh_arguments_do_not_change_the_verdict(seed):
    assert check_filter(filter_textbook, seed=seed).passed


def test_the_oracle_s_numbers_are_those_of_draws_weighted_by_the_likelihood():
    """Two steps: draws of z from the prior, weighted by log p(x_{1:t} | z) of SciPy; 400,000 draws."""
    given = {name: value.numpy() for name, value in system(2, 1, 2).items()}
    x, A, C, Q, R, m0, P0 = given.values()
    exact = by_joint_covariance(*map(torch.from_numpy, (x, A, C, Q, R, m0, P0)))
    z_1 = torch.from_numpy(multivariate_normal(m0, P0).rvs(400_000, random_state=0))
    z_2 = z_1 @ torch.from_numpy(A.T) + torch.from_numpy(multivariate_normal([0, 0], Q).rvs(400_000, random_state=1))
    log_w = torch.zeros(400_000, dtype=torch.float64)
    for t, z in enumerate((z_1, z_2)):
        log_w = log_w + torch.from_numpy(multivariate_normal(x[t], R).logpdf(z @ torch.from_numpy(C.T)))
        w = log_w.exp() / log_w.exp().sum()
        mean = w @ z
        stderr = ((w**2) @ (z - mean) ** 2).sqrt()
        assert ((mean - exact[t, :2]).abs() < 5 * stderr).all()
    p = log_w.exp()
    assert abs(p.mean() - exact[0, -1].exp()) < 5 * p.std() / 400_000**0.5


@pytest.mark.parametrize(
    "fn, words",
    [
        (lambda *given: filter_textbook(*given)[0], "returned Tensor, where means, covariances"),
        (lambda x, *given: filter_textbook(x[:1], *given), "returned means of shape"),
        (lambda *given: 1 / 0, "it raised ZeroDivisionError"),
        (lambda x, *given: filter_textbook(x, *given)[:2] + (torch.tensor(0.0),), "o known mistake"),
        (lambda x, *given: filter_textbook(x if len(x) < 40 else 1.1 * x, *given), "For 40 steps"),
        (lambda x, *given: filter_textbook(x if len(x) > 1 else 0 * x, *given), "For a single step"),
        (lambda x, *given: filter_textbook(x if x.shape != (7, 1) else 0 * x, *given), "For one number a step"),
        (lambda x, A, *given: filter_textbook(x if len(A) < 5 else 0 * x, A, *given), "For more of z than of x"),
    ],
)
def test_what_else_is_wrong_is_told(fn, words):
    check = check_filter(fn)
    assert not check.passed and words in check.mistake, check.mistake


def test_what_cannot_be_called_is_the_callers_error():
    with pytest.raises(TypeError, match="must be the function to check, got Tensor"):
        check_filter(torch.ones(3))


def test_the_name_is_kept_and_the_number_has_no_unit():
    check = check_filter(filter_textbook)
    assert check.claim.startswith("filter_textbook: ") and check.unit == ""
    assert joined(filter_textbook).__name__ == "filter_textbook"
