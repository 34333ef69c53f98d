import math

import pytest
from answering import answer, event

from cbda_jax.annotation.people.events import is_name, problem


def found(one):
    return problem(one, count=5, side=3, num_classes=3)


def test_what_can_be():
    for patch in (bytes(9), bytes([0, 1, 2, 255, 254] + 4 * [254]), 9 * b"\xff"):
        assert found(answer(4, patch=patch)) is None
    for kind in ("skip", "undo"):
        assert found(event(kind, 0)) is None


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (answer(5, patch=bytes(9)), "query 5 found, expected 0 to 4"),
        (answer(-1, patch=bytes(9)), "query -1 found"),
        (answer(0, patch=bytes(8)), "8 pixels found, expected 9 (3 x 3)"),
        (answer(0, patch=bytes([*range(4), *range(5)])), "class 3 found, expected 0 to 2, 255"),
        (answer(0, patch=9 * b"\xfd"), "class 253 found"),
        (answer(0, patch=9 * b"\xfe"), "no pixel answered"),
        (event("skip", 0, patch=b"\0"), "1 pixels of 'skip' found, expected none"),
        (event("vote", 0), "kind 'vote' found, expected one of answer, skip, undo"),
        (event("skip", 0, person=""), "person '' found"),
        (event("skip", 0, person="a\nb"), "person 'a\\nb' found"),
        (event("skip", 0, id=201 * "x"), "found, expected 1 to 200 printable characters"),
        (event("skip", 0, seconds=math.nan), "seconds nan found"),
        (event("skip", 0, seconds=-1), "seconds -1 found"),
        (event("skip", 0, time=math.inf), "time inf found"),
        (event("skip", 0, guess=256), "guess 256 found"),
    ],
)
def test_what_cannot_be(one, message):
    assert message in (found(one) or "")


def test_names():
    assert all(map(is_name, ("Ada Lovelace", "à", "x" * 200)))
    assert not any(map(is_name, ("", "  ", "a\0", "\ud800", "x" * 201, None, 3)))
