"""The models that `every_model.py` compares: what each is made of, how it is trained, and how it is measured.

All of them are VAEs of 64 black-and-white pixels, those without a latent variable too: an encoder that says nothing and
a decoder that hears nothing leave p(x) as it is, and the bound exact.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae_tutorial.ais import ais
from vae_tutorial.architectures import conv_vae, resnet_vae
from vae_tutorial.bounds import ElboTerms, effective_sample_size, elbo_terms, iwae_bound, iwae_terms, log_weights
from vae_tutorial.categorical import AutoregressiveCodes, OneHot, exact_log_marginal, exact_terms
from vae_tutorial.conditional import ConditionalVAE, conditional_terms, conditional_vae
from vae_tutorial.datasets import digits
from vae_tutorial.diffusion import diffusion_elbo, diffusion_vae
from vae_tutorial.hierarchical import hierarchical_vae
from vae_tutorial.independence import beta_tcvae
from vae_tutorial.likelihoods import bernoulli
from vae_tutorial.masked import Network
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.objectives import free_bits
from vae_tutorial.posteriors import AutoregressiveFlow
from vae_tutorial.priors import DiffusionPrior, FlowPrior, Mixture, Prior, VampPrior
from vae_tutorial.vq import vq_terms, vq_vae

D, HIDDEN, L = 64, 64, 8  # pixels, hidden units, latent dimensions where nothing else is said
N_CLASSES, N_TRAIN = 10, 1200  # the other 237 training digits choose the epoch
CHOICES, CODES, CODE_DIM = 3, 10, 4
N_DRAWS, N_BOUND, N_PARTS = 300, 64, 8  # of z: for the importance-weighted estimate, for the bound in eight parts
N_CHAIN = 3000  # for the bound of a diffusion
ONLY_A_BOUND = "only a bound"  # in place of the way by which log p(x) was found
N_CHAINS, N_STEPS, N_LEAPFROG = 10, 200, 4  # of annealed importance sampling
AT_A_TIME = 90  # test digits


class Data(NamedTuple):
    """The shipped digits, a pixel black where it is darker than one half: nothing is drawn, so all see the same."""

    x_train: Tensor
    x_val: Tensor
    x_test: Tensor
    y_train: Tensor
    y_val: Tensor


class Measured(NamedTuple):
    """log p(x) of the test digits in nats, (B,); the standard error of each; how; draws of z that count, on average."""

    log_px: Tensor
    stderr: Tensor
    by: str
    effective: float | None = None


def black_and_white() -> Data:
    shipped = digits()
    x, x_test = ((images > 0.5).float() for images in (shipped.x_train, shipped.x_test))
    y = F.one_hot(shipped.y_train, N_CLASSES).float()
    return Data(x[:N_TRAIN], x[N_TRAIN:], x_test, y[:N_TRAIN], y[N_TRAIN:])


class Silent(nn.Module):
    """A network that says 0, n times, whatever it hears."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, given: Tensor) -> Tensor:
        return given.new_zeros(len(given), self.n)


class Constant(Silent):
    """A network that says the same n numbers whatever it hears."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.numbers = nn.Parameter(torch.zeros(n))

    def forward(self, given: Tensor) -> Tensor:
        return self.numbers.expand(len(given), -1)


class Masked(VAE):
    """Pixels one after the other: the logit of each sees the pixels before it and, as a context, what the decoder says.

    Args:
        latent_dim: L; None for a model of the pixels alone.
        hidden_dim: the width of the masked network.
        seed: of all weights.
    """

    def __init__(self, latent_dim: int | None, hidden_dim: int, *, seed: int) -> None:
        if latent_dim is None:
            super().__init__(Silent(2), Silent(1), 1, bernoulli)
        else:
            with_z = mlp_vae(D, HIDDEN, latent_dim, bernoulli, seed=seed)
            super().__init__(with_z.encoder, with_z.decoder, latent_dim, bernoulli)
        context_dim = 0 if latent_dim is None else D
        self.pixels = Network(D, hidden_dim, D, context_dim, masked=True, seed=seed)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        context = self.decode(z)  # (..., B, C)
        return bernoulli.log_prob(x, self.pixels(x.expand(*context.shape[:-1], D), context))

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        z = self.prior.sample((n, self.latent_dim), like=self.a_weight(), generator=generator)
        context, x = self.decode(z), z.new_zeros(n, D)
        uniform = torch.rand(n, D, generator=generator)
        for d in range(D):
            x[:, d] = (uniform[:, d] < torch.sigmoid(self.pixels(x, context)[:, d])).to(x)
        return x


class OfAnyClass(ConditionalVAE):
    """A conditional VAE whose class is drawn first, each of the ten as often."""

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        c = F.one_hot(torch.randint(N_CLASSES, (n,), generator=generator), N_CLASSES).float()
        return self.given(c).sample(n, generator=generator)


def mlp(seed: int, latent_dim: int = L, **parts: Any) -> VAE:
    return mlp_vae(D, HIDDEN, latent_dim, bernoulli, seed=seed, **parts)


def independent_pixels(seed: int) -> VAE:
    """Each pixel by its frequency, one black and one white digit added; nothing is trained, and no seed matters."""
    model, x = VAE(Silent(2), Constant(D), 1, bernoulli), black_and_white().x_train
    with torch.no_grad():
        model.decoder.numbers.copy_(torch.logit((x.sum(0) + 1) / (len(x) + 2)))
    return model


def linear_decoder(seed: int) -> VAE:
    model = mlp(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.decoder = nn.Linear(L, D)
    return model


def mixture_of_bernoullis(seed: int) -> VAE:
    model = mlp(seed, 40, prior=AutoregressiveCodes(1, 40), posterior=OneHot(40))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.decoder = nn.Linear(40, D, bias=False)
    return model


def vamp(seed: int) -> VAE:
    prior = VampPrior(D, 20, seed=seed)
    prior.start_at(black_and_white().x_train[20 * seed :][:20])
    return mlp(seed, prior=prior)


def codes(seed: int) -> VAE:
    prior = AutoregressiveCodes(CHOICES, CODES)
    return vq_vae(D, HIDDEN, CHOICES, CODE_DIM, CODES, bernoulli, seed=seed, prior=prior)


def choices(seed: int) -> VAE:
    prior: Prior = AutoregressiveCodes(CHOICES, CODES)
    return mlp(seed, CHOICES * CODES, prior=prior, posterior=OneHot(CODES))


def of_any_class(seed: int) -> VAE:
    made = conditional_vae(D, N_CLASSES, HIDDEN, L, bernoulli, seed=seed)
    return OfAnyClass(made.encoder, made.decoder, L, N_CLASSES, bernoulli, made.prior_network)


def layers(inference: str) -> Callable[[int], VAE]:
    return lambda seed: hierarchical_vae(D, (HIDDEN, 32), (L, 4), bernoulli, seed=seed, inference=inference)


def with_diffusion(model: VAE, seed: int) -> VAE:
    """The model as it is, held, but for its prior: a diffusion that sees codes of the training digits standardized."""
    prior = DiffusionPrior(model.latent_dim, HIDDEN, seed=seed)
    with torch.no_grad():
        params = model.encode(black_and_white().x_train)
        eps = torch.randn(N_TRAIN, model.latent_dim, generator=torch.Generator().manual_seed(seed))
        prior.standardize(model.posterior.sample(params, eps)[0])
    model.requires_grad_(False)
    return VAE(model.encoder, model.decoder, model.latent_dim, bernoulli, prior)


def mmd_terms(model: VAE, x: Tensor, n_samples: int = 1, *, generator: torch.Generator | None = None) -> ElboTerms:
    r"""The objective of a WAE: :math:`z = \mu_\phi(x)`, and 100 times the squared MMD of these from draws of the prior.

    With the kernel :math:`\exp(-\lVert z - z' \rVert^2 / 8)`, without the diagonal; it bounds nothing.
    """
    z = model.encode(x)[0]
    other = torch.randn(z.shape, generator=generator)
    both, n = torch.cat([z, other]), len(z)
    k = torch.exp(-torch.cdist(both, both).square() / 8)
    of_others = [(k[part, part].sum() - n) / (n * (n - 1)) for part in (slice(n), slice(n, None))]
    price = 100 * (sum(of_others) - 2 * k[:n, n:].mean())
    return ElboTerms(model.log_likelihood(x, z), price.expand(n))


# How log p(x) is found; each function takes the model, test digits and a seed.


def by_draws(model: VAE, x: Tensor, seed: int) -> Measured:
    """The importance-weighted bound; the standard error of a logarithm of a mean, by the delta method."""
    log_w = log_weights(model, x, N_DRAWS, generator=torch.Generator().manual_seed(seed)).double()
    return of_weights(log_w, f"{N_DRAWS} draws")


def by_annealing(model: VAE, x: Tensor, seed: int) -> Measured:
    how = dict(n_steps=N_STEPS, n_leapfrog=N_LEAPFROG, generator=torch.Generator().manual_seed(seed))
    return of_weights(ais(model, x, N_CHAINS, **how), f"AIS, {N_CHAINS} chains")


def of_weights(log_w: Tensor, by: str) -> Measured:
    effective = effective_sample_size(log_w)
    stderr = (1 / effective - 1 / len(log_w)).clamp(min=0).sqrt()
    return Measured(iwae_bound(log_w), stderr, by, effective.mean().item())


def by_sum(model: VAE, x: Tensor, seed: int) -> Measured:
    log_px = exact_log_marginal(model, x).double()
    return Measured(log_px, torch.zeros_like(log_px), "sum over all codes")


def exactly(model: VAE, x: Tensor, seed: int) -> Measured:
    log_px = model.log_likelihood(x, torch.zeros(len(x), model.latent_dim)).double()
    return Measured(log_px, torch.zeros_like(log_px), "exact")


def over_classes(model: VAE, x: Tensor, seed: int) -> Measured:
    """A tenth of the draws for each class, whose mean over all of them is one over classes as well."""
    generator = torch.Generator().manual_seed(seed)
    log_w = [
        log_weights(model.given(c.expand(len(x), -1)), x, N_DRAWS // N_CLASSES, generator=generator)
        for c in torch.eye(N_CLASSES)
    ]
    return of_weights(torch.cat(log_w).double(), f"{N_DRAWS} draws, all classes")


def bound(model: VAE, x: Tensor, seed: int, n: int = N_BOUND, terms: Callable[..., ElboTerms] = elbo_terms) -> Tensor:
    """The mean ELBO over n draws, (B,), and the standard error of each."""
    generator = torch.Generator().manual_seed(seed)
    parts = [terms(model, x, n // N_PARTS, generator=generator).elbo.double() for _ in range(N_PARTS)]
    return torch.stack([torch.stack(parts).mean(0), torch.stack(parts).std(0) / math.sqrt(N_PARTS)])


def bound_over_classes(model: VAE, x: Tensor, seed: int) -> Tensor:
    """log of the mean over classes of exp ELBO(x | c): q(c | x) is the best there is, in proportion to that."""
    given = torch.stack([bound(model.given(c.expand(len(x), -1)), x, seed) for c in torch.eye(N_CLASSES)])
    q = torch.softmax(given[:, 0], 0)
    stderr = (q * given[:, 1]).square().sum(0).sqrt()
    return torch.stack([torch.logsumexp(given[:, 0], 0) - math.log(N_CLASSES), stderr])


def bound_of_chain(model: VAE, x: Tensor, seed: int) -> Tensor:
    """With a diffusion as prior: that of the chain of steps, in the limit of many, stands for log p(z); a noisy one."""
    return bound(model, x, seed, N_CHAIN, diffusion_elbo)


def by_chain(model: VAE, x: Tensor, seed: int) -> Measured:
    """No estimate of log p(x) but a bound below it: what it says of a diffusion is the least that it may be."""
    return Measured(*bound_of_chain(model, x, seed), ONLY_A_BOUND)


class Entry(NamedTuple):
    """A model of the comparison.

    Attributes:
        family: what it changes in the plain VAE.
        make: the model with the weights of a seed.
        how: what `fit` is told beside the common settings; None: it is not trained.
        measure: how log p(x) is found.
        bound: of log p(x), None where the model has none.
        coded: whether `vae_tutorial.coding` can make an archive by it.
        labels: whether it is trained on the classes, too.
        then: what the trained model becomes part of, by model and seed, and what `fit` is told to train that.
        rate: whether the KL term is recorded, too: how much z is used.
    """

    family: str
    make: Callable[[int], VAE]
    how: dict[str, Any] | None = {}
    measure: Callable[[VAE, Tensor, int], Measured] = by_draws
    bound: Callable[[VAE, Tensor, int], Tensor] | None = bound
    coded: bool = False
    labels: bool = False
    then: tuple[Callable[[VAE, int], VAE], dict[str, Any]] | None = None
    rate: bool = False


REFERENCE = "plain VAE"
MODELS = {
    "independent pixels": Entry("no z", independent_pixels, None, exactly, coded=True),
    "masked pixels": Entry("no z", lambda seed: Masked(None, 128, seed=seed), measure=exactly),
    "mixture of 40": Entry("discrete z", mixture_of_bernoullis, dict(objective=exact_terms), by_sum),
    "two latents": Entry("plain", lambda seed: mlp(seed, 2), coded=True),
    REFERENCE: Entry("plain", mlp, coded=True),
    "ELBO, K = 50": Entry("objective", mlp, dict(n_samples=50), coded=True),
    "IWAE, K = 5": Entry("objective", mlp, dict(objective=iwae_terms, n_samples=5), coded=True),
    "IWAE, K = 50": Entry("objective", mlp, dict(objective=iwae_terms, n_samples=50), coded=True),
    "β = 0.5": Entry("objective", mlp, dict(beta=0.5), coded=True),
    "β = 2": Entry("objective", mlp, dict(beta=2.0), coded=True),
    "free bits": Entry("objective", mlp, dict(objective=free_bits(0.25)), coded=True),
    "β-TCVAE": Entry("objective", mlp, dict(objective=beta_tcvae(4.0, N_TRAIN)), coded=True),
    "WAE": Entry("objective", mlp, dict(objective=mmd_terms), by_annealing, None),
    "linear decoder": Entry("networks", linear_decoder, coded=True),
    "convolutions": Entry("networks", lambda seed: conv_vae((8, 8), L, bernoulli, seed=seed), coded=True),
    "residual blocks": Entry("networks", lambda seed: resnet_vae((8, 8), L, bernoulli, seed=seed), coded=True),
    "masked decoder": Entry("networks", lambda seed: Masked(L, 128, seed=seed), rate=True),
    "flow posterior": Entry("q or p(z)", lambda seed: mlp(seed, posterior=AutoregressiveFlow(L, 2, 32, seed=seed))),
    "mixture prior": Entry("q or p(z)", lambda seed: mlp(seed, prior=Mixture(L, 20, seed=seed))),
    "VampPrior": Entry("q or p(z)", vamp),
    "flow prior": Entry("q or p(z)", lambda seed: mlp(seed, prior=FlowPrior(L, 4, 32, seed=seed))),
    "two layers, up": Entry("q or p(z)", layers("bottom_up")),
    "two layers, down": Entry("q or p(z)", layers("top_down")),
    "VQ codes": Entry("discrete z", codes, dict(objective=vq_terms), by_sum),
    "categorical codes": Entry("discrete z", choices, measure=by_sum),
    "given the class": Entry(
        "labels", of_any_class, dict(objective=conditional_terms), over_classes, bound_over_classes, labels=True
    ),
    "diffusion": Entry(
        "diffusion",
        lambda seed: diffusion_vae(D, HIDDEN, seed=seed),
        dict(objective=diffusion_elbo),
        by_chain,
        bound_of_chain,
    ),
    "latent diffusion": Entry(
        "diffusion", mlp, {}, by_chain, bound_of_chain, then=(with_diffusion, dict(objective=diffusion_elbo))
    ),
}
