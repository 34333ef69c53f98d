import numpy as np
import pytest
from answering import answer, event, queries

from cbda_jax.annotation.people.agreement import Share, agreement, anchoring, cohen, fleiss
from cbda_jax.annotation.people.standing import Standing


def standing(*events, count=6, radius=0):
    asked = queries(count, radius=radius)
    found = Standing(asked, np.ones(count, bool))
    for one in events:
        found.apply(one)
    return found


def test_cohen_by_hand():
    # The usual example: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: (0.7 - 0.5) / (1 - 0.5).
    assert cohen(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)
    assert cohen(np.array([[45, 15], [25, 15]])) == pytest.approx(0.1304, abs=1e-4)
    assert cohen(np.array([[3, 0], [0, 2]])) == 1
    assert cohen(np.array([[0, 2], [2, 0]])) == -1
    assert cohen(np.array([[4, 0], [0, 0]])) is None


def test_fleiss_by_hand():
    # Fleiss' example as it is usually given: 14 raters, 10 subjects, 5 categories; 0.210.
    counts = np.array(
        [
            *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0]),
            *([2, 2, 8, 1, 1], [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2]),
            *([6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
        ]
    )
    assert fleiss(counts) == pytest.approx(0.210, abs=5e-4)
    assert fleiss(np.array([[3, 0], [2, 0]])) is None


def test_of_two_people():
    # Pixels of both: 0-0, 0-0, 1-1, 0-1, void-void.
    pairs = [(0, 0), (0, 0), (1, 1), (0, 1), (255, 255)]
    given = [
        answer(query, person, [value])
        for query, pair in enumerate(pairs)
        for person, value in zip(("ada", "bob"), pair, strict=True)
    ]
    # Of one person alone; skipped by the other.
    given += [answer(5, "ada", [2]), event("skip", 5, "bob")]
    found = agreement(standing(*given))
    assert found is not None
    assert (found.kind, found.people, found.queries, found.pixels) == ("cohen", 2, 5, 5)
    assert found.equal == 4 / 5
    # By chance: (3 x 2 + 1 x 2 + 1 x 1) / 25.
    assert found.kappa == pytest.approx((0.8 - 9 / 25) / (1 - 9 / 25))
    assert {number: one.answers for number, one in found.by_class.items()} == {0: 5, 1: 3, 255: 2}
    # Class 0 or not: 2 both, 1 first alone, 2 neither.
    assert found.by_class[0].kappa == pytest.approx((0.8 - 12 / 25) / (1 - 12 / 25))
    assert found.by_class[255].kappa == 1
    plain = found.as_dict()
    assert plain["by_class"]["255"] == {"kappa": 1.0, "answers": 2}
    assert "anchoring" not in plain


def test_of_three_people_with_different_numbers_of_answers():
    given = [answer(0, person, [0]) for person in "abc"]
    given += [answer(1, person, [value]) for person, value in zip("abc", (0, 1, 1), strict=True)]
    given += [answer(2, person, [1]) for person in "bc"]
    found = agreement(standing(*given))
    assert found is not None
    assert (found.kind, found.people, found.pixels) == ("fleiss", 3, 3)
    # Pairs: 3 of 3, 1 of 3, 1 of 1; both classes are half of the 8 answers.
    assert found.equal == pytest.approx(7 / 9)
    assert found.kappa == pytest.approx((7 / 9 - 1 / 2) / (1 / 2))
    assert found.by_class[0].kappa == pytest.approx(found.kappa)


def test_pixels_that_one_person_left_out_do_not_count():
    patch = [0, 0, 0, 254, 254, 254, 254, 254, 254]
    other = [254, 0, 1, 1, 254, 254, 254, 254, 254]
    found = agreement(standing(answer(0, "ada", patch), answer(0, "bob", other), count=2, radius=1))
    assert found is not None
    assert (found.pixels, found.equal) == (2, 0.5)
    apart = [254] * 8 + [1]
    assert agreement(standing(answer(0, "ada", patch), answer(0, "bob", apart), radius=1)) is None


def test_nothing_to_compare():
    assert agreement(standing()) is None
    assert agreement(standing(answer(0, "ada"), answer(1, "bob"))) is None
    twice = [answer(0, "ada"), answer(0, "bob"), event("undo", 0, "bob")]
    assert agreement(standing(*twice)) is None
    # One class alone: nothing is beyond chance.
    found = agreement(standing(answer(0, "ada"), answer(0, "bob")))
    assert found is not None
    assert (found.kappa, found.equal) == (None, 1)


def test_anchoring():
    given = [
        answer(0, patch=[1], guess=1),
        answer(1, patch=[1], guess=2),
        answer(2, patch=[2], guess=2),
        answer(3, patch=[2], guess=2, guess_shown=False),
        answer(4, patch=[255], guess=2, guess_shown=False),
    ]
    found = anchoring(given, 1)
    assert (found.shown, found.hidden) == (Share(3, 2), Share(2, 1))
    assert found.hidden.share == 1 / 2
    assert anchoring([], 1).shown.share is None
    # Of a square the centre alone; one that was not answered is left out.
    squares = [answer(0, patch=[9, 9, 9, 9, 2, 9, 9, 9, 9], guess=2)]
    squares += [answer(1, patch=[2, 2, 2, 2, 254, 2, 2, 2, 2], guess=2)]
    assert anchoring(squares, 3).shown == Share(1, 1)
