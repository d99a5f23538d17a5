"""The forty lines of the first chapter: short, without the package, and the package's VAE bit for bit.

The chapter compares one training with its own seed; here the same lines meet other seeds, sizes and noise.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_tutorial.bounds import elbo, elbo_terms
from vae_tutorial.checks import agree, check_kl, check_log_bernoulli, check_reparameterize
from vae_tutorial.datasets import digits
from vae_tutorial.likelihoods import bernoulli
from vae_tutorial.models import mlp_vae
from vae_tutorial.priors import StandardNormal
from vae_tutorial.training import fit, take_step

NOTEBOOK = Path(__file__).parents[2] / "book" / "one_sitting.ipynb"
CELLS = {cell["id"]: "".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]}
DATA, PROGRAM, USE = "data", ["encoder", "decoder", "loss", "train"], ["run", "sample"]


def program(change=("", "")):
    """What the cells of the program define, run as a reader would run them; with one line changed where asked."""
    assert change[0] in "".join(CELLS[name] for name in PROGRAM)
    names = {"torch": torch, "nn": nn, "F": F, "digits": digits}
    exec(CELLS[DATA], names)
    for name in PROGRAM:
        exec(CELLS[name].replace(*change) if change[0] else CELLS[name], names)
    return names


def the_package(names, latent_dim, seed):
    """The package's model, its prior with the program's line for the KL."""

    class OurPrior(StandardNormal):
        def kl(self, mu, log_var):
            return names["kl"](mu, log_var)

    return mlp_vae(64, 128, latent_dim, bernoulli, seed=seed, prior=OurPrior())


def both_trained(names, *, latent_dim, epochs, seed):
    encoder, decoder = names["train"](latent_dim=latent_dim, epochs=epochs, seed=seed)
    package = the_package(names, latent_dim, seed)
    how = dict(epochs=epochs, seed=seed, batch_size=128, lr=5e-3, progress=False, threads=torch.get_num_threads())
    fit(package, names["x_train"], device="cpu", **how)
    return encoder, decoder, package


def same_weights(encoder, decoder, package):
    ours = [*encoder.parameters(), *decoder.parameters()]
    return all(torch.equal(one, other) for one, other in zip(ours, package.parameters(), strict=True))


def test_about_forty_lines_in_small_cells():
    sizes = {name: [line for line in CELLS[name].splitlines() if line.strip()] for name in [DATA, *PROGRAM, *USE]}
    print({name: len(lines) for name, lines in sizes.items()})
    assert sum(map(len, sizes.values())) <= 45
    assert all(len(CELLS[name].splitlines()) <= 20 for name in sizes)


def test_the_program_is_plain_pytorch():
    """It runs where nothing of the package is at hand but the digits."""
    for name in [*PROGRAM, *USE]:
        assert not re.search(r"\bimport\b|vae_tutorial|digits", CELLS[name]), name
    names = program()
    exec(CELLS["run"].replace("train()", "train(epochs=1)"), names)
    exec(CELLS["sample"], names)
    assert names["draws"].shape == (10, 64)
    assert set(names["draws"].unique().tolist()) <= {0.0, 1.0}


def test_the_last_line_of_the_loss_is_the_equation():
    assert CELLS["loss"].splitlines()[-1].strip() == "return -log_bernoulli(x, logits) + kl(mu, log_var)"


@pytest.mark.parametrize("part, check", [("draw", check_reparameterize), ("kl", check_kl),
                                         ("log_bernoulli", check_log_bernoulli)])  # fmt: skip
def test_its_parts_are_right(part, check):
    assert check(program()[part], seed=3)


@pytest.mark.parametrize("latent_dim, seed", [(2, 7), (3, 8), (1, 2**40)])
def test_a_training_is_that_of_fit_bit_for_bit(latent_dim, seed):
    names = program()
    encoder, decoder, package = both_trained(names, latent_dim=latent_dim, epochs=4, seed=seed)
    assert same_weights(encoder, decoder, package)
    x, generator = names["x_test"], torch.Generator().manual_seed(seed + 1)
    eps, z = torch.randn(2, len(x), latent_dim, generator=generator)
    for ours, theirs in zip(encoder(x), package.encode(x), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(decoder(z), package.decode(z))
    assert torch.equal(names["loss"](encoder, decoder, x, eps), -elbo(package, x, eps=eps[None]))
    terms = elbo_terms(package, x, eps=eps[None])
    assert torch.equal(names["kl"](*encoder(x)), terms.kl)


def test_every_step_is_that_of_take_step_bit_for_bit():
    names, seed = program(), 11
    encoder, decoder = names["train"](epochs=0, seed=seed)
    package = the_package(names, 2, seed)
    ours = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=5e-3)
    theirs = torch.optim.Adam(package.parameters(), lr=5e-3)
    one, other = (torch.Generator().manual_seed(seed) for _ in range(2))
    for step, x in enumerate(names["x_train"][:640].split(64)):
        assert same_weights(encoder, decoder, package), step
        ours.zero_grad()
        losses = names["loss"](encoder, decoder, x, torch.randn(len(x), 2, generator=one))
        losses.mean().backward()
        ours.step()
        log_likelihood, kl = take_step(package, theirs, x, generator=other)
        assert losses.sum().item() == pytest.approx(kl - log_likelihood, rel=1e-6)
    assert same_weights(encoder, decoder, package)


@pytest.mark.parametrize("change", [
    ("0.5 * log_var)", "0.5000001 * log_var)"),
    ("- 1 - log_var", "- 1 - 1.000001 * log_var"),
    ("mu + torch.exp", "mu.detach() + torch.exp"),
    ("lr=5e-3", "lr=5.000001e-3"),
    ("len(rows), latent_dim, generator", "latent_dim, len(rows), generator"),
    ("manual_seed(seed)  # the order", "manual_seed(seed + 1)  # the order"),
])  # fmt: skip
def test_a_small_change_is_noticed(change):
    wrong = program(change)
    if change[0].startswith("len(rows)"):
        wrong = program((change[0] + "=generator)", change[1] + "=generator).T"))
    package = the_package(program(), 2, 7)
    how = dict(epochs=1, seed=7, batch_size=128, lr=5e-3, progress=False, threads=torch.get_num_threads())
    fit(package, wrong["x_train"], device="cpu", **how)
    assert not same_weights(*wrong["train"](epochs=1, seed=7), package)


@pytest.mark.parametrize("right, wrong, mistake", [
    ("+ kl(mu, log_var)", "", "no KL cost"),
    ("+ kl", "- kl", "subtracts the KL"),
    ("return -log_bernoulli(x, logits) + kl", "return log_bernoulli(x, logits) - kl", "wrong sign"),
    ("* logits).sum(-1)", "* logits).mean(-1)", "averages over the pixels"),
    ("0.5 * log_var)", "log_var)", "Where the gap is largest"),
    ("", "", ""),
])  # fmt: skip
def test_the_judge_of_the_loss_names_mistakes(right, wrong, mistake):
    names = program()
    encoder, decoder = names["train"](epochs=1)
    judge = dict(Bernoulli=Bernoulli, Normal=Normal, kl_divergence=kl_divergence, agree=agree, replace=replace)
    judge |= dict(torch=torch, encoder=encoder, decoder=decoder, x_test=names["x_test"])
    exec(CELLS["yours-loss-judge"], judge)
    check = judge["check_loss"](program((right, wrong))["loss"])
    assert check.passed == (mistake == "")
    assert mistake in check.mistake
    assert judge["check_loss"](lambda encoder, decoder, x, eps: ...).unwritten


def test_the_table_asks_about_lines_that_are_there():
    rows = [line for line in CELLS["lines"].splitlines() if line.startswith("| `")]
    assert len(rows) >= 12
    code = "\n".join(CELLS[name] for name in [DATA, *PROGRAM, *USE])
    asked = [fragment for row in rows for fragment in re.findall(r"`([^`]+)`", row.split("|")[1])]
    for fragment in asked:
        assert fragment in code, fragment
    for row in rows:
        assert re.search(r"\{ref\}`[^`]+\? <(ch|sec)-[\w-]+>`", row), row
