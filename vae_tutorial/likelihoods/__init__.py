r"""What a decoder says: the distribution :math:`p_\theta(x \mid z)`, as a value.

A `Likelihood` bundles the functions that turn a decoder's output ``params`` into a log-probability, a mean and a
sample, so nothing else in the package asks which distribution it is. Given z the dimensions of x are independent; only
`autoregressive_normal` sees some of those before. What x can be decides which likelihoods may describe it: 0 or 1,
`bernoulli`; one of n levels, `discretized_logistic` and `categorical`; a number between 0 and 1,
`continuous_bernoulli`; any number, the Gaussians; each column of a table something else, `columns`.

Shapes: K samples, B examples, D dimensions. ``params`` holds the first parameter of all D dimensions, then the second
of all, and so on.
"""

from vae_tutorial.likelihoods.autoregressive import autoregressive_normal
from vae_tutorial.likelihoods.binary import bernoulli
from vae_tutorial.likelihoods.columns import columns, mark_missing
from vae_tutorial.likelihoods.gaussians import SharedLogVar, normal, normal_diag, normal_diag_above, sigma_normal
from vae_tutorial.likelihoods.levels import categorical, discretized_logistic
from vae_tutorial.likelihoods.likelihood import Likelihood, Sampler
from vae_tutorial.likelihoods.unit_interval import continuous_bernoulli

__all__ = [
    "Likelihood",
    "Sampler",
    "bernoulli",
    "discretized_logistic",
    "categorical",
    "continuous_bernoulli",
    "normal",
    "normal_diag",
    "normal_diag_above",
    "sigma_normal",
    "SharedLogVar",
    "autoregressive_normal",
    "columns",
    "mark_missing",
]
