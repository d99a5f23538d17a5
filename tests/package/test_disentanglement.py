"""Scores of codes whose scores are known by hand, and their parts against SciPy, scikit-learn and loops."""

import math

import numpy as np
import pytest
import torch
from fixed import values
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mutual_info_score

from vae_tutorial import disentanglement as module
from vae_tutorial.disentanglement import (
    beta_vae_score,
    dci,
    factor_vae_score,
    linear_importance,
    mutual_information,
    mutual_information_gap,
    sap,
)

LEVELS = 5, 5
FACTORS = torch.cartesian_prod(torch.arange(5), torch.arange(5))
V = (FACTORS.double() - 2) / math.sqrt(2)  # each of mean 0 and variance 1


def rotation(degrees):
    a = math.radians(degrees)
    return torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]], dtype=torch.float64)


def turned(degrees):
    """The factors themselves, turned: z_1 = cos v_1 + sin v_2."""
    return V @ rotation(degrees)


def code_of(degrees):
    return lambda factors: ((factors.double() - 2) / math.sqrt(2)) @ rotation(degrees)


MIXED = torch.stack([values(60, seed=1), 0.5 * values(60, seed=2), values(60, seed=1) + values(60, seed=3)], -1)
DRAWN = torch.stack([torch.arange(60) % 3, (torch.arange(60) // 7) % 4], -1)


# Perfect codes, and codes at 45 degrees, where every score is at its floor


def test_a_code_that_is_the_factors_has_every_score_one():
    for codes in (V, V.flip(-1), 3.0 - 2.0 * V):
        assert module.mutual_information_gap(codes, FACTORS).tolist() == pytest.approx([1.0, 1.0], abs=1e-12)
        assert module.sap(codes, FACTORS).tolist() == pytest.approx([1.0, 1.0], abs=1e-12)
        assert module.dci(module.linear_importance(codes, FACTORS)) == pytest.approx((1.0, 1.0), abs=1e-12)
    assert module.beta_vae_score(code_of(0), LEVELS, n_votes=200, seed=0) == 1.0
    assert module.factor_vae_score(code_of(0), LEVELS, n_votes=200, seed=0) == 1.0


@pytest.mark.parametrize("name", ["beta_vae_score", "factor_vae_score"])
def test_of_three_factors_each_has_its_own_dimension(name):
    assert getattr(module, name)(lambda factors: factors.double(), (5, 7, 6), n_votes=200, seed=0) == 1.0


def test_at_45_degrees_no_dimension_knows_more_than_the_other():
    """The two scores that vote are a fair coin there: 1,000 votes, five standard errors."""
    codes = turned(45)
    assert module.mutual_information_gap(codes, FACTORS, 19).abs().max() < 1e-12  # no value on an edge
    assert module.sap(codes, FACTORS).abs().max() < 1e-12
    assert module.dci(module.linear_importance(codes, FACTORS)) == pytest.approx((0.0, 0.0), abs=1e-12)
    for score in (module.beta_vae_score, module.factor_vae_score):
        assert abs(score(code_of(45), LEVELS, seed=0) - 0.5) < 5 * 0.5 / math.sqrt(1000)


@pytest.mark.parametrize("degrees", (10, 30, 60))
def test_between_them_three_scores_follow_the_angle_and_two_notice_nothing(degrees):
    codes, a = turned(degrees), math.radians(degrees)
    assert module.sap(codes, FACTORS).tolist() == pytest.approx([abs(math.cos(2 * a))] * 2, abs=1e-12)
    share = math.cos(a) / (math.cos(a) + math.sin(a))
    known = 1 - stats.entropy([share, 1 - share], base=2)
    assert module.dci(module.linear_importance(codes, FACTORS)) == pytest.approx((known, known), abs=1e-12)
    assert module.factor_vae_score(code_of(degrees), LEVELS, n_votes=300, seed=1) > 0.97
    assert module.beta_vae_score(code_of(degrees), LEVELS, n_votes=300, seed=1) > 0.97


def test_with_bins_as_fine_as_the_values_any_turn_leaves_no_gap():
    assert module.mutual_information_gap(turned(10), FACTORS, n_bins=10_000).abs().max() < 1e-12
    assert module.mutual_information_gap(turned(10), FACTORS, n_bins=5).min() > 0.3


# Their parts


@pytest.mark.parametrize("n_bins", (1, 4, 20))
def test_mutual_information_is_scikit_learns_of_numpys_bins(n_bins):
    found = module.mutual_information(MIXED, DRAWN, n_bins)
    for d in range(3):
        z = MIXED[:, d].numpy()
        bins = np.digitize(z, np.histogram(z, n_bins)[1][:-1])
        for k in range(2):
            assert found[d, k].item() == pytest.approx(mutual_info_score(bins, DRAWN[:, k]), abs=1e-12)


def test_twenty_bins_are_the_default():
    torch.testing.assert_close(mutual_information(MIXED, DRAWN), mutual_information(MIXED, DRAWN, 20), rtol=0, atol=0)
    torch.testing.assert_close(
        mutual_information_gap(MIXED, DRAWN), mutual_information_gap(MIXED, DRAWN, 20), rtol=0, atol=0
    )


def test_the_gap_is_of_the_two_best_in_units_of_the_entropy():
    found = module.mutual_information_gap(MIXED, DRAWN, 6)
    information = mutual_information(MIXED, DRAWN, 6)
    for k in range(2):
        entropy = stats.entropy(np.bincount(DRAWN[:, k]))
        best, second, _ = sorted(information[:, k].tolist(), reverse=True)
        assert found[k].item() == pytest.approx((best - second) / entropy, abs=1e-12)


def test_sap_is_a_difference_of_squared_correlations():
    found = module.sap(MIXED, DRAWN)
    for k in range(2):
        squares = sorted((stats.pearsonr(MIXED[:, d], DRAWN[:, k]).statistic ** 2 for d in range(3)), reverse=True)
        assert found[k].item() == pytest.approx(squares[0] - squares[1], abs=1e-12)


def test_importances_are_scikit_learns_coefficients():
    found = module.linear_importance(MIXED, DRAWN)
    z, v = (((t - t.mean(0)) / t.std(0, correction=0)).numpy() for t in (MIXED, DRAWN.double()))
    np.testing.assert_allclose(found, np.abs(LinearRegression().fit(z, v).coef_.T), atol=1e-12)


def test_a_dimension_that_says_nothing_counts_for_nothing():
    dead = torch.cat([turned(20), torch.full((25, 1), 0.1, dtype=torch.float64)], -1)
    torch.testing.assert_close(module.sap(dead, FACTORS), sap(turned(20), FACTORS), rtol=0, atol=1e-12)
    assert module.linear_importance(dead, FACTORS)[2].abs().max() < 1e-12
    assert module.mutual_information(dead, FACTORS)[2].abs().max() < 1e-12
    three = module.dci(module.linear_importance(dead, FACTORS))
    assert three.disentanglement == pytest.approx(dci(linear_importance(turned(20), FACTORS)).disentanglement)
    assert three.completeness > 0.3  # of three dimensions it is known that one has nothing


def test_dci_is_the_weighted_mean_of_scipys_entropies():
    importance = values(4, 3, seed=6).abs()
    importance[2] = 0.0
    found, r = module.dci(importance), importance.numpy()
    rows = sum(r[d].sum() / r.sum() * (1 - stats.entropy(r[d], base=3)) for d in (0, 1, 3))
    columns = sum(r[:, k].sum() / r.sum() * (1 - stats.entropy(r[:, k], base=4)) for k in range(3))
    assert found == pytest.approx((rows, columns), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_levels_may_be_integers_of_any_size(dtype):
    for score in (mutual_information, mutual_information_gap, sap, linear_importance):
        assert torch.equal(score(turned(20), FACTORS.to(dtype)), score(turned(20), FACTORS))


def test_a_code_that_varies_little_still_varies():
    torch.testing.assert_close(sap(1 + 1e-6 * turned(20), FACTORS), sap(turned(20), FACTORS), rtol=0, atol=1e-8)


def test_codes_may_need_a_gradient_and_keep_it():
    codes = turned(20).requires_grad_()
    for score in (mutual_information, mutual_information_gap, sap, linear_importance):
        assert not score(codes, FACTORS).requires_grad and codes.requires_grad


# Interventions


def test_the_vote_falls_on_the_dimension_that_varies_least_of_its_own_variance():
    """A large dimension and a small one; a third that never varies has no vote."""

    def codes(factors):
        z = factors.double()
        return torch.stack([100 * z[:, 0], 0.2 * z[:, 1], 0 * z[:, 0]], -1)

    assert module.factor_vae_score(codes, (5, 9), n_votes=200, seed=0) == 1.0


def test_one_dimension_for_two_factors_is_right_half_the_time():
    """z_1 = v_1, z_2 = v_2 + v_3: held v_2 and held v_3 look alike, and the classifier must choose one: 2/3."""

    def codes(factors):
        z = factors.double()
        return torch.stack([z[:, 0], z[:, 1] + z[:, 2]], -1)

    for score in (module.factor_vae_score, module.beta_vae_score):
        assert abs(score(codes, (5, 5, 5), n_votes=1500, seed=3) - 2 / 3) < 5 * math.sqrt(2 / 9 / 1500) + 0.02


def test_pairs_share_the_level_of_one_factor_and_sets_hold_it():
    seen = []

    def codes(factors):
        seen.append(factors.clone())
        return factors.double()

    beta_vae_score(codes, (4, 6, 3), n_pairs=7, n_votes=20, seed=1)
    first, second = (factors.reshape(40, 7, 3) for factors in seen)
    shared = (first == second).all(1)
    assert (shared.sum(-1) >= 1).all() and shared.double().mean() < 0.5
    seen.clear()
    factor_vae_score(codes, (4, 6, 3), n_examples=9, n_votes=20, seed=1)
    everything, sets = seen
    assert len(everything) == 10_000 and (torch.bincount(everything[:, 1]) > 1400).all()
    held = (sets.reshape(40, 9, 3) == sets.reshape(40, 9, 3)[:, :1]).all(1)
    assert (held.sum(-1) >= 1).all() and held.double().mean() < 0.5


@pytest.mark.parametrize("name", ["beta_vae_score", "factor_vae_score"])
def test_votes_are_tested_on_others_than_those_they_were_learned_from(name):
    """Noise in 40 dimensions, 40 votes: learned by heart, and in new votes a coin. Five standard errors of 0.08."""
    draw = torch.Generator().manual_seed(0)

    def noise(factors):
        return torch.randn(len(factors), 40, generator=draw)

    assert getattr(module, name)(noise, LEVELS, n_votes=40, seed=2) < 0.5 + 5 * 0.08 - 0.05


@pytest.mark.parametrize("score", [beta_vae_score, factor_vae_score])
def test_the_seed_decides(score):
    one, same, other = (score(code_of(40), LEVELS, n_votes=50, seed=s) for s in (0, 0, 5))
    assert one == same and 0.5 < one <= 1 and isinstance(one, float) and isinstance(other, float)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: sap(V, FACTORS > 0), TypeError, "factors must be a tensor of integers, the levels, got torch.bool"),
        (lambda: sap(V, FACTORS[:, :0]), ValueError, r"got \(25, 2\) and \(25, 0\)"),
        (lambda: beta_vae_score(code_of(0), (5, 1), seed=0), ValueError, "at least two factors, at least 2 each"),
        (lambda: factor_vae_score(code_of(0), (5,), seed=0), ValueError, r"at least two factors.*got \(5,\)"),
        (lambda: factor_vae_score(code_of(0), (), seed=0), ValueError, r"at least two factors.*got \(\)"),
        (
            lambda: factor_vae_score(code_of(0), LEVELS, seed=0, threshold=-1),
            ValueError,
            "threshold must be at least 0",
        ),
        (
            lambda: factor_vae_score(code_of(0), LEVELS, seed=0, threshold="a"),
            TypeError,
            "threshold must be one finite",
        ),
        (lambda: mutual_information([1.0], FACTORS), TypeError, "codes must be a torch.Tensor"),
        (lambda: sap(V, FACTORS.double()), TypeError, "factors must be a tensor of integers, the levels, got torch.f"),
        (lambda: sap(V, [0]), TypeError, "factors must be a tensor of integers, the levels, got list"),
        (lambda: sap(V[:3], FACTORS), ValueError, r"codes must have shape \(N, L\).*got \(3, 2\) and \(25, 2\)"),
        (lambda: sap(V[:, 0], FACTORS), ValueError, "codes must have shape"),
        (lambda: sap(V, FACTORS[:, 0]), ValueError, "factors .N, K."),
        (lambda: sap(V, FACTORS - 1), ValueError, "levels are counted from 0, factors has -1"),
        (lambda: sap(V / 0, FACTORS), ValueError, "codes must be finite"),
        (lambda: sap(V[:, :1], FACTORS), ValueError, "codes must have at least 2 dimensions"),
        (lambda: sap(V, 0 * FACTORS), ValueError, "each factor must vary over the examples, and number 0 does not"),
        (lambda: mutual_information_gap(V, 0 * FACTORS), ValueError, "each factor must vary"),
        (lambda: mutual_information(V, FACTORS, 0), ValueError, "n_bins must be an integer of at least 1"),
        (lambda: dci(torch.ones(3)), ValueError, r"importance must have shape \(L, K\), at least 2 each, got \(3,\)"),
        (lambda: dci(torch.ones(3, 1)), ValueError, "at least 2 each"),
        (lambda: dci(torch.zeros(3, 2)), ValueError, "not 0 everywhere"),
        (lambda: dci(-torch.ones(3, 2)), ValueError, "importance must be at least 0"),
        (lambda: beta_vae_score(code_of(0), (5, 0), seed=0), ValueError, "n_levels must be an integer"),
        (lambda: beta_vae_score(code_of(0), LEVELS, n_votes=0, seed=0), ValueError, "n_votes must be an integer"),
        (
            lambda: factor_vae_score(code_of(0), LEVELS, n_examples=1, seed=0),
            ValueError,
            "n_examples must be at least 2",
        ),
        (lambda: factor_vae_score(code_of(0), LEVELS, seed=0.5), TypeError, "seed must be an integer"),
        (lambda: factor_vae_score(lambda v: 0.01 * v.double(), LEVELS, seed=0), ValueError, "variance above 0.01"),
        (lambda: factor_vae_score(lambda v: v, LEVELS, seed=0), TypeError, "codes must hold floating-point"),
    ],
)
def test_what_does_not_fit_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
