"""Finished models in files: weights, and how to build the model they belong to.

`save` and `load` use the safetensors format, a JSON header and plain numbers, nothing that could be executed. The
header also holds the model's description and a SHA-256 of everything, so that a damaged file is never taken for a
model. The checkpoints of `vae_tutorial.training.fit` are files of the same kind.
"""

import os
from pathlib import Path

from vae_tutorial._validation import require_finite
from vae_tutorial.checkpoints.describe import build, describe
from vae_tutorial.checkpoints.files import CheckpointError, read, write
from vae_tutorial.models import VAE

__all__ = ["save", "load", "CheckpointError"]

SHIPPED = Path(__file__).parents[1] / "data"


def save(model: VAE, path: str | Path) -> None:
    """Write a model, weights and architecture, to a file that `load` reads.

    Args:
        model: what `mlp_vae` or another function of the package built; its ``description`` goes into the file. It may
            have been trained, moved, converted, copied or pickled since.
        path: the file, by custom with the suffix ``.safetensors``. One that exists is replaced, at once or not at all;
            where it is a link, what it leads to.

    Raises:
        ValueError: a weight is not finite.
        CheckpointError: `load` would not give this model back, since no function of the package built it, or since its
            layers, likelihood, prior or posterior are others now; or the file cannot be written.

    Example:
        >>> import tempfile
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, bernoulli, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(model, folder + "/model.safetensors")
        ...     again = load(folder + "/model.safetensors")
        >>> all((a == b).all() for a, b in zip(model.parameters(), again.parameters()))
        True
    """
    weights = model.state_dict()
    require_finite(**{name: value for name, value in weights.items() if value.is_floating_point()})
    write(path, weights, {"kind": "model", "description": describe(model)})


def load(path: str | Path) -> VAE:
    """Read a model that `save` wrote.

    Args:
        path: the file; or the name of a model that comes with the package.

    Returns:
        The `VAE`, on the CPU, in evaluation mode, with the weights and their dtypes bit for bit.

    Raises:
        CheckpointError: there is no such file; or it cannot be read, is damaged, cut short, foreign, or not a model.

    Example:
        >>> load("no such file")
        Traceback (most recent call last):
            ...
        vae_tutorial.checkpoints.CheckpointError: no such file: there is no such file, and no model of that name
    """
    try:
        os.stat(path)
    except FileNotFoundError:
        shipped = {file.stem: file for file in SHIPPED.glob("*.safetensors")}
        if str(path) not in shipped:
            raise CheckpointError(f"{path}: there is no such file, and no model of that name") from None
        path = shipped[str(path)]
    except (OSError, ValueError):
        pass  # read says why
    weights, content = read(path)
    if content["kind"] == "run":
        raise CheckpointError(f"{path} holds an unfinished run: fit(…, checkpoint=…, resume=True) goes on with it")
    if content["kind"] != "model":
        raise CheckpointError(f"{path} holds no model, but {content['kind']!r}")
    try:
        return build(content.get("description"), weights)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
