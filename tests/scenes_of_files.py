"""What processes that tests start do with locks, checkpoints and data sets: see `processes`."""

import json
import os
import resource
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import waiting
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from cbda_jax import stores
from cbda_jax.checkpoints import open_checkpoints
from cbda_jax.checkpoints.manifest import DamagedError
from cbda_jax.checkpoints.store import Checkpoints
from cbda_jax.data import images
from cbda_jax.data.datasets import folders
from cbda_jax.data.records import open_records
from cbda_jax.errors import InputError
from cbda_jax.runtime import lock

# ------------------------------------------------------------------------ locks


def hold_lock(workdir, environment=()):
    """Holds the lock of a workdir until it is killed."""
    os.environ.update(environment)
    lock.WorkdirLock(stores.to_path(workdir)).acquire()
    print("held", flush=True)
    time.sleep(waiting.LIMIT_S)


def enter(index, count, coordinator, workdir):
    """One process of a run that comes to a workdir."""
    jax.distributed.initialize(coordinator, count, index)
    try:
        with lock.hold(workdir):
            print("in")
    except InputError as error:
        print(error)
    jax.distributed.shutdown()


# ------------------------------------------------------------------ checkpoints


def save_on_a_full_disk(folder):
    """Saves where no file may become large; then where it may."""
    checkpoints = Checkpoints(folder)
    values = np.random.default_rng(0).standard_normal(300_000)
    state = {"a": jnp.asarray(values, jnp.float32)}
    checkpoints.save(1, state)
    checkpoints.wait()
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    # The limit's signal is ignored, as by Python: writes fail with an error.
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        checkpoints.save(2, state)
        checkpoints.close()
    except InputError as error:
        print("error:", error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    checkpoints = Checkpoints(folder)
    print(checkpoints.restore_latest(state)[0])
    checkpoints.save(2, state)
    checkpoints.close()
    print(Checkpoints(folder).restore_latest(state)[0])


def save_to_a_store(index, count, coordinator, folder, environment):
    """Saves two states in a store, of which process 0 has all, and has every process read it."""
    os.environ.update(environment)
    jax.distributed.initialize(coordinator, count, index)
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    everywhere = NamedSharding(mesh, PartitionSpec())

    def state(step):
        x = np.random.default_rng(step).standard_normal((64, 32)).astype(np.float32)
        return {"a": jax.device_put(x, everywhere)}

    checkpoints = open_checkpoints(folder)
    for step in (1, 2):
        checkpoints.save(step, state(step))
    checkpoints.wait()
    found = open_checkpoints(folder, writable=False).restore_latest(state(0))
    assert found is not None
    assert found[0] == 2
    np.testing.assert_array_equal(
        found[1]["a"].addressable_data(0), state(2)["a"].addressable_data(0)
    )
    checkpoints.close()
    multihost_utils.sync_global_devices("read")
    print("restored", flush=True)
    jax.distributed.shutdown()


def restore_what_all_can_read(index, count, coordinator, folder):
    """Saves three checkpoints, of which one is damaged and another cannot be read by process 1."""
    jax.distributed.initialize(coordinator, count, index)
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    everywhere = NamedSharding(mesh, PartitionSpec())

    def state(step):
        x = np.random.default_rng(step).standard_normal((64, 32)).astype(np.float32)
        return {
            "a": jax.device_put(x, everywhere),
            "step": jax.device_put(np.int32(step), everywhere),
        }

    checkpoints = Checkpoints(folder, keep=3)
    for step in (1, 2, 3):
        checkpoints.save(step, state(step))
    checkpoints.wait()
    multihost_utils.sync_global_devices("saved")
    if index == 0:
        for path in (folder / "3" / "state").rglob("d/*"):
            path.write_bytes(bytes(path.stat().st_size))
    multihost_utils.sync_global_devices("damaged")
    real = checkpoints._read

    def read(step, *arguments, **options):
        found = real(step, *arguments, **options)
        if step == 2 and index == 1:
            # Of this process alone: the other one must not go on with step 2.
            raise DamagedError("memory of this machine")
        return found

    checkpoints._read = read
    step, found = checkpoints.restore_latest(state(0))
    assert np.array_equal(found["a"].addressable_data(0), state(step)["a"].addressable_data(0))
    checkpoints.save(2, state(2))
    checkpoints.close()
    print("restored", step, sorted(path.name for path in folder.iterdir()), flush=True)
    jax.distributed.shutdown()


# -------------------------------------------------------------------- data sets


def prepare_when_told(index, count, coordinator, data, root, folder):
    """Says that it is ready, waits, and prepares a data set with the others."""
    del count, coordinator
    (folder / f"ready{index}").touch()
    waiting.until((folder / "go").exists, "the other process")
    records = open_records("gtav", data_dir=data, root=root, size=(12, 24))
    print(json.dumps([records.directory, [int(record["image"].sum()) for record in records]]))
    assert "tensorflow" not in sys.modules


def prepare_until(stop, data_dir, root, told):
    """Prepares a data set up to its "records" or its "index", says so, and waits for its end."""
    encode, write_index, done = images.encode, folders.write_index, 0

    def say_and_wait():
        # By a file, which several threads can make at the same moment.
        told.touch()
        time.sleep(waiting.LIMIT_S)
        os._exit(9)

    def slowly(array):
        nonlocal done
        done += 1
        if stop == "records" and done > 6:
            say_and_wait()
        return encode(array)

    def late(*arguments):
        write_index(*arguments)
        if stop == "index":
            say_and_wait()

    images.encode, folders.write_index = slowly, late
    open_records("gtav", data_dir=data_dir, root=root, size=(96, 128))
