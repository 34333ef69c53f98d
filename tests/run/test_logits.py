import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax import sharding
from cbda_jax.run.logits import Answered, Logits, _on_grid

SIZES = np.array([(4, 6), (2, 2), (4, 6), (4, 6), (2, 2), (4, 6), (4, 6)], np.int32)
LARGE = (0, 2, 3, 5, 6)


class Source:
    """Images of one number, their record's; notes what is read."""

    def __init__(self):
        self.read = []

    def __call__(self, native, indices):
        self.read.append((native, list(indices)))
        chunks = [indices[i : i + 2] for i in range(0, len(indices), 2)]
        return contextlib.nullcontext((jnp.array([float(i) for i in c]),) for c in chunks)


def logits_of(source, most_bytes):
    compute = jnp.negative
    return Logits(compute, source, SIZES, batch=2, devices=1, most_bytes=most_bytes)


@pytest.mark.parametrize(("most_bytes", "again"), [(1000, []), (16, [6]), (0, list(LARGE))])
def test_they_are_the_same_whether_they_are_kept_or_not(most_bytes, again):
    source = Source()
    logits = logits_of(source, most_bytes)
    for reads in ([((4, 6), list(LARGE))], [((4, 6), again)] if again else []):
        source.read.clear()
        found = dict(logits.batches((4, 6), frozenset(LARGE)))
        assert source.read == reads
        assert {chunk: x.tolist() for chunk, x in found.items()} == {
            (0, 2): [0, -2],
            (3, 5): [-3, -5],
            (6,): [-6],
        }


CLASSES = 3


def images_of(devices):
    """Logits of random numbers, over devices."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(len(SIZES), 3, 4, CLASSES)).astype(np.float32)
    mesh = sharding.make_mesh(jax.devices()[:devices])

    def read(native, indices):
        chunks = [indices[i : i + 4] for i in range(0, len(indices), 4)]
        padded = [[*chunk, *[indices[0]] * (4 - len(chunk))] for chunk in chunks]
        return contextlib.nullcontext((sharding.shard_batch(mesh, pixels[c]),) for c in padded)

    logits = Logits(lambda x: x, read, SIZES, batch=4, devices=devices, most_bytes=200)
    return pixels, logits


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_a_sample_is_the_softmax_on_a_grid_of_every_image(devices):
    pixels, logits = images_of(devices)
    powers = np.exp(pixels.astype(np.float64))
    softmax = powers / powers.sum(-1, keepdims=True)
    whole = logits.sample(10**6)
    np.testing.assert_allclose(whole, softmax.reshape(-1, CLASSES), rtol=1e-6)
    # At least 16 of each, which are all that there are here; of more, every other row and column.
    np.testing.assert_array_equal(logits.sample(1), whole)
    some = _on_grid(jnp.asarray(pixels), each=3)
    np.testing.assert_allclose(some, softmax[:, 1::2, 1::2].reshape(7, 2, CLASSES), rtol=1e-6)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_sums_are_of_the_nearest_pixels_by_answer(devices):
    pixels, logits = images_of(devices)
    rng = np.random.default_rng(1)
    powers = np.exp(pixels.astype(np.float64))
    softmax = np.round(powers / powers.sum(-1, keepdims=True) * 2**14) / 2**14
    places, expected = {}, np.zeros((CLASSES, CLASSES))
    for index, count in ((0, 7), (1, 2), (3, 1), (6, 4)):
        height, width = SIZES[index].tolist()
        row = rng.integers(0, height, count).astype(np.int32)
        col = rng.integers(0, width, count).astype(np.int32)
        answer = rng.integers(0, CLASSES, count).astype(np.uint8)
        places[index] = Answered(row, col, answer)
        for r, c, t in zip(row, col, answer, strict=True):
            at = int(np.floor(r * 2 / (height - 1) + 0.5)), int(np.floor(c * 3 / (width - 1) + 0.5))
            expected[t] += softmax[(index, *at)]
    found = logits.sums(places, CLASSES)
    np.testing.assert_allclose(found, expected, atol=3e-4)
    np.testing.assert_array_equal(found, images_of(4 // devices)[1].sums(places, CLASSES))
    assert not logits.sums({}, CLASSES).any()


def test_batches_without_a_record_that_is_wanted_are_left_out():
    source = Source()
    logits = logits_of(source, 0)
    assert [chunk for chunk, _ in logits.batches((4, 6), frozenset([5, 4]))] == [(3, 5)]
    assert [chunk for chunk, _ in logits.batches((2, 2), frozenset([5, 4]))] == [(1, 4)]
    assert source.read == [((4, 6), [3, 5]), ((2, 2), [1, 4])]
    assert [*logits.batches((2, 2), frozenset([5]))] == []
