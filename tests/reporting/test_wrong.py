import numpy as np
import pytest
from matplotlib import colors
from reported import NAMES, PALETTE

from cbda_jax.reporting import mistakes, wrong

CONFUSION = np.array([[80, 10, 10], [30, 20, 0], [0, 0, 0]])


def worst(image_id="jena/a"):
    label = np.zeros((8, 16), np.uint8)
    label[:, 12:] = 255
    prediction = np.zeros_like(label)
    prediction[:4, :6] = 1
    image = np.full((4, 8, 3), 200, np.uint8)
    return mistakes.Worst(image_id, image, label, prediction)


def test_classes_from_the_lowest_and_what_they_are_taken_for():
    rows = wrong.class_rows(CONFUSION, NAMES)
    # 20 of 20 + 30 + 10 pixels; 80 of 80 + 20 + 30. The third class does not occur.
    assert rows == [
        ["car", "33.33", "33.3", "40.0", "66.7", "road 60.0", "road 33.3"],
        ["road", "66.67", "61.5", "80.0", "72.7", "car 10.0, train 10.0", "car 27.3"],
    ]


def test_largest_confusions():
    found = wrong.confused(CONFUSION, NAMES, 2)
    assert found == [("car", "road", 0.6), ("road", "car", 0.2)]
    assert wrong.confused(np.diag([4, 5, 0]), NAMES) == []


def test_wrong_pixels_are_told_from_right_ones_and_from_void():
    pixels = wrong.mistaken(worst())
    orange = 255 * np.array(colors.to_rgb(wrong.WRONG))
    assert np.abs(pixels[0, 0] - orange).max() < 40
    right = pixels[7, 0].astype(int)
    assert np.ptp(right) == 0
    assert right[0] > 100
    np.testing.assert_array_equal(pixels[:, 12:], 0)


@pytest.fixture
def workdir(tmp_path):
    last = mistakes.LastEvaluation(
        30, CONFUSION, ["jena/a", "b"], np.array([96, 54]), np.array([72, 28]), [0, 1]
    )
    mistakes.write_last(tmp_path, "val", last)
    mistakes.write_worst(tmp_path, "val", 0, worst())
    return tmp_path


def test_section(workdir):
    found = wrong.section(workdir, {"split": "val", "step": 30}, NAMES, PALETTE)
    assert found["confused"][0] == "car taken for road (60.0 %)"
    assert found["images"].startswith("Wrong pixels of an image, over 2 images: median 36.6 %")
    # The picture of the second is not there: of a disk that was full.
    (entry,) = found["worst"]
    assert entry["image_id"] == "jena/a"
    assert entry["text"] == "25.0 % of its pixels are wrong: road taken for car, 25.0 %."
    captions = [shown["caption"] for shown in entry["pictures"]]
    assert captions == ["where it is wrong", "the image", "prediction", "ground truth"]


def test_counts_of_another_step_are_not_shown(workdir):
    assert wrong.section(workdir, {"split": "val", "step": 40}, NAMES, PALETTE) is None
    assert wrong.section(workdir, {"split": "test", "step": 30}, NAMES, PALETTE) is None
    assert wrong.section(workdir, None, NAMES, PALETTE) is None


def test_pictures_that_are_too_large_are_left_out(workdir, monkeypatch):
    mistakes.write_worst(workdir, "val", 1, worst("b"))
    result = {"split": "val", "step": 30}
    assert len(wrong.section(workdir, result, NAMES, PALETTE)["worst"]) == 2
    monkeypatch.setattr(wrong, "_BYTES", 10)
    assert len(wrong.section(workdir, result, NAMES, PALETTE)["worst"]) == 1
