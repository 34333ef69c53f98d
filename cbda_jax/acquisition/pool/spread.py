"""The candidates' functions mapped over a mesh: one buffer a device, agreement by summed counts."""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cbda_jax.acquisition.pool import candidates
from cbda_jax.acquisition.selection.keys import from_key


class Steps(NamedTuple):
    """Compiled functions of a buffer whose leaves have a leading axis of devices.

    Attributes:
        split: sharding of batches and buffers.
        everywhere: sharding of small arrays that each device holds whole.
        resize: `(buffer or None, group_of or None, slots=) -> buffer`; `group_of` of a new one.
        append: `candidates.append`; consumes the buffer.
        agree: `(buffer, thresholds, gap, budget) -> (buffer, thresholds)`; drops what cannot be
            chosen any more; consumes the buffer.
        best: `(buffer, k) -> (buffer, bounds)` with the k best of each group only.
        totals: `buffer -> (offered [groups], smallest invalid image)` over all devices.
        floor: `thresholds -> float32` score below which no candidate can be chosen.
    """

    split: NamedSharding
    everywhere: NamedSharding
    resize: Any
    append: Any
    agree: Any
    best: Any
    totals: Any
    floor: Any


@lru_cache(maxsize=8)
def steps(mesh: Mesh, axis: str, groups: int) -> Steps:
    """The functions for a mesh, a name of its axis and a number of groups."""
    devices = mesh.shape[axis]
    one, many = PartitionSpec(), PartitionSpec(axis)
    everywhere, split = NamedSharding(mesh, one), NamedSharding(mesh, many)
    all_sum = partial(lax.psum, axis_name=axis)

    def mapped(f, in_specs, out_specs, **options):
        return jax.jit(
            jax.shard_map(f, mesh=mesh, in_specs=in_specs, out_specs=out_specs), **options
        )

    def mine(buffer):
        return jax.tree.map(lambda x: x[0], buffer)

    def stacked(buffer):
        return jax.tree.map(lambda x: x[None], buffer)

    @partial(jax.jit, static_argnames="slots", out_shardings=split)
    def resize(buffer, group_of, *, slots):
        fresh = candidates.empty(slots, groups)._replace(group_of=group_of)
        fresh = jax.tree.map(lambda x: jnp.broadcast_to(x, (devices, *x.shape)), fresh)
        if buffer is None:
            return fresh
        return jax.tree.map(
            lambda old, new: old if old.shape == new.shape else new.at[:, : old.shape[1]].set(old),
            buffer,
            fresh,
        )

    def append(buffer, image, picks, predicted, start, thresholds):
        buffer, tails = candidates.append(mine(buffer), image, picks, predicted, start, thresholds)
        return stacked(buffer), tails

    def agree(buffer, thresholds, gap, budget):
        buffer = mine(buffer)
        k = budget[None]
        if groups > 1:
            k = candidates.water_level(gap, all_sum(buffer.seen), budget)
        buffer, _, risen = candidates.keep_best(buffer, k, all_sum)
        return stacked(buffer), jnp.maximum(thresholds, risen)

    def best(buffer, k):
        buffer, bounds, _ = candidates.keep_best(mine(buffer), k, all_sum)
        return stacked(buffer), bounds

    def totals(buffer):
        return all_sum(buffer.seen[0]), lax.pmin(buffer.invalid[0], axis)

    @partial(jax.jit, out_shardings=everywhere)
    def floor(thresholds):
        return from_key(thresholds.min())

    return Steps(
        split=split,
        everywhere=everywhere,
        resize=resize,
        append=mapped(append, (many, many, many, many, one, one), (many, many), donate_argnums=0),
        agree=mapped(agree, (many, one, one, one), (many, one), donate_argnums=0),
        best=mapped(best, (many, one), (many, one)),
        totals=mapped(totals, (many,), (one, one)),
        floor=floor,
    )
