r"""Networks that know where a pixel lies: convolutional and residual VAEs, for images and for time series.

All of them take flat rows and give flat rows, as `VAE` wants them; the axes of the image exist inside only. A colour
image is a row of all of its first channel, then all of its second, and so on. Shapes: B examples, C channels, D
dimensions of x, L latent dimensions.
"""

import math
from collections.abc import Callable, Sequence
from numbers import Integral

from torch import Tensor, nn

from vae_tutorial._description import described
from vae_tutorial._random import initial_weights
from vae_tutorial._validation import require_count
from vae_tutorial.likelihoods import Likelihood
from vae_tutorial.models import VAE, require_parts
from vae_tutorial.posteriors import Posterior, diagonal
from vae_tutorial.priors import Prior, standard_normal


class ResidualBlock(nn.Module):
    r"""A small correction to what passes through (He et al., 2016):
    :math:`h + \text{conv}(r(\text{conv}(r(h))))` with :math:`r(h) = \max(h, 0)`.

    Args:
        channels: of ``h``, shape (B, channels, height, width), and of the result, which has the same shape.

    Example:
        >>> import torch
        >>> ResidualBlock(16)(torch.zeros(2, 16, 7, 7)).shape
        torch.Size([2, 16, 7, 7])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.correction = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, h: Tensor) -> Tensor:
        """``h`` and its correction, added."""
        correction: Tensor = self.correction(h)
        return h + correction


@described
def conv_vae(
    image_shape: tuple[int, ...],
    latent_dim: int,
    likelihood: Likelihood,
    *,
    seed: int,
    prior: Prior = standard_normal,
    posterior: Posterior = diagonal,
) -> VAE:
    """A VAE with two convolutions that halve the image, and two transposed ones that double it.

    Encoder: image, 16 channels of half its sides, 32 of a quarter, a linear layer. Decoder: the same backwards. Kernels
    are 3 pixels wide, between two layers stands a ReLU. The linear layers do what convolutions with kernels as large
    as their input do, 7×7 for images of 28×28, and do it faster; the decoder's has one bias for each number it gives
    where a transposed convolution has one for each channel.

    Args:
        image_shape: (height, width) of an image, or (channels, height, width); the sides are multiples of 4. D is the
            product of all.
        latent_dim: L, the number of latent dimensions.
        likelihood: the distribution of x given z. The decoder gives as many images as it has ``n_params``.
        seed: fixes the initial weights; the global random state is left as it was.
        prior, posterior: as for `VAE`.

    Returns:
        The `VAE`, on the CPU, in float32.

    Raises:
        TypeError: ``likelihood``, ``prior`` or ``posterior`` is none, or ``seed`` not an integer.
        ValueError: ``image_shape`` is neither (height, width) nor (channels, height, width), its sides are no multiples
            of 4, or ``latent_dim`` is not an integer of at least 1.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> model = conv_vae((28, 28), 20, bernoulli, seed=0)
        >>> sum(parameter.numel() for parameter in model.parameters())
        105257
    """
    shape = _image_shape(image_shape)
    return _strided_vae(shape, latent_dim, likelihood, seed, prior, posterior, nn.Conv2d, nn.ConvTranspose2d)


@described
def conv1d_vae(
    n_steps: int,
    latent_dim: int,
    likelihood: Likelihood,
    *,
    seed: int,
    prior: Prior = standard_normal,
    posterior: Posterior = diagonal,
) -> VAE:
    """`conv_vae` for time series: the same layers with one axis, time, in place of height and width.

    Args:
        n_steps: length of a series, a multiple of 4; this is D.
        latent_dim, likelihood, seed, prior, posterior: as for `conv_vae`.

    Returns:
        The `VAE`, on the CPU, in float32.

    Raises:
        TypeError: as `conv_vae`.
        ValueError: ``n_steps`` is not a multiple of 4, or ``latent_dim`` not an integer of at least 1.

    Example:
        >>> import torch
        >>> from vae_tutorial.likelihoods import normal
        >>> model = conv1d_vae(64, 3, normal(0.0), seed=0)
        >>> model.decode(torch.zeros(5, 2, 3)).shape  # samples and examples become rows, and come back
        torch.Size([5, 2, 64])
    """
    _require_multiples_of_4("a multiple of 4", [n_steps], n_steps=n_steps)
    shape = (1, int(n_steps))
    return _strided_vae(shape, latent_dim, likelihood, seed, prior, posterior, nn.Conv1d, nn.ConvTranspose1d)


@described
def resnet_vae(
    image_shape: tuple[int, ...],
    latent_dim: int,
    likelihood: Likelihood,
    *,
    seed: int,
    prior: Prior = standard_normal,
    posterior: Posterior = diagonal,
) -> VAE:
    """`conv_vae` with a residual block after each change of size.

    For images of 28×28 it has about as many parameters as `conv_vae`: what the blocks cost is saved where that spends
    nearly everything, since the linear layers see 16 channels in place of 32. For smaller images it has more.

    Args:
        image_shape, latent_dim, likelihood, seed, prior, posterior: as for `conv_vae`.

    Returns:
        The `VAE`, on the CPU, in float32.

    Raises:
        TypeError: as `conv_vae`.
        ValueError: as `conv_vae`.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> model = resnet_vae((28, 28), 20, bernoulli, seed=0)
        >>> sum(parameter.numel() for parameter in model.parameters())
        104777
    """
    channels, height, width = _image_shape(image_shape)
    require_count(latent_dim=latent_dim)
    require_parts(likelihood, prior, posterior)
    coarse = (16, height // 4, width // 4)
    with initial_weights(seed):
        encoder = nn.Sequential(
            nn.Unflatten(1, (channels, height, width)),
            nn.Conv2d(channels, 16, 3, stride=2, padding=1),
            ResidualBlock(16),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            ResidualBlock(32),
            nn.ReLU(),
            nn.Conv2d(32, 16, 1),
            nn.Flatten(),
            nn.Linear(math.prod(coarse), len(posterior.names) * latent_dim),
        )
        decoder = nn.Sequential(
            nn.Linear(latent_dim, math.prod(coarse)),
            nn.Unflatten(1, coarse),
            nn.Conv2d(16, 32, 1),
            ResidualBlock(32),
            nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1),
            ResidualBlock(16),
            nn.ReLU(),
            nn.ConvTranspose2d(16, likelihood.n_params * channels, 3, stride=2, padding=1, output_padding=1),
            nn.Flatten(),  # all channels of one parameter, then all of the next
        )
    return VAE(encoder, decoder, latent_dim, likelihood, prior, posterior)


def _strided_vae(
    shape: tuple[int, ...],
    latent_dim: int,
    likelihood: Likelihood,
    seed: int,
    prior: Prior,
    posterior: Posterior,
    conv: Callable[..., nn.Module],
    conv_transpose: Callable[..., nn.Module],
) -> VAE:
    """`conv_vae` for any number of axes; ``shape`` is channels and sides."""
    require_count(latent_dim=latent_dim)
    require_parts(likelihood, prior, posterior)
    channels, *sides = shape
    halves = dict(kernel_size=3, stride=2, padding=1)
    doubles = halves | dict(output_padding=1)
    coarse = (32, *(side // 4 for side in sides))
    with initial_weights(seed):
        encoder = nn.Sequential(
            nn.Unflatten(1, shape),
            conv(channels, 16, **halves),
            nn.ReLU(),
            conv(16, 32, **halves),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(math.prod(coarse), len(posterior.names) * latent_dim),
        )
        decoder = nn.Sequential(
            nn.Linear(latent_dim, math.prod(coarse)),
            nn.Unflatten(1, coarse),
            nn.ReLU(),
            conv_transpose(32, 16, **doubles),
            nn.ReLU(),
            conv_transpose(16, likelihood.n_params * channels, **doubles),
            nn.Flatten(),  # all channels of one parameter, then all of the next
        )
    return VAE(encoder, decoder, latent_dim, likelihood, prior, posterior)


def _image_shape(image_shape: tuple[int, ...]) -> tuple[int, ...]:
    """(channels, height, width); an image without channels has one."""
    if not isinstance(image_shape, (tuple, list)) or len(image_shape) not in (2, 3):
        raise ValueError(f"image_shape must be (height, width) or (channels, height, width), got {image_shape!r}")
    channels, height, width = image_shape if len(image_shape) == 3 else (1, *image_shape)
    require_count(channels=channels)
    _require_multiples_of_4("multiples of 4 in height and width", (height, width), image_shape=image_shape)
    return int(channels), int(height), int(width)


def _require_multiples_of_4(expected: str, sides: Sequence[int], **argument: object) -> None:
    """The sides can be halved twice and doubled back."""
    ((name, came),) = argument.items()
    if any(not isinstance(side, Integral) or side < 1 or side % 4 for side in sides):
        raise ValueError(f"{name} must be {expected}, to be halved twice and doubled back, got {came!r}")
