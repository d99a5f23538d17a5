"""Execute notebooks in place, top to bottom, each in a fresh kernel, and write them clean.

    python tools/execute_notebooks.py [notebook ...]        (all of book/ when none is named)

Two runs write the same bytes: times and versions of the machine are dropped, cell ids stay. A notebook whose cell
raises (unless tagged raises-exception) or writes to standard error is not written, and the exit status is 1. The first
cell, which gets the package where it is missing, is put there if it is not there yet.

How long a notebook takes is kept in book/running_times.json, from which the book shows it: the processor time of its
kernel in seconds, which a busy machine does not change much. A time that is about what it was stays as it is.
"""

import json
import os
import sys
from pathlib import Path

import nbformat
from first_cell import put_first
from kernel_sets import ONE_THREAD
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell

BOOK = Path(__file__).resolve().parents[1] / "book"
TIMES = BOOK / "running_times.json"
# Seconds that the kernel has used, and the processes which it started and which have ended.
PROCESSOR_TIME = 'sum(__import__("os").times()[:4])'
sys.path.append(str(BOOK.parent / "benchmarks"))
from machine import machine  # noqa: E402

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def execute(path: Path) -> tuple[str, float]:
    """Execute one notebook and write it; return what is wrong with it, "" when nothing is, and the time it took."""
    notebook = put_first(nbformat.read(path, as_version=4), path.stem)
    notebook.metadata["kernelspec"] = KERNEL
    notebook.cells.append(new_code_cell(PROCESSOR_TIME))
    # The kernel speaks on the loopback only, but would warn each time that this is not encrypted.
    quiet = ["--IPKernelApp.log_level=ERROR"]
    client = NotebookClient(
        notebook,
        timeout=3600,
        coalesce_streams=True,
        extra_arguments=quiet,
        resources={"metadata": {"path": str(BOOK)}},
    )
    try:
        client.execute(env=os.environ | ONE_THREAD)
    except CellExecutionError as error:
        return str(error), 0.0
    seconds = float(notebook.cells.pop().outputs[0].data["text/plain"])
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                return f"cell {number} writes to standard error:\n{output.text}", seconds
    nbformat.write(clean(notebook), path)
    return "", seconds


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs between machines and moments."""
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}} | {
        key: value for key, value in notebook.metadata.items() if key not in ("kernelspec", "language_info", "widgets")
    }
    for cell in notebook.cells:
        for key in ("execution", "collapsed", "scrolled"):
            cell.metadata.pop(key, None)
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = {}
    return notebook


def keep_time(name: str, seconds: float) -> None:
    """Keep the time of a notebook, unless it is the known one within a quarter, or a second, on the same processor."""
    times = json.loads(TIMES.read_text(encoding="utf-8")) if TIMES.exists() else {}
    new, old = {"seconds": max(1, round(seconds)), "processor": machine()["cpu"]}, times.get(name)
    if not old or old["processor"] != new["processor"] or abs(seconds - old["seconds"]) > max(1, old["seconds"] / 4):
        text = json.dumps(times | {name: new}, indent=1, sort_keys=True, ensure_ascii=False)
        TIMES.write_text(text + "\n", encoding="utf-8")


def main() -> int:
    paths = [Path(argument) for argument in sys.argv[1:]] or sorted(BOOK.glob("*.ipynb"))
    failed = False
    for path in paths:
        problem, seconds = execute(path)
        if not problem and path.resolve().parent == BOOK:
            keep_time(path.stem, seconds)
        print(f"{path.name}: {problem or 'executed'}", flush=True)
        failed |= bool(problem)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
