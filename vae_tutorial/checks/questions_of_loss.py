"""What `examine` asks of a class's loss: its terms, their weights, and the bound that it is."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Normal

from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.formulas import check_kl
from vae_tutorial.checks.parts import Encoded, Missing, Parts
from vae_tutorial.checks.questions import LOG_VAR_OF, TINY, Known, distance, verdict
from vae_tutorial.checks.spread import log_variance, standard_deviation, variance
from vae_tutorial.formulas import kl_standard_normal

SPREAD_OF: dict[str, Callable[[Tensor], Tensor]] = {
    "log σ²": log_variance,
    "log σ": lambda log_var: 0.5 * log_var,
    "σ": standard_deviation,
    "σ²": variance,
}
PRIOR = {"log σ²": 0.0, "log σ": 0.0, "σ": 1.0, "σ²": 1.0}
"""The spread of the prior."""

LOSSES: dict[str, tuple[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "probabilities": ("the cross-entropy of probabilities", lambda r, x: F.binary_cross_entropy(r, x, reduction="sum")),
    "logits": ("the cross-entropy of logits", lambda r, x: (F.softplus(r) - x * r).sum()),
    "squares": ("Σ(x − x̂)²", lambda r, x: (r - x).square().sum()),
    "absolute": ("Σ|x − x̂|", lambda r, x: (r - x).abs().sum()),
    "exchanged": ("the cross-entropy", lambda r, x: F.binary_cross_entropy(x, r, reduction="sum")),
}


def divergence(parts: Parts, known: Known) -> Check:
    """What the loss adds when mean and spread leave the prior: the KL, up to one weight."""
    row, x, _ = _one(parts, known)

    def scaled(weight: float, name: str, mu: Tensor, spread: Tensor) -> Tensor:
        zero = torch.zeros_like(mu[:1])
        values = [_loss(parts, row, x, mu=m[None], spread=s[None]) for m, s in zip(mu, spread, strict=True)]
        return (torch.stack(values) - _loss(parts, row, x, mu=zero, spread=zero + PRIOR[name])) / weight

    mu, log_var = (0.7 * torch.randn(4, 3, generator=torch.Generator().manual_seed(s)).double() for s in (1, 2))
    exact = kl_standard_normal(mu, log_var)
    own = known.spread or "log σ²"
    came = scaled(1.0, own, mu, SPREAD_OF[own](log_var))
    for name in (own, *(other for other in SPREAD_OF if other != own)):
        try:
            terms = scaled(1.0, name, mu, SPREAD_OF[name](log_var))
        except ValueError:  # torch.distributions takes no negative scale
            continue
        weight = (terms.sum() / exact.sum()).item()
        if not (weight > TINY and distance(terms / weight, exact) <= TINY):
            continue
        check = check_kl(partial(scaled, weight, name), spread=SPREAD_OF[name])
        if check.passed and name == own:
            known.kl_weight = weight
            return replace(check, claim=f"The loss adds {weight:.4g} times the KL of N(μ, σ²) from N(0, I)")
        if check.passed:
            said = f"The loss takes the second tensor for {name}, the sampler for {own}: one of them is wrong."
            return replace(check, gap=math.inf, mistake=said)
    if came.abs().max() <= TINY:
        said = "The loss does not depend on μ and the spread."
        return verdict("The loss has a KL", ("the loss", "the KL"), math.inf, said)
    check = check_kl(partial(scaled, 1.0, own), spread=SPREAD_OF[own])
    return replace(check, claim="The loss has the KL of N(μ, σ²)")


def reconstruction(parts: Parts, known: Known) -> Check:
    """What the loss adds when x̂ moves: one of the usual terms, up to one weight; and x̂ lies where that wants it."""
    row, x, base = _one(parts, known)
    generator = torch.Generator().manual_seed(3)
    target, *guesses = (0.1 + 0.8 * torch.rand(row.recon.shape, generator=generator).double() for _ in range(5))
    zero = torch.zeros_like(row.mu)
    given = torch.stack(
        [_loss(parts, row, target.reshape(x.shape), recon=g, mu=zero, spread=zero + base) for g in guesses]
    )
    for name, (_, term) in LOSSES.items():
        usual = torch.stack([term(g, target) for g in guesses])
        slope = (given - given[0])[1:] / (usual - usual[0])[1:]
        if (slope - slope[0]).abs().max() <= TINY * (slope[0].abs() + 1e-9):
            known.loss, known.loss_weight = name, slope[0].item()
            break
    else:
        raise Missing(
            "the term of x and x̂ is no cross-entropy, no squared and no absolute error: check_log_prob judges it"
        )
    claim = f"The loss adds {known.loss_weight:.4g} times {LOSSES[known.loss][0]}"
    said = _misfit(parts, known)
    return verdict(claim, ("your loss", "the usual term"), math.inf if said else 0.0, said)


def _misfit(parts: Parts, known: Known) -> str:
    sizes = [
        parts.encoded(f * parts.x, g * parts.noise(len(parts.x), 4)).recon for f, g in ((1, 1), (30, 100), (-30, 100))
    ]
    reached = torch.cat([recon.flatten() for recon in sizes])
    reached = reached[reached.isfinite()]
    low, high = reached.min().item(), reached.max().item()
    lowest, highest = parts.data.min().item(), parts.data.max().item()
    inside = low >= 0 and high <= 1
    if known.loss_weight < 0:
        return "The reconstruction term has the wrong sign: it grows where x̂ comes closer."
    if known.loss == "exchanged":
        return "The cross-entropy has its arguments exchanged: x̂ is the target, x the prediction."
    if known.loss in ("probabilities", "logits") and not 0 <= lowest <= highest <= 1:
        return f"A cross-entropy wants x in [0, 1], x reaches from {lowest:.3g} to {highest:.3g}: scale x."
    if known.loss == "probabilities" and not inside:
        return f"The loss takes probabilities, the decoder gives {low:.3g} to {high:.3g}: a sigmoid is missing."
    if known.loss == "logits" and inside:
        return "The loss takes logits, the decoder gives numbers in [0, 1] only: a sigmoid too many."
    squashed = -1 <= low < -0.9 and 0.9 < high <= 1
    limits = (0, 1) if inside and high > 0.9 else (-1, 1) if squashed else None
    if known.loss in ("squares", "absolute") and limits and not limits[0] <= lowest <= highest <= limits[1]:
        return (
            f"The decoder gives numbers in [{limits[0]}, {limits[1]}] only, x reaches from {lowest:.3g} to "
            f"{highest:.3g}: scale x, or leave out the last activation."
        )
    return ""


def weights(parts: Parts, known: Known, beta: float) -> Check:
    """How much the KL counts beside the reconstruction, for one example and in a batch."""
    _require(known)
    one, several = (kl / term for kl, term in (_weights(parts, known, n) for n in (1, 3)))
    n, routes = parts.x[0].numel(), ("weight of the KL over that of the reconstruction", "that of the ELBO")
    if abs(several / one - 1) > TINY:
        averaged, summed = ("KL", "reconstruction") if several < one else ("reconstruction", "KL")
        said = f"The {averaged} is averaged over the batch, the {summed} is summed: the KL's part depends on the batch."
        return verdict("The KL counts alike in every batch", routes, abs(several / one - 1), said)
    mean = abs(known.loss_weight * n / known.kl_weight - 1) < TINY and n > 1
    averaged = f" The reconstruction is averaged over its {n} numbers, the KL is not." * mean
    if known.loss in ("probabilities", "logits"):
        said = f"The KL counts {one:.4g} times as much as in the ELBO: this is β = {one:.4g}.{averaged}"
        return verdict(f"The KL counts {beta:g} times", routes, abs(one / beta - 1), said)
    if known.loss == "absolute":
        return verdict(f"The ELBO of Laplace noise of scale {one / beta:.4g} in x", routes, 0.0)
    noise_var = one / beta / 2
    gain = (parts.data - parts.data.mean(0)).square().sum().item() / len(parts.data) / (2 * noise_var)
    what = f"Gaussian noise of σ² = {noise_var:.4g} in every number of x"
    said = (
        f"The weights mean {what}.{averaged} Then z can gain no more than {gain:.2g} nats an example, and the KL "
        "will go to 0: sum where you average, or choose σ²."
    )
    return verdict(f"The ELBO of {what}", routes, 0.0 if gain > 1 else math.inf, said)


def bound(parts: Parts, known: Known) -> Check:
    """The loss of draws beside the mean of log w, whose densities torch.distributions gives."""
    _require(known)
    if known.loss == "absolute":
        raise Missing("the bound of an absolute error is not compared")
    n_draws = 64
    x = parts.x.repeat_interleave(n_draws, 0)
    e = parts.encoded(x, parts.noise(len(x), 5))
    if e.z is None:
        raise Missing("no layer is given z")
    kl_weight, weight = _weights(parts, known, len(x))
    recon, sd = e.recon.reshape(x.shape), (0.5 * LOG_VAR_OF[known.spread](e.spread)).exp().reshape(e.z.shape)
    noise_var, n = kl_weight / weight / 2, x[0].numel()
    beta, constants, pixels = 1.0, [0.0], _pixels(known, recon, noise_var)
    if known.loss == "squares":  # a loss may leave out none of log p(x | z), its ½ log 2π, or all that is constant
        constants += [0.5 * n * math.log(2 * math.pi), 0.5 * n * math.log(2 * math.pi * noise_var)]
        weight = kl_weight
    else:
        beta = kl_weight / weight
    log_p = pixels.log_prob(x).flatten(1).sum(1)
    log_ratio = Normal(e.mu.reshape(e.z.shape), sd).log_prob(e.z).sum(1) - Normal(0.0, 1.0).log_prob(e.z).sum(1)
    by_parts = (log_p - beta * log_ratio).mean().item()
    minus_loss = -parts.loss_of(e, x).item() / weight / len(x)
    own = min((minus_loss - c for c in constants), key=lambda value: abs(value - by_parts))
    stderr = beta * log_ratio.reshape(-1, n_draws).std(1).square().mean().div(len(x)).sqrt().item()
    log_w = (log_p - log_ratio).reshape(-1, n_draws)
    tighter = (torch.logsumexp(log_w, 1) - math.log(n_draws)).mean().item()
    what = "the ELBO" if abs(beta - 1) < TINY else f"the bound with β = {beta:.3g}"
    if known.loss != "squares" and not ((x == 0) | (x == 1)).all():
        what = f"{what} of gray values, whose cross-entropy is no log-density"
    check = verdict(
        f"−loss is {what}, {own:.2f} nats; log p(x) is at least {tighter:.2f}, by {n_draws} weights",
        ("−loss of your model", f"mean of {n_draws} draws of log w"),
        abs(own - by_parts) / max(stderr, 1e-9),
        f"−loss is {own:.2f} nats an example, where draws of its own parts give {by_parts:.2f}.",
        bound=5.0,
    )
    return replace(check, unit="standard errors")


def _pixels(known: Known, recon: Tensor, noise_var: float) -> Distribution:
    if known.loss == "squares":
        return Normal(recon, math.sqrt(noise_var))
    if known.loss == "logits":
        return Bernoulli(logits=recon, validate_args=False)
    return Bernoulli(probs=recon, validate_args=False)


def _require(known: Known) -> None:
    if not (known.spread and known.kl_weight > 0 and known.loss_weight > 0 and known.loss != "exchanged"):
        raise Missing("it is asked once the sampler, the KL and the reconstruction are right")


def _one(parts: Parts, known: Known) -> tuple[Encoded, Tensor, float]:
    """A single example, encoded; and the spread of the prior in the model's own terms."""
    x = parts.x[:1]
    return parts.encoded(x, parts.noise(1, 1)), x, PRIOR[known.spread or "log σ²"]


def _loss(parts: Parts, e: Encoded, x: Tensor, **changed: Any) -> Tensor:
    return parts.loss_of(e._replace(**changed), x)


def _weights(parts: Parts, known: Known, n: int) -> tuple[float, float]:
    """Of the KL and of the reconstruction term in the loss of n examples."""
    x = parts.x[torch.arange(n) % len(parts.x)]
    e, (_, _, base) = parts.encoded(x, parts.noise(n, 6)), _one(parts, known)
    prior: dict[str, Any] = {"mu": torch.zeros_like(e.mu), "spread": torch.zeros_like(e.mu) + base}
    mu, log_var = (0.5 * parts.noise(n, seed).reshape(e.mu.shape) for seed in (7, 8))
    exact = kl_standard_normal(mu.reshape(n, -1), log_var.reshape(n, -1)).sum()
    kl = _loss(parts, e, x, mu=mu, spread=SPREAD_OF[known.spread](log_var)) - _loss(parts, e, x, **prior)
    generator = torch.Generator().manual_seed(9)
    target, *guesses = (0.1 + 0.8 * torch.rand(e.recon.shape, generator=generator).double() for _ in range(3))
    near, far = (_loss(parts, e, target.reshape(x.shape), recon=guess, **prior) for guess in guesses)
    usual = [LOSSES[known.loss][1](guess, target) for guess in guesses]
    return (kl / exact).item(), ((near - far) / (usual[0] - usual[1])).item()
