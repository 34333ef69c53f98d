"""Results of a sweep: a row for each run, means, and paired differences."""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cbda_jax import annotation, reporting
from cbda_jax.config import data_sets
from cbda_jax.errors import InputError
from cbda_jax.files import write_bytes
from cbda_jax.run.workdir import read_result
from cbda_jax.sweep import significance
from cbda_jax.sweep.plan import Plan

_COPIED = ("miou", "min_iou", "worst5_iou")
FIGURES = (
    *(*_COPIED, "rare5_iou", "val_miou"),
    *("label_entropy", "labelled_fraction", "void_fraction", "answers", "hours"),
)
"""Columns of the tidy table behind method, budget and seed: fractions, but for the last two, which
are what people paid in all."""


class Row(NamedTuple):
    """The figures of one finished run; NaN where there is none.

    Attributes:
        arm: name of the arm.
        budget: fraction of the target's pixels; None for an arm without rounds.
        seed: of the run.
        figures: values by the names of `FIGURES`.
        iou: of each class.
        rare: the classes that `rare5_iou` is the mean of.
        config: `Run.digest` of the run; "": not known.
    """

    arm: str
    budget: float | int | None
    seed: int
    figures: Mapping[str, float]
    iou: Mapping[str, float]
    rare: tuple[str, ...]
    config: str = ""


class Spread(NamedTuple):
    """A mean over seeds.

    Attributes:
        mean: NaN where there is no value.
        error: standard error, the sample's standard deviation over sqrt(n); NaN for n < 2.
        n: number of values.
    """

    mean: float
    error: float
    n: int


def collect(plan: Plan, out: Path, earlier: Mapping[str, Row] | None = None) -> list[Row]:
    """The rows of all finished runs, in the plan's order.

    Args:
        plan: of the sweep.
        out: its folder.
        earlier: rows of runs that are not there any more, by name, of `read_rows`.

    Raises:
        InputError: the metrics of a run cannot be read.
    """
    rows = []
    for run in plan.runs:
        workdir = out / "runs" / run.name
        result = read_result(workdir)
        if result is None and earlier and run.name in earlier:
            rows.append(earlier[run.name])
        if result is not None:
            records = reporting.read_metrics(workdir)
            pool = next(r for r in records if r["kind"] == "pool")
            watched = (r for r in reversed(records) if r["kind"] == "evaluation" and not r["final"])
            rows.append(
                make_row(
                    *(run.arm, run.budget, run.seed),
                    result,
                    pool["class_pixels"],
                    validation=next(watched, None),
                )._replace(config=run.digest)
            )
    return rows


def read_rows(path: Path, plan: Plan) -> dict[str, Row]:
    """The rows of a table that an earlier stretch of a sweep wrote, by the name of the run.

    Args:
        path: of the CSV file.
        plan: of the sweep, in which rows of other runs are passed over.

    Raises:
        InputError: it is no such table, or a run's config was another one then.
    """
    runs = {
        (run.arm, "" if run.budget is None else f"{run.budget:g}", run.seed): run
        for run in plan.runs
    }
    rows = {}
    try:
        with path.open(newline="") as file:
            table = csv.DictReader(file)
            lines = [*table]
        needed = ("method", "budget", "seed", *FIGURES, "rare", "config")
        if missing := [name for name in needed if name not in (table.fieldnames or ())]:
            raise ValueError(f"no column {', '.join(missing)}")
        for line in lines:
            run = runs.get((line["method"], line["budget"], int(line["seed"])))
            if run is None:
                continue
            if line["config"] != run.digest:
                raise InputError(
                    f"{path}: {run.name} of another config found ({line['config']}), expected "
                    f"{run.digest}; use the sweep's config of then, or delete the line to run it "
                    "again"
                )
            classes = data_sets.space(run.config).classes
            cells = {name: float(line[name] or "nan") for name in FIGURES}
            iou = {c: float(line[_column(c)] or "nan") for c in classes if _column(c) in line}
            rare = tuple(line["rare"].split(";")) if line["rare"] else ()
            rows[run.name] = Row(run.arm, run.budget, run.seed, cells, iou, rare, run.digest)
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: cannot be read as the table of a sweep ({type(error).__name__}: {error}), "
            "expected a CSV file that scripts/sweep.py wrote; correct --earlier"
        ) from error
    return rows


def make_row(
    arm: str,
    budget: float | int | None,
    seed: int,
    result: Mapping[str, Any],
    pool: Mapping[str, int],
    *,
    validation: Mapping[str, Any] | None = None,
) -> Row:
    """The row of a run.

    Args:
        arm: name of the arm.
        budget: fraction of the target's pixels; None for an arm without rounds.
        seed: of the run.
        result: of `result.json`.
        pool: pixels of every class in the whole target set.
        validation: the last evaluation before the end, for `val_miou`.
    """
    found = result["evaluation"]
    iou = {name: _number(found["iou"].get(name)) for name in pool}
    rare = rarest(pool)
    pixels = sum(record["pixels"] for record in result["rounds"])
    void = sum(record["void_pixels"] for record in result["rounds"])
    labelled = {
        name: sum(record["class_pixels"][name] for record in result["rounds"]) for name in pool
    }
    if not result["rounds"] and found["labelled_fraction"] == 1:
        labelled = dict(pool)
    figures = {name: _number(found[name]) for name in _COPIED}
    figures |= {
        "rare5_iou": _mean([iou[name] for name in rare]),
        "val_miou": _number(None if validation is None else validation["miou"]),
        "label_entropy": _number(annotation.label_entropy(np.array(list(labelled.values())))),
        "labelled_fraction": float(found["labelled_fraction"]),
        "void_fraction": void / pixels if pixels else math.nan,
        # Runs of before 0.3 do not say.
        "answers": _number(result.get("cost", {}).get("answers")),
        "hours": _number(result.get("cost", {}).get("hours")),
    }
    return Row(arm, budget, seed, figures, iou, rare)


def rarest(pool: Mapping[str, int], count: int = 5) -> tuple[str, ...]:
    """The classes with the fewest pixels among those that occur, the rarest first."""
    present = [name for name, pixels in pool.items() if pixels > 0]
    return tuple(sorted(present, key=pool.__getitem__)[:count])


def spread(values: Iterable[float]) -> Spread:
    """Mean and standard error of the values that are numbers."""
    known = [value for value in values if not math.isnan(value)]
    error = statistics.stdev(known) / math.sqrt(len(known)) if len(known) > 1 else math.nan
    return Spread(_mean(known), error, len(known))


def select(rows: Iterable[Row], arm: str, budget: float | int | None) -> dict[int, Row]:
    """The rows of an arm by seed, at one budget; for an arm without rounds, at any."""
    return {row.seed: row for row in rows if row.arm == arm and row.budget in (budget, None)}


def paired(ours: Mapping[int, Row], theirs: Mapping[int, Row], figure: str) -> Spread:
    """Mean difference of a figure over the seeds that both have, and its standard error.

    Arms share seed and warm start, so the error is that of the differences, not of the two means.
    """
    return spread(a.figures[figure] - b.figures[figure] for a, b in pairs(ours, theirs))


def pairs(ours: Mapping[int, Row], theirs: Mapping[int, Row]) -> list[tuple[Row, Row]]:
    """Pairs of rows, one pair for each seed that both have."""
    return [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]


def csv_text(rows: Sequence[Row]) -> str:
    """The tidy table: a line for each run, fractions with six digits, empty where there is none."""
    classes = list(dict.fromkeys(name for row in rows for name in row.iou))
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    names = map(_column, classes)
    writer.writerow(["method", "budget", "seed", *FIGURES, *names, "rare", "config"])
    for row in rows:
        values = [row.figures[name] for name in FIGURES]
        values += [row.iou.get(name, math.nan) for name in classes]
        cells = ["" if math.isnan(value) else f"{value:.6f}" for value in values]
        budget = "" if row.budget is None else f"{row.budget:g}"
        writer.writerow([row.arm, budget, row.seed, *cells, ";".join(row.rare), row.config])
    return content.getvalue()


def _column(name: str) -> str:
    return f"iou_{name.replace(' ', '_')}"


def markdown(rows: Sequence[Row], plan: Plan, title: str, images: Sequence[Path] = ()) -> str:
    """A table for each budget, in percent, and the figures below.

    Args:
        rows: of the finished runs.
        plan: of the sweep.
        title: heading.
        images: figures in the folder of the text.
    """
    rare = next((row.rare for row in rows), ())
    of_split = f", evaluated on {plan.evaluated}" if plan.evaluated else ""
    lines = [
        f"# {title}",
        "",
        f"{len(rows)} of {len(plan.runs)} runs{of_split}. In percent: means over n seeds ± "
        f"standard errors. Δ is the difference to `{plan.baseline}`, paired over the seeds that "
        "both have (as many as behind it in brackets where they are fewer than n). "
        "Five lowest: mean IoU of the five lowest classes of a run. "
        f"Rare: mean IoU of the five rarest classes of the target ({', '.join(rare)}). "
        "Δ val.: difference in mIoU on the validation split, just before the end. "
        "Entropy: of the class histogram of the labels, over that of the uniform one. "
        "Answers: keys of a person, in all; hours: measured, or estimated at "
        "annotation.seconds_per_answer.",
    ]
    begun = [budget for budget in plan.budgets if any(row.budget == budget for row in rows)]
    # Without any, one table has the arms that need no budget, and names the others.
    shown = begun or plan.budgets[:1] or (None,)
    if later := [plan.words(budget) for budget in plan.budgets if budget not in shown]:
        lines += ["", f"No run yet at {', '.join(later)}."]
    for budget in shown:
        heading = "No budget" if budget is None else f"Budget {plan.words(budget)}"
        lines += ["", f"## {heading}", "", *_of_budget(rows, plan, budget)]
    lines += _tests(rows, plan)
    lines += [line for path in images for line in ("", f"![{path.stem}]({path.name})")]
    return "\n".join(lines) + "\n"


_SHOWN = {
    "miou": "mIoU",
    "min_iou": "lowest class",
    "worst5_iou": "five lowest",
    "rare5_iou": "rare",
}


def _of_budget(rows: Sequence[Row], plan: Plan, budget: float | int | None) -> list[str]:
    """The table of one budget, and the arms that have no run in it."""
    acquiring = {run.arm for run in plan.runs if run.budget is not None}
    theirs = select(rows, plan.baseline, budget)
    body, missing = [], []
    for arm in plan.arms:
        ours = select(rows, arm, budget)
        planned = any(run.arm == arm and run.budget in (budget, None) for run in plan.runs)
        if not planned or (budget is None and arm in acquiring):
            continue
        if not ours:
            missing.append(f"`{arm}`")
            continue
        cells = [f"`{arm}`", str(len(ours))]
        for name in _SHOWN:
            cells.append(_cell(spread(row.figures[name] for row in ours.values())))
            cells.append("" if arm == plan.baseline else _difference(ours, theirs, name))
        cells.append("" if arm == plan.baseline else _difference(ours, theirs, "val_miou"))
        cells.append(_cell(spread(row.figures["label_entropy"] for row in ours.values())))
        share = spread(row.figures["labelled_fraction"] for row in ours.values()).mean
        cells.append("" if math.isnan(share) else f"{100 * share:.3g}")
        for name, form in (("answers", ",.0f"), ("hours", ",.3g")):
            mean = spread(row.figures[name] for row in ours.values()).mean
            cells.append("" if math.isnan(mean) else f"{mean:{form}}")
        body.append(f"| {' | '.join(cells)} |")
    lines = []
    if body:
        titles = [column for title in _SHOWN.values() for column in (title, "Δ")]
        titles = ["arm", "n", *titles, "Δ val.", "entropy", "labelled", "answers", "hours"]
        lines += [f"| {' | '.join(titles)} |", "| --- |" + " ---: |" * (len(titles) - 1), *body]
    if missing:
        lines += [*([""] if body else []), f"Not run yet: {', '.join(missing)}."]
    return lines


_TESTED = {"miou": "mIoU", "min_iou": "lowest class"}


def _tests(rows: Sequence[Row], plan: Plan) -> list[str]:
    """The paired tests of all arms that ask, each budget and figure a look of its own."""
    compared = [(arm, plan.baseline) for arm in plan.arms if arm != plan.baseline]
    looks = []
    for budget in plan.budgets:
        for arm, other in [*compared, *plan.pairs]:
            if not any(run.arm == arm and run.budget == budget for run in plan.runs):
                continue
            found = pairs(select(rows, arm, budget), select(rows, other, budget))
            for figure, words in _TESTED.items():
                differences = [a.figures[figure] - b.figures[figure] for a, b in found]
                differences = [value for value in differences if not math.isnan(value)]
                if len(differences) > 1:
                    looks.append((budget, arm, other, words, differences))
    if not looks:
        return []
    p_values = [significance.paired_t(differences) for *_, differences in looks]
    corrected = significance.holm(p_values)
    lines = [
        *("", "## Paired tests", ""),
        f"{len(looks)} looks: arms x budgets x figures. p: two-sided, of Student's paired t test. "
        "Exact: of the permutation test, all signs of the differences, which for n pairs is never "
        "below 2 / 2^n. Of all: the first p corrected for the number of looks (Holm); looks at "
        "other sweeps, and at arms that were given up, are not in it.",
        "",
        "| budget | arm | to | figure | n | Δ | p | exact | of all |",
        "| --- | --- | --- | --- |" + " ---: |" * 5,
    ]
    for (budget, arm, other, words, differences), p, whole in zip(
        looks, p_values, corrected, strict=True
    ):
        exact = significance.sign_flips(differences)
        cells = [plan.words(budget), f"`{arm}`", f"`{other}`", words, str(len(differences))]
        cells += [_cell(spread(differences), "+"), *map(_p_cell, (p, exact, whole))]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _p_cell(p: float) -> str:
    return "" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def write_tables(
    rows: Sequence[Row], plan: Plan, folder: Path, name: str, images: Sequence[Path] = ()
) -> Path:
    """Writes `NAME.csv` and `NAME.md`.

    Args:
        rows: of the finished runs.
        plan: of the sweep.
        folder: of the files; made if needed.
        name: of the files.
        images: figures in that folder.

    Returns:
        The path of the Markdown file.

    Raises:
        InputError: the folder cannot be written to.
    """
    text = csv_text(rows)
    write_bytes(folder / f"{name}.csv", text.encode())
    page = markdown(rows, plan, f"Sweep of {plan.config}", images)
    path = folder / f"{name}.md"
    write_bytes(path, page.encode())
    return path


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return statistics.fmean(known) if known else math.nan


def _difference(ours: Mapping[int, Row], theirs: Mapping[int, Row], figure: str) -> str:
    found = paired(ours, theirs, figure)
    return _cell(found, "+") + (f" ({found.n})" if 0 < found.n < len(ours) else "")


def _cell(value: Spread, sign: str = "") -> str:
    if math.isnan(value.mean):
        return ""
    error = "" if math.isnan(value.error) else f" ± {100 * value.error:.1f}"
    # Adding 0 makes -0.0 a plain 0.
    return f"{round(100 * value.mean, 1) + 0.0:{sign}.1f}{error}"
