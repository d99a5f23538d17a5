"""Every entry of check_total_correlation's catalogue is told apart; right and wrong ones are judged in test_checks."""

import pytest
import torch
from planted import CORRELATIONS_RIGHT, CORRELATIONS_WRONG, tc

from vae_tutorial.checks import check_total_correlation, mistakes
from vae_tutorial.checks.answers import evaluate
from vae_tutorial.checks.correlation import (
    N_DATA,
    codes,
    dependence_by_dimension,
    dependence_by_quadrature,
    with_n_data,
)


def test_at_least_twelve_are_wrong_and_four_are_right():
    assert len(CORRELATIONS_WRONG) >= 12 and len(CORRELATIONS_RIGHT) >= 4


@pytest.mark.parametrize("clause", mistakes.DEPENDENCE, ids=lambda clause: clause[:60] or "right")
def test_every_entry_of_the_catalogue_is_told_from_all_others(clause):
    check = check_total_correlation(mistakes.DEPENDENCE[clause])
    if "takes log_var for the" in clause:  # whose logarithm is no number
        assert "It returned NaN where log_var is negative" in check.mistake
    else:
        assert check.passed if not clause else check.mistake.startswith(f"It {clause}.")


@pytest.mark.parametrize("seed", range(5))
def test_fresh_arguments_do_not_change_the_verdict(seed):
    assert check_total_correlation(tc, seed=seed).passed


def test_the_oracles_agree_in_values_and_gradients():
    given = codes(5, 3)
    one, other = (evaluate(fn, given) for fn in (dependence_by_quadrature, dependence_by_dimension))
    torch.testing.assert_close(one.value, other.value, rtol=0, atol=1e-10)
    for name in given:
        torch.testing.assert_close(one.gradients[name], other.gradients[name], rtol=0, atol=1e-9)


def test_the_oracle_s_gradients_are_those_of_finite_differences():
    given = {name: t.detach() for name, t in codes(4, 2).items()}
    found = evaluate(dependence_by_quadrature, {name: t.clone().requires_grad_() for name, t in given.items()})
    weights = torch.linspace(1, 2, 4).double()  # as evaluate takes them
    for name, at in given.items():
        for i in range(4):
            for d in range(2):
                step = torch.zeros_like(at)
                step[i, d] = 1e-5
                ends = [weights @ tc(**(given | {name: at + s * step}), n_data=N_DATA) for s in (1, -1)]
                assert found.gradients[name][i, d].item() == pytest.approx(
                    ((ends[0] - ends[1]) / 2e-5).item(), abs=1e-7
                )


def test_a_function_right_for_small_batches_alone_is_caught():
    def first_rows(z, mu, log_var, n_data):
        return torch.where(torch.arange(len(z)) < 10, tc(z, mu, log_var, n_data), 0.0)

    check = check_total_correlation(first_rows)
    assert not check.passed and "For a whole data set" in check.mistake


def test_one_that_knows_a_single_dimension_is_caught():
    check = check_total_correlation(lambda z, mu, log_var, n_data: tc(z[:, :4], mu[:, :4], log_var[:, :4], n_data))
    assert not check.passed and "For 20 dimensions" in check.mistake


def test_densities_that_round_to_0_are_caught():
    def by_exponentials(z, mu, log_var, n_data):
        q = (-0.5 * (1.8378770664093453 + log_var + (z[:, None] - mu) ** 2 / log_var.exp())).exp() / (n_data * len(z))
        return q.sum(1).log().sum(-1).neg() + (q * n_data * len(z)).prod(-1).mean(1).div(n_data).log()

    check = check_total_correlation(by_exponentials)
    assert not check.passed and "infinite" in check.mistake


def test_what_cannot_be_called_is_the_callers_error():
    with pytest.raises(TypeError, match="must be the function to check, got Tensor"):
        check_total_correlation(torch.ones(3))


def test_the_function_keeps_its_name():
    assert check_total_correlation(tc).claim.startswith("tc: ") and with_n_data(tc).__name__ == "tc"
