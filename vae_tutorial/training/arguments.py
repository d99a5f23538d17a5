"""What `fit` and `evaluate` ask of their arguments, before anything is trained or measured."""

import inspect

import torch

from vae_tutorial._troubleshooting import see
from vae_tutorial._validation import require_number
from vae_tutorial.models import VAE
from vae_tutorial.schedules import Schedule
from vae_tutorial.training.examples import Examples
from vae_tutorial.training.hints import looks_like_labels
from vae_tutorial.training.step import Objective


def require_trainable(model: VAE, *, bfloat16: bool) -> None:
    """There are weights, and something can be done to them."""
    weights = list(model.parameters())
    if not any(weight.requires_grad for weight in weights):
        came = "all have requires_grad=False: model.requires_grad_()" if weights else "its networks have none"
        raise ValueError(f"model must have parameters to train, and {came}")
    if any(weight.is_inference() for weight in weights):
        raise ValueError(
            "model was made inside torch.inference_mode(), and its weights cannot be trained: make it outside"
        )
    if bfloat16 and any(weight.dtype == torch.float64 for weight in weights):
        raise ValueError("bfloat16 does nothing for a model in float64: make it model.float(), or leave bfloat16 out")


def require_objective(name: str, data: Examples, objective: Objective, *, n_samples: int) -> None:
    """The objective is a function, and takes as many parts as an example has."""
    if not callable(objective):
        raise TypeError(f"objective must be a function, such as vae_tutorial.bounds.elbo_terms, got {objective!r}")
    parts = data.take(torch.tensor([0]))
    try:
        inspect.signature(objective).bind("model", *parts, n_samples, generator=None)
    except TypeError as error:
        called = ", ".join(["model", "x", *(f"{name}[{i}]" for i in range(1, len(parts))), "n_samples", "generator=…"])
        raise TypeError(
            f"{name} has {len(parts)} parts, and objective({called}) does not take them: {error}. "
            "For labels that are not needed, give x alone"
        ) from error
    except ValueError:  # an objective that does not tell what it takes
        pass


def require_alike(train: Examples, val: Examples) -> None:
    """Both sets have the same parts."""
    (x, *more), (x_val, *more_val) = (data.take(torch.tensor([0])) for data in (train, val))
    if len(more_val) != len(more):
        raise TypeError(f"x_val must have as many parts as x_train, {1 + len(more)}, got {1 + len(more_val)}")
    if x_val.shape[1] != x.shape[1]:
        (values, *_) = val.take(torch.arange(min(len(val), 100)))
        labels = f"; it looks like labels. {see('own-data')}" if looks_like_labels(values) else ""
        came = (len(val), x_val.shape[1])
        raise ValueError(f"x_val must have the {x.shape[1]} columns of x_train, got {came}{labels}")


def checked_schedule(**argument: float | Schedule) -> Schedule:
    """The argument as a function of the step whose every value is checked; a number becomes a constant one."""
    ((name, given),) = argument.items()
    if not callable(given):
        number = require_number(**{name: given})
        if number < 0 or (name == "lr" and number == 0):
            raise ValueError(f"{name} must be {'positive' if name == 'lr' else 'at least 0'}, got {given!r}")
        return lambda step: number

    def checked(step: int) -> float:
        value = require_number(**{f"{name}({step})": given(step)})
        if value < 0:
            raise ValueError(f"{name}({step}) must be at least 0, got {value!r}")
        return value

    return checked
