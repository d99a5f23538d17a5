"""Put the first cell into notebooks: it gets the book's package where that is missing, and is hidden from the page.

    python tools/first_cell.py [notebook ...]        (all of book/ when none is named)

The cell is the same in every notebook but for the extras that it installs, and this file is where to change it. In
the repository it names no address; where the book is published, `book/_ext/publishing/hosted.py` fills in that of the
book's files at the commit.
"""

import sys
from pathlib import Path

import nbformat

BOOK = Path(__file__).resolve().parents[1] / "book"
ID = "first-cell"
SOURCE = """\
# @title Get the book's package where it is missing
# As on Colab: gets the book's files of this notebook's commit, and installs them.
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from shutil import unpack_archive
from urllib.request import urlretrieve

BOOK_FILES = ""  # their address, filled in where the book is published
BOOK = Path("book-" + Path(BOOK_FILES).stem[:7])
if not importlib.util.find_spec("vae_tutorial"):
    if not BOOK_FILES:
        raise ModuleNotFoundError(
            "vae_tutorial is not installed: in the folder of "
            'the book, run `pip install ".[chapters]"`'
        )
    print(f"Installing the book's package: {BOOK_FILES}")
    unpack_archive(urlretrieve(BOOK_FILES)[0], BOOK, "zip")
    package = f"{next(BOOK.iterdir())}[chapters]"
    pip = sys.executable, "-m", "pip", "install", package
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    importlib.invalidate_caches()
for folder in BOOK.glob("*/book"):
    os.chdir(folder)"""
# By the notebook's name, where it needs more than the others.
EXTRAS = {"bits_back": "chapters,coding", "jax": "chapters,jax", "own_data": "chapters,export"}
METADATA = {"cellView": "form", "tags": ["remove-cell"]}  # Colab shows the title in the code's place


def source(name: str) -> str:
    """The cell of the notebook of that name."""
    return SOURCE.replace("[chapters]", f"[{EXTRAS.get(name, 'chapters')}]")


def put_first(notebook: nbformat.NotebookNode, name: str = "") -> nbformat.NotebookNode:
    """The notebook of that name with the cell at its head, in place of the one that stood there."""
    cell = nbformat.v4.new_code_cell(source(name), id=ID, metadata=METADATA, execution_count=1)
    notebook.cells = [cell, *(other for other in notebook.cells if other.id != ID)]
    count = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            count += 1
            renumber(cell, count)
    return notebook


def renumber(cell: nbformat.NotebookNode, count: int) -> None:
    """Number a cell that was executed; its outputs stay, for the cell at the head adds nothing to them."""
    if cell.execution_count is not None:
        cell.execution_count = count
    for output in cell.outputs:
        if "execution_count" in output:
            output.execution_count = count


def main() -> None:
    for path in [Path(argument) for argument in sys.argv[1:]] or sorted(BOOK.glob("*.ipynb")):
        nbformat.write(put_first(nbformat.read(path, as_version=4), path.stem), path)


if __name__ == "__main__":
    main()
