"""The package's checks need PyTorch and NumPy only; what else the chapters use comes with the extra ``chapters``."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def of_the_chapters() -> Iterator[None]:
    """Around an import of a library of that extra: where it is missing, the error says how to install it.

    Raises:
        ModuleNotFoundError: the library is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        remedy = 'it comes with the extra "chapters": pip install "vae_tutorial[chapters]"'
        raise ModuleNotFoundError(f"{error.name} is not installed; {remedy}", name=error.name) from None
