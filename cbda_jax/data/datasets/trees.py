"""Finding and reading the files of a data set, extracted or still in the archives it came in."""

import dataclasses
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NoReturn

from cbda_jax.errors import InputError

# Archives that cannot be read here, or only from the beginning to the end every time.
_UNREADABLE = re.compile(r"\.(rar|7z|tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst))$", re.IGNORECASE)
# No PNG of these data sets has a hundredth of it; a zip file's member may claim any size.
_MOST_BYTES = 2**28


@dataclasses.dataclass(frozen=True)
class File:
    """One file of a tree.

    Attributes:
        where: how errors name it.
        read: its bytes; from any thread.
        path: where it lies on the disk: it itself, or the archive that holds it.
    """

    where: str
    read: Callable[[], bytes]
    path: Path | None = None


class Tree:
    """The files below one folder, as a user has them: extracted, or in .zip and .tar archives.

    Nothing is extracted to disk. Members of archives are read by name; an archive with a member
    that would be written outside of its folder is refused.

    Args:
        root: the folder.
        layout: what is expected below it, for errors: "images/*.png and labels/*.png".

    Raises:
        InputError: `root` is no folder.
    """

    def __init__(self, root: str | os.PathLike[str], layout: str):
        self._root = Path(root).expanduser()
        self._layout = layout
        self._archived: list[tuple[str, File]] | None = None
        if not self._root.is_dir():
            found = "a file" if self._root.exists() else "nothing"
            raise InputError(
                f"{self._root}: {found} found, expected a folder with {layout}; set the data set's "
                "root"
            )

    def find(
        self, folder: str, ending: str, *, parents: tuple[str, ...] = ("",)
    ) -> dict[str, File]:
        """Finds all files of `folder` whose names end in `ending`, at any depth.

        Args:
            folder: "leftImg8bit/train", say, relative to the root; in archives also deeper.
            ending: "_leftImg8bit.png", say.
            parents: folders below the root in which `folder` may lie.

        Returns:
            Path relative to `folder` -> file, sorted. Extracted folders go before archives.

        Raises:
            InputError: the folder is missing or unreadable, holds no such file, or an archive is
                damaged or has a file twice.
        """
        found = self.below(folder, lambda name: name.endswith(ending), parents=parents)
        if found:
            return found
        raise self.missing(folder, f"*{ending}", parents=parents)

    def below(
        self, folder: str, wanted: Callable[[str], bool], *, parents: tuple[str, ...] = ("",)
    ) -> dict[str, File]:
        """The wanted files of `folder`, at any depth; none if there is no such folder.

        Args:
            folder: relative to the root, "" for the root itself; in archives also deeper.
            wanted: of a path relative to `folder`.
            parents: folders below the root in which `folder` may lie.

        Returns:
            Path relative to `folder` -> file, sorted. Extracted folders go before archives.

        Raises:
            InputError: the folder is unreadable, or an archive is damaged or has a file twice.
        """
        for parent in parents:
            path = self._root / parent / folder
            if folder and path.is_dir():
                return dict(sorted(item for item in _walk(path) if wanted(item[0])))
        inside = re.compile(rf"(?:.*/)?{re.escape(folder)}/(.+)" if folder else "(.+)")
        extracted = () if folder else _walk(self._root)
        found = {name: file for name, file in extracted if wanted(name)}
        for name, file in self._members():
            if (match := inside.fullmatch(name)) and wanted(match[1]):
                if match[1] in found:
                    raise InputError(
                        f"{file.where}: the same file as {found[match[1]].where} found, expected "
                        "every file once; remove one of the two archives, or pack them again"
                    )
                found[match[1]] = file
        return dict(sorted(found.items()))

    def missing(self, folder: str, name: str, *, parents: tuple[str, ...] = ("",)) -> InputError:
        """The error of a folder without files that are called like `name`."""
        for parent in parents:
            path = self._root / parent / folder
            if path.is_dir():
                return InputError(
                    f"{path}: no file like {name} found, expected {self._layout} below "
                    f"{self._root}; copy or extract them there"
                )
        return InputError(
            f"{self._root / folder}: nothing found, nor in a .zip or .tar archive beside it, "
            f"expected {self._layout} below {self._root}; {self._advice()}"
        )

    def _members(self) -> list[tuple[str, File]]:
        if self._archived is None:
            members = []
            for path in sorted(self._root.iterdir()):
                if path.suffix.lower() == ".zip":
                    members += _zip_members(path)
                elif path.suffix.lower() == ".tar":
                    members += _tar_members(path)
            self._archived = members
        return self._archived

    def _advice(self) -> str:
        unreadable = sorted(p.name for p in self._root.iterdir() if _UNREADABLE.search(p.name))
        return (
            f"extract {', '.join(unreadable[:3])}" if unreadable else "copy or extract them there"
        )


def _walk(top: Path) -> Iterator[tuple[str, File]]:
    def unreadable(error: OSError) -> NoReturn:
        raise InputError(
            f"{_shown(error.filename)}: a folder that cannot be read ({error.strerror}) found, "
            "expected a readable one; check its permissions and its disk"
        ) from error

    # Links are followed: large data sets are often put together from several disks.
    for folder, folders, names in os.walk(top, onerror=unreadable, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not _leads_back(Path(folder, name), real)
        ]
        for name in names:
            if not name.startswith("."):
                path = Path(folder, name)
                yield path.relative_to(top).as_posix(), File(_shown(path), _disk_reader(path), path)


def _leads_back(path: Path, folder: str) -> bool:
    """Whether a folder is a link to one that it lies in, so that following it has no end."""
    return path.is_symlink() and Path(folder).is_relative_to(os.path.realpath(path))


def _disk_reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            # Before opening: a named pipe would wait for a writer.
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
                raise _no_image(_shown(path))
            return path.read_bytes()
        except OSError as error:
            raise InputError(
                f"{_shown(path)}: a file that cannot be read ({error.strerror}) found, expected a "
                "readable one; copy it again, or check its permissions"
            ) from error

    return read


def _zip_members(path: Path) -> Iterator[tuple[str, File]]:
    try:
        archive = zipfile.ZipFile(path)
    # Which of a dozen errors is raised depends on where the file is damaged.
    except Exception as error:
        raise _damaged(str(path), error) from error

    def reader(info: zipfile.ZipInfo, where: str) -> Callable[[], bytes]:
        def read() -> bytes:
            if stat.S_ISLNK(info.external_attr >> 16):
                raise _link(where)
            try:
                with archive.open(info) as file:
                    data = file.read(_MOST_BYTES + 1)
            except Exception as error:
                raise _damaged(where, error) from error
            if len(data) > _MOST_BYTES:
                raise _no_image(where)
            return data

        return read

    for info in archive.infolist():
        # Not `is_dir`, which an empty name breaks in Python 3.11.
        if _wanted(path, info.filename) and not info.filename.endswith("/"):
            where = f"{path}:{_shown(info.filename)}"
            yield info.filename, File(where, reader(info, where), path)


def _tar_members(path: Path) -> Iterator[tuple[str, File]]:
    try:
        # "r:" refuses compression, which could only be read from the beginning.
        with tarfile.open(path, "r:") as archive:
            members = archive.getmembers()
            end = archive.offset
        # tarfile takes a damaged header for the end, and so does it the end of a cut file.
        with path.open("rb") as file:
            file.seek(end)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise EOFError(f"no end mark after {len(members)} members")
    except Exception as error:
        raise _damaged(str(path), error) from error

    def reader(member: tarfile.TarInfo, where: str) -> Callable[[], bytes]:
        def read() -> bytes:
            if member.issym() or member.islnk():
                raise _link(where)
            if not member.isreg() or member.issparse() or member.size > _MOST_BYTES:
                raise _no_image(where)
            # A handle of its own for every read: threads share none.
            try:
                with path.open("rb") as file:
                    file.seek(member.offset_data)
                    data = file.read(member.size)
            except OSError as error:
                raise _damaged(where, error) from error
            if len(data) < member.size:
                raise _damaged(where, EOFError("it ends too early"))
            return data

        return read

    for member in members:
        if _wanted(path, member.name) and not member.isdir():
            name = PurePosixPath(member.name).as_posix()
            where = f"{path}:{_shown(name)}"
            yield name, File(where, reader(member, where), path)


def _wanted(archive: Path, name: str) -> bool:
    parts = re.split(r"[/\\]", name)
    if ".." in parts or parts[0] == "" or re.match(r"[A-Za-z]:", name):
        raise InputError(
            f"{archive}: a member {name!r} found, expected names inside of the folder that it is "
            "extracted to; not read; download the archive again from its source"
        )
    return not any(part.startswith("._") or part == "__MACOSX" for part in parts)


def _damaged(where: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(
        f"{where}: a damaged archive ({reason}) found, expected a whole one; download it again"
    )


def _link(where: str) -> InputError:
    return InputError(
        f"{where}: a link found, expected a file, as links in archives are not followed; extract "
        "the archive, or pack it again with the files themselves"
    )


def _no_image(where: str) -> InputError:
    return InputError(
        f"{where}: no regular file of at most {_MOST_BYTES >> 20} MiB found, expected a PNG; copy "
        "or download it again"
    )


def _shown(name: str | os.PathLike[str]) -> str:
    """A name as errors show it: in one line, whatever it is made of."""
    text = os.fspath(name)
    return text if text.isprintable() else text.encode("unicode_escape", "replace").decode()
