"""`check_flow` passes every right flow, catches every wrong one, and calls it by its name."""

import math
import time

import pytest
import torch
from planted import CORRECT_FLOWS, WRONG_FLOWS, coupling, is_caught_and_named, passes

from vae_tutorial.checks import check_flow


@pytest.mark.parametrize("case", CORRECT_FLOWS, ids=lambda case: case.name)
def test_right_flows_pass(case):
    check = passes(case)
    assert "float32" in case.name or check.gap < 1e-10


@pytest.mark.parametrize("case", WRONG_FLOWS, ids=lambda case: case.name)
def test_wrong_flows_are_caught_and_named(case):
    is_caught_and_named(case)


def test_a_stub_is_the_learner_s_to_write():
    for stub in (lambda z: ..., lambda z: (..., ...)):
        assert check_flow(stub, 2).unwritten
    assert check_flow(coupling, 3, inverse=lambda z: ...).unwritten


def test_what_it_is_given_must_fit():
    with pytest.raises(TypeError, match="the first argument must be the flow to check, got NoneType"):
        check_flow(None, 2)
    with pytest.raises(ValueError, match="latent_dim must be an integer of at least 1"):
        check_flow(coupling, 0)
    with pytest.raises(TypeError, match="inverse must be the function that leads back, got int"):
        check_flow(coupling, 2, inverse=3)


def test_many_layers_are_named_in_good_time():
    """Of 24 layers there are 16 million subsets, which nobody tries."""
    scales = [1.1 + i / 50 for i in range(24)]
    layers = [lambda z, s=s: (s * z, math.log(s) * z.shape[-1] + 0 * z.sum(-1)) for s in scales]

    def missing(z, some):
        for layer in layers:
            z, log_det = layer(z)
        return z, sum(math.log(scales[i]) for i in some) * z.shape[-1] + 0 * z.sum(-1)

    start = time.perf_counter()
    said = check_flow(lambda z: missing(z, range(1, 24)), 2, layers=layers).mistake
    assert "counts only layers 2, 3" in said
    assert "autograd's Jacobian has" in check_flow(lambda z: missing(z, range(0, 24, 3)), 2, layers=layers).mistake
    assert time.perf_counter() - start < 20


def test_an_error_is_told():
    assert "It raised RuntimeError" in check_flow(lambda z: z @ torch.ones(2, 2), 3).mistake


def test_it_leaves_the_random_state_and_the_dtype_alone():
    before, dtype = torch.get_rng_state(), torch.get_default_dtype()
    check_flow(lambda z: (z + torch.randn_like(z), z.sum(-1)), 2)
    assert torch.equal(torch.get_rng_state(), before) and torch.get_default_dtype() is dtype


def test_weights_of_a_module_need_their_gradient_too():
    class Detached(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.s = torch.nn.Parameter(torch.tensor([0.3, -0.2], dtype=torch.float64))

        def forward(self, z):
            return z * self.s.exp(), self.s.detach().sum() + 0 * z.sum(-1)

    assert "its gradient" in check_flow(Detached(), 2).mistake
