"""Prepared data sets in an object store, and this machine's copies of them.

Training reads images at random, at the accelerator's pace: from a disk of the machine. So a
prepared folder in a store is copied once by every machine, and prepared on one machine's disk
before it is uploaded. The files go to a folder named by what is in them, so that those of two
machines do not mix; last comes a list of them, of which there is one. Without it nothing counts.
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cbda_jax import stores
from cbda_jax.data.turns import take_turn
from cbda_jax.errors import InputError
from cbda_jax.files import write_bytes
from cbda_jax.stores import AnyPath, reported

LIST = "files.json"
"""Name of the list: the folder of the files; size and CRC-32 of every one, by name."""

_ORIGIN = ".origin"
_DEPTH = 4  # of a prepared folder below that of all: name, config, version


def local(data_dir: AnyPath, cache: str = "") -> Path:
    """The folder of all prepared data sets, on this machine.

    Args:
        data_dir: where they are said to be.
        cache: where copies of what is in a store are kept; "": `cbda_jax` in `XDG_CACHE_HOME`.

    Raises:
        InputError: it cannot be written to.
    """
    if isinstance(data_dir, Path):
        return data_dir
    usual = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "cbda_jax"
    scheme, _, rest = os.fspath(data_dir).partition("://")
    folder = Path(cache or usual).expanduser() / scheme / rest.strip("/")
    origin = folder / _ORIGIN
    if not origin.exists():
        write_bytes(origin, os.fspath(data_dir).encode())
    return folder


def origin(directory: Path) -> AnyPath | None:
    """Where in a store the folder of a prepared data set belongs; None: it is only here."""
    for parent in list(directory.parents)[:_DEPTH]:
        # Whoever writes there says what is wrong with a folder.
        with contextlib.suppress(OSError):
            url = (parent / _ORIGIN).read_text()
            return stores.to_path(url) / directory.relative_to(parent).as_posix()
    return None


def fetch(directory: Path) -> None:
    """Copies a prepared data set to this machine, if it is in a store and not here as it is there.

    Processes of a machine take turns; an interrupted copy leaves nothing that could be taken for
    one.

    Args:
        directory: of `tensorflow_datasets`, below `local`.

    Raises:
        InputError: the store cannot be reached, or a file there is not what the list says.
    """
    place = origin(directory)
    if place is None:
        return
    with reported(place):
        wanted = _read(place)
        if wanted is None or wanted == _here(directory):
            return
        with take_turn(directory.parent / f".{directory.name}.copy", "copies"):
            if wanted == _here(directory):
                return
            copy = directory.with_name(f".{directory.name}.copying")
            shutil.rmtree(copy, ignore_errors=True)
            _download(place, copy, wanted)
            (copy / LIST).write_bytes(wanted)
            # An older copy of what was prepared anew since: of this machine's cache alone.
            if directory.exists():
                shutil.rmtree(directory)
            copy.rename(directory)


def publish(directory: Path) -> None:
    """Uploads a prepared data set that belongs in a store, unless one is there.

    Raises:
        InputError: the store cannot be reached or written to.
    """
    place = origin(directory)
    if place is None:
        return
    with reported(place):
        if _read(place) is not None:
            return
        paths = sorted(p for p in directory.rglob("*") if p.is_file() and p.name != LIST)
        files = {path.relative_to(directory).as_posix(): _sums(path) for path in paths}
        folder = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]
        for name in _bar(files, f"upload to {place}"):
            stores.upload(directory / name, place / folder / name)
        text = (json.dumps({"folder": folder, "files": files}, indent=0) + "\n").encode()
        with contextlib.suppress(FileExistsError):
            stores.create(place / LIST, text)
            write_bytes(directory / LIST, text)
            return
    # Another machine was first; its copy is the one that all take.
    fetch(directory)


def _download(place: AnyPath, copy: Path, listed: bytes) -> None:
    try:
        found = json.loads(listed)
        folder, files = place / found["folder"], dict(found["files"])
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{place / LIST}: cannot be read ({error}), expected a list of files; remove it to "
            "have the data set uploaded again"
        ) from error
    for name, sums in _bar(files.items(), f"copy from {place}"):
        stores.download(folder / name, copy / name)
        if [*_sums(copy / name)] != sums:
            raise InputError(
                f"{folder / name}: other content than {LIST} says found, expected the file as it "
                f"was uploaded; remove {place / LIST} to have the data set uploaded again"
            )


def _read(place: AnyPath) -> bytes | None:
    try:
        return stores.read(place / LIST)
    except FileNotFoundError:
        return None


def _here(directory: Path) -> bytes | None:
    try:
        return (directory / LIST).read_bytes()
    except FileNotFoundError:
        return None


def _sums(path: Path) -> tuple[int, int]:
    size = crc = 0
    with path.open("rb") as file:
        for chunk in iter(functools.partial(file.read, 2**20), b""):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return size, crc


def _bar(items: Any, text: str) -> Any:
    return tqdm(items, desc=text, unit="file", disable=None)
