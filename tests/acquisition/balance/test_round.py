"""What a round is balanced by."""

import numpy as np
import pytest

from cbda_jax.acquisition import (
    BANDS,
    UNBALANCED,
    Balance,
    class_weights,
    clip_weights,
    corrected_classes,
    corrected_weights,
    round_balance,
    weights_by_score,
)
from cbda_jax.errors import InputError

COUNTS = np.array([900, 9, 90, 0])
CONFUSION = np.diag([30, 2, 5, 0])
CONFUSION[0, 1] = 20


def made(balance, number=1, **options):
    return round_balance(balance, number, counts=COUNTS.copy, confusion=CONFUSION.copy, **options)


def unread():
    raise AssertionError("reads answers that are not needed")


def test_nothing_is_read_where_nothing_is_balanced():
    assert round_balance(Balance(), 5, counts=unread, confusion=unread) is UNBALANCED


def test_weights_of_a_scheme_with_its_parameters():
    found = made(Balance("inverse_power", "power=0.5,prior=0.1"))
    expected = class_weights(COUNTS, "inverse_power", power=0.5, prior=0.1)
    np.testing.assert_array_equal(found.weights, expected)
    assert found[1:] == (None,) * 6


def test_weights_are_clipped_and_then_corrected():
    found = made(Balance("inverse_power", weight_ratio=4), evidence="corrected")
    clipped = clip_weights(class_weights(COUNTS, "inverse_power"), 4)
    np.testing.assert_array_equal(found.weights, corrected_weights(clipped, CONFUSION))
    assert found.weights[1] != clipped[1]


def test_ties_are_drawn_by_inverse_frequency_whatever_the_scheme():
    found = made(Balance("exp"), ties="class_balanced")
    np.testing.assert_array_equal(found.tie_weights, class_weights(COUNTS, "inverse_power"))
    np.testing.assert_array_equal(found.weights, class_weights(COUNTS, "exp"))
    assert made(Balance(), ties="class_balanced").weights is None


def test_a_quota_has_counts_and_no_weights():
    found = made(Balance("quota"))
    assert found.weights is found.tie_weights is found.group_of is None
    np.testing.assert_array_equal(found.counts, COUNTS)
    corrected = made(Balance("quota"), evidence="corrected")
    np.testing.assert_array_equal(corrected.group_of, corrected_classes(CONFUSION))


def test_before_its_round_a_balance_is_equal_weights_and_no_quota():
    before = made(Balance("exp", balance_from=3), 2, ties="class_balanced")
    np.testing.assert_array_equal(before.weights, np.ones(4, np.float32))
    np.testing.assert_array_equal(before.tie_weights, np.ones(4, np.float32))
    assert before.weights.dtype == np.float32
    assert made(Balance("quota", balance_from=3), 2).counts is None
    assert made(Balance("quota", balance_from=3), 3).counts is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_balance": "exps"}, "did you mean 'exp'"),
        ({"class_balance": "exp", "weight_ratio": 0.5}, "weight_ratio: 0.5 found, expected 0 or"),
        ({"class_balance": "exp", "balance_from": 0}, "balance_from: 0 found, expected 1 or more"),
        ({"class_balance": "inverse_power", "class_balance_options": "2"}, "expected name=number"),
        ({"class_balance_options": "power=2"}, "found with class_balance 'none'"),
    ],
)
def test_a_balance_that_cannot_be_is_one_line(changes, message):
    with pytest.raises(InputError, match=message) as error:
        Balance(**changes)
    assert "\n" not in str(error.value)


SPLIT = np.stack([CONFUSION, 2 * np.eye(4, dtype=np.int64)])


def test_weights_by_score_are_of_the_split_confusion():
    balance = Balance("inverse_power", weight_ratio=4)
    found = made(balance, evidence="corrected_by_score", by_score=SPLIT.copy)
    clipped = clip_weights(class_weights(COUNTS, "inverse_power"), 4)
    np.testing.assert_array_equal(found.weights, weights_by_score(clipped, SPLIT))
    late = made(Balance("inverse_power", balance_from=3), 2, evidence="corrected_by_score")
    np.testing.assert_array_equal(late.weights, np.ones((2, 4)))
    with pytest.raises(ValueError, match="reads by_score"):
        made(balance, evidence="corrected_by_score")


def test_ties_by_uncertainty_have_weights_of_their_own_where_scores_have_none():
    inverse = class_weights(COUNTS, "inverse_power")
    alone = made(Balance(), ties="balanced_uncertainty")
    assert alone.weights is None
    np.testing.assert_array_equal(alone.tie_weights, inverse)
    assert made(Balance("exp"), ties="balanced_uncertainty").tie_weights is None
    quota = made(Balance("quota"), evidence="corrected", ties="balanced_uncertainty")
    np.testing.assert_array_equal(quota.tie_weights, corrected_weights(inverse, CONFUSION))


def test_void_is_read_where_it_is_avoided():
    table = np.full((2, BANDS, 4), 0.25, np.float32)
    found = made(Balance(avoid_void=True), void=table.copy)
    assert found.weights is None
    np.testing.assert_array_equal(found.void, table)
    assert made(Balance("exp"), void=unread).void is None
    with pytest.raises(ValueError, match="reads void"):
        made(Balance(avoid_void=True))
