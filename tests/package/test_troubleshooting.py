"""What a message names is there: each title, word for word, is a section of the book's page."""

import json
import re
from pathlib import Path

import pytest
import torch

from vae_tutorial._troubleshooting import ENTRIES, see
from vae_tutorial.checkpoints import CheckpointError, save
from vae_tutorial.checks import check_elbo, check_kl, check_log_prob, check_numerics, check_reduction, extreme_logits
from vae_tutorial.checks.entries import ENTRY_OF
from vae_tutorial.gaussian import kl_standard_normal
from vae_tutorial.likelihoods import Likelihood, bernoulli, continuous_bernoulli
from vae_tutorial.models import VAE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "book" / "troubleshooting.ipynb"


def headings() -> set[str]:
    cells = json.loads(PAGE.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return set(re.findall(r"^## (.*)$", text, re.MULTILINE))


def test_each_entry_is_a_section_of_the_page_word_for_word():
    assert set(ENTRIES.values()) <= headings()


def test_each_entry_is_named_somewhere_and_only_by_the_one_function():
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "vae_tutorial").rglob("*.py")}
    named = {key for text in sources.values() for key in re.findall(r"see\(['\"]([\w-]+)['\"]\)", text)}
    assert named | set(ENTRY_OF.values()) == set(ENTRIES)
    assert [path.name for path, text in sources.items() if 'Troubleshooting."' in text] == ["_troubleshooting.py"]


def mean_error(x_hat, x, mu, log_var):
    return ((x_hat - x) ** 2).mean() + kl_standard_normal(mu, log_var).sum()


def relu_elbo(model, x, eps):
    mu, log_var = model.encode(x)
    log_var = log_var.relu()
    z = mu + (0.5 * log_var).exp() * eps
    return model.log_likelihood(x, z).mean(0) - kl_standard_normal(mu, log_var)


def at_the_mean(model, x, eps):
    mu, log_var = model.encode(x)
    return model.log_likelihood(x, mu) - kl_standard_normal(mu, log_var)


def gray(x, params):
    return (x * params - torch.nn.functional.softplus(params)).sum(-1)


GRAY = Likelihood(1, gray, torch.sigmoid, continuous_bernoulli.sample, "cross-entropy")
MIDDLES = (torch.arange(2000.0)[:, None] + 0.5) / 2000

DIAGNOSES = {
    "mean over pixels": (lambda: check_reduction(lambda x: x.mean(-1)), "weights"),
    "mean over the batch": (lambda: check_kl(lambda mu, log_var: kl_standard_normal(mu, log_var).mean()), "weights"),
    "a loss of four": (lambda: check_elbo(mean_error), "weights"),
    "relu": (lambda: check_elbo(relu_elbo), "log-var"),
    "exp forgotten": (lambda: check_kl(lambda mu, v: 0.5 * (mu**2 + v - 1 - v.log()).sum(-1)), "log-var"),
    "the mean decoded": (lambda: check_elbo(at_the_mean), "mean-or-sample"),
    "gray values": (lambda: check_log_prob(GRAY, MIDDLES, 1 / 2000), "gray"),
    "an overflow": (
        lambda: check_numerics(lambda x, t: (x * t - (1 + t.exp()).log()).sum(-1), *extreme_logits()),
        "nan",
    ),
}


@pytest.mark.parametrize("judge, entry", DIAGNOSES.values(), ids=DIAGNOSES)
def test_a_diagnosis_names_its_entry(judge, entry):
    found = judge()
    assert not found.passed and found.mistake.endswith(see(entry)), found


def test_others_name_none():
    assert check_kl(kl_standard_normal).mistake == ""
    for wrong in (lambda mu, log_var: -kl_standard_normal(mu, log_var), lambda mu, log_var: 0 * mu[:, 0]):
        assert "Troubleshooting" not in check_kl(wrong).mistake


def test_values_that_a_likelihood_refuses_and_models_that_cannot_be_saved_name_theirs(tmp_path):
    logits = torch.zeros(1, 2)
    with pytest.raises(ValueError, match=re.escape(see("gray")) + "$"):
        bernoulli.log_prob(torch.tensor([[0.5, 1.0]]), logits)
    for likelihood in (bernoulli, continuous_bernoulli):
        with pytest.raises(ValueError, match=re.escape(see("own-data")) + "$"):
            likelihood.log_prob(torch.tensor([[0.0, 255.0]]), logits)
    model = VAE(torch.nn.Linear(2, 2), torch.nn.Linear(1, 2), 1, bernoulli)
    with pytest.raises(CheckpointError, match=re.escape(see("save")) + "$"):
        save(model, tmp_path / "own.safetensors")
