"""Functions in processes of their own, also connected as hosts are.

JAX and the package are imported once for all of them, by the server that they are forked from: this
saves the seconds that `python -m cbda_jax.main` takes to import them.
"""

import contextlib
import multiprocessing
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import waiting

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "cbda_jax.run.experiment",
        "cbda_jax.runtime.hosts",
        "cbda_jax.reporting.report",
        "matplotlib.figure",
        "ml_collections.config_flags",
    ]
)


class Fork(waiting.Child):
    """A process that calls a function; in all else as what `waiting` starts.

    Args:
        function: of a module, for it is looked up by name.
        arguments: of the function.
        name: of the process, in messages.
        together: both kinds of output in `output`.
        devices: CPU devices of the process.
    """

    def __init__(
        self,
        function: Callable[..., object],
        *arguments: object,
        name: str = "",
        together: bool = False,
        devices: int = 1,
    ):
        self._call = (devices, function, *arguments)
        super().__init__((), name or function.__name__, together=together)

    def _start(self, words: list[str], together: bool, options: dict[str, Any]) -> Any:
        del words, options
        for log in self._logs:
            log.touch()
        output, errors = self._logs[0], self._logs[not together]
        return _Handle(_CONTEXT.Process(target=_call, args=(output, errors, *self._call)))


class Ended(NamedTuple):
    status: int
    """Exit status; negative: of a signal."""
    output: str


@contextlib.contextmanager
def start(
    function: Callable[..., object],
    count: int,
    *arguments: object,
    together: bool = False,
    devices: int = 1,
) -> Iterator[list[Fork]]:
    """Processes that call `function(index, count, coordinator, *arguments)`; see `Fork`."""
    coordinator = waiting.free_address()
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                Fork(
                    function,
                    *(index, count, coordinator, *arguments),
                    name=f"process {index}",
                    together=together,
                    devices=devices,
                )
            )
            for index in range(count)
        ]


def run(
    function: Callable[..., object], count: int, *arguments: object, devices: int = 1
) -> list[Ended]:
    """The same until all have ended, both kinds of their output together."""
    with start(function, count, *arguments, together=True, devices=devices) as started:
        statuses = waiting.end_all(started)
        return [Ended(*pair) for pair in zip(statuses, (x.output for x in started), strict=True)]


class _Handle:
    """A process of `multiprocessing` with the methods of `subprocess.Popen`."""

    def __init__(self, process: Any):
        self._process = process
        process.start()
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self.returncode


def _call(output, errors, devices: int, function: Callable[..., object], *arguments) -> None:
    os.setsid()
    for log, number in ((output, 1), (errors, 2)):
        os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), number)
    os.chdir(waiting.ROOT)
    jax.config.update("jax_num_cpu_devices", devices)
    function(*arguments)
