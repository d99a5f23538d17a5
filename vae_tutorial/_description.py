"""How to build a model again, as values that JSON can hold: what a checkpoint needs beside the weights."""

import ast
import inspect
from collections.abc import Callable
from functools import wraps
from numbers import Integral
from typing import Any, ParamSpec, TypeVar

from torch import nn

from vae_tutorial.likelihoods import Likelihood
from vae_tutorial.posteriors import Posterior, diagonal
from vae_tutorial.priors import Prior, standard_normal

# One assignment each: type checkers take no other form, and would lose the factories' signatures.
Arguments = ParamSpec("Arguments")
Model = TypeVar("Model", bound=nn.Module)


def described(factory: Callable[Arguments, Model]) -> Callable[Arguments, Model]:
    """Let a function that builds a model leave its own name and arguments in the ``description`` of what it returns."""
    signature = inspect.signature(factory)

    @wraps(factory)
    def recording(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Model:
        model = factory(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = {n: v for n, v in bound.arguments.items() if not _left_out(n, v)}
        arguments = {name: _json_value(value) for name, value in given.items()}
        object.__setattr__(model, "description", {"factory": factory.__name__, "arguments": arguments})
        return model

    return recording


def written(call: str) -> dict[str, Any] | None:
    """The name and the arguments of a call as it is written, such as ``"normal(log_var=0.0)"``; None of other words."""
    try:
        node = ast.parse(call, mode="eval").body
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            arguments = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
            return {"name": node.func.id, "arguments": arguments}
    except (SyntaxError, ValueError):
        return None
    return {"name": call, "arguments": {}}


def _left_out(name: str, value: Any) -> bool:
    """Whether a part is the one that a factory takes where none is given."""
    return value is standard_normal or value is diagonal or (value is None and name in ("prior", "posterior"))


def _json_value(value: Any) -> Any:
    if isinstance(value, Likelihood):
        return written(value.name)
    if isinstance(value, (Prior, Posterior)):
        return _call(value)
    if isinstance(value, (tuple, list)):
        return [_json_value(item) for item in value]
    if isinstance(value, type):
        return value.__name__
    return int(value) if isinstance(value, Integral) else value


def _call(value: nn.Module) -> dict[str, Any] | None:
    """How a prior or posterior of the package is made: its class, and the arguments it keeps under their names."""
    kind = type(value)
    if kind.__module__.partition(".")[0] != __package__:
        return None
    parameters = inspect.signature(kind).parameters.values()
    names = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]  # without __init__
    arguments = {name: getattr(value, name) for name in names}
    if any(isinstance(argument, nn.Module) for argument in arguments.values()):
        return None
    return {"name": kind.__name__, "arguments": arguments}
