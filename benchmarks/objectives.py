"""Objectives of the long runs: bounds of black-and-white images drawn anew from gray ones each time they are used.

Named functions, because a checkpoint of `vae_tutorial.training.fit` records its objective's name.
"""

import torch
from torch import Tensor

from vae_tutorial.bounds import ElboTerms, elbo_terms, iwae_terms
from vae_tutorial.datasets import binarize
from vae_tutorial.models import VAE


def binarized_elbo_terms(model: VAE, x: Tensor, n_samples: int, *, generator: torch.Generator) -> ElboTerms:
    """`elbo_terms`; images of zeros and ones stay as they are."""
    return elbo_terms(model, binarize(x, generator), n_samples, generator=generator)


def binarized_iwae_terms(model: VAE, x: Tensor, n_samples: int, *, generator: torch.Generator) -> ElboTerms:
    """`iwae_terms`; images of zeros and ones stay as they are."""
    return iwae_terms(model, binarize(x, generator), n_samples, generator=generator)
