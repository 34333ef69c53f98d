"""Folders in an object store, with a real server."""

import concurrent.futures
import os
import time

import numpy as np
import pytest

from cbda_jax import stores
from cbda_jax.errors import InputError
from cbda_jax.files import check_new_folder, read_npz, write_atomic, write_bytes, write_npz


def test_paths_are_told_apart(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert stores.to_path("~/run") == tmp_path / "run"
    assert not stores.is_store(tmp_path)
    path = stores.to_path("s3://bucket/run") / "config.json"
    assert (str(path), path.name, stores.is_store(path)) == (
        "s3://bucket/run/config.json",
        "config.json",
        True,
    )
    assert stores.to_path(path) == path


@pytest.mark.parametrize("text", ["az://bucket/run", "https://host/run", "s3://", "gs:///"])
def test_other_stores_and_no_bucket_are_refused(text):
    with pytest.raises(InputError, match=r"^--workdir: '.*' found, expected a folder, gs://BUCKET"):
        stores.to_path(text, "--workdir")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        InputError, match=r"^data.dir: 'gs://a/b' found, but gcsfs .*'cbda_jax\[gcs\]'"
    ):
        stores.to_path("gs://a/b", "data.dir")


def test_one_of_many_creates_an_object(bucket):
    path = bucket.folder() / "one"

    def create(number):
        try:
            stores.create(path, str(number).encode())
        except FileExistsError:
            return 0
        return 1

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(create, range(8))) == 1
    content = stores.read(path)
    # Whoever tries again because the answer was lost has done it.
    stores.create(path, content)
    with pytest.raises(FileExistsError):
        stores.create(path, b"another")
    assert stores.read(path) == content


def test_what_is_written_is_read(bucket, tmp_path):
    folder = bucket.folder()
    stores.put(folder / "a", b"first")
    stores.put(folder / "a", b"second")
    stores.put(folder / "b" / "c", memoryview(b"third"))
    assert stores.read(folder / "a") == b"second"
    assert stores.names(folder) == ["a", "b/c"]
    assert abs(stores.modified_ns(folder / "a") / 1e9 - time.time()) < 60
    stores.download(folder / "b" / "c", tmp_path / "deep" / "c")
    assert (tmp_path / "deep" / "c").read_bytes() == b"third"
    stores.upload_folder(tmp_path, folder / "up")
    assert stores.names(folder / "up") == ["deep/c"]
    stores.remove(folder / "a")
    stores.remove(folder / "a")
    assert stores.names(folder) == ["b/c", "up/deep/c"]
    stores.remove_folder(folder / "up")
    assert stores.names(folder) == ["b/c"]
    assert stores.names(bucket.folder()) == []
    for read in (stores.read, stores.modified_ns):
        with pytest.raises(FileNotFoundError):
            read(folder / "a")


def test_what_others_wrote_is_seen_at_once(bucket):
    folder = bucket.folder()
    assert not folder.exists()
    stores.put(folder / "a", b"")
    assert [path.name for path in folder.iterdir()] == ["a"]
    # Past this process's own knowledge of what is there.
    other = type(stores.file_system(folder))(use_listings_cache=False, skip_instance_cache=True)
    other.pipe_file(os.fspath(folder / "b"), b"")
    assert [path.name for path in folder.glob("*")] == ["a", "b"]
    assert (folder / "b").exists()
    other.rm_file(os.fspath(folder / "a"))
    assert [path.name for path in folder.iterdir()] == ["b"]


def test_an_object_grows(bucket):
    path = bucket.folder() / "log"
    growing = stores.GrowingObject(path, b"kept\n")
    assert growing.write(b"one\n") == 4
    assert not path.exists()
    growing.flush()
    assert stores.read(path) == b"kept\none\n"
    growing.write(b"two\n")
    growing.close()
    assert stores.read(path) == b"kept\none\ntwo\n"
    often = stores.GrowingObject(path, every_s=0)
    often.write(b"new")
    assert stores.read(path) == b"new"


def test_files_go_there_as_they_go_to_a_disk(bucket):
    folder = bucket.folder()
    check_new_folder(folder, "--out")
    write_atomic(folder / "a.txt", lambda file: file.write(b"text"))
    write_npz(folder / "b.npz", x=np.array([1, 2]))
    assert (folder / "a.txt").read_bytes() == b"text"
    assert read_npz(folder / "b.npz")["x"].tolist() == [1, 2]
    with pytest.raises(InputError, match="expected a new or an empty folder"):
        check_new_folder(folder, "--out")
    write_bytes(folder / "round_01.npz", b"asked", new=True)
    with pytest.raises(InputError, match=r"round_01\.npz: found, expected no file yet"):
        write_bytes(folder / "round_01.npz", b"asked otherwise", new=True)
    assert (folder / "round_01.npz").read_bytes() == b"asked"


def test_a_failed_write_leaves_what_was_there(bucket):
    path = bucket.folder() / "a.txt"
    write_bytes(path, b"before")

    def fail(file):
        file.write(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomic(path, fail)
    assert path.read_bytes() == b"before"


def test_a_store_that_fails_is_told_in_one_line(bucket, tmp_path, monkeypatch):
    nowhere = stores.to_path("s3://nobucket/run")
    with pytest.raises(InputError, match=r"^cannot write s3://nobucket/run/a: The specified buc"):
        write_bytes(nowhere / "a", b"")
    with pytest.raises(OSError, match="bucket"):
        stores.check_writable(nowhere)
    assert stores.names(nowhere) == []
    with (
        pytest.raises(InputError, match=r"^s3://nobucket/run: the object store failed \(.*bucket"),
        stores.reported(nowhere),
    ):
        stores.put(nowhere / "a", b"")
    with pytest.raises(ZeroDivisionError), stores.reported(nowhere):
        raise ZeroDivisionError
    # A file on a disk that is not there is no matter of the store's.
    with pytest.raises(FileNotFoundError), stores.reported(nowhere):
        (tmp_path / "none").read_bytes()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    other = type(stores.file_system(nowhere))(skip_instance_cache=True)
    other.retries = 1
    monkeypatch.setattr(stores, "file_system", lambda _: other)
    with (
        pytest.raises(InputError, match=r"the object store failed \(Could not connect to the end"),
        stores.reported(nowhere),
    ):
        stores.read(nowhere / "a")
