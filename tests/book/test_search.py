"""The search of the built book, asked in a real browser: a symbol, a term, a function is found by its name."""

import html
import json
import re
from urllib.parse import quote

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import BrowserContext, Page, expect
from sites import listen

ANSWERS = {  # what a reader asks: the first result, or one of the first three, what it is and where it stands
    "ELBO": ("glossary term", "ELBO", "glossary.html#term-ELBO"),
    "elbo_terms": (
        "Python function",
        "vae_tutorial.bounds.elbo_terms",
        "api/bounds.html#vae_tutorial.bounds.elbo_terms",
    ),
    "log_normal": (
        "Python function",
        "vae_tutorial.gaussian.log_normal",
        "api/gaussian.html#vae_tutorial.gaussian.log_normal",
    ),
    "KL": ("symbol", "KL(q ‖ p)", "notation.html#symbol-"),
    "sigma": ("symbol", "log σ_φ²(x)", "notation.html#symbol-"),
    "σ": ("symbol", "log σ_φ²(x)", "notation.html#symbol-"),
    "epsilon": ("symbol", "ε (epsilon, eps): standard Gaussian noise", "notation.html#symbol-"),
    "beta": ("symbol", "f_β(z)", "notation.html#symbol-"),
    "eps": ("symbol", "ε (epsilon, eps): standard Gaussian noise", "notation.html#symbol-"),
    "active units": ("glossary term", "active units", "glossary.html#term-active-units"),
    "posterior collapse": (None, "Posterior collapse", "posterior_collapse.html"),
    "the best diagonal gaussian": (None, "The evidence lower bound > Exercise 3.1 (The best", "#ex-elbo-diagonal"),
    "logsumexp": (None, "", ".html"),  # no page of its own: the chapters that use it
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


@pytest.fixture(scope="module")
def context(browser):
    with browser.new_context(viewport={"width": 1350, "height": 900}) as context:
        yield context


def asked(context: BrowserContext, base: str, query: str) -> Page:
    """The page of results."""
    tab = context.new_page()
    tab.goto(f"{base}search.html?q={quote(query)}")
    expect(tab.locator(".search-summary")).to_contain_text("Search finished")
    return tab


def results(tab: Page) -> list[tuple[str, str, str]]:
    """What each result is called, what it is said to be, and where it leads."""
    script = """all => all.map(item => [item.querySelector('a').textContent,
        (item.querySelector('a + span')?.textContent || '').trim(), item.querySelector('a').href])"""
    return tab.locator("ul.search > li").evaluate_all(script)


def test_what_a_reader_calls_a_thing_is_found(book, server, context):
    said, requests = listen(context)
    base = book.as_uri() + "/"
    for query, (kind, name, place) in ANSWERS.items():
        tab = asked(context, base, query)
        first = results(tab)[:3]
        assert any(
            title.startswith(name) and place in address and (kind is None or what.startswith(f"({kind}, in "))
            for title, what, address in first
        ), (query, first)
        tab.close()
    assert said == [] and all(url.startswith((base, "data:")) for url in requests)


def test_a_question_in_readers_words_leads_to_its_section(book, context):
    anchors = {f"sec-troubleshooting-{key}" for key in QUESTIONS}
    page = BeautifulSoup((book / "book" / "troubleshooting.html").read_text("utf-8"), "html.parser")
    assert {tag["id"] for tag in page.select("[id^=sec-troubleshooting-]")} == anchors
    missed = []
    for key, queries in QUESTIONS.items():
        for query in queries:
            tab = asked(context, book.as_uri() + "/", query)
            places = [place for _, _, place in results(tab)[:3]]
            if not any(place.endswith(f"troubleshooting.html#sec-troubleshooting-{key}") for place in places):
                missed.append((query, places))
            tab.close()
    assert not missed


def test_a_single_common_word_is_not_crowded_by_questions(book, context):
    for query in ("ELBO", "KL", "loss", "sample", "variance", "image", "mean"):
        tab = asked(context, book.as_uri() + "/", query)
        assert sum("#sec-troubleshooting-" in place for _, _, place in results(tab)[:3]) <= 1, query
        tab.close()


def test_a_result_leads_to_its_place(book, context):
    tab = asked(context, book.as_uri() + "/", "epsilon")
    tab.locator("ul.search > li a").first.click()
    tab.wait_for_url("**/notation.html#symbol-*")
    row = tab.locator("tr:target")
    expect(row).to_contain_text("standard Gaussian noise")
    expect(row).to_be_in_viewport()
    tab.close()


@pytest.mark.parametrize("query", ["logsumexp", "posterior", "bound"])
def test_an_excerpt_shows_a_formula_once(server, context, query):
    said, _ = listen(context)
    tab = asked(context, server, query)
    excerpts = tab.locator("ul.search > li p.context")
    expect(excerpts.first).to_be_visible()
    tab.wait_for_load_state("networkidle")
    texts = excerpts.all_text_contents()
    assert len(texts) > 3
    for text in texts:
        assert not re.search(r"\\(math|frac|log|theta|phi|sigma)", text), text  # TeX
        assert not re.search(r"zzz|xxx|μμ|σσ|θθ", text), text
    assert said == []
    tab.close()


def test_the_index_holds_what_is_looked_up_and_little_else(book):
    text = (book / "searchindex.js").read_text("utf-8")
    assert len(text) < 330_000
    index = json.loads(re.fullmatch(r"Search\.setIndex\((.*)\)", text, re.DOTALL)[1])
    assert not [title for title in index["alltitles"] if title.startswith((" ", "Solution")) or "\\" in title]
    assert not [title for title in index["titles"] if "<" in title]
    assert not [word for word in index["terms"] if word.isdigit()]
    for word in ["elbo", "sigma", "logsumexp", "quadratur"]:
        assert word in index["terms"] or word in index["titleterms"]
    names = {html.unescape(entry[4]) for entries in index["objects"].values() for entry in entries}
    rows = BeautifulSoup((book / "book" / "notation.html").read_text("utf-8"), "html.parser").select("tbody tr")
    assert len([row for row in rows if row.get("id", "").startswith("symbol-")]) == len(rows) > 20
    terms = BeautifulSoup((book / "book" / "glossary.html").read_text("utf-8"), "html.parser").select("dt[id^=term-]")
    assert {term.contents[0].replace("’", "'") for term in terms} <= names
