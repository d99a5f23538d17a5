"""Run the unit tests and every notebook under each set of kernels, and record how they ended.

    python tools/portable.py                          # all of it, an hour
    python tools/portable.py "AVX2: notebooks"        # these rows

What fails under one set of kernels fails on some reader's machine. Each row of the record,
benchmarks/results/portable.json, is that of its last run.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import numpy as np
from kernel_sets import kernel_sets

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "benchmarks" / "results" / "portable.json"
sys.path.append(str(ROOT / "benchmarks"))
from recording import provenance, store  # noqa: E402

SUITES = {"unit tests": ["vae_tutorial", "tests/package"], "notebooks": ["book"]}
ROWS = {f"{name}: {suite}": (name, suite) for suite in SUITES for name in kernel_sets()}
del ROWS["NumPy 1 printing: unit tests"]  # only a notebook's kernel prints so


def run(name: str, suite: str) -> dict:
    """Run a suite under a set of kernels; what became of it, failures by name."""
    variables = os.environ | kernel_sets()[name] | {"KERNEL_SET": name}
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", f"--junitxml={report}"]
        began = time.monotonic()
        done = subprocess.run(
            [*command, *SUITES[suite]], cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        seconds = round(time.monotonic() - began)
        if not report.exists():
            raise RuntimeError(f"{suite} under {name} did not run:\n{done.stdout}")
        return summary(ElementTree.parse(report).getroot(), done.stdout) | {"seconds": seconds}


def summary(report: ElementTree.Element, said: str) -> dict:
    """Counts of a JUnit report, the names of what failed, and the verdicts read, if any were."""
    suites = list(report.iter("testsuite"))
    count = {key: sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "skipped")}
    failed = [case for case in report.iter("testcase") if {"failure", "error"} & {child.tag for child in case}]
    verdicts = re.search(r"Verdicts read: (\d+)", said)
    return {
        "passed": count["tests"] - count["skipped"] - len(failed),
        "skipped": count["skipped"],
        "failed": [f"{case.get('classname')}::{case.get('name')}" for case in failed],
        "verdicts": int(verdicts[1]) if verdicts else None,
    }


def line(row: str, result: dict) -> str:
    """One line for a person, and one for each failure."""
    verdicts = f", {result['verdicts']} verdicts read" if result["verdicts"] else ""
    failed = "".join(f"\n    {name}" for name in result["failed"])
    return (
        f"{row:30s} {result['passed']} passed, {len(result['failed'])} failed, "
        f"{result['skipped']} skipped{verdicts}, {result['seconds']} s{failed}"
    )


def main() -> int:
    failed, code = False, provenance()  # before the record is changed
    for row in sys.argv[1:] or ROWS:
        result = run(*ROWS[row])
        print(line(row, result), flush=True)
        store(RECORD, row, result | {"numpy": np.__version__} | code, ROWS)
        failed |= bool(result["failed"])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
