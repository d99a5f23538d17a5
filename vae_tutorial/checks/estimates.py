"""Checks of what is estimated with noise: samples, the ELBO, the importance-weighted bound."""

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.distributions import Normal

from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.compare import (
    TOLERANCE,
    Answer,
    Arguments,
    catalogue,
    compare,
    unused_noise,
)
from vae_tutorial.checks.exact import (
    iwae_by_decimals,
    linear_gaussian,
    linear_gaussian_elbo,
    log_weights,
    noisy_encodings,
)
from vae_tutorial.checks.spread import NAN_OF_LOG_VAR, compare_spread, log_variance
from vae_tutorial.models import VAE


def check_reparameterize(
    fn: Callable[[Tensor, Tensor, Tensor], Tensor], *, spread: Callable[[Tensor], Tensor] = log_variance
) -> Check:
    r"""Check your sampler :math:`z = \mu + \sigma \odot \varepsilon`, the noise given.

    The exact answer is a quantile: z lies in :math:`\mathcal{N}(\mu, \sigma^2)` where :math:`\varepsilon` lies in
    :math:`\mathcal{N}(0, 1)`, with the same probability below it.

    Args:
        fn: ``fn(mu, log_var, eps)`` gives z of the shape of ``eps``, for ``mu`` and ``log_var`` of shape (B, L) and
            ``eps`` of shape (B, L) or (K, B, L).
        spread: what your function takes in the place of ``log_var``: `log_variance`, `variance` or
            `standard_deviation`.

    Returns:
        The `Check`, of values and of gradients with respect to ``mu`` and ``log_var``.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> def wrong_sign(mu, log_var, eps):
        ...     return mu + (-0.5 * log_var).exp() * eps
        >>> check_reparameterize(wrong_sign).mistake
        'It equals μ + ε/σ: the exponent has the wrong sign.'
    """
    return compare_spread(
        spread,
        1,
        "z = μ + σε, values and gradients",
        ("your function", "the quantile of N(μ, σ²) that ε is of N(0, 1)"),
        fn,
        lambda mu, log_var, eps: Normal(mu, log_var.exp().sqrt()).icdf(Normal(0.0, 1.0).cdf(eps)),
        noisy_encodings(),
        known.REPARAMETERIZE,
        unit="",
        clue=lambda *answers: NAN_OF_LOG_VAR(*answers) or unused_noise(*answers),
    )


def check_elbo(fn: Callable[[VAE, Tensor, Tensor], Tensor]) -> Check:
    r"""Check your estimate of the evidence lower bound on a model where it is known exactly.

    The model is a `VAE` with a linear decoder and a Gaussian likelihood, whose ELBO `reference.LinearGaussian` gives.
    No Monte Carlo error stands between: here :math:`\log p(x \mid z)`, :math:`\log p(z)` and :math:`\log q(z \mid x)`
    are quadratic in the noise, and the average over the 2L points :math:`\pm \sqrt{L} \, e_l` is the exact
    expectation of every quadratic, since their mean is 0 and their second moment I. So both estimators, with
    the KL in closed form and with every term sampled, must equal the bound itself when they are given this noise.

    Args:
        fn: ``fn(model, x, eps)`` gives one value per example, shape (B,), for ``x`` of shape (B, D) and noise of shape
            (K, B, L): :math:`\frac1K \sum_k \log p_\theta(x \mid z^{(k)}) - \mathrm{KL}`. The model has the methods
            of `VAE`.

    Returns:
        The `Check`, of values and of gradients with respect to the encoder's and the decoder's parameters.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> from vae_tutorial.bounds import elbo
        >>> check_elbo(lambda model, x, eps: elbo(model, x, eps=eps)).passed
        True
        >>> check_elbo(lambda model, x, eps: -elbo(model, x, eps=eps)).mistake
        'It is the loss, −ELBO.'
    """
    return compare(
        "ELBO of a linear-Gaussian model, values and gradients",
        ("your function, noise chosen so that its average is exact", "linear-Gaussian algebra"),
        fn,
        linear_gaussian_elbo,
        [linear_gaussian(n_examples=5, x_dim=4, latent_dim=3), linear_gaussian(n_examples=4, x_dim=3, latent_dim=1)],
        catalogue(known.ELBO, known.BATCH_REDUCTIONS, {"": 1.0, "is the loss, −ELBO": -1.0}),
        known.ELBO_TERMS,
        clue=NAN_OF_LOG_VAR,
    )


def check_iwae_bound(fn: Callable[[Tensor], Tensor]) -> Check:
    r"""Check your importance-weighted bound :math:`\log \frac1K \sum_k w_k`, the log-weights given.

    The exact answer is the definition itself in decimal arithmetic of 50 digits, which has room for
    :math:`e^{-1000}`.

    Args:
        fn: ``fn(log_w)`` gives the bounds in nats, shape (B,), for log-weights of shape (K, B). Some of these are
            -1000 or 800: a function that takes their exponentials gives an infinite bound, in float64, too.

    Returns:
        The `Check`, of values and of gradients with respect to the log-weights: the normalized weights.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> import torch
        >>> from vae_tutorial.bounds import iwae_bound
        >>> check_iwae_bound(iwae_bound).passed
        True
        >>> check_iwae_bound(lambda log_w: torch.logsumexp(log_w, 0)).mistake
        'It is off by log K: the weights are summed, where they should be averaged.'
    """
    return compare(
        "Importance-weighted bound, values and gradients",
        ("your function", "decimal arithmetic of 50 digits"),
        fn,
        iwae_by_decimals,
        log_weights(),
        catalogue(known.IWAE, known.BATCH_REDUCTIONS, {"": 1.0, "is the loss, minus the bound": -1.0}),
        clue=_right_where_moderate,
    )


def _right_where_moderate(fn: Callable[..., Tensor], fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
    """The clue that a bound goes wrong only where the exponentials of the log-weights leave their range."""
    for arguments, answer in zip(fixtures[:-1], came[:-1], strict=True):  # the last ones are extreme
        if not (answer.value - iwae_by_decimals(**arguments)).abs().max() <= TOLERANCE:
            return ""
    return (
        "It is right for log-weights of a few nats, but not for −1000 and 800, whose exponentials are 0 and infinite: "
        "take the largest log-weight of each example out of them first, as torch.logsumexp does."
    )
