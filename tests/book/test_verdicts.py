"""Whoever executes a notebook here reads its verdicts, under kernels that take turns, on both sets of images."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree.ElementTree import fromstring

import nbformat
import numpy as np
import pytest
from kernel_sets import NUMPY_1, kernel_sets, turn
from nbformat.v4 import new_code_cell, new_notebook, new_output
from portable import RECORD, line, summary
from recording import rows_of
from sites import ROOT
from verdicts import check_in, checks_of, flaw, required

from vae_tutorial.checks import Check

SETS = kernel_sets()
ROUTES = ("one", "other")
GOOD = Check("One is one", ROUTES, gap=0.0, bound=0.5)
BAD = Check("One is two", ROUTES, gap=1.0, bound=0.5, mistake="The first gives 1, the second 2.")


def shows(*checks: Check) -> str:
    """Code that shows these checks, without the package, which takes seconds to import."""
    return "\n".join(
        ["from IPython.display import HTML, display", *(f"display(HTML({c._repr_html_()!r}))" for c in checks)]
    )


def cell(shown: str, stored: list[Check], *tags: str):
    outputs = [new_output("display_data", {"text/html": check._repr_html_()}) for check in stored]
    return new_code_cell(shown, outputs=outputs, execution_count=1, metadata={"tags": ["nbval-ignore-output", *tags]})


def sees(**variables: str) -> str:
    """Code that finds these variables in the environment of its kernel."""
    return f"import os\nseen = {{name: os.environ.get(name) for name in {[*variables]}}}\nassert seen == {variables}"


NOTEBOOKS = {
    "fine": [cell(shows(GOOD), [GOOD]), cell(shows(BAD), [BAD], "planted-mistake")],
    "fails": [cell(shows(GOOD, BAD), [GOOD, GOOD])],
    "vanished": [cell("1", [GOOD])],
    "skipped": [cell("print('Skipped: this needs MNIST.')", [GOOD])],
    "unplanted": [cell(shows(GOOD), [BAD], "planted-mistake")],
    "images": [  # two runs, of which one would find another data set
        new_code_cell(
            "import os\n# for load_images()\nprint(os.environ.get('VAE_TUTORIAL_DATASET'))", execution_count=1,
            outputs=[new_output("stream", name="stdout", text="None\n")],
        ),
        cell(sees(ATEN_CPU_CAPABILITY="default", OMP_NUM_THREADS="1"), []),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> str:
    """What a run of small notebooks says, with what the book's own notebooks are run with."""
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copy(ROOT / "book" / "conftest.py", folder)
    for name, cells in NOTEBOOKS.items():
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    name = "no vectors" if "no vectors" in SETS else "native"
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "VAE_TUTORIAL_"))}
    variables |= {"KERNEL_SET": name, "ATEN_CPU_CAPABILITY": "default"}
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", folder]
    command += ["-p", "no:cacheprovider", "-n", "0", "-rA", "--color=no", *folder.glob("*.ipynb")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=variables)
    assert run.returncode == 1, run.stdout + run.stderr
    return run.stdout


@pytest.mark.parametrize("nodeid, verdict", [
    ("fine.ipynb::Cell 0", "PASSED"), ("fine.ipynb::Cell 1", "PASSED"), ("fails.ipynb::Cell 0", "FAILED"),
    ("vanished.ipynb::Cell 0", "FAILED"), ("skipped.ipynb::Cell 0", "PASSED"), ("unplanted.ipynb::Cell 0", "FAILED"),
    ("images.ipynb::Cell 0", "PASSED"), ("images.ipynb::Cell 1", "PASSED"),
    ("images.ipynb[digits]::Cell 0", "PASSED"), ("images.ipynb[digits]::Cell 1", "PASSED"),
])  # fmt: skip
def test_a_cell_passes_only_with_the_right_verdict(said, nodeid, verdict):
    assert re.search(rf"^{verdict} .*/{re.escape(nodeid)}", said, flags=re.MULTILINE), said


def test_what_is_wrong_is_said_with_claim_and_gap(said):
    assert "the check “One is two” fails (measured 1, required ≤ 0.5 nats). The first gives 1, the second 2." in said
    assert "of 1 stored checks 0 are shown; missing: “One is one”" in said
    assert "the check “One is one” passes although its cell is tagged planted-mistake" in said
    assert "KERNEL_SET=" in said


def test_a_set_that_this_machine_has_not_is_refused():
    command = [sys.executable, "-m", "pytest", "book/elbo.ipynb"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"KERNEL_SET": "abacus"})
    assert run.returncode == 4 and f"one of {', '.join(SETS)} on this machine, got 'abacus'" in run.stderr


def test_the_verdicts_are_counted(said):
    assert "Verdicts read: 2 (1 claims hold, 1 planted mistakes are caught)" in said


def test_checks_are_read_in_the_order_shown():
    outputs = [{"data": {"text/html": ["<b>no</b>"]}}, {"text": "no"}] + [
        {"data": {"text/html": check._repr_html_()}} for check in (BAD, GOOD)
    ]
    assert [check["claim"] for check in checks_of(outputs)] == ["One is two", "One is one"]
    assert [flaw(check, planted=True) == "" for check in checks_of(outputs)] == [True, False]


def test_a_check_is_read_with_its_bound_and_its_flaw():
    assert check_in("<b>no</b>") is None and check_in('<div class="check">') is None
    margin = Check("Two > one", ROUTES, gap=0.25, bound=1.5, unit="", relation=">=")
    good, bad, short = (check_in(f"<p>{check._repr_html_()}</p>") for check in (GOOD, BAD, margin))
    assert (good["claim"], good["routes"], good["passed"]) == ("One is one", [*ROUTES], True)
    assert (bad["passed"], bad["mistake"]) == (False, "The first gives 1, the second 2.")
    assert [required(check) for check in (good, bad, short)] == ["≤ 0.5", "≤ 0.5", "≥ 1.5"]
    assert flaw(good, planted=False) == flaw(bad, planted=True) == flaw(short, planted=True) == ""
    assert flaw(short, planted=False) == "the check “Two > one” fails (measured 0.25, required ≥ 1.5)."
    assert flaw(good, planted=True) == (
        "the check “One is one” passes although its cell is tagged planted-mistake (measured 0, required ≤ 0.5 nats)."
    )


# The sets of kernels


def test_every_notebook_meets_every_set_in_as_many_days():
    for place in range(3):
        assert {turn(day, place, SETS) for day in range(100, 100 + len(SETS))} == set(SETS)
    assert len({turn(100, place, SETS) for place in range(len(SETS))}) == len(SETS)


@pytest.mark.parametrize("name, capability", [("no vectors", "DEFAULT"), ("AVX2", "AVX2")])
def test_a_set_is_what_the_libraries_take(name, capability):
    if name not in SETS:
        pytest.skip(f"this processor has no set {name!r}")
    code = "import torch, numpy; print(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())"
    command = [sys.executable, "-W", "error", "-c", code]
    run = subprocess.run(command, env=os.environ | SETS[name], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == (f"{capability} 1\n", "")


def test_numpy_prints_as_its_first_generation_does(monkeypatch):
    with np.printoptions():
        exec(Path(NUMPY_1["PYTHONSTARTUP"]).read_text(encoding="utf-8"), {})
        assert repr(np.float64(0.5)) == "0.5"
    assert repr(np.float64(0.5)) == "np.float64(0.5)"


# The record of all sets


def test_the_record_counts_and_names_what_failed():
    report = fromstring(
        '<testsuites><testsuite tests="4" skipped="1"><testcase classname="book" name="Cell 0"/>'
        '<testcase classname="book" name="Cell 1"><failure/></testcase><testcase classname="book" name="Cell 2"/>'
        '<testcase classname="book" name="Cell 3"><skipped/></testcase></testsuite></testsuites>'
    )
    result = summary(report, "…\nVerdicts read: 17 (…)\n")
    assert result == {"passed": 2, "skipped": 1, "failed": ["book::Cell 1"], "verdicts": 17}
    assert "2 passed, 1 failed, 1 skipped, 17 verdicts read, 5 s\n    book::Cell 1" in line(
        "AVX2", result | {"seconds": 5}
    )


def test_every_suite_passed_under_every_set():
    rows = rows_of(RECORD)
    assert {"native: notebooks", "AVX2: notebooks", "no vectors: notebooks", "two threads: unit tests"} <= set(rows)
    for name, row in rows.items():
        assert row["failed"] == [] and row["passed"] > 1000, name
        assert row["verdicts"] is None or row["verdicts"] > 700, name
        assert not row["commit"].endswith("-dirty"), name
