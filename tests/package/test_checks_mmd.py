"""Every entry of check_mmd's catalogue is told apart; estimates as learners write them are judged in test_checks."""

import math

import pytest
import torch
from planted import MMDS_RIGHT, MMDS_WRONG, mmd_textbook

from vae_tutorial.checks import check_mmd, mistakes
from vae_tutorial.checks.answers import evaluate
from vae_tutorial.checks.mmd import BANDWIDTH, at_bandwidth, draws, mmd_by_pairs
from vae_tutorial.reference import monte_carlo


def test_at_least_twelve_are_wrong_and_four_right():
    assert len(MMDS_WRONG) >= 12 and len(MMDS_RIGHT) >= 4


@pytest.mark.parametrize("clause", mistakes.MMD, ids=lambda clause: clause[:40] or "right")
def test_every_entry_of_the_catalogue_is_told_from_all_others(clause):
    check = check_mmd(mistakes.MMD[clause])
    assert check.passed if not clause else check.mistake.startswith(f"It {clause}.")


@pytest.mark.parametrize("seed", range(5))
def test_fresh_arguments_do_not_change_the_verdict(seed):
    assert check_mmd(mmd_textbook, seed=seed).passed


def test_the_seed_decides_the_further_arguments():
    def first_of_33(seed):
        seen = []

        def recorded(x, y, h):
            seen.append(x.detach().clone())
            return mmd_textbook(x, y, h)

        check_mmd(recorded, seed=seed)
        return next(x for x in seen if len(x) == 33)

    assert not torch.equal(first_of_33(0), first_of_33(1))
    assert torch.equal(first_of_33(1), first_of_33(1))


def test_the_oracle_s_slopes_are_those_of_finite_differences():
    given = draws(3, 4, 2)
    found = evaluate(mmd_by_pairs, given).gradients
    h = 1e-6
    for name in ("x", "y"):
        for index in [(0, 0), (2, 1), (1, 0)]:
            ends = []
            for sign in (1, -1):
                moved = {key: value.detach().clone() for key, value in given.items()}
                moved[name][index] += sign * h
                ends.append(mmd_by_pairs(*moved.values()).item())
            assert found[name][index].item() == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=1e-8)


def test_the_oracle_is_unbiased_for_what_characteristic_functions_give():
    """N(0, 1) and N(1.2, 0.8²): the weighted squared distance of their characteristic functions, by quadrature."""
    mean, sd = 1.2, 0.8
    omega = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    weight = BANDWIDTH / math.sqrt(2 * math.pi) * (-(BANDWIDTH**2) * omega**2 / 2).exp()
    apart = torch.exp(-(omega**2) / 2) - torch.exp(1j * omega * mean - (sd * omega) ** 2 / 2)
    exact = (weight * apart.abs() ** 2).sum() * (omega[1] - omega[0])
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 5, 1, generator=generator, dtype=torch.float64)
    y = mean + sd * torch.randn(400, 4, 1, generator=generator, dtype=torch.float64)
    estimates = torch.stack([mmd_by_pairs(a, b) for a, b in zip(x, y, strict=True)])
    assert abs(monte_carlo(estimates).z_score(exact)) < 5
    biased = torch.stack([mistakes.MMD[next(c for c in mistakes.MMD if "V-statistic" in c)](a, b, BANDWIDTH)
                          for a, b in zip(x, y, strict=True)])  # fmt: skip
    assert monte_carlo(biased).z_score(exact) > 5  # the test has power


def factored(x, y, h):
    """Right but for draws far apart, where one factor of the kernel overflows and the other is 0."""

    def k(a, b):
        a, b = a / h, b / h
        return (-(a**2).sum(-1) / 2).exp()[:, None] * (a @ b.T).exp() * (-(b**2).sum(-1) / 2).exp()

    def others(gram):
        return (gram.sum() - gram.trace()) / (len(gram) * (len(gram) - 1))

    return others(k(x, x)) + others(k(y, y)) - 2 * k(x, y).mean()


@pytest.mark.parametrize(
    "fn, words",
    [
        (lambda x, y, h: (mmd_textbook(x, y, h), 0.0), "returned tuple of 2, where a torch.Tensor is expected"),
        (lambda x, y, h: mmd_textbook(x, y, h).item(), "returned float, where a torch.Tensor is expected"),
        (lambda x, y, h: mmd_textbook(x, y, h)[None], "shape"),
        (lambda x, y, h: mmd_textbook(x, y[: len(x)], h), "o known mistake"),
        (lambda x, y, h: 1 / 0, "it raised ZeroDivisionError"),
        (lambda x, y: x.mean(), "it raised TypeError"),
        (lambda x, y, h: mmd_textbook(x, y, h) + (len(x) == len(y) == 5), "For as many of x as of y"),
        (lambda x, y, h: mmd_textbook(x, y, h) + (len(x) == 2), "For two draws of each"),
        (lambda x, y, h: mmd_textbook(x[:30], y, h), "For 33 draws and 20"),
        (lambda x, y, h: mmd_textbook(x[:, :20], y[:, :20], h), "For 40 dimensions"),
        (factored, "For draws far apart, it gave nan"),
    ],
)
def test_what_else_is_wrong_is_told(fn, words):
    check = check_mmd(fn)
    assert not check.passed and words in check.mistake, check.mistake


def test_what_cannot_be_called_is_the_callers_error():
    with pytest.raises(TypeError, match="must be the function to check, got Tensor"):
        check_mmd(torch.ones(3))


def test_the_name_is_kept_and_the_number_has_no_unit():
    check = check_mmd(mmd_textbook)
    assert check.claim.startswith("mmd_textbook: ") and check.unit == ""
    assert at_bandwidth(mmd_textbook).__name__ == "mmd_textbook"
