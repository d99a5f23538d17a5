"""Files of tensors that are whole or not there: what checkpoints, histories and finished models are written with.

The format is safetensors: a JSON header and plain numbers, nothing that could be executed. It does not notice a changed
bit; the SHA-256 that stands in the header beside a description does.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_tutorial._extra import of_the_chapters

with of_the_chapters():
    import safetensors.torch
    from safetensors import SafetensorError, safe_open


class CheckpointError(RuntimeError):
    """A file of a model or a run is missing, damaged or not the right one. The message says which and what to do."""

    __module__ = "vae_tutorial.checkpoints"  # where readers find it


def write(path: str | Path, tensors: dict[str, Tensor], content: dict[str, Any]) -> None:
    """Write tensors, and what JSON can hold, to a file that `read` gives back; the checksum covers both.

    Args:
        path: the file; one that exists is replaced, at once or not at all.
        tensors: by name, on any device.
        content: anything else.

    Raises:
        CheckpointError: the file cannot be written; one that existed is as it was.
    """
    # A copy each: safetensors takes neither tensors that share memory nor such that lie scattered.
    tensors = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
    text = json.dumps(content, ensure_ascii=False)
    metadata = {"content": text, "sha256": sha256(tensors, text)}
    write_whole(path, safetensors.torch.save(tensors, metadata))


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write` wrote, or a `CheckpointError`: a file that lost or changed a bit is not read.

    Args:
        path: the file.

    Returns:
        The tensors, on the CPU, and the content.

    Raises:
        CheckpointError: there is no such file, or it is damaged, cut short or foreign.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copies: what safetensors gives may be the file itself, mapped into memory, and change with it.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file: {error}. It was cut short, damaged, or never one: "
            "use a copy, or delete it and train again"
        ) from error
    if not {"content", "sha256"} <= metadata.keys():
        raise CheckpointError(f"{path} was not written by this package: its header has no description and no checksum")
    if (found := sha256(tensors, metadata["content"])) != metadata["sha256"]:
        raise CheckpointError(
            f"{path} is damaged: its SHA-256 should be {metadata['sha256'][:12]}… and is {found[:12]}…: "
            "use a copy, or delete it and train again"
        )
    return tensors, json.loads(metadata["content"])


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file so that at any moment, also after a loss of power, either all of it is there or what was before.

    Args:
        path: the file; its folder must exist. A file of that name with ``.part`` at its end is left by a process
            that was killed while it wrote, and overwritten by the next.
        data: what shall be in it.

    Raises:
        CheckpointError: the file cannot be written; one that existed is as it was.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # the data are on the disk before the name points to them ...
        os.replace(part, path)
        if hasattr(os, "O_DIRECTORY"):  # ... and then the name is, too
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path} cannot be written: {error}. What it held before is as it was; make room, or choose another folder"
        ) from error


def sha256(tensors: dict[str, Tensor], text: str = "") -> str:
    """The SHA-256 of a text and of tensors: names, dtypes, shapes and every bit, in the order of the names.

    Args:
        tensors: by name, on the CPU.
        text: anything else that shall count.

    Returns:
        Sixty-four hexadecimal digits.

    Example:
        >>> sha256({"a": torch.ones(2)}) == sha256({"a": torch.ones(2, 1)})
        False
    """
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
