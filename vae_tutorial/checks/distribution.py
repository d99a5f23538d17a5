"""The check of a whole likelihood: that it is normalized, and that its mean and its samples belong to it."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from vae_tutorial._validation import require_finite, require_float
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.compare import (
    TOLERANCE,
    max_gap,
    quarantine,
)
from vae_tutorial.checks.exact import (
    values,
)
from vae_tutorial.likelihoods import Likelihood
from vae_tutorial.reference import monte_carlo


def check_log_prob(likelihood: Likelihood, points: Tensor, cell: float = 1.0) -> Check:
    r"""Check a whole `Likelihood`: its log_prob sums to one, and its mean and samples follow that log_prob.

    A mass function is summed over all the values x can take, a density over the nodes of a grid times their volume:
    :math:`\sum_i p(x_i) \, v = 1` and :math:`\sum_i x_i \, p(x_i) \, v = \mathbb{E}[x]`. Samples are compared by
    z-scores of the mean, the square and the log-probability.

    Args:
        likelihood: `bernoulli`, `normal(…)`, or your own.
        points: all values of x, or the nodes of a grid, shape (N, D); see `reference.grid`.
        cell: the volume that stands for one node; 1 for a mass function.

    Returns:
        The `Check`, at fixed parameters in [-2, 1]. Its gap is the largest of total mass and mean; or, where only the
        samples are wrong, the largest z-score.

    Raises:
        TypeError: ``points`` is not a floating-point tensor.
        ValueError: ``points`` is not of shape (N, D), or not finite.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli, normal_diag
        >>> from vae_tutorial.reference import grid
        >>> binary = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
        >>> check_log_prob(bernoulli, binary).passed
        True
        >>> check_log_prob(normal_diag, *grid([-14.0], [14.0], 401)).passed
        True
    """
    require_float(points=points)
    require_finite(points=points)
    if points.ndim != 2:
        raise ValueError(f"points must have shape (N, D), got {tuple(points.shape)}")
    routes = ("log_prob, mean and sample", f"{'sum' if cell == 1 else 'quadrature'} over x")
    check = Check(
        "p(x | z) sums to one; its mean and samples agree with it",
        routes,
        math.nan,
        TOLERANCE,
        unit="",
        dtype="float64",
    )
    parameters = values(5, points.shape[1] * likelihood.n_params, low=-2.0, high=1.0, seed=5)
    try:
        with quarantine():
            measured = torch.stack([_mass_mean_samples(likelihood, row, points.double(), cell) for row in parameters])
    except Exception as error:  # a learner's function may fail in any way
        return replace(check, mistake=f"It raised {type(error).__name__}: {error}")
    mass, mean_gap, z_score = measured.T
    check = replace(check, gap=max_gap([*(mass - 1).abs().tolist(), *mean_gap.tolist()]))
    if not (mass - 1).abs().max() <= TOLERANCE:
        return replace(check, mistake=_name_mass(mass, points.shape[1]))
    if not check.passed:
        return replace(check, mistake="log_prob sums to one, but mean(params) is not the mean of that distribution.")
    if not z_score.max() <= 5:
        worst = f"{z_score.max():.0f} standard errors"
        mistake = f"The samples do not follow log_prob: one of their averages lies {worst} off."
        return replace(check, gap=z_score.max().item(), bound=5.0, unit="standard errors", mistake=mistake)
    return check


def _mass_mean_samples(likelihood: Likelihood, params: Tensor, points: Tensor, cell: float) -> Tensor:
    """The total mass, the gap of the mean, and the largest z-score of samples, for one row of parameters."""

    def log_prob(x: Tensor) -> Tensor:
        log_p = likelihood.log_prob(x, params.expand(len(x), -1))
        if log_p.shape != x.shape[:1]:
            raise ValueError(f"log_prob gave shape {tuple(log_p.shape)}, where {tuple(x.shape[:1])} is expected")
        return log_p.double()

    def statistics(x: Tensor, log_p: Tensor) -> Tensor:
        return torch.cat([x, x**2, log_p[:, None]], -1)

    log_p = log_prob(points)
    weights = log_p.exp() * cell
    mean_gap = (likelihood.mean(params) - weights @ points).abs().max()
    drawn = likelihood.sample(params.expand(20_000, -1), generator=torch.Generator().manual_seed(6)).double()
    estimate = monte_carlo(statistics(drawn, log_prob(drawn)))
    z_score = estimate.z_score(weights @ statistics(points, log_p)).abs().max()
    return torch.stack([weights.sum(), mean_gap, z_score])


def _name_mass(mass: Tensor, x_dim: int) -> str:
    evidence = f"exp(log_prob) sums to {mass[0]:.4g}, where 1 is expected"
    if torch.allclose(mass, torch.full_like(mass, 2 * math.pi) ** (x_dim / 2), rtol=TOLERANCE):
        return f"{evidence}: this is (2π)^(D/2), so −½ log 2π is missing for each dimension."
    return f"{evidence}: log_prob is not normalized, has the wrong sign, or the points do not cover the distribution."
