"""Runs whose rounds people answer."""

import json
import re
import shutil

import numpy as np
import own_data
import pytest
import tiny
import waiting
from answering import answer

from cbda_jax import annotation
from cbda_jax.annotation import AnswersPending, people
from cbda_jax.errors import InputError
from cbda_jax.run import experiment, opening


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    tiny.use(monkeypatch)
    monkeypatch.setattr(opening, "_WAIT_S", 0.05)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """A folder with files, and the run `truth` that their labels answer."""
    folder = tmp_path_factory.mktemp("truth")
    own_data.write(folder / "files" / "yard")
    with pytest.MonkeyPatch.context() as patch:
        tiny.use(patch)
        experiment.run(config_of(folder, "ground_truth"), folder / "truth")
    return folder


def config_of(folder, oracle="people", **declared):
    config = own_data.config_of(folder, **declared)
    config.method = "cbda"
    config.annotation.oracle = oracle
    config.acquisition.unit = "pixel"
    config.acquisition.rounds = (1, 2, 3)
    config.acquisition.budget = 0.02
    config.report.log_every = 1
    return config


def true_patches(folder, number):
    with np.load(folder / "truth" / "answers" / f"round_{number:02d}.npz") as arrays:
        return arrays["patches"]


def give(workdir, patches, *, names=("ada",), at_most=None):
    """Has people answer the round that waits, and closes it."""
    with people.Ledger(people.ledger_path(workdir)) as ledger:
        opened = people.open_asked(ledger, workdir)
        assert opened is not None
        done = 0
        while at_most is None or done < at_most:
            tasks = [(name, opened.next(name, now=0)) for name in names]
            if not any(task for _, task in tasks):
                break
            for name, task in tasks:
                if task is not None:
                    guess = int(opened.queries.predicted[task.query])
                    shown = task.guess is not None
                    given = patches[task.query].tobytes()
                    assert opened.record(
                        answer(task.query, name, given, guess=guess, guess_shown=shown)
                    )
                    done += 1
        assert opened.complete() == (at_most is None)
        people.close(opened, workdir)


def result(workdir):
    return json.loads((workdir / "result.json").read_text())


def losses(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [
        {name: x[name] for name in x if name == "step" or "loss" in name}
        for x in map(json.loads, lines)
        if x["kind"] == "train"
    ]


def check_same(workdir, expected):
    """Bit for bit: what was asked, what was answered, and what came of it."""
    for number in (1, 2, 3):
        name = f"round_{number:02d}.npz"
        with (
            np.load(workdir / "queries" / name) as found,
            np.load(expected / "queries" / name) as other,
        ):
            for column in ("image", "row", "col", "score", "predicted"):
                np.testing.assert_array_equal(found[column], other[column])
        with np.load(workdir / "answers" / name) as found:
            np.testing.assert_array_equal(found["patches"], true_patches(expected.parent, number))
    for name in ("evaluation", "analysis"):
        assert result(workdir)[name] == result(expected)[name]
    assert losses(workdir) == losses(expected) != []


def test_a_run_that_people_answer_is_that_of_the_ground_truth(truth, tmp_path, capsys):
    workdir, config = tmp_path / "run", config_of(truth)
    for number in (1, 2, 3):
        # Started again too early, it stops again.
        for _ in range(2 if number == 1 else 1):
            with pytest.raises(AnswersPending) as pause:
                experiment.run(config, workdir)
            assert pause.value.status == 77
            said = capsys.readouterr().err
            assert f"round {number} asks about 33 squares of 1 x 1 pixels in 3 images: " in said
            where = f"answer them at the page of `python -m cbda_jax.annotate --workdir={workdir}`"
            assert f"{where}, then start the same command again" in said
            assert f"stopped at step {number}, which is saved" in said
            assert "note: annotation.oracle people" not in said
        give(workdir, true_patches(truth, number), names=("ada", "bob"))
    experiment.run(config, workdir)
    check_same(workdir, truth / "truth")
    # What people were measured at is in the result and in the report.
    found = result(workdir)["people"]
    assert [entry["round"] for entry in found] == [1, 2, 3]
    # 5 % of 33 are asked twice.
    assert [(entry["people"], entry["answers"]) for entry in found] == 3 * [(2, 35)]
    assert found[0]["seconds"] == {"median": 2.0, "total": 70.0}
    assert found[0]["agreement"]["equal"] == 1.0
    page = (workdir / "report" / "index.html").read_text()
    assert '<h2 id="people">People</h2>' in page
    # Agreement by class, in the order of the classes.
    by_class = found[0]["agreement"]["by_class"]
    assert {*by_class} <= {*own_data.CLASSES, "void"}
    assert 'aria-label="Agreement by class"' in page
    assert re.search(r"<td>1</td><td>2</td><td>35</td>", page)
    assert "people" not in result(truth / "truth")
    assert ">People</h2>" not in (truth / "truth" / "report" / "index.html").read_text()


def test_a_run_that_waits(truth, tmp_path, capsys):
    workdir = tmp_path / "run"

    def answer_all_rounds():
        for number in (1, 2, 3):
            path = workdir / "answers" / f"people_{number:02d}.json"
            waiting.until(path.exists, f"round {number}")
            give(workdir, true_patches(truth, number))

    with waiting.thread(answer_all_rounds, "people", 200):
        experiment.run(config_of(truth), workdir, wait=True)
    check_same(workdir, truth / "truth")
    said = capsys.readouterr().err
    assert "the run waits for them and goes on by itself" in said
    assert "answers to round 1  0/33" in said
    assert "stopped at step" not in said


def test_rounds_that_are_closed_early(truth, tmp_path):
    workdir, config = tmp_path / "run", config_of(truth)
    with pytest.raises(AnswersPending):
        experiment.run(config, workdir)
    patches = np.zeros((33, 1, 1), np.uint8)
    give(workdir, patches, at_most=10)
    for _ in range(2):
        with pytest.raises(AnswersPending):
            experiment.run(config, workdir)
        give(workdir, patches)
    experiment.run(config, workdir)
    first, *others = result(workdir)["rounds"]
    assert (first["picked"], first["pixels"], first["unanswered"]) == (33, 10, 23)
    assert [record.get("unanswered") for record in others] == [None, None]
    # It is not spent: what was asked later adds to what was answered, not to what was asked.
    assert others[-1]["fraction"] == pytest.approx(76 / (3 * own_data.HEIGHT * own_data.WIDTH))
    assert result(workdir)["people"][0]["unanswered"] == 23


def test_a_pool_without_labels(tmp_path):
    own_data.write(tmp_path / "files" / "yard")
    own_data.write(tmp_path / "files" / "yard", splits=["pool"])
    shutil.rmtree(tmp_path / "files" / "yard" / "pool_ids")
    splits = {
        name: {"images": f"{name}/{{day}}/{{id}}.jpg", "labels": f"{name}_ids/{{day}}/{{id}}.png"}
        for name in ("train", "val", "test")
    }
    splits["pool"] = {"images": "pool/{day}/{id}.jpg"}
    config = config_of(tmp_path, splits=splits)
    config.data.target = "yard/pool"
    config.acquisition.rounds = (2,)
    workdir = tmp_path / "run"
    with pytest.raises(AnswersPending):
        experiment.run(config, workdir)
    count = len(annotation.QueryLog(workdir / "queries").rounds[0])
    give(workdir, np.ones((count, 1, 1), np.uint8))
    experiment.run(config, workdir)
    assert result(workdir)["rounds"][0]["pixels"] == count
    assert (workdir / "report" / "index.html").exists()


def test_squares_that_people_would_answer_pixel_by_pixel(truth, tmp_path, capsys):
    config = config_of(truth)
    config.acquisition.unit = "region"
    config.acquisition.budget = 0.1
    with pytest.raises(AnswersPending):
        experiment.run(config, tmp_path / "run")
    said = capsys.readouterr().err
    assert (
        said.count("note: annotation.oracle people and method cbda: every query is 3 x 3 = 9 ") == 1
    )


def test_people_are_asked_about_single_pixels_unless_a_method_is_named(truth, tmp_path, capsys):
    config = config_of(truth)
    config.method, config.acquisition.unit = None, None
    config.acquisition.budget, config.acquisition.budget_in = 3, "answers_per_image"
    config.acquisition.radius = 1
    with pytest.raises(AnswersPending):
        experiment.run(config, tmp_path / "run")
    said = capsys.readouterr().err
    assert "note: people answer and no method is named: ripu_pixel, single pixels" in said
    assert "every query is" not in said
    assert json.loads((tmp_path / "run" / "config.json").read_text())["method"] == "ripu_pixel"
    (queries,) = annotation.QueryLog(tmp_path / "run" / "queries").rounds
    assert queries.radius == 0
    # Named, it is the same run.
    config.method = "ripu_pixel"
    with pytest.raises(AnswersPending):
        experiment.run(config, tmp_path / "run")
    config.method = "ripu"
    with pytest.raises(InputError, match="method"):
        experiment.run(config, tmp_path / "run")
