"""One contestant in a process of its own: an epoch of training, timed; the last line printed is JSON.

    python benchmarks/contestant.py flax mlp images.npy

A process of its own, because thread pools and allocators are settled once for a whole process. What is timed is one
epoch in whole batches, after a warm-up of a few batches that compiles, opens thread pools and allocates.
"""

import argparse
import importlib
import json
import resource
import sys
import time

import numpy as np

WARM_UP = 4  # batches
N_IMAGES = {"nll": 40}  # an estimate of log p(x) is timed on a few images; an epoch goes through all
EVALUATED = 10_000  # examples whose loss tells whether every contestant learned the same thing


def measure(contestant: str, model: str, images: np.ndarray) -> dict[str, float]:
    """Train for one epoch. Wall and CPU seconds, the peak memory in MB, and −ELBO afterwards in nats per example.

    A peer's module has a function for each model it knows: ``mlp(images)`` takes binary images, uint8 of shape
    (N, 784), and returns two functions: one trains for an epoch, the other gives −ELBO per example of such images.
    The floor trains nothing, and its loss is None.
    """
    peer = importlib.import_module(f"peers.{contestant}")
    build, batch_size = getattr(peer, model), peer.BATCH_SIZE[model]
    images = images[: N_IMAGES.get(model)]
    images = images[: len(images) // batch_size * batch_size]
    train, _ = build(images[: WARM_UP * batch_size])
    train()

    train, loss = build(images)
    wall, cpu = time.perf_counter(), time.process_time()
    train()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return dict(wall=wall, cpu=cpu, peak_mb=peak, loss=loss(images[:EVALUATED]))


def save_images(path: str, n: int) -> None:
    """Store the first ``n`` training images of MNIST, drawn black and white once, for every contestant."""
    import torch

    from vae_tutorial.datasets import binarize, mnist

    images = binarize(mnist().x_train[:n], torch.Generator().manual_seed(0))
    np.save(path, images.to(torch.uint8).numpy())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("contestant")
    parser.add_argument("model")
    parser.add_argument("images", help="a .npy file of binary images, uint8 of shape (N, 784)")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.contestant, arguments.model, np.load(arguments.images))))
