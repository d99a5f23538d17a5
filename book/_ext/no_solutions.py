"""Chapters without the solutions of their exercises, for a class: ``make book SOLUTIONS=0``.

A solution stands between the directives ``solution-start`` and ``solution-end``, over several cells, or in one
``solution``. It is taken out of the source before anything reads it, and the sources themselves are not handed out.
"""

import json
import os
import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

START = re.compile(r"^(`{3,})\{solution-start\}.*?^\1\s*$", flags=re.MULTILINE | re.DOTALL)
END = re.compile(r"^(`{3,})\{solution-end\}\s*^\1\s*$", flags=re.MULTILINE)
WHOLE = re.compile(r"^(`{3,})\{solution\}.*?^\1\s*$\n?", flags=re.MULTILINE | re.DOTALL)


def without_solutions(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook, its solutions cut out; a cell of which nothing is left goes, too.

    Raises:
        ValueError: a solution does not end.
    """
    kept, inside = [], False
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            kept += [] if inside else [cell]
            continue
        text, left = WHOLE.sub("", "".join(cell["source"])), ""
        while text:
            mark = (END if inside else START).search(text)
            left += "" if inside else text[: mark.start() if mark else None]
            if mark is None:
                break
            text, inside = text[mark.end() :], not inside
        if left.strip():
            kept.append({**cell, "source": left})
    if inside:
        raise ValueError("a solution has no end: write solution-end behind it")
    return {**notebook, "cells": kept}


def cut(app: Sphinx, name: str, source: list[str]) -> None:
    if app.env.doc2path(name).endswith(".ipynb"):
        source[0] = json.dumps(without_solutions(json.loads(source[0])))


def keep_sources(app: Sphinx, config: Config) -> None:
    config.html_copy_source = False


def setup(app: Sphinx) -> dict[str, Any]:
    if os.environ.get("SOLUTIONS") == "0":
        app.connect("source-read", cut)
        app.connect("config-inited", keep_sources)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
