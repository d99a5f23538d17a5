r"""Checks for functions you wrote yourself: each compares one with an exact answer and names the likely mistake.

Most call your function on fixed, asymmetric arguments in float64 and compare its values and its gradients with those
of an independent route: quadrature, enumeration, quantiles, decimal arithmetic, or the linear-Gaussian model. A
function that computes in float32 passes as well. One that is right there is called with further arguments: of one
example and of many, far out, and fresh ones, which ``seed`` decides; its arguments are compared before and after, and
it is called once more without gradients. `check_reduction` and `check_numerics` take any function and need no exact
answer: they compare it with itself. `examine` takes a whole VAE class apart. `from_jax` hands a function written in JAX
to any of them. What comes back is a `Check`; where it failed, its ``mistake`` names the formula that gives the same
wrong answers on all the arguments, or shows the evidence when no known mistake does.
"""

from vae_tutorial.checks.any_function import check_numerics, check_reduction, extreme_encodings, extreme_logits
from vae_tutorial.checks.claims import Check, agree, exceeds
from vae_tutorial.checks.conditional import check_conditional_elbo
from vae_tutorial.checks.correlation import check_total_correlation
from vae_tutorial.checks.density_ratio import check_density_ratio
from vae_tutorial.checks.diffusion_step import check_posterior_step
from vae_tutorial.checks.distribution import check_log_prob
from vae_tutorial.checks.estimates import check_elbo, check_iwae_bound, check_reparameterize
from vae_tutorial.checks.examination import Report, examine
from vae_tutorial.checks.filters import check_filter
from vae_tutorial.checks.flow import check_flow
from vae_tutorial.checks.formulas import check_kl, check_log_bernoulli, check_log_normal
from vae_tutorial.checks.jax_functions import from_jax
from vae_tutorial.checks.mixtures import check_log_mixture
from vae_tutorial.checks.mmd import check_mmd
from vae_tutorial.checks.quantizer import check_quantizer
from vae_tutorial.checks.spread import log_variance, standard_deviation, variance
from vae_tutorial.checks.whole_prior import check_prior

__all__ = [
    "Check",
    "agree",
    "exceeds",
    "check_kl",
    "check_log_normal",
    "check_log_bernoulli",
    "check_log_mixture",
    "check_log_prob",
    "check_prior",
    "check_reparameterize",
    "check_elbo",
    "check_iwae_bound",
    "check_flow",
    "check_quantizer",
    "check_total_correlation",
    "check_conditional_elbo",
    "check_density_ratio",
    "check_mmd",
    "check_filter",
    "check_posterior_step",
    "check_reduction",
    "check_numerics",
    "examine",
    "Report",
    "extreme_encodings",
    "extreme_logits",
    "log_variance",
    "variance",
    "standard_deviation",
    "from_jax",
]
