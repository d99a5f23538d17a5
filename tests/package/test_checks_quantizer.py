"""Every entry of check_quantizer's catalogue is told apart; right and wrong quantizers are judged in test_checks."""

import pytest
import torch
from planted import QUANTIZERS_WRONG

from vae_tutorial.checks import check_quantizer, mistakes
from vae_tutorial.checks.answers import evaluate
from vae_tutorial.checks.quantizer import joined, quantizer_by_hand, vectors
from vae_tutorial.vq import quantize


def right(z, codebook, beta):
    q = quantize(z, codebook)
    return q.z, q.codebook_loss + beta * q.commitment_loss


def test_at_least_twelve_are_wrong():
    assert len(QUANTIZERS_WRONG) >= 12


@pytest.mark.parametrize("clause", mistakes.QUANTIZER, ids=lambda clause: clause[:40] or "right")
def test_every_entry_of_the_catalogue_is_told_from_all_others(clause):
    check = check_quantizer(mistakes.QUANTIZER[clause])
    assert check.passed if not clause else check.mistake.startswith(f"It {clause}.")


@pytest.mark.parametrize("seed", range(5))
def test_fresh_arguments_do_not_change_the_verdict(seed):
    assert check_quantizer(right, seed=seed).passed


def test_the_oracle_s_gradients_are_those_of_finite_differences():
    """Of z_q there are none; of the loss, with the other side held, central differences."""
    given = vectors(4, 2, 3)
    z, codebook = given["z"].detach(), given["codebook"].detach()
    found = evaluate(quantizer_by_hand, given).gradients
    weights = torch.linspace(1, 2, 4 * 3).reshape(4, 3).double()  # as evaluate takes them
    h = 1e-6

    def loss(moved_z, moved_codebook):
        codes = torch.cdist(z, codebook).argmin(-1)
        return (weights[:, -1] * ((moved_z - moved_codebook[codes]) ** 2).sum(-1)).sum()

    for name, factor, at in (("z", 0.3, z), ("codebook", 1.0, codebook)):
        for i in range(at.shape[0]):
            for d in range(2):
                step = torch.zeros_like(at)
                step[i, d] = h
                ends = [(z + s * step, codebook) if name == "z" else (z, codebook + s * step) for s in (1, -1)]
                slope = (loss(*ends[0]) - loss(*ends[1])) / (2 * h)
                expected = factor * slope + (weights[i, d] if name == "z" else 0)
                assert found[name][i, d].item() == pytest.approx(expected.item(), abs=1e-7)


@pytest.mark.parametrize(
    "fn, words",
    [
        (lambda z, e, b: right(z, e, b)[0], "returned Tensor, where a pair (z_q, loss) is expected"),
        (lambda z, e, b: (*right(z, e, b), 0), "returned tuple of 3, where a pair"),
        (lambda z, e, b: (right(z, e, b)[0].T, right(z, e, b)[1]), "returned z_q of shape (3, 9)"),
        (lambda z, e, b: (right(z, e, b)[0], (z - e[0]) ** 2), "sum over the last axis alone"),
        (lambda z, e, b: 1 / 0, "it raised ZeroDivisionError"),
        (lambda z, e, b: ..., "to write"),
        (lambda z, e, b: (..., ...), "to write"),
    ],
)
def test_what_is_no_pair_is_told(fn, words):
    assert words in check_quantizer(fn).mistake


def test_what_cannot_be_called_is_the_callers_error():
    with pytest.raises(TypeError, match="must be the function to check, got Tensor"):
        check_quantizer(torch.ones(3))


def test_a_quantizer_right_for_small_batches_alone_is_caught():
    def first_rows(z, codebook, beta):
        z_q, loss = right(z, codebook, beta)
        return z_q, torch.where(torch.arange(len(z)) < 20, loss, loss.mean())

    check = check_quantizer(first_rows)
    assert not check.passed and "For 33 vectors" in check.mistake


def test_joined_keeps_the_name():
    assert check_quantizer(right).claim.startswith("right: ") and joined(right).__name__ == "right"
