"""Where a model is trained, and in what precision: the device, its threads, bfloat16, one compiled graph."""

import inspect
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from vae_tutorial._random import standard_noise
from vae_tutorial._restoring import restoring
from vae_tutorial._validation import require_count
from vae_tutorial.bounds import ElboTerms
from vae_tutorial.models import VAE
from vae_tutorial.training.step import Objective

MOST_THREADS = 64  # or as many as there are cores


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
    with restoring(lambda: torch.set_num_threads(before)):
        torch.set_num_threads(n)
        yield


def require_threads(threads: int) -> int:
    """Return the argument as an integer; PyTorch starts as many threads as it is told, and dies of too many."""
    require_count(threads=threads)
    if threads > (most := max(MOST_THREADS, os.cpu_count() or 1)):
        raise ValueError(f"threads must be at most {most}, got {threads!r}; more than there are cores make it slower")
    return int(threads)


def require_device(device: torch.device | str | None, model: nn.Module) -> torch.device:
    """Where to train: the argument, or the best there is. It is at hand, and the model can go there and come back."""
    homes = {value.device for value in (*model.parameters(), *model.buffers())}
    if len(homes) > 1:
        raise ValueError(f"model must lie on one device, it lies on {', '.join(sorted(map(str, homes)))}: model.to(…)")
    try:
        chosen = torch.device(device) if device is not None else best_device()
    except (RuntimeError, TypeError) as error:
        raise ValueError(f'device must be one such as "cpu", "cuda" or "mps", got {device!r}: {error}') from error
    if "meta" in {chosen.type, *(home.type for home in homes)}:
        raise ValueError('device and model must hold numbers, and "meta" holds none: model.to_empty(device="cpu")')
    try:
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {str(chosen)!r} is not at hand: {error}") from error
    return chosen


@contextmanager
def moved(model: nn.Module, device: torch.device) -> Iterator[None]:
    """The model on a device; afterwards on the one it came from."""
    home = next(iter(model.parameters())).device
    with restoring(lambda: model.to(home)):
        model.to(device)
        yield


def in_bfloat16(objective: Objective) -> Objective:
    """The objective with the model's networks computing in bfloat16; what they return has the dtype of ``x`` again."""

    @wraps(objective)
    def in_bfloat16(model: VAE, /, *args: Any, **kwargs: Any) -> ElboTerms:
        # Summed in bfloat16, with its 8 binary digits, an ELBO of -90 nats would be known to half a nat.
        x: Tensor = args[0]
        with ExitStack() as hooks, torch.autocast(x.device.type, torch.bfloat16):
            for network in model.children():
                hooks.enter_context(_in_dtype(network, x.dtype))
            return objective(model, *args, **kwargs)

    return in_bfloat16


@contextmanager
def _in_dtype(network: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Inside, what the network gives has this dtype."""
    hooks: list[RemovableHandle] = []

    def remove() -> None:
        for hook in hooks:
            hook.remove()

    with restoring(remove):
        hooks.append(network.register_forward_hook(lambda network, inputs, output: _to(output, dtype)))
        yield


def _to(output: Any, dtype: torch.dtype) -> Any:
    return output.to(dtype) if isinstance(output, Tensor) else output  # what is no tensor, the model refuses


def compiled(objective: Objective) -> Objective:
    """The objective as one graph that ``torch.compile`` makes of it; its noise is drawn outside, the same as ever."""
    if not takes_noise(objective):
        raise TypeError("compile needs an objective that takes its noise, as elbo_terms does: objective(…, eps=…)")
    graph: Objective = torch.compile(objective)

    def with_noise(model: VAE, /, *args: Any, generator: torch.Generator, eps: Tensor | None = None) -> ElboTerms:
        *x, n_samples = args
        if eps is None:
            eps = standard_noise((n_samples, len(x[0]), model.latent_dim), like=x[0], generator=generator)
        return graph(model, *x, n_samples, eps=eps)

    return with_noise


def takes_noise(objective: Objective) -> bool:
    """Whether an objective can be given its noise, as ``eps``; one that has some already cannot."""
    try:
        eps = inspect.signature(objective).parameters.get("eps")
    except ValueError:  # it does not tell what it takes
        return False
    return eps is not None and eps.default in (None, inspect.Parameter.empty)
