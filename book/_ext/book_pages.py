"""What pages do without: a link that would lead away, a redundant script."""

import re

from docutils import nodes
from sphinx_exercise.nodes import solution_node

# The theme's icons come from its web font: 1.5 MB of script for the same icons, and its preloading of the font, which
# fails on pages opened from the disk, are not needed.
REDUNDANT = re.compile(
    r'\s*<script[^>]*src="[^"]*(?:scripts/fontawesome|fontawesome/[^"]*/all\.min)\.js[^"]*"></script>'
    r'|\s*<link rel="preload" as="font"[^>]*>'
)


def unlink_solutions(app, doctree, docname) -> None:
    """The bar of a folded solution opens it; the link to the exercise just above, in the same bar, would lead away."""
    for solution in doctree.findall(solution_node):
        for reference in list(solution[0].findall(nodes.reference)):
            reference.replace_self(reference.children)


def drop_redundant(app, exception) -> None:
    if exception is None and app.builder.format == "html":
        for page in app.outdir.rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            page.write_text(REDUNDANT.sub("", text), encoding="utf-8")


def setup(app):
    app.connect("doctree-resolved", unlink_solutions)
    app.connect("build-finished", drop_redundant)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
