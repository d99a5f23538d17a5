"""All that moves while a model is trained, and how a checkpoint holds it."""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_tutorial.checkpoints.files import CheckpointError, read, write
from vae_tutorial.history import History
from vae_tutorial.models import VAE


class Run:
    """A model on its way: its optimizer, the average of its weights, its best weights, its noise and its history."""

    def __init__(self, model: VAE, *, seed: int, average: float) -> None:
        self.model = model
        self.parameters = list(model.parameters())
        fused = self.parameters[0].device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.Adam(self.parameters, fused=fused)
        self.generator = torch.Generator().manual_seed(seed)
        self.n_steps = 0
        self.decay = average
        self.average = copy.deepcopy(model).requires_grad_(False) if average else None
        self.best: dict[str, Tensor] | None = None
        self.history = History()

    def count_step(self) -> None:
        """One more step has been taken: average its weights."""
        self.n_steps += 1
        if self.average is not None:
            self._update_average()

    @torch.no_grad()
    def _update_average(self) -> None:
        assert self.average is not None
        # The same as d a + (1 - d) θ, divided by 1 - d^t in the end, but correct at every step.
        weight = (1 - self.decay) / (1 - self.decay**self.n_steps)
        for averaged, parameter in zip(self.average.parameters(), self.parameters, strict=True):
            averaged.lerp_(parameter, weight)

    def result(self) -> VAE:
        """The model that validation measures, in evaluation mode: the average, where there is one."""
        if self.average is None:
            return self.model.eval()
        for averaged, buffer in zip(self.average.buffers(), self.model.buffers(), strict=True):
            averaged.copy_(buffer)  # such as batch statistics, which are averages already
        return self.average.eval()

    def keep_if_best(self) -> None:
        *earlier, last = self.history.val_elbo
        if last > max(earlier, default=-math.inf):
            self.best = {name: value.clone() for name, value in self.result().state_dict().items()}

    def out_of_patience(self, patience: int | None) -> bool:
        values = self.history.val_elbo
        return patience is not None and len(values) - 1 - values.index(max(values)) >= patience if values else False

    def finish(self) -> None:
        """Give the model the weights it ends with: the best where they were kept, else the average, else its own."""
        self.model.load_state_dict(self.best if self.best is not None else self.result().state_dict())

    def save(self, path: str | Path, settings: dict[str, Any]) -> None:
        slots = self.optimizer.state_dict()["state"]
        parts = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average is not None else {},
            "best": self.best or {},
            "optimizer": {f"{i}.{slot}": value for i, state in slots.items() for slot, value in state.items()},
            "generator": {"state": self.generator.get_state()},
        }
        tensors = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
        content = {"kind": "run", "n_steps": self.n_steps, "settings": settings, "history": asdict(self.history)}
        write(path, tensors, content)

    def restore(self, path: str | Path, settings: Callable[[int], dict[str, Any]]) -> None:
        """Take over what ``save`` wrote, if its settings are those that ``settings`` gives for as many epochs."""
        tensors, content = read(path)
        if content["kind"] != "run":
            raise CheckpointError(f"{path} holds a finished model: vae_tutorial.checkpoints.load reads it")
        history = History.from_columns(content["history"])
        expected = settings(len(history.elbo))
        for name, now in expected.items():
            if (was := content["settings"].get(name)) != now:
                raise CheckpointError(f"{path} belongs to another run: {_difference(name, was, now)}")
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "best": {}, "optimizer": {}, "generator": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        now = self.model.state_dict()
        for name in sorted(parts["model"].keys() | now.keys()):
            if (was := _form(parts["model"].get(name))) != _form(now.get(name)):
                raise CheckpointError(
                    f"{path} belongs to another model: {_difference(name, was, _form(now.get(name)))}"
                )
        self.model.load_state_dict(parts["model"])
        if self.average is not None:
            self.average.load_state_dict(parts["average"])
        device = self.parameters[0].device
        self.best = {name: value.to(device) for name, value in parts["best"].items()} or None
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimizer"].items():
            i, _, slot = name.partition(".")
            state.setdefault(int(i), {})[slot] = value
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        self.generator.set_state(parts["generator"]["state"])
        self.n_steps, self.history = content["n_steps"], history


def _form(value: Tensor | None) -> str | None:
    return None if value is None else f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"


def _difference(name: str, was: Any, now: Any) -> str:
    if isinstance(was, list):
        epoch, (was, now) = next(
            (i, pair) for i, pair in enumerate(zip(was, now, strict=True), 1) if pair[0] != pair[1]
        )
        name = f"{name} of epoch {epoch}"
    return f"{name} was {was!r}, is {now!r}"


def full_name(function: Callable[..., Any]) -> str:
    """What tells another function from this one."""
    if isinstance(function, partial):
        return f"{full_name(function.func)} with {function.args}, {function.keywords}"
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
