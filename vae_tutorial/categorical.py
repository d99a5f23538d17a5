r"""Latent variables that are categorical: their distributions as a `VAE` is given them, gradients, and exact sums.

A code z is L choices among C, written as L one-hot vectors side by side, shape (..., L·C): so it is the input of a
decoder as any z is, and a `VAE` of ``latent_dim`` L·C trains by `fit`, is measured by `marginal_log_likelihood` and
kept by `vae_tutorial.checkpoints.save`. An estimator of a gradient is a function whose value is what it estimates, and
whose gradient is the estimate.

Shapes: K samples, B examples, L choices, C codes to choose from.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae_tutorial._random import standard_noise
from vae_tutorial._validation import (
    require_count,
    require_finite_result,
    require_float,
    require_positive,
    require_same_dtype,
    require_same_shape,
)
from vae_tutorial.bounds import ElboTerms, posterior_samples
from vae_tutorial.models import VAE, require_vae
from vae_tutorial.posteriors import Posterior
from vae_tutorial.priors import Prior

__all__ = [
    "OneHot",
    "UniformCodes",
    "AutoregressiveCodes",
    "all_codes",
    "exact_log_marginal",
    "exact_terms",
    "gumbel_noise",
    "gumbel_softmax",
    "kl_uniform",
    "leave_one_out",
    "leave_one_out_terms",
    "score_function",
    "straight_through",
]

MOST_STATES = 2**20


def straight_through(value: Tensor, soft: Tensor) -> Tensor:
    r"""The first argument, with the gradient of the second: :math:`v + s - \operatorname{sg}[s]`.

    sg, stop-gradient, is ``detach``. (Bengio, Léonard and Courville, *Estimating or Propagating Gradients Through
    Stochastic Neurons*, 2013.) The difference is 0 to the last bit, so that the value is ``value`` itself.

    Args:
        value: what is returned, any shape.
        soft: what is differentiated in its place, of the same shape.

    Returns:
        A tensor of that shape, without a gradient to ``value``.

    Raises:
        TypeError: an argument is not a floating-point tensor, or they differ in dtype.
        ValueError: they differ in shape.

    Example:
        >>> u = torch.tensor([0.4, 1.7], requires_grad=True)
        >>> rounded = straight_through(u.round(), u)
        >>> rounded.sum().backward()
        >>> rounded.detach(), u.grad
        (tensor([0., 2.]), tensor([1., 1.]))
    """
    require_float(value=value, soft=soft)
    require_same_shape(value=value, soft=soft)
    require_same_dtype(value=value, soft=soft)
    return value.detach() + (soft - soft.detach())


def gumbel_noise(eps: Tensor) -> Tensor:
    r"""Standard Gumbel noise of standard Gaussian noise, :math:`g = -\log(-\log \Phi(\varepsilon))`.

    :math:`\Phi(\varepsilon)` is uniform on (0, 1); its logarithm is taken as one function, so that nothing rounds to 1.

    Args:
        eps: any shape.

    Returns:
        A tensor of that shape.

    Raises:
        TypeError: ``eps`` is not a floating-point tensor.
        ValueError: ``eps`` is not finite, or the result overflows.

    Example:
        >>> gumbel_noise(torch.tensor([0.0]))  # -log log 2
        tensor([0.3665])
    """
    require_float(eps=eps)
    return require_finite_result(-torch.log(-torch.special.log_ndtr(eps)), eps=eps)


def gumbel_softmax(logits: Tensor, gumbel: Tensor, temperature: float) -> Tensor:
    r"""A relaxed one-hot vector, :math:`\operatorname{softmax}((\log \pi + g) / \tau)`, of probabilities π.

    (Jang, Gu and Poole, *Categorical Reparameterization with Gumbel-Softmax*, 2017, equation 2; Maddison, Mnih and Teh,
    *The Concrete Distribution*, 2017, equation 10.) Its largest entry is at c with probability :math:`\pi_c`, whatever
    the temperature; as :math:`\tau \to 0` it becomes one-hot. A constant added to the logits changes nothing.

    Args:
        logits: unnormalized log-probabilities, shape (..., C).
        gumbel: standard Gumbel noise, of a shape that the logits broadcast with, such as (K, ..., C).
        temperature: τ, a positive number.

    Returns:
        Numbers above 0 that sum to 1 along the last axis, differentiable in ``logits``.

    Raises:
        TypeError: a tensor does not hold floating-point numbers, or ``temperature`` is not a number.
        ValueError: shapes do not broadcast, ``temperature`` is not above 0, or a value is not finite.

    Example:
        >>> gumbel_softmax(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.5]), 0.5)
        tensor([0.1192, 0.8808])
    """
    require_float(logits=logits, gumbel=gumbel)
    require_same_dtype(logits=logits, gumbel=gumbel)
    temperature = require_positive(temperature=temperature)
    if logits.shape[-1] != gumbel.shape[-1]:
        raise ValueError(f"gumbel must have the codes of logits {tuple(logits.shape)}, got {tuple(gumbel.shape)}")
    return require_finite_result(torch.softmax((logits + gumbel) / temperature, -1), logits=logits, gumbel=gumbel)


def score_function(f: Tensor, log_q: Tensor, baseline: Tensor | float = 0.0) -> Tensor:
    r"""f, with the score-function gradient :math:`\nabla f + (f - b) \, \nabla \log q_\phi(z)` in place of its own.

    (Williams, *Simple Statistical Gradient-Following Algorithms*, 1992.) The mean over z is
    :math:`\nabla \mathbb{E}_q[f]` for every baseline b that does not depend on z. Where f has parameters of its own,
    their gradient is added.

    Args:
        f: values at draws of z, any shape.
        log_q: :math:`\log q_\phi(z)` at the same draws, of the same shape, differentiable in φ.
        baseline: b, a number, or a tensor that broadcasts to the shape of ``f``.

    Returns:
        The values ``f`` with that gradient.

    Raises:
        TypeError: ``f`` or ``log_q`` is not a floating-point tensor, or they differ in dtype.
        ValueError: they differ in shape, or ``baseline`` does not fit.

    Example:
        >>> phi = torch.tensor(0.0, requires_grad=True)  # z = 1 with probability sigmoid(phi)
        >>> log_q = torch.nn.functional.logsigmoid(phi)  # of the draw z = 1
        >>> score_function(torch.tensor(3.0)[None], log_q[None], baseline=1.0).sum().backward()
        >>> phi.grad  # (3 - 1) (1 - sigmoid(0))
        tensor(1.)
    """
    require_float(f=f, log_q=log_q)
    require_same_shape(f=f, log_q=log_q)
    require_same_dtype(f=f, log_q=log_q)
    b = torch.as_tensor(baseline, dtype=f.dtype, device=f.device).detach()
    if torch.broadcast_shapes(b.shape, f.shape) != f.shape:
        raise ValueError(f"baseline must broadcast to the shape of f, {tuple(f.shape)}, got {tuple(b.shape)}")
    return f + (f.detach() - b) * (log_q - log_q.detach())


def leave_one_out(f: Tensor, log_q: Tensor) -> Tensor:
    r"""`score_function`, where each draw takes the mean f of the *others* for its baseline.

    .. math:: b_k = \frac{1}{K - 1} \sum_{j \ne k} f_j

    (Kool, van Hoof and Welling, *Buy 4 REINFORCE Samples, Get a Baseline for Free!*, 2019.)

    Args:
        f, log_q: as for `score_function`, the draws along the first axis, K at least 2.

    Returns:
        The values ``f``, shape (K, ...), with that gradient: their mean over K has it unbiased.

    Raises:
        TypeError: as `score_function`.
        ValueError: as `score_function`, or K is 1: a single draw has no others.

    Example:
        >>> phi = torch.tensor(0.0, requires_grad=True)
        >>> log_q = torch.nn.functional.logsigmoid(torch.stack([phi, -phi]))  # of the draws z = 1 and z = 0
        >>> leave_one_out(torch.tensor([3.0, 1.0]), log_q).mean().backward()
        >>> phi.grad
        tensor(1.)
    """
    require_float(f=f, log_q=log_q)
    if len(f) < 2:
        raise ValueError("leave_one_out needs at least 2 draws along the first axis, got 1; take n_samples=2 or more")
    others = (f.sum(0) - f) / (len(f) - 1)
    return score_function(f, log_q, others)


def kl_uniform(logits: Tensor) -> Tensor:
    r"""KL from the uniform distribution, :math:`\sum_c q_c \log q_c + \log C`, of each categorical distribution.

    Args:
        logits: unnormalized log-probabilities, shape (..., C).

    Returns:
        Values in nats, from 0 to log C, shape (...).

    Raises:
        TypeError: ``logits`` is not a floating-point tensor.
        ValueError: ``logits`` is not finite.

    Example:
        >>> kl_uniform(torch.tensor([[0.0, 0.0], [100.0, 0.0]]))  # 0, and log 2
        tensor([0.0000, 0.6931])
    """
    require_float(logits=logits)
    log_q = torch.log_softmax(logits, -1)
    return require_finite_result((log_q.exp() * log_q).sum(-1) + math.log(logits.shape[-1]), logits=logits)


class OneHot(Posterior):
    r"""The posterior of L independent choices, :math:`q_\phi(z \mid x) = \prod_l \pi_{l, z_l}(x)`.

    The encoder gives the logits. A draw is one-hot, the largest of logit plus Gumbel noise; its gradient is that of
    `gumbel_softmax` at the same noise: the straight-through Gumbel-softmax estimator, which is biased.

    Args:
        n_codes: C.
        temperature: τ, of the gradient alone.

    Raises:
        TypeError: ``temperature`` is not a number.
        ValueError: ``n_codes`` is not an integer of at least 1, or ``temperature`` is not above 0.

    Example:
        >>> q = OneHot(3)
        >>> z, log_q = q.sample((torch.tensor([[9.0, 0.0, 0.0]]),), torch.zeros(1, 1, 3))
        >>> z, log_q
        (tensor([[[1., 0., 0.]]]), tensor([[-0.0002]]))
    """

    names = ("logits",)

    def __init__(self, n_codes: int, temperature: float = 1.0) -> None:
        super().__init__()
        require_count(n_codes=n_codes)
        self.n_codes, self.temperature = int(n_codes), require_positive(temperature=temperature)

    def sample(self, params: tuple[Tensor, ...], eps: Tensor) -> tuple[Tensor, Tensor]:
        logits, gumbel = split(params[0], self.n_codes), gumbel_noise(split(eps, self.n_codes))
        soft = gumbel_softmax(logits, gumbel, self.temperature)  # (K, B, L, C)
        z = straight_through(largest(soft), soft)
        log_q = (z * torch.log_softmax(logits, -1)).sum((-2, -1))
        return z.flatten(-2), log_q

    def mean(self, params: tuple[Tensor, ...]) -> Tensor:
        """The probabilities, shape (B, L·C)."""
        return torch.softmax(split(params[0], self.n_codes), -1).flatten(-2)

    def log_prob(self, params: tuple[Tensor, ...], z: Tensor) -> Tensor:
        """log q(z|x) in nats, shape (..., B), of one-hot ``z``, shape (..., B, L·C)."""
        return (z * torch.log_softmax(split(params[0], self.n_codes), -1).flatten(-2)).sum(-1)

    def extra_repr(self) -> str:
        return f"n_codes={self.n_codes}, temperature={self.temperature}"


class UniformCodes(Prior):
    r"""The prior under which all :math:`C^L` codes are as probable, :math:`\log p(z) = -L \log C`.

    Args:
        n_codes: C.

    Raises:
        ValueError: ``n_codes`` is not an integer of at least 1.

    Example:
        >>> UniformCodes(4).log_prob(all_codes(1, 4))
        tensor([-1.3863, -1.3863, -1.3863, -1.3863])
    """

    def __init__(self, n_codes: int) -> None:
        super().__init__()
        require_count(n_codes=n_codes)
        self.n_codes = int(n_codes)

    def log_prob(self, z: Tensor) -> Tensor:
        require_float(z=z)
        n_latents = split(z, self.n_codes).shape[-2]
        return torch.full_like(z[..., 0], -n_latents * math.log(self.n_codes))

    def sample(self, shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        eps = split(standard_noise(shape, like=like, generator=generator), self.n_codes)
        return largest(eps).flatten(-2)  # of equally distributed numbers

    def extra_repr(self) -> str:
        return f"n_codes={self.n_codes}"


class AutoregressiveCodes(Prior):
    r"""A learned prior, each choice given those before it, with logits that are linear in these.

    .. math:: p(z) = \prod_{l=1}^{L} p(z_l \mid z_1, \dots, z_{l-1}), \qquad
        p(z_l \mid z_{<l}) = \operatorname{softmax}\Bigl(b_l + \sum_{m < l} A_{lm} z_m\Bigr)

    It sums to 1 whatever its parameters are, and begins as `UniformCodes`.

    Args:
        n_latents: L.
        n_codes: C.

    Attributes:
        bias: b, a parameter of shape (L, C); 0 to begin with.
        weight: A, a parameter of shape (L, C, L, C), of which only the part m < l is used; 0 to begin with.

    Raises:
        ValueError: one of the sizes is not an integer of at least 1.

    Example:
        >>> prior = AutoregressiveCodes(n_latents=2, n_codes=3)
        >>> print(f"{prior.log_prob(all_codes(2, 3)).exp().sum().item():.4f}")
        1.0000
    """

    def __init__(self, n_latents: int, n_codes: int) -> None:
        super().__init__()
        require_count(n_latents=n_latents, n_codes=n_codes)
        self.n_latents, self.n_codes = L, C = int(n_latents), int(n_codes)
        self.bias = nn.Parameter(torch.zeros(L, C))
        self.weight = nn.Parameter(torch.zeros(L, C, L, C))

    def log_prob(self, z: Tensor) -> Tensor:
        require_float(z=z)
        chosen = self._choices(z)
        logits = self.bias + (z @ self._earlier().T).unflatten(-1, self.bias.shape)
        log_p = (chosen * torch.log_softmax(logits, -1)).sum((-2, -1))
        return require_finite_result(log_p, z=z, bias=self.bias, weight=self.weight)

    def sample(self, shape: Sequence[int], *, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        gumbel = self._choices(gumbel_noise(standard_noise(shape, like=like, generator=generator)))
        z = torch.zeros_like(gumbel)
        for l in range(self.n_latents):  # noqa: E741
            logits = self.bias + (z.flatten(-2) @ self._earlier().T).unflatten(-1, self.bias.shape)
            z[..., l, :] = largest((logits + gumbel)[..., l, :])
        return z.flatten(-2)

    def _earlier(self) -> Tensor:
        """A as one matrix, (L·C, L·C), 0 where m is not before l."""
        mask = torch.ones(self.n_latents, self.n_latents, dtype=torch.bool, device=self.weight.device).tril(-1)
        return (self.weight * mask[:, None, :, None]).flatten(2).flatten(0, 1)

    def _choices(self, z: Tensor) -> Tensor:
        if z.shape[-1] != self.n_latents * self.n_codes:
            raise ValueError(
                f"z must have the {self.n_latents} x {self.n_codes} latent dimensions of the prior (last axis), "
                f"got {tuple(z.shape)}"
            )
        return split(z, self.n_codes)

    def extra_repr(self) -> str:
        return f"n_latents={self.n_latents}, n_codes={self.n_codes}"


def all_codes(n_latents: int, n_codes: int) -> Tensor:
    r"""Every code that there is, one-hot, in the order of counting.

    Args:
        n_latents: L.
        n_codes: C.

    Returns:
        Shape (:math:`C^L`, L·C), float32.

    Raises:
        ValueError: one of the sizes is not an integer of at least 1, or there are more than :math:`2^{20}` codes.

    Example:
        >>> all_codes(2, 2)
        tensor([[1., 0., 1., 0.],
                [1., 0., 0., 1.],
                [0., 1., 1., 0.],
                [0., 1., 0., 1.]])
    """
    require_count(n_latents=n_latents, n_codes=n_codes)
    if n_codes**n_latents > MOST_STATES:
        raise ValueError(
            f"{n_codes}^{n_latents} codes are too many to enumerate, at most {MOST_STATES}: sample instead"
        )
    index = torch.cartesian_prod(*[torch.arange(n_codes)] * n_latents).reshape(-1, n_latents)
    return F.one_hot(index, n_codes).to(torch.float32).flatten(1)


def exact_terms(model: VAE, x: Tensor, n_samples: int = 1, *, generator: torch.Generator | None = None) -> ElboTerms:
    r"""Both terms of the ELBO without noise, sums over all :math:`C^L` codes: an objective for `fit`.

    .. math:: \sum_z q_\phi(z \mid x) \log p_\theta(x \mid z), \qquad
        \sum_z q_\phi(z \mid x) \log \frac{q_\phi(z \mid x)}{p(z)}

    Args:
        model: a `VAE` with the posterior `OneHot`.
        x: examples, shape (B, D).
        n_samples, generator: not used; `fit` gives them.

    Returns:
        The `ElboTerms`, differentiable in the model's parameters, with the exact gradient.

    Raises:
        TypeError: ``model`` is not a `VAE` with the posterior `OneHot`, or ``x`` is not a floating-point tensor.
        ValueError: shapes do not fit, or there are too many codes.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> how = dict(seed=0, prior=UniformCodes(3), posterior=OneHot(3))
        >>> model = mlp_vae(4, 8, 2 * 3, bernoulli, **how)  # two choices among three
        >>> x = torch.tensor([[0.0, 1.0, 1.0, 0.0]])
        >>> bool(exact_terms(model, x).elbo < exact_log_marginal(model, x))
        True
    """
    posterior = _require_one_hot(model)
    params = model.encode(x)
    z = _states(model, len(x), posterior.n_codes)
    log_q = posterior.log_prob(params, z)
    q = log_q.exp()
    return ElboTerms((q * model.log_likelihood(x, z)).sum(0), (q * (log_q - model.log_prior(z))).sum(0))


def exact_log_marginal(model: VAE, x: Tensor) -> Tensor:
    r"""log p(x) itself, :math:`\log \sum_z p(z) \, p_\theta(x \mid z)`, a sum over all :math:`C^L` codes.

    Args:
        model: a `VAE` whose prior is one over codes, with ``n_codes``.
        x: examples, shape (B, D).

    Returns:
        Values in nats, shape (B,), differentiable in the decoder's and the prior's parameters.

    Raises:
        TypeError: ``model`` is not a `VAE`, or its prior is not one over codes.
        ValueError: shapes do not fit, or there are too many codes.

    `exact_terms` has an example.
    """
    require_vae(model)
    n_codes = getattr(model.prior, "n_codes", None)
    if n_codes is None:
        raise TypeError(f"the prior must be one over codes, such as UniformCodes(8), got {model.prior!r}")
    z = _states(model, len(x), n_codes)
    return torch.logsumexp(model.log_likelihood(x, z) + model.log_prior(z), 0)


def leave_one_out_terms(
    model: VAE,
    x: Tensor,
    n_samples: int = 2,
    *,
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> ElboTerms:
    r"""Both terms of the ELBO with an unbiased gradient, `leave_one_out`: an objective for `fit`.

    What is multiplied by the score is :math:`f = \log p_\theta(x \mid z) - \log q_\phi(z \mid x) + \log p(z)`, both
    terms together.

    Args:
        model: a `VAE` with the posterior `OneHot`.
        x: examples, shape (B, D).
        n_samples: K, at least 2.
        eps, generator: as for `vae_tutorial.bounds.elbo_terms`.

    Returns:
        The `ElboTerms`, the means over K samples of the log-likelihood and of :math:`\log q - \log p`.

    Raises:
        TypeError: ``model`` is not a `VAE` with the posterior `OneHot`; or as `vae_tutorial.bounds.elbo_terms`.
        ValueError: ``n_samples`` is 1; or as `vae_tutorial.bounds.elbo_terms`.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(4, 8, 2 * 3, bernoulli, seed=0, prior=UniformCodes(3), posterior=OneHot(3))
        >>> leave_one_out_terms(model, torch.zeros(5, 4), n_samples=4).elbo.shape
        torch.Size([5])
    """
    posterior = _require_one_hot(model)
    params = model.encode(x)
    z = posterior_samples(model, params, n_samples, eps, generator)[0].detach()
    log_q = posterior.log_prob(params, z)
    log_likelihood, log_ratio = model.log_likelihood(x, z), log_q - model.log_prior(z)
    score = leave_one_out(log_likelihood - log_ratio, log_q).mean(0) - (log_likelihood - log_ratio).mean(0)  # value 0
    return ElboTerms(log_likelihood.mean(0) + score, log_ratio.mean(0))


def split(flat: Tensor, n_codes: int) -> Tensor:
    """The last axis, L·C, as two of them, (L, C)."""
    if flat.shape[-1] % n_codes:
        raise ValueError(
            f"the last axis must be L times the {n_codes} codes, got shape {tuple(flat.shape)}; give the model "
            f"latent_dim=L * {n_codes}"
        )
    return flat.reshape(*flat.shape[:-1], -1, n_codes)


def largest(scores: Tensor) -> Tensor:
    """One-hot along the last axis, where the largest number is; shape and dtype as ``scores``, without gradient."""
    return F.one_hot(scores.detach().argmax(-1), scores.shape[-1]).to(scores)


def _require_one_hot(model: VAE) -> OneHot:
    require_vae(model)
    if not isinstance(model.posterior, OneHot):
        raise TypeError(
            f"the posterior must be OneHot, got {model.posterior!r}; build the model with posterior=OneHot(C)"
        )
    return model.posterior


def _states(model: VAE, n_examples: int, n_codes: int) -> Tensor:
    """All codes beside each example, shape (C^L, B, L·C), as the model's weights."""
    states = all_codes(model.latent_dim // n_codes, n_codes).to(model.a_weight())
    return states[:, None].expand(-1, n_examples, -1)
