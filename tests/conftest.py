"""For every test: one thread, as in the stored notebooks; the built book, and a browser to open its pages with.

Where there is no browser, a loud word says so.
"""

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # the package's own tests run without the tools of the book's
    from playwright.sync_api import Browser

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # notebook kernels inherit it

ROOT = Path(__file__).parents[1]
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
NO_CHROMIUM = "no Chromium: the pages were NOT opened in a browser; `make browser` installs it"
NO_PLAYWRIGHT = "no Playwright: the pages were NOT opened in a browser; `make install` installs it"
NO_TEX = "no TeX: the book was NOT typeset as a PDF; `make pdf` installs it, or says what to install"


def pytest_terminal_summary(terminalreporter):
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    if missing := [said for said in (NO_CHROMIUM, NO_PLAYWRIGHT, NO_TEX) if any(said in reason for reason in reasons)]:
        terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
        for said in missing:
            terminalreporter.line(said, red=True, bold=True)


# The built book


@pytest.fixture(scope="session")
def book(tmp_path_factory) -> Path:
    """The folder of the built pages, made by the Makefile's own command: once, whatever the number of workers."""
    from filelock import FileLock

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers
    record = folder / "book.log"
    with FileLock(folder / "book.lock"):  # the first worker builds, the others wait for it
        if not record.exists():
            record.write_text(build(folder / "book"), encoding="utf-8")
    flaws = record.read_text(encoding="utf-8")
    assert flaws == "", flaws
    return folder / "book" / "_build" / "html"


def build(folder: Path, recipe: str = r"jupyter-book build .*") -> str:
    """What is wrong with a build by the Makefile's command: its warnings, or all it says when it fails without one."""
    command = re.search(rf"\$\(BIN\)/({recipe})", (ROOT / "Makefile").read_text(encoding="utf-8"))[1]
    program, *arguments = shlex.split(command)
    run = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments, "--path-output", folder],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    warnings = "\n".join(line for line in run.stdout.splitlines() if re.search("WARNING|ERROR", line))
    return warnings or (run.stdout if run.returncode else "")


def build_small(
    folder: Path, settings: dict[str, Any], target: Path | str = "_build", *, builder: str = "html", **how: Any
) -> subprocess.CompletedProcess:
    """Build the small book whose pages lie in a folder, with these settings and the book's own extensions."""
    lines = [f"import sys; sys.path.append({str(ROOT / 'book' / '_ext')!r})"]
    lines += [f"{name} = {value!r}" for name, value in settings.items()]
    (folder / "conf.py").write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-b", builder, "-W", "--keep-going", "-n", "-q", ".", target]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, **how)


@pytest.fixture(scope="session")
def pages(book) -> list[str]:
    names = sorted(path.relative_to(book).as_posix() for path in book.rglob("*.html") if "_static" not in path.parts)
    assert len(names) > 5
    return names


@pytest.fixture(scope="session")
def server(book) -> Iterator[str]:
    """The address of the book on a web site, in a folder of its own."""
    with serving(book.parent) as address:
        yield f"{address}{book.name}/"


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A web site with the files of a folder, and its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=folder)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


# The browser


@pytest.fixture(scope="module")  # not of the session: its event loop would run beside those of the notebooks
def browser() -> Iterator["Browser"]:
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        pytest.skip(NO_PLAYWRIGHT)
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet, chromium_sandbox=False)
        yield chromium
        chromium.close()


def lay_out(tab) -> None:
    """All of the page that is open in the browser, not only what lies near the window."""
    tab.add_style_tag(content="article section { content-visibility: visible !important }")


def listen(context) -> tuple[list[str], list[str]]:
    """What the pages of a browser context will complain of, and what they will ask for: two lists that grow."""
    said, requests = [], []
    context.on("console", lambda message: message.type in ("error", "warning") and said.append(message.text))
    context.on("weberror", lambda error: said.append(str(error.error)))
    context.on("requestfailed", lambda request: said.append(f"{request.failure}: {request.url}"))
    context.on("response", lambda answer: answer.ok or said.append(f"{answer.status}: {answer.url}"))
    context.on("request", lambda request: requests.append(request.url))
    return said, requests
