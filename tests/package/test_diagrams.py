"""Diagrams: each node is there once with its label, and arrows run from border to border."""

import matplotlib.pyplot as plt
import pytest

from vae_tutorial.diagrams import Node, draw_graph

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
