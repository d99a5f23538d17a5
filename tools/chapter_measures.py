"""What a reader meets in each chapter: words of the core and in depth, visible code, stubs, the first figure.

    .venv/bin/python tools/chapter_measures.py                     all chapters
    .venv/bin/python tools/chapter_measures.py book/elbo.ipynb     some of them
    .venv/bin/python tools/chapter_measures.py --pages             and how high they are in the built book (Chromium)

The limits are those of ``tests/book/test_chapter_measures.py``. A word is what stands between blanks outside displayed
formulas; a formula in the line is one word; solutions are not counted, since they are folded.
"""

import argparse
import json
import re
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
IN_DEPTH = "In depth"
CLOSING = {"Remember", "Next"}  # of the chapter, after what is in depth
BARE = {"Exercises", "Pitfalls"} | CLOSING  # sections that teach nothing new
SOLUTION = re.compile(r"^(`{3,}|:{3,})\{solution\}.*?^\1\s*$", re.M | re.S)
GATE = re.compile(r"^(?:`{3,}|:{3,})\{solution-(start|end)\}", re.M)
NOT_WORDS = (
    re.compile(r"^\$\$.*?\$\$.*?$", re.M | re.S),  # displayed formulas, with their label
    re.compile(r"^\([\w-]+\)=\s*$", re.M),  # labels
    re.compile(r"^:[\w-]+:.*$", re.M),  # options of directives
    re.compile(r"^(`{3,}|:{3,})(\{[\w:-]+\})?", re.M),
    re.compile(r"<!--.*?-->", re.S),
)
FOLDED = {"hide-input", "remove-input", "remove-cell"}


class Measures(NamedTuple):
    """Of one chapter."""

    core: int  # words outside of "In depth"
    depth: int  # words in it
    visible: list[int]  # lines of each code cell that the page shows, solutions apart
    solutions: list[int]  # lines of each that it shows once a solution is opened
    stubs: int  # cells for the reader to fill
    sections: int  # that teach, in the core
    first_figure: int | None  # words before it
    in_depth: bool
    remember: bool


def words(text: str) -> int:
    """How many words of the text are read outside solutions."""
    for pattern in (SOLUTION, *NOT_WORDS):
        text = pattern.sub(" ", text)
    text = re.sub(r"\$[^$]+\$", "formula", text)
    return len([word for word in text.split() if re.search(r"\w", word)])


def folded(cells: Iterable[dict[str, Any]]) -> set[int]:
    """The numbers of the code cells that a page does not show until it is asked: folded, removed, or of a solution."""
    hidden, in_solution = set(), False
    for number, cell in enumerate(cells, start=1):
        if cell["cell_type"] == "code":
            if in_solution or FOLDED & set(cell["metadata"].get("tags", [])):
                hidden.add(number)
        else:
            _, in_solution = outside_solutions("".join(cell["source"]), in_solution)
    return hidden


def outside_solutions(text: str, in_solution: bool) -> tuple[str, bool]:
    """The part of a text between the gates that end and start a solution, and whether one is open at its end."""
    first, *rest = GATE.split(text)  # text, "start" or "end", text, ...
    kept = "" if in_solution else first
    for gate, piece in zip(rest[::2], rest[1::2], strict=True):
        in_solution = gate == "start"
        kept += "" if in_solution else piece
    return kept, in_solution


def measures(path: Path) -> Measures:
    """Of the notebook, as it is stored."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    hidden = folded(cells)
    read = {"core": 0, "depth": 0}
    part, in_solution, figure = "core", False, None
    visible, solutions, stubs, sections, depth, remember = [], [], 0, 0, False, False
    for number, cell in enumerate(cells, start=1):
        text, tags = "".join(cell["source"]), set(cell["metadata"].get("tags", []))
        if cell["cell_type"] == "code":
            if not tags & FOLDED:
                (solutions if number in hidden else visible).append(len(text.splitlines()))
            stubs += "yours" in tags
            if figure is None and any("image/" in kind for o in cell["outputs"] for kind in o.get("data", {})):
                figure = sum(read.values())
            continue
        text, in_solution = outside_solutions(text, in_solution)
        for section in re.split(r"^(?=## )", text, flags=re.M):
            if title := re.match(r"## (.*)", section):
                part = "depth" if title[1].strip() == IN_DEPTH else part
                part = "core" if title[1].strip() in CLOSING else part
                depth |= part == "depth"
                sections += part == "core" and title[1].strip() not in BARE
            read[part] += words(section)
            if figure is None and re.search(r"\{(figure|image|explorer)\}", section):
                figure = sum(read.values())
        remember |= ":class: remember" in text
    return Measures(read["core"], read["depth"], visible, solutions, stubs, sections, figure, depth, remember)


def table(rows: dict[str, Measures]) -> str:
    head = f"{'':32}{'core':>7}{'depth':>7}{'figure':>8}{'code: lines':>13}{'median':>8}{'longest':>9}{'yours':>7}"
    lines = [head]
    for name, m in rows.items():
        code = m.visible or [0]
        longest = max(code + m.solutions)
        lines.append(
            f"{name:32}{m.core:7}{m.depth if m.in_depth else '-':>7}"
            f"{'-' if m.first_figure is None else m.first_figure:>8}"
            f"{sum(code):13}{statistics.median(code):8g}{longest:9}{f'{m.stubs}/{m.sections}':>7}"
            f"{'' if m.remember else '  no card'}"
        )
    return "\n".join(lines)


# How the pages look

WINDOW = {"width": 1280, "height": 900}
HEIGHTS = """() => {
    const all = [...document.querySelectorAll('.bd-article .cell_input')];
    const shown = all.filter(code => !code.closest('details:not([open])'));
    const article = document.querySelector('.bd-article').getBoundingClientRect();
    const figure = document.querySelector('.bd-article :is(figure, .explorer)');
    return {
        article: article.height,
        code: shown.reduce((sum, code) => sum + code.getBoundingClientRect().height, 0),
        figure: figure ? figure.getBoundingClientRect().top - article.top : null,
    };
}"""


def heights(names: Iterable[str]) -> Iterator[tuple[str, dict[str, float]]]:
    """In pixels, of pages of the built book: the article, its visible code, and where the first figure begins."""
    from chromium import chromium  # the words are counted without a browser
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium())
        for name in names:
            tab = browser.new_page(viewport=WINDOW)
            tab.goto((ROOT / "_build/html/book" / f"{name}.html").as_uri())
            tab.add_style_tag(content=".bd-article section > * { content-visibility: visible !important }")
            yield name, tab.evaluate(HEIGHTS)
            tab.close()
        browser.close()


def page_table(rows: Iterable[tuple[str, dict[str, float]]]) -> str:
    lines = [f"{'':32}{'screens':>9}{'first figure':>14}{'code':>7}"]
    for name, page in rows:
        figure = "-" if page["figure"] is None else f"{page['figure'] / WINDOW['height']:.1f}"
        lines.append(
            f"{name:32}{page['article'] / WINDOW['height']:9.1f}{figure:>14}{page['code'] / page['article']:7.0%}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--pages", action="store_true")
    arguments = parser.parse_args()
    chosen = arguments.notebooks or sorted(ROOT.glob("book/*.ipynb"))
    if arguments.pages:
        print(page_table(heights(path.stem for path in chosen)))
    else:
        print(table({path.stem: measures(path) for path in chosen}))


if __name__ == "__main__":
    main()
