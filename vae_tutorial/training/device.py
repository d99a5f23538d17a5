"""Where a model is trained, and in what precision: the device, its threads, bfloat16, one compiled graph."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from vae_tutorial._random import standard_noise
from vae_tutorial.bounds import ElboTerms
from vae_tutorial.models import VAE
from vae_tutorial.training.step import Objective


def best_device() -> torch.device:
    """The fastest device at hand: CUDA, else Apple's MPS, else the CPU.

    Example:
        >>> best_device().type in ("cuda", "mps", "cpu")
        True
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


@contextmanager
def cpu_threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_bfloat16(objective: Objective) -> Objective:
    """The objective with the model's networks computing in bfloat16; what they return has the dtype of ``x`` again."""

    def in_bfloat16(model: VAE, /, *args: Any, generator: torch.Generator) -> ElboTerms:
        # Summed in bfloat16, with its 8 binary digits, an ELBO of -90 nats would be known to half a nat.
        x: Tensor = args[0]
        hooks = [
            network.register_forward_hook(lambda network, inputs, output: output.to(x.dtype))
            for network in model.children()
        ]
        try:
            with torch.autocast(x.device.type, torch.bfloat16):
                return objective(model, *args, generator=generator)
        finally:
            for hook in hooks:
                hook.remove()

    return in_bfloat16


def compiled(objective: Objective) -> Objective:
    """The objective as one graph that ``torch.compile`` makes of it; its noise is drawn outside, the same as ever."""
    if "eps" not in inspect.signature(objective).parameters:
        raise TypeError("compile needs an objective that takes its noise, as elbo_terms does: objective(…, eps=…)")
    graph: Objective = torch.compile(objective)

    def with_noise(model: VAE, /, *args: Any, generator: torch.Generator) -> ElboTerms:
        *x, n_samples = args
        eps = standard_noise((n_samples, len(x[0]), model.latent_dim), like=x[0], generator=generator)
        return graph(model, *x, n_samples, eps=eps)

    return with_noise
