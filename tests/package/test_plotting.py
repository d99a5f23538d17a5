"""Figures are read back: what stands on the Axes is what was given."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from vae_tutorial.history import History
from vae_tutorial.plotting import (
    BLUE,
    VERMILION,
    density_contours,
    image_grid,
    latent_scatter,
    plot_history,
    use_book_style,
)

HISTORY = History(
    log_likelihood=[-9.0, -7.0, -6.5],
    kl=[1.0, 2.0, 2.5],
    val_log_likelihood=[-9.5, -8.0, -7.0],
    val_kl=[1.5, 2.0, 2.25],
)
X1, X2 = np.linspace(-3, 4, 50), np.linspace(-2, 1, 30)
DENSITY = np.exp(-0.5 * (X1**2 + (2 * X2[:, None] + 1) ** 2))
MU, LABELS = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [9.0, 4.0], [1.0, -1.0]]), np.array([0, 3, 3, 3, 9])


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


@pytest.fixture(autouse=True)
def untouched():
    """Drawing changes no global setting and opens no figure."""
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before and plt.get_fignums() == []


@pytest.mark.parametrize("gap", [0, 1, 3])
def test_image_grid_puts_each_image_in_its_place(ax, gap):
    images = np.random.default_rng(0).random((6, 4, 5))
    image_grid(images, ax, n_columns=3, gap=gap)
    (drawn,) = ax.get_images()
    mosaic = np.asarray(drawn.get_array())
    assert mosaic.shape == (2 * 4 + gap, 3 * 5 + 2 * gap)
    covered = np.zeros(mosaic.shape, bool)
    for i, image in enumerate(images):
        row, column = divmod(i, 3)
        place = np.s_[row * (4 + gap) : row * (4 + gap) + 4, column * (5 + gap) : column * (5 + gap) + 5]
        assert np.array_equal(mosaic[place], image)
        covered[place] = True
    assert (mosaic[~covered] == 0).all()
    assert drawn.get_clim() == (0, 1) and not ax.axison and drawn.get_interpolation() == "nearest"
    assert drawn.cmap(0.0) == (1, 1, 1, 1) and drawn.cmap(1.0) == (0, 0, 0, 1)  # 0 is white, 1 is black


def test_image_grid_has_one_white_pixel_between_images_and_clips(ax):
    image_grid(np.array([[[-3.0]], [[7.0]]]), ax, n_columns=2)
    assert np.asarray(ax.get_images()[0].get_array()).tolist() == [[0.0, 0.0, 1.0]]


@pytest.mark.parametrize("gap", [0, 1])
def test_image_grid_shows_the_channels_as_red_green_and_blue(ax, gap):
    images = np.random.default_rng(0).random((4, 3, 5, 6))
    image_grid(images, ax, n_columns=2, gap=gap)
    mosaic = np.asarray(ax.get_images()[0].get_array())
    assert mosaic.shape == (2 * 5 + gap, 2 * 6 + gap, 3)
    for i, image in enumerate(images):
        row, column = divmod(i, 2)
        shown = mosaic[row * (5 + gap) :, column * (6 + gap) :][:5, :6]
        assert all(np.array_equal(shown[..., channel], image[channel]) for channel in range(3))
    if gap:
        assert (mosaic[5] == 1).all() and (mosaic[:, 6] == 1).all()  # white


def test_image_grid_takes_one_channel_for_gray(ax):
    images = np.random.default_rng(0).random((2, 5, 6))
    image_grid(images[:, None], ax, n_columns=2)
    gray = np.asarray(ax.get_images()[0].get_array())
    image_grid(images, ax, n_columns=2)
    assert np.array_equal(np.asarray(ax.get_images()[1].get_array()), gray) and gray.ndim == 2


@pytest.mark.parametrize("shape", [(4, 4), (2, 2, 4, 4), (2, 4, 4, 3), (1, 2, 3, 4, 4)])
def test_image_grid_refuses_other_shapes(ax, shape):
    with pytest.raises(
        ValueError, match=r"images must have shape \(N, height, width\) or .* with 1 or 3 channels, got"
    ):
        image_grid(np.zeros(shape), ax, n_columns=1)


def test_plot_history_draws_both_elbos_against_the_epoch(ax):
    plot_history(HISTORY, ax, label="MLP")
    training, validation = ax.get_lines()
    assert training.get_xydata().tolist() == [[1, -10], [2, -9], [3, -9]]
    assert validation.get_xydata().tolist() == [[1, -11], [2, -10], [3, -9.25]]
    assert [training.get_linestyle(), validation.get_linestyle()] == ["--", "-"]
    assert training.get_color() == validation.get_color()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["MLP training", "MLP validation"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "ELBO (nats per example)")
    assert all(tick == int(tick) for tick in ax.get_xticks())


def test_plot_history_without_validation_draws_one_line(ax):
    plot_history(History(log_likelihood=[-5.0], kl=[1.0]), ax)
    assert [line.get_label() for line in ax.get_lines()] == ["training"]


def test_plot_history_counts_epochs_in_whole_numbers_and_nats_in_any(ax):
    plot_history(History(log_likelihood=[-5.0, -4.9], kl=[1.0, 1.0]), ax)
    assert all(tick == int(tick) for tick in ax.get_xticks())
    assert not all(tick == int(tick) for tick in ax.get_yticks())


def test_latent_scatter_draws_every_point_and_names_each_class_at_its_center(ax):
    latent_scatter(MU, LABELS, ax)
    (points,) = ax.collections
    assert np.asarray(points.get_offsets()).tolist() == MU.tolist()
    assert np.asarray(points.get_array()).tolist() == LABELS.tolist() and points.get_clim() == (-0.5, 9.5)
    points.update_scalarmappable()
    tab10 = plt.get_cmap("tab10").colors
    assert [tuple(c[:3]) for c in points.get_facecolors()] == [pytest.approx(tab10[label]) for label in LABELS]
    assert [(text.get_text(), tuple(text.xy)) for text in ax.texts] == [("0", (0, 1)), ("3", (4, 4)), ("9", (1, -1))]
    assert ax.get_aspect() == 1 and (ax.get_xlabel(), ax.get_ylabel()) == ("$z_1$", "$z_2$")


def test_latent_scatter_keeps_labels_apart(ax):
    mu = np.array([[0.0, 0.0], [0.01, 0.0], [0.0, 0.02], [0.02, 0.01], [0.0, 0.02], [9.0, 10.0]])
    latent_scatter(mu, np.arange(6), ax)
    places = np.array([text.xyann for text in ax.texts])
    apart = np.linalg.norm(places[:, None] - places, axis=-1)[~np.eye(6, dtype=bool)]
    assert sorted(apart)[2] > 0.78  # of 0.08 times the range; two that coincide have no direction to part in
    assert [text.get_text() for text in ax.texts] == list("012345") and tuple(places[-1]) == (9, 10)
    for (x, y), line, place in zip(mu, ax.lines, places, strict=True):
        assert line.get_xydata().tolist() == [[x, y], place.tolist()]


def test_latent_scatter_keeps_the_labels_of_a_crowded_line_apart(ax):
    mu = np.stack([0.2 * np.arange(10), np.zeros(10)], axis=1)
    mu[9] = (10, 1)
    mu += (0, 50)  # the wider range, 10, is that of the first axis, wherever the points lie
    latent_scatter(mu, np.arange(10), ax)
    places = np.array([text.xyann for text in ax.texts])
    apart = np.abs(np.diff(places[:9, 0]))
    assert apart == pytest.approx(0.8, abs=0.005) and (places[:9, 1] == 50).all()
    assert places[:9].mean(axis=0) == pytest.approx(mu[:9].mean(axis=0))  # each pushes as much as it is pushed


def test_latent_scatter_leaves_labels_that_are_apart_where_they_are(ax):
    mu = np.array([[0.0, 0.0], [0.0, 0.81], [10.0, 0.0]])
    latent_scatter(mu, np.arange(3), ax)
    assert [tuple(text.xyann) for text in ax.texts] == [tuple(point) for point in mu]
    assert [(text.get_ha(), text.get_va()) for text in ax.texts] == 3 * [("center", "center")]


def test_density_contours_lie_where_the_density_is_half_to_two_and_a_half_deviations_below_its_peak(ax):
    density_contours(DENSITY, X1, X2, ax, color=VERMILION)
    (contours,) = ax.collections
    assert contours.levels == pytest.approx(np.exp(-0.5 * np.array([2.5, 2, 1.5, 1, 0.5]) ** 2) * DENSITY.max())
    for radius, path in zip([2.5, 2, 1.5, 1, 0.5], contours.get_paths(), strict=True):
        x, y = path.vertices.T  # ellipses about (0, -1/2), half as high as wide
        assert np.hypot(x, 2 * y + 1) == pytest.approx(radius, abs=0.05)
    assert np.allclose(contours.get_edgecolor(), to_rgba(VERMILION))


def test_density_contours_are_blue_unless_said_otherwise(ax):
    density_contours(DENSITY, X1, X2, ax)
    assert np.allclose(ax.collections[0].get_edgecolor(), to_rgba(BLUE))


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: image_grid(np.ones((4, 2, 2)), ax, n_columns=2),
        lambda ax: plot_history(HISTORY, ax),
        lambda ax: latent_scatter(MU, LABELS, ax),
        lambda ax: density_contours(DENSITY, X1, X2, ax),
    ],
    ids=["image_grid", "plot_history", "latent_scatter", "density_contours"],
)
def test_drawing_stays_on_the_axes_given_and_renders_in_the_book_style(draw):
    with mpl.rc_context():
        use_book_style()
        figure, (left, right) = plt.subplots(1, 2)
        draw(left)
        assert plt.gca() is right and not right.has_data() and left.has_data()
        figure.canvas.draw()  # warnings are errors
        plt.close(figure)


def test_book_style_sets_the_defaults_and_rc_context_takes_them_back():
    before = dict(mpl.rcParams)
    with mpl.rc_context():
        use_book_style()
        figure, ax = plt.subplots()
        (line,) = ax.plot([0, 1])
        assert line.get_color() == BLUE and figure.get_size_inches().tolist() == [7.0, 3.2]
        assert mpl.rcParams["savefig.facecolor"] == "white" and not ax.spines["top"].get_visible()
        plt.close(figure)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda ax: image_grid(np.zeros((5, 2, 2)), ax, n_columns=2), "n_columns must divide the number of images, 5"),
        (lambda ax: image_grid(np.zeros((4, 2, 2)), ax, n_columns=0), "n_columns"),
        (lambda ax: image_grid(np.zeros((4, 2, 2)), ax, n_columns=2.0), "n_columns"),
        (lambda ax: image_grid(np.zeros((4, 4)), ax, n_columns=2), r"images must have shape \(N, height, width\)"),
        (lambda ax: image_grid(np.zeros((0, 4, 4)), ax, n_columns=2), "images must not be empty"),
        (lambda ax: image_grid(np.full((4, 2, 2), np.nan), ax, n_columns=2), "images must be finite, got 16"),
        (lambda ax: plot_history(History(), ax), "history holds no finished epoch"),
        (lambda ax: latent_scatter(np.zeros((5, 3)), LABELS, ax), r"mu must have shape \(N, 2\)"),
        (lambda ax: latent_scatter(MU, LABELS[:3], ax), r"labels \(N,\)"),
        (lambda ax: latent_scatter(MU * np.inf, LABELS, ax), "mu must be finite"),
        (lambda ax: latent_scatter(np.zeros((0, 2)), np.zeros(0, int), ax), "mu must not be empty"),
        (lambda ax: density_contours(DENSITY.T, X1, X2, ax), r"density must have shape .* = \(30, 50\)"),
        (lambda ax: density_contours(DENSITY * np.nan, X1, X2, ax), "density must be finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in multiply")  # inf times 0, made on purpose
def test_what_cannot_be_drawn_is_named(ax, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(ax)
    assert not ax.has_data()
