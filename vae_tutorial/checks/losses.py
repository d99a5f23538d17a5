"""The commonest loss of all, a squared error or a cross-entropy beside a KL: which weights it has, what they mean."""

import math
from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_tutorial.checks.answers import Answer, Arguments, Function, evaluate
from vae_tutorial.checks.exact import NOISE_VAR
from vae_tutorial.checks.mistakes import KL as DIVERGENCE
from vae_tutorial.checks.mistakes import elbo_parts
from vae_tutorial.checks.naming import signed

LOG_P, SQUARES, MEAN_SQUARES = "log p(x | z)", "Σ(x − x̂)²", "mean of (x − x̂)²"
KL, MEAN_KL, SHARED_KL = "KL", "KL averaged over latent dimensions", "KL divided by the number of draws"


def loss_from_parts(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
    """The clue that the function is a weighted sum of a reconstruction error, a KL and a constant."""
    if not came:
        return ""
    rows = [
        _single(arguments, i, n_draws=1 + i)  # so that what grows with their number is told apart
        for arguments in fixtures
        for i in range(len(arguments["x"]))
    ]
    target = _values(fn, rows)
    columns = [_columns(row) for row in rows]
    for recon, kl, constant in product(RECONSTRUCTIONS, (KL, MEAN_KL, SHARED_KL), ("", "1", "D")):
        if recon in LOG_PS and constant:
            continue  # but for a constant log p(x | z) is a squared error
        names = [name for name in (recon, kl, constant) if name]
        matrix = torch.tensor([[column[name] for name in names] for column in columns], dtype=torch.float64)
        weights = torch.linalg.lstsq(matrix, target).solution
        if torch.allclose(matrix @ weights, target, rtol=1e-6, atol=1e-6) and (weights[:2].abs() > 1e-6).all():
            each = _values(fn, [_single(fixtures[0], i, n_draws=None) for i in range(len(fixtures[0]["x"]))])
            total = _total(each, came[0].value)
            if names == [LOG_P, KL] and not total and torch.allclose(weights, torch.tensor([1.0, -1.0])):
                return ""  # right one by one: what is wrong, several examples show
            return _sentence(names, weights.tolist(), total)
    return ""


def floored_kl(fn: Function, fixtures: Sequence[Arguments], came: Sequence[Answer]) -> str:
    """The clue that the KL in a bound is raised to a least value."""
    parts = [elbo_parts(**arguments) for arguments in fixtures]
    subtracted = [(t.log_likelihood.mean(0) - a.value).detach() for t, a in zip(parts, came, strict=True)]
    entries = [DIVERGENCE[""](t.mu, t.log_var).detach() for t in parts]
    for unit, kls in {"a dimension": entries, "an example": [kl.sum(-1, keepdim=True) for kl in entries]}.items():
        low, high = 0.0, 100.0
        for _ in range(60):  # what the first example's KL is raised to
            floor = (low + high) / 2
            low, high = (floor, high) if kls[0][0].clamp(min=floor).sum() < subtracted[0][0] else (low, floor)
        raised = [kl.clamp(min=floor).sum(-1) for kl in kls]
        if floor > 1e-6 and all(torch.allclose(*pair, atol=1e-6) for pair in zip(raised, subtracted, strict=True)):
            return f"Its KL has a floor of {signed(round(floor, 4))} nats {unit}: free bits are another objective."
    return ""


def _single(arguments: Arguments, i: int, n_draws: int | None) -> Arguments:
    return {**arguments, "x": arguments["x"][i : i + 1], "eps": arguments["eps"][:n_draws, i : i + 1]}


def _values(fn: Function, rows: Sequence[Arguments]) -> Tensor:
    return torch.stack([evaluate(fn, row).value.reshape(()) for row in rows])


RECONSTRUCTIONS = (
    LOG_P,
    SQUARES,
    MEAN_SQUARES,
    "log p(x | z) averaged over dimensions",
    "Σ(x − x̂)² added up over the draws",
    "cross-entropy of x and decode(z)",
    "mean cross-entropy of x and decode(z)",
)


LOG_PS = LOG_P, "log p(x | z) averaged over dimensions"


@torch.no_grad()
def _columns(row: Arguments) -> dict[str, float]:
    parts = elbo_parts(**row)
    n_dims, (n_draws, _, latent_dim) = row["x"].shape[1], row["eps"].shape
    logits = row["model"].decode(parts.z)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, row["x"].expand_as(logits), reduction="none").sum(-1)
    log_p, squares, kl = parts.log_likelihood.mean().item(), parts.squares.mean().item(), parts.kl.item()
    entropy = cross_entropy.mean().item()
    reconstructions = [log_p, squares, squares / n_dims, log_p / n_dims, squares * n_draws, entropy, entropy / n_dims]
    return dict(zip(RECONSTRUCTIONS, reconstructions, strict=True)) | {
        KL: kl, MEAN_KL: kl / latent_dim, SHARED_KL: kl / n_draws, "1": 1.0, "D": float(n_dims)
    }  # fmt: skip


def _total(rows: Tensor, came: Tensor) -> str:
    if came.ndim or not math.isfinite(came):
        return ""
    for words, total in {"added up": rows.sum(), "averaged": rows.mean()}.items():
        if torch.allclose(total, came, rtol=1e-6, atol=1e-6):
            return f", {words} over the batch, where one value per example is expected"
    return ", reduced to one number, where one value per example is expected"


def _sentence(names: list[str], weights: list[float], total: str) -> str:
    sum_of = " ".join(
        f"{'+' if weight > 0 else '−'} {signed(abs(weight))}" + f" · {name}" * (name != "1")
        for name, weight in zip(names, weights, strict=True)
    ).removeprefix("+ ")
    said = f"It is {sum_of}{total}."
    (recon, kl), (a, b) = names[:2], weights[:2]
    if a * b < 0 and recon not in LOG_PS or a * b > 0 and recon in LOG_PS:
        return f"{said} One of the two has the wrong sign."
    if recon in LOG_PS:
        return f"{said} The bound is log p(x | z) − KL: both are added up over dimensions, and averaged over draws."
    if recon in (SQUARES, MEAN_SQUARES):
        var = b / (2 * a)
        of = [" · D"] * (recon == MEAN_SQUARES) + [" / L"] * (kl == MEAN_KL)
        return (
            f"{said} But for a factor and a constant this is the bound of a Gaussian likelihood with "
            f"σ² = {signed(var)}{''.join(of)}, where the model has σ² = {NOISE_VAR}: take log p(x | z), and add up "
            "over dimensions."
        )
    return f"{said} Take the model's log p(x | z), which here is Gaussian, and add up over dimensions."
