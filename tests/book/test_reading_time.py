"""The line under a chapter's title: an estimate by a stated rule, a measured time, and the number of checks."""

import json
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from chapters import MINUTES, SECONDS, count, minutes
from docutils import nodes
from sphinx_exercise.nodes import solution_node

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def chapters(book) -> dict[str, BeautifulSoup]:
    """The pages with a number in the table of contents."""
    soups = {path.stem: BeautifulSoup(path.read_text("utf-8"), "html.parser") for path in book.glob("book/*.html")}
    return {name: soup for name, soup in soups.items() if soup.select_one("article h1 .section-number")}


def paragraph(n_words: int) -> nodes.paragraph:
    return nodes.paragraph("", "", nodes.Text("word " * n_words), nodes.math("", r"\sigma + \mu"))


def document(*children: nodes.Node) -> nodes.document:
    doctree = nodes.document("", "")
    doctree += children
    return doctree


def test_what_is_read_is_counted_and_nothing_else():
    cell = nodes.container("", nodes.literal_block("", "x = 1\n\ny = 2\n"), nb_element="cell_code_source")
    printed = nodes.container("", nodes.literal_block("", "1\n2\n3"), nodes.figure(), nb_element="cell_code_output")
    solution = solution_node("", paragraph(100), nodes.math_block("", "x"), nodes.literal_block("", "a\nb"))
    raw = nodes.raw("", "<b>not counted</b>", format="html")
    section = nodes.section("", nodes.title("", "A title"), paragraph(7), nodes.math_block("", "x"), cell, printed)
    counted = count(document(section, solution, raw))
    assert counted == {"word": 2 + 7 + 1, "formula": 1, "figure": 1, "line of code": 2}


@pytest.mark.parametrize("counted, expected", [
    ({"word": 2000}, 10), ({"word": 2600}, 15), ({"formula": 30}, 10), ({"figure": 15}, 5),
    ({"line of code": 300}, 20), ({"word": 1}, 5), ({"word": 2000, "formula": 30, "line of code": 75}, 25),
])  # fmt: skip
def test_the_estimate_follows_its_rule(counted, expected):
    assert minutes(counted) == expected


def test_readers_are_told_the_rule():
    text = (ROOT / "book" / "notation.md").read_text("utf-8")
    rule = (
        r"(\d+) words a minute, (\d+) seconds for a displayed formula or a figure, "
        r"(\d+) seconds for a line of code, solutions and folded code not counted, rounded to (\d+) minutes"
    )
    told = re.search(rule, text)
    words, formula, line, rounded = map(int, told.groups())
    assert SECONDS == {"word": 60 / words, "formula": formula, "figure": formula, "line of code": line}
    assert rounded == MINUTES


def test_every_notebook_has_a_measured_time():
    times = json.loads((ROOT / "book" / "running_times.json").read_text("utf-8"))
    assert set(times) == {path.stem for path in ROOT.glob("book/*.ipynb")}, "make execute measures them"
    for name, run in times.items():
        assert isinstance(run["seconds"], int) and 1 <= run["seconds"] <= 300, name
        assert run["processor"], name


def test_every_chapter_has_its_line(chapters):
    assert len(chapters) > 15
    times = json.loads((ROOT / "book" / "running_times.json").read_text("utf-8"))
    for name, soup in chapters.items():
        (line,) = soup.select("article h1 + .chapter-times")
        said = dict(part.split(": ", 1) for part in line.get_text().split(" · "))
        run = times.get(name)
        assert said.get("Running") == (run and f"{run['seconds']} s (one core, {run['processor']})"), name
        assert int(said.get("Checks", 0)) == len(soup.select("div.check")), name
        read = int(said["Reading"].removesuffix(" min"))
        assert read % MINUTES == 0 and abs(read - roughly(soup)) <= MINUTES, name  # one may be just above a half
        assert line.a["href"] == "notation.html#sec-notation-times"


def roughly(soup: BeautifulSoup) -> int:
    """The same rule, counted in the page's HTML, where words end a little differently."""
    article = BeautifulSoup(str(soup.article), "html.parser")
    counted = {"figure": len(article.select("figure")) - len(article.select(".solution figure"))}
    others = ".chapter-times, .headerlink, .section-number, .check, script, noscript"
    for part in article.select(f".solution, details.hide, {others}"):
        part.decompose()
    counted["line of code"] = sum(
        bool(line.strip())
        for block in article.select(".cell_input pre, .highlight-none pre, .highlight-default pre, .highlight-text pre")
        for line in block.get_text().splitlines()
    )
    counted["formula"] = len(article.select("div.math"))
    for part in article.select("div.math, pre, .cell_output, .prev-next-footer"):
        part.decompose()
    for part in article.select("span.math"):
        part.replace_with("formula")
    counted["word"] = len(article.get_text().split())
    return minutes(counted)


def test_other_pages_have_none(book, chapters):
    for path in book.glob("book/*.html"):
        if path.stem not in chapters:
            assert "chapter-times" not in path.read_text("utf-8"), path.name
