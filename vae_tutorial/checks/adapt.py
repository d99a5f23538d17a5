"""Functions with the signatures of other courses, as ones that the checks can call."""

import inspect
import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from vae_tutorial.checks.answers import Function, Unusable, as_numbers
from vae_tutorial.checks.given_noise import GivenNoise
from vae_tutorial.models import VAE


def positional(fn: Callable[..., Any]) -> list[inspect.Parameter]:
    """The positional parameters of a function; none where it does not tell, as some written in C."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def required(fn: Callable[..., Any]) -> list[str]:
    """The names of those that it must be given."""
    return [p.name for p in positional(fn) if p.default is p.empty]


def sampler_without_noise(fn: Function) -> Function:
    """``sample(mu, log_var)``, which draws for itself, as ``sample(mu, log_var, eps)``."""
    if not callable(fn) or len(required(fn)) != 2:
        return fn

    def draw(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
        with GivenNoise(eps) as noise:
            z: Any = fn(mu, log_var)
        if not noise.used and z is not ...:
            raise Unusable(
                "drew no Gaussian noise of the shape of mu by torch.randn, torch.randn_like, torch.normal or rsample: "
                "z is to be μ + σε. To have it checked with other noise, take eps as a third argument."
            )
        return as_numbers(z)

    @wraps(fn)
    def sample(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
        if eps.ndim == mu.ndim:
            return draw(mu, log_var, eps)
        return torch.stack([draw(mu, log_var, one) for one in eps])

    return sample


def loss_of_four(fn: Function) -> Function:
    """``loss(x_hat, x, mu, log_var)`` as a bound of model, x and noise: minus its mean over the draws."""
    if not callable(fn) or len(required(fn)) != 4:
        return fn

    @wraps(fn)
    def bound(model: VAE, x: Tensor, eps: Tensor) -> Tensor:
        mu, log_var = model.encode(x)
        x_hat = model.decode(mu + (0.5 * log_var).exp() * eps)

        def loss(k: int, i: slice) -> Tensor:
            try:
                found = fn(x_hat[k, i], x[i], mu[i], log_var[i])
            except RuntimeError as error:
                if "between 0 and 1" not in str(error):
                    raise
                raise Unusable(
                    "takes x_hat for probabilities, where the model's likelihood is Gaussian and x_hat its mean: "
                    "take a function of model, x and eps, which calls model.log_likelihood(x, z)."
                ) from error
            return as_numbers(found[0] if isinstance(found, (tuple, list)) else found).reshape(())

        rows = [slice(i, i + 1) for i in range(len(x))]
        return -torch.stack([torch.stack([loss(k, i) for k in range(len(eps))]).mean() for i in rows])

    return bound


def variance_of_loss(fn: Callable[..., Any]) -> float | None:
    """The σ² for which (x − x̂)² / 2σ² is what a loss of four arguments adds for a pixel; None where there is none."""
    x, encoding = torch.zeros(1, 4, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
    found = [fn(x_hat, x, encoding, encoding.clone()) for x_hat in (x + 1, x.clone())]
    far, near = (as_numbers(loss[0] if isinstance(loss, (tuple, list)) else loss) for loss in found)
    noise_var: float = (x.numel() / (2 * (far - near))).item()
    return noise_var if 0 < noise_var < math.inf else None


def with_last(fn: Callable[..., Any], number: float) -> Function:
    """The function of tensors alone: its last argument is this number."""
    if not callable(fn):
        return fn

    @wraps(fn)
    def at_number(*given: Tensor) -> Any:
        return fn(*given, number)

    return at_number
