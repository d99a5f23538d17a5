"""The process in which a student's code runs: it evaluates functions and judges nothing.

`serve` is a quiet process that has loaded PyTorch once. For each function it makes a child, which shuts itself in,
runs the student's code, and answers calls: arguments come in, numbers go out. Neither holds any part of this package
but this file and its three neighbours, loaded by their paths: there is no answer here to find, and none to forge, since
the verdict is made where the exact answer is, in the process that asks.
"""

import contextlib
import importlib.util
import inspect
import io
import json
import os
import pickle
import random
import shutil
import signal
import socket
import sys
import traceback
import types
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from typing import Any

sys.path += [place for place in sys.argv[3:4] if place not in sys.path]  # where PyTorch is

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

HERE = Path(__file__).resolve().parent


def neighbour(path: Path) -> Any:
    """A file of the package as a module of its own: nothing else of the package comes with it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


wire, walls = neighbour(HERE / "wire.py"), neighbour(HERE / "walls.py")
given_noise = neighbour(HERE.parent / "checks" / "given_noise.py")


class Away(types.ModuleType):
    """In the place of the package, which a student's own file may import: its checks say nothing, the rest raises."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def absent(*args: Any, **kwargs: Any) -> Any:
            if ".checks" in self.__name__ or name in ("agree", "exceeds", "question"):
                return ()  # as extreme_logits() may be unpacked
            raise RuntimeError(f"{self.__name__}.{name} is not there while you are graded: the function is to be yours")

        return absent


class NoAnswers(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] == "vae_tutorial":
            return importlib.util.spec_from_loader(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        return Away(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


class Model(nn.Module):
    """A VAE: the methods that its users call, and its networks."""

    encoder: nn.Module
    decoder: nn.Module
    latent_dim: int
    noise_var: float | None

    def encode(self, x: Tensor) -> Any:
        return self.encoder(x).chunk(2, -1)

    def decode(self, z: Tensor) -> Tensor:
        found: Tensor = self.decoder(z)
        return found

    def log_prior(self, z: Tensor) -> Tensor:
        return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        params = self.decode(z)
        pixels: Any = torch.distributions.Bernoulli(logits=params, validate_args=False)
        if self.noise_var is not None:
            pixels = torch.distributions.Normal(params, self.noise_var**0.5)
        found: Tensor = pixels.log_prob(x).sum(-1)
        return found


def model(parts: dict[str, Any]) -> nn.Module:
    """What a check hands over: a VAE, or networks alone."""
    made = Model() if "noise_var" in parts else nn.Module()
    for name, network in parts.pop("networks").items():
        made.add_module(name, network)
    made.__dict__.update(parts)
    return made


def load(cells: list[str]) -> tuple[dict[str, Any], str]:
    """What the student's cells define, and the first error; of several cells, those after it run as well."""
    names: dict[str, Any] = {"__name__": "submission"}
    problem = ""
    for i, cell in enumerate(cells):
        try:
            exec(compile(cell, "submission" if len(cells) == 1 else f"cell {i + 1}", "exec"), names)
        except BaseException as error:  # SystemExit, too
            problem = problem or (f"cell {i + 1}: " if len(cells) > 1 else "") + described(error)
    return names, problem


def described(error: BaseException) -> str:
    line = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
    with contextlib.suppress(BaseException):
        return f"{line}{type(error).__name__}: {error}"[:2000]
    return type(error).__name__


def defined(names: dict[str, Any]) -> dict[str, list[tuple[str, bool]]]:
    """The functions, each with its positional parameters and whether it must be given them."""
    found = {}
    for name, value in list(names.items()):
        if len(found) < 1000 and callable(value) and not name.startswith("_") and not inspect.isclass(value):
            with contextlib.suppress(Exception):
                some = inspect.signature(value).parameters.values()
                found[name] = [
                    (p.name, p.default is p.empty)
                    for p in some
                    if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
                ]
    return found


MOST_KEPT = 1000


class Evaluator:
    """Answers calls of one function, and asks for gradients of what it answered lately."""

    def __init__(self, fn: Any) -> None:
        self.fn = fn
        self.kept: dict[int, tuple[list[Tensor], list[Tensor]]] = {}

    def call(self, message: dict[str, Any], tensors: list[Tensor]) -> tuple[dict[str, Any], list[Tensor]]:
        torch.set_default_dtype(getattr(torch, message["dtype"]))
        for seed in (torch.default_generator.manual_seed, random.seed, lambda n: np.random.seed(n % 2**32)):
            seed(message["seed"])
        given, leaves = [], []
        for packed in message["arguments"]:
            if packed["kind"] == "model":
                given.append(model(pickle.loads(tensors[packed["at"]].numpy().tobytes())))
                leaves += list(given[-1].parameters())
                continue
            value = wire.unpack(packed, tensors)
            if isinstance(value, Tensor):
                value = value.clone().requires_grad_(packed["grad"])
                leaves += [value] * packed["grad"]
            given.append(value)
        before = [state(value) for value in given]
        noise = given_noise.GivenNoise(tensors[message["noise"]]) if message["noise"] is not None else None
        with torch.set_grad_enabled(message["grad"]), noise or contextlib.nullcontext():
            value = self.fn(*given)
        out: list[Tensor] = []
        packed = wire.pack(value, out)
        n = len(out)
        self.kept[message["id"]] = [t for t in out if t.requires_grad], leaves
        self.kept.pop(message["id"] - MOST_KEPT, None)
        changed = []
        for i, (argument, earlier) in enumerate(zip(given, before, strict=True)):
            if not unchanged(state(argument), earlier):
                changed.append([i, len(out) if isinstance(argument, Tensor) else None, earlier[1]])
                out += [argument.detach()] if isinstance(argument, Tensor) else []
        used = noise is not None and noise.used
        return {"value": packed, "n": n, "changed": changed, "used": used}, out

    def slopes(self, message: dict[str, Any], tensors: list[Tensor]) -> tuple[dict[str, Any], list[Tensor]]:
        out, leaves = self.kept[message["id"]]
        # A weighted sum: with weights apart, torch.autograd.grad loads half a second of other modules.
        with torch.enable_grad():
            total = sum(((weights * t).sum() for weights, t in zip(tensors, out, strict=True)), torch.zeros(()))
        return {}, list(torch.autograd.grad(total, leaves, retain_graph=True, materialize_grads=True))


def state(value: Any) -> tuple[list[Tensor], Any]:
    if isinstance(value, nn.Module):
        return [t.detach().clone() for t in value.state_dict().values()], value.training
    return ([value.detach().clone()], value.requires_grad) if isinstance(value, Tensor) else ([], None)


def unchanged(now: tuple[list[Tensor], Any], earlier: tuple[list[Tensor], Any]) -> bool:
    same = all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(now[0], earlier[0], strict=True))
    return same and now[1] == earlier[1]


def child(asked: socket.socket, ruleset: int | None, limits: list[int]) -> None:
    """Shut in, run the cells, say what they define, and answer until nobody asks."""
    walls.limit(*limits)
    in_force = walls.enclose(ruleset)
    message, _ = wire.receive(asked)
    names, problem = load(message["cells"])
    wire.send(asked, {"problem": problem, "functions": defined(names), "walls": in_force})
    evaluator = None
    while True:
        message, tensors = wire.receive(asked)
        try:
            if message["do"] == "take":
                evaluator, answer = Evaluator(names[message["name"]]), ({}, [])
            else:
                assert evaluator
                answer = (evaluator.call if message["do"] == "call" else evaluator.slopes)(message, tensors)
        except BaseException as error:
            answer = {"error": type(error).__name__[:80], "text": described(error).partition(": ")[2]}, []
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        wire.send(asked, *answer)


def serve(control: socket.socket, folder: Path) -> None:
    """Make a child for each socket that comes, and end it when told to; until the one who asks is gone."""
    ruleset = walls.rules(folder, HERE.parent)
    while True:
        data, descriptors, *_ = socket.recv_fds(control, 4096, 2)
        if not data:
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(0)
        asked, printed = descriptors
        pid = os.fork()
        if pid == 0:
            try:
                control.close()
                os.setsid()
                for stream in (1, 2):
                    os.dup2(printed, stream)
                os.close(printed)
                os.chdir(folder)
                os.environ.update(dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR"), str(folder)))
                child(socket.socket(fileno=asked), ruleset, json.loads(data))
            except EOFError:  # nobody asks any more
                pass
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(b"made")
        control.recv(16)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        ended = {"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}
        control.sendall(json.dumps(ended | {"seconds": usage.ru_utime + usage.ru_stime}).encode())


def main(descriptor: str, folder: str, packages: str, *optional: str) -> None:
    torch.set_num_threads(1)
    for name in optional:  # what takes long and many submissions ask for: loaded once
        with contextlib.suppress(Exception), contextlib.redirect_stderr(io.StringIO()):
            importlib.import_module(name)
    np.random.seed(0)  # and what is loaded on first use
    torch.ones(1, requires_grad=True).exp().sum().backward()
    sys.meta_path.insert(0, NoAnswers())
    serve(socket.socket(fileno=int(descriptor)), Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
