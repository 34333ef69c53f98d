"""Errors that are the user's to mend, told in one line."""


class InputError(ValueError):
    """A file, a config value or a machine is not as expected.

    The message is one line that says what was found, where, what was expected and what to do;
    `cbda_jax.main` prints it without a traceback and exits with status 2.
    """
