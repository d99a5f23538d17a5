r"""Objectives for `vae_tutorial.training.fit` that charge the total correlation of the code beside its KL.

Both maximize :math:`\mathrm{ELBO} - \gamma \, \mathrm{TC}` and differ in how they estimate the total correlation:
`beta_tcvae` from the minibatch's own posteriors, `factor_vae` by a discriminator. As with
`vae_tutorial.objectives`, their ``kl`` is the price, and the ``elbo`` that `fit` records is no ELBO; the ``beta`` of
`fit` multiplies the whole price, :math:`\gamma` included. In several
processes each takes its own share for the minibatch, which is another estimate than that of a single process.

Shapes: K samples, B examples, L latent dimensions.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import softplus

from vae_tutorial._random import initial_weights
from vae_tutorial._validation import require_at_least_zero, require_count, require_widths
from vae_tutorial.bounds import ElboTerms, closed_form_kl, posterior_samples
from vae_tutorial.models import VAE, mlp, require_vae
from vae_tutorial.total_correlation import AggregatedLogs, gaussian_of, minibatch_stratified, pairwise_log_q

__all__ = ["beta_tcvae", "factor_vae", "add_discriminator", "shifted"]


def beta_tcvae(
    gamma: float, n_data: int, estimate: Callable[[Tensor, int], AggregatedLogs] = minibatch_stratified
) -> Callable[..., ElboTerms]:
    r"""The objective of the :math:`\beta`-TCVAE (Chen et al., 2018), whose :math:`\beta` is :math:`1 + \gamma`.

    .. math:: \frac1B \sum_{i=1}^{B} \Bigl( \mathbb{E}_{q_\phi(z \mid x_i)}[\log p_\theta(x_i \mid z)]
        - \mathrm{KL}\bigl(q_\phi(z \mid x_i) \,\|\, p(z)\bigr)
        - \gamma \bigl[\log q(z_i) - \textstyle\sum_l \log q(z_{il})\bigr] \Bigr)

    with :math:`\log q` estimated from the minibatch. The estimate is biased; `vae_tutorial.total_correlation` says how.

    Args:
        gamma: what a nat of total correlation costs beside the nat that the KL charges already; 0 gives the ELBO.
        n_data: N, the size of the training set. In evaluation mode it is the number of examples given, where these are
            more: `fit` measures held-out ones a thousand at a time.
        estimate: `minibatch_stratified`, or `minibatch_weighted`, the default of the authors' code.

    Returns:
        The objective, for a posterior that is `vae_tutorial.posteriors.diagonal`; it raises TypeError for another.

    Raises:
        TypeError: ``gamma`` is not a number, or ``estimate`` not a function.
        ValueError: ``gamma`` is negative or not finite, or ``n_data`` is not an integer of at least 1.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> from vae_tutorial.training import fit
        >>> x = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]).repeat(32, 1)
        >>> model = mlp_vae(3, 8, 2, bernoulli, seed=0)
        >>> history = fit(model, x, epochs=1, seed=0, objective=beta_tcvae(5.0, 64), progress=False)
    """
    require_count(n_data=n_data)
    if not callable(estimate):
        raise TypeError(f"estimate must be a function, such as minibatch_stratified, got {estimate!r}")
    return partial(_beta_tcvae, gamma=require_at_least_zero(gamma=gamma), n_data=int(n_data), estimate=estimate)


def _beta_tcvae(
    model: VAE,
    x: Tensor,
    n_samples: int = 1,
    *,
    gamma: float,
    n_data: int,
    estimate: Callable[[Tensor, int], AggregatedLogs],
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> ElboTerms:
    params, z, (log_likelihood, kl) = _encoded(model, x, n_samples, eps, generator)
    gaussian = gaussian_of(model, params)
    if not model.training:
        n_data = max(n_data, len(x))  # held-out examples may be more than the training set
    dependence = [estimate(pairwise_log_q(draw, *gaussian), n_data).dependence for draw in z]
    return ElboTerms(log_likelihood, kl + gamma * torch.stack(dependence).mean(0))


def add_discriminator(model: VAE, hidden_dim: int | Sequence[int] = (64, 64), *, seed: int) -> nn.Sequential:
    """Give a model the discriminator that `factor_vae` needs: a network from z to one logit, ``model.discriminator``.

    It is part of the model while this trains: `fit` updates it by the same optimizer, and its checkpoints hold it and
    go on with it. Of a finished model it is no part: ``del model.discriminator`` before
    `vae_tutorial.checkpoints.save`, which else refuses the model.

    Args:
        model: the VAE; changed in place.
        hidden_dim: the width of a hidden layer, or those of several.
        seed: fixes the initial weights.

    Returns:
        The network, on the device and in the dtype of the model.

    Raises:
        TypeError: ``model`` is not a VAE, or ``seed`` not an integer.
        ValueError: a width is not an integer of at least 1.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, bernoulli, seed=0)
        >>> add_discriminator(model, 8, seed=0)(torch.zeros(5, 2)).shape
        torch.Size([5, 1])
    """
    require_vae(model)
    widths = require_widths(hidden_dim=hidden_dim)
    with initial_weights(seed):
        discriminator = mlp((model.latent_dim, *widths, 1), partial(nn.LeakyReLU, 0.2))
    model.discriminator = discriminator.to(model.a_weight())
    return discriminator


def factor_vae(gamma: float) -> Callable[..., ElboTerms]:
    r"""The objective of FactorVAE (Kim and Mnih, *Disentangling by Factorising*, 2018): a discriminator measures.

    A network D is trained to tell codes z from codes whose dimensions come from different examples, `shifted`. Its best
    logit is :math:`\log q(z) - \sum_l \log q(z_l)`, and the encoder pays the mean logit:

    .. math:: \frac1B \sum_{i=1}^{B} \Bigl( \mathbb{E}_{q_\phi(z \mid x_i)}[\log p_\theta(x_i \mid z)]
        - \mathrm{KL}\bigl(q_\phi(z \mid x_i) \,\|\, p(z)\bigr) - \gamma \, D(z_i) \Bigr)

    Both learn at once, in one step: the price reaches the encoder through a D held fixed, and D's own loss, the
    cross-entropy of telling z from shifted z, adds its gradient but no value. (The paper takes a step of each in turn,
    with a second minibatch for D.)

    Args:
        gamma: what a nat of total correlation costs beside the KL.

    Returns:
        The objective, for a model with ``model.discriminator``, which `add_discriminator` gives it; it raises
        ValueError where there is none.

    Raises:
        TypeError: ``gamma`` is not a number.
        ValueError: ``gamma`` is negative or not finite.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> from vae_tutorial.training import fit
        >>> x = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]).repeat(32, 1)
        >>> model = mlp_vae(3, 8, 2, bernoulli, seed=0)
        >>> discriminator = add_discriminator(model, seed=0)
        >>> history = fit(model, x, epochs=1, seed=0, objective=factor_vae(5.0), progress=False)
    """
    return partial(_factor_vae, gamma=require_at_least_zero(gamma=gamma))


def _factor_vae(
    model: VAE,
    x: Tensor,
    n_samples: int = 1,
    *,
    gamma: float,
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> ElboTerms:
    if not isinstance(discriminator := getattr(model, "discriminator", None), nn.Module):
        raise ValueError("the model has no discriminator: add_discriminator(model, seed=0) gives it one")
    _, z, (log_likelihood, kl) = _encoded(model, x, n_samples, eps, generator)
    held = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
    log_ratio = functional_call(discriminator, held, z).squeeze(-1)
    told_apart = softplus(-discriminator(z.detach())) + softplus(discriminator(shifted(z.detach())))
    loss = 0.5 * told_apart.squeeze(-1).mean(0)
    return ElboTerms(log_likelihood - (loss - loss.detach()), kl + gamma * log_ratio.mean(0))


def _encoded(
    model: VAE, x: Tensor, n_samples: int, eps: Tensor | None, generator: torch.Generator | None
) -> tuple[tuple[Tensor, ...], Tensor, ElboTerms]:
    """What ``elbo_terms`` computes, with the codes z, shape (K, B, L), that it draws."""
    params = model.encode(x)
    z, log_q = posterior_samples(model, params, n_samples, eps, generator)
    kl = closed_form_kl(model, params)
    if kl is None:
        kl = (log_q - model.log_prior(z)).mean(0)
    return params, z, ElboTerms(model.log_likelihood(x, z).mean(0), kl)


def shifted(z: Tensor) -> Tensor:
    """Codes whose dimensions come from different examples: dimension l is that of the example l places before.

    In a minibatch of more examples than dimensions all dimensions of a row come from different ones, as if each were
    drawn from its own marginal.

    Args:
        z: codes, shape (..., B, L).

    Returns:
        Codes of the same shape; each dimension holds the same numbers as before.

    Raises:
        ValueError: ``z`` is not a tensor of at least two axes, or has no dimension.

    Example:
        >>> shifted(torch.tensor([[1, 10], [2, 20], [3, 30]]))
        tensor([[ 1, 30],
                [ 2, 10],
                [ 3, 20]])
    """
    if not isinstance(z, Tensor) or z.ndim < 2 or not z.shape[-1]:
        came = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
        raise ValueError(f"z must have shape (..., B, L), got {came}")
    return torch.stack([column.roll(places, -1) for places, column in enumerate(z.unbind(-1))], -1)
