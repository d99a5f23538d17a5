"""Ctrl-C at any line of `fit`, once and twice: what is left is whole, and what was changed for a while is put back."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import vae_tutorial
from vae_tutorial.bounds import elbo_terms
from vae_tutorial.history import History
from vae_tutorial.likelihoods import normal
from vae_tutorial.models import VAE
from vae_tutorial.training import evaluate, fit

PACKAGE = Path(vae_tutorial.__file__).parent
TRACED = {
    str(path) for path in [*(PACKAGE / "training").glob("*.py"), PACKAGE / "history.py", PACKAGE / "_restoring.py"]
}
# A trace function, unlike a signal, can raise just before a lock is released, which then stays taken.
UNDER_A_LOCK = ("in_evaluation_mode", "_leave")
X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
X_VAL = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
N_THREADS = 3  # before and after; another number meanwhile


def small_vae():
    """With batch statistics, a frozen weight, and modules in different modes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
        model = VAE(encoder, nn.Sequential(nn.Linear(2, 3), nn.Hardtanh(-9, 9)), 2, normal(0.0))
    model.encoder[0].bias.requires_grad_(False)
    model.decoder.eval()
    return model


def train(model, *, objective=elbo_terms, **how):
    how = dict(epochs=2, seed=5, batch_size=3, average=0.5, patience=3, lr=0.1, device="cpu", progress=False) | how
    return fit(model, X, X_VAL, objective=objective, **how)


class Interrupts:
    """Raises KeyboardInterrupt at chosen lines of `fit`, and notes where each that is reached stands.

    A line is chosen by how many were reached before it, or as (line, n), the n-th time that it is reached.
    """

    def __init__(self, *at):
        self.at, self.lines, self.times = at, [], Counter()

    def __enter__(self):
        self.before = sys.gettrace(), sys.getprofile()
        sys.setprofile(self.profile)
        sys.settrace(self.trace)

    def __exit__(self, *_):
        sys.setprofile(self.before[1])
        sys.settrace(self.before[0])

    def trace(self, frame, event, _):
        if frame.f_code.co_filename not in TRACED or frame.f_code.co_name in UNDER_A_LOCK:
            return None
        if event == "line":
            line = frame.f_code.co_filename, frame.f_lineno
            self.lines.append(line)
            self.times[line] += 1
            if len(self.lines) - 1 in self.at or (line, self.times[line]) in self.at:
                raise KeyboardInterrupt
        return self.trace

    def profile(self, frame, event, _):
        """Python forgets a trace function that has raised: begin anew at the next call or return."""
        if sys.gettrace() is None:
            while frame is not None:
                if frame.f_code.co_filename in TRACED:
                    frame.f_trace = self.trace
                frame = frame.f_back
            sys.settrace(self.trace)


def surroundings():
    return dict(
        threads=torch.get_num_threads(),
        dtype=torch.get_default_dtype(),
        gradients=torch.is_grad_enabled(),
        inference=torch.is_inference_mode_enabled(),
        random=torch.get_rng_state().tolist(),
        x=(X.tolist(), X.requires_grad, X.grad),
    )


def run(*at, **how):
    """Train with interrupts at these lines; gives the model, the history if there is one, and the lines reached."""
    model, interrupts = small_vae(), Interrupts(*at)
    with interrupts:
        try:
            history = train(model, **how)
        except KeyboardInterrupt:
            history = None
    return model, history, interrupts.lines


def weights(model):
    return tuple(torch.cat([p.detach().flatten() for p in model.parameters()]).tolist())


def statistics(model):
    """Those of batches, which may be one step ahead of the weights."""
    return tuple(torch.cat([b.flatten() for b in model.buffers()]).tolist())


def modes(model):
    return [module.training for module in model.modules()]


def possible_ends(**how):
    """The weights that a run may end with, those of so many steps, averaged, or of an epoch; and the statistics."""
    found = {f(small_vae()) for f in (weights, statistics)}
    for n in range(1, 8):  # two steps and a validation an epoch
        calls = []

        def objective(*arguments, n=n, calls=calls, **named):
            calls.append(None)
            if len(calls) == n:
                raise KeyboardInterrupt
            return elbo_terms(*arguments, **named)

        train(model := small_vae(), objective=objective, **how)
        found |= {weights(model), statistics(model)}
    return found


@pytest.fixture(scope="module")
def whole():
    return possible_ends()


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(N_THREADS)
    yield
    torch.set_num_threads(before)


def assert_whole(model, history, before, possible, where):
    assert surroundings() == before, where
    fresh = small_vae()
    assert modes(model) in ([False] * len(modes(model)), modes(fresh)), where
    assert weights(model) in possible and statistics(model) in possible, where
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in fresh.parameters()], where
    assert not any(module._forward_hooks for module in model.modules()), where
    assert all(torch.isfinite(value).all() for value in model.state_dict().values()), where
    if history is not None:
        columns = (history.log_likelihood, history.kl, history.val_log_likelihood, history.val_kl, history.seconds)
        assert len({len(column) for column in columns}) == 1, where


def first_and_last(lines):
    """Where each line is reached for the first and the last time."""
    return sorted({lines.index(line) for line in lines} | {len(lines) - 1 - lines[::-1].index(line) for line in lines})


@pytest.mark.parametrize("how", [{}, dict(patience=None, epochs=1)], ids=["the best", "the last"])
def test_an_interrupt_at_any_line_leaves_all_whole(how):
    whole = possible_ends(**how)  # and what PyTorch loads on first use
    model, history, lines = run(**how)
    assert len(lines) > 300 and not history.interrupted and modes(model) == [False] * len(modes(model))
    before, returned = surroundings(), 0
    for at in first_and_last(lines):
        model, history, _ = run(at, **how)
        assert_whole(model, history, before, whole, lines[at])
        if how == {} and history is not None and history.val_elbo:
            val_elbo = float(np.subtract(*evaluate(model, X_VAL, seed=5)))
            assert val_elbo == max(history.val_elbo), lines[at]
        returned += history is not None
        assert history is None or history.interrupted
    assert returned > 100  # once it has begun, fit returns what there is


def test_a_second_interrupt_while_all_is_put_back_changes_nothing(whole):
    before = surroundings()
    _, _, lines = run()
    middle = next(i for i in range(len(lines) // 2, len(lines)) if lines[i][0].endswith("step.py"))
    _, _, after = run(middle)
    assert len(after) - middle > 15
    for second in range(middle + 1, len(after)):
        model, history, reached = run(middle, second)
        assert_whole(model, history, before, whole, (after[middle], reached[-1]))
        assert modes(model) == [False] * len(modes(model))
    last = len(lines) - 12  # both where all is put back after the last epoch
    for second in range(last + 1, len(lines) + 5):
        assert_whole(*run(last, second)[:2], before, whole, (lines[last], second))


def test_an_interrupt_in_bfloat16_leaves_no_hook(whole):
    before = surroundings()
    _, _, lines = run(bfloat16=True)
    for at in [i for i in first_and_last(lines) if lines[i][0].endswith("device.py")]:
        model, history, _ = run(at, bfloat16=True)
        assert surroundings() == before and not any(module._forward_hooks for module in model.modules()), lines[at]


def test_an_interrupt_while_a_run_is_restored_leaves_the_model_or_the_run(tmp_path, whole):
    path = tmp_path / "run"
    train(small_vae(), epochs=1, checkpoint=path)
    content = path.read_bytes()
    _, history, lines = run(checkpoint=path, resume=True)
    assert len(history.elbo) == 2
    for at in [i for i in first_and_last(lines) if lines[i][0].endswith("run.py")]:
        path.write_bytes(content)
        chosen = lines[at], lines[: at + 1].count(lines[at])  # whatever other lines this run reaches
        model, history, reached = run(chosen, checkpoint=path, resume=True)
        assert history is not None, (lines[at], reached[-1])
        assert [len(history.kl), len(history.val_kl)] in ([0, 0], [1, 1], [2, 2]), lines[at]
        assert path.exists()


def test_columns_of_a_history_grow_together():
    history = History()
    interrupts = Interrupts()
    with interrupts:
        history.append(-1.0, 0.5, -2.0, 0.25, seconds=0.1)
    for at in range(len(interrupts.lines)):
        history = History([-1.0], [0.5], [-2.0], [0.25], [0.1])
        with Interrupts(at), pytest.raises(KeyboardInterrupt):
            history.append(-1.0, 0.5, -2.0, 0.25, seconds=0.2)
        assert len(history.elbo) == len(history.val_elbo) == len(history.seconds) in (1, 2)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_evaluate_puts_the_modes_back(error):
    def objective(model, *arguments, **how):
        assert not any(module.training for module in model.modules())
        raise error

    model = small_vae()
    with pytest.raises(error):
        evaluate(model, X, seed=0, objective=objective)
    assert modes(model) == modes(small_vae())
