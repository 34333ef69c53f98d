"""What the answers so far say of the classes, and so what a round is balanced by."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from cbda_jax import acquisition, annotation
from cbda_jax.methods import Method

_VOID_STRENGTH = 10.0
"""How many answers those to like queries weigh as much as; see `acquisition.void_shares`."""


class Experience:
    """Counts answers, each round's once, and makes of them what a round is balanced by.

    Args:
        method: what it acquires.
        num_classes: C.
        sizes: of the images.
    """

    def __init__(self, method: Method, num_classes: int, sizes: annotation.ImageSizes):
        self._method = method
        self._num_classes = num_classes
        self._sizes = sizes
        self._confusions: dict[annotation.Answers, Int64[np.ndarray, "classes classes"]] = {}
        self._cells: dict[annotation.Answers, _Cells] = {}

    def classes(self, answered: Sequence[annotation.Answers]) -> Int64[np.ndarray, " classes"]:
        """Pixels of every class among some answers."""
        return annotation.counts(answered)[: self._num_classes]

    def confusion(
        self, answered: Sequence[annotation.Answers]
    ) -> Int64[np.ndarray, "classes classes"]:
        """True by predicted class at the centres of some picks, void left out."""
        for answers in answered:
            if answers not in self._confusions:
                tally = annotation.tally(answers, self._num_classes, self._sizes)
                self._confusions[answers] = tally.confusion[:, : self._num_classes].T
        nothing = np.zeros((self._num_classes, self._num_classes), np.int64)
        return sum((self._confusions[answers] for answers in answered), nothing)

    def by_score(
        self, answered: Sequence[annotation.Answers]
    ) -> Int64[np.ndarray, "2 classes classes"]:
        """The confusion of windows of several predicted classes, and of one: of a score <= 0."""
        classes = self._num_classes
        nothing = np.zeros((2, classes, classes), np.int64)
        return sum((cells.confusion for cells in self._counted(answered)), nothing)

    def void(
        self, answered: Sequence[annotation.Answers]
    ) -> Float32[np.ndarray, "2 bands classes"]:
        """Which part of an answer is void, from some answers; see `acquisition.void_shares`."""
        nothing = np.zeros((2, acquisition.BANDS, self._num_classes), np.int64)
        counted = self._counted(answered)
        return acquisition.void_shares(
            sum((cells.void for cells in counted), nothing),
            sum((cells.pixels for cells in counted), nothing),
            strength=_VOID_STRENGTH * self._method.scoring.squares.pixels,
        )

    def _counted(self, answered: Sequence[annotation.Answers]) -> list["_Cells"]:
        for answers in answered:
            if answers not in self._cells:
                self._cells[answers] = _count(answers, self._num_classes, self._sizes)
        return [self._cells[answers] for answers in answered]

    def balance(
        self, number: int, answered: Sequence[annotation.Answers]
    ) -> acquisition.RoundBalance:
        """What a round is balanced by.

        Args:
            number: of the round, from 1.
            answered: the answers so far: of the rounds before and, in a round that is held as
                several small ones, of those before.
        """
        return acquisition.round_balance(
            self._method.balance,
            number,
            counts=lambda: self.classes(answered),
            confusion=lambda: self.confusion(answered),
            by_score=lambda: self.by_score(answered),
            void=lambda: self.void(answered),
            evidence=self._method.scoring.class_evidence,
            ties=self._method.scoring.ties,
        )


class _Cells(NamedTuple):
    """What is counted of a round, of windows that scored above 0 and of the others.

    Attributes:
        confusion: `[2, C, C]` true by predicted class at the centres, void left out.
        pixels: `[2, BANDS, C]` answered pixels by band of the image and predicted class.
        void: the same of void ones.
    """

    confusion: Int64[np.ndarray, "2 classes classes"]
    pixels: Int64[np.ndarray, "2 bands classes"]
    void: Int64[np.ndarray, "2 bands classes"]


def _count(answers: annotation.Answers, classes: int, sizes: annotation.ImageSizes) -> _Cells:
    queries, patches, radius = answers.queries, answers.patches, answers.queries.radius
    predicted, unranked = queries.predicted, (queries.score <= 0).astype(np.int64)
    centre = patches[:, radius, radius]
    known = centre < classes
    confusion = np.zeros((2, classes, classes), np.int64)
    np.add.at(confusion, (unranked[known], centre[known], predicted[known]), 1)
    height = np.array([sizes[i][0] for i in queries.image_ids], np.int64)[queries.image]
    # As `acquisition.bands` of each height.
    cell = (unranked, queries.row.astype(np.int64) * acquisition.BANDS // height, predicted)
    pixels, void = np.zeros((2, 2, acquisition.BANDS, classes), np.int64)
    np.add.at(pixels, cell, (patches != annotation.UNANSWERED).sum(axis=(1, 2)))
    np.add.at(void, cell, (patches == annotation.VOID).sum(axis=(1, 2)))
    return _Cells(confusion, pixels, void)
