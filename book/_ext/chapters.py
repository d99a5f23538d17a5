"""Chapters: where a page stands in the table of contents, and the lines under its title.

The first line says how long a chapter takes to read, its part *In depth* apart, and to run, and how many checks it has.
The time to read is the book's own rough estimate, by the rule of ``SECONDS``; the notation page explains it to readers.
The time to run is measured by ``tools/execute_notebooks.py``, which keeps it in ``book/running_times.json``; a page
without a measured time shows none. The second line says which chapters it needs, those that its "*Before you start:*"
links to, and which need it. The role ``times`` adds up the times of several chapters.
"""

import json
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.addnodes import pending_xref
from sphinx.util.docutils import SphinxRole
from sphinx_exercise.nodes import solution_node

RUNNING_TIMES = Path(__file__).parents[1] / "running_times.json"
SECONDS = {"word": 60 / 200, "formula": 20, "figure": 20, "line of code": 4}
MINUTES = 5  # the estimate is a multiple of this
EXPLANATION = "sec-notation-times"
IN_DEPTH = "In depth"
PRESUPPOSED = "Before you start:"


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


# What there is to read


def count(doctree: nodes.Node) -> dict[str, int]:
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
        elif isinstance(node, nodes.container) and node.get("nb_element") == "cell_code_source" and folded(node.parent):
            continue
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


def folded(cell: nodes.Element | None) -> bool:
    """Whether the page will hide the code of a cell: in a page that is not finished yet, it still stands there."""
    return cell is not None and cell.get("hide_mode") in ("all", "input", "input+output")


def seconds(counted: dict[str, int]) -> float:
    return sum(SECONDS[kind] * number for kind, number in counted.items())


def minutes(counted: dict[str, int]) -> int:
    return rounded(seconds(counted))


def rounded(time: float) -> int:
    return max(1, round(time / 60 / MINUTES)) * MINUTES


def reading(doctree: nodes.document) -> dict[str, dict[str, int]]:
    """What there is to read in the core of a chapter, and in depth, where it has such a part."""
    whole = count(doctree)
    sections = [section for section in doctree.findall(nodes.section) if is_in_depth(section)]
    if not sections:
        return {"Reading": whole}
    depth = count(sections[0])
    return {"Core": {kind: whole[kind] - depth[kind] for kind in whole}, IN_DEPTH: depth}


def is_in_depth(section: nodes.section) -> bool:
    return isinstance(section[0], nodes.title) and section[0].astext() == IN_DEPTH


def running_time(docname: str) -> dict[str, Any]:
    """Of its notebook: seconds and processor; empty where none was measured."""
    return json.loads(RUNNING_TIMES.read_text(encoding="utf-8")).get(docname.rpartition("/")[2], {})


# The lines under the title


def add_lines(app, doctree, docname) -> None:
    if app.builder.format != "html" or not chapter_number(app, docname):
        return
    title = next(doctree.findall(nodes.title))
    parts = [f"{name}: {minutes(counted)} min" for name, counted in reading(doctree).items()]
    if run := running_time(docname):
        parts.append(f"Running: {run['seconds']} s (one core, {run['processor']})")
    if checks := sum(" data-check=" in raw.astext() for raw in doctree.findall(nodes.raw)):
        parts.append(f"Checks: {checks}")
    page, anchor, _ = app.env.get_domain("std").labels[EXPLANATION]
    address = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
    lines = f'<p class="chapter-times"><a href="{address}">{escape(" · ".join(parts))}</a></p>'
    needs = needed(app)
    kinds = {"Needs": needs[docname], "needed for": [page for page in needs if docname in needs[page]]}
    told = [
        f"{kind} {plural('chapter', len(pages))} {links(app, docname, pages)}" for kind, pages in kinds.items() if pages
    ]
    if linked := " · ".join(told):
        lines += f'<p class="chapter-needs">{linked[0].upper()}{linked[1:]}</p>'
    title.parent.insert(title.parent.index(title) + 1, nodes.raw("", lines, format="html"))


def plural(noun: str, count: int) -> str:
    return noun if count == 1 else noun + "s"


def links(app, docname: str, pages: list[str]) -> str:
    """The numbers of the pages, each a link that says the title."""
    return ", ".join(
        f'<a href="{app.builder.get_relative_uri(docname, page)}" title="{escape(app.env.titles[page].astext())}">'
        f"{chapter_number(app, page)[0]}</a>"
        for page in pages
    )


def needed(app) -> dict[str, list[str]]:
    """The chapters that each chapter needs, in the order of the book."""
    if not hasattr(app, "needed_chapters"):
        chapters = [page for page in reading_order(app) if chapter_number(app, page)]
        labels = app.env.get_domain("std").anonlabels
        linked = {page: {labels[name][0] for name in required(app, page)} for page in chapters}
        app.needed_chapters = {page: [other for other in chapters if other in linked[page]] for page in chapters}
    return app.needed_chapters


def required(app, docname: str) -> list[str]:
    """The labels that the paragraph "Before you start:" links to."""
    for paragraph in app.env.get_doctree(docname).findall(nodes.paragraph):
        if paragraph.astext().startswith(PRESUPPOSED):
            return [node["reftarget"] for node in paragraph.findall(pending_xref) if node["reftype"] == "ref"]
    return []


# The times of several chapters


class Total(nodes.inline):
    """Where the sum of the times of its chapters will stand."""


class Times(SphinxRole):
    """``{times}`core: one_sitting elbo```: how long their cores take to read; ``all:`` with what is in depth."""

    def run(self):
        kind, _, names = self.text.partition(":")
        if kind not in ("core", "all") or not names.split():
            message = f"times: expected “core: names” or “all: names”, got {self.text!r}"
            return [], [self.inliner.reporter.error(message)]
        return [Total("", self.text, kind=kind, chapters=names.split())], []


def add_times(app, doctree, docname) -> None:
    for node in list(doctree.findall(Total)):
        node.replace_self(nodes.Text(said(total(app, docname, node["kind"], node["chapters"]))))


def total(app, docname: str, kind: str, names: list[str]) -> float:
    """Seconds to read the pages that stand in the folder of ``docname``."""
    pages = [f"{docname.rpartition('/')[0]}/{name}" for name in names]
    parts = [part for page in pages for part in reading(app.env.get_doctree(page)).items()]
    return sum(seconds(counted) for name, counted in parts if kind == "all" or name != IN_DEPTH)


def said(time: float) -> str:
    """In words, as exactly as an estimate deserves."""
    if time < 90 * 60:
        return f"{rounded(time)} minutes"
    return f"{round(time / 3600)} hours" if time > 6 * 3600 else f"{round(time / 1800) / 2:g} hours".replace(".5", "½")


def setup(app):
    app.add_role("times", Times())
    app.connect("doctree-resolved", add_lines)
    app.connect("doctree-resolved", add_times)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
