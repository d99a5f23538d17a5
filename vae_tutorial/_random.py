"""Random numbers drawn in one place: one seed gives the same ones whatever the device of the model."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock

import torch
from torch import Tensor

from vae_tutorial._restoring import restoring
from vae_tutorial._validation import require_generator, require_seed

_one_at_a_time = RLock()


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Inside, new layers get the weights of this seed; PyTorch's global random state is left as it was.

    Layers draw from the global CPU generator and take no other, so that threads have to wait for each other.

    Raises:
        TypeError: ``seed`` is not an integer.
    """
    seed = require_seed(seed=seed)
    with random_state_kept():
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs, too
        yield


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Afterwards PyTorch's global CPU generator is where it was; for one thread at a time."""
    with _one_at_a_time:
        before = torch.default_generator.get_state()

        def restore() -> None:
            if not torch.equal(torch.default_generator.get_state(), before):  # else a draw elsewhere might be undone
                torch.default_generator.set_state(before)

        with restoring(restore):
            yield


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


def standard_noise(shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard Gaussian noise with the dtype and on the device of ``like``.

    It is drawn on the generator's device, by default the CPU, and then moved: one seed gives one noise, whatever the
    device of the model.

    Args:
        shape: the shape of the noise.
        like: a tensor that has the dtype and device wanted.
        generator: where the noise is drawn from; PyTorch's global CPU generator by default.

    Returns:
        A tensor of that shape.

    Raises:
        TypeError: ``generator`` is not a ``torch.Generator``.

    Example:
        >>> def draw():
        ...     generator = torch.Generator().manual_seed(0)
        ...     like = torch.zeros(1)
        ...     return standard_noise((2, 3), like=like, generator=generator)
        >>> torch.equal(draw(), draw())
        True
    """
    return draw(torch.randn, shape, like=like, generator=generator)


def uniform_noise(shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Numbers between 0 and 1, 1 excluded, otherwise as `standard_noise`."""
    return draw(torch.rand, shape, like=like, generator=generator)
