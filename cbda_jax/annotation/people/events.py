"""What a person did: an answer, a skip, or taking one of them back."""

import math
from dataclasses import dataclass

from cbda_jax.annotation.answers import UNANSWERED

KINDS = ("answer", "skip", "undo")
_LONGEST = 200  # characters of an id or a name


@dataclass(frozen=True)
class Event:
    """Something that a person did. Events are added to a ledger and never changed or removed.

    Attributes:
        id: made by the client, such as a uuid4 in hexadecimal. The same id once more does nothing,
            so that a client may send an event again when it is not sure.
        kind: "answer", "skip", or "undo": the latest event of this person about the query, which is
            an answer or a skip, no longer counts.
        query: its place in the queries of its round.
        person: a name.
        patch: of an answer, s*s bytes with s = 2 radius + 1, row by row: train ids, `VOID` or
            `UNANSWERED`; else empty.
        guess: the class that the network had predicted at the centre.
        guess_shown: whether the person saw it.
        seconds: from the moment that the query was shown.
        time: when it came, in seconds since 1970.
    """

    id: str
    kind: str
    query: int
    person: str
    patch: bytes
    guess: int
    guess_shown: bool
    seconds: float
    time: float


def is_name(text: object) -> bool:
    """Whether a text can be the id of an event or the name of a person."""
    if not isinstance(text, str) or not text.isprintable():
        return False
    return len(text.strip()) > 0 and len(text) <= _LONGEST


def problem(event: Event, count: int, side: int, num_classes: int) -> str | None:
    """What cannot be of an event; None if all can. Says what was found and what was expected.

    Args:
        event: that is to be added.
        count: of the queries.
        side: of the square of a query, in pixels.
        num_classes: C.
    """
    for name in ("id", "person"):
        text = getattr(event, name)
        if not is_name(text):
            return f"{name} {str(text)[:50]!r} found, expected 1 to {_LONGEST} printable characters"
    if event.kind not in KINDS:
        return f"kind {event.kind!r} found, expected one of {', '.join(KINDS)}"
    if type(event.query) is not int or not 0 <= event.query < count:
        return f"query {event.query!r} found, expected 0 to {count - 1}"
    for name in ("seconds", "time"):
        number = getattr(event, name)
        if not isinstance(number, int | float) or not math.isfinite(number) or number < 0:
            return f"{name} {number!r} found, expected a number of 0 or more"
    if type(event.guess) is not int or not 0 <= event.guess <= 255:
        return f"guess {event.guess!r} found, expected a train id"
    if event.kind != "answer":
        return (
            f"{len(event.patch)} pixels of {event.kind!r} found, expected none"
            if event.patch
            else None
        )
    if len(event.patch) != side * side:
        return f"{len(event.patch)} pixels found, expected {side * side} ({side} x {side})"
    unknown = [value for value in event.patch if num_classes <= value < UNANSWERED]
    if unknown:
        return (
            f"class {unknown[0]} found, expected 0 to {num_classes - 1}, 255 for void or "
            f"{UNANSWERED} for unanswered"
        )
    if event.patch.count(UNANSWERED) == len(event.patch):
        return "no pixel answered, expected one at least; skip the query instead"
    return None
