"""The search finds what a reader calls a thing: a symbol by its name, a term, an exercise, a function.

Sphinx's index knows words, headings and the objects of each domain. Here the rows of the notation page become objects,
`σ_φ (sigma, phi, log_var): …`, each with an anchor, and the glossary's terms too; exercises get their number; what only
adds weight is dropped, for the index is a script. ``_static/search.js`` cares for what the page of results shows. The
sections of the page on troubleshooting are found by what readers say of their symptom, too.
"""

import json
import re

from docutils import nodes
from sphinx.domains import Domain, ObjType
from sphinx.search.en import SearchEnglish
from sphinx.util import logging

NOTATION = "notation"  # the page whose tables have the symbols in the first column and, in code, in the third
GREEK = {
    "beta": "β", "pi": "π", "varepsilon": "ε", "theta": "θ", "mu": "μ", "sigma": "σ", "phi": "φ",
    "ell": "ℓ", "lambda": "λ", "alpha": "α", "Lambda": "Λ",
}  # fmt: skip
SPOKEN = {"varepsilon": "epsilon", "ell": "ell"}
SIGNS = {"mid": " | ", "Vert": " ‖ ", "log": "log ", "int": "∫", "dots": "…"}
STATEMENT = re.compile(r"^ \((.*)\)$")  # the title of a theorem, which its number would precede
WRITTEN = re.compile(r"Search\.setIndex\((.*)\)", re.DOTALL)
EXERCISE = re.compile(r"Solution to (?P<name>Exercise [\d.]+ ?(?P<title>\(.*\))?)")
SYMPTOMS = {  # sec-troubleshooting-…: words that lead to it | that do beside others, as those of its title
    "nan": "nan inf infinite explode diverge overflow unstable | exploding exploded divergence crash huge spike",
    "negative": "| elbo positive log likelihood below zero probability density greater",
    "falls": "unbounded endless | elbo climbs bound infinity constant column variance keeps decreasing decreases",
    "collapse": "collapse identical | collapsed same output image reconstruction ignores ignored zero vanish vanishing "
    "dead blob posterior decoder mean z latent",
    "stuck": "stuck plateau | flat learn learning decrease decreasing constant sigmoid logits train training",
    "blurry": "blurry blur fuzzy smooth sharp | blurred unsharp reconstruction sample output digits",
    "samples": "nonsense garbage | noise generated generate generation hole well poor prior new random image",
    "kl-rises": "| increase increasing grow growing go up kld divergence term",
    "kl-negative": "| kld divergence below zero less monte carlo closed form term",
    "weights": "reduction weighting balance | reduce average beta kld scale scaling divide batch size pixel loss term "
    "annealing dimension",
    "gray": "grey grayscale greyscale bce mse | cross entropy binary squared error bernoulli gaussian loss",
    "log-var": "logvar softplus relu | log_var exp sigma standard deviation std instead head negative log",
    "mean-or-sample": "inference | testing evaluation eval deterministic mu reparameterize twice different each call",
    "save": "save pickle unpickle state_dict | saving loading torch model checkpoint weights restore export",
    "own-data": "csv tabular colour color rgb standardize | custom dataset table channel normalize scaling unscaled",
    "batch-norm": "batchnorm batchnorm1d layernorm | normalization dropout eval mode",
    "anomaly": "anomaly outlier novelty ood | detection detect detector out distribution reconstruction error loss",
    "total-correlation": "tc tcvae disentangle disentanglement | estimate negative minibatch penalty latent",
}
logger = logging.getLogger(__name__)


class Symbols(Domain):
    """The rows of the tables of notation: name → page and anchor. And the glossary's terms, which Sphinx leaves out."""

    name = "book"
    label = "Book"
    object_types = {"symbol": ObjType("symbol"), "term": ObjType("glossary term")}
    initial_data = {"symbols": {}}

    def get_objects(self):
        for name, (docname, anchor) in self.data["symbols"].items():
            yield name, name, "symbol", docname, anchor, 0
        for (kind, name), (docname, anchor) in self.env.get_domain("std").objects.items():
            if kind == "term":
                yield name, name, "term", docname, anchor, 0

    def get_type_name(self, type: ObjType, primary: bool = False) -> str:
        return type.lname  # what the page of results calls it: "symbol, in Notation", without the domain's name

    def clear_doc(self, docname: str) -> None:
        self.data["symbols"] = {name: place for name, place in self.data["symbols"].items() if place[0] != docname}


def collect(app, doctree) -> None:
    """Give each row of the tables of notation an anchor, and remember its name."""
    docname = app.env.docname
    if docname.rpartition("/")[2] != NOTATION:
        return
    symbols = app.env.get_domain("book").data["symbols"]
    rows = (row for body in doctree.findall(nodes.tbody) for row in body.findall(nodes.row))
    for number, row in enumerate(rows, start=1):
        row["ids"].append(f"symbol-{number}")
        called = name(*row.children[:3])
        symbols[called] = docname, row["ids"][0]
        if "\\" in called:
            logger.warning("the search has no name for “%s”", called, location=row, type="search")


def name(symbol: nodes.entry, meaning: nodes.entry, code: nodes.entry) -> str:
    """A row as one line of text, such as `ε (epsilon, eps): standard Gaussian noise`."""
    tex = " ".join(formula.astext() for formula in symbol.findall(nodes.math))
    spoken = [SPOKEN.get(command, command) for command in re.findall(r"\\([a-zA-Z]+)", tex) if command in GREEK]
    names = dict.fromkeys([*spoken, *(literal.astext() for literal in code.findall(nodes.literal))])
    said = re.split(r"[,;:] *(?=\0)", text(meaning))[0]  # up to the formula that spells it out
    called = f"{text(symbol).strip()} ({', '.join(names)}): {said}".replace("\0", "").replace(" ()", "")
    return called.strip()


def text(node: nodes.Node) -> str:
    """What a table's cell says, its formulas as plain text; before each stands a mark, \\0."""
    if isinstance(node, nodes.math):
        return "\0" + plain(node.astext())
    return node.astext() if isinstance(node, nodes.Text) else "".join(map(text, node.children))


def plain(tex: str) -> str:
    """A simple formula as text: `\\log \\sigma_\\phi^2(x)` is `log σ_φ²(x)`."""
    tex = re.sub(r"\\(?:mathcal|mathbb|mathrm|operatorname)\b *(?:\{(\w+)\})?", r"\1", tex)
    tex = re.sub(r"\\([bB]ig[lr]?|[,;!]|bar|hat)|[{}]", "", tex)
    tex = re.sub(r"\\([a-zA-Z]+) *", lambda command: (GREEK | SIGNS).get(command[1], command[0]), tex)
    return " ".join(tex.replace("^2", "²").replace("^*", "*").split())


def refine(app, exception) -> None:
    """In the index that Sphinx wrote: pages and exercises under their names, and nothing that nobody looks up."""
    if exception or app.builder.name != "html":
        return
    path = app.outdir / "searchindex.js"
    index = json.loads(WRITTEN.fullmatch(path.read_text(encoding="utf-8"))[1])
    pages = index["docnames"]
    index["titles"] = [app.env.titles[page].astext() for page in pages]  # without the HTML of the chapter's number
    index["alltitles"] = named(index["alltitles"])
    index["terms"] = {word: found for word, found in index["terms"].items() if not word.isdigit()}  # ignored anyway
    index["indexentries"] = {}  # each is an object, too
    index["symptoms"] = symptoms(app.env, pages)
    text = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    path.write_text(f"Search.setIndex({text})", encoding="utf-8")


def symptoms(env, pages: list[str]) -> list[list]:
    """For each section of troubleshooting: page, title, anchor, stems that lead to it, others, those of its title."""
    stemmer, found = SearchEnglish({}), []

    def stems(said: str) -> list[str]:
        return sorted({stemmer.stem(word) for word in re.findall(r"\w+", said.lower())})

    labels = env.get_domain("std").labels
    for key, synonyms in SYMPTOMS.items():
        if (label := f"sec-troubleshooting-{key}") in labels:
            page, anchor, title = labels[label]
            found.append([pages.index(page), title, anchor, *map(stems, synonyms.split("|")), stems(title)])
    return found


def named(titles: dict[str, list]) -> dict[str, list]:
    """The titles and their places: an exercise with its number, a theorem without brackets, and no solution.

    A solution's title names its exercise, whose own title has no number.
    """
    solved = [(EXERCISE.match(straight(title)), places) for title, places in titles.items()]
    names = {(found["title"], page): found["name"] for found, places in solved if found for page, _ in places}
    changed = {}
    for title, places in titles.items():
        if not EXERCISE.match(straight(title)):
            for page, anchor in places:
                name = names.get((straight(title).strip(), page), STATEMENT.sub(r"\1", title))
                changed.setdefault(name, []).append([page, anchor])
    return changed


def straight(title: str) -> str:
    return title.replace("’", "'")


def part_words(app, doctree, docname) -> None:
    """Sphinx strips the tags of raw HTML, which joined the last word of an element to the first of the next."""
    for raw in doctree.findall(nodes.raw):
        if "</div><div" in raw.astext():
            raw.children = [nodes.Text(raw.astext().replace("</div><div", "</div>\n<div"))]


def add_script(app, pagename, templatename, context, doctree) -> None:
    if pagename == "search":
        app.add_js_file("search.js", loading_method="defer")


def setup(app):
    app.add_domain(Symbols)
    app.connect("doctree-read", collect)
    app.connect("doctree-resolved", part_words)
    app.connect("html-page-context", add_script)
    app.connect("build-finished", refine)
    return {"version": "1", "env_version": 1, "parallel_read_safe": False, "parallel_write_safe": True}
