"""What every page of the book has, or must do without: description, no redundant script."""

import html
import re

from docutils import nodes
from sphinx_exercise.nodes import solution_node

# The theme's icons come from its web font: 1.5 MB of script for the same icons, and its preloading of the font, which
# fails on pages opened from the disk, are not needed.
REDUNDANT = re.compile(
    r'\s*<script[^>]*src="[^"]*(?:scripts/fontawesome|fontawesome/[^"]*/all\.min)\.js[^"]*"></script>'
    r'|\s*<link rel="preload" as="font"[^>]*>'
)
DESCRIPTION_LENGTH = 160


def add_description(app, pagename, templatename, context, doctree) -> None:
    """The first paragraph of a page describes it to search engines, the book's title a page without one."""
    if 'name="description"' in context.get("metatags", ""):
        return
    paragraphs = doctree.findall(nodes.paragraph) if doctree else ()
    text = next((" ".join(p.astext().split()) for p in paragraphs), app.config.html_title)
    if len(text) > DESCRIPTION_LENGTH:
        text = text[:DESCRIPTION_LENGTH].rsplit(" ", 1)[0] + " …"
    context["metatags"] = context.get("metatags", "") + f'\n<meta name="description" content="{html.escape(text)}">'


def unlink_solutions(app, doctree, docname) -> None:
    """The bar of a folded solution opens it; the link to the exercise just above, in the same bar, would lead away."""
    for solution in doctree.findall(solution_node):
        for reference in list(solution[0].findall(nodes.reference)):
            reference.replace_self(reference.children)


def write_entrance(app, exception) -> None:
    """The folder's own index.html leads to the first page."""
    if exception is None and app.builder.format == "html":
        first = app.builder.get_target_uri(app.config.root_doc)
        (app.outdir / "index.html").write_text(
            f'''<!DOCTYPE html>
<html lang="{app.config.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={first}">
<link rel="icon" href="_static/favicon.svg">
<meta name="description" content="{html.escape(app.config.html_title)}">
<title>{html.escape(app.config.html_title)}</title>
</head>
<body><a href="{first}">{html.escape(app.config.html_title)}</a></body>
</html>
''',
            encoding="utf-8",
        )


def drop_redundant(app, exception) -> None:
    if exception is None and app.builder.format == "html":
        for page in app.outdir.rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            page.write_text(REDUNDANT.sub("", text), encoding="utf-8")


def setup(app):
    app.connect("html-page-context", add_description)
    app.connect("doctree-resolved", unlink_solutions)
    app.connect("build-finished", write_entrance, priority=900)  # after sphinx_external_toc's own
    app.connect("build-finished", drop_redundant)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
