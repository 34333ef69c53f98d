"""What answers cost: keys of a person, and the time they take."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from cbda_jax.annotation.answers import Answers


@runtime_checkable
class CountsAnswers(Protocol):
    """An oracle that says what a query costs."""

    def answers_per_query(self, radius: int) -> int:
        """Answers, each a key of a person, that a square of (2 radius + 1)^2 pixels takes."""
        ...


class Cost(NamedTuple):
    """What some answers cost.

    Attributes:
        answers: keys of people: one for each query that was answered as a whole, one for each pixel
            of those that were answered pixel by pixel.
        seconds: that people took for them.
        measured: how many of the answers have seconds that were measured; those of the others are
            estimated.
    """

    answers: int
    seconds: float
    measured: int


def answers_per_query(oracle: object, radius: int) -> int:
    """Answers that a query takes: what the oracle says, or one a pixel.

    Args:
        oracle: see `CountsAnswers`.
        radius: of the squares.
    """
    if isinstance(oracle, CountsAnswers):
        return oracle.answers_per_query(radius)
    return (2 * radius + 1) ** 2


def cost_of(rounds: Sequence[Answers], seconds_per_answer: float | int) -> Cost:
    """What the answers to some rounds cost.

    An oracle may keep in `Answers.about` how many "answers" were given, and the "seconds" that all
    of them took together. Else every pixel that was answered counts, and time is estimated.

    Args:
        rounds: the answers to each.
        seconds_per_answer: for those that were not measured.
    """
    total = Cost(0, 0.0, 0)
    for answers in rounds:
        given: Any = answers.about.get("answers")
        seconds: Any = answers.about.get("seconds")
        if isinstance(seconds, Mapping):  # of people, with their median
            seconds = seconds.get("total")
        number = given if type(given) is int and given >= 0 else int(answers.counts.sum())
        measured = type(seconds) in (int, float) and math.isfinite(seconds) and seconds >= 0
        total = Cost(
            total.answers + number,
            total.seconds + float(seconds if measured else number * seconds_per_answer),
            total.measured + (number if measured else 0),
        )
    return total
