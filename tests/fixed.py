"""Numbers for tests: the same whenever they are asked for, in float64."""

import copy

import torch


def values(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moved(module, seed=0, scale=0.5):
    """A copy of the module in float64, its parameters away from where they begin."""
    module = copy.deepcopy(module).double()
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.add_(values(*parameter.shape, seed=seed + i, scale=scale))
    return module
