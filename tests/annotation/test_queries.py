import dataclasses

import numpy as np
import pytest

from cbda_jax.annotation import Queries, queried_mask
from cbda_jax.annotation.queries import repeated, where


def queries(number=1, image=(2, 0, 2), row=(0, 3, 5), col=(0, 4, 7)):
    return Queries(
        round=number,
        step=10 * number,
        image_ids=("a/0", "a/1", "b/0"),
        image=np.array(image, np.int32),
        row=np.array(row, np.int32),
        col=np.array(col, np.int32),
        score=np.linspace(1, 0.5, len(image), dtype=np.float32),
        predicted=np.arange(len(image), dtype=np.uint8),
        radius=1,
        about={"method": "ripu"},
    )


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_mask_is_the_union_of_clipped_squares(radius):
    rng = np.random.default_rng(radius)
    row, col = rng.integers(0, 9, 12, np.int32), rng.integers(0, 13, 12, np.int32)
    expected = np.zeros((9, 13), bool)
    for r, c in zip(row, col, strict=True):
        expected[max(r - radius, 0) : r + radius + 1, max(c - radius, 0) : c + radius + 1] = True
    np.testing.assert_array_equal(queried_mask(row, col, (9, 13), radius), expected)


def test_queries_are_found_by_image_in_their_order():
    asked = queries()
    assert {name: places.tolist() for name, places in asked.places.items()} == {
        "a/0": [1],
        "b/0": [0, 2],
    }
    np.testing.assert_array_equal(asked.by_image["b/0"], [[0, 5], [0, 7]])


@pytest.mark.parametrize(
    "change",
    [
        {"round": 2},
        {"step": 11},
        {"radius": 0},
        {"image_ids": ("a/0", "a/1", "b/1")},
        {"image": np.array([2, 1, 2], np.int32)},
        {"row": np.array([0, 3, 6], np.int32)},
        {"col": np.array([0, 7, 4], np.int32)},
        {"score": np.array([1, 0.75, 0.25], np.float32)},
        {"predicted": np.array([0, 1, 1], np.uint8)},
    ],
)
def test_the_checksum_is_of_all_that_is_asked(change):
    assert queries().checksum == dataclasses.replace(queries(), about={}).checksum
    assert queries().checksum != dataclasses.replace(queries(), **change).checksum


def test_a_centre_that_is_asked_for_again():
    first, second = queries(), queries(2, (0, 1), (3, 3), (4, 4))
    assert repeated([first]) is None
    found = repeated([first, second])
    assert found == (second, 0)
    assert where(*found) == "image 'a/0' row 3 column 4"
    inside = queries(1, (1, 0, 1), (2, 2, 2), (4, 4, 4))
    assert repeated([inside]) == (inside, 2)


def test_a_centre_may_be_asked_for_until_its_query_is_closed():
    asked = [queries(1, (0, 1), (3, 3), (4, 4)), *(queries(n, (0,), (3,), (4,)) for n in (2, 3))]
    still_open, closed = np.zeros(1, bool), np.ones(1, bool)
    first = np.array([False, True])
    assert repeated(asked, [first, still_open, closed]) is None
    assert repeated(asked, [first, closed, still_open]) == (asked[2], 0)
    assert repeated(asked, [~first, still_open, closed]) == (asked[1], 0)
    # In one round no centre comes twice, whatever became of it.
    twice = queries(1, (0, 0), (3, 3), (4, 4))
    assert repeated([twice], [np.zeros(2, bool)]) == (twice, 1)
