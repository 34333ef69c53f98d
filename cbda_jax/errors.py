"""Errors that are the user's to mend, told in one line."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A file, a config value or a machine is not as expected.

    The message is one line that says what was found, where, what was expected and what to do;
    `cbda_jax.main` prints it without a traceback and exits with status 2.
    """


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a mistyped one was meant to be, if any is near."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def near(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known name, or nothing: the end of a message."""
    found = nearest(name, known)
    return "" if found is None else f"; did you mean {found!r}?"


class Paused(Exception):  # noqa: N818 - not an error: the run goes on later
    """The run stops here with everything saved; the same command goes on from there.

    Attributes:
        status: the exit status of the process.
    """

    status = 1
