r"""Lower bounds of log p(x), estimated with the reparameterization trick: the ELBO, and the importance-weighted bound.

Shapes: K samples, B examples, L latent dimensions. Every value is one per example, in nats.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial._random import standard_noise
from vae_tutorial._validation import require_count, require_finite, require_finite_result, require_float
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
    estimator A averages :math:`\log q_\phi(z^{(k)} \mid x) - \log p(z^{(k)})` over the same samples. It stands in for B
    where the KL of the model's posterior from its prior has no closed form.

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
    params = model.encode(x)
    z, log_q = posterior_samples(model, params, n_samples, eps, generator)
    log_likelihood = model.log_likelihood(x, z).mean(0)
    kl = closed_form_kl(model, params) if analytic_kl else None
    if kl is None:
        kl = (log_q - model.log_prior(z)).mean(0)
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


def log_weights(
    model: VAE,
    x: Tensor,
    n_samples: int = 1,
    *,
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Logarithms of K importance weights for each example, with :math:`q_\phi(z \mid x)` as the proposal.

    .. math:: \log w_k = \log p_\theta(x \mid z^{(k)}) + \log p(z^{(k)}) - \log q_\phi(z^{(k)} \mid x),
        \qquad z^{(k)} = \mu_\phi(x) + \sigma_\phi(x) \odot \varepsilon^{(k)}

    The mean of :math:`w_k` is an unbiased estimate of :math:`p_\theta(x)`; that of :math:`\log w_k` is
    estimator A of the ELBO.

    Args:
        model, x, n_samples, eps, generator: as for `elbo_terms`.

    Returns:
        Log-weights in nats, shape (K, B), differentiable in the model's parameters.

    Raises:
        TypeError: as `elbo_terms`.
        ValueError: as `elbo_terms`.

    Example:
        >>> from vae_tutorial.reference import LinearGaussian
        >>> from vae_tutorial.likelihoods import normal
        >>> exact = LinearGaussian(torch.tensor([[1.0], [2.0]]), noise_var=0.5)
        >>> x = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
        >>> q = exact.posterior(x)
        >>> encoder = lambda x: torch.cat([q.mean, q.variance.log()], -1)
        >>> model = VAE(encoder, exact.decoder(), 1, normal(math.log(0.5)))
        >>> log_w = log_weights(model, x, n_samples=1000)  # the exact posterior as the proposal
        >>> bool((log_w - exact.log_marginal(x)).abs().max() < 1e-12)
        True
    """
    z, log_q = posterior_samples(model, model.encode(x), n_samples, eps, generator)
    return model.log_likelihood(x, z) + model.log_prior(z) - log_q


def iwae_bound(log_w: Tensor) -> Tensor:
    r"""The importance-weighted bound of Burda, Grosse and Salakhutdinov (2016) from log-weights.

    .. math:: \mathcal{L}_K(x) = \log \frac1K \sum_{k=1}^{K} w_k

    Its expectation is at most :math:`\log p_\theta(x)`, rises with K, and is the ELBO at K = 1. The largest weight is
    taken out of the sum first, so weights too small for a floating-point number are no trouble.

    Args:
        log_w: log-weights in nats, shape (K, ...).

    Returns:
        The bound in nats, shape (...), between the mean and the maximum of ``log_w`` along its first axis.

    Raises:
        TypeError: ``log_w`` is not a floating-point tensor.
        ValueError: ``log_w`` is empty or not finite.

    Example:
        >>> log_w = torch.tensor([1.0, 2.0, 6.0]).log() - 1000  # e^-1000 is 0 in floating point
        >>> print(f"{iwae_bound(log_w).item():.4f}")  # log 3 - 1000
        -998.9014
    """
    require_float(log_w=log_w)
    require_finite(log_w=log_w)
    if log_w.dtype.itemsize < 4:  # where a sum of 65,505 ones overflows
        return iwae_bound(log_w.float()).to(log_w.dtype)
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))


def iwae_terms(
    model: VAE,
    x: Tensor,
    n_samples: int = 1,
    *,
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> ElboTerms:
    r"""The importance-weighted bound as the difference of two terms: an objective for `vae_tutorial.training.fit`.

    The logarithm of the evidence is itself an ELBO, that of the true posterior:

    .. math:: \log p_\theta(x) = \mathbb{E}_{p_\theta(z \mid x)}[\log p_\theta(x \mid z)]
        - \mathrm{KL}\bigl(p_\theta(z \mid x) \,\|\, p(z)\bigr)

    The first term returned estimates that expectation with the normalized weights, :math:`\sum_k \bar w_k \log
    p_\theta(x \mid z^{(k)})`; the second is what is left to :math:`\mathcal{L}_K`, so ``.elbo`` is the bound exactly.

    Args:
        model, x, n_samples, eps, generator: as for `elbo_terms`.

    Returns:
        The `ElboTerms`, differentiable in the model's parameters.

    Raises:
        TypeError: as `elbo_terms`.
        ValueError: as `elbo_terms`.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, normal(0.0), seed=0)
        >>> x, eps = torch.rand(4, 3), torch.randn(5, 4, 2)
        >>> bound = iwae_bound(log_weights(model, x, eps=eps))
        >>> torch.allclose(iwae_terms(model, x, eps=eps).elbo, bound)
        True
    """
    z, log_q = posterior_samples(model, model.encode(x), n_samples, eps, generator)
    log_likelihood = model.log_likelihood(x, z)
    log_w = log_likelihood + model.log_prior(z) - log_q
    at_posterior = (torch.softmax(log_w, 0) * log_likelihood).sum(0)
    return ElboTerms(at_posterior, at_posterior - iwae_bound(log_w))


def effective_sample_size(log_w: Tensor) -> Tensor:
    r"""How many equal weights would estimate as well as these K, by Kish's formula (Kong, 1992).

    .. math:: \mathrm{ESS} = \frac{\bigl(\sum_k w_k\bigr)^2}{\sum_k w_k^2}

    Args:
        log_w: log-weights in nats, shape (K, ...).

    Returns:
        Numbers from 1, one weight has it all, to K, all weights are equal; shape (...), in float32 or, as ``log_w``, in
        float64: float16 has no numbers above 65,504.

    Raises:
        TypeError: ``log_w`` is not a floating-point tensor.
        ValueError: ``log_w`` is empty or not finite.

    Example:
        >>> effective_sample_size(torch.zeros(8)).item()
        8.0
    """
    require_float(log_w=log_w)
    require_finite(log_w=log_w)
    normalized = torch.softmax(log_w.float() if log_w.dtype.itemsize < 4 else log_w, 0)
    return 1 / (normalized**2).sum(0)


def posterior_samples(
    model: VAE,
    params: tuple[Tensor, ...],
    n_samples: int = 1,
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Samples of :math:`q_\phi(z \mid x)`, differentiable in its parameters, and their log-densities.

    Args:
        model: the VAE.
        params: what ``model.encode(x)`` gave.
        n_samples, eps, generator: as for `elbo_terms`.

    Returns:
        z, shape (K, B, L), and :math:`\log q_\phi(z \mid x)` in nats, shape (K, B).

    Raises:
        TypeError: ``eps`` is not a floating-point tensor, or ``generator`` is not a ``torch.Generator``.
        ValueError: ``eps`` does not have the shape (K, B, L), ``n_samples`` is not an integer of at least 1, or a value
            is not finite.
    """
    like = params[0]
    if eps is None:
        require_count(n_samples=n_samples)
        eps = standard_noise((int(n_samples), *like.shape), like=like, generator=generator)
    else:
        require_float(eps=eps)
        if eps.ndim != 3 or eps.shape[1:] != like.shape:
            B, L = like.shape
            raise ValueError(f"eps must have shape (K, B, L) = (K, {B}, {L}), got {tuple(eps.shape)}")
    z, log_q = model.posterior.sample(params, eps)
    named = dict(zip(model.posterior.names, params, strict=True))
    return z, require_finite_result(log_q, **named, eps=eps)


def closed_form_kl(model: VAE, params: tuple[Tensor, ...]) -> Tensor | None:
    r""":math:`\mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z))` in closed form, where prior and posterior know it.

    Args:
        model: the VAE.
        params: what ``model.encode(x)`` gave.

    Returns:
        Nats, shape (B,), or None where there is no closed form.

    Raises:
        ValueError: the divergence is not finite.
    """
    if (gaussian := model.posterior.gaussian(params)) is None or (kl := model.prior.kl(*gaussian)) is None:
        return None
    return require_finite_result(kl, **dict(zip(model.posterior.names, params, strict=True)))
