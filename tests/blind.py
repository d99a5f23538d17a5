"""Blind test material: WRONG and RIGHT answers of learners, written without sight of the judges."""

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import AffineTransform, Bernoulli, Independent, MultivariateNormal, Normal, kl_divergence
from torch.distributions.transformed_distribution import TransformedDistribution
from torch.utils.checkpoint import checkpoint

LOG_2PI = math.log(2 * math.pi)
WRONG = []
RIGHT = []


def wrong(judge, why):
    """Enter the decorated function into WRONG under its own name."""

    def enter(fn):
        WRONG.append((judge, fn.__name__, fn, why))
        return fn

    return enter


def right(judge):
    """Enter the decorated function into RIGHT under its own name."""

    def enter(fn):
        RIGHT.append((judge, fn.__name__, fn))
        return fn

    return enter


def kl_terms(mu, log_var):
    return -0.5 * (1 + log_var - mu**2 - log_var.exp())


# Wrong: the Kullback-Leibler divergence
WRONG_KL = [
    ("no_minus_one", lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - log_var).sum(1), "The -1 is missing."),
    ("negated", lambda mu, log_var: 0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(1), "The sign is flipped."),
    ("latent_mean", lambda mu, log_var: -0.5 * (1 + log_var - mu**2 - log_var.exp()).mean(1), "Mean, not sum, over L."),
    ("one_number", lambda mu, log_var: -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(), "Sums over examples too."),
    ("no_half", lambda mu, log_var: (mu**2 + log_var.exp() - 1 - log_var).sum(1), "The factor 1/2 is missing."),
    ("log_std", lambda mu, log_var: (mu**2 + (2 * log_var).exp() - 1 - 2 * log_var).sum(1) / 2, "As log sigma."),
    ("bits", lambda mu, log_var: (mu**2 + log_var.exp() - 1 - log_var).sum(1) / 2 / math.log(2), "In bits, not nats."),
    ("std", lambda mu, log_var: (mu**2 + (log_var / 2).exp() - 1 - log_var).sum(1) / 2, "sigma in place of sigma^2."),
    ("over_examples", lambda mu, log_var: (mu**2 + log_var.exp() - 1 - log_var).sum(0) / 2, "Sums over axis 0: (L,)."),
    ("squeezed", lambda mu, log_var: kl_terms(mu, log_var).sum(1, keepdim=True).squeeze(), "Shape () for B = 1."),
    ("batch_mean", lambda mu, log_var: kl_terms(mu, log_var).sum(1).mean().expand(len(mu)), "All get the batch mean."),
    ("detached", lambda mu, log_var: kl_terms(mu, log_var.detach()).sum(1), "No gradient in log_var."),
    ("minus_b", lambda mu, log_var: (mu**2 + log_var.exp() - log_var).sum(1) / 2 - len(mu) / 2, "B in place of L."),
    ("bracket", lambda mu, log_var: -0.5 * (1 + log_var - mu**2).sum(1) - log_var.exp().sum(1), "1/2 misses sigma^2."),
]


class WrongKL:
    @wrong("check_kl", "log_var is clamped to [-10, 10].")
    def clamped_log_var(mu, log_var):
        log_var = torch.clamp(log_var, -10, 10)
        return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=1)

    @wrong("check_kl", "Computed in half precision, where exp(12) overflows.")
    def half_precision(mu, log_var):
        m, v = mu.half(), log_var.half()
        return (-0.5 * (1 + v - m * m - v.exp()).sum(1)).to(mu.dtype)

    @wrong("check_kl", "The two distributions are swapped: KL(p || q).")
    def swapped(mu, log_var):
        q = Normal(mu, (0.5 * log_var).exp())
        p = Normal(torch.zeros_like(mu), torch.ones_like(mu))
        return kl_divergence(p, q).sum(-1)

    @wrong("check_kl", "Normal gets the variance as its scale.")
    def variance_as_scale(mu, log_var):
        prior = Normal(torch.zeros_like(mu), torch.ones_like(mu))
        return kl_divergence(Normal(mu, log_var.exp()), prior).sum(-1)

    @wrong("check_kl", "Free bits: no dimension counts less than a quarter of a nat.")
    def free_bits(mu, log_var):
        per_dim = 0.5 * (mu**2 + log_var.exp() - 1 - log_var)
        return per_dim.clamp(min=0.25).sum(1)

    @wrong("check_kl", "A floor of 1e-5 is added to the variance inside the logarithm.")
    def floor_in_log(mu, log_var):
        var = log_var.exp()
        return 0.5 * (mu**2 + var - 1 - torch.log(var + 1e-5)).sum(1)

    @wrong("check_kl", "Overwrites log_var in place.")
    def in_place(mu, log_var):
        var = torch.exp(log_var)
        log_var += 1
        log_var -= mu**2 + var
        return -0.5 * log_var.sum(1)

    @wrong("check_kl", "A noisy estimate from one draw, not the divergence.")
    def monte_carlo(mu, log_var):
        q = Normal(mu, torch.exp(log_var / 2))
        z = q.rsample()
        return (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(-1)


# Wrong: the log-density of a diagonal Gaussian
WRONG_NORMAL = [
    ("no_two_pi", lambda x, mu, log_var: -(log_var + (x - mu) ** 2 / log_var.exp()).sum(1) / 2, "No log(2 pi)."),
    ("times", lambda x, mu, log_var: -(LOG_2PI + log_var + (x - mu) ** 2 * log_var.exp()).sum(1) / 2, "* sigma^2."),
    ("full", lambda x, mu, log_var: -(LOG_2PI / 2 + log_var + (x - mu) ** 2 / log_var.exp() / 2).sum(1), "1/2 lost."),
    ("mean", lambda x, mu, log_var: -(LOG_2PI + log_var + (x - mu) ** 2 / log_var.exp()).mean(1) / 2, "Mean over D."),
    ("once", lambda x, mu, log_var: -(LOG_2PI + (log_var + (x - mu) ** 2 / log_var.exp()).sum(1)) / 2, "One 2 pi."),
    ("plus", lambda x, mu, log_var: -(LOG_2PI - log_var + (x - mu) ** 2 / log_var.exp()).sum(1) / 2, "+ log sigma."),
    ("negative", lambda x, mu, log_var: (LOG_2PI + log_var + (x - mu) ** 2 / log_var.exp()).sum(1) / 2, "The loss."),
    ("abs", lambda x, mu, log_var: -(LOG_2PI + log_var + (x - mu).abs() / log_var.exp()).sum(1) / 2, "Not squared."),
    ("scale", lambda x, mu, log_var: Normal(mu, log_var.exp()).log_prob(x).sum(1), "The variance is given as scale."),
    ("first_var", lambda x, mu, log_var: Normal(mu, (log_var[0] / 2).exp()).log_prob(x).sum(1), "Only variance 0."),
    ("nll", lambda x, mu, log_var: -F.gaussian_nll_loss(mu, x, log_var.exp(), reduction="none").sum(1), "No constant."),
]


LOG_DETS = {}


class WrongNormal:
    @wrong("check_log_normal", "Multiplies densities first, so that the product under- or overflows.")
    def log_of_product(x, mu, log_var):
        var = log_var.exp()
        density = torch.exp(-((x - mu) ** 2) / (2 * var)) / torch.sqrt(2 * math.pi * var)
        return torch.log(density.prod(dim=1))

    @wrong("check_log_normal", "The variance has a floor of 1e-4.")
    def variance_floor(x, mu, log_var):
        var = log_var.exp().clamp(min=1e-4)
        return (-0.5 * (2 * math.pi * var).log() - (x - mu) ** 2 / (2 * var)).sum(1)

    @wrong("check_log_normal", "Overwrites x with the residual.")
    def residual_in_place(x, mu, log_var):
        x -= mu
        return -0.5 * (LOG_2PI + log_var + x * x * torch.exp(-log_var)).sum(1)

    @wrong("check_log_normal", "No gradient through the variance.")
    def no_grad_variance(x, mu, log_var):
        with torch.no_grad():
            std = torch.exp(0.5 * log_var)
        return Normal(mu, std).log_prob(x).sum(1)

    @wrong("check_log_normal", "Keeps the log-determinant of the first call of each shape.")
    def cached_log_det(x, mu, log_var):
        if x.shape not in LOG_DETS:
            LOG_DETS[x.shape] = log_var.sum(1).detach()
        quadratic = ((x - mu) ** 2 / log_var.exp()).sum(1)
        return -0.5 * (x.shape[1] * LOG_2PI + LOG_DETS[x.shape] + quadratic)

    @wrong("check_log_normal", "Transposes log_var and reshapes it back, which mixes examples and dimensions.")
    def reshaped(x, mu, log_var):
        log_var = log_var.t().reshape(x.shape)
        return -0.5 * (LOG_2PI + log_var + (x - mu) ** 2 / log_var.exp()).sum(1)

    @wrong("check_log_normal", "Two mistakes: no constant, and sigma in place of sigma^2 below the square.")
    def two_mistakes(x, mu, log_var):
        std = torch.exp(0.5 * log_var)
        return torch.sum(-torch.log(std) - (x - mu) ** 2 / (2 * std), dim=1)


# Wrong: the log-probability of Bernoullis
WRONG_BERNOULLI = [
    ("from_probs", lambda x, logits: Bernoulli(logits.sigmoid()).log_prob(x).sum(1), "Clamps the probabilities."),
    ("roles", lambda x, logits: (x * logits - F.softplus(x)).sum(1), "softplus of x, not of the logits."),
    ("bce", lambda x, logits: -F.binary_cross_entropy(logits.sigmoid(), x, reduction="none").sum(1), "log(0) = -100."),
    ("pixel_mean", lambda x, logits: (x * logits - F.softplus(logits)).mean(1), "Mean, not sum, over pixels."),
    ("twice", lambda x, logits: (x * logits.sigmoid() - F.softplus(logits.sigmoid())).sum(1), "Sigmoid taken twice."),
    ("ones_only", lambda x, logits: (x * F.logsigmoid(logits)).sum(1), "The term of the zeros is missing."),
    ("softmax_head", lambda x, logits: (x * logits.log_softmax(1)).sum(1), "Softmax over pixels, not a sigmoid each."),
    ("squared_error", lambda x, logits: -((x - logits.sigmoid()) ** 2).sum(1), "Squared error."),
    ("no_recoding", lambda x, logits: F.logsigmoid(x * logits).sum(1), "x must be -1 or 1 here, and it is 0 or 1."),
    ("over_batch", lambda x, logits: (x * logits - F.softplus(logits)).sum(0), "Sums over axis 0: shape (D,)."),
    ("squeeze", lambda x, logits: (x * logits - F.softplus(logits)).squeeze().sum(-1), "D = 1: sums over examples."),
]


class WrongBernoulli:
    @wrong("check_log_bernoulli", "Logits are clamped to [-15, 15].")
    def clamped_logits(x, logits):
        logits = logits.clamp(-15, 15)
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1)

    @wrong("check_log_bernoulli", "Unstable: the sigmoid rounds to 1, and log(0) gives inf or nan.")
    def naive_logs(x, logits):
        p = torch.sigmoid(logits)
        return (x * torch.log(p) + (1 - x) * torch.log(1 - p)).sum(dim=-1)

    @wrong("check_log_bernoulli", "Computed in bfloat16.")
    def bfloat16(x, logits):
        x16, logits16 = x.bfloat16(), logits.bfloat16()
        return (x16 * logits16 - F.softplus(logits16)).sum(1).to(logits.dtype)

    @wrong("check_log_bernoulli", "Overwrites the logits with their absolute values.")
    def abs_in_place(x, logits):
        linear = x * logits - logits.relu()
        return (linear - torch.log1p(torch.exp(-logits.abs_()))).sum(1)

    @wrong("check_log_bernoulli", "Goes through NumPy and loses the gradient.")
    def through_numpy(x, logits):
        a, t = logits.detach().numpy(), x.detach().numpy()
        return torch.from_numpy((t * a - np.logaddexp(0, a)).sum(axis=1))


# Wrong: the sampler
WRONG_SAMPLER = [
    ("variance", lambda mu, log_var, eps: mu + log_var.exp() * eps, "Scales by the variance."),
    ("half_outside", lambda mu, log_var, eps: mu + 0.5 * log_var.exp() * eps, "Halves outside of the exponential."),
    ("inverse", lambda mu, log_var, eps: mu + torch.exp(-0.5 * log_var) * eps, "Scales by 1 / sigma."),
    ("softplus", lambda mu, log_var, eps: mu + F.softplus(log_var) * eps, "softplus(log_var) is taken for sigma."),
    ("fresh", lambda mu, log_var, eps: mu + (log_var / 2).exp() * torch.randn_like(eps), "Draws its own noise."),
    ("one_noise", lambda mu, log_var, eps: mu + (log_var / 2).exp() * eps[..., :1], "One noise for all latents."),
    ("detached", lambda mu, log_var, eps: mu + (log_var.detach() / 2).exp() * eps, "log_var gets no gradient."),
    ("truncated", lambda mu, log_var, eps: mu + (log_var / 2).exp() * eps.clamp(-2, 2), "Truncates the noise at 2."),
    ("float32", lambda mu, log_var, eps: (mu + (log_var / 2).exp() * eps).float(), "Always returns float32."),
    ("clamped", lambda mu, log_var, eps: mu + (log_var.clamp(max=8) / 2).exp() * eps, "log_var is cut off at 8."),
    ("scaled_mean", lambda mu, log_var, eps: (mu + eps) * (log_var / 2).exp(), "Scales the mean by sigma too."),
]


class WrongSampler:
    @wrong("check_reparameterize", "All K samples use the noise of the first.")
    def first_of_k(mu, log_var, eps):
        noise = eps[0].expand_as(eps) if eps.dim() == 3 else eps
        return mu + torch.exp(0.5 * log_var) * noise

    @wrong("check_reparameterize", "Repeats each row K times and reads the rows as K batches: examples are mixed.")
    def interleaved(mu, log_var, eps):
        k = eps.numel() // mu.numel()
        mu_k = mu.repeat_interleave(k, dim=0).reshape(eps.shape)
        std_k = torch.exp(0.5 * log_var).repeat_interleave(k, dim=0).reshape(eps.shape)
        return mu_k + std_k * eps

    @wrong("check_reparameterize", "Overwrites the caller's noise.")
    def noise_in_place(mu, log_var, eps):
        std = torch.exp(0.5 * log_var)
        return eps.mul_(std).add_(mu)

    @wrong("check_reparameterize", "Returns the mean where gradients are off, as if evaluation needed no noise.")
    def mean_in_evaluation(mu, log_var, eps):
        if not torch.is_grad_enabled():
            return mu.expand_as(eps)
        return mu + torch.exp(0.5 * log_var) * eps

    @wrong("check_reparameterize", "Replaces the second half of the K noises by the mirrored first half.")
    def antithetic(mu, log_var, eps):
        half = len(eps) // 2
        if eps.dim() == 3 and half > 0:
            eps = torch.cat([eps[:half], -eps[:half], eps[2 * half :]])
        return mu + torch.exp(0.5 * log_var) * eps


# The ELBO: correct parts, on which the wrong and the right ones draw


def draw(mu, log_var, eps):
    return mu + torch.exp(0.5 * log_var) * eps


def gaussian_kl(mu, log_var):
    return kl_terms(mu, log_var).sum(-1)


def log_q(z, mu, log_var):
    return -0.5 * (LOG_2PI + log_var + (z - mu) ** 2 * torch.exp(-log_var)).sum(-1)


def terms(model, x, eps):
    """The mean log-likelihood and the divergence, both right."""
    mu, log_var = model.encode(x)
    return model.log_likelihood(x, draw(mu, log_var, eps)).mean(0), gaussian_kl(mu, log_var)


class WarmUp:
    """The ELBO with a weight on the divergence that grows with every call."""

    def __init__(self, n_steps):
        self.n_steps = n_steps
        self.step = 0

    def __call__(self, model, x, eps):
        self.step += 1
        beta = min(1.0, self.step / self.n_steps)
        log_px, kl = terms(model, x, eps)
        return log_px - beta * kl


WRONG.append(("check_elbo", "kl_warm_up", WarmUp(100), "The weight of the divergence grows from call to call."))


class WrongELBO:
    @wrong("check_elbo", "Squared error stands for the log-likelihood.")
    def squared_error(model, x, eps):
        mu, log_var = model.encode(x)
        x_hat = model.decode(draw(mu, log_var, eps))
        return -((x - x_hat) ** 2).sum(-1).mean(0) - gaussian_kl(mu, log_var)

    @wrong("check_elbo", "Cross-entropy, averaged over the pixels, stands for the log-likelihood.")
    def cross_entropy(model, x, eps):
        mu, log_var = model.encode(x)
        logits = model.decode(draw(mu, log_var, eps))
        bce = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
        return -bce.mean(-1).mean(0) - gaussian_kl(mu, log_var)

    @wrong("check_elbo", "Returns the loss, the negative ELBO.")
    def loss(model, x, eps):
        log_px, kl = terms(model, x, eps)
        return kl - log_px

    @wrong("check_elbo", "Adds the divergence.")
    def plus_kl(model, x, eps):
        return sum(terms(model, x, eps))

    @wrong("check_elbo", "Subtracts from each example the divergence of the whole batch.")
    def kl_of_batch(model, x, eps):
        log_px, kl = terms(model, x, eps)
        return log_px - kl.sum()

    @wrong("check_elbo", "The encoder's log_var is read as log sigma throughout.")
    def log_sigma(model, x, eps):
        mu, log_std = model.encode(x)
        kl = 0.5 * (mu**2 + torch.exp(2 * log_std) - 1 - 2 * log_std).sum(-1)
        return model.log_likelihood(x, mu + torch.exp(log_std) * eps).mean(0) - kl

    @wrong("check_elbo", "The divergence is averaged over the latent dimensions.")
    def mean_kl(model, x, eps):
        mu, log_var = model.encode(x)
        kl = -0.5 * torch.mean(1 + log_var - mu.pow(2) - log_var.exp(), dim=1)
        return model.log_likelihood(x, draw(mu, log_var, eps)).mean(0) - kl

    @wrong("check_elbo", "Averages the noise over K first and decodes one point with too little noise.")
    def averaged_noise(model, x, eps):
        mu, log_var = model.encode(x)
        z = draw(mu, log_var, eps.mean(0))
        return model.log_likelihood(x, z) - gaussian_kl(mu, log_var)

    @wrong("check_elbo", "The importance-weighted bound, not the ELBO.")
    def importance_weighted(model, x, eps):
        mu, log_var = model.encode(x)
        z = draw(mu, log_var, eps)
        log_w = model.log_likelihood(x, z) + model.log_prior(z) - log_q(z, mu, log_var)
        return torch.logsumexp(log_w, 0) - math.log(len(eps))

    @wrong("check_elbo", "Reconstructs from the mean of q, without noise.")
    def at_the_mean(model, x, eps):
        mu, log_var = model.encode(x)
        return model.log_likelihood(x, mu) - gaussian_kl(mu, log_var)

    @wrong("check_elbo", "log q lacks its constant, while the prior has it.")
    def log_q_without_constant(model, x, eps):
        mu, log_var = model.encode(x)
        z = draw(mu, log_var, eps)
        log_qz = -0.5 * (log_var + eps**2).sum(-1)
        return (model.log_likelihood(x, z) + model.log_prior(z) - log_qz).mean(0)

    @wrong("check_elbo", "z is detached before the decoder: the encoder learns only from the divergence.")
    def detached_z(model, x, eps):
        mu, log_var = model.encode(x)
        z = draw(mu, log_var, eps).detach()
        return model.log_likelihood(x, z).mean(0) - gaussian_kl(mu, log_var)

    @wrong("check_elbo", "The prior is evaluated at the noise, not at z.")
    def prior_at_noise(model, x, eps):
        mu, log_var = model.encode(x)
        z = draw(mu, log_var, eps)
        return (model.log_likelihood(x, z) + model.log_prior(eps) - log_q(z, mu, log_var)).mean(0)

    @wrong("check_elbo", "The density of the noise stands for that of z: the Jacobian, -log sigma, is missing.")
    def no_jacobian(model, x, eps):
        mu, log_var = model.encode(x)
        z = draw(mu, log_var, eps)
        log_qz = Normal(0.0, 1.0).log_prob(eps).sum(-1)
        return (model.log_likelihood(x, z) + model.log_prior(z) - log_qz).mean(0)

    @wrong("check_elbo", "All examples share the noise of the first.")
    def shared_noise(model, x, eps):
        mu, log_var = model.encode(x)
        z = draw(mu, log_var, eps[:, :1])
        return model.log_likelihood(x, z).mean(0) - gaussian_kl(mu, log_var)

    @wrong("check_elbo", "x is repeated example by example, z runs sample by sample: they do not match.")
    def mismatched_rows(model, x, eps):
        mu, log_var = model.encode(x)
        z = draw(mu, log_var, eps)
        k, b, latent_dim = z.shape
        log_px = model.log_likelihood(x.repeat_interleave(k, 0), z.reshape(k * b, latent_dim))
        return log_px.reshape(k, b).mean(0) - gaussian_kl(mu, log_var)

    @wrong("check_elbo", "The divergence counts twice: sampled, and once more in closed form.")
    def kl_twice(model, x, eps):
        mu, log_var = model.encode(x)
        z = draw(mu, log_var, eps)
        sampled = model.log_likelihood(x, z) + model.log_prior(z) - log_q(z, mu, log_var)
        return sampled.mean(0) - gaussian_kl(mu, log_var)


# Wrong: the importance-weighted bound
WRONG_IWAE = [
    ("elbo", lambda log_w: log_w.mean(0), "Mean of the log-weights: the ELBO."),
    ("no_log_k", lambda log_w: torch.logsumexp(log_w, 0), "log K is not subtracted."),
    ("plus_log_k", lambda log_w: torch.logsumexp(log_w, 0) + math.log(len(log_w)), "log K is added."),
    ("axis_1", lambda log_w: torch.logsumexp(log_w, 1) - math.log(log_w.shape[1]), "Over examples, not samples."),
    ("log_b", lambda log_w: torch.logsumexp(log_w, 0) - math.log(log_w.shape[1]), "Subtracts log B, not log K."),
    ("top", lambda log_w: (log_w - log_w.max(0).values).exp().mean(0).log(), "The maximum is not added back."),
    ("naive", lambda log_w: log_w.exp().mean(0).log(), "exp underflows to 0 for log-weights of -800: -inf."),
]


class WrongIWAE:
    @wrong("check_iwae_bound", "Signs inside out: the log of the harmonic mean.")
    def harmonic(log_w):
        low = log_w.min(dim=0).values
        return low - torch.log(torch.mean(torch.exp(low - log_w), dim=0))

    @wrong("check_iwae_bound", "Shifts the caller's log-weights in place.")
    def shifted_in_place(log_w):
        top = log_w.detach().max(dim=0).values
        log_w -= top
        return top + log_w.exp().mean(0).log()

    @wrong("check_iwae_bound", "Truncated importance sampling: weights above sqrt(K) times their mean are cut off.")
    def truncated_weights(log_w):
        k = len(log_w)
        limit = torch.logsumexp(log_w, 0) - 0.5 * math.log(k)
        return torch.logsumexp(torch.minimum(log_w, limit), 0) - math.log(k)


# Right: the Kullback-Leibler divergence
class NumpyKL(torch.autograd.Function):
    """In NumPy, with its derivatives written by hand."""

    @staticmethod
    def forward(ctx, mu, log_var):
        ctx.save_for_backward(mu, log_var)
        m, v = mu.detach().numpy(), log_var.detach().numpy()
        return torch.from_numpy(np.asarray(0.5 * (m**2 + np.expm1(v) - v).sum(axis=1)))

    @staticmethod
    def backward(ctx, grad):
        mu, log_var = ctx.saved_tensors
        return grad[:, None] * mu, grad[:, None] * 0.5 * torch.expm1(log_var)


class KLLayer(nn.Module):
    """A module without parameters."""

    def forward(self, mu, log_var):
        std = torch.exp(log_var / 2)
        return (0.5 * (std.square() + mu.square() - 1) - std.log()).sum(dim=-1)


def kl_multivariate(mu, log_var):
    unit = torch.eye(mu.shape[1], dtype=mu.dtype)
    q = MultivariateNormal(mu, scale_tril=torch.diag_embed(torch.exp(0.5 * log_var)))
    return kl_divergence(q, MultivariateNormal(torch.zeros_like(mu), scale_tril=unit.expand(len(mu), -1, -1)))


RIGHT += [
    ("check_kl", "kl_vmap", torch.vmap(lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum())),
    ("check_kl", "kl_numpy", NumpyKL.apply),
    ("check_kl", "kl_layer", KLLayer()),
    ("check_kl", "kl_multivariate", kl_multivariate),
]


class RightKL:
    @right("check_kl")
    def kl_einsum(mu, log_var):
        trace = torch.einsum("bl->b", torch.expm1(log_var) - log_var)
        return 0.5 * (torch.einsum("bl,bl->b", mu, mu) + trace)

    @right("check_kl")
    def kl_independent(mu, log_var):
        prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
        return kl_divergence(Independent(Normal(mu, log_var.mul(0.5).exp()), 1), prior)

    @right("check_kl")
    def kl_own_in_place(mu, log_var):
        out = log_var.neg()
        out += log_var.exp()
        out -= 1
        out += mu * mu
        return out.sum(1).mul_(0.5)

    @right("check_kl")
    def kl_loop(mu, log_var):
        return torch.stack([0.5 * (m.dot(m) + (v.exp() - v).sum() - len(v)) for m, v in zip(mu, log_var, strict=True)])


# Right: the log-density of a diagonal Gaussian
def power_density(x, mu, log_var, constant, power):
    residual = (x - mu) * torch.exp(-0.5 * log_var)
    return -0.5 * (residual**power + log_var + constant).sum(-1)


def ln_checkpoint(x, mu, log_var):
    return checkpoint(log_q, x, mu, log_var, use_reentrant=False)


def ln_multivariate(x, mu, log_var):
    return MultivariateNormal(mu, scale_tril=torch.diag_embed(torch.exp(0.5 * log_var))).log_prob(x)


RIGHT += [
    ("check_log_normal", "ln_multivariate", ln_multivariate),
    ("check_log_normal", "ln_partial", functools.partial(power_density, constant=LOG_2PI, power=2)),
    ("check_log_normal", "ln_checkpoint", ln_checkpoint),
    ("check_log_normal", "ln_vmap", torch.vmap(log_q)),
]


class RightNormal:
    @right("check_log_normal")
    def ln_affine(x, mu, log_var):
        base = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
        return TransformedDistribution(base, AffineTransform(mu, torch.exp(0.5 * log_var), event_dim=1)).log_prob(x)

    @right("check_log_normal")
    def ln_dims(x, mu, log_var):
        total = x.new_zeros(len(x))
        for d in range(x.shape[1]):
            total = total - 0.5 * (LOG_2PI + log_var[:, d] + (x[:, d] - mu[:, d]) ** 2 / log_var[:, d].exp())
        return total

    @right("check_log_normal")
    def ln_library_loss(x, mu, log_var):
        return -F.gaussian_nll_loss(mu, x, log_var.exp(), full=True, eps=1e-12, reduction="none").sum(1)


# Right: the log-probability of Bernoullis
class NumpyBernoulli(torch.autograd.Function):
    """In NumPy, with its derivatives written by hand."""

    @staticmethod
    def forward(ctx, x, logits):
        ctx.save_for_backward(x, logits)
        t, a = x.detach().numpy(), logits.detach().numpy()
        return torch.from_numpy(np.asarray(-(t * np.logaddexp(0, -a) + (1 - t) * np.logaddexp(0, a)).sum(axis=1)))

    @staticmethod
    def backward(ctx, grad):
        x, logits = ctx.saved_tensors
        return grad[:, None] * logits, grad[:, None] * (x - torch.sigmoid(logits))


def bern_rows(x, logits):
    rows = [F.binary_cross_entropy_with_logits(a, t, reduction="sum") for t, a in zip(x, logits, strict=True)]
    return -torch.stack(rows)


def bern_independent(x, logits):
    return Independent(Bernoulli(logits=logits, validate_args=False), 1).log_prob(x)


RIGHT += [
    ("check_log_bernoulli", "bern_independent", bern_independent),
    ("check_log_bernoulli", "bern_signs", lambda x, logits: F.logsigmoid((2 * x - 1) * logits).sum(1)),
    ("check_log_bernoulli", "bern_numpy", NumpyBernoulli.apply),
    ("check_log_bernoulli", "bern_rows", bern_rows),
]


class RightBernoulli:
    @right("check_log_bernoulli")
    def bern_float32(x, logits):
        a, t = logits.float(), x.float()
        return -(t * F.softplus(-a) + (1 - t) * F.softplus(a)).sum(1).to(logits.dtype)

    @right("check_log_bernoulli")
    def bern_two_classes(x, logits):
        log_probs = torch.stack([torch.zeros_like(logits), logits], -1).log_softmax(-1)
        return torch.einsum("bdc,bdc->b", log_probs, torch.stack([1 - x, x], -1))

    @right("check_log_bernoulli")
    def bern_reduce(x, logits):
        per_pixel = x * logits - torch.logaddexp(logits, torch.zeros_like(logits))
        return functools.reduce(torch.add, per_pixel.unbind(1))


# Right: the sampler
def rep_list(mu, log_var, eps):
    if eps.ndim == 2:
        return mu + eps * log_var.exp().sqrt()
    return torch.stack([rep_list(mu, log_var, e) for e in eps])


def rep_einsum(mu, log_var, eps):
    return mu + torch.einsum("bl,...bl->...bl", log_var.div(2).exp(), eps)


RIGHT += [
    ("check_reparameterize", "rep_list", rep_list),
    ("check_reparameterize", "rep_einsum", rep_einsum),
    ("check_reparameterize", "rep_transform", lambda mu, log_var, eps: AffineTransform(mu, (log_var / 2).exp())(eps)),
    ("check_reparameterize", "rep_addcmul", lambda mu, log_var, eps: torch.addcmul(mu, torch.exp(log_var / 2), eps)),
]


class RightSampler:
    @right("check_reparameterize")
    def rep_matrix(mu, log_var, eps):
        factor = torch.diag_embed(torch.exp(0.5 * log_var))
        return mu + torch.matmul(factor, eps.unsqueeze(-1)).squeeze(-1)

    @right("check_reparameterize")
    def rep_own_in_place(mu, log_var, eps):
        z = torch.empty_like(eps).copy_(eps)
        z *= torch.exp(0.5 * log_var)
        z += mu
        return z


# Right: the ELBO
class RightELBO:
    @right("check_elbo")
    def elbo_sampled(model, x, eps):
        mu, log_var = model.encode(x)
        q = Independent(Normal(mu, torch.exp(log_var / 2)), 1)
        z = q.mean + q.stddev * eps
        return (model.log_likelihood(x, z) + model.log_prior(z) - q.log_prob(z)).mean(0)

    @right("check_elbo")
    def elbo_checkpointed(model, x, eps):
        mu, log_var = model.encode(x)
        log_px = checkpoint(model.log_likelihood, x, draw(mu, log_var, eps), use_reentrant=False)
        return log_px.mean(0) - gaussian_kl(mu, log_var)

    @right("check_elbo")
    def elbo_average_of_both(model, x, eps):
        mu, log_var = model.encode(x)
        z = draw(mu, log_var, eps)
        sampled_kl = (log_q(z, mu, log_var) - model.log_prior(z)).mean(0)
        return model.log_likelihood(x, z).mean(0) - 0.5 * sampled_kl - 0.5 * gaussian_kl(mu, log_var)

    @right("check_elbo")
    def elbo_closed_entropy(model, x, eps):
        mu, log_var = model.encode(x)
        z = draw(mu, log_var, eps)
        entropy = 0.5 * (LOG_2PI + 1 + log_var).sum(-1)
        return (model.log_likelihood(x, z) + model.log_prior(z)).mean(0) + entropy

    @right("check_elbo")
    def elbo_running_sum(model, x, eps):
        mu, log_var = model.encode(x)
        total = -gaussian_kl(mu, log_var)
        for e in eps:
            total = total + model.log_likelihood(x, draw(mu, log_var, e)) / len(eps)
        return total

    @right("check_elbo")
    def elbo_rows(model, x, eps):
        mu, log_var = model.encode(x)
        k, b, latent_dim = eps.shape
        z = draw(mu, log_var, eps).transpose(0, 1).reshape(b * k, latent_dim)
        log_px = model.log_likelihood(x.repeat_interleave(k, 0), z)
        return log_px.reshape(b, k).mean(1) - gaussian_kl(mu, log_var)

    @right("check_elbo")
    def elbo_by_example(model, x, eps):
        return torch.cat([RightELBO.elbo_sampled(model, x[i : i + 1], eps[:, i : i + 1]) for i in range(len(x))])


# Right: the importance-weighted bound
RIGHT += [
    ("check_iwae_bound", "iwae_pairs", lambda log_w: functools.reduce(torch.logaddexp, log_w) - math.log(len(log_w))),
    ("check_iwae_bound", "iwae_softmax", lambda log_w: (log_w - log_w.log_softmax(0)).mean(0) - math.log(len(log_w))),
    ("check_iwae_bound", "iwae_cumulative", lambda log_w: log_w.logcumsumexp(0)[-1] - math.log(len(log_w))),
    ("check_iwae_bound", "iwae_vmap", torch.vmap(lambda w: torch.logsumexp(w - math.log(len(w)), 0), in_dims=1)),
]


class RightIWAE:
    @right("check_iwae_bound")
    def iwae_float32(log_w):
        top = log_w.max(0).values
        return top + (log_w - top).float().logsumexp(0).to(log_w.dtype) - math.log(len(log_w))


WRONG += [("check_kl", *entry) for entry in WRONG_KL]
WRONG += [("check_log_normal", *entry) for entry in WRONG_NORMAL]
WRONG += [("check_log_bernoulli", *entry) for entry in WRONG_BERNOULLI]
WRONG += [("check_reparameterize", *entry) for entry in WRONG_SAMPLER]
WRONG += [("check_iwae_bound", *entry) for entry in WRONG_IWAE]
