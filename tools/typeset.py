"""Typeset the book: LaTeX as often as it takes, the PDF to its place, and a word about every flaw in the log.

    python tools/typeset.py _build/latex/book.tex _build/book.pdf

What is undefined, missing in its font or cut off at the paper's edge makes it fail; a line that is a little too wide is
reported.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

MARGIN = 60  # points; what is wider by more comes close to the edge of the paper
FLAW = re.compile(r"^(! .*|.*Warning: .*(?:undefined|multiply defined).*|Missing character: .*)$", re.MULTILINE)
TOO_WIDE = re.compile(r"^Overfull \\hbox \((?P<excess>[\d.]+)pt too wide\).*$", re.MULTILINE)


def typeset(source: Path, target: Path) -> None:
    command = ["latexmk", "-xelatex", "-silent", "-interaction=nonstopmode", "-halt-on-error", source.name]
    environment = os.environ | {"max_print_line": "1000"}  # no message of the log is broken into lines
    run = subprocess.run(command, cwd=source.parent, env=environment, capture_output=True, text=True)
    log = source.with_suffix(".log")
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else run.stdout + run.stderr
    wide = [match for match in TOO_WIDE.finditer(said) if float(match["excess"]) > 10]
    flaws = FLAW.findall(said) + [match[0] for match in wide if float(match["excess"]) > MARGIN]
    for match in wide:
        print(match[0])
    if run.returncode or flaws:
        sys.exit("\n".join(["The PDF is not sound:", *dict.fromkeys(flaws), f"More is in {log}."]))
    shutil.copyfile(source.with_suffix(".pdf"), target)


if __name__ == "__main__":
    typeset(*map(Path, sys.argv[1:]))
