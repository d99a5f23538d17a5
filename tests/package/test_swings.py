"""The pendulum: its swings against an integrator of SciPy, its frames, its noise."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from vae_tutorial.datasets import pendulum, swings
from vae_tutorial.reference import monte_carlo


def of_the_mean(module):
    """Small swings are linear, and so their mean is that of the equation without noise."""
    begin = torch.tensor([0.3, -0.2]).expand(200_000, 2)
    end, generator = begin, torch.Generator().manual_seed(0)
    for _ in range(3):
        end = module.swing_on(end, generator)

    def slope(_, state):
        return state[1], -4 * math.sin(state[0]) - 0.1 * state[1]

    exact = solve_ivp(slope, (0, 3 * 0.35), [0.3, -0.2], rtol=1e-9).y[:, -1]
    found = monte_carlo(end)
    assert np.abs(found.mean.numpy() - exact).max() < 0.06  # Euler's method is of order 1
    assert (found.stderr < 0.001).all()


def of_the_pushes(module):
    """One frame from rest at the bottom: the speed's variance is that of the linear equation's noise, near 0.15² dt."""
    after = module.swing_on(torch.zeros(200_000, 2), torch.Generator().manual_seed(0))
    quarter = 0.35 / 4
    turn = np.array([[1 - 4 * quarter**2, quarter * (1 - 0.1 * quarter)], [-4 * quarter, 1 - 0.1 * quarter]])
    push = np.array([quarter, 1.0]) * 0.15 * math.sqrt(quarter)
    cov = sum(np.outer(v, v) for v in (np.linalg.matrix_power(turn, k) @ push for k in range(4)))
    found = monte_carlo(after[:, :, None] * after[:, None])
    assert (found.z_score(torch.as_tensor(cov)).abs() < 5).all()


def of_the_camera(module):
    x, state = module.pendulum(20_000, 3, seed=4)
    off = x.unflatten(-1, (3, 12)) - module.frames(state)
    assert (monte_carlo(off.flatten(1)).z_score(0.0).abs() < 5).all()
    assert (monte_carlo(off.flatten(1) ** 2).z_score(0.01).abs() < 5).all()
    peak = module.PIXELS[module.frames(state).argmax(-1)]
    assert ((peak - torch.sin(state[..., 0])).abs() <= 2.5 / 22 + 1e-6).all()  # the nearest pixel is the brightest
    at = torch.tensor([math.asin(0.25 / 2.2), 1.0])
    assert module.frames(at)[6] == pytest.approx(1.0, abs=1e-3)


CHECKS = of_the_mean, of_the_pushes, of_the_camera


@pytest.mark.parametrize("check", CHECKS)
def test_a_swing(check):
    check(swings)


def test_it_begins_as_it_says():
    state = pendulum(50_000, 1, seed=0).state[:, 0]
    assert state[:, 0].abs().max() <= 2 and state[:, 0].abs().max() > 1.99
    assert (monte_carlo(torch.stack([state[:, 0], state[:, 1]], -1)).z_score(0.0).abs() < 5).all()
    assert (
        abs(monte_carlo(state[:, 0] ** 2).z_score(4 / 3)) < 5 and abs(monte_carlo(state[:, 1] ** 2).z_score(0.64)) < 5
    )


def test_the_seed_decides_and_nothing_else():
    before = torch.random.get_rng_state()
    one, again, other = (pendulum(4, 6, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.x, again.x) and torch.equal(one.state, again.state) and not torch.equal(one.x, other.x)
    assert torch.equal(before, torch.random.get_rng_state()) and one.x.dtype == torch.float32


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="n_steps must be an integer of at least 1"):
        pendulum(3, 0, seed=0)
    with pytest.raises(TypeError, match="seed must be an integer"):
        pendulum(3, 2, seed=0.5)


PLANTED = {
    "a push that is too strong": ("0.15 * math.sqrt(dt)", "0.15 * math.sqrt(STEP)"),
    "no push": ("0.15 * math.sqrt(dt)", "0.0 * math.sqrt(dt)"),
    "gravity upwards": ("- dt * (4 * torch.sin(theta)", "- dt * (-4 * torch.sin(theta)"),
    "weak gravity": ("- dt * (4 * torch.sin(theta)", "- dt * (3 * torch.sin(theta)"),
    "no damping": ("0.1 * omega)", "0.0 * omega)"),
    "one step for four": ("for _ in range(4)", "for _ in range(1)"),
    "the angle before the speed": ("theta = theta + dt * omega", "theta = theta + dt * (omega - push)"),
    "the camera sees the cosine": ("torch.sin(state[..., :1])", "torch.cos(state[..., :1])"),
    "the camera sees the speed": ("torch.sin(state[..., :1])", "torch.sin(state[..., 1:])"),
    "a broad spot": ("/ 0.25) ** 2", "/ 2.5) ** 2 - 0.1"),
    "no noise": ("clean + NOISE *", "clean + 0 *"),
    "noise of variance 0.1": ("clean + NOISE *", "clean + NOISE**0.5 *"),
}


@pytest.mark.parametrize("old, new", PLANTED.values(), ids=PLANTED)
def test_a_planted_mistake_is_caught(old, new):
    import types
    from pathlib import Path

    source = Path(swings.__file__).read_text()
    assert old in source
    module = types.ModuleType("broken")
    exec(compile(source.replace(old, new), "broken", "exec"), module.__dict__)
    with pytest.raises(AssertionError):
        for check in CHECKS:
            check(module)
