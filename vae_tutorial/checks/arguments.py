"""Further arguments for a function that is right on the fixed ones: of every size, far from the bulk, and fresh.

All are numbers of float32, so that a right function that computes in float32 is given the same ones.
"""

import torch
from torch import Tensor

from vae_tutorial.checks.answers import Arguments

SIZES = {"For one example": (1, 3), "For one number": (1, 1), "For 40 dimensions": (7, 40), "For 33 examples": (33, 2)}
FAR = {"mu": (3.0, 6.0, 8.0), "log_var": (3.0, 5.0, 8.0, 12.0, 15.0), "logits": (8.0, 25.0, 55.0, 90.0)}


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    numbers = low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)
    return numbers.float().double()


def fresh_encodings(shape: tuple[int, int], generator: torch.Generator) -> dict[str, Tensor]:
    mu = uniform(shape, -2.0, 2.0, generator)
    return {"mu": mu.requires_grad_(), "log_var": uniform(shape, -2.5, 1.5, generator).requires_grad_()}


def near_the_prior(generator: torch.Generator) -> dict[str, Tensor]:
    """Divergences of some thousandths of a nat."""
    mu, log_var = (uniform((4, 3), -0.05, 0.05, generator) for _ in range(2))
    return {"mu": mu.requires_grad_(), "log_var": log_var.requires_grad_()}


def far_encodings(generator: torch.Generator) -> dict[str, Tensor]:
    """Each row has one number that is far out, beside mild ones."""
    n_rows = 2 * sum(len(FAR[name]) for name in ("mu", "log_var"))
    found = {name: tensor.detach() for name, tensor in fresh_encodings((n_rows, 3), generator).items()}
    row = 0
    for name, tensor in found.items():
        for number in FAR[name]:
            for sign in (-1, 1):
                tensor[row, row % 3] = sign * number
                row += 1
    return {name: tensor.requires_grad_() for name, tensor in found.items()}


def with_points(encodings: dict[str, Tensor], generator: torch.Generator, reach: float) -> dict[str, Tensor]:
    """Points x within ``reach`` standard deviations of the means."""
    mu, log_var = (encodings[name].detach() for name in ("mu", "log_var"))
    x = mu + (0.5 * log_var).exp() * uniform(tuple(mu.shape), -reach, reach, generator)
    return {"x": x.float().double().requires_grad_(), **encodings}


def with_noise(encodings: dict[str, Tensor], n_samples: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Noise, K draws for each example or, where ``n_samples`` is 0, one without an axis of its own; some far out."""
    shape = tuple(encodings["mu"].shape)
    eps = torch.randn((n_samples, *shape) if n_samples else shape, generator=generator, dtype=torch.float64)
    flat = eps.view(-1)
    flat[0], flat[-1] = (4.5, -4.5) if len(flat) > 1 else (4.5, 4.5)
    return {**encodings, "eps": eps.float().double()}


def fresh_outcomes(shape: tuple[int, int], generator: torch.Generator) -> dict[str, Tensor]:
    logits = uniform(shape, -4.0, 4.0, generator)
    x = (uniform(shape, 0.0, 1.0, generator) > 0.5).double()
    return {"x": x, "logits": logits.requires_grad_()}


def far_outcomes(generator: torch.Generator) -> dict[str, Tensor]:
    """Each row has one logit that is far out, once with the probable outcome and once with the other."""
    rows = [sign * number for number in FAR["logits"] for sign in (-1, 1) for _ in range(2)]
    found = fresh_outcomes((len(rows), 3), generator)
    x, logits = found["x"], found["logits"].detach()
    for row, number in enumerate(rows):
        logits[row, row % 3], x[row, row % 3] = number, float(row % 2)
    return {"x": x, "logits": logits.requires_grad_()}


def fresh_log_weights(shape: tuple[int, int], generator: torch.Generator) -> Arguments:
    return {"log_w": uniform(shape, -30.0, 6.0, generator).requires_grad_()}
