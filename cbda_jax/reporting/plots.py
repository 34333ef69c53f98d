"""Charts of a run, as matplotlib figures without any global state.

Each function takes records of `metrics.jsonl` or what is counted in them, and returns a figure for
`svg` or `png`. IoUs are fractions in the records and percent in the charts.
"""

import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cbda_jax.reporting.tables import count, percent

INK = "#1f2328"
GRID = "#d5d9de"
BLUE = "#2f74d0"
ORANGE = "#e08a1e"
GREY = "#8f98a3"
# Okabe and Ito's colours, which the colour-blind can tell apart, without their yellow, too pale for
# lines; and dashes, for those who see no colours at all.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
_LOSSES = {
    "loss": ("total", "#70777f", "-"),
    "cross_entropy_source": ("cross-entropy, source", SERIES[0], "-"),
    "cross_entropy_target": ("cross-entropy, target", SERIES[1], "--"),
    "local_consistency": ("local consistency", SERIES[2], "-."),
    "negative_learning": ("negative learning", SERIES[3], ":"),
}
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "path",
    "svg.hashsalt": "cbda_jax",
}
_POINTS = 400  # of a line: more than a chart has pixels to show


def svg(figure: Figure, label: str) -> str:
    """The figure as an `<svg>` element, whose text and grid have the colours of the page around it.

    Args:
        figure: what to draw; its background is left out.
        label: what it shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor").replace(GRID, "var(--grid)")
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as a PNG file on white."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    return buffer.getvalue()


@mpl.rc_context(STYLE)
def scores_over_budget(evaluations: Sequence[Mapping[str, Any]]) -> Figure:
    """MIoU and IoU of the lowest class against the labelled fraction of the target's pixels.

    A line joins the last evaluations at each fraction; earlier ones at it are pale.

    Args:
        evaluations: the "evaluation" records of one split, in order.
    """
    last = {record["labelled_fraction"]: record for record in evaluations}
    figure, axes = new_figure(6.2, 3.5)
    for key, name, colour, mark in _SCORES:
        x, y = _columns(evaluations, "labelled_fraction", key)
        axes.plot(100 * x, 100 * y, mark, color=colour, markersize=4, alpha=0.3, linewidth=0)
        x, y = _columns(last.values(), "labelled_fraction", key)
        axes.plot(
            100 * x, 100 * y, f"{mark}-", color=colour, markersize=5.5, linewidth=2, label=name
        )
    axes.set_xlabel("labelled pixels of the target [%]")
    _finish_scores(axes)
    return figure


@mpl.rc_context(STYLE)
def scores_over_steps(
    evaluations: Sequence[Mapping[str, Any]], rounds: Sequence[Mapping[str, Any]]
) -> Figure:
    """MIoU and IoU of the lowest class over training, with a mark at each round of questions."""
    figure, axes = new_figure(6.2, 3.5)
    for key, name, colour, mark in _SCORES:
        x, y = _columns(evaluations, "step", key)
        axes.plot(x, 100 * y, f"{mark}-", color=colour, markersize=4.5, linewidth=2, label=name)
    _mark_rounds(axes, rounds)
    _steps_axis(axes)
    _finish_scores(axes)
    return figure


@mpl.rc_context(STYLE)
def curves(
    runs: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], over: str, label: str
) -> Figure:
    """MIoU of several runs in one chart, each with a colour, a dash and a mark of its own.

    Args:
        runs: for each its name and its "evaluation" records of one split, in order.
        over: the value of the records along the horizontal axis, "step" or a fraction.
        label: of that axis.
    """
    figure, axes = new_figure(6.2, 3.5)
    scale = 1 if over == "step" else 100
    for place, (name, records) in enumerate(runs):
        x, y = _columns(records, over, "miou")
        axes.plot(
            scale * x,
            100 * y,
            linestyle=DASHES[place % len(DASHES)],
            marker="os^Dv*"[place % 6],
            color=SERIES[place % len(SERIES)],
            markersize=4.5,
            linewidth=1.8,
            label=name,
        )
    if over == "step":
        _steps_axis(axes)
    axes.set_xlabel(label)
    _finish_scores(axes)
    axes.set_ylabel("mIoU [%]")
    return figure


@mpl.rc_context(STYLE)
def class_iou(
    iou: Mapping[str, float | None],
    class_names: Sequence[str],
    palette: UInt8[np.ndarray, "classes 3"],
) -> Figure:
    """IoU of every class, from the highest to the lowest, in the classes' colours."""
    order = sorted(
        range(len(class_names)),
        key=lambda i: -1.0 if (v := iou.get(class_names[i])) is None else v,
    )
    figure, axes = new_figure(6.2, 0.27 * len(order) + 0.9)
    for place, i in enumerate(order):
        value = iou.get(class_names[i])
        if value is not None:
            axes.barh(
                place, 100 * value, 0.74, color=palette[i] / 255.0, edgecolor=INK, linewidth=0.8
            )
        text = "does not occur" if value is None else percent(value)
        axes.text(100 * (value or 0) + 1, place, text, va="center", fontsize=9)
    axes.set_yticks(range(len(order)), [class_names[i] for i in order])
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlim(0, 107)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("IoU [%]")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return figure


@mpl.rc_context(STYLE)
def class_histogram(
    labelled: Mapping[str, int],
    void: int,
    truth: Mapping[str, int] | None,
    class_names: Sequence[str],
) -> Figure:
    """Which classes were labelled, beside how often they occur; logarithmic shares of pixels.

    Args:
        labelled: pixels labelled in all rounds, by class.
        void: pixels asked about that have no class.
        truth: pixels of the whole target set by class, where its ground truth is known.
        class_names: the classes to show.
    """
    asked = sum(labelled.values()) + void
    series = [("labelled", {**labelled, "void": void}, asked, ORANGE)]
    if truth and sum(truth.values()):
        series.append(("whole target set", dict(truth), sum(truth.values()), GREY))
    by = series[-1][1]
    names = [*(["void"] if void else []), *sorted(class_names, key=lambda name: by.get(name, 0))]
    shares = [
        [100 * counts.get(name, 0) / max(total, 1) for name in names]
        for _, counts, total, _ in series
    ]
    lowest = min((share for row in shares for share in row if share > 0), default=1.0)
    left = 10.0 ** np.floor(np.log10(lowest) - 0.02)
    figure, axes = new_figure(6.2, 0.31 * len(names) + 1.2)
    height = 0.8 / len(series)
    for k, ((name, _, total, colour), row) in enumerate(zip(series, shares, strict=True)):
        places = np.arange(len(names)) + (len(series) - 1) / 2 * height - k * height
        lengths = [max(share - left, 0.0) for share in row]
        label = f"{name} ({count(total)} pixels)"
        axes.barh(places, lengths, height, left, color=colour, label=label)
        for place, entry, share in zip(places, names, row, strict=True):
            if share == 0 and entry != "void":
                axes.text(left * 1.1, place, "none", va="center", fontsize=7.5, color=colour)
    axes.set_xscale("log")
    axes.set_xlim(left, 100)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel("share of pixels [%]")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    add_legend(axes)
    return figure


@mpl.rc_context(STYLE)
def losses(train: Sequence[Mapping[str, Any]], rounds: Sequence[Mapping[str, Any]]) -> Figure:
    """The training losses over steps, averaged where there are more than a chart can show."""
    figure, axes = new_figure(6.2, 3.8)
    for key, (name, colour, dash) in _LOSSES.items():
        x, y = _columns(train, "step", key)
        y = np.where(y > 0, y, np.nan)
        if np.isfinite(y).any():
            width = 2.4 if key == "loss" else 1.4
            axes.plot(*_thin(x, y), linestyle=dash, color=colour, linewidth=width, label=name)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel("loss")
    _mark_rounds(axes, rounds)
    _steps_axis(axes)
    add_legend(axes)
    return figure


_SCORES = (("miou", "mIoU", SERIES[0], "o"), ("min_iou", "lowest class", SERIES[1], "s"))


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of a size in inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _columns(records: Any, *keys: str) -> list[np.ndarray]:
    """The values of each key as float64 [n]; NaN where a record has none."""
    return [
        np.array([np.nan if (v := record.get(key)) is None else v for record in records], float)
        for key in keys
    ]


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    block = -(-len(x) // _POINTS)
    if block == 1:
        return x, y
    starts = np.arange(0, len(x), block)
    known = np.add.reduceat(np.isfinite(y).astype(float), starts)
    total = np.add.reduceat(np.nan_to_num(y), starts)
    mean = np.divide(total, known, out=np.full_like(total, np.nan), where=known > 0)
    return np.add.reduceat(x, starts) / np.diff(np.append(starts, len(x))), mean


def _mark_rounds(axes: Axes, rounds: Sequence[Mapping[str, Any]]) -> None:
    for record in rounds:
        axes.axvline(record["step"], color=INK, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
        axes.annotate(
            str(record["round"]),
            (record["step"], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )


def _steps_axis(axes: Axes) -> None:
    axes.set_xlabel("training step" + (" (dotted: rounds)" if len(axes.texts) else ""))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))


def _finish_scores(axes: Axes) -> None:
    axes.set_ylabel("IoU [%]")
    top = max(np.nan_to_num(line.get_ydata()).max(initial=0) for line in axes.lines)
    axes.set_ylim(0, min(100, 10 * np.ceil(top / 10 + 0.3)))
    add_legend(axes)


def add_legend(axes: Axes, *, columns: int = 3) -> None:
    """A legend above the axes, if anything in them has a label."""
    handles, labels = axes.get_legend_handles_labels()
    figure = axes.get_figure(root=True)
    if handles and figure is not None:
        figure.legend(
            handles,
            labels,
            loc="outside upper left",
            ncols=columns,
            fontsize=9,
            handlelength=1.6,
            columnspacing=1.4,
            borderaxespad=0.2,
        )
