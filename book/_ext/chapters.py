"""Chapters: where a page stands in the table of contents, and the line under its title.

The line says how long a chapter takes to read and to run, and how many checks it has. The time to read is the book's
own rough estimate, by the rule of ``SECONDS``; the notation page explains it to readers. The time to run is measured by
``tools/execute_notebooks.py``, which keeps it in ``book/running_times.json``; a page without a measured time shows
none.
"""

import json
from html import escape
from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx_exercise.nodes import solution_node

RUNNING_TIMES = Path(__file__).parents[1] / "running_times.json"
SECONDS = {"word": 60 / 200, "formula": 20, "figure": 20, "line of code": 4}
MINUTES = 5  # the estimate is a multiple of this
EXPLANATION = "sec-notation-times"


# The table of contents


def reading_order(app) -> list[str]:
    order = []
    waiting = [app.config.root_doc]
    while waiting:
        page = waiting.pop(0)
        if page not in order:
            order.append(page)
            waiting = app.env.toctree_includes.get(page, []) + waiting
    return order


def chapter_number(app, docname) -> list[str]:
    """The number in the table of contents, or nothing for a page without one."""
    return [str(n) for n in app.env.toc_secnumbers.get(docname, {}).get("", ())[:1]]


def numbered_title(app, docname) -> str:
    return ". ".join([*chapter_number(app, docname), app.env.titles[docname].astext()])


# The line under the title


def count(doctree: nodes.document) -> dict[str, int]:
    """What there is to read outside of solutions: a formula in the line is one word, and neither the output of cells
    nor code that is folded is counted."""
    counted = dict.fromkeys(SECONDS, 0)
    waiting = [doctree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (solution_node, HideCodeCellNode, nodes.raw, nodes.comment)):
            continue
        if isinstance(node, nodes.container) and node.get("nb_element") == "cell_code_output":
            counted["figure"] += sum(1 for _ in node.findall(nodes.figure))
        elif isinstance(node, nodes.literal_block):
            counted["line of code"] += sum(bool(line.strip()) for line in node.astext().splitlines())
        elif isinstance(node, nodes.math_block):
            counted["formula"] += 1
        elif isinstance(node, nodes.math):
            counted["word"] += 1
        elif isinstance(node, nodes.Text):
            counted["word"] += len(node.split())
        else:
            counted["figure"] += isinstance(node, nodes.figure)
            waiting += node.children
    return counted


def minutes(counted: dict[str, int]) -> int:
    total = sum(SECONDS[kind] * number for kind, number in counted.items())
    return max(1, round(total / 60 / MINUTES)) * MINUTES


def add_line(app, doctree, docname) -> None:
    if app.builder.format != "html" or not chapter_number(app, docname):
        return
    title = next(doctree.findall(nodes.title))
    parts = [f"Reading: {minutes(count(doctree))} min"]
    if run := json.loads(RUNNING_TIMES.read_text(encoding="utf-8")).get(docname.rpartition("/")[2]):
        parts.append(f"Running: {run['seconds']} s (one core, {run['processor']})")
    if checks := sum(" data-check=" in raw.astext() for raw in doctree.findall(nodes.raw)):
        parts.append(f"Checks: {checks}")
    page, anchor, _ = app.env.get_domain("std").labels[EXPLANATION]
    address = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
    line = f'<p class="chapter-times"><a href="{address}">{escape(" · ".join(parts))}</a></p>'
    title.parent.insert(title.parent.index(title) + 1, nodes.raw("", line, format="html"))


def setup(app):
    app.connect("doctree-resolved", add_line)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
