"""The API reference: a page for each public module, the source beside each name, and old addresses that still lead.

The last tests read `book/_ext`: its extensions use what other libraries offer, and each is named once.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import expect
from sites import ROOT, listen

import vae_tutorial

APART = {"annealing", "evidence", "formulas"}  # two former names; and what `gaussian` computes once it has checked
MODULES = [module.name for module in pkgutil.iter_modules(vae_tutorial.__path__) if module.name[0] != "_"]
PUBLIC = sorted({*MODULES} - APART)
EXTENSIONS = ROOT / "book" / "_ext"


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def public_names(module: str) -> dict[str, object]:
    """The functions and classes of a module that are for its users: those listed, or else those with a description."""
    found = importlib.import_module(f"vae_tutorial.{module}")
    own = [name for name, value in vars(found).items() if getattr(value, "__module__", None) == found.__name__]
    names = getattr(found, "__all__", [name for name in own if name[0] != "_" and getattr(found, name).__doc__])
    values = {name: getattr(found, name) for name in names}
    return {name: value for name, value in values.items() if inspect.isroutine(value) or inspect.isclass(value)}


# The pages


@pytest.mark.parametrize("module", PUBLIC)
def test_each_public_name_is_described_and_leads_to_its_source(book, module):
    page = book / "book" / "api" / f"{module}.html"
    article = soup(page).article
    names = public_names(module)
    assert names
    for name, value in names.items():
        signature = article.find("dt", id=f"vae_tutorial.{module}.{name}")
        assert signature.find_next_sibling("dd").get_text(strip=True), name
        (link,) = (a for a in signature.find_all("a") if a.get_text() == "[source]")
        address, _, anchor = link["href"].partition("#")
        block = soup((page.parent / address).resolve()).find(id=anchor)
        back, *_ = [link.extract()["href"] for link in block.find_all("a", class_="viewcode-back")]
        (code,) = ast.parse(block.get_text()).body
        assert (code.name, ast.get_docstring(code)) == (value.__name__, inspect.getdoc(value))
        assert (page.parent / address).parent.joinpath(back.partition("#")[0]).resolve() == page
        assert back.partition("#")[2] == signature["id"]


def test_values_are_described_too(book):
    article = soup(book / "book" / "api" / "likelihoods.html").article
    for name in ("bernoulli", "continuous_bernoulli", "normal_diag", "sigma_normal"):
        assert article.find("dt", id=f"vae_tutorial.likelihoods.{name}").find_next_sibling("dd").find_all("p"), name


def test_the_overview_lists_all_modules_in_order_and_their_names(book):
    """What a reader without scripts sees at an old address: the name, and a link to where it is now."""
    overview = soup(book / "book" / "api.html").article
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    pages = [chapter for part in contents for chapter in part["chapters"] if chapter["file"] == "book/api"]
    order = [Path(section["file"]).name for section in pages[0]["sections"]]
    heads = [dt for dt in overview.find_all("dt") if dt.find_next_sibling("dd").find(class_="module-names")]
    assert [head.a["href"] for head in heads] == [f"api/{name}.html" for name in order]
    assert sorted(order) == PUBLIC
    for head in heads:
        module = Path(head.a["href"]).stem
        about, names = head.find_next_sibling("dd").find_all("p")
        assert about.get_text()[-1] == "." and {*public_names(module)} <= {a.get_text() for a in names.find_all("a")}
        for name in public_names(module):
            place = overview.find(id=f"vae_tutorial.{module}.{name}")
            assert link_around(place)["href"] == f"api/{module}.html#vae_tutorial.{module}.{name}"


def link_around(place: Tag) -> Tag:
    return place.find("a") or place.parent.find("a")


OLD = {  # the fragment, and where it leads
    "vae_tutorial.gaussian.kl_standard_normal": "gaussian.html#vae_tutorial.gaussian.kl_standard_normal",
    "vae_tutorial.models.VAE.decode": "models.html#vae_tutorial.models.VAE.decode",
    "module-vae_tutorial.bounds": "bounds.html",
    "vae_tutorial.annealing.ais": "ais.html#vae_tutorial.ais.ais",
    "vae_tutorial.evidence.Check": "checks.html#vae_tutorial.checks.Check",
}


@pytest.mark.parametrize("source", ["http", "file"])
def test_old_addresses_lead_to_the_new_pages(book, server, browser, source):
    base = (server if source == "http" else book.as_uri() + "/") + "book/"
    stay = {other: None for other in ("main-content", "nothing", "")}
    for old, new in (OLD | stay).items():
        with browser.new_context() as context:
            said, _ = listen(context)
            tab = context.new_page()
            tab.goto(f"{base}api.html#{old}", wait_until="load")
            tab.wait_for_url(f"{base}api/{new}" if new else f"{base}api.html#{old}")
            if new and "#" in new:
                expect(tab.locator("dt:target")).to_be_in_viewport()
            tab.wait_for_load_state("networkidle")
            assert tab.url.endswith(new or f"api.html#{old}")
            assert [line for line in said if "ERR_ABORTED" not in line] == []  # the overview leaves at once


def test_without_scripts_an_old_address_shows_the_name(book, browser):
    with browser.new_context(java_script_enabled=False) as context:
        tab = context.new_page()
        tab.goto((book / "book" / "api.html").as_uri() + "#vae_tutorial.plotting.image_grid")
        link = tab.locator(":target a")
        expect(link).to_be_in_viewport()
        link.click()
        assert tab.url.endswith("/book/api/plotting.html#vae_tutorial.plotting.image_grid")


def test_the_reference_comes_in_small_pages_and_its_source_is_not_searched(book):
    assert max(path.stat().st_size for path in book.glob("book/api/*.html")) < 380_000
    assert "_modules/" not in unquote((book / "searchindex.js").read_text(encoding="utf-8"))


# The extensions


def private_names(code: str) -> list[str]:
    """What a program takes from elsewhere although its name says that it is nobody else's."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            found += [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.Attribute):
            found.append(node.attr)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr", "setattr"):
            found += [part.value for part in node.args[1:2] if isinstance(part, ast.Constant)]
    return [name for name in found if re.match(r"_(?!_)", name)]


def test_a_private_name_is_noticed():
    taken = ["from a import _b", "import a._c", "x._d", "getattr(x, '_e', None)", "from _f.a import g"]
    assert sorted(private_names("\n".join(taken))) == ["_b", "_c", "_d", "_e", "_f"]
    assert private_names("from . import a\nx.__doc__\n_y = __file__\nx.y_z = {'_': 0}") == []


@pytest.mark.parametrize(
    "path", sorted(EXTENSIONS.rglob("*.py")), ids=lambda path: path.relative_to(EXTENSIONS).as_posix()
)
def test_no_private_names_of_libraries_are_used(path):
    assert private_names(path.read_text(encoding="utf-8")) == []


def test_each_extension_is_registered_and_there_are_few():
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]
    parts = {path.stem for path in EXTENSIONS.glob("*.py")} | {
        path.parent.name for path in EXTENSIONS.glob("*/__init__.py")
    }
    own = [name for name in settings["config"]["extensions"] if name in parts]
    assert len(own) <= 12 and own[-1] == "theme_fixes"
    with_setup = {name for name in parts if hasattr(importlib.import_module(name), "setup")}
    assert {*own} == with_setup
    assert {*settings["local_extensions"]} <= {*own}, "it puts their folder on the path"
