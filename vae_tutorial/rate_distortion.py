r"""The rate–distortion plane: what a code costs, what is lost, and how little of both a linear VAE can do with.

The two terms of the ELBO, averaged over examples, are the coordinates of a model:

.. math:: \mathcal{R} = \mathbb{E}_x \, \mathrm{KL}\bigl(q_\phi(z \mid x) \,\|\, p(z)\bigr), \qquad
    \mathcal{D} = -\mathbb{E}_x \, \mathbb{E}_{q_\phi(z \mid x)}[\log p_\theta(x \mid z)]

(Alemi et al., *Fixing a Broken ELBO*, 2018.) A :math:`\beta`-VAE minimizes :math:`\mathcal{D} + \beta \mathcal{R}`.

Shapes: K samples, B examples, D dimensions of x, L latent dimensions.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial._restoring import in_evaluation_mode
from vae_tutorial._validation import require_count, require_finite, require_float, require_positive, require_seed
from vae_tutorial.bounds import closed_form_kl, posterior_samples
from vae_tutorial.models import VAE, require_vae
from vae_tutorial.objectives import kl_by_unit
from vae_tutorial.reference import Estimate, monte_carlo

ROWS, DRAWS = 100, 100
"""Examples, and draws for each, that go through the decoder at a time; fixed, since the noise depends on them."""

__all__ = ["RateDistortion", "rate_distortion", "rates_by_unit", "LinearOptimum", "linear_frontier", "critical_betas"]


class RateDistortion(NamedTuple):
    r"""Rate and distortion of each example, and the standard errors of their Monte Carlo estimates.

    Attributes:
        rate: the KL of each example in nats, shape (B,), in float64.
        distortion: :math:`-\mathbb{E}_q[\log p_\theta(x \mid z)]` in nats, shape (B,), in float64.
        rate_stderr: 0 where the rate is in closed form; shape (B,).
        distortion_stderr: shape (B,).
    """

    rate: Tensor
    distortion: Tensor
    rate_stderr: Tensor
    distortion_stderr: Tensor

    @property
    def mean(self) -> tuple[float, float]:
        r"""The model's place in the plane, :math:`(\mathcal{R}, \mathcal{D})` in nats per example."""
        return self.rate.mean().item(), self.distortion.mean().item()

    @property
    def mean_stderr(self) -> tuple[float, float]:
        """The standard errors of ``mean``, those of other noise on these examples: not of other examples."""
        rate, distortion = (stderr.square().sum().sqrt().item() / len(stderr) for stderr in self[2:])
        return rate, distortion


def rate_distortion(model: VAE, x: Tensor, n_samples: int = 100, *, seed: int) -> RateDistortion:
    r"""Where a model stands in the rate–distortion plane: the two terms of its ELBO, at :math:`\beta = 1`.

    The rate is in closed form where prior and posterior know their KL, else a mean of
    :math:`\log q_\phi(z^{(k)} \mid x) - \log p(z^{(k)})` over the same samples as the distortion.

    Args:
        model: the VAE; measured in evaluation mode, whatever its mode is, and left as it was.
        x: examples, shape (B, D), on the device of the model.
        n_samples: K, the noise draws for each example, at least 2.
        seed: fixes the noise.

    Returns:
        The `RateDistortion`; ``-(rate + distortion)`` is an unbiased estimate of the ELBO.

    Raises:
        TypeError: ``model`` is not a VAE, ``x`` not a floating-point tensor, or ``seed`` not an integer.
        ValueError: ``x`` does not fit the model, ``n_samples`` is not an integer of at least 2, or a value is not
            finite.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, normal(0.0), seed=0)
        >>> place = rate_distortion(model, torch.rand(10, 3), 50, seed=1)
        >>> place.rate.shape, place.mean_stderr[0]
        (torch.Size([10]), 0.0)
    """
    require_vae(model)
    require_float(x=x)
    require_count(n_samples=n_samples)
    if n_samples < 2:
        raise ValueError(f"n_samples must be at least 2, or there is no standard error, got {n_samples!r}")
    generator = torch.Generator().manual_seed(require_seed(seed=seed))
    places = []
    with in_evaluation_mode(model), torch.no_grad():
        for rows in x.split(ROWS):
            params = model.encode(rows)
            kl = closed_form_kl(model, params)
            rates, distortions = [], []
            for start in range(0, int(n_samples), DRAWS):
                shape = (min(DRAWS, int(n_samples) - start), *params[0].shape)
                eps = torch.randn(shape, generator=generator).to(params[0])  # the same for a model in float64
                z, log_q = posterior_samples(model, params, eps=eps)
                distortions.append(-model.log_likelihood(rows, z).double())
                rates.append((log_q - model.log_prior(z)).double())
            of_rate = (
                monte_carlo(torch.cat(rates)) if kl is None else Estimate(kl.double(), torch.zeros_like(kl.double()))
            )
            places.append([*of_rate, *monte_carlo(torch.cat(distortions))])
    rate, rate_stderr, distortion, distortion_stderr = (torch.cat(parts) for parts in zip(*places, strict=True))
    require_finite(rate=rate, distortion=distortion)
    return RateDistortion(rate, distortion, rate_stderr, distortion_stderr)


def rates_by_unit(model: VAE, x: Tensor, *, batch_size: int = 1000) -> Tensor:
    r"""The rate of each latent unit for each example, :math:`\mathrm{KL}(q_\phi(z_l \mid x) \,\|\, p(z_l))`.

    Args:
        model: the VAE, with the posterior `vae_tutorial.posteriors.diagonal` and a Gaussian prior; measured in
            evaluation mode, and left as it was.
        x: examples, shape (B, D).
        batch_size: how many examples go through the encoder at a time.

    Returns:
        Rates in nats, shape (B, L); their sum over the units is the example's KL.

    Raises:
        TypeError: ``model`` is not a VAE, its units have no KL of their own, or ``x`` is not a floating-point tensor.
        ValueError: ``x`` does not fit the encoder, or ``batch_size`` is not an integer of at least 1.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, normal(0.0), seed=0)
        >>> rates_by_unit(model, torch.rand(10, 3)).shape
        torch.Size([10, 2])
    """
    require_vae(model)
    require_float(x=x)
    require_count(batch_size=batch_size)
    with in_evaluation_mode(model), torch.no_grad():
        return torch.cat([kl_by_unit(model, model.encode(rows)) for rows in x.split(int(batch_size))])


class LinearOptimum(NamedTuple):
    r"""The best linear VAE at one :math:`\beta`.

    Attributes:
        rates: of each latent in nats, shape (L,), in descending order; 0 for one that is dead.
        distortion: :math:`\mathcal{D}` in nats, without axes.
        noise_var: :math:`\sigma^2` of the decoder, as given or as learned, without axes.
    """

    rates: Tensor
    distortion: Tensor
    noise_var: Tensor

    @property
    def rate(self) -> Tensor:
        r""":math:`\mathcal{R}` in nats, without axes."""
        return self.rates.sum()


def linear_frontier(
    eigenvalues: Tensor, beta: float, *, latent_dim: int, noise_var: float | None = None
) -> LinearOptimum:
    r"""The least :math:`\mathcal{D} + \beta \mathcal{R}` of a linear VAE, in closed form: reverse water-filling.

    Encoder and decoder are linear, :math:`p_\theta(x \mid z) = \mathcal{N}(x; W z + b, \sigma^2 I)`, and the data have
    a covariance with the eigenvalues :math:`\lambda_1 \ge \dots \ge \lambda_D`. With the level
    :math:`\tau = \beta \sigma^2`,

    .. math:: \mathcal{R} = \sum_{l \le L} \tfrac12 \log^+ \frac{\lambda_l}{\tau}, \qquad
        \mathcal{D} = \tfrac{D}{2} \log 2 \pi \sigma^2
        + \frac{1}{2 \sigma^2} \Bigl( \sum_{l \le L} \min(\lambda_l, \tau) + \sum_{l > L} \lambda_l \Bigr) .

    A learned noise variance is :math:`\sigma^2 = \sum_{l > n} \lambda_l / (D - n \beta)` with n living latents.

    Args:
        eigenvalues: of the data's covariance, shape (D,), in any order; none negative beyond rounding.
        beta: :math:`\beta`, a positive number.
        latent_dim: L, from 1 to D: more latents than dimensions stay idle.
        noise_var: :math:`\sigma^2`, a positive number; None: learned, the best one for this :math:`\beta` (the largest
            where several are best: at :math:`\beta = 1` with a latent for each dimension).

    Returns:
        The `LinearOptimum`, in float64.

    Raises:
        TypeError: ``eigenvalues`` is not a floating-point tensor, or ``beta`` or ``noise_var`` not a number.
        ValueError: a value is not in its range, or so extreme that a result is not finite; or ``noise_var`` is learned
            and has no optimum, since the latents explain everything: it falls to 0.

    Example:
        >>> best = linear_frontier(torch.tensor([4.0, 1.0, 0.5]), 2.0, latent_dim=2, noise_var=0.5)
        >>> best.rates  # log 2, and a dead one: 1 is not above 2 times 0.5
        tensor([0.6931, 0.0000], dtype=torch.float64)
    """
    lam, beta = _spectrum(eigenvalues, latent_dim), require_positive(beta=beta)
    if noise_var is None:
        n = int((critical_betas(lam, latent_dim=latent_dim) > beta).sum())
        v = lam[n:].sum() / (len(lam) - n * beta)
        if not v > 0:
            raise ValueError(
                f"noise_var has no optimum: {n} latents explain all of the variance at beta={beta:g}, and it falls to "
                "0; give noise_var, or a latent_dim below the number of positive eigenvalues"
            )
    else:
        v = torch.tensor(require_positive(noise_var=noise_var), dtype=torch.float64)
    level = beta * v
    used, left = lam[:latent_dim], lam[latent_dim:]
    rates = 0.5 * (used.clamp(min=level) / level).log()
    errors = used.clamp(max=level).sum() + left.sum()
    distortion = 0.5 * len(lam) * torch.log(2 * math.pi * v) + errors / (2 * v)
    require_finite(rates=rates, distortion=distortion)
    return LinearOptimum(rates, distortion, v)


def critical_betas(eigenvalues: Tensor, *, latent_dim: int, noise_var: float | None = None) -> Tensor:
    r"""The :math:`\beta` from which on each latent of the best linear VAE is dead.

    .. math:: \beta_l = \frac{\lambda_l}{\sigma^2}, \qquad \text{or, where } \sigma^2 \text{ is learned,} \qquad
        \beta_l = \frac{D}{l + \sum_{j > l} \lambda_j / \lambda_l}

    Args:
        eigenvalues, latent_dim, noise_var: as for `linear_frontier`.

    Returns:
        Shape (L,), in descending order, in float64; 0 for a latent without variance to explain.

    Raises:
        TypeError, ValueError: as `linear_frontier`.

    Example:
        >>> critical_betas(torch.tensor([4.0, 1.0, 0.5]), latent_dim=2, noise_var=0.5)
        tensor([8., 2.], dtype=torch.float64)
    """
    lam = _spectrum(eigenvalues, latent_dim)
    if noise_var is not None:
        return lam[:latent_dim] / require_positive(noise_var=noise_var)
    beyond = lam.sum() - lam.cumsum(0)  # of each latent: the variance of what comes after it
    number = torch.arange(1, len(lam) + 1)
    return (len(lam) * lam / (number * lam + beyond).clamp(min=1e-300))[:latent_dim]


def _spectrum(eigenvalues: Tensor, latent_dim: int) -> Tensor:
    """The eigenvalues in descending order, in float64, without the rounding errors of those that are 0."""
    require_float(eigenvalues=eigenvalues)
    require_finite(eigenvalues=eigenvalues)
    require_count(latent_dim=latent_dim)
    if eigenvalues.ndim != 1 or eigenvalues.min() < -1e-6 * eigenvalues.max() or eigenvalues.max() <= 0:
        raise ValueError(
            "eigenvalues must have shape (D,), be at least 0 and not all 0, got shape "
            f"{tuple(eigenvalues.shape)} in [{eigenvalues.min():g}, {eigenvalues.max():g}]"
        )
    if latent_dim > len(eigenvalues):
        raise ValueError(f"latent_dim must be at most D = {len(eigenvalues)}, got {latent_dim}")
    return eigenvalues.double().clamp(min=0).sort(descending=True).values
