"""Wrong versions of vector quantization: each gives the code vectors and the loss of z, codebook and β."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[Tensor, Tensor]
Quantizer = Callable[[Tensor, Tensor, float], Pair]
Choice = Callable[[Tensor, Tensor], Tensor]


def distances(z: Tensor, codebook: Tensor) -> Tensor:
    return ((z[:, None] - codebook) ** 2).sum(-1)


def sg(t: Tensor) -> Tensor:
    return t.detach()


def _nearest(z: Tensor, codebook: Tensor) -> Tensor:
    return codebook[distances(z, codebook).argmin(-1)]


def _squares(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2).sum(-1)


def _right(choice: Choice = _nearest) -> Quantizer:
    """Right but for the choice of the code vector."""

    def quantizer(z: Tensor, codebook: Tensor, beta: float) -> Pair:
        e = choice(z, codebook)
        return z + sg(e - z), _squares(sg(z), e) + beta * _squares(z, sg(e))

    return quantizer


def _loss(loss: Callable[[Tensor, Tensor, float], Tensor]) -> Quantizer:
    """Right but for the loss, a function of z, its code vector and β."""

    def quantizer(z: Tensor, codebook: Tensor, beta: float) -> Pair:
        e = _nearest(z, codebook)
        return z + sg(e - z), loss(z, e, beta)

    return quantizer


def _output(output: Callable[[Tensor, Tensor], Tensor]) -> Quantizer:
    """Right but for z_q, a function of z and its code vector."""

    def quantizer(z: Tensor, codebook: Tensor, beta: float) -> Pair:
        e = _nearest(z, codebook)
        return output(z, e), _squares(sg(z), e) + beta * _squares(z, sg(e))

    return quantizer


def _scaled(scale: Callable[[Tensor, Tensor], Tensor]) -> Quantizer:
    """The right loss, one value a vector, after a further step that also sees z."""
    return _loss(lambda z, e, beta: scale(_squares(sg(z), e) + beta * _squares(z, sg(e)), z))


def _soft(z: Tensor, codebook: Tensor) -> Tensor:
    return torch.softmax(-distances(z, codebook), -1) @ codebook


def _softly(z: Tensor, codebook: Tensor, beta: float) -> Pair:
    e, soft = _nearest(z, codebook), _soft(z, codebook)
    return soft + sg(e - soft), _squares(sg(z), e) + beta * _squares(z, sg(e))


def _after(z: Tensor, codebook: Tensor, beta: float) -> Pair:
    z_q = z + sg(_nearest(z, codebook) - z)
    return z_q, _squares(sg(z), z_q) + beta * _squares(z, sg(z_q))


QUANTIZER: dict[str, Quantizer] = {
    "": _right(),
    # The loss: which term is weighted, which is held.
    "weights the codebook loss ‖sg[z] − e‖² with β and the commitment ‖z − sg[e]‖² with 1: β belongs to the "
    "commitment": (_loss(lambda z, e, beta: beta * _squares(sg(z), e) + _squares(z, sg(e)))),
    "lacks both stop-gradients: ‖z − e‖² is one term, and pulls z and e with the same weight 1 + β": (
        _loss(lambda z, e, beta: (1 + beta) * _squares(z, e))
    ),
    "lacks the stop-gradient of the codebook loss, ‖sg[z] − e‖²: z is pulled by it, too": (
        _loss(lambda z, e, beta: _squares(z, e) + beta * _squares(z, sg(e)))
    ),
    "lacks the stop-gradient of the commitment, ‖z − sg[e]‖²: e is pulled by it, too": (
        _loss(lambda z, e, beta: _squares(sg(z), e) + beta * _squares(z, e))
    ),
    "has both terms pull the codebook: the commitment is ‖z − sg[e]‖², where e is held": (
        _loss(lambda z, e, beta: (1 + beta) * _squares(sg(z), e))
    ),
    "has both terms pull z: the codebook loss is ‖sg[z] − e‖², where z is held": (
        _loss(lambda z, e, beta: (1 + beta) * _squares(z, sg(e)))
    ),
    "computes the losses after the straight-through step, of z_q in the place of e: the codebook is not trained, and z "
    "is pushed away from its code": _after,
    "lacks the commitment, or has weights that add up to 1: it comes to ‖z − e‖², where (1 + β)‖z − e‖² is expected": (
        _loss(lambda z, e, beta: _squares(sg(z), e))
    ),
    "lacks the codebook loss: it is β times the commitment, as for a codebook that moving averages learn": (
        _loss(lambda z, e, beta: beta * _squares(z, sg(e)))
    ),
    "does not use β: both terms have the weight 1": (_loss(lambda z, e, beta: _squares(sg(z), e) + _squares(z, sg(e)))),
    "weights both terms with β: the codebook loss has the weight 1": (
        _loss(lambda z, e, beta: beta * (_squares(sg(z), e) + _squares(z, sg(e))))
    ),
    "uses β = 0.25, whatever it is given": _loss(lambda z, e, beta: _squares(sg(z), e) + 0.25 * _squares(z, sg(e))),
    "subtracts the commitment: z is pushed away from its code": (
        _loss(lambda z, e, beta: _squares(sg(z), e) - beta * _squares(z, sg(e)))
    ),
    "takes absolute differences, not squares, for the loss": (
        _loss(lambda z, e, beta: (sg(z) - e).abs().sum(-1) + beta * (z - sg(e)).abs().sum(-1))
    ),
    "takes the distances, not their squares, for the loss": (
        _loss(lambda z, e, beta: _squares(sg(z), e).sqrt() + beta * _squares(z, sg(e)).sqrt())
    ),
    "averages the squares over the dimensions of a vector, where they are summed: it is the loss divided by E": (
        _scaled(lambda loss, z: loss / z.shape[-1])
    ),
    "averages the loss over the batch: one value per vector is expected": _scaled(lambda loss, z: loss.mean()),
    "sums the loss over the batch: one value per vector is expected": _scaled(lambda loss, z: loss.sum()),
    "averages the squares over batch and dimensions, as F.mse_loss does: one sum per vector is expected": (
        _scaled(lambda loss, z: loss.mean() / z.shape[-1])
    ),
    "halves the loss: ½‖·‖² in both terms": _scaled(lambda loss, z: 0.5 * loss),
    "has a loss of the opposite sign": _scaled(lambda loss, z: -loss),
    # What comes out, and where its gradient goes.
    "passes no gradient: z_q is detached, where z + sg[e − z] hands its gradient to z": _output(lambda z, e: sg(e)),
    "lacks the straight-through step: z_q is e, so that its gradient goes to the codebook and none reaches z": (
        _output(lambda z, e: e)
    ),
    "hands the gradient of z_q to both z and the codebook: sg belongs around all of e − z": (
        _output(lambda z, e: z + e - sg(z))
    ),
    "hands the gradient of z_q to z with the opposite sign": _output(lambda z, e: sg(e + z) - z),
    "gives z_q the gradient of a soft assignment, softmax(−‖z − e‖²), where straight-through hands it to z unchanged": (
        _softly
    ),
    "returns z itself: nothing is quantized": _output(lambda z, e: z),
    # Which code.
    "takes a soft assignment, the mean of all code vectors with weights softmax(−‖z − e‖²), where the nearest "
    "belongs": (_right(_soft)),
    "takes the code with the largest dot product z·e: without ‖e‖² this is not the nearest": (
        _right(lambda z, codebook: codebook[(z @ codebook.T).argmax(-1)])
    ),
    "takes the code with the smallest dot product z·e": _right(
        lambda z, codebook: codebook[(z @ codebook.T).argmin(-1)]
    ),
    "takes the code of the most similar direction, the largest cosine: the nearest is meant": _right(
        lambda z, codebook: codebook[(F.normalize(z, dim=-1) @ F.normalize(codebook, dim=-1).T).argmax(-1)]
    ),
    "measures by the largest absolute difference: the nearest by ‖z − e‖² is meant": _right(
        lambda z, codebook: codebook[(z[:, None] - codebook).abs().amax(-1).argmin(-1)]
    ),
    "scales the code vectors to length 1: they are to be taken as they are": _right(
        lambda z, codebook: _nearest(z, F.normalize(codebook, dim=-1))
    ),
    "gives every vector the code of the first": _right(lambda z, codebook: _nearest(z[:1], codebook).expand_as(z)),
    "takes the farthest code: argmax of the distances stands where argmin belongs": _right(
        lambda z, codebook: codebook[distances(z, codebook).argmax(-1)]
    ),
    "expands the distance with + 2 z·e: ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖²": _right(
        lambda z, codebook: codebook[((codebook**2).sum(-1) + 2 * z @ codebook.T).argmin(-1)]
    ),
    "expands the distance with z·e, not 2 z·e: ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖²": _right(
        lambda z, codebook: codebook[((codebook**2).sum(-1) - z @ codebook.T).argmin(-1)]
    ),
    "measures by the sum of absolute differences: the nearest by ‖z − e‖² is meant": _right(
        lambda z, codebook: codebook[(z[:, None] - codebook).abs().sum(-1).argmin(-1)]
    ),
    "sums the distances over the batch: every vector gets the code that suits the whole batch": _right(
        lambda z, codebook: codebook[distances(z, codebook).sum(0).argmin().expand(len(z))]
    ),
}
