"""Functions by name: of an open table, or by an import path "module:function"."""

import functools
import importlib
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from cbda_jax.errors import InputError, near


def find(
    table: Mapping[str, Callable[..., Any]], name: str, where: str, *, others: tuple[str, ...] = ()
) -> Callable[..., Any]:
    """The function called `name`.

    Args:
        table: the functions by name.
        name: a key of the table, or "module:function", which is imported.
        where: the field that names it, for the message.
        others: names that are no functions but may stand in the field too, for the message.

    Raises:
        InputError: there is no such name, module or attribute, or it cannot be called.
    """
    if name in table:
        return table[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        known = (*others, *table)
        raise InputError(
            f"{where}: {name!r} found, expected one of {', '.join(known)}, or an import path "
            f"'module:function'{near(name, known)}"
        )
    try:
        found = functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
    # Whatever a module of the user's raises while it is imported.
    except Exception as error:
        raise InputError(
            f"{where}: {name!r} found, expected a module that can be imported and a function in "
            f"it; {one_line(error)}"
        ) from error
    if not callable(found):
        raise InputError(
            f"{where}: {name!r} found, a {type(found).__name__}, expected a function; name one"
        )
    return found


def register(
    table: MutableMapping[str, Callable[..., Any]], name: str, function: Callable[..., Any]
) -> None:
    """Adds a function to a table.

    Raises:
        InputError: another function has the name already, or the name reads as an import path.
    """
    if ":" in name or table.get(name, function) is not function:
        raise InputError(
            f"{name!r}: found taken or with a colon, expected a new name; choose another one "
            f"than {', '.join(table)}"
        )
    table[name] = function


def one_line(error: Exception) -> str:
    """The type and the message of an error that is not ours."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
