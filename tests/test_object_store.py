"""Runs whose workdir and prepared data are in an object store, on hosts that share no disk."""

import io
import json
import signal

import numpy as np
import own_data
import processes
import pytest
import scenes
import tiny
import waiting
from answering import answer

from cbda_jax import stores
from cbda_jax.annotate import __main__ as program
from cbda_jax.annotation import AnswersPending, people
from cbda_jax.api import open_run
from cbda_jax.errors import InputError
from cbda_jax.run import experiment
from cbda_jax.runtime.lock import WorkdirLock

STEPS, ROUNDS = 10, (3, 6)


def _flags(workdir, data_dir, *flags):
    return [
        *("--config=configs/synthetic.py:method=cbda", f"--workdir={workdir}"),
        f"--config.data.dir={data_dir}",
        *("--config.data.source_size=(32,64)", "--config.data.target_size=(32,64)"),
        *("--config.data.synthetic_city.source_train=6", "--config.data.synthetic_city.seed=1"),
        *(f"--config.data.synthetic_city.target_{s}=5" for s in ("train", "val", "test")),
        *("--config.data.source_batch=2", "--config.data.target_batch=2"),
        *(f"--config.training.steps={STEPS}", f"--config.acquisition.rounds={ROUNDS}"),
        *("--config.evaluation.every=5", "--config.checkpoint.every=2"),
        *("--config.report.log_every=1", "--config.report.gallery=1"),
        "--config.acquisition.sub_rounds=2",
        *("--config.acquisition.batch_per_device=2", "--config.evaluation.batch_per_device=2"),
        "--config.compilation_cache=",
        *flags,
    ]


@pytest.fixture(scope="module")
def on_a_disk(tmp_path_factory):
    """The same run on a disk, undisturbed."""
    folder = tmp_path_factory.mktemp("disk")
    with processes.Fork(scenes.main, _flags(folder / "run", folder / "data")) as process:
        done = waiting.finish(process)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def _losses(workdir):
    lines = (workdir / "metrics.jsonl").read_bytes().splitlines()
    records = [json.loads(line) for line in lines]
    return {r["step"]: r["loss"] for r in records if r["kind"] == "train"}


def _asked(workdir):
    """Places that were asked about, by round."""
    found = []
    for number in range(1, len(ROUNDS) + 1):
        content = (workdir / "queries" / f"round_{number:02d}.npz").read_bytes()
        with np.load(io.BytesIO(content)) as log:
            found.append(np.stack([log["image"], log["row"], log["col"]]).tolist())
    return found


def _files(workdir):
    """Names of a run's files, but for those that are named by time or chance."""
    if not stores.is_store(workdir):
        names = [p.relative_to(workdir).as_posix() for p in workdir.rglob("*") if p.is_file()]
    else:
        names = stores.names(workdir)
    kept = {"answers/.keep"} | {n for n in names if n.startswith(("checkpoints/", "tensorboard/"))}
    return sorted({*names} - kept)


def _run(count, flags, bucket, caches):
    ended = processes.run(scenes.train_on_a_machine, count, flags, bucket.environment, caches)
    return [process.status for process in ended], "".join(process.output for process in ended)


@pytest.mark.slow
def test_killed_anywhere_it_ends_as_on_a_disk(bucket, on_a_disk, tmp_path):
    folder = bucket.folder()
    workdir, caches = folder / "run", tmp_path / "caches"
    flags = _flags(workdir, folder / "data")
    for name, place in (
        ("lock", {"file": "run/lock.json"}),
        ("part", {"file": "small_rounds/round_01/queries/round_02"}),
        ("queries", {"file": "run/queries/round_01"}),
        ("answers", {"file": "run/answers/round_01"}),
        ("checkpoint", {"file": "checkpoints/4/commit_success"}),
        ("steps", {"step": 9}),
    ):
        hold = scenes.Hold(tmp_path / name, **place)
        hold.folder.mkdir()
        arguments = ("", flags, bucket.environment, caches, hold)
        with processes.Fork(scenes.train_on_a_machine, 0, 1, *arguments) as process:
            waiting.until((hold.folder / "held").exists, f"a run at {place}", children=[process])
            process.kill()
            assert process.returncode == -signal.SIGKILL
    statuses, said = _run(1, flags, bucket, caches)
    assert statuses == [0], said
    assert "going on from step" in said
    assert "taking over from process" in said
    assert _files(workdir) == _files(on_a_disk)
    assert _asked(workdir) == _asked(on_a_disk)
    assert _losses(workdir) == _losses(on_a_disk)
    for name in ("answers/round_01.npz", "answers/round_02.npz", "queries/round_01.npz"):
        assert (workdir / name).read_bytes() == (on_a_disk / name).read_bytes()
    here, there = (json.loads((run / "result.json").read_bytes()) for run in (workdir, on_a_disk))
    assert here["evaluation"] == there["evaluation"]
    # Nothing of it went to a folder of that name.
    assert not [path for path in waiting.ROOT.iterdir() if path.name.startswith("s3")]
    statuses, said = _run(1, flags, bucket, caches)
    assert statuses == [0], said
    assert "finished; nothing to do" in said
    statuses, said = _run(1, [*flags, "--mode=evaluate"], bucket, caches)
    assert statuses == [0], said
    written = [name for name in stores.names(workdir) if name.startswith("evaluations/")]
    assert len(written) == 1 + 5
    run = open_run(str(workdir))
    assert run.result is not None
    assert run.result["evaluation"] == here["evaluation"]
    assert len(run.queries()) == len(ROUNDS)


@pytest.mark.slow
def test_hosts_that_share_no_disk(bucket, on_a_disk, tmp_path):
    folder = bucket.folder()
    workdir, caches = folder / "run", tmp_path / "caches"
    flags = _flags(workdir, folder / "data")
    hold = scenes.Hold(tmp_path / "steps", step=7)
    hold.folder.mkdir()
    started = processes.start(
        scenes.train_on_a_machine, 2, flags, bucket.environment, caches, hold, together=True
    )
    with started as both:
        waiting.until((hold.folder / "held").exists, "a run at step 7", children=both)
        # While it lives, the workdir is its own.
        statuses, said = _run(1, flags, bucket, caches)
        assert statuses == [2], said
        assert f"{workdir} is in use by another run: process {both[0].pid}" in said
        for process in both:
            process.kill()
    statuses, said = _run(2, flags, bucket, caches)
    assert statuses == [0, 0], said
    assert "going on from step" in said
    assert sorted(path.name for path in caches.iterdir()) == ["0", "1"]
    assert _files(workdir) == _files(on_a_disk)
    assert _asked(workdir) == _asked(on_a_disk)
    losses, alone = _losses(workdir), _losses(on_a_disk)
    assert losses.keys() == alone.keys()
    np.testing.assert_allclose(list(losses.values()), list(alone.values()), rtol=1e-4)


def test_people_answer_a_run_in_a_store(bucket, tmp_path, monkeypatch, capsys):
    tiny.use(monkeypatch)
    own_data.write(tmp_path / "files" / "yard")
    config = own_data.config_of(tmp_path)
    config.method = "cbda"
    config.acquisition.unit = "pixel"
    config.acquisition.rounds = (1, 2)
    config.acquisition.budget = 0.02
    config.annotation.oracle = "ground_truth"
    experiment.run(config, tmp_path / "truth")
    config.annotation.oracle = "people"
    workdir = bucket.folder() / "run"
    # On a disk of whoever serves the page; the run never looks into it.
    ledger_file = tmp_path / "ledger.sqlite"
    for number in (1, 2):
        with pytest.raises(AnswersPending):
            experiment.run(config, workdir)
        assert f"cbda_jax.annotate --workdir={workdir}" in capsys.readouterr().err
        truth = tmp_path / "truth" / "answers" / f"round_{number:02d}.npz"
        with np.load(truth) as arrays, people.Ledger(ledger_file) as ledger:
            asked = people.open_asked(ledger, workdir)
            assert asked is not None
            while (task := asked.next("ada", now=0)) is not None:
                given = arrays["patches"][task.query].tobytes()
                guess = int(asked.queries.predicted[task.query])
                shown = task.guess is not None
                assert asked.record(
                    answer(task.query, "ada", given, guess=guess, guess_shown=shown)
                )
            people.close(asked, workdir)
    experiment.run(config, workdir)
    here, there = (open_run(run).result for run in (str(workdir), tmp_path / "truth"))
    assert here is not None
    assert there is not None
    assert here["evaluation"] == there["evaluation"]
    assert not [name for name in stores.names(workdir) if "ledger" in name]
    flags = [f"--workdir={workdir}", f"--ledger={ledger_file}"]
    assert program.main([flags[0], "--close"]) == 2
    assert "in an object store, found without --ledger" in capsys.readouterr().err
    assert program.main([*flags, "--close"]) == 2
    assert "no open round found" in capsys.readouterr().err
    rows = tmp_path / "all.csv"
    assert program.main([*flags, f"--export={rows}"]) == 0
    assert len(rows.read_text().splitlines()) > 1


def test_what_needs_a_disk_is_refused(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr("cbda_jax.reporting.trackers._NEEDS", {})
    workdir = bucket.folder() / "run"
    config = own_data.config_of(tmp_path)
    config.report.tracker = "mlflow"
    with pytest.raises(InputError, match=r"report\.tracker: 'mlflow' found with s3://.*on a disk"):
        experiment.run(config, workdir)
    config.report.tracker, config.pretrained = "", str(workdir)
    with pytest.raises(InputError, match=r"pretrained: s3://.* not found, expected a .safetensors"):
        experiment.run(config, workdir)
    assert stores.names(workdir) == []


def test_a_store_without_conditional_writes_is_refused(bucket, monkeypatch):
    monkeypatch.setattr(stores, "create", stores.put)
    workdir = bucket.folder() / "run"
    with pytest.raises(InputError, match=r"lock.json: the store writes over an object although"):
        WorkdirLock(workdir).acquire()
    assert stores.names(workdir) == []
