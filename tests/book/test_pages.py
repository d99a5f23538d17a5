"""The pages on running and teaching say what happens: their scripts and commands are run, the output compared.

In reading order and in one folder: a block with a file name is written, a ``$ python`` command is run there, and an
example with ``>>>`` is a doctest. Commands that install or build are the Makefile's or pip's, and are not run here.
"""

import doctest
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import vae_tutorial
from vae_tutorial import checks

ROOT = Path(__file__).parents[2]
RUNNING, TEACHING = (ROOT / "book" / f"{name}.md" for name in ("running", "teaching"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
BLOCK = re.compile(
    r"^```(?:\{code-block\} python\n:caption: (?P<file>\S+)|(?P<kind>console|python))\n(?P<text>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)


def blocks(page: Path) -> list[re.Match]:
    return list(BLOCK.finditer(page.read_text(encoding="utf-8")))


def commands(page: Path) -> list[tuple[str, str]]:
    """The commands after a dollar sign, each with the output shown below it."""
    shown = "".join(block["text"] for block in blocks(page) if block["kind"] == "console")
    return re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", shown, flags=re.MULTILINE)


def run(command: str, folder: Path, encoding: str = "utf-8", status: int = 0) -> str:
    arguments = [sys.executable, *shlex.split(command)[1:]]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": encoding}
    done = subprocess.run(arguments, cwd=folder, capture_output=True, encoding=encoding, env=environment)
    assert (done.returncode, done.stderr) == (status, ""), command
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each result says what is not shut off")
def test_the_files_for_teachers_give_what_the_page_shows(tmp_path):
    for block in blocks(TEACHING):
        if block["file"]:
            (tmp_path / block["file"]).parent.mkdir(exist_ok=True)
            (tmp_path / block["file"]).write_text(block["text"], encoding="utf-8")
    tried = [(command, shown) for command, shown in commands(TEACHING) if "vae_tutorial.grade" in command]
    assert len(tried) == 4
    for command, shown in tried:
        # Its processor time is used up sooner than on the page.
        quick = " --cpu 2" * ("submissions" in command)
        came = run(command + quick, tmp_path, status=int("submissions" in command))
        assert came == shown, command
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "grades" / "feedback").iterdir()}
    assert sorted(pages) == ["ada", "bao", "cy", "dan"] and "KL was graded in the place of kl" in pages["bao"]
    assert "SyntaxError" in pages["cy"] and "is not there while you are graded" in pages["dan"]
    assert "Stopped after 2 seconds of processor time" in pages["dan"]


def test_the_numbers_of_a_class_are_those_recorded():
    record = json.loads((ROOT / "benchmarks" / "results" / "grading.json").read_text())
    text = " ".join(TEACHING.read_text(encoding="utf-8").split())
    used, came = record["processor_seconds"], record["came"]
    assert f"grades {record['submissions']} submissions of six functions" in text and record["functions"] == 6
    assert f"takes {used['judging'] + used['students']:.0f} seconds of processor time" in text
    assert used["judging"] + used["students"] < record["jobs"] * 15 * 60
    assert f"at a load of {record['load_average']:.0f}" in text and f"took {record['seconds'] / 60:.0f} minutes" in text
    assert f"None of its {came['right']['passed']:,} right functions failed" in text and came["right"]["failed"] == 0
    assert came["wrong"]["passed"] == came["hostile"]["passed"] == 0
    assert f"{used['longest_right_function']} seconds of the {record['allowed_cpu_seconds']} it was allowed" in text


@pytest.mark.parametrize("page", [RUNNING, TEACHING], ids=["running", "teaching"])
def test_examples_at_the_prompt_give_what_the_page_shows(page, monkeypatch):
    monkeypatch.setenv("VAE_TUTORIAL_DATASET", "digits")  # the page sets it, too
    examples = "".join(block["text"] for block in blocks(page) if block["kind"] == "python")
    test = doctest.DocTestParser().get_doctest(examples, {}, page.name, str(page), 0)
    assert len(test.examples) > 2
    result = doctest.DocTestRunner().run(test)
    assert result.failed == 0


@pytest.mark.parametrize("page", [RUNNING, TEACHING], ids=["running", "teaching"])
def test_the_other_commands_are_known(page):
    for command, _ in commands(page):
        program, *arguments = command.split()
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", MAKEFILE, flags=re.MULTILINE), command
        elif "pip" in arguments:
            wheels = re.findall(r"vae_tutorial-(.*)-py3-none-any\.whl", command)
            assert wheels in ([], [vae_tutorial.__version__]), command
        else:
            notebooks = [name for name in arguments if name.endswith(".ipynb")]
            assert program == "python" or all((ROOT / name).exists() for name in notebooks), command


def test_every_public_check_stands_on_the_page_for_teachers():
    listed = re.findall(r"~vae_tutorial\.checks\.(check_\w+)`", TEACHING.read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(name for name in vars(checks) if name.startswith("check_"))
