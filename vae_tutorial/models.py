r"""The variational autoencoder: an encoder for :math:`q_\phi(z \mid x)`, a decoder for :math:`p_\theta(x \mid z)`.

Shapes: K samples, B examples, D dimensions of x, L latent dimensions.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from vae_tutorial._description import described
from vae_tutorial._random import initial_weights
from vae_tutorial._restoring import in_evaluation_mode
from vae_tutorial._validation import require_count, require_finite, require_float, require_rows, require_widths
from vae_tutorial.likelihoods import Likelihood
from vae_tutorial.posteriors import Posterior, diagonal
from vae_tutorial.priors import Prior, standard_normal

__all__ = ["VAE", "mlp_vae"]


class VAE(nn.Module):
    r"""A latent-variable model with its approximate posterior.

    .. math:: p(z) = \text{prior}(z), \qquad p_\theta(x \mid z) = \text{likelihood}(x; \text{decoder}(z)), \qquad
        q_\phi(z \mid x) = \text{posterior}(z; \text{encoder}(x))

    By default :math:`p(z) = \mathcal{N}(0, I)` and
    :math:`q_\phi(z \mid x) = \mathcal{N}(\mu_\phi(x), \operatorname{diag} \sigma_\phi^2(x))`.
    A model is not called, ``model(x)``: each method is one of its distributions, under its own name.

    Args:
        encoder: maps x, shape (N, D), to what the posterior asks for, L numbers of each, shape (N, L·n): by default L
            means, then L log-variances.
        decoder: maps z, shape (N, L), to the likelihood's parameters, shape (N, D·n_params).
        latent_dim: L, at least 1.
        likelihood: the distribution of x given the decoder's output.
        prior: the distribution of z.
        posterior: the family of :math:`q_\phi(z \mid x)`.

    Raises:
        TypeError: ``likelihood``, ``prior`` or ``posterior`` is none.
        ValueError: ``latent_dim`` is not an integer of at least 1, ``prior`` is the `VampPrior` of another model, or
            ``posterior`` the `vae_tutorial.hierarchical.TopDown` of another prior.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> encoder, decoder = nn.Linear(784, 4), nn.Linear(2, 784)
        >>> model = VAE(encoder, decoder, 2, bernoulli)
        >>> model.sample(3).shape
        torch.Size([3, 784])
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        latent_dim: int,
        likelihood: Likelihood,
        prior: Prior = standard_normal,
        posterior: Posterior = diagonal,
    ) -> None:
        super().__init__()
        require_count(latent_dim=latent_dim)
        require_parts(likelihood, prior, posterior)
        self.encoder = encoder
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.likelihood = likelihood
        self.prior = prior
        self.posterior = posterior

    def given(self, c: Tensor) -> "VAE":
        """The model of x once the condition c is known; only a `vae_tutorial.conditional.ConditionalVAE` has one."""
        raise TypeError(
            "this VAE takes no conditions: give x alone, or build the model with conditional.conditional_vae"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("prior", "posterior"):
            parts = {"prior": getattr(self, "prior", None), "posterior": getattr(self, "posterior", None), name: value}
            if isinstance(parts["posterior"], Posterior) and isinstance(parts["prior"], Prior):
                parts["posterior"].require_prior(parts["prior"])
        if name == "prior" and isinstance(value, Prior):
            value.attach(self)
        super().__setattr__(name, value)

    def forward(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not for a model that has several distributions: the error says which method to call."""
        raise TypeError(
            "a VAE is not called: model.encode(x) gives the parameters of q(z|x), model.decode(z) those of p(x|z), "
            "vae_tutorial.bounds.elbo(model, x) the bound"
        )

    def encode(self, x: Tensor) -> tuple[Tensor, ...]:
        r"""The parameters of :math:`q_\phi(z \mid x)`.

        Args:
            x: examples, shape (B, D).

        Returns:
            What the posterior asks for, each of shape (B, L); by default ``mu`` and ``log_var``.

        Raises:
            TypeError: ``x`` or the encoder's output is not a floating-point tensor.
            ValueError: ``x`` is not two-dimensional, empty or not finite, does not fit the encoder in shape or
                dtype, or the encoder's output does not have the right shape.
        """
        require_rows(x=x)
        names = self.posterior.names
        params = _apply("encoder", self.encoder, f"torch.cat([{', '.join(names)}], -1)", x=x)
        if params.shape != (expected := (len(x), len(names) * self.latent_dim)):
            raise ValueError(
                f"the encoder must give {' and '.join(names)}, shape {expected} for "
                f"latent_dim={self.latent_dim}, got {tuple(params.shape)}"
            )
        return params.chunk(len(names), -1)

    def decode(self, z: Tensor) -> Tensor:
        r"""The parameters of :math:`p_\theta(x \mid z)`.

        Args:
            z: latent points, shape (..., L). The decoder sees them as rows, (N, L), whatever their leading axes.

        Returns:
            The decoder's output, shape (..., D·n_params).

        Raises:
            TypeError: ``z`` or the decoder's output is not a floating-point tensor.
            ValueError: the last axis of ``z`` is not L; ``z`` is empty, not finite or not of the decoder's dtype; or
                the decoder's output is not one flat row for each row it got.
        """
        require_float(z=z)
        require_finite(z=z)
        if z.shape[-1] != self.latent_dim:
            raise ValueError(f"z must have {self.latent_dim} latent dimensions (last axis), got {tuple(z.shape)}")
        rows = z.reshape(-1, self.latent_dim)
        params = _apply("decoder", self.decoder, "torch.cat([mu, log_var], -1)", z=rows)
        if params.ndim != 2 or len(params) != len(rows):
            raise ValueError(
                f"the decoder must give one flat row of parameters for each of the {len(rows)} rows of z, got "
                f"{tuple(params.shape)}: end an image decoder with nn.Flatten()"
            )
        return params.reshape(*z.shape[:-1], -1)

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z) in nats, shape (...) for ``z`` of shape (..., L)."""
        return self.prior.log_prob(z)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        r""":math:`\log p_\theta(x \mid z)` in nats.

        Args:
            x: examples, shape (B, D).
            z: latent points, shape (B, L) or (K, B, L).

        Returns:
            Shape (B,) or (K, B).
        """
        return self.likelihood.log_prob(x, self.decode(z))

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        r"""Draw from the model: z from the prior, then x from :math:`p_\theta(x \mid z)`, noise included.

        It is measured in evaluation mode, whatever its mode is: without dropout, with the batch statistics it has.

        Args:
            n: how many, at least 1.
            generator: where the noise is drawn from; PyTorch's global one by default.

        Returns:
            Samples of x, shape (n, D), without gradient.

        Raises:
            TypeError: ``generator`` is not a ``torch.Generator``.
            ValueError: ``n`` is not an integer of at least 1.
        """
        require_count(n=n)
        with in_evaluation_mode(self), torch.no_grad():
            z = self.prior.sample((int(n), self.latent_dim), like=self.a_weight(), generator=generator)
            return self.likelihood.sample(self.decode(z), generator=generator)

    def reconstruct(self, x: Tensor) -> Tensor:
        r"""What the model expects of x once it has encoded it: the mean of :math:`p_\theta(x \mid z)` at the mean of
        :math:`q_\phi(z \mid x)`.

        It is one decoded mean, no draw of x, and measured in evaluation mode, as `sample` is.

        Args:
            x: observations, shape (B, D).

        Returns:
            Means of x, shape (B, D), without gradient.

        Raises:
            TypeError, ValueError: as `encode` does.
        """
        with in_evaluation_mode(self), torch.no_grad():
            return self.likelihood.mean(self.decode(self.posterior.mean(self.encode(x))))

    def a_weight(self) -> Tensor:
        """One of the weights, which tells dtype and device; those of the decoder come first."""
        weights = (*self.decoder.parameters(), *self.parameters())
        return weights[0] if weights else torch.empty(())

    def extra_repr(self) -> str:
        """What ``print`` shows beside the networks."""
        return f"latent_dim={self.latent_dim}, likelihood={self.likelihood}"


def _apply(role: str, network: nn.Module, one_tensor: str, **argument: Tensor) -> Tensor:
    """The network's output; where PyTorch cannot take the input, the error names the argument, its shape and dtype."""
    ((name, value),) = argument.items()
    try:
        output = network(value)
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:
        dtypes = {weight.dtype for weight in network.parameters()} if isinstance(network, nn.Module) else {value.dtype}
        remedy = "" if value.dtype in dtypes or len(dtypes) != 1 else f"; convert it with {name}.to({dtypes.pop()})"
        raise ValueError(
            f"{name} of shape {tuple(value.shape)} and {value.dtype} does not fit the network: {error}{remedy}"
        ) from error
    if not isinstance(output, Tensor) or not output.is_floating_point():
        came = f"a tensor of {output.dtype}" if isinstance(output, Tensor) else type(output).__name__
        raise TypeError(
            f"the {role} must give one floating-point tensor, got {came}; end its forward with return {one_tensor}"
        )
    return output


def require_vae(model: VAE) -> None:
    """The argument is a `VAE`, not one that something else is wrapped around, and no network of another tutorial."""
    if isinstance(model, VAE):
        return
    for inside in ("module", "_orig_mod"):  # of DataParallel and of torch.compile
        if isinstance(getattr(model, inside, None), VAE):
            raise TypeError(f"model must be a VAE, got {type(model).__name__} around one: give model.{inside}")
    raise TypeError(
        f"model must be a VAE, got {type(model).__name__}; make one of its two networks: "
        "VAE(encoder, decoder, latent_dim, likelihood)"
    )


def require_parts(likelihood: Likelihood, prior: Prior, posterior: Posterior) -> None:
    """Each of the three is what its name says."""
    if not isinstance(likelihood, Likelihood):
        raise TypeError(
            "likelihood must be a Likelihood, such as likelihoods.bernoulli or likelihoods.normal(0.0), "
            f"got {getattr(likelihood, '__name__', repr(likelihood))}"
        )
    if not isinstance(prior, Prior):
        raise TypeError(f"prior must be a Prior, such as priors.standard_normal, got {prior!r}")
    if not isinstance(posterior, Posterior) or not posterior.names:
        raise TypeError(f"posterior must be a Posterior with names, such as posteriors.diagonal, got {posterior!r}")


@described
def mlp_vae(
    x_dim: int,
    hidden_dim: int | Sequence[int],
    latent_dim: int,
    likelihood: Likelihood,
    *,
    seed: int,
    activation: type[nn.Module] = nn.ReLU,
    prior: Prior = standard_normal,
    posterior: Posterior = diagonal,
) -> VAE:
    """A VAE whose encoder and decoder are networks with one hidden layer, or several.

    Args:
        x_dim: D, the number of dimensions of x.
        hidden_dim: the width of the hidden layer; or those of several from x to z, which the decoder has in reverse;
            or ``()`` for none, so that encoder and decoder are linear.
        latent_dim: L, the number of latent dimensions.
        likelihood: the distribution of x given z.
        seed: fixes the initial weights; the global random state is left as it was.
        activation: the hidden layers' nonlinearity, a module class.
        prior, posterior: as for `VAE`.

    Returns:
        The `VAE`, on the CPU, in float32.

    Raises:
        TypeError: ``likelihood``, ``prior`` or ``posterior`` is none, or ``seed`` not an integer.
        ValueError: one of the sizes is not an integer of at least 1.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> model = mlp_vae(784, 400, 20, bernoulli, seed=0)
        >>> sum(parameter.numel() for parameter in model.parameters())
        652824
        >>> two_layers = mlp_vae(784, (200, 200), 50, bernoulli, seed=0)
    """
    require_count(x_dim=x_dim, latent_dim=latent_dim)
    widths = require_widths(hidden_dim=hidden_dim)
    require_parts(likelihood, prior, posterior)
    with initial_weights(seed):
        encoder = mlp((x_dim, *widths, len(posterior.names) * latent_dim), activation)
        decoder = mlp((latent_dim, *reversed(widths), x_dim * likelihood.n_params), activation)
    return VAE(encoder, decoder, latent_dim, likelihood, prior, posterior)


def mlp(widths: Sequence[int], activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear layers of these widths, the first that of the input, with the nonlinearity between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), activation()]
    return nn.Sequential(*layers[:-1])
