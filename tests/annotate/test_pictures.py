import io
import threading

import numpy as np
import pytest
import waiting
from PIL import Image

from cbda_jax.annotate.pictures import VIEWS, Pictures, Window, window
from cbda_jax.errors import InputError

SIZE = (300, 600)


def gradient(height, width):
    """Rows in red, columns in green, in eight bits."""
    row, col = np.mgrid[:height, :width]
    image = [row * 255 / (height - 1), col * 255 / (width - 1), np.full(row.shape, 9)]
    return np.stack(image, -1).round().astype(np.uint8)


def opened(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_windows():
    assert window("crop", 5, 7, 0, SIZE) == Window(-43, -41, 97, 97)
    assert window("crop", 5, 7, 20, SIZE) == Window(-75, -73, 161, 161)
    assert window("whole", 5, 7, 0, SIZE) == Window(0, 0, 300, 600)
    assert window("around", 150, 300, 0, SIZE) == Window(42, 138, 216, 324)
    # Inside of the image, at its border too; the whole image where it is small.
    assert window("around", 299, 599, 0, SIZE) == Window(84, 276, 216, 324)
    assert window("around", 3, 4, 0, (20, 30)) == Window(0, 0, 20, 30)
    assert window("around", 150, 300, 25, SIZE) == Window(0, 71, 300, 459)
    with pytest.raises(
        InputError, match=r"view: '\.\./x' found, expected one of crop, around, whole"
    ):
        window("../x", 0, 0, 0, SIZE)


def test_the_crop_has_the_query_in_its_middle():
    photograph = gradient(*SIZE)
    pictures = Pictures(lambda _: photograph, {"a": SIZE})
    drawn = opened(pictures.draw("crop", "a", 100, 200, 0))
    assert drawn.shape == (97, 97, 3)
    assert np.abs(drawn[48, 48] - photograph[100, 200]).max() <= 3
    # Beyond the image there is grey.
    corner = opened(pictures.draw("crop", "a", 0, 0, 0))
    assert np.abs(corner[10, 10] - 72).max() <= 3
    assert np.abs(corner[48, 48] - photograph[0, 0]).max() <= 12


@pytest.mark.parametrize("factor", [0.5, 1, 2, 5])
def test_a_photograph_of_another_size_than_its_label(factor):
    photograph = gradient(int(SIZE[0] * factor), int(SIZE[1] * factor))
    pictures = Pictures(lambda _: photograph, {"a": SIZE})
    for view in VIEWS:
        drawn = opened(pictures.draw(view, "a", 150, 300, 0))
        top, left, height, width = window(view, 150, 300, 0, SIZE)
        scale = drawn.shape[0] / height
        assert drawn.shape[1] == pytest.approx(scale * width, abs=1)
        at = drawn[round((150 - top + 0.5) * scale), round((300 - left + 0.5) * scale)]
        assert np.abs(at - [127, 127, 9]).max() <= 5


def test_an_image_is_decoded_once():
    calls, photograph = [], gradient(*SIZE)
    pictures = Pictures(lambda name: calls.append(name) or photograph, {"a": SIZE})
    drawing = [
        threading.Thread(target=pictures.draw, args=(view, "a", 5, 5, 0)) for view in VIEWS * 3
    ]
    for one in drawing:
        one.start()
    for one in drawing:
        one.join(waiting.PATIENCE_S)
    assert calls == ["a"]


def test_memory_has_a_limit():
    calls, photograph = [], gradient(*SIZE)
    sizes = dict.fromkeys("abc", SIZE)
    read = lambda name: calls.append(name) or photograph  # noqa: E731
    pictures = Pictures(read, sizes, memory=2 * photograph.nbytes)
    for name in "abacab":
        pictures.draw("crop", name, 5, 5, 0)
    assert calls == list("abcb")
    small = Pictures(read, sizes, memory=1)
    calls.clear()
    for name in "aabb":
        small.draw("whole", name, 5, 5, 0)
    assert calls == list("ab")
