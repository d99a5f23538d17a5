"""Diagrams of models: random and computed quantities as nodes, and arrows between them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from vae_tutorial._extra import of_the_chapters
from vae_tutorial.plotting import GRAY

with of_the_chapters():
    from matplotlib.axes import Axes

ROUND = "circle,pad=0.35"
SQUARE = "round,pad=0.35,rounding_size=0.15"


class Node(NamedTuple):
    """A quantity at a place: what is drawn at random is round, what is computed is square.

    Attributes:
        x, y: where its middle stands, in the units of the axes.
        label: what stands in it, mathematics between dollars.
        random: whether it is drawn at random.
        color: of its ground; "white" for what is not observed.
    """

    x: float
    y: float
    label: str
    random: bool = False
    color: str = "white"


def draw_graph(
    ax: Axes,
    nodes: Mapping[str, Node],
    arrows: Iterable[tuple[str, str]],
    *,
    dashed: bool = False,
    color: str = "black",
    bend: float = 0.0,
) -> None:
    """Draw nodes and the arrows between them; called again for arrows of another kind, with the same nodes.

    Args:
        ax: where to draw; its limits are set so that all nodes have room, and its frame is taken away.
        nodes: each under its name.
        arrows: pairs of names, from and to.
        dashed: whether the arrows are dashed.
        color: of the arrows.
        bend: how far the arrows curve, to their right, as a part of their length; 0 for straight ones.

    Raises:
        KeyError: an arrow names a node that is not there.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, ax = plt.subplots()
        >>> draw_graph(ax, {"z": Node(0, 1, "$z$", random=True), "x": Node(0, 0, "$x$")}, [("z", "x")])
        >>> plt.close(figure)
    """
    boxes = {}
    for name, node in nodes.items():
        box: dict[str, Any] = dict(boxstyle=ROUND if node.random else SQUARE, facecolor=node.color, edgecolor=GRAY)
        boxes[name] = ax.text(node.x, node.y, node.label, ha="center", va="center", bbox=box, zorder=3)
    ax.set_axis_off()
    xs, ys = [node.x for node in nodes.values()], [node.y for node in nodes.values()]
    ax.set(xlim=(min(xs) - 0.7, max(xs) + 0.7), ylim=(min(ys) - 0.7, max(ys) + 0.7))
    line: dict[str, Any] = dict(
        arrowstyle="-|>", color=color, linestyle="--" if dashed else "-", shrinkA=0, shrinkB=0,
        connectionstyle=f"arc3,rad={bend}",
    )  # fmt: skip
    # Above the nodes, which know their borders only once they are drawn: a layout may have moved them.
    for start, end in arrows:
        ends = dict(patchA=boxes[start].get_bbox_patch(), patchB=boxes[end].get_bbox_patch())
        at, to = nodes[start], nodes[end]
        ax.annotate("", (to.x, to.y), (at.x, at.y), arrowprops=line | ends, zorder=4)
