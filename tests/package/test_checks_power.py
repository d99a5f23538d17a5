"""What a check shows beside its verdict, and errors in the checks themselves that no planted mistake brings out."""

import functools
import math

import pytest
import torch
from planted import only_gradient

from vae_tutorial._troubleshooting import see
from vae_tutorial.bounds import elbo, iwae_bound
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
    standard_deviation,
    variance,
)
from vae_tutorial.checks.answers import evaluate, max_gap
from vae_tutorial.checks.clues import nan_cured_by
from vae_tutorial.checks.compare import titled
from vae_tutorial.checks.naming import catalogue, numbers, row_of, signed
from vae_tutorial.checks.spread import _with_positive_log_var
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
    "iwae_bound": (
        lambda: check_iwae_bound(iwae_bound),
        "iwae_bound: Importance-weighted bound",
        "function",
        "decimal arithmetic",
        "nats",
        "float64",
    ),
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
    first = seen[:3]
    assert sorted({x.shape[1] for x, _ in first})[0] == 1 and all(len(x) != x.shape[1] for x, _ in first)


@pytest.mark.parametrize(
    "wrong_divisor",
    [lambda x: 3 if x.shape[1] == 3 else 1, lambda x: 2 if x.shape[1] == 2 else 1, lambda x: 5 if len(x) == 5 else 1],
    ids=["D = 3", "D = 2", "B = 5"],
)
def test_a_reduction_is_named_only_where_it_explains_a_smaller_batch_too(wrong_divisor):
    """As for three columns, it is averaged over the last axis; for two it is not."""
    shapes = set()

    def fn(x):
        shapes.add(tuple(x.shape))
        return x.sum(-1) / wrong_divisor(x)

    check = check_reduction(fn)
    assert not check.passed and check.mistake.startswith("The value of an example depends on")
    assert {(5, 3), (4, 2)} <= shapes


def test_the_mistake_of_a_reduction_is_all_that_is_said():
    mistake = check_reduction(lambda x: x.mean(-1)).mistake
    assert mistake == f"It is averaged over the last axis, where it should be summed. {see('weights')}"


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x[:, 0] * x[:, 1],
        lambda x: x.sum(-1) if x.numel() > 1 else 0.5,
        lambda x: x.sum(-1) if x.numel() > 1 else x.expand(2, 2),
    ],
    ids=["raises", "no tensor", "too many numbers"],
)
def test_a_function_that_fails_for_single_numbers_is_no_error_of_the_check(fn):
    check = check_reduction(fn)
    assert math.isnan(check.gap) and not check.passed
    assert "it is not the sum over its dimensions" in check.mistake


def test_probabilities_for_logits_are_told_from_another_nan():
    def odds(x, p):  # NaN for the logits, and for a probability of 1
        return (x * (p / (1 - p)).log() + (1 - p).log()).sum(-1)

    mistake = check_log_bernoulli(odds).mistake
    assert mistake.endswith(f"it takes them for probabilities, the sigmoid is missing. {see('nan')}")
    assert "the sigmoid is missing" not in check_log_bernoulli(lambda x, p: odds(x, 2 * p)).mistake


def test_a_sampler_a_little_more_than_five_standard_errors_off_is_caught():
    def shifted(params, generator=None):
        return params + 0.025 + torch.randn(params.shape, generator=generator, dtype=params.dtype)

    check = check_log_prob(of_samples(shifted), *grid([-14.0], [14.0], 401))
    assert not check.passed and 5 < check.gap < 6


def test_the_mass_shown_is_that_of_the_first_parameters():
    seen = []

    def log_prob(x, params):  # its mass, the exponential of params, is not the same for all
        seen.append(params[0].exp().item())
        return normal(0.0).log_prob(x, params) + params.sum(-1)

    check = check_log_prob(Likelihood(1, log_prob, lambda params: params, normal(0.0).sample), *grid([-14], [14], 401))
    assert f"exp(log_prob) sums to {seen[0]:.4g}," in check.mistake and len(set(seen)) > 1


def test_a_gradient_that_is_no_number_is_the_wrongest():
    def leaky(mu, log_var):
        wrong = 0.01 * log_var[0, 0]
        return kl_standard_normal(mu, log_var) + only_gradient(mu[:, 0], math.nan) + wrong - wrong.detach()

    assert "with respect to mu an entry is [nan], where [" in check_kl(leaky).mistake


def test_a_mended_model_is_a_copy():
    arguments = exact.linear_gaussian(n_examples=4, x_dim=3, latent_dim=1)
    before = arguments["model"].encode(arguments["x"])[1]
    after = _with_positive_log_var(arguments)["model"].encode(arguments["x"])[1]
    assert (before < 0).any() and (after > 0).all()
    assert torch.equal(arguments["model"].encode(arguments["x"])[1], before)


def test_the_dimension_beside_an_extreme_one_is_mild():
    for beside in (tensor[:, 1] for tensor in (*extreme_encodings(), *extreme_logits())):
        assert len(beside.unique()) == 1 and 0 < beside[0].abs() <= 1


def test_the_catalogue_puts_simple_mistakes_first():
    table = catalogue(
        {"": lambda x: x, "is squared": lambda x: x**2},
        {"": lambda t: t, "is halved": lambda t: t / 2},
        {"": 1.0, "is negative": -1.0},
    )
    assert list(table) == [
        "is negative",
        "is halved",
        "is squared",
        "is halved; it is negative",
        "is squared; it is negative",
        "is squared; it is halved",
        "is squared; it is halved; it is negative",
    ]
    assert [fn(torch.tensor(3.0)).item() for fn in table.values()] == [-3.0, 1.5, 9.0, -1.5, -9.0, 4.5, -4.5]


@pytest.mark.parametrize(
    "check, right, dims",
    [
        (check_kl, kl_standard_normal, {1, 2, 3}),
        (check_log_normal, log_normal, {1, 2, 3}),
        (check_log_bernoulli, bernoulli.log_prob, {1, 3, 4}),
    ],
)
def test_no_two_lengths_agree_that_a_mistake_could_confuse(check, right, dims):
    seen = []

    def remembered(*arguments):
        seen.append(tuple(arguments[0].shape))
        return right(*arguments)

    assert check(remembered).passed
    shapes = seen[:3]  # those of the fixed arguments, by which mistakes are named
    examples, latent = zip(*shapes, strict=True)
    assert len(set(shapes)) == len(set(examples)) == 3 and set(latent) == dims
    assert all(n > d for n, d in shapes)


def test_no_two_lengths_of_the_model_agree():
    seen = []

    def remembered(model, x, eps):
        seen.append((*x.shape, model.latent_dim))
        assert len(seen) > 2 or eps.shape == (2 * model.latent_dim, len(x), model.latent_dim)
        return bound(model, x, eps)

    assert check_elbo(remembered).passed
    one, other = sorted(seen[:2], key=sum)
    assert len(set(one)) == len(set(other)) == 3 and all(a != b for a, b in zip(one, other, strict=True))
    assert one[-1] == 1


def test_an_answer_holds_the_gradients_of_all_that_asks_for_one():
    layer, x = torch.nn.Linear(2, 1), torch.tensor([[1.0, 2.0], [3.0, 5.0], [7.0, 11.0]], requires_grad=True)
    arguments = {"x": x, "layer": layer, "shift": torch.ones(3), "unused": torch.ones(2, requires_grad=True)}
    value, gradients = evaluate(lambda x, layer, shift, unused: layer(x)[:, 0] + shift, arguments)
    torch.testing.assert_close(value, (layer(x)[:, 0] + 1).detach().double())
    weights = torch.tensor([1.0, 1.5, 2.0])
    right = {
        "x": weights[:, None] * layer.weight.detach(),
        "weight": (weights @ x.detach())[None],
        "bias": weights.sum()[None],
        "unused": torch.zeros(2),
    }
    assert sorted(gradients) == sorted(right)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, right[name])


def test_a_clue_that_fails_says_nothing():
    def fn(mu, log_var):  # called with positive log_var, as the clue does, it fails
        if (log_var > 0).all():
            raise ValueError
        return kl_standard_normal(mu, log_var) + 0 * mu[:, 0].log()

    assert check_kl(fn).mistake.startswith("No known mistake matches. For arguments that begin mu = [")


def test_random_numbers_of_its_own_are_all_that_is_said():
    mistake = check_kl(lambda mu, log_var: kl_standard_normal(mu, log_var) + torch.randn(len(mu))).mistake
    assert mistake == "Two calls with the same arguments gave different answers: it draws random numbers of its own."


def test_a_claim_begins_with_the_name_of_a_function_that_has_one():
    assert titled("Claim", kl_standard_normal) == "kl_standard_normal: Claim"
    assert titled("Claim", lambda: 0) == titled("Claim", functools.partial(kl_standard_normal)) == "Claim"


def test_the_largest_gap_is_exact_and_not_a_number_where_one_is_not():
    assert max_gap([0.05, 0.1, -0.2]) == 0.1  # in float32 it is another number
    assert math.isnan(max_gap([0.1, math.nan, math.inf]))


def test_a_wrong_shape_is_all_that_is_said():
    mistake = check_kl(lambda mu, log_var: kl_standard_normal(mu, log_var)[1:]).mistake
    assert mistake == "It returned shape (4,), where (5,) is expected."


def test_a_wrong_value_is_named_whatever_its_gradient():
    mistake = check_kl(lambda mu, log_var: -kl_standard_normal(mu, log_var).detach()).mistake
    assert mistake == f"It has the opposite sign. {see('kl-negative')}"


def test_a_gradient_that_is_missing_from_the_first_batch_alone_is_told():
    def fn(mu, log_var):
        return kl_standard_normal(mu, log_var.detach() if len(mu) == 5 else log_var)

    assert "no gradient reaches log_var" in check_kl(fn).mistake


@pytest.mark.parametrize(
    "fn, given, words",
    [
        (reparameterize, variance, "the log-variance: if that is meant, add spread=log_variance."),
        (lambda mu, sd, eps: mu + sd * eps, variance, "the standard deviation: if that is meant, add spread=standard"),
        (lambda mu, v, eps: mu + v.sqrt() * eps, standard_deviation, "the variance: if that is meant, add spread=vari"),
    ],
)
def test_the_spread_that_would_be_right_is_given_in_words(fn, given, words):
    assert f" It is right where it is given {words}" in check_reparameterize(fn, spread=given).mistake


def test_numbers_are_shown_up_to_four_and_weights_to_six_places():
    assert numbers(torch.arange(4.0)) == "[0.0000, 1.0000, 2.0000, 3.0000]"
    assert numbers(torch.arange(5.0).reshape(5, 1)) == "[0.0000, 1.0000, 2.0000, 3.0000, …]"
    assert [signed(weight) for weight in (-1e-9, 1.2346e-5, -0.5)] == ["0", "1.2e−05", "−0.5"]


def test_the_first_example_of_the_arguments_is_shown():
    shown = row_of({"model": torch.nn.Identity(), "x": torch.tensor([[1, 2], [3, 4]]), "eps": torch.ones(2, 2, 3)}, 0)
    assert shown == "x = [1.0000, 2.0000], eps = [1.0000, 1.0000, 1.0000]"


def test_large_values_are_held_to_the_same_tolerance():
    check = check_log_bernoulli(lambda x, logits: (1 + 9e-6) * bernoulli.log_prob(x, logits))
    assert 1e-4 < check.gap < 1e-3 and check.mistake.startswith("No known mistake matches")
