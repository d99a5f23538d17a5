"""Figures in the book's style. Every function draws on an ``Axes`` it is given, and never sees a model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_tutorial._extra import of_the_chapters
from vae_tutorial._validation import require_count
from vae_tutorial.history import History

with of_the_chapters():
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.rcsetup import cycler

# Okabe and Ito's palette, told apart with every common kind of color blindness.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GRAY = "#6B6B6B"


BOOK_STYLE = {
    "figure.figsize": (7.0, 3.2),
    "figure.dpi": 200,
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "axes.prop_cycle": cycler(color=[BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "font.size": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "image.cmap": "gray_r",
}
# In a plane of codes: thousands of points, which as shapes would make a PDF heavy; the name of a class; what ties it.
POINTS: dict[str, Any] = dict(cmap="tab10", vmin=-0.5, vmax=9.5, s=4, alpha=0.5, linewidths=0, rasterized=True)
DISC: dict[str, Any] = dict(boxstyle="circle,pad=0.15", facecolor="white", edgecolor=GRAY, alpha=0.85)
NAME: dict[str, Any] = dict(ha="center", va="center", fontweight="bold", bbox=DISC)
TIE: dict[str, Any] = dict(color="black", linewidth=0.8)


def use_book_style() -> None:
    """Set Matplotlib's defaults to the book's: seven inches wide, twice the usual resolution, a palette for all eyes.

    Example:
        >>> use_book_style()
        >>> plt.rcParams["figure.figsize"]
        [7.0, 3.2]
    """
    plt.rcParams.update(BOOK_STYLE)


def image_grid(images: ArrayLike, ax: Axes, *, n_columns: int, gap: int = 1) -> None:
    """Draw images side by side, row by row: of gray ones 0 is white and 1 is black.

    Args:
        images: shape (N, height, width), or (N, channels, height, width) with one channel, or with three for red, green
            and blue; values in [0, 1], those outside are shown as the nearest end.
        ax: where to draw.
        n_columns: how many images stand in a row; N must be a multiple of it.
        gap: white pixels between two images.

    Raises:
        ValueError: ``images`` has another shape, is empty or not finite, or does not fill its rows.

    Example:
        >>> figure, ax = plt.subplots()
        >>> image_grid(np.zeros((6, 28, 28)), ax, n_columns=3)
        >>> plt.close(figure)
    """
    images = _finite_array("images", images)
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if images.ndim != 3 and (images.ndim != 4 or images.shape[1] != 3):
        raise ValueError(
            "images must have shape (N, height, width) or (N, channels, height, width) with 1 or 3 channels, "
            f"got {images.shape}"
        )
    require_count(n_columns=n_columns)
    if len(images) % n_columns:
        raise ValueError(f"n_columns must divide the number of images, {len(images)}, got {n_columns}")
    in_color = images.ndim == 4
    pixels = np.moveaxis(images, 1, -1) if in_color else images[..., None]  # channels last, as Matplotlib has them
    gaps = (0, 0), (0, gap), (0, gap), (0, 0)
    padded = np.pad(pixels.clip(0, 1), gaps, constant_values=1.0 if in_color else 0.0)  # white
    _, height, width, channels = padded.shape
    rows = padded.reshape(-1, n_columns, height, width, channels).swapaxes(1, 2)
    mosaic = rows.reshape(-1, n_columns * width, channels).squeeze(-1 if not in_color else ())
    ax.imshow(mosaic[: -gap or None, : -gap or None], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()


def plot_history(history: History, ax: Axes, *, label: str = "") -> None:
    """Draw the ELBO after every epoch, in nats per example: training dashed, validation solid where there is one.

    Args:
        history: what `vae_tutorial.training.fit` returned, with at least one finished epoch.
        ax: where to draw.
        label: names the model in the legend.

    Raises:
        ValueError: the history holds no finished epoch.

    Example:
        >>> figure, ax = plt.subplots()
        >>> history = History(log_likelihood=[-5.0, -4.0], kl=[1.0, 1.5])
        >>> plot_history(history, ax)
        >>> plt.close(figure)
    """
    if not history.elbo:
        raise ValueError("history holds no finished epoch")
    epochs = np.arange(1, len(history.elbo) + 1)
    (line,) = ax.plot(epochs, history.elbo, linestyle="--", label=f"{label} training".strip())
    if history.val_elbo:
        ax.plot(epochs, history.val_elbo, color=line.get_color(), label=f"{label} validation".strip())
    ax.set(xlabel="epoch", ylabel="ELBO (nats per example)")
    ax.locator_params("x", integer=True)
    ax.legend()


def latent_scatter(mu: ArrayLike, labels: ArrayLike, ax: Axes) -> None:
    """Draw two-dimensional latent means, each class in its own color and named at its center.

    A class is named at the median of its points; names that would cover each other move apart, each tied to its median
    by a line.

    Args:
        mu: means, shape (N, 2).
        labels: whole numbers 0 to 9, shape (N,).
        ax: where to draw.

    Raises:
        ValueError: a shape does not fit, or ``mu`` is empty or not finite.

    Example:
        >>> figure, ax = plt.subplots()
        >>> mu = np.array([[0.0, 1.0], [2.0, 3.0]])
        >>> latent_scatter(mu, np.array([0, 1]), ax)
        >>> plt.close(figure)
    """
    mu, labels = _finite_array("mu", mu), np.asarray(labels)
    if mu.ndim != 2 or mu.shape[1] != 2 or labels.shape != mu.shape[:1]:
        raise ValueError(f"mu must have shape (N, 2) and labels (N,), got {mu.shape} and {labels.shape}")
    x, y = mu.T
    ax.scatter(x, y, c=labels, **POINTS)
    names = np.unique(labels)
    centers = np.stack([np.median(mu[labels == name], axis=0) for name in names])
    places = _pushed_apart(centers, 0.08 * np.ptp(mu, axis=0).max())
    for name, center, place in zip(names, centers, places, strict=True):
        ax.plot(*np.stack([center, place], axis=1), **TIE)
        ax.annotate(str(name), place, **NAME)
    ax.set(xlabel=r"$z_1$", ylabel=r"$z_2$", aspect="equal")


def density_contours(density: ArrayLike, x1: ArrayLike, x2: ArrayLike, ax: Axes, *, color: str = BLUE) -> None:
    """Draw contour lines of a density in the plane.

    Args:
        density: values on the grid, shape (len(x2), len(x1)).
        x1, x2: coordinates along the horizontal and the vertical axis.
        ax: where to draw.
        color: of the lines.

    Raises:
        ValueError: the shapes do not fit, or ``density`` is empty or not finite.

    Example:
        >>> figure, ax = plt.subplots()
        >>> x1, x2 = np.linspace(-2, 2, 20), np.linspace(-1, 1, 10)
        >>> density_contours(np.exp(-(x1**2) - x2[:, None] ** 2), x1, x2, ax)
        >>> plt.close(figure)
    """
    density, x1, x2 = _finite_array("density", density), np.asarray(x1), np.asarray(x2)
    if density.shape != (len(x2), len(x1)):
        raise ValueError(f"density must have shape (len(x2), len(x1)) = {(len(x2), len(x1))}, got {density.shape}")
    levels = density.max() * np.exp(-0.5 * np.array([2.5, 2.0, 1.5, 1.0, 0.5]) ** 2)
    ax.contour(x1, x2, density, levels=levels, colors=color, linewidths=1.2)


def _pushed_apart(points: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """Points moved until none is much closer to another than the distance, so that labels there can be read."""
    for _ in range(100):
        difference = points[:, None] - points
        norm = np.linalg.norm(difference, axis=-1, keepdims=True)
        norm[norm == 0] = np.inf  # no direction leads away from itself
        push = np.clip(distance - norm, 0, None) / 2
        points = points + (push * difference / norm).sum(axis=1)
    return points


def _finite_array(name: str, values: ArrayLike | Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {np.count_nonzero(~np.isfinite(array))} NaN or infinite values")
    return array
