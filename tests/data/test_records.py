import concurrent.futures
import errno
import json
import pickle
import threading
from pathlib import Path

import grain
import numpy as np
import processes
import pytest
import waiting
from PIL import Image
from scenes_of_files import prepare_when_told

from cbda_jax.data import encoding, images, index, prepare
from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.encoding import Labelling
from cbda_jax.data.records import Records, open_records
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19, SYNTHIA_16


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "gtav"
    rng = np.random.default_rng(0)
    for folder, shape in (("images", (20, 40, 3)), ("labels", (20, 40))):
        (root / folder).mkdir(parents=True)
        for number in range(6):
            array = rng.integers(0, 34, shape, np.uint8)
            Image.fromarray(array).save(root / folder / f"{number:05d}.png")
    return root


@pytest.fixture
def records(root, tmp_path):
    return opened(root, tmp_path)


def opened(root, tmp_path, name="gtav", **options):
    return open_records(name, data_dir=tmp_path / "data", root=root, size=(12, 24), **options)


def same(a, b):
    return a["image_id"] == b["image_id"] and all(
        np.array_equal(a[key], b[key]) for key in ("image", "label")
    )


def test_parts_of_a_record_are_decoded_alone(records, monkeypatch):
    record = records[2]
    decoded = []
    decode = images.decode
    monkeypatch.setattr(images, "decode", lambda data: decoded.append(data) or decode(data))
    np.testing.assert_array_equal(records.image(2), record["image"])
    np.testing.assert_array_equal(records.label(2), record["label"])
    assert len(decoded) == 2
    assert (record["image"].shape, record["image"].dtype) == ((12, 24, 3), np.uint8)
    assert (record["label"].shape, record["label"].dtype) == ((12, 24), np.uint8)


def test_index_has_ends(records):
    assert len(records) == 6
    assert same(records[-1], records[5])
    assert [record["image_id"] for record in records] == list(records.ids)
    with pytest.raises(IndexError, match="record 6 of 6"):
        records.image(6)


def test_pickled_records_read_alike(records):
    copy = pickle.loads(pickle.dumps(records))
    assert copy.ids == records.ids
    np.testing.assert_array_equal(copy.class_pixels, records.class_pixels)
    assert same(copy[3], records[3])
    assert repr(copy) == repr(records)


def test_threads_read_what_one_reads(records):
    expected = [records[i] for i in range(6)]
    draws = np.random.default_rng(0).integers(0, 6, 200).tolist()
    fresh = pickle.loads(pickle.dumps(records))  # its files are not open yet
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for i, record in zip(draws, pool.map(fresh.__getitem__, draws), strict=True):
            assert same(record, expected[i])


def test_grain_reads_records(records):
    dataset = grain.MapDataset.source(records).map(lambda record: record["image_id"])
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
    assert list(dataset.to_iter_dataset(options)) == list(records.ids)


def test_the_index_is_rebuilt_where_it_is_missing(records):
    path = index.index_path(records.directory, "train")
    path.unlink()
    again = Records(records.directory, "train")
    assert again.ids == records.ids
    np.testing.assert_array_equal(again.class_pixels, records.class_pixels)
    # Labels of a source are as large as its images.
    assert again.sizes.tolist() == records.sizes.tolist() == 6 * [[12, 24]]
    assert path.exists()
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []


def test_an_index_of_other_records_is_refused(records):
    size = np.ones((1, 2), np.int32)
    other = index.Index(("a",), np.zeros((1, 19), np.int64), size, size)
    index.write_index(records.directory, "train", other)
    with pytest.raises(InputError, match="index of 'train' has 1 images of 6 stored"):
        Records(records.directory, "train")


def test_a_damaged_index_is_made_again(records):
    path = index.index_path(records.directory, "train")
    whole = path.read_bytes()
    for damage in (b"", whole[:-30], whole[:400] + b"x" + whole[401:], b"x" * len(whole)):
        path.write_bytes(damage)
        again = Records(records.directory, "train")
        assert again.ids == records.ids
        np.testing.assert_array_equal(again.class_pixels, records.class_pixels)
        assert index.read_index(records.directory, "train")[0] == records.ids


def flip(content):
    # The first kilobyte holds the first record.
    return content[:300] + bytes([content[300] ^ 1]) + content[301:]


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("*.array_record*", flip, r"a damaged prepared data set \(.*hash mismatch"),
        ("*.array_record*", lambda content: content[:-1], "a damaged prepared data set"),
        ("*.array_record*", lambda content: content[: 2**16], "None found in place of '00000'"),
        ("*.array_record*", lambda _: b"", r"\(ArrayRecord file should be at least 64KB big\)"),
        ("*.array_record*", None, r"cannot be read \(open\(\) failed: No such file or directory"),
        ("dataset_info.json", lambda content: content[:-9], r"\(Failed to load JSON"),
        ("dataset_info.json", None, r"\(dataset_info\.json is missing\)"),
        ("features.json", lambda _: b"", r"\(Expecting value"),
    ],
)
def test_damage_of_what_was_prepared(root, tmp_path, name, spoil, message):
    directory = Path(opened(root, tmp_path).directory)
    (path,) = directory.glob(name)
    content = path.read_bytes()
    path.unlink()
    if spoil is not None:
        path.write_bytes(spoil(content))
    before = {p: p.read_bytes() for p in directory.iterdir()}

    def read_all():
        return [record["image_id"] for record in opened(root, tmp_path)]

    with pytest.raises(InputError, match=message) as error:
        read_all()
    assert str(error.value).startswith(f"{directory}: ")
    assert len(str(error.value).splitlines()) == 1
    assert "emove this folder to have it prepared again" in str(error.value)
    assert {p: p.read_bytes() for p in directory.iterdir()} == before
    path.write_bytes(content)
    assert len(read_all()) == 6


def test_a_file_that_is_cut_while_it_is_read(records):
    records.image(0)
    (path,) = Path(records.directory).glob("*.array_record*")
    with path.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(InputError, match="a damaged prepared data set"):
        [records.image(i) for i in range(6)]


def test_two_processes_prepare_at_the_same_time(root, tmp_path):
    # The other stream is kept apart: nothing may come between two parts of a line.
    with processes.start(prepare_when_told, 2, tmp_path / "data", root, tmp_path) as running:
        ready = [tmp_path / f"ready{i}" for i in range(2)]
        waiting.until(lambda: all(x.exists() for x in ready), "both to be ready", children=running)
        (tmp_path / "go").touch()
        statuses = waiting.end_all(running)
        assert statuses == [0, 0], [child.errors for child in running]
        found = [child.output.splitlines() for child in running]
    assert found[0][-1] == found[1][-1]
    assert sum(line.startswith("prepared gtav") for lines in found for line in lines) == 1
    folders = [path for path in Path(json.loads(found[0][-1])[0]).parent.iterdir() if path.is_dir()]
    assert [path.name for path in folders] == ["1.0.0"]


def test_threads_prepare_once(root, tmp_path, capsys):
    barrier = threading.Barrier(3)

    def prepare_in_thread(_):
        barrier.wait(timeout=60)
        return opened(root, tmp_path).ids

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(prepare_in_thread, range(3)))) == 1
    assert capsys.readouterr().out.count("prepared gtav") == 1


def test_rests_of_a_killed_preparation_are_removed(root, tmp_path):
    builder = prepare.create_builder("gtav", data_dir=tmp_path / "data", root=root, size=(12, 24))
    rest = Path(builder.data_dir).parent / "incomplete.ABCDEF_1.0.0"
    rest.mkdir(parents=True)
    (rest / "gtav-train.array_record").write_bytes(b"half")
    assert len(opened(root, tmp_path)) == 6
    assert not rest.exists()


def test_without_preparing_it_must_be_there(root, tmp_path):
    with pytest.raises(InputError, match="nothing found, expected a prepared data set"):
        opened(root, tmp_path, prepare=False)
    opened(root, tmp_path)
    (root / "images" / "00000.png").unlink()  # the files are not looked at again
    assert len(opened(root, tmp_path, prepare=False)) == 6


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "gtaw",
            {},
            r"data set: 'gtaw' found, .*; did you mean 'gtav'\?",
        ),
        ("gtav/val", {}, r"a split 'val' found, expected one of train;"),
        (
            "gtav",
            {"rout": "x"},
            "data set 'gtav': an option 'rout' found, expected some of root, s",
        ),
    ],
)
def test_unknown_names(root, tmp_path, name, options, message):
    with pytest.raises(InputError, match=message):
        opened(root, tmp_path, name, **options)


def test_a_data_dir_that_cannot_be_written(root, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(
        InputError, match=r"data.*: .* cannot be written .* or set another data_dir"
    ):
        opened(root, tmp_path)


def test_a_full_disk(root, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cbda_jax.data.datasets.folders.write_index", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        opened(root, tmp_path)
    monkeypatch.undo()
    assert len(opened(root, tmp_path)) == 6


def test_synthetic_city_opens_by_the_same_names(tmp_path):
    sizes = {"source_train": 2, "target_train": 1, "target_val": 1, "target_test": 1}
    records = open_records("synthetic_city/source_train", data_dir=tmp_path, size=(32, 64), **sizes)
    assert len(records) == 2
    assert records[0]["image"].shape == (32, 64, 3)
    counts = [(records.label(i) == c).sum() for i in range(2) for c in range(19)]
    np.testing.assert_array_equal(records.class_pixels.ravel(), counts)
    # Its builder writes no index.
    np.testing.assert_array_equal(records.sizes, np.array(2 * [[32, 64]], np.int32), strict=True)


def test_records_say_their_classes(records):
    assert (records.label_space, records.num_classes) == ("cityscapes_19", 19)
    assert records.classes == CITYSCAPES_19.classes
    assert records.encoding == LABEL_IDS
    assert pickle.loads(pickle.dumps(records)).labelling == records.labelling


def test_a_copy_that_does_not_say_is_of_the_space_of_its_number(root, tmp_path):
    records = opened(root, tmp_path, label_space="synthia_16")
    path = encoding.labelling_path(records.directory)
    path.unlink()  # as version 0.1 left it
    again = opened(root, tmp_path, label_space="synthia_16", prepare=False)
    assert again.labelling == records.labelling
    alone = Records(records.directory, "train")
    assert (alone.label_space, alone.classes) == ("synthia_16", SYNTHIA_16.classes)
    assert alone.encoding.name == "train ids"
    nineteen = Labelling("cityscapes_19", CITYSCAPES_19.classes, LABEL_IDS)
    with pytest.raises(InputError, match="labels of label space 'synthia_16' found, expected 'cit"):
        Records(records.directory, "train", nineteen)
    assert not path.exists()


def test_a_copy_that_says_something_else_is_damaged(records):
    path = encoding.labelling_path(records.directory)
    whole = path.read_text()
    sixteen = Labelling("synthia_16", SYNTHIA_16.classes, LABEL_IDS)
    encoding.write_labelling(records.directory, sixteen)
    with pytest.raises(InputError, match=r"damaged prepared .* \(16 classes named, 19 counted\)"):
        Records(records.directory, "train")
    path.write_text(whole[:-20])
    with pytest.raises(InputError, match="a damaged prepared data set"):
        Records(records.directory, "train")
