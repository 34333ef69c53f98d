"""Who answers the queries: the ground truth of a benchmark, people, or a user's own program."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from cbda_jax import plugins
from cbda_jax.annotation.answers import UNANSWERED, VOID, Answers, cut
from cbda_jax.annotation.queries import ImageSizes, Queries
from cbda_jax.errors import InputError, Paused


class AnswersPending(Paused):
    """People have yet to answer. The same command asks again."""

    status = 77


@dataclass(frozen=True)
class Pending:
    """The answers are not there yet.

    Attributes:
        queries: what is asked.
        where: where people answer: a folder, an address, ...
        answered: queries that have an answer by now.
    """

    queries: Queries
    where: str
    answered: int = 0

    def __str__(self) -> str:
        return self.message()

    def message(self, *, waiting: bool = False) -> str:
        """What is asked, where people answer, and how the run goes on.

        Args:
            waiting: whether the run waits for them.
        """
        side, images = 2 * self.queries.radius + 1, len(self.queries.by_image)
        done = f", {self.answered:,} of them answered" if self.answered else ""
        then = (
            "the run waits for them and goes on by itself"
            if waiting
            else "then start the same command again"
        )
        return (
            f"round {self.queries.round} asks about {len(self.queries):,} squares of {side} x "
            f"{side} pixels in {images:,} images{done}: answer them at {self.where}, {then}"
        )


@runtime_checkable
class Oracle(Protocol):
    """Answers queries. Of several processes, the first one alone asks it."""

    def ask(self, queries: Queries) -> Answers | Pending:
        """The answers to a round, or that they are yet to come.

        Does not wait for people: a run that gets `Pending` saves and stops, and asks for the same
        queries again when it is started the next time.
        """
        ...


@runtime_checkable
class LabelledImages(Protocol):
    """Labels by image, such as `cbda_jax.data.records.Records`."""

    @property
    def ids(self) -> Sequence[str]:
        """Of the images, in the order of their indices."""
        ...

    def label(self, index: int) -> UInt8[np.ndarray, "height width"]:
        """Train ids of an image at native size; values that are no class mean void."""
        ...


@dataclass(frozen=True)
class Setting:
    """What an oracle may know of the run that asks it.

    Attributes:
        pool: the target images; their labels are for oracles that stand in for people.
        classes: C names, by train id.
        workdir: folder of the run, in which an oracle may keep a folder of its own.
        seed: of the run.
        threads: for reading.
        sizes: (height, width) of the native label of every image of the pool, by image id.
        redundancy: share of the queries that two people are to be asked.
        hidden: share of the queries whose guess, the class that the network predicts, people are
            not to see.
    """

    pool: LabelledImages
    classes: tuple[str, ...]
    workdir: Path
    seed: int = 0
    threads: int = 1
    sizes: ImageSizes = field(default_factory=dict)
    redundancy: float = 0.05
    hidden: float = 0.1


class GroundTruthOracle:
    """Answers every pixel from the labels of the data set, as the papers do.

    Args:
        labels: of the images that are asked about.
        num_classes: C; greater values are void.
        threads: that read labels at the same time.
    """

    def __init__(self, labels: LabelledImages, num_classes: int, *, threads: int = 1):
        self._labels = labels
        self._num_classes = num_classes
        self._threads = threads
        self._index = {image_id: i for i, image_id in enumerate(labels.ids)}

    def ask(self, queries: Queries) -> Answers:
        """The true classes in the square of every query."""
        side = 2 * queries.radius + 1
        patches = np.full((len(queries), side, side), UNANSWERED, np.uint8)

        def answer(image_id: str) -> None:
            label = self._labels.label(self._index[image_id])
            known = np.where(label < self._num_classes, label, np.uint8(VOID))
            places = queries.places[image_id]
            patches[places] = cut(known, queries.row[places], queries.col[places], queries.radius)

        with ThreadPoolExecutor(max(self._threads, 1)) as executor:
            for _ in executor.map(answer, queries.places):
                pass
        return Answers(queries, patches, {"oracle": "ground_truth"})


def _ground_truth(setting: Setting) -> Oracle:
    return GroundTruthOracle(setting.pool, len(setting.classes), threads=setting.threads)


def _people(setting: Setting) -> Oracle:
    # Here: few runs need it, and it needs what is above.
    from cbda_jax.annotation.people.oracle import PeopleOracle

    return PeopleOracle(setting)


ORACLES: dict[str, Callable[[Setting], Oracle]] = {
    "ground_truth": _ground_truth,
    "people": _people,
}
"""By name, what makes an oracle for a run. Open: more can be put here."""


def create_oracle(name: str, setting: Setting) -> Oracle:
    """The oracle that `annotation.oracle` of a config names.

    Args:
        name: one of `ORACLES`, or the import path of such a function, "my_module:my_oracle".
        setting: what the oracle may know.

    Raises:
        InputError: there is none of this name, it cannot be imported, or what it makes cannot be
            asked.
    """
    where = "annotation.oracle"
    make = plugins.find_function(ORACLES, name, where)
    oracle = make(setting)
    if not isinstance(oracle, Oracle):
        raise InputError(
            f"{where}: {name!r} makes a {type(oracle).__name__} without ask(queries), expected an "
            "oracle; see cbda_jax.annotation.Oracle"
        )
    return oracle
