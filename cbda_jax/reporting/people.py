"""The part of the report on the people who answered."""

from collections.abc import Mapping, Sequence
from typing import Any

from cbda_jax.console import duration
from cbda_jax.reporting.tables import count, percent


def of_people(about: Sequence[tuple[int, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """What is known of the people of each round that people answered.

    Args:
        about: the number of every round, and what its answers say about themselves.

    Returns:
        For each round that the oracle `people` answered its `round` and what
        `cbda_jax.annotation.people.answers_of` has of it.
    """
    return [
        {"round": number, **{name: value for name, value in found.items() if name != "oracle"}}
        for number, found in about
        if found.get("oracle") == "people"
    ]


def rows(rounds: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A row of cells for each round, see `HEAD`.

    Args:
        rounds: of `of_people`.
    """
    return [
        [
            str(found["round"]),
            count(found["people"]),
            count(found["answers"]),
            count(found.get("unanswered", 0)),
            _number(found["seconds"]["median"], 1),
            duration(found["seconds"]["total"]),
            count(found.get("agreement", {}).get("pixels")),
            percent(found.get("agreement", {}).get("equal")),
            _number(found.get("agreement", {}).get("kappa"), 2),
            *(_share(found["anchoring"][name]) for name in ("shown", "hidden")),
        ]
        for found in rounds
    ]


HEAD = (
    *("round", "people", "answers", "unanswered", "seconds an answer", "time in all"),
    *("pixels of two or more", "equal %", "kappa", "as the guess seen %", "as the guess unseen %"),
)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _share(found: Mapping[str, int]) -> str:
    return percent(found["equal"] / found["count"] if found["count"] else None)
