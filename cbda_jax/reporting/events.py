"""TensorBoard event files, written by the thread that has the numbers."""

# Generated from protocol buffers at import: pyright sees none of their names.
# pyright: reportAttributeAccessIssue=false
import os
import socket
import struct
import time
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from tensorboardX.proto import event_pb2, summary_pb2
from tensorboardX.record_writer import masked_crc32c

from cbda_jax.stores import AnyPath, GrowingObject


class EventFile:
    """One event file. What a call writes has left the process when it returns; else it raises.

    In an object store it has by `flush`.

    tensorboardX's own writer hands events to a thread that dies of a full disk, and the run then
    waits for that thread without end.

    Args:
        folder: where TensorBoard looks; made if need be.
        purge_step: events of earlier files from this step on are hidden.

    Raises:
        OSError: the file cannot be made or written to; also by all methods.
    """

    def __init__(self, folder: AnyPath, *, purge_step: int):
        now = time.time()
        # TensorBoard reads files in the order of the seconds in their names.
        name = f"events.out.tfevents.{now:.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file: FileIO | GrowingObject
        if isinstance(folder, Path):
            folder.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a buffer that cannot be written raises again when it is closed.
            self._file = (folder / name).open("xb", buffering=0)
        else:
            self._file = GrowingObject(folder / name)
        self._write(event_pb2.Event(wall_time=now, file_version="brain.Event:2"))
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(event_pb2.Event(wall_time=now, step=purge_step, session_log=start))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes numbers of a step, by tag."""
        values = [
            summary_pb2.Summary.Value(tag=tag, simple_value=number)
            for tag, number in scalars.items()
        ]
        summary = summary_pb2.Summary(value=values)
        self._write(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        """Writes what an object store does not have yet."""
        self._file.flush()

    def close(self) -> None:
        """Closes the file. May be called twice."""
        self._file.close()

    def _write(self, event: Any) -> None:
        content = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, content))
        data = length + next(checksums) + content + next(checksums)
        # A disk that fills up takes the beginning without an error; the rest brings it.
        while data:
            data = data[self._file.write(data) :]
