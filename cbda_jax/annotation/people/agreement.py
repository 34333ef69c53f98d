"""How far people agree with each other, and with what they saw of the network's guess."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from cbda_jax.annotation.answers import UNANSWERED
from cbda_jax.annotation.people.events import Event
from cbda_jax.annotation.people.standing import Standing


@dataclass(frozen=True)
class Share:
    """How many of some are so.

    Attributes:
        count: of all.
        equal: of those that are so.
    """

    count: int
    equal: int

    @property
    def share(self) -> float | None:
        """A fraction; None of nothing."""
        return self.equal / self.count if self.count else None


@dataclass(frozen=True)
class Anchoring:
    """Answers whose centre is what the network had guessed there.

    People who see a guess tend to follow it: then the share of those who saw it is the larger one.

    Attributes:
        shown: of answers by those who saw it.
        hidden: of answers by those who did not.
    """

    shown: Share
    hidden: Share


@dataclass(frozen=True)
class OfClass:
    """Agreement about one class, every other one counted as one.

    Attributes:
        kappa: None where nobody, or everybody, gave the class alone.
        answers: how often it was given, of the pixels that are compared.
    """

    kappa: float | None
    answers: int


@dataclass(frozen=True)
class Agreement:
    """How far people agree about pixels that two or more of them answered.

    Attributes:
        kind: "cohen" of two people, "fleiss" of more.
        people: who answered any of these pixels.
        queries: that have such pixels.
        pixels: of them.
        equal: mean share of the pairs of answers about a pixel that are equal.
        kappa: the same beyond what chance would give; None where all gave a single class, 1 is
            full agreement, 0 that of chance.
        by_class: by train id, `VOID` included, of every class that was given.
        anchoring: of all answers, also those of one person alone.
    """

    kind: str
    people: int
    queries: int
    pixels: int
    equal: float
    kappa: float | None
    by_class: Mapping[int, OfClass]
    anchoring: Anchoring

    def as_dict(self) -> dict[str, Any]:
        """Plain values that JSON knows; without the anchoring."""
        return {
            "kind": self.kind,
            "people": self.people,
            "queries": self.queries,
            "pixels": self.pixels,
            "equal": self.equal,
            "kappa": self.kappa,
            "by_class": {
                str(number): {"kappa": found.kappa, "answers": found.answers}
                for number, found in self.by_class.items()
            },
        }


def anchoring(answers: Iterable[Event], side: int) -> Anchoring:
    """Compares answers with the guesses; a centre that was not answered is left out.

    Args:
        answers: events of that kind.
        side: of a square, in pixels.
    """
    counts = np.zeros((2, 2), np.int64)
    for answer in answers:
        centre = answer.patch[side * side // 2]
        if centre != UNANSWERED:
            counts[int(answer.guess_shown), int(centre == answer.guess)] += 1
    hidden, shown = (Share(int(row.sum()), int(row[1])) for row in counts)
    return Anchoring(shown, hidden)


def agreement(standing: Standing) -> Agreement | None:
    """Agreement of people in a round; None where no pixel was answered by two.

    With two people it is Cohen's kappa (A coefficient of agreement for nominal scales, 1960), of
    all pixels that both answered. With more it is Fleiss' (Measuring nominal scale agreement among
    many raters, 1971), where pixels may have different numbers of answers: the agreement of a pixel
    is the share of its pairs that are equal, and a class is as frequent as it is in all answers.
    """
    shared = {q: answers for q, answers in standing.answers.items() if len(answers) > 1}
    names = sorted({person for answers in shared.values() for person in answers})
    side = standing.merged.shape[1]
    # By pixel, in parts of a query: what each person answered there.
    rows, queries = [], 0
    for query in sorted(shared):
        given = np.full((side * side, len(names)), UNANSWERED, np.uint8)
        for person, answer in shared[query].items():
            given[:, names.index(person)] = standing.patch(answer).ravel()
        given = given[(given != UNANSWERED).sum(axis=1) > 1]
        rows.append(given)
        queries += bool(len(given))
    if not queries:
        return None
    given = np.concatenate(rows)
    # Those of shared queries who answered no pixel that somebody else did have no part in it.
    given = given[:, (given != UNANSWERED).any(axis=0)]
    counts = np.zeros((len(given), 256), np.int64)
    for column in given.T:
        known = column != UNANSWERED
        counts[known, column[known]] += 1
    classes = np.flatnonzero(counts.sum(axis=0))
    counts = counts[:, classes]
    two = given.shape[1] == 2
    if two:
        table = np.zeros((len(classes), len(classes)), np.int64)
        first, second = np.searchsorted(classes, given).T
        np.add.at(table, (first, second), 1)
    by_class = {}
    for place, number in enumerate(classes.tolist()):
        if two:
            kappa = cohen(_one_against_all(table, place))
        else:
            of_class = counts[:, place]
            kappa = fleiss(np.stack([of_class, counts.sum(axis=1) - of_class], axis=1))
        by_class[number] = OfClass(kappa, int(counts[:, place].sum()))
    return Agreement(
        kind="cohen" if two else "fleiss",
        people=given.shape[1],
        queries=queries,
        pixels=len(given),
        equal=float(_equal_pairs(counts).mean()),
        kappa=cohen(table) if two else fleiss(counts),
        by_class=by_class,
        anchoring=anchoring(standing.counting(), side),
    )


def cohen(table: Int64[np.ndarray, "classes classes"]) -> float | None:
    """Cohen's kappa of two people.

    Args:
        table: pixels by what the one and what the other answered.

    Returns:
        None where both gave one and the same class alone.
    """
    share = table / table.sum()
    chance = float((share.sum(axis=0) * share.sum(axis=1)).sum())
    return _beyond(float(share.trace()), chance)


def fleiss(counts: Int64[np.ndarray, "pixels classes"]) -> float | None:
    """Fleiss' kappa of several people, two answers or more about every pixel.

    Args:
        counts: how many answered what about each pixel.

    Returns:
        None where one class alone was given.
    """
    of_class = counts.sum(axis=0) / counts.sum()
    return _beyond(float(_equal_pairs(counts).mean()), float((of_class**2).sum()))


def _equal_pairs(counts: Int64[np.ndarray, "pixels classes"]) -> Float64[np.ndarray, " pixels"]:
    answers = counts.sum(axis=1)
    return (counts * (counts - 1)).sum(axis=1) / (answers * (answers - 1))


def _beyond(equal: float, chance: float) -> float | None:
    # Rounding may leave a little of a chance that is certain.
    return None if chance > 1 - 1e-12 else (equal - chance) / (1 - chance)


def _one_against_all(
    table: Int64[np.ndarray, "classes classes"], place: int
) -> Int64[np.ndarray, "2 2"]:
    both, first, second = table[place, place], table[place].sum(), table[:, place].sum()
    return np.array([[both, first - both], [second - both, table.sum() - first - second + both]])
