"""Shapes against areas, centers and axes that geometry gives, factor by factor."""

import math

import pytest
import torch

from vae_tutorial.datasets import FACTORS, all_shapes, draw_shapes, shapes

MIDDLE = dict(shape=0, scale=1, rotation=0, x=3, y=3)
POINTS = (torch.arange(16, dtype=torch.float64) + 0.5) / 8 - 1


def image(**levels):
    return draw_shapes(torch.tensor([list((MIDDLE | levels).values())])).double().view(16, 16)


def moments(picture):
    """Area, center (x, y) and covariance of x and y, in units in which the image reaches from −1 to 1."""
    area = picture.sum() / 64
    x, y = POINTS[None, :].expand(16, 16), POINTS[:, None].expand(16, 16)
    p = picture / picture.sum()
    center = torch.stack([(p * x).sum(), (p * y).sum()])
    dx, dy = x - center[0], y - center[1]
    cov = torch.stack([(p * dx * dx).sum(), (p * dx * dy).sum(), (p * dy * dy).sum()])
    return area.item(), center, cov


AREAS = {0: 1.6**2, 1: math.pi * 0.55, 2: 1.5**2 / math.sqrt(3)}  # of radius 1: square, ellipse, triangle


@pytest.mark.parametrize("shape", AREAS)
@pytest.mark.parametrize("scale", range(4))
@pytest.mark.parametrize("rotation", (0, 1, 4))
def test_areas_are_those_of_geometry_whatever_the_rotation(shape, scale, rotation):
    radius = 0.5 * FACTORS["scale"][scale]
    area, *_ = moments(image(shape=shape, scale=scale, rotation=rotation))
    right = AREAS[shape] * radius**2
    # Of an edge along the rows either all points or none are inside: each side is known to one point, 1/32.
    along = shape == 0 and rotation == 0
    assert area == pytest.approx(right, abs=2 * math.sqrt(right) / 32 + 1 / 32**2 if along else 0.06 * right)


@pytest.mark.parametrize("shape", (0, 1, 2))
def test_the_center_is_where_the_factors_say(shape):
    for x, y in ((0, 0), (7, 2), (5, 6)):
        _, center, _ = moments(image(shape=shape, scale=0, x=x, y=y))
        right = torch.tensor([FACTORS["x"][x], FACTORS["y"][y]])
        assert (center - right).abs().max() < 0.02  # a sixth of a pixel; a triangle's centroid is its center


def test_an_ellipse_lies_along_its_angle():
    for level, angle in enumerate(FACTORS["rotation"]):
        *_, (xx, xy, yy) = moments(image(shape=1, scale=3, rotation=level))
        assert 0.5 * math.atan2(2 * xy, xx - yy) == pytest.approx(angle, abs=0.03)
        variances = torch.linalg.eigvalsh(torch.tensor([[xx, xy], [xy, yy]]))
        assert (variances[0] / variances[1]).sqrt().item() == pytest.approx(0.55, abs=0.02)


def test_a_triangle_points_upwards():
    widths = (image(shape=2, scale=3) > 0.5).sum(1)
    rows = widths[widths > 0]
    assert (rows.diff() >= 0).all() and rows[-1] > 3 * rows[0]


def test_pixels_are_shares_of_their_area():
    levels = shapes(200, seed=3).x
    assert levels.min() == 0 and levels.max() == 1
    assert set((16 * levels).unique().tolist()) == set(range(17))


def test_all_combinations_come_once_and_no_two_images_are_the_same():
    x, factors = all_shapes()
    assert len(x) == 3 * 4 * 6 * 8 * 8 == len(factors.unique(dim=0)) == len(x.unique(dim=0))
    assert torch.equal(factors[1234:1236].diff(dim=0), torch.tensor([[0, 0, 0, 0, 1]]))
    assert x.dtype == torch.float32 and x.shape[1] == 256
    some = torch.tensor([0, 499, 500, 4607])
    torch.testing.assert_close(draw_shapes(factors[some]), x[some], rtol=0, atol=0)


def test_factors_are_drawn_evenly_and_independently():
    """6,000 draws: a count of expectation n p lies within five standard errors, for 29 levels and one pair."""
    factors = shapes(6000, seed=1).factors
    for column, levels in zip(factors.T, FACTORS.values(), strict=True):
        p = 1 / len(levels)
        counts = torch.bincount(column, minlength=len(levels))
        assert ((counts - 6000 * p).abs() < 5 * math.sqrt(6000 * p * (1 - p))).all()
    pairs = torch.bincount(8 * factors[:, 3] + factors[:, 4], minlength=64)
    assert ((pairs - 6000 / 64).abs() < 5 * math.sqrt(6000 / 64)).all()


def test_the_seed_decides_and_the_global_state_does_not():
    torch.manual_seed(5)
    one = shapes(20, seed=7)
    torch.manual_seed(6)
    assert torch.equal(one.x, shapes(20, seed=7).x) and torch.equal(one.factors, shapes(20, seed=7).factors)
    assert not torch.equal(one.factors, shapes(20, seed=8).factors)
    assert torch.equal(shapes(20).factors, shapes(20, seed=0).factors)
    assert torch.equal(draw_shapes(one.factors), one.x)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: shapes(0), ValueError, "n must be an integer of at least 1"),
        (lambda: shapes(3, seed=0.5), TypeError, "seed must be an integer"),
        (lambda: draw_shapes(torch.zeros(2, 5)), TypeError, "factors must be a tensor of integers.*got torch.float32"),
        (lambda: draw_shapes(torch.zeros(2, 5).bool()), TypeError, "got torch.bool"),
        (lambda: draw_shapes([0] * 5), TypeError, "got list"),
        (lambda: draw_shapes(torch.zeros(5).long()), ValueError, r"factors must have shape \(N, 5\), got \(5,\)"),
        (lambda: draw_shapes(torch.zeros(2, 4).long()), ValueError, r"got \(2, 4\)"),
        (lambda: draw_shapes(torch.zeros(0, 5).long()), ValueError, r"got \(0, 5\)"),
        (lambda: draw_shapes(torch.tensor([[0, 0, 6, 0, 0]])), ValueError, "levels of rotation are 0 to 5.*has 6 to 6"),
        (lambda: draw_shapes(torch.tensor([[0, -1, 0, 0, 0]])), ValueError, "levels of scale are 0 to 3.*has -1 to -1"),
    ],
)
def test_what_does_not_fit_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
