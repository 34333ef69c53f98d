"""What the network of a round says of classes beside its predictions: evidence for weights."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from cbda_jax import acquisition, annotation
from cbda_jax.run.logits import Answered, Logits
from cbda_jax.run.plan import Plan

LOOKS = ("prior_corrected", "nearest")
"""Class evidence for which all images are looked at before a round."""


class Evidence:
    """Adds to a balance what `class_evidence` needs of the network that scores.

    Args:
        plan: what is acquired, and the class frequencies of the source.
        num_classes: C.
        ids: of the images, in the order of their records.
        logits: of the network; None: nothing is needed of it.
    """

    def __init__(
        self, plan: Plan, num_classes: int, ids: Sequence[str], logits: Logits | None = None
    ):
        self._evidence = plan.method.scoring.class_evidence
        self._num_classes = num_classes
        self._place = {image_id: index for index, image_id in enumerate(ids)}
        self._logits = logits
        self._log_ratio: np.ndarray | None = None
        self._sums: dict[annotation.Answers, _Sums] = {}
        if logits is not None and self._evidence == "prior_corrected":
            assert plan.source_pixels is not None
            source = acquisition.source_prior(plan.source_pixels())
            found = acquisition.target_prior(logits.sample(), source)
            self._log_ratio = acquisition.log_ratio(np.asarray(found), source)

    def complete(
        self, balance: acquisition.RoundBalance, answered: Sequence[annotation.Answers]
    ) -> acquisition.RoundBalance:
        """The balance with what the evidence needs.

        Args:
            balance: of the answers alone.
            answered: the same answers.
        """
        if self._log_ratio is not None:
            return balance._replace(log_ratio=self._log_ratio)
        if self._evidence != "nearest":
            return balance
        sums = np.zeros((self._num_classes, self._num_classes))
        number = np.zeros(self._num_classes, np.int64)
        for answers in answered:
            if answers not in self._sums:
                assert self._logits is not None
                self._sums[answers] = self._look(self._logits, answers)
            sums, number = sums + self._sums[answers].softmax, number + self._sums[answers].answers
        return balance._replace(prototypes=acquisition.prototypes(sums, number))

    def forget(self) -> None:
        """Frees the logits, once the round has been chosen; what they said is kept."""
        self._logits = None

    def _look(self, logits: Logits, answers: annotation.Answers) -> "_Sums":
        queries, radius = answers.queries, answers.queries.radius
        centre = answers.patches[:, radius, radius]
        known = centre < self._num_classes
        places = {}
        for image_id, own in queries.places.items():
            some = own[known[own]]
            if len(some):
                index = self._place[image_id]
                places[index] = Answered(queries.row[some], queries.col[some], centre[some])
        return _Sums(
            logits.sums(places, self._num_classes),
            np.bincount(centre[known], minlength=self._num_classes),
        )


class _Sums(NamedTuple):
    softmax: Float64[np.ndarray, "classes classes"]
    answers: Int64[np.ndarray, " classes"]
