"""Who answers the queries."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from cbda_jax.annotation.queries import Queries, queried_mask


@runtime_checkable
class Oracle(Protocol):
    """Gives labels of pixels that were asked about."""

    def label(self, image_id: str) -> UInt8[np.ndarray, "height width"]:
        """Train ids of an image at native size; 255 where the answer is void (or not given)."""
        ...


class GroundTruthOracle:
    """Answers from the labels of the data set, as the papers do.

    Args:
        records: anything with `ids` and `label(index)`, such as `cbda_jax.data.records.Records`.
    """

    def __init__(self, records):
        self._records = records
        self._index = {image_id: i for i, image_id in enumerate(records.ids)}

    def label(self, image_id: str) -> UInt8[np.ndarray, "height width"]:
        """See `Oracle.label`."""
        return self._records.label(self._index[image_id])


def active_label(
    label: UInt8[np.ndarray, "height width"],
    row: Int32[np.ndarray, " n"],
    col: Int32[np.ndarray, " n"],
    radius: int,
) -> UInt8[np.ndarray, "height width"]:
    """The label where it was asked for, 255 elsewhere."""
    mask = queried_mask(row, col, label.shape, radius)
    return np.where(mask, label, np.uint8(255))


class Answers:
    """How often each label was answered, round by round; every label is read once.

    Args:
        oracle: who answers.
        shape: (height, width) of the labels.
    """

    def __init__(self, oracle: Oracle, shape: tuple[int, int]):
        self._oracle = oracle
        self._shape = shape
        self._counts: dict[int, Int64[np.ndarray, 256]] = {}

    def counts(self, rounds: Sequence[Queries]) -> Int64[np.ndarray, "256"]:
        """Pixels of every label, 255 (void) included, among the answers of some rounds."""
        for queries in rounds:
            if queries.round not in self._counts:
                counts = np.zeros(256, np.int64)
                for image_id, (row, col) in queries.by_image.items():
                    mask = queried_mask(row, col, self._shape, queries.radius)
                    counts += np.bincount(self._oracle.label(image_id)[mask], minlength=256)
                self._counts[queries.round] = counts
        return sum((self._counts[q.round] for q in rounds), np.zeros(256, np.int64))
