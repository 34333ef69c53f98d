"""What a run says to people: lines, and how far it has come. Once, however many hosts it has."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from tqdm import tqdm

_speaks = True


def speak(yes: bool) -> None:
    """Says whether this process speaks for its run; of several, the first one does.

    Called once the processes have found each other. Until then every process speaks.
    """
    global _speaks
    _speaks = yes


class Progress:
    """Shows how far a phase of the run has come. A context manager; this one shows nothing."""

    def update(self, n: int = 1, **shown: float | int | str) -> None:
        """Counts `n` more units; `shown` values are shown from now on.

        Pass Python numbers: a value that still is on an accelerator would make the loop wait.
        """

    def close(self) -> None:
        """Ends the phase, finished or not."""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def progress(
    total: int,
    label: str,
    *,
    initial: int = 0,
    unit: str = "step",
    enabled: bool = True,
    every_s: float | int = 10.0,
) -> Progress:
    """Opens the progress display of a phase.

    All of it goes to standard error. On a terminal it is a bar. Elsewhere it is lines without
    carriage returns: one at the beginning, one at the end, and between them at most one every
    `every_s` seconds.

    Args:
        total: units in the whole phase.
        label: what is going on: "train", "acquire round 2".
        initial: units done before, by an earlier process.
        unit: name of a unit in the singular.
        enabled: False shows nothing. Nor does a process that does not speak for its run.
        every_s: the shortest time between two lines, in seconds.
    """
    if not (enabled and _speaks):
        return Progress()
    if sys.stderr.isatty():
        return _Bar(total, label, initial, unit)
    return _Lines(total, label, initial, unit, every_s)


def say(text: str, *, everyone: bool = False) -> None:
    """Writes a line to standard error, above a bar if one is shown.

    Args:
        text: the line.
        everyone: also in processes that do not speak for their run, for what concerns one alone.
    """
    if everyone or _speaks:
        tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()


def duration(seconds: float | int) -> str:
    """A length of time in its two largest units: "45 s", "1 min 30 s", "2 h 5 min", "3 d 4 h"."""
    whole = max(0, round(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    if minutes:
        return f"{minutes} min {whole % 60} s"
    return f"{whole} s"


def _show(shown: Mapping[str, float | int | str]) -> str:
    return "  ".join(
        f"{name.replace('_', ' ')} {value if isinstance(value, str) else format(value, '.4g')}"
        for name, value in shown.items()
    )


class _Bar(Progress):
    def __init__(self, total: int, label: str, initial: int, unit: str):
        self._shown: dict[str, float | int | str] = {}
        self._bar = tqdm(
            total=total,
            initial=initial,
            desc=label,
            unit=f" {unit}",
            file=sys.stderr,
            dynamic_ncols=True,
            mininterval=0.2,
        )

    def update(self, n: int = 1, **shown: float | int | str) -> None:
        if shown:
            self._shown |= shown
            self._bar.set_postfix_str(_show(self._shown), refresh=False)
        self._bar.update(n)

    def close(self) -> None:
        self._bar.close()


class _Lines(Progress):
    def __init__(
        self,
        total: int,
        label: str,
        initial: int,
        unit: str,
        every_s: float | int,
    ):
        self._shown: dict[str, float | int | str] = {}
        self._total, self._label, self._unit = total, label, unit
        self._every_s = every_s
        self._done = self._first = self._last_done = initial
        self._start = self._last_time = time.monotonic()
        self._print()

    def update(self, n: int = 1, **shown: float | int | str) -> None:
        self._done += n
        self._shown |= shown
        now = time.monotonic()
        if now - self._last_time < self._every_s or self._done >= self._total:
            return
        # The rate since the line before: an average over the whole phase would carry the time that
        # compilation took, and promise an end that is hours too late.
        rate = (self._done - self._last_done) / (now - self._last_time)
        left = duration((self._total - self._done) / rate) if rate > 0 else "unknown"
        self._print(self._rate(rate), f"eta {left}")
        self._last_time, self._last_done = now, self._done

    def close(self) -> None:
        elapsed = time.monotonic() - self._start
        rate = (self._done - self._first) / elapsed if elapsed > 0 else 0.0
        how = "took" if self._done >= self._total else "stopped after"
        self._print(self._rate(rate), f"{how} {duration(elapsed)}")

    def _rate(self, rate: float) -> str:
        if rate <= 0:
            return ""
        if rate < 1:
            return f"{1 / rate:.3g} s/{self._unit}"
        return f"{rate:.{3 if rate < 1000 else 6}g} {self._unit}/s"

    def _print(self, *timing: str) -> None:
        percent = 100 * self._done // self._total if self._total else 100
        parts = [
            self._label,
            f"{self._done}/{self._total}",
            f"{percent} %",
            *timing,
            _show(self._shown),
        ]
        print("  ".join(part for part in parts if part), file=sys.stderr, flush=True)
