"""The known mistakes of `checks`: wrong versions of each function, under the clause that names them after "It ...".

Each table is keyed by that clause; the right version stands under "".
"""

from vae_tutorial.checks.mistakes.bounds import ELBO, ELBO_TERMS, ElboParts, elbo_parts
from vae_tutorial.checks.mistakes.conditional import CONDITIONAL
from vae_tutorial.checks.mistakes.correlations import DEPENDENCE
from vae_tutorial.checks.mistakes.densities import LOG_BERNOULLI, LOG_BERNOULLI_TERMS, LOG_NORMAL, LOG_NORMAL_TERMS
from vae_tutorial.checks.mistakes.diffusions import POSTERIOR_STEP
from vae_tutorial.checks.mistakes.discrepancies import MMD
from vae_tutorial.checks.mistakes.discriminators import DISCRIMINATOR
from vae_tutorial.checks.mistakes.divergence import KL, KL_TERMS
from vae_tutorial.checks.mistakes.importance import IWAE
from vae_tutorial.checks.mistakes.mixtures import LOG_MIXTURE, SAMPLED_MIXTURE
from vae_tutorial.checks.mistakes.narrow import KL_FAR, LOG_NORMAL_FAR
from vae_tutorial.checks.mistakes.quantizers import QUANTIZER
from vae_tutorial.checks.mistakes.samplers import REPARAMETERIZE, REPARAMETERIZE_TERMS
from vae_tutorial.checks.mistakes.ways import BATCH_REDUCTIONS, BITS, NOT_A_LOGARITHM, REDUCTIONS, SIGNS

__all__ = [
    "BATCH_REDUCTIONS",
    "BITS",
    "CONDITIONAL",
    "DEPENDENCE",
    "DISCRIMINATOR",
    "ELBO",
    "ELBO_TERMS",
    "IWAE",
    "KL",
    "KL_FAR",
    "KL_TERMS",
    "LOG_BERNOULLI",
    "LOG_BERNOULLI_TERMS",
    "LOG_MIXTURE",
    "LOG_NORMAL",
    "LOG_NORMAL_FAR",
    "LOG_NORMAL_TERMS",
    "MMD",
    "NOT_A_LOGARITHM",
    "POSTERIOR_STEP",
    "QUANTIZER",
    "REDUCTIONS",
    "REPARAMETERIZE",
    "REPARAMETERIZE_TERMS",
    "SAMPLED_MIXTURE",
    "SIGNS",
    "ElboParts",
    "elbo_parts",
]
