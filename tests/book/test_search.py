"""The search of the built book, asked in a real browser, from a server and from the disk, as one types.

What must be found was written down before the first result was seen.
"""

import gzip
import json
import re

import pytest
from axe import violations
from bs4 import BeautifulSoup
from playwright.sync_api import Page, expect
from sites import listen

HELP = r"troubleshooting\.html#sec-troubleshooting-"
ANSWERS = {  # what a reader asks: where one of the first three results leads, as a pattern for the end of its address
    # questions of users
    "NaN": f"{HELP}nan",
    "mean or sum": f"{HELP}weights",
    "KL weight": f"{HELP}weights",
    "mean or sample at test time": f"{HELP}mean-or-sample",
    "same output": f"{HELP}collapse",
    "loss stuck": f"{HELP}stuck",
    "BCE or MSE": f"{HELP}gray",
    "loss negative": f"{HELP}negative",
    "KL estimate negative": f"{HELP}kl-negative",
    "KL rises in training": f"{HELP}kl-rises",
    "why log-variance": f"{HELP}log-var",
    "blurry": f"{HELP}blurry",
    "good reconstructions, bad samples": f"{HELP}samples",
    "pickle": f"{HELP}save",
    "own data": r"own_data\.html",
    "total correlation": rf"{HELP}total-correlation|disentanglement\.html(#.*)?",
    "batch norm": f"{HELP}batch-norm",
    "anomaly score": f"{HELP}anomaly",
    # symbols
    "σ": r"notation\.html#symbol-\d+",
    "epsilon": r"notation\.html#symbol-\d+",
    # both spellings, and words for one thing
    "reparametrization": r"reparameterization\.html",
    "reparameterization trick": r"reparameterization\.html",
    "grey pixels": f"{HELP}gray",
    "colour images": rf"{HELP}own-data|own_data\.html#sec-own-data-patches",
    "normalising flows": r"flows\.html",
    # subjects
    "ELBO": r"elbo\.html",
    "KL": r"gaussian_kl\.html",
    "beta-VAE": r"rate_distortion\.html",
    "VQ-VAE": r"discrete_codes\.html(#sec-discrete-codes-vq)?",
    "diffusion": r"diffusion\.html",
    "posterior collapse": r"posterior_collapse\.html",
    "IWAE": r"importance_weighting\.html",
    "VampPrior": r"richer_priors\.html(#sec-richer-priors-vamp)?",
    "semi-supervised": r"conditions\.html(#sec-conditions-labels)?",
    "effective sample size": r"importance_weighting\.html#sec-importance-ess",
    "Jensen": r"elbo\.html(#sec-elbo-jensen)?",
    "active units": r"glossary\.html#term-active-units",
    "score function": r"reparameterization\.html#sec-reparameterization-score",
    "logsumexp": r"importance_weighting\.html#sec-importance-logsumexp",
    # slips of the hand: a letter that is missing, too many, wrong, or in its neighbor's place
    "posterior colapse": r"posterior_collapse\.html",
    "importtance weighting": r"importance_weighting\.html",
    "bits bsck": r"bits_back\.html",
    "reparametrizatoin": r"reparameterization\.html",
    # functions
    "kl_standard_normal": r"api/gaussian\.html#vae_tutorial\.gaussian\.kl_standard_normal",
    "log_normal": r"api/gaussian\.html#vae_tutorial\.gaussian\.log_normal",
    "elbo_terms": r"api/bounds\.html#vae_tutorial\.bounds\.elbo_terms",
}

QUESTIONS = {  # what people ask, in their words: the section of Troubleshooting among the first three results
    "nan": ("nan", "loss is NaN", "exploding loss", "why does my loss explode", "inf"),
    "weights": ("mean or sum", "KL weight", "which KL weight", "reduction mean or sum"),
    "mean-or-sample": ("mean or sample at test time", "sample or mean", "deterministic test"),
    "collapse": ("same output", "every output the same", "posterior collapse", "KL goes to zero", "identical images"),
    "stuck": ("loss stuck", "stuck", "loss plateau", "why is my loss stuck"),
    "gray": ("BCE or MSE", "grey pixels", "gray pixels", "mse"),
    "negative": ("loss negative", "negative loss", "positive log likelihood loss"),
    "kl-negative": ("KL estimate negative", "negative KL"),
    "kl-rises": ("KL rises", "KL increases during training"),
    "log-var": ("why log-variance", "log-variance activation", "logvar", "relu log_var"),
    "blurry": ("blurry", "blurry images", "why are my VAE images blurry"),
    "samples": ("good reconstructions bad samples", "bad samples"),
    "save": ("save and load", "pickle", "save model"),
    "own-data": ("own data", "colour images", "color images", "csv"),
    "total-correlation": ("total correlation",),
    "batch-norm": ("batch norm", "batchnorm", "batch norm in a VAE"),
    "anomaly": ("anomaly", "anomaly score", "anomaly detection"),
    "falls": ("loss falls without end",),
}


COMMON = ("ELBO", "KL", "loss", "sample", "variance", "image", "mean")


@pytest.fixture(scope="module", params=["http", "file"])
def tab(request, browser):
    """A chapter from a server or from the disk, where a reader has turned to the search by its keys."""
    base = (
        request.getfixturevalue("server") if request.param == "http" else request.getfixturevalue("book").as_uri() + "/"
    )
    with browser.new_context(viewport={"width": 1350, "height": 900}) as context:
        said, requests = listen(context)
        tab = context.new_page()
        tab.goto(f"{base}book/elbo.html")
        tab.keyboard.press("Control+k")
        expect(tab.locator("dialog input[name=q]")).to_be_focused()
        yield tab
        assert said == []
        assert all(url.startswith((base, "data:")) for url in requests)
        assert sum(url.endswith("searchindex.js") for url in requests) == 1


def results(tab: Page, query: str, place: str = "dialog") -> list[dict]:
    """What stands below the field once this has been typed, best first."""
    tab.locator(f"{place} input[name=q]").fill(query)
    return shown(tab, query, place)


def shown(tab: Page, query: str, place: str) -> list[dict]:
    found = tab.locator(f"{place} .found ol")
    expect(found).to_have_attribute("data-asked", query)
    return found.locator("li").evaluate_all("""all => all.map(item => ({
        title: item.querySelector('a').textContent, what: item.querySelector('small').textContent,
        address: decodeURIComponent(item.querySelector('a').href), text: item.querySelector('p').textContent}))""")


def test_the_right_section_is_among_the_first_three(tab):
    missed = {}
    for query, place in ANSWERS.items():
        first = [result["address"] for result in results(tab, query)[:3]]
        if not any(re.search(rf"/(?:{place})$", address) for address in first):
            missed[query] = first
    assert missed == {} and len(ANSWERS) >= 40


def test_a_question_in_readers_words_leads_to_its_section(book, tab):
    page = BeautifulSoup((book / "book" / "troubleshooting.html").read_text("utf-8"), "html.parser")
    anchors = {tag["id"].removeprefix("sec-troubleshooting-") for tag in page.select("[id^=sec-troubleshooting-]")}
    assert anchors == {*QUESTIONS}
    missed = {}
    for key, queries in QUESTIONS.items():
        for query in queries:
            first = [result["address"] for result in results(tab, query)[:3]]
            if not any(address.endswith(f"#sec-troubleshooting-{key}") for address in first):
                missed[query] = first
    assert missed == {}


def test_a_single_common_word_is_not_crowded_by_questions(tab):
    for query in COMMON:
        assert sum("#sec-troubleshooting-" in result["address"] for result in results(tab, query)[:3]) <= 1, query


def test_an_answer_comes_with_every_key_and_is_the_same_everywhere(book, server, browser):
    """What stands in the dialog of a page, on the page of results, and on that opened from the disk."""
    with browser.new_context() as context:
        tab = context.new_page()
        tab.goto(f"{server}book/index.html")
        tab.keyboard.press("Control+k")
        for n in range(1, 6):
            tab.keyboard.type("blurr"[n - 1])
            assert shown(tab, "blurr"[:n], "dialog")
        in_dialog = results(tab, "posterior collapse")
        tab.keyboard.press("Enter")
        tab.wait_for_url("**/search.html?q=posterior+collapse")
        on_page = shown(tab, "posterior collapse", ".bd-search-container")
        assert on_page[: len(in_dialog)] == in_dialog and len(on_page) > len(in_dialog) == 10
        tab.goto(f"{book.as_uri()}/search.html?q=posterior%20collapse")
        relative = lambda found: [result | {"address": result["address"].split("/book/")[-1]} for result in found]  # noqa: E731
        assert relative(shown(tab, "posterior collapse", ".bd-search-container")) == relative(on_page)
        assert results(tab, "zzzz", ".bd-search-container") == []
        expect(tab.locator(".bd-search-container .found [role=status]")).to_have_text("Nothing found")


def test_keys_lead_through_the_results_to_their_place(server, browser):
    with browser.new_context() as context:
        tab = context.new_page()
        tab.goto(f"{server}book/elbo.html")
        tab.keyboard.press("Control+k")
        results(tab, "epsilon")
        tab.keyboard.press("ArrowDown")
        expect(tab.locator("dialog .found a").first).to_be_focused()
        tab.keyboard.press("ArrowUp")
        expect(tab.locator("dialog input[name=q]")).to_be_focused()
        tab.locator("dialog .found a[href*='#symbol-']").first.focus()
        tab.keyboard.press("Enter")
        tab.wait_for_url("**/notation.html#symbol-*")
        row = tab.locator("tr:target")
        expect(row).to_contain_text("standard Gaussian noise")
        expect(row).to_be_in_viewport()


@pytest.mark.parametrize("theme, width", [("light", 1350), ("dark", 390)])
def test_the_results_are_accessible(server, browser, theme, width):
    with browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900}) as context:
        tab = context.new_page()
        tab.goto(f"{server}book/elbo.html")
        tab.keyboard.press("Control+k")
        assert results(tab, "posterior")
        assert violations(tab, "dialog") == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_an_excerpt_is_readable(tab):
    for query in ("logsumexp", "posterior", "bound", "variance of the decoder"):
        texts = [result["text"] + result["title"] for result in results(tab, query)]
        assert len(texts) > 5
        for text in texts:
            assert not re.search(r"\\|\$|[{}]|zzz|xxx|μμ|σσ|θθ|Show the code", text), text
    said = results(tab, "x is one of n levels")[0]
    assert said["what"].startswith("section, in 7. ") and said["title"].startswith("x is one of n levels")


def test_the_index_is_light_and_lists_what_is_looked_up(book):
    text = (book / "searchindex.js").read_text("utf-8")
    assert len(gzip.compress(text.encode(), 6)) < 450_000  # once; then no query loads anything
    index = json.loads(re.fullmatch(r"Search\.read\((.*)\);\n", text)[1])
    kinds = {}
    for page, kind, anchor, title, *_ in index["places"]:
        assert title and "\\" not in title and "Solution" not in title, (page, anchor)
        kinds.setdefault(kind, set()).add(anchor)
    rows = BeautifulSoup((book / "book" / "notation.html").read_text("utf-8"), "html.parser").select("tbody tr")
    assert kinds["symbol"] == {row["id"] for row in rows} and len(rows) > 20
    terms = BeautifulSoup((book / "book" / "glossary.html").read_text("utf-8"), "html.parser").select("dt[id^=term-]")
    assert kinds["term"] == {term["id"] for term in terms}
    assert {"page", "section", "exercise", "theorem", "function", "class", "source"} <= kinds.keys()
    pages = {}  # every address exists
    for number, _, anchor, *_ in index["places"]:
        page = index["pages"][number][0]
        if page not in pages:
            pages[page] = (book / page).read_text("utf-8")
        assert not anchor or f'id="{anchor}"' in pages[page], (page, anchor)
