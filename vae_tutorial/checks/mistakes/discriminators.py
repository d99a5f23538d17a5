"""Wrong versions of a discriminator's loss: each gives one number for logits of draws from q and from p."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def _right(logits_q: Tensor, logits_p: Tensor) -> Tensor:
    return F.softplus(-logits_q).mean() + F.softplus(logits_p).mean()


def _means(of_q: Callable[[Tensor], Tensor], of_p: Callable[[Tensor], Tensor]) -> Loss:
    """The mean of a function of the logits of q, and that of a function of those of p, added up."""
    return lambda logits_q, logits_p: of_q(logits_q).mean() + of_p(logits_p).mean()


def _pooled(logits_q: Tensor, logits_p: Tensor) -> Tensor:
    return torch.cat([F.softplus(-logits_q), F.softplus(logits_p)]).mean()


def _label_0(logits: Tensor) -> Tensor:
    return F.softplus(logits)


def _label_1(logits: Tensor) -> Tensor:
    return F.softplus(-logits)


def _smoothed(logits: Tensor) -> Tensor:
    return 0.9 * F.softplus(-logits) + 0.1 * F.softplus(logits)


def _detached(logits: Tensor) -> Tensor:
    return F.softplus(-logits.detach())


DISCRIMINATOR: dict[str, Loss] = {
    "": _right,
    # Labels.
    "has the labels exchanged, or the sign of the logit: its best logit is log p − log q": _means(_label_0, _label_1),
    "gives both batches the label 1: the best logit is as large as can be, wherever the draws are": (
        _means(_label_1, _label_1)
    ),
    "gives both batches the label 0: the best logit is as low as can be, wherever the draws are": (
        _means(_label_0, _label_0)
    ),
    "smooths the label of q to 0.9: its best logit is log 0.9 q − log (0.1 q + p), no log-ratio": (
        _means(_smoothed, _label_0)
    ),
    # Sign and weight.
    "has the opposite sign: it is what a discriminator makes large, and an optimizer would make it small": (
        lambda logits_q, logits_p: -_right(logits_q, logits_p)
    ),
    "subtracts the term of p: both terms are costs, and are added": (
        lambda logits_q, logits_p: F.softplus(-logits_q).mean() - F.softplus(logits_p).mean()
    ),
    "is half the loss: its least value is log 2 − JS, where 2 log 2 − 2 JS is meant": (
        lambda logits_q, logits_p: 0.5 * _right(logits_q, logits_p)
    ),
    "is in bits: it is the loss divided by log 2": (
        lambda logits_q, logits_p: _right(logits_q, logits_p) / math.log(2)
    ),
    # The mean.
    "takes one mean over both batches, of N and of M draws: its best logit is log q − log p + log N − log M": (_pooled),
    "takes one mean over both batches, of N and of M draws, and doubles it: its best logit is off by log N − log M": (
        lambda logits_q, logits_p: 2 * _pooled(logits_q, logits_p)
    ),
    "divides both sums by N, where the second has M draws": (
        lambda logits_q, logits_p: (F.softplus(-logits_q).sum() + F.softplus(logits_p).sum()) / len(logits_q)
    ),
    "sums over the batches, where each has a mean: the best logit is off by log N − log M": (
        lambda logits_q, logits_p: F.softplus(-logits_q).sum() + F.softplus(logits_p).sum()
    ),
    "takes the mean of the logits first, then the logarithm": (
        lambda logits_q, logits_p: F.softplus(-logits_q.mean()) + F.softplus(logits_p.mean())
    ),
    "takes the logarithm of the mean probability, where the mean of the logarithms is meant": (
        lambda logits_q, logits_p: -logits_q.sigmoid().mean().log() - (-logits_p).sigmoid().mean().log()
    ),
    # What is left out.
    "lacks the draws from p": lambda logits_q, logits_p: F.softplus(-logits_q).mean() + 0 * logits_p.sum(),
    "lacks the draws from q": lambda logits_q, logits_p: F.softplus(logits_p).mean() + 0 * logits_q.sum(),
    "is the loss of the encoder, −log(1 − s) at the draws from q, not that of the discriminator": (
        lambda logits_q, logits_p: F.softplus(logits_q).mean() + 0 * logits_p.sum()
    ),
    "is the saturating loss of the encoder, log s at the draws from q, not that of the discriminator": (
        lambda logits_q, logits_p: -F.softplus(-logits_q).mean() + 0 * logits_p.sum()
    ),
    "passes no gradient to the logits of q": _means(_detached, _label_0),
    "passes no gradient to the logits of p": _means(_label_1, lambda logits: F.softplus(logits.detach())),
    # Another function of the logit.
    "applies the sigmoid twice: a function that takes logits was given probabilities": _means(
        lambda logits: F.softplus(-logits.sigmoid()), lambda logits: F.softplus(logits.sigmoid())
    ),
    "is a difference of means, as of a critic: without a bound on its slope it has no best logit": (
        _means(lambda logits: -logits, lambda logits: logits)
    ),
    "is that of least squares: its best output is q / (q + p), no log-ratio": _means(
        lambda logits: (logits - 1) ** 2, lambda logits: logits**2
    ),
    "is the hinge loss: its best output is the sign of log q − log p": _means(
        lambda logits: F.relu(1 - logits), lambda logits: F.relu(1 + logits)
    ),
    "is that of the KL divergence, the mean of exp(logit) under p less that of the logit under q: the same best logit, "
    "another least value": _means(lambda logits: -logits, torch.exp),
}
