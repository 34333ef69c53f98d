"""The part of the report on what the network learned: every class from round to round."""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cbda_jax.reporting.tables import count, percent

_NAMED = 3  # classes named in a sentence


class Stage(NamedTuple):
    """Training between two rounds, as its last evaluation has it.

    Attributes:
        name: "before round 1", "after round 1", ...
        record: of the evaluation.
    """

    name: str
    record: Mapping[str, Any]


def stages(
    watched: Sequence[Mapping[str, Any]], rounds: Sequence[Mapping[str, Any]]
) -> list[Stage]:
    """The last evaluation before the first round, and after each until the next.

    Args:
        watched: the "evaluation" records of one split, in order.
        rounds: the "round" records, in order. A round is held before the step that it stands at,
            so an evaluation at that step knows nothing of it yet.

    Returns:
        One for each stretch of training that was evaluated in; without rounds the first evaluation
        and the last.
    """
    if not rounds:
        ends = [watched[0], watched[-1]] if len(watched) > 1 else watched
        return [Stage(f"step {count(record['step'])}", record) for record in ends]
    found: dict[int, Mapping[str, Any]] = {}
    for record in watched:
        found[sum(one["step"] < record["step"] for one in rounds)] = record
    name = {0: f"before round {rounds[0]['round']}"} | {
        place: f"after round {one['round']}" for place, one in enumerate(rounds, 1)
    }
    return [Stage(name[place], found[place]) for place in sorted(found)]


def changes(
    last: Mapping[str, float | int | None], first: Mapping[str, float | int | None]
) -> dict[str, float]:
    """By class what was gained, as a fraction; classes that one of both has no IoU of left out."""
    both = {name: (value, first.get(name)) for name, value in last.items()}
    return {
        name: value - before
        for name, (value, before) in both.items()
        if value is not None and before is not None and math.isfinite(value - before)
    }


def change(difference: float | int | None) -> dict[str, str]:
    """A difference of fractions as a cell: `text` in percent points, and `look`, where it points.

    The look is a class of the style sheet: "up", "down", or neither below half a point. What
    rounds to no change at all has no text.
    """
    if difference is None or math.isnan(difference):
        return {"text": "", "look": ""}
    # Adding 0 makes -0.0 a plain 0.
    points = round(100 * difference, 1) + 0.0
    look = "" if abs(points) < 0.5 else "up" if points > 0 else "down"
    if points == 0:
        return {"text": "", "look": ""}
    return {"text": f"{points:+.1f}".replace("-", "\u2212"), "look": look}


def class_table(
    found: Sequence[Stage], rounds: Sequence[Mapping[str, Any]], class_names: Sequence[str]
) -> dict[str, Any] | None:
    """The table of IoUs by class and stage.

    Returns:
        `head`, the names of the stages with their steps; `rows`, for each class its `name`, `cells`
        of `text` and `change` against the stage before, `change` in all, and `labelled`, its
        pixels in all rounds; `labelled`, whether there is such a column. None of fewer than two
        stages.
    """
    if len(found) < 2:
        return None
    labelled = Counter()
    for record in rounds:
        labelled.update(record.get("class_pixels") or {})
    all_changes = changes(found[-1].record["iou"], found[0].record["iou"])
    steps = [
        {},
        *(changes(b.record["iou"], a.record["iou"]) for a, b in itertools.pairwise(found)),
    ]

    def row(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "cells": [
                {"text": percent(stage.record["iou"].get(name)), "change": change(step.get(name))}
                for stage, step in zip(found, steps, strict=True)
            ],
            "change": change(all_changes.get(name)),
            "labelled": count(labelled[name]),
        }

    means = [stage.record["miou"] for stage in found]
    before = [None, *means[:-1]]
    mean = {
        "name": "mIoU",
        "cells": [
            {"text": percent(value), "change": change(_less(value, other))}
            for value, other in zip(means, before, strict=True)
        ],
        "change": change(_less(means[-1], means[0])),
        "labelled": count(labelled.total()),
    }
    return {
        "head": [{"name": s.name, "step": count(s.record["step"])} for s in found],
        "rows": [row(name) for name in class_names],
        "mean": mean,
        "labelled": bool(rounds),
    }


def _less(value: float | int | None, other: float | int | None) -> float | int | None:
    return None if value is None or other is None else value - other


def sentence(found: Sequence[Stage], split: str) -> str:
    """What was learned in all: "mIoU on val 20.1 % -> 35.0 %; most gained by car (+20.1), ..."."""
    if len(found) < 2:
        return ""
    first, last = found[0], found[-1]
    gained = changes(last.record["iou"], first.record["iou"])
    order = sorted(gained, key=lambda name: -gained[name])
    up = [name for name in order if change(gained[name])["look"] == "up"][:_NAMED]
    down = [name for name in reversed(order) if change(gained[name])["look"] == "down"][:_NAMED]
    parts = [
        f"mIoU on {split} from {percent(first.record['miou'])} % ({first.name}) to "
        f"{percent(last.record['miou'])} %"
    ]
    for word, names in (("most gained", up), ("lost", down)):
        if names:
            parts.append(f"{word}: " + ", ".join(f"{n} {change(gained[n])['text']}" for n in names))
    return "; ".join(parts) + "."
