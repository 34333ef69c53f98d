"""The part of the report on the people who answered."""

from collections.abc import Mapping, Sequence
from typing import Any

from cbda_jax.console import duration
from cbda_jax.reporting.tables import count, percent


def of_people(
    about: Sequence[tuple[int, Mapping[str, Any]]], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """What is known of the people of each round that people answered.

    Args:
        about: the number of every round, and what its answers say about themselves.
        classes: names by train id.

    Returns:
        For each round that the oracle `people` answered its `round` and what
        `cbda_jax.annotation.people.answers_of` has of it; agreement by the names of classes.
    """
    return [
        {"round": number, **_named(found, classes)}
        for number, found in about
        if found.get("oracle") == "people"
    ]


def _named(found: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    about = {name: value for name, value in found.items() if name != "oracle"}
    if "agreement" in about:
        by_class = about["agreement"]["by_class"].items()
        names = dict(enumerate(classes))
        named = {names.get(int(number), "void"): value for number, value in by_class}
        about["agreement"] = {**about["agreement"], "by_class": named}
    return about


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


def rows_of_classes(rounds: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> list[list[str]]:
    """How far people agree on each class: a row of cells for each, one for every round.

    Args:
        rounds: of `of_people`.
        classes: as there.

    Returns:
        The head, "class" and the rounds in which two people or more were asked, and the rows: name,
        and kappa (answers that gave the class); nothing where there is no such round.
    """
    asked = [found for found in rounds if found.get("agreement", {}).get("by_class")]
    by_round = [found["agreement"]["by_class"] for found in asked]
    # A class that nobody has given has no row.
    names = [name for name in (*classes, "void") if any(name in found for found in by_round)]
    rows = [
        [
            name,
            *(
                f"{_number(found[name]['kappa'], 2)} ({count(found[name]['answers'])})"
                if name in found
                else "-"
                for found in by_round
            ),
        ]
        for name in names
    ]
    return [["class", *(f"round {found['round']}" for found in asked)], *rows] if rows else []


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _share(found: Mapping[str, int]) -> str:
    return percent(found["equal"] / found["count"] if found["count"] else None)
