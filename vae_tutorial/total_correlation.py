r"""How dependent the dimensions of a code are: its total correlation, in closed form, by all data, by minibatches.

The aggregated posterior of N examples is :math:`q(z) = \frac1N \sum_n q_\phi(z \mid x_n)`, and its total correlation

.. math:: \mathrm{TC} = \mathrm{KL}\Bigl(q(z) \,\Big\|\, \prod_{l=1}^{L} q(z_l)\Bigr)
    = \mathbb{E}_{q(z)}\Bigl[\log q(z) - \sum_{l=1}^{L} \log q(z_l)\Bigr] \ge 0

(Watanabe, *Information Theoretical Analysis of Multivariate Correlation*, 1960.) The estimates here take the matrix of
all :math:`\log q_\phi(z_{il} \mid x_j)`, which `pairwise_log_q` gives, and differ in the weights of its columns.

Shapes: S points z, N examples of the whole data set, M of a minibatch, L latent dimensions.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import formulas
from vae_tutorial._restoring import in_evaluation_mode
from vae_tutorial._validation import (
    require_count,
    require_finite,
    require_float,
    require_same_dtype,
    require_same_shape,
    require_seed,
)
from vae_tutorial.bounds import posterior_samples
from vae_tutorial.models import VAE, require_vae
from vae_tutorial.reference import Estimate, monte_carlo

__all__ = [
    "gaussian_total_correlation",
    "pairwise_log_q",
    "AggregatedLogs",
    "aggregated",
    "minibatch_weighted",
    "minibatch_stratified",
    "KlParts",
    "kl_parts",
]


def gaussian_total_correlation(cov: Tensor) -> Tensor:
    r"""Total correlation of a Gaussian, from its covariance C.

    .. math:: \mathrm{TC} = \frac12 \Bigl(\sum_{l=1}^{L} \log C_{ll} - \log \det C\Bigr)

    Args:
        cov: C, shape (..., L, L), symmetric and positive definite; only its lower triangle is read.

    Returns:
        The total correlation in nats, shape (...), at least 0 but for rounding.

    Raises:
        TypeError: ``cov`` is not a floating-point tensor.
        ValueError: ``cov`` is not finite, not square, or not positive definite.

    Example:
        >>> cov = torch.tensor([[2.0, 1.2], [1.2, 2.0]])  # a correlation of 0.6
        >>> print(f"{gaussian_total_correlation(cov):.4f}, {-0.5 * math.log(1 - 0.6**2):.4f}")
        0.2231, 0.2231
    """
    require_float(cov=cov)
    require_finite(cov=cov)
    if cov.ndim < 2 or cov.shape[-1] != cov.shape[-2]:
        raise ValueError(f"cov must be square, shape (..., L, L), got {tuple(cov.shape)}")
    root, failed = torch.linalg.cholesky_ex(cov)
    if failed.any():
        raise ValueError("cov must be positive definite, and is not: no dimension may be a sum of the others")
    variances, roots = (matrix.diagonal(dim1=-2, dim2=-1) for matrix in (cov, root))
    return 0.5 * variances.log().sum(-1) - roots.log().sum(-1)


def pairwise_log_q(z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    r""":math:`\log q_\phi(z_{il} \mid x_j)` of every point under every example, for each latent dimension.

    Args:
        z: points, shape (S, L).
        mu, log_var: the encodings of examples, shape (N, L) each.

    Returns:
        Log-densities in nats, shape (S, N, L).

    Raises:
        TypeError: an argument is not a floating-point tensor, or their dtypes differ.
        ValueError: shapes do not fit, or a value is not finite.

    Example:
        >>> z, mu, log_var = torch.randn(5, 2), torch.randn(3, 2), torch.zeros(3, 2)
        >>> pairwise_log_q(z, mu, log_var).shape
        torch.Size([5, 3, 2])
    """
    require_float(z=z, mu=mu, log_var=log_var)
    require_same_shape(mu=mu, log_var=log_var)
    require_same_dtype(z=z, mu=mu, log_var=log_var)
    require_finite(z=z, mu=mu, log_var=log_var)
    if z.ndim != 2 or mu.ndim != 2 or z.shape[1] != mu.shape[1]:
        raise ValueError(
            f"z must have shape (S, L) and mu (N, L), with one L, got {tuple(z.shape)} and {tuple(mu.shape)}"
        )
    single = (t.unsqueeze(-1) for t in (z[:, None], mu[None], log_var[None]))  # a sum over one dimension is that one
    return formulas.log_normal(*single)


class AggregatedLogs(NamedTuple):
    r"""Logarithms of the aggregated posterior at S points, or estimates of them, in nats.

    Attributes:
        joint: :math:`\log q(z)`, shape (S,).
        marginals: :math:`\log q(z_l)`, shape (S, L).
    """

    joint: Tensor
    marginals: Tensor

    @property
    def dependence(self) -> Tensor:
        r""":math:`\log q(z) - \sum_l \log q(z_l)`, shape (S,): its mean over z from q(z) is the total correlation."""
        return self.joint - self.marginals.sum(-1)


def aggregated(log_q: Tensor) -> AggregatedLogs:
    r"""The aggregated posterior itself, a mixture of all N examples' posteriors with equal weights.

    Args:
        log_q: what `pairwise_log_q` gives of all examples of the data set, shape (S, N, L).

    Returns:
        The `AggregatedLogs`, exact.

    Raises:
        TypeError: ``log_q`` is not a floating-point tensor.
        ValueError: it does not have three axes, or is not finite.

    Example:
        >>> mu, log_var = torch.tensor([[-4.0, -4.0], [4.0, 4.0]]), torch.zeros(2, 2)  # one bit, said twice
        >>> logs = aggregated(pairwise_log_q(mu, mu, log_var))
        >>> print(f"{logs.dependence.mean():.4f}, {math.log(2):.4f}")
        0.6931, 0.6931
    """
    _require_pairwise(log_q)
    return _mixture(log_q, log_q.new_tensor(-math.log(log_q.shape[1])))


def minibatch_weighted(log_q: Tensor, n_data: int) -> AggregatedLogs:
    r"""The minibatch-weighted estimates of Chen et al. (*Isolating Sources of Disentanglement in VAEs*, 2018).

    .. math:: \log q(z_i) \approx \log \frac{1}{NM} \sum_{j=1}^{M} q_\phi(z_i \mid x_j), \qquad
        z_i \sim q_\phi(z \mid x_i)

    and the same for each dimension. They are too small: on the whole data set, M = N, by exactly log N each, so that
    the total correlation comes out (L − 1) log N too large. The constant has no gradient.

    Args:
        log_q: what `pairwise_log_q` gives for a minibatch and one z of each of its examples, shape (M, M, L).
        n_data: N, the size of the data set.

    Returns:
        The `AggregatedLogs`, estimates.

    Raises:
        TypeError: ``log_q`` is not a floating-point tensor.
        ValueError: it does not have the shape (M, M, L), is not finite, or ``n_data`` is not an integer of at least M.

    Example:
        >>> mu, log_var = torch.tensor([[-4.0, -4.0], [4.0, 4.0]]), torch.zeros(2, 2)
        >>> logs = minibatch_weighted(pairwise_log_q(mu, mu, log_var), n_data=2)
        >>> print(f"{logs.dependence.mean():.4f}, {2 * math.log(2):.4f}")  # log 2 too large
        1.3863, 1.3863
    """
    _require_minibatch(log_q, n_data)
    return _mixture(log_q, log_q.new_tensor(-math.log(len(log_q) * n_data)))


def minibatch_stratified(log_q: Tensor, n_data: int) -> AggregatedLogs:
    r"""Stratified estimates: an example counts 1/N for its own z, and the others stand for the N − 1 that are left.

    .. math:: q(z_i) \approx \frac1N \, q_\phi(z_i \mid x_i)
        + \frac{N - 1}{N (M - 1)} \sum_{j \ne i} q_\phi(z_i \mid x_j), \qquad z_i \sim q_\phi(z \mid x_i)

    This is unbiased for q(z) where the minibatch is drawn without replacement; its logarithm is not, and lies below
    on average (Jensen's inequality). On the whole data set it is exact. In the estimate of Chen et al. (2018) one
    of the others has a weight of its own; equal weights are its mean over which one that is, with the same
    expectation and never a larger variance.

    Args:
        log_q, n_data: as for `minibatch_weighted`. With M = 1 nothing is known of other examples, and none counts.

    Returns:
        The `AggregatedLogs`, estimates.

    Raises:
        TypeError: ``log_q`` is not a floating-point tensor.
        ValueError: it does not have the shape (M, M, L), is not finite, or ``n_data`` is not an integer of at least M.

    Example:
        >>> mu, log_var = torch.tensor([[-4.0, -4.0], [4.0, 4.0]]), torch.zeros(2, 2)
        >>> log_q = pairwise_log_q(mu, mu, log_var)
        >>> torch.allclose(minibatch_stratified(log_q, n_data=2).joint, aggregated(log_q).joint)
        True
    """
    _require_minibatch(log_q, n_data)
    m = len(log_q)
    weights = torch.full((m, m), (n_data - 1) / (n_data * max(m - 1, 1)), dtype=log_q.dtype, device=log_q.device)
    return _mixture(log_q, weights.fill_diagonal_(1 / n_data).log())


def _mixture(log_q: Tensor, log_weights: Tensor) -> AggregatedLogs:
    """log Σ_j w_ij q(z_i|x_j), of all dimensions together and of each alone."""
    joint = torch.logsumexp(log_weights + log_q.sum(-1), 1)
    return AggregatedLogs(joint, torch.logsumexp(log_weights[..., None] + log_q, 1))  # (S,), (S, L)


def _require_pairwise(log_q: Tensor) -> None:
    require_float(log_q=log_q)
    require_finite(log_q=log_q)
    if log_q.ndim != 3:
        raise ValueError(f"log_q must have shape (S, N, L), as pairwise_log_q gives it, got {tuple(log_q.shape)}")


def _require_minibatch(log_q: Tensor, n_data: int) -> None:
    _require_pairwise(log_q)
    if len(log_q) != log_q.shape[1]:
        raise ValueError(f"log_q must have shape (M, M, L), one z for each example, got {tuple(log_q.shape)}")
    require_count(n_data=n_data)
    if n_data < len(log_q):
        raise ValueError(f"n_data must be at least the {len(log_q)} examples of the minibatch, got {n_data!r}")


class KlParts(NamedTuple):
    r"""The averaged KL in three parts, each an `vae_tutorial.reference.Estimate` in nats (Chen et al., 2018).

    Attributes:
        information: index-code mutual information, :math:`\mathrm{KL}(q(z, n) \| q(z) q(n))`, at most log N.
        total_correlation: :math:`\mathrm{KL}(q(z) \| \prod_l q(z_l))`.
        dimension_wise: :math:`\sum_l \mathrm{KL}(q(z_l) \| p(z_l))`.
    """

    information: Estimate
    total_correlation: Estimate
    dimension_wise: Estimate


def kl_parts(model: VAE, x: Tensor, n_samples: int = 1, *, seed: int) -> KlParts:
    r"""What the averaged KL is made of, with the aggregated posterior of all the examples given.

    .. math:: \frac1N \sum_n \mathrm{KL}\bigl(q_\phi(z \mid x_n) \| p(z)\bigr) = I_q(z; n) + \mathrm{TC}
        + \sum_l \mathrm{KL}\bigl(q(z_l) \| p(z_l)\bigr)

    Args:
        model: the VAE, with the posterior `vae_tutorial.posteriors.diagonal`; measured in evaluation mode, and left as
            it was.
        x: the whole data set, shape (N, D), at least two examples.
        n_samples: z drawn for each example.
        seed: fixes the noise.

    Returns:
        The `KlParts`. Their standard errors are those of other noise and other examples; the three means add up to a
        mean of :math:`\log q_\phi(z \mid x) - \log p(z)`.

    Raises:
        TypeError: ``model`` is not a VAE or its posterior another one, ``x`` is not a floating-point tensor, or
            ``seed`` not an integer.
        ValueError: ``x`` has fewer than two rows or does not fit the encoder, or ``n_samples`` is not an integer
            of at least 1.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> from vae_tutorial.models import mlp_vae
        >>> parts = kl_parts(mlp_vae(3, 8, 2, normal(0.0), seed=0), torch.rand(50, 3), seed=1)
        >>> len(parts), bool(parts.information.mean <= math.log(50))
        (3, True)
    """
    require_vae(model)
    require_float(x=x)
    if len(x) < 2:
        raise ValueError(f"x must hold at least 2 examples, the whole data set, got shape {tuple(x.shape)}")
    require_count(n_samples=n_samples)
    generator = torch.Generator().manual_seed(require_seed(seed=seed))
    with in_evaluation_mode(model), torch.no_grad():
        params = model.encode(x)
        mu, log_var = (t.double() for t in gaussian_of(model, params))
        values: list[list[Tensor]] = [[], [], []]
        for _ in range(int(n_samples)):
            z, log_q = (t[0] for t in posterior_samples(model, params, generator=generator))
            pieces = [aggregated(pairwise_log_q(rows, mu, log_var)) for rows in z.double().split(100)]
            joint, marginals = (torch.cat(parts) for parts in zip(*pieces, strict=True))
            log_p = model.log_prior(z).double()
            for part, value in zip(
                values, (log_q.double() - joint, joint - marginals.sum(-1), marginals.sum(-1) - log_p), strict=True
            ):
                part.append(value)
    return KlParts(*(monte_carlo(torch.cat(part)) for part in values))


def gaussian_of(model: VAE, params: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of q(z|x), which must be a diagonal Gaussian."""
    if (gaussian := model.posterior.gaussian(params)) is None:
        raise TypeError(f"q(z|x) must be the posterior diagonal, got {type(model.posterior).__name__}")
    return gaussian
