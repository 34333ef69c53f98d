import csv
import io

import numpy as np
import pytest
from round_files import message

from cbda_jax.annotation.exchange import masks
from cbda_jax.errors import InputError


def painted(sheet, patches):
    """The masks that people paint with answers to the queries."""
    found = {image_id: drawn["masks"].copy() for image_id, drawn in masks.draw(sheet)}
    radius = sheet.queries.radius
    for place, patch in enumerate(patches):
        image_id, row, col = sheet.centre(place)
        padded = np.pad(found[image_id], radius, constant_values=254)
        padded[row : row + len(patch), col : col + len(patch)] = patch
        height, width = sheet.sizes[image_id]
        found[image_id] = padded[radius : radius + height, radius : radius + width]
    return found


def pixelwise(sheet, expect):
    """Any class, void or nothing in each pixel that was asked about."""
    inside = expect(sheet, dict.fromkeys(range(len(sheet.queries)), 0)) == 0
    values = [*range(len(sheet.space.classes)), 254, 254, 255]
    drawn = np.random.default_rng(3).choice(values, inside.shape).astype(np.uint8)
    return np.where(inside, drawn, np.uint8(254))


def test_masks_are_empty_and_guesses_are_beside_them(sheet):
    drawn = dict(masks.draw(sheet))
    assert [*drawn] == sorted(sheet.queries.places)
    for image_id, of_image in drawn.items():
        assert of_image["masks"].dtype == np.uint8
        assert (of_image["masks"] == np.full(sheet.sizes[image_id], 254)).all()
    for place in range(len(sheet.queries)):
        image_id, row, col = sheet.centre(place)
        assert drawn[image_id]["guesses"][row, col] == sheet.queries.predicted[place]
    seen = sum((of_image["guesses"] != 254).sum() for of_image in drawn.values())
    assert seen == sum((sheet.square(place, 0) == 0).sum() for place in range(len(sheet.queries)))


def test_what_was_not_touched_is_unanswered(sheet):
    for found in (masks.read({}, sheet), masks.read(painted(sheet, ()), sheet)):
        assert not found.problems
        assert not found.answered.any()


def test_answers_come_back_pixel_by_pixel(sheet, expect):
    patches = pixelwise(sheet, expect)
    found = masks.read({f"x/{k}": v for k, v in painted(sheet, patches).items()}, sheet)
    found.check("masks")
    np.testing.assert_array_equal(found.patches, patches)
    np.testing.assert_array_equal(found.answered, (patches != 254).any(axis=(1, 2)))


def test_table_of_classes(make_sheet):
    sheet = make_sheet()
    (content,) = masks.files(sheet).values()
    rows = [*csv.DictReader(io.StringIO(content.decode()))]
    assert {row["name"]: int(row["train_id"]) for row in rows} == sheet.values
    assert (rows[0]["red"], rows[0]["green"], rows[0]["blue"]) == ("128", "64", "128")


def test_what_cannot_be_is_listed(make_sheet, expect):
    sheet = make_sheet(n=30)
    found = painted(sheet, pixelwise(sheet, expect))
    image_id, row, col = sheet.centre(int(sheet.queries.places["a/1"][0]))
    found[image_id][row, col] = 4
    beside = np.argwhere(dict(masks.draw(sheet))[image_id]["guesses"] == 254)
    found[image_id][tuple(beside[-1])] = 1
    found["c"] = np.zeros((2, 2), np.uint8)
    found["again/a/0"] = found["a/0"]
    found["broken"] = InputError("broken.png: a damaged PNG")
    del found["b é"]
    found["b é"] = np.zeros((30, 47), np.uint8)
    read = masks.read(found, sheet)
    assert {kind: len(texts) for kind, texts in read.problems.items()} == {
        "unknown images": 1,
        "images that are there twice": 1,
        "files that cannot be read": 1,
        "images of another size": 1,
        "unknown values": 1,
        "answers where nothing was asked": 1,
    }
    said = message(read.check, "masks")
    assert "'b é' of 47 x 30 instead of 47 x 31" in said
    assert f"4 in '{image_id}'" in said
    assert f"1 pixels of '{image_id}', first row {beside[-1][0]} column {beside[-1][1]}" in said
    assert "broken.png: a damaged PNG" in said


@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (-1, -1)])
def test_a_mask_that_moved_is_noticed(make_sheet, expect, shift):
    sheet = make_sheet()
    full = painted(sheet, expect(sheet, dict.fromkeys(range(len(sheet.queries)), 1)))
    moved = {name: np.roll(mask, shift, (0, 1)) for name, mask in full.items()}
    assert "answers where nothing was asked" in masks.read(moved, sheet).problems


def test_images_that_were_not_asked_about_stay_empty(make_sheet):
    sheet = make_sheet(n=1)
    assert len(sheet.queries.places) == 1
    empty = {name: np.full(size, 254, np.uint8) for name, size in sheet.sizes.items()}
    assert not masks.read(empty, sheet).problems
    full = {name: np.zeros(size, np.uint8) for name, size in sheet.sizes.items()}
    (found,) = masks.read(full, sheet).problems.values()
    assert len(found) == len(sheet.sizes)
