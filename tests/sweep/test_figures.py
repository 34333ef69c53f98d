"""The figures of a sweep are PNG files, with or without all runs."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from cbda_jax.annotation import Queries, QueryLog
from cbda_jax.sweep import figures, table
from cbda_jax.sweep.plan import Plan, Run
from cbda_jax.sweep.table import Row

CLASSES = ("road", "car", "pole", "bus")


def row(run, value):
    known = dict.fromkeys(table.FIGURES, value)
    if run.budget is None:
        known["label_entropy"] = math.nan
    iou = {name: value + 0.01 * i for i, name in enumerate(CLASSES)} | {"bus": math.nan}
    return Row(run.arm, run.budget, run.seed, known, iou, ("pole",))


@pytest.fixture
def plan():
    runs = [Run("source_only", None, seed, None, {}, None, None) for seed in (0, 1)]
    for arm, kind in (("ripu", "per_image"), ("da", "global"), ("cb", "per_image")):
        for budget in (0.05, 0.1):
            runs += [Run(arm, budget, seed, kind, {}, None, None) for seed in (0, 1)]
    return Plan("c.py", "ripu", ("source_only", "ripu", "da", "cb"), (0.05, 0.1), tuple(runs))


def log(folder, images):
    n = len(images)
    QueryLog(folder).append(
        Queries(
            round=1,
            step=4,
            image_ids=("a", "b", "c"),
            image=np.array(images, np.int32),
            row=np.arange(n, dtype=np.int32) * 3,
            col=np.full(n, 5, np.int32),
            score=np.linspace(1, 0, n, dtype=np.float32),
            predicted=np.zeros(n, np.uint8),
            radius=1,
            about={},
        )
    )


def test_every_figure_is_drawn(plan, tmp_path):
    rows = [row(run, 0.2 + 0.02 * i) for i, run in enumerate(plan.runs)]
    for run in plan.runs:
        if run.budget:
            log(tmp_path / "runs" / run.name / "queries", [0, 0, 1, 2] if run.arm == "da" else [1])
    paths = figures.write_figures(rows, plan, tmp_path, tmp_path / "results", "x")
    names = [path.name.removeprefix("x-").removesuffix(".png") for path in paths]
    scores = ["miou", "min_iou", "rare5_iou", "label_entropy"]
    deltas = ["delta-miou", "delta-rare5_iou"]
    assert names == [*scores, *deltas, "classes-b0.05", "classes-b0.1", "picks"]
    for path in paths:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            assert image.format == "PNG"
            assert 400 < image.width < 2000
            assert 200 < image.height < 2000
            assert len(np.unique(np.asarray(image.convert("L")))) > 10


def test_picks_are_counted_of_the_baseline_and_of_global_allocation(plan, tmp_path):
    rows = [row(run, 0.2) for run in plan.runs if run.seed == 0 or run.arm == "da"]
    for run in plan.runs:
        if run.budget:
            log(tmp_path / "runs" / run.name / "queries", [0, 0, 2] if run.arm == "da" else [1])
    found = figures._picks(rows, plan, tmp_path, 0.1)
    assert list(found) == ["ripu", "da"]
    assert found["ripu"][0] == "per_image"
    np.testing.assert_array_equal(found["ripu"][1], [0, 1, 0])
    assert found["da"][0] == "global"
    np.testing.assert_array_equal(found["da"][1], [2, 0, 1, 2, 0, 1])


def test_a_sweep_that_has_hardly_begun_can_be_drawn(plan, tmp_path):
    assert figures.write_figures([], plan, tmp_path, tmp_path / "results", "x") == []
    only = [row(plan.runs[0], 0.3)]
    assert figures.write_figures(only, plan, tmp_path, tmp_path / "results", "x") == []
    cb = [row(run, 0.3) for run in plan.runs if run.arm == "cb" and run.seed == 1]
    paths = figures.write_figures([*only, *cb], plan, tmp_path, tmp_path / "results", "x")
    assert len(paths) == 4


def test_the_difference_is_to_the_baseline_of_the_same_seed(plan):
    rows = [row(run, 0.2 + 0.1 * run.seed + 0.05 * (run.arm == "da")) for run in plan.runs]
    axes = figures.class_differences(rows, plan, 0.05).axes[0]
    values = np.asarray(axes.images[0].get_array())
    assert [label.get_text() for label in axes.get_yticklabels()] == ["source_only", "da", "cb"]
    np.testing.assert_allclose(values[1, :3], 5)
    np.testing.assert_allclose(values[2, :3], 0, atol=1e-9)
    assert np.isnan(values[:, 3]).all()


def test_differences_of_scores_are_paired_and_leave_out_what_has_no_budget(plan):
    rows = [row(run, 0.2 + 0.1 * run.seed + 0.05 * (run.arm == "da")) for run in plan.runs]
    rows = [found for found in rows if (found.arm, found.seed) != ("cb", 0)]
    figure = figures.differences(rows, plan, "miou")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["5 %", "10 %"]
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["da", "cb"]
    seeds = [line.get_xdata() for line in axes.lines if line.get_markersize() == 3]
    np.testing.assert_allclose(seeds[0], [5, 5])
    np.testing.assert_allclose(seeds[1], [0], atol=1e-9)
    alone = [found for found in rows if found.arm != "ripu"]
    assert figures.differences(alone, plan, "miou") is None


def test_arms_of_one_budget_are_left_out_of_the_curves_unless_all_are(plan):
    runs = tuple(run for run in plan.runs if (run.arm, run.budget) != ("cb", 0.05))
    few = Plan(plan.config, plan.baseline, plan.arms, plan.budgets, runs)
    shown = figures.score_over_budget([row(run, 0.2) for run in runs], few, "miou")
    assert {text.get_text() for text in shown.legends[0].get_texts()} == {"ripu", "da"}
    runs = tuple(run for run in runs if run.budget in (None, 0.1))
    single = Plan(plan.config, plan.baseline, plan.arms, (0.1,), runs)
    shown = figures.score_over_budget([row(run, 0.2) for run in runs], single, "miou")
    assert {text.get_text() for text in shown.legends[0].get_texts()} == {"ripu", "da", "cb"}


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_equal_bounds_are_one_band_with_both_names(plan, seeds):
    names = {"source_only": 0.2, "all_labels": 0.5, "all_labels_weighted": 0.5}
    runs = [Run(arm, None, seed, None, {}, None, None) for arm in names for seed in seeds]
    bounds = Plan(plan.config, "ripu", ("ripu", *names), plan.budgets, (*plan.runs, *runs))
    rows = [row(run, names[run.arm]) for run in runs]
    axes = figures.score_over_budget(rows, bounds, "miou").axes[0]
    shown = [text.get_text() for text in axes.texts]
    assert shown == ["source only", "all labels, all labels weighted"]
