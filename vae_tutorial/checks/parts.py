"""The parts of a VAE class that somebody else wrote: what its forward gives, and what its loss makes of that.

Shapes: B examples, L numbers of a latent, laid out in a row; x and its reconstruction have the shape of the model.
"""

import copy
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial.checks.given_noise import GivenNoise

FORWARD = "let it return (recon, mu, log_var), or put a small module that does so around it"


class Missing(Exception):
    """A part that was not found; the message says what to do."""


class Encoded(NamedTuple):
    """What one call of forward gave; z where some layer was given it."""

    recon: Tensor  # (B, …)
    mu: Tensor  # (B, …)
    spread: Tensor  # (B, …)
    z: Tensor | None  # (B, L)
    values: list[Any]  # all that forward returned, what was nested in a row


class Noise(GivenNoise):
    """Inside, a Gaussian draw of as many numbers as ``eps`` gives these, whatever its shape."""

    def fits(self, drawn: Tensor) -> bool:
        return drawn.numel() == self.eps.numel()


class Parts:
    """A copy of the model in float64, its loss, and the places of recon, mu and spread among what forward gives."""

    def __init__(self, model: nn.Module, loss: Callable[..., Any], x: Tensor, options: Mapping[str, Any]) -> None:
        try:
            self.model = copy.deepcopy(model).cpu().double()
        except Exception as error:
            raise Missing(f"the model can't be copied, {error}: examine it before it is trained") from error
        for parameter in self.model.parameters():
            parameter.requires_grad_()
        self.loss, self.options, self.data = loss, dict(options), x.detach().double()
        self.x = self.data[:8]
        self.inputs: list[Tensor] = []
        self.used_noise = False
        for module in self.model.modules():
            module.register_forward_pre_hook(self._remember)
        self.places, self.n_latents = self._find()

    def _remember(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.inputs += [value for value in inputs if isinstance(value, Tensor)]

    def values(self, x: Tensor, eps: Tensor | None = None, *, training: bool = True) -> list[Any]:
        """What forward gives, what is nested in a row; with this noise where it is given."""
        self.model.train(training)
        for module in self.model.modules():  # these mix the rows, or add noise of their own
            if re.search("Norm|Dropout", type(module).__name__):
                module.training = False
        self.inputs.clear()
        if eps is None:
            return [*_flat(self.model(x.clone()))]
        with Noise(eps) as noise:
            values = [*_flat(self.model(x.clone()))]
        self.used_noise = noise.used
        return values

    def _find(self) -> tuple[dict[str, int], int]:
        values, again = self.values(self.x), self.values(self.x)
        batches = {
            i: value.reshape(len(self.x), -1)
            for i, value in enumerate(values)
            if isinstance(value, Tensor) and value.is_floating_point() and value.ndim > 1 and len(value) == len(self.x)
        }
        flat = self.x.flatten(1)
        batches = {i: t for i, t in batches.items() if not (t.shape == flat.shape and torch.equal(t, flat))}
        drawn = [i for i in batches if not torch.equal(values[i], again[i])]
        images = sorted((i for i, t in batches.items() if t.shape == flat.shape), key=lambda i: i not in drawn)
        if not images:
            shown = ", ".join(str(tuple(values[i].shape)) for i in batches) or "no tensor of a row for each example"
            raise Missing(
                f"forward gave {shown}, and no reconstruction of {flat.shape[1]} numbers an example: {FORWARD}"
            )
        pair = [i for i in batches if i != images[0] and i not in drawn][:2]
        if len(pair) < 2 or batches[pair[0]].shape != batches[pair[1]].shape:
            raise Missing(
                f"beside a reconstruction forward gave no two tensors of one shape, mu and log_var: {FORWARD}"
            )
        return {"recon": images[0], "mu": pair[0], "spread": pair[1]}, batches[pair[0]].shape[1]

    def encoded(self, x: Tensor, eps: Tensor, *, training: bool = True) -> Encoded:
        """One call of forward with this noise, shape (B, L)."""
        self.values(x, eps + 1.0, training=training)
        other = [*self.inputs]
        values = self.values(x, eps, training=training)
        z = None  # the first thing that a layer is given which has the size of z and depends on the noise
        for one, moved in zip(self.inputs, other, strict=False):
            if one.numel() == eps.numel() and one.shape == moved.shape and not torch.equal(one, moved):
                z = one.reshape(eps.shape)
                break
        recon, mu, spread = (values[self.places[name]] for name in ("recon", "mu", "spread"))
        return Encoded(recon, mu, spread, z, values)

    def noise(self, n: int, seed: int) -> Tensor:
        return torch.randn(n, self.n_latents, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def loss_of(self, e: Encoded, x: Tensor) -> Tensor:
        """The loss, one number: its first, or the one under the key "loss", where there are several."""
        given = {"recon": e.recon, "x": x, "mu": e.mu, "spread": e.spread, "z": e.mu if e.z is None else e.z}
        parameters = [p for p in inspect.signature(self.loss).parameters.values() if p.name not in self.options]
        plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        needed = [p.name for p in plain if p.default is p.empty]
        if any(p.kind is p.VAR_POSITIONAL for p in parameters) and not needed:  # loss(*model(x), …)
            found = self.loss(*self._returned(e, given), **self.options)
        else:
            found = self.loss(*(given[role] for role in roles(needed)), **self.options)
        if isinstance(found, Mapping):
            found = next((value for key, value in found.items() if "loss" in str(key).lower()), None)
        elif isinstance(found, (tuple, list)):
            found = found[0]
        if not isinstance(found, Tensor):
            raise Missing(
                f"the loss gave {type(found).__name__}, where a tensor is expected: return it without .item()"
            )
        return found.sum()

    def _returned(self, e: Encoded, given: Mapping[str, Tensor]) -> list[Any]:
        """What forward returned, with these in the places of its own; x, too, where forward gave it back."""
        own = {i: given[name] for name, i in self.places.items()}
        for i, value in enumerate(e.values):
            if i not in own and isinstance(value, Tensor) and value.shape[1:] == self.x.shape[1:]:
                own[i] = given["x"]
        return [own.get(i, value) for i, value in enumerate(e.values)]


ROLES = {
    "recon": r"rec|hat|pred|out|logit|decod|gen",
    "x": r"^(x|inputs?|data|targets?|images?|imgs?|originals?|y|batch|x_true)$",
    "mu": r"mu|mean|loc",
    "spread": r"var|sig|std|scale|sd|spread",
    "z": r"^z|latent|sample",
}


def roles(names: list[str]) -> list[str]:
    """Which argument of a loss is which: by their names, and by their places where the names do not tell."""
    if len(names) not in (4, 5):
        raise Missing(
            f"the loss must be given {', '.join(names) or 'nothing'}: write it as one of four arguments, "
            "lambda recon, x, mu, log_var: …, and name others in the call, as in examine(model, loss, x, M_N=1.0)"
        )
    usual = ["recon", "x", "mu", "spread", "z"][: len(names)]
    found = [next((role for role, words in ROLES.items() if re.search(words, name.lower())), "") for name in names]
    return found if sorted(found) == sorted(usual) else usual


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, (Mapping, tuple, list)):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _flat(one)
    else:
        yield value
