"""How exact every density, divergence and likelihood is: values and gradients, each dtype over its range, by mpmath.

One table, a row for each function and dtype. An error is counted in units of what rounding allows: eps (1 + |f|), and
what f changes where one of its arguments is off by a relative eps. The exact values have 150 digits or 700; the
derivatives are those of a complex step, which shares nothing with autograd. `pytest -s` prints the table.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import torch
from torch import Tensor

from vae_tutorial.gaussian import kl_normal, kl_standard_normal, log_normal, log_standard_normal, reparameterize
from vae_tutorial.likelihoods import (
    bernoulli,
    categorical,
    continuous_bernoulli,
    discretized_logistic,
    normal,
    normal_diag,
    normal_diag_above,
    sigma_normal,
)

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
# Largest sizes of points and of log-variances; beyond, a standard deviation or a square is no number of the dtype.
SIZE = {torch.float64: 1e150, torch.float32: 1e18, torch.bfloat16: 1e18, torch.float16: 200.0}
LOG = {torch.float64: 1400.0, torch.float32: 160.0, torch.bfloat16: 160.0, torch.float16: 20.0}
LOG_SCALE = {torch.float64: 700.0} | dict.fromkeys(DTYPES[1:], 80.0)  # as the docstring has it
N_POINTS = 40
FLOOR, FIXED = -2.5, -1.3


@dataclass
class Row:
    """A function of tensors of shape (N, 1), the same of mpmath's numbers, and where both are asked."""

    of_tensors: Callable[..., Tensor]
    exact: Callable[..., Any]
    sizes: str  # a letter for each argument: what numbers it may be
    fixed: int = 0  # the first so many arguments have no gradient
    bound: float = 2.0  # in units of what rounding allows
    slope: float = 2.0  # the same, of the gradients


# A complex step is so small that its square is nothing: these lose no digit, where mpmath's own lose time.


def exp(z):
    size = mp.exp(mp.re(z))
    return mp.mpc(size, size * mp.im(z))


def log(z):
    return mp.mpc(mp.log(mp.re(z)), mp.im(z) / mp.re(z))


def density(x, mu, log_var):
    return -(log(2 * mp.pi) + log_var + (x - mu) ** 2 / exp(log_var)) / 2


def divergence(mu_q, log_var_q, mu_p, log_var_p):
    ratio = log_var_q - log_var_p
    return ((mu_q - mu_p) ** 2 / exp(log_var_p) + exp(ratio) - 1 - ratio) / 2


def sigmoid(t):
    return 1 / (1 + exp(-t))


def exact_continuous_bernoulli(x, logit):
    return x * logit - log((exp(logit) - 1) / logit)


def exact_cell(n):
    """log P of the level at x, from the tail in which its cell lies."""

    def log_mass(x, mu, log_scale):
        level = round(float(mp.re(x)) * (n - 1))
        middle, half = x + (mp.mpf(level) / (n - 1) - mp.re(x)), mp.mpf(1) / (2 * (n - 1))
        low, high = ((middle + side * half - mu) / exp(log_scale) for side in (-1, 1))
        if level == 0:
            return log(sigmoid(high))
        if level == n - 1:
            return log(sigmoid(-low))
        if mp.re(low) > 0:
            low, high = -high, -low
        return log(sigmoid(high) - sigmoid(low))

    return log_mass


def exact_logistic_mean(mu, log_scale):
    return sum(sigmoid((mu - (mp.mpf(k) - mp.mpf(1) / 2) / 4) / exp(log_scale)) for k in range(1, 5)) / 4


def log_sum_exp(*logits):
    largest = max(logits, key=mp.re)
    return largest + log(sum(exp(logit - largest) for logit in logits))


def exact_categorical(x, *logits):
    return logits[round(2 * float(mp.re(x)))] - log_sum_exp(*logits)


def exact_categorical_mean(*logits):
    total = log_sum_exp(*logits)
    return exp(logits[1] - total) / 2 + exp(logits[2] - total)


def log_prob(likelihood, n_dims=1):
    """``log_prob`` of x and params that come one number each."""
    return lambda *numbers: likelihood.log_prob(torch.cat(numbers[:n_dims], -1), torch.cat(numbers[n_dims:], -1))


def mean(likelihood):
    return lambda *numbers: likelihood.mean(torch.cat(numbers, -1)).squeeze(-1)


# s a number of any size, p one up to 50, l a log-variance, u one in [0, 1], b 0 or 1, 2 a level of three, f of five,
# c of 256, m a mean near [0, 1], t a log-scale.
TABLE = {
    "log_standard_normal": Row(log_standard_normal, lambda z: density(z, 0, mp.mpf(0)), "s"),
    "log_normal": Row(log_normal, density, "ssl"),
    "kl_standard_normal": Row(kl_standard_normal, lambda m, v: divergence(m, v, 0, mp.mpf(0)), "sl"),
    "kl_normal": Row(kl_normal, divergence, "slsl"),
    "reparameterize": Row(
        lambda mu, log_var, eps: reparameterize(mu, log_var, eps).squeeze(-1),
        lambda mu, log_var, eps: mu + exp(log_var / 2) * eps,
        "sls",
    ),
    "bernoulli": Row(log_prob(bernoulli), lambda x, t: log(sigmoid(t if x.real else -t)), "bs", fixed=1),
    "bernoulli, mean": Row(mean(bernoulli), sigmoid, "s"),
    # PyTorch's cross-entropy takes x l as the difference of l and (1 - x) l, off by eps |l|.
    "continuous_bernoulli": Row(log_prob(continuous_bernoulli), exact_continuous_bernoulli, "up", fixed=1, bound=4),
    "continuous_bernoulli, mean": Row(mean(continuous_bernoulli), lambda t: 1 / (1 - exp(-t)) - 1 / t, "s"),
    "discretized_logistic(256)": Row(log_prob(discretized_logistic(256)), exact_cell(256), "cmt", fixed=1),
    "discretized_logistic(5)": Row(log_prob(discretized_logistic(5)), exact_cell(5), "fmt", fixed=1),
    # The derivative of s is s (1 - s), off by eps, which a small scale divides.
    "discretized_logistic(5), mean": Row(mean(discretized_logistic(5)), exact_logistic_mean, "mt", slope=16),
    # Its derivative comes from the rounded log-sum-exp of the logits.
    "categorical(3)": Row(log_prob(categorical(3)), exact_categorical, "2sss", fixed=1, slope=16),
    "categorical(3), mean": Row(mean(categorical(3)), exact_categorical_mean, "sss"),
    "normal": Row(log_prob(normal(FIXED)), lambda x, mu: density(x, mu, mp.mpf(FIXED)), "ss"),
    "normal_diag": Row(log_prob(normal_diag), density, "ssl"),
    "normal_diag_above": Row(
        log_prob(normal_diag_above(FLOOR)),
        lambda x, mu, r: density(x, mu, log(exp(mp.mpf(FLOOR)) + exp(r))),
        "ssl",
    ),
    "sigma_normal": Row(
        log_prob(sigma_normal, 2),
        lambda x, y, mu, nu, r, s: density(x, mu, (r + s) / 2) + density(y, nu, (r + s) / 2),
        "ssssll",
    ),
}


def points(row, dtype):
    """Rows of arguments: special numbers side by side, then sizes of every order of magnitude, signs at random."""
    rng, least = np.random.default_rng(7), max(1e-30, torch.finfo(dtype).tiny)

    def sizes(largest, n):
        return 10 ** rng.uniform(np.log10(max(1e-12, least)), np.log10(largest), n) * rng.choice([-1, 1], n)

    special = {
        "s": [least, -1e-4, 0.5, -1.0, 1.0, 2.0, 3.0, 20.0, -20.5],
        "l": [least, -1e-4, 0.5, -0.5, 0.4999, 17.6, -3.0, LOG[dtype] / 2, -LOG[dtype] / 2],
        "m": [0.5, -0.25, 1.5, 0.125, 1e-3],
        "t": [-1.0, -3.0, 0.0, 4.0, -LOG_SCALE[dtype], LOG_SCALE[dtype]],
        "u": [0.0, 1.0, 0.5, 0.1],
    }
    draws = {
        "s": lambda n: np.where(rng.random(n) < 0.5, sizes(SIZE[dtype], n), sizes(50, n)),
        "p": lambda n: sizes(50, n),
        "l": lambda n: np.where(rng.random(n) < 0.3, sizes(LOG[dtype], n), sizes(9, n)),
        "m": lambda n: rng.uniform(-0.5, 1.5, n),
        "t": lambda n: np.where(rng.random(n) < 0.3, sizes(LOG_SCALE[dtype], n), rng.uniform(-9, 3, n)),
        "u": lambda n: rng.random(n),
        "b": lambda n: rng.integers(0, 2, n),
        "2": lambda n: rng.integers(0, 3, n) / 2,
        "f": lambda n: rng.integers(0, 5, n) / 4,
        "c": lambda n: rng.integers(0, 256, n) / 255,
    }
    columns = []
    for place, kind in enumerate(row.sizes):
        first = special.get(kind, [])
        first = first[place:] + first[:place]  # not all arguments the same
        columns.append(np.concatenate([first, draws[kind](N_POINTS - len(first))]))
    return [torch.tensor(column, dtype=torch.float64).to(dtype) for column in columns]


STEP, NUDGE = mp.mpf(10) ** -3000, mp.mpf(10) ** -60


def gradient(exact, arguments):
    """All partial derivatives by a complex step: f(a + ih) = f(a) + ih f'(a), to as many digits as wanted."""
    return [
        mp.im(exact(*(mp.mpc(a, STEP if i == j else 0) for j, a in enumerate(arguments)))) / STEP
        for i in range(len(arguments))
    ]


def nudged(arguments):
    return [[a * (1 + NUDGE) if i == j else a for j, a in enumerate(arguments)] for i in range(len(arguments))]


def worst_errors(row, dtype):
    """The largest errors of the values and of the gradients, in units of what rounding allows."""
    columns, eps, largest = points(row, dtype), mp.mpf(torch.finfo(dtype).eps), torch.finfo(dtype).max / 16
    known = []
    for arguments in zip(*([mp.mpf(v) for v in column.tolist()] for column in columns), strict=True):
        value, slopes = mp.re(row.exact(*arguments)), gradient(row.exact, arguments)
        others = [gradient(row.exact, near) for near in nudged(arguments)]
        units = [eps * (1 + abs(value) + sum(abs(a * s) for a, s in zip(arguments, slopes, strict=True)))]
        for i, slope in enumerate(slopes):
            units.append(eps * (1 + abs(slope) + sum(abs(other[i] - slope) for other in others) / NUDGE))
        known.append(([value, *slopes], units))
    finite = [i for i, (exact, _) in enumerate(known) if all(abs(number) < largest for number in exact)]
    assert len(finite) > N_POINTS // 4, "most points overflow"
    leaves = [column[finite, None].requires_grad_(i >= row.fixed) for i, column in enumerate(columns)]
    values = row.of_tensors(*leaves)
    assert values.dtype == dtype and values.shape == (len(finite),)
    gradients = torch.autograd.grad(values.sum(), leaves[row.fixed :])
    errors = [[], []]
    for n, i in enumerate(finite):
        exact, units = known[i]
        came = [values[n], *[None] * row.fixed, *(g[n, 0] for g in gradients)]
        for place, (number, truth, unit) in enumerate(zip_longest(came, exact, units)):
            if number is not None:
                assert number.isfinite(), (place, [c[i].item() for c in columns], truth)
                errors[place > 0].append((abs(mp.mpf(number.item()) - truth) / unit, [c[i].item() for c in columns]))
    return [max(kind) for kind in errors]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize("name", TABLE)
def test_values_and_gradients_are_as_exact_as_the_dtype(name, dtype):
    row = TABLE[name]
    half = dtype in (torch.float16, torch.bfloat16)  # the likelihoods round once
    bound, steepest = (1, 1) if half else (row.bound, row.slope)
    with mp.workdps(700 if "t" in row.sizes else 150):  # two sigmoids may differ by a scale of e^-700
        (value, at), (slope, there) = worst_errors(row, dtype)
    found = f"{float(value):.2f}, at most {bound:g} | {float(slope):.2f}, at most {steepest:g}"
    print(f"| {name} | {str(dtype).removeprefix('torch.')} | {found} |")
    assert value <= bound, at
    assert slope <= steepest, there


# Transformations of torch.func, and compiled graphs


def arguments(row, dtype=torch.float64):
    """Moderate ones, five of each."""
    rng = np.random.default_rng(3)
    kinds = {"u": rng.random, "b": lambda n: rng.integers(0, 2, n), "2": lambda n: rng.integers(0, 3, n) / 2}
    kinds |= {"f": lambda n: rng.integers(0, 5, n) / 4, "c": lambda n: rng.integers(0, 256, n) / 255}
    return [torch.tensor(kinds.get(kind, rng.standard_normal)(5), dtype=dtype)[:, None] for kind in row.sizes]


# PyTorch calls what it has itself deprecated.
pytorch_warns = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytorch_warns
@pytest.mark.parametrize("name", TABLE)
def test_transformations_give_what_autograd_gives(name):
    row = TABLE[name]
    columns = arguments(row)
    free = tuple(range(row.fixed, len(columns)))
    leaves = [column.clone().requires_grad_(i >= row.fixed) for i, column in enumerate(columns)]
    values = row.of_tensors(*leaves)
    gradients = torch.autograd.grad(values.sum(), leaves[row.fixed :])
    exactly = dict(rtol=1e-12, atol=1e-12)

    def total(*numbers):
        return row.of_tensors(*numbers).sum()

    for found, expected in zip(torch.func.grad(total, free)(*columns), gradients, strict=True):
        torch.testing.assert_close(found, expected, **exactly)
    torch.testing.assert_close(torch.func.vmap(row.of_tensors)(*columns), values.detach(), **exactly)
    for found, expected in zip(torch.func.vmap(torch.func.grad(total, free))(*columns), gradients, strict=True):
        torch.testing.assert_close(found, expected, **exactly)
    if name.startswith("kl_"):  # forward mode: their derivative is a function of its own, which torch.compile takes
        return  # only without a forward one
    moved = columns[row.fixed :]
    value, tangent = torch.func.jvp(
        lambda *free: row.of_tensors(*columns[: row.fixed], *free), tuple(moved), tuple(2 * c for c in moved)
    )
    torch.testing.assert_close(value, values.detach(), **exactly)
    slope = sum((2 * c * g).squeeze(-1) for c, g in zip(moved, gradients, strict=True))
    if name != "sigma_normal":  # whose arguments are several a row
        torch.testing.assert_close(tangent, slope, **exactly)


def test_values_are_looked_at_in_a_gradient_and_not_in_a_vmap():
    bad = torch.tensor([[float("nan")]])
    with pytest.raises(ValueError, match="mu must be finite"):
        torch.func.grad(lambda mu: kl_standard_normal(mu, mu).sum())(bad)
    assert torch.func.vmap(kl_standard_normal)(bad, bad).isnan().all()
    with pytest.raises(ValueError, match="mu must be finite"):
        kl_standard_normal(bad, bad)


@pytorch_warns
@pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="no compiler: a graph was NOT compiled")
def test_all_of_them_are_one_graph():
    columns = {name: arguments(row, torch.float32) for name, row in TABLE.items()}

    def everything(columns):
        return [row.of_tensors(*columns[name]) for name, row in TABLE.items()]

    for found, expected in zip(torch.compile(everything, fullgraph=True)(columns), everything(columns), strict=True):
        torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)
