r"""What z is once x is seen: the distribution :math:`q_\phi(z \mid x)`, as a value that a `VAE` is given.

`diagonal`, a Gaussian with a mean and a variance for each latent dimension, is that of Kingma and Welling (2014).
`PlanarFlow`, `CouplingFlow` and `AutoregressiveFlow` bend its draws by `vae_tutorial.flows`; `Flowed` takes any.

Shapes: K samples, B examples, L latent dimensions.
"""

import torch
from torch import Tensor, nn

from vae_tutorial import flows, formulas
from vae_tutorial._validation import require_seed


class Posterior(nn.Module):
    r"""A family of distributions over z: what a `VAE` asks of its posterior.

    ``params`` are what the encoder says of each example, as many tensors of shape (B, L) as there are ``names``. Write
    ``sample`` and ``mean`` for one of your own. A module, so that what it learns is among the model's parameters.

    Attributes:
        names: how ``params`` are called, in the encoder's order.
    """

    names: tuple[str, ...] = ()

    def sample(self, params: tuple[Tensor, ...], eps: Tensor) -> tuple[Tensor, Tensor]:
        r"""z, shape (K, B, L), as a differentiable function of standard Gaussian noise, and log q(z|x), shape (K, B).

        Args:
            params: what the encoder says.
            eps: the noise, shape (K, B, L).
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method sample(params, eps)")

    def mean(self, params: tuple[Tensor, ...]) -> Tensor:
        """The mean of z, shape (B, L), or an estimate without noise of its own."""
        raise NotImplementedError(f"{type(self).__name__} must have a method mean(params)")

    def gaussian(self, params: tuple[Tensor, ...]) -> tuple[Tensor, Tensor] | None:
        """Mean and log-variance where q is a diagonal Gaussian, which a prior may know the KL of; else None."""
        return None

    def require_prior(self, prior: nn.Module) -> None:
        """A `VAE` that is given both calls it.

        `vae_tutorial.hierarchical.TopDown` refuses a prior other than its own, the others take any.
        """


class Diagonal(Posterior):
    r"""The posterior :math:`\mathcal{N}(\mu, \operatorname{diag} \sigma^2)`; its one instance is `diagonal`.

    The encoder gives :math:`\mu` and :math:`\log \sigma^2`.

    Example:
        >>> import torch
        >>> mu, log_var = torch.tensor([[1.0]]), torch.tensor([[0.0]])
        >>> z, log_q = diagonal.sample((mu, log_var), torch.tensor([[[-2.0]]]))
        >>> z, log_q
        (tensor([[[-1.]]]), tensor([[-2.9189]]))
    """

    names = ("mu", "log_var")

    def sample(self, params: tuple[Tensor, ...], eps: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_var = params
        z = formulas.reparameterize(mu, log_var, eps)
        return z, formulas.log_normal(z, mu, log_var)

    def mean(self, params: tuple[Tensor, ...]) -> Tensor:
        return params[0]

    def gaussian(self, params: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        mu, log_var = params
        return mu, log_var


diagonal = Diagonal()
r"""The posterior :math:`\mathcal{N}(\mu_\phi(x), \operatorname{diag} \sigma_\phi^2(x))`."""


class Flowed(Posterior):
    r"""A diagonal Gaussian whose draws go through a flow, which each example bends in its own way.

    .. math:: z_0 = \mu + \sigma \odot \varepsilon, \qquad z = f(z_0; c), \qquad
        \log q(z \mid x) = \log \mathcal{N}(z_0; \mu, \operatorname{diag} \sigma^2)
        - \log \left| \det \frac{\partial f}{\partial z_0} \right|

    (Rezende and Mohamed, 2015.) The encoder gives :math:`\mu`, :math:`\log \sigma^2` and, where the flow has a context,
    that: L numbers c. The flow's own weights are parameters of the model; q has no closed form of the KL, and the
    bounds estimate it from the samples at hand.

    Args:
        flow: the map, with a ``context_dim`` of L or 0.

    Raises:
        TypeError: ``flow`` is not a `vae_tutorial.flows.Flow`.
        ValueError: it has another ``context_dim``.

    Example:
        >>> from vae_tutorial.flows import Planar
        >>> posterior = Flowed(Planar(2, context_dim=2, seed=0))
        >>> posterior.names
        ('mu', 'log_var', 'context')
    """

    def __init__(self, flow: flows.Flow) -> None:
        super().__init__()
        if not isinstance(flow, flows.Flow):
            raise TypeError(f"flow must be a Flow, such as flows.Planar(2, seed=0), got {flow!r}")
        if flow.context_dim not in (0, flow.latent_dim):
            raise ValueError(
                f"the flow must have a context_dim of 0 or, as what the encoder gives, of {flow.latent_dim}, its "
                f"latent_dim; got {flow.context_dim}"
            )
        self.latent_dim = flow.latent_dim
        self.names = ("mu", "log_var", "context") if flow.context_dim else ("mu", "log_var")
        self.flow = flow

    def sample(self, params: tuple[Tensor, ...], eps: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_var, *context = params
        if mu.shape[-1] != self.latent_dim:
            raise ValueError(
                f"the posterior has latent_dim={self.latent_dim}, the model {mu.shape[-1]}: they must be the same"
            )
        z_0 = formulas.reparameterize(mu, log_var, eps)
        z, log_det = self.flow.push(z_0, context[0] if context else None)
        return z, formulas.log_normal(z_0, mu, log_var) - log_det

    def mean(self, params: tuple[Tensor, ...]) -> Tensor:
        r"""An estimate of :math:`\mathbb{E}_q[z]`, which has no formula: the average over 256 fixed noise vectors.

        They come in pairs, :math:`\pm \varepsilon`, so that it is exact for a linear flow; otherwise its standard error
        is at most an eleventh of q's standard deviation, where both of a pair have one image. A q of two peaks has its
        mean between them, where it may have no mass at all: what `VAE.reconstruct` decodes there need not look like any
        x. Decode draws of z instead.
        """
        mu, log_var, *_ = params
        noise = torch.randn(128, 1, self.latent_dim, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
        eps = torch.cat([noise, -noise]).to(mu).expand(-1, *mu.shape)
        return self.sample(params, eps)[0].mean(0)


class PlanarFlow(Flowed):
    r"""`Flowed` by planar layers, whose u, v and b depend on the example (`vae_tutorial.flows.Planar`).

    Each layer stretches or squeezes across one plane. In one latent dimension they are the only flow here that makes
    more than a Gaussian.

    Args:
        latent_dim: L.
        n_layers: how many.
        seed: of the weights to begin with.

    Raises:
        TypeError: ``seed`` is not an integer.
        ValueError: one of the sizes is not an integer of at least 1.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(784, 400, 20, bernoulli, seed=0, posterior=PlanarFlow(20, 4, seed=1))
    """

    def __init__(self, latent_dim: int, n_layers: int, *, seed: int) -> None:
        seeds = flows.seeds_of_layers(seed, n_layers)
        super().__init__(flows.Composition(*(flows.Planar(latent_dim, latent_dim, seed=s) for s in seeds)))
        self.n_layers, self.seed = int(n_layers), require_seed(seed=seed)


class CouplingFlow(Flowed):
    r"""`Flowed` by affine couplings, with the dimensions reversed in between (`vae_tutorial.flows.Coupling`).

    Both ways are cheap. With all weights to begin with it is the diagonal Gaussian.

    Args:
        latent_dim: L, at least 2.
        n_layers: how many.
        hidden_dim: the width of each layer's network.
        seed: of the weights to begin with.

    Raises:
        TypeError: ``seed`` is not an integer.
        ValueError: one of the sizes is not a fitting integer.

    Example:
        >>> CouplingFlow(4, n_layers=2, hidden_dim=16, seed=0).names
        ('mu', 'log_var', 'context')
    """

    def __init__(self, latent_dim: int, n_layers: int, hidden_dim: int, *, seed: int) -> None:
        seeds = flows.seeds_of_layers(seed, n_layers)
        super().__init__(flows.reversing([flows.Coupling(latent_dim, hidden_dim, latent_dim, seed=s) for s in seeds]))
        self.n_layers, self.hidden_dim, self.seed = int(n_layers), int(hidden_dim), require_seed(seed=seed)


class AutoregressiveFlow(Flowed):
    r"""`Flowed` by inverse autoregressive layers, with the dimensions reversed in between (Kingma et al., 2016;
    `vae_tutorial.flows.Autoregressive`).

    Draws are cheap, one pass of a network for each layer; the density of a given z takes L of them. One layer is enough
    for a Gaussian with any covariance, as far as its network can give the linear t that this needs.

    Args:
        latent_dim: L.
        n_layers: how many.
        hidden_dim: the width of each layer's network.
        seed: of the weights to begin with.

    Raises:
        TypeError: ``seed`` is not an integer.
        ValueError: one of the sizes is not an integer of at least 1.

    Example:
        >>> AutoregressiveFlow(4, n_layers=2, hidden_dim=16, seed=0).names
        ('mu', 'log_var', 'context')
    """

    def __init__(self, latent_dim: int, n_layers: int, hidden_dim: int, *, seed: int) -> None:
        seeds = flows.seeds_of_layers(seed, n_layers)
        super().__init__(
            flows.reversing([flows.Autoregressive(latent_dim, hidden_dim, latent_dim, seed=s) for s in seeds])
        )
        self.n_layers, self.hidden_dim, self.seed = int(n_layers), int(hidden_dim), require_seed(seed=seed)
