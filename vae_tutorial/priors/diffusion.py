"""The prior that takes noise away, step by step: a diffusion model of z."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from vae_tutorial import formulas
from vae_tutorial._random import initial_weights, standard_noise, uniform_noise
from vae_tutorial._validation import (
    require_count,
    require_finite,
    require_finite_result,
    require_float,
    require_number,
    require_rows,
    require_seed,
)
from vae_tutorial.priors.prior import Prior, require_points

LogSnr = Tensor | float


def log_snrs(points: Tensor, **named: LogSnr) -> list[Tensor]:
    """Each log-SNR, one number or one for each point, as a tensor that broadcasts against the points."""
    found = []
    for name, value in named.items():
        if not isinstance(value, Tensor):
            found.append(points.new_full((1,), require_number(**{name: value})))
            continue
        if value.ndim == 0:
            require_number(**{name: value.detach().item()})
        else:
            require_float(**{name: value})
            require_finite(**{name: value})
            if value.shape != (expected := points.shape[:-1]):
                raise ValueError(f"{name} must be one number, or of shape {tuple(expected)}, got {tuple(value.shape)}")
        found.append(value.to(points).unsqueeze(-1))
    return found


class DiffusionPrior(Prior):
    r"""A prior that turns noise into z, step by step, by a network that has learned to take noise away.

    One network has two densities. That of the *chain* of steps is bounded by `bound`, which is what is trained. That
    of the *probability flow*, an ordinary differential equation without noise (Song et al., *Score-Based Generative
    Modeling through Stochastic Differential Equations*, 2021), is `log_prob`, and `sample` draws from it:

    .. math:: \frac{dz}{d\lambda} = -\tfrac12 \, \alpha \sigma \, v_\theta(z, \lambda), \qquad
        \hat x_\theta = \alpha z - \sigma v_\theta

    from :math:`\mathcal{N}(0, I)` at :math:`\lambda_T` to :math:`\lambda_0`, with the network's v of Salimans and Ho
    (*Progressive Distillation for Fast Sampling of Diffusion Models*, 2022). Both densities are that of the data where
    :math:`\hat x` is the true mean. To begin with v is 0, and the prior :math:`\mathcal{N}(0, I)`.

    Args:
        latent_dim: L.
        hidden_dim: the width of the network's hidden layers.
        n_layers: how many there are.
        log_snr: :math:`\lambda_0` and :math:`\lambda_T`. Noise of :math:`e^{-\lambda_0 / 2}` standard deviations stays.
        n_steps: how many steps of Runge and Kutta the differential equation takes.
        seed: of the weights to begin with.

    Attributes:
        network: gives v of z and five numbers that tell :math:`\lambda`.
        shift, scale: z is ``shift + scale`` times what the network sees, each of shape (L,); 0 and 1 to begin with, and
            set by `standardize`.

    Raises:
        TypeError: ``seed`` is not an integer, or a log-SNR no number.
        ValueError: a size is not an integer of at least 1, or ``log_snr`` not two falling numbers.

    Example:
        >>> prior = DiffusionPrior(2, 16, seed=0)
        >>> prior.log_prob(torch.zeros(1, 2))  # to begin with, -log 2 pi
        tensor([-1.8379], grad_fn=<SubBackward0>)
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        latent_dim: int,
        hidden_dim: int,
        n_layers: int = 2,
        log_snr: Sequence[float] = (8.0, -8.0),
        n_steps: int = 32,
        *,
        seed: int,
    ) -> None:
        super().__init__()
        require_count(latent_dim=latent_dim, hidden_dim=hidden_dim, n_layers=n_layers, n_steps=n_steps)
        self.latent_dim, self.hidden_dim, self.n_layers = int(latent_dim), int(hidden_dim), int(n_layers)
        self.n_steps, self.seed = int(n_steps), require_seed(seed=seed)
        if not isinstance(log_snr, Sequence) or len(log_snr) != 2:
            raise ValueError(f"log_snr must be two numbers in a pair, such as (8.0, -8.0), got {log_snr!r}")
        self.log_snr = require_number(log_snr=log_snr[0]), require_number(log_snr=log_snr[1])
        if not self.log_snr[0] > self.log_snr[1]:
            raise ValueError(f"log_snr must be two numbers, the larger one first, got {log_snr!r}")
        with initial_weights(self.seed):
            widths = (self.latent_dim + 5, *[self.hidden_dim] * self.n_layers, self.latent_dim)
            layers = [layer for ends in pairwise(widths) for layer in (nn.Linear(*ends), nn.SiLU())]
            self.network = nn.Sequential(*layers[:-1])
        for parameter in self.network[-1].parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("shift", torch.zeros(self.latent_dim))
        self.register_buffer("scale", torch.ones(self.latent_dim))

    def standardize(self, z: Tensor) -> None:
        """Let the network see z as the columns of these codes, shape (N, L), would have mean 0 and variance 1."""
        require_rows(z=z)
        require_points(z, self.latent_dim)
        scale = z.detach().std(0, correction=min(1, len(z) - 1))
        if not bool((scale > 0).all()):
            raise ValueError("z must vary in each dimension; give at least two codes, drawn from q(z | x)")
        self.shift.copy_(z.detach().mean(0))
        self.scale.copy_(scale)

    def _said(self, z: Tensor, at: Tensor) -> Tensor:
        """What the network says of points and log-SNRs, whose last axis has length 1."""
        told = torch.cat([*formulas.alpha_sigma(at), at / 8, torch.sin(at), torch.cos(at)], -1)
        said: Tensor = self.network(torch.cat([z, told.expand(*z.shape[:-1], 5)], -1))
        return said

    def _velocity(self, z: Tensor, at: Tensor) -> Tensor:
        return self._said(z, at)

    def _denoised(self, z: Tensor, at: Tensor) -> Tensor:
        alpha, sigma = formulas.alpha_sigma(at)
        return alpha * z - sigma * self._said(z, at)

    def denoise(self, z_t: Tensor, log_snr: LogSnr) -> Tensor:
        r""":math:`\hat x_\theta(z_t, \lambda_t)` for standardized points, shape (..., L); one log-SNR, or one each."""
        require_points(z_t, self.latent_dim)
        (at,) = log_snrs(z_t, log_snr=log_snr)
        return require_finite_result(self._denoised(z_t, at), z_t=z_t)

    def path_kl(self, x: Tensor, n_steps: int | None = None, *, generator: torch.Generator | None = None) -> Tensor:
        r"""Unbiased estimates of what all the steps of a standardized point cost, from one draw for each point.

        .. math:: \begin{aligned} & \mathrm{KL}\bigl(q(z_0, \dots, z_T \mid x) \,\|\, p(z_0, \dots, z_T)\bigr) \\
            &= \mathrm{KL}\bigl(q(z_T \mid x) \,\|\, p(z_T)\bigr) \\
            &+ \mathbb{E} \int_{\lambda_T}^{\lambda_0} \tfrac12 e^\lambda \lVert x - \hat x(z_\lambda, \lambda) \rVert^2
            \, d\lambda \end{aligned}

        (Kingma et al., 2021.) That is the limit of many steps; with T of them, equal in :math:`\lambda`, the integral
        is a sum of `step_kl`, of which one term at random is drawn and multiplied by T. The log-SNRs of all points are
        spread evenly, which makes the mean over them less noisy.

        Args:
            x: points, shape (..., L).
            n_steps: T; None for the limit.
            generator: where the noise is drawn from.

        Returns:
            Nats, shape (...).
        """
        require_points(x, self.latent_dim)
        start, end = self.log_snr
        shape = x.shape[:-1]
        order = uniform_noise((shape.numel(),), like=x, generator=generator).argsort()
        place = (order + uniform_noise((1,), like=x, generator=generator)) / len(order)  # in (0, 1), evenly
        place = place.view(*shape, 1)
        if n_steps is None:
            at = start + (end - start) * place
            weight = 0.5 * (start - end) * at.exp()
        else:
            require_count(n_steps=n_steps)
            step = (place * n_steps).floor().clamp(max=n_steps - 1)
            before, at = (start + (end - start) * t / n_steps for t in (step, step + 1))
            weight = n_steps * formulas.half_snr_gap(before, at)
        alpha, sigma = formulas.alpha_sigma(at)
        z = alpha * x + sigma * standard_noise(x.shape, like=x, generator=generator)
        steps = (weight * (x - self._denoised(z, at)).square()).sum(-1)
        alpha, sigma = formulas.alpha_sigma(torch.full_like(x, end))
        return require_finite_result(steps + formulas.kl_standard_normal(alpha * x, 2 * sigma.log()), x=x)

    def bound(self, z: Tensor, n_steps: int | None = None, *, generator: torch.Generator | None = None) -> Tensor:
        r"""Unbiased estimates of a lower bound of the chain's log p(z), where the last step has
        :math:`p(z \mid z_0) = \mathcal{N}(z_0 / \alpha_0, \, e^{-\lambda_0} I)`; arguments as for `path_kl`."""
        require_points(z, self.latent_dim)
        require_finite(z=z)
        reached = 0.5 * self.latent_dim * (self.log_snr[0] - math.log(2 * math.pi * math.e))
        path_kl = self.path_kl((z - self.shift) / self.scale, n_steps, generator=generator)
        return reached - path_kl - self.scale.log().sum()

    def log_prob(self, z: Tensor) -> Tensor:
        require_points(z, self.latent_dim)
        u, grown = self._flow((z - self.shift) / self.scale, *self.log_snr, with_trace=True)
        log_p = formulas.log_standard_normal(u) + grown - self.scale.log().sum()
        return require_finite_result(log_p, z=z)

    def sample(self, shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        eps = standard_noise(shape, like=like, generator=generator)
        require_points(eps, self.latent_dim)
        return self.shift + self.scale * self._flow(eps, *self.log_snr[::-1], with_trace=False)[0]

    def _slope(self, z: Tensor, log_snr: float, with_trace: bool) -> tuple[Tensor, Tensor]:
        """dz / dlambda, and the trace of its Jacobian, which is how fast a small volume grows."""
        at = z.new_full((1,), log_snr)
        alpha, sigma = formulas.alpha_sigma(at)

        def slope(z: Tensor) -> Tensor:
            return -0.5 * alpha * sigma * self._velocity(z, at)

        if not with_trace:
            return slope(z), z.new_zeros(z.shape[:-1])
        wanted = torch.is_grad_enabled()
        with torch.enable_grad():
            z = z if z.requires_grad else z.detach().requires_grad_()
            value = slope(z)
            rows = (
                torch.autograd.grad(column.sum(), z, retain_graph=True, create_graph=wanted)[0]
                for column in value.unbind(-1)
            )
            trace = torch.stack([row[..., i] for i, row in enumerate(rows)]).sum(0)
        return (value, trace) if wanted else (value.detach(), trace.detach())

    def _flow(self, z: Tensor, start: float, end: float, with_trace: bool) -> tuple[Tensor, Tensor]:
        """From one log-SNR to another by the fourth-order method of Runge and Kutta; z, and how its log-volume grew."""
        h, grown = (end - start) / self.n_steps, z.new_zeros(z.shape[:-1])
        for i in range(self.n_steps):
            at = start + i * h
            z_1, t_1 = self._slope(z, at, with_trace)
            z_2, t_2 = self._slope(z + 0.5 * h * z_1, at + 0.5 * h, with_trace)
            z_3, t_3 = self._slope(z + 0.5 * h * z_2, at + 0.5 * h, with_trace)
            z_4, t_4 = self._slope(z + h * z_3, at + h, with_trace)
            z = z + h / 6 * (z_1 + 2 * z_2 + 2 * z_3 + z_4)
            grown = grown + h / 6 * (t_1 + 2 * t_2 + 2 * t_3 + t_4)
        return z, grown

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}, log_snr={self.log_snr}"


class BitDiffusion(DiffusionPrior):
    r"""A `DiffusionPrior` of points whose dimensions are all near −1 or 1, such as black and white pixels.

    .. math:: \hat x = \tanh\Bigl( \frac{\alpha z}{\sigma^2} + f_\theta(z, \lambda) \Bigr)

    is the mean of a bit by Bayes' theorem: the first term is half the log-odds that its own noisy value gives it, and
    the network adds what the other bits say. To begin with f is 0, and all bits are fair and independent.

    Example:
        >>> BitDiffusion(3, 8, log_snr=(3.0, -9.0), seed=0).denoise(torch.tensor([[0.0, 0.5, 5.0]]), 0.0)
        tensor([[0.0000, 0.6089, 1.0000]], grad_fn=<TanhBackward0>)
    """

    def _denoised(self, z: Tensor, at: Tensor) -> Tensor:
        alpha, sigma = formulas.alpha_sigma(at)
        return torch.tanh(alpha * z / sigma**2 + self._said(z, at))

    def _velocity(self, z: Tensor, at: Tensor) -> Tensor:
        alpha, sigma = formulas.alpha_sigma(at)
        return (alpha * z - self._denoised(z, at)) / sigma
