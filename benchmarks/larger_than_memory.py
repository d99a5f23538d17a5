"""A process that trains on a file larger than the memory it may take: ``python larger_than_memory.py FILE MIB FORM``.

Limited is RLIMIT_DATA, private memory that can be written: the heap, tensors, copies. Pages of a file that is mapped to
be read are not counted, and the system takes them back whenever it needs them. What Python, PyTorch and a first
training have taken before is allowed; what comes on top is MIB.
"""

import os
import resource
import sys

import numpy as np

from vae_tutorial.likelihoods import normal
from vae_tutorial.models import mlp_vae
from vae_tutorial.training import fit


def taken() -> int:
    """Bytes that count towards the limit now."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmData"))


def train(x, checkpoint):
    how = dict(epochs=1, seed=0, batch_size=200, device="cpu", progress=False)
    model = mlp_vae(400, 8, 2, normal(0.0), seed=0)
    return fit(model, x, x[:300], checkpoint=checkpoint, **how)


def main(path: str, mib: float, form: str) -> None:
    train(np.full((2000, 400), 0.5, dtype=np.float32), path + ".first")
    data = np.load(path, mmap_mode="r")
    limit = taken() + int(mib * 2**20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    x = np.array(data) if form == "copy" else data  # a copy must fail
    history = train(x, path + ".run")
    print(f"{os.path.getsize(path) / 2**20:.1f} MiB of data, {mib:g} MiB of memory, ELBO {history.elbo[-1]:.3f}")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
