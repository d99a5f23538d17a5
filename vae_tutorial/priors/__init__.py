r"""What z is before x is seen: the distribution :math:`p(z)`, as a value that a `VAE` is given.

`standard_normal` is the one that nearly every VAE has. `Gaussian` and `Mixture` have parameters that are learned with
the rest of the model; `VampPrior` is a mixture whose components the model's own encoder makes,
`FlowPrior` a flow of the standard normal, `DiffusionPrior` what takes noise away step by step.
`aggregated_posterior` is the prior that is best for the encoder as it is. One of your own is a `Prior` with two
methods.

Shapes: L latent dimensions, C components, N examples, D dimensions of x.
"""

from vae_tutorial.priors.aggregated import aggregated_posterior
from vae_tutorial.priors.diffusion import BitDiffusion, DiffusionPrior
from vae_tutorial.priors.flow import FlowPrior
from vae_tutorial.priors.gaussians import Gaussian, StandardNormal, standard_normal
from vae_tutorial.priors.mixtures import Mixture
from vae_tutorial.priors.prior import Encoding, Prior
from vae_tutorial.priors.vamp import VampPrior

__all__ = [
    "Prior",
    "Encoding",
    "standard_normal",
    "StandardNormal",
    "Gaussian",
    "Mixture",
    "VampPrior",
    "FlowPrior",
    "DiffusionPrior",
    "BitDiffusion",
    "aggregated_posterior",
]
