r"""Is each factor of the data in a dimension of the code of its own? Five published scores, where factors are known.

``mutual_information_gap``, ``sap`` and ``dci`` look at codes beside the factors of the same examples. Two more
intervene, ``beta_vae_score`` and ``factor_vae_score``: they hold one factor and ask for codes of what is drawn then.
All compare with the factors as the data set counts them; no score is a property of the code alone.

Shapes: N examples, L latent dimensions, K factors.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial._extra import of_the_chapters
from vae_tutorial._validation import require_at_least_zero, require_count, require_finite, require_float, require_seed

__all__ = [
    "mutual_information",
    "mutual_information_gap",
    "sap",
    "linear_importance",
    "Dci",
    "dci",
    "beta_vae_score",
    "factor_vae_score",
]


def mutual_information(codes: Tensor, factors: Tensor, n_bins: int = 20) -> Tensor:
    r"""Mutual information of each latent dimension and each factor, from counts.

    .. math:: I(z_l; v_k) = \sum_{b, v} \hat p(b, v) \log \frac{\hat p(b, v)}{\hat p(b) \, \hat p(v)}

    where b is the bin in which :math:`z_l` falls, one of equal width between its least and its largest value.

    Args:
        codes: one code for each example, such as posterior means, shape (N, L).
        factors: the levels of its factors, integers from 0, shape (N, K).
        n_bins: of each dimension. More bins see more, and find more by chance: about (bins − 1)(levels − 1)/2N nats.

    Returns:
        Nats, shape (L, K), in float64, at least 0.

    Raises:
        TypeError: ``codes`` is not a floating-point tensor, or ``factors`` does not hold integers.
        ValueError: shapes do not fit, a code is not finite, a level is negative, or ``n_bins`` is not an integer of at
            least 1.

    Example:
        >>> factors = torch.tensor([[0], [0], [1], [1]])
        >>> mutual_information(torch.tensor([[0.0, 5.0], [0.1, 7.0], [0.9, 5.0], [1.0, 7.0]]), factors)
        tensor([[0.6931],
                [0.0000]], dtype=torch.float64)
    """
    codes, factors = _checked(codes, factors)
    require_count(n_bins=n_bins)
    low, high = codes.aminmax(dim=0)
    width = torch.where(high > low, high - low, 1.0)
    bins = ((codes - low) / width * n_bins).long().clamp(max=n_bins - 1)
    rows = [torch.stack([_information(b, v) for v in factors.T]) for b in bins.T]
    return torch.stack(rows)


def _information(a: Tensor, b: Tensor) -> Tensor:
    counts = torch.zeros(int(a.max()) + 1, int(b.max()) + 1, dtype=torch.float64)
    counts.index_put_((a, b), torch.ones(len(a), dtype=torch.float64), accumulate=True)
    p = counts / len(a)
    joint, of_a, of_b = (-torch.xlogy(q, q).sum() for q in (p, p.sum(1), p.sum(0)))  # entropies
    return (of_a + of_b - joint).clamp(min=0)


def mutual_information_gap(codes: Tensor, factors: Tensor, n_bins: int = 20) -> Tensor:
    r"""How much more of each factor the best dimension knows than the second best, of all there is to know.

    .. math:: \mathrm{MIG}_k = \frac{1}{\mathrm{H}(v_k)} \Bigl( I(z_{(1)}; v_k) - I(z_{(2)}; v_k) \Bigr)

    (Chen et al., *Isolating Sources of Disentanglement in VAEs*, 2018; from bins, as Locatello et al., 2019, count.)

    Args:
        codes, factors, n_bins: as for `mutual_information`; at least two dimensions.

    Returns:
        One gap for each factor, from 0 to 1, shape (K,), in float64; their mean is the MIG.

    Raises:
        TypeError: as `mutual_information`.
        ValueError: as `mutual_information`; or there is a single dimension, or a factor that does not vary.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3))
        >>> mutual_information_gap(factors.double(), factors)
        tensor([1., 1.], dtype=torch.float64)
    """
    information = mutual_information(codes, factors, n_bins)
    entropy = torch.stack([_information(v, v) for v in _checked(codes, factors)[1].T])
    if not entropy.all():
        raise ValueError("each factor must vary over the examples, and one does not")
    return _top_two(information) / entropy


def sap(codes: Tensor, factors: Tensor) -> Tensor:
    r"""Separated attribute predictability: by how much the best dimension predicts a factor better than the second.

    .. math:: \mathrm{SAP}_k = R^2(z_{(1)}, v_k) - R^2(z_{(2)}, v_k)

    with the squared correlation :math:`R^2` (Kumar, Sattigeri and Balakrishnan, *Variational Inference of Disentangled
    Latent Concepts from Unlabeled Observations*, 2018, for factors that are quantities).

    Args:
        codes: one code for each example, shape (N, L), at least two dimensions.
        factors: integers from 0, shape (N, K), taken as quantities.

    Returns:
        One gap for each factor, from 0 to 1, shape (K,), in float64; their mean is the score.

    Raises:
        TypeError: as `mutual_information`.
        ValueError: shapes do not fit, a code is not finite, there is a single dimension, or a factor does not vary.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3))
        >>> print([f"{gap:.4f}" for gap in sap(factors.double(), factors).tolist()])
        ['1.0000', '1.0000']
    """
    z, v = _standardized(*_checked(codes, factors))
    return _top_two((z.T @ v / len(z)) ** 2)


def linear_importance(codes: Tensor, factors: Tensor) -> Tensor:
    r"""How much a linear prediction of each factor leans on each dimension: :math:`|w_{lk}|`, all of unit variance.

    Args:
        codes: one code for each example, shape (N, L).
        factors: integers from 0, shape (N, K), taken as quantities.

    Returns:
        Absolute coefficients of the least-squares prediction, shape (L, K), in float64; 0 for a dimension that does not
        vary. `dci` takes them.

    Raises:
        TypeError: as `mutual_information`.
        ValueError: shapes do not fit, a code is not finite, or a factor does not vary.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(3))
        >>> weights = linear_importance(2.0 - 3.0 * factors.double(), factors)
        >>> torch.allclose(weights, torch.eye(2).double())
        True
    """
    z, v = _standardized(*_checked(codes, factors))
    weights: Tensor = torch.linalg.lstsq(z, v, driver="gelsd").solution  # the smallest, where dimensions depend
    return weights.abs()


class Dci(NamedTuple):
    """Two averages of a matrix of importances, each from 0 to 1.

    Attributes:
        disentanglement: whether a dimension of the code is about one factor.
        completeness: whether a factor is in one dimension of the code.
    """

    disentanglement: float
    completeness: float


def dci(importance: Tensor) -> Dci:
    r"""Disentanglement and completeness (Eastwood and Williams, *A Framework for the Quantitative Evaluation of
    Disentangled Representations*, 2018).

    .. math:: D = \sum_l \rho_l \bigl(1 - \mathrm{H}_K(P_{l \cdot})\bigr), \qquad
        C = \sum_k \rho'_k \bigl(1 - \mathrm{H}_L(P'_{\cdot k})\bigr)

    :math:`P_{l\cdot}` is row l of the importances, divided by its sum, :math:`P'_{\cdot k}` column k likewise; the
    entropies have the base K and L, and the weights :math:`\rho` are the shares of the rows, or columns, in the whole.

    Args:
        importance: of each dimension for predicting each factor, shape (L, K), at least 2 each, none negative:
            `linear_importance`, or what a forest of scikit-learn calls ``feature_importances_``.

    Returns:
        The `Dci`. The third number of the framework, informativeness, is how well that prediction does.

    Raises:
        TypeError: ``importance`` is not a floating-point tensor.
        ValueError: it has another shape, a value is negative or not finite, or all are 0.

    Example:
        >>> dci(torch.eye(3))
        Dci(disentanglement=1.0, completeness=1.0)
        >>> dci(torch.ones(4, 2))
        Dci(disentanglement=0.0, completeness=0.0)
    """
    require_float(importance=importance)
    require_finite(importance=importance)
    if importance.ndim != 2 or min(importance.shape) < 2:
        raise ValueError(f"importance must have shape (L, K), at least 2 each, got {tuple(importance.shape)}")
    if importance.min() < 0 or not importance.any():
        raise ValueError("importance must be at least 0, and not 0 everywhere")
    return Dci(_concentration(importance.double()), _concentration(importance.double().T))


def _concentration(importance: Tensor) -> float:
    """1 − the entropy of each row's shares, in units of its largest value; averaged with the rows' own shares."""
    totals = importance.sum(1)
    shares = importance[totals > 0] / totals[totals > 0, None]
    concentration = 1 + torch.xlogy(shares, shares).sum(1) / math.log(importance.shape[1])
    return (concentration @ totals[totals > 0] / totals.sum()).clamp(0, 1).item()


def beta_vae_score(
    code_of: Callable[[Tensor], Tensor], n_levels: Sequence[int], *, n_pairs: int = 64, n_votes: int = 1000, seed: int
) -> float:
    """The score of the β-VAE paper: can a linear classifier say which factor a set of pairs has in common?

    For each vote a factor is chosen, and pairs of examples are drawn that share its level. The mean absolute difference
    of their codes, one number a dimension, is what the classifier sees (Higgins et al., *β-VAE*, 2017).

    Args:
        code_of: gives codes, shape (N, L), of examples with the factors given, integers of shape (N, K).
        n_levels: how many levels each factor has, at least two; and there are at least two factors.
        n_pairs: drawn for each vote.
        n_votes: on which the classifier is trained; it is tested on as many more.
        seed: fixes the draws.

    Returns:
        The share of test votes that it gets right. Chance is 1/K.

    Raises:
        ModuleNotFoundError: scikit-learn is missing, whose logistic regression is used.
        TypeError: ``seed`` is not an integer, or ``code_of`` gives no floating-point tensor.
        ValueError: a count is not an integer of at least 1, there are fewer than two factors or a factor has fewer than
            two levels, or codes have another shape or are not finite.

    Example:
        >>> beta_vae_score(lambda factors: factors.double(), (5, 5), n_votes=100, seed=0)
        1.0
    """
    with of_the_chapters():
        from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    draw = _Interventions(code_of, n_levels, seed)
    require_count(n_pairs=n_pairs, n_votes=n_votes)
    held = draw.choices(2 * n_votes)
    first, second = (draw.levels(2 * n_votes, n_pairs) for _ in range(2))
    votes = torch.arange(2 * n_votes)
    second[votes, :, held] = first[votes, :, held]
    features = (draw.codes(first) - draw.codes(second)).abs().mean(1).numpy()
    classifier = LogisticRegression(C=100.0, max_iter=10_000)
    classifier.fit(features[:n_votes], held[:n_votes].numpy())
    return float(classifier.score(features[n_votes:], held[n_votes:].numpy()))


def factor_vae_score(
    code_of: Callable[[Tensor], Tensor],
    n_levels: Sequence[int],
    *,
    n_examples: int = 64,
    n_votes: int = 1000,
    seed: int,
    threshold: float = 0.01,
) -> float:
    """The score of the FactorVAE paper: does the dimension that varies least say which factor was held?

    For each vote a factor is chosen and held at one level in a set of examples. The vote is the dimension whose
    variance is smallest, relative to that over all examples; the classifier answers each dimension by the factor for
    which it was named most often (Kim and Mnih, *Disentangling by Factorising*, 2018).

    Args:
        code_of, n_levels, n_votes, seed: as for `beta_vae_score`.
        n_examples: drawn for each vote, at least 2.
        threshold: a dimension whose variance over all examples is not above this has no vote: it says nothing.

    Returns:
        The share of test votes that are answered rightly. Chance is 1/K.

    Raises:
        TypeError: as `beta_vae_score`.
        ValueError: as `beta_vae_score`; or ``threshold`` is negative, or no dimension varies more than it.

    Example:
        >>> factor_vae_score(lambda factors: factors.double(), (5, 5), n_votes=100, seed=0)
        1.0
    """
    draw = _Interventions(code_of, n_levels, seed)
    require_count(n_examples=n_examples, n_votes=n_votes)
    if n_examples < 2:
        raise ValueError(f"n_examples must be at least 2, or there is no variance, got {n_examples!r}")
    require_at_least_zero(threshold=threshold)
    everything = draw.codes(draw.levels(1, 10_000)).var(1)[0]  # (L,)
    alive = everything > threshold
    if not alive.any():
        raise ValueError(f"no dimension of the code has a variance above {threshold:g}: there is nothing to score")
    held = draw.choices(2 * n_votes)
    factors = draw.levels(2 * n_votes, n_examples)
    votes = torch.arange(2 * n_votes)
    factors[votes, :, held] = factors[votes, 0, held][:, None]
    named = (draw.codes(factors).var(1) / everything)[:, alive].argmin(-1)
    counts = torch.zeros(int(alive.sum()), len(n_levels))
    counts.index_put_((named[:n_votes], held[:n_votes]), torch.ones(n_votes), accumulate=True)
    return (counts.argmax(1)[named[n_votes:]] == held[n_votes:]).double().mean().item()


_INTEGERS = torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64


class _Interventions:
    """Draws of levels, and the codes of what has them."""

    def __init__(self, code_of: Callable[[Tensor], Tensor], n_levels: Sequence[int], seed: int) -> None:
        for n in n_levels:
            require_count(n_levels=n)
        if len(n_levels) < 2 or min(n_levels) < 2:
            raise ValueError(f"n_levels must be those of at least two factors, at least 2 each, got {tuple(n_levels)}")
        self.code_of, self.n_levels = code_of, tuple(int(n) for n in n_levels)
        self.generator = torch.Generator().manual_seed(require_seed(seed=seed))

    def choices(self, n: int) -> Tensor:
        """n factors, shape (n,)."""
        return torch.randint(len(self.n_levels), (n,), generator=self.generator)

    def levels(self, *shape: int) -> Tensor:
        """Levels of all factors, shape (*shape, K)."""
        return torch.stack([torch.randint(n, shape, generator=self.generator) for n in self.n_levels], -1)

    def codes(self, factors: Tensor) -> Tensor:
        """Codes, shape (A, B, L), for levels of shape (A, B, K)."""
        with torch.no_grad():
            codes, _ = _checked(self.code_of(factors.flatten(0, 1)), factors.flatten(0, 1))
        return codes.reshape(*factors.shape[:2], -1)


def _checked(codes: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Codes in float64 and factors in int64, both on the CPU, once they are known to fit."""
    require_float(codes=codes)
    require_finite(codes=codes)
    if not isinstance(factors, Tensor) or factors.dtype not in _INTEGERS:
        came = factors.dtype if isinstance(factors, Tensor) else type(factors).__name__
        raise TypeError(f"factors must be a tensor of integers, the levels, got {came}")
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or not factors.numel():
        raise ValueError(
            f"codes must have shape (N, L) and factors (N, K), with one N, got {tuple(codes.shape)} and "
            f"{tuple(factors.shape)}"
        )
    if factors.min() < 0:
        raise ValueError(f"levels are counted from 0, factors has {int(factors.min())}")
    return codes.detach().cpu().double(), factors.cpu().long()


def _standardized(codes: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Columns of mean 0 and variance 1; a code that does not vary is 0, a factor that does not is an error."""
    (z, _), (v, flat) = _of_unit_variance(codes), _of_unit_variance(factors.double())
    if flat.any():
        raise ValueError(f"each factor must vary over the examples, and number {int(flat.nonzero()[0])} does not")
    return z, v


def _of_unit_variance(columns: Tensor) -> tuple[Tensor, Tensor]:
    """The columns, and which of them do not vary but for rounding: these are 0."""
    centered = columns - columns.mean(0)
    norm = centered.square().mean(0).sqrt()
    flat = norm <= 1e-12 * (1 + columns.abs().amax(0))
    return torch.where(flat, 0.0, centered / torch.where(flat, 1.0, norm)), flat


def _top_two(scores: Tensor) -> Tensor:
    """The largest of each column less the second largest."""
    if len(scores) < 2:
        raise ValueError("codes must have at least 2 dimensions, of which the best two are compared")
    first, second = scores.topk(2, dim=0).values
    gap: Tensor = first - second
    return gap
