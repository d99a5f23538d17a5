"""What axe-core objects to in the pages of theme and tools, mended: see also ``book/_templates`` and ``book.js``."""

from docutils import nodes
from sphinx_exercise.nodes import solution_node

MENDED = {
    # The role of an entry of a bibliography is no more; the list around the entries holds items.
    'role="doc-biblioentry"': 'role="listitem"',
    # A folded cell says what it shows, "Show the code"; its name must be what it says.
    '<summary aria-label="Toggle hidden content">': "<summary>",
    # The corner of a table with heads above and beside is no head.
    '<th class="head"><p></p></th>': "<td></td>",
}


def mend(app, pagename, templatename, context, doctree) -> None:
    for old, new in MENDED.items():
        context["body"] = context.get("body", "").replace(old, new)


def unlink_solutions(app, doctree, docname) -> None:
    """The bar of a folded solution is a button, in which the link to the exercise just above it would lead away.

    sphinx-exercise's own way, `exercise_style`, leaves "Solution" alone of "Solution to Exercise 3.1 (…)". But that is
    what the bar should say to those who hear it, and what the search and the book on paper go by.
    """
    for solution in doctree.findall(solution_node):
        for reference in list(solution[0].findall(nodes.reference)):
            reference.replace_self(reference.children)


def setup(app):
    app.add_js_file("book.js", loading_method="defer")
    app.connect("html-page-context", mend)
    app.connect("doctree-resolved", unlink_solutions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
