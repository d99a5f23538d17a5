"""Processes in which students' code runs, and what is said between them and this one."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from vae_tutorial.grade.wire import Broken, Deadline, receive, send


@dataclass(frozen=True)
class Limits:
    """What one function may use. Processor time is its own: a busy machine does not shorten it."""

    cpu_seconds: int = 20
    memory: int = 2 * 2**30
    file_bytes: int = 2**20
    patience: float = 120.0
    """Seconds that it may keep the checks waiting, all its answers together: it stops those that sleep. One that works
    has more, until its processor time is up."""


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
        self.problem = ""
        self.functions: dict[str, list[tuple[str, bool]]] = {}
        self.walls: list[str] = []
        limits = [worker.limits.cpu_seconds, worker.limits.memory, worker.limits.file_bytes]
        self.output = tempfile.TemporaryFile()
        self.asked, theirs = socket.socketpair()
        socket.send_fds(worker.control, [json.dumps(limits).encode()], [theirs.fileno(), self.output.fileno()])
        theirs.close()
        made = worker.control.recv(16)
        if not made:
            raise RuntimeError("the grading process did not start: can a plain `python -c 'import torch'` run?")
        self.pid, self.worked = int(made), 0.0
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
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            self.ended = NO_ANSWERS

    def ask(self, message: dict[str, Any], tensors: Sequence[Tensor] = ()) -> tuple[dict[str, Any], list[Tensor]]:
        """Its answer to a message; the patience is for all of them together."""
        if self.ended:
            raise Ended(self.ended)
        start = time.monotonic()
        try:
            self.asked.settimeout(max(self.patience, 0.001))
            send(self.asked, message, tensors)
            answer = receive(self.asked, Deadline(max(self.patience, 0.001), self._more))
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

    def _more(self) -> float:
        """Further patience with one that had at least a hundredth of the processor meanwhile."""
        seconds = self.worker.limits.patience
        try:
            ticks = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        except OSError:  # no Linux
            return 0.0
        before, self.worked = self.worked, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        self.patience += seconds
        return seconds if self.worked - before > seconds / 100 else 0.0

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
            self._remove(left)

    def _remove(self, left: Path) -> None:
        """What it left in the folder, whatever that is."""
        if left.is_symlink() or not left.is_dir():
            left.unlink()
            return
        pending = [left]
        while pending:  # folders in folders without end: each is brought up before it is emptied
            folder = pending.pop()
            folder.chmod(0o700)
            for one in list(folder.iterdir()):
                if one.is_dir() and not one.is_symlink():
                    one.chmod(0o700)
                    pending.append(one.rename(tempfile.mkdtemp(dir=self.worker.folder)))
                else:
                    one.unlink()
            folder.rmdir()

    def _how_it_ended(self, number: int) -> str:
        limits = self.worker.limits
        if number in (signal.SIGXCPU, signal.SIGKILL) and self.seconds >= limits.cpu_seconds - 0.5:
            return f"Stopped after {limits.cpu_seconds} seconds of processor time: a loop without end?"
        if number == 0 or number == signal.SIGKILL:
            return "It left: its process ended before it had answered."
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return f"Its process was ended by {name}."


NO_ANSWERS = "Its process sent something that is no answer."
MOST_PRINTED = 2000
