"""The check of a normalizing flow: its log-determinant, its way back, and that its density integrates to one."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from vae_tutorial._validation import require_count
from vae_tutorial.checks.answers import RELATIVE, TOLERANCE, Unusable, Unwritten, as_numbers, quarantine
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.compare import short, titled
from vae_tutorial.checks.differences import name_slope, slope_gap
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import values
from vae_tutorial.checks.mistakes.flows import (
    FlowFunction,
    distance,
    flow_parts,
    full_jacobian,
    image_of,
    name_log_det,
    near,
    wrong_shape,
)
from vae_tutorial.checks.way_back import back_from_images
from vae_tutorial.reference import grid


@public
def check_flow(
    fn: FlowFunction,
    latent_dim: int,
    *,
    inverse: FlowFunction | None = None,
    layers: Sequence[FlowFunction] = (),
    seed: int = 0,
) -> Check:
    r"""Check a flow of yours: its log-determinant against autograd's full Jacobian, and its inverse.

    Values are compared, and gradients with respect to z and, of an ``nn.Module``, to its parameters; those of the map
    itself, on which that Jacobian rests, with central differences. The determinant
    must keep its sign, or the map folds. (A map may meet itself without a fold; only ``inverse`` shows that.) In one
    and two dimensions, with ``inverse``, the density that follows from a standard Gaussian,
    :math:`\mathcal{N}(f^{-1}(z')) \, e^{-\log|\det|}`, is added up over a grid and must give 1.

    Args:
        fn: ``fn(z)`` gives images, of the shape of ``z``, and :math:`\log |\det \partial f / \partial z|`, shape (...),
            for points of shape (..., L); a `vae_tutorial.flows.Flow` without context, or your own. It is called in
            float64: a module has to be, too.
        latent_dim: L.
        inverse: ``inverse(z_new)`` gives the points back, or those and the log-determinant of this way back.
        layers: where ``fn`` composes several flows, these, the first to be applied first: then the check can say which
            of them were left out.
        seed: of the further points; the first ones are the same for every seed.

    Returns:
        The `Check`. Its gap is the largest of both errors.

    Raises:
        TypeError: ``fn`` or ``inverse`` is not callable.
        ValueError: ``latent_dim`` is not an integer of at least 1.

    Example:
        >>> def stretched(z):
        ...     return z * torch.exp(0.5 * z.sign()), 0.5 * z.sign().sum(-1)
        >>> check_flow(stretched, 3).passed
        True
        >>> check_flow(lambda z: (2 * z, -math.log(2) * z.shape[-1] + 0 * z.sum(-1)), 3).mistake
        'Its log-determinant has the wrong sign: it is that of the way back.'
    """
    require_count(latent_dim=latent_dim)
    if not callable(fn):
        raise TypeError(f"the first argument must be the flow to check, got {type(fn).__name__}")
    if inverse is not None and not callable(inverse):
        raise TypeError(f"inverse must be the function that leads back, got {type(inverse).__name__}")
    check = Check(
        titled("log|det ∂z′/∂z|" + ", and the way back" * (inverse is not None), fn),
        ("your flow", "autograd's full Jacobian"),
        math.nan,
        TOLERANCE,
        dtype="float64",
    )
    fixed = values(5, latent_dim, low=-2.0, high=2.5, seed=21)
    fresh = 1.5 * torch.randn(33, latent_dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    try:
        with quarantine():
            check = _at_points(check, fn, inverse, layers, fixed)
            for z in (fixed[:1], fresh):
                if check.passed:
                    check = _at_points(check, fn, inverse, layers, z)
            return _further(check, fn, inverse, fresh) if check.passed else check
    except Unwritten as error:
        return replace(check, mistake=str(error))
    except Unusable as error:
        return replace(check, gap=math.nan, mistake=f"It {error}")
    except Exception as error:  # a learner's function may fail in any way
        return replace(check, gap=math.nan, mistake=f"It raised {short(error)}")


def _pair(fn: FlowFunction, z: Tensor) -> tuple[Tensor, Tensor]:
    """Images and log-determinant of a copy of the points, of the right shapes."""
    given = z.clone()
    came = fn(given)
    if came is ... or isinstance(came, (tuple, list)) and any(part is ... for part in came):
        raise Unwritten
    if not isinstance(came, (tuple, list)) or len(came) != 2:
        raise Unusable(f"returned {type(came).__name__}, where the pair z′, log|det| is expected.")
    if not torch.equal(given, z):
        raise Unusable("changed its argument z in place: who called goes on with other points.")
    z_new, log_det = as_numbers(came[0]), as_numbers(came[1])
    if z_new.shape != z.shape:
        raise Unusable(f"gave z′ of shape {tuple(z_new.shape)} for z of shape {tuple(z.shape)}: it must be the same.")
    if log_det.shape != z.shape[:-1]:
        raise Unusable(f"gave log|det| of shape {tuple(log_det.shape)}{wrong_shape(log_det, z)}")
    return z_new, log_det


def _at_points(
    check: Check, fn: FlowFunction, inverse: FlowFunction | None, layers: Sequence[FlowFunction], z: Tensor
) -> Check:
    """The check at these points: log-determinant, gradient, way back."""
    z_new, came = _pair(fn, z)
    again_z, again = _pair(fn, z)
    if not (near(again_z, z_new) and near(again, came)):
        return replace(check, mistake="Two calls with the same points gave different answers: a flow draws nothing.")
    singly = [_pair(fn, z[i : i + 1]) for i in range(len(z))]
    if not near(torch.cat([pair[0] for pair in singly]), z_new):
        return replace(check, mistake="A point has another image where it stands beside others: the rows are mixed.")
    check = _gradients(check, fn, z)
    if not check.passed:
        return check
    parts = flow_parts(image_of(fn), [image_of(layer) for layer in layers], z)
    check = replace(check, gap=distance(came.detach(), parts.log_det))
    if not check.passed:
        return replace(check, mistake=name_log_det(parts, came.detach().double(), image_of(fn)))
    if layers and not near(parts.z_new, _composed(layers, z)):
        if near(parts.z_new, _composed(layers[::-1], z)):
            return replace(check, gap=math.nan, mistake="It applies the layers in reverse order.")
        return replace(check, gap=math.nan, mistake="It does not apply the layers one after the other.")
    gap = _gradient_gap(fn, came, z)
    if not gap <= TOLERANCE:
        said = "is not that of its values" if came.requires_grad else "is missing: it is detached from z"
        return replace(
            check, gap=gap, unit="in its gradients", mistake=f"Its log-determinant is right, its gradient {said}."
        )
    return back_from_images(check, fn, inverse, layers, parts) if inverse is not None else check


def _gradients(check: Check, fn: FlowFunction, z: Tensor) -> Check:
    """The check of what autograd says of the map itself: the Jacobian is its, too, and misses what is detached."""
    at, weights = z.clone().requires_grad_(), torch.linspace(1, 2, len(z))

    def total() -> Tensor:
        images: Tensor = (weights[:, None] * fn(at.clone())[0]).sum()
        return images

    learned = fn.named_parameters() if isinstance(fn, nn.Module) else ()
    for name, leaf in [("z", at), *learned]:
        if leaf.requires_grad:  # long steps for a map that computes in float32, short ones for one with kinks
            gap, missing = slope_gap(total, leaf, seed=35, steps=[1e-2, 1e-4, 1e-6])
            if not gap <= SLOPES:
                return replace(check, gap=gap, bound=SLOPES, unit=RELATIVE, mistake=name_slope("z′", name, missing))
    return replace(check, gap=0.0)


SLOPES = 1e-2
"""What central differences leave between right slopes: far below what is lost where something is detached."""


def _further(check: Check, fn: FlowFunction, inverse: FlowFunction | None, fresh: Tensor) -> Check:
    """The check, once leading axes, folds and total mass have been looked at."""
    latent_dim = fresh.shape[-1]
    z = fresh[:30].reshape(5, 6, latent_dim)
    z_new, log_det = _pair(fn, z)
    flat_new, flat = _pair(fn, z.reshape(30, latent_dim))
    if not (near(z_new.reshape(30, latent_dim), flat_new) and near(log_det.reshape(30), flat)):
        return replace(check, gap=math.nan, mistake="With draws before the batch, z of shape (K, B, L), it differs.")
    wide = 3 * torch.randn(2000, latent_dim, generator=torch.Generator().manual_seed(0))
    signs = torch.linalg.slogdet(full_jacobian(image_of(fn), wide)).sign
    if not (signs == signs[0]).all():
        share = (signs != signs.median()).double().mean().item()
        mistake = "folds: two points have one image, and the formula for the density fails. Constrain its parameters"
        return replace(
            check,
            gap=share,
            bound=0.0,
            unit="of the points",
            mistake=f"Its determinant changes its sign; the map {mistake}.",
        )
    if inverse is not None and latent_dim <= 2 and not abs((mass := _mass(fn, inverse, latent_dim)) - 1) <= 1e-2:
        mistake = (
            f"By its inverse and log-determinant, the density of z′ integrates to {mass:.4f} over a grid, not to 1."
        )
        return replace(check, gap=abs(mass - 1), bound=1e-2, unit="", mistake=mistake)
    return check


def _mass(fn: FlowFunction, inverse: FlowFunction, latent_dim: int) -> float:
    """The integral of z′'s density where z is a standard Gaussian, over a box that holds the images of nearly all z."""
    z, _ = grid([-6.0] * latent_dim, [6.0] * latent_dim, 61)
    images = _pair(fn, z)[0].detach()
    z_new, cell = grid(images.amin(0).tolist(), images.amax(0).tolist(), 401)
    found = inverse(z_new)
    back = as_numbers(found[0] if isinstance(found, (tuple, list)) else found).detach()
    log_det = _pair(fn, back)[1].detach()
    log_density = -0.5 * (math.log(2 * math.pi) + back**2).sum(-1) - log_det
    return log_density.exp().sum().item() * cell


def _gradient_gap(fn: FlowFunction, came: Tensor, z: Tensor) -> float:
    """How far the gradient of the log-determinant is from that of autograd's, in z and in a module's parameters."""
    at = z.clone().requires_grad_()
    inputs = [at, *(p for p in fn.parameters() if p.requires_grad)] if isinstance(fn, nn.Module) else [at]
    weights = torch.linspace(1, 2, len(z))
    exact = torch.linalg.slogdet(full_jacobian(image_of(fn), at, create_graph=True)).logabsdet
    sides = [(weights * side).sum() for side in (fn(at)[1], exact)]
    of_came, of_exact = (
        torch.autograd.grad(side, inputs, materialize_grads=True)
        if side.requires_grad
        else [torch.zeros_like(i) for i in inputs]
        for side in sides
    )
    return max(distance(a, b) for a, b in zip(of_came, of_exact, strict=True))


def _composed(layers: Sequence[FlowFunction], z: Tensor) -> Tensor:
    for layer in layers:
        z = layer(z)[0]
    return z.detach()
