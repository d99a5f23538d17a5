"""A `Check` passes exactly when its number supports its claim, and shows the same verdict everywhere."""

import dataclasses
import html
import json
import math
import re

import numpy as np
import pytest
import torch

from vae_tutorial.checks import Check, agree, exceeds

ROUTES = ("left <way>", 'right "way" & co')


def compare(left, right, **options):
    return agree("two routes", left, right, **({"tolerance": 1e-3, "routes": ROUTES} | options))


@pytest.mark.parametrize(
    "gap, bound, relation, passed",
    [
        (0.0, 0.0, "<=", True),
        (1e-3, 1e-3, "<=", True),
        (1.0001e-3, 1e-3, "<=", False),
        (math.inf, 1e9, "<=", False),
        (math.nan, math.inf, "<=", False),
        (2.0, 2.0, ">=", True),
        (1.9999, 2.0, ">=", False),
        (-math.inf, -1e9, ">=", False),
        (math.nan, -math.inf, ">=", False),
    ],
)
def test_verdict_follows_from_the_number(gap, bound, relation, passed):
    check = Check("claim", ROUTES, gap, bound, relation=relation)
    assert check.passed is passed
    assert bool(check) is passed


def test_a_recognized_mistake_fails_whatever_the_number():
    assert not Check("claim", ROUTES, 0.0, 1.0, mistake="the samples are shared")


def test_a_check_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Check("claim", ROUTES, 1.0, 0.5).gap = 0.0


def test_agree_measures_the_largest_absolute_gap():
    left, right = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), torch.tensor([[1.0, 2.5, 3.0], [4.0, 4.25, 6.0]])
    check = compare(left, right)
    assert check.gap == 0.75 and check.bound == 1e-3 and check.unit == "nats" and check.relation == "<="
    assert not check and compare(left, right, tolerance=0.75)
    assert check.claim == "two routes" and check.routes == ROUTES
    assert compare(right, left).gap == 0.75


def test_agree_relative_divides_by_the_right():
    check = compare(torch.tensor([2.0, -10.0]), torch.tensor([1.0, -20.0]), relative=True)
    assert check.gap == 1.0 and check.unit == "relative"
    assert compare(torch.tensor([10.0]), torch.tensor([-20.0]), relative=True).gap == 1.5


def test_agree_counts_standard_errors_entry_by_entry():
    left, right = torch.tensor([1.0, 2.0]), torch.tensor([1.3, 2.2])
    check = compare(left, right, stderr=torch.tensor([0.1, 0.05]), tolerance=5)
    assert check.gap == pytest.approx(4.0, rel=1e-5) and check.unit == "standard errors" and check
    assert compare(left, right, stderr=0.05, tolerance=5).gap == pytest.approx(6.0, rel=1e-5)
    assert not compare(left, right, stderr=0.05, tolerance=5)
    assert not compare(1.0, 1.1, stderr=0.0)  # no spread at all, and yet a gap
    assert compare(1.0, 1.3, stderr=0.1).gap == pytest.approx(3.0, rel=1e-12)  # 0.1 is not rounded to float32


def test_agree_compares_in_float64_and_takes_graphs_apart():
    left = torch.tensor(1 / 3, dtype=torch.float64, requires_grad=True)
    assert compare(left, 1 / 3).gap == 0.0
    assert compare(torch.tensor(1 / 3, dtype=torch.float32), 1 / 3).gap == pytest.approx(9.934107e-09)
    assert compare(torch.tensor(3), 3).gap == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("options", [{}, {"relative": True}, {"stderr": 1.0}])
def test_agree_fails_values_that_are_not_finite(bad, options):
    good, one_bad = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, bad, 3.0])
    assert not compare(one_bad, good, tolerance=1e300, **options)
    assert not compare(good, one_bad, tolerance=1e300, **options)
    assert not compare(one_bad, one_bad, tolerance=1e300, **options)


@pytest.mark.parametrize("shapes", [((3,), (3, 1)), ((3,), ()), ((2, 3), (3, 2)), ((1,), ())])
def test_agree_never_broadcasts(shapes):
    with pytest.raises(ValueError, match="“two routes” must give one shape"):
        compare(torch.ones(shapes[0]), torch.ones(shapes[1]))


def test_agree_counts_one_way_only():
    with pytest.raises(ValueError, match="not both"):
        compare(1.0, 1.0, relative=True, stderr=1.0)


def test_exceeds_measures_the_margin():
    check = exceeds("better", 3.0, torch.tensor(1.0), margin=1.5, routes=ROUTES)
    assert check and check.gap == 2.0 and check.bound == 1.5 and check.relation == ">=" and check.unit == "nats"
    assert exceeds("better", 3.0, 1.0, margin=1.5, routes=ROUTES, unit="pixels").unit == "pixels"
    assert exceeds("better", 3.0, 1.0, margin=2.0, routes=ROUTES)
    assert not exceeds("better", 3.0, 1.0, margin=2.1, routes=ROUTES)
    assert not exceeds("better", 1.0, 3.0, margin=1.5, routes=ROUTES)
    assert not exceeds("better", math.nan, 1.0, margin=-9.0, routes=ROUTES)


def test_repr_shows_claim_routes_number_and_verdict():
    passing = Check("the claim", ("one way", "another"), 1.25e-16, 1e-12)
    failing = dataclasses.replace(passing, gap=0.5, mistake="The sign.")
    assert re.fullmatch(r"PASS  the claim\n +one way against another: gap 1\.\de-16 <= 1e-12 nats", repr(passing))
    assert re.fullmatch(
        r"FAIL  the claim\n +one way against another: gap \S+ against an allowed 1e-12 nats\n +The sign\.",
        repr(failing),
    )
    assert "margin 2 >= 1.5 nats" in repr(exceeds("b", 3.0, 1.0, margin=1.5, routes=ROUTES))
    assert "margin 0.031 >= 0.01 nats" in repr(exceeds("b", 3.031, 3.0, margin=0.01, routes=ROUTES))
    assert "margin 138.2 >= 50 nats" in repr(exceeds("b", 138.24, 0.0, margin=50, routes=ROUTES))
    assert "margin 2 short of the required 2.5 nats" in repr(exceeds("b", 3.0, 1.0, margin=2.5, routes=ROUTES))
    assert "nothing could be measured" in repr(dataclasses.replace(failing, gap=math.nan))
    assert not repr(dataclasses.replace(passing, unit="")).endswith(" ")


def data_of(check):
    found = re.search(r'data-check="([^"]*)"', check._repr_html_())
    return json.loads(html.unescape(found.group(1)))


@pytest.mark.parametrize("gap, shown", [(1.24e-16, "1.2e-16"), (0.1 + 0.2, "0.3"), (-12.34, "-12.3")])
def test_the_data_attribute_gives_the_check_back(gap, shown):
    check = Check("μ² <= \"σ²\" & 'more'", ROUTES, gap, 1e-12, "nats", "<=", 'a "quoted" <mistake>')
    data = data_of(check)
    assert data.pop("passed") is check.passed
    assert data.pop("measured") == shown
    assert Check(**data | {"routes": tuple(data["routes"])}) == check


@pytest.mark.parametrize("gap, shown", [(math.inf, "inf"), (math.nan, "–")])
def test_the_data_attribute_is_json_without_nan_and_infinity(gap, shown):
    data = data_of(Check("c", ROUTES, gap, 1e-12))
    assert (data["gap"], data["measured"], data["passed"]) == (None, shown, False)


def test_html_escapes_everything_and_shows_the_verdict():
    text = "<script>alert('x')</script> & \"more\""
    for mistake, verdict in ("", "pass"), (text, "fail"):
        shown = Check(text, (text, text), 0.0, 1.0, text, "<=", mistake)._repr_html_()
        assert "<script" not in shown and "&lt;script&gt;" in shown
        assert f'class="check check-{verdict}"' in shown and f"{verdict}</span>" in shown
        assert ("check-mistake" in shown) is bool(mistake)
        assert re.sub(r"</?(div|span)( [\w-]+=\"[^\"]*\")*>", "", shown).count("<") == 0  # no other tag is left
    assert "≤" in Check("c", ROUTES, 0.0, 1.0)._repr_html_()
    assert "≥" in exceeds("c", 3.0, 1.0, margin=1.0, routes=ROUTES)._repr_html_()


@pytest.mark.parametrize(
    "check, text",
    [
        (
            Check("σ² < 2", ("one <way>", "another"), 1.24e-16, 1e-12),
            "✓ pass σ² < 2one <way> against another: gap 1.2e-16 ≤ 1e-12 nats",
        ),
        (
            Check("σ² < 2", ("one", "another"), 0.5, 0.25, mistake='The "sign".'),
            '✗ fail σ² < 2one against another: gap 0.5 against an allowed 0.25 natsThe "sign".',
        ),
        (exceeds("c", 3.0, 1.0, margin=1.5, routes=("a", "b")), "✓ pass ca against b: margin 2 ≥ 1.5 nats"),
    ],
    ids=["pass", "fail", "margin"],
)
def test_a_page_shows_this_text(check, text):
    assert html.unescape(re.sub(r"<[^>]*>", "", check._repr_html_())) == text


@pytest.mark.parametrize(
    "left, right, dtype",
    [
        (torch.ones(2), torch.ones(2), "float32"),
        (torch.ones(2).double(), torch.ones(2), "float64, float32"),
        (1.0, torch.ones(()).double(), "float, float64"),
        (1, 1.0, "float"),
        (np.float32(1.0), 1.0, "float32, float"),
    ],
)
def test_the_floating_point_types_of_both_routes_are_kept(left, right, dtype):
    routes = ("one", "other")
    assert agree("Equal", left, right, tolerance=0.0, routes=routes).dtype == dtype
    if torch.as_tensor(left).ndim == 0:
        assert exceeds("Beats", left, right, margin=0.0, routes=routes).dtype == dtype


@pytest.mark.parametrize(
    "left, right, mistake",
    [
        (
            torch.tensor([1.0, 2.0, 3.0]),
            torch.tensor([1.1, 2.5, 3.1]),
            "Where the gap is largest, the first gives 2, the second 2.5.",
        ),
        (0.5, 0.25, "The first gives 0.5, the second 0.25."),
        (1 / 3, 0.25, "The first gives 0.3333, the second 0.25."),
        (1.0, 1.0 + 1e-9, "The first gives 1, the second 1.000000001."),
        (math.nan, 0.25, "The first gives nan, the second 0.25."),
        (
            torch.tensor([5.0, math.nan]),
            torch.tensor([0.0, 0.25]),
            "Where the gap is largest, the first gives nan, the second 0.25.",
        ),
        (
            torch.tensor([5.0, 1.0]),
            torch.tensor([0.0, math.inf]),
            "Where the gap is largest, the first gives 1, the second inf.",
        ),
        (math.inf, math.inf, "The first gives inf, the second inf."),
        (  # equal gaps: the first of them, although another is larger by its rounding
            torch.tensor([1.0, 2.0, 3.0]),
            torch.tensor([1.1, 2.5, 3.5 + 1e-12], dtype=torch.float64),
            "Where the gap is largest, the first gives 2, the second 2.5.",
        ),
    ],
)
def test_two_routes_that_differ_show_where(left, right, mistake):
    check = agree("Equal", left, right, tolerance=1e-12, routes=("one", "other"))
    assert not check.passed and check.mistake == mistake
