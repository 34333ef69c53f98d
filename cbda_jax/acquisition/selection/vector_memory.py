"""The rounds of `local_maxima` in one kernel of a TPU, the map in vector memory throughout.

XLA would read and write the whole map several times a round. The kernel goes down the map, 8 rows
at a time, takes the local maxima of these rows and blocks around them at once: further down, the
pixels near picks of the same round are already lost, and sometimes fewer rounds do.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Int32

from cbda_jax.acquisition.pallas import like
from cbda_jax.acquisition.selection.keys import LOWEST
from cbda_jax.acquisition.selection.lists import NOWHERE, best_first

_SUBLANES, _LANES = 8, 128
# Of the blocking squares: code grows with them, and the border has 8 rows.
_MOST_RADIUS = 4
# Of the map, which is held twice; TPUs from v5e on have 64 MB and more.
_MOST_BYTES = 20 * 2**20
_VECTOR_MEMORY = 60 * 2**20


def fits(shape: tuple[int, int], radius: int) -> bool:
    """Whether the kernel takes a map of this shape, and blocking squares of this radius."""
    return radius <= _MOST_RADIUS and 4 * shape[0] * shape[1] <= _MOST_BYTES


def select_counting(
    key: Int32[Array, "height width"],
    limit: Int32[Array, ""],
    floor: Int32[Array, ""],
    *,
    radius: int,
    capacity: int,
    interpret: bool = False,
) -> tuple[
    Int32[Array, " n"], Int32[Array, " n"], Int32[Array, " n"], Int32[Array, ""], Int32[Array, ""]
]:
    """The same as `tournament.select` for what `fits`, and the number of rounds.

    Interpreted, its operations run on any platform, slowly.
    """
    height = key.shape[0]
    margin = tuple((0, -n % m) for n, m in zip(key.shape, (_SUBLANES, _LANES), strict=True))
    if margin != ((0, 0), (0, 0)):
        key = jnp.pad(key, margin, constant_values=LOWEST)
    rows, columns = key.shape[0], key.shape[1] // _LANES
    # Two picks are more than the radius apart in a row or a column: at most one in each small tile.
    side = radius + 1
    tiles = -(-rows // (side * _SUBLANES)) * _SUBLANES
    vectors = pl.BlockSpec(memory_space=pltpu.VMEM)
    scalars = pl.BlockSpec(memory_space=pltpu.SMEM)
    found, offset, rounds = pl.pallas_call(
        functools.partial(_kernel, radius=radius),
        in_specs=[scalars, vectors],
        out_specs=[vectors, vectors, scalars],
        out_shape=[
            like(key, (columns, tiles, _LANES), jnp.int32),
            like(key, (columns, tiles, _LANES), jnp.int32),
            like(key, (1,), jnp.int32),
        ],
        scratch_shapes=[
            pltpu.VMEM((columns + 2, rows + 2 * _SUBLANES, _LANES), jnp.int32),
            pltpu.VMEM((columns, max(tiles * side, rows), _LANES), jnp.int32),
        ],
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=_VECTOR_MEMORY),
        interpret=interpret,
    )(jnp.stack([limit, floor]), key)
    slots = -(-_LANES // side)
    found, offset = found[:, :, :slots], offset[:, :, :slots] - 1
    col = _LANES * jnp.arange(columns, dtype=jnp.int32)[:, None, None] + offset % _LANES
    row = side * jnp.arange(tiles, dtype=jnp.int32)[None, :, None] + offset // _LANES
    place = jnp.where(found > LOWEST, col * height + row, NOWHERE)
    lists = best_first(found, place, limit, floor, height=height, capacity=capacity, stable=False)
    return (*lists, rounds[0])


def _kernel(
    scalars: Any, key: Any, found: Any, offset: Any, rounds: Any, left: Any, picked: Any, *, radius
) -> None:
    """All rounds.

    Columns of 128 pixels lie one after the other in `left` and `picked`, each with its rows in
    order: rows from anywhere are then one load.

    Args:
        scalars: limit and floor.
        key: int32 `[rows, 128 columns]`.
        found: int32 `[columns, tile rows, 128]`, written: the key of each tile's pick.
        offset: written: one more than 128 times its row in the tile plus its place in the column.
        rounds: written.
        left: int32 `[columns + 2, rows + 16, 128]`: `LOWEST` where nothing may be taken any more,
            and in a border of 8 rows and a column all around.
        picked: int32 `[columns, rows or more, 128]`: the keys of picks, `LOWEST` elsewhere.
        radius: of the blocking squares.
    """
    columns, groups = left.shape[0] - 2, key.shape[0] // _SUBLANES
    shape = (_SUBLANES, _LANES)
    none = jnp.full(shape, LOWEST, jnp.int32)
    lane = lax.broadcasted_iota(jnp.int32, shape, 1)
    distances = range(1, radius + 1)
    limit, floor = scalars[0], scalars[1]

    def of_key(i: jax.Array) -> Any:
        return pl.ds(pl.multiple_of(_SUBLANES * i, _SUBLANES), _SUBLANES)

    def rows(i: jax.Array, shift: int = 0) -> Any:
        if shift:
            return pl.ds(_SUBLANES * (i + 1) + shift, _SUBLANES)
        return of_key(i + 1)

    def beside(parts: list[jax.Array], n: int, d: int) -> tuple[jax.Array, jax.Array]:
        """What lies d pixels to the left of each pixel of column n, and to the right."""
        before, here = (pltpu.roll(x, d, 1) for x in (parts[n - 1], parts[n]))
        to_left = jnp.where(lane >= d, here, before)
        here, after = (pltpu.roll(x, _LANES - d, 1) for x in (parts[n], parts[n + 1]))
        return to_left, jnp.where(lane < _LANES - d, here, after)

    def fill(i: jax.Array, _: None) -> None:
        for n in range(columns):
            left[n + 1, rows(i), :] = key[of_key(i), n * _LANES : (n + 1) * _LANES]
            picked[n, of_key(i), :] = none
        for n in (0, columns + 1):
            left[n, rows(i), :] = none

    lax.fori_loop(0, groups, fill, None)
    for n in range(columns + 2):
        left[n, 0:_SUBLANES, :] = none
        left[n, left.shape[1] - _SUBLANES :, :] = none
    for n in range(columns):
        for i in range(groups, picked.shape[1] // _SUBLANES):
            picked[n, _SUBLANES * i : _SUBLANES * (i + 1), :] = none

    def sweep(i: jax.Array, _: None) -> None:
        keys, above, below, tall = [], [], [], []
        for n in range(columns + 2):
            here = left[n, rows(i), :]
            before = functools.reduce(
                jnp.maximum, [left[n, rows(i, -d), :] for d in distances], none
            )
            after = functools.reduce(jnp.maximum, [left[n, rows(i, d), :] for d in distances], none)
            keys.append(here)
            above.append(before)
            below.append(after)
            tall.append(jnp.maximum(here, jnp.maximum(before, after)))
        won = [jnp.zeros(shape, jnp.int32)]
        for n in range(1, columns + 1):
            # Of equals the one to the left wins, then the one above: those before must be beaten.
            before, after = above[n], below[n]
            for d in distances:
                to_left, to_right = beside(tall, n, d)
                before, after = jnp.maximum(before, to_left), jnp.maximum(after, to_right)
            wins = (keys[n] > before) & (keys[n] >= after) & (keys[n] > LOWEST)
            picked[n - 1, of_key(i), :] = jnp.where(wins, keys[n], picked[n - 1, of_key(i), :])
            won.append(wins.astype(jnp.int32))
        won.append(won[0])
        for n in range(1, columns + 1):
            near = functools.reduce(
                lax.bitwise_or, [x for d in distances for x in beside(won, n, d)], won[n]
            )
            for shift in range(-radius, radius + 1):
                at = rows(i, shift)
                left[n, at, :] = jnp.where(near > 0, LOWEST, left[n, at, :])

    def best_left() -> jax.Array:
        def more(i: jax.Array, best: jax.Array) -> jax.Array:
            parts = [left[n + 1, rows(i), :] for n in range(columns)]
            return functools.reduce(jnp.maximum, parts, best)

        return jnp.max(lax.fori_loop(0, groups, more, none))

    def better(than: jax.Array) -> jax.Array:
        """How many picks are."""

        def more(i: jax.Array, count: jax.Array) -> jax.Array:
            for n in range(columns):
                count = count + (picked[n, of_key(i), :] > than).astype(jnp.int32)
            return count

        return jnp.sum(lax.fori_loop(0, groups, more, jnp.zeros(shape, jnp.int32)))

    def take(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        lax.fori_loop(0, groups, sweep, None)
        best = best_left()
        return best, better(best), state[2] + 1

    state = (best_left(), jnp.int32(0), jnp.int32(0))
    rounds[0] = lax.while_loop(lambda s: (s[0] >= floor) & (s[1] < limit), take, state)[2]

    # A tile has one pick or none: the sum over its columns is that pick, in pieces of 8 bits, which
    # matrix products of bfloat16 add up exactly.
    side = radius + 1
    column = lax.broadcasted_iota(jnp.int32, (_LANES, _LANES), 0)
    slot = lax.broadcasted_iota(jnp.int32, (_LANES, _LANES), 1) * side
    inside = (column >= slot) & (column < slot + side)
    inside = jnp.where(inside, jnp.float32(1), jnp.float32(0)).astype(jnp.bfloat16)

    def emit(t: jax.Array, _: None) -> None:
        for n in range(columns):
            best, where = none, jnp.zeros(shape, jnp.int32)
            for d in range(side):
                own = picked.at[n][pl.ds(t * _SUBLANES * side + d, _SUBLANES, stride=side), :]
                where = jnp.where(own > LOWEST, _LANES * d + lane + 1, where)
                best = jnp.maximum(best, own)
            bits = best ^ LOWEST
            pieces = [lax.shift_right_logical(bits, 8 * k) & 255 for k in range(4)]
            pieces += [where & 255, where >> 8]
            stack = jnp.concatenate([x.astype(jnp.float32) for x in pieces]).astype(jnp.bfloat16)
            sums = jnp.dot(stack, inside, preferred_element_type=jnp.float32).astype(jnp.int32)
            parts = [sums[_SUBLANES * k : _SUBLANES * (k + 1)] for k in range(6)]
            bits = functools.reduce(lax.bitwise_or, [parts[k] << (8 * k) for k in range(4)])
            found[n, of_key(t), :] = bits ^ LOWEST
            offset[n, of_key(t), :] = parts[4] | (parts[5] << 8)

    lax.fori_loop(0, found.shape[1] // _SUBLANES, emit, None)
