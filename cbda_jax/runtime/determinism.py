"""Asks XLA for programs that round the same in every run. Before JAX starts a backend.

CPUs and TPUs do so by themselves. On GPUs the order of a sum may depend on which thread comes first
(atomic additions), and on which of several algorithms was the fastest when the program was compiled
(autotuning): docs/guide/reliability.md.
"""

import os
from collections.abc import MutableMapping

from cbda_jax.runtime import local_devices

_FLAGS = (
    "--xla_gpu_deterministic_ops=true",
    "--xla_gpu_exclude_nondeterministic_ops=true",
    "--xla_gpu_autotune_level=0",
    # Triton's matrix products need the autotuner to find their tiles: without it the training step
    # does not compile ("Couldn't find output tile sizes"). cuBLAS takes its own default.
    "--xla_gpu_enable_triton_gemm=false",
)
# NCCL: reductions in an NVLink switch add up in the order in which the parts arrive.
_VARIABLES = {"NCCL_NVLS_ENABLE": "0"}


def request(environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets what makes programs of GPUs deterministic, unless the user has set it.

    Without GPUs nothing is set: compiled programs are kept by their flags, too.

    Args:
        environment: of the process, which XLA reads when it compiles its first program, and NCCL
            when it connects the first devices.
    """
    if not local_devices.gpus_expected():
        return
    given = environment.get("XLA_FLAGS", "").split()
    names = {flag.partition("=")[0] for flag in given}
    missing = [flag for flag in _FLAGS if flag.partition("=")[0] not in names]
    environment["XLA_FLAGS"] = " ".join([*missing, *given])
    for name, value in _VARIABLES.items():
        environment.setdefault(name, value)
