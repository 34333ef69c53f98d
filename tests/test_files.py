"""Files written whole or not at all; on bad disks: test_bad_disks.py."""

import json

import numpy as np
import pytest

from cbda_jax.files import json_text, read_npz, write_atomic, write_npz


def test_a_failing_writer_leaves_nothing(tmp_path):
    def fail(file):
        file.write(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_atomic(tmp_path / "a", fail)
    assert list(tmp_path.iterdir()) == []


def test_files_have_the_rights_of_others_and_names_of_any_length(tmp_path):
    path = tmp_path / ("x" * 255)
    write_atomic(path, lambda file: file.write(b"1"))
    (tmp_path / "plain").write_bytes(b"1")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert path.read_bytes() == b"1"


def test_arrays_are_read_as_written_or_not_at_all(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, ids=np.array(["é", "b"]), values=np.arange(1000, dtype=np.int64))
    found = read_npz(path)
    assert found["ids"].tolist() == ["é", "b"]
    np.testing.assert_array_equal(found["values"], np.arange(1000))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="damaged: File is not a zip file"):
        read_npz(path)
    np.savez(path, objects=np.array([{}], object))
    with pytest.raises(ValueError, match="damaged: Object arrays cannot be loaded"):
        read_npz(path)
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "none.npz")


def test_json_has_no_number_that_is_none():
    value = {"a": float("nan"), "b": [1.5, float("inf")], "c": ("é", None, True, 3)}
    text = json_text(value, sort_keys=True)
    assert text == '{"a": null, "b": [1.5, null], "c": ["é", null, true, 3]}'
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, None],
        "c": ["é", None, True, 3],
    }
