"""What a check shows beside its verdict, and errors in the checks themselves that no planted mistake brings out."""

import math

import pytest
import torch

from vae_tutorial._diagnosis import evaluate, nan_cured_by
from vae_tutorial.bounds import elbo
from vae_tutorial.checks import (
    check_elbo,
    check_kl,
    check_log_bernoulli,
    check_log_normal,
    check_log_prob,
    check_numerics,
    check_reduction,
    check_reparameterize,
    extreme_encodings,
    extreme_logits,
)
from vae_tutorial.gaussian import kl_standard_normal, log_normal, reparameterize
from vae_tutorial.likelihoods import Likelihood, bernoulli, normal
from vae_tutorial.reference import grid

BINARY = torch.tensor([[0.0], [1.0]], dtype=torch.float64)


def bound(model, x, eps):
    return elbo(model, x, eps=eps)


# name: (check of a right function, what the claim speaks of, the first route, a word of the second, unit, dtype)
SHOWN = {
    "kl": (lambda: check_kl(kl_standard_normal), "kl_standard_normal: KL", "function", "quadrature", "nats", "float64"),
    "log_normal": (
        lambda: check_log_normal(log_normal),
        "log_normal: log N",
        "function",
        "quadrature",
        "nats",
        "float64",
    ),
    "log_bernoulli": (
        lambda: check_log_bernoulli(bernoulli.log_prob),
        "log_prob: log p(x)",
        "function",
        "enumeration",
        "nats",
        "float64",
    ),
    "log_prob": (lambda: check_log_prob(bernoulli, BINARY), "sums to one", "log_prob", "sum over x", "", "float64"),
    "log_prob, density": (
        lambda: check_log_prob(normal(0.0), *grid([-14.0], [14.0], 401)),
        "sums to one",
        "log_prob",
        "quadrature over x",
        "",
        "float64",
    ),
    "reparameterize": (
        lambda: check_reparameterize(reparameterize),
        "reparameterize: z = μ + σε",
        "function",
        "quantile",
        "",
        "float64",
    ),
    "elbo": (lambda: check_elbo(bound), "bound: ELBO", "function", "linear-Gaussian algebra", "nats", "float64"),
    "reduction": (
        lambda: check_reduction(kl_standard_normal),
        "One value per example",
        "function",
        "single numbers",
        "nats",
        "float64",
    ),
    "numerics": (
        lambda: check_numerics(kl_standard_normal, *extreme_encodings()),
        "kl_standard_normal: float32",
        "function in float32",
        "float64",
        "of 1 + |exact|",
        "float32",
    ),
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_check_says_what_was_compared_and_in_which_unit(name):
    call, claim, one, other, unit, dtype = SHOWN[name]
    check = call()
    assert check.passed and claim in check.claim and "None" not in repr(check)
    assert one in check.routes[0] and other in check.routes[1] and len(check.routes) == 2
    assert (check.unit, check.dtype) == (unit, dtype)


def of_samples(sample):
    """The standard Gaussian around params, with another way to draw from it."""
    return Likelihood(1, normal(0.0).log_prob, lambda params: params, sample)


def unequal(params, generator=None):
    """Right in the mean and in the mean of log p(x), but the variances are 1.3 and 0.7."""
    noise = torch.randn(params.shape, generator=generator, dtype=params.dtype)
    return params + torch.tensor([1.3, 0.7], dtype=params.dtype).sqrt() * noise


def test_samples_are_compared_by_their_squares_too():
    box = grid([-12.0] * 2, [12.0] * 2, 97)
    assert check_log_prob(normal(0.0), *box).passed
    check = check_log_prob(of_samples(unequal), *box)
    assert not check.passed and "do not follow log_prob" in check.mistake


def test_a_wrong_sampler_is_measured_in_standard_errors_and_alike_each_time():
    def shifted(params, generator=None):
        return params + 0.1 + torch.randn(params.shape, generator=generator, dtype=params.dtype)

    checks = []
    for seed in range(2):  # the global random state is another one, the numbers are the same
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            checks.append(check_log_prob(of_samples(shifted), *grid([-14.0], [14.0], 401)))
    first, second = checks
    assert first == second
    assert (first.unit, first.bound) == ("standard errors", 5.0)
    assert first.gap == pytest.approx(0.1 * math.sqrt(20_000), abs=6)  # 20,000 draws of standard deviation 1
    assert f"lies {first.gap:.0f} standard errors off" in first.mistake


@pytest.mark.parametrize("D", [1, 2, 3])
def test_a_missing_constant_is_told_in_every_dimension(D):
    def log_prob(x, params):
        return -0.5 * ((x - params) ** 2).sum(-1)

    likelihood = Likelihood(1, log_prob, lambda params: params, normal(0.0).sample)
    check = check_log_prob(likelihood, *grid([-11.0] * D, [10.0] * D, 43))
    assert f"sums to {(2 * math.pi) ** (D / 2):.4g}" in check.mistake and "log 2π is missing" in check.mistake


@pytest.mark.parametrize(
    "fn, said", [(lambda x: 0.5, "it returned float, where"), (lambda x: x.long(), "it returned torch.int64 numbers")]
)
def test_check_numerics_names_what_is_no_number(fn, said):
    check = check_numerics(fn, torch.ones(2, 3))
    assert not check.passed and math.isnan(check.gap) and said in check.mistake
    assert check.mistake.startswith("At x = [1, 1, 1] ")


def test_extreme_arguments_are_as_extreme_as_they_say():
    mu, log_var = extreme_encodings()
    assert mu.shape == log_var.shape and mu.shape[1] == 2
    assert (mu.min(), mu.max()) == (-4, 4) and (log_var.min(), log_var.max()) == (-80, 80)
    assert ((log_var != 0) & (log_var.abs() < 1e-3)).any()
    x, logits = extreme_logits()
    assert x.shape == logits.shape and x.shape[1] == 2 and set(x.unique().tolist()) == {0.0, 1.0}
    assert (logits.min(), logits.max()) == (-100, 100)
    for logit in logits[:, 0].unique():  # each beside the right x and the wrong one
        assert set(x[logits[:, 0] == logit, 0].tolist()) == {0.0, 1.0}


def test_the_wrongest_entry_of_a_gradient_is_shown():
    def leaky(mu, log_var):  # right in its values; the gradient is wrong in two entries, and most in log_var[2, -1]
        wrong = 0.01 * mu[1, 0] + 0.05 * log_var[2, -1]
        return kl_standard_normal(mu, log_var) + wrong - wrong.detach()

    seen = []

    def remembered(mu, log_var):
        seen.append(evaluate(kl_standard_normal, {"mu": mu, "log_var": log_var}).gradients["log_var"])
        return leaky(mu, log_var)

    check = check_kl(remembered)
    right = seen[0][2, -1].item()
    wrong = right + 0.05 * 7.5  # the weights of five values, from 1 to 2, add up to 7.5
    assert f"with respect to log_var an entry is [{wrong:.4f}], where [{right:.4f}] is expected" in check.mistake


@pytest.mark.parametrize(
    "fn, said",
    [
        (lambda x: x.log().sum(-1), "The logarithm."),
        (lambda x: x.sum(-1), ""),
        (lambda x: (x * math.nan).sum(-1), ""),
        (lambda x: torch.where(x.shape[0] * torch.ones(len(x)) > 2, x.log().sum(-1), math.nan), ""),
    ],
    ids=["cured", "no NaN", "not cured", "cured in one of two"],
)
def test_a_nan_is_explained_only_by_what_cures_it_everywhere(fn, said):
    fixtures = [{"x": torch.tensor([[-1.0, 2.0], [3.0, -0.5], [1.0, 1.0]])}, {"x": torch.tensor([[-4.0, 0.5]])}]
    clue = nan_cured_by(lambda arguments: {"x": arguments["x"].abs()}, "The logarithm.")
    assert clue(fn, fixtures, [evaluate(fn, arguments) for arguments in fixtures]) == said


@pytest.mark.parametrize("weight", [-0.7, 0.0, 1e-3])
def test_a_wrong_weight_of_a_term_of_the_log_density_is_read_off(weight):
    def weighted(x, mu, log_var):
        return (
            log_normal(x, mu, log_var)
            + (0.5 + weight) * log_var.sum(-1)
            + 0.25 * ((x - mu) ** 2 / log_var.exp()).sum(-1)
        )

    mistake = check_log_normal(weighted).mistake.replace("−", "-")
    assert f"Σlog σ² enters with weight {weight:g}, where -0.5 belongs" in mistake
    assert "Σ(x - μ)²/σ² enters with weight -0.25, where -0.5 belongs" in mistake and "log 2π" not in mistake


def test_logits_reach_forty_on_either_side_with_an_improbable_x():
    seen = []

    def remembered(x, logits):
        seen.append((x.detach().clone(), logits.detach().clone()))
        return bernoulli.log_prob(x, logits)

    assert check_log_bernoulli(remembered).passed
    for x, logits in seen[:2]:
        assert (logits.min(), logits.max()) == (-40, 40)
        extreme = logits.abs() > 15
        assert torch.equal(x[extreme], (logits[extreme] < 0).double())
    assert sorted({x.shape[1] for x, _ in seen})[0] == 1 and all(len(x) != x.shape[1] for x, _ in seen)
