"""Masked networks: which input reaches which output, and the network as a sum over its connections, in plain Python."""

import math
from functools import partial

import fixed
import pytest
import torch
from fixed import values
from rebuilt import rebuilt

from vae_tutorial import masked
from vae_tutorial.masked import Network, masks

moved = partial(fixed.moved, seed=0, scale=0.8)


@pytest.mark.parametrize("n_in, hidden_dim, n_out", [(1, 4, 2), (2, 2, 2), (3, 7, 6), (5, 20, 5)])
def test_masks_let_exactly_the_earlier_inputs_through(n_in, hidden_dim, n_out):
    first, second = masks(n_in, hidden_dim, n_out)
    ways = second.int() @ first.int()
    for output in range(n_out):
        seen = {i for i in range(n_in) if ways[output, i]}
        if hidden_dim >= n_in:
            assert seen == set(range(output % n_in))
    assert first.shape == (hidden_dim, n_in) and second.shape == (n_out, hidden_dim)


def test_a_masked_network_sees_all_of_its_context():
    network = Network(3, 9, 6, 2, masked=True, seed=0).double()
    with torch.no_grad():
        network.output.weight.copy_(values(6, 9))
    jacobian = torch.autograd.functional.jacobian(lambda c: network(values(3), c), values(2))
    assert (jacobian != 0).all()


def test_masks_that_see_too_little_are_caught():
    """No Jacobian tells them: a flow that moves each dimension by too few others is still one."""
    for old, new in (
        ("of_output[:, None] > of_hidden", "of_output[:, None] > of_hidden + 1"),
        ("of_hidden[:, None] >= of_input", "of_hidden[:, None] > of_input"),
        ("torch.arange(hidden_dim) % n_in", "torch.arange(hidden_dim) * 0"),
    ):
        first, second = rebuilt("vae_tutorial.masked", old, new).masks(3, 7, 3)
        assert not torch.equal(second.int() @ first.int() > 0, torch.ones(3, 3).tril(-1).bool())


def by_loops(network, z, context):
    """Outputs of a network for one point, connection by connection, in plain Python."""
    L, H, n_out = network.hidden.in_features, network.hidden.out_features, network.output.out_features
    W, a = network.hidden.weight.tolist(), network.hidden.bias.tolist()
    V, b = network.output.weight.tolist(), network.output.bias.tolist()
    U = network.of_context.weight.tolist()
    degrees = [i % L for i in range(H)]
    outputs = []
    for o in range(n_out):
        total = b[o]
        for i, degree in enumerate(degrees):
            if network.masked and degree >= o % L + 1:
                continue
            t = a[i] + sum(U[i][c] * context[c] for c in range(len(context)))
            t += sum(W[i][d] * z[d] for d in range(L) if not network.masked or d + 1 <= degree)
            total += V[o][i] * t / (1 + math.exp(-t))
        outputs.append(total)
    return torch.tensor(outputs, dtype=torch.float64)


def judge_network(module):
    for cut in (False, True):
        fresh = module.Network(3, 7, 6, 2, masked=cut, seed=1)
        assert not fresh(values(4, 3).float(), values(4, 2).float()).any()
        same, other = (module.Network(3, 7, 6, 2, masked=cut, seed=s) for s in (1, 2))
        assert torch.equal(fresh.hidden.weight, same.hidden.weight)
        assert not torch.equal(fresh.hidden.weight, other.hidden.weight)
        network, z, context = moved(fresh), values(4, 5, 3), values(5, 2)
        came = network(z, context)
        for k in range(4):
            for i in range(5):
                expected = by_loops(network, z[k, i].tolist(), context[i].tolist())
                torch.testing.assert_close(came[k, i].detach(), expected, rtol=0, atol=1e-12)
    assert module.Network(3, 7, 6, masked=True, seed=1).of_context is None
    assert not module.Network(3, 7, 6, seed=1).masked


def test_the_network_is_its_sum_over_connections():
    judge_network(masked)


def test_the_masks_go_where_the_weights_are():
    network = Network(3, 7, 6, masked=True, seed=1).to("meta")
    assert network(torch.zeros(4, 3, device="meta")).device.type == "meta"


PLANTED_IN_NETWORKS = {
    "an output sees itself": ("of_output[:, None] > of_hidden", "of_output[:, None] >= of_hidden"),
    "an output sees too little": ("of_output[:, None] > of_hidden", "of_output[:, None] > of_hidden + 1"),
    "a unit sees one too many": ("of_hidden[:, None] >= of_input", "of_hidden[:, None] + 1 >= of_input"),
    "a unit sees too little": ("of_hidden[:, None] >= of_input", "of_hidden[:, None] > of_input"),
    "no units of degree 0": ("torch.arange(hidden_dim) % n_in", "torch.arange(hidden_dim) % (n_in - 1) + 1"),
    "outputs interleaved": ("of_input.repeat(n_out // n_in)", "of_input.repeat_interleave(n_out // n_in)"),
    "always masked": ("if self.masked:\n            first", "if True:\n            first"),
    "never masked": ("if self.masked:\n            first", "if False:\n            first"),
    "the context left out": ("t = t + self.of_context(context)", "t = t + 0 * self.of_context(context)"),
    "the context after the activation": (
        "silu(t), V",
        "silu(t - self.of_context(context)) + self.of_context(context), V",
    ),
    "no bias below": ("linear(z, W, self.hidden.bias)", "linear(z, W)"),
    "no bias above": ("V, self.output.bias)", "V)"),
    "another activation": ("silu(t)", "relu(t)"),
    "weights that do not begin at 0": ("nn.init.zeros_(self.output.weight)", "pass"),
    "a bias that does not begin at 0": ("nn.init.zeros_(self.output.bias)", "pass"),
    "the seed of nobody": ("initial_weights(seed)", "initial_weights(0)"),
}


@pytest.mark.parametrize("old, new", PLANTED_IN_NETWORKS.values(), ids=PLANTED_IN_NETWORKS)
def test_a_mistake_planted_in_a_network_is_caught(old, new):
    module = rebuilt("vae_tutorial.masked", old, new)
    with pytest.raises(AssertionError):
        judge_network(module)


@pytest.mark.parametrize(
    "call, error, said",
    [
        (lambda: masks(2, 4, 3), ValueError, "n_out must be a multiple of n_in=2"),
        (lambda: Network(2, 4, 3, masked=True, seed=0), ValueError, "n_out must be a multiple of n_in=2"),
        (lambda: masks(0, 4, 2), ValueError, "n_in must be an integer of at least 1"),
        (lambda: masks(2, 4, 0), ValueError, "n_out must be an integer of at least 1"),
        (lambda: Network(2, 0, 4, seed=0), ValueError, "hidden_dim must be an integer of at least 1"),
        (lambda: Network(2, 4, 0, seed=0), ValueError, "n_out must be an integer of at least 1"),
        (lambda: masks(2, 0, 2), ValueError, "hidden_dim must be an integer of at least 1"),
        (lambda: Network(0, 4, 4, seed=0), ValueError, "n_in must be an integer of at least 1"),
        (lambda: Network(2, 4, 4, -1, seed=0), ValueError, "context_dim must be an integer of at least 1"),
        (lambda: Network(2, 4, 4, 1.5, seed=0), ValueError, "context_dim must be an integer of at least 1"),
        (lambda: Network(2, 4, 4, seed=0.5), TypeError, "seed must be an integer"),
    ],
)
def test_wrong_input_is_named(call, error, said):
    with pytest.raises(error) as caught:
        call()
    assert said in str(caught.value)
