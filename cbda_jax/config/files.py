"""Config files: found where you are or among those that come with the program, and loaded.

`configs/synthetic.py` is the file of that name in the folder where the program is started, if there
is one; else the one that came with it, wherever it is installed. `synthetic` is short for that.
"""

import contextlib
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cbda_jax.config.build import budget_fields
from cbda_jax.errors import InputError, near

_BUDGET, _BUDGET_IN = "config.acquisition.budget", "config.acquisition.budget_in"


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

    A budget with a unit, `--config.acquisition.budget=40px`, becomes the two fields that it means.

    Raises:
        InputError: as `find`; a budget is not understood, or given in two units.
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
    return _with_budget(found)


def complete_command(arguments: Sequence[str]) -> list[str]:
    """`find_in`, for absl's parser: the library of configs looks for fields in `sys.argv` itself.

    Raises:
        InputError: as `find_in`.
    """
    sys.argv[:] = find_in(arguments)
    return list(sys.argv)


def _with_budget(arguments: Sequence[str]) -> list[str]:
    """Arguments with `_BUDGET` in its canonical fields."""
    found: list[str] = []
    said, unit, given = "", None, None
    left = iter(arguments)
    for argument in left:
        flag, equals, value = argument.partition("=")
        name = flag.lstrip("-") if flag.startswith("-") else ""
        apart = name in (_BUDGET, _BUDGET_IN, "config") and not equals
        if apart:
            value = next(left, None)
            if value is None:  # the library says what is missing
                return [*found, argument]
        if name == _BUDGET:
            try:
                fields = budget_fields(value)
            except InputError as error:
                raise InputError(f"--{_BUDGET}: {error}") from error
            found += [f"--config.{field}={of}" for field, of in fields.items()]
            said, unit = value, fields.get("acquisition.budget_in")
            continue
        if name == "config":
            parts = value.partition(":")[2].split(",")
            texts = [part.partition("=")[2] for part in parts if part.startswith("budget=")]
            # What is no budget is told by the config file.
            with contextlib.suppress(InputError):
                said = texts[-1] if texts else said
                unit = budget_fields(said).get("acquisition.budget_in") if texts else unit
        if name == _BUDGET_IN:
            given = value
        found += [flag, value] if apart else [argument]
    if unit is not None and given is not None and unit != given:
        raise InputError(
            f"--{_BUDGET_IN}: {given!r} found with a budget of {said!r}, which is in {unit}; "
            "leave one of the units out"
        )
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
