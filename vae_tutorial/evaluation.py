r"""How good is a model: log p(x) by importance sampling, units that carry information, bits.

Shapes: K samples, B examples, D dimensions of x, L latent dimensions.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vae_tutorial._extra import of_the_chapters
from vae_tutorial._restoring import in_evaluation_mode
from vae_tutorial._validation import (
    require_as_many,
    require_count,
    require_finite,
    require_float,
    require_positive,
    require_seed,
)
from vae_tutorial.bounds import posterior_samples
from vae_tutorial.models import VAE, require_vae

with of_the_chapters():
    from tqdm import tqdm

NOISE_BLOCK = 1000
"""How many samples of an example have their noise drawn at once; fixed, or the noise would depend on ``chunk``."""


def marginal_log_likelihood(
    model: VAE,
    x: Tensor | tuple[Tensor, Tensor],
    n_samples: int,
    *,
    seed: int,
    chunk: int = 1000,
    progress: bool = True,
) -> Tensor:
    r"""Estimates of log p(x) by importance sampling: the importance-weighted bound with many samples.

    .. math:: \log \hat p(x) = \log \frac1K \sum_{k=1}^{K} \frac{p_\theta(x, z^{(k)})}{q_\phi(z^{(k)} \mid x)},
        \qquad z^{(k)} \sim q_\phi(z \mid x)

    :math:`\hat p(x)` is unbiased, so the expectation of its logarithm is at most log p(x): a model is not flattered.
    K = 5,000 is what Burda, Grosse and Salakhutdinov (*Importance Weighted Autoencoders*, 2016) report.

    Args:
        model: the VAE; measured in evaluation mode, whatever its mode is, and left as it was.
        x: examples, shape (B, D), on the device of the model; or, for a `vae_tutorial.conditional.ConditionalVAE`, the
            pair (x, c) of them and their conditions, shape (B, C): then it is log p(x | c).
        n_samples: K, the number of samples.
        seed: fixes the noise, which each example has for itself by its place in ``x``: neither ``chunk`` nor the
            model's dtype changes it.
        chunk: how many samples go through the decoder at a time; it bounds the memory, whatever B and K.
        progress: show a progress bar.

    Returns:
        Estimates in nats, shape (B,), in float64.

    Raises:
        TypeError: ``model`` is not a VAE, ``x`` not a floating-point tensor, or ``seed`` not an integer; the model asks
            for conditions that are not given, or the other way round.
        ValueError: ``x`` does not fit the model, ``n_samples`` or ``chunk`` is not an integer of at least 1, or a value
            is not finite.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, normal(0.0), seed=0)
        >>> x = torch.rand(10, 3)
        >>> marginal_log_likelihood(model, x, 5000, seed=1, progress=False).shape
        torch.Size([10])
    """
    require_vae(model)
    if isinstance(x, tuple) and len(x) != 2:
        raise ValueError(f"x must be a tensor or the pair (x, c), got a tuple of {len(x)}")
    x, conditions = (x[0], x[1:]) if isinstance(x, tuple) else (x, ())
    require_float(x=x)
    for c in conditions:
        require_as_many(x=x, c=c)
    require_count(n_samples=n_samples, chunk=chunk)
    n_samples, chunk = int(n_samples), int(chunk)
    generator = torch.Generator().manual_seed(require_seed(seed=seed))
    seeds = torch.randint(2**62, (len(x),), generator=generator)
    at_a_time = max(1, chunk // n_samples)
    log_sums = []
    bar = tqdm(total=len(x), unit="example", disable=not progress)
    with bar, in_evaluation_mode(model), torch.no_grad():
        parts = zip(*(part.split(at_a_time) for part in (x, *conditions)), strict=True)
        for (rows, *given), own_seeds in zip(parts, seeds.split(at_a_time), strict=True):
            at = model.given(*given) if given else model
            params = at.encode(rows)
            noise = zip(*(_noise_blocks(n_samples, params[0], s) for s in own_seeds.tolist()), strict=True)
            pieces = (eps for block in noise for eps in torch.stack(block, 1).split(chunk))
            samples = (posterior_samples(at, params, eps=eps) for eps in pieces)
            weights = (at.log_likelihood(rows, z) + at.log_prior(z) - log_q for z, log_q in samples)
            sums = [torch.logsumexp(log_w.double(), 0) for log_w in weights]
            log_sums.append(torch.logsumexp(torch.stack(sums), 0))
            bar.update(len(rows))
    return torch.cat(log_sums) - math.log(n_samples)


def _noise_blocks(n_samples: int, like: Tensor, seed: int) -> Iterator[Tensor]:
    """The noise of one example, at most NOISE_BLOCK samples at a time, each of shape (samples, L)."""
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, n_samples, NOISE_BLOCK):
        shape = (min(NOISE_BLOCK, n_samples - start), like.shape[-1])
        yield torch.randn(shape, generator=generator, dtype=torch.float32).to(like)  # the same for a model in float64


def unit_activity(model: VAE, x: Tensor, *, batch_size: int = 1000) -> Tensor:
    r"""How much each latent unit says about x: the variance of its posterior mean over the examples.

    .. math:: A_l = \operatorname{Var}_{x} \bigl( \mathbb{E}_{q_\phi(z \mid x)}[z_l] \bigr)
        = \operatorname{Var}_{x} \bigl( \mu_{\phi,l}(x) \bigr)

    (Burda, Grosse and Salakhutdinov, 2016.) A unit that ignores x has 0; one that is known exactly, and is distributed
    as the prior N(0, I) over the examples, has 1.

    Args:
        model: the VAE; measured in evaluation mode, whatever its mode is, and left as it was.
        x: examples, shape (B, D), at least two.
        batch_size: how many examples go through the encoder at a time.

    Returns:
        Variances, shape (L,), at least 0.

    Raises:
        TypeError: ``model`` is not a VAE, or ``x`` not a floating-point tensor.
        ValueError: ``x`` does not fit the encoder, or holds fewer than two examples.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, normal(0.0), seed=0)
        >>> unit_activity(model, torch.rand(10, 3)).shape
        torch.Size([2])
    """
    require_vae(model)
    require_float(x=x)
    require_count(batch_size=batch_size)
    if len(x) < 2:
        raise ValueError(f"x must hold at least 2 examples, whose means are compared; got shape {tuple(x.shape)}")
    with in_evaluation_mode(model), torch.no_grad():
        means = torch.cat([model.posterior.mean(model.encode(rows)) for rows in x.split(int(batch_size))])
    return means.var(0)


def active_units(model: VAE, x: Tensor, *, threshold: float = 0.01) -> Tensor:
    r"""Which latent units are in use: those with :math:`A_l` above a threshold; see `unit_activity`.

    Args:
        model: the VAE.
        x: examples, shape (B, D), at least two.
        threshold: a positive number; 0.01 is that of Burda, Grosse and Salakhutdinov (2016), who found the variances
            far from it on both sides.

    Returns:
        Booleans, shape (L,); ``.sum()`` counts the active units.

    Raises:
        TypeError: as `unit_activity`, or ``threshold`` is not a number.
        ValueError: as `unit_activity`, or ``threshold`` is not above 0.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, normal(0.0), seed=0)
        >>> with torch.no_grad():  # a head that is 0: the first unit's mean is 0 for every x
        ...     model.encoder[-1].weight[0] = 0.0
        >>> active_units(model, torch.randn(100, 3))
        tensor([False,  True])
    """
    threshold = require_positive(threshold=threshold)
    return unit_activity(model, x) > threshold


def bits_per_dim(log_px: Tensor, x_dim: int) -> Tensor:
    r"""Log-probabilities as bits for each dimension of x: the length of a code for x, per pixel.

    .. math:: -\frac{\log p(x)}{D \log 2}

    Of probabilities only. The density of dequantized levels, one of n in each cell of width 1/n, becomes a bound
    on their probability first: subtract :math:`D \log n` (Theis, van den Oord and Bethge, *A Note on the Evaluation of
    Generative Models*, 2016).

    Args:
        log_px: log-probabilities, or lower bounds of them, in nats; any shape but an empty one, none for a mean.
        x_dim: D, the number of dimensions of x.

    Returns:
        Bits per dimension, of the shape of ``log_px``; lower is better.

    Raises:
        TypeError: ``log_px`` is not a floating-point tensor.
        ValueError: ``log_px`` is not finite, or ``x_dim`` is not an integer of at least 1.

    Example:
        >>> fair_coins = torch.tensor([784 * math.log(0.5)])
        >>> bits_per_dim(fair_coins, 784)
        tensor([1.])
    """
    require_float(log_px=log_px[None] if isinstance(log_px, Tensor) else log_px)  # a mean has no axes
    require_finite(log_px=log_px)
    require_count(x_dim=x_dim)
    return -log_px / (x_dim * math.log(2))
