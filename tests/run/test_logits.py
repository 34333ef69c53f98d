import contextlib

import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.run.logits import Logits

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


def test_batches_without_a_record_that_is_wanted_are_left_out():
    source = Source()
    logits = logits_of(source, 0)
    assert [chunk for chunk, _ in logits.batches((4, 6), frozenset([5, 4]))] == [(3, 5)]
    assert [chunk for chunk, _ in logits.batches((2, 2), frozenset([5, 4]))] == [(1, 4)]
    assert source.read == [((4, 6), [3, 5]), ((2, 2), [1, 4])]
    assert [*logits.batches((2, 2), frozenset([5]))] == []
