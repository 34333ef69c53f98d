import numpy as np
import pytest

from cbda_jax.annotation import Answers, Queries, QueryLog, active_label, queried_mask
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


def test_centres_accumulate_until_a_step(tmp_path):
    log = QueryLog(tmp_path)
    log.append(queries())
    log.append(queries(2, 20, image=(0,), row=(1,), col=(2,)))
    row, col = log.centres("a/0", until_step=10)
    np.testing.assert_array_equal([row, col], [[3], [4]])
    row, col = log.centres("a/0")
    np.testing.assert_array_equal([row, col], [[3, 1], [4, 2]])
    assert len(log.centres("a/1")[0]) == 0
    assert len(QueryLog(tmp_path / "none").centres("a/0")[0]) == 0


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
    log.append(queries(2, 20))
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


def test_an_unfinished_write_is_ignored(tmp_path):
    QueryLog(tmp_path).append(queries())
    (tmp_path / ".round_02.npz.x1.tmp").write_bytes(b"half")
    assert len(QueryLog(tmp_path).rounds) == 1


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_mask_is_the_union_of_clipped_squares(radius):
    rng = np.random.default_rng(radius)
    row, col = rng.integers(0, 9, 12, np.int32), rng.integers(0, 13, 12, np.int32)
    expected = np.zeros((9, 13), bool)
    for r, c in zip(row, col, strict=True):
        expected[max(r - radius, 0) : r + radius + 1, max(c - radius, 0) : c + radius + 1] = True
    np.testing.assert_array_equal(queried_mask(row, col, (9, 13), radius), expected)


def test_active_label_shows_only_what_was_asked():
    label = np.arange(48, dtype=np.uint8).reshape(6, 8)
    active = active_label(label, np.array([0], np.int32), np.array([1], np.int32), 1)
    assert set(active[active != 255].tolist()) == {0, 1, 2, 8, 9, 10}


def test_answers_count_every_label_once():
    class Oracle:
        reads = 0

        def label(self, image_id):
            self.reads += 1
            return np.full((6, 8), 255 if image_id == "b/0" else 3, np.uint8)

    oracle = Oracle()
    answers = Answers(oracle, (6, 8))
    counts = answers.counts([queries()])
    # Image 0: a whole 3 x 3 square. Image 2: two corners, of 2 x 2 pixels each.
    assert counts[3] == 9
    assert counts[255] == 8
    assert counts.sum() == 17
    np.testing.assert_array_equal(answers.counts([queries()]), counts)
    assert oracle.reads == 2
    assert answers.counts([]).sum() == 0
