"""A round held as several small ones: each uses the answers to those before, nothing is trained.

In the logs all of them are one round. Until that is on the disk, what was asked and answered by now
lies in `small_rounds/round_NN` of the workdir, in two logs of the same kind, in which a small round
is a round: a run that is killed in between goes on with the small round that it was at, and asks
nothing twice.
"""

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cbda_jax import annotation, stores
from cbda_jax.errors import InputError
from cbda_jax.label_space import LabelSpace
from cbda_jax.runtime import hosts
from cbda_jax.stores import AnyPath

_PLACE = "small_round"  # which one of a round's small rounds queries are of, in `Queries.about`


class SmallRounds:
    """The small rounds of one round so far, and the round that they come to.

    Args:
        workdir: of the run.
        number: of the round, from 1.
        step: before which the round is held.
        oracle: who answers, at once.
        space: the classes.
        sizes: of the images.

    Attributes:
        log: what they asked; a round of this log is a small round, as is its step.
        answers: what was answered.

    Raises:
        InputError: queries or answers cannot be read, or are of other images.
    """

    def __init__(
        self,
        workdir: AnyPath,
        number: int,
        step: int,
        oracle: annotation.Oracle,
        space: LabelSpace,
        sizes: annotation.ImageSizes,
    ):
        self._folder = _folder(workdir, number)
        self._number = number
        self._step = step
        self._oracle = oracle
        self.log = annotation.QueryLog(self._folder / "queries")
        self.log.check_pool(sizes)
        self.answers = annotation.AnswerLog(
            self._folder / "answers", self.log, classes=space.classes, sizes=sizes
        )

    def hold(
        self,
        choose: Callable[
            [int, Sequence[annotation.Queries], Sequence[annotation.Answers]], annotation.Queries
        ],
        count: int,
        writable: Callable[[], None],
    ) -> None:
        """Holds those that are still to come.

        Args:
            choose: what the small round of a place, from 1, asks for, after what was asked and
                answered in those before; it may be nothing.
            count: how many there are.
            writable: raises where nothing may be written any more.

        Raises:
            InputError: the oracle does not answer at once, or answers what cannot be; something
                cannot be written.
        """
        if len(self.answers.rounds) < len(self.log.rounds):
            writable()
            self._ask()
        held = self.log.rounds[-1].about[_PLACE] if self.log.rounds else 0
        for place in range(held + 1, count + 1):
            queries = choose(place, self.log.rounds, self.answers.rounds)
            if not len(queries):
                continue
            own = len(self.log.rounds) + 1
            about = {**queries.about, _PLACE: place}
            writable()
            hosts.first(self.answers.make_folder)
            self.log.append(
                dataclasses.replace(queries, round=own, step=own, about=about),
                write=hosts.is_first(),
            )
            hosts.sync(f"small round {place} of round {self._number} is on the disk")
            writable()
            self._ask()

    def _ask(self) -> None:
        """Has the last one answered in the first process; all read the answers from the disk."""
        queries = self.log.rounds[-1]
        # As the oracle knows it: a part of the round.
        asked = dataclasses.replace(queries, round=self._number, step=self._step)

        def ask() -> None:
            found = annotation.ask(self._oracle, asked)
            if isinstance(found, annotation.Pending):
                raise InputError(
                    f"acquisition.sub_rounds: answers to round {self._number} found pending, "
                    "expected an oracle that answers at once, as the next small round needs the "
                    "answers to this one; set acquisition.sub_rounds to 1"
                )
            if found.queries.checksum != asked.checksum:
                raise InputError(
                    f"{self.answers.path(queries.round)}: answers to other queries found, of round "
                    f"{found.round}, expected those to round {self._number}; correct the oracle"
                )
            self.answers.write(annotation.Answers(queries, found.patches, found.about))

        hosts.first(ask)
        self.answers.read_next()

    def queries(self, nothing: annotation.Queries) -> annotation.Queries:
        """What all of them asked for, as one round: one after the other.

        Args:
            nothing: queries of this round without a single one. `about` is added to: how many
                queries each small round had, in `small_rounds`, and the sum of their quotas.
        """
        parts = self.log.rounds
        about: dict[str, Any] = {**nothing.about, "small_rounds": [len(part) for part in parts]}
        if quotas := [part.about["quota"] for part in parts if "quota" in part.about]:
            about["quota"] = np.sum(quotas, axis=0).tolist()
        columns = {
            name: np.concatenate([getattr(nothing, name), *(getattr(p, name) for p in parts)])
            for name in ("image", "row", "col", "score", "predicted")
        }
        return dataclasses.replace(nothing, **columns, about=about)

    def answered(self, queries: annotation.Queries) -> annotation.Answers | None:
        """The answers to all of them, as those to one round; None if there are none.

        Args:
            queries: of `queries`, as they are in the log of the run.

        Raises:
            InputError: they are of other queries.
        """
        parts = self.answers.rounds
        if not parts:
            return None
        if sum(map(len, self.log.rounds)) != len(queries) or len(parts) != len(self.log.rounds):
            raise InputError(
                f"{self._folder}: answers to {sum(len(part.queries) for part in parts)} queries "
                f"found, expected {len(queries)}, as round {self._number} has; restore the folder "
                "from a backup, or remove it to ask for the whole round again"
            )
        shared = set.intersection(*(set(part.about) for part in parts))
        about: dict[str, Any] = {}
        for name in sorted(shared):
            values = [part.about[name] for part in parts]
            if name in ("answers", "seconds") and all(type(x) in (int, float) for x in values):
                about[name] = sum(values)
            elif all(value == values[0] for value in values):
                about[name] = values[0]
        patches = np.concatenate([part.patches for part in parts])
        return annotation.Answers(queries, patches, about)


def remove(workdir: AnyPath, number: int) -> None:
    """Removes the files of small rounds whose round is on the disk. In the first process alone.

    Args:
        workdir: of the run.
        number: of the round.

    Raises:
        InputError: they cannot be removed.
    """
    folder = _folder(workdir, number)
    try:
        if isinstance(folder, Path):
            if folder.exists():
                shutil.rmtree(folder)
            return
        stores.remove_folder(folder)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be removed ({error.strerror or error}); check the permissions of "
            "the folder"
        ) from error


def _folder(workdir: AnyPath, number: int) -> AnyPath:
    return workdir / "small_rounds" / f"round_{number:02d}"
