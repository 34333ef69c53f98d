"""What it is to be asked: an oracle, what it may know, and that its answers are yet to come."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from cbda_jax import plugins
from cbda_jax.annotation.answers import Answers
from cbda_jax.annotation.queries import ImageSizes, Queries
from cbda_jax.annotation.simulated import LabelledImages
from cbda_jax.errors import InputError, Paused
from cbda_jax.stores import AnyPath


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
    """Answers queries. Of several processes, the first one alone asks it.

    It may say what a query costs, see `cbda_jax.annotation.CountsAnswers`, and in `Answers.about`
    what a round did cost, see `cbda_jax.annotation.cost_of`.
    """

    def ask(self, queries: Queries) -> Answers | Pending:
        """The answers to a round, or that they are yet to come.

        Does not wait for people: a run that gets `Pending` saves and stops, and asks for the same
        queries again when it is started the next time.
        """
        ...


def ask(oracle: Oracle, queries: Queries) -> Answers | Pending:
    """What an oracle answers, which may be a user's own.

    Raises:
        InputError: it fails, or gives back something else.
        Paused: as it raises.
    """
    try:
        found = oracle.ask(queries)
    except (InputError, Paused):
        raise
    # Whatever a user's oracle raises.
    except Exception as error:
        raise InputError(
            f"annotation.oracle: ask(queries) of round {queries.round} fails with "
            f"{plugins.one_line(error)}, expected Answers or Pending; mend the oracle, "
            "then start the same command again: it is asked the same"
        ) from error
    if not isinstance(found, Answers | Pending):
        raise InputError(
            f"annotation.oracle: a {type(found).__name__} found, expected Answers or "
            "Pending; correct what ask(queries) of the oracle gives back"
        )
    return found


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
        noise: fraction of the queries that `noisy` mistakes, away from boundaries.
        noise_at_boundaries: the same at boundaries.
    """

    pool: LabelledImages
    classes: tuple[str, ...]
    workdir: AnyPath
    seed: int = 0
    threads: int = 1
    sizes: ImageSizes = field(default_factory=dict)
    redundancy: float | int = 0.05
    hidden: float | int = 0.1
    noise: float | int = 0.0
    noise_at_boundaries: float | int = 0.0
