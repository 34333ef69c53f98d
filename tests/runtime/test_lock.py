"""One run at a time in a workdir, also after kills and from other machines."""

import contextlib
import errno
import functools
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
import waiting
from processes import Fork, run
from scenes_of_files import enter, hold_lock

from cbda_jax.errors import InputError
from cbda_jax.runtime import identity, lock
from cbda_jax.runtime.lock import WorkdirLock

ELSEWHERE = {"boot": "another", "host": "node7"}


@pytest.fixture
def take():
    """`take(workdir)`: a lock, taken, and released at the end of the test."""
    held = []

    def acquire(workdir, **settings):
        held.append(WorkdirLock(workdir, **settings))
        held[-1].acquire()
        return held[-1]

    yield acquire
    for one in held:
        one.release()


def _write(path, *, age_s=0.0, **changes):
    """A lock that another run left, or has."""
    owner = {**identity.describe(), "token": "theirs", **changes}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(owner))
    then = time.time() - age_s
    os.utime(path, (then, then))
    return owner


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_second_run_is_refused_and_changes_nothing(tmp_path, take):
    take(tmp_path)
    before = (tmp_path / "lock.json").read_bytes()
    with pytest.raises(InputError) as error:
        WorkdirLock(tmp_path).acquire()
    text = str(error.value)
    assert "\n" not in text
    assert f"{tmp_path} is in use by another run: process {os.getpid()} on " in text
    assert socket.gethostname() in text
    assert json.loads(before)["since"] in text
    assert "wait for its end, stop it, or use another --workdir" in text
    assert (tmp_path / "lock.json").read_bytes() == before
    assert _names(tmp_path) == ["lock.json"]


def test_the_lock_goes_with_the_run_and_so_does_an_empty_folder(tmp_path):
    workdir = tmp_path / "runs" / "new"
    with lock.hold(workdir):
        assert _names(workdir) == ["lock.json"]
    assert not (tmp_path / "runs").exists()
    with lock.hold(workdir):
        (workdir / "config.json").write_text("{}")
    with pytest.raises(InputError, match="of the run"), lock.hold(workdir):
        raise InputError("of the run")
    assert _names(workdir) == ["config.json"]


def test_a_refused_or_impossible_lock_leaves_no_trace(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(InputError, match=r"cannot write .*Not a directory; .*has changed"):
        WorkdirLock(tmp_path / "file" / "run").acquire()
    assert _names(tmp_path) == ["file"]
    _write(tmp_path / "run" / "lock.json")
    with pytest.raises(InputError, match="in use"), lock.hold(tmp_path / "run"):
        pass
    assert _names(tmp_path / "run") == ["lock.json"]


def test_the_lock_of_a_killed_run_is_taken_over(tmp_path, take, capsys):
    with Fork(hold_lock, tmp_path) as process:
        process.says("held")
        with pytest.raises(InputError, match=f"process {process.pid} on "):
            WorkdirLock(tmp_path).acquire()
        process.send(signal.SIGKILL)
        waiting.until(lambda: identity.start_time(process.pid) is None, "the kernel to kill")
        take(tmp_path)
        assert f"taking over from process {process.pid} on" in capsys.readouterr().err
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()
        assert _names(tmp_path) == ["lock.json"]


def test_a_process_id_used_again_is_not_the_owner(tmp_path, take):
    started = identity.start_time(os.getpid())
    assert started is not None
    _write(tmp_path / "lock.json", started=started - 1)
    take(tmp_path)


@pytest.mark.parametrize("where", [ELSEWHERE, {"pid_namespace": "pid:[1]", "pid": 1}])
def test_a_run_that_cannot_be_seen_counts_by_its_heartbeat(where, tmp_path, take):
    path = tmp_path / "lock.json"
    _write(path, **where)
    stop = threading.Event()

    def beat():
        while not stop.wait(0.1):
            os.utime(path)

    with waiting.thread(beat, "the heart of the other run"):
        try:
            with pytest.raises(InputError, match="in use by another run"):
                WorkdirLock(tmp_path, beat_s=0.1, stale_s=30).acquire()
        finally:
            stop.set()
    start = time.monotonic()
    take(tmp_path, beat_s=0.1, stale_s=0.5)
    assert time.monotonic() - start >= 0.3


def test_an_old_lock_of_another_machine_is_taken_at_once(tmp_path, take, capsys):
    _write(tmp_path / "lock.json", age_s=3600, **ELSEWHERE)
    take(tmp_path)
    said = capsys.readouterr().err
    assert "taking over from process" in said
    assert "on node7" in said
    assert "waiting" not in said


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_lock_that_says_nothing_is_watched(content, tmp_path, take, capsys):
    (tmp_path / "lock.json").write_text(content)
    take(tmp_path, beat_s=0.1, stale_s=0.3)
    assert "waiting 0 s for a sign of life" in capsys.readouterr().err
    assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("stale", [True, False])
def test_of_many_that_race_one_wins(stale, links, tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    for attempt in range(15):
        workdir = tmp_path / str(attempt)
        if stale:
            _write(workdir / "lock.json", started=-1)
        racers = [WorkdirLock(workdir, beat_s=0.1) for _ in range(6)]
        start = threading.Barrier(len(racers))
        won, refused = [], []

        def race(one, start=start, won=won, refused=refused):
            start.wait(timeout=60)
            try:
                one.acquire()
                won.append(one)
            except InputError as error:
                refused.append(error)

        with contextlib.ExitStack() as stack:
            for one in racers:
                stack.enter_context(waiting.thread(functools.partial(race, one), "a racer"))
        assert (len(won), len(refused)) == (1, 5)
        token = json.loads((workdir / "lock.json").read_text())["token"]
        assert token == won[0]._owner["token"]
        assert _names(workdir) == ["lock.json"]
        won[0].release()


def test_a_run_killed_while_taking_over_stops_nobody(tmp_path, take):
    _write(tmp_path / "lock.json", started=-1)
    _write(tmp_path / ".lock.json.theirs.claim", started=-2, token="second")
    _write(tmp_path / ".lock.json.second.claim", started=-3, token="third")
    take(tmp_path)
    assert _names(tmp_path) == ["lock.json"]


def test_a_lock_that_was_taken_away_is_noticed_and_left_alone(tmp_path, take):
    held = take(tmp_path, beat_s=0.02)
    first = (tmp_path / "lock.json").stat().st_mtime_ns
    waiting.until(lambda: (tmp_path / "lock.json").stat().st_mtime_ns > first, "a sign of life")
    held.check()
    (tmp_path / "lock.json").unlink()
    _write(tmp_path / "lock.json")
    held._heart.join(30)
    with pytest.raises(InputError, match="expected the lock of this one"):
        held.check()
    held.release()
    assert json.loads((tmp_path / "lock.json").read_text())["token"] == "theirs"


def test_leftovers_of_a_killed_run_go_and_nothing_else(tmp_path):
    gone = (
        ".config.json.ab12cd_9.tmp",
        ".lock.json.0123abcd.claim",
        "queries/.round_01.npz.01234567.tmp",
        "small_rounds/round_02/answers/.round_01.npz.01234567.tmp",
        "gallery/.round_01_a.npz.01234567.tmp",
        "report/.index.html.01234567.tmp",
        "checkpoints/3.orbax-checkpoint-tmp/state/d",
        "checkpoints/4.orbax-checkpoint-tmp-17/state/d",
    )
    kept = (
        "lock.json",
        "notes.tmp",
        ".hidden",
        ".a.tmp",
        "queries/round_01.npz",
        "small_rounds/round_02/answers/round_01.npz",
        "checkpoints/3/state/d",
        "checkpoints/corrupt-2/state/d",
        "checkpoints/mine.orbax-checkpoint-tmp/d",
        "predictions/.a_pred.png.01234567.tmp",
        "mine/.a.01234567.tmp",
    )
    for name in gone + kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".link.01234567.tmp").symlink_to(tmp_path / "lock.json")
    removed = lock.remove_leftovers(tmp_path)
    assert len(removed) == len(gone)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*kept, ".link.01234567.tmp"}
    assert lock.remove_leftovers(tmp_path / "none") == []


@pytest.mark.slow
def test_all_processes_of_a_refused_run_end(tmp_path, take):
    take(tmp_path)
    ended = run(enter, 2, tmp_path)
    assert [process.status for process in ended] == [0, 0], ended
    outputs = [process.output for process in ended]
    for output in outputs:
        assert f"is in use by another run: process {os.getpid()} on " in output
    assert _names(tmp_path) == ["lock.json"]
