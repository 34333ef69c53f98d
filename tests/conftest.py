"""Eight CPU devices, strict arithmetic and a persistent compilation cache for every test."""

import json
import math
import os
import zlib
from pathlib import Path

# Before anything imports JAX. Set in the environment, so that processes started by tests agree.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cbda_jax" / "xla"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("MPLBACKEND", "agg")

import jax
import numpy as np
import object_store
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

DATA = Path(__file__).parent / "data" / "golden"


@pytest.fixture(scope="session")
def bucket():
    """A bucket of a real S3 server on the loopback: see `object_store`."""
    with object_store.serve() as found:
        yield found


@pytest.fixture(scope="session")
def golden():
    """`golden(name)`: the arrays of one golden file, as a dict."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(DATA / f"{name}.npz") as arrays:
            return dict(arrays)

    return load


def _tensor(name, shape, seed=1):
    """The rule by which the golden checkpoints' numbers follow from their names."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(f"{seed}:{name}".encode())))
    x = generator.standard_normal(shape)
    if name.endswith("running_var"):
        x = 1 + 0.1 * np.abs(x)
    elif name.endswith("running_mean"):
        x = 0.1 * x
    elif name.endswith("bn3.weight"):
        x = 0.2 * (1 + 0.1 * x)
    elif len(shape) == 1 and name.endswith("weight"):
        x = 1 + 0.1 * x
    elif name.endswith("bias"):
        x = 0.1 * x
    else:
        x = x * math.sqrt(1 / math.prod(shape[1:]))
    return x.astype(np.float32)


@pytest.fixture(scope="session")
def reference_weights():
    """`reference_weights(keys, shapes)`: the checkpoint, array by name."""

    def make(keys, shapes):
        return {
            str(key): _tensor(str(key), json.loads(str(shape)))
            for key, shape in zip(keys, shapes, strict=True)
        }

    return make
