"""What a data set is."""

from typing import NamedTuple

from torch import Tensor


class Dataset(NamedTuple):
    """Data split once and for all into a training and a test part.

    Attributes:
        name: "digits", "mnist" or "gaussian_2d".
        x_train: training examples, float32 of shape (N, D); the pixels of images lie in [0, 1], row by row.
        y_train: their classes, int64 of shape (N,); None where there are none.
        x_test: test examples, like ``x_train``.
        y_test: their classes, like ``y_train``.
        image_shape: (height, width) of an image, or (channels, height, width), with D for their product; None where the
            examples are no images.
    """

    name: str
    x_train: Tensor
    y_train: Tensor | None
    x_test: Tensor
    y_test: Tensor | None
    image_shape: tuple[int, ...] | None
