"""Waiting for other processes and threads: never without a limit, and never in silence.

A limit that is reached fails the test, says what it waited for, and shows what the processes said
until then. No process outlives the test that started it.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parent.parent
# What pytest-timeout gives a test (pyproject.toml); PYTEST_TIMEOUT=900 is for slow machines.
LIMIT_S = float(os.environ.get("PYTEST_TIMEOUT", "300"))
# For what takes seconds on an idle machine. Less than the limit, so that a wait ends here, where it
# can say what it waited for and take its processes along.
PATIENCE_S = 0.8 * LIMIT_S
_POLL_S = 0.005
# What the kernel needs to end a process that it was told to kill.
_KILL_S = 30.0


def until(
    condition: Callable[[], T],
    what: str,
    seconds: float = PATIENCE_S,
    children: "Iterable[Child]" = (),
) -> T:
    """Asks again and again; gives the first answer that is true.

    Args:
        condition: asked every few milliseconds.
        what: is waited for, as the message has it.
        seconds: after which it is given up.
        children: processes that bring it about; it is given up at once when one of them has ended.
    """
    end = time.monotonic() + seconds
    children = list(children)
    while True:
        # In this order: what a process did just before its end is seen.
        ended = [child for child in children if child.ended]
        if answer := condition():
            return answer
        if ended:
            _fail(f"{ended[0].name} ended with {ended[0].returncode}, before: {what}", children)
        if time.monotonic() > end:
            _fail(f"waited {seconds:g} s for: {what}", children)
        time.sleep(_POLL_S)


class Child:
    """A process started by a test; a context manager that kills it, and all that it started.

    Its output goes to files, so that it is never held up by a full pipe, and can be looked at while
    it runs.

    Args:
        command: to be started, in a session of its own.
        name: in messages.
        together: the output of both kinds in `output`.
        options: of `subprocess.Popen`; `cwd` is the root of the project unless given.
    """

    def __init__(
        self, command: Sequence[object], name: str = "", *, together: bool = False, **options: Any
    ):
        words = [str(word) for word in command]
        self.name = name or " ".join(word.strip() for word in words)[:200]
        self._folder = tempfile.TemporaryDirectory()
        self._logs = [Path(self._folder.name) / kind for kind in ("output", "errors")]
        self._process = self._start(words, together, options)
        self.pid = self._process.pid

    def _start(self, words: list[str], together: bool, options: dict[str, Any]) -> Any:
        with self._logs[0].open("wb") as output, self._logs[1].open("wb") as errors:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if together else errors,
                start_new_session=True,
                **{"cwd": ROOT, **options},
            )

    @property
    def output(self) -> str:
        """Standard output up to now."""
        return self._logs[0].read_text(errors="replace")

    @property
    def errors(self) -> str:
        """Standard error up to now; empty if together."""
        return self._logs[1].read_text(errors="replace")

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def says(self, start: str, seconds: float = PATIENCE_S) -> str:
        """Waits for a whole line of the output that begins so; gives that line."""

        def line() -> str | None:
            lines = [*self.output.splitlines(True), *self.errors.splitlines(True)]
            return next((x for x in lines if x.startswith(start) and x.endswith("\n")), None)

        return until(line, f"{self.name} to say {start!r}", seconds, [self]) or ""

    def send(self, number: int) -> None:
        """Sends a signal to the process alone."""
        os.kill(self.pid, number)

    def end(self, seconds: float = PATIENCE_S) -> int:
        """Waits for the end by itself; gives the exit status, negative: of a signal."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            _fail(f"waited {seconds:g} s for the end of: {self.name}", [self])

    def kill(self) -> None:
        """Kills it and all that it started; does nothing more the second time."""
        # What has a session of its own, and what has lost its parent but not its session.
        for pid in () if self.ended else (*_descendants(self.pid), self.pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(_KILL_S)

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()


def run(
    command: Sequence[object], seconds: float = PATIENCE_S, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, as `subprocess.run` does, and shows its output if there is none.

    Args:
        command: to be run.
        seconds: after which it is killed, with all that it started.
        options: of `Child`.
    """
    with Child(command, **options) as child:
        return finish(child, seconds)


def finish(child: Child, seconds: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """Waits for the end of a process; gives its status and what it said."""
    status = child.end(seconds)
    return subprocess.CompletedProcess(child.name, status, child.output, child.errors)


def end_all(started: Sequence[Child], seconds: float = PATIENCE_S) -> list[int]:
    """Exit statuses of all; one limit for them together."""
    end = time.monotonic() + seconds
    names = ", ".join(child.name for child in started)
    while not all(child.ended for child in started):
        if time.monotonic() > end:
            _fail(f"waited {seconds:g} s for the end of: {names}", started)
        time.sleep(_POLL_S)
    return [child.end() for child in started]


@contextlib.contextmanager
def thread(function: Callable[[], object], what: str, seconds: float = 60.0) -> Iterator[None]:
    """Does something beside the test, and waits for its end; the test fails with what it raises."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:
            raised.append(error)

    beside = threading.Thread(target=call, name=what, daemon=True)
    beside.start()
    try:
        yield
    finally:
        beside.join(seconds)
    if beside.is_alive():
        _fail(f"waited {seconds:g} s for the end of: {what}", ())
    if raised:
        raise raised[0]


def free_address() -> str:
    """HOST:PORT of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def python(code: str, *arguments: object) -> list[object]:
    """The command of a small program."""
    return [sys.executable, "-c", code, *arguments]


def _descendants(pid: int) -> list[int]:
    """Processes that a process started, and theirs; none where the system does not say."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # Behind the name, which may hold spaces and brackets: the state, and the parent.
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def _fail(message: str, shown: Iterable[Child]) -> NoReturn:
    said = "".join(
        f"\n--- {child.name}, status {child.returncode}\n{child.output}{child.errors}"
        for child in shown
    )
    raise AssertionError(message + said)
