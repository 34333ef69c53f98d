"""Config files: found where you are or among those that come with the program, and loaded.

`configs/synthetic.py` is the file of that name in the folder where the program is started, if there
is one; else the one that came with it, wherever it is installed. `synthetic` is short for that.
"""

import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cbda_jax.errors import InputError, near


def find(name: str) -> str:
    """The path of a config file, with what stands behind a colon kept there.

    Args:
        name: a path, or the name of a file that comes along; with `:ARGUMENT` or without.

    Raises:
        InputError: there is none; the message lists those that come along.
    """
    path, colon, argument = name.partition(":")
    if Path(path).is_file():
        return name
    known = packaged()
    short = path.removeprefix("configs/").removesuffix(".py")
    if short not in known:
        raise InputError(
            f"{path} not found, expected a file or the name of one that comes along, "
            f"{', '.join(known)}{near(short, known)}"
        )
    return f"{known[short]}{colon}{argument}"


def find_in(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command, with the path that `find` gives for `--config=NAME`.

    Raises:
        InputError: as `find`.
    """
    found = list(arguments)
    for place, argument in enumerate(found):
        flag, equals, name = argument.partition("=")
        if flag not in ("--config", "-config"):
            continue
        try:
            if equals:
                found[place] = f"{flag}={find(name)}"
            elif place + 1 < len(found):
                found[place + 1] = find(found[place + 1])
        except InputError as error:
            raise InputError(f"--config: {error}") from error
    return found


def load(name: str) -> Any:
    """What `get_config` of a config file returns, given the argument behind the colon, if any.

    Raises:
        InputError: as `find`.
        ValueError: the argument is not as expected.
    """
    path, colon, argument = find(name).partition(":")
    get_config = runpy.run_path(path)["get_config"]
    return get_config(argument) if colon else get_config()


def packaged() -> dict[str, Path]:
    """The config files that come along, by name: "synthetic", "sweeps/synthetic" and so on."""
    package = Path(__file__).parents[1]
    # A wheel has them within the package, a checkout beside it.
    inside, beside = package / "configs", package.parent / "configs"
    folder = inside if inside.is_dir() else beside
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.py"))
        if path.name != "__init__.py"
    }
