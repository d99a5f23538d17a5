"""Previews, driven in a real browser: a card shows what a link leads to, for the pointer and for the keyboard.

Each kind of target is tried once from another page, where the build has copied it into a script, and once from its own.
"""

import gzip
import re

import pytest
from axe import violations
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Locator, Page, expect
from sites import listen, never_ask, paint

LINKS = {  # page: links of it, one to each kind of target that it has
    "book/elbo.html": [
        "glossary.html#term-evidence",
        "#equation-eq-elbo-identity",
        "#fig-elbo-gap",
        "bibliography.html#",
    ],
    "book/glossary.html": ["#term-decoder"],
    "book/divergences.html": ["#ex-divergences-positive"],
    "book/importance_weighting.html": ["estimators.html#ex-estimators-landing"],
    "book/published_table.html": ["importance_weighting.html#equation-eq-importance-bound"],
    "book/evidence.html": ["elbo.html#check-2"],
}


def opened(context, address: str) -> Page:
    tab = context.new_page()
    never_ask(tab)  # of what is covered, no card tells
    tab.goto(address, wait_until="load")
    tab.locator("details.evidence-chapter").evaluate_all("all => all.forEach(chapter => { chapter.open = true; })")
    return tab


@pytest.fixture
def context(browser: Browser):
    with browser.new_context(viewport={"width": 1350, "height": 900}) as context:
        yield context


def hold(tab: Page) -> None:
    """From now on the time of the page passes by `tab.clock.run_for` only, however slow the machine is."""
    tab.clock.install(time=0)
    tab.clock.pause_at(1_000)


def link(tab: Page, href: str) -> Locator:
    return tab.locator(f'main a[data-preview][href^="{href}"]:visible').first


def card(tab: Page) -> Locator:
    return tab.locator(".preview:popover-open")


def hovered(tab: Page, href: str) -> Locator:
    """The card of the link, under the pointer."""
    found = link(tab, href)
    assert found.count(), f"{tab.url} shows no link to {href}"  # at once: a pointer would wait for it
    found.scroll_into_view_if_needed()
    paint(tab)  # what came near takes its true height, and the link its place
    found.hover()
    expect(card(tab)).to_be_visible()
    return card(tab)


def text(node) -> str:
    """What an element says, by its HTML: without the marks beside headings, and what a browser adds."""
    soup = BeautifulSoup(str(node), "html.parser")
    for part in soup.select(".headerlink, .preview-page, button"):
        part.decompose()
    return " ".join(soup.get_text(" ").split())


def target(book, page: str, href: str) -> str:
    """What the file of the page says at the place that a link leads to."""
    name, anchor = href.split("#")
    path = (book / page).parent / name if name else book / page
    found = BeautifulSoup(path.read_text("utf-8"), "html.parser").find(id=anchor)
    return text(found) + " " + text(found.find_next_sibling("dd")) if found.name == "dt" else text(found)


@pytest.mark.parametrize("theme, width, source", [("light", 1350, "file"), ("dark", 500, "http")])
def test_the_card_shows_what_the_link_leads_to(book, server, browser, theme, width, source):
    base = server if source == "http" else book.as_uri() + "/"
    with browser.new_context(color_scheme=theme, viewport={"width": width, "height": 640}) as context:
        said, requests = listen(context)
        for page, links in LINKS.items():
            tab = opened(context, base + page)
            for href in links:
                shown, href = hovered(tab, href), link(tab, href).get_attribute("href")
                assert text(shown.inner_html()) == target(book, page, href)
                assert shown.locator(".preview-page").count() == (not href.startswith("#"))
                assert shown.locator("[id], [data-preview], button, .headerlink").count() == 0
                for address in shown.locator("a").evaluate_all("all => all.map(a => a.href)"):
                    assert address.startswith(("https://", base + "book/"))
                lies_in_the_window(tab, shown, width, 640)
                tab.mouse.move(0, 0)
                expect(shown).to_have_count(0)
            tab.close()
        assert said == [] and [url for url in requests if not url.startswith((base, "data:"))] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_card_is_accessible(server, browser, theme):
    with browser.new_context(color_scheme=theme, viewport={"width": 1350, "height": 640}) as context:
        tab = opened(context, server + "book/elbo.html")
        for href in LINKS["book/elbo.html"]:
            hovered(tab, href)
            assert violations(tab, ".preview") == []
            tab.mouse.move(0, 0)
            expect(card(tab)).to_have_count(0)


def lies_in_the_window(tab: Page, shown: Locator, width: int, height: int) -> None:
    tab.wait_for_function("[...document.querySelectorAll('.preview img')].every(image => image.complete)")
    box = shown.bounding_box()
    assert 0 <= box["x"] and box["x"] + box["width"] <= width
    assert 0 <= box["y"] and box["y"] + box["height"] <= height
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    scrolls = shown.evaluate("card => card.scrollHeight > card.clientHeight || card.scrollWidth > card.clientWidth")
    assert shown.get_attribute("tabindex") == ("0" if scrolls else "-1")  # what scrolls can have the focus


def test_every_link_to_such_a_target_has_a_preview(book, pages):
    """Each marked link finds its content in the script of its page, or on its own; and no link is left out."""
    soups = {page: BeautifulSoup((book / page).read_text("utf-8"), "html.parser") for page in pages}
    kinds = "dt[id^=term-], div.math[id], div.proof[id], div.exercise[id], div.citation[id], div.check[id], figure[id]"
    ids = {page: {node["id"] for node in soup.select(kinds)} for page, soup in soups.items()}
    n_links = 0
    for page, soup in soups.items():
        for a in soup.select("a.reference.internal[href*='#']"):
            name, anchor = a["href"].split("#")
            there = f"book/{name}" if name else page
            assert a.has_attr("data-preview") == (anchor in ids.get(there, ())), (page, a)
            if a.has_attr("data-preview") and there != page:
                script = book / "_static" / "previews" / there.replace(".html", ".js")
                assert f'"{anchor}": "<' in script.read_text("utf-8")
                n_links += 1
    assert n_links > 500


def test_the_card_stays_while_the_pointer_is_on_it_and_goes_when_it_leaves(book, context):
    tab = opened(context, (book / "book" / "elbo.html").as_uri())
    shown = hovered(tab, "glossary.html#term-evidence")
    at, box = link(tab, "glossary.html#term-evidence").bounding_box(), shown.bounding_box()
    assert at["y"] + at["height"] < box["y"] < at["y"] + at["height"] + 20  # below the link, and not upon it
    hold(tab)
    tab.mouse.move(box["x"] + 20, box["y"] + 20, steps=5)
    tab.clock.run_for(900)
    expect(shown).to_be_visible()
    shown.locator("a").first.hover()  # a link in a card has no card
    tab.clock.run_for(900)
    assert card(tab).count() == 1 and shown.locator("[data-preview]").count() == 0
    tab.mouse.move(1340, 890, steps=3)
    tab.clock.run_for(900)
    expect(shown).to_have_count(0)


def test_escape_closes_the_card_until_the_link_is_left(book, context):
    tab = opened(context, (book / "book" / "elbo.html").as_uri())
    source = tab.locator("main a[data-preview]:has(em):visible").first  # a source by several authors
    source.hover(position={"x": 3, "y": 8})
    expect(card(tab)).to_be_visible()
    tab.keyboard.press("Escape")
    expect(card(tab)).to_have_count(0)
    source.locator("em").hover()  # within the link
    tab.wait_for_timeout(900)
    expect(card(tab)).to_have_count(0)
    tab.mouse.move(1340, 890, steps=3)
    source.hover()
    expect(card(tab)).to_be_visible()


def test_the_keyboard_opens_and_closes_it(book, context):
    tab = opened(context, (book / "book" / "elbo.html").as_uri())
    first = tab.locator("main a[data-preview]").first
    tab.keyboard.press("Tab")  # somewhere at the top; from now on the browser shows where the focus is
    first.focus()
    expect(first).to_be_focused()
    expect(card(tab)).to_contain_text("Evidence lower bound")
    tab.wait_for_timeout(900)
    expect(card(tab)).to_be_visible()  # as long as the link has the focus
    tab.keyboard.press("Escape")
    expect(card(tab)).to_have_count(0)
    expect(first).to_be_focused()
    tab.keyboard.press("Tab")
    tab.keyboard.press("Shift+Tab")
    expect(card(tab)).to_contain_text("Evidence lower bound")
    tab.keyboard.press("Tab")
    expect(first).not_to_be_focused()
    expect(card(tab).filter(has_text="Evidence lower bound:")).to_have_count(0)


def test_a_passing_pointer_opens_nothing(book, context):
    _, requests = listen(context)
    tab = opened(context, (book / "book" / "elbo.html").as_uri())
    assert not [url for url in requests if "_static/previews/" in url]  # nothing is loaded before it is asked for
    hold(tab)
    link(tab, "#equation-eq-elbo-identity").hover()
    tab.clock.run_for(200)
    tab.mouse.move(1340, 890)
    tab.clock.run_for(900)
    expect(tab.locator(".preview")).to_have_count(0)  # nor was there a card in between
    link(tab, "#equation-eq-elbo-identity").hover()
    tab.clock.run_for(900)
    expect(card(tab)).to_be_visible()  # of a pointer that stays


def test_a_finger_follows_the_link(book, browser):
    with browser.new_context(viewport={"width": 390, "height": 900}, has_touch=True, is_mobile=True) as context:
        tab = opened(context, (book / "book" / "elbo.html").as_uri())
        found = link(tab, "#equation-eq-elbo-identity")
        found.scroll_into_view_if_needed()
        box = found.bounding_box()
        finger = context.new_cdp_session(tab)
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at]})
        tab.wait_for_timeout(900)  # it rests on the link
        expect(tab.locator(".preview")).to_have_count(0)
        finger.send("Input.dispatchTouchEvent", {"type": "touchCancel", "touchPoints": []})
        found.tap()
        tab.wait_for_url("**#equation-eq-elbo-identity")
        tab.wait_for_timeout(900)
        expect(card(tab)).to_have_count(0)
        link(tab, "glossary.html#term-evidence").tap()
        tab.wait_for_url("**/glossary.html#term-evidence")


def test_pages_and_scripts_stay_small(book, pages):
    for page in pages:
        text = (book / page).read_text("utf-8")
        assert sum(map(len, re.findall(" data-preview", text))) < 0.04 * len(text)
    sent = [len(gzip.compress(path.read_bytes(), 6)) for path in (book / "_static" / "previews").rglob("*.js")]
    assert len(sent) > 10 and max(sent) < 30_000  # bytes, by a host that compresses text
    assert sum((book / "_static" / f"previews.{kind}").stat().st_size for kind in ("js", "css")) < 12_000
