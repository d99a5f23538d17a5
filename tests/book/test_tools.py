"""What the tools do on systems other than the one that the tests run on, whose places and programs are made up here."""

import ast
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import chromium
import execute_notebooks
import lighthouse
import machine
import mutants
import nbformat
import playwright.sync_api
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from recording import rows_of

ROOT = Path(__file__).parents[2]
needs_sh = pytest.mark.skipif(os.name == "nt", reason="runs shell scripts")


def program(path, script="exit 0"):
    """A program that does what the shell script says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


# Chromium


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine without any browser, the folders of its applications below ``tmp_path``."""
    downloaded = tmp_path / "cache" / "chrome"

    class Playwright:
        chromium = SimpleNamespace(executable_path=str(downloaded))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    for variable in ("CHROMIUM", "ProgramFiles(x86)", "LocalAppData"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("ProgramFiles", str(tmp_path / "Program Files"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(playwright.sync_api, "sync_playwright", Playwright)
    known = chromium.installed
    monkeypatch.setattr(chromium, "installed", lambda: (path for path in known() if tmp_path in path.parents))
    return downloaded


MAC = "home/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
WINDOWS = "Program Files/Google/Chrome/Application/chrome.exe"


@needs_sh
@pytest.mark.parametrize("place", ["bin/chromium-browser", MAC, WINDOWS, "cache/chrome"])
def test_chromium_is_found_where_each_system_has_it(place, bare, tmp_path):
    assert chromium.chromium() is None
    expected = program(tmp_path / place)
    assert chromium.chromium() == expected


@needs_sh
def test_chromium_named_comes_first_and_the_downloaded_one_last(bare, tmp_path, monkeypatch):
    for place in ("cache/chrome", WINDOWS, MAC, "bin/google-chrome"):  # each comes before those above
        expected = program(tmp_path / place)
        assert chromium.chromium() == expected
    monkeypatch.setenv("CHROMIUM", "mine")
    assert chromium.chromium() == "mine"


def test_the_folder_that_all_users_of_a_mac_share_is_looked_at():
    places = [path.as_posix() for path in chromium.installed()]
    assert any(place.endswith("/Applications/Chromium.app/Contents/MacOS/Chromium") for place in places)
    assert any(place.startswith("/Applications/Google Chrome.app/") for place in places)


def test_chromium_is_not_found_without_playwright(bare, monkeypatch):
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    assert chromium.chromium() is None


# The processor's name


def test_the_processor_of_linux(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    machine.CPUINFO.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n", encoding="utf-8")
    assert machine.processor() == "Some CPU @ 2 GHz"


@pytest.mark.parametrize(("told", "expected"), [("Intel64 Family 6", "Intel64 Family 6"), ("", "aarch64")])
@pytest.mark.parametrize("cpuinfo", ["processor\t: 0\nBogoMIPS\t: 50\n", None], ids=["arm", "none"])
def test_the_processor_where_linux_or_windows_does_not_name_it(cpuinfo, told, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "other")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    if cpuinfo:
        machine.CPUINFO.write_text(cpuinfo, encoding="utf-8")
    monkeypatch.setattr(machine.platform, "processor", lambda: told)
    monkeypatch.setattr(machine.platform, "machine", lambda: "aarch64")
    assert machine.machine()["cpu"] == expected


@needs_sh
def test_the_processor_of_macos(tmp_path, monkeypatch):
    program(tmp_path / "sysctl", 'test "$*" = "-n machdep.cpu.brand_string" && echo "Apple M1"')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert machine.machine()["cpu"] == "Apple M1"


# Notebooks and their time


def test_the_time_of_a_notebook_is_that_of_its_kernel(tmp_path):
    path = tmp_path / "spin.ipynb"
    spin = "import time\nend = time.process_time() + 1.5\nwhile time.process_time() < end:\n    pass"
    nbformat.write(new_notebook(cells=[new_code_cell(spin), new_code_cell("1 + 1")]), path)
    problem, seconds = execute_notebooks.execute(path)
    assert problem == "" and 1.5 <= seconds < 60
    executed = nbformat.read(path, as_version=4)
    assert [cell.source for cell in executed.cells[1:]] == [spin, "1 + 1"], "the question for the time is not kept"
    assert executed.cells[-1].outputs[0].data["text/plain"] == "2"


def test_a_notebook_that_fails_is_not_written(tmp_path):
    path = tmp_path / "fails.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    assert "ZeroDivisionError" in execute_notebooks.execute(path)[0]
    assert path.read_bytes() == before


# Lighthouse


@pytest.mark.parametrize("suffix", ["", ".cmd"])
def test_lighthouse_writes_to_a_file_that_nobody_has_open(suffix, tmp_path, monkeypatch):
    found = {"audits": {"network-requests": {"details": {"items": [{"transferSize": 2600}]}}},
             "categories": {"seo": {"score": 0.97, "auditRefs": []}}}  # fmt: skip

    def run(command, **how):
        assert command[0] == str(tmp_path / "node_modules" / ".bin" / f"lighthouse{suffix}")
        (output,) = (part.partition("=")[2] for part in command if part.startswith("--output-path="))
        assert not Path(output).exists(), "Windows opens no temporary file twice"
        Path(output).write_text(json.dumps(found), encoding="utf-8")
        return subprocess.CompletedProcess(command, 0)

    def which(name, path):
        return str(Path(path) / f"{name}{suffix}")

    monkeypatch.setattr(lighthouse, "ROOT", tmp_path)
    monkeypatch.setattr(lighthouse.shutil, "which", which)
    monkeypatch.setattr(lighthouse.subprocess, "run", run)
    assert lighthouse.report("http://127.0.0.1/", "desktop", ("seo",)) == {"scores": [97], "kB": 3, "amiss": []}


def test_lighthouse_says_when_it_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(lighthouse, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="npm ci"):
        lighthouse.report("http://127.0.0.1/", "desktop", ("seo",))


# TeX


@needs_sh
@pytest.mark.parametrize("lacking", [None, "TeX Gyre Pagella Math", "DejaVu Sans Mono", "xelatex"])
def test_the_fonts_of_the_book_are_those_that_xetex_finds(lacking, tmp_path):
    """There is no fc-list here: MacTeX brings none."""
    for name in ("xelatex", "latexmk", "kpsewhich"):
        if name != lacking:
            program(tmp_path / name)
    program(tmp_path / "xetex", f'case "$*" in *"{lacking}"*) exit 1;; esac')
    program(tmp_path / "id", "echo 1000")
    for name in ("mktemp", "rm"):
        program(tmp_path / name, f'exec {shutil.which(name)} "$@"')
    command = [shutil.which("sh"), ROOT / "tools" / "install_tex.sh"]
    run = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, encoding="utf-8")
    assert run.returncode == (lacking is not None)
    assert ("The PDF needs" in run.stderr) == (lacking is not None)


# Files


@pytest.mark.parametrize("path", sorted(ROOT.glob("tools/*.py")), ids=lambda path: path.stem)
def test_every_text_has_a_stated_encoding(path):
    """Our sources hold μ and σ; without a word Windows would read and write them as cp1252."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("read_text", "write_text"):
            positional = len(node.args) > (node.func.attr == "write_text")
            assert positional or any(keyword.arg == "encoding" for keyword in node.keywords), f"line {node.lineno}"


# Mutants


def test_every_module_that_computes_is_covered_and_its_tests_notice_nearly_every_error():
    """A row that is missing is measured by `make mutants`, and said here; so is one whose module has changed."""
    rows, modules = rows_of(mutants.RECORD), list(mutants.modules())
    assert list(rows) == [name for name in modules if name in rows]
    lacking = [mutants.line(name, rows) for name in rows if mutants.share_killed(rows[name]) < mutants.REQUIRED]
    assert not lacking, lacking
    if missing := [name for name in modules if name not in rows]:
        pytest.skip(f"not measured yet, make mutants does it: {', '.join(missing)}")


def test_modules_are_found_by_themselves_and_have_tests():
    found = mutants.modules()
    assert {"gaussian", "training.loop", "checkpoints", "_validation", "__init__"} <= found.keys()
    assert not {"annealing", "checks.mistakes", "datasets.dataset"} & found.keys()
    assert all(mutants.tests_of(name) for name in found)
    named = {path.stem.removeprefix("test_") for path in mutants.tests_of("checks.claims")}
    assert named == {
        *("checks", "checks_beyond", "checks_blind", "checks_conditional", "checks_correlation"),
        *(
            "checks_density_ratio",
            "checks_filters",
            "checks_diffusion_step",
            "checks_examine",
            "checks_flow",
            "checks_mmd",
        ),
        *("checks_mmd", "checks_power", "checks_priors", "checks_quantizer", "claims"),
    }


NAMES_TWICE = """
import sys, pytest

class Names:
    def pytest_collection_modifyitems(self, items):
        self.names = [item.nodeid for item in items]

once, again = Names(), Names()
assert not pytest.main(sys.argv[1:], plugins=[once]) and not pytest.main(sys.argv[1:], plugins=[again])
assert once.names == again.names
"""


def test_tests_keep_their_names_where_a_process_collects_them_again():
    """mutmut's forks do, and a test that is not found there would count as one that noticed the error."""
    command = [sys.executable, "-c", NAMES_TWICE, "--collect-only", "-q", "tests/package", *mutants.PYTEST]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


DECORATED = """
from contextlib import contextmanager

class Square:
    def __init__(self, side):
        self.side = side

    @property
    def area(self):
        return self.side**2

    @classmethod
    def unit(cls):
        return cls(1)

def doubled(factor=2):
    def decorator(f):
        @contextmanager
        def inner(*args):
            yield factor * f(*args)
        return inner
    return decorator

def negative(f):
    return lambda *args: -f(*args)

@negative
@negative
@negative
def identity(x):
    return x

@doubled(
    factor=3,
)
def area(side):
    return Square(side).area
"""


def test_decorators_are_written_as_calls_and_do_the_same():
    plain = mutants.undecorated(DECORATED)
    assert [line.strip() for line in plain.splitlines() if "@" in line] == ["@classmethod"]  # which mutmut takes
    assert mutants.functions_of(plain) == mutants.functions_of(DECORATED)
    for source in (DECORATED, plain):
        exec(source, names := {})
        assert names["Square"].unit().area == 1 and names["identity"](5) == -5
        with names["area"](2) as area:
            assert area == 12


ORIGINAL = """\
def x_f__mutmut_orig(a, b=1):
    if a < 0:
        raise ValueError("a is negative", a)
    for c in zip(a, b, strict=True):
        c()
    return a + b
"""


def test_a_mutant_is_told_by_its_change_and_one_that_only_rewords_apart():
    changes = [("b=1", "b=2"), ('"a is negative", a', "None"), ("strict=True", "strict=None"), ("a + b", "a - b")]
    changes += [("ValueError", "TypeError"), ("zip(a, b", "zip(a, None")]
    mutated = [ORIGINAL.replace("orig", str(n)).replace(*change) for n, change in enumerate(changes, 1)]
    change, rewording = mutants.read_mutants("".join([ORIGINAL, *mutated]))
    assert rewording == {"x_f__mutmut_2", "x_f__mutmut_3"} and len(change) == len(changes)
    assert change["x_f__mutmut_1"] == "-def x_f__mutmut_orig(a, b=1):\n+def x_f__mutmut_orig(a, b=2):"
    assert change["x_f__mutmut_4"] == "-    return a + b\n+    return a - b"


def test_a_row_is_stale_when_its_module_or_one_of_its_tests_is_another():
    rows = {"schedules": {"sha256": mutants.hashes("schedules")}}
    assert not mutants.stale("schedules", rows) and mutants.stale("history", rows)
    assert list(rows["schedules"]["sha256"]) == ["vae_tutorial/schedules.py", "tests/package/test_schedules.py"]
    for path in rows["schedules"]["sha256"]:
        other = rows["schedules"]["sha256"] | {path: "another"}
        assert mutants.stale("schedules", {"schedules": {"sha256": other}})
