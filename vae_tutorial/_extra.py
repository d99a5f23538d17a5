"""The package's checks need PyTorch and NumPy only; what else the chapters use comes with the package's extras."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


@contextmanager
def of_the_extra(extra: str) -> Iterator[None]:
    """Around an import of a library of that extra: where it is missing, the error says how to install it.

    Raises:
        ModuleNotFoundError: the library is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        remedy = f'it comes with the extra "{extra}": pip install "vae_tutorial[{extra}]"'
        raise ModuleNotFoundError(f"{error.name} is not installed; {remedy}", name=error.name) from None


def of_the_chapters() -> AbstractContextManager[None]:
    """The extra ``chapters``, which most libraries come with."""
    return of_the_extra("chapters")
