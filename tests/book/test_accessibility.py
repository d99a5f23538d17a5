"""The accessibility engine that judges every page in test_book.py sees one flaw among much that is sound."""

import pytest
from axe import violations


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
