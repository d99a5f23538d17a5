"""Break the package's foundations in every small way that mutmut knows, and count what no test notices.

    python tools/mutants.py

A mutant that only rewords is set aside: it equals the original once the arguments of raised exceptions, and all
strings that hold a space, are blanked. Of the others, 95 % must be killed in every module, or the exit status is 1;
the survivors are listed in mutants/survivors.diff. mutmut leaves alone what stands outside functions and, so not in
the count, functions under a decorator, properties among them.

mutmut runs the tests in forks of a process that has imported them, where what is built at import (a likelihood in a
table, a model) stays whole. Survivors in functions called at import are therefore tried again in a fresh process.
"""

import ast
import difflib
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutmut.configuration import config

ROOT = Path(__file__).resolve().parents[1]
MUTANTS = ROOT / "mutants"
REQUIRED = 0.95
FAILED, SKIPPED = (1, 3), 34  # mutmut's codes. A timeout is no kill: on a busy machine it may only be slow
WORKERS = os.cpu_count() or 1
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}
COLLECT = """
import sys, pytest
from mutmut.state import state

class Names:
    def pytest_collection_modifyitems(self, items):
        self.names = [item.nodeid for item in items]

once, again = Names(), Names()
code = pytest.main(sys.argv[1:], plugins=[once]) or pytest.main(sys.argv[1:], plugins=[again])
assert once.names == again.names, "in a fork these tests have other names: not found, they would count as failed"
print("called:", *state()._stats)
sys.exit(code)
"""
TESTS = {"_noise": "gaussian", "_diagnosis": "checks", "_precision": "checks"}  # else its own name


class Blanked(ast.NodeTransformer):
    """Code without its wording."""

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        if isinstance(node.exc, ast.Call):
            node.exc.args = node.exc.keywords = []
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("") if isinstance(node.value, str) and " " in node.value else node


def read_mutants(path: Path) -> tuple[dict[str, str], set[str]]:
    """The change that each mutant in a module makes, and the mutants that only reword."""
    source = path.read_text(encoding="utf-8")
    functions = {node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    rows = source.splitlines()
    lines = {name: rows[node.lineno - 1 : node.end_lineno] for name, node in functions.items()}
    code = {name: [ast.dump(Blanked().visit(n)) for n in (node.args, *node.body)] for name, node in functions.items()}
    change, rewording = {}, set()
    for name in functions:
        stem, _, number = name.rpartition("__mutmut_")
        if number.isdigit():
            original = f"{stem}__mutmut_orig"
            diff = difflib.unified_diff(lines[original], [lines[original][0], *lines[name][1:]], n=0, lineterm="")
            change[name] = "\n".join(line for line in diff if not line.startswith(("---", "+++", "@@")))
            if code[name] == code[original]:
                rewording.add(name)
    return change, rewording


def mutmut(*names: str) -> None:
    """Test the mutants of these names; without any, all that are not decided."""
    command = [Path(sys.executable).with_name("mutmut"), "run", f"--max-children={WORKERS}", *names]
    subprocess.run(command, env=ONE_THREAD, check=True)


def metas() -> dict[Path, dict]:
    """What mutmut knows of each module's mutants."""
    return {path: json.loads(path.read_text(encoding="utf-8")) for path in sorted(MUTANTS.glob("vae_tutorial/*.meta"))}


def python(mutant: str, *command: str) -> subprocess.CompletedProcess[str]:
    """A fresh process that imports the mutated package, with one mutant switched on."""
    environment = ONE_THREAD | {"PYTHONPATH": str(MUTANTS), "MUTANT_UNDER_TEST": mutant}
    return subprocess.run([sys.executable, *command], cwd=MUTANTS, env=environment, capture_output=True, text=True)


def called_at_import() -> set[str]:
    """The functions that run while the tests are imported."""
    tests = config().pytest_add_cli_args_test_selection
    done = python("stats", "-c", COLLECT, "--collect-only", "-q", *tests, *config().pytest_add_cli_args)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return set(done.stdout.rpartition("called:")[2].split())


def survives(mutant: str) -> bool:
    """Whether the tests of the mutant's module pass in a fresh process."""
    module = mutant.split(".")[1]
    tests = MUTANTS.glob(f"tests/package/test_{TESTS.get(module, module.strip('_'))}*.py")
    return python(mutant, "-m", "pytest", "-x", *map(str, tests), *config().pytest_add_cli_args).returncode == 0


def main() -> int:
    os.chdir(ROOT)
    shutil.rmtree(MUTANTS, ignore_errors=True)
    mutmut("*.x_draw__mutmut_1")  # one, to have them written
    change = {}
    for path, meta in metas().items():
        changes, rewording = read_mutants(path.with_suffix(""))
        for name in meta["exit_code_by_key"]:
            change[name] = changes[name.rpartition(".")[2]]
            if name.rpartition(".")[2] in rewording:
                meta["exit_code_by_key"][name] = SKIPPED
        path.write_text(json.dumps(meta), encoding="utf-8")
    mutmut()

    at_import = called_at_import()
    rows, survivors = [], []
    for path, meta in metas().items():
        codes = meta["exit_code_by_key"]
        unnoticed = [name for name, code in codes.items() if code not in (*FAILED, SKIPPED)]
        again = [name for name in unnoticed if name.partition("__mutmut_")[0] in at_import]
        with ThreadPoolExecutor(WORKERS) as pool:
            killed = {name for name, alive in zip(again, pool.map(survives, again), strict=True) if not alive}
        alive = [name for name in unnoticed if name not in killed]
        survivors += alive
        rows.append([path.name.removesuffix(".py.meta"), len(codes), list(codes.values()).count(SKIPPED), len(alive)])
    rows.append(["together", *map(sum, zip(*(row[1:] for row in rows), strict=True))])

    listed = MUTANTS / "survivors.diff"
    listed.write_text("\n".join(f"# {name}\n{change[name]}\n" for name in survivors), encoding="utf-8")
    print(f"\n{'module':14}{'mutants':>9}{'only reword':>13}{'killed':>8}{'survive':>9}{'share killed':>14}")
    shares = []
    for module, mutants, reword, survive in rows:
        killed = mutants - reword - survive
        shares.append(killed / (mutants - reword))
        print(f"{module:14}{mutants:9}{reword:13}{killed:8}{survive:9}{shares[-1]:14.1%}")
    print(f"The survivors: {listed}")
    return int(min(shares) < REQUIRED)


if __name__ == "__main__":
    sys.exit(main())
