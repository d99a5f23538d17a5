"""The evidence of the book: every check that a notebook shows, numbered, linked, and collected, folded by chapter.

What stands there must be right: in a cell tagged ``planted-mistake`` a check fails, anywhere else it passes, and no
chapter is without one. Anything else is a warning of the build.
"""

import html
import re

from chapters import chapter_number, numbered_title, plural, reading_order
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from verdicts import CHECK, check_in, flaw, required

logger = logging.getLogger(__name__)


class evidence_part(nodes.General, nodes.Element):
    """Stands where a part of the evidence goes, until every page is read."""


class Evidence(SphinxDirective):
    """``{evidence} summary`` counts; ``{evidence} claims`` and ``{evidence} mistakes`` list."""

    required_arguments = 1

    def run(self):
        self.env.note_reread()  # it depends on every other page
        return [evidence_part(kind=directives.choice(self.arguments[0], tuple(PARTS)))]


# Reading: find the checks of a page, and give each its anchor.


def collect(app, doctree) -> None:
    env, docname = app.env, app.env.docname
    found = []
    cells = (n for n in doctree.findall(nodes.container) if n.get("nb_element") == "cell_code")
    for cell in cells:
        planted = "planted-mistake" in cell.get("cell_metadata", {}).get("tags", [])
        for raw in cell.findall(nodes.raw):
            if "html" not in raw["format"] or not (check := check_in(raw.astext())):
                continue
            check |= {"anchor": f"check-{len(found) + 1}", "planted": planted}
            opening = CHECK.search(raw.astext())[0]
            anchored = opening.replace("<div", f'<div id="{check["anchor"]}"', 1)
            raw.children = [nodes.Text(raw.astext().replace(opening, anchored, 1))]
            found.append(check)
            if problem := flaw(check, planted):
                place = f"{docname}, cell {cell['cell_index'] + 1}"
                logger.warning("%s: %s", place, problem, location=cell, type="evidence")
    all_checks(env)[docname] = found
    is_notebook = env.doc2path(docname).endswith(".ipynb")
    if is_notebook and not found and docname != app.config.root_doc:
        logger.warning("the chapter %s shows no check", docname, location=docname, type="evidence")


def all_checks(env) -> dict[str, list[dict]]:
    if not hasattr(env, "checks"):
        env.checks = {}
    return env.checks


def forget(app, env, docname) -> None:
    all_checks(env).pop(docname, None)


# Writing: number the checks, and build the tables.


def numbered(app, docname) -> list[dict]:
    """The checks of a page with their numbers: the second check of chapter 3 is 3.2."""
    checks = all_checks(app.env).get(docname, [])
    return [
        check | {"number": ".".join([*chapter_number(app, docname), str(i)]), "docname": docname}
        for i, check in enumerate(checks, start=1)
    ]


def resolve(app, doctree, docname) -> None:
    for check in numbered(app, docname):
        label_checks(doctree, check)
    for part in list(doctree.findall(evidence_part)):
        part.replace_self(PARTS[part["kind"]](app, docname))


def label_checks(doctree, check: dict) -> None:
    """Show the number beside the check itself, as a link to the place."""
    opening = f'<div id="{check["anchor"]}" class="check'
    label = f'<a class="check-number" href="#{check["anchor"]}">Check {check["number"]}</a>'
    for raw in doctree.findall(nodes.raw):
        if opening in raw.astext():
            raw.children = [nodes.Text(re.sub(rf"({re.escape(opening)}[^>]*>)", rf"\1{label}", raw.astext(), count=1))]


def summary(app, docname) -> nodes.Node:
    claims, mistakes = by_page(app, planted=False), by_page(app, planted=True)
    n_claims, n_mistakes = (sum(map(len, group.values())) for group in (claims, mistakes))
    return nodes.paragraph(
        "",
        "",
        nodes.strong("", f"{n_claims} {plural('claim', n_claims)}"),
        nodes.Text(f" on {len(claims)} {plural('page', len(claims))}, each measured, each passed. "),
        nodes.strong("", f"{n_mistakes} wrong formulas, programs and statements"),
        nodes.Text(f", put to the checks on purpose on {len(mistakes)} {plural('page', len(mistakes))}, each caught."),
        classes=["evidence-summary"],
    )


def claims_table(app, docname) -> nodes.Node:
    def cells(check):
        routes = " against ".join(check["routes"])
        measurement = [check["measured"], required(check), check["unit"] or "–", check["dtype"] or "–"]
        return [check["number"], link(app, docname, check), routes, *measurement]

    head = ["No.", "Claim", "Two routes", "Measured", "Bound", "Unit", "Type"]
    return tables(app, "claims", head, [6, 28, 26, 10, 10, 10, 10], by_page(app, planted=False), cells)


def mistakes_table(app, docname) -> nodes.Node:
    def cells(check):
        measured, allowed = check["measured"], f"{required(check)} {check['unit']}".strip()
        if measured == "–":  # the code gave nothing that could be measured, so nothing was compared either
            allowed = "–"
        return [check["number"], link(app, docname, check), measured, allowed, check["mistake"] or "–"]

    head = ["No.", "Claim put to it", "Measured", "Allowed", "What the check says"]
    return tables(app, "mistakes", head, [6, 30, 11, 15, 38], by_page(app, planted=True), cells)


PARTS = {"summary": summary, "claims": claims_table, "mistakes": mistakes_table}


def by_page(app, *, planted: bool) -> dict[str, list[dict]]:
    """The checks of each page that has one, in reading order."""
    groups = {page: [c for c in numbered(app, page) if c["planted"] == planted] for page in reading_order(app)}
    return {page: checks for page, checks in groups.items() if checks}


def link(app, docname, check) -> nodes.reference:
    uri = f"{app.builder.get_relative_uri(docname, check['docname'])}#{check['anchor']}"
    return nodes.reference("", check["claim"], refuri=uri, internal=True)


def tables(app, name, head, widths, groups, cells) -> list[nodes.Node]:
    """A table for each chapter, folded under its title; on paper, which does not unfold, one table of all."""
    if app.builder.format != "html":
        return [table(app, name, head, widths, groups, cells)]
    parts = []
    for page, checks in groups.items():
        title = html.escape(f"{numbered_title(app, page)} ({len(checks)})")
        opening = f'<details class="evidence-chapter" id="{rows_id(name, page)}"><summary>{title}</summary>'
        parts.append(nodes.raw("", opening, format="html"))
        parts.append(table(app, name, head, widths, {page: checks}, cells))
        parts.append(nodes.raw("", "</details>", format="html"))
    return parts


def table(app, name, head, widths, groups, cells) -> nodes.table:
    """A table with the rows of these chapters; where they are many, after a row with the title."""
    tgroup = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in widths), cols=len(head))
    tgroup += nodes.thead("", row(head))
    tbody = nodes.tbody()
    for page, checks in groups.items():
        if len(groups) > 1:
            title = nodes.strong("", numbered_title(app, page))
            tbody += nodes.row("", entry(title, morecols=len(head) - 1))
        tbody += [row(cells(check)) for check in checks]
    tgroup += tbody
    return nodes.table("", tgroup, classes=["colwidths-given", "evidence", f"evidence-{name}"])


def rows_id(name: str, page: str) -> str:
    return f"{name}-{nodes.make_id(page.rpartition('/')[2])}"


def row(cells) -> nodes.row:
    return nodes.row("", *(entry(cell) for cell in cells))


def entry(content, **attributes) -> nodes.entry:
    content = nodes.Text(content) if isinstance(content, str) else content
    return nodes.entry("", nodes.paragraph("", "", content), **attributes)


def add_script(app, pagename, templatename, context, doctree) -> None:
    if doctree and any("evidence-chapter" in raw.astext() for raw in doctree.findall(nodes.raw)):
        app.add_js_file("evidence.js", loading_method="defer")  # to this page alone


def setup(app):
    app.add_node(evidence_part)
    app.add_directive("evidence", Evidence)
    app.connect("doctree-read", collect)
    app.connect("env-purge-doc", forget)
    app.connect("doctree-resolved", resolve)
    app.connect("html-page-context", add_script)
    return {"version": "1", "env_version": 1, "parallel_read_safe": False, "parallel_write_safe": True}
