"""Checks of what is estimated with noise: samples, the ELBO, the importance-weighted bound."""

from collections.abc import Callable, Sequence
from contextlib import suppress

import torch
from torch import Tensor
from torch.distributions import Normal

from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.adapt import loss_of_four, sampler_without_noise, variance_of_loss
from vae_tutorial.checks.answers import TOLERANCE, Answer, Arguments, Function, evaluate, quarantine, same
from vae_tutorial.checks.arguments import FAR, far_encodings, fresh_encodings, fresh_log_weights, with_noise
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.clues import ALONE, Clue, clamped, first_of, no_clue, right_alone, rounded, unused_noise
from vae_tutorial.checks.compare import compare
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import (
    NOISE_VAR,
    far_out,
    iwae_by_decimals,
    linear_gaussian,
    linear_gaussian_elbo,
    log_weights,
    noisy_encodings,
    sample_by_quantile,
    with_encoding,
)
from vae_tutorial.checks.formulas import ENCODING_KNOBS, rows
from vae_tutorial.checks.further import At, Trial
from vae_tutorial.checks.losses import floored_kl, loss_from_parts
from vae_tutorial.checks.naming import catalogue
from vae_tutorial.checks.noise import Nodes, own_noise, rotated
from vae_tutorial.checks.spread import NAN_OF_LOG_VAR, compare_spread, log_variance


@public
def check_reparameterize(
    fn: Callable[..., Tensor], *, spread: Callable[[Tensor], Tensor] = log_variance, seed: int = 0
) -> Check:
    r"""Check your sampler :math:`z = \mu + \sigma \odot \varepsilon`, the noise given.

    The exact answer is a quantile: z lies in :math:`\mathcal{N}(\mu, \sigma^2)` where :math:`\varepsilon` lies in
    :math:`\mathcal{N}(0, 1)`, with the same probability below it.

    Args:
        fn: ``fn(mu, log_var, eps)`` gives z of the shape of ``eps``, for ``mu`` and ``log_var`` of shape (B, L) and
            ``eps`` of shape (B, L) or (K, B, L). One that takes no ``eps`` and draws its noise itself is called with
            PyTorch's random functions replaced by ones that give the noise of the check.
        spread: what your function takes in the place of ``log_var``: `log_variance`, `variance` or
            `standard_deviation`.
        seed: of the further arguments; the first ones are the same for every seed.

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
        sampler_without_noise(fn),
        lambda mu, log_var, eps: Normal(mu, log_var.exp().sqrt()).icdf(Normal(0.0, 1.0).cdf(eps)),
        noisy_encodings(),
        known.REPARAMETERIZE,
        [known.REPARAMETERIZE_TERMS],
        unit="",
        clue=first_of(
            NAN_OF_LOG_VAR,
            unused_noise,
            clamped(sample_by_quantile, NOISE_KNOBS),
            rounded(sample_by_quantile),
            right_alone(sample_by_quantile, "example", "draw", "dimension"),
        ),
        trials=lambda: _sampler_trials(torch.Generator().manual_seed(seed)),
    )


def _sampler_trials(generator: torch.Generator) -> list[At]:
    sizes = {
        "For one draw": ((5, 3), 1),
        "For one example": ((1, 3), 4),
        "For one number": ((1, 1), 1),
        "For one number without an axis of draws": ((1, 1), 0),
        "For 40 dimensions": ((2, 40), 3),
        "For 40 draws": ((3, 2), 40),
    }
    further = {place: (fresh_encodings(size, generator), n_draws) for place, (size, n_draws) in sizes.items()}
    further["Far out"] = far_encodings(generator), 2
    return [
        At(place, with_noise(encodings, n_draws, generator), sample_by_quantile)
        for place, (encodings, n_draws) in further.items()
    ]


NOISE_KNOBS = {
    name: (lambda t, knob=knob: {**knob(t), **rows(eps=(1.1, -0.7))}, far)
    for name, (knob, far) in ENCODING_KNOBS.items()
} | {"ε": (lambda t: rows(mu=(0.5, -0.3), log_var=(0.3, -0.4), eps=(t, -0.7)), 4.5)}


@public
def check_elbo(fn: Callable[..., Tensor], *, seed: int = 0) -> Check:
    r"""Check your estimate of the evidence lower bound on a model where it is known exactly.

    The model is a `VAE` with a linear decoder and a Gaussian likelihood, whose ELBO `reference.LinearGaussian` gives.
    No Monte Carlo error stands between: here :math:`\log p(x \mid z)`, :math:`\log p(z)` and :math:`\log q(z \mid x)`
    are quadratic in the noise, and the average over the 2L points :math:`\pm \sqrt{L} \, e_l` is the exact
    expectation of every quadratic, since their mean is 0 and their second moment I. So both estimators, with
    the KL in closed form and with every term sampled, must equal the bound itself when they are given this noise.

    A function that passes there is called with other sizes, with encodings far out, and with random noise: then the
    value of an example must be the mean of what its draws give one by one. Last, on a decoder that is not linear, its
    mean over the noise must be the bound; there both are found by quadrature.

    Args:
        fn: ``fn(model, x, eps)`` gives one value per example, shape (B,), for ``x`` of shape (B, D) and noise of shape
            (K, B, L): :math:`\frac1K \sum_k \log p_\theta(x \mid z^{(k)}) - \mathrm{KL}`. The model has the methods
            of `VAE`. A loss of four arguments, ``loss(x_hat, x, mu, log_var)``, is called with one example and one draw
            at a time, the decoder's output as ``x_hat``; it knows no model, and is right for a Gaussian likelihood of
            any fixed variance, with its constant.
        seed: of the further arguments; the first ones are the same for every seed.

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
    bound = loss_of_four(fn)
    if bound is fn:
        return _compare_elbo(fn, NOISE_VAR, Nodes(), seed)
    with suppress(Exception), quarantine():
        if (own := variance_of_loss(fn)) and (check := _compare_elbo(bound, own, Nodes(own), seed, named=False)).passed:
            return check
    return _compare_elbo(bound, NOISE_VAR, Nodes(NOISE_VAR), seed)


def _compare_elbo(fn: Function, noise_var: float, nodes: Nodes, seed: int, *, named: bool = True) -> Check:
    """The check on models of this variance, and on one with a decoder that is not linear."""
    fixtures = [
        linear_gaussian(n_examples=5, x_dim=4, latent_dim=3, noise_var=noise_var),
        linear_gaussian(n_examples=4, x_dim=3, latent_dim=1, noise_var=noise_var),
    ]
    return compare(
        "ELBO of a linear-Gaussian model, values and gradients",
        ("your function, noise chosen so that its average is exact", "linear-Gaussian algebra"),
        fn,
        linear_gaussian_elbo,
        fixtures,
        MISTAKES if named else {},
        known.ELBO_TERMS if named else (),
        clue=_elbo_clue(fixtures[0]) if named else no_clue,
        trials=lambda: _elbo_trials(noise_var, nodes, torch.Generator().manual_seed(seed)),
    )


MISTAKES = catalogue(known.ELBO, known.BATCH_REDUCTIONS, {"": 1.0, "is the loss, −ELBO": -1.0} | known.BITS)


def _elbo_clue(usual: Arguments) -> Clue:
    return first_of(
        NAN_OF_LOG_VAR,
        clamped(
            linear_gaussian_elbo,
            {
                "log σ²": (lambda t: with_encoding(usual, 3, t), FAR["log_var"][-1]),
                "μ": (lambda t: with_encoding(usual, 0, t), FAR["mu"][-1]),
            },
        ),
        loss_from_parts,
        floored_kl,
        rounded(linear_gaussian_elbo),
        right_alone(linear_gaussian_elbo, "example"),
        _right_draw_by_draw,
    )


def _right_draw_by_draw(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
    """The clue that an estimate goes wrong only where there are several draws, or several latent dimensions."""
    several = fixtures[0]
    alone = [evaluate(fn, {**several, "eps": draw[None]}).value for draw in several["eps"]]
    if same(torch.stack(alone).mean(0), evaluate(linear_gaussian_elbo, several).value):
        return ALONE["draw"]
    if len(came) > 1 and same(came[1].value, evaluate(linear_gaussian_elbo, fixtures[1]).value):
        return ALONE["dimension"]  # the second fixture has one
    return ""


def _elbo_trials(noise_var: float, nodes: Nodes, generator: torch.Generator) -> list[Trial]:
    def at(place: str, n_examples: int, x_dim: int, latent_dim: int) -> At:
        eps = rotated(n_examples, latent_dim, generator)
        return At(place, linear_gaussian(n_examples, x_dim, latent_dim, eps, noise_var), linear_gaussian_elbo)

    usual = at("With other noise for each example", 6, 5, 3)
    return [
        usual,
        at("For one example", 1, 4, 2),
        at("For one latent dimension and one pixel", 3, 1, 1),
        at("For 40 latent dimensions", 2, 4, 40),
        At("Far out", far_out(usual.arguments), linear_gaussian_elbo),
        own_noise(usual.arguments["model"], 4, 5, generator),
        nodes,
    ]


@public
def check_iwae_bound(fn: Callable[[Tensor], Tensor], *, seed: int = 0) -> Check:
    r"""Check your importance-weighted bound :math:`\log \frac1K \sum_k w_k`, the log-weights given.

    The exact answer is the definition itself in decimal arithmetic of 50 digits, which has room for
    :math:`e^{-1000}`.

    Args:
        fn: ``fn(log_w)`` gives the bounds in nats, shape (B,), for log-weights of shape (K, B). Some of these are
            -1000 or 800: a function that takes their exponentials gives an infinite bound, in float64, too.
        seed: of the further arguments; the first ones are the same for every seed.

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
        clue=first_of(
            clamped(iwae_by_decimals, {"log w": (lambda t: {"log_w": torch.tensor([[t], [t]]).double()}, 600.0)}),
            _right_where_moderate,
            rounded(iwae_by_decimals),
            right_alone(iwae_by_decimals, "example", "draw"),
        ),
        trials=lambda: _iwae_trials(torch.Generator().manual_seed(seed)),
    )


def _iwae_trials(generator: torch.Generator) -> list[At]:
    sizes = {
        "For one draw": (1, 4),
        "For one example": (4, 1),
        "For one number": (1, 1),
        "For 40 draws": (40, 3),
        "For 33 examples": (2, 33),
    }
    return [At(place, fresh_log_weights(size, generator), iwae_by_decimals) for place, size in sizes.items()]


def _right_where_moderate(fn: Callable[..., Tensor], fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
    """The clue that a bound goes wrong only where the exponentials of the log-weights leave their range."""
    if len(fixtures) < 2:  # not the fixed ones, the last of which are extreme
        return ""
    for arguments, answer in zip(fixtures[:-1], came[:-1], strict=True):
        if not (answer.value - iwae_by_decimals(**arguments)).abs().max() <= TOLERANCE:
            return ""
    return (
        "It is right for log-weights of a few nats, but not for −1000 and 800, whose exponentials are 0 and infinite: "
        "take the largest log-weight of each example out of them first, as torch.logsumexp does."
    )
