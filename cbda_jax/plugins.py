"""What a user brings along: open tables, and objects by import path, "my_module:my_object"."""

import functools
import importlib
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from cbda_jax.errors import InputError, near


def is_path(name: str) -> bool:
    """Whether a name is an import path and no registered name."""
    return ":" in name


def load(path: str, where: str) -> Any:
    """Imports the object that a path names.

    Args:
        path: "package.module:object".
        where: what asks for it, for errors: a config field, say.

    Raises:
        InputError: the module cannot be imported, or has no such object.
    """
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    # Whatever a user's module raises when it is run.
    except Exception as error:
        raise InputError(
            f"{where}: {path!r} found, expected the import path of a module and an object in it, "
            f"'my_module:my_object' ({one_line(error)}); correct it, or put the module's folder on "
            "PYTHONPATH"
        ) from error
    try:
        return functools.reduce(getattr, name.split("."), module)
    except AttributeError as error:
        raise InputError(
            f"{where}: {path!r} found, expected an object of the module {module_name}"
            f"{near(name, vars(module))}; correct the name"
        ) from error


def find(
    table: Mapping[str, Callable[..., Any]], name: str, where: str, *, others: tuple[str, ...] = ()
) -> Callable[..., Any]:
    """The function called `name`.

    Args:
        table: the functions by name.
        name: a key of the table, or the import path of a function in none.
        where: the field that names it, for errors.
        others: names that are no functions but may stand in the field too, for errors.

    Raises:
        InputError: there is no such name, module or object, or it cannot be called.
    """
    if name in table:
        return table[name]
    if not is_path(name):
        known = (*others, *table)
        raise InputError(
            f"{where}: {name!r} found, expected one of {', '.join(known)}, or an import path "
            f"'my_module:my_function'{near(name, known)}"
        )
    found = load(name, where)
    if not callable(found):
        raise InputError(
            f"{where}: {name!r} found, a {type(found).__name__}, expected a function; name one"
        )
    return found


def register(table: MutableMapping[str, Any], name: str, value: Any) -> None:
    """Adds a function, or what a table is of, under a name of its own.

    Raises:
        InputError: another one has the name already, or the name reads as an import path.
    """
    if is_path(name) or table.get(name, value) is not value:
        raise InputError(
            f"{name!r}: found taken or with a colon, expected a new name; choose another one "
            f"than {', '.join(table)}"
        )
    table[name] = value


def one_line(error: Exception) -> str:
    """The type and the message of an error that is not ours."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
