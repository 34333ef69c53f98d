"""Several processes: how they find each other, what one does for all, and how they end together.

JAX's multi-controller runtime is all there is: every host runs the same command. Process 0 also
runs JAX's coordination service, which notices when a process no longer shows signs of life.
"""

import contextlib
import os
import re
import socket
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from cbda_jax import console
from cbda_jax.errors import InputError, Paused
from cbda_jax.runtime import abort, local_devices

T = TypeVar("T")

LOST_STATUS = 76
"""Exit status of a process that ends because another one of its run has ended."""

# At the end all have met before, so that the last of them is near.
_SHUTDOWN_S = 60
# How long a process that ends early waits for others that end for the same reason.
_LEAVE_S = 5
_MESSAGE_BYTES = 4096
# What errors say that come of a peer's end: collectives of CPUs and GPUs, JAX's coordination
# service, and Orbax, which waits at its barriers.
_SIGNS = re.compile(
    r"gloo|nccl|barrier|heartbeat|coordination.?service|(closed|reset) by peer|socket closed", re.I
)


def start(
    mode: str = "auto",
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    patience_s: int = 300,
    heartbeat_s: int = 30,
) -> None:
    """Connects this process with the others of its run, if there are any. Before JAX is used.

    Args:
        mode: "on", "off", or "auto": on under `srun` and Open MPI with more than one task, where a
            Kubernetes pod lists several TPU hosts, and where a coordinator is named.
        coordinator: HOST:PORT of process 0; None where JAX finds it itself (TPU VMs, SLURM, Open
            MPI 4).
        processes: how many there are; None as before.
        process: which of them this is, from 0; None as before.
        patience_s: seconds for all of them to arrive.
        heartbeat_s: seconds without a sign of life after which a process counts as dead.

    Raises:
        InputError: the arguments do not fit together, the port is taken, the coordinator cannot be
            reached, the hosts differ in what they were told or have, or the processes on a machine
            cannot share its GPUs.
    """
    if not _is_one_of_several(mode, coordinator, processes, process):
        _check_alone()
        return
    if coordinator is not None:
        processes, process = _check_flags(coordinator, processes, process)
        _check_address(coordinator, process, patience_s)
    own = local_devices.choose()
    abort.prepare(
        2,
        f"the {processes or ''} processes of this run did not find each other within "
        f"{patience_s} s (coordinator {coordinator or 'chosen by JAX'}); start the same command on "
        "all hosts, each with its own --process from 0 to one less than --processes",
    )
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            local_device_ids=own,
            initialization_timeout=patience_s,
            heartbeat_timeout_seconds=heartbeat_s,
            shutdown_timeout_seconds=_SHUTDOWN_S,
        )
        count = jax.process_count()
    except Exception as error:
        raise InputError(
            f"--distributed: the processes cannot be connected ({str(error).splitlines()[0]}); "
            "give each --coordinator=HOST:PORT --processes=N --process=I, or --distributed=off"
        ) from error
    abort.prepare(LOST_STATUS, _lost(count))
    console.speak(is_first())
    if processes not in (None, count):
        raise InputError(
            f"--processes: {processes} found, but process 0 expects {count}; give all the same"
        )
    if jax.device_count() != count * jax.local_device_count():
        raise InputError(
            f"{jax.local_device_count()} devices found on this host and {jax.device_count()} on "
            f"all {count}, expected as many on each; hide some, or use equal hosts"
        )


def devices(platform: str) -> str:
    """One line: how many of its devices each host uses. Called by all processes, like `sync`.

    Args:
        platform: of the devices: "cpu", "gpu" or "tpu".
    """
    host = zlib.crc32(socket.gethostname().encode())
    own = np.array(local_devices.use(platform, host), np.uint32)
    # Of one process, this gives the row back.
    rows = multihost_utils.process_allgather(own).reshape(-1, len(own))
    uses = [local_devices.Use(*map(int, row)) for row in rows]
    return local_devices.describe(platform, uses)


def sync(name: str) -> None:
    """Returns when all processes have come to the call of this name."""
    multihost_utils.sync_global_devices(name)


def is_first() -> bool:
    """Whether this process is the one that writes and speaks for all of its run."""
    return jax.process_index() == 0


def first(function: Callable[[], T]) -> T | None:
    """Calls the function in process 0 while the others wait; gives its result there, else None.

    Raises:
        InputError: the function raised it; the same in every process, so that none waits for one
            that has refused to go on.
    """
    result, refused = None, None
    if is_first():
        try:
            result = function()
        except InputError as error:
            refused = error
    buffer = np.zeros(_MESSAGE_BYTES, np.uint8)
    if refused is not None:
        message = str(refused).encode()[:_MESSAGE_BYTES]
        buffer[: len(message)] = np.frombuffer(message, np.uint8)
    # Of one process, this gives the buffer back.
    message = bytes(multihost_utils.broadcast_one_to_all(buffer)).rstrip(b"\0")
    if message:
        raise refused or InputError(message.decode(errors="ignore"))
    return result


def of_first(value: int) -> int:
    """The value of process 0, in every process."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def largest(value: int) -> int:
    """The largest value of any process, in every process."""
    if jax.process_count() == 1:
        return value
    return int(np.max(multihost_utils.process_allgather(np.int32(value))))


def total(values: np.ndarray) -> np.ndarray:
    """The sum of the int32 arrays of all processes, which have one shape; in every process."""
    if jax.process_count() == 1:
        return values
    return np.sum(multihost_utils.process_allgather(values), axis=0, dtype=values.dtype)


@contextlib.contextmanager
def session() -> Iterator[None]:
    """What several processes do together, between `start` and their common end.

    If a process ends, the others say so in one line and exit with `LOST_STATUS`: at once where a
    collective fails or if it was process 0, else when the coordination service has waited long
    enough for a sign of life. An error of the program prints its traceback and exits with 1,
    without waiting for processes that wait for this one.

    Raises:
        InputError: as it came, for the caller to tell; then `leave`.
        Paused: the same.
    """
    if not jax.distributed.is_initialized():
        yield
        return
    try:
        yield
        sync("the end of the run")
    except KeyboardInterrupt:
        leave(130)
    except Exception as error:
        if _is_of_a_lost_peer(error):
            console.say(f"error: {_lost(jax.process_count())}", everyone=True)
            _exit(LOST_STATUS)
        if isinstance(error, InputError | Paused):
            raise
        traceback.print_exc()
        leave(1)
    jax.distributed.shutdown()
    abort.restore()


def leave(status: int) -> NoReturn:
    """Exits with a status; waits for the others, a little, as they may be about to do the same.

    JAX's own way out waits for all processes, while others may wait in a collective for this one.
    """
    if jax.distributed.is_initialized():
        # Whoever leaves first must not make the others say that it is lost.
        abort.prepare(status, "")
        left = threading.Event()

        def shutdown() -> None:
            with contextlib.suppress(Exception):
                jax.distributed.shutdown()
                left.set()

        threading.Thread(target=shutdown, daemon=True).start()
        if not left.wait(_LEAVE_S):
            _exit(status)
    abort.restore()
    sys.exit(status)


# ------------------------------------------------------------------------ start


def _is_one_of_several(
    mode: str, coordinator: str | None, processes: int | None, process: int | None
) -> bool:
    if mode != "auto":
        return mode == "on"
    if coordinator is None and (processes or process is not None):
        raise InputError(
            "--processes or --process found without --coordinator; add --coordinator=HOST:PORT"
        )
    # Of srun; a batch script outside of it has SLURM_NTASKS as well, and is one process.
    tasks = os.environ.get("SLURM_NTASKS", "1") if "SLURM_STEP_NODELIST" in os.environ else "1"
    tasks = max(int(tasks), int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1")))
    pod = "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
    return coordinator is not None or tasks > 1 or pod


def _check_alone() -> None:
    if jax.process_count() > 1:
        raise InputError(
            f"the accelerator is one of {jax.process_count()} hosts, and this process was not "
            "connected with the others; start the same command on all of them with --distributed=on"
        )


def _check_flags(
    coordinator: str, processes: int | None, process: int | None
) -> tuple[int | None, int | None]:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(
            f"--coordinator: {coordinator!r} found, expected HOST:PORT of process 0, such as "
            "10.0.0.1:8476"
        )
    # Open MPI 5 does not say where process 0 is, but how many there are and which this is.
    if processes is None and "OMPI_COMM_WORLD_SIZE" in os.environ:
        processes = int(os.environ["OMPI_COMM_WORLD_SIZE"])
        process = int(os.environ["OMPI_COMM_WORLD_RANK"]) if process is None else process
    if processes is not None and processes < 1:
        raise InputError(f"--processes: {processes} found, expected 1 or more")
    if processes is not None and process is not None and not 0 <= process < processes:
        raise InputError(
            f"--process: {process} found, expected 0 to {processes - 1} of --processes={processes}"
        )
    return processes, process


def _check_address(coordinator: str, process: int | None, patience_s: int) -> None:
    """What JAX would say by ending the process, or after minutes, or not at all."""
    if process is None:
        return
    host, _, port = coordinator.rpartition(":")
    if process == 0:
        # JAX's server shares a port with that of another run; then neither is to be trusted.
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", int(port)))
            except OSError as error:
                raise InputError(
                    f"--coordinator: port {port} cannot be used on this host ({error.strerror}); "
                    "choose another one, the same for all processes"
                ) from error
        return
    end = time.monotonic() + patience_s
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise InputError(
                    f"--coordinator: {coordinator} not reached within {patience_s} s "
                    f"({error.strerror or error}); start process 0 there, or check the address and "
                    "the firewall"
                ) from error
        time.sleep(min(1.0, patience_s / 10))


# -------------------------------------------------------------------------- end


def _lost(count: int) -> str:
    return (
        f"another of the {count} processes of this run ended or cannot be reached; see what it "
        "said, then start the same command again on all hosts: it goes on from the last checkpoint"
    )


def _is_of_a_lost_peer(error: BaseException | None) -> bool:
    """Whether an error comes of a collective or a barrier that another process did not come to."""
    while error is not None:
        # Not an OSError: a disk or an object store can lose its connection as well.
        own = isinstance(error, InputError) or not isinstance(error, ValueError | RuntimeError)
        if not own and _SIGNS.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _exit(status: int) -> NoReturn:
    """Ends the process without JAX's way out, which would wait for the others."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
