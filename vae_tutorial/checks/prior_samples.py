"""The samples of a prior against its density: their averages, and that they are drawn independently."""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.answers import as_numbers
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.distribution import name_samples, z_score_of_draws
from vae_tutorial.gaussian import log_normal
from vae_tutorial.priors import Prior
from vae_tutorial.reference import monte_carlo

N_DRAWS = 20_000


def log_prob_of(prior: Prior, z: Tensor) -> Tensor:
    """The log-density at many points, some thousand at a time."""
    parts = [as_numbers(prior.log_prob(rows)).double() for rows in z.split(4096)]
    log_p = torch.cat(parts) if parts[0].ndim else parts[0]
    if log_p.shape != z.shape[:-1]:
        raise ValueError(f"log_prob gave shape {tuple(log_p.shape)} for z {tuple(z.shape)}")
    return log_p


def mixture_of(prior: Prior) -> tuple[Tensor, Tensor, Tensor] | None:
    """The logits, means and log-variances that a mixture says it is made of."""
    found = getattr(prior, "components", None)
    if found is None:
        return None
    log_weights, mu, log_var = (part.detach() for part in found())
    logits = getattr(prior, "logits", log_weights)
    return logits.detach(), mu, log_var


def samples_agree(check: Check, prior: Prior, owner: nn.Module | None, points: Tensor, cell: float) -> Check:
    """Averages over draws are those of the density; two draws of one call, along any axis, do not depend on another."""
    n_dims = points.shape[1]

    def drawn(*shape: int, seed: int = 35) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            return as_numbers(prior.sample((*shape, n_dims), like=points, generator=generator)).double()

    z, again = drawn(N_DRAWS), drawn(N_DRAWS)
    if z.shape != (N_DRAWS, n_dims):
        mistake = f"sample(({N_DRAWS}, {n_dims})) gave shape {tuple(z.shape)}."
        return replace(check, gap=math.nan, mistake=mistake)
    if not torch.equal(z, again):
        mistake = "sample does not draw from the generator that it is given."
        return replace(check, gap=math.nan, mistake=mistake)
    if drawn(3, 4).shape != (3, 4, n_dims):
        mistake = f"sample((3, 4, {n_dims})) does not give that shape."
        return replace(check, gap=math.nan, mistake=mistake)
    with torch.no_grad():
        log_p = log_prob_of(prior, points)
        worst = _z_score(z, log_prob_of(prior, z), points, log_p, log_p, cell)
        if worst <= 5:
            mean = (log_p.exp() * cell) @ points
            pairs = z.view(-1, 2, n_dims), drawn(N_DRAWS // 2, 2), drawn(2, N_DRAWS // 2).transpose(0, 1)
            worst = max(monte_carlo((pair - mean).prod(1)).z_score(0.0).abs().max().item() for pair in pairs)
            if worst <= 5:
                return check
            mistake = (
                "The samples of one call are not independent: each draw is to have a component and noise of its own."
            )
            return replace(check, gap=worst, bound=5.0, unit="standard errors", mistake=mistake)
        mistake = _name_sampler(z, prior, points, cell) or name_samples(worst)
    return replace(check, gap=worst, bound=5.0, unit="standard errors", mistake=mistake)


def _z_score(
    z: Tensor, log_p_of_z: Tensor, points: Tensor, log_p: Tensor, log_drawn_from: Tensor, cell: float
) -> float:
    """The largest z-score of averages over draws, beside those of the density that they are thought to come from."""
    found = z_score_of_draws(z, log_p_of_z, points, log_p, log_drawn_from.exp() * cell).item()
    return math.inf if math.isnan(found) else found


def _name_sampler(z: Tensor, prior: Prior, points: Tensor, cell: float) -> str:
    if (mixture := mixture_of(prior)) is None:
        return ""
    logits, mu, log_var = mixture
    if len(z.unique(dim=0)) <= len(mu):
        return "The samples are the means of the components: the noise is missing."
    log_p, log_p_of_z = log_prob_of(prior, points), log_prob_of(prior, z)
    for clause, density in known.SAMPLED_MIXTURE.items():
        other = density(points, logits, mu, log_var)
        if _z_score(z, log_p_of_z, points, log_p, other, cell) <= 5:
            return f"The samples {clause}."
    for one in range(len(mu)):
        alone = log_normal(points, mu[one].expand_as(points), log_var[one].expand_as(points))
        if _z_score(z, log_p_of_z, points, log_p, alone, cell) <= 5:
            return "The samples of one call share a component: each draw is to have one of its own."
    return ""
