import json

import pytest
from answering import CLASSES, SIZES, queries
from round_files import message

from cbda_jax.annotation.people.asked import Asked, asked_path, read_asked, write_asked

ASKED = Asked(1, queries().checksum, CLASSES, SIZES, 0.05, 0.1, 7)


def test_what_is_written_is_read(tmp_path):
    assert read_asked(tmp_path, queries()) is None
    write_asked(tmp_path / "answers", ASKED)
    assert read_asked(tmp_path / "answers", queries()) == ASKED
    assert [path.name for path in (tmp_path / "answers").iterdir()] == ["people_01.json"]


def test_many_images_of_a_size_take_little_room(tmp_path):
    write_asked(tmp_path, ASKED)
    content = json.loads(asked_path(tmp_path, 1).read_text())
    assert (content["sizes"], content["size_of"]) == ([[6, 20], [8, 12]], [1, 0])


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"sizes": [[6]]},
        {"size_of": [0]},
        {"size_of": [0, 9]},
        {"classes": 3},
        {"seed": "x"},
        {"redundancy": None},
    ],
)
def test_what_cannot_be(tmp_path, change):
    write_asked(tmp_path, ASKED)
    path = asked_path(tmp_path, 1)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert message(read_asked, tmp_path, queries()).startswith(f"{path}: cannot be read (")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_no_such_file(tmp_path, content):
    asked_path(tmp_path, 1).write_bytes(content)
    assert "delete it: the run writes it again" in message(read_asked, tmp_path, queries())


def test_of_other_queries(tmp_path):
    write_asked(tmp_path, ASKED)
    assert "about other queries found" in message(read_asked, tmp_path, queries(5))
