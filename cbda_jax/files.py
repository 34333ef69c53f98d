"""Files that are either whole or not there."""

import contextlib
import io
import json
import math
import os
import uuid
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from cbda_jax import stores
from cbda_jax.errors import InputError
from cbda_jax.stores import AnyPath


def write_atomic(path: AnyPath, write: Callable[[IO[bytes]], object]) -> None:
    """Calls `write(file)` on a temporary file beside `path`, then renames it to `path`.

    A reader sees the old content or the new, never half of it, also after a crash: the data is
    flushed to the disk before the name changes, and the name before this returns. An object store
    does so by itself.

    Raises:
        InputError: the folder cannot be written to, or the disk is full. Nothing has changed then.
    """
    if not isinstance(path, Path):
        content = io.BytesIO()
        write(content)
        write_bytes(path, content.getbuffer())
        return
    # `runtime.lock.remove_leftovers` knows such names. Cut, for a name as long as names may be.
    temporary = path.with_name(f".{path.name[:80]}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; free some space or name another "
            "folder; nothing already written has changed"
        ) from error
    finally:
        # A disk that was full or became read-only may refuse this too; the first error counts.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: AnyPath, content: bytes | memoryview, *, new: bool = False) -> None:
    """Writes a file, whole or not at all.

    Args:
        path: of the file.
        content: all of it.
        new: in an object store, never over another one. On a disk the lock of the workdir, which
            fences no host off there, sees to that.

    Raises:
        InputError: as `write_atomic`; another one is there.
    """
    if isinstance(path, Path):
        write_atomic(path, lambda file: file.write(content))
        return
    try:
        (stores.create if new else stores.put)(path, content)
    except FileExistsError as error:
        raise InputError(
            f"{path}: found, expected no file yet; another run has written it, and it is not "
            "replaced: see which one goes on in this folder"
        ) from error
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {stores.reason(error)}; check the network and the credentials; "
            "nothing already written has changed"
        ) from error


def check_new_folder(path: AnyPath, flag: str) -> None:
    """Checks that a folder for new files holds none, so that nothing of somebody's is overwritten.

    Args:
        path: of the folder, which need not be there.
        flag: that names it.

    Raises:
        InputError: it holds something, or is a file.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(
            f"{path}: files found, expected a new or an empty folder; remove it, or name another "
            f"one ({flag})"
        )


def write_npz(path: AnyPath, /, new: bool = False, **arrays: np.ndarray) -> None:
    """Writes arrays by name as a compressed .npz, whole or not at all; `new` as in `write_bytes`.

    Raises:
        InputError: as `write_bytes`.
    """
    # In memory first: a zip file that meets a full disk half-way cannot even be closed.
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_bytes(path, content.getbuffer(), new=new)


def json_text(value: Any, **options: Any) -> str:
    """JSON that every parser reads: numbers that are not finite become null, as it has no NaN.

    Args:
        value: numbers, texts, booleans, None, and lists and mappings of them.
        **options: of `json.dumps`.
    """
    return json.dumps(_finite(value), allow_nan=False, ensure_ascii=False, **options)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def read_npz(path: AnyPath) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, every byte of them compared with its checksum.

    Raises:
        OSError: the file is not there or cannot be read.
        ValueError: it is no .npz, or damaged; in one line.
    """
    arrays = {}
    try:
        # What is in a store is read at once, not by the piece.
        file = path if isinstance(path, Path) else io.BytesIO(stores.read(path))
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                # `np.load` would stop at the end of the array, and may never see the checksum.
                content = io.BytesIO(archive.read(name))
                key = name.removesuffix(".npy")
                if key in arrays:
                    raise ValueError(f"{name!r} is there twice")
                arrays[key] = np.lib.format.read_array(content, allow_pickle=False)
    except OSError:
        raise
    # Which of a dozen errors zipfile and NumPy raise depends on where the file is damaged.
    except Exception as error:
        raise ValueError(f"damaged: {' '.join(str(error).split())}") from error
    return arrays


def _flush_folder(folder: Path) -> None:
    # Some file systems cannot; the file itself is on the disk by now.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
