"""Wrong versions of the minibatch-weighted estimate of total correlation."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vae_tutorial.checks.mistakes.densities import LOG_NORMAL

Dependence = Callable[[Tensor, Tensor, Tensor, int], Tensor]  # z, mu, log_var, n_data

lse = torch.logsumexp


def _pairs(z: Tensor, mu: Tensor, log_var: Tensor, of: str = "") -> Tensor:
    """log q(z_il|x_j), shape (M, M, L)."""
    return LOG_NORMAL[of](z[:, None], mu, log_var)


def _of_pairs(formula: Callable[[Tensor, float], Tensor], of: str = "") -> Dependence:
    """A function of that matrix and log NM."""
    return lambda z, mu, log_var, n: formula(_pairs(z, mu, log_var, of), math.log(n * len(z)))


def _estimate(q: Tensor, joint: Tensor | float, marginal: Tensor | float, axis: int = 1) -> Tensor:
    return lse(q.sum(-1) - joint, axis) - (lse(q, axis) - marginal).sum(-1)


def _right(q: Tensor, log_nm: float) -> Tensor:
    return _estimate(q, log_nm, log_nm)


def _constant(joint: Callable[[float, float], float], marginal: Callable[[float, float], float]) -> Dependence:
    """The right one with other constants, functions of log N and log M."""

    def estimate(z: Tensor, mu: Tensor, log_var: Tensor, n: int) -> Tensor:
        logs = math.log(n), math.log(len(z))
        return _estimate(_pairs(z, mu, log_var), joint(*logs), marginal(*logs))

    return estimate


def _one_less(log_n: float, log_m: float) -> float:
    return log_n + math.log(max(round(math.exp(log_m)) - 1, 1))


def _own(q: Tensor) -> Tensor:
    """log q(z_i|x_i), shape (M, L)."""
    return q.diagonal(dim1=0, dim2=1).T


def _without_own(q: Tensor) -> Tensor:
    return q.masked_fill(torch.eye(len(q), dtype=torch.bool)[..., None], -torch.inf)


def _added(small: float) -> Callable[[Tensor, float], Tensor]:
    def estimate(q: Tensor, log_nm: float) -> Tensor:
        joint, marginals = ((lse(t, 1) - log_nm).exp() for t in (q.sum(-1), q))
        return (joint + small).log() - (marginals + small).log().sum(-1)

    return estimate


def _stratified(z: Tensor, mu: Tensor, log_var: Tensor, n: int) -> Tensor:
    m = len(z)
    weights = torch.full((m, m), (n - 1) / (n * max(m - 1, 1)), dtype=z.dtype).fill_diagonal_(1 / n).log()
    q = _pairs(z, mu, log_var)
    return lse(q.sum(-1) + weights, 1) - lse(q + weights[..., None], 1).sum(-1)


def _published_weights(z: Tensor, mu: Tensor, log_var: Tensor, n: int) -> Tensor:
    """The weights of stratified sampling in a first column instead of on the diagonal."""
    m = max(len(z) - 1, 1)
    weights = torch.full((len(z), len(z)), 1 / m, dtype=z.dtype)
    weights.view(-1)[:: m + 1] = 1 / n
    weights.view(-1)[1 :: m + 1] = (n - m) / (n * m)
    weights[m - 1, 0] = (n - m) / (n * m)
    q = _pairs(z, mu, log_var)
    return lse(q.sum(-1) + weights.log(), 1) - lse(q + weights.log()[..., None], 1).sum(-1)


def _of_covariance(z: Tensor) -> Tensor:
    centered = z - z.mean(0)
    cov = centered.T @ centered / max(len(z) - 1, 1)
    log_det: Tensor = torch.linalg.slogdet(cov).logabsdet
    return (0.5 * (cov.diagonal().log().sum() - log_det)).expand(len(z))


DEPENDENCE: dict[str, Dependence] = {
    "": _of_pairs(_right),
    # The constants.
    "lacks −log(NM): once in log q(z), and once in each of the L marginals, so that (L − 1) log(NM) is missing": (
        _constant(lambda n, m: 0.0, lambda n, m: 0.0)
    ),
    "subtracts log M, where log(NM) belongs: it is a mean over the minibatch, and (L − 1) log N is missing": (
        _constant(lambda n, m: m, lambda n, m: m)
    ),
    "subtracts log N, where log(NM) belongs: (L − 1) log M is missing": _constant(lambda n, m: n, lambda n, m: n),
    "subtracts log(NM) from log q(z) alone: each marginal is a mean as well": _constant(
        lambda n, m: n + m, lambda n, m: 0.0
    ),
    "subtracts log(NM) from the marginals alone: log q(z) is a mean as well": _constant(
        lambda n, m: 0.0, lambda n, m: n + m
    ),
    "adds log(NM), where it is to be subtracted": _constant(lambda n, m: -n - m, lambda n, m: -n - m),
    "subtracts NM itself, where its logarithm belongs": _of_pairs(
        lambda q, log_nm: _estimate(q, math.exp(log_nm), math.exp(log_nm))
    ),
    "subtracts log N − log M, where log N + log M belongs": _constant(lambda n, m: n - m, lambda n, m: n - m),
    "subtracts log M from log q(z) and log(NM) from the marginals: log(NM) belongs to both": _constant(
        lambda n, m: m, lambda n, m: n + m
    ),
    "subtracts log(NM) from log q(z) and log M from the marginals: log(NM) belongs to both": _constant(
        lambda n, m: n + m, lambda n, m: m
    ),
    "divides by N(M − 1): all M examples of the minibatch are in the sum": _constant(_one_less, _one_less),
    # The axes.
    "sums over the wrong axis: the log-sum-exp belongs over the examples x_j of one z, not over the z of one x_j": (
        _of_pairs(lambda q, log_nm: _estimate(q, log_nm, log_nm, axis=0))
    ),
    "sums over the wrong axis in log q(z): the log-sum-exp belongs over the examples x_j": _of_pairs(
        lambda q, log_nm: lse(q.sum(-1) - log_nm, 0) - (lse(q, 1) - log_nm).sum(-1)
    ),
    "sums over the wrong axis in the marginals: the log-sum-exp belongs over the examples x_j": _of_pairs(
        lambda q, log_nm: lse(q.sum(-1) - log_nm, 1) - (lse(q, 0) - log_nm).sum(-1)
    ),
    "takes the product of the marginals over the wrong axis: the log-sum-exp goes over the examples, the sum over the "
    "dimensions": _of_pairs(lambda q, log_nm: lse(q.sum(-1) - log_nm, 1) - (lse(q, 2) - log_nm).sum(-1)),
    "is 0 for every z: log q(z) and the product of marginals are one number. The dimensions are to be summed before "
    "the log-sum-exp in log q(z) and after it in the marginals, and no mean of logarithms stands for it": (
        lambda z, mu, log_var, n: 0 * (z + mu + log_var).sum(-1)
    ),
    "sums the dimensions at one place in log q(z) and in the marginals, and differs from 0 by constants alone: before "
    "the log-sum-exp in the one, after it in the others": _of_pairs(
        lambda q, log_nm: 0 * lse(q, 1).sum(-1) + (q.shape[-1] - 1) * log_nm
    ),
    "averages log q(z|x) over the dimensions, where it should be summed": _of_pairs(
        lambda q, log_nm: lse(q.mean(-1) - log_nm, 1) - (lse(q, 1) - log_nm).mean(-1)
    ),
    "averages the marginals' logarithms over the dimensions: they are to be summed": _of_pairs(
        lambda q, log_nm: lse(q.sum(-1) - log_nm, 1) - (lse(q, 1) - log_nm).mean(-1)
    ),
    "averages over the dimensions in log q(z): log-densities of dimensions add up": _of_pairs(
        lambda q, log_nm: lse(q.mean(-1) - log_nm, 1) - (lse(q, 1) - log_nm).sum(-1)
    ),
    "adds up the densities of the dimensions in log q(z): they are to be multiplied, their logarithms summed": (
        _of_pairs(lambda q, log_nm: lse(q, (1, 2)) - log_nm - (lse(q, 1) - log_nm).sum(-1))
    ),
    "takes the variance of the example that z is from, where that of x_j belongs": (
        lambda z, mu, log_var, n: _right(LOG_NORMAL[""](z[:, None], mu, log_var[:, None]), math.log(n * len(z)))
    ),
    # What is summed.
    "takes the largest term alone: max stands where log-sum-exp belongs": _of_pairs(
        lambda q, log_nm: q.sum(-1).amax(1) - log_nm - (q.amax(1) - log_nm).sum(-1)
    ),
    "has log q(z|x) of the own example in place of log q(z): that difference holds the mutual information as well": (
        _of_pairs(lambda q, log_nm: _own(q).sum(-1) - (lse(q, 1) - log_nm).sum(-1))
    ),
    "has the own example's posterior in place of the marginals": _of_pairs(
        lambda q, log_nm: lse(q.sum(-1) - log_nm, 1) - _own(q).sum(-1)
    ),
    "leaves out the own example: the sum over the minibatch has M terms": _of_pairs(
        lambda q, log_nm: _right(_without_own(q), log_nm)
    ),
    "is log q(z) alone: the marginals are missing": _of_pairs(lambda q, log_nm: lse(q.sum(-1) - log_nm, 1)),
    "is the product of the marginals alone: log q(z) is missing": _of_pairs(
        lambda q, log_nm: (lse(q, 1) - log_nm).sum(-1)
    ),
    "adds the marginals' logarithms, where they are to be subtracted": _of_pairs(
        lambda q, log_nm: lse(q.sum(-1) - log_nm, 1) + (lse(q, 1) - log_nm).sum(-1)
    ),
    "is clamped at 0: a total correlation is no less, but one point's log-ratio may be": _of_pairs(
        lambda q, log_nm: _right(q, log_nm).clamp(min=0)
    ),
    "takes the absolute value: one point's log-ratio may be negative": _of_pairs(
        lambda q, log_nm: _right(q, log_nm).abs()
    ),
    "compares q(z) with the prior: log p(z) stands where the marginals belong": (
        lambda z, mu, log_var, n: (
            lse(_pairs(z, mu, log_var).sum(-1), 1)
            - math.log(n * len(z))
            - LOG_NORMAL[""](z, 0 * mu, 0 * log_var).sum(-1)
        )
    ),
    "compares the product of the marginals with the prior: that is the dimension-wise KL": (
        lambda z, mu, log_var, n: (
            lse(_pairs(z, mu, log_var), 1) - math.log(n * len(z)) - LOG_NORMAL[""](z, 0 * mu, 0 * log_var)
        ).sum(-1)
    ),
    "is log q(z|x) − log q(z), the mutual information of code and example": _of_pairs(
        lambda q, log_nm: _own(q).sum(-1) - lse(q.sum(-1) - log_nm, 1)
    ),
    "is log q(z|x) − log p(z), the KL itself": (
        lambda z, mu, log_var, n: (LOG_NORMAL[""](z, mu, log_var) - LOG_NORMAL[""](z, 0 * mu, 0 * log_var)).sum(-1)
    ),
    "weights the examples as stratified sampling does, 1/N the own one: the minibatch-weighted estimate is asked for": (
        _stratified
    ),
    "has the weights of stratified sampling in a column, where they belong on the diagonal; and the minibatch-weighted "
    "estimate is asked for": _published_weights,
    "measures the correlation of the z of the minibatch, and no density": (lambda z, mu, log_var, n: _of_covariance(z)),
    "measures the correlation of the means, and no density": lambda z, mu, log_var, n: _of_covariance(mu),
    "evaluates the densities at the means: z belongs there": (
        lambda z, mu, log_var, n: _of_pairs(_right)(mu, mu, log_var, n)
    ),
} | {
    f"in each q(z|x) {clause}": _of_pairs(_right, clause)
    for clause in LOG_NORMAL
    # What all densities have in common is the same in log q(z) and in the product of the marginals.
    if clause and not any(words in clause for words in ("arguments exchanged", "2π", "constant"))
}
DEPENDENCE |= {
    f"adds {small:g} inside the logarithms: log-sum-exp needs no small number": _of_pairs(_added(small))
    for small in (1e-6, 1e-8, 1e-10)
}
