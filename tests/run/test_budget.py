"""Budgets in pixels, answers and hours: the picks of rounds, by hand, and what they come to."""

import dataclasses

import numpy as np
import pytest

from cbda_jax.acquisition import Budget, picks_per_image
from cbda_jax.annotation import Answers, Queries
from cbda_jax.methods import METHODS, Method
from cbda_jax.run.budget import described, request
from cbda_jax.run.request import Request, Share

LARGE, SMALL = (12, 16), (6, 8)
SIZES = [LARGE, SMALL, LARGE]
RIPU, DA = METHODS["ripu"], METHODS["da"]


@pytest.mark.parametrize("rounds", [1, 5])
def test_pixels_are_rounded_up_in_every_image_and_round(rounds):
    squares = RIPU.scoring.squares
    for number in range(1, rounds + 1):
        found = request(RIPU, Budget(0.1), number, rounds, SIZES)
        picks = {size: picks_per_image(0.1, size, rounds, squares) for size in SIZES}
        assert found == Request(number, {s: Share(n) for s, n in picks.items()}, "per_image")
        assert found.total(SIZES) == 2 * picks[LARGE] + picks[SMALL]
    capped = request(METHODS["cbda"], Budget(0.1), 1, rounds, SIZES)
    assert capped.picks is None
    assert capped.shares[LARGE] == (picks[LARGE], 2 * picks[LARGE])


@pytest.mark.parametrize("size", [(1024, 2048), (721, 1283)])
@pytest.mark.parametrize("rounds", [1, 5, 8])
def test_pixels_of_an_image_are_exactly_as_many(size, rounds):
    """40 pixels an image by single pixels are 40 picks, whatever a fraction would be rounded to."""
    method = METHODS["ripu_pixel"]
    found = [
        request(method, Budget(40, "pixels_per_image"), number + 1, rounds, [size] * 3)
        for number in range(rounds)
    ]
    assert sum(one.shares[size].picks for one in found) == 40
    # Regions have nine: rounded up in every round, as the fraction is.
    by_regions = request(RIPU, Budget(40, "pixels_per_image"), 1, rounds, [size])
    assert by_regions.shares[size].picks == -(-40 // (9 * rounds))


def test_larger_images_get_more_of_the_pixels():
    sizes = [(100, 100), (100, 300)]
    found = request(METHODS["ripu_pixel"], Budget(40, "pixels_per_image"), 1, 1, sizes)
    assert {size: share.picks for size, share in found.shares.items()} == {
        (100, 100): 20,
        (100, 300): 60,
    }


def test_few_pixels_are_shown_with_what_they_are_of_all():
    text = described(METHODS["ripu_pixel"], Budget(40, "pixels_per_image"), 5, [(1024, 2048)] * 2)
    assert text.startswith(
        "budget of 40 pixels an image (0.00191 % of all pixels, 1.91e-05) in 5 rounds: 80 picks, "
        "80 pixels (0.0019 %), 80 answers"
    )


def test_answers_are_rounded_down_and_what_is_left_comes_later():
    # 130 / 9 picks: 14, of which the images get 4/9, 1/9 and 4/9; of 6 two a round.
    budget = Budget(130, "answers_in_all", 9)
    shares = [request(RIPU, budget, number, 4, SIZES).shares for number in range(1, 5)]
    assert [share[LARGE].picks for share in shares] == [1, 2, 1, 2]
    assert [share[SMALL].picks for share in shares] == [0, 0, 0, 1]


def test_one_budget_for_all_images_is_spent_to_the_last_answer():
    budget = Budget(130, "answers_in_all", 9)
    found = [request(DA, budget, number, 4, SIZES) for number in range(1, 5)]
    assert [one.picks for one in found] == [one.total(SIZES) for one in found] == [3, 4, 3, 4]
    # What an image has room for is of its share, rounded up.
    assert [one.shares[LARGE] for one in found] == [(2, None)] * 4
    capped = request(Method(allocation="global", image_cap=2), budget, 1, 4, SIZES)
    assert capped == Request(1, {LARGE: Share(2, 4), SMALL: Share(1, 2)}, "global", 3)


@pytest.mark.parametrize("keys", [1, 9])
@pytest.mark.parametrize("method", [RIPU, DA])
def test_the_same_budget_in_other_words(keys, method):
    same = [
        Budget(60, "answers_per_image", keys, 2.0),
        Budget(180, "answers_in_all", keys, 2.0),
        Budget(0.1, "hours", keys, 2.0),
        Budget(0.7, "hours", keys, 14),
    ]
    found = [request(method, budget, 2, 4, [LARGE] * 3) for budget in same]
    assert all(one == found[0] for one in found)
    assert found[0].total([LARGE] * 3) == {1: 45, 9: 6 if method is RIPU else 5}[keys]


def given(number, picks, **about):
    nothing = np.zeros(picks, np.int32)
    queries = Queries(
        round=number,
        step=number,
        image_ids=("a",),
        image=nothing,
        row=nothing + 2,
        col=4 * np.arange(picks, dtype=np.int32) + 2,
        score=np.ones(picks, np.float32),
        predicted=np.zeros(picks, np.uint8),
        radius=1,
        about={},
    )
    return Answers(queries, np.zeros((picks, 3, 3), np.uint8), about)


def test_what_all_rounds_come_to():
    sizes = [(100, 100)] * 2
    assert described(RIPU, Budget(0.09, answers_per_pick=9), 5, sizes) == (
        "budget of 9 % of all pixels (0.09) in 5 rounds: 200 picks, 1 800 pixels (9.00 %), "
        "1 800 answers, 1.00 hours at 2 s an answer (estimated)"
    )
    hours = Budget(0.25, "hours", 1, 1.5)
    assert described(DA, hours, 4, sizes) == (
        "budget of 0.25 hours (27 % of all pixels, 0.27) in 4 rounds: 600 picks, "
        "5 400 pixels (27.00 %), 600 answers, 0.25 hours at 1.5 s an answer (estimated)"
    )


def test_what_was_measured_counts_from_then_on():
    first, second = given(1, 4, answers=4, seconds=12.0), given(2, 6, answers=6)
    text = described(RIPU, Budget(1000, "answers_per_image"), 2, [(100, 100)] * 2, [first, second])
    assert text == (
        "budget of 1,000 answers an image (90 % of all pixels, 0.9) in 2 rounds: 2 000 picks, "
        "18 000 pixels (90.00 %), "
        "2 000 answers, 1.67 hours at 3 s an answer (measured); spent in 2: 90 pixels, 10 answers, "
        "0.01 hours"
    )
    unmeasured = dataclasses.replace(first, about={})
    text = described(RIPU, Budget(0.1), 2, [(100, 100)], [unmeasured])
    assert "2 s an answer (estimated); spent in 1: 36 pixels, 36 answers, 0.02 hours" in text
