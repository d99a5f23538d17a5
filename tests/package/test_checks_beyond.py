"""What a check must notice beyond its fixed arguments: sizes, far arguments, noise, state, changes of the arguments."""

import math
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from planted import BINARY, bce, bound, kl
from planted import sample as draw
from torch import nn
from torch.distributions import Normal

from vae_tutorial._troubleshooting import see
from vae_tutorial.bounds import elbo, iwae_bound
from vae_tutorial.checks import (
    agree,
    check_elbo,
    check_iwae_bound,
    check_kl,
    check_log_bernoulli,
    check_log_mixture,
    check_log_normal,
    check_log_prob,
    check_numerics,
    check_reduction,
    check_reparameterize,
    exceeds,
    extreme_encodings,
)
from vae_tutorial.formulas import log_normal as normal_rows
from vae_tutorial.gaussian import kl_standard_normal, log_normal, reparameterize
from vae_tutorial.likelihoods import bernoulli, normal_diag
from vae_tutorial.reference import grid


def entries(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var)


def after(n, right, wrong):
    """Right for the first ``n`` calls."""
    calls = []

    def fn(*arguments):
        calls.append(1)
        return (right if len(calls) <= n else wrong)(*arguments)

    return fn


def clamped_elbo(at):
    def clamped(fn):
        return lambda mu, log_var, *eps: fn(mu, log_var.clamp(-at, at), *eps)

    return lambda model, x, eps: bound(model, x, eps, kl=clamped(kl), sample=clamped(draw))


def half_mirrored(eps):
    return torch.cat([eps[: len(eps) // 2], -eps[: len(eps) // 2], eps[2 * (len(eps) // 2) :]])


def sigma_points(model, x, eps):
    axes = math.sqrt(model.latent_dim) * torch.eye(model.latent_dim)
    return bound(model, x, torch.cat([axes, -axes])[:, None].expand(-1, len(x), -1))


def linear_expansion(model, x, eps):
    """Right where the decoder is linear: the curvature of log p(x|z) by a difference of finite size."""
    mu, log_var = model.encode(x)
    at_mean = model.log_likelihood(x, mu)
    terms = [torch.zeros_like(at_mean)]
    for axis in torch.eye(model.latent_dim):
        up, down = (model.log_likelihood(x, mu + sign * axis) for sign in (1, -1))
        terms.append(0.5 * (up + down - 2 * at_mean) * (log_var.exp() @ axis))
    z = draw(mu, log_var, eps)  # used, but for a part that is right on average
    return at_mean + sum(terms) - kl(mu, log_var) + 1e-3 * ((z - mu) / (0.5 * log_var).exp()).mean(0).sum(-1)


def other_pixels(model, x, eps):
    mu, log_var = model.encode(x)
    return model.log_likelihood(x.flip(0), draw(mu, log_var, eps)).mean(0) - kl(mu, log_var)


def log_q_added(model, x, eps):
    mu, log_var = model.encode(x)
    z = draw(mu, log_var, eps)
    log_q = Normal(mu, (0.5 * log_var).exp()).log_prob(z).sum(-1)
    return (model.log_likelihood(x, z) + model.log_prior(z) + log_q).mean(0)


def log_mixture(z, logits, mu, log_var):
    return (logits.log_softmax(0) + normal_rows(z[:, None], mu, log_var)).logsumexp(-1)


def in_eval_mode_only(mu, log_var, eps):
    return draw(mu, log_var, eps) if torch.is_grad_enabled() else mu.expand_as(eps)


FALSE_PASSES = {
    "log σ² clamped, KL": (check_kl, lambda m, v: kl(m, v.clamp(-1.9, 1.9)), "below −1.9 and above 1.9"),
    "log σ² clamped at 12": (check_kl, lambda m, v: kl(m, v.clamp(max=12)), "log σ² is clamped above 12"),
    "μ clamped": (check_kl, lambda m, v: kl(m.clamp(-2, 2), v), "μ is clamped below −2 and above 2"),
    "log σ² clamped, density": (check_log_normal, lambda x, m, v: log_normal(x, m, v.clamp(-5, 5)), "clamped"),
    "log σ² clamped, sampler": (check_reparameterize, lambda m, v, e: draw(m, v.clamp(-8, 8), e), "−8 and above 8"),
    "ε clamped": (
        check_reparameterize,
        lambda m, v, e: draw(m, v, e.clamp(-2, 2)),
        "ε is clamped below −2 and above 2",
    ),
    "its result clamped": (
        check_kl,
        lambda m, v: kl(m, v).clamp(max=100),
        "Its result is clamped at 100, whatever",
    ),
    "ε of length 1": (
        check_reparameterize,
        lambda m, v, e: draw(m, v, e / e.norm(dim=-1, keepdim=True)),
        "It gives the same answers where eps is multiplied by 1.5",
    ),
    "pixels of another example": (check_elbo, other_pixels, "right for one example at a time, but not for several"),
    "KL over D": (
        check_elbo,
        lambda M, x, e: bound(M, x, e, kl=lambda m, v: kl(m, v) / x.shape[1]),
        "divides the KL by the number of dimensions of x",
    ),
    "KL over B": (
        check_elbo,
        lambda M, x, e: bound(M, x, e, kl=lambda m, v: kl(m, v) / len(x)),
        "divides the KL by the number of examples",
    ),
    "log q added": (check_elbo, log_q_added, "adds log q(z | x), where it should be subtracted"),
    "log K twice": (check_iwae_bound, lambda w: iwae_bound(w) - math.log(len(w)), "subtracts log K twice"),
    "log(K + 1)": (check_iwae_bound, lambda w: w.logsumexp(0) - math.log(len(w) + 1), "subtracts log(K + 1)"),
    "logits clamped, mixture": (
        check_log_mixture,
        lambda z, w, m, v: log_mixture(z, w.clamp(-2, 2), m, v),
        "the logit is clamped below −2 and above 2",
    ),
    "log σ² clamped, mixture": (
        check_log_mixture,
        lambda z, w, m, v: log_mixture(z, w, m, v.clamp(min=-3)),
        "log σ² is clamped below −3",
    ),
    "a floor, mixture": (
        check_log_mixture,
        lambda z, w, m, v: (log_mixture(z, w, m, v).exp() + 1e-10).log(),
        "It saturates at −23.0259 nats: 1e-10 is added inside the logarithm",
    ),
    "logits that cancel": (
        check_log_mixture,
        lambda z, w, m, v: (w + normal_rows(z[:, None], m, v)).log_softmax(0).logsumexp(-1),
        "the same answers where logits is multiplied by 1.5",
    ),
    "log σ² clamped, ELBO": (check_elbo, clamped_elbo(4), "log σ² is clamped below −4 and above 4"),
    "logits clamped": (check_log_bernoulli, lambda x, u: bce(x, u.clamp(-50, 50)), "the logit is clamped below −50"),
    "log σ² clamped at 10, ELBO": (check_elbo, clamped_elbo(10), "log σ² is clamped below −10 and above 10"),
    "free bits of 0.01": (check_kl, lambda m, v: entries(m, v).clamp(min=0.01).sum(-1), "a floor of 0.01 nats a dim"),
    "free bits of an example": (check_kl, lambda m, v: kl(m, v).clamp(min=2.0), "a floor of 2 nats an example"),
    "log(σ² + 1e-6)": (
        check_kl,
        lambda m, v: 0.5 * (m**2 + v.exp() - 1 - (v.exp() + 1e-6).log()).sum(-1),
        "adds 1e-06 to σ² inside the logarithm",
    ),
    "σ + 1e-6": (
        check_log_normal,
        lambda x, m, v: Normal(m, (0.5 * v).exp() + 1e-6).log_prob(x).sum(-1),
        "adds 1e-06 to σ:",
    ),
    "one noise for the batch": (
        check_elbo,
        lambda M, x, e: bound(M, x, e[:, :1].expand_as(e)),
        "shares one noise among the whole batch",
    ),
    "ε³/L": (check_elbo, lambda M, x, e: bound(M, x, e**3 / e.shape[-1]), "right for the first arguments"),
    "−ε for half of the draws": (check_elbo, lambda M, x, e: bound(M, x, half_mirrored(e)), "right for one draw at a"),
    "sigma points of its own": (check_elbo, sigma_points, "does not use the noise it is given"),
    "right for a linear decoder": (check_elbo, linear_expansion, "right for a linear decoder"),
    "three dimensions": (check_kl, lambda m, v: kl(m[:, :3], v[:, :3]), "right in one dimension, but"),
    "seven draws": (check_iwae_bound, lambda w: iwae_bound(w[:7]), "right for one draw at a time"),
    "squeeze, one example": (check_kl, lambda m, v: kl(m, v).squeeze(), "An axis of length 1 is squeezed away"),
    "squeeze, one draw": (check_reparameterize, lambda m, v, e: draw(m, v, e).squeeze(0), "For one draw, it returned"),
    "squeeze, ELBO": (check_elbo, lambda M, x, e: bound(M, x, e).squeeze(), "For one example, it returned shape ()"),
    "squeeze, IWAE": (check_iwae_bound, lambda w: iwae_bound(w).squeeze(), "For one example, it returned shape ()"),
    "squeeze, Bernoulli": (check_log_bernoulli, lambda x, u: bce(x, u).squeeze(), "squeezed away"),
    "in place through .data": (
        check_kl,
        lambda m, v: (v.data.clamp_(-4, 4), kl(m, v))[1],
        "changed its argument log_v",
    ),
    "noise in place": (check_reparameterize, lambda m, v, e: m + e.mul_((0.5 * v).exp()), "its argument eps in place"),
    "model in place": (check_elbo, lambda M, x, e: (M.train(False), bound(M, x, e))[1], "its argument model in place"),
    "wrong from the fourth call on": (check_kl, after(3, kl, lambda m, v: 2 * kl(m, v)), "in another way"),
    "wrong from the tenth call on": (check_kl, after(9, kl, lambda m, v: kl(m, v) + 1), "in another way"),
    "right for B = 5 alone": (check_kl, lambda m, v: kl(m, v) + (len(m) > 5), "for one example at a time"),
    "a mean where no gradient is taken": (check_reparameterize, in_eval_mode_only, "Under torch.no_grad()"),
    "wrong below 0": (check_reduction, lambda x: x.clamp(min=0).sum(-1) + x.clamp(max=0).mean(-1), "not the sum over"),
    "three dimensions of any function": (
        check_reduction,
        lambda x: x[:, :3].sum(-1),
        "not the sum over its dimensions",
    ),
}


@pytest.mark.parametrize("name", FALSE_PASSES)
def test_what_once_passed_fails_and_is_named(name):
    check, fn, said = FALSE_PASSES[name]
    found = check(fn)
    assert not found.passed and said in found.mistake, found


def sampled(sample):
    return bernoulli._replace(sample=sample)


def one_uniform(params, generator=None):
    shared = torch.rand(params.shape[:-1] + (1,), generator=generator)
    return (shared < params.sigmoid()).to(params.dtype)


def global_uniform(params, generator=None):
    return (torch.rand_like(params) < params.sigmoid()).to(params.dtype)


@pytest.mark.parametrize(
    "likelihood, said",
    [
        (sampled(one_uniform), "The samples do not follow log_prob"),
        (sampled(global_uniform), "does not draw from the generator it is given"),
        (bernoulli._replace(log_prob=lambda x, p: bernoulli.log_prob(x, p).detach()), "its gradient with respect to"),
        (
            bernoulli._replace(log_prob=lambda x, p: bernoulli.log_prob(x, p.mean(0, keepdim=True).expand_as(p))),
            "mixed",
        ),
        (bernoulli._replace(log_prob=lambda x, p: bernoulli.log_prob(x, p if p.ndim == 2 else p[0])), "log_prob gave"),
    ],
    ids=["one uniform number for all dimensions", "another generator", "no gradient", "rows mixed", "no axis of draws"],
)
def test_likelihoods_that_once_passed_fail(likelihood, said):
    check = check_log_prob(likelihood, BINARY)
    assert not check.passed and said in check.mistake


def test_a_layout_of_parameters_that_only_two_dimensions_show():
    def log_prob(x, params):  # mean and log-variance of each dimension side by side; elsewhere all means come first
        return normal_diag.log_prob(x, params.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2))

    check = check_log_prob(normal_diag._replace(log_prob=log_prob), *grid([-14.0], [14.0], 401))
    assert not check.passed and check.mistake.startswith("In two dimensions: ")
    assert check_log_prob(normal_diag, *grid([-14.0], [14.0], 401)).passed


@pytest.mark.parametrize("seed", range(5))
def test_right_functions_pass_under_every_seed(seed):
    assert check_kl(kl_standard_normal, seed=seed).passed
    assert check_log_normal(log_normal, seed=seed).passed
    assert check_log_bernoulli(bernoulli.log_prob, seed=seed).passed
    assert check_reparameterize(reparameterize, seed=seed).passed
    assert check_elbo(lambda model, x, eps: elbo(model, x, eps=eps), seed=seed).passed
    assert check_iwae_bound(iwae_bound, seed=seed).passed
    assert check_reduction(lambda x, y: (x * y.exp()).sum(-1), seed=seed).passed


def test_the_seed_decides_the_further_arguments_and_not_the_first():
    def seen(seed):
        kept = []
        check_kl(lambda m, v: (kept.append(m.detach().clone()), kl(m, v))[1], seed=seed)
        return kept

    one, other = seen(0), seen(1)
    assert all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))
    assert not torch.equal(one[5], other[5]) and torch.equal(one[5], seen(0)[5])


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_gradients_count_whatever_the_mode_outside(mode):
    cut = (
        (check_kl, lambda m, v: kl(m.detach(), v.detach()), kl),
        (check_log_bernoulli, lambda x, u: bce(x, u.detach()), bce),
        (check_reparameterize, lambda m, v, e: draw(m, v, e).detach(), draw),
        (check_elbo, lambda M, x, e: bound(M, x, e).detach(), bound),
        (check_iwae_bound, lambda w: iwae_bound(w.detach()), iwae_bound),
    )
    with mode():
        for check, wrong, right in cut:
            assert not check(wrong).passed and check(right).passed
        assert check_reduction(lambda x: x.square().sum(-1)).passed
        assert check_numerics(kl_standard_normal, *extreme_encodings()).passed
        assert check_log_prob(bernoulli, BINARY.clone()).passed


def test_checks_in_threads_leave_the_default_dtype():
    failed = []

    def work():
        failed.extend(check for check in (check_iwae_bound(iwae_bound) for _ in range(5)) if not check)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failed and torch.get_default_dtype() == torch.float32


def squeezed_first(mu, log_var):
    return entries(mu.squeeze(), log_var.squeeze()).sum(-1)


@pytest.mark.parametrize(
    "check, fn, said",
    [
        (check_kl, squeezed_first, "For mu (3, 1), log_var (3, 1) it returned shape ()"),
        (check_kl, lambda m, v: kl(m, v) if m.shape[1] > 1 else entries(m, v), "it returned shape (3, 1)"),
        (check_kl, lambda m, v: kl(m, v).to_sparse(), "returned a sparse coo tensor"),
        (
            check_kl,
            lambda m, v: torch.nested.nested_tensor([kl(m, v)], layout=torch.jagged),
            "returned a nested tensor",
        ),
        (check_kl, lambda m, v: kl(m, v).to("meta"), "returned a tensor on meta"),
        (check_kl, lambda m, v: kl(m, v).to(torch.complex128), "returned torch.complex128 numbers"),
        (check_kl, lambda m, v: kl(m.requires_grad_(False), v), "changed requires_grad of its argument mu"),
        (
            check_kl,
            lambda m, v: (kl(m, v), m),
            "returned tuple of 2, where a torch.Tensor is expected. Number 0 of them",
        ),
        (check_kl, lambda m, v: {"loss": -kl(m, v)}, "Of the first: It has the opposite sign."),
        (lambda fn: check_numerics(fn, torch.ones(3, 2)), lambda x: x[:0], "returned no number"),
    ],
)
def test_odd_answers_are_failed_checks_that_say_what_came(check, fn, said):
    found = check(fn)
    assert not found.passed and said in found.mistake, found.mistake


def test_evidence_is_that_of_the_arguments_that_fail():
    mistake = check_kl(lambda m, v: kl(m, v) if len(m) == 5 else kl(m, v) + 1).mistake
    assert "mu = [-1.7863, -1.2141]" in mistake and "[4.0767, " in mistake and "[3.0767, " in mistake
    barely = check_kl(lambda m, v: kl(m, v) + 2e-5 * torch.sin(m[:, 0])).mistake
    came, expected = (part.split("]")[0] for part in barely.split("it gave [")[1].split("where ["))
    assert came.split(",")[0] != expected.split(",")[0]
    assert "are not: ." not in barely


def test_errors_are_cut_and_get_their_clue():
    def scale_is_log_var(mu, log_var):
        q = Normal(mu, log_var, validate_args=True)  # whatever the default is
        return torch.distributions.kl_divergence(q, Normal(0.0, 1.0)).sum(-1)

    mistake = check_kl(scale_is_log_var).mistake
    assert len(mistake) < 600 and "It fails where log_var is negative: log_var is taken for a variance" in mistake


@pytest.mark.parametrize(
    "fn",
    [
        lambda mu, log_var: mu + (0.5 * log_var).exp() * torch.randn_like(mu),
        lambda mu, log_var: mu + (0.5 * log_var).exp() * torch.randn(mu.shape),
        lambda mu, log_var: Normal(mu, (0.5 * log_var).exp()).rsample(),
        lambda mu, log_var: torch.normal(mu, (0.5 * log_var).exp()),
        lambda mu, log_var: mu + (0.5 * log_var).exp() * torch.empty_like(mu).normal_(),
    ],
    ids=["randn_like", "randn", "rsample", "normal", "normal_"],
)
def test_samplers_that_draw_for_themselves_are_given_the_noise(fn):
    assert check_reparameterize(fn).passed
    wrong = check_reparameterize(lambda mu, log_var: fn(mu, 2 * log_var))
    assert "equals μ + σ²ε: the variance stands where the standard deviation belongs" in wrong.mistake


def test_a_sampler_that_draws_no_gaussian_noise_is_told():
    mistake = check_reparameterize(lambda mu, log_var: mu + (0.5 * log_var).exp() * torch.rand_like(mu)).mistake
    assert "it drew no Gaussian noise of the shape of mu" in mistake


def numpy_kl(mu, log_var):
    return 0.5 * np.sum(np.asarray(mu) ** 2 + np.exp(np.asarray(log_var)) - 1 - np.asarray(log_var), -1)


def test_functions_of_numpy_arrays_are_judged_by_their_values():
    assert "Its values are right, but it carries no gradient" in check_kl(numpy_kl).mistake
    mistake = check_kl(lambda mu, log_var: -numpy_kl(mu, log_var)).mistake
    assert mistake == f"It has the opposite sign. {see('kl-negative')}"


def squared_error_loss(x_hat, x, mu, log_var):
    return 0.5 * (x - x_hat).square().sum() + kl(mu, log_var).sum()


def losses(recon, divergence):
    """Squared error and KL as courses put them together, from (K, B, D) and (B, L)."""

    def loss(model, x, eps):
        mu, log_var = model.encode(x)
        return recon((model.decode(draw(mu, log_var, eps)) - x) ** 2) + divergence(entries(mu, log_var))

    return loss


@pytest.mark.parametrize(
    "fn, said",
    [
        (squared_error_loss, "takes −½ Σ(x − x̂)² for log p(x | z)"),
        (losses(lambda s: s.mean(), lambda k: k.sum()), "mean of (x − x̂)² + 1 · KL, reduced to one number"),
        (losses(lambda s: s.mean(), lambda k: k.mean()), "+ 1 · KL averaged over latent dimensions, averaged over the"),
        (losses(lambda s: -s.mean((0, 2)), lambda k: -0.1 * k.sum(-1)), "σ² = 0.05 · D, where the model has σ² = 0.3"),
        (
            losses(lambda s: -s.sum(2).mean(0), lambda k: -0.1 * k.sum(-1)),
            "− 1 · Σ(x − x̂)² − 0.1 · KL. But for a factor",
        ),
        (losses(lambda s: s.sum(2).mean(0), lambda k: -0.1 * k.sum(-1)), "One of the two has the wrong sign"),
    ],
)
def test_losses_of_other_courses_are_named_with_their_weights(fn, said):
    found = check_elbo(fn)
    assert not found.passed and said in found.mistake, found.mistake


def gaussian_loss(noise_var, reduce=lambda loss: loss, constant=True):
    def loss(x_hat, x, mu, log_var):
        log_2_pi_var = math.log(2 * math.pi * noise_var) if constant else 0.0
        pixels = 0.5 * ((x - x_hat) ** 2 / noise_var + log_2_pi_var).sum(-1)
        return reduce(pixels + kl(mu, log_var))

    return loss


@pytest.mark.parametrize("noise_var", [0.01, 0.3, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("reduce", [lambda loss: loss, torch.sum, torch.mean], ids=["rows", "sum", "mean"])
def test_a_loss_of_four_is_right_with_any_fixed_variance_and_its_constant(noise_var, reduce):
    found = check_elbo(gaussian_loss(noise_var, reduce))
    assert found.passed, found


def test_a_loss_of_four_with_another_variance_in_its_constant_is_wrong():
    right = gaussian_loss(1.0)
    assert not check_elbo(lambda x_hat, x, mu, log_var: right(x_hat, x, mu, log_var) + 0.1 * x.shape[1])
    assert not check_elbo(lambda x_hat, x, mu, log_var: right(x_hat, x, mu, 0.9 * log_var))
    assert not check_elbo(gaussian_loss(1.0, constant=False))
    assert "drops the constant −(D/2) log(2πσ²)" in check_elbo(gaussian_loss(0.3, constant=False)).mistake
    assert check_elbo(lambda x_hat, x, mu, log_var: ...).unwritten


def test_a_loss_of_probabilities_is_told_what_the_model_is():
    mistake = check_elbo(lambda x_hat, x, mu, log_var: F.binary_cross_entropy(x_hat, x) + kl(mu, log_var).sum()).mistake
    assert "takes x_hat for probabilities, where the model's likelihood is Gaussian" in mistake


def test_numerics_without_arguments_says_where_to_get_some():
    with pytest.raises(ValueError, match="such as check_numerics\\(kl, \\*extreme_encodings"):
        check_numerics(kl_standard_normal)


def test_numerics_can_be_held_against_another_function():
    def clamped(mu, log_var):
        return kl(mu, log_var.clamp(-30, 20))

    arguments = torch.tensor([[0.5], [0.1]]), torch.tensor([[-0.5], [40.0]])
    assert check_numerics(clamped, *arguments).passed
    mistake = check_numerics(clamped, *arguments, exact=kl_standard_normal).mistake
    assert "is right: the formula is wrong" in mistake and "digits are lost" not in mistake
    assert check_numerics(kl_standard_normal, *arguments, exact=kl_standard_normal).passed


ROUTES = dict(tolerance=1.0, routes=("one", "the other"))


@pytest.mark.parametrize("stderr", [-1.0, math.inf, math.nan, torch.tensor([0.1, -0.1])])
def test_a_standard_error_must_be_one(stderr):
    left = torch.zeros(2) if isinstance(stderr, torch.Tensor) else 0.0
    with pytest.raises(ValueError, match="stderr must be finite and at least 0"):
        agree("1 is 100", left, left + 100.0, stderr=stderr, **ROUTES)


@pytest.mark.parametrize("complex_value", [1j, torch.tensor(1 + 5j), np.complex64(2j)])
def test_complex_numbers_are_refused(complex_value):
    with pytest.raises(TypeError, match="left must be real"):
        agree("i is 0", complex_value, 0.0, **ROUTES)
    with pytest.raises(TypeError, match="better must be real"):
        exceeds("i is more", complex_value, 0.0, margin=1.0, routes=("one", "the other"))


def test_a_python_number_keeps_its_digits():
    assert agree("a third", 1 / 3, torch.tensor(1 / 3, dtype=torch.float64), **(ROUTES | {"tolerance": 0.0})).passed
    assert not agree("0 is 1", 0.0, 1.0, stderr=0.0, **ROUTES).passed


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, math.inf])
def test_a_tolerance_must_be_one(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        agree("1 is 1", 1.0, 1.0, tolerance=tolerance, routes=("one", "the other"))


class Activated(nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, mu, log_var):
        return kl(mu, self.head(log_var))


@pytest.mark.parametrize("name, head", [("relu", F.relu), ("softplus", F.softplus), ("sigmoid", torch.sigmoid)])
def test_an_activation_over_log_var_is_named_in_every_gaussian_check(name, head):
    said = f"It applies {name} to log_var"
    assert check_kl(Activated(head)).mistake.startswith(said)
    assert check_reparameterize(lambda m, v, e: draw(m, head(v), e)).mistake.startswith(said)
    assert check_log_normal(lambda x, m, v: log_normal(x, m, head(v))).mistake.startswith(said)

    def activated(fn):
        return lambda mu, log_var, *eps: fn(mu, head(log_var), *eps)

    def activated_elbo(model, x, eps):
        return bound(model, x, eps, kl=activated(kl), sample=activated(draw))

    assert check_elbo(activated_elbo).mistake.startswith(said)
