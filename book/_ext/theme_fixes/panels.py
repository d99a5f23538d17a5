"""Figures of several panels side by side, which a telephone shows one below the other.

What `plt.subplots(1, 2)` draws is one picture. Where its panels stand apart, in columns of white, the page holds it a
second time, cut there: the style sheet shows the picture where there is room, the pieces on a narrow screen. Panels
that share the labels of their y axis, which stand at the first one alone, get them repeated; where the caption says
left and right, each says which it is.

Where the first columns of white are not those between the panels, tags of the cell help: `cut-40` or `cut-33-66` names
the places in hundredths of the width, `cut-none` keeps the picture whole, `labels-again` repeats what stands left of
the first panel.
"""

import re
from functools import lru_cache
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from docutils import nodes
from PIL import Image

GRID = re.compile(r"\.subplots\(\s*[12],\s*([23])\b(.*?)(?:\)\n|\Z)", re.DOTALL)
TAG = re.compile(r"tag_cut-([\d-]+)")
WHITE = 250
GAP = 8  # pixels; between the letters of a label it is less
NARROWEST = 0.4  # of an even share of the width
LABELS = 0.16  # of the width, at most, is left of an axis
NAMES = {2: ("left", "right"), 3: ("left", "middle", "right")}
LARGEST = 0.62  # CSS pixels for a pixel of the picture, which has two where it stands in a column of text

Slice = tuple[float, float]  # from and to, as shares of the width


class White(NamedTuple):
    """The columns without ink between columns with ink, from and to, and the width of the picture."""

    gaps: list[tuple[int, int]]
    width: int

    def middles(self) -> list[float]:
        return [(left + right) / 2 / self.width for left, right in self.gaps]

    def first(self, columns: int) -> list[float]:
        """The first gaps that leave no column too narrow; nothing where there are too few."""
        places = [0.0]
        for (left, _), middle in zip(self.gaps, self.middles(), strict=True):
            if len(places) < columns and left / self.width - places[-1] > NARROWEST / columns:
                places.append(middle)
        enough = len(places) == columns and 1 - places[-1] > NARROWEST / columns
        return places[1:] if enough else []

    def nearest(self, places: list[float]) -> list[float]:
        return [min(self.middles(), key=lambda middle: abs(middle - place)) for place in places]

    def labels(self) -> float:
        """Where the labels at the left end."""
        return max((right / self.width for _, right in self.gaps if right / self.width < LABELS), default=0.0)


@lru_cache(maxsize=1)  # who cuts the picture also asks how wide it is
def white(picture: Path) -> White:
    with Image.open(picture) as image:
        inked = np.flatnonzero((np.asarray(image.convert("L")) < WHITE).any(0))
        return White([(int(a) + 1, int(b)) for a, b in pairwise(inked) if b - a > GAP], image.width)


def panels(picture: Path, source: str, tags: list[str]) -> list[list[Slice]]:
    """The slices that each panel of a cell's figure is put together from; nothing where it is not cut."""
    grid, named = GRID.search(source), TAG.search(" ".join(tags))
    if "tag_cut-none" in tags or not (grid or named):
        return []
    columns = white(picture)
    if named:
        places = columns.nearest([int(place) / 100 for place in named[1].split("-")])
    else:
        places = columns.first(int(grid[1]))
    if not places:
        return []
    pieces = [[piece] for piece in pairwise([0.0, *places, 1.0])]
    shared = "tag_labels-again" in tags or (grid and "sharey=True" in grid[2])
    if shared and columns.labels():
        pieces[1:] = [[(0.0, columns.labels()), *piece] for piece in pieces[1:]]
    return pieces


def markup(source: str, alt: str, caption: str, pieces: list[list[Slice]], width: int) -> str:
    """The panels: one picture to those who listen."""
    named = re.search(r"\bleft\b", caption, re.IGNORECASE)
    html = ""
    for slices, name in zip(pieces, NAMES[len(pieces)], strict=True):
        whole = sum(end - start for start, end in slices)
        parts = ""
        for start, end in slices:
            share = end - start
            style = f"width:{share / whole:.2%};--scale:{1 / share:.2%};--start:{-start / share:.2%}"
            parts += f'<span style="{style}"><img alt="" src="{source}" /></span>'
        html += f'<span class="panel-name">{name}</span>' if named else ""
        html += f'<span class="panel" style="max-width:{whole * width * LARGEST:.0f}px">{parts}</span>'
    return f'<span class="panels" role="img" aria-label="{escape(alt)}">{html}</span>'


def add_panels(app, pagename, templatename, context, doctree) -> None:
    if doctree is None:
        return
    came_from = {name: Path(app.srcdir, uri) for uri, name in app.builder.images.items()}
    for cell in doctree.findall(
        lambda node: isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"
    ):
        figures = [figure for figure in cell.findall(nodes.figure) if isinstance(figure[0], nodes.image)]
        if len(figures) != 1:
            continue
        image, caption = figures[0][0], figures[0][-1].astext()
        address = image["uri"]  # within the site: the page is written
        picture = came_from[Path(address).name]
        code = "".join(block.astext() for block in list(cell.findall(nodes.literal_block))[:1])
        if not (pieces := panels(picture, code, cell["classes"])):
            continue
        whole = re.search(rf'<img\b[^>]*src="{re.escape(address)}"[^>]*>', context["body"])[0]
        cut = markup(address, image.get("alt", ""), caption, pieces, white(picture).width)
        context["body"] = context["body"].replace(whole, whole + cut, 1)


def setup(app):
    app.connect("html-page-context", add_panels)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
