"""Wrong log-determinants of a flow, and wrong ways back, made of what autograd says of the map itself."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vae_tutorial.checks.answers import relative_gap
from vae_tutorial.checks.claims import told_apart
from vae_tutorial.checks.naming import numbers

Map = Callable[[Tensor], Tensor]
FlowFunction = Callable[[Tensor], Any]


class FlowParts(NamedTuple):
    """A map at some points, by autograd.

    Attributes:
        z, z_new: points and their images, shape (B, L).
        jacobian: shape (B, L, L).
        log_det: the logarithm of the absolute value of its determinant, shape (B,).
        layer_log_dets: of each layer where it stands, shape (T, B); no row where the layers are not known.
        at_the_start: of each layer at z itself, of the same shape.
    """

    z: Tensor
    z_new: Tensor
    jacobian: Tensor
    log_det: Tensor
    layer_log_dets: Tensor
    at_the_start: Tensor

    @property
    def scale(self) -> Tensor:
        """The Jacobian's diagonal, shape (B, L): the scales of an affine flow."""
        return self.jacobian.diagonal(dim1=-2, dim2=-1)

    @property
    def shift(self) -> Tensor:
        """The shifts of an affine flow, shape (B, L)."""
        return self.z_new - self.scale * self.z

    @property
    def moved(self) -> Tensor:
        """Which dimensions are scaled at all, shape (L,)."""
        return (self.scale - 1).abs().amax(0) > 1e-9


def image_of(fn: FlowFunction) -> Map:
    """The map alone, without its log-determinant."""

    def image(z: Tensor) -> Tensor:
        z_new: Tensor = fn(z)[0]
        return z_new

    return image


def full_jacobian(fn: Map, z: Tensor, *, create_graph: bool = False) -> Tensor:
    """The Jacobian at each point, shape (B, L, L); ``fn`` treats the points one by one."""
    jacobian = torch.autograd.functional.jacobian(lambda z: fn(z).sum(0), z, create_graph=create_graph)
    by_point: Tensor = jacobian.movedim(1, 0)
    return by_point


def flow_parts(fn: Map, layers: Sequence[Map], z: Tensor) -> FlowParts:
    """The parts at these points."""

    def log_det_of(f: Map, z: Tensor) -> Tensor:
        logarithm: Tensor = torch.linalg.slogdet(full_jacobian(f, z)).logabsdet
        return logarithm

    here, in_place, at_the_start = z, [], []
    for layer in layers:
        in_place.append(log_det_of(layer, here))
        at_the_start.append(log_det_of(layer, z))
        here = layer(here).detach()
    none = z.new_zeros(0, len(z))
    jacobian = full_jacobian(fn, z).detach()
    return FlowParts(
        z,
        fn(z).detach(),
        jacobian,
        torch.linalg.slogdet(jacobian).logabsdet,
        torch.stack(in_place) if layers else none,
        torch.stack(at_the_start) if layers else none,
    )


def _over_moved(function: Callable[[Tensor], Tensor]) -> Callable[[FlowParts], Tensor]:
    """The sum over the dimensions that are scaled of a function of the scale."""

    def total(p: FlowParts) -> Tensor:
        terms: Tensor = torch.where(p.moved, function(p.scale), torch.zeros_like(p.scale))
        return terms.sum(-1)

    return total


LOG_DET: dict[str, Callable[[FlowParts], Tensor]] = {
    "has the wrong sign: it is that of the way back": lambda p: -p.log_det,
    "is 0 everywhere: the change of volume is not counted": lambda p: 0 * p.log_det,
    "is counted once for each dimension: L times log|det|": lambda p: p.z.shape[-1] * p.log_det,
    "is averaged over the dimensions, where their logarithms add up": lambda p: p.log_det / p.z.shape[-1],
    "is added up over the batch and given to each of its points": lambda p: p.log_det.sum().expand(len(p.z)),
    "is averaged over the batch and given to each of its points": lambda p: p.log_det.mean().expand(len(p.z)),
    "is the determinant itself: its logarithm is missing": lambda p: p.log_det.exp(),
    "is that of the determinant's square": lambda p: 2 * p.log_det,
    "is half of what it should be, as if the log-scales were log-variances": lambda p: p.log_det / 2,
    "has the wrong sign, and is counted once for each dimension": lambda p: -p.z.shape[-1] * p.log_det,
    "is in bits, where nats are expected": lambda p: p.log_det / math.log(2),
    "lacks the 1 of det = 1 + û·ψ": lambda p: (torch.linalg.det(p.jacobian) - 1).abs().log(),
    "is det − 1, which is log det only where little is stretched": lambda p: torch.linalg.det(p.jacobian) - 1,
    "adds up the scales themselves, where their logarithms belong": _over_moved(lambda d: d),
    "takes the logarithm of the log-scales: where the map multiplies by e^s, log|det| is Σs": _over_moved(
        lambda d: d.log().abs().log()
    ),
    "adds up what stands under the sigmoid: the scale is the sigmoid, log σ(s) belongs": _over_moved(torch.logit),
    "adds up what stands under the softplus: the scale is the softplus, its logarithm belongs": _over_moved(
        lambda d: torch.expm1(d).log()
    ),
    "adds up what stands under the tanh: where the map multiplies by exp(tanh s), tanh s belongs": _over_moved(
        lambda d: d.log().atanh()
    ),
    "counts the shifts, which change no volume": lambda p: p.log_det + p.shift.sum(-1),
    "is in the logarithm of base 10, where the natural one is expected": lambda p: p.log_det / math.log(10),
    "multiplies the log-scales, which add up": lambda p: torch.where(
        p.moved, p.scale.abs().log(), torch.ones_like(p.scale)
    ).prod(-1),
    "counts the first dimension alone": lambda p: p.scale[:, 0].abs().log(),
    "counts the last dimension alone": lambda p: p.scale[:, -1].abs().log(),
    "leaves out the last dimension": lambda p: p.scale[:, :-1].abs().log().sum(-1),
    "is that of the diagonal, but the Jacobian is not triangular: a mask lets an output see what comes later": (
        lambda p: p.scale.abs().log().sum(-1)
    ),
    "takes every layer's at the first z, where each belongs at the layer's own input": (
        lambda p: p.at_the_start.sum(0) if len(p.at_the_start) else torch.full_like(p.log_det, torch.nan)
    ),
    "is averaged over the layers, where they add up": lambda p: p.log_det / max(1, len(p.layer_log_dets)),
}  # fmt: skip


WAY_BACK: dict[str, Callable[[FlowParts, FlowParts], Tensor]] = {  # of the map at z, and at z'
    "does nothing": lambda p, again: p.z_new,
    "is the way there once more": lambda p, again: again.z_new,
    "takes scale and shift at z′, where they belong at z: it must find one dimension after the other": (
        lambda p, again: (p.z_new - again.shift) / again.scale
    ),
    "subtracts the shift after it has undone the scale; the last done is the first to undo": (
        lambda p, again: p.z_new / p.scale - p.shift
    ),
    "adds the shift, which is to be subtracted": lambda p, again: (p.z_new + p.shift) / p.scale,
    "multiplies by the scale, where it divides": lambda p, again: (p.z_new - p.shift) * p.scale,
    "does not undo the scale": lambda p, again: p.z_new - p.shift,
    "does not undo the shift": lambda p, again: p.z_new / p.scale,
}


def near(a: Tensor, b: Tensor) -> bool:
    """Whether two answers are one but for rounding."""
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-6, atol=1e-6, equal_nan=True)


def _of_some_layers(parts: FlowParts, came: Tensor) -> str:
    """The clause that only some layers were counted, or with signs of their own; "" where it is not so."""
    n_layers = len(parts.layer_log_dets)
    for n in range(1, n_layers) if n_layers <= 8 else (1, n_layers - 1):  # 2^T subsets would take too long
        for some in combinations(range(n_layers), n):
            if near(came, parts.layer_log_dets[list(some)].sum(0)):
                names = ", ".join(str(i + 1) for i in some)
                return f"counts only layer{'s' * (n > 1)} {names} of {n_layers}: those of all layers add up"
    return ""


def name_log_det(parts: FlowParts, came: Tensor, fn: Map) -> str:
    """The sentence for a log-determinant that is not that of the map."""
    if came.isnan().any():
        negative = torch.linalg.det(parts.jacobian)[came.isnan()] < 0
        cause = ": it is the logarithm of a negative determinant, the absolute value is missing" * bool(negative.all())
        return f"Its log-determinant is NaN{cause}."
    if (lost := parts.log_det.isneginf()).any():
        at = numbers(parts.z[int(lost.nonzero()[0])])
        return f"Its determinant is 0 at z = {at}: the map has no way back, as many points have one image."
    if (infinite := came.isinf()).any():
        at = numbers(parts.z[int(infinite.nonzero()[0])])
        return f"Its log-determinant is infinite at z = {at}: the logarithm of 0 is taken, or an exponential overflows."
    for clause, wrong in LOG_DET.items():
        if near(came, wrong(parts)):
            return f"Its log-determinant {clause}."
    if clause := _of_some_layers(parts, came):
        return f"Its log-determinant {clause}."
    i = int((came - parts.log_det).abs().argmax())
    one, other = told_apart(came[i].item(), parts.log_det[i].item())
    evidence = f"At z = {numbers(parts.z[i])} it gave {one}, where autograd's Jacobian has {other}."
    return f"{_of_det(parts, came) or _triangular(parts, fn, i)}{evidence}"


def _of_det(parts: FlowParts, came: Tensor) -> str:
    """What the determinants that it reports have to do with the right ones, where it is simple."""
    det, reported = parts.log_det.exp(), came.exp()
    if len(came) > 1 and near(came, came[0].expand_as(came)):
        return "It is the same at every z, where it depends on z: is a derivative left out? "
    if near(added := reported - det, added[0].expand_as(det)):
        return f"It adds {added[0]:.3g} to |det| inside the logarithm. "
    slope = torch.linalg.det(parts.jacobian) - 1
    if near(factor := (reported - 1) / slope, factor[0].expand_as(det)):
        return f"Where the map has det = 1 + s, it has 1 + {factor[0]:.4g} s: a factor of s is wrong. "
    return ""


def _triangular(parts: FlowParts, fn: Map, i: int) -> str:
    """What is to be said of an autoregressive flow, whose log-determinant is a sum over the dimensions."""
    depends = (parts.jacobian.abs().amax(0) > 1e-12).double().fill_diagonal_(0)
    n_dims = parts.z.shape[-1]
    if not depends.any() or torch.linalg.matrix_power(depends, n_dims).any():
        return ""
    said = "Its Jacobian is triangular, so log|det| is the sum of log|∂z′_l/∂z_l|, and it is not: "
    for dim in range(n_dims):
        moved = full_jacobian(fn, parts.z + 0.1 * torch.eye(n_dims)[dim])[:, dim, dim]
        if not near(moved, parts.scale[:, dim]):
            return said + "a scale or a shift sees the dimension that it moves (a mask with ≥ where > belongs). "
    return f"{said}the map multiplies by {numbers(parts.scale[i])} there, whose logarithms belong. "


def wrong_shape(log_det: Tensor, z: Tensor) -> str:
    """What is wrong with a log-determinant of this shape; the words go on after it."""
    expected = f", where {tuple(z.shape[:-1])} is expected, one number a point"
    if log_det.ndim == 0:
        return expected + ": it is added up over the batch, too, or stands for no point of it."
    if log_det.shape == z.shape:
        return expected + ": add up over the last axis, or whoever adds it to log q counts it L times."
    if log_det.shape == (*z.shape[:-1], 1):
        return expected + ": beside a log q of shape (B,) it becomes a table of B × B numbers."
    if z.ndim == 3:
        return expected + ": sum over the last axis, −1, whatever stands before it."
    return expected + "."


def distance(a: Tensor, b: Tensor) -> float:
    """The largest error, of 1 + |exact|; infinite where a number is none."""
    off = relative_gap(a.double(), b).nan_to_num(nan=math.inf, posinf=math.inf)
    return off.max().item() if off.numel() else 0.0
