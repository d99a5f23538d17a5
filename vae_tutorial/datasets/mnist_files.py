"""MNIST: looked for on this machine, then on the network, and known by the SHA-256 of its content."""

import gzip
import hashlib
import io
import os
import tempfile
import time
import uuid
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_tutorial._extra import of_the_chapters
from vae_tutorial._printing import printable
from vae_tutorial.datasets.dataset import Dataset
from vae_tutorial.datasets.download import fetch
from vae_tutorial.datasets.small import digits

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
WAIT, LONG_WAIT = 5.0, 30.0  # seconds for the mirrors' answers together: of load_images, and of whoever insists
LARGEST = 47_040_016  # bytes of the largest file, decompressed: of no file is more taken
SHA256 = {  # of the decompressed content
    "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_in_vain = False  # whether the last search of the network was; load_images then waits for no other


class DatasetError(RuntimeError):
    """A file of a dataset is missing, unreadable or not the right one. The message says which, why, and what to do."""


def mnist() -> Dataset:
    """The 60,000 + 10,000 handwritten digits of 28×28 pixels of MNIST (Y. LeCun, C. Cortes and C. J. C. Burges).

    The four files are looked for in the folder ``VAE_TUTORIAL_DATA``, or in the user's cache folder when that is not
    set. What is missing there is downloaded to it, about 11.5 MB in all, from the first mirror that serves the right
    content. A file of the user's own folder is never overwritten: a wrong one is an error. In the cache folder it
    is replaced by a fresh download. Any number of processes may do this at once.

    A printed line says so before the network is asked. The mirrors have 30 seconds to answer, look-up of their names
    included; a download may then pause or trickle for 10 seconds, and take 10 minutes a file.

    Returns:
        The `Dataset`, with D = 784 and pixels divided by 255.

    Raises:
        DatasetError: a file can't be had or stored, or a wrong one lies in the user's folder.

    Example:
        >>> mnist().x_train.shape  # doctest: +SKIP
        torch.Size([60000, 784])
    """
    return _mnist(LONG_WAIT)


def load_images() -> Dataset:
    """MNIST when it can be had, otherwise the digits; one printed line says which.

    Where MNIST is not on this machine, a line says so before the network is asked, and the mirrors have 5 seconds to
    answer; a download that has begun may take longer. If none succeeds, the digits are taken, and later calls in the
    same process don't ask again: `mnist` does. Nothing of this is kept on the disk, so another notebook's kernel asks
    anew.

    ``VAE_TUTORIAL_DATASET=digits`` or ``VAE_TUTORIAL_DATASET=mnist`` forces one of the two, the latter with the 30
    seconds of `mnist`.

    Returns:
        What `mnist` or `digits` returns.

    Raises:
        DatasetError: MNIST is forced and can't be had.
        ValueError: ``VAE_TUTORIAL_DATASET`` has another value.
    """
    choice = os.environ.get("VAE_TUTORIAL_DATASET", "")
    if choice not in ("", "digits", "mnist"):
        raise ValueError(f"VAE_TUTORIAL_DATASET must be digits or mnist, or not set, got {choice!r}")
    patience, why = LONG_WAIT if choice == "mnist" else 0 if _in_vain else WAIT, ""
    try:
        dataset = digits() if choice == "digits" else _mnist(patience)
    except DatasetError:
        if choice == "mnist":
            raise
        dataset, why = digits(), " MNIST can't be had: datasets.mnist() says why."
    assert dataset.image_shape is not None  # both are images
    n_train, n_test, (height, width) = len(dataset.x_train), len(dataset.x_test), dataset.image_shape
    what = f"{dataset.name}, {n_train:,} for training, {n_test:,} for testing, {height}×{width} pixels."
    print(printable(f"Images: {what}{why}"))
    return dataset


def _mnist(patience: float) -> Dataset:
    """MNIST, where the mirrors may take ``patience`` seconds to answer; with 0, the network is not asked."""
    user_folder = os.environ.get("VAE_TUTORIAL_DATA", "")
    try:
        folder = Path(user_folder).expanduser() if user_folder else _cache_folder()
    except RuntimeError as error:
        raise DatasetError(
            f"the folder VAE_TUTORIAL_DATA={user_folder}: {error}\n{_remedy('correct VAE_TUTORIAL_DATA')}"
        ) from error
    contents: dict[str, bytes] = {}
    missing: dict[str, list[str]] = {}
    for name in SHA256:
        try:
            with open(folder / name, "rb") as file:
                contents[name] = _verified(file.read(LARGEST + 1), SHA256[name])
        except FileNotFoundError:
            missing[name] = []
        except (OSError, ValueError) as error:
            missing[name] = [f"the file there: {error}"]
            if user_folder:
                raise _error(folder / name, missing[name]) from error
    if missing:
        first = next(iter(missing))
        _require_writable(folder / first, missing[first])
        if patience:
            print(f"MNIST is not on this machine: looking for it on the network, {patience:g} s at most.", flush=True)
        for name, reasons in missing.items():
            contents[name] = _downloaded(folder / name, reasons, patience)
    x_train, y_train, x_test, y_test = (_parse_idx(contents[name]) for name in SHA256)
    x_train, x_test = (pixels.flatten(1).float().div_(255) for pixels in (x_train, x_test))
    return Dataset("mnist", x_train, y_train.long(), x_test, y_test.long(), image_shape=(28, 28))


def _cache_folder() -> Path:
    """The folder of this user, on this system, for what can be downloaded again."""
    with of_the_chapters(), warnings.catch_warnings():
        from tqdm import TqdmWarning

        warnings.simplefilter("ignore", TqdmWarning)  # pooch imports tqdm.auto, which warns without ipywidgets
        import pooch
    return Path(pooch.os_cache("vae_tutorial"))


def _require_writable(path: Path, reasons: list[str]) -> None:
    """Make the folder of a file, try to write there, and remove what killed processes left half written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _error(path, [*reasons, f"nothing can be stored in the folder: {error}"]) from error
    for left in path.parent.glob(f"*-ubyte.gz.{'[0-9a-f]' * 32}.part"):
        with suppress(OSError):  # another process may be as quick
            if time.time() - left.stat().st_mtime > 3600:  # nobody writes, or downloads, for an hour
                left.unlink()


def _downloaded(path: Path, reasons: list[str], patience: float) -> bytes:
    """The verified content of a file from the first mirror that serves it; the file is then there."""
    global _in_vain
    for mirror in MIRRORS if patience else ():
        try:
            data = fetch(mirror + path.name, patience=patience / len(MIRRORS), limit=LARGEST)
            content = _verified(data, SHA256[path.name])
        except (OSError, ValueError) as error:  # what requests raises is an OSError too
            reasons.append(f"{mirror}: {error}")
        else:
            _in_vain = False
            _store(path, data)
            return content
    _in_vain = True
    raise _error(path, reasons)


def _store(path: Path, data: bytes) -> None:
    """Write a file under a name of its own, then rename it: nobody can see half of it."""
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        # Windows replaces no file that another process reads. Where that one has stored the right file, all is well.
        try:
            _verified(path.read_bytes(), SHA256[path.name])
        except (OSError, ValueError):
            raise _error(path, [f"it can't be stored: {error}"]) from error
    finally:
        with suppress(OSError):  # it is there no longer, as a rule
            partial.unlink()


def _verified(data: bytes, expected: str) -> bytes:
    """The decompressed content of ``data``; a ValueError unless it has the SHA-256 expected."""
    # A server that declares "Content-Encoding: gzip" makes requests unpack the file: the content itself is as good.
    packed = data.startswith(b"\x1f\x8b")
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(data)).read(LARGEST + 1) if packed else data
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"found {len(data)} bytes of damaged gzip data ({error})") from error
    form = "after decompression" if packed else "that are no gzip data"
    if len(content) > LARGEST:
        raise ValueError(f"found more than {LARGEST} bytes {form}")
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ValueError(f"found {len(content)} bytes {form}, SHA-256 {found}")
    return content


def _error(path: Path, reasons: list[str]) -> DatasetError:
    """The one error for anything wrong with a file."""
    return DatasetError(
        f"no valid MNIST file at {path}: expected gzip data whose content has SHA-256 {SHA256[path.name]}\n"
        + "".join(f"  {reason}\n" for reason in reasons)
        + _remedy("if there is a file, delete it; then try again with a network")
    )


def _remedy(first: str) -> str:
    return (
        f"What to do: {first}. Or set VAE_TUTORIAL_DATA to a folder that holds {', '.join(SHA256)}. "
        "Or use digits(), which needs no file."
    )


def _parse_idx(content: bytes) -> Tensor:
    """The unsigned bytes of an IDX file; its header holds the number of axes and their big-endian lengths."""
    n_axes = content[3]
    shape = np.frombuffer(content, dtype=">i4", count=n_axes, offset=4).tolist()
    return torch.tensor(np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * n_axes)).reshape(shape)
