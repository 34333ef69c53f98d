"""What was labelled: its classes, how far the predictions were right, where the budget went.

Knows the query log and the answers: of a label only the pixels that were asked about are looked at.
"""

import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32, Int64, Integer, UInt8

from cbda_jax.annotation.oracle import Oracle
from cbda_jax.annotation.queries import Queries, queried_mask

_BINS = 20  # of a histogram: as many bars as can be told apart


@dataclass(frozen=True, eq=False)
class Tally:
    """What is counted of some queries. Tallies of different queries add up.

    Attributes:
        pixels: answered pixels of every class; void last.
        confusion: queries by the class predicted at the centre and the class answered there, void
            last.
        void: queries whose answer is void in all pixels.
        partly_void: queries whose answer is void in some pixels, not in all.
        boundary: queries whose answer holds more than one class, void not counted.
    """

    pixels: Int64[np.ndarray, " classes_and_void"]
    confusion: Int64[np.ndarray, "classes classes_and_void"]
    void: int
    partly_void: int
    boundary: int

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.pixels + other.pixels,
            self.confusion + other.confusion,
            self.void + other.void,
            self.partly_void + other.partly_void,
            self.boundary + other.boundary,
        )


def tally(
    label: UInt8[np.ndarray, "height width"],
    row: Int32[np.ndarray, " n"],
    col: Int32[np.ndarray, " n"],
    predicted: UInt8[np.ndarray, " n"],
    *,
    radius: int,
    num_classes: int,
) -> Tally:
    """Counts the answers to the queries of one image.

    Args:
        label: train ids where they are known; from `num_classes` on void. Read only inside of the
            queries' squares.
        row: of the centre of each query, in pixels of the label.
        col: of the same.
        predicted: class that was predicted at the centre.
        radius: a query covers the (2 radius + 1)^2 square around its centre, clipped at the border.
            A pixel of two squares counts once.
        num_classes: C.
    """
    known = np.minimum(label, num_classes).astype(np.int64)
    confusion = np.zeros((num_classes, num_classes + 1), np.int64)
    np.add.at(confusion, (predicted, known[row, col]), 1)
    answered, inside = _squares(known, row, col, radius)
    void = inside & (answered == num_classes)
    of_class = inside & ~void
    lowest = np.where(of_class, answered, num_classes).min(axis=1)
    highest = np.where(of_class, answered, -1).max(axis=1)
    return Tally(
        pixels=np.bincount(
            known[queried_mask(row, col, known.shape, radius)], minlength=num_classes + 1
        ),
        confusion=confusion,
        void=int((~of_class).all(axis=1).sum()),
        partly_void=int((void.any(axis=1) & of_class.any(axis=1)).sum()),
        boundary=int((lowest < highest).sum()),
    )


def _squares(
    known: Int64[np.ndarray, "height width"],
    row: Int32[np.ndarray, " n"],
    col: Int32[np.ndarray, " n"],
    radius: int,
) -> tuple[Int64[np.ndarray, "n pixels"], Bool[np.ndarray, "n pixels"]]:
    """The labels in the square of each query, and which of them lie inside of the image."""
    height, width = known.shape
    offset = np.arange(-radius, radius + 1)
    rows, cols = np.broadcast_arrays(
        row[:, None, None] + offset[None, :, None], col[:, None, None] + offset[None, None, :]
    )
    rows, cols = (places.reshape(len(row), len(offset) ** 2) for places in (rows, cols))
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    return known[rows.clip(0, height - 1), cols.clip(0, width - 1)], inside


def tallies(
    rounds: Sequence[Queries], oracle: Oracle, num_classes: int, *, threads: int = 1
) -> list[Tally]:
    """One tally a round; every label is read once.

    Args:
        rounds: of the query log.
        oracle: gave the answers.
        num_classes: C.
        threads: read and count images at the same time; the oracle must allow it.
    """
    nothing = np.zeros(0, np.int64)

    def count(image_id: str) -> list[Tally]:
        label = oracle.label(image_id)
        own = [queries.places.get(image_id, nothing) for queries in rounds]
        return [
            tally(
                label,
                *(queries.row[places], queries.col[places], queries.predicted[places]),
                radius=queries.radius,
                num_classes=num_classes,
            )
            for queries, places in zip(rounds, own, strict=True)
        ]

    empty = Tally(
        np.zeros(num_classes + 1, np.int64),
        np.zeros((num_classes, num_classes + 1), np.int64),
        *(0, 0, 0),
    )
    sums = [empty] * len(rounds)
    with ThreadPoolExecutor(max(threads, 1)) as executor:
        for found in executor.map(
            count, sorted(set().union(*(queries.places for queries in rounds)))
        ):
            sums = [a + b for a, b in zip(sums, found, strict=True)]
    return sums


def label_entropy(pixels: Integer[np.ndarray, " classes"]) -> float | None:
    """Entropy of a class histogram, divided by log C: 1 where all classes are equally frequent.

    Args:
        pixels: of every class, without void.

    Returns:
        A fraction; None where nothing was counted or there is one class only.
    """
    total = pixels.sum()
    if not total or len(pixels) < 2:
        return None
    share = pixels[pixels > 0] / total
    # Adding zero makes the minus zero of a single class a plain one.
    return float(-(share * np.log(share)).sum() / np.log(len(pixels))) + 0.0


def picks_per_image(number: Integer[np.ndarray, " images"]) -> dict[str, Any]:
    """How evenly picks are spread over the images of the pool.

    Args:
        number: of picks, for every image of the pool.

    Returns:
        `min`, `median`, `max`, `images`, `without` (images that have no pick) and `histogram`, of
        at most 20 bins: `images` of the bin from `edges[i]` picks to less than `edges[i + 1]`.
    """
    low, high = int(number.min()), int(number.max())
    width = -(-(high - low + 1) // _BINS)
    edges = np.arange(low, high + width + 1, width)
    return {
        "min": low,
        "median": float(np.median(number)),
        "max": high,
        "images": len(number),
        "without": int((number == 0).sum()),
        "histogram": {
            "edges": edges.tolist(),
            "images": np.bincount((number - low) // width, minlength=len(edges) - 1).tolist(),
        },
    }


def reliability(
    confusion: Int64[np.ndarray, "classes classes_and_void"], names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """How far the predicted class of a pick can be trusted, for every class.

    Picks are no sample of the pool: they lie where the network is in doubt.

    Args:
        confusion: see `Tally.confusion`.
        names: of the C classes.

    Returns:
        By class: `predicted`, picks predicted as it; `void`, those of them whose centre is void;
        `precision`, the fraction of the others that are of the class; `true`, picks whose centre is
        of the class; `recall`, the fraction of these that were predicted as it. A fraction of
        nothing is None.
    """
    classes = confusion[:, :-1]
    right, true = classes.diagonal(), classes.sum(axis=0)
    return {
        name: {
            "predicted": int(confusion[i].sum()),
            "void": int(confusion[i, -1]),
            "precision": _ratio(right[i], classes[i].sum()),
            "true": int(true[i]),
            "recall": _ratio(right[i], true[i]),
        }
        for i, name in enumerate(names)
    }


def analyse(
    rounds: Sequence[Queries],
    oracle: Oracle,
    names: Sequence[str],
    *,
    pool_pixels: Mapping[str, int] | None = None,
    threads: int = 1,
) -> dict[str, Any] | None:
    """What was labelled in the rounds of a run, as plain values that JSON knows.

    Args:
        rounds: of the query log.
        oracle: gave the answers. Nothing is read of it but what was asked.
        names: of the C classes, by train id.
        pool_pixels: pixels of every class in the whole pool, where its ground truth is known.
        threads: read and count images at the same time; the oracle must allow it.

    Returns:
        None if nothing was asked. Otherwise `rounds`, a list with an entry a round; `total`, the
        same of all rounds together; `pool`, None or the `class_pixels`, `class_shares` and
        `label_entropy` of the whole pool. Shares and entropies are fractions. An entry has

        - `round` (not in `total`), `regions`, `pixels` and `void_pixels`; `class_pixels` and
          `class_shares`, of all pixels, so that with `void_share` they add up to 1;
          `label_entropy` (see `label_entropy`) and `label_entropy_so_far`, of all rounds up to it;
        - `confusion`: picks by predicted and answered class, `void` too, without zeros;
          `reliability` (see `reliability`); `right`, the fraction of all picks whose centre is of
          the predicted class, and `void_centres`, whose centre is void;
        - `void_regions`, `partly_void_regions` and `boundary_regions` (see `Tally`);
        - `unranked_regions`, picked with a score of 0 or less. Of a score by impurity: the window
          held one predicted class, so that a rule for ties chose it (the reference's impurity is
          slightly negative there);
        - `picks_per_image` (see `picks_per_image`).
    """
    if not rounds:
        return None
    found = tallies(rounds, oracle, len(names), threads=threads)
    number = [np.bincount(q.image, minlength=len(q.image_ids)) for q in rounds]
    unranked = [int((queries.score <= 0).sum()) for queries in rounds]
    so_far = list(itertools.accumulate(found))
    entries = [
        {
            "round": queries.round,
            **_entry(own, picks, below, names),
            "label_entropy_so_far": label_entropy(until.pixels[:-1]),
        }
        for queries, own, until, picks, below in zip(
            rounds, found, so_far, number, unranked, strict=True
        )
    ]
    return {
        "rounds": entries,
        "total": _entry(so_far[-1], np.sum(number, axis=0), sum(unranked), names),
        "pool": _pool(pool_pixels, names),
    }


def _entry(own: Tally, picks: np.ndarray, unranked: int, names: Sequence[str]) -> dict[str, Any]:
    total, regions = own.pixels.sum(), own.confusion.sum()
    answers = [*names, "void"]
    return {
        "regions": int(regions),
        "pixels": int(total),
        "void_pixels": int(own.pixels[-1]),
        "void_share": _ratio(own.pixels[-1], total),
        "class_pixels": dict(zip(names, own.pixels[:-1].tolist(), strict=True)),
        "class_shares": {
            name: _ratio(pixels, total) for name, pixels in zip(names, own.pixels, strict=False)
        },
        "label_entropy": label_entropy(own.pixels[:-1]),
        "confusion": {
            name: {answers[i]: int(row[i]) for i in np.flatnonzero(row)}
            for name, row in zip(names, own.confusion, strict=True)
            if row.any()
        },
        "reliability": reliability(own.confusion, names),
        "right": _ratio(own.confusion.trace(), regions),
        "void_centres": int(own.confusion[:, -1].sum()),
        "void_regions": own.void,
        "partly_void_regions": own.partly_void,
        "boundary_regions": own.boundary,
        "unranked_regions": unranked,
        "picks_per_image": picks_per_image(picks),
    }


def _pool(pixels: Mapping[str, int] | None, names: Sequence[str]) -> dict[str, Any] | None:
    counts = np.array([(pixels or {}).get(name, 0) for name in names], np.int64)
    if not counts.any():
        return None
    return {
        "class_pixels": dict(zip(names, counts.tolist(), strict=True)),
        "class_shares": dict(zip(names, (counts / counts.sum()).tolist(), strict=True)),
        "label_entropy": label_entropy(counts),
    }


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None
