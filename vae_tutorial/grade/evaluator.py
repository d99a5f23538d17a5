"""What the child does with a function: it calls it, and takes gradients. Loaded by its path, without the package."""

import contextlib
import pickle
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MOST_KEPT = 1000


class Evaluator:
    """Answers calls of one function, and asks for gradients of what it answered lately."""

    def __init__(self, fn: Any, wire: Any, noise: Any) -> None:
        self.fn, self.wire, self.noise = fn, wire, noise
        self.kept: dict[int, tuple[list[Tensor], list[Tensor]]] = {}

    def call(self, message: dict[str, Any], tensors: list[Tensor]) -> tuple[dict[str, Any], list[Tensor]]:
        torch.set_default_dtype(getattr(torch, message["dtype"]))
        for seed in (torch.default_generator.manual_seed, random.seed, lambda n: np.random.seed(n % 2**32)):
            seed(message["seed"])
        given: list[Any] = []
        leaves: list[Tensor] = []
        for packed in message["arguments"]:
            if packed["kind"] == "model":
                given.append(model(pickle.loads(tensors[packed["at"]].numpy().tobytes())))
                leaves += list(given[-1].parameters())
                continue
            value = self.wire.unpack(packed, tensors)
            if isinstance(value, Tensor):
                value = value.clone().requires_grad_(packed["grad"])
                leaves += [value] * packed["grad"]
            given.append(value)
        before = [state(value) for value in given]
        noise = self.noise(tensors[message["noise"]]) if message["noise"] is not None else None
        with torch.set_grad_enabled(message["grad"]), noise or contextlib.nullcontext():
            value = self.fn(*given)
        out: list[Tensor] = []
        packed = self.wire.pack(value, out)
        n = len(out)
        self.kept[message["id"]] = [t for t in out if t.requires_grad], leaves
        self.kept.pop(message["id"] - MOST_KEPT, None)
        changed = []
        for i, (argument, earlier) in enumerate(zip(given, before, strict=True)):
            if not unchanged(state(argument), earlier):
                changed.append([i, len(out) if isinstance(argument, Tensor) else None, earlier[1]])
                out += [argument.detach()] if isinstance(argument, Tensor) else []
        used = noise is not None and noise.used
        return {"value": packed, "n": n, "changed": changed, "used": used}, out

    def slopes(self, message: dict[str, Any], tensors: list[Tensor]) -> tuple[dict[str, Any], list[Tensor]]:
        out, leaves = self.kept[message["id"]]
        # A weighted sum: with weights apart, torch.autograd.grad loads half a second of other modules.
        with torch.enable_grad():
            total = sum(((weights * t).sum() for weights, t in zip(tensors, out, strict=True)), torch.zeros(()))
        return {}, list(torch.autograd.grad(total, leaves, retain_graph=True, materialize_grads=True))


def state(value: Any) -> tuple[list[Tensor], Any]:
    if isinstance(value, nn.Module):
        return [t.detach().clone() for t in value.state_dict().values()], value.training
    return ([value.detach().clone()], value.requires_grad) if isinstance(value, Tensor) else ([], None)


def unchanged(now: tuple[list[Tensor], Any], earlier: tuple[list[Tensor], Any]) -> bool:
    same = all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(now[0], earlier[0], strict=True))
    return same and now[1] == earlier[1]


class Model(nn.Module):
    """A VAE: the methods that its users call, and its networks."""

    encoder: nn.Module
    decoder: nn.Module
    latent_dim: int
    noise_var: float | None

    def encode(self, x: Tensor) -> Any:
        return self.encoder(x).chunk(2, -1)

    def decode(self, z: Tensor) -> Tensor:
        found: Tensor = self.decoder(z)
        return found

    def log_prior(self, z: Tensor) -> Tensor:
        found: Tensor = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
        return found

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        params = self.decode(z)
        pixels: Any = torch.distributions.Bernoulli(logits=params, validate_args=False)
        if self.noise_var is not None:
            pixels = torch.distributions.Normal(params, self.noise_var**0.5)
        found: Tensor = pixels.log_prob(x).sum(-1)
        return found


def model(parts: dict[str, Any]) -> nn.Module:
    """What a check hands over: a VAE, or networks alone."""
    made = Model() if "noise_var" in parts else nn.Module()
    for name, network in parts.pop("networks").items():
        made.add_module(name, network)
    made.__dict__.update(parts)
    return made
