"""A round that people answer: who gets which query next, and what becomes of the answers."""

import statistics
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from cbda_jax.annotation.answers import UNANSWERED
from cbda_jax.annotation.people.agreement import Agreement, Anchoring, agreement, anchoring
from cbda_jax.annotation.people.events import Event, problem
from cbda_jax.annotation.people.standing import Standing
from cbda_jax.annotation.queries import Queries
from cbda_jax.errors import InputError

LEASE_S = 60.0
"""For how long a query that was given to a person is given to nobody else."""


@dataclass(frozen=True)
class Task:
    """A query, as it is given to a person.

    Attributes:
        query: its place in the queries of the round.
        image_id: of its image.
        row, col: its centre, in pixels of the native label.
        radius: it covers the (2 radius + 1)^2 square around the centre.
        guess: the class that the network predicts at the centre; None: the person is not to see it.
        repeated: whether two people are asked.
        answer: what this person answered before, s*s bytes; None: nothing that counts.
    """

    query: int
    image_id: str
    row: int
    col: int
    radius: int
    guess: int | None
    repeated: bool
    answer: bytes | None


@dataclass(frozen=True)
class Progress:
    """How far a round has come.

    Attributes:
        answered: queries that have an answer.
        total: all queries.
        skipped: queries that wait for an answer and were skipped by somebody.
        left: queries that wait for an answer, of one person or of another one.
        mine: queries that the person has answered; of nobody: all answers that count.
        seconds: median of an answer, by the person; of nobody: by all. None without answers.
        by_class: answered pixels by train id, void included, without zeros.
    """

    answered: int
    total: int
    skipped: int
    left: int
    mine: int
    seconds: float | None
    by_class: Mapping[int, int]


class Parts(NamedTuple):
    """What a round is made of.

    Attributes:
        queries: what is asked.
        standing: what was answered by now.
        twice: queries that two people are asked.
        hidden: queries whose guess nobody sees.
        num_classes: C.
        closed: whether nothing more is recorded.
        is_known: whether the ledger has an event of an id.
        add: keeps events, all or none.
        end: keeps that the round is closed.
        lock: of the ledger.
    """

    queries: Queries
    standing: Standing
    twice: Bool[np.ndarray, " n"]
    hidden: Bool[np.ndarray, " n"]
    num_classes: int
    closed: bool
    is_known: Callable[[str], bool]
    add: Callable[[Sequence[Event]], None]
    end: Callable[[], None]
    lock: threading.RLock


class Round:
    """A round of a ledger; made by `Ledger.open_round`. Safe in threads.

    Leases are kept in memory alone: after a start nobody has one, which costs at most that a query
    is answered twice. Both answers are kept then.

    Attributes:
        queries: what is asked.
        closed: whether nothing more is recorded.
    """

    def __init__(self, parts: Parts):
        self.queries = parts.queries
        self.closed = parts.closed
        self._standing = parts.standing
        self._parts = parts
        self._lock = parts.lock
        self._leases: dict[str, tuple[int, float]] = {}

    # ------------------------------------------------------------- who gets what

    def next(self, person: str, *, now: float | int) -> Task | None:
        """Gives a query to a person, for a minute.

        The first one of the round that waits for an answer of this person; the same once more until
        it is answered or skipped or the minute is over. What the person has skipped comes last.

        Args:
            person: a name.
            now: seconds, of a clock that only goes forward.

        Returns:
            None: nothing is left for this person by now. What is left may be with others.
        """
        with self._lock:
            if self.closed:
                return None
            free = self._free(person, now)
            query = self._leased(person, now)
            if query is None or not free[query]:
                order = self._order(person, free, 1)
                if not order:
                    self._leases.pop(person, None)
                    return None
                query = order[0]
            self._leases[person] = (query, now + LEASE_S)
            return self.task(query, person)

    def upcoming(self, person: str, count: int = 5, *, now: float | int) -> list[int]:
        """The queries that `next` is likely to give after the present one. Gives out none."""
        with self._lock:
            if self.closed:
                return []
            free = self._free(person, now)
            present = self._leased(person, now)
            if present is not None:
                free[present] = False
            return self._order(person, free, count)

    def task(self, query: int, person: str) -> Task:
        """A query as it is given to a person, who may have answered it.

        Raises:
            InputError: there is no such query.
        """
        queries = self.queries
        if type(query) is not int or not 0 <= query < len(queries):
            raise InputError(
                f"round {queries.round}: query {query!r} found, expected 0 to {len(queries) - 1}"
            )
        with self._lock:
            latest = self._standing.latest(query, person)
            return Task(
                query=query,
                image_id=queries.image_ids[queries.image[query]],
                row=int(queries.row[query]),
                col=int(queries.col[query]),
                radius=queries.radius,
                guess=None if self._parts.hidden[query] else int(queries.predicted[query]),
                repeated=bool(self._parts.twice[query]),
                answer=latest.patch if latest is not None and latest.kind == "answer" else None,
            )

    def _leased(self, person: str, now: float | int) -> int | None:
        query, until = self._leases.get(person, (0, now))
        return query if until > now else None

    def _free(self, person: str, now: float | int) -> Bool[np.ndarray, " n"]:
        """Queries that wait for an answer of this person, and are not with enough others."""
        need = self._standing.need
        free = need > 0
        own = self._standing.people.get(person)
        if own is not None:
            free &= ~own.answered
        others: dict[int, int] = {}
        for other, (query, until) in self._leases.items():
            if other != person and until > now and not self._has_answered(other, query):
                others[query] = others.get(query, 0) + 1
        for query, count in others.items():
            free[query] &= need[query] > count
        return free

    def _has_answered(self, person: str, query: int) -> bool:
        own = self._standing.people.get(person)
        return own is not None and bool(own.answered[query])

    def _order(self, person: str, free: Bool[np.ndarray, " n"], count: int) -> list[int]:
        """The first of some queries; those that the person has skipped come last, by how often."""
        own = self._standing.people.get(person)
        if own is None:
            return np.flatnonzero(free)[:count].tolist()
        found = np.flatnonzero(free & (own.skips == 0))[:count].tolist()
        if len(found) < count:
            skipped = np.flatnonzero(free & (own.skips > 0))
            by_skips = skipped[np.argsort(own.skips[skipped], kind="stable")]
            found += by_skips[: count - len(found)].tolist()
        return found

    # ------------------------------------------------------------- what they say

    def record(self, event: Event) -> bool:
        """Keeps an event; it is on the disk when this returns.

        Who answers late is heard like any other: whether somebody else has answered by then makes
        no difference.

        Returns:
            False: an event of this id is there already, and nothing is done.

        Raises:
            InputError: the round is closed, there is no such query, the answer cannot be, or it
                cannot be written. Nothing has changed.
        """
        return self.record_all([event]) == 1

    def record_all(self, events: Iterable[Event]) -> int:
        """Keeps events as `record` does, all of them or, whatever happens, none.

        Returns:
            How many of them are new.

        Raises:
            InputError: as `record`, of any of them.
        """
        with self._lock:
            new: dict[str, Event] = {}
            for event in events:
                if not self._parts.is_known(event.id) and event.id not in new:
                    new[event.id] = self._checked(event)
            if new:
                self._parts.add([*new.values()])
            for event in new.values():
                self._standing.apply(event)
                leased, _ = self._leases.get(event.person, (-1, 0.0))
                if event.kind != "undo" and leased == event.query:
                    del self._leases[event.person]
            return len(new)

    def _checked(self, event: Event) -> Event:
        """The event as it is kept."""
        queries = self.queries
        if self.closed:
            raise InputError(
                f"round {queries.round}: closed found, expected an open one; what comes later "
                "is asked in a later round"
            )
        found = problem(event, len(queries), 2 * queries.radius + 1, self._parts.num_classes)
        if found is None and event.kind == "answer" and self._standing.is_outside(event):
            found = "answers outside of the image alone found, expected one inside"
        if found is not None:
            raise InputError(f"round {queries.round}: {found}; correct what sends it")
        return replace(
            event,
            patch=bytes(event.patch),
            guess_shown=bool(event.guess_shown),
            seconds=float(event.seconds),
            time=float(event.time),
        )

    def history(self, person: str, count: int = 50) -> list[int]:
        """The queries that a person has answered or skipped last, the latest first."""
        with self._lock:
            own = self._standing.people.get(person)
            latest = [] if own is None else list(own.latest)
            return latest[: -count - 1 : -1] if count > 0 else []

    def progress(self, person: str | None = None) -> Progress:
        """How far the round has come, and a person in it."""
        with self._lock:
            standing = self._standing
            own = None if person is None else standing.people.get(person)
            seconds = standing.seconds if person is None else own.seconds if own else []
            classes = np.flatnonzero(standing.pixels)
            return Progress(
                answered=len(standing.answers),
                total=len(self.queries),
                skipped=int(standing.skipped.sum()),
                left=int((standing.need > 0).sum()),
                mine=len(seconds),
                seconds=statistics.median(seconds) if seconds else None,
                by_class=dict(
                    zip(classes.tolist(), standing.pixels[classes].tolist(), strict=True)
                ),
            )

    # ------------------------------------------------------------- what it comes to

    def complete(self) -> bool:
        """Whether every query is settled."""
        with self._lock:
            return not self._standing.need.any()

    def patches(self) -> UInt8[np.ndarray, "n s s"]:
        """What the queries are answered with, uint8; `UNANSWERED` where a query is not settled.

        Of a round that is closed all answers stand that were given: that of one person where
        another one was to be asked, and void where two differ and nobody was left to ask.
        """
        with self._lock:
            if self.closed:
                return self._standing.merged.copy()
            settled = (self._standing.need == 0)[:, None, None]
            return np.where(settled, self._standing.merged, np.uint8(UNANSWERED))

    def answers(self) -> list[Event]:
        """The answers that count, by query and by the order in which they came."""
        with self._lock:
            return list(self._standing.counting())

    def agreement(self) -> Agreement | None:
        """How far people agree; None where no query was answered by two."""
        with self._lock:
            return agreement(self._standing)

    def anchoring(self) -> Anchoring:
        """How far answers are what the network had guessed, seen and unseen."""
        with self._lock:
            return anchoring(self._standing.counting(), 2 * self.queries.radius + 1)

    def close(self) -> None:
        """Ends the round, settled or not; does nothing the second time.

        Raises:
            InputError: it cannot be written. The round is open as before.
        """
        with self._lock:
            if not self.closed:
                self._parts.end()
                self.closed = True
