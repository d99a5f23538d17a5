"""The process in which a student's code runs: it evaluates functions and judges nothing.

`serve` is a quiet process that has loaded PyTorch once. For each function it makes a child, which shuts itself in,
runs the student's code, and answers calls: arguments come in, numbers go out. Neither holds any part of this package
but this file and its four neighbours, loaded by their paths: there is no answer here to find, and none to forge, since
the verdict is made where the exact answer is, in the process that asks.
"""

import contextlib
import importlib.util
import inspect
import io
import json
import linecache
import os
import re
import shutil
import signal
import socket
import sys
import traceback
import types
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path += [place for place in sys.argv[3:4] if place not in sys.path]  # where PyTorch is

import numpy as np
import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent


def neighbour(path: Path) -> Any:
    """A file of the package as a module of its own: nothing else of the package comes with it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


wire, walls, evaluator = (neighbour(HERE / f"{name}.py") for name in ("wire", "walls", "evaluator"))
given_noise = neighbour(HERE.parent / "checks" / "given_noise.py")


class Silent(tuple[()]):
    """What a check says here: nothing. It may be asserted, unpacked as extreme_logits(), or stand above a function."""

    passed = True

    def __bool__(self) -> bool:
        return True

    def __call__(self, fn: Any = None) -> Any:
        return fn


class Absent:
    """A name of the package, or of a module in it."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> "Absent":
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self.__name__}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Silent:
        if ".checks" in self.__name__ or self.__name__.rpartition(".")[2] in ("agree", "exceeds", "question"):
            return Silent()
        raise RuntimeError(f"{self.__name__} is not there while you are graded: write it yourself")


class Away(types.ModuleType):
    """In the place of the package, which a student's own file may import: its checks say nothing, the rest raises."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self.__name__}.{name}")


class NoAnswers(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] == "vae_tutorial":
            return importlib.util.spec_from_loader(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        return Away(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def load(cells: list[str]) -> tuple[dict[str, Any], str]:
    """What the student's cells define, and the first error; of several cells, those after it run as well."""
    module = sys.modules["submission"] = types.ModuleType("submission")  # where dataclasses look for annotations
    names: dict[str, Any] = module.__dict__
    problem = ""
    for i, cell in enumerate(cells):
        try:
            exec(compiled(cell, "submission" if len(cells) == 1 else f"cell {i + 1}"), names)
        except BaseException as error:  # SystemExit, too
            problem = problem or (f"cell {i + 1}: " if len(cells) > 1 else "") + described(error)
    return names, problem


def compiled(cell: str, name: str) -> types.CodeType:
    """Its code; where it is not Python, what is left of it without what only IPython understands.

    A line of Python may begin with %, too, where an expression goes on.
    """
    linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)  # for who asks for its source
    try:
        return compile(cell, name, "exec")
    except SyntaxError as error:
        left = without_magics(cell)
        if left == cell:
            raise
        problem = error
    try:
        return compile(left, name, "exec")
    except SyntaxError:
        raise problem from None


def without_magics(code: str) -> str:
    """Without lines that begin with %, ! or ?, or end with ?, and without cells of another language, with %%."""
    if code.lstrip().startswith("%%") and not re.match(r"\s*%%(time|timeit|capture|prun)\b", code):
        return ""
    code = re.sub(r"^([ \t]*\w+[ \t]*=)[ \t]*[%!].*$", r"\1 None", code, flags=re.MULTILINE)
    return re.sub(r"^(\s*)([%!?].*|[\w.]+\?\??[ \t]*)$", r"\1pass", code, flags=re.MULTILINE)


def described(error: BaseException) -> str:
    line = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
    with contextlib.suppress(BaseException):
        return f"{line}{type(error).__name__}: {error}"[:2000]
    return type(error).__name__


def defined(names: dict[str, Any]) -> dict[str, list[tuple[str, bool]]]:
    """The functions, each with its positional parameters and whether it must be given them."""
    found: dict[str, list[tuple[str, bool]]] = {}
    for name, value in list(names.items()):
        if len(found) < 1000 and callable(value) and not name.startswith("_") and not inspect.isclass(value):
            found[name] = []  # one that does not tell, as those of TorchScript
            with contextlib.suppress(Exception):
                some = inspect.signature(value).parameters.values()
                found[name] = [
                    (p.name, p.default is p.empty)
                    for p in some
                    if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
                ]
    return found


def child(asked: socket.socket, ruleset: int | None, limits: list[int]) -> None:
    """Shut in, run the cells, say what they define, and answer until nobody asks."""
    walls.limit(*limits)
    in_force = walls.enclose(ruleset)
    message, _ = wire.receive(asked, most_text=2**29)  # all that was handed in
    names, problem = load(message["cells"])
    wire.send(asked, {"problem": problem, "functions": defined(names), "walls": in_force})
    taken = None
    answer: tuple[dict[str, Any], list[Tensor]]
    while True:
        message, tensors = wire.receive(asked)
        try:
            if message["do"] == "take":
                taken, answer = evaluator.Evaluator(names[message["name"]], wire, given_noise.GivenNoise), ({}, [])
            else:
                assert taken
                answer = (taken.call if message["do"] == "call" else taken.slopes)(message, tensors)
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
        control.sendall(str(pid).encode())
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
