"""Whether this process trains alone, or is one of several that a launcher has started, and how they find each other."""

import atexit
import os
from typing import Any

import torch
import torch.distributed as dist

from vae_tutorial.training.alone import Alone
from vae_tutorial.training.distributed import Ranks

LAUNCHERS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells its processes


def join() -> Alone:
    """The ranks of this run: those of the group that the caller has opened, or that torchrun has started, or one.

    Raises:
        ValueError: the environment tells of several processes, but not how they find each other.
    """
    if not dist.is_available():
        return Alone()
    if not dist.is_initialized():
        if int(os.environ.get("WORLD_SIZE", 1)) < 2:
            return Alone()
        if missing := [name for name in LAUNCHERS if name not in os.environ]:
            raise ValueError(
                f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(missing)} is not in the environment: start "
                "the processes by torchrun --nproc-per-node …, or unset WORLD_SIZE"
            )
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", **_meeting_point())
        atexit.register(lambda: dist.is_initialized() and dist.destroy_process_group())
    return Ranks() if dist.get_world_size() > 1 else Alone()


def _meeting_point() -> dict[str, Any]:
    """Where processes find each other: PyTorch knows, but after a restart may find the addresses of those who died.

    torchrun keeps one store for all attempts. On one machine each has a number, known to all of its processes.
    """
    told = os.environ
    if told.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or told.get("LOCAL_WORLD_SIZE") != told["WORLD_SIZE"]:
        return {}
    size = int(told["WORLD_SIZE"])
    store = dist.TCPStore(told["MASTER_ADDR"], int(told["MASTER_PORT"]), size, is_master=False)  # type: ignore[attr-defined]
    attempt = f"attempt {told['TORCHELASTIC_RESTART_COUNT']}"
    prefixed = dist.PrefixStore(attempt, store)  # type: ignore[attr-defined]
    return {"store": prefixed, "rank": int(told["RANK"]), "world_size": size}
