r"""Exact inference in time: the state space model whose steps are linear and Gaussian.

.. math:: z_1 \sim \mathcal{N}(m_0, P_0), \quad z_t = A z_{t-1} + \mathcal{N}(0, Q), \quad
    x_t = C z_t + \mathcal{N}(0, R)

`kalman_filter` goes forward, and adds up :math:`\log p(x)` on its way. `rts_smoother` goes back again, for each
:math:`z_t` given all of x. `backward_messages` go backward only, with what the future says of :math:`z_t`.

Shapes: T steps; at each, D numbers of x and L of z. One system for all sequences, and one
covariance a step.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import formulas
from vae_tutorial._validation import require_finite, require_float, require_same_dtype

__all__ = ["Filtered", "Smoothed", "Messages", "kalman_filter", "rts_smoother", "backward_messages"]


class Filtered(NamedTuple):
    r"""Means (..., T, L) and covariances (T, L, L) of :math:`p(z_t \mid x_{1:t})`; log p(x) in nats, shape (...)."""

    mean: Tensor
    cov: Tensor
    log_likelihood: Tensor


class Smoothed(NamedTuple):
    r"""Means (..., T, L) and covariances (T, L, L) of :math:`p(z_t \mid x_{1:T})`."""

    mean: Tensor
    cov: Tensor


class Messages(NamedTuple):
    r"""What :math:`x_{t:T}` say of :math:`z_t`: precisions J, (T, L, L), and vectors h, (..., T, L)."""

    precision: Tensor
    h: Tensor


def kalman_filter(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor, m0: Tensor, P0: Tensor) -> Filtered:
    r"""Exact inference, forward in time, in the linear-Gaussian state space model.

    .. math:: z_1 \sim \mathcal{N}(m_0, P_0), \quad z_t = A z_{t-1} + \mathcal{N}(0, Q), \quad
        x_t = C z_t + \mathcal{N}(0, R)

    With m and P those of :math:`p(z_t \mid x_{1:t-1})`, at first :math:`m_0, P_0`, then :math:`A m_{t-1}` and
    :math:`A P_{t-1} A^\top + Q`:

    .. math:: S = C P C^\top + R, \quad G = P C^\top S^{-1}, \quad m_t = m + G (x_t - C m)

    .. math:: P_t = (I - G C) P (I - G C)^\top + G R G^\top

    and :math:`\log p(x) = \sum_t \log \mathcal{N}(x_t; C m, S)`. (Kalman, *A New Approach to Linear Filtering and
    Prediction Problems*, 1960. The last formula, Joseph's, keeps :math:`P_t` symmetric and positive.)

    Args:
        x: sequences, shape (..., T, D).
        A: shape (L, L).
        C: shape (D, L).
        Q: covariance of the steps, shape (L, L); it may be singular.
        R: covariance of the noise of x, shape (D, D); it may be singular as long as S is not.
        m0, P0: mean, shape (L,), and covariance, shape (L, L), of :math:`z_1`, before :math:`x_1` is seen.

    Returns:
        The `Filtered`, differentiable in all arguments.

    Raises:
        TypeError: an argument is not a floating-point tensor, or dtypes differ.
        ValueError: shapes do not fit, a value is not finite, Q, R or P0 is no covariance, or S is not positive
            definite.

    Example:
        >>> one = torch.eye(1)
        >>> walk = dict(A=one, C=one, Q=one, R=one, m0=torch.zeros(1), P0=one)
        >>> found = kalman_filter(torch.tensor([[2.0]]), **walk)
        >>> found.mean.item(), found.cov.item()
        (1.0, 0.5)
    """
    _require_system(x, A=A, C=C, Q=Q, R=R, m0=m0, P0=P0)
    return _filter(x, A, C, Q, R, m0, P0)


def _filter(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor, m0: Tensor, P0: Tensor) -> Filtered:
    eye = torch.eye(len(A), dtype=x.dtype, device=x.device)
    means, covs, log_likelihood = [], [], x.new_zeros(x.shape[:-2])
    m, P = m0.expand(*x.shape[:-2], -1), P0
    for t, x_t in enumerate(x.unbind(-2)):  # x_t: (..., D)
        if t:
            m, P = m @ A.mT, A @ P @ A.mT + Q  # predict
        innovation = x_t - m @ C.mT
        root, failed = torch.linalg.cholesky_ex(C @ P @ C.mT + R)  # S = root rootᵀ
        if failed:
            raise ValueError(f"S = C P Cᵀ + R is not positive definite at step {t + 1}: give R a positive diagonal")
        log_likelihood = log_likelihood + _log_normal(innovation, root)
        G = torch.cholesky_solve(C @ P, root).mT  # P Cᵀ S⁻¹
        m, keep = m + innovation @ G.mT, eye - G @ C
        P = keep @ P @ keep.mT + G @ R @ G.mT
        means.append(m)
        covs.append(P)
    return Filtered(torch.stack(means, -2), torch.stack(covs), log_likelihood)


def rts_smoother(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor, m0: Tensor, P0: Tensor) -> Smoothed:
    r"""Mean and covariance of each :math:`z_t` given the whole sequence: the filter, then a pass backward.

    .. math:: G_t = P_t A^\top (A P_t A^\top + Q)^{-1}

    .. math:: \tilde m_t = m_t + G_t (\tilde m_{t+1} - A m_t)

    .. math:: \tilde P_t = (I - G_t A) P_t (I - G_t A)^\top + G_t (\tilde P_{t+1} + Q) \, G_t^\top

    (Rauch, Tung and Striebel, *Maximum Likelihood Estimates of Linear Dynamic Systems*, 1965. The last is their
    :math:`P_t + G_t (\tilde P_{t+1} - A P_t A^\top - Q) \, G_t^\top`, as a sum of what is never negative.)

    Args:
        x, A, C, Q, R, m0, P0: as for `kalman_filter`; here :math:`A P_t A^\top + Q` must not be singular.

    Returns:
        The `Smoothed`.

    Raises:
        TypeError, ValueError: as `kalman_filter`, or the matrix to be inverted is singular.

    Example:
        >>> one = torch.eye(1)
        >>> walk = dict(A=one, C=one, Q=one, R=one, m0=torch.zeros(1), P0=one)
        >>> print(f"{rts_smoother(torch.tensor([[2.0], [2.0]]), **walk).mean[0].item():.4f}")  # by x₁ alone, 1
        1.2000
    """
    _require_system(x, A=A, C=C, Q=Q, R=R, m0=m0, P0=P0)
    means, covs, _ = _filter(x, A, C, Q, R, m0, P0)
    m, P, eye = means[..., -1, :], covs[-1], torch.eye(len(A), dtype=x.dtype, device=x.device)
    smoothed = [(m, P)]
    for t in reversed(range(x.shape[-2] - 1)):
        ahead = A @ covs[t] @ A.mT + Q
        G = _solved(ahead, A @ covs[t], "A P_t Aᵀ + Q", "add a little to Q's diagonal").mT
        m, keep = means[..., t, :] + (m - means[..., t, :] @ A.mT) @ G.mT, eye - G @ A
        P = keep @ covs[t] @ keep.mT + G @ (P + Q) @ G.mT
        smoothed.insert(0, (m, P))
    return Smoothed(torch.stack([m for m, _ in smoothed], -2), torch.stack([P for _, P in smoothed]))


def backward_messages(x: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor) -> Messages:
    r"""What the present and the future say of :math:`z_t`: :math:`p(x_{t:T} \mid z_t)` as a function of it.

    It is proportional to :math:`\exp(-\tfrac12 z_t^\top J_t z_t + h_t^\top z_t)`, with

    .. math:: J_t = C^\top R^{-1} C + A^\top (I + J_{t+1} Q)^{-1} J_{t+1} A

    .. math:: h_t = C^\top R^{-1} x_t + A^\top (I + J_{t+1} Q)^{-1} h_{t+1}

    and 0 for :math:`J_{T+1}, h_{T+1}`. So :math:`p(z_t \mid z_{t-1}, x_{t:T})` has the precision
    :math:`Q^{-1} + J_t` and the mean :math:`(Q^{-1} + J_t)^{-1} (Q^{-1} A z_{t-1} + h_t)`. (Computed with
    :math:`J + J Q J` between two inverses, so that :math:`J_t` stays symmetric and positive.)

    Args:
        x, A, C, Q, R: as for `kalman_filter`; here R must not be singular.

    Returns:
        The `Messages`.

    Raises:
        TypeError, ValueError: as `kalman_filter`, or R is singular.

    Example:
        >>> one = torch.eye(1)
        >>> said = backward_messages(torch.tensor([[2.0]]), one, one, one, 0.5 * one)
        >>> said.precision.item(), said.h.item()
        (2.0, 4.0)
    """
    _require_system(x, A=A, C=C, Q=Q, R=R)
    eye = torch.eye(len(A), dtype=x.dtype, device=x.device)
    of_x = _solved(R, C, "R", "give it a positive diagonal")  # R⁻¹ C
    J, h = C.mT @ of_x, x[..., -1, :] @ of_x
    found = [(J, h)]
    for x_t in x.unbind(-2)[-2::-1]:
        back = torch.linalg.solve(eye + Q @ J, A)  # (I + Q J)⁻¹ A
        J, h = C.mT @ of_x + back.mT @ (J + J @ Q @ J) @ back, x_t @ of_x + h @ back
        found.insert(0, (J, h))
    return Messages(torch.stack([J for J, _ in found]), torch.stack([h for _, h in found], -2))


def _log_normal(off: Tensor, root: Tensor) -> Tensor:
    """log N(off; 0, root rootᵀ), shape (...), for off of shape (..., D)."""
    standardized = torch.linalg.solve_triangular(root, off.unsqueeze(-1), upper=False).squeeze(-1)
    return formulas.log_standard_normal(standardized) - root.diagonal().log().sum()


def _solved(matrix: Tensor, right: Tensor, name: str, remedy: str) -> Tensor:
    """matrix⁻¹ right."""
    found: tuple[Tensor, Tensor] = torch.linalg.solve_ex(matrix, right)
    if found[1]:
        raise ValueError(f"{name} must not be singular here; {remedy}")
    return found[0]


def _require_system(x: Tensor, **system: Tensor) -> None:
    """Sequences and a linear-Gaussian system fit."""
    require_float(x=x, **system)
    require_same_dtype(x=x, **system)
    require_finite(x=x, **system)
    A = system["A"]
    if x.ndim < 2 or A.ndim != 2 or A.shape[0] != A.shape[1]:
        came = f"x {tuple(x.shape)}, A {tuple(A.shape)}"
        raise ValueError(
            f"x must have shape (..., T, D) and A (L, L), got {came}; give one number a step as x[..., None]"
        )
    D, L = x.shape[-1], len(A)
    for name, shape in {"C": (D, L), "Q": (L, L), "R": (D, D), "m0": (L,), "P0": (L, L)}.items():
        if name in system and system[name].shape != shape:
            raise ValueError(f"{name} must have shape {shape} for D={D} and L={L}, got {tuple(system[name].shape)}")
    for name in ("Q", "R", "P0"):
        if name in system and not torch.allclose(system[name], system[name].mT):
            raise ValueError(f"{name} must be symmetric, a covariance; give ({name} + {name}.mT) / 2")
        if name in system and (least := torch.linalg.eigvalsh(system[name].detach())[0]) < -_rounding(system[name]):
            raise ValueError(f"{name} must be a covariance, but has the eigenvalue {least:.3g}; give root @ root.mT")


def _rounding(cov: Tensor) -> float:
    return 10 * len(cov) * torch.finfo(cov.dtype).eps * cov.detach().abs().max().item()
