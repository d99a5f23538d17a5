"""How a file says which model its weights belong to: the function that builds it, and with what."""

from collections.abc import Callable
from typing import Any

import torch

from vae_tutorial import likelihoods, posteriors, priors
from vae_tutorial.architectures import conv1d_vae, conv_vae, resnet_vae
from vae_tutorial.checkpoints.files import CheckpointError
from vae_tutorial.models import VAE, mlp_vae

FACTORIES: dict[str, Callable[..., VAE]] = {
    "mlp_vae": mlp_vae,
    "conv_vae": conv_vae,
    "conv1d_vae": conv1d_vae,
    "resnet_vae": resnet_vae,
}
VALUES = {"likelihood": likelihoods, "prior": priors, "posterior": posteriors}


def describe(model: VAE) -> dict[str, Any]:
    """The function that built a model, and its arguments, as values that JSON can hold.

    Raises:
        CheckpointError: no function of the package built it, or its likelihood, prior or posterior is none of its own.
    """
    description: dict[str, Any] | None = getattr(model, "description", None)
    if description is None:
        raise CheckpointError(
            "only a model that mlp_vae or another function of the package built says how to build it again; "
            "of your own, keep model.state_dict() by safetensors.torch.save_file"
        )
    for part in VALUES:
        if not _is_of_the_package(part, getattr(model, part), description["arguments"]):
            raise CheckpointError(f"the {part} {getattr(model, part)} does not say how to build it again")
    return description


def build(description: dict[str, Any]) -> VAE:
    """The model of a description, with new weights.

    Raises:
        CheckpointError: this version of the package cannot build it.
    """
    try:
        factory, arguments = FACTORIES[description["factory"]], dict(description["arguments"])
        for part in VALUES.keys() & arguments.keys():
            arguments[part] = _value(part, arguments[part])
        if "activation" in arguments:
            arguments["activation"] = getattr(torch.nn.modules.activation, arguments["activation"])
        return factory(**arguments)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"a model that this version of the package cannot build is described: {description}"
        ) from error


def _value(part: str, written: dict[str, Any]) -> Any:
    """A likelihood, prior or posterior by its name, called with its arguments where it is not a value already."""
    named = getattr(VALUES[part], written["name"])
    return named(**written["arguments"]) if isinstance(named, type) or not _is_value(named) else named


def _is_value(named: Any) -> bool:
    return isinstance(named, (likelihoods.Likelihood, priors.Prior, posteriors.Posterior))


def _is_of_the_package(part: str, value: Any, arguments: dict[str, Any]) -> bool:
    """Whether a part of a model is what its description builds: a likelihood by its functions, others by class."""
    if part != "likelihood":
        usual = priors.StandardNormal if part == "prior" else posteriors.Diagonal
        written = arguments.get(part, {"name": usual.__name__})
        return written is not None and type(value) is getattr(VALUES[part], written["name"], None)
    return arguments[part] is not None and _value(part, arguments[part]) == value
