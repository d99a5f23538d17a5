"""Light pages: once all are written, what they load is cut down to what they use.

The theme brings the rules and the icons for every site there could be. A rule stays where the classes and ids that it
is for occur in any page or script, an icon where such a rule shows it. The style sheets common to all pages become one
file; scripts move to the end of the page, where they hold up no text; code loses the marks that color nothing; every
picture has a palette, and its size, so that nothing moves when it comes, and comes when the reader is near, but for the
first one of the landing page; what the theme measures and the book's own script measures better, it measures no more.
Without this extension the pages look the same.
"""

import posixpath
import re
import struct
from hashlib import sha256
from io import BytesIO
from itertools import groupby, pairwise
from pathlib import Path

import tinycss2
from fontTools import subset
from PIL import Image
from tinycss2.ast import AtRule, Node

BUNDLE = "book.bundle.css"
COLORS = 192  # of a picture: anti-aliased lines and gray digits look the same
STYLE_SHEET = re.compile(r'\s*<link (?=[^>]*rel="stylesheet")(?![^>]*media=)[^>]*href="(?P<href>[^"?]*)[^>]*>')
SCRIPT = re.compile(r"\s*<script(?P<options>[^>]*)>[^<]*</script>")
STAYS = re.compile(r"data-cfasync|type=")  # the choice of light or dark, and data
PRELOADED_SCRIPT = re.compile(r'\s*<link rel="preload" as="script"[^>]*>')
# The theme's icons come from its web font: 1.5 MB of script for the same icons, and its preloading of the font, which
# fails on pages opened from the disk, are not needed. Nor is Sphinx's search: the book has its own.
REDUNDANT = re.compile(
    r'\s*<script[^>]*src="[^"]*(?:scripts/fontawesome|fontawesome/[^"]*/all\.min|searchtools|language_data|searchindex)'
    r'\.js[^"]*"></script>'
    r'|\s*<link rel="preload" as="font"[^>]*>'
)
# The theme measures all blocks of code once the page is loaded, and so has all of them laid out at once, one by one.
# book.js watches those that are laid out.
THEME = "scripts/pydata-sphinx-theme.js"
MEASURING = re.compile(r'"complete"===document\.readyState\?(\w+)\(\):window\.addEventListener\("load",\1\)')
IMAGE = re.compile(r'<img (?P<rest>[^>]*?src="(?P<src>[^":?]*\.png)"[^>]*?)\s*/?>')
PLAIN_TOKEN = re.compile(r'<span class="(?:n|p|w)">([^<]*)</span>')  # names, punctuation, space: colored as the rest
WRITTEN = re.compile(r'\b(?:class|id)="([^"]*)"')
NAME = re.compile(r"[\w-]+")
COMPOSED = re.compile(r"bs-|.*[^\w-]")  # names that scripts put together, and names with signs in them
ICON = re.compile("[\uf000-\uf8ff]")


# Style sheets


def is_used(selector: list[Node], names: set[str]) -> bool:
    """Whether its classes and ids occur; those within parentheses are alternatives or exceptions."""
    classes = [after.value for before, after in pairwise(selector) if before == "."]
    ids = [node.value for node in selector if node.type == "hash"]
    return all(COMPOSED.match(name) or name in names for name in classes + ids)


def thinned(rules: list[Node], names: set[str]) -> str:
    kept = []
    for rule in rules:
        if isinstance(rule, AtRule):
            if rule.lower_at_keyword in ("media", "supports", "container"):
                inner = thinned(parsed(rule.content), names)
                kept.append(f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}" if inner else "")
            elif rule.lower_at_keyword != "charset":
                kept.append(rule.serialize())
        else:
            parts = [list(part) for comma, part in groupby(rule.prelude, lambda node: node == ",") if not comma]
            matching = [tinycss2.serialize(part).strip() for part in parts if is_used(part, names)]
            kept.append(f"{','.join(matching)}{{{tinycss2.serialize(rule.content).strip()}}}" if matching else "")
    return "\n".join(filter(None, kept))


def parsed(css: str | list[Node]) -> list[Node]:
    rules = tinycss2.parse_rule_list(css, skip_comments=True, skip_whitespace=True)
    if wrong := [rule.message for rule in rules if rule.type == "error"]:
        raise ValueError(f"in a style sheet: {wrong}")
    return rules


def read(path: Path, root: Path) -> str:
    """A style sheet with those that it imports; its addresses are counted from the root."""
    css = path.read_text(encoding="utf-8")
    css = re.sub(r'@import "([^"]*)";', lambda match: read((path.parent / match[1]).resolve(), root), css)
    folder = path.parent.relative_to(root).as_posix()
    moved = lambda match: f"url({posixpath.normpath(posixpath.join(folder, match[1]))})"  # noqa: E731
    return re.sub(r"""url\(["']?(?!data:|#)([^"')]+)["']?\)""", moved, css)


def with_few_icons(css: str, root: Path) -> str:
    """Solid icons come from a font with those alone that a rule shows."""
    font = root / "vendor" / "fontawesome" / "webfonts" / "fa-solid-900.ttf"
    loaded = subset.load_font(str(font), subset.Options())
    subsetter = subset.Subsetter(subset.Options(hinting=False, layout_features=[], notdef_outline=True))
    subsetter.populate(text="".join(ICON.findall(css)))
    subsetter.subset(loaded)
    loaded.flavor = "woff"
    loaded.save(root / "icons.woff")
    return re.sub(r"src:url\([^)]*fa-solid-900\.woff2\)[^;}]*", 'src:url(icons.woff) format("woff")', css)


# Pages


def style_sheets(page: str) -> list[str]:
    return [match["href"].split("_static/", 1)[-1] for match in STYLE_SHEET.finditer(page)]


def with_bundle(page: str, common: list[str], version: str) -> str:
    """One style sheet stands for all that are common, where the first of them stood."""
    first = next(match for match in STYLE_SHEET.finditer(page) if match["href"].split("_static/", 1)[-1] in common)
    address = first["href"].split("_static/", 1)[0] + f"_static/{BUNDLE}?v={version}"
    bundle = f'\n    <link rel="stylesheet" href="{address}">'

    def change(match: re.Match) -> str:
        kept = match["href"].split("_static/", 1)[-1] not in common
        return match[0] if kept else bundle if match[0] == first[0] else ""

    return STYLE_SHEET.sub(change, page)


def with_scripts_last(page: str) -> str:
    head, body = page.split("</head>", 1)
    moved = [match for match in SCRIPT.finditer(head) if not STAYS.search(match["options"])]
    for match in moved:
        head = head.replace(match[0], "", 1)
    last = "".join(match[0] for match in moved)
    before, after = body.rsplit("</body>", 1)
    return f"{PRELOADED_SCRIPT.sub('', head)}</head>{before}{last}\n  </body>{after}"


def with_sized_pictures(page: str, folder: Path, *, first_at_once: bool) -> str:
    waits = not first_at_once

    def change(match: re.Match) -> str:
        nonlocal waits
        width, height = struct.unpack(">II", (folder / match["src"]).read_bytes()[16:24])  # of a PNG file
        size = "" if re.search(r"\b(width|height|style)=", match["rest"]) else f' width="{width}" height="{height}"'
        later = ' loading="lazy" decoding="async"' if waits else ""
        waits = True
        return f"<img {match['rest']}{size}{later} />"

    return IMAGE.sub(change, page)


def squeeze(picture: Path) -> None:
    """Write the PNG file with a palette, where that is smaller: figures have few colors, and weigh a third."""
    smaller = BytesIO()
    with Image.open(picture) as image:
        palette = image.convert("RGB").quantize(COLORS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette.save(smaller, "PNG", optimize=True)
    if smaller.tell() < picture.stat().st_size:
        picture.write_bytes(smaller.getvalue())


def without_measuring(script: str) -> str:
    changed, found = MEASURING.subn("0", script)
    if found != 1:
        raise ValueError(f"{THEME} measures code in {found} places, not in one: look at what it does now")
    return changed


def lighten(app, exception) -> None:
    if exception or app.builder.format != "html":
        return
    folder = Path(app.outdir)
    root = folder / "_static"
    pages = [path for path in folder.rglob("*.html") if root not in path.parents]
    texts = {path: path.read_text(encoding="utf-8") for path in pages}
    names = {name for text in texts.values() for value in WRITTEN.findall(text) for name in value.split()}
    for script in root.rglob("*.js"):
        if script.name != "fontawesome.js":  # which names every icon, and is on no page
            names.update(NAME.findall(script.read_text(encoding="utf-8")))
    # What an earlier build made light, this one need not; but its names count.
    texts = {path: text for path, text in texts.items() if style_sheets(text) and BUNDLE not in text}
    if not texts:
        return
    listed = [style_sheets(text) for text in texts.values()]
    theme = root / THEME
    theme.write_text(without_measuring(theme.read_text(encoding="utf-8")), encoding="utf-8")
    common = [sheet for sheet in listed[0] if all(sheet in others for others in listed)]
    for picture in (folder / "_images").glob("*.png"):
        squeeze(picture)
    css = with_few_icons(thinned(parsed("\n".join(read(root / sheet, root) for sheet in common)), names), root)
    (root / BUNDLE).write_text(f'@charset "utf-8";\n{css}', encoding="utf-8")
    version = sha256(css.encode()).hexdigest()[:8]
    landing = folder / app.builder.get_target_uri(app.config.root_doc)
    for path, text in texts.items():
        text = PLAIN_TOKEN.sub(r"\1", with_bundle(REDUNDANT.sub("", text), common, version))
        text = with_sized_pictures(text, path.parent, first_at_once=path == landing)
        path.write_text(with_scripts_last(text), encoding="utf-8")


def setup(app):
    app.connect("build-finished", lighten, priority=950)  # after all that read or write pages
    return {"parallel_read_safe": True, "parallel_write_safe": True}
