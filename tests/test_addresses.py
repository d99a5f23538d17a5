"""The addresses of the repository and the book: written nowhere while they are unknown, everywhere once they are."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from addresses import MARKS, with_absolute_links, with_addresses
from metadata import tomllib

ROOT = Path(__file__).parents[1]
ADDRESS = ("book/_ext/publishing/__init__.py", "book/_ext/publishing/address.py")
BOOK = "https://ada.github.io/vae/"
RELEASE = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))


@pytest.fixture
def copy(tmp_path):
    """A function that runs the script on a copy of the repository's two files, and gives their texts back."""
    for name in ("README.md", "pyproject.toml", "tools/addresses.py", *ADDRESS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)

    def run(*arguments: str, **variables: str) -> tuple[str, str]:
        known = ("GITHUB_REPOSITORY", "GITHUB_SHA", "SITE_URL")
        bare = {name: value for name, value in os.environ.items() if name not in known}
        command = [sys.executable, "tools/addresses.py", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=bare | variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return tuple((tmp_path / name).read_text(encoding="utf-8") for name in ("README.md", "pyproject.toml"))

    return run


def test_once_known_they_stand_in_the_readme_and_the_metadata(copy):
    readme, project = copy(GITHUB_REPOSITORY="Ada/vae")
    shown = MARKS.search(readme)[0]
    assert f"**[Read the book]({BOOK})**" in shown
    for name in re.findall(r"actions/workflows/(\w+)\.yml/badge\.svg", shown):
        assert (ROOT / f".github/workflows/{name}.yml").exists()
    assert tomllib.loads(project)["project"]["urls"] == {
        "Documentation": BOOK,
        "Repository": "https://github.com/Ada/vae",
        "Issues": "https://github.com/Ada/vae/issues",
    }
    # Nothing else is touched, and a later run replaces what an earlier one wrote.
    stored = (ROOT / "README.md").read_text(encoding="utf-8")
    assert MARKS.sub("", readme) == MARKS.sub("", stored)
    again, other = copy(GITHUB_REPOSITORY="bob/v", SITE_URL="https://vae.example")
    assert "https://vae.example/" in again and "https://vae.example/" in other
    assert "ada" not in (again + other).lower().replace("adam", "")
    before, after = (tomllib.loads(text) for text in ((ROOT / "pyproject.toml").read_text(encoding="utf-8"), other))
    del after["project"]["urls"]
    before["project"].pop("urls", None)
    assert before == after


def test_a_release_shows_pictures_without_the_files_of_the_repository(copy):
    readme, _ = copy("--release", GITHUB_REPOSITORY="Ada/vae", GITHUB_SHA="0123abc")
    assert "](https://raw.githubusercontent.com/Ada/vae/0123abc/book/_static/card.png)" in readme
    assert re.findall(r"\]\((?!https://)[^)]*\)", readme) == []
    relative = "[a](book/running.md), [b](https://example.org), [c](#cite) and ![d](e.png)"
    assert with_absolute_links(relative, "o/n", "c0") == (
        "[a](https://github.com/o/n/blob/c0/book/running.md), [b](https://example.org), [c](#cite) and "
        "![d](https://raw.githubusercontent.com/o/n/c0/e.png)"
    )


def test_without_the_repository_or_the_marks_nothing_is_written(copy):
    with pytest.raises(AssertionError, match="GITHUB_REPOSITORY=owner/name is needed"):
        copy()
    with pytest.raises(ValueError, match="0 places"):
        with_addresses("# A title", "o/n", BOOK)


def test_the_workflow_that_releases_writes_them_first():
    steps = [step.get("run", step.get("uses", "")) for step in RELEASE["jobs"]["package"]["steps"]]
    order = ["tools/addresses.py --release", "-m build", "twine check --strict", "pypi-publish"]
    places = [next(i for i, step in enumerate(steps) if part in step) for part in order]
    assert places == sorted(places)
