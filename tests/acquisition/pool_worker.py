"""One host of several: what `pool/test_hosts.py` starts."""

import jax
import numpy as np
import union
from jax.sharding import AxisType

from cbda_jax.acquisition import Pool

IMAGES, CAPACITY = 37, 6


def choose(index, count, coordinator, out):
    """Fills pools with this host's images, and writes down what they chose."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(coordinator, count, index)
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    result = {}
    for name, counts in (("global", None), ("quota", np.array([40, 3, 0, 9]))):
        data = union.candidates(np.random.default_rng(5), IMAGES, CAPACITY, levels=9, classes=4)
        pool = Pool(60, counts=counts, mesh=mesh)
        # Every host has its own images, and makes as many calls as the others.
        mine = np.arange(index, IMAGES, count)[::-1]
        mine = np.pad(mine, (0, -(-IMAGES // count) - len(mine)), constant_values=-1)
        union.feed(pool, *data, mine, jax.local_device_count())
        result[f"{name}_truncated"] = pool.truncated()
        everyone, report = pool.finish(accept_truncated=True, everywhere=True)
        result[f"{name}_everyone"] = np.stack([everyone.image, everyone.col], axis=1)
        result[f"{name}_taken"] = report.taken
        result[f"{name}_chosen"] = np.array(union.chosen(pool)).reshape(-1, 2)
        result[f"{name}_threshold"] = np.asarray(pool.threshold.addressable_data(0))
    np.savez(out / f"{index}.npz", **result)
    jax.distributed.shutdown()
