"""The book on paper: the one LaTeX document that Sphinx makes of all pages gets parts, a foreword and boxes.

What a page shows by HTML, or by folding, takes a form for paper. Checks, exercises and theorems become environments,
folded code is left out, a chapter's solutions are gathered at its end, and the first page becomes the foreword. How all
this looks is said in `_latex/book.sty`.
"""

import html
import re
from collections.abc import Iterable

from docutils import nodes
from evidence_page import evidence_part, numbered
from sphinx import addnodes
from sphinx.util import texescape
from sphinx_exercise.nodes import is_exercise_node, solution_node
from sphinx_proof.nodes import NODE_TYPES, unenumerable_node

FOREWORD = "About this book"
ON_PAPER = (
    "This is the book on paper. Its web pages also have the code that imports, draws, prints and checks, folded, and "
    "the explorers are alive there; here that code is left out, and the solutions stand at the end of each chapter."
)
FOLDED = {"tag_hide-input": "cell_input", "tag_hide-output": "cell_output"}  # class of a cell: the part that it folds
STYLED = {"cell_input", "cell_output", "sd-card", "sd-card-title"}  # the classes that book.sty knows
STATEMENTS = (*NODE_TYPES.values(), unenumerable_node)
CHECK = re.compile(
    r'id="(?P<anchor>check-\d+)" class="check check-(?P<verdict>pass|fail)".*'
    r'class="check-claim">(?P<claim>.*?)</span>.*'
    r'class="check-measurement">(?P<measurement>.*?)</div>'
    r'(<div class="check-mistake">(?P<mistake>.*?)</div>)?',
    re.DOTALL,
)


def configure(app, config) -> None:
    texescape.init()  # the builder's own call comes too late for the title
    config.latex_engine = "xelatex"
    config.latex_documents = [(config.root_doc, "book.tex", config.html_title, tex(config.author), "manual")]
    config.latex_additional_files = ["book/_latex/book.sty"]
    config.latex_domain_indices = False
    config.nb_mime_priority_overrides = [("latex", "text/html", 1)]  # a check is found by its HTML
    config.latex_elements = {
        "papersize": "a4paper",
        "pointsize": "11pt",
        "extraclassoptions": "oneside,openany",
        "geometry": r"\usepackage[textwidth=152mm,textheight=237mm,headheight=14pt]{geometry}",
        "fontpkg": "",
        "fncychap": "",
        "figure_align": "H",  # a figure stays between "Predict" and "Read"
        "preamble": r"\usepackage{book}",
        "maketitle": "",  # see `title_page`
        "tableofcontents": "",
        "makeindex": "",
        "printindex": "",
    }


def compose(app, doctree, docname) -> None:
    if app.builder.format != "latex":
        return
    for page in doctree.findall(addnodes.start_of_file):
        for child in page:
            child.parent = page  # not the page's own document, which Sphinx leaves here
    fold(doctree)
    set_checks(app, doctree)
    set_statements(app, doctree)
    for part in list(doctree.findall(evidence_part)):
        between(part, latex(r"\begin{bookevidence}"), latex(r"\end{bookevidence}"))
    set_widths(doctree)
    keep_together(doctree)
    arrange_parts(app, doctree)


def latex(text: str) -> nodes.raw:
    return nodes.raw("", text, format="latex")


def between(node: nodes.Node, before: nodes.Node, after: nodes.Node) -> None:
    place = node.parent.index(node)
    node.parent[place : place + 1] = [before, node, after]


def page_of(node: nodes.Node) -> nodes.Element:
    """The page that the node comes from; it has a name, `docname`."""
    while not (isinstance(node, addnodes.start_of_file) or node.parent is None):
        node = node.parent
    return node


def fold(doctree) -> None:
    """Leave out what a page folds, and the names of classes that mean nothing on paper."""
    for container in list(doctree.findall(nodes.container)):
        if "tag_hide-cell" in container["classes"]:
            container.parent.remove(container)
        for tag, part in FOLDED.items():
            if tag in container["classes"]:
                container[:] = [child for child in container if part not in child["classes"]]
        container["classes"] = [name for name in container["classes"] if name in STYLED]


def set_checks(app, doctree) -> None:
    numbers = {}
    for raw in list(doctree.findall(nodes.raw)):
        if "html" in raw["format"] and (check := CHECK.search(raw.astext())):
            page, anchor = page_of(raw)["docname"], check["anchor"]
            if page not in numbers:
                numbers[page] = {entry["anchor"]: entry["number"] for entry in numbered(app, page)}
            texts = [tex(html.unescape(check[part] or "")) for part in ("claim", "measurement", "mistake")]
            arguments = [check["verdict"], label(page, anchor), numbers[page][anchor], *texts]
            raw.replace_self(latex(r"\bookcheck" + "".join(f"{{{argument}}}" for argument in arguments)))


def tex(text: str) -> str:
    return texescape.escape(text, "xelatex")


def label(page: str, name: str) -> str:
    return rf"\phantomsection\label{{\detokenize{{{page}:{name}}}}}"


def set_statements(app, doctree) -> None:
    """Exercises and theorems in their place, solutions as the last section of their chapter."""
    solved, last_sections = {}, {}
    for solution in list(doctree.findall(lambda node: isinstance(node, solution_node))):
        page = page_of(solution)
        solution.parent.remove(solution)
        if page["docname"] not in last_sections:
            last_sections[page["docname"]] = nodes.section("", nodes.title("", "Solutions"))
            next(page.findall(nodes.section)).append(last_sections[page["docname"]])
        last_sections[page["docname"]] += environment("booksolution", solution, page["docname"])
        solved[solution["target_label"]] = f"{page['docname']}:{solution['label']}"
    for exercise in list(doctree.findall(is_exercise_node)):
        extra = [rf"\label{{exercise:{exercise['label']}}}"]
        if exercise["label"] in solved:
            extra.append(rf"\bookseesolution{{\detokenize{{{solved[exercise['label']]}}}}}")
        exercise.replace_self(environment("bookexercise", exercise, page_of(exercise)["docname"], extra))
    for statement in list(doctree.findall(lambda node: isinstance(node, STATEMENTS))):
        page = page_of(statement)["docname"]
        number = app.env.toc_fignumbers.get(page, {}).get(statement["countertype"], {}).get(statement["ids"][0], ())
        kind = " ".join([statement["realtype"].title(), ".".join(map(str, number))]).strip()
        statement[0].insert(0, nodes.Text(kind))
        statement.replace_self(environment("bookstatement", statement, page))


def environment(name: str, node: nodes.Element, page: str, extra: Iterable[str] = ()) -> list[nodes.Node]:
    """The node's title as the argument of a LaTeX environment, its content between beginning and end."""
    title, *content = node.children
    content = [child for part in content for child in (part if isinstance(part, nodes.section) else [part])]
    labels = [label(page, anchor) for anchor in dict.fromkeys([*node["ids"], node["label"]])]
    heading = nodes.strong("", "", *title.children)
    after = latex("".join(["}", *labels, *extra, r"\par\nopagebreak"]))
    return [latex(rf"\begin{{{name}}}{{"), heading, after, *content, latex(rf"\end{{{name}}}")]


def set_widths(doctree) -> None:
    """Columns as wide as what stands in them asks for, where a table is so long that LaTeX does not measure it."""
    for table in doctree.findall(nodes.table):
        rows = list(table.findall(nodes.row))
        if len(rows) > 30 and "colwidths-given" not in table["classes"]:
            table["classes"].append("colwidths-given")
            for column, colspec in enumerate(table.findall(nodes.colspec)):
                colspec["colwidth"] = max(15, min(100, max(len(row[column].astext()) for row in rows)))


def keep_together(doctree) -> None:
    """A short piece of code stays on one page."""
    for block in list(doctree.findall(nodes.literal_block)):
        if (n_lines := block.astext().count("\n") + 1) <= 12:
            block.parent.insert(block.parent.index(block), latex(rf"\Needspace{{{n_lines + 1}\baselineskip}}"))


def arrange_parts(app, doctree) -> None:
    """The first page becomes the foreword, and each of its tables of contents a part."""
    root = next(doctree.findall(nodes.section))
    toctrees = app.env.get_doctree(app.config.root_doc).findall(addnodes.toctree)
    every = [node for node in root.findall(nodes.compound) if "toctree-wrapper" in node["classes"]]
    inner = {id(node) for wrapper in every for node in wrapper.findall(nodes.compound) if node is not wrapper}
    wrappers = [wrapper for wrapper in every if id(wrapper) not in inner]  # those of pages below a page stay there
    for wrapper in wrappers:
        wrapper.parent.remove(wrapper)
    foreword = nodes.section("", nodes.title("", FOREWORD), *root[1:], nodes.paragraph("", ON_PAPER))
    root[1:] = [*title_page(app, foreword), latex(r"\bookunnumbered"), foreword]
    for toctree, wrapper in zip(toctrees, wrappers, strict=True):
        numbering = r"\booknumbered" if toctree["numbered"] else r"\bookreference"
        root += [latex(rf"\part{{{tex(toctree['caption'])}}}{numbering}"), *wrapper.children]


def title_page(app, foreword: nodes.section) -> list[nodes.Node]:
    """The title above the pictures with which the foreword begins, and the table of contents."""
    title, _, subtitle = app.config.html_title.partition(": ")
    opening = foreword[: foreword.first_child_matching_class(nodes.section) or len(foreword)]
    pictures = [image.copy() for child in opening for image in child.findall(nodes.image)]
    for picture in pictures:
        picture["width"] = f"{100 // len(pictures) - 2}%"
    heading = rf"\begin{{booktitlepage}}{{{tex(title)}}}{{{tex(subtitle)}}}"
    row = nodes.paragraph("", "", *pictures)
    return [latex(heading), row, latex(r"\end{booktitlepage}\sphinxtableofcontents\pagestyle{normal}")]


def setup(app):
    app.connect("config-inited", configure, priority=950)  # after sphinx_external_toc has named the first page
    app.connect("doctree-resolved", compose, priority=400)  # before the evidence numbers the checks in their HTML
    return {"parallel_read_safe": True, "parallel_write_safe": True}
