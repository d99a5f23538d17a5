"""How long and how fast archives of the binarized MNIST test set are: ``python benchmarks/bits_back.py``; two minutes.

Writes ``results/bits_back.json``: a row for each model, with the sizes that general compressors reach on the same
images. Images are binarized as ``benchmarks/full_length.py`` does. One thread, and its processor time; needs MNIST and
the extra ``coding``.
"""

import bz2
import gzip
import io
import lzma
import math
import time

import numpy as np
import torch
from PIL import Image
from recording import ROOT, provenance, store

from vae_tutorial.bounds import elbo
from vae_tutorial.checkpoints import load
from vae_tutorial.coding import compress, decompress
from vae_tutorial.datasets import binarize, mnist

FOLDER = ROOT / "benchmarks" / "results"
RESULTS = FOLDER / "bits_back.json"
MODELS = {"mnist_resnet": "mnist_resnet", "VAE-1-full": FOLDER / "VAE-1-full.safetensors"}
N_DRAWS = 8


def images():
    return binarize(mnist().x_test, torch.Generator().manual_seed(3))


def as_picture(rows, **how):
    file = io.BytesIO()
    Image.fromarray(rows.astype(bool)).save(file, **how)
    return file.tell()


def general(x, shape):
    """Bytes of general compressors: of all pixels as one string, of bits or of bytes, of one sheet, of a file each."""
    rows = x.numpy().astype(np.uint8)
    packed = np.packbits(rows).tobytes()
    strings = packed, rows.tobytes()
    across = next(n for n in range(math.isqrt(len(rows)), 0, -1) if len(rows) % n == 0)
    tiles = rows.reshape(-1, across, *shape)
    sheet = tiles.swapaxes(1, 2).reshape(len(tiles) * shape[0], -1)
    png, webp = dict(format="png", optimize=True), dict(format="webp", lossless=True, quality=100, method=6)
    return {
        "packed bits": len(packed),
        "gzip": min(len(gzip.compress(data, 9, mtime=0)) for data in strings),
        "bzip2": min(len(bz2.compress(data, 9)) for data in strings),
        "xz": min(len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)) for data in strings),
        "PNG, one sheet": as_picture(sheet, **png),
        "WebP, one sheet": as_picture(sheet, **webp),
        "PNG, a file each": sum(as_picture(row.reshape(shape), **png) for row in rows),
        "WebP, a file each": sum(as_picture(row.reshape(shape), **webp) for row in rows),
    }


def measured(model, x):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        terms = torch.stack([elbo(model, x, analytic_kl=False, generator=generator).double() for _ in range(N_DRAWS)])
    start = time.process_time()
    archive = compress(model, x)
    middle = time.process_time()
    same = torch.equal(decompress(model, archive), x)
    end = time.process_time()
    if not same:
        raise SystemExit("the archive does not give the images back")
    return {
        "n_images": len(x),
        "bytes": len(archive),
        "elbo_bits": -terms.mean(0).sum().item() / math.log(2),
        "stderr_of_one_draw_bits": terms.var(0).sum().sqrt().item() / math.log(2),
        "seconds": {"compress": middle - start, "decompress": end - middle},
    }


def main():
    torch.set_num_threads(1)
    x, where = images(), provenance()  # before the first row is written
    sizes = general(x, (28, 28))
    for name, path in MODELS.items():
        row = measured(load(path), x)
        print(name, row)
        store(RESULTS, name, row | {"general": sizes} | where, MODELS)


if __name__ == "__main__":
    main()
