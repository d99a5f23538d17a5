"""Many submissions: several at a time, and those that are graded already are not graded again."""

import hashlib
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import vae_tutorial
from vae_tutorial.grade.assignment import Assignment, load
from vae_tutorial.grade.judge import Graded, grade
from vae_tutorial.grade.remote import Limits, Worker
from vae_tutorial.grade.report import as_json, file_name, from_json, write
from vae_tutorial.grade.submission import Submission


@dataclass(frozen=True)
class Task:
    """How all submissions are graded."""

    assignment: str
    seed: int
    limits: Limits
    only: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    """What is loaded once for all, since submissions import it."""


def grade_all(
    task: Task, submissions: Sequence[Submission], n_jobs: int, kept: Path | None, done: Callable[[int], None]
) -> list[Graded]:
    """All submissions in their order.

    Args:
        task, submissions: what to do.
        n_jobs: how many at a time.
        kept: a folder in which each result is kept as soon as it is there, and where it is looked for first.
        done: is told how many are graded, after each.
    """
    text = {cell for submission in submissions for cell in submission.cells}
    task = replace(task, modules=tuple(m for m in SLOW if any(m.partition(".")[0] in cell for cell in text)))
    assignment = load(task.assignment)
    marks = [_mark(task, assignment, submission) for submission in submissions]
    found: dict[int, Graded] = {}
    for i, (submission, mark) in enumerate(zip(submissions, marks, strict=True)):
        if kept and (earlier := _kept(kept, submission.student, mark)):
            found[i] = earlier
    done(len(found))
    for i, graded in _graded(task, {i: s for i, s in enumerate(submissions) if i not in found}, n_jobs):
        found[i] = graded
        if kept:
            write(kept / file_name(graded.student, ".json"), json.dumps(as_json(graded) | {"mark": marks[i]}))
        done(len(found))
    return [found[i] for i in range(len(submissions))]


SLOW = "matplotlib.pyplot", "scipy.stats", "tqdm.auto"


def _graded(task: Task, submissions: dict[int, Submission], n_jobs: int) -> Iterator[tuple[int, Graded]]:
    n_jobs = min(n_jobs, len(submissions))
    if n_jobs <= 1:
        if submissions:
            with Worker(task.limits, task.modules) as worker:
                assignment = load(task.assignment)
                for i, submission in submissions.items():
                    yield i, grade(worker, assignment, submission, task.seed, task.only)
        return
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_jobs, fresh, initializer=_start, initargs=(task,)) as pool:
        waiting: dict[Future[Graded], int] = {pool.submit(_one, s): i for i, s in submissions.items()}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _start(task: Task) -> None:
    """In each process, once. Its worker ends with it."""
    torch.set_num_threads(1)
    global _one_worker
    _one_worker = task, load(task.assignment), Worker(task.limits, task.modules)


_one_worker: tuple[Task, Assignment, Worker] | None = None


def _one(submission: Submission) -> Graded:
    assert _one_worker
    task, assignment, worker = _one_worker
    return grade(worker, assignment, submission, task.seed, task.only)


def _mark(task: Task, assignment: Assignment, submission: Submission) -> str:
    """Whatever the result depends on."""
    versions = vae_tutorial.__version__, torch.__version__
    parts = versions, assignment.source, task.seed, task.limits, task.only, submission
    return hashlib.sha256(repr(parts).encode("utf-8", errors="surrogatepass")).hexdigest()


def _kept(folder: Path, student: str, mark: str) -> Graded | None:
    try:
        data = json.loads((folder / file_name(student, ".json")).read_text(encoding="utf-8"))
        return from_json(data) if data["mark"] == mark else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Bar:
    """A line that shows how far it is, in a terminal; else one at the end of each tenth."""

    def __init__(self, total: int) -> None:
        self.total, self.start, self.first, self.tenth = total, time.monotonic(), -1, 0

    def __call__(self, n: int) -> None:
        self.first = n if self.first < 0 else self.first
        spent, new = time.monotonic() - self.start, n - self.first
        left = f", {spent / new * (self.total - n) / 60:.0f} min left" if new and n < self.total else ""
        filled = 30 * n // max(self.total, 1)
        text = f"[{'#' * filled}{'.' * (30 - filled)}] {n} of {self.total}{left}"
        if sys.stderr.isatty():
            print(f"\r{text:70}", end="\n" if n == self.total else "", file=sys.stderr, flush=True)
        elif self.total > 10 and 10 * n // self.total > self.tenth:
            self.tenth = 10 * n // self.total
            print(text, file=sys.stderr, flush=True)
