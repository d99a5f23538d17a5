"""Small gray images whose five factors are known: what each image was drawn from comes with it."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from vae_tutorial._validation import require_count, require_seed

Array: TypeAlias = np.ndarray[Any, Any]

SIZE = 16
"""Pixels along each side of an image."""

FACTORS: dict[str, tuple[float, ...]] = {
    "shape": (0.0, 1.0, 2.0),  # square, ellipse, triangle
    "scale": (0.6, 0.75, 0.9, 1.05),  # times a radius of a quarter of the image
    "rotation": tuple(np.arange(6) * np.pi / 12),  # radians, in steps of 15 degrees
    "x": tuple(np.linspace(-0.45, 0.45, 8)),  # of the center, where the image reaches from -1 to 1; to the right
    "y": tuple(np.linspace(-0.45, 0.45, 8)),  # downwards, as rows are counted
}
"""The factors and their levels; each of the 4,608 combinations is an image."""


class Shapes(NamedTuple):
    """Images with the levels of their factors.

    Attributes:
        x: pixels in [0, 1], row by row, float32 of shape (N, 256).
        factors: which level of each of `FACTORS`, int64 of shape (N, 5).
    """

    x: Tensor
    factors: Tensor


def shapes(n: int, *, seed: int = 0) -> Shapes:
    """Images of randomly drawn factors: each level as likely as the others, independently of the other factors.

    Args:
        n: N, how many; the same image may come twice.
        seed: of the draws; the same ``n`` and ``seed`` give the same images.

    Returns:
        The `Shapes`.

    Raises:
        TypeError: ``seed`` is not an integer.
        ValueError: ``n`` is not an integer of at least 1.

    Example:
        >>> x, factors = shapes(100)
        >>> x.shape, factors.shape
        (torch.Size([100, 256]), torch.Size([100, 5]))
    """
    require_count(n=n)
    generator = torch.Generator().manual_seed(require_seed(seed=seed))
    columns = [torch.randint(len(levels), (int(n),), generator=generator) for levels in FACTORS.values()]
    factors = torch.stack(columns, -1)
    return Shapes(draw_shapes(factors), factors)


def all_shapes() -> Shapes:
    """Each combination of levels once, 4,608 images; the last factor changes fastest.

    Returns:
        The `Shapes`.

    Example:
        >>> all_shapes().factors[:3].tolist()
        [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 2]]
    """
    factors = torch.cartesian_prod(*[torch.arange(len(levels)) for levels in FACTORS.values()])
    return Shapes(draw_shapes(factors), factors)


def draw_shapes(factors: Tensor) -> Tensor:
    """The images of given factors. A pixel is the share of its area that the shape covers, of 4×4 points inside it.

    Args:
        factors: which level of each of `FACTORS`, integers of shape (N, 5).

    Returns:
        Pixels in [0, 1], row by row, float32 of shape (N, 256).

    Raises:
        TypeError: ``factors`` does not hold integers.
        ValueError: it does not have the shape (N, 5), or a level is none of its factor.

    Example:
        >>> image = draw_shapes(torch.tensor([[0, 3, 0, 3, 4]])).view(16, 16)
        >>> print("".join("0+#"[round(2 * p)] for p in image[8].tolist()))  # a row through a square
        0000#######00000
    """
    levels = _levels(factors).astype(np.float32)
    images = [
        _covered(rows).reshape(-1, SIZE, 4, SIZE, 4).mean((2, 4))
        for rows in np.array_split(levels, len(levels) // 500 + 1)
    ]
    return torch.from_numpy(np.concatenate(images)).reshape(-1, SIZE * SIZE).float()


def _covered(levels: Array) -> Array:
    """Which points of a grid four times as fine as the pixels lie in each shape: (N, 64, 64) booleans."""
    shape, scale, angle, x, y = (column[:, None, None] for column in levels.T)
    points = ((np.arange(4 * SIZE) + 0.5) / (2 * SIZE) - 1).astype(np.float32)
    right, down = points[None, None, :] - x, points[None, :, None] - y
    u = (np.cos(angle) * right + np.sin(angle) * down) / (0.5 * scale)  # in the frame of a shape of radius 1
    v = (np.cos(angle) * down - np.sin(angle) * right) / (0.5 * scale)
    square = np.maximum(abs(u), abs(v)) < 0.8
    ellipse = u**2 + (v / 0.55) ** 2 < 1
    triangle = (v < 0.5) & (v > np.sqrt(3) * abs(u) - 1)
    return np.where(shape == 0, square, np.where(shape == 1, ellipse, triangle))


def _levels(factors: Tensor) -> Array:
    """The values of the levels, shape (N, 5), once the argument is known to be right."""
    if not isinstance(factors, Tensor) or factors.is_floating_point() or factors.dtype == torch.bool:
        came = factors.dtype if isinstance(factors, Tensor) else type(factors).__name__
        raise TypeError(f"factors must be a tensor of integers, which level of each factor, got {came}")
    if factors.ndim != 2 or factors.shape[1] != len(FACTORS) or not len(factors):
        raise ValueError(f"factors must have shape (N, {len(FACTORS)}), got {tuple(factors.shape)}")
    columns = []
    for (name, levels), column in zip(FACTORS.items(), factors.cpu().numpy().T, strict=True):
        if column.min() < 0 or column.max() >= len(levels):
            raise ValueError(
                f"the levels of {name} are 0 to {len(levels) - 1}, factors has {column.min()} to {column.max()}"
            )
        columns.append(np.array(levels)[column])
    return np.stack(columns, -1)
