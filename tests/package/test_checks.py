"""The checks pass every correct version, catch every planted mistake, and call it by its name.

The wrong versions here are written as learners write them, not taken from the catalogue that names them.
"""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from planted import (
    BOX,
    CORRECT,
    WRONG,
    in_float32,
    is_caught_and_named,
    kl,
    kl_of_sd,
    kl_of_variance,
    log_normal_of_variance,
    only_gradient,
    passes,
    sigmoid_of,
)
from torch import Tensor
from torch.distributions import Normal

from vae_tutorial._troubleshooting import see
from vae_tutorial.checks import (
    check_elbo,
    check_iwae_bound,
    check_kl,
    check_log_bernoulli,
    check_log_normal,
    check_log_prob,
    check_numerics,
    check_reduction,
    check_reparameterize,
    exact,
    extreme_encodings,
    extreme_logits,
    log_variance,
    mistakes,
    standard_deviation,
    variance,
)
from vae_tutorial.checks.answers import Unusable, evaluate
from vae_tutorial.gaussian import kl_standard_normal, log_normal, reparameterize
from vae_tutorial.likelihoods import Likelihood, bernoulli, normal
from vae_tutorial.reference import grid


@pytest.mark.parametrize("case", CORRECT, ids=lambda case: case.name)
def test_correct_versions_pass(case):
    check = passes(case)
    assert not check.mistake
    if "float32" not in case.name:
        assert check.gap < 1e-10  # the exact answers themselves are far better than the tolerance


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_wrong_versions_are_caught_and_named(case):
    is_caught_and_named(case)


def test_the_oracle_of_the_importance_weighted_bound():
    weights = torch.tensor([[1.0, 2.0], [2.0, 0.5], [6.0, 0.5]], dtype=torch.float64)
    for shift in (0.0, -1e4, 1e4):
        log_w = (weights.log() + shift).requires_grad_()
        bound = exact.iwae_by_decimals(log_w)
        torch.testing.assert_close(bound.detach() - shift, torch.tensor([3.0, 1.0]).double().log(), rtol=0, atol=1e-11)
        (slopes,) = torch.autograd.grad(bound.sum(), log_w)
        torch.testing.assert_close(slopes, weights / weights.sum(0), rtol=0, atol=1e-11)


def test_nothing_matches_shows_what_came_and_what_was_expected():
    mistake = check_kl(lambda mu, log_var: kl(mu, log_var) + mu[:, 0] ** 4).mistake
    arguments = exact.encodings((5, 3))[0]
    mu, log_var = arguments["mu"].detach(), arguments["log_var"].detach()
    for shown in (mu[0, 0], log_var[0, 0], kl(mu, log_var)[0], kl(mu, log_var)[0] + mu[0, 0] ** 4):
        assert f"{shown:.4f}" in mistake


def test_one_wrong_gradient_entry_is_caught_and_shown():
    def leaky(mu, log_var):  # the value of kl, the gradient of something else in one entry of mu
        return kl(mu, log_var) + 0.01 * (mu[0, 0] - mu[0, 0].detach())

    check = check_kl(leaky)
    assert check.gap == pytest.approx(0.01 * 7.5)  # the weights of five values, from 1 to 2
    assert "Its values are right, its gradient is not" in check.mistake and "respect to mu" in check.mistake


@pytest.mark.parametrize("fn", [lambda m, v: kl(m, v).detach(), lambda m, v: kl(m, v.detach())])
def test_the_gap_says_that_it_is_one_of_gradients(fn):
    check = check_kl(fn)
    assert check.gap > 0.1 and check.measurement.endswith("against an allowed 1e-05 in its gradients")
    assert check_kl(lambda mu, log_var: kl(mu, log_var) + 1).unit == check_kl(kl).unit == "nats"


@pytest.mark.parametrize("reduce", [lambda t: t.sum(1), lambda t: t, lambda t: t.mean()])
def test_a_nan_of_something_else_is_not_laid_to_log_var(reduce):
    mistake = check_kl(lambda mu, log_var: reduce(mu.log() + log_var)).mistake
    assert "shape" in mistake or "No known mistake" in mistake
    assert "log_var is negative" not in mistake


def test_an_infinite_answer_is_an_infinite_gap():
    check = check_log_bernoulli(lambda x, logits: sigmoid_of(x, logits.sigmoid()))
    assert check.measurement == "gap inf against an allowed 1e-05 nats"


@pytest.mark.parametrize(
    "check, table",
    [
        (check_kl, {k: lambda *a, f=f: f(*a).sum(-1) for k, f in mistakes.KL.items()}),
        (check_log_normal, {k: lambda *a, f=f: f(*a).sum(-1) for k, f in mistakes.LOG_NORMAL.items()}),
        (check_log_bernoulli, {k: lambda *a, f=f: f(*a).sum(-1) for k, f in mistakes.LOG_BERNOULLI.items()}),
        (check_reparameterize, mistakes.REPARAMETERIZE),
        (check_elbo, mistakes.ELBO),
        (check_iwae_bound, mistakes.IWAE),
    ],
    ids=["kl", "log_normal", "log_bernoulli", "reparameterize", "elbo", "iwae_bound"],
)
def test_every_entry_of_the_catalogue_is_told_from_all_others(check, table):
    """So no two entries agree on the fixtures: the name given is the only one that explains the answers."""
    for clause, fn in table.items():
        result = check(fn)
        if clause:
            assert not result.passed and result.mistake.startswith(f"It {clause}.")
        else:
            assert result.passed


@pytest.mark.parametrize(
    "check", [check_kl, check_log_normal, check_log_bernoulli, check_reparameterize, check_elbo, check_iwae_bound]
)
def test_what_cannot_be_called_is_the_callers_error(check):
    with pytest.raises(TypeError, match="must be the function to check, got Tensor"):
        check(torch.ones(3))


@pytest.mark.parametrize("check", [check_reduction, lambda fn: check_numerics(fn, torch.ones(3, 2))])
def test_checks_of_any_function_take_functions_only(check):
    with pytest.raises(TypeError, match="must be the function to check, got Tensor"):
        check(torch.ones(3))


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ([torch.ones(5, 3).long(), torch.ones(5, 3)], TypeError, "mu must hold floating-point numbers"),
        ([torch.ones(5, 3), torch.ones(5, 2)], ValueError, "must have the same shape, got mu"),
        ([torch.ones(5), torch.ones(5)], ValueError, r"mu must have shape \(B, D\), got \(5,\)"),
        ([torch.ones(5, 3), torch.full((5, 3), math.nan)], ValueError, "log_var must be finite"),
    ],
)
@pytest.mark.parametrize("check", [check_reduction, check_numerics])
def test_bad_arguments_for_any_function_are_named(check, arguments, error, message):
    with pytest.raises(error, match=message):
        check(kl, *arguments)


@pytest.mark.parametrize("shape", [(3, 3), (3, 4), (5, 1)])
def test_a_reduction_needs_axes_that_can_be_told_apart(shape):
    with pytest.raises(ValueError, match="B > D > 1"):
        check_reduction(kl, torch.ones(shape), torch.ones(shape))


def test_a_function_that_hides_its_arguments_needs_tensors():
    hidden = in_float32(kl)  # takes *arguments
    for check in check_reduction, check_numerics:
        with pytest.raises(TypeError, match="give the tensors to call it with"):
            check(hidden)
    mu, log_var = exact.encodings((5, 3))[0].values()
    assert check_reduction(hidden, mu, log_var).passed
    assert check_reduction(torch.add, mu, log_var).mistake.startswith("It is not summed over the last axis")
    with pytest.raises(TypeError, match="argument 2 must hold floating-point numbers"):
        check_numerics(torch.add, mu, log_var.long())


def test_a_reduction_is_found_for_two_columns_and_for_one_argument():
    square = torch.square(torch.rand(4, 2, generator=torch.Generator().manual_seed(1)))
    assert check_reduction(lambda x: x.sum(-1), square).passed
    assert "averaged over the last axis" in check_reduction(lambda x: x.mean(-1), square).mistake
    assert check_reduction(lambda x: x.sum(-1)).passed


def test_numerics_counts_the_examples_that_go_wrong():
    logits = torch.tensor([[0.0], [89.0], [100.0]])
    check = check_numerics(lambda u: u.exp().log1p().sum(-1), logits)
    assert check.gap == math.inf and check.dtype == "float32"
    assert check.mistake.startswith("At u = [89] its value is inf in float32 and 89 in float64: an exponential over")
    assert check.mistake.endswith(f"It goes wrong at 2 of 3 examples. {see('nan')}")
    assert "goes wrong at" not in check_numerics(lambda u: u.exp().log1p().sum(-1), logits[:2]).mistake


def test_numerics_measures_the_gap_of_one_plus_the_exact_value():
    def off(x):  # by a hundredth of 1 + |3|, in float32 alone
        return x.sum(-1) + (0.04 if x.dtype == torch.float32 else 0.0)

    check = check_numerics(off, torch.tensor([[3.0]]))
    assert (
        check.gap == pytest.approx(0.01, rel=1e-5) and "its value is 3.04 in float32 and 3 in float64" in check.mistake
    )
    assert check_numerics(lambda x: x.sum(-1) * (1 + 5e-6 * (x.dtype == torch.float32)), torch.tensor([[3.0]])).passed


@pytest.mark.parametrize(
    "grow, words",
    [
        (lambda x: 1 + 1e-3 * (x.dtype == torch.float32), "digits are lost"),
        (lambda x: float(x.dtype == torch.float64), "is 0 in float32 and 1 in float64: it saturates"),
        (lambda x: math.inf if x.dtype == torch.float32 else 1.0, "0 times infinity on the way back"),
    ],
)
def test_numerics_looks_at_gradients(grow, words):
    def right_value(x):  # x, with the gradient grow(x)
        return (x.detach() + only_gradient(x, grow(x))).sum(-1)

    check = check_numerics(right_value, torch.tensor([[2.0]]))
    assert "its gradient with respect to x is" in check.mistake and words in check.mistake


def test_numerics_gives_both_precisions_one_number_and_the_default_dtype_of_each():
    seen = []

    def fn(x):
        seen.append((x.dtype, x.item(), torch.get_default_dtype()))
        return x.sum(-1)

    assert check_numerics(fn, torch.tensor([[0.1]], dtype=torch.float64)).passed
    rounded = torch.tensor(0.1).item()
    assert seen == [(dtype, rounded, dtype) for dtype in (torch.float32, torch.float64)]


def test_the_extremes_are_what_they_say():
    mu, log_var = extreme_encodings()
    x, logits = extreme_logits()
    torch.set_default_dtype(torch.float64)  # as a notebook may
    try:
        assert all(t.dtype == torch.float32 for t in (*extreme_encodings(), *extreme_logits()))
    finally:
        torch.set_default_dtype(torch.float32)
    assert mu.shape == log_var.shape == (40, 2) and x.shape == logits.shape == (26, 2)
    assert log_var.abs().max() == 80 and mu.abs().max() == 4 and logits.abs().max() == 100
    assert {0.0, 1.0} == set(x.flatten().tolist()) and len(
        {*zip(x[:, 0].tolist(), logits[:, 0].tolist(), strict=True)}
    ) == 26


@pytest.mark.parametrize("points, error", [(torch.ones(3), ValueError), (np.ones((3, 1)), TypeError)])
def test_check_log_prob_names_bad_points(points, error):
    with pytest.raises(error, match="points must"):
        check_log_prob(bernoulli, points)


def test_checks_repeat_and_leave_the_random_state_and_the_default_dtype_alone():
    state = torch.get_rng_state()

    def meddling(mu, log_var):
        torch.manual_seed(3)
        torch.rand(5)
        assert torch.ones(1).dtype == torch.float64 and torch.is_grad_enabled()
        return kl(mu, log_var)

    with torch.no_grad():
        first, second = check_kl(meddling), check_kl(meddling)
    assert first.passed and first == second
    check_log_prob(normal(0.3)._replace(sample=lambda p, generator=None: p + torch.randn_like(p)), *BOX)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(KeyboardInterrupt):
        check_kl(lambda mu, log_var: (_ for _ in ()).throw(KeyboardInterrupt))
    assert torch.get_default_dtype() == torch.float32


def test_the_fixtures_cannot_be_changed():
    kept = []

    def vandal(mu, log_var):
        value = kl(mu, log_var)
        kept.append((mu, log_var))
        with torch.no_grad():
            mu.zero_(), log_var.zero_()
        return value

    check_kl(vandal)
    assert all(not mu.any() for mu, _ in kept)
    assert check_kl(kl).passed and exact.encodings((5, 3))[0]["mu"].all()
    fixture = exact.encodings((5, 3))[0]
    with pytest.raises(Unusable, match="changed its argument mu in place"):
        evaluate(lambda mu, log_var: (mu.data.zero_(), kl(mu, log_var))[1], fixture)
    assert fixture["mu"].all() and fixture["mu"].grad is None


def test_the_noise_of_check_elbo_integrates_every_quadratic_exactly():
    for n_examples, x_dim, latent_dim in (5, 4, 3), (4, 3, 1):
        eps = exact.linear_gaussian(n_examples, x_dim, latent_dim)["eps"]
        assert eps.shape == (2 * latent_dim, n_examples, latent_dim)
        assert torch.equal(eps.mean(0), torch.zeros(n_examples, latent_dim, dtype=torch.float64))
        second = torch.einsum("kbi,kbj->bij", eps, eps) / len(eps)
        torch.testing.assert_close(second, torch.eye(latent_dim, dtype=torch.float64).expand_as(second))


def test_fixtures_hide_no_axis_behind_another():
    """Axes of one length would let a sum over the wrong one pass."""
    for arguments in exact.encodings((5, 3), (4, 2), (3, 1)):
        assert len(set(arguments["mu"].shape)) == 2
    model, x, eps = exact.linear_gaussian(5, 4, 3).values()
    assert len({*x.shape, model.latent_dim, len(eps)}) == 4


def test_checks_of_user_likelihoods_work_without_warnings():
    mine = Likelihood(
        1,
        lambda x, p: Normal(p, 1.0).log_prob(x).sum(-1),
        lambda p: p,
        lambda p, generator=None: p + torch.randn(p.shape, generator=generator),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_log_prob(mine, *grid([-12.0], [12.0], 201)).passed


def test_annotations_name_tensors():
    assert check_kl.__annotations__["fn"] == Callable[[Tensor, Tensor], Tensor]


def log_normal_of_sd(x, mu, sd):
    return Normal(mu, sd).log_prob(x).sum(-1)


def sample_of_variance(mu, var, eps):
    return mu + var.sqrt() * eps


def sample_of_sd(mu, sd, eps):
    return mu + sd * eps


BY_SPREAD = [
    (check_kl, kl_standard_normal, kl_of_variance, kl_of_sd),
    (check_log_normal, log_normal, log_normal_of_variance, log_normal_of_sd),
    (check_reparameterize, reparameterize, sample_of_variance, sample_of_sd),
]
SPREADS = log_variance, variance, standard_deviation


@pytest.mark.parametrize("given", range(3), ids=[spread.__name__ for spread in SPREADS])
@pytest.mark.parametrize("taken", range(3), ids=[f"takes_{spread.__name__}" for spread in SPREADS])
@pytest.mark.parametrize(
    "check, functions", [(row[0], row[1:]) for row in BY_SPREAD], ids=lambda v: getattr(v, "__name__", "")
)
def test_a_function_passes_with_its_own_spread_alone(check, functions, taken, given):
    with warnings.catch_warnings(record=True):  # a log-variance is no valid standard deviation: torch may say so
        result = check(functions[taken], spread=SPREADS[given])
    assert result.passed == (taken == given)
    hint = f"add spread={SPREADS[taken].__name__}."
    assert result.mistake.removesuffix(f" {see('log-var')}").endswith(hint) == (taken != given)


def test_a_wrong_function_is_caught_whatever_its_spread():
    wrong = check_kl(lambda mu, sd: kl_of_sd(mu, sd) + sd.log().sum(-1), spread=standard_deviation)
    assert not wrong and "Σlog σ² enters with weight 0, where −0.5 belongs" in wrong.mistake
    with pytest.raises(TypeError, match="must be the function to check"):
        check_kl(None, spread=variance)
