"""What README.md says is true: its commands, the output of its code, the files it names."""

import contextlib
import io
import re
import shutil
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_plain_commands_are_those_of_the_makefile():
    plain = re.search(r"Without make:\n\n((?: {4}.*\n)+)", README)[1]
    for recipe in re.findall(r"^\t(\$\(BIN\)/(?:jupyter-book .*|pytest [^/\n]*))$", MAKEFILE, flags=re.MULTILINE):
        assert f"    {recipe.replace('$(BIN)', '.venv/bin')}\n" in plain


def test_every_make_target_it_names_exists():
    named = set(re.findall(r"(?:`| {4})make ([a-z]+)", README))
    assert {"bench", "book", "browser", "pdf", "test", "serve", "help", "install"} == named
    assert all(re.search(rf"^{name}:", MAKEFILE, flags=re.MULTILINE) for name in named)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_help_lists_every_target_and_what_it_does():
    targets = re.search(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)[1].split()
    run = subprocess.run(["make", "-C", ROOT, "--no-print-directory", "help"], capture_output=True, encoding="utf-8")
    assert (run.returncode, run.stderr) == (0, "")
    listed = re.findall(r"^  make (.{10}) (\S.*)$", run.stdout, flags=re.MULTILINE)
    assert len(listed) == len(run.stdout.splitlines()) == len(targets)
    for target, (name, does) in zip(sorted(targets), sorted(listed), strict=True):
        assert name.rstrip() == target
        assert re.search(rf"^{target}:.*  ## {re.escape(does)}$", MAKEFILE, flags=re.MULTILINE), target


def test_the_example_gives_the_output_shown():
    code = re.search(r"```python\n(.*?)```", README, flags=re.DOTALL)[1]
    shown = re.search(r"```python\n.*?```\n\n((?: {4}[^\n]*\n)+)", README, flags=re.DOTALL)[1]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    assert printed.getvalue() == dedent(shown)


def test_the_files_it_names_exist():
    named = {*re.findall(r"\]\(([^)]+)\)", README), *re.findall(r"`((?:book|benchmarks|vae_tutorial)/[^`]+)`", README)}
    assert "book/_static/card.png" in named and all((ROOT / name).is_file() for name in named)
