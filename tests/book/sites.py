"""Building the book or a small one, serving it, and what the tests ask of a page that is open in the browser."""

import functools
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NO_TEX = "no TeX: the book was NOT typeset as a PDF; `make pdf` installs it, or says what to install"


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


@contextmanager
def serving(folder: Path, handler: type[SimpleHTTPRequestHandler] | None = None) -> Iterator[str]:
    """A web site with the files of a folder, and its address."""
    answers = functools.partial(handler or QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), answers) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def never_ask(tab) -> None:
    """Pages that will be opened cover no answers."""
    tab.add_init_script("localStorage.setItem('vae-book', JSON.stringify({ ask: false }))")


def lay_out(tab) -> None:
    """All of the page that is open in the browser, not only what lies near the window, and in its own fonts.

    A font is asked for when its first text is laid out, so those of far sections come only now.
    """
    tab.add_style_tag(content="article section > *, .covered[hidden] { content-visibility: visible !important }")
    tab.evaluate("async () => { document.body.getBoundingClientRect(); await document.fonts.ready; }")


def paint(tab) -> None:
    """Two frames: in the first the page asks for what lies near the window, such as an explorer's data."""
    tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def listen(context) -> tuple[list[str], list[str]]:
    """What the pages of a browser context will complain of, and what they will ask for: two lists that grow."""
    said, requests = [], []
    context.on("console", lambda message: message.type in ("error", "warning") and said.append(message.text))
    context.on("weberror", lambda error: said.append(str(error.error)))
    context.on("requestfailed", lambda request: said.append(f"{request.failure}: {request.url}"))
    fine = lambda answer: answer.ok or answer.status == 304  # noqa: E731 - what the browser has of it is current
    context.on("response", lambda answer: fine(answer) or said.append(f"{answer.status}: {answer.url}"))
    context.on("request", lambda request: requests.append(request.url))
    return said, requests
