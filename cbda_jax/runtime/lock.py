"""One run at a time in a workdir: the lock file, and what to remove after killed runs."""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cbda_jax import console, stores
from cbda_jax.errors import InputError
from cbda_jax.runtime import hosts, identity
from cbda_jax.runtime.lock_files import DiskFiles, Files, Found, StoreFiles
from cbda_jax.stores import AnyPath, reported, to_path

NAME = "lock.json"
# Files of `cbda_jax.files.write_atomic` and of this module that never got their name.
_TEMPORARY = re.compile(
    rf"\..+\.[a-z0-9_]{{8}}\.tmp|\.+{re.escape(NAME)}\.[\w.]+\.(claim|beat|tmp)"
)
_UNFINISHED_SAVE = re.compile(r"\d+\.orbax-checkpoint-tmp.*")


@contextmanager
def hold(
    workdir: AnyPath, *, beat_s: float | int = 30, stale_s: float | int = 180
) -> Iterator["WorkdirLock"]:
    """Holds the lock of a workdir in process 0; all processes of the run enter and leave together.

    Args:
        workdir: folder of the run; made if needed, and gone again if nothing was put there.
        beat_s: seconds between two signs of life.
        stale_s: seconds without one after which the run of another machine counts as ended.

    Raises:
        InputError: another run has it (in every process), or the folder cannot be written to.
    """
    lock = WorkdirLock(workdir, beat_s=beat_s, stale_s=stale_s)
    try:
        hosts.first(lock.acquire)
        yield lock
    finally:
        lock.release()


class WorkdirLock:
    """The lock of one process; see `hold`.

    An owner on this machine is looked up: it is gone if no process has its id and start time. The
    processes of another machine or container cannot be seen. Their sign of life is the time of the
    file, which the owner renews. Where that is neither new nor old, it is watched until it changes
    or `stale_s` have passed, so that two machines need not agree on the time. In an object store
    the lock is a lease: `lock_files.StoreFiles`.
    """

    def __init__(self, workdir: AnyPath, *, beat_s: float | int = 30, stale_s: float | int = 180):
        workdir = to_path(workdir)
        self.path = (workdir.absolute() if isinstance(workdir, Path) else workdir) / NAME
        self._files: Files = DiskFiles() if isinstance(self.path, Path) else StoreFiles()
        self._beat_s, self._stale_s = beat_s, stale_s
        self._owner: dict[str, Any] = {}
        self._made: list[Path] = []
        self._lost = False
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="workdir lock", daemon=True)

    def acquire(self) -> None:
        """Takes the lock, also that of a run that was killed.

        Raises:
            InputError: another run has it, or the folder cannot be written to. Nothing has changed.
        """
        folder = self.path.parent
        self._owner = identity.describe()
        try:
            if isinstance(folder, Path):
                self._made = [path for path in (folder, *folder.parents) if not path.exists()]
                folder.mkdir(parents=True, exist_ok=True)
            else:
                stores.check_exclusive(folder)
            self._take(self.path)
        except BaseException as error:
            self._owner = {}
            self._remove_made()
            if isinstance(error, OSError):
                hint = "free some space" if isinstance(folder, Path) else "check the store"
                raise InputError(
                    f"cannot write {self.path}: {error.strerror or error}; {hint} or name "
                    "another --workdir; nothing already written has changed"
                ) from error
            raise
        self._heart.start()

    def check(self) -> None:
        """Checks that the lock has not been taken away, as from a machine that was asleep.

        A lease is looked at now, since an object store lets everybody write who can.

        Raises:
            InputError: it has been; nothing more may be written. Only in the process that held it.
                A store cannot be reached.
        """
        if self._owner and not isinstance(self.path, Path):
            with reported(self.path):
                self._lost |= self._files.token(self.path) != self._owner["token"]
        if self._lost:
            raise InputError(
                f"{self.path}: found gone or of another run, expected the lock of this one; this "
                "run stops, the other goes on"
            )

    def release(self) -> None:
        """Gives the lock back; does nothing if it is not held."""
        if not self._owner:
            return
        self._stop.set()
        self._heart.join()
        if self._files.token(self.path) == self._owner["token"]:
            self._files.remove(self.path, self._owner)
        self._owner = {}
        self._remove_made()

    def _take(self, path: AnyPath) -> None:
        """Makes `path` ours: the lock, or the claim to replace a stale one."""
        while (now := self._files.create(path, self._owner)) is not None:
            found = self._files.read(path)
            if found is None:
                continue
            if not self._is_stale(path, found, now):
                raise self._refusal(found)
            # Of all who found it stale one may replace it. The claim is of that very lock, and
            # becomes the new one; whoever comes later finds another lock than the one claimed.
            claim = path.with_name(f".{NAME}.{found.token}.claim")
            self._take(claim)
            if self._files.token(path) == found.token:
                self._files.move(claim, path, self._owner)
                if path == self.path:
                    console.say(
                        f"{path.parent}: taking over from {found.who}, which ended without a word"
                    )
                return
            self._files.remove(claim, self._owner)

    def _is_stale(self, path: AnyPath, found: Found, now: float) -> bool:
        alive = identity.is_alive(found.owner)
        if alive is not None:
            return not alive
        left = self._stale_s - max(0.0, now - found.time_ns / 1e9)
        if left <= 0:
            return True
        console.say(
            f"{path.parent}: in use by {found.who}, or was; waiting {left:.0f} s for a sign of life"
        )
        end = time.monotonic() + left
        while time.monotonic() < end:
            time.sleep(min(1.0, self._beat_s / 4))
            if self._files.read(path) != found:
                return False
        return True

    def _refusal(self, found: Found) -> InputError:
        return InputError(
            f"{self.path.parent} is in use by another run: {found.who}, since "
            f"{found.owner.get('since', 'unknown')} ({found.owner.get('command', 'unknown')}); "
            "wait for its end, stop it, or use another --workdir (if it is certainly gone, delete "
            f"{self.path})"
        )

    def _beat(self) -> None:
        while not self._stop.wait(self._beat_s):
            try:
                if self._files.token(self.path) != self._owner["token"]:
                    self._lost = True
                    return
                self._files.beat(self.path, self._owner)
            except OSError:
                # A disk that cannot be reached for a while takes no lock away.
                continue

    def _remove_made(self) -> None:
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return


def remove_leftovers(workdir: AnyPath) -> list[AnyPath]:
    """Removes what a killed run was writing and nobody will finish. Call it holding the lock.

    These are temporary files in the folders of a run, and checkpoints that were not saved to the
    end. Only names of those kinds are touched, and not `predictions`, which may be written to
    while another process trains.

    Returns:
        What was removed.

    Raises:
        InputError: something of it cannot be removed.
    """
    workdir = to_path(workdir)
    if not isinstance(workdir, Path):
        return _remove_objects(workdir)
    hidden = [*workdir.glob(".*")]
    for name in ("queries", "answers", "small_rounds", "gallery", "report"):
        hidden += (workdir / name).rglob(".*")
    removed = [p for p in hidden if _TEMPORARY.fullmatch(p.name) and p.is_file()]
    saves = (workdir / "checkpoints").glob("*")
    removed += [p for p in saves if _UNFINISHED_SAVE.fullmatch(p.name) and p.is_dir()]
    removed = [path for path in sorted(removed) if not path.is_symlink()]
    for path in removed:
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"{path}: left by a killed run, cannot be removed ({error.strerror or error}); "
                "check the permissions of the folder"
            ) from error
    return [*removed]


def _remove_objects(workdir: AnyPath) -> list[AnyPath]:
    """The same in an object store: signs of life and claims of others, and checkpoints in part."""
    removed = []
    with reported(workdir):
        held = StoreFiles().read(workdir / NAME)
        own = f".{NAME}.{held.token if held else ''}.beat"
        for path in workdir.glob(".*"):
            if _TEMPORARY.fullmatch(path.name) and path.name != own:
                stores.remove(path)
                removed.append(path)
    return removed
