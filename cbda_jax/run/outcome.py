"""What a run comes to: figures of an evaluation, and at the end result, table and report."""

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Int64

from cbda_jax import __version__, acquisition, annotation, console, evaluation, reporting
from cbda_jax.data.records import Records
from cbda_jax.label_space import LabelSpace
from cbda_jax.reporting.mistakes import LastEvaluation, Worst, write_last, write_worst
from cbda_jax.run.workdir import Difference, write_json
from cbda_jax.runtime import hosts
from cbda_jax.stores import AnyPath


def figures(
    confusion: Int64[np.ndarray, "classes classes"],
    space: LabelSpace,
    *,
    dataset: str,
    labelled_fraction: float,
    final: bool,
) -> dict[str, Any]:
    """An "evaluation" record of the metrics; IoUs are fractions.

    Args:
        confusion: pixel counts [label, prediction].
        space: the classes.
        dataset: name of the data set and split that was evaluated on.
        labelled_fraction: which part of the target's pixels had been labelled.
        final: whether this is the end of the run.
    """
    found = evaluation.scores(confusion)
    return {
        "split": dataset.partition("/")[2] or dataset,
        "miou": found.miou,
        "min_iou": found.min_iou,
        "worst5_iou": found.worst5_iou,
        "pixel_accuracy": found.pixel_accuracy,
        "iou": dict(zip(space.classes, found.iou.tolist(), strict=True)),
        "subsets": {
            subset: found.subset(classes) for subset, classes in space.reported_subsets.items()
        },
        "labelled_fraction": labelled_fraction,
        "final": final,
    }


def evaluation_folder(
    workdir: AnyPath, step: int, dataset: str, changed: Sequence[Difference]
) -> AnyPath:
    """Where an evaluation of a checkpoint goes: the same one always to the same folder.

    Args:
        workdir: of the run.
        step: of the checkpoint.
        dataset: name of the data set and split.
        changed: what is otherwise than in the run. Its SHA-256 is the end of the name.
    """
    name = f"step_{step}-{re.sub(r'[^A-Za-z0-9_.]+', '-', dataset)}"
    if changed:
        text = json.dumps([[one.name, one.here] for one in changed])
        name += f"-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return workdir / "evaluations" / name


def write_evaluation(
    out: AnyPath,
    values: Mapping[str, Any],
    *,
    settings: Mapping[str, Any],
    changed: Sequence[Difference],
) -> None:
    """Writes what an evaluation came to, and how it was made, to `evaluation.json` in its folder.

    Args:
        out: of `evaluation_folder`.
        values: of `figures`, with its step.
        settings: the values of the config, by the names of the fields.
        changed: what is otherwise than in the run.
    """
    write_json(
        out / "evaluation.json",
        {
            "evaluation": values,
            "dataset": settings["data.test"],
            "settings": {n: v for n, v in settings.items() if n.startswith("evaluation.")},
            "changed": {one.name: [one.there, one.here] for one in changed},
        },
    )


def keep_mistakes(
    workdir: AnyPath,
    data: Records,
    mistakes: evaluation.Mistakes,
    confusion: Int64[np.ndarray, "classes classes"],
    split: str,
    step: int,
) -> None:
    """Writes what the network still gets wrong, for the report. Called by all processes.

    Args:
        workdir: of the run.
        data: that was evaluated on.
        mistakes: of the images that this process was told of.
        confusion: pixel counts [label, prediction] of all images.
        split: name of it in the files.
        step: of training.

    Raises:
        InputError: the workdir cannot be written to.
    """
    pixels, right = hosts.total(np.stack([mistakes.pixels, mistakes.right]))
    worst = evaluation.worst_images(pixels, right, mistakes.keep)
    for index in worst:
        if index in mistakes.kept:
            label, prediction = mistakes.kept[index]
            image = Worst(data.ids[index], data.image(index), label, prediction)
            write_worst(workdir, split, index, image)
    # The counts name the pictures: those are there first, of all processes.
    hosts.sync(f"the worst images of {split}")
    last = LastEvaluation(step, confusion, data.ids, pixels, right, worst)
    hosts.first(lambda: write_last(workdir, split, last))


def conclude(
    workdir: AnyPath,
    values: dict[str, Any],
    *,
    settings: Mapping[str, Any],
    space: LabelSpace,
    budget: acquisition.Budget | None,
    radius: int,
    devices: int,
    answers: Sequence[annotation.Answers],
    sizes: annotation.ImageSizes,
    history: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Writes the report and, last of all, the result: a run that has one counts as finished.

    Args:
        workdir: of the run.
        values: the last evaluation, of `figures`, with its step.
        settings: of the run: the values of its config, by the names of the fields.
        space: the classes.
        budget: of all rounds, if there were any.
        radius: a query covers the (2 radius + 1)^2 square around its centre.
        devices: how many the run was made on.
        answers: to all rounds.
        sizes: of the target images.
        history: of the run, see `workdir.read_history`.
    """
    # Here: plotting libraries take most of a second, and every start would wait for them.
    from cbda_jax.reporting import people
    from cbda_jax.reporting.report import write_report

    records = reporting.read_metrics(workdir)
    held = [r for r in records if r["kind"] == "round"]
    pool = next((r["class_pixels"] for r in reversed(records) if r["kind"] == "pool"), None)
    analysis = annotation.analyse(answers, space.classes, sizes, pool_pixels=pool)
    answered_by = people.of_people([(found.round, found.about) for found in answers], space.classes)
    title = f"{settings['method']} on {settings['data.target'].partition('/')[0]}"
    asked = None if budget is None else budget.whole(sizes.values(), (2 * radius + 1) ** 2)
    table = reporting.result_table(values, held, budget=asked, title=title)
    report = write_report(
        workdir,
        class_names=space.classes,
        palette=space.palette,
        title=title,
        config_text="".join(f"{name}: {value!r}\n" for name, value in settings.items()),
        radius=radius,
        budget=asked,
        versions={
            "device": f"{devices} x {jax.devices()[0].device_kind}",
            "hosts": str(jax.process_count()),
            "jax": jax.__version__,
            "python": platform.python_version(),
            "cbda_jax": __version__,
        },
        analysis=analysis,
        answered_by=answered_by,
        history=history,
    )
    write_json(
        workdir / "result.json",
        {
            "method": settings["method"],
            "seed": settings["seed"],
            "evaluation": values,
            "rounds": held,
            "table": table,
            **({} if budget is None else {"cost": _cost(answers, budget, sizes, radius)}),
            **({} if analysis is None else {"analysis": analysis}),
            **({"people": answered_by} if answered_by else {}),
            **({"history": [*history]} if history else {}),
        },
    )
    console.say(f"{table}\nreport: {report}")


def _cost(
    answers: Sequence[annotation.Answers],
    budget: acquisition.Budget,
    sizes: annotation.ImageSizes,
    radius: int,
) -> dict[str, Any]:
    """What all rounds asked for, in pixels, answers and hours of people.

    Returns:
        `pixels`, `answers` and `hours`; `measured_answers`, how many answers have a time that was
        measured, those of the others being estimated; `budget` and `budget_in`, as in the config;
        `budget_words`, and `budget_fraction` of all pixels.
    """
    cost = annotation.cost_of(answers, budget.seconds_per_answer)
    return {
        "pixels": int(annotation.counts(answers).sum()),
        "answers": cost.answers,
        "hours": cost.seconds / 3600,
        "measured_answers": cost.measured,
        "budget": budget.amount,
        "budget_in": budget.unit,
        "budget_words": str(budget),
        "budget_fraction": budget.fraction(sizes.values(), (2 * radius + 1) ** 2),
    }
