"""Draw what the book shows of itself elsewhere: book/_static/card.png, for previews of links, and icon.png.

    python tools/social_card.py

The card is the title above the first two figures of the book's first page; README.md shows it too. The icon is
favicon.svg for those that read no SVG.
"""

import base64
import io
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from vae_tutorial.plotting import BLUE, GRAY, ORANGE, use_book_style

BOOK = Path(__file__).resolve().parents[1] / "book"
TITLE, SUBTITLE = "Variational Autoencoders", "Derived, coded and checked: every claim against an exact number"
CARD, ICON = (1200, 630), (180, 180)  # pixels


def first_figures(notebook: Path, n: int) -> list[np.ndarray]:
    """The first stored pictures of a notebook, as arrays of shape (height, width, 3) with values in [0, 1]."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    data = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    pngs = [base64.b64decode(d["image/png"]) for d in data if "image/png" in d][:n]
    return [np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) / 255 for png in pngs]


def blank(size: tuple[int, int]) -> Figure:
    return plt.figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, layout="none")


def draw_bells(figure: Figure, box: tuple[float, float, float, float]) -> None:
    """Two densities that overlap, as in the book's logo."""
    ax, t = figure.add_axes(box), np.linspace(-2.6, 4.2, 200)
    for center, height, color in (0.0, 1.0, BLUE), (1.6, 0.7, ORANGE):
        ax.fill_between(t, height * np.exp(-((t - center) ** 2)), color=color, alpha=0.75, linewidth=0)
    ax.set(xlim=(t[0], t[-1]), ylim=(0, 1.05))
    ax.set_axis_off()


def card() -> Figure:
    figure = blank(CARD)
    draw_bells(figure, (0.03, 0.77, 0.125, 0.17))
    figure.text(0.165, 0.875, TITLE, fontsize=42, fontweight="bold", va="center")
    figure.text(0.166, 0.76, SUBTITLE, fontsize=20.5, color=GRAY, va="center")
    for left, picture in zip((0.01, 0.5), first_figures(BOOK / "index.ipynb", 2), strict=True):
        ax = figure.add_axes((left, 0.01, 0.49, 0.7))
        ax.imshow(picture, interpolation="antialiased")
        ax.set_axis_off()
    return figure


def icon() -> Figure:
    figure = blank(ICON)
    draw_bells(figure, (0.08, 0.18, 0.84, 0.64))
    return figure


def image(figure: Figure) -> Image.Image:
    """The figure in few colors, which make a small file, and enough for those of the logo."""
    file = io.BytesIO()
    figure.savefig(file, dpi=100)
    plt.close(figure)
    return Image.open(file).convert("RGB").quantize(128, dither=Image.Dither.NONE)


def pictures() -> dict[str, Image.Image]:
    use_book_style()
    return {"card.png": image(card()), "icon.png": image(icon())}


if __name__ == "__main__":
    for name, picture in pictures().items():
        picture.save(BOOK / "_static" / name, optimize=True)
