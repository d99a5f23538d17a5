"""make book SOLUTIONS=0: chapters without the solutions of their exercises."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from no_solutions import cut, setup, without_solutions

BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = sorted(BOOK.glob("*.ipynb"))


def text(notebook):
    return "\n".join("".join(cell["source"]) for cell in notebook["cells"])


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_exercises_stay_and_solutions_go(path):
    whole = json.loads(path.read_text(encoding="utf-8"))
    left = without_solutions(whole)
    assert "{solution" not in text(left)
    assert re.findall(r"\{exercise\}.*", text(left)) == re.findall(r"\{exercise\}.*", text(whole))
    kept = {json.dumps(cell) for cell in whole["cells"]}
    assert all(json.dumps(cell) in kept for cell in left["cells"] if cell["cell_type"] == "code")


def test_a_solution_over_several_cells_is_cut_out_and_one_without_an_end_refused():
    def cell(kind, source):
        return {"cell_type": kind, "source": source}

    start, end = "```{solution-start} ex\n:class: dropdown\n```\n", "```{solution-end}\n```\n"
    cells = [
        cell("markdown", "a\n" + start + "b"),
        cell("code", "c"),
        cell("markdown", "d\n" + end + "e"),
        cell("code", "f"),
    ]
    left = without_solutions({"cells": cells})
    assert text(left).split() == ["a", "e", "f"]
    source = [json.dumps({"cells": [cell("markdown", "x\n```{solution} ex\ny\n```\nz")]})]
    cut(SimpleNamespace(env=SimpleNamespace(doc2path=lambda name: name + ".ipynb")), "page", source)
    assert text(json.loads(source[0])).split() == ["x", "z"]
    with pytest.raises(ValueError, match="a solution has no end"):
        without_solutions({"cells": cells[:1]})


def test_nothing_happens_unless_it_is_asked_for(monkeypatch):
    connected: list = []
    app = SimpleNamespace(connect=lambda event, function: connected.append(event))
    monkeypatch.delenv("SOLUTIONS", raising=False)
    setup(app)
    assert connected == []
    monkeypatch.setenv("SOLUTIONS", "0")
    setup(app)
    assert connected == ["source-read", "config-inited"]
