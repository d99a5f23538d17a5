r"""Diagonal Gaussians: log-densities, Kullback-Leibler divergences, and the reparameterization trick.

A diagonal Gaussian is given by its mean ``mu`` and its log-variance ``log_var``, never by a variance or a
standard deviation, so the three cannot be confused. Densities and divergences are summed over the last axis,
one value per example, in nats. Shapes: K samples, B examples, D dimensions.
"""

import torch
from torch import Tensor

from vae_tutorial import formulas
from vae_tutorial._random import standard_noise
from vae_tutorial._validation import (
    require_aligned,
    require_finite,
    require_finite_result,
    require_float,
    require_same_dtype,
    require_same_shape,
)

__all__ = [
    "log_normal",
    "log_standard_normal",
    "kl_standard_normal",
    "kl_normal",
    "reparameterize",
    "standard_noise",
]


def log_normal(x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    r"""Log-density of a diagonal Gaussian.

    .. math:: \log \mathcal{N}(x; \mu, \operatorname{diag} \sigma^2)
        = -\tfrac12 \sum_{d=1}^{D} \Bigl( \log 2\pi + \log \sigma_d^2 + \frac{(x_d - \mu_d)^2}{\sigma_d^2} \Bigr)

    Args:
        x: points, shape (..., D).
        mu: means, shape (..., D).
        log_var: log-variances :math:`\log \sigma^2`, of the shape of ``mu``.

    ``x`` has the shape of ``mu``, or one of the two has one more leading sample axis: (K, B, D) beside (B, D).
    Nothing else is broadcast.

    Returns:
        Log-densities in nats, shape (...), the last axis summed. They may be positive, since a density may exceed 1.

    Raises:
        TypeError: an argument is not a floating-point tensor, or ``mu`` and ``log_var`` differ in dtype.
        ValueError: shapes do not fit, an argument is empty or not finite, or the result overflows.

    Example:
        >>> zero = torch.zeros(1)
        >>> print(f"{log_normal(zero, zero, zero).item():.4f}")
        -0.9189
    """
    require_float(x=x, mu=mu, log_var=log_var)
    require_same_shape(mu=mu, log_var=log_var)
    require_same_dtype(mu=mu, log_var=log_var)
    require_aligned(x=x, mu=mu)
    return require_finite_result(formulas.log_normal(x, mu, log_var), x=x, mu=mu, log_var=log_var)


def log_standard_normal(z: Tensor) -> Tensor:
    r"""Log-density of the standard Gaussian, :math:`\log \mathcal{N}(z; 0, I)`.

    Args:
        z: points, shape (..., L).

    Returns:
        Log-densities in nats, shape (...), at most :math:`-\tfrac{L}{2} \log 2\pi`.

    Raises:
        TypeError: ``z`` is not a floating-point tensor.
        ValueError: ``z`` is empty or not finite, or the result overflows.

    Example:
        >>> print(f"{log_standard_normal(torch.tensor([1.0, 2.0])).item():.4f}")
        -4.3379
    """
    require_float(z=z)
    return require_finite_result(formulas.log_standard_normal(z), z=z)


def kl_standard_normal(mu: Tensor, log_var: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence of a diagonal Gaussian from the standard Gaussian.

    .. math:: \mathrm{KL}\bigl(\mathcal{N}(\mu, \operatorname{diag} \sigma^2) \,\|\, \mathcal{N}(0, I)\bigr)
        = \tfrac12 \sum_{l=1}^{L} \bigl( \mu_l^2 + \sigma_l^2 - 1 - \log \sigma_l^2 \bigr)

    This is Appendix B of Kingma and Welling, *Auto-Encoding Variational Bayes* (2014), with the sign turned. The
    difference :math:`\sigma^2 - 1 - \log \sigma^2` is taken without cancellation, so the result is never negative.

    Args:
        mu: means, shape (..., L).
        log_var: log-variances, of the same shape.

    Returns:
        Divergences in nats, shape (...), at least 0.

    Raises:
        TypeError: an argument is not a floating-point tensor, or the arguments differ in dtype.
        ValueError: shapes differ, an argument is empty or not finite, or the result overflows.

    Example:
        >>> import math
        >>> mu = torch.tensor([[1.0, 0.0]])
        >>> log_var = torch.tensor([[0.0, math.log(4.0)]])
        >>> kl = kl_standard_normal(mu, log_var)
        >>> print(f"{kl.item():.4f}")  # 1/2 + (4 - 1 - log 4)/2
        1.3069
    """
    require_float(mu=mu, log_var=log_var)
    require_same_shape(mu=mu, log_var=log_var)
    require_same_dtype(mu=mu, log_var=log_var)
    return require_finite_result(formulas.kl_standard_normal(mu, log_var), mu=mu, log_var=log_var)


def kl_normal(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence between two diagonal Gaussians, :math:`\mathrm{KL}(q \,\|\, p)`.

    .. math:: \mathrm{KL}(q \,\|\, p) = \tfrac12 \sum_{l=1}^{L} \Bigl( \frac{(\mu_{q,l} - \mu_{p,l})^2}{\sigma_{p,l}^2}
        + \frac{\sigma_{q,l}^2}{\sigma_{p,l}^2} - 1 - \log \frac{\sigma_{q,l}^2}{\sigma_{p,l}^2} \Bigr)

    Args:
        mu_q, log_var_q: mean and log-variance of q, shape (..., L).
        mu_p, log_var_p: mean and log-variance of p, of the same shape.

    Returns:
        Divergences in nats, shape (...), at least 0.

    Raises:
        TypeError: an argument is not a floating-point tensor, or the arguments differ in dtype.
        ValueError: shapes differ, an argument is empty or not finite, or the result overflows.

    Example:
        >>> one = torch.ones(3)  # means that differ by 2 in each dimension
        >>> kl_normal(one, 0 * one, -one, 0 * one)
        tensor(6.)
    """
    arguments = dict(mu_q=mu_q, log_var_q=log_var_q, mu_p=mu_p, log_var_p=log_var_p)
    require_float(**arguments)
    require_same_shape(**arguments)
    require_same_dtype(**arguments)
    return require_finite_result(formulas.kl_normal(mu_q, log_var_q, mu_p, log_var_p), **arguments)


def reparameterize(
    mu: Tensor, log_var: Tensor, eps: Tensor | None = None, *, generator: torch.Generator | None = None
) -> Tensor:
    r"""Draw from a diagonal Gaussian as a differentiable function of its parameters.

    .. math:: z = \mu + \sigma \odot \varepsilon, \qquad \varepsilon \sim \mathcal{N}(0, I)

    The reparameterization trick of Kingma and Welling (2014) and of Rezende, Mohamed and Wierstra (2014).

    Args:
        mu: means, shape (B, L).
        log_var: log-variances, of the same shape.
        eps: the noise, of the shape of ``mu`` or with one more leading axis, (K, B, L). Drawn when left out.
        generator: where the noise is drawn from when ``eps`` is left out; PyTorch's global one by default.

    Returns:
        Samples of the shape of ``eps``.

    Raises:
        TypeError: an argument is not a floating-point tensor, ``mu`` and ``log_var`` differ in dtype,
            or ``generator`` is not a ``torch.Generator``.
        ValueError: shapes do not fit, or an argument is empty or not finite.

    Example:
        >>> mu, log_var = torch.tensor([1.0]), torch.tensor([0.0])
        >>> reparameterize(mu, log_var, eps=torch.tensor([-2.0]))
        tensor([-1.])
    """
    require_float(mu=mu, log_var=log_var)
    require_same_shape(mu=mu, log_var=log_var)
    require_same_dtype(mu=mu, log_var=log_var)
    if eps is None:
        eps = standard_noise(mu.shape, like=mu, generator=generator)
    require_float(eps=eps)
    require_aligned(eps=eps, mu=mu)
    if eps.ndim < mu.ndim:
        raise ValueError(f"eps must have at least the axes of mu, got eps {tuple(eps.shape)}, mu {tuple(mu.shape)}")
    require_finite(log_var=log_var)  # a log-variance of -inf would leave z finite
    return require_finite_result(formulas.reparameterize(mu, log_var, eps), mu=mu, log_var=log_var, eps=eps)
