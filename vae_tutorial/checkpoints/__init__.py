"""Finished models in files: weights, and how to build the model they belong to.

`save` and `load` use the safetensors format, a JSON header and plain numbers, nothing that could be executed. The
header also holds the model's description and a SHA-256 of everything, so that a damaged file is never taken for a
model. The checkpoints of `vae_tutorial.training.fit` are files of the same kind.
"""

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
        model: what `mlp_vae` or another function of the package built; its ``description`` goes into the file.
        path: the file, by custom with the suffix ``.safetensors``. One that exists is replaced, at once or not at all.

    Raises:
        ValueError: a weight is not finite.
        CheckpointError: the model cannot be described, or the file cannot be written.

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
        CheckpointError: there is no such file; or it is damaged, cut short, foreign, or not a model.

    Example:
        >>> load("no such file")
        Traceback (most recent call last):
            ...
        vae_tutorial.checkpoints.CheckpointError: no such file: there is no such file, and no model of that name
    """
    if not Path(path).exists():
        if not (SHIPPED / f"{path}.safetensors").is_file():
            raise CheckpointError(f"{path}: there is no such file, and no model of that name")
        path = SHIPPED / f"{path}.safetensors"
    weights, content = read(path)
    if content["kind"] != "model":
        raise CheckpointError(f"{path} holds an unfinished run: fit(…, checkpoint=…, resume=True) goes on with it")
    try:
        model = build(content["description"])
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    try:
        model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: its weights do not fit the model it describes: {error}") from error
    return model.eval()
