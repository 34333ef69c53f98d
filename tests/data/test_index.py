import numpy as np
import pytest

from cbda_jax.data.index import index_path, read_index, write_index
from cbda_jax.files import write_npz

COUNTS = np.arange(6, dtype=np.int64).reshape(2, 3)


def test_what_was_written_reads_back(tmp_path):
    assert read_index(tmp_path, "val") is None
    write_index(tmp_path, "val", ["aachen_1", "é"], COUNTS)
    ids, counts = read_index(tmp_path, "val")
    assert ids == ("aachen_1", "é")
    np.testing.assert_array_equal(counts, COUNTS)
    assert [path.name for path in tmp_path.iterdir()] == ["index-val.npz"]
    assert read_index(tmp_path, "train") is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"image_ids": np.array(["a", "b"])},
        {"image_ids": np.array(["a"]), "class_pixels": COUNTS},
        {"image_ids": np.array(["a", "b"]), "class_pixels": COUNTS.astype(np.float64)},
        {"image_ids": np.array(["a", "b"]), "class_pixels": COUNTS[0]},
        {"image_ids": np.array([1, 2]), "class_pixels": COUNTS},
    ],
)
def test_what_is_no_index_is_none(tmp_path, arrays):
    write_npz(index_path(tmp_path, "val"), **arrays)
    assert read_index(tmp_path, "val") is None


def test_damage_is_none(tmp_path):
    write_index(tmp_path, "val", ["a", "b"], COUNTS)
    path = index_path(tmp_path, "val")
    path.write_bytes(path.read_bytes()[:-9])
    assert read_index(tmp_path, "val") is None
