"""Processes of a machine that do the same thing take turns."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: doing it twice at the same time is not guarded there.
    fcntl = None

_THREADS = threading.Lock()


@contextlib.contextmanager
def take_turn(path: Path, does: str) -> Iterator[None]:
    """Holds an exclusive lock between threads and processes; it ends with the process.

    Args:
        path: of the lock's file, which is made and stays.
        does: what the one that has the lock does, such as "prepares", for those that wait.

    Raises:
        OSError: the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _THREADS, path.open("w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for another process that {does} {path.parent}", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
