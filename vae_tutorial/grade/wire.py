"""Numbers between two processes that do not trust each other: JSON and the bytes of tensors, never code.

Either side reads what it knows and refuses the rest. The child loads this file by its path, without the package.
"""

import json
import math
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8)
    + (torch.int8, torch.int16, torch.int32, torch.int64)
}
MOST_BYTES, MOST_TEXT, MOST_ITEMS, MOST_AXES = 2**26, 2**20, 64, 16


class Broken(Exception):
    """What came is no message."""


def send(to: socket.socket, message: Mapping[str, Any], tensors: Sequence[Tensor] = ()) -> None:
    dense = [tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for tensor in tensors]
    kinds = [[str(tensor.dtype).removeprefix("torch."), list(tensor.shape)] for tensor in dense]
    head = json.dumps({**message, "tensors": kinds}).encode()
    numbers = [tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"" for tensor in dense]
    to.sendall(b"".join([struct.pack("<I", len(head)), head, *numbers]))


class Deadline:
    """A time by which something must have come; it is moved as long as ``more()`` gives further seconds."""

    def __init__(self, seconds: float = math.inf, more: Callable[[], float] = lambda: 0.0) -> None:
        self.end, self.more = time.monotonic() + seconds, more

    def left(self) -> float | None:
        """The seconds left, None where there is no limit.

        Raises:
            TimeoutError: there are none.
        """
        left = self.end - time.monotonic()
        if left <= 0:
            left = self.more()
            self.end = time.monotonic() + left
        if left <= 0:
            raise TimeoutError
        return None if math.isinf(left) else left


def receive(
    source: socket.socket, deadline: Deadline | None = None, most_text: int = MOST_TEXT
) -> tuple[dict[str, Any], list[Tensor]]:
    """The next message.

    Raises:
        Broken: it is none.
        EOFError: the other side is gone.
        TimeoutError: it did not come in time.
    """
    end = deadline or Deadline()
    (length,) = struct.unpack("<I", _bytes(source, 4, end))
    if length > most_text:
        raise Broken("a message too long")
    try:
        message = json.loads(_bytes(source, length, end))
        kinds = [(DTYPES[dtype], tuple(map(_length, shape))) for dtype, shape in message["tensors"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Broken("a message that cannot be read") from error
    sizes = [math.prod(shape) * dtype.itemsize for dtype, shape in kinds]
    if sum(sizes) > MOST_BYTES or len(sizes) > 2 * MOST_ITEMS:
        raise Broken("more numbers than it is asked for")
    if any(len(shape) > MOST_AXES for _, shape in kinds) or any(math.prod(filter(None, s)) > 2**60 for _, s in kinds):
        raise Broken("numbers of no shape")
    tensors = []
    for (dtype, shape), size in zip(kinds, sizes, strict=True):
        numbers = torch.from_numpy(np.frombuffer(bytearray(_bytes(source, size, end)), np.uint8))
        tensors.append(numbers.view(dtype).reshape(shape) if size else torch.empty(shape, dtype=dtype))
    return message, tensors


def _length(n: Any) -> int:
    if type(n) is not int or not 0 <= n < 2**31:
        raise ValueError("no length of an axis")
    return n


def _bytes(source: socket.socket, n: int, end: Deadline) -> bytes:
    parts = []
    while n:
        source.settimeout(end.left())
        try:
            part = source.recv(min(n, 2**20))
        except TimeoutError:
            continue
        except ConnectionError as error:
            raise EOFError from error
        if not part:
            raise EOFError
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def pack(value: Any, tensors: list[Tensor], depth: int = 0) -> dict[str, Any]:
    """A value in JSON; the tensors in it are added to the list, and stand for it by their number."""
    if value is ...:
        return {"kind": "dots"}
    if isinstance(value, Tensor) and _is_plain(value):
        tensors.append(value)
        return {"kind": "tensor", "at": len(tensors) - 1, "grad": value.requires_grad}
    if isinstance(value, (np.ndarray, np.floating)) and str(value.dtype) in DTYPES:
        tensors.append(torch.from_numpy(np.array(value)))
        return {"kind": "array", "at": len(tensors) - 1}
    if value is None or type(value) in (bool, int, float):
        return {"kind": "plain", "value": value}
    if isinstance(value, (tuple, list)) and len(value) <= MOST_ITEMS and depth < 3:
        return {"kind": type(value).__name__, "items": [pack(item, tensors, depth + 1) for item in value]}
    if isinstance(value, Mapping) and len(value) <= MOST_ITEMS and depth < 3:
        return {"kind": "dict", "items": {str(key): pack(item, tensors, depth + 1) for key, item in value.items()}}
    return {"kind": "other", "type": type(value).__name__[:80]}


def _is_plain(tensor: Tensor) -> bool:
    known = str(tensor.dtype).removeprefix("torch.") in DTYPES
    return known and tensor.layout == torch.strided and not tensor.is_nested and tensor.device.type == "cpu"


def unpack(packed: Any, tensors: Sequence[Tensor]) -> Any:
    """The value.

    Raises:
        Broken: it is no packed one.
    """
    try:
        kind = packed["kind"]
        if kind == "dots":
            return ...
        if kind == "tensor":
            return tensors[packed["at"]]
        if kind == "array":
            return tensors[packed["at"]].numpy()
        if kind == "plain":
            return packed["value"]
        if kind == "dict":
            return {key: unpack(item, tensors) for key, item in packed["items"].items()}
        if kind == "other":
            return type(str(packed["type"]), (), {})()
        items = [unpack(item, tensors) for item in packed["items"]]
        return items if kind == "list" else tuple(items)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, RecursionError) as error:
        raise Broken("an answer that cannot be read") from error
