"""The check of a maximum mean discrepancy, estimated from two sets of draws without bias."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.adapt import with_last
from vae_tutorial.checks.answers import Arguments, Function
from vae_tutorial.checks.arguments import uniform
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.clues import infinite
from vae_tutorial.checks.compare import compare
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import values
from vae_tutorial.checks.further import At

BANDWIDTH = 1.3  # of the check: h, h², 2h² and their inverses all differ


@public
def check_mmd(fn: Callable[[Tensor, Tensor, float], Tensor], *, seed: int = 0) -> Check:
    r"""Check your unbiased estimate of the squared maximum mean discrepancy, with a Gaussian kernel of bandwidth h.

    .. math:: \frac{1}{N (N - 1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{M (M - 1)} \sum_{i \ne j} k(y_i, y_j)
        - \frac{2}{N M} \sum_{i, j} k(x_i, y_j), \qquad k(x, y) = e^{-\lVert x - y \rVert^2 / (2 h^2)}

    (Gretton et al., *A Kernel Two-Sample Test*, 2012). The exact answer goes through all pairs, one after the other,
    by ``math.dist``, its gradients written down by hand. A function that passes there is also called with two draws of
    each, with many, with one dimension and with forty, and with draws far apart.

    Args:
        fn: ``fn(x, y, bandwidth)`` gives one number, a tensor without axes, for draws ``x`` of shape (N, L) and
            ``y`` of shape (M, L), and a number ``bandwidth``, h.
        seed: of the further arguments; the first ones are the same for every seed.

    Returns:
        The `Check`, of the value and of gradients with respect to ``x`` and ``y``.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> def mmd(x, y, bandwidth):
        ...     def k(a, b):
        ...         return torch.exp(-(a[:, None] - b).square().sum(-1) / (2 * bandwidth**2))
        ...     def others(gram):
        ...         return (gram.sum() - gram.trace()) / (len(gram) * (len(gram) - 1))
        ...     return others(k(x, x)) + others(k(y, y)) - 2 * k(x, y).mean()
        >>> check_mmd(mmd).passed
        True
        >>> check_mmd(lambda x, y, bandwidth: mmd(x, y, bandwidth / 2**0.5)).mistake
        'It divides ‖x − y‖² by h², where 2h² is meant.'
    """
    return compare(
        "unbiased estimate of the squared MMD, value and gradients",
        ("your function", "pair by pair, gradients by hand"),
        at_bandwidth(fn),
        mmd_by_pairs,
        [draws(*sizes) for sizes in ((6, 4, 3), (3, 5, 2), (5, 7, 1))],
        {clause: at_bandwidth(wrong) for clause, wrong in known.MMD.items() if clause},
        unit="",
        clue=infinite,
        trials=lambda: _trials(torch.Generator().manual_seed(seed)),
    )


def at_bandwidth(fn: Callable[..., Any]) -> Function:
    """The function of x and y alone, at the bandwidth of the check."""
    return with_last(fn, BANDWIDTH)


def mmd_by_pairs(x: Tensor, y: Tensor) -> Tensor:
    """The answer, a pair at a time; the slope of k(a, b) in a is (b − a) k / h²."""
    n, m = len(x), len(y)
    total = torch.zeros((), dtype=torch.float64)
    for one, other, weight in ((x, x, 1 / (n * (n - 1))), (y, y, 1 / (m * (m - 1))), (x, y, -2 / (n * m))):
        for i, a in enumerate(one):
            for j, b in enumerate(other):
                if one is not other or i != j:
                    k = weight * math.exp(-(math.dist(a.tolist(), b.tolist()) ** 2) / (2 * BANDWIDTH**2))
                    slope = k * (b - a).detach() / BANDWIDTH**2
                    total = total + k + slope @ (a - a.detach()) - slope @ (b - b.detach())
    return total


def draws(n: int, m: int, n_dims: int) -> Arguments:
    """Fixed draws of unequal number and spread, not centered, differentiable."""
    return {
        "x": values(n, n_dims, low=-1.5, high=2.0, seed=26).requires_grad_(),
        "y": values(m, n_dims, low=-0.5, high=1.5, seed=27).requires_grad_(),
    }


def _trials(generator: torch.Generator) -> list[At]:
    sizes = {
        "For two draws of each": (2, 2, 3, 2.0),
        "For as many of x as of y": (5, 5, 2, 2.0),
        "For 33 draws and 20": (33, 20, 2, 2.0),
        "For 40 dimensions": (4, 6, 40, 0.5),
        "For draws far apart": (6, 5, 3, 60.0),
    }
    return [
        At(
            place,
            {
                "x": uniform((n, n_dims), -reach, reach, generator).requires_grad_(),
                "y": uniform((m, n_dims), -reach, reach, generator).requires_grad_(),
            },
            mmd_by_pairs,
        )
        for place, (n, m, n_dims, reach) in sizes.items()
    ]
