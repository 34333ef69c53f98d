"""The lock of a workdir as a lease in an object store: one run at a time, whatever happens."""

import concurrent.futures
import json
import time

import pytest
import waiting
from processes import Fork
from scenes_of_files import hold_lock

from cbda_jax import stores
from cbda_jax.errors import InputError
from cbda_jax.runtime import identity, lock
from cbda_jax.runtime.lock import WorkdirLock

ELSEWHERE = {"boot": "another", "host": "node7"}


@pytest.fixture
def workdir(bucket):
    return bucket.folder()


def _write(path, *, beats=None, **changes):
    """A lease that another run left, or has."""
    stores.put(path, json.dumps({**identity.describe(), "token": "theirs", **changes}).encode())
    if beats is not None:
        stores.put(path.with_name(".lock.json.theirs.beat"), str(beats).encode())


def test_a_second_run_is_refused_and_changes_nothing(workdir):
    first = WorkdirLock(workdir)
    first.acquire()
    before = stores.read(workdir / "lock.json")
    with pytest.raises(InputError, match="is in use by another run: process"):
        WorkdirLock(workdir).acquire()
    first.check()
    assert stores.read(workdir / "lock.json") == before
    first.release()
    assert stores.names(workdir) == []
    with lock.hold(workdir):
        assert "lock.json" in stores.names(workdir)
    assert stores.names(workdir) == []


@pytest.mark.slow
def test_a_killed_owner_of_this_machine_is_replaced_at_once(bucket, workdir, capfd):
    with Fork(hold_lock, str(workdir), bucket.environment) as process:
        process.says("held")
        with pytest.raises(InputError, match=f"process {process.pid} on"):
            WorkdirLock(workdir).acquire()
        process.kill()
    with lock.hold(workdir):
        assert "taking over from process" in capfd.readouterr().err
        lock.remove_leftovers(workdir)
        assert stores.names(workdir) == ["lock.json"]
    assert stores.names(workdir) == []


def test_an_owner_elsewhere_that_beats_is_left_alone(workdir):
    _write(workdir / "lock.json", beats=1, **ELSEWHERE)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        held = WorkdirLock(workdir, beat_s=0.4, stale_s=30)
        refused = thread.submit(held.acquire)
        beats = 2
        while not refused.done():
            stores.put(workdir / ".lock.json.theirs.beat", str(beats).encode())
            beats += 1
            time.sleep(0.1)
        with pytest.raises(InputError, match=r"in use by another run: process .* on node7"):
            refused.result(0)
    assert json.loads(stores.read(workdir / "lock.json"))["token"] == "theirs"


def test_an_owner_elsewhere_without_a_sign_of_life_is_replaced(workdir):
    _write(workdir / "lock.json", beats=1, **ELSEWHERE)
    start = time.monotonic()
    held = WorkdirLock(workdir, beat_s=0.4, stale_s=1.5)
    held.acquire()
    assert time.monotonic() - start > 0.4
    held.check()
    held.release()
    assert "lock.json" not in stores.names(workdir)


def test_of_many_one_replaces_a_dead_owner(workdir):
    _write(workdir / "lock.json", pid=2**22 + 1)

    def try_it(_):
        held = WorkdirLock(workdir)
        try:
            held.acquire()
        except InputError:
            return None
        return held

    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        held = [one for one in threads.map(try_it, range(6)) if one is not None]
    assert len(held) == 1
    held[0].check()
    held[0].release()
    lock.remove_leftovers(workdir)
    assert stores.names(workdir) == []


def test_a_claim_that_was_left_is_replaced_too(workdir):
    _write(workdir / "lock.json", pid=2**22 + 1)
    _write(workdir / ".lock.json.theirs.claim", pid=2**22 + 1, token="third")
    with lock.hold(workdir) as held:
        held.check()
    lock.remove_leftovers(workdir)
    assert stores.names(workdir) == []


def test_a_run_that_slept_writes_nothing_more(workdir):
    held = WorkdirLock(workdir, beat_s=60)
    held.acquire()
    _write(workdir / "lock.json", **ELSEWHERE)
    with pytest.raises(InputError, match="of another run, expected the lock of this one"):
        held.check()
    held.release()
    assert json.loads(stores.read(workdir / "lock.json"))["token"] == "theirs"


def test_an_owner_gives_signs_of_life(workdir):
    with lock.hold(workdir, beat_s=0.05):
        (path,) = waiting.until(lambda: [*workdir.glob(".lock.json.*.beat")], "a beat")
        first = int(stores.read(path))
        waiting.until(lambda: int(stores.read(path)) > first, "another")
        # What is this run's own stays.
        assert lock.remove_leftovers(workdir) == []
    assert stores.names(workdir) == []


def test_a_store_that_cannot_be_written_to(bucket):
    with pytest.raises(InputError, match=r"^cannot write s3://nobucket/run/lock.json: The spec"):
        WorkdirLock(stores.to_path("s3://nobucket/run")).acquire()
