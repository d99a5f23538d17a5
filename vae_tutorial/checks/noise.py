"""What an estimate of the ELBO must do with its noise: average over draws, each with its own, to the exact bound."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor, nn
from torch.distributions import Distribution

from vae_tutorial.checks.answers import RELATIVE, TOLERANCE, Function, as_numbers, relative_gap
from vae_tutorial.checks.claims import told_apart
from vae_tutorial.checks.clues import Clue
from vae_tutorial.checks.exact import fixed_layer, sigma_points, values
from vae_tutorial.checks.further import Failure
from vae_tutorial.checks.naming import wrong_shape
from vae_tutorial.likelihoods import bernoulli, normal
from vae_tutorial.models import VAE
from vae_tutorial.reference import kl_quadrature


@dataclass(frozen=True)
class OwnNoise:
    """With any noise, the value of an example is the mean of what each of its draws gives alone, and depends on it."""

    model: VAE
    x: Tensor
    eps: Tensor
    place: str = "With random noise"

    def __call__(self, fn: Function, clue: Clue) -> Failure | None:
        def called(x: Tensor, eps: Tensor) -> Tensor:
            return as_numbers(fn(self.model, x.clone(), eps.clone())).detach().double()

        n_samples, n_examples, _ = self.eps.shape
        singles = torch.empty(n_samples, n_examples, dtype=torch.float64)
        for k in range(n_samples):
            for i in range(n_examples):
                alone = called(self.x[i : i + 1], self.eps[k : k + 1, i : i + 1])
                if alone.shape != (1,):
                    said = f"For one example and one draw it {wrong_shape(alone, singles[0, :1])}"
                    return Failure(math.nan, RELATIVE, said)
                singles[k, i] = alone
        together = called(self.x, self.eps)
        if together.shape != (n_examples,):
            said = f"For {n_samples} draws of {n_examples} examples it {wrong_shape(together, singles[0])}"
            return Failure(math.nan, RELATIVE, said)
        if _distance(called(self.x, -0.5 - self.eps), together) <= TOLERANCE:
            said = "It does not use the noise it is given: with other noise it returns the same numbers."
            return Failure(math.nan, RELATIVE, said)
        off = _distance(together, singles.mean(0))
        if off > TOLERANCE:
            return Failure(off, RELATIVE, self._mistake(together, called))
        first = called(self.x, self.eps[:1])
        if first.shape != (n_examples,) or _distance(first, singles[0]) > TOLERANCE:
            said = "Given one draw of several examples it goes wrong: an axis of length 1 is dropped, as by squeeze()."
            return Failure(math.nan, RELATIVE, said)
        return None

    def _mistake(self, together: Tensor, called: Function) -> str:
        shared = self.eps[:, :1].expand_as(self.eps)
        if _distance(together, called(self.x, shared)) <= TOLERANCE:
            return "It shares one noise among the whole batch: each example needs draws of its own."
        return (
            "The value of an example is not the mean of what its draws give one by one, each with its own noise: "
            "examples or draws are mixed, left out or changed."
        )


@dataclass(frozen=True)
class Nodes:
    """Where the decoder is not linear, the mean over the noise is the bound, too: both by quadrature.

    Its pixels are binary or, where their variance is given, Gaussian.
    """

    noise_var: float | None = None
    place: str = "With a decoder that is not linear"

    def __call__(self, fn: Function, clue: Clue) -> Failure | None:
        model, x = nonlinear(self.noise_var), torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
        nodes, weights = (torch.from_numpy(part) for part in hermegauss(80))
        each = as_numbers(fn(model, x.repeat(len(nodes), 1), nodes[None, :, None].clone())).detach().double()
        if each.shape != nodes.shape:
            return Failure(math.nan, RELATIVE, f"{self.place}, it {wrong_shape(each, nodes)}")
        mean, exact = (weights / weights.sum()) @ each, _bound(model, x, self._pixels)
        off = _distance(mean, exact)
        if off <= TOLERANCE:
            return None
        one, other = told_apart(mean.item(), exact.item())
        said = f"It is right for a linear decoder. {self.place}, its mean over the noise is {one}, the bound {other}."
        return Failure(off, RELATIVE, said)

    def _pixels(self, decoded: Tensor) -> Distribution:
        """The distribution of the pixels, by another route than the likelihood's."""
        if self.noise_var is None:
            return torch.distributions.Bernoulli(logits=decoded)
        return torch.distributions.Normal(decoded, math.sqrt(self.noise_var))


def nonlinear(noise_var: float | None = None) -> VAE:
    """A model of three pixels, binary or with Gaussian noise, and one latent dimension."""
    encoder = fixed_layer(3, 2, seed=31)
    decoder = nn.Sequential(fixed_layer(1, 4, seed=32, size=1.5), nn.Tanh(), fixed_layer(4, 3, seed=33, size=1.5))
    return VAE(encoder, decoder, 1, bernoulli if noise_var is None else normal(math.log(noise_var)))


@torch.no_grad()
def _bound(model: VAE, x: Tensor, pixels: Callable[[Tensor], Distribution]) -> Tensor:
    """The ELBO of one example, as minus an integral: KL(q ‖ p(x, z))."""
    mu, log_var = model.encode(x)
    q = torch.distributions.Normal(mu[0], log_var[0].exp().sqrt())
    prior = torch.distributions.Normal(torch.zeros(1, dtype=x.dtype), torch.ones(1, dtype=x.dtype))

    def log_joint(z: Tensor) -> Tensor:
        joint: Tensor = prior.log_prob(z).sum(-1) + pixels(model.decode(z)).log_prob(x).sum(-1)
        return joint

    mean, sd = q.mean.item(), q.stddev.item()
    return -kl_quadrature(lambda z: q.log_prob(z).sum(-1), log_joint, [mean - 12 * sd], [mean + 12 * sd], 401)


def rotated(n_examples: int, latent_dim: int, generator: torch.Generator) -> Tensor:
    """Noise whose average is exact for every quadratic, ±√L along axes that are turned for each example anew."""
    points = sigma_points(latent_dim)
    turned = []
    for _ in range(n_examples):
        turn, _ = torch.linalg.qr(torch.randn(latent_dim, latent_dim, generator=generator, dtype=torch.float64))
        turned.append((points @ turn.T)[torch.randperm(len(points), generator=generator)])
    return torch.stack(turned, 1)


def own_noise(model: VAE, n_examples: int, x_dim: int, generator: torch.Generator) -> OwnNoise:
    eps = torch.randn(5, n_examples, model.latent_dim, generator=generator, dtype=torch.float64)
    return OwnNoise(model, values(n_examples, x_dim, low=-1.5, high=2.0, seed=34), eps)


def _distance(a: Tensor, b: Tensor) -> float:
    return relative_gap(a, b).nan_to_num(nan=math.inf, posinf=math.inf).max().item()
