"""Every entry of check_conditional_elbo's catalogue is told apart; right and wrong bounds are judged in test_checks."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from planted import CONDITIONAL_WRONG, m2

from vae_tutorial.checks import check_conditional_elbo, mistakes
from vae_tutorial.checks.answers import evaluate
from vae_tutorial.checks.conditional import Networks, labelled_rows, one_by_one
from vae_tutorial.reference import log_marginal_quadrature


def test_at_least_twelve_are_wrong():
    assert len(CONDITIONAL_WRONG) >= 12


@pytest.mark.parametrize("clause", mistakes.CONDITIONAL, ids=lambda clause: clause[:40] or "right")
def test_every_entry_of_the_catalogue_is_told_from_all_others(clause):
    check = check_conditional_elbo(mistakes.CONDITIONAL[clause])
    assert check.passed if not clause else check.mistake.startswith(f"It {clause}.")


@pytest.mark.parametrize("seed", range(5))
def test_fresh_arguments_do_not_change_the_verdict(seed):
    assert check_conditional_elbo(m2, seed=seed).passed


def exact_log_p(model, x, seen, y):
    """log p(x), or log p(x, y), of one row by quadrature over z and a sum over classes."""
    D, C, L = x.shape[-1], y.shape[-1], model.prior.out_features // 2
    of_class = []
    for k in range(C):
        label = F.one_hot(torch.tensor(k), C).double()
        mu, log_var = model.prior(label).split(L)

        def log_joint(z, label=label, mu=mu, log_var=log_var):
            logits = model.decode(torch.cat([z, label.expand(len(z), -1)], -1))
            log_p = sum(F.logsigmoid((2 * x[d] - 1) * logits[:, d]) for d in range(D) if seen[d])
            log_prior = -0.5 * ((z - mu) ** 2 / log_var.exp() + log_var + math.log(2 * math.pi)).sum(-1)
            return log_prior + log_p

        sd = log_var.exp().sqrt()
        of_class.append(log_marginal_quadrature(log_joint, (mu - 9 * sd).tolist(), (mu + 9 * sd).tolist(), 61))
    log_p = torch.stack(of_class) - math.log(C)
    return log_p[y.argmax()] if y.any() else log_p.logsumexp(0)


@torch.no_grad()
def test_the_oracle_bounds_log_p_and_meets_it_where_q_is_the_posterior():
    """Averaged over its noise it lies below log p(x), by quadrature; with the noise of two points it is no average."""
    given = labelled_rows(5, 4, 3, 1)
    model, x, seen, y = (given[name] for name in ("model", "x", "seen", "y"))
    nodes, weights = hermite(21)
    bound = weights @ torch.stack([one_by_one(model, x, seen, y, node.expand(len(x), 1)) for node in nodes])
    exact = torch.stack([exact_log_p(model, *rows) for rows in zip(x, seen, y, strict=True)])
    assert ((exact - bound) > 0.01).all()
    # Decoders that take no notice of z, q that is the prior, a classifier that is Bayes' theorem: nothing is lost.
    model.decode.weight[:, :1] = 0.0
    model.encode.weight.zero_()
    model.encode.weight[:, 4:], model.encode.bias[:] = model.prior.weight, model.prior.bias
    known = y.any(-1)
    exact = torch.stack([exact_log_p(model, *rows) for rows in zip(x, seen, y, strict=True)])
    torch.testing.assert_close(one_by_one(model, x, seen, y, nodes[0].expand(5, 1))[known], exact[known])
    for b in (~known).nonzero().flatten().tolist():
        each = [exact_log_p(model, x[b], seen[b], label) for label in torch.eye(3).double()]
        model.classify.weight.zero_()
        model.classify.bias[:] = torch.stack(each)
        found = one_by_one(model, x[b : b + 1], seen[b : b + 1], y[b : b + 1], nodes[:1, None])
        torch.testing.assert_close(found[0], exact[b])


def hermite(n):
    """Nodes and weights of a standard Gaussian."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return torch.tensor(nodes), torch.tensor(weights) / math.sqrt(2 * math.pi)


def test_the_gradients_of_the_oracle_are_those_of_finite_differences():
    given = labelled_rows(4, 3, 3, 2)
    found, step = evaluate(one_by_one, given).gradients, 1e-6
    weights = torch.linspace(1, 2, 4).double()
    model, *rest = given.values()
    assert found.keys() == dict(model.named_parameters()).keys()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            flat = parameter.view(-1)
            for i in range(0, len(flat), 3):
                ends = []
                for h in (step, -step):
                    flat[i] += h
                    ends.append((weights * one_by_one(model, *rest)).sum().item())
                    flat[i] -= h
                assert found[name].reshape(-1)[i].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-7)


def test_the_networks_are_asymmetric():
    model = Networks(5, 3, 2)
    for layer in (model.classify, model.encode, model.decode, model.prior):
        assert len(layer.weight.unique()) == layer.weight.numel() and layer.bias.abs().min() > 1e-3


@pytest.mark.parametrize(
    "fn, words",
    [
        (lambda *given: (m2(*given), 0), "returned tuple of 2, where a torch.Tensor"),
        (lambda *given: m2(*given)[:, None], "keeps a last axis of length 1"),
        (lambda *given: 1 / 0, "it raised ZeroDivisionError"),
        (lambda *given: ..., "to write"),
        (lambda model, x: x.sum(-1), "it raised TypeError"),
    ],
)
def test_what_is_no_bound_is_told(fn, words):
    check = check_conditional_elbo(fn)
    assert not check.passed and words in check.mistake


def test_what_cannot_be_called_is_the_callers_error():
    with pytest.raises(TypeError, match="must be the function to check, got Tensor"):
        check_conditional_elbo(torch.ones(3))


def unnoticed(model, x, seen, y, eps, where):
    bound = m2(model, x, seen, y, eps)
    return torch.where(torch.as_tensor(where(x, seen, y, model)), bound - 1, bound)


@pytest.mark.parametrize(
    "place, where",
    [
        ("For 33 rows", lambda x, seen, y, model: torch.arange(len(x)) > 20),
        ("For one row", lambda x, seen, y, model: torch.arange(len(x)) > len(x) - 2 + (len(x) > 1)),
        ("Where no entry is seen", lambda x, seen, y, model: ~seen.any(-1) & bool(x.shape[1] == 4)),
        ("For a classifier that is certain", lambda x, seen, y, model: bool(model.classify.bias.abs().max() > 100)),
        ("For a single class", lambda x, seen, y, model: y.shape[1] == 1),
    ],
)
def test_a_function_that_is_wrong_elsewhere_alone_is_caught(place, where):
    check = check_conditional_elbo(lambda *given: unnoticed(*given, where=where))
    assert not check.passed and place in check.mistake, check


def test_a_logarithm_of_a_rounded_probability_is_caught():
    def entropy(log_q):
        q = log_q.exp()
        return -(q * q.log()).sum(-1)

    check = check_conditional_elbo(lambda *given: m2(*given, entropy=entropy))
    assert not check.passed and "For a classifier that is certain" in check.mistake
