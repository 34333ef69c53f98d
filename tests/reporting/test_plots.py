import io
import itertools
import xml.etree.ElementTree as ET

import matplotlib as mpl
import matplotlib.colors
import numpy as np
import pytest
from PIL import Image

from cbda_jax.reporting import gallery, plots

NAMES = ("road", "traffic light", "train")
PALETTE = np.array([[128, 64, 128], [250, 170, 30], [0, 80, 100]], np.uint8)
EVALUATIONS = [
    {"step": 100 * i, "miou": 0.1 * i, "min_iou": None, "labelled_fraction": 0.01 * (i // 2)}
    for i in range(6)
]
ROUNDS = [{"round": 1, "step": 150}, {"round": 2, "step": 250}]
TRAIN = [{"step": i, "loss": None if i == 5 else 1 / (i + 1)} for i in range(2000)]


def charts():
    yield plots.scores_over_budget(EVALUATIONS)
    yield plots.scores_over_steps(EVALUATIONS, ROUNDS)
    yield plots.class_iou({"road": 0.9, "traffic light": 0.0, "train": None}, NAMES, PALETTE)
    yield plots.class_histogram({"road": 90, "train": 1}, 5, {"road": 10**6, "train": 7}, NAMES)
    yield plots.class_histogram({}, 0, None, NAMES)
    yield plots.losses(TRAIN, ROUNDS)


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_every_chart_can_be_drawn_and_changes_no_global_setting():
    before = dict(mpl.rcParams)
    for figure in charts():
        drawn = pixels(plots.png(figure, dpi=50))
        assert 0.01 < (drawn != 255).any(axis=2).mean() < 0.8
        root = ET.fromstring(plots.svg(figure, 'what "it" shows'))
        assert root.get("aria-label") == 'what "it" shows'
    assert dict(mpl.rcParams) == before


def test_ink_follows_the_page():
    for figure in charts():
        text = plots.svg(figure, "chart")
        assert "currentColor" in text
        assert "#000000" not in text
        assert plots.INK not in text


def test_drawing_twice_gives_the_same_bytes():
    figures = [plots.scores_over_steps(EVALUATIONS, ROUNDS) for _ in range(2)]
    assert plots.svg(figures[0], "chart") == plots.svg(figures[1], "chart")


def test_line_goes_through_the_last_evaluation_at_each_fraction():
    axes = plots.scores_over_budget(EVALUATIONS).axes[0]
    (line,) = [line for line in axes.lines if line.get_label() == "mIoU"]
    np.testing.assert_allclose(line.get_xdata(), [0, 1, 2])
    np.testing.assert_allclose(line.get_ydata(), [10, 30, 50])


def test_classes_are_sorted_in_their_colours_and_an_absent_one_is_said():
    axes = plots.class_iou({"road": 0.3, "train": 0.8}, NAMES, PALETTE).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        "traffic light",
        "road",
        "train",
    ]
    assert [bar.get_width() for bar in axes.patches] == [30, 80]
    np.testing.assert_allclose(axes.patches[1].get_facecolor()[:3], PALETTE[2] / 255)
    assert [text.get_text() for text in axes.texts] == ["does not occur", "30.0", "80.0"]


def test_histogram_compares_shares():
    axes = plots.class_histogram(
        {"road": 60, "train": 20}, 20, {"road": 900, "train": 100}, NAMES
    ).axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["void", "traffic light", "train", "road"]
    labelled, truth = (
        {name: bar.get_x() + bar.get_width() for name, bar in zip(names, bars, strict=True)}
        for bars in axes.containers
    )
    assert labelled["road"] == pytest.approx(60)
    assert labelled["void"] == pytest.approx(20)
    assert truth["train"] == pytest.approx(10)


def test_long_lines_are_averaged_and_gaps_left_out():
    axes = plots.losses(TRAIN, []).axes[0]
    x, y = axes.lines[0].get_data()
    assert len(x) == 400
    np.testing.assert_allclose(x[:2], [2, 7])
    np.testing.assert_allclose(y[0], np.mean([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]))
    np.testing.assert_allclose(y[1], np.mean([1 / 7, 1 / 8, 1 / 9, 1 / 10]))


def test_picks_are_drawn_where_they_are():
    picks = [("#ff0000", np.array([[2, 5]], np.int32), 1)]
    size = (8, 16)
    picture = gallery.picture(
        np.zeros((4, 8, 3), np.uint8), size=size, picks=picks, width=160, photo=False
    )
    red = pixels(picture)[..., 0]
    assert red.shape == (80, 160)
    rows, cols = np.nonzero(red > 100)
    # Rows 1 to 3 and columns 4 to 6, ten pixels each; the outline adds a pixel.
    np.testing.assert_allclose([rows.min(), rows.max() + 1], [10, 40], atol=1)
    np.testing.assert_allclose([cols.min(), cols.max() + 1], [40, 70], atol=1)


def test_pick_smaller_than_a_pixel_of_the_picture_is_still_seen():
    picks = [("#ff0000", np.array([[500, 1000]], np.int32), 0)]
    picture = gallery.picture(
        np.zeros((4, 8, 3), np.uint8), size=(1000, 2000), picks=picks, width=100, photo=False
    )
    red = pixels(picture)[..., 0]
    assert red.max() > 200
    assert red[:22].max() == red[28:].max() == 0


def test_scores_that_are_not_finite_are_black():
    score = np.array([[-np.inf, np.nan, -1.0], [0.0, 0.25, 1.0]], np.float16)
    grey = gallery.grey_scores(score)
    np.testing.assert_array_equal(grey[0], 0)
    np.testing.assert_allclose(grey[1, :, 0], [0, 128, 255], atol=1)
    assert not gallery.grey_scores(np.zeros((2, 2), np.float32)).any()


@pytest.mark.parametrize("rounds", [0, 5, 12])
def test_rounds_have_colours_of_their_own(rounds):
    assert len(set(gallery.round_colours(rounds))) == rounds


# What eyes without one of the three kinds of cones see: Machado, Oliveira and Fernandes (2009), at
# full severity, of linear RGB.
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def lab(colours, matrix):
    """CIELAB of colours as such eyes see them."""
    rgb = np.array([mpl.colors.to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(matrix).T, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = linear @ np.array(to_xyz).T / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1], 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])]).T


@pytest.mark.parametrize("eyes", BLIND)
@pytest.mark.parametrize(
    "colours",
    [plots.SERIES[:5], gallery.round_colours(5), gallery.round_colours(7), ("#d3e5f8", "#fbdcc4")],
    ids=["lines", "5 rounds", "7 rounds", "up and down"],
)
def test_colour_blind_eyes_tell_the_colours_apart(colours, eyes):
    seen = lab(colours, BLIND[eyes])
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(apart) > 10
