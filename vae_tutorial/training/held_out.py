"""How good a model is on held-out examples: both terms of the ELBO, of all of them."""

import math

import torch
from torch import Tensor

from vae_tutorial._restoring import in_evaluation_mode
from vae_tutorial._troubleshooting import see
from vae_tutorial._validation import require_count, require_seed
from vae_tutorial.bounds import elbo_terms
from vae_tutorial.models import VAE, require_vae
from vae_tutorial.training.alone import Alone
from vae_tutorial.training.arguments import require_objective
from vae_tutorial.training.examples import Data, Examples, examples, in_turn
from vae_tutorial.training.hints import diverged
from vae_tutorial.training.step import Objective, finite_sums


def evaluate(
    model: VAE,
    x: Data,
    n_samples: int = 1,
    *,
    seed: int,
    objective: Objective = elbo_terms,
    batch_size: int = 1000,
) -> tuple[float, float]:
    r"""Both terms of the ELBO, averaged over a data set, without gradients.

    Args:
        model: the VAE; measured in evaluation mode, whatever its mode is, and left as it was.
        x: examples, as for `fit`; a tensor on the device of the model.
        n_samples: noise draws per example.
        seed: fixes the noise: the same seed compares two models, or two epochs, under the same draws.
        objective: as for `fit`.
        batch_size: how many examples go through the model at a time; it bounds the memory.

    Returns:
        The mean log-likelihood term and the mean KL term, in nats per example; their difference is the mean ELBO.

    Raises:
        TypeError: as ``objective``; or ``model`` is no `VAE`, or ``seed`` not an integer.
        ValueError: as ``objective``, or a term is not finite.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, normal(0.0), seed=0)
        >>> log_likelihood, kl = evaluate(model, torch.rand(10, 3), seed=0)
        >>> kl >= 0
        True
    """
    require_vae(model)
    data = examples("x", x)
    require_count(n_samples=n_samples, batch_size=batch_size)
    n_samples, batch_size, seed = int(n_samples), int(batch_size), require_seed(seed=seed)
    require_objective("x", data, objective, n_samples=n_samples)
    if not isinstance(x, Tensor):
        data = data.to(model.a_weight().device)
    return mean_terms(model, data, n_samples, seed=seed, objective=objective, batch_size=batch_size)


def mean_terms(
    model: VAE, data: Examples, n_samples: int, *, seed: int, objective: Objective, batch_size: int = 1000,
    ranks: Alone | None = None,
) -> tuple[float, float]:  # fmt: skip
    """What `evaluate` gives, for arguments that were checked; each of the ranks measures its share."""
    generator, ranks = torch.Generator().manual_seed(seed), ranks or Alone()
    mine = ranks.measured(objective)
    with in_evaluation_mode(model), torch.no_grad():
        try:
            with ranks.together():
                sums = [
                    finite_sums(mine(model, *x, n_samples, generator=generator), n_examples=len(x[0]))
                    for x in in_turn(data, batch_size, ranks.share)
                ]
        except ValueError as error:
            if diverged(error):
                raise ValueError(f"{error}. {see('nan')}") from error
            raise
    log_likelihood, kl = ranks.total([math.fsum(column) for column in zip(*sums, strict=True)])
    return log_likelihood / len(data), kl / len(data)
