"""Write the picture of README.md, book/_static/cover.png: the first figure of the book's first page."""

import base64
import json
from pathlib import Path

BOOK = Path(__file__).resolve().parent.parent / "book"


def first_figure(notebook: Path) -> bytes:
    """The first stored PNG of a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = (output for cell in cells for output in cell.get("outputs", []))
    return next(base64.b64decode(o["data"]["image/png"]) for o in outputs if "image/png" in o.get("data", {}))


if __name__ == "__main__":
    (BOOK / "_static" / "cover.png").write_bytes(first_figure(BOOK / "index.ipynb"))
