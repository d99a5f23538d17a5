"""One step of Auto-Encoding Variational Bayes, and what makes it safe to take."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vae_tutorial._troubleshooting import see
from vae_tutorial.bounds import ElboTerms, elbo_terms
from vae_tutorial.models import VAE


class Objective(Protocol):
    """What is maximized: ``objective(model, x, n_samples, generator=...)`` gives the `ElboTerms` of a minibatch.

    Where the examples have more than one part, they come in order: ``objective(model, x, y, n_samples, …)``.
    """

    def __call__(self, model: VAE, /, *args: Any, **kwargs: Any) -> ElboTerms: ...


def take_step(
    model: VAE,
    optimizer: torch.optim.Optimizer,
    *x: Tensor,
    generator: torch.Generator,
    objective: Objective = elbo_terms,
    n_samples: int = 1,
    beta: float = 1.0,
    max_grad_norm: float | None = None,
) -> list[float]:
    """Algorithm 1 of Kingma and Welling (2014) on one minibatch: noise, estimate, gradient, update.

    Args:
        model, generator, objective, n_samples, beta, max_grad_norm: as for `fit`.
        optimizer: of the model's parameters.
        x: the minibatch, shape (M, D), and whatever else the objective takes.

    Returns:
        Both terms of the bound, each summed over the minibatch, in nats.

    Raises:
        TypeError: the objective gives no `ElboTerms`, or a gradient is sparse.
        ValueError: a term or the gradient is not finite, or nothing that is trained has a gradient; then nothing has
            changed, batch statistics included.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, bernoulli, seed=0)
        >>> optimizer = torch.optim.Adam(model.parameters())
        >>> generator = torch.Generator().manual_seed(0)
        >>> x = torch.tensor([[0.0, 1.0, 1.0]])
        >>> log_likelihood, kl = take_step(model, optimizer, x, generator=generator)
    """
    with _kept_unless_whole(model):
        terms = objective(model, *x, n_samples, generator=generator)  # draws eps
        sums = finite_sums(terms, n_examples=len(x[0]))
        loss = -(terms.log_likelihood - beta * terms.kl).mean()
        require_gradient(loss)
        optimizer.zero_grad()
        loss.backward()
        require_finite_gradient(model, max_grad_norm)
        optimizer.step()
    return sums


@contextmanager
def _kept_unless_whole(model: nn.Module) -> Iterator[None]:
    """Whatever ends a step early, buffers such as batch statistics are then what they were."""
    before = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for module, name, buffer, values in before:
                setattr(module, name, buffer.copy_(values))
        raise


def finite_sums(terms: ElboTerms, *, n_examples: int) -> list[float]:
    """Each term summed over the examples of a batch, as a Python number that is known to be finite."""
    if not isinstance(terms, ElboTerms) or not all(isinstance(values, Tensor) for values in terms):
        came = f"a tensor of shape {tuple(terms.shape)}" if isinstance(terms, Tensor) else type(terms).__name__
        raise TypeError(
            f"objective must give ElboTerms of two tensors, got {came}; end it with "
            "return ElboTerms(log_likelihood, kl), one value per example each"
        )
    sums = []
    for name, values in terms._asdict().items():
        if values.shape != (n_examples,):
            raise ValueError(
                f"{name} must hold one value per example, shape ({n_examples},), got {tuple(values.shape)}"
            )
        sums.append(values.sum().item())
        if not math.isfinite(sums[-1]):
            raise ValueError(f"{name} is not finite: its sum over the batch is {sums[-1]}")
    return sums


def require_gradient(loss: Tensor) -> None:
    """The loss depends on weights that are trained."""
    if not loss.requires_grad:
        raise ValueError(
            "the objective has no gradient: it was detached or computed under torch.no_grad(), or none of the "
            f"weights it uses has requires_grad=True. {see('stuck')}"
        )


def require_finite_gradient(model: nn.Module, max_norm: float | None) -> None:
    """The gradient is finite; one longer than ``max_norm`` is scaled down to it."""
    parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
    if not parameters:
        raise ValueError(
            "the objective has no gradient with respect to the model's parameters: does it use the model? "
            f"{see('stuck')}"
        )
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and parameter.grad.layout != torch.strided:
            raise TypeError(
                f"the gradient with respect to {name} is sparse, and Adam takes dense ones only: build its layer "
                "with sparse=False"
            )
    if max_norm is not None:
        norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    else:
        norms = [torch.linalg.vector_norm(parameter.grad) for parameter in parameters]
        norm = torch.linalg.vector_norm(torch.stack(norms))
    if not math.isfinite(norm):
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not torch.isfinite(torch.linalg.vector_norm(parameter.grad)):
                raise ValueError(f"the gradient with respect to {name} is not finite")
        raise ValueError("the norm of the gradient is not finite")
