"""The main job in a process of its own, on small scenes; all but once with a small network."""

import contextlib
import json
import os
import re
import shutil
import signal
import sys

import numpy as np
import processes
import pytest
import scenes
import small_run
import waiting


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, data_dir):
    workdir = tmp_path_factory.mktemp("unbroken") / "run"
    done = small_run.run(workdir, data_dir)
    assert done.returncode == 0, done.stderr
    return workdir


@pytest.mark.slow
def test_a_run_leaves_everything_it_promises(data_dir, tmp_path):
    # As a user starts it, with the network of the config.
    workdir = tmp_path / "run"
    done = waiting.run(
        [sys.executable, "-m", "cbda_jax.main", *small_run.flags(workdir, data_dir)],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert len(small_run.queries(workdir)) == len(small_run.ROUNDS)
    result = small_run.result(workdir)
    assert 0 < result["evaluation"]["miou"] < 1
    assert "mIoU" in result["table"]
    assert result["table"] in done.stderr
    assert "<img" in (workdir / "report" / "index.html").read_text()
    assert list((workdir / "tensorboard").iterdir())
    with np.load(workdir / "evaluation" / "target_test.npz") as last:
        confusion, right, worst = last["confusion"], last["right"], last["worst"]
    accuracy = np.trace(confusion) / confusion.sum()
    assert result["evaluation"]["pixel_accuracy"] == accuracy
    assert right.sum() == np.trace(confusion)
    assert len(worst) == 3
    for index in worst:
        assert (workdir / "evaluation" / f"target_test_{index:05d}.npz").exists()
    assert result["cost"]["budget_words"] == "5 % of all pixels"
    assert result["cost"]["budget_fraction"] == 0.05
    rounds = result["rounds"]
    assert [r["step"] for r in rounds] == list(small_run.ROUNDS)
    for number, record in enumerate(rounds, 1):
        with np.load(workdir / "queries" / f"round_{number:02d}.npz") as log:
            assert record["picked"] == len(log["row"])
        assert sum(record["class_pixels"].values()) + record["void_pixels"] == record["pixels"]
    # 5 % in 9-pixel squares: ceil(2048 x 0.05 / 2 / 9) a round and image.
    assert [r["requested"] for r in rounds] == [6 * 5, 6 * 5]
    pixels = sum(r["pixels"] for r in rounds)
    assert rounds[-1]["fraction"] == pixels / (5 * 32 * 64)
    assert result["analysis"]["total"]["pixels"] == pixels


@pytest.mark.slow
def test_a_finished_run_does_nothing_and_another_config_is_refused(unbroken, data_dir):
    workdir = unbroken
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*") if path.is_file()}
    again = small_run.run(workdir, data_dir)
    assert again.returncode == 0
    assert "finished; nothing to do" in again.stderr
    other = small_run.run(workdir, data_dir, "--config.acquisition.budget=0.1")
    assert other.returncode == 2
    assert other.stderr.strip().splitlines()[-1] == (
        f"error: {workdir} holds a run of another config (acquisition.budget: 0.05 there, 0.1 "
        "now); use another --workdir, or the config it was started with, or --extend, with which "
        "it goes on to this one"
    )
    assert before == {p: p.stat().st_mtime_ns for p in workdir.rglob("*") if p.is_file()}


@contextlib.contextmanager
def _held(workdir, data_dir, folder, flags=(), **place):
    """A run that waits at a place, see `scenes.Hold`."""
    folder.mkdir()
    with small_run.start(workdir, data_dir, *flags, hold=scenes.Hold(folder, **place)) as process:
        waiting.until((folder / "held").exists, f"a run at {place}", children=[process])
        yield process


def _kill_at(workdir, data_dir, folder, **place):
    with _held(workdir, data_dir, folder, **place) as process:
        process.kill()
        assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_in_a_round_and_between_checkpoints_it_ends_the_same(unbroken, data_dir, tmp_path):
    workdir = tmp_path / "run"
    # All of the second round but its queries is written then.
    _kill_at(workdir, data_dir, tmp_path / "round", file="queries/round_02")
    assert any((workdir / "gallery").glob("round_02_*.npz"))
    assert len(small_run.queries(workdir)) == 1
    # One round from the checkpoint before it, without training.
    done = small_run.run(workdir, data_dir, "--mode=acquire")
    assert done.returncode == 0, done.stderr
    assert small_run.queries(workdir) == small_run.queries(unbroken)
    _kill_at(workdir, data_dir, tmp_path / "steps", step=10)
    done = small_run.run(workdir, data_dir)
    assert done.returncode == 0, done.stderr
    assert "going on from step" in done.stderr
    assert small_run.queries(workdir) == small_run.queries(unbroken)
    assert small_run.result(workdir)["evaluation"] == small_run.result(unbroken)["evaluation"]
    assert small_run.losses(workdir) == small_run.losses(unbroken)


@pytest.mark.slow
def test_told_to_stop_it_saves_and_goes_on_on_other_devices(unbroken, data_dir, tmp_path):
    workdir = tmp_path / "run"
    with _held(workdir, data_dir, tmp_path / "steps", step=5) as process:
        # While it lives, the workdir is its own.
        second = small_run.run(workdir, data_dir)
        assert second.returncode == 2
        assert f"in use by another run: process {process.pid}" in second.stderr
        process.send(signal.SIGTERM)
        (tmp_path / "steps" / "go").touch()
        assert process.end() == 75, process.errors
        step = int(re.search(r"stopped at step (\d+), which is saved", process.errors)[1])
    assert 5 <= step < small_run.STEPS
    assert (workdir / "checkpoints" / str(step)).is_dir()
    done = small_run.run(workdir, data_dir, devices=2)
    assert done.returncode == 0, done.stderr
    assert small_run.centres(workdir) == small_run.centres(unbroken)
    assert small_run.losses(workdir).keys() == small_run.losses(unbroken).keys()
    np.testing.assert_allclose(
        list(small_run.losses(workdir).values()),
        list(small_run.losses(unbroken).values()),
        rtol=1e-4,
    )


@pytest.mark.slow
def test_a_round_asked_for_early_is_kept(data_dir, tmp_path):
    workdir = tmp_path / "run"
    # Between the rounds of steps 4 and 8.
    _kill_at(workdir, data_dir, tmp_path / "steps", step=6)
    assert len(small_run.queries(workdir)) == 1
    done = small_run.run(workdir, data_dir, "--mode=acquire")
    assert done.returncode == 0, done.stderr
    asked = small_run.queries(workdir)
    assert len(asked) == 2
    done = small_run.run(workdir, data_dir)
    assert done.returncode == 0, done.stderr
    assert small_run.queries(workdir) == asked
    assert [r["step"] for r in small_run.result(workdir)["rounds"]] == list(small_run.ROUNDS)


@pytest.mark.slow
def test_two_devices_and_two_processes_ask_for_the_same(unbroken, data_dir, tmp_path):
    done = small_run.run(tmp_path / "devices", data_dir, devices=2)
    assert done.returncode == 0, done.stderr
    ended = processes.run(scenes.train, 2, small_run.flags(tmp_path / "processes", data_dir))
    assert [process.status for process in ended] == [0, 0], ended
    said = "".join(process.output for process in ended)
    assert re.findall(r"^devices:.*", said, re.M) == [
        "devices: 2 of 2 CPU devices in 2 processes on 1 host"
    ]
    assert "devices: 2 of 2 CPU devices in 1 process on 1 host\n" in done.stderr
    assert small_run.queries(tmp_path / "processes") == small_run.queries(tmp_path / "devices")
    assert small_run.centres(tmp_path / "devices") == small_run.centres(unbroken)
    for other in ("devices", "processes"):
        losses = small_run.losses(tmp_path / other)
        assert losses.keys() == small_run.losses(unbroken).keys()
        np.testing.assert_allclose(
            list(losses.values()), list(small_run.losses(unbroken).values()), rtol=1e-4
        )


@pytest.mark.slow
def test_people_answer_while_the_run_is_away(unbroken, data_dir, tmp_path):
    workdir = tmp_path / "run"
    oracle = "--config.annotation.oracle=people:Slow"
    for number, flags in ((1, ()), (2, ()), (2, ("--mode=acquire",))):
        done = small_run.run(workdir, data_dir, oracle, *flags)
        # The second round is asked for, waits, and is answered when one asks again.
        assert done.returncode == (0 if flags else 77), done.stderr
        assert len(small_run.queries(workdir)) == number
        assert len(small_run.answers(workdir)) == (number if flags else number - 1)
        if not flags:
            assert f"round {number} asks about 30 squares of 3 x 3 pixels" in done.stderr
            assert f"answer them at {workdir / 'people'}, then start the same" in done.stderr
            assert f"stopped at step {small_run.ROUNDS[number - 1]}, which is saved" in done.stderr
            assert "Traceback" not in done.stderr
    done = small_run.run(workdir, data_dir, oracle)
    assert done.returncode == 0, done.stderr
    reference = unbroken
    assert small_run.queries(workdir) == small_run.queries(reference)
    assert small_run.answers(workdir) == small_run.answers(reference)
    assert small_run.result(workdir)["evaluation"] == small_run.result(reference)["evaluation"]
    assert small_run.result(workdir)["analysis"] == small_run.result(reference)["analysis"]
    assert small_run.losses(workdir) == small_run.losses(reference)


@pytest.mark.slow
def test_a_workdir_without_answers_is_of_a_version_before(unbroken, data_dir, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(unbroken, workdir)
    shutil.rmtree(workdir / "answers")
    done = small_run.run(workdir, data_dir)
    assert done.returncode == 2
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith(
            f"error: {workdir}: a run of version 0.1 found, which has queries/ and no answers/"
        )
    )


@pytest.mark.slow
def test_evaluate_mode_writes_label_ids(unbroken, data_dir):
    from cbda_jax.data import images
    from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS

    workdir = unbroken
    metrics = (workdir / "metrics.jsonl").read_bytes()
    done = small_run.run(workdir, data_dir, "--mode=evaluate")
    assert done.returncode == 0, done.stderr
    assert (workdir / "metrics.jsonl").read_bytes() == metrics
    own = workdir / "evaluations" / f"step_{small_run.STEPS}-synthetic_city-target_test"
    paths = sorted((own / "predictions").glob("*_pred.png"))
    assert len(paths) == 5
    known = {value for value, name in LABEL_IDS.classes.items() if name is not None}
    for path in paths:
        prediction = images.decode(path.read_bytes())
        assert prediction.shape == (32, 64)
        assert set(np.unique(prediction).tolist()) <= known
    evaluation = small_run.result(workdir)["evaluation"]
    assert f"{100 * evaluation['miou']:.1f}" in done.stderr
    found = json.loads((own / "evaluation.json").read_text())
    assert found["evaluation"] == evaluation
    assert found["changed"] == {}
    assert "otherwise" not in done.stderr
    # Of other images, and in another way, without a new run; beside what there is.
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    other = (
        "--config.data.test=synthetic_city/target_val",
        "--config.data.val=synthetic_city/target_test",
        "--config.evaluation.flip=False",
    )
    done = small_run.run(workdir, data_dir, "--mode=evaluate", *other)
    assert done.returncode == 0, done.stderr
    assert (
        "note: evaluated otherwise than the run (data.test: 'synthetic_city/target_test' there, "
        "'synthetic_city/target_val' now; evaluation.flip: True there, False now)"
    ) in done.stderr
    assert before == {path: path.read_bytes() for path in before}
    (beside,) = workdir.glob(
        f"evaluations/step_{small_run.STEPS}-synthetic_city-target_val-????????"
    )
    assert len(list((beside / "predictions").glob("target_val_*_pred.png"))) == 5
    found = json.loads((beside / "evaluation.json").read_text())
    assert found["changed"]["evaluation.flip"] == [True, False]
    assert found["settings"]["evaluation.flip"] is False
    assert small_run.result(workdir)["evaluation"] == evaluation


EXTENDED = (
    "--extend",
    "--config.training.steps=18",
    "--config.acquisition.rounds=(4, 8, 14)",
    "--config.acquisition.budget=0.08",
)


@pytest.mark.slow
def test_a_finished_run_goes_on_and_all_before_stays(unbroken, data_dir, tmp_path):
    workdir, killed = tmp_path / "run", tmp_path / "killed"
    for folder in (workdir, killed):
        shutil.copytree(unbroken, folder)
    records = (unbroken / "metrics.jsonl").read_bytes()
    done = small_run.run(workdir, data_dir, *EXTENDED)
    assert done.returncode == 0, done.stderr
    assert f"{workdir}: extended at step 12, after 2 rounds (acquisition.budget: 0.05 -> " in (
        done.stderr
    )
    assert "what it came to before is kept as result_0.json" in done.stderr
    assert f"{workdir}: going on from step 12" in done.stderr
    assert small_run.queries(workdir)[:2] == small_run.queries(unbroken)
    assert small_run.answers(workdir)[:2] == small_run.answers(unbroken)
    assert (workdir / "metrics.jsonl").read_bytes().startswith(records)
    for new, old in (
        ("result_0.json", "result.json"),
        ("report/index_0.html", "report/index.html"),
    ):
        assert (workdir / new).read_bytes() == (unbroken / old).read_bytes()
    result = small_run.result(workdir)
    assert result["evaluation"]["step"] == 18
    (entry,) = result["history"]
    assert (entry["step"], entry["rounds"]) == (12, 2)
    assert entry["changed"]["training.steps"] == [small_run.STEPS, 18]
    assert "How the run was extended" in (workdir / "report" / "index.html").read_text()
    # What is left of 8 % of 32 x 64 in squares of 9, once 6 an image are taken: 7 for each of 5.
    assert [r["requested"] for r in result["rounds"]] == [30, 30, 35]
    centres = [place for asked in small_run.centres(workdir) for place in zip(*asked, strict=True)]
    assert len(centres) == 95
    for i, (image, row, col) in enumerate(centres):
        near = [c for c in centres[:i] if c[0] == image]
        assert all(max(abs(row - r), abs(col - c)) > 2 for _, r, c in near)
    # Killed as it is recorded, before what there was is put aside, and on the way: the same end.
    _kill_at(killed, data_dir, tmp_path / "recorded", file="config.json", flags=EXTENDED)
    assert small_run.result(killed)["evaluation"]["step"] == small_run.STEPS
    _kill_at(killed, data_dir, tmp_path / "aside", file="result_0", flags=EXTENDED)
    assert not (killed / "result_0.json").exists()
    # Recorded: the flag is not needed any more.
    _kill_at(killed, data_dir, tmp_path / "steps", step=16, flags=EXTENDED[1:])
    assert (killed / "result_0.json").exists()
    done = small_run.run(killed, data_dir, *EXTENDED)
    assert done.returncode == 0, done.stderr
    assert small_run.queries(killed) == small_run.queries(workdir)
    assert small_run.losses(killed) == small_run.losses(workdir)
    assert small_run.result(killed)["evaluation"] == result["evaluation"]
    assert len(small_run.result(killed)["history"]) == 1
    again = small_run.run(killed, data_dir, *EXTENDED)
    assert again.returncode == 0
    assert "finished; nothing to do" in again.stderr


@pytest.mark.slow
def test_source_free_from_a_source_trained_run(unbroken, data_dir, tmp_path):
    done = small_run.run(
        tmp_path / "run",
        data_dir,
        f"--config.pretrained={unbroken}",
        "--config.data.source_free=True",
        "--config.data.source=gtav",  # is not there, and need not be
    )
    assert done.returncode == 0, done.stderr
    assert len(small_run.queries(tmp_path / "run")) == 2
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    trained = [r for r in records if r["kind"] == "train"]
    assert trained
    assert not any("cross_entropy_source" in r for r in trained)
