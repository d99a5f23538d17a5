"""What a published book shows of itself: the pages' heads, site map, page for lost readers, citation and card.

Small books are built with the book's own extensions: one that knows no address, one at the root of GitHub's pages, and
one at a sub-path of a local server, which answers with 404.html as GitHub's does.
"""

import json
import os
import re
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from bs4 import BeautifulSoup
from docutils.core import publish_doctree
from PIL import Image
from publishing.address import site_address
from publishing.citation import published as published_on
from publishing.head import DESCRIPTION_LENGTH, description
from pybtex.database import parse_string
from sites import ROOT, QuietHandler, build_small

import vae_tutorial

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
COPYRIGHT = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["copyright"]
DATE = str(CITATION.get("date-released", COPYRIGHT))
TITLE = 'Bounds & "gaps" < 1'
PAGES = {  # names of the small book's pages, and their text
    "book/index": "# A book\n\nWhat it is.\n\n```{citation} bibtex\n```\n\n"
    "```{toctree}\n:numbered:\nchapter\n```\n\n```{toctree}\nnotes\n```\n",
    "book/chapter": '# Bounds & `"gaps"` < 1\n\nA question, after `</script>`, with a number.\n',
    "book/notes": "# Notes\n\nWithout a number.\n",
}
NUMBERS = {"book/chapter": 1}
SETTINGS = {
    "extensions": ["myst_parser", "publishing"],
    "project": "A book",
    "html_title": "A book",
    "root_doc": "book/index",
    "language": "en",
    "html_theme": "sphinx_book_theme",
    "html_favicon": str(ROOT / "book/_static/favicon.svg"),
    "html_static_path": [str(ROOT / "book/_static" / name) for name in ("card.png", "icon.png")],
}


def build(folder: Path, **environment: str) -> Path:
    for name, text in PAGES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.md").write_text(text, "utf-8")
    bare = {name: value for name, value in os.environ.items() if name not in ("GITHUB_REPOSITORY", "SITE_URL")}
    run = build_small(folder, SETTINGS, "out", env=bare | environment)
    assert (run.returncode, run.stderr) == (0, "")
    return folder / "out"


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("nowhere"))


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("published"), GITHUB_REPOSITORY="Ada/ada.github.io")


def soup(folder: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((folder / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


def pixels(picture: Path) -> np.ndarray:
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"))


def meta(page: BeautifulSoup, name: str) -> list[str]:
    tags = page.find_all("meta", attrs={"property": name}) + page.find_all("meta", attrs={"name": name})
    return [tag["content"] for tag in tags]


def linked_data(page: BeautifulSoup) -> dict:
    return json.loads(page.find("script", type="application/ld+json").string)


# The address


@pytest.mark.parametrize("environment, address", [
    ({}, ""),
    ({"GITHUB_REPOSITORY": "", "SITE_URL": ""}, ""),
    ({"GITHUB_REPOSITORY": "Ada/vae"}, "https://ada.github.io/vae/"),
    ({"GITHUB_REPOSITORY": "Ada/Ada.github.io"}, "https://ada.github.io/"),
    ({"GITHUB_REPOSITORY": "ada/bob.github.io"}, "https://ada.github.io/bob.github.io/"),
    ({"GITHUB_REPOSITORY": "Ada/vae", "SITE_URL": "https://vae.example"}, "https://vae.example/"),
    ({"SITE_URL": "https://vae.example/book/"}, "https://vae.example/book/"),
])  # fmt: skip
def test_the_address_follows_from_the_environment(monkeypatch, environment, address):
    for name in ("GITHUB_REPOSITORY", "SITE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert site_address() == address


@pytest.mark.parametrize("wrong", ["vae.example", "/book/", "file:///book"])
def test_an_address_that_is_none_is_refused(monkeypatch, wrong):
    monkeypatch.setenv("SITE_URL", wrong)
    with pytest.raises(ValueError, match=f"SITE_URL must be .* got {wrong}"):
        site_address()


# The heads


def test_an_unknown_address_is_written_nowhere(nowhere):
    for name in ("index", "404", "search", *PAGES):
        page = soup(nowhere, name)
        assert page.find("link", rel="canonical") is None, name
        assert meta(page, "og:url") == meta(page, "og:image") == meta(page, "citation_public_url") == [], name
        assert meta(page, "twitter:card") == ([] if name in ("404", "search") else ["summary"]), name
    for name in PAGES:
        data = linked_data(soup(nowhere, name))
        assert not {"url", "image"} & {*data, *data.get("isPartOf", ())}, name
    assert not (nowhere / "sitemap.xml").exists() and not (nowhere / "robots.txt").exists()


def test_every_page_says_where_it_is_and_shows_the_card(published):
    for name in PAGES:
        page, address = soup(published, name), f"https://ada.github.io/{name}.html"
        assert [link["href"] for link in page.find_all("link", rel="canonical")] == [address]
        assert meta(page, "og:url") == [address] == [linked_data(page)["url"]]
        assert meta(page, "og:image") == ["https://ada.github.io/_static/card.png"]
        assert meta(page, "twitter:card") == ["summary_large_image"]
    shape = pixels(published / "_static" / "card.png").shape
    assert [int(meta(page, f"og:image:{side}")[0]) for side in ("height", "width")] == [*shape[:2]]


def test_the_entrance_is_previewed_as_the_first_page(published):
    entrance, first = soup(published, "index"), soup(published, "book/index")
    names = ["description", "og:title", "og:description", "og:url", "og:image", "og:type", "twitter:card"]
    assert all(meta(entrance, name) == meta(first, name) != [] for name in names)
    assert entrance.find("link", rel="canonical") == first.find("link", rel="canonical")
    assert entrance.find("meta", attrs={"http-equiv": "refresh"})["content"] == "0; url=book/index.html"


def test_pages_say_what_they_are(nowhere):
    for name in PAGES:
        page, data = soup(nowhere, name), linked_data(soup(nowhere, name))
        title, text = PAGES[name].removeprefix("# ").replace("`", "").split("\n")[::2][:2]
        assert meta(page, "og:title") == [title] == [data["name"]] or name == "book/index"
        assert meta(page, "og:description") == meta(page, "description") == [text] == [data["description"]]
        assert data["@type"] == {"book/index": "Book", "book/chapter": "Chapter"}.get(name, "WebPage")
        assert data.get("position") == NUMBERS.get(name)
        assert (nowhere / "book").joinpath(page.find("link", rel="apple-touch-icon")["href"]).is_file()
    assert soup(nowhere, "book/index").title.string == "A book"  # and not twice
    book = linked_data(soup(nowhere, "book/index"))
    assert linked_data(soup(nowhere, "book/chapter"))["isPartOf"].items() < book.items()
    assert (book["name"], book["version"]) == (CITATION["title"], CITATION["version"])
    assert [author["name"] for author in book["author"]] == [author["name"] for author in CITATION["authors"]]


def test_reference_managers_find_the_book_and_its_chapters(nowhere):
    book, chapter, notes = (soup(nowhere, name) for name in PAGES)
    assert meta(book, "citation_title") == meta(chapter, "citation_inbook_title") == [CITATION["title"]]
    assert meta(chapter, "citation_title") == [TITLE] and meta(book, "citation_inbook_title") == []
    for page in book, chapter:
        assert meta(page, "citation_author") == [author["name"] for author in CITATION["authors"]]
        assert meta(page, "citation_publication_date") == [DATE.replace("-", "/")]
    assert meta(notes, "citation_title") == []


@pytest.mark.parametrize("text, expected", [
    ("Short.", "Short."),
    ("First sentence, of a fair length, more than a third of all. " + "And a second, too long for it. " * 9, None),
    ("word " * 80, " ".join(["word"] * 40) + " …"),
    ("What can be asked in half of the space that there is, and a bit more? " + "word " * 80, None),
    (r"$\mathcal{N}(0, I)$, \log p_\theta(x)".replace("\\", "\\\\"), "$N(0, I)$, log p_theta(x)"),
    ("Dr. No. " + "word " * 80, "Dr. No. " + " ".join(["word"] * 38) + " …"),
])  # fmt: skip
def test_a_description_ends_with_a_sentence_or_a_word(text, expected):
    came = description(publish_doctree(f"A title\n=======\n\n{text}\n\nAnother paragraph."))
    assert len(came) <= DESCRIPTION_LENGTH + 2
    assert came == expected if expected else came.endswith(("it.", "more?")) and text.startswith(came)


# The files beside the pages


def test_every_address_of_the_sitemap_exists_and_no_page_is_missing(published):
    root = ElementTree.parse(published / "sitemap.xml").getroot()
    name = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    assert root.tag == f"{name}urlset"
    addresses = [location.text for location in root.iterfind(f"{name}url/{name}loc")]
    assert addresses == [f"https://ada.github.io/{page}.html" for page in PAGES]
    assert all((published / address.removeprefix("https://ada.github.io/")).is_file() for address in addresses)
    assert "Sitemap: https://ada.github.io/sitemap.xml\n" in (published / "robots.txt").read_text()


class LikeGitHub(QuietHandler):
    """Serves a folder at /vae/, and its 404.html where there is nothing."""

    def translate_path(self, path):
        inside = path.split("?")[0].removeprefix("/vae/")
        return str(self.server.folder / inside) if path.startswith("/vae/") else "/nothing/at/all"

    def send_error(self, code, message=None, explain=None):
        body = (self.server.folder / "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with ThreadingHTTPServer(("127.0.0.1", 0), LikeGitHub) as server:
        address = f"http://127.0.0.1:{server.server_port}/vae/"
        server.folder = build(tmp_path_factory.mktemp("site"), SITE_URL=address.rstrip("/"), GITHUB_REPOSITORY="a/b")
        assert not (server.folder / "robots.txt").exists()  # nobody looks for it at a sub-path
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield address
        server.shutdown()


@pytest.mark.parametrize("theme, width", [("light", 1350), ("dark", 390)])
def test_a_lost_reader_finds_back_from_any_depth(site, browser, theme, width):
    context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900})
    tab, said, requests = context.new_page(), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    lost = f"{site}book/old/deeper/page.html"
    assert tab.goto(lost).status == 404
    # It needs no other file. Headless, no icon is asked for, so look at the address.
    assert requests == [lost] and all("status of 404" in line for line in said)
    assert tab.locator("link[rel=icon]").get_attribute("href").startswith("data:image/svg+xml,%3Csvg")
    assert tab.evaluate("document.documentElement.dataset.theme") == theme
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (theme == "dark")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    links = [link.get_attribute("href") for link in tab.get_by_role("link").all()]
    assert links == [f"{site}{name}.html" for name in PAGES]
    for link in links:
        assert context.request.get(link).status == 200
    tab.get_by_role("searchbox").fill("gap")
    tab.get_by_role("button", name="Search").click()
    tab.wait_for_url(f"{site}search.html?q=gap")
    context.close()


def test_the_page_for_the_lost_knows_the_scheme_that_was_chosen_and_needs_no_script(site, browser, tmp_path):
    context = browser.new_context(color_scheme="dark")
    tab = context.new_page()
    tab.goto(f"{site}nothing")
    tab.evaluate("localStorage.setItem('mode', 'light')")
    tab.reload()
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    context.close()
    context = browser.new_context(color_scheme="dark", java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{site}nothing")
    tab.screenshot(path=tmp_path / "lost.png")
    assert pixels(tmp_path / "lost.png")[-1, -1].max() < 60
    context.close()


def test_the_page_for_the_lost_works_from_the_disk(nowhere, browser):
    tab = browser.new_page()
    tab.goto((nowhere / "404.html").as_uri())
    tab.get_by_role("link", name=TITLE).click()
    assert tab.url == (nowhere / "book" / "chapter.html").as_uri()
    tab.close()


# The citation and the card


def test_the_citation_is_that_of_the_package_and_the_book():
    assert CITATION["version"] == vae_tutorial.__version__
    assert CITATION["title"] == yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]


def test_the_version_is_released_on_one_day_or_on_none():
    newest = re.search("^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    assert newest == f"{CITATION['version']} ({CITATION.get('date-released', 'unreleased')})"


@pytest.mark.parametrize("file, date", [("{}", COPYRIGHT), ("date-released: 2031-02-03", "2031-02-03")])
def test_the_date_is_that_of_the_release_or_the_year_of_the_copyright(monkeypatch, file, date):
    monkeypatch.setattr("publishing.citation.cited", lambda: yaml.load(file, Loader=yaml.BaseLoader))
    assert published_on() == date


@pytest.mark.parametrize("book, url", [("nowhere", None), ("published", "https://ada.github.io/")])
def test_the_bibtex_entry_says_what_the_file_says(request, book, url):
    text = soup(request.getfixturevalue(book), "book/index").find("div", class_="highlight-bibtex").get_text()
    (entry,) = parse_string(text, "bibtex").entries.values()
    assert re.sub("[{}]", "", entry.fields["title"]) == CITATION["title"]
    assert entry.fields["year"] == DATE[:4]
    assert entry.fields["note"] == f"Version {CITATION['version']}"
    assert entry.fields.get("url") == url
    (author,) = CITATION["authors"]
    assert author["name"].replace("_", r"\_") in text


def test_the_card_and_the_icon_are_what_the_script_draws():
    from social_card import CARD, ICON, pictures

    sizes = {"card.png": CARD, "icon.png": ICON}
    for name, drawn in pictures().items():
        file = ROOT / "book" / "_static" / name
        assert drawn.size == sizes[name] and file.stat().st_size < 100_000
        assert np.array_equal(pixels(file), np.asarray(drawn.convert("RGB"))), f"{name}: run tools/social_card.py"
