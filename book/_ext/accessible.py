"""What axe-core objects to in the pages of theme and tools, mended: see also ``book/_templates`` and ``book.js``."""

MENDED = {
    # The role of an entry of a bibliography is no more; the list around the entries holds items.
    'role="doc-biblioentry"': 'role="listitem"',
    # A folded cell says what it shows, "Show code cell source"; its name must be what it says.
    '<summary aria-label="Toggle hidden content">': "<summary>",
    # The corner of a table with heads above and beside is no head.
    '<th class="head"><p></p></th>': "<td></td>",
}


def mend(app, pagename, templatename, context, doctree) -> None:
    for old, new in MENDED.items():
        context["body"] = context.get("body", "").replace(old, new)


def setup(app):
    app.add_js_file("book.js", loading_method="defer")
    app.connect("html-page-context", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
