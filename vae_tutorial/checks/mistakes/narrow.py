"""What shows only where σ is small: numbers added to it, and floors."""

import math
from collections.abc import Callable

from torch import Tensor

from vae_tutorial.checks.mistakes.densities import LOG_NORMAL
from vae_tutorial.checks.mistakes.divergence import KL
from vae_tutorial.formulas import LOG_2PI

_ADDED = tuple(10.0**-k for k in range(2, 11))

KL_FAR: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    clause: wrong
    for c in _ADDED
    for clause, wrong in {
        f"adds {c:g} to σ² inside the logarithm": (
            lambda mu, log_var, c=c: 0.5 * (mu**2 + log_var.exp() - 1 - (log_var.exp() + c).log()).sum(-1)
        ),
        f"adds {c:g} to σ inside the logarithm": (
            lambda mu, log_var, c=c: 0.5 * (mu**2 + log_var.exp() - 1 - 2 * ((0.5 * log_var).exp() + c).log()).sum(-1)
        ),
        f"does not let σ² fall below {c:g}": lambda mu, log_var, c=c: KL[""](mu, log_var.clamp(min=math.log(c))).sum(
            -1
        ),
        f"adds {c:g} to σ²": lambda mu, log_var, c=c: KL[""](mu, (log_var.exp() + c).log()).sum(-1),
        f"adds {c:g} to σ": lambda mu, log_var, c=c: KL[""](mu, 2 * ((0.5 * log_var).exp() + c).log()).sum(-1),
    }.items()
}
LOG_NORMAL_FAR: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    clause: wrong
    for c in _ADDED
    for clause, wrong in {
        f"adds {c:g} to σ²": (lambda x, mu, log_var, c=c: LOG_NORMAL[""](x, mu, (log_var.exp() + c).log()).sum(-1)),
        f"adds {c:g} to σ": (
            lambda x, mu, log_var, c=c: LOG_NORMAL[""](x, mu, 2 * ((0.5 * log_var).exp() + c).log()).sum(-1)
        ),
        f"does not let σ² fall below {c:g}": (
            lambda x, mu, log_var, c=c: LOG_NORMAL[""](x, mu, log_var.clamp(min=math.log(c))).sum(-1)
        ),
        f"adds {c:g} to the σ² that (x − μ)² is divided by": (
            lambda x, mu, log_var, c=c: -0.5 * (LOG_2PI + log_var + (x - mu) ** 2 / (log_var.exp() + c)).sum(-1)
        ),
    }.items()
}
