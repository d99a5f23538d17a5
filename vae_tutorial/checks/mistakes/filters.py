"""Wrong versions of the Kalman filter: each gives means, covariances and log p(x) for a sequence and a system."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

Found = tuple[Tensor, Tensor, Tensor]
Filter = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Found]


@dataclass(frozen=True)
class Parts:
    """A filter in parts, as textbooks write it; a wrong version replaces one of them."""

    first: bool = False  # whether it predicts before the first x, too
    mean: Callable[[Tensor, Tensor], Tensor] = lambda m, A: A @ m
    cov: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda P, A, Q: A @ P @ A.T + Q
    off: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda x, C, m: x - C @ m
    S: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda P, C, R: C @ P @ C.T + R
    gain: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda P, C, S: P @ C.T @ S.inverse()
    sign: float = 1.0
    update: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = lambda P, G, C, R: P - G @ C @ P
    density: Callable[[Tensor, Tensor], Tensor] = lambda off, S: log_normal(off, S)
    judged: str = "before"  # which innovation and S the likelihood is of
    kept: str = "filtered"
    start: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda m0, P0: (m0, P0)
    scales: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda Q, R: (Q, R)
    total: Callable[[Tensor], Tensor] = torch.sum

    def __call__(self, x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor, m0: Tensor, P0: Tensor) -> Found:
        m, P = self.start(m0, P0)
        Q, R = self.scales(Q, R)
        means, covs, log_p = [], [], []
        for t, x_t in enumerate(x):
            if t or self.first:
                m, P = self.mean(m, A), self.cov(P, A, Q)
            before = m, P
            off, S = self.off(x_t, C, m), self.S(P, C, R)
            G = self.gain(P, C, S)
            m, P = m + self.sign * G @ off, self.update(P, G, C, R)
            off = x_t - C @ m if self.judged == "after" else off
            log_p.append(self.density(off, R if self.judged == "by R" else S))
            mean, cov = before if self.kept == "predicted" else (m, P)
            means.append(mean)
            covs.append(cov)
        return torch.stack(means), torch.stack(covs), self.total(torch.stack(log_p))


def log_normal(off: Tensor, S: Tensor, constant: float = math.log(2 * math.pi), det: float = 0.5) -> Tensor:
    log_det: Tensor = torch.linalg.slogdet(S)[1]
    return -0.5 * (off @ S.inverse() @ off) - det * log_det - 0.5 * constant * len(off)


def _made(**parts: Any) -> Filter:
    """Right but for these parts."""
    return replace(Parts(), **parts)


def _smoothed(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor, m0: Tensor, P0: Tensor) -> Found:
    means, covs, log_p = Parts()(x, A, C, Q, R, m0, P0)
    m, P = [means[-1]], [covs[-1]]
    for mean, cov in zip(means[:-1].flip(0), covs[:-1].flip(0), strict=True):
        ahead = A @ cov @ A.T + Q
        G = cov @ A.T @ ahead.inverse()
        m.append(mean + G @ (m[-1] - A @ mean))
        P.append(cov + G @ (P[-1] - ahead) @ G.T)
    return torch.stack(m[::-1]), torch.stack(P[::-1]), log_p


def _deviations(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor, m0: Tensor, P0: Tensor) -> Found:
    means, covs, log_p = Parts()(x, A, C, Q, R, m0, P0)
    return means, covs.abs().sqrt(), log_p


def _ahead(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor, m0: Tensor, P0: Tensor) -> Found:
    means, covs, log_p = Parts()(x, A, C, Q, R, m0, P0)
    return means @ A.T, A @ covs @ A.T + Q, log_p


def _precisions(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor, m0: Tensor, P0: Tensor) -> Found:
    means, covs, log_p = Parts()(x, A, C, Q, R, m0, P0)
    return means, covs.inverse(), log_p


def _bits(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor, m0: Tensor, P0: Tensor) -> Found:
    means, covs, log_p = Parts()(x, A, C, Q, R, m0, P0)
    return means, covs, log_p / math.log(2)


FILTER: dict[str, Filter] = {
    "": Parts(),
    # The prediction.
    "never predicts: m and P enter the next step as they left the last": _made(
        mean=lambda m, A: m, cov=lambda P, A, Q: P
    ),
    "does not move the mean: before x_t comes, it is A m_{t−1}": _made(mean=lambda m, A: m),
    "does not move the covariance: before x_t comes, it is A P_{t−1} Aᵀ + Q": _made(cov=lambda P, A, Q: P),
    "lacks Q in the prediction: nothing new would ever happen to z": _made(cov=lambda P, A, Q: A @ P @ A.T),
    "moves the mean by Aᵀ, where A belongs": _made(mean=lambda m, A: A.T @ m),
    "moves the covariance by Aᵀ P A + Q, where A P Aᵀ + Q belongs": _made(cov=lambda P, A, Q: A.T @ P @ A + Q),
    "moves the covariance by A P A + Q: the second A must be transposed": _made(cov=lambda P, A, Q: A @ P @ A + Q),
    "moves the covariance by A P + Q, where A P Aᵀ + Q belongs": _made(cov=lambda P, A, Q: A @ P + Q),
    "predicts before the first x, too: m0 and P0 are those of z_1, not of a z_0": _made(first=True),
    "adds Q before it moves the covariance: A (P + Q) Aᵀ, where A P Aᵀ + Q belongs": _made(
        cov=lambda P, A, Q: A @ (P + Q) @ A.T
    ),
    "lacks A P Aᵀ in the prediction: what is not known of the last z is forgotten": _made(cov=lambda P, A, Q: Q),
    "adds Q to a covariance that it did not move: A P Aᵀ + Q is meant": _made(cov=lambda P, A, Q: P + Q),
    "subtracts Q in the prediction, which is added": _made(cov=lambda P, A, Q: A @ P @ A.T - Q),
    # The innovation and its covariance.
    "lacks R in S: it takes x for exact": _made(S=lambda P, C, R: C @ P @ C.T),
    "lacks C P Cᵀ in S: it takes z for known": _made(S=lambda P, C, R: R),
    "subtracts R in S, which is added": _made(S=lambda P, C, R: C @ P @ C.T - R),
    "adds the innovation with the wrong sign: m + G (x − C m) is meant": _made(sign=-1.0),
    "takes x for the innovation: C m is to be subtracted": _made(off=lambda x, C, m: x),
    "keeps the diagonal of S alone: the numbers of one x are not independent": _made(
        S=lambda P, C, R: (C @ P @ C.T + R).diagonal().diag()
    ),
    # The update.
    "lacks S⁻¹ in the gain: G = P Cᵀ S⁻¹": _made(gain=lambda P, C, S: P @ C.T),
    "multiplies by S in the gain, where S⁻¹ belongs": _made(gain=lambda P, C, S: P @ C.T @ S),
    "lacks P in the gain: G = P Cᵀ S⁻¹": _made(gain=lambda P, C, S: C.T @ S.inverse()),
    "does not update the covariance: it becomes (I − G C) P": _made(update=lambda P, G, C, R: P),
    "updates the covariance to (I + G C) P, where (I − G C) P belongs": _made(update=lambda P, G, C, R: P + G @ C @ P),
    "lacks G R Gᵀ in Joseph's formula, (I − G C) P (I − G C)ᵀ + G R Gᵀ": _made(
        update=lambda P, G, C, R: (torch.eye(len(P)) - G @ C) @ P @ (torch.eye(len(P)) - G @ C).T
    ),
    "does not update the mean": _made(sign=0.0),
    # The likelihood.
    "lacks −½ log det S in the log-likelihood": _made(density=lambda off, S: log_normal(off, S, det=0.0)),
    "subtracts log det S whole in the log-likelihood, where half of it belongs": _made(
        density=lambda off, S: log_normal(off, S, det=1.0)
    ),
    "adds ½ log det S in the log-likelihood, which is subtracted": _made(
        density=lambda off, S: log_normal(off, S, det=-0.5)
    ),
    "lacks −½ log 2π for each number of x": _made(density=lambda off, S: log_normal(off, S, constant=0.0)),
    "counts −½ log 2π once a step, where it belongs to each number of x": _made(
        density=lambda off, S: log_normal(off, S) + 0.5 * (len(off) - 1) * math.log(2 * math.pi)
    ),
    "lacks the ½ before the square of the innovation": _made(
        density=lambda off, S: log_normal(off, S) - 0.5 * (off @ S.inverse() @ off)
    ),
    "judges x by R, where its innovation has the covariance S": _made(judged="by R"),
    "judges x_t after m has seen it: log p(x_t | x_{1:t−1}) is that of the innovation before the update": _made(
        judged="after"
    ),
    "averages the log-likelihood over the steps, where it is summed": _made(total=torch.mean),
    "leaves the first x out of the log-likelihood": _made(total=lambda log_p: log_p[1:].sum()),
    "gives the log-likelihood of the last x alone: it is summed over the steps": _made(total=lambda log_p: log_p[-1]),
    "gives the log-likelihood with the opposite sign": _made(total=lambda log_p: -log_p.sum()),
    "gives the log-likelihood in bits, where nats are meant": _bits,
    # What it starts from, and what it gives.
    "gives the predictions, p(z_t | x_{1:t−1}): they are to have seen x_t": _made(kept="predicted"),
    "predicts one step too far, p(z_{t+1} | x_{1:t}): z_t itself is asked for": _ahead,
    "gives precisions, where covariances are meant": _precisions,
    "reads x from its end": lambda x, *system: Parts()(x.flip(0), *system),
    "smooths: its means and covariances have seen all of x, where z_t is to have seen x_{1:t} alone": _smoothed,
    "gives standard deviations, where covariances are meant": _deviations,
    "takes Q and R for standard deviations, and squares them": _made(scales=lambda Q, R: (Q @ Q.T, R @ R.T)),
    "starts from a mean of 0, where m0 is given": _made(start=lambda m0, P0: (torch.zeros_like(m0), P0)),
    "starts from a covariance of I, where P0 is given": _made(start=lambda m0, P0: (m0, torch.eye(len(m0)))),
    "starts from a covariance of 0, where P0 is given": _made(start=lambda m0, P0: (m0, torch.zeros_like(P0))),
}
