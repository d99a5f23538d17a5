"""The checks on functions written without sight of them: wrong ones, and right ones in unusual style."""

import re

import blind_newer
import pytest
from blind import RIGHT, WRONG

from vae_tutorial import checks

# What is wrong with it is not what a check looks at: a result in float32 passes, as of a function that computes in it.
NOT_LOOKED_AT = {("check_reparameterize", "float32")}
EVIDENCE_ALONE = re.compile("No known mistake|Its values are right.*no known|It is right for the first|At z = ")
EVIDENCE = ("No known mistake", "no known mistake", "It is right for the first arguments")


@pytest.mark.parametrize("judge, fn", [case[::2] for case in RIGHT], ids=[f"{case[0]}, {case[1]}" for case in RIGHT])
def test_right_functions_pass(judge, fn):
    check = getattr(checks, judge)(fn)
    assert check.passed, check


def test_wrong_functions_fail_and_most_are_named():
    judged = {(judge, name): getattr(checks, judge)(fn) for judge, name, fn, _ in WRONG}
    assert {key for key, check in judged.items() if check.passed} == NOT_LOOKED_AT
    failed = [check for check in judged.values() if not check.passed]
    named = [check for check in failed if not any(words in check.mistake for words in EVIDENCE)]
    assert len(judged) == 100 and len(named) >= 0.9 * len(failed)


@pytest.mark.parametrize("case", blind_newer.RIGHT, ids=[f"{case[0]}, {case[1]}" for case in blind_newer.RIGHT])
def test_right_flows_priors_mixtures_and_quantizers_pass(case):
    check = case[2]()
    assert check.passed, check


def test_wrong_flows_priors_mixtures_and_quantizers_fail_and_most_are_named():
    checks = {(judge, name): judged() for judge, name, judged in blind_newer.WRONG}
    assert not [key for key, check in checks.items() if check.passed]
    named = [check for check in checks.values() if not EVIDENCE_ALONE.match(check.mistake)]
    assert len(checks) == 120 and len(named) >= 0.9 * len(checks)
