"""The last line and the exit status of a process that C++ code below JAX ends.

When the coordination service reports the end of a process, or cannot be reached, JAX calls C's
abort() from a thread of its own, and the process is gone with a stack trace. The callback that
jaxlib offers instead ends in abort() itself when it is a Python function (`std::bad_cast`, jaxlib
0.10 to 0.12). What C calls at SIGABRT can be chosen, though; the thread that aborts holds no lock
of Python's, and waits for it here as any thread does.
"""

import ctypes
import os
import signal
from typing import Any

_status = 1
_message = b""


def prepare(status: int, message: str) -> None:
    """Makes abort() write a message to standard error and exit with a status.

    Args:
        status: of the process.
        message: a line, printed as `error: ...`; nothing is printed if it is empty.
    """
    global _status, _message
    _status = status
    _message = f"\nerror: {message}\n".encode() if message else b""
    _at_abort(ctypes.cast(_last_words, ctypes.c_void_p))


def restore() -> None:
    """Makes abort() end the process with SIGABRT again."""
    _at_abort(ctypes.c_void_p(None))


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _last_words(_: int) -> None:
    # Nothing that a thread of Python may hold a lock of: no stream, only its number.
    os.write(2, _message)
    os._exit(_status)


def _at_abort(action: Any) -> None:
    """Called by C at SIGABRT. Python's own handlers run too late, when abort() has returned."""
    if os.name == "posix":
        function = ctypes.CDLL(None).signal
        function.argtypes, function.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
        function(signal.SIGABRT, action)
