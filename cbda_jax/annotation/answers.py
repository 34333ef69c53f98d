"""What was answered: a small square of classes for each query, and what follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32, Int64, Shaped, UInt8

from cbda_jax.annotation.queries import ImageSizes, Queries, own_sizes
from cbda_jax.errors import InputError
from cbda_jax.label_space import IGNORE, UNANSWERED

VOID = IGNORE
"""The answer that a pixel has no class. It is paid for, and not trained on."""


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers to the queries of one round. Nothing of them can be changed.

    Pixels of a square that lie outside of the image are `UNANSWERED`, so that nothing counts them.

    Attributes:
        queries: what was asked.
        patches: uint8 [n, s, s] with s = 2 radius + 1, in the order of the queries: train ids in
            the square around each centre, `VOID` or `UNANSWERED`.
        about: anything else worth keeping (who answered, ...); JSON values.

    Raises:
        InputError: the patches have another type or shape.
    """

    queries: Queries
    patches: Shaped[np.ndarray, "..."]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        """Checks the patches, and keeps a copy of them that cannot be written to."""
        side = 2 * self.queries.radius + 1
        shape = (len(self.queries), side, side)
        if self.patches.dtype != np.uint8 or self.patches.shape != shape:
            raise InputError(
                f"answers to round {self.queries.round}: {self.patches.dtype}"
                f"{list(self.patches.shape)} found, expected uint8{list(shape)}; give each query "
                "the square around its centre, in the order of the queries"
            )
        patches = self.patches.copy()
        patches.flags.writeable = False
        object.__setattr__(self, "patches", patches)

    @property
    def round(self) -> int:
        """Number of the round, from 1."""
        return self.queries.round

    @cached_property
    def answered(self) -> Bool[np.ndarray, " n"]:
        """Whether any pixel of a query was answered, void included."""
        return (self.patches != UNANSWERED).any(axis=(1, 2))

    @cached_property
    def counts(self) -> Int64[np.ndarray, "256"]:
        """Answered pixels by what they were answered; `VOID` is counted, `UNANSWERED` is 0."""
        counts = np.zeros(256, np.int64)
        # In parts: `bincount` makes eight bytes of each.
        for start in range(0, len(self.patches), 2**18):
            part = self.patches[start : start + 2**18]
            counts += np.bincount(part.ravel(), minlength=256)
        counts[UNANSWERED] = 0
        counts.flags.writeable = False
        return counts


def cut(
    label: UInt8[np.ndarray, "height width"],
    row: Int32[np.ndarray, " n"],
    col: Int32[np.ndarray, " n"],
    radius: int,
) -> UInt8[np.ndarray, "n side side"]:
    """The (2 radius + 1)^2 squares of a label around centres; `UNANSWERED` outside of the image."""
    padded = np.pad(label, radius, constant_values=UNANSWERED)
    side = 2 * radius + 1
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side))[row, col]


def pixels_inside(queries: Queries, sizes: ImageSizes) -> Int64[np.ndarray, " n"]:
    """How many pixels of each query's square lie inside of its image."""
    height, width = own_sizes(queries, sizes)
    sides = []
    for centre, length in ((queries.row, height), (queries.col, width)):
        centre = centre.astype(np.int64)
        low = np.maximum(centre - queries.radius, 0)
        sides.append(np.minimum(centre + queries.radius, length - 1) - low + 1)
    return sides[0] * sides[1]


def problem(answers: Answers, num_classes: int, sizes: ImageSizes) -> str | None:
    """What cannot be of the answers to queries that lie inside of their images; None if all can.

    Says what was found and what was expected.
    """
    unknown = np.flatnonzero(answers.counts[num_classes:UNANSWERED])
    if len(unknown):
        return (
            f"class {num_classes + unknown[0]} found, expected 0 to {num_classes - 1}, {VOID} for "
            f"void or {UNANSWERED} for unanswered"
        )
    queries, radius = answers.queries, answers.queries.radius
    height, width = own_sizes(queries, sizes)
    near = (queries.row < radius) | (queries.row >= height - radius)
    near |= (queries.col < radius) | (queries.col >= width - radius)
    (border,) = np.nonzero(near)
    around = np.arange(-radius, radius + 1)
    row, col = (centre[border, None] + around for centre in (queries.row, queries.col))
    down = (row >= 0) & (row < height[border, None])
    right = (col >= 0) & (col < width[border, None])
    inside = down[:, :, None] & right[:, None, :]
    if (answers.patches[border][~inside] != UNANSWERED).any():
        return f"answers outside of the image found, expected {UNANSWERED} for unanswered there"
    return None


def counts(rounds: Sequence[Answers]) -> Int64[np.ndarray, "256"]:
    """Answered pixels of some rounds by what they were answered; see `Answers.counts`."""
    return sum((answers.counts for answers in rounds), np.zeros(256, np.int64))


def known_label(
    rounds: Sequence[Answers], image_id: str, shape: tuple[int, int]
) -> UInt8[np.ndarray, "height width"]:
    """What is known of an image's label: the answers where there are some, `VOID` elsewhere.

    Picks of regions of radius k block 2k, and only queries that were not answered at all are asked
    again. So no pixel is answered twice.

    Args:
        rounds: whose answers are known.
        image_id: of the image.
        shape: (height, width) of its label.

    Raises:
        InputError: a pixel is answered twice.
    """
    label = np.full(shape, UNANSWERED, np.uint8)
    total = 0
    for answers in rounds:
        queries = answers.queries
        places = queries.places.get(image_id)
        if places is None:
            continue
        patches = answers.patches[places]
        query, down, right = np.nonzero(patches != UNANSWERED)
        row = queries.row[places][query] + down - queries.radius
        col = queries.col[places][query] + right - queries.radius
        label[row, col] = patches[query, down, right]
        total += len(query)
    different = np.count_nonzero(label != UNANSWERED)
    if different != total:
        raise InputError(
            f"image {image_id!r}: {total} answers about {different} pixels found, expected one "
            "each; restore the query log and the answers from a backup"
        )
    label[label == UNANSWERED] = VOID
    return label


def closed_centres(
    rounds: Sequence[Answers], image_id: str
) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]]:
    """(row, col) of the queries of an image that were answered, if only in part, or found void.

    Around them nothing is asked any more.
    """
    rows, cols = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for answers in rounds:
        places = answers.queries.places.get(image_id)
        if places is not None:
            places = places[answers.answered[places]]
            rows.append(answers.queries.row[places])
            cols.append(answers.queries.col[places])
    return np.concatenate(rows), np.concatenate(cols)
