"""All that moves while a model is trained, and how a checkpoint holds it."""

import copy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_tutorial.checkpoints.files import CheckpointError, read, write
from vae_tutorial.history import History
from vae_tutorial.models import VAE

Parts = dict[str, dict[str, Tensor]]
"""The tensors of a checkpoint: of the model, the average, the best weights, the optimizer and the generator."""

DAMAGED = "it was changed since fit wrote it: use a copy, or delete it and train again"


class Run:
    """A model on its way: its optimizer, the average of its weights, its best weights, its noise and its history."""

    def __init__(self, model: VAE, *, seed: int, average: float, patience: int | None) -> None:
        self.model = model
        self.parameters: list[Tensor] = list(model.parameters())
        fused = self.parameters[0].device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.Adam(self.parameters, fused=fused)
        self.generator = torch.Generator().manual_seed(seed)
        self.n_steps = 0
        self.decay = average
        self.average = copy.deepcopy(model).requires_grad_(False) if average else None
        self.patience = patience
        self.best: tuple[int, dict[str, Tensor]] | None = None  # an epoch, and its weights
        self.history = History()
        self.finished = False

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
        # All in one call: an interrupt finds the average of this step or of the last, and no mixture of both.
        torch._foreach_lerp_([*self.average.parameters()], self.parameters, weight)

    def result(self) -> VAE:
        """The model that validation measures, in evaluation mode: the average, where there is one."""
        if self.average is None:
            return self.model.eval()
        for averaged, buffer in zip(self.average.buffers(), self.model.buffers(), strict=True):
            averaged.copy_(buffer)  # such as batch statistics, which are averages already
        return self.average.eval()

    def best_epoch(self) -> int:
        """The epoch whose weights the model ends with; 0 where that is the last, whatever it is."""
        values = self.history.val_elbo
        return values.index(max(values)) + 1 if self.patience is not None and values else 0

    def keep_if_best(self) -> None:
        epoch = self.best_epoch()
        if epoch == len(self.history.elbo) > 0:
            self.best = epoch, {name: value.clone() for name, value in self.result().state_dict().items()}

    def out_of_patience(self) -> bool:
        return self.patience is not None and len(self.history.elbo) - self.best_epoch() >= self.patience

    def finish(self) -> None:
        """Give the model the weights it ends with: the best where they were kept, else the average, else its own."""
        if not self.finished:
            # An interrupt may come between the best epoch and the copy of its weights: the model still has them.
            kept = self.best is not None and self.best[0] == self.best_epoch()
            self.model.load_state_dict(self.best[1] if self.best and kept else self.result().state_dict())
            self.finished = True
        self.model.eval()

    def save(self, path: str | Path, settings: dict[str, Any]) -> None:
        parts = self._parts()
        tensors = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
        content = {"kind": "run", "n_steps": self.n_steps, "settings": settings, "history": asdict(self.history)}
        write(path, tensors, content)

    def _parts(self) -> Parts:
        slots = self.optimizer.state_dict()["state"]
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average is not None else {},
            "best": self.best[1] if self.best is not None else {},
            "optimizer": {f"{i}.{slot}": value for i, state in slots.items() for slot, value in state.items()},
            "generator": {"state": self.generator.get_state()},
        }

    def restore(
        self,
        path: str | Path,
        fixed: dict[str, Any],
        replayed: Callable[[int], dict[str, Any]],
        *,
        n_batches: int,
    ) -> None:
        """Take over what ``save`` wrote, all of it or nothing.

        Args:
            path: the file.
            fixed: settings that must be those in the file.
            replayed: gives those that grow with the epochs, for so many of them.
            n_batches: the steps of an epoch.

        Raises:
            CheckpointError: the file holds another run, or something that ``save`` never writes.
        """
        tensors, content = read(path)
        history, n_steps = _checked_content(path, content)
        _require_settings(path, content["settings"], fixed)
        if n_steps != (expected := n_batches * len(history.elbo)):
            raise CheckpointError(f"{path} holds {n_steps} steps, which should be {expected}: {DAMAGED}")
        _require_settings(path, content["settings"], replayed(len(history.elbo)))
        parts: Parts = {part: {} for part in self._parts()}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            if part not in parts:
                raise CheckpointError(f"{path} holds a tensor {name}, which is in no run: {DAMAGED}")
            parts[part][rest] = value
        self._require_fitting(path, parts, history)
        self._take_over(parts, history, n_steps)

    def _require_fitting(self, path: str | Path, parts: Parts, history: History) -> None:
        """Every tensor has the shape and dtype that this run gives it: fused Adam looks at none, and reads on."""
        _require_forms(path, "", parts["model"], now := self.model.state_dict(), "belongs to another model")
        averaged = now if self.average is not None else {}
        _require_forms(path, "average.", parts["average"], averaged, "does not fit this run")
        best = now if self.patience is not None and history.val_elbo else {}
        _require_forms(path, "best.", parts["best"], best, "does not fit this run")
        expected: dict[str, Tensor] = {}
        for i, parameter in enumerate(self.parameters):
            if any(name.startswith(f"{i}.") for name in parts["optimizer"]):  # none of a weight without a gradient
                moments = {f"{i}.exp_avg": parameter, f"{i}.exp_avg_sq": parameter}
                expected |= {f"{i}.step": torch.zeros((), dtype=torch.float32)} | moments
        _require_forms(path, "optimizer.", parts["optimizer"], expected, "does not fit this run")
        state = {"state": self.generator.get_state()}
        _require_forms(path, "generator.", parts["generator"], state, "does not fit this run")
        try:
            torch.Generator().set_state(parts["generator"]["state"])
        except RuntimeError as error:
            raise CheckpointError(f"{path} holds no state of a generator ({error}): {DAMAGED}") from error

    def _take_over(self, parts: Parts, history: History, n_steps: int) -> None:
        self.model.load_state_dict(parts["model"])
        if self.average is not None:
            self.average.load_state_dict(parts["average"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimizer"].items():
            i, _, slot = name.partition(".")
            state.setdefault(int(i), {})[slot] = value
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        self.generator.set_state(parts["generator"]["state"])
        self.n_steps, self.history = n_steps, history
        if parts["best"]:
            device = self.parameters[0].device
            self.best = self.best_epoch(), {name: value.to(device) for name, value in parts["best"].items()}


def _checked_content(path: str | Path, content: Any) -> tuple[History, int]:
    """The history and the number of steps of a file that holds a run."""
    if isinstance(content, dict) and content.get("kind") == "model":
        raise CheckpointError(f"{path} holds a finished model: vae_tutorial.checkpoints.load reads it")
    expected = {"kind", "n_steps", "settings", "history"}
    if not isinstance(content, dict) or content.get("kind") != "run" or content.keys() != expected:
        raise CheckpointError(f"{path} does not hold a run, with {', '.join(sorted(expected))}: {DAMAGED}")
    n_steps = content["n_steps"]
    if type(n_steps) is not int or n_steps < 0 or not isinstance(content["settings"], dict):
        raise CheckpointError(f"{path} holds no number of steps, {n_steps!r}, or no settings: {DAMAGED}")
    try:
        return History.from_columns(content["history"]), n_steps
    except ValueError as error:
        raise CheckpointError(f"{path} does not hold a history ({error}): {DAMAGED}") from error


def _require_settings(path: str | Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, now in expected.items():
        if name not in found:
            raise CheckpointError(
                f"{path} does not say its {name}: it is of an older version, delete it and train again"
            )
        if (was := found[name]) != now:
            raise CheckpointError(f"{path} belongs to another run: {_difference(name, was, now)}")


def _require_forms(
    path: str | Path, prefix: str, found: dict[str, Tensor], expected: dict[str, Tensor], verdict: str
) -> None:
    for name in sorted(found.keys() | expected.keys()):
        was, now = _form(found.get(name)), _form(expected.get(name))
        if was != now:
            raise CheckpointError(f"{path} {verdict}: {_difference(prefix + name, was, now)}")


def _form(value: Tensor | None) -> str | None:
    return None if value is None else f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"


def _difference(name: str, was: Any, now: Any) -> str:
    if isinstance(was, dict) and isinstance(now, dict):
        part = next(key for key in [*was, *now] if was.get(key) != now.get(key))
        name, was, now = f"{name}, {part}", was.get(part), now.get(part)
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        epoch, (was, now) = next(
            (i, pair) for i, pair in enumerate(zip(was, now, strict=True), 1) if pair[0] != pair[1]
        )
        name = f"{name} of epoch {epoch}"
    return f"{name} was {was!r}, is {now!r}"
