"""Make vae_tutorial/data/digits.npz from the copy of the UCI digits that scikit-learn ships.

Needed only to make the file again. Run it where scikit-learn is installed, which the project itself does not need:

    python -m venv scratch && scratch/bin/pip install scikit-learn
    scratch/bin/python tools/make_digits.py

The same arrays give the same bytes: NumPy writes no time stamp into the archive.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).resolve().parent.parent / "vae_tutorial" / "data" / "digits.npz"


def main() -> None:
    """Store the images as uint8 (1797, 64), 0 to 16, and the labels as uint8 (1797,), in the order of the source."""
    source = load_digits()
    images, labels = source.data.astype(np.uint8), source.target.astype(np.uint8)
    if not (np.array_equal(images, source.data) and np.array_equal(labels, source.target)):
        raise SystemExit("the source no longer holds whole numbers from 0 to 255: nothing written")
    TARGET.parent.mkdir(exist_ok=True)
    np.savez_compressed(TARGET, images=images, labels=labels)
    print(f"{TARGET.name}: {len(images)} images, {TARGET.stat().st_size} bytes, labels {np.bincount(labels)}")


if __name__ == "__main__":
    main()
