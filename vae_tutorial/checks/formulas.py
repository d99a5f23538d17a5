"""Checks of functions that are one formula: divergences and log-densities."""

from collections.abc import Callable

import torch
from torch import Tensor

from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.answers import Arguments
from vae_tutorial.checks.arguments import (
    FAR,
    SIZES,
    far_encodings,
    far_outcomes,
    fresh_encodings,
    fresh_outcomes,
    near_the_prior,
    with_points,
)
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.clues import (
    added_to_spread,
    clamped,
    first_of,
    floored,
    infinite,
    nan_cured_by,
    right_alone,
    rounded,
)
from vae_tutorial.checks.compare import compare
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import (
    binary_outcomes,
    encoded_points,
    encodings,
    kl_by_dimension,
    kl_by_quadrature,
    log_bernoulli_by_dimension,
    log_bernoulli_by_enumeration,
    log_normal_by_dimension,
    log_normal_by_quadrature,
)
from vae_tutorial.checks.further import At
from vae_tutorial.checks.naming import catalogue
from vae_tutorial.checks.spread import NAN_OF_LOG_VAR, compare_spread, log_variance


@public
def check_kl(
    fn: Callable[[Tensor, Tensor], Tensor], *, spread: Callable[[Tensor], Tensor] = log_variance, seed: int = 0
) -> Check:
    r"""Check your Kullback-Leibler divergence :math:`\mathrm{KL}(\mathcal{N}(\mu, \sigma^2) \,\|\, \mathcal{N}(0, I))`.

    The exact answer is the integral :math:`\int q(z) (\log q(z) - \log p(z)) \, dz`, summed over a grid in one, two and
    three dimensions; its gradients are those of that sum. A function that passes there is also called with one example
    and with 33, in one dimension and in 40, near the prior, and far out: means to ±8, log-variances to ±15.

    Args:
        fn: ``fn(mu, log_var)`` gives the divergences in nats, shape (B,), for arguments of shape (B, L).
        spread: what your function takes in the place of ``log_var``: `log_variance`, `variance` or
            `standard_deviation`.
        seed: of the further arguments; the first ones are the same for every seed.

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
        >>> check_kl(lambda mu, log_var: terms(mu, log_var).mean(-1)).mistake.partition(". ")[0]
        'It is averaged over the last axis, where it should be summed'
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
        catalogue(known.KL, known.REDUCTIONS, known.SIGNS | known.BITS),
        [known.KL_TERMS],
        clue=first_of(
            NAN_OF_LOG_VAR,
            clamped(kl_by_dimension, ENCODING_KNOBS),
            floored(kl_by_dimension),
            added_to_spread(known.KL_FAR),
            rounded(kl_by_dimension),
            right_alone(kl_by_dimension, "example", "dimension"),
        ),
        trials=lambda: _kl_trials(torch.Generator().manual_seed(seed)),
    )


def _kl_trials(generator: torch.Generator) -> list[At]:
    return [
        *(At(place, fresh_encodings(size, generator), kl_by_dimension) for place, size in SIZES.items()),
        At("Near the prior", near_the_prior(generator), kl_by_dimension),
        At("Far out", far_encodings(generator), kl_by_dimension),
    ]


@public
def check_log_normal(
    fn: Callable[[Tensor, Tensor, Tensor], Tensor],
    *,
    spread: Callable[[Tensor], Tensor] = log_variance,
    seed: int = 0,
) -> Check:
    r"""Check your log-density of a diagonal Gaussian, :math:`\log \mathcal{N}(x; \mu, \operatorname{diag} \sigma^2)`.

    The exact answer takes its shape :math:`\exp(-\tfrac12 \sum_d (x_d - \mu_d)^2 / \sigma_d^2)` for granted and no
    constant: it is normalized by quadrature. The further arguments are as for `check_kl`.

    Args:
        fn: ``fn(x, mu, log_var)`` gives log-densities in nats, shape (B,), for arguments of shape (B, D).
        spread: what your function takes in the place of ``log_var``: `log_variance`, `variance` or
            `standard_deviation`.
        seed: of the further arguments; the first ones are the same for every seed.

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
        catalogue(known.LOG_NORMAL, known.REDUCTIONS | known.NOT_A_LOGARITHM, known.SIGNS | known.BITS),
        [known.LOG_NORMAL_TERMS],
        clue=first_of(
            NAN_OF_LOG_VAR,
            clamped(log_normal_by_dimension, POINT_KNOBS),
            added_to_spread(known.LOG_NORMAL_FAR),
            infinite,
            rounded(log_normal_by_dimension),
            right_alone(log_normal_by_dimension, "example", "dimension"),
        ),
        trials=lambda: _log_normal_trials(torch.Generator().manual_seed(seed)),
    )


def _log_normal_trials(generator: torch.Generator) -> list[At]:
    sizes = {place: fresh_encodings(size, generator) for place, size in SIZES.items()}
    return [
        At(place, with_points(encodings, generator, reach=20.0 if "40" in place else 3.0), log_normal_by_dimension)
        for place, encodings in {**sizes, "Far out": far_encodings(generator)}.items()
    ]


@public
def check_log_bernoulli(fn: Callable[[Tensor, Tensor], Tensor], *, seed: int = 0) -> Check:
    r"""Check your log-probability of independent Bernoulli dimensions, given their logits.

    The exact answer is normalized by enumeration: the logit is the logarithm of the odds, so
    :math:`\log p(x) = x^\top \ell - \log \sum_{y \in \{0, 1\}^D} \exp(y^\top \ell)`.

    Args:
        fn: ``fn(x, logits)`` gives log-probabilities in nats, shape (B,), for binary ``x`` and ``logits`` of shape
            (B, D). The logits reach ±40, so a clamped sigmoid shows, and one that rounds to 1: it does so
            from a logit of 17 on in float32, of 37 in float64, and the logarithm of 1 minus that is −∞. Further ones
            reach ±90.
        seed: of the further arguments; the first ones are the same for every seed.

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
        catalogue(known.LOG_BERNOULLI, known.REDUCTIONS | known.NOT_A_LOGARITHM, known.SIGNS | known.BITS),
        [known.LOG_BERNOULLI_TERMS],
        clue=first_of(
            NAN_OF_LOGITS,
            clamped(log_bernoulli_by_dimension, LOGIT_KNOBS),
            infinite,
            rounded(log_bernoulli_by_dimension),
            right_alone(log_bernoulli_by_dimension, "example", "dimension"),
        ),
        trials=lambda: _log_bernoulli_trials(torch.Generator().manual_seed(seed)),
    )


def _log_bernoulli_trials(generator: torch.Generator) -> list[At]:
    return [
        *(At(place, fresh_outcomes(size, generator), log_bernoulli_by_dimension) for place, size in SIZES.items()),
        At("Far out", far_outcomes(generator), log_bernoulli_by_dimension),
    ]


NAN_OF_LOGITS = nan_cured_by(
    lambda arguments: {**arguments, "logits": arguments["logits"].detach().sigmoid().clamp(max=0.9)},
    "It returned NaN where logits lie outside [0, 1]: it takes them for probabilities, the sigmoid is missing.",
)


def rows(**numbers: tuple[float, ...]) -> Arguments:
    return {name: torch.tensor([row], dtype=torch.float64) for name, row in numbers.items()}


ENCODING_KNOBS = {
    "log σ²": (lambda t: rows(mu=(0.5, -0.3), log_var=(t, -0.4)), FAR["log_var"][-1]),
    "μ": (lambda t: rows(mu=(t, 0.5), log_var=(-0.3, -0.4)), FAR["mu"][-1]),
}
POINT_KNOBS = {
    "log σ²": (lambda t: rows(x=(1.0, 0.2), mu=(0.5, -0.3), log_var=(t, -0.4)), FAR["log_var"][-1]),
    "μ": (lambda t: rows(x=(1.0, 0.2), mu=(t, 0.5), log_var=(-0.3, -0.4)), FAR["mu"][-1]),
    "x": (lambda t: rows(x=(t, 0.2), mu=(0.4, 0.5), log_var=(-0.3, -0.4)), FAR["mu"][-1]),
}
LOGIT_KNOBS = {"the logit": (lambda t: rows(x=(0.0, 1.0), logits=(t, t)), FAR["logits"][-1])}
