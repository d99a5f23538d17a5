"""The API reference: types of other libraries link to their documentation, and show as they are written.

Each line of ``api_reference.txt`` holds a qualified name and its address; nothing is fetched while building. A type
that is not listed stays an unresolved reference, hence a warning of the build in nit-picky mode.
"""

from collections import _tuplegetter
from pathlib import Path

from docutils import nodes
from numpy.typing import ArrayLike
from sphinx.util.typing import stringify_annotation

LINKS = dict(
    line.split()
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)


def link(app, env, node, contnode) -> nodes.reference | None:
    address = LINKS.get(node.get("reftarget"))
    if node.get("refdomain") != "py" or address is None:
        return None
    return nodes.reference("", "", contnode, refuri=address, internal=False)


def name_array_like(app, objtype, name, obj, options, args, retann) -> None:
    """Show ``ArrayLike``, not the union of private types that it stands for."""
    for annotation in app.env.temp_data.get("annotations", {}).values():
        for parameter, shown in annotation.items():
            annotation[parameter] = shown.replace(stringify_annotation(ArrayLike, "smart"), "~numpy.typing.ArrayLike")


def skip_fields(app, what, name, obj, skip, options) -> bool | None:
    """The class docstring describes the fields of a named tuple; "alias for field number 0" adds nothing."""
    return True if isinstance(obj, _tuplegetter) else None


def setup(app):
    app.connect("missing-reference", link)
    app.connect("autodoc-process-signature", name_array_like, priority=900)  # after Sphinx has recorded the types
    app.connect("autodoc-skip-member", skip_fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
