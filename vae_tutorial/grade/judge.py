"""The verdict on a submission: each function in a process of its own, judged in this one."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vae_tutorial.grade.assignment import Assignment, Question, number
from vae_tutorial.grade.proxy import function_of
from vae_tutorial.grade.remote import Child, Ended, Worker
from vae_tutorial.grade.submission import Submission


@dataclass(frozen=True)
class Result:
    """What became of one question.

    Attributes:
        name, points: of the question.
        passed: whether the function is right.
        said: the check in words, or why there was nothing to check.
        notes: what else there is to know, such as another name.
        printed: the first of what the student's code printed.
        seconds: of processor time.
    """

    name: str
    points: float
    passed: bool
    said: str
    notes: tuple[str, ...] = ()
    printed: str = ""
    seconds: float = 0.0

    @property
    def earned(self) -> float:
        return self.points if self.passed else 0.0


@dataclass(frozen=True)
class Graded:
    """All results of a student."""

    student: str
    results: tuple[Result, ...]

    @property
    def earned(self) -> float:
        return sum(result.earned for result in self.results)

    @property
    def points(self) -> float:
        return sum(result.points for result in self.results)

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results)


def grade(
    worker: Worker, assignment: Assignment, submission: Submission, seed: int, only: Sequence[str] = ()
) -> Graded:
    """Judge all questions of a student, or ``only`` some."""
    questions = [q for q in assignment.of(submission.student, seed) if not only or q.name in only]
    hidden = {q.name: number(seed, "points", submission.student, q.name) for q in questions}
    return Graded(
        submission.student,
        tuple(judged(worker, q, submission, hidden[q.name], list(assignment.questions)) for q in questions),
    )


def judged(worker: Worker, question: Question, submission: Submission, seed: int, names: Sequence[str]) -> Result:
    """One question; ``names`` are those of all."""

    def result(passed: bool, said: str, *notes: str) -> Result:
        return Result(question.name, question.points, passed, said, tuple(filter(None, notes)))

    if submission.problem:
        return result(False, submission.problem)
    with worker.run(submission.cells) as child:
        found, note = which(question, child.functions, names)
        problem = f"Its code raised {child.problem}" if child.problem else ""
        if found:
            came = _verdict(child, question, found, seed)
            outcome = result(*came, note, problem)
        else:
            outcome = result(False, f"There is no function {question.name}.", problem)
    passed, said = outcome.passed, outcome.said
    if child.ended:  # whatever the check made of it
        passed, said = False, child.ended
    notes = outcome.notes + ((f"Not shut in here: {missing}.",) if (missing := _missing(child)) else ())
    return Result(question.name, question.points, passed, said, notes, child.printed, child.seconds)


def _verdict(child: Child, question: Question, found: str, seed: int) -> tuple[bool, str]:
    try:
        check = question.judge(function_of(child, found), seed)
    except Ended as error:
        return False, str(error)
    except Exception as error:  # numbers that a check was not made for
        return False, f"The check could not go on: {type(error).__name__}: {error}"[:500]
    return check.passed, repr(check)[:MOST_SAID]


MOST_SAID = 10_000


def _missing(child: Child) -> str:
    """What the system does not shut off."""
    walls = [wall for wall in ("files", "network", "processes") if wall not in child.walls]
    return "" if child.ended else ", ".join(walls)


def which(
    question: Question, functions: Mapping[str, Sequence[tuple[str, bool]]], names: Sequence[str]
) -> tuple[str, str]:
    """The name of the function meant, and what to say where it is another; "" where there is none."""
    if question.name in functions:
        return question.name, ""
    taken = set(map(_plain, names)) - {_plain(question.name)}
    free = {_plain(name): name for name in functions if _plain(name) not in taken}
    close = difflib.get_close_matches(_plain(question.name), free, 1, cutoff=0.6)
    like = [name for name in free.values() if [p for p, _ in functions[name]] == _parameters(question)]
    found = free[close[0]] if close else like[0] if len(like) == 1 else ""
    return found, f"{found[:200]} was graded in the place of {question.name}." if found else ""


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _parameters(question: Question) -> list[str]:
    inside = question.stub.partition("(")[2].partition(")")[0]
    return [part.partition(":")[0].partition("=")[0].strip() for part in inside.split(",")]
