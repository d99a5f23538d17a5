"""Variational autoencoders, derived, coded and checked: the companion package of the book.

One module is one idea. Take what you need from its home, ``from vae_tutorial.gaussian import kl_standard_normal``;
what nearly every program needs is here as well, ``from vae_tutorial import mlp_vae, fit``, and is loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_tutorial.bounds import elbo, elbo_terms
    from vae_tutorial.checks import agree, exceeds
    from vae_tutorial.datasets import load_images
    from vae_tutorial.evaluation import marginal_log_likelihood
    from vae_tutorial.likelihoods import bernoulli, normal, normal_diag
    from vae_tutorial.models import VAE, mlp_vae
    from vae_tutorial.training import evaluate, fit

__version__ = "0.1.0"

HOME = {
    "VAE": "models",
    "mlp_vae": "models",
    "bernoulli": "likelihoods",
    "normal": "likelihoods",
    "normal_diag": "likelihoods",
    "elbo": "bounds",
    "elbo_terms": "bounds",
    "fit": "training",
    "evaluate": "training",
    "marginal_log_likelihood": "evaluation",
    "load_images": "datasets",
    "agree": "checks",
    "exceeds": "checks",
}
__all__ = [
    "VAE",
    "mlp_vae",
    "bernoulli",
    "normal",
    "normal_diag",
    "elbo",
    "elbo_terms",
    "fit",
    "evaluate",
    "marginal_log_likelihood",
    "load_images",
    "agree",
    "exceeds",
]


def __getattr__(name: str) -> Any:
    if name in HOME:
        return getattr(import_module(f"vae_tutorial.{HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *HOME])
