"""Runs a module in a process that kills itself just before its n-th write.

    python scripts/die_at.py FOLDER N LIST cbda_jax.main --config=... --workdir=FOLDER/run ...

A write is a file under FOLDER opened for writing, renamed, linked or removed, or a folder made or
removed, as Python's audit hooks report it: dying before write n + 1 is dying after write n. N = 0:
never. Every write is appended to the file LIST, a line each, so that an unbroken run shows where
one can die. What libraries of C and C++ write is not seen: only random times hit that.
"""

import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

_EVENTS = ("open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir")


def watch(folder: Path, fatal: int, listed: Path) -> None:
    """Counts the writes of this process from now on, lists them, and dies before one of them.

    Args:
        folder: whose files count.
        fatal: number of the write that is not made, from 1; 0: none.
        listed: gets a line for each write, with its path in the folder.
    """
    prefix = f"{folder.resolve()}{os.sep}"
    listing = os.open(listed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in _EVENTS:
            return
        if event == "open" and not (
            isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            return
        # What a rename or a link makes is its second argument.
        path = arguments[1 if event in ("os.rename", "os.link") else 0]
        if not isinstance(path, str | bytes | os.PathLike):
            return
        path = os.path.realpath(os.fsdecode(path))
        if not path.startswith(prefix):
            return
        count += 1
        os.write(listing, f"{event.removeprefix('os.')} {path.removeprefix(prefix)}\n".encode())
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main() -> None:
    """Watches, then hands over to the module."""
    folder, fatal, listed, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    sys.path.insert(0, str(Path.cwd()))
    watch(Path(folder), int(fatal), Path(listed))
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
