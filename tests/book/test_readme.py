"""What README.md says is true: its commands, the output of its code, the files it names."""

import contextlib
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest
from metadata import PROJECT

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_plain_commands_are_those_of_the_makefile():
    plain = re.search(r"## Without make\n(.*?)\n## ", README, flags=re.DOTALL)[1]
    for recipe in re.findall(r"^\t(\$\(BIN\)/(?:jupyter-book .*|pytest [^/\n]*))$", MAKEFILE, flags=re.MULTILINE):
        assert f"    {recipe.replace('$(BIN)', '.venv/bin')}\n" in plain


def test_the_commands_for_windows_are_the_others():
    commands = re.findall(r"^ {4}\.venv/bin/(.*)$", README, flags=re.MULTILINE)
    windows = re.findall(r"^ {4}\.venv\\Scripts\\(.*)$", README, flags=re.MULTILINE)
    assert len(windows) == 5 and {command.replace("\\", "/") for command in windows} <= {*commands}


def test_every_make_target_it_names_exists():
    named = set(re.findall(r"(?:`| {4})make ([a-z]+)", README))
    assert {"bench", "book", "browser", "pdf", "test", "serve", "help", "install", "lock"} == named
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
    named = {
        *re.findall(r"\]\((?!https:|#)([^)]+)\)", README),
        *re.findall(r"`((?:book|benchmarks|vae_tutorial)/[^`]+)`", README),
    }
    assert "book/_static/card.png" in named and all((ROOT / name).is_file() for name in named)


def test_the_numbers_are_those_of_the_chapters_and_of_the_recorded_runs():
    (least,) = re.findall(r"more than ([\d,]+) checks", README)
    shown = sum(path.read_text(encoding="utf-8").count("check check-pass") for path in ROOT.glob("book/*.ipynb"))
    assert int(least.replace(",", "")) < shown < 2 * int(least.replace(",", ""))
    rows = json.loads((ROOT / "benchmarks/results/reproduce.json").read_text(encoding="utf-8"))["rows"]
    published = {"VAE-1": 86.76, "VAE-5": 86.47, "IWAE-5": 85.54}
    first = rows["VAE-1, full"]
    assert f"{first['nll']:.2f} nats (standard error {first['stderr']:.2f}) where the paper reports 86.76" in " ".join(
        README.split()
    )
    full = {name.partition(",")[0]: row["nll"] for name, row in rows.items() if name.endswith("full")}
    assert full.keys() == published.keys()
    assert sum(abs(nll - published[name]) < 0.3 for name, nll in full.items()) == 2


def test_its_pythons_are_those_of_the_package_and_its_lines_fit_a_window():
    named = [line.rpartition(" :: ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert f"Python {named[0]} to {named[-1]}" in README
    assert max(map(len, README.splitlines())) <= 120


def test_what_it_says_of_the_extra_is_so():
    names = {"Matplotlib", "pooch", "safetensors", "tqdm", "SciPy", "mpmath", "scikit-learn"}
    chapters = {re.match(r"[\w-]+", line)[0] for line in PROJECT["optional-dependencies"]["chapters"]}
    assert {name.lower() for name in names} == chapters
    assert all(name in README.partition('".[chapters]"')[0] for name in names)
