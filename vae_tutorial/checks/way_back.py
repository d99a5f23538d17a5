"""The way back of a flow: from its images to the points, and with minus the log-determinant."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from vae_tutorial.checks.answers import TOLERANCE, Unusable, Unwritten, as_numbers
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.mistakes.flows import (
    WAY_BACK,
    FlowFunction,
    FlowParts,
    distance,
    flow_parts,
    image_of,
    near,
    wrong_shape,
)
from vae_tutorial.checks.naming import numbers


def back_from_images(
    check: Check, fn: FlowFunction, inverse: FlowFunction, layers: Sequence[FlowFunction], parts: FlowParts
) -> Check:
    """The check of the way back from the images."""
    found = inverse(parts.z_new.clone())
    if found is ...:
        raise Unwritten
    back, log_det = (found[0], found[1]) if isinstance(found, (tuple, list)) else (found, None)
    back = as_numbers(back).detach()
    if back.shape != parts.z.shape:
        return replace(
            check, gap=math.nan, mistake=f"Its inverse gave shape {tuple(back.shape)}: that of z is expected."
        )
    gap = distance(back, parts.z)
    check = replace(check, gap=max(check.gap, gap))
    if not gap <= TOLERANCE:
        return replace(check, gap=gap, unit="", mistake=_name_way_back(fn, layers, parts, back))
    if log_det is None:
        return check
    log_det = as_numbers(log_det).detach().double()
    if log_det.shape != parts.log_det.shape:
        raise Unusable(
            f"gave, on the way back, log|det| of shape {tuple(log_det.shape)}{wrong_shape(log_det, parts.z)}"
        )
    gap = distance(log_det, -parts.log_det)
    if gap <= TOLERANCE:
        return replace(check, gap=max(check.gap, gap))
    same = near(log_det, parts.log_det)
    cause = "has the sign of the way there" if same else "is not minus that of the way there"
    return replace(check, gap=gap, mistake=f"Its inverse leads back, but the log-determinant of the inverse {cause}.")


def _name_way_back(fn: FlowFunction, layers: Sequence[FlowFunction], parts: FlowParts, back: Tensor) -> str:
    again = flow_parts(image_of(fn), [], parts.z_new)
    for clause, wrong in WAY_BACK.items():
        if near(back, wrong(parts, again)):
            return f"Its inverse {clause}."
    if layers and all(isinstance(getattr(layer, "inverse", None), Callable) for layer in layers):  # type: ignore[arg-type]
        here = parts.z_new
        for layer in layers:
            here = layer.inverse(here)[0]  # type: ignore[attr-defined]
        if near(back, here.detach()):
            return "Its inverse undoes the first layer first; the last done is the first to undo."
    i = int((back - parts.z).abs().amax(-1).nan_to_num(nan=math.inf).argmax())
    return f"Its inverse does not lead back: from the image of {numbers(parts.z[i])} it came to {numbers(back[i])}."
