"""The places of a written page to which a search may lead, and what each says, with its formulas as plain text.

A place is a chapter or section, a term, a symbol, a statement or exercise, an object of the package, or a source.
"""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "Delta": "Δ", "epsilon": "ε", "varepsilon": "ε",
    "theta": "θ", "lambda": "λ", "Lambda": "Λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "Sigma": "Σ", "tau": "τ", "phi": "φ", "varphi": "φ", "psi": "ψ", "omega": "ω", "ell": "ℓ", "eta": "η", "kappa": "κ",
}  # fmt: skip
SIGNS = {
    "mid": " | ", "Vert": " ‖ ", "|": " ‖ ", "lVert": "‖", "rVert": "‖", "int": "∫", "sum": "∑", "prod": "∏",
    "dots": "…", "cdots": "…", "ldots": "…", "log": "log ", "exp": "exp ", "le": " ≤ ", "leq": " ≤ ",
    "ge": " ≥ ", "geq": " ≥ ", "ne": " ≠ ", "sim": " ~ ", "approx": " ≈ ", "times": " × ", "cdot": " · ", "to": " → ",
    "infty": "∞", "in": " ∈ ", "pm": " ± ", "partial": "∂", "nabla": "∇", "odot": " ⊙ ", "top": "ᵀ", "quad": " ",
    "qquad": " ", "colon": ": ",
}  # fmt: skip
RAISED = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")
DRAWN = re.compile(  # what says only how it looks
    r"\\([bB]igg?[lrm]?|left|right|middle|[,;:!]|bar|(?:over|under)(?:line|brace|set)|(?:wide)?(?:hat|tilde)|limits"
    r"|displaystyle|nobreak|allowbreak|(?:begin|end)\{\w+\*?\}(?:\{[lcr]*\})?)(?![a-zA-Z])|&"
)
PART = r"\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"  # in braces, with braces inside


def plain(tex: str) -> str:
    r"""A formula as text: `\log \sigma_\phi^2(x)` is `log σ_φ²(x)`."""
    tex = re.sub(r"\\(?:mathcal|mathbb|mathrm|mathbf|operatorname|text|boldsymbol)\b\*? *(?:\{([^{}]*)\})?", r"\1", tex)
    tex = DRAWN.sub("", tex)
    tex = re.sub(r"\\[dt]?frac *(\w) *(\w)", r"\1/\2 ", tex)
    while tex != (shorter := re.sub(rf"\\[dt]?frac *{PART} *{PART}", divided, tex)):
        tex = shorter
    tex = re.sub(rf"\\sqrt *{PART}", r"√(\1)", re.sub(r"\\[\\{} ]", " ", tex))
    tex = re.sub(r"\^\{?([-−+]?[\dn]+)\}?", lambda power: power[1].translate(RAISED), tex)
    tex = re.sub(r"\^\{([^{}]{2,})\}", r"^(\1)", tex).replace("^*", "*")
    tex = re.sub(r"\\([a-zA-Z]+|\|) *", lambda command: (GREEK | SIGNS).get(command[1], command[0] + " "), tex)
    return tidy(re.sub(r"[{}]", "", tex))


def tidy(text: str) -> str:
    return re.sub(r" (?=[.,;:)])", "", " ".join(text.split()))


def divided(fraction: re.Match) -> str:
    return "/".join(part if re.fullmatch(r"\\?\w*", part) else f"({part})" for part in fraction.groups())


@dataclass
class Place:
    kind: str
    anchor: str  # "" for the page itself
    title: str = ""
    text: str = ""
    code: set[str] = field(default_factory=set)  # words of its programs, and what its checks claim
    leads: str = ""  # words that lead to it although it does not say them


LEFT_OUT = {"katex-html", "headerlink", "viewcode-link", "section-number", "chapter-times", "chapter-needs", "eqno",
            "check-verdict", "check-measurement", "check-mistake", "check-number", "evidence", "label", "module-names",
            "solution", "field-list"}  # fmt: skip
VOID = {"img", "br", "hr", "input", "meta", "link", "source", "wbr", "col"}
SILENT = {"script", "style", "button", "summary", "svg"}
INLINE = {"span", "a", "em", "strong", "code"}
KINDS = {"exercise": "exercise", "theorem": "theorem", "citation": "source"}


@dataclass
class Open:
    """An element that has begun: the place that it belongs to, and what becomes of its text."""

    tag: str
    classes: list[str]
    place: Place | None
    way: str  # "title", "text", "code", "tex", "left out"


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.places: list[Place] = []
        self.stack = [Open("", [], None, "left out")]

    def handle_starttag(self, tag: str, attributes: list) -> None:
        if tag in VOID:
            return
        known = {name: value or "" for name, value in attributes}
        classes, anchor = known.get("class", "").split(), known.get("id", "")
        above = self.stack[-1]
        place = self.begun(tag, classes, anchor)
        if place:
            self.places.append(place)
            if tag == "dt":
                above.place = place  # so that its definition belongs to it, too
        elif anchor.startswith("sec-") and above.place and not above.place.title:
            above.place.anchor = anchor  # a label does not change with the title
        self.stack.append(Open(tag, classes, place or above.place, self.way(tag, classes, above.way, place)))

    def way(self, tag: str, classes: list[str], above: str, place: Place | None) -> str:
        if tag == "article":
            return "text"
        if above == "left out" or tag in SILENT or not LEFT_OUT.isdisjoint(classes):
            return "left out"
        if tag == "annotation":
            return "tex"
        if tag == "math":
            return "formula"  # of which the annotation says all
        if tag in ("h1", "h2", "h3", "h4") or ("admonition-title" in classes and not self.stack[-1].place.title):
            return "title"
        if tag == "dt" and place:
            return "title" if place.kind == "term" else "text"
        if tag == "pre" or "cell_output" in classes:
            return "code"
        return "text" if tag in ("figcaption", "dd") else above

    def begun(self, tag: str, classes: list[str], anchor: str) -> Place | None:
        """The place that begins with this element."""
        above = self.stack[-1]
        if not anchor or above.way == "left out":
            return None
        if tag == "section" and not anchor.endswith("-content"):  # of a statement or exercise
            return Place("section" if self.places else "page", anchor if self.places else "")
        if tag == "dt" and anchor.startswith("term-"):
            return Place("term", anchor)
        if tag == "dt" and "py" in above.classes:
            return Place(above.classes[-1], anchor, anchor)
        if tag == "tr" and anchor.startswith("symbol-"):
            return Place("symbol", anchor)
        return next((Place(KINDS[name], anchor) for name in classes if name in KINDS), None)

    def handle_endtag(self, tag: str) -> None:
        if tag in (entry.tag for entry in self.stack):
            while self.stack.pop().tag != tag:
                pass
            if tag not in INLINE:
                self.say(" ")

    def handle_data(self, data: str) -> None:
        self.say(data)

    def say(self, said: str) -> None:
        above = self.stack[-1]
        if above.place is None or above.way in ("left out", "formula"):
            return
        way = above.way
        if way == "tex":
            said = plain(said).replace("\\", "")
            way = next(entry.way for entry in reversed(self.stack) if entry.way not in ("tex", "formula"))
        if way == "code":
            above.place.code.update(re.findall(r"[^\W\d]\w{2,}", said))
        elif way == "title":
            above.place.title += said
        else:
            above.place.text += said


def read(page: str) -> list[Place]:
    """The places of a page; the first is the page itself."""
    reader = Reader()
    article = page[page.find("<article") : page.find("</article>")]
    reader.feed(re.sub("<semantics>.*?<annotation", "<annotation", article, flags=re.DOTALL))
    for place in reader.places:
        place.title, place.text = map(tidy, (place.title, place.text))
        if place.kind == "source":
            place.title, place.text = place.text, ""
    return reader.places
