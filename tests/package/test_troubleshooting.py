"""What a message names is there: each title, word for word, is a section of the book's page."""

import json
import re
from pathlib import Path

import pytest
import torch

from vae_tutorial._troubleshooting import ENTRIES, see
from vae_tutorial.bounds import ElboTerms, elbo_terms
from vae_tutorial.checkpoints import CheckpointError, save
from vae_tutorial.checks import (
    check_elbo,
    check_iwae_bound,
    check_kl,
    check_log_bernoulli,
    check_log_prob,
    check_numerics,
    check_reduction,
    check_reparameterize,
    extreme_logits,
)
from vae_tutorial.checks.entries import ENTRY_OF
from vae_tutorial.gaussian import kl_standard_normal
from vae_tutorial.likelihoods import Likelihood, bernoulli, continuous_bernoulli, normal
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.training import evaluate, fit

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "book" / "troubleshooting.ipynb"


def sections() -> dict[str, list[dict]]:
    """The cells of each section of the page, under its title; what comes before the first, under ""."""
    found, title = {"": []}, ""
    for cell in json.loads(PAGE.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown" and (heading := re.search(r"^## (.*)$", "".join(cell["source"]), re.M)):
            title = heading[1]
        found.setdefault(title, []).append(cell)
    return found


def said(cell: dict) -> str:
    """What a cell printed and showed, as one line of plain text."""
    texts = [o.get("text", o.get("data", {}).get("text/plain", "")) for o in cell.get("outputs", ())]
    return " ".join(" ".join("".join(text).split()) for text in texts)


def test_each_entry_is_a_section_of_the_page_word_for_word():
    assert set(ENTRIES.values()) <= set(sections())


def test_a_mistake_that_the_page_makes_leads_to_its_section():
    """Whatever a check says of it, or `fit`, ends with the title under which it stands."""
    n_messages = 0
    for title, cells in sections().items():
        for cell in cells:
            source, message = "".join(cell["source"]), said(cell)
            by_a_check = "planted-mistake" in cell["metadata"].get("tags", []) and "check_" in source
            for one in re.findall(r"fit says: .*?(?=fit says: |$)", message) + [message] * by_a_check:
                assert f"See “{title}” in the book's Troubleshooting." in one, one
                n_messages += 1
    assert n_messages >= 10


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


def adds_the_kl(model, x, eps):
    mu, log_var = model.encode(x)
    return model.log_likelihood(x, mu + (0.5 * log_var).exp() * eps).mean(0) + kl_standard_normal(mu, log_var)


def z_detached(model, x, eps):
    mu, log_var = model.encode(x)
    z = (mu + (0.5 * log_var).exp() * eps).detach()
    return model.log_likelihood(x, z).mean(0) - kl_standard_normal(mu, log_var)


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
    "the KL added": (lambda: check_elbo(adds_the_kl), "negative"),
    "a KL of the wrong sign": (lambda: check_kl(lambda mu, log_var: -kl_standard_normal(mu, log_var)), "kl-negative"),
    "detached": (lambda: check_kl(lambda mu, log_var: kl_standard_normal(mu, log_var).detach()), "stuck"),
    "a head detached": (lambda: check_kl(lambda mu, log_var: kl_standard_normal(mu, log_var.detach())), "stuck"),
    "z detached": (lambda: check_elbo(z_detached), "stuck"),
    "sample for rsample": (
        lambda: check_reparameterize(lambda mu, v, eps: torch.distributions.Normal(mu, (v / 2).exp()).sample()),
        "stuck",
    ),
    "two sigmoids": (lambda: check_log_bernoulli(lambda x, t: gray(x, t.sigmoid())), "stuck"),
    "a sigmoid rounded": (
        lambda: check_log_bernoulli(lambda x, t: (x * t.sigmoid().log() + (1 - x) * (1 - t.sigmoid()).log()).sum(-1)),
        "nan",
    ),
    "weights that overflow": (lambda: check_iwae_bound(lambda log_w: log_w.exp().mean(0).log()), "nan"),
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
    for wrong in (lambda mu, log_var: 2 * kl_standard_normal(mu, log_var), lambda mu, log_var: 0 * mu[:, 0]):
        assert "Troubleshooting" not in check_kl(wrong).mistake
    opposite = check_log_bernoulli(lambda x, logits: -gray(x, logits)).mistake
    assert opposite == "It has the opposite sign."  # of a log-probability, where no divergence is negative


X = torch.rand(33, 3, generator=torch.Generator().manual_seed(0))


def detached(model, x, n_samples, *, generator):
    return ElboTerms(*(term.detach() for term in elbo_terms(model, x, n_samples, generator=generator)))


def without_the_model(model, x, n_samples, *, generator):
    return ElboTerms(*torch.zeros(2, len(x), requires_grad=True))


def with_batch_norm():
    model = mlp_vae(3, 8, 1, normal(0.0), seed=0)
    model.encoder.insert(1, torch.nn.BatchNorm1d(8))
    return model


class Frame:
    """As a table of pandas or polars comes."""

    def to_numpy(self):
        return X.numpy()


REFUSED = {
    "pixels of bytes": (dict(x_train=(255 * X).byte()), TypeError, "own-data"),
    "arrays of bytes": (dict(x_train=(255 * X).byte().numpy()), TypeError, "own-data"),
    "images that are not flat": (dict(x_train=X.reshape(33, 1, 3, 1)), ValueError, "own-data"),
    "labels for x": (dict(x_train=torch.arange(7)), TypeError, "own-data"),
    "labels for x_val": (dict(x_train=X, x_val=torch.arange(7)), TypeError, "own-data"),
    "a column of labels for x_val": (dict(x_train=X, x_val=torch.arange(7.0)[:, None]), ValueError, "own-data"),
    "a list": (dict(x_train=list(X)), TypeError, "own-data"),
    "a table": (dict(x_train=Frame()), TypeError, "own-data"),
    "a Dataset of bytes": (
        dict(x_train=torch.utils.data.TensorDataset((255 * X).byte())),
        TypeError,
        "own-data",
    ),
    "NaN in x": (dict(x_train=X / 0), ValueError, "nan"),
    "NaN in x_val": (dict(x_train=X, x_val=(X / 0).numpy()), ValueError, "nan"),
    "NaN in a Dataset": (dict(x_train=torch.utils.data.StackDataset(torch.cat([X, X / 0]))), ValueError, "nan"),
    "a step too long": (dict(x_train=X, lr=1e6, epochs=50), ValueError, "nan"),
    "nothing to follow": (dict(x_train=X, objective=detached), ValueError, "stuck"),
    "an objective without the model": (dict(x_train=X, objective=without_the_model), ValueError, "stuck"),
    "batch norm of one example": (dict(model=with_batch_norm(), x_train=X, batch_size=32), ValueError, "batch-norm"),
}


@pytest.mark.filterwarnings("ignore:x reaches")
@pytest.mark.parametrize("how, error, entry", REFUSED.values(), ids=REFUSED)
def test_an_error_of_fit_names_its_entry(how, error, entry):
    how = dict(model=mlp_vae(3, 8, 1, normal(0.0), seed=0), epochs=1, seed=0, progress=False) | how
    with pytest.raises(error, match=re.escape(see(entry)) + "$"):
        fit(how.pop("model"), how.pop("x_train"), **how)


def test_an_error_of_evaluate_names_its_entry():
    model = mlp_vae(3, 8, 1, normal(0.0), seed=0)
    for x, error, entry in ((X.long(), TypeError, "own-data"), (X / 0, ValueError, "nan")):
        with pytest.raises(error, match=re.escape(see(entry)) + "$"):
            evaluate(model, x, seed=0)


def test_the_remedy_for_a_table_works():
    with pytest.raises(TypeError, match=re.escape("; give x_train.to_numpy().astype('float32'). See")):
        fit(mlp_vae(3, 8, 1, normal(0.0), seed=0), Frame(), epochs=1, seed=0, progress=False)
    x_train = Frame()
    history = fit(
        mlp_vae(3, 8, 1, normal(0.0), seed=0), x_train.to_numpy().astype("float32"), epochs=1, seed=0, progress=False
    )
    assert len(history.elbo) == 1


def test_the_remedy_for_batch_norm_works():
    assert len(fit(with_batch_norm(), X, epochs=1, seed=0, batch_size=11, progress=False).elbo) == 1


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
