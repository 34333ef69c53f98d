"""What a user brings along: objects named by import path, "my_module:my_object"."""

import importlib
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
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{where}: {path!r} found, expected the import path of a module and an object in it, "
            f"'my_module:my_object' ({reason}); correct it, or put the module's folder on "
            "PYTHONPATH"
        ) from error
    if not hasattr(module, name):
        raise InputError(
            f"{where}: {path!r} found, expected an object of the module {module_name}"
            f"{near(name, vars(module))}; correct the name"
        )
    return getattr(module, name)
