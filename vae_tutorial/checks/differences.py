"""The slope of a number by autograd and by central differences: where autograd's is not the right one, and why."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vae_tutorial.checks.answers import relative_gap


def slope_gap(total: Callable[[], Tensor], leaf: Tensor, *, seed: int, steps: Sequence[float]) -> tuple[float, bool]:
    """How far both slopes of ``total()`` along one direction of the leaf differ, of 1 + |exact|, at the best step.

    Also whether autograd has none at all. The leaf is left as it was, to the bit.
    """
    direction = torch.randn(leaf.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    value = total()
    (slope,) = torch.autograd.grad(value, leaf, allow_unused=True) if value.requires_grad else (None,)
    came = leaf.new_zeros(()) if slope is None else (slope * direction).sum()
    exact = [_central(total, leaf, step / direction.norm() * direction) * direction.norm() / step for step in steps]
    return min(relative_gap(came, each).item() for each in exact), not came.any()


@torch.no_grad()
def _central(total: Callable[[], Tensor], leaf: Tensor, step: Tensor) -> Tensor:
    """Half of the difference between a step ahead and a step back."""
    before = leaf.detach().clone()
    ahead, back = (_after(total, leaf, before + sign * step) for sign in (1, -1))
    leaf.copy_(before)
    return (ahead - back) / 2


def _after(total: Callable[[], Tensor], leaf: Tensor, number: Tensor) -> Tensor:
    leaf.copy_(number)
    return total()


def name_slope(of: str, name: str, missing: bool) -> str:
    """The sentence for a slope that is not the right one."""
    if missing:
        return f"No gradient reaches {name}: it is detached on the way, or computed without gradients."
    return f"The gradient of {of} with respect to {name} is not that of its values."
