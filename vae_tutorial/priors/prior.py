"""What a `VAE` asks of its prior."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from vae_tutorial._validation import require_float
from vae_tutorial.posteriors import Posterior


class Encoding(Protocol):
    """What a prior may use of the model that it belongs to: the encoder, and the family of its posteriors."""

    posterior: Posterior

    def encode(self, x: Tensor) -> tuple[Tensor, ...]: ...


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

    def attach(self, model: Encoding) -> None:
        """A `VAE` that is given this prior calls it; `VampPrior` needs the encoder, the others do nothing."""

    def belongs_to(self) -> Encoding | None:
        """The model that this prior computes with, whose weights are not among its own; None: with none."""
        return None


def require_points(z: Tensor, latent_dim: int) -> None:
    """The points have as many latent dimensions as the prior."""
    require_float(z=z)
    if z.shape[-1] != latent_dim:
        raise ValueError(
            f"z must have the {latent_dim} latent dimensions of the prior (last axis), got {tuple(z.shape)}"
        )
