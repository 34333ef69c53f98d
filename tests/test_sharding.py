"""The mesh of eight devices: what is spread, what is whole, and what comes back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cbda_jax import sharding
from cbda_jax.errors import InputError


@pytest.mark.parametrize("devices", [1, 8])
def test_what_is_spread_comes_back_in_order(devices):
    mesh = sharding.make_mesh(jax.devices()[:devices])
    array = np.arange(48, dtype=np.int32).reshape(16, 3)
    spread = sharding.shard_batch(mesh, {"a": array})["a"]
    assert {shard.data.shape for shard in spread.addressable_shards} == {(16 // devices, 3)}
    np.testing.assert_array_equal(sharding.local(spread), array, strict=True)


def test_each_replica_sees_its_part_and_all_of_what_is_replicated():
    mesh = sharding.make_mesh()
    assert mesh.axis_names == (sharding.DATA,)

    def function(part, whole):
        return part * whole.sum(), lax.psum(part.sum(), sharding.DATA)

    mapped = sharding.per_replica(
        function,
        mesh,
        in_specs=(sharding.BATCH, sharding.REPLICATED),
        out_specs=(sharding.BATCH, sharding.REPLICATED),
    )
    array = np.arange(16, dtype=np.float32)
    products, total = mapped(
        sharding.shard_batch(mesh, array), sharding.replicate(mesh, jnp.asarray([1.0, 2.0]))
    )
    np.testing.assert_array_equal(products, 3 * array)
    assert float(total) == array.sum()


def test_gradients_are_those_of_the_replica_alone():
    """With the default check they would be summed already, and a mean on top eight times wrong."""
    mesh = sharding.make_mesh()

    def gradient(weight, part):
        return jax.grad(lambda w: (w * part).sum())(weight)[None]

    mapped = sharding.per_replica(
        gradient, mesh, in_specs=(sharding.REPLICATED, sharding.BATCH), out_specs=sharding.BATCH
    )
    array = np.arange(8, dtype=np.float32)
    weight = sharding.replicate(mesh, jnp.float32(2))
    np.testing.assert_array_equal(mapped(weight, sharding.shard_batch(mesh, array)), array)


def test_donated_memory_is_given_away():
    mesh = sharding.make_mesh()
    step = sharding.per_replica(
        lambda x: x + 1,
        mesh,
        in_specs=(sharding.REPLICATED,),
        out_specs=sharding.REPLICATED,
        donate=(0,),
    )
    x = sharding.replicate(mesh, jnp.zeros((8, 8), jnp.float32))
    step(x)
    assert x.is_deleted()


@pytest.mark.parametrize("size", [0, 6, 12])
def test_batch_that_does_not_divide_is_an_error(size):
    mesh = sharding.make_mesh()
    message = f"batch: {size} found, which cannot be spread evenly over 8 devices"
    with pytest.raises(InputError, match=message):
        sharding.check_batch(size, mesh, "batch")
    sharding.check_batch(16, mesh, "batch")
