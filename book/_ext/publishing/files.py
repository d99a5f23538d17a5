"""What a site has beside its pages: an entrance, a page for lost readers, and a map for search engines.

Addresses are relative where the site's own (`site_address`) is not known, so that all of it works from the disk.
"""

import html
from urllib.parse import quote, urlsplit

from chapters import reading_order

from publishing.address import site_address
from publishing.head import description, meta, preview_tags

LOST = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="description" content="Page not found: the pages of {book}">
<title>Page not found — {book}</title>
<link rel="icon" href="data:image/svg+xml,{icon}">
<script>
  const chosen = localStorage.getItem("mode") || "auto";  // with the switch on the book's pages
  const night = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = chosen === "auto" ? (night ? "dark" : "light") : chosen;
</script>
<style>
  html {{ color-scheme: light dark; --ground: light-dark(#fff, #121212); --text: light-dark(#222832, #ced6dd);
    --link: light-dark(#0a58a8, #7cb8f2); --line: light-dark(#8a94a0, #707a85); }}
  html[data-theme="light"] {{ color-scheme: light; }}
  html[data-theme="dark"] {{ color-scheme: dark; }}
  body {{ background: var(--ground); color: var(--text); font: 1.05rem/1.6 system-ui, sans-serif; margin: 0; }}
  main {{ max-width: 44rem; margin: 0 auto; padding: 2rem 1rem; }}
  svg {{ width: 4.5rem; display: block; }}
  h1 {{ font-weight: 500; line-height: 1.2; margin: 0.5rem 0; }}
  a {{ color: var(--link); text-underline-offset: 0.2em; }}
  li {{ padding: 0.15rem 0; }}
  ol {{ list-style: none; padding: 0; columns: 20rem 2; }}
  input, button {{ font: inherit; padding: 0.4rem 0.8rem; border: 1px solid var(--line); border-radius: 0.4rem;
    background: var(--ground); color: var(--text); max-width: 60%; }}
</style>
</head>
<body>
<main>
{picture}
<h1>This page does not exist</h1>
<p>Perhaps it has another name by now. Look for a word, or choose a page of
<a href="{home}">{book}</a>.</p>
<form action="{search}" role="search">
<input name="q" type="search" aria-label="Words to look for" required> <button>Search</button>
</form>
<ol>
{pages}
</ol>
</main>
</body>
</html>
"""


def write_files(app, exception) -> None:
    if exception is not None or app.builder.format != "html":
        return
    files = {"index.html": entrance(app), "404.html": lost(app)}
    if address := site_address():
        files["sitemap.xml"] = sitemap(app, address)
        if urlsplit(address).path == "/":  # the only place where it is looked for
            files["robots.txt"] = f"User-agent: *\nAllow: /\n\nSitemap: {address}sitemap.xml\n"
    for name, text in files.items():
        (app.outdir / name).write_text(text, encoding="utf-8")


def entrance(app) -> str:
    """The folder's own index.html, which leads to the first page and is previewed like it."""
    first, title = app.builder.get_target_uri(app.config.root_doc), html.escape(app.config.html_title)
    text = description(app.env.get_doctree(app.config.root_doc))
    tags = [meta("description", text), *preview_tags(app, app.config.html_title, text, first)]
    if address := site_address():
        tags.append(f'<link rel="canonical" href="{address}{first}">')
    tags = "\n".join(tags)
    return f"""<!DOCTYPE html>
<html lang="{app.config.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={first}">
<link rel="icon" href="_static/favicon.svg">
{tags}
<title>{title}</title>
</head>
<body><a href="{first}">{title}</a></body>
</html>
"""


def lost(app) -> str:
    """404.html, which GitHub Pages answers with at any depth: it needs no other file, and its links say where to."""
    address = site_address()
    icon = (app.outdir / "_static" / "favicon.svg").read_text(encoding="utf-8")
    uris = {page: address + app.builder.get_target_uri(page) for page in app.env.toctree_includes[app.config.root_doc]}
    items = [f'<li><a href="{uris[page]}">{html.escape(app.env.titles[page].astext())}</a></li>' for page in uris]
    return LOST.format(
        language=app.config.language,
        book=html.escape(app.config.html_title),
        icon=quote(icon),
        picture=icon.strip().replace("<svg ", '<svg aria-hidden="true" '),
        home=address + app.builder.get_target_uri(app.config.root_doc),
        search=address + "search.html",
        pages="\n".join(items),
    )


def sitemap(app, address: str) -> str:
    """The pages for search engines, in reading order."""
    pages = (html.escape(address + app.builder.get_target_uri(page)) for page in reading_order(app))
    entries = "\n".join(f"<url><loc>{page}</loc></url>" for page in pages)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
{entries}
</urlset>
"""


def setup(app):
    app.connect("build-finished", write_files, priority=900)  # after sphinx_external_toc's own index.html
    return {"parallel_read_safe": True, "parallel_write_safe": True}
