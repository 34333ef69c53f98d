import dataclasses

import numpy as np
import pytest
from round_files import forge, message

from cbda_jax.annotation import Queries, QueryLog
from cbda_jax.errors import InputError

IDS = ("a/0", "a/1", "b/0")


def queries(number=1, step=10, image=(2, 0, 2), row=(0, 3, 5), col=(0, 4, 7)):
    return Queries(
        round=number,
        step=step,
        image_ids=IDS,
        image=np.array(image, np.int32),
        row=np.array(row, np.int32),
        col=np.array(col, np.int32),
        score=np.linspace(1, 0.5, len(image), dtype=np.float32),
        predicted=np.arange(len(image), dtype=np.uint8),
        radius=1,
        about={"method": "ripu", "requested": 4},
    )


def test_what_is_written_is_read(tmp_path):
    QueryLog(tmp_path / "q").append(queries())
    (found,) = QueryLog(tmp_path / "q").rounds
    expected = queries()
    for name in ("image", "row", "col", "score", "predicted"):
        value = getattr(found, name)
        np.testing.assert_array_equal(value, getattr(expected, name))
        assert value.dtype == getattr(expected, name).dtype
    assert (found.round, found.step, found.radius) == (1, 10, 1)
    assert found.image_ids == IDS
    assert found.about == {"method": "ripu", "requested": 4}
    assert [path.name for path in (tmp_path / "q").iterdir()] == ["round_01.npz"]


def test_a_round_is_never_replaced_or_skipped(tmp_path):
    log = QueryLog(tmp_path)
    log.append(queries())
    before = log.path(1).read_bytes()
    for wrong in (queries(1), queries(3)):
        with pytest.raises(InputError, match="never replaced"):
            log.append(wrong)
    assert log.path(1).read_bytes() == before
    stale = QueryLog(tmp_path)
    stale.rounds.clear()
    with pytest.raises(InputError, match="never replaced"):
        stale.append(queries(1))


def test_a_gap_is_an_error(tmp_path):
    log = QueryLog(tmp_path)
    log.append(queries())
    log.append(queries(2, 20, row=(1, 4, 6)))
    log.path(1).unlink()
    with pytest.raises(InputError, match=r"rounds \[2\] found, expected 1 to 1"):
        QueryLog(tmp_path)


def test_corruption_stops_the_run_and_names_the_file(tmp_path):
    log = QueryLog(tmp_path)
    log.append(queries())
    content = bytearray(log.path(1).read_bytes())
    for damage in (content[:-30], content[:100], b"", bytes(content).replace(b"row", b"rov")):
        log.path(1).write_bytes(damage)
        with pytest.raises(InputError, match=r"round_01\.npz.*restore the file from a backup"):
            QueryLog(tmp_path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"image": np.array([0, 0], np.int32)}, "the columns do not fit together (row int32[3]"),
        ({"row": np.zeros(3, np.int64)}, "the columns do not fit together (row int64[3])"),
        ({"image": np.array([0, 0, 3], np.int32)}, "image from 0 to 3, expected 0 to 2"),
        ({"col": np.array([0, 0, -1], np.int32)}, "col from -1 to 0, expected 0 to 1048575"),
        ({"image_ids": np.array(["b", "a", "c"])}, "image ids out of order or twice"),
        ({"image_ids": np.array(["a", "a", "c"])}, "image ids out of order or twice"),
        ({"step": "10"}, "step '10' found, expected 0 or more"),
        ({"step": True}, "step True found, expected 0 or more"),
        ({"radius": -1}, "radius -1 found, expected 0 or more"),
        ({"radius": 1.0}, "radius 1.0 found, expected 0 or more"),
        ({"version": 2}, "version 2 of round 1 found, expected version 1 of round 1"),
        ({"round": 2}, "version 1 of round 2 found, expected version 1 of round 1"),
        ({"extra": np.zeros(3)}, "cannot be read (its members are not those of version 1)"),
        (
            {name: np.array(v, np.int32) for name, v in (("image", [0, 0, 0]), ("row", [0, 0, 0]))}
            | {"col": np.array([5, 6, 5], np.int32)},
            "image 'a/0' row 0 column 5 is asked for twice",
        ),
    ],
)
def test_what_cannot_be_stops_the_run(tmp_path, changes, expected):
    log = QueryLog(tmp_path)
    log.append(queries())
    forge(log.path(1), **changes)
    before = log.path(1).read_bytes()
    text = message(QueryLog, tmp_path)
    assert text.startswith(f"{log.path(1)}: ")
    assert expected in text
    assert "restore the file from a backup" in text
    assert log.path(1).read_bytes() == before


SECOND = {"image": (0,), "row": (1,), "col": (2,)}


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"step": 10}, "held before step 10, expected a step after that of round 1, 10"),
        ({"radius": 0}, "radius 0, expected 1 as in the round before"),
        (
            {"image_ids": ("a/0", "a/2", "b/0")},
            "queries of 3 images instead of 3 (unknown: 'a/2'; missing: 'a/1') in the round before",
        ),
    ],
)
def test_rounds_that_contradict_each_other(tmp_path, second, expected):
    log = QueryLog(tmp_path / "q")
    log.append(queries())
    wrong = dataclasses.replace(queries(2, 20, **SECOND), **_columns(second))
    # Neither written ...
    assert expected in message(log.append, wrong)
    assert len(log.rounds) == 1
    assert not log.path(2).exists()
    # ... nor read.
    log.append(queries(2, 20, **SECOND))
    forge(log.path(2), **_columns(second))
    assert expected in message(QueryLog, tmp_path / "q")


def _columns(values):
    return {
        name: np.array(value, np.int32) if name in ("row", "col") else value
        for name, value in values.items()
    }


def test_two_files_of_one_round(tmp_path):
    log = QueryLog(tmp_path)
    log.append(queries())
    (tmp_path / "round_1.npz").write_bytes(log.path(1).read_bytes())
    assert "rounds [1, 1] found, expected 1 to 2 without a gap, each once" in message(
        QueryLog, tmp_path
    )


def test_queries_of_another_pool(tmp_path):
    log = QueryLog(tmp_path)
    log.append(queries())
    log.check_pool(dict.fromkeys(IDS[::-1], (6, 8)))
    text = message(log.check_pool, dict.fromkeys((*IDS, "c/0"), (6, 8)))
    assert f"{log.path(1)}: queries of 3 images instead of 4 (missing: 'c/0') in the target" in text
    text = message(log.check_pool, dict.fromkeys(("a/0", "a/1", "x"), (6, 8)))
    assert "3 images instead of 3 (unknown: 'b/0'; missing: 'x')" in text
    text = message(log.check_pool, dict.fromkeys(IDS, (5, 8)))
    assert "1 queries outside of their images, such as image 'b/0' row 5 column 7; expected" in text
    assert "1 queries outside" in message(log.check_pool, dict.fromkeys(IDS, (6, 7)))


def test_queries_lie_inside_of_their_own_images(tmp_path):
    log = QueryLog(tmp_path)
    log.append(queries())
    # Queries at (3, 4) of "a/0", (0, 0) and (5, 7) of "b/0"; none of "a/1".
    log.check_pool({"a/0": (4, 5), "a/1": (1, 1), "b/0": (6, 8)})
    text = message(log.check_pool, {"a/0": (6, 4), "a/1": (6, 8), "b/0": (6, 8)})
    assert "1 queries outside of their images, such as image 'a/0' row 3 column 4; " in text
    assert "expected labels of 6 x 4 (height x width)" in text
    text = message(log.check_pool, {"a/0": (3, 8), "a/1": (6, 8), "b/0": (6, 7)})
    assert "2 queries outside" in text


def test_rounds_that_a_checkpoint_was_trained_with(tmp_path):
    log = QueryLog(tmp_path)
    log.append(queries())
    log.append(queries(2, 20, **SECOND))
    steps = (10, 20, 30)
    for step in (0, 10, 20, 25, 30):
        log.check_steps(steps, step)
    assert "2 rounds found, expected 3 to 3 with a checkpoint of step 31" in message(
        log.check_steps, steps, 31
    )
    assert "2 rounds found, expected 0 to 1 with" in message(log.check_steps, (10,), 5)
    assert f"{log.path(2)}: held before step 20, expected 21" in message(
        log.check_steps, (10, 21), 5
    )


def test_an_unfinished_write_is_ignored(tmp_path):
    QueryLog(tmp_path).append(queries())
    (tmp_path / ".round_02.npz.x1.tmp").write_bytes(b"half")
    assert len(QueryLog(tmp_path).rounds) == 1
