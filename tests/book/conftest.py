"""For the tests of the pages: the built book, and a browser to open it with."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium as find_chromium
from driving import alive
from filelock import FileLock
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sites import build, serving

NO_CHROMIUM = "no Chromium: the pages were NOT opened in a browser; `make browser` installs it"
PATIENCE = 300_000  # milliseconds: what a machine that others keep busy may take for what a quiet one does at once


# The built book


@pytest.fixture(scope="session")
def book(tmp_path_factory) -> Path:
    """The folder of the built pages, made by the Makefile's own command: once, whatever the number of workers.

    ``BOOK`` names pages that have just been made (CI does so): then it is a copy of these.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers
    record = folder / "book.log"
    with FileLock(folder / "book.lock"):  # the first worker builds, the others wait for it
        if not record.exists():
            if made := os.environ.get("BOOK"):
                shutil.copytree(made, folder / "book" / "_build" / "html")
            record.write_text("" if made else build(folder / "book"), encoding="utf-8")
    flaws = record.read_text(encoding="utf-8")
    assert flaws == "", flaws
    return folder / "book" / "_build" / "html"


@pytest.fixture(scope="session")
def pages(book) -> list[str]:
    """All pages; of those that show a source, which are made alike, the list of them and the longest."""
    paths = sorted(path for path in book.rglob("*.html") if "_static" not in path.parts)
    sources = [path for path in paths if "_modules" in path.parts and path.name != "index.html"]
    alike = {*sources} - {max(sources, key=lambda path: path.stat().st_size)}
    names = [path.relative_to(book).as_posix() for path in paths if path not in alike]
    assert len(names) > 5
    return names


@pytest.fixture(scope="session")
def server(book) -> Iterator[str]:
    """The address of the book on a web site, in a folder of its own."""
    with serving(book.parent) as address:
        yield f"{address}{book.name}/"


# The browser


@pytest.fixture(scope="module")  # not of the session: its event loop would run beside those of the notebooks
def browser() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip(NO_CHROMIUM)
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=quiet, chromium_sandbox=False)
        chromium.new_context, chromium.new_page = patient(chromium.new_context), patient(chromium.new_page)
        expect.set_options(timeout=PATIENCE)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def tab(request, tmp_path_factory, browser) -> Iterator[Page]:
    """The explorer that a module `test_explorer_…` is named after, at work on a bare page."""
    name = request.path.stem.removeprefix("test_explorer_")
    with alive(browser, tmp_path_factory.mktemp(name), name) as tab:
        yield tab


def patient(opens: Callable[..., Any]) -> Callable[..., Any]:
    """What opens a context or a page, with time for a busy machine."""

    def opened(**settings: Any) -> Any:
        context = opens(**settings)
        context.set_default_timeout(PATIENCE)
        return context

    return opened
