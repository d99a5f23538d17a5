"""More blind test material, for the checks of flows, priors, mixtures and quantizers: written from their docstrings.

Each entry of WRONG and RIGHT is a judge, a name, and a function that hands the checked thing to that check.
"""

import functools
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import (
    AffineTransform,
    Categorical,
    ComposeTransform,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    SigmoidTransform,
    kl_divergence,
)

from vae_tutorial.checks import check_flow, check_log_mixture, check_prior, check_quantizer
from vae_tutorial.priors import Gaussian, Prior
from vae_tutorial.reference import grid

LOG_2PI = math.log(2 * math.pi)
WRONG = []
RIGHT = []


def number(*values):
    return torch.tensor(values, dtype=torch.float64)


def constant(z, value):
    return value + 0 * z.sum(-1)


# Planar flows
U, W_, B_ = number(0.7, -0.4), number(0.5, 1.1), 0.3


def planar(log_det):
    """The map z + u tanh(w·z + b), with a log-determinant of h, h′ and u·w."""

    def flow(z):
        h = torch.tanh(z @ W_ + B_)
        return z + U * h[..., None], log_det(h, 1 - h**2)

    return flow


UW = (U * W_).sum()


def det(dh):
    return (1 + dh * UW).abs()


PLANAR = {
    "h_prime_left_out": planar(lambda h, dh: constant(h[..., None], det(1.0).log())),
    "h_for_h_prime": planar(lambda h, dh: det(h).log()),
    "one_minus_h": planar(lambda h, dh: det(1 - h).log()),
    "no_log": planar(lambda h, dh: det(dh)),
    "no_one": planar(lambda h, dh: (dh * UW).abs().log()),
    "diagonal_alone": planar(lambda h, dh: (1 + dh[..., None] * U * W_).abs().log().sum(-1)),
    "batch_mean": planar(lambda h, dh: det(dh).log().mean().expand(h.shape)),
    "batch_sum": planar(lambda h, dh: det(dh).log().sum()),
    "detached": planar(lambda h, dh: det(dh).log().detach()),
    "w_dot_w": planar(lambda h, dh: (1 + dh * (W_ * W_).sum()).abs().log()),
    "bits": planar(lambda h, dh: det(dh).log2()),
    "log10": planar(lambda h, dh: det(dh).log10()),
    "with_epsilon": planar(lambda h, dh: (det(dh) + 1e-4).log()),
    "axis_kept": planar(lambda h, dh: det(dh).log()[..., None]),
}
right_planar = planar(lambda h, dh: det(dh).log())


class Coupling(nn.Module):
    """An affine coupling; what is done with scale s and shift t is given."""

    def __init__(self, image, log_det):
        super().__init__()
        self.image, self.log_det = image, log_det
        generator = torch.Generator().manual_seed(3)
        drawn = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((2, 8), (8, 4)))
        self.first, self.last = (nn.Parameter(weight / 2) for weight in drawn)

    def net(self, a):
        return (torch.tanh(a @ self.first) @ self.last).chunk(2, -1)

    def forward(self, z):
        a, b = z.chunk(2, -1)
        s, t = self.net(a)
        return torch.cat([a, self.image(b, s, t)], -1), self.log_det(s, t)


def affine(b, s, t):
    return b * s.exp() + t


class WithoutGradient(Coupling):
    @torch.no_grad()
    def net(self, a):
        return super().net(a)


class BothHalves(Coupling):
    def forward(self, z):
        a, b = z.chunk(2, -1)
        s, t = self.net(a)
        b = affine(b, s, t)
        s, t = self.net(b)
        return torch.cat([affine(a, s, t), b], -1), s.sum(-1)


class OfItself(Coupling):
    def forward(self, z):
        a, b = z.chunk(2, -1)
        s, t = self.net(b)
        return torch.cat([a, affine(b, s, t)], -1), s.sum(-1)


class InPlaceOfCaller(Coupling):
    def forward(self, z):
        s, t = self.net(z[..., :2])
        z[..., 2:].data.mul_(s.exp().data).add_(t.data)
        return z, s.sum(-1)


class Noisy(Coupling):
    def forward(self, z):
        z_new, log_det = super().forward(z)
        return z_new + 1e-3 * torch.randn_like(z), log_det


def summed(s, t):
    return s.sum(-1)


COUPLING = {
    "tanh_applied_s_reported": Coupling(lambda b, s, t: affine(b, torch.tanh(s), t), summed),
    "sum_of_scales": Coupling(affine, lambda s, t: s.exp().sum(-1)),
    "first_scale": Coupling(affine, lambda s, t: s[..., 0]),
    "half": Coupling(affine, lambda s, t: 0.5 * s.sum(-1)),
    "shift_counted": Coupling(affine, lambda s, t: (s + t).sum(-1)),
    "divides": Coupling(lambda b, s, t: (b - t) * (-s).exp(), summed),
    "as_log_variance": Coupling(lambda b, s, t: affine(b, 0.5 * s, t), summed),
    "zero": Coupling(affine, lambda s, t: 0 * s.sum(-1)),
    "clamped_in_the_map": Coupling(lambda b, s, t: affine(b, s.clamp(-0.5, 0.5), t), summed),
    "sigmoid_applied_s_reported": Coupling(lambda b, s, t: b * torch.sigmoid(s + 2) + t, lambda s, t: (s + 2).sum(-1)),
    "network_without_gradient": WithoutGradient(affine, summed),
    "both_halves_one_counted": BothHalves(affine, summed),
    "sees_what_it_changes": OfItself(affine, summed),
    "changes_the_caller": InPlaceOfCaller(affine, summed),
    "noise_added": Noisy(affine, summed),
}


def doubled(z):
    return 2 * z, constant(z, math.log(2) * z.shape[-1])


def over_batch(z):
    if len(z) == 1:
        return z, 0 * z.sum(-1)
    sd = z.std(0) + 1e-5
    return (z - z.mean(0)) / sd, constant(z, -sd.log().sum())


def wrong_way_back(z_new):
    s, t = shift_first.net(z_new[..., :2])
    return torch.cat([z_new[..., :2], (z_new[..., 2:] - t) * (-s).exp()], -1)


def right_way_back(z_new):
    s, t = shift_first.net(z_new[..., :2])
    return torch.cat([z_new[..., :2], z_new[..., 2:] * (-s).exp() - t], -1)


shift_first = Coupling(lambda b, s, t: (b + t) * s.exp(), summed)
TWICE = dict(layers=[right_planar, right_planar])
OTHER_FLOWS = {
    "log_2_once": (lambda z: (2 * z, constant(z, math.log(2))), 3, {}),
    "relu": (lambda z: (z.relu(), constant(z, 0.0)), 2, {}),
    "square": (lambda z: (z**2, (2 * z.abs()).log().sum(-1)), 2, {}),
    "last_layer_counted": (lambda z: right_planar(right_planar(z)[0]), 2, TWICE),
    "layers_at_the_start": (lambda z: (right_planar(right_planar(z)[0])[0], 2 * right_planar(z)[1]), 2, TWICE),
    "batch_normalized": (over_batch, 2, {}),
    "other_order": (lambda z: right_planar(z)[::-1], 2, {}),
    "back_is_forth": (doubled, 3, dict(inverse=lambda z: 2 * z)),
    "sign_on_the_way_back": (doubled, 2, dict(inverse=lambda z: (z / 2, constant(z, math.log(2) * z.shape[-1])))),
    "shift_before_scale_back": (shift_first, 4, dict(inverse=wrong_way_back)),
}


# Priors
LINE, PLANE = grid([-12.0], [12.0], 481), grid([-9.0, -9.0], [9.0, 9.0], 91)
FINE = grid([-40.0], [40.0], 16001)  # of densities with a kink


class Two(Prior):
    """Two Gaussians, of parameters of its own."""

    def __init__(self, n_dims=1):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.3, -0.6]))
        self.mu = nn.Parameter(torch.tensor([[-1.5] * n_dims, [1.2] * n_dims]))
        self.log_var = nn.Parameter(torch.tensor([[-0.4] * n_dims, [0.7] * n_dims]))

    def each(self, z):
        return -0.5 * (LOG_2PI + self.log_var + (z[..., None, :] - self.mu) ** 2 / self.log_var.exp()).sum(-1)

    def log_prob(self, z):
        return torch.logsumexp(self.logits.log_softmax(0) + self.each(z), -1)

    def choose(self, shape, generator):
        n = math.prod(shape)
        return torch.multinomial(self.logits.softmax(0), n, replacement=True, generator=generator).reshape(shape)

    def noise(self, k, eps):
        return self.mu[k] + (0.5 * self.log_var[k]).exp() * eps

    def sample(self, shape, *, like, generator=None):
        k = self.choose(shape[:-1], generator)
        return self.noise(k, torch.randn(shape, dtype=like.dtype, generator=generator))


class RawWeights(Two):
    def log_prob(self, z):
        return torch.logsumexp(self.logits + self.each(z), -1)


class SoftmaxAdded(Two):
    def log_prob(self, z):
        return torch.logsumexp(self.logits.softmax(0) + self.each(z), -1)


class MeanOfLogs(Two):
    def log_prob(self, z):
        return (self.logits.softmax(0) * self.each(z)).sum(-1)


class HardMax(Two):
    def log_prob(self, z):
        return self.each(z).amax(-1)


class EquallyOften(Two):
    def choose(self, shape, generator):
        return torch.randint(0, 2, shape, generator=generator)


class VarianceForSd(Two):
    def noise(self, k, eps):
        return self.mu[k] + self.log_var[k].exp() * eps


class OneForAll(Two):
    def choose(self, shape, generator):
        return super().choose((1,), generator).expand(shape)


class Averaged(Two):
    def noise(self, k, eps):
        weights = self.logits.softmax(0)
        return weights @ self.mu + (weights @ (0.5 * self.log_var).exp()) * eps


class OwnGenerator(Two):
    def sample(self, shape, *, like, generator=None):
        return super().sample(shape, like=like)


class SquaredVariance(Two):
    def each(self, z):
        return -0.5 * (LOG_2PI + self.log_var + (z[..., None, :] - self.mu) ** 2 / (2 * self.log_var).exp()).sum(-1)


class NoGradient(Two):
    @torch.no_grad()
    def log_prob(self, z):
        return super().log_prob(z)


class DetachedWeights(Two):
    def log_prob(self, z):
        return torch.logsumexp(self.logits.detach().log_softmax(0) + self.each(z), -1)


class MeanOverDimensions(Two):
    def each(self, z):
        return -0.5 * (LOG_2PI + self.log_var + (z[..., None, :] - self.mu) ** 2 / self.log_var.exp()).mean(-1)


class RowsAlike(Two):
    def sample(self, shape, *, like, generator=None):
        return super().sample((1, *shape[1:]), like=like, generator=generator).expand(shape)


class StandardShaped(Prior):
    def log_prob(self, z):
        return -0.5 * (LOG_2PI + z**2).sum(-1)

    def sample(self, shape, *, like, generator=None):
        return self.shaped(lambda draw: draw(shape, dtype=like.dtype, generator=generator))


class UniformDraws(StandardShaped):
    def shaped(self, draw):
        return math.sqrt(12) * (draw(torch.rand) - 0.5)


class CorrelatedDraws(StandardShaped):
    def shaped(self, draw):
        eps = draw(torch.randn)
        return torch.stack([eps[..., 0], 0.8 * eps[..., 0] + 0.6 * eps[..., 1]], -1)


class StudentT(Prior):
    constant = math.lgamma(2.5) - math.lgamma(2) - 0.5 * math.log(4 * math.pi)

    def log_prob(self, z):
        return (self.constant - 2.5 * torch.log1p(z**2 / 4)).sum(-1)

    def sample(self, shape, *, like, generator=None):
        normals = torch.randn(*shape, 5, dtype=like.dtype, generator=generator)
        return normals[..., 0] / normals[..., 1:].square().mean(-1).sqrt()


class StudentTWithoutConstant(StudentT):
    constant = 0.0


class Laplace(Prior):
    def log_prob(self, z):
        return (-z.abs() - math.log(2)).sum(-1)

    def sample(self, shape, *, like, generator=None):
        uniform = torch.rand(shape, dtype=like.dtype, generator=generator) - 0.5
        return -uniform.sign() * torch.log1p(-2 * uniform.abs())


class LaplaceOfVarianceOne(Laplace):
    def log_prob(self, z):
        return (-z.abs() * math.sqrt(2) - 0.5 * math.log(2)).sum(-1)


class Moved(Gaussian):
    def __init__(self):
        super().__init__(1)
        nn.init.constant_(self.mu, 0.7)
        nn.init.constant_(self.log_var, -0.5)


class KLWithoutItsLogVariance(Moved):
    def kl(self, mu, log_var):
        return super().kl(mu, log_var) - 0.5 * self.log_var.sum()


class KLOtherWay(Moved):
    def kl(self, mu, log_var):
        own = Normal(self.mu, (0.5 * self.log_var).exp())
        return kl_divergence(own, Normal(mu, (0.5 * log_var).exp())).sum(-1)


class KLOfStandard(Moved):
    def kl(self, mu, log_var):
        return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)


PRIORS = (
    *(RawWeights, SoftmaxAdded, MeanOfLogs, HardMax, EquallyOften, VarianceForSd, OneForAll, Averaged, OwnGenerator),
    *(SquaredVariance, NoGradient, DetachedWeights, StudentTWithoutConstant, UniformDraws),
    *(KLWithoutItsLogVariance, KLOtherWay, KLOfStandard),
)


# Mixtures
def log_components(z, mu, log_var):
    return -0.5 * (LOG_2PI + log_var + (z[:, None] - mu) ** 2 * (-log_var).exp()).sum(-1)


def terms(z, logits, mu, log_var):
    return logits.log_softmax(0) + log_components(z, mu, log_var)


def lse(values):
    return torch.logsumexp(values, -1)


def density(z, logits, mu, log_var):
    return terms(z, logits, mu, log_var).exp().sum(-1)


MIXTURES = {
    "softmax_added": lambda z, w, m, v: lse(w.softmax(0) + log_components(z, m, v)),
    "raw_logits": lambda z, w, m, v: lse(w + log_components(z, m, v)),
    "mean_of_logs": lambda z, w, m, v: (w.softmax(0) * log_components(z, m, v)).sum(-1),
    "underflows": lambda z, w, m, v: density(z, w, m, v).log(),
    "floor_in_the_log": lambda z, w, m, v: (density(z, w, m, v) + 1e-10).log(),
    "softmax_over_points": lambda z, w, m, v: lse((w + log_components(z, m, v)).log_softmax(0)),
    "no_constant": lambda z, w, m, v: lse(terms(z, w, m, v)) + 0.5 * LOG_2PI * z.shape[-1],
    "no_log_var": lambda z, w, m, v: lse(terms(z, w, m, v) + 0.5 * v.sum(-1)),
    "twice_log_var": lambda z, w, m, v: lse(terms(z, w, m, 2 * v)),
    "each_dimension": lambda z, w, m, v: torch.stack(
        [lse(terms(z[:, i : i + 1], w, m[:, i : i + 1], v[:, i : i + 1])) for i in range(z.shape[1])]
    ).sum(0),
    "largest": lambda z, w, m, v: terms(z, w, m, v).amax(-1),
    "minus_log_c": lambda z, w, m, v: lse(terms(z, w, m, v)) - math.log(len(w)),
    "uniform_weights": lambda z, w, m, v: lse(log_components(z, m, v)) - math.log(len(w)),
    "negative": lambda z, w, m, v: -lse(terms(z, w, m, v)),
    "density": density,
    "sigmoid_weights": lambda z, w, m, v: lse(F.logsigmoid(w) + log_components(z, m, v)),
    "weights_detached": lambda z, w, m, v: lse(terms(z, w.detach(), m, v)),
    "largest_never_added_back": lambda z, w, m, v: lse(terms(z, w, m, v) - terms(z, w, m, v).amax(-1, keepdim=True)),
    "mean_over_dimensions": lambda z, w, m, v: lse(w.log_softmax(0) + log_components(z, m, v) / z.shape[-1]),
    "batch_mean": lambda z, w, m, v: lse(terms(z, w, m, v)).mean(),
    "heaviest_alone": lambda z, w, m, v: log_components(z, m, v)[:, w.argmax()],
    "weights_in_reverse": lambda z, w, m, v: lse(w.log_softmax(0).flip(0) + log_components(z, m, v)),
    "logits_clamped": lambda z, w, m, v: lse(terms(z, w.clamp(-2, 2), m, v)),
    "log_var_clamped": lambda z, w, m, v: lse(terms(z, w, m, v.clamp(min=-3))),
    "temperature": lambda z, w, m, v: lse(terms(z, w / 2, m, v)),
    "half_the_constant": lambda z, w, m, v: lse(terms(z, w, m, v)) + 0.25 * LOG_2PI * z.shape[-1],
}


# Quantizers
def squares(z, codebook):
    return ((z[:, None] - codebook) ** 2).sum(-1)


def nearest(z, codebook):
    return squares(z, codebook).argmin(-1)


def straight(z, e):
    return z + (e - z).detach()


def pulls(z, e):
    """The squared distances with a gradient to e alone, and to z alone."""
    return ((z.detach() - e) ** 2).sum(-1), ((z - e.detach()) ** 2).sum(-1)


def with_codes(codes):
    def quantizer(z, codebook, beta):
        e = codebook[codes(z, codebook)]
        of_e, of_z = pulls(z, e)
        return straight(z, e), of_e + beta * of_z

    return quantizer


def with_parts(formula):
    """The pair from z, e, both squared distances and β."""
    return lambda z, codebook, beta: (lambda e: formula(z, e, *pulls(z, e), beta))(codebook[nearest(z, codebook)])


def soft(z, codebook, beta):
    e = torch.softmax(-squares(z, codebook), -1) @ codebook
    of_e, of_z = pulls(z, e)
    return straight(z, e), of_e + beta * of_z


def moving_average(z, codebook, beta):
    codes = nearest(z, codebook)
    codebook.data[codes] = 0.99 * codebook.data[codes] + 0.01 * z.data
    return with_codes(nearest)(z, codebook, beta)


def normalized(z, codebook, beta):
    return with_codes(nearest)(z, F.normalize(codebook, dim=-1), beta)


QUANTIZERS = {
    "no_straight_through": with_parts(lambda z, e, of_e, of_z, beta: (e, of_e + beta * of_z)),
    "straight_through_swapped": with_parts(lambda z, e, of_e, of_z, beta: (straight(e, z), of_e + beta * of_z)),
    "mean": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), (of_e + beta * of_z) / z.shape[-1])),
    "batch_mean": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), (of_e + beta * of_z).mean())),
    "no_stop": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), (1 + beta) * ((z - e) ** 2).sum(-1))),
    "beta_on_the_codebook": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), beta * of_e + of_z)),
    "beta_on_both": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), beta * (of_e + of_z))),
    "no_beta": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), of_e + of_z)),
    "no_commitment": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), of_e)),
    "no_codebook_loss": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), beta * of_z)),
    "both_pull_z": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), (1 + beta) * of_z)),
    "both_pull_e": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), (1 + beta) * of_e)),
    "detached": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), (of_e + beta * of_z).detach())),
    "distances": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), of_e.sqrt() + beta * of_z.sqrt())),
    "halved": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), 0.5 * (of_e + beta * of_z))),
    "absolute": with_parts(
        lambda z, e, of_e, of_z, beta: (
            straight(z, e),
            (z.detach() - e).abs().sum(-1) + beta * (z - e.detach()).abs().sum(-1),
        )
    ),
    "farthest": with_codes(lambda z, c: squares(z, c).argmax(-1)),
    "dot_product": with_codes(lambda z, c: (z @ c.T).argmax(-1)),
    "cosine": with_codes(lambda z, c: (F.normalize(z, dim=-1) @ F.normalize(c, dim=-1).T).argmax(-1)),
    "two_missing": with_codes(lambda z, c: (c.square().sum(-1) - z @ c.T).argmin(-1)),
    "nearest_by_sum": with_codes(lambda z, c: (z[:, None] - c).abs().sum(-1).argmin(-1)),
    "nearest_by_largest": with_codes(lambda z, c: (z[:, None] - c).abs().amax(-1).argmin(-1)),
    "first_code_for_all": with_codes(lambda z, c: nearest(z[:1], c).expand(len(z))),
    "wrong_axis": with_codes(lambda z, c: squares(z, c).argmin(0)[torch.arange(len(z)) % len(c)] % len(c)),
    "z_itself": with_parts(lambda z, e, of_e, of_z, beta: (z, of_e + beta * of_z)),
    "code_detached": with_parts(lambda z, e, of_e, of_z, beta: (e.detach(), of_e + beta * of_z)),
    "gradient_twice": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e) + z - z.detach(), of_e + beta * of_z)),
    "beta_fixed": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), of_e + 0.25 * of_z)),
    "loss_of_z_q": with_parts(
        lambda z, e, of_e, of_z, beta: (straight(z, e), pulls(z, straight(z, e))[0] + beta * of_z)
    ),
    "soft": soft,
    "normalized_codes": normalized,
    "changes_the_codebook": moving_average,
    "with_indices": with_parts(lambda z, e, of_e, of_z, beta: (straight(z, e), of_e + beta * of_z, e)),
    "other_order": with_parts(lambda z, e, of_e, of_z, beta: (of_e + beta * of_z, straight(z, e))),
}


def judged(check, *arguments, **settings):
    return functools.partial(check, *arguments, **settings)


WRONG += [("check_flow", name, judged(check_flow, flow, 2)) for name, flow in PLANAR.items()]
WRONG += [("check_flow", name, judged(check_flow, flow, 4)) for name, flow in COUPLING.items()]
WRONG += [("check_flow", name, judged(check_flow, fn, n, **how)) for name, (fn, n, how) in OTHER_FLOWS.items()]
WRONG += [("check_prior", prior.__name__, judged(check_prior, prior(), *LINE)) for prior in PRIORS]
WRONG += [
    ("check_prior", type(prior).__name__, judged(check_prior, prior, *PLANE))
    for prior in (MeanOverDimensions(2), RowsAlike(2), CorrelatedDraws())
]
WRONG += [("check_prior", "LaplaceOfVarianceOne", judged(check_prior, LaplaceOfVarianceOne(), *FINE))]
WRONG += [("check_log_mixture", name, judged(check_log_mixture, fn)) for name, fn in MIXTURES.items()]
WRONG += [("check_quantizer", name, judged(check_quantizer, fn)) for name, fn in QUANTIZERS.items()]


# Right flows, in unusual style
TURN = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[0]
MIRROR = torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.5, 0.3], [0.2, 0.0, 0.8]], dtype=torch.float64)


def waves(z):
    return z + 0.3 * torch.sin(z.roll(1, -1))


def by_autograd(z):
    rows = z.reshape(-1, z.shape[-1])
    jacobian = torch.vmap(torch.func.jacrev(waves))(rows)
    return waves(z), torch.linalg.slogdet(jacobian).logabsdet.reshape(z.shape[:-1])


def by_distributions(z):
    transform = ComposeTransform([AffineTransform(0.5, 2.0), SigmoidTransform()])
    z_new = transform(z)
    return z_new, transform.log_abs_det_jacobian(z, z_new).sum(-1)


def in_float32(z):
    single = z.float()
    tanh = torch.tanh(single)
    return (single + 0.5 * tanh).to(z.dtype), torch.log1p(0.5 * (1 - tanh**2)).sum(-1).to(z.dtype)


def sinh_arcsinh(z):
    inner = torch.asinh(z) + 0.5
    return torch.sinh(inner), (torch.log(torch.cosh(inner)) - 0.5 * torch.log1p(z**2)).sum(-1)


class InPlace(Coupling):
    def forward(self, z):
        s, t = self.net(z[..., :2])
        z_new = z.clone()
        z_new[..., 2:] *= s.exp()
        z_new[..., 2:] += t
        return z_new, s.sum(-1)


class Swapped(Coupling):
    def forward(self, z):
        a, b = z.chunk(2, -1)
        s, t = self.net(a)
        return torch.cat([affine(b, s, t), a], -1), s.sum(-1)


def mirrored(z):
    return torch.einsum("ij,...j->...i", MIRROR, z), torch.linalg.slogdet(MIRROR).logabsdet.expand(z.shape[:-1])


RIGHT += [
    ("check_flow", "planar", judged(check_flow, right_planar, 2)),
    ("check_flow", "loop", judged(check_flow, Coupling(affine, lambda s, t: sum(s.unbind(-1))), 4)),
    (
        "check_flow",
        "sigmoid_scale",
        judged(
            check_flow,
            Coupling(lambda b, s, t: b * torch.sigmoid(s + 2) + t, lambda s, t: F.logsigmoid(s + 2).sum(-1)),
            4,
        ),
    ),
    ("check_flow", "shift_first", judged(check_flow, shift_first, 4, inverse=right_way_back)),
    ("check_flow", "in_place_on_a_copy", judged(check_flow, InPlace(affine, summed), 4)),
    ("check_flow", "halves_exchanged", judged(check_flow, Swapped(affine, summed), 4)),
    ("check_flow", "vmap_of_jacrev", judged(check_flow, by_autograd, 3)),
    ("check_flow", "distributions", judged(check_flow, by_distributions, 2)),
    ("check_flow", "rotation", judged(check_flow, lambda z: (z @ TURN.T, z.new_zeros(z.shape[:-1])), 3)),
    ("check_flow", "mirrored", judged(check_flow, mirrored, 3)),
    ("check_flow", "float32", judged(check_flow, in_float32, 2)),
    ("check_flow", "list", judged(check_flow, lambda z: [*doubled(z)], 2)),
    (
        "check_flow",
        "sinh_arcsinh",
        judged(check_flow, sinh_arcsinh, 2, inverse=lambda z: torch.sinh(torch.asinh(z) - 0.5)),
    ),
]


class ByMixtureSameFamily(Prior):
    def __init__(self):
        super().__init__()
        self.logits, self.loc, self.log_sd = (
            nn.Parameter(torch.tensor(v)) for v in ([0.3, -0.2, 0.5], [-3.0, 0.0, 2.0], [0.1, 0.2, -0.3])
        )

    def log_prob(self, z):
        parts = Normal(self.loc, self.log_sd.exp())
        return MixtureSameFamily(Categorical(logits=self.logits), parts).log_prob(z.squeeze(-1))

    def sample(self, shape, *, like, generator=None):
        uniform = torch.rand(shape[:-1], dtype=like.dtype, generator=generator)
        k = torch.bucketize(uniform, self.logits.softmax(0).cumsum(0)[:-1])
        eps = torch.randn(shape[:-1], dtype=like.dtype, generator=generator)
        return (self.loc[k] + self.log_sd.exp()[k] * eps)[..., None]


class FullCovariance(Prior):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
        self.mu = nn.Parameter(torch.tensor([0.3, -0.2]))

    def log_prob(self, z):
        return MultivariateNormal(self.mu, scale_tril=self.factor.tril()).log_prob(z)

    def sample(self, shape, *, like, generator=None):
        return self.mu + torch.randn(shape, dtype=like.dtype, generator=generator) @ self.factor.tril().T


RIGHT += [
    ("check_prior", "multinomial", judged(check_prior, Two(), *LINE)),
    ("check_prior", "two_dimensions", judged(check_prior, Two(2), *PLANE)),
    ("check_prior", "closed_kl", judged(check_prior, Moved(), *LINE)),
    ("check_prior", "mixture_same_family", judged(check_prior, ByMixtureSameFamily(), *LINE)),
    ("check_prior", "student_t", judged(check_prior, StudentT(), *grid([-1000.0], [1000.0], 20001))),
    ("check_prior", "laplace", judged(check_prior, Laplace(), *FINE)),
    ("check_prior", "full_covariance", judged(check_prior, FullCovariance(), *PLANE)),
]


def by_hand(z, w, m, v):
    values = terms(z, w, m, v)
    top = values.amax(-1).detach()
    return (values - top[:, None]).exp().sum(-1).log() + top


def by_family(z, w, m, v):
    return MixtureSameFamily(Categorical(logits=w), Independent(Normal(m, (v / 2).exp()), 1)).log_prob(z)


def by_loop(z, w, m, v):
    weights = w.log_softmax(0)
    each = [weights[c] + Normal(m[c], (v[c] / 2).exp()).log_prob(z).sum(-1) for c in range(len(w))]
    return functools.reduce(torch.logaddexp, each)


def by_vmap(z, w, m, v):
    return torch.vmap(lambda one: terms(one[None], w, m, v).logsumexp(-1)[0])(z)


def by_matrices(z, w, m, v):
    gaussians = MultivariateNormal(m, scale_tril=torch.diag_embed((v / 2).exp()))
    return lse(w.log_softmax(0) + gaussians.log_prob(z[:, None]))


MIXED = (by_hand, by_family, by_loop, by_vmap, by_matrices)
RIGHT += [("check_log_mixture", fn.__name__, judged(check_log_mixture, fn)) for fn in MIXED]


def by_one_hot(z, codebook, beta):
    e = F.one_hot(torch.cdist(z, codebook).argmin(-1), len(codebook)).to(z.dtype) @ codebook
    of_e, of_z = (F.mse_loss(a, b.detach(), reduction="none").sum(-1) for a, b in ((e, z), (z, e)))
    return straight(z, e), of_e + beta * of_z


def by_expansion(z, codebook, beta):
    distances = z.square().sum(-1, keepdim=True) - 2 * z @ codebook.T + codebook.square().sum(-1)
    e = F.embedding(distances.argmin(-1), codebook)
    return straight(z, e), (e - z.detach()).square().sum(-1) + beta * (e.detach() - z).square().sum(-1)


class PassesOn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, e):
        return e.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def by_function(z, codebook, beta):
    e = torch.stack([codebook[int(((row - codebook) ** 2).sum(-1).argmin())] for row in z.detach()])
    of_e, of_z = pulls(z, e)
    return PassesOn.apply(z, e), of_e + beta * of_z


def by_einsum(z, codebook, beta):
    codes = torch.vmap(lambda row: torch.linalg.vector_norm(row - codebook, dim=-1).argmin())(z)
    e = codebook.index_select(0, codes)
    of_e, of_z = (torch.einsum("ne,ne->n", d, d) for d in (e - z.detach(), z - e.detach()))
    return e.detach() + z - z.detach(), of_e + beta * of_z


QUANTIZED = (by_one_hot, by_expansion, by_function, by_einsum)
RIGHT += [("check_quantizer", fn.__name__, judged(check_quantizer, fn)) for fn in QUANTIZED]
