"""Functions written in JAX, as ones that the checks can call. JAX is imported where it is used, and only there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vae_tutorial._extra import of_the_extra


def from_jax(function: Callable[..., Any]) -> Callable[..., Any]:
    r"""A function of JAX arrays as one of tensors: every check takes it, values and gradients.

    Tensors become arrays of the same dtype (float64 as well, whatever ``jax_enable_x64`` says: it is on inside), and
    what comes back becomes tensors. PyTorch's gradients go through ``jax.vjp``: with the Jacobian :math:`J` of
    ``function``, it gets :math:`v^\top J` from JAX for every :math:`v` that ``backward`` brings.

    Args:
        function: takes JAX arrays, by position or by name, and returns an array, or a tuple, list or dict of arrays. It
            may be a ``vmap`` of another, and jitted, which makes a check several times as quick. What is no tensor
            reaches it unchanged: a random key, say. A stub, which returns ``...``, stays one.

    Returns:
        A function with the name and the signature of ``function``.

    Raises:
        ModuleNotFoundError: JAX is not installed; the message has the remedy.
        TypeError: ``function`` is not callable; or, when it is called, it was given a PyTorch module, as `check_elbo`
            does to a function of ``model``, ``x`` and ``eps``: write the loss of ``x_hat``, ``x``, ``mu`` and
            ``log_var`` instead.

    Example:
        JAX comes with the extra ``jax``, so these lines are run only where it is installed.

        >>> import jax, jax.numpy as jnp  # doctest: +SKIP
        >>> from vae_tutorial.checks import check_kl, from_jax
        >>> @jax.vmap  # doctest: +SKIP
        ... def kl(mu, log_var):
        ...     return 0.5 * (mu**2 + jnp.exp(0.5 * log_var) - 1 - log_var).sum()
        >>> print(check_kl(from_jax(kl)).mistake)  # doctest: +SKIP
        It equals ½Σ(σ + μ² − 1 − log σ²): the standard deviation stands where the variance belongs.
    """
    if not callable(function):
        raise TypeError(f"function must be a function of JAX arrays, got {type(function).__name__}")
    with of_the_extra("jax"):
        jax: Any = import_module("jax")

    def of_arrays(*args: Any, **kwargs: Any) -> Any:
        if (result := function(*args, **kwargs)) is ...:
            raise _Stub
        return result

    @wraps(function)
    def of_tensors(*args: Any, **kwargs: Any) -> Any:
        given, structure = jax.tree.flatten((args, kwargs))
        for argument in given:
            if isinstance(argument, nn.Module):
                raise TypeError(
                    f"a JAX function cannot call a {type(argument).__name__} of PyTorch: have check_elbo call a loss "
                    "of four arguments, from_jax(loss) with loss(x_hat, x, mu, log_var)"
                )
        places = [i for i, argument in enumerate(given) if isinstance(argument, Tensor)]
        shape: list[Any] = []  # of what the function returns: a tree

        def of_leaves(*arrays: Any) -> list[Any]:
            filled = dict(enumerate(given)) | dict(zip(places, arrays, strict=True))
            args, kwargs = jax.tree.unflatten(structure, filled.values())
            leaves, tree = jax.tree.flatten(of_arrays(*args, **kwargs))
            shape[:] = [tree]
            return list(leaves)

        try:
            found = _ThroughJax.apply(jax, of_leaves, *(given[i] for i in places))
        except _Stub:
            return ...
        except TypeError as error:
            if "ellipsis" not in str(error):
                raise
            return ...  # a stub under a transformation, which takes no such result
        return jax.tree.unflatten(shape[0], found)

    return of_tensors


class _Stub(Exception):
    """The function returned ``...``."""


class _ThroughJax(torch.autograd.Function):
    """Forward by the function, backward by its vector-Jacobian product in the tensors that want a gradient."""

    @staticmethod
    def forward(ctx: Any, jax: Any, function: Callable[..., list[Any]], *tensors: Tensor) -> tuple[Tensor, ...]:
        wanted = [place for place, wants in enumerate(ctx.needs_input_grad[2:]) if wants]
        with _in_their_precision(jax):
            given = [jax.numpy.array(tensor.detach().numpy()) for tensor in tensors]

            def of_wanted(*arrays: Any) -> list[Any]:
                filled = dict(enumerate(given)) | dict(zip(wanted, arrays, strict=True))
                return function(*filled.values())

            if wanted:
                found, ctx.vjp = jax.vjp(of_wanted, *(given[place] for place in wanted))
            else:
                found = function(*given)
        ctx.jax, ctx.wanted, ctx.n = jax, wanted, len(given)
        return tuple(torch.tensor(np.asarray(array)) for array in found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        with _in_their_precision(ctx.jax):
            found = ctx.vjp([ctx.jax.numpy.array(gradient.numpy()) for gradient in gradients])
        to_tensors: list[Tensor | None] = [None] * (2 + ctx.n)  # the first two are no tensors
        for place, gradient in zip(ctx.wanted, found, strict=True):
            to_tensors[2 + place] = torch.tensor(np.asarray(gradient))
        return tuple(to_tensors)


@contextmanager
def _in_their_precision(jax: Any) -> Iterator[None]:
    """Inside, float64 stays float64."""
    home = jax if hasattr(jax, "enable_x64") else import_module("jax.experimental")  # as up to JAX 0.7
    with home.enable_x64(True):
        yield
