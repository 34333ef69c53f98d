"""Figures of runs, their means and their paired differences, against sums done by hand."""

import copy
import csv
import dataclasses
import io
import math

import ml_collections
import numpy as np
import pytest

from cbda_jax import annotation
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19
from cbda_jax.methods import METHODS, Method
from cbda_jax.sweep import make_plan, schedule, table
from cbda_jax.sweep.plan import Plan, Run
from cbda_jax.sweep.table import Row

POOL = {"road": 1000, "pole": 10, "train": 0, "car": 90, "bus": 20, "sign": 5, "sky": 500}


def result(**changed):
    iou = dict.fromkeys(POOL, 0.5) | {"sign": 0.1, "pole": 0.2, "train": None, "bus": 0.3}
    found = {
        "evaluation": {
            "miou": 0.4,
            "min_iou": 0.1,
            "worst5_iou": 0.3,
            "iou": iou,
            "labelled_fraction": 0.05,
        },
        "rounds": [
            {
                "pixels": 12,
                "void_pixels": 2,
                "class_pixels": dict.fromkeys(POOL, 0) | {"road": 10},
            },
            {
                "pixels": 12,
                "void_pixels": 4,
                "class_pixels": dict.fromkeys(POOL, 0) | {"road": 3, "car": 5},
            },
        ],
    }
    return found | changed


def test_a_row_says_what_was_labelled():
    row = table.make_row("ripu", 0.05, 1, result(), POOL, validation={"miou": 0.35})
    assert row.figures["val_miou"] == 0.35
    # Without "train", which does not occur, the rarest five are sign, pole, bus, car, sky.
    assert row.rare == ("sign", "pole", "bus", "car", "sky")
    assert row.figures["rare5_iou"] == pytest.approx((0.1 + 0.2 + 0.3 + 0.5 + 0.5) / 5)
    assert row.figures["void_fraction"] == 6 / 24
    p, q = 13 / 18, 5 / 18
    expected = -(p * math.log(p) + q * math.log(q)) / math.log(7)
    assert row.figures["label_entropy"] == pytest.approx(expected)
    assert math.isnan(row.iou["train"])
    assert list(row.iou) == list(POOL)


def test_labels_of_the_bounds():
    evaluation = result()["evaluation"]
    none = result(rounds=[], evaluation=evaluation | {"labelled_fraction": 0.0})
    assert math.isnan(table.make_row("a", None, 0, none, POOL).figures["label_entropy"])
    whole = result(rounds=[], evaluation=evaluation | {"labelled_fraction": 1.0})
    figures = table.make_row("a", None, 0, whole, POOL).figures
    assert math.isnan(figures["val_miou"])
    assert figures["label_entropy"] == annotation.label_entropy(np.array(list(POOL.values())))
    assert math.isnan(figures["void_fraction"])


def row(arm, budget, seed, miou):
    figures = dict.fromkeys(table.FIGURES, 0.25) | {"miou": miou, "void_fraction": math.nan}
    return Row(arm, budget, seed, figures, {"road": miou, "big bus": math.nan}, ("road",))


def test_differences_are_paired():
    ours = {seed: row("a", 0.1, seed, v) for seed, v in ((0, 0.52), (1, 0.63), (2, 0.74))}
    theirs = {seed: row("b", 0.1, seed, v) for seed, v in ((0, 0.50), (1, 0.60), (2, 0.70))}
    found = table.paired(ours, theirs, "miou")
    # Differences 2, 3 and 4 points: standard deviation 1, over the root of 3.
    assert found.mean == pytest.approx(0.03)
    assert found.error == pytest.approx(0.01 / math.sqrt(3))
    assert found.n == 3
    # Unpaired, the seeds' own spread of ten points would hide them.
    assert table.spread(r.figures["miou"] for r in ours.values()).error > 0.06
    del theirs[1]
    assert table.paired(ours, theirs, "miou").n == 2
    assert math.isnan(table.paired(ours, {}, "miou").mean)
    one = table.spread([0.5, math.nan])
    assert (one.mean, one.n) == (0.5, 1)
    assert math.isnan(one.error)


def plan(*names):
    runs = []
    for arm in names:
        bound = arm in ("source_only", "full_supervision")
        for budget in (None,) if bound else (0.05, 0.1):
            runs += [Run(arm, budget, seed, None, {}, None, None) for seed in (0, 1)]
    return Plan("configs/synthetic.py", "ripu", names, (0.05, 0.1), tuple(runs))


ROWS = [
    row("source_only", None, 0, 0.2),
    row("source_only", None, 1, 0.3),
    row("ripu", 0.05, 0, 0.4),
    row("ripu", 0.05, 1, 0.5),
    row("cbda", 0.05, 1, 0.56),
]


def test_markdown_copes_with_missing_runs():
    text = table.markdown(ROWS, plan("source_only", "ripu", "cbda"), "Title")
    tables = text.split("## ")
    assert tables[1].startswith("Budget 5 %")
    assert "5 of 10 runs" in text
    lines = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
        for line in tables[1].splitlines()
        if line.startswith("| `")
    }
    assert list(lines) == ["`source_only`", "`ripu`", "`cbda`"]
    assert lines["`source_only`"][:3] == ["2", "25.0 ± 5.0", "-20.0 ± 0.0"]
    assert lines["`ripu`"][:3] == ["2", "45.0 ± 5.0", ""]
    assert lines["`cbda`"][:3] == ["1", "56.0", "+6.0"]
    # At 10 % there is only what needs no budget, which is in the other table.
    assert len(tables) == 2
    assert "\n\nNo run yet at 10 %.\n\n## Budget 5 %\n" in text
    assert "Not run yet" not in tables[1]


def test_markdown_names_what_has_not_run():
    at_both = [*ROWS, row("ripu", 0.1, 0, 0.6)]
    text = table.markdown(at_both, plan("source_only", "ripu", "cbda"), "Title")
    assert "No run yet" not in text
    tables = text.split("## ")
    assert "| `source_only` | 2 |" in tables[2]
    assert tables[2].splitlines()[-1] == "Not run yet: `cbda`."
    # A line for the other budget, and a table for what needs none.
    bound = table.markdown(ROWS[:2], plan("source_only", "ripu"), "Title").split("## ")
    assert len(bound) == 2
    assert "| `source_only` | 2 |" in bound[1]
    empty = table.markdown([], plan("ripu"), "Title").split("## ")
    assert len(empty) == 2
    assert empty[1].splitlines()[2:] == ["Not run yet: `ripu`."]


def test_paired_tests_count_the_looks():
    values = {"ripu": (0.5, 0.6, 0.7), "cbda": (0.52, 0.63, 0.74), "cb": (0.5, 0.59, 0.72)}
    rows = [
        row(arm, budget, seed, value + 0.01 * seed * (budget == 0.1))
        for arm, found in values.items()
        for budget in (0.05, 0.1)
        for seed, value in enumerate(found)
    ]
    runs = tuple(Run(r.arm, r.budget, r.seed, None, {}, None, None) for r in rows)
    whole = Plan("c", "ripu", (*values, "full_supervision"), (0.05, 0.1), runs)
    text = table.markdown(rows, dataclasses.replace(whole, pairs=(("cbda", "cb"),)), "x")
    tested = text.partition("## Paired tests")[2]
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in tested.splitlines()
        if line.startswith("| ") and "%" in line
    ]
    # Two arms against the baseline and a pair more, two budgets, two figures.
    assert "12 looks" in tested
    assert len(lines) == 12
    assert {tuple(line[1:3]) for line in lines} == {
        *((f"`{arm}`", "`ripu`") for arm in ("cbda", "cb")),
        ("`cbda`", "`cb`"),
    }
    first = next(line for line in lines if line[:4] == ["5 %", "`cbda`", "`ripu`", "mIoU"])
    # 2, 3 and 4 points: t = 3 / (1 / sqrt 3) with 2 degrees of freedom.
    assert first[4:] == ["3", "+3.0 ± 0.6", "0.035", "0.250", "0.421"]
    same = next(line for line in lines if line[3] == "lowest class")
    assert same[5:] == ["+0.0 ± 0.0", "1.000", "1.000", "1.000"]
    # A seed of each is no test.
    assert "Paired tests" not in table.markdown(ROWS, plan("source_only", "ripu", "cbda"), "x")


def test_the_split_is_named():
    named = dataclasses.replace(plan("ripu"), evaluated="synthetic_city/target_val")
    assert "runs, evaluated on synthetic_city/target_val. In percent" in table.markdown(
        ROWS, named, "x"
    )


def test_csv_is_tidy():
    rows = list(csv.reader(io.StringIO(table.csv_text(ROWS))))
    assert rows[0] == [
        *("method", "budget", "seed", "miou", "min_iou", "worst5_iou", "rare5_iou", "val_miou"),
        *("label_entropy", "labelled_fraction", "void_fraction", "answers", "hours"),
        *("iou_road", "iou_big_bus", "rare", "config"),
    ]
    assert rows[1][:4] == ["source_only", "", "0", "0.200000"]
    assert rows[3][:4] == ["ripu", "0.05", "0", "0.400000"]
    assert rows[3][10:] == ["", "0.250000", "0.250000", "0.400000", "", "road", ""]
    assert len(rows) == 6


def test_files_are_written_whole(tmp_path):
    path = table.write_tables(
        ROWS, plan("source_only", "ripu"), tmp_path / "a", "x", [tmp_path / "a" / "x-miou.png"]
    )
    assert "![x-miou](x-miou.png)" in path.read_text()
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.csv", "x.md"]


def test_budgets_that_count_answers():
    few = plan("source_only", "ripu")
    assert (few.shown(0.05), few.words(0.05)) == (5.0, "5 %")
    # 100 pixels of 480 x 360.
    assert few.words(100 / (480 * 360)) == "0.0579 %"
    paid = dataclasses.replace(few, unit="answers_per_image", budgets=(45,))
    assert (paid.shown(45), paid.words(45)) == (45, "45 answers per image")
    text = table.markdown(ROWS, paid, "x")
    assert "## Budget 45 answers per image" in text
    assert text.splitlines()[6].endswith("| labelled | answers | hours |")


def test_rows_come_back_from_a_table(tmp_path, monkeypatch):
    sweep = ml_collections.ConfigDict(convert_dict=False)
    sweep.config, sweep.seeds, sweep.budgets = "configs/synthetic.py", (0, 1), (0.05,)
    sweep.baseline, sweep.common = "ripu", {}
    sweep.arms = {"ripu": {"method": "ripu"}, "source_only": {"method": "source_only"}}
    made = make_plan(sweep, None)
    first, *_, last = made.runs
    iou = dict.fromkeys(CITYSCAPES_19.classes, 0.25) | {"traffic light": math.nan}
    figures = dict.fromkeys(table.FIGURES, 0.5) | {"void_fraction": math.nan}
    rows = [
        Row(run.arm, run.budget, run.seed, figures, iou, ("pole", "traffic light"), run.digest)
        for run in (first, last)
    ]
    path = tmp_path / "x.csv"
    path.write_text(table.csv_text(rows))
    found = table.read_rows(path, made)
    assert found.keys() == {first.name, last.name}
    for row in rows:
        (same,) = (other for other in found.values() if other[:3] == row[:3])
        assert (same.rare, same.config) == (row.rare, row.config)
        np.testing.assert_equal(same.figures, row.figures)
        np.testing.assert_equal(same.iou, row.iou)
    assert table.collect(made, tmp_path, found) == [found[first.name], found[last.name]]
    assert {job.name for job in schedule(made, tmp_path, found) if job.counts} == {
        run.name for run in made.runs if run not in (first, last)
    }
    # Where data lie is no part of a config's digest; all else is.
    elsewhere = copy.deepcopy(sweep)
    elsewhere.common = {"data.dir": "/elsewhere", "data.threads": 3}
    assert table.read_rows(path, make_plan(elsewhere, None)).keys() == found.keys()
    # Of a method it has what it does.
    elsewhere.arms = {"ripu": {"method": "ripu", "acquisition.ties": "reference"}}
    assert table.read_rows(path, make_plan(elsewhere, None)).keys() == {first.name}
    monkeypatch.setitem(METHODS, "ripu", Method(flip=True))
    with pytest.raises(InputError, match=r"x\.csv: ripu-b0\.05-s0 of another config found"):
        table.read_rows(path, made)
    monkeypatch.undo()
    elsewhere.common = {"training.steps": 99_000}
    with pytest.raises(InputError, match=r"x\.csv: ripu-b0\.05-s0 of another config found"):
        table.read_rows(path, make_plan(elsewhere, None))
    for text in ("method,budget\nripu,0.05\n", "\x00", None):
        broken = tmp_path / "broken.csv"
        broken.unlink(missing_ok=True)
        if text is not None:
            broken.write_text(text)
        with pytest.raises(InputError, match=r"broken\.csv: cannot be read as the table of a swe"):
            table.read_rows(broken, made)
