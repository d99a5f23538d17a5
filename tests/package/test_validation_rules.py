"""The rules that the package's argument checks are made of, each by itself, at the edges of what it lets through."""

import math

import pytest
import torch

from vae_tutorial import _validation as rules

X = torch.ones(3, 2)
NAN = torch.tensor([1.0, math.nan])


@pytest.mark.parametrize("seed", [-(2**63), 0, 2**64 - 1])
def test_a_seed_is_one_that_every_generator_takes(seed):
    assert rules.require_seed(seed=seed) == seed
    torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", [-(2**63) - 1, 2**64])
def test_a_seed_that_no_generator_takes_is_named(seed):
    with pytest.raises(ValueError, match=rf"^seed must lie between -2\*\*63 and 2\*\*64 - 1, got {seed}$"):
        rules.require_seed(seed=seed)


@pytest.mark.parametrize("seed", [True, 1.0, "0", None])
def test_what_is_no_integer_is_no_seed(seed):
    with pytest.raises(TypeError, match=f"^seed must be an integer, such as seed=0, got {seed!r}$"):
        rules.require_seed(seed=seed)


@pytest.mark.parametrize(
    "c, came",
    [(torch.ones(2), r"\(2,\)"), (torch.tensor(3.0), r"\(\)"), (torch.ones(1), r"\(1,\)"), ([1, 2, 3], "list")],
)
def test_a_row_beside_each_example(c, came):
    rules.require_as_many(x=X, c=torch.arange(3))
    with pytest.raises(ValueError, match=f"^c must hold a row for each of the 3 rows of x, got {came}$"):
        rules.require_as_many(x=X, c=c)


@pytest.mark.parametrize("shape, remedy", [((2,), r"give x\[None\]"), ((3, 1, 2), r"give x\.flatten\(1\)")])
def test_rows_that_are_none_come_with_the_remedy(shape, remedy):
    with pytest.raises(ValueError, match=rf"one flat row an example, got .*; {remedy}$"):
        rules.require_rows(x=torch.ones(shape))


def test_tensors_on_two_devices_are_named():
    rules.require_same_device(x=X, y=X)
    with pytest.raises(ValueError, match="must be on the same device, got x cpu, y meta; move them"):
        rules.require_same_device(x=X, y=X.to("meta"))


def test_a_tensor_without_values_is_named():
    with pytest.raises(TypeError, match="^x must hold values, got a tensor on the device meta"):
        rules.require_finite(x=X.to("meta"))


def test_what_is_not_finite_is_allowed_inside_alone():
    for _ in range(2):
        with rules.not_finite_allowed():
            rules.require_finite(x=NAN)
            with rules.not_finite_allowed():
                assert not rules.values_count()
            assert not rules.values_count()
        assert rules.values_count()
        with pytest.raises(ValueError, match="^x must be finite, got 1 NaN or infinite values among 2"):
            rules.require_finite(x=NAN)


def test_values_are_not_looked_at_where_a_vmap_hides_them():
    seen = []

    def look(x):
        seen.append(rules.values_count())
        rules.require_finite(x=x)
        return x

    torch.func.vmap(look)(NAN[:, None])
    torch.func.grad(lambda x: look(x).sum())(X)  # which hides nothing
    assert seen == [False, True]


@pytest.mark.parametrize("value", [0, 0.0, 0.5, 1])
def test_what_is_at_least_zero_comes_back_as_a_float(value):
    came = rules.require_at_least_zero(minimum=value)
    assert came == value and type(came) is float


@pytest.mark.parametrize("unit", ["", " nats"])
def test_what_is_below_zero_is_named_with_its_unit(unit):
    with pytest.raises(ValueError, match=f"^minimum must be at least 0{unit}, got -0.5$"):
        rules.require_at_least_zero(minimum=-0.5, **({"unit": unit} if unit else {}))


def test_widths_are_one_count_or_several():
    assert rules.require_widths(hidden_dims=3) == (3,) and rules.require_widths(hidden_dims=[3, 5]) == (3, 5)
    with pytest.raises(ValueError, match="^hidden_dims must be an integer of at least 1, got 0$"):
        rules.require_widths(hidden_dims=[3, 0])
