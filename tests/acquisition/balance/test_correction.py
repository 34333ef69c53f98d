import numpy as np
import pytest

from cbda_jax.acquisition.balance.correction import (
    corrected_classes,
    corrected_weights,
    true_given_predicted,
    weights_by_score,
)
from cbda_jax.errors import InputError

# What was predicted as 0 was 0 thrice in four; as 1 mostly 2; as 2 never asked.
CONFUSION = np.array([[6, 0, 0], [0, 1, 0], [2, 9, 0]])


def test_shares_by_hand():
    likely = true_given_predicted(CONFUSION, strength=2.0)
    expected = np.array([[8, 0, 0], [0, 3, 0], [2, 9, 2]]) / np.array([10, 12, 2])
    np.testing.assert_allclose(likely, expected)


def test_weights_by_hand():
    weights = np.array([0.5, 1.5, 1.0], np.float32)
    corrected = corrected_weights(weights, CONFUSION, strength=2.0)
    np.testing.assert_allclose(corrected, [0.6, 13.5 / 12, 1.0], rtol=1e-6)
    assert corrected.dtype == np.float32


def test_without_answers_predictions_are_believed():
    weights = np.array([0.5, 1.5, 1.0], np.float32)
    nothing = np.zeros((3, 3), np.int64)
    np.testing.assert_array_equal(corrected_weights(weights, nothing), weights)
    assert corrected_classes(nothing).tolist() == [0, 1, 2]


def test_classes_follow_the_majority_and_ties_stay():
    found = corrected_classes(CONFUSION, strength=2.0)
    assert found.tolist() == [0, 2, 2]
    assert found.dtype == np.uint8
    # 1 + 8 answers of class 1 with the smoothing, 9 of class 2.
    assert corrected_classes(CONFUSION, strength=8.0).tolist() == [0, 1, 2]


def test_smoothing_must_be_above_0():
    with pytest.raises(InputError, match=r"smoothing of the confusion by 0.0"):
        true_given_predicted(CONFUSION, strength=0.0)


def test_windows_of_one_class_apart_by_hand():
    weights = np.array([0.5, 1.5, 1.0], np.float32)
    # At borders what was predicted as 1 was 2, inside of objects it was 1.
    split = np.zeros((2, 3, 3), np.int64)
    split[0, 2, 1], split[1, 1, 1] = 6, 20
    found = weights_by_score(weights, split, strength=2.0)
    expected = [[0.5, (2 * 1.5 + 6 * 1.0) / 8, 1.0], weights]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_without_answers_by_score_predictions_are_believed():
    weights = np.array([0.5, 1.5, 1.0], np.float32)
    found = weights_by_score(weights, np.zeros((2, 3, 3), np.int64))
    np.testing.assert_array_equal(found, [weights, weights])
