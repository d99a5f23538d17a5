"""Real handwritten digits, a Gaussian in the plane whose entropy is known, shapes with known factors, a pendulum.

``digits`` comes with the package; ``mnist`` is looked for on disk, then downloaded; ``load_images`` takes MNIST when it
can be had and the digits otherwise. Every file of MNIST is known by the SHA-256 of its decompressed content, which is
verified before anything is parsed: mirrors compress the files anew, so the bytes they serve differ.

All tensors are on the CPU. Two environment variables matter:

``VAE_TUTORIAL_DATA``
    the folder of the four MNIST files; the user's cache folder when it is not set.
``VAE_TUTORIAL_DATASET``
    ``digits`` or ``mnist``: what ``load_images`` must take.
"""

from vae_tutorial.datasets.dataset import Dataset
from vae_tutorial.datasets.drawn_shapes import FACTORS, Shapes, all_shapes, draw_shapes, shapes
from vae_tutorial.datasets.mnist_files import DatasetError, load_images, mnist
from vae_tutorial.datasets.small import GAUSSIAN_2D_COV, GAUSSIAN_2D_MEAN, binarize, digits, gaussian_2d
from vae_tutorial.datasets.swings import Swings, pendulum

__all__ = [
    "Dataset",
    "DatasetError",
    "digits",
    "mnist",
    "load_images",
    "gaussian_2d",
    "GAUSSIAN_2D_MEAN",
    "GAUSSIAN_2D_COV",
    "binarize",
    "FACTORS",
    "Shapes",
    "shapes",
    "all_shapes",
    "draw_shapes",
    "Swings",
    "pendulum",
]
