"""What is served: the round that a run waits for, one after the other, until the server stops."""

import hashlib
import threading
import time
from pathlib import Path

from cbda_jax import console
from cbda_jax.annotate.pictures import Pictures
from cbda_jax.annotation import QueryLog
from cbda_jax.annotation.people import Ledger, Round
from cbda_jax.annotation.people.freeze import close, open_asked
from cbda_jax.errors import InputError
from cbda_jax.label_space import LabelSpace
from cbda_jax.stores import AnyPath, reported, to_path

QUIET_S = 60.0
"""Seconds without an event after which a round whose queries are all settled is closed."""


class Desk:
    """The round that is open; safe in threads.

    Args:
        workdir: of the run.
        ledger: of the run.
        space: the classes.
        pictures: of the images that are asked about.
        quiet_s: as `QUIET_S`. Until then the last answers can be taken back.

    Attributes:
        ledger: as above.
        space: as above.
        pictures: as above.
        round: that people answer; None until the run asks the next one.
        cookie: by which people are known, another one for each workdir: all servers of a machine
            share the cookies of its name.
    """

    def __init__(
        self,
        workdir: AnyPath,
        ledger: Ledger,
        space: LabelSpace,
        pictures: Pictures,
        *,
        quiet_s: float | int = QUIET_S,
    ):
        self.ledger = ledger
        self.space = space
        self.pictures = pictures
        self.round: Round | None = None
        self._workdir = to_path(workdir)
        known = self._workdir
        known = known.resolve() if isinstance(known, Path) else known
        folder = hashlib.sha256(str(known).encode()).hexdigest()
        self.cookie = f"cbda_jax_{folder[:8]}"
        self._quiet_s = quiet_s
        self._event = time.monotonic()
        self._looked_at: tuple[str, ...] = ()
        self._lock = threading.RLock()

    def noticed(self) -> None:
        """An event came."""
        self._event = time.monotonic()

    def look(self) -> None:
        """Closes a round that is settled, and opens the next one that the run asks about.

        Raises:
            InputError: queries, answers or the ledger cannot be read or written; it is tried again
                at the next look.
        """
        with self._lock, reported(self._workdir):
            if self.round is None:
                self._open()
            elif self.round.closed:
                # Killed or out of space before it was frozen.
                self._close(self.round)
            elif self.round.complete() and time.monotonic() - self._event > self._quiet_s:
                self._close(self.round)

    def _open(self) -> None:
        answers = self._workdir / "answers"
        files = tuple(sorted(path.name for path in answers.glob("*_*.*")))
        if files == self._looked_at:
            return
        found = open_asked(self.ledger, self._workdir)
        self._looked_at = files
        if found is None:
            return
        QueryLog(self._workdir / "queries").check_pool(self.pictures.sizes)
        self.noticed()
        self.round = found
        console.say(
            f"round {found.queries.round} is open: {len(found.queries):,} queries in "
            f"{len(found.queries.by_image):,} images"
        )

    def close_round(self, why: str) -> AnyPath:
        """Closes the round, settled or not, and writes its answers for the run.

        Args:
            why: or by whom, for the console.

        Returns:
            The file of the answers.

        Raises:
            InputError: no round is open, or something cannot be written.
        """
        with self._lock:
            if self.round is None:
                raise InputError(
                    f"{self._workdir}: no open round found, expected one that the run waits for; "
                    "start the run, which asks"
                )
            console.say(f"round {self.round.queries.round} is closed: {why}")
            return self._close(self.round)

    def _close(self, closing: Round) -> AnyPath:
        path = close(closing, self._workdir)
        self.round = None
        console.say(f"the answers to round {closing.queries.round}: {path}")
        return path

    def watch(self, stop: threading.Event, every_s: float | int = 1.0) -> None:
        """Looks again and again, until it is told to stop; says what goes wrong, once.

        Args:
            stop: set from elsewhere.
            every_s: seconds between two looks.
        """
        said = ""
        while not stop.wait(every_s):
            try:
                self.look()
                said = ""
            except InputError as error:
                if str(error) != said:
                    said = str(error)
                    console.say(f"error: {said}")
