"""Input pipelines: which images each step sees, decoded ahead of time.

A batch is a pure function of its number, so the data position of a run is its step and resuming
needs no iterator state. Every host loads its own share of each global batch.
"""

import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import grain
import numpy as np
from jaxtyping import Int32, UInt8

from cbda_jax.data import images
from cbda_jax.data.sampling import DrawOrder


@runtime_checkable
class ImageRecords(Protocol):
    """Random access to a data set; see `cbda_jax.data.records.Records`."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Image ids, in the order of the records."""
        ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """RGB at training size."""
        ...

    def label(self, index: int) -> UInt8[np.ndarray, "height width"]:
        """Train ids; of a source at training size, of a target at native size."""
        ...


@runtime_checkable
class SizedRecords(ImageRecords, Protocol):
    """Records that know the sizes of their labels without reading them."""

    @property
    def sizes(self) -> Int32[np.ndarray, "images 2"]:
        """(height, width) of every label."""
        ...


class Stream(NamedTuple):
    """One domain's endless sequence of training examples.

    Attributes:
        records: where images come from.
        order: `order[i]` is the record of draw i = 0, 1, 2, ... (`sampling.DrawOrder`).
        batch: images of a global batch.
        label: label at training size of a record; by default `records.label`.
        flip: mirror half of the draws.
    """

    records: ImageRecords
    order: DrawOrder
    batch: int
    label: Callable[[int], UInt8[np.ndarray, "height width"]] | None = None
    flip: bool = False


class _Steps:
    """Grain source whose element i is this host's share of the batch of step `first + i`."""

    def __init__(
        self, streams: dict[str, Stream], first: int, last: int, seed: int, host: tuple[int, int]
    ):
        self._streams = streams
        self._first = first
        self._length = last - first
        self._seed = seed
        self._host = host

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index) -> dict[str, np.ndarray]:
        arrays = {}
        for number, (name, stream) in enumerate(self._streams.items()):
            host, hosts = self._host
            share = stream.batch // hosts
            first = (self._first + int(index)) * stream.batch + host * share
            pairs = [self._example(stream, number, first + i) for i in range(share)]
            arrays[f"{name}_image"] = np.stack([image for image, _ in pairs])
            arrays[f"{name}_label"] = np.stack([label for _, label in pairs])
        return arrays

    def _example(self, stream: Stream, number: int, draw: int) -> tuple[np.ndarray, np.ndarray]:
        record = stream.order[draw]
        image = stream.records.image(record)
        label = (stream.label or stream.records.label)(record)
        if stream.flip and np.random.default_rng((self._seed, number, draw)).random() < 0.5:
            return image[:, ::-1], label[:, ::-1]
        return image, label


def training_batches(
    streams: dict[str, Stream],
    *,
    first: int,
    last: int,
    seed: int,
    host: tuple[int, int] = (0, 1),
    threads: int = 4,
    prefetch: int = 8,
) -> grain.DatasetIterator:
    """Batches of the steps `first`, ..., `last - 1`, loaded ahead by threads.

    Args:
        streams: by name; batch keys are `{name}_image` and `{name}_label`.
        first: number of the first step.
        last: number of the step after the last.
        seed: of the augmentation.
        host: (index, count) of the processes that share the global batch.
        threads: decoding threads.
        prefetch: how many batches may wait.

    Returns:
        A closable iterator of dicts of uint8 arrays [batch / hosts, ...].
    """
    return _read_ahead(_Steps(streams, first, last, seed, host), threads, prefetch)


class _Chunks:
    """Grain source of record batches in order, the last filled up with index -1."""

    def __init__(
        self,
        load: Callable[[int], dict[str, np.ndarray]],
        indices: Sequence[int],
        batch: int,
        host: tuple[int, int],
    ):
        self._load = load
        self._indices = list(indices)
        self._batch = batch
        self._host = host

    def __len__(self) -> int:
        return -(-len(self._indices) // self._batch)

    def __getitem__(self, index) -> dict[str, np.ndarray]:
        host, hosts = self._host
        share = self._batch // hosts
        first = int(index) * self._batch + host * share
        chosen = self._indices[first : first + share]
        # Padding repeats a record, to have an image of the right size at no cost in code.
        items = [self._load(i) for i in chosen + [self._indices[0]] * (share - len(chosen))]
        batch = {key: np.stack([item[key] for item in items]) for key in items[0]}
        batch["index"] = np.array(chosen + [-1] * (share - len(chosen)), np.int32)
        return batch


def by_size(
    sizes: Int32[np.ndarray, "images 2"], indices: Sequence[int] | None = None
) -> list[tuple[tuple[int, int], list[int]]]:
    """Records grouped by the size of their labels, as arrays of one shape can be a batch.

    Args:
        sizes: (height, width) of every label.
        indices: the records wanted; None: all.

    Returns:
        `((height, width), indices)` of every size that there is, the largest first; indices in
        their order.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for index in range(len(sizes)) if indices is None else indices:
        height, width = sizes[index].tolist()
        groups.setdefault((height, width), []).append(index)
    return sorted(groups.items(), key=lambda group: (-math.prod(group[0]), group[0]))


def record_batches(
    load: Callable[[int], dict[str, np.ndarray]],
    indices: Sequence[int],
    *,
    batch: int,
    host: tuple[int, int] = (0, 1),
    threads: int = 4,
    prefetch: int = 2,
) -> grain.DatasetIterator:
    """Every record once, in order, for evaluation and acquisition.

    Args:
        load: a record's arrays by index, all of one shape.
        indices: the records wanted (at least one).
        batch: images of a global batch.
        host: as in `training_batches`.
        threads: decoding threads.
        prefetch: how many batches may wait.

    Returns:
        A closable iterator of dicts of stacked arrays, with `index` int32, -1 on padding. Every
        host sees the same number of batches.
    """
    return _read_ahead(_Chunks(load, indices, batch, host), threads, prefetch)


def _read_ahead(source: Any, threads: int, prefetch: int) -> grain.DatasetIterator:
    # Fewer waiting batches than threads would idle some of them.
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(prefetch, threads))
    return iter(grain.MapDataset.source(source).to_iter_dataset(options))


class LabelCache:
    """Target labels at training size, made when first needed and kept compressed.

    An active label is 255 almost everywhere, so it takes kilobytes where the native label that it
    is cut from takes tens of milliseconds to decode.

    Args:
        native: label of a record at native size.
        size: (height, width) of training.
    """

    def __init__(self, native: Callable[[int], np.ndarray], size: tuple[int, int]):
        self._native = native
        self._size = size
        self._kept: dict[int, bytes] = {}

    def __call__(self, index: int) -> UInt8[np.ndarray, "height width"]:
        """The label of a record; nearest-neighbour resized, as the recipe does."""
        if index not in self._kept:
            label = images.resize_label(self._native(index), self._size)
            self._kept[index] = zlib.compress(label.tobytes(), 1)
        flat = np.frombuffer(zlib.decompress(self._kept[index]), np.uint8)
        return flat.reshape(self._size)


class Prefetch:
    """Keeps a few batches on their way to the devices, and measures the time spent waiting.

    Args:
        batches: an iterator with `close()`.
        place: puts a batch on the devices without waiting for it.
        depth: how many batches are ahead.
    """

    def __init__(self, batches: Any, place: Callable[[Any], Any], depth: int = 2):
        self._batches = batches
        self._place = place
        self._depth = depth
        self._queue: list[Any] = []
        self.waited = 0.0
        """Seconds in which the caller waited for the host to load."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        start = time.perf_counter()
        while len(self._queue) < self._depth:
            try:
                self._queue.append(self._place(next(self._batches)))
            except StopIteration:
                break
        self.waited += time.perf_counter() - start
        if not self._queue:
            raise StopIteration
        return self._queue.pop(0)

    def close(self) -> None:
        """Ends the loading threads."""
        self._queue.clear()
        self._batches.close()

    def __enter__(self) -> "Prefetch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
