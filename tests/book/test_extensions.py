"""What the book's extensions make of pages, indices and tables that are small enough to be done by hand.

The functions are called as they are: no built book, no browser. What a reader sees of them is tested elsewhere.
"""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import evidence_page
import explorers
import numpy as np
import pytest
from chapters import numbered_title, reading_order
from docutils import nodes
from katex_math import keep_marks, render, unbroken
from PIL import Image
from previews import end, target, write_previews
from search_index import Symbols, named, plain, refine
from search_index import name as row_name
from theme_fixes.light import squeeze
from theme_fixes.numbers import typeset_checks

# Previews


TERM = '<dt id="term-a"><a href="b.html">A</a></dt><dd><p>What <em>a</em> is.</p></dd>'
CHECK = '<div id="check-1" class="check check-pass"{}><div>one</div><div>two</div></div>'
FIGURE = '<figure class="x" id="fig-a"><img src="a.png"></figure>'
LINK = '<a class="reference internal" href="{}">there</a>'
MARKED = '<a class="reference internal" data-preview href="{}">there</a>'
UNCHANGED = {  # what of each page stays as it is: targets, and links to no target of a kind that has a preview
    "book/a": [f"<dl>{TERM}<dt>B</dt></dl>", CHECK.format(' data-check="{&quot;a&quot;: 1}"'), LINK.format("#none"),
               '<h2 id="here">Here</h2><a class="headerlink" href="#check-1">¶</a>'],
    "book/b": [FIGURE, *map(LINK.format, ("a.html#here", "a.html", "gone.html#term-a"))],
    "top": [LINK.format("a.html#term-a")],
}  # fmt: skip
LINKED = {"book/a": ["#check-1"], "book/b": ["a.html#term-a", "a.html#check-1"], "top": ["book/b.html#fig-a"]}


def page(name: str, link: str) -> str:
    """A page whose links to targets of a kind are written so."""
    return "".join([*UNCHANGED[name], *map(link.format, LINKED[name])])


def small(folder: Path, kind: str = "html") -> SimpleNamespace:
    """What of Sphinx's application a build of these pages would have."""
    for name in LINKED:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.html").write_text(page(name, LINK), encoding="utf-8")
    builder = SimpleNamespace(
        format=kind,
        get_target_uri=lambda name: f"{name}.html",
        get_outfilename=lambda name: folder / f"{name}.html",
    )
    titles = {name: SimpleNamespace(astext=lambda name=name: f"The <{name[-1]}>") for name in LINKED}
    env = SimpleNamespace(found_docs=set(LINKED), titles=titles, toc_secnumbers={"book/a": {"": (3,)}})
    return SimpleNamespace(builder=builder, env=env, outdir=folder)


def test_links_are_marked_and_what_another_page_links_to_is_copied(tmp_path):
    app = small(tmp_path)
    for _ in range(2):  # a second build finds pages with marks
        write_previews(app, None)
        for name in LINKED:
            assert (tmp_path / f"{name}.html").read_text(encoding="utf-8") == page(name, MARKED)
    scripts = {path.name: path.read_text("utf-8") for path in (tmp_path / "_static" / "previews").rglob("*.js")}
    written = {
        name: re.fullmatch(r'Previews\.add\("(.*?)", (.*)\);\n', text).groups() for name, text in scripts.items()
    }
    assert {name: (page, json.loads(data)) for name, (page, data) in written.items()} == {
        "a.js": ("book/a", {
            "title": "3. The &lt;a&gt;",
            "targets": {"term-a": TERM, "check-1": CHECK.format("")},  # without what the evidence page reads
        }),
        "b.js": ("book/b", {"title": "The &lt;b&gt;", "targets": {"fig-a": FIGURE}}),
    }  # fmt: skip


@pytest.mark.parametrize("kind, exception", [("html", ValueError("a build that failed")), ("latex", None)])
def test_nothing_is_written_for_a_build_that_failed_or_is_none_of_pages(tmp_path, kind, exception):
    write_previews(small(tmp_path, kind), exception)
    for name in LINKED:
        assert (tmp_path / f"{name}.html").read_text(encoding="utf-8") == page(name, LINK)
    assert not (tmp_path / "_static").exists()


@pytest.mark.parametrize("kind", ["math", "proof", "exercise", "citation", "check"])
def test_an_element_ends_with_its_own_end(kind):
    element = f'<div class="{kind} more" id="a"><div><p>1</p></div><divider></divider><div>2</div></div>'
    page = f"<div><p id='b'>{element}</div><div>after</div>"
    assert target(page, "a") == element
    assert target(page.replace(kind, "other"), "a") == ""
    assert target(page, "b") == target(page, "c") == ""
    assert end("<p>1</p><p>2</p>", 0) == 8
    with pytest.raises(ValueError, match="does not end"):
        target(f'<div class="{kind}" id="a"><div></div>', "a")


# The index of the search


INDEX = {
    "docnames": ["book/a", "book/b"],
    "titles": ['<span class="section-number">1. </span>A', "B &amp; C"],
    "alltitles": {
        "A": [[0, None]],
        "Solution to Exercise 1.2 (Try it)": [[0, "sol-1"], [0, "sol-1-again"]],
        " (Try it)": [[0, "ex-1"], [1, "ex-9"]],  # the second has no solution, so nobody knows its number
        "Solution to Exercise 2.1": [[1, "sol-2"]],
        " (Jensen’s inequality)": [[0, "thm-1"]],
        "Pitfalls": [[0, "pitfalls"], [1, "pitfalls"]],
    },
    "terms": {"elbo": [0, 1], "42": 0, "1e9": 1, "x2": 0},
    "indexentries": {"elbo": [[0, "term-elbo", True]]},
    "objects": {"": [[0, 0, 1, "", "x"]]},
}


def test_the_index_keeps_what_is_looked_up(tmp_path):
    titles = {"book/a": "A", "book/b": "B & C"}
    env = SimpleNamespace(titles={page: nodes.Text(title) for page, title in titles.items()})
    labels = {"sec-troubleshooting-nan": ("book/b", "sec-troubleshooting-nan", "The loss is NaN")}
    env.get_domain = lambda name: SimpleNamespace(labels=labels)
    app = SimpleNamespace(builder=SimpleNamespace(name="html"), env=env, outdir=tmp_path)
    written = f"Search.setIndex({json.dumps(INDEX)})"
    path = tmp_path / "searchindex.js"
    for builder, exception, changed in (("latex", None, False), ("html", ValueError(), False), ("html", None, True)):
        path.write_text(written, encoding="utf-8")
        app.builder.name = builder
        refine(app, exception)
        assert (path.read_text(encoding="utf-8") != written) == changed
    assert json.loads(path.read_text(encoding="utf-8")[len("Search.setIndex(") : -1]) == {
        "docnames": ["book/a", "book/b"],
        "titles": ["A", "B & C"],
        "alltitles": {
            "A": [[0, None]],
            "Exercise 1.2 (Try it)": [[0, "ex-1"]],
            "Try it": [[1, "ex-9"]],
            "Jensen’s inequality": [[0, "thm-1"]],
            "Pitfalls": [[0, "pitfalls"], [1, "pitfalls"]],
        },
        "terms": {"elbo": [0, 1], "1e9": 1, "x2": 0},
        "indexentries": {},
        "objects": INDEX["objects"],
        "symptoms": [
            [
                1,
                "The loss is NaN",
                "sec-troubleshooting-nan",
                ["diverg", "explod", "inf", "infinit", "nan", "overflow", "unstabl"],
                ["crash", "diverg", "explod", "huge", "spike"],
                ["i", "loss", "nan", "the"],
            ]
        ],
    }


def test_the_same_exercise_title_on_two_pages_has_two_numbers():
    titles = {f"Solution to Exercise {page + 1}.1 (Why?)": [[page, "sol"]] for page in (0, 1)}
    titles |= {" (Why?)": [[0, "ex"], [1, "ex"]]}
    assert named(titles) == {"Exercise 1.1 (Why?)": [[0, "ex"]], "Exercise 2.1 (Why?)": [[1, "ex"]]}


@pytest.mark.parametrize("tex, text", [
    (r"\log \sigma_\phi^2(x)", "log σ_φ²(x)"), (r"\mathcal{N}(z; 0, I)", "N(z; 0, I)"), (r"q(z \mid x)", "q(z | x)"),
    (r"\operatorname{KL}(q \Vert p)", "KL(q ‖ p)"), (r"f^*_{\beta}", "f*_β"), (r"\hat{x}\,\bigl(y\bigr)", "x(y)"),
    (r"\int p", "∫p"), (r"\unknown x", r"\unknown x"), (r"\varepsilon \dots \ell", "ε…ℓ"),
])  # fmt: skip
def test_a_formula_as_text(tex, text):
    assert plain(tex) == text


def row(symbol: str, meaning: list, code: list[str]) -> str:
    """The name of a row of the tables of notation."""
    said = [nodes.math("", part[1:]) if part.startswith("$") else nodes.Text(part) for part in meaning]
    codes = [nodes.literal("", word) for word in code]
    return row_name(nodes.entry("", nodes.math("", symbol)), nodes.entry("", *said), nodes.entry("", *codes))


def test_a_row_is_called_by_symbol_spoken_name_code_and_meaning():
    meaning = ["standard Gaussian noise, ", r"$\varepsilon \sim \mathcal{N}(0, I)"]
    assert row(r"\varepsilon", meaning, ["eps"]) == "ε (epsilon, eps): standard Gaussian noise"
    assert row("x", ["an image"], []) == "x: an image"
    assert row(r"\sigma_\phi", ["one; two"], ["sigma", "log_var"]) == "σ_φ (sigma, phi, log_var): one; two"


def test_symbols_and_terms_are_objects_until_their_page_is_read_again():
    objects = {("term", "ELBO"): ("book/glossary", "term-ELBO"), ("label", "x"): ("book/a", "x")}
    env = SimpleNamespace(get_domain=lambda domain: SimpleNamespace(objects=objects), domaindata={})
    domain = Symbols(env)
    domain.data["symbols"] = {"x": ("book/notation", "symbol-1"), "y": ("book/other", "symbol-1")}
    term = ("ELBO", "ELBO", "term", "book/glossary", "term-ELBO", 0)
    of_other = ("y", "y", "symbol", "book/other", "symbol-1", 0)
    assert list(domain.get_objects()) == [("x", "x", "symbol", "book/notation", "symbol-1", 0), of_other, term]
    assert [domain.get_type_name(kind) for kind in domain.object_types.values()] == ["symbol", "glossary term"]
    domain.clear_doc("book/notation")
    assert list(domain.get_objects()) == [of_other, term]


# Chapters and their evidence


def book() -> SimpleNamespace:
    """What of Sphinx's application a book of two chapters and a page without a number has, once all is read."""
    checks = {
        "a": [dict(claim=claim, planted=planted) for claim, planted in (("a1", False), ("a2", True), ("a3", False))],
        "b": [dict(claim="b1", planted=False)],
        "c": [dict(claim="c1", planted=True)],
    }
    env = SimpleNamespace(
        toctree_includes={"index": ["a", "c"], "a": ["b"]},
        toc_secnumbers={"a": {"": (1,), "#x": (1, 1)}, "b": {"": (2,)}},
        titles={name: nodes.Text(name.upper()) for name in ("index", "a", "b", "c")},
        checks=checks,
    )
    return SimpleNamespace(env=env, config=SimpleNamespace(root_doc="index"))


def test_pages_are_in_reading_order_and_chapters_have_their_number():
    assert reading_order(book()) == ["index", "a", "b", "c"]
    assert [numbered_title(book(), name) for name in ("index", "a", "b", "c")] == ["INDEX", "1. A", "2. B", "C"]


def test_checks_are_numbered_through_and_parted_by_what_they_show():
    assert [check["number"] for name in ("index", *"abc") for check in evidence_page.numbered(book(), name)] == [
        "1.1", "1.2", "1.3", "2.1", "1",
    ]  # fmt: skip
    claims, mistakes = (evidence_page.by_page(book(), planted=planted) for planted in (False, True))
    assert {name: [check["claim"] for check in checks] for name, checks in claims.items()} == {
        "a": ["a1", "a3"], "b": ["b1"],
    }  # fmt: skip
    assert {name: [check["number"] for check in checks] for name, checks in mistakes.items()} == {
        "a": ["1.2"], "c": ["1"],
    }  # fmt: skip
    assert evidence_page.summary(book(), "index").astext() == (
        "3 claims on 2 pages, each measured, each passed. 2 wrong formulas, programs and statements, put to the checks "
        "on purpose on 2 pages, each caught."
    )
    assert [evidence_page.plural("page", count) for count in (0, 1, 2)] == ["pages", "page", "pages"]


# Formulas, and scripts


@pytest.mark.parametrize("before, after, marks", [
    ("see (", "), then", ("(", "),")), ("is “", "” and", ("“", "”")), ("is", "-th", ("", "-")), ("", ".", ("", ".")),
    ("is (", "", ("(", "")), ("is ", " and", None), ("", "", None),
])  # fmt: skip
def test_a_formula_keeps_the_marks_that_touch_it(before, after, marks):
    parts = [nodes.math("", "x") if part is None else nodes.Text(part) for part in (before, None, after) if part != ""]
    document = nodes.paragraph("", "", *parts)
    said = document.astext()
    keep_marks(SimpleNamespace(builder=SimpleNamespace(format="html")), document, "page")
    assert document.astext() == said
    unbroken = [[child.astext() for child in node.children] for node in document.findall(nodes.inline)]
    assert unbroken == ([] if marks is None else [[marks[0], "x", marks[1]]])


@pytest.mark.parametrize("classes, scripts", [
    ([], []), (["explorer-other"], []), (["explorer-latent"], ["network", "panel", "latent"]),
    (["explorer-elbo", "explorer-draw"], ["network", "panel", "draw", "elbo"]),
])  # fmt: skip
def test_a_page_loads_the_scripts_of_its_explorers_after_what_they_need(classes, scripts):
    added: dict[str, str] = {}
    app = SimpleNamespace(
        add_css_file=lambda name: added.update({name: "style"}),
        add_js_file=lambda name, loading_method: added.update({name: loading_method}),
    )
    page = nodes.section("", *(nodes.container("", classes=["explorer", name]) for name in classes))
    explorers.add_scripts(app, "page", "page.html", {}, page)
    style = {"explorers/explorers.css": "style"} if scripts else {}
    assert list(added.items()) == list((style | {f"explorers/{name}.js": "defer" for name in scripts}).items())
    explorers.add_scripts(app, "search", "search.html", {}, None)  # a page without a document
    expected = ["latent", "numbers", "draw", "elbo", "reparameterization", "smallest", "gaps", "filter"]
    assert list(explorers.ALT) == expected


def test_a_picture_gets_a_palette_where_that_is_smaller(tmp_path):
    levels = np.random.default_rng(0).choice(np.arange(0, 255, 3), (100, 200))  # no more than the palette has
    grays = np.stack([levels.astype(np.uint8)] * 3, -1)
    path = tmp_path / "figure.png"
    Image.fromarray(grays).save(path)
    size = path.stat().st_size
    squeeze(path)
    with Image.open(path) as after:
        assert after.mode == "P" and after.size == (200, 100)
        assert np.array_equal(np.asarray(after.convert("RGB")), grays)
    once = path.read_bytes()
    squeeze(path)
    assert path.read_bytes() == once and len(once) < size / 2


@pytest.mark.parametrize("measured, set_", [
    ("gap 1.4e-14 ≤ 1e-12 nats", "gap [1.4 × 10<sup>−14</sup>] ≤ [10<sup>−12</sup>] nats"),
    ("margin 2e+05, 3e6 and 1e-05", "margin [2 × 10<sup>5</sup>], [3 × 10<sup>6</sup>] and [10<sup>−5</sup>]"),
    ("e−6, base64e2, 0.5, one-e-2, x1e-3", "e−6, base64e2, 0.5, one-e-2, x1e-3"),
])  # fmt: skip
def test_powers_of_ten_are_set_in_checks_alone(measured, set_):
    page = '<p>1e-12</p><div class="check-measurement">{}</div><p>1e-12</p>'
    context = {"body": page.format(measured)}
    typeset_checks(None, "page", "page.html", context, None)
    expected = set_.replace("[", '<span class="number">').replace("]", "</span>")
    assert context["body"] == page.format(expected)
    typeset_checks(None, "page", "page.html", {}, None)  # a page without a body


def test_no_line_of_a_formula_ends_at_the_bar_of_a_condition():
    html, message = render(r"p(x \mid z) = 1", False)
    assert message == "" and html.count("katex-base") == 3
    html, message = render(unbroken(r"p(x \mid z) = \midpoint"), False)
    assert r"\midpoint" in message  # which is another name
    html, message = render(unbroken(r"p(x \mid z) = 1"), False)
    assert message == "" and html.count("katex-base") == 2
