"""Wrong versions of the importance-weighted bound."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vae_tutorial.checks.mistakes.ways import FLOORS


def _taking_out(log_w: Tensor, shift: Tensor) -> Tensor:
    """The logarithm of the mean weight, the exponentials taken after a subtraction."""
    return shift + (log_w - shift).exp().mean(0).log()


IWAE: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda log_w: log_w.logsumexp(0) - math.log(len(log_w)),
    "is off by log K: the weights are summed, where they should be averaged": lambda log_w: log_w.logsumexp(0),
    "subtracts log B, the number of examples, where log K belongs": (
        lambda log_w: log_w.logsumexp(0) - math.log(log_w.shape[1])
    ),
    "divides the logarithm by K, where the sum inside it is to be divided": (
        lambda log_w: log_w.logsumexp(0) / len(log_w)
    ),
    "is the ELBO: the mean is taken outside the logarithm": lambda log_w: log_w.mean(0),
    "sums the log-weights: neither their exponentials nor a mean is taken": lambda log_w: log_w.sum(0),
    "averages the log-weights by their softmax: the weights are to be averaged, then their logarithm taken": (
        lambda log_w: (log_w.softmax(0) * log_w).sum(0)
    ),
    "averages the log-weights by the softmax of their negatives: the worst draw counts most": (
        lambda log_w: ((-log_w).softmax(0) * log_w).sum(0)
    ),
    "is the largest log-weight": lambda log_w: log_w.amax(0),
    "uses only the first of the K samples": lambda log_w: log_w[0],
    "is in bits: the logarithm has base 2, where nats are expected": (
        lambda log_w: (log_w.logsumexp(0) - math.log(len(log_w))) / math.log(2)
    ),
    "averages over the examples, not over the samples: log-sum-exp is taken along the wrong axis": (
        lambda log_w: log_w.logsumexp(1) - math.log(log_w.shape[1])
    ),
    "takes log-sum-exp along the wrong axis, over the examples, and subtracts log K": (
        lambda log_w: log_w.logsumexp(1) - math.log(len(log_w))
    ),
    "takes log-sum-exp along the wrong axis, over the examples, and subtracts nothing": lambda log_w: log_w.logsumexp(
        1
    ),
    "turns the sign of the log-weights: they are taken for losses": (
        lambda log_w: (-log_w).logsumexp(0) - math.log(len(log_w))
    ),
    "turns the sign of the log-weights, inside and outside: −log mean 1/w is no lower bound": (
        lambda log_w: math.log(len(log_w)) - (-log_w).logsumexp(0)
    ),
    "turns the sign of the log-weights, and does not subtract log K": lambda log_w: (-log_w).logsumexp(0),
    "subtracts the largest log-weight and never adds it back": (
        lambda log_w: (log_w - log_w.amax(0)).logsumexp(0) - math.log(len(log_w))
    ),
    "begins its sum with 1, the exponential of 0, where 0 belongs": (
        lambda log_w: torch.logaddexp(log_w.logsumexp(0), torch.zeros_like(log_w[0])) - math.log(len(log_w))
    ),
    "is ½ log of the mean squared weight: an upper bound": (
        lambda log_w: 0.5 * ((2 * log_w).logsumexp(0) - math.log(len(log_w)))
    ),
    "adds log K, where it should subtract it": lambda log_w: log_w.logsumexp(0) + math.log(len(log_w)),
    "subtracts log K twice: once makes a mean of the sum": lambda log_w: log_w.logsumexp(0) - 2 * math.log(len(log_w)),
    "subtracts log(K + 1), where log K belongs": lambda log_w: log_w.logsumexp(0) - math.log(len(log_w) + 1),
    "subtracts K, where log K belongs": lambda log_w: log_w.logsumexp(0) - len(log_w),
    "subtracts log(K − 1), where log K belongs": lambda log_w: log_w.logsumexp(0) - math.log(max(1, len(log_w) - 1)),
    "averages over the whole batch: log-sum-exp is taken along both axes": (
        lambda log_w: (log_w.flatten().logsumexp(0) - math.log(log_w.numel())).expand(log_w.shape[1])
    ),
    "is the mean weight itself, where its logarithm is expected": lambda log_w: log_w.exp().mean(0),
    "overflows and underflows: exp(log_w) is infinite above 709 and 0 below −745 (in float32 above 88 and below −104); "
    "use torch.logsumexp": lambda log_w: log_w.exp().mean(0).log(),
    "overflows and underflows: exp(log_w) is infinite or 0; use torch.logsumexp. It is off by log K, too": (
        lambda log_w: log_w.exp().sum(0).log()
    ),
    "overflows: the mean log-weight is taken out of the exponentials, where the largest belongs": (
        lambda log_w: _taking_out(log_w, log_w.mean(0))
    ),
    "underflows: one maximum is taken out for the whole batch, where every example needs its own": (
        lambda log_w: _taking_out(log_w, log_w.max())
    ),
} | {
    f"saturates at −{-math.log(low):.2f} nats: {low:g} is added inside the logarithm; use torch.logsumexp": (
        lambda log_w, low=low: (log_w.exp().mean(0) + low).log()
    )
    for low in (*FLOORS, 1e-20, 1e-30, 1e-38)
}
