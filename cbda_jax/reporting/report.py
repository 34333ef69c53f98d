"""The report of a run: one HTML file that needs nothing beside it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from cbda_jax.annotation.query_log import QueryLog
from cbda_jax.console import duration
from cbda_jax.files import write_bytes
from cbda_jax.reporting import gallery, labelled, learned, page, people, plots, wrong
from cbda_jax.reporting.records import last_of, results, watched
from cbda_jax.reporting.tables import (
    count,
    hours,
    lowest_class,
    of_budget,
    paid,
    percent,
    small_percent,
)
from cbda_jax.reporting.writers import read_metrics
from cbda_jax.stores import AnyPath, to_path

_LOWEST = 3  # classes named in a sentence


def write_report(
    workdir: AnyPath,
    *,
    class_names: Sequence[str],
    palette: UInt8[np.ndarray, "classes 3"],
    title: str,
    config_text: str,
    radius: int,
    dataset_note: str = "",
    budget: float | int | str | None = None,
    versions: Mapping[str, str] | None = None,
    analysis: Mapping[str, Any] | None = None,
    answered_by: Sequence[Mapping[str, Any]] = (),
    history: Sequence[Mapping[str, Any]] = (),
) -> AnyPath:
    """Writes `report/index.html` from the files of a run, whole or not at all.

    Reads `metrics.jsonl`, `queries/`, `gallery/` and `evaluation/`; what is not there is left out,
    so that the report can be written at any time and for runs that ask for nothing.

    Args:
        workdir: the folder of the run.
        class_names: C names, by train id.
        palette: uint8 [C, 3], RGB.
        title: the heading.
        config_text: the configuration, as text.
        radius: a query covers the (2 radius + 1)^2 square around its centre.
        dataset_note: a sentence on the data, shown below the heading.
        budget: the fraction of the target's pixels that was to be labelled, or the budget in words,
            if there was any.
        versions: of what the run was made with, devices too, by name.
        analysis: of what was labelled, from `cbda_jax.annotation.analyse`, if there is one.
        answered_by: the rounds that people answered, from `people.of_people`.
        history: how the run was extended: of each time its `step`, `rounds`, `changed` (values
            before and after, by field) and `time`.

    Returns:
        The path of the report.

    Raises:
        InputError: a file of the run is corrupt, or the report cannot be written.
    """
    workdir = to_path(workdir)
    records = read_metrics(workdir)
    evaluations = last_of(records, "evaluation", "split", "step")
    rounds = last_of(records, "round", "round")
    train = last_of(records, "train", "step")
    pool = next((record for record in reversed(records) if record["kind"] == "pool"), None)
    ends = results(evaluations)
    log = QueryLog(workdir / "queries").rounds
    pictures, left_out = gallery.entries(workdir / "gallery", log, palette, radius)
    asked_colours = gallery.round_colours(len(log))
    seen = watched(evaluations)
    found = learned.stages(seen, rounds)
    of = seen[0]["split"] if seen else ""
    still = wrong.section(workdir, ends[0] if ends else None, class_names, palette)
    if still is not None:
        caption = f"What the pixels of every class are predicted as on {still['split']}, in %"
        still |= {"chart": _chart(caption, still.pop("figure")), "colour": wrong.WRONG}
    context = {
        "title": title,
        "dataset_note": dataset_note,
        "cards": _cards(ends[0], rounds, budget) if ends else [],
        "headline": _headline(ends[0], train, rounds) if ends else "",
        "results": [_result_row(record) for record in ends],
        "rounds": [_round_row(record) for record in rounds],
        "rounds_total": _rounds_total(rounds),
        "paid": paid(rounds),
        "charts": _charts(seen, ends, rounds, train, class_names, palette),
        "labelled_charts": _labelled_charts(rounds, pool, class_names, analysis),
        "spent": [] if analysis is None else labelled.spent_rows(analysis),
        "labelled_note": "" if analysis is None else labelled.note(analysis),
        "people_head": people.HEAD,
        "people": people.rows(answered_by),
        "agreement": people.rows_of_classes(answered_by, class_names),
        "gallery": pictures,
        "gallery_note": gallery.note(len(log), left_out, radius),
        "round_legend": [
            (f"round {queries.round}", colour)
            for queries, colour in zip(log, asked_colours, strict=True)
        ],
        "class_legend": [
            (name, "#{:02x}{:02x}{:02x}".format(*colour))
            for name, colour in zip(class_names, palette.tolist(), strict=True)
        ],
        "learned": learned.class_table(found, rounds, class_names),
        "watched": of,
        "wrong": still,
        "short": _short(rounds, budget, learned.sentence(found, of), ends, still),
        "versions": list((versions or {}).items()),
        "config_text": config_text.strip(),
        "history": [_history_row(entry) for entry in history],
    }
    context["contents"] = [
        (name, heading)
        for name, heading, there in (
            ("asked", "What was asked", context["rounds"]),
            ("picks", "Where it asked", pictures),
            ("labelled", "What was labelled", context["labelled_charts"]),
            ("learned", "What it learned", context["charts"]),
            ("wrong", "Where it is still wrong", still),
            ("config", "Configuration", context["config_text"]),
        )
        if there
    ]
    path = workdir / "report" / "index.html"
    write_bytes(path, page.render("report.html.j2", context))
    return path


def _short(
    rounds: Sequence[Mapping[str, Any]],
    budget: float | int | str | None,
    gained: str,
    ends: Sequence[Mapping[str, Any]],
    still: Mapping[str, Any] | None,
) -> list[tuple[str, str]]:
    """Three questions, each with its answer in a sentence or two; those that have one."""
    asked = wrongs = ""
    if rounds:
        regions, pixels = (sum(record[name] for record in rounds) for name in ("picked", "pixels"))
        of = "" if budget is None else f" (budget {of_budget(budget)})"
        cost = paid(rounds)
        asked = (
            f"{count(regions)} picks in {len(rounds)} rounds: {count(pixels)} pixels, "
            f"{small_percent(rounds[-1]['fraction'])} % of the target{of}"
            f"{f'; {cost}' if cost else ''}."
        )
    if ends:
        iou = {n: v for n, v in ends[0]["iou"].items() if v is not None}
        lowest = sorted(iou, key=iou.__getitem__)[:_LOWEST]
        wrongs = "Lowest: " + ", ".join(f"{name} {percent(iou[name])} %" for name in lowest) + "."
        if still is not None and still["confused"]:
            wrongs += f" Most of all wrong pixels: {', '.join(still['confused'][:_LOWEST])}."
    questions = (
        ("What did it ask?", asked),
        ("What did it learn?", gained),
        ("Where is it still wrong?", wrongs if asked or gained or still else ""),
    )
    return [(question, answer) for question, answer in questions if answer]


def _cards(
    result: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]], budget: float | int | str | None
) -> list[dict[str, str]]:
    subsets = [f"{percent(v)} % over {name}" for name, v in (result.get("subsets") or {}).items()]
    cards = [
        ("mIoU", result["miou"], ", ".join(subsets) or f"over {len(result['iou'])} classes"),
        ("lowest class", result["min_iou"], lowest_class(result["iou"]) or ""),
        ("mean of the five lowest", result["worst5_iou"], "IoU"),
        ("pixel accuracy", result["pixel_accuracy"], "pixels without a class left out"),
    ]
    shown = [
        {"name": name, "value": f"{percent(value)} %", "note": note} for name, value, note in cards
    ]
    if rounds:
        pixels = sum(record["pixels"] for record in rounds)
        of = "" if budget is None else f", budget {of_budget(budget)}"
        shown.append(
            {
                "name": "labelled",
                "value": f"{small_percent(rounds[-1]['fraction'])} %",
                "note": f"{count(pixels)} pixels{of}",
            }
        )
    return shown


def _headline(
    result: Mapping[str, Any],
    train: Sequence[Mapping[str, Any]],
    rounds: Sequence[Mapping[str, Any]],
) -> str:
    parts = [f"{result['split']} at step {count(result['step'])}"]
    if not result.get("final"):
        parts[0] += ", the run is not finished"
    speeds = [v for record in train if (v := record.get("steps_per_second"))]
    waits = [v for record in train if (v := record.get("data_wait_ms")) is not None]
    if speeds:
        parts.append(f"{np.median(speeds):.3g} training steps a second (median)")
    if waits:
        parts.append(f"{np.median(waits):.2g} ms a step waiting for data")
    seconds = [v for record in rounds if (v := record.get("seconds")) is not None]
    if seconds:
        parts.append(f"{duration(sum(seconds))} in {len(seconds)} rounds")
    return "; ".join(parts) + "."


def _result_row(record: Mapping[str, Any]) -> list[str]:
    return [
        record["split"],
        count(record["step"]),
        percent(record["miou"]),
        percent(record["min_iou"]),
        lowest_class(record["iou"]) or "",
        percent(record["worst5_iou"]),
        percent(record["pixel_accuracy"]),
    ]


def _round_row(record: Mapping[str, Any]) -> list[str]:
    return [
        str(record["round"]),
        *(
            count(record.get(name))
            for name in ("step", "requested", "picked", "leftover", "images")
        ),
        count(record["pixels"]),
        count(record["void_pixels"]),
        small_percent(record["fraction"]),
        count(record.get("answers")),
        hours(record.get("answer_seconds")),
        "-" if record.get("seconds") is None else f"{record['seconds']:.1f}",
    ]


def _history_row(entry: Mapping[str, Any]) -> list[str]:
    changed = [f"{name}: {old!r} \u2192 {new!r}" for name, (old, new) in entry["changed"].items()]
    return [entry["time"], count(entry["step"]), count(entry["rounds"]), "; ".join(changed)]


def _rounds_total(rounds: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rounds:
        return []
    summed = ("requested", "picked", "leftover", "pixels", "void_pixels", "seconds")
    total = {name: sum(record.get(name) or 0 for record in rounds) for name in summed}
    if paid(rounds):
        total |= {
            name: sum(record[name] for record in rounds) for name in ("answers", "answer_seconds")
        }
    return _round_row(
        {
            **total,
            "round": "all",
            "step": None,
            "fraction": rounds[-1]["fraction"],
            "seconds": total["seconds"] or None,
        }
    )


def _chart(caption: str, figure: Any) -> dict[str, str]:
    return {"caption": caption, "svg": plots.svg(figure, caption)}


def _charts(
    seen: Sequence[Mapping[str, Any]],
    ends: Sequence[Mapping[str, Any]],
    rounds: Sequence[Mapping[str, Any]],
    train: Sequence[Mapping[str, Any]],
    class_names: Sequence[str],
    palette: UInt8[np.ndarray, "classes 3"],
) -> list[dict[str, str]]:
    shown = []
    of = seen[0]["split"] if seen else ""
    if len({record.get("labelled_fraction") for record in seen}) > 1:
        figure = plots.scores_over_budget(seen)
        shown.append(_chart(f"IoU on {of} over the labelled pixels", figure))
    if len(seen) > 1:
        figure = plots.scores_over_steps(seen, rounds)
        shown.append(_chart(f"IoU on {of} over training", figure))
    if ends and ends[0]["iou"]:
        figure = plots.class_iou(ends[0]["iou"], class_names, palette)
        shown.append(_chart(f"IoU of every class on {ends[0]['split']}", figure))
    if len(train) > 1:
        shown.append(_chart("Training losses", plots.losses(train, rounds)))
    return shown


def _labelled_charts(
    rounds: Sequence[Mapping[str, Any]],
    pool: Mapping[str, Any] | None,
    class_names: Sequence[str],
    analysis: Mapping[str, Any] | None,
) -> list[dict[str, str]]:
    figures = []
    if rounds:
        pixels = Counter()
        for record in rounds:
            pixels.update(record.get("class_pixels") or {})
        void = sum(record["void_pixels"] for record in rounds)
        truth = None if pool is None else pool.get("class_pixels")
        figure = plots.class_histogram(dict(pixels), void, truth, class_names)
        figures.append(("Classes of the labelled pixels, all rounds together", figure))
    if analysis is not None:
        first, *others = labelled.figures(analysis)
        figures = [first, *figures, *others]
    return [_chart(caption, figure) for caption, figure in figures]
