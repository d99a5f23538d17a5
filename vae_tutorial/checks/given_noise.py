"""Noise given in the place of PyTorch's; by itself, since the child of `vae_tutorial.grade` loads this file alone."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class GivenNoise(TorchFunctionMode):
    """Inside, PyTorch's functions for Gaussian noise of one shape give ``eps``."""

    inside: "GivenNoise | None" = None
    """The one that is in force: a function in another process is given its noise, and says here that it took it."""

    def __init__(self, eps: Tensor) -> None:
        super().__init__()
        self.eps, self.used = eps, False

    def __enter__(self) -> "GivenNoise":
        GivenNoise.inside = self
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *how: Any) -> None:
        GivenNoise.inside = None
        super().__exit__(*how)  # type: ignore[no-untyped-call]

    def fits(self, drawn: Tensor) -> bool:
        return drawn.shape == self.eps.shape

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func not in (torch.randn, torch.randn_like, torch.normal, Tensor.normal_) or not self.fits(result):
            return result
        self.used = True
        eps = self.eps.to(result.dtype).reshape(result.shape)
        if func is torch.normal:
            mean, std = (*args, *(kwargs or {}).values())[:2]
            return mean + std * eps
        return result.detach().copy_(eps) if func is Tensor.normal_ else eps
