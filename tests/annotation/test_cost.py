"""What answers cost, as oracles say and as is kept with the answers."""

import math

import numpy as np
import pytest

from cbda_jax.annotation import UNANSWERED, Answers, Cost, Queries, answers_per_query, cost_of

COLUMN = np.zeros(2, np.int32)
QUERIES = Queries(
    round=1,
    step=1,
    image_ids=("a",),
    image=COLUMN,
    row=np.array([0, 5], np.int32),
    col=np.array([0, 5], np.int32),
    score=np.ones(2, np.float32),
    predicted=np.zeros(2, np.uint8),
    radius=1,
    about={},
)


class Silent:
    def ask(self, queries):
        raise NotImplementedError


class Two(Silent):
    def answers_per_query(self, radius):
        return 2 * radius


def test_an_oracle_that_says_nothing_answers_pixel_by_pixel():
    assert [answers_per_query(Silent(), radius) for radius in (0, 1, 2)] == [1, 9, 25]
    assert answers_per_query(Two(), 3) == 6


def given(**about):
    patches = np.zeros((2, 3, 3), np.uint8)
    patches[0, 0], patches[0, :, 0] = UNANSWERED, UNANSWERED
    patches[1, 2, 2] = 255
    return Answers(QUERIES, patches, about)


def test_pixels_are_counted_and_their_time_is_estimated():
    # Void is an answer, what lies outside of the image is none.
    assert cost_of([given()], 2.0) == Cost(13, 26.0, 0)
    assert cost_of([], 2.0) == Cost(0, 0.0, 0)


def test_what_was_counted_and_measured_counts():
    rounds = [given(answers=2), given(answers=3, seconds=4), given(seconds=6.5)]
    assert cost_of(rounds[:1], 1.5) == Cost(2, 3.0, 0)
    assert cost_of(rounds, 1.5) == Cost(2 + 3 + 13, 3.0 + 4 + 6.5, 3 + 13)


@pytest.mark.parametrize("strange", [None, "3", True, -1, math.nan, [2], math.inf])
def test_what_cannot_be_is_not_believed(strange):
    assert cost_of([given(answers=strange, seconds=strange)], 1.0) == Cost(13, 13.0, 0)
