"""The check of a discriminator's loss: that the best logit is log q − log p, and that its least value measures both."""

from collections.abc import Callable
from decimal import Decimal, localcontext

import torch
from torch import Tensor

from vae_tutorial.checks import mistakes as known
from vae_tutorial.checks.answers import Arguments
from vae_tutorial.checks.arguments import uniform
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.clues import infinite
from vae_tutorial.checks.compare import compare
from vae_tutorial.checks.entries import public
from vae_tutorial.checks.exact import values
from vae_tutorial.checks.further import At


@public
def check_density_ratio(fn: Callable[[Tensor, Tensor], Tensor], *, seed: int = 0) -> Check:
    r"""Check your loss of a discriminator that tells draws from q, label 1, from draws from p, label 0, by its logit.

    .. math:: \frac1N \sum_{n=1}^{N} -\log s(\ell^q_n) + \frac1M \sum_{m=1}^{M} -\log \bigl( 1 - s(\ell^p_m) \bigr)

    where s is the logistic function. In the limit of many draws :math:`\ell = \log q - \log p` makes it smallest, and
    the least value is :math:`2 \log 2 - 2 \, \mathrm{JS}(q, p)` (Goodfellow et al., *Generative Adversarial Nets*,
    2014). Both batches have a mean of their own, since they need not be of one size.

    The exact answer is decimal arithmetic with fifty digits, its gradients written down by hand. A function that passes
    there is also called with one logit and with many, and with logits far out.

    Args:
        fn: ``fn(logits_q, logits_p)`` gives one number, a tensor without axes, for logits of draws from q, shape (N,),
            and from p, shape (M,).
        seed: of the further arguments; the first ones are the same for every seed.

    Returns:
        The `Check`, of the value and of gradients with respect to both arguments.

    Raises:
        TypeError: ``fn`` is not callable.

    Example:
        >>> from torch.nn.functional import softplus
        >>> def loss(logits_q, logits_p):
        ...     return softplus(-logits_q).mean() + softplus(logits_p).mean()
        >>> check_density_ratio(loss).passed
        True
        >>> def swapped(logits_q, logits_p):
        ...     return softplus(logits_q).mean() + softplus(-logits_p).mean()
        >>> check_density_ratio(swapped).mistake.rpartition(": ")[2]
        'its best logit is log p − log q.'
    """
    return compare(
        "loss of a discriminator, value and gradients",
        ("your function", "decimal arithmetic, gradients by hand"),
        fn,
        loss_by_decimals,
        [logits(*sizes) for sizes in ((5, 8), (7, 3))],
        {clause: wrong for clause, wrong in known.DISCRIMINATOR.items() if clause},
        clue=infinite,
        trials=lambda: _trials(torch.Generator().manual_seed(seed)),
    )


def loss_by_decimals(logits_q: Tensor, logits_p: Tensor) -> Tensor:
    """Both means of −log(probability of the right label); the slope of each term is that probability less 1, signed."""
    total = torch.zeros((), dtype=torch.float64)
    with localcontext() as context:
        context.prec = 50
        for batch, toward in ((logits_q, -1), (logits_p, 1)):  # the sign of the slopes
            right = [1 / (1 + (toward * Decimal(number)).exp()) for number in batch.tolist()]
            value = sum((-p.ln() for p in right), Decimal(0)) / len(right)
            slopes = batch.new_tensor([float(toward * (1 - p) / len(right)) for p in right])
            total = total + float(value) + slopes @ (batch - batch.detach())
    return total


def logits(n_q: int, n_p: int) -> Arguments:
    """Fixed logits of both batches, not centered and of unequal number, differentiable."""
    return {
        "logits_q": values(n_q, low=-1.5, high=2.5, seed=24).requires_grad_(),
        "logits_p": values(n_p, low=-2.0, high=1.0, seed=25).requires_grad_(),
    }


FAR = (90.0, -60.0, 40.0, -25.0, 12.0, 0.5, -90.0, 25.0)  # where 1 − s, or s itself, is rounded to 0 or 1
FARTHEST = (800.0, -800.0, 3.0)  # where exponentials overflow, in float64, too


def _trials(generator: torch.Generator) -> list[At]:
    sizes = {"For one logit of each": (1, 1), "For batches of one size": (6, 6), "For 33 logits and 20": (33, 20)}
    drawn = {place: [uniform((n,), -3.0, 3.0, generator) for n in both] for place, both in sizes.items()}
    far = torch.tensor(FAR, dtype=torch.float64)
    drawn["For logits that are far out"] = [far, 1 - far[:-1]]
    farthest = torch.tensor(FARTHEST, dtype=torch.float64)
    drawn["For logits of 800"] = [farthest, farthest[:-1].clone()]
    names = ("logits_q", "logits_p")
    return [
        At(place, {name: t.requires_grad_() for name, t in zip(names, both, strict=True)}, loss_by_decimals)
        for place, both in drawn.items()
    ]
