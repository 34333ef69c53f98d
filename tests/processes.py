"""Functions in processes of their own, connected as hosts are.

JAX is imported once for all of them, by the server that they are forked from.
"""

import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["cbda_jax.run.experiment", "cbda_jax.runtime.hosts"])


class Ended(NamedTuple):
    status: int | None
    """Exit status; negative: of a signal; None: it had to be stopped."""
    output: str


def run(
    function: Callable[..., None], count: int, *arguments: object, timeout_s: float = 120
) -> list[Ended]:
    """Calls `function(index, count, coordinator, *arguments)` in `count` processes."""
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / str(index) for index in range(count)]
        coordinator = f"127.0.0.1:{free_port()}"
        started = [
            _CONTEXT.Process(
                target=_call, args=(log, function, index, count, coordinator, *arguments)
            )
            for index, log in enumerate(logs)
        ]
        end = time.monotonic() + timeout_s
        for process in started:
            process.start()
        for process in started:
            process.join(max(0, end - time.monotonic()))
        status = [process.exitcode for process in started]
        for process in started:
            process.kill()
            process.join()
        return [Ended(*pair) for pair in zip(status, (x.read_text() for x in logs), strict=True)]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _call(log: Path, function: Callable[..., None], *arguments: object) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    jax.config.update("jax_num_cpu_devices", 1)
    function(*arguments)
