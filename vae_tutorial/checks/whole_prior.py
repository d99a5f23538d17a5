"""The check of a whole prior: that it is normalized, that its gradients arrive, and that its samples belong to it."""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from vae_tutorial._validation import require_finite, require_float
from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.answers import RELATIVE, TOLERANCE, Unwritten, as_numbers, quarantine, usable
from vae_tutorial.checks.claims import Check, told_apart
from vae_tutorial.checks.compare import short
from vae_tutorial.checks.differences import name_slope, slope_gap
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import kl_by_quadrature, log_mixture_by_component, values
from vae_tutorial.checks.prior_samples import log_prob_of, mixture_of, samples_agree
from vae_tutorial.gaussian import log_normal
from vae_tutorial.priors import Prior


@public
def check_prior(prior: Prior, points: Tensor, cell: float) -> Check:
    r"""Check a whole `Prior`: its density integrates to one, its gradients arrive, its samples follow it.

    The density is summed over the nodes of a grid times their volume, :math:`\sum_i p(z_i) \, v = 1`. Where the prior
    says its ``components()``, as `Mixture` and `VampPrior` do, it must be their mixture. Gradients with respect to z,
    and to every parameter that p(z) depends on, the encoder's of a `VampPrior` among them, are compared with central
    differences. Samples are compared with the density by z-scores of the same averages as in `check_log_prob`, and must
    not depend on each other; a closed form of the KL with quadrature.

    Args:
        prior: one of the package's, or your own; it is left as it is.
        points: the nodes of a grid that covers the prior, shape (N, L) with L of 1 or 2; see `reference.grid`. Its step
            must be below the width of the narrowest component.
        cell: the volume that stands for one node.

    Returns:
        The `Check`. Its gap is the distance of the total mass from 1 or, where something else is wrong, that.

    Raises:
        TypeError: ``prior`` is not a `Prior`, or ``points`` not a floating-point tensor.
        ValueError: ``points`` is not of shape (N, L), or not finite.

    Example:
        >>> from vae_tutorial.priors import Mixture
        >>> from vae_tutorial.reference import grid
        >>> nodes = grid([-9.0], [9.0], 181)
        >>> check_prior(Mixture(1, 3, seed=0), *nodes).passed
        True
        >>> class Unweighted(Mixture):
        ...     def components(self):
        ...         return 0 * self.logits, self.mu, self.log_var
        >>> check_prior(Unweighted(1, 3, seed=0), *nodes).mistake.partition(": ")[0]
        'p(z) integrates to 3, where 1 is expected'
    """
    if not isinstance(prior, Prior):
        raise TypeError(f"prior must be a Prior, such as priors.standard_normal, got {prior!r}")
    require_float(points=points)
    require_finite(points=points)
    points = usable(points).double()
    if points.ndim != 2:
        raise ValueError(f"points must have shape (N, L), got {tuple(points.shape)}")
    routes = ("log_prob and sample", "quadrature over z")
    check = Check(
        "p(z) integrates to one; gradients and samples agree with it", routes, math.nan, TOLERANCE, "", dtype="float64"
    )
    try:
        with quarantine():
            own, owner = _in_float64(prior)
            for step in (_density, _shapes, _gradients, samples_agree, _closed_form):
                check = step(check, own, owner, points, cell)
                if not check.passed:
                    return check
    except Unwritten as error:
        return replace(check, gap=math.nan, mistake=str(error))
    except Exception as error:  # a learner's function may fail in any way
        return replace(check, gap=math.nan, mistake=f"It raised {short(error)}")
    return check


def _in_float64(prior: Prior) -> tuple[Prior, nn.Module | None]:
    """A copy of the prior, and of the model that it computes with."""
    prior = copy.deepcopy(prior).double()
    owner = prior.belongs_to()
    return prior, owner.double() if isinstance(owner, nn.Module) else None


def _density(check: Check, prior: Prior, owner: nn.Module | None, points: Tensor, cell: float) -> Check:
    """The mass and, of a mixture, the density itself, by name where it is wrong."""
    few = values(5, points.shape[1], low=-1.5, high=2.0, seed=31)
    mixture = mixture_of(prior)
    with torch.no_grad():
        came = as_numbers(prior.log_prob(few)).double()
        named = "" if mixture is None or came.isnan().all() else _name_density(came, few, *mixture)
        if came.shape != few.shape[:1]:
            said = f"log_prob gave shape {tuple(came.shape)} for z {tuple(few.shape)}: one number a point is expected."
            return replace(check, mistake=named or said)
        mass = (log_prob_of(prior, points).exp() * cell).sum().item()
        check = replace(check, gap=abs(mass - 1))
        if not check.gap <= TOLERANCE:
            why = named or f"{_constant(mass, points.shape[1], prior)}."
            return replace(check, mistake=f"p(z) integrates to {told_apart(mass, 1.0)[0]}, where 1 is expected: {why}")
        if mixture is not None:
            gap = (came - log_mixture_by_component(few, *mixture)).abs().max().item()
            if not gap <= TOLERANCE:
                why = named or "log_prob is not the density of the mixture of its components()."
                return replace(check, gap=gap, unit="nats", mistake=why)
    return check


def _name_density(came: Tensor, z: Tensor, logits: Tensor, mu: Tensor, log_var: Tensor) -> str:
    for clause, wrong in known.LOG_MIXTURE.items():  # the right one first, under "": then it is not the formula
        expected = wrong(z, logits, mu, log_var)
        if came.shape == expected.shape and torch.allclose(came, expected, rtol=0, atol=TOLERANCE):
            return f"log_prob {clause}." if clause else ""
    return ""


def _constant(mass: float, n_dims: int, prior: Prior) -> str:
    constants = {
        (2 * math.pi) ** (n_dims / 2): "this is (2π)^(L/2), so −½ log 2π is missing for each dimension",
        (2 * math.pi) ** ((n_dims - 1) / 2): "−½ log 2π is counted once, where it belongs to every dimension",
        float(getattr(prior, "n_components", 1)): "this is C, the number of components: 1/C is missing",
        1 / getattr(prior, "n_components", 1): "this is 1/C: log C is subtracted twice",
    }
    for value, meaning in constants.items():
        if value != 1 and math.isclose(mass, value, rel_tol=TOLERANCE):
            return meaning
    return "log_prob is not normalized, has the wrong sign, or the points do not cover the prior, or lie too far apart"


def _shapes(check: Check, prior: Prior, owner: nn.Module | None, points: Tensor, cell: float) -> Check:
    """With an axis of draws before that of the examples it gives the same numbers, and one point the same alone."""
    z = values(3, 4, points.shape[1], low=-1.5, high=2.0, seed=32)
    with torch.no_grad():
        rows = as_numbers(prior.log_prob(z.flatten(0, 1))).double().reshape(3, 4)
        alone = torch.cat([as_numbers(prior.log_prob(row[None])).double() for row in z.flatten(0, 1)]).reshape(3, 4)
        if not (gap := (rows - alone).abs().max().item()) <= TOLERANCE:
            mistake = "log_prob gives a point other numbers when it stands beside others: the rows are mixed."
            return replace(check, gap=gap, unit="nats", mistake=mistake)
        whole = as_numbers(prior.log_prob(z)).double()
    if whole.shape != rows.shape or not (gap := (whole - rows).abs().max().item()) <= TOLERANCE:
        mistake = (
            f"For z of shape (K, B, L) = (3, 4, {z.shape[-1]}) log_prob does not give shape (3, 4), point by point."
        )
        return replace(check, gap=math.nan, mistake=mistake)
    return check


def _leaves(prior: Prior, owner: nn.Module | None) -> Iterator[tuple[str, nn.Parameter]]:
    yield from prior.named_parameters()
    own = {id(parameter) for parameter in prior.parameters()}
    for name, parameter in owner.named_parameters() if owner else ():
        if id(parameter) not in own:
            yield f"the model's {name}", parameter


def _gradients(check: Check, prior: Prior, owner: nn.Module | None, points: Tensor, cell: float) -> Check:
    """The derivative of a weighted sum of log p(z) along one direction of each argument, and of z."""
    z = values(5, points.shape[1], low=-1.5, high=2.0, seed=33).requires_grad_()
    weights = torch.linspace(1, 2, 5, dtype=torch.float64)
    for name, leaf in [("z", z), *_leaves(prior, owner)]:
        if not leaf.requires_grad:
            continue
        gap, missing = slope_gap(lambda: (weights * prior.log_prob(z)).sum(), leaf, seed=34, steps=[1e-4])
        if not gap <= TOLERANCE:
            return replace(check, gap=gap, unit=RELATIVE, mistake=name_slope("log_prob", name, missing))
    return check


def _closed_form(check: Check, prior: Prior, owner: nn.Module | None, points: Tensor, cell: float) -> Check:
    """The KL of the prior, where it has one, against its integral."""
    mu = values(3, points.shape[1], low=-1.0, high=1.0, seed=36)
    log_var = values(3, points.shape[1], low=-0.5, high=0.5, seed=37)
    with torch.no_grad():
        if (kl := prior.kl(mu, log_var)) is None:
            return check
        log_p = log_prob_of(prior, points)
        log_q = torch.stack(
            [log_normal(points, m.expand_as(points), v.expand_as(points)) for m, v in zip(mu, log_var, strict=True)]
        )
        exact = (log_q.exp() * (log_q - log_p) * cell).sum(-1)
        kl = as_numbers(kl).double()
        if kl.shape != exact.shape or not (gap := (kl - exact).abs().max().item()) <= TOLERANCE:
            standard = kl.shape == exact.shape and torch.allclose(kl, kl_by_quadrature(mu, log_var), atol=TOLERANCE)
            why = (
                "it is the KL from N(0, I), whatever the prior" if standard else "return None where there is no formula"
            )
            return replace(check, gap=math.nan, mistake=f"kl is not the divergence from this p(z): {why}.")
    return replace(check, gap=max(check.gap, gap))
