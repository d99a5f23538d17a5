r"""The likelihood of a table whose columns are of several kinds.

Given z the columns are independent, so the log-probability of a row is a sum with one term a column, and a missing
entry is left out by leaving out its term: what remains is the log-probability of what was observed (Nazábal et al.,
*Handling Incomplete Heterogeneous Data using VAEs*, 2020; Mattei and Frellsen, *MIWAE*, 2019).

Shapes: K samples, B rows, D columns; W numbers a row, D or, with flags, 2D.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_tutorial import formulas
from vae_tutorial._random import standard_noise, uniform_noise
from vae_tutorial._troubleshooting import see
from vae_tutorial._validation import require_float, require_generator, require_number, require_positive, values_count
from vae_tutorial.likelihoods.gaussians import _above
from vae_tutorial.likelihoods.likelihood import Given, Likelihood, likelihood, widened

MIN_LOG_VAR = -6.0
"""The floor of learned log-variances: a standard deviation of 0.05, of columns that were scaled."""

Generator: TypeAlias = torch.Generator | None
Column: TypeAlias = tuple[str, str, Any]
"""A column: its name, its kind, and the number that goes with the kind, or None."""


def columns(kinds: Mapping[str, str | Sequence[Any]], *, missing: bool = False) -> Likelihood:
    r"""A likelihood for tables, with one family a column; ``kinds`` names them in the table's order.

    ================================ ===================================== ==========================================
    kind                             x in the column                       family, and numbers from the decoder
    ================================ ===================================== ==========================================
    ``"real"``                       any number, scaled                    Gaussian: mean, log-variance above a floor
    ``("real", log_var)``            any number                            Gaussian of that log-variance: mean
    ``"positive"``                   above 0, divided by a typical value   log-normal: Gaussian of :math:`\log x`
    ``"count"``, ``("count", unit)`` a count, divided by ``unit``          negative binomial: log-mean, log-size
    ``"binary"``                     0 or 1                                Bernoulli: logit
    ``("categorical", C)``           0, 1, ..., C - 1                      free: C logits
    ================================ ===================================== ==========================================

    A log-normal column stays one in every unit; its density is :math:`\mathcal{N}(\log x; \mu, \sigma^2) / x`. Counts
    vary more than a Poisson distribution lets them, so a count n has

    .. math:: P(n) = \frac{\Gamma(n + r)}{\Gamma(r) \, n!} \Bigl(\frac{r}{r + m}\Bigr)^{r}
        \Bigl(\frac{m}{r + m}\Bigr)^{n}, \qquad \mathbb{E}[n] = m, \quad \operatorname{Var}[n] = m + \frac{m^2}{r}

    and is Poisson as :math:`r \to \infty` (r stays between :math:`e^{-15}` and :math:`e^{15}`). The decoder gives
    :math:`\log(m / \text{unit})` and :math:`\log r`. The mean of a categorical column is that of its codes.

    The decoder gives ``n_params`` numbers a column, the most that one column needs; the others of a column that needs
    fewer have no effect.

    Args:
        kinds: for each column its name, which errors tell, and its kind.
        missing: entries may be missing. Then x is what `mark_missing` makes, shape (B, 2D), and so are means and
            samples, which have no missing entries; ``log_prob`` is that of the observed entries alone.

    Returns:
        The `Likelihood`.

    Raises:
        TypeError: ``kinds`` is not a mapping, or a number in it is none.
        ValueError: ``kinds`` is empty, or a kind or its number is not one of the above.

    Example:
        >>> table = columns({"height": "positive", "smokes": "binary", "eyes": ("categorical", 3)})
        >>> table.n_params
        3
        >>> x, params = torch.tensor([[1.1, 1.0, 2.0]]), torch.zeros(1, 9)
        >>> print(f"{table.log_prob(x, params).item():.3f}")  # the log-normal's, log 1/2 and log 1/3
        -2.812
        >>> table.log_prob(torch.tensor([[1.1, 2.0, 2.0]]), params)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: x column 1 ('smokes'): got 2, a binary value is 0 or 1: ...
    """
    if not isinstance(kinds, Mapping):
        raise TypeError(f'kinds must be a dict such as {{"age": "real"}}, got {type(kinds).__name__}')
    if not kinds:
        raise ValueError('kinds must name at least one column, such as {"age": "real"}, got none')
    table = tuple(_column(name, kind) for name, kind in kinds.items())
    n_params = max(KINDS[kind].n_params(number) for _, kind, number in table)
    written = {name: kind if number is None else (kind, number) for name, kind, number in table}
    mean, sample = (Given(_each, which, table, bool(missing)) for which in ("mean", "sample"))
    name = f"columns(kinds={written!r}, missing={bool(missing)})"
    return likelihood(name, n_params, Given(_log_prob, table, bool(missing)), mean, sample)


def mark_missing(x: Tensor) -> Tensor:
    """A table with NaN where an entry is missing, as networks can take it: 0 in its place, and a flag a column.

    Args:
        x: the table, shape (B, D), NaN where an entry is missing.

    Returns:
        D values, then D flags, 1 where the entry was observed and 0 where it is missing, shape (B, 2D).

    Raises:
        TypeError: ``x`` is not a floating-point tensor.
        ValueError: ``x`` does not have two axes, or holds an infinity.

    Example:
        >>> mark_missing(torch.tensor([[3.0, float("nan")]]))
        tensor([[3., 0., 1., 0.]])
    """
    require_float(x=x)
    if x.ndim != 2:
        raise ValueError(f"x must have shape (B, D), one row an example, got {tuple(x.shape)}")
    if x.isinf().any():
        raise ValueError(f"x holds {int(x.isinf().sum())} infinite values; a missing entry is NaN")
    return torch.cat([x.nan_to_num(0.0), (~x.isnan()).to(x.dtype)], -1)


class Kind(NamedTuple):
    """A family. Each function takes the column's number first; x has shape (..., d), params (..., n_params, d)."""

    number: Callable[[Any], Any]  # checks the number
    n_params: Callable[[Any], int]
    allows: Callable[[Any, Tensor], Tensor]
    expected: str
    log_prob: Callable[[Any, Tensor, Tensor], Tensor]  # one value an entry
    mean: Callable[[Any, Tensor], Tensor]
    sample: Callable[[Any, Tensor, Generator], Tensor]
    harmless: float = 0.0  # what stands for a missing entry, so that its term is finite before it is left out


def _column(name: Any, kind: str | Sequence[Any]) -> Column:
    word, *numbers = (kind,) if isinstance(kind, str) else tuple(kind)
    if not isinstance(name, str) or word not in KINDS or len(numbers) > 1:
        raise ValueError(
            f"kinds[{name!r}] must be 'real', ('real', log_var), 'positive', 'count', ('count', unit), 'binary' or "
            f"('categorical', C), under a name that is a string; got {kind!r}"
        )
    return name, word, KINDS[word].number(numbers[0] if numbers else None)


def _groups(table: tuple[Column, ...]) -> list[tuple[Kind, Any, list[int]]]:
    """Columns of one kind and number together, by their places: few operations on many columns."""
    places: dict[tuple[str, Any], list[int]] = {}
    for j, (_, kind, number) in enumerate(table):
        places.setdefault((kind, number), []).append(j)
    return [(KINDS[kind], number, js) for (kind, number), js in places.items()]


def _log_prob(table: tuple[Column, ...], missing: bool, x: Tensor, params: Tensor) -> Tensor:
    D = _require_width(table, missing, x.shape[-1])
    x = widened(x)
    flags = x[..., D:] if missing else torch.ones_like(x)
    if missing and values_count() and not ((flags == 0) | (flags == 1)).all():
        raise ValueError(f"the flags of x must be 0 or 1, got [{flags.min():g}, {flags.max():g}]: x = mark_missing(x)")
    # Taken apart once, and put together by kind.
    apart = (x[..., :D].unbind(-1), flags.unbind(-1), params.unbind(-1))
    terms = []
    for kind, number, js in _groups(table):
        values, seen, said = (torch.stack([parts[j] for j in js], -1) for parts in apart)
        if values_count():
            _require_possible(table, kind, number, js, missing, values.detach(), seen == 1)
        possible = torch.where(seen == 1, values, kind.harmless)
        terms.append((seen * kind.log_prob(number, possible, said[..., : kind.n_params(number), :])).sum(-1))
    return torch.stack(terms).sum(0)


def _each(which: str, table: tuple[Column, ...], missing: bool, params: Tensor, *generator: Generator) -> Tensor:
    """The mean or a sample, one number a column; with flags, all 1, where entries may be missing."""
    _require_width(table, missing, params.shape[-1])
    x = torch.ones_like(params[..., 0, :])
    for kind, number, js in _groups(table):
        x[..., js] = getattr(kind, which)(number, params[..., : kind.n_params(number), js], *generator)
    return x


def _require_width(table: tuple[Column, ...], missing: bool, width: int) -> int:
    D = len(table)
    if width == D * (1 + missing):
        return D
    names = ", ".join(repr(name) for name, *_ in table[:3]) + (", ..." if D > 3 else "")
    expected = f"{2 * D}, their values and as many flags: x = mark_missing(x)" if missing else f"{D}"
    if not missing and width == 2 * D:
        expected += "; with flags for missing entries, columns(kinds, missing=True)"
    raise ValueError(f"x must have, for the {D} columns {names}, {expected}; got {width}")


def _require_possible(
    table: tuple[Column, ...], kind: Kind, number: Any, js: list[int], missing: bool, values: Tensor, seen: Tensor
) -> None:
    """Each observed value is one that its column can hold, and each missing one is 0."""
    wrong = torch.where(seen, ~kind.allows(number, values), values != 0)
    if wrong.any():
        *_, k = first = wrong.nonzero()[0].tolist()
        reason = _reason(kind, number, missing, values[tuple(first)].item(), bool(seen[tuple(first)]))
        raise ValueError(f"x column {js[k]} ({table[js[k]][0]!r}): {reason}")


def _reason(kind: Kind, number: Any, missing: bool, value: float, seen: bool) -> str:
    if not seen:
        return f"got {value:g} under the flag 0, a missing entry holds 0: x = mark_missing(x)"
    if math.isnan(value) and not missing:
        return "got nan, a missing entry: columns(kinds, missing=True), with x = mark_missing(x)"
    return f"got {value:g}, {kind.expected.format(number)}. {see('own-data')}"


# The number of a kind


def _log_var(number: Any) -> float | None:
    return None if number is None else require_number(log_var=number)


def _unit(number: Any) -> float:
    return 1.0 if number is None else require_positive(unit=number)


def _no_number(number: Any) -> None:
    if number is not None:
        raise ValueError(f"'positive' and 'binary' go without a number, got {number!r}")


def _n_codes(number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 2:
        raise ValueError(f"('categorical', C) needs the number of codes, an integer of at least 2, got {number!r}")
    return number


# Any number, and any positive one


def _moments(log_var: float | None, params: Tensor) -> tuple[Tensor, Tensor]:
    if log_var is None:
        return _above(MIN_LOG_VAR, params)
    mu = params[..., 0, :]
    return mu, torch.full_like(mu, log_var)


def _real_log_prob(log_var: float | None, x: Tensor, params: Tensor) -> Tensor:
    mu, log_vars = _moments(log_var, params)
    return formulas.log_normal(x[..., None], mu[..., None], log_vars[..., None])


def _real_sample(log_var: float | None, params: Tensor, generator: Generator) -> Tensor:
    mu, log_vars = _moments(log_var, params)
    return formulas.reparameterize(mu, log_vars, standard_noise(mu.shape, like=mu, generator=generator))


def _positive_log_prob(_: None, x: Tensor, params: Tensor) -> Tensor:
    log_x = x.log()
    return _real_log_prob(None, log_x, params) - log_x


def _positive_mean(_: None, params: Tensor) -> Tensor:
    mu, log_var = _moments(None, params)
    return torch.exp(mu + log_var.exp() / 2)


def _positive_sample(_: None, params: Tensor, generator: Generator) -> Tensor:
    return _real_sample(None, params, generator).exp()


# Counts, in float64: log-gammas of large sizes cancel


def _wide(values: Tensor) -> Tensor:
    return (values.cpu() if values.device.type == "mps" else values).double()  # Apple's GPUs have no float64


def _log_mean_and_size(unit: float, params: Tensor) -> tuple[Tensor, Tensor]:
    log_mean, log_size = _wide(params).unbind(-2)
    return log_mean + math.log(unit), log_size.clamp(-15, 15)  # beyond, the distribution does not change


def _is_count(unit: float, x: Tensor) -> Tensor:
    count = x * unit
    return (x >= 0) & ((count - count.round()).abs() < 0.01 + 2 * torch.finfo(x.dtype).eps * count)


def _count_log_prob(unit: float, x: Tensor, params: Tensor) -> Tensor:
    n = _wide((x * unit).round())
    log_mean, log_size = _log_mean_and_size(unit, params)
    r = log_size.exp()
    ways = torch.lgamma(n + r) - torch.lgamma(r) - torch.lgamma(n + 1)
    # r log r/(r + m) + n log m/(r + m); above its threshold softplus(t) is t
    log_p = ways - r * F.softplus(log_mean - log_size, threshold=40) - n * F.softplus(log_size - log_mean, threshold=40)
    return log_p.to(params)


def _count_mean(unit: float, params: Tensor) -> Tensor:
    return params[..., 0, :].exp()


def _count_sample(unit: float, params: Tensor, generator: Generator) -> Tensor:
    if generator is not None:
        require_generator(generator)
    device = generator.device if generator is not None else "cpu"
    log_mean, log_size = (t.to(device) for t in _log_mean_and_size(unit, params))
    # Poisson with a gamma rate. PyTorch's public gamma takes no generator.
    rate = torch._standard_gamma(log_size.exp(), generator=generator) * (log_mean - log_size).exp()
    return torch.poisson(rate, generator=generator).to(params) / unit


# Zero or one, and codes


def _binary_log_prob(_: None, x: Tensor, params: Tensor) -> Tensor:
    return F.logsigmoid((2 * x - 1) * params[..., 0, :])


def _binary_mean(_: None, params: Tensor) -> Tensor:
    return torch.sigmoid(params[..., 0, :])


def _binary_sample(_: None, params: Tensor, generator: Generator) -> Tensor:
    probability = _binary_mean(None, params)
    return (uniform_noise(probability.shape, like=probability, generator=generator) < probability).to(params.dtype)


def _categorical_log_prob(C: int, x: Tensor, params: Tensor) -> Tensor:
    code, _ = torch.broadcast_tensors(x.long().unsqueeze(-2), params[..., :1, :])
    log_p = params.log_softmax(-2).expand(*code.shape[:-2], C, -1)
    return log_p.gather(-2, code).squeeze(-2)


def _categorical_mean(C: int, params: Tensor) -> Tensor:
    codes = torch.arange(C, dtype=params.dtype, device=params.device)
    return torch.einsum("...cd,c->...d", params.softmax(-2), codes)


def _categorical_sample(C: int, params: Tensor, generator: Generator) -> Tensor:
    below = params.softmax(-2).cumsum(-2)[..., :-1, :]  # the last is 1
    uniform = uniform_noise(params[..., :1, :].shape, like=params, generator=generator)
    return (uniform >= below).sum(-2).to(params.dtype)


KINDS = {
    "real": Kind(
        _log_var, lambda log_var: 2 if log_var is None else 1, lambda _, x: x.isfinite(),
        "a number is finite: leave the row out, or mark the entry as missing by NaN",
        _real_log_prob, lambda log_var, params: _moments(log_var, params)[0], _real_sample,
    ),
    "positive": Kind(
        _no_number, lambda _: 2, lambda _, x: (x > 0) & (x < math.inf),
        "a positive value is above 0: take 'real' where 0 or less occurs, and do not subtract the mean",
        _positive_log_prob, _positive_mean, _positive_sample, harmless=1.0,
    ),
    "count": Kind(
        _unit, lambda _: 2, _is_count,
        "a count is at least 0, and whole once multiplied by the unit {:g}: divide counts by the unit alone, or "
        "take 'real'",
        _count_log_prob, _count_mean, _count_sample,
    ),
    "binary": Kind(
        _no_number, lambda _: 1, lambda _, x: (x == 0) | (x == 1),
        "a binary value is 0 or 1: write x == value for one of the two, and do not scale it",
        _binary_log_prob, _binary_mean, _binary_sample,
    ),
    "categorical": Kind(
        _n_codes, lambda C: C, lambda C, x: (x >= 0) & (x < C) & (x == x.round()),
        "a code is one of 0, 1, ... below {}: number the categories from 0, and do not scale them",
        _categorical_log_prob, _categorical_mean, _categorical_sample,
    ),
}  # fmt: skip
