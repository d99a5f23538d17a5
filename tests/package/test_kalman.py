"""Exact inference in time: one Gaussian of all steps by dense matrices and SciPy, derivatives by autograd, errors."""

import math

import numpy as np
import pytest
import torch
from fixed import values
from rebuilt import rebuilt
from scipy import stats

from vae_tutorial import kalman


def a_cov(n, seed, floor=0.2):
    root = values(n, n, seed=seed, scale=0.6)
    return root @ root.T + floor * torch.eye(n, dtype=torch.float64)


def a_system(L, D):
    return {
        "A": values(L, L, seed=1, scale=0.6),
        "C": values(D, L, seed=2),
        "Q": a_cov(L, 3),
        "R": a_cov(D, 4),
        "m0": values(L, seed=5),
        "P0": a_cov(L, 6),
    }


def dense(T, A, C, Q, R, m0, P0):
    """Mean and covariance of all z, then of all x, side by side: the precision of z is a band, inverted whole."""
    L = len(A)
    whiten = torch.eye(T * L, dtype=torch.float64)  # e_t = z_t − A z_{t−1}
    for t in range(1, T):
        whiten[t * L : (t + 1) * L, (t - 1) * L : t * L] = -A
    e = torch.block_diag(P0, *[Q] * (T - 1))
    precision = whiten.T @ torch.linalg.inv(e) @ whiten
    mean = torch.linalg.solve(whiten, torch.cat([m0, torch.zeros((T - 1) * L).double()]))
    cov, H = torch.linalg.inv(precision), torch.block_diag(*[C] * T)
    return mean, cov, H @ mean, H @ cov @ H.T + torch.block_diag(*[R] * T), H


SIZES = [(1, 1, 1), (5, 1, 1), (6, 2, 3), (4, 3, 2), (1, 3, 2), (7, 2, 1)]
each_size = pytest.mark.parametrize("T, L, D", SIZES)


def of_the_filter(module, T, L, D):
    system = a_system(L, D)
    x = values(3, T, D, seed=7)
    found = module.kalman_filter(x, **system)
    mean_z, cov_z, mean_x, cov_x, H = dense(T, **system)
    exact = stats.multivariate_normal(mean_x.numpy(), cov_x.numpy()).logpdf(x.flatten(1).numpy())
    torch.testing.assert_close(found.log_likelihood, torch.as_tensor(exact), rtol=0, atol=1e-10)
    cross = H @ cov_z
    for t in range(T):
        seen, here = slice(0, (t + 1) * D), slice(t * L, (t + 1) * L)
        weights = torch.linalg.solve(cov_x[seen, seen], cross[seen, here]).T
        mean = mean_z[here] + (x.flatten(1) - mean_x)[:, seen] @ weights.T
        torch.testing.assert_close(found.mean[:, t], mean, rtol=0, atol=1e-10)
        cov = cov_z[here, here] - weights @ cross[seen, here]
        torch.testing.assert_close(found.cov[t], cov, rtol=0, atol=1e-10)


def of_the_smoother(module, T, L, D):
    system = a_system(L, D)
    x = values(3, T, D, seed=7)
    found = module.rts_smoother(x, **system)
    mean_z, cov_z, mean_x, cov_x, H = dense(T, **system)
    weights = torch.linalg.solve(cov_x, H @ cov_z).T
    mean = mean_z + (x.flatten(1) - mean_x) @ weights.T
    cov = cov_z - weights @ H @ cov_z
    torch.testing.assert_close(found.mean.flatten(1), mean, rtol=0, atol=1e-10)
    for t in range(T):
        here = slice(t * L, (t + 1) * L)
        torch.testing.assert_close(found.cov[t], cov[here, here], rtol=0, atol=1e-10)


def of_the_messages(module, T, L, D):
    """log p(x_{t:T} | z_t) is a quadratic of z_t: its second and first derivatives, by autograd, are −J and h."""
    system = a_system(L, D)
    x = values(2, T, D, seed=7)
    found = module.backward_messages(x, **{name: system[name] for name in "ACQR"})

    def log_p(z, t):  # of the first sequence; z_t is known: m0 = z, P0 almost 0
        ahead, shift = T - t, torch.block_diag(*[system["C"]] * (T - t))
        known = {**system, "m0": torch.zeros(L).double(), "P0": torch.eye(L).double()}
        _, cov_z, _, _, _ = dense(ahead, **known)
        power = torch.cat([torch.linalg.matrix_power(system["A"], k) for k in range(ahead)])
        cov_of_noise = cov_z - power @ power.T
        cov = shift @ cov_of_noise @ shift.T + torch.block_diag(*[system["R"]] * ahead)
        return torch.distributions.MultivariateNormal(shift @ power @ z, cov).log_prob(x[0, t:].flatten())

    for t in range(T):
        zero = torch.zeros(L, dtype=torch.float64, requires_grad=True)
        h = torch.autograd.grad(log_p(zero, t), zero)[0]
        J = -torch.autograd.functional.hessian(lambda z, t=t: log_p(z, t), zero)
        torch.testing.assert_close(found.h[0, t], h, rtol=0, atol=1e-9)
        torch.testing.assert_close(found.precision[t], J, rtol=0, atol=1e-9)


@each_size
def test_the_filter_is_the_joint_gaussian_conditioned(T, L, D):
    of_the_filter(kalman, T, L, D)


@each_size
def test_the_smoother_is_the_joint_gaussian_conditioned(T, L, D):
    of_the_smoother(kalman, T, L, D)


@each_size
def test_messages_are_derivatives_of_the_density_of_what_is_to_come(T, L, D):
    of_the_messages(kalman, T, L, D)


def test_a_sequence_alone_and_many_axes_of_them_are_as_rows():
    system, x = a_system(2, 3), values(2, 4, 5, 3, seed=8)
    many = kalman.kalman_filter(x, **system)
    one = kalman.kalman_filter(x[1, 2], **system)
    assert many.mean.shape == (2, 4, 5, 2) and many.cov.shape == (5, 2, 2) and many.log_likelihood.shape == (2, 4)
    torch.testing.assert_close(many.mean[1, 2], one.mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(many.log_likelihood[1, 2], one.log_likelihood, rtol=0, atol=1e-12)
    assert kalman.rts_smoother(x, **system).mean.shape == (2, 4, 5, 2)


def test_the_filter_s_gradient_is_that_of_differences():
    system = {name: part.requires_grad_() for name, part in a_system(2, 1).items() if name in ("A", "C", "m0")}
    rest = {name: part for name, part in a_system(2, 1).items() if name not in system}
    x = values(3, 1, seed=7)

    def log_p(A, C, m0):
        return kalman.kalman_filter(x, A=A, C=C, m0=m0, **rest).log_likelihood

    assert torch.autograd.gradcheck(log_p, tuple(system.values()))


def test_nearly_exact_observations_of_an_unknown_state_keep_the_covariance_positive():
    eye = torch.eye(2)
    system = dict(A=eye, C=eye, Q=1e-6 * eye, R=1e-6 * eye, m0=torch.zeros(2), P0=1e6 * eye)  # float32
    found = kalman.kalman_filter(torch.ones(50, 2), **system)
    assert (torch.linalg.eigvalsh(found.cov) > 0).all()
    torch.testing.assert_close(found.cov, found.cov.mT, rtol=1e-5, atol=0)


def test_six_hundred_steps_in_single_precision_are_those_in_double():
    """All stay symmetric and positive, and near; filter and message give the smoother's answer by another way."""
    system = {**a_system(3, 2), "Q": 1e-3 * a_cov(3, 3)}
    x = values(2, 600, 2, seed=9)
    single = {name: part.float() for name, part in system.items()}
    exact, found = (
        (kalman.kalman_filter(y, **given), kalman.rts_smoother(y, **given),
         kalman.backward_messages(y, **{name: given[name] for name in "ACQR"}))
        for y, given in ((x, system), (x.float(), single))
    )  # fmt: skip
    for before, after in zip(exact, found, strict=True):
        for name, a, b in zip(before._fields, before, after, strict=True):
            assert (a - b).abs().max() < 1e-3 * a.abs().max(), name
    for cov in (found[0].cov, found[1].cov, found[2].precision):  # the last message's has rank 2 of 3
        scale = cov.abs().max()
        assert (cov - cov.mT).abs().max() < 1e-6 * scale and torch.linalg.eigvalsh(cov).min() > -1e-6 * scale
    m, P = exact[0].mean[:, 299], exact[0].cov[299]
    m, ahead = m @ system["A"].mT, system["A"] @ P @ system["A"].mT + system["Q"]  # of the next z
    cov = torch.linalg.inv(torch.linalg.inv(ahead) + exact[2].precision[300])
    mean = (m @ torch.linalg.inv(ahead) + exact[2].h[:, 300]) @ cov
    torch.testing.assert_close(exact[1].cov[300], cov, rtol=0, atol=1e-10)
    torch.testing.assert_close(exact[1].mean[:, 300], mean, rtol=0, atol=1e-10)


def test_a_smoother_of_an_unknown_speed_keeps_its_covariance_positive_in_single_precision():
    eye = torch.eye(2)
    system = dict(A=torch.tensor([[1.0, 0.1], [0.0, 1.0]]), C=torch.tensor([[1.0, 0.0]]), Q=1e-2 * eye,
                  R=1e-6 * torch.eye(1), m0=torch.zeros(2), P0=1e6 * eye)  # fmt: skip
    # With less in Q, what is inverted is singular in float32 on some processors, and refused.
    cov = kalman.rts_smoother(torch.zeros(200, 1), **system).cov
    assert (cov - cov.mT).abs().max() < 1e-6 * cov.abs().max()
    assert (torch.linalg.eigvalsh(cov.double()) > 0).all()


def test_a_state_without_noise_and_an_exact_x_are_allowed():
    """z_t = (h, x): what is seen moves h; Q and R are singular, S is not."""
    A, C = torch.tensor([[0.5, 0.3], [0.6, 0.2]]).double(), torch.tensor([[0.0, 1.0]]).double()
    B = torch.tensor([[0.0], [0.7]]).double()
    system = dict(
        A=A, C=C, Q=B @ B.T, R=torch.zeros(1, 1).double(), m0=torch.zeros(2).double(), P0=torch.eye(2).double()
    )
    x = values(4, 1, seed=2)
    power = [torch.linalg.matrix_power(A, k) for k in range(4)]
    to_x = torch.stack([
        torch.cat([(C @ power[t])[0], *((C @ power[t - s] @ B)[0] if s <= t else B.new_zeros(1) for s in range(1, 4))])
        for t in range(4)
    ])  # fmt: skip
    exact = stats.multivariate_normal(np.zeros(4), (to_x @ to_x.T).numpy()).logpdf(x.flatten().numpy())
    assert kalman.kalman_filter(x, **system).log_likelihood.item() == pytest.approx(exact, abs=1e-10)


# Errors

SYSTEM = a_system(2, 3)
X = values(4, 5, 3)


@pytest.mark.parametrize(
    "changed, error, words",
    [
        (dict(x=[1.0]), TypeError, "x must be a torch.Tensor"),
        (dict(x=X.float()), TypeError, "must have the same dtype"),
        (
            dict(x=X[0, 0]),
            ValueError,
            r"x must have shape \(\.\.\., T, D\).*give one number a step as x\[\.\.\., None\]",
        ),
        (dict(x=X * math.nan), ValueError, "x must be finite"),
        (dict(A=SYSTEM["A"][:1]), ValueError, r"A \(L, L\)"),
        (dict(C=SYSTEM["C"].T), ValueError, r"C must have shape \(3, 2\) for D=3 and L=2, got \(2, 3\)"),
        (dict(m0=SYSTEM["m0"][:1]), ValueError, r"m0 must have shape \(2,\)"),
        (dict(P0=SYSTEM["P0"][:1]), ValueError, r"P0 must have shape \(2, 2\)"),
        (dict(Q=SYSTEM["A"]), ValueError, r"Q must be symmetric, a covariance; give \(Q \+ Q.mT\) / 2"),
        (dict(R=-9 * SYSTEM["R"]), ValueError, r"R must be a covariance, but has the eigenvalue -\d"),
        (dict(P0=SYSTEM["P0"] - torch.eye(2)), ValueError, "P0 must be a covariance"),
        (dict(R=0 * SYSTEM["R"], C=0 * SYSTEM["C"]), ValueError, "S = C P Cᵀ \\+ R is not positive definite at step 1"),
    ],
)
def test_what_does_not_fit_is_named(changed, error, words):
    for function in (kalman.kalman_filter, kalman.rts_smoother):
        with pytest.raises(error, match=words):
            function(**{"x": X, **SYSTEM, **changed})


def test_messages_name_what_does_not_fit():
    with pytest.raises(ValueError, match=r"R must have shape \(3, 3\)"):
        kalman.backward_messages(X, *(SYSTEM[name] for name in "ACQ"), SYSTEM["Q"])
    with pytest.raises(ValueError, match="R must not be singular here; give it a positive diagonal"):
        kalman.backward_messages(X, *(SYSTEM[name] for name in "ACQ"), 0 * SYSTEM["R"])


def test_the_smoother_names_what_it_cannot_invert():
    with pytest.raises(ValueError, match=r"A P_t Aᵀ \+ Q must not be singular here; add a little to Q's diagonal"):
        kalman.rts_smoother(X, **{**SYSTEM, "A": 0 * SYSTEM["A"], "Q": 0 * SYSTEM["Q"]})


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_a_covariance_of_less_than_full_rank_is_one_in_any_unit(unit):
    b = values(4, 1, seed=1)
    for dtype in (torch.float32, torch.float64):
        system = dict(A=torch.eye(4), C=torch.eye(4), Q=unit * b @ b.T, R=unit * torch.eye(4), m0=torch.zeros(4))
        system = {name: part.to(dtype) for name, part in {**system, "P0": system["Q"]}.items()}
        assert kalman.kalman_filter(torch.zeros(3, 4, dtype=dtype), **system).log_likelihood.isfinite()


# Planted mistakes: the module's source with one of its lines changed


def judge(module):
    for sizes in ((1, 3, 2), (5, 2, 3)):
        of_the_filter(module, *sizes)
        of_the_smoother(module, *sizes)
        of_the_messages(module, *sizes)


PLANTED = {
    "predicts before the first x": (
        "        if t:\n            m, P = m @",
        "        if True:\n            m, P = m @",
    ),
    "the mean by A transposed": (
        "m, P = m @ A.mT, A @",
        "m, P = m @ A, A @",
    ),
    "the covariance without Q": (
        "A @ P @ A.mT + Q  #",
        "A @ P @ A.mT  #",
    ),
    "S without R": (
        "C @ P @ C.mT + R)",
        "C @ P @ C.mT + 1e-9 * R)",
    ),
    "the innovation's sign": (
        "m + innovation @ G.mT",
        "m - innovation @ G.mT",
    ),
    "the gain without the root's transpose": (
        "torch.cholesky_solve(C @ P, root).mT",
        "torch.linalg.solve(root, C @ P).mT",
    ),
    "Joseph without R": (
        "keep @ P @ keep.mT + G @ R @ G.mT",
        "keep @ P @ keep.mT",
    ),
    "the likelihood of the last step": (
        "log_likelihood = log_likelihood + _log",
        "log_likelihood = 0 * log_likelihood + _log",
    ),
    "twice the log-determinant": (
        "- root.diagonal().log().sum()",
        "- 2 * root.diagonal().log().sum()",
    ),
    "the smoother without the step back": (
        "(m - means[..., t, :] @ A.mT) @ G.mT",
        "(m - means[..., t, :]) @ G.mT",
    ),
    "the smoother's covariance without Q": (
        "ahead = A @ covs[t] @ A.mT + Q",
        "ahead = A @ covs[t] @ A.mT + 2 * Q",
    ),
    "the smoother's sign": (
        "+ G @ (P + Q) @ G.mT",
        "- G @ (P + Q) @ G.mT",
    ),
    "messages without Q": (
        "eye + Q @ J, A)",
        "eye + 0 * Q @ J, A)",
    ),
    "messages by A": (
        "@ of_x + h @ back",
        "@ of_x + h @ back.mT",
    ),
    "messages without J Q J": (
        "(J + J @ Q @ J)",
        "J",
    ),
    "the smoother keeps all of the filter's covariance": (
        "means[..., t, :] @ A.mT) @ G.mT, eye - G @ A",
        "means[..., t, :] @ A.mT) @ G.mT, eye",
    ),
    "messages without x": (
        "x_t @ of_x + h",
        "h",
    ),
    "messages of the future alone": (
        "J, h = C.mT @ of_x + back",
        "J, h = back",
    ),
}


@pytest.mark.parametrize("old, new", PLANTED.values(), ids=PLANTED)
def test_a_planted_mistake_is_caught(old, new):
    module = rebuilt("vae_tutorial.kalman", old, new)
    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        judge(module)


def test_the_module_rebuilt_without_a_mistake_passes():
    judge(rebuilt("vae_tutorial.kalman", "Shapes: T", "Shapes: T"))
