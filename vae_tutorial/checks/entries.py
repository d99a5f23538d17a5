"""Which diagnoses have an entry in the book's page Troubleshooting: there the mistake is made, seen and mended."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import ParamSpec

import torch

from vae_tutorial._troubleshooting import see
from vae_tutorial.checks.claims import Check

Arguments = ParamSpec("Arguments")

# Words of a check's name and its diagnosis, and the entry; the first that fits counts.
ENTRY_OF = {
    r"applies \S+ to log_var|softplus\(log_var\)": "log-var",
    r"log_var (is taken for a variance|for the (variance|standard deviation))": "log-var",
    r"(averaged|summed) over the (last axis|(whole )?batch\b(?! axis))|averaged over all entries": "weights",
    r"over the whole batch, once|by the number of (latent )?dimensions(: | of x: )sum": "weights",
    r"mean squared error|\(x − x̂\)²|KL enters with weight": "weights",
    r"cross-entropy of": "gray",
    r"sigmoid over the decoder's output|applies the sigmoid twice": "stuck",
    r"[nN]o gradient (reaches|through|of)|carries no gradient": "stuck",
    r"adds the KL": "negative",
    r"^check_kl: .*has the opposite sign": "kl-negative",
    r"decodes the mean of z|log p\(x \| μ\) enters": "mean-or-sample",
    r"returned (NaN|an infinite number)|It overflows|an exponential overflows|0 times infinity": "nan",
    r"saturates: log\(1 − p\)": "nan",
}


def public(check: Callable[Arguments, Check]) -> Callable[Arguments, Check]:
    """A check as it is called from outside: not in inference mode, and with its entry where the diagnosis has one."""

    @wraps(check)
    def judged(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Check:
        with torch.inference_mode(mode=False):
            found = check(*args, **kwargs)
        said = f"{check.__name__}: {found.mistake}"
        keys = (key for words, key in ENTRY_OF.items() if re.search(words, said))
        return replace(found, mistake=f"{found.mistake} {see(key)}") if (key := next(keys, "")) else found

    return judged
