"""The stored notebooks are whole, clean and readable. That their outputs are true, nbval tests by running them."""

import ast
import json
import re
import statistics
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools"))

import chapter_measures  # noqa: E402
from first_cell import METADATA  # noqa: E402
from first_cell import source as first_cell_of  # noqa: E402

NOTEBOOKS = sorted(ROOT.glob("book/*.ipynb"))
# An absolute path of at least two folders, or what a kernel calls its own files.
MACHINE_PATH = re.compile(r"(?<![\w.:/<])/(?:[\w.-]+/){2,}|[A-Z]:\\\\\w|ipykernel_\d+|site-packages")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind="code"):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [(i, cell) for i, cell in enumerate(notebook["cells"], start=1) if cell["cell_type"] == kind]


def source(cell) -> str:
    return "".join(cell["source"])


def lines(cell) -> int:
    return len(source(cell).splitlines())


def tags(cell) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def folded(path) -> set[int]:
    return chapter_measures.folded(json.loads(path.read_text(encoding="utf-8"))["cells"])


@each_notebook
def test_begins_with_the_cell_that_gets_the_package_and_that_the_page_hides(path):
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    assert source(first) == first_cell_of(path.stem), "tools/first_cell.py puts it there"
    assert (first["cell_type"], first["metadata"], first["outputs"]) == ("code", METADATA, [])
    assert "remove-cell" in METADATA["tags"]


@each_notebook
def test_every_cell_was_run_in_order(path):
    counts = [cell["execution_count"] for _, cell in cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@each_notebook
def test_no_cell_failed_or_wrote_to_standard_error(path):
    for i, cell in cells(path):
        for output in cell["outputs"]:
            assert output.get("name") != "stderr", f"cell {i}"
            expected = "raises-exception" in cell["metadata"].get("tags", [])
            assert output["output_type"] != "error" or expected, f"cell {i}"


@each_notebook
def test_outputs_name_no_path_of_the_machine(path):
    for i, cell in cells(path):
        text = json.dumps([{k: v for k, v in o.items() if k != "data"} | text_data(o) for o in cell["outputs"]])
        assert not (found := MACHINE_PATH.search(text)), f"cell {i}: {found[0]}"


def text_data(output) -> dict:
    return {kind: data for kind, data in output.get("data", {}).items() if not kind.startswith("image/")}


@each_notebook
def test_every_figure_has_a_text_instead_of_it(path):
    for i, cell in cells(path):
        if any(kind.startswith("image/") for output in cell["outputs"] for kind in output.get("data", {})):
            alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) > 20, f"cell {i}: metadata mystnb.image.alt must describe the figure"


@each_notebook
def test_no_cell_is_long(path):
    """Folded ones included; ``test_chapter_measures.py`` is stricter with what is in view."""
    for i, cell in cells(path):
        assert lines(cell) <= 60, f"cell {i}"


@each_notebook
def test_imports_are_folded(path):
    hidden = folded(path)
    for i, cell in cells(path):
        statements = ast.parse(source(cell)).body
        only_imports = all(isinstance(statement, (ast.Import, ast.ImportFrom)) for statement in statements)
        first = i == min(number for number, other in cells(path) if "remove-cell" not in tags(other))
        imports = any(isinstance(statement, ast.Import) for statement in statements)
        assert i in hidden or not (only_imports or (first and imports)), f"cell {i}"


def test_code_in_view_is_short():
    """Half of the visible cells of the book have at most eight lines."""
    seen = [lines(cell) for path in NOTEBOOKS for i, cell in cells(path) if i not in folded(path)]
    print(f"{len(seen)} cells in view, median {statistics.median(seen)}, longest {max(seen)} lines")
    assert statistics.median(seen) <= 8


@each_notebook
def test_code_that_a_page_shows_fits_its_width(path):
    for i, cell in cells(path):
        if not {"remove-cell", "remove-input"} & set(cell["metadata"].get("tags", [])):
            for line in source(cell).splitlines():
                assert len(line) <= 85, f"cell {i}: {len(line)} characters: {line}"


@each_notebook
def test_no_cell_ends_in_a_semicolon(path):
    """nbval shows the value that the semicolon hides in Jupyter: end a figure with plt.show() instead."""
    for i, cell in cells(path):
        compared = "nbval-ignore-output" not in cell["metadata"].get("tags", [])
        assert not (compared and source(cell).rstrip().endswith(";")), f"cell {i}"


@each_notebook
def test_no_more_than_two_visible_code_cells_in_a_row(path):
    hidden = folded(path)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    seen = [cell for i, cell in enumerate(notebook["cells"], start=1) if i not in hidden]
    assert "ccc" not in "".join("c" if cell["cell_type"] == "code" else "m" for cell in seen)


@each_notebook
def test_file_is_small_and_plain(path):
    text = path.read_text(encoding="utf-8")
    notebook = json.loads(text)
    assert len(text) < 1.5e6
    assert notebook["metadata"]["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info", "mystnb"}
    assert "widget-view" not in text
    assert all("execution" not in cell["metadata"] for cell in notebook["cells"])
