"""A tensor that writes down what is done to it: a function of the package, called with such, becomes a line of Python.

So the page has the known mistakes as the package has them. Beside its text each has its value, which says what lengths
and axes there are; a function that asks for these gives one text for each shape.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class Traced:
    def __init__(self, text: str, value: Tensor) -> None:
        self.text, self.value = text, value

    @property
    def shape(self) -> torch.Size:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    def __len__(self) -> int:
        return len(self.value)

    def __neg__(self) -> "Traced":
        return Traced(f"(-{self.text})", -self.value)

    def __getitem__(self, items: Any) -> "Traced":
        parts = items if isinstance(items, tuple) else (items,)
        return Traced(f"{self.text}[{', '.join(map(written, parts))}]", self.value[items])

    def __getattr__(self, name: str) -> Callable[..., "Traced"]:
        def method(*given: Any, **named: Any) -> "Traced":
            result = getattr(self.value, name)(*map(value_of, given), **named)
            return Traced(f"{self.text}.{name}({arguments(given, named)})", result)

        return method

    @classmethod
    def __torch_function__(cls, function: Callable, types: Any, given: Sequence = (), named: Any = None) -> "Traced":
        result = function(*map(value_of, given), **(named or {}))
        said = {name: value for name, value in (named or {}).items() if value != default(function, name)}
        return cls(f"torch.{function.__name__}({arguments(given, said)})", result)


def _operator(sign: str, method: str) -> None:
    def forward(self: Traced, other: Any) -> Traced:
        return Traced(f"({self.text} {sign} {written(other)})", getattr(torch, method)(self.value, value_of(other)))

    def backward(self: Traced, other: Any) -> Traced:
        value = getattr(torch, method)(torch.as_tensor(other, dtype=self.value.dtype), self.value)
        return Traced(f"({written(other)} {sign} {self.text})", value)

    name = {"*": "mul", "-": "sub", "+": "add", "/": "truediv", "**": "pow"}[sign]
    setattr(Traced, f"__{name}__", forward)
    setattr(Traced, f"__r{name}__", backward)


for sign, method in {"+": "add", "-": "sub", "*": "mul", "/": "div", "**": "pow"}.items():
    _operator(sign, method)


def default(function: Callable, name: str) -> Any:
    return inspect.signature(function).parameters[name].default


def value_of(argument: Any) -> Any:
    if isinstance(argument, list):
        return [value_of(part) for part in argument]
    return argument.value if isinstance(argument, Traced) else argument


def written(argument: Any) -> str:
    """An argument or an index as Python text."""
    if isinstance(argument, Traced):
        return argument.text
    if isinstance(argument, list):
        return f"[{', '.join(map(written, argument))}]"
    if isinstance(argument, slice):
        return ":".join("" if end is None else str(end) for end in (argument.start, argument.stop))
    return {Ellipsis: "..."}.get(argument, repr(argument))


def arguments(given: Sequence, named: Any) -> str:
    return ", ".join([*map(written, given), *(f"{name}={written(value)}" for name, value in named.items())])


def text_of(fn: Callable, fixtures: Sequence[dict[str, Tensor]]) -> str | list[str]:
    """What a function does to these arguments; one text for each of the fixtures where it depends on their shapes."""
    texts = [fn(*(Traced(name, tensor.detach()) for name, tensor in given.items())).text for given in fixtures]
    return texts[0] if len(set(texts)) == 1 else texts
