"""The file of a workdir's lock: on a disk, or as a lease in an object store.

Both have the same operations, of which the lock is made (`cbda_jax.runtime.lock`).
"""

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cbda_jax import stores
from cbda_jax.stores import AnyPath

# File systems that are mounted object stores have no hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class Found(NamedTuple):
    """A lock as it was read.

    Attributes:
        token: of its owner.
        owner: as `identity.describe` has it.
        time_ns: of its owner's last sign of life, by the clock of the file system or store.
        beats: signs of life that a lease has had; they may be nearer to each other than its clock
            tells.
    """

    token: str
    owner: dict[str, Any]
    time_ns: int
    beats: int = 0

    @property
    def who(self) -> str:
        """The owner, for a person."""
        return f"process {self.owner.get('pid', '?')} on {self.owner.get('host', '?')}"


class Files(Protocol):
    """What a lock needs of where it is. All methods raise `OSError` where that fails."""

    def create(self, path: Any, owner: dict[str, Any]) -> float | None:
        """Makes the file, if it is not there. Else the time of the file system, in seconds."""
        ...

    def read(self, path: Any) -> Found | None:
        """What the file says; None if there is no file."""
        ...

    def token(self, path: Any) -> str | None:
        """The token of its owner alone; None if there is no file."""
        ...

    def move(self, claim: Any, path: Any, owner: dict[str, Any]) -> None:
        """Replaces the file by a claim of the same owner."""
        ...

    def beat(self, path: Any, owner: dict[str, Any]) -> None:
        """A sign of life of the owner, who has the file."""
        ...

    def remove(self, path: Any, owner: dict[str, Any]) -> None:
        """Removes the file of an owner, and what belongs to it; not there is as good."""
        ...


class DiskFiles:
    """On a disk: a file made by a link, which is whole from the start; its time is what beats."""

    def create(self, path: Path, owner: dict[str, Any]) -> float | None:
        """As in `Files`."""
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        text = _text(owner)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                try:
                    path.hardlink_to(temporary)
                except FileExistsError:
                    # NFS: the link can be made although its answer was lost.
                    if os.fstat(file.fileno()).st_nlink == 2:
                        return None
                    return os.fstat(file.fileno()).st_mtime
                except OSError as error:
                    if error.errno not in _NO_LINKS:
                        raise
                    try:
                        with path.open("xb") as alone:
                            alone.write(text)
                    except FileExistsError:
                        return os.fstat(file.fileno()).st_mtime
        finally:
            temporary.unlink(missing_ok=True)
        return None

    def read(self, path: Path) -> Found | None:
        """As in `Files`."""
        try:
            with path.open("rb") as file:
                time_ns = os.fstat(file.fileno()).st_mtime_ns
                content = file.read()
        except FileNotFoundError:
            return None
        return _parsed(content, time_ns)

    def token(self, path: Path) -> str | None:
        """As in `Files`."""
        found = self.read(path)
        return None if found is None else found.token

    def move(self, claim: Path, path: Path, owner: dict[str, Any]) -> None:
        """As in `Files`."""
        del owner
        claim.replace(path)

    def beat(self, path: Path, owner: dict[str, Any]) -> None:
        """As in `Files`."""
        del owner
        os.utime(path)

    def remove(self, path: Path, owner: dict[str, Any]) -> None:
        """As in `Files`."""
        del owner
        path.unlink(missing_ok=True)


class StoreFiles:
    """In an object store: a lease, made by a write that the store refuses if it is there.

    The object is never written to by its owner again, who may have slept while another took it
    over. Signs of life go to an object beside it that has the owner's token in its name.
    """

    def __init__(self) -> None:
        self._beats = 0

    def create(self, path: AnyPath, owner: dict[str, Any]) -> float | None:
        """As in `Files`."""
        try:
            stores.create(path, _text(owner))
        except FileExistsError:
            # The store's clock, which need not be that of this machine.
            probe = path.with_name(f".{path.name}.{owner['token']}.tmp")
            stores.put(probe, b"")
            try:
                return stores.modified_ns(probe) / 1e9
            finally:
                stores.remove(probe)
        return None

    def read(self, path: AnyPath) -> Found | None:
        """As in `Files`."""
        try:
            content, time_ns = stores.read(path), stores.modified_ns(path)
        except FileNotFoundError:
            return None
        found = _parsed(content, time_ns)
        beating = _beating(path, found.token)
        try:
            beats, beat_ns = int(stores.read(beating)), stores.modified_ns(beating)
        except (FileNotFoundError, ValueError):
            return found
        return found._replace(time_ns=max(time_ns, beat_ns), beats=beats)

    def token(self, path: AnyPath) -> str | None:
        """As in `Files`; one request, where `read` makes four."""
        try:
            return _parsed(stores.read(path), 0).token
        except FileNotFoundError:
            return None

    def move(self, claim: AnyPath, path: AnyPath, owner: dict[str, Any]) -> None:
        """As in `Files`; between the two writes both are there, which harms nobody."""
        stores.put(path, _text(owner))
        stores.remove(claim)

    def beat(self, path: AnyPath, owner: dict[str, Any]) -> None:
        """As in `Files`."""
        self._beats += 1
        stores.put(_beating(path, owner["token"]), str(self._beats).encode())

    def remove(self, path: AnyPath, owner: dict[str, Any]) -> None:
        """As in `Files`."""
        stores.remove(path)
        stores.remove(_beating(path, owner["token"]))


def _beating(path: AnyPath, token: str) -> AnyPath:
    return path.with_name(f".{path.name}.{token}.beat")


def _text(owner: dict[str, Any]) -> bytes:
    return (json.dumps(owner, indent=2) + "\n").encode()


def _parsed(content: bytes, time_ns: int) -> Found:
    try:
        owner = json.loads(content)
        return Found(str(owner["token"]), owner, time_ns)
    except (ValueError, TypeError, KeyError):
        return Found("unreadable", {}, time_ns)
