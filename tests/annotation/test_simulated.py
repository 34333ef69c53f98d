"""Oracles that stand in for people, against what is counted by hand or one by one."""

import numpy as np
import pytest

from cbda_jax.annotation import (
    UNANSWERED,
    VOID,
    CentreOracle,
    GroundTruthOracle,
    MajorityOracle,
    NoisyOracle,
    Queries,
    answers_per_query,
    cost_of,
)
from cbda_jax.annotation.simulated import _mixed

CLASSES = 5


class Pool:
    def __init__(self, **labels):
        self.ids = tuple(labels)
        self.labels = [np.array(label, np.uint8) for label in labels.values()]

    def label(self, index):
        return self.labels[index]


def asked(pool, places, radius):
    """Queries at (image id, row, column)."""
    ids = tuple(sorted(pool.ids))
    n = len(places)
    return Queries(
        round=1,
        step=1,
        image_ids=ids,
        image=np.array([ids.index(place[0]) for place in places], np.int32),
        row=np.array([place[1] for place in places], np.int32),
        col=np.array([place[2] for place in places], np.int32),
        score=np.ones(n, np.float32),
        predicted=np.zeros(n, np.uint8),
        radius=radius,
        about={},
    )


SMALL = Pool(
    b=[
        [1, 1, 2, 2],
        [1, 3, 2, 9],
        [9, 9, 9, 0],
    ],
    a=[[4, 4, 4, 4]],
)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        # At a corner: 1, 1, 1 and 3. In the middle: 1, 2 and void three, two and three times, and
        # once the centre's 3. At the right: void twice, 2 twice, 0 once.
        (CentreOracle, [1, 3, 2, 4]),
        (MajorityOracle, [1, 1, 2, 4]),
    ],
)
def test_one_key_is_for_the_whole_square_inside_of_the_image(make, expected):
    places = [("b", 0, 0), ("b", 1, 1), ("b", 1, 2), ("a", 0, 2)]
    oracle = make(SMALL, CLASSES)
    found = oracle.ask(asked(SMALL, places, 1))
    true = GroundTruthOracle(SMALL, CLASSES).ask(found.queries)
    outside = true.patches == UNANSWERED
    assert outside.sum() == 5 + 0 + 0 + 6
    np.testing.assert_array_equal(found.patches == UNANSWERED, outside)
    for patch, value, beyond in zip(found.patches, expected, outside, strict=True):
        assert np.unique(patch[~beyond]).tolist() == [value]
    assert found.about == {"oracle": oracle.name, "answers": 4}
    assert [answers_per_query(oracle, radius) for radius in (0, 1, 7)] == [1, 1, 1]
    assert cost_of([found], 2.0).answers == 4
    assert cost_of([true], 2.0).answers == 4 + 9 + 9 + 3


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ([[9, 9, 9], [9, 9, 0], [0, 0, 0]], VOID),  # void wins
        ([[0, 0, 0], [0, 2, 2], [2, 2, 9]], 2),  # four each: the centre's
        ([[0, 0, 0], [0, 9, 1], [1, 1, 1]], 0),  # four each of others: the lowest
        ([[9, 9, 9], [9, 1, 2], [2, 2, 2]], 2),  # void last
        ([[0, 0, 0], [0, 9, 9], [9, 9, 1]], VOID),  # four each, the centre is void
    ],
)
def test_a_majority_and_its_ties(label, expected):
    pool = Pool(a=label)
    found = MajorityOracle(pool, CLASSES).ask(asked(pool, [("a", 1, 1)], 1))
    assert (found.patches == expected).all()


def test_nobody_is_asked_nothing():
    nothing = asked(SMALL, [], 1)
    for make in (CentreOracle, MajorityOracle):
        assert make(SMALL, CLASSES).ask(nothing).patches.shape == (0, 3, 3)


# ------------------------------------------------------------------------- noise

RNG = np.random.default_rng(0)
HALVES = np.zeros((60, 80), np.uint8)
HALVES[:, 40:] = 3
HALVES[:2] = 255
SCENE = Pool(left=HALVES, right=HALVES[:, ::-1], noise=RNG.integers(0, 7, (60, 80)))
EVERYWHERE = [(i, row, col) for i in SCENE.ids for row in range(60) for col in range(80)]


def noisy(noise, at_boundaries, seed=0):
    return NoisyOracle(SCENE, CLASSES, noise=noise, at_boundaries=at_boundaries, seed=seed)


def test_without_noise_it_is_exact():
    queries = asked(SCENE, EVERYWHERE, 0)
    true = GroundTruthOracle(SCENE, CLASSES).ask(queries)
    found = noisy(0.0, 0.0).ask(queries)
    np.testing.assert_array_equal(found.patches, true.patches)
    assert found.about == {"oracle": "noisy", "noise": 0.0, "noise_at_boundaries": 0.0}
    assert answers_per_query(noisy(0.5, 0.5), 2) == 25


def test_a_mistake_is_another_class_that_is_near_if_there_is_one():
    queries = asked(SCENE, EVERYWHERE, 0)
    true = GroundTruthOracle(SCENE, CLASSES).ask(queries).patches[:, 0, 0]
    found = noisy(1.0, 1.0).ask(queries).patches[:, 0, 0]
    assert (found != true).all()
    assert (found < CLASSES).all()
    for place in range(0, len(queries), 7):
        image, row, col = EVERYWHERE[place]
        label = SCENE.label(SCENE.ids.index(image))
        window = label[max(row - 3, 0) : row + 4, max(col - 3, 0) : col + 4]
        near = set(np.unique(window[window < CLASSES]).tolist()) - {true[place]}
        assert found[place] in (near or set(range(CLASSES)))
    # Far from the other half every other class is as likely.
    far = found[:4800].reshape(60, 80)[10:, :30]
    assert np.unique(far, return_counts=True)[0].tolist() == [1, 2, 3, 4]
    assert np.unique(far, return_counts=True)[1].min() > 0.2 * far.size


def test_more_mistakes_are_made_at_boundaries():
    queries = asked(SCENE, EVERYWHERE[:9600], 0)
    true = GroundTruthOracle(SCENE, CLASSES).ask(queries).patches[:, 0, 0]
    wrong = (noisy(0.05, 0.4).ask(queries).patches[:, 0, 0] != true).reshape(2, 60, 80)
    at = np.zeros((60, 80), bool)
    at[:, 37:43] = at[:5] = True  # void has classes near it, and is none
    at[2:5, :37] = at[2:5, 43:] = False
    assert wrong[:, at].mean() == pytest.approx(0.4, abs=0.05)
    assert wrong[:, ~at].mean() == pytest.approx(0.05, abs=0.01)
    # Images and seeds differ in which.
    assert (wrong[0] != wrong[1][:, ::-1]).any()
    assert (wrong[0] != wrong[1]).any()
    other = noisy(0.05, 0.4, seed=1).ask(queries).patches[:, 0, 0] != true
    assert (other.reshape(2, 60, 80) != wrong).any()


@pytest.mark.parametrize("threads", [1, 3])
def test_who_is_asked_again_answers_the_same(threads):
    oracle = NoisyOracle(SCENE, CLASSES, noise=0.3, at_boundaries=0.6, seed=5, threads=threads)
    found = oracle.ask(asked(SCENE, EVERYWHERE[::3], 0))
    # In another order, round or process, and of some only.
    some = EVERYWHERE[::6][::-1]
    again = NoisyOracle(SCENE, CLASSES, noise=0.3, at_boundaries=0.6, seed=5).ask(
        asked(SCENE, some, 0)
    )
    np.testing.assert_array_equal(found.patches[::2], again.patches[::-1])
    # What was drawn once is drawn for good: runs go on with it.
    digits = "".join(str(min(x, 9)) for x in found.patches[40:60, 0, 0].tolist())
    assert digits == DRAWN


# 9: void.
DRAWN = "93333393333333020000"


def test_numbers_are_those_of_splitmix64():
    found = _mixed(np.array([0, 0x9E3779B97F4A7C15], np.uint64))
    # The first two of the published generator with the seed 0.
    assert [hex(x) for x in found.tolist()] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4"]


def test_in_a_region_the_centre_s_class_is_mistaken():
    pool = Pool(a=[[0, 0, 3, 3]] * 4)
    oracle = NoisyOracle(pool, 4, noise=1.0, at_boundaries=1.0)
    found = oracle.ask(asked(pool, [("a", 0, 1), ("a", 3, 3)], 1))
    assert found.patches.tolist() == [
        [[254, 254, 254], [3, 3, 3], [3, 3, 3]],
        [[0, 0, 254], [0, 0, 254], [254, 254, 254]],
    ]
