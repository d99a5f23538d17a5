"""Notebooks of an assignment: what students begin with, the solutions, and those that nbgrader and Otter take."""

import json
from collections.abc import Sequence
from typing import Any

from vae_tutorial.grade.assignment import Assignment, Question, number

Cell = dict[str, Any]


def starter(assignment: Assignment, questions: Sequence[Question], *, solved: bool = False) -> str:
    """Stubs, or the solutions, each with the check that students may call as often as they like."""
    cells = _beginning(assignment)
    for question in questions:
        cells += [
            _text(_title(question)),
            _code(question.solution if solved else question.stub),
            _code(question.call),
        ]
    return _notebook(cells)


def file(assignment: Assignment, questions: Sequence[Question], *, solved: bool = False) -> str:
    """The same as a Python file, without the checks."""
    functions = [question.solution if solved else question.stub for question in questions]
    return "\n\n\n".join([f'"""{assignment.text}\n"""\n\n{assignment.imports}', *functions]) + "\n"


def for_nbgrader(assignment: Assignment, questions: Sequence[Question], seed: int) -> str:
    """The instructor's version: solutions and hidden tests between nbgrader's marks, points in the cells' metadata."""
    cells = _beginning(assignment)
    for question in questions:
        marks = {"schema_version": 3, "task": False}
        own = marks | {"grade_id": question.name, "grade": False, "solution": True, "locked": False}
        test = marks | {"grade_id": f"{question.name}_test", "grade": True, "solution": False, "locked": True}
        hidden = f"### BEGIN HIDDEN TESTS\n{_asserted(question, seed)}\n### END HIDDEN TESTS"
        cells += [
            _text(_title(question)),
            _code(_marked(question, "### BEGIN SOLUTION", "### END SOLUTION"), nbgrader=own),
            _code(f"{_asserted(question)}\n{hidden}", nbgrader=test | {"points": question.points}),
        ]
    return _notebook(cells)


def for_otter(assignment: Assignment, questions: Sequence[Question], seed: int) -> str:
    """The notebook that ``otter assign`` takes apart: for students, and for its grader."""
    config = f"# ASSIGNMENT CONFIG\nname: {assignment.name}\nexport_cell: false\ntests:\n  ok_format: false"
    cells = [_raw(config), *_beginning(assignment)]
    for question in questions:
        tests = []
        for hidden in (False, True):
            body = "\n".join([*assignment.helpers.splitlines(), _asserted(question, seed if hidden else None)])
            name = f"test_{question.name}" + "_hidden" * hidden
            lines = ["# HIDDEN"] * hidden + [
                f"def {name}({question.name}):",
                *(f"    {line}" for line in body.splitlines()),
            ]
            tests.append(_code("\n".join(lines)))
        cells += [
            _raw(f"# BEGIN QUESTION\nname: {question.name}\npoints: {question.points:g}"),
            _text(_title(question)),
            _raw("# BEGIN SOLUTION"),
            _code(_marked(question, "# BEGIN SOLUTION", "# END SOLUTION")),
            _raw("# END SOLUTION"),
            _raw("# BEGIN TESTS"),
            *tests,
            _raw("# END TESTS"),
            _raw("# END QUESTION"),
        ]
    return _notebook(cells)


def _beginning(assignment: Assignment) -> list[Cell]:
    return [_text(assignment.text), _code("\n".join(filter(None, [assignment.imports, assignment.helpers])))]


def _title(question: Question) -> str:
    return f"## `{question.name}` ({question.points:g} point{'s' * (question.points != 1)})"


def _marked(question: Question, begin: str, end: str) -> str:
    """The solution with marks around what is taken out."""
    kept = len(question.stub.splitlines()) - 1
    lines = question.solution.splitlines()
    return "\n".join([*lines[:kept], f"    {begin}", *lines[kept:], f"    {end}"])


def _asserted(question: Question, seed: int | None = None) -> str:
    call = question.call if seed is None else f"{question.call[:-1]}, seed={number(seed, 'points', question.name)})"
    return f"check = {call}\nassert check, check"


def _text(source: str) -> Cell:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _raw(source: str) -> Cell:
    return {"cell_type": "raw", "metadata": {}, "source": source}


def _code(source: str, **metadata: Any) -> Cell:
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": [], "execution_count": None}


def _notebook(cells: list[Cell]) -> str:
    numbered = [{"id": f"cell-{i}", **cell} for i, cell in enumerate(cells)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    found = {"cells": numbered, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
