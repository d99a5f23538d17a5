"""Random numbers drawn in one place: one seed gives the same ones whatever the device of the model."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vae_tutorial._validation import require_generator


def draw(
    sampler: Callable[..., Tensor], shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Numbers from ``sampler``, `torch.randn` or `torch.rand`, with the dtype and on the device of ``like``.

    They are drawn on the generator's device and then moved; without one, from PyTorch's global one for the CPU.
    """
    if generator is not None:
        require_generator(generator)
    device = generator.device if generator is not None else "cpu"
    return sampler(shape, generator=generator, dtype=like.dtype, device=device).to(like.device)
