"""Several processes that train one model: whose rows are whose, one noise for all, and how they stop together.

``torchrun`` starts P processes, the ranks 0 to P - 1, each with the whole script. Of every minibatch of M examples a
rank takes its share of m. PyTorch's ``DistributedDataParallel`` makes their gradients one, the mean over the ranks.
"""

import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from vae_tutorial._random import standard_noise
from vae_tutorial._restoring import restoring
from vae_tutorial.bounds import ElboTerms
from vae_tutorial.checkpoints.files import CheckpointError, sha256
from vae_tutorial.models import VAE
from vae_tutorial.training.alone import Alone
from vae_tutorial.training.device import best_device, takes_noise
from vae_tutorial.training.examples import Examples
from vae_tutorial.training.identity import architecture, identity
from vae_tutorial.training.step import Objective, finite_sums

N_COMPARED = 64  # rows that must be the same on all ranks


class Ranks(Alone):
    """The processes of one run, as one of them sees them."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.n_rows, self.mine = 0, slice(0, 0)  # of the minibatch in hand
        self.interrupted = self.agreed = False

    def place(self, device: torch.device | str | None) -> torch.device | str | None:
        chosen = best_device() if device is None else torch.device(device)
        if chosen.type == "mps":
            if device is not None:
                raise ValueError('several processes cannot share "mps": start one, or give device="cpu"')
            return "cpu"
        if chosen.type != "cuda" or chosen.index is not None:
            return chosen
        local, n_gpus = int(os.environ.get("LOCAL_RANK", self.rank)), torch.cuda.device_count()
        if local >= n_gpus:
            raise ValueError(
                f"device: process {local + 1} of this machine has no GPU, there are {n_gpus}: start "
                f'torchrun --nproc-per-node {n_gpus}, or give device="cpu"'
            )
        return torch.device("cuda", local)

    def require_alike(
        self, model: VAE, data: dict[str, Examples | None], device: torch.device, objective: Objective, **settings: Any
    ) -> None:
        with self.together():
            _require_no_batch_statistics(model, device)
            self._require_enough(batch_size=settings["batch_size"], x_train=len(data["x_train"] or ()))
            mine = {name: _sample(examples) for name, examples in data.items()} | settings | architecture(model)
            mine["objective"] = identity(objective, model)
        self.require_equal(**mine)

    def require_equal(self, **mine: Any) -> None:
        everybody = self._gathered(mine)
        for rank, theirs in enumerate(everybody):
            for name in [*everybody[0], *theirs]:
                was, now = everybody[0].get(name, "not there"), theirs.get(name, "not there")
                if was != now:
                    raise ValueError(f"{name} differs between ranks, {was} on 0 and {now} on {rank}: {_remedy(name)}")

    def _require_enough(self, **counts: int) -> None:
        for name, n in counts.items():
            if n < self.size:
                raise ValueError(
                    f"{name} must give each of the {self.size} ranks an example, got {n}: start fewer processes by "
                    "torchrun --nproc-per-node, or make it larger"
                )

    def require_same(self, n_steps: int, checkpoint: str | Path | None) -> None:
        if len(set(steps := self._gathered(n_steps))) > 1:
            raise CheckpointError(
                f"{checkpoint} is not the same file on all ranks, which have read {steps} steps: put it on a disk that "
                "all machines share"
            )

    def share(self, rows: Tensor) -> Tensor:
        self.n_rows = len(rows)
        self.mine = slice(self.n_rows * self.rank // self.size, self.n_rows * (self.rank + 1) // self.size)
        # No network takes 0 rows: a rank that has none computes the first, and counts it 0 times.
        return rows[self._computed()]

    def _computed(self) -> slice:
        return self.mine if self.mine.start < self.mine.stop else slice(0, 1)

    def trained(self, objective: Objective, model: VAE) -> Objective:
        # Made anew for each epoch: the first step of one adds in another order than the rest, and so an epoch has the
        # same bits whether the process has just been restarted or not.
        engine = DistributedDataParallel(_Called(model), static_graph=True)
        mine = self.measured(objective, engine)

        def trained(model: VAE, /, *args: Any, generator: torch.Generator) -> ElboTerms:
            terms = mine(model, *args, generator=generator)
            self._agree()  # before the gradients are exchanged, where who has left would be waited for
            weight = self.size * (self.mine.stop - self.mine.start) / self.n_rows
            if weight != 1:  # the mean over ranks of means over m rows shall be the mean over all M
                # Views, since one term may be computed from the other, whose gradient then is more than its own.
                terms = ElboTerms(*(values.view_as(values) for values in terms))
                for values in terms:
                    if values.requires_grad:
                        values.register_hook(lambda gradient: weight * gradient)
            return terms

        return trained

    def measured(self, objective: Objective, engine: Callable[..., ElboTerms] | None = None) -> Objective:
        with_noise = takes_noise(objective)

        def measured(model: VAE, /, *args: Any, generator: torch.Generator) -> ElboTerms:
            *x, n_samples = args
            # The noise of all M examples, on every rank: the generators stay in step, and the run does not depend on P.
            eps = standard_noise((n_samples, self.n_rows, model.latent_dim), like=x[0], generator=generator)
            noise: dict[str, Any] = {"eps": eps[:, self._computed()]} if with_noise else {}
            noise["generator"] = self._own(generator)  # of an objective that draws for itself
            terms = engine(objective, *args, **noise) if engine else objective(model, *args, **noise)
            finite_sums(terms, n_examples=len(x[0]))
            return terms if self.mine.start < self.mine.stop else ElboTerms(*(0 * values for values in terms))

        return measured

    def _own(self, generator: torch.Generator) -> torch.Generator:
        """A generator that no other rank and no other step has; the shared one stays where it is."""
        own = torch.Generator()
        own.set_state(generator.get_state())
        return own.manual_seed(int(torch.randint(2**62, (), generator=own)) + self.rank)

    def total(self, sums: list[float]) -> list[float]:
        return [math.fsum(column) for column in zip(*self._gathered(sums), strict=True)]

    @contextmanager
    def together(self) -> Iterator[None]:
        self.agreed = False
        try:
            yield
        except Exception as error:
            if not self.agreed:
                self._agree(error)
            raise
        except KeyboardInterrupt:  # of a callback that ends the run
            if not self.agreed:
                self.interrupted = True
                self._agree()
            raise
        if not self.agreed:
            self._agree()

    def _agree(self, error: Exception | None = None) -> None:
        """Where a rank has failed or was interrupted, no rank goes on."""
        self.agreed = True
        flags = torch.tensor([error is not None, self.interrupted], dtype=torch.int32)
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        failed, interrupted = flags.tolist()
        if failed:
            told = self._gathered(None if error is None else (isinstance(error, ValueError), str(error)))
            if error is None:
                rank = next(rank for rank, what in enumerate(told) if what)
                refused, message = told[rank]
                raise (ValueError if refused else RuntimeError)(f"rank {rank}: {message}")
        elif interrupted:
            self.interrupted = False
            raise KeyboardInterrupt

    def _gathered(self, value: Any) -> list[Any]:
        values = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    @contextmanager
    def listening(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():  # no other is told
            yield
            return
        before = signal.getsignal(signal.SIGINT)
        with restoring(lambda: signal.signal(signal.SIGINT, before)):
            signal.signal(signal.SIGINT, self._note)
            yield
        if self.interrupted:  # too late to tell the others
            raise KeyboardInterrupt

    def _note(self, number: int, frame: Any) -> None:
        if self.interrupted:  # a second time: at once, and alone
            raise KeyboardInterrupt
        self.interrupted = True


class _Called(nn.Module):
    """A model that is called, as ``DistributedDataParallel`` wants it: with the objective, which calls its methods."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, objective: Objective, *args: Any, **kwargs: Any) -> ElboTerms:
        return objective(self.model, *args, **kwargs)


def _require_no_batch_statistics(model: nn.Module, device: torch.device) -> None:
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and not (isinstance(module, nn.SyncBatchNorm) and device.type == "cuda"):
            raise ValueError(
                f"{name} is a {type(module).__name__}, which would take the statistics of a rank's share for those of "
                "the minibatch: build it as GroupNorm or LayerNorm; on GPUs nn.SyncBatchNorm.convert_sync_batchnorm "
                "does, too"
            )


def _sample(data: Examples | None) -> str | None:
    """What tells data from other data at little cost: how many there are, and some of them."""
    if data is None:
        return None

    def digest() -> str:
        parts = data.take(torch.linspace(0, len(data) - 1, N_COMPARED, dtype=torch.float64).long())
        return sha256({str(i): part.cpu() for i, part in enumerate(parts)})

    # A Dataset may draw anew each time it is asked.
    return f"{len(data)} examples" + (f" with SHA-256 {first[:12]}" if (first := digest()) == digest() else "")


def _remedy(name: str) -> str:
    if name in ("x_train", "x_val"):
        return "load all of the data on every rank, in one order, and let fit share it out"
    if name == "seed":
        return "give all ranks one, their noise differs all the same"
    return "call fit with the same on every rank"
