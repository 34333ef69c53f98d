"""The device mesh, and how a function written for one replica is mapped over it.

One path from one CPU to many hosts: `jax.shard_map` under `jax.jit`, with the named axis `data`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cbda_jax import platform
from cbda_jax.errors import InputError

DATA = "data"
BATCH = PartitionSpec(DATA)
REPLICATED = PartitionSpec()


def make_mesh(devices: list[Any] | None = None) -> Mesh:
    """A mesh of one axis, `data`, over all devices of all hosts (or over those given)."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), (DATA,), axis_types=(AxisType.Auto,), devices=devices)


def per_replica(
    function: Callable, mesh: Mesh, *, in_specs: Any, out_specs: Any, donate: tuple[int, ...] = ()
) -> Callable:
    """Maps a per-replica function over the mesh and compiles it.

    Args:
        function: may use collectives over the axis `data`. Gradients of replicated arguments are
            those of the replica alone; sum them with `lax.psum`.
        mesh: of `make_mesh`.
        in_specs: `BATCH` or `REPLICATED` of each argument (tree prefixes), those that a call may
            leave out at the end included.
        out_specs: the same of each result.
        donate: arguments whose memory the results may take over.
    """

    def traced(*arguments: Any) -> Any:
        with platform.compiling_for(platform.of(mesh)):
            return function(*arguments)

    @functools.wraps(traced)
    def mapped(*arguments: Any) -> Any:
        specs = in_specs[: len(arguments)] if type(in_specs) is tuple else in_specs
        # check_vma would sum the gradients of replicated parameters by itself, silently.
        return jax.shard_map(
            traced, mesh=mesh, in_specs=specs, out_specs=out_specs, check_vma=False
        )(*arguments)

    return jax.jit(mapped, donate_argnums=donate)


def replicate(mesh: Mesh, tree: Any) -> Any:
    """The tree, whole, on every device."""
    return jax.device_put(tree, NamedSharding(mesh, REPLICATED))


def shard_batch(mesh: Mesh, tree: Any) -> Any:
    """Spreads the leading axis of this host's arrays over the devices; asynchronous."""
    sharding = NamedSharding(mesh, BATCH)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree
    )


def local(array: jax.Array) -> np.ndarray:
    """This host's part of an array whose leading axis is spread over the devices."""
    shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards])


def check_batch(size: int, mesh: Mesh, name: str) -> None:
    """Checks that a global batch can be spread over the mesh.

    Args:
        size: examples of all devices together.
        mesh: of `make_mesh`.
        name: of the config's field, for the message.

    Raises:
        InputError: the batch cannot be spread evenly over the devices.
    """
    if size < 1 or size % mesh.size:
        raise InputError(
            f"{name}: {size} found, which cannot be spread evenly over {mesh.size} devices; "
            f"make it a multiple of {mesh.size}, or use fewer devices"
        )
