"""A function in a child as one that the checks can call: its values, gradients, signature, and what it did besides."""

import builtins
import contextlib
import inspect
import math
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vae_tutorial.checks.given_noise import GivenNoise
from vae_tutorial.grade.remote import NO_ANSWERS, Child, Ended
from vae_tutorial.grade.wire import Broken, pack, unpack


def function_of(child: Child, name: str) -> Callable[..., Any]:
    """The function of that name, called there; with its signature and the gradients of what it gives."""
    child.ask({"do": "take", "name": name})

    def called(*arguments: Any) -> Any:
        return _call(child, arguments)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    with contextlib.suppress(ValueError):  # names that are none
        called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(p, kind, default=inspect.Parameter.empty if needed else None)
                for p, needed in child.functions[name]
            ]
        )
    if not child.functions[name]:  # it does not tell, or takes any
        del called.__signature__  # type: ignore[attr-defined]
    called.__name__ = name
    return called


def _call(child: Child, arguments: Sequence[Any]) -> Any:
    tensors: list[Tensor] = []
    given = [_given(argument, tensors) for argument in arguments]
    leaves = [leaf for argument in arguments for leaf in _leaves(argument)]
    noise, inside = None, GivenNoise.inside
    if inside is not None:
        noise = len(tensors)
        tensors.append(inside.eps)
    number = next(child.ids)
    said, out = _answer(
        child,
        {
            "do": "call",
            "id": number,
            "arguments": given,
            "noise": noise,
            "grad": torch.is_grad_enabled(),
            "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
            "seed": int(torch.randint(2**62, ())),  # its own random numbers follow the generator here
        },
        tensors,
    )
    try:
        for at, tensor, setting in said["changed"]:
            _change(arguments[at], None if tensor is None else out[tensor], setting)
        if inside is not None and said["used"] is True:
            inside.used = True
        out = out[: said["n"]]
        tracked = [p["at"] for p in _tensors(said["value"]) if p["grad"] is True and out[p["at"]].is_floating_point()]
        if tracked and leaves:
            wired = _Through.apply(child, number, [out[at] for at in tracked], *leaves)  # type: ignore[no-untyped-call]
            for at, tensor in zip(tracked, wired, strict=True):
                out[at] = tensor
        return unpack(said["value"], out)
    except (Broken, KeyError, TypeError, IndexError, ValueError, AttributeError, RecursionError) as error:
        child.ended = NO_ANSWERS
        raise Ended(child.ended) from error


def _slopes(child: Child, number: int, weights: Sequence[Tensor], leaves: Sequence[Tensor]) -> list[Tensor]:
    _, found = _answer(child, {"do": "slopes", "id": number}, weights)
    if [t.shape for t in found] != [t.shape for t in leaves]:
        child.ended = NO_ANSWERS
        raise Ended(child.ended)
    return [t.to(leaf.dtype) for t, leaf in zip(found, leaves, strict=True)]


def _answer(child: Child, message: dict[str, Any], tensors: Sequence[Tensor]) -> tuple[dict[str, Any], list[Tensor]]:
    said, out = child.ask(message, tensors)
    if "error" in said:
        raise _error(str(said["error"]), str(said.get("text", "")))
    return said, out


class _Through(torch.autograd.Function):
    """What came, with the gradients of the function that it came from."""

    @staticmethod
    def forward(ctx: Any, child: Child, number: int, out: list[Tensor], *leaves: Tensor) -> tuple[Tensor, ...]:
        ctx.child, ctx.number, ctx.leaves = child, number, leaves
        return tuple(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *weights: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, None, *_slopes(ctx.child, ctx.number, weights, ctx.leaves)


def _given(argument: Any, tensors: list[Tensor]) -> dict[str, Any]:
    if not isinstance(argument, nn.Module):
        return pack(argument, tensors)
    networks = {
        name: network
        for name, network in argument.named_children()
        if all(type(part).__module__.startswith("torch.nn.") for part in network.modules())
    }
    parts: dict[str, Any] = {"networks": networks}
    if hasattr(argument, "likelihood"):
        parts |= {"latent_dim": argument.latent_dim, "noise_var": _noise_var(argument)}
    tensors.append(torch.frombuffer(bytearray(pickle.dumps(parts)), dtype=torch.uint8))
    return {"kind": "model", "at": len(tensors) - 1}


def _noise_var(model: Any) -> float | None:
    """Of a Gaussian likelihood, read off its density at the mode; None for a binary one."""
    if model.likelihood.name == "bernoulli":
        return None
    at_its_mode = model.likelihood.log_prob(*torch.zeros(2, 1, 1, dtype=torch.float64)).item()
    return math.exp(-2 * at_its_mode) / (2 * math.pi)


def _leaves(argument: Any) -> list[Tensor]:
    if isinstance(argument, nn.Module):
        return list(argument.parameters())
    return [argument] if isinstance(argument, Tensor) and argument.requires_grad else []


@torch.no_grad()
def _change(argument: Any, now: Tensor | None, setting: Any) -> None:
    """Do to an argument here what the function did to its copy, so that the checks see it."""
    if isinstance(argument, nn.Module):
        next(argument.parameters()).add_(1)
    elif now is not None and now.shape == argument.shape and not torch.equal(now, argument):
        argument.copy_(now)
    elif argument.is_leaf:
        argument.requires_grad_(not argument.requires_grad)


def _tensors(packed: Any) -> list[dict[str, Any]]:
    if packed.get("kind") == "tensor":
        return [packed]
    items = packed.get("items", [])
    return [one for item in (items.values() if isinstance(items, dict) else items) for one in _tensors(item)]


def _error(name: str, text: str) -> Exception:
    """An error of that name: one of Python's own where there is one."""
    known = getattr(builtins, name, None)
    if isinstance(known, type) and issubclass(known, Exception):
        with contextlib.suppress(TypeError):  # some take other arguments
            return known(text)
    return type(name, (Exception,), {})(text)  # type: ignore[no-any-return]
