"""Pages on paper: what the browser prints of them is the article, whole, in light colors, with open solutions."""

import pytest
from playwright.sync_api import Page

A4 = round((210 - 2 * 16) / 25.4 * 96)  # pixels between the margins of print.css
OUTSIDE = """width => {  // text and pictures that lie beyond the edges of the paper
    const outside = [], range = document.createRange();
    const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text; (text = words.nextNode());) {
        if (!text.data.trim() || text.parentElement.closest('.katex-mathml, script, noscript, style')) continue;
        range.selectNodeContents(text);
        for (const box of range.getClientRects()) {
            if (box.width > 1 && (box.left < -1 || box.right > width + 1)) outside.push(text.data.trim().slice(0, 60));
        }
    }
    for (const image of document.images) {
        const box = image.getBoundingClientRect();
        if (box.right > width + 1 || box.left < -1) outside.push(image.src);
    }
    return [...new Set(outside)];
}"""
# Code that prints stays folded on paper, as on the page.
SOLVED = ".solution p:not(.admonition-title), .solution pre:not(details pre)"
SEEN = "node => node.checkVisibility({opacityProperty: true, visibilityProperty: true})"


@pytest.fixture(scope="module")
def paper(browser):
    """A window as wide as the paper; its reader prefers the dark."""
    with browser.new_context(color_scheme="dark", viewport={"width": A4, "height": 970}) as context:
        yield context


def printed(paper, address: str) -> Page:
    """The page as it is when the browser prints it."""
    tab = paper.new_page()
    tab.goto(address, wait_until="load")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print", color_scheme="dark")
    return tab


def test_every_page_lies_within_the_paper(book, pages, paper):
    for name in pages:
        if name.startswith("book/"):
            tab = printed(paper, (book / name).as_uri())
            assert tab.evaluate(OUTSIDE, A4) == [], name
            tab.close()


def test_only_the_article_is_printed_in_light_colors(book, paper):
    tab = printed(paper, (book / "book" / "elbo.html").as_uri())
    for part in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".bd-header-article", ".prev-next-footer",
                 ".bd-footer", "button", ".headerlink", "summary", "#jb-print-docs-body"):  # fmt: skip
        found = tab.locator(part)
        assert found.count() > 0 and not any(found.evaluate_all(f"all => all.map({SEEN})")), part
    assert tab.locator("h1:visible").all_text_contents() == ["3. The evidence lower bound#"]
    assert tab.evaluate("document.documentElement.dataset.theme") == "light"
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
    scrolling = """[...document.querySelectorAll('article *')].filter(node => {  // and so would be cut off
        const {overflowX, display} = getComputedStyle(node);
        return /auto|scroll|hidden/.test(overflowX) && display !== 'inline' && node.clientWidth
            && node.scrollWidth > node.clientWidth + 1 && !node.closest('.katex');
    }).map(node => node.outerHTML.slice(0, 99))"""
    assert tab.evaluate(scrolling) == []
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    tab.close()


def test_solutions_are_printed_and_folded_again(book, paper):
    tab = printed(paper, (book / "book" / "elbo.html").as_uri())
    texts = tab.locator(SOLVED)
    assert texts.count() > 5
    tab.wait_for_function(f"[...document.querySelectorAll('{SOLVED}')].every({SEEN})")
    assert all(height > 5 for height in texts.evaluate_all("all => all.map(n => n.getBoundingClientRect().height)"))
    tab.emulate_media(media="screen")
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator(".solution.toggle-hidden").count() == tab.locator(".solution").count() > 1
    tab.close()


def test_solutions_are_printed_also_where_no_script_opens_them(book, paper):
    tab = paper.new_page()
    tab.goto((book / "book" / "elbo.html").as_uri())
    assert tab.locator(".solution.toggle-hidden").count() > 1
    tab.emulate_media(media="print")
    texts = tab.locator(SOLVED)
    assert all(texts.evaluate_all(f"all => all.map({SEEN})"))
    assert all(height > 5 for height in texts.evaluate_all("all => all.map(n => n.getBoundingClientRect().height)"))
    tab.close()


def test_an_explorer_prints_as_its_picture(book, paper):
    tab = paper.new_page()
    tab.goto((book / "book" / "explorers.html").as_uri())
    for explorer in tab.locator(".explorer").all():
        explorer.scroll_into_view_if_needed()
        explorer.locator(".explorer-live").wait_for()
    tab.emulate_media(media="print")
    for explorer in tab.locator(".explorer").all():
        assert explorer.locator("img").is_visible() and not explorer.locator(".explorer-live").is_visible()
    tab.close()


def test_a_chapter_makes_a_moderate_number_of_pages(book, paper):
    tab = paper.new_page()
    tab.goto((book / "book" / "elbo.html").as_uri())
    n_pages = tab.pdf(prefer_css_page_size=True).count(b"/Type /Page\n")
    assert 10 <= n_pages <= 25
    tab.close()
