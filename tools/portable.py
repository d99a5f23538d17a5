"""Run the unit tests and every notebook under each set of kernels, and record how they ended.

    python tools/portable.py [set ...]        (all sets of tools/kernel_sets.py when none is named)

What fails under one set of kernels fails on some reader's machine. The record, benchmarks/results/portable.json, is
written anew when all sets were run.
"""

import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import numpy as np
import torch
from kernel_sets import kernel_sets

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "benchmarks" / "results" / "portable.json"
sys.path.append(str(ROOT / "benchmarks"))
from machine import machine  # noqa: E402

SUITES = {"unit tests": ["vae_tutorial", "tests/package"], "notebooks": ["book"]}


def run(name: str, environment: dict[str, str], suite: str) -> dict:
    """Run a suite under a set of kernels; what became of it, failures by name."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", f"--junitxml={report}"]
        began = time.monotonic()
        done = subprocess.run(
            [*command, *SUITES[suite]], cwd=ROOT, env=os.environ | environment | {"KERNEL_SET": name},
            stdout=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
        seconds = time.monotonic() - began
        if not report.exists():
            raise RuntimeError(f"{suite} under {name} did not run:\n{done.stdout}")
        return summary(ElementTree.parse(report).getroot(), done.stdout) | {"seconds": round(seconds)}


def summary(report: ElementTree.Element, said: str) -> dict:
    """Counts of a JUnit report, the names of what failed, and the verdicts read, if any were."""
    suites = list(report.iter("testsuite"))
    count = {key: sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "skipped")}
    cases = [
        case for case in report.iter("testcase") if case.find("failure") is not None or case.find("error") is not None
    ]
    verdicts = re.search(r"Verdicts read: (\d+)", said)
    return {
        "passed": count["tests"] - count["skipped"] - len(cases),
        "skipped": count["skipped"],
        "failed": [f"{case.get('classname')}::{case.get('name')}" for case in cases],
        "verdicts": int(verdicts[1]) if verdicts else None,
    }


def main() -> int:
    sets = kernel_sets()
    names = sys.argv[1:] or list(sets)
    rows = []
    for name in names:
        for suite in SUITES:
            rows.append({"kernels": name, "suite": suite} | run(name, sets[name], suite))
            print(row(rows[-1]), flush=True)
    if names == list(sets):
        versions = {"torch": torch.__version__, "numpy": np.__version__, "system": platform.platform()}
        record = {"machine": machine() | versions, "sets": sets, "runs": rows}
        text = json.dumps(record, indent=1, ensure_ascii=False)
        RECORD.write_text(text.replace(str(ROOT) + os.sep, "") + "\n", encoding="utf-8")
    return int(any(row["failed"] for row in rows))


def row(result: dict) -> str:
    """One line for a person."""
    verdicts = f", {result['verdicts']} verdicts read" if result["verdicts"] else ""
    failed = "".join(f"\n    {name}" for name in result["failed"])
    return (
        f"{result['kernels']:18s} {result['suite']:12s} {result['passed']} passed, {len(result['failed'])} failed, "
        f"{result['skipped']} skipped{verdicts}, {result['seconds']} s{failed}"
    )


if __name__ == "__main__":
    sys.exit(main())
