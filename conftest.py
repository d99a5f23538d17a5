"""The examples of a module whose library is missing are left out, and that is said at the end."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("constriction") else ["vae_tutorial/coding.py"]


def pytest_terminal_summary(terminalreporter):
    if collect_ignore:
        terminalreporter.line(
            'No constriction: the examples of vae_tutorial.coding were NOT tested; pip install "vae_tutorial[coding]"',
            red=True,
        )
