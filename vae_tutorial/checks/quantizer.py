"""The check of a vector quantizer: which code, where its gradient goes, and what the two losses pull."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.answers import Arguments, Function, Unusable, as_numbers, several
from vae_tutorial.checks.arguments import uniform
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.clues import infinite
from vae_tutorial.checks.compare import compare
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import values
from vae_tutorial.checks.further import At

BETA = 0.3  # neither 0.25, which may be written into a function, nor 1 or ½


@public
def check_quantizer(fn: Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]], *, seed: int = 0) -> Check:
    r"""Check your vector quantizer: the nearest code vector, the straight-through gradient, and the two losses.

    .. math:: z_q = z + \operatorname{sg}[e_c - z], \quad c = \operatorname{argmin}_j \lVert z - e_j \rVert^2, \qquad
        \text{loss} = \lVert \operatorname{sg}[z] - e_c \rVert^2 + \beta \lVert z - \operatorname{sg}[e_c] \rVert^2

    The exact answer measures every distance by ``math.dist``, one number after the other, and has its gradients written
    down by hand. A function that passes there is also called with one vector and with 33, with one number and with 40,
    with a single code, and with vectors far from all codes.

    Args:
        fn: ``fn(z, codebook, beta)`` gives two tensors, :math:`z_q` of shape (N, E) and the loss of each vector, shape
            (N,), for ``z`` of shape (N, E), ``codebook`` of shape (C, E) and a number ``beta``.
        seed: of the further arguments; the first ones are the same for every seed.

    Returns:
        The `Check`, of both tensors and of gradients with respect to ``z`` and ``codebook``.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> from vae_tutorial.vq import quantize
        >>> def vq(z, codebook, beta):
        ...     q = quantize(z, codebook)
        ...     return q.z, q.codebook_loss + beta * q.commitment_loss
        >>> check_quantizer(vq).passed
        True
        >>> def swapped(z, codebook, beta):
        ...     q = quantize(z, codebook)
        ...     return q.z, beta * q.codebook_loss + q.commitment_loss
        >>> check_quantizer(swapped).mistake.rpartition(": ")[2]
        'β belongs to the commitment.'
    """
    return compare(
        "z_q and loss of a vector quantizer, values and gradients",
        ("your function", "distances one by one, gradients by hand"),
        joined(fn),
        quantizer_by_hand,
        [vectors(*shape) for shape in ((9, 3, 5), (7, 2, 4), (6, 1, 3))],
        {clause: joined(wrong) for clause, wrong in known.QUANTIZER.items() if clause},
        unit="",
        clue=infinite,
        trials=lambda: _trials(torch.Generator().manual_seed(seed)),
    )


def joined(fn: Callable[..., Any]) -> Function:
    """The pair that a quantizer gives as one tensor, (N, E + 1), at the β of the check."""
    if not callable(fn):
        return fn

    @wraps(fn)
    def both(z: Tensor, codebook: Tensor) -> Tensor:
        found = several(fn(z, codebook, BETA), "a pair (z_q, loss) is", 2)
        z_q, loss = map(as_numbers, found)
        if z_q.shape != z.shape:
            raise Unusable(f"returned z_q of shape {tuple(z_q.shape)}, where that of z, {tuple(z.shape)}, is expected.")
        if loss.ndim and loss.shape != z.shape[:1]:
            raise Unusable(
                f"returned a loss of shape {tuple(loss.shape)}, where one value per vector, {tuple(z.shape[:1])}, is "
                "expected: sum over the last axis alone."
            )
        return torch.cat([z_q, loss.expand(len(z))[:, None]], -1)

    return both


def quantizer_by_hand(z: Tensor, codebook: Tensor) -> Tensor:
    """The answer, each gradient a slope that is written down: 1 for z_q in z; ±2 (z − e), β for z, in the loss."""
    rows = []
    for row in z:
        gaps = [math.dist(row.tolist(), e.tolist()) for e in codebook.detach()]
        c = min(range(len(gaps)), key=gaps.__getitem__)
        apart = 2 * (row - codebook[c]).detach()
        loss = (1 + BETA) * gaps[c] ** 2 + BETA * apart @ _zero(row) - apart @ _zero(codebook[c])
        rows.append(torch.cat([codebook[c].detach() + _zero(row), loss[None]]))
    return torch.stack(rows)


def _zero(t: Tensor) -> Tensor:
    return t - t.detach()


def vectors(n: int, code_dim: int, n_codes: int) -> Arguments:
    """Fixed vectors and code vectors of unequal length, not centered, differentiable."""
    z = values(n, code_dim, low=-2.0, high=2.5, seed=21)
    codebook = values(n_codes, code_dim, low=-1.5, high=2.0, seed=22) * values(n_codes, 1, low=0.4, high=1.6, seed=23)
    return {"z": z.requires_grad_(), "codebook": codebook.requires_grad_()}


def _trials(generator: torch.Generator) -> list[At]:
    sizes = {
        "For one vector": (1, 3, 4),
        "For one number": (1, 1, 2),
        "For 33 vectors": (33, 2, 4),
        "For 40 dimensions": (4, 40, 3),
        "For a single code": (5, 2, 1),
    }
    drawn = {place: (*size, 2.0) for place, size in sizes.items()} | {"Far from all codes": (6, 3, 5, 30.0)}
    return [
        At(
            place,
            {
                "z": uniform((n, code_dim), -far, far, generator).requires_grad_(),
                "codebook": uniform((n_codes, code_dim), -2.0, 2.0, generator).requires_grad_(),
            },
            quantizer_by_hand,
        )
        for place, (n, code_dim, n_codes, far) in drawn.items()
    ]
