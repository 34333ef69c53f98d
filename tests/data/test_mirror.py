"""Prepared data in an object store: one upload, a copy on every machine, nothing in part."""

import concurrent.futures
import json
import shutil
import zlib

import numpy as np
import pytest

from cbda_jax import stores
from cbda_jax.data import mirror
from cbda_jax.data.records import open_records
from cbda_jax.data.turns import take_turn
from cbda_jax.errors import InputError

SIZES = {"source_train": 2, "target_train": 1, "target_val": 1, "target_test": 1}


@pytest.fixture
def store(bucket):
    return bucket.folder()


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """`machine(name)`: from now on this is another machine, with a cache of its own."""

    def become(name):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return tmp_path / name / "cbda_jax"

    become("first")
    return become


def _open(store, **options):
    return open_records(
        "synthetic_city/source_train", data_dir=store, size=(32, 64), **SIZES, **options
    )


def _images(records):
    return np.stack([records.image(index) for index in range(len(records))])


def test_one_machine_prepares_and_others_copy(store, machine, capfd):
    first = _open(store)
    assert "preparing" in capfd.readouterr().out
    there = stores.names(store)
    assert any(name.endswith("/files.json") for name in there)
    copies = machine("second")
    second = _open(store, prepare=False)
    assert second.directory.startswith(str(copies))
    assert first.directory != second.directory
    np.testing.assert_array_equal(_images(second), _images(first))
    assert second.ids == first.ids
    again = _open(store)
    assert again.directory == second.directory
    assert "preparing" not in capfd.readouterr().out
    assert stores.names(store) == there


def test_a_copy_that_was_cut_off_is_made_again(store, machine, monkeypatch):
    _open(store)
    copies = machine("second")
    copied = []

    def cut_off(place, path):
        if copied:
            raise OSError("the network is gone")
        copied.append(path)
        path.parent.mkdir(parents=True)
        path.write_bytes(stores.read(place))

    with monkeypatch.context() as patch:
        patch.setattr(stores, "download", cut_off)
        with pytest.raises(InputError, match="object store failed"):
            _open(store)
    assert copied
    assert not [*copies.rglob("1.0.0")]
    assert len(_open(store)) == 2


def test_a_file_of_other_content_is_refused(store, machine):
    _open(store)
    name = next(n for n in stores.names(store) if n.endswith("labelling.json"))
    stores.put(store / name, stores.read(store / name) + b" ")
    machine("second")
    with pytest.raises(InputError, match=r"labelling\.json: other content than files\.json says"):
        _open(store)


def test_an_upload_that_was_cut_off_is_finished(store, machine, monkeypatch):
    def fail(*_):
        raise OSError("the network is gone")

    with monkeypatch.context() as patch:
        patch.setattr(stores, "create", fail)
        with pytest.raises(InputError, match="object store failed"):
            _open(store)
    assert not [n for n in stores.names(store) if n.endswith("/files.json")]
    machine("second")
    with pytest.raises(InputError, match="nothing found, expected a prepared data set"):
        _open(store, prepare=False)
    machine("first")
    assert len(_open(store)) == 2
    machine("third")
    assert len(_open(store, prepare=False)) == 2


def test_of_two_that_upload_all_take_the_first(store, machine, tmp_path):
    def prepared(name, content):
        folder = mirror.local(store, str(tmp_path / name)) / "city" / "96" / "1.0.0"
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "a").write_text(content)
        return folder

    one, other = prepared("one", "first"), prepared("other", "second")
    mirror.publish(one)
    mirror.publish(other)
    listed = json.loads(stores.read(store / "city" / "96" / "1.0.0" / "files.json"))
    assert listed["files"] == {"deep/a": [5, zlib.crc32(b"first")]}
    mirror.fetch(other)
    assert (other / "deep" / "a").read_text() == "first"
    shutil.rmtree(one)
    mirror.fetch(one)
    assert (one / "deep" / "a").read_text() == "first"
    # One that is not listed is none.
    stores.remove(store / "city" / "96" / "1.0.0" / "files.json")
    mirror.fetch(one)
    assert (one / "deep" / "a").read_text() == "first"


def test_a_folder_of_a_disk_is_itself(tmp_path):
    assert mirror.local(tmp_path) == tmp_path
    assert mirror.origin(tmp_path / "a" / "b" / "c") is None
    mirror.fetch(tmp_path / "a" / "b" / "c")
    mirror.publish(tmp_path / "a" / "b" / "c")
    assert [*tmp_path.iterdir()] == []


def test_turns_are_taken(tmp_path):
    inside = []

    def work(number):
        with take_turn(tmp_path / "deep" / "lock", "works"):
            inside.append(number)
            assert len(inside) == 1
            inside.remove(number)
        return number

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        assert [*threads.map(work, range(20))] == [*range(20)]
