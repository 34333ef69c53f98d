"""Several runs side by side: one HTML file that needs nothing beside it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cbda_jax.annotation.query_log import QueryLog
from cbda_jax.errors import InputError
from cbda_jax.files import write_bytes
from cbda_jax.reporting import gallery, learned, page, plots
from cbda_jax.reporting.records import last_of, results, watched
from cbda_jax.reporting.tables import count, hours, lowest_class, paid, percent, small_percent
from cbda_jax.reporting.writers import read_metrics
from cbda_jax.stores import AnyPath

_FIGURES = (
    ("mIoU %", "miou"),
    ("lowest class %", "min_iou"),
    ("mean of the five lowest %", "worst5_iou"),
    ("pixel accuracy %", "pixel_accuracy"),
)
_IMAGES = 3  # whose picks are shown


class Run(NamedTuple):
    """What is compared of a run.

    Attributes:
        name: short, different from that of the others.
        workdir: its folder.
        config: values by the names of fields.
        records: of its metrics.
        rounds: the "round" records.
        result: the "evaluation" record of its headline; None before the first evaluation.
    """

    name: str
    workdir: AnyPath
    config: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]
    rounds: Sequence[Mapping[str, Any]]
    result: Mapping[str, Any] | None


def read_runs(workdirs: Sequence[AnyPath]) -> list[Run]:
    """Reads the runs that are to be compared, finished ones or not.

    Raises:
        InputError: fewer than two, one twice, a folder without a run, or a damaged file.
    """
    folders = [path.resolve() if isinstance(path, Path) else path for path in workdirs]
    if len(folders) < 2 or len(set(folders)) < len(folders):
        raise InputError(
            f"{', '.join(map(str, workdirs)) or 'no run'} found, expected two workdirs or more, "
            "each once; name them"
        )
    return [_read(path, name) for path, name in zip(workdirs, _names(folders), strict=True)]


def _names(folders: Sequence[AnyPath]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    depth = 1
    while True:
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
        depth += 1


def _read(workdir: AnyPath, name: str) -> Run:
    path = workdir / "config.json"
    try:
        config = dict(json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise InputError(
            f"{workdir}: no run found (no config.json), expected the workdir of a run; check the "
            "path"
        ) from error
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); restore it") from error
    # What `run.workdir` keeps beside the fields.
    for beside in ("contents", "history", "defaults"):
        config.pop(beside, None)
    records = read_metrics(workdir)
    evaluations = last_of(records, "evaluation", "split", "step")
    ends = results(evaluations)
    return Run(
        name,
        workdir,
        config,
        records,
        last_of(records, "round", "round"),
        ends[0] if ends else None,
    )


def write_comparison(runs: Sequence[Run], path: AnyPath) -> None:
    """Writes the page, whole or not at all. All differences are to the first run.

    Args:
        runs: of `read_runs`.
        path: of the page.

    Raises:
        InputError: a file of a run is damaged, or the page cannot be written.
    """
    shown, left_out = _images(runs)
    context = {
        "title": " and ".join(run.name for run in runs) if len(runs) == 2 else "Compared runs",
        "names": [run.name for run in runs],
        "notes": _notes(runs),
        "figures": _figures(runs),
        "cost": _cost(runs),
        "classes": _classes(runs),
        "charts": _charts(runs),
        "config": config_differences(runs),
        "images": shown,
        "left_out": left_out,
        "legend": _legend(runs),
    }
    write_bytes(path, page.render("compare.html.j2", context))


def config_differences(runs: Sequence[Run]) -> list[list[str]]:
    """A row for each field in which the runs differ: its name, and its value in each run."""
    names = sorted({name for run in runs for name in run.config})
    missing = object()
    rows = []
    for name in names:
        values = [run.config.get(name, missing) for run in runs]
        if any(value != values[0] for value in values[1:]):
            rows.append([name, *("" if v is missing else json.dumps(v) for v in values)])
    return rows


def _notes(runs: Sequence[Run]) -> list[str]:
    """What keeps the figures from being compared."""
    notes = []
    unfinished = [run.name for run in runs if run.result is None or not run.result.get("final")]
    if unfinished:
        notes.append(f"Not finished: {', '.join(unfinished)}; the last evaluation stands in.")
    for what, of in (
        ("evaluated on different data", lambda run: run.config.get("data.test")),
        ("evaluated on different splits", lambda run: run.result and run.result["split"]),
        ("of different classes", lambda run: run.result and sorted(run.result["iou"])),
        ("of different targets", lambda run: run.config.get("data.target")),
    ):
        if len({json.dumps(of(run)) for run in runs if run.result is not None}) > 1:
            notes.append(f"Differences mean little: the runs were {what}.")
    if len({run.config.get("seed") for run in runs}) > 1:
        notes.append("The runs have different seeds; a sweep says how much seeds differ.")
    else:
        notes.append("One seed each: small differences may be chance; a sweep over seeds says.")
    return notes


def _cells(values: Sequence[float | int | None], digits: int = 1) -> list[dict[str, Any]]:
    """Fractions in percent, behind each but the first its difference to the first."""
    first = values[0]
    return [
        {
            "text": percent(value, digits),
            "change": learned.change(
                None if place == 0 or value is None or first is None else value - first
            ),
        }
        for place, value in enumerate(values)
    ]


def _figures(runs: Sequence[Run]) -> list[dict[str, Any]]:
    ends = [run.result for run in runs]
    rows: list[dict[str, Any]] = [
        {"name": "evaluated on", "cells": _texts(end["split"] if end else "-" for end in ends)},
        {"name": "at step", "cells": _texts(count(end["step"] if end else None) for end in ends)},
    ]
    rows += [
        {"name": name, "cells": _cells([run.result[key] if run.result else None for run in runs])}
        for name, key in _FIGURES
    ]
    lowest = (run.result and lowest_class(run.result["iou"]) for run in runs)
    rows.append({"name": "the lowest class", "cells": _texts(name or "-" for name in lowest)})
    return rows


def _texts(values: Any) -> list[dict[str, Any]]:
    return [{"text": value, "change": {"text": "", "look": ""}} for value in values]


def _cost(runs: Sequence[Run]) -> list[list[str]]:
    def summed(run: Run, name: str) -> float | int | None:
        values = [record.get(name) for record in run.rounds]
        return sum(v or 0 for v in values) if any(v is not None for v in values) else None

    return [
        ["rounds", *(str(len(run.rounds)) for run in runs)],
        *(
            [name, *(count(summed(run, key)) for run in runs)]
            for name, key in (
                ("picks", "picked"),
                ("pixels labelled", "pixels"),
                ("of them void", "void_pixels"),
            )
        ),
        [
            "labelled %",
            *(small_percent(run.rounds[-1]["fraction"] if run.rounds else None) for run in runs),
        ],
        ["answers of people", *(count(summed(run, "answers")) for run in runs)],
        ["hours of people", *(hours(summed(run, "answer_seconds")) for run in runs)],
        ["how the hours are known", *(_kind(paid(run.rounds)) for run in runs)],
        ["seconds of scores and picks", *(count(summed(run, "seconds")) for run in runs)],
    ]


def _kind(words: str) -> str:
    """In short, what `paid` says in brackets."""
    estimated, measured = "estimated" in words, "measured" in words
    return (
        "partly measured"
        if estimated and measured
        else ("estimated" if estimated else "measured" if measured else "-")
    )


def _classes(runs: Sequence[Run]) -> list[dict[str, Any]]:
    class_names = list(dict.fromkeys(n for run in runs if run.result for n in run.result["iou"]))

    def pixels(run: Run, name: str) -> int:
        return sum((record.get("class_pixels") or {}).get(name, 0) for record in run.rounds)

    rows = [
        {
            "name": name,
            "cells": _cells([run.result["iou"].get(name) if run.result else None for run in runs]),
            "labelled": [count(pixels(run, name)) for run in runs],
        }
        for name in class_names
    ]
    means = _cells([run.result["miou"] if run.result else None for run in runs])
    labelled = [count(sum(pixels(run, name) for name in class_names)) for run in runs]
    return [*rows, {"name": "mIoU", "cells": means, "labelled": labelled}]


def _charts(runs: Sequence[Run]) -> list[dict[str, str]]:
    lines = [
        (run.name, watched(last_of(run.records, "evaluation", "split", "step"))) for run in runs
    ]
    lines = [(name, records) for name, records in lines if records]
    if not lines:
        return []
    splits = sorted({records[0]["split"] for _, records in lines})
    charts = [("mIoU over training", plots.curves(lines, "step", "training step"))]
    if any(len({record["labelled_fraction"] for record in records}) > 1 for _, records in lines):
        last = [
            (name, list({r["labelled_fraction"]: r for r in records}.values()))
            for name, records in lines
        ]
        axis = "labelled pixels of the target [%]"
        charts.append(
            ("mIoU over the labelled pixels", plots.curves(last, "labelled_fraction", axis))
        )
    of = ", ".join(splits)
    return [
        {"caption": f"{caption}, on {of}", "svg": plots.svg(figure, caption)}
        for caption, figure in charts
    ]


def _images(runs: Sequence[Run]) -> tuple[list[dict[str, Any]], int]:
    """The images that the galleries of all runs have, with the picks of each; how many more."""
    logs = [QueryLog(run.workdir / "queries").rounds for run in runs]
    kept = [gallery.last_pictures(run.workdir / "gallery") for run in runs]
    ids = [name for name in kept[0] if all(name in other for other in kept[1:])]
    entries = []
    for image_id in ids[:_IMAGES]:
        shown = []
        for run, log, pictures in zip(runs, logs, kept, strict=True):
            arrays = pictures[image_id]
            asked = gallery.asked(log, image_id)
            number = sum(len(centres) for _, centres, _ in asked)
            size = arrays["prediction"].shape
            shown.append(
                gallery.shown(
                    f"{run.name}: {count(number)} questions",
                    gallery.picture(arrays["image"], size=size, picks=asked),
                )
            )
        entries.append({"image_id": image_id, "pictures": shown})
    return entries, len(ids) - len(entries)


def _legend(runs: Sequence[Run]) -> list[tuple[str, str]]:
    most = max(len(run.rounds) for run in runs)
    return [
        (f"round {number}", colour)
        for number, colour in enumerate(gallery.round_colours(most), start=1)
    ]
