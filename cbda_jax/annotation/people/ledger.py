"""The ledger: everything that people did, in one file that only grows."""

import contextlib
import csv
import hashlib
import io
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from cbda_jax.annotation.answers import UNANSWERED
from cbda_jax.annotation.people.events import Event, is_name
from cbda_jax.annotation.people.standing import Standing, chosen
from cbda_jax.annotation.people.store import NAMES, RESTORE, Registered, Store
from cbda_jax.annotation.people.tasks import Parts, Round
from cbda_jax.annotation.queries import ImageSizes, Queries
from cbda_jax.errors import InputError
from cbda_jax.files import write_bytes

__all__ = ["Event", "Ledger", "backup", "export_csv", "read_round"]


class Ledger:
    """All events of all rounds, and who may add to them.

    One process has it at a time, with as many threads as it likes. A context manager.

    Args:
        path: of the file; made if it is not there.

    Raises:
        InputError: the file is damaged, another process has it, or it is on a network file system.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._lock = threading.RLock()
        self._store = Store(path, writable=True)
        self._tokens: dict[str, str] = {}
        self._ids: set[str] = set()
        self._rounds: dict[int, Round] = {}
        for name, token, _ in self._store.rows("people"):
            self._tokens[name] = token
        for (one,) in self._store.ids():
            self._ids.add(one)

    def close(self) -> None:
        """Closes the file; does nothing the second time."""
        with self._lock:
            self._store.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -------------------------------------------------------------------- people

    def add_person(self, name: str) -> str:
        """Lets a person in, by a token that is told once; the ledger keeps its SHA-256.

        Args:
            name: whose earlier tokens are no longer valid, if there are any.

        Raises:
            InputError: it is no name, or cannot be written.
        """
        if not is_name(name):
            raise InputError(
                f"{self.path}: name {name[:50]!r} found, expected 1 to 200 printable characters"
            )
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._store.add("people", name, _hash(token), time.time())
            self._tokens[name] = _hash(token)
        return token

    def person_of(self, token: str) -> str | None:
        """Whose token it is; None: nobody's."""
        found, hashed = None, _hash(token)
        with self._lock:
            for name, kept in self._tokens.items():
                if secrets.compare_digest(kept, hashed):
                    found = name
        return found

    def people(self) -> list[str]:
        """The names of all who were let in, in that order."""
        with self._lock:
            return list(self._tokens)

    # -------------------------------------------------------------------- rounds

    def open_round(
        self,
        queries: Queries,
        *,
        redundancy: float | int = 0.05,
        hidden: float | int = 0.1,
        seed: int = 0,
        num_classes: int = UNANSWERED,
        sizes: ImageSizes | None = None,
    ) -> Round:
        """The round of some queries, as its events have left it; the same object each time.

        Args:
            queries: of the round.
            redundancy: share of the queries that two people are asked.
            hidden: share of the queries whose guess nobody sees.
            seed: draws both. Of a round that is known, all three stay as they were.
            num_classes: C; greater classes are refused.
            sizes: of the images. Answers to pixels outside of them do not count.

        Raises:
            InputError: the round was opened with other queries, or cannot be written.
        """
        with self._lock:
            known = self._store.registered().get(queries.round)
            if known is None:
                now = time.time()
                known = Registered(
                    *(queries.round, queries.checksum, len(queries), queries.radius),
                    *(float(redundancy), float(hidden), int(seed), now),
                )
                self._store.add("rounds", *known)
            _check(self.path, known, queries)
            if queries.round not in self._rounds:
                self._rounds[queries.round] = self._round(known, queries, num_classes, sizes)
            return self._rounds[queries.round]

    def _round(
        self, known: Registered, queries: Queries, num_classes: int, sizes: ImageSizes | None
    ) -> Round:
        def add(events: Sequence[Event]) -> None:
            self._store.add_events(known.round, events)
            self._ids.update(event.id for event in events)

        def end() -> None:
            self._store.add("closings", known.round, time.time())

        parts = _parts(self._store, known, queries, num_classes, sizes)
        return Round(
            parts._replace(is_known=self._ids.__contains__, add=add, end=end, lock=self._lock)
        )

    def rounds(self) -> list[int]:
        """The numbers of the rounds that were opened."""
        with self._lock:
            return sorted(self._store.registered())


def export_csv(ledger: Path, path: Path) -> None:
    """Writes all events of a ledger, one a line, also while another process writes it.

    The pixels of an answer are numbers with spaces between.

    Args:
        ledger: its path.
        path: of the table.

    Raises:
        InputError: the ledger is damaged or not there, or the file cannot be written.
    """
    names = NAMES["events"]
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow(names)
    patch = names.index("patch")
    with contextlib.closing(Store(ledger, writable=False)) as store:
        for row in store.rows("events"):
            lines.writerow([*row[:patch], " ".join(map(str, row[patch])), *row[patch + 1 :]])
    write_bytes(path, text.getvalue().encode())


def backup(ledger: Path, path: Path) -> None:
    """Copies a ledger to another file, which is whole or not there; also while it is written.

    Args:
        ledger: its path.
        path: of the copy.

    Raises:
        InputError: the ledger is damaged or not there, or the file cannot be written.
    """
    with contextlib.closing(Store(ledger, writable=False)) as store:
        store.backup(path)


@contextlib.contextmanager
def read_round(
    path: Path, queries: Queries, *, sizes: ImageSizes | None = None
) -> Iterator[Round | None]:
    """A round of a ledger that another process may be writing, as it is now; to be looked at alone.

    Args:
        path: of the ledger.
        queries: of the round.
        sizes: of the images.

    Yields:
        None where the ledger does not know the round.

    Raises:
        InputError: the ledger is damaged, or knows the round with other queries.
    """
    store = Store(path, writable=False)
    try:
        known = store.registered().get(queries.round)
        if known is None:
            yield None
        else:
            _check(path, known, queries)
            yield Round(_parts(store, known, queries, UNANSWERED, sizes))
    finally:
        store.close()


def _parts(
    store: Store, known: Registered, queries: Queries, num_classes: int, sizes: ImageSizes | None
) -> Parts:
    """A round as its events have left it, to which nothing can be added."""

    def refuse(*_: object) -> NoReturn:
        raise InputError(f"{store.path}: opened to be read, expected to be written; open a Ledger")

    drawn = {
        what: chosen(known.size, share, what, seed=known.seed, number=known.round)
        for what, share in (("twice", known.redundancy), ("hidden", known.hidden))
    }
    # Before the events, to which another process may add some until it closes the round.
    closed = known.round in store.closed()
    standing = Standing(queries, drawn["twice"], sizes)
    for event in store.events(known.round):
        standing.apply(event)
    return Parts(
        queries=queries,
        standing=standing,
        **drawn,
        num_classes=num_classes,
        closed=closed,
        is_known=lambda _: False,
        add=refuse,
        end=refuse,
        lock=threading.RLock(),
    )


def _check(path: Path, known: Registered, queries: Queries) -> None:
    if known.queries != queries.checksum:
        raise InputError(
            f"{path}: round {known.round} of other queries found, expected those of its "
            f"round_{known.round:02d}.npz; {RESTORE}, or start in a new --workdir"
        )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
