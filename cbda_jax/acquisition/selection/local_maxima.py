"""Greedy selection by rounds of parallel local maxima, for devices where one step is all latency.

A pixel that is the best of the unblocked pixels in its own blocking square is taken by the
sequential loop whatever happens elsewhere. So each round takes all of them at once and blocks
around them; the first n picks of the sequential loop are the n best of the result. Two bounds keep
the rounds few:

* with the image cut into tiles as large as a blocking square, a pick blocks pixels of at most four
  tiles, so the n-th pick is no worse than the (4 (n - 1) + 1)-th best of the tiles' maxima;
* it is no worse than the n-th best of the picks taken so far.

A long ramp or plateau is still a chain of dependent picks, one round a link. A round costs about
what one step of the sequential loop costs on such a device.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32

from cbda_jax.acquisition.selection.keys import LOWEST
from cbda_jax.acquisition.selection.squares import dilate, neighbours

_THRESHOLDS = 32
_PASSES = 4


def select(
    key: Int32[Array, "height width"],
    limit: Int32[Array, ""],
    floor: Int32[Array, ""],
    *,
    radius: int,
    capacity: int,
) -> tuple[Int32[Array, " n"], Int32[Array, " n"], Int32[Array, " n"], Int32[Array, ""]]:
    """The same as `tournament.select`."""
    return select_counting(key, limit, floor, radius=radius, capacity=capacity)[:4]


def select_counting(
    key: Int32[Array, "height width"],
    limit: Int32[Array, ""],
    floor: Int32[Array, ""],
    *,
    radius: int,
    capacity: int,
) -> tuple[
    Int32[Array, " n"], Int32[Array, " n"], Int32[Array, " n"], Int32[Array, ""], Int32[Array, ""]
]:
    """`select`, and the number of rounds."""
    height, width = key.shape
    row = jnp.arange(height, dtype=jnp.int32)
    col = jnp.arange(width, dtype=jnp.int32)
    place = col[None, :] * height + row[:, None]
    # Two picks are more than the radius apart in a row or a column: at most one in each small tile.
    small = radius + 1
    corner = _tile_max(key, 2 * radius + 1)
    bound = jnp.maximum(floor, _below_kth(corner, 4 * (limit - 1) + 1))

    def more(state):
        key, bound = state[0], state[1]
        return (limit > 0) & (key >= bound).any()

    def take(state):
        key, bound, picked, places, rounds = state
        won = _best_in_square(key, radius) & (key >= bound)
        picked = jnp.maximum(picked, _tile_max(jnp.where(won, key, LOWEST), small))
        places = jnp.maximum(places, _tile_max(jnp.where(won, place, -1), small, empty=-1))
        key = jnp.where(dilate(won, radius), LOWEST, key)
        return key, jnp.maximum(bound, _below_kth(picked, limit)), picked, places, rounds + 1

    # Inside shard_map a loop's state must vary over the mesh from the start as its inputs do.
    zero = (bound & 0) + (limit & 0)
    picked = jnp.full((-(-height // small), -(-width // small)), LOWEST, jnp.int32) + zero
    state = (key + zero, bound + zero, picked, jnp.full_like(picked, -1) + zero, zero)
    *_, picked, places, rounds = lax.while_loop(more, take, state)

    # Two stable sorts by one key each: those have fast implementations everywhere.
    places, picked = lax.sort((places.ravel(), picked.ravel()), num_keys=1)
    order, places = lax.sort((~picked, places), num_keys=1, is_stable=True)
    short = max(capacity - order.size, 0)
    picked = jnp.pad(~order, (0, short), constant_values=LOWEST)[:capacity]
    places = jnp.pad(places, (0, short), constant_values=-1)[:capacity]
    chosen = (picked >= floor) & (jnp.arange(capacity, dtype=jnp.int32) < limit)
    col, row = jnp.divmod(places, height)
    return (
        jnp.where(chosen, row, -1),
        jnp.where(chosen, col, -1),
        jnp.where(chosen, picked, LOWEST),
        chosen.sum(dtype=jnp.int32),
        rounds,
    )


def _best_in_square(key, radius):
    """Pixels that come first, by key, then column, then row, in the square around them."""
    above, below = neighbours(key, radius, 0, LOWEST)
    column = jnp.maximum(key, jnp.maximum(above, below))
    left, right = neighbours(column, radius, 1, LOWEST)
    # Of equals the one to the left wins, then the one above: those before must be beaten.
    return (key > jnp.maximum(above, left)) & (key >= jnp.maximum(below, right)) & (key > LOWEST)


def _tile_max(x, tile, empty=LOWEST):
    height, width = x.shape
    rows, cols = -(-height // tile), -(-width // tile)
    x = jnp.pad(x, ((0, rows * tile - height), (0, cols * tile - width)), constant_values=empty)
    return x.reshape(rows, tile, cols * tile).max(axis=1).reshape(rows, cols, tile).max(axis=2)


def _below_kth(key, k):
    """A bound just below the k-th largest key; above `LOWEST` even if there are fewer."""
    unsigned = lax.bitcast_convert_type(key, jnp.uint32) ^ jnp.uint32(1 << 31)
    low = lax.bitcast_convert_type(jnp.int32(LOWEST + 1), jnp.uint32) ^ jnp.uint32(1 << 31)
    high = unsigned.max() + jnp.uint32(1)
    low = jnp.minimum(low, high)
    part = jnp.arange(_THRESHOLDS, dtype=jnp.uint32)
    for _ in range(_PASSES):
        step = (high - low) // np.uint32(_THRESHOLDS) + jnp.uint32(1)
        tries = jnp.minimum(low + part * step, high)
        counts = (unsigned.ravel()[None, :] >= tries[:, None]).sum(axis=1, dtype=jnp.int32)
        passed = jnp.where((counts >= k) | (part == 0), tries, low)
        low = passed.max()
        high = jnp.minimum(low + step, high)
    return jnp.maximum(lax.bitcast_convert_type(low ^ jnp.uint32(1 << 31), jnp.int32), LOWEST + 1)
