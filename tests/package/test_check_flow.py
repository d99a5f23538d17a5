"""`check_flow` passes every right flow, catches every wrong one, and calls it by its name."""

import math
import time

import pytest
from planted import CORRECT_FLOWS, WRONG_FLOWS


@pytest.mark.parametrize("case", CORRECT_FLOWS, ids=lambda case: case.name)
def test_right_flows_pass(case):
    start = time.perf_counter()
    check = case.check(case.fn)
    print(f"{case.name}: {time.perf_counter() - start:.2f} s, gap {check.gap:.1e}")
    assert check.passed, check
    assert "float32" in case.name or check.gap < 1e-10


@pytest.mark.parametrize("case", WRONG_FLOWS, ids=lambda case: case.name)
def test_wrong_flows_are_caught_and_named(case):
    start = time.perf_counter()
    check = case.check(case.fn)
    print(f"{case.name}: {time.perf_counter() - start:.2f} s, gap {check.gap:.1e}: {check.mistake}")
    assert not check.passed
    assert case.named in check.mistake
    assert math.isnan(check.gap) or check.gap > check.bound
