"""Eight CPU devices, strict arithmetic and a persistent compilation cache for every test."""

import os
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
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def golden():
    """`golden(name)`: the arrays of one golden file, as a dict."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(DATA / f"{name}.npz") as arrays:
            return dict(arrays)

    return load
