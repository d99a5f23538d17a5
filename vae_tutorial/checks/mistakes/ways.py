"""What may be done wrong with any function: reductions, factors, activations over the arguments."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# What may be done wrong with one value per example, shape (B,), and with one per example and dimension, shape (B, L).
# In these tables and those below, the right way stands under "".
BATCH_REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda t: t,
    "is averaged over the batch: one value per example is expected": lambda t: t.mean(),
    "is summed over the batch: one value per example is expected": lambda t: t.sum(),
    "is the sum over the whole batch, once for each example": lambda t: t.sum().expand(len(t)),
    "is the mean over the whole batch, once for each example": lambda t: t.mean().expand(len(t)),
    "keeps a last axis of length 1: one value per example is expected": lambda t: t[:, None],
    "is divided by the number of examples: the mean over the batch is taken later, once": lambda t: t / len(t),
}
REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    clause: lambda t, reduce=reduce: reduce(t.sum(-1)) for clause, reduce in BATCH_REDUCTIONS.items()
} | {
    "is averaged over the last axis, where it should be summed": lambda t: t.mean(-1),
    "is not summed over the last axis: one value per example is expected": lambda t: t,
    "is averaged over all entries: sum the last axis, and keep one value per example": lambda t: t.mean(),
    "is summed over the batch axis instead of the last": lambda t: t.sum(0),
}
SIGNS = {"": 1.0, "has the opposite sign": -1.0}
BITS = {"is in bits: divided by log 2, where nats are expected": 1 / math.log(2)}
NOT_A_LOGARITHM = {"is the probability or density itself, where its logarithm is expected": lambda t: t.sum(-1).exp()}


# What a learner writes to keep a logarithm finite; torch's own distributions use the two machine epsilons.
FLOORS = *(10.0**-k for k in range(3, 11)), 1e-12, torch.finfo(torch.float32).eps, torch.finfo(torch.float64).eps


# What is put over a head that may be any number.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "softplus": F.softplus,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "abs": torch.abs,
    "elu": F.elu,
    "−relu(−·)": lambda t: -F.relu(-t),
}


def activated(fn: Callable[..., Tensor], at: int) -> dict[str, Callable[..., Tensor]]:
    """A function of means and log-variances with an activation over log_var, argument number ``at``, or over mu."""

    def over(place: int, activation: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        return lambda *given: fn(*given[:place], activation(given[place]), *given[place + 1 :])

    log_vars = {
        f"applies {name} to log_var: a log-variance may be any number, so nothing belongs over it": over(at, activation)
        for name, activation in ACTIVATIONS.items()
    }
    means = {
        f"applies {name} to mu: a mean may be any number, so nothing belongs over it": over(at - 1, activation)
        for name, activation in ACTIVATIONS.items()
        if name != "abs"  # which squares undo
    }
    return log_vars | means
