"""Which GPUs of its machine a process takes, where several processes share the machine.

Under `srun` and `mpirun` JAX gives a process the one GPU whose number is its rank on the machine.
SLURM may have hidden all GPUs but the process's own, which then is number 0; and a process that is
alone on its machine is to have all of them.
"""

import ctypes
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import NamedTuple

import jax

from cbda_jax.errors import InputError

# Which devices the runtimes of NVIDIA and AMD show a process, as SLURM and people set them.
_MASKS = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_NAMES = {"cpu": "CPU device", "gpu": "GPU", "tpu": "TPU device"}


class Use(NamedTuple):
    """What a process uses of its machine.

    Attributes:
        host: a number that stands for the machine.
        used: devices that the process uses.
        found: devices that it and the others on its machine could use, as far as it knows.
    """

    host: int
    used: int
    found: int


def gpus_expected() -> bool:
    """Whether JAX will look for GPUs; known before it has started a backend."""
    platforms = jax.config.jax_platforms  # pyright: ignore[reportAttributeAccessIssue]
    if platforms:
        return not {"cuda", "gpu", "rocm"}.isdisjoint(platforms.split(","))
    plugins = metadata.entry_points(group="jax_plugins")
    return any(re.search("cuda|rocm", plugin.name) for plugin in plugins)


def choose(environment: Mapping[str, str] = os.environ) -> list[int] | None:
    """The `local_device_ids` of this process, for `jax.distributed.initialize`.

    A process that was given GPUs of its own takes them all, and so does one that is alone on its
    machine. GPUs that several processes see are dealt out evenly, in the order of their ranks.

    Args:
        environment: of the process.

    Returns:
        Numbers of GPUs as the process counts them; [] for all that it sees; None where JAX is to
        choose: without GPUs, outside of `srun` and `mpirun`, and where JAX_LOCAL_DEVICE_IDS says.

    Raises:
        InputError: the processes on this machine cannot share its GPUs evenly.
    """
    if "JAX_LOCAL_DEVICE_IDS" in environment or not gpus_expected():
        return None
    place = _place(environment)
    if place is None:
        return None
    index, count = place
    if count == 1:
        return []
    seen = visible(environment)
    if seen is None:
        return None
    # JAX says what is wrong where there is none.
    if seen == 0 or _are_its_own(seen, environment):
        return []
    if seen % count:
        raise InputError(
            f"GPUs: {seen} found for {count} processes on this machine, which all see them, "
            f"expected a multiple of {count}; start as many processes as GPUs, or one, or name "
            "those of each process in JAX_LOCAL_DEVICE_IDS"
        )
    share = seen // count
    return [*range(index * share, (index + 1) * share)]


def visible(environment: Mapping[str, str] = os.environ) -> int | None:
    """How many GPUs this process can see; None if that is not known without a backend."""
    mask = _mask(environment)
    if mask is None:
        return _driver_count()
    # As CUDA does: what follows a device that does not exist, such as -1, is not looked at.
    names = [name.strip() for name in mask.split(",")]
    valid = [bool(re.fullmatch(r"\d+|(GPU|MIG)-.+", name)) for name in names]
    return [*valid, False].index(False)


def use(platform: str, host: int, environment: Mapping[str, str] = os.environ) -> Use:
    """What this process uses of its machine. Starts JAX's backend.

    Args:
        platform: of the devices: "cpu", "gpu" or "tpu".
        host: a number that stands for the machine.
        environment: of the process.
    """
    used = jax.local_device_count()
    found = None
    if platform == "gpu":
        given = environment.get("SLURM_GPUS_ON_NODE")
        found = visible(environment) if given is None else int(given)
    return Use(host, used, max(used, found or 0))


def describe(platform: str, processes: Iterable[Use]) -> str:
    """One line for all processes: "devices: 4 of 4 GPUs in 4 processes on each of 2 hosts".

    Args:
        platform: of the devices: "cpu", "gpu" or "tpu".
        processes: what each of them uses.
    """
    hosts: dict[int, list[Use]] = {}
    for process in processes:
        hosts.setdefault(process.host, []).append(process)
    kinds = Counter()
    for found in hosts.values():
        used = sum(process.used for process in found)
        # Processes that see only their own know less than all of them together.
        kinds[used, max(used, *(process.found for process in found)), len(found)] += 1
    parts = []
    for (used, found, count), times in kinds.items():
        where = "1 host" if times == 1 else f"each of {times} hosts"
        devices = f"{used} of {_number(found, _NAMES[platform])}"
        parts.append(f"{devices} in {_number(count, 'process')} on {where}")
    idle = any(used < found for used, found, _ in kinds)
    return f"devices: {'; '.join(parts)}" + ("; the others are idle" if idle else "")


def _number(count: int, name: str) -> str:
    plural = f"{name}es" if name.endswith("s") else f"{name}s"
    return f"{count} {name if count == 1 else plural}"


def _place(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """Rank and number of the processes on this machine; None if no launcher says."""
    # In this order, as JAX has it: Open MPI's processes in a job of SLURM have the variables of
    # both, and those of SLURM are of the daemon that started them.
    if "OMPI_COMM_WORLD_LOCAL_RANK" in environment:
        rank, size = (environment.get(f"OMPI_COMM_WORLD_LOCAL_{x}") for x in ("RANK", "SIZE"))
        return None if size is None else (int(rank or 0), int(size))
    if "SLURM_STEP_NODELIST" not in environment or "SLURM_LOCALID" not in environment:
        return None
    count = environment.get("SLURM_NTASKS_PER_NODE")
    if tasks := environment.get("SLURM_STEP_TASKS_PER_NODE"):
        count = _expand(tasks)[int(environment.get("SLURM_NODEID", "0"))]
    return None if count is None else (int(environment["SLURM_LOCALID"]), int(count))


def _are_its_own(seen: int, environment: Mapping[str, str]) -> bool:
    """Whether the GPUs that a process sees are hidden from the others on its machine."""
    if _mask(environment) is None:
        return False
    # One alone is the work of SLURM, or of a script that sets the mask by the rank. SLURM counts
    # those of all tasks, and says how many each asked for, maybe after their type ("a100:2").
    on_node = int(environment.get("SLURM_GPUS_ON_NODE", seen))
    each = environment.get("SLURM_GPUS_PER_TASK", "").rpartition(":")[2]
    return seen == 1 or seen < on_node or each == str(seen)


def _expand(tasks: str) -> list[int]:
    """Tasks of each node from SLURM's short form: "4(x2),3" is 4, 4, 3."""
    pairs = re.findall(r"(\d+)(?:\(x(\d+)\))?", tasks)
    return [int(count) for count, times in pairs for _ in range(int(times or 1))]


def _mask(environment: Mapping[str, str]) -> str | None:
    return next((environment[name] for name in _MASKS if name in environment), None)


def _driver_count() -> int | None:
    """What NVIDIA's driver says; None without one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count = ctypes.c_int(0)
    if driver.cuInit(0) == 0:
        driver.cuDeviceGetCount(ctypes.byref(count))
    return count.value
