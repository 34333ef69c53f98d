"""What a description of scores refuses."""

import math

import pytest

from cbda_jax.acquisition import Geometry, Scoring
from cbda_jax.errors import InputError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "regions"}, "unit: 'regions' found, expected one of region, pixel; did you mean"),
        ({"score": "ripuu"}, "score: 'ripuu' found.*did you mean 'ripu'"),
        ({"radius": -1}, "radius: -1 found, expected 0 or more pixels"),
        ({"class_evidence": "expcted"}, "did you mean 'expected'"),
        ({"ties": "randm"}, "did you mean 'random'"),
        ({"ties": "random", "score": "entropy"}, "expected a score of the impurity"),
        (
            {"class_evidence": "corrected_by_score", "clamp_impurity": True},
            "class_evidence: 'corrected_by_score' found with score 'ripu', clamp_impurity True",
        ),
        ({"class_evidence": "corrected_by_score", "score": "entropy"}, "a score of the impurity"),
        ({"impurity_floor": 0.1, "score": "random"}, "expected a score of the impurity"),
        ({"impurity_floor": -0.1}, "impurity_floor: -0.1 found, expected 0 or more"),
        ({"impurity_floor": math.nan}, "impurity_floor: nan found"),
        ({"impurity_floor": 0.1, "ties": "random"}, "expected one of them alone"),
        ({"score": "pixelpick", "share": 0}, "share: 0 found, expected a number above 0"),
        ({"share": 0.5}, "share: 0.5 found with score 'ripu'"),
    ],
)
def test_it_checks_itself(changes, message):
    with pytest.raises(InputError, match=message) as error:
        Scoring(**changes)
    assert str(error.value).startswith("acquisition.")
    assert "\n" not in str(error.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(InputError, match=r"unit: .*; acquisition\.radius: "):
        Scoring(unit="square", radius=-2)


def test_it_can_be_a_static_argument():
    assert hash(Scoring(radius=2)) == hash(Scoring(radius=2))
    assert Scoring(radius=2) != Scoring(radius=3)


def test_squares_of_a_pick():
    assert Scoring(radius=2).squares == Geometry(2, 4)
    assert Scoring(unit="pixel", radius=2).squares == Geometry(0, 2)
