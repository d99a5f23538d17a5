r"""Diffusion: a hierarchical VAE whose encoder is fixed. Its prior is `vae_tutorial.priors.DiffusionPrior`.

Noise is added to a point x in T steps, and a network learns to guess x from what is left of it:

.. math:: q(z_t \mid x) = \mathcal{N}(\alpha_t x, \sigma_t^2 I), \quad \alpha_t^2 = s(\lambda_t), \quad
    \sigma_t^2 = s(-\lambda_t)

.. math:: p(z_T) = \mathcal{N}(0, I), \quad
    p(z_{t-1} \mid z_t) = q\bigl(z_{t-1} \mid z_t, x = \hat x_\theta(z_t, \lambda_t)\bigr)

(Sohl-Dickstein et al., *Deep Unsupervised Learning using Nonequilibrium Thermodynamics*, 2015; Ho et al., *Denoising
Diffusion Probabilistic Models*, 2020; in this form Kingma et al., *Variational Diffusion Models*, 2021.) The place on
the way is told by the log-signal-to-noise ratio :math:`\lambda = \log (\alpha^2 / \sigma^2)`, which is the logit of
:math:`\alpha^2`; s is the logistic function. It falls from :math:`\lambda_0` to :math:`\lambda_T`.

Shapes: K samples, B examples, L dimensions. A log-SNR is a number, or a tensor with one for each point.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_tutorial import formulas
from vae_tutorial._description import described
from vae_tutorial._validation import (
    require_finite,
    require_finite_result,
    require_float,
    require_number,
    require_same_shape,
)
from vae_tutorial.bounds import ElboTerms, posterior_samples
from vae_tutorial.likelihoods import bernoulli
from vae_tutorial.models import VAE, require_vae
from vae_tutorial.posteriors import Posterior
from vae_tutorial.priors import BitDiffusion, DiffusionPrior
from vae_tutorial.priors.diffusion import LogSnr, log_snrs

__all__ = ["diffuse", "posterior_step", "step_kl", "Diffused", "diffusion_elbo", "diffusion_vae"]


def diffuse(x: Tensor, log_snr: LogSnr, eps: Tensor) -> Tensor:
    r"""A draw of :math:`q(z_t \mid x)`: signal and noise, whose variances add up to 1.

    .. math:: z_t = \alpha_t x + \sigma_t \varepsilon, \qquad \alpha_t^2 = s(\lambda_t), \quad
        \sigma_t^2 = s(-\lambda_t)

    Args:
        x: points, shape (..., L).
        log_snr: :math:`\lambda_t`.
        eps: standard Gaussian noise, of the shape of ``x``.

    Returns:
        :math:`z_t`, of the same shape.

    Raises:
        TypeError: an argument is not a floating-point tensor, or ``log_snr`` no number.
        ValueError: shapes differ, or a value is not finite.

    Example:
        >>> diffuse(torch.tensor([[2.0]]), 0.0, torch.tensor([[-1.0]]))  # as much noise as signal: (2 - 1) / sqrt 2
        tensor([[0.7071]])
    """
    require_float(x=x, eps=eps)
    require_same_shape(x=x, eps=eps)
    (at,) = log_snrs(x, log_snr=log_snr)
    alpha, sigma = formulas.alpha_sigma(at)
    return require_finite_result(alpha * x + sigma * eps, x=x, eps=eps)


def posterior_step(z_t: Tensor, x: Tensor, log_snr_s: LogSnr, log_snr_t: LogSnr) -> tuple[Tensor, Tensor]:
    r"""Mean and log-variance of :math:`q(z_s \mid z_t, x)`: one step back, from t to an earlier s, where x is known.

    .. math:: q(z_s \mid z_t, x) = \mathcal{N}\Bigl(z_s; \; \alpha_s \bigl( (1 - c) \, z_t / \alpha_t + c \, x \bigr),
        \; c \, \sigma_s^2 I\Bigr), \qquad c = 1 - e^{\lambda_t - \lambda_s}

    (Ho et al., 2020, equations 6 and 7, in other letters.) The share c of the way goes to x, the rest stays with
    what :math:`z_t` says. With a network's :math:`\hat x` for x it is the step of the model.

    Args:
        z_t, x: points, shape (..., L).
        log_snr_s: :math:`\lambda_s`, the larger one.
        log_snr_t: :math:`\lambda_t`.

    Returns:
        Mean and log-variance, each of the shape of ``x``.

    Raises:
        TypeError: as `diffuse`.
        ValueError: as `diffuse`, or :math:`\lambda_s` is not above :math:`\lambda_t`.

    Example:
        >>> one = torch.ones(1, 1)
        >>> mu, log_var = posterior_step(one, one, 40.0, 0.0)  # all the way: x itself
        >>> mu.item(), round(log_var.item(), 3)
        (1.0, -40.0)
    """
    require_float(z_t=z_t, x=x)
    require_same_shape(z_t=z_t, x=x)
    require_finite(z_t=z_t, x=x)
    at_s, at_t = log_snrs(x, log_snr_s=log_snr_s, log_snr_t=log_snr_t)
    _require_falling(at_s, at_t)
    (alpha_s, _), (alpha_t, _) = formulas.alpha_sigma(at_s), formulas.alpha_sigma(at_t)
    share = -torch.expm1(at_t - at_s)  # c
    mu = alpha_s * ((1 - share) * z_t / alpha_t + share * x)
    return mu, (share.log() + F.logsigmoid(-at_s)).expand_as(mu)


def step_kl(x: Tensor, x_hat: Tensor, log_snr_s: LogSnr, log_snr_t: LogSnr) -> Tensor:
    r"""What one step costs: :math:`\mathrm{KL}\bigl(q(z_s \mid z_t, x) \,\|\, p(z_s \mid z_t)\bigr)`.

    .. math:: \tfrac12 \bigl( e^{\lambda_s} - e^{\lambda_t} \bigr) \, \lVert x - \hat x(z_t, \lambda_t) \rVert^2

    (Kingma et al., 2021.) Both Gaussians have the same variance, so that only their means count.

    Args:
        x, x_hat: what is true and what was guessed from :math:`z_t`, shape (..., L).
        log_snr_s, log_snr_t: as for `posterior_step`.

    Returns:
        Nats, shape (...).

    Raises:
        TypeError, ValueError: as `posterior_step`.

    Example:
        >>> import math
        >>> step_kl(torch.zeros(1, 2), torch.ones(1, 2), math.log(3.0), math.log(1.0))
        tensor([2.])
    """
    require_float(x=x, x_hat=x_hat)
    require_same_shape(x=x, x_hat=x_hat)
    at_s, at_t = log_snrs(x, log_snr_s=log_snr_s, log_snr_t=log_snr_t)
    _require_falling(at_s, at_t)
    return require_finite_result((formulas.half_snr_gap(at_s, at_t) * (x - x_hat).square()).sum(-1), x=x, x_hat=x_hat)


class Diffused(Posterior):
    r"""The posterior of a diffusion model, :math:`\mathcal{N}(\alpha_0 x, \sigma_0^2 I)`: nothing in it is learned.

    Args:
        log_snr: :math:`\lambda_0`, as the prior has it.

    Example:
        >>> z, log_q = Diffused(0.0).sample((torch.tensor([[2.0]]),), torch.tensor([[[-1.0]]]))
        >>> z
        tensor([[[0.7071]]])
    """

    names = ("x",)

    def __init__(self, log_snr: float) -> None:
        super().__init__()
        self.log_snr = require_number(log_snr=log_snr)

    def gaussian(self, params: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        (x,) = params
        alpha, sigma = formulas.alpha_sigma(torch.full_like(x, self.log_snr))
        return alpha * x, 2 * sigma.log()

    def sample(self, params: tuple[Tensor, ...], eps: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_var = self.gaussian(params)
        z = formulas.reparameterize(mu, log_var, eps)
        return z, formulas.log_normal(z, mu, log_var)

    def mean(self, params: tuple[Tensor, ...]) -> Tensor:
        return self.gaussian(params)[0]


def diffusion_elbo(
    model: VAE,
    x: Tensor,
    n_samples: int = 1,
    *,
    n_steps: int | None = None,
    generator: torch.Generator | None = None,
) -> ElboTerms:
    r"""The objective of a VAE whose prior is a diffusion: in its KL term `DiffusionPrior.bound` stands for log p(z).

    .. math:: \mathbb{E}_{q(z \mid x)}[\log p(x \mid z)] - \mathbb{E}_{q(z \mid x)}[\log q(z \mid x) - \text{bound}(z)]

    It is a bound of a bound, and so a lower bound of log p(x). Under a `Diffused` posterior z is the :math:`z_0` of the
    chain already, and the second term is `DiffusionPrior.path_kl` of what the encoder gave.

    Args:
        model: a `VAE` with a `DiffusionPrior`.
        x, n_samples, generator: as for `vae_tutorial.bounds.elbo_terms`.
        n_steps: T; None, as in training, for the limit of many.

    Returns:
        The `ElboTerms`; both are estimates.

    Raises:
        TypeError: ``model`` is no such VAE; otherwise as `vae_tutorial.bounds.elbo_terms`.
        ValueError: as `vae_tutorial.bounds.elbo_terms`, or ``n_steps`` is not an integer of at least 1.

    Example:
        >>> from vae_tutorial.models import mlp_vae
        >>> from vae_tutorial.priors import DiffusionPrior
        >>> from vae_tutorial.training import fit
        >>> x = torch.tensor([[0.0, 1.0, 1.0]]).repeat(32, 1)
        >>> model = mlp_vae(3, 8, 2, bernoulli, seed=0, prior=DiffusionPrior(2, 8, seed=0))
        >>> history = fit(model, x, epochs=1, seed=0, objective=diffusion_elbo, progress=False)
    """
    require_vae(model)
    if not isinstance(prior := model.prior, DiffusionPrior):
        raise TypeError(f"model must have a DiffusionPrior, got {type(prior).__name__}; give VAE(…, prior=…) one")
    params = model.encode(x)
    z, log_q = posterior_samples(model, params, n_samples, None, generator)
    if isinstance(model.posterior, Diffused):
        kl = prior.path_kl(params[0].expand_as(z), n_steps, generator=generator)
    else:
        kl = log_q - prior.bound(z, n_steps, generator=generator)
    return ElboTerms(model.log_likelihood(x, z).mean(0), kl.mean(0))


@described
def diffusion_vae(
    x_dim: int,
    hidden_dim: int,
    n_layers: int = 2,
    log_snr: Sequence[float] = (3.0, -9.0),
    n_steps: int = 48,
    *,
    seed: int,
) -> VAE:
    r"""A diffusion model of binary x, as the VAE that it is: encoder and decoder fixed, all that learns is the prior.

    The encoder adds noise to :math:`2x - 1`, a `Diffused` posterior. The decoder knows how likely a bit is given its
    noisy value, :math:`p(x_d = 1 \mid z_0) = s(2 \alpha_0 z_{0,d} / \sigma_0^2)`. The prior is a `BitDiffusion`.

    Args:
        x_dim: D, and L as well.
        hidden_dim, n_layers, log_snr, n_steps, seed: as for `DiffusionPrior`.

    Returns:
        The `VAE`, to be trained with `diffusion_elbo`.

    Raises:
        TypeError, ValueError: as `DiffusionPrior`.

    Example:
        >>> model = diffusion_vae(3, 8, seed=0)
        >>> model.sample(5).shape
        torch.Size([5, 3])
    """
    prior = BitDiffusion(x_dim, hidden_dim, n_layers, log_snr, n_steps, seed=seed)
    start = prior.log_snr[0]
    return VAE(ToSigns(), SignLogits(start), prior.latent_dim, bernoulli, prior, Diffused(start))


class ToSigns(nn.Module):
    """The encoder of a diffusion model of bits: 0 and 1 become −1 and 1."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x - 1


class SignLogits(nn.Module):
    """Its decoder: logits of bits whose signs were diffused to this log-SNR."""

    def __init__(self, log_snr: float) -> None:
        super().__init__()
        self.log_snr = log_snr

    def forward(self, z: Tensor) -> Tensor:
        alpha, sigma = formulas.alpha_sigma(torch.full_like(z, self.log_snr))
        return 2 * alpha * z / sigma**2


def _require_falling(at_s: Tensor, at_t: Tensor) -> None:
    if bool((wrong := at_s <= at_t).any()):
        s, t = (at.expand_as(wrong)[wrong][0].item() for at in (at_s, at_t))
        raise ValueError(
            f"log_snr_s must be above log_snr_t, got {s:g} and {t:g} in {at_s.dtype}: s is the earlier one, with less "
            "noise; exchange them where they are in the wrong order"
        )
