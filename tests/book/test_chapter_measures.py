"""What a reader meets in each chapter keeps its limits, and the tool that measures it counts right."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools"))

from chapter_measures import measures, words  # noqa: E402

# Pages that are looked up rather than read: they have no core.
LOOKED_UP = {"index", "troubleshooting"}
NOTEBOOKS = sorted(ROOT.glob("book/*.ipynb"))
CHAPTERS = [path for path in NOTEBOOKS if path.stem not in LOOKED_UP]

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def notebook(tmp_path, *cells) -> Path:
    """A notebook of markdown texts, and of code as pairs of source and tags."""
    made = [
        dict(cell_type="markdown", metadata={}, source=cell)
        if isinstance(cell, str)
        else dict(cell_type="code", metadata={"tags": list(cell[1:])}, source=cell[0], outputs=[])
        for cell in cells
    ]
    path = tmp_path / "chapter.ipynb"
    path.write_text(json.dumps({"cells": made}), encoding="utf-8")
    return path


@pytest.mark.parametrize("text, expected", [
    ("three plain words", 3),
    ("a formula $x + y$ is one word", 6),
    ("before\n\n$$\nx + y = z\n$$ (eq-name)\n\nafter", 2),
    ("(sec-name)=\n## A title", 2),
    ("```{exercise} Two words\n:label: ex-name\nand three more\n```", 5),
    ("```{solution} ex-name\nnot read\n```\nread", 1),
    (":::{solution} ex-name\nnot read\n:::\nread", 1),
    ("a — dash", 2),
    ("<!-- nothing --> one", 1),
])  # fmt: skip
def test_words_are_counted_outside_formulas_and_solutions(text, expected):
    assert words(text) == expected


def test_a_chapter_is_measured_part_by_part(tmp_path):
    path = notebook(
        tmp_path,
        "# Title\nfour more words here",
        "## Question\nwhy",
        ("import this", "hide-input"),
        ("x = 1\ny = 2",),
        ("z = ...", "yours"),
        "## Exercises\none",
        "one more\n\n```{solution-start} ex\n```",
        "hidden words",
        ("in_solution = 1\n\nlast = 3",),
        ("check(in_solution)", "hide-input"),
        "```{solution-end}\n```",
        "(sec-in-depth)=\n## In depth\nthree words more",
        "## Remember\n```{admonition} Lines\n:class: remember\nkept\n```",
    )
    found = measures(path)
    assert (found.core, found.depth) == (5 + 2 + 2 + 2 + 3, 5)
    assert (found.visible, found.solutions) == ([2, 1], [3])
    assert (found.stubs, found.sections) == (1, 1)
    assert (found.first_figure, found.in_depth, found.remember) == (None, True, True)


def test_the_first_figure_is_where_an_output_shows_it(tmp_path):
    path = notebook(tmp_path, "two words", ("draw()",), "three words more")
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["cells"][1]["outputs"] = [{"output_type": "display_data", "data": {"image/png": ""}}]
    path.write_text(json.dumps(stored), encoding="utf-8")
    assert measures(path).first_figure == 2


@each_chapter
def test_the_core_is_short(path):
    assert measures(path).core <= 2500


@each_notebook
def test_code_in_view_comes_in_small_pieces(path):
    found = measures(path)
    assert max(found.visible + found.solutions) <= 20


@each_chapter
def test_what_can_wait_stands_in_depth(path):
    found = measures(path)
    assert found.in_depth or found.core <= 2000


@each_chapter
def test_a_figure_comes_within_two_screens(path):
    figure = measures(path).first_figure
    assert figure is not None and figure <= 450


@each_chapter
def test_some_cells_are_the_readers(path):
    found = measures(path)
    assert found.stubs >= min(3, found.sections - 1)  # the opening question has none


@each_chapter
def test_a_chapter_ends_with_what_to_keep(path):
    assert measures(path).remember
