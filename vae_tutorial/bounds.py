r"""The evidence lower bound, estimated with the reparameterization trick.

Shapes: K samples, B examples, L latent dimensions. Every value is one per example, in nats.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial._validation import require_count, require_float
from vae_tutorial.gaussian import kl_standard_normal, log_normal, reparameterize, standard_noise
from vae_tutorial.models import VAE


class ElboTerms(NamedTuple):
    r"""The two terms of the ELBO, one value per example.

    Attributes:
        log_likelihood: estimate of :math:`\mathbb{E}_q[\log p_\theta(x \mid z)]` in nats, shape (B,).
        kl: :math:`\mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z))` in nats, or its estimate, shape (B,).
    """

    log_likelihood: Tensor
    kl: Tensor

    @property
    def elbo(self) -> Tensor:
        """The bound itself, shape (B,)."""
        return self.log_likelihood - self.kl


def elbo_terms(
    model: VAE,
    x: Tensor,
    n_samples: int = 1,
    *,
    analytic_kl: bool = True,
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> ElboTerms:
    r"""Both terms of the ELBO by one of the two SGVB estimators of Kingma and Welling (2014).

    With :math:`z^{(k)} = \mu_\phi(x) + \sigma_\phi(x) \odot \varepsilon^{(k)}`, the log-likelihood term is
    :math:`\frac1K \sum_k \log p_\theta(x \mid z^{(k)})`. Estimator B (the default) takes the KL term in closed form;
    estimator A averages :math:`\log q_\phi(z^{(k)} \mid x) - \log p(z^{(k)})` over the same samples.

    Args:
        model: the VAE.
        x: examples, shape (B, D).
        n_samples: K, at least 1. Ignored where ``eps`` is given.
        analytic_kl: estimator B where true, estimator A where false.
        eps: the noise, shape (K, B, L). Drawn when left out.
        generator: where the noise is drawn from when ``eps`` is left out; PyTorch's global one by default.

    Returns:
        The `ElboTerms`, differentiable in the model's parameters.

    Raises:
        TypeError: ``x`` or ``eps`` is not a floating-point tensor, or ``generator`` is not a ``torch.Generator``.
        ValueError: shapes do not fit, ``n_samples`` is not an integer of at least 1, or a value is not finite.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, bernoulli, seed=0)
        >>> x = torch.tensor([[0.0, 1.0, 1.0]])
        >>> terms = elbo_terms(model, x, n_samples=5)
        >>> bool(terms.kl >= 0)
        True
        >>> torch.equal(terms.elbo, terms.log_likelihood - terms.kl)
        True
    """
    mu, log_var = model.encode(x)  # q(z|x) = N(mu, diag(exp(log_var)))
    if eps is None:
        require_count(n_samples=n_samples)
        eps = standard_noise((n_samples, *mu.shape), like=mu, generator=generator)
    require_float(eps=eps)
    if eps.ndim != 3 or eps.shape[1:] != mu.shape:
        raise ValueError(f"eps must have shape (K, B, L) = (K, {mu.shape[0]}, {mu.shape[1]}), got {tuple(eps.shape)}")
    z = reparameterize(mu, log_var, eps)  # (K, B, L)
    log_likelihood = model.log_likelihood(x, z).mean(0)
    if analytic_kl:
        kl = kl_standard_normal(mu, log_var)
    else:
        kl = (log_normal(z, mu, log_var) - model.log_prior(z)).mean(0)
    return ElboTerms(log_likelihood, kl)


def elbo(
    model: VAE,
    x: Tensor,
    n_samples: int = 1,
    *,
    analytic_kl: bool = True,
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""An estimate of the evidence lower bound, one value per example: ``elbo_terms(…).elbo``.

    .. math:: \mathcal{L}(x) = \mathbb{E}_{q_\phi(z \mid x)}[\log p_\theta(x \mid z)]
        - \mathrm{KL}\bigl(q_\phi(z \mid x) \,\|\, p(z)\bigr) \le \log p_\theta(x)

    Args:
        model, x, n_samples, analytic_kl, eps, generator: as for `elbo_terms`.

    Returns:
        Estimates in nats, shape (B,). Their expectation is the bound; a single estimate may lie above log p(x).

    Raises:
        TypeError: as `elbo_terms`.
        ValueError: as `elbo_terms`.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, normal(0.0), seed=0)
        >>> elbo(model, torch.rand(4, 3), n_samples=10).shape
        torch.Size([4])
    """
    return elbo_terms(model, x, n_samples, analytic_kl=analytic_kl, eps=eps, generator=generator).elbo
