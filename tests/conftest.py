"""For every test: one thread, as in the stored notebooks, unless a set of kernels was chosen for the whole run.

What could not be tested for want of a program, a skip whose reason says "NOT", is said loudly at the end.
"""

import json
import os
from pathlib import Path

from kernel_sets import ONE_THREAD

NOTEBOOKS = json.loads((Path(__file__).parents[1] / "book" / "running_times.json").read_text(encoding="utf-8"))
# What the longest files of tests take on a quiet core, roughly: for the order only.
SECONDS = {"test_book.py": 400, "test_explorers.py": 180, "test_pdf.py": 180, "test_previews.py": 100}
SECONDS |= {"test_checks.py": 60, "test_print.py": 60, "test_reading_time.py": 40, "test_diagnosis.py": 40}
SECONDS |= {"test_explorer_logic.py": 35, "test_jax_vae.py": 35, "test_grade.py": 35, "test_distributed.py": 30}
SECONDS |= {"test_api.py": 30, "test_pages.py": 25, "test_examples.py": 25, "test_checks_blind.py": 25}

if "KERNEL_SET" not in os.environ:
    os.environ.update(ONE_THREAD)


def pytest_collection_modifyitems(items):
    """The longest files first, so that no worker has to wait for another at the end."""
    items.sort(key=lambda item: -seconds(item.path))  # stable: the tests of a file stay in order


def seconds(path: Path) -> float:
    if path.suffix == ".ipynb":
        return NOTEBOOKS.get(path.stem, {"seconds": 60})["seconds"]  # one that is new may be long
    return SECONDS.get(path.name, 5)


def pytest_terminal_summary(terminalreporter):
    skipped = {str(report.longrepr[-1]) for report in terminalreporter.getreports("skipped") if report.longrepr}
    if loud := sorted(reason.removeprefix("Skipped: ") for reason in skipped if " NOT " in reason):
        terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
        for reason in loud:
            terminalreporter.line(reason, red=True, bold=True)
