"""Nothing that the package prints fails where standard output has no symbols, and none is lost where it has."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vae_tutorial._printing import WORDS, printable
from vae_tutorial.checks import Check

ROOT = Path(__file__).parents[2]
CHECK = Check("KL(N(μ, σ²) ‖ N(0, I))", ("½Σ(σ + μ²)", "∫"), 1.0, 0.5, mistake="z = μ + σε, 2π, −½Σlog σ², (x − x̂)²")
SYMBOLS = (
    "FAIL  KL(N(μ, σ²) ‖ N(0, I))\n"
    "      ½Σ(σ + μ²) against ∫: gap 1 against an allowed 0.5 nats\n"
    "      z = μ + σε, 2π, −½Σlog σ², (x − x̂)²"
)
IN_WORDS = (
    "FAIL  KL(N(mu, sigma^2) || N(0, I))\n"
    "      1/2 Sigma(sigma + mu^2) against integral: gap 1 against an allowed 0.5 nats\n"
    "      z = mu + sigma epsilon, 2 pi, -1/2 Sigma log sigma^2, (x - x_hat)^2"
)
PROGRAM = """
import torch
from vae_tutorial.checks import check_kl
from vae_tutorial.datasets import load_images
from vae_tutorial.likelihoods import normal
from vae_tutorial.models import mlp_vae
from vae_tutorial.training import evaluate, fit

check = check_kl(lambda mu, log_var: 0.5 * (mu**2 + torch.exp(0.5 * log_var) - 1 - log_var).sum(-1))
print(check)
print([check])
data = load_images()
model = mlp_vae(64, 8, 2, normal(-2.0), seed=0)
print(fit(model, data.x_train[:64], epochs=1, seed=0, progress=True))
evaluate(model, data.x_test, seed=0)
"""


def to(encoding, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_what_can_be_shown_is_shown_as_it_is(encoding, monkeypatch):
    to(encoding, monkeypatch)
    assert str(CHECK) == f"{CHECK}" == repr(CHECK) == SYMBOLS


@pytest.mark.parametrize("stdout", [None, io.StringIO()])
def test_a_standard_output_of_no_encoding_takes_all(stdout, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stdout)
    assert str(CHECK) == SYMBOLS


def test_ascii_gets_words(monkeypatch):
    to("ascii", monkeypatch)
    assert str(CHECK) == f"{CHECK}" == repr(CHECK) == IN_WORDS
    assert printable("σû") == "sigma u_hat"


def test_an_encoding_keeps_the_symbols_that_it_has(monkeypatch):
    to("cp1252", monkeypatch)
    assert printable("½Σσ² × Größe – μ") == "½Sigma sigma² × Größe – mu"
    assert printable("α2 2x xy Ǿ") == "alpha 2 2x xy \\u01fe"


def test_no_two_symbols_share_a_greek_name_and_all_words_are_ascii():
    greek = [word for symbol, word in WORDS.items() if "Α" <= symbol <= "ω"]
    assert len(set(greek)) == len(greek) > 30
    assert all(word.isascii() for word in WORDS.values())


def test_every_symbol_of_the_package_has_its_words():
    """Those in letters, marks and formulas; a name such as Sønderby's, and the verdict of a page, are not printed."""
    text = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("vae_tutorial/**/*.py"))
    assert set(re.findall(r"[^\x00-\x7f]", text)) - {"á", "é", "ø", "✓", "✗"} <= set(WORDS)


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=["cp1252", "ascii", "C"],
)
def test_whatever_is_printed_passes_a_narrow_pipe(variables):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"}
    environment |= {"PYTHONPATH": str(ROOT), "VAE_TUTORIAL_DATASET": "digits"} | variables
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, timeout=300)
    said = run.stdout.decode(variables.get("PYTHONIOENCODING", "ascii"))
    assert run.returncode == 0, run.stderr
    assert b"100%" in run.stderr and run.stderr.isascii()  # the bar
    half, square, times = ("½", "²", "×") if variables.get("PYTHONIOENCODING") == "cp1252" else ("1/2 ", "^2", " x ")
    assert said.count(f"KL(N(mu, sigma{square}) || N(0, I))") == 2
    assert f"It equals {half}Sigma(sigma + mu{square} - 1 - log sigma{square}): " in said.replace("−", "-")
    assert f"8{times}8 pixels." in said
