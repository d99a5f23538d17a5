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


def constant(z, number):
    return number + 0 * z.sum(-1)


class Learned(torch.nn.Module):
    """z times exp(s), where s comes from a weight in some way."""

    def __init__(self, of_weight):
        super().__init__()
        self.weight, self.of_weight = torch.nn.Parameter(torch.tensor([0.3, -0.2], dtype=torch.float64)), of_weight

    def forward(self, z):
        s = self.of_weight(self.weight)
        return z * s.exp(), constant(z, s.sum())


def test_what_is_detached_inside_the_map_is_missed_by_autograd_and_found_by_differences():
    assert check_flow(Learned(lambda w: w), 2).passed
    assert check_flow(Learned(lambda w: w.detach()), 2).mistake.startswith("No gradient reaches weight: it is detached")
    halved = Learned(lambda w: 0.5 * w + 0.5 * w.detach())
    assert check_flow(halved, 2).mistake == "The gradient of z′ with respect to weight is not that of its values."
    before = halved.weight.detach().clone()
    check_flow(halved, 2)
    assert torch.equal(halved.weight, before) and halved.weight.grad is None

    def detached(z):
        return z + 0.5 * torch.tanh(z).detach(), torch.log1p(0.5 * (1 - torch.tanh(z) ** 2)).sum(-1)

    assert check_flow(detached, 2).mistake == "The gradient of z′ with respect to z is not that of its values."


U = torch.tensor([0.4, 0.2], dtype=torch.float64)


def det(z):
    return 1 + 0.2 * (1 - torch.tanh(z[..., 1]) ** 2)


@pytest.mark.parametrize(
    "flow, said",
    [
        (lambda z: (z.relu(), constant(z, 0.0)), "Its determinant is 0 at z = [1.5485, -1.5654]: the map has no"),
        (lambda z: coupling(z, lambda s: s.sum(-1) / math.log(10)), "in the logarithm of base 10"),
        (lambda z: (z, constant(z, -math.inf)), "Its log-determinant is infinite at z = [1.5485, -1.5654]"),
        (lambda z: (z + torch.tanh(z.sum(-1, True)) * U, constant(z, 0.3)), "It is the same at every z"),
        (lambda z: (z + torch.tanh(z[..., 1:]) * U, (det(z) + 0.001).log()), "It adds 0.001 to |det| inside"),
        (lambda z: (z + torch.tanh(z[..., 1:]) * U, (3 * det(z) - 2).log()), "1 + s, it has 1 + 3 s: a factor of s"),
    ],
)
def test_further_names(flow, said):
    check = check_flow(flow, 2)
    assert said in check.mistake and not 1e300 < check.gap < math.inf


def triangular(scale, log_det):
    """The second dimension is scaled and shifted by what the first says."""

    def flow(z):
        s = torch.sin(z[..., :1])
        moved = z[..., 1:] * scale(s, z[..., 1:]).exp() + 0.3 * z[..., :1]
        return torch.cat([z[..., :1], moved], -1), log_det(s, z).squeeze(-1)

    return flow


def test_a_triangular_jacobian_is_told_by_what_the_map_does():
    said = check_flow(triangular(lambda s, z: s.tanh(), lambda s, z: s), 2).mistake
    assert "adds up what stands under the tanh" in said
    said = check_flow(triangular(lambda s, z: s, lambda s, z: s + 0.3 * z[..., :1]), 2).mistake
    assert said == "Its log-determinant counts the shifts, which change no volume."
    said = check_flow(triangular(lambda s, z: s.clamp(-0.5, 0.5), lambda s, z: s), 2).mistake
    assert "the map multiplies by [1.0000, " in said and "mask" not in said
    said = check_flow(triangular(lambda s, z: s + 0.1 * z, lambda s, z: s + 0.1 * z[..., 1:]), 2).mistake
    assert "sees the dimension that it moves (a mask with ≥ where > belongs)" in said and "multiplies by" not in said
