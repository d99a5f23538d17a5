"""`examine` on VAE classes of every usual shape, written for these tests: the right ones pass, mistakes are found."""

import copy
import math
import random
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal, kl_divergence

from vae_tutorial.checks import check_iwae_bound, check_log_normal, examine
from vae_tutorial.checks.examination import Report
from vae_tutorial.checks.parts import Missing, roles

D, L = 12, 3
BITS = (torch.rand(40, D, generator=torch.Generator().manual_seed(0)) > 0.4).float()
REALS = 2 * torch.randn(40, D, generator=torch.Generator().manual_seed(1))


def kl_of(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var)


def bce_loss(recon_x, x, mu, logvar):
    return F.binary_cross_entropy(recon_x, x, reduction="sum") + kl_of(mu, logvar).sum()


def logits_loss(logits, x, mu, log_var):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl_of(mu, log_var).sum()


def gauss_loss(x_hat, x, mu, log_var):
    return 0.5 * (x - x_hat).square().sum() + kl_of(mu, log_var).sum()


class Base(nn.Module):
    """The smallest tutorial's shape; what the others change is a method."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.hidden, self.fc_mu, self.fc_var = nn.Linear(D, 16), nn.Linear(16, L), nn.Linear(16, L)
            self.back, self.out = nn.Linear(L, 16), nn.Linear(16, D)

    def encode(self, x):
        h = torch.tanh(self.hidden(x))
        return self.fc_mu(h), self.fc_var(h)

    def reparameterize(self, mu, log_var):
        return mu + (0.5 * log_var).exp() * torch.randn_like(mu)

    def logits(self, z):
        return self.out(F.relu(self.back(z)))

    def decode(self, z):
        return torch.sigmoid(self.logits(z))

    def forward(self, x):
        mu, log_var = self.encode(x)
        return self.decode(self.reparameterize(mu, log_var)), mu, log_var


class Logits(Base):
    decode = Base.logits


# Right ones


class ZFirst(Logits):
    def forward(self, x):
        mu, log_var = self.encode(x)
        z = self.reparameterize(mu, log_var)
        return z, self.decode(z), mu, log_var


class WithInput(Logits):  # a list with the input, a loss of *args that gives a dictionary
    def forward(self, input, **kwargs):
        mu, log_var = self.encode(input)
        return [self.decode(self.reparameterize(mu, log_var)), input, mu, log_var]

    def loss_function(self, *args, **kwargs):
        recons, input, mu, log_var = args[:4]
        kl = kl_of(mu, log_var).sum(1).mean()
        mse = F.mse_loss(recons, input)
        return {"loss": mse + kwargs["M_N"] * kl, "KLD": -kl}


class Nested(Base):
    def forward(self, x):
        q = self.encode(x)
        z = self.reparameterize(*q)
        return self.decode(z), q, z


class Dictionary(Base):
    def forward(self, x):
        mu, log_var = self.encode(x)
        return {"mu": mu, "log_var": log_var, "recon_x": self.decode(self.reparameterize(mu, log_var))}


class Sigma(Logits):  # the encoder gives standard deviations
    def encode(self, x):
        h = torch.tanh(self.hidden(x))
        return self.fc_mu(h), F.softplus(self.fc_var(h))

    def forward(self, x):
        q = Normal(*self.encode(x))
        return self.decode(q.rsample()), q.loc, q.scale


class Variance(Logits):
    def encode(self, x):
        h = torch.tanh(self.hidden(x))
        return self.fc_mu(h), self.fc_var(h).exp()

    def reparameterize(self, mu, var):
        return torch.normal(mu * 0, torch.ones_like(mu)) * var.sqrt() + mu


class LogSigma(Logits):
    def reparameterize(self, mu, log_std):
        return mu + log_std.exp() * torch.randn(*mu.shape)


class Images(Base):  # convolutions and batch norm, images of one channel
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.conv = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2))
            self.hidden = nn.Linear(4 * D, 16)

    def forward(self, x):
        h = torch.tanh(self.hidden(self.conv(x).flatten(1)))
        mu, log_var = self.fc_mu(h), self.fc_var(h)
        return self.decode(self.reparameterize(mu, log_var)).view(-1, 1, 3, 4), mu, log_var


class Modules(nn.Module):  # an encoder with chunked heads, a decoder, old-style noise
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(4)
            self.encoder = nn.Sequential(nn.Linear(D, 16), nn.ELU(), nn.Linear(16, 2 * L))
            self.decoder = nn.Sequential(nn.Linear(L, 16), nn.ELU(), nn.Linear(16, D))

    def forward(self, x):
        mu, log_var = self.encoder(x).chunk(2, 1)
        std = log_var.div(2).exp()
        eps = std.data.new(std.size()).normal_()
        return self.decoder(mu + std * eps), mu, log_var


def sigma_loss(recon, x, mu, sigma):
    q, p = Normal(mu, sigma), Normal(torch.zeros_like(mu), torch.ones_like(sigma))
    return 0.5 * (recon - x).square().sum() + kl_divergence(q, p).sum()


def variance_loss(recon, x, mean, var):
    return 0.5 * (recon - x).square().sum() + 0.5 * (mean**2 + var - 1 - var.log()).sum()


def log_sigma_loss(recon, x, mu, log_std):
    return 0.5 * (recon - x).square().sum() + kl_of(mu, 2 * log_std).sum()


def averaged(x, x_hat, mean, log_var):  # x comes first, the mean over the batch, parts beside the loss
    mse, kl = (x - x_hat).square().flatten(1).sum(1).mean(), kl_of(mean, log_var).sum(-1).mean()
    return mse + kl, mse, kl


def monte_carlo_free(recon, x, mu, log_var, z):
    return logits_loss(recon, x, mu, log_var)


def terms(recon, x, mu, log_var):
    return {"recon_loss": (recon - x).square().sum() / 2, "kl_loss": kl_of(mu, log_var).sum()}


def total_last(recon, x, mu, log_var):  # the first key with "loss" in it is not the loss
    return {**terms(recon, x, mu, log_var), "total": gauss_loss(recon, x, mu, log_var)}


def must_have_beta(recon, x, mu, log_var, beta):
    return logits_loss(recon, x, mu, log_var) + (beta - 1) * kl_of(mu, log_var).sum()


class AsMany(nn.Module):  # as many latents as numbers of x; z first
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.heads, self.decoder = nn.Linear(D, 2 * D), nn.Linear(D, D)

    def forward(self, x):
        mu, log_var = self.heads(x).chunk(2, 1)
        z = mu + (0.5 * log_var).exp() * torch.randn_like(mu)
        return z, self.decoder(z), mu, log_var


class Conditional(Base):  # no layer is given z alone: forward gives it
    def forward(self, x):
        mu, log_var = self.encode(x)
        z = self.reparameterize(mu, log_var)
        both = torch.cat([z, z**2], 1) @ torch.ones(2 * L, L) + z
        return self.decode(both[:, :L]), mu, log_var, z


class Scale(Logits):  # a weight of its own in the loss, a method
    def __init__(self):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(0.3))

    def loss(self, recon, x, mu, log_var):
        squares = ((x - recon) / self.log_scale.exp()).square() / 2 + self.log_scale
        return squares.sum() + kl_of(mu, log_var).sum()


class LossModule(nn.Module):
    def forward(self, recon, x, mu, log_var, beta):
        return must_have_beta(recon, x, mu, log_var, beta)


model_with_input, with_scale, closed_over = WithInput(), Scale(), Scale()
RIGHT = {
    "tutorial, sums": (Base(), bce_loss, BITS, {}),
    "z first, x before x_hat, means over the batch": (ZFirst(), averaged, REALS, {}),
    "list with the input, loss of *args": (model_with_input, model_with_input.loss_function, REALS, {"M_N": 1 / D}),
    "nested pair, trained": (Nested(), bce_loss, BITS, {}),
    "dictionary, mu first": (Dictionary(), bce_loss, BITS, {}),
    "standard deviations, rsample": (Sigma(), sigma_loss, REALS, {}),
    "variances, torch.normal": (Variance(), variance_loss, REALS, {}),
    "log σ, torch.randn": (LogSigma(), log_sigma_loss, REALS, {}),
    "images, batch norm, dropout": (Images(), bce_loss, BITS.reshape(-1, 1, 3, 4), {}),
    "encoder and decoder, normal_()": (Modules(), logits_loss, BITS, {}),
    "total last in a dictionary": (Logits(), total_last, REALS, {}),
    "total last in a tuple": (Logits(), lambda recon, x, m, v: (*total_last(recon, x, m, v).values(),), REALS, {}),
    "loss that must be given β, a module": (Logits(), LossModule(), BITS, {"beta": 4.0}),
    "as many latents as numbers": (AsMany(), gauss_loss, REALS, {}),
    "z returned": (Conditional(), bce_loss, BITS, {}),
    "learned scale, method": (with_scale, with_scale.loss, REALS, {}),
    "learned scale, closure": (closed_over, lambda recon, x, m, v: closed_over.loss(recon, x, m, v), REALS, {}),
    "whole log-density": (
        Logits(), lambda recon, x, m, v: kl_of(m, v).sum() - Normal(recon, 0.7).log_prob(x).sum(), REALS, {}),
    "five arguments": (Logits(), monte_carlo_free, BITS, {}),
    "absolute error": (Logits(), lambda recon, x, mu, lv: (recon - x).abs().sum() + kl_of(mu, lv).sum(), REALS, {}),
    "β-VAE": (
        Logits(), lambda recon, x, m, v: logits_loss(recon, x, m, v) + 3 * kl_of(m, v).sum(), BITS, {"beta": 4.0}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_ones_pass(name):
    model, loss, x, options = RIGHT[name]
    report = examine(model, loss, x, **options)
    assert not report.failed, report
    assert report.missing == (["bound"] if name == "absolute error" else [])
    assert report.passed == bool(report) == (name != "absolute error")
    assert len(report.results) == 10


# Wrong ones


class WithoutHalf(Base):
    def reparameterize(self, mu, log_var):
        return mu + log_var.exp() * torch.randn_like(mu)


class Scaled(Base):
    def reparameterize(self, mu, log_var):
        return mu + 0.1 * (0.5 * log_var).exp() * torch.randn_like(mu)


class Shared(Base):
    def reparameterize(self, mu, log_var):
        return mu + (0.5 * log_var).exp() * torch.randn(1, L)


class Uniform(Base):
    def reparameterize(self, mu, log_var):
        return mu + (0.5 * log_var).exp() * torch.rand_like(mu)


class Odd(Base):
    def reparameterize(self, mu, log_var):
        return mu + log_var.exp().add(1).log() * torch.randn_like(mu)


class Shifted(Base):
    def reparameterize(self, mu, log_var):
        return 2 * mu + (0.5 * log_var).exp() * torch.randn_like(mu)


class Curved(Base):
    def reparameterize(self, mu, log_var):
        eps = torch.randn_like(mu)
        return mu + (0.5 * log_var).exp() * torch.where(eps.abs() < 1, eps, eps + 0 * eps).clamp(-1.0, 1.0)


class Detached(Base):
    def reparameterize(self, mu, log_var):
        return super().reparameterize(mu, log_var).detach()


class SampledInside(Base):
    def reparameterize(self, mu, log_var):
        with torch.no_grad():
            noise = (0.5 * log_var).exp() * torch.randn_like(mu)
        return mu + noise


class MeanDecoded(Base):
    def reparameterize(self, mu, log_var):
        super().reparameterize(mu, log_var)
        return mu


class MeanInEval(Base):
    def reparameterize(self, mu, log_var):
        return super().reparameterize(mu, log_var) if self.training else mu


class Exchanged(Base):
    def forward(self, x):
        mu, log_var = self.encode(x)
        return self.decode(self.reparameterize(log_var, mu)), mu, log_var


class Relu(Base):
    def encode(self, x):
        mu, log_var = super().encode(x)
        return mu, F.relu(log_var)


class Negative(Base):
    def encode(self, x):
        mu, log_var = super().encode(x)
        return mu, -F.softplus(log_var)


class Tanh(Base):
    def encode(self, x):
        mu, log_var = super().encode(x)
        return 10 * mu, torch.tanh(5 * log_var)


class SigmaNegative(Logits):
    def reparameterize(self, mu, sigma):
        return mu + sigma * torch.randn_like(mu)


class ReluMean(Base):
    def encode(self, x):
        mu, log_var = super().encode(x)
        return F.relu(mu), log_var


class Softplus(Logits):
    def encode(self, x):
        mu, t = super().encode(x)
        return mu, F.softplus(t)

    def reparameterize(self, mu, sigma):
        return mu + sigma * torch.randn_like(mu)


class OneHead(Base):
    def encode(self, x):
        mu, _ = super().encode(x)
        return mu, mu.clone()


class Mixed(Base):
    def decode(self, z):
        return super().decode(z.t().reshape(-1, L))


class SoftmaxOfBatch(Base):
    def decode(self, z):
        return torch.softmax(self.logits(z), 0)


class AlwaysDropout(Base):
    def decode(self, z):
        return torch.sigmoid(F.dropout(self.logits(z), 0.5))


class Idle(Base):
    def __init__(self):
        super().__init__()
        self.forgotten = nn.Linear(4, 4)


def kl_weighted(term):
    return lambda recon, x, mu, lv: F.binary_cross_entropy(recon, x, reduction="sum") + term(mu, lv)


WRONG = {  # the class, the loss, the part that fails, what it says
    "KL added with the wrong sign": (Base, kl_weighted(lambda m, v: -kl_of(m, v).sum()), "KL", "sign"),
    "KL averaged over latents": (Base, kl_weighted(lambda m, v: kl_of(m, v).mean()), "KL", "averaged over the last"),
    "KL clamped": (Base, kl_weighted(lambda m, v: kl_of(m, v.clamp(-4, 4)).sum()), "KL", "clamped|Far out"),
    "KL detached": (Base, kl_weighted(lambda m, v: kl_of(m, v).sum().detach()), "KL", "gradient"),
    "no KL": (Base, kl_weighted(lambda m, v: 0.0), "KL", "does not depend"),
    "KL forgets the means": (Base, kl_weighted(lambda m, v: 0.5 * (v.exp() - 1 - v).sum()), "KL", "μ²"),
    "KL averaged over the batch": (Base, kl_weighted(lambda m, v: kl_of(m, v).sum(1).mean()), "weights",
                                   "KL is averaged over the batch"),
    "reconstruction averaged over the batch": (
        Base, lambda recon, x, mu, lv: F.binary_cross_entropy(recon, x, reduction="sum") / len(x) + kl_of(mu, lv).sum(),
        "weights", "reconstruction is averaged over the batch"),
    "pixels averaged, KL summed": (
        Base, lambda recon, x, mu, lv: F.binary_cross_entropy(recon, x) + kl_of(mu, lv).sum(1).mean(), "weights",
        "β = 12. The reconstruction is averaged over its 12 numbers"),
    "β that nobody named": (Base, kl_weighted(lambda m, v: 4 * kl_of(m, v).sum()), "weights", "β = 4"),
    "cross-entropy exchanged": (
        Base, lambda recon, x, mu, lv: F.binary_cross_entropy(x, recon, reduction="sum") + kl_of(mu, lv).sum(),
        "reconstruction", "exchanged"),
    "sigmoid and logits": (Base, logits_loss, "reconstruction", "a sigmoid too many"),
    "no sigmoid": (Logits, bce_loss, "reconstruction", "a sigmoid is missing|raised"),
    "reconstruction with the wrong sign": (
        Base, lambda recon, x, mu, lv: kl_of(mu, lv).sum() - F.binary_cross_entropy(recon, x, reduction="sum"),
        "reconstruction", "wrong sign"),
    "exp without half": (WithoutHalf, bce_loss, "KL", "for log σ², the sampler for log σ"),
    "noise scaled": (Scaled, bce_loss, "sampler", "multiplied by 0.1"),
    "noise shared": (Shared, bce_loss, "sampler", "shared by the batch"),
    "uniform noise": (Uniform, bce_loss, "sampler", "no Gaussian noise"),
    "softplus as σ": (Odd, bce_loss, "sampler", "none of"),
    "twice the mean": (Shifted, bce_loss, "sampler", "Without noise z is not μ"),
    "noise clamped": (Curved, bce_loss, "sampler", "none of|not linear"),
    "z detached": (Detached, bce_loss, "gradients", "μ and the spread"),
    "noise without gradient": (SampledInside, bce_loss, "gradients", "reaches the spread"),
    "mean decoded": (MeanDecoded, bce_loss, "sampler", "the mean is decoded"),
    "mean in evaluation": (MeanInEval, bce_loss, "evaluation", "the mean is decoded, no draw"),
    "heads exchanged": (Exchanged, bce_loss, "sampler", "exchanged"),
    "relu on log σ²": (Relu, bce_loss, "spread", "never negative"),
    "log σ² never positive": (Negative, bce_loss, "spread", "never positive"),
    "tanh on log σ²": (Tanh, bce_loss, "spread", r"stays in \[−1, 1\]"),
    "σ below 0": (SigmaNegative, sigma_loss, "spread", "must be above 0"),
    "one head for both": (OneHead, bce_loss, "spread", "one head gives both"),
    "rows mixed by reshape": (Mixed, bce_loss, "rows", "recon"),
    "softmax over the batch": (SoftmaxOfBatch, bce_loss, "rows", "recon"),
    "F.dropout for ever": (AlwaysDropout, bce_loss, "evaluation", "F.dropout"),
    "relu on μ": (ReluMean, bce_loss, "spread", "μ is never negative"),
    "σ taken for log σ²": (Softplus, gauss_loss, "KL", "for log σ², the sampler for σ"),
    "KL forgets its −1": (Base, kl_weighted(lambda m, v: (kl_of(m, v) + 0.5).sum()), "bound", "draws of its own parts"),
    "weights never used": (Idle, bce_loss, "gradients", "forgotten.weight, forgotten.bias"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_found(name):
    make, loss, part, words = WRONG[name]
    report = examine(make(), loss, BITS)
    assert part in report.failed and not report.passed
    assert re.search(words, report.results[part].mistake), report
    expected = {"exp without half": {"KL"}, "noise clamped": {"sampler"}}.get(name)
    assert expected is None or set(report.failed) == expected


def test_there_are_as_many_as_the_chapter_says():
    assert len(RIGHT) >= 8 and len(WRONG) >= 15


@pytest.mark.parametrize("low", [-0.5, 3.0])
def test_data_outside_the_range_of_the_decoder(low):
    said = examine(*((Logits(), logits_loss) if low > 0 else (Base(), bce_loss)), 100 * low * BITS).results
    assert "wants x in [0, 1]" in said["reconstruction"].mistake

    class Loud(Base):
        def decode(self, z):
            return torch.sigmoid(30 * self.logits(z))

    report = examine(Loud(), gauss_loss, low + BITS)
    assert "[0, 1] only" in report.results["reconstruction"].mistake
    assert low < 0 or "reconstruction" not in examine(Loud(), gauss_loss, BITS).failed

    class Squashed(Base):
        def decode(self, z):
            return torch.tanh(30 * self.logits(z))

    assert "[-1, 1] only" in examine(Squashed(), gauss_loss, 4 * low + BITS).results["reconstruction"].mistake


def test_a_squared_error_is_an_elbo_of_the_variance_that_its_weights_mean():
    def loss(recon, x, mu, lv):
        return F.mse_loss(recon, x) + kl_of(mu, lv).sum(1).mean()

    wide = examine(Logits(), loss, 10 * REALS)
    assert wide.results["weights"].claim == "The ELBO of Gaussian noise of σ² = 6 in every number of x"  # D / 2
    assert wide.passed
    said = examine(Logits(), loss, 0.1 * REALS).results["weights"].mistake
    assert "averaged over its 12 numbers" in said
    gain = float(re.search(r"no more than ([\d.]+) nats", said)[1])
    assert gain == pytest.approx((0.1 * REALS).var(0, correction=0).sum().item() / 12, rel=0.05)


def test_the_bound_is_the_package_s_own():
    """The number of the report, by `bounds.elbo` of the same weights with many draws."""
    from vae_tutorial.bounds import elbo
    from vae_tutorial.likelihoods import bernoulli
    from vae_tutorial.models import VAE

    parts = Modules()
    own = VAE(parts.encoder, parts.decoder, L, bernoulli)
    exact = elbo(own, BITS[:8], 4000, generator=torch.Generator().manual_seed(0)).mean().item()
    said = examine(parts, logits_loss, BITS).results["bound"].claim
    shown, tighter = (float(number) for number in re.findall(r"-\d+\.\d+", said))
    assert shown == pytest.approx(exact, abs=0.1) and tighter > shown


def test_a_loss_that_is_off_in_large_batches_is_no_bound():
    def off(recon, x, mu, lv):  # right for one example and for three, a nat off for many
        return logits_loss(recon, x, mu, lv) + (len(x) > 100) * len(x)

    report = examine(Logits(), off, BITS)
    assert report.failed == ["bound"] and "where draws of its own parts give" in report.results["bound"].mistake


def test_the_model_stays_as_it_is():
    model = Images()
    model.train()
    model.conv[1].eval()
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    x = BITS.reshape(-1, 1, 3, 4).clone()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    model(x)[0].sum().backward()
    slopes = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    torch.set_rng_state(state)
    before = copy.deepcopy(model.state_dict())
    examine(model, bce_loss, x)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(p.grad, slopes[name]) for name, p in model.named_parameters() if name in slopes)
    assert all(p.dtype == torch.float32 and not m._forward_pre_hooks for m in model.modules() for p in m.parameters())
    assert torch.equal(x, BITS.reshape(-1, 1, 3, 4)) and torch.get_default_dtype() == torch.float32


def test_two_examinations_say_the_same():
    once = repr(examine(Base(), bce_loss, BITS))
    assert once == repr(examine(Base(), bce_loss, BITS))
    with torch.inference_mode():
        inside = repr(examine(Base(), bce_loss, BITS.clone()))
    assert inside == once


def test_the_report_shows_every_part():
    report = examine(Relu(), lambda recon, x, mu, lv: recon.pow(4).sum() + kl_of(mu, lv).sum(), BITS)
    lines = repr(report).splitlines()
    assert isinstance(report, Report) and len(lines) == 10
    assert [line[:4] for line in lines] == ["PASS", "PASS", "FAIL", *["PASS"] * 4, *["  – "] * 3]
    assert report.failed == ["spread"] and report.missing == ["reconstruction", "weights", "bound"]
    assert not report and "leave out the activation" in lines[2]


# What is not a VAE of these shapes


class Nothing(Base):
    def forward(self, x):
        return self.decode(self.encode(x)[0])


class Number(Base):
    def forward(self, x):
        return super().forward(x)[0].sum()


class Broken(Base):
    def forward(self, x):
        raise RuntimeError("mat1 and mat2")


class Float(Base):
    def encode(self, x):
        return super().encode(x.float())


class Labels(Base):
    def forward(self, x, y):
        return super().forward(x + y)


@pytest.mark.parametrize(
    "model, words",
    [
        (Nothing(), "Not found: beside a reconstruction forward gave no two tensors"),
        (Number(), "Not found: forward gave no tensor of a row for each example"),
        (Broken(), r"Not found: model\(x\) raised RuntimeError: mat1 and mat2\. Does x have its shape"),
        (Float(), "leave out .float"),
        (Labels(), "missing 1 required positional argument: 'y'.*take x alone"),
    ],
)
def test_a_forward_that_gives_too_little_is_told_what_to_do(model, words):
    report = examine(model, bce_loss, BITS)
    assert list(report.results) == ["outputs"] and not report.passed
    assert re.search(words, report.results["outputs"].mistake)
    assert report.missing == ["outputs"]
    assert "(recon, mu, log_var)" in report.results["outputs"].mistake


def test_noise_from_elsewhere_is_not_judged_and_its_state_stays():
    class NumPy(Logits):
        def reparameterize(self, mu, log_var):
            return mu + (0.5 * log_var).exp() * torch.from_numpy(np.random.randn(*mu.shape)) * random.choice([1, 1])

    before = np.random.get_state()[1].copy(), random.getstate()
    report = examine(NumPy(), gauss_loss, REALS)
    assert not report.failed and report.missing == ["sampler", "rows", "evaluation", "weights", "bound"]
    assert "draw it by torch.randn_like" in report.results["sampler"].mistake
    assert (np.random.get_state()[1] == before[0]).all() and random.getstate() == before[1]


def test_terms_that_nobody_adds_up():
    report = examine(Logits(), terms, REALS)
    assert not report.failed and "lambda recon, x, mu, log_var: sum(" in report.results["KL"].mistake
    assert examine(Logits(), lambda recon, x, mu, lv: sum(terms(recon, x, mu, lv).values()), REALS).passed


def test_forward_that_gives_less_in_evaluation():
    class Short(Base):
        def forward(self, x):
            found = super().forward(x)
            return found if self.training else found[0]

    report = examine(Short(), bce_loss, BITS)
    assert report.missing == ["evaluation"] and "less after model.eval()" in report.results["evaluation"].mistake


def test_all_stays_as_it_was_where_a_model_stops_the_program():
    class Stopped(Base):
        def forward(self, x):
            torch.randn(3), np.random.rand()
            raise KeyboardInterrupt

    model, x = Stopped(), BITS.double()
    state, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    with pytest.raises(KeyboardInterrupt):
        examine(model, bce_loss, x)
    assert torch.equal(torch.get_rng_state(), state) and (np.random.get_state()[1] == numbers).all()
    assert torch.get_default_dtype() == torch.float32 and model.training and not model._forward_pre_hooks
    examine(Base(), lambda recon, x, mu, lv: bce_loss(recon, x.mul_(1.0).sub_(0.01), mu, lv), x)
    assert torch.equal(x, BITS.double())


def test_what_a_loss_must_take():
    assert roles(["x", "x_hat", "mean", "log_var"]) == ["x", "recon", "mu", "spread"]
    assert roles(["recon_x", "x", "mu", "logvar"]) == ["recon", "x", "mu", "spread"]
    assert roles(["a", "b", "c", "d"]) == ["recon", "x", "mu", "spread"]
    assert roles(["target", "output", "z_mean", "z_log_sigma", "z"]) == ["x", "recon", "mu", "spread", "z"]
    with pytest.raises(Missing, match="M_N=1.0"):
        roles(["recon", "x", "mu", "log_var", "epoch"])
    report = examine(Base(), lambda recon, x: 0.0, BITS)
    assert "lambda recon, x, mu, log_var" in report.results["KL"].mistake
    said = examine(Base(), lambda recon, x, mu, lv: bce_loss(recon, x, mu, lv).item(), BITS).results["KL"].mistake
    assert "without .item()" in said


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ((Base, bce_loss, BITS), TypeError, r"model must be a torch.nn.Module, got Base: make one, Model\(\)"),
        ((bce_loss, bce_loss, BITS), TypeError, "model must be a torch.nn.Module, got bce_loss"),
        ((Base(), "mse", BITS), TypeError, "loss must be a function"),
        ((Base(), bce_loss, BITS.long()), TypeError, "x must hold floating-point numbers"),
        ((Base(), bce_loss, BITS[:1]), ValueError, "two examples or more"),
        ((Base(), bce_loss, BITS[0]), ValueError, "two examples or more"),
        ((Base(), bce_loss, BITS / 0), ValueError, "x must be finite"),
    ],
)
def test_errors(arguments, error, words):
    with pytest.raises(error, match=words):
        examine(*arguments)


def test_beta_is_above_zero():
    with pytest.raises(ValueError, match="beta must be above 0"):
        examine(Base(), bce_loss, BITS, beta=0.0)


def test_two_mistakes_that_the_chapter_found_have_a_name():
    def bracket(x, mu, log_var):
        return -0.5 * ((log_var + (x - mu) ** 2) / log_var.exp() + math.log(2 * math.pi)).sum(-1)

    def worst_first(log_w):
        loss = -log_w
        return -(loss.softmax(0) * loss).sum(0)

    assert check_log_normal(bracket).mistake == "It divides log σ² by σ², too: the bracket is closed too late."
    assert "the worst draw counts most" in check_iwae_bound(worst_first).mistake
