"""Greedy selection one pick at a time, by a tournament: the best of the tiles' winners wins.

A pick touches at most 2 x 2 tiles, so it costs a few thousand operations whatever the image holds:
ramps and plateaus, long chains of dependent picks for a parallel algorithm, cost nothing extra.
On a CPU a step takes microseconds; on an accelerator it would be all latency (see local_maxima.py).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32

from cbda_jax.acquisition.selection.keys import LOWEST

_TILE = 32
_NONE = np.int32(2**31 - 1)


def _winners(key, tile, first_row, first_col, height):
    """Each tile's best key and the smallest position (column-major) that has it."""
    h, w = key.shape
    rows, cols = h // tile, w // tile
    best = key.reshape(rows, tile, w).max(axis=1).reshape(rows, cols, tile).max(axis=2)
    spread = jnp.broadcast_to(best[:, None, :, None], (rows, tile, cols, tile)).reshape(h, w)
    row = first_row + jnp.arange(h, dtype=jnp.int32)
    col = first_col + jnp.arange(w, dtype=jnp.int32)
    position = jnp.where(key == spread, col[None, :] * height + row[:, None], _NONE)
    position = position.reshape(rows, tile, w).min(axis=1).reshape(rows, cols, tile).min(axis=2)
    return best, position


def select(
    key: Int32[Array, "height width"],
    limit: Int32[Array, ""],
    floor: Int32[Array, ""],
    *,
    radius: int,
    capacity: int,
) -> tuple[Int32[Array, " n"], Int32[Array, " n"], Int32[Array, " n"], Int32[Array, ""]]:
    """Rows, columns, keys (best first, padded with -1, -1 and `LOWEST`) and their number.

    Args:
        key: `[H, W]` int32, `LOWEST` where nothing may be taken.
        limit: at most so many picks, itself at most `capacity`.
        floor: no pick has a smaller key; above `LOWEST`.
        radius: a pick blocks the (2 radius + 1)^2 square around it.
        capacity: length of the lists.
    """

    # Batched, the loop's slices would turn into scatters, far slower than image after image.
    @jax.custom_batching.sequential_vmap
    def one(key, limit, floor):
        return _select(key, limit, floor, radius, capacity)

    return one(key, limit, floor)


def _select(key, limit, floor, radius, capacity):
    height, width = key.shape
    side = 2 * radius + 1
    # A square that starts in one tile ends in the next at the latest.
    tile = max(_TILE, 1 << (side - 2).bit_length() if side > 1 else 1)
    rows = -(-(height + 2 * radius) // tile) + 1
    cols = -(-(width + 2 * radius) // tile) + 1
    # The border lets squares hang over the image's edge and patches over the last tile's.
    key = jnp.pad(
        key,
        ((radius, rows * tile - height - radius), (radius, cols * tile - width - radius)),
        constant_values=LOWEST,
    )
    best, position = _winners(key, tile, 0, 0, rows * tile)
    square = jnp.full((side, side), LOWEST, jnp.int32)

    def more(state):
        top, count = state[0], state[1]
        return (count < limit) & (top >= floor)

    def take(state):
        top, count, key, best, position, picked = state
        col, row = jnp.divmod(jnp.where(best == top, position, _NONE).min(), rows * tile)
        first_row, first_col = row - radius, col - radius
        pick = jnp.stack([first_row, first_col, top])
        picked = lax.dynamic_update_slice(picked, pick[None, :], (count, jnp.int32(0)))
        key = lax.dynamic_update_slice(key, square, (first_row, first_col))
        r, c = first_row // tile, first_col // tile
        patch = lax.dynamic_slice(key, (r * tile, c * tile), (2 * tile, 2 * tile))
        patch_best, patch_position = _winners(patch, tile, r * tile, c * tile, rows * tile)
        best = lax.dynamic_update_slice(best, patch_best, (r, c))
        position = lax.dynamic_update_slice(position, patch_position, (r, c))
        return best.max(), count + 1, key, best, position, picked

    # Inside shard_map a loop's state must vary over the mesh from the start as its inputs do.
    zero = (best.max() & 0) + (limit & 0) + (floor & 0)
    nothing = jnp.array([-1, -1, LOWEST], jnp.int32) + zero
    picked = jnp.broadcast_to(nothing[None, :], (capacity, 3))
    state = (best.max() + zero, zero, key + zero, best + zero, position + zero, picked)
    _, count, _, _, _, picked = lax.while_loop(more, take, state)
    return picked[:, 0], picked[:, 1], picked[:, 2], count
