"""Every entry of check_density_ratio's catalogue is told apart; learners' losses are judged in test_checks."""

import math

import pytest
import torch
import torch.nn.functional as F
from planted import DISCRIMINATORS_RIGHT, DISCRIMINATORS_WRONG, discriminator

from vae_tutorial.checks import check_density_ratio, mistakes
from vae_tutorial.checks.answers import evaluate
from vae_tutorial.checks.density_ratio import logits, loss_by_decimals


def test_at_least_twelve_are_wrong_and_four_right():
    assert len(DISCRIMINATORS_WRONG) >= 12 and len(DISCRIMINATORS_RIGHT) >= 4


@pytest.mark.parametrize("clause", mistakes.DISCRIMINATOR, ids=lambda clause: clause[:40] or "right")
def test_every_entry_of_the_catalogue_is_told_from_all_others(clause):
    check = check_density_ratio(mistakes.DISCRIMINATOR[clause])
    assert check.passed if not clause else check.mistake.startswith(f"It {clause}.")


@pytest.mark.parametrize("seed", range(5))
def test_fresh_arguments_do_not_change_the_verdict(seed):
    assert check_density_ratio(discriminator, seed=seed).passed


def test_the_seed_decides_the_further_arguments():
    def first_of_33(seed):
        seen = []

        def recorded(logits_q, logits_p):
            seen.append(logits_q.detach().clone())
            return discriminator(logits_q, logits_p)

        check_density_ratio(recorded, seed=seed)
        return next(logits_q for logits_q in seen if len(logits_q) == 33)

    assert not torch.equal(first_of_33(0), first_of_33(1))
    assert torch.equal(first_of_33(1), first_of_33(1))


def test_the_oracle_is_the_cross_entropy_and_its_slopes_are_finite_differences():
    given = logits(4, 3)
    came = evaluate(loss_by_decimals, given)
    q, p = (given[name].detach() for name in ("logits_q", "logits_p"))
    assert came.value.item() == pytest.approx(discriminator(q, p).item(), abs=1e-14)
    h = 1e-6
    for name, slot in (("logits_q", 0), ("logits_p", 1)):
        for i in range(len((q, p)[slot])):
            ends = []
            for sign in (1, -1):
                moved = [q.clone(), p.clone()]
                moved[slot][i] += sign * h
                ends.append(discriminator(*moved).item())
            assert came.gradients[name][i].item() == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=1e-8)


def test_the_oracle_is_smallest_at_the_log_ratio():
    """Weighted as draws are: three of q and one of p at one place, one of q and four of p at another."""
    q_counts, p_counts = torch.tensor([3, 1]), torch.tensor([1, 4])

    def loss(t):
        return loss_by_decimals(t.repeat_interleave(q_counts), t.repeat_interleave(p_counts)).item()

    best = torch.tensor([math.log((3 / 4) / (1 / 5)), math.log((1 / 4) / (4 / 5))], dtype=torch.float64)
    for step in torch.tensor([[0.1, 0], [-0.1, 0], [0, 0.1], [0, -0.1]], dtype=torch.float64):
        assert loss(best + step) > loss(best) + 1e-4


@pytest.mark.parametrize(
    "fn, words",
    [
        (lambda q, p: (discriminator(q, p), 0.0), "returned tuple of 2, where a torch.Tensor is expected. Number 0 of"),
        (lambda q, p: discriminator(q, p).item(), "returned float, where a torch.Tensor is expected"),
        (lambda q, p: discriminator(q, p)[None], "shape"),
        (lambda q, p: F.binary_cross_entropy(q, torch.ones_like(q)), "it raised RuntimeError"),
        (lambda q, p: 1 / 0, "it raised ZeroDivisionError"),
        (lambda q, p: q.sub_(1).mean(), "changed an argument in place"),
        (lambda q, p: F.softplus(-q).mean() + F.softplus(p.clamp(-9, 9)).mean(), "For logits that are far out"),
        (lambda q, p: discriminator(q, p) + (len(q) == len(p) == 6), "For batches of one size"),
        (lambda q, p: discriminator(q[:30], p), "For 33 logits and 20"),
        (lambda q, p: discriminator(q, p) + (len(q) == 1), "For one logit of each, it gave"),
        (lambda q, p: 0.7 * discriminator(q, p), "For arguments that begin logits_q = ["),
    ],
)
def test_what_else_is_wrong_is_told(fn, words):
    check = check_density_ratio(fn)
    assert not check.passed and words in check.mistake, check.mistake


def test_what_cannot_be_called_is_the_callers_error():
    with pytest.raises(TypeError, match="must be the function to check, got Tensor"):
        check_density_ratio(torch.ones(3))


def test_it_is_in_nats_and_has_the_name_of_the_function():
    check = check_density_ratio(discriminator)
    assert check.unit == "nats" and check.claim.startswith("discriminator: loss of a discriminator")
