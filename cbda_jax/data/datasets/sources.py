"""What a prepared data set was made of: names, sizes, times and checksums of its files."""

import dataclasses
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cbda_jax.data.datasets.pairs import Pair
from cbda_jax.data.datasets.trees import File
from cbda_jax.files import write_bytes


class Stamp(NamedTuple):
    """How a file was found.

    Attributes:
        size: in bytes.
        time: of its last change, in nanoseconds.
        checksum: CRC-32 of what was read of it; None for archives, of which members are read.
    """

    size: int
    time: int
    checksum: int | None


class Sources:
    """The files of one split while it is prepared.

    Args:
        pairs: of the split.

    Attributes:
        pairs: the same, whose files are noted down when they are read.
    """

    def __init__(self, pairs: Iterable[Pair]):
        self._stamps: dict[str, Stamp] = {}
        self._checksums: dict[str, int] = {}
        self.pairs = [
            dataclasses.replace(
                pair,
                image=self._noted(pair.image),
                label=None if pair.label is None else self._noted(pair.label),
            )
            for pair in pairs
        ]

    def _noted(self, file: File) -> File:
        if file.path is None:
            return file
        # Before it is read: what changes from now on is noticed later.
        name = _absolute(file.path)
        if name not in self._stamps:
            found = _stamp(file.path)
            if found is None:
                return file
            self._stamps[name] = found
        if file.where != str(file.path):
            return file  # a member of an archive

        def read() -> bytes:
            data = file.read()
            self._checksums[name] = zlib.crc32(data)
            return data

        return dataclasses.replace(file, read=read)

    def write(self, directory: str | os.PathLike[str], split: str) -> None:
        """Writes them beside the records, whole or not at all.

        Raises:
            InputError: the folder cannot be written to.
        """
        stamps = {
            name: stamp._replace(checksum=self._checksums.get(name))
            for name, stamp in self._stamps.items()
        }
        _write(sources_path(directory, split), stamps)


def sources_path(directory: str | os.PathLike[str], split: str) -> Path:
    """Where the sources of a split are kept: in the prepared data set's own folder."""
    return Path(directory) / f"sources-{split}.json"


def difference(
    directory: str | os.PathLike[str], splits: dict[str, list[Pair]], root: str | os.PathLike[str]
) -> str | None:
    """How the files of a data set differ from those that it was prepared from; None if they do not.

    Files whose time alone is another, as of copies, are read and compared by their checksums; where
    these agree, the new time is kept for the next time.

    Args:
        directory: of the prepared data set. One that does not say what it was made of, as version
            0.1 prepared, differs from nothing.
        splits: name -> the pairs that are there now.
        root: the folder that they lie in.

    Raises:
        InputError: a file cannot be read.
    """
    changed: list[str] = []
    new: list[str] = []
    gone: list[str] = []
    for split, pairs in splits.items():
        path = sources_path(directory, split)
        if not path.exists():
            if any(sources_path(directory, other).exists() for other in splits):
                new.append(f"the split {split!r}")
            continue
        before = _read(path)
        if before is None:
            continue
        now = {_absolute(file.path): file for file in _files(pairs) if file.path is not None}
        new += [_below(name, root) for name in sorted(now.keys() - before.keys())]
        gone += [_below(name, root) for name in sorted(before.keys() - now.keys())]
        kept = dict(before)
        for name in sorted(now.keys() & before.keys()):
            stamp = _compared(now[name], before[name])
            if stamp is None:
                changed.append(_below(name, root))
            else:
                kept[name] = stamp
        if kept != before:
            _try_to_write(path, kept)
    told = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
        for names, what in ((changed, "changed"), (new, "new"), (gone, "gone"))
        if names
    ]
    return "; ".join(told) or None


def _compared(file: File, before: Stamp) -> Stamp | None:
    """The stamp of a file now; None if it is not what it was."""
    assert file.path is not None
    now = _stamp(file.path)
    if now is None or now.size != before.size:
        return None
    if now.time == before.time:
        return before
    if before.checksum is None or zlib.crc32(file.read()) != before.checksum:
        return None
    return before._replace(time=now.time)


def _files(pairs: Iterable[Pair]) -> Iterator[File]:
    for pair in pairs:
        yield pair.image
        if pair.label is not None:
            yield pair.label


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns, None)


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - links stay: they are how the user knows a file


def _below(name: str, root: str | os.PathLike[str]) -> str:
    try:
        return Path(name).relative_to(_absolute(Path(root).expanduser())).as_posix()
    except ValueError:
        return name


def _write(path: Path, stamps: dict[str, Stamp]) -> None:
    text = json.dumps({name: list(stamp) for name, stamp in stamps.items()}, indent=0) + "\n"
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def _try_to_write(path: Path, stamps: dict[str, Stamp]) -> None:
    """Keeps stamps where that is possible: the folder may be read-only."""
    if os.access(path.parent, os.W_OK):
        _write(path, stamps)


def _read(path: Path) -> dict[str, Stamp] | None:
    """The stamps of a split; None where there are none, or damaged ones, which say nothing."""
    try:
        content: Any = json.loads(path.read_bytes())
        return {str(name): Stamp(*stamp) for name, stamp in content.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return None
