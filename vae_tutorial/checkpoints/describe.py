"""How a file says which model its weights belong to: the function that builds it, and with what."""

import json
import math
import reprlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vae_tutorial import categorical, likelihoods, posteriors, priors
from vae_tutorial._restoring import in_evaluation_mode
from vae_tutorial._troubleshooting import see
from vae_tutorial.architectures import conv1d_vae, conv_vae, resnet_vae
from vae_tutorial.checkpoints.files import CheckpointError
from vae_tutorial.conditional import ConditionalVAE, conditional_vae, semi_supervised_vae
from vae_tutorial.diffusion import diffusion_vae
from vae_tutorial.hierarchical import hierarchical_vae
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.vq import Nearest, vq_vae

# All that a description may name. Whatever else its words spell, nothing of it is looked up or called.
FACTORIES: dict[str, Callable[..., VAE]] = {
    "mlp_vae": mlp_vae,
    "conv_vae": conv_vae,
    "conv1d_vae": conv1d_vae,
    "resnet_vae": resnet_vae,
    "vq_vae": vq_vae,
    "hierarchical_vae": hierarchical_vae,
    "conditional_vae": conditional_vae,
    "semi_supervised_vae": semi_supervised_vae,
    "diffusion_vae": diffusion_vae,
}
PARTS: dict[str, dict[str, Any]] = {
    "likelihood": {
        "bernoulli": likelihoods.bernoulli,
        "continuous_bernoulli": likelihoods.continuous_bernoulli,
        "discretized_logistic": likelihoods.discretized_logistic,
        "categorical": likelihoods.categorical,
        "normal": likelihoods.normal,
        "normal_diag": likelihoods.normal_diag,
        "normal_diag_above": likelihoods.normal_diag_above,
        "sigma_normal": likelihoods.sigma_normal,
        "columns": likelihoods.columns,
        "autoregressive_normal": likelihoods.autoregressive_normal,
    },
    "prior": {
        prior.__name__: prior
        for prior in (priors.StandardNormal, priors.Gaussian, priors.Mixture, priors.VampPrior, priors.FlowPrior)
        + (categorical.UniformCodes, categorical.AutoregressiveCodes, priors.DiffusionPrior, priors.BitDiffusion)
    },
    "posterior": {
        posterior.__name__: posterior
        for posterior in (posteriors.Diagonal, posteriors.PlanarFlow, posteriors.CouplingFlow)
        + (posteriors.AutoregressiveFlow, categorical.OneHot, Nearest)
    },
}
# Those that need no argument and say of each number by itself what becomes of it.
ACTIVATIONS: dict[str, type[nn.Module]] = {
    activation.__name__: activation
    for activation in (nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh)
    + (nn.Identity, nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU)
    + (nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink)
}


NO_SIZES = ("seed", "interval", "temperature", "log_snr", "n_steps")  # arguments of a part that take no memory


def describe(model: VAE) -> dict[str, Any]:
    """The function that built a model, and its arguments, as values that JSON can hold.

    The model is built again from them, with its weights, and compared with what it is now: its modules, one by one, and
    what they make of a few points, bit by bit.

    Raises:
        CheckpointError: no function of the package built it; or it was changed since, so that another would come back.
    """
    description: dict[str, Any] | None = getattr(model, "description", None)
    remedy = f"of your own, keep model.state_dict() by safetensors.torch.save_file. {see('save')}"
    if description is None:
        raise CheckpointError(
            f"only a model that mlp_vae or another function of the package built says how to build it again; {remedy}"
        )
    for part in PARTS:
        if description["arguments"].get(part, part) is None:
            raise CheckpointError(f"the {part} {getattr(model, part)} does not say how to build it again; {remedy}")
    weights = model.state_dict()
    try:
        description = json.loads(json.dumps(description))
        again = _empty(description, weights)
        different = _different_module(model, again) or _different_output(model, _filled(again, weights))
    except (CheckpointError, TypeError, ValueError) as error:
        raise CheckpointError(f"the model does not say how to build it again: {error}; {remedy}") from error
    if different:
        raise CheckpointError(f"the model is not what {description['factory']} built: {different} if loaded; {remedy}")
    return description


def build(description: Any, weights: dict[str, Tensor]) -> VAE:
    """The model of a description, with these weights, in evaluation mode.

    Raises:
        CheckpointError: this version of the package cannot build it, or the weights are those of another model.
    """
    return _filled(_empty(description, weights), weights)


def _empty(description: Any, weights: dict[str, Tensor]) -> VAE:
    """The model of a description, its networks without memory: a wrong description costs nothing."""
    try:
        factory, arguments = FACTORIES[description["factory"]], dict(description["arguments"])
        _require_small(arguments, weights)
        for part in PARTS.keys() & arguments.keys():
            named = PARTS[part][arguments[part]["name"]]
            arguments[part] = named(**arguments[part]["arguments"]) if callable(named) else named
        if "activation" in arguments:
            arguments["activation"] = ACTIVATIONS[arguments["activation"]]
        with torch.device("meta"):
            return factory(**arguments)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise CheckpointError(
            f"a model that this version of the package cannot build is described: {reprlib.repr(description)} ({error})"
        ) from error


def _filled(model: VAE, weights: dict[str, Tensor]) -> VAE:
    try:
        model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"the weights do not fit the model that is described: {error}") from error
    return model.eval()


def _require_small(arguments: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """What is described has not more layers, nor a prior or posterior more numbers, than there are weights."""
    n_weights = sum(value.numel() for value in weights.values())
    n_layers = [len(value) for value in arguments.values() if isinstance(value, list)]
    for part in ("prior", "posterior"):
        given = arguments.get(part, {"arguments": {}})["arguments"]
        sizes = [size for name, size in given.items() if name not in NO_SIZES]
        if not all(type(size) is int for size in sizes) or math.prod(sizes) > n_weights:
            raise ValueError(f"a {part} larger than all {n_weights} weights")
        n_layers.append(given.get("n_layers", 0))
    if any(n > len(weights) for n in n_layers):
        raise ValueError(f"more layers than the {len(weights)} tensors of weights")


def _different_module(model: VAE, again: VAE) -> str:
    """Which module of a model is another in the one that would be loaded; empty where none is."""
    is_, would_be = (dict(m.named_modules(remove_duplicate=False)) for m in (model, again))
    for name in dict.fromkeys([*is_, *would_be]):
        now, then = is_.get(name), would_be.get(name)
        if type(now) is not type(then):
            return f"its {name or 'class'} is {_class(now)}, and would be {_class(then)}"
        for attribute, value in vars(then).items():
            if not attribute.startswith("_") and attribute not in ("training", "description"):
                if isinstance(came := getattr(now, attribute, None), Tensor) or came != value:
                    where = f"{name}.{attribute}".strip(".")
                    return f"its {where} is {came!r}, and would be {value!r}"
    if lost := dict(model.named_buffers()).keys() - dict(again.named_buffers()).keys():
        return f"its buffer {min(lost)} is there, and would be gone"
    if shared := dict(again.named_parameters()).keys() - dict(model.named_parameters()).keys():
        return f"its {min(shared)} is one with another, and would be by itself"
    return ""


def _different_output(model: VAE, again: VAE) -> str:
    same = _answers(model, again) == _answers(again, again)
    return "" if same else "its networks give one output, and would give another"


def _class(module: nn.Module | None) -> str:
    return "nothing" if module is None else f"{type(module).__module__}.{type(module).__qualname__}"


def _answers(model: VAE, like: VAE) -> list[bytes | str]:
    """What the networks of a model say of a few points, in evaluation mode, to the last bit."""
    generator = torch.Generator().manual_seed(0)
    answers: list[bytes | str] = []
    if isinstance(model, ConditionalVAE) and isinstance(like, ConditionalVAE):
        c = torch.randn(3, like.condition_dim, generator=generator).to(like.a_weight())
        model, like = model.given(c), like.given(c)
    try:
        with in_evaluation_mode(model), torch.no_grad():
            z = torch.randn(3, like.latent_dim, generator=generator).to(like.a_weight())
            n_dims = like.decode(z).shape[-1] // like.likelihood.n_params
            x = torch.randn(3, n_dims, generator=generator).to(next(like.encoder.parameters(), like.a_weight()))
            for output in (model.decode(z), *model.encode(x)):
                answers.append(output.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    except (RuntimeError, ValueError) as error:  # such as a dtype for which a layer has no code
        answers.append(str(error))
    return answers
