"""Write what an assignment is handed out as: python -m vae_tutorial.grade.make KIND ASSIGNMENT FOLDER

KIND is one of

  starter     a notebook with stubs and public checks, and the same as a .py file; with --students a notebook for each,
              in the student's own variant
  solution    the same with the solutions
  nbgrader    source/ASSIGNMENT/ASSIGNMENT.ipynb of a course of nbgrader, and its configuration
  otter       the notebook that `otter assign` takes
  gradescope  the autograder as a folder and as autograder.zip
  classroom   the repository of a GitHub Classroom assignment

Exit status: 0, or 2 where nothing could be written.
"""

import argparse
import shutil
import sys
from pathlib import Path

from vae_tutorial.grade import notebooks
from vae_tutorial.grade.assignment import Assignment, load

PACKAGE = Path(__file__).parents[1]
TORCH = "python3 -m pip install torch numpy --extra-index-url https://download.pytorch.org/whl/cpu"


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m vae_tutorial.grade.make", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS, metavar="KIND")
    parser.add_argument("assignment", metavar="ASSIGNMENT")
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument("--students", type=Path, metavar="FILE", help="a name in each line")
    parser.add_argument("--seed", type=int, help="your secret number, which also draws the variants")
    options = parser.parse_args(given)
    try:
        assignment = load(options.assignment)
        secret = options.kind in ("nbgrader", "otter", "gradescope") or options.students
        if options.seed is None and (secret or options.kind == "classroom" and assignment.varied):
            raise ValueError("give your secret number, --seed")
        names = options.students.read_text(encoding="utf-8-sig").splitlines() if options.students else []
        if wrong := [name for name in names if name.strip().startswith(".") or {*name} & {*"/\\"}]:
            raise ValueError(f"{wrong[0]!r} cannot be the name of a file")
    except (OSError, ValueError) as error:
        print(f"Nothing was written: {error}.", file=sys.stderr)
        return 2
    students = [name.strip() for name in names if name.strip()]
    for path, text in KINDS[options.kind](assignment, options.seed or 0, students).items():
        target = options.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(target)
    if options.kind == "gradescope":
        print(_archive(options.folder))
    return 0


def starter(assignment: Assignment, seed: int, students: list[str], *, solved: bool = False) -> dict[str, str]:
    if students:
        return {
            f"{name}.ipynb": notebooks.starter(assignment, assignment.of(name, seed), solved=solved)
            for name in students
        }
    first = [variants[0] for variants in assignment.questions.values()]
    return {
        f"{assignment.name}.ipynb": notebooks.starter(assignment, first, solved=solved),
        f"{assignment.name}.py": notebooks.file(assignment, first, solved=solved),
    }


def solution(assignment: Assignment, seed: int, students: list[str]) -> dict[str, str]:
    return starter(assignment, seed, students, solved=True)


def nbgrader(assignment: Assignment, seed: int, students: list[str]) -> dict[str, str]:
    name = assignment.name
    config = f'c = get_config()  # noqa: F821\nc.CourseDirectory.course_id = "{name}"\n'
    notebook = notebooks.for_nbgrader(assignment, assignment.of("", seed), seed)
    return {"nbgrader_config.py": config, f"source/{name}/{name}.ipynb": notebook}


def otter(assignment: Assignment, seed: int, students: list[str]) -> dict[str, str]:
    return {f"{assignment.name}.ipynb": notebooks.for_otter(assignment, assignment.of("", seed), seed)}


def gradescope(assignment: Assignment, seed: int, students: list[str]) -> dict[str, str]:
    run = (
        "#!/usr/bin/env bash\n"
        'cd "${AUTOGRADER:-/autograder}"\n'
        "PYTHONPATH=source python3 -m vae_tutorial.grade source/assignment.py submission \\\n"
        f"    --seed {seed} --jobs 1 --gradescope results/results.json || true\n"
    )
    setup = f"#!/usr/bin/env bash\nset -e\napt-get update && apt-get install -y python3-pip\n{TORCH}\n"
    return {"assignment.py": assignment.source, "run_autograder": run, "setup.sh": setup}


def _archive(folder: Path) -> Path:
    """The package beside the assignment, and all of it as one file to upload."""
    left_out = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(PACKAGE, folder / "vae_tutorial", ignore=left_out, dirs_exist_ok=True)
    (folder / "run_autograder").chmod(0o755)
    archive = shutil.make_archive(str(folder.with_name(f"{folder.name}-autograder")), "zip", folder)
    return Path(archive).replace(folder / "autograder.zip")


def classroom(assignment: Assignment, seed: int, students: list[str]) -> dict[str, str]:
    first = assignment.of("answers", seed)  # the name of the file decides
    seeded = f" --seed {seed}" if assignment.varied else ""
    command = f"python -m vae_tutorial.grade assignment.py answers.py{seeded}"
    steps = "".join(
        f"      - id: {q.name}\n        uses: classroom-resources/autograding-command-grader@v1\n        with:\n"
        f"          test-name: {q.name}\n          command: {command} --jobs 1 --only {q.name}\n"
        f"          timeout: 10\n          max-score: {q.points:g}\n"
        for q in first
    )
    results = "".join(f"          {q.name.upper()}_RESULTS: ${{{{ steps.{q.name}.outputs.result }}}}\n" for q in first)
    workflow = (
        "name: Autograding Tests\non: [push]\npermissions: {checks: write, actions: read, contents: read}\njobs:\n"
        "  run-autograding-tests:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n"
        '      - uses: actions/setup-python@v5\n        with: {python-version: "3.12"}\n'
        f"      - run: {TORCH}\n      - run: python -m pip install ./vae_tutorial-*.whl\n{steps}"
        "      - uses: classroom-resources/autograding-grading-reporter@v1\n        env:\n"
        f"{results}        with:\n          runners: {','.join(q.name for q in first)}\n"
    )
    return {
        "assignment.py": assignment.public,
        "answers.py": notebooks.file(assignment, first),
        ".github/workflows/classroom.yml": workflow,
    }


KINDS = {
    "starter": starter,
    "solution": solution,
    "nbgrader": nbgrader,
    "otter": otter,
    "gradescope": gradescope,
    "classroom": classroom,
}

if __name__ == "__main__":
    sys.exit(main())
