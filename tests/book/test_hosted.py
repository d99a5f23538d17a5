"""Notebooks away from the book: the buttons that lead there, and the first cell, which gets the package.

One chapter is run from top to bottom as on a hosted service: a Python without the package, an empty folder, nothing but
the notebook, and the book's files behind an address. That address is local, so that no test needs a network.
"""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from first_cell import EXTRAS, SOURCE, put_first
from first_cell import source as first_cell_of
from metadata import CODING, EXPORT, JAX, NEEDED, PROJECT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes
from publishing.hosted import BRANCH, add_buttons, book_files, fill_in
from sites import ROOT, build_small

NOTEBOOKS = sorted(ROOT.glob("book/*.ipynb"))
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ADDRESS = f"https://github.com/someone/vae/archive/{COMMIT}.zip"
KNOWN = {"GITHUB_REPOSITORY": "someone/vae", "GITHUB_SHA": COMMIT}


def code(path: Path) -> list[str]:
    """The code cells of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def environment(**variables: str) -> dict[str, str]:
    """This process's variables, without what would tell a Python of the package, or the book of its repository."""
    return {name: v for name, v in os.environ.items() if name not in ("PYTHONPATH", *KNOWN)} | variables


# The first cell in a Python without the package


OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # the latter is pip's way of saying: no isolation
EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, extra_arguments=["--IPKernelApp.log_level=ERROR"]).execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture
def bare(tmp_path):
    """A Python that has all we have but the package: (code, arguments) runs it in a folder with nothing else."""
    if os.name == "nt":
        pytest.skip("Windows lays out an environment otherwise, and grants symbolic links to few")
    folder = tmp_path / "empty"
    folder.mkdir()
    venv.create(tmp_path / "venv", with_pip=False)
    (others := tmp_path / "others").mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "vae_tutorial" not in entry.name:
            (others / entry.name).symlink_to(entry)
    (own,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (own / "others.pth").write_text(str(others), encoding="utf-8")

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [tmp_path / "venv" / "bin" / "python", "-c", *arguments],
            cwd=folder, env=environment(**OFFLINE), capture_output=True, text=True,
        )  # fmt: skip

    return run


PACKAGE = ("pyproject.toml", "README.md", "LICENSE", "vae_tutorial/**/*.py", "vae_tutorial/data/*")


def archive(folder: Path, *patterns: str) -> str:
    """The address of a file like the one GitHub serves for a commit: all in one folder with the commit's name."""
    with zipfile.ZipFile(folder / f"{COMMIT}.zip", "w") as file:
        file.writestr(f"vae-{COMMIT}/book/", "")
        for path in (p for pattern in patterns for p in ROOT.glob(pattern) if p.is_file()):
            file.write(path, Path(f"vae-{COMMIT}") / path.relative_to(ROOT))
    return (folder / f"{COMMIT}.zip").as_uri()


def first_cell(address: str) -> str:
    """The code of the first cell as it is published."""
    return nbformat.reads(fill_in(writes(put_first(new_notebook())), address), as_version=4).cells[0].source


def test_a_chapter_runs_where_there_is_nothing_but_its_notebook(bare, tmp_path):
    address = archive(tmp_path, *PACKAGE, "tests/planted.py", "benchmarks/results/*")
    stored = (ROOT / "book" / "elbo.ipynb").read_text(encoding="utf-8")
    chapter = tmp_path / "empty" / "elbo.ipynb"
    chapter.write_text(fill_in(stored, address), encoding="utf-8")

    run = bare(EXECUTE, chapter.name)
    assert run.returncode == 0, run.stderr
    executed = chapter.read_text(encoding="utf-8")
    (said,) = nbformat.reads(executed, as_version=4).cells[0].outputs
    assert said.text == f"Installing the book's package: {address}\n"
    assert executed.count("check check-pass") == stored.count("check check-pass") > 3

    # In a new kernel it is there, as are the files that chapters read.
    run = bare(first_cell(address) + "\nimport vae_tutorial\nprint(vae_tutorial.__file__, os.getcwd(), sep='\\n')")
    package, place = map(Path, run.stdout.splitlines())
    assert package.is_relative_to(tmp_path / "venv")
    assert place == tmp_path / "empty" / "book-0123456" / f"vae-{COMMIT}" / "book"
    read = {name for path in NOTEBOOKS for cell in code(path) for name in re.findall(r'"(\.\./[^"]+)"', cell)}
    assert len(read) > 3 and [name for name in read if not (place / name).exists()] == []


def test_without_an_address_it_says_how_to_install_the_package(bare):
    run = bare(SOURCE)
    assert run.returncode == 1
    message = 'vae_tutorial is not installed: in the folder of the book, run `pip install ".[chapters]"`'
    assert run.stderr.splitlines()[-1] == f"ModuleNotFoundError: {message}"


def test_what_pip_complains_of_is_shown(bare, tmp_path):
    run = bare(first_cell(archive(tmp_path, "README.md")))
    assert run.returncode == 1
    assert "'pyproject.toml' found" in run.stderr


def test_where_the_package_is_it_does_nothing(tmp_path):
    ask = first_cell("https://localhost/never-asked.zip") + "\nprint(os.getcwd())"
    run = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == (f"{tmp_path}\n", "")
    assert list(tmp_path.iterdir()) == []


# What a chapter may count on


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_imports_what_is_installed_with_the_package(path):
    named = {re.match(r"[\w-]+", line)[0] for line in NEEDED}
    also = {"vae_tutorial", "IPython", "PIL", "sklearn"}  # PIL by Matplotlib, IPython by the kernel
    also |= {"planted", "blind", "blind_newer"}  # of the tests
    for extra in EXTRAS.get(path.stem, "chapters").split(",")[1:]:
        named |= {re.match(r"[\w-]+", line)[0] for line in PROJECT["optional-dependencies"][extra]} | {"jax_vae"}
    for cell in code(path):
        for node in ast.walk(ast.parse(cell)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= named | also | sys.stdlib_module_names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_imports_itself_what_it_uses(path):
    """The names of the first cell are not the page's: who reads a chapter does not see them."""
    first, *others = map(ast.parse, code(path))
    used = {node.id for cell in others for node in ast.walk(cell) if isinstance(node, ast.Name)}
    assert used & bound(first) <= set().union(*map(bound, others))


def bound(tree: ast.Module) -> set[str]:
    """The names that a cell imports or assigns."""
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    imports = (node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)))
    return stored | {alias.asname or alias.name.partition(".")[0] for node in imports for alias in node.names}


def test_binder_installs_what_the_package_and_the_chapters_need():
    environment = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text(encoding="utf-8"))
    conda_names = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}
    python, *others, pip, by_pip = environment["dependencies"]
    named = {re.match(r"[\w-]+", line)[0]: line for line in NEEDED + JAX + EXPORT}
    assert set(others) == {line.replace(name, conda_names.get(name, name), 1) for name, line in named.items()}
    assert (python, pip, by_pip) == ("python=3.12", "pip", {"pip": CODING})  # conda-forge may not have it
    assert "pip install --no-deps .\n" in (ROOT / ".binder" / "postBuild").read_text(encoding="utf-8")


# The address, and the buttons


def test_filling_in_changes_nothing_but_the_address():
    for path in NOTEBOOKS:
        stored = path.read_text(encoding="utf-8")
        filled = fill_in(stored, ADDRESS)
        assert nbformat.reads(filled, as_version=4).cells[0].source == first_cell_of(path.stem).replace(
            '""', f'"{ADDRESS}"'
        )
        assert filled.replace(ADDRESS, "", 1) == stored
        assert fill_in(filled, ADDRESS) == filled


def test_a_notebook_without_the_first_cell_is_refused():
    with pytest.raises(ValueError, match="0 places, expected 1"):
        fill_in(writes(new_notebook(cells=[new_code_cell("1 + 1")])), ADDRESS)
    with pytest.raises(ValueError, match="2 places, expected 1"):
        fill_in(2 * writes(put_first(new_notebook())), ADDRESS)


@pytest.mark.parametrize("variables, address", [
    ({}, ""), ({"GITHUB_SHA": COMMIT}, ""), ({"GITHUB_REPOSITORY": ""}, ""), (KNOWN, ADDRESS),
    ({"GITHUB_REPOSITORY": "someone/vae"}, "https://github.com/someone/vae/archive/HEAD.zip"),
])  # fmt: skip
def test_the_address_of_the_files_is_that_of_the_commit(monkeypatch, variables, address):
    for name in KNOWN:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert book_files() == address
    config = SimpleNamespace(html_theme_options={"launch_buttons": {"colab_url": "x"}, "logo": "kept"})
    add_buttons(None, config)
    options = config.html_theme_options
    assert options["logo"] == "kept" and bool(options["launch_buttons"]) == bool(address)
    assert options["repository_url"] == ("https://github.com/someone/vae" if address else "")


@pytest.fixture
def small_book(tmp_path):
    """A function that builds a book of a page and a notebook, in the book's theme, and returns the parsed notebook."""
    (tmp_path / "book").mkdir()
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = put_first(new_notebook(cells=[new_markdown_cell("# A chapter\n\nText.")], metadata=kernel))
    (tmp_path / "book" / "chapter.ipynb").write_text(writes(notebook), encoding="utf-8")
    (tmp_path / "index.md").write_text("# Book\n\n```{toctree}\nbook/chapter\n```\n", encoding="utf-8")
    settings = {
        "extensions": ["myst_nb", "sphinx_book_theme", "publishing.hosted"],
        "html_theme": "sphinx_book_theme",
        "html_theme_options": {},
        "nb_execution_mode": "off",
    }

    def build(**variables: str) -> dict[str, BeautifulSoup]:
        run = build_small(tmp_path, settings, "html", env=environment(**variables))
        assert (run.returncode, run.stderr) == (0, "")
        pages = {name: tmp_path / "html" / f"{name}.html" for name in ("index", "book/chapter")}
        return {name: BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser") for name, page in pages.items()}

    return build


def links(soup: BeautifulSoup) -> list[str]:
    """The addresses that the buttons of a page lead to, other than within the book."""
    return [a["href"] for a in soup.select(".article-header-buttons a[href]")]


def test_with_the_repository_a_notebook_opens_on_colab_and_binder(small_book, tmp_path):
    pages = small_book(**KNOWN)
    assert links(pages["book/chapter"])[:5] == [
        "https://mybinder.org/v2/gh/someone/vae/notebooks?urlpath=lab/tree/book/chapter.ipynb",
        "https://colab.research.google.com/github/someone/vae/blob/notebooks/book/chapter.ipynb",
        "https://github.com/someone/vae",
        "https://github.com/someone/vae/issues/new?title=Issue%20on%20page%20%2Fbook/chapter.html&body=Your%20issue%20content%20here.",
        "../_sources/book/chapter.ipynb",
    ]
    assert not re.search("colab|binder", " ".join(links(pages["index"])))  # no notebook, nothing to run
    assert "BOOK_FILES" not in pages["book/chapter"].get_text()  # the first cell is hidden
    download = (tmp_path / "html/_sources/book/chapter.ipynb").read_text(encoding="utf-8")
    assert download == fill_in((tmp_path / "book/chapter.ipynb").read_text(encoding="utf-8"), ADDRESS)


def test_without_it_there_is_the_download_alone(small_book, tmp_path):
    page = small_book()["book/chapter"]
    assert links(page) == ["../_sources/book/chapter.ipynb"]
    download = tmp_path / "html/_sources/book/chapter.ipynb"
    assert download.read_bytes() == (tmp_path / "book/chapter.ipynb").read_bytes()


def test_the_workflow_pushes_the_notebooks_that_the_pages_offer(tmp_path):
    """The commands of the workflow itself, in a small repository beside a small GitHub."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text(encoding="utf-8"))
    (push,) = [step["run"] for step in workflow["jobs"]["build"]["steps"] if "git push" in step.get("run", "")]
    assert workflow["jobs"]["build"]["permissions"]["contents"] == "write"

    git = shlex.split("git -c user.name=A -c user.email=a@localhost")
    github, main = tmp_path / "github", tmp_path / "main"
    for path in (".github/workflows/publish.yml", "book/chapter.ipynb", "package.py"):
        (main / path).parent.mkdir(parents=True, exist_ok=True)
        (main / path).write_text("as committed", encoding="utf-8")
    subprocess.run([*git, "init", "--quiet", "--bare", "-b", "main", github], check=True)
    for command in ("init --quiet -b main", "add .", "commit --quiet -m one", f"push --quiet {github} main"):
        subprocess.run([*git, *command.split()], cwd=main, check=True)

    for commit in (COMMIT, COMMIT[::-1]):  # the second time the branch is there
        here = tmp_path / commit
        subprocess.run([*git, "clone", "--quiet", "--depth=1", github.as_uri(), here], check=True)
        (built := here / "_build/html/_sources/book").mkdir(parents=True)
        (built / "chapter.ipynb").write_text(f"as built from {commit}", encoding="utf-8")
        (here / ".git/info/exclude").write_text("_build/", encoding="utf-8")
        subprocess.run(["bash", "-e", "-c", push], cwd=here, env=environment(GITHUB_SHA=commit), check=True)

    def pushed(command: str) -> str:
        return subprocess.check_output([*git, *command.split()], cwd=github, text=True)

    assert pushed(f"show {BRANCH}:book/chapter.ipynb") == f"as built from {COMMIT[::-1]}"
    assert pushed(f"log --format=%s {BRANCH}") == f"The book as published from {COMMIT[::-1]}\n"
    assert pushed(f"ls-tree -r --name-only {BRANCH}").split() == ["book/chapter.ipynb", "package.py"]
    assert pushed("show main:book/chapter.ipynb") == "as committed"
