"""The line under a chapter's title: an estimate by a stated rule, a measured time, and the number of checks."""

import json
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from chapters import MINUTES, SECONDS, count, minutes, reading, said
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


def test_code_that_the_page_will_fold_is_not_counted():
    """A doctree that is read, but not yet made a page, has it in its place."""
    source = nodes.container("", nodes.literal_block("", "x = 1"), nb_element="cell_code_source")
    cell = nodes.container("", source, nb_element="cell_code", hide_mode="input")
    assert count(document(cell))["line of code"] == 0
    cell["hide_mode"] = "output"
    assert count(document(cell))["line of code"] == 1


def test_what_is_in_depth_is_counted_apart():
    depth = nodes.section("", nodes.title("", "In depth"), paragraph(4), nodes.math_block("", "x"))
    core = nodes.section("", nodes.title("", "Question"), paragraph(3))
    whole = nodes.section("", nodes.title("", "A chapter"), core, depth)
    found = reading(document(whole))
    assert {part: counted["word"] for part, counted in found.items()} == {"Core": 2 + 1 + 4, "In depth": 2 + 5}
    assert (found["Core"]["formula"], found["In depth"]["formula"]) == (0, 1)
    whole.remove(depth)
    assert list(reading(document(whole))) == ["Reading"]


@pytest.mark.parametrize("seconds, words", [
    (100, "5 minutes"), (25 * 60, "25 minutes"), (89 * 60, "90 minutes"), (95 * 60, "1½ hours"), (120 * 60, "2 hours"),
    (3.3 * 3600, "3½ hours"), (6.4 * 3600, "6 hours"), (15.2 * 3600, "15 hours"),
])  # fmt: skip
def test_times_are_said_as_exactly_as_an_estimate_deserves(seconds, words):
    assert said(seconds) == words


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
        assert int(said.get("Checks", 0)) == len(soup.select("div.check:not(.check-yours)")), name
        parts = roughly(soup)
        assert parts.keys() == said.keys() & {"Reading", "Core", "In depth"}, name
        for part, expected in parts.items():
            read = int(said[part].removesuffix(" min"))
            assert read % MINUTES == 0 and abs(read - expected) <= MINUTES, name  # one may be just above a half
        assert line.a["href"] == "notation.html#sec-notation-times"


def roughly(soup: BeautifulSoup) -> dict[str, int]:
    """The same rule, counted in the page's HTML, where words end a little differently."""
    article = BeautifulSoup(str(soup.article), "html.parser")
    if not (depth := article.select_one("section#in-depth")):
        return {"Reading": minutes(counted_in(article))}
    depth = depth.extract()
    return {"Core": minutes(counted_in(article)), "In depth": minutes(counted_in(depth))}


def counted_in(article) -> dict[str, int]:
    counted = {"figure": len(article.select("figure")) - len(article.select(".solution figure"))}
    others = ".chapter-times, .chapter-needs, .headerlink, .section-number, .check, script, noscript"
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
    return counted


def test_every_chapter_says_what_it_needs_and_what_needs_it(book, chapters):
    """The links of "Before you start", and the same the other way round."""
    needs, needed = {}, {}
    for name, soup in chapters.items():
        lines = soup.select("article h1 ~ .chapter-needs")
        told = {"needs": [], "needed": []}
        for link in (link for line in lines for link in line.select("a")):
            before = link.find_previous(string=re.compile("[Nn]eed"))
            told["needed" if "needed for" in before.lower() else "needs"].append(link["href"].removesuffix(".html"))
            assert link.get_text() == chapters[told_page(link)].select_one("h1 .section-number").get_text().strip(" .")
        needs[name], needed[name] = told["needs"], told["needed"]
        asked = soup.find("em", string="Before you start:")
        assert asked or name == "explorers"  # which one may play with at once
        presupposed = asked.find_parent("p").select("a.reference[href*='#ch-']") if asked else []
        linked = {told_page(a) for a in presupposed} & chapters.keys()
        assert set(told["needs"]) == linked, name
    assert {(a, b) for a in needs for b in needs[a]} == {(a, b) for b in needed for a in needed[b]}
    assert sum(map(len, needs.values())) > 20


def test_the_routes_take_as_long_as_their_chapters(book, chapters):
    """What the first page says of its three routes, against the sum of the lines under the titles."""
    index = BeautifulSoup((book / "book" / "index.html").read_text("utf-8"), "html.parser")
    times = {row.td.get_text(): row.select("td")[-1].get_text() for row in index.select("#three-ways-through tbody tr")}
    shown = {name: dict(re.findall(r"(\w[\w ]*): (\d+) min", soup.select_one(".chapter-times").get_text()))
             for name, soup in chapters.items()}  # fmt: skip
    cores = {name: int(parts.get("Core", parts.get("Reading"))) for name, parts in shown.items()}
    linked = {told_page(a) for a in index.select("#three-ways-through tbody tr:first-child a")}
    order = list(index.select("#a-map td:first-child a"))
    course = [told_page(a) for a in order][: [told_page(a) for a in order].index("published_table") + 1]
    expected = {
        "An afternoon": sum(cores[name] for name in linked),
        "A course": sum(cores[name] for name in course),
        "Everything": sum(cores.values()) + sum(int(parts.get("In depth", 0)) for parts in shown.values()),
    }
    assert times.keys() == expected.keys()
    for route, told in times.items():
        amount, unit = told.replace("½", ".5").split()
        told_minutes = float(amount) * {"minutes": 1, "hours": 60}[unit]
        assert abs(told_minutes - expected[route]) <= 0.12 * expected[route], route  # each line is rounded to 5 minutes


def told_page(link) -> str:
    return link["href"].partition(".html")[0]


def test_no_chapter_needs_one_that_is_in_depth_or_comes_later(chapters):
    """The core can be read in order; only what is in depth itself may build on what is in depth."""
    number = {
        name: int(soup.select_one("h1 .section-number").get_text().strip(" .")) for name, soup in chapters.items()
    }
    for name, soup in chapters.items():
        for line in soup.select("article h1 ~ .chapter-needs"):
            for link in line.select("a"):
                if "needed for" not in link.find_previous(string=re.compile("[Nn]eed")).lower():
                    assert number[told_page(link)] < number[name], f"{name} needs {told_page(link)}"


def test_other_pages_have_none(book, chapters):
    for path in book.glob("book/*.html"):
        if path.stem not in chapters:
            assert "chapter-times" not in path.read_text("utf-8"), path.name
