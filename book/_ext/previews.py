"""Previews: what a link leads to, shown in a card while the pointer or the keyboard rests on the link.

A term, an equation, a theorem or exercise, a figure, a source and a check have one. Once all pages are written, the
links to them are marked with ``data-preview``, and what is linked from another page is copied into a script for each
page of targets, ``_static/previews/<page>.js``: pages opened from the disk may load a script, but not each other.
``_static/previews.js`` draws the card and loads such a script when it is first needed, so no page grows by more than
the marks.
"""

import html
import json
import posixpath
import re
from functools import partial
from pathlib import Path

from chapters import numbered_title

LINK = re.compile(r'<a class="reference internal"(?: data-preview)? href="(?P<page>[^"#:]*)#(?P<anchor>[^"]+)"')
KINDS = re.compile(r'<figure\b|\bid="term-|\bclass="(?:math|proof|exercise|citation|check)\b')
DATA = re.compile(r' data-check="[^"]*"')  # what the evidence page reads of a check, and a reader does not


def target(page: str, anchor: str) -> str:
    """The element with this id, with its definition if it is a term; "" where it is of no kind that has a preview."""
    place = page.find(f' id="{html.escape(anchor)}"')
    start = page.rfind("<", 0, place)
    opening = page[start : page.find(">", place) + 1]
    if place < 0 or not KINDS.search(opening):
        return ""
    return page[start : end(page, page.index("<dd", start) if opening.startswith("<dt") else start)]


def end(page: str, start: int) -> int:
    """Where the element that begins at ``start`` has ended."""
    name, depth = re.compile(r"<(\w+)").match(page, start)[1], 0
    for tag in re.compile(rf"<(/?){name}\b").finditer(page, start):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return page.index(">", tag.start()) + 1
    raise ValueError(f"the element {page[start : start + 60]!r} does not end")


def write_previews(app, exception) -> None:
    if exception is not None or app.builder.format != "html":
        return
    paths = {app.builder.get_target_uri(name): app.builder.get_outfilename(name) for name in app.env.found_docs}
    pages = {uri: Path(path).read_text(encoding="utf-8") for uri, path in paths.items()}
    found = {uri: {} for uri in pages}  # the targets of each page
    elsewhere = {uri: {} for uri in pages}  # and those to which another page links

    def mark(link: re.Match, here: str) -> str:
        there = posixpath.normpath(posixpath.join(posixpath.dirname(here), link["page"])) if link["page"] else here
        anchor = html.unescape(link["anchor"])
        if there not in pages:
            return link[0]
        if anchor not in found[there]:
            found[there][anchor] = target(pages[there], anchor)
        if not (content := found[there][anchor]):
            return link[0]
        if there != here:
            elsewhere[there][anchor] = DATA.sub("", content)
        return link[0].replace(" data-preview", "").replace(" href", " data-preview href", 1)

    for uri, text in pages.items():
        marked = LINK.sub(partial(mark, here=uri), text)
        if marked != text:
            write(Path(paths[uri]), marked)
    for uri, targets in elsewhere.items():
        if targets:
            name = uri.removesuffix(".html")
            title = html.escape(numbered_title(app, name))
            data = json.dumps({"title": title, "targets": targets}, ensure_ascii=False)
            write(app.outdir / "_static" / "previews" / f"{name}.js", f"Previews.add({json.dumps(name)}, {data});\n")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def setup(app):
    app.add_js_file("previews.js", loading_method="defer")
    app.add_css_file("previews.css")
    app.connect("build-finished", write_previews, priority=800)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
