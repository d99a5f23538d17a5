"""Likelihoods of x that is any number: Gaussians that differ in where their variance comes from."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_tutorial import formulas
from vae_tutorial._validation import require_number
from vae_tutorial.gaussian import reparameterize
from vae_tutorial.likelihoods.likelihood import Given, Likelihood, likelihood

Split = Callable[[Tensor], tuple[Tensor, Tensor]]  # params, (..., n_params, D), to mean and log-variance


def _gaussian(name: str, n_params: int, split: Split) -> Likelihood:
    functions = (Given(f, split) for f in (_log_prob, _mean, _sample))
    return likelihood(name, n_params, *functions)


def _log_prob(split: Split, x: Tensor, params: Tensor) -> Tensor:
    return formulas.log_normal(x, *split(params))


def _mean(split: Split, params: Tensor) -> Tensor:
    return split(params)[0]


def _sample(split: Split, params: Tensor, generator: torch.Generator | None) -> Tensor:
    return reparameterize(*split(params), generator=generator)


def normal(log_var: float) -> Likelihood:
    r"""Gaussian dimensions with one fixed variance, ``params`` the means:
    :math:`p(x \mid z) = \mathcal{N}(x; \text{params}, e^{\text{log\_var}} I)`.

    With ``log_var=0`` its log-density is :math:`-\tfrac12 \lVert x - \text{params} \rVert^2 - \tfrac{D}{2} \log 2\pi`:
    half the sum of squared errors, and a constant that may not be dropped where models are compared.

    Args:
        log_var: the logarithm of the variance, a finite number.

    Returns:
        The `Likelihood`, with one parameter a dimension.

    Raises:
        TypeError: ``log_var`` is not a number.
        ValueError: ``log_var`` is not finite.

    Example:
        >>> zero = torch.zeros(1, 784)
        >>> print(f"{normal(0.0).log_prob(zero, zero).item():.2f}")
        -720.45
    """
    log_var = require_number(log_var=log_var)
    return _gaussian(f"normal(log_var={log_var!r})", 1, Given(_fixed, log_var))


def _fixed(log_var: float, params: Tensor) -> tuple[Tensor, Tensor]:
    mu = params.squeeze(-2)
    return mu, torch.full_like(mu, log_var)


def normal_diag_above(min_log_var: float) -> Likelihood:
    r"""Gaussian dimensions with learned variances that stay above a floor.

    ``params`` holds D means, then D unconstrained numbers r; the log-variance is
    :math:`\log \sigma^2 = m + \log(1 + e^{r - m})` with m = ``min_log_var``: close to r well above the floor, and
    never below it. A floor keeps the log-density bounded where x can be reproduced exactly.

    Args:
        min_log_var: the floor m of the log-variance, a finite number.

    Returns:
        The `Likelihood`, with two parameters a dimension.

    Raises:
        TypeError: ``min_log_var`` is not a number.
        ValueError: ``min_log_var`` is not finite.

    Example:
        >>> x, params = torch.zeros(1, 1), torch.tensor([[0.0, -50.0]])
        >>> without = normal_diag.log_prob(x, params)
        >>> bool(without > normal_diag_above(-4.0).log_prob(x, params))
        True
    """
    min_log_var = require_number(min_log_var=min_log_var)
    return _gaussian(f"normal_diag_above(min_log_var={min_log_var!r})", 2, Given(_above, min_log_var))


def _above(min_log_var: float, params: Tensor) -> tuple[Tensor, Tensor]:
    mu, unconstrained = params.unbind(-2)
    # Above its threshold softplus(t) is t: at 20, as it comes, float64 would see a jump; above 40 nobody does.
    return mu, min_log_var + F.softplus(unconstrained - min_log_var, threshold=40)


def _two_parts(params: Tensor) -> tuple[Tensor, Tensor]:
    mu, log_var = params.unbind(-2)
    return mu, log_var


normal_diag = _gaussian("normal_diag", 2, _two_parts)
r"""Gaussian dimensions with learned variances, ``params`` D means followed by D log-variances:
:math:`p(x \mid z) = \mathcal{N}(x; \mu, \operatorname{diag} \sigma^2)`.

Its log-density grows without bound as a variance goes to 0 at a dimension that is reproduced exactly; see
`normal_diag_above` and `sigma_normal`.
"""


def _one_variance(params: Tensor) -> tuple[Tensor, Tensor]:
    mu, log_vars = params.unbind(-2)
    return mu, log_vars.mean(-1, keepdim=True).expand_as(mu)


sigma_normal = _gaussian("sigma_normal", 2, _one_variance)
r"""Gaussian dimensions that share one learned variance, ``params`` D means followed by D numbers whose average is the
log-variance: :math:`p(x \mid z) = \mathcal{N}(x; \mu, \sigma^2 I)`.

Given the means, the best :math:`\sigma^2` is the mean squared error of a dimension, so it goes to 0 only where *all*
dimensions are reproduced exactly. A decoder that ends in `SharedLogVar` gives the same number for every z
too: one variance for the whole model (Rybkin, Daniilidis and Levine, *Simple and Effective VAE Training with Calibrated
Decoders*, 2021).
"""


class SharedLogVar(nn.Module):
    r"""The last module of a decoder with one learned variance: it puts the same log-variance beside every mean.

    A `Likelihood` is a function without parameters; what is learned belongs to the decoder, where the optimizer and
    ``state_dict`` find it. So the shared log-variance is a parameter of this module, in its attribute ``log_var``.

    Args:
        log_var: the log-variance to start from, a finite number.

    Raises:
        TypeError: ``log_var`` is not a number.
        ValueError: ``log_var`` is not finite.

    Example:
        >>> means = nn.Linear(2, 784)
        >>> decoder = nn.Sequential(means, SharedLogVar())
        >>> decoder(torch.zeros(1, 2)).shape  # 784 means, 784 times log_var
        torch.Size([1, 1568])
    """

    def __init__(self, log_var: float = 0.0) -> None:
        super().__init__()
        self.log_var = nn.Parameter(torch.tensor(require_number(log_var=log_var)))

    def forward(self, mu: Tensor) -> Tensor:
        """The parameters of `sigma_normal`, shape (..., 2D), for means of shape (..., D)."""
        return torch.cat([mu, self.log_var.expand_as(mu)], -1)
