"""What tells one objective, or one model, from another: for a run that goes on, in words that a message can quote."""

import hashlib
from collections.abc import Iterable
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from vae_tutorial.checkpoints.files import sha256
from vae_tutorial.likelihoods import Likelihood
from vae_tutorial.models import VAE

Seen: TypeAlias = dict[int, Any]
"""What has been told already, by its id, in the order in which it came."""

PACKAGE = __name__.partition(".")[0]
_OF_EVERY_MODULE = vars(nn.Module()).keys() | {"description"}  # the arguments of a factory, the seed among them


def identity(value: Any, model: nn.Module | None = None) -> str:
    """What a value is made of: of a function its code and what it holds, of an object its attributes.

    Not looked at are global variables and the functions that a function of one's own calls, nor ``model``, the one
    that is trained, where the value holds it. Functions of the package are known by their names alone.
    """
    return _identity(value, {} if model is None else {id(model): model})


def architecture(model: VAE) -> dict[str, str]:
    """The modules of a model by their names, each with its class and its attributes; not their weights."""
    return {name or "VAE": _module(module) for name, module in model.named_modules(remove_duplicate=False)}


def _module(module: nn.Module) -> str:
    own = {name: value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE and _is_setting(value)}
    return f"{_path(type(module))}({_attributes(own, {})})"


def _is_setting(value: Any) -> bool:
    """Whether an attribute of a module says how it computes, and is nothing that it has computed."""
    if isinstance(value, Likelihood) or value is None:
        return True
    if isinstance(value, (tuple, list)):
        return all(map(_is_setting, value))
    return isinstance(value, (bool, int, float, str, torch.dtype, type, partial, FunctionType))


def _identity(value: Any, seen: Seen) -> str:
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, torch.dtype, torch.device)):
        return repr(value)
    if id(value) in seen:  # objects may hold each other
        return f"number {list(seen).index(id(value))}"
    seen[id(value)] = value
    if isinstance(value, Likelihood) and value.name:
        return value.name
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} with SHA-256 {sha256({'': value.detach().cpu()})}"
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"{value.dtype} {value.shape} with SHA-256 {digest}"
    if isinstance(value, partial):
        return f"{_identity(value.func, seen)} with {_identity(value.args, seen)}, {_identity(value.keywords, seen)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_identity(k, seen)}: {_identity(v, seen)}" for k, v in value.items()) + "}"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(_each(value, seen))) + "}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(_each(value, seen)) + ")"
    if isinstance(value, MethodType):
        return f"{_identity(value.__func__, seen)} of {_identity(value.__self__, seen)}"
    if isinstance(value, FunctionType):
        return _function(value, seen)
    if isinstance(value, nn.Module):
        return (
            f"{_path(type(value))}({', '.join(map(_module, value.modules()))}, {_identity(value.state_dict(), seen)})"
        )
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, type) or not hasattr(value, "__dict__"):
        return _path(value)
    return f"{_path(type(value))}({_attributes(vars(value), seen)})"


def _each(values: Iterable[Any], seen: Seen) -> list[str]:
    return [_identity(value, seen) for value in values]


def _attributes(values: dict[str, Any], seen: Seen) -> str:
    return ", ".join(f"{name}={_identity(value, seen)}" for name, value in sorted(values.items()))


def _function(function: FunctionType, seen: Seen) -> str:
    name = _path(function)
    if name.startswith(f"{PACKAGE}.") and not function.__closure__:
        return name
    held: dict[str, Any] = dict(function.__kwdefaults__ or {})
    for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            held[variable] = cell.cell_contents
        except ValueError:  # not yet assigned
            held[variable] = None
    told = ", ".join(filter(None, [*_each(function.__defaults__ or (), seen), _attributes(held, seen)]))
    return f"{name} of code {_code(function.__code__)[:12]}" + (f" with {told}" if told else "")


def _code(code: CodeType) -> str:
    """A digest of what a function does; not of where it stands."""
    constants = [_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    parts = (code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _path(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
