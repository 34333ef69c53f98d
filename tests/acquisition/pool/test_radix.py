"""Radix selection against sorting."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.acquisition import class_quota
from cbda_jax.acquisition.pool import radix
from cbda_jax.acquisition.pool.candidates import water_level


@jax.jit
def within(words, group, valid, k):
    bounds = radix.kth(list(words), group, valid, k, lambda x: x)
    return radix.within(list(words), group, bounds) & valid & (radix.of_group(k, group) > 0)


@pytest.mark.parametrize("groups", [1, 3])
@hypothesis.settings(max_examples=150, deadline=None, database=None)
@hypothesis.given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from((1, 3, 300, 2**32)))
def test_equals_sorting(groups, seed, spread):
    rng = np.random.default_rng(seed)
    n = 40
    words = rng.integers(0, spread, (3, n), dtype=np.uint64).astype(np.uint32)
    words[2] = rng.permutation(n)
    group = rng.integers(0, groups, n).astype(np.int32)
    valid = rng.random(n) < 0.8
    k = rng.integers(0, n // groups, groups).astype(np.int32)
    found = np.asarray(within(*map(jnp.asarray, (words, group, valid, k))))
    for g in range(groups):
        mine = sorted((tuple(words[:, i]), i) for i in range(n) if valid[i] and group[i] == g)
        expected = sorted(i for _, i in mine[: k[g]])
        assert np.flatnonzero(found & (group == g)).tolist() == expected


@hypothesis.settings(max_examples=150, deadline=None, database=None)
@hypothesis.given(
    counts=st.lists(st.integers(0, 30), min_size=4, max_size=4),
    available=st.lists(st.integers(0, 30), min_size=4, max_size=4),
    later=st.lists(st.integers(0, 30), min_size=4, max_size=4),
    budget=st.integers(1, 80),
)
def test_water_level_bounds_every_later_quota(counts, available, later, budget):
    counts, available, later = map(np.array, (counts, available, later))
    gap = jnp.asarray(counts - counts.min(), jnp.int32)
    kept = np.asarray(
        jax.jit(water_level)(gap, jnp.asarray(available, jnp.int32), jnp.int32(budget))
    )
    final = class_quota(counts, available + later, budget)
    assert (np.minimum(final, available) <= kept).all()
    assert np.minimum(kept, available).sum() <= budget + 4
