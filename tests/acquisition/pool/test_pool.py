"""The pool against sorting the union of all images' candidates."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sequential
import union
from jax.sharding import AxisType

from cbda_jax.acquisition import Picks, Pool, blocked_mask, greedy_picks
from cbda_jax.errors import InputError

CAPACITY = 6
COUNTS = np.array([40, 3, 0, 9])
MODES = {"global": None, "quota": COUNTS}


def mesh(devices):
    return jax.make_mesh(
        (devices,), ("data",), devices=jax.devices()[:devices], axis_types=(AxisType.Auto,)
    )


@pytest.mark.parametrize("counts", MODES.values(), ids=MODES)
@pytest.mark.parametrize("budget", [5, 60])
@pytest.mark.parametrize(("devices", "batch"), [(1, 1), (1, 4), (8, 8)])
def test_any_order_batch_and_devices(counts, budget, devices, batch):
    rng = np.random.default_rng(budget)
    for images, levels in ((29, 1), (29, 3), (29, 100), (2, 5), (7, 30)):
        data = union.candidates(rng, images, CAPACITY, levels=levels, classes=4)
        expected = union.best(*data, budget, counts)
        for order in (np.arange(images), rng.permutation(images)):
            pool = Pool(budget, counts=counts, mesh=mesh(devices))
            thresholds = []
            for start in range(0, images, 8):
                union.feed(pool, *data, order[start : start + 8], batch)
                thresholds.append(float(pool.threshold))
            assert union.chosen(pool) == expected
            assert thresholds == sorted(thresholds)
            if counts is None and expected:
                lowest = min(data[0][i, k] for i, k in expected)
                assert max(thresholds) <= lowest


def test_report_tells_what_was_left_over():
    score = np.array([[3, 2, 1], [9, -np.inf, -np.inf]], np.float32)
    data = score, np.array([3, 1], np.int32), np.array([[0, 0, 1], [2, 0, 0]], np.uint8)
    pool = Pool(7, counts=np.array([5, 0, 0, 0]))
    union.feed(pool, *data, np.arange(2), 2)
    selection, report = pool.finish(accept_truncated=True)
    assert (report.budget, report.taken) == (7, 4)
    assert report.offered.tolist() == report.quota.tolist() == [2, 1, 1, 0]
    assert selection.score.tolist() == [3, 2, 1, 9]
    assert selection.predicted.tolist() == [0, 0, 1, 2]
    assert selection.image.dtype == selection.row.dtype == np.int32
    assert selection.score.dtype == np.float32
    assert selection.predicted.dtype == np.uint8


@pytest.mark.parametrize(("devices", "batch"), [(1, 4), (8, 8)])
def test_quota_over_other_classes_keeps_what_was_predicted(devices, batch):
    group_of = np.array([1, 0, 0, 3], np.uint8)
    data = union.candidates(np.random.default_rng(2), 29, CAPACITY, levels=3, classes=4)
    expected = union.best(*data, 40, COUNTS, group_of)
    assert expected != union.best(*data, 40, COUNTS)
    pool = Pool(40, counts=COUNTS, group_of=group_of, mesh=mesh(devices))
    for start in (0, 16):
        union.feed(pool, *data, np.arange(start, min(start + 16, 29)), batch)
    assert union.chosen(pool) == expected
    selection, report = pool.finish(accept_truncated=True)
    predicted = data[2][selection.image, selection.col]
    np.testing.assert_array_equal(selection.predicted, predicted)
    np.testing.assert_array_equal(report.quota, np.bincount(group_of[predicted], minlength=4))


def rounds_of_selection(scores, predicted, budget, counts, capacity, group_of=None, tell=False):
    """Select in every image with a small capacity, and again where that was not enough.

    tell: the pool, which classes are left.
    """
    pool = Pool(budget, counts=counts, group_of=group_of)
    select = jax.jit(greedy_picks, static_argnames=("radius", "capacity"))

    def add(image, capacity, start):
        picks = select(
            jnp.asarray(scores[image]), capacity, radius=1, capacity=capacity, floor=pool.threshold
        )
        at = predicted[image][np.asarray(picks.row), np.asarray(picks.col)]
        left = None
        if tell:
            free = ~np.asarray(blocked_mask(picks.row, picks.col, scores[image].shape, 1))
            left = np.isin(np.arange(4), predicted[image][free])[None]
        picks = jax.tree.map(lambda x: np.asarray(x)[None], picks)
        pool.add(np.array([image]), Picks(*picks), at[None], start=start, left=left)

    for image in range(len(scores)):
        add(image, capacity, 0)
    again = 0
    while (images := pool.truncated()).size:
        assert images.dtype == np.int32
        again += len(images)
        start, capacity = capacity, 4 * capacity
        for image in images:
            add(image, capacity, start)
    return pool.finish()[0], again


@pytest.mark.parametrize("counts", MODES.values(), ids=MODES)
def test_truncated_images_are_found_and_mended(counts):
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 50, (6, 14, 18)).astype(np.float32)
    scores[2] += 30  # one image holds most of the best
    predicted = rng.choice(4, scores.shape, p=[0.6, 0.3, 0.1, 0]).astype(np.uint8)
    # So few that one image has more, and so many that they are enough the second time: each
    # capacity is a program of its own.
    selection, again = rounds_of_selection(scores, predicted, 45, counts, 10)
    assert again > 0
    assert cells(selection) == by_definition(scores, predicted, 45, counts)


def cells(selection):
    found = (selection.image, selection.row * 100 + selection.col)
    return sorted(zip(*(x.tolist() for x in found), strict=True))


def by_definition(scores, predicted, budget, counts, group_of=None):
    """What is chosen of all sequences as far as they go."""
    full = [sequential.greedy(score, 99, 1)[0] for score in scores]
    shape = len(scores), max(map(len, full))
    score, cell, at = (np.zeros(shape, t) for t in (np.float32, np.int32, np.uint8))
    for i, picks in enumerate(full):
        for k, (row, col, value) in enumerate(picks):
            score[i, k], cell[i, k], at[i, k] = value, row * 100 + col, predicted[i, row, col]
    count = np.array([len(picks) for picks in full])
    return sorted(
        (i, cell[i, k].item()) for i, k in union.best(score, count, at, budget, counts, group_of)
    )


@pytest.mark.parametrize("group_of", [None, np.array([1, 1, 3, 3], np.uint8)])
def test_a_class_that_no_image_offers_at_first_gets_its_quota(group_of):
    rng = np.random.default_rng(4)
    scores = rng.integers(20, 50, (6, 14, 18)).astype(np.float32)
    predicted = rng.choice(2, scores.shape).astype(np.uint8)
    # The last class is in one image, where there is least to ask for.
    predicted[4, 5:9, 5:9] = 3
    scores[4, 5:9, 5:9] -= 20
    counts = np.array([40, 35, 30, 0])
    expected = by_definition(scores, predicted, 45, counts, group_of)
    asked_again = {}
    for tell in (False, True):
        selection, asked_again[tell] = rounds_of_selection(
            scores, predicted, 45, counts, 10, group_of, tell
        )
        assert (selection.predicted == 3).sum() > 1
        assert cells(selection) == expected
    # Class 2 is in none: who does not know that, asks for it everywhere.
    assert 0 < asked_again[True] < asked_again[False]


def test_truncation_is_never_silent():
    score = np.arange(12, dtype=np.float32)[::-1].reshape(1, 12).repeat(3, axis=0)
    data = score, np.array([12, 12, 4], np.int32), np.zeros((3, 12), np.uint8)
    pool = Pool(36)
    union.feed(pool, *data, np.arange(3), 1)
    assert pool.truncated().tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"2 images \(first: 0\)"):
        pool.finish()
    assert len(pool.finish(accept_truncated=True)[0].image) == 28
    enough = Pool(8)
    union.feed(enough, *data, np.arange(3), 1)
    assert enough.truncated().size == 0
    assert len(enough.finish()[0].image) == 8


def test_per_image_takes_everything_it_is_given():
    data = union.candidates(np.random.default_rng(0), 10, CAPACITY, levels=4, classes=4)
    pool = Pool(60, per_image=True)
    union.feed(pool, *data, np.arange(10), 4)
    selection, report = pool.finish()
    assert np.bincount(selection.image, minlength=10).tolist() == data[1].tolist()
    assert report.taken == data[1].sum() < 60
    small = Pool(5, per_image=True)
    union.feed(small, *data, np.arange(10), 4)
    with pytest.raises(ValueError, match="budget of 5 picks"):
        small.finish()


def test_wrong_use():
    with pytest.raises(InputError, match="budget of 0 picks"):
        Pool(0)
    with pytest.raises(InputError, match="per image"):
        Pool(5, counts=COUNTS, per_image=True)
    with pytest.raises(ValueError, match="without candidates"):
        Pool(5).finish()
    with pytest.raises(ValueError, match="group_of"):
        Pool(5, group_of=np.zeros(4, np.uint8))
    pool = Pool(5)
    data = np.full((2, CAPACITY), -np.inf, np.float32), np.array([0, -1]), np.zeros((2, CAPACITY))
    union.feed(pool, *data, np.array([4 - 4, 1]), 2)
    with pytest.raises(InputError, match="image 1 of the pool: found NaN"):
        pool.finish()


def test_memory_follows_the_budget_not_the_images():
    data = union.candidates(np.random.default_rng(0), 200, CAPACITY, levels=99, classes=4)
    pool = Pool(60)
    sizes = set()
    for start in range(0, 200, 20):
        union.feed(pool, *data, np.arange(start, start + 20), 4)
        sizes.add(sum(x.nbytes for x in jax.tree.leaves(pool._buffer)))
    assert pool.slots == 60 + 1 + 60 + 4 * CAPACITY
    assert sizes == {21 * pool.slots + 12}


def test_devices_exchange_histograms_only():
    """Every collective of the agreement and the final choice is a sum of at most 256 counts."""
    pool = Pool(60, mesh=mesh(8))
    data = union.candidates(np.random.default_rng(0), 8, CAPACITY, levels=9, classes=4)
    union.feed(pool, *data, np.arange(8), 8)
    steps = pool._steps
    moved = re.compile(
        r"= (.*) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(-start)?\("
    )
    for lowered in (
        steps.agree.lower(pool._buffer, pool._thresholds, *pool._limits),
        steps.best.lower(pool._buffer, pool._thresholds),
        steps.totals.lower(pool._buffer),
    ):
        found = moved.findall(lowered.compile().as_text())
        assert found
        for shapes, kind, _ in found:
            assert kind == "all-reduce"
            sizes = re.findall(r"[su]32\[(\d*)\]", shapes)
            assert sizes
            assert sum(4 * int(size or 1) for size in sizes) <= 4 * 256
    append = steps.append.lower(
        pool._buffer,
        np.zeros(8, np.int32),
        Picks(
            *(np.zeros((8, 6), t) for t in (np.int32, np.int32, np.float32)), np.zeros(8, np.int32)
        ),
        np.zeros((8, 6), np.uint8),
        np.int32(0),
        pool._thresholds,
    )
    assert not moved.findall(append.compile().as_text())
