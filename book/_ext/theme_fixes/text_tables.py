"""The tables in a text: columns are parted by characters that are blank in all lines.

Each cell must be a value or a name, one column must have values alone, and nothing may hint at a gap that was missed.
Where that is not so, the lines stay text.
"""

import re
from dataclasses import dataclass
from itertools import pairwise, product

NUMBER = r"[-+−±]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?|nan|inf)[%*°]?"
VALUE = re.compile(
    r"\d{4}-\d\d-\d\d|\d+(?:\.\d+){2,}\S*"  # a date, a version
    rf"|{NUMBER}(?: ?(?:[–±→×/]|to|of|for) ?{NUMBER})*(?: \({NUMBER}(?:,? (?:to )?{NUMBER})*\))?"  # 1 ± 2, 1 (0 to 2)
    r"(?: (?:%|[^\W\d_][^\s,;:=]*)){0,4}"  # with its unit
)
JOINT = r"(?<!\S)(?:[±→×=<>≤≥/]|to|of|for)(?!\S)"  # what stands on both sides of it is one cell
TORN = re.compile(rf"(?<=[^\s,±→×=<>≤≥/])(?<! to)(?<! of)(?<! for) {{2,}}(?=\S)(?!{JOINT})")  # a gap within one cell
NO_NAME = re.compile(r"\d\.\d|(?<!\w)[-+−]\d|[;=]|[,:]$")  # several things in a cell, or half of one
NO_FIRST_NAME = re.compile(r": [-+−]?\d")  # "K = 2:" is one
BEFORE_SINGLE = re.compile(rf"(?:(?<!\S){NUMBER}|\)|:)$")  # a single blank parts numbers in columns,
AFTER_SINGLE = re.compile(rf"(?!\d{{3}}(?!\S)){NUMBER}(?=$|  | \(| (?:to|of|for|±) | {NUMBER})")  # not groups of digits
MISSING = {"", "–", "—", "-"}
HEADS_OFF = 3  # letters by which heads may be out of line

Cells = list[tuple[str, int]]  # what stands in a line, and over how many columns


@dataclass
class Column:
    start: int
    stop: int
    is_numeric: bool = False  # values alone
    is_right: bool = False  # aligned so

    def of(self, line: str) -> str:
        return squeezed(line[self.start : self.stop])


@dataclass
class Table:
    lines: list[str]
    columns: list[Column]
    head: Cells
    rows: list[Cells]


def squeezed(text: str) -> str:
    return " ".join(text.split())


def parts(lines: list[str], start: int, stop: int) -> bool:
    """Whether what is blank in all lines parts columns, and not words of one cell."""
    sides = [(line[:start].rstrip(), line[stop:].strip()) for line in lines]
    for left, right in sides:
        is_inside = left.count("(") > left.count(")") or left.count("[") > left.count("]")
        if is_inside or re.search(f"{JOINT}$", left) or re.match(JOINT, right):
            return False
    return stop - start > 1 or all(BEFORE_SINGLE.search(left) and AFTER_SINGLE.match(right) for left, right in sides)


def columns_of(lines: list[str], head: str) -> list[Column]:
    """The columns of these rows of equal length; none if they are no table."""
    shadow = "".join(" " if set(characters) == {" "} else "x" for characters in zip(*lines, strict=True))
    gaps = [match.span() for match in re.finditer("(?<=x) +(?=x)", shadow)]
    edges = [shadow.find("x"), *(edge for gap in gaps if parts(lines, *gap) for edge in gap), len(shadow.rstrip())]
    columns = [Column(*edges[i : i + 2]) for i in range(0, len(edges), 2)]
    for column, further in zip(columns, [*columns[1:], None], strict=True):
        cells = {column.of(line) for line in lines}
        names = {cell for cell in cells if not VALUE.fullmatch(cell)}
        written = [line[column.start : column.stop] for line in lines if column.of(line)]
        if any(TORN.search(text.strip()) for text in written):
            return []
        if any((NO_FIRST_NAME if column is columns[0] else NO_NAME).search(name) for name in names):
            return []
        if len(cells) == 1 and names and not column.of(head):  # a word that belongs to the values beside it
            return []
        if further and further.start == column.stop + 1 and not all(name.endswith(":") for name in names):
            return []  # the first value of several is still in this cell
        column.is_numeric = names <= MISSING and len(written) > 1
        is_left = all(text[0] != " " for text in written) and any(text[-1] == " " for text in written)
        column.is_right = names < cells and not is_left
    return columns if any(column.is_numeric for column in columns[1:]) else []


def cells_of(line: str, columns: list[Column], *, is_head: bool = False) -> Cells:
    """Two blanks part the cells of a line, and a single one those of heads, but not after a comma."""
    gaps = [(left.stop, right.start) for left, right in pairwise(columns)]
    cells, begin, span = [], 0, 1
    for gap in gaps:
        places = []  # where to cut: in wide blanks, as near as may be to the end of the column
        for blanks in re.finditer(" +", line):
            is_wide = len(blanks[0]) > 1
            is_single = line[: blanks.start()][-1:] != "," if is_head else gap[1] == gap[0] + 1
            off = apart(blanks.span(), gap)
            is_near = off == min(apart(blanks.span(), other) for other in gaps) <= HEADS_OFF if is_head else off < 0
            if is_near and (is_wide or is_single):
                place = min(max(blanks.start(), gap[0]), blanks.end())
                places.append((is_wide, -abs(place - gap[0]), place))
        if places:
            *_, place = max(places)
            cells.append((squeezed(line[begin:place]), span))
            begin, span = place, 0
        span += 1
    return [*cells, (squeezed(line[begin:]), span)]


def apart(some: tuple[int, int], other: tuple[int, int]) -> int:
    """How many letters lie between; -1 if they share one."""
    return max(-1, some[0] - other[1], other[0] - some[1])


def is_row(cells: Cells, columns: list[Column]) -> bool:
    """Whether a line that was not needed to find the columns is a row: its texts may be long, its values not."""
    places = [sum(span for _, span in cells[:i]) for i in range(len(cells))]
    alone = [(text, i) for i, (text, span) in zip(places, cells, strict=True) if span == 1 and columns[i].is_numeric]
    return all(VALUE.fullmatch(text) or text in MISSING for text, _ in alone) and any(text for text, i in alone if i)


def table(lines: list[str], before: str) -> Table | None:
    """The longest table with which these lines begin, if no part of it stands before them."""
    for stop, n_heads in product(range(len(lines), 2, -1), (1, 0)):
        rows = lines[n_heads:stop]
        columns = columns_of(rows, lines[0] if n_heads else "")
        has_values = [any(column.of(row) for column in columns[1:]) for row in rows]  # or names the rows below it
        if not columns or not has_values[-1] or not (has_values[0] or n_heads):
            continue
        head = cells_of(lines[0], columns, is_head=True) if n_heads else []
        is_sentence = "  " not in lines[0].strip() and lines[0][: columns[0].stop].strip()
        if n_heads and (is_sentence or any(re.match(r"[-+−±]?\d", text) for text, _ in head[1:])):
            continue
        if not n_heads and (not columns[0].of(rows[0]) or is_row(cells_of(before, columns), columns)):
            continue
        while stop < len(lines) and is_row(cells_of(lines[stop], columns), columns):
            stop += 1
        return Table(lines[:stop], columns, head, [cells_of(line, columns) for line in lines[n_heads:stop]])
    return None


def split(text: str) -> list[str | Table]:
    """Texts and tables in turn, with every line of the text."""
    written = text.split("\n")
    lines = [line.ljust(max(map(len, written))) for line in written]
    pieces, begin, n = [], 0, 0
    while n < len(lines):
        stop = next((i for i in range(n, len(lines)) if not lines[i].strip()), len(lines))
        if found := table(lines[n:stop], lines[n - 1] if n else ""):
            pieces += ["\n".join(written[begin:n]), found]
            begin = n = n + len(found.lines)
        else:
            n += 1
    return [piece for piece in [*pieces, "\n".join(written[begin:])] if not isinstance(piece, str) or piece.strip()]
