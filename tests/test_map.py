"""The map in CONTRIBUTING.md names every folder, and nothing that is not there; and imports keep to it."""

import ast
import graphlib
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAP = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Where things are")[1].split("\n## ")[0]
HOMES = ("", "book/", "vae_tutorial/", "tests/")  # a name may stand alone where its folder is clear


def test_every_folder_of_the_repository_is_on_the_map():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    folders = {Path(name).parts[0] for name in listed if "/" in name}
    assert len(folders) > 8
    assert {folder for folder in folders if f"`{folder}/" not in MAP} == set()


def test_every_name_on_the_map_is_there():
    for name in re.findall(r"`([\w./]+/|[\w/]+\.py)`", MAP):
        assert any((ROOT / home / name).exists() for home in (*HOMES, "benchmarks/", "vae_tutorial/checks/")), name


# Who may use what


def imports(source: str) -> set[str]:
    """The modules that a program imports, names taken from a package included: ``a.b`` and ``a.b.c``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def code(path: Path) -> str:
    """A program, or the cells of a notebook together."""
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "vae_tutorial").rglob("*.py"))
}


def test_imports_run_one_way():
    graph = {}
    for name, path in MODULES.items():
        wanted = {module for module in imports(code(path)) if module in MODULES}
        own = set() if path.name == "__init__.py" else {name.rpartition(".")[0]}
        graph[name] = wanted - own - {"vae_tutorial", name}
    assert len(graph) > 40 and graph["vae_tutorial.bounds"] >= {"vae_tutorial.models"}
    del graph["vae_tutorial"], graph["vae_tutorial.evidence"]  # they only pass names on
    graphlib.TopologicalSorter(graph).prepare()  # a CycleError where there is a circle
    users = {name for name, parts in graph.items() if any(part.startswith("vae_tutorial.checks") for part in parts)}
    assert all(name.startswith(("vae_tutorial.checks", "vae_tutorial.grade")) for name in users)


OUTSIDE = [*(ROOT / "book").glob("*.ipynb"), *(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "tools").glob("*.py")]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: path.name)
def test_no_chapter_benchmark_or_tool_uses_a_private_name_of_the_package(path):
    source = code(path)
    ours = {name for name in imports(source) if name.startswith("vae_tutorial")}
    assert not [name for name in ours if re.search(r"\._[a-z]", name)]
    imported = {name.rpartition(".")[2] for name in ours}
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Attribute)
            and re.match(r"_(?!replace|asdict)[a-z]", node.attr)
            and isinstance(node.value, ast.Name)
        ):
            assert node.value.id not in imported, f"{node.value.id}.{node.attr}"
