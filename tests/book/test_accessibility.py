"""Accessibility: axe-core finds no violation on any page of the book, with all that is folded open."""

import pytest
from axe import AT_ANOTHER_WIDTH, violations
from sites import lay_out

OPEN = """async () => {
    document.querySelectorAll('details').forEach(details => { details.open = true; });
    document.querySelectorAll('.toggle-hidden button.toggle-button').forEach(button => button.click());
    for (const explorer of document.querySelectorAll('.explorer')) {
        explorer.scrollIntoView();
        while (!explorer.querySelector('.explorer-live')) await new Promise(requestAnimationFrame);
    }
    document.getAnimations().forEach(animation => animation.finish());
    await new Promise(requestAnimationFrame);
}"""

# axe-core looks at each element, which for tens of thousands takes a minute a page. So a formula becomes its text in a
# box of its size (to who listens it is one thing anyway), code keeps its colors once each, and the evidence, all of
# whose rows are made alike, some rows of each table.
SIMPLIFY = """() => {
    document.querySelectorAll('table.evidence tr:nth-child(n + 6)').forEach(row => row.remove());
    document.querySelectorAll('.katex-mathml math').forEach(node => node.replaceChildren(node.textContent));
    const parts = [...document.querySelectorAll('.katex-base')].map(node => [node, node.getBoundingClientRect()]);
    for (const [node, { width, height }] of parts) {
        node.textContent = node.textContent;
        Object.assign(node.style, { width: `${width}px`, height: `${height}px`, overflow: 'hidden' });
    }
    const seen = new Set();
    for (const token of document.querySelectorAll('pre span[class]')) {
        if (seen.has(token.className)) token.replaceWith(...token.childNodes);
        seen.add(token.className);
    }
}"""


# Each width and each scheme once: a color depends on the scheme, a place on the width, and neither on the other. All
# else is judged at one width, and at the other on the first page: what only phones show is the same on all.
@pytest.mark.parametrize("theme, width", [("light", 1350), ("dark", 390)])
def test_axe_finds_no_violation_by_day_or_night(book, pages, browser, theme, width):
    found, judged = {}, set()
    for name in pages:
        with browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900}) as context:
            tab = context.new_page()
            tab.goto((book / name).as_uri())
            if name == "index.html":
                tab.wait_for_url("**/book/index.html")
            lay_out(tab)
            tab.evaluate(OPEN)
            assert tab.locator(".toggle-hidden").count() == 0
            tab.evaluate(SIMPLIFY)
            assert tab.evaluate("document.documentElement.dataset.theme") == theme, name
            whole = width == 1350 or name == pages[0]
            found[name] = violations(tab, rules=None if whole else AT_ANOTHER_WIDTH, judged=judged)
    flaws = [f"{name}: {flaw}" for name, flaws in found.items() for flaw in flaws]
    assert not flaws, "\n".join(flaws)


@pytest.mark.parametrize("flaw, rule", [
    ("<p class='pale'>pale</p>", "color-contrast"), ("<div class='veil'><p>veiled</p></div>", "color-contrast"),
    ("<p>like all the others, but for <a href='#'>a link</a></p>", "link-in-text-block"),
    ("<img src='x'>", "image-alt"),
])  # fmt: skip
def test_the_one_flaw_among_many_sound_texts_is_found(browser, flaw, rule):
    style = "<style>.pale {color: #bbb} .veil {opacity: 0.4} p a {color: #333; text-decoration: none}</style>"
    page = "<html lang='en'><title>t</title>{}<main><h1>h</h1>{}</main></html>"
    with browser.new_context() as context:
        tab = context.new_page()
        for text, expected in (("", set()), (flaw, {rule})):
            tab.set_content(page.format(style, "<p>sound</p>" * 20 + text + "<p>sound</p>" * 20))
            assert {name for name, _ in violations(tab)} == expected
