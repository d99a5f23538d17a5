"""The built book: no warning, and every page whole in a browser, from a server and from the disk, by day and by night.

The last tests plant errors: each must break the build of a small book made with the same extensions.
"""

import gzip
import json
import re
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from axe import AT_ANOTHER_WIDTH, violations_of_page
from bs4 import BeautifulSoup
from fontTools.ttLib import TTFont
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import expect
from sites import ROOT, QuietHandler, build_small, lay_out, listen, paint, serving

from vae_tutorial.checks import Check

CHECK_OUTPUT = re.compile(r'<div class=\\?"check check-(?!yours)')


@pytest.fixture(scope="module")
def soups(book, pages) -> dict[str, BeautifulSoup]:
    return {page: BeautifulSoup((book / page).read_text(encoding="utf-8"), "html.parser") for page in pages}


# What the files say


def test_every_page_has_language_title_description_and_icon(book, soups):
    for page, soup in soups.items():
        assert soup.html.get("lang") == "en", page
        title = soup.title.get_text(strip=True)
        assert title and "\\" not in title, page
        assert soup.find("meta", attrs={"name": "description"})["content"].strip(), page
        icon = soup.find("link", rel=re.compile("icon"))["href"]
        assert icon.startswith("data:") or (book / page).parent.joinpath(icon.split("?")[0]).exists(), page


def test_every_internal_link_and_anchor_resolves(book, soups):
    anchors = {page: {tag["id"] for tag in soup.find_all(id=True)} for page, soup in soups.items()}
    n_links = 0
    for page, soup in soups.items():
        for tag in soup.find_all(["a", "link", "script", "img"]):
            address = urlsplit(tag.get("href") or tag.get("src") or "")
            if address.scheme or address.netloc or tag.get("href", "#") == "#":
                continue
            target = (book / page).parent.joinpath(unquote(address.path)).resolve() if address.path else book / page
            assert target.is_file(), f"{page} → {address.geturl()}"
            name = target.relative_to(book).as_posix()
            if address.fragment and name in anchors:
                assert unquote(address.fragment) in anchors[name], f"{page} → {address.geturl()}"
            n_links += 1
    assert n_links > 100


def test_ids_are_unique(soups):
    for page, soup in soups.items():
        ids = [tag["id"] for tag in soup.find_all(id=re.compile("^(check|equation|fig|thm|ex)-"))]
        assert len(ids) == len(set(ids)), page


def test_nothing_is_loaded_from_another_host(soups):
    for page, soup in soups.items():
        for tag in soup.find_all(["script", "link", "img", "iframe", "source"]):
            address = urlsplit(tag.get("src") or tag.get("href") or "")
            own = address.scheme in ("", "data") and not address.netloc
            assert own or tag.get("rel") == ["canonical"], (page, tag)
        assert not soup.find("script", src=re.compile("mathjax|fontawesome", re.I)), page


def test_evidence_lists_every_stored_check(soups):
    stored = sum(len(CHECK_OUTPUT.findall(path.read_text(encoding="utf-8"))) for path in ROOT.glob("book/*.ipynb"))
    tables = soups["book/evidence.html"].find_all("table", class_="evidence")
    rows = [row for table in tables for row in table.tbody.find_all("tr")]
    shown = sum(len(soup.select("div.check:not(.check-yours)")) for soup in soups.values())
    assert len(rows) == stored == shown > 0


def test_bibliography_lists_what_is_cited_with_its_address(soups):
    listed = soups["book/bibliography.html"].find_all("div", class_="citation")
    links = [a["href"] for soup in soups.values() for a in soup.find_all("a", href=re.compile("bibliography.html#"))]
    cited = {urlsplit(link).fragment for link in links} - {""}
    assert {entry["id"] for entry in listed} - cited == set()
    text = (ROOT / "references.bib").read_text(encoding="utf-8")
    bodies = [re.sub(r"[{}]", "", entry) for entry in re.split(r"^@", text, flags=re.MULTILINE)[1:]]
    for entry in listed:
        link = entry.find("a", href=re.compile("^https?://"))
        assert link is None or any(link.get_text().split(":", 1)[-1].strip() in body for body in bodies)
    n_links = sum(entry.find("a", href=re.compile("^https?://")) is not None for entry in listed)
    assert n_links > len(listed) / 2


def test_names_in_docstrings_are_links_and_return_types_are_said_once(soups):
    for api in (soup for page, soup in soups.items() if page.startswith("book/api/")):
        assert api.find_all("cite") == []  # what an unknown role leaves of `a name`
        for field in api.find_all("dd", class_=re.compile("^field")):
            name = field.find_previous_sibling("dt").get_text().strip(": \n")
            if name == "Returns" and (after := field.find_next_sibling("dd")):
                shown = after.get_text(strip=True) if "type" in after.find_previous_sibling("dt").get_text() else ""
                assert shown not in [code.get_text() for code in field.find_all("code")]


def test_the_icons_shown_are_in_the_small_font(book, soups):
    css = (book / "_static" / "book.bundle.css").read_text(encoding="utf-8")
    glyphs = TTFont(book / "_static" / "icons.woff").getBestCmap()
    shown = {name for soup in soups.values() for tag in soup.find_all("i") for name in tag["class"]}
    icons = {name for name in shown if name.startswith("fa-")} - {"fa-solid", "fa-lg"}
    assert len(icons) > 5
    for icon in icons:
        assert ord(re.search(rf'\.{icon}:before[^{{]*{{content:"(.)"', css)[1]) in glyphs, icon


# What a browser makes of them


STATE = """() => {
    const math = [...document.querySelectorAll('.math.notranslate')];
    const prose = document.querySelector('main, body').cloneNode(true);
    prose.querySelectorAll('pre, code, script, style, .katex').forEach(node => node.remove());
    const numbers = color => color.match(/[\\d.]+/g).map(Number);
    const luminance = color => {
        const [r, g, b] = color.slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = node => {  // the color under it: of what is nearest, and of what shows through that
        if (!node) return [255, 255, 255];
        const [r, g, b, opacity = 1] = numbers(getComputedStyle(node).backgroundColor);
        if (opacity === 1) return [r, g, b];
        return ground(node.parentElement).map((under, i) => opacity * [r, g, b][i] + (1 - opacity) * under);
    };
    const scrolls = node => /auto|scroll/.test(getComputedStyle(node).overflowX);
    const contrast = node => {
        const pair = [numbers(getComputedStyle(node).color), ground(node)];
        const [dark, light] = pair.map(luminance).sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
    };
    return {
        theme: document.documentElement.dataset.theme,
        height: document.documentElement.scrollHeight,
        wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        math: math.length,
        set: math.filter(node => node.querySelector('.katex .katex-html') && node.querySelector('math')).length,
        errors: document.querySelectorAll('.katex-error').length,
        raw: prose.textContent.match(/\\\\\\(|\\\\\\[|\\$\\$|\\\\begin\\{|\\\\[a-z]{3,}|\\{math\\}/g) || [],
        images: [...document.images].filter(i => !i.closest('.panels'))  // whose pieces are one image, with its text
            .filter(i => !i.alt.trim() || /\\.(png|svg)$/.test(i.alt) || !i.naturalWidth)
            .map(i => i.src),
        contrast: [...document.querySelectorAll('.check *, article .headerlink, figcaption, figcaption *')]
            .filter(n => n.textContent.trim() && !n.closest('.katex')).map(contrast),
        uncued: [...document.querySelectorAll('article *')]  // scrolls sideways, and nothing shows it
            .filter(n => n.scrollWidth > n.clientWidth + 1 && scrolls(n))
            .filter(n => !getComputedStyle(n).backgroundAttachment.includes('local'))
            .map(n => n.outerHTML.slice(0, 99)),
        numbers: [...document.querySelectorAll('.eqno')].filter(node => {  // cut off, or upon its formula
            if (node.closest('.toggle-hidden')) return false;
            const number = node.getBoundingClientRect();
            const formula = node.parentElement.querySelector('.katex-display').getBoundingClientRect();
            const apart = number.top >= formula.bottom || number.left >= formula.right;
            return !(number.width && number.left >= 0 && number.right <= innerWidth && apart);
        }).map(node => node.textContent),
        stray: [...document.querySelectorAll('.math.notranslate')].filter(node => {  // a formula, and a mark after it
            const mark = node.nextSibling?.textContent || '';
            if (node.tagName !== 'SPAN' || !/^[.,;:)?!’]/.test(mark)) return false;
            const range = document.createRange();
            range.setStart(node.nextSibling, 0);
            range.setEnd(node.nextSibling, 1);
            const box = range.getBoundingClientRect();
            const parts = node.querySelectorAll('.katex-base');
            return box.width && box.left < parts[parts.length - 1].getBoundingClientRect().right - 2;
        }).map(node => node.querySelector('annotation').textContent),
    };
}"""


NARROW = """() => {  // with all unfolded: the displayed formulas before "In depth" that do not fit
    document.querySelectorAll('details').forEach(details => { details.open = true; });
    document.querySelectorAll('.toggle-hidden').forEach(node => node.classList.remove('toggle-hidden'));
    const depth = document.querySelector('section#in-depth');
    return [...document.querySelectorAll('.katex-display')].filter(box => box.scrollWidth > box.clientWidth)
        .filter(box => !depth || depth.compareDocumentPosition(box) & Node.DOCUMENT_POSITION_PRECEDING)
        .map(box => box.querySelector('annotation').textContent);
}"""


# Bytes that are sent when a page opens, by a host that compresses text; the explorers' networks come later, and hold up
# nothing: on the landing page with the first touch.
LIGHT = {"index.html": 235_000, "book/index.html": 235_000, "book/explorers.html": 700_000}
CHAPTER, NETWORKS = 430_000, 480_000
TEXT = {".html", ".css", ".js", ".svg"}


def sent(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), 6)) if path.suffix in TEXT else path.stat().st_size


FETCH_PICTURES = """() => Promise.all([...document.images].map(image => {
    image.loading = 'eager';
    return image.decode().catch(() => null);
}))"""


# Each scheme, width and source once: no flaw here needs two of them together. A color depends on the scheme, a place on
# the width. All else that axe-core knows is judged at one width, and at the other on the first page: what only phones
# show is the same on all.
@pytest.mark.parametrize("theme, width, source", [("light", 1350, "file"), ("dark", 390, "http")])
def test_pages_open_without_a_flaw(book, pages, server, browser, theme, width, source):
    base = server if source == "http" else book.as_uri() + "/"
    flaws, n_formulas, judged = {}, 0, set()
    for name in pages:
        with browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900}) as context:
            said, requests = listen(context)
            tab = context.new_page()
            tab.goto(base + name, wait_until="load")
            if name == "index.html":
                tab.wait_for_url("**/book/index.html")
            paint(tab)  # else what is asked for by then is a matter of luck
            own = [url.removeprefix(base) for url in requests if url.startswith(base)]
            files = {book / unquote(urlsplit(url).path) for url in own}
            networks = {path for path in files if re.fullmatch(r"(en|de)coder(20)?\.js", path.name)}
            weight, later = sum(map(sent, files - networks)), sum(map(sent, networks))
            guessed = tab.evaluate("document.documentElement.scrollHeight")
            lay_out(tab)
            tab.evaluate(FETCH_PICTURES)
            state = tab.evaluate(STATE)
            cut, wider = [], 0
            if width < 600:
                cut = tab.evaluate(NARROW)
                tab.set_viewport_size({"width": 320, "height": 900})
                wider = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                tab.set_viewport_size({"width": width, "height": 900})
            heard, asked = [*said], [*requests]  # what axe-core asks for is not the page's
            rules = None if width > 600 or name == pages[0] else AT_ANOTHER_WIDTH
            inaccessible = violations_of_page(tab, rules, judged)
        found = {
            "said": [line for line in heard if not line.startswith("net::ERR_ABORTED")],  # the entrance leaves at once
            "foreign": [url for url in asked if not url.startswith((base, "data:"))],
            "theme": state["theme"] != theme,
            "wider than the window": max(state["wider"], wider, 0),
            "cut formulas": cut,
            "inaccessible": inaccessible,
            "formulas not set": state["math"] - state["set"] + state["errors"],
            "badly guessed height": ratio if not 0.85 < (ratio := guessed / state["height"]) < 1.3 else 0,
            "pale": [ratio for ratio in state["contrast"] if ratio < 4.5],
            "heavy": weight if weight > LIGHT.get(name, CHAPTER) or later > NETWORKS else 0,
            **{key: state[key] for key in ("raw", "images", "uncued", "numbers", "stray")},
        }
        if any(found.values()) or not own:
            flaws[name] = {key: value for key, value in found.items() if value}
        n_formulas += state["math"]
    assert flaws == {}
    assert n_formulas > 20


@pytest.mark.parametrize("width, height", [(1350, 900), (768, 1024), (390, 844)])
def test_the_first_screen_of_the_landing_page_answers(book, browser, width, height):
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        tab = context.new_page()
        tab.goto((book / "book" / "index.html").as_uri())
        found = tab.locator(".explorer-numbers .explorer-live")
        for part in (".paper", ".bars", ".made", ".explorer-buttons.row", "[role=status]"):  # a bet may lie below
            box = found.locator(part).bounding_box()
            assert box["y"] > 0 and box["y"] + box["height"] <= height, part
        found.get_by_role("button", name="Make one up").click()
        tab.wait_for_function(
            "node => node.textContent.startsWith('Twenty')", arg=found.get_by_role("status").element_handle()
        )


FAR = """<!DOCTYPE html><html lang="en"><title>t</title><link rel="icon" href="data:,"><style>
    @font-face {{ font-family: late; src: url({font}) }}
    section > p {{ content-visibility: auto; height: 3000px }}
    b {{ font-family: late }}
</style><article><section><p>near</p><p>between</p><p><b>far</b></p></section></article></html>"""


class LateFonts(QuietHandler):
    def do_GET(self):
        time.sleep(0.5 if self.path.endswith(".woff2") else 0)
        super().do_GET()


def test_a_page_is_judged_in_its_own_fonts_however_late_they_come(browser, tmp_path):
    font = next((ROOT / "book" / "_static" / "katex" / "fonts").glob("*Size1*.woff2"))
    (tmp_path / font.name).write_bytes(font.read_bytes())
    (tmp_path / "far.html").write_text(FAR.format(font=font.name), encoding="utf-8")
    with serving(tmp_path, LateFonts) as address, browser.new_context() as context:
        _, requests = listen(context)
        tab = context.new_page()
        tab.goto(f"{address}far.html", wait_until="load")
        paint(tab)
        assert not [url for url in requests if url.endswith(".woff2")]
        lay_out(tab)
        assert tab.evaluate("[...document.fonts].map(font => font.status)") == ["loaded"]


@pytest.mark.parametrize("width", [1350, 390])
def test_every_cell_of_the_evidence_is_in_view(book, browser, width):
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.goto((book / "book" / "evidence.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollHeight") < 12 * 900  # folded; 163,111 pixels once
    tab.get_by_role("button", name="Unfold all").click()
    lay_out(tab)
    boxes = tab.evaluate("""() => [...document.querySelectorAll('table.evidence td')]
        .map(node => [node.getBoundingClientRect(), node.scrollWidth - node.clientWidth])
        .map(([box, hidden]) => [box.left, box.right, box.width, box.height, hidden])""")
    heads = {
        text: tab.evaluate("text => getComputedStyle(document.querySelector(text), '::before').content", selector)
        for text, selector in {
            "Measured": "table.evidence-claims tr td:nth-child(4)",
            "Allowed": "table.evidence-mistakes tr td:nth-child(4)",
        }.items()
    }
    tab.close()
    assert len(boxes) > 20
    for left, right, across, down, hidden in boxes:
        assert 0 <= left < right <= width and across > 0 and down > 0 and hidden <= 0
    assert width > 600 or all(head in content for head, content in heads.items()), heads


def test_the_evidence_is_filtered_by_words_chapter_and_kind(book, soups, browser):
    tables = soups["book/evidence.html"].find_all("table", class_="evidence")
    rows = [(table, row.get_text().lower()) for table in tables for row in table.tbody.find_all("tr")]
    titles = [table.find_parent("details").summary.get_text() for table in tables]
    elbo = next(title for title in titles if "evidence lower bound" in title)
    tab = browser.new_page(viewport={"width": 390, "height": 900})
    tab.goto((book / "book" / "evidence.html").as_uri())
    form, shown = tab.get_by_role("form", name="Which checks are shown"), tab.locator("table.evidence tbody tr:visible")
    status = form.get_by_role("status")
    assert shown.count() == 0 and len(rows) > 500
    form.get_by_label("Words").press_sequentially("posterior QUADRATURE")
    expected = sum("posterior" in text and "quadrature" in text for _, text in rows)
    expect(status).to_have_text(f"{expected} of {len(rows)} checks")
    assert shown.count() == expected > 3
    form.get_by_label("Words").fill("")
    expect(status).to_be_empty()
    assert shown.count() == 0 and tab.locator("details.evidence-chapter:visible").count() == len(tables)
    form.get_by_label("Chapter").select_option(re.sub(r" \(\d+\)$", "", elbo))
    form.get_by_label("Kind").select_option("claims")
    number = int(re.search(r"\((\d+)\)$", elbo)[1])
    expect(status).to_have_text(f"{number} of {len(rows)} checks")
    assert shown.count() == number and tab.locator("details.evidence-chapter:visible").count() == 1
    tab.get_by_text(elbo).press("Enter")  # by the keyboard
    assert shown.count() == 0
    tab.close()


def test_the_evidence_needs_no_script(book, browser):
    with browser.new_context(java_script_enabled=False) as context:
        tab = context.new_page()
        tab.goto((book / "book" / "evidence.html").as_uri())
        chapter = tab.locator("details.evidence-chapter").first
        expect(chapter.locator("tbody tr").first).to_be_hidden()
        chapter.locator("summary").press("Enter")
        expect(chapter.locator("tbody tr").first).to_be_visible()


LAID_OUT = """() => [...document.querySelectorAll('article > section > section > p')]
    .map(text => text.firstElementChild?.checkVisibility({contentVisibilityAuto: true}) ?? null)
    .filter(seen => seen !== null)"""
STOPS = """() => [...document.querySelectorAll('.katex-display, article :is(pre, figure)')]
    .filter(box => box.scrollWidth > box.clientWidth).map(box => box.tabIndex)"""


def test_a_long_page_is_laid_out_as_it_is_read(book, browser):
    address = (book / "book" / "gaussian_kl.html").as_uri()
    tab = browser.new_page(viewport={"width": 390, "height": 900})
    tab.goto(address)
    first, *_, last = tab.evaluate(LAID_OUT)
    assert first and not last
    assert tab.locator("pre[tabindex='-1']").count() == 0  # the theme, too, measures nothing
    while tab.evaluate("document.documentElement.scrollHeight - innerHeight - scrollY") > 1:
        tab.mouse.wheel(0, 700)
        tab.wait_for_timeout(50)
    lay_out(tab)
    tab.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    tab.wait_for_timeout(200)
    stops = tab.evaluate(STOPS)
    assert len(stops) > 5 and set(stops) == {0}  # the keyboard reaches what scrolls
    for target in ("#check-30", "#exercises", "#pitfalls"):
        tab.goto("about:blank")
        tab.goto(address + target)
        assert not all(tab.evaluate(LAID_OUT))
        tab.wait_for_function("target => {const {top, bottom} = document.querySelector(target).getBoundingClientRect();"
                              " return bottom > 0 && top < innerHeight / 2}", arg=target)  # fmt: skip
    tab.close()


def test_the_page_that_a_link_leads_to_is_fetched_before_the_click(server, browser):
    tab = browser.new_page()
    tab.goto(f"{server}book/gaussian_kl.html")
    hints = tab.locator("link[rel=prefetch]")
    assert hints.count() == 0
    tab.locator("a.right-next").hover()
    expect(hints).to_have_count(1)
    assert hints.get_attribute("href").endswith("/book/reparameterization.html")
    tab.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<a class=foreign href=https://example.org/x.html>x</a>'"
        " + '<a class=file href=/x.ipynb>x</a>')"
    )
    for other in ("a.right-next", "a.foreign", "a.file", ".bd-article a[href^='#']"):
        tab.locator(other).first.dispatch_event("pointerover")
    assert hints.count() == 1  # once, and nothing of other sites or of this page
    tab.close()


def test_the_bar_of_a_solution_opens_it(book, browser):
    tab = browser.new_page()
    tab.goto((book / "book" / "gaussian_kl.html").as_uri())
    solutions, address = tab.locator(".solution.dropdown"), tab.url
    assert solutions.count() > 1
    for solution in solutions.all():
        bar = solution.locator("> .admonition-title")
        assert "toggle-hidden" in solution.get_attribute("class")
        bar.click(position={"x": 130, "y": 20})  # on the name of the exercise
        assert "toggle-hidden" not in solution.get_attribute("class")
        assert bar.locator("a").count() == 0
        name = bar.locator("button").get_attribute("aria-label")
        assert re.fullmatch(r"Solution to Exercise 4\.\d \(.+\)", name), name
    assert tab.url == address
    tab.close()


def test_mathematics_needs_no_script(book, pages, browser):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((book / "book" / "elbo.html").as_uri())
    formulas = tab.locator(".math .katex-html")
    assert formulas.count() > 5
    assert all(formulas.nth(i).is_visible() for i in range(5))
    context.close()


# Planted errors


GOOD = Check("one is one", ("counting", "looking"), gap=0.0, bound=1e-12)
BAD = Check("one is two", ("counting", "looking"), gap=1.0, bound=1e-12)
SETTINGS = {
    "extensions": ["myst_nb", "katex_math", "evidence_page"],
    "nb_execution_mode": "off",
    "html_math_renderer": "katex",
    "myst_enable_extensions": ["dollarmath"],
    "html_theme": "basic",
}


def chapter(folder: Path, *, text: str = "One formula, $x^2$.", check: Check | None = GOOD, tags: tuple = ()) -> None:
    """A small book with one chapter."""
    cells = [new_markdown_cell(f"# A chapter\n\n{text}")]
    if check is not None:
        data = {"text/plain": repr(check), "text/html": check._repr_html_()}
        shown = new_output("execute_result", data, execution_count=1)
        cells.append(new_code_cell("check", outputs=[shown], execution_count=1, metadata={"tags": list(tags)}))
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), folder / "chapter.ipynb")
    (folder / "index.md").write_text("# Book\n\n```{toctree}\nchapter\n```\n\n```{evidence} claims\n```\n", "utf-8")


def test_a_sound_chapter_builds(tmp_path):
    chapter(tmp_path)
    run = build_small(tmp_path, SETTINGS)
    assert (run.returncode, run.stderr) == (0, "")
    page = (tmp_path / "_build" / "chapter.html").read_text("utf-8")
    assert 'id="check-1"' in page and 'class="katex"' in page and "<math" in page
    assert "chapter.html#check-1" in (tmp_path / "_build" / "index.html").read_text("utf-8")


@pytest.mark.parametrize("planted, message", [
    (dict(text=r"Unbalanced: $\frac{1}{2$."), r"chapter\.ipynb:1000\d: WARNING: KaTeX parse error.*\\frac\{1\}\{2"),
    (dict(text="Unknown:\n\n$$\n\\expect{x}\n$$"), r"chapter\.ipynb:1000\d: WARNING: KaTeX parse error.*\\expect"),
    (dict(check=BAD), r"chapter\.ipynb.*cell 2: the check “one is two” fails"),
    (dict(check=GOOD, tags=("planted-mistake",)), r"cell 2: the check “one is one” passes although"),
    (dict(check=None), "the chapter chapter shows no check"),
], ids=["unbalanced TeX", "unknown TeX", "failed check", "mistake not caught", "no check"])  # fmt: skip
def test_a_planted_error_breaks_the_build(tmp_path, planted, message):
    chapter(tmp_path, **planted)
    run = build_small(tmp_path, SETTINGS)
    assert run.returncode != 0
    assert re.search(message, re.sub(r"\x1b\[[\d;]*m", "", run.stderr)), run.stderr


def test_a_caught_mistake_builds(tmp_path):
    chapter(tmp_path, check=BAD, tags=("planted-mistake",))
    assert build_small(tmp_path, SETTINGS).returncode == 0


def test_the_data_of_a_check_survive_the_page():
    text = BAD._repr_html_()
    assert json.loads(BeautifulSoup(text, "html.parser").div["data-check"])["passed"] is False
