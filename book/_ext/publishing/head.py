"""The head of every page: what search engines, previews of links, and reference managers read of it.

An address in such a tag must be absolute. Where the site's is not known (`site_address`), no tag has one.
"""

import html
import json
import re

from chapters import chapter_number
from docutils import nodes

from publishing.address import site_address
from publishing.citation import author_names, cited, published

CARD, CARD_SIZE = "_static/card.png", (1200, 630)  # drawn by tools/social_card.py
CARD_ALT = (
    "The book's title; digits that a variational autoencoder reproduces and draws; and its bound, estimated and exact, "
    "below the exact log p(x)."
)
DESCRIPTION_LENGTH = 200
SENTENCE = re.compile(r"[.?!](?= )")
TEX = re.compile(r"\\mathcal|[\\{}]")  # without it a short formula is plain enough


def say_address(app, config) -> None:
    """Sphinx then writes each page's canonical link."""
    config.html_baseurl = site_address()


def add_head(app, pagename, templatename, context, doctree) -> None:
    text = description(doctree) or app.config.html_title
    metatags = context.get("metatags", "")
    tags = [] if 'name="description"' in metatags else [meta("description", text)]
    if pagename in app.env.titles:  # not the page for searching
        title = app.env.titles[pagename].astext()
        tags += preview_tags(app, title, text, app.builder.get_target_uri(pagename))
        tags += [*citation_tags(app, pagename, title), linked_data(app, pagename, title, text)]
    tags.append(f'<link rel="apple-touch-icon" href="{context["pathto"]("_static/icon.png", resource=True)}">')
    context["metatags"] = "\n".join([metatags, *tags])
    if pagename == app.config.root_doc:
        context["docstitle"] = ""  # its own title is the book's


def description(doctree) -> str:
    """The first paragraph of a page, up to the last end of a sentence, or of a word, that is not too far."""
    paragraphs = doctree.findall(nodes.paragraph) if doctree else ()
    prose = (p for p in paragraphs if isinstance(p.parent, (nodes.section, nodes.document)))
    text = next((" ".join(TEX.sub("", p.astext()).split()) for p in prose), "")
    if len(text) <= DESCRIPTION_LENGTH:
        return text
    ends = [end.end() for end in SENTENCE.finditer(text[: DESCRIPTION_LENGTH + 1])]
    if ends and ends[-1] > DESCRIPTION_LENGTH // 3:
        return text[: ends[-1]]
    return text[:DESCRIPTION_LENGTH].rsplit(" ", 1)[0] + " …"


def preview_tags(app, title: str, text: str, uri: str) -> list[str]:
    """Open Graph, which every service that previews links reads, and the one tag that Twitter's cards need besides."""
    tags = {
        "og:title": title,
        "og:description": text,
        "og:type": "website" if uri == app.builder.get_target_uri(app.config.root_doc) else "article",
        "og:site_name": app.config.html_title,
        "og:locale": "en_US",
    }
    if address := site_address():
        tags |= {
            "og:url": address + uri,
            "og:image": address + CARD,
            "og:image:width": CARD_SIZE[0],
            "og:image:height": CARD_SIZE[1],
            "og:image:alt": CARD_ALT,
        }
    return [meta(name, content, key="property") for name, content in tags.items()] + [
        meta("twitter:card", "summary_large_image" if address else "summary")
    ]


def citation_tags(app, pagename: str, title: str) -> list[str]:
    """The tags by which Google Scholar and reference managers know a book and its chapters."""
    is_book = pagename == app.config.root_doc
    if not is_book and not chapter_number(app, pagename):
        return []
    tags = [("citation_title", cited()["title"] if is_book else title)]
    tags += [] if is_book else [("citation_inbook_title", cited()["title"])]
    tags += [("citation_author", name) for name in author_names()]
    tags += [("citation_publication_date", published().replace("-", "/"))]
    tags += [("citation_language", app.config.language)]
    if address := site_address():
        tags.append(("citation_public_url", address + app.builder.get_target_uri(pagename)))
    return [meta(name, content) for name, content in tags]


def linked_data(app, pagename: str, title: str, text: str) -> str:
    """The page in the vocabulary of schema.org: the book, one of its chapters, or another page of it."""
    citation, address = cited(), site_address()
    book = {
        "@type": "Book",
        "name": citation["title"],
        "author": [{"@type": "Person" if ", " in name else "Organization", "name": name} for name in author_names()],
        "datePublished": published(),
        "version": citation["version"],
        "inLanguage": app.config.language,
        "license": [f"https://spdx.org/licenses/{name}" for name in citation["license"]],
        "keywords": citation["keywords"],
    }
    if address:
        book |= {"url": address + app.builder.get_target_uri(app.config.root_doc), "image": address + CARD}
    if pagename == app.config.root_doc:
        page = book | {"description": text}
    else:
        number = chapter_number(app, pagename)
        page = {"@type": "Chapter" if number else "WebPage", "name": title, "description": text, "isPartOf": book}
        page |= {"position": int(number[0])} if number else {}
        page |= {"url": address + app.builder.get_target_uri(pagename)} if address else {}
    data = json.dumps({"@context": "https://schema.org"} | page, ensure_ascii=False).replace("<", r"\u003c")
    return f'<script type="application/ld+json">{data}</script>'


def meta(name: str, content: object, key: str = "name") -> str:
    return f'<meta {key}="{name}" content="{html.escape(str(content))}">'


def setup(app):
    app.connect("config-inited", say_address)
    app.connect("html-page-context", add_head)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
