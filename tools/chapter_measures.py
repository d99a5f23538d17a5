"""What a reader meets in each chapter: words before and after "In depth", visible code, stubs, the first figure.

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
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
IN_DEPTH = re.compile(r"^## In depth\s*$", re.M)
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

    core: int  # words before "In depth"
    depth: int  # words after it
    visible: list[int]  # lines of each code cell that the page shows, solutions apart
    stubs: int  # cells for the reader to fill
    sections: int  # of the core, those that teach
    first_figure: int | None  # words before it
    in_depth: bool
    remember: bool


def words(text: str) -> int:
    """How many words of the text are read outside solutions."""
    for pattern in (SOLUTION, *NOT_WORDS):
        text = pattern.sub(" ", text)
    text = re.sub(r"\$[^$]+\$", "formula", text)
    return len([word for word in text.split() if re.search(r"\w", word)])


def measures(path: Path) -> Measures:
    """Of the notebook, as it is stored."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    read = {"core": 0, "depth": 0}
    part, in_solution, figure = "core", False, None
    visible, stubs, headings, remember = [], 0, [], False
    for cell in cells:
        text, tags = "".join(cell["source"]), set(cell["metadata"].get("tags", []))
        if cell["cell_type"] == "code":
            if not in_solution and not tags & FOLDED:
                visible.append(len(text.splitlines()))
            stubs += "yours" in tags
            if figure is None and any("image/" in kind for o in cell["outputs"] for kind in o.get("data", {})):
                figure = sum(read.values())
            continue
        if gates := GATE.findall(text):
            in_solution = gates[-1] == "start"
            continue
        before, *after = IN_DEPTH.split(text, maxsplit=1) if part == "core" else ("", text)
        read["core"] += words(before)
        if figure is None and re.search(r"\{(figure|image|explorer)\}", text):
            figure = sum(read.values())
        headings += re.findall(r"^## (.*)$", before, re.M)
        if after:
            part = "depth"
            read["depth"] += words(after[0])
        remember |= ":class: remember" in text
    bare = {"Exercises", "Pitfalls", "Next", "Remember"}
    sections = sum(heading.strip() not in bare for heading in headings)
    return Measures(read["core"], read["depth"], visible, stubs, sections, figure, part == "depth", remember)


def table(rows: dict[str, Measures]) -> str:
    head = f"{'':32}{'core':>7}{'depth':>7}{'figure':>8}{'code: lines':>13}{'median':>8}{'longest':>9}{'yours':>7}"
    lines = [head]
    for name, m in rows.items():
        code = m.visible or [0]
        lines.append(
            f"{name:32}{m.core:7}{m.depth if m.in_depth else '-':>7}"
            f"{'-' if m.first_figure is None else m.first_figure:>8}"
            f"{sum(code):13}{statistics.median(code):8g}{max(code):9}{f'{m.stubs}/{m.sections}':>7}"
            f"{'' if m.remember else '  no card'}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path)
    chosen: Any = parser.parse_args().notebooks or sorted(ROOT.glob("book/*.ipynb"))
    print(table({path.stem: measures(path) for path in chosen}))


if __name__ == "__main__":
    main()
