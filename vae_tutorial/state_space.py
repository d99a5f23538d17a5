r"""Latent variables in time, :math:`z_1 \to z_2 \to \dots \to z_T`, each with an :math:`x_t` of its own.

Where all is linear and Gaussian, `kalman_filter` gives :math:`\log p(x)` exactly, `rts_smoother` and
`backward_messages` the posterior; where networks stand in their place, `deep_markov_model` is a `VAE` of whole
sequences, each one row, whose prior and posterior have the order of time. To the bounds, training and evaluation it is
a model like any other.

Shapes: K samples, B sequences, T steps; at each, D numbers of x and L of z. As rows, (B, T·D) and (B, T·L), step
after step.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial import formulas
from vae_tutorial._description import described
from vae_tutorial._random import initial_weights, standard_noise
from vae_tutorial._restoring import in_evaluation_mode
from vae_tutorial._validation import (
    require_count,
    require_finite,
    require_finite_result,
    require_float,
    require_same_dtype,
    require_widths,
)
from vae_tutorial.bounds import posterior_samples
from vae_tutorial.hierarchical import Layered, merge
from vae_tutorial.likelihoods import Likelihood
from vae_tutorial.models import VAE, mlp, require_vae
from vae_tutorial.posteriors import Posterior, diagonal
from vae_tutorial.priors import Prior
from vae_tutorial.priors.prior import require_points

__all__ = [
    "Filtered",
    "Smoothed",
    "Messages",
    "kalman_filter",
    "rts_smoother",
    "backward_messages",
    "MarkovPrior",
    "ForwardInTime",
    "EachStep",
    "of_length",
    "forecast",
    "deep_markov_model",
]

INFERENCES = ("smoothing", "filtering", "factorized")


class Filtered(NamedTuple):
    r"""Means (..., T, L) and covariances (T, L, L) of :math:`p(z_t \mid x_{1:t})`; log p(x) in nats, shape (...)."""

    mean: Tensor
    cov: Tensor
    log_likelihood: Tensor


class Smoothed(NamedTuple):
    r"""Means (..., T, L) and covariances (T, L, L) of :math:`p(z_t \mid x_{1:T})`."""

    mean: Tensor
    cov: Tensor


class Messages(NamedTuple):
    r"""What :math:`x_{t:T}` say of :math:`z_t`: precisions J, (T, L, L), and vectors h, (..., T, L)."""

    precision: Tensor
    h: Tensor


def kalman_filter(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor, m0: Tensor, P0: Tensor) -> Filtered:
    r"""Exact inference, forward in time, in the linear-Gaussian state space model.

    .. math:: z_1 \sim \mathcal{N}(m_0, P_0), \quad z_t = A z_{t-1} + \mathcal{N}(0, Q), \quad
        x_t = C z_t + \mathcal{N}(0, R)

    With m and P those of :math:`p(z_t \mid x_{1:t-1})`, at first :math:`m_0, P_0`, then :math:`A m_{t-1}` and
    :math:`A P_{t-1} A^\top + Q`:

    .. math:: S = C P C^\top + R, \quad G = P C^\top S^{-1}, \quad m_t = m + G (x_t - C m), \quad
        P_t = (I - G C) P (I - G C)^\top + G R G^\top

    and :math:`\log p(x) = \sum_t \log \mathcal{N}(x_t; C m, S)`. (Kalman, *A New Approach to Linear Filtering and
    Prediction Problems*, 1960. The last formula, Joseph's, keeps :math:`P_t` symmetric and positive.)

    Args:
        x: sequences, shape (..., T, D).
        A: shape (L, L).
        C: shape (D, L).
        Q: covariance of the steps, shape (L, L); it may be singular.
        R: covariance of the noise of x, shape (D, D); it may be singular as long as S is not.
        m0, P0: mean, shape (L,), and covariance, shape (L, L), of :math:`z_1`, before :math:`x_1` is seen.

    Returns:
        The `Filtered`, differentiable in all arguments.

    Raises:
        TypeError: an argument is not a floating-point tensor, or dtypes differ.
        ValueError: shapes do not fit, a value is not finite, a covariance is not symmetric, or S is not positive
            definite.

    Example:
        >>> one = torch.eye(1)
        >>> walk = dict(A=one, C=one, Q=one, R=one, m0=torch.zeros(1), P0=one)
        >>> found = kalman_filter(torch.tensor([[2.0]]), **walk)
        >>> found.mean.item(), found.cov.item()
        (1.0, 0.5)
    """
    _require_system(x, A=A, C=C, Q=Q, R=R, m0=m0, P0=P0)
    return _filter(x, A, C, Q, R, m0, P0)


def _filter(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor, m0: Tensor, P0: Tensor) -> Filtered:
    eye = torch.eye(len(A), dtype=x.dtype, device=x.device)
    means, covs, log_likelihood = [], [], x.new_zeros(x.shape[:-2])
    m, P = m0.expand(*x.shape[:-2], -1), P0
    for t, x_t in enumerate(x.unbind(-2)):  # x_t: (..., D)
        if t:
            m, P = m @ A.mT, A @ P @ A.mT + Q  # predict
        innovation = x_t - m @ C.mT
        root, failed = torch.linalg.cholesky_ex(C @ P @ C.mT + R)  # S = root rootᵀ
        if failed:
            raise ValueError(f"S = C P Cᵀ + R is not positive definite at step {t + 1}: give R a positive diagonal")
        log_likelihood = log_likelihood + _log_normal(innovation, root)
        G = torch.cholesky_solve(C @ P, root).mT  # P Cᵀ S⁻¹
        m, keep = m + innovation @ G.mT, eye - G @ C
        P = keep @ P @ keep.mT + G @ R @ G.mT
        means.append(m)
        covs.append(P)
    return Filtered(torch.stack(means, -2), torch.stack(covs), log_likelihood)


def rts_smoother(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor, m0: Tensor, P0: Tensor) -> Smoothed:
    r"""Mean and covariance of each :math:`z_t` given the whole sequence: the filter, then a pass backward.

    .. math:: G_t = P_t A^\top (A P_t A^\top + Q)^{-1}, \qquad
        \tilde m_t = m_t + G_t (\tilde m_{t+1} - A m_t), \qquad
        \tilde P_t = P_t + G_t (\tilde P_{t+1} - A P_t A^\top - Q) \, G_t^\top

    (Rauch, Tung and Striebel, *Maximum Likelihood Estimates of Linear Dynamic Systems*, 1965.)

    Args:
        x, A, C, Q, R, m0, P0: as for `kalman_filter`; here :math:`A P_t A^\top + Q` must not be singular.

    Returns:
        The `Smoothed`.

    Raises:
        TypeError, ValueError: as `kalman_filter`.

    Example:
        >>> one = torch.eye(1)
        >>> walk = dict(A=one, C=one, Q=one, R=one, m0=torch.zeros(1), P0=one)
        >>> print(f"{rts_smoother(torch.tensor([[2.0], [2.0]]), **walk).mean[0].item():.4f}")  # by x₁ alone, 1
        1.2000
    """
    _require_system(x, A=A, C=C, Q=Q, R=R, m0=m0, P0=P0)
    means, covs, _ = _filter(x, A, C, Q, R, m0, P0)
    m, P = means[..., -1, :], covs[-1]
    smoothed = [(m, P)]
    for t in reversed(range(x.shape[-2] - 1)):
        ahead = A @ covs[t] @ A.mT + Q
        G = torch.linalg.solve(ahead, A @ covs[t]).mT
        m = means[..., t, :] + (m - means[..., t, :] @ A.mT) @ G.mT
        P = covs[t] + G @ (P - ahead) @ G.mT
        smoothed.insert(0, (m, P))
    return Smoothed(torch.stack([m for m, _ in smoothed], -2), torch.stack([P for _, P in smoothed]))


def backward_messages(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor) -> Messages:
    r"""What the present and the future say of :math:`z_t`: :math:`p(x_{t:T} \mid z_t)` as a function of it.

    It is proportional to :math:`\exp(-\tfrac12 z_t^\top J_t z_t + h_t^\top z_t)`, with

    .. math:: J_t = C^\top R^{-1} C + A^\top (I + J_{t+1} Q)^{-1} J_{t+1} A, \qquad
        h_t = C^\top R^{-1} x_t + A^\top (I + J_{t+1} Q)^{-1} h_{t+1}

    and 0 for :math:`J_{T+1}, h_{T+1}`. So :math:`p(z_t \mid z_{t-1}, x_{t:T})` has the precision
    :math:`Q^{-1} + J_t` and the mean :math:`(Q^{-1} + J_t)^{-1} (Q^{-1} A z_{t-1} + h_t)`.

    Args:
        x, A, C, Q, R: as for `kalman_filter`; here R must not be singular.

    Returns:
        The `Messages`.

    Raises:
        TypeError, ValueError: as `kalman_filter`.

    Example:
        >>> one = torch.eye(1)
        >>> said = backward_messages(torch.tensor([[2.0]]), one, one, one, 0.5 * one)
        >>> said.precision.item(), said.h.item()
        (2.0, 4.0)
    """
    _require_system(x, A=A, C=C, Q=Q, R=R)
    eye = torch.eye(len(A), dtype=x.dtype, device=x.device)
    of_x = torch.linalg.solve(R, C)  # R⁻¹ C
    J, h = C.mT @ of_x, x[..., -1, :] @ of_x
    found = [(J, h)]
    for x_t in x.unbind(-2)[-2::-1]:
        back = torch.linalg.solve(eye + Q @ J, A).mT  # Aᵀ (I + J Q)⁻¹
        J, h = C.mT @ of_x + back @ J @ A, x_t @ of_x + h @ back.mT
        found.insert(0, (J, h))
    return Messages(torch.stack([J for J, _ in found]), torch.stack([h for _, h in found], -2))


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
        steps = []
        for noise in eps.split(self.step_dim, -1):
            before = formulas.reparameterize(*self.given_before(before), noise)
            steps.append(before)
        return torch.cat(steps, -1)

    def extra_repr(self) -> str:
        return f"n_steps={self.n_steps}, step_dim={self.step_dim}"


class ForwardInTime(Layered):
    r"""A posterior in the order of time: what x says of a step is merged with what the prior expects after the last.

    .. math:: q(z \mid x) = \prod_{t=1}^{T} \mathcal{N}\bigl(z_t; \mu, \operatorname{diag} \sigma^2\bigr), \qquad
        (\mu, \sigma^2) = \text{merge}\bigl((\hat\mu_t, \hat\sigma_t^2), (\mu, \sigma^2)(z_{t-1})\bigr)

    It is `vae_tutorial.hierarchical.TopDown` in time, with the first step merged, too. Where the encoder says of
    :math:`z_t` what :math:`x_{t:T}` do, as in `backward_messages`, and L = 1, it is the exact posterior of a
    linear-Gaussian model.

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
        self.network, self.step_dim, self.n_parts = network, step_dim, n_parts

    def forward(self, rows: Tensor) -> Tensor:
        output: Tensor = self.network(rows.reshape(-1, self.step_dim))
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

    .. math:: z_t \sim q(z_t \mid x_{1:t}), \qquad z_{t+1}, \dots \sim p(\cdot \mid z_t), \qquad
        x_{t+1} \sim p(x_{t+1} \mid z_{t+1}), \ \dots

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
    prior = of_length(model, 2).prior
    assert isinstance(prior, MarkovPrior)
    L, n_params = prior.step_dim, model.likelihood.n_params
    with in_evaluation_mode(model), torch.no_grad():
        x_dim = model.decoder(model.a_weight().new_zeros(1, L)).shape[1] // n_params
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


def _log_normal(off: Tensor, root: Tensor) -> Tensor:
    """log N(off; 0, root rootᵀ), shape (...), for off of shape (..., D)."""
    standardized = torch.linalg.solve_triangular(root, off.unsqueeze(-1), upper=False).squeeze(-1)
    return formulas.log_standard_normal(standardized) - root.diagonal().log().sum()


def _require_system(x: Tensor, **system: Tensor) -> None:
    """Sequences and a linear-Gaussian system fit."""
    require_float(x=x, **system)
    require_same_dtype(x=x, **system)
    require_finite(x=x, **system)
    A = system["A"]
    if x.ndim < 2 or A.ndim != 2 or A.shape[0] != A.shape[1]:
        came = f"x {tuple(x.shape)}, A {tuple(A.shape)}"
        raise ValueError(
            f"x must have shape (..., T, D) and A (L, L), got {came}; give one number a step as x[..., None]"
        )
    D, L = x.shape[-1], len(A)
    for name, shape in {"C": (D, L), "Q": (L, L), "R": (D, D), "m0": (L,), "P0": (L, L)}.items():
        if name in system and system[name].shape != shape:
            raise ValueError(f"{name} must have shape {shape} for D={D} and L={L}, got {tuple(system[name].shape)}")
    for name in ("Q", "R", "P0"):
        if name in system and not torch.allclose(system[name], system[name].mT):
            raise ValueError(f"{name} must be symmetric, a covariance; give ({name} + {name}.mT) / 2")
