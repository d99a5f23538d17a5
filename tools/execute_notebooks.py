"""Execute notebooks in place, top to bottom, each in a fresh kernel, and write them clean.

    python tools/execute_notebooks.py [notebook ...]        (all of book/ when none is named)

Two runs write the same bytes: times and versions of the machine are dropped, cell ids stay. A notebook whose cell
raises (unless tagged raises-exception) or writes to standard error is not written, and the exit status is 1.
"""

import os
import sys
from pathlib import Path

import nbformat
from first_cell import put_first
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

BOOK = Path(__file__).resolve().parents[1] / "book"
ONE_THREAD = dict.fromkeys(["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"], "1")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def execute(path: Path) -> str:
    """Execute one notebook and write it; return what is wrong with it, "" when nothing is."""
    notebook = put_first(nbformat.read(path, as_version=4))
    notebook.metadata["kernelspec"] = KERNEL
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
        return str(error)
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                return f"cell {number} writes to standard error:\n{output.text}"
    nbformat.write(clean(notebook), path)
    return ""


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


def main() -> int:
    paths = [Path(argument) for argument in sys.argv[1:]] or sorted(BOOK.glob("*.ipynb"))
    failed = False
    for path in paths:
        problem = execute(path)
        print(f"{path.name}: {problem or 'executed'}", flush=True)
        failed |= bool(problem)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
