"""What the answers so far say of the classes, and so what a round is balanced by."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from cbda_jax import acquisition, annotation
from cbda_jax.methods import Method


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
            evidence=self._method.scoring.class_evidence,
            ties=self._method.scoring.ties,
        )
