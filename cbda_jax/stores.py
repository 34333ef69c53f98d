"""Folders in object stores, `gs://BUCKET/...` and `s3://BUCKET/...`, where others are on a disk.

Their paths are those of `etils.epath`, which have pathlib's methods; gcsfs and s3fs do the work. An
object is there whole or not at all, and whoever looks sees it as soon as it is. Nothing can be
appended to, renaming is copying, and folders are but parts of names.
"""

import contextlib
import functools
import importlib.util
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epath

from cbda_jax.errors import InputError

AnyPath = Path | epath.Path
"""A path on a disk, or one in an object store."""

_PACKAGES = {"gs": "gcsfs", "s3": "s3fs"}
_EXTRAS = {"gs": "gcs", "s3": "s3"}
# Of these come the errors of a network and of credentials that are no OSError.
_LIBRARIES = ("aiobotocore", "aiohttp", "botocore", "gcsfs", "google", "s3fs")
_GROWS_S = 30.0


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a path is in an object store. pathlib makes one slash of two, epath does not."""
    return "://" in os.fspath(path)


def to_path(name: str | os.PathLike[str], said: str = "path") -> AnyPath:
    """The path that a text means: on a disk (`~` is the home), or in an object store.

    Args:
        name: the text, or a path.
        said: where it was given, for the message.

    Raises:
        InputError: a store of another kind, no bucket, or the package for it is not installed.
    """
    text = os.fspath(name)
    scheme, found, rest = text.partition("://")
    if not found:
        return Path(text).expanduser()
    if scheme not in _PACKAGES or not rest.strip("/"):
        raise InputError(
            f"{said}: {text!r} found, expected a folder, gs://BUCKET/... or s3://BUCKET/...; "
            "name one of these"
        )
    if importlib.util.find_spec(_PACKAGES[scheme]) is None:
        raise InputError(
            f"{said}: {text!r} found, but {_PACKAGES[scheme]} is not installed; "
            f"pip install 'cbda_jax[{_EXTRAS[scheme]}]'"
        )
    _configure()
    return epath.Path(text)


@functools.cache
def _configure() -> None:
    """Has epath use fsspec also where TensorFlow is installed, and never an old listing."""
    os.environ.setdefault("EPATH_USE_TF", "false")
    from fsspec.config import conf

    for protocol in ("gcs", "gs", "s3"):
        # What other processes have written since would be missing in it.
        conf.setdefault(protocol, {}).setdefault("use_listings_cache", False)


def file_system(path: AnyPath) -> Any:
    """The fsspec file system of a path in a store."""
    import fsspec

    _configure()
    return fsspec.filesystem(os.fspath(path).partition("://")[0])


def reason(error: Exception) -> str | None:
    """What an error of a store or of a disk says, in one line; None: it is of another kind."""
    library = type(error).__module__.partition(".")[0]
    if not isinstance(error, OSError | TimeoutError) and library not in _LIBRARIES:
        return None
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:300]


@contextlib.contextmanager
def errors() -> Iterator[None]:
    """Makes an `OSError` of what the libraries of the stores raise."""
    try:
        yield
    except Exception as error:
        said = reason(error)
        if said is None or isinstance(error, OSError):
            raise
        raise OSError(said) from error


@contextlib.contextmanager
def reported(path: AnyPath) -> Iterator[None]:
    """Says in one line if a store cannot be reached; does nothing about a folder on a disk.

    Raises:
        InputError: it cannot, or something is not there.
    """
    try:
        yield
    except Exception as error:
        said = reason(error) if is_store(path) else None
        # What has the name of a file is of a disk.
        if said is None or (isinstance(error, OSError) and error.filename is not None):
            raise
        raise InputError(
            f"{path}: the object store failed ({said}); check the address, the network and the "
            "credentials, then start the same command again; nothing already written has changed"
        ) from error


def check_writable(path: AnyPath) -> None:
    """Writes an object into a folder and removes it, before hours are spent for what goes there.

    Raises:
        OSError: that cannot be done.
    """
    probe = path / f".{os.getpid()}-{time.time_ns()}.tmp"
    put(probe, b"")
    remove(probe)


def check_exclusive(folder: AnyPath) -> None:
    """Checks that a store refuses to make an object that is there, as not every server does.

    Raises:
        OSError: it does not, or cannot be written to.
    """
    probe = folder / f".{os.getpid()}-{time.time_ns()}.tmp"
    put(probe, b"one")
    try:
        create(probe, b"another")
    except FileExistsError:
        return
    finally:
        remove(probe)
    raise OSError(
        "the store writes over an object although it is told to make a new one alone "
        "(If-None-Match), so that no lock can be there"
    )


def put(path: AnyPath, content: bytes | memoryview) -> None:
    """Writes an object, whole or not at all, over one that may be there.

    Raises:
        OSError: it cannot be written.
    """
    with errors():
        file_system(path).pipe_file(os.fspath(path), bytes(content))


def create(path: AnyPath, content: bytes | memoryview) -> None:
    """Writes an object that is not there yet; of all who do so at a time one succeeds.

    The store itself sees to that (`If-None-Match`, `ifGenerationMatch`).

    Raises:
        FileExistsError: another one is there.
        OSError: it cannot be written.
    """
    content = bytes(content)
    with errors():
        try:
            file_system(path).pipe_file(os.fspath(path), content, mode="create")
        except FileExistsError:
            # Its own, if the answer to the first attempt was lost and the library made another.
            if read(path) != content:
                raise


def read(path: AnyPath) -> bytes:
    """The content of an object.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it cannot be read.
    """
    with errors():
        return file_system(path).cat_file(os.fspath(path))


def modified_ns(path: AnyPath) -> int:
    """When an object was written, by the clock of the store, in nanoseconds.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it cannot be read.
    """
    with errors():
        return int(file_system(path).modified(os.fspath(path)).timestamp() * 1e9)


def remove(path: AnyPath) -> None:
    """Removes an object; does nothing if it is not there.

    Raises:
        OSError: it cannot be removed.
    """
    with errors(), contextlib.suppress(FileNotFoundError):
        file_system(path).rm_file(os.fspath(path))


def names(folder: AnyPath) -> list[str]:
    """The names of the objects in and below a folder, from there on, sorted; none where none are.

    Raises:
        OSError: the store cannot be reached.
    """
    system = file_system(folder)
    with errors():
        start = len(system._strip_protocol(os.fspath(folder)).rstrip("/")) + 1
        try:
            found = system.find(os.fspath(folder))
        except FileNotFoundError:
            return []
    return sorted(name[start:] for name in found)


def remove_folder(folder: AnyPath) -> None:
    """Removes the objects in and below a folder, one after the other.

    Raises:
        OSError: one cannot be removed.
    """
    for name in names(folder):
        remove(folder / name)


def upload(source: Path, target: AnyPath) -> None:
    """Copies a file into a store; there it is whole or not at all.

    Raises:
        OSError: it cannot be read or written.
    """
    with errors():
        file_system(target).put_file(os.fspath(source), os.fspath(target))


def download(source: AnyPath, target: Path) -> None:
    """Copies an object to a file, whose folder is made.

    Raises:
        FileNotFoundError: the object is not there.
        OSError: it cannot be read, or the file not be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with errors():
        file_system(source).get_file(os.fspath(source), os.fspath(target))


def upload_folder(source: Path, target: AnyPath) -> None:
    """Copies the files in and below a folder into a store, one after the other.

    Raises:
        OSError: one cannot be read or written.
    """
    for path in sorted(source.rglob("*")):
        if path.is_file():
            upload(path, target / path.relative_to(source).as_posix())


class GrowingObject:
    """An object that is added to, as a file that is open for that: rewritten whole now and then.

    Args:
        path: of the object.
        content: what is in it.
        every_s: seconds between two times that it is written without being asked to.

    Raises:
        OSError: it cannot be written; also by all methods.
    """

    def __init__(self, path: AnyPath, content: bytes = b"", *, every_s: float | int = _GROWS_S):
        self._path, self._every_s = path, every_s
        self._content = io.BytesIO()
        self._content.write(content)
        self._written = time.monotonic()
        self._changed = False

    def write(self, data: bytes) -> int:
        """Adds to it; how much, which is all."""
        self._content.write(data)
        self._changed = True
        if time.monotonic() - self._written >= self._every_s:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Writes it, if anything was added since."""
        if self._changed:
            put(self._path, self._content.getbuffer())
            self._changed = False
            self._written = time.monotonic()

    def close(self) -> None:
        """Writes what is left."""
        self.flush()
