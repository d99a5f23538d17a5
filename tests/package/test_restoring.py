"""What is changed for a while is put back: after an error, two interrupts, and where threads share a model."""

import threading

import pytest
from torch import nn

from vae_tutorial._restoring import in_evaluation_mode, restoring


def modes(model):
    return [module.training for module in model.modules()]


def mixed():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)))
    model[1][1].eval()
    return model


@pytest.mark.parametrize("n_interrupts", [0, 1, 2])
@pytest.mark.parametrize("fails", [False, True])
def test_it_is_put_back_after_two_interrupts_meanwhile(n_interrupts, fails):
    value, left = [1], [None] * n_interrupts

    def restore():
        if left:
            left.pop()
            raise KeyboardInterrupt
        value[0] = 1

    try:
        with restoring(restore):
            value[0] = 2
            if fails:
                raise ZeroDivisionError
    except (KeyboardInterrupt, ZeroDivisionError) as error:
        assert n_interrupts or fails, error
    assert value == [1] and not left


@pytest.mark.parametrize("levels", [{}, {"levels": 1}])
def test_once_for_each_level(levels):
    calls = []
    with restoring(lambda: calls.append("restore"), **levels):
        pass
    assert len(calls) == levels.get("levels", 3)


def test_evaluation_mode_is_for_the_inside_and_each_module_has_its_own_back():
    model = mixed()
    before = modes(model)
    with in_evaluation_mode(model):
        assert not any(modes(model))
        with in_evaluation_mode(model):  # as evaluate in a callback of fit
            assert not any(modes(model))
        assert not any(modes(model))
    assert modes(model) == before and len(set(before)) == 2
    with pytest.raises(ZeroDivisionError), in_evaluation_mode(model):
        raise ZeroDivisionError
    assert modes(model) == before


def test_the_last_of_several_threads_puts_the_modes_back():
    model = mixed()
    before, inside, leave = modes(model), threading.Barrier(3), [threading.Event() for _ in range(2)]

    def measure(i):
        with in_evaluation_mode(model):
            inside.wait()
            leave[i].wait()

    threads = [threading.Thread(target=measure, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    inside.wait()
    for event, thread, expected in zip(leave, threads, ([False] * len(before), before), strict=True):
        assert not any(modes(model))
        event.set()
        thread.join()
        assert modes(model) == expected
