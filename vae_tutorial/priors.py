r"""What z is before x is seen: the distribution :math:`p(z)`, as a value that a `VAE` is given.

`standard_normal` is the one that nearly every VAE has. `Gaussian` and `Mixture` have parameters that are learned with
the rest of the model. One of your own is a `Prior` with two methods.

Shapes: L latent dimensions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vae_tutorial import formulas
from vae_tutorial._random import standard_noise, uniform_noise
from vae_tutorial._validation import require_count, require_finite_result, require_float, require_seed


class Prior(nn.Module):
    r"""A distribution over z: what a `VAE` asks of its prior.

    A module, so that what it learns is among the model's parameters. Write ``log_prob`` and ``sample`` for one of your
    own, and ``kl`` where it has a closed form.
    """

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, shape (...), for ``z`` of shape (..., L)."""
        raise NotImplementedError(f"{type(self).__name__} must have a method log_prob(z)")

    def sample(self, shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draws of z, of a shape (..., L), with the dtype and on the device of ``like``."""
        raise NotImplementedError(f"{type(self).__name__} must have a method sample(shape, like=…, generator=…)")

    def kl(self, mu: Tensor, log_var: Tensor) -> Tensor | None:
        """KL(N(mu, diag exp(log_var)) ‖ p) in nats, shape (...), for arguments (..., L); None: no closed form."""
        return None


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
        _require_points(z, self.latent_dim)
        log_p = formulas.log_normal(z, self.mu, self.log_var)
        return require_finite_result(log_p, z=z, mu=self.mu, log_var=self.log_var)

    def sample(self, shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        eps = standard_noise(shape, like=like, generator=generator)
        return formulas.reparameterize(self.mu, self.log_var, eps)

    def kl(self, mu: Tensor, log_var: Tensor) -> Tensor:
        """`vae_tutorial.gaussian.kl_normal`, with m and :math:`s^2` for p."""
        return formulas.kl_normal(mu, log_var, self.mu, self.log_var)

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}"


class Mixture(Prior):
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

    def log_prob(self, z: Tensor) -> Tensor:
        _require_points(z, self.latent_dim)
        log_components = formulas.log_normal(z.unsqueeze(-2), self.mu, self.log_var)  # (..., C)
        log_p = torch.logsumexp(torch.log_softmax(self.logits, 0) + log_components, -1)
        return require_finite_result(log_p, z=z, logits=self.logits, mu=self.mu, log_var=self.log_var)

    def sample(self, shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        eps = standard_noise(shape, like=like, generator=generator)
        uniform = uniform_noise(shape[:-1], like=like, generator=generator)
        cumulative = torch.softmax(self.logits, 0).cumsum(0)[:-1]  # the last is 1
        component = (uniform.unsqueeze(-1) >= cumulative).sum(-1)
        return formulas.reparameterize(self.mu[component], self.log_var[component], eps)

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}, n_components={self.n_components}"


def _require_points(z: Tensor, latent_dim: int) -> None:
    require_float(z=z)
    if z.shape[-1] != latent_dim:
        raise ValueError(
            f"z must have the {latent_dim} latent dimensions of the prior (last axis), got {tuple(z.shape)}"
        )
