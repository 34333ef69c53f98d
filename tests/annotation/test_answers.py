import dataclasses

import numpy as np
import pytest

from cbda_jax.annotation import (
    UNANSWERED,
    VOID,
    Answers,
    Queries,
    closed_centres,
    counts,
    cut,
    known_label,
    queried_mask,
)
from cbda_jax.annotation.answers import pixels_inside, problem
from cbda_jax.errors import InputError

SHAPE = (6, 8)
SIZES = dict.fromkeys("ab", SHAPE)
LABEL = np.arange(48, dtype=np.uint8).reshape(SHAPE)


def queries(number=1, image=(0, 1, 0), row=(0, 3, 4), col=(1, 4, 5), radius=1):
    return Queries(
        round=number,
        step=10 * number,
        image_ids=("a", "b"),
        image=np.array(image, np.int32),
        row=np.array(row, np.int32),
        col=np.array(col, np.int32),
        score=np.linspace(1, 0.5, len(image), dtype=np.float32),
        predicted=np.zeros(len(image), np.uint8),
        radius=radius,
        about={},
    )


def answered(asked, label=LABEL):
    return Answers(asked, cut(label, asked.row, asked.col, asked.radius))


@pytest.mark.parametrize("radius", [0, 1, 4])
def test_squares_are_cut_out_of_a_label(radius):
    row, col = np.array([0, 3, 5], np.int32), np.array([1, 4, 7], np.int32)
    found = cut(LABEL, row, col, radius)
    assert found.shape == (3, 2 * radius + 1, 2 * radius + 1)
    for patch, r, c in zip(found, row, col, strict=True):
        for y in range(-radius, radius + 1):
            for x in range(-radius, radius + 1):
                inside = 0 <= r + y < 6 and 0 <= c + x < 8
                expected = LABEL[r + y, c + x] if inside else UNANSWERED
                assert patch[radius + y, radius + x] == expected
    asked = queries(row=row, col=col, radius=radius)
    np.testing.assert_array_equal(
        pixels_inside(asked, SIZES), (found != UNANSWERED).sum(axis=(1, 2))
    )


def test_answers_cannot_be_changed():
    patches = np.zeros((3, 3, 3), np.uint8)
    found = Answers(queries(), patches)
    patches[:] = 1
    assert not found.patches.any()
    with pytest.raises(ValueError, match="read-only"):
        found.patches[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        found.counts[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.patches = patches
    assert found.round == 1


@pytest.mark.parametrize(
    ("patches", "said"),
    [
        (np.zeros((3, 3, 3), np.int64), "int64[3, 3, 3]"),
        (np.zeros((2, 3, 3), np.uint8), "uint8[2, 3, 3]"),
        (np.zeros((3, 5, 5), np.uint8), "uint8[3, 5, 5]"),
        (np.zeros((3, 9), np.uint8), "uint8[3, 9]"),
    ],
)
def test_patches_have_one_type_and_shape(patches, said):
    with pytest.raises(InputError) as error:
        Answers(queries(), patches)
    assert str(error.value) == (
        f"answers to round 1: {said} found, expected uint8[3, 3, 3]; give each query the square "
        "around its centre, in the order of the queries"
    )


def test_what_is_counted():
    label = np.full(SHAPE, 3, np.uint8)
    label[3:] = VOID
    label[4, 5] = UNANSWERED
    found = answered(queries(), label)
    # Two rows of the first square lie inside; the second begins in the last row of class 3.
    assert found.counts[3] == 6 + 3
    assert found.counts[VOID] == (6 - 1) + (9 - 1)
    assert found.counts.sum() == 22
    np.testing.assert_array_equal(counts([found, found]), 2 * found.counts)
    assert counts([]).sum() == 0


def test_what_was_answered_in_part_or_found_void_is_closed():
    patches = np.full((3, 3, 3), UNANSWERED, np.uint8)
    patches[0, 0, 0] = 7
    patches[2, 1, 1] = VOID
    found = Answers(queries(), patches)
    assert found.answered.tolist() == [True, False, True]
    assert np.stack(closed_centres([found], "a")).tolist() == [[0, 4], [1, 5]]
    assert len(closed_centres([found], "b")[0]) == 0
    assert len(closed_centres([], "a")[0]) == 0
    more = answered(queries(2, (1,), (3,), (4,)))
    assert np.stack(closed_centres([found, more], "b")).tolist() == [[3], [4]]


def test_labels_are_known_where_they_were_answered():
    first, second = answered(queries()), answered(queries(2, (0,), (1,), (6,)))
    for rounds in ([], [first], [first, second]):
        for image_id in ("a", "b"):
            mask = np.zeros(SHAPE, bool)
            for answers in rounds:
                nothing = np.zeros(0, np.int32), np.zeros(0, np.int32)
                row, col = answers.queries.by_image.get(image_id, nothing)
                mask |= queried_mask(row, col, SHAPE, 1)
            found = known_label(rounds, image_id, SHAPE)
            assert found.dtype == np.uint8
            np.testing.assert_array_equal(found, np.where(mask, LABEL, VOID))


def test_an_unanswered_square_leaves_what_others_answer():
    nobody = Answers(queries(1, (0,), (2,), (2,)), np.full((1, 3, 3), UNANSWERED, np.uint8))
    again = answered(queries(2, (0,), (2,), (3,)))
    once_more = Answers(queries(3, (0,), (2,), (2,)), np.full((1, 3, 3), UNANSWERED, np.uint8))
    expected = np.full(SHAPE, VOID, np.uint8)
    expected[1:4, 2:5] = LABEL[1:4, 2:5]
    for rounds in ([nobody, again], [again, nobody], [nobody, again, once_more]):
        np.testing.assert_array_equal(known_label(rounds, "a", SHAPE), expected)


def test_a_pixel_is_answered_once():
    overlapping = [answered(queries(1, (0,), (2,), (2,))), answered(queries(2, (0,), (2,), (4,)))]
    with pytest.raises(InputError, match="image 'a': 18 answers about 15 pixels found, expected"):
        known_label(overlapping, "a", SHAPE)


def test_what_cannot_be_answered():
    found = answered(queries(), LABEL % 5)
    assert problem(found, 5, SIZES) is None
    assert problem(found, 4, SIZES) == (
        "class 4 found, expected 0 to 3, 255 for void or 254 for unanswered"
    )
    patches = found.patches.copy()
    patches[0, 0, 0] = VOID
    assert problem(Answers(queries(), patches), 5, SIZES) == (
        "answers outside of the image found, expected 254 for unanswered there"
    )
    # In a smaller image the last row of the last square lies outside too.
    assert problem(found, 5, dict.fromkeys("ab", (5, 8))) is not None


def test_squares_end_where_their_own_image_does():
    labels = {"a": np.zeros((6, 8), np.uint8), "b": np.zeros((4, 5), np.uint8)}
    sizes = {name: label.shape for name, label in labels.items()}
    # The same places in both, of which those from (3, 4) on are at the border of the smaller one.
    asked = queries(1, (0, 0, 0, 1, 1, 1), 2 * (0, 2, 3), 2 * (1, 3, 4))
    patches = np.concatenate(
        [cut(label, asked.row[:3], asked.col[:3], asked.radius) for label in labels.values()]
    )
    assert pixels_inside(asked, sizes).tolist() == [6, 9, 9, 6, 9, 4]
    np.testing.assert_array_equal(
        pixels_inside(asked, sizes), (patches != UNANSWERED).sum(axis=(1, 2))
    )
    assert problem(Answers(asked, patches), 1, sizes) is None
    outside = "answers outside of the image found, expected 254 for unanswered there"
    for place in range(6):
        changed = patches.copy()
        changed[place] = 0
        found = problem(Answers(asked, changed), 1, sizes)
        assert found == (outside if (patches[place] == UNANSWERED).any() else None)
    assert problem(Answers(asked, patches), 1, sizes | {"a": (4, 5)}) == outside
