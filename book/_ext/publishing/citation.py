"""How the book is cited, from CITATION.cff and nowhere else: for readers as BibTeX, for machines in the pages' heads.

The directive ``{citation} bibtex`` shows the entry.
"""

from functools import cache
from pathlib import Path

import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from publishing.address import site_address

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "CITATION.cff"


@cache
def cited() -> dict:
    """What CITATION.cff says, with its dates as text."""
    return yaml.load(SOURCE.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def published() -> str:
    """The date of the release, "2026-01-31"; as long as there is none, the year of the copyright."""
    config = yaml.load((ROOT / "_config.yml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    return cited().get("date-released") or config["copyright"]


def author_names() -> list[str]:
    """The authors in the order of the file, persons with their family name first."""
    return [a.get("name") or f"{a['family-names']}, {a['given-names']}" for a in cited()["authors"]]


def bibtex() -> str:
    """The entry for a bibliography. Further braces keep the capitals of the title, and a group's name in one piece."""
    citation = cited()
    authors = (name if ", " in name else f"{{{name}}}" for name in author_names())
    fields = {
        "author": " and ".join(authors).replace("_", r"\_"),
        "title": f"{{{citation['title']}}}",
        "year": published()[:4],
        "note": f"Version {citation['version']}",
    }
    if address := site_address():
        fields["url"] = address
    lines = [f"  {name:6} = {{{value}}}" for name, value in fields.items()]
    return "@misc{vae_tutorial,\n" + ",\n".join(lines) + "\n}"


class Citation(SphinxDirective):
    """``{citation} bibtex``: a block of code that the reader can copy."""

    required_arguments = 1

    def run(self):
        directives.choice(self.arguments[0], ("bibtex",))
        self.env.note_dependency(str(SOURCE))
        return [nodes.literal_block("", bibtex(), language="bibtex")]


def setup(app):
    app.add_directive("citation", Citation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
