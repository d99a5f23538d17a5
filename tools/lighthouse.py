"""Lighthouse on every page of the built book, on a desktop and on a slow telephone; fails where a page misses a goal.

    make lighthouse
    make lighthouse PAGES="book/elbo.html book/index.html"

The pages are served as a site's host does, compressed. A score depends on what else the machine does: run it on a quiet
one. The telephone is the simulated one of Lighthouse, with a slow network and a processor four times slower.
"""

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from chromium import chromium

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "_build" / "html"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
GOALS = {"desktop": (98, 100, 100, 100), "mobile": (90,)}


class Host(SimpleHTTPRequestHandler):
    """Text goes out compressed, and may be kept for ten minutes."""

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=BOOK)

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if path.suffix not in (".html", ".css", ".js", ".svg") or not path.is_file():
            return super().do_GET()
        body = gzip.compress(path.read_bytes())
        self.send_response(200)
        for name, value in {"Content-Type": self.guess_type(path) + "; charset=utf-8", "Content-Encoding": "gzip",
                            "Content-Length": len(body), "Cache-Control": "max-age=600"}.items():  # fmt: skip
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def report(address: str, device: str, categories: tuple[str, ...]) -> dict:
    """The scores from 0 to 100, what was sent in kB, and what is amiss."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        options = {"output": "json", "output-path": file, "only-categories": ",".join(categories),
                   "chrome-flags": "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run",
                   "throttling-method": "simulate"}  # fmt: skip
        options |= {"preset": "desktop"} if device == "desktop" else {}
        program = shutil.which("lighthouse", path=ROOT / "node_modules" / ".bin")  # on Windows lighthouse.cmd
        if program is None:
            sys.exit("no Lighthouse; `npm ci` installs it")
        command = [program, address, "--quiet", *(f"--{name}={value}" for name, value in options.items())]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            sys.exit(run.stderr or run.stdout)
        found = json.loads(file.read_text(encoding="utf-8"))
    audits = found["audits"]
    amiss = [name for category in found["categories"].values() for name in failed(category, audits)]
    sent = sum(item.get("transferSize", 0) for item in audits["network-requests"]["details"]["items"])
    scores = [round(100 * found["categories"][name]["score"]) for name in categories]
    return {"scores": scores, "kB": round(sent / 1000), "amiss": amiss}


def failed(category: dict, audits: dict) -> list[str]:
    names = [entry["id"] for entry in category["auditRefs"] if entry["weight"]]
    return [f"{name} ({shown(audits[name])})" for name in names if (audits[name]["score"] or 0) < 0.9
            and audits[name]["scoreDisplayMode"] in ("binary", "numeric")]  # fmt: skip


def shown(audit: dict) -> str:
    return audit.get("displayValue") or audit["title"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pages", nargs="*", help="addresses within the book; all where none is named")
    pages = parser.parse_args().pages or sorted(
        path.relative_to(BOOK).as_posix()
        for path in BOOK.rglob("*.html")
        if "_static" not in path.parts and path.name != "404.html"  # which asks search engines to pass by
    )
    os.environ.setdefault("CHROME_PATH", chromium() or sys.exit("no Chromium; `make browser` installs it"))
    missed = 0
    print("| page | performance, desktop | accessibility | best practices | SEO | performance, mobile | kB sent |")
    print("|:-|-:|-:|-:|-:|-:|-:|")
    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for page in pages:
            address = f"http://127.0.0.1:{server.server_port}/{page}"
            desktop = report(address, "desktop", CATEGORIES)
            mobile = report(address, "mobile", CATEGORIES[:1])
            row = [page, *desktop["scores"], *mobile["scores"], desktop["kB"]]
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            for device, found in {"desktop": desktop, "mobile": mobile}.items():
                if any(score < goal for score, goal in zip(found["scores"], GOALS[device], strict=True)):
                    missed += 1
                    print(f"  {page}, {device}: {'; '.join(found['amiss'])}", file=sys.stderr)
        server.shutdown()
    sys.exit(f"{missed} of {2 * len(pages)} reports miss a goal" if missed else 0)


if __name__ == "__main__":
    main()
