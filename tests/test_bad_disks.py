"""Disks that are full or read-only, and writers that are killed: nothing written before changes."""

import contextlib
import json
import os
import resource
import signal
from pathlib import Path

import numpy as np
import processes
import pytest
import scenes
import scenes_of_files
import waiting
from PIL import Image

from cbda_jax.annotation import UNANSWERED, AnswerLog, Answers, Queries, QueryLog, cut
from cbda_jax.data.records import open_records
from cbda_jax.errors import InputError
from cbda_jax.files import write_atomic, write_npz


class Disk:
    """A folder on a disk of its own, of 40 MiB, that can be filled up and made read-only."""

    def __init__(self, folder: Path):
        self.folder = folder

    @contextlib.contextmanager
    def full(self, room=0):
        """Leaves so many bytes."""
        filling = self.folder / "filling"
        status = os.statvfs(self.folder)
        with filling.open("wb") as file:
            file.write(bytes(max(status.f_bavail * status.f_frsize - room, 0)))
        yield
        filling.unlink()

    @contextlib.contextmanager
    def read_only(self):
        """Refuses every write, root's too."""
        waiting.run(["mount", "-o", "remount,ro", self.folder], 60).check_returncode()
        yield
        waiting.run(["mount", "-o", "remount,rw", self.folder], 60).check_returncode()


class Quota(Disk):
    """The same where nothing can be mounted: no file may grow beyond a size."""

    @contextlib.contextmanager
    def full(self, room=0):
        """Files of more bytes are refused."""
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    @contextlib.contextmanager
    def read_only(self):
        """Skips."""
        pytest.skip("root alone can mount a read-only disk")
        yield


@pytest.fixture
def mounted(tmp_path):
    """A `Disk`, or a skipped test where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder]
    if os.getuid() or waiting.run(command, 60).returncode:
        pytest.skip("root alone can mount a small disk")
    yield Disk(folder)
    waiting.run(["umount", "--lazy", folder], 60).check_returncode()


@pytest.fixture(params=["mounted", "quota"])
def disk(request, tmp_path):
    """A disk that can be full, of both kinds."""
    if request.param == "mounted":
        return request.getfixturevalue("mounted")
    (tmp_path / "quota").mkdir()
    return Quota(tmp_path / "quota")


def contents(folder):
    """What is in a folder, and when it was written; without what a preparation makes anew."""
    anew = ("filling", "metadata.json", ".1.0.0.lock")
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in anew
    }


def refused(function, *arguments, **named):
    """The message of a refusal, which is one line."""
    with pytest.raises(InputError) as error:
        function(*arguments, **named)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


# ------------------------------------------------------------------ one file


def test_a_full_disk_keeps_the_old_file(disk):
    path = disk.folder / "result.json"
    write_atomic(path, lambda file: file.write(b"old"))
    before = contents(disk.folder)
    with disk.full():
        for name in ("result.json", "other.json"):
            message = refused(
                write_atomic, disk.folder / name, lambda file: file.write(bytes(9999))
            )
            assert message.startswith(f"cannot write {disk.folder / name}: ")
            assert "free some space or name another folder; nothing already written" in message
        message = refused(write_npz, disk.folder / "a.npz", values=np.arange(9999))
        assert f"cannot write {disk.folder / 'a.npz'}" in message
    assert contents(disk.folder) == before
    write_atomic(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"


def test_a_read_only_disk_keeps_the_old_file(mounted):
    path = mounted.folder / "result.json"
    write_atomic(path, lambda file: file.write(b"old"))
    before = contents(mounted.folder)
    with mounted.read_only():
        assert "Read-only file system" in refused(write_atomic, path, lambda file: file.write(b"x"))
        assert "Read-only" in refused(write_atomic, mounted.folder / "a" / "b", lambda file: None)
    assert contents(mounted.folder) == before


# ----------------------------------------------------------------- query log


def queries(number):
    rng = np.random.default_rng(number)
    places = rng.permutation(100 * 100)[:3000] + 10_000 * number
    return Queries(
        round=number,
        step=10 * number,
        image_ids=("a",),
        image=np.zeros(3000, np.int32),
        row=(places // 100).astype(np.int32),
        col=(places % 100).astype(np.int32),
        score=rng.random(3000, np.float32),
        predicted=rng.integers(0, 19, 3000, np.uint8),
        radius=1,
        about={},
    )


def test_the_query_log_survives_a_full_disk(disk):
    log = QueryLog(disk.folder / "queries")
    log.append(queries(1))
    before = contents(disk.folder)
    with disk.full(room=4096):
        message = refused(log.append, queries(2))
    assert f"cannot write {log.path(2)}: " in message
    assert len(log.rounds) == 1
    assert contents(disk.folder) == before
    assert len(QueryLog(log.folder).rounds) == 1
    log.append(queries(2))
    assert [len(found) for found in QueryLog(log.folder).rounds] == [3000, 3000]


def test_the_query_log_survives_a_read_only_disk(mounted):
    log = QueryLog(mounted.folder / "queries")
    log.append(queries(1))
    before = contents(mounted.folder)
    with mounted.read_only():
        assert "Read-only file system" in refused(log.append, queries(2))
        assert len(QueryLog(log.folder).rounds) == 1
    assert contents(mounted.folder) == before


# ------------------------------------------------------------------- answers


def logs(folder):
    """Query log and answers of a run."""
    log = QueryLog(folder / "queries")
    return AnswerLog(
        folder / "answers", log, classes=tuple("abcdefghijklmnopqrs"), sizes={"a": (400, 100)}
    )


def answers(number):
    rng = np.random.default_rng(number)
    asked = queries(number)
    patches = rng.integers(0, 19, (len(asked), 3, 3), np.uint8)
    inside = cut(np.zeros((400, 100), np.uint8), asked.row, asked.col, 1) == 0
    return Answers(asked, np.where(inside, patches, np.uint8(UNANSWERED)))


def ask(folder, number):
    """Asks for a round; the answers are yet to come."""
    found = logs(folder)
    found.make_folder()
    QueryLog(folder / "queries").append(queries(number))
    return logs(folder)


def test_the_answers_survive_a_full_disk(disk):
    found = ask(disk.folder, 1)
    found.write(answers(1))
    found = ask(disk.folder, 2)
    before = contents(disk.folder)
    with disk.full(room=4096):
        message = refused(found.write, answers(2))
    assert f"cannot write {found.path(2)}: " in message
    assert contents(disk.folder) == before
    assert len(logs(disk.folder).rounds) == 1
    found.write(answers(2))
    last = logs(disk.folder).rounds[1]
    np.testing.assert_array_equal(last.patches, answers(2).patches)


def test_the_answers_survive_a_read_only_disk(mounted):
    found = ask(mounted.folder, 1)
    before = contents(mounted.folder)
    with mounted.read_only():
        assert "Read-only file system" in refused(found.write, answers(1))
        assert logs(mounted.folder).rounds == []
        other = AnswerLog(
            mounted.folder / "other", QueryLog(mounted.folder / "none"), classes="ab", sizes={}
        )
        assert "Read-only file system" in refused(other.make_folder)
    assert contents(mounted.folder) == before


# --------------------------------------------------------------- preparation


@pytest.fixture
def root(tmp_path):
    """Six GTAV pairs whose records take a few hundred kilobytes."""
    root = tmp_path / "gtav"
    rng = np.random.default_rng(0)
    for folder, shape in (("images", (96, 128, 3)), ("labels", (96, 128))):
        (root / folder).mkdir(parents=True)
        for number in range(6):
            array = rng.integers(0, 34, shape, np.uint8)
            Image.fromarray(array).save(root / folder / f"{number:05d}.png")
    return root


def prepare(root, data_dir, size=(96, 128), **options):
    return open_records("gtav", data_dir=data_dir, root=root, size=size, **options)


# At the beginning, among the records, at their end, and when only the index is left.
@pytest.mark.parametrize("room", [0, 8192, 100_000, 200_000])
def test_preparing_on_a_full_disk(disk, root, room):
    other = prepare(root, disk.folder, size=(8, 12))
    before = contents(disk.folder)
    with disk.full(room):
        message = refused(prepare, root, disk.folder)
    assert "free some space" in message.lower()
    assert str(disk.folder) in message
    assert contents(disk.folder) == before
    assert "expected a prepared data set" in refused(prepare, root, disk.folder, prepare=False)
    assert len(prepare(root, disk.folder)) == 6
    assert len(prepare(root, disk.folder, size=(8, 12))) == len(other)


def test_preparing_on_a_read_only_disk_and_reading_there(mounted, root):
    records = prepare(root, mounted.folder)
    expected = [record["image"].sum() for record in records]
    before = contents(mounted.folder)
    with mounted.read_only():
        message = refused(prepare, root, mounted.folder, size=(8, 12))
        assert "cannot be written (Read-only file system) found, expected one with room" in message
        again = prepare(root, mounted.folder)
        assert [record["image"].sum() for record in again] == expected
    assert contents(mounted.folder) == before
    (index,) = Path(records.directory).glob("index-*.npz")
    index.unlink()
    with mounted.read_only():
        again = prepare(root, mounted.folder)
        assert again.ids == records.ids
        np.testing.assert_array_equal(again.class_pixels, records.class_pixels)


@pytest.mark.parametrize("stop", ["records", "index"])
def test_a_killed_preparation_is_made_again(root, tmp_path, stop, capsys):
    data_dir = tmp_path / "data"
    other = prepare(root, data_dir, size=(8, 12))
    (data_dir / "gtav" / "notes.txt").write_text("mine")
    now = tmp_path / "now"
    with processes.Fork(scenes_of_files.prepare_until, stop, data_dir, root, now) as process:
        waiting.until(now.exists, f"a preparation at its {stop}", children=[process])
        process.kill()
        assert process.returncode == -signal.SIGKILL
    (rest,) = data_dir.glob("gtav/*/incomplete.*")
    (rest.parent / "incomplete.notes").write_text("mine")
    before = {n: c for n, c in contents(data_dir).items() if "incomplete." not in n}
    assert "expected a prepared data set" in refused(prepare, root, data_dir, prepare=False)
    capsys.readouterr()
    records = prepare(root, data_dir)
    assert capsys.readouterr().out.count("prepared gtav") == 1
    assert not rest.exists()
    assert (rest.parent / "incomplete.notes").read_text() == "mine"
    assert before.items() <= contents(data_dir).items()
    assert len(records) == len(prepare(root, tmp_path / "unbroken")) == 6
    for ours, theirs in zip(records, prepare(root, tmp_path / "unbroken"), strict=True):
        np.testing.assert_array_equal(ours["image"], theirs["image"])
    assert len(prepare(root, data_dir, size=(8, 12), prepare=False)) == len(other)


# ----------------------------------------------------------------- whole runs


def run(workdir, data_dir, mode="train"):
    """The job as a user starts it, on small scenes, with a small network."""
    flags = (
        "--config=configs/synthetic.py:steps=4",
        *(f"--workdir={workdir}", f"--config.data.dir={data_dir}", f"--mode={mode}"),
        *("--config.data.source_size=(32,64)", "--config.data.target_size=(32,64)"),
        *(f"--config.data.synthetic_city.{s}_train=4" for s in ("source", "target")),
        *(f"--config.data.synthetic_city.target_{s}=2" for s in ("val", "test")),
        *("--config.data.source_batch=2", "--config.data.target_batch=2"),
        *("--config.acquisition.rounds=(2,)", "--config.evaluation.every=0"),
        *("--config.checkpoint.every=2", "--config.checkpoint.keep=1"),
        *("--config.report.log_every=1", "--config.report.gallery=1"),
        # As in test_main.py, whose compiled programs serve here too.
        *(f"--config.{name}.batch_per_device=2" for name in ("acquisition", "evaluation")),
        "--config.compilation_cache=",
    )
    with processes.Fork(scenes.main, flags) as process:
        return waiting.finish(process)


def stopped(*arguments, **options):
    """The message with which a run stopped."""
    done = run(*arguments, **options)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def outcome(workdir):
    result = json.loads((workdir / "result.json").read_text())
    return (workdir / "queries" / "round_01.npz").read_bytes(), result["evaluation"]


@pytest.mark.slow
def test_a_run_on_a_full_disk_stops_and_goes_on_when_there_is_room(mounted, tmp_path):
    data_dir, unbroken = tmp_path / "data", tmp_path / "unbroken"
    assert run(unbroken, data_dir).returncode == 0
    size = sum(len(content) for content, _ in contents(unbroken).values())
    workdir = mounted.folder / "run"
    asked = {}
    for part in (0.02, 0.5, 0.95):
        there = sum(len(content) for content, _ in contents(workdir).values())
        with mounted.full(room=max(int(part * size) - there, 0)):
            message = stopped(workdir, data_dir)
        assert str(mounted.folder) in message
        assert "No space left on device" in message
        folders = [workdir / name for name in ("queries", "answers")]
        queried = {(f.name, n): c for f in folders for n, c in contents(f).items()}
        assert asked.items() <= queried.items()
        asked = queried
    assert run(workdir, data_dir).returncode == 0
    assert outcome(workdir) == outcome(unbroken)
    written = contents(mounted.folder)
    with mounted.full():
        message = stopped(workdir, data_dir, mode="evaluate")
        assert "predictions" in message
        assert "No space left on device" in message
    with mounted.read_only():
        # It has finished: only says so.
        assert run(workdir, data_dir).returncode == 0
        assert "Read-only file system" in stopped(workdir, data_dir, mode="evaluate")
        assert "Read-only file system" in stopped(mounted.folder / "another", data_dir)
    assert contents(mounted.folder) == written
