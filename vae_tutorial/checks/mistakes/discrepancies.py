"""Wrong versions of the maximum mean discrepancy: each gives one number for draws x and y and a bandwidth h."""

from collections.abc import Callable

import torch
from torch import Tensor

Discrepancy = Callable[[Tensor, Tensor, float], Tensor]
Kernel = Callable[[Tensor, Tensor, float], Tensor]
Mean = Callable[[Tensor], Tensor]


def squares(x: Tensor, y: Tensor) -> Tensor:
    return ((x[:, None] - y) ** 2).sum(-1)


def gaussian(x: Tensor, y: Tensor, h: float) -> Tensor:
    return (-squares(x, y) / (2 * h**2)).exp()


def _others(gram: Tensor) -> Tensor:
    """The mean over pairs of two different draws."""
    return (gram.sum() - gram.trace()) / (len(gram) * (len(gram) - 1))


def _made(within: Mean = _others, kernel: Kernel = gaussian, cross: float = -2.0, of_y: float = 1.0) -> Discrepancy:
    """Right but for the kernel, the mean within a set, the factor of the cross term, or that of the term of y."""

    def mmd(x: Tensor, y: Tensor, h: float) -> Tensor:
        return within(kernel(x, x, h)) + of_y * within(kernel(y, y, h)) + cross * kernel(x, y, h).mean()

    return mmd


def _scaled(scale: Callable[[Tensor, float], Tensor]) -> Discrepancy:
    """Right but for the exponent, a function of the squared distances and h."""
    return _made(kernel=lambda x, y, h: (-scale(squares(x, y), h)).exp())


def _whole(last: Callable[[Tensor], Tensor]) -> Discrepancy:
    return lambda x, y, h: last(_made()(x, y, h))


def _exchanged(x: Tensor, y: Tensor, h: float) -> Tensor:
    kx, ky, n, m = gaussian(x, x, h), gaussian(y, y, h), len(x), len(y)
    within = (kx.sum() - n) / (m * (m - 1)) + (ky.sum() - m) / (n * (n - 1))
    return within - 2 * gaussian(x, y, h).mean()


def _cross_by_n(x: Tensor, y: Tensor, h: float) -> Tensor:
    return _made(cross=0.0)(x, y, h) - 2 * gaussian(x, y, h).sum() / len(x) ** 2


def _all_by_n(x: Tensor, y: Tensor, h: float) -> Tensor:
    kx, ky, n = gaussian(x, x, h), gaussian(y, y, h), len(x)
    return (kx.sum() - n + ky.sum() - len(y)) / (n * (n - 1)) - 2 * gaussian(x, y, h).mean()


def _cross_without_diagonal(x: Tensor, y: Tensor, h: float) -> Tensor:
    cross, n, m = gaussian(x, y, h), len(x), len(y)
    return _made(cross=0.0)(x, y, h) - 2 * (cross.sum() - cross.diag().sum()) / (n * m - min(n, m))


def _lacks_x(x: Tensor, y: Tensor, h: float) -> Tensor:
    return _others(gaussian(y, y, h)) - 2 * gaussian(x, y, h).mean()


def _summed(x: Tensor, y: Tensor, h: float) -> Tensor:
    kx, ky = gaussian(x, x, h), gaussian(y, y, h)
    return kx.sum() - kx.trace() + ky.sum() - ky.trace() - 2 * gaussian(x, y, h).sum()


def _first_batch_free(x: Tensor, y: Tensor, h: float) -> Tensor:
    return _made()(x.detach(), y, h)


def _by_dimension(x: Tensor, y: Tensor, h: float) -> Tensor:
    return (-((x[:, None] - y) ** 2) / (2 * h**2)).exp().sum(-1)


MMD: dict[str, Discrepancy] = {
    "": _made(),
    # The mean within a set of draws.
    "keeps the diagonal, k(x, x) = 1: this is the V-statistic, which is biased upwards": _made(torch.mean),
    "drops the diagonal and divides by N², where N(N − 1) pairs are left": (
        _made(lambda gram: (gram.sum() - gram.trace()) / gram.numel())
    ),
    "keeps the diagonal and divides by N(N − 1): without k(x, x) that is the number of pairs": (
        _made(lambda gram: gram.sum() / (len(gram) * (len(gram) - 1)))
    ),
    "counts each pair of a set once and divides by N(N − 1): the pairs are N(N − 1) / 2 then": (
        _made(lambda gram: 0.5 * _others(gram))
    ),
    "divides the pairs within x by the number of those within y, and the other way round": _exchanged,
    "divides the pairs within y by N(N − 1), where they are M(M − 1)": _all_by_n,
    "sums over pairs, where means are meant": _summed,
    # The cross term.
    "takes the cross term once, where it counts twice": _made(cross=-1.0),
    "adds the cross term, which is subtracted": _made(cross=2.0),
    "lacks the cross term: nothing compares x with y": _made(cross=0.0),
    "divides the cross term by N², where it has N M pairs": _cross_by_n,
    "drops the diagonal of the cross term, where x and y are different draws anyway": _cross_without_diagonal,
    "lacks the term of x alone": _lacks_x,
    "lacks the term of y alone": _made(of_y=0.0),
    "subtracts the term of y alone, which is added": _made(of_y=-1.0),
    # The kernel.
    "divides ‖x − y‖² by h², where 2h² is meant": _scaled(lambda d2, h: d2 / h**2),
    "divides ‖x − y‖² by 2h, where 2h² is meant: it takes the bandwidth for its square": (
        _scaled(lambda d2, h: d2 / (2 * h))
    ),
    "divides ‖x − y‖² by h, where 2h² is meant": _scaled(lambda d2, h: d2 / h),
    "lacks the minus sign in the exponent: its kernel grows with the distance": _scaled(lambda d2, h: -d2 / (2 * h**2)),
    "multiplies ‖x − y‖² by 2h², where it is to be divided": _scaled(lambda d2, h: d2 * 2 * h**2),
    "multiplies ‖x − y‖² by h, as if the bandwidth were the γ of exp(−γ ‖x − y‖²)": _scaled(lambda d2, h: d2 * h),
    "does not use the bandwidth: it is 1, whatever is given": _scaled(lambda d2, h: d2 / 2),
    "takes the distance, not its square, for the exponent": (
        _scaled(lambda d2, h: torch.where(d2 > 0, d2, 1).sqrt().where(d2 > 0, 0) / (2 * h**2))
    ),
    "averages the squares over the dimensions, where ‖x − y‖² is a sum": (
        _made(kernel=lambda x, y, h: (-squares(x, y) / x.shape[-1] / (2 * h**2)).exp())
    ),
    "adds up a kernel for each dimension, where they are multiplied": _made(kernel=_by_dimension),
    "uses the inverse multiquadratic kernel C / (C + ‖x − y‖²) with C = 2h²": (
        _made(kernel=lambda x, y, h: 1 / (1 + squares(x, y) / (2 * h**2)))
    ),
    "compares the means alone: this is the kernel x·y, for which distributions of one mean are alike": (
        _made(kernel=lambda x, y, h: x @ y.T)
    ),
    # What is done with the sum.
    "takes the root of it, which has no meaning where the estimate is negative": (_whole(lambda mmd: mmd.abs().sqrt())),
    "takes the root of it, clipped at 0: that has no meaning where the estimate is negative": (
        _whole(lambda mmd: torch.where(mmd > 0, mmd, 1).sqrt().where(mmd > 0, 0))
    ),
    "clips the estimate at 0: an unbiased one is negative now and then": _whole(lambda mmd: mmd.clamp(min=0)),
    "has the opposite sign": _whole(lambda mmd: -mmd),
    "passes no gradient to x": _first_batch_free,
}
