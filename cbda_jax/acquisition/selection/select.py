"""Exact greedy selection of pixels in one score map."""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Int32

from cbda_jax.acquisition.selection import local_maxima, tournament, vector_memory
from cbda_jax.acquisition.selection.keys import LOWEST, from_key, to_key
from cbda_jax.errors import InputError


class Picks(NamedTuple):
    """What a selection took from one image, best first.

    Attributes:
        row: `[capacity]` int32, -1 after the last pick.
        col: `[capacity]` int32, -1 after the last pick.
        score: `[capacity]` float32 in descending order, -inf after the last pick.
        count: int32, how many picks there are; -1 says that the score map holds NaN.
    """

    row: Int32[Array, "*batch capacity"]
    col: Int32[Array, "*batch capacity"]
    score: Float[Array, "*batch capacity"]
    count: Int32[Array, "*batch"]  # pyright: ignore[reportIncompatibleMethodOverride]


def greedy_picks(
    score: Float[Array, "height width"],
    budget: int | Int[Array, ""],
    *,
    radius: int,
    capacity: int,
    blocked: Bool[Array, "height width"] | None = None,
    floor: float | Float[Array, ""] | None = None,
    algorithm: str = "auto",
) -> Picks:
    """What the sequential loop takes: the best unblocked pixel, block the square around it, repeat.

    Equal scores go to the smallest column, then to the smallest row. A pixel that is blocked or
    scores -inf is never taken, so there can be fewer picks than the budget. -0.0 counts as 0.0 and
    comes back as 0.0. Pure: it works under `jax.jit`, `jax.vmap` and `jax.shard_map`.

    Args:
        score: `[H, W]` float32. NaN anywhere makes `count` -1, which `Pool` reports as an error.
        budget: how many pixels to take, at most; may be traced, and counts up to `capacity`.
        radius: a pick blocks the (2 radius + 1)^2 square around it: 2k for regions of radius k, k
            for single pixels.
        capacity: static length of the result.
        blocked: `[H, W]` bool, True where no pick may be centred.
        floor: stop before the first pick that scores less, so that candidates which could not be
            chosen any more cost nothing (`Pool.threshold`).
        algorithm: "tournament" (one pick at a time, in a few microseconds on a CPU), "local_maxima"
            (rounds of them in parallel), "vector_memory" (the same in one kernel of a TPU, v5e or
            newer; slow elsewhere) or "auto": the tournament on CPUs; on TPUs the kernel if it takes
            the radius (up to 4) and the size (up to 5 megapixels); local maxima elsewhere. The
            result is the same.

    Returns:
        The picks in the order of the sequential loop.

    Raises:
        InputError: A radius or budget below 0, a capacity below 1 or below the budget, or an
            unknown algorithm, or one that does not take these.
    """
    if radius < 0:
        raise InputError(f"blocking radius {radius}: expected 0 or more pixels")
    if capacity < 1:
        raise InputError(f"capacity of {capacity} picks: expected 1 or more")
    if isinstance(budget, int | np.integer) and not 0 <= budget <= capacity:
        raise InputError(
            f"budget of {budget} picks in an image: expected 0 to {capacity}, the capacity of the "
            "selection; raise the capacity"
        )
    if algorithm not in _ALGORITHMS:
        raise InputError(
            f"selection algorithm {algorithm!r}: expected one of {', '.join(_ALGORITHMS)}"
        )
    key = to_key(score if blocked is None else jnp.where(blocked, -jnp.inf, score))
    lowest = jnp.int32(LOWEST + 1)
    floor_key = lowest if floor is None else jnp.maximum(to_key(jnp.float32(floor)), lowest)
    limit = jnp.minimum(jnp.asarray(budget, jnp.int32), jnp.int32(capacity))
    select = partial(_ALGORITHMS[algorithm], radius=radius, capacity=capacity)
    row, col, picked, count = select(key, limit, floor_key)
    invalid = jnp.isnan(score).any()
    return Picks(row, col, from_key(picked), jnp.where(invalid, -1, count))


def _local_maxima(key, limit, floor, **options):
    return local_maxima.select_counting(key, limit, floor, **options)[:4]


def _vector_memory(key, limit, floor, **options):
    return vector_memory.select_counting(key, limit, floor, **options)[:4]


def _by_platform(key, limit, floor, *, radius, capacity):
    options = {"radius": radius, "capacity": capacity}
    kernel = _vector_memory if vector_memory.fits(key.shape, radius) else _local_maxima
    return lax.platform_dependent(
        key,
        limit,
        floor,
        cpu=partial(tournament.select, **options),
        tpu=partial(kernel, **options),
        default=partial(_local_maxima, **options),
    )


def _in_vector_memory(key, limit, floor, *, radius, capacity):
    if not vector_memory.fits(key.shape, radius):
        raise InputError(
            f"algorithm 'vector_memory': a map of {key.shape[0]} x {key.shape[1]} pixels and a "
            f"blocking radius of {radius} found, expected 5 megapixels and 4 at most; use 'auto'"
        )
    select = partial(_vector_memory, radius=radius, capacity=capacity)
    return lax.platform_dependent(
        key, limit, floor, tpu=select, default=partial(select, interpret=True)
    )


_ALGORITHMS = {
    "auto": _by_platform,
    "tournament": tournament.select,
    "local_maxima": _local_maxima,
    "vector_memory": _in_vector_memory,
}
