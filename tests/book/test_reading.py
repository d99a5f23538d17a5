"""What a reader does beside reading, in a small page of its own: predicts, steps through a derivation, marks a chapter.

And in the book: every prompt whose answer follows is covered, and the derivations that matter can be stepped through.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sites import ROOT, build_small, listen

PAGE = """# A chapter

(sec-guess)=
## Guess

**Predict.** How many?

In between.

**Read.** Two.

After it.

**Predict.** Is there an answer?

No.

(steps-one)=
## Derive

First.

$$ a = b $$

Second.

$$ b = c $$

Third.

## Remember

```{admonition} One line to keep
:class: remember
This one.
```
"""
DERIVATIONS = {"elbo": 2, "gaussian_kl": 1, "reparameterization": 1, "annealed_importance_sampling": 1, "diffusion": 1}


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    source = tmp_path_factory.mktemp("reading")
    (source / "index.md").write_text("# Start\n\n```{toctree}\nchapter\nother\n```\n", "utf-8")
    (source / "chapter.md").write_text(PAGE, "utf-8")
    (source / "other.md").write_text("# Another\n\n## Nothing\n", "utf-8")
    settings = dict(extensions=["myst_parser", "katex_math"], html_theme="sphinx_book_theme", language="en",
                    myst_enable_extensions=["dollarmath"], html_static_path=[str(ROOT / "book" / "_static")],
                    html_css_files=["book.css", ["print.css", {"media": "print"}]], project="Small",
                    html_js_files=[["reading.js", {"defer": "defer"}]], html_math_renderer="katex",
                    html_context=dict(default_mode="auto"))  # fmt: skip
    run = build_small(source, settings)
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return (source / "_build" / "chapter.html").as_uri()


@pytest.fixture
def tab(address, browser) -> Iterator[Page]:
    with browser.new_context() as context:
        said, _ = listen(context)
        tab = context.new_page()
        tab.goto(address)
        yield tab
        assert said == []


def shown(tab: Page, text: str) -> bool:
    return tab.locator(".bd-article p", has_text=text).evaluate(
        "node => node.checkVisibility({ contentVisibilityAuto: false })"
    )


def test_an_answer_is_covered_until_a_prediction_is_made_and_stays_open_then(tab):
    assert not shown(tab, "In between.") and not shown(tab, "Two.") and shown(tab, "After it.") and shown(tab, "No.")
    assert tab.locator("form.prediction").count() == 1  # the other prompt has no paragraph that reads
    heights = "nodes => nodes.map(node => node.getBoundingClientRect().height)"
    assert tab.locator(".covered[hidden]").evaluate_all(heights) == [0, 0]
    tab.get_by_label("Your prediction").fill("two & <b>three</b>")
    tab.keyboard.press("Enter")
    assert shown(tab, "In between.") and shown(tab, "Two.")
    said = tab.locator("p.prediction span")
    assert said.inner_text() == "You predicted: two & <b>three</b>"
    tab.reload()
    assert shown(tab, "Two.") and said.inner_text() == "You predicted: two & <b>three</b>"
    tab.get_by_role("button", name="Ask me again").click()
    assert not shown(tab, "Two.")
    assert tab.get_by_label("Your prediction").evaluate("node => node === document.activeElement")


def test_who_does_not_want_to_be_asked_is_not(tab):
    tab.get_by_role("button", name="Never ask").click()
    assert shown(tab, "Two.")
    tab.reload()
    assert shown(tab, "Two.") and tab.locator("p.prediction span").inner_text() == "No prediction made."
    tab.get_by_role("button", name="Ask me again").click()
    tab.reload()
    assert not shown(tab, "Two.")


def test_a_link_and_paper_uncover(tab, address):
    tab.evaluate("document.querySelector('.covered').id = 'inside'; location.hash = '#inside'")
    expect(tab.locator("form.prediction")).to_be_hidden()
    assert shown(tab, "In between.")
    tab.goto("about:blank")
    tab.goto(address)
    assert not shown(tab, "In between.")
    tab.emulate_media(media="print")
    assert shown(tab, "In between.") and not tab.locator("form.prediction").is_visible()


def test_a_derivation_is_stepped_through(tab):
    bar, current = tab.locator(".steps"), tab.locator(".covered.current")
    texts = ["First.", "Second.", "Third."]
    seen = lambda: [shown(tab, text) for text in texts]  # noqa: E731
    press = lambda name: bar.get_by_role("button", name=name, exact=True).click()  # noqa: E731
    assert seen() == [True] * 3 and bar.get_by_role("button").all_inner_texts()[:1] == ["Step through"]
    press("Step through")
    assert seen() == [True, False, False] and bar.get_by_role("status").inner_text() == "1 of 3"
    assert current.count() == 2 and tab.locator(".math.current").count() == 1  # the formula belongs to its paragraph
    press("Next")
    assert seen() == [True, True, False] and bar.get_by_role("status").inner_text() == "2 of 3"
    press("Back")
    assert seen() == [True, False, False]
    press("Show all")
    assert seen() == [True] * 3 and current.count() == 0
    press("Step through")
    press("Next")
    press("Next")
    assert seen() == [True] * 3 and bar.get_by_role("button", name="Step through").is_visible()


def test_in_a_low_window_the_step_and_its_buttons_stay_in_view(tab):
    tab.set_viewport_size({"width": 390, "height": 330})
    bar, current = tab.locator(".steps"), tab.locator(".covered.current")
    bar.get_by_role("button", name="Step through").click()
    bar.evaluate("node => node.scrollIntoView({ block: 'end' })")  # the second step lies below the window
    bar.get_by_role("button", name="Next").click()

    def in_view() -> bool:
        (top, low), (start, _), (_, end) = (
            (box["y"], box["y"] + box["height"])
            for box in (bar.bounding_box(), current.first.bounding_box(), current.last.bounding_box())
        )
        return 40 < top and low <= start and end <= 330

    assert bar.get_by_role("status").inner_text() == "2 of 3" and in_view()
    current.first.evaluate("node => node.scrollIntoView()")  # the place of the buttons is above the window
    assert in_view()


def test_a_chapter_that_was_read_is_marked_in_the_contents_of_every_page(tab, address):
    mark = tab.locator(".bd-links a", has_text="A chapter").locator(".read")
    assert mark.count() == 0
    tab.get_by_label("I have read this chapter").check()
    assert mark.count() == 1
    tab.goto(address.replace("chapter", "other"))
    assert mark.count() == 1 and tab.locator(".bd-links .read").count() == 1
    tab.goto(address)
    box = tab.get_by_label("I have read this chapter")
    assert box.is_checked()
    box.uncheck()
    assert mark.count() == 0


@pytest.mark.parametrize("kept", ["no JSON", "[1]", '{"read": {}}', "null"])
def test_what_others_keep_there_does_no_harm(tab, kept):
    tab.evaluate("kept => localStorage.setItem('vae-book', kept)", kept)
    tab.reload()
    assert not shown(tab, "Two.") and tab.locator(".read-mark").count() == 1


def test_where_nothing_can_be_kept_it_works_all_the_same(address, browser):
    with browser.new_context() as context:
        context.add_init_script(
            "Object.defineProperty(window, 'localStorage', { get() { throw new Error('blocked'); } })"
        )
        tab = context.new_page()
        tab.goto(address)
        tab.get_by_role("button", name="Commit and see").click()
        assert shown(tab, "Two.") and tab.locator("p.prediction span").inner_text() == "No prediction made."


def test_without_scripts_all_stands_there(address, browser):
    with browser.new_context(java_script_enabled=False) as context:
        tab = context.new_page()
        tab.goto(address)
        for text in ("In between.", "Two.", "First.", "Third."):
            assert shown(tab, text)
        assert tab.locator(".prediction, .steps, .read-mark").count() == 0


# The book


def cells(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


@pytest.mark.parametrize("chapter", DERIVATIONS)
def test_the_derivations_that_matter_have_steps_and_a_color_for_each_term(chapter):
    text = "\n\n".join(cells(ROOT / "book" / f"{chapter}.ipynb"))
    assert len(re.findall(r"^\(steps-[a-z-]+\)=$", text, re.MULTILINE)) == DERIVATIONS[chapter]
    used = {*re.findall(r"\\textcolor\{(\w+)\}", text)}
    assert len(used) >= 2
    styles = (ROOT / "book" / "_static" / "book.css").read_text(encoding="utf-8")
    paper = (ROOT / "book" / "_latex" / "book.sty").read_text(encoding="utf-8")
    assert all(styles.count(f'"color:{color}"') == 2 and f"\\definecolor{{{color}}}" in paper for color in used)
