"""What is reported: a table in the terminal, JSON, CSV, and a page for each student.

What students wrote or named stands in all of these; it is shown as text and nothing else.
"""

import csv
import hashlib
import html
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

from vae_tutorial._printing import printable
from vae_tutorial.grade.judge import Graded, Result


def plain(text: str) -> str:
    """Without characters that move a terminal's cursor or colour it."""
    return "".join(c if c == "\n" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def in_line(text: str) -> str:
    """The same on one line."""
    return plain(text).replace("\n", "\\x0a")


def file_name(student: str, ending: str) -> str:
    """The name of a file of this student: that of the submission, a long one cut short."""
    whole = student.encode("utf-8", errors="surrogateescape")
    if len(whole) > 150:
        student = f"{whole[:100].decode('utf-8', errors='ignore')}-{hashlib.sha256(whole).hexdigest()[:16]}"
    return f"{student}{ending}"


def table(graded: Sequence[Graded]) -> str:
    """A line for each student: the points of each question and of all, and below how many solved each question."""
    names = list(dict.fromkeys(result.name for one in graded for result in one.results))
    width = max(map(len, ["student", "solved by", *(in_line(one.student) for one in graded)]))
    lines = ["  ".join(["student".ljust(width), *names, "points"])]
    for one in graded:
        marks = {result.name: f"{result.earned:g}" for result in one.results}
        cells = [marks.get(name, "").ljust(len(name)) for name in names]
        lines.append("  ".join([in_line(one.student).ljust(width), *cells, f"{one.earned:g} of {one.points:g}"]))
    if len(graded) > 1:
        solved = [sum(r.passed for one in graded for r in one.results if r.name == name) for name in names]
        cells = [str(n).ljust(len(name)) for n, name in zip(solved, names, strict=True)]
        whole = sum(one.passed for one in graded)
        lines.append("  ".join(["solved by".ljust(width), *cells, f"all by {whole} of {len(graded)}"]))
    return printable("\n".join(line.rstrip() for line in lines))


def in_words(one: Graded) -> str:
    """The checks of one student, as the terminal shows them where a single submission is graded."""
    parts = []
    for result in one.results:
        parts += [f"{result.name} ({result.earned:g} of {result.points:g})", plain(result.said)]
        parts += [plain(note) for note in result.notes]
    return printable("\n".join(parts))


def as_json(one: Graded) -> dict[str, Any]:
    results = [asdict(result) | {"earned": result.earned} for result in one.results]
    return {"student": one.student, "earned": one.earned, "points": one.points, "results": results}


def from_json(data: dict[str, Any]) -> Graded:
    results = [{k: v for k, v in result.items() if k != "earned"} for result in data["results"]]
    return Graded(data["student"], tuple(Result(**(r | {"notes": tuple(r["notes"])})) for r in results))


def as_csv(graded: Sequence[Graded]) -> str:
    """A row for each student: points of each question and of all. A name that a spreadsheet would run is quoted."""
    names = list(dict.fromkeys(result.name for one in graded for result in one.results))
    out = StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["student", *names, "earned", "points"])
    for one in graded:
        earned = {result.name: f"{result.earned:g}" for result in one.results}
        student = in_line(one.student)
        student = f"'{student}" if re.search(r"(^|[;|,])\W*[=+\-@]", student) else student
        rows.writerow([student, *(earned.get(n, "") for n in names), f"{one.earned:g}", f"{one.points:g}"])
    return out.getvalue()


def page(one: Graded, title: str) -> str:
    """The feedback for a student, one page that needs nothing else."""
    parts = []
    for result in one.results:
        verdict = "right" if result.passed else "not yet"
        notes = "".join(f"<p>{html.escape(plain(note))}</p>" for note in result.notes)
        printed = (
            f"<h3>What your code printed</h3><pre>{html.escape(plain(result.printed))}</pre>" if result.printed else ""
        )
        parts.append(
            f'<section class="{"pass" if result.passed else "fail"}"><h2><code>{html.escape(result.name)}</code>: '
            f"{verdict}, {result.earned:g} of {result.points:g} points</h2>"
            f"<pre>{html.escape(plain(result.said))}</pre>{notes}{printed}</section>"
        )
    head = f"{html.escape(in_line(one.student))}: {one.earned:g} of {one.points:g} points"
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">\n'
        f"<title>{head}</title><style>{STYLE}</style>\n<h1>{html.escape(title)}</h1><p>{head}</p>\n"
        + "\n".join(parts)
        + "</html>\n"
    )


STYLE = (
    "body{font:1rem/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere}section{border-left:.3rem solid;padding-left:1rem;margin:2rem 0}"
    ".pass{border-color:#00704d}.fail{border-color:#b33a00}h2{font-size:1.1rem}h3{font-size:1rem}"
)


def for_gradescope(one: Graded) -> dict[str, Any]:
    """What Gradescope reads as ``results.json``."""
    tests = [
        {
            "name": result.name,
            "score": result.earned,
            "max_score": result.points,
            "status": "passed" if result.passed else "failed",
            "output": "\n".join([plain(result.said), *map(plain, result.notes)]),
            "output_format": "text",
        }
        for result in one.results
    ]
    return {"score": one.earned, "visibility": "visible", "tests": tests}


def write(path: Path, text: str) -> None:
    """A file that is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def write_all(graded: Sequence[Graded], folder: Path, title: str) -> None:
    """``grades.csv``, ``grades.json`` and ``feedback/STUDENT.html``."""
    write(folder / "grades.csv", as_csv(graded))
    write(folder / "grades.json", json.dumps([as_json(one) for one in graded], indent=1))
    for one in graded:
        write(folder / "feedback" / file_name(one.student, ".html"), page(one, title))
