r"""Annealed importance sampling: log p(x) by a path from the prior to the posterior, without an encoder.

Between the prior and the joint density lies the path :math:`f_t(z) = p(z) \, p_\theta(x \mid z)^{\beta_t}` with
:math:`0 = \beta_0 < \beta_1 < \dots < \beta_T = 1`. Chains of Hamiltonian Monte Carlo walk along it, and their weights
average to the ratio of the normalizers at its ends, p(x) (Neal, *Annealed Importance Sampling*, 2001; for deep models
Wu, Burda, Salakhutdinov and Grosse, *On the Quantitative Analysis of Decoder-Based Generative Models*, 2017).

Shapes: K chains, B examples, L latent dimensions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial._random import standard_noise, uniform_noise
from vae_tutorial._restoring import in_evaluation_mode
from vae_tutorial._validation import not_finite_allowed, require_count, require_finite, require_float, require_rows
from vae_tutorial.models import VAE, require_vae

N_PILOT = 8  # chains that find the step sizes
N_PILOT_MOVES = 200  # that each of them shares out among the temperatures, rounded down; one at least for each
TARGET = 0.65  # of the acceptance rate, where Hamiltonian moves are most efficient (Beskos et al., 2013)
RATE = 0.3  # of the step size's logarithm, for each unit of acceptance too much


def ais(
    model: VAE,
    x: Tensor,
    n_samples: int,
    *,
    n_steps: int,
    n_leapfrog: int = 10,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Log-weights of annealed importance sampling, from the prior to the posterior.

    .. math:: \log w = \sum_{t=1}^{T} (\beta_t - \beta_{t-1}) \log p_\theta(x \mid z_{t-1}),
        \qquad z_0 \sim p(z), \quad z_t \sim \kappa_t(z \mid z_{t-1})

    where the move :math:`\kappa_t` leaves :math:`f_t` invariant: one Hamiltonian trajectory, accepted or rejected. For
    any number of steps :math:`\mathbb{E}[w] = p_\theta(x)`; more steps make w vary less. The encoder plays no part.

    Step sizes are found for each example and temperature by a few chains that are thrown away afterwards: chosen
    by the chains themselves, they would bias the weights.

    Args:
        model: the VAE, of which only prior, decoder and likelihood are used; measured in evaluation mode, whatever its
            mode is, and left as it was.
        x: examples, shape (B, D).
        n_samples: K, chains for each example.
        n_steps: T, temperatures above 0: :math:`\beta_t = (t / T)^3`.
        n_leapfrog: leapfrog steps of a trajectory; each costs a pass through the decoder and back.
        generator: where the noise is drawn from; PyTorch's global one by default.

    Returns:
        Log-weights in nats, shape (K, B), in float64, without gradient. `~vae_tutorial.bounds.iwae_bound` makes of them
        the estimate of log p(x), `~vae_tutorial.bounds.effective_sample_size` says how many of the chains count.

    Raises:
        TypeError: ``model`` is not a VAE, ``x`` not a floating-point tensor, or ``generator`` not a generator.
        ValueError: ``x`` does not fit the model, one of the counts is not an integer of at least 1, or the model was
            made inside ``torch.inference_mode()``, where nothing has a gradient.

    Example:
        >>> import math
        >>> from vae_tutorial.bounds import iwae_bound
        >>> from vae_tutorial.likelihoods import normal
        >>> from vae_tutorial.reference import LinearGaussian
        >>> exact = LinearGaussian(torch.tensor([[1.0], [2.0]]), noise_var=0.5)
        >>> nothing = torch.nn.Identity()  # in the place of the encoder
        >>> model = VAE(nothing, exact.decoder(), 1, normal(math.log(0.5)))
        >>> x = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
        >>> generator = torch.Generator().manual_seed(0)
        >>> log_w = ais(model, x, 100, n_steps=50, generator=generator)
        >>> bool(abs(iwae_bound(log_w) - exact.log_marginal(x)) < 0.1)
        True
    """
    require_vae(model)
    require_rows(x=x)
    _require_dtype_of(model, x)
    require_count(n_samples=n_samples, n_steps=n_steps, n_leapfrog=n_leapfrog)
    with _walking(model):
        x, betas = _differentiable(x), _schedule(n_steps)
        step_sizes = _step_sizes(model, x, betas, n_leapfrog, generator)
        z = _from_prior(model, x, int(n_samples), generator)
        return _anneal(model, x, z, betas, step_sizes, n_leapfrog, generator)


def reverse_ais(
    model: VAE, x: Tensor, z: Tensor, *, n_steps: int, n_leapfrog: int = 10, generator: torch.Generator | None = None
) -> Tensor:
    r"""Log-weights of the same path walked backwards, from exact samples of the posterior to the prior.

    The weights then average to :math:`1 / p_\theta(x)`, so ``-iwae_bound(log_w)`` is an *upper* bound of log p(x) in
    expectation, where `ais` gives a lower one: the truth lies between (Grosse, Ghahramani and Adams, *Sandwiching the
    Marginal Likelihood Using Bidirectional Monte Carlo*, 2015). One exact sample is at hand for data drawn from the
    model itself: the z that x was made of.

    Args:
        model, x, n_steps, n_leapfrog, generator: as for `ais`.
        z: independent samples of :math:`p_\theta(z \mid x)`, shape (K, B, L).

    Returns:
        Log-weights in nats, shape (K, B), in float64, without gradient.

    Raises:
        TypeError: as `ais`, or ``z`` is not a floating-point tensor.
        ValueError: as `ais`, or ``z`` is not finite or does not have the shape (K, B, L).

    Example:
        >>> from vae_tutorial.bounds import iwae_bound
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, bernoulli, seed=0)
        >>> generator = torch.Generator().manual_seed(0)
        >>> z = torch.randn(5, 2, generator=generator)
        >>> x = bernoulli.sample(model.decode(z), generator)
        >>> log_w = reverse_ais(model, x, z[None], n_steps=20, generator=generator)
        >>> upper = -iwae_bound(log_w)
        >>> upper.shape
        torch.Size([5])
    """
    require_vae(model)
    require_float(z=z)
    require_finite(z=z)
    require_rows(x=x)
    _require_dtype_of(model, x)
    require_count(n_samples=len(z), n_steps=n_steps, n_leapfrog=n_leapfrog)
    if z.ndim != 3 or z.shape[1:] != (len(x), model.latent_dim):
        raise ValueError(f"z must have shape (K, B, L) = (K, {len(x)}, {model.latent_dim}), got {tuple(z.shape)}")
    with _walking(model):
        x, z, betas = _differentiable(x), _differentiable(z), _schedule(n_steps)
        step_sizes = _step_sizes(model, x, betas, n_leapfrog, generator)
        return _anneal(model, x, z, betas.flip(0), step_sizes.flip(0), n_leapfrog, generator)


@contextmanager
def _walking(model: VAE) -> Iterator[None]:
    """The model in evaluation mode, and gradients in z to be had, also where the caller has turned them off."""
    if any(weight.is_inference() for weight in (*model.parameters(), *model.buffers())):
        raise ValueError(
            "model was made inside torch.inference_mode(), and its weights take part in no gradient: make it outside"
        )
    with in_evaluation_mode(model), torch.inference_mode(False):
        yield


def _differentiable(value: Tensor) -> Tensor:
    """The same numbers for a function that is differentiated, also where they come from inference mode."""
    return value.clone() if value.is_inference() else value.detach()


def _require_dtype_of(model: VAE, x: Tensor) -> None:
    """The chains walk in the dtype of x, which the decoder's weights must have."""
    weights = next(model.decoder.parameters(), None) if isinstance(model.decoder, nn.Module) else None
    if weights is not None and x.dtype != weights.dtype:
        raise ValueError(f"x must have the dtype of the model, {weights.dtype}, got {x.dtype}: convert it by x.to(…)")


def _schedule(n_steps: int) -> Tensor:
    """The temperatures, T + 1 numbers from 0 to 1, close together near 0, where the first of the likelihood counts."""
    return torch.linspace(0, 1, int(n_steps) + 1, dtype=torch.float64) ** 3


class _State(NamedTuple):
    """Where the chains are, and what their next move needs to know of it."""

    z: Tensor  # (K, B, L)
    log_prior: Tensor  # log p(z), (K, B)
    log_likelihood: Tensor  # log p(x | z), (K, B)
    prior_gradient: Tensor  # of log p(z) in z, (K, B, L)
    gradient: Tensor  # of log p(x | z) in z, (K, B, L)


def _at(model: VAE, x: Tensor, z: Tensor) -> _State:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        log_prior, log_likelihood = model.log_prior(z), model.log_likelihood(x, z)
        prior_gradient, gradient = _gradient(log_prior, z), _gradient(log_likelihood, z)
    return _State(z.detach(), log_prior.detach(), log_likelihood.detach(), prior_gradient, gradient)


def _gradient(values: Tensor, z: Tensor) -> Tensor:
    """Of each value in its z; 0 where they do not depend on z, as under a collapsed posterior."""
    if not values.requires_grad:
        return torch.zeros_like(z)
    (gradient,) = torch.autograd.grad(values.sum(), z, allow_unused=True)
    return torch.zeros_like(z) if gradient is None else gradient


def _anneal(
    model: VAE,
    x: Tensor,
    z: Tensor,
    betas: Tensor,
    step_sizes: Tensor,
    n_leapfrog: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Log-weights of chains that start at ``z``; ``step_sizes`` holds one number for each inner temperature and x."""
    state = _at(model, x, z)
    log_w = torch.zeros_like(state.log_likelihood, dtype=torch.float64)
    inner = zip(betas[1:-1].tolist(), step_sizes, strict=True)
    for difference in betas.diff().tolist():
        log_w = log_w + difference * state.log_likelihood.double()  # float32 would round as often as there are steps
        if (move := next(inner, None)) is not None:  # none after the last: it would change no weight
            state, _ = _move(model, x, state, *move, n_leapfrog, generator)
    return log_w


def _move(
    model: VAE,
    x: Tensor,
    start: _State,
    beta: float,
    step_size: Tensor,
    n_leapfrog: int,
    generator: torch.Generator | None,
) -> tuple[_State, Tensor]:
    """One move of Hamiltonian Monte Carlo (Neal, 2011) at temperature beta, and its probability to be accepted.

    It leaves p(z) p(x | z)^beta invariant: the leapfrog map preserves volume and is its own inverse when the momentum
    is turned, and the rest is Metropolis. A trajectory that meets a point without a log-likelihood is rejected, which
    changes nothing in that: the way back meets the same points.
    """

    def minus_energy(state: _State, momentum: Tensor) -> Tensor:
        return state.log_prior + beta * state.log_likelihood - 0.5 * (momentum**2).sum(-1)

    momentum = standard_noise(start.z.shape, like=start.z, generator=generator)
    # Trajectories of one fixed length could all return to where they started: 2 pi is the period of N(0, I).
    jitter = 0.8 + 0.4 * uniform_noise(start.log_likelihood.shape, like=start.z, generator=generator)
    end, end_momentum, stable = _leapfrog(model, x, start, momentum, beta, step_size * jitter, n_leapfrog)
    log_ratio = minus_energy(end, end_momentum) - minus_energy(start, momentum)
    probability = torch.where(stable, log_ratio.clamp(max=0).exp(), 0.0)
    accepted = uniform_noise(probability.shape, like=start.z, generator=generator) < probability
    return _State(*(_where(accepted, new, old) for new, old in zip(end, start, strict=True))), probability


def _leapfrog(
    model: VAE, x: Tensor, start: _State, momentum: Tensor, beta: float, step: Tensor, n_leapfrog: int
) -> tuple[_State, Tensor, Tensor]:
    """Where the trajectories end, with what momentum, and which met only points with a log-likelihood, shape (K, B)."""

    def force(state: _State) -> Tensor:
        return state.prior_gradient + beta * state.gradient

    state, stable, step = start, torch.ones_like(start.log_likelihood, dtype=torch.bool), step.unsqueeze(-1)
    for _ in range(n_leapfrog):
        momentum = momentum + 0.5 * step * force(state)
        z = _where(stable, state.z + step * momentum, start.z)
        with not_finite_allowed():
            state = _at(model, x, z)
        stable = stable & (state.log_prior + state.log_likelihood).isfinite() & force(state).isfinite().all(-1)
        momentum = momentum + 0.5 * step * force(state)
    return state, momentum, stable


def _where(chosen: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(chosen.reshape(chosen.shape + (1,) * (new.ndim - chosen.ndim)), new, old)


def _step_sizes(model: VAE, x: Tensor, betas: Tensor, n_leapfrog: int, generator: torch.Generator | None) -> Tensor:
    """For each inner temperature and example the step at which pilot chains are accepted at about the target rate."""
    state = _at(model, x, _from_prior(model, x, N_PILOT, generator))
    log_step = torch.zeros_like(state.z[0, :, 0])  # a step of 1 suits the prior N(0, I)
    found = []
    for beta in betas[1:-1].tolist():
        for _ in range(max(1, N_PILOT_MOVES // len(betas))):
            state, probability = _move(model, x, state, beta, log_step.exp(), n_leapfrog, generator)
            log_step = log_step + RATE * (probability.mean(0) - TARGET)
        found.append(log_step.exp())
    return torch.stack(found) if found else log_step.new_empty(0, len(x))


def _from_prior(model: VAE, x: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    with torch.no_grad():
        return model.prior.sample((n, len(x), model.latent_dim), like=model.a_weight(), generator=generator)
