"""What `examine` asks of a class's forward, one question a function; what is known by then is handed on."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vae_tutorial.checks.answers import relative_gap
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.parts import Missing, Parts

TINY = 1e-6
"""The gap allowed, relative to 1 + |exact|; everything is computed in float64."""

LOG_VAR_OF: dict[str, Callable[[Tensor], Tensor]] = {
    "log σ²": lambda spread: spread,
    "log σ": lambda spread: 2 * spread,
    "σ": lambda spread: 2 * spread.abs().log(),
    "σ²": lambda spread: spread.log(),
}


@dataclass
class Known:
    """What the questions asked so far have told."""

    spread: str = ""  # which of LOG_VAR_OF the second output is
    kl_weight: float = math.nan  # of the KL in the loss of one example
    loss: str = ""  # which of LOSSES the reconstruction term is, in questions_of_loss
    loss_weight: float = math.nan
    draws: bool = False  # whether forward draws noise that is known


def verdict(claim: str, routes: tuple[str, str], gap: float, mistake: str = "", bound: float = TINY) -> Check:
    return Check(
        claim, routes, gap, bound, "of 1 + |exact|", mistake=mistake if not gap <= bound else "", dtype="float64"
    )


def distance(a: Tensor, b: Tensor) -> float:
    return relative_gap(a.reshape(b.shape), b).nan_to_num(nan=math.inf, posinf=math.inf).max().item()


def sampler(parts: Parts, known: Known) -> Check:
    """z = μ + σε: what a layer is given where the noise is 0, and where it is not."""
    x, zero = parts.x, torch.zeros(len(parts.x), parts.n_latents, dtype=torch.float64)
    eps, other = parts.noise(len(x), 1), parts.noise(len(x), 2)
    claim, routes = "z = μ + σε, with noise of its own for each number", ("z in your model", "μ + σε")
    e = parts.encoded(x, eps)
    if not parts.used_noise:
        if not torch.equal(parts.seeded(), parts.seeded()):
            raise Missing("forward draws noise, but not from PyTorch: draw it by torch.randn_like(mu)")
        said = (
            "forward drew no Gaussian noise with a number for each of μ by torch.randn, randn_like, normal or rsample"
        )
        return verdict(claim, routes, math.nan, f"{said}: noise is missing, not Gaussian, or shared by the batch.")
    known.draws = True
    if distance(e.recon, parts.encoded(x, other).recon) == 0:
        said = "The reconstruction does not depend on the noise: the mean is decoded."
        return verdict(claim, routes, math.nan, said)
    if e.z is None:
        raise Missing("no layer is given z, a tensor of the size of mu: let forward return it, too, after the others")
    centre = parts.encoded(x, zero).z
    if centre is None:
        raise Missing("the noise does not move z at every call")
    mu, spread, scale = e.mu.reshape(e.z.shape), e.spread.reshape(e.z.shape), (e.z - centre) / eps
    for name, log_var in LOG_VAR_OF.items():
        if distance((0.5 * log_var(spread)).exp(), scale.abs()) <= TINY:
            known.spread = name
    if (off := distance(centre, mu)) > TINY:
        if distance(centre, spread) <= TINY:
            said = "the second tensor that forward gives is the mean of z: mean and spread are exchanged"
        else:
            said = "without noise z is not μ"
        return verdict(claim, routes, off, f"{said[0].upper()}{said[1:]}.")
    if not known.spread:
        ratio = scale / (0.5 * spread).exp()
        if (ratio - ratio.flatten()[0]).abs().max() <= TINY:
            said = f"ε is multiplied by {ratio.flatten()[0]:.4g}: z = μ + {ratio.flatten()[0]:.3g} σε."
        else:
            said = (
                "The factor of ε is none of exp(½t), exp(t), t and √t, where t is the second tensor that forward gives."
            )
        return verdict(claim, routes, math.inf, said)
    again = parts.encoded(x, other).z
    gap = math.inf if again is None else distance(again, mu + scale * other)
    check = verdict(claim, routes, gap, "z is not linear in the noise.")
    return replace(check, claim=f"z = μ + σε, where forward gives {known.spread}")


def spreads(parts: Parts, known: Known) -> Check:
    """The second output: no copy of the mean, any number where it is a logarithm, above 0 where it is none."""
    eps = parts.noise(len(parts.x), 1)
    near, *far = (parts.encoded(size * parts.x, eps) for size in (1.0, 30.0, -30.0))
    means = torch.cat([e.mu.flatten() for e in (near, *far)])
    spread = torch.cat([e.spread.flatten() for e in (near, *far)])
    name = known.spread or "log σ²"
    if torch.equal(near.mu, near.spread):
        said = "It is equal to μ: one head gives both."
    elif means.min() >= 0:
        said = "μ is never negative, where the prior is half of the time: leave out the activation over it."
    elif "log" in name and spread.min() >= 0:
        said = f"{name} is never negative, so σ is never below 1: leave out the activation over it."
    elif "log" in name and spread.max() <= 0:
        said = f"{name} is never positive, so σ is never above 1: leave out the activation over it."
    elif "log" in name and spread.abs().max() <= 1 + TINY and far[0].mu.abs().max() > 3:
        said = f"{name} stays in [−1, 1], even where x is 30 times as large: leave out the activation over it."
    elif "log" not in name and spread.min() <= 0:
        said = f"{name} is {spread.min():.3g} somewhere, and must be above 0: give log σ² instead."
    else:
        said = ""
    routes = (f"{name} at x and at ±30 x", "any number" if "log" in name else "numbers above 0")
    return verdict(f"{name} takes every value it may", routes, math.inf if said else 0.0, said)


def gradients(parts: Parts, known: Known) -> Check:
    """The reconstruction pulls at both heads, and the loss at every weight."""
    with torch.enable_grad():
        e = parts.encoded(parts.x, parts.noise(len(parts.x), 1))
        weights = torch.linspace(1, 2, e.recon.numel(), dtype=torch.float64).reshape(e.recon.shape)
        total, cut = (weights * e.recon).sum(), []
        for name, tensor in (("μ", e.mu), ("the spread", e.spread)):
            if not (tensor.requires_grad and total.requires_grad):
                cut.append(name)
            elif (slope := torch.autograd.grad(total, tensor, retain_graph=True, allow_unused=True)[0]) is None:
                cut.append(name)
            elif not slope.any():
                cut.append(name)
        names = dict(parts.model.named_parameters())
        wanted = names | {f"original {name}": p for name, p in parts.originals.items() if p.requires_grad}
        found = torch.autograd.grad(parts.loss_of(e, parts.x), [*wanted.values()], allow_unused=True)
    trained = {name for name, slope in zip(wanted, found, strict=True) if slope is not None and slope.any()}
    idle = [name for name in names if not {name, f"original {name}"} & trained]
    said = ""
    if cut:
        said = f"No gradient of the reconstruction reaches {' and '.join(cut)}: detached on the way, or never used."
    elif idle:
        said = f"The loss has no gradient for {', '.join(idle[:3])}{', …' * (len(idle) > 3)}: never trained."
    routes = ("gradients that are zero", "none")
    return verdict("Gradients reach both heads and all weights", routes, float(len(cut) + len(idle)), said)


def require_noise(parts: Parts, known: Known) -> None:
    if not known.draws:
        raise Missing("it is asked once the sampler draws its noise")


def rows(parts: Parts, known: Known) -> Check:
    """What an example gives in a batch, it gives alone."""
    eps = parts.noise(len(parts.x), 1)
    whole = parts.encoded(parts.x, eps)
    require_noise(parts, known)
    gap, worst = 0.0, ""
    for i in range(len(parts.x)):
        one = parts.encoded(parts.x[i : i + 1], eps[i : i + 1])
        for name in ("mu", "spread", "recon"):
            row, alone = getattr(whole, name)[i], getattr(one, name)
            if alone.numel() != row.numel():
                raise Missing(f"a batch of one example gives {name} of shape {tuple(alone.shape)}")
            if (off := distance(alone, row)) > max(gap, TINY):
                gap, worst = off, name
    said = f"Beside others an example gives another {worst}: rows of the batch are mixed, as by view."
    return verdict("An example gives the same alone and in a batch", ("alone", "in a batch"), gap, said)


def evaluation(parts: Parts, known: Known) -> Check:
    """In evaluation mode the bound is still one: z is drawn, and nothing else is."""
    eps = parts.noise(len(parts.x), 1)
    first, again = (parts.encoded(parts.x, eps, training=False) for _ in range(2))
    moved = parts.encoded(parts.x, eps + 1, training=False)
    require_noise(parts, known)
    said = ""
    if distance(again.recon, first.recon) > 0:
        said = "After model.eval() the same noise gives other numbers: something else is random, such as F.dropout."
    elif distance(moved.recon, first.recon) == 0:
        said = "After model.eval() the mean is decoded, no draw: a loss measured there is not the ELBO."
    routes = ("two calls after model.eval()", "one noise, and another")
    return verdict("In evaluation mode z is drawn, and nothing else", routes, math.inf if said else 0.0, said)
