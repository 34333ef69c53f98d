"""Charts of what was labelled, from the analysis of `cbda_jax.annotation.analysis`."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Int64
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cbda_jax.reporting.plots import BLUE, INK, ORANGE, STYLE, add_legend, new_figure
from cbda_jax.reporting.tables import count

_SHADES = LinearSegmentedColormap.from_list("shades", ["#eef3fb", BLUE, "#102a52"])
_LOWEST = 0.1  # percent; what is below has the palest shade


@mpl.rc_context(STYLE)
def class_shares(analysis: Mapping[str, Any]) -> Figure:
    """The share of each class among the labelled pixels, by round; shades are logarithmic.

    Rows are sorted by the class's share of the whole pool, or of the labels where that is not
    known; the last row is void.
    """
    total, pool, rounds = analysis["total"], analysis["pool"], analysis["rounds"]
    shares = (pool or total)["class_shares"]
    names = sorted(shares, key=lambda name: -(shares[name] or 0))
    columns = [(str(entry["round"]), entry) for entry in rounds]
    if len(rounds) > 1:
        columns.append(("all", total))
    if pool:
        columns.append(("whole\npool", pool))
    values = np.array(
        [
            [_share(entry, name) for _, entry in columns]
            for name in [*names, *(["void"] if total["void_pixels"] else [])]
        ]
    )
    if len(values) > len(names):
        names.append("void")
    figure, axes = new_figure(6.2, 0.27 * len(names) + 1.0)
    _cells(axes, 100 * values, LogNorm(_LOWEST, 100, clip=True))
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(len(columns)), [name for name, _ in columns])
    gaps = [len(rounds)] if len(columns) > len(rounds) else []
    gaps += [len(columns) - 1] if pool and len(rounds) > 1 else []
    for gap in gaps:
        axes.axvline(gap - 0.5, color=INK, linewidth=1.2)
    axes.set_xlabel("round")
    return figure


@mpl.rc_context(STYLE)
def reliability(total: Mapping[str, Any]) -> Figure:
    """Precision and recall of the predicted class at the picks, with the number of picks.

    Args:
        total: an entry of the analysis. Classes are sorted by precision.
    """
    table = total["reliability"]
    names = sorted(
        table,
        key=lambda name: (
            -1.0 if (value := table[name]["precision"]) is None else value,
            table[name]["recall"] or 0.0,
        ),
    )
    figure, axes = new_figure(6.2, 0.34 * len(names) + 1.2)
    series = (
        ("precision", "predicted", "precision (picks predicted as the class)", BLUE),
        ("recall", "true", "recall (picks that are of the class)", ORANGE),
    )
    for k, (key, number, label, colour) in enumerate(series):
        places = np.arange(len(names)) + (0.2 if k == 0 else -0.2)
        lengths = [100 * (table[name][key] or 0.0) for name in names]
        axes.barh(places, lengths, 0.4, color=colour, label=label)
        for place, length, name in zip(places, lengths, names, strict=True):
            value = table[name][key]
            text = "none" if value is None else f"{length:.0f} % of {_known(table[name], number)}"
            axes.text(length + 1, place, text, va="center", fontsize=7.5)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlim(0, 122)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("share of the picks [%]")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    add_legend(axes, columns=2)
    return figure


@mpl.rc_context(STYLE)
def confusion(total: Mapping[str, Any]) -> Figure:
    """What picks predicted as a class turned out to be, in percent of them.

    Args:
        total: an entry of the analysis.
    """
    names = list(total["class_pixels"])
    answers = [*names, *(["void"] if total["void_centres"] else [])]
    found = total["confusion"]
    counts = np.array([[found.get(p, {}).get(t, 0) for t in answers] for p in names], np.int64)
    return shares_figure(
        counts, names, answers, rows_name="predicted", columns_name="answered at the centre"
    )


@mpl.rc_context(STYLE)
def shares_figure(
    counts: Int64[np.ndarray, "rows columns"],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    rows_name: str,
    columns_name: str,
) -> Figure:
    """A table of counts in percent of its rows, each cell in a shade of its value."""
    whole = counts.sum(axis=1, keepdims=True)
    shares = np.full(counts.shape, np.nan)
    np.divide(100 * counts, whole, out=shares, where=whole > 0)
    figure, axes = new_figure(6.2, 0.27 * len(rows) + 2.0)
    _cells(axes, shares, Normalize(0, 100), short=True)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_ylabel(rows_name)
    axes.set_xlabel(columns_name)
    return figure


@mpl.rc_context(STYLE)
def picks_per_image(total: Mapping[str, Any]) -> Figure:
    """How many images have how many picks, all rounds together.

    Args:
        total: an entry of the analysis.
    """
    spread = total["picks_per_image"]
    edges = np.array(spread["histogram"]["edges"])
    images = spread["histogram"]["images"]
    width = edges[1] - edges[0]
    figure, axes = new_figure(6.2, 3.0)
    axes.bar(edges[:-1], images, width * 0.92, align="edge" if width > 1 else "center", color=BLUE)
    if width == 1 and len(images) <= 12:
        axes.set_xticks(edges[:-1])
    if len(images) == 1:
        axes.set_xlim(edges[0] - 4, edges[0] + 4)
    axes.set_xlabel("picks in the image" + (f" (bars {width} wide)" if width > 1 else ""))
    axes.set_ylabel("images")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(visible=False, axis="x")
    return figure


def _share(entry: Mapping[str, Any], name: str) -> float:
    value = entry.get("void_share") if name == "void" else entry["class_shares"][name]
    return np.nan if value is None else value


def _known(row: Mapping[str, Any], number: str) -> str:
    """What fractions are taken of: the picks whose centre is not void."""
    return count(row[number] - (row["void"] if number == "predicted" else 0))


def _cells(axes: Axes, values: np.ndarray, norm: Normalize, *, short: bool = False) -> None:
    """A table of percentages [rows, columns], each in a shade of its value; NaN is left empty."""
    rows, columns = values.shape
    axes.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        np.where(values > 0, values, np.nan),
        cmap=_SHADES,
        norm=norm,
        edgecolors="none",
    )
    size = min(8.5, 140 / columns) if short else 8.5
    for row in range(rows):
        for column in range(columns):
            text, ink = _text(values[row, column], norm, short=short)
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=ink)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _text(value: float, norm: Normalize, *, short: bool) -> tuple[str, str]:
    """The text of a cell and its colour, which is that of the page where the cell has no shade."""
    if not value > 0:
        return ("" if short or np.isnan(value) else "0"), INK
    if short:
        text = f"{value:.0f}" if value >= 0.5 else ""
    else:
        text = f"{value:.1f}" if value >= 1 else f"{value:.2g}" if value >= 0.01 else "< 0.01"
    return text, "#ffffff" if norm(value) > 0.45 else "#101418"
