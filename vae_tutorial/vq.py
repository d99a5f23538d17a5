r"""Vector quantization: codes that are the nearest vectors of a codebook, and how such a codebook is learned.

A VQ-VAE is a `VAE` like any other here: its z is the one-hot code of `vae_tutorial.categorical`, its encoder ends with
`Distances` to the code vectors, its decoder begins with the `Codebook` that looks them up, and its posterior is
`Nearest`, certain of one code. Only the gradient is special, `vq_terms`.

Shapes: B examples, D dimensions of x, L vectors an example, E dimensions of a vector, C codes.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial._description import described
from vae_tutorial._random import initial_weights
from vae_tutorial._validation import (
    require_at_least_zero,
    require_count,
    require_finite,
    require_float,
    require_generator,
    require_number,
    require_positive,
    require_rows,
    require_same_dtype,
)
from vae_tutorial.bounds import ElboTerms
from vae_tutorial.categorical import UniformCodes, largest, split, straight_through
from vae_tutorial.likelihoods import Likelihood
from vae_tutorial.models import VAE, require_parts, require_vae
from vae_tutorial.posteriors import Posterior
from vae_tutorial.priors import Prior

__all__ = [
    "CodeAverages",
    "Codebook",
    "Distances",
    "Nearest",
    "Quantized",
    "averages_of",
    "ema_update",
    "finite_scalar",
    "perplexity",
    "quantize",
    "restart_dead",
    "squared_distances",
    "vq_terms",
    "vq_vae",
]


class Quantized(NamedTuple):
    """What `quantize` gives, for vectors of shape (..., E).

    Attributes:
        z: the nearest code vectors, shape (..., E), with the gradient of the vectors that were quantized.
        codes: their indices, shape (...).
        codebook_loss: the squared distance, shape (...), with a gradient to the codebook alone.
        commitment_loss: the same number, with a gradient to the vectors alone.
    """

    z: Tensor
    codes: Tensor
    codebook_loss: Tensor
    commitment_loss: Tensor


def squared_distances(z: Tensor, codebook: Tensor) -> Tensor:
    r""":math:`\lVert z - e_c \rVert^2` to every code vector, summed as it is written.

    The expansion :math:`\lVert z \rVert^2 - 2 z^\top e + \lVert e \rVert^2` is faster, and loses its digits where the
    vectors are long and close together.

    Args:
        z: vectors, shape (..., E).
        codebook: code vectors, shape (C, E).

    Returns:
        Shape (..., C), differentiable in both.

    Raises:
        TypeError: an argument is not a floating-point tensor, or they differ in dtype.
        ValueError: shapes do not fit.

    Example:
        >>> squared_distances(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 2.0]]))
        tensor([[1., 4.]])
    """
    _require_vectors(z, codebook)
    return ((z.unsqueeze(-2) - codebook) ** 2).sum(-1)


def quantize(z: Tensor, codebook: Tensor) -> Quantized:
    r"""Replace each vector by the nearest code vector, and learn both.

    .. math:: c = \operatorname{argmin}_j \lVert z - e_j \rVert^2, \qquad
        \lVert \operatorname{sg}[z] - e_c \rVert^2 \; (\text{codebook}), \qquad
        \lVert z - \operatorname{sg}[e_c] \rVert^2 \; (\text{commitment})

    (van den Oord, Vinyals and Kavukcuoglu, *Neural Discrete Representation Learning*, 2017, equations 2 and 3.) The
    paper's loss weights the commitment by β and the codebook by 1. Losses are summed over E, one value a vector.

    Args:
        z: vectors, shape (..., E).
        codebook: code vectors, shape (C, E).

    Returns:
        The `Quantized`. Of equal distances the first counts.

    Raises:
        TypeError: an argument is not a floating-point tensor, or they differ in dtype.
        ValueError: shapes do not fit, or a value is not finite.

    Example:
        >>> q = quantize(torch.tensor([[0.9, 0.2]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        >>> q.z, q.codes
        (tensor([[1., 0.]]), tensor([1]))
        >>> print(f"{q.codebook_loss.item():.2f}")
        0.05
    """
    _require_vectors(z, codebook)
    require_finite(z=z, codebook=codebook)
    codes = squared_distances(z.detach(), codebook.detach()).argmin(-1)
    e = codebook[codes]
    return Quantized(straight_through(e, z), codes, ((z.detach() - e) ** 2).sum(-1), ((z - e.detach()) ** 2).sum(-1))


def perplexity(codes: Tensor, n_codes: int) -> float:
    r"""How many codes are in use, :math:`\exp(-\sum_c p_c \log p_c)` of their frequencies p: from 1 to C.

    Args:
        codes: indices, whole numbers from 0 to C − 1, any shape.
        n_codes: C.

    Returns:
        A number; C where all are used as often.

    Raises:
        TypeError: ``codes`` does not hold integers.
        ValueError: ``codes`` is empty or out of range, or ``n_codes`` is not an integer of at least 1.

    Example:
        >>> print(f"{perplexity(torch.tensor([0, 0, 1, 1]), 8):.1f}")
        2.0
    """
    require_count(n_codes=n_codes)
    if not isinstance(codes, Tensor) or codes.is_floating_point() or codes.dtype == torch.bool:
        came = codes.dtype if isinstance(codes, Tensor) else type(codes).__name__
        raise TypeError(f"codes must be a tensor of integers, got {came}; give quantize(z, codebook).codes")
    if not codes.numel() or codes.min() < 0 or codes.max() >= n_codes:
        raise ValueError(f"codes must hold indices from 0 to n_codes - 1 = {n_codes - 1}, at least one")
    p = torch.bincount(codes.flatten(), minlength=n_codes).double() / codes.numel()
    return math.exp(torch.special.entr(p).sum().item())


class CodeAverages(NamedTuple):
    r"""Of each code, how many vectors chose it and what these add up to, averaged over the steps.

    Attributes:
        counts: N, shape (C,).
        sums: m, shape (C, E).
    """

    counts: Tensor
    sums: Tensor

    @property
    def codebook(self) -> Tensor:
        r"""The code vectors, :math:`e_c = m_c / N_c`, shape (C, E)."""
        return self.sums / self.counts.unsqueeze(-1)


def averages_of(codebook: Tensor, count: float = 1.0) -> CodeAverages:
    """The averages from which `ema_update` starts: every code as if ``count`` vectors a step had chosen it so far.

    Args:
        codebook: code vectors, shape (C, E).
        count: a number above 0; the smaller, the sooner what it started from is forgotten.

    Returns:
        The `CodeAverages`, whose codebook is ``codebook``.

    Raises:
        TypeError: ``codebook`` is not a floating-point tensor, or ``count`` not a number.
        ValueError: ``codebook`` does not have two axes or is not finite, or ``count`` is not above 0.

    Example:
        >>> averages_of(torch.tensor([[2.0, 4.0]]), count=0.5).sums
        tensor([[1., 2.]])
    """
    _require_vectors(codebook, codebook)
    require_finite(codebook=codebook)
    count = require_positive(count=count)
    codebook = codebook.detach()
    return CodeAverages(torch.full_like(codebook[:, 0], count), count * codebook)


def ema_update(averages: CodeAverages, z: Tensor, decay: float) -> CodeAverages:
    r"""One step of the codebook by exponential moving averages, without a gradient.

    .. math:: N_c \leftarrow \gamma N_c + (1 - \gamma) \, n_c, \qquad
        m_c \leftarrow \gamma m_c + (1 - \gamma) \sum_{i: c(z_i) = c} z_i, \qquad e_c = m_c / N_c

    with :math:`n_c` the number of vectors whose nearest code is c (van den Oord et al., 2017, appendix A.1, with γ =
    0.99). It is k-means: with γ near 0 a step is Lloyd's on these vectors, and a code that none chooses stays: its N
    shrinks to a floor, far below one vector, and its m with it.

    Args:
        averages: what the steps before left; `averages_of` begins.
        z: vectors, shape (..., E).
        decay: γ, above 0 and below 1.

    Returns:
        The new `CodeAverages`.

    Raises:
        TypeError: ``z`` is not a floating-point tensor or not of the averages' dtype, or ``decay`` is not a number.
        ValueError: shapes do not fit, a value is not finite, or ``decay`` is not between 0 and 1.

    Example:
        >>> before = averages_of(torch.tensor([[0.0], [10.0]]))
        >>> ema_update(before, torch.tensor([[1.0], [3.0]]), decay=0.5).codebook  # (0 + 1 + 3) / (1 + 2)
        tensor([[ 1.3333],
                [10.0000]])
    """
    if not 0 < require_number(decay=decay) < 1:
        raise ValueError(f"decay must be above 0 and below 1, got {decay!r}")
    codebook = averages.codebook
    codes = quantize(z.detach(), codebook).codes
    chosen = torch.nn.functional.one_hot(codes.flatten(), len(codebook)).to(z)  # (N, C)
    n, sums = chosen.sum(0), chosen.T @ z.detach().reshape(-1, z.shape[-1])
    counts, sums = decay * averages.counts + (1 - decay) * n, decay * averages.sums + (1 - decay) * sums
    floor = torch.finfo(counts.dtype).tiny ** 0.5  # below it m / N would lose its digits, and end as 0 / 0
    sums = torch.where(counts.unsqueeze(-1) < floor, floor * codebook, sums)
    return CodeAverages(counts.clamp(min=floor), sums)


def restart_dead(codebook: Tensor, z: Tensor, *, generator: torch.Generator) -> Tensor:
    """Move every code that none of the vectors chooses onto one of them, drawn at random.

    (Random restarts: Dhariwal et al., *Jukebox: A Generative Model for Music*, 2020.) The others stay where they are.

    Args:
        codebook: code vectors, shape (C, E).
        z: vectors, shape (..., E), at least as many as there are dead codes.
        generator: what chooses them, each at most once.

    Returns:
        The new code vectors, shape (C, E), without gradient.

    Raises:
        TypeError: an argument is not of its kind.
        ValueError: shapes do not fit, a value is not finite, or there are fewer vectors than dead codes.

    Example:
        >>> codebook, z = torch.tensor([[0.0], [50.0]]), torch.tensor([[0.1], [0.1]])
        >>> restart_dead(codebook, z, generator=torch.Generator().manual_seed(0))
        tensor([[0.0000],
                [0.1000]])
    """
    require_generator(generator)
    codes, vectors = quantize(z, codebook).codes.flatten(), z.detach().reshape(-1, z.shape[-1])
    dead = torch.bincount(codes, minlength=len(codebook)) == 0
    if len(vectors) < dead.sum():
        raise ValueError(
            f"z must hold at least one vector for each of the {int(dead.sum())} dead codes, got {len(vectors)}"
        )
    order = torch.randperm(len(vectors), generator=generator).to(vectors.device)
    fresh = codebook.detach().clone()
    fresh[dead] = vectors[order[: int(dead.sum())]]
    return fresh


def finite_scalar(z: Tensor, levels: Sequence[int]) -> Quantized:
    r"""Finite scalar quantization: each dimension is bounded, and rounded to one of a few levels.

    .. math:: u = \tfrac12 (n - 1)(\tanh z + 1), \qquad \hat z = 2 \operatorname{round}(u) / (n - 1) - 1

    After Mentzer et al., *Finite Scalar Quantization: VQ-VAE Made Simple* (2023). There is nothing to learn but the
    encoder, and all :math:`\prod n` codes lie on a grid in :math:`[-1, 1]`. The paper's own bound shifts even numbers
    of levels to have one of them at 0; ours are symmetric.

    Args:
        z: vectors, shape (..., E).
        levels: n for each of the E dimensions, at least 2.

    Returns:
        The `Quantized`: code vectors with the gradient of the bounded z, indices that count the last dimension
        fastest, and two losses that are 0.

    Raises:
        TypeError: ``z`` is not a floating-point tensor, or ``levels`` is not a sequence.
        ValueError: ``z`` is not finite or has not one dimension for each of ``levels``, or a level is not an integer of
            at least 2.

    Example:
        >>> q = finite_scalar(torch.tensor([[-9.0, 0.1], [9.0, 0.9]]), [2, 3])
        >>> q.z, q.codes
        (tensor([[-1.,  0.],
                [ 1.,  1.]]), tensor([1, 5]))
    """
    require_float(z=z)
    require_finite(z=z)
    if not isinstance(levels, Sequence):
        raise TypeError(f"levels must be a sequence, one number a dimension, got {levels!r}; give [{levels!r}, ...]")
    for n in levels:
        require_count(level=n)
        if n < 2:
            raise ValueError(f"levels must be at least 2 each, got {list(levels)}")
    if z.shape[-1] != len(levels):
        raise ValueError(f"z must have one dimension for each of the {len(levels)} levels, got shape {tuple(z.shape)}")
    top = torch.tensor(levels, dtype=z.dtype, device=z.device) - 1
    bounded = torch.tanh(z)
    steps = torch.round(0.5 * top * (bounded.detach() + 1))
    codes = torch.zeros_like(steps[..., 0], dtype=torch.long)
    for step, n in zip(steps.unbind(-1), levels, strict=True):
        codes = codes * n + step.long()
    none = torch.zeros_like(steps[..., 0])
    return Quantized(straight_through(2 * steps / top - 1, bounded), codes, none, none)


class Codebook(nn.Module):
    """The first layer of a VQ-VAE's decoder: code vectors of one-hot codes, (N, L·C) to (N, L·E).

    Args:
        n_codes: C.
        code_dim: E.

    Attributes:
        vectors: the code vectors, a parameter of shape (C, E), drawn from N(0, I).

    Raises:
        ValueError: one of the sizes is not an integer of at least 1.
    """

    def __init__(self, n_codes: int, code_dim: int) -> None:
        super().__init__()
        require_count(n_codes=n_codes, code_dim=code_dim)
        self.vectors = nn.Parameter(torch.randn(n_codes, code_dim))

    def forward(self, z: Tensor) -> Tensor:
        """The vectors of the codes, shape (N, L·E), for ``z`` of shape (N, L·C)."""
        return (split(z, len(self.vectors)) @ self.vectors).flatten(-2)


class Distances(nn.Module):
    r"""The last layer of a VQ-VAE's encoder: logits :math:`-\lVert z_l - e_c \rVert^2`, (N, L·E) to (N, L·C).

    Args:
        codebook: whose vectors are compared with; they remain the parameters of that module alone.
    """

    def __init__(self, codebook: Codebook) -> None:
        super().__init__()
        self._codebook = (codebook,)  # in a tuple: not registered a second time

    def forward(self, z: Tensor) -> Tensor:
        """The logits, shape (N, L·C), for ``z`` of shape (N, L·E)."""
        vectors = self._codebook[0].vectors
        return -squared_distances(split(z, vectors.shape[1]), vectors).flatten(-2)


class Nearest(Posterior):
    """A posterior that is certain: the code of the largest logit, with probability 1.

    Args:
        n_codes: C.

    Raises:
        ValueError: ``n_codes`` is not an integer of at least 1.

    Example:
        >>> z, log_q = Nearest(3).sample((torch.tensor([[-2.0, -0.1, -4.0]]),), torch.zeros(1, 1, 3))
        >>> z, log_q
        (tensor([[[0., 1., 0.]]]), tensor([[0.]]))
    """

    names = ("logits",)

    def __init__(self, n_codes: int) -> None:
        super().__init__()
        require_count(n_codes=n_codes)
        self.n_codes = int(n_codes)

    def sample(self, params: tuple[Tensor, ...], eps: Tensor) -> tuple[Tensor, Tensor]:
        z = self.mean(params).expand_as(eps)
        return z, torch.zeros_like(z[..., 0])

    def mean(self, params: tuple[Tensor, ...]) -> Tensor:
        """The code itself, shape (B, L·C)."""
        return largest(split(params[0], self.n_codes)).flatten(-2)

    def extra_repr(self) -> str:
        return f"n_codes={self.n_codes}"


@described
def vq_vae(
    x_dim: int,
    hidden_dim: int,
    n_latents: int,
    code_dim: int,
    n_codes: int,
    likelihood: Likelihood,
    *,
    seed: int,
    prior: Prior | None = None,
) -> VAE:
    r"""A VQ-VAE whose encoder and decoder have one hidden layer; trained by `fit` with ``objective=vq_terms``.

    Args:
        x_dim: D.
        hidden_dim: the width of the hidden layers.
        n_latents: L, code vectors an example.
        code_dim: E.
        n_codes: C.
        likelihood: the distribution of x given z.
        seed: fixes the initial weights and code vectors.
        prior: of the codes, with ``n_codes``; `UniformCodes` where it is left out.

    Returns:
        The `VAE`, with ``latent_dim`` L·C, on the CPU, in float32.

    Raises:
        TypeError: ``likelihood`` or ``prior`` is none, ``prior`` is not one over codes, or ``seed`` not an integer.
        ValueError: one of the sizes is not an integer of at least 1, or ``prior`` has others.

    Example:
        >>> from vae_tutorial.bounds import elbo_terms
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> model = vq_vae(6, 8, n_latents=3, code_dim=2, n_codes=4, likelihood=bernoulli, seed=0)
        >>> print(f"{elbo_terms(model, torch.zeros(1, 6)).kl.item():.4f}")  # 3 log 4
        4.1589
    """
    require_count(x_dim=x_dim, hidden_dim=hidden_dim, n_latents=n_latents, code_dim=code_dim, n_codes=n_codes)
    prior, posterior = UniformCodes(n_codes) if prior is None else prior, Nearest(n_codes)
    require_parts(likelihood, prior, posterior)
    if not hasattr(prior, "n_codes"):
        raise TypeError(f"the prior must be one over codes, such as UniformCodes({n_codes}), got {prior!r}")
    if getattr(prior, "n_codes", None) != n_codes or getattr(prior, "n_latents", n_latents) != n_latents:
        raise ValueError(f"prior must be one over {n_latents} choices among the {n_codes} codes, got {prior!r}")
    with initial_weights(seed):
        codebook = Codebook(n_codes, code_dim)
        encoder = (nn.Linear(x_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, n_latents * code_dim))
        decoder = (nn.Linear(n_latents * code_dim, hidden_dim), nn.ReLU())
        last = nn.Linear(hidden_dim, x_dim * likelihood.n_params)
    parts = nn.Sequential(*encoder, Distances(codebook)), nn.Sequential(codebook, *decoder, last)
    return VAE(*parts, n_latents * n_codes, likelihood, prior, posterior)


def vq_terms(
    model: VAE,
    x: Tensor,
    n_samples: int = 1,
    *,
    commitment: float = 0.25,
    generator: torch.Generator | None = None,
) -> ElboTerms:
    r"""The bound of a VQ-VAE with the gradient of its loss: an objective for `fit`.

    .. math:: -\log p_\theta(x \mid z) + \sum_l \lVert \operatorname{sg}[z_l] - e \rVert^2
        + \beta \sum_l \lVert z_l - \operatorname{sg}[e] \rVert^2

    (van den Oord et al., 2017, equation 3.) The values are those of an ELBO: the log-likelihood at the nearest codes,
    and :math:`-\log p(z)`, which is L log C under the uniform prior. The two losses enter with the gradient alone. A
    prior with parameters learns from the codes; the encoder takes no notice of it.

    Args:
        model: what `vq_vae` gives, or a `VAE` whose encoder ends with `Distances` and whose decoder begins with
            `Codebook`, both ``nn.Sequential``.
        x: examples, shape (B, D).
        n_samples, generator: not used; `fit` gives them.
        commitment: β, at least 0; the paper takes 0.25.

    Returns:
        The `ElboTerms`.

    Raises:
        TypeError: ``model`` is no `VAE` or not built so, ``x`` no floating-point tensor, or ``commitment`` no number.
        ValueError: ``commitment`` is negative, or shapes do not fit.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> model = vq_vae(6, 8, n_latents=3, code_dim=2, n_codes=4, likelihood=bernoulli, seed=0)
        >>> vq_terms(model, torch.zeros(5, 6)).elbo.shape
        torch.Size([5])
    """
    require_vae(model)
    require_rows(x=x)
    require_at_least_zero(commitment=commitment)
    encoder, decoder = model.encoder, model.decoder
    if not (
        isinstance(encoder, nn.Sequential) and isinstance(encoder[-1], Distances)
        and isinstance(decoder, nn.Sequential) and isinstance(decoder[0], Codebook)
    ):  # fmt: skip
        raise TypeError("the encoder must end with Distances and the decoder begin with Codebook; build it with vq_vae")
    codebook = decoder[0].vectors
    q = quantize(split(encoder[:-1](x), codebook.shape[1]), codebook)  # (B, L)
    log_likelihood = model.likelihood.log_prob(x, decoder[1:](q.z.flatten(1)))
    loss = (q.codebook_loss + commitment * q.commitment_loss).sum(-1)
    one_hot = torch.nn.functional.one_hot(q.codes, len(codebook)).to(q.z).flatten(1)
    return ElboTerms(log_likelihood - (loss - loss.detach()), -model.log_prior(one_hot))


def _require_vectors(z: Tensor, codebook: Tensor) -> None:
    require_float(z=z, codebook=codebook)
    require_same_dtype(z=z, codebook=codebook)
    if codebook.ndim != 2 or z.shape[-1] != codebook.shape[1]:
        raise ValueError(
            f"z must have shape (..., E) for a codebook of shape (C, E), got z {tuple(z.shape)} and codebook "
            f"{tuple(codebook.shape)}"
        )
