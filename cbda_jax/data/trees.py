"""Finding and reading the files of a data set, extracted or still in the archives it came in."""

import dataclasses
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from cbda_jax.errors import InputError

# Archives that cannot be read here, or only from the beginning to the end every time.
_UNREADABLE = re.compile(r"\.(rar|7z|tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst))$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class File:
    """One file of a tree: how errors name it, and how its bytes are read (from any thread)."""

    where: str
    read: Callable[[], bytes]


class Tree:
    """The files below one folder, as a user has them: extracted, or in .zip and .tar archives.

    Nothing is extracted to disk. Members of archives are read by name; an archive with a member
    that would be written outside of its folder is refused.

    Args:
        root: The folder.
        layout: What is expected below it, for errors: "images/*.png and labels/*.png".

    Raises:
        InputError: `root` is no folder.
    """

    def __init__(self, root: str | os.PathLike[str], layout: str):
        self._root = Path(root).expanduser()
        self._layout = layout
        self._archived: dict[str, File] | None = None
        if not self._root.is_dir():
            found = "a file" if self._root.exists() else "not there"
            raise InputError(
                f"{self._root}: {found}; expected a folder with {layout}. Set the data set's root."
            )

    def find(
        self, folder: str, ending: str, *, parents: tuple[str, ...] = ("",)
    ) -> dict[str, File]:
        """Finds all files of `folder` whose names end in `ending`, at any depth.

        Args:
            folder: "leftImg8bit/train", say, relative to the root; in archives also deeper.
            ending: "_leftImg8bit.png", say.
            parents: Folders below the root in which `folder` may lie.

        Returns:
            Path relative to `folder` -> file, sorted. Extracted folders go before archives.

        Raises:
            InputError: The folder is missing, holds no such file, or an archive is damaged.
        """
        for parent in parents:
            path = self._root / parent / folder
            if path.is_dir():
                found = {name: file for name, file in _walk(path) if name.endswith(ending)}
                if not found:
                    raise InputError(
                        f"{path}: no file ends in {ending}; expected {self._layout} below"
                        f" {self._root}."
                    )
                return dict(sorted(found.items()))
        inside = re.compile(rf"(?:.*/)?{re.escape(folder)}/(.+{re.escape(ending)})")
        matches = ((inside.fullmatch(name), file) for name, file in self._members().items())
        found = {match[1]: file for match, file in matches if match}
        if not found:
            raise InputError(
                f"{self._root / folder}: not there, nor in a .zip or .tar archive beside it;"
                f" expected {self._layout} below {self._root}.{self._advice()}"
            )
        return dict(sorted(found.items()))

    def _members(self) -> dict[str, File]:
        if self._archived is None:
            self._archived = {}
            for path in sorted(self._root.iterdir()):
                if path.suffix.lower() == ".zip":
                    self._archived.update(_zip_members(path))
                elif path.suffix.lower() == ".tar":
                    self._archived.update(_tar_members(path))
        return self._archived

    def _advice(self) -> str:
        unreadable = sorted(p.name for p in self._root.iterdir() if _UNREADABLE.search(p.name))
        return f" Extract {', '.join(unreadable[:3])} first." if unreadable else ""


def _walk(top: Path) -> Iterator[tuple[str, File]]:
    # Links are followed: large data sets are often put together from several disks.
    for folder, folders, names in os.walk(top, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                path = Path(folder, name)
                yield path.relative_to(top).as_posix(), File(str(path), _disk_reader(path))


def _disk_reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}).") from error

    return read


def _zip_members(path: Path) -> Iterator[tuple[str, File]]:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error

    def reader(info: zipfile.ZipInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            try:
                return archive.read(info)
            # RuntimeError: encrypted.
            except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
                raise _damaged(f"{path}:{info.filename}", error) from error

        return read

    for info in archive.infolist():
        if not info.is_dir() and _wanted(path, info.filename):
            yield info.filename, File(f"{path}:{info.filename}", reader(info))


def _tar_members(path: Path) -> Iterator[tuple[str, File]]:
    try:
        # "r:" refuses compression, which could only be read from the beginning.
        with tarfile.open(path, "r:") as archive:
            members = archive.getmembers()
    except (OSError, tarfile.TarError) as error:
        raise _damaged(path, error) from error

    def reader(member: tarfile.TarInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            # A handle of its own for every read: threads share none.
            try:
                with path.open("rb") as file:
                    file.seek(member.offset_data)
                    data = file.read(member.size)
            except OSError as error:
                raise _damaged(f"{path}:{member.name}", error) from error
            if len(data) < member.size:
                raise _damaged(f"{path}:{member.name}", EOFError("it ends too early"))
            return data

        return read

    for member in members:
        if _wanted(path, member.name) and member.isreg() and not member.issparse():
            name = PurePosixPath(member.name).as_posix()
            yield name, File(f"{path}:{name}", reader(member))


def _wanted(archive: Path, name: str) -> bool:
    parts = re.split(r"[/\\]", name)
    if ".." in parts or parts[0] == "" or re.match(r"[A-Za-z]:", name):
        raise InputError(
            f"{archive}: its member {name!r} would lie outside of the folder it is extracted to;"
            " not read. Download the archive again from its source."
        )
    return not any(part.startswith("._") or part == "__MACOSX" for part in parts)


def _damaged(where: str | Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    return InputError(f"{where}: a damaged archive ({reason}). Download it again.")
