"""Checks of functions that are one formula: divergences and log-densities."""

from collections.abc import Callable

from torch import Tensor

from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.compare import (
    catalogue,
    compare,
    nan_cured_by,
)
from vae_tutorial.checks.exact import (
    binary_outcomes,
    encoded_points,
    encodings,
    kl_by_quadrature,
    log_bernoulli_by_enumeration,
    log_normal_by_quadrature,
)
from vae_tutorial.checks.spread import NAN_OF_LOG_VAR, compare_spread, log_variance


def check_kl(fn: Callable[[Tensor, Tensor], Tensor], *, spread: Callable[[Tensor], Tensor] = log_variance) -> Check:
    r"""Check your Kullback-Leibler divergence :math:`\mathrm{KL}(\mathcal{N}(\mu, \sigma^2) \,\|\, \mathcal{N}(0, I))`.

    The exact answer is the integral :math:`\int q(z) (\log q(z) - \log p(z)) \, dz`, summed over a grid in one, two and
    three dimensions; its gradients are those of that sum.

    Args:
        fn: ``fn(mu, log_var)`` gives the divergences in nats, shape (B,), for arguments of shape (B, L).
        spread: what your function takes in the place of ``log_var``: `log_variance`, `variance` or
            `standard_deviation`.

    Returns:
        The `Check`.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> from vae_tutorial.checks import variance
        >>> def terms(mu, log_var):
        ...     return 0.5 * (mu**2 + log_var.exp() - 1 - log_var)
        >>> check_kl(lambda mu, log_var: terms(mu, log_var).sum(-1)).passed
        True
        >>> check_kl(lambda mu, log_var: terms(mu, log_var).mean(-1)).mistake
        'It is averaged over the last axis, where it should be summed.'
        >>> def by_variance(mu, var):
        ...     return 0.5 * (mu**2 + var - 1 - var.log()).sum(-1)
        >>> check_kl(by_variance, spread=variance).passed
        True
    """
    return compare_spread(
        spread,
        1,
        "KL(N(μ, σ²) ‖ N(0, I)), values and gradients",
        ("your function", "quadrature of the defining integral"),
        fn,
        kl_by_quadrature,
        encodings((5, 3), (4, 2), (3, 1)),
        catalogue(known.KL, known.REDUCTIONS, known.SIGNS),
        known.KL_TERMS,
        clue=NAN_OF_LOG_VAR,
    )


def check_log_normal(
    fn: Callable[[Tensor, Tensor, Tensor], Tensor], *, spread: Callable[[Tensor], Tensor] = log_variance
) -> Check:
    r"""Check your log-density of a diagonal Gaussian, :math:`\log \mathcal{N}(x; \mu, \operatorname{diag} \sigma^2)`.

    The exact answer takes its shape :math:`\exp(-\tfrac12 \sum_d (x_d - \mu_d)^2 / \sigma_d^2)` for granted and no
    constant: it is normalized by quadrature.

    Args:
        fn: ``fn(x, mu, log_var)`` gives log-densities in nats, shape (B,), for arguments of shape (B, D).
        spread: what your function takes in the place of ``log_var``: `log_variance`, `variance` or
            `standard_deviation`.

    Returns:
        The `Check`.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> import math
        >>> def no_log_det(x, mu, log_var):
        ...     squares = (x - mu) ** 2 / log_var.exp()
        ...     return -0.5 * (math.log(2 * math.pi) + squares).sum(-1)
        >>> check_log_normal(no_log_det).mistake
        'It lacks −½ Σlog σ²: the density integrates to Πσ.'
    """
    return compare_spread(
        spread,
        2,
        "log N(x; μ, σ²), values and gradients",
        ("your function", "quadrature of the normalizing constant"),
        fn,
        log_normal_by_quadrature,
        encoded_points((5, 3), (4, 2), (3, 1)),
        catalogue(known.LOG_NORMAL, known.REDUCTIONS | known.NOT_A_LOGARITHM, known.SIGNS),
        known.LOG_NORMAL_TERMS,
        clue=NAN_OF_LOG_VAR,
    )


def check_log_bernoulli(fn: Callable[[Tensor, Tensor], Tensor]) -> Check:
    r"""Check your log-probability of independent Bernoulli dimensions, given their logits.

    The exact answer is normalized by enumeration: the logit is the logarithm of the odds, so
    :math:`\log p(x) = x^\top \ell - \log \sum_{y \in \{0, 1\}^D} \exp(y^\top \ell)`.

    Args:
        fn: ``fn(x, logits)`` gives log-probabilities in nats, shape (B,), for binary ``x`` and ``logits`` of shape
            (B, D). The logits reach ±40, so a clamped sigmoid shows, and one that rounds to 1: it does so
            from a logit of 17 on in float32, of 37 in float64, and the logarithm of 1 minus that is −∞.

    Returns:
        The `Check`.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> def naive(x, logits):
        ...     p = logits.sigmoid()
        ...     return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)
        >>> check = check_log_bernoulli(naive)
        >>> check.gap, "a sigmoid that rounds to 1" in check.mistake
        (inf, True)
    """
    return compare(
        "log p(x) of independent Bernoulli dimensions, values and gradients",
        ("your function", "enumeration of all binary vectors"),
        fn,
        log_bernoulli_by_enumeration,
        binary_outcomes((5, 4), (4, 3), (3, 1)),
        catalogue(known.LOG_BERNOULLI, known.REDUCTIONS | known.NOT_A_LOGARITHM, known.SIGNS),
        clue=nan_cured_by(
            lambda arguments: {**arguments, "logits": arguments["logits"].detach().sigmoid().clamp(max=0.9)},
            "It returned NaN where logits lie outside [0, 1]: it takes them for probabilities, the sigmoid is missing.",
        ),
    )
