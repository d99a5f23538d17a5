"""What a cell prints in columns is a table on the page; notebooks, and the book on paper, keep the text.

``text_tables`` finds the tables, and leaves as text what is not clearly one.
"""

import html

from docutils import nodes

from theme_fixes.text_tables import Cells, Column, Table, split


def written(table: Table) -> str:
    """The table in HTML, in the box that a page has around all tables."""
    head = f"<thead>{row(table.head, table, is_head=True)}</thead>\n" if table.head else ""
    lines = table.lines[-len(table.rows) :]
    body = "\n".join(row(cells, table, line) for cells, line in zip(table.rows, lines, strict=True))
    opening = '<div class="pst-scrollable-table-container"><table class="table">'
    return f"{opening}\n{head}<tbody>{body}</tbody>\n</table></div>"


def row(cells: Cells, table: Table, line: str = "", *, is_head: bool = False) -> str:
    parts, n = [], 0
    for text, span in cells:
        column = table.columns[n]
        is_name = n == 0 and not column.is_numeric
        is_inner = is_name and line[column.start : column.start + 1] == " "
        classes = ["right"] * (column.is_right and span == 1) + ["inner"] * is_inner
        attributes = {
            "scope": "col" if is_head else "row" if is_name else "",
            "colspan": str(span) if span > 1 else "",
            "class": " ".join(classes),
            "data-after": "" if is_head or span > 1 else after(table, column, line),
        }
        tag = "th" if text and attributes["scope"] else "td"
        given = "".join(f' {name}="{html.escape(value)}"' for name, value in attributes.items() if value)
        parts.append(f"<{tag}{given}>{html.escape(text)}</{tag}>" if text else "<td></td>")
        n += span
    return f"<tr>{''.join(parts)}</tr>"


def after(table: Table, column: Column, line: str) -> str:
    """What follows in the cells that end further to the right, such as " ± 0.1": as wide a space keeps them aligned."""
    short = column.stop - max(column.start, len(line[: column.stop].rstrip()))
    full = [other[column.stop - short : column.stop] for other in table.lines if other[column.stop - 1] != " "]
    return full[-1] if column.is_right and short and full else ""


def set_tables(app, doctree, docname) -> None:
    if app.builder.format != "html":
        return
    for block in list(doctree.findall(nodes.literal_block)):
        pieces = split(block.astext()) if "stream" in block["classes"] else []
        if any(isinstance(piece, Table) for piece in pieces):
            block.replace_self([node_of(piece, block) for piece in pieces])


def node_of(piece: str | Table, block: nodes.literal_block) -> nodes.Node:
    if isinstance(piece, Table):
        return nodes.raw("", written(piece), format="html", classes=[*block["classes"], "printed"])
    text = block.copy()  # with its classes, and the language that colors it
    text.rawsource = piece
    text += nodes.Text(piece)
    return text


def setup(app):
    app.connect("doctree-resolved", set_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
