"""The fixed arguments on which `checks` compares functions, and the exact answers to them by independent routes.

The arguments are asymmetric, in float64, and no two axes have one length, so that no mistake hides behind a symmetry.
"""

import copy
import math
from decimal import Decimal, localcontext

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from vae_tutorial.checks.answers import Arguments, Function
from vae_tutorial.likelihoods import normal
from vae_tutorial.models import VAE
from vae_tutorial.reference import LinearGaussian, kl_quadrature, log_marginal_quadrature


def kl_by_quadrature(mu: Tensor, log_var: Tensor) -> Tensor:
    def one(mean: Tensor, sd: Tensor) -> Tensor:
        q, p = Normal(mean, sd), Normal(torch.zeros_like(mean), torch.ones_like(sd))
        return kl_quadrature(lambda z: q.log_prob(z).sum(-1), lambda z: p.log_prob(z).sum(-1), *box(mean, sd), 37)

    return torch.stack([one(mean, sd) for mean, sd in zip(mu, log_var.exp().sqrt(), strict=True)])


def log_normal_by_quadrature(x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    def one(x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        def shape(z: Tensor) -> Tensor:
            return -0.5 * ((z - mean) ** 2 / var).sum(-1)

        return shape(x) - log_marginal_quadrature(shape, *box(mean, var.sqrt()), 37)

    return torch.stack([one(*row) for row in zip(x, mu, log_var.exp(), strict=True)])


def log_mixture_by_quadrature(z: Tensor, logits: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return _log_mixture(log_normal_by_quadrature, z, logits, mu, log_var)


def log_bernoulli_by_enumeration(x: Tensor, logits: Tensor) -> Tensor:
    return (x * logits).sum(-1) - torch.logsumexp(logits @ binary_vectors(x.shape[-1]).T, -1)


# The same for many dimensions: they are independent, so each is integrated alone, and the values are added up.

STEP = 0.5  # in standard deviations; with nine of them on either side the sum has the precision of float64
NODES = torch.arange(-18, 19, dtype=torch.float64) * STEP


def kl_by_dimension(mu: Tensor, log_var: Tensor) -> Tensor:
    mean, sd = mu[..., None], log_var.exp().sqrt()[..., None]
    z = mean + sd * NODES
    log_q, log_p = Normal(mean, sd).log_prob(z), Normal(torch.zeros_like(mean), torch.ones_like(mean)).log_prob(z)
    kl: Tensor = (log_q.exp() * (log_q - log_p) * STEP * sd).sum((-2, -1))
    return kl


def log_normal_by_dimension(x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    sd = log_var.exp().sqrt()

    def shape(z: Tensor) -> Tensor:
        return -0.5 * ((z - mu[..., None]) / sd[..., None]) ** 2

    mass = (shape(mu[..., None] + sd[..., None] * NODES).exp() * STEP * sd[..., None]).sum(-1)
    return (shape(x[..., None])[..., 0] - mass.log()).sum(-1)


def log_mixture_by_component(z: Tensor, logits: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return _log_mixture(log_normal_by_dimension, z, logits, mu, log_var)


def _log_mixture(log_normal: Function, z: Tensor, logits: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """One component after the other; their probabilities are added up by pairs, with no exponential that overflows."""
    log_p = torch.full_like(z[:, 0], -math.inf)
    for logit, one_mu, one_log_var in zip(logits, mu, log_var, strict=True):
        log_weight = -(logits - logit).exp().sum().log()
        log_p = torch.logaddexp(log_p, log_weight + log_normal(z, one_mu.expand_as(z), one_log_var.expand_as(z)))
    return log_p


def log_bernoulli_by_dimension(x: Tensor, logits: Tensor) -> Tensor:
    return (x * logits - torch.logsumexp(torch.stack([torch.zeros_like(logits), logits]), 0)).sum(-1)


def sample_by_quantile(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    sign = -torch.sign(eps)  # in the lower tail, where probabilities are not rounded to 1
    below = Normal(torch.zeros_like(eps), torch.ones_like(eps)).cdf(-eps.abs())
    quantile = Normal(torch.zeros_like(mu), log_var.exp().sqrt()).icdf(below)
    z: Tensor = mu + sign * quantile
    return z


def binary_vectors(x_dim: int) -> Tensor:
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * x_dim).reshape(-1, x_dim)


def values(*shape: int, low: float, high: float, seed: int) -> Tensor:
    """Fixed numbers without any symmetry that could hide a mistake."""
    uniform = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return low + (high - low) * uniform


def encodings(*shapes: tuple[int, int]) -> list[dict[str, Tensor]]:
    """Means and log-variances, differentiable; B differs from L."""
    return [
        {
            "mu": values(*shape, low=-2.0, high=1.5, seed=1).requires_grad_(),
            "log_var": values(*shape, low=-2.0, high=1.2, seed=2).requires_grad_(),
        }
        for shape in shapes
    ]


def encoded_points(*shapes: tuple[int, int]) -> list[dict[str, Tensor]]:
    """Points x beside `encodings`, differentiable as well."""
    return [
        {"x": values(*shape, low=-2.0, high=2.5, seed=8).requires_grad_(), **encoding}
        for shape, encoding in zip(shapes, encodings(*shapes), strict=True)
    ]


def mixtures(*shapes: tuple[int, int, int]) -> list[dict[str, Tensor]]:
    """Points and mixtures of (B, C, L), differentiable, whose components overlap."""
    return [
        {
            "z": values(n, n_dims, low=-2.0, high=2.5, seed=12).requires_grad_(),
            "logits": values(n_components, low=-1.0, high=1.5, seed=13).requires_grad_(),
            "mu": values(n_components, n_dims, low=-2.0, high=1.5, seed=14).requires_grad_(),
            "log_var": values(n_components, n_dims, low=-2.0, high=1.2, seed=15).requires_grad_(),
        }
        for n, n_components, n_dims in shapes
    ]


def noisy_encodings() -> list[dict[str, Tensor]]:
    """Encodings with noise: several draws for each example, in three dimensions and in one, and a single draw."""
    three, one = encodings((5, 3), (4, 1))
    return [
        {**three, "eps": values(6, 5, 3, low=-2.0, high=1.8, seed=3)},
        {**one, "eps": values(7, 4, 1, low=-2.0, high=1.8, seed=3)},
        {**three, "eps": values(5, 3, low=-1.8, high=2.0, seed=3)},
    ]


def binary_outcomes(*shapes: tuple[int, int]) -> list[dict[str, Tensor]]:
    """Binary x and logits, differentiable; each of the first rows has an x that is very improbable."""
    fixtures = []
    for n_examples, x_dim in shapes:
        logits = values(n_examples, x_dim, low=-3.0, high=2.5, seed=4)
        x = (values(n_examples, x_dim, low=0.0, high=1.0, seed=7) > 0.4).double()
        for row, logit in enumerate([-20.0, 19.0, 40.0, -40.0][:n_examples]):
            logits[row, 0], x[row, 0] = logit, float(logit < 0)
        fixtures.append({"x": x, "logits": logits.requires_grad_()})
    return fixtures


# In float32 whatever the default: both precisions of a comparison are to be given the same numbers.
BINARY = torch.tensor([0.0, 1.0], dtype=torch.float32)
EXTREME_MEANS = torch.tensor([0.0, 1e-3, 4.0, -4.0], dtype=torch.float32)
EXTREME_LOG_VARS = torch.tensor([0.0, 1e-6, -1e-4, 1e-2, -1.0, 4.0, -20.0, 20.0, -80.0, 80.0], dtype=torch.float32)
EXTREME_LOGITS = torch.tensor(
    [0.0, *(sign * size for size in (1e-3, 1.0, 17.0, 40.0, 89.0, 100.0) for sign in (1, -1))], dtype=torch.float32
)


def beside_a_mild_dimension(a: Tensor, b: Tensor, *, mild: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """All pairs of a number of ``a`` and one of ``b``, each in a row of its own with the ``mild`` pair beside it."""
    pairs = torch.cartesian_prod(a, b)
    first, second = torch.stack([pairs, pairs.new_tensor(mild).expand_as(pairs)], -1).unbind(1)  # each (B, 2)
    return first, second


def box(mean: Tensor, sd: Tensor) -> tuple[list[float], list[float]]:
    """Nine standard deviations on either side, where `reference.grid` with 37 nodes has a step of half of one."""
    return (mean - 9 * sd).tolist(), (mean + 9 * sd).tolist()


NOISE_VAR = 0.3  # neither 1 nor ½, at which a plain squared error would be right but for a constant


def linear_gaussian(
    n_examples: int, x_dim: int, latent_dim: int, eps: Tensor | None = None, noise_var: float = NOISE_VAR
) -> Arguments:
    """Fixed model and examples, and noise whose average is exact for every quadratic."""
    decoder = LinearGaussian(
        values(x_dim, latent_dim, low=-0.8, high=1.0, seed=9), noise_var, values(x_dim, low=-0.5, high=1.0, seed=10)
    ).decoder()
    encoder = nn.Linear(x_dim, 2 * latent_dim, dtype=torch.float64)
    weight, bias = (
        values(2 * latent_dim, *axes, low=-0.5, high=0.4, seed=seed) for axes, seed in (([x_dim], 11), ([], 12))
    )
    encoder.load_state_dict({"weight": weight, "bias": bias})
    if eps is None:
        eps = sigma_points(latent_dim)[:, None].expand(-1, n_examples, -1).contiguous()  # (2L, B, L)
    return {
        "model": VAE(encoder, decoder, latent_dim, normal(math.log(noise_var))),
        "x": values(n_examples, x_dim, low=-1.5, high=2.0, seed=13),
        "eps": eps,
    }


def sigma_points(latent_dim: int) -> Tensor:
    """The points ±√L e_l, shape (2L, L), whose average is exact for every quadratic."""
    axes = math.sqrt(latent_dim) * torch.eye(latent_dim, dtype=torch.float64)
    return torch.cat([axes, -axes])


@torch.no_grad()
def far_out(arguments: Arguments) -> Arguments:
    """The same with an encoder that gives each example a far mean and log-variance in the first latent dimension."""
    model: VAE = copy.deepcopy(arguments["model"])
    weight = model.encoder.get_parameter("weight")
    weight[[0, model.latent_dim]] = 0.0
    weight[0, 1], weight[model.latent_dim, 0] = 4.0, 6.0
    x = arguments["x"].clone()
    x[:, 0], x[:, 1] = (torch.linspace(low, -low, len(x), dtype=x.dtype) for low in (-2.5, 1.9))
    return {**arguments, "model": model, "x": x}


@torch.no_grad()
def with_encoding(arguments: Arguments, head: int, number: float) -> Arguments:
    """The same for its first example, the encoder's output number ``head`` fixed."""
    model: VAE = copy.deepcopy(arguments["model"])
    weight, bias = (model.encoder.get_parameter(name) for name in ("weight", "bias"))
    weight[head], bias[head] = 0.0, number
    return {"model": model, "x": arguments["x"][:1], "eps": arguments["eps"][:, :1]}


def fixed_layer(n_in: int, n_out: int, *, seed: int, size: float = 0.5) -> nn.Linear:
    layer = nn.Linear(n_in, n_out, dtype=torch.float64)
    weight, bias = (values(n_out, *axes, low=-size, high=size, seed=seed + 40 * len(axes)) for axes in ([n_in], []))
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def linear_gaussian_elbo(model: VAE, x: Tensor, eps: Tensor) -> Tensor:
    weight, bias = (model.decoder.get_parameter(name) for name in ("weight", "bias"))
    at_its_mode = model.likelihood.log_prob(*torch.zeros(2, 1, 1, dtype=x.dtype)).item()
    noise_var = math.exp(-2 * at_its_mode) / (2 * math.pi)
    return LinearGaussian(weight, noise_var, bias).elbo(x, *model.encode(x))


def log_weights() -> list[dict[str, Tensor]]:
    """Log-weights, differentiable: moderate ones, and some whose exponentials are 0 or infinite in float64.

    The extreme columns are equal weights, or one that outweighs the rest, so that their answer suffers no rounding
    in float32 either.
    """
    moderate = [values(*shape, low=-4.0, high=2.5, seed=14) for shape in ((6, 4), (3, 5))]
    extreme = torch.full((7, 3), -1000.0, dtype=torch.float64)
    extreme[:, 1], extreme[2, 2] = 800.0, 0.5
    return [{"log_w": log_w.requires_grad_()} for log_w in (*moderate, extreme)]


def iwae_by_decimals(log_w: Tensor) -> Tensor:
    """The bound as it is defined, in decimal arithmetic, where no exponential is too small or too large."""
    with localcontext() as context:
        context.prec = 50
        columns = [[Decimal(number).exp() for number in column] for column in log_w.T.tolist()]
        means = [sum(column, Decimal(0)) / len(column) for column in columns]
        bound = log_w.new_tensor([float(mean.ln()) for mean in means])
        slopes = [[float(w / mean / len(column)) for w in column] for column, mean in zip(columns, means, strict=True)]
    return bound + (log_w.new_tensor(slopes).T * (log_w - log_w.detach())).sum(0)
