r"""Latent variables in layers: :math:`z_n \to \dots \to z_1 \to x`, and two orders in which an encoder draws them.

To a `VAE` the layers are one z, written side by side, :math:`z = (z_1, \dots, z_n)`, whose prior and posterior have a
structure. So the bounds, training, evaluation and files are those of any other model.

Shapes: K samples, B examples, n layers of :math:`L_1, \dots, L_n` dimensions, L their sum.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from vae_tutorial import formulas
from vae_tutorial._description import described
from vae_tutorial._random import initial_weights, standard_noise
from vae_tutorial._validation import require_count, require_finite_result, require_widths
from vae_tutorial.bounds import posterior_samples
from vae_tutorial.likelihoods import Likelihood
from vae_tutorial.models import VAE, mlp, require_vae
from vae_tutorial.posteriors import Posterior
from vae_tutorial.priors import Prior
from vae_tutorial.priors.prior import require_points

__all__ = ["HierarchicalPrior", "Layered", "BottomUp", "TopDown", "merge", "kl_by_layer", "hierarchical_vae"]

INFERENCES = ("bottom_up", "top_down")


class HierarchicalPrior(Prior):
    r"""Each layer is a diagonal Gaussian given the one above; the top is standard normal.

    .. math:: p(z) = \mathcal{N}(z_n; 0, I) \prod_{l=1}^{n-1}
        \mathcal{N}\bigl(z_l; \mu_l(z_{l+1}), \operatorname{diag} \sigma_l^2(z_{l+1})\bigr)

    (Rezende et al., *Stochastic Backpropagation*, 2014; Burda et al., *Importance Weighted Autoencoders*, 2016.)

    Args:
        latent_dims: :math:`L_1, \dots, L_n`, the lowest layer, which the decoder sees, first.
        networks: n − 1 of them; the l-th maps :math:`z_{l+1}` to :math:`L_l` means, then :math:`L_l` log-variances.

    Raises:
        ValueError: there are fewer than two layers, a size is not an integer of at least 1, or the number of networks
            is another.

    Example:
        >>> prior = HierarchicalPrior((3, 2), [nn.Linear(2, 6)])
        >>> prior.log_prob(torch.zeros(4, 5, 5)).shape
        torch.Size([4, 5])
    """

    def __init__(self, latent_dims: Sequence[int], networks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.latent_dims = _require_layers(latent_dims)
        self.networks = _require_networks(networks, len(self.latent_dims) - 1)

    def given_above(self, layer: int, above: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of a layer, counted from 0, given the one above it."""
        return _means_and_log_vars(self.networks[layer](above), self.latent_dims[layer])

    def log_prob_by_layer(self, z: Tensor) -> Tensor:
        r""":math:`\log p(z_l \mid z_{l+1})` for each layer, in nats, shape (..., n), for ``z`` of shape (..., L)."""
        require_points(z, sum(self.latent_dims))
        layers = z.split(self.latent_dims, -1)
        below = [
            formulas.log_normal(layer, *self.given_above(i, above))
            for i, (layer, above) in enumerate(zip(layers[:-1], layers[1:], strict=True))
        ]
        return require_finite_result(torch.stack([*below, formulas.log_standard_normal(layers[-1])], -1), z=z)

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_prob_by_layer(z).sum(-1)

    def sample(self, shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        eps = standard_noise(shape, like=like, generator=generator)
        require_points(eps, sum(self.latent_dims))
        *below, top = eps.split(self.latent_dims, -1)
        z = [top]
        for layer in reversed(range(len(below))):
            z.insert(0, formulas.reparameterize(*self.given_above(layer, z[0]), below[layer]))
        return torch.cat(z, -1)

    def extra_repr(self) -> str:
        return f"latent_dims={self.latent_dims}"


class Layered(Posterior):
    r"""A posterior that draws layer after layer, each a diagonal Gaussian given x and the layer drawn before it.

    `BottomUp` and `TopDown` say in which order, and with which mean and variance. The encoder gives ``mu`` and
    ``log_var``, L numbers each, those of the lowest layer first; what they mean is said there.

    Args:
        latent_dims: :math:`L_1, \dots, L_n`, the lowest layer first.
    """

    names = ("mu", "log_var")

    def __init__(self, latent_dims: Sequence[int]) -> None:
        super().__init__()
        self.latent_dims = _require_layers(latent_dims)

    def order(self) -> Sequence[int]:
        """The layers, counted from 0, as they are drawn."""
        raise NotImplementedError(f"{type(self).__name__} must have a method order()")

    def conditional(self, layer: int, mu: Tensor, log_var: Tensor, z: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of a layer, of what the encoder says of it and of the layer drawn before, one in z."""
        raise NotImplementedError(f"{type(self).__name__} must have a method conditional(layer, mu, log_var, z)")

    def sample(self, params: tuple[Tensor, ...], eps: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_var = self._by_layer(params)
        z = list(eps.split(self.latent_dims, -1))  # noise, and layer after layer what becomes of it
        log_q = eps.new_zeros(eps.shape[:-1])
        for layer in self.order():
            q = self.conditional(layer, mu[layer], log_var[layer], z)
            z[layer] = formulas.reparameterize(*q, z[layer])
            log_q = log_q + formulas.log_normal(z[layer], *q)
        return torch.cat(z, -1), log_q

    def log_prob_by_layer(self, params: tuple[Tensor, ...], z: Tensor) -> Tensor:
        """log q of each layer given x and the layer drawn before it, in nats, shape (..., n)."""
        (mu, log_var), layers = self._by_layer(params), z.split(self.latent_dims, -1)
        n = len(self.latent_dims)
        q = [self.conditional(layer, mu[layer], log_var[layer], layers) for layer in range(n)]
        return torch.stack([formulas.log_normal(layers[i], *q[i]) for i in range(n)], -1)

    def mean(self, params: tuple[Tensor, ...]) -> Tensor:
        """z where each layer is at its mean, given the layers drawn before at theirs.

        This is the mean of z where all means are linear in the layers; otherwise it is an estimate without noise.
        """
        return self.sample(params, torch.zeros_like(params[0])[None])[0][0]

    def _by_layer(self, params: tuple[Tensor, ...]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        mu, log_var = params
        if mu.shape[-1] != sum(self.latent_dims):
            raise ValueError(
                f"the posterior has latent_dims={self.latent_dims}, together {sum(self.latent_dims)}, the model has "
                f"latent_dim={mu.shape[-1]}: they must be the same"
            )
        return mu.split(self.latent_dims, -1), log_var.split(self.latent_dims, -1)

    def extra_repr(self) -> str:
        return f"latent_dims={self.latent_dims}"


class BottomUp(Layered):
    r"""From x upwards: the layers are drawn in the order :math:`z_1, \dots, z_n`.

    .. math:: q(z \mid x) = \mathcal{N}\bigl(z_1; \hat\mu_1, \operatorname{diag} \hat\sigma_1^2\bigr)
        \prod_{l=2}^{n} \mathcal{N}\bigl(z_l; \hat\mu_l + m_l(z_{l-1}),
        \operatorname{diag} \hat\sigma_l^2 \odot s_l^2(z_{l-1})\bigr)

    :math:`\hat\mu` and :math:`\log \hat\sigma^2` are what the encoder says of x. Where it says 0 of the upper layers,
    as in `hierarchical_vae`, they see x through the layer below only: that is the posterior of Burda et al. (2016).

    Args:
        latent_dims: :math:`L_1, \dots, L_n`, the lowest layer first.
        networks: n − 1 of them; they map :math:`z_1, \dots, z_{n-1}`, each to the means m and the log-variances
            :math:`\log s^2` of the layer above.

    Raises:
        ValueError: as `HierarchicalPrior`.

    Example:
        >>> q = BottomUp((3, 2), [nn.Linear(3, 4)])
        >>> z, log_q = q.sample((torch.zeros(7, 5), torch.zeros(7, 5)), torch.randn(6, 7, 5))
        >>> z.shape, log_q.shape
        (torch.Size([6, 7, 5]), torch.Size([6, 7]))
    """

    def __init__(self, latent_dims: Sequence[int], networks: Iterable[nn.Module]) -> None:
        super().__init__(latent_dims)
        self.networks = _require_networks(networks, len(self.latent_dims) - 1)

    def order(self) -> Sequence[int]:
        return range(len(self.latent_dims))

    def conditional(self, layer: int, mu: Tensor, log_var: Tensor, z: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        if layer == 0:
            return mu, log_var
        m, log_s2 = _means_and_log_vars(self.networks[layer - 1](z[layer - 1]), self.latent_dims[layer])
        return mu + m, log_var + log_s2


class TopDown(Layered):
    r"""From the top downwards, in the order of the prior: what x says of a layer is merged with what the prior says.

    .. math:: q(z \mid x) = \mathcal{N}\bigl(z_n; \hat\mu_n, \operatorname{diag} \hat\sigma_n^2\bigr)
        \prod_{l=1}^{n-1} \mathcal{N}\bigl(z_l; \mu, \operatorname{diag} \sigma^2\bigr),

    .. math:: (\mu, \sigma^2) = \text{merge}\bigl((\hat\mu_l, \hat\sigma_l^2), (\mu_l, \sigma_l^2)(z_{l+1})\bigr)

    (Sønderby et al., *Ladder Variational Autoencoders*, 2016.) The mean and the variance on the right are
    those of the prior, whose networks are used and trained here, too; see `merge`.

    Args:
        prior: that of the model; a `VAE` with another one is refused. Its weights are parameters of the prior, not of
            this module.

    Raises:
        TypeError: ``prior`` is not a `HierarchicalPrior`.

    Example:
        >>> prior = HierarchicalPrior((3, 2), [nn.Linear(2, 6)])
        >>> len(list(TopDown(prior).parameters()))
        0
    """

    def __init__(self, prior: HierarchicalPrior) -> None:
        if not isinstance(prior, HierarchicalPrior):
            raise TypeError(f"prior must be a HierarchicalPrior, that of the model, got {prior!r}")
        super().__init__(prior.latent_dims)
        self._prior = (prior,)  # in a tuple, where PyTorch registers no module

    def require_prior(self, prior: nn.Module) -> None:
        if prior is not self._prior[0]:
            raise ValueError(
                "the posterior is the TopDown of another prior, whose networks the model would neither train nor keep: "
                "make a new model, VAE(…, prior=prior, posterior=TopDown(prior))"
            )

    def order(self) -> Sequence[int]:
        return range(len(self.latent_dims))[::-1]

    def conditional(self, layer: int, mu: Tensor, log_var: Tensor, z: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        if layer == len(self.latent_dims) - 1:
            return mu, log_var
        return merge(mu, log_var, *self._prior[0].given_above(layer, z[layer + 1]))


def merge(mu_a: Tensor, log_var_a: Tensor, mu_b: Tensor, log_var_b: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean and log-variance of the product of two Gaussian densities of one z: precisions add up.

    .. math:: \frac{1}{\sigma^2} = \frac{1}{\sigma_a^2} + \frac{1}{\sigma_b^2}, \qquad
        \frac{\mu}{\sigma^2} = \frac{\mu_a}{\sigma_a^2} + \frac{\mu_b}{\sigma_b^2}

    (Sønderby et al., 2016.) Computed from log-variances, so that no variance over- or underflows.

    Args:
        mu_a, log_var_a, mu_b, log_var_b: of shapes that broadcast.

    Returns:
        Mean and log-variance.

    Example:
        >>> one, zero = torch.ones(1), torch.zeros(1)
        >>> mu, log_var = merge(one, zero, -one, zero)  # equally sure: the mean lies between, twice as sure
        >>> mu.item(), log_var.exp().item()
        (0.0, 0.5)
    """
    weight_a = torch.sigmoid(log_var_b - log_var_a)  # the share of a in the precision
    mu = mu_a * weight_a + mu_b * torch.sigmoid(log_var_a - log_var_b)
    return mu, -torch.logaddexp(-log_var_a, -log_var_b)


def kl_by_layer(
    model: VAE,
    x: Tensor,
    n_samples: int = 1,
    *,
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""What each layer adds to the KL term, estimated from samples: the sum over the layers is estimator A of it.

    .. math:: \mathbb{E}_{q(z \mid x)}\bigl[\log q(z_l \mid \cdot, x) - \log p(z_l \mid z_{l+1})\bigr]

    Top-down each is an average of KL divergences, and not negative. Bottom-up q and p are given different layers:
    only the sum is a divergence, and that of a lower layer may well be negative.

    Args:
        model: a `VAE` with a `HierarchicalPrior` and a `Layered` posterior.
        x, n_samples, eps, generator: as for `vae_tutorial.bounds.elbo_terms`.

    Returns:
        Nats, shape (B, n), the lowest layer first, differentiable in the model's parameters.

    Raises:
        TypeError: the model is no such VAE; otherwise as `vae_tutorial.bounds.elbo_terms`.
        ValueError: as `vae_tutorial.bounds.elbo_terms`.

    Example:
        >>> from vae_tutorial.bounds import elbo_terms
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> model = hierarchical_vae(3, (8, 8), (2, 1), bernoulli, seed=0)
        >>> x, eps = torch.tensor([[0.0, 1.0, 1.0]]), torch.randn(10, 1, 3)
        >>> torch.allclose(kl_by_layer(model, x, eps=eps).sum(-1), elbo_terms(model, x, eps=eps).kl)
        True
    """
    require_vae(model)
    prior, posterior = model.prior, model.posterior
    if not isinstance(prior, HierarchicalPrior) or not isinstance(posterior, Layered):
        raise TypeError(
            "model must have a HierarchicalPrior and a Layered posterior, as hierarchical_vae makes it, got "
            f"{type(prior).__name__} and {type(posterior).__name__}"
        )
    params = model.encode(x)
    z, _ = posterior_samples(model, params, n_samples, eps, generator)
    return (posterior.log_prob_by_layer(params, z) - prior.log_prob_by_layer(z)).mean(0)


class Lowest(nn.Module):
    """The first module of a decoder that sees the lowest layer alone: the first n numbers of z."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, z: Tensor) -> Tensor:
        return z[..., : self.n]


class OfLowest(nn.Module):
    """The last module of an encoder that speaks of the lowest layer alone: of the n others it says 0."""

    def __init__(self, n_others: int) -> None:
        super().__init__()
        self.n_others = n_others

    def forward(self, output: Tensor) -> Tensor:
        return torch.cat([nn.functional.pad(half, (0, self.n_others)) for half in output.chunk(2, -1)], -1)


class Upward(nn.Module):
    """The encoder of `TopDown`: hidden layers upon hidden layers, each level with means and log-variances of its z."""

    def __init__(
        self, x_dim: int, widths: Sequence[Sequence[int]], latent_dims: Sequence[int], activation: type[nn.Module]
    ) -> None:
        super().__init__()
        ends = [x_dim] + [level[-1] for level in widths]
        self.levels = nn.ModuleList(
            nn.Sequential(*mlp((n_in, *level), activation), activation())
            for n_in, level in zip(ends[:-1], widths, strict=True)
        )
        self.heads = nn.ModuleList(nn.Linear(n, 2 * dim) for n, dim in zip(ends[1:], latent_dims, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        said = []
        for level, head in zip(self.levels, self.heads, strict=True):
            x = level(x)
            said.append(head(x).chunk(2, -1))
        return torch.cat([mu for mu, _ in said] + [log_var for _, log_var in said], -1)


@described
def hierarchical_vae(
    x_dim: int,
    hidden_dims: Sequence[int | Sequence[int]],
    latent_dims: Sequence[int],
    likelihood: Likelihood,
    *,
    seed: int,
    inference: str = "bottom_up",
    activation: type[nn.Module] = nn.Tanh,
) -> VAE:
    r"""A VAE with two layers of latent variables or more; p is the same whatever the ``inference``.

    Args:
        x_dim: D.
        hidden_dims: for each layer of latent variables, the width of the hidden layer below it, or those of several
            from below to above. The decoder and the prior have them in reverse.
        latent_dims: :math:`L_1, \dots, L_n`, the lowest layer, which the decoder sees, first.
        likelihood: the distribution of x given :math:`z_1`.
        seed: fixes the initial weights; the global random state is left as it was.
        inference: ``"bottom_up"``, the posterior of Burda et al. (2016), or ``"top_down"``, that of Sønderby et al.
            (2016); see `BottomUp` and `TopDown`.
        activation: the hidden layers' nonlinearity, a module class.

    Returns:
        The `VAE`, on the CPU, in float32; its ``latent_dim`` is the sum of ``latent_dims``.

    Raises:
        TypeError: ``likelihood`` is none, or ``seed`` not an integer.
        ValueError: there are fewer than two layers, another number of hidden layers, a size is not an integer of at
            least 1, or ``inference`` is neither word.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> burda = hierarchical_vae(784, [(200, 200), (100, 100)], (100, 50), bernoulli, seed=0)
        >>> burda.latent_dim, sum(parameter.numel() for parameter in burda.parameters())
        (150, 521084)
    """
    dims = _require_layers(latent_dims)
    given = list(hidden_dims) if isinstance(hidden_dims, Iterable) else []
    require_count(x_dim=x_dim)
    widths = [require_widths(hidden_dims=level) for level in given]
    if len(widths) != len(dims) or not all(widths):
        raise ValueError(
            f"hidden_dims must have one width, or a sequence of them, for each of the {len(dims)} layers, got "
            f"{hidden_dims!r}"
        )
    if inference not in INFERENCES:
        raise ValueError(f"inference must be one of {INFERENCES}, got {inference!r}")
    if not isinstance(likelihood, Likelihood):
        raise TypeError(f"likelihood must be a Likelihood, such as likelihoods.bernoulli, got {likelihood!r}")
    with initial_weights(seed):
        decoder = mlp((dims[0], *reversed(widths[0]), x_dim * likelihood.n_params), activation)
        downward = [mlp((dims[i + 1], *reversed(widths[i + 1]), 2 * dims[i]), activation) for i in range(len(dims) - 1)]
        prior = HierarchicalPrior(dims, downward)
        posterior: Posterior
        encoder: nn.Module
        if inference == "bottom_up":
            encoder = nn.Sequential(*mlp((x_dim, *widths[0], 2 * dims[0]), activation), OfLowest(sum(dims[1:])))
            upward = [mlp((dims[i], *widths[i + 1], 2 * dims[i + 1]), activation) for i in range(len(dims) - 1)]
            posterior = BottomUp(dims, upward)
        else:
            encoder, posterior = Upward(x_dim, widths, dims, activation), TopDown(prior)
    return VAE(encoder, nn.Sequential(Lowest(dims[0]), *decoder), sum(dims), likelihood, prior, posterior)


def _require_layers(latent_dims: Sequence[int]) -> tuple[int, ...]:
    dims = tuple(latent_dims) if isinstance(latent_dims, Iterable) else ()
    for dim in dims:
        require_count(latent_dims=dim)
    if len(dims) < 2:
        raise ValueError(f"latent_dims must name two layers or more, the lowest first, got {latent_dims!r}")
    return tuple(int(dim) for dim in dims)


def _means_and_log_vars(output: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The two halves of what a network gives, n numbers each."""
    if output.shape[-1] != 2 * n:
        raise ValueError(f"the network must give {n} means and {n} log-variances, got {output.shape[-1]} numbers")
    mu, log_var = output.chunk(2, -1)
    return mu, log_var


def _require_networks(networks: Iterable[nn.Module], n: int) -> nn.ModuleList:
    modules = nn.ModuleList(networks)
    if len(modules) != n:
        raise ValueError(f"networks must be {n}, one between each two layers, got {len(modules)}")
    return modules
