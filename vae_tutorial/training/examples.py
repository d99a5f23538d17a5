"""What a model is trained on, whatever it comes as: tensors, arrays, files mapped into memory, or a ``Dataset``."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from vae_tutorial._troubleshooting import see
from vae_tutorial._validation import require_rows
from vae_tutorial.checkpoints.files import sha256
from vae_tutorial.training.hints import diverged, looks_like_labels

AT_A_TIME = 2**20  # bytes of a file that are read at once to know it again
Array: TypeAlias = np.ndarray[Any, Any]
Data: TypeAlias = Tensor | Array | tuple[Tensor | Array, ...] | Dataset[Any]
"""A tensor or NumPy array of shape (N, D); a tuple of that and more with the same first axis; a Dataset."""


class Examples(Protocol):
    """Examples that are asked for by their rows, and come as tensors: x, shape (B, D), and what goes with it."""

    def __len__(self) -> int: ...

    def take(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Some of the examples."""

    def to(self, device: torch.device | None) -> "Examples":
        """The same, on a device; None leaves them where they are."""

    def fingerprint(self) -> str:
        """What tells other data from these."""


class Columns:
    """Tensors and arrays of one length. What is in memory goes to the device at once, the rest as it is asked for."""

    def __init__(self, columns: Sequence[Tensor | Array], device: torch.device | None = None) -> None:
        in_memory = (torch.from_numpy(c) if isinstance(c, np.ndarray) and _is_memory(c) else c for c in columns)
        # Detached: what the caller may want a gradient of gets none from here.
        self.columns = [c.detach().to(device) if isinstance(c, Tensor) else c for c in in_memory]
        self.device = device

    def __len__(self) -> int:
        return len(self.columns[0])

    def take(self, rows: Tensor) -> tuple[Tensor, ...]:
        return tuple(self._rows(column, rows) for column in self.columns)

    def _rows(self, column: Tensor | Array, rows: Tensor) -> Tensor:
        if isinstance(column, Tensor):
            return column.index_select(0, rows.to(column.device))  # half the time of column[rows]
        return torch.from_numpy(column[rows.cpu().numpy()]).to(self.device)

    def to(self, device: torch.device | None) -> "Columns":
        return Columns(self.columns, device)

    def fingerprint(self) -> str:
        return "; ".join(f"{tuple(column.shape)} with SHA-256 {_sha256(column)}" for column in self.columns)


class Items:
    """The items of a ``Dataset``, put together as PyTorch's ``DataLoader`` would."""

    def __init__(self, dataset: Dataset[Any], device: torch.device | None = None) -> None:
        self.dataset, self.device = dataset, device

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # one without a length has been refused

    def take(self, rows: Tensor) -> tuple[Tensor, ...]:
        batch = default_collate([self.dataset[i] for i in rows.tolist()])
        parts = batch if isinstance(batch, (tuple, list)) else (batch,)
        return tuple(part.detach().to(self.device) for part in parts)

    def to(self, device: torch.device | None) -> "Items":
        return Items(self.dataset, device)

    def fingerprint(self) -> str:
        ends = {str(i): part for i, part in enumerate(self.take(torch.tensor([0, len(self) - 1])))}
        digest = sha256({name: part.cpu() for name, part in ends.items()})
        return f"{type(self.dataset).__name__} of {len(self)}, the first and the last with SHA-256 {digest}"


def examples(name: str, data: Data) -> Examples:
    """The examples of an argument.

    Raises:
        TypeError: they are none of the things that `Data` names, or do not hold floating-point numbers.
        ValueError: x does not have the shape (N, D), is empty or, where it is in memory, not finite; or the parts of a
            tuple differ in length.
    """
    if isinstance(data, Dataset):
        if not hasattr(data, "__len__"):
            raise TypeError(
                f"{name} must have a length, {type(data).__name__} has none: each example comes once an epoch"
            )
        items = Items(data)
        _require_examples(f"{name}[0:1]", items.take(torch.tensor([0]))[0])
        return items
    columns = data if isinstance(data, tuple) else (data,)
    for i, column in enumerate(columns):
        own_name = name if len(columns) == 1 else f"{name}[{i}]"
        if not isinstance(column, (Tensor, np.ndarray)):
            remedy = "; give its dataset" if isinstance(column, DataLoader) else ""
            remedy = f"; give torch.stack({own_name})" if isinstance(column, list) else remedy
            remedy = f"; give {own_name}.to_numpy().astype('float32')" if hasattr(column, "to_numpy") else remedy
            raise TypeError(
                f"{own_name} must be a torch.Tensor, a NumPy array or a torch.utils.data.Dataset, "
                f"got {type(column).__name__}{remedy}. {see('own-data')}"
            )
        if i == 0:
            _require_examples(own_name, column)
        elif len(column.shape) == 0 or len(column) != len(columns[0]):
            raise ValueError(
                f"{own_name} must hold {len(columns[0])} examples, as {name}[0], got {tuple(column.shape)}"
            )
    return Columns(columns)


def in_turn(
    data: Examples, batch_size: int, share: Callable[[Tensor], Tensor] = lambda rows: rows
) -> Iterator[tuple[Tensor, ...]]:
    """All examples, a minibatch at a time; or of each minibatch a share of its rows."""
    for rows in torch.arange(len(data)).split(batch_size):
        yield data.take(share(rows))


def _require_examples(name: str, x: Tensor | Array) -> None:
    try:
        _require_dense_rows(name, x)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error}. {see('nan' if diverged(error) else 'own-data')}") from error


def _require_dense_rows(name: str, x: Tensor | Array) -> None:
    if x.ndim == 1 and looks_like_labels(torch.as_tensor(np.asarray(x)) if isinstance(x, np.ndarray) else x):
        raise TypeError(
            f"{name} must hold examples, one flat row each, and looks like labels, shape {tuple(x.shape)} from "
            f"{x.min():g} to {x.max():g}; x_val is for held-out examples, and labels go beside x: (x, labels)"
        )
    if isinstance(x, Tensor):
        require_rows(**{name: x})
    elif x.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(f"{name} must hold floating-point numbers, got {x.dtype}; convert it with .astype(np.float32)")
    elif x.ndim != 2 or x.size == 0:
        raise ValueError(f"{name} must have shape (N, D), one flat row an example, got {x.shape}")
    elif _is_memory(x):
        require_rows(**{name: torch.from_numpy(x)})
    # A file is not read as a whole before training: what is not finite is noticed in its minibatch.


def _is_memory(array: Array) -> bool:
    """Whether an array lies in memory, and PyTorch can share it."""
    return not isinstance(array, np.memmap) and array.flags.writeable and all(s >= 0 for s in array.strides)


def _sha256(column: Tensor | Array) -> str:
    if isinstance(column, Tensor):
        return sha256({"x": column.detach().cpu()})
    digest, n_rows = hashlib.sha256(), max(1, AT_A_TIME // max(1, column[:1].nbytes))
    for start in range(0, len(column), n_rows):
        digest.update(np.ascontiguousarray(column[start : start + n_rows]).data)
    return digest.hexdigest()
