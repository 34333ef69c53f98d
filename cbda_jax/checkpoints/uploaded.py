"""Checkpoints in an object store: saved to the disk of one host by Orbax, and uploaded from there.

The state is whole on every device, so one host has all of it, and none has to see the files of
another. Orbax writes by itself to `gs://`, not to `s3://`; here both go the same way.
"""

import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import numpy as np

from cbda_jax import stores
from cbda_jax.checkpoints.store import Checkpoints
from cbda_jax.errors import InputError
from cbda_jax.runtime import hosts
from cbda_jax.stores import AnyPath, reported

_COMMITTED = "commit_success.txt"
"""The last object of a checkpoint, without which it is not there; Orbax's, in stores."""


class UploadedCheckpoints(Checkpoints):
    """The checkpoints of a run, by training step, in an object store.

    A checkpoint counts once its last object is there; what a killed upload left is removed when
    they are opened the next time to be written to. Damaged ones are put aside as on a disk.

    Args:
        folder: in a store.
        keep: how many of the newest are kept.
        writable: False to look only.

    Raises:
        InputError: the store cannot be reached.
    """

    def __init__(self, folder: AnyPath, *, keep: int = 2, writable: bool = True):
        # Where Orbax saves to and reads from: one checkpoint at a time.
        self._disk = TemporaryDirectory(prefix="cbda_jax-checkpoints-")
        self._local = Path(self._disk.name)
        super().__init__(self._local, keep=1, alone=True)
        self.folder = folder
        self._keep, self._writable = keep, writable
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._upload: Future[None] | None = None
        self._held: set[int] = set()
        if writable:
            hosts.first(self._remove_parts)
        with reported(folder):
            self._held = self._steps()

    @property
    def latest(self) -> int | None:
        """As in `Checkpoints`."""
        return max(self._held, default=None)

    def save(self, step: int, state: Any) -> None:
        """As in `Checkpoints`; waits for the save before.

        Raises:
            InputError: a newer checkpoint is there, or the save before failed; in all processes.
        """
        if step in self._held:
            return
        hosts.first(lambda: self._start(step, state))
        self._held.add(step)

    def wait(self) -> None:
        """Returns in all processes when all saves are in the store.

        Raises:
            InputError: it, or the disk, cannot be written to; in all processes.
        """
        hosts.first(self._settle)

    def close(self) -> None:
        """As in `Checkpoints`; of this process alone."""
        try:
            self._settle()
        finally:
            self._thread.shutdown()
            try:
                self._manager.close()
            finally:
                self._disk.cleanup()

    def _start(self, step: int, state: Any) -> None:
        self._settle()
        # Off the device now: the next step changes what is there.
        copied = jax.tree.map(_on_the_host, state)
        self._upload = self._thread.submit(self._save_and_upload, step, copied)

    def _settle(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.result()

    def _save_and_upload(self, step: int, state: Any) -> None:
        super().save(step, state)
        super().wait()
        saved, place = self._local / str(step), self.folder / str(step)
        try:
            stores.upload_folder(saved, place)
            stores.put(place / _COMMITTED, b"")
            for old in sorted(self._steps())[: -self._keep]:
                self._remove(old)
        except OSError as error:
            raise InputError(
                f"cannot write a checkpoint to {self.folder}: {stores.reason(error)}; check the "
                "network and the credentials; the older checkpoints and the query log are whole, "
                "and the same command goes on from them"
            ) from error

    def _steps(self) -> set[int]:
        found = {Path(name).parts for name in stores.names(self.folder)}
        return {int(p[0]) for p in found if p[0].isdecimal() and p[1:] == (_COMMITTED,)}

    def _read(self, step: int, wanted: dict[str, Any], *, exact: bool) -> dict[str, Any]:
        place, local = self.folder / str(step), self._local / str(step)
        with reported(place):
            for name in stores.names(place):
                stores.download(place / name, local / name)
        try:
            self._manager.reload()
            return super()._read(step, wanted, exact=exact)
        finally:
            shutil.rmtree(local, ignore_errors=True)
            self._manager.reload()

    def _rename(self, path: AnyPath, to: AnyPath) -> None:
        names = stores.names(path)
        for name in names:
            stores.put(to / name, stores.read(path / name))
        self._remove(int(path.name))

    def _remove(self, step: int) -> None:
        place = self.folder / str(step)
        # First of all it counts no more.
        stores.remove(place / _COMMITTED)
        stores.remove_folder(place)

    def _remove_parts(self) -> None:
        with reported(self.folder):
            there = {Path(name).parts[0] for name in stores.names(self.folder)}
            for step in {int(name) for name in there if name.isdecimal()} - self._steps():
                self._remove(step)


def open_checkpoints(
    folder: str | os.PathLike[str], *, keep: int = 2, writable: bool = True
) -> Checkpoints:
    """The checkpoints of a folder, on a disk or in an object store.

    Args:
        folder: a path, `gs://BUCKET/...` or `s3://BUCKET/...`.
        keep: how many of the newest are kept.
        writable: False to look only.

    Raises:
        InputError: the store cannot be reached, or the package for it is not installed.
    """
    path = stores.to_path(folder, "checkpoint.dir")
    opened = Checkpoints if isinstance(path, Path) else UploadedCheckpoints
    return opened(path, keep=keep, writable=writable)


def _on_the_host(leaf: Any) -> Any:
    """A copy of an array that is whole on every device."""
    if isinstance(leaf, jax.Array):
        return np.array(leaf.addressable_data(0))
    return np.array(leaf)
