"""The check of a Kalman filter: means, covariances and log-likelihood of a linear-Gaussian state space model."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.answers import Arguments, Function, Unusable, as_numbers, several
from vae_tutorial.checks.arguments import uniform
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.clues import infinite
from vae_tutorial.checks.compare import compare
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import values
from vae_tutorial.checks.further import At


@public
def check_filter(fn: Callable[..., tuple[Tensor, Tensor, Tensor]], *, seed: int = 0) -> Check:
    r"""Check your Kalman filter.

    .. math:: z_1 \sim \mathcal{N}(m_0, P_0), \quad z_t = A z_{t-1} + \mathcal{N}(0, Q), \quad
        x_t = C z_t + \mathcal{N}(0, R)

    The exact answer has no step in time: it writes all z and all x as one linear map of independent noise, and takes
    log p(x) and each :math:`p(z_t \mid x_{1:t})` from their joint covariance. A function that passes there is also
    called with one step and with 40, with one number and with more of z than of x, and with a noise that is small.

    Args:
        fn: ``fn(x, A, C, Q, R, m0, P0)`` gives three tensors for one sequence ``x`` of shape (T, D): means (T, L) and
            covariances (T, L, L) of :math:`p(z_t \mid x_{1:t})`, and log p(x) in nats, one number. ``m0`` and ``P0``
            are those of :math:`z_1`, before :math:`x_1` is seen.
        seed: of the further arguments; the first ones are the same for every seed.

    Returns:
        The `Check`, of the three tensors, not of gradients.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> from vae_tutorial.kalman import kalman_filter
        >>> check_filter(kalman_filter).passed
        True
        >>> check_filter(lambda x, A, C, Q, R, m0, P0: kalman_filter(x, A, C, 0 * Q, R, m0, P0)).mistake
        'It lacks Q in the prediction: nothing new would ever happen to z.'
    """
    return compare(
        "Kalman filter: means, covariances, log-likelihood",
        ("your function", "joint covariance of all steps"),
        joined(fn),
        by_joint_covariance,
        [system(*sizes) for sizes in ((5, 3, 2), (4, 1, 3), (6, 2, 2))],
        {clause: joined(wrong) for clause, wrong in known.FILTER.items() if clause},
        unit="",
        clue=infinite,
        trials=lambda: _trials(torch.Generator().manual_seed(seed)),
    )


def joined(fn: Callable[..., Any]) -> Function:
    """The three that a filter gives as one tensor, (T, L + L² + 1): the log-likelihood stands beside each step."""
    if not callable(fn):
        return fn

    @wraps(fn)
    def all_three(x: Tensor, *given: Tensor) -> Tensor:
        found = several(fn(x, *given), "means, covariances and log-likelihood are", 3)
        log_p = torch.tensor(found[2]) if isinstance(found[2], float) else found[2]
        means, covs, log_p = map(as_numbers, (found[0], found[1], log_p))
        T, L = len(x), len(given[0])
        for name, part, shape in (("means", means, (T, L)), ("covariances", covs, (T, L, L))):
            if part.shape != shape:
                raise Unusable(f"returned {name} of shape {tuple(part.shape)}, where {shape} is expected.")
        if log_p.numel() != 1:
            raise Unusable(f"returned a log-likelihood of shape {tuple(log_p.shape)}, where one number is expected.")
        return torch.cat([means, covs.flatten(1), log_p.reshape(1, 1).expand(T, 1)], -1)

    return all_three


def by_joint_covariance(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor, m0: Tensor, P0: Tensor) -> Tensor:
    """The answer: z and x as linear maps of independent noise, conditioned as one Gaussian."""
    (T, D), L = x.shape, len(A)
    power = [torch.linalg.matrix_power(A, k) for k in range(T)]
    zero = torch.zeros_like(A)
    to_z = torch.cat([torch.cat([power[t - s] if s <= t else zero for s in range(T)], 1) for t in range(T)])
    to_x = torch.block_diag(*[C] * T) @ to_z
    noise = torch.block_diag(P0, *[Q] * (T - 1))
    mean_z = torch.cat([power[t] @ m0 for t in range(T)])
    mean_x = torch.block_diag(*[C] * T) @ mean_z
    cov_x = to_x @ noise @ to_x.T + torch.block_diag(*[R] * T)
    off, log_p = x.flatten() - mean_x, MultivariateNormal(mean_x, cov_x).log_prob(x.flatten())
    rows = []
    for t in range(T):
        here, seen = slice(t * L, t * L + L), slice(0, (t + 1) * D)
        cross = to_z[here] @ noise @ to_x[seen].T
        weights = torch.linalg.solve(cov_x[seen, seen], cross.T).T
        cov = to_z[here] @ noise @ to_z[here].T - weights @ cross.T
        rows.append(torch.cat([mean_z[here] + weights @ off[seen], cov.flatten(), log_p[None]]))
    return torch.stack(rows)


def system(n_steps: int, x_dim: int, z_dim: int) -> Arguments:
    """A fixed system without symmetry, and a sequence."""
    return {
        "x": values(n_steps, x_dim, low=-2.0, high=2.5, seed=41),
        "A": values(z_dim, z_dim, low=-0.6, high=0.8, seed=42),
        "C": values(x_dim, z_dim, low=-1.0, high=1.3, seed=43),
        **{
            name: _cov(values(n, n, low=-0.7, high=0.9, seed=seed))
            for name, n, seed in (("Q", z_dim, 44), ("R", x_dim, 45))
        },
        "m0": values(z_dim, low=-1.5, high=1.0, seed=46),
        "P0": _cov(values(z_dim, z_dim, low=-1.0, high=1.4, seed=47)),
    }


def _cov(root: Tensor, floor: float = 0.2) -> Tensor:
    return root @ root.T + floor * torch.eye(len(root), dtype=root.dtype)


def _trials(generator: torch.Generator) -> list[At]:
    sizes = {
        "For a single step": (1, 2, 3, 1.0),
        "For one number a step": (7, 1, 1, 1.0),
        "For 40 steps": (40, 2, 2, 1.0),
        "For more of z than of x": (5, 2, 5, 1.0),
        "For little noise": (6, 3, 2, 0.1),
    }
    return [At(place, _drawn(*size, generator), by_joint_covariance) for place, size in sizes.items()]


def _drawn(n_steps: int, x_dim: int, z_dim: int, scale: float, generator: torch.Generator) -> Arguments:
    def drawn(*shape: int) -> Tensor:
        return uniform(shape, -1.0, 1.0, generator)

    return {
        "x": 2 * drawn(n_steps, x_dim),
        "A": drawn(z_dim, z_dim) / math.sqrt(z_dim),
        "C": drawn(x_dim, z_dim),
        "Q": scale * _cov(drawn(z_dim, z_dim)),
        "R": scale * _cov(drawn(x_dim, x_dim)),
        "m0": drawn(z_dim),
        "P0": _cov(drawn(z_dim, z_dim)),
    }
