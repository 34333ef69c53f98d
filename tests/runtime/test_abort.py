"""C's abort() in a process of its own: a word and a status, or as ever."""

import signal

import pytest
import waiting

CODE = """
import importlib.util, os, sys, threading
# The module alone: with its package comes JAX, which takes seconds.
spec = importlib.util.spec_from_file_location("abort", "cbda_jax/runtime/abort.py")
abort = importlib.util.module_from_spec(spec)
spec.loader.exec_module(abort)
{prepare}
thread = threading.Thread(target=os.abort)
thread.start()
thread.join(60)
print("still there")
"""


@pytest.mark.parametrize(
    ("prepare", "status", "errors"),
    [
        ("abort.prepare(76, 'another ended')", 76, "\nerror: another ended\n"),
        ("abort.prepare(2, 'first'); abort.prepare(3, '')", 3, ""),
        ("abort.prepare(76, 'another ended'); abort.restore()", -signal.SIGABRT, ""),
    ],
)
def test_abort_of_a_thread_ends_as_prepared(prepare, status, errors):
    done = waiting.run(waiting.python(CODE.format(prepare=prepare)))
    assert done.returncode == status
    assert done.stderr == errors
    assert done.stdout == ""
