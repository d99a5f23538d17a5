"""Long pages open at once: a section far below the window is laid out when the reader comes near (``book.css``).

Until then it has about the height that it will have, so that the scroll bar says where the reader is: an estimate from
what stands in it, fitted by least squares to the chapters and made a fifth higher, for it does less harm too high than
too low. The theme no longer measures every box that could scroll when a page opens, which would lay out all of it;
``book.js`` does so as they come.
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx_exercise.nodes import solution_node

HEIGHTS = {  # in pixels, in a wide window and in a narrow one, beside what it contains
    "part": (29, 45),  # a heading, a paragraph, a box, a row of a table
    "word": (1.8, 3.3),
    "formula": (50, 55),
    "code": (60, 52),
    "line": (14, 11),
    "figure": (253, 250),
    "check": (112, 175),
}
MEASURED = re.compile(r'document\.querySelectorAll\(\["pre",[^]]*\]\.join\(", "\)\)')
NOTHING = "[/* book.js does it */]"


def count(section: nodes.section) -> dict[str, int]:
    counted = dict.fromkeys(HEIGHTS, 0)
    waiting = [section]
    while waiting:
        node = waiting.pop()
        if isinstance(node, nodes.literal_block):
            counted["code"] += 1
            counted["line"] += len(node.astext().splitlines())
        elif isinstance(node, nodes.raw):
            counted["check"] += 'class="check' in node.astext()
        elif isinstance(node, nodes.math_block):
            counted["formula"] += 1
        elif isinstance(node, nodes.math):
            counted["word"] += 1
        elif isinstance(node, (nodes.Text, nodes.row)):
            counted["word"] += len(node.astext().split())
            counted["part"] += isinstance(node, nodes.row)
        elif not isinstance(node, nodes.comment):
            counted["figure"] += isinstance(node, nodes.image)
            counted["part"] += isinstance(node, (nodes.section, nodes.paragraph, nodes.Admonition))
            waiting += [] if isinstance(node, solution_node) else node.children  # a solution is folded
    return counted


def heights(section: nodes.section) -> list[int]:
    counted = count(section)
    return [round(1.2 * sum(HEIGHTS[kind][i] * number for kind, number in counted.items())) for i in range(2)]


def give_heights(app, pagename, templatename, context, doctree) -> None:
    for title in doctree.children if doctree else []:
        for section in title.children:
            if isinstance(section, nodes.section):
                wide, narrow = heights(section)
                opening = f'<section id="{section["ids"][0]}"'
                style = f'style="--wide: {wide}px; --narrow: {narrow}px"'
                context["body"] = context["body"].replace(opening, f"{opening} {style}", 1)


def measure_later(app, exception) -> None:
    if exception or app.builder.format != "html":
        return
    path = Path(app.outdir) / "_static" / "scripts" / "pydata-sphinx-theme.js"
    script = MEASURED.sub(NOTHING, path.read_text(encoding="utf-8"))
    if "scrollWidth" in script and NOTHING not in script:
        raise ExtensionError("the theme's script measures the boxes that scroll in a way that is not known here")
    path.write_text(script, encoding="utf-8")


def setup(app):
    app.connect("html-page-context", give_heights)
    app.connect("build-finished", measure_later)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
