"""The k smallest, against a sort."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from cbda_jax.acquisition.scoring.lowest import lowest

lowest = jax.jit(lowest, static_argnames="count")


def sorted_lowest(x, count, among):
    """Column after column, a stable sort."""
    places = np.flatnonzero(among.T)
    best = places[np.argsort(x.T.ravel()[places], kind="stable")[:count]]
    mask = np.zeros(x.T.shape, bool)
    mask.ravel()[best] = True
    return mask.T


@pytest.mark.parametrize("values", [3, 2**20])
@pytest.mark.parametrize("count", [0, 1, 17, 100, 10**4])
def test_against_a_sort(values, count):
    rng = np.random.default_rng(count)
    x = (rng.integers(-values, values, (13, 19)) / values).astype(np.float32)
    among = rng.random(x.shape) < 0.8
    found = np.asarray(lowest(jnp.asarray(x), count, among=jnp.asarray(among)))
    np.testing.assert_array_equal(found, sorted_lowest(x, count, among))
    assert found.sum() == min(count, among.sum())


def test_nothing_competes():
    assert not lowest(jnp.ones((3, 4)), 5, among=jnp.zeros((3, 4), bool)).any()


def test_over_a_mesh():
    x = jax.random.uniform(jax.random.key(0), (8, 6, 7))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))

    def one(x):
        return lowest(x[0], 9, among=x[0] > 0.1)[None]

    spread = jax.jit(jax.shard_map(one, mesh=mesh, in_specs=P("data"), out_specs=P("data")))(x)
    for mask, alone in zip(np.asarray(spread), np.asarray(x), strict=True):
        np.testing.assert_array_equal(mask, sorted_lowest(alone, 9, alone > 0.1))
