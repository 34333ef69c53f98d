"""The file of a ledger: a SQLite database of rows that are added and never changed.

Every row of events holds a SHA-256 of itself and of the row before, so that a damaged, missing or
exchanged row is found when the file is opened.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from cbda_jax.annotation.people.disks import network_file_system
from cbda_jax.annotation.people.events import Event
from cbda_jax.errors import InputError
from cbda_jax.files import write_atomic, write_bytes

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

RESTORE = "nothing was touched; restore the file from a backup"
_VERSION = 1
_SAYS_WHAT_IT_IS = 0x63626461  # "cbda", where SQLite has a place for it
_COLUMNS = {
    "people": "name TEXT NOT NULL, token TEXT NOT NULL, time REAL NOT NULL",
    "rounds": "round INTEGER NOT NULL UNIQUE, queries TEXT NOT NULL, size INTEGER NOT NULL, "
    "radius INTEGER NOT NULL, redundancy REAL NOT NULL, hidden REAL NOT NULL, "
    "seed INTEGER NOT NULL, time REAL NOT NULL",
    "events": "id TEXT NOT NULL UNIQUE, round INTEGER NOT NULL, kind TEXT NOT NULL, "
    "query INTEGER NOT NULL, person TEXT NOT NULL, patch BLOB NOT NULL, guess INTEGER NOT NULL, "
    "guess_shown INTEGER NOT NULL, seconds REAL NOT NULL, time REAL NOT NULL",
    "closings": "round INTEGER NOT NULL UNIQUE, time REAL NOT NULL",
}
NAMES = {
    table: tuple(column.split()[0] for column in columns.split(", "))
    for table, columns in _COLUMNS.items()
}
# A row that is replaced is deleted without a trigger being asked, unless its insertion is refused.
_TAKEN = {"people": (), "rounds": ("round",), "events": ("id",), "closings": ("round",)}


class Registered(NamedTuple):
    """What a ledger knows of a round, beside its events."""

    round: int
    queries: str
    size: int
    radius: int
    redundancy: float | int
    hidden: float | int
    seed: int
    time: float


class Store:
    """The tables of a ledger; the one who writes has it alone.

    Args:
        path: of the file.
        writable: opens it to be written to, and makes it if it is not there. Otherwise it is read,
            also while another process writes.

    Raises:
        InputError: the file is damaged or no ledger, another process writes it, it is on a network
            file system, or the folder cannot be written to.
    """

    def __init__(self, path: Path, *, writable: bool):
        self.path = Path(path).absolute()
        self._lock: IO[str] | None = None
        self._connection: sqlite3.Connection | None = None
        self._last = b""
        try:
            if writable:
                self._check_disk()
                self._take_lock()
            if writable and not self.path.exists():
                self._create()
            self._check()
            self._open(writable)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file and lets others write it; does nothing the second time."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            # The file stays: whoever waits for it may have it open by now.
            self._lock.close()
            self._lock = None

    def add(self, table: str, *values: Any) -> None:
        """Adds a row; it is on the disk when this returns.

        Raises:
            InputError: it cannot be written. Nothing has changed.
        """
        self._insert(table, NAMES[table], [values])

    def add_events(self, number: int, events: Iterable[Event]) -> None:
        """Adds events of a round, all or none; they are on the disk when this returns.

        Raises:
            InputError: they cannot be written. Nothing has changed.
        """
        rows, last = [], self._last
        for event in events:
            values = (
                *(event.id, number, event.kind, event.query, event.person, event.patch),
                *(event.guess, int(event.guess_shown), event.seconds, event.time),
            )
            last = _digest(last, values)
            rows.append((*values, last))
        self._insert("events", (*NAMES["events"], "digest"), rows)
        self._last = last

    def _insert(self, table: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(names))
        try:
            # One transaction.
            with self._open_connection as connection:
                connection.executemany(
                    f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows
                )
        except sqlite3.Error as error:
            raise InputError(
                f"{self.path}: cannot be written ({error}); free some space; nothing already "
                "written has changed"
            ) from error

    def rows(self, table: str, where: str = "", *values: Any) -> Iterator[tuple[Any, ...]]:
        """Rows in the order in which they were added."""
        sql = f"SELECT {', '.join(NAMES[table])} FROM {table} {where} ORDER BY number"
        return iter(self._open_connection.execute(sql, values).fetchall())

    def registered(self) -> dict[int, Registered]:
        """The rounds, by number."""
        return {row[0]: Registered(*row) for row in self.rows("rounds")}

    def closed(self) -> set[int]:
        """Rounds that are closed."""
        return {row[0] for row in self.rows("closings")}

    def events(self, number: int) -> Iterator[Event]:
        """All of a round, in the order in which they came."""
        for row in self.rows("events", "WHERE round = ?", number):
            yield event_of(row)

    def ids(self) -> Iterator[tuple[str]]:
        """The ids of all events."""
        return iter(self._open_connection.execute("SELECT id FROM events").fetchall())

    def backup(self, path: Path) -> None:
        """Copies all to another file, which is whole or not there.

        Raises:
            InputError: it cannot be written.
        """

        def copy(file: IO[bytes]) -> None:
            with contextlib.closing(sqlite3.connect(file.name)) as target:
                self._open_connection.backup(target)

        try:
            write_atomic(path, copy)
        except sqlite3.Error as error:
            raise InputError(f"cannot write {path}: {error}; free some space") from error

    @property
    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise InputError(f"{self.path}: a closed ledger found, expected an open one; open it")
        return self._connection

    def _check_disk(self) -> None:
        kind = network_file_system(self.path)
        if kind is not None:
            raise InputError(
                f"{self.path}: a network file system ({kind}) found, expected a disk of this "
                "machine, as answers could get lost on it; copy the workdir to such a disk, answer "
                "there, and copy its folder answers back"
            )

    def _take_lock(self) -> None:
        """Has this process be the one that writes; the system takes that back when it ends."""
        path = self.path.with_name(f"{self.path.name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open("a+")
        except OSError as error:
            raise InputError(
                f"cannot write {path}: {error.strerror or error}; check the permissions of the "
                "folder"
            ) from error
        self._lock = lock
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            lock.close()
            raise InputError(
                f"{self.path}: in use by {holder}, expected one "
                "program that writes it; stop that one, or answer there"
            ) from error
        with contextlib.suppress(OSError):
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {os.uname().nodename}\n")
            lock.flush()

    def _create(self) -> None:
        # Made elsewhere first: an empty file would tell nobody whether it ever was a ledger.
        with contextlib.closing(sqlite3.connect(":memory:")) as empty:
            empty.executescript(_schema())
            content = empty.serialize()
        write_bytes(self.path, content)

    def _check(self) -> None:
        """Reads every row before anything is written."""
        if not self.path.exists():
            raise InputError(
                f"{self.path}: not found, expected the ledger of a run that people answer; let "
                "them in first (python -m cbda_jax.annotate)"
            )
        try:
            if self.path.stat().st_size == 0:
                raise sqlite3.DatabaseError("it is empty")
            with contextlib.closing(self._connect("ro")) as connection:
                (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
                if found != "ok":
                    raise sqlite3.DatabaseError(found)
                pragmas = [
                    connection.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("application_id", "user_version")
                ]
                if pragmas != [_SAYS_WHAT_IT_IS, _VERSION]:
                    raise sqlite3.DatabaseError(f"it is no ledger of version {_VERSION}")
                names = ", ".join((*NAMES["events"], "digest"))
                last = b""
                rows = connection.execute(f"SELECT number, {names} FROM events ORDER BY number")
                for place, (number, *row, digest) in enumerate(rows, 1):
                    if number != place or digest != _digest(last, row):
                        raise sqlite3.DatabaseError(f"event {place} is not as it was written")
                    last = digest
                self._last = last
        except (OSError, sqlite3.Error, OverflowError, ValueError) as error:
            raise InputError(
                f"{self.path}: found damaged ({' '.join(str(error).split())}), expected the "
                f"answers of people; {RESTORE}"
            ) from error

    def _open(self, writable: bool) -> None:
        try:
            connection = self._connect("rw" if writable else "ro")
            self._connection = connection
            if writable:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            raise InputError(
                f"{self.path}: cannot be opened ({error}); check the permissions of the file and "
                "of its folder"
            ) from error

    def _connect(self, mode: str) -> sqlite3.Connection:
        # The ledger has one lock for all threads.
        return sqlite3.connect(
            f"{self.path.as_uri()}?mode={mode}", uri=True, timeout=10, check_same_thread=False
        )


def event_of(row: Iterable[Any]) -> Event:
    """The event of a row of the table of events."""
    number, _, kind, query, person, patch, guess, shown, seconds, time = row
    return Event(number, kind, query, person, bytes(patch), guess, bool(shown), seconds, time)


def _digest(last: bytes, values: Iterable[Any]) -> bytes:
    plain = [value.hex() if isinstance(value, bytes) else value for value in values]
    return hashlib.sha256(last + json.dumps(plain).encode()).digest()


def _schema() -> str:
    statements = [
        f"PRAGMA application_id = {_SAYS_WHAT_IT_IS};",
        f"PRAGMA user_version = {_VERSION};",
        "BEGIN;",
    ]
    for table, columns in _COLUMNS.items():
        also = ", digest BLOB NOT NULL" if table == "events" else ""
        statements.append(
            f"CREATE TABLE {table} (number INTEGER PRIMARY KEY AUTOINCREMENT, {columns}{also});"
        )
        for what in ("UPDATE", "DELETE"):
            statements.append(
                f"CREATE TRIGGER {table}_{what.lower()} BEFORE {what} ON {table} BEGIN "
                f"SELECT RAISE(ABORT, '{table} are never changed or removed'); END;"
            )
        same = [f"{name} = NEW.{name}" for name in ("number", *_TAKEN[table])]
        statements.append(
            f"CREATE TRIGGER {table}_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {' OR '.join(same)}) BEGIN "
            f"SELECT RAISE(ABORT, '{table} are never replaced'); END;"
        )
    statements.append(
        "CREATE TRIGGER events_closed BEFORE INSERT ON events "
        "WHEN EXISTS (SELECT 1 FROM closings WHERE round = NEW.round) BEGIN "
        "SELECT RAISE(ABORT, 'the round is closed'); END;"
    )
    statements.append("CREATE INDEX events_of_round ON events (round, number);")
    return "\n".join([*statements, "COMMIT;"])
