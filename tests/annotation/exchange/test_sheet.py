import numpy as np
import pytest

from cbda_jax.annotation.exchange import Sheet
from cbda_jax.label_space import LabelSpace


def test_ids_and_places(sheet):
    ids = [sheet.query_id(place) for place in range(len(sheet.queries))]
    assert ids[:2] == ["r03-q000000", "r03-q000001"]
    assert [sheet.place(one) for one in ids] == [*range(len(ids))]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "r03-q000024",
        "r3-q000001",
        "r03-q1",
        "r02-q000001",
        "r03-q00000\u0661",
        "r03-q000001 ",
        "x",
    ],
)
def test_ids_that_are_none(make_sheet, text):
    assert make_sheet().place(text) is None
    assert make_sheet().place("r03-q" + "9" * 5000) is None


def test_names_of_no_class(make_sheet):
    sheet = make_sheet()
    assert [*sheet.values.items()][-2:] == [("void", 255), ("unanswered", 254)]
    space = LabelSpace("odd", ("void", "void_", "x"), np.zeros((3, 3), np.uint8))
    odd = Sheet(sheet.queries, space, sheet.sizes)
    assert (odd.void, odd.unanswered) == ("void__", "unanswered")
    assert odd.values == {"void": 0, "void_": 1, "x": 2, "void__": 255, "unanswered": 254}
    assert sheet.hexadecimal("road") == "#804080"
    assert sheet.hexadecimal("unanswered") == "#ffffff"


def test_squares(sheet, expect):
    for place in range(len(sheet.queries)):
        np.testing.assert_array_equal(sheet.square(place, 2), expect(sheet, {place: 2})[place])


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        ("a/0.png", "a/0"),
        ("a/0", "a/0"),
        ("upload/images/a/1.JPEG", "a/1"),
        ("images\\a\\1.jpg", "a/1"),
        ("b é.png", "b é"),
        ("0.png", None),
        ("a/0.png.png", None),
        ("", None),
        ("/" * 100_000, None),
    ],
)
def test_images_by_the_names_that_tools_give(make_sheet, name, image_id):
    assert make_sheet().image_of(name) == image_id


def test_images_are_in_order(make_sheet):
    sheet = make_sheet(n=60)
    found = [*sheet.by_image()]
    assert [image_id for image_id, _ in found] == sorted(sheet.sizes)
    assert sorted(place for _, places in found for place in places) == [*range(60)]
    assert all(sheet.centre(place)[0] == image_id for image_id, own in found for place in own)
