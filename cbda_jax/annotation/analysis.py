"""What was labelled: its classes, how far the predictions were right, where the budget went.

Knows queries and answers alone: nothing that was not asked about has a part in it.
"""

import itertools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer

from cbda_jax.annotation.answers import UNANSWERED, VOID, Answers, pixels_inside
from cbda_jax.annotation.queries import ImageSizes

_PART = 2**16  # queries counted at a time
_BINS = 20  # of a histogram: as many bars as can be told apart


@dataclass(frozen=True, eq=False)
class Tally:
    """What is counted of the answers to some queries. Tallies of different queries add up.

    Attributes:
        pixels: answered pixels of every class; void last.
        confusion: queries by the class predicted at the centre and the class answered there, void
            last. Queries whose centre is unanswered are left out.
        regions: queries that were answered, if only in part.
        void: those whose answer is void in all pixels that were answered.
        partly_void: those whose answer is void in some pixels, not in all.
        boundary: those whose answer holds more than one class, void not counted.
        unranked: those that were picked with a score of 0 or less.
        unanswered: queries of which no pixel was answered.
        unanswered_pixels: of all queries; what lies outside of an image is not counted.
    """

    pixels: Int64[np.ndarray, " classes_and_void"]
    confusion: Int64[np.ndarray, "classes classes_and_void"]
    regions: int = 0
    void: int = 0
    partly_void: int = 0
    boundary: int = 0
    unranked: int = 0
    unanswered: int = 0
    unanswered_pixels: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Tally(*itertools.starmap(operator.add, pairs))


def tally(answers: Answers, num_classes: int, sizes: ImageSizes) -> Tally:
    """Counts the answers of a round.

    Args:
        answers: without a class from `num_classes` on.
        num_classes: C.
        sizes: of the images.
    """
    queries, radius = answers.queries, answers.queries.radius
    pixels = answers.counts[[*range(num_classes), VOID]]
    confusion = np.zeros((num_classes, num_classes + 1), np.int64)
    centre = answers.patches[:, radius, radius]
    known = centre != UNANSWERED
    true = np.minimum(centre[known], num_classes)
    np.add.at(confusion, (queries.predicted[known], true), 1)
    void = partly_void = boundary = 0
    for at in range(0, len(queries), _PART):
        part = answers.patches[at : at + _PART]
        of_class = part < UNANSWERED
        some_void, some_class = (x.any(axis=(1, 2)) for x in (part == VOID, of_class))
        lowest = np.where(of_class, part, VOID).min(axis=(1, 2))
        highest = np.where(of_class, part, 0).max(axis=(1, 2))
        void += int((some_void & ~some_class).sum())
        partly_void += int((some_void & some_class).sum())
        boundary += int((lowest < highest).sum())
    regions = int(answers.answered.sum())
    return Tally(
        pixels,
        confusion,
        regions=regions,
        void=void,
        partly_void=partly_void,
        boundary=boundary,
        unranked=int((queries.score[answers.answered] <= 0).sum()),
        unanswered=len(queries) - regions,
        unanswered_pixels=int(pixels_inside(queries, sizes).sum() - pixels.sum()),
    )


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
    rounds: Sequence[Answers],
    names: Sequence[str],
    sizes: ImageSizes,
    *,
    pool_pixels: Mapping[str, int] | None = None,
) -> dict[str, Any] | None:
    """What was labelled in the rounds of a run, as plain values that JSON knows.

    Args:
        rounds: the answers to each.
        names: of the C classes, by train id.
        sizes: of the images.
        pool_pixels: pixels of every class in the whole pool, where its ground truth is known.

    Returns:
        None if nothing was asked. Otherwise `rounds`, a list with an entry a round; `total`, the
        same of all rounds together; `pool`, None or the `class_pixels`, `class_shares` and
        `label_entropy` of the whole pool. Shares and entropies are fractions. An entry has

        - `round` (not in `total`), `regions` that were answered, `pixels` and `void_pixels`;
          `class_pixels` and `class_shares`, of all pixels, so that with `void_share` they add up
          to 1; `label_entropy` (see `label_entropy`) and `label_entropy_so_far`, of all rounds up
          to it;
        - `confusion`: picks by predicted and answered class, `void` too, without zeros;
          `reliability` (see `reliability`); `right`, the fraction of all picks whose centre is of
          the predicted class, and `void_centres`, whose centre is void;
        - `void_regions`, `partly_void_regions` and `boundary_regions` (see `Tally`);
        - `unranked_regions`, picked with a score of 0 or less. Of a score by impurity: the window
          held one predicted class, so that a rule for ties chose it (the reference's impurity is
          slightly negative there);
        - `unanswered_regions` and `unanswered_pixels` (see `Tally`), if there are any;
        - `picks_per_image` (see `picks_per_image`), of all that were asked.
    """
    if not rounds:
        return None
    found = [tally(answers, len(names), sizes) for answers in rounds]
    asked = [answers.queries for answers in rounds]
    number = [np.bincount(q.image, minlength=len(q.image_ids)) for q in asked]
    so_far = list(itertools.accumulate(found))
    entries = [
        {
            "round": queries.round,
            **_entry(own, picks, names),
            "label_entropy_so_far": label_entropy(until.pixels[:-1]),
        }
        for queries, own, until, picks in zip(asked, found, so_far, number, strict=True)
    ]
    return {
        "rounds": entries,
        "total": _entry(so_far[-1], np.sum(number, axis=0), names),
        "pool": _pool(pool_pixels, names),
    }


def _entry(own: Tally, picks: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    total = own.pixels.sum()
    answers = [*names, "void"]
    unanswered = {
        "unanswered_regions": own.unanswered,
        "unanswered_pixels": own.unanswered_pixels,
    }
    return {
        "regions": own.regions,
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
        "right": _ratio(own.confusion.trace(), own.confusion.sum()),
        "void_centres": int(own.confusion[:, -1].sum()),
        "void_regions": own.void,
        "partly_void_regions": own.partly_void,
        "boundary_regions": own.boundary,
        "unranked_regions": own.unranked,
        **(unanswered if own.unanswered_pixels else {}),
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
