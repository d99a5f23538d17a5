r"""Conditions: a model of x given c; and labels, a condition where they are known and latent where they are not.

A `ConditionalVAE` has no p(x) of its own. ``model.given(c)`` is a `VAE` of x under these conditions, and whatever takes
a `VAE` takes it: bounds, importance weights, `vae_tutorial.ais`. ``fit(model, (x, c), objective=conditional_terms)``
trains it, ``marginal_log_likelihood(model, (x, c), …)`` measures it.

Shapes: K samples, B examples, D dimensions of x, C dimensions of c or classes of y, L latent dimensions.
"""

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from vae_tutorial import formulas
from vae_tutorial._description import described
from vae_tutorial._random import initial_weights, standard_noise
from vae_tutorial._validation import (
    require_as_many,
    require_at_least_zero,
    require_count,
    require_finite_result,
    require_float,
    require_rows,
    require_widths,
)
from vae_tutorial.bounds import ElboTerms, elbo_terms
from vae_tutorial.likelihoods import Likelihood
from vae_tutorial.models import VAE, mlp, require_parts
from vae_tutorial.posteriors import diagonal
from vae_tutorial.priors import Prior, standard_normal

__all__ = [
    "ConditionalVAE",
    "SemiSupervisedVAE",
    "conditional_terms",
    "conditional_vae",
    "semi_supervised_terms",
    "semi_supervised_vae",
]


class ConditionalVAE(VAE):
    r"""A latent-variable model of x given c, all three distributions of which may see the condition.

    .. math:: p_\theta(x \mid c) = \int p_\theta(x \mid z, c) \, p_\theta(z \mid c) \, dz, \qquad q_\phi(z \mid x, c)

    (Sohn, Lee and Yan, *Learning Structured Output Representation using Deep Conditional Generative Models*, 2015, who
    write x for the condition and y for what is modelled.) The networks get the condition beside their own argument, as
    the last C numbers of a row.

    Args:
        encoder: maps (x, c), shape (N, D + C), to L means, then L log-variances, shape (N, 2L).
        decoder: maps (z, c), shape (N, L + C), to the likelihood's parameters, shape (N, D·n_params).
        latent_dim: L, at least 1.
        condition_dim: C, at least 1.
        likelihood: the distribution of x given the decoder's output.
        prior_network: maps c, shape (N, C), to means and log-variances of :math:`p_\theta(z \mid c)`, shape (N, 2L);
            None for :math:`\mathcal{N}(0, I)`, whatever c is.

    Raises:
        TypeError: ``likelihood`` is none.
        ValueError: ``latent_dim`` or ``condition_dim`` is not an integer of at least 1.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> model = ConditionalVAE(nn.Linear(5 + 3, 4), nn.Linear(2 + 3, 5), 2, 3, bernoulli)
        >>> model.given(torch.eye(3)).sample(3).shape  # one x for each condition
        torch.Size([3, 5])
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        latent_dim: int,
        condition_dim: int,
        likelihood: Likelihood,
        prior_network: nn.Module | None = None,
    ) -> None:
        super().__init__(encoder, decoder, latent_dim, likelihood)
        require_count(condition_dim=condition_dim)
        self.condition_dim = int(condition_dim)
        self.prior_network = prior_network

    def given(self, c: Tensor) -> VAE:
        """The model under these conditions: a `VAE` of x, of as many examples as there are rows in c.

        It shares the networks, and with them the weights: gradients reach them.

        Args:
            c: conditions, shape (B, C), one row an example.

        Returns:
            The `VAE`. Its methods and what measures it take B examples, or (K, B, L) latent points.

        Raises:
            TypeError: ``c`` is not a floating-point tensor.
            ValueError: ``c`` does not have the shape (B, C), or is not finite or not in the model's dtype.
        """
        require_rows(c=c)
        if c.shape[1] != self.condition_dim:
            raise ValueError(f"c must have {self.condition_dim} columns, as the model's conditions, got {c.shape[1]}")
        dtypes = {weight.dtype for weight in self.parameters()}
        if dtypes and c.dtype not in dtypes:
            raise ValueError(f"c must be in the model's dtype, got {c.dtype}; convert it with c.to({dtypes.pop()})")
        prior = standard_normal if self.prior_network is None else _Given(self.prior_network(c), self.latent_dim)
        encoder, decoder = _Beside(self.encoder, c, sampled=False), _Beside(self.decoder, c, sampled=True)
        return VAE(encoder, decoder, self.latent_dim, self.likelihood, prior)

    def encode(self, *_: Any, **__: Any) -> NoReturn:
        """Not without a condition: ``model.given(c).encode(x)``; the same holds for the other methods of a `VAE`."""
        raise TypeError(
            "a ConditionalVAE needs its conditions: model.given(c) is a VAE of x; "
            "fit(model, (x, c), objective=conditional_terms) trains, marginal_log_likelihood(model, (x, c), …) measures"
        )

    decode = log_prior = log_likelihood = sample = reconstruct = encode

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}, condition_dim={self.condition_dim}, likelihood={self.likelihood}"


class SemiSupervisedVAE(ConditionalVAE):
    r"""The model M2 of Kingma, Rezende, Mohamed and Welling (2014): the condition is a class, not always known.

    .. math:: p_\theta(x, y) = \tfrac1C \int p_\theta(x \mid z, y) \, p(z) \, dz, \qquad
        q_\phi(y, z \mid x) = q_\phi(y \mid x) \, q_\phi(z \mid x, y)

    with a uniform p(y) and :math:`p(z) = \mathcal{N}(0, I)`. As a `ConditionalVAE` it takes one-hot y for c, and what
    measures it gives log p(x | y); log p(x) is their logsumexp over the classes, less log C.

    Args:
        classifier: maps x, shape (N, D), to logits of :math:`q_\phi(y \mid x)`, shape (N, C).
        encoder, decoder, latent_dim, likelihood: as for `ConditionalVAE`, with y for c.
        n_classes: C, at least 1.

    Raises:
        TypeError, ValueError: as `ConditionalVAE`.
    """

    def __init__(
        self,
        classifier: nn.Module,
        encoder: nn.Module,
        decoder: nn.Module,
        latent_dim: int,
        n_classes: int,
        likelihood: Likelihood,
    ) -> None:
        super().__init__(encoder, decoder, latent_dim, n_classes, likelihood)
        self.classifier = classifier

    def given(self, y: Tensor) -> VAE:
        """The model of x of known classes, as `ConditionalVAE.given`; a row of zeros, an unknown class, is refused."""
        require_rows(y=y)
        if not y.any(-1).all():
            raise ValueError(
                "y holds rows of zeros, classes that are not known: a model is given all of them. "
                "semi_supervised_terms sums over them"
            )
        return super().given(y)

    def classify(self, x: Tensor) -> Tensor:
        r""":math:`\log q_\phi(y \mid x)` of every class, shape (B, C), for ``x`` of shape (B, D).

        Raises:
            TypeError: ``x`` is not a floating-point tensor.
            ValueError: ``x`` does not have the shape (B, D) or is not finite, or the classifier gives another shape.
        """
        require_rows(x=x)
        logits: Tensor = self.classifier(x)
        if logits.shape != (expected := (len(x), self.condition_dim)):
            raise ValueError(f"the classifier must give logits of shape {expected}, got {tuple(logits.shape)}")
        return require_finite_result(torch.log_softmax(logits, -1), x=x)


def conditional_terms(
    model: ConditionalVAE,
    x: Tensor,
    c: Tensor,
    n_samples: int = 1,
    *,
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> ElboTerms:
    r"""Both terms of the ELBO of log p(x | c): an objective for `fit`, ``fit(model, (x, c), objective=…)``.

    .. math:: \mathcal{L}(x \mid c) = \mathbb{E}_{q_\phi(z \mid x, c)}[\log p_\theta(x \mid z, c)]
        - \mathrm{KL}\bigl(q_\phi(z \mid x, c) \,\|\, p_\theta(z \mid c)\bigr) \le \log p_\theta(x \mid c)

    Args:
        model: the model.
        x: examples, shape (B, D).
        c: their conditions, shape (B, C).
        n_samples, eps, generator: as for `vae_tutorial.bounds.elbo_terms`.

    Returns:
        The `ElboTerms` of ``model.given(c)``, differentiable in the model's parameters.

    Raises:
        TypeError, ValueError: as `vae_tutorial.bounds.elbo_terms`; or ``c`` does not fit.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> model = conditional_vae(5, 3, 8, 2, bernoulli, seed=0)
        >>> conditional_terms(model, torch.zeros(3, 5), torch.eye(3)).elbo.shape
        torch.Size([3])
    """
    require_as_many(x=x, c=c)
    return elbo_terms(model.given(c), x, n_samples, eps=eps, generator=generator)


def semi_supervised_terms(
    model: SemiSupervisedVAE,
    x: Tensor,
    y: Tensor,
    n_samples: int = 1,
    *,
    alpha: float = 0.0,
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> ElboTerms:
    r"""Both terms of the bound of log p(x, y) where y is known, of log p(x) where it is not: an objective for `fit`.

    .. math:: \mathcal{L}(x, y) = \mathcal{L}(x \mid y) + \log p(y), \qquad
        \mathcal{U}(x) = \sum_y q_\phi(y \mid x) \bigl(\mathcal{L}(x, y) - \log q_\phi(y \mid x)\bigr)

    (Kingma et al., 2014, whose signs are those of a loss.) The sum over y is exact: each example is decoded under every
    class, with one noise for all. Where y is known, ``alpha`` times :math:`\log q_\phi(y \mid x)` trains the
    classifier, which the bound alone would not; it enters with its gradient, and the values stay those of the bound.
    (In the authors' code, dpkingma/nips14-ssl, this weight is 0.1 times all examples over those with a label.)

    Args:
        model: the model.
        x: examples, shape (B, D).
        y: classes, shape (B, C): one-hot where known, a row of zeros where not.
        n_samples: K, draws of z for each class.
        alpha: the weight of the classification of an example whose class is known, at least 0.
        eps, generator: as for `vae_tutorial.bounds.elbo_terms`.

    Returns:
        The `ElboTerms`. Its ``kl`` counts both latent variables: :math:`\mathbb{E}_q` of the KL of z, and the KL of
        :math:`q_\phi(y \mid x)` from p(y), which is log C where y is known.

    Raises:
        TypeError: an argument is not of its kind.
        ValueError: shapes do not fit, a row of ``y`` is neither one-hot nor zero, or ``alpha`` is negative.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> model = semi_supervised_vae(5, 3, 8, 2, bernoulli, seed=0)
        >>> y = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])  # the second is not known
        >>> bool(semi_supervised_terms(model, torch.zeros(2, 5), y).kl[0] >= math.log(3))
        True
    """
    if not isinstance(model, SemiSupervisedVAE):
        raise TypeError(f"model must be a SemiSupervisedVAE, got {type(model).__name__}")
    require_rows(x=x)
    known = _known(x, y, model.condition_dim)  # (B, 1)
    y = y.to(x)
    require_at_least_zero(alpha=alpha)
    B, C = y.shape
    if eps is None:
        require_count(n_samples=n_samples)
        eps = standard_noise((int(n_samples), B, model.latent_dim), like=x, generator=generator)
    require_float(eps=eps)
    if eps.ndim != 3 or eps.shape[1:] != (B, model.latent_dim):
        raise ValueError(f"eps must have shape (K, B, L) = (K, {B}, {model.latent_dim}), got {tuple(eps.shape)}")
    classes = torch.eye(C, dtype=x.dtype, device=x.device).repeat_interleave(B, 0)  # (C·B, C), class by class
    terms = elbo_terms(model.given(classes), x.repeat(C, 1), eps=eps.repeat(1, C, 1))
    log_likelihood, kl = (term.unflatten(0, (C, B)).T for term in terms)  # (B, C)
    log_q = model.classify(x)
    q = torch.where(known, y, log_q.exp())
    minus_entropy = torch.where(known, 0.0, q * log_q).sum(-1)
    classification = alpha * (y * log_q).sum(-1)  # 0 where y is not known
    return ElboTerms(
        (q * log_likelihood).sum(-1) + classification - classification.detach(),
        (q * kl).sum(-1) + minus_entropy + math.log(C),
    )


@described
def conditional_vae(
    x_dim: int,
    condition_dim: int,
    hidden_dim: int | Sequence[int],
    latent_dim: int,
    likelihood: Likelihood,
    *,
    seed: int,
    activation: type[nn.Module] = nn.ReLU,
    learned_prior: bool = False,
) -> ConditionalVAE:
    r"""A `ConditionalVAE` whose networks have one hidden layer, or several.

    Args:
        x_dim: D.
        condition_dim: C.
        hidden_dim, latent_dim, likelihood, seed, activation: as for `vae_tutorial.models.mlp_vae`.
        learned_prior: a network for :math:`p_\theta(z \mid c)`; else it is :math:`\mathcal{N}(0, I)`.

    Returns:
        The `ConditionalVAE`, on the CPU, in float32.

    Raises:
        TypeError: ``likelihood`` is none, or ``seed`` not an integer.
        ValueError: one of the sizes is not an integer of at least 1.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> model = conditional_vae(784, 10, 400, 20, bernoulli, seed=0)
        >>> model.condition_dim
        10
    """
    require_count(x_dim=x_dim, condition_dim=condition_dim, latent_dim=latent_dim)
    widths = require_widths(hidden_dim=hidden_dim)
    require_parts(likelihood, standard_normal, diagonal)
    with initial_weights(seed):
        networks = _networks(x_dim, condition_dim, widths, latent_dim, likelihood, activation)
        prior_network = mlp((condition_dim, *widths, 2 * latent_dim), activation) if learned_prior else None
    return ConditionalVAE(*networks, latent_dim, condition_dim, likelihood, prior_network)


@described
def semi_supervised_vae(
    x_dim: int,
    n_classes: int,
    hidden_dim: int | Sequence[int],
    latent_dim: int,
    likelihood: Likelihood,
    *,
    seed: int,
    activation: type[nn.Module] = nn.ReLU,
) -> SemiSupervisedVAE:
    """A `SemiSupervisedVAE` whose networks have one hidden layer, or several.

    Args:
        x_dim: D.
        n_classes: C.
        hidden_dim, latent_dim, likelihood, seed, activation: as for `vae_tutorial.models.mlp_vae`.

    Returns:
        The `SemiSupervisedVAE`, on the CPU, in float32.

    Raises:
        TypeError: ``likelihood`` is none, or ``seed`` not an integer.
        ValueError: one of the sizes is not an integer of at least 1.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> model = semi_supervised_vae(784, 10, 400, 20, bernoulli, seed=0)
        >>> print(f"{model.classify(torch.zeros(1, 784)).exp().sum().item():.4f}")
        1.0000
    """
    require_count(x_dim=x_dim, n_classes=n_classes, latent_dim=latent_dim)
    widths = require_widths(hidden_dim=hidden_dim)
    require_parts(likelihood, standard_normal, diagonal)
    with initial_weights(seed):
        networks = _networks(x_dim, n_classes, widths, latent_dim, likelihood, activation)
        classifier = mlp((x_dim, *widths, n_classes), activation)
    return SemiSupervisedVAE(classifier, *networks, latent_dim, n_classes, likelihood)


class _Beside(nn.Module):
    """A network that gets the conditions beside its own argument; where it is sampled, once for each sample."""

    def __init__(self, network: nn.Module, c: Tensor, *, sampled: bool) -> None:
        super().__init__()
        self.network = network
        self.sampled = sampled
        self._c = c

    def forward(self, rows: Tensor) -> Tensor:
        c = _of_rows(self._c, len(rows), sampled=self.sampled)
        output: Tensor = self.network(torch.cat([rows, c], -1))
        return output


class _Given(Prior):
    """p(z | c) of each example's own condition, a Gaussian with B means and B log-variances, shape (B, L) each."""

    def __init__(self, params: Tensor, latent_dim: int) -> None:
        super().__init__()
        require_float(prior_network=params)
        if params.ndim != 2 or params.shape[1] != 2 * latent_dim:
            expected = f"shape (B, {2 * latent_dim})"
            raise ValueError(f"prior_network must give mu and log_var, {expected}, got {tuple(params.shape)}")
        self._params = params

    def log_prob(self, z: Tensor) -> Tensor:
        require_float(z=z)
        return require_finite_result(formulas.log_normal(z, *self._of(z)), z=z)

    def sample(self, shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        eps = standard_noise(shape, like=like, generator=generator)
        return formulas.reparameterize(*self._of(eps), eps)

    def kl(self, mu: Tensor, log_var: Tensor) -> Tensor:
        return formulas.kl_normal(mu, log_var, *self._of(mu))

    def _of(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance for the rows of z, shape (..., B, L)."""
        mu, log_var = _of_rows(self._params, z.shape[-2], sampled=True).chunk(2, -1)
        return mu, log_var


def _of_rows(given: Tensor, n: int, *, sampled: bool) -> Tensor:
    """What is given, one row an example, for n rows: sample by sample, all examples in each, as (K, B) is laid out."""
    B = len(given)
    if n != B and (n % B or not sampled):
        raise ValueError(f"there are {B} conditions, and {n} rows for them: give one condition for each example")
    return given.repeat(n // B, 1)


def _known(x: Tensor, y: Tensor, n_classes: int) -> Tensor:
    """Which classes are known, shape (B, 1); each row of y is one-hot or zero."""
    require_rows(y=y)
    require_as_many(x=x, y=y)
    sums = y.sum(-1, keepdim=True)
    if y.shape[1] != n_classes or not ((y == 0) | (y == 1)).all() or not (sums <= 1).all():
        raise ValueError(
            f"y must have shape (B, {n_classes}), each row one-hot or, where the class is not known, zero; got "
            f"{tuple(y.shape)}. For labels that are numbers: F.one_hot(labels, {n_classes}).float()"
        )
    return sums == 1


def _networks(
    x_dim: int, c_dim: int, widths: Sequence[int], latent_dim: int, likelihood: Likelihood, activation: type[nn.Module]
) -> tuple[nn.Sequential, nn.Sequential]:
    encoder = mlp((x_dim + c_dim, *widths, 2 * latent_dim), activation)
    decoder = mlp((latent_dim + c_dim, *reversed(widths), x_dim * likelihood.n_params), activation)
    return encoder, decoder
