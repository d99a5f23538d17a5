"""Figures of several panels: cut between the panels that Matplotlib drew, and stacked on a narrow screen."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from playwright.sync_api import Page, expect
from sites import lay_out, never_ask
from theme_fixes.panels import panels, white

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1350, "height": 900}


def draw(rows: int, columns: int, **how) -> Figure:
    """Panels with labels, such as the chapters draw."""
    figure, axes = plt.subplots(rows, columns, figsize=(7, 3), layout="constrained", squeeze=False, **how)
    for ax in axes.flat:
        ax.plot([0, 50, 100], [1.0, 0.2, 0.1])
        ax.set(xlabel="epoch")
        if not how.get("sharey") or ax in axes[:, 0]:
            ax.set(ylabel="nats")
    return figure


def saved(figure: Figure, folder) -> tuple:
    """The picture, where each panel begins and ends by Matplotlib, and where its axes begin, as shares of the width."""
    path = folder / "figure.png"
    figure.savefig(path, dpi=200)
    width = figure.get_figwidth() * figure.dpi
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    inner = [ax.get_window_extent() for ax in figure.axes]
    plt.close(figure)
    return path, [(box.x0 / width, box.x1 / width) for box in boxes], [box.x0 / width for box in inner]


@pytest.mark.parametrize("rows, columns", [(1, 2), (1, 3), (2, 2), (2, 3)])
def test_the_cuts_lie_between_the_panels(tmp_path, rows, columns):
    path, boxes, _ = saved(draw(rows, columns), tmp_path)
    pieces = panels(path, f"figure, axes = plt.subplots({rows}, {columns}, figsize=(7, 3))\n", [])
    assert [len(slices) for slices in pieces] == [1] * columns
    for (start, end), (left, right) in zip([piece for (piece,) in pieces], boxes, strict=False):
        assert start < left < right < end
    assert pieces[0][0][0] == 0 and pieces[-1][0][1] == 1


def test_shared_labels_are_repeated_up_to_the_axis(tmp_path):
    path, boxes, axes = saved(draw(1, 2, sharey=True), tmp_path)
    first, second = panels(path, "plt.subplots(\n    1, 2, figsize=(7, 3), sharey=True)\n", [])
    assert len(first) == 1 and boxes[0][1] < first[0][1] < boxes[1][0]
    (start, end), rest = second
    assert start == 0 and boxes[0][0] < end < axes[0] < end + 0.02
    assert rest == (first[0][1], 1)


def test_tags_say_where_and_whether(tmp_path):
    path, boxes, _ = saved(draw(1, 3), tmp_path)
    code = "plt.subplots(1, 3)\n"
    halves = panels(path, code, ["cell", "tag_cut-66"])
    assert len(halves) == 2 and boxes[1][1] < halves[0][0][1] < boxes[2][0]
    assert panels(path, "", ["tag_cut-33-66"]) == panels(path, code, [])
    again = panels(path, code, ["tag_labels-again"])
    assert [len(slices) for slices in again] == [1, 2, 2] and again[1][0] == (0.0, white(path).labels())
    assert panels(path, code, ["tag_cut-none"]) == []


@pytest.mark.parametrize("code", ["plt.subplots(2, 1)\n", "plt.subplots()\n", "plt.subplots(figsize=(1, 2))\n", ""])
def test_other_figures_stay_whole(tmp_path, code):
    path, _, _ = saved(draw(1, 2), tmp_path)
    assert panels(path, code, []) == []


def test_a_figure_without_white_between_its_panels_stays_whole(tmp_path):
    figure = draw(1, 2)
    figure.axes[0].plot([-0.5, 2.5], [0.5, 0.5], transform=figure.axes[0].transAxes, clip_on=False)
    path, _, _ = saved(figure, tmp_path)
    assert panels(path, "plt.subplots(1, 2)\n", []) == []


@pytest.fixture(scope="module")
def gaps(browser, book) -> Page:
    tab = browser.new_page()
    never_ask(tab)
    tab.goto((book / "book" / "inference_gaps.html").as_uri())
    lay_out(tab)
    yield tab
    tab.close()


def test_a_narrow_screen_stacks_the_panels(gaps):
    gaps.set_viewport_size(PHONE)
    figures = gaps.locator("figure:has(> .panels)")
    assert figures.count() == 4
    for figure in figures.all():
        alt = figure.locator("> img").get_attribute("alt")
        expect(figure.locator("> img")).to_be_hidden()
        expect(figure.get_by_role("img", name=alt, exact=True)).to_be_visible()
        boxes = [panel.bounding_box() for panel in figure.locator(".panel").all()]
        assert len(boxes) == 2
        assert boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"] > boxes[0]["y"] + 50
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    names = figures.first.locator(".panel-name").all_inner_texts()
    assert names == ["left", "right"] and "Left" in figures.first.locator("figcaption").inner_text()


def test_each_piece_shows_its_share_of_the_picture(gaps):
    gaps.set_viewport_size(PHONE)
    for figure in gaps.locator("figure:has(> .panels)").all():
        scale = set()
        for panel in figure.locator(".panel").all():
            end = 0.0
            for part in panel.locator("> span").all():
                window, image = part.bounding_box(), part.locator("img").bounding_box()
                start = (window["x"] - image["x"]) / image["width"]
                assert start >= end - 0.001  # labels first, then what stands further right
                end = start + window["width"] / image["width"]
                scale.add(round(image["width"] / panel.bounding_box()["width"], 2))
        assert end == pytest.approx(1, abs=0.005) and len(scale) <= 2


def test_a_wide_screen_shows_the_whole(gaps):
    gaps.set_viewport_size(DESKTOP)
    for figure in gaps.locator("figure:has(> .panels)").all():
        expect(figure.locator("> img")).to_be_visible()
        expect(figure.locator(".panels")).to_be_hidden()
