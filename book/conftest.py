"""How notebooks are tested: kernels take turns, on both sets of images.

nbval executes the cells and compares what they show with what is stored, unless a
cell is tagged ``nbval-ignore-output``. Here is what it does not do:

- A cell that shows a check must show it again, and with the right verdict, whatever
  the tag says. Where it needs MNIST and has other images, it says "Skipped: " and
  why.
- The kernel takes the arithmetic of another set each day (``tools/kernel_sets.py``),
  so that outputs which only one processor gives are found. ``KERNEL_SET="AVX2"``
  chooses one.
- The notebooks on JAX and on compression are left out where JAX, Flax or Optax, or
  constriction, is missing, and that is said at the end.
- A notebook that loads images runs twice: on MNIST, and on the shipped digits, where
  no output is compared. Where ``VAE_TUTORIAL_DATASET`` has chosen the data, it runs
  once.
"""

import os
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import pytest
from kernel_sets import kernel_sets, turn
from nbval.plugin import IPyNbFile
from verdicts import checks_of, flaw

BOOK = Path(__file__).parent
NEEDS = {
    "jax.ipynb": ("jax", ("jax", "flax", "optax")),
    "bits_back.ipynb": ("coding", ("constriction",)),
}
LEFT_OUT = {
    name: (extra, [library for library in libraries if not find_spec(library)])
    for name, (extra, libraries) in NEEDS.items()
}
collect_ignore = [name for name, (_, missing) in LEFT_OUT.items() if missing]
CHOICE = "VAE_TUTORIAL_DATASET"
SETS = kernel_sets()
if (chosen := os.environ.get("KERNEL_SET", "native")) not in SETS:
    known = ", ".join(SETS)
    raise pytest.UsageError(
        f"KERNEL_SET must be one of {known} on this machine, got {chosen!r}"
    )
# Inherited by the workers: one day for all.
os.environ.setdefault("KERNEL_DAY", str(date.today().toordinal()))


class OnDigits(IPyNbFile):
    """A notebook on the shipped digits: the same verdicts, other numbers."""

    def collect(self):
        for cell in super().collect():
            cell.options["check"] = False
            yield cell


def pytest_collect_file(file_path, parent):
    if (
        file_path.suffix == ".ipynb"
        and parent.config.option.nbval
        and not os.environ.get(CHOICE)
    ):
        if "load_images(" in file_path.read_text(encoding="utf-8"):
            # A node of its own: the two runs can go to different workers.
            nodeid = (
                f"{file_path.relative_to(parent.config.rootpath).as_posix()}[digits]"
            )
            return OnDigits.from_parent(parent, path=file_path, nodeid=nodeid)
    return None


def environment(notebook: IPyNbFile) -> tuple[str, dict[str, str]]:
    """The kernel set of a notebook, and what its kernel finds in the environment."""
    on_digits = isinstance(notebook, OnDigits)
    place = sorted(BOOK.glob("*.ipynb")).index(notebook.path) + on_digits
    name = os.environ.get("KERNEL_SET") or turn(
        int(os.environ["KERNEL_DAY"]), place, SETS
    )
    return name, SETS[name] | ({CHOICE: "digits"} if on_digits else {})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Start the kernel of a notebook in its environment (its first cell does it)."""
    name, variables = environment(item.parent)
    item.output_timeout = 600  # nbval's five seconds are too few on a busy machine
    item.add_report_section("call", "kernels", f"KERNEL_SET={name!r}")
    with patch.dict(os.environ, variables):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """After a cell has run: read its verdicts."""
    result = yield
    planted = "planted-mistake" in item.cell.metadata.get("tags", [])
    shown, stored = checks_of(item.test_outputs), checks_of(item.cell.outputs)
    flaws = [problem for check in shown if (problem := flaw(check, planted))]
    said = "".join(output.get("text", "") for output in item.test_outputs)
    if len(shown) < len(stored) and not said.startswith("Skipped: "):
        claims = {check["claim"] for check in shown}
        lost = [f"“{c['claim']}”" for c in stored if c["claim"] not in claims]
        flaws.append(
            f"of {len(stored)} stored checks {len(shown)} are shown; "
            f"missing: {', '.join(lost)}"
        )
    if flaws:
        item.raise_cell_error("\n".join(flaws))
    item.user_properties.append(
        ("verdicts", {"planted" if planted else "passed": len(shown)})
    )
    return result


def pytest_terminal_summary(terminalreporter):
    """How many verdicts were read, and what could not be run."""
    for name, (extra, missing) in LEFT_OUT.items():
        if missing:
            terminalreporter.line(
                f"No {', '.join(missing)}: book/{name} was NOT tested; "
                f'pip install "vae_tutorial[{extra}]"',
                red=True,
            )
    counts = {"passed": 0, "planted": 0}
    for report in terminalreporter.getreports("passed"):
        for name, value in getattr(report, "user_properties", []):
            if name == "verdicts":
                counts = {kind: n + value.get(kind, 0) for kind, n in counts.items()}
    if any(counts.values()):
        terminalreporter.line(
            f"Verdicts read: {sum(counts.values())} "
            f"({counts['passed']} claims hold, "
            f"{counts['planted']} planted mistakes are caught)"
        )
