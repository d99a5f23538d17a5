"""What `fit` says about likely mistakes: once, where it was called, and to nobody who made none."""

import re
import warnings

import pytest
import torch
from torch import nn

from vae_tutorial._troubleshooting import see
from vae_tutorial.bounds import elbo_terms
from vae_tutorial.likelihoods import (
    bernoulli,
    continuous_bernoulli,
    normal,
    normal_diag,
    normal_diag_above,
    sigma_normal,
)
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.training import evaluate, fit
from vae_tutorial.training.hints import Hints, looks_like_labels

D, L = 6, 2
X = torch.rand(40, D, generator=torch.Generator().manual_seed(0))
BITS = (X > 0.5).float()
CONSTANT = torch.cat([X[:, 1:], torch.zeros(40, 1)], 1)


class Headed(nn.Module):
    """An encoder with an activation on its log-variances."""

    def __init__(self, head):
        super().__init__()
        self.net, self.head = nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Linear(8, 2 * L)), head

    def forward(self, x):
        mu, log_var = self.net(x).chunk(2, -1)
        return torch.cat([mu, self.head(log_var)], -1)


UNIT, AS_IT_IS = normal(0.0), nn.Identity()


def vae(likelihood=UNIT, head=AS_IT_IS, tail=AS_IT_IS):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = nn.Sequential(nn.Linear(L, 8), nn.ReLU(), nn.Linear(8, D * likelihood.n_params), tail)
        return VAE(Headed(head), decoder, L, likelihood)


def said(model, x=X, epochs=3, **how):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit(model, x, epochs=epochs, seed=0, batch_size=20, progress=False, **how)
        except ValueError:
            pass  # columns of 1e4 diverge
    assert all(w.category is UserWarning and w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


LIKELY = {  # the last word: the entry of Troubleshooting that the message names
    "sigmoid": (
        lambda: vae(bernoulli, tail=nn.Sigmoid()),
        BITS,
        r"does it end in a sigmoid\? bernoulli takes logits",
        "stuck",
    ),
    "sigmoid, gray": (
        lambda: vae(continuous_bernoulli, tail=nn.Sigmoid()),
        X,
        "continuous_bernoulli takes logits",
        "stuck",
    ),
    "relu": (lambda: vae(head=nn.ReLU()), X, "log_var of the encoder is never negative.*relu or softplus", "log-var"),
    "softplus": (lambda: vae(head=nn.Softplus()), X, "log_var of the encoder is never negative", "log-var"),
    "sigmoid on log_var": (lambda: vae(head=nn.Sigmoid()), X, "log_var of the encoder is never negative", "log-var"),
    "1e4": (lambda: vae(), X * 1e4, r"x reaches \d+, where .* order 1: scale the columns, x = ", "own-data"),
    "constant column": (
        lambda: vae(normal_diag),
        CONSTANT,
        "1 of the 6 columns of x are constant.*normal_diag_above",
        "falls",
    ),
    "all constant": (lambda: vae(sigma_normal), 0 * X, "6 of the 6 columns of x are constant", "falls"),
    "labels": (
        lambda: mlp_vae(1, 4, 1, normal(0.0), seed=0),
        (torch.arange(40.0) % 10)[:, None],
        "looks like labels",
        "own-data",
    ),
}


@pytest.mark.parametrize("make, x, message, entry", LIKELY.values(), ids=LIKELY.keys())
def test_a_likely_mistake_is_said_once_with_its_remedy_and_its_entry(make, x, message, entry):
    (found,) = said(make(), x)
    assert re.search(message, found) and found.endswith(see(entry))


class Far(nn.Module):
    """Gives one log-variance for all columns, whatever z is."""

    def __init__(self, log_var):
        super().__init__()
        self.mean, self.log_var = nn.Linear(L, D), log_var

    def forward(self, z):
        mean = self.mean(z)
        return torch.cat([mean, torch.full_like(mean, self.log_var)], -1)


@pytest.mark.parametrize("likelihood", [normal_diag, sigma_normal])
def test_a_variance_that_has_run_away_is_said(likelihood):
    for log_var, expected in ((-19.0, 0), (-21.0, 1)):
        model = VAE(Headed(nn.Identity()), Far(log_var), L, likelihood)
        messages = said(model)
        assert len(messages) == expected and all("has fallen to exp(-21.0)" in text for text in messages)


def test_of_an_x_that_the_objective_changes_nothing_is_said():
    def with_noise(model, x, n_samples, *, generator):
        return elbo_terms(model, x + 0.1 * torch.rand(x.shape), n_samples, generator=generator)

    assert len(said(vae(normal_diag), CONSTANT)) == 1
    assert not said(vae(normal_diag), CONSTANT, objective=with_noise)


RIGHT = {
    "logits": (lambda: vae(bernoulli), BITS),
    "probabilities for a Gaussian": (lambda: vae(tail=nn.Sigmoid()), X),
    "a log-variance that is fixed": (lambda: vae(head=lambda log_var: 0 * log_var), X),
    "tanh on log_var": (lambda: vae(head=nn.Tanh()), X),
    "large x beside a large variance": (lambda: vae(normal(18.0)), 1e4 * X - 5e3),
    "a column of constants beside a fixed variance": (lambda: vae(), CONSTANT),
    "... or one with a floor": (lambda: vae(normal_diag_above(-4.0)), CONSTANT),
    "... or one for all": (lambda: vae(sigma_normal), CONSTANT),
    "a decoder that ignores z": (lambda: VAE(Headed(nn.Identity()), Constant(), L, bernoulli), BITS),
    "an encoder that takes no other x": (lambda: VAE(OnlyBits(), nn.Linear(L, D), L, bernoulli), BITS),
    "one column of bits": (lambda: mlp_vae(1, 4, 1, bernoulli, seed=0), BITS[:, :1]),
}


class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.full((D,), 0.5))

    def forward(self, z):
        return self.logits.expand(len(z), D)


class OnlyBits(Headed):
    def __init__(self):
        super().__init__(nn.ReLU())

    def forward(self, x):
        assert ((x == 0) | (x == 1)).all()
        return super().forward(x)


@pytest.mark.parametrize("make, x", RIGHT.values(), ids=RIGHT.keys())
def test_who_made_no_such_mistake_hears_nothing(make, x):
    assert said(make(), x, epochs=1) == []


@pytest.mark.parametrize("seed", range(20))
def test_small_new_models_are_not_suspected(seed):
    for likelihood, x in ((bernoulli, BITS), (normal_diag, X)):
        assert said(mlp_vae(D, 4, 1, likelihood, seed=seed), x, epochs=1) == []


def test_hints_leave_the_model_and_the_random_state_alone():
    model = VAE(nn.Sequential(nn.BatchNorm1d(D), nn.Dropout(0.5), nn.Linear(D, 2 * L)), Noisy(), L, bernoulli)
    model.encoder[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes, random_state = [m.training for m in model.modules()], torch.get_rng_state()
    Hints(model).before(BITS)
    Hints(model).after(BITS, 1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes and torch.equal(torch.get_rng_state(), random_state)
    assert all(parameter.grad is None for parameter in model.parameters())


class Noisy(nn.Linear):
    def __init__(self):
        super().__init__(L, D)

    def forward(self, z):
        return super().forward(z + torch.randn_like(z))


def test_after_an_epoch_it_looks_at_powers_of_two_alone(monkeypatch):
    looked, hints = [], Hints(vae())
    monkeypatch.setattr(hints, "_look", lambda *_: looked.append(epoch))
    for epoch in range(1, 40):
        hints.after(X, epoch)
    assert looked == [1, 2, 4, 8, 16, 32]


@pytest.mark.parametrize(
    "values, expected",
    [
        (torch.arange(10), True),
        (torch.arange(10.0)[:, None], True),
        (torch.tensor([0.0, 1.0, 1.0]), False),  # bits
        (torch.tensor([0.0, 1.5, 3.0]), False),
        (torch.tensor([-1.0, 2.0]), False),
        (torch.tensor([1.0, 2000.0]), False),
        (torch.ones(3, 2) * 2, False),
        (torch.tensor([2.0, torch.nan]), False),
        (torch.tensor(3.0), False),
    ],
)
def test_labels_are_one_column_of_small_whole_numbers(values, expected):
    assert looks_like_labels(values) is expected


def test_an_error_of_a_diverging_run_tells_the_range_of_x_and_a_remedy():
    low_high = re.escape(f"[{X.min():.4g}, {X.max():.4g}]")
    message = (
        rf"^epoch \d+, batch \d: .*; x of this batch lies in {low_high}: scale its columns .*, lower lr \(now 1e\+06\)"
    )
    entry = re.escape(see("nan"))
    with pytest.raises(ValueError, match=message + f", or set max_grad_norm=1.0. {entry}$"):
        fit(vae(), X, epochs=50, seed=0, lr=1e6, progress=False)


@pytest.mark.parametrize(
    "how, message",
    [
        (dict(beta=lambda step: torch.inf), r"beta\(0\) must be one finite number, got inf$"),
        (dict(objective=lambda *a, **h: elbo_terms(*a, **h)._replace(kl=torch.zeros(()))), r"got \(\)$"),
    ],
)
def test_other_errors_tell_nothing_of_x(how, message):
    with pytest.raises(ValueError, match=message):
        fit(vae(), X, epochs=1, seed=0, progress=False, **how)


def test_a_measurement_that_is_not_finite_names_its_entry():
    model = vae(normal_diag)
    with torch.no_grad():
        model.decoder[-2].bias.fill_(-120.0)  # exp(120) is infinite in float32
    with pytest.raises(ValueError, match=re.escape(see("nan")) + "$"):
        evaluate(model, X, seed=0)
