"""What `fit` asks of the processes that train a model, as one process that is alone answers it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_tutorial.models import VAE
from vae_tutorial.training.examples import Examples
from vae_tutorial.training.step import Objective


class Alone:
    """One process, which waits for nobody."""

    rank, size = 0, 1

    def place(self, device: torch.device | str | None) -> torch.device | str | None:
        """Where this rank trains."""
        return device

    def require_alike(
        self, model: VAE, data: dict[str, Examples | None], device: torch.device, objective: Objective, **settings: Any
    ) -> None:
        """All ranks were called with the same."""

    def require_equal(self, **mine: Any) -> None:
        """These values are the same on all ranks."""

    def require_same(self, n_steps: int, checkpoint: str | Path | None) -> None:
        """All ranks have read the same checkpoint, or none."""

    def share(self, rows: Tensor) -> Tensor:
        """This rank's rows of a minibatch."""
        return rows

    def trained(self, objective: Objective, model: VAE) -> Objective:
        """The objective of this rank's rows, whose gradient is that of the whole minibatch."""
        return objective

    def measured(self, objective: Objective) -> Objective:
        """The objective of this rank's rows, without a gradient."""
        return objective

    def total(self, sums: list[float]) -> list[float]:
        """Sums over this rank's rows, added up over all ranks."""
        return sums

    @contextmanager
    def together(self) -> Iterator[None]:
        """What one rank raises inside, all raise."""
        yield

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, Ctrl-C stops all ranks at the same step."""
        yield
