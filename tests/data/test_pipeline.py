import contextlib

import numpy as np
import pytest

from cbda_jax.data import pipeline
from cbda_jax.data.sampling import DrawOrder


class Numbers:
    """Records whose pixels are their number."""

    ids = tuple("abcdefg")

    def __len__(self):
        return len(self.ids)

    def image(self, index):
        return np.stack(3 * [self.label(index) + np.arange(4, dtype=np.uint8)], axis=-1)

    def label(self, index):
        return np.full((2, 4), 10 * index, np.uint8)


def batches(**options):
    order = DrawOrder.shuffled(7, seed=3)
    streams = {
        "source": pipeline.Stream(Numbers(), order, 4, flip=True),
        "target": pipeline.Stream(
            Numbers(), order, 2, label=lambda i: np.full((2, 4), i, np.uint8)
        ),
    }
    iterator = pipeline.training_batches(
        streams, **{"first": 0, "last": 6, "seed": 1, "threads": 2, **options}
    )
    with contextlib.closing(iterator):
        return list(iterator)


def test_a_batch_is_a_function_of_its_number():
    whole = batches()
    assert len(whole) == 6
    assert whole[0]["source_image"].shape == (4, 2, 4, 3)
    for step, batch in enumerate(batches(first=4), start=4):
        for name, array in batch.items():
            np.testing.assert_array_equal(array, whole[step][name])
    order = DrawOrder.shuffled(7, seed=3)
    for step, batch in enumerate(whole):
        drawn = [order[4 * step + i] for i in range(4)]
        np.testing.assert_array_equal(batch["source_label"][:, 0, 0], np.multiply(drawn, 10))
        drawn = [order[2 * step + i] for i in range(2)]
        np.testing.assert_array_equal(batch["target_label"][:, 0, 0], drawn)
    # Some were mirrored, and no target was.
    rises = {np.diff(b["source_image"][i, 0, :, 0].astype(int))[0] for b in whole for i in range(4)}
    assert rises == {1, -1}
    assert all((np.diff(b["target_image"][:, 0, :, 0].astype(int)) == 1).all() for b in whole)


def test_hosts_share_a_batch():
    shares = [batches(host=(host, 2)) for host in range(2)]
    for whole, *parts in zip(batches(), *shares, strict=True):
        for name, array in whole.items():
            joined = np.concatenate([part[name] for part in parts])
            np.testing.assert_array_equal(joined, array)


@pytest.mark.parametrize("hosts", [1, 2])
def test_every_record_once_and_padding_at_the_end(hosts):
    found = []
    for host in range(hosts):
        iterator = pipeline.record_batches(
            lambda i: {"label": Numbers().label(i)}, range(7), batch=4, host=(host, hosts)
        )
        with contextlib.closing(iterator):
            found.append(list(iterator))
    index = [
        np.concatenate([part["index"] for part in parts]) for parts in zip(*found, strict=True)
    ]
    assert [i.tolist() for i in index] == [[0, 1, 2, 3], [4, 5, 6, -1]]
    labels = np.concatenate([part["label"] for parts in zip(*found, strict=True) for part in parts])
    assert labels[:, 0, 0].tolist() == [0, 10, 20, 30, 40, 50, 60, 0]


def test_records_are_grouped_by_size_the_largest_first():
    sizes = np.array([[2, 3], [4, 3], [3, 2], [4, 3], [2, 3]], np.int32)
    assert pipeline.by_size(sizes) == [((4, 3), [1, 3]), ((2, 3), [0, 4]), ((3, 2), [2])]
    assert pipeline.by_size(sizes, [3, 0]) == [((4, 3), [3]), ((2, 3), [0])]
    assert pipeline.by_size(sizes, []) == []
    assert pipeline.by_size(sizes[[0, 4, 0]]) == [((2, 3), [0, 1, 2])]


def test_labels_are_resized_and_kept():
    asked = []

    def native(index):
        asked.append(index)
        return np.arange(32, dtype=np.uint8).reshape(4, 8)

    cache = pipeline.LabelCache(native, (2, 4))
    first = cache(5)
    np.testing.assert_array_equal(cache(5), first)
    assert asked == [5]
    assert first.shape == (2, 4)
    assert set(first.ravel().tolist()) <= set(range(32))


def test_prefetch_keeps_the_order_and_closes():
    class Batches:
        closed = False

        def __init__(self):
            self._left = iter(range(5))

        def __next__(self):
            return next(self._left)

        def close(self):
            self.closed = True

    batches, placed = Batches(), []
    with pipeline.Prefetch(batches, lambda b: placed.append(b) or b, depth=2) as prefetch:
        assert next(prefetch) == 0
        assert placed == [0, 1]
        assert list(prefetch) == [1, 2, 3, 4]
        assert prefetch.waited >= 0
    assert batches.closed
