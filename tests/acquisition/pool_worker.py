"""One host of several: `python pool_worker.py ADDRESS PROCESSES INDEX OUT`."""

import sys

import jax
import numpy as np

address, processes, index, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(address, processes, index)

import union  # noqa: E402 (nothing of JAX may run before the processes know each other)
from jax.sharding import AxisType  # noqa: E402

from cbda_jax.acquisition import Pool  # noqa: E402

IMAGES, CAPACITY = 37, 6
mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
result = {}
for name, counts in (("global", None), ("quota", np.array([40, 3, 0, 9]))):
    data = union.candidates(np.random.default_rng(5), IMAGES, CAPACITY, levels=9, classes=4)
    pool = Pool(60, counts=counts, mesh=mesh)
    # Every host has its own images, and makes as many calls as the others.
    mine = np.arange(index, IMAGES, processes)[::-1]
    mine = np.pad(mine, (0, -(-IMAGES // processes) - len(mine)), constant_values=-1)
    union.feed(pool, *data, mine, jax.local_device_count())
    result[f"{name}_truncated"] = pool.truncated()
    everyone, report = pool.finish(accept_truncated=True, everywhere=True)
    result[f"{name}_everyone"] = np.stack([everyone.image, everyone.col], axis=1)
    result[f"{name}_taken"] = report.taken
    result[f"{name}_chosen"] = np.array(union.chosen(pool)).reshape(-1, 2)
    result[f"{name}_threshold"] = np.asarray(pool.threshold.addressable_data(0))
np.savez(f"{out}/{index}.npz", **result)
