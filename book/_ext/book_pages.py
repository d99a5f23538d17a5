"""What pages do without: a link that would lead away."""

from docutils import nodes
from sphinx_exercise.nodes import solution_node


def unlink_solutions(app, doctree, docname) -> None:
    """The bar of a folded solution opens it; the link to the exercise just above, in the same bar, would lead away."""
    for solution in doctree.findall(solution_node):
        for reference in list(solution[0].findall(nodes.reference)):
            reference.replace_self(reference.children)


def setup(app):
    app.connect("doctree-resolved", unlink_solutions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
