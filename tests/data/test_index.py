import numpy as np
import pytest

from cbda_jax.data.index import Index, index_path, read_index, write_index
from cbda_jax.files import write_npz

COUNTS = np.arange(6, dtype=np.int64).reshape(2, 3)
SIZES = np.array([[4, 6], [3, 5]], np.int32)
NATIVE = 2 * SIZES


def test_what_was_written_reads_back(tmp_path):
    assert read_index(tmp_path, "val") is None
    write_index(tmp_path, "val", Index(("aachen_1", "é"), COUNTS, SIZES, NATIVE))
    ids, counts, sizes, native = read_index(tmp_path, "val")
    assert ids == ("aachen_1", "é")
    np.testing.assert_array_equal(counts, COUNTS)
    np.testing.assert_array_equal(sizes, SIZES, strict=True)
    np.testing.assert_array_equal(native, NATIVE, strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["index-val.npz"]
    assert read_index(tmp_path, "train") is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"class_pixels": None},
        {"sizes": None},
        {"native_sizes": None},
        {"native_sizes": SIZES[0]},
        {"image_ids": np.array(["a"])},
        {"image_ids": np.array([1, 2])},
        {"class_pixels": COUNTS.astype(np.float64)},
        {"class_pixels": COUNTS[0]},
        {"sizes": SIZES[:1]},
        {"sizes": SIZES.astype(np.int64)},
    ],
)
def test_what_is_no_index_is_none(tmp_path, arrays):
    whole = {"image_ids": np.array(["a", "b"]), "class_pixels": COUNTS}
    whole |= {"sizes": SIZES, "native_sizes": NATIVE}
    found = {name: array for name, array in (whole | arrays).items() if array is not None}
    write_npz(index_path(tmp_path, "val"), **found)
    assert read_index(tmp_path, "val") is None


def test_damage_is_none(tmp_path):
    write_index(tmp_path, "val", Index(("a", "b"), COUNTS, SIZES, NATIVE))
    path = index_path(tmp_path, "val")
    path.write_bytes(path.read_bytes()[:-9])
    assert read_index(tmp_path, "val") is None
