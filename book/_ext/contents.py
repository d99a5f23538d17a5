"""Where a page stands in the table of contents."""


def reading_order(app) -> list[str]:
    order = [app.config.root_doc]
    for page in order:  # grows while we walk it
        order += [child for child in app.env.toctree_includes.get(page, []) if child not in order]
    return order


def chapter_number(app, docname) -> list[str]:
    """The number in the table of contents, or nothing for a page without one."""
    return [str(n) for n in app.env.toc_secnumbers.get(docname, {}).get("", ())[:1]]


def numbered_title(app, docname) -> str:
    return ". ".join([*chapter_number(app, docname), app.env.titles[docname].astext()])
