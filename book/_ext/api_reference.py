"""The API reference: types of other libraries link to their documentation, and show as they are written.

Each line of ``api_reference.txt`` holds a qualified name and its address; nothing is fetched while building. A type
that is not listed stays an unresolved reference, hence a warning of the build in nit-picky mode.

The directive ``{modules}`` lists the pages below its own, one module each, with the names that it defines.
"""

import inspect
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from shutil import rmtree
from typing import Protocol

from docutils import nodes
from numpy.typing import ArrayLike
from sphinx import addnodes
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode
from sphinx.util.typing import stringify_annotation

import vae_tutorial

LINKS = dict(
    line.split()
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
FORMER = {"vae_tutorial.ais": "vae_tutorial.annealing", "vae_tutorial.checks": "vae_tutorial.evidence"}


# Links


def link(app, env, node, contnode) -> nodes.reference | None:
    if node.get("refdomain") != "py":
        return None
    if address := LINKS.get(node["reftarget"]):
        return nodes.reference("", "", contnode, refuri=address, internal=False)
    return link_within_package(app, env, node, contnode)


def link_within_package(app, env, node, contnode) -> nodes.reference | None:
    """A docstring names what another module defines by its last part, `Check`, or two, `reference.grid`."""
    ending = "." + node["reftarget"].split("(")[0]
    objects = env.get_domain("py").objects.items()
    found = [entry for name, entry in objects if name.endswith(ending) and not entry.aliased]
    if len(found) != 1:
        return None
    docname, anchor = found[0][:2]
    return make_refnode(app.builder, node["refdoc"], docname, anchor, contnode)


def find_source(app, module: str, name: str) -> str | None:
    """The file that defines a function or a class, for viewcode; a folder shows what its files define as its own."""
    if not module:  # of an example in the text
        return None
    found = import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    places = [getattr(found, "__module__", None) or "", *files(module)]
    ours = (place for place in places if place.startswith("vae_tutorial"))
    return next((place for place in ours if name in ModuleAnalyzer.for_module(place).find_tags()), module)


def write_sources_anew(app) -> None:
    """viewcode keeps the page of a file that has not changed, whose navigation and style sheets may have."""
    rmtree(app.outdir / "_modules", ignore_errors=True)


def files(module: str) -> list[str]:
    """A module, and those in it where it is a folder."""
    inside = iter_modules(getattr(import_module(module), "__path__", []), f"{module}.")
    return [module, *(file.name for file in inside)]


# What is shown


def describe_values(app) -> None:
    """A value that a folder takes from one of its files is described in that file; autodoc asks the folder alone."""
    for folder in (found.name for found in iter_modules(vae_tutorial.__path__, "vae_tutorial.") if found.ispkg):
        public = [("", name) for name in import_module(folder).__all__]
        described = ModuleAnalyzer.for_module(folder).find_attr_docs()
        for file in files(folder)[1:]:
            values = ModuleAnalyzer.for_module(file).find_attr_docs()
            described.update({place: values[place] for place in public if place in values})


def name_array_like(app, objtype, name, obj, options, args, retann) -> None:
    """Show ``ArrayLike``, not the union of private types that it stands for."""
    for annotation in app.env.temp_data.get("annotations", {}).values():
        for parameter, shown in annotation.items():
            annotation[parameter] = shown.replace(stringify_annotation(ArrayLike, "smart"), "~numpy.typing.ArrayLike")


def hide_constructor(app, objtype, name, obj, options, args, retann) -> tuple[str, None] | None:
    """A protocol says how a function is called; nobody makes an instance of it. ``(*args, **kwargs)`` says nothing."""
    if objtype == "class" and (Protocol in obj.__bases__ or args == "(*args, **kwargs)"):
        return "", None
    return None


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


def skip_plumbing(app, what, name, obj, skip, options) -> bool | None:
    """Members that say nothing: how a module is printed, and the fields of a named tuple, which its class describes."""
    return True if name == "extra_repr" or (inspect.getdoc(obj) or "").startswith("Alias for field number") else None


# The overview


class module_list(nodes.General, nodes.Element):
    """Stands where the modules go, until every page is read."""


class Modules(SphinxDirective):
    def run(self):
        self.env.note_reread()  # it depends on the pages of the modules
        return [module_list()]


def list_modules(app, doctree, docname) -> None:
    for place in list(doctree.findall(module_list)):
        if app.builder.format != "html":  # on paper the modules themselves follow
            place.parent.remove(place)
            continue
        pages = app.env.toctree_includes[docname]
        place.replace_self(nodes.definition_list("", *(list_module(app, docname, page) for page in pages)))


def add_script(app, pagename, templatename, context, doctree) -> None:
    if 'class="module-names"' in context.get("body", ""):
        app.add_js_file("api.js", loading_method="defer")


def list_module(app, docname: str, page: str) -> nodes.definition_list_item:
    """A module's title and first sentence, and the names it defines.

    Each name stands at the anchor that it had when all was on one page, and those of its methods with it: an old
    address leads to the line that knows the new one. Where scripts run, ``api.js`` goes there at once.
    """
    defined = {name: entry for name, entry in app.env.get_domain("py").objects.items() if entry.docname == page}
    module, *names = defined
    title = nodes.reference("", "", *copies(app.env.titles[page]), internal=True)
    title["refuri"] = app.builder.get_relative_uri(docname, page)
    first = next(app.env.get_doctree(page).findall(nodes.paragraph))
    shown = nodes.paragraph(classes=["module-names"])
    for name in (name for name in names if name.count(".") == module.count(".") + 1):
        literal = nodes.literal("", name.removeprefix(module + "."))
        anchors = [anchor for anchor in names if f"{anchor}.".startswith(f"{name}.")]
        if module in FORMER:
            anchors += [anchor.replace(module, FORMER[module], 1) for anchor in anchors]
        target = make_refnode(app.builder, docname, page, defined[name].node_id, literal)
        shown += [nodes.Text(" "), nodes.inline("", "", target, ids=anchors)]
    return nodes.definition_list_item(
        "",
        nodes.term("", "", title, ids=[f"module-{module}"]),
        nodes.definition("", nodes.paragraph("", "", *copies(first)), shown),
    )


def copies(node: nodes.Element) -> list[nodes.Node]:
    """What stands in a title or a paragraph, without links."""
    whole = node.deepcopy()
    for reference in list(whole.findall(lambda part: isinstance(part, (nodes.reference, addnodes.pending_xref)))):
        reference.replace_self(reference.children)
    return whole.children


def setup(app):
    app.setup_extension("sphinx.ext.viewcode")
    app.add_node(module_list)
    app.add_directive("modules", Modules)
    app.connect("doctree-resolved", list_modules)
    app.connect("html-page-context", add_script)
    app.connect("viewcode-follow-imported", find_source)
    app.connect("missing-reference", link)
    app.connect("builder-inited", describe_values)
    app.connect("builder-inited", write_sources_anew)
    app.connect("autodoc-process-signature", name_array_like, priority=900)  # after Sphinx has recorded the types
    app.connect("autodoc-process-signature", hide_constructor)
    app.connect("object-description-transform", say_return_type_once, priority=900)  # after autodoc has added the type
    app.connect("autodoc-skip-member", skip_plumbing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
