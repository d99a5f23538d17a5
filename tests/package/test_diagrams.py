"""Diagrams: each node is there once with its label, and arrows run from border to border."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import ArrowStyle, BoxStyle

from vae_tutorial.diagrams import Node, draw_graph
from vae_tutorial.plotting import GRAY

NODES = {"z": Node(0, 2, "$z$", random=True), "x": Node(0, 0, "$x$", color="0.85"), "theta": Node(3, 0, "θ")}


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_nodes_stand_where_they_are_put_with_their_labels(ax):
    draw_graph(ax, NODES, [])
    texts = {text.get_text(): text.get_position() for text in ax.texts}
    assert texts == {"$z$": (0, 2), "$x$": (0, 0), "θ": (3, 0)}
    low, high = ax.get_xlim()
    assert low < 0 and high > 3


def test_arrows_end_at_the_borders_of_their_nodes(ax):
    draw_graph(ax, NODES, [("z", "x"), ("theta", "x")], dashed=True, color="red")
    boxes = {text.get_text(): text.get_bbox_patch() for text in ax.texts if text.get_text()}
    arrows = [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None)]
    assert [(arrow.patchA, arrow.patchB) for arrow in arrows] == [
        (boxes["$z$"], boxes["$x$"]),
        (boxes["θ"], boxes["$x$"]),
    ]
    ax.figure.canvas.draw()
    for arrow in arrows:
        assert arrow.get_linestyle() == "--"
        for box in (arrow.patchA, arrow.patchB):
            inside = box.get_window_extent()
            path = arrow.get_transform().transform_path(arrow.get_path())
            assert not any(inside.shrunk(0.7, 0.7).contains(*point) for point in path.vertices)


def test_what_is_random_stands_in_a_circle_and_all_on_its_own_ground(ax):
    draw_graph(ax, NODES, [("z", "x")])
    nodes = {text.get_text(): text for text in ax.texts if text.get_text()}
    assert nodes.keys() == {node.label for node in NODES.values()}
    for node in NODES.values():
        text, box = nodes[node.label], nodes[node.label].get_bbox_patch()
        assert isinstance(box.get_boxstyle(), BoxStyle.Circle if node.random else BoxStyle.Round)
        assert box.get_facecolor() == to_rgba(node.color) and box.get_edgecolor() == to_rgba(GRAY)
        assert (text.get_ha(), text.get_va()) == ("center", "center")
    assert (*ax.get_xlim(), *ax.get_ylim()) == pytest.approx((-0.7, 3.7, -0.7, 2.7))


def test_an_arrow_is_a_line_with_a_head_above_the_nodes(ax):
    draw_graph(ax, NODES, [("z", "x")])
    draw_graph(ax, NODES, [("x", "z")], color="red")
    arrows = [text for text in ax.texts if getattr(text, "arrow_patch", None)]
    assert [to_rgba(arrow.arrow_patch.get_edgecolor()) for arrow in arrows] == [to_rgba("black"), to_rgba("red")]
    for arrow in arrows:
        patch = arrow.arrow_patch
        assert isinstance(patch.get_arrowstyle(), ArrowStyle.CurveFilledB) and patch.get_linestyle() == "-"
        assert patch.shrinkA == patch.shrinkB == 0 and arrow.get_text() == ""
        assert arrow.zorder > max(text.zorder for text in ax.texts if text.get_text()) > ax.patch.zorder + 1


@pytest.mark.parametrize("bend", [0.0, 0.5, -0.5])
def test_arrows_bend_to_their_right(ax, bend):
    draw_graph(ax, NODES, [("z", "x")], bend=bend)
    ax.figure.canvas.draw()
    (arrow,) = [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None)]
    path = arrow.get_transform().transform_path(arrow.get_path()).interpolated(20)
    across = [ax.transData.inverted().transform(point)[0] for point in path.vertices]
    middle = across[len(across) // 4]
    assert middle * -bend > 0 if bend else max(map(abs, across)) < 0.2  # z stands above x: its right is at negative x


def test_arrows_follow_their_nodes_where_a_layout_moves_them():
    """The first picture is the second: nothing is drawn from places that were before."""
    figure, ax = plt.subplots(layout="constrained")
    draw_graph(ax, NODES, [("z", "x"), ("theta", "x")], bend=0.3)
    ax.set_title("a title\nthat takes room")
    figure.canvas.draw()
    first = bytes(figure.canvas.buffer_rgba())
    figure.canvas.draw()
    plt.close(figure)
    assert first == bytes(figure.canvas.buffer_rgba())


def test_an_arrow_to_nowhere_is_refused(ax):
    with pytest.raises(KeyError, match="phi"):
        draw_graph(ax, NODES, [("phi", "z")])
