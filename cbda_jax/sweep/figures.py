"""Figures of a sweep: scores against budget, classes, and where the picks went."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from cbda_jax import annotation
from cbda_jax.files import write_atomic
from cbda_jax.reporting import plots
from cbda_jax.sweep import table
from cbda_jax.sweep.plan import Plan
from cbda_jax.sweep.table import Row

# Arms beyond them repeat the colours with other markers and dashes.
_COLOURS = plots.SERIES
_MARKERS = ("o", "s", "^", "D", "v")
_DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))  # type: ignore[assignment]
_SCORES = {
    "miou": "mIoU [%]",
    "min_iou": "IoU of the lowest class [%]",
    "rare5_iou": "mean IoU of the five rarest classes [%]",
    "label_entropy": "entropy of the labels' classes [% of uniform]",
}


def write_figures(
    rows: Sequence[Row], plan: Plan, out: Path, folder: Path, name: str
) -> list[Path]:
    """Draws what has finished, as PNG files `NAME-WHAT.png`.

    Args:
        rows: of the finished runs.
        plan: of the sweep.
        out: folder of the sweep, whose query logs are read.
        folder: of the files; made if needed.
        name: of the sweep.

    Returns:
        The paths.

    Raises:
        InputError: a query log cannot be read, or the folder cannot be written to.
    """
    drawn: dict[str, Figure] = {}
    if any(row.budget is not None for row in rows):
        drawn |= {key: score_over_budget(rows, plan, key) for key in _SCORES}
        for key in ("miou", "rare5_iou"):
            if figure := differences(rows, plan, key):
                drawn[f"delta-{key}"] = figure
    for budget in plan.budgets:
        if len({row.arm for row in rows if row.budget == budget}) > 1:
            drawn[f"classes-b{budget:g}"] = class_differences(rows, plan, budget)
    if plan.budgets:
        budget = plan.budgets[(len(plan.budgets) - 1) // 2]
        if picks := _picks(rows, plan, out, budget):
            drawn["picks"] = picks_per_image(picks, plan.words(budget))
    paths = []
    for what, figure in drawn.items():
        content = plots.png(figure)
        paths.append(folder / f"{name}-{what}.png")
        write_atomic(paths[-1], lambda file, content=content: file.write(content))
    return paths


@mpl.rc_context(plots.STYLE)
def score_over_budget(rows: Sequence[Row], plan: Plan, key: str) -> Figure:
    """A score against the budget, with standard errors; bands for arms without a budget.

    Arms of a single budget are left to `differences`, unless no arm has several.

    Args:
        rows: of the finished runs.
        plan: of the sweep.
        key: of `table.FIGURES`.
    """
    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    axes = figure.add_subplot()
    budgets = {arm: {run.budget for run in plan.runs if run.arm == arm} for arm in plan.arms}
    bounded = [arm for arm in plan.arms if None in budgets[arm]]
    fewest = min(max(map(len, budgets.values())), 2)
    arms = [a for a in plan.arms if a not in bounded and len(budgets[a]) >= fewest]
    others = [arm for arm in arms if arm != plan.baseline]
    for place, arm in enumerate(arms):
        points = [
            (budget, value)
            for budget in plan.budgets
            if (value := _spread(rows, arm, budget, key)).n
        ]
        if not points:
            continue
        # Side by side, or the bars of one would hide the others'.
        shift = 1 + 0.012 * (place - (len(arms) - 1) / 2)
        x = [plan.shown(budget) * shift for budget, _ in points]
        y = [100 * value.mean for _, value in points]
        error = [100 * _bar(value) for _, value in points]
        colour, marker, dashes = plots.INK, "o", "-"
        if arm != plan.baseline:
            colour, marker, dashes = _look(others.index(arm))
        axes.errorbar(
            x, y, error, label=arm, color=colour, marker=marker, linestyle=dashes,
            markersize=5, linewidth=2.4 if arm == plan.baseline else 1.4, capsize=2, elinewidth=1,
        )  # fmt: skip
    # Bounds that are equal, as what all labels are whatever the loss, are one band with all names.
    bands: dict[tuple[float, float], list[str]] = {}
    for arm in bounded:
        value = _spread(rows, arm, None, key)
        if value.n:
            bands.setdefault((value.mean, _bar(value)), []).append(arm.replace("_", " "))
    for (mean, error), names in bands.items():
        _band(axes, ", ".join(names), 100 * mean, 100 * error)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([plan.shown(budget) for budget in plan.budgets]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FixedFormatter([plan.digits(b) for b in plan.budgets]))
    axes.set_xlabel(f"budget [{plan.shown_unit}]")
    axes.set_ylabel(_SCORES.get(key, key))
    # In the order of the lines' right ends, so that the eye finds them.
    handles, labels = axes.get_legend_handles_labels()
    ends = {arm: _spread(rows, arm, _largest(rows, arm), key).mean for arm in labels}
    order = sorted(range(len(labels)), key=lambda i: -ends[labels[i]])
    if labels:
        figure.legend(
            [handles[i] for i in order], [labels[i] for i in order],
            loc="outside right upper", fontsize=8.5, handlelength=3.4,
        )  # fmt: skip
    return figure


@mpl.rc_context(plots.STYLE)
def differences(rows: Sequence[Row], plan: Plan, key: str) -> Figure | None:
    """A score minus that of the baseline with the same seed.

    A line for each arm, a panel for each budget. Every seed, their mean and its standard error are
    drawn.

    Args:
        rows: of the finished runs.
        plan: of the sweep.
        key: of `table.FIGURES`.

    Returns:
        The figure; None as long as no arm shares a budget and a seed with the baseline.
    """
    found: dict[float, dict[str, list[float]]] = {}
    for budget in plan.budgets:
        theirs = table.select(rows, plan.baseline, budget)
        for arm in plan.arms:
            ours = table.select((row for row in rows if row.budget == budget), arm, budget)
            pairs = table.pairs(ours, theirs)
            values = [100 * (a.figures[key] - b.figures[key]) for a, b in pairs]
            if values and arm != plan.baseline:
                found.setdefault(budget, {})[arm] = values
    if not found:
        return None
    arms = [arm for arm in plan.arms if any(arm in values for values in found.values())]
    size = 2.0 + 2.3 * len(found), 1.0 + 0.24 * len(arms)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(1, len(found), sharey=True, squeeze=False)
    for axes, (budget, values) in zip(grid.flat, found.items(), strict=True):
        axes.axvline(0, color=plots.INK, linewidth=1)
        for arm, seeds in values.items():
            place = arms.index(arm)
            value = table.spread(seeds)
            axes.plot(seeds, [place] * len(seeds), "o", color=plots.GREY, markersize=3, alpha=0.7)
            axes.errorbar(
                value.mean, place, xerr=_bar(value), color=_COLOURS[0], marker="D", markersize=4.5,
                capsize=2.5, linewidth=1.4,
            )  # fmt: skip
        axes.set_title(plan.words(budget), fontsize=10, loc="left")
    first = grid[0, 0]
    first.set_yticks(range(len(arms)), arms)
    first.set_ylim(len(arms) - 0.5, -0.5)
    figure.supxlabel(f"{_SCORES.get(key, key)} minus that of {plan.baseline}, points", fontsize=9)
    return figure


@mpl.rc_context(plots.STYLE)
def class_differences(rows: Sequence[Row], plan: Plan, budget: float | int) -> Figure:
    """Difference to the baseline of every class's IoU, in points; paired means over seeds.

    Args:
        rows: of the finished runs.
        plan: of the sweep.
        budget: at which arms are compared; arms without one are shown too.
    """
    theirs = table.select(rows, plan.baseline, budget)
    classes = list(next(iter(rows)).iou)
    rare = next(iter(rows)).rare
    arms = [
        arm
        for arm in plan.arms
        if arm != plan.baseline and set(table.select(rows, arm, budget)) & set(theirs)
    ]
    values = np.full((len(arms), len(classes)), np.nan)
    for i, arm in enumerate(arms):
        ours = table.select(rows, arm, budget)
        for j, name in enumerate(classes):
            found = table.spread(a.iou[name] - b.iou[name] for a, b in table.pairs(ours, theirs))
            values[i, j] = 100 * found.mean
    figure = Figure(figsize=(2.6 + 0.5 * len(classes), 1.9 + 0.3 * len(arms)), layout="constrained")
    axes = figure.add_subplot()
    # Bounds are far away; they may leave the scale that the arms need.
    known = np.abs(values[np.isfinite(values)])
    limit = max(float(np.quantile(known, 0.9)) if known.size else 1.0, 1.0)
    image = axes.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    for i, j in np.ndindex(*values.shape):
        if np.isfinite(values[i, j]):
            colour = "white" if abs(values[i, j]) > 0.65 * limit else plots.INK
            text = f"{values[i, j]:+.1f}"
            axes.text(j, i, text, ha="center", va="center", fontsize=7.5, color=colour)
    names = [f"{name} *" if name in rare else name for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(arms)), arms)
    axes.set_title(
        f"IoU minus that of {plan.baseline} at {plan.words(budget)}, in points "
        "(*: the five rarest classes)",
        fontsize=10, loc="left",
    )  # fmt: skip
    axes.grid(visible=False)
    axes.tick_params(length=0)
    figure.colorbar(image, ax=axes, pad=0.01, extend="both")
    return figure


@mpl.rc_context(plots.STYLE)
def picks_per_image(
    picks: Mapping[str, tuple[str, Int64[np.ndarray, " n"]]], budget: str
) -> Figure:
    """How many picks each image has, a panel for each arm.

    Args:
        picks: by arm, its allocation ("per_image" or "global") and the picks of every image of
            every seed.
        budget: in words.
    """
    columns = min(4, len(picks))
    height = -(-len(picks) // columns)
    figure = Figure(figsize=(2.5 * columns + 0.6, 1.7 * height + 0.9), layout="constrained")
    grid = figure.subplots(height, columns, sharex=True, squeeze=False)
    most = max(int(counts.max(initial=1)) for _, counts in picks.values())
    bins = np.linspace(-0.5, most + 0.5, min(most + 2, 41))
    for place in range(len(picks), grid.size):
        grid.flat[place].set_visible(False)
        grid.flat[place - columns].tick_params(labelbottom=True)
    for axes, (arm, (allocation, counts)) in zip(grid.flat, picks.items(), strict=False):
        colour = _COLOURS[1] if allocation == "global" else plots.GREY
        axes.hist(counts, bins=bins, color=colour)
        axes.set_title(arm, fontsize=9, loc="left")
        none = f"{100 * np.mean(counts == 0):.1f} % none, " if np.any(counts == 0) else ""
        note = f"{none}at most {counts.max(initial=0)}"
        axes.text(1, 1, note, transform=axes.transAxes, ha="right", va="bottom", fontsize=7.5)
        axes.tick_params(labelsize=8)
    figure.supxlabel(
        f"picks in an image at {budget} (grey: per image; orange: one budget for all)",
        fontsize=9,
    )
    figure.supylabel("images, of all seeds", fontsize=9)
    return figure


def _picks(
    rows: Sequence[Row], plan: Plan, out: Path, budget: float | int
) -> dict[str, tuple[str, Int64[np.ndarray, " n"]]]:
    """Picks of every image, of the baseline and the arms of global allocation."""
    done = {(row.arm, row.budget, row.seed) for row in rows}
    found: dict[str, tuple[str, list[np.ndarray]]] = {}
    for run in plan.runs:
        shown = run.arm == plan.baseline or run.allocation == "global"
        if not shown or run.budget != budget or (run.arm, run.budget, run.seed) not in done:
            continue
        rounds = annotation.QueryLog(out / "runs" / run.name / "queries").rounds
        if not rounds:
            # Of a row that came from an earlier table.
            continue
        counts = sum(
            np.bincount(held.image, minlength=len(held.image_ids)).astype(np.int64)
            for held in rounds
        )
        parts = found.setdefault(run.arm, (run.allocation or "", []))[1]
        parts.append(np.asarray(counts, np.int64))
    return {arm: (kind, np.concatenate(parts)) for arm, (kind, parts) in found.items()}


def _spread(rows: Iterable[Row], arm: str, budget: float | int | None, key: str) -> table.Spread:
    return table.spread(row.figures[key] for row in table.select(rows, arm, budget).values())


def _largest(rows: Iterable[Row], arm: str) -> float | None:
    return max((row.budget for row in rows if row.arm == arm and row.budget), default=None)


def _look(place: int) -> tuple[str, str, object]:
    turn = place // len(_COLOURS)
    return _COLOURS[place % len(_COLOURS)], _MARKERS[turn % 5], _DASHES[turn % 3]


def _bar(value: table.Spread) -> float:
    """Half the length of an error bar; none for a single seed, which has no error."""
    return 0.0 if math.isnan(value.error) else value.error


def _band(axes: Axes, name: str, y: float, error: float) -> None:
    axes.axhspan(y - error, y + error, color=plots.GREY, alpha=0.3, linewidth=0)
    axes.axhline(y, color=plots.GREY, linewidth=1.2)
    axes.annotate(
        name, (1, y), xycoords=("axes fraction", "data"),
        xytext=(-3, 3), textcoords="offset points", ha="right", fontsize=8,
    )  # fmt: skip
