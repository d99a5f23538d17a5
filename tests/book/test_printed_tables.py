"""What cells print in columns becomes tables, with nothing lost, and what is not clearly a table stays text."""

import html
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils import nodes
from theme_fixes.printed_tables import set_tables, written
from theme_fixes.text_tables import Table, split, squeezed

NOTEBOOKS = sorted((Path(__file__).parents[2] / "book").glob("*.ipynb"))
# After its name, what is printed; then, after an arrow, what becomes of it. "=" begins a head, "|" a row; "b<2>" is a
# cell over two columns; other lines are text.
BECOME_TABLES = """
## a name, numbers, a unit, errors and pairs
rung        seconds     nats   active
one head    0.0025 s  -1 ± 2    3 → 5
two of us  12.0000 s  10 ± 9  12 → 15
→
= rung | seconds | nats | active
| one head | 0.0025 s | -1 ± 2 | 3 → 5
| two of us | 12.0000 s | 10 ± 9 | 12 → 15

## thousands, percent, powers of ten, missing values
          weights  share     error
MLP     4,105,144    25%     1e-12
linear        784     2%         –
noise           –   0.5%  -2.5e+03
→
= | weights | share | error
| MLP | 4,105,144 | 25% | 1e-12
| linear | 784 | 2% | –
| noise | – | 0.5% | -2.5e+03

## heads of two words, one blank apart
         params train s draw ms  log p(x) by
plain     9,936     5.3     1.8  300 draws
masked   34,704     1.3   305.0  exact
→
= | params | train s | draw ms | log p(x) by
| plain | 9,936 | 5.3 | 1.8 | 300 draws
| masked | 34,704 | 1.3 | 305.0 | exact

## heads of columns that are as narrow
z₀ z₁       Q   p(x) P / Q
 0  0  0.1000       0.0200
 0  1  0.2000       0.1016
→
= z₀ | z₁ | Q | p(x) P / Q
| 0 | 0 | 0.1000 | 0.0200
| 0 | 1 | 0.2000 | 0.1016

## heads out of line
nats an image        rate  distortion  bound
codes                  6.01    14.43   -20.43
Gaussian               5.91    13.44   -19.35
→
= nats an image | rate | distortion | bound
| codes | 6.01 | 14.43 | -20.43
| Gaussian | 5.91 | 13.44 | -19.35

## one head over two columns
             inside         width, next frame, tenth
smoothing    0.89 to 0.93   0.51   0.90
by equation  0.89           0.46   0.52
→
= | inside | width, next frame, tenth<2>
| smoothing | 0.89 to 0.93 | 0.51 | 0.90
| by equation | 0.89 | 0.46 | 0.52

## ranges and errors whose parts are aligned
log p(x), five seeds         true       mean
plain, slow         1.025 to   2.98   1.5   ± 1
adaptive, fast      0.000 to  12.02  11.25  ± 3
in closed form      0.000 to   0.02   0.1   ± 1
→
= log p(x), five seeds | true | mean
| plain, slow | 1.025 to 2.98 | 1.5 ± 1
| adaptive, fast | 0.000 to 12.02 | 11.25 ± 3
| in closed form | 0.000 to 0.02 | 0.1 ± 1

## ranges in brackets, one blank apart
mean (range)                    VAE                 WAE
log p, nats    -12.1 (-12.8 to -10) -13.1 (-13.7 to -12)
MMD², digits      53.7 (51.1 to 57)    43.3 (35.3 to 50)
→
= mean (range) | VAE | WAE
| log p, nats | -12.1 (-12.8 to -10) | -13.1 (-13.7 to -12)
| MMD², digits | 53.7 (51.1 to 57) | 43.3 (35.3 to 50)

## lists in brackets
             log p (four seeds)                   KL  sizes
none         -26.70 (-26.5 -27.0 -26.4 -26.5)   0.39  [21]
free bits    -25.93 (-25.5 -26.2 -25.8 -25.7)  11.82  [26, 6]
→
= | log p (four seeds) | KL | sizes
| none | -26.70 (-26.5 -27.0 -26.4 -26.5) | 0.39 | [21]
| free bits | -25.93 (-25.5 -26.2 -25.8 -25.7) | 11.82 | [26, 6]

## values of many forms in one column, and none
one       3 → 5
two   1,050–1,102
six        –
nine      ±9
→
| one | 3 → 5
| two | 1,050–1,102
| six | –
| nine | ±9

## a mark behind a number
       theirs  apart  active
VAE     86.76  +2.46* 21 for 19
IWAE    86.47  -0.07   3 for 20
→
= | theirs | apart | active
| VAE | 86.76 | +2.46* | 21 for 19
| IWAE | 86.47 | -0.07 | 3 for 20

## numbers after a colon, one blank apart
σ² = 0.15: 0.768 0.764
σ² = 0.33: 0.522 0.478
σ² = 1.00: 0.000 0.190
→
| σ² = 0.15: | 0.768 | 0.764
| σ² = 0.33: | 0.522 | 0.478
| σ² = 1.00: | 0.000 | 0.190

## groups of rows
nats           mean ± s.e.    ahead
σ² = 1
  VAE      -741.06 ± 0.08
  PCA      -742.58 ± 0.07    +1.52
learned
  VAE         1.06 ± 2.18   -71.24
→
= nats | mean ± s.e. | ahead
| σ² = 1 | |
| VAE | -741.06 ± 0.08 |
| PCA | -742.58 ± 0.07 | +1.52
| learned | |
| VAE | 1.06 ± 2.18 | -71.24

## long texts in further rows
     M     P        ms  speed-up
   512     8     17.28       2.0
   512    64     24.47       1.4
   512  1024     refused, no rank
 65536     8    444.18       7.8
all of them    refused       7.0
→
= M | P | ms | speed-up
| 512 | 8 | 17.28 | 2.0
| 512 | 64 | 24.47 | 1.4
| 512 | 1024 | refused, no rank<2>
| 65536 | 8 | 444.18 | 7.8
all of them refused 7.0

## dates, versions, and words that are the same in all rows below a head
              date device       torch
best    2026-11-21    cpu  2.13.0+cpu
last    2026-12-01    cpu  2.13.0+cpu
→
= | date | device | torch
| best | 2026-11-21 | cpu | 2.13.0+cpu
| last | 2026-12-01 | cpu | 2.13.0+cpu

## no head, between a caption and a note
of five:
  floor    2.30
  + Adam  13.22
  fit      3.82
so far
→
of five:
| floor | 2.30
| + Adam | 13.22
| fit | 3.82
so far

## two tables, and text around them
34 of 34 causes
rate 0.03:    KL
  seed 0    0.00
  seed 1    0.84
so far, and now

β     bits
1    12.50
2     0.25
→
34 of 34 causes
= rate 0.03: | KL
| seed 0 | 0.00
| seed 1 | 0.84
so far, and now
= β | bits
| 1 | 12.50
| 2 | 0.25
"""
STAY_TEXT = """
## sentences with numbers
Then z can gain  no more than 0.072 nats
an example, and  the KL will go to 0: sum
where you        average, or choose σ².

## numbers that stand in no columns
log p(x), by enumeration: -2.4205 -3.2056
bound of the terms:       -2.7694 -9.2847
KL of y:                  0.0725 0.0271

## words that belong to the numbers beside them
q the prior    ELBO  -4.1522   log p(x)   2.1016
q near z = 1   ELBO  -3.5470   log p(x)   2.1016
q wide         ELBO  -2.5981   log p(x)   2.1016

## several things in a cell
VAE         4.20 nats, distortion   37.9
β-VAE       2.67 nats, distortion   42.9
FactorVAE  14.20 nats, distortion  138.3

## several things in a name
seed 1: 2 draws   37.9
seed 2: 4 draws   42.9
seed 3: 8 draws  138.3

## the first of several numbers is still in the name
T = 1: gap 0.0082 0.1609
T = 2: gap 0.0002 0.0039
T = 4: gap 0.0001 0.0002

## groups of digits
train: 60 000
test:  10 000
ours:   7 500

## numbers before names
1  given the class
2  masked pixels
3  two layers, up

## too few lines
L         2    3
ELBO   -1.0  3.2

## rows of which one does not fit
free  mean     330.9    237.3
      worst  -1197.3  -7347.1
floor mean     544.2    530.4
      worst   -873.0  -1062.2

## rows of which one has its first value in the name
from 0        moved -0.36 -0.36
              ratio  0.07  0.06
from a third  moved  0.17  0.16
              ratio  1.14  1.14

## names that cross the columns
exact                 0.11    0.02
by a much longer way than that 5
Monte Carlo           0.25    0.06

## a program
    params  = encode(x)
    z, log_q = sample(n, 2)
    kl      = log_q - 1.0
"""


def cases(text: str) -> dict[str, str]:
    return dict(case.split("\n", 1) for case in text.strip("\n").removeprefix("## ").split("\n## "))


def shown(text: str) -> list[str]:
    """What becomes of a text, in the notation of the cases."""
    found = []
    for piece in split(text):
        if isinstance(piece, Table):
            rows = [("= ", piece.head)] * bool(piece.head) + [("| ", cells) for cells in piece.rows]
            for mark, cells in rows:
                found.append(mark + " | ".join(text + (f"<{span}>" if span > 1 else "") for text, span in cells))
        else:
            found += [line for line in piece.split("\n") if line]
    return [squeezed(line) for line in found]


@pytest.mark.parametrize("name, case", cases(BECOME_TABLES).items())
def test_columns_become_a_table(name, case):
    printed, expected = case.split("\n→\n")
    assert shown(printed + "\n") == expected.rstrip("\n").split("\n")


@pytest.mark.parametrize("name, printed", cases(STAY_TEXT).items())
def test_what_is_not_clearly_a_table_stays_as_it_is(name, printed):
    assert split(printed) == [printed]


def test_an_empty_line_ends_a_table():
    rows = ["floor    2.30", "+ Adam  13.22", "fit      3.82"]
    assert len(split("\n".join(rows))[0].rows) == 3
    for n in (1, 2):
        text = "\n".join([*rows[:n], "", *rows[n:]])
        assert split(text) == [text]


def seen(page: str) -> str:
    return squeezed(html.unescape(re.sub("<[^>]+>", " ", page)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_that_a_notebook_prints_is_lost(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for output in (output for cell in cells for output in cell.get("outputs", []) if output["output_type"] == "stream"):
        text = "".join(output["text"])
        pieces = split(text)
        assert squeezed(" ".join(p if isinstance(p, str) else seen(written(p)) for p in pieces)) == squeezed(text)
        lines = [line.rstrip() for p in pieces for line in (p.split("\n") if isinstance(p, str) else p.lines)]
        assert [line for line in lines if line] == [line.rstrip() for line in text.split("\n") if line.strip()]


def test_a_page_says_what_is_a_head_and_keeps_numbers_aligned():
    (table,) = split(
        """
              ELBO ± s.e.   draws-or-sum-seed
<one>       -1.00 ± 10.25   300 draws      a
  & within   7.50           exact          b
""".strip("\n")
    )
    assert written(table) == (
        '<div class="pst-scrollable-table-container"><table class="table">\n'
        '<thead><tr><td></td><th scope="col" class="right">ELBO ± s.e.</th>'
        '<th scope="col" colspan="2">draws-or-sum-seed</th></tr></thead>\n'
        '<tbody><tr><th scope="row">&lt;one&gt;</th><td class="right">-1.00 ± 10.25</td><td>300 draws</td><td>a</td>'
        '</tr>\n<tr><th scope="row" class="inner">&amp; within</th>'
        '<td class="right" data-after=" ± 10.25">7.50</td><td>exact</td><td>b</td></tr></tbody>\n</table></div>'
    )
    (numbered,) = split("K   gap\n1  0.25\n2  0.12")
    assert "row" not in written(numbered) and written(numbered).count("<td") == 4


def page_of(*printed: str) -> nodes.document:
    """A page with these outputs, the last of them no stream."""
    page = nodes.container("", classes=["cell_output"])
    for text in printed:
        page += nodes.literal_block(text, text, language="myst-ansi", classes=["output", "stream"])
    page[-1]["classes"] = ["output", "text_plain"]
    return page


def test_outputs_of_pages_change_and_those_of_other_books_do_not():
    rows = "a   1.0\nb  12.0\nc   3.5"
    printed = (f"before\n{rows}\nafter\n", "no table\n", rows)
    page, paper = page_of(*printed), page_of(*printed)
    set_tables(SimpleNamespace(builder=SimpleNamespace(format="latex")), paper, "a")
    assert [block.astext() for block in paper] == list(printed)
    set_tables(SimpleNamespace(builder=SimpleNamespace(format="html")), page, "a")
    before, table, *others = page
    assert isinstance(table, nodes.raw) and seen(table.astext()) == squeezed(rows) and table["format"] == "html"
    assert table["classes"] == ["output", "stream", "printed"]
    assert [block.astext() for block in (before, *others)] == ["before", "after\n", "no table\n", rows]
    for block in (before, *others):
        assert block.rawsource == block.astext() and block["language"] == "myst-ansi"
    assert all(block["classes"] == ["output", "stream"] for block in (before, *others[:-1]))


def test_the_pages_have_every_table(book):
    numbers = []
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        printed = ["".join(output["text"]) for cell in cells for output in cell.get("outputs", []) if "text" in output]
        numbers.append(sum(isinstance(piece, Table) for text in printed for piece in split(text)))
        page = (book / "book" / f"{path.stem}.html").read_text(encoding="utf-8")
        assert page.count('<div class="output stream printed"><div class="pst-scroll') == numbers[-1], path.stem
    assert sum(numbers) > 50
