"""What a user brings along: open tables, and objects by import path, "my_module:my_object"."""

import functools
import importlib
import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TypeVar

from cbda_jax.errors import InputError, near

T = TypeVar("T")


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
    table: Mapping[str, Any],
    name: str,
    where: str,
    *,
    example: str,
    others: tuple[str, ...] = (),
) -> Any:
    """What a table holds under a name, or what an import path leads to.

    Args:
        table: by name.
        name: a key of the table, or the import path of what is in none.
        where: the field that names it, for errors.
        example: of an import path, for errors.
        others: names that are not in the table but may stand in the field too, for errors.

    Raises:
        InputError: there is no such name, module or object.
    """
    if name in table:
        return table[name]
    if is_path(name):
        return load(name, where)
    known = (*others, *table)
    raise InputError(
        f"{where}: {name!r} found, expected one of {', '.join(known)}, or an import path "
        f"{example!r}{near(name, known)}"
    )


def find_function(
    table: Mapping[str, Callable[..., Any]], name: str, where: str, *, others: tuple[str, ...] = ()
) -> Callable[..., Any]:
    """`find` of a function.

    Raises:
        InputError: there is no such name, module or object, or it cannot be called.
    """
    found = find(table, name, where, example="my_module:my_function", others=others)
    if not callable(found):
        raise InputError(
            f"{where}: {name!r} found, a {type(found).__name__}, expected a function; name one"
        )
    return found


def register(table: MutableMapping[str, T], name: str, value: T, what: str) -> T:
    """Adds something to a table under a name of its own; the same once more does no harm.

    Args:
        table: by name.
        name: letters, digits and underscores.
        value: to be found by this name.
        what: it is, for errors.

    Returns:
        What has the name: `value`, or what is equal and was there before.

    Raises:
        InputError: another one has the name already, or the name has other characters.
    """
    if not re.fullmatch(r"\w+", name):
        raise InputError(
            f"{what} {name!r}: this name found, expected letters, digits and underscores; rename it"
        )
    known = table.setdefault(name, value)
    if known != value:
        raise InputError(
            f"{what} {name!r}: a taken name found, expected a new one; choose another one than "
            f"{', '.join(table)}"
        )
    return known


def one_line(error: Exception) -> str:
    """The type and the message of an error that is not ours."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
