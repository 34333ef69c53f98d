"""Results as plain text, for the end of a run on a terminal; at most 100 columns wide."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def percent(fraction: float | int | None, digits: int = 1) -> str:
    """A fraction in percent without the sign: 0.6324 -> "63.2"; a dash where there is none."""
    return "-" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.{digits}f}"


def small_percent(fraction: float | int | None) -> str:
    """As `percent` with two digits, or with as many as show that there is something: "0.0019"."""
    if fraction is None or not 0 < fraction < 0.001:
        return percent(fraction, 2)
    return f"{100 * fraction:.2g}"


def count(number: float | int | None) -> str:
    """A whole number with spaces between thousands: 1234567 -> "1 234 567"."""
    return "-" if number is None else f"{round(number):,}".replace(",", " ")


def hours(seconds: float | int | None) -> str:
    """Seconds in hours, with three digits or more: 4520 -> "1.26"; a dash where there are none."""
    if seconds is None:
        return "-"
    value = seconds / 3600
    return count(value) if value >= 100 else f"{value:.{1 if value >= 10 else 2}f}"


def lowest_class(iou: Mapping[str, float | int | None]) -> str | None:
    """The class of lowest IoU among those that are present; None where there is none."""
    present = {n: v for n, v in iou.items() if v is not None and not math.isnan(v)}
    return min(present, key=present.__getitem__) if present else None


def aligned(rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Lines of columns two spaces apart: the first `left` columns flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def result_table(
    evaluation: Mapping[str, Any],
    rounds: Sequence[Mapping[str, Any]] = (),
    *,
    budget: float | int | str | None = None,
    title: str = "",
) -> str:
    """The figures of a run.

    Args:
        evaluation: an "evaluation" record of `metrics.jsonl`: its IoUs are fractions, null where a
            class does not occur.
        rounds: the "round" records, in order; `pixels` counts `void_pixels` too.
        budget: the fraction of the target's pixels that was to be labelled, or the budget in words,
            if there was any.
        title: the first line, if given.

    Returns:
        Lines of at most 100 columns: the scores, the IoU of every class, and one line a round.
    """
    parts = [_scores(evaluation, title), _classes(evaluation["iou"])]
    if rounds:
        parts.append(_rounds(rounds))
        parts.append(_spent(rounds, budget))
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _scores(evaluation: Mapping[str, Any], title: str) -> list[str]:
    lowest = lowest_class(evaluation["iou"])
    rows = [
        ["mIoU", _with_sign(evaluation["miou"]), ""],
        *(
            [f"  over {name}", _with_sign(value), ""]
            for name, value in (evaluation.get("subsets") or {}).items()
        ),
        ["lowest class", _with_sign(evaluation["min_iou"]), f"({lowest})" if lowest else ""],
        ["mean of the five lowest", _with_sign(evaluation["worst5_iou"]), ""],
        ["pixel accuracy", _with_sign(evaluation["pixel_accuracy"]), ""],
    ]
    names, values, notes = zip(*rows, strict=True)
    lines = aligned(list(zip(names, values, strict=True)))
    heading = f"{evaluation['split']} at step {evaluation['step']}"
    return [
        *([title] if title else []),
        heading,
        *(f"  {line}  {note}".rstrip() for line, note in zip(lines, notes, strict=True)),
    ]


def _with_sign(fraction: float | int | None) -> str:
    text = percent(fraction)
    return text if text == "-" else f"{text} %"


def _classes(iou: Mapping[str, float | int | None], columns: int = 3) -> list[str]:
    if not iou:
        return []
    cells = aligned([[name, percent(value)] for name, value in iou.items()])
    columns = max(1, min(columns, 98 // (max(map(len, cells)) + 4)))
    height = math.ceil(len(cells) / columns)
    width = max(map(len, cells))
    rows = [
        "    ".join(cell.ljust(width) for cell in cells[row::height]).rstrip()
        for row in range(height)
    ]
    return ["IoU of every class in %", *(f"  {row}" for row in rows)]


def _rounds(rounds: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ["round", "step", "asked", "picked", "left over", "images", "pixels", "void", "total %"]
    rows = [
        [
            str(record["round"]),
            count(record["step"]),
            count(record["requested"]),
            count(record["picked"]),
            count(record.get("leftover")),
            count(record.get("images")),
            count(record["pixels"]),
            count(record["void_pixels"]),
            small_percent(record["fraction"]),
        ]
        for record in rounds
    ]
    rows = [head, *rows]
    title = "Labels asked for"
    if not paid(rounds):
        return [title, *_indented(rows)]
    cost = [[count(record["answers"]), hours(record["answer_seconds"])] for record in rounds]
    cost = [["answers", "hours"], *cost]
    whole = _indented([[*row, *more] for row, more in zip(rows, cost, strict=True)])
    if max(map(len, whole)) <= 100:
        return [title, *whole]
    cost = [[row[0], *more] for row, more in zip(rows, cost, strict=True)]
    return [title, *_indented(rows), "", "What it took", *_indented(cost)]


def _indented(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"  {line}" for line in aligned(rows, left=0)]


def paid(rounds: Sequence[Mapping[str, Any]]) -> str:
    """What people paid for rounds: "9 000 answers, 5.00 hours (estimated at 2 s an answer)".

    Args:
        rounds: the "round" records; empty text if one of them says nothing of it.
    """
    if not rounds or any(record.get("answers") is None for record in rounds):
        return ""
    answers = sum(record["answers"] for record in rounds)
    seconds = sum(record["answer_seconds"] for record in rounds)
    measured = sum(record["measured_answers"] for record in rounds)
    pace = f" at {seconds / answers:.2g} s an answer" if answers else ""
    if measured < answers:
        part = f"{count(measured)} of the answers measured, the others " if measured else ""
        kind = f"{part}estimated"
    else:
        kind = "measured"
    return f"{count(answers)} answers, {hours(seconds)} hours ({kind}{pace})"


def of_budget(budget: float | int | str | None) -> str:
    """A budget in words: 0.05 -> "5.00 %"; a text as it is; empty where there is none."""
    if budget is None or isinstance(budget, str):
        return budget or ""
    return f"{small_percent(budget)} %"


def _spent(rounds: Sequence[Mapping[str, Any]], budget: float | int | str | None) -> list[str]:
    pixels = sum(record["pixels"] for record in rounds)
    void = sum(record["void_pixels"] for record in rounds)
    share = percent(void / pixels if pixels else 0.0)
    of = "" if budget is None else f", of a budget of {of_budget(budget)}"
    cost = paid(rounds)
    return [
        f"{count(pixels)} pixels labelled, {count(void)} of them void ({share} %)",
        f"{small_percent(rounds[-1]['fraction'])} % of the target's pixels{of}",
        *([cost] if cost else []),
    ]
