"""The check of the minibatch-weighted estimate of total correlation."""

import math
from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.adapt import with_last
from vae_tutorial.checks.answers import Arguments, Function
from vae_tutorial.checks.arguments import uniform
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.clues import first_of, infinite, rounded
from vae_tutorial.checks.compare import compare
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import log_normal_by_dimension, log_normal_by_quadrature, values
from vae_tutorial.checks.further import At
from vae_tutorial.checks.naming import catalogue
from vae_tutorial.checks.spread import NAN_OF_LOG_VAR

N_DATA = 13  # so small that the differences of some z are negative, and of others positive


@public
def check_total_correlation(fn: Callable[[Tensor, Tensor, Tensor, int], Tensor], *, seed: int = 0) -> Check:
    r"""Check your minibatch-weighted estimate of total correlation, one value for each example.

    .. math:: \log \hat q(z_i) - \sum_{l=1}^{L} \log \hat q(z_{il}), \qquad
        \hat q(z_i) = \frac{1}{NM} \sum_{j=1}^{M} q_\phi(z_i \mid x_j), \quad
        \hat q(z_{il}) = \frac{1}{NM} \sum_{j=1}^{M} q_\phi(z_{il} \mid x_j)

    The exact answer normalizes every density by quadrature and adds them up in pairs. A function that passes is also
    called with one example and with all N, in one dimension and in 20, with narrow and wide posteriors, and with codes
    far apart, where densities round to 0.

    Args:
        fn: ``fn(z, mu, log_var, n_data)`` gives the differences in nats, shape (M,), for one ``z`` of each example of a
            minibatch, shape (M, L), the encodings ``mu`` and ``log_var`` of the same examples, and the size N of the
            data set.
        seed: of the further arguments; the first ones are the same for every seed.

    Returns:
        The `Check`, of values and of gradients.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> from vae_tutorial.total_correlation import minibatch_weighted, pairwise_log_q
        >>> def dependence(z, mu, log_var, n_data):
        ...     return minibatch_weighted(pairwise_log_q(z, mu, log_var), n_data).dependence
        >>> check_total_correlation(dependence).passed
        True
        >>> check_total_correlation(lambda *given: dependence(*given).clamp(min=0)).mistake
        "It is clamped at 0: a total correlation is no less, but one point's log-ratio may be."
    """
    return compare(
        "minibatch-weighted log q(z) − Σ log q(z_l), values and gradients",
        ("your function", "densities by quadrature, added up"),
        with_n_data(fn),
        dependence_by_quadrature,
        [codes(*shape) for shape in ((6, 3), (5, 2), (7, 4))],
        {
            clause: with_n_data(wrong)
            for clause, wrong in catalogue(known.DEPENDENCE, known.BATCH_REDUCTIONS, known.SIGNS | known.BITS).items()
        },
        clue=first_of(NAN_OF_LOG_VAR, infinite, rounded(dependence_by_dimension)),
        trials=lambda: _trials(torch.Generator().manual_seed(seed)),
    )


def with_n_data(fn: Callable[..., Tensor]) -> Function:
    """The function at the N of the check."""
    return with_last(fn, N_DATA)


def dependence_by_quadrature(z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return _dependence(log_normal_by_quadrature, z, mu, log_var)


def dependence_by_dimension(z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return _dependence(log_normal_by_dimension, z, mu, log_var)


def _dependence(log_normal: Function, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """Density by density; those of all examples are added up by pairs, with no exponential that overflows."""
    log_nm = math.log(N_DATA) + math.log(len(z))

    def added_up(log_densities: list[Tensor]) -> Tensor:
        return reduce(torch.logaddexp, log_densities) - log_nm

    by_example = [
        [log_normal(z[:, [d]], m[d].expand(len(z), 1), v[d].expand(len(z), 1)) for d in range(z.shape[1])]
        for m, v in zip(mu, log_var, strict=True)
    ]  # of each x_j, each dimension: all z_i, shape (M,)
    joint = added_up([torch.stack(dimensions).sum(0) for dimensions in by_example])
    return joint - torch.stack([added_up(list(of_all)) for of_all in zip(*by_example, strict=True)]).sum(0)


def codes(n_examples: int, latent_dim: int) -> Arguments:
    """Fixed encodings, differentiable, and a point for each that is not its mean; the first has each dimension of
    another example, so that its log q(z) is far below the product of the marginals."""
    mu = values(n_examples, latent_dim, low=-4.0, high=3.5, seed=31)
    log_var = values(n_examples, latent_dim, low=-1.8, high=0.3, seed=32)
    z = mu + values(n_examples, latent_dim, low=-0.9, high=1.1, seed=33)
    z[0] = mu.diagonal()
    return {name: t.requires_grad_() for name, t in {"z": z, "mu": mu, "log_var": log_var}.items()}


def _fresh(shape: tuple[int, int], generator: torch.Generator) -> dict[str, Tensor]:
    ranges = {"z": (-2.5, 2.5), "mu": (-2.0, 2.0), "log_var": (-2.0, 1.2)}
    return {name: uniform(shape, low, high, generator).requires_grad_() for name, (low, high) in ranges.items()}


def _trials(generator: torch.Generator) -> list[At]:
    sizes = {"For one example": (1, 3), "For one dimension": (4, 1), "For 20 dimensions": (4, 20)}
    sizes |= {"For a whole data set": (N_DATA, 2), "For as many examples as dimensions": (3, 3)}
    drawn = {place: _fresh(shape, generator) for place, shape in sizes.items()}
    far = _fresh((4, 3), generator)
    spread = _fresh((4, 3), generator)
    spread["log_var"] = (1.8 * spread["log_var"].detach()).requires_grad_()
    for name in ("z", "mu"):
        far[name] = (30 * torch.sign(far[name].detach()) * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None]).requires_grad_()
    hard = {"Far apart": far, "For narrow and wide posteriors": spread}
    return [At(place, given, dependence_by_dimension) for place, given in {**drawn, **hard}.items()]
