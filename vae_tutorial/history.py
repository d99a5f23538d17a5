"""What a training run measured."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any

from vae_tutorial.checkpoints.files import CheckpointError, write_whole


@dataclass
class History:
    """What `fit` measured: one entry per finished epoch, every term in nats per example.

    The training terms are averages over the epoch, taken while the model moved; the validation terms are taken at its
    end, with the same noise every time, so that two epochs differ by the model alone. Neither knows of the weight
    ``beta`` that training may give the KL term: `elbo` and `val_elbo` are the bound itself.

    Attributes:
        log_likelihood, kl: the two terms of the ELBO on the training set.
        val_log_likelihood, val_kl: the same on the validation set; empty without one.
        seconds: wall time since the start, pauses between an interrupted run and its resumption left out.
        interrupted: whether training was stopped by the keyboard.
    """

    log_likelihood: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    val_log_likelihood: list[float] = field(default_factory=list)
    val_kl: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    interrupted: bool = False

    @property
    def elbo(self) -> list[float]:
        """The ELBO on the training set."""
        return [ll - kl for ll, kl in zip(self.log_likelihood, self.kl, strict=True)]

    @property
    def val_elbo(self) -> list[float]:
        """The ELBO on the validation set."""
        return [ll - kl for ll, kl in zip(self.val_log_likelihood, self.val_kl, strict=True)]

    def append(self, log_likelihood: float, kl: float, *validation: float, seconds: float) -> None:
        """Add an epoch; ``validation`` are both terms on the validation set, or nothing."""
        columns = dict(
            log_likelihood=[*self.log_likelihood, log_likelihood],
            kl=[*self.kl, kl],
            val_log_likelihood=[*self.val_log_likelihood, *validation[:1]],
            val_kl=[*self.val_kl, *validation[1:]],
            seconds=[*self.seconds, seconds],
        )
        vars(self).update(columns)  # in one step, so that no interrupt leaves columns of unequal length

    def save(self, path: str | Path) -> None:
        """Write the history to a JSON file, at once or not at all; one that exists is replaced.

        Raises:
            CheckpointError: the file cannot be written; one that existed is as it was.

        Example:
            >>> import tempfile
            >>> history = History(log_likelihood=[-5.0], kl=[1.5], seconds=[0.1])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     history.save(folder + "/history.json")
            ...     History.load(folder + "/history.json") == history
            True
        """
        write_whole(path, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read a history that `save` wrote, number for number.

        Raises:
            CheckpointError: there is no such file, or it does not hold a history.
        """
        try:
            return cls.from_columns(json.loads(Path(path).read_bytes()))
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} does not hold a history: {error}") from error

    @classmethod
    def from_columns(cls, columns: Any) -> History:
        """The history of these columns by name, as ``dataclasses.asdict`` gives them.

        Raises:
            ValueError: a column is missing, unknown, not a list of numbers, or of another length than the rest.
        """
        names = [column.name for column in fields(cls)]
        if not isinstance(columns, dict) or set(columns) != set(names):
            raise ValueError(f"expected the columns {', '.join(names)}")
        *numbers, interrupted = (columns[name] for name in names)
        if not isinstance(interrupted, bool) or any(
            not isinstance(column, list) or not all(_is_finite_number(value) for value in column) for column in numbers
        ):
            raise ValueError("expected a list of finite numbers in each column, and interrupted true or false")
        log_likelihood, kl, val_log_likelihood, val_kl, seconds = map(len, numbers)
        if not log_likelihood == kl == seconds or val_log_likelihood != val_kl or val_kl not in (0, kl):
            raise ValueError(f"expected columns of one length, got {list(map(len, numbers))}")
        return cls(**columns)


def _is_finite_number(value: object) -> bool:
    # Python's integers have no end; one that no float can hold is not finite here.
    return (type(value) is float and isfinite(value)) or (type(value) is int and abs(value) <= sys.float_info.max)
