"""Data that need no file but their own: the shipped digits, a Gaussian of known entropy, black-and-white draws."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_tutorial._validation import require_count, require_finite, require_float, require_generator
from vae_tutorial.datasets.dataset import Dataset

GAUSSIAN_2D_MEAN = (1.0, 0.5)
GAUSSIAN_2D_COV = ((1.0, 0.5), (0.5, 1.0))


def digits() -> Dataset:
    """The 1,797 handwritten digits of 8×8 pixels that come with the package.

    They are the testing part of *Optical Recognition of Handwritten Digits* (E. Alpaydin and C. Kaynak, 1998, UCI
    Machine Learning Repository, CC BY 4.0). A pixel counts from 0 to 16 and is divided by 16. The first 1,437 images
    are for training and the last 360 for testing; no image occurs twice.

    Returns:
        The `Dataset`, with D = 64.

    Example:
        >>> digits().x_train.shape
        torch.Size([1437, 64])
    """
    path = Path(__file__).parents[1] / "data" / "digits.npz"
    with np.load(path) as arrays:
        x = torch.from_numpy(arrays["images"]).float() / 16
        y = torch.from_numpy(arrays["labels"]).long()
    return Dataset("digits", x[:-360], y[:-360], x[-360:], y[-360:], image_shape=(8, 8))


def gaussian_2d(n: int, *, seed: int = 0) -> Dataset:
    r"""Independent draws from a correlated Gaussian in the plane.

    .. math:: x \sim \mathcal{N}\left(\begin{pmatrix} 1 \\ 0.5 \end{pmatrix},
        \begin{pmatrix} 1 & 0.5 \\ 0.5 & 1 \end{pmatrix}\right)

    No model can have a smaller expected negative log-density than the entropy,
    :math:`\tfrac12 \log \det(2 \pi e \Sigma) = 2.6940` nats. The parameters are ``GAUSSIAN_2D_MEAN`` and
    ``GAUSSIAN_2D_COV``.

    Args:
        n: number of training points, and of test points.
        seed: of the generator of all the draws; the same ``n`` and ``seed`` give the same points.

    Returns:
        The `Dataset`, with D = 2, float32, without classes.

    Raises:
        ValueError: ``n`` is not an integer of at least 1.

    Example:
        >>> gaussian_2d(10_000).x_test.shape
        torch.Size([10000, 2])
    """
    require_count(n=n)
    how: Any = dict(dtype=torch.float32, device="cpu")  # whatever the defaults
    eps = torch.randn(2 * n, 2, generator=torch.Generator().manual_seed(seed), **how)
    x = torch.tensor(GAUSSIAN_2D_MEAN, **how) + eps @ torch.linalg.cholesky(torch.tensor(GAUSSIAN_2D_COV, **how)).T
    return Dataset("gaussian_2d", x[:n], None, x[n:], None, image_shape=None)


def binarize(x: Tensor, generator: torch.Generator) -> Tensor:
    r"""Draw black-and-white images whose pixels are 1 with the probabilities that gray images give.

    .. math:: \tilde{x}_d \sim \mathrm{Bernoulli}(x_d)

    Args:
        x: probabilities in [0, 1], of any shape.
        generator: where the draw comes from. The uniform numbers are drawn on its device, then moved.

    Returns:
        A tensor of zeros and ones with the shape, dtype and device of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``generator`` is not a ``torch.Generator``.
        ValueError: ``x`` is empty, not finite, or outside [0, 1].

    Example:
        >>> binarize(torch.tensor([0.0, 1.0]), torch.Generator().manual_seed(0))
        tensor([0., 1.])
    """
    require_float(x=x)
    require_generator(generator)
    require_finite(x=x)
    low, high = (bound.item() for bound in x.aminmax())
    if not (low >= 0 and high <= 1):
        hint = "; divide pixels from 0 to 255 by 255" if low >= 0 else ""
        raise ValueError(f"x must lie in [0, 1], got values from {low:.4g} to {high:.4g}{hint}")
    uniform = torch.rand(x.shape, generator=generator, dtype=torch.float32, device=generator.device).to(x.device)
    return (uniform < x).to(x.dtype)
