"""The book on paper: its LaTeX source holds what the pages hold, and where TeX is installed the PDF is made and read.

Without TeX the second half is skipped, loudly; `make pdf` installs it.
"""

import pickle
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import yaml
from sites import NO_TEX, ROOT, build, build_small
from typeset import FLAW, MARGIN, TOO_WIDE

PROGRAMS = ("latexmk", "xelatex", "pdfinfo", "pdftotext")
with_tex = pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason=NO_TEX)
VERDICT = re.compile(r'<div class="check check-(pass|fail)"')
ESCAPED = {"us": "_", "ob": "{", "cb": "}", "ca": "^", "am": "&", "lt": "<", "gt": ">", "sh": "#", "pc": "%", "dl": "$",
           "hy": "-", "sq": "'", "dq": '"', "ti": "~", "bs": "\\", "at": "@", "lb": "[", "rb": "]"}  # fmt: skip


def notebooks() -> list:
    return [nbformat.read(path, 4) for path in sorted(ROOT.glob("book/*.ipynb")) if in_contents(path.stem)]


def in_contents(name: str) -> bool:
    return f"book/{name}\n" in (ROOT / "_toc.yml").read_text(encoding="utf-8")


def cells(kind: str) -> list:
    return [cell for notebook in notebooks() for cell in notebook.cells if cell.cell_type == kind]


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def outputs(cell, mime: str) -> list[str]:
    hidden = tags(cell) & {"remove-cell", "remove-output", "hide-output", "hide-cell"}
    data = [output.get("data", {}) for output in cell.outputs]
    return [] if hidden else ["".join(bundle[mime]) for bundle in data if mime in bundle]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of the LaTeX source, made by the Makefile's own command."""
    folder = tmp_path_factory.mktemp("paper")
    flaws = build(folder, r"jupyter-book build .*--builder latex.*")
    assert flaws == "", flaws
    return folder / "_build" / "latex"


@pytest.fixture(scope="module")
def source(built) -> str:
    return (built / "book.tex").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def listing(source) -> list[str]:
    """The lines of all code and output, without the marks of the highlighting."""
    blocks = re.findall(r"\\begin\{sphinxVerbatim\}.*?\n(.*?)\\end\{sphinxVerbatim\}", source, re.DOTALL)
    text = re.sub(r"\\PYG\{[^}]*\}\{|\}", "", "\n".join(blocks).replace(r"\PYGZcb{}", "\0"))
    text = re.sub(r"\\PYGZ(\w\w)\{", lambda match: ESCAPED[match[1]], text)
    return [line.replace("\0", "}").strip() for line in text.splitlines()]


# The LaTeX source


def test_every_check_has_its_box(source):
    stored = Counter(
        verdict for cell in cells("code") for text in outputs(cell, "text/html") for verdict in VERDICT.findall(text)
    )
    boxes = re.findall(r"\\bookcheck\{(pass|fail)\}\{.*?\}\}\{([\d.]+)\}\{(.*?)\}\{", source)
    assert Counter(verdict for verdict, _, _ in boxes) == stored
    assert stored["pass"] > 100 and stored["fail"] > 20
    numbers = [number for _, number, _ in boxes]
    assert len(set(numbers)) == len(numbers) and all(claim for _, _, claim in boxes)


def test_every_figure_is_there_with_its_caption(built, source):
    stored = sum(len(outputs(cell, "image/png")) for cell in cells("code"))
    explorers = sum(text.read_text("utf-8").count("```{explorer}") for text in ROOT.glob("book/*.md"))
    figures = re.findall(r"\\begin\{figure\}.*?\\end\{figure\}", source, re.DOTALL)
    assert len(figures) >= stored + explorers > 50
    for figure in figures:
        name = re.search(r"\\sphinxincludegraphics(?:\[.*?\])?\{\{(.*?)\}(\.\w+)\}", figure)
        assert (built / (name[1] + name[2])).stat().st_size > 0
        caption = figure.split(r"\caption{")[1]
        assert "bibtex-citation" not in caption, caption  # LaTeX stops at it


def test_exercises_in_their_place_and_solutions_at_the_end_of_their_chapter(source):
    text = "\n".join(cell.source for cell in cells("markdown"))
    chapters = re.split(r"\\chapter\{", source)
    solved = [chapter for chapter in chapters if r"\begin{booksolution}" in chapter]
    assert source.count(r"\begin{bookexercise}") == text.count("{exercise}") > 20
    assert source.count(r"\begin{booksolution}") == text.count("{solution-start}") > 20
    assert source.count(r"\bookseesolution") == source.count(r"\begin{booksolution}")
    for chapter in solved:
        body, solutions = chapter.split("\\section{Solutions}")
        assert r"\begin{booksolution}" not in body and r"\begin{bookexercise}" not in solutions
        assert r"\section{" not in solutions


def test_parts_and_chapters_are_those_of_the_contents(source):
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    assert re.findall(r"\\part\{(.*?)\}", source) == [part["caption"] for part in contents["parts"]]
    assert source.count(r"\chapter{") == 1 + sum(len(part["chapters"]) for part in contents["parts"])
    assert source.index(r"\chapter{About this book}") < source.index(r"\part{")


def test_what_is_folded_or_removed_stays_away(listing):
    kept, gone = set(), set()
    for cell in cells("code"):
        hidden = tags(cell) & {"hide-input", "remove-input", "hide-cell", "remove-cell"}
        (gone if hidden else kept).update(line.strip() for line in cell.source.splitlines())
    assert {line for line in kept if line} <= set(listing)
    assert len(gone - kept) > 100
    texts = [path.read_text(encoding="utf-8") for path in ROOT.glob("book/*.md")]
    texts += [cell.source for cell in cells("markdown")]
    elsewhere = {line.strip() for text in texts for line in text.splitlines()}  # text may show the same line
    assert {line for line in gone - kept - elsewhere if len(line) > 15} & set(listing) == set()


def test_nothing_of_a_screen_is_left(source):
    assert not re.search(r"</?(div|span|table|details|noscript|img|script|a|p)\b[^>\n]*>", source)
    assert "\x1b" not in source
    assert "data-check" not in source and r"\DUrole{unbroken}" not in source


# A page that the book does not have yet

CHAPTER = """
# A chapter

{prf:ref}`thm-one`, {ref}`sol-one`, {eq}`eq-one` and {ref}`ex-one`.

```{prf:theorem} Of $x^2$
:label: thm-one
It is positive.
```

$$
x^2 > 0
$$ (eq-one)

```{exercise}
:label: ex-one
Why?
```

```{solution} ex-one
:label: sol-one
See the theorem.
```
"""
SETTINGS = {
    "extensions": ["myst_nb", "sphinx_proof", "sphinx_exercise", "sphinx_design", "evidence_page", "latex_book"],
    "project": "A book",
    "author": "A_B & C",
    "html_title": "A book: with a subtitle",
    "myst_enable_extensions": ["dollarmath", "colon_fence"],
}


def test_a_theorem_becomes_a_box_with_its_number(tmp_path):
    contents = "```{toctree}\n:caption: A part\n:numbered:\nchapter\n```\n"
    (tmp_path / "index.md").write_text(f"# Book\n\nA foreword.\n\n## More\n\nOf it.\n\n{contents}", "utf-8")
    (tmp_path / "chapter.md").write_text(CHAPTER, "utf-8")
    (tmp_path / "book" / "_latex").mkdir(parents=True)
    shutil.copy(ROOT / "book/_latex/book.sty", tmp_path / "book/_latex")
    run = build_small(tmp_path, SETTINGS, builder="latex")
    assert (run.returncode, run.stderr) == (0, "")
    tex = (tmp_path / "_build" / "book.tex").read_text("utf-8")
    assert r"\begin{bookstatement}{\sphinxstylestrong{Theorem 1.1 (Of \(x^2\))}}" in re.sub(r"\s*\n\s*", "", tex)
    assert r"\label{\detokenize{chapter:thm-one}}" in tex and r"\hyperref[\detokenize{chapter:thm-one}]" in tex
    assert r"\label{\detokenize{chapter:sol-one}}" in tex and r"\section{Solutions}" in tex
    assert r"\begin{booktitlepage}{A book}{with a subtitle}" in tex and r"\author{A\_B \& C}" in tex
    assert tex.index("A foreword.") < tex.index(r"\section{More}") < tex.index(r"\part{A part}")
    if all(map(shutil.which, PROGRAMS)):
        assert typeset(tmp_path / "_build" / "book.tex", tmp_path / "book.pdf").returncode == 0


# The PDF


def typeset(source: Path, target: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "typeset.py", source, target], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def pdf(built) -> Path:
    target = built / "out.pdf"
    run = typeset(built / "book.tex", target)
    assert run.returncode == 0, run.stdout + run.stderr
    return target


@pytest.fixture(scope="module")
def text(pdf) -> str:
    return subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True).stdout


@with_tex
def test_the_pdf_says_what_it_is(pdf):
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    said = subprocess.run(["pdfinfo", pdf], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^Title: +{config['title']}$", said, re.MULTILINE)
    assert re.search(rf"^Author: +{config['author']}$", said, re.MULTILINE)
    assert int(re.search(r"^Pages: +(\d+)$", said, re.MULTILINE)[1]) > 200
    assert b"/Lang" in pdf.read_bytes() or "Tagged" in said


@with_tex
def test_numbers_are_those_of_the_pages(built, pdf):
    """Equations and figures: Sphinx numbers them for the pages, LaTeX for the PDF."""
    with (built.parent / ".doctrees" / "environment.pickle").open("rb") as file:
        environment = pickle.load(file)
    auxiliary = (built / "book.aux").read_text(encoding="utf-8")
    on_paper = dict(re.findall(r"\\newlabel\{(.*?)\}\{\{(.*?)\}\{", auxiliary))
    on_paper = {label.replace(r"\detokenize {", "").rstrip("}"): number for label, number in on_paper.items()}
    n_compared = 0
    for page, numbers in environment.toc_fignumbers.items():
        for kind, prefix in (("displaymath", f"equation:{page}:"), ("figure", f"{page}:")):
            for name, number in numbers.get(kind, {}).items():
                label = prefix + (name.removeprefix("equation-") if kind == "displaymath" else name)
                assert on_paper[label] == ".".join(map(str, number)), label
                n_compared += 1
    assert n_compared > 100


@with_tex
def test_no_line_of_code_is_broken_or_cut(text, listing):
    lines = {re.sub(r"\s", "", line) for line in text.splitlines()}
    # A line with an accented letter is whole on paper, but pdftotext gives it as two.
    long = {re.sub(r"\s", "", line) for line in listing if 75 < len(line) <= 85 and "\u0302" not in line}
    assert len(long) > 20
    assert long - lines == set()


@with_tex
def test_every_check_can_be_read(text, source):
    numbers = re.findall(r"\\bookcheck\{(?:pass|fail)\}\{.*?\}\}\{([\d.]+)\}", source)
    assert set(numbers) - set(re.findall(r"Check ([\d.]+)", text)) == set()


@with_tex
@pytest.mark.parametrize("body, message", [
    (r"See \ref{nowhere}.", "Reference `nowhere'.*undefined"),
    (r"Two\label{a} names\label{a}.", "Label `a' multiply defined"),
    ("A wrench: 🔧.", "Missing character: There is no 🔧"),
    (rf"\hbox to \textwidth{{\hspace{{{MARGIN + 1}pt}}\hspace{{\textwidth}}}}", "Overfull"),
    (r"\nonsense", "! Undefined control sequence"),
], ids=["undefined reference", "label given twice", "missing glyph", "cut off", "error"])  # fmt: skip
def test_a_flaw_of_the_typesetting_is_refused(tmp_path, body, message):
    page = "\\documentclass{article}\\begin{document}\n%s\n\\end{document}\n"
    (tmp_path / "page.tex").write_text(page % body, "utf-8")
    run = typeset(tmp_path / "page.tex", tmp_path / "out.pdf")
    assert run.returncode != 0 and re.search(message, run.stderr), run.stderr
    assert not (tmp_path / "out.pdf").exists()


@with_tex
def test_a_sound_page_is_typeset(tmp_path):
    (tmp_path / "page.tex").write_text("\\documentclass{article}\\begin{document}\nA page.\n\\end{document}\n", "utf-8")
    run = typeset(tmp_path / "page.tex", tmp_path / "out.pdf")
    assert (run.returncode, run.stdout) == (0, "")
    assert (tmp_path / "out.pdf").read_bytes().startswith(b"%PDF")


def test_the_log_is_understood():
    assert FLAW.findall("LaTeX Warning: There were undefined references.\nLaTeX Warning: Rerun.\n") == [
        "LaTeX Warning: There were undefined references."
    ]
    assert TOO_WIDE.search("Overfull \\hbox (12.5pt too wide) in paragraph at lines 1--2")["excess"] == "12.5"
