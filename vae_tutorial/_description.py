"""How to build a model again, as values that JSON can hold: what a checkpoint needs beside the weights."""

import inspect
from collections.abc import Callable
from functools import wraps
from numbers import Integral
from typing import Any, ParamSpec, Protocol, TypeVar

from vae_tutorial.likelihoods import Likelihood


class Described(Protocol):
    """What has a place for its description, such as a VAE."""

    description: dict[str, Any] | None


# One assignment each: type checkers take no other form, and would lose the factories' signatures.
Arguments = ParamSpec("Arguments")
Model = TypeVar("Model", bound=Described)


def described(factory: Callable[Arguments, Model]) -> Callable[Arguments, Model]:
    """Let a function that builds a model record its own name and arguments, defaults included, on what it returns."""
    signature = inspect.signature(factory)

    @wraps(factory)
    def recording(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Model:
        model = factory(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = {name: _json_value(value) for name, value in bound.arguments.items()}
        model.description = {"factory": factory.__name__, "arguments": arguments}
        return model

    return recording


def _json_value(value: Any) -> Any:
    if isinstance(value, Likelihood):
        return value.spec
    if isinstance(value, (tuple, list)):
        return [_json_value(item) for item in value]
    if isinstance(value, type):
        return value.__name__
    return int(value) if isinstance(value, Integral) else value
