import dataclasses

import numpy as np
import pytest
from round_files import forge, message

from cbda_jax.annotation import UNANSWERED, AnswerLog, Answers, Queries, QueryLog, check_version

CLASSES = ("road", "car", "train")
SIZES = {"a": (20, 30), "b": (5, 40)}


def queries(number=1, row=(0, 4, 8), col=(0, 9, 20), radius=1):
    return Queries(
        round=number,
        step=10 * number,
        image_ids=("a", "b"),
        image=np.zeros(len(row), np.int32),
        row=np.array(row, np.int32),
        col=np.array(col, np.int32),
        score=np.linspace(1, 0.5, len(row), dtype=np.float32),
        predicted=np.zeros(len(row), np.uint8),
        radius=radius,
        about={},
    )


SECOND = {"row": (12,), "col": (12,)}


def answers(asked, value=1):
    patches = np.full((len(asked), 3, 3), value, np.uint8)
    if asked.row[0] == 0:
        patches[0, 0], patches[0, :, 0] = UNANSWERED, UNANSWERED  # outside of the image
    return Answers(asked, patches, {"oracle": "test"})


def opened(tmp_path, **changes):
    log = QueryLog(tmp_path / "queries")
    arguments = {"classes": CLASSES, "sizes": SIZES, **changes}
    return log, AnswerLog(tmp_path / "answers", log, **arguments)


def held(tmp_path, *rounds, value=1):
    """The logs of some rounds, all answered."""
    log, found = opened(tmp_path)
    for asked in rounds:
        found.make_folder()
        log.append(asked)
        found.write(answers(asked, value))
        found.read_next()
    return log, found


def test_what_is_written_is_read(tmp_path):
    held(tmp_path, queries(), queries(2, **SECOND))
    _, found = opened(tmp_path)
    assert [a.round for a in found.rounds] == [1, 2]
    first = found.rounds[0]
    np.testing.assert_array_equal(first.patches, answers(queries()).patches)
    assert first.queries.checksum == queries().checksum
    assert first.about == {"oracle": "test"}
    names = [path.name for path in sorted((tmp_path / "answers").iterdir())]
    assert names == ["round_01.npz", "round_02.npz"]


def test_the_answers_to_the_last_round_may_be_yet_to_come(tmp_path):
    log, _ = held(tmp_path, queries())
    log.append(queries(2, **SECOND))
    _, found = opened(tmp_path)
    assert len(found.rounds) == 1
    found.write(answers(queries(2, **SECOND)))
    assert len(found.rounds) == 1
    found.read_next()
    assert len(opened(tmp_path)[1].rounds) == 2


def test_answers_are_added_in_order_and_never_replaced(tmp_path):
    log, found = held(tmp_path, queries())
    before = found.path(1).read_bytes()
    assert "expected its queries in" in message(found.write, answers(queries()))
    assert "expected its queries in" in message(found.read_next)
    log.append(queries(2, **SECOND))
    assert "answers to other queries found, of round 1" in message(found.write, answers(queries()))
    found.path(2).write_bytes(before)
    assert "answers are never replaced" in message(found.write, answers(queries(2, **SECOND)))
    assert found.path(1).read_bytes() == before


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, "class 3 found, expected 0 to 2"), (253, "class 253 found, expected 0 to 2")],
)
def test_an_oracle_that_answers_what_cannot_be(tmp_path, value, expected):
    log, found = opened(tmp_path)
    log.append(queries())
    text = message(found.write, answers(queries(), value))
    assert text.startswith(f"{found.path(1)}: {expected}")
    assert text.endswith("; correct the oracle")
    outside = Answers(queries(), np.zeros((3, 3, 3), np.uint8))
    assert "answers outside of the image found" in message(found.write, outside)
    assert not found.path(1).exists()


def test_answers_end_where_their_own_image_does(tmp_path):
    log, found = opened(tmp_path)
    asked = dataclasses.replace(queries(row=(4, 4), col=(9, 12)), image=np.array([0, 1], np.int32))
    log.append(asked)
    whole = Answers(asked, np.zeros((2, 3, 3), np.uint8))
    # Row 4 is the last one of "b".
    assert "answers outside of the image found" in message(found.write, whole)
    patches = whole.patches.copy()
    patches[1, 2] = UNANSWERED
    found.write(Answers(asked, patches))
    found.read_next()
    sizes = {"a": (5, 40), "b": (5, 40)}
    assert "answers outside of the image found" in message(opened, tmp_path, sizes=sizes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": 2}, "version 2 of round 1 found, expected version 1 of round 1"),
        ({"round": 2}, "version 1 of round 2 found, expected version 1 of round 1"),
        ({"queries": "0" * 64}, "answers to other queries found, expected those to"),
        ({"queries": None}, "answers to other queries found, expected those to"),
        ({"classes": ["road", "bus", "train"]}, "answers in other classes found, ['road', 'bus'"),
        ({"patches": np.zeros((3, 5, 5), np.uint8)}, "uint8[3, 5, 5] found, expected uint8[3, 3"),
        ({"patches": np.zeros((2, 3, 3), np.uint8)}, "uint8[2, 3, 3] found, expected uint8[3, 3"),
        ({"patches": np.zeros((3, 3, 3), np.int32)}, "int32[3, 3, 3] found, expected uint8[3, 3"),
        ({"patches": np.zeros((3, 3, 3), np.uint8)}, "answers outside of the image found"),
        ({"patches": np.full((3, 3, 3), 7, np.uint8)}, "class 7 found, expected 0 to 2, 255 for"),
        ({"extra": np.zeros(3)}, "cannot be read (its members are not those of version 1)"),
    ],
)
def test_what_cannot_be_stops_the_run(tmp_path, changes, expected):
    _, found = held(tmp_path, queries())
    forge(found.path(1), **changes)
    before = found.path(1).read_bytes()
    text = message(opened, tmp_path)
    assert text.startswith(f"{found.path(1)}: ")
    assert expected in text
    assert "from a backup" in text
    assert found.path(1).read_bytes() == before


def test_damage_names_the_file(tmp_path):
    _, found = held(tmp_path, queries())
    content = found.path(1).read_bytes()
    for damage in (content[:-30], b"", content.replace(b"patches", b"parches")):
        found.path(1).write_bytes(damage)
        assert "cannot be read" in message(opened, tmp_path)


def test_answers_to_the_queries_of_another_run(tmp_path):
    held(tmp_path / "one", queries())
    held(tmp_path / "two", queries(row=(0, 4, 9)))
    found = tmp_path / "one" / "answers" / "round_01.npz"
    found.write_bytes((tmp_path / "two" / "answers" / "round_01.npz").read_bytes())
    assert "answers to other queries found" in message(opened, tmp_path / "one")


def test_rounds_without_answers_before_the_last(tmp_path):
    log, found = held(tmp_path, queries(), queries(2, **SECOND))
    found.path(1).rename(tmp_path / "kept")
    assert "rounds [2] found, expected 1 to 1 without a gap" in message(opened, tmp_path)
    found.path(2).unlink()
    assert "answers to 0 rounds found, expected 1 or 2 as" in message(opened, tmp_path)
    (tmp_path / "kept").rename(found.path(1))
    assert len(opened(tmp_path)[1].rounds) == 1
    for path in log.folder.iterdir():
        path.unlink()
    assert "answers to 1 rounds found, expected 0 or 0 as" in message(opened, tmp_path)


def test_a_run_of_before_is_told_from_one_that_has_no_answers_yet(tmp_path):
    log, found = held(tmp_path, queries())
    folders = tmp_path / "answers", tmp_path / "queries"
    found.path(1).unlink()
    check_version(*folders)
    assert opened(tmp_path)[1].rounds == []
    found.folder.rmdir()
    assert message(check_version, *folders) == message(opened, tmp_path)
    assert message(opened, tmp_path) == (
        f"{tmp_path}: a run of version 0.1 found, which has queries/ and no answers/, expected one "
        "of version 0.2 or later, which keeps every answer in a file; go on with version 0.1, or "
        "start in a new --workdir"
    )
    log.path(1).unlink()
    check_version(*folders)


def test_only_what_was_not_answered_is_asked_again(tmp_path):
    again = queries(2, row=(4, 12), col=(9, 12))
    log, found = held(tmp_path / "answered", queries())
    text = message(found.check_repeated, [*log.rounds, again])
    assert text.startswith(f"{log.path(2)}: image 'a' row 4 column 9 is asked for twice, expected")
    # As it is when the files say so.
    log.append(again)
    assert message(opened, tmp_path / "answered") == text
    log, found = held(tmp_path / "not", queries(), value=UNANSWERED)
    found.check_repeated([*log.rounds, again])
    log.append(again)
    found.write(answers(again))
    found.read_next()
    opened(tmp_path / "not")
    third = queries(3, row=(4,), col=(9,))
    assert f"{log.path(3)}: image 'a' row 4 column 9 is asked for twice" in message(
        found.check_repeated, [*log.rounds, third]
    )


def test_answers_that_a_checkpoint_was_trained_with(tmp_path):
    log, found = held(tmp_path, queries())
    log.append(queries(2, **SECOND))
    for step in (0, 10, 11, 20):
        found.check_steps((10, 20), step)
    assert message(found.check_steps, (10, 20), 21) == (
        f"{found.folder}: answers to 1 rounds found, expected 2 or more with a checkpoint of step "
        "21; restore the round_NN.npz files from a backup"
    )


def test_an_unfinished_write_is_ignored(tmp_path):
    held(tmp_path, queries())
    (tmp_path / "answers" / ".round_02.npz.x1.tmp").write_bytes(b"half")
    assert len(opened(tmp_path)[1].rounds) == 1
