"""The k smallest numbers of a map, exactly, where a sort of the map would be slow."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float32, UInt32

from cbda_jax.acquisition.selection.keys import to_key

_SIGN = np.uint32(1 << 31)


def lowest(
    x: Float32[Array, "height width"], count: int, *, among: Bool[Array, "height width"]
) -> Bool[Array, "height width"]:
    """Which pixels hold the `count` smallest values; of equal values the smallest column, then row.

    Bit by bit: how many values lie at or below a threshold decides the next bit of it, and where
    the last values tie, the same over their places. So 32 counts and log2(H W) more.

    Args:
        x: `[H, W]` float32 without NaN; -0.0 counts as 0.0.
        count: k, 0 or more.
        among: `[H, W]` bool, the pixels that compete; fewer than k are all taken.

    Returns:
        `[H, W]` bool, True for k pixels, or for all that compete.
    """
    height, width = x.shape
    word = lax.bitcast_convert_type(to_key(x), jnp.uint32) ^ _SIGN
    last = _kth(word, among, jnp.int32(count), 32)
    below = among & (word < last)
    tied = among & (word == last)
    row, column = (lax.iota(jnp.uint32, n) for n in (height, width))
    place = column[None, :] * jnp.uint32(height) + row[:, None]
    bits = max((height * width - 1).bit_length(), 1)
    last_place = _kth(place, tied, jnp.int32(count) - below.sum(dtype=jnp.int32), bits)
    enough = count > 0
    return (below | (tied & (place <= last_place))) & enough


def _kth(
    word: UInt32[Array, "height width"],
    among: Bool[Array, "height width"],
    k: jax.Array,
    bits: int,
) -> UInt32[Array, ""]:
    """The smallest number of so many bits that at least k words reach; all ones if fewer do."""

    def decide(i: jax.Array, prefix: jax.Array) -> jax.Array:
        bit = lax.shift_left(jnp.uint32(1), jnp.uint32(bits - 1) - i.astype(jnp.uint32))
        at_most = prefix | (bit - jnp.uint32(1))
        reached = (among & (word <= at_most)).sum(dtype=jnp.int32) >= k
        return jnp.where(reached, prefix, prefix | bit)

    # Inside shard_map a loop's state must vary over the mesh from the start as its inputs do.
    start = (word.min() & jnp.uint32(0)) | (among.any() & False).astype(jnp.uint32)
    start = start | (k & 0).astype(jnp.uint32)
    return lax.fori_loop(0, bits, decide, start)
