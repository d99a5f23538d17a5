"""The check of the log-density of a mixture."""

from collections.abc import Callable

import torch
from torch import Tensor

from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.arguments import uniform
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.clues import clamped, first_of, infinite, rounded, saturated
from vae_tutorial.checks.compare import compare
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import log_mixture_by_component, log_mixture_by_quadrature, mixtures
from vae_tutorial.checks.further import At
from vae_tutorial.checks.naming import catalogue
from vae_tutorial.checks.spread import NAN_OF_LOG_VAR


@public
def check_log_mixture(fn: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], *, seed: int = 0) -> Check:
    r"""Check your log-density of a mixture of diagonal Gaussians.

    .. math:: \log p(z) = \log \sum_{c=1}^{C} \pi_c \, \mathcal{N}(z; m_c, \operatorname{diag} s_c^2),
        \qquad \pi = \operatorname{softmax}(\text{logits})

    The exact answer normalizes each component by quadrature and adds their probabilities up in pairs. A function that
    passes is also called with one point and with 33, with one component and with 40, in one dimension and in 20, and
    far from all components, where every density rounds to 0; and with logits to ±12, log-variances to ±15.

    Args:
        fn: ``fn(z, logits, mu, log_var)`` gives log-densities in nats, shape (B,), for points of shape (B, L), logits
            of shape (C,), means and log-variances of shape (C, L).
        seed: of the further arguments; the first ones are the same for every seed.

    Returns:
        The `Check`, of values and of gradients.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> from vae_tutorial.formulas import log_normal
        >>> def no_weights(z, logits, mu, log_var):
        ...     return torch.logsumexp(log_normal(z[:, None], mu, log_var), -1)
        >>> check_log_mixture(no_weights).mistake
        'It adds up the components without weights: it integrates to C, and 1/C is missing.'
    """
    return compare(
        "log of a mixture of Gaussians, values and gradients",
        ("your function", "components by quadrature, added up"),
        fn,
        log_mixture_by_quadrature,
        mixtures((5, 4, 3), (4, 3, 2), (3, 2, 1)),
        catalogue(known.LOG_MIXTURE, known.BATCH_REDUCTIONS, known.SIGNS | known.BITS),
        clue=first_of(
            NAN_OF_LOG_VAR,
            infinite,
            clamped(log_mixture_by_component, KNOBS),
            saturated,
            rounded(log_mixture_by_component),
        ),
        trials=lambda: _trials(torch.Generator().manual_seed(seed)),
    )


def _trials(generator: torch.Generator) -> list[At]:
    sizes = {"For one point": (1, 3, 2), "For one component": (3, 1, 2), "For 40 components": (3, 40, 2)}
    sizes |= {
        "For 20 dimensions": (3, 4, 20),
        "For 33 points": (33, 3, 2),
        "For as many points as components": (3, 3, 2),
    }
    drawn = {place: _fresh(shape, generator) for place, shape in sizes.items()}
    far = _fresh((4, 3, 2), generator)
    far["z"] = (60 * torch.sign(far["z"].detach())).requires_grad_()
    drawn |= {"Far out": far, "With components of very different weights and widths": _unequal(generator)}
    return [At(place, given, log_mixture_by_component) for place, given in drawn.items()]


def _fresh(shape: tuple[int, int, int], generator: torch.Generator) -> dict[str, Tensor]:
    n, n_components, n_dims = shape
    ranges = {
        "z": ((n, n_dims), -2.5, 2.5),
        "logits": ((n_components,), -2.0, 2.0),
        "mu": ((n_components, n_dims), -2.0, 2.0),
        "log_var": ((n_components, n_dims), -2.0, 1.2),
    }
    return {name: uniform(size, low, high, generator).requires_grad_() for name, (size, low, high) in ranges.items()}


def _unequal(generator: torch.Generator) -> dict[str, Tensor]:
    """Beside each of four components a point that it decides: the lightest is the narrowest, another one is wide."""
    given = {name: tensor.detach() for name, tensor in _fresh((4, 4, 2), generator).items()}
    given["logits"] = torch.tensor([-12.0, 9.0, 0.0, -5.0], dtype=torch.float64)
    given["log_var"][[0, 2]] = torch.tensor([[-11.0, -14.0], [12.0, 15.0]], dtype=torch.float64)
    given["z"] = (given["mu"] + torch.tensor([[0.002], [0.5], [500.0], [0.5]])).float().double()
    return {name: tensor.requires_grad_() for name, tensor in given.items()}


def _turned(**changed: Tensor) -> dict[str, Tensor]:
    """Two components, of which the first decides at z; some of the numbers are others."""
    return {
        "z": _row(0.4, -0.3),
        "logits": _row(0.3, -0.2)[0],
        "mu": _row(0.5, -0.4, -0.8, 0.9).view(2, 2),
        "log_var": _row(-0.3, 0.4, 0.2, -0.1).view(2, 2),
    } | changed


def _row(*numbers: float) -> Tensor:
    return torch.tensor([numbers], dtype=torch.float64)


KNOBS = {
    "log σ²": (lambda t: _turned(z=_row(0.5, -0.3), log_var=_row(t, 0.4, 0.2, -0.1).view(2, 2)), 15.0),
    "the logit": (lambda t: _turned(logits=_row(t, -0.2)[0]), 12.0),
    "μ": (lambda t: _turned(mu=_row(t, -0.4, -0.8, 0.9).view(2, 2)), 8.0),
}
