"""The part of the report on what was labelled."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from cbda_jax.reporting import label_plots
from cbda_jax.reporting.tables import count, percent


def spent_rows(analysis: Mapping[str, Any]) -> list[list[str]]:
    """Where the budget went: a row of cells for every round, and one of all together.

    Args:
        analysis: from `cbda_jax.annotation.analyse`.
    """
    last = analysis["rounds"][-1]["label_entropy_so_far"]
    total = {**analysis["total"], "round": "all", "label_entropy_so_far": last}
    return [_row(entry) for entry in (*analysis["rounds"], total)]


def _row(entry: Mapping[str, Any]) -> list[str]:
    regions, spread = entry["regions"], entry["picks_per_image"]
    parts = (
        *("void_regions", "partly_void_regions", "boundary_regions", "unranked_regions"),
        *("right", "void_centres"),
    )
    return [
        str(entry["round"]),
        count(regions),
        *(
            percent(entry[name] if name == "right" else entry[name] / regions if regions else None)
            for name in parts
        ),
        _fraction(entry["label_entropy"]),
        _fraction(entry["label_entropy_so_far"]),
        f"{count(spread['min'])} / {spread['median']:g} / {count(spread['max'])}",
        percent(spread["without"] / spread["images"]),
    ]


def _fraction(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def note(analysis: Mapping[str, Any]) -> str:
    """The labels in a sentence or two."""
    total, pool = analysis["total"], analysis["pool"]
    parts = [f"{count(total['pixels'])} pixels in {count(total['regions'])} regions."]
    if total.get("unanswered_pixels"):
        parts.append(
            f"Without an answer, and not counted: {count(total['unanswered_pixels'])} pixels, "
            f"{count(total['unanswered_regions'])} regions as a whole."
        )
    if total["label_entropy"] is not None:
        beside = f", that of the whole pool {_fraction(pool['label_entropy'])}" if pool else ""
        parts.append(
            f"The entropy of their class histogram is {_fraction(total['label_entropy'])}{beside}."
        )
    never = [name for name, pixels in total["class_pixels"].items() if not pixels]
    if never:
        parts.append(f"Never labelled: {', '.join(never)}.")
    return " ".join(parts)


def figures(analysis: Mapping[str, Any]) -> list[tuple[str, Figure]]:
    """The charts, each with its caption."""
    total = analysis["total"]
    return [
        ("Share of each class in the labelled pixels, in %", label_plots.class_shares(analysis)),
        ("Reliability of the predicted class at the picks", label_plots.reliability(total)),
        ("What picks predicted as a class were, in %", label_plots.confusion(total)),
        ("Picks per image, all rounds together", label_plots.picks_per_image(total)),
    ]
