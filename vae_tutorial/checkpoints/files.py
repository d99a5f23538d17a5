"""Files of tensors that are whole or not there: what checkpoints, histories and finished models are written with.

The format is safetensors: a JSON header and plain numbers, nothing that could be executed. It does not notice a changed
bit; the SHA-256 that stands in the header beside a description does.
"""

import errno
import glob
import hashlib
import json
import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_tutorial._extra import of_the_chapters

with of_the_chapters():
    import safetensors.torch
    from safetensors import SafetensorError


class CheckpointError(RuntimeError):
    """A file of a model or a run is missing, damaged or not the right one. The message says which and what to do."""

    __module__ = "vae_tutorial.checkpoints"  # where readers find it


def write(path: str | Path, tensors: dict[str, Tensor], content: dict[str, Any]) -> None:
    """Write tensors, and what JSON can hold, to a file that `read` gives back; the checksum covers both.

    Args:
        path: the file; one that exists is replaced, at once or not at all.
        tensors: by name, on any device.
        content: anything else; its ``"kind"`` says what it is.

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
        CheckpointError: there is no such file, or it cannot be read, is damaged, cut short or foreign.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError("it is not a file, but a folder or a device; name a file")
        # Opened once: safetensors opens a path twice, and another process may rename a new file to it in between.
        with open(path, "rb") as file:
            data = file.read()
        # Copies, since PyTorch's own memory is aligned as its fastest code wants it.
        tensors = {name: value.clone() for name, value in safetensors.torch.load(data).items()}
        header = data[8 : 8 + int.from_bytes(data[:8], "little")]
        metadata = json.loads(header).get("__metadata__") or {}
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file: {error}. It was cut short, damaged, or never one: "
            "use a copy, or delete it and train again"
        ) from error
    if not {"content", "sha256"} <= metadata.keys():
        raise CheckpointError(f"{path} was not written by this package: its header has no description and no checksum")
    found = sha256(tensors, metadata["content"])
    # The blanks at the header's end are all that it does not cover.
    if found != metadata["sha256"] or not header.rstrip(b" ").endswith(b"}"):
        raise CheckpointError(
            f"{path} is damaged: its SHA-256 should be {metadata['sha256'][:12]}… and is {found[:12]}…: "
            "use a copy, or delete it and train again"
        )
    try:
        content = json.loads(metadata["content"])
        content["kind"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} was not written by this package: it does not say what it holds") from error
    return tensors, content


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file so that at any moment, also after a loss of power, either all of it is there or what was before.

    Any number of processes may do so at once: each writes a file of its own beside it, with a random name that ends in
    ``.part``, and renames it. What killed processes left of these is removed after an hour.

    Args:
        path: the file; its folder must exist. Where it is a link, the file that it leads to is written.
        data: what shall be in it.

    Raises:
        CheckpointError: the file cannot be written; one that existed is as it was.
    """
    part = None
    try:
        target = Path(os.path.realpath(path))
        if target.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        beginning = target.name[:40]  # the name of a part may not be too long where that of the file is not
        part = target.with_name(f"{beginning}.{secrets.token_hex(16)}.part")
        with open(part, "xb") as file:  # never one that exists, nor what a link of that name leads to
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # the data are on the disk before the name points to them ...
        os.replace(part, target)
    except (OSError, ValueError) as error:
        held = "What it held before is as it was" if os.path.lexists(path) else "Nothing is there"
        why = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{path} cannot be written: {why}. {held}; make room, or choose another folder"
        ) from error
    finally:
        if part is not None:
            with suppress(OSError):  # it has another name now, as a rule
                part.unlink()
    with suppress(OSError):  # some systems open no folder, or sync none: the file is there, and whole
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # ... and then the name is, too
        finally:
            os.close(folder)
    for left in target.parent.glob(f"{glob.escape(beginning)}.{'[0-9a-f]' * 32}.part"):
        with suppress(OSError):  # another process may be as quick
            if time.time() - left.lstat().st_mtime > 3600:  # nobody writes for an hour
                left.unlink()


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
