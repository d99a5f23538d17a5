"""A pendulum seen by a camera of one line: the frame shows where it is, and not where it goes."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial._validation import require_count, require_seed

PIXELS = torch.linspace(-1.25, 1.25, 12)
"""Where the twelve pixels of a frame are, along a line of sight to a pendulum of length 1."""

NOISE = 0.1
"""The standard deviation of the camera's noise."""

STEP = 0.35
"""The time between two frames, in which a small swing goes through a ninth of its period."""


class Swings(NamedTuple):
    """Frames, shape (N, T·12), each sequence one row; and angles and speeds, shape (N, T, 2), which no model sees."""

    x: Tensor
    state: Tensor


def pendulum(n: int, n_steps: int, *, seed: int) -> Swings:
    r"""Swings of a damped pendulum that is pushed at random, in frames of twelve pixels.

    .. math:: d\omega = -(4 \sin \theta + 0.1\, \omega) \, dt + 0.15 \, dW, \qquad d\theta = \omega \, dt

    in four steps of Euler's method a frame, where the new speed moves the angle. It begins at angles from −2 to 2 with
    speeds from :math:`\mathcal{N}(0, 0.8^2)`. A pixel at u is :math:`e^{-(u - \sin \theta)^2 / (2 \cdot 0.25^2)}`, with
    noise of standard deviation 0.1.

    Args:
        n: how many sequences.
        n_steps: T, frames in each.
        seed: of all noise; the global random state is left as it was.

    Returns:
        The `Swings`, in float32.

    Raises:
        TypeError: ``seed`` is not an integer.
        ValueError: ``n`` or ``n_steps`` is not an integer of at least 1.

    Example:
        >>> swings = pendulum(5, 10, seed=0)
        >>> swings.x.shape, swings.state.shape
        (torch.Size([5, 120]), torch.Size([5, 10, 2]))
    """
    require_count(n=n, n_steps=n_steps)
    generator = torch.Generator().manual_seed(require_seed(seed=seed))
    start = 4 * torch.rand(n, generator=generator) - 2, 0.8 * torch.randn(n, generator=generator)
    states = [torch.stack(start, -1)]
    for _ in range(n_steps - 1):
        states.append(swing_on(states[-1], generator))
    state = torch.stack(states, 1)
    clean = frames(state)
    return Swings((clean + NOISE * torch.randn(clean.shape, generator=generator)).flatten(1), state)


def swing_on(state: Tensor, generator: torch.Generator) -> Tensor:
    """Angle and speed one frame later, of the shape of ``state``, (..., 2)."""
    theta, omega = state.unbind(-1)
    dt = STEP / 4
    for _ in range(4):
        push = 0.15 * math.sqrt(dt) * torch.randn(theta.shape, generator=generator)
        omega = omega - dt * (4 * torch.sin(theta) + 0.1 * omega) + push
        theta = theta + dt * omega
    return torch.stack([theta, omega], -1)


def frames(state: Tensor) -> Tensor:
    """The frames without noise, shape (..., 12), of angles and speeds, shape (..., 2)."""
    return torch.exp(-0.5 * ((PIXELS - torch.sin(state[..., :1])) / 0.25) ** 2)
