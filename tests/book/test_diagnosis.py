"""The diagnosis in the page: what it says of what is typed, the package's checks say of the same lines of Python.

What judges runs here as on the page, in an embedded engine; the card is driven in a real browser. `typed.py` has the
texts.
"""

import ast
import gzip
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import diagnosis
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from axe import violations
from blind import WRONG as BLIND
from diagnosis import catalogue, logic
from planted import WRONG
from playwright.sync_api import Page
from py_mini_racer import MiniRacer
from sites import ROOT, build_small, listen, serving
from typed import NOT_TYPED, RIGHT, TYPED, UNREAD

from vae_tutorial.checks import mistakes
from vae_tutorial.checks.answers import RELATIVE
from vae_tutorial.checks.exact import encoded_points, encodings, noisy_encodings

CHECKS = {name: check for name, check in catalogue.QUESTIONS.items()}
ARGUMENTS = {"kl": "mu, log_var", "sample": "mu, log_var, eps", "log_normal": "x, mu, log_var"}
DERIVED = "sigma, var, log_sigma = (0.5 * log_var).exp(), log_var.exp(), 0.5 * log_var"


@pytest.fixture(scope="module")
def engine() -> MiniRacer:
    context = MiniRacer()
    context.eval(f"var Explorers = {{}};\n{logic()}")
    context.eval("""
        const judged = (name, text) => {
            const { verdict, mistake, gap, unit, numpy } = Explorers.judge.judge(name, text);
            return JSON.stringify({ verdict, mistake, gap: String(gap), unit, numpy });
        };
        const computed = (text, given, i) => JSON.stringify(Explorers.typed.known(text, given, i),
            (_, value) => (typeof value === "number" && !Number.isFinite(value) ? String(value) : value));
    """)
    return context


@pytest.fixture(scope="module")
def judged(engine):
    """What the page says of a text."""
    return lambda name, text: json.loads(engine.call("judged", name, text))


def function(name: str, text: str) -> Callable:
    """The same lines as a Python function, with the names that the page has besides the arguments."""
    if re.search(r"np\.(?!log\(2 \* np.pi|pi)", text):
        names = {"np": np}
        exec(f"def typed({ARGUMENTS[name]}):\n    return {text}", names)
        return lambda *given: names["typed"](*(tensor.detach().numpy() for tensor in given))
    if not text.startswith(("def", "lambda")):
        *lines, last = text.split("\n")
        body = [DERIVED, *lines, last if last.startswith("return") else f"return {last}"]
        arguments = "mu, log_var" if name == "sample" and "randn_like(std)" in text else ARGUMENTS[name]
        text = f"def typed({arguments}):\n" + "\n".join(f"    {line}" for line in body)
    names = {"torch": torch, "np": np, "F": F, "math": __import__("math")}
    if text.startswith("lambda"):
        return eval(text, names)
    exec(text, names)
    return next(names[found] for found in re.findall(r"^def (\w+)", text))


# The page and the package


def test_every_planted_mistake_of_the_three_checks_is_typed_or_cannot_be():
    planted = {case.name for case in WRONG if case.check in CHECKS.values()}
    assert {*TYPED} | {*NOT_TYPED} == planted and not {*TYPED} & {*NOT_TYPED}
    assert len(TYPED) > 60


@pytest.mark.parametrize("case", [case for case in WRONG if case.name in TYPED], ids=lambda case: case.name)
def test_a_planted_mistake_gets_the_name_that_the_package_gives_it(judged, case):
    (name,) = (name for name, check in CHECKS.items() if check is case.check)
    found, check = judged(name, TYPED[case.name]), case.check(function(name, TYPED[case.name]))
    assert not check.passed and found["verdict"] == "fail"
    assert found["mistake"] == check.mistake
    assert case.named in found["mistake"]
    assert found["unit"] == check.unit
    of_values_alone = found["unit"] == RELATIVE  # there the page has no gradients
    if not of_values_alone and "random numbers" not in found["mistake"]:
        assert float(found["gap"]) == pytest.approx(check.gap, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("name, text", RIGHT)
def test_right_answers_in_many_styles_pass_both(judged, name, text):
    found, check = judged(name, text), CHECKS[name](function(name, text))
    assert found["verdict"] == "pass" and not found["mistake"] and float(found["gap"]) < 1e-6
    if found["numpy"]:  # it carries no gradient, which the page says beside its pass
        assert check.mistake.startswith("Its values are right, but it carries no gradient")
    else:
        assert check.passed, check


def blind() -> Iterator[tuple[str, str, Callable]]:
    """The functions written without sight of the checks, as far as they are one line, which can be typed as it is."""
    tree = ast.parse((ROOT / "tests" / "blind.py").read_text("utf-8"))
    names = {check.__name__: name for name, check in CHECKS.items()}
    texts = {
        entry.elts[0].value: ast.unparse(entry.elts[1])
        for entry in ast.walk(tree)
        if isinstance(entry, ast.Tuple) and len(entry.elts) == 3 and isinstance(entry.elts[1], ast.Lambda)
    }
    for judge, label, fn, _ in BLIND:
        if judge in names and label in texts:
            yield names[judge], texts[label], fn


def test_what_was_written_blind_gets_the_same_words_wherever_it_can_be_read(judged):
    found = [(judged(name, text), name, text, fn) for name, text, fn in blind()]
    read = [case for case in found if case[0]["verdict"] != "unread"]
    assert len(read) > 15 and len(read) > 0.6 * len(found), [case[0]["mistake"] for case in found]
    for verdict, name, text, fn in read:
        assert verdict["mistake"] == CHECKS[name](fn).mistake, text


@pytest.mark.parametrize("name, text, words", UNREAD)
def test_what_cannot_be_read_or_called_is_said_in_words(judged, name, text, words):
    found = judged(name, text)
    assert found["verdict"] == "unread" and words in found["mistake"], found


def test_nothing_written_is_nothing_judged(judged):
    for text in ("", "  \n", "...", "return ...", "return"):
        assert judged("kl", text)["verdict"] == "yours"


# The catalogue


def exported() -> dict:
    return json.loads(re.search(r"Explorers\.catalogue = (\{.*\});", catalogue.export())[1])


FIXTURES = {"kl": encodings((5, 3), (4, 2), (3, 1)), "sample": noisy_encodings(),
            "log_normal": encoded_points((5, 3), (4, 2), (3, 1))}  # fmt: skip
TABLES = {"kl": mistakes.KL, "sample": mistakes.REPARAMETERIZE, "log_normal": mistakes.LOG_NORMAL}
REDUCED = {"kl": mistakes.REDUCTIONS, "log_normal": mistakes.REDUCTIONS | mistakes.NOT_A_LOGARITHM}


@pytest.mark.parametrize("name", CHECKS)
def test_every_mistake_of_the_package_is_on_the_page_and_computes_the_same(engine, name):
    found = exported()["questions"][name]
    assert [*found["formulas"]] == [clause for clause in TABLES[name] if clause]
    for i, (given, packed) in enumerate(zip(FIXTURES[name], found["fixtures"], strict=True)):
        for clause, text in found["formulas"].items():
            came = json.loads(engine.call("computed", text, packed, i))
            value = TABLES[name][clause](*given.values()).detach()
            assert came["shape"] == [*value.shape], clause
            numbers = torch.tensor([float(number) for number in came["data"]], dtype=torch.float64)
            torch.testing.assert_close(numbers, value.flatten(), rtol=1e-12, atol=1e-12, equal_nan=True, msg=clause)
        t = given["mu"].detach()
        for clause, text in found["reductions"].items() if name in REDUCED else ():
            packed_t = {"t": {"shape": [*t.shape], "data": t.flatten().tolist()}}
            came = json.loads(engine.call("computed", text, packed_t, i))
            value = REDUCED[name][clause](t)
            assert came["shape"] == [*value.shape], clause
            torch.testing.assert_close(torch.tensor(came["data"]).double(), value.flatten(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CHECKS)
def test_a_mistake_of_the_catalogue_that_is_typed_gets_its_name(judged, name):
    found = exported()["questions"][name]
    n_typed = 0
    for clause, text in found["formulas"].items():
        if isinstance(text, str):  # else it asks for lengths
            text = text if name == "sample" else f"{text}.sum(-1)"
            assert judged(name, text)["mistake"].startswith(f"It {clause}."), clause
            n_typed += 1
    assert n_typed > 30


def test_the_catalogue_is_small_and_knows_no_clue_that_the_page_does_not():
    text = catalogue.export()
    assert len(gzip.compress(text.encode(), 6)) < 40_000 and len(gzip.compress(logic().encode(), 6)) < 55_000
    parts = (ROOT / "book" / "_static" / "diagnosis" / "parts" / "clues.js").read_text("utf-8")
    for question in exported()["questions"].values():
        for clue in question["clues"]:
            assert re.search(rf"^    {clue if isinstance(clue, str) else clue['kind']}[(:]", parts, re.MULTILINE), clue


# Nothing that is typed runs


@pytest.mark.parametrize("text", [
    "constructor.constructor('return 1')()", "mu.constructor", "mu.__proto__", "__proto__", "toString", "this",
    "mu['constructor']", "torch.constructor", "np.__proto__", "len.constructor", "(0).constructor", "[].map",
    "Explorers", "globalThis", "mu.sum.constructor('x')", "mu.data.constructor", "mu.shape.map", "torch.exp.call",
])  # fmt: skip
def test_only_what_stands_in_the_tables_can_be_reached(judged, text):
    assert judged("kl", text)["verdict"] in ("unread", "fail")


# The vendored parser


@pytest.mark.parametrize("name, path, ours", [
    ("jsep", "dist/iife/jsep.iife.min.js", "jsep/jsep.iife.min.js"), ("jsep", "LICENSE", "jsep/LICENSE"),
    ("katex", "dist/katex.min.js", "katex/katex.min.js"), ("katex", "LICENSE", "katex/LICENSE"),
])  # fmt: skip
def test_what_is_vendored_is_what_npm_has(tmp_path, name, path, ours):
    file = ROOT / "book" / "_static" / ours
    version = re.search(r"\d+\.\d+\.\d+", file.with_name("README.md").read_text("utf-8"))[0]
    npm = shutil.which("npm")
    packed = npm and subprocess.run([npm, "pack", f"{name}@{version}"], cwd=tmp_path, capture_output=True, text=True)
    if not npm or packed.returncode:
        pytest.skip(f"no npm, or no way to its registry: {ours} was NOT compared with what npm has")
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as archive:
        assert archive.extractfile(f"package/{path}").read() == file.read_bytes()


# The card


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder `book` of built pages: index.html with the diagnosis far down, plain.html without."""
    source, target = tmp_path_factory.mktemp("diagnosis"), tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "book" / "_static", source / "book" / "_static")
    place = "```{diagnosis} kl\nRun `check_kl(my_kl)`.\n```"
    (source / "index.md").write_text(
        f"# A page\n\n## Typed\n\n{place}\n\n## After it\n\n```{{toctree}}\nplain\n```\n", "utf-8"
    )
    (source / "plain.md").write_text("# A page without one\n\n## Nothing\n", "utf-8")
    settings = dict(extensions=["myst_parser", "explorers", "diagnosis"], html_theme="sphinx_book_theme", language="en",
                    html_static_path=["book/_static"], html_css_files=["book.css", ["print.css", {"media": "print"}]],
                    html_favicon="book/_static/favicon.svg", project="Diagnosis",
                    exclude_patterns=["**/*.safetensors", "**/jsep.iife.min.js", "**/diagnosis/parts"],
                    html_context=dict(default_mode="auto"))  # fmt: skip
    run = build_small(source, settings, target / "book")
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return target


@pytest.fixture(scope="module")
def address(site) -> Iterator[str]:
    with serving(site) as address:
        yield address


def opened(context, address: str) -> Page:
    tab = context.new_page()
    tab.goto(address)
    tab.locator(".explorer-diagnosis").scroll_into_view_if_needed()
    tab.wait_for_selector(".explorer-diagnosis .explorer-live")
    return tab


def checked(tab: Page, text: str) -> str:
    tab.get_by_label("The body of your function").fill(text)
    tab.get_by_role("button", name="Check", exact=True).click()
    return tab.get_by_role("status").inner_text()


def test_only_the_page_that_has_it_loads_it(site):
    assert "diagnosis/card.js" in (site / "book" / "index.html").read_text("utf-8")
    assert "diagnosis/" not in (site / "book" / "plain.html").read_text("utf-8")
    static = site / "book" / "_static"
    assert (static / "diagnosis" / "logic.js").read_text("utf-8") == logic()
    assert not (static / "diagnosis" / "parts").exists() and (static / "jsep" / "LICENSE").exists()


@pytest.mark.parametrize("theme, width, source", [
    ("light", 1350, "file"), ("dark", 390, "file"), ("dark", 1350, "http"), ("light", 390, "http"),
])  # fmt: skip
def test_it_judges_in_the_page_without_a_flaw(site, address, browser, theme, width, source):
    base = f"{address}book/" if source == "http" else (site / "book").as_uri() + "/"
    with browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900}) as context:
        said, requests = listen(context)
        tab = opened(context, base + "index.html")
        verdict = tab.get_by_role("status")
        assert "○ YOURS" in verdict.inner_text() and not tab.locator(".explorer-plain").is_visible()
        height = tab.locator(".explorer-live").bounding_box()["height"]
        text = checked(tab, "0.5*(mu**2 + sigma - 1 - log_var).sum(-1)")
        assert "✗ FAIL" in text and "equals ½Σ(σ + μ² − 1 − log σ²)" in text and "against an allowed 1e-05 nats" in text
        text = checked(tab, "0.5*(mu**2 + var - 1 - log_var).sum(-1)")
        assert "✓ PASS" in text and "your function against quadrature of the defining integral: gap " in text
        assert re.search(r"gap \d\.?\d*e-1\d ≤ 1e-05 nats", text)
        text = checked(tab, "0.5*(<img src=x onerror=alert(1)>")
        assert "○ NOT RUN" in text and tab.locator(".explorer-diagnosis img").count() == 0
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert abs(tab.locator(".explorer-live").bounding_box()["height"] - height) < 1, "nothing jumps"
        assert said == [] and [url for url in requests if not url.startswith((base, "data:"))] == []
        assert violations(tab, ".explorer-diagnosis") == []


def test_it_is_used_by_keys_alone(site, browser):
    with browser.new_context(viewport={"width": 1350, "height": 900}) as context:
        tab = opened(context, (site / "book" / "index.html").as_uri())
        tab.get_by_role("button", name="reparameterized sampler").press("Enter")
        assert tab.get_by_role("button", name="reparameterized sampler").get_attribute("aria-pressed") == "true"
        tab.get_by_role("button", name="Example A").press("Enter")
        code = tab.get_by_label("The body of your function")
        assert code.evaluate("node => node === document.activeElement") and "log_var" in code.input_value()
        assert "Bet" in tab.get_by_role("status").inner_text()
        tab.keyboard.press("Control+Enter")
        assert "equals μ + σ²ε" in tab.get_by_role("status").inner_text()
        tab.keyboard.type(" ")
        assert "Bet" in tab.get_by_role("status").inner_text(), "no verdict stands beside another text"
        tab.keyboard.press("Tab")
        assert not code.evaluate("node => node === document.activeElement")  # no trap


def test_of_the_four_examples_one_is_right_and_each_has_another_verdict(site, browser):
    with browser.new_context(viewport={"width": 1350, "height": 900}) as context:
        tab = opened(context, (site / "book" / "index.html").as_uri())
        for question in tab.locator("[data-question]").all():
            question.click()
            found = []
            for letter in "ABCD":
                tab.get_by_role("button", name=f"Example {letter}").click()
                tab.get_by_role("button", name="Check", exact=True).click()
                found.append(tab.get_by_role("status").inner_text())
            assert sum("✓ PASS" in text for text in found) == 1 and len({*found}) == 4
            assert not any("NOT RUN" in text or "No known mistake" in text for text in found), found


def test_without_scripts_and_on_paper_a_sentence_names_the_check(site, browser):
    with browser.new_context(java_script_enabled=False) as context:
        tab = context.new_page()
        tab.goto((site / "book" / "index.html").as_uri())
        assert tab.locator(".explorer-plain").is_visible() and tab.locator(".explorer-live").count() == 0
        assert tab.locator(".explorer-diagnosis").bounding_box()["height"] < 150
    with browser.new_context() as context:
        tab = opened(context, (site / "book" / "index.html").as_uri())
        tab.emulate_media(media="print")
        assert tab.locator(".explorer-plain").is_visible() and not tab.locator(".explorer-live").is_visible()
        assert tab.locator(".explorer-diagnosis").bounding_box()["height"] < 150


def test_the_place_has_room_for_the_card(site, browser):
    for width in (1350, 390):
        with browser.new_context(viewport={"width": width, "height": 900}) as context:
            context.route("**/logic.js", lambda route: route.abort())
            tab = context.new_page()
            tab.goto((site / "book" / "index.html").as_uri())
            before = tab.locator("#after-it").bounding_box()["y"]
            context.unroute("**/logic.js")
            after = opened(context, tab.url).locator("#after-it").bounding_box()["y"]
            assert abs(after - before) < 30, (width, before, after)


def test_a_refused_word_of_the_directive_breaks_the_build(tmp_path):
    (tmp_path / "index.md").write_text("# A page\n\n```{diagnosis} nothing\nRun it.\n```\n", "utf-8")
    run = build_small(tmp_path, dict(extensions=["myst_parser", "explorers", "diagnosis"]), tmp_path / "out")
    assert run.returncode and "nothing" in run.stderr and diagnosis.PARTS
