"""The search finds what a reader calls a thing, as one types: a chapter, a section, a symbol, a term, a function.

Sphinx's index knows pages and words. Here every place of a page (see ``places``) is listed with what it says, in one
script, ``searchindex.js``. ``_static/search.js`` loads it when a reader turns to the search, and ranks its places, on a
server and on the disk alike. The rows of the notation page get a name, `σ_φ (sigma, phi, log_var): …`, and an anchor.
"""

import json
import re
from collections import defaultdict
from pathlib import Path

from chapters import numbered_title
from docutils import nodes
from places import GREEK, plain, read
from sphinx.util import logging

NOTATION = "notation"  # the page whose tables have the symbols in the first column and, in code, in the third
SPOKEN = {"varepsilon": "epsilon", "ell": "ell"}
COMMON = 30  # a word that stands in the programs of more places leads to none of them
SUBJECTS = {  # a page, or the label of a section: words that lead to it, beside its title
    "elbo": "elbo variational lower bound jensen",
    "gaussian_kl": "kl kld kullback leibler divergence regularizer",
    "divergences": "kullback leibler forward reverse relative",
    "reparameterization": "pathwise rsample",
    "likelihoods": "reconstruction bernoulli bce mse cross entropy",
    "vae_digits": "mnist aevb",
    "importance_weighting": "iwae iwelbo",
    "annealed_importance_sampling": "ais",
    "posterior_collapse": "vanishing",
    "linear_gaussian": "pca ppca factor analysis",
    "rate_distortion": "beta vae annealing warmup",
    "disentanglement": "factorvae tcvae mig total correlation",
    "flows": "normalizing iaf maf planar",
    "richer_priors": "vampprior mixture",
    "hierarchies": "ladder lvae nvae hvae hierarchical",
    "discrete_codes": "vq vae quantization quantized vector codebook gumbel categorical",
    "conditions": "cvae conditional semi supervised missing imputation",
    "time_series": "sequence rnn vrnn kalman state space",
    "adversaries": "gan aae adversarial wasserstein wae mmd discriminator",
    "denoising": "denoise score matching rae",
    "bits_back": "compression lossless bb ans",
    "diffusion": "ddpm ddim",
    "many_machines": "distributed ddp gpus parallel torchrun",
    "sec-elbo-jensen": "jensen",
    "sec-importance-ess": "effective sample size ess",
    "sec-importance-logsumexp": "logsumexp underflow",
    "sec-reparameterization-score": "score function reinforce",
    "sec-richer-priors-vamp": "vampprior pseudo inputs",
    "sec-discrete-codes-vq": "vq quantization quantize",
    "sec-discrete-codes-slopes": "gumbel softmax straight through",
    "sec-conditions-labels": "semi supervised unlabeled",
    "sec-conditions-missing": "missing values imputation nan",
    "sec-rate-distortion-ways": "annealing warmup free bits capacity cyclical",
    "sec-latent-space-traversals": "interpolation interpolate slerp",
    "sec-training-checkpoints": "checkpoint resume",
    "sec-own-data-gpu": "gpu cuda",
}
SYMPTOMS = {  # sec-troubleshooting-…: words that lead to it | that do beside others
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
ALIKE = [  # words for one thing; a letter's name is one for the letter
    "kl kld dkl", "gray grey", "color colour", "nan nans", "picture image", "dimension dim", "std deviation",
    "optimizer optimiser", "behavior behaviour", "betavae beta", "vqvae vq", "cvae conditional",
]  # fmt: skip
logger = logging.getLogger(__name__)


def collect(app, doctree) -> None:
    """Give each row of the tables of notation an anchor, and remember its name."""
    docname = app.env.docname
    named = names(app.env)
    named.pop(docname, None)
    if docname.rpartition("/")[2] != NOTATION:
        return
    rows = (row for body in doctree.findall(nodes.tbody) for row in body.findall(nodes.row))
    for number, row in enumerate(rows, start=1):
        row["ids"].append(f"symbol-{number}")
        called = name(*row.children[:3])
        named.setdefault(docname, {})[row["ids"][0]] = called
        if "\\" in called:
            logger.warning("the search has no name for “%s”", called, location=row, type="search")


def names(env) -> dict[str, dict[str, str]]:
    """The names of the rows of notation: page → anchor → name."""
    if not hasattr(env, "symbol_names"):
        env.symbol_names = {}
    return env.symbol_names


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


# The index


def write_index(app, exception) -> None:
    if exception or app.builder.format != "html":
        return
    pages = {}
    for docname in sorted(app.env.found_docs, key=lambda page: (page != app.config.root_doc, page)):
        text = Path(app.builder.get_outfilename(docname)).read_text(encoding="utf-8")
        pages[docname] = places(text, docname.rpartition("/")[2], names(app.env).get(docname, {}))
    titles = [[app.builder.get_target_uri(page), numbered_title(app, page)] for page in pages]
    text = json.dumps(index(titles, list(pages.values())), ensure_ascii=False, separators=(",", ":"))
    (Path(app.outdir) / "searchindex.js").write_text(f"Search.read({text});\n", encoding="utf-8")


def places(page: str, called: str, symbols: dict[str, str]) -> list:
    found = read(page)
    for place in found:
        if place.anchor in symbols:
            place.title, place.text = symbols[place.anchor], ""  # the name has it all
        symptom = SYMPTOMS.get(place.anchor.removeprefix("sec-troubleshooting-"), "")
        place.leads = SUBJECTS.get(place.anchor or called, symptom)
    return found


def index(titles: list, pages: list[list]) -> dict:
    """Pages, places (page, kind, anchor, title, text, words that lead to it), and words of code with their places."""
    listed = [(number, place) for number, found in enumerate(pages) for place in found]
    words = defaultdict(list)
    for number, (_, place) in enumerate(listed):
        for word in sorted({word.lower() for word in place.code}):
            words[word].append(number)
    return {
        "pages": titles,
        "places": [[n, place.kind, place.anchor, place.title, place.text, place.leads] for n, place in listed],
        "code": {word: found for word, found in sorted(words.items()) if len(found) <= COMMON},
        "alike": ALIKE + [f"{SPOKEN.get(name, name)} {sign}" for name, sign in GREEK.items() if name.islower()],
    }


# The pages


def without_sphinx(app) -> None:
    """Sphinx makes no index of its own; its page of results we write ourselves."""
    app.builder.search = False


def search_page(app):
    if app.builder.format == "html":
        yield "search", {}, "search.html"


def setup(app):
    app.add_js_file("search.js", loading_method="defer")
    app.connect("builder-inited", without_sphinx)
    app.connect("doctree-read", collect)
    app.connect("html-collect-pages", search_page)
    app.connect("build-finished", write_index)
    return {"version": "2", "env_version": 2, "parallel_read_safe": False, "parallel_write_safe": True}
