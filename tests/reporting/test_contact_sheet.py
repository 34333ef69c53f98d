import numpy as np
import pytest
from PIL import Image

from cbda_jax.errors import InputError
from cbda_jax.reporting.contact_sheet import contact_sheet, write_contact_sheet

PALETTE = np.array([(200, 0, 0), (0, 0, 200)], np.uint8)
IMAGE = np.full((20, 30, 3), 90, np.uint8)
LABEL = np.zeros((20, 30), np.uint8)
LABEL[:5], LABEL[5:10] = 1, 255


@pytest.mark.parametrize("count", [0, 1, 3])
def test_images_have_their_labels_beside_them(tmp_path, count):
    pairs = [(f"image {number}", IMAGE, LABEL) for number in range(count)]
    figure = contact_sheet(pairs, ("red", "blue"), PALETTE, "some/split")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles.count("75 % labelled") == count
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["red", "blue", "(void)"]
    write_contact_sheet(tmp_path / "new" / "sheet.png", figure)
    pixels = np.asarray(Image.open(tmp_path / "new" / "sheet.png").convert("RGB"))
    held = {tuple(colour) for colour in pixels.reshape(-1, 3).tolist()}
    assert {(200, 0, 0), (0, 0, 200), (0, 0, 0)} <= held


def test_a_sheet_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    figure = contact_sheet([], ("red", "blue"), PALETTE, "")
    with pytest.raises(InputError, match="cannot write"):
        write_contact_sheet(tmp_path / "file" / "sheet.png", figure)
