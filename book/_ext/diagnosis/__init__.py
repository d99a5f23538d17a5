"""The book's diagnosis in the page: a function that a reader types is judged there, as the package's checks judge it.

The directive ``{diagnosis} kl`` makes a place for it, with that question first; its content is a sentence that stands
there where no script runs, and on paper. What judges is one file, which a page asks for when the place comes near: a
parser, the scripts in `_static/diagnosis/parts`, and the catalogue of the checks, exported while the book is built.
"""

from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from explorers import FOLDER as EXPLORERS
from sphinx.util.docutils import SphinxDirective

from diagnosis import catalogue

STATIC = Path(__file__).parents[2] / "_static"
PARSER = "jsep/jsep.iife.min.js"
PARTS = ("arrays", "grammar", "functions", "python", "typed", "clues", "naming", "judge")  # each uses those before it


class Diagnosis(SphinxDirective):
    required_arguments = 1
    has_content = True

    def run(self):
        self.assert_has_content()
        question = directives.choice(self.arguments[0], tuple(catalogue.QUESTIONS))
        paragraph = nodes.paragraph(
            "", "", *self.state.inline_text(" ".join(self.content), self.lineno)[0], classes=["explorer-plain"]
        )
        classes = ["explorer", "explorer-diagnosis", f"question-{question.replace('_', '-')}"]
        return [nodes.container("", paragraph, classes=classes)]


def logic() -> str:
    """All that judges, as one script."""
    parts = [(STATIC / "diagnosis" / "parts" / f"{name}.js").read_text(encoding="utf-8") for name in PARTS]
    parser = (STATIC / PARSER).read_text(encoding="utf-8").split("//# sourceMappingURL")[0]
    return "\n".join(["/* jsep: MIT license, see jsep/LICENSE. */", parser, catalogue.export(), *parts])


def add_scripts(app, pagename, templatename, context, doctree) -> None:
    """What is added here, is added to this page alone."""
    containers = doctree.findall(nodes.container) if doctree else ()
    if any("explorer-diagnosis" in node["classes"] for node in containers):
        for style in (f"{EXPLORERS}/explorers.css", "diagnosis/card.css"):
            app.add_css_file(style)
        for script in (f"{EXPLORERS}/network.js", f"{EXPLORERS}/panel.js", "diagnosis/card.js"):
            app.add_js_file(script, loading_method="defer")


def write_logic(app, exception) -> None:
    if exception is None and app.builder.format == "html":
        (Path(app.outdir) / "_static" / "diagnosis" / "logic.js").write_text(logic(), encoding="utf-8")


def setup(app):
    app.add_directive("diagnosis", Diagnosis)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", write_logic)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
