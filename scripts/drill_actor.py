"""Processes that are killed as planned, and started again until they end by themselves.

A part of `scripts/fault_drill_people.py`.
"""

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_KILLED_S = 30.0  # what the kernel may need to end a process


@dataclasses.dataclass
class Kill:
    """One kill that is planned.

    Attributes:
        who: is killed: "run", "server", or the name of a person.
        write: before which write the process dies; 0: not at a write.
        after: seconds after its start; 0: not at a time.
        event: number of an event of a person, at which the server or the person dies.
        moment: of that event, see `drill_person.MOMENTS`; for the server "answering".
        what: in words.
        fired: whether it came to that.
    """

    who: str
    what: str
    write: int = 0
    after: float = 0.0
    event: int = 0
    moment: str = ""
    fired: bool = False


class Actor:
    """A process that is started again whenever it is killed.

    Args:
        name: of the kills that are meant for it.
        kills: one for each start, until there are no more.
        command: of a start that is to end by this kill, or by none.
        folder: for what it says.
        by_others: tells of a kill that somebody else has brought about, once.
    """

    def __init__(
        self,
        name: str,
        kills: Sequence[Kill],
        command: Callable[[Kill | None], list[str]],
        folder: Path,
        by_others: Callable[[], Kill | None] = lambda: None,
    ):
        self.name, self._kills, self._command, self._folder = name, [*kills], command, folder
        self._by_others = by_others
        self._process: subprocess.Popen[bytes] | None = None
        self._kill: Kill | None = None
        self._started = 0.0
        self._starts = 0
        self.ended = False

    @property
    def pid(self) -> int | None:
        """Of the process that is there now."""
        return None if self._process is None else self._process.pid

    @property
    def output(self) -> Path:
        """What this start says."""
        return self._folder / f"{self.name}-{self._starts}.txt"

    def look(self) -> None:
        """Starts it, kills it if it is time for that, and takes note of its end.

        Raises:
            RuntimeError: it ended with an error.
        """
        if self.ended:
            return
        if self._process is None:
            self._start()
            return
        kill = self._kill
        if kill is not None and 0 < kill.after < time.monotonic() - self._started:
            self.kill()
        status = self._process.poll()
        if status is None:
            return
        self.kill()
        self._process = None
        if status == -signal.SIGKILL:
            other = self._by_others()
            if other is not None:
                other.fired = True
                # What was meant for this start is left for the next one.
                self._kills[:0] = [] if kill is None else [kill]
            elif kill is not None:
                kill.fired = True
        elif status:
            raise RuntimeError(f"{self.name}: status {status}\n{self.output.read_text()[-3000:]}")
        else:
            self.ended = True

    def _start(self) -> None:
        self._starts += 1
        self._kill = self._kills.pop(0) if self._kills else None
        self._started = time.monotonic()
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                self._command(self._kill),
                cwd=ROOT,
                env={
                    **os.environ,
                    "PYTHONPATH": path,
                    "JAX_PLATFORMS": "cpu",
                    "JAX_NUM_CPU_DEVICES": "1",
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kills it with all that it has started, such as a browser, also if it has ended itself."""
        if self._process is None:
            return
        for pid in _session(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(_KILLED_S)


def _session(leader: int) -> list[int]:
    """The processes of a session, and what they have started."""
    parents, found = {}, []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # Behind the name: the state, the parent, the group, the session.
            _, parent, _, session, *_ = path.read_text().rpartition(")")[2].split()
            pid = int(path.parent.name)
            parents[pid] = int(parent)
            if pid == leader or int(session) == leader:
                found.append(pid)
    for one in found:
        found += [pid for pid, parent in parents.items() if parent == one and pid not in found]
    return found
