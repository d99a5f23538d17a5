"""For every test: one thread, as in the stored notebooks, and a loud word where pages could not be opened."""

import os
import shutil

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # notebook kernels inherit it

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
NO_CHROMIUM = "no Chromium: the pages were NOT opened in a browser; `make browser` installs it"


def pytest_terminal_summary(terminalreporter):
    reasons = (str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    if any(NO_CHROMIUM in reason for reason in reasons):
        terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(NO_CHROMIUM, red=True, bold=True)
