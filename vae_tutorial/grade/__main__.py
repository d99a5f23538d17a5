"""Grade submissions: python -m vae_tutorial.grade ASSIGNMENT SUBMISSIONS…

ASSIGNMENT is a Python file of marked functions, or the name of one that comes with the package. SUBMISSIONS are .py and
.ipynb files, or folders of them; the name of a file, without its ending, is the student's. Without any, the assignment
is tried on itself: every variant of its solutions must pass, and no stub may.

Exit status: 0 where all is right, 1 where something is not, 2 where nothing could be graded.
"""

import argparse
import json
import os
import secrets
import sys
from pathlib import Path

from vae_tutorial.grade.assignment import Assignment, load
from vae_tutorial.grade.report import for_gradescope, in_words, table, write, write_all
from vae_tutorial.grade.submission import Submission, find, read


def arguments(given: list[str] | None) -> argparse.Namespace:
    words, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m vae_tutorial.grade", description=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("assignment", metavar="ASSIGNMENT")
    parser.add_argument("submissions", metavar="SUBMISSION", nargs="*", type=Path)
    parser.add_argument("--seed", type=int, help="your secret number: it draws hidden points and variants")
    parser.add_argument("--out", type=Path, help="a folder for grades.csv, grades.json, and a page for each student")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="grade this question alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time (all processors)")
    parser.add_argument("--gradescope", type=Path, metavar="FILE", help="write the results.json of Gradescope")
    parser.add_argument("--cpu", type=int, default=20, metavar="S", help="seconds of processor time a function (20)")
    parser.add_argument("--memory", type=float, default=2.0, metavar="GB", help="memory beside PyTorch (2)")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    options = arguments(given)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        if sys.platform == "win32":
            raise ValueError("Windows has no fork: grade in WSL, or on Linux or a Mac")
        assignment = load(options.assignment)
        unknown = set(options.only) - set(assignment.questions)
        if unknown:
            raise ValueError(f"{assignment.name} has no question {', '.join(unknown)}")
        if not options.submissions:
            return _itself(assignment, options)
        files = find(options.submissions)
        if assignment.varied and options.seed is None:
            raise ValueError(f"{assignment.name} has variants: give the --seed of the notebooks that you handed out")
    except (OSError, ValueError) as error:
        print(f"Nothing was graded: {error}.", file=sys.stderr)
        if options.gradescope:
            write(options.gradescope, json.dumps({"score": 0, "output": f"Nothing was graded: {error}."}))
        return 2
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    if options.seed is None and options.out:
        print(f"Points drawn with --seed {seed}: give it to go on, or to grade again alike.", file=sys.stderr)
    submissions = [read(path, student) for student, path in files.items()]
    if options.gradescope:  # all files are of one student
        cells = tuple(cell for one in submissions for cell in one.cells)
        problem = "" if cells else submissions[0].problem
        submissions = [Submission("submission", cells, problem)]
    graded = _run(options, seed, submissions)
    print(table(graded))
    if len(graded) == 1:
        print("\n" + in_words(graded[0]))
        if options.gradescope:
            write(options.gradescope, json.dumps(for_gradescope(graded[0]), indent=1))
    if options.out:
        title = next(iter(assignment.text.splitlines()), assignment.name)
        write_all(graded, options.out, title)
    return 0 if all(one.passed for one in graded) else 1


def _run(options: argparse.Namespace, seed: int, submissions: list[Submission]):  # type: ignore[no-untyped-def]
    from vae_tutorial.grade.remote import Limits
    from vae_tutorial.grade.whole_class import Bar, Task, grade_all

    limits = Limits(cpu_seconds=options.cpu, memory=int(options.memory * 2**30), patience=6.0 * options.cpu)
    task = Task(options.assignment, seed, limits, tuple(options.only))
    kept = options.out / "kept" if options.out else None
    return grade_all(task, submissions, options.jobs, kept, Bar(len(submissions)))


def _itself(assignment: Assignment, options: argparse.Namespace) -> int:
    """The assignment tried on itself, variant by variant."""
    from vae_tutorial.grade.judge import judged
    from vae_tutorial.grade.remote import Worker

    good = True
    with Worker() as worker:
        for name, variants in assignment.questions.items():
            for i, question in enumerate(variants):
                for what, code in (("solution", question.solution), ("stub", question.stub)):
                    cells = (assignment.imports, code)
                    result = judged(
                        worker, question, Submission("", cells), options.seed or 0, list(assignment.questions)
                    )
                    as_it_should = result.passed == (what == "solution")
                    good &= as_it_should
                    variant = f", variant {i + 1}" if len(variants) > 1 else ""
                    print(f"{'ok ' if as_it_should else 'NOT'} {name}{variant}: its {what} "
                          f"{'passes' if result.passed else 'fails'}")  # fmt: skip
                    if not as_it_should:
                        print(result.said, *result.notes, sep="\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
