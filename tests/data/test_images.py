import imagecodecs
import numpy as np
import pytest
from PIL import Image

from cbda_jax.data import images
from cbda_jax.errors import InputError

COLOURS = {3: (0, 0, 0), 5: (1, 2, 3), 4: (0, 0, 0)}


def test_encode_is_lossless_and_grey_or_rgb(tmp_path):
    rng = np.random.default_rng(0)
    for shape, mode in (((7, 9), "L"), ((7, 9, 3), "RGB")):
        array = rng.integers(0, 256, shape, np.uint8)
        data = images.encode(array)
        (tmp_path / "x.png").write_bytes(data)
        with Image.open(tmp_path / "x.png") as image:
            assert image.mode == mode
            np.testing.assert_array_equal(np.asarray(image), array)
        np.testing.assert_array_equal(images.decode(data), array)
        assert images.stored_size(data) == (7, 9)


def test_resizing_is_that_of_pillow():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (7, 9, 3), np.uint8)
    label = rng.integers(0, 19, (7, 9), np.uint8)
    small = images.resize_image(image, (4, 5))
    expected = Image.fromarray(image).resize((5, 4), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(small, np.asarray(expected))
    assert images.resize_image(image, (7, 9)) is image
    nearest = images.resize_label(label, (14, 18))
    np.testing.assert_array_equal(nearest, label.repeat(2, 0).repeat(2, 1))
    assert images.resize_label(label, (7, 9)) is label


def test_headers():
    grey, rgb = np.zeros((2, 3), np.uint8), np.zeros((2, 3, 3), np.uint16)
    assert images.header(images.encode(grey), "x") == (8, 0, 0)
    assert images.header(bytes(imagecodecs.png_encode(rgb)), "x") == (16, 2, 0)


def test_painted_labels_read_as_the_lowest_value_of_their_colour():
    painted = np.zeros((2, 3, 3), np.uint8)
    painted[1, 2] = 1, 2, 3
    ids = images.read_label_ids(images.encode(painted), "x.png", COLOURS)
    np.testing.assert_array_equal(ids, [[3, 3, 3], [3, 3, 5]])
    painted[0, 0] = 1, 2, 4
    for colours, message in (
        (COLOURS, r"1 colours that no class has, such as \(1, 2, 4\), found, expected those of"),
        ({}, r"x\.png: 3 colours .* found, expected a palette or grey PNG"),
    ):
        with pytest.raises(InputError, match=message):
            images.read_label_ids(images.encode(painted), "x.png", colours)


def test_what_is_no_photograph():
    deep = bytes(imagecodecs.png_encode(np.zeros((2, 3, 3), np.uint16)))
    with pytest.raises(
        InputError, match=r"x\.png: an image of 16 bits a channel found, expected 8"
    ):
        images.read_image(deep, "x.png")
    grey = images.read_image(images.encode(np.full((2, 3), 7, np.uint8)), "x.png")
    np.testing.assert_array_equal(grey, np.full((2, 3, 3), 7))
