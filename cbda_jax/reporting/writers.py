"""Metrics as JSON lines, for programs, and as TensorBoard events, for eyes."""

import json
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from cbda_jax.errors import InputError
from cbda_jax.files import json_text, write_bytes
from cbda_jax.reporting.events import EventFile
from cbda_jax.reporting.trackers import Tracker
from cbda_jax.stores import AnyPath, GrowingObject, to_path


class MetricWriter:
    """Appends records to `metrics.jsonl` and mirrors their numbers to `tensorboard/`.

    Every record is one line, flushed as it is written, so that a killed process loses at most the
    line it was writing; in an object store, what it wrote since the last `flush`. Opening repairs
    the file for a resumed run: an incomplete last line goes, and so do the records that the run is
    about to make again, so that a step is never there twice.

    Args:
        workdir: the folder of the run; made if need be.
        resume_step: the step that the run goes on from. Records of later steps are dropped, and
            those of the end (`final`), which comes after the last step; -1 drops all of them.
        last_step: of the run. The end of one that was extended since stays.
        enabled: False on every host but the first; nothing is then read or written.
        tracker: gets the same numbers, and is closed with this; those of the end have the tags
            `final/...` too.

    Raises:
        InputError: the file holds something that is not a record, or cannot be written.
    """

    def __init__(
        self,
        workdir: AnyPath,
        *,
        resume_step: int,
        last_step: int = 0,
        enabled: bool = True,
        tracker: Tracker | None = None,
    ):
        self._tracker = tracker if enabled else None
        self._file: FileIO | GrowingObject | None = None
        self._events: EventFile | None = None
        self._path = _path(workdir)
        if not enabled:
            return
        kept = b""
        if self._path.exists():
            content = self._path.read_bytes()
            records = _parse(content, self._path)
            kept = b"".join(
                _line(record)
                for record in records
                if record["step"] <= resume_step
                and not (record.get("final") and record["step"] >= last_step)
            )
            if kept != content:
                write_bytes(self._path, kept)
        try:
            if isinstance(self._path, Path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                # Unbuffered: a buffer that cannot be written raises again when it is closed.
                self._file = self._path.open("ab", buffering=0)
            else:
                self._file = GrowingObject(self._path, kept)
            # TensorBoard hides the events that an earlier process wrote from this step on.
            self._events = EventFile(self._path.parent / "tensorboard", purge_step=resume_step + 1)
        except OSError as error:
            self.close()
            raise self._cannot_write(error) from error

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Writes one record.

        Args:
            kind: what was measured: "train", "evaluation", "round" or "pool".
            step: the training step it belongs to.
            **values: numbers, strings, booleans, None, NumPy arrays, and lists and mappings of
                them. A number that is not finite becomes null in the JSON line, which has no NaN,
                and is left out of TensorBoard, which warns of each.

        Raises:
            InputError: the line cannot be written.
            TypeError: a value is of another type.
        """
        if self._file is None or self._events is None:
            return
        plain = {name: _plain(value, name) for name, value in values.items()}
        line = _line({"kind": kind, "step": int(step), **plain})
        prefix = f"{kind}/{plain['split']}" if "split" in plain else kind
        try:
            # A disk that fills up takes the beginning without an error; the rest brings it.
            while line:
                line = line[self._file.write(line) :]
            numbers = dict(_numbers(prefix, plain))
            self._events.add(int(step), numbers)
        except OSError as error:
            raise self._cannot_write(error) from error
        if self._tracker is not None:
            if plain.get("final"):
                numbers |= {tag.replace(kind, "final", 1): value for tag, value in numbers.items()}
            self._tracker.log(int(step), numbers)

    def flush(self) -> None:
        """Brings what was written to where others see it, and a resumed run does.

        On a disk it is there already; an object is written every half minute besides.

        Raises:
            InputError: it cannot be written.
        """
        try:
            for file in (self._file, self._events):
                if file is not None:
                    file.flush()
        except OSError as error:
            raise self._cannot_write(error) from error

    def finish(self, folder: AnyPath) -> None:
        """Says that the run has ended; the tracker keeps the folder of its report."""
        if self._tracker is not None:
            self._tracker.finish(folder)

    def close(self) -> None:
        """Closes both files. May be called twice."""
        if self._tracker is not None:
            self._tracker.close()
        file, events = self._file, self._events
        self._file = self._events = None
        try:
            if events is not None:
                events.close()
            if file is not None:
                file.close()
        except OSError as error:
            raise self._cannot_write(error) from error

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _cannot_write(self, error: OSError) -> InputError:
        return InputError(
            f"cannot write {self._path}: {error.strerror or error}; free some space or name "
            "another folder, then start the same command again"
        )


def read_metrics(workdir: AnyPath) -> list[dict[str, Any]]:
    """The records of a run in the order in which they were written; none where there is no file.

    An incomplete last line, which a killed process leaves, is passed over.

    Raises:
        InputError: a line before the last is not a record.
    """
    path = _path(workdir)
    return _parse(path.read_bytes(), path) if path.exists() else []


def _path(workdir: AnyPath) -> AnyPath:
    return to_path(workdir) / "metrics.jsonl"


def _line(record: Mapping[str, Any]) -> bytes:
    return json_text(record).encode() + b"\n"


def _parse(content: bytes, path: AnyPath) -> list[dict[str, Any]]:
    records = []
    lines = content.split(b"\n")
    # A whole file ends in a newline; whatever stands behind the last one was cut off.
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
            if not isinstance(record["kind"], str) or not isinstance(record["step"], int):
                raise TypeError("its kind or step has the wrong type")
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines) - 1:
                break
            raise InputError(
                f"{path}: line {number} is not a record ({error}), expected JSON with at least "
                '"kind" and "step"; delete the line'
            ) from error
        records.append(record)
    return records


def _plain(value: Any, name: str) -> Any:
    """`value` as JSON knows it, except that numbers need not be finite."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{name}[{i}]") for i, item in enumerate(value)]
    raise TypeError(f"metric {name} is a {type(value).__name__}, expected numbers or text")


def _numbers(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        tag = f"{prefix}/{name}"
        if isinstance(value, Mapping):
            yield from _numbers(tag, value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
            yield tag, float(value)
