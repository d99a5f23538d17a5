"""The pages on running and teaching say what happens: their scripts and commands are run, the output compared.

In reading order and in one folder: a block with a file name is written, a ``$ python`` command is run there, and an
example with ``>>>`` is a doctest. Commands that install or build are the Makefile's or pip's, and are not run here.
"""

import doctest
import os
import re
import runpy
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


def run(command: str, folder: Path, encoding: str = "utf-8") -> str:
    arguments = [sys.executable, *shlex.split(command)[1:]]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": encoding}
    done = subprocess.run(arguments, cwd=folder, capture_output=True, encoding=encoding, env=environment)
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout


def test_the_scripts_for_teachers_print_what_the_page_shows(tmp_path, monkeypatch):
    for block in blocks(TEACHING):
        if block["file"]:
            (tmp_path / block["file"]).parent.mkdir(exist_ok=True)
            (tmp_path / block["file"]).write_text(block["text"], encoding="utf-8")
    tried = [(command, shown) for command, shown in commands(TEACHING) if re.match(r"python \w+\.py", command)]
    assert len(tried) == 2
    for command, shown in tried:
        assert run(command, tmp_path) == shown, command
    feedback = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "feedback").iterdir()}
    assert sorted(feedback) == ["ada", "bao", "cy", "dan"] and feedback["ada"] == tried[0][1]
    # Where standard output is not UTF-8, the feedback still is; and no submission's output stops the others' grading.
    eva = 'import sys\nsys.stdout.buffer.write(b"\\xff")\nprint("σ")\nsys.exit()\n'
    (tmp_path / "submissions" / "eva.py").write_text(eva, encoding="utf-8")
    assert run("python grade.py", tmp_path, "cp1252") == tried[1][1] + "eva      \\xff\\u03c3\n"
    again = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "feedback").iterdir()}
    assert again == feedback | {"eva": "\\xffσ\n"}
    # A function that is not there costs its own point alone.
    half = (tmp_path / "submissions" / "bao.py").read_text(encoding="utf-8").partition("def sample")[0]
    (tmp_path / "half.py").write_text(half, encoding="utf-8")
    said = run("python check.py half.py", tmp_path)
    assert "NameError: the file has no function of this name" in said and said.endswith("1 of 2 right\n")
    # The file that students begin with fails every check, and in pytest says why.
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AssertionError, match="(?s)FAIL  kl: .*it raised NotImplementedError"):
        runpy.run_path(str(tmp_path / "test_answers.py"))["test_kl"]()
    monkeypatch.delitem(sys.modules, "answers")


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
