import numpy as np
import pytest

from cbda_jax.errors import InputError
from cbda_jax.reporting.mistakes import (
    LastEvaluation,
    Worst,
    read_last,
    read_worst,
    write_last,
    write_worst,
)

LAST = LastEvaluation(
    step=30,
    confusion=np.arange(9).reshape(3, 3),
    image_ids=["jena/a", "ulm/ö"],
    pixels=np.array([10, 26], np.int32),
    right=np.array([5, 25], np.int32),
    worst=[0, 1],
)


def test_what_is_written_is_read(tmp_path):
    assert read_last(tmp_path, "val") is None
    write_last(tmp_path, "val", LAST)
    found = read_last(tmp_path, "val")
    assert found is not None
    for one, other in zip(found, LAST, strict=True):
        np.testing.assert_array_equal(one, other)
    # In place of what an earlier end of the run has left.
    write_last(tmp_path, "val", LAST._replace(step=40))
    assert read_last(tmp_path, "val").step == 40


def test_an_image_is_written_and_read(tmp_path):
    assert read_worst(tmp_path, "a/val", 7) is None
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    label = np.array([[0, 255]], np.uint8)
    write_worst(tmp_path, "a/val", 7, Worst("ulm/ö", image, label, label + 1))
    found = read_worst(tmp_path, "a/val", 7)
    assert found.image_id == "ulm/ö"
    np.testing.assert_array_equal(found.image, image)
    np.testing.assert_array_equal(found.label, label)
    assert [path.name for path in (tmp_path / "evaluation").iterdir()] == ["a_val_00007.npz"]


def test_damage_is_named(tmp_path):
    write_last(tmp_path, "val", LAST)
    path = tmp_path / "evaluation" / "val.npz"
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"val\.npz: not what an evaluation leaves .*delete"):
        read_last(tmp_path, "val")
    np.savez(path, step=3)
    with pytest.raises(InputError, match=r"val\.npz: confusion, image_ids.* missing; delete"):
        read_last(tmp_path, "val")
