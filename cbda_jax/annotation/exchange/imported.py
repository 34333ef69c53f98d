"""What a file of a tool answers, and all that is wrong with it, found before anything is kept."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from cbda_jax.annotation.answers import UNANSWERED
from cbda_jax.annotation.exchange.sheet import Sheet
from cbda_jax.annotation.people import Event
from cbda_jax.errors import InputError, near
from cbda_jax.files import write_bytes

_SHOWN = 20  # of each kind of problem in the one line of an error
_LONGEST = 200  # of a text in it, that a file may make as long as it likes


@dataclass(frozen=True, eq=False)
class Imported:
    """The answers of a file. They count if there are no problems.

    Attributes:
        patches: uint8 `[n, s, s]`, in the order of the queries; see `annotation.Answers`.
        answered: whether any pixel of a query was answered.
        problems: kind -> each of them, in words.
    """

    patches: UInt8[np.ndarray, "n side side"]
    answered: Bool[np.ndarray, " n"]
    problems: Mapping[str, tuple[str, ...]]

    def check(self, where: str, listing: Path | None = None) -> None:
        """Checks that there are no problems.

        Args:
            where: names the file in errors.
            listing: the file to write if some cannot be shown in a line; None: none is written.

        Raises:
            InputError: there are, with the first 20 of each kind and how many there are; all of
                them are in the listing.
        """
        if not self.problems:
            return
        number = sum(map(len, self.problems.values()))
        kinds = [
            f"{kind} ({len(found)}): {', '.join(found[:_SHOWN])}"
            + (", ..." if len(found) > _SHOWN else "")
            for kind, found in self.problems.items()
        ]
        message = (
            f"{where}: {number} problem{'s' * (number != 1)} found, {'; '.join(kinds)}; expected "
            "answers to what was asked; correct them and import the file again, nothing of it was "
            "taken"
        )
        if listing is not None and any(len(found) > _SHOWN for found in self.problems.values()):
            lines = [f"{kind}: {one}\n" for kind, found in self.problems.items() for one in found]
            # Names of files may be no Unicode.
            content = "".join(lines).encode(errors="backslashreplace")
            try:
                write_bytes(listing, content)
                message += f"; all of them are in {listing}"
            # What is wrong with the file matters more.
            except InputError as error:
                message += f"; {error}"
        raise InputError(message)

    def events(self, sheet: Sheet, *, person: str, checksum: str, time: float) -> Iterator[Event]:
        """What the answers are in the ledger of a round that people answer.

        Ids follow from the file, the query and the person: the same file once more changes nothing.
        How long an answer took is not known, and told as 0 seconds.

        Args:
            sheet: the round.
            person: who answered.
            checksum: of the file.
            time: of the import, in seconds since 1970.

        Yields:
            An answer for each query that has one.
        """
        for place in np.flatnonzero(self.answered).tolist():
            name = f"{checksum} {sheet.query_id(place)} {person}"
            yield Event(
                id=hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:32],
                kind="answer",
                query=place,
                person=person,
                patch=self.patches[place].tobytes(),
                guess=int(sheet.queries.predicted[place]),
                guess_shown=sheet.guess(place) is not None,
                seconds=0.0,
                time=time,
            )


class Collector:
    """Gathers answers and problems while a file is read.

    Args:
        sheet: what may be answered.
    """

    def __init__(self, sheet: Sheet):
        side = 2 * sheet.queries.radius + 1
        self._sheet = sheet
        self._patches = np.full((len(sheet.queries), side, side), UNANSWERED, np.uint8)
        self._seen: set[int] = set()
        self._images: set[str] = set()
        self._resized: set[tuple[str, str]] = set()
        self._problems: dict[str, list[str]] = {}

    def problem(self, kind: str, text: str) -> None:
        """Keeps a problem; `kind` in the plural, such as "unknown ids"."""
        # In one line, whatever the file holds.
        text = text.encode(errors="backslashreplace").decode()
        shown = "".join(x if x.isprintable() else repr(x)[1:-1] for x in text[: _LONGEST + 1])
        self._problems.setdefault(kind, []).append(
            shown if len(text) <= _LONGEST else f"{shown[:_LONGEST]}..."
        )

    def image(self, name: str, image_id: str | None, size: tuple[object, object] | None) -> None:
        """Checks an image of the file: known, there once, and as large as it was asked about.

        Args:
            name: in the file.
            image_id: that it means; None: none.
            size: (height, width) that the file gives; None: it gives none.
        """
        if image_id is None or image_id not in self._sheet.sizes:
            self.problem("unknown images", repr(name))
            return
        if image_id in self._images:
            self.problem("images that are there twice", repr(name))
        self._images.add(image_id)
        if size is not None:
            self.size(image_id, size)

    def size(self, image_id: str, size: tuple[object, object]) -> None:
        """Checks the (height, width) that the file gives for an image of the pool."""
        height, width = self._sheet.sizes[image_id]
        if size != (height, width) and (image_id, str(size)) not in self._resized:
            self._resized.add((image_id, str(size)))
            self.problem(
                "images of another size",
                f"{image_id!r} of {size[1]} x {size[0]} instead of {width} x {height}",
            )

    def point(
        self,
        query_id: str | None,
        image_id: str | None,
        position: tuple[float, float],
        classes: Sequence[str],
    ) -> None:
        """Takes one answer for a whole square.

        Args:
            query_id: of the query; None: the file gives none.
            image_id: of the image that it is in; None: one that is not known.
            position: (x, y) in pixels from the left upper corner of the image.
            classes: the names that are given to it.
        """
        sheet = self._sheet
        place = None if query_id is None else sheet.place(query_id)
        at = self._position(position)
        name = f"one in image {image_id!r} at {at}" if query_id is None else repr(query_id)
        if place is None:
            self.problem("points without an id" if query_id is None else "unknown ids", name)
        elif place in self._seen:
            self.problem("ids that are there twice", name)
        if len(classes) != 1 or classes[0] not in sheet.values:
            found = ", ".join(map(repr, classes)) or "none"
            named = len(classes) == 1 and len(classes[0]) < _LONGEST
            hint = near(classes[0], sheet.values) if named else ""
            self.problem("unknown classes", f"{found} of {name}{hint.replace(';', ',')}")
        elif place is not None:
            self._patches[place] = sheet.square(place, sheet.values[classes[0]])
        if place is None:
            return
        self._seen.add(place)
        own, row, col = sheet.centre(place)
        if image_id is None:
            return
        if image_id != own:
            self.problem("ids in another image", f"{name} in {image_id!r} instead of {own!r}")
            return
        height, width = sheet.sizes[own]
        x, y = position
        if not (0 <= x < width and 0 <= y < height):
            self.problem("points outside of their image", f"{name} at {at} of {width} x {height}")
        elif (math.floor(y), math.floor(x)) != (row, col):
            self.problem("moved points", f"{name} at {at} instead of row {row} column {col}")

    def patch(self, place: int, patch: UInt8[np.ndarray, "side side"]) -> None:
        """Takes the answer to a query pixel by pixel."""
        self._patches[place] = patch

    def done(self) -> Imported:
        """All that was gathered."""
        return Imported(
            self._patches,
            (self._patches != UNANSWERED).any(axis=(1, 2)),
            {kind: tuple(found) for kind, found in self._problems.items()},
        )

    @staticmethod
    def _position(position: tuple[float, float]) -> str:
        x, y = position
        if not (math.isfinite(x) and math.isfinite(y)):
            return f"({x}, {y})"
        return f"row {math.floor(y)} column {math.floor(x)}"
