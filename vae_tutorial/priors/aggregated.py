"""The aggregated posterior of a finite data set, as a density."""

import torch
from torch import Tensor, nn

from vae_tutorial._restoring import in_evaluation_mode
from vae_tutorial._validation import require_count, require_rows
from vae_tutorial.posteriors import Posterior
from vae_tutorial.priors.mixtures import Mixture
from vae_tutorial.priors.prior import Encoding


def aggregated_posterior(model: Encoding, x: Tensor, *, batch_size: int = 1000) -> Mixture:
    r"""The average of the posteriors of N examples, as a `Mixture` with N components that are not learned.

    .. math:: q_\phi(z) = \frac1N \sum_{n=1}^{N} q_\phi(z \mid x_n)

    For the encoder as it is, no prior gives the N examples a higher mean ELBO (Hoffman and Johnson, *ELBO Surgery*,
    2016; Tomczak and Welling, *VAE with a VampPrior*, 2018). It costs N densities a point, and says nothing about other
    examples.

    Args:
        model: the `VAE`; measured in evaluation mode, whatever its mode is, and left as it was.
        x: examples, shape (N, D).
        batch_size: how many examples go through the encoder at a time.

    Returns:
        The mixture, with the dtype and on the device of the posteriors' parameters. It is a copy of what they are
        now, and stays where the encoder goes on learning.

    Raises:
        TypeError: ``model`` is not a VAE, ``x`` not a floating-point tensor, or the posterior no diagonal Gaussian.
        ValueError: ``x`` does not fit the encoder, or ``batch_size`` is not an integer of at least 1.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, normal(0.0), seed=0)
        >>> q = aggregated_posterior(model, torch.rand(10, 3))
        >>> q, q.log_prob(torch.zeros(4, 2)).shape
        (Mixture(latent_dim=2, n_components=10), torch.Size([4]))
    """
    if not (isinstance(model, nn.Module) and isinstance(getattr(model, "posterior", None), Posterior)):
        raise TypeError(f"model must be a VAE, got {type(model).__name__}")
    require_rows(x=x)
    require_count(batch_size=batch_size)
    with in_evaluation_mode(model), torch.no_grad():
        found = [model.posterior.gaussian(model.encode(rows)) for rows in x.split(int(batch_size))]
    parts = [gaussian for gaussian in found if gaussian is not None]
    if not parts:
        raise TypeError(f"the posterior must be a Gaussian, such as posteriors.diagonal, got {model.posterior}")
    mu, log_var = (torch.cat(part) for part in zip(*parts, strict=True))
    mixture = Mixture(mu.shape[-1], len(mu), seed=0).to(mu).requires_grad_(False)
    mixture.mu.copy_(mu)
    mixture.log_var.copy_(log_var)
    return mixture
