import contextlib
import random
import sqlite3

import pytest
from answering import answer, event
from round_files import message

from cbda_jax.annotation.people import disks, store
from cbda_jax.annotation.people.store import Store
from cbda_jax.errors import InputError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers" / "ledger.sqlite"


@contextlib.contextmanager
def opened(path, *, writable=True):
    with contextlib.closing(Store(path, writable=writable)) as found:
        yield found


def fill(path, count=5):
    events = [answer(number, patch=bytes([number, 255])) for number in range(count)]
    with opened(path) as written:
        written.add("rounds", 1, "abc", count, 0, 0.05, 0.1, 0, 1.0)
        for one in events:
            written.add_events(1, [one])
    return events


def change(path, statement):
    """What a program does that knows nothing of ledgers."""
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute(statement)


def test_what_is_added_is_read(path):
    events = fill(path)
    with opened(path) as found:
        found.add_events(2, [event("skip", 0)])
        found.add("closings", 1, 2.0)
        assert [*found.events(1)] == events
        # Beside the one who writes.
        with opened(path, writable=False) as seen:
            assert [*seen.events(1)] == events
            assert (seen.closed(), seen.registered()[1].queries) == ({1}, "abc")
            with pytest.raises(InputError, match="cannot be written"):
                seen.add("closings", 2, 2.0)
    assert sorted(x.name for x in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


def test_what_is_written_is_on_the_disk(path):
    with opened(path) as found:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2)):
            assert found._open_connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)
    with pytest.raises(InputError, match="a closed ledger found"):
        found.closed()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET patch = x'00'",
        "UPDATE events SET number = 9 WHERE number = 1",
        "DELETE FROM events",
        "DELETE FROM people",
        "DELETE FROM closings",
        "UPDATE rounds SET seed = 1",
        "REPLACE INTO rounds SELECT * FROM rounds",
        "REPLACE INTO events SELECT * FROM events",
        "INSERT OR REPLACE INTO events SELECT NULL, id, round, kind, query, person, x'01', guess, "
        "guess_shown, seconds, time, digest FROM events",
        "INSERT OR REPLACE INTO closings SELECT NULL, round, 5 FROM closings",
        "INSERT INTO events SELECT NULL, 'new', round, kind, query, person, patch, guess, "
        "guess_shown, seconds, time, digest FROM events WHERE number = 1",
    ],
)
def test_no_program_changes_or_removes_anything(path, statement):
    events = fill(path)
    with opened(path) as written:
        written.add("people", "ada", "hash", 1.0)
        written.add("closings", 1, 2.0)
    with pytest.raises(sqlite3.IntegrityError, match=r"never|closed"):
        change(path, statement)
    with opened(path, writable=False) as found:
        assert [*found.events(1)] == events


def test_an_id_is_there_once(path):
    (one,) = fill(path, 1)
    with opened(path) as found:
        line = message(found.add_events, 1, [one])
        assert "never replaced" in line
        assert "nothing already written has changed" in line
        # What follows is under the right checksum.
        found.add_events(1, [answer(1)])
    with opened(path, writable=False) as found:
        assert len([*found.events(1)]) == 2


def test_all_of_several_or_none(path):
    (one,) = fill(path, 1)
    with opened(path) as found:
        assert "never replaced" in message(found.add_events, 1, [answer(1), one, answer(2)])
        assert [*found.events(1)] == [one]
        more = [answer(1), answer(2)]
        found.add_events(1, more)
    with opened(path, writable=False) as found:
        assert [*found.events(1)] == [one, *more]


def test_one_writes(path):
    with opened(path):
        line = message(Store, path, writable=True)
        assert f"{path}: in use by process " in line
        assert "stop that one, or answer there" in line
    with opened(path):
        pass


def test_on_the_disk_of_another_machine(path, monkeypatch, tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/work {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(
        store, "network_file_system", lambda path: disks.network_file_system(path, mounts)
    )
    line = message(Store, path, writable=True)
    assert line.startswith(f"{path}: a network file system (nfs4) found, expected a disk of this")
    assert "copy its folder answers back" in line
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("UPDATE events SET patch = x'00ff' WHERE number = 3", 3),
        ("UPDATE events SET seconds = 3 WHERE number = 5", 5),
        ("UPDATE events SET person = 'bob' WHERE number = 1", 1),
        ("DELETE FROM events WHERE number = 2", 2),
        ("DELETE FROM events WHERE number = 1", 1),
        ("UPDATE events SET number = 9 WHERE number = 5", 5),
    ],
)
def test_rows_that_are_not_as_they_were_written(path, statement, place):
    fill(path)
    for name in ("events_update", "events_delete"):
        change(path, f"DROP TRIGGER {name}")
    change(path, statement)
    before = path.read_bytes()
    for writable in (True, False):
        line = message(Store, path, writable=writable)
        assert line.startswith(f"{path}: found damaged (event {place} is not as it was written)")
        assert line.endswith("nothing was touched; restore the file from a backup")
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", 99 * b"no database at all"])
def test_files_that_are_no_ledger(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    assert "found damaged" in message(Store, path, writable=True)
    assert path.read_bytes() == content


@pytest.mark.parametrize("pragma", ["user_version = 2", "application_id = 5"])
def test_a_database_of_another_program_or_version(path, pragma):
    fill(path)
    change(path, f"PRAGMA {pragma}")
    assert "it is no ledger of version 1" in message(Store, path, writable=True)


def test_damage_is_found_or_does_no_harm(path):
    events = fill(path, 30)
    whole = path.read_bytes()
    rng = random.Random(0)
    damaged = [whole[:end] for end in (10, 100, 4096, len(whole) // 2, len(whole) - 1)]
    for place in rng.sample(range(len(whole)), 200):
        flipped = whole[place] ^ 1 << rng.randrange(8)
        damaged.append(whole[:place] + bytes([flipped]) + whole[place + 1 :])
    found = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            with opened(path, writable=False) as read:
                assert [*read.events(1)] == events
        except InputError:
            found += 1
        assert path.read_bytes() == content
        for left in ("-wal", "-shm"):
            path.with_name(path.name + left).unlink(missing_ok=True)
    assert found > 10


def test_a_copy_while_it_is_written(path, tmp_path):
    copy = tmp_path / "copies" / "copy.sqlite"
    events = [answer(number) for number in range(3)]
    with opened(path) as written:
        for one in events:
            written.add_events(1, [one])
        written.backup(copy)
        written.add_events(1, [answer(4)])
        (tmp_path / "folder").mkdir()
        with pytest.raises(InputError, match="cannot write"):
            written.backup(tmp_path / "folder")
    assert [x.name for x in copy.parent.iterdir()] == [copy.name]
    assert sorted(x.name for x in tmp_path.iterdir()) == ["answers", "copies", "folder"]
    with opened(copy) as found:
        assert [*found.events(1)] == events


def test_a_folder_that_cannot_be_written_to(path):
    path.parent.write_text("a file")
    assert "cannot write" in message(Store, path, writable=True)
