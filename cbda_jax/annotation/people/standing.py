"""How the queries of a round stand after some events: who answered what, and what is settled.

A function of the events in their order and of nothing else: built anew from a ledger it is what it
was in the process that wrote it.
"""

import bisect
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8

from cbda_jax.annotation.answers import UNANSWERED, VOID
from cbda_jax.annotation.people.events import Event
from cbda_jax.annotation.queries import ImageSizes, Queries, own_sizes


def chosen(
    count: int, share: float | int, what: str, *, seed: int, number: int
) -> Bool[np.ndarray, " count"]:
    """A share of the queries of a round, drawn.

    By a hash, as it has to be the same queries in every version of every library.

    Args:
        count: of the queries.
        share: of them, from 0 to 1.
        what: they are drawn for; other things draw other queries.
        seed: of the run.
        number: of the round.
    """
    drawn = np.zeros(count, bool)
    wanted = round(count * share)
    if 0 < wanted < count:
        keys = [
            hashlib.sha256(f"{what} {seed} {number} {query}".encode()).digest()
            for query in range(count)
        ]
        drawn[sorted(range(count), key=keys.__getitem__)[:wanted]] = True
    elif wanted:
        drawn[:] = True
    return drawn


@dataclass
class Own:
    """What one person did in a round.

    Attributes:
        answered: queries that an answer of the person counts for.
        skips: how often the person skipped each query.
        latest: queries answered or skipped, the latest last.
        seconds: of the answers that count, sorted.
    """

    answered: Bool[np.ndarray, " n"]
    skips: Int32[np.ndarray, " n"]
    latest: dict[int, None] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


class Standing:
    """How a round stands.

    Of a person the latest event about a query counts that was not taken back: an answer, or a skip,
    which puts aside what the person had answered. A query is settled by one answer; one that is
    asked twice by those of two people, as soon as two people have answered anything in the round.
    Answers that differ in a pixel go to a third person, if there is one. What a query is answered
    with is, pixel by pixel, what more than half of those say who answered the pixel, else void.

    Args:
        queries: of the round.
        twice: queries that two people are asked.
        sizes: of the images; without them all pixels of all squares are taken to lie inside.

    Attributes:
        need: int32 [n], how many answers a query still waits for; 0: it is settled.
        merged: uint8 [n, s, s], what the queries are answered with by now, settled or not.
        pixels: int64 [256], pixels of `merged` by their value; those unanswered are 0.
        people: what each did who did anything.
        answers: by query, the answers that count, by person.
        seconds: of all answers that count, sorted.
    """

    def __init__(
        self, queries: Queries, twice: Bool[np.ndarray, " n"], sizes: ImageSizes | None = None
    ):
        count, side = len(queries), 2 * queries.radius + 1
        self.need: Int32[np.ndarray, " n"] = np.ones(count, np.int32)
        self.merged: UInt8[np.ndarray, "n s s"] = np.full((count, side, side), UNANSWERED, np.uint8)
        self.pixels: Int64[np.ndarray, " 256"] = np.zeros(256, np.int64)
        self.people: dict[str, Own] = {}
        self.answers: dict[int, dict[str, Event]] = {}
        self.seconds: list[float] = []
        self._twice = twice
        self._outside = _outside(queries, sizes)
        self._events: dict[tuple[int, str], list[Event]] = {}
        self._answering = 0

    @property
    def skipped(self) -> Bool[np.ndarray, " n"]:
        """Queries that wait for an answer and were skipped by somebody."""
        skipped = np.zeros(len(self.need), bool)
        for own in self.people.values():
            skipped |= own.skips > 0
        return skipped & (self.need > 0)

    def latest(self, query: int, person: str) -> Event | None:
        """The event of a person about a query that counts."""
        events = self._events.get((query, person))
        return events[-1] if events else None

    def counting(self) -> Iterator[Event]:
        """All answers that count, by query and by the order in which they came."""
        for query in sorted(self.answers):
            yield from self.answers[query].values()

    def is_outside(self, answer: Event) -> bool:
        """Whether no answered pixel of an answer lies inside of the image."""
        return bool((self.patch(answer) == UNANSWERED).all())

    def apply(self, event: Event) -> None:
        """Takes up the next event."""
        query, person = event.query, event.person
        own = self.people.get(person)
        if own is None:
            count = len(self.need)
            own = self.people[person] = Own(np.zeros(count, bool), np.zeros(count, np.int32))
        events = self._events.setdefault((query, person), [])
        before = events[-1] if events else None
        if event.kind == "undo":
            if before is None:
                return
            events.pop()
            if before.kind == "skip":
                own.skips[query] -= 1
            if not events:
                own.latest.pop(query)
        else:
            events.append(event)
            if event.kind == "skip":
                own.skips[query] += 1
            own.latest.pop(query, None)
            own.latest[query] = None
        self._replace(query, own, before, events[-1] if events else None)

    def _replace(self, query: int, own: Own, before: Event | None, after: Event | None) -> None:
        """Has the answer of a person about a query be another one, or none."""
        answers = self.answers.setdefault(query, {})
        if before is not None and before.kind == "answer":
            del answers[before.person]
            for seconds in (own.seconds, self.seconds):
                seconds.pop(bisect.bisect_left(seconds, before.seconds))
        own.answered[query] = after is not None and after.kind == "answer"
        if after is not None and after.kind == "answer":
            answers[after.person] = after
            for seconds in (own.seconds, self.seconds):
                bisect.insort(seconds, after.seconds)
        patches = [self.patch(answer) for answer in answers.values()]
        if not patches:
            del self.answers[query]
        self._merge(query, patches)
        answering = sum(bool(one.seconds) for one in self.people.values())
        if min(answering, 3) != min(self._answering, 3):
            # What is asked of two people, and who is left to ask, is another thing now.
            self.need[self._twice] = min(2, max(1, answering))
            waiting = {query, *self.answers}
        else:
            waiting = {query}
        self._answering = answering
        for one in waiting:
            self._count(one)

    def patch(self, answer: Event) -> UInt8[np.ndarray, "s s"]:
        """The square of an answer; unanswered outside of the image."""
        patch = np.frombuffer(answer.patch, np.uint8).reshape(self.merged.shape[1:])
        outside = self._outside.get(answer.query)
        return patch if outside is None else np.where(outside, np.uint8(UNANSWERED), patch)

    def _merge(self, query: int, patches: list[UInt8[np.ndarray, "s s"]]) -> None:
        place = self.merged[query]
        np.subtract.at(self.pixels, place.ravel(), 1)
        place[:] = majority(patches) if patches else UNANSWERED
        np.add.at(self.pixels, place.ravel(), 1)
        self.pixels[UNANSWERED] = 0

    def _count(self, query: int) -> None:
        """How many answers a query waits for."""
        patches = [self.patch(answer) for answer in self.answers.get(query, {}).values()]
        wanted = 2 if self._twice[query] else 1
        if len(patches) == 2 and _differ(*patches):
            wanted = 3
        self.need[query] = max(0, min(wanted, max(1, self._answering)) - len(patches))


def majority(patches: list[UInt8[np.ndarray, "s s"]]) -> UInt8[np.ndarray, "s s"]:
    """Pixel by pixel what more than half of those say who answered it, else void."""
    if len(patches) == 1:
        return patches[0]
    votes = np.stack(patches)
    voters = (votes != UNANSWERED).sum(axis=0)
    merged = np.where(voters > 0, np.uint8(VOID), np.uint8(UNANSWERED))
    for vote in votes:
        same = ((votes == vote) & (votes != UNANSWERED)).sum(axis=0)
        merged = np.where(2 * same > voters, vote, merged)
    return merged


def _differ(one: UInt8[np.ndarray, "s s"], other: UInt8[np.ndarray, "s s"]) -> bool:
    both = (one != UNANSWERED) & (other != UNANSWERED)
    return bool((both & (one != other)).any())


def _outside(queries: Queries, sizes: ImageSizes | None) -> dict[int, Bool[np.ndarray, "s s"]]:
    """The pixels outside of the image, for every query that has any."""
    if sizes is None or not len(queries):
        return {}
    height, width = own_sizes(queries, sizes)
    around = np.arange(-queries.radius, queries.radius + 1)
    found = {}
    near = (queries.row < queries.radius) | (queries.row >= height - queries.radius)
    near |= (queries.col < queries.radius) | (queries.col >= width - queries.radius)
    for query in np.flatnonzero(near).tolist():
        row, col = queries.row[query] + around, queries.col[query] + around
        down = (row < 0) | (row >= height[query])
        right = (col < 0) | (col >= width[query])
        found[query] = down[:, None] | right[None, :]
    return found
