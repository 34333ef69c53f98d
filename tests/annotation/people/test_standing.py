import numpy as np
import pytest
from answering import SIZES, answer, event, queries
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cbda_jax.annotation import UNANSWERED, VOID
from cbda_jax.annotation.people.standing import Standing, chosen, majority


def standing(*events, count=6, radius=0, twice=(), sizes=None):
    asked = queries(count, radius=radius)
    found = Standing(asked, np.isin(np.arange(count), twice), sizes)
    for one in events:
        found.apply(one)
    return found


def merged(found):
    return found.merged.ravel().tolist()


def test_what_is_drawn():
    for count, share, drawn in ((100, 0.05, 5), (100, 0, 0), (100, 1, 100), (3, 0.1, 0), (0, 1, 0)):
        found = chosen(count, share, "twice", seed=0, number=1)
        assert (found.shape, found.dtype, found.sum()) == ((count,), np.bool_, drawn)
    some = chosen(1000, 0.1, "twice", seed=0, number=1)
    np.testing.assert_array_equal(some, chosen(1000, 0.1, "twice", seed=0, number=1))
    for what, seed, number in (("hidden", 0, 1), ("twice", 1, 1), ("twice", 0, 2)):
        found = chosen(1000, 0.1, what, seed=seed, number=number)
        assert 0 < (found & some).sum() < 40


def test_one_answer_settles():
    found = standing(answer(1, patch=[2]))
    assert found.need.tolist() == [1, 0, 1, 1, 1, 1]
    assert merged(found) == [UNANSWERED, 2, *4 * [UNANSWERED]]
    assert found.pixels[2] == found.pixels.sum() == 1


def test_an_answer_given_again_takes_the_place_of_the_first():
    found = standing(answer(0, patch=[1]), answer(0, patch=[2], seconds=5.0))
    assert (merged(found)[0], found.seconds) == (2, [5.0])
    found.apply(event("undo", 0))
    assert (merged(found)[0], found.need[0], found.seconds) == (1, 0, [2.0])
    found.apply(event("undo", 0))
    assert (merged(found)[0], found.need[0], found.seconds) == (UNANSWERED, 1, [])
    # Nothing is left to take back.
    found.apply(event("undo", 0))
    assert (merged(found)[0], found.pixels.sum(), found.answers) == (UNANSWERED, 0, {})


def test_a_skip_puts_an_answer_aside_until_it_is_taken_back():
    found = standing(answer(0, patch=[1]), event("skip", 0))
    assert (found.need[0], found.skipped[0], list(found.people["ada"].latest)) == (1, True, [0])
    found.apply(event("undo", 0))
    assert (merged(found)[0], found.need[0], found.skipped.any()) == (1, 0, False)


def test_a_query_that_is_asked_twice():
    # Of one person alone one answer settles.
    found = standing(answer(0, "ada", [1]), answer(2, "ada", [1]), twice=[0, 3])
    assert found.need.tolist() == [0, 1, 0, 1, 1, 1]
    # As soon as there is another one, two do.
    found.apply(answer(1, "bob", [1]))
    assert found.need.tolist() == [1, 0, 0, 2, 1, 1]
    found.apply(answer(0, "bob", [1]))
    assert (found.need[0], merged(found)[0]) == (0, 1)
    # Whose only answers are taken back takes no part.
    for query in (0, 1):
        found.apply(event("undo", query, "bob"))
    assert found.need.tolist() == [0, 1, 0, 1, 1, 1]


def test_a_tie_goes_to_a_third_person():
    found = standing(answer(0, "ada", [1]), answer(0, "bob", [2]), twice=[0])
    # There is none: void.
    assert (found.need[0], merged(found)[0]) == (0, VOID)
    found.apply(answer(5, "eve", [1]))
    assert found.need[0] == 1
    found.apply(answer(0, "eve", [2]))
    assert (found.need[0], merged(found)[0]) == (0, 2)
    # A fourth is not asked; who answers all the same counts.
    found.apply(answer(0, "dan", [1]))
    assert (found.need[0], merged(found)[0]) == (0, VOID)


def test_a_late_answer_that_differs_is_a_tie_too():
    found = standing(answer(3, "ada", [1]), answer(4, "eve", [1]), answer(3, "bob", [0]))
    assert (found.need[3], merged(found)[3]) == (1, VOID)
    found.apply(answer(3, "eve", [0]))
    assert (found.need[3], merged(found)[3]) == (0, 0)


def test_pixel_by_pixel():
    one = np.array([[0, 1, 254], [254, 2, 255], [1, 1, 1]], np.uint8)
    two = np.array([[0, 2, 254], [1, 2, 255], [1, 2, 254]], np.uint8)
    three = np.array([[0, 1, 254], [254, 1, 0], [2, 0, 254]], np.uint8)
    assert majority([one]).tolist() == one.tolist()
    assert majority([one, two]).tolist() == [[0, 255, 254], [1, 2, 255], [1, 255, 1]]
    expected = [[0, 1, 254], [1, 2, 255], [1, 255, 1]]
    for order in ([one, two, three], [three, one, two]):
        assert majority(order).tolist() == expected
        assert majority(order).dtype == np.uint8


def test_pixels_that_only_one_answered_are_no_tie():
    left, right = [1, 1, 1, 1, 0, 254, 254, 254, 254], [254, 254, 254, 254, 0, 1, 1, 1, 1]
    events = [answer(2, "ada", left), answer(2, "bob", right), answer(0, "eve", 9 * [0])]
    found = standing(*events, radius=1, twice=[2])
    assert (found.need[2], found.merged[2].ravel().tolist()) == (0, [1, 1, 1, 1, 0, 1, 1, 1, 1])


def test_outside_of_the_image_nothing_is_answered():
    # Query 0 is in a corner.
    there = answer(0, patch=9 * [1])
    found = standing(there, radius=1, sizes=SIZES)
    assert found.merged[0].tolist() == [[254, 254, 254], [254, 1, 1], [254, 1, 1]]
    assert found.pixels[1] == 4
    assert not found.is_outside(there)
    assert found.is_outside(answer(0, patch=[1, *8 * [254]]))
    assert (standing(there, radius=1).merged[0] == 1).all()


PEOPLE = ("ada", "bob", "eve", "dan")
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["answer", "answer", "answer", "skip", "undo"]),
        st.integers(0, 3),
        st.sampled_from(PEOPLE),
        st.lists(st.sampled_from([0, 1, 255, 254]), min_size=9, max_size=9),
        st.integers(1, 9),
    ),
    max_size=40,
)


def plain(events, twice):
    """The same, of the whole list at once and without haste."""
    stacks = {}
    for kind, query, person, patch, seconds in events:
        stack = stacks.setdefault((query, person), [])
        if kind == "undo":
            del stack[-1:]
        else:
            stack.append((kind, patch, seconds))
    counting = {key: stack[-1] for key, stack in stacks.items() if stack}
    answers = {key: last for key, last in counting.items() if last[0] == "answer"}
    answering = len({person for _, person in answers})
    need, values = [], []
    for query in range(4):
        patches = [last[1] for (number, _), last in answers.items() if number == query]
        wanted = 2 if query in twice else 1
        columns = [[x for x in column if x != 254] for column in zip(*patches, strict=True)]
        if len(patches) == 2 and any(len(set(column)) > 1 for column in columns):
            wanted = 3
        need.append(max(0, min(wanted, max(1, answering)) - len(patches)))
        square = []
        for column in columns or [[]] * 9:
            most = [x for x in set(column) if 2 * column.count(x) > len(column)]
            square.append((most or [255])[0] if column else 254)
        values.append(square)
    skips = [
        [sum(kind == "skip" for kind, *_ in stacks.get((q, p), [])) for q in range(4)]
        for p in PEOPLE
    ]
    return need, values, skips, sorted(float(last[2]) for last in answers.values())


@settings(deadline=None, max_examples=300)
@example(events=[("answer", 0, "ada", 9 * [0], 1), ("undo", 0, "ada", 9 * [0], 1)], twice=set())
@given(events=EVENTS, twice=st.sets(st.integers(0, 3)))
def test_as_by_the_plain_way(events, twice):
    events = [(k, q, p, x if set(x) != {254} else 9 * [0], s) for k, q, p, x, s in events]
    found = standing(count=4, radius=1, twice=[*twice])
    for kind, query, person, patch, seconds in events:
        content = patch if kind == "answer" else b""
        found.apply(event(kind, query, person, content, seconds=float(seconds)))
    need, values, skips, seconds = plain(events, twice)
    assert found.need.tolist() == need
    assert found.merged.reshape(4, 9).tolist() == values
    assert found.seconds == seconds
    pixels = np.array([x for square in values for x in square if x != 254], np.uint8)
    assert found.pixels.tolist() == np.bincount(pixels, minlength=256).tolist()
    for person, expected in zip(PEOPLE, skips, strict=True):
        own = found.people.get(person)
        assert (own.skips.tolist() if own else [0] * 4) == expected


@pytest.mark.parametrize("count", [0, 1])
def test_few_queries(count):
    assert standing(count=count).need.tolist() == [1] * count
