r"""Checks for functions you wrote yourself: each compares one with an exact answer and names the likely mistake.

Most call your function on fixed, asymmetric arguments in float64 and compare its values and its gradients with those
of an independent route: quadrature, enumeration, quantiles, decimal arithmetic, or the linear-Gaussian model. A
function that computes in float32 passes as well. `check_reduction` and `check_numerics` take any function and need no
exact answer: they compare it with itself. What comes back is a `Check`; where it failed, its ``mistake`` names the
formula that gives the same wrong answers on all the arguments, or shows the evidence when no known mistake does.
"""

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps

import torch
from torch import Tensor
from torch.distributions import Normal

from vae_tutorial import _mistakes as known
from vae_tutorial._diagnosis import (
    TOLERANCE,
    Answer,
    Arguments,
    Clue,
    Function,
    catalogue,
    compare,
    evaluate,
    max_gap,
    nan_cured_by,
    quarantine,
    unused_noise,
)
from vae_tutorial._exact import (
    BINARY,
    EXTREME_LOG_VARS,
    EXTREME_LOGITS,
    EXTREME_MEANS,
    beside_a_mild_dimension,
    binary_outcomes,
    encoded_points,
    encodings,
    iwae_by_decimals,
    kl_by_quadrature,
    linear_gaussian,
    linear_gaussian_elbo,
    log_bernoulli_by_enumeration,
    log_normal_by_quadrature,
    log_weights,
    noisy_encodings,
    values,
)
from vae_tutorial._precision import compare_precisions
from vae_tutorial._validation import require_finite, require_float, require_same_shape
from vae_tutorial.evidence import Check
from vae_tutorial.likelihoods import Likelihood
from vae_tutorial.models import VAE
from vae_tutorial.reference import monte_carlo


def log_variance(log_var: Tensor) -> Tensor:
    """The convention of this package, and of the checks: your function takes log-variances."""
    return log_var


def variance(log_var: Tensor) -> Tensor:
    """``spread=variance`` says that your function takes variances."""
    return log_var.exp()


def standard_deviation(log_var: Tensor) -> Tensor:
    """``spread=standard_deviation`` says that your function takes standard deviations."""
    return (0.5 * log_var).exp()


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
    return _compare_spread(
        spread,
        1,
        "KL(N(μ, σ²) ‖ N(0, I)), values and gradients",
        ("your function", "quadrature of the defining integral"),
        fn,
        kl_by_quadrature,
        encodings((5, 3), (4, 2), (3, 1)),
        catalogue(known.KL, known.REDUCTIONS, known.SIGNS),
        known.KL_TERMS,
        clue=_NAN_OF_LOG_VAR,
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
        >>> def no_log_det(x, mu, log_var):
        ...     squares = (x - mu) ** 2 / log_var.exp()
        ...     return -0.5 * (math.log(2 * math.pi) + squares).sum(-1)
        >>> check_log_normal(no_log_det).mistake
        'It lacks −½ Σlog σ²: the density integrates to Πσ.'
    """
    return _compare_spread(
        spread,
        2,
        "log N(x; μ, σ²), values and gradients",
        ("your function", "quadrature of the normalizing constant"),
        fn,
        log_normal_by_quadrature,
        encoded_points((5, 3), (4, 2), (3, 1)),
        catalogue(known.LOG_NORMAL, known.REDUCTIONS | known.NOT_A_LOGARITHM, known.SIGNS),
        known.LOG_NORMAL_TERMS,
        clue=_NAN_OF_LOG_VAR,
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


def check_log_prob(likelihood: Likelihood, points: Tensor, cell: float = 1.0) -> Check:
    r"""Check a whole `Likelihood`: its log_prob sums to one, and its mean and samples follow that log_prob.

    A mass function is summed over all the values x can take, a density over the nodes of a grid times their volume:
    :math:`\sum_i p(x_i) \, v = 1` and :math:`\sum_i x_i \, p(x_i) \, v = \mathbb{E}[x]`. Samples are compared by
    z-scores of the mean, the square and the log-probability.

    Args:
        likelihood: `bernoulli`, `normal(…)`, or your own.
        points: all values of x, or the nodes of a grid, shape (N, D); see `reference.grid`.
        cell: the volume that stands for one node; 1 for a mass function.

    Returns:
        The `Check`, at fixed parameters in [-2, 1]. Its gap is the largest of total mass and mean; or, where only the
        samples are wrong, the largest z-score.

    Raises:
        TypeError: ``points`` is not a floating-point tensor.
        ValueError: ``points`` is not of shape (N, D), or not finite.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli, normal_diag
        >>> from vae_tutorial.reference import grid
        >>> binary = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
        >>> check_log_prob(bernoulli, binary).passed
        True
        >>> check_log_prob(normal_diag, *grid([-14.0], [14.0], 401)).passed
        True
    """
    require_float(points=points)
    require_finite(points=points)
    if points.ndim != 2:
        raise ValueError(f"points must have shape (N, D), got {tuple(points.shape)}")
    routes = ("log_prob, mean and sample", f"{'sum' if cell == 1 else 'quadrature'} over x")
    check = Check(
        "p(x | z) sums to one; its mean and samples agree with it",
        routes,
        math.nan,
        TOLERANCE,
        unit="",
        dtype="float64",
    )
    parameters = values(5, points.shape[1] * likelihood.n_params, low=-2.0, high=1.0, seed=5)
    try:
        with quarantine():
            measured = torch.stack([_mass_mean_samples(likelihood, row, points.double(), cell) for row in parameters])
    except Exception as error:  # a learner's function may fail in any way
        return replace(check, mistake=f"It raised {type(error).__name__}: {error}")
    mass, mean_gap, z_score = measured.T
    check = replace(check, gap=max_gap([*(mass - 1).abs().tolist(), *mean_gap.tolist()]))
    if not (mass - 1).abs().max() <= TOLERANCE:
        return replace(check, mistake=_name_mass(mass, points.shape[1]))
    if not check.passed:
        return replace(check, mistake="log_prob sums to one, but mean(params) is not the mean of that distribution.")
    if not z_score.max() <= 5:
        worst = f"{z_score.max():.0f} standard errors"
        mistake = f"The samples do not follow log_prob: one of their averages lies {worst} off."
        return replace(check, gap=z_score.max().item(), bound=5.0, unit="standard errors", mistake=mistake)
    return check


def _mass_mean_samples(likelihood: Likelihood, params: Tensor, points: Tensor, cell: float) -> Tensor:
    """The total mass, the gap of the mean, and the largest z-score of samples, for one row of parameters."""

    def log_prob(x: Tensor) -> Tensor:
        log_p = likelihood.log_prob(x, params.expand(len(x), -1))
        if log_p.shape != x.shape[:1]:
            raise ValueError(f"log_prob gave shape {tuple(log_p.shape)}, where {tuple(x.shape[:1])} is expected")
        return log_p.double()

    def statistics(x: Tensor, log_p: Tensor) -> Tensor:
        return torch.cat([x, x**2, log_p[:, None]], -1)

    log_p = log_prob(points)
    weights = log_p.exp() * cell
    mean_gap = (likelihood.mean(params) - weights @ points).abs().max()
    drawn = likelihood.sample(params.expand(20_000, -1), generator=torch.Generator().manual_seed(6)).double()
    estimate = monte_carlo(statistics(drawn, log_prob(drawn)))
    z_score = estimate.z_score(weights @ statistics(points, log_p)).abs().max()
    return torch.stack([weights.sum(), mean_gap, z_score])


def _name_mass(mass: Tensor, x_dim: int) -> str:
    evidence = f"exp(log_prob) sums to {mass[0]:.4g}, where 1 is expected"
    if torch.allclose(mass, torch.full_like(mass, 2 * math.pi) ** (x_dim / 2), rtol=TOLERANCE):
        return f"{evidence}: this is (2π)^(D/2), so −½ log 2π is missing for each dimension."
    return f"{evidence}: log_prob is not normalized, has the wrong sign, or the points do not cover the distribution."


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
    return _compare_spread(
        spread,
        1,
        "z = μ + σε, values and gradients",
        ("your function", "the quantile of N(μ, σ²) that ε is of N(0, 1)"),
        fn,
        lambda mu, log_var, eps: Normal(mu, log_var.exp().sqrt()).icdf(Normal(0.0, 1.0).cdf(eps)),
        noisy_encodings(),
        known.REPARAMETERIZE,
        unit="",
        clue=lambda *answers: _NAN_OF_LOG_VAR(*answers) or unused_noise(*answers),
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
        clue=_NAN_OF_LOG_VAR,
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


def check_reduction(fn: Callable[..., Tensor], *arguments: Tensor) -> Check:
    r"""Check that your function, whatever it computes, gives one value per example: the sum over the last axis.

    It is for functions whose dimensions are independent, such as a Kullback-Leibler divergence, a log-density or a
    squared error of diagonal Gaussians. For these no formula is needed: the value of an example must be the sum of the
    values that the same function gives to its single numbers, :math:`f(x)_i = \sum_d f(x_{id})_1`.

    Args:
        fn: your function of tensors of shape (B, D), giving shape (B,).
        arguments: what to call it with, tensors of one shape (B, D) with B > D > 1. Without them it gets fixed numbers
            between 0.2 and 1.8, two tensors for a function of two arguments.

    Returns:
        The `Check`, of values and of gradients with respect to the arguments.

    Raises:
        TypeError: ``fn`` is not callable, its arguments cannot be counted where none are given, or an argument is not a
            floating-point tensor.
        ValueError: the arguments are not finite, or not of one shape (B, D) with B > D > 1.

    Example:
        >>> def squared_error(x, mu):
        ...     return ((x - mu) ** 2).sum(-1)
        >>> check_reduction(squared_error).passed
        True
        >>> check_reduction(lambda x, mu: ((x - mu) ** 2).mean()).mistake
        'It is averaged over all entries: sum the last axis, and keep one value per example.'
    """
    names = _argument_names(fn, arguments)
    if not arguments:
        arguments = tuple(values(5, 3, low=0.2, high=1.8, seed=20 + i) for i in range(len(names)))
    batch = _named_batches(names, arguments)
    if not arguments[0].shape[0] > arguments[0].shape[1] > 1:
        raise ValueError(f"the arguments must have shape (B, D) with B > D > 1, got {tuple(arguments[0].shape)}")
    whole = {name: tensor.detach().double().requires_grad_() for name, tensor in batch.items()}
    part = {name: tensor.detach()[:-1, :-1].double().requires_grad_() for name, tensor in batch.items()}

    def entries(*tensors: Tensor) -> Tensor:  # shape (B, D)
        n_examples, n_dims = tensors[0].shape
        numbers = [[t[i : i + 1, d : d + 1] for t in tensors] for i in range(n_examples) for d in range(n_dims)]
        return torch.stack([_one_number(fn, *row) for row in numbers]).reshape(n_examples, n_dims)

    return compare(
        "One value per example, the sum over the last axis",
        ("your function", "the sum of what it gives to single numbers"),
        fn,
        lambda *tensors: entries(*tensors).sum(-1),
        [whole, part],
        catalogue({"": entries}, known.REDUCTIONS, {"": 1.0}),
        clue=_not_a_sum,
    )


def _one_number(fn: Callable[..., Tensor], *numbers: Tensor) -> Tensor:
    """What ``fn`` gives to single numbers, shape (1, 1); NaN where it fails, or gives something else than a number."""
    try:
        return fn(*numbers).double().reshape(())
    except Exception:  # a learner's function may fail in any way
        return torch.tensor(math.nan)


def _not_a_sum(fn: Callable[..., Tensor], fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
    """What keeps the value of an example from being the sum over its numbers."""
    batch = {name: tensor.detach() for name, tensor in fixtures[0].items()}
    rows = [{name: tensor[i : i + 1] for name, tensor in batch.items()} for i in range(len(came[0].value))]
    alone = torch.cat([evaluate(fn, row).value for row in rows])
    if (alone - came[0].value).abs().max() > TOLERANCE:
        return "The value of an example depends on the other examples of the batch: the rows are mixed."
    return (
        "The value of an example depends on that example alone, but it is not the sum over its dimensions: a part of "
        "it, a constant perhaps, does not grow with their number as it should, or its dimensions are not independent."
    )


def check_numerics(fn: Callable[..., Tensor], *arguments: Tensor) -> Check:
    r"""Check that your function computes in float32 what it computes in float64, at extreme arguments too.

    Every example is handed over alone, in both precisions. The gap is :math:`|a - b| / (1 + |b|)`, a in float32 and b
    in float64, the largest over values and gradients; where one is infinite or not a number, so is the gap.

    Args:
        fn: your function of one or more tensors.
        arguments: what to call it with, tensors of shape (B, D), one example a row; `extreme_encodings` and
            `extreme_logits` give such.

    Returns:
        The `Check`. Its ``mistake`` says at which arguments it went wrong, and how.

    Raises:
        TypeError: ``fn`` is not callable, or an argument is not a floating-point tensor.
        ValueError: there are no arguments, or they are not finite, or not of one shape (B, D).

    Example:
        >>> def naive(x, logits):
        ...     p = logits.sigmoid()
        ...     return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)
        >>> check = check_numerics(naive, *extreme_logits())
        >>> check.gap, "-inf in float32 and -17.5" in check.mistake
        (inf, True)
    """
    names = _argument_names(fn, arguments)
    return compare_precisions(fn, _named_batches(names, arguments))


def extreme_encodings() -> tuple[Tensor, Tensor]:
    """Means to ±4 and log-variances to ±80, some of them near 0: arguments for `check_numerics`, shape (B, 2).

    Example:
        >>> from vae_tutorial.gaussian import kl_standard_normal
        >>> check_numerics(kl_standard_normal, *extreme_encodings()).passed
        True
    """
    return beside_a_mild_dimension(EXTREME_MEANS, EXTREME_LOG_VARS, mild=(0.5, -0.3))


def extreme_logits() -> tuple[Tensor, Tensor]:
    """Binary x and logits to ±100: arguments for `check_numerics`, two tensors of shape (B, 2).

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> check_numerics(bernoulli.log_prob, *extreme_logits()).passed
        True
    """
    return beside_a_mild_dimension(BINARY, EXTREME_LOGITS, mild=(1.0, 0.5))


def _argument_names(fn: Callable[..., Tensor], arguments: tuple[Tensor, ...]) -> list[str]:
    """The names of the positional parameters of ``fn``, as many as there are arguments or, without any, as it needs."""
    if not callable(fn):
        raise TypeError(f"the first argument must be the function to check, got {type(fn).__name__}")
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except ValueError:  # some functions written in C do not tell
        parameters = []
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if arguments:
        names = [p.name for p in positional][: len(arguments)]
        return names + [f"argument {i + 1}" for i in range(len(names), len(arguments))]
    if needed := [p.name for p in positional if p.default is p.empty]:
        return needed
    raise TypeError("the function does not tell how many arguments it needs: give the tensors to call it with")


def _named_batches(names: Sequence[str], arguments: Sequence[Tensor]) -> dict[str, Tensor]:
    """The arguments under their names: all finite, floating-point and of one shape (B, D)."""
    batch = dict(zip(names, arguments, strict=True))
    require_float(**batch)
    require_same_shape(**batch)
    require_finite(**batch)
    for name, argument in batch.items():
        if argument.ndim != 2:
            raise ValueError(f"{name} must have shape (B, D), got {tuple(argument.shape)}")
    return batch


def _compare_spread(
    spread: Callable[[Tensor], Tensor],
    position: int,
    claim: str,
    routes: tuple[str, str],
    fn: Function,
    exact: Function,
    fixtures: Sequence[Arguments],
    mistakes: Mapping[str, Function],
    terms: Mapping[str, tuple[float, Function]] | None = None,
    unit: str = "nats",
    *,
    clue: Clue,
) -> Check:
    """Compare a function that takes a spread in the place of log_var; where another spread is right, say so."""

    def taking(convention: Callable[[Tensor], Tensor]) -> Function:
        if convention is log_variance or not callable(fn):
            return fn

        @wraps(fn)
        def converted(*given: Tensor) -> Tensor:
            arguments = list(given)
            arguments[position] = convention(arguments[position])
            return fn(*arguments)

        return converted

    check = compare(claim, routes, taking(spread), exact, fixtures, mistakes, terms, unit, clue)
    if not check.passed:
        for other in (log_variance, variance, standard_deviation):
            if other is not spread and compare(claim, routes, taking(other), exact, fixtures, {}).passed:
                words = other.__name__.replace("_", "-" if other is log_variance else " ")
                hint = f"It is right where it is given the {words}: if that is meant, add spread={other.__name__}."
                return replace(check, mistake=f"{check.mistake} {hint}")
    return check


def _with_positive_log_var(arguments: Arguments) -> Arguments:
    if "log_var" in arguments:
        return {**arguments, "log_var": arguments["log_var"].detach().abs() + 0.1}
    model = copy.deepcopy(arguments["model"])
    with torch.no_grad():
        model.encoder.bias[model.latent_dim :] += 5
    return {**arguments, "model": model}


_NAN_OF_LOG_VAR = nan_cured_by(
    _with_positive_log_var,
    "It returned NaN where log_var is negative: log_var is taken for a variance or standard deviation.",
)
