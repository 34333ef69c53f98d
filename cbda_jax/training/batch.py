"""What one step trains on, and the random keys of its images."""

import enum
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Key, UInt8

from cbda_jax import sharding
from cbda_jax.training.augment import Augment, augment


class Examples(NamedTuple):
    """Images of one domain with their labels, 255 where there is none."""

    image: UInt8[Array, "batch h w 3"]
    label: UInt8[Array, "batch h w"]


class Batch(NamedTuple):
    """What one step trains on; None where a domain rests. Domains may differ in size."""

    source: Examples | None
    target: Examples | None


class Keys(NamedTuple):
    """A random key for every image of a batch."""

    source: Key[Array, " batch"] | None
    target: Key[Array, " batch"] | None


class Stream(enum.Enum):
    """Streams of random numbers that are apart: what is folded into the step's key, by domain."""

    DROPOUT = (0, 1)
    AUGMENTATION = (2, 3)


def image_keys(batch: Batch, root: Key[Array, ""], stream: Stream) -> Keys:
    """Keys by the images' positions in the global batch, however many devices share it.

    Args:
        batch: this replica's part, inside `sharding.per_replica`.
        root: key of the step.
        stream: what the keys are for.
    """

    def keys(examples: Examples | None, number: int) -> Array | None:
        if examples is None:
            return None
        count = len(examples.image)
        first = lax.axis_index(sharding.DATA) * count
        key = jax.random.fold_in(root, number)
        return jax.vmap(lambda i: jax.random.fold_in(key, i))(
            first + jnp.arange(count, dtype=jnp.int32)
        )

    return Keys(*(keys(*pair) for pair in zip(batch, stream.value, strict=True)))


def augmented(batch: Batch, root: Key[Array, ""], setting: Augment) -> Batch:
    """The batch with every image augmented by its own key; itself where nothing is set."""
    if not setting.active:
        return batch

    def one(examples: Examples | None, keys: Array | None) -> Examples | None:
        if examples is None or keys is None:
            return None
        return Examples(*augment(examples.image, examples.label, keys, setting))

    keys = image_keys(batch, root, Stream.AUGMENTATION)
    return Batch(*(one(*pair) for pair in zip(batch, keys, strict=True)))
