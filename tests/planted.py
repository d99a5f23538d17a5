"""Right and wrong functions as learners write them, for every check: what it must pass, and what it must name.

They are not taken from the catalogue of known mistakes. The tests run them, and the chapter on the checks prints what
each is told.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from vae_tutorial.bounds import elbo, iwae_bound
from vae_tutorial.checks import (
    Check,
    check_conditional_elbo,
    check_density_ratio,
    check_elbo,
    check_filter,
    check_flow,
    check_iwae_bound,
    check_kl,
    check_log_bernoulli,
    check_log_mixture,
    check_log_normal,
    check_log_prob,
    check_mmd,
    check_numerics,
    check_posterior_step,
    check_prior,
    check_quantizer,
    check_reduction,
    check_reparameterize,
    check_total_correlation,
    extreme_encodings,
    extreme_logits,
    standard_deviation,
    variance,
)
from vae_tutorial.gaussian import kl_standard_normal, log_normal, reparameterize
from vae_tutorial.likelihoods import bernoulli, normal, normal_diag, normal_diag_above
from vae_tutorial.models import mlp_vae
from vae_tutorial.priors import FlowPrior, Gaussian, Mixture, Prior, VampPrior, standard_normal
from vae_tutorial.reference import grid

LOG_2PI = math.log(2 * math.pi)
LOG_2PI_FLOAT32 = torch.log(torch.tensor(2 * math.pi, dtype=torch.float32))  # as a notebook's first cell may define it
BINARY = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
BOX = grid([-14.0] * 2, [14.0] * 2, 101)


@dataclass
class Case:
    name: str
    check: Callable[..., Check]
    fn: Callable
    named: str = ""  # the words that must stand in the mistake


def passes(case):
    """The passed check of a right function; how long it took is printed."""
    start = time.perf_counter()
    check = case.check(case.fn)
    print(f"{case.name}: {time.perf_counter() - start:.2f} s, gap {check.gap:.1e}")
    assert check.passed, check
    return check


def is_caught_and_named(case):
    """A wrong function fails by a number that says so, and under its name."""
    start = time.perf_counter()
    check = case.check(case.fn)
    print(f"{case.name}: {time.perf_counter() - start:.2f} s, gap {check.gap:.1e}: {check.mistake}")
    assert not check.passed
    assert case.named in check.mistake, check.mistake
    # The verdict does not hang on the diagnosis: the number alone says it, or there is none.
    assert math.isnan(check.gap) or check.gap > check.bound


def loop(fn, *arguments):
    """Example by example, as a learner without vectorization writes it."""
    return torch.stack([fn(*row) for row in zip(*arguments, strict=True)])


def only_gradient(x, factor):
    """Zero, with ``factor`` for its gradient."""
    zero = x - x.detach()
    zero.register_hook(lambda gradient: factor * gradient)
    return zero


def in_float32(fn):
    return lambda *arguments: fn(*[argument.float() for argument in arguments])


def kl(mu, log_var):
    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=1)


def kl_by_loops(mu, log_var):
    return loop(lambda m, v: sum((m**2 + v.exp() - 1 - v) / 2), mu, log_var)


def kl_of_variance(mu, var):
    return 0.5 * (mu**2 + var - 1 - var.log()).sum(-1)


def kl_of_sd(mu, sd):
    return (0.5 * (mu**2 + sd**2 - 1) - sd.log()).sum(-1)


def log_normal_of_variance(x, mu, var):
    return Normal(mu, var.sqrt()).log_prob(x).sum(-1)


def kl_of_distributions(mu, log_var):
    q = Independent(Normal(mu, log_var.mul(0.5).exp()), 1)
    return kl_divergence(q, Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1))


def bce(x, logits):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)


def sample(mu, log_var, eps):
    return mu + eps * torch.exp(log_var / 2)


def bound(model, x, eps, recon=None, kl=kl, sample=sample):
    """The ELBO as a learner writes it, with one part exchanged."""
    mu, log_var = model.encode(x)
    z = sample(mu, log_var, eps)
    log_px = model.log_likelihood(x, z).mean(0) if recon is None else recon(x, model.decode(z))
    return log_px - kl(mu, log_var)


@torch.no_grad()
def frozen(model, x):
    return model.encode(x)


def bound_of_samples(model, x, eps, scale=0.5):
    """Estimator A, sample by sample, with torch.distributions."""
    mu, log_var = model.encode(x)
    q, total = Normal(mu, torch.exp(0.5 * log_var)), 0.0
    for e in eps:
        z = mu + torch.exp(scale * log_var) * e
        prior = MultivariateNormal(torch.zeros(z.shape[-1]), torch.eye(z.shape[-1]))
        total = total + model.log_likelihood(x, z) + prior.log_prob(z) - q.log_prob(z).sum(-1)
    return total / len(eps)


def bound_of_repeated_rows(model, x, eps):
    mu, log_var = model.encode(x)
    z = (mu + torch.exp(0.5 * log_var) * eps).flatten(0, 1)
    log_px = model.log_likelihood(x.repeat(len(eps), 1), z).reshape(len(eps), len(x)).mean(0)
    return log_px - kl(mu, log_var)


def log_mean_exp(log_w, shift=None):
    shift = log_w.max(0).values if shift is None else shift
    return torch.log(torch.exp(log_w - shift).mean(0)) + shift


def numerics_of_encodings(fn):
    return check_numerics(fn, *extreme_encodings())


def numerics_of_logits(fn):
    return check_numerics(fn, *extreme_logits())


def extreme_points():
    """x, mu and log_var."""
    mu, log_var = extreme_encodings()
    return mu + 0.3, mu, log_var


CORRECT = [
    Case("KL, the package's", check_kl, kl_standard_normal),
    Case("KL, textbook", check_kl, kl),
    Case("KL, torch.distributions", check_kl, kl_of_distributions),
    Case("KL, by loops", check_kl, kl_by_loops),
    Case("KL, float32", check_kl, in_float32(kl)),
    Case("log N, the package's", check_log_normal, log_normal),
    Case("log N, torch.distributions", check_log_normal, lambda x, m, v: Normal(m, v.exp() ** 0.5).log_prob(x).sum(1)),
    Case(
        "log N, full covariance, by loops",
        check_log_normal,
        lambda x, mu, log_var: loop(
            lambda a, m, v: MultivariateNormal(m, torch.diag(v.exp())).log_prob(a), x, mu, log_var
        ),
    ),
    Case(
        "log N, gaussian_nll_loss",
        check_log_normal,
        lambda x, mu, v: -F.gaussian_nll_loss(mu, x, v.exp(), full=True, eps=0.0, reduction="none").sum(1),
    ),
    Case("log N, float32", check_log_normal, in_float32(log_normal)),
    Case(
        "log N, a float32 constant",
        check_log_normal,
        lambda x, mu, log_var: -0.5 * (LOG_2PI_FLOAT32 + log_var + (x - mu) ** 2 / log_var.exp()).sum(1),
    ),
    Case(
        "log N, constants made inside",
        check_log_normal,
        lambda x, mu, log_var: (
            -0.5
            * (torch.log(torch.tensor(2 * math.pi)) + log_var + (x - mu) ** 2 * torch.exp(-log_var))
            @ torch.ones(x.shape[1])
        ),
    ),
    Case("Bernoulli, the package's", check_log_bernoulli, bernoulli.log_prob),
    Case("Bernoulli, torch.distributions", check_log_bernoulli, lambda x, u: Bernoulli(logits=u).log_prob(x).sum(1)),
    Case("Bernoulli, x·u − softplus(u)", check_log_bernoulli, lambda x, u: (x * u - F.softplus(u)).sum(1)),
    Case("Bernoulli, float32", check_log_bernoulli, in_float32(bce)),
    Case(
        "Bernoulli, logsigmoid",
        check_log_bernoulli,
        lambda x, u: (x * F.logsigmoid(u) + (1 - x) * F.logsigmoid(-u)).sum(1),
    ),
    Case("Bernoulli, the package's, float32", check_log_bernoulli, in_float32(bernoulli.log_prob)),
    Case(
        "Bernoulli, torch.distributions, float32",
        check_log_bernoulli,
        in_float32(lambda x, u: Bernoulli(logits=u).log_prob(x).sum(1)),
    ),
    Case(
        "Bernoulli, x·u − softplus(u), float32",
        check_log_bernoulli,
        in_float32(lambda x, u: (x * u - F.softplus(u)).sum(1)),
    ),
    Case(
        "Bernoulli, logsigmoid, float32",
        check_log_bernoulli,
        in_float32(lambda x, u: (x * F.logsigmoid(u) + (1 - x) * F.logsigmoid(-u)).sum(1)),
    ),
    Case("Bernoulli, by loops", check_log_bernoulli, lambda x, u: loop(lambda x, u: sum(x * u - F.softplus(u)), x, u)),
    Case("sampler, the package's", check_reparameterize, reparameterize),
    Case("sampler, textbook", check_reparameterize, sample),
    Case("sampler, float32", check_reparameterize, in_float32(sample)),
    Case(
        "sampler, sqrt of the variance", check_reparameterize, lambda mu, v, eps: torch.addcmul(mu, v.exp().sqrt(), eps)
    ),
    Case("ELBO, the package's B", check_elbo, lambda model, x, eps: elbo(model, x, eps=eps)),
    Case("ELBO, the package's A", check_elbo, lambda model, x, eps: elbo(model, x, eps=eps, analytic_kl=False)),
    Case("ELBO, textbook", check_elbo, bound),
    Case("ELBO, samples in a loop", check_elbo, bound_of_samples),
    Case("ELBO, repeated rows", check_elbo, bound_of_repeated_rows),
    Case(
        "ELBO, example by example",
        check_elbo,
        lambda model, x, eps: torch.cat([bound(model, x[i : i + 1], eps[:, i : i + 1]) for i in range(len(x))]),
    ),
    Case("IWAE, the package's", check_iwae_bound, iwae_bound),
    Case("IWAE, textbook", check_iwae_bound, lambda log_w: torch.logsumexp(log_w, 0) - math.log(log_w.shape[0])),
    Case("IWAE, by hand", check_iwae_bound, log_mean_exp),
    Case("IWAE, the maximum detached", check_iwae_bound, lambda log_w: log_mean_exp(log_w, log_w.max(0)[0].detach())),
    Case("IWAE, log K taken first", check_iwae_bound, lambda log_w: (log_w - math.log(len(log_w))).logsumexp(0)),
    Case("IWAE, logaddexp", check_iwae_bound, lambda log_w: reduce(torch.logaddexp, log_w) - math.log(len(log_w))),
    Case("IWAE, example by example", check_iwae_bound, lambda log_w: loop(log_mean_exp, log_w.T)),
    Case(
        "IWAE, as two terms",
        check_iwae_bound,
        lambda log_w: (log_w.softmax(0) * (log_w - log_w.log_softmax(0))).sum(0) - math.log(len(log_w)),
    ),
    Case("IWAE, float32", check_iwae_bound, in_float32(iwae_bound)),
    Case("IWAE, by hand, float32", check_iwae_bound, in_float32(log_mean_exp)),
    Case("likelihood, bernoulli", lambda p: check_log_prob(p, BINARY), bernoulli),
    Case("likelihood, normal", lambda p: check_log_prob(p, *BOX), normal(0.3)),
    Case("likelihood, normal_diag", lambda p: check_log_prob(p, *BOX), normal_diag),
    Case("likelihood, normal_diag_above", lambda p: check_log_prob(p, *BOX), normal_diag_above(-1.0)),
    Case("KL, of the variance", lambda fn: check_kl(fn, spread=variance), kl_of_variance),
    Case("KL, of the standard deviation", lambda fn: check_kl(fn, spread=standard_deviation), kl_of_sd),
    Case(
        "KL, of the standard deviation, float32",
        lambda fn: check_kl(in_float32(fn), spread=standard_deviation),
        kl_of_sd,
    ),
    Case("log N, of the variance", lambda fn: check_log_normal(fn, spread=variance), log_normal_of_variance),
    Case(
        "log N, of the standard deviation",
        lambda fn: check_log_normal(fn, spread=standard_deviation),
        lambda x, mu, sd: Normal(mu, sd).log_prob(x).sum(-1),
    ),
    Case(
        "sampler, of the standard deviation",
        lambda fn: check_reparameterize(fn, spread=standard_deviation),
        lambda mu, sd, eps: mu + sd * eps,
    ),
    Case("reduction, KL", check_reduction, kl),
    Case("reduction, KL of the package", check_reduction, kl_standard_normal),
    Case("reduction, KL by loops", check_reduction, kl_by_loops),
    Case("reduction, log N", check_reduction, log_normal),
    Case("reduction, squared error", check_reduction, lambda x, mu: F.mse_loss(x, mu, reduction="none").sum(-1)),
    Case("reduction, Bernoulli", lambda fn: check_reduction(fn, *extreme_logits()), bernoulli.log_prob),
    Case("numerics, KL of the package, float32", numerics_of_encodings, kl_standard_normal),
    Case("numerics, textbook KL, float32", numerics_of_encodings, kl),
    Case("numerics, log N, float32", lambda fn: check_numerics(fn, *extreme_points()), log_normal),
    Case("numerics, Bernoulli, float32", numerics_of_logits, bernoulli.log_prob),
    Case("numerics, x·u − softplus(u), float32", numerics_of_logits, lambda x, u: (x * u - F.softplus(u)).sum(1)),
    Case("numerics, batch mean, float32", numerics_of_encodings, lambda mu, log_var: kl(mu, log_var).mean()),
]


def sigmoid_of(x, p):
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(1)


def log_normal_with(x, mu, log_var, constant=LOG_2PI):
    return -0.5 * (constant + log_var + (x - mu) ** 2 / log_var.exp())


def bad_likelihood(**changes):
    return lambda likelihood: check_log_prob(likelihood._replace(**changes), *BOX)


def of_variance(fn):
    return check_kl(fn, spread=variance)


def of_sd(fn):
    return check_kl(fn, spread=standard_deviation)


WRONG = [
    Case(
        "KL: σ for σ²",
        check_kl,
        lambda m, v: 0.5 * (m**2 + torch.exp(0.5 * v) - 1 - v).sum(1),
        "equals ½Σ(σ + μ² − 1 − log σ²): the standard deviation stands where the variance belongs.",
    ),
    Case(
        "KL: log σ for log σ²", check_kl, lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v / 2).sum(1), "log σ stands where"
    ),
    Case(
        "KL: log_var taken for log σ",
        check_kl,
        lambda m, v: 0.5 * (m**2 + v.exp() ** 2 - 1 - 2 * v).sum(1),
        "takes log_var for log σ",
    ),
    Case("KL: ½ missing", check_kl, lambda m, v: -(1 + v - m**2 - v.exp()).sum(1), "the factor ½ is missing"),
    Case("KL: sign of Kingma's formula", check_kl, lambda m, v: 0.5 * (1 + v - m**2 - v.exp()).sum(1), "opposite sign"),
    Case("KL: + log σ²", check_kl, lambda m, v: 0.5 * (m**2 + v.exp() - 1 + v).sum(1), "the sign of log σ² is wrong"),
    Case("KL: |μ| for μ²", check_kl, lambda m, v: 0.5 * (m.abs() + v.exp() - 1 - v).sum(1), "μ is not squared"),
    Case("KL: −½ once", check_kl, lambda m, v: 0.5 * ((m**2 + v.exp() - v).sum(1) - 1), "subtracts 1 once"),
    Case("KL: no −1", check_kl, lambda m, v: 0.5 * (m**2 + v.exp() - v).sum(1), "Σ1 enters with weight 0, where −0.5"),
    Case(
        "KL: μ² not halved",
        check_kl,
        lambda m, v: (m**2 + 0.5 * (v.exp() - 1 - v)).sum(1),
        "Σμ² enters with weight 1, where 0.5 belongs.",
    ),
    Case(
        "KL: reversed",
        check_kl,
        lambda m, v: kl_divergence(Normal(0 * m, 1 + 0 * m), Normal(m, (v / 2).exp())).sum(1),
        "exchanged",
    ),
    Case(
        "KL: mean over latent dimensions",
        check_kl,
        lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v).mean(1),
        "averaged over the last axis",
    ),
    Case("KL: batch mean", check_kl, lambda m, v: kl(m, v).mean(), "averaged over the batch"),
    Case("KL: batch total", check_kl, lambda m, v: kl(m, v).sum(), "summed over the batch"),
    Case(
        "KL: mean of everything, sign",
        check_kl,
        lambda m, v: 0.5 * (1 + v - m**2 - v.exp()).mean(),
        "averaged over all entries: sum the last axis, and keep one value per example; it has the opposite sign",
    ),
    Case("KL: not summed", check_kl, lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v), "is not summed over the last axis"),
    Case("KL: dim=0", check_kl, lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v).sum(0), "batch axis instead"),
    Case("KL: keepdim", check_kl, lambda m, v: kl(m, v)[:, None], "keeps a last axis"),
    Case(
        "KL: σ for σ², batch mean",
        check_kl,
        lambda m, v: 0.5 * (m**2 + (v / 2).exp() - 1 - v).sum(1).mean(),
        "variance belongs; it is averaged over the batch",
    ),
    Case("KL: no exp, NaN", check_kl, lambda m, v: 0.5 * (m**2 + v - 1 - v.log()).sum(1), "for the variance itself"),
    Case(
        "KL: no exp of log σ, NaN",
        check_kl,
        lambda m, v: (0.5 * (m**2 + v**2 - 1) - v.log()).sum(1),
        "It returned NaN where log_var is negative: log_var is taken for a variance or standard deviation. "
        "It is right where it is given the standard deviation: if that is meant, add spread=standard_deviation.",
    ),
    Case(
        "KL: no exp, NaN, not summed",
        check_kl,
        lambda m, v: m**2 + v.sqrt(),
        "It returned shape (5, 3), where (5,) is expected. It returned NaN where log_var is negative: log_var is",
    ),
    Case(
        "KL: no exp, NaN, batch mean",
        check_kl,
        lambda m, v: (m**2 + v.sqrt()).sum(1).mean(),
        "It returned shape (), where (5,) is expected. It returned NaN where log_var is negative: log_var is",
    ),
    Case("KL: NaN elsewhere", check_kl, lambda m, v: kl(m, v) + 0 * m[:, 0].log(), "No known mistake"),
    Case("KL: fn(log_var, mu)", check_kl, lambda v, m: kl(m, v), "has its arguments exchanged: mu comes first"),
    Case(
        "KL: fn(log_var, mu), batch mean",
        check_kl,
        lambda v, m: kl(m, v).mean(),
        "exchanged: mu comes first, then log_var; it is averaged over the batch",
    ),
    Case("KL: a scalar", check_kl, lambda m, v: kl(m, v).max(), "It returned shape (), where (5,) is expected."),
    Case("KL: detached", check_kl, lambda m, v: kl(m, v).detach(), "carries no gradient"),
    Case("KL: log_var detached", check_kl, lambda m, v: kl(m, v.detach()), "no gradient reaches log_var"),
    Case("KL: 1 % off", check_kl, lambda m, v: 1.01 * kl(m, v) + 0.1 * m[:, 0] ** 4, "No known mistake matches. For"),
    Case("KL: 1e-4 off", check_kl, lambda m, v: kl(m, v) + 1e-4, "No known mistake matches"),
    Case(
        "KL: free bits",
        check_kl,
        lambda m, v: (0.5 * (m**2 + v.exp() - 1 - v)).clamp(min=0.25).sum(1),
        "a floor of 0.25 nats",
    ),
    Case("KL: raises", check_kl, lambda m, v: m @ v, "mu (5, 3), log_var (5, 3), it raised RuntimeError"),
    Case("KL: NumPy", check_kl, lambda m, v: kl(m, v).detach().numpy(), "it carries no gradient"),
    Case("KL: a float", check_kl, lambda m, v: kl(m, v).sum().item(), "it returned float"),
    Case("KL: nothing returned", check_kl, lambda m, v: None, "it returned NoneType"),
    Case("KL: integers", check_kl, lambda m, v: kl(m, v).round().long(), "it returned torch.int64 numbers"),
    Case("KL: in place", check_kl, lambda m, v: m.mul_(m).sum(1), "it changed an argument in place"),
    Case(
        "KL: works for one L only",
        check_kl,
        lambda m, v: kl(m.reshape(5, 3), v),
        "mu (4, 2), log_var (4, 2), it raised",
    ),
    Case("KL: wrong shape", check_kl, lambda m, v: kl(m, v)[1:], "returned shape (4,), where (5,) is expected"),
    Case("KL: by sampling", check_kl, lambda m, v: kl(m, v) + 0.1 * torch.randn(len(m)), "random numbers of its own"),
    Case("log N: no log 2π", check_log_normal, lambda *a: log_normal_with(*a, constant=0.0).sum(1), "(2π)^{D/2}"),
    Case(
        "log N: log 2π D times",
        check_log_normal,
        lambda x, m, v: log_normal_with(x, m, v, x.shape[1] * LOG_2PI).sum(1),
        "once for every dimension",
    ),
    Case(
        "log N: log 2π once",
        check_log_normal,
        lambda *a: log_normal_with(*a, constant=0.0).sum(1) - LOG_2PI / 2,
        "counts −½ log 2π once",
    ),
    Case(
        "log N: σ in the square",
        check_log_normal,
        lambda x, m, v: -0.5 * (LOG_2PI + v + (x - m) ** 2 / torch.exp(v / 2)).sum(1),
        "by σ, where σ² belongs",
    ),
    Case(
        "log N: ((x − μ)/σ²)²",
        check_log_normal,
        lambda x, m, v: -0.5 * (LOG_2PI + v + ((x - m) / v.exp()) ** 2).sum(1),
        "squares (x − μ)/σ²",
    ),
    Case(
        "log N: std = exp(log_var)",
        check_log_normal,
        lambda x, m, v: Normal(m, v.exp()).log_prob(x).sum(1),
        "takes exp(log_var) for the standard deviation",
    ),
    Case("log N: unit variance", check_log_normal, lambda x, m, v: Normal(m, 1.0).log_prob(x).sum(1), "does not use"),
    Case(
        "log N: no log-determinant",
        check_log_normal,
        lambda x, m, v: log_normal_with(x, m, v).sum(1) + 0.5 * v.sum(1),
        "integrates to Πσ",
    ),
    Case(
        "log N: no exp, NaN",
        check_log_normal,
        lambda x, m, v: (-0.5 * ((x - m) / v) ** 2 - v.sqrt().log()).sum(1),
        "It returned NaN where log_var is negative: log_var is taken for a variance or standard deviation.",
    ),
    Case(
        "log N: fn(x, log_var, mu)",
        check_log_normal,
        lambda x, v, m: Normal(m, (v / 2).exp()).log_prob(x).sum(1),
        "has its arguments exchanged",
    ),
    Case(
        "log N: fn(mu, log_var, x)",
        check_log_normal,
        lambda m, v, x: Normal(m, (v / 2).exp()).log_prob(x).sum(1),
        "has its arguments exchanged",
    ),
    Case("log N: density", check_log_normal, lambda *a: log_normal_with(*a).sum(1).exp(), "its logarithm is expected"),
    Case(
        "log N: gaussian_nll_loss",
        check_log_normal,
        lambda x, m, v: F.gaussian_nll_loss(m, x, v.exp(), full=True, reduction="none").sum(1),
        "opposite sign",
    ),
    Case(
        "log N: gaussian_nll_loss, its eps",
        check_log_normal,
        lambda x, m, v: -F.gaussian_nll_loss(m, x, v.exp(), full=True, reduction="none").sum(1),
        "does not let σ² fall below 1e-06",
    ),
    Case("log N: mean", check_log_normal, lambda *a: log_normal_with(*a).mean(1), "averaged over the last axis"),
    Case("log N: x detached", check_log_normal, lambda x, m, v: log_normal_with(x.detach(), m, v).sum(1), "reaches x:"),
    Case("Bernoulli: BCE", check_log_bernoulli, lambda x, u: -bce(x, u), "opposite sign"),
    Case(
        "Bernoulli: BCE, mean of all",
        check_log_bernoulli,
        lambda x, u: F.binary_cross_entropy_with_logits(u, x),
        "averaged over all entries",
    ),
    Case("Bernoulli: two sigmoids", check_log_bernoulli, lambda x, u: bce(x, u.sigmoid()), "sigmoid twice"),
    Case("Bernoulli: no sigmoid, NaN", check_log_bernoulli, sigmoid_of, "the sigmoid is missing"),
    Case("Bernoulli: only x log p", check_log_bernoulli, lambda x, u: (x * F.logsigmoid(u)).sum(1), "only x log p"),
    Case("Bernoulli: exchanged", check_log_bernoulli, lambda x, u: bce(1 - x, u), "exchanges x and 1 − x"),
    Case(
        "Bernoulli: clamped",
        check_log_bernoulli,
        lambda x, u: sigmoid_of(x, u.sigmoid().clamp(1e-6, 1 - 1e-6)),
        "saturates at −13.82 nats a dimension: the probabilities are clamped at 1e-06",
    ),
    Case(
        "Bernoulli: + 1e-8",
        check_log_bernoulli,
        lambda x, u: (x * (u.sigmoid() + 1e-8).log() + (1 - x) * (1 - u.sigmoid() + 1e-8).log()).sum(1),
        "1e-08 is added",
    ),
    Case(
        "Bernoulli: sigmoid in float32",
        check_log_bernoulli,
        lambda x, u: sigmoid_of(x, u.float().sigmoid()),
        "saturates: log(1 − p) is computed from a float32 sigmoid that rounds to 1; use logits and logsigmoid",
    ),
    Case(
        "Bernoulli: sigmoid in float64",
        check_log_bernoulli,
        lambda x, u: sigmoid_of(x, u.sigmoid()),
        "saturates: log(1 − p) is computed from a sigmoid that rounds to 1; use logits and logsigmoid",
    ),
    Case(
        "Bernoulli: 1/(1 + exp(−u)), loss, batch mean",
        check_log_bernoulli,
        lambda x, u: -sigmoid_of(x, 1 / (1 + (-u).exp())).mean(),
        "from a sigmoid that rounds to 1; use logits and logsigmoid; it is averaged over the batch",
    ),
    Case(
        "Bernoulli: binary_cross_entropy",
        check_log_bernoulli,
        lambda x, u: -F.binary_cross_entropy(u.sigmoid(), x, reduction="none").sum(1),
        "saturates at −100 nats a dimension: binary_cross_entropy takes a sigmoid that rounds to 1; give",
    ),
    Case(
        "Bernoulli: binary_cross_entropy in float32",
        check_log_bernoulli,
        in_float32(lambda x, u: -F.binary_cross_entropy(u.sigmoid(), x, reduction="none").sum(1)),
        "saturates at −100 nats a dimension: binary_cross_entropy takes a float32 sigmoid",
    ),
    Case(
        "Bernoulli: Bernoulli(probs)",
        check_log_bernoulli,
        lambda x, u: Bernoulli(u.sigmoid()).log_prob(x).sum(1),
        "saturates at −36.04 nats a dimension: the probabilities are clamped at 2.22045e-16",
    ),
    Case(
        "Bernoulli: Bernoulli(probs) in float32",
        check_log_bernoulli,
        in_float32(lambda x, u: Bernoulli(u.sigmoid()).log_prob(x).sum(1)),
        "saturates at −15.94 nats a dimension: the probabilities are clamped at 1.19209e-07",
    ),
    Case(
        "Bernoulli: + 1e-10",
        check_log_bernoulli,
        lambda x, u: (x * (u.sigmoid() + 1e-10).log() + (1 - x) * (1 - u.sigmoid() + 1e-10).log()).sum(1),
        "saturates at −23.03 nats a dimension: 1e-10 is added",
    ),
    Case("Bernoulli: fn(logits, x)", check_log_bernoulli, lambda u, x: bce(x, u), "has its arguments exchanged: x"),
    Case(
        "Bernoulli: fn(logits, x), naive",
        check_log_bernoulli,
        lambda u, x: sigmoid_of(x, u.sigmoid()),
        "has its arguments exchanged: x comes first, then the logits",
    ),
    Case(
        "Bernoulli: no sigmoid, xlogy",
        check_log_bernoulli,
        lambda x, p: (torch.xlogy(x, p) + torch.xlogy(1 - x, 1 - p)).sum(1),
        "the sigmoid is missing",
    ),
    Case(
        "Bernoulli: no sigmoid, batch mean",
        check_log_bernoulli,
        lambda x, p: sigmoid_of(x, p).mean(),
        "It returned shape (), where (5,) is expected. It returned NaN where logits lie outside [0, 1]",
    ),
    Case(
        "Bernoulli: squared error",
        check_log_bernoulli,
        lambda x, u: -F.mse_loss(u.sigmoid(), x, reduction="none").sum(1),
        "a squared error",
    ),
    Case("Bernoulli: keepdim", check_log_bernoulli, lambda x, u: bce(x, u)[:, None], "keeps a last axis"),
    Case("Bernoulli: detached", check_log_bernoulli, lambda x, u: bce(x, u.data), "carries no gradient"),
    Case("sampler: σ² for σ", check_reparameterize, lambda m, v, e: m + v.exp() * e, "equals μ + σ²ε"),
    Case("sampler: no exp", check_reparameterize, lambda m, v, e: m + v * e, "equals μ + log σ² · ε"),
    Case("sampler: no exp, NaN", check_reparameterize, lambda m, v, e: m + v**0.5 * e, "equals μ + √(log σ²) ε"),
    Case("sampler: exp(−½·log_var)", check_reparameterize, lambda m, v, e: m + e * (-v / 2).exp(), "ε/σ"),
    Case("sampler: − for +", check_reparameterize, lambda m, v, e: m - (v / 2).exp() * e, "opposite sign"),
    Case("sampler: no μ", check_reparameterize, lambda m, v, e: (v / 2).exp() * e, "μ is not added"),
    Case("sampler: σ = 1", check_reparameterize, lambda m, v, e: m + e, "log_var is not used"),
    Case("sampler: no noise", check_reparameterize, lambda m, v, e: m + 0 * e, "equals μ: eps is not used"),
    Case("sampler: μ returned", check_reparameterize, lambda m, v, e: m, "equals μ, of the shape of mu"),
    Case(
        "sampler: noise of its own",
        check_reparameterize,
        lambda m, v, e: sample(m, v, torch.randn_like(e)),
        "random numbers of its own",
    ),
    Case(
        "sampler: noise of sd 0.01",
        check_reparameterize,
        lambda m, v, e: sample(m, v, 0.01 * e),
        "σε enters with weight 0.01",
    ),
    Case(
        "sampler: batch shares noise",
        check_reparameterize,
        lambda m, v, e: sample(m, v, e[..., [0], :]),
        "among the whole batch",
    ),
    Case(
        "sampler: samples share noise",
        check_reparameterize,
        lambda m, v, e: sample(m, v, e[:1].expand_as(e) if e.ndim == 3 else e),
        "among all samples",
    ),
    Case(
        "sampler: dimensions share noise",
        check_reparameterize,
        lambda m, v, e: sample(m, v, e[..., :1]),
        "among all latent dimensions",
    ),
    Case(
        "sampler: one sample of K",
        check_reparameterize,
        lambda m, v, e: sample(m, v, e.reshape(-1, *m.shape)[0]),
        "only the first of the K",
    ),
    Case(
        "sampler: mu detached",
        check_reparameterize,
        lambda m, v, e: sample(m.detach(), v, e),
        "no gradient reaches mu:",
    ),
    Case("sampler: σ detached", check_reparameterize, lambda m, v, e: sample(m, v.detach(), e), "reaches log_var:"),
    Case("sampler: no_grad", check_reparameterize, torch.no_grad()(sample), "carries no gradient"),
    Case(
        "sampler: Normal.sample",
        check_reparameterize,
        lambda m, v, e: Normal(m, (v / 2).exp()).sample(e.shape[:-2]),
        "random numbers of its own",
    ),
    Case(
        "sampler: Normal.sample, without a shape",
        check_reparameterize,
        lambda m, v, e: Normal(m, (v / 2).exp()).sample(),
        "No gradient reaches mu or log_var, and eps is not used: sample() where rsample() or μ + σε belongs.",
    ),
    Case(
        "sampler: Normal.rsample",
        check_reparameterize,
        lambda m, v, e: Normal(m, (v / 2).exp()).rsample(e.shape[:-2]),
        "random numbers of its own. The noise eps is not used: z is to be μ + σε.",
    ),
    Case(
        "sampler: Normal.sample, seeded",
        check_reparameterize,
        lambda m, v, e: (torch.manual_seed(1), Normal(m, (v / 2).exp()).sample(e.shape[:-2]))[1],
        "No gradient reaches mu or log_var, and eps is not used: sample() where rsample() or μ + σε belongs.",
    ),
    Case(
        "sampler: Normal.rsample, seeded",
        check_reparameterize,
        lambda m, v, e: (torch.manual_seed(1), Normal(m, (v / 2).exp()).rsample(e.shape[:-2]))[1],
        "The noise eps is not used: z is to be μ + σε.",
    ),
    Case(
        "sampler: a generator of its own",
        check_reparameterize,
        lambda m, v, e: sample(m, v, torch.randn(e.shape, generator=torch.Generator().manual_seed(3))),
        "The noise eps is not used: z is to be μ + σε.",
    ),
    Case(
        "sampler: NumPy's noise",
        check_reparameterize,
        lambda m, v, e: sample(m, v, torch.as_tensor(np.random.default_rng().normal(size=e.shape))),
        "or has a generator of its own",
    ),
    Case(
        "sampler: log_var for a variance, NaN",
        check_reparameterize,
        lambda m, v, e: m + 2 * v.sqrt() * e,
        "It returned NaN where log_var is negative: log_var is taken for a variance",
    ),
    Case(
        "sampler: fn(log_var, mu, eps)",
        check_reparameterize,
        lambda v, m, e: sample(m, v, e),
        "has its arguments exchanged: mu comes first, then log_var.",
    ),
    Case(
        "sampler: fn(eps, mu, log_var)",
        check_reparameterize,
        lambda e, m, v: sample(m, v, e),
        "has its arguments exchanged: mu comes first, then log_var, then eps.",
    ),
    Case("ELBO: + KL", check_elbo, lambda *a: bound(*a, kl=lambda m, v: -kl(m, v)), "adds the KL"),
    Case("ELBO: no KL", check_elbo, lambda *a: bound(*a, kl=lambda m, v: 0.0), "the KL is missing"),
    Case(
        "ELBO: β = 4",
        check_elbo,
        lambda *a: bound(*a, kl=lambda m, v: 4 * kl(m, v)),
        "Its terms are right, their weights are not: KL enters with weight −4, where −1 belongs.",
    ),
    Case(
        "ELBO: KL weight 0.00025",
        check_elbo,
        lambda *a: bound(*a, kl=lambda m, v: 0.00025 * kl(m, v)),
        "KL enters with weight −0.00025, where −1 belongs",
    ),
    Case(
        "ELBO: mean over pixels",
        check_elbo,
        lambda model, x, eps: bound(model, x, eps, kl=lambda m, v: 0) / x.shape[1] - kl(*model.encode(x)),
        "number of dimensions of x",
    ),
    Case(
        "ELBO: KL mean over latents",
        check_elbo,
        lambda *a: bound(*a, kl=lambda m, v: kl(m, v) / m.shape[1]),
        "divides the KL by the number of latent dimensions",
    ),
    Case("ELBO: batch mean of the loss", check_elbo, lambda *a: -bound(*a).mean(), "averaged over the batch"),
    Case("ELBO: batch total", check_elbo, lambda *a: bound(*a).sum(), "summed over the batch"),
    Case("ELBO: the loss", check_elbo, lambda *a: -bound(*a), "It is the loss, −ELBO."),
    Case("ELBO: one sample", check_elbo, lambda model, x, eps: bound(model, x, eps[:1]), "only the first of the K"),
    Case(
        "ELBO: one sample, all terms",
        check_elbo,
        lambda model, x, eps: bound_of_samples(model, x, eps[:1]),
        "only the first of the K samples, in every term",
    ),
    Case(
        "ELBO: sum over samples",
        check_elbo,
        lambda model, x, eps: len(eps) * bound(model, x, eps, kl=lambda m, v: 0) - kl(*model.encode(x)),
        "sums log p(x | z) over the K",
    ),
    Case("ELBO: mean decoded", check_elbo, lambda *a: bound(*a, sample=lambda m, v, e: m[None]), "decodes the mean"),
    Case("ELBO: σ² for σ", check_elbo, lambda *a: bound(*a, sample=lambda m, v, e: m + v.exp() * e), "z = μ + σ²ε"),
    Case("ELBO: prior samples", check_elbo, lambda *a: bound(*a, sample=lambda m, v, e: e), "from the prior"),
    Case(
        "ELBO: −Σ(x − x̂)²",
        check_elbo,
        lambda *a: bound(*a, lambda x, y: -((x - y) ** 2).sum(-1).mean(0)),
        "takes −Σ(x − x̂)²",
    ),
    Case(
        "ELBO: −½Σ(x − x̂)²",
        check_elbo,
        lambda *a: bound(*a, lambda x, y: -0.5 * ((x - y) ** 2).sum(-1).mean(0)),
        "takes −½ Σ(x − x̂)²",
    ),
    Case(
        "ELBO: −MSE", check_elbo, lambda *a: bound(*a, lambda x, y: -((x - y) ** 2).mean((0, -1))), "mean squared error"
    ),
    Case(
        "ELBO: no constant",
        check_elbo,
        lambda *a: bound(*a, lambda x, y: -((x - y) ** 2).sum(-1).mean(0) / 0.6),
        "drops the constant",
    ),
    Case(
        "ELBO: no log 2π",
        check_elbo,
        lambda model, x, eps: bound(model, x, eps) + x.shape[1] * LOG_2PI / 2,
        "drops −(D/2) log 2π",
    ),
    Case(
        "ELBO: KL with σ",
        check_elbo,
        lambda *a: bound(*a, kl=lambda m, v: 0.5 * (m**2 + (v / 2).exp() - 1 - v).sum(1)),
        "wrong KL term: it equals ½Σ(σ + μ²",
    ),
    Case(
        "ELBO: KL without ½, loss",
        check_elbo,
        lambda *a: -bound(*a, kl=lambda m, v: 2 * kl(m, v)),
        "or the KL is subtracted twice; it is the loss",
    ),
    Case(
        "ELBO: rows mixed",
        check_elbo,
        lambda model, x, eps: (
            model.log_likelihood(x.repeat_interleave(len(eps), 0), sample(*model.encode(x), eps).flatten(0, 1))
            .reshape(len(eps), -1)
            .mean(0)
            - kl(*model.encode(x))
        ),
        "repeat stands beside repeat_interleave",
    ),
    Case(
        "ELBO: axes confused",
        check_elbo,
        lambda model, x, eps: (
            model.log_likelihood(x.repeat(len(eps), 1), sample(*model.encode(x), eps).flatten(0, 1))
            .reshape(len(x), -1)
            .mean(1)
            - kl(*model.encode(x))
        ),
        "over examples, not over samples",
    ),
    Case(
        "ELBO: no entropy",
        check_elbo,
        lambda model, x, eps: (model.log_likelihood(x, z := sample(*model.encode(x), eps)) + model.log_prior(z)).mean(
            0
        ),
        "the entropy of q is missing",
    ),
    Case(
        "ELBO: importance-weighted",
        check_elbo,
        lambda model, x, eps: (
            (
                model.log_likelihood(x, z := sample(*model.encode(x), eps))
                + model.log_prior(z)
                - log_normal(z, *model.encode(x))
            ).logsumexp(0)
            - math.log(len(eps))
        ),
        "inside the logarithm",
    ),
    Case(
        "ELBO: log of the mean of p(x | z)",
        check_elbo,
        lambda model, x, eps: (
            model.log_likelihood(x, sample(*model.encode(x), eps)).exp().mean(0).log() - kl(*model.encode(x))
        ),
        "averages p(x | z) inside the logarithm",
    ),
    Case(
        "ELBO: logsumexp over the samples",
        check_elbo,
        lambda model, x, eps: (
            model.log_likelihood(x, sample(*model.encode(x), eps)).logsumexp(0) - kl(*model.encode(x))
        ),
        "sums p(x | z) inside the logarithm",
    ),
    Case(
        "ELBO: log_var for a variance, NaN",
        check_elbo,
        lambda *a: bound(*a, kl=lambda m, v: (m**2 + v - v.sqrt().log()).sum(1)),
        "It returned NaN where log_var is negative",
    ),
    Case(
        "ELBO: KL's arguments exchanged",
        check_elbo,
        lambda *a: bound(*a, kl=lambda v, m: kl(m, v)),
        "wrong KL term: it has its arguments exchanged",
    ),
    Case("ELBO: z detached", check_elbo, lambda *a: bound(*a, sample=torch.no_grad()(sample)), "z is detached"),
    Case("ELBO: KL detached", check_elbo, lambda *a: bound(*a, kl=torch.no_grad()(kl)), "gradient of the KL"),
    Case(
        "ELBO: encoder frozen",
        check_elbo,
        lambda model, x, eps: model.log_likelihood(x, sample(*frozen(model, x), eps)).mean(0) - kl(*frozen(model, x)),
        "no gradient reaches encoder.weight and encoder.bias",
    ),
    Case("ELBO: own noise", check_elbo, lambda model, x, eps: elbo(model, x, n_samples=9), "random numbers of its own"),
    Case("ELBO: a pair", check_elbo, lambda model, x, eps: (bound(model, x, eps), 0), "it returned tuple"),
    Case(
        "ELBO: nothing known",
        check_elbo,
        lambda model, x, eps: bound(model, x, eps) - 0.01 * eps[0, 0, 0] ** 4,
        "No known",
    ),
    Case("IWAE: no log K", check_iwae_bound, lambda log_w: torch.logsumexp(log_w, 0), "is off by log K"),
    Case("IWAE: log B", check_iwae_bound, lambda w: w.logsumexp(0) - math.log(w.shape[-1]), "subtracts log B"),
    Case("IWAE: mean outside", check_iwae_bound, lambda log_w: log_w.mean(0), "the mean is taken outside"),
    Case(
        "IWAE: mean outside, the loss", check_iwae_bound, lambda log_w: -log_w.mean(0), "outside the logarithm; it is"
    ),
    Case("IWAE: the loss", check_iwae_bound, lambda log_w: -iwae_bound(log_w), "It is the loss, minus the bound."),
    Case("IWAE: total", check_iwae_bound, lambda log_w: iwae_bound(log_w).sum(), "It is summed over the batch"),
    Case("IWAE: batch mean", check_iwae_bound, lambda log_w: iwae_bound(log_w).mean(), "It is averaged over the batch"),
    Case("IWAE: over examples", check_iwae_bound, lambda log_w: iwae_bound(log_w.T), "along the wrong axis."),
    Case("IWAE: dim=-1, log K", check_iwae_bound, lambda w: w.logsumexp(-1) - math.log(len(w)), "and subtracts log K"),
    Case("IWAE: one maximum for all", check_iwae_bound, lambda w: log_mean_exp(w, w.max()), "one maximum is taken out"),
    Case("IWAE: mean taken out", check_iwae_bound, lambda w: log_mean_exp(w, w.mean(0)), "It overflows: the mean"),
    Case("IWAE: naive", check_iwae_bound, lambda w: torch.log(torch.mean(torch.exp(w), 0)), "overflows and underflows"),
    Case("IWAE: naive, summed", check_iwae_bound, lambda w: w.exp().sum(0).log(), "off by log K, too"),
    Case(
        "IWAE: naive, the loss", check_iwae_bound, lambda w: -w.exp().mean(0).log(), "torch.logsumexp; it is the loss"
    ),
    Case(
        "IWAE: naive in float64", check_iwae_bound, lambda w: w.double().exp().mean(0).log(), "overflows and underflows"
    ),
    Case("IWAE: + 1e-8", check_iwae_bound, lambda w: (w.exp().mean(0) + 1e-8).log(), "1e-08 is added inside"),
    Case(
        "IWAE: log-weights clamped",
        check_iwae_bound,
        lambda w: log_mean_exp(w.clamp(min=-500)),
        "log w is clamped below −500",
    ),
    Case(
        "IWAE: weighted by softmax",
        check_iwae_bound,
        lambda log_w: (F.softmax(log_w, 0) * log_w).sum(0),
        "averages the log-weights by their softmax",
    ),
    Case(
        "IWAE: weighted by a detached softmax",
        check_iwae_bound,
        lambda log_w: (F.softmax(log_w, 0).detach() * log_w).sum(0),
        "averages the log-weights by their softmax",
    ),
    Case("IWAE: in bits", check_iwae_bound, lambda log_w: iwae_bound(log_w) / math.log(2), "is in bits"),
    Case("IWAE: K − 1 for K", check_iwae_bound, lambda w: w.logsumexp(0) - math.log(len(w) - 1), "log(K − 1)"),
    Case("IWAE: best of K", check_iwae_bound, lambda log_w: log_w.max(0).values, "is the largest log-weight"),
    Case("IWAE: K outside", check_iwae_bound, lambda w: w.logsumexp(0) / len(w), "divides the logarithm by K"),
    Case("IWAE: sum of logs", check_iwae_bound, lambda log_w: log_w.sum(0), "sums the log-weights"),
    Case("IWAE: the weight itself", check_iwae_bound, lambda log_w: log_w.exp().mean(0), "is the mean weight itself"),
    Case("IWAE: one sample", check_iwae_bound, lambda log_w: log_w[0], "only the first of the K samples"),
    Case("IWAE: keepdim", check_iwae_bound, lambda w: iwae_bound(w)[:, None], "keeps a last axis of length 1"),
    Case("IWAE: no gradient", check_iwae_bound, lambda w: iwae_bound(w.detach()), "it carries no gradient"),
    Case(
        "IWAE: the gradient of the ELBO",
        check_iwae_bound,
        lambda w: iwae_bound(w.detach()) + (w - w.detach()).mean(0),
        "its gradient is not",
    ),
    Case("IWAE: of all examples", check_iwae_bound, lambda w: iwae_bound(w.flatten()), "along both axes"),
    Case("IWAE: NumPy", check_iwae_bound, lambda w: np.logaddexp.reduce(w.detach().numpy()), "off by log K"),
    Case(
        "likelihood: no log 2π",
        bad_likelihood(log_prob=lambda x, p: normal(0.0).log_prob(x, p) + x.shape[1] * LOG_2PI / 2),
        normal(0.0),
        "sums to 6.283, where 1 is expected: this is (2π)^(D/2)",
    ),
    Case(
        "likelihood: sign",
        bad_likelihood(log_prob=lambda x, p: -normal(0.0).log_prob(x, p)),
        normal(0.0),
        "has the wrong sign, or",
    ),
    Case(
        "likelihood: squared error",
        bad_likelihood(log_prob=lambda x, p: -((x - p) ** 2).sum(-1)),
        normal(0.0),
        "sums to 3.142, where 1 is expected: this is π^(D/2)",
    ),
    Case(
        "likelihood: mean over dimensions",
        bad_likelihood(log_prob=lambda x, p: normal(0.0).log_prob(x, p) / 2),
        normal(0.0),
        "not normalized",
    ),
    Case("likelihood: not summed", bad_likelihood(log_prob=lambda x, p: -((x - p) ** 2)), normal(0.0), "gave shape"),
    Case("likelihood: wrong mean", bad_likelihood(mean=lambda p: p), normal_diag, "It raised RuntimeError"),
    Case("likelihood: mean off", bad_likelihood(mean=lambda p: p + 0.01), normal(0.0), "is not the mean of that"),
    Case(
        "likelihood: logits for the mean",
        lambda p: check_log_prob(p._replace(mean=lambda p: p), BINARY),
        bernoulli,
        "is not the mean of that distribution",
    ),
    Case(
        "likelihood: σ² in samples",
        bad_likelihood(sample=lambda p, generator=None: normal(2 * 0.3).sample(p, generator=generator)),
        normal(0.3),
        "The samples do not follow log_prob",
    ),
    Case(
        "likelihood: mean for samples", bad_likelihood(sample=lambda p, generator=None: p), normal(0.3), "do not follow"
    ),
    Case(
        "likelihood: rounded for samples",
        lambda p: check_log_prob(p._replace(sample=lambda p, generator=None: p.sigmoid().round()), BINARY),
        bernoulli,
        "do not follow log_prob: they do not vary as they should",
    ),
    Case(
        "likelihood: samples without noise in one dimension",
        bad_likelihood(
            sample=lambda p, generator=None: torch.cat([normal(0.3).sample(p, generator=generator)[:, :1], p[:, 1:]], 1)
        ),
        normal(0.3),
        "do not follow log_prob",
    ),
    Case(
        "ELBO: rows tiled, then viewed as (B, K)",
        check_elbo,
        lambda model, x, eps: (
            elbo(model, x.repeat(len(eps), 1), eps=eps.reshape(1, -1, eps.shape[-1])).view(len(x), len(eps)).mean(1)
        ),
        "averages the bound over examples, not over samples: after x.repeat(K, 1)",
    ),
    Case(
        "ELBO: log q for log p(x | z)",
        check_elbo,
        lambda model, x, eps: (
            log_normal(sample(*model.encode(x), eps), *model.encode(x)).mean(0) - kl(*model.encode(x))
        ),
        "log q(z | x) where log p(x | z) belongs",
    ),
    Case(
        "ELBO: estimator A summed",
        check_elbo,
        lambda model, x, eps: len(eps) * bound_of_samples(model, x, eps),
        "sums over the K samples, where it should average, in every term",
    ),
    Case(
        "ELBO: estimator A, σ² for σ",
        check_elbo,
        lambda model, x, eps: bound_of_samples(model, x, eps, scale=1.0),
        "samples z = μ + σ²ε in every term",
    ),
    Case(
        "ELBO: the KL twice",
        check_elbo,
        lambda model, x, eps: bound(model, x, eps) - kl(*model.encode(x)),
        "or the KL is subtracted twice",
    ),
    Case(
        "ELBO: divided by the batch",
        check_elbo,
        lambda model, x, eps: bound(model, x, eps) / len(x),
        "is divided by the number of examples",
    ),
    Case("KL of the variance: ½ missing", of_variance, lambda m, v: 2 * kl_of_variance(m, v), "factor ½ is missing"),
    Case(
        "KL of σ: σ for σ²", of_sd, lambda m, s: (0.5 * (m**2 + s - 1) - s.log()).sum(1), "where the variance belongs"
    ),
    Case("KL of σ: said to be of σ²", of_variance, kl_of_sd, "if that is meant, add spread=standard_deviation"),
    Case("reduction: mean", check_reduction, lambda m, v: (m**2 + v).mean(-1), "averaged over the last axis"),
    Case("reduction: MSE", check_reduction, F.mse_loss, "averaged over all entries"),
    Case("reduction: total", check_reduction, lambda m, v: kl(m, v).sum(), "summed over the batch"),
    Case("reduction: batch mean", check_reduction, lambda m, v: kl(m, v).mean(), "averaged over the batch"),
    Case("reduction: dim=0", check_reduction, lambda m, v: (m**2 + v).sum(0), "over the batch axis"),
    Case("reduction: none", check_reduction, lambda m, v: m**2 + v, "is not summed over the last axis"),
    Case("reduction: keepdim", check_reduction, lambda m, v: kl(m, v)[:, None], "keeps a last axis of length 1"),
    Case("reduction: / len(x)", check_reduction, lambda m, v: kl(m, v) / len(m), "divided by the number of examples"),
    Case("reduction: −½ once", check_reduction, lambda m, v: kl(m, v) + 0.5, "a constant perhaps, does not grow"),
    Case("reduction: log 2π D² times", check_reduction, lambda m, v: kl(m, v) + m.shape[1] ** 2, "a constant perhaps"),
    Case("reduction: Euclidean norm", check_reduction, lambda m, v: (m - v).norm(dim=-1), "not the sum over its"),
    Case("reduction: batch statistics", check_reduction, lambda m, v: kl(m - m.mean(0), v), "the rows are mixed"),
    Case(
        "reduction: flattened",
        check_reduction,
        lambda m, v: (m**2 + v).flatten().view(m.shape[1], -1).sum(0),
        "rows are mixed",
    ),
    Case("reduction: a pair", check_reduction, lambda m, v: (kl(m, v), 0), "it returned tuple"),
    Case("numerics: log(1 + eᵘ)", numerics_of_logits, lambda x, u: (x * u - (1 + u.exp()).log()).sum(1), "overflows"),
    Case("numerics: log of a sigmoid", numerics_of_logits, lambda x, p: sigmoid_of(x, p.sigmoid()), "in float32"),
    Case(
        "numerics: + 1e-8 inside the logarithms",
        numerics_of_logits,
        lambda x, u: (x * (u.sigmoid() + 1e-8).log() + (1 - x) * (1 - u.sigmoid() + 1e-8).log()).sum(1),
        "u = [17, 0.5] its gradient with respect to u is 0, 0.378 in float32 and -0.805, 0.378 in float64",
    ),
    Case(
        "numerics: where with an overflow in the other branch",
        numerics_of_logits,
        lambda x, u: torch.where(u > 30, u, (1 + u.exp()).log()).sum(1) + 0 * x[:, 0],
        "where torch.where picks a branch, clamp the argument of the other one",
    ),
    Case(
        "numerics: exp(2·log_var)",
        numerics_of_encodings,
        lambda mu, log_var: (0.5 * (mu**2 + (2 * log_var).exp() - 1) - log_var).sum(1),
        "log_var = [80, -0.3]",
    ),
    Case(
        "numerics: square over variance",
        lambda fn: check_numerics(fn, *extreme_points()),
        lambda x, m, v: ((1e3 * (x - m) / v.exp()) ** 2 * v.exp()).sum(1),
        "is inf",
    ),
    Case(
        "numerics: cancellation",
        numerics_of_encodings,
        lambda m, v: (1e4 * ((1 + v.clamp(max=1).exp()) - 1)).sum(1) + 1e9 * m.sum(1) - 1e9 * m.sum(1),
        "digits are lost",
    ),
    Case("numerics: raises", numerics_of_encodings, lambda m, v: m @ v, "it raised RuntimeError"),
]


# Flows, of their own check: right ones in unusual style, wrong ones as learners write them.


class Flowing(torch.nn.Module):
    """A layer z′ = (z₁, z₂ e^s + t) with s = a tanh z₁, t = c z₁, or what is made of it."""

    a, c = 0.7, -1.2

    def forward(self, z):
        s, t = self.a * torch.tanh(z[..., :1]), self.c * z[..., :1]
        return torch.cat([z[..., :1], z[..., 1:] * torch.exp(s) + t], -1), (z.shape[-1] - 1) * s[..., 0]

    def inverse(self, z):
        s, t = self.a * torch.tanh(z[..., :1]), self.c * z[..., :1]
        return torch.cat([z[..., :1], (z[..., 1:] - t) * torch.exp(-s)], -1), -(z.shape[-1] - 1) * s[..., 0]


class Turned(torch.nn.Module):
    def forward(self, z):
        return z.flip(-1), torch.zeros(z.shape[:-1])

    inverse = forward


coupled, turned = Flowing(), Turned()


def coupling(z, log_det=lambda s: s.sum(-1), scale=torch.exp, shift=True):
    """A coupling layer of the first dimension and the rest, as one function, with one part exchanged."""
    kept, moved = z[..., :1], z[..., 1:]
    s = 0.6 * torch.sin(kept) + 0.3 * torch.arange(1, z.shape[-1]) - 0.2
    return torch.cat([kept, moved * scale(s) + shift * kept**2], -1), log_det(s)


def back_of_coupling(z, undo=lambda moved, s, t: (moved - t) * torch.exp(-s)):
    kept, moved = z[..., :1], z[..., 1:]
    s = 0.6 * torch.sin(kept) + 0.3 * torch.arange(1, z.shape[-1]) - 0.2
    return torch.cat([kept, undo(moved, s, kept**2)], -1)


def autoregressive(z, mask="before", log_det=lambda s: s.sum(-1)):
    """Three dimensions, each scaled and shifted by what its mask shows it."""
    weights = torch.tensor([[0.3, -0.4, 0.2], [0.5, 0.4, -0.3], [-0.6, 0.7, 0.3]])
    masks = {
        "before": weights.tril(-1),
        "itself": weights.tril(),
        "all": weights,
        "others": weights - weights.diag().diag(),
    }
    s = torch.tanh(z @ masks[mask].T) + 0.1
    return z * torch.exp(s) + z @ weights.tril(-1).T, log_det(s)


def back_of_autoregressive(z_new):
    weights = torch.tensor([[0.3, -0.4, 0.2], [0.5, 0.4, -0.3], [-0.6, 0.7, 0.3]]).tril(-1)
    z = torch.zeros_like(z_new)
    for _ in range(3):
        z = (z_new - z @ weights.T) * torch.exp(-torch.tanh(z @ weights.T) - 0.1)
    return z


def back_in_one_pass(z_new):
    weights = torch.tensor([[0.3, -0.4, 0.2], [0.5, 0.4, -0.3], [-0.6, 0.7, 0.3]]).tril(-1)
    return (z_new - z_new @ weights.T) * torch.exp(-torch.tanh(z_new @ weights.T) - 0.1)


U, W_PLANE = [0.9, -0.4, 0.5], [0.7, 1.1, -0.3]


def planar(z, u=U, log_det=lambda inner, slope: torch.log1p(inner * slope).squeeze(-1)):
    u, w = torch.tensor(u[: z.shape[-1]]), torch.tensor(W_PLANE[: z.shape[-1]])
    a = (z * w).sum(-1, keepdim=True) + 0.2
    return z + u * torch.tanh(a), log_det((u * w).sum(), 1 - torch.tanh(a) ** 2)


def composed(z, layers=(coupled, turned, coupled), total=sum):
    log_dets = []
    for layer in layers:
        z, log_det = layer(z)
        log_dets.append(log_det)
    return z, total(log_dets)


def undone(z, layers=(coupled, turned, coupled)):
    for layer in layers:
        z = layer.inverse(z)[0]
    return z


def flow_of(latent_dim, **with_):
    return lambda fn: check_flow(fn, latent_dim, **with_)


LAYERS = (coupled, turned, coupled)
of_layers = flow_of(2, layers=LAYERS, inverse=undone)

CORRECT_FLOWS = [
    Case("coupling, with its way back", flow_of(3, inverse=back_of_coupling), coupling),
    Case("coupling in two dimensions", flow_of(2, inverse=back_of_coupling), coupling),
    Case("coupling as a module", flow_of(4, inverse=coupled.inverse), coupled),
    Case("a gate by the sigmoid", flow_of(3), lambda z: coupling(z, lambda s: F.logsigmoid(s).sum(-1), torch.sigmoid)),
    Case("autoregressive, one dimension after the other", flow_of(3, inverse=back_of_autoregressive), autoregressive),
    Case("planar", flow_of(3), planar),
    Case("planar in one dimension", flow_of(1), planar),
    Case("composed", of_layers, composed),
    Case("turned round, a determinant of −1", flow_of(2, inverse=turned.inverse), turned),
    Case(
        "by autograd itself",
        flow_of(3),
        lambda z: (
            coupling(z)[0],
            torch.func.vmap(
                lambda row: torch.linalg.slogdet(torch.func.jacrev(lambda r: coupling(r)[0])(row)).logabsdet
            )(z.reshape(-1, 3)).reshape(z.shape[:-1]),
        ),
    ),
    Case(
        "in float32",
        flow_of(3),
        lambda z: tuple(part.float() for part in coupling(z)),
    ),
]

WRONG_FLOWS = [
    Case("wrong sign", flow_of(3), lambda z: coupling(z, lambda s: -s.sum(-1)), "has the wrong sign"),
    Case(
        "once per dimension",
        flow_of(3),
        lambda z: coupling(z, lambda s: s.sum(-1, keepdim=True).expand(z.shape).sum(-1)),
        "once for each dimension: L times",
    ),
    Case("one number a dimension", flow_of(3), lambda z: coupling(z, lambda s: F.pad(s, (1, 0))), "over the last axis"),
    Case(
        "a mean over dimensions", flow_of(3), lambda z: coupling(z, lambda s: s.sum(-1) / 3), "averaged over the dimen"
    ),
    Case("no batch axis", flow_of(3), lambda z: coupling(z, lambda s: s.sum()), "added up over the batch, too"),
    Case(
        "summed over the batch",
        flow_of(3),
        lambda z: coupling(z, lambda s: s.sum().expand(z.shape[:-1])),
        "over the batch and given",
    ),
    Case("an axis kept", flow_of(3), lambda z: coupling(z, lambda s: s.sum(-1, keepdim=True)), "a table of B × B"),
    Case("the axis of draws", flow_of(3), lambda z: coupling(z, lambda s: s.sum(1)), "sum over the last axis, −1"),
    Case("no logarithm", flow_of(3), lambda z: coupling(z, lambda s: s.sum(-1).exp()), "the determinant itself"),
    Case("forgotten", flow_of(3), lambda z: coupling(z, lambda s: 0 * s.sum(-1)), "is 0 everywhere"),
    Case(
        "log-variances",
        flow_of(3),
        lambda z: coupling(z, lambda s: 0.5 * s.sum(-1)),
        "as if the log-scales were log-var",
    ),
    Case(
        "log s for s", flow_of(3), lambda z: coupling(z, lambda s: s.abs().log().sum(-1)), "logarithm of the log-scales"
    ),
    Case(
        "s for log s",
        flow_of(3),
        lambda z: coupling(z, lambda s: (1.5 + s**2).sum(-1), lambda s: 1.5 + s**2),
        "adds up the scales themselves",
    ),
    Case("under the sigmoid", flow_of(3), lambda z: coupling(z, scale=torch.sigmoid), "under the sigmoid"),
    Case("under the softplus", flow_of(3), lambda z: coupling(z, scale=F.softplus), "under the softplus"),
    Case("multiplied", flow_of(3), lambda z: coupling(z, lambda s: s.prod(-1)), "multiplies the log-scales"),
    Case("the last alone", flow_of(3), lambda z: coupling(z, lambda s: s[..., -1]), "the last dimension alone"),
    Case("detached", flow_of(3), lambda z: coupling(z, lambda s: s.detach().sum(-1)), "detached from z"),
    Case(
        "the mask shows itself", flow_of(3), lambda z: autoregressive(z, "itself"), "sees the dimension that it moves"
    ),
    Case("the mask shows the others", flow_of(3), lambda z: autoregressive(z, "others"), "what comes later"),
    Case("no mask", flow_of(3), lambda z: autoregressive(z, "all"), "autograd's Jacobian has"),
    Case(
        "planar, tanh for its slope",
        flow_of(3),
        lambda z: planar(z, log_det=lambda i, s: torch.log((1 + i * (1 - s).sqrt()).abs()).squeeze(-1)),
        "autograd's Jacobian has",
    ),
    Case(
        "planar without the 1",
        flow_of(3),
        lambda z: planar(z, log_det=lambda i, s: (i * s).abs().log().squeeze(-1)),
        "lacks the 1",
    ),
    Case("planar, first order", flow_of(3), lambda z: planar(z, log_det=lambda i, s: (i * s).squeeze(-1)), "det − 1"),
    Case(
        "planar, unconstrained",
        flow_of(3),
        lambda z: planar(z, [-2.1, -0.4, 0.5], lambda i, s: (1 + i * s).abs().log().squeeze(-1)),
        "folds",
    ),
    Case(
        "planar, no absolute value",
        flow_of(2),
        lambda z: planar(z, [-9.0, -4.0], lambda i, s: (1 + i * s).log().squeeze(-1)),
        "the absolute value is missing",
    ),
    Case(
        "the last layer alone",
        of_layers,
        lambda z: composed(z, total=lambda log_dets: log_dets[-1]),
        "only layer 3 of 3",
    ),
    Case(
        "a mean over layers",
        of_layers,
        lambda z: composed(z, total=lambda log_dets: sum(log_dets) / 3),
        "averaged over the layers",
    ),
    Case(
        "all at the first z",
        of_layers,
        lambda z: (composed(z)[0], sum(layer(z)[1] for layer in LAYERS)),
        "at the first z",
    ),
    Case(
        "layers in reverse",
        flow_of(2, layers=(coupled, turned)),
        lambda z: composed(z, (turned, coupled)),
        "in reverse order",
    ),
    Case(
        "rows mixed",
        flow_of(3),
        lambda z: (z - z.mean(0, keepdim=True).detach(), torch.zeros(z.shape[:-1])),
        "the rows are mixed",
    ),
    Case(
        "noise inside",
        flow_of(3),
        lambda z: (z + torch.randn_like(z), torch.zeros(z.shape[:-1])),
        "a flow draws nothing",
    ),
    Case("the image alone", flow_of(3), lambda z: coupling(z)[0], "the pair z′, log|det| is expected"),
    Case("another shape", flow_of(3), lambda z: (z[..., :2], torch.zeros(z.shape[:-1])), "it must be the same"),
    Case("in place", flow_of(3), lambda z: (z.mul_(2), math.log(8) + 0 * z.sum(-1)), "in place"),
    Case(
        "layers undone in the same order",
        flow_of(2, layers=(coupled, turned), inverse=lambda z: undone(z, (coupled, turned))),
        lambda z: composed(z, (coupled, turned)),
        "undoes the first layer first",
    ),
    Case("the way there once more", flow_of(3, inverse=lambda z: coupling(z)[0]), coupling, "the way there once more"),
    Case(
        "shift after scale",
        flow_of(3, inverse=lambda z: back_of_coupling(z, lambda m, s, t: m * torch.exp(-s) - t)),
        coupling,
        "the last done is the first to undo",
    ),
    Case(
        "shift added",
        flow_of(3, inverse=lambda z: back_of_coupling(z, lambda m, s, t: (m + t) * torch.exp(-s))),
        coupling,
        "adds the shift",
    ),
    Case(
        "scale not undone",
        flow_of(3, inverse=lambda z: back_of_coupling(z, lambda m, s, t: m - t)),
        coupling,
        "does not undo the scale",
    ),
    Case("back in one pass", flow_of(3, inverse=back_in_one_pass), autoregressive, "one dimension after the other"),
    Case(
        "sign of the way back",
        flow_of(3, inverse=lambda z: (back_of_coupling(z), coupling(back_of_coupling(z))[1])),
        coupling,
        "the sign of the way there",
    ),
    Case(
        "wrong far out",
        flow_of(3),
        lambda z: (coupling(z)[0], coupling(z)[1] + (z.abs().amax(-1) > 2.6)),
        "autograd's Jacobian has",
    ),
    Case(
        "an axis kept on the way back",
        flow_of(2, inverse=lambda z: (z / 2, -2 * math.log(2) + 0 * z.sum(-1, keepdim=True))),
        lambda z: (2 * z, 2 * math.log(2) + 0 * z.sum(-1)),
        "a table of B × B",
    ),
    Case(
        "wrong near 0, where hardly a point lies",
        flow_of(2, inverse=back_of_coupling),
        lambda z: (coupling(z)[0], coupling(z)[1] + (z.square().sum(-1) < 0.1)),
        "integrates to 0.9",
    ),
    Case(
        "an inverse that is none",
        flow_of(3, inverse=lambda z: 0.9 * back_of_coupling(z)),
        coupling,
        "does not lead back",
    ),
]


# Mixtures, and whole priors


def component(z, mu, log_var):  # (B, L), (C, L) -> (B, C)
    return -0.5 * (LOG_2PI + log_var + (z[..., None, :] - mu) ** 2 / log_var.exp()).sum(-1)


def mixture(z, logits, mu, log_var):
    return torch.logsumexp(logits.log_softmax(0) + component(z, mu, log_var), -1)


def mixture_by_torch(z, logits, mu, log_var):
    parts = Independent(Normal(mu, (0.5 * log_var).exp()), 1)
    return MixtureSameFamily(Categorical(logits=logits), parts).log_prob(z)


def mixture_by_loops(z, logits, mu, log_var):
    log_w = logits - logits.logsumexp(0)
    parts = [
        log_w[c] + sum(Normal(mu[c, i], (0.5 * log_var[c, i]).exp()).log_prob(z[:, i]) for i in range(z.shape[1]))
        for c in range(len(mu))
    ]
    return reduce(torch.logaddexp, parts)


def mixture_by_matrix(z, logits, mu, log_var):
    """Squares multiplied out: three matrix products."""
    precision = torch.exp(-log_var)
    constant = (log_var + mu**2 * precision + LOG_2PI).sum(1)
    squares = z**2 @ precision.T - 2 * z @ (mu * precision).T
    return torch.logsumexp(torch.log_softmax(logits, -1) - 0.5 * (squares + constant), 1)


PLANE = grid([-12.0] * 2, [12.0] * 2, 241)
LINE = grid([-9.0], [9.0], 181)


def in_the_plane(prior):
    return check_prior(prior, *PLANE)


def moved(prior, seed=3, scale=0.7):
    """The prior, its parameters away from where they begin."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return prior


class HalfMixture(Mixture):
    """A mixture of one's own: what is not overwritten is right."""

    def __init__(self, latent_dim=2, n_components=4, *, seed=0):
        super().__init__(latent_dim, n_components, seed=seed)
        moved(self)


def a_mixture(**methods):
    return type("MyMixture", (HalfMixture,), methods)()


def equal(mixture):
    """The mixture, its weights all the same."""
    with torch.no_grad():
        mixture.logits.zero_()
    return mixture


def a_vamp(**methods):
    prior = type("MyVamp", (VampPrior,), methods)(5, 3, seed=1)
    return mlp_vae(5, 6, 2, bernoulli, seed=0, prior=prior, activation=torch.nn.Tanh).prior


def weighted(self, z):
    log_w, mu, log_var = self.components()
    return log_w + component(z, mu, log_var)


def drawn(self, shape, like, generator, scale=0.5, component=None):
    """The sampler, with a factor of log_var and components of one's own."""
    log_w, mu, log_var = (part.to(like) for part in self.components())
    eps = torch.randn(shape, generator=generator, dtype=like.dtype)
    if component is None:
        component = torch.multinomial(log_w.exp(), math.prod(shape[:-1]), True, generator=generator).view(shape[:-1])
    return mu[component] + (scale * log_var[component]).exp() * eps


def shared(self, shape, like, generator, own):
    """Components drawn of the shape ``own``, and shared along the axes where it has 1."""
    component = torch.multinomial(self.components()[0].exp(), math.prod(own), True, generator=generator)
    return drawn(self, shape, like, generator, component=component.view(own).expand(shape[:-1]))


class Logistic(Prior):
    """A prior that is no mixture: independent logistic distributions."""

    def __init__(self, constant=0.0, slope=1.0):
        super().__init__()
        self.constant, self.slope = constant, slope

    def log_prob(self, z):
        return (F.logsigmoid(z) + F.logsigmoid(-self.slope * z) + self.constant).sum(-1)

    def sample(self, shape, *, like, generator=None):
        u = torch.rand(shape, generator=generator, dtype=like.dtype).clamp(1e-12, 1 - 1e-12)
        return torch.logit(u)


def broad(prior):
    return check_prior(prior, *grid([-40.0] * 2, [40.0] * 2, 401))


CORRECT_PRIORS = [
    Case("mixture, log-sum-exp", check_log_mixture, mixture),
    Case("mixture, torch.distributions", check_log_mixture, mixture_by_torch),
    Case("mixture, loops", check_log_mixture, mixture_by_loops),
    Case("mixture, matrix products", check_log_mixture, mixture_by_matrix),
    Case("prior, standard normal", in_the_plane, standard_normal),
    Case("prior, Gaussian", in_the_plane, moved(Gaussian(2))),
    Case("prior, mixture", in_the_plane, a_mixture()),
    Case("prior, VampPrior", in_the_plane, a_vamp()),
    Case("prior, flow", in_the_plane, moved(FlowPrior(2, 2, 8, seed=0), scale=0.2)),
    Case("prior, one dimension", lambda prior: check_prior(prior, *LINE), Mixture(1, 3, seed=0)),
    Case("prior, logistic", broad, Logistic()),
    Case(
        "prior, multinomial sampler",
        in_the_plane,
        a_mixture(sample=lambda s, n, *, like, generator=None: drawn(s, n, like, generator)),
    ),
    Case(
        "prior, density by torch.distributions",
        in_the_plane,
        a_mixture(log_prob=lambda s, z: mixture_by_torch(z, s.logits, s.mu, s.log_var)),
    ),
]

WRONG_PRIORS = [
    Case(
        "mixture: mean of the logarithms",
        check_log_mixture,
        lambda z, p, m, v: (p.softmax(0) * component(z, m, v)).sum(1),
        "is the mean of the components' logarithms",
    ),
    Case(
        "mixture: weights not normalized",
        check_log_mixture,
        lambda z, p, m, v: torch.log((p.exp() * component(z, m, v).exp()).sum(1)),
        "does not normalize the weights",
    ),
    Case(
        "mixture: over the points",
        check_log_mixture,
        lambda z, p, m, v: torch.logsumexp(p.log_softmax(0) + component(z, m, v), 0),
        "takes the log-sum-exp over the points",
    ),
    Case(
        "mixture: 1/C missing",
        check_log_mixture,
        lambda z, p, m, v: torch.logsumexp(component(z, m, v), 1),
        "1/C is missing",
    ),
    Case(
        "mixture: equal weights",
        check_log_mixture,
        lambda z, p, m, v: torch.log(component(z, m, v).exp().mean(1)),
        "gives every component the weight 1/C",
    ),
    Case(
        "mixture: variance for log-variance",
        check_log_mixture,
        lambda z, p, m, v: torch.logsumexp(
            p.log_softmax(0) - 0.5 * (LOG_2PI + v.log() + (z[:, None] - m) ** 2 / v).sum(2), 1
        ),
        "taken for a variance",
    ),
    Case(
        "mixture: exp(log_var) for σ",
        check_log_mixture,
        lambda z, p, m, v: mixture(z, p, m, 2 * v),
        "in each component takes exp(log_var) for the standard deviation",
    ),
    Case(
        "mixture: σ for σ²",
        check_log_mixture,
        lambda z, p, m, v: mixture(z, p, m, v / 2),
        "in each component takes exp(½·log_var), the standard deviation, for the variance",
    ),
    Case(
        "mixture: no 2π",
        check_log_mixture,
        lambda z, p, m, v: mixture(z, p, m, v) + z.shape[1] / 2 * LOG_2PI,
        "in each component lacks −½ log 2π",
    ),
    Case(
        "mixture: the parenthesis of pythae",
        check_log_mixture,
        lambda z, p, m, v: torch.logsumexp(p.log_softmax(0) + (-0.5 * (v + (z[:, None] - m) ** 2) / v.exp()).sum(2), 1),
        "a parenthesis is misplaced",
    ),
    Case(
        "mixture: each dimension by itself",
        check_log_mixture,
        lambda z, p, m, v: sum(
            mixture(z[:, i : i + 1], p, m[:, i : i + 1], v[:, i : i + 1]) for i in range(z.shape[1])
        ),
        "mixes each dimension by itself",
    ),
    Case(
        "mixture: max",
        check_log_mixture,
        lambda z, p, m, v: (p.log_softmax(0) + component(z, m, v)).max(1).values,
        "max stands where log-sum-exp belongs",
    ),
    Case(
        "mixture: weights added, not their logarithms",
        check_log_mixture,
        lambda z, p, m, v: torch.logsumexp(p.softmax(0) + component(z, m, v), 1),
        "their logarithms belong there",
    ),
    Case(
        "mixture: log C subtracted as well",
        check_log_mixture,
        lambda z, p, m, v: mixture(z, p, m, v) - math.log(len(m)),
        "integrates to 1/C",
    ),
    Case(
        "mixture: parameters averaged",
        check_log_mixture,
        lambda z, p, m, v: component(z, (p.softmax(0) @ m)[None], (p.softmax(0) @ v)[None])[:, 0],
        "is one Gaussian with the average mean and log-variance",
    ),
    Case(
        "mixture: the density",
        check_log_mixture,
        lambda z, p, m, v: mixture(z, p, m, v).exp(),
        "is the density itself",
    ),
    Case("mixture: sign", check_log_mixture, lambda *given: -mixture(*given), "opposite sign"),
    Case(
        "mixture: detached means",
        check_log_mixture,
        lambda z, p, m, v: mixture(z, p, m.detach(), v),
        "no gradient reaches mu",
    ),
    Case(
        "mixture: densities that round to 0",
        check_log_mixture,
        lambda z, p, m, v: torch.log((p.softmax(0) * component(z, m, v).exp()).sum(1)),
        "It returned an infinite number",
    ),
    Case(
        "prior: mean of the logarithms",
        in_the_plane,
        a_mixture(log_prob=lambda s, z: (s.logits.softmax(0) * component(z, s.mu, s.log_var)).sum(-1)),
        "is the mean of the components' logarithms",
    ),
    Case(
        "prior: weights not normalized",
        in_the_plane,
        a_mixture(log_prob=lambda s, z: torch.logsumexp(s.logits + component(z, s.mu, s.log_var), -1)),
        "does not normalize the weights",
    ),
    Case(
        "prior: over the points",
        in_the_plane,
        a_mixture(log_prob=lambda s, z: torch.logsumexp(weighted(s, z), 0)),
        "takes the log-sum-exp over the points",
    ),
    Case(
        "prior: VampPrior without 1/C",
        in_the_plane,
        a_vamp(log_prob=lambda s, z: torch.logsumexp(weighted(s, z), -1) + math.log(3)),
        "1/C is missing",
    ),
    Case(
        "prior: exp(log_var) for σ",
        in_the_plane,
        a_vamp(log_prob=lambda s, z: mixture(z, torch.zeros(3), s.components()[1], 2 * s.components()[2])),
        "takes exp(log_var) for the standard deviation",
    ),
    Case(
        "prior: the parenthesis of pythae",
        in_the_plane,
        a_vamp(
            log_prob=lambda s, z: torch.logsumexp(
                s.components()[0]
                + (
                    -0.5 * (s.components()[2] + (z[..., None, :] - s.components()[1]) ** 2) / s.components()[2].exp()
                ).sum(-1),
                -1,
            )
        ),
        "a parenthesis is misplaced",
    ),
    Case(
        "prior: each dimension by itself",
        in_the_plane,
        a_mixture(
            log_prob=lambda s, z: (
                mixture(z[..., :1], s.logits, s.mu[:, :1], s.log_var[:, :1])
                + mixture(z[..., 1:], s.logits, s.mu[:, 1:], s.log_var[:, 1:])
            )
        ),
        "mixes each dimension by itself",
    ),
    Case(
        "prior: detached pseudo-inputs",
        in_the_plane,
        a_vamp(pseudo_inputs=lambda s: VampPrior.pseudo_inputs(s).detach()),
        "No gradient reaches raw",
    ),
    Case(
        "prior: detached encoder",
        in_the_plane,
        a_vamp(components=lambda s: tuple(part.detach() for part in VampPrior.components(s))),
        "No gradient reaches raw",
    ),
    Case(
        "prior: an encoder that does not learn from it",
        in_the_plane,
        a_vamp(
            components=lambda s: (
                torch.full((3,), -math.log(3)),
                *torch.func.functional_call(
                    s.belongs_to().encoder,
                    {k: v.detach() for k, v in s.belongs_to().encoder.named_parameters()},
                    s.pseudo_inputs(),
                ).chunk(2, -1),
            )
        ),
        "No gradient reaches the model's encoder",
    ),
    Case(
        "prior: no gradient for z",
        in_the_plane,
        a_mixture(log_prob=lambda s, z: Mixture.log_prob(s, z.detach())),
        "No gradient reaches z",
    ),
    Case(
        "prior: rows mixed",
        in_the_plane,
        a_mixture(log_prob=lambda s, z: Mixture.log_prob(s, z) + 1e-3 * (z - z.mean(0)).sum(-1)),
        "the",
    ),
    Case(
        "prior: only (B, L)",
        in_the_plane,
        a_mixture(log_prob=lambda s, z: mixture(z.flatten(0, -2), s.logits, s.mu, s.log_var)),
        "does not give shape (3, 4)",
    ),
    Case(
        "prior: a last axis of length 1",
        in_the_plane,
        a_mixture(log_prob=lambda s, z: Mixture.log_prob(s, z)[..., None]),
        "one number a point is expected",
    ),
    Case(
        "prior: components in order",  # as in the authors' generate_x
        in_the_plane,
        a_mixture(
            sample=lambda s, n, *, like, generator=None: drawn(
                s, n, like, generator, component=torch.arange(math.prod(n[:-1])).view(n[:-1]) % 4
            )
        ),
        "draw every component as often as the others",
    ),
    Case(
        "prior: equal components in order",  # the averages of many draws are right
        in_the_plane,
        equal(
            a_mixture(
                sample=lambda s, n, *, like, generator=None: drawn(
                    s, n, like, generator, component=torch.arange(math.prod(n[:-1])).view(n[:-1]) % 4
                )
            )
        ),
        "The samples of one call are not independent",
    ),
    Case(
        "prior: one component for a whole row of draws",
        in_the_plane,
        a_mixture(
            sample=lambda s, n, *, like, generator=None: shared(s, n, like, generator, (*n[:1], *[1] * (len(n) - 2)))
        ),
        "The samples of one call are not independent",
    ),
    Case(
        "prior: one component for a whole column of draws",
        in_the_plane,
        a_mixture(
            sample=lambda s, n, *, like, generator=None: shared(
                s, n, like, generator, (n[0] if len(n) == 2 else 1, *n[1:-1])
            )
        ),
        "The samples of one call are not independent",
    ),
    Case(
        "prior: σ² for σ in the sampler",
        in_the_plane,
        a_mixture(sample=lambda s, n, *, like, generator=None: drawn(s, n, like, generator, scale=1.0)),
        "scale the noise by σ²",
    ),
    Case(
        "prior: one component for the whole call",
        in_the_plane,
        a_mixture(
            sample=lambda s, n, *, like, generator=None: drawn(
                s, n, like, generator, component=torch.randint(4, (1,), generator=generator).expand(n[:-1])
            )
        ),
        "The samples of one call share a component",
    ),
    Case(
        "prior: means without noise",
        in_the_plane,
        a_mixture(
            sample=lambda s, n, *, like, generator=None: s.mu[
                torch.multinomial(s.logits.softmax(0), math.prod(n[:-1]), True, generator=generator).view(n[:-1])
            ]
        ),
        "the noise is missing",
    ),
    Case(
        "prior: a component for each dimension",
        in_the_plane,
        a_mixture(
            sample=lambda s, n, *, like, generator=None: torch.stack(
                [drawn(s, n, like, generator)[..., 0], drawn(s, n, like, generator)[..., 1]], -1
            )
        ),
        "draw a component for each dimension",
    ),
    Case(
        "prior: the heaviest component alone",
        in_the_plane,
        a_mixture(
            sample=lambda s, n, *, like, generator=None: drawn(
                s, n, like, generator, component=s.logits.argmax().expand(n[:-1])
            )
        ),
        "come from the heaviest component alone",
    ),
    Case(
        "prior: no generator",
        in_the_plane,
        a_mixture(sample=lambda s, n, *, like, generator=None: drawn(s, n, like, None)),
        "does not draw from the generator",
    ),
    Case(
        "prior: samples of N(0, I)",
        in_the_plane,
        a_mixture(sample=lambda s, n, *, like, generator=None: torch.randn(n, generator=generator).to(like)),
        "do not follow log_prob",
    ),
    Case(
        "prior: the KL of N(0, I)",
        in_the_plane,
        a_mixture(kl=lambda s, mu, log_var: kl(mu, log_var)),
        "it is the KL from N(0, I), whatever the prior",
    ),
    Case("prior: no 2π", broad, Logistic(constant=0.5 * LOG_2PI), "−½ log 2π is missing"),
    Case("prior: not normalized", broad, Logistic(slope=0.5), "is not normalized"),
    Case(
        "prior: no sampler",
        broad,
        type("NoSampler", (Logistic,), {"sample": Prior.sample})(),
        "must have a method sample",
    ),
]


# Vector quantizers: fn(z, codebook, beta) gives z_q and the loss of each vector.


def vq(z, codebook, beta, nearest=lambda d: d.argmin(1), distance=torch.cdist):
    """As a learner writes it, with one part exchanged."""
    e = codebook[nearest(distance(z, codebook))]
    loss = F.mse_loss(e, z.detach(), reduction="none").sum(1) + beta * F.mse_loss(z, e.detach(), reduction="none").sum(
        1
    )
    return z + (e - z).detach(), loss


def vq_one_hot(z, codebook, beta):
    """Of the authors' kind: expanded distances, one-hot times matrix."""
    d = z.pow(2).sum(1, keepdim=True) - 2 * z @ codebook.t() + codebook.pow(2).sum(1)
    e = F.one_hot((-d).argmax(1), len(codebook)).to(z.dtype) @ codebook
    return z + (e - z).detach(), (e - z.detach()).square().sum(1) + beta * (e.detach() - z).square().sum(1)


def vq_by_loops(z, codebook, beta):
    rows, losses = [], []
    for v in z:
        e = min(codebook, key=lambda e: ((v - e) ** 2).sum().item())
        rows.append(v + (e - v).detach())
        losses.append(sum((v.detach() - e) ** 2) + beta * sum((v - e.detach()) ** 2))
    return torch.stack(rows), torch.stack(losses)


def vq_held(z, codebook, beta):
    with torch.no_grad():
        index = (z.unsqueeze(1) - codebook.unsqueeze(0)).norm(dim=2).min(1).indices
    e = F.embedding(index, codebook)
    return (e - z).detach() + z, (z.detach() - e).pow(2).sum(-1).add(beta * (z - e.detach()).pow(2).sum(-1))


def vq_loss(loss):
    """Right but for the loss, a function of z, e and β."""

    def quantizer(z, codebook, beta):
        e = codebook[torch.cdist(z, codebook).argmin(1)]
        return z + (e - z).detach(), loss(z, e, beta)

    return quantizer


def vq_output(output):
    """Right but for z_q, a function of z and e."""
    return lambda z, codebook, beta: (
        output(z, codebook[torch.cdist(z, codebook).argmin(1)]),
        vq(z, codebook, beta)[1],
    )


def sse(a, b):
    return ((a - b) ** 2).sum(1)


def vq_after(z, codebook, beta):
    z_q, _ = vq(z, codebook, beta)
    return z_q, sse(z.detach(), z_q) + beta * sse(z, z_q.detach())


def vq_float32(z, codebook, beta):
    return vq(z.float(), codebook.float(), beta)


def quantizer_case(name, fn, named=""):
    return Case(f"VQ: {name}", check_quantizer, fn, named)


QUANTIZERS_RIGHT = [
    quantizer_case("textbook", vq),
    quantizer_case("one-hot, expanded distance", vq_one_hot),
    quantizer_case("by loops", vq_by_loops),
    quantizer_case("index without a gradient", vq_held),
    quantizer_case("float32", vq_float32),
]

QUANTIZERS_WRONG = [
    quantizer_case(
        "β on the codebook loss", vq_loss(lambda z, e, b: sse(e.detach(), z) + b * sse(e, z.detach())),
        "weights the codebook loss ‖sg[z] − e‖² with β and the commitment ‖z − sg[e]‖² with 1",
    ),
    quantizer_case("no stop-gradient", vq_loss(lambda z, e, b: (1 + b) * sse(z, e)), "lacks both stop-gradients"),
    quantizer_case(
        "no stop-gradient on z", vq_loss(lambda z, e, b: sse(z, e) + b * sse(z, e.detach())),
        "lacks the stop-gradient of the codebook loss",
    ),
    quantizer_case(
        "no stop-gradient on e", vq_loss(lambda z, e, b: sse(z.detach(), e) + b * sse(z, e)),
        "lacks the stop-gradient of the commitment",
    ),
    quantizer_case(
        "commitment on the codebook's side", vq_loss(lambda z, e, b: sse(z.detach(), e) + b * sse(e, z.detach())),
        "has both terms pull the codebook",
    ),
    quantizer_case("losses after the straight-through step", vq_after, "the codebook is not trained"),
    quantizer_case("codebook loss alone", vq_loss(lambda z, e, b: sse(z.detach(), e)), "lacks the commitment"),
    quantizer_case("commitment alone", vq_loss(lambda z, e, b: b * sse(z, e.detach())), "lacks the codebook loss"),
    quantizer_case(
        "a mean of both terms", vq_loss(lambda z, e, b: sse(z.detach(), e).lerp(sse(z, e.detach()), b)),
        "or has weights that add up to 1",
    ),
    quantizer_case(
        "β = 0.25 written in", vq_loss(lambda z, e, b: sse(z.detach(), e) + 0.25 * sse(z, e.detach())), "uses β = 0.25"
    ),
    quantizer_case(
        "mse_loss", vq_loss(lambda z, e, b: F.mse_loss(e, z.detach()) + b * F.mse_loss(z, e.detach())), "F.mse_loss"
    ),
    quantizer_case(
        "mean over dimensions",
        vq_loss(lambda z, e, b: ((e - z.detach()) ** 2).mean(1) + b * ((z - e.detach()) ** 2).mean(1)),
        "averages the squares over the dimensions of a vector",
    ),
    quantizer_case(
        "batch mean", lambda z, c, b: (vq(z, c, b)[0], vq(z, c, b)[1].mean()), "averages the loss over the batch"
    ),
    quantizer_case("no straight-through", vq_output(lambda z, e: e), "lacks the straight-through step"),
    quantizer_case("gradient cut off", vq_output(lambda z, e: e.detach()), "passes no gradient"),
    quantizer_case("detached z alone", vq_output(lambda z, e: z + e - z.detach()), "hands the gradient of z_q to both"),
    quantizer_case(
        "softmax through", lambda z, c, b: (
            (s := torch.softmax(-torch.cdist(z, c) ** 2, 1) @ c) + (c[torch.cdist(z, c).argmin(1)] - s).detach(),
            vq(z, c, b)[1],
        ),
        "gradient of a soft assignment",
    ),
    quantizer_case("argmax of distances", lambda *given: vq(*given, lambda d: d.argmax(1)), "takes the farthest code"),
    quantizer_case(
        "dot product", lambda z, c, b: vq(z, c, b, lambda d: d.argmax(1), lambda z, c: z @ c.T), "largest dot product"
    ),
    quantizer_case(
        "cosine", lambda z, c, b: vq(
            z, c, b, lambda d: d.argmax(1), lambda z, c: F.cosine_similarity(z[:, None], c[None], dim=2)
        ),
        "the largest cosine",
    ),
    quantizer_case(
        "city blocks", lambda z, c, b: vq(z, c, b, distance=lambda z, c: torch.cdist(z, c, p=1)), "absolute differences"
    ),
    quantizer_case(
        "one code for the batch", lambda z, c, b: vq(
            z, c, b, lambda d: (d**2).sum(0).argmin().repeat(len(d))
        ),
        "sums the distances over the batch",
    ),
    quantizer_case("distances in the loss", vq_loss(
        lambda z, e, b: (z.detach() - e).norm(dim=1) + b * (z - e.detach()).norm(dim=1)
    ), "takes the distances, not their squares"),
    quantizer_case("nothing quantized", vq_output(lambda z, e: z), "returns z itself"),
]  # fmt: skip
CORRECT += QUANTIZERS_RIGHT
WRONG += QUANTIZERS_WRONG


# Minibatch-weighted total correlation: fn(z, mu, log_var, n_data) gives one number for each example.


def tc(z, mu, log_var, n_data, joint=None, marginals=None, logs=None):
    """As a learner writes it, with one part exchanged."""
    m, d = z.shape
    q = -0.5 * (LOG_2PI + log_var + (z.view(m, 1, d) - mu.view(1, m, d)) ** 2 / log_var.exp())
    log_nm = math.log(n_data * m) if logs is None else logs(n_data, m)
    log_qz = (joint or (lambda q: torch.logsumexp(q.sum(2), dim=1)))(q) - log_nm
    log_prod = ((marginals or (lambda q: torch.logsumexp(q, dim=1)))(q) - log_nm).sum(1)
    return log_qz - log_prod


def tc_by_torch(z, mu, log_var, n_data):
    log_q = Normal(mu[None], (0.5 * log_var).exp()[None]).log_prob(z[:, None])
    weight = math.log(n_data) + math.log(len(z))
    return log_q.sum(-1).logsumexp(-1) - weight - log_q.logsumexp(1).sub(weight).sum(-1)


def tc_by_loops(z, mu, log_var, n_data):
    def one(point):
        joint, marginals = 0.0, 0.0
        for m, v in zip(mu, log_var, strict=True):
            p = Normal(m, torch.exp(v / 2)).log_prob(point).exp()
            joint, marginals = joint + p.prod(), marginals + p
        n = n_data * len(mu)
        return torch.log(joint / n) - torch.log(marginals / n).sum()

    return torch.stack([one(point) for point in z])


def tc_stable_by_hand(z, mu, log_var, n_data):
    """The largest taken out, the axis of examples first; the constants put together."""
    q = Normal(mu.T[:, None], (0.5 * log_var.T[:, None]).exp()).log_prob(z.T[:, :, None])  # (L, M of z, M of x)

    def lse(t):
        top = t.amax(-1, keepdim=True)
        return (t - top).exp().sum(-1).log() + top[..., 0]

    return lse(q.sum(0)) - lse(q).sum(0) + (len(q) - 1) * math.log(n_data * len(z))


def tc_mixture(z, mu, log_var, n_data):
    """Means over the minibatch by PyTorch's mixtures, and what log N is too little."""
    even = Categorical(logits=torch.zeros(len(mu), dtype=mu.dtype))
    joint = MixtureSameFamily(even, Independent(Normal(mu, (0.5 * log_var).exp()), 1))
    marginals = [
        MixtureSameFamily(even, Normal(mu[:, d], (0.5 * log_var[:, d]).exp())).log_prob(z[:, d]) - math.log(n_data)
        for d in range(z.shape[1])
    ]
    return joint.log_prob(z) - math.log(n_data) - sum(marginals)


def tc_in_float32(z, mu, log_var, n_data):
    return tc(z.float(), mu.float(), log_var.float(), n_data)


def tc_own_variance(z, mu, log_var, n_data):
    log_q = Normal(mu, (0.5 * log_var).exp()[:, None]).log_prob(z[:, None])
    log_nm = math.log(n_data * len(z))
    return log_q.sum(2).logsumexp(1) - log_nm - (log_q.logsumexp(1) - log_nm).sum(1)


def tc_stratified(z, mu, log_var, n_data):
    m = len(z)
    w = torch.full((m, m), (n_data - 1) / (n_data * max(1, m - 1)), dtype=z.dtype)
    w[range(m), range(m)] = 1 / n_data
    q = Normal(mu[None], (0.5 * log_var).exp()[None]).log_prob(z[:, None])
    return (w.log() + q.sum(2)).logsumexp(1) - (w.log()[:, :, None] + q).logsumexp(1).sum(1)


def correlation_case(name, fn, named=""):
    return Case(f"TC: {name}", check_total_correlation, fn, named)


CORRELATIONS_RIGHT = [
    correlation_case("textbook", tc),
    correlation_case("torch.distributions", tc_by_torch),
    correlation_case("dimensions first, the largest taken out", tc_stable_by_hand),
    correlation_case("PyTorch's mixtures", tc_mixture),
    correlation_case("float32", tc_in_float32),
]

CORRELATIONS_WRONG = [
    correlation_case("no constant", lambda *a: tc(*a, logs=lambda n, m: 0.0), "lacks −log(NM)"),
    correlation_case("log M alone", lambda *a: tc(*a, logs=lambda n, m: math.log(m)), "subtracts log M, where log(NM)"),
    correlation_case("log N alone", lambda *a: tc(*a, logs=lambda n, m: math.log(n)), "subtracts log N, where log(NM)"),
    correlation_case("constant added", lambda *a: tc(*a, logs=lambda n, m: -math.log(n * m)), "adds log(NM)"),
    correlation_case("no logarithm", lambda *a: tc(*a, logs=lambda n, m: n * m), "subtracts NM itself"),
    correlation_case(
        "constant of the joint alone",
        lambda z, mu, v, n: tc(z, mu, v, n) - z.shape[1] * math.log(n * len(z)),
        "subtracts log(NM) from log q(z) alone",
    ),
    correlation_case(
        "constant of the marginals alone",
        lambda z, mu, v, n: tc(z, mu, v, n) + math.log(n * len(z)),
        "subtracts log(NM) from the marginals alone",
    ),
    correlation_case(
        "both over the z",
        lambda *a: tc(*a, lambda q: q.sum(2).logsumexp(0), lambda q: q.logsumexp(0)),
        "sums over the wrong axis: the log-sum-exp",
    ),
    correlation_case(
        "joint over the z", lambda *a: tc(*a, lambda q: q.sum(2).logsumexp(0)), "sums over the wrong axis in log q(z)"
    ),
    correlation_case(
        "marginals over the z", lambda *a: tc(*a, None, lambda q: q.logsumexp(0)), "wrong axis in the marginals"
    ),
    correlation_case(
        "marginals over the dimensions",
        lambda *a: tc(*a, None, lambda q: q.logsumexp(2)),
        "takes the product of the marginals over the wrong axis",
    ),
    correlation_case(
        "dimensions after both", lambda *a: tc(*a, lambda q: q.logsumexp(1).sum(1)), "differs from 0 by constants alone"
    ),
    correlation_case(
        "mean of logarithms", lambda *a: tc(*a, lambda q: q.sum(2).mean(1), lambda q: q.mean(1), lambda n, m: 0.0),
        "no mean of logarithms",
    ),
    correlation_case("maxima", lambda *a: tc(*a, lambda q: q.sum(2).amax(1), lambda q: q.amax(1)), "the largest term"),
    correlation_case(
        "own posterior for q(z)", lambda z, mu, v, n: (
            Normal(mu, (0.5 * v).exp()).log_prob(z).sum(1)
            - (Normal(mu, (0.5 * v).exp()).log_prob(z[:, None]).logsumexp(1) - math.log(n * len(z))).sum(1)
        ),
        "has log q(z|x) of the own example in place of log q(z)",
    ),
    correlation_case("sign", lambda *a: -tc(*a), "has the opposite sign"),
    correlation_case("clamped", lambda *a: F.relu(tc(*a)), "is clamped at 0"),
    correlation_case("absolute", lambda *a: abs(tc(*a)), "takes the absolute value"),
    correlation_case("batch mean", lambda *a: tc(*a).mean(), "is averaged over the batch"),
    correlation_case("bits", lambda *a: tc(*a) / math.log(2), "is in bits"),
    correlation_case("log σ² for log σ", lambda z, mu, v, n: tc(z, mu, 2 * v, n), "exp(log_var) for the standard"),
    correlation_case("stratified", tc_stratified, "weights the examples as stratified sampling does"),
    correlation_case(
        "own example left out",
        lambda *a: tc(
            *a,
            lambda q: q.sum(2).masked_fill(torch.eye(len(q)).bool(), -math.inf).logsumexp(1),
            lambda q: q.masked_fill(torch.eye(len(q)).bool()[:, :, None], -math.inf).logsumexp(1),
        ),
        "leaves out the own example",
    ),
    correlation_case("means for z", lambda z, mu, v, n: tc(mu, mu, v, n) + 0 * z.sum(), "densities at the means"),
    correlation_case("exponentials", tc_by_loops, "an infinite number"),
    correlation_case(
        "of the batch's covariance",
        lambda z, mu, v, n: (0.5 * (torch.cov(z.T).diagonal().log().sum() - torch.logdet(torch.cov(z.T)))).expand(
            len(z)
        ),
        "measures the correlation of the z of the minibatch",
    ),
    correlation_case(
        "log M in log q(z)", lambda *a: tc(*a) + math.log(a[3]), "subtracts log M from log q(z) and log(NM) from the"
    ),
    correlation_case(
        "a variance of its own", tc_own_variance, "takes the variance of the example that z"
    ),
    correlation_case("M - 1", lambda *a: tc(*a, logs=lambda n, m: math.log(n * max(m - 1, 1))), "divides by N(M − 1)"),
    correlation_case(
        "a small number", lambda *a: tc(
            *a, lambda q: (q.sum(2).exp().sum(1) / (a[3] * len(a[0])) + 1e-8).log(),
            lambda q: (q.exp().sum(1) / (a[3] * len(a[0])) + 1e-8).log(), lambda n, m: 0.0,
        ),
        "adds 1e-08 inside the logarithms",
    ),
    correlation_case(
        "densities added up", lambda *a: tc(*a, lambda q: q.logsumexp(2).logsumexp(1)), "adds up the densities of the"
    ),
    correlation_case(
        "no axis of pairs", lambda z, mu, v, n: (
            Normal(mu, (0.5 * v).exp()).log_prob(z).sum(1) - math.log(n)
            - (Normal(mu, (0.5 * v).exp()).log_prob(z) - math.log(n)).sum(1)
        ),
        "multiplied by 1.5: it cancels, or is not used",
    ),
    correlation_case(
        "log-variances cut at 2", lambda z, mu, v, n: tc(z, mu, v.clamp(-2, 2), n), "For narrow and wide posteriors"
    ),
    correlation_case("KL", lambda z, mu, v, n: log_normal(z, mu, v) - log_normal(z, 0 * mu, 0 * v), "the KL itself"),
]  # fmt: skip
CORRECT += CORRELATIONS_RIGHT
WRONG += CORRELATIONS_WRONG
# Bounds with conditions: fn(model, x, seen, y, eps), whose label y may be unknown and whose entries may be missing.


def m2_bound(model, x, seen, y, eps, xy=lambda a, y: torch.cat([a, y], 1), zy=lambda a, y: torch.cat([a, y], 1)):
    """As a learner writes it, class by class: L(x, y) of every class, shape (B, C)."""
    columns = []
    for k in range(y.size(1)):
        label = torch.zeros_like(y)
        label[:, k] = 1
        mu, logvar = model.encode(xy(x, label)).chunk(2, dim=1)
        mu_p, logvar_p = model.prior(label).chunk(2, dim=1)
        logits = model.decode(zy(mu + torch.exp(logvar / 2) * eps, label))
        bce = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
        kld = 0.5 * (logvar_p - logvar + (logvar.exp() + (mu - mu_p) ** 2) / logvar_p.exp() - 1)
        columns.append(-(bce * seen).sum(1) - kld.sum(1) - math.log(y.size(1)))
    return torch.stack(columns, 1)


def m2_joined(L, model, x, y, weights=lambda log_q: log_q.exp(), entropy=lambda log_q: -(log_q.exp() * log_q).sum(1)):
    log_q = F.log_softmax(model.classify(x), 1)
    unknown = (weights(log_q) * L).sum(1) + entropy(log_q)
    return torch.where(y.sum(1) > 0, (y * L).sum(1), unknown)


def m2(model, x, seen, y, eps, **ways):
    return m2_joined(m2_bound(model, x, seen, y, eps), model, x, y, **ways)


def m2_repeated(model, x, seen, y, eps, fold=lambda t, B, C: t.view(C, B).t(), tile=lambda t, C: t.repeat(C, 1)):
    """All classes in one batch, as many ports have it: class by class, (C·B) rows."""
    B, C = y.shape
    labels = torch.eye(C).repeat_interleave(B, dim=0)
    xs = tile(x, C)
    mu, logvar = model.encode(torch.cat((xs, labels), dim=1)).chunk(2, dim=1)
    q, p = Normal(mu, logvar.mul(0.5).exp()), model.prior(labels).chunk(2, dim=1)
    logits = model.decode(torch.cat((q.mean + q.stddev * eps.repeat(C, 1), labels), dim=1))
    log_p = (tile(seen, C) * Bernoulli(logits=logits).log_prob(xs)).sum(1)
    L = log_p - kl_divergence(q, Normal(p[0], p[1].mul(0.5).exp())).sum(1) - math.log(C)
    return m2_joined(fold(L, B, C), model, x, y)


def m2_row_by_row(model, x, seen, y, eps):
    return torch.cat([m2(model, *(t[i : i + 1] for t in (x, seen, y, eps))) for i in range(len(x))])


def m2_kl_of_both(model, x, seen, y, eps):
    """KL of the label from the uniform distribution, in the place of entropy and log p(y)."""
    C = y.size(1)
    L = m2_bound(model, x, seen, y, eps) + math.log(C)
    known = y.sum(1, keepdim=True) == 1
    q = torch.where(known, y, F.softmax(model.classify(x), 1))
    kl_y = torch.where(known, y * math.log(C), q * (F.log_softmax(model.classify(x), 1) + math.log(C)))
    return (q * L - kl_y).sum(1)


def m2_apart(model, x, seen, y, eps):
    """Known and unknown rows apart, each put back in its place."""
    known = y.any(1)
    bound = x.new_zeros(len(x))
    if known.any():
        label = y[known]
        mu, logvar = model.encode(torch.hstack([x[known], label])).tensor_split(2, 1)
        q, prior = Normal(mu, logvar.exp().sqrt()), model.prior(label).tensor_split(2, 1)
        logits = model.decode(torch.hstack([q.loc + q.scale * eps[known], label]))
        log_p = torch.where(seen[known] == 1, F.logsigmoid((2 * x[known] - 1) * logits), 0.0).sum(1)
        kl = kl_divergence(q, Normal(prior[0], prior[1].exp().sqrt())).sum(1)
        bound = bound.index_put((known.nonzero()[:, 0],), log_p - kl - math.log(y.shape[1]))
    if not known.all():
        rows = [t[~known] for t in (x, seen, y, eps)]
        log_q = Categorical(logits=model.classify(rows[0]))
        U = (log_q.probs * m2_bound(model, *rows)).sum(1) + log_q.entropy()
        bound = bound.index_put(((~known).nonzero()[:, 0],), U)
    return bound


def m2_with(**ways):
    return lambda model, x, seen, y, eps: m2_joined(m2_bound(model, x, seen, y, eps, **ways), model, x, y)


def m2_joined_by(**ways):
    return lambda *given: m2(*given, **ways)


def m2_shifted(shift):
    """Right but for a number that is added, a function of log q, y and the number of classes."""
    return lambda model, x, seen, y, eps: (
        m2(model, x, seen, y, eps) + shift(F.log_softmax(model.classify(x), 1), y, y.sum(1) == 1)
    )


def m2_standard_kl(model, x, seen, y, eps):
    """The KL of Kingma and Welling's appendix, from N(0, I)."""

    class Standard(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.classify, self.encode, self.decode = model.classify, model.encode, model.decode

        def prior(self, label):
            return label.new_zeros(len(label), 2 * eps.size(1))

    return m2(Standard(), x, seen, y, eps)


def hidden(a, y):
    return torch.cat([a, 0 * y], 1)


def before(a, y):
    return torch.cat([y, a], 1)


def from_one(a, y):
    return torch.cat([a, torch.cat([y[:, -1:], y[:, :-1]], 1)], 1)


class Networks(torch.nn.Module):
    """The four networks, some of them exchanged."""

    def __init__(self, model, **others):
        super().__init__()
        for name in ("classify", "encode", "decode", "prior"):
            setattr(self, name, others.get(name, getattr(model, name)))


class Through(torch.nn.Module):
    """A network whose output another function changes, ``after(output, input)``."""

    def __init__(self, network, after):
        super().__init__()
        self.network, self.after = network, after

    def forward(self, rows):
        return self.after(self.network(rows), rows)


def m2_swapped(name):
    """Mean and log-variance exchanged."""
    return lambda model, *given: m2(
        Networks(model, **{name: Through(getattr(model, name), lambda out, _: torch.cat(out.chunk(2, 1)[::-1], 1))}),
        *given,
    )


def m2_masked(model, x, seen, y, eps):
    decode = Through(model.decode, lambda logits, _: logits * seen)
    return m2(Networks(model, decode=decode), x, torch.ones_like(seen), y, eps)


def m2_given(network):
    """As ports in which one forgot the loop's class: the batch's own y, zeros where unknown."""

    def label(which, own, y):
        return y if which == network else own

    def bound(model, x, seen, y, eps):
        columns = []
        for own in torch.eye(y.size(1)).to(y):
            own = own.repeat(len(y), 1)
            mu, logvar = model.encode(torch.cat([x, label("encoder", own, y)], 1)).chunk(2, 1)
            q = Normal(mu, (0.5 * logvar).exp())
            mu_p, logvar_p = model.prior(label("prior", own, y)).chunk(2, 1)
            logits = model.decode(torch.cat([q.loc + q.scale * eps, label("decoder", own, y)], 1))
            log_p = (Bernoulli(logits=logits).log_prob(x) * seen).sum(1)
            columns.append(log_p - kl_divergence(q, Normal(mu_p, (0.5 * logvar_p).exp())).sum(1) - math.log(y.size(1)))
        return m2_joined(torch.stack(columns, 1), model, x, y)

    return bound


def m2_soft(model, x, seen, y, eps):
    """Where the label is unknown, one pass with the classifier's probabilities."""
    known = y.sum(1) > 0
    law = Categorical(logits=model.classify(x))
    label = torch.where(known[:, None], y, law.probs)
    mu, logvar = model.encode(torch.cat([x, label], 1)).chunk(2, 1)
    q, (mu_p, logvar_p) = Normal(mu, (0.5 * logvar).exp()), model.prior(label).chunk(2, 1)
    log_p = (Bernoulli(logits=model.decode(torch.cat([q.loc + q.scale * eps, label], 1))).log_prob(x) * seen).sum(1)
    bound = log_p - kl_divergence(q, Normal(mu_p, (0.5 * logvar_p).exp())).sum(1) - math.log(y.size(1))
    return torch.where(known, bound, bound + law.entropy())


def m2_sigmoid(L, logits):
    q = torch.sigmoid(logits)
    return (q * (L - q.log())).sum(1)


def m2_other_kl(kl):
    """Class by class, the KL exchanged: ``kl(q, p, z)``, shape (B, L)."""

    def bound(model, x, seen, y, eps):
        columns = []
        for k in range(y.size(1)):
            label = F.one_hot(torch.full((len(y),), k), y.size(1)).to(x)
            mu, logvar = model.encode(torch.cat([x, label], 1)).chunk(2, 1)
            mu_p, logvar_p = model.prior(label).chunk(2, 1)
            q, p = Normal(mu, (0.5 * logvar).exp()), Normal(mu_p, (0.5 * logvar_p).exp())
            logits = model.decode(torch.cat([q.loc + q.scale * eps, label], 1))
            log_p = (Bernoulli(logits=logits).log_prob(x) * seen).sum(1)
            columns.append(log_p - kl(q, p, q.loc + q.scale * eps) - math.log(y.size(1)))
        return m2_joined(torch.stack(columns, 1), model, x, y)

    return bound


m2_kl_sampled = m2_other_kl(lambda q, p, z: (q.log_prob(z) - p.log_prob(z)).sum(1))
m2_kl_averaged = m2_other_kl(lambda q, p, z: kl_divergence(q, p).mean(1))


def conditional_case(name, fn, named=""):
    return Case(f"conditional: {name}", check_conditional_elbo, fn, named)


CONDITIONAL_RIGHT = [
    conditional_case("class by class", m2),
    conditional_case("all classes in one batch", m2_repeated),
    conditional_case("row by row", m2_row_by_row),
    conditional_case("KL of both latent variables", m2_kl_of_both),
    conditional_case("known and unknown apart", m2_apart),
]

CONDITIONAL_WRONG = [
    conditional_case("decoder without label", m2_with(zy=hidden), "does not give the label to the decoder"),
    conditional_case("encoder without label", m2_with(xy=hidden), "does not give the label to the encoder"),
    *(
        conditional_case(f"{name} of y as it came", m2_given(name), f"gives the {name} y as it came")
        for name in ("encoder", "decoder", "prior")
    ),
    conditional_case(
        "probabilities for a label", m2_soft, "gives the networks the probabilities q(y | x) as a label"
    ),
    conditional_case(
        "logits for log q", lambda model, x, seen, y, eps: torch.where(
            y.sum(1) > 0, m2(model, x, seen, y, eps),
            (model.classify(x).exp() * (m2_bound(model, x, seen, y, eps) - model.classify(x))).sum(1),
        ),
        "takes what classify(x) gives for log q(y | x)",
    ),
    conditional_case(
        "sigmoid for softmax", lambda model, x, seen, y, eps: torch.where(
            y.sum(1) > 0, m2(model, x, seen, y, eps), m2_sigmoid(m2_bound(model, x, seen, y, eps), model.classify(x))
        ),
        "takes a sigmoid of each logit",
    ),
    conditional_case(
        "q detached", m2_joined_by(weights=lambda log_q: log_q.exp().detach()), "detaches the weights q(y | x)"
    ),
    conditional_case(
        "log of the mean", lambda model, x, seen, y, eps: torch.where(
            y.sum(1) > 0, m2(model, x, seen, y, eps),
            (m2_bound(model, x, seen, y, eps).exp() * F.softmax(model.classify(x), 1)).sum(1).log(),
        ),
        "takes log Σ q(y | x) exp L(x, y)",
    ),
    conditional_case("logits masked", m2_masked, "multiplies the logits by seen"),
    conditional_case("KL at one z", m2_kl_sampled, "samples the KL by log q(z) − log p(z)"),
    conditional_case("KL averaged", m2_kl_averaged, "averages the KL over the latent dimensions"),
    conditional_case("log-variance first", m2_swapped("encode"), "takes the encoder's first half for the log-variance"),
    conditional_case("prior's too", m2_swapped("prior"), "takes the prior's first half for the log-variance"),
    conditional_case("KL from N(0, I)", m2_standard_kl, "takes the KL from N(0, I)"),
    conditional_case("label first in the encoder", m2_with(xy=before), "puts the label before x"),
    conditional_case("label first in the decoder", m2_with(zy=before), "puts the label before z"),
    conditional_case("classes from 1, decoder", m2_with(zy=from_one), "gives the decoder the one-hot of another class"),
    conditional_case("classes from 1, encoder", m2_with(xy=from_one), "gives the encoder the one-hot of another class"),
    conditional_case("no entropy", m2_joined_by(entropy=lambda log_q: 0.0), "lacks the entropy of q(y | x)"),
    conditional_case(
        "entropy subtracted", m2_joined_by(entropy=lambda log_q: (log_q.exp() * log_q).sum(1)),
        "subtracts the entropy of q(y | x)",
    ),
    conditional_case(
        "no log K", m2_shifted(lambda log_q, y, known: math.log(y.size(1))), "lacks log p(y) = −log C"
    ),
    conditional_case(
        "no log K where unknown", m2_shifted(lambda log_q, y, known: ~known * math.log(y.size(1))),
        "lacks log p(y) where the label is not known",
    ),
    conditional_case(
        "p(y) for q(y|x)", m2_joined_by(weights=lambda log_q: torch.ones_like(log_q) / log_q.size(1)),
        "averages over classes with p(y) = 1/C, where q(y | x) belongs",
    ),
    conditional_case(
        "unweighted sum", m2_joined_by(weights=torch.ones_like), "sums over the classes without the weights q(y | x)"
    ),
    conditional_case(
        "cross-entropy in the bound", m2_shifted(lambda log_q, y, known: (y * log_q).sum(1)),
        "counts log q(y | x) of known labels",
    ),
    conditional_case(
        "cross-entropy with the other sign", m2_shifted(lambda log_q, y, known: -(y * log_q).sum(1)),
        "subtracts log q(y | x) of known labels",
    ),
    conditional_case(
        "missing entries counted", lambda model, x, seen, y, eps: m2(model, x, torch.ones_like(seen), y, eps),
        "sums over missing entries, too",
    ),
    conditional_case(
        "flags the wrong way round", lambda model, x, seen, y, eps: m2(model, x, 1 - seen, y, eps),
        "sums over the missing entries alone",
    ),
    conditional_case("folded as (B, C)", lambda *given: m2_repeated(*given, fold=lambda t, B, C: t.view(B, C)),
                     "reads the classes of one example out of those of others"),
    conditional_case(
        "best class only", lambda model, x, seen, y, eps: m2(
            model, x, seen, y, eps, weights=lambda log_q: F.one_hot(log_q.argmax(1), log_q.size(1)),
            entropy=lambda log_q: 0.0,
        ),
        "takes only the most probable class",
    ),
    conditional_case(
        "logsumexp over classes", lambda model, x, seen, y, eps: torch.where(
            y.sum(1) > 0, m2(model, x, seen, y, eps), m2_bound(model, x, seen, y, eps).logsumexp(1)
        ),
        "takes log Σ exp L(x, y)",
    ),
    conditional_case(
        "labels ignored", lambda model, x, seen, y, eps: m2(model, x, seen, 0 * y, eps), "takes no notice of known"
    ),
    conditional_case("the loss", lambda *given: -m2(*given), "has the opposite sign"),
    conditional_case("batch mean", lambda *given: m2(*given).mean(), "is averaged over the batch"),
    conditional_case(
        "σ² for σ", lambda model, x, seen, y, eps: m2_squared(model, x, seen, y, eps), "the variance stands where"
    ),
]  # fmt: skip


def m2_squared(model, x, seen, y, eps):
    """Scaled by the variance: the noise is multiplied by σ once more, class by class."""
    columns = []
    for k in range(y.size(1)):
        label = F.one_hot(torch.full((len(y),), k), y.size(1)).to(x)
        sd = (0.5 * model.encode(torch.cat([x, label], 1)).chunk(2, 1)[1]).exp()
        columns.append(m2_bound(model, x, seen, y, sd * eps)[:, k])
    return m2_joined(torch.stack(columns, 1), model, x, y)


CORRECT += CONDITIONAL_RIGHT
WRONG += CONDITIONAL_WRONG


def discriminator(logits_q, logits_p):
    bce = F.binary_cross_entropy_with_logits
    return bce(logits_q, torch.ones_like(logits_q)) + bce(logits_p, torch.zeros_like(logits_p))


def discriminator_by_loops(logits_q, logits_p):
    total = 0.0
    for logit in logits_q:
        total = total + torch.log1p(torch.exp(-logit.abs())) + torch.relu(-logit)
    other = 0.0
    for logit in logits_p:
        other = other + torch.logaddexp(logit, torch.zeros_like(logit))
    return total / len(logits_q) + other / len(logits_p)


def discriminator_two_classes(logits_q, logits_p):
    """As a softmax over two classes, the second of which has the logit."""
    rows = torch.cat([logits_q, logits_p])
    labels = torch.tensor([1] * len(logits_q) + [0] * len(logits_p))
    losses = F.cross_entropy(torch.stack([torch.zeros_like(rows), rows], 1), labels, reduction="none")
    return losses[: len(logits_q)].mean() + losses[len(logits_q) :].mean()


def discriminator_weighted(logits_q, logits_p):
    """One weighted sum over both batches."""
    rows = torch.cat([logits_q, logits_p])
    labels = torch.cat([torch.ones_like(logits_q), torch.zeros_like(logits_p)])
    weight = labels / len(logits_q) + (1 - labels) / len(logits_p)
    return F.binary_cross_entropy_with_logits(rows, labels, weight, reduction="sum")


def of_probabilities(of_q, of_p):
    """From the probabilities of the label 1."""
    return lambda logits_q, logits_p: of_q(torch.sigmoid(logits_q)) + of_p(torch.sigmoid(logits_p))


def ones_for_both(logits_q, logits_p):
    bce = F.binary_cross_entropy_with_logits
    return bce(logits_q, torch.ones_like(logits_q)) + bce(logits_p, torch.ones_like(logits_p))


def of_all_at_once(logits_q, logits_p):
    logits, labels = torch.cat([logits_q, logits_p]), torch.cat([logits_q * 0 + 1, logits_p * 0])
    return F.binary_cross_entropy_with_logits(logits, labels)


def discriminator_case(name, fn, named=""):
    return Case(f"discriminator: {name}", check_density_ratio, fn, named)


DISCRIMINATORS_RIGHT = [
    discriminator_case("binary cross-entropy", discriminator),
    discriminator_case("by loops", discriminator_by_loops),
    discriminator_case("two classes", discriminator_two_classes),
    discriminator_case("weighted", discriminator_weighted),
    discriminator_case("logsigmoid", lambda q, p: -F.logsigmoid(q).mean() - F.logsigmoid(-p).mean()),
    discriminator_case("float32", in_float32(discriminator)),
]

DISCRIMINATORS_WRONG = [
    discriminator_case("labels exchanged", lambda q, p: discriminator(p, q), "has the labels exchanged"),
    discriminator_case("sign of the logits", lambda q, p: discriminator(-q, -p), "or the sign of the logit"),
    discriminator_case("ones for both", ones_for_both, "gives both batches the label 1"),
    discriminator_case("maximized", lambda q, p: F.logsigmoid(q).mean() + F.logsigmoid(-p).mean(), "opposite sign"),
    discriminator_case("half", lambda q, p: (discriminator(q, p)) / 2, "is half the loss"),
    discriminator_case("one mean", of_all_at_once, "takes one mean over both batches"),
    discriminator_case(
        "sums", lambda q, p: -F.logsigmoid(q).sum() - F.logsigmoid(-p).sum(), "sums over the batches"
    ),
    discriminator_case(
        "sigmoid twice", lambda q, p: discriminator(q.sigmoid(), p.sigmoid()), "applies the sigmoid twice"
    ),
    discriminator_case(
        "mean probability", of_probabilities(lambda s: -s.mean().log(), lambda s: -(1 - s).mean().log()),
        "the logarithm of the mean probability",
    ),
    discriminator_case(
        "mean logit", lambda q, p: discriminator(q.mean(), p.mean()), "takes the mean of the logits first"
    ),
    discriminator_case("draws from q alone", lambda q, p: F.softplus(-q).mean(), "lacks the draws from p"),
    discriminator_case(
        "the encoder's", lambda q, p: -torch.log(1 - q.sigmoid()).mean(), "is the loss of the encoder, −log(1 − s)"
    ),
    discriminator_case("the encoder's, saturating", lambda q, p: q.sigmoid().log().mean(), "saturating loss"),
    discriminator_case("minus", lambda q, p: -F.logsigmoid(q).mean() + F.logsigmoid(-p).mean(), "subtracts the term"),
    discriminator_case("least squares", lambda q, p: F.mse_loss(q, q * 0 + 1) + F.mse_loss(p, p * 0), "least squares"),
    discriminator_case("a critic", lambda q, p: p.mean() - q.mean(), "is a difference of means"),
    discriminator_case("hinge", lambda q, p: (1 - q).clamp(min=0).mean() + (1 + p).clamp(min=0).mean(), "hinge loss"),
    discriminator_case("smoothed", lambda q, p: (
        F.binary_cross_entropy_with_logits(q, torch.full_like(q, 0.9)) + F.softplus(p).mean()
    ), "smooths the label of q"),
    discriminator_case("detached", lambda q, p: discriminator(q.detach(), p), "no gradient to the logits of q"),
    discriminator_case(
        "logarithms that overflow", of_probabilities(lambda s: -s.log().mean(), lambda s: -(1 - s).log().mean()),
        "infinite number",
    ),
    discriminator_case(
        "log(1 + exp)", lambda q, p: (1 + (-q).exp()).log().mean() + (1 + p.exp()).log().mean(), "infinite number"
    ),
    discriminator_case("twice one mean", lambda q, p: 2 * of_all_at_once(q, p), "and doubles it"),
    discriminator_case(
        "both by n", lambda q, p: -(F.logsigmoid(q).sum() + F.logsigmoid(-p).sum()) / len(q), "divides both sums by N"
    ),
    discriminator_case("one value an example", lambda q, p: F.softplus(-q), "shape"),
]  # fmt: skip
CORRECT += DISCRIMINATORS_RIGHT
WRONG += DISCRIMINATORS_WRONG


def gram(x, y, h):
    return torch.exp(-0.5 * (torch.cdist(x, y) / h) ** 2)


def mmd_textbook(x, y, h):
    n, m = len(x), len(y)
    kx, ky, kxy = gram(x, x, h), gram(y, y, h), gram(x, y, h)
    kx, ky = kx * (1 - torch.eye(n)), ky * (1 - torch.eye(m))
    return kx.sum() / (n * (n - 1)) + ky.sum() / (m * (m - 1)) - 2 * kxy.mean()


def mmd_expanded(x, y, h):
    """All draws in one matrix of kernels, by ‖x‖² − 2 x·y + ‖y‖²."""
    z, n = torch.cat([x, y]), len(x)
    m = len(z) - n
    dots = z @ z.T
    k = torch.exp(-(dots.diag()[:, None] - 2 * dots + dots.diag()) / 2 / h / h)
    k = k.masked_fill(torch.eye(n + m, dtype=torch.bool), 0.0)
    return k[:n, :n].sum() / n / (n - 1) + k[n:, n:].sum() / m / (m - 1) - (k[:n, n:].mean() + k[n:, :n].mean())


def mmd_by_loops(x, y, h):
    def mean(pairs):
        return sum(torch.exp(-((a - b) ** 2).sum() / (2 * h**2)) for a, b in pairs) / len(pairs)

    def others(z):
        return mean([(z[i], z[j]) for i in range(len(z)) for j in range(i)])

    return others(x) + others(y) - 2 * mean([(a, b) for a in x for b in y])


def mmd_of_pairs(x, y, h):
    """The upper triangle, by pdist."""

    def others(z):
        return torch.exp(-F.pdist(z).pow(2) / (2 * h**2)).mean()

    return others(x) + others(y) - 2 * torch.exp(-((x.unsqueeze(1) - y.unsqueeze(0)) ** 2).sum(2) / (2 * h**2)).mean()


def mmd(within=lambda k: (k.sum() - k.diag().sum()) / (len(k) * (len(k) - 1)), k=gram, cross=2):
    """Right but for the mean within a set, the kernel, or the weight of the cross term."""
    return lambda x, y, h: within(k(x, x, h)) + within(k(y, y, h)) - cross * k(x, y, h).mean()


def d2(x, y):
    return (x[:, None] - y[None]).pow(2).sum(2)


def mmd_case(name, fn, named=""):
    return Case(f"MMD: {name}", check_mmd, fn, named)


MMDS_RIGHT = [
    mmd_case("textbook", mmd_textbook),
    mmd_case("expanded distance", mmd_expanded),
    mmd_case("by loops", mmd_by_loops),
    mmd_case("pdist", mmd_of_pairs),
    mmd_case("float32", lambda x, y, h: mmd()(x.float(), y.float(), h)),
]

MMDS_WRONG = [
    mmd_case("with the diagonal", mmd(lambda k: k.mean()), "this is the V-statistic"),
    mmd_case(
        "diagonal dropped, 1/n²", mmd(lambda k: (k * (1 - torch.eye(len(k)))).mean()),
        "drops the diagonal and divides by N²",
    ),
    mmd_case(
        "diagonal kept, 1/(n(n − 1))", mmd(lambda k: k.sum() / (len(k) ** 2 - len(k))),
        "keeps the diagonal and divides by N(N − 1)",
    ),
    mmd_case(
        "upper triangle", mmd(lambda k: k.triu(1).sum() / (len(k) * (len(k) - 1))), "counts each pair of a set once"
    ),
    mmd_case("cross term once", mmd(cross=1), "takes the cross term once"),
    mmd_case("cross term added", mmd(cross=-2), "adds the cross term"),
    mmd_case("cross term by n²", lambda x, y, h: (
        mmd(cross=0)(x, y, h) - 2 * gram(x, y, h).sum() / len(x) ** 2
    ), "divides the cross term by N²"),
    mmd_case("exp(−d²/h)", mmd(k=lambda x, y, h: torch.exp(-d2(x, y) / h)), "divides ‖x − y‖² by h,"),
    mmd_case("exp(−d²/h²)", mmd(k=lambda x, y, h: torch.exp(-d2(x, y) / h**2)), "divides ‖x − y‖² by h²"),
    mmd_case("exp(−d²/2h)", mmd(k=lambda x, y, h: torch.exp(-d2(x, y) / (2 * h))), "divides ‖x − y‖² by 2h,"),
    mmd_case("exp(−2h² d²)", mmd(k=lambda x, y, h: torch.exp(-2 * h**2 * d2(x, y))), "multiplies ‖x − y‖² by 2h²"),
    mmd_case("exp(−h d²)", mmd(k=lambda x, y, h: torch.exp(-h * d2(x, y))), "as if the bandwidth were the γ"),
    mmd_case("h = 1", lambda x, y, h: mmd()(x, y, 1.0), "does not use the bandwidth"),
    mmd_case("mean over dimensions", mmd(k=lambda x, y, h: (
        torch.exp(-(x[:, None] - y).pow(2).mean(-1) / (2 * h * h))
    )), "averages the squares over the dimensions"),
    mmd_case("kernel of each dimension", mmd(k=lambda x, y, h: (
        torch.exp(-(x[:, None] - y).pow(2) / (2 * h * h)).sum(-1)
    )), "adds up a kernel for each dimension"),
    mmd_case("inverse multiquadratic", mmd(k=lambda x, y, h: 2 * h**2 / (2 * h**2 + d2(x, y))), "multiquadratic"),
    mmd_case("means alone", mmd(k=lambda x, y, h: x @ y.T), "compares the means alone"),
    mmd_case("root", lambda x, y, h: mmd()(x, y, h).abs() ** 0.5, "takes the root"),
    mmd_case("clipped", lambda x, y, h: torch.relu(mmd()(x, y, h)), "clips the estimate at 0"),
    mmd_case("sums of pairs", lambda x, y, h: (
        gram(x, x, h).sum() - len(x) + gram(y, y, h).sum() - len(y) - 2 * gram(x, y, h).sum()
    ), "sums over pairs"),
    mmd_case("without y", lambda x, y, h: (
        (gram(x, x, h).sum() - len(x)) / (len(x) ** 2 - len(x)) - 2 * gram(x, y, h).mean()
    ), "lacks the term of y alone"),
    mmd_case("without x", lambda x, y, h: (
        (gram(y, y, h).sum() - len(y)) / (len(y) ** 2 - len(y)) - 2 * gram(x, y, h).mean()
    ), "lacks the term of x alone"),
    mmd_case("exp(+d²/2h²)", mmd(k=lambda x, y, h: torch.exp(d2(x, y) / (2 * h * h))), "lacks the minus sign"),
    mmd_case("both by n(n − 1)", lambda x, y, h: (
        gram(x, x, h).sum() - len(x) + gram(y, y, h).sum() - len(y)
    ) / (len(x) ** 2 - len(x)) - 2 * gram(x, y, h).mean(), "divides the pairs within y by N(N − 1)"),
    mmd_case("cross term off the diagonal", lambda x, y, h: mmd(cross=0)(x, y, h) - 2 * gram(x, y, h)[
        ~torch.eye(len(x), len(y), dtype=torch.bool)
    ].mean(), "drops the diagonal of the cross term"),
    mmd_case("root of the clipped", lambda x, y, h: mmd()(x, y, h).clamp(min=1e-12).sqrt(), "root of it, clipped"),
    mmd_case("detached", lambda x, y, h: mmd()(x.detach(), y, h), "passes no gradient to x"),
]  # fmt: skip
CORRECT += MMDS_RIGHT
WRONG += MMDS_WRONG


# Kalman filters: fn(x, A, C, Q, R, m0, P0) gives means, covariances and log p(x) of one sequence.


def filter_textbook(x, A, C, Q, R, m0, P0):
    m, P, means, covs, log_p = m0, P0, [], [], 0.0
    for t in range(len(x)):
        if t > 0:
            m, P = A @ m, A @ P @ A.T + Q
        S = C @ P @ C.T + R
        K = P @ C.T @ torch.linalg.inv(S)
        v = x[t] - C @ m
        log_p = log_p - 0.5 * (len(v) * LOG_2PI + torch.logdet(S) + v @ torch.linalg.solve(S, v))
        m, P = m + K @ v, (torch.eye(len(m)) - K @ C) @ P
        means.append(m)
        covs.append(P)
    return torch.stack(means), torch.stack(covs), log_p


def filter_by_information(x, A, C, Q, R, m0, P0):
    """Precisions add up; the likelihood by torch.distributions."""
    precision, means, covs, log_p = torch.linalg.inv(R), [], [], []
    m, P = m0, P0
    for x_t in x:
        predicted = torch.distributions.MultivariateNormal(C @ m, C @ P @ C.T + R)
        log_p.append(predicted.log_prob(x_t))
        before = torch.linalg.inv(P)
        P = torch.linalg.inv(before + C.T @ precision @ C)
        m = P @ (before @ m + C.T @ precision @ x_t)
        means.append(m)
        covs.append(P)
        m, P = A @ m, A @ P @ A.T + Q  # for the step to come
    return torch.stack(means), torch.stack(covs), torch.stack(log_p).sum()


def filter_in_numpy(x, A, C, Q, R, m0, P0):
    x, A, C, Q, R, m, P = (np.asarray(given) for given in (x, A, C, Q, R, m0, P0))
    means, covs, log_p = np.zeros((len(x), len(A))), np.zeros((len(x), *A.shape)), 0.0
    for t, x_t in enumerate(x):
        S = C @ P @ C.T + R
        K = np.linalg.solve(S, C @ P).T
        v = x_t - C @ m
        log_p += -0.5 * (np.linalg.slogdet(2 * np.pi * S)[1] + v @ np.linalg.solve(S, v))
        means[t], covs[t] = m + K @ v, P - K @ S @ K.T
        m, P = A @ means[t], A @ covs[t] @ A.T + Q
    return means, covs, np.array(log_p)


def filter_one_number_at_a_time(x, A, C, Q, R, m0, P0):
    """Where R's axes are turned to be independent, each number of x is an update of its own."""
    variances, turn = torch.linalg.eigh(R)
    C, x = turn.T @ C, x @ turn
    m, P, means, covs, log_p = m0, P0, [], [], 0.0
    for t, x_t in enumerate(x):
        if t:
            m, P = A @ m, A @ P @ A.T + Q
        for number, c, r in zip(x_t, C, variances, strict=True):
            s = c @ P @ c + r
            log_p = log_p + torch.distributions.Normal(c @ m, s.sqrt()).log_prob(number)
            m, P = m + P @ c * (number - c @ m) / s, P - torch.outer(P @ c, P @ c) / s
        means.append(m)
        covs.append(P)
    return torch.stack(means), torch.stack(covs), log_p


def filter_by_square_roots(x, A, C, Q, R, m0, P0):
    """No covariance is ever formed but for the answer: a QR decomposition turns all roots into those of S and P_t."""
    D, L = C.shape
    m, root, means, covs, log_p = m0, torch.linalg.cholesky(P0), [], [], 0.0
    for t, x_t in enumerate(x):
        if t:
            m, root = A @ m, torch.linalg.qr(torch.cat([A @ root, torch.linalg.cholesky(Q)], 1).T).R.T
        blocks = torch.cat([
            torch.cat([torch.linalg.cholesky(R), C @ root], 1), torch.cat([root.new_zeros(L, D), root], 1)
        ])  # fmt: skip
        found = torch.linalg.qr(blocks.T).R.T
        of_S, e = found[:D, :D], torch.linalg.solve(found[:D, :D], x_t - C @ m)
        log_p = log_p - 0.5 * (e @ e + D * LOG_2PI) - of_S.diagonal().abs().log().sum()
        m, root = m + found[D:, :D] @ e, found[D:, D:]
        means.append(m)
        covs.append(root @ root.T)
    return torch.stack(means), torch.stack(covs), log_p


def filter_with(predict=None, update=None, log_p=None, start=lambda m, P, A, Q: (m, P), after=lambda m, P, *_: (m, P)):
    """Right but for a step."""
    predict = predict or (lambda m, P, A, Q: (A @ m, A @ P @ A.T + Q))

    def right_update(m, P, v, S, C, R):
        K = P @ C.T @ torch.linalg.inv(S)
        return m + K @ v, P - K @ C @ P

    def right_log_p(v, S, R):
        return -0.5 * (v @ torch.linalg.solve(S, v) + torch.linalg.slogdet(S)[1] + len(v) * LOG_2PI)

    def fn(x, A, C, Q, R, m0, P0):
        m, P = start(m0, P0, A, Q)
        means, covs, total = [], [], 0.0
        for t, x_t in enumerate(x):
            if t:
                m, P = predict(m, P, A, Q)
            S, v = C @ P @ C.T + R, x_t - C @ m
            total = total + (log_p or right_log_p)(v, S, R)
            m, P = (update or right_update)(m, P, v, S, C, R)
            means.append(m)
            covs.append(P)
        return torch.stack(means), torch.stack(covs), total

    return fn


def gain(K=lambda P, C, S: P @ C.T @ torch.linalg.inv(S), cov=lambda P, K, C: P - K @ C @ P, sign=1):
    return filter_with(update=lambda m, P, v, S, C, R: (m + sign * K(P, C, S) @ v, cov(P, K(P, C, S), C)))


def quad(v, S):
    return v @ torch.linalg.inv(S) @ v


def filter_smoothed(x, A, C, Q, R, m0, P0):
    found = [*filter_textbook(x, A, C, Q, R, m0, P0)]
    means, covs = [part.clone() for part in found[:2]]
    for t in range(len(x) - 2, -1, -1):
        ahead = A @ covs[t] @ A.T + Q
        J = covs[t] @ A.T @ torch.linalg.inv(ahead)
        means[t] += J @ (means[t + 1] - A @ means[t])
        covs[t] += J @ (covs[t + 1] - ahead) @ J.T
    return means, covs, found[2]


def filter_diagonal(x, A, C, Q, R, m0, P0):
    def of_diagonal(v, S, R):
        return torch.distributions.Normal(0.0, S.diagonal().sqrt()).log_prob(v).sum()

    def update(m, P, v, S, C, R):
        K = P @ C.T / S.diagonal()
        return m + K @ v, P - K @ C @ P

    return filter_with(update=update, log_p=of_diagonal)(x, A, C, Q, R, m0, P0)


def filter_case(name, fn, named=""):
    return Case(f"filter: {name}", check_filter, fn, named)


FILTERS_RIGHT = [
    filter_case("textbook", filter_textbook),
    filter_case("by information", filter_by_information),
    filter_case("NumPy", filter_in_numpy),
    filter_case("one number at a time", filter_one_number_at_a_time),
    filter_case("square roots", filter_by_square_roots),
    filter_case("float32 inside", lambda *given: tuple(part.double() for part in filter_with()(
        *(argument.float() for argument in given)
    ))),
    filter_case("parameters of its own", lambda x, *system: filter_textbook(
        x, *(torch.nn.Parameter(part.clone()) for part in system)
    )),
    filter_case("a list, a float", lambda *given: [*filter_textbook(*given)[:2], float(filter_textbook(*given)[2])]),
]  # fmt: skip

FILTERS_WRONG = [
    filter_case("no prediction", filter_with(predict=lambda m, P, A, Q: (m, P)), "never predicts"),
    filter_case("mean not moved", filter_with(predict=lambda m, P, A, Q: (m, A @ P @ A.T + Q)), "not move the mean"),
    filter_case("no Q", filter_with(predict=lambda m, P, A, Q: (A @ m, A @ P @ A.T)), "lacks Q in the prediction"),
    filter_case("Aᵀ P A", filter_with(predict=lambda m, P, A, Q: (A @ m, A.T @ P @ A + Q)), "by Aᵀ P A + Q"),
    filter_case("A P A", filter_with(predict=lambda m, P, A, Q: (A @ m, A @ P @ A + Q)), "second A must be transposed"),
    filter_case("m A", filter_with(predict=lambda m, P, A, Q: (m @ A, A @ P @ A.T + Q)), "moves the mean by Aᵀ"),
    filter_case(
        "off by one", filter_with(start=lambda m, P, A, Q: (A @ m, A @ P @ A.T + Q)), "predicts before the first x"
    ),
    filter_case("A (P + Q) Aᵀ", filter_with(predict=lambda m, P, A, Q: (A @ m, A @ (P + Q) @ A.T)), "adds Q before"),
    filter_case("P + Q", filter_with(predict=lambda m, P, A, Q: (A @ m, P + Q)), "covariance that it did not move"),
    filter_case("Q alone", filter_with(predict=lambda m, P, A, Q: (A @ m, Q)), "lacks A P Aᵀ in the prediction"),
    filter_case("S's diagonal", filter_diagonal, "keeps the diagonal of S"),
    filter_case("a step too far", lambda x, A, C, Q, R, m0, P0: (
        (found := filter_textbook(x, A, C, Q, R, m0, P0))[0] @ A.mT, A @ found[1] @ A.mT + Q, found[2]
    ), "predicts one step too far"),
    filter_case("precisions", lambda *given: (
        (found := filter_textbook(*given))[0], torch.linalg.inv(found[1]), found[2]
    ), "gives precisions"),
    filter_case("from the end", lambda x, *given: filter_textbook(x.flip(0), *given), "reads x from its end"),
    filter_case("sign", gain(sign=-1), "innovation with the wrong sign"),
    filter_case("no inverse", gain(K=lambda P, C, S: P @ C.T), "lacks S⁻¹ in the gain"),
    filter_case("gain without P", gain(K=lambda P, C, S: C.T @ torch.linalg.inv(S)), "lacks P in the gain"),
    filter_case("P kept", gain(cov=lambda P, K, C: P), "does not update the covariance"),
    filter_case("plus", gain(cov=lambda P, K, C: P + K @ C @ P), "(I + G C) P"),
    filter_case(
        "Joseph without R", gain(cov=lambda P, K, C: (torch.eye(len(P)) - K @ C) @ P @ (torch.eye(len(P)) - K @ C).T),
        "lacks G R Gᵀ",
    ),
    filter_case(
        "no log det", filter_with(log_p=lambda v, S, R: -0.5 * (quad(v, S) + len(v) * LOG_2PI)), "lacks −½ log det"
    ),
    filter_case("whole log det", filter_with(
        log_p=lambda v, S, R: -0.5 * (quad(v, S) + len(v) * LOG_2PI) - torch.logdet(S)
    ), "subtracts log det S whole"),
    filter_case("no 2π", filter_with(log_p=lambda v, S, R: -0.5 * (quad(v, S) + torch.logdet(S))), "lacks −½ log 2π"),
    filter_case("2π once", filter_with(
        log_p=lambda v, S, R: -0.5 * (quad(v, S) + torch.logdet(S) + LOG_2PI)
    ), "once a step"),
    filter_case("no half", filter_with(
        log_p=lambda v, S, R: -quad(v, S) - 0.5 * (torch.logdet(S) + len(v) * LOG_2PI)
    ), "lacks the ½ before the square"),
    filter_case("by R", filter_with(
        log_p=lambda v, S, R: -0.5 * (quad(v, R) + torch.logdet(R) + len(v) * LOG_2PI)
    ), "judges x by R"),
    filter_case("smoother", filter_smoothed, "smooths"),
    filter_case("minus", lambda *given: (*filter_textbook(*given)[:2], -filter_textbook(*given)[2]), "opposite sign"),
    filter_case("mean of steps", lambda x, *given: (
        *filter_textbook(x, *given)[:2], filter_textbook(x, *given)[2] / len(x)
    ), "averages the log-likelihood"),
    filter_case("no R in S", lambda x, A, C, Q, R, m0, P0: filter_textbook(
        x, A, C, Q, 1e-300 * R, m0, P0
    ), ""),
    filter_case("m0 = 0", filter_with(start=lambda m, P, A, Q: (0 * m, P)), "from a mean of 0"),
    filter_case("P0 = I", filter_with(start=lambda m, P, A, Q: (m, torch.eye(len(m)))), "from a covariance of I"),
    filter_case("squares", lambda x, A, C, Q, R, m0, P0: filter_textbook(
        x, A, C, Q @ Q, R @ R, m0, P0
    ), "takes Q and R for standard deviations"),
    filter_case("two of three", lambda *given: filter_textbook(*given)[:2], "returned tuple of 2"),
    filter_case("one value a step", lambda x, *given: (
        *filter_textbook(x, *given)[:2], filter_textbook(x, *given)[2].expand(len(x))
    ), "where one number is expected"),
    filter_case("variances", lambda *given: (
        filter_textbook(*given)[0], filter_textbook(*given)[1].diagonal(0, -2, -1), filter_textbook(*given)[2]
    ), "returned covariances of shape"),
]  # fmt: skip
CORRECT += FILTERS_RIGHT
WRONG += FILTERS_WRONG


# A step back of a diffusion: fn(z_t, x, log_snr_s, log_snr_t) gives mean and log-variance.


def ddpm(z_t, x, log_snr_s, log_snr_t, log_var=lambda tilde, beta: tilde.log(), coefficients=None):
    """As in the paper: by beta_t and cumulative products of 1 - beta."""
    kept_s, kept_t = torch.sigmoid(log_snr_s), torch.sigmoid(log_snr_t)
    alpha = kept_t / kept_s
    beta, rest = torch.sigmoid(-log_snr_t) - alpha * torch.sigmoid(-log_snr_s), torch.sigmoid(-log_snr_t)
    left = torch.sigmoid(-log_snr_s)
    a, b = kept_s**0.5 * beta / rest, alpha**0.5 * left / rest
    if coefficients:
        a, b = coefficients(a, b)
    return a * x + b * z_t, log_var(left / rest * beta, beta).expand_as(x)


def step_by_precisions(z_t, x, log_snr_s, log_snr_t):
    a_s, a_t = torch.sigmoid(log_snr_s).sqrt(), torch.sigmoid(log_snr_t).sqrt()
    s_s2 = torch.sigmoid(-log_snr_s)
    kept = a_t / a_s
    noise = -torch.expm1(log_snr_t - log_snr_s) * torch.sigmoid(-log_snr_t)
    precision = 1 / s_s2 + kept**2 / noise
    return (a_s * x / s_s2 + kept * z_t / noise) / precision, -precision.log() * torch.ones_like(x)


def step_from_noise(z_t, x, log_snr_s, log_snr_t):
    """Right, by the noise that x leaves of z_t."""
    s, t = log_snr_s.item(), log_snr_t.item()
    a_s, a_t = (1 / (1 + math.exp(-v)) for v in (s, t))
    eps = (z_t - a_t**0.5 * x) / (1 - a_t) ** 0.5
    c = -math.expm1(t - s)
    mean = (a_s / a_t) ** 0.5 * (z_t - c * (1 - a_t) ** 0.5 * eps)
    return mean, torch.full_like(x, math.log(c / (1 + math.exp(s))))


def step_changed(change):
    return lambda *given: change(*step_by_precisions(*given))


def step_case(name, fn, named=""):
    return Case(f"step back: {name}", check_posterior_step, fn, named)


STEPS_RIGHT = [
    step_case("precisions", step_by_precisions),
    step_case("from the noise", step_from_noise),
    step_case("one number for the variance", lambda z, x, s, t: (step_by_precisions(z, x, s, t)[0],
        step_by_precisions(z, x, s, t)[1][:1, :1])),
    step_case("numbers", lambda z, x, s, t: step_from_noise(z, x, s, t)),
]  # fmt: skip

STEPS_WRONG = [
    step_case("variance", step_changed(lambda m, v: (m, v.exp())), "gives the variance"),
    step_case("standard deviation", step_changed(lambda m, v: (m, (v / 2).exp())), "gives the standard deviation"),
    step_case("half", step_changed(lambda m, v: (m, v / 2)), "the logarithm of the standard deviation"),
    step_case("precision", step_changed(lambda m, v: (m, -v)), "the logarithm of the precision"),
    step_case("beta for its posterior", lambda *given: ddpm(*given, log_var=lambda tilde, beta: beta.log()),
        "has the variance of the step forward"),
    step_case("marginal of s", lambda z, x, s, t: (step_by_precisions(z, x, s, t)[0],
        torch.nn.functional.logsigmoid(-s).expand_as(x)), "z_s given x alone"),
    step_case("marginal of t", lambda z, x, s, t: (step_by_precisions(z, x, s, t)[0],
        torch.nn.functional.logsigmoid(-t).expand_as(x)), "has the variance of z_t given x"),
    step_case("x and z exchanged", lambda *given: ddpm(*given, coefficients=lambda a, b: (b, a)), ""),
    step_case("x alone", lambda z, x, s, t: (torch.sigmoid(s) ** 0.5 * x, step_by_precisions(z, x, s, t)[1]),
        "as if z_t told nothing"),
    step_case("z alone", lambda z, x, s, t: ((torch.sigmoid(s) / torch.sigmoid(t)).sqrt() * z,
        step_by_precisions(z, x, s, t)[1]), "as if x told nothing"),
    step_case("DDIM", lambda z, x, s, t: (torch.sigmoid(s).sqrt() * x + (z - torch.sigmoid(t).sqrt() * x)
        * (torch.sigmoid(-s) / torch.sigmoid(-t)).sqrt(), step_by_precisions(z, x, s, t)[1]), "the mean of DDIM"),
    step_case("noise for signal", lambda z, x, s, t: step_by_precisions(z, x, t, s), ""),
    step_case("negated", lambda z, x, s, t: step_from_noise(z, x, -t, -s), ""),
    step_case("no factor alpha_s", lambda z, x, s, t: (step_by_precisions(z, x, s, t)[0] / torch.sigmoid(s).sqrt(),
        step_by_precisions(z, x, s, t)[1]), "lacks the factor alpha_s"),
    step_case("the guess held", lambda z, x, s, t: step_by_precisions(z, x.detach(), s, t), ""),
    step_case("the other order", lambda *given: step_by_precisions(*given)[::-1], "gives the log-variance first"),
    step_case("c is e^(λ_t − λ_s)", lambda z, x, s, t: (
        torch.sigmoid(s).sqrt() * ((1 - (t - s).exp()) * z / torch.sigmoid(t).sqrt() + (t - s).exp() * x),
        (t - s + torch.nn.functional.logsigmoid(-s)).expand_as(x),
    ), "takes 1 - c for c"),
    step_case("arguments exchanged", lambda z, x, s, t: step_from_noise(x, z, s, t), "exchanges z_t and x"),
    step_case("share alone", lambda z, x, s, t: (step_by_precisions(z, x, s, t)[0],
        torch.log(1 - (t - s).exp()).expand_as(x)), "lacks sigma_s squared"),
    step_case("minus the rest", lambda *given: ddpm(*given, coefficients=lambda a, b: (a, -b)), ""),
    step_case("root of a ratio", lambda z, x, s, t: (torch.sigmoid(s).sqrt() * x + (
        torch.sigmoid(t) / torch.sigmoid(s) * torch.sigmoid(-s) / torch.sigmoid(-t)
    ).sqrt() * (z - torch.sigmoid(t).sqrt() * x), step_by_precisions(z, x, s, t)[1]), "for sigma squared in the mean"),
    step_case("the rest of z_t − x", lambda z, x, s, t: (torch.sigmoid(s).sqrt() * x + (
        torch.sigmoid(t) / torch.sigmoid(s)
    ).sqrt() * torch.sigmoid(-s) / torch.sigmoid(-t) * (z - x), step_by_precisions(z, x, s, t)[1]),
        "compares z_t with x"),
]  # fmt: skip
CORRECT += STEPS_RIGHT
WRONG += STEPS_WRONG
