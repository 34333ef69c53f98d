"""Files that are either whole or not there."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from cbda_jax.errors import InputError


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Calls `write(file)` on a temporary file beside `path`, then renames it to `path`.

    A reader sees the old content or the new, never half of it, also after a crash: the data is
    flushed to the disk before the name changes.

    Raises:
        InputError: the folder cannot be written to, or the disk is full. Nothing has changed then.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False
        ) as file:
            temporary = Path(file.name)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; free some space or name another "
            "folder; nothing already written has changed"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
