r"""Exact and near-exact answers to compare with: quadrature, Monte Carlo with its error, a model that can be solved.

Nothing here shares a formula with the functions it is meant to test: integrals are sums over a grid, and the
linear-Gaussian model is solved with full covariance matrices by `torch.distributions`. Everything is in float64.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence

from vae_tutorial._random import standard_noise
from vae_tutorial._validation import require_count, require_finite, require_float, require_same_shape


def grid(low: Sequence[float], high: Sequence[float], n_nodes: int) -> tuple[Tensor, float]:
    """Nodes and cell volume of the trapezoidal rule on a box, for integrands that have died out at its borders.

    There the rule is a plain sum, and for smooth integrands it converges faster than any power of the step
    (Trefethen and Weideman, *The Exponentially Convergent Trapezoidal Rule*, 2014): for a Gaussian, steps of half a
    standard deviation already reach the precision of float64.

    Args:
        low, high: the corners of the box, one number a dimension.
        n_nodes: nodes along each dimension, at least 2.

    Returns:
        The nodes, shape (n_nodes**L, L), and the volume of one cell.

    Raises:
        ValueError: ``low`` and ``high`` differ in length, a side is not positive and finite, or ``n_nodes`` is below 2.

    Example:
        >>> z, cell = grid([-9.0], [9.0], 37)
        >>> root_of_2_pi = torch.exp(-z**2 / 2).sum() * cell
        >>> print(f"{root_of_2_pi.item():.12f}")
        2.506628274631
    """
    require_count(n_nodes=n_nodes)
    if len(low) != len(high):
        raise ValueError(f"low and high need one number a dimension each, got {low} and {high}")
    sides = [b - a for a, b in zip(low, high, strict=True)]
    if n_nodes < 2 or not sides or not all(0 < side < math.inf for side in sides):
        raise ValueError(
            f"the box needs positive finite sides and n_nodes >= 2, got low {low}, high {high}, n_nodes {n_nodes}"
        )
    axes = [torch.linspace(a, b, n_nodes, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
    cell = math.prod(side / (n_nodes - 1) for side in sides)
    return torch.cartesian_prod(*axes).reshape(-1, len(axes)), cell


def kl_quadrature(
    log_q: Callable[[Tensor], Tensor],
    log_p: Callable[[Tensor], Tensor],
    low: Sequence[float],
    high: Sequence[float],
    n_nodes: int = 201,
) -> Tensor:
    r"""Kullback-Leibler divergence by numerical integration, :math:`\int q(z) (\log q(z) - \log p(z)) \, dz`.

    Args:
        log_q, log_p: log-densities; each maps float64 points of shape (N, L) to (N,).
        low, high: the corners of a box outside which q is negligible, one number a dimension: ten standard
            deviations on either side of the mean are enough for a Gaussian.
        n_nodes: nodes along each dimension; the sum runs over ``n_nodes**L`` points.

    Returns:
        The divergence in nats, a tensor without axes.

    Raises:
        ValueError: the box is not valid, ``log_q`` or ``log_p`` gives NaN or another shape, or q does not integrate to
            1 on the box to within 1e-6.

    Example:
        >>> from torch.distributions import Normal
        >>> q = lambda z: Normal(1.0, 1.0).log_prob(z).sum(-1)
        >>> p = lambda z: Normal(0.0, 1.0).log_prob(z).sum(-1)
        >>> print(f"{kl_quadrature(q, p, [-9.0], [11.0]).item():.12f}")
        0.500000000000
    """
    z, cell = grid(low, high, n_nodes)
    log_q_z, log_p_z = log_q(z), log_p(z)
    for name, values in {"log_q": log_q_z, "log_p": log_p_z}.items():
        if values.shape != z.shape[:1]:
            raise ValueError(
                f"{name} must map {tuple(z.shape)} to {tuple(z.shape[:1])}, it gives {tuple(values.shape)}"
            )
        if values.isnan().any():
            raise ValueError(f"{name} gives NaN at {int(values.isnan().sum())} of the {len(z)} nodes")
    weights = torch.exp(log_q_z) * cell
    if abs(weights.sum().item() - 1) > 1e-6:
        raise ValueError(
            f"log_q integrates to {weights.sum().item():.9f} on the box, not to 1: widen low and high, or raise n_nodes"
        )
    return torch.where(weights > 0, weights * (log_q_z - log_p_z), 0.0).sum()  # 0 log 0 is 0


def log_marginal_quadrature(
    log_joint: Callable[[Tensor], Tensor], low: Sequence[float], high: Sequence[float], n_nodes: int = 201
) -> Tensor:
    r"""Evidence by numerical integration, :math:`\log \int p(x, z) \, dz`.

    Args:
        log_joint: maps float64 points z of shape (N, L) to :math:`\log p(x, z)`, shape (N,), or (N, B) for B examples.
        low, high: the corners of a box outside which the joint density is negligible, one number a dimension.
        n_nodes: nodes along each dimension; a narrow posterior needs a step well below its width.

    Returns:
        The log-evidence in nats, without axes or of shape (B,).

    Raises:
        ValueError: the box is not valid, ``log_joint`` gives another shape, or more than 1e-6 of the integral lies at
            the border of the box: it is too small.

    Example:
        >>> from torch.distributions import Normal
        >>> x = torch.tensor(1.0)
        >>> def log_joint(z):
        ...     log_prior = Normal(0.0, 1.0).log_prob(z)
        ...     return (log_prior + Normal(z, 1.0).log_prob(x)).sum(-1)
        >>> summed = log_marginal_quadrature(log_joint, [-12.0], [12.0])
        >>> bool(abs(summed - Normal(0.0, 2.0**0.5).log_prob(x)) < 1e-6)
        True
    """
    z, cell = grid(low, high, n_nodes)
    log_values = log_joint(z)
    if log_values.ndim not in (1, 2) or len(log_values) != len(z):
        raise ValueError(
            f"log_joint must map {tuple(z.shape)} to ({len(z)},) or ({len(z)}, B), it gives {tuple(log_values.shape)}"
        )
    log_evidence = torch.logsumexp(log_values, 0) + math.log(cell)
    bounds = torch.tensor([low, high], dtype=z.dtype)
    border = ((z == bounds[0]) | (z == bounds[1])).any(-1)
    missing = torch.exp(torch.logsumexp(log_values[border], 0) + math.log(cell) - log_evidence)
    if not (missing <= 1e-6).all():
        raise ValueError(
            f"the integrand has not died out at the border ({missing.max():.1e} of it lies there): widen the box"
        )
    return log_evidence


class Estimate(NamedTuple):
    """A Monte Carlo estimate with its standard error, and how far it lies from a value, in standard errors."""

    mean: Tensor
    stderr: Tensor

    def z_score(self, exact: Tensor | float) -> Tensor:
        """(mean - exact) / stderr: beyond 5 in absolute value about once in two million fair tests."""
        return (self.mean - exact) / self.stderr


def monte_carlo(values: Tensor) -> Estimate:
    """Mean of independent draws, with its standard error.

    Args:
        values: draws along the first axis, shape (K, ...), K at least 2.

    Returns:
        The `Estimate`, each part of shape (...), in float64.

    Raises:
        TypeError: ``values`` is not a floating-point tensor.
        ValueError: fewer than 2 draws, or a value is not finite.

    Example:
        >>> monte_carlo(torch.tensor([1.0, 2.0, 3.0])).mean.item()
        2.0
    """
    require_float(values=values)
    require_finite(values=values)
    if len(values) < 2:
        raise ValueError(f"values must hold at least 2 draws along its first axis, got shape {tuple(values.shape)}")
    values = values.double()
    return Estimate(values.mean(0), values.std(0) / math.sqrt(len(values)))


class LinearGaussian:
    r"""A latent-variable model in which everything is known exactly: probabilistic principal component analysis.

    .. math:: p(z) = \mathcal{N}(0, I), \qquad p(x \mid z) = \mathcal{N}(x; W z + b, \sigma^2 I)

    Its evidence, :math:`p(x) = \mathcal{N}(x; b, W W^\top + \sigma^2 I)`, and its posterior are Gaussian
    (Tipping and Bishop, *Probabilistic Principal Component Analysis*, 1999).

    Args:
        W: shape (D, L).
        noise_var: :math:`\sigma^2`, a positive number.
        b: shape (D,); zero when left out.

    Raises:
        TypeError: ``W`` or ``b`` is not a floating-point tensor.
        ValueError: shapes do not fit, a value is not finite, or ``noise_var`` is not positive.

    Example:
        >>> model = LinearGaussian(torch.tensor([[1.0], [2.0]]), noise_var=0.5)
        >>> x = torch.tensor([[0.3, -0.7]])
        >>> q = model.posterior(x)  # where the bound is tight
        >>> bound = model.elbo(x, q.mean, q.variance.log())
        >>> bool(abs(bound - model.log_marginal(x)) < 1e-12)
        True
    """

    def __init__(self, W: Tensor, noise_var: float, b: Tensor | None = None) -> None:
        require_float(W=W)
        require_finite(W=W)
        if W.ndim != 2:
            raise ValueError(f"W must have shape (D, L), got {tuple(W.shape)}")
        b = torch.zeros(len(W)) if b is None else b
        require_float(b=b)
        require_finite(b=b)
        if b.shape != W.shape[:1]:
            raise ValueError(f"b must have shape (D,) = ({len(W)},), got {tuple(b.shape)}")
        if not 0 < noise_var < math.inf:
            raise ValueError(f"noise_var must be positive and finite, got {noise_var}")
        # Copies: a weight that is trained on must not change what is exact.
        self.W, self.b = (given.to(torch.float64, copy=True) for given in (W, b))
        self.noise_var = float(noise_var)

    def log_marginal(self, x: Tensor) -> Tensor:
        """The exact log p(x) in nats, shape (B,), for ``x`` of shape (B, D)."""
        x = self._rows(x)
        eye = torch.eye(len(self.b), dtype=torch.float64)
        log_px: Tensor = MultivariateNormal(self.b, self.W @ self.W.T + self.noise_var * eye).log_prob(x)
        return log_px

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """The exact p(z | x) for ``x`` of shape (B, D): full covariance, batch shape (B,)."""
        x = self._rows(x)
        precision = torch.eye(self.W.shape[1], dtype=torch.float64) + self.W.T @ self.W / self.noise_var
        mean = torch.linalg.solve(precision, self.W.T @ (x - self.b).T / self.noise_var).T
        return MultivariateNormal(mean, precision_matrix=precision)

    def elbo(self, x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
        """The exact ELBO in nats, shape (B,), for q(z | x) = N(mu, diag(exp(log_var))), both of shape (B, L)."""
        x = self._rows(x)
        q = self._diagonal(len(x), mu, log_var)
        eye = torch.eye(len(self.b), dtype=torch.float64)
        at_mean: Tensor = MultivariateNormal(q.mean @ self.W.T + self.b, self.noise_var * eye).log_prob(x)
        spread = torch.einsum("dl,bl->b", self.W**2, q.variance) / (2 * self.noise_var)
        prior = MultivariateNormal(torch.zeros_like(q.mean), torch.eye(self.W.shape[1], dtype=torch.float64))
        return at_mean - spread - kl_divergence(q, prior)

    def kl_to_posterior(self, x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
        """KL(q(z | x) ‖ p(z | x)) in nats, shape (B,), for ``mu``, ``log_var`` of shape (B, L): the bound's gap."""
        x = self._rows(x)
        return kl_divergence(self._diagonal(len(x), mu, log_var), self.posterior(x))

    def decoder(self) -> nn.Linear:
        """The mean of p(x | z) as a decoder for `vae_tutorial.models.VAE`: a linear layer in float64."""
        x_dim, latent_dim = self.W.shape
        layer = nn.Linear(latent_dim, x_dim, dtype=torch.float64)
        layer.load_state_dict({"weight": self.W, "bias": self.b})
        return layer

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``n`` points x, shape (n, D), float64."""
        require_count(n=n)
        z = standard_noise((n, self.W.shape[1]), like=self.W, generator=generator)
        noise = standard_noise((n, len(self.b)), like=self.W, generator=generator)
        return z @ self.W.T + self.b + math.sqrt(self.noise_var) * noise

    def _rows(self, x: Tensor) -> Tensor:
        require_float(x=x)
        require_finite(x=x)
        if x.ndim != 2 or x.shape[1] != len(self.b):
            raise ValueError(f"x must have shape (B, D) = (B, {len(self.b)}), got {tuple(x.shape)}")
        return x.double()

    def _diagonal(self, n: int, mu: Tensor, log_var: Tensor) -> MultivariateNormal:
        require_float(mu=mu, log_var=log_var)
        require_finite(mu=mu, log_var=log_var)
        require_same_shape(mu=mu, log_var=log_var)
        shape = (n, self.W.shape[1])
        if mu.shape != shape:
            raise ValueError(f"mu must have shape (B, L) = {shape} for the {n} rows of x, got {tuple(mu.shape)}")
        variances = torch.exp(log_var.double())
        if not (torch.isfinite(variances) & (variances > 0)).all():
            raise ValueError(f"log_var must have variances in float64, got [{log_var.min():g}, {log_var.max():g}]")
        return MultivariateNormal(mu.double(), torch.diag_embed(variances))
