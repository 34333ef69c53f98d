"""Records and rounds as columns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cbda_jax import annotation

KINDS = ("evaluation", "train", "round")
"""The kinds of records that are made into columns."""

_PICKS = {
    "round": np.int64,
    "step": np.int64,
    "image_id": np.str_,
    "row": np.int64,
    "col": np.int64,
    "score": np.float32,
    "predicted": np.uint8,
    "answered": np.uint8,
}


def columns(records: Iterable[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Records as columns of one length; what is within a name has a name with a dot.

    Args:
        records: of `reporting.read_metrics`, of one kind.

    Returns:
        int64 where all values are whole numbers; else float64, NaN where there is none; texts where
        any is a text.
    """
    rows = [{k: v for k, v in _flat(record) if k != "kind"} for record in records]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _column([row.get(name) for row in rows]) for name in names}


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _column(values: Sequence[Any]) -> np.ndarray:
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else str(value) for value in values])
    if all(isinstance(value, bool) for value in values):
        return np.array(values, np.bool_)
    if all(isinstance(value, int) for value in values):
        return np.array(values, np.int64)
    return np.array([np.nan if value is None else float(value) for value in values], np.float64)


def picks(
    rounds: Sequence[annotation.Queries], answers: Sequence[annotation.Answers]
) -> dict[str, np.ndarray]:
    """Every query of all rounds as columns; see `Run.picks`."""
    parts = [_of_round(q, answers[i] if i < len(answers) else None) for i, q in enumerate(rounds)]
    nothing = {name: np.zeros(0, kind) for name, kind in _PICKS.items()}
    return {name: np.concatenate([part[name] for part in (nothing, *parts)]) for name in _PICKS}


def _of_round(
    queries: annotation.Queries, answers: annotation.Answers | None
) -> dict[str, np.ndarray]:
    count, centre = len(queries), queries.radius
    answered = np.full(count, annotation.UNANSWERED, np.uint8)
    if answers is not None:
        answered = answers.patches[:, centre, centre]
    return {
        "round": np.full(count, queries.round, np.int64),
        "step": np.full(count, queries.step, np.int64),
        "image_id": np.array(queries.image_ids, np.str_)[queries.image],
        "row": queries.row,
        "col": queries.col,
        "score": queries.score,
        "predicted": queries.predicted,
        "answered": answered,
    }
