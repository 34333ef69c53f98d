"""Oracles that stand in for people: answers that follow from the labels of the data set.

Each is a model of how people answer, for measuring what such answers are worth. They fill what lies
inside of an image alone.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int32, UInt8, UInt64

from cbda_jax.annotation.answers import UNANSWERED, VOID, Answers, cut
from cbda_jax.annotation.queries import Queries

# How many pixels around a square still belong to its surroundings: what a hand or an eye slips by.
_NEAR = 3


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


class GroundTruthOracle:
    """Answers every pixel from the labels of the data set, as the papers do: `exact`.

    It models people who look at each pixel of a square and never err: an answer a pixel.

    Args:
        labels: of the images that are asked about.
        num_classes: C; greater values are void.
        threads: that read labels at the same time.
    """

    name = "ground_truth"

    def __init__(self, labels: LabelledImages, num_classes: int, *, threads: int = 1):
        self._labels = labels
        self._num_classes = num_classes
        self._threads = threads
        self._index = {image_id: i for i, image_id in enumerate(labels.ids)}

    def answers_per_query(self, radius: int) -> int:
        """Answers that a square takes: one a pixel."""
        return (2 * radius + 1) ** 2

    def ask(self, queries: Queries) -> Answers:
        """The answers to every query; the same whenever it is asked again."""
        side = 2 * queries.radius + 1
        patches = np.full((len(queries), side, side), UNANSWERED, np.uint8)

        def answer(image_id: str) -> None:
            label = self._labels.label(self._index[image_id])
            known = np.where(label < self._num_classes, label, np.uint8(VOID))
            places = queries.places[image_id]
            at = queries.row[places], queries.col[places]
            patches[places] = self._answer(known, image_id, *at, queries.radius)

        with ThreadPoolExecutor(max(self._threads, 1)) as executor:
            for _ in executor.map(answer, queries.places):
                pass
        return Answers(queries, patches, {"oracle": self.name, **self._about(queries)})

    def _answer(
        self,
        known: UInt8[np.ndarray, "height width"],
        image_id: str,
        row: Int32[np.ndarray, " n"],
        col: Int32[np.ndarray, " n"],
        radius: int,
    ) -> UInt8[np.ndarray, "n side side"]:
        """The answers to the queries of an image.

        Args:
            known: its label, of classes and `VOID` alone.
            image_id: its id.
            row: of the centres.
            col: of the centres.
            radius: of the squares.
        """
        del image_id
        return cut(known, row, col, radius)

    def _about(self, queries: Queries) -> dict[str, Any]:
        """What is kept with the answers."""
        del queries
        return {}


class OneKeyOracle(GroundTruthOracle):
    """Answers a square with one key: a class, or void, for all of its pixels inside of the image.

    See `CentreOracle` and `MajorityOracle` for which.
    """

    def answers_per_query(self, radius: int) -> int:
        """Answers that a square takes: one, of any radius."""
        del radius
        return 1

    def _answer(self, known, image_id, row, col, radius):
        true = super()._answer(known, image_id, row, col, radius)
        return np.where(true == UNANSWERED, true, self._key(true)[:, None, None])

    def _about(self, queries: Queries) -> dict[str, Any]:
        return {"answers": len(queries)}

    def _key(self, true: UInt8[np.ndarray, "n side side"]) -> UInt8[np.ndarray, " n"]:
        """What a square is answered with, by what is in it."""
        raise NotImplementedError


class CentreOracle(OneKeyOracle):
    """Answers a square with the class of its centre pixel.

    It models people who are shown a mark, tell what is under it, and let that stand for the pixels
    around it.
    """

    name = "centre"

    def _key(self, true: UInt8[np.ndarray, "n side side"]) -> UInt8[np.ndarray, " n"]:
        radius = true.shape[1] // 2
        return true[:, radius, radius]


class MajorityOracle(OneKeyOracle):
    """Answers a square with what most of its pixels inside of the image are, void if that is void.

    It models people who are shown the outline of a square and tell what fills it. Of what is there
    equally often, the centre's class is answered; where that is not among them, the lowest train
    id, void last.
    """

    name = "majority"

    def _key(self, true: UInt8[np.ndarray, "n side side"]) -> UInt8[np.ndarray, " n"]:
        radius = true.shape[1] // 2
        values = np.unique(true[true != UNANSWERED])
        if not len(values):
            return np.zeros(0, np.uint8)
        centre = true[:, radius, radius]
        # Half a pixel more for the centre's settles ties.
        votes = [2 * (true == v).sum(axis=(1, 2)) + (centre == v) for v in values]
        return values[np.argmax(votes, axis=0)]


class NoisyOracle(GroundTruthOracle):
    """Answers as `GroundTruthOracle`, and mistakes one class for another in some of the queries.

    It models people who err, more often where two classes meet. A query lies at a boundary if its
    surroundings, the square and 3 pixels around it, hold another class than its centre. It is then
    mistaken for one of those, each as likely; elsewhere for any other class. Where a query is
    mistaken, all pixels of the centre's class in the square, or of void if that is there, get the
    wrong class. Which are is drawn by seed, image and place alone: who is asked again answers the
    same.

    Two people who labelled 30 images of Cityscapes gave 96 % of the pixels the same class (Cordts
    et al., CVPR 2016, 2.2).

    Args:
        labels: of the images that are asked about.
        num_classes: C; greater values are void.
        noise: fraction of the queries that are mistaken, away from boundaries.
        at_boundaries: the same at boundaries.
        seed: of the mistakes.
        threads: that read labels at the same time.
    """

    name = "noisy"

    def __init__(
        self,
        labels: LabelledImages,
        num_classes: int,
        *,
        noise: float | int,
        at_boundaries: float | int,
        seed: int = 0,
        threads: int = 1,
    ):
        super().__init__(labels, num_classes, threads=threads)
        self._noise = noise
        self._at_boundaries = at_boundaries
        self._seed = seed

    def _answer(self, known, image_id, row, col, radius):
        patches = super()._answer(known, image_id, row, col, radius)
        centre = patches[:, radius, radius].copy()
        around = cut(known, row, col, radius + _NEAR)
        others = (around < self._num_classes) & (around != centre[:, None, None])
        at_boundary = others.any(axis=(1, 2))
        mistaken, which = _drawn(self._seed, image_id, row, col)
        rate = np.where(at_boundary, self._at_boundaries, self._noise)
        every = np.arange(self._num_classes, dtype=np.uint8)
        for place in np.flatnonzero(mistaken < rate):
            classes = every[every != centre[place]]
            if at_boundary[place]:
                classes = np.unique(around[place][others[place]])
            if len(classes):
                wrong = classes[int(which[place] * len(classes))]
                patches[place][patches[place] == centre[place]] = wrong
        return patches

    def _about(self, queries: Queries) -> dict[str, Any]:
        del queries
        return {"noise": self._noise, "noise_at_boundaries": self._at_boundaries}


def _drawn(
    seed: int, image_id: str, row: Int32[np.ndarray, " n"], col: Int32[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Two numbers from 0 to below 1 for each place of an image: the same for the same, always."""
    digest = hashlib.sha256(f"{seed}/{image_id}".encode()).digest()
    # Arrays, as numbers of NumPy warn where they overflow.
    keys = np.frombuffer(digest[:16], "<u8").astype(np.uint64)[:, None]
    place = (row.astype(np.uint64) << np.uint64(32)) + col.astype(np.uint64)
    first, second = (_mixed(keys ^ _mixed(place)[None]) >> np.uint64(11)) * 2.0**-53
    return first, second


def _mixed(x: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): every bit depends on all bits."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
