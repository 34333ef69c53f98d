"""From at most one pick in each small tile of an image to a list, best first."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int32

from cbda_jax.acquisition.selection.keys import LOWEST

NOWHERE = 2**31 - 1
"""The place of no pick."""


def best_first(
    key: Int32[Array, "*tiles"],
    place: Int32[Array, "*tiles"],
    limit: Int32[Array, ""],
    floor: Int32[Array, ""],
    *,
    height: int,
    capacity: int,
    stable: bool = True,
) -> tuple[Int32[Array, " n"], Int32[Array, " n"], Int32[Array, " n"], Int32[Array, ""]]:
    """Rows, columns, keys (best first, padded with -1, -1 and `LOWEST`) and their number.

    Args:
        key: of each tile's pick, `LOWEST` where there is none.
        place: column times `height` plus row, `NOWHERE` where there is none.
        limit: at most so many picks, itself at most `capacity`.
        floor: no pick has a smaller key; above `LOWEST`.
        height: of the image.
        capacity: length of the lists.
        stable: sort twice by one key, for which GPUs have a fast implementation; otherwise once by
            both.
    """
    if stable:
        place, key = lax.sort((place.ravel(), key.ravel()), num_keys=1)
        descending, place = lax.sort((~key, place), num_keys=1, is_stable=True)
    else:
        descending, place = lax.sort((~key.ravel(), place.ravel()), num_keys=2)
    short = max(capacity - descending.size, 0)
    key = jnp.pad(~descending, (0, short), constant_values=LOWEST)[:capacity]
    place = jnp.pad(place, (0, short), constant_values=NOWHERE)[:capacity]
    chosen = (key >= floor) & (jnp.arange(capacity, dtype=jnp.int32) < limit)
    col, row = jnp.divmod(place, height)
    return (
        jnp.where(chosen, row, -1),
        jnp.where(chosen, col, -1),
        jnp.where(chosen, key, LOWEST),
        chosen.sum(dtype=jnp.int32),
    )
