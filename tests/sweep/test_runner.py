"""Processes of a sweep, with small commands in the place of runs."""

import json
import os
import signal
import sys

import ml_collections
import pytest
import waiting

from cbda_jax.errors import InputError
from cbda_jax.runtime.preemption import Preempted
from cbda_jax.sweep import runner
from cbda_jax.sweep.plan import make_plan
from cbda_jax.sweep.runner import Job, Workers


def job(folder, name, code="pass", **options):
    script = f"import pathlib, sys, time; out = pathlib.Path({str(folder)!r}); {code}"
    return Job(
        name, [sys.executable, "-S", "-c", script], folder / "logs" / f"{name}.log", **options
    )


def test_jobs_wait_for_what_they_need(tmp_path):
    prepared = []
    touch = "(out / '{}').write_text(str(time.time()))"
    jobs = [
        job(tmp_path, "trunk", f"time.sleep(0.3); {touch.format('trunk')}", counts=False),
        job(
            tmp_path,
            "arm",
            f"assert (out / 'trunk').exists(); {touch.format('arm')}",
            needs="trunk",
            prepare=lambda: prepared.append((tmp_path / "trunk").exists()),
        ),
        job(tmp_path, "other", touch.format("other")),
    ]
    assert runner.run_all(jobs, Workers(2)) == []
    assert prepared == [True]
    # The second worker did not wait.
    assert float((tmp_path / "other").read_text()) < float((tmp_path / "trunk").read_text())


def test_a_failure_stops_only_what_needs_it(tmp_path):
    jobs = [
        job(tmp_path, "trunk", "print('first'); sys.exit('no space left')", counts=False),
        job(tmp_path, "arm", needs="trunk"),
        job(tmp_path, "other", "(out / 'other').touch()"),
    ]
    failures = runner.run_all(jobs, Workers(1))
    assert [failure.name for failure in failures] == ["trunk", "arm"]
    assert failures[0].why == f"exit status 1, {tmp_path}/logs/trunk.log: no space left"
    assert "trunk failed" in failures[1].why
    assert (tmp_path / "other").exists()
    assert (tmp_path / "logs" / "trunk.log").read_text().splitlines()[0] == "first"


def test_what_cannot_be_prepared_fails_alone(tmp_path):
    def refuse():
        raise InputError("no checkpoint")

    jobs = [job(tmp_path, "arm", prepare=refuse), job(tmp_path, "other")]
    assert runner.run_all(jobs, Workers(1)) == [("arm", "no checkpoint")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_notice_to_stop_is_passed_on(tmp_path, number):
    wait = (
        "import signal; signal.signal(signal.SIGTERM, lambda *_: ((out / 'saved').touch(), "
        "sys.exit(75))); (out / 'started').touch(); time.sleep(300)"
    )

    def notify():
        waiting.until((tmp_path / "started").exists, "the start of the job")
        os.kill(os.getpid(), number)

    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    jobs = [job(tmp_path, "a", wait), job(tmp_path, "b", "(out / 'b').touch()")]
    with waiting.thread(notify, "the notice"), pytest.raises(Preempted):
        runner.run_all(jobs, Workers(1))
    assert (tmp_path / "saved").exists()
    assert not (tmp_path / "b").exists()
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_workers_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3, 5, 7, 9})
    assert [Workers(2).cores(i) for i in range(2)] == [{1, 3}, {5, 7, 9}]
    assert Workers(7).cores(0) == {1}
    assert all(Workers(7).cores(i) for i in range(7))
    assert Workers(1).cores(0) is None
    monkeypatch.undo()
    write = "import os; (out / 'cores').write_text(repr(sorted(os.sched_getaffinity(0))))"
    assert runner.run_all([job(tmp_path, "a", write)], Workers(2)) == []
    assert (tmp_path / "cores").read_text() == repr(sorted(Workers(2).cores(0) or ()))


def test_workers_have_a_gpu_each_or_a_part_of_it(monkeypatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    workers = Workers(2, ["3", "5"])
    found = [workers.environment(place) for place in range(2)]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in found] == ["3", "5"]
    assert workers.cores(0) is None
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in found[0]
    shared = Workers(4, ["3", "5"]).environment(2)
    assert shared["CUDA_VISIBLE_DEVICES"] == "3"
    assert shared["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.450"


def test_workers_of_processors_use_huge_pages_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert Workers(2).environment(1)["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    assert "GLIBC_TUNABLES" not in Workers(2, ["0"]).environment(0)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")
    assert Workers(2).environment(1)["GLIBC_TUNABLES"] == "glibc.malloc.arena_max=2"


# ----------------------------------------------------------------- jobs of a plan


@pytest.fixture
def plan(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    sweep = ml_collections.ConfigDict(convert_dict=False)
    sweep.config, sweep.baseline = "configs/synthetic.py", "ripu"
    sweep.seeds, sweep.budgets, sweep.common = (0, 1), (0.05,), {}
    sweep.arms = {
        "source_only": {"method": "source_only"},
        "ripu": {"method": "ripu"},
        "cbda": {"method": "cbda", "acquisition.rounds": (400, 500)},
    }
    return make_plan(sweep)


def finish(out, name):
    (out / "runs" / name).mkdir(parents=True, exist_ok=True)
    (out / "runs" / name / "result.json").write_text("{}")


def make_trunk(out, warm):
    trunk = out / "warm" / warm.name
    (trunk / "checkpoints" / str(warm.step)).mkdir(parents=True)
    (trunk / "checkpoints" / str(warm.step) / "state").write_text("arrays")
    (trunk / "metrics.jsonl").write_text('{"kind": "pool", "step": 0}\n')
    (trunk / "config.json").write_text('{"method": "trunk"}')
    return trunk


def test_jobs_come_seed_by_seed_with_one_warm_start_each(plan, tmp_path):
    jobs = runner.schedule(plan, tmp_path)
    warm = [f"warm-{plan.runs[2 + seed].warm.name}" for seed in (0, 1)]
    assert [found.name for found in jobs] == [
        *("source_only-s0", warm[0], "ripu-b0.05-s0", "cbda-b0.05-s0"),
        *("source_only-s1", warm[1], "ripu-b0.05-s1", "cbda-b0.05-s1"),
    ]
    assert [found.needs for found in jobs[:4]] == [None, None, warm[0], warm[0]]
    assert "--until=400" in jobs[1].command
    assert [found.counts for found in jobs[:3]] == [True, False, True]
    assert "--config.acquisition.rounds=(400, 500)" in jobs[3].command
    assert f"--workdir={tmp_path / 'runs' / 'cbda-b0.05-s0'}" in jobs[3].command


def test_finished_runs_are_skipped_and_broken_ones_go_on(plan, tmp_path):
    for run in plan.runs:
        finish(tmp_path, run.name)
    assert runner.schedule(plan, tmp_path) == []
    (tmp_path / "runs" / "ripu-b0.05-s0" / "result.json").rename(
        tmp_path / "runs" / "ripu-b0.05-s0" / "config.json"
    )
    jobs = runner.schedule(plan, tmp_path)
    assert [(found.name, found.needs) for found in jobs] == [("ripu-b0.05-s0", None)]
    assert jobs[0].prepare is None


def test_a_single_run_needs_no_warm_start_but_takes_one_that_is_there(plan, tmp_path):
    for run in plan.runs:
        if run.name != "cbda-b0.05-s1":
            finish(tmp_path, run.name)
    (only,) = runner.schedule(plan, tmp_path)
    assert (only.needs, only.prepare) == (None, None)
    make_trunk(tmp_path, plan.runs[-1].warm)
    (only,) = runner.schedule(plan, tmp_path)
    assert only.needs is None
    only.prepare()
    assert (tmp_path / "runs" / "cbda-b0.05-s1" / "checkpoints" / "400").is_dir()


def test_the_copy_of_a_warm_start_is_a_workdir_of_the_run(plan, tmp_path):
    run = plan.runs[-1]
    trunk = make_trunk(tmp_path, run.warm)
    (trunk / "checkpoints" / "250").mkdir()
    (trunk / "lock.json").write_text("{}")
    workdir = tmp_path / "runs" / run.name
    leftover = workdir.with_name(f".{run.name}.warm")
    leftover.mkdir(parents=True)
    (leftover / "half").touch()
    runner.start_from(trunk, workdir, run.warm, run.config)
    found = sorted(str(path.relative_to(workdir)) for path in workdir.rglob("*") if path.is_file())
    assert found == ["checkpoints/400/state", "config.json", "metrics.jsonl"]
    assert json.loads((workdir / "config.json").read_text())["method"] == "cbda"
    assert sorted(path.name for path in workdir.parent.iterdir()) == [run.name]
    # What a run has is never replaced.
    (trunk / "metrics.jsonl").write_text("other")
    runner.start_from(trunk, workdir, run.warm, run.config)
    assert (workdir / "metrics.jsonl").read_text() != "other"


def test_a_warm_start_without_its_checkpoint_is_refused(plan, tmp_path):
    run = plan.runs[-1]
    with pytest.raises(InputError, match="no checkpoint of step 400 found"):
        runner.start_from(tmp_path / "warm", tmp_path / "run", run.warm, run.config)
    assert not (tmp_path / "run").exists()
