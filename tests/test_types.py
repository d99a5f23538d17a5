"""Annotations: mypy finds nothing wrong in the package and in a user's program, and everything in wrong calls."""

import re
import subprocess
import sys
from pathlib import Path

import typed_user

ROOT = Path(__file__).parents[1]

IMPORTS = """
import torch
from torch import Tensor
from typing_extensions import assert_type
from vae_tutorial.architectures import conv1d_vae, conv_vae, resnet_vae
from vae_tutorial.bounds import elbo, iwae_bound
from vae_tutorial.checks import check_kl
from vae_tutorial.likelihoods import Likelihood, bernoulli
from vae_tutorial.models import mlp_vae
from vae_tutorial.schedules import linear
from vae_tutorial.training import evaluate, fit
x = torch.ones(4, 64)
model = mlp_vae(64, 32, 4, bernoulli, seed=0)
"""
WRONG = {  # a call, and the code of mypy's complaint
    "mlp_vae(64, 32, 4, bernoulli)": "call-arg",
    "mlp_vae(64, 32, '4', bernoulli, seed=0)": "arg-type",
    "mlp_vae(64, 32, 4, bernoulli, seed=0, dropout=0.5)": "call-arg",
    "mlp_vae(64, 32, 4, bernoulli, seed=0, activation=0)": "arg-type",
    "conv_vae(64, 4, bernoulli, seed=0)": "arg-type",
    "conv1d_vae((8, 8), 4, bernoulli, seed=0)": "arg-type",
    "resnet_vae((8, 8), 4, seed=0)": "call-arg",
    "assert_type(model, Tensor)": "assert-type",
    "bernoulli.log_prob(x)": "call-arg",
    "bernoulli.sample(x, seed=0)": "call-arg",
    "Likelihood(1, bernoulli.mean, bernoulli.mean, bernoulli.sample)": "arg-type",
    "fit(model, x, epochs=1)": "call-arg",
    "fit(model, x, epochs=1, seed=0, objective=elbo)": "arg-type",
    "fit(model, x, epochs=1, seed=0, lr=linear)": "arg-type",
    "evaluate(model, x, seed=0).elbo": "attr-defined",
    "check_kl(iwae_bound)": "arg-type",
}


def mypy(*files) -> str:
    """What mypy says to these files, by default those that pyproject.toml names."""
    return subprocess.run([sys.executable, "-m", "mypy", *files], cwd=ROOT, capture_output=True, text=True).stdout


def test_nothing_is_wrong_in_the_package_and_in_a_users_program():
    assert mypy().startswith("Success")


def test_every_wrong_call_is_found(tmp_path):
    script = tmp_path / "wrong.py"
    script.write_text("\n".join([IMPORTS, *WRONG]), encoding="utf-8")
    found = re.findall(r"wrong\.py:(\d+): error: .*\[([a-z-]+)\]", mypy(script))
    first = IMPORTS.count("\n") + 2
    assert found == [(str(line), code) for line, code in enumerate(WRONG.values(), first)]


def test_the_users_program_runs(tmp_path):
    typed_user.main(tmp_path)
