"""A library that is missing is named with what installs it; every other error stays what it is."""

import pytest

from vae_tutorial._extra import of_the_chapters, of_the_extra


def test_a_missing_library_is_named_with_its_remedy():
    with pytest.raises(ModuleNotFoundError) as caught, of_the_chapters():
        import no_such_library  # noqa: F401
    remedy = 'it comes with the extra "chapters": pip install "vae_tutorial[chapters]"'
    assert str(caught.value) == f"no_such_library is not installed; {remedy}"
    assert caught.value.name == "no_such_library" and caught.value.__suppress_context__


def test_the_remedy_names_the_extra():
    with (
        pytest.raises(ModuleNotFoundError, match=r'the extra "jax": pip install "vae_tutorial\[jax\]"$'),
        of_the_extra("jax"),
    ):
        import no_such_library  # noqa: F401


def test_other_errors_pass():
    with pytest.raises(ImportError, match="no_such_name") as caught, of_the_chapters():
        from math import no_such_name  # noqa: F401
    assert not isinstance(caught.value, ModuleNotFoundError)


def test_a_library_that_is_there_is_imported():
    with of_the_chapters():
        import math
    assert math.pi > 3
