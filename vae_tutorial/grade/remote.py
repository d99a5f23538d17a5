"""A student's function in a process of its own, as one that the checks can call."""

import builtins
import contextlib
import inspect
import itertools
import json
import math
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vae_tutorial.checks.given_noise import GivenNoise
from vae_tutorial.grade.wire import Broken, pack, receive, send, unpack


@dataclass(frozen=True)
class Limits:
    """What one function may use. Processor time is its own: a busy machine does not shorten it."""

    cpu_seconds: int = 20
    memory: int = 2 * 2**30
    file_bytes: int = 2**20
    patience: float = 120.0
    """Seconds that it may keep the checks waiting, all its answers together: it stops those that sleep."""


class Ended(Exception):
    """The child gives no more answers."""


class Worker:
    """The quiet process that has loaded PyTorch once and makes a child for each function; it is closed by ``with``.

    Args:
        limits: of each child.
        modules: what else is loaded once, where it is there.
    """

    def __init__(self, limits: Limits | None = None, modules: Sequence[str] = ()) -> None:
        self.limits = limits or Limits()
        self.folder = Path(tempfile.mkdtemp(prefix="grade-")).resolve()
        self.control, theirs = socket.socketpair()
        file = Path(__file__).with_name("child.py")
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        command = [sys.executable, "-I", str(file), str(theirs.fileno()), str(self.folder)]
        self.process = subprocess.Popen(
            [*command, str(Path(torch.__file__).parents[1]), *modules],
            pass_fds=[theirs.fileno()],
            env=kept | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONHASHSEED": "0"},
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.control.close()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, cells: Sequence[str]) -> "Child":
        """A child that has run these cells, or has ended over it."""
        return Child(self, cells)


class Child:
    """One child: what its cells define, its functions, and how it ended; it is closed by ``with``."""

    def __init__(self, worker: Worker, cells: Sequence[str]) -> None:
        self.worker, self.ended, self.ids = worker, "", itertools.count()
        self.seconds, self.printed = 0.0, ""
        self.patience = worker.limits.patience
        self.problem, self.functions, self.walls = "", {}, []
        limits = [worker.limits.cpu_seconds, worker.limits.memory, worker.limits.file_bytes]
        self.output = tempfile.TemporaryFile()
        self.asked, theirs = socket.socketpair()
        socket.send_fds(worker.control, [json.dumps(limits).encode()], [theirs.fileno(), self.output.fileno()])
        theirs.close()
        if not worker.control.recv(16):
            raise RuntimeError("the grading process did not start: can a plain `python -c 'import torch'` run?")
        with contextlib.suppress(Ended):
            said, _ = self.ask({"cells": list(cells)})
            self._take(said)

    def _take(self, said: dict[str, Any]) -> None:
        try:
            self.problem, self.walls = str(said["problem"])[:2000], [str(wall) for wall in said["walls"]][:9]
            self.functions = {
                str(name): [(str(p), bool(needed)) for p, needed in parameters][:64]
                for name, parameters in list(said["functions"].items())[:2000]
            }
        except (KeyError, TypeError, ValueError, AttributeError):
            self.ended = NO_ANSWERS

    def ask(self, message: dict[str, Any], tensors: Sequence[Tensor] = ()) -> tuple[dict[str, Any], list[Tensor]]:
        """Its answer to a message; the patience is for all of them together."""
        if self.ended:
            raise Ended(self.ended)
        start = time.monotonic()
        try:
            self.asked.settimeout(max(self.patience, 0.001))
            send(self.asked, message, tensors)
            answer = receive(self.asked, self.patience)
        except (EOFError, ConnectionError):
            self.ended = "ended"
        except TimeoutError:
            self.ended = f"It kept the checks waiting for more than {self.worker.limits.patience:.0f} seconds."
        except Broken:
            self.ended = NO_ANSWERS
        else:
            self.patience -= time.monotonic() - start
            return answer
        raise Ended(self.ended)

    def function(self, name: str) -> Callable[..., Any]:
        """The function of that name, called there; with its signature and the gradients of what it gives."""
        self.ask({"do": "take", "name": name})

        def called(*arguments: Any) -> Any:
            return self._call(arguments)

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        with contextlib.suppress(ValueError):  # names that are none
            called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
                [
                    inspect.Parameter(p, kind, default=inspect.Parameter.empty if needed else None)
                    for p, needed in self.functions[name]
                ]
            )
        called.__name__ = name
        return called

    def _call(self, arguments: Sequence[Any]) -> Any:
        tensors: list[Tensor] = []
        given = [_given(argument, tensors) for argument in arguments]
        leaves = [leaf for argument in arguments for leaf in _leaves(argument)]
        noise, inside = None, GivenNoise.inside
        if inside is not None:
            noise = len(tensors)
            tensors.append(inside.eps)
        number = next(self.ids)
        said, out = self._answer(
            {
                "do": "call",
                "id": number,
                "arguments": given,
                "noise": noise,
                "grad": torch.is_grad_enabled(),
                "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
                "seed": int(torch.randint(2**62, ())),  # its own random numbers follow the generator here
            },
            tensors,
        )
        try:
            for at, tensor, setting in said["changed"]:
                _change(arguments[at], None if tensor is None else out[tensor], setting)
            if inside is not None and said["used"] is True:
                inside.used = True
            out = out[: said["n"]]
            tracked = [p["at"] for p in _tensors(said["value"]) if p["grad"] is True and out[p["at"]].is_floating_point()]
            if tracked and leaves:
                wired = _Through.apply(self, number, [out[at] for at in tracked], *leaves)  # type: ignore[no-untyped-call]
                for at, tensor in zip(tracked, wired, strict=True):
                    out[at] = tensor
            return unpack(said["value"], out)
        except (Broken, KeyError, TypeError, IndexError, ValueError, AttributeError, RecursionError) as error:
            self.ended = NO_ANSWERS
            raise Ended(self.ended) from error

    def slopes(self, number: int, weights: Sequence[Tensor], leaves: Sequence[Tensor]) -> list[Tensor]:
        _, found = self._answer({"do": "slopes", "id": number}, weights)
        if [t.shape for t in found] != [t.shape for t in leaves]:
            self.ended = NO_ANSWERS
            raise Ended(self.ended)
        return [t.to(leaf.dtype) for t, leaf in zip(found, leaves, strict=True)]

    def _answer(self, message: dict[str, Any], tensors: Sequence[Tensor]) -> tuple[dict[str, Any], list[Tensor]]:
        said, out = self.ask(message, tensors)
        if "error" in said:
            raise _error(str(said["error"]), str(said.get("text", "")))
        return said, out

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it, and read what it printed and how it went."""
        self.asked.close()
        if self.ended == "ended":
            time.sleep(0.05)  # it is about to end by itself: let that be seen
        self.worker.control.sendall(b"end")
        how = json.loads(self.worker.control.recv(4096))
        self.seconds = how["seconds"]
        if self.ended == "ended":
            self.ended = self._how_it_ended(how["signal"])
        self.output.seek(0)
        self.printed = self.output.read(MOST_PRINTED + 1).decode("utf-8", errors="backslashreplace")
        if len(self.printed) > MOST_PRINTED:
            self.printed = self.printed[:MOST_PRINTED] + " … (and more)"
        self.output.close()
        for left in self.worker.folder.iterdir():
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()

    def _how_it_ended(self, number: int) -> str:
        limits = self.worker.limits
        if number in (signal.SIGXCPU, signal.SIGKILL) and self.seconds >= limits.cpu_seconds - 0.5:
            return f"Stopped after {limits.cpu_seconds} seconds of processor time: a loop without end?"
        if number == 0 or number == signal.SIGKILL:
            return "It left: its process ended before it had answered."
        return f"Its process was ended by {signal.Signals(number).name}."


NO_ANSWERS = "Its process sent something that is no answer."
MOST_PRINTED = 2000


class _Through(torch.autograd.Function):
    """What came, with the gradients of the function that it came from."""

    @staticmethod
    def forward(ctx: Any, child: Child, number: int, out: list[Tensor], *leaves: Tensor) -> tuple[Tensor, ...]:
        ctx.child, ctx.number, ctx.leaves = child, number, leaves
        return tuple(out)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *weights: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, None, *ctx.child.slopes(ctx.number, weights, ctx.leaves)


def _given(argument: Any, tensors: list[Tensor]) -> dict[str, Any]:
    if not isinstance(argument, nn.Module):
        return pack(argument, tensors)
    networks = {
        name: network
        for name, network in argument.named_children()
        if all(type(part).__module__.startswith("torch.nn.") for part in network.modules())
    }
    parts = {"networks": networks}
    if hasattr(argument, "likelihood"):
        parts |= {"latent_dim": argument.latent_dim, "noise_var": _noise_var(argument)}
    tensors.append(torch.frombuffer(bytearray(pickle.dumps(parts)), dtype=torch.uint8))
    return {"kind": "model", "at": len(tensors) - 1}


def _noise_var(model: Any) -> float | None:
    """Of a Gaussian likelihood, read off its density at the mode; None for a binary one."""
    if model.likelihood.name == "bernoulli":
        return None
    at_its_mode = model.likelihood.log_prob(*torch.zeros(2, 1, 1, dtype=torch.float64)).item()
    return math.exp(-2 * at_its_mode) / (2 * math.pi)


def _leaves(argument: Any) -> list[Tensor]:
    if isinstance(argument, nn.Module):
        return list(argument.parameters())
    return [argument] if isinstance(argument, Tensor) and argument.requires_grad else []


@torch.no_grad()
def _change(argument: Any, now: Tensor | None, setting: Any) -> None:
    """Do to an argument here what the function did to its copy, so that the checks see it."""
    if isinstance(argument, nn.Module):
        next(argument.parameters()).add_(1)
    elif now is not None and now.shape == argument.shape and not torch.equal(now, argument):
        argument.copy_(now)
    elif argument.is_leaf:
        argument.requires_grad_(not argument.requires_grad)


def _tensors(packed: Any) -> list[dict[str, Any]]:
    if packed.get("kind") == "tensor":
        return [packed]
    items = packed.get("items", [])
    return [one for item in (items.values() if isinstance(items, dict) else items) for one in _tensors(item)]


def _error(name: str, text: str) -> Exception:
    """An error of that name: one of Python's own where there is one."""
    known = getattr(builtins, name, None)
    if isinstance(known, type) and issubclass(known, Exception):
        with contextlib.suppress(TypeError):  # some take other arguments
            return known(text)
    return type(name, (Exception,), {})(text)  # type: ignore[no-any-return]
