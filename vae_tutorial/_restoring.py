"""What is changed for a while and put back whatever happens: an error, Ctrl-C, and Ctrl-C again meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import RLock
from weakref import WeakKeyDictionary

from torch import nn


@contextmanager
def restoring(restore: Callable[[], object], levels: int = 3) -> Iterator[None]:
    """At the end ``restore()`` is called, once for each level: an interrupt can undo one level, the next makes good.

    Args:
        restore: puts something back; calling it again changes nothing more.
        levels: one more than the interrupts that may come while things are put back.
    """
    try:
        if levels > 1:
            with restoring(restore, levels - 1):
                yield
        else:
            yield
    finally:
        restore()


@dataclass
class _Measured:
    """A model that is being measured: the mode that each of its modules had before, and by how many at once."""

    modes: list[tuple[nn.Module, bool]]
    users: set[object] = field(default_factory=set)


_lock = RLock()
_measured: WeakKeyDictionary[nn.Module, _Measured] = WeakKeyDictionary()


@contextmanager
def in_evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in evaluation mode; afterwards each of its modules is in its own mode again.

    Where several threads measure one model, it is the last of them that puts the modes back.
    """
    user = object()
    with restoring(lambda: _leave(model, user)):
        with _lock:
            if model not in _measured:
                _measured[model] = _Measured([(module, module.training) for module in model.modules()])
            _measured[model].users.add(user)
            model.eval()
        yield


def _leave(model: nn.Module, user: object) -> None:
    with _lock:
        measured = _measured.get(model)
        if measured is None or user not in measured.users:
            return
        if len(measured.users) == 1:
            for module, mode in measured.modes:
                module.training = mode
            del _measured[model]
        measured.users.discard(user)
