"""Priors that are one Gaussian: the standard one, and one that is learned."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vae_tutorial import formulas
from vae_tutorial._random import standard_noise
from vae_tutorial._validation import require_count, require_finite_result, require_float
from vae_tutorial.priors.prior import Prior, require_points


class StandardNormal(Prior):
    r"""The prior :math:`\mathcal{N}(0, I)`, for any number of dimensions; its one instance is `standard_normal`.

    Example:
        >>> standard_normal.log_prob(torch.zeros(1, 2))  # -log 2 pi
        tensor([-1.8379])
    """

    def log_prob(self, z: Tensor) -> Tensor:
        require_float(z=z)
        return require_finite_result(formulas.log_standard_normal(z), z=z)

    def sample(self, shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return standard_noise(shape, like=like, generator=generator)

    def kl(self, mu: Tensor, log_var: Tensor) -> Tensor:
        """`vae_tutorial.gaussian.kl_standard_normal`."""
        return formulas.kl_standard_normal(mu, log_var)


standard_normal = StandardNormal()
r"""The prior :math:`\mathcal{N}(0, I)`."""


class Gaussian(Prior):
    r"""A diagonal Gaussian with learned mean and variances, :math:`\mathcal{N}(m, \operatorname{diag} s^2)`.

    With an encoder and a decoder that end in linear layers it describes nothing that `standard_normal` can't: z is
    shifted and scaled. Its use is where z has a scale of its own, and as the simplest prior with parameters.

    Args:
        latent_dim: L.

    Attributes:
        mu: m, a parameter of shape (L,); 0 to begin with.
        log_var: :math:`\log s^2`, a parameter of shape (L,); 0 to begin with.

    Raises:
        ValueError: ``latent_dim`` is not an integer of at least 1.

    Example:
        >>> prior = Gaussian(2)
        >>> z = torch.tensor([[0.5, -1.0]])
        >>> bool(prior.log_prob(z) == standard_normal.log_prob(z))  # before anything is learned
        True
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        require_count(latent_dim=latent_dim)
        self.latent_dim = int(latent_dim)
        self.mu = nn.Parameter(torch.zeros(latent_dim))
        self.log_var = nn.Parameter(torch.zeros(latent_dim))

    def log_prob(self, z: Tensor) -> Tensor:
        require_points(z, self.latent_dim)
        log_p = formulas.log_normal(z, self.mu, self.log_var)
        return require_finite_result(log_p, z=z, mu=self.mu, log_var=self.log_var)

    def sample(self, shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        eps = standard_noise(shape, like=like, generator=generator)
        require_points(eps, self.latent_dim)
        return formulas.reparameterize(self.mu, self.log_var, eps)

    def kl(self, mu: Tensor, log_var: Tensor) -> Tensor:
        """`vae_tutorial.gaussian.kl_normal`, with m and :math:`s^2` for p."""
        return formulas.kl_normal(mu, log_var, self.mu, self.log_var)

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}"
