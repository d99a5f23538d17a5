"""A stub returns the three dots: it is neither right nor wrong, and its check says that it is to be written."""

import math

import pytest
import torch

from vae_tutorial.checks import (
    agree,
    check_conditional_elbo,
    check_density_ratio,
    check_elbo,
    check_iwae_bound,
    check_kl,
    check_log_bernoulli,
    check_log_normal,
    check_log_prob,
    check_mmd,
    check_numerics,
    check_posterior_step,
    check_quantizer,
    check_reduction,
    check_reparameterize,
    check_total_correlation,
    exceeds,
    extreme_logits,
    variance,
)
from vae_tutorial.likelihoods import bernoulli

ROUTES = ("mine", "exact")


def stub(*arguments):
    return ...


JUDGED = {
    "agree": lambda: agree("a number", stub(), 1.0, tolerance=0.1, routes=ROUTES),
    "agree, the other side": lambda: agree("a number", torch.ones(2), stub(), tolerance=0.1, routes=ROUTES),
    "exceeds": lambda: exceeds("a number", stub(), 1.0, margin=0.1, routes=ROUTES),
    "exceeds, the other side": lambda: exceeds("a number", 1.0, stub(), margin=0.1, routes=ROUTES),
    "check_kl": lambda: check_kl(stub),
    "check_kl, of variances": lambda: check_kl(stub, spread=variance),
    "check_log_normal": lambda: check_log_normal(stub),
    "check_log_bernoulli": lambda: check_log_bernoulli(stub),
    "check_reparameterize": lambda: check_reparameterize(lambda mu, log_var, eps: ...),
    "check_reparameterize, without noise": lambda: check_reparameterize(lambda mu, log_var: ...),
    "check_elbo": lambda: check_elbo(lambda model, x, eps: ...),
    "check_elbo, a loss of four": lambda: check_elbo(lambda x_hat, x, mu, log_var: ...),
    "check_iwae_bound": lambda: check_iwae_bound(stub),
    "check_quantizer": lambda: check_quantizer(lambda z, codebook, beta: ...),
    "check_quantizer, a pair": lambda: check_quantizer(lambda z, codebook, beta: (..., ...)),
    "check_total_correlation": lambda: check_total_correlation(lambda z, mu, log_var, n_data: ...),
    "check_conditional_elbo": lambda: check_conditional_elbo(lambda model, x, seen, y, eps: ...),
    "check_density_ratio": lambda: check_density_ratio(stub),
    "check_mmd": lambda: check_mmd(stub),
    "check_posterior_step": lambda: check_posterior_step(lambda z_t, x, log_snr_s, log_snr_t: ...),
    "check_posterior_step, a pair": lambda: check_posterior_step(lambda z_t, x, log_snr_s, log_snr_t: (z_t, ...)),
    "check_reduction": lambda: check_reduction(lambda x, mu: ...),
    "check_numerics": lambda: check_numerics(lambda x, logits: ..., *extreme_logits()),
    "check_log_prob": lambda: check_log_prob(bernoulli._replace(log_prob=stub), torch.tensor([[0.0], [1.0]])),
}


@pytest.mark.parametrize("judge", JUDGED.values(), ids=JUDGED)
def test_a_stub_is_yours_to_write_and_has_not_passed(judge):
    check = judge()
    assert check.unwritten and not check.passed and not check
    assert math.isnan(check.gap)
    assert repr(check).startswith("YOURS ") and "in place of the dots" in repr(check)
    shown = check._repr_html_()
    assert "check-yours" in shown and "○ yours" in shown
    assert "data-check" not in shown  # no evidence, for or against


@pytest.mark.parametrize("wrong", [lambda mu, log_var: None, lambda mu, log_var: 0.0 * mu.sum(-1)], ids=["None", "0"])
def test_a_wrong_function_is_no_stub(wrong):
    check = check_kl(wrong)
    assert not check.unwritten and repr(check).startswith("FAIL")


def test_a_right_function_is_no_stub():
    assert not agree("one", 1.0, 1.0, tolerance=0.0, routes=ROUTES).unwritten
