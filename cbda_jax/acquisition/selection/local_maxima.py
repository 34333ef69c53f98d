"""Greedy selection by rounds of parallel local maxima, for devices where one step is all latency.

A pixel that is the best of the unblocked pixels in its own blocking square is taken by the
sequential loop whatever happens elsewhere. So each round takes all of them at once and blocks
around them; the first n picks of the sequential loop are the n best of the result. They are known
as soon as n picks are better than everything that is left.

A long ramp or plateau is still a chain of dependent picks, one round a link.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int32

from cbda_jax.acquisition.selection.keys import LOWEST
from cbda_jax.acquisition.selection.lists import NOWHERE, best_first

# Sides up to which a square is looked through at once, and not along one axis after the other.
_SMALL = 9


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
    """The same as `tournament.select`, and the number of rounds."""
    height, width = key.shape
    row = jnp.arange(height, dtype=jnp.int32)
    col = jnp.arange(width, dtype=jnp.int32)
    place = col[None, :] * height + row[:, None]
    square = (-radius, radius)

    def take(state):
        key, picked, left, _, rounds = state
        won = _best_in_square(key, radius)
        near = _over_windows(won.astype(jnp.uint8), np.uint8(0), square, square)
        picked = jnp.where(won, key, picked)
        key = jnp.where(near > 0, LOWEST, key)
        # Against what was left before, so that a GPU finds both numbers in one pass. It costs a
        # round, and less than another pass in each of them.
        left, better = lax.reduce(
            (key, (picked > left).astype(jnp.int32)),
            (np.int32(LOWEST), np.int32(0)),
            lambda a, b: (jnp.maximum(a[0], b[0]), a[1] + b[1]),
            (0, 1),
        )
        return key, picked, left, (left >= floor) & (better < limit), rounds + 1

    # Inside shard_map a loop's state must vary over the mesh from the start as its inputs do.
    zero = (key.max() & 0) + (limit & 0) + (floor & 0)
    left = key.max() + zero
    picked = jnp.full_like(key, LOWEST) + zero
    state = (key + zero, picked, left, (left >= floor) & (limit > 0), zero)
    _, picked, _, _, rounds = lax.while_loop(lambda state: state[3], take, state)

    # Two picks are more than the radius apart in a row or a column: at most one in each small tile.
    side = (radius + 1, radius + 1)
    margin = ((0, -height % side[0]), (0, -width % side[1]))

    def tiles(x: jax.Array, none: int) -> jax.Array:
        return lax.reduce_window(x, np.int32(none), lax.max, side, side, margin)

    found = tiles(picked, LOWEST)
    where = tiles(jnp.where(picked > LOWEST, place, -1), -1)
    where = jnp.where(found > LOWEST, where, NOWHERE)
    lists = best_first(found, where, limit, floor, height=height, capacity=capacity)
    return (*lists, rounds)


def _best_in_square(key: jax.Array, radius: int) -> jax.Array:
    """Pixels that come first, by key, then column, then row, in the square around them."""
    if radius == 0:
        return key > LOWEST
    best = functools.partial(_over_windows, key, np.int32(LOWEST))
    here, all_, before, after = (0, 0), (-radius, radius), (-radius, -1), (1, radius)
    # Of equals the one to the left wins, then the one above: those before must be beaten.
    first = jnp.maximum(best(all_, before), best(before, here))
    last = jnp.maximum(best(all_, after), best(after, here))
    return (key > first) & (key >= last) & (key > LOWEST)


def _over_windows(
    x: jax.Array, none: np.generic, rows: tuple[int, int], columns: tuple[int, int]
) -> jax.Array:
    """The maximum over a window beside every pixel; `none` beyond the border counts for nothing.

    Args:
        x: `[H, W]`.
        none: what everything is as great as.
        rows: how far below each pixel the window's first row is, and its last one.
        columns: the same to the right.
    """
    (top, bottom), (left, right) = rows, columns
    size = (bottom - top + 1, right - left + 1)
    if max(size) <= _SMALL:
        margins = ((-top, bottom), (-left, right))
        return lax.reduce_window(x, none, lax.max, size, (1, 1), margins)
    # Along an axis, of neighbours first, then of every so manieth result: the number of operations
    # grows with the square root of the size.
    for axis, (length, (start, end)) in enumerate(zip(size, (rows, columns), strict=True)):
        near, step, far = _factors(length)
        window, dilation, margins = [1, 1], [1, 1], [(0, 0), (0, 0)]
        window[axis], margins[axis] = near, (-start, end)
        x = lax.reduce_window(x, none, lax.max, window, (1, 1), margins)
        window[axis], dilation[axis] = far, step
        x = lax.reduce_window(x, none, lax.max, window, (1, 1), "VALID", window_dilation=dilation)
    return x


def _factors(length: int) -> tuple[int, int, int]:
    """Neighbours, distance and number of the results that cover a length with least operations."""
    return min(
        (
            (near, step, (length - near) // step + 1)
            for near in range(1, length + 1)
            for step in range(1, near + 1)
            if (length - near) % step == 0
        ),
        key=lambda found: found[0] + found[2],
    )
