"""The answers on the disk: one immutable file per round, beside that of its queries."""

from collections.abc import Sequence

import numpy as np

from cbda_jax.annotation.answers import Answers, problem
from cbda_jax.annotation.queries import ImageSizes, Queries, repeated, where
from cbda_jax.annotation.query_log import QueryLog
from cbda_jax.annotation.round_files import (
    RESTORE,
    read_round,
    round_path,
    round_paths,
    write_round,
)
from cbda_jax.errors import InputError
from cbda_jax.files import write_bytes
from cbda_jax.stores import AnyPath, is_store, to_path

_VERSION = 1
_HEADER = ("version", "round", "queries", "classes")


class AnswerLog:
    """The answers so far, in a folder of `round_NN.npz` files.

    Every round of the query log has its answers here; those of the last one may be yet to come.
    A file names the checksum of the queries that it answers, and the classes that its numbers mean.
    Reading is as strict as that of the query log.

    Args:
        folder: where the files are.
        log: what was asked; its queries lie inside of their images.
        classes: C names, by train id.
        sizes: of the images.

    Attributes:
        rounds: the answers to each round, from the first on.

    Raises:
        InputError: a file is corrupt or of another version, answers other queries or in other
            classes, or a round is missing; a centre was asked for again though it was answered; the
            query log is of a version that kept no answers.
    """

    def __init__(
        self, folder: AnyPath, log: QueryLog, *, classes: Sequence[str], sizes: ImageSizes
    ):
        self.folder = to_path(folder)
        self._log = log
        self._classes = tuple(classes)
        self._sizes = sizes
        self.rounds: list[Answers] = []
        check_version(self.folder, log.folder)
        found = len(round_paths(self.folder))
        asked = len(log.rounds)
        if not asked - 1 <= found <= asked:
            raise InputError(
                f"{self.folder}: answers to {found} rounds found, expected {max(asked - 1, 0)} or "
                f"{asked} as {log.folder} has {asked} rounds; restore the round_NN.npz files of "
                "both from a backup"
            )
        for _ in range(found):
            self.read_next()
        self.check_repeated(log.rounds)

    def path(self, number: int) -> AnyPath:
        """The file of the answers to round `number`."""
        return round_path(self.folder, number)

    def make_folder(self) -> None:
        """Makes the folder, which tells a run that was killed before its first answers.

        Raises:
            InputError: it cannot be made.
        """
        if is_store(self.folder):
            write_bytes(self.folder / ".keep", b"")
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot make {self.folder}: {error.strerror or error}; free some space or name "
                "another folder; nothing already written has changed"
            ) from error

    def write(self, answers: Answers) -> None:
        """Writes the answers to the next round, whole or not at all; `read_next` takes them up.

        Raises:
            InputError: they are not of the next round, cannot be, or cannot be written.
        """
        path = self.path(len(self.rounds) + 1)
        queries = self._next_queries()
        if path.exists():
            raise InputError(f"{path}: found, expected no file yet; answers are never replaced")
        if answers.queries.checksum != queries.checksum:
            raise InputError(
                f"{path}: answers to other queries found, of round {answers.round}, expected those "
                f"to round {queries.round}; correct the oracle"
            )
        found = problem(answers, len(self._classes), self._sizes)
        if found is not None:
            raise InputError(f"{path}: {found}; correct the oracle")
        header = {
            **answers.about,
            "version": _VERSION,
            "round": queries.round,
            "queries": queries.checksum,
            "classes": list(self._classes),
        }
        write_round(path, header, {"patches": answers.patches})

    def read_next(self) -> Answers:
        """Reads the answers to the next round from their file, checks and keeps them.

        Raises:
            InputError: the file is not there, is damaged, or holds what cannot be.
        """
        queries = self._next_queries()
        path = self.path(queries.round)
        header, arrays = read_round(path, queries.round, version=_VERSION, members=("patches",))
        if header.get("queries") != queries.checksum:
            raise InputError(
                f"{path}: answers to other queries found, expected those to "
                f"{self._log.path(queries.round)}; restore both files from a backup"
            )
        if header.get("classes") != list(self._classes):
            raise InputError(
                f"{path}: answers in other classes found, {header.get('classes')}, expected "
                f"{', '.join(self._classes)}; name the data it was asked about, or {RESTORE}"
            )
        about = {name: value for name, value in header.items() if name not in _HEADER}
        try:
            answers = Answers(queries, arrays["patches"], about)
        except InputError as error:
            raise InputError(f"{path}: {error}; {RESTORE}") from error
        found = problem(answers, len(self._classes), self._sizes)
        if found is not None:
            raise InputError(f"{path}: {found}; {RESTORE}")
        self.rounds.append(answers)
        return answers

    def check_repeated(self, rounds: Sequence[Queries]) -> None:
        """Checks that only centres are asked for again whose query was not answered at all.

        Args:
            rounds: those whose answers are here, and at most one more.

        Raises:
            InputError: another one is.
        """
        closed = [answers.answered for answers in self.rounds]
        closed += [np.ones(len(queries), bool) for queries in rounds[len(closed) :]]
        found = repeated(rounds, closed)
        if found is not None:
            raise InputError(
                f"{self._log.path(found[0].round)}: {where(*found)} is asked for twice, expected "
                f"every centre once in all rounds unless it was not answered; {RESTORE}"
            )

    def check_steps(self, steps: Sequence[int], step: int) -> None:
        """Checks that all answers are there that a checkpoint was trained with.

        Args:
            steps: before which rounds are held.
            step: of the checkpoint.

        Raises:
            InputError: some are missing.
        """
        before = sum(at < step for at in steps)
        if len(self.rounds) < before:
            raise InputError(
                f"{self.folder}: answers to {len(self.rounds)} rounds found, expected {before} or "
                f"more with a checkpoint of step {step}; restore the round_NN.npz files from a "
                "backup"
            )

    def _next_queries(self) -> Queries:
        if len(self.rounds) == len(self._log.rounds):
            raise InputError(
                f"{self.folder}: answers to round {len(self.rounds) + 1} found, expected its "
                f"queries in {self._log.folder} first; ask before answering"
            )
        return self._log.rounds[len(self.rounds)]


def check_version(answers: AnyPath, queries: AnyPath) -> None:
    """Tells a run of a version that kept no answers from one that has none yet.

    Args:
        answers: folder of the answers, which is there before the first queries are.
        queries: folder of the query log.

    Raises:
        InputError: there are queries and no such folder.
    """
    if not answers.exists() and round_paths(queries):
        raise InputError(
            f"{answers.parent}: a run of version 0.1 found, which has queries/ and no answers/, "
            "expected one of version 0.2 or later, which keeps every answer in a file; go on with "
            "version 0.1, or start in a new --workdir"
        )
