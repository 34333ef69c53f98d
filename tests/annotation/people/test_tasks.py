import dataclasses

import numpy as np
import pytest
from answering import SIZES, answer, answer_all, event, queries
from round_files import message

from cbda_jax.annotation import UNANSWERED, VOID
from cbda_jax.annotation.people import LEASE_S, Ledger
from cbda_jax.annotation.people.standing import chosen


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def open_round(ledger, count=6, *, radius=0, **named):
    asked = queries(count, radius=radius)
    given = {"redundancy": 0, "hidden": 0, "num_classes": 3, **named}
    return ledger.open_round(asked, **given)


def given_to(opened, person, now=0):
    task = opened.next(person, now=now)
    return None if task is None else task.query


def test_in_the_order_of_the_round(ledger):
    opened = open_round(ledger)
    assert not opened.complete()
    assert answer_all(opened) == [*range(6)]
    assert opened.complete()
    assert opened.patches().tolist() == np.ones((6, 1, 1)).tolist()
    assert opened.history("ada") == [5, 4, 3, 2, 1, 0]
    assert opened.history("ada", 2) == [5, 4]
    assert opened.history("ada", 0) == opened.history("bob") == []


def test_what_a_task_says(ledger):
    opened = open_round(ledger, hidden=1 / 3, redundancy=1)
    hidden = chosen(6, 1 / 3, "hidden", seed=0, number=1)
    assert [opened.task(q, "ada").guess is None for q in range(6)] == hidden.tolist()
    task = opened.task(3, "ada")
    assert (task.image_id, task.row, task.col, task.radius) == ("b", 1, 0, 0)
    assert (task.repeated, task.answer) == (True, None)
    opened.record(answer(3, patch=[2]))
    assert opened.task(3, "ada").answer == b"\2"
    assert opened.task(3, "bob").answer is None
    opened.record(event("skip", 3))
    assert opened.task(3, "ada").answer is None
    for wrong in (-1, 6):
        assert f"query {wrong} found, expected 0 to 5" in message(opened.task, wrong, "ada")


def test_a_lease_lasts_a_minute(ledger):
    opened = open_round(ledger, 3)
    assert given_to(opened, "ada", 0) == given_to(opened, "ada", 1) == 0
    assert given_to(opened, "bob", 2) == 1
    assert given_to(opened, "eve", 3) == 2
    assert given_to(opened, "dan", 4) is None
    # That of ada is from the last time that she was given it.
    assert given_to(opened, "dan", LEASE_S) is None
    assert given_to(opened, "dan", LEASE_S + 1) == 0
    # Too late, and heard all the same; he is given another one.
    assert opened.record(answer(0, "ada"))
    assert given_to(opened, "dan", LEASE_S + 2) == 1


def test_what_comes_next_is_not_given_out(ledger):
    opened = open_round(ledger, 5)
    assert opened.upcoming("ada", 2, now=0) == [0, 1]
    assert given_to(opened, "ada") == 0
    assert opened.upcoming("ada", now=0) == [1, 2, 3, 4]
    assert given_to(opened, "bob") == 1
    assert opened.upcoming("ada", 2, now=0) == [2, 3]
    assert opened.upcoming("bob", 0, now=0) == []


def test_what_was_skipped_comes_last(ledger):
    opened = open_round(ledger, 3)
    for query in (0, 1):
        assert given_to(opened, "ada") == query
        opened.record(event("skip", query))
    assert given_to(opened, "bob") == 0
    opened.record(answer(0, "bob"))
    assert given_to(opened, "ada") == 2
    opened.record(event("skip", 2))
    # All once; then the others before what was skipped again.
    assert given_to(opened, "ada") == 1
    opened.record(event("skip", 1))
    assert given_to(opened, "ada") == 2
    assert opened.progress().skipped == 2


def test_two_people_are_asked(ledger):
    opened = open_round(ledger, 2, redundancy=1)
    assert given_to(opened, "ada") == 0
    opened.record(answer(0, "ada"))
    assert opened.progress().left == 1
    # Another one begins: what ada has answered is asked of bob.
    opened.record(answer(1, "bob"))
    assert (opened.progress().left, given_to(opened, "bob"), given_to(opened, "ada")) == (2, 0, 1)
    # A third one is not asked while two are at it.
    assert given_to(opened, "eve") is None
    opened.record(answer(0, "bob"))
    opened.record(answer(1, "ada", [2]))
    assert opened.complete()
    assert opened.patches().ravel().tolist() == [0, VOID]
    # Before eve answers anything, nobody is there to ask about the tie.
    assert given_to(opened, "eve") is None


def test_a_tie(ledger):
    opened = open_round(ledger, 3, redundancy=0)
    opened.record(answer(2, "eve"))
    opened.record(answer(0, "ada", [1]))
    opened.record(answer(0, "bob", [2]))
    assert (given_to(opened, "ada"), given_to(opened, "eve")) == (1, 0)
    opened.record(answer(0, "eve", [2]))
    assert opened.patches().ravel().tolist() == [2, UNANSWERED, 0]


def test_the_same_event_again(ledger):
    opened = open_round(ledger)
    first = answer(0)
    assert opened.record(first)
    assert not opened.record(first)
    # Also with other content: the id is what counts.
    assert not opened.record(dataclasses.replace(first, query=1))
    opened.close()
    assert not opened.record(first)
    assert opened.progress().answered == 1


def test_back(ledger):
    opened = open_round(ledger)
    answer_all(opened)
    opened.record(answer(2, patch=[2]))
    assert (opened.history("ada")[0], opened.patches()[2, 0, 0]) == (2, 2)
    opened.record(event("undo", 2))
    opened.record(event("undo", 2))
    assert (opened.history("ada"), given_to(opened, "ada")) == ([5, 4, 3, 1, 0], 2)


def test_how_far_it_is(ledger):
    opened = open_round(ledger)
    assert opened.progress("ada").seconds is None
    for query, person, patch, seconds in (
        *((0, "ada", [1], 1.0), (1, "ada", [1], 2.0), (2, "ada", [255], 9.0)),
        (3, "bob", [0], 30.0),
    ):
        opened.record(answer(query, person, patch, seconds=seconds))
    opened.record(event("skip", 4, "bob"))
    found = opened.progress("ada")
    assert (found.answered, found.total, found.left, found.skipped) == (4, 6, 2, 1)
    assert (found.mine, found.seconds) == (3, 2.0)
    assert found.by_class == {0: 1, 1: 2, 255: 1}
    assert (opened.progress().mine, opened.progress().seconds) == (4, 5.5)
    assert opened.progress("eve").mine == 0


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (answer(6), "query 6 found, expected 0 to 5"),
        (answer(0, patch=[3]), "class 3 found, expected 0 to 2"),
        (answer(0, patch=[0, 0]), "2 pixels found, expected 1"),
        (answer(0, patch=[254]), "no pixel answered"),
    ],
)
def test_what_cannot_be_is_refused(ledger, one, expected):
    opened = open_round(ledger)
    assert expected in message(opened.record, one)
    assert opened.progress().answered == 0


def test_of_several_all_or_none(ledger):
    opened = open_round(ledger)
    first = answer(0)
    opened.record(first)
    line = message(opened.record_all, [answer(1), answer(2), answer(6)])
    assert "query 6 found" in line
    assert opened.progress().answered == 1
    both = [answer(1), answer(2)]
    assert opened.record_all([first, *both, both[0]]) == 2
    assert opened.record_all(both) == 0
    assert opened.progress().answered == 3


def test_an_answer_outside_of_the_image_alone(ledger):
    opened = open_round(ledger, radius=1, sizes=SIZES)
    line = message(opened.record, answer(0, patch=[1, *8 * [254]]))
    assert "answers outside of the image alone found" in line
    opened.record(answer(0, patch=9 * [1]))
    assert opened.patches()[0].tolist() == [[254, 254, 254], [254, 1, 1], [254, 1, 1]]


def test_a_round_that_is_closed_early(ledger):
    opened = open_round(ledger, 4, redundancy=1)
    opened.record(answer(0, "ada", [1]))
    opened.record(answer(1, "bob", [1]))
    for person, value in (("ada", 1), ("bob", 2), ("eve", 1)):
        opened.record(answer(2, person, [value]))
    opened.record(answer(3, "ada", [1]))
    opened.record(answer(3, "bob", [2]))
    # Two wait for another person, one for a third; all that was said stands at the end.
    assert opened.patches().ravel().tolist() == [UNANSWERED, UNANSWERED, 1, UNANSWERED]
    opened.close()
    opened.close()
    assert opened.closed
    assert opened.patches().ravel().tolist() == [1, 1, 1, VOID]
    assert (given_to(opened, "ada"), opened.upcoming("ada", now=0)) == (None, [])
    assert "round 1: closed found" in message(opened.record, answer(0, "eve"))
