"""The k-th best of many candidates spread over devices, by radix selection.

Nothing but histograms of 256 counts travels: candidates stay where they are.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int32, UInt32

_BINS = 256
_DIGITS = 4
_ALL = 0xFFFFFFFF


def kth(
    words: Sequence[UInt32[Array, " n"]],
    group: Int32[Array, " n"],
    valid: Bool[Array, " n"],
    k: Int32[Array, " groups"],
    all_sum: Callable[[Array], Array],
) -> UInt32[Array, "words groups"]:
    """For each group the largest tuple of words that still belongs to its k smallest.

    Most significant digit first, 8 bits a pass; a less significant word is looked at only where
    candidates tie in all the words before it.

    Args:
        words: most significant word first; the smaller tuple is the better candidate.
        group: which of the `groups` each candidate competes in.
        valid: the candidates that exist.
        k: how many to take in each group; a group with fewer is taken whole, and for k = 0 the
            bounds mean nothing.
        all_sum: sums counts over all devices and hosts; the result must be the same on each.

    Returns:
        Inclusive bounds for `within`.
    """
    groups = k.shape[0]
    ones = jnp.full(groups, _ALL, jnp.uint32)

    def count(index, keep, bins):
        index = jnp.where(keep, group * bins + index, groups * bins)
        counts = jnp.zeros(groups * bins, jnp.int32).at[index].add(1, mode="drop")
        return all_sum(counts).reshape(groups, bins)

    total = count(jnp.zeros_like(group), valid, 1)[:, 0]
    need = k
    done = (k <= 0) | (k > total)
    bounds = []
    matching = valid
    for word in words:

        def more(state):
            digit, done = state[0], state[3]
            return (digit < _DIGITS) & jnp.logical_not(done.all())

        def narrow(state, word=word, matching=matching):
            digit, prefix, need, done = state
            shift = (8 * (_DIGITS - 1 - digit)).astype(jnp.uint32)
            # In the first pass 256 is shifted out, and 0 - 1 has all bits set.
            low = lax.shift_left(jnp.uint32(_BINS), shift) - jnp.uint32(1)
            prefix_here = of_group(prefix, group)
            same = matching & ((word | low) == (prefix_here | low))
            bin_ = lax.shift_right_logical(word, jnp.broadcast_to(shift, word.shape))
            counts = count((bin_ & jnp.uint32(_BINS - 1)).astype(jnp.int32), same, _BINS)
            below = jnp.cumsum(counts, axis=1)
            last = jnp.argmax(below >= need[:, None], axis=1)
            taken = jnp.take_along_axis(counts, last[:, None], axis=1)[:, 0]
            before = jnp.take_along_axis(below, last[:, None], axis=1)[:, 0] - taken
            rest = lax.shift_left(jnp.uint32(1), shift) - jnp.uint32(1)
            bit = lax.shift_left(last.astype(jnp.uint32), jnp.broadcast_to(shift, last.shape))
            refined = (prefix & ~low) | bit | rest
            left = need - before
            settled = (digit == _DIGITS - 1) & (left == taken)
            return (
                digit + 1,
                jnp.where(done, prefix, refined),
                jnp.where(done, need, left),
                done | settled,
            )

        state = lax.while_loop(more, narrow, (jnp.int32(0), ones, need, done))
        _, prefix, need, done = state
        bounds.append(prefix)
        matching = matching & (word == of_group(prefix, group))
    return jnp.stack(bounds)


def within(
    words: Sequence[UInt32[Array, " n"]],
    group: Int32[Array, " n"],
    bounds: UInt32[Array, "words groups"],
) -> Bool[Array, " n"]:
    """Which candidates are at or before their group's bound, in the order of the words' tuple."""
    inside = jnp.ones_like(words[0], dtype=bool)
    for word, bound in zip(reversed(words), reversed(list(bounds)), strict=True):
        here = of_group(bound, group)
        inside = (word < here) | ((word == here) & inside)
    return inside


def of_group(values: Array, group: Int32[Array, "*shape"]) -> Array:
    """`values[group]`; with a single group the gather of a constant is left out."""
    if values.shape[0] == 1:
        return jnp.broadcast_to(values, group.shape)
    return values[group]
