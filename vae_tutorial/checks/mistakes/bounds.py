"""Wrong versions of the evidence lower bound, made of its parts."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Normal

from vae_tutorial.checks.mistakes.divergence import KL
from vae_tutorial.checks.mistakes.ways import ACTIVATIONS
from vae_tutorial.formulas import LOG_2PI
from vae_tutorial.models import VAE


class ElboParts(NamedTuple):
    """The quantities an ELBO is made of, and those it is mistakenly made of."""

    mu: Tensor
    log_var: Tensor
    z: Tensor
    log_likelihood: Tensor
    squares: Tensor
    log_prior: Tensor
    log_q: Tensor
    kl: Tensor


def elbo_parts(
    model: VAE, x: Tensor, eps: Tensor, scale: Callable[[Tensor], Tensor] = lambda t: (0.5 * t).exp()
) -> ElboParts:
    """The parts for this noise; ``scale`` turns log_var into z's scale."""
    mu, log_var = model.encode(x)
    z = mu + scale(log_var) * eps
    return ElboParts(
        mu=mu,
        log_var=log_var,
        z=z,
        log_likelihood=model.log_likelihood(x, z),
        squares=((x - model.decode(z)) ** 2).sum(-1),
        log_prior=model.log_prior(z),
        log_q=Normal(mu, (0.5 * log_var).exp()).log_prob(z).sum(-1),
        kl=KL[""](mu, log_var).sum(-1),
    )


def _from_parts(formula: Callable[..., Tensor]) -> Callable[[VAE, Tensor, Tensor], Tensor]:
    """A formula of the parts and the arguments as a function of the arguments alone."""
    return lambda model, x, eps: formula(elbo_parts(model, x, eps), model, x, eps)


def _sampled(t: ElboParts) -> Tensor:
    """The terms of estimator A, every one of them sampled, shape (K, B)."""
    return t.log_likelihood + t.log_prior - t.log_q


def _rows_mixed(t: ElboParts, model: VAE, x: Tensor, eps: Tensor) -> Tensor:
    """The K·B latent points in the order of x.repeat(K, 1), beside x.repeat_interleave(K, 0)."""
    n_samples = len(eps)
    log_likelihood = model.log_likelihood(x.repeat_interleave(n_samples, 0), t.z.flatten(0, 1))
    return log_likelihood.reshape(n_samples, len(x)).mean(0) - t.kl


ELBO: dict[str, Callable[[VAE, Tensor, Tensor], Tensor]] = (
    {
        clause: _from_parts(formula)
        for clause, formula in {
            "": lambda t, model, x, eps: t.log_likelihood.mean(0) - t.kl,
            "adds the KL, where it should be subtracted": lambda t, model, x, eps: t.log_likelihood.mean(0) + t.kl,
            "is log p(x | z) alone: the KL is missing": lambda t, model, x, eps: t.log_likelihood.mean(0),
            "is −KL alone: log p(x | z) is missing": lambda t, model, x, eps: -t.kl,
            "divides log p(x | z) by the number of dimensions of x: sum over them, never average": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) / x.shape[-1] - t.kl
            ),
            "divides the KL by the number of latent dimensions: sum over them, never average": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) - t.kl / eps.shape[-1]
            ),
            "divides the KL by the number of dimensions of x, which weights it": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) - t.kl / x.shape[-1]
            ),
            "divides the KL by the number of examples, which weights it": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) - t.kl / len(x)
            ),
            "adds log q(z | x), where it should be subtracted": (
                lambda t, model, x, eps: (t.log_likelihood + t.log_prior + t.log_q).mean(0)
            ),
            "sums log p(x | z) over the K samples, where it should average": (
                lambda t, model, x, eps: t.log_likelihood.sum(0) - t.kl
            ),
            "sums over the K samples, where it should average, in every term": (
                lambda t, model, x, eps: _sampled(t).sum(0)
            ),
            "uses only the first of the K samples": lambda t, model, x, eps: t.log_likelihood[0] - t.kl,
            "uses only the first of the K samples, in every term": (lambda t, model, x, eps: _sampled(t)[0]),
            "decodes the mean of z, where each sample is to be decoded": (
                lambda t, model, x, eps: model.log_likelihood(x, t.mu) - t.kl
            ),
            "samples z = μ + σ²ε: the variance stands where the standard deviation belongs": (
                lambda t, model, x, eps: elbo_parts(model, x, eps, torch.exp).log_likelihood.mean(0) - t.kl
            ),
            "samples z = μ + σ²ε in every term: the variance stands where the standard deviation belongs": (
                lambda t, model, x, eps: _sampled(elbo_parts(model, x, eps, torch.exp)).mean(0)
            ),
            "samples z = μ + log σ² · ε: exp is missing": (
                lambda t, model, x, eps: (
                    elbo_parts(model, x, eps, lambda log_var: log_var).log_likelihood.mean(0) - t.kl
                )
            ),
            "samples z = ε: from the prior, not from q(z | x)": (
                lambda t, model, x, eps: model.log_likelihood(x, eps).mean(0) - t.kl
            ),
            "takes −Σ(x − x̂)² for log p(x | z): the factor 1/(2σ²) and the constant are missing": (
                lambda t, model, x, eps: -t.squares.mean(0) - t.kl
            ),
            "takes −½ Σ(x − x̂)² for log p(x | z): the variance of the likelihood and the constant are missing": (
                lambda t, model, x, eps: -0.5 * t.squares.mean(0) - t.kl
            ),
            "takes minus the mean squared error for log p(x | z)": (
                lambda t, model, x, eps: -t.squares.mean(0) / x.shape[-1] - t.kl
            ),
            "drops the constant −(D/2) log(2πσ²) of log p(x | z)": (
                # what is left at a perfect fit is the constant
                lambda t, model, x, eps: t.log_likelihood.mean(0) - model.likelihood.log_prob(x, x) - t.kl
            ),
            "drops −(D/2) log 2π of log p(x | z)": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) + 0.5 * LOG_2PI * x.shape[-1] - t.kl
            ),
            "is the importance-weighted bound: the mean stands inside the logarithm": (
                lambda t, model, x, eps: _sampled(t).logsumexp(0) - math.log(len(eps))
            ),
            "averages p(x | z) inside the logarithm: log p(x | z) is to be averaged": (
                lambda t, model, x, eps: t.log_likelihood.logsumexp(0) - math.log(len(eps)) - t.kl
            ),
            "sums p(x | z) inside the logarithm: log p(x | z) is to be averaged": (
                lambda t, model, x, eps: t.log_likelihood.logsumexp(0) - t.kl
            ),
            "lacks log p(z)": lambda t, model, x, eps: (t.log_likelihood - t.log_q).mean(0),
            "subtracts the KL once for each of the K samples": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) - len(eps) * t.kl
            ),
            "subtracts the mean of the KL over the batch from every example": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) - t.kl.mean()
            ),
            "subtracts the KL of the whole batch from every example": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) - t.kl.sum()
            ),
            "adds up log p(x | z) over the whole batch for every example": (
                lambda t, model, x, eps: t.log_likelihood.mean(0).sum() - t.kl
            ),
            "samples z with the heads exchanged: the encoder gives mu first, then log_var": (
                lambda t, model, x, eps: (
                    model.log_likelihood(x, t.log_var + (0.5 * t.mu).exp() * eps).mean(0)
                    - KL[""](t.log_var, t.mu).sum(-1)
                )
            ),
            "samples z with the heads exchanged, and takes the KL of the right ones": (
                lambda t, model, x, eps: model.log_likelihood(x, t.log_var + (0.5 * t.mu).exp() * eps).mean(0) - t.kl
            ),
            "samples z = μ + exp(log_var/2)·ε with mu in the place of log_var: one head is used twice": (
                lambda t, model, x, eps: (
                    model.log_likelihood(x, t.mu + (0.5 * t.mu).exp() * eps).mean(0) - KL[""](t.mu, t.mu).sum(-1)
                )
            ),
            "samples z = μ + ε: log_var is not used": (
                lambda t, model, x, eps: model.log_likelihood(x, t.mu + eps).mean(0) - t.kl
            ),
            "samples z = σε: μ is not added": (
                lambda t, model, x, eps: model.log_likelihood(x, (0.5 * t.log_var).exp() * eps).mean(0) - t.kl
            ),
            "samples z = μ + ε/σ: the exponent has the wrong sign": (
                lambda t, model, x, eps: (
                    elbo_parts(model, x, eps, lambda v: (-0.5 * v).exp()).log_likelihood.mean(0) - t.kl
                )
            ),
            "samples z = μ + exp(2·log_var) ε: the ½ became a 2": (
                lambda t, model, x, eps: (
                    elbo_parts(model, x, eps, lambda v: (2 * v).exp()).log_likelihood.mean(0) - t.kl
                )
            ),
            "is in nats per dimension: divided by the number of dimensions of x": (
                lambda t, model, x, eps: (t.log_likelihood.mean(0) - t.kl) / x.shape[-1]
            ),
            "averages the log-weights by their softmax: neither the ELBO nor the importance-weighted bound": (
                lambda t, model, x, eps: (_sampled(t).softmax(0) * _sampled(t)).sum(0)
            ),
            "takes the best of the K samples: its mean over the noise is no bound": (
                lambda t, model, x, eps: _sampled(t).amax(0)
            ),
            "takes the best log p(x | z) of the K samples": lambda t, model, x, eps: t.log_likelihood.amax(0) - t.kl,
            "takes log_var for log σ throughout": (
                lambda t, model, x, eps: (
                    elbo_parts(model, x, eps, torch.exp).log_likelihood.mean(0) - KL[""](t.mu, 2 * t.log_var).sum(-1)
                )
            ),
            "has log q(z | x) with the variance for its standard deviation": (
                lambda t, model, x, eps: (
                    t.log_likelihood + t.log_prior - Normal(t.mu, t.log_var.exp()).log_prob(t.z).sum(-1)
                ).mean(0)
            ),
            "puts a sigmoid over the decoder's output, which the likelihood takes as it is": (
                lambda t, model, x, eps: model.likelihood.log_prob(x, model.decode(t.z).sigmoid()).mean(0) - t.kl
            ),
            "pairs each x with latent points of other examples: repeat stands beside repeat_interleave": _rows_mixed,
            "averages log p(x | z) over examples, not over samples: the flat axis is K·B, not B·K": (
                lambda t, model, x, eps: t.log_likelihood.reshape(len(x), len(eps)).mean(1) - t.kl
            ),
            "averages the bound over examples, not over samples: after x.repeat(K, 1) the flat axis is K·B, not B·K": (
                lambda t, model, x, eps: (t.log_likelihood - t.kl).reshape(len(x), len(eps)).mean(1)
            ),
            "has log q(z | x) where log p(x | z) belongs: the decoder is not used": (
                lambda t, model, x, eps: t.log_q.mean(0) - t.kl
            ),
            "has the right value, but no gradient through the sample: z is detached": (
                lambda t, model, x, eps: model.log_likelihood(x, t.z.detach()).mean(0) - t.kl
            ),
            "has the right value, but no gradient of the KL: it is detached": (
                lambda t, model, x, eps: t.log_likelihood.mean(0) - t.kl.detach()
            ),
            "has the right value, but no gradient of log p(x | z): it is detached": (
                lambda t, model, x, eps: t.log_likelihood.mean(0).detach() - t.kl
            ),
        }.items()
    }
    | {
        f"has a wrong KL term: it {clause}"
        + ", or the KL is subtracted twice" * ("½ is missing" in clause): _from_parts(
            lambda t, model, x, eps, kl=kl: t.log_likelihood.mean(0) - kl(t.mu, t.log_var).sum(-1)
        )
        for clause, kl in KL.items()
        if clause
    }
    | {
        f"applies {name} to log_var: a log-variance may be any number, so nothing belongs over it": _from_parts(
            lambda t, model, x, eps, activation=activation: (
                model.log_likelihood(x, t.mu + (0.5 * activation(t.log_var)).exp() * eps).mean(0)
                - KL[""](t.mu, activation(t.log_var)).sum(-1)
            )
        )
        for name, activation in ACTIVATIONS.items()
    }
)

# The bound as a weighted sum, in several ways: the first that explains all answers is shown.
ELBO_TERMS: list[dict[str, tuple[float, Callable[..., Tensor]]]] = [
    {
        "log p(x | z)": (1.0, lambda model, x, eps: elbo_parts(model, x, eps).log_likelihood.mean(0)),
        "KL": (-1.0, lambda model, x, eps: elbo_parts(model, x, eps).kl),
    },
    {
        "log p(x | z)": (1.0, lambda model, x, eps: elbo_parts(model, x, eps).log_likelihood.mean(0)),
        "Σμ² of the KL": (-0.5, lambda model, x, eps: (model.encode(x)[0] ** 2).sum(-1)),
        "Σσ² of the KL": (-0.5, lambda model, x, eps: model.encode(x)[1].exp().sum(-1)),
        "Σlog σ² of the KL": (0.5, lambda model, x, eps: model.encode(x)[1].sum(-1)),
        "L, the number of latent dimensions,": (0.5, lambda model, x, eps: 0 * x.sum(-1) + model.latent_dim),
    },
    {
        "log p(x | μ)": (0.0, lambda model, x, eps: model.log_likelihood(x, model.encode(x)[0])),
        "log p(x | z)": (1.0, lambda model, x, eps: elbo_parts(model, x, eps).log_likelihood.mean(0)),
        "KL": (-1.0, lambda model, x, eps: elbo_parts(model, x, eps).kl),
    },
]
