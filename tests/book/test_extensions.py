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
from katex_math import keep_marks, parted, render, unbroken
from PIL import Image
from places import Place, plain, read
from previews import end, target, write_previews
from search_index import COMMON, SUBJECTS, SYMPTOMS, index, places
from search_index import name as row_name
from theme_fixes.light import squeeze, without_measuring
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


PAGE = """<nav>not this</nav><article><section class="tex2jax_ignore" id="bounds">
<h1><span class="section-number">3. </span>Bounds<a class="headerlink" href="#bounds">#</a></h1>
<p class="chapter-times">9 min</p><p>Before, <span class="unbroken">(<span class="math"><span class="katex"><span
class="katex-mathml"><math><semantics><mi>q</mi>
<annotation encoding="application/x-tex">q_\\phi^2</annotation></semantics>
</math></span><span class="katex-html">qϕ2</span></span></span>)</span>.</p>
<section id="a-gap"><span id="sec-bounds-gap"></span><h2>A gap</h2><p>Its text.</p>
<details class="hide"><summary><p class="admonition-title">Show the code</p></summary>
<div class="cell_input"><pre>from x import logsumexp, é2</pre></div></details>
<div class="cell_output"><div class="check"><span class="check-verdict">passed</span>
<span class="check-claim">tight</span>
<div class="check-measurement">gap 0</div></div></div>
<div class="exercise admonition" id="ex-1"><p class="admonition-title"><span>Exercise 3.1 </span> (Try)</p>
<section id="exercise-content"><p>Do it.</p></section></div>
<div class="solution admonition" id="sol-1"><p class="admonition-title">Solution</p><p>Done.</p></div>
<div class="admonition note"><p class="admonition-title">Note</p><p>After.</p></div></section>
<dl class="glossary"><dt id="term-a">a</dt><dd><p>First.</p></dd><dt id="term-b">b</dt><dd><p>Second.</p></dd></dl>
<dl class="py class"><dt class="sig" id="m.C">C(x)<a class="viewcode-link">[source]</a></dt><dd><p>A class.</p>
<dl class="py method"><dt class="sig" id="m.C.f">f()</dt><dd><p>A method.</p></dd></dl><p>More.</p></dd></dl>
<table><tbody><tr id="symbol-1"><td>x</td><td>a point</td></tr></tbody></table>
<div class="citation" id="id1"><span class="label">[1]</span><p>Ada. Notes. 1843.</p></div>
</section></article><footer>nor this</footer>"""
PLACES = [  # kind, anchor, title, text
    ("page", "", "Bounds", "Before, (q_φ²)."),
    ("section", "sec-bounds-gap", "A gap", "Its text. Note After."),
    ("exercise", "ex-1", "Exercise 3.1 (Try)", "Do it."),
    ("term", "term-a", "a", "First."),
    ("term", "term-b", "b", "Second."),
    ("class", "m.C", "m.C", "C(x) A class. More."),
    ("method", "m.C.f", "m.C.f", "f() A method."),
    ("symbol", "symbol-1", "", "x a point"),
    ("source", "id1", "Ada. Notes. 1843.", ""),
]


def test_the_places_of_a_page_and_what_each_says():
    found = read(PAGE)
    assert [(place.kind, place.anchor, place.title, place.text) for place in found] == PLACES
    assert found[1].code == {"from", "import", "logsumexp", "tight"}


def test_a_place_is_listed_with_the_words_that_lead_to_it():
    page = PAGE.replace("sec-bounds-gap", "sec-troubleshooting-nan")
    elbo = places(page, "elbo", {"symbol-1": "x: a point"})
    common = [Place("section", f"s{i}", "t", code={"Agree"}) for i in range(COMMON)]
    listed = index([["a.html", "A"], ["b.html", "B"]], [elbo, [*common, Place("page", "", code={"AGREE"})]])
    assert listed["places"][0] == [0, "page", "", "Bounds", "Before, (q_φ²).", SUBJECTS["elbo"]]
    assert listed["places"][1][-1] == SYMPTOMS["nan"] and listed["places"][2][-1] == ""
    assert listed["places"][7] == [0, "symbol", "symbol-1", "x: a point", "", ""]
    assert len(listed["places"]) == len(PLACES) + COMMON + 1 and listed["places"][-1][0] == 1
    assert listed["code"] == {word: [1] for word in ("from", "import", "logsumexp", "tight")}  # agree is everywhere
    assert {"beta β", "epsilon ε", "gray grey"} <= {*listed["alike"]}


@pytest.mark.parametrize("tex, text", [
    (r"\log \sigma_\phi^2(x)", "log σ_φ²(x)"), (r"\mathcal{N}(z; 0, I)", "N(z; 0, I)"), (r"q(z \mid x)", "q(z | x)"),
    (r"q(z \mid\nobreak x)", "q(z | x)"),
    (r"\operatorname{KL}(q \Vert p)", "KL(q ‖ p)"), (r"f^*_{\beta}", "f*_β"), (r"\hat{x}\,\bigl(y\bigr)", "x(y)"),
    (r"\int p", "∫p"), (r"\unknown x", r"\unknown x"), (r"\varepsilon \dots \ell", "ε…ℓ"), (r"201^2", "201²"),
    (r"\tfrac12 \log \frac{a + 1}{\sqrt{2\pi}}", "1/2 log (a + 1)/(√(2π))"), (r"\frac{\mu}{2}^{10}", "μ/2¹⁰"),
    (r"\sum_{n=1}^N \bigl\{e^{-kt}\bigr\} \\ &= 1", "∑_n=1^N e^(-kt) = 1"),
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


@pytest.mark.parametrize("tex, parts, boxes", [
    (r"a = b, \qquad c = d \quad e", 3, 5), (r"q(z \mid x) = 1", 1, 2), (r"\frac{a \quad b}{c}", 1, 1),
    (r"\begin{aligned} a &= b \quad c \end{aligned}", 1, 1),
])  # fmt: skip
def test_a_displayed_formula_breaks_at_wide_spaces_and_not_at_a_bar(tex, parts, boxes):
    page, message = parted(tex)
    assert message == "" and page.count('<span class="katex-part">') == parts
    assert page.count('<span class="katex-base">') == boxes  # between two of them a line may end
    assert page.count("<span") == page.count("</span>")
    assert f">{tex}</annotation>" in page.replace("&amp;", "&")


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
    folder = Path(explorers.__file__).parents[1] / "_static" / "explorers"
    assert set(explorers.ALT) == {picture.stem for picture in folder.glob("*.png")}


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


@pytest.mark.parametrize(
    "said, set_",
    [
        ("KL(p* ‖ p_θ) is 6σ_φ² + 1", "KL(p* ‖ p[φθ]) is 6σ[φφ]² + 1"),
        ("½(Σ log Λ_ll − log |Λ|)", "½(Σ log Λ[φll] − log |Λ|)"),
        ("log p(x_t2 | x_{1:t1})", "log p(x[φt2] | x[φ1:t1])"),
        ("K^(−3/7), 2^-3.5, e^{iωε}", "K[^−3/7], 2[^−3.5], e[^iωε]"),
        ("½(e^(λ_s − λ_t) − 1)", "½(e[^λ[φs] − λ[φt]] − 1)"),
        ("a_step_too_many: F.kl_div(p.log(), q)", "{a_step_too_many}: {F.kl_div}(p.log(), q)"),
        ("−vae_tutorial.bounds.elbo of z_q", "−{vae_tutorial.bounds.elbo} of z[φq]"),
        ("best_device() and clip_grad_value_", "{best_device()} and {clip_grad_value_}"),
        ("A plain claim: e, x₁ and σ²; it&#x27;s so", "A plain claim: e, x₁ and σ²; it&#x27;s so"),
    ],
)
def test_symbols_of_a_claim_are_set(said, set_):
    expected = re.sub(r"\[φ([^][]*)\]", r"<sub>\1</sub>", set_)
    expected = re.sub(r"\[\^([^][]*)\]", r"<sup>\1</sup>", expected)
    expected = re.sub(r"\{([^}]*)\}", r"<code>\1</code>", expected)
    page = '<p>x_θ</p><span class="check-claim">{}</span>'
    context = {"body": page.format(said)}
    typeset_checks(None, "page", "page.html", context, None)
    assert context["body"] == page.format(expected)


def test_no_line_of_a_formula_ends_at_the_bar_of_a_condition():
    html, message = render(r"p(x \mid z) = 1", False)
    assert message == "" and html.count("katex-base") == 3
    html, message = render(unbroken(r"p(x \mid z) = \midpoint"), False)
    assert r"\midpoint" in message  # which is another name
    html, message = render(unbroken(r"p(x \mid z) = 1"), False)
    assert message == "" and html.count("katex-base") == 2


def test_the_themes_measuring_goes_and_where_it_is_another_one_the_build_says_so():
    script = 'f(),"complete"===document.readyState?I():window.addEventListener("load",I)})();'
    assert without_measuring(script) == "f(),0})();"
    with pytest.raises(ValueError, match="measures code in 0 places"):
        without_measuring(script.replace("load", "pageshow"))
