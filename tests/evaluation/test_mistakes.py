import numpy as np
import pytest

from cbda_jax.evaluation import Mistakes, worst_images


def pair(wrong, pixels=20, void=2):
    """A label of some void pixels and a prediction with some wrong ones."""
    label = np.ones((4, (pixels + void) // 2), np.uint8).reshape(-1)[: pixels + void]
    label[:void] = 255
    prediction = np.ones_like(label)
    prediction[void : void + wrong] = 0
    return label.reshape(2, -1), prediction.reshape(2, -1)


def test_counts_and_the_worst_are_kept():
    wrongs = [3, 0, 7, 5, 7, 1]
    mistakes = Mistakes(len(wrongs), 2)
    for index in (5, 2, 0, 4, 1, 3):
        mistakes.add(index, *pair(wrongs[index]))
    np.testing.assert_array_equal(mistakes.pixels, 20)
    np.testing.assert_array_equal(mistakes.right, [20 - wrong for wrong in wrongs])
    # Of the two with 7 wrong pixels both; images are told in any order.
    assert sorted(mistakes.kept) == [2, 4]
    np.testing.assert_array_equal(mistakes.kept[2].label, pair(7)[0])
    np.testing.assert_array_equal(mistakes.kept[2].prediction, pair(7)[1])
    assert worst_images(mistakes.pixels, mistakes.right, 3) == [2, 4, 3]


def test_the_share_counts_and_what_has_no_class_or_no_error_is_left_out():
    mistakes = Mistakes(4, 9)
    mistakes.add(0, *pair(4, pixels=40))
    mistakes.add(1, *pair(3, pixels=10))
    mistakes.add(2, np.full((2, 5), 255, np.uint8), np.zeros((2, 5), np.uint8))
    mistakes.add(3, *pair(0))
    assert worst_images(mistakes.pixels, mistakes.right, 9) == [1, 0]
    assert sorted(mistakes.kept) == [0, 1]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_equal_shares_keep_the_first_images(order):
    mistakes = Mistakes(3, 1)
    for index in order:
        mistakes.add(index, *pair(5))
    assert list(mistakes.kept) == worst_images(mistakes.pixels, mistakes.right, 1) == [0]


def test_none_are_kept_where_none_are_wanted():
    mistakes = Mistakes(1, 0)
    mistakes.add(0, *pair(5))
    assert mistakes.kept == {}
    assert mistakes.right[0] == 15
