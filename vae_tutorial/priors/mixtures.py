"""Priors that are mixtures of diagonal Gaussians: one density and one sampler, wherever the components come from."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vae_tutorial import formulas
from vae_tutorial._random import standard_noise, uniform_noise
from vae_tutorial._validation import require_count, require_finite_result, require_seed
from vae_tutorial.priors.prior import Prior, require_points


class OfComponents(Prior):
    """A mixture of diagonal Gaussians: says which by ``components``, and has the density and the sampler from here."""

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        r"""Of the C components: :math:`\log \pi`, shape (C,), and means and log-variances, shape (C, L)."""
        raise NotImplementedError(f"{type(self).__name__} must have a method components()")

    def log_prob(self, z: Tensor) -> Tensor:
        log_weights, mu, log_var = self.components()
        require_points(z, mu.shape[-1])
        log_components = formulas.log_normal(z.unsqueeze(-2), mu, log_var)  # (..., C)
        log_p = torch.logsumexp(log_weights + log_components, -1)
        return require_finite_result(log_p, z=z, log_weights=log_weights, mu=mu, log_var=log_var)

    def sample(self, shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        log_weights, mu, log_var = self.components()
        eps = standard_noise(shape, like=like, generator=generator)
        require_points(eps, mu.shape[-1])
        uniform = uniform_noise(shape[:-1], like=like, generator=generator)
        cumulative = log_weights.exp().cumsum(0)[:-1]  # the last is 1
        component = (uniform.unsqueeze(-1) >= cumulative).sum(-1)
        return formulas.reparameterize(mu[component], log_var[component], eps)


class Mixture(OfComponents):
    r"""A mixture of diagonal Gaussians, all of it learned: weights, means and variances.

    .. math:: p(z) = \sum_{c=1}^{C} \pi_c \, \mathcal{N}(z; m_c, \operatorname{diag} s_c^2)

    Its KL divergence has no closed form: the bounds estimate it from the samples at hand.

    Args:
        latent_dim: L.
        n_components: C.
        seed: of the means to begin with, which are draws from :math:`\mathcal{N}(0, I)`: equal ones would stay equal.

    Attributes:
        logits: :math:`\pi = \operatorname{softmax}(\text{logits})`, a parameter of shape (C,); 0 to begin with.
        mu: the means m, a parameter of shape (C, L).
        log_var: :math:`\log s^2`, a parameter of shape (C, L); 0 to begin with.

    Raises:
        TypeError: ``seed`` is not an integer.
        ValueError: one of the sizes is not an integer of at least 1.

    Example:
        >>> prior = Mixture(latent_dim=2, n_components=3, seed=0)
        >>> prior.log_prob(torch.zeros(4, 5, 2)).shape
        torch.Size([4, 5])
    """

    def __init__(self, latent_dim: int, n_components: int, *, seed: int) -> None:
        super().__init__()
        require_count(latent_dim=latent_dim, n_components=n_components)
        self.latent_dim, self.n_components = int(latent_dim), int(n_components)
        self.seed = seed = require_seed(seed=seed)
        self.logits = nn.Parameter(torch.zeros(n_components))
        self.mu = nn.Parameter(torch.randn(n_components, latent_dim, generator=torch.Generator().manual_seed(seed)))
        self.log_var = nn.Parameter(torch.zeros(n_components, latent_dim))

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        return torch.log_softmax(self.logits, 0), self.mu, self.log_var

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}, n_components={self.n_components}"
