"""For every test: one thread, as in the stored notebooks, unless a set of kernels was chosen for the whole run.

What could not be tested for want of a program, a skip whose reason says "NOT", is said loudly at the end.
"""

import os

from kernel_sets import ONE_THREAD

if "KERNEL_SET" not in os.environ:
    os.environ.update(ONE_THREAD)


def pytest_terminal_summary(terminalreporter):
    skipped = {str(report.longrepr[-1]) for report in terminalreporter.getreports("skipped") if report.longrepr}
    if loud := sorted(reason.removeprefix("Skipped: ") for reason in skipped if " NOT " in reason):
        terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
        for reason in loud:
            terminalreporter.line(reason, red=True, bold=True)
