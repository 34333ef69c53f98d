"""Which of a run's records a page shows."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def last_of(records: Iterable[Mapping[str, Any]], kind: str, *key: str) -> list[Mapping[str, Any]]:
    """The records of a kind; of those with the same key the last, since a resume repeats some.

    Args:
        records: of `metrics.jsonl`.
        kind: of the records wanted.
        key: names of the values that make the key.
    """
    found = {}
    for record in records:
        if record["kind"] == kind:
            values = tuple(record[name] for name in key)
            found.pop(values, None)
            found[values] = record
    return list(found.values())


def results(evaluations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The figures of each split, the most meaningful first: final, of data never used before."""
    last = {record["split"]: record for record in evaluations}
    return sorted(
        last.values(), key=lambda record: (not record.get("final"), "test" not in record["split"])
    )


def watched(evaluations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of the split that was evaluated most often: it was watched during training."""
    splits = Counter(record["split"] for record in evaluations).most_common(1)
    return [record for record in evaluations if record["split"] == splits[0][0]]
