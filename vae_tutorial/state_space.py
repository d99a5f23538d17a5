r"""Latent variables in time, :math:`z_1 \to z_2 \to \dots \to z_T`, each with an :math:`x_t` of its own.

Networks say how one step follows from the last: `deep_markov_model` is a `VAE` of whole sequences, each one row, whose
prior and posterior have the order of time. To the bounds, training and evaluation it is a model like any other. With
matrices in place of the networks all is exact: `vae_tutorial.kalman`.

Shapes: K samples, B sequences, T steps; at each, D numbers of x and L of z. As rows, (B, T·D) and (B, T·L), step
after step.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vae_tutorial import formulas
from vae_tutorial._description import described
from vae_tutorial._random import initial_weights, standard_noise
from vae_tutorial._restoring import in_evaluation_mode
from vae_tutorial._validation import require_count, require_finite_result, require_float, require_widths
from vae_tutorial.bounds import posterior_samples
from vae_tutorial.hierarchical import Layered, merge
from vae_tutorial.likelihoods import Likelihood
from vae_tutorial.models import VAE, mlp, require_vae
from vae_tutorial.posteriors import Posterior, diagonal
from vae_tutorial.priors import Prior
from vae_tutorial.priors.prior import require_points

__all__ = [
    "MarkovPrior",
    "ForwardInTime",
    "EachStep",
    "of_length",
    "forecast",
    "deep_markov_model",
]

INFERENCES = ("smoothing", "filtering", "factorized")


class MarkovPrior(Prior):
    r"""Each step is a diagonal Gaussian given the one before, by one network for all; the first is standard normal.

    .. math:: p(z) = \mathcal{N}(z_1; 0, I) \prod_{t=2}^{T}
        \mathcal{N}\bigl(z_t; \mu(z_{t-1}), \operatorname{diag} \sigma^2(z_{t-1})\bigr)

    (Krishnan, Shalit and Sontag, *Structured Inference Networks for Nonlinear State Space Models*, 2017.) It is a
    `vae_tutorial.hierarchical.HierarchicalPrior` of T layers that share a network, the first step on top.

    Args:
        n_steps: T, at least 2.
        step_dim: L.
        transition: maps rows :math:`z_{t-1}`, shape (N, L), to L means, then L log-variances.

    Raises:
        ValueError: a size is not an integer of at least 1, or there is one step only.

    Example:
        >>> prior = MarkovPrior(3, 2, nn.Linear(2, 4))
        >>> prior.log_prob(torch.zeros(4, 5, 6)).shape
        torch.Size([4, 5])
    """

    def __init__(self, n_steps: int, step_dim: int, transition: nn.Module) -> None:
        super().__init__()
        require_count(n_steps=n_steps, step_dim=step_dim)
        if n_steps < 2:
            raise ValueError("n_steps must be at least 2: one step alone has no transition; use mlp_vae for it")
        self.n_steps, self.step_dim = int(n_steps), int(step_dim)
        self.transition = transition

    def given_before(self, before: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of a step, shape (..., L) each, given the one before it."""
        output = self.transition(before.reshape(-1, self.step_dim))
        if output.shape[-1] != 2 * self.step_dim:
            raise ValueError(
                f"transition must give {self.step_dim} means and {self.step_dim} log-variances, got "
                f"{output.shape[-1]} numbers"
            )
        mu, log_var = output.reshape(*before.shape[:-1], -1).chunk(2, -1)
        return mu, log_var

    def log_prob(self, z: Tensor) -> Tensor:
        require_points(z, self.n_steps * self.step_dim)
        steps = z.unflatten(-1, (self.n_steps, self.step_dim))
        first, before, after = steps[..., 0, :], steps[..., :-1, :], steps[..., 1:, :]
        log_p = formulas.log_standard_normal(first) + formulas.log_normal(after, *self.given_before(before)).sum(-1)
        return require_finite_result(log_p, z=z)

    def sample(self, shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        eps = standard_noise(shape, like=like, generator=generator)
        require_points(eps, self.n_steps * self.step_dim)
        first, *others = eps.split(self.step_dim, -1)
        return torch.cat([first, self.go_on(first, torch.cat(others, -1))], -1)

    def go_on(self, before: Tensor, eps: Tensor) -> Tensor:
        r"""The steps that follow :math:`z_t`, shape (..., L), by noise of shape (..., n·L): n of them, of this shape.

        A forecast: any n will do, also beyond T.
        """
        if before.shape[-1] != self.step_dim or eps.shape[-1] % self.step_dim:
            raise ValueError(
                f"before must have shape (..., {self.step_dim}) and eps (..., n·{self.step_dim}), got "
                f"{tuple(before.shape)} and {tuple(eps.shape)}"
            )
        steps = []
        for noise in eps.split(self.step_dim, -1):
            before = formulas.reparameterize(*self.given_before(before), noise)
            steps.append(before)
        return torch.cat(steps, -1)

    def extra_repr(self) -> str:
        return f"n_steps={self.n_steps}, step_dim={self.step_dim}"


class ForwardInTime(Layered):
    r"""A posterior in the order of time: what x says of a step is merged with what the prior expects after the last.

    .. math:: q(z \mid x) = \prod_{t=1}^{T} \mathcal{N}\bigl(z_t; \mu, \operatorname{diag} \sigma^2\bigr)

    .. math:: (\mu, \sigma^2) = \text{merge}\bigl((\hat\mu_t, \hat\sigma_t^2), (\mu, \sigma^2)(z_{t-1})\bigr)

    It is `vae_tutorial.hierarchical.TopDown` in time, with the first step merged, too. Where the encoder says of
    :math:`z_t` what :math:`x_{t:T}` do, as `vae_tutorial.kalman.backward_messages` does, and L = 1, it is the exact
    posterior of a linear-Gaussian model.

    Args:
        prior: that of the model; a `VAE` with another one is refused.

    Raises:
        TypeError: ``prior`` is not a `MarkovPrior`.

    Example:
        >>> posterior = ForwardInTime(MarkovPrior(3, 2, nn.Linear(2, 4)))
        >>> posterior.latent_dims
        (2, 2, 2)
    """

    def __init__(self, prior: MarkovPrior) -> None:
        if not isinstance(prior, MarkovPrior):
            raise TypeError(f"prior must be a MarkovPrior, that of the model, got {prior!r}")
        super().__init__((prior.step_dim,) * prior.n_steps)
        self._prior = (prior,)  # in a tuple, where PyTorch registers no module

    def require_prior(self, prior: nn.Module) -> None:
        if prior is not self._prior[0]:
            raise ValueError(
                "the posterior is the ForwardInTime of another prior, whose network the model would neither train nor "
                "keep: make a new model, VAE(…, prior=prior, posterior=ForwardInTime(prior))"
            )

    def order(self) -> Sequence[int]:
        return range(len(self.latent_dims))

    def conditional(self, layer: int, mu: Tensor, log_var: Tensor, z: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        if layer == 0:
            return merge(mu, log_var, torch.zeros_like(mu), torch.zeros_like(log_var))
        return merge(mu, log_var, *self._prior[0].given_before(z[layer - 1]))


class EachStep(nn.Module):
    """A network of one step as one of whole sequences, of any length: (N, T·L) to (N, T·D), step after step.

    Args:
        network: maps rows (N, L) to rows (N, n_parts · D).
        step_dim: L.
        n_parts: how many parameters it gives of each number; of two, those of all steps stand before the others.

    Example:
        >>> EachStep(nn.Linear(2, 5), 2)(torch.zeros(4, 6)).shape
        torch.Size([4, 15])
    """

    def __init__(self, network: nn.Module, step_dim: int, n_parts: int = 1) -> None:
        super().__init__()
        require_count(step_dim=step_dim, n_parts=n_parts)
        self.network, self.step_dim, self.n_parts = network, step_dim, n_parts

    def forward(self, rows: Tensor) -> Tensor:
        """What the network makes of each step."""
        if rows.shape[-1] % self.step_dim:
            raise ValueError(f"rows must hold steps of {self.step_dim} numbers each, got shape {tuple(rows.shape)}")
        output: Tensor = self.network(rows.reshape(-1, self.step_dim))
        if output.shape[-1] % self.n_parts:
            raise ValueError(
                f"network must give {self.n_parts} parameters of each number, got {output.shape[-1]} in all"
            )
        parts = output.reshape(len(rows), -1, self.n_parts, output.shape[-1] // self.n_parts)
        return parts.transpose(1, 2).flatten(1)


class RecurrentEncoder(nn.Module):
    """A GRU along sequences of any length, backward in time or forward: what it has read says mean and log-variance."""

    def __init__(self, x_dim: int, hidden_dim: int, step_dim: int, *, backward: bool) -> None:
        super().__init__()
        self.gru = nn.GRU(x_dim, hidden_dim, batch_first=True)
        self.head = nn.Linear(hidden_dim, 2 * step_dim)
        self.backward = backward

    def forward(self, x: Tensor) -> Tensor:
        steps = x.unflatten(-1, (-1, self.gru.input_size))
        read, _ = self.gru(steps.flip(1) if self.backward else steps)
        said = self.head(read.flip(1) if self.backward else read)  # (B, T, 2L)
        return torch.cat([half.flatten(1) for half in said.chunk(2, -1)], -1)


@described
def deep_markov_model(
    x_dim: int,
    n_steps: int,
    hidden_dim: int,
    step_dim: int,
    likelihood: Likelihood,
    *,
    seed: int,
    inference: str = "smoothing",
) -> VAE:
    r"""A VAE of sequences: a Markov chain of latents, one network for its steps, one for each step's x.

    (Krishnan et al., 2017, whose networks are gated.) p is the same whatever the ``inference``:

    - ``"smoothing"``: a GRU reads backward, so that it speaks of :math:`z_t` having seen :math:`x_{t:T}`, and
      `ForwardInTime` merges that with the step before;
    - ``"filtering"``: the same, but it reads forward and has seen :math:`x_{1:t}`;
    - ``"factorized"``: as smoothing, without the step before: all steps are independent under q.

    Args:
        x_dim: D, the numbers of one step. A sequence is a row of T·D numbers.
        n_steps: T, at least 2.
        hidden_dim: the width of all networks.
        step_dim: L; the model's ``latent_dim`` is T·L.
        likelihood: the distribution of x given z, each step's given its own.
        seed: fixes the initial weights; the global random state is left as it was.
        inference: one of the three words above.

    Returns:
        The `VAE`, on the CPU, in float32.

    Raises:
        TypeError: ``likelihood`` is none, or ``seed`` not an integer.
        ValueError: a size is not an integer of at least 1, there is one step only, or ``inference`` is another word.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> model = deep_markov_model(16, 10, 32, 3, normal(-3.0), seed=0)
        >>> model.sample(2).shape
        torch.Size([2, 160])
    """
    require_count(x_dim=x_dim, step_dim=step_dim)
    (width,) = require_widths(hidden_dim=hidden_dim)
    if inference not in INFERENCES:
        raise ValueError(f"inference must be one of {INFERENCES}, got {inference!r}")
    if not isinstance(likelihood, Likelihood):
        raise TypeError(f"likelihood must be a Likelihood, such as likelihoods.bernoulli, got {likelihood!r}")
    with initial_weights(seed):
        prior = MarkovPrior(n_steps, step_dim, Step(step_dim, width))
        backward = inference != "filtering"
        encoder = RecurrentEncoder(x_dim, width, step_dim, backward=backward)
        decoder = mlp((step_dim, width, x_dim * likelihood.n_params), nn.Tanh)
    posterior: Posterior = diagonal if inference == "factorized" else ForwardInTime(prior)
    each = EachStep(decoder, step_dim, likelihood.n_params)
    return VAE(encoder, each, n_steps * step_dim, likelihood, prior, posterior)


def of_length(model: VAE, n_steps: int) -> VAE:
    """The same model for sequences of another length, of the same networks: what one learns the other knows.

    Args:
        model: as `deep_markov_model` makes it.
        n_steps: T of the sequences, at least 2.

    Raises:
        TypeError: the model has no `MarkovPrior` or no decoder that is an `EachStep`.
        ValueError: ``n_steps`` is not an integer of at least 2.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> model = deep_markov_model(16, 10, 32, 3, normal(-3.0), seed=0)
        >>> of_length(model, 4).sample(2).shape
        torch.Size([2, 64])
    """
    require_vae(model)
    if not isinstance(model.prior, MarkovPrior) or not isinstance(model.decoder, EachStep):
        raise TypeError(
            "model must have a MarkovPrior and a decoder that is an EachStep, as deep_markov_model makes it, got "
            f"{type(model.prior).__name__} and {type(model.decoder).__name__}"
        )
    prior = MarkovPrior(n_steps, model.prior.step_dim, model.prior.transition)
    posterior = ForwardInTime(prior) if isinstance(model.posterior, ForwardInTime) else model.posterior
    return VAE(model.encoder, model.decoder, n_steps * prior.step_dim, model.likelihood, prior, posterior)


def forecast(
    model: VAE, x: Tensor, n_ahead: int, n_samples: int, *, generator: torch.Generator | None = None
) -> Tensor:
    r"""Draws of what follows: the last :math:`z_t` from q given what was seen, then the prior's steps, then x.

    .. math:: z_t \sim q(z_t \mid x_{1:t}), \qquad z_{t+1}, \dots \sim p(\cdot \mid z_t)

    .. math:: x_{t+1} \sim p(x_{t+1} \mid z_{t+1}), \ \dots

    As good as q is: where it is not the posterior, neither is this the model's own forecast.

    Args:
        model: as `deep_markov_model` makes it.
        x: the sequences so far, of at least two steps, shape (B, t·D).
        n_ahead: how many steps.
        n_samples: K, draws for each sequence.
        generator: where the noise is drawn from; PyTorch's global one by default.

    Returns:
        Shape (K, B, n_ahead · D), without gradient.

    Raises:
        TypeError, ValueError: as `of_length` and `VAE.encode`; or a number is not an integer of at least 1.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> model = deep_markov_model(16, 10, 32, 3, normal(-3.0), seed=0)
        >>> forecast(model, torch.zeros(5, 4 * 16), n_ahead=2, n_samples=7).shape
        torch.Size([7, 5, 32])
    """
    require_count(n_ahead=n_ahead, n_samples=n_samples)
    require_float(x=x)
    prior = of_length(model, 2).prior
    assert isinstance(prior, MarkovPrior)
    L, n_params = prior.step_dim, model.likelihood.n_params
    with in_evaluation_mode(model), torch.no_grad():
        x_dim = model.decoder(model.a_weight().new_zeros(1, L)).shape[1] // n_params
        if x.ndim != 2 or x.shape[1] % x_dim or x.shape[1] < 2 * x_dim:
            expected = f"(B, t·{x_dim}) with t of at least 2, a sequence a row"
            raise ValueError(
                f"x must have shape {expected}, got {tuple(x.shape)}; give x.flatten(1) of (B, t, {x_dim})"
            )
        seen = of_length(model, x.shape[-1] // x_dim)
        z, _ = posterior_samples(seen, seen.encode(x), n_samples, generator=generator)
        eps = standard_noise((*z.shape[:2], n_ahead * L), like=z, generator=generator)
        ahead = prior.go_on(z[..., -L:], eps)  # (K, B, n_ahead · L)
        params = model.decoder(ahead.flatten(0, 1)).unflatten(0, z.shape[:2])
        return model.likelihood.sample(params, generator=generator)


class Step(nn.Module):
    """The transition of a deep Markov model: z moves a little, by a network, with a variance that depends on it."""

    def __init__(self, step_dim: int, width: int) -> None:
        super().__init__()
        self.network = mlp((step_dim, width, 2 * step_dim), nn.Tanh)

    def forward(self, z: Tensor) -> Tensor:
        moved, log_var = self.network(z).chunk(2, -1)
        return torch.cat([z + moved, log_var - 4.0], -1)
