"""The pool's buffer of candidates on one device, as pure functions of arrays."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32, UInt8, UInt32

from cbda_jax.acquisition.pool import radix
from cbda_jax.acquisition.selection.keys import LOWEST, to_key
from cbda_jax.acquisition.selection.select import Picks

SLOT_BYTES = 21
NO_IMAGE = np.int32(2**31 - 1)
_MOST = np.int32(2**31 - 1)
_SIGN = np.uint32(1 << 31)


class Buffer(NamedTuple):
    """Candidates of one device. Slots from `fill` on are empty.

    Attributes:
        key: `[slots]` int32, the score as an integer (keys.py).
        image: `[slots]` int32, index of the image in the pool.
        position: `[slots]` int32, place in the image's sequence of picks.
        row: `[slots]` int32.
        col: `[slots]` int32.
        predicted: `[slots]` uint8, the class predicted there.
        fill: int32, number of slots in use.
        seen: `[groups]` int32, how many candidates each group was offered so far.
        invalid: int32, smallest index of an image whose score map held NaN.
        group_of: `[groups]` uint8, the group of each predicted class; None: its own.
    """

    key: Int32[Array, " slots"]
    image: Int32[Array, " slots"]
    position: Int32[Array, " slots"]
    row: Int32[Array, " slots"]
    col: Int32[Array, " slots"]
    predicted: UInt8[Array, " slots"]
    fill: Int32[Array, ""]
    seen: Int32[Array, " groups"]
    invalid: Int32[Array, ""]
    group_of: UInt8[Array, " groups"] | None = None


def empty(slots: int, groups: int) -> Buffer:
    """A buffer without candidates."""
    none = jnp.full(slots, -1, jnp.int32)
    return Buffer(
        key=jnp.full(slots, LOWEST, jnp.int32),
        image=none,
        position=none,
        row=none,
        col=none,
        predicted=jnp.zeros(slots, jnp.uint8),
        fill=jnp.int32(0),
        seen=jnp.zeros(groups, jnp.int32),
        invalid=jnp.int32(NO_IMAGE),
    )


def append(
    buffer: Buffer,
    image: Int32[Array, " batch"],
    picks: Picks,
    predicted: UInt8[Array, "batch capacity"],
    start: Int32[Array, ""],
    thresholds: Int32[Array, " groups"],
) -> tuple[Buffer, Int32[Array, "batch 3"]]:
    """The buffer with the picks of a batch of images, from `start` on, that reach their threshold.

    Returns:
        `(buffer, tails)`: a tail is an image, the number of its picks if it may hold more (or 0),
        and the key that bounds those.
    """
    slots = buffer.key.shape[0]
    groups = thresholds.shape[0]
    batch, capacity = picks.row.shape
    place = jnp.arange(capacity, dtype=jnp.int32)
    real = image >= 0
    offered = (place[None, :] < picks.count[:, None]) & (place >= start)[None, :] & real[:, None]
    key = to_key(picks.score)
    group = _group(predicted, groups, buffer.group_of)
    keep = (offered & (key >= radix.of_group(thresholds, group))).ravel()
    to = jnp.where(keep, buffer.fill + jnp.cumsum(keep, dtype=jnp.int32) - 1, slots)

    def put(old, new):
        return old.at[to].set(jnp.broadcast_to(new, (batch, capacity)).ravel(), mode="drop")

    bad = jnp.where(real & (picks.count < 0), image, NO_IMAGE)
    more = jnp.where(real & (picks.count == capacity), capacity, 0)
    return Buffer(
        key=put(buffer.key, key),
        image=put(buffer.image, image[:, None]),
        position=put(buffer.position, place[None, :]),
        row=put(buffer.row, picks.row),
        col=put(buffer.col, picks.col),
        predicted=put(buffer.predicted, predicted),
        fill=buffer.fill + keep.sum(dtype=jnp.int32),
        seen=buffer.seen.at[jnp.where(offered, group, groups)].add(1, mode="drop"),
        invalid=jnp.minimum(buffer.invalid, bad.min()),
        group_of=buffer.group_of,
    ), jnp.stack([image, more, key[:, -1]], axis=1)


def keep_best(
    buffer: Buffer, k: Int32[Array, " groups"], all_sum: Callable[[Array], Array]
) -> tuple[Buffer, UInt32[Array, "words groups"], Int32[Array, " groups"]]:
    """The buffer with only the k best of each group among the candidates of all devices.

    Returns:
        `(buffer, bounds, thresholds)`: the bounds of `radix.kth`, and per group the key below which
        no candidate can be among the k best any more.
    """
    slots = buffer.key.shape[0]
    group = _group(buffer.predicted, k.shape[0], buffer.group_of)
    words = order(buffer.key, buffer.image, buffer.position)
    valid = jnp.arange(slots, dtype=jnp.int32) < buffer.fill
    bounds = radix.kth(words, group, valid, k, all_sum)
    keep = valid & radix.within(words, group, bounds) & (radix.of_group(k, group) > 0)
    to = jnp.where(keep, jnp.cumsum(keep, dtype=jnp.int32) - 1, slots)
    kept = {
        name: getattr(buffer, name).at[to].set(getattr(buffer, name), mode="drop")
        for name in ("key", "image", "position", "row", "col", "predicted")
    }
    thresholds = lax.bitcast_convert_type(~(bounds[0] ^ _SIGN), jnp.int32)
    thresholds = jnp.where(k > 0, jnp.maximum(thresholds, LOWEST), _MOST)
    return buffer._replace(**kept, fill=keep.sum(dtype=jnp.int32)), bounds, thresholds


def _group(
    predicted: UInt8[Array, "*shape"], groups: int, group_of: UInt8[Array, " groups"] | None
) -> Int32[Array, "*shape"]:
    if groups == 1:
        return jnp.zeros_like(predicted, jnp.int32)
    return (predicted if group_of is None else group_of[predicted]).astype(jnp.int32)


def order(
    key: Int32[Array, " n"], image: Int32[Array, " n"], position: Int32[Array, " n"]
) -> list[UInt32[Array, " n"]]:
    """The order in which candidates are chosen: the smallest tuple of words first."""
    best_first = ~lax.bitcast_convert_type(key, jnp.uint32) ^ _SIGN
    return [
        best_first,
        lax.bitcast_convert_type(image, jnp.uint32),
        lax.bitcast_convert_type(position, jnp.uint32),
    ]


def water_level(
    gap: Int32[Array, " groups"], available: Int32[Array, " groups"], budget: Int32[Array, ""]
) -> Int32[Array, " groups"]:
    """An upper bound of every class's quota, whatever candidates are still to come.

    The quotas fill all classes' counts up to one level as far as there are candidates. More
    candidates can only lower the level, so today's (the smallest at which the budget is spent)
    bounds the final quota of each class; and so many candidates are at most the budget and one more
    a class.

    Args:
        gap: how many labels each class has more than the class with the fewest, up to 2^30.
        available: candidates of each class so far.
        budget: picks to divide.
    """

    def halve(_, interval):
        low, high = interval
        middle = low + (high - low) // 2
        spent = jnp.clip(middle - gap, 0, available).sum() >= budget
        return jnp.where(spent, low, middle + 1), jnp.where(spent, middle, high)

    top = gap.max() + budget
    level, _ = lax.fori_loop(0, 32, halve, (jnp.zeros_like(top), top))
    enough = available.sum() >= budget
    return jnp.where(enough, jnp.maximum(level - gap, 0), budget)
