import concurrent.futures
import math
import pickle

import numpy as np
import pytest

from cbda_jax.data.sampling import (
    DrawOrder,
    class_uniform_order,
    rare_class_order,
    rare_class_probabilities,
    shuffled_order,
)
from cbda_jax.errors import InputError


def long_tail(n=200, classes=7):
    """A few classes everywhere, some in few images, the last in none."""
    rng = np.random.default_rng(0)
    held = rng.random((n, classes)) < np.geomspace(1, 0.02, classes)[None, :]
    pixels = rng.integers(1, 1000, (n, classes)) * np.geomspace(100, 1, classes)[None, :]
    counts = np.where(held, pixels, 0).astype(np.int64)
    counts[:, -1] = 0
    return counts


def test_probabilities_are_the_formulas():
    # After a first image, p is known; over many epochs the second draw shows the weights.
    counts = np.array([[900, 100, 0], [0, 0, 500]], np.int64)
    seconds = []
    for epoch in range(20_000):
        first, second = class_uniform_order(counts, 2, seed=0, epoch=epoch)
        if first == 0:
            seconds.append(second)
    weights = [1 / math.log(1.01 + p) for p in (0.9, 0.1, 0.0)]
    expected = weights[2] / sum(weights)
    # Of all epochs two thirds begin with the image of two classes: uniform over three classes.
    assert abs(len(seconds) / 20_000 - 2 / 3) < 0.015
    assert abs(np.mean(seconds) - expected) < 0.015


def test_images_of_a_class_are_equally_likely():
    counts = np.zeros((4, 3), np.int64)
    counts[:3, 1] = 1, 10, 100
    order = class_uniform_order(counts, 30_000, seed=1, epoch=0)
    np.testing.assert_allclose(
        np.bincount(order, minlength=4) / 30_000, [1 / 3] * 3 + [0], atol=0.015
    )


def test_rare_classes_are_drawn_more_often_than_uniformly():
    counts = long_tail()
    order = class_uniform_order(counts, 4000, seed=0, epoch=0)
    rare = counts[:, 5] > 0
    assert 0 < rare.mean() < 0.06
    assert rare[order].mean() > 3 * rare.mean()


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_rare_class_probabilities_are_the_formulas(temperature):
    counts = np.array([[600, 0, 300, 0], [250, 40, 0, 0], [100, 5, 5, 0]], np.int64)
    weights = [math.exp((1 - n / 1300) / temperature) for n in (950, 45, 305)]
    found = rare_class_probabilities(counts, temperature)
    np.testing.assert_allclose(found, [w / sum(weights) for w in weights] + [0], rtol=1e-9)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_rare_class_draws_are_as_frequent_as_the_formula_says(temperature):
    # Image i shows class i and nothing else, but the last, which shows too little of class 2.
    counts = np.array([[700, 0, 0], [0, 200, 0], [0, 0, 90], [0, 0, 10]], np.int64)
    order = rare_class_order(
        counts, 40_000, seed=0, epoch=0, temperature=temperature, min_pixels=50
    )
    weights = np.array([math.exp((1 - n / 1000) / temperature) for n in (700, 200, 100)])
    expected = [*(weights / weights.sum()), 0]
    np.testing.assert_allclose(np.bincount(order, minlength=4) / 40_000, expected, atol=0.01)


def test_images_with_enough_pixels_of_a_class_are_drawn():
    counts = np.array([[10, 20], [40, 0], [50, 0], [0, 0]], np.int64)

    def shares(min_pixels):
        order = rare_class_order(
            counts, 30_000, seed=1, epoch=0, temperature=np.inf, min_pixels=min_pixels
        )
        return np.bincount(order, minlength=4) / 30_000

    # Class 1 is in the first image alone, which too many pixels asked for do not rule out.
    np.testing.assert_allclose(shares(1), [2 / 3, 1 / 6, 1 / 6, 0], atol=0.01)
    np.testing.assert_allclose(shares(40), [1 / 2, 1 / 4, 1 / 4, 0], atol=0.01)
    np.testing.assert_allclose(shares(41), [1 / 2, 0, 1 / 2, 0], atol=0.01)
    np.testing.assert_allclose(shares(51), [2 / 3, 1 / 6, 1 / 6, 0], atol=0.01)


def test_no_temperature_overflows():
    counts = np.array([[10**12, 1, 0], [10**12, 2, 0]], np.int64)
    for temperature in (5e-324, 1e-9):
        np.testing.assert_array_equal(rare_class_probabilities(counts, temperature), [0, 1, 0])
    np.testing.assert_array_equal(rare_class_probabilities(counts, np.inf), [0.5, 0.5, 0])
    alike = np.ones((2, 4), np.int64)
    np.testing.assert_array_equal(rare_class_probabilities(alike, 5e-324), [0.25] * 4)


def test_orders_are_functions_of_seed_and_epoch():
    counts = long_tail()
    for order in (
        lambda seed, epoch: class_uniform_order(counts, 200, seed=seed, epoch=epoch),
        lambda seed, epoch: rare_class_order(counts, 200, seed=seed, epoch=epoch),
        lambda seed, epoch: shuffled_order(200, 200, seed=seed, epoch=epoch),
    ):
        first = order(3, 5)
        assert first.dtype == np.int32
        np.testing.assert_array_equal(first, order(3, 5))
        for other in (order(3, 6), order(4, 5), order(5, 3)):
            assert (first == other).mean() < 0.2


@pytest.mark.parametrize("order", [class_uniform_order, rare_class_order])
def test_a_longer_epoch_begins_like_a_shorter_one(order):
    counts = long_tail()
    np.testing.assert_array_equal(
        order(counts, 300, seed=0, epoch=0)[:50], order(counts, 50, seed=0, epoch=0)
    )


def test_shuffled_epochs_are_permutations():
    order = shuffled_order(7, 17, seed=0, epoch=0)
    for start in (0, 7):
        assert sorted(order[start : start + 7]) == list(range(7))
    assert len(set(order[14:])) == 3
    assert len(shuffled_order(7, 0, seed=0, epoch=0)) == 0


@pytest.mark.parametrize("kind", ["class_uniform", "rare_class", "shuffled"])
def test_draw_order_goes_through_the_epochs(kind):
    counts = long_tail(20)
    if kind == "class_uniform":
        order = DrawOrder.class_uniform(counts, seed=2)
        epochs = [class_uniform_order(counts, 20, seed=2, epoch=e) for e in range(6)]
    elif kind == "rare_class":
        order = DrawOrder.rare_class(counts, seed=2, temperature=0.1, min_pixels=500)
        epochs = [
            rare_class_order(counts, 20, seed=2, epoch=e, temperature=0.1, min_pixels=500)
            for e in range(6)
        ]
    else:
        order = DrawOrder.shuffled(20, seed=2)
        epochs = [shuffled_order(20, 20, seed=2, epoch=e) for e in range(6)]
    expected = np.concatenate(epochs)
    draws = np.random.default_rng(0).permutation(120).tolist()
    for draw in draws:
        assert order[draw] == expected[draw]
    copy = pickle.loads(pickle.dumps(order))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(copy.__getitem__, draws))
    np.testing.assert_array_equal(found, expected[draws])
    with pytest.raises(IndexError, match="draw -1"):
        order[-1]


def test_an_epoch_is_computed_once():
    computed = []
    order = DrawOrder(lambda epoch: computed.append(epoch) or np.arange(10, dtype=np.int32), 10)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(order.__getitem__, range(30)))
    assert sorted(computed) == [0, 1, 2]


def test_nothing_to_draw():
    with pytest.raises(InputError, match="labels: no labelled pixel in 3 images found"):
        class_uniform_order(np.zeros((3, 19), np.int64), 3, seed=0, epoch=0)
    with pytest.raises(InputError, match="labels: no labelled pixel in 3 images found"):
        rare_class_order(np.zeros((3, 19), np.int64), 3, seed=0, epoch=0)
    with pytest.raises(InputError, match="records: none found, expected at least one to draw"):
        shuffled_order(0, 1, seed=0, epoch=0)


@pytest.mark.parametrize("temperature", [0.0, -0.01, math.nan])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(InputError, match=f"sampling: {temperature} found, expected a number above"):
        DrawOrder.rare_class(long_tail(), seed=0, temperature=temperature)[0]


def test_min_pixels_must_be_positive():
    with pytest.raises(InputError, match="min_pixels of rare-class sampling: 0 found"):
        DrawOrder.rare_class(long_tail(), seed=0, min_pixels=0)[0]
