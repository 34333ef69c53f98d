"""Logits of the target images, for rounds that look at them several times by one network."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Float32, Float64, Int32, UInt8

from cbda_jax.data import pipeline

_FIXED = 2**14
"""Softmaxes are added up as multiples of 1 over this: integers have the same sum in any order."""

SAMPLED = 2**16
"""About how many pixels of all images together are looked at for class frequencies."""

MOST_BYTES = 2**31
"""Of each device, for logits that are kept; the others are computed again each time."""


class Answered(NamedTuple):
    """What was answered at some pixels of an image.

    Attributes:
        row, col: of its native label.
        answer: classes.
    """

    row: Int32[np.ndarray, " n"]
    col: Int32[np.ndarray, " n"]
    answer: UInt8[np.ndarray, " n"]


class Logits:
    """The logits of all target images by one state of the network, in batches that stay the same.

    They are computed by one program when they are first needed, and kept on the devices as far as
    there is room. What is not kept is computed again by the same program from the same batch, so
    that the room makes no difference to what is picked.

    Args:
        compute: images of a batch, on the devices, to their logits.
        read: of (height, width) and record indices of labels of this size, batches on their way to
            the devices: the images and, where they are looked at, the labels.
        sizes: int32 [n, 2], (height, width) of every record's native label.
        batch: images of a global batch.
        devices: that share a batch.
        most_bytes: of each device.
    """

    def __init__(
        self,
        compute: Callable[[jax.Array], jax.Array],
        read: Callable[[tuple[int, int], Sequence[int]], pipeline.Prefetch],
        sizes: Int32[np.ndarray, "images 2"],
        *,
        batch: int,
        devices: int,
        most_bytes: int = MOST_BYTES,
    ):
        self._compute = compute
        self._read = read
        self._chunks = {
            size: [tuple(indices[i : i + batch]) for i in range(0, len(indices), batch)]
            for size, indices in pipeline.by_size(sizes)
        }
        self._room = most_bytes * devices
        self._kept: dict[tuple[int, ...], tuple[jax.Array, ...]] = {}

    def batches(
        self, native: tuple[int, int], wanted: AbstractSet[int]
    ) -> Iterator[tuple[tuple[int, ...], *tuple[jax.Array, ...]]]:
        """The batches that hold some of the records wanted, all of one size of labels.

        Args:
            native: (height, width) of the labels.
            wanted: record indices.

        Yields:
            The records of a batch (the last one may have fewer), their logits on the devices and,
            if `read` reads them, their labels. In no particular order, which is the same in all
            processes.
        """
        missing = []
        for chunk in self._chunks[native]:
            if wanted.isdisjoint(chunk):
                continue
            if chunk in self._kept:
                yield chunk, *self._kept[chunk]
            else:
                missing.append(chunk)
        if not missing:
            return
        # Of all batches only the last is not full, so that each is read as it was cut.
        with self._read(native, [index for chunk in missing for index in chunk]) as placed:
            for chunk, (images, *labels) in zip(missing, placed, strict=True):
                found = (self._compute(images), *labels)
                # Of all devices together, so that all processes decide the same.
                size = sum(array.nbytes for array in found)
                if size <= self._room:
                    self._room -= size
                    self._kept[chunk] = found
                yield chunk, *found

    def sample(self, most: int = SAMPLED) -> Float32[np.ndarray, "pixels classes"]:
        """The softmax at pixels on an even grid of every image, at the resolution of the logits.

        The same in all processes, image after image in the order of the records.

        Args:
            most: about how many pixels of all images together; at least 16 of each.
        """
        count = sum(len(chunk) for chunks in self._chunks.values() for chunk in chunks)
        found: dict[int, np.ndarray] = {}
        for native, chunks in self._chunks.items():
            for chunk, logits, *_ in self.batches(native, frozenset().union(*chunks)):
                rows = _everywhere(_on_grid(logits, each=max(most // count, 16)))
                found.update(zip(chunk, rows, strict=False))
        return np.concatenate([found[index] for index in sorted(found)])

    def sums(
        self, places: Mapping[int, Answered], num_classes: int
    ) -> Float64[np.ndarray, "classes classes"]:
        """The softmax, added up over answered pixels, by their answer.

        Of the pixel of the logits that is nearest to each. The same in all processes, whatever the
        order: multiples of 2^-14.

        Args:
            places: by record; at most 2^17 of each.
            num_classes: C.

        Returns:
            `[C, C]`, by answer and class of the softmax.
        """
        total = np.zeros((num_classes, num_classes), np.int64)
        for native, chunks in self._chunks.items():
            wanted = frozenset(places) & frozenset().union(*chunks)
            longest = max((len(places[index].row) for index in wanted), default=0)
            for chunk, logits, *_ in self.batches(native, wanted):
                shape = (logits.shape[0], 1 << max(longest - 1, 0).bit_length())
                row, col, answer = np.full((3, *shape), -1, np.int32)
                for place, index in enumerate(chunk):
                    if index in places:
                        own = places[index]
                        columns = zip((row, col, answer), own, strict=True)
                        for array, values in columns:
                            array[place, : len(values)] = values
                row = nearest_pixel(row, native[0], logits.shape[1])
                col = nearest_pixel(col, native[1], logits.shape[2])
                placed = (_beside(logits, x) for x in (row, col, answer))
                total += _everywhere(_sums(logits, *placed)).astype(np.int64).sum(axis=0)
        return total / _FIXED


def _everywhere(array: jax.Array) -> np.ndarray:
    """An array that is spread over the devices, in every process."""
    if not array.is_fully_addressable:
        array = multihost_utils.process_allgather(array, tiled=True)
    return np.asarray(array)


def _beside(logits: jax.Array, array: np.ndarray) -> jax.Array:
    """The same array of all processes, spread as the logits of the batch are."""
    place = logits.sharding
    if isinstance(place, NamedSharding):
        place = NamedSharding(place.mesh, PartitionSpec(*place.spec[:1]))
    return jax.make_array_from_callback(array.shape, place, lambda own: array[own])


def over_mirror_images(
    model: Callable[[jax.Array], jax.Array], images: Float[Array, "batch h w 3"]
) -> Float[Array, "batch h2 w2 classes"]:
    """The logarithm of the mean softmax over images and their mirror images: logits, too.

    Args:
        model: normalised images to logits.
        images: normalised.
    """
    both = (model(images), model(images[:, :, ::-1])[:, :, ::-1])
    mean = sum(jax.nn.softmax(x.astype(np.float32)) for x in both) / 2
    return jnp.log(jnp.maximum(mean, np.finfo(np.float32).tiny))


def nearest_pixel(
    place: Int32[np.ndarray, "..."], long: int, short: int
) -> Int32[np.ndarray, "..."]:
    """The nearest of `short` pixels to those of `long`, corners aligned; -1 stays."""
    span = max(long - 1, 1)
    found = (2 * place.astype(np.int64) * (short - 1) + span) // (2 * span)
    return np.where(place < 0, -1, found).astype(np.int32)


@jax.jit
def _sums(
    logits: Float[Array, "batch height width classes"],
    row: Int32[Array, "batch n"],
    col: Int32[Array, "batch n"],
    answer: Int32[Array, "batch n"],
) -> Int32[Array, "batch classes classes"]:
    """Of each image, the softmax in fixed point at the places, added up by answer."""

    def one(arguments):
        logits, row, col, answer = arguments
        softmax = jax.nn.softmax(logits[row, col].astype(jnp.float32))
        fixed = jnp.round(softmax * jnp.float32(_FIXED)).astype(jnp.int32)
        classes = logits.shape[-1]
        # What fills up a list falls outside.
        at = jnp.where(answer < 0, classes, answer)
        return jnp.zeros((classes, classes), jnp.int32).at[at].add(fixed, mode="drop")

    return jax.vmap(one)((logits, row, col, answer))


@functools.partial(jax.jit, static_argnames="each")
def _on_grid(
    logits: Float[Array, "batch height width classes"], *, each: int
) -> Float[Array, "batch pixels classes"]:
    """Softmax of about so many pixels of each image, and not fewer where there are as many."""
    batch, height, width, classes = logits.shape
    stride = max(math.isqrt(height * width // each), 1)
    some = logits[:, stride // 2 :: stride, stride // 2 :: stride]
    return jax.nn.softmax(some.astype(jnp.float32)).reshape(batch, -1, classes)
