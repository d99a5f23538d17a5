"""The check of a whole likelihood: that it is normalized, and that its mean and its samples belong to it."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from vae_tutorial._validation import require_finite, require_float
from vae_tutorial.checks.answers import (
    RELATIVE,
    TOLERANCE,
    Unwritten,
    as_numbers,
    max_gap,
    quarantine,
    relative_gap,
    usable,
)
from vae_tutorial.checks.claims import Check, told_apart
from vae_tutorial.checks.compare import short
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import values
from vae_tutorial.likelihoods import Likelihood
from vae_tutorial.reference import monte_carlo


@public
def check_log_prob(likelihood: Likelihood, points: Tensor, cell: float = 1.0) -> Check:
    r"""Check a whole `Likelihood`: its log_prob sums to one, and its mean and samples follow that log_prob.

    A mass function is summed over all the values x can take, a density over the nodes of a grid times their volume:
    :math:`\sum_i p(x_i) \, v = 1` and :math:`\sum_i x_i \, p(x_i) \, v = \mathbb{E}[x]`. Samples are compared by
    z-scores of the mean, the square, the product of neighbouring dimensions, the log-probability, and waves: sines and
    cosines, which tell a uniform distribution from a Gaussian one of the same variance. Gradients are compared with
    central differences, one draw for each example with several.

    Args:
        likelihood: `bernoulli`, `normal(…)`, or your own.
        points: all values of x, or the nodes of a grid, shape (N, D); see `reference.grid`.
        cell: the volume that stands for one node; 1 for a mass function.

    Returns:
        The `Check`, at fixed parameters in [-2, 1]; what passes in one dimension is tried in two. Its gap is the
        largest of total mass and mean; or, where only the samples are wrong, the largest z-score.

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
    points = usable(points)
    if points.ndim != 2:
        raise ValueError(f"points must have shape (N, D), got {tuple(points.shape)}")
    check = _check(likelihood, points, cell)
    if not check.passed or points.shape[1] > 1:
        return check
    # Which parameter belongs to which dimension shows in two of them. A grid may be too fine for that, or have to be.
    every = 1 if cell == 1 else math.ceil(len(points) / 300)
    few = points[::every, 0]
    if len(few) > 500 or not _check(likelihood, few[:, None], cell * every).passed:
        return check
    in_two = _check(likelihood, torch.cartesian_prod(few, few), (cell * every) ** 2)
    return check if in_two.passed else replace(in_two, mistake=f"In two dimensions: {in_two.mistake}")


def _check(likelihood: Likelihood, points: Tensor, cell: float) -> Check:
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
    except Unwritten as error:
        return replace(check, mistake=str(error))
    except Exception as error:  # a learner's function may fail in any way
        return replace(check, mistake=f"It raised {short(error)}")
    mass, mean_gap, z_score = measured.T
    check = replace(check, gap=max_gap([*(mass - 1).abs().tolist(), *mean_gap.tolist()]))
    if not (mass - 1).abs().max() <= TOLERANCE:
        return replace(check, mistake=_name_mass(mass, points.shape[1], parameters))
    if not check.passed:
        return replace(check, mistake="log_prob sums to one, but mean(params) is not the mean of that distribution.")
    if not z_score.max() <= 5:
        worst = z_score.nan_to_num(nan=math.inf, posinf=math.inf).max().item()
        return replace(check, gap=worst, bound=5.0, unit="standard errors", mistake=name_samples(worst))
    try:
        with quarantine():
            return _further(check, likelihood, parameters)
    except Exception as error:  # a learner's function may fail in any way
        return replace(check, gap=math.nan, mistake=f"It raised {short(error)}")


def name_samples(worst: float) -> str:
    """The sentence for samples whose worst average lies so many standard errors off."""
    how = f"one of their averages lies {worst:.0f} standard errors off"
    return f"The samples do not follow log_prob: {how if math.isfinite(worst) else 'they do not vary as they should'}."


def _further(check: Check, likelihood: Likelihood, parameters: Tensor) -> Check:
    """The check, once the generator, the axis of draws and the gradients have been looked at."""

    def drawn(seed: int) -> Tensor:
        return likelihood.sample(parameters.clone(), generator=torch.Generator().manual_seed(seed)).double()

    x, again = drawn(7), drawn(7)
    if not torch.equal(x, again):
        return replace(check, gap=math.nan, mistake="sample does not draw from the generator it is given.")
    each = likelihood.log_prob(x, parameters)
    alone = torch.cat([likelihood.log_prob(x[i : i + 1], parameters[i : i + 1]) for i in range(len(x))])
    if each.shape != alone.shape or not (gap := (each - alone).abs().max().item()) <= TOLERANCE:
        mistake = "log_prob gives an example other numbers when it stands beside others: the rows are mixed."
        return replace(check, gap=math.nan, mistake=mistake)
    both = likelihood.log_prob(x, torch.stack([parameters, parameters.flip(0)]))
    right = torch.stack([each, likelihood.log_prob(x, parameters.flip(0))])
    if both.shape != right.shape:
        said = f"where {tuple(right.shape)} is expected: x of shape (B, D) beside params of shape (K, B, …)"
        return replace(check, gap=math.nan, mistake=f"log_prob gave shape {tuple(both.shape)}, {said}.")
    if not (gap := (both - right).abs().max().item()) <= TOLERANCE:
        return replace(check, gap=gap, mistake="With several draws for each x, log_prob gives other numbers.")
    gap = _gradient_gap(likelihood, x, parameters)
    if not gap <= TOLERANCE:
        mistake = "log_prob sums to one, but its gradient with respect to params is not that of its values."
        return replace(check, gap=gap, unit=RELATIVE, mistake=mistake)
    return check


def _gradient_gap(likelihood: Likelihood, x: Tensor, parameters: Tensor) -> float:
    """How far the gradient of log_prob lies from central differences, of 1 + |exact|."""
    params = parameters.clone().requires_grad_()
    log_p = likelihood.log_prob(x, params)
    came = torch.autograd.grad(log_p.sum(), params)[0] if log_p.requires_grad else torch.zeros_like(params)
    step = 1e-4
    shifts = step * torch.eye(params.shape[1])[:, None]  # one number of every example at a time
    up, down = (torch.stack([likelihood.log_prob(x, parameters + sign * s) for s in shifts]) for sign in (1, -1))
    exact = ((up - down) / (2 * step)).T
    return relative_gap(came, exact).max().item()


def _mass_mean_samples(likelihood: Likelihood, params: Tensor, points: Tensor, cell: float) -> Tensor:
    """The total mass, the gap of the mean, and the largest z-score of samples, for one row of parameters."""

    def log_prob(x: Tensor) -> Tensor:
        log_p = likelihood.log_prob(x, params.expand(len(x), -1))
        log_p = as_numbers(log_p)
        if log_p.shape != x.shape[:1]:
            raise ValueError(f"log_prob gave shape {tuple(log_p.shape)}, where {tuple(x.shape[:1])} is expected")
        return log_p.double()

    log_p = log_prob(points)
    weights = log_p.exp() * cell
    mean_gap = (likelihood.mean(params) - weights @ points).abs().max()
    drawn = likelihood.sample(params.expand(20_000, -1), generator=torch.Generator().manual_seed(6)).double()
    z_score = z_score_of_draws(drawn, log_prob(drawn), points, log_p, weights)
    return torch.stack([weights.sum(), mean_gap, z_score])


def z_score_of_draws(drawn: Tensor, log_p_of_drawn: Tensor, points: Tensor, log_p: Tensor, weights: Tensor) -> Tensor:
    """The largest z-score of averages over draws, beside sums over points.

    Averaged are x, its square, neighbours' products, log p, and waves: sines and cosines of the standardized x and of
    neighbours' sums and differences, which tell distributions of one mean and one variance apart.
    """
    mean = weights @ points
    sd = (weights @ (points - mean) ** 2).sqrt()

    def statistics(x: Tensor, log_p: Tensor) -> Tensor:
        u = torch.where(sd > 0, (x - mean) / sd, 0.0)
        angles = torch.cat([u, 2 * u, u[:, 1:] + u[:, :-1], u[:, 1:] - u[:, :-1]], -1)
        return torch.cat([x, x**2, x[:, 1:] * x[:, :-1], log_p[:, None], angles.sin(), angles.cos()], -1)

    expected = weights @ statistics(points, log_p)
    return monte_carlo(statistics(drawn, log_p_of_drawn)).z_score(expected).abs().max()


def _name_mass(mass: Tensor, x_dim: int, parameters: Tensor) -> str:
    worst = int((mass - 1).abs().nan_to_num(nan=math.inf).argmax())
    worst = 0 if (mass[0] - 1).abs() > 1e-3 else worst  # the first, unless it looks like 1
    evidence = f"exp(log_prob) sums to {told_apart(mass[worst].item(), 1.0)[0]}, where 1 is expected"
    for value, meaning in (
        (2 * math.pi, "(2π)^(D/2), so −½ log 2π is missing for each dimension"),
        (math.pi, "π^(D/2), that of −Σ(x − μ)²: a squared error is not yet a log-density"),
        (math.pi * x_dim, "(πD)^(D/2), that of minus the mean of (x − μ)²: a squared error is not yet a log-density"),
        (2 * math.pi * x_dim, "(2πD)^(D/2), that of minus half the mean of (x − μ)²: add up over the dimensions"),
    ):
        if torch.allclose(mass, torch.full_like(mass, value) ** (x_dim / 2), rtol=TOLERANCE):
            return f"{evidence}: this is {meaning}."
    if parameters.shape[1] == x_dim:
        of_grays = (torch.tanh(parameters / 2) / parameters).prod(-1)  # ∫ exp(xℓ) / (1 + exp ℓ) dx from 0 to 1
        if torch.allclose(mass, of_grays, rtol=5e-3):
            cause = "the cross-entropy of gray values is no log-density; continuous_bernoulli is one"
            return f"{evidence}: {cause}."
    return f"{evidence}: log_prob is not normalized, has the wrong sign, or the points do not cover the distribution."
