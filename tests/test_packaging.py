"""What installs the package: Pythons, versions, extras, the source distribution and the wheel."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from metadata import CODING, JAX, NEEDED, PROJECT
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
SYSTEMS = ["linux", "darwin", "win32"]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))


def requirements(name: str, python: str = "3.12", system: str = "linux") -> dict[str, str]:
    """The versions that a file of requirements asks for, by name, on a Python and a system."""
    environment = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": system}
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    wanted = [Requirement(line) for line in lines if line and not line.startswith("-")]
    here = [r for r in wanted if r.marker is None or r.marker.evaluate(environment)]
    assert len({r.name for r in here}) == len(here), "one version each"
    return {r.name.lower().replace("_", "-"): str(r.specifier) for r in here}


# Pythons


FAKE = """#!/bin/sh
case "$1" in
--version) echo "Python {version}" ;;
-c) exec "{python}" -c "import sys; sys.version_info = tuple(map(int, '{version}'.split('.'))); $2" ;;
-m) mkdir -p .venv/bin; echo '#!/bin/sh' > .venv/bin/pip; chmod +x .venv/bin/pip
    echo 'echo "$@" > pip-was-asked' | cat .venv/bin/pip - > .venv/bin/python; chmod +x .venv/bin/python ;;
esac
"""


needs_make = pytest.mark.skipif(
    not (shutil.which("make") and os.name == "posix"), reason="no make: the Makefile was NOT tested"
)


@needs_make
@pytest.mark.parametrize("version", ["3.9.18", "3.10.0", "3.12.1", "3.14.2", "3.15.0", "4.0.0"])
def test_make_takes_the_pythons_that_all_pins_have_wheels_for_and_refuses_others_at_once(tmp_path, version):
    for name in ("Makefile", "requirements.txt", "requirements-lock.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    fake = tmp_path / "python"
    fake.write_text(FAKE.format(version=version, python=sys.executable), encoding="utf-8")
    fake.chmod(0o755)
    run = subprocess.run(
        ["make", "--no-print-directory", "install", f"PYTHON={fake}"], cwd=tmp_path, capture_output=True, text=True
    )
    asked = tmp_path / "pip-was-asked"
    if version.rpartition(".")[0] in PYTHONS:
        assert run.returncode == 0, run.stderr
        assert asked.read_text(encoding="utf-8").endswith(" -r requirements.txt\n")
    else:
        assert run.returncode != 0 and not asked.exists() and not (tmp_path / ".venv").exists()
        said = "Python 3.10 to 3.14 is needed; this is Python {}. Name another: make PYTHON=python3.12\n"
        assert run.stdout == said.format(version)


@needs_make
def test_make_clean_leaves_nothing_that_git_ignores(tmp_path):
    for name in ("Makefile", "book/elbo.ipynb", "vae_tutorial/checks/claims.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("benchmarks", "tests", "tools"):
        (tmp_path / name).mkdir()
    kept = {*tmp_path.rglob("*")}
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").replace("*", "vae_tutorial").split()
    for name in ignored:
        (tmp_path / name).mkdir()
    for name in ("__pycache__", ".ipynb_checkpoints"):
        (tmp_path / name).rename(tmp_path / "book" / name)
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert len(ignored) > 8 and {*tmp_path.rglob("*")} == kept


def test_the_pythons_are_the_same_everywhere():
    named = [line.rpartition(" :: ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert named == PYTHONS == WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert f"For Python {PYTHONS[0]} to {PYTHONS[-1]}." in pins


# Versions


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_goes_with_the_pins(python, system):
    pins, lock = (requirements(f"requirements{part}.txt", python, system) for part in ("", "-lock"))
    assert pins.items() <= lock.items(), "make lock"
    assert all(re.fullmatch(r"==[^*,]+", version) for version in lock.values())


def test_the_pins_hold_all_that_the_package_and_its_extras_need():
    extras = PROJECT["optional-dependencies"]
    named = {Requirement(line).name for line in [*PROJECT["dependencies"], *sum(extras.values(), [])]}
    for python in PYTHONS:
        assert named - {"vae_tutorial"} <= requirements("requirements.txt", python).keys()


def test_the_lowest_versions_tested_are_the_bounds_of_the_package():
    lowest = requirements("tests/lowest.txt")
    for need in map(Requirement, NEEDED + JAX + CODING):
        (bound,) = need.specifier
        assert bound.operator == ">="
        assert Version(lowest[need.name].removeprefix("==")) == Version(bound.version), need.name


def test_the_workflow_tests_the_package_alone_on_the_lowest_and_the_newest_versions():
    for job in ("lowest", "newest"):
        install, test = (step["run"] for step in WORKFLOW["jobs"][job]["steps"] if "run" in step)
        assert '".[chapters,coding,jax]" pytest' in install and test.endswith(" vae_tutorial tests/package")
        assert ("--constraint tests/lowest.txt" in install) == (job == "lowest")


# Extras

CHAPTERS = [Requirement(line).name for line in PROJECT["optional-dependencies"]["chapters"]]
REMEDY = 'is not installed; it comes with the extra "chapters": pip install "vae_tutorial[chapters]"'


def without(*modules: str, code: str) -> subprocess.CompletedProcess:
    """Run code in a Python that has not these modules."""
    # PyTorch itself takes tqdm where it is there, so that it must be loaded before.
    block = f"import sys, torch; sys.path[:0] = {[str(ROOT), str(ROOT / 'tests')]}\n"
    block += f"for m in [m for m in sys.modules if m.partition('.')[0] in {modules}]: del sys.modules[m]\n"
    block += f"sys.modules.update(dict.fromkeys({modules}))\n"
    return subprocess.run([sys.executable, "-c", block + code], capture_output=True, encoding="utf-8")


def test_a_grader_needs_pytorch_and_numpy_only():
    assert [Requirement(line).name for line in PROJECT["dependencies"]] == ["torch", "numpy"]
    code = (
        "from vae_tutorial import architectures, bounds, checks, datasets, gaussian, priors, reference, schedules\n"
        "assert checks.check_kl(gaussian.kl_standard_normal)\n"
        "print(len(datasets.digits().x_train))"
    )
    run = without(*CHAPTERS, code=code)
    assert (run.stdout, run.stderr) == ("1437\n", "")


@pytest.mark.parametrize("module, library", [
    ("training", "tqdm"),
    ("evaluation", "tqdm"),
    ("checkpoints", "safetensors"),
    ("plotting", "matplotlib"),
])  # fmt: skip
def test_what_else_is_missing_is_named_with_the_remedy(module, library):
    run = without(library, code=f"import vae_tutorial.{module}")
    error, remedy = run.stderr.splitlines()[-1].split(" ", 1)
    assert error == "ModuleNotFoundError:" and re.fullmatch(rf"{library}[.\w]* {re.escape(REMEDY)}", remedy)


def test_a_download_without_its_library_is_refused_with_the_remedy():
    for library in ("pooch", "tqdm"):
        code = "import os; os.environ.pop('VAE_TUTORIAL_DATA', None)\nfrom vae_tutorial import datasets\n"
        run = without(library, code=code + "datasets.mnist()")
        assert run.stderr.splitlines()[-1] == f"ModuleNotFoundError: {library} {REMEDY}"


def test_the_tests_of_the_package_need_no_tool_of_the_book():
    """pytest with nothing but what the workflow installs, collecting them: an import of anything else is an error."""
    tools = ("bs4", "filelock", "jupyter_book", "nbformat", "nbval", "playwright", "xdist", "yaml")
    code = "import os, pytest; os.environ['PYTEST_DISABLE_PLUGIN_AUTOLOAD'] = '1'\n"
    code += f"os.chdir({str(ROOT)!r})\n"
    code += "sys.exit(pytest.main(['-q', '--collect-only', '-o', 'addopts=', 'tests/package']))"
    run = without(*tools, code=code)
    assert run.returncode == 0, run.stdout


# What is built


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of a source distribution and of a wheel made from it; nothing is written into the repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("no repository: the distributions were NOT built")
    folder = tmp_path_factory.mktemp("built")
    for name in tracked():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    build("sdist", folder / "source", folder)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else file.extractall(folder)
    build("wheel", folder / archive.name.removesuffix(".tar.gz"), folder)
    return folder


def tracked() -> list[str]:
    """The files that git knows, and those it would take."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, encoding="utf-8"
    )
    return sorted(name for name in {*listed.split("\0")} - {""} if (ROOT / name).is_file())


def build(kind: str, source: Path, target: Path) -> None:
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(target)!r})"
    compiling = {name: v for name, v in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # not to is a warning
    run = subprocess.run([sys.executable, "-c", code], cwd=source, env=compiling, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert not re.search("warning", run.stdout + run.stderr, flags=re.IGNORECASE), run.stdout + run.stderr


def test_the_source_distribution_is_the_repository(built):
    (folder,) = (path for path in built.glob("vae_tutorial-*") if path.is_dir())
    inside = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {*tracked()} - inside == set(), "MANIFEST.in"
    written = {name for name in inside - {*tracked()} if not name.startswith("vae_tutorial.egg-info/")}
    assert written <= {"PKG-INFO", "setup.cfg"} | {name for name in written if name.startswith("build/")}


def test_the_wheel_is_the_package(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        inside = {name for name in file.namelist() if ".dist-info/" not in name}
        metadata = file.read(next(name for name in file.namelist() if name.endswith("/METADATA"))).decode()
    assert inside == {name for name in tracked() if name.startswith("vae_tutorial/")}
    assert "vae_tutorial/data/digits.npz" in inside and "vae_tutorial/py.typed" in inside
    assert re.findall("^Requires-Dist: ([^;\n]*)$", metadata, flags=re.MULTILINE) == PROJECT["dependencies"]
    assert ("Project-URL" in metadata) == ("urls" in PROJECT)
