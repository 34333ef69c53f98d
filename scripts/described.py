"""Accelerators that are not here, as their compilers know them.

A TPU's compiler comes with `pip install libtpu` (Linux on x86-64), a GPU's with
`pip install 'jax[cuda13]'` (several GB; no driver is needed). Import this before JAX.
"""

import atexit
import dataclasses
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

# The programs that describe them run on the CPU, and ask nobody about the machine they are on.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
# No chip is used, so that several processes can load the library.
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "--schedule" in sys.argv:
    # Read when the compiler's library is loaded.
    SCHEDULES: Path | None = Path(tempfile.mkdtemp(prefix="schedules-"))
    atexit.register(shutil.rmtree, SCHEDULES, ignore_errors=True)
    os.environ["LIBTPU_INIT_ARGS"] = (
        f"{os.environ.get('LIBTPU_INIT_ARGS', '')} --xla_jf_dump_to={SCHEDULES} "
        "--xla_jf_dump_llo_text=true"
    )
else:
    SCHEDULES = None
# Autotuning needs the device; set before JAX starts, and of no effect on other platforms.
if "autotune_level" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level=0".strip()
    )

from jax.experimental import topologies

from cbda_jax.errors import InputError, near

FILES = Path(__file__).with_name("targets")


@dataclasses.dataclass(frozen=True)
class Chip:
    """What is published of one device.

    Attributes:
        memory: bytes.
        flops: bfloat16 operations a second of its matrix units.
        clock: cycles a second; 0 where the compiler gives no cycles.
        link: bytes a second to other chips, all links together; 0 if unknown.
        smallest: the smallest topology that there is.
    """

    memory: float
    flops: float
    clock: float = 0
    link: float = 0
    smallest: str = ""


# cloud.google.com/tpu/docs, the pages of each version; clocks follow from the peak and the matrix
# units (v5e: 4 of 128 x 128). A v5p and a v4 count both of their cores as one device.
TPUS = {
    "v4": Chip(32 * 2**30, 275e12, 1.05e9, 300e9, "2x2x1"),
    "v5e": Chip(16 * 2**30, 197e12, 1.5e9, 200e9, "2x2"),
    "v5p": Chip(95 * 2**30, 459e12, 1.75e9, 600e9, "2x2x1"),
    "v6e": Chip(32 * 2**30, 918e12, 1.75e9, 448e9, "2x2"),
}
# Dense bfloat16 of the data sheet, by what stands in the target file.
_GPU_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "B200": 2250e12}


@dataclasses.dataclass(frozen=True)
class Target:
    """Devices to compile for.

    Attributes:
        name: as it was asked for.
        devices: of `jax.experimental.topologies`.
        chip: one of them.
        compiler: its name and version.
    """

    name: str
    devices: list[Any]
    chip: Chip
    compiler: str


def describe(name: str) -> Target:
    """A target by its name.

    Args:
        name: "v5e" (one chip), "v5e:2x4" (a slice), the same of another TPU; the name of a file in
            `scripts/targets`, such as "h100"; or the path of another GPU's target file (a
            `stream_executor.GpuTargetConfigProto` as text).

    Raises:
        InputError: there is no such target, or its compiler is not installed.
    """
    kind, _, shape = name.partition(":")
    path = FILES / f"{kind}.txtpb" if (FILES / f"{kind}.txtpb").exists() else Path(name)
    if kind in TPUS:
        return _tpu(name, kind, shape)
    if path.is_file():
        return _gpu(name, path)
    known = [*TPUS, *(file.stem for file in sorted(FILES.glob("*.txtpb")))]
    raise InputError(
        f"--target: {name!r} found, expected one of {', '.join(known)}, a slice such as v5e:2x4, "
        f"or the path of a GPU's target file{near(kind, known)}"
    )


def has_tpu_compiler() -> bool:
    """Whether libtpu is installed."""
    return importlib.util.find_spec("libtpu") is not None


def has_gpu_compiler() -> bool:
    """Whether JAX's plugin for CUDA is installed."""
    return any(importlib.util.find_spec(f"jax_cuda{n}_plugin") for n in (12, 13))


def _tpu(name: str, kind: str, shape: str) -> Target:
    if not has_tpu_compiler():
        raise InputError(
            f"--target: {name} needs the TPU compiler, which is not installed; "
            "pip install -e '.[targets]' (Linux on x86-64)"
        )
    try:
        topology = topologies.get_topology_desc(
            platform="tpu", topology_name=f"{kind}:{shape or TPUS[kind].smallest}"
        )
    except Exception as error:  # of the library's C++, with no class of its own
        raise InputError(
            f"--target: {name}: {str(error).splitlines()[0]}; expected a topology that there is, "
            f"such as {kind}:{TPUS[kind].smallest}"
        ) from error
    devices = list(topology.devices)
    return Target(
        name,
        devices if shape else devices[:1],
        TPUS[kind],
        f"libtpu {importlib.metadata.version('libtpu')}",
    )


def _gpu(name: str, path: Path) -> Target:
    if not has_gpu_compiler():
        raise InputError(
            f"--target: {name} needs the compiler of GPUs, which is not installed; "
            "pip install 'jax[cuda13]' of the JAX version that you have (several GB)"
        )
    text = path.read_text()
    topology = topologies.get_topology_desc(path.stem, "cuda", target_config=text, topology="1x1x1")
    memory = re.search(r"device_memory_size: *(\d+)", text)
    about = re.search(r'device_description_str: *"([^"]*)"', text)
    flops = [v for k, v in _GPU_FLOPS.items() if about and k in about[1]]
    chip = Chip(float(memory[1]) if memory else 0, flops[0] if flops else 0)
    return Target(
        name,
        list(topology.devices)[:1],
        chip,
        f"XLA of jaxlib {importlib.metadata.version('jaxlib')}",
    )
