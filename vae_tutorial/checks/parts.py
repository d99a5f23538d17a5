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

from vae_tutorial.checks.compare import short
from vae_tutorial.checks.given_noise import GivenNoise

FORWARD = "let it take x alone and return (recon, mu, log_var), or put a small module that does so around it"


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
        self.originals = dict(model.named_parameters())  # a loss may use them, too
        if getattr(loss, "__self__", None) is model and hasattr(loss, "__func__"):  # a method: that of the copy
            loss = loss.__func__.__get__(self.model)
        self.loss, self.options, self.data = loss, dict(options), x.detach().to(torch.float64, copy=True)
        called = loss.forward if isinstance(loss, nn.Module) else loss
        self.parameters = [p for p in inspect.signature(called).parameters.values() if p.name not in self.options]
        self.place: int | None = None  # of the loss, where several numbers come
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
        try:
            values, again = self.values(self.x), self.values(self.x)
        except Exception as error:  # a learner's model may fail in any way
            why = "Does x have its shape?"
            if "dtype" in str(error):
                why = "It is examined in float64: leave out .float() and dtype=torch.float32."
            raise Missing(f"model(x) raised {short(error)}. {why} If that is right, {FORWARD}") from error
        batches = {
            i: value.reshape(len(self.x), -1)
            for i, value in enumerate(values)
            if isinstance(value, Tensor) and value.is_floating_point() and value.ndim > 1 and len(value) == len(self.x)
        }
        flat = self.x.flatten(1)
        batches = {i: t for i, t in batches.items() if not (t.shape == flat.shape and torch.equal(t, flat))}
        drawn = [i for i in batches if not torch.equal(values[i], again[i])]
        fed = [one.flatten(1) for one in self.inputs if one.ndim > 1]  # z may have as many numbers as x

        def unlikely(i: int) -> tuple[bool, bool]:
            this = again[i].flatten(1)
            return i not in drawn, any(one.shape == this.shape and torch.equal(one, this) for one in fed)

        images = sorted((i for i, t in batches.items() if t.shape == flat.shape), key=unlikely)
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
        other = self._candidates(self.values(x, eps + 1.0, training=training))
        values = self.values(x, eps, training=training)
        if len(values) <= max(self.places.values()):
            raise Missing(f"forward gives less {'in training' if training else 'after model.eval()'}: {FORWARD}")
        z = None  # the first that forward gives, or a layer is given, of the size of z and depending on the noise
        for one, moved in zip(self._candidates(values), other, strict=False):
            if one.numel() == eps.numel() and one.shape == moved.shape and not torch.equal(one, moved):
                z = one.reshape(eps.shape)
                break
        recon, mu, spread = (values[self.places[name]] for name in ("recon", "mu", "spread"))
        return Encoded(recon, mu, spread, z, values)

    def _candidates(self, values: list[Any]) -> list[Tensor]:
        own = self.places.values()
        return [*(v for i, v in enumerate(values) if i not in own and isinstance(v, Tensor)), *self.inputs]

    def seeded(self) -> Tensor:
        """The reconstruction after PyTorch's seed 0, the same again unless the noise comes from elsewhere."""
        torch.default_generator.manual_seed(0)
        found: Tensor = self.values(self.x)[self.places["recon"]]
        return found

    def noise(self, n: int, seed: int) -> Tensor:
        return torch.randn(n, self.n_latents, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def loss_of(self, e: Encoded, x: Tensor) -> Tensor:
        """The loss, one number: of several the first that depends on recon and on mu."""
        found = self._all_of_loss(e, x)
        if len(found) > 1 and self.place is None:
            moved = [e._replace(recon=0.5 * e.recon + 0.2), e._replace(mu=e.mu + 1.0, spread=e.spread.abs() + 0.5)]
            others = [self._all_of_loss(one, x) for one in moved]
            both = [i for i, one in enumerate(found) if all(not torch.equal(one, other[i]) for other in others)]
            if not both:
                raise Missing(
                    "of what the loss gave, nothing depends on both recon and mu: give the sum of its terms, as by "
                    "lambda recon, x, mu, log_var: sum(terms(recon, x, mu, log_var))"
                )
            self.place = both[0]
        return found[self.place or 0].sum()

    def _all_of_loss(self, e: Encoded, x: Tensor) -> list[Tensor]:
        given = {"recon": e.recon, "x": x.clone(), "mu": e.mu, "spread": e.spread, "z": e.mu if e.z is None else e.z}
        plain = [p for p in self.parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        needed = [p.name for p in plain if p.default is p.empty]
        if any(p.kind is p.VAR_POSITIONAL for p in self.parameters) and not needed:  # loss(*model(x), …)
            found = self.loss(*self._returned(e, given), **self.options)
        else:
            found = self.loss(*(given[role] for role in roles(needed)), **self.options)
        tensors = [value for value in _flat(found) if isinstance(value, Tensor)]
        if not tensors:
            raise Missing(
                f"the loss gave {type(found).__name__}, where a tensor is expected: return it without .item()"
            )
        return tensors

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
    if len(names) not in (4, 5) or (len(names) == 5 and not any(re.search(ROLES["z"], n.lower()) for n in names)):
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
