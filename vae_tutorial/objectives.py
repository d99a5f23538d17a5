r"""What `vae_tutorial.training.fit` can maximize besides the ELBO: objectives that price the KL term in another way.

Each gives `ElboTerms` whose ``kl`` is the *price* of the code. The weight :math:`\beta` of that price is an argument of
``fit``; with `vae_tutorial.bounds.elbo_terms`, its default, that is the :math:`\beta`-VAE. The ``elbo`` that `fit`
records is then log-likelihood − price, which is not the ELBO: measure a trained model by
`vae_tutorial.training.evaluate` or `vae_tutorial.rate_distortion.rate_distortion`.

Shapes: K samples, B examples, L latent dimensions.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from vae_tutorial import formulas
from vae_tutorial._validation import require_at_least_zero, require_finite_result
from vae_tutorial.bounds import ElboTerms, elbo_terms, posterior_samples
from vae_tutorial.models import VAE
from vae_tutorial.priors import Gaussian, StandardNormal

__all__ = ["free_bits", "capacity"]


def free_bits(minimum: float) -> Callable[..., ElboTerms]:
    r"""An objective that charges no unit less than a floor, so that nothing is saved below it.

    .. math:: \frac1B \sum_{i=1}^{B} \mathbb{E}_{q_\phi(z \mid x_i)}[\log p_\theta(x_i \mid z)] - \sum_{l=1}^{L}
        \max\Bigl(\rho, \; \frac1B \sum_{i=1}^{B} \mathrm{KL}\bigl(q_\phi(z_l \mid x_i) \,\|\, p(z_l)\bigr)\Bigr)

    That is Kingma et al., *Improved Variational Inference with Inverse Autoregressive Flow* (2016, equation 15), with
    each latent dimension as a group of its own. The mean over the minibatch stands inside the maximum: single examples
    may say less than :math:`\rho` where others say more. In several processes it is the mean over each one's share.

    Args:
        minimum: :math:`\rho`, the floor in nats for each unit; 0 gives the ELBO.

    Returns:
        The objective. Its ``kl`` is the second sum, the same for all B examples; its ``elbo``, averaged over them, is
        at most the mean ELBO, and equal to it where each unit's mean KL is at least :math:`\rho`. It raises TypeError
        where the posterior is not `vae_tutorial.posteriors.diagonal` or the prior has no KL of single units.

    Raises:
        TypeError: ``minimum`` is not a number.
        ValueError: ``minimum`` is negative or not finite.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, bernoulli, seed=0)
        >>> with torch.no_grad():  # encoder heads that are 0: a code that says nothing
        ...     _ = [parameter.zero_() for parameter in model.encoder[-1].parameters()]
        >>> free_bits(0.5)(model, torch.tensor([[0.0, 1.0, 1.0]])).kl
        tensor([1.], grad_fn=<ExpandBackward0>)
    """
    return partial(_free_bits, minimum=require_at_least_zero(unit=" nats", minimum=minimum))


def _free_bits(
    model: VAE,
    x: Tensor,
    n_samples: int = 1,
    *,
    minimum: float,
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> ElboTerms:
    params = model.encode(x)
    z, _ = posterior_samples(model, params, n_samples, eps, generator)
    price = kl_by_unit(model, params).mean(0).clamp(min=minimum).sum()
    return ElboTerms(model.log_likelihood(x, z).mean(0), price.expand(len(x)))


def capacity(target: float) -> Callable[..., ElboTerms]:
    r"""An objective that charges the distance of the mean KL from a target: a rate is asked for, not a price.

    .. math:: \frac1B \sum_{i=1}^{B} \mathbb{E}_{q_\phi(z \mid x_i)}[\log p_\theta(x_i \mid z)] - \gamma \,
        \Bigl| \frac1B \sum_{i=1}^{B} \mathrm{KL}\bigl(q_\phi(z \mid x_i) \,\|\, p(z)\bigr) - C \Bigr|

    (Burgess et al., *Understanding Disentangling in* :math:`\beta`\ *-VAE*, 2018, equation 8, which has the KL of one x
    where this has the mean, and where C grows during training.) The weight :math:`\gamma` is the argument ``beta`` of
    ``fit``. Where it is larger than the slope of the frontier at the rate C, the best model has that rate.

    Args:
        target: C, the rate in nats; 0 gives the ELBO.

    Returns:
        The objective. Its ``kl`` is :math:`|\,\cdot - C|`, the same for all B examples; its ``elbo`` bounds nothing.

    Raises:
        TypeError: ``target`` is not a number.
        ValueError: ``target`` is negative or not finite.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, bernoulli, seed=0)
        >>> x = torch.tensor([[0.0, 1.0, 1.0]])
        >>> kl = elbo_terms(model, x).kl
        >>> torch.equal(capacity(3.0)(model, x).kl, 3.0 - kl)
        True
    """
    return partial(_capacity, target=require_at_least_zero(unit=" nats", target=target))


def _capacity(
    model: VAE,
    x: Tensor,
    n_samples: int = 1,
    *,
    target: float,
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> ElboTerms:
    log_likelihood, kl = elbo_terms(model, x, n_samples, eps=eps, generator=generator)
    return ElboTerms(log_likelihood, (kl.mean() - target).abs().expand(len(x)))


def kl_by_unit(model: VAE, params: tuple[Tensor, ...]) -> Tensor:
    """KL(q(z_l|x) ‖ p(z_l)) in nats, shape (B, L), of what ``model.encode(x)`` gave; its sum over l is the KL."""
    gaussian, prior = model.posterior.gaussian(params), model.prior
    if gaussian is None or not isinstance(prior, (StandardNormal, Gaussian)):
        raise TypeError(
            "the KL of single units needs the posterior diagonal and the prior standard_normal or Gaussian, got "
            f"{type(model.posterior).__name__} and {type(prior).__name__}; `capacity` needs their sum only"
        )
    mu, log_var = (t.unsqueeze(-1) for t in gaussian)  # (B, L, 1): a sum over the last axis is that of one unit
    if isinstance(prior, Gaussian):
        kl = formulas.kl_normal(mu, log_var, prior.mu.unsqueeze(-1), prior.log_var.unsqueeze(-1))
    else:
        kl = formulas.kl_standard_normal(mu, log_var)
    return require_finite_result(kl, mu=mu, log_var=log_var)
