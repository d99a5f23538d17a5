"""The prior that a flow makes of the standard normal."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vae_tutorial import flows, formulas
from vae_tutorial._random import standard_noise
from vae_tutorial._validation import require_count, require_finite_result, require_seed
from vae_tutorial.priors.prior import Prior, require_points


class FlowPrior(Prior):
    r"""The standard normal, bent by affine couplings with the dimensions reversed in between.

    .. math:: z = f(u), \quad u \sim \mathcal{N}(0, I), \qquad \log p(z) = \log \mathcal{N}(f^{-1}(z); 0, I)
        + \log \left| \det \frac{\partial f^{-1}}{\partial z} \right|

    (Dinh et al., *Density Estimation using Real NVP*, 2017, equation 2.) The density takes the way back, which a
    `vae_tutorial.flows.Coupling` has at the cost of the way there. To begin with it is the standard normal.

    Args:
        latent_dim: L, at least 2.
        n_layers: how many couplings; with fewer than two, half of z stays standard normal.
        hidden_dim: the width of each coupling's network.
        seed: of the weights to begin with.

    Attributes:
        flow: f, a `vae_tutorial.flows.Composition`.

    Raises:
        TypeError: ``seed`` is not an integer.
        ValueError: one of the sizes is not a fitting integer.

    Example:
        >>> prior = FlowPrior(4, n_layers=2, hidden_dim=16, seed=0)
        >>> prior.log_prob(torch.zeros(1, 4))  # to begin with, -2 log 2 pi
        tensor([-3.6758], grad_fn=<AddBackward0>)
    """

    def __init__(self, latent_dim: int, n_layers: int, hidden_dim: int, *, seed: int) -> None:
        super().__init__()
        require_count(latent_dim=latent_dim, n_layers=n_layers, hidden_dim=hidden_dim)
        self.latent_dim, self.n_layers, self.hidden_dim = int(latent_dim), int(n_layers), int(hidden_dim)
        self.seed = require_seed(seed=seed)
        seeds = flows.seeds_of_layers(self.seed, self.n_layers)
        self.flow = flows.reversing([flows.Coupling(self.latent_dim, self.hidden_dim, seed=s) for s in seeds])

    def log_prob(self, z: Tensor) -> Tensor:
        require_points(z, self.latent_dim)
        u, log_det = self.flow.inverse(z)
        return require_finite_result(formulas.log_standard_normal(u) + log_det, z=z)

    def sample(self, shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        z: Tensor = self.flow(standard_noise(shape, like=like, generator=generator))[0]
        return z

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}, n_layers={self.n_layers}, hidden_dim={self.hidden_dim}"
