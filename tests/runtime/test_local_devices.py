"""Environments as SLURM 22.05 and Open MPI 4.1 make them, through JAX's own detection."""

from types import SimpleNamespace

import jax
import pytest
from jax._src import distributed, xla_bridge

from cbda_jax import console
from cbda_jax.errors import InputError
from cbda_jax.runtime import hosts, local_devices
from cbda_jax.runtime.local_devices import Use

ALL = "all"


def slurm(rank, tasks, mask, on_node=4, **more):
    """What a task of srun sees; the job has so many GPUs on the node."""
    own = {
        "SLURM_JOB_ID": "17",
        "SLURM_STEP_NODELIST": "node[1-2]",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_NTASKS": str(2 * tasks),
        "SLURM_NTASKS_PER_NODE": str(tasks),
        "SLURM_STEP_TASKS_PER_NODE": f"{tasks}(x2)",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank % tasks),
        "SLURM_NODEID": str(rank // tasks),
    }
    if mask is not None:
        own |= {"SLURM_GPUS_ON_NODE": str(on_node), "CUDA_VISIBLE_DEVICES": mask}
    return own | more


def open_mpi(rank, size, **more):
    return {
        "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
        "OMPI_COMM_WORLD_SIZE": str(2 * size),
        "OMPI_COMM_WORLD_RANK": str(rank),
        "OMPI_COMM_WORLD_LOCAL_SIZE": str(size),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(rank % size),
        **more,
    }


CASES = {
    # --ntasks-per-node=4 --gpus-per-task=1: SLURM numbers the task's GPU as the node does, or from
    # 0 where it hides the others with cgroups.
    "a task a GPU": (slurm(3, 4, "3", SLURM_GPUS_PER_TASK="1"), ALL),
    "a task a GPU, hidden": (slurm(3, 4, "0", SLURM_GPUS_PER_TASK="1"), ALL),
    "a task a GPU, second node": (slurm(7, 4, "3", SLURM_GPUS_PER_TASK="a100:1"), ALL),
    "a task a GPU of its own, counted alone": (
        slurm(1, 2, "2,3", on_node=2, SLURM_GPUS_PER_TASK="2"),
        ALL,
    ),
    "two GPUs a task": (slurm(1, 2, "2,3", SLURM_GPUS_PER_TASK="2"), ALL),
    # --gpus-per-node=4
    "one task a node": (slurm(1, 1, "0,1,2,3"), ALL),
    "four tasks, all see all": (slurm(3, 4, "0,1,2,3"), "3"),
    "two tasks, all see all": (slurm(3, 2, "0,1,2,3"), "2,3"),
    "more than one GPU a task as SLURM's name has it": (slurm(0, 2, "GPU-8f1,GPU-a02"), ALL),
    "SLURM without GPUs": (slurm(1, 1, "NoDevFiles"), ALL),
    "one task, SLURM knows of no GPUs": (slurm(1, 1, None), ALL),
    "two tasks, SLURM knows of no GPUs": (slurm(1, 2, None), "2,3"),
    "mpirun": (open_mpi(3, 4), "3"),
    "mpirun, one process a machine": (open_mpi(1, 1), ALL),
    "mpirun, two GPUs each": (open_mpi(1, 2), "2,3"),
    "mpirun, a script sets the mask": (open_mpi(3, 4, CUDA_VISIBLE_DEVICES="3"), ALL),
    "mpirun in a job of SLURM": (slurm(0, 1, "0,1,2,3") | open_mpi(3, 4), "3"),
    "the user knows better": (slurm(3, 4, "3", JAX_LOCAL_DEVICE_IDS="0"), "0"),
}


@pytest.fixture
def environment(monkeypatch):
    """Sets variables as the only ones that say anything; the machine's driver shows four GPUs."""

    def set_to(variables):
        for name in [*local_devices.os.environ]:
            if name.startswith(("SLURM_", "OMPI_", *local_devices._MASKS, "JAX_LOCAL", "TPU_")):
                monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    monkeypatch.setattr(local_devices, "gpus_expected", lambda: True)
    monkeypatch.setattr(local_devices, "_driver_count", lambda: 4)
    return set_to


@pytest.fixture
def started(monkeypatch):
    """What JAX's own start makes of it, without a service and without a backend."""
    jax.devices()  # not from here on, with what is put in place of JAX's
    client = SimpleNamespace(connect=lambda: None)
    made = SimpleNamespace(
        get_distributed_runtime_service=lambda *_, **__: None,
        get_distributed_runtime_client=lambda *_, **__: client,
        create_preemption_sync_manager=lambda: SimpleNamespace(initialize=lambda _: None),
    )
    state = distributed.State()
    monkeypatch.setattr(distributed, "_jax", made)
    monkeypatch.setattr(distributed, "global_state", state)
    monkeypatch.setattr(xla_bridge, "backends_are_initialized", lambda: False)
    monkeypatch.setattr(hosts.abort, "prepare", lambda *_: None)
    yield state
    for name in ("jax_cuda_visible_devices", "jax_rocm_visible_devices"):
        jax.config.update(name, ALL)
    console.speak(True)


@pytest.mark.parametrize(("variables", "devices"), CASES.values(), ids=CASES)
def test_jax_shows_a_process_what_is_its_own(variables, devices, environment, started):
    environment(variables)
    hosts.start("on")
    assert xla_bridge.CUDA_VISIBLE_DEVICES.value == devices
    assert xla_bridge._ROCM_VISIBLE_DEVICES.value == devices
    # The rest is as JAX finds it.
    rank = variables.get("OMPI_COMM_WORLD_RANK", variables.get("SLURM_PROCID"))
    assert started.process_id == int(rank)


@pytest.mark.parametrize(
    ("variables", "devices"),
    [(slurm(3, 4, "0", SLURM_GPUS_PER_TASK="1"), "3"), (slurm(1, 1, "0,1,2,3"), "0")],
)
def test_jax_alone_shows_a_process_the_number_of_its_rank(variables, devices, environment, started):
    """Why `choose` is needed: of the first there is none, and the second leaves three idle."""
    environment(variables)
    jax.distributed.initialize()
    assert xla_bridge.CUDA_VISIBLE_DEVICES.value == devices


def test_without_gpus_jax_chooses(environment, monkeypatch):
    environment(slurm(3, 4, "3"))
    monkeypatch.setattr(local_devices, "gpus_expected", lambda: False)
    assert local_devices.choose() is None


def test_without_a_launcher_jax_chooses():
    assert local_devices.choose({"CUDA_VISIBLE_DEVICES": "0,1"}) is None


def test_gpus_of_which_nothing_is_known_are_jaxs_to_choose(environment, monkeypatch):
    monkeypatch.setattr(local_devices, "_driver_count", lambda: None)
    environment(slurm(1, 2, None))
    assert local_devices.choose() is None


@pytest.mark.parametrize(
    ("variables", "seen"),
    [(slurm(0, 3, "0,1,2,3"), 4), (open_mpi(0, 3), 4), (slurm(0, 8, "0,1,2,3"), 4)],
)
def test_gpus_that_cannot_be_shared_evenly_are_refused(variables, seen, environment):
    environment(variables)
    tasks = variables.get("OMPI_COMM_WORLD_LOCAL_SIZE", variables.get("SLURM_NTASKS_PER_NODE"))
    with pytest.raises(InputError) as raised:
        hosts.start("on")
    assert str(raised.value).startswith(
        f"GPUs: {seen} found for {tasks} processes on this machine, which all see them, expected a "
        f"multiple of {tasks}; start as many"
    )


@pytest.mark.parametrize(
    ("mask", "count"),
    [
        ("0", 1),
        ("2,3", 2),
        ("GPU-8f1,MIG-2", 2),
        ("", 0),
        ("-1", 0),
        ("0,-1,1", 1),
        ("NoDevFiles", 0),
    ],
)
def test_a_mask_counts_as_cuda_counts_it(mask, count):
    assert local_devices.visible({"CUDA_VISIBLE_DEVICES": mask}) == count
    assert local_devices.visible({"ROCR_VISIBLE_DEVICES": mask}) == count


def test_nodes_may_have_different_numbers_of_tasks(environment):
    environment(slurm(9, 4, "0,1,2,3", SLURM_STEP_TASKS_PER_NODE="4(x2),2", SLURM_NODEID="2"))
    assert local_devices.choose() == [2, 3]


@pytest.mark.parametrize(
    ("platforms", "installed", "expected"),
    [
        ("cpu", ["xla_cuda13"], False),
        ("cuda,cpu", [], True),
        ("tpu", [], False),
        (None, ["xla_cuda13"], True),
        (None, ["rocm7"], True),
        (None, ["other"], False),
    ],
)
def test_gpus_are_expected_where_jax_looks_for_them(platforms, installed, expected, monkeypatch):
    plugins = [SimpleNamespace(name=name) for name in installed]
    fake = SimpleNamespace(entry_points=lambda group: plugins if group == "jax_plugins" else [])
    monkeypatch.setattr(local_devices, "metadata", fake)
    monkeypatch.setattr(
        local_devices, "jax", SimpleNamespace(config=SimpleNamespace(jax_platforms=platforms))
    )
    assert local_devices.gpus_expected() == expected


# ------------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    ("uses", "line"),
    [
        # As many processes as GPUs, hidden from each other or not.
        ([Use(h, 1, 1) for h in (1, 2) for _ in range(4)], "4 of 4 GPUs in 4 processes on each of"),
        ([Use(h, 1, 4) for h in (1, 2) for _ in range(4)], "4 of 4 GPUs in 4 processes on each of"),
        ([Use(1, 1, 1)], "1 of 1 GPU in 1 process on 1 host"),
        ([Use(1, 1, 4), Use(2, 1, 4)], "1 of 4 GPUs in 1 process on each of 2 hosts; the others"),
        (
            [Use(1, 2, 2), Use(2, 2, 4)],
            "2 of 2 GPUs in 1 process on 1 host; 2 of 4 GPUs in 1 process on 1 host; the others",
        ),
    ],
)
def test_a_line_says_how_many_of_how_many(uses, line):
    assert local_devices.describe("gpu", uses).startswith(f"devices: {line}")


def test_what_slurm_gave_counts(environment):
    environment(slurm(0, 1, "0,1,2,3"))
    count = jax.local_device_count()
    assert local_devices.use("gpu", 5) == Use(5, count, max(count, 4))
    assert local_devices.use("cpu", 5) == Use(5, count, count)


def test_alone_the_line_is_of_this_process():
    count = jax.local_device_count()
    assert hosts.devices("cpu") == f"devices: {count} of {count} CPU devices in 1 process on 1 host"
