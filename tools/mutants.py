"""Break the package in every small way that mutmut knows, and count what the tests do not notice.

    python tools/mutants.py                       # what the record lacks, or what changed since; hours for all
    python tools/mutants.py schedules history     # these
    python tools/mutants.py --workers 1 training.loop

Every module that holds a function is covered, by the tests named after it or after its folder: vae_tutorial/a/b.py by
tests/package/test_a*.py and test_b*.py. Each has its row in the record, benchmarks/results/mutants.json, with the
hashes of its source and of these tests: where one is another now, the row is stale and measured again. 95 % of a
module's mutants must be killed, or the exit status is 1; _build/mutants/MODULE/survivors.diff lists the survivors.

A mutant that only rewords is set aside: it equals the original once the arguments of raised exceptions, and all
strings that hold a space, are blanked; and so is one without the strict=True of a zip, which is an assertion. mutmut
leaves decorated functions alone, so `f = decorator(f)` is written below each first. It leaves alone what stands outside
functions, and the record names the functions, if any, in which it found nothing to change.

mutmut runs the tests in forks of a process that has run them once, where what is built at import or kept in a cache
stays whole. What they let live is therefore tried again in a fresh process; so is what took too long, which is killed
if that takes five times as long as it should.
"""

import argparse
import ast
import difflib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "benchmarks"))
from recording import provenance, rows_of, store  # noqa: E402

RECORD = ROOT / "benchmarks" / "results" / "mutants.json"
MUTANTS = ROOT / "_build" / "mutants"
REQUIRED = 0.95
FAILED, SKIPPED = (1, 3), 34  # mutmut's codes
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}
# Tables of mistakes, whose test that tells each from all others takes minutes; and what runs JAX, whose threads do not
# survive the forks: its tests plant their mistakes by hand. What grades runs in processes of its own, where mutmut does
# not see it, and a broken wall would let an attack of its tests out.
NOT_COVERED = ("checks.mistakes", "checks.jax_functions", "grade")
PYTEST = [
    # No notebooks and no doctests; and neither the slow test of the table of known mistakes nor that of all symbols in
    # the source, to which mutmut adds its own.
    *("-o", "addopts=", "-p", "no:cacheprovider", "-k", "not told_from_all_others and not every_symbol"),
    # Collected again in a fork, a name such as test[log 2π] would be escaped twice and not found: a kill by mistake.
    *("-o", "disable_test_id_escaping_and_forfeit_all_rights_to_community_support=true"),
]
SETTINGS = {
    "source_paths": ["vae_tutorial"],
    # The numbers at which a check calls the learner's function: no error where they are others.
    "do_not_mutate_patterns": [r"\bvalues\(.*seed="],
    "timeout_multiplier": 3.0,  # what takes longer is tried again
    "timeout_constant": 10.0,
    "pytest_add_cli_args": PYTEST,
}
# Beside those named after the module or its folder.
TESTS = {"__init__": ["surface"], "formulas": ["gaussian"], "models": ["validation"], "posteriors": ["priors"]}
WRITE_MUTANTS = """
from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants

copy_src_dir()
copy_also_copy_files()
create_mutants(1)
"""


QUICK_FIRST = """
import json
from pathlib import Path

import pytest

MEASURED = Path(__file__).with_name("mutmut-stats.json")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    seconds = json.loads(MEASURED.read_text())["duration_by_test"] if MEASURED.exists() else {}
    items.sort(key=lambda item: (item.path, seconds.get(item.nodeid, 0)))
"""


# Which modules, and which tests


def functions_of(source: str) -> list[str]:
    """The functions and methods of a module, as mutmut names them."""
    names = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            names.append(f"x_{node.name}")
        elif isinstance(node, ast.ClassDef):
            names += [f"xǁ{node.name}ǁ{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)]
    return names


def modules() -> dict[str, Path]:
    """Every module that computes something, by its name within the package; the package itself is __init__."""
    found = {}
    for path in sorted((ROOT / "vae_tutorial").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / "vae_tutorial").with_suffix("").parts).removesuffix(".__init__")
        if functions_of(path.read_text(encoding="utf-8")):
            found[name] = path
    return {name: path for name, path in found.items() if not name.startswith(NOT_COVERED)}


def tests_of(module: str) -> list[Path]:
    stems = [part.strip("_") for part in module.split(".")] + TESTS.get(module, [])
    return sorted({path for stem in stems for path in (ROOT / "tests" / "package").glob(f"test_{stem}*.py")})


def hashes(module: str) -> dict[str, str]:
    """What a module's row depends on: its source and its tests."""
    paths = [modules()[module], *tests_of(module)]
    return {path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in paths}


def stale(module: str, rows: dict[str, dict]) -> bool:
    return rows.get(module, {}).get("sha256") != hashes(module)


# One module


def undecorated(source: str) -> str:
    """The same module with `f = decorator(f)` below a function in place of `@decorator` above it."""
    while True:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and node.decorator_list:
                decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
                if decorators not in (["staticmethod"], ["classmethod"]):  # which mutmut knows
                    break
        else:
            return source
        lines = source.splitlines()
        wrapped = "(".join([*decorators, node.name]) + ")" * len(decorators)
        lines.insert(node.end_lineno, f"{' ' * node.col_offset}{node.name} = {wrapped}")
        del lines[node.decorator_list[0].lineno - 1 : node.lineno - 1]
        source = "\n".join(lines) + "\n"


class Blanked(ast.NodeTransformer):
    """Code without its wording."""

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        if isinstance(node.exc, ast.Call):
            node.exc.args = node.exc.keywords = []
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "zip":  # whose strict=True is an assertion
            node.keywords = []
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("") if isinstance(node.value, str) and " " in node.value else node


def read_mutants(source: str) -> tuple[dict[str, str], set[str]]:
    """The change that each mutant in a mutated module makes, and the mutants that only reword."""
    functions = {node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    rows = source.splitlines()
    lines = {name: rows[node.lineno - 1 : node.end_lineno] for name, node in functions.items()}
    code = {name: [ast.dump(Blanked().visit(n)) for n in (node.args, *node.body)] for name, node in functions.items()}
    change, rewording = {}, set()
    for name in functions:
        stem, _, number = name.rpartition("__mutmut_")
        if number.isdigit():
            original = f"{stem}__mutmut_orig"
            renamed = [lines[name][0].replace(name, original), *lines[name][1:]]
            diff = difflib.unified_diff(lines[original], renamed, n=0, lineterm="")
            change[name] = "\n".join(line for line in diff if not line.startswith(("---", "+++", "@@")))
            if code[name] == code[original]:
                rewording.add(name)
    return change, rewording


class Bench:
    """A copy of the package and its tests in which one module is broken."""

    def __init__(self, module: str, workers: int) -> None:
        self.module, self.workers = module, workers
        self.source = modules()[module]
        self.folder = MUTANTS / module
        self.copy = self.folder / "mutants"  # where mutmut runs the tests
        self.tests = [path.relative_to(ROOT).as_posix() for path in tests_of(module)]
        self.mutated = self.copy / self.source.relative_to(ROOT)

    def prepare(self) -> None:
        """Start anew, unless what is there comes from the same source and tests."""
        came_from = self.folder / "came_from.json"
        if came_from.exists() and json.loads(came_from.read_text(encoding="utf-8")) == hashes(self.module):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        unbuilt = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "vae_tutorial", self.folder / "vae_tutorial", ignore=unbuilt)
        text = undecorated(self.source.read_text(encoding="utf-8"))
        (self.folder / self.source.relative_to(ROOT)).write_text(text, encoding="utf-8")
        for needed in ("tests", "tools"):
            shutil.copytree(ROOT / needed, self.copy / needed, ignore=unbuilt)
        (self.copy / "conftest.py").write_text(QUICK_FIRST, encoding="utf-8")
        (self.copy / "book").mkdir()
        for needed in ("running_times.json", "troubleshooting.ipynb"):
            shutil.copy(ROOT / "book" / needed, self.copy / "book")
        own = {"only_mutate": [self.source.relative_to(ROOT).as_posix()]}
        own["pytest_add_cli_args_test_selection"] = self.tests
        settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in (SETTINGS | own).items())
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        (self.folder / "pyproject.toml").write_text(f"{project}\n[tool.mutmut]\n{settings}", encoding="utf-8")
        subprocess.run([sys.executable, "-c", WRITE_MUTANTS], cwd=self.folder, stdout=subprocess.DEVNULL, check=True)
        meta = self.meta()
        for name in self.rewording():
            meta["exit_code_by_key"][name] = SKIPPED
        self.meta_file().write_text(json.dumps(meta), encoding="utf-8")
        came_from.write_text(json.dumps(hashes(self.module)), encoding="utf-8")

    def meta_file(self) -> Path:
        return self.mutated.with_name(self.mutated.name + ".meta")

    def meta(self) -> dict:
        """What mutmut knows of the module's mutants."""
        return json.loads(self.meta_file().read_text(encoding="utf-8"))

    def mutmut(self) -> None:
        """Test all mutants that are not decided."""
        command = [Path(sys.executable).with_name("mutmut"), "run", f"--max-children={self.workers}"]
        log = self.folder / "mutmut.log"
        with log.open("w", encoding="utf-8") as said:
            done = subprocess.run(command, cwd=self.folder, env=ONE_THREAD, stdout=said, stderr=said)
        if done.returncode:
            sys.exit(f"{self.module}: mutmut stopped, as it does where a test fails on the code as it is; see {log}")

    def python(self, mutant: str, *command: str, limit: float | None = None) -> subprocess.CompletedProcess[str]:
        """A fresh process that imports the mutated package, with one mutant switched on."""
        environment = ONE_THREAD | {"PYTHONPATH": str(self.copy), "MUTANT_UNDER_TEST": mutant}
        command = [sys.executable, *command]
        return subprocess.run(command, cwd=self.copy, env=environment, capture_output=True, text=True, timeout=limit)

    def short(self, mutant: str) -> str:
        """The name of a mutant within its module."""
        return mutant.rpartition(".")[2]

    def rewording(self) -> list[str]:
        _, rewording = read_mutants(self.mutated.read_text(encoding="utf-8"))
        return [name for name in self.meta()["exit_code_by_key"] if self.short(name) in rewording]

    def alive(self, mutants: list[str]) -> list[str]:
        """Which of these the module's tests let live in a fresh process."""
        if not mutants:
            return []
        call = ["-m", "pytest", "-x", "-q", *self.tests, *PYTEST]
        began = time.monotonic()
        whole = self.python("", *call)
        if whole.returncode:
            raise RuntimeError(f"the tests fail on the code as it is:\n{whole.stdout}{whole.stderr}")
        limit = 30 + 5 * (time.monotonic() - began)

        def passes(mutant: str) -> bool:
            try:
                return self.python(mutant, *call, limit=limit).returncode == 0
            except subprocess.TimeoutExpired:
                return False

        with ThreadPoolExecutor(self.workers) as pool:
            return [mutant for mutant, lives in zip(mutants, pool.map(passes, mutants), strict=True) if lives]

    def measure(self) -> dict:
        """The module's row."""
        before, began = hashes(self.module), time.monotonic()
        self.prepare()
        self.mutmut()
        codes, aside = self.meta()["exit_code_by_key"], set(self.rewording())
        survivors = self.alive([name for name, code in codes.items() if code not in FAILED and name not in aside])
        change, _ = read_mutants(self.mutated.read_text(encoding="utf-8"))
        listed = "\n".join(f"# {name}\n{change[self.short(name)]}\n" for name in survivors)
        (self.folder / "survivors.diff").write_text(listed, encoding="utf-8")
        touched = {self.short(name).rpartition("__mutmut_")[0] for name in codes}
        functions = functions_of(self.source.read_text(encoding="utf-8"))
        return {
            "mutants": len(codes),
            "only reword": len(aside),
            "survive": len(survivors),
            "nothing to change in": [
                name.strip("x_").strip("ǁ").replace("ǁ", ".") for name in functions if name not in touched
            ],
            "seconds": round(time.monotonic() - began),
            "sha256": before,
        }


# All of them


def share_killed(row: dict) -> float:
    return 1 - row["survive"] / max(row["mutants"] - row["only reword"], 1)


def line(module: str, rows: dict[str, dict]) -> str:
    """A module's row for a person."""
    if module not in rows:
        return f"{module:26}  not measured"
    row = rows[module]
    counts = f"{row['mutants']:9}{row['only reword']:13}{row['survive']:9}{share_killed(row):14.1%}"
    return f"{module:26}{counts}{'  changed since' if stale(module, rows) else ''}"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("modules", nargs="*", help="such as training.loop; else all whose row is missing or stale")
    options.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = options.parse_args()
    if unknown := set(given.modules) - set(modules()):
        options.error(f"no such module: {', '.join(sorted(unknown))}; there are {', '.join(modules())}")
    code, rows = provenance(), rows_of(RECORD)
    code["commit"] = code["commit"].removesuffix("-dirty")  # the hashes say whether it holds what was measured
    print(f"{'module':26}{'mutants':>9}{'only reword':>13}{'survive':>9}{'share killed':>14}")
    for module in given.modules or modules():
        if given.modules or stale(module, rows):
            store(RECORD, module, Bench(module, given.workers).measure() | code, modules())
            rows = rows_of(RECORD)
        print(line(module, rows), flush=True)
    return int(any(share_killed(rows[module]) < REQUIRED for module in given.modules or modules()))


if __name__ == "__main__":
    sys.exit(main())
