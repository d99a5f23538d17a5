"""The API reference: types of other libraries link to their documentation, and show as they are written.

Each line of ``api_reference.txt`` holds a qualified name and its address; nothing is fetched while building. A type
that is not listed stays an unresolved reference, hence a warning of the build in nit-picky mode.
"""

from collections import _tuplegetter
from pathlib import Path

from docutils import nodes
from numpy.typing import ArrayLike
from sphinx.util.nodes import make_refnode
from sphinx.util.typing import stringify_annotation

LINKS = dict(
    line.split()
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)


def link(app, env, node, contnode) -> nodes.reference | None:
    if node.get("refdomain") != "py":
        return None
    if address := LINKS.get(node["reftarget"]):
        return nodes.reference("", "", contnode, refuri=address, internal=False)
    return link_within_package(app, env, node, contnode)


def link_within_package(app, env, node, contnode) -> nodes.reference | None:
    """A docstring names what another module defines by its last part, `Check`, or two, `reference.grid`."""
    ending = "." + node["reftarget"].split("(")[0]
    found = [entry for name, entry in env.get_domain("py").objects.items() if name.endswith(ending)]
    if len(found) != 1:
        return None
    docname, anchor = found[0][:2]
    return make_refnode(app.builder, node["refdoc"], docname, anchor, contnode)


def name_array_like(app, objtype, name, obj, options, args, retann) -> None:
    """Show ``ArrayLike``, not the union of private types that it stands for."""
    for annotation in app.env.temp_data.get("annotations", {}).values():
        for parameter, shown in annotation.items():
            annotation[parameter] = shown.replace(stringify_annotation(ArrayLike, "smart"), "~numpy.typing.ArrayLike")


def hide_constructor_of_protocol(app, objtype, name, obj, options, args, retann) -> tuple[str, None] | None:
    """A protocol says how a function is called; nobody makes an instance of it."""
    return ("", None) if getattr(obj, "_is_protocol", False) else None


def say_return_type_once(app, domain, objtype, content) -> None:
    """Drop the field of the return type where the description of what is returned names it."""
    for fields in content.findall(nodes.field_list):
        named = {field[0].astext().split()[0]: field for field in fields}
        if "rtype" in named and "returns" in named and names_type(named["returns"], named["rtype"][1].astext()):
            fields.remove(named["rtype"])


def names_type(field: nodes.field, shown: str) -> bool:
    return any(literal.astext().split(".")[-1] == shown.split(".")[-1] for literal in field.findall(is_name))


def is_name(node: nodes.Node) -> bool:
    return isinstance(node, (nodes.literal, nodes.title_reference))


def skip_fields(app, what, name, obj, skip, options) -> bool | None:
    """The class docstring describes the fields of a named tuple; "alias for field number 0" adds nothing."""
    return True if isinstance(obj, _tuplegetter) else None


def setup(app):
    app.connect("missing-reference", link)
    app.connect("autodoc-process-signature", name_array_like, priority=900)  # after Sphinx has recorded the types
    app.connect("autodoc-process-signature", hide_constructor_of_protocol)
    app.connect("object-description-transform", say_return_type_once, priority=900)  # after autodoc has added the type
    app.connect("autodoc-skip-member", skip_fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
