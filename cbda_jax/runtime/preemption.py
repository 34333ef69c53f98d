"""Notice to stop: SIGTERM, of which every host learns at the same point of the run."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import jax
from jax.experimental import multihost_utils

from cbda_jax.errors import Paused

# sysexits.h: a temporary failure; the same command goes on where this run stopped.
EXIT_STATUS = 75


class Preempted(Paused):
    """The machine is wanted back: save and exit."""

    status = EXIT_STATUS


class Preemption:
    """Turns SIGTERM into `Preempted`, raised where the run can be saved. A context manager.

    SIGTERM is what a spot machine and the time limit of a cluster send before they pull the plug.
    In a run of one process it sets a flag. With `jax.distributed`, JAX has its own handler, tells
    all processes, and lets them agree on the count of calls at which every one stops; the poll and
    the agreement take one to two seconds.

    A second SIGTERM ends the process at once. With `jax.distributed`, whose handler takes every
    SIGTERM, only from the moment on at which `Preempted` was raised.

    Enter it in the main thread (elsewhere Python has no signals, and a run of one process keeps the
    default) and, with several processes, after `jax.distributed.initialize`.
    """

    def __init__(self):
        self._notified = False
        self._count = 0
        self._distributed = False
        self._previous: Any = None

    def check(self) -> None:
        """Stops here if a notice has come; costs less than a microsecond if not.

        To be called after every step and between the batches of long phases, by all processes
        equally often: they agree on a number of calls.

        Raises:
            Preempted: by all processes at the same call, and by every call after it.
        """
        self._count += 1
        if (
            self._distributed
            and not self._notified
            and multihost_utils.reached_preemption_sync_point(self._count)
        ):
            self._notified = True
            self._default()
        if self._notified:
            raise Preempted

    def __enter__(self) -> "Preemption":
        self._distributed = jax.distributed.is_initialized()
        # A handler of ours would take the place of JAX's, and the other processes never knew.
        if not self._distributed and _in_main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._notify)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
            self._previous = None

    def _notify(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._notified = True
        self._default()

    def _default(self) -> None:
        """Lets the next SIGTERM end the process."""
        if _in_main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
