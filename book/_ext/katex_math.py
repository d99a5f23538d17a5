"""Set all mathematics at build time: KaTeX turns every formula into HTML and MathML, so a page needs no script for it.

KaTeX's own JavaScript runs in an embedded engine (mini-racer). TeX that it refuses is a warning of the build.
"""

import re
from functools import cache
from pathlib import Path

from docutils import nodes
from py_mini_racer import MiniRacer
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

KATEX = Path(__file__).parents[1] / "_static" / "katex" / "katex.min.js"
NUMBERED_ENVIRONMENT = re.compile(r"\\(begin|end)\{(equation|align|alignat|gather|CD)\}")
QUAD, BAR = re.compile(r"\\qq?uad\b"), re.compile(r"\\mid\b")
APART = re.compile(r'(<span class="mspace allowbreak"></span>(?:<span class="mspace"[^>]*></span>)*</span>)(?=<span)')
INSIDE = re.compile(r'(<span class="katex-html" aria-hidden="true">)(.*)(</span></span></span>)$', re.DOTALL)
OPENING, CLOSING = re.compile(r"[^\s\w]*$"), re.compile(r"[^\s\w]*")
logger = logging.getLogger(__name__)


@cache
def engine() -> MiniRacer:
    context = MiniRacer()
    context.eval(KATEX.read_text(encoding="utf-8"))
    context.eval("""
        function render(tex, displayMode) {
            try { return {html: katex.renderToString(tex, {displayMode, strict: "error"})}; }
            catch (error) { return {message: error.message}; }
        }
    """)
    return context


@cache
def render(tex: str, display: bool) -> tuple[str, str]:
    """The formula as HTML with MathML inside, and what KaTeX objects to ("" when nothing)."""
    result = engine().call("render", tex, display)
    return result.get("html", ""), result.get("message", "")


def parted(tex: str) -> tuple[str, str]:
    """A displayed formula whose parts, with a wide space between them, are elements: a narrow page breaks there first.

    It never breaks after a bar, between what is given and what it is given to.
    """
    html, message = render(BAR.sub(r"\g<0>\\nobreak", QUAD.sub(r"\g<0>\\allowbreak", tex)), True)
    inside = APART.sub(
        r'\1</span><span class="katex-part">', INSIDE.sub(r'\1<span class="katex-part">\2</span>\3', html)
    )
    return inside.replace(r"\allowbreak", "").replace(r"\nobreak", ""), message


def set_formula(translator, node: nodes.Element, tex: str, display: bool) -> str:
    html, message = parted(tex) if display else render(tex, False)
    if message:
        logger.warning("%s in the formula: %s", message, tex.strip(), location=node, type="katex")
    return html or f"<code>{translator.encode(tex)}</code>"


def unbroken(tex: str) -> str:
    """The formula, in which no line ends with "p(x |"."""
    return re.sub(r"\\mid(?![a-zA-Z])", r"\\mid\\nobreak", tex)


def visit_inline(translator, node: nodes.math) -> None:
    html = set_formula(translator, node, unbroken(node.astext()), display=False)
    translator.body.append(translator.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    translator.body.append(html + "</span>")
    raise nodes.SkipNode


def keep_marks(app, doctree, docname) -> None:
    """Put a formula and the punctuation that touches it into one element, in which no line ends between the two."""
    if app.builder.format != "html":
        return
    for formula in list(doctree.findall(nodes.math)):
        parent, place = formula.parent, formula.parent.index(formula)
        before, after = parent[place - 1] if place else None, parent[place + 1] if place + 1 < len(parent) else None
        opening = OPENING.search(before)[0] if isinstance(before, nodes.Text) else ""
        closing = CLOSING.match(after)[0] if isinstance(after, nodes.Text) else ""
        if closing:
            parent[place + 1] = nodes.Text(after[len(closing) :])
        if opening:
            parent[place - 1] = nodes.Text(before[: -len(opening)])
        if opening or closing:
            parent[place] = nodes.inline(
                "", "", nodes.Text(opening), formula, nodes.Text(closing), classes=["unbroken"]
            )


def visit_display(translator, node: nodes.math_block) -> None:
    # Sphinx numbers the equation, so KaTeX must not do it again.
    tex = NUMBERED_ENVIRONMENT.sub(r"\\\1{\2*}", node.astext())
    if not node["nowrap"] and r"\\" in tex and r"\begin{" not in tex:
        tex = rf"\begin{{split}}{tex}\end{{split}}"
    html = set_formula(translator, node, tex, display=True)
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
    translator.body.append(html)
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def plain_page_title(app, pagename, templatename, context, doctree) -> None:
    """The browser's tab shows the formulas of a title as TeX: it cannot show KaTeX's HTML."""
    if 'class="katex"' in context.get("title", ""):
        context["title"] = app.env.titles[pagename].astext()


def setup(app):
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_display, None))
    app.add_css_file("katex/katex.min.css")
    app.connect("doctree-resolved", keep_marks)
    app.connect("html-page-context", plain_page_title)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
